"""Groups the queued alerts of a channel into messages and times the retries of a channel that failed.

Rules: an alert for the doorbell's button goes out alone and first. All other alerts share one message, one line each.
For example, an hour offline ends in one message instead of fifty. The text holds the time, because a message
may be late. A failed channel is tried again after 2 s, 4 s, … up to 15 min. An alert for the button skips this pause.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from agent.core.alerts.kinds import AlertPriority

__all__ = [
    "LAST",
    "MEANWHILE",
    "MOST_LINES",
    "AlertMessage",
    "AlertPicture",
    "ChannelAddress",
    "DeferredAlert",
    "DelayedAlert",
    "QueuedAlert",
    "deferred_text",
    "glance_id",
    "retry_pause_ns",
    "summary",
    "take_message",
]

MOST_LINES: Final = 20
LAST: Final = "last {}"
"""The time of the last alert of several. `{}` stands for the value in all languages."""
MEANWHILE: Final = "Meanwhile: {}."
_LONGEST_PAUSE_S: Final = 900


@dataclass(frozen=True, slots=True)
class QueuedAlert:
    """One alert for one channel, in the queue. `id` grows; `queued_ms` is UTC, or 0 if the clock was unknown.
    `page`: the path on the owner's page that it leads to."""

    id: int
    channel: str
    rank: AlertPriority
    text: str
    queued_ms: int
    page: str
    picture: bytes = b""
    """Sealed to the glance key of the channel's browser; empty for other channels."""


@dataclass(frozen=True, slots=True)
class DelayedAlert:
    """News (its name in `kinds`) that is still delayed. `came_ms`: UTC, if the clock was known.

    `left_ms`: the rest of the delay, in time during which the device runs. Setting the clock or restarting the device
    does not shorten it.
    """

    id: int
    channel: str
    news: str
    once: str
    came_ms: int
    left_ms: int


@dataclass(frozen=True, slots=True)
class DeferredAlert:
    """News of one text that waits for the end of the quiet hours or for the digest."""

    channel: str
    why: str
    text: str
    count: int
    since_ms: int
    last_ms: int


class AlertPicture(msgspec.Struct, frozen=True):
    """A picture for an alert, sealed in the recorder. `glance` names the glance key that opens it."""

    glance: str
    sealed: bytes


class ChannelAddress(msgspec.Struct, frozen=True):
    """`url`: Apprise's. It may hold a password, so keep it out of logs, displays and messages."""

    name: str
    url: str

    def __repr__(self) -> str:
        return f"ChannelAddress({self.name!r})"


class AlertMessage(msgspec.Struct, frozen=True):
    """One message for one channel. `alerts` are the queue's ids that a delivery removes. The last line of `body` is the
    link to the owner's page, if that has an address."""

    channel: str
    title: str
    body: str
    alerts: tuple[int, ...]
    picture: bytes = b""
    at_ms: int = 0
    """UTC of the newest alert in it, or of the one with the picture. 0 if the clock was unknown. A push service may
    keep a message, or deliver it again, and only the message itself can say how old it is."""


def take_message(waiting: Sequence[QueuedAlert], title: str, link: str) -> AlertMessage | None:
    """The next message of one channel, from what waits for it in the queue's order.

    `link`: the address of the owner's page, or empty. Alerts that lead to several places lead to its start.
    """
    if not waiting:
        return None
    chosen = waiting[:1] if waiting[0].rank is AlertPriority.BUTTON else waiting[:MOST_LINES]
    pages = {each.page for each in chosen}
    page = pages.pop() if len(pages) == 1 else "/"
    lines = [each.text for each in chosen] + ([link.rstrip("/") + page] if link else [])
    newest = next((each for each in reversed(chosen) if each.picture), chosen[-1])
    told = tuple(each.id for each in chosen)
    return AlertMessage(chosen[0].channel, title, "\n".join(lines), told, newest.picture, newest.queued_ms)


def deferred_text(text: str, clock: str) -> str:
    """Prefixes the text with `clock`, the local time of day as "14:03". `clock` is empty if the time is unknown."""
    return f"{clock}  {text}" if clock else text


def summary(kept: Sequence[DeferredAlert], clocks: Sequence[str], say: Callable[[str], str] = str) -> str:
    """Returns one line for several alerts: the text, the count and the time of the last one (`clocks`, in the same
    order). `say`: returns a sentence in the reader's language; the texts are in it already."""
    told = []
    for each, clock in zip(kept, clocks, strict=True):
        often = f"{each.count} × " if each.count > 1 else ""
        last = say(LAST).replace("{}", clock) if often else clock
        told.append(f"{often}{each.text.rstrip('.')}" + (f" ({last})" if clock else ""))
    return say(MEANWHILE).replace("{}", "; ".join(told))


def retry_pause_ns(failures: int) -> int:
    """Returns the pause of a channel after this many failures in a row, in ns."""
    return min(1 << min(failures, 20), _LONGEST_PAUSE_S) * 10**9


def glance_id(recipient: str) -> str:
    """Names a glance key between the processes: 16 hex digits of the SHA-256 of its text."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:16]
