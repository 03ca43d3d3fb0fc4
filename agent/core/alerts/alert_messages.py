"""What goes to a channel in one message, and when a channel that failed is tried again.

Rules: a press of the button goes alone and before everything else that waits; the rest goes together, a line each, so
that an hour without a network ends in one message and not in fifty.  The time is in the text, because a message may be
late.  A failed channel is tried after 2 s, 4 s, … up to 15 min; a press does not wait for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from agent.core.alerts.kinds import AlertPriority

__all__ = [
    "MOST_LINES",
    "AlertMessage",
    "ChannelAddress",
    "DeferredAlert",
    "DelayedAlert",
    "QueuedAlert",
    "deferred_text",
    "retry_pause_ns",
    "summary",
    "take_message",
]

MOST_LINES: Final = 20
_LONGEST_PAUSE_S: Final = 900


@dataclass(frozen=True, slots=True)
class QueuedAlert:
    """One alert for one channel, in the queue.  `id` grows; `queued_ms` is UTC, 0 while nobody knows it."""

    id: int
    channel: str
    rank: AlertPriority
    text: str
    queued_ms: int


@dataclass(frozen=True, slots=True)
class DelayedAlert:
    """News (its name in `kinds`) that may not leave the house yet.  `came_ms`: UTC as far as it was known.

    `left_ms`: of the time in which the device runs, so that no clock that is set, and no restart, shortens it.
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


class ChannelAddress(msgspec.Struct, frozen=True):
    """`url`: Apprise's.  It may hold a password: it is never logged, shown or put into a message."""

    name: str
    url: str

    def __repr__(self) -> str:
        return f"ChannelAddress({self.name!r})"


class AlertMessage(msgspec.Struct, frozen=True):
    """One message for one channel; `alerts` are the queue's ids it settles."""

    channel: str
    title: str
    body: str
    alerts: tuple[int, ...]


def take_message(waiting: Sequence[QueuedAlert], title: str, link: str) -> AlertMessage | None:
    """The next message of one channel, from what waits for it in the queue's order."""
    if not waiting:
        return None
    chosen = waiting[:1] if waiting[0].rank is AlertPriority.BUTTON else waiting[:MOST_LINES]
    lines = [each.text for each in chosen] + ([link] if link else [])
    return AlertMessage(chosen[0].channel, title, "\n".join(lines), tuple(each.id for each in chosen))


def deferred_text(text: str, clock: str) -> str:
    """`clock`: the local time of day as "14:03"; empty when unknown."""
    return f"{clock}  {text}" if clock else text


def summary(kept: Sequence[DeferredAlert], clocks: Sequence[str]) -> str:
    """One line for several: what, how often, and when last (`clocks`, in the same order)."""
    told = []
    for each, clock in zip(kept, clocks, strict=True):
        often = f"{each.count} × " if each.count > 1 else ""
        told.append(f"{often}{each.text.rstrip('.')}" + (f" ({'last ' if often else ''}{clock})" if clock else ""))
    return "Meanwhile: " + "; ".join(told) + "."


def retry_pause_ns(failures: int) -> int:
    """How long a channel rests after so many failures in a row, ns."""
    return min(1 << min(failures, 20), _LONGEST_PAUSE_S) * 10**9
