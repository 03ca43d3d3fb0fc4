"""Decides for each channel whether news is told now, held back, kept for later, or not at all.

Rules, first match wins:
- A kind that is off, or that the channel did not ask for, is not told.
- **Requests** are held back first, whatever the hour (`core.alerts.notice_delay`); the rules below are asked when that
  time is over.
- **The button** is told now, always: no cool-down, no quiet hours, no digest.
- Within a channel's quiet hours everything but the button and the opened case is kept until they end.
- Kinds of the digest are kept until the time of day the owner chose.
- A kind that was told less than a cool-down ago is not told again; requests, trust and the case have none.  What tells
  a *state* (lost, back) is told when the cool-down is over, if it still differs from what was told last.

The cool-down concerns alerts alone: every event is recorded whatever is decided here.  It is forgotten by a restart.
Kept news is counted, not listed: "12 × Something moved at the door, last at 06:40".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from agent.core.alerts.kinds import AlertDefinition, AlertKind
from agent.core.timebase import BootNs

__all__ = ["ChannelRules", "Decision", "Policy", "Span", "is_within", "may_release"]

_DAY_MINUTES: Final = 24 * 60
_NEVER_RATE_LIMITED: Final = frozenset(
    {AlertKind.BUTTON, AlertKind.REQUEST, AlertKind.TRUST, AlertKind.OWNERS, AlertKind.TAMPER}
)
_DELAYED: Final = frozenset({AlertKind.REQUEST})
_NEVER_QUIET: Final = frozenset({AlertKind.BUTTON, AlertKind.TAMPER})

Span = tuple[int, int]
"""From and until, minutes of the local day; it may span midnight."""


class Decision(enum.Enum):
    """What becomes of one piece of news on one channel."""

    NOW = "now"
    DELAYED = "held back"
    """Not yet, so that it does not show when it came."""
    QUIET = "quiet"
    """Kept until the quiet hours end."""
    DIGEST = "digest"
    """Kept until the digest."""
    RATE_LIMITED = "cooling"
    """Not told: the same was told a moment ago."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ChannelRules:
    """`kinds` that this channel wants; `quiet` hours of the person who carries it."""

    name: str
    kinds: frozenset[AlertKind] = frozenset(AlertKind)
    quiet: Span | None = None


@dataclass(slots=True)
class Policy:
    """`digest_minute`: of the local day.  `quiet`: of the household, for every channel.

    Minutes are None while nobody knows the time: then nothing is kept.
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
        was_held: bool = False,
    ) -> Decision:
        """One ruling; the cool-down begins with it when it is NOW.  `was_held`: its time of being held back is over."""
        kind = news.kind
        if kind in self.off or kind not in channel.kinds:
            return Decision.OFF
        if kind in _DELAYED and not was_held:
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
                self._late[key] = news
            return Decision.RATE_LIMITED
        self._late.pop(key, None)
        self._told[key] = (now_ns, news)
        return Decision.NOW

    def is_quiet(self, channel: ChannelRules, minute: int | None) -> bool:
        return is_within(channel.quiet, minute) or is_within(self.quiet, minute)

    def rate_limited(self, now_ns: BootNs) -> tuple[tuple[ChannelRules, AlertDefinition], ...]:
        """States that changed during a cool-down that is over now, and are not as they were told."""
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
    """Whether news kept since then is to be told now.  It needs no memory, so a restart costs nothing."""
    if why is Decision.QUIET:
        return not policy.is_quiet(channel, minute)
    if minute is None:
        return False
    since_digest_minutes = (minute - policy.digest_minute) % _DAY_MINUTES
    return since_ms < now_ms - since_digest_minutes * 60_000


def is_within(span: Span | None, minute: int | None) -> bool:
    if span is None or minute is None:
        return False
    begins, ends = span
    return begins <= minute < ends if begins <= ends else minute >= begins or minute < ends
