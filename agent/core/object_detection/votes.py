"""Decides, from many looks at one event, what the event shows, and what each stretch of it does.

Rules:
- **What moved counts.**  A sighting has a vote only where at least a third of its box lies in what has moved within the
  last seconds.  In an event without motion (a press of the button) only a person counts, wherever they are.
- **Furniture does not.**  A vehicle, animal or parcel that was seen where nothing had moved was there before; later
  motion in front of it does not make it a visitor.  A person is never furniture.
- **One look is often wrong and seldom thrice.**  A sight is believed from when its scores of the last looks add up:
  two good ones, three poor ones.
- **Only its own time.**  What is said of a stretch rests on looks at frames of that stretch: whoever is given one
  segment of an event learns nothing about the others.

Pure: instants are sensor times given by the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from agent.core.object_detection.boxes import overlap
from agent.core.object_detection.labels import Box, Sight, Sighting, in_order
from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["Attention", "EventVotes", "Moved", "counts_as_moving"]

_LEAST_MOVED: Final = 1 / 3
_MARGIN: Final = 0.04
"""Motion is found on a coarse grid; its box may be one cell too small on each side."""
_MOVED_FOR_NS: Final = 2 * NS_PER_S
_SAME_PLACE: Final = 0.5
"""Intersection over union; a network's boxes of one parked car differ by less."""
_MOST_FURNITURE: Final = 32
_BELIEVED: Final = 0.75
_LATELY: Final = 12
"""Looks that add up."""
_MOST_LOOKS: Final = 256
"""Remembered for stretches; an event that is longer forgets its oldest looks, which were sealed long ago."""


def counts_as_moving(sighting: Sighting, moved: Box | None) -> bool:
    """Is enough of it where something moved?  `moved` None: nothing did, and only a person counts."""
    if moved is None:
        return sighting.sight is Sight.PERSON
    x0, y0, x1, y1 = sighting.box
    width = min(x1, moved[2] + _MARGIN) - max(x0, moved[0] - _MARGIN)
    height = min(y1, moved[3] + _MARGIN) - max(y0, moved[1] - _MARGIN)
    return width > 0 and height > 0 and width * height >= _LEAST_MOVED * (x1 - x0) * (y1 - y0)


class Moved:
    """Where something has moved within the last seconds of one event: the box around all of it.

    When nothing moves any more, what moved last stays.  None until anything does: somebody pressed the button.
    """

    def __init__(self) -> None:
        self._boxes: deque[tuple[BootNs, Box]] = deque()

    def add(self, at_ns: BootNs, box: Box | None, *, present: bool) -> None:
        """One frame's motion.  `present`: a visitor stands still where motion was last, so that stays."""
        if box is not None:
            self._boxes.append((at_ns, box))
        elif present and self._boxes:
            self._boxes.append((at_ns, self._boxes.pop()[1]))
        while len(self._boxes) > 1 and at_ns - self._boxes[0][0] > _MOVED_FOR_NS:
            self._boxes.popleft()

    @property
    def box(self) -> Box | None:
        if not self._boxes:
            return None
        x0, y0, x1, y1 = zip(*(box for _at, box in self._boxes), strict=True)
        return min(x0), min(y0), max(x1), max(y1)


class Attention:
    """How well an event was watched: the longest stretch of what is kept of it in which nobody looked."""

    def __init__(self) -> None:
        self._since_ns = self._newest_ns = BootNs(0)
        self._longest_ns = 0

    def begin(self, at_ns: BootNs) -> None:
        """A clip of the event begins, the first or a later one."""
        self._longest_ns = self.unlooked_ns
        self._since_ns = self._newest_ns = at_ns

    def frame(self, at_ns: BootNs) -> None:
        """It goes on."""
        self._newest_ns = at_ns

    def look(self, at_ns: BootNs) -> None:
        """The frame of `at_ns` was looked at, some time after it came."""
        self._longest_ns = max(self._longest_ns, at_ns - self._since_ns)
        self._since_ns = max(self._since_ns, at_ns)

    @property
    def unlooked_ns(self) -> int:
        return max(self._longest_ns, self._newest_ns - self._since_ns)


@dataclass(slots=True)
class EventVotes:
    """One event's.  `looks` counts all of them; what was never looked at says nothing."""

    looks: int = 0
    _shown: set[Sight] = field(default_factory=set)
    _lately: deque[dict[Sight, float]] = field(default_factory=lambda: deque(maxlen=_LATELY))
    _furniture: deque[Box] = field(default_factory=lambda: deque(maxlen=_MOST_FURNITURE))
    _looks: deque[tuple[BootNs, frozenset[Sight]]] = field(default_factory=lambda: deque(maxlen=_MOST_LOOKS))

    def add(self, at_ns: BootNs, sightings: Iterable[Sighting], moved: Box | None) -> None:
        """One look at the frame of `at_ns`; `moved`: where something moved shortly before."""
        scores: dict[Sight, float] = {}
        for sighting in sightings:
            if self._counts(sighting, moved):
                scores[sighting.sight] = max(sighting.score, scores.get(sighting.sight, 0.0))
        self.looks += 1
        self._looks.append((at_ns, frozenset(scores)))
        self._lately.append(scores)
        for sight in scores:
            if sum(look.get(sight, 0.0) for look in self._lately) >= _BELIEVED:
                self._shown.add(sight)

    @property
    def shown(self) -> tuple[Sight, ...]:
        """What the event shows, as far as it was looked at."""
        return in_order(self._shown)

    def shown_between(self, from_ns: BootNs, until_ns: BootNs) -> tuple[Sight, ...] | None:
        """Of that, what was seen in [from, until).  None: nobody looked there."""
        looks = [sights for at_ns, sights in self._looks if from_ns <= at_ns < until_ns]
        if not looks:
            return None
        return in_order(self._shown.intersection(frozenset[Sight]().union(*looks)))

    def _counts(self, sighting: Sighting, moved: Box | None) -> bool:
        moving = counts_as_moving(sighting, moved)
        if sighting.sight is Sight.PERSON:
            return moving
        if any(overlap(sighting.box, box) > _SAME_PLACE for box in self._furniture):
            return False
        if not moving:
            self._furniture.append(sighting.box)
        return moving
