"""Networks for tests: one that sees what it is told to, and the real one where it is installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.core.object_detection.arrays import Numbers, Pixels
from agent.core.object_detection.boxes import CLASSES_FROM, OBJECTS_PX, object_cells
from agent.core.object_detection.detector import CLASSES, ObjectDetector
from agent.core.object_detection.labels import Box, ObjectLabel
from agent.errors import DeviceError
from agent.recorder.detector_opencv import MODELS, absent, open_detector

Seen = list[tuple[ObjectLabel, Box, float]]
_COLUMNS = 85


class FakeNetwork:
    """An object network that finds in any picture what `sees` says: sight, box (0..1 of the square) and score."""

    def __init__(self, sees: Callable[[Pixels], Seen]) -> None:
        self._sees = sees

    def infer(self, pixels: Pixels) -> Numbers:
        if pixels.shape != (OBJECTS_PX, OBJECTS_PX, 3) or pixels.dtype != np.uint8:
            raise DeviceError(f"This network wants a square of {OBJECTS_PX} px.")
        answer = np.zeros((len(object_cells()), _COLUMNS), np.float32)
        for cell, (sight, box, score) in enumerate(self._sees(pixels)):  # any cell can say any box
            answer[cell, :4] = encoded(box, cell)
            answer[cell, CLASSES_FROM - 1] = 1.0
            answer[cell, CLASSES_FROM + CLASSES[sight][0]] = score
        return answer


def bright_person(pixels: Pixels) -> Seen:
    """A person wherever the picture is nearly white."""
    rows, columns = np.nonzero(pixels[:, :, 0] > 240)
    if not len(rows):
        return []
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    x0, y0, x1, y1 = (float(each) / OBJECTS_PX for each in box)
    return [(ObjectLabel.PERSON, (x0, y0, x1, y1), 0.6)]


def everywhere(sight: ObjectLabel) -> Callable[[Pixels], Seen]:
    """One of it in each of sixteen places, whatever the picture: wherever something moves, there it is."""
    places = [(x / 4, y / 4, x / 4 + 0.25, y / 4 + 0.25) for x in range(4) for y in range(4)]
    return lambda _pixels: [(sight, place, 0.6) for place in places]


def encoded(box: Box, cell: int) -> Numbers:
    """`box` as the network says it relative to `cell`: the inverse of what is decoded."""
    column, row, side = map(float, object_cells()[cell])
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    size = (math.log((box[2] - box[0]) / side), math.log((box[3] - box[1]) / side))
    return np.array([centre_x / side - column, centre_y / side - row, *size], np.float32)


def fake_eye(sees: Callable[[Pixels], Seen] = bright_person) -> ObjectDetector:
    return ObjectDetector(FakeNetwork(sees).infer)


def real_models() -> Path:
    """The folder of the real one; skips, and says so, if it is missing."""
    if why := absent(MODELS):
        pytest.skip(f"{why} Run `make models`.")
    return MODELS


def real_eye() -> ObjectDetector:
    return open_detector(real_models())
