"""Decides whether an event's footage is discarded because of its labels, if the owner asked for that.

Events are kept in every doubt: by default, after a press of the button, and if too few frames were examined, because
the board was too warm or too busy, or a network failed. Discarded footage cannot be restored, and an opinion is wrong
now and then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from agent.core.events import EventKind
from agent.core.object_detection.labels import KeepFilter, ObjectLabel
from agent.core.timebase import NS_PER_S

__all__ = ["MAX_UNINFERRED_NS", "MIN_INFERENCES", "may_discard_event"]

MIN_INFERENCES: Final = 4
"""Fewer say nothing about an event."""
MAX_UNINFERRED_NS: Final = 5 * NS_PER_S
"""A person can come and go within this time."""


def may_discard_event(
    keep: KeepFilter, kind: EventKind, shown: Collection[ObjectLabel], inferences: int, uninferred_ns: int
) -> bool:
    """`kind`: the strongest of its causes. `uninferred_ns`: the longest stretch without an inference."""
    watched_well = inferences >= MIN_INFERENCES and uninferred_ns <= MAX_UNINFERRED_NS
    if keep is KeepFilter.ALL or kind is EventKind.BUTTON or not watched_well:
        return False
    return keep.labels.isdisjoint(shown)
