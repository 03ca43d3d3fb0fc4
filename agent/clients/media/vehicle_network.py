"""Finds vehicles in a picture. A cover over a whole vehicle also hides a number plate that the cascade misses.

The network is the one of the doorbell's object detection (`core.object_detection`), 3.7 MB. The page lacks it. It is
asked about the whole picture and about nine parts of it, so that vehicles of a twentieth of the picture are found.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.clients.media.pinned_file import VEHICLES_SHA256, read_pinned
from agent.core.object_detection.boxes import OBJECTS_PX, decode, suppress
from agent.core.object_detection.labels import Box
from agent.core.object_detection.letterbox import WHOLE, fit

__all__ = ["VehicleNetwork"]

LEAST_SCORE: Final = 0.15
"""Far below the doorbell's 0.4, which is for alerts. A cover in vain is removed by its owner."""
_CLASSES: Final = (2, 3, 5, 7)
"""Car, motorcycle, bus and truck in the list of COCO's 80 classes."""
_BEGINS: Final = (0.0, 0.25, 0.5)
REGIONS: Final[tuple[Box, ...]] = (
    WHOLE,
    *((left, top, left + 0.5, top + 0.5) for left, top in product(_BEGINS, _BEGINS)),
)
"""The whole picture, and parts of half its width and height that overlap by half."""
_MOST_OVERLAP: Final = 0.5


class VehicleNetwork:
    """`path`: the file `objects.onnx`. Raises `ConfigurationError` if it is missing or another one."""

    def __init__(self, path: Path) -> None:
        data = read_pinned(path, VEHICLES_SHA256)
        self._network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))

    def find(self, picture: NDArray[np.uint8]) -> list[tuple[float, Box]]:
        """Returns the vehicles of a BGR picture with their scores, the surest first.

        Boxes are shares of the picture.
        """
        found = []
        for region in REGIONS:
            pixels, placing = fit(picture, OBJECTS_PX, region)
            self._network.setInput(cv2.dnn.blobFromImage(pixels, swapRB=True))
            answer = np.array(self._network.forward()[0], np.float32)
            placed = ((placing.back(box), score) for box, score in decode(answer, _CLASSES, LEAST_SCORE))
            found += [(box, score) for box, score in placed if box is not None]
        return [(score, box) for box, score in suppress(found, _MOST_OVERLAP)]
