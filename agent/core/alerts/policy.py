"""Decides for each channel whether news is sent now, delayed, deferred or dropped.

Rules, first match wins:
- A kind that is switched off, or that the channel did not ask for, is dropped.
- **Requests and news of trust roots** are delayed first, at any hour (`core.alerts.notice_delay`). The rules below
  apply after the delay.
- **The button** is always sent now, in spite of cool-down, quiet hours and digest.
- Within a channel's quiet hours all other alerts, except the opened case, are deferred until the hours end.
- Kinds of the digest are deferred until the time of day that the owner chose.
- A kind that was sent less than a cool-down ago is rate-limited. Requests, trust and the case have no cool-down. An
  alert about a *state* (lost, back) is sent after the cool-down if the state still differs from the last alert.

The cool-down limits alerts only: the recorder stores every event. A restart resets the cool-down. Deferred alerts are
counted instead of listed. For example, "12 × Something moved at the door, last at 06:40".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from agent.core.alerts.kinds import AlertDefinition, AlertKind
from agent.core.languages import ENGLISH
from agent.core.timebase import BootNs

__all__ = ["ChannelRules", "Decision", "Policy", "Span", "is_within", "may_release", "minute_of_day", "time_of_day"]

_MINUTE_MS: Final = 60_000
_MINUTES_PER_HOUR: Final = 60
_HOURS: Final = 24
_DIGITS: Final = 2
_DAY_MINUTES: Final = 24 * 60
_NEVER_RATE_LIMITED: Final = frozenset(
    {AlertKind.BUTTON, AlertKind.REQUEST, AlertKind.TRUST, AlertKind.OWNERS, AlertKind.TAMPER}
)
_NEVER_QUIET: Final = frozenset({AlertKind.BUTTON, AlertKind.TAMPER})

Span = tuple[int, int]
"""From and until, in minutes of the local day. It may span midnight."""


class Decision(enum.Enum):
    """The decision about one piece of news on one channel."""

    NOW = "now"
    DELAYED = "delayed"
    """Later, so that the time of the alert hides the time of the request."""
    QUIET = "quiet"
    """Kept until the quiet hours end."""
    DIGEST = "digest"
    """Kept until the digest."""
    RATE_LIMITED = "cooling"
    """Dropped: the same alert was sent a moment ago."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ChannelRules:
    """`kinds` that this channel wants; `quiet` hours and `language` of the person who carries the phone."""

    name: str
    kinds: frozenset[AlertKind] = frozenset(AlertKind)
    quiet: Span | None = None
    language: str = ENGLISH


@dataclass(slots=True)
class Policy:
    """`digest_minute`: of the local day. `quiet`: the household's quiet hours, for every channel.

    Minutes are None before the clock is known. Then every alert is sent now.
    """

    channels: tuple[ChannelRules, ...]
    off: frozenset[AlertKind] = frozenset()
    digest: frozenset[AlertKind] = frozenset()
    digest_minute: int = 20 * 60
    cool_down_ns: int = 300 * 10**9
    quiet: Span | None = None
    _told: dict[tuple[str, AlertKind], tuple[BootNs, AlertDefinition]] = field(default_factory=dict)
    _late: dict[tuple[str, AlertKind], AlertDefinition] = field(default_factory=dict)

    def decide(
        self,
        channel: ChannelRules,
        news: AlertDefinition,
        now_ns: BootNs,
        minute: int | None,
        *,
        delay_over: bool = False,
    ) -> Decision:
        """Returns one decision. If it is NOW, the cool-down begins. `delay_over`: news that follows from the
        network has waited for its delay."""
        kind = news.kind
        if kind in self.off or kind not in channel.kinds:
            return Decision.OFF
        if news.delayed and not delay_over:
            return Decision.DELAYED
        if kind not in _NEVER_QUIET and self.is_quiet(channel, minute):
            return Decision.QUIET
        if kind in self.digest and kind is not AlertKind.BUTTON and minute is not None:
            return Decision.DIGEST
        if kind in _NEVER_RATE_LIMITED:
            return Decision.NOW
        key = (channel.name, kind)
        told = self._told.get(key)
        if told is not None and now_ns - told[0] < self.cool_down_ns:
            if news.state:
                # A state that is left out is told later: the last word of a channel must be true.
                self._late[key] = news
            return Decision.RATE_LIMITED
        self._late.pop(key, None)
        self._told[key] = (now_ns, news)
        return Decision.NOW

    def is_quiet(self, channel: ChannelRules, minute: int | None) -> bool:
        return is_within(channel.quiet, minute) or is_within(self.quiet, minute)

    def rate_limited(self, now_ns: BootNs) -> tuple[tuple[ChannelRules, AlertDefinition], ...]:
        """Returns the states that changed during a cool-down that is now over, if they differ from the last alert."""
        due = []
        for key, news in list(self._late.items()):
            told_ns, told = self._told[key]
            if now_ns - told_ns < self.cool_down_ns:
                continue
            del self._late[key]
            if news != told:
                due += [(channel, news) for channel in self.channels if channel.name == key[0]]
        return tuple(due)


def may_release(
    policy: Policy, channel: ChannelRules, why: Decision, since_ms: int, now_ms: int, minute: int | None
) -> bool:
    """Returns whether to send now the news deferred since then. It keeps no memory, so a restart costs nothing."""
    if why is Decision.QUIET:
        return not policy.is_quiet(channel, minute)
    if minute is None:
        return False
    since_digest_minutes = (minute - policy.digest_minute) % _DAY_MINUTES
    # From the beginning of its minute: news that comes within this minute would otherwise go at once, alone.
    digest_ms = now_ms - now_ms % _MINUTE_MS - since_digest_minutes * _MINUTE_MS
    return since_ms < digest_ms


def minute_of_day(text: str) -> int:
    """Returns the minute of the day, 0..1439, of "HH:MM" or of "HHMM", as in an owner's opt-out.

    Raises `ValueError` if the text is no time of day.
    """
    hour, colon, minute = text.partition(":")
    if not colon:
        hour, minute = text[:-2], text[-2:]
    digits = hour + minute
    if not (hour and len(hour) <= _DIGITS and len(minute) == _DIGITS and digits.isascii() and digits.isdigit()):
        raise ValueError(f"'{text}' is no time of day.")
    if int(hour) >= _HOURS or int(minute) >= _MINUTES_PER_HOUR:
        raise ValueError(f"'{text}' is no time of day.")
    return int(hour) * _MINUTES_PER_HOUR + int(minute)


def time_of_day(minute: int) -> str:
    """Returns a minute of the day, 0..1439, as "HH:MM". The opposite of `minute_of_day`."""
    return f"{minute // _MINUTES_PER_HOUR:02}:{minute % _MINUTES_PER_HOUR:02}"


def is_within(span: Span | None, minute: int | None) -> bool:
    if span is None or minute is None:
        return False
    begins, ends = span
    return begins <= minute < ends if begins <= ends else minute >= begins or minute < ends
