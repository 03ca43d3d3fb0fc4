"""Decides whether an event's footage is let go because of what an opinion says, where the owner asked for that.

Kept in every doubt: by default, after a press of the button, and when the event was not watched well, because the board
was too warm or too busy, or a network failed.  What is let go cannot be had back, and an opinion is wrong now and then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from agent.core.events import EventKind
from agent.core.object_detection.labels import Keep, Sight
from agent.core.timebase import NS_PER_S

__all__ = ["LEAST_LOOKS", "MOST_UNLOOKED_NS", "lets_go"]

LEAST_LOOKS: Final = 4
"""Fewer say nothing about an event."""
MOST_UNLOOKED_NS: Final = 5 * NS_PER_S
"""Within so long somebody can come and go."""


def lets_go(keep: Keep, kind: EventKind, shown: Collection[Sight], looks: int, unlooked_ns: int) -> bool:
    """`kind`: the strongest of its causes.  `unlooked_ns`: the longest stretch in which nobody looked."""
    watched_well = looks >= LEAST_LOOKS and unlooked_ns <= MOST_UNLOOKED_NS
    if keep is Keep.ALL or kind is EventKind.BUTTON or not watched_well:
        return False
    return keep.sights.isdisjoint(shown)
