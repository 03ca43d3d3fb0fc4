"""Decodes what the two networks answer: a box and scores for each of a fixed set of anchors.

Objects: an SSD over MobileNetV2 in a square of 300 px.  Six layers of anchors, strides 16 to 512, of which the first
has three shapes and the others six; a box is said relative to its anchor, centre in tenths and size in fifths of a
logarithm.  (Liu et al., *SSD: Single Shot MultiBox Detector*, 2016, section 2.2; TensorFlow Object Detection API,
`faster_rcnn_box_coder`; MediaPipe, `ssd_anchors_calculator`.)

Faces: MediaPipe's full-range detector in a square of 192 px.  One layer, stride 4, anchors without a shape: a box is
said in pixels of the square.  (Bazarevsky et al., *BlazeFace*, 2019.)

Arrays of another shape raise `FormatError`: they come from a network that this code was not written for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from agent.core.object_detection.arrays import Numbers
from agent.core.object_detection.labels import Box
from agent.errors import FormatError

__all__ = [
    "FACES_PX",
    "OBJECTS_PX",
    "decode_faces",
    "decode_objects",
    "object_anchors",
    "overlap",
    "suppress",
]

OBJECTS_PX = 300
FACES_PX = 192
_STRIDES_PX = (16, 32, 64, 128, 256, 512)
_SMALLEST, _LARGEST = 0.2, 0.95
_SHAPES = (1.0, 2.0, 0.5, 3.0, 1 / 3)
"""Width to height."""
_CENTRE, _SIZE = 10.0, 5.0
_FACE_STRIDE_PX = 4
_LARGEST_LOGIT = 80.0
_LARGEST_GROWTH = 4.0
"""A real answer is smaller than e⁴ times its anchor. Without a bound the exponential overflows."""


@cache
def object_anchors() -> Numbers:
    """(1917, 4): centre x, centre y, width, height, each 0..1 of the square."""
    last = len(_STRIDES_PX) - 1
    scales = [_SMALLEST + (_LARGEST - _SMALLEST) * layer / last for layer in range(last + 1)] + [1.0]
    anchors: list[tuple[float, float, float, float]] = []
    for layer, stride_px in enumerate(_STRIDES_PX):
        if layer == 0:
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            between = math.sqrt(scales[layer] * scales[layer + 1])
            shapes = [*((scales[layer], shape) for shape in _SHAPES), (between, 1.0)]
        cells = math.ceil(OBJECTS_PX / stride_px)
        for row, column in itertools.product(range(cells), repeat=2):
            centre = ((column + 0.5) / cells, (row + 0.5) / cells)
            anchors += [(*centre, scale * math.sqrt(shape), scale / math.sqrt(shape)) for scale, shape in shapes]
    return np.array(anchors, np.float32)


@cache
def _face_centres() -> Numbers:
    cells = FACES_PX // _FACE_STRIDE_PX
    centres = [((column + 0.5) / cells, (row + 0.5) / cells) for row in range(cells) for column in range(cells)]
    return np.array(centres, np.float32)


def decode_objects(boxes: Numbers, logits: Numbers, classes: Sequence[int], least: float) -> list[tuple[Box, float]]:
    """Returns those of the 1917 answers with a best score among `classes` of at least `least`, with that score.

    `boxes` (1917, 4) as centre y, centre x, height, width relative to the anchors; `logits` (1917, classes in all).
    """
    anchors = object_anchors()
    if boxes.shape != anchors.shape or logits.ndim != 2 or len(logits) != len(anchors):
        raise FormatError(f"The object network answers in an unknown shape: {boxes.shape}, {logits.shape}.")
    scores = _probability(logits[:, list(classes)].max(axis=1))
    found = scores >= least
    x, y, width, height = anchors[found].T
    dy, dx, dh, dw = boxes[found].T
    centre_x, centre_y = dx / _CENTRE * width + x, dy / _CENTRE * height + y
    half_width = np.exp(np.clip(dw / _SIZE, None, _LARGEST_GROWTH)) * width / 2
    half_height = np.exp(np.clip(dh / _SIZE, None, _LARGEST_GROWTH)) * height / 2
    corners = np.stack(
        [centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height], axis=1
    )
    return _listed(corners, scores[found])


def decode_faces(boxes: Numbers, logits: Numbers, least: float) -> list[tuple[Box, float]]:
    """`boxes` (2304, 16), of which the first four are centre and size in px; `logits` (2304, 1)."""
    centres = _face_centres()
    if boxes.shape != (len(centres), 16) or logits.shape != (len(centres), 1):
        raise FormatError(f"The face network answers in an unknown shape: {boxes.shape}, {logits.shape}.")
    scores = _probability(logits[:, 0])
    found = scores >= least
    middle = boxes[found, :2] / FACES_PX + centres[found]
    half = np.abs(boxes[found, 2:4]) / (2 * FACES_PX)
    return _listed(np.concatenate([middle - half, middle + half], axis=1), scores[found])


def suppress(found: list[tuple[Box, float]], most_overlap: float) -> list[tuple[Box, float]]:
    """Keeps only the best of boxes that overlap by more than `most_overlap` (intersection over union); best first."""
    kept: list[tuple[Box, float]] = []
    for box, score in sorted(found, key=lambda each: -each[1]):
        if all(overlap(box, other) <= most_overlap for other, _score in kept):
            kept.append((box, score))
    return kept


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _probability(logits: Numbers) -> Numbers:
    """A network that answers NaN has seen nothing."""
    found: Numbers = np.nan_to_num(1 / (1 + np.exp(-np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT))))
    return found


def _listed(corners: Numbers, scores: Numbers) -> list[tuple[Box, float]]:
    whole = np.isfinite(corners).all(axis=1)
    return [
        ((float(x0), float(y0), float(x1), float(y1)), float(score))
        for (x0, y0, x1, y1), score in zip(corners[whole], scores[whole], strict=True)
    ]
