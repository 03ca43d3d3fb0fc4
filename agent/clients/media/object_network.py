"""Finds people and vehicles in a picture, for covers that hide what the other networks miss.

A cover over the head of a body also hides a face that the network of faces misses, for example a small one by infrared.
A cover over a whole vehicle also hides a number plate that the cascade misses.

The network is the one of the doorbell's object detection (`core.object_detection`), 3.7 MB. The page lacks it. It is
asked about the whole picture and about nine parts of it, so that objects of a twentieth of the picture are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.clients.media.pinned_file import OBJECTS_SHA256, read_pinned
from agent.core.object_detection.boxes import OBJECTS_PX, decode, suppress
from agent.core.object_detection.labels import Box
from agent.core.object_detection.letterbox import WHOLE, fit

__all__ = ["FoundObjects", "ObjectNetwork", "head_of"]

LEAST_SCORE: Final = 0.15
"""Far below the doorbell's 0.4, which is for alerts. A cover in vain is removed by its owner."""
_PEOPLE: Final = (0,)
_VEHICLES: Final = (2, 3, 5, 7)
"""Car, motorcycle, bus and truck in the list of COCO's 80 classes."""
_BEGINS: Final = (0.0, 0.25, 0.5)
REGIONS: Final[tuple[Box, ...]] = (
    WHOLE,
    *((left, top, left + 0.5, top + 0.5) for left, top in product(_BEGINS, _BEGINS)),
)
"""The whole picture, and parts of half its width and height that overlap by half."""
_CUT: Final = 0.02
"""A body that begins within this share of the picture's height below the upper side of a part is cut off there."""
_MOST_OVERLAP: Final = 0.5
HEAD_OF_HEIGHT: Final = 1 / 3
"""The head of a standing body is in its upper seventh, and lower if an arm is raised above it."""
HEAD_OF_WIDTH: Final = 0.75
"""A body that sits, or that the picture cuts off, has its head within this share of its width from above."""

_Scored = tuple[float, Box]


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """Scores and boxes, the surest first. Boxes are shares of the picture."""

    people: tuple[_Scored, ...] = ()
    vehicles: tuple[_Scored, ...] = ()


class ObjectNetwork:
    """`path`: the file `objects.onnx`. Raises `ConfigurationError` if it is missing or another one."""

    def __init__(self, path: Path) -> None:
        data = read_pinned(path, OBJECTS_SHA256)
        self._network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))

    def find(self, picture: NDArray[np.uint8]) -> FoundObjects:
        """Returns the people and vehicles of a BGR picture."""
        people: list[tuple[Box, float]] = []
        vehicles: list[tuple[Box, float]] = []
        for region in REGIONS:
            pixels, placing = fit(picture, OBJECTS_PX, region)
            self._network.setInput(cv2.dnn.blobFromImage(pixels, swapRB=True))
            answer = np.array(self._network.forward()[0], np.float32)
            for classes, found in ((_PEOPLE, people), (_VEHICLES, vehicles)):
                placed = ((placing.back(box), score) for box, score in decode(answer, classes, LEAST_SCORE))
                found += [
                    (box, score)
                    for box, score in placed
                    if box is not None and not (found is people and _is_headless(box, region))
                ]
        return FoundObjects(_surest(people), _surest(vehicles))


def head_of(body: Box, width_px: int, height_px: int) -> Box:
    """Returns the part of a body's box that has its head, as shares of a picture of that size."""
    left, top, right, bottom = body
    from_width = HEAD_OF_WIDTH * (right - left) * width_px / height_px
    return left, top, right, min(bottom, top + max(HEAD_OF_HEIGHT * (bottom - top), from_width))


def _is_headless(body: Box, region: Box) -> bool:
    """True if a part's upper side cuts off the body. Another part, or the whole picture, shows its head."""
    return region[1] > 0 and body[1] - region[1] < _CUT


def _surest(found: list[tuple[Box, float]]) -> tuple[_Scored, ...]:
    return tuple((score, box) for box, score in suppress(found, _MOST_OVERLAP))
