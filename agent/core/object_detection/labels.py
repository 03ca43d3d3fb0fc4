"""Labels of object detection: their result for one frame, and from many frames which labels an event has.

Rules for an event, and for each stretch of it:
- **Moving objects count.**  A detection has a vote only if at least a third of its box lies in the region that has
  moved within the last seconds.  In an event without motion (a press of the button) only a person counts, at any place.
- **Static objects do not.**  A vehicle, animal or parcel that was seen in a place without motion was there
  before; later motion in front of it does not make it a visitor.  A person never counts as static.
- **One inference is often wrong and seldom thrice.**  A label is believed as soon as its scores of the last inferences
  add up: two good ones, three poor ones.
- **Only its own time.**  The labels of a stretch rest on inferences of that stretch's frames: a requester who gets one
  segment of an event learns nothing about the others.

Pure: instants are sensor times given by the caller. Arrays are in `boxes.py`, because the formats name labels too
(`core.vault.segment`), and a role that only passes them on has no use for arrays.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["Box", "Detection", "LabelVotes", "MovedRegions", "ObjectLabel", "is_moving", "overlap", "sorted_labels"]

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1), each 0..1 of the picture, x0 < x1 and y0 < y1."""


class ObjectLabel(enum.Enum):
    """In the order in which a doorbell's owner cares."""

    PERSON = "person"
    VEHICLE = "vehicle"
    ANIMAL = "animal"
    PARCEL = "parcel"
    """A word of the formats. The present network does not know it."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One of them in one frame.  `score` 0..1 is the network's own, which is no probability."""

    label: ObjectLabel
    score: float
    box: Box


def sorted_labels(labels: Iterable[ObjectLabel]) -> tuple[ObjectLabel, ...]:
    """Each once, in the order of `ObjectLabel`: one spelling for one meaning."""
    found = frozenset(labels)
    return tuple(label for label in ObjectLabel if label in found)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


_LEAST_MOVED: Final = 1 / 3
_MARGIN: Final = 0.04
"""Motion is found on a coarse grid; its box may be one cell too small on each side."""
_MOVED_FOR_NS: Final = 2 * NS_PER_S
_SAME_PLACE: Final = 0.5
"""Intersection over union; a network's boxes of one parked car differ by less."""
_MAX_STATIC_OBJECTS: Final = 32
_BELIEVED: Final = 0.75
_LATELY: Final = 12
"""Looks that add up."""
_MOST_LOOKS: Final = 256
"""Remembered for stretches; an event that is longer forgets its oldest looks, which were sealed long ago."""


def is_moving(detection: Detection, moved: Box | None) -> bool:
    """Returns True if enough of it moved. `moved` None: everything stood still, and only a person counts."""
    if moved is None:
        return detection.label is ObjectLabel.PERSON
    x0, y0, x1, y1 = detection.box
    width = min(x1, moved[2] + _MARGIN) - max(x0, moved[0] - _MARGIN)
    height = min(y1, moved[3] + _MARGIN) - max(y0, moved[1] - _MARGIN)
    return width > 0 and height > 0 and width * height >= _LEAST_MOVED * (x1 - x0) * (y1 - y0)


class MovedRegions:
    """The region that has moved within the last seconds of one event: the box around all of it.

    At rest it keeps the last region that moved. None before the first motion, for example after a press of the button.
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


@dataclass(slots=True)
class LabelVotes:
    """The votes of one event. `inferences` counts all of them; frames without one have no vote."""

    inferences: int = 0
    _shown: set[ObjectLabel] = field(default_factory=set)
    _lately: deque[dict[ObjectLabel, float]] = field(default_factory=lambda: deque(maxlen=_LATELY))
    _static_objects: deque[Box] = field(default_factory=lambda: deque(maxlen=_MAX_STATIC_OBJECTS))
    _inferences: deque[tuple[BootNs, frozenset[ObjectLabel]]] = field(default_factory=lambda: deque(maxlen=_MOST_LOOKS))

    def add(self, at_ns: BootNs, detections: Iterable[Detection], moved: Box | None) -> None:
        """One look at the frame of `at_ns`; `moved`: where something moved shortly before."""
        scores: dict[ObjectLabel, float] = {}
        for detection in detections:
            if self._counts(detection, moved):
                # The best one alone: several boxes of one label in a frame are one vote.
                scores[detection.label] = max(detection.score, scores.get(detection.label, 0.0))
        self.inferences += 1
        self._inferences.append((at_ns, frozenset(scores)))
        self._lately.append(scores)
        for label in scores:
            if sum(each.get(label, 0.0) for each in self._lately) >= _BELIEVED:
                self._shown.add(label)

    @property
    def is_unsure(self) -> bool:
        """Frames of the event were examined, and no label is certain enough to be told."""
        return self.inferences > 0 and not self._shown

    @property
    def shown(self) -> tuple[ObjectLabel, ...]:
        """Returns the labels of the event, as far as it was examined."""
        return sorted_labels(self._shown)

    def shown_between(self, from_ns: BootNs, until_ns: BootNs) -> tuple[ObjectLabel, ...] | None:
        """Returns the labels of [from, until). None: without an inference there."""
        found = [labels for at_ns, labels in self._inferences if from_ns <= at_ns < until_ns]
        if not found:
            return None
        # A stretch has few inferences, so a label that the event did not confirm is left out.
        return sorted_labels(self._shown.intersection(frozenset[ObjectLabel]().union(*found)))

    def _counts(self, detection: Detection, moved: Box | None) -> bool:
        moving = is_moving(detection, moved)
        if detection.label is ObjectLabel.PERSON:
            return moving
        if any(overlap(detection.box, box) > _SAME_PLACE for box in self._static_objects):
            return False
        if not moving:
            self._static_objects.append(detection.box)
        return moving
