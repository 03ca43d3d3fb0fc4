"""Finds faces in a picture: where they are, and nothing about who they are.

The network is libfacedetection's (53 184 weights, 98 kB), which is YuNet without its five points of a face, which we
leave out. It reads a picture of any size in one pass: three layers look for faces of about 8 to 32, 16 to 64 and 32 to
300 pixels. `scripts/pack_face_network.py` makes the file of weights from a pinned package. The page has the same file
and the same arithmetic (agent/web/src/media/face_network.js, compared by tests/web/test_suggesting.py).

Source: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023; Shiqi Yu, libfacedetection (BSD-3-Clause).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

import agent
from agent.clients.media.pinned_file import read_pinned

__all__ = ["LAYERS", "WEIGHTS", "Face", "FaceNetwork", "Layer"]

WEIGHTS: Final = Path(agent.__file__).resolve().parent / "web" / "static" / "faces.bin"
"""Beside the page, which loads the same file."""
SHA256: Final = "9c7fcb5362c9f43416261a066af9f87a3f5f7f1bae8a7b7d5ac426c01eb3a3e8"

_Plane = NDArray[np.float32]
"""Channels, rows, columns."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution: of single pixels (`pw`, inputs × outputs weights), or of 3 × 3 pixels of each channel (`dw`)."""

    name: str
    inputs: int
    outputs: int

    @property
    def count(self) -> int:
        return 9 * self.outputs if self.name.endswith("dw") else self.inputs * self.outputs


def _pair(name: str, inputs: int, outputs: int) -> tuple[Layer, Layer]:
    return Layer(f"{name}_pw", inputs, outputs), Layer(f"{name}_dw", outputs, outputs)


_HEADS: Final = {"cls": 1, "obj": 1, "bbox": 4}
_STRIDES_PX: Final = (8, 16, 32)
_WIDTHS: Final = ((16, 16, 32), (32, 32, 64), (64, 64, 64), (64, 64, 64), (64, 64, 64))
"""Channels into a stage, between its two convolutions, and out of it."""
LAYERS: Final = (
    Layer("backbone__model0_pw", 27, 16),
    *_pair("backbone__model0_dp", 16, 16),
    *(
        layer
        for stage, (first, middle, last) in enumerate(_WIDTHS, start=1)
        for layer in (
            *_pair(f"backbone__model{stage}_dp1", first, middle),
            *_pair(f"backbone__model{stage}_dp2", middle, last),
        )
    ),
    *(layer for level in range(3) for layer in _pair(f"neck__lateral_convs__{level}", 64, 64)),
    *(
        layer
        for head, outputs in _HEADS.items()
        for level in range(3)
        for layer in _pair(f"bbox_head__multi_level_{head}__{level}", 64, outputs)
    ),
)
"""In the order of the file: each layer's weights, then one bias for each output, as float16, little endian."""
_PAD_PX: Final = 32
_MOST_OVERLAP: Final = 0.45
_LARGEST_LOGIT: Final = 80.0


@dataclass(frozen=True, slots=True)
class Face:
    """A box in pixels of the picture, and how sure the network is, 0..1."""

    score: float
    left: float
    top: float
    right: float
    bottom: float


class FaceNetwork:
    """Raises `ConfigurationError` if the file of weights is missing or another one."""

    def __init__(self, path: Path = WEIGHTS) -> None:
        data = read_pinned(path, SHA256)
        numbers = np.frombuffer(data, "<f2").astype(np.float32)
        self._layers: dict[str, tuple[_Plane, _Plane]] = {}
        at = 0
        for layer in LAYERS:
            weights, bias = numbers[at : at + layer.count], numbers[at + layer.count : at + layer.count + layer.outputs]
            at += layer.count + layer.outputs
            rows = layer.outputs if layer.name.endswith("pw") else 9
            self._layers[layer.name] = weights.reshape(rows, -1), bias

    def find(self, picture: NDArray[np.uint8], least: float) -> list[Face]:
        """Returns the faces with a score of at least `least` in a BGR picture, the surest first."""
        found: list[Face] = []
        for level, features in enumerate(self._features(picture)):
            found += self._faces_in(features, level, least)
        found.sort(key=lambda face: -face.score)
        kept: list[Face] = []
        for face in found:
            if all(overlap(face, other) <= _MOST_OVERLAP for other in kept):
                kept.append(face)
        return kept

    def _features(self, picture: NDArray[np.uint8]) -> list[_Plane]:
        """Returns the features at a eighth, a sixteenth and a thirty-second of the size."""
        height, width = picture.shape[:2]
        rows, columns = -(-height // _PAD_PX) * _PAD_PX, -(-width // _PAD_PX) * _PAD_PX
        padded = np.zeros((rows + 2, columns + 2, 3), np.float32)
        padded[1 : height + 1, 1 : width + 1] = picture
        around = [
            padded[down : down + rows : 2, right : right + columns : 2, colour]
            for down in range(3)
            for right in range(3)
            for colour in range(3)
        ]
        features = np.maximum(self._points(np.stack(around), "backbone__model0_pw"), 0)
        features = _halved(self._pair(features, "backbone__model0_dp"))
        levels: list[_Plane] = []
        for stage in range(1, 6):
            for part in ("dp1", "dp2"):
                features = self._pair(features, f"backbone__model{stage}_{part}")
            if stage >= 3:
                levels.append(features)
            if 2 <= stage <= 4:
                features = _halved(features)
        levels[2] = self._pair(levels[2], "neck__lateral_convs__2")
        for level in (1, 0):
            wider = levels[level + 1].repeat(2, axis=1).repeat(2, axis=2)
            levels[level] = self._pair(levels[level] + wider, f"neck__lateral_convs__{level}")
        return levels

    def _faces_in(self, features: _Plane, level: int, least: float) -> list[Face]:
        def head(kind: str) -> _Plane:
            return self._pair(features, f"bbox_head__multi_level_{kind}__{level}", bounded=False)

        stride = _STRIDES_PX[level]
        scores = np.sqrt(_probability(head("cls")[0]) * _probability(head("obj")[0]))
        rows, columns = np.nonzero(scores >= least)
        if not len(rows):
            return []
        x, y, width, height = head("bbox")[:, rows, columns]
        x, y = (x + columns) * stride, (y + rows) * stride
        half_width = np.exp(np.clip(width, None, _LARGEST_LOGIT)) * stride / 2
        half_height = np.exp(np.clip(height, None, _LARGEST_LOGIT)) * stride / 2
        corners = np.stack([scores[rows, columns], x - half_width, y - half_height, x + half_width, y + half_height])
        return [Face(*map(float, each)) for each in corners.T]

    def _pair(self, features: _Plane, name: str, *, bounded: bool = True) -> _Plane:
        """One convolution of single pixels and one of 3 × 3 in each channel. `bounded`: nothing below zero leaves."""
        points = self._points(features, f"{name}_pw")
        weights, bias = self._layers[f"{name}_dw"]
        for channel, plane in enumerate(points):
            kernel = weights[:, channel].reshape(3, 3)
            cv2.filter2D(plane, -1, kernel, dst=plane, delta=float(bias[channel]), borderType=cv2.BORDER_CONSTANT)
        return np.maximum(points, 0, out=points) if bounded else points

    def _points(self, features: _Plane, name: str) -> _Plane:
        weights, bias = self._layers[name]
        channels, rows, columns = features.shape
        made: _Plane = weights @ features.reshape(channels, -1)
        made += bias[:, None]
        return made.reshape(-1, rows, columns)


def overlap(one: Face, other: Face) -> float:
    """Intersection over union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    sizes = sum((each.right - each.left) * (each.bottom - each.top) for each in (one, other))
    return both / (sizes - both)


def _halved(features: _Plane) -> _Plane:
    """Returns the greatest of each 2 × 2 pixels."""
    top = np.maximum(features[:, ::2, ::2], features[:, ::2, 1::2])
    return np.maximum(top, np.maximum(features[:, 1::2, ::2], features[:, 1::2, 1::2]))


def _probability(logits: _Plane) -> _Plane:
    chance: _Plane = np.nan_to_num(1 / (1 + np.exp(-np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT))))
    return chance
