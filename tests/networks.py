"""Networks for tests: one that sees what it is told to, and the real ones where they are installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.core.object_detection.arrays import Numbers, Pixels
from agent.core.object_detection.boxes import OBJECTS_PX, object_anchors
from agent.core.object_detection.detector import CLASSES, ObjectDetector
from agent.core.object_detection.labels import Box, ObjectLabel
from agent.errors import DeviceError
from agent.recorder.detector_litert import MODELS, absent, open_detector

Seen = list[tuple[ObjectLabel, Box, float]]
_CLASSES = 24
_NEVER = -9.0


class FakeNetwork:
    """An object network that finds in any picture what `sees` says: sight, box (0..1 of the square) and score."""

    def __init__(self, sees: Callable[[Pixels], Seen]) -> None:
        self._sees = sees

    def infer(self, pixels: Pixels) -> tuple[Numbers, Numbers]:
        if pixels.shape != (1, OBJECTS_PX, OBJECTS_PX, 3) or pixels.dtype != np.float32:
            raise DeviceError(f"This network wants a square of {OBJECTS_PX} px.")
        boxes = np.zeros((len(object_anchors()), 4), np.float32)
        logits = np.full((len(object_anchors()), _CLASSES), _NEVER, np.float32)
        for sight, box, score in self._sees(pixels):
            anchor = nearest_anchor(box)
            boxes[anchor] = encoded(box, anchor)
            logits[anchor, CLASSES[sight][0]] = math.log(score / (1 - score))
        return boxes, logits


def bright_person(pixels: Pixels) -> Seen:
    """A person wherever the picture is nearly white."""
    rows, columns = np.nonzero(pixels[0, :, :, 0] > 0.9)
    if not len(rows):
        return []
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    x0, y0, x1, y1 = (float(each) / OBJECTS_PX for each in box)
    return [(ObjectLabel.PERSON, (x0, y0, x1, y1), 0.6)]


def everywhere(sight: ObjectLabel) -> Callable[[Pixels], Seen]:
    """One of it in each of sixteen places, whatever the picture: wherever something moves, there it is."""
    places = [(x / 4, y / 4, x / 4 + 0.25, y / 4 + 0.25) for x in range(4) for y in range(4)]
    return lambda _pixels: [(sight, place, 0.6) for place in places]


def nearest_anchor(box: Box) -> int:
    """The anchor with the nearest centre and size: the one that a real network would answer with."""
    wanted = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]])
    return int(np.abs(object_anchors() - wanted).sum(axis=1).argmin())


def encoded(box: Box, anchor: int) -> Numbers:
    """`box` as an SSD says it relative to `anchor`: the inverse of what is decoded."""
    x, y, width, height = map(float, object_anchors()[anchor])
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return np.array(
        [
            (centre_y - y) / height * 10,
            (centre_x - x) / width * 10,
            math.log((box[3] - box[1]) / height) * 5,
            math.log((box[2] - box[0]) / width) * 5,
        ],
        np.float32,
    )


def fake_eye(sees: Callable[[Pixels], Seen] = bright_person) -> ObjectDetector:
    return ObjectDetector(FakeNetwork(sees).infer)


def real_models() -> Path:
    """The place of the real ones; skips, and says so, if they are missing."""
    if why := absent(MODELS):
        pytest.skip(f"{why} Run `make models`.")
    return MODELS


def real_eye() -> ObjectDetector:
    return open_detector(real_models())
