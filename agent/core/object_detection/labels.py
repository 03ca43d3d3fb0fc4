"""Labels of object detection, and their result for one frame.

Light on purpose: the formats name labels too (`core.vault.segment`), and a role that only passes them on pays for no
arithmetic.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["Box", "Detection", "KeepFilter", "ObjectLabel", "sorted_labels"]

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1), each 0..1 of the picture, x0 < x1 and y0 < y1."""


class ObjectLabel(enum.Enum):
    """In the order in which a doorbell's owner cares."""

    PERSON = "person"
    VEHICLE = "vehicle"
    ANIMAL = "animal"
    PARCEL = "parcel"


class KeepFilter(enum.Enum):
    """Which events an owner keeps (`keeping.py`)."""

    ALL = "all"
    PEOPLE = "people"
    PEOPLE_AND_VEHICLES = "people_and_vehicles"
    RECOGNISED = "recognised"
    """Any of the four labels."""

    @property
    def labels(self) -> frozenset[ObjectLabel]:
        """The labels that keep an event; unused for `ALL`."""
        return _KEPT_FOR[self]


_KEPT_FOR: Final = {
    KeepFilter.ALL: frozenset[ObjectLabel](),
    KeepFilter.PEOPLE: frozenset({ObjectLabel.PERSON}),
    KeepFilter.PEOPLE_AND_VEHICLES: frozenset({ObjectLabel.PERSON, ObjectLabel.VEHICLE}),
    KeepFilter.RECOGNISED: frozenset(ObjectLabel),
}


@dataclass(frozen=True, slots=True)
class Detection:
    """One of them in one frame.  `score` 0..1 is the network's own, which is no probability."""

    label: ObjectLabel
    score: float
    box: Box


def sorted_labels(labels: Iterable[ObjectLabel]) -> tuple[ObjectLabel, ...]:
    """Each once, in the order of `ObjectLabel`: one spelling for one meaning."""
    found = frozenset(labels)
    return tuple(sight for sight in ObjectLabel if sight in found)
