"""Labels of object detection, and their result for one frame.

Light on purpose: the formats name labels too (`core.vault.segment`), and a role that only passes them on pays for no
arithmetic.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Box", "Detection", "ObjectLabel", "sorted_labels"]

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
