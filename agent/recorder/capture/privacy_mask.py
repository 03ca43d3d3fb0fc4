"""Blackens the private part of each picture, in place, before encoder, detector and poster see it.

The black area is exactly `ZoneMap.privacy_mask`, which the detector ignores. It is not drawn with `fillPoly`: if
several polygons overlap, `fillPoly` leaves open the area that an even number of them covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.motion.zones import Mask
from agent.ports import MaskedArea

__all__ = ["PrivacyMask"]

Pixels = npt.NDArray[np.uint8]
_BLACK: Final = 16
_NEUTRAL: Final = 128


class PrivacyMask:
    """Masks pictures of any size, and keeps the mask of the last size."""

    def __init__(self, zones: MaskedArea) -> None:
        self._zones = zones
        self._fills: dict[tuple[bool, tuple[int, ...]], _Fill] = {}

    def __bool__(self) -> bool:
        return self._zones.has_privacy

    def black(self, planes: Sequence[Pixels]) -> None:
        """`planes`: Y, (H, W), and chroma of 4:2:0 behind it, one (H/2, W/2, 2) or two (H/2, W/2)."""
        for number, plane in enumerate(planes):
            colour = number > 0
            if (colour, plane.shape) not in self._fills:
                self._fills[colour, plane.shape] = self._drawn(plane.shape, colour=colour)
            self._fills[colour, plane.shape].into(plane)

    def _drawn(self, shape: tuple[int, ...], *, colour: bool) -> _Fill:
        height, width = shape[:2]
        if not colour:
            return _Fill(self._zones.privacy_mask(height, width), _BLACK)
        # A sample of colour is that of four pixels: it goes with the first of them that is private.
        pixels = self._zones.privacy_mask(2 * height, 2 * width)
        mask: Mask = np.asarray(pixels.reshape(height, 2, width, 2).any(axis=(1, 3)))
        return _Fill(mask if len(shape) == 2 else np.repeat(mask[:, :, None], shape[2], axis=2), _NEUTRAL)


class _Fill:
    """`value` where `mask`, (H, W) or (H, W, channels), is true: two quick passes over the box around it."""

    def __init__(self, mask: Mask, value: int) -> None:
        rows, columns = (np.flatnonzero(mask.reshape(*mask.shape[:2], -1).any(axis=(other, 2))) for other in (1, 0))
        self._box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else np.s_[:0, :0]
        inside = mask[self._box]
        self._kept = np.where(inside, 0, 255).astype(np.uint8)
        self._put = np.where(inside, value, 0).astype(np.uint8)

    def into(self, plane: Pixels) -> None:
        if self._kept.size:
            part = plane[self._box]
            cv2.bitwise_and(part, self._kept, dst=part)
            cv2.bitwise_or(part, self._put, dst=part)
