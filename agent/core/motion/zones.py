"""Decides where motion counts: polygons drawn by the owner, in coordinates relative to the picture.

* An **include** zone is watched.  With no include zone the whole picture is.
* An **exclude** zone is not watched, whatever it lies in.
* A **privacy** zone is not watched *and* not recorded: `ZoneMap.privacy_mask` gives its pixels at any size, and the
  camera side blacks them before encoding.  Privacy wins over everything.
* Where include zones overlap, the highest sensitivity and the smallest minimum size hold: more watching, not less.

A cell or pixel belongs to a polygon when its centre does; on an edge, left and top belong, right and bottom do not, so
zones that share an edge neither overlap nor leave a gap.  Where an outline crosses itself, all that it goes around is
inside (the nonzero rule, as browsers fill it on the page): a mask has no hole that its owner did not see.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.errors import ConfigurationError
from agent.wire.fields import ZoneKind

__all__ = ["Zone", "ZoneMap", "ZoneRaster"]

Mask = npt.NDArray[np.bool_]

_PERSON_SHARE: Final = 0.025
"""Least share of the square of a person's height that the detector sees move. Drawn people cover .22 of it, but a
region is often their outline only: .036 to .14 by day, .025 to .08 at low contrast, for people of .12 to .7 of the
picture's height."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One polygon.  `corners` are (x, y), 0..1 from the top left; the last one joins the first.

    `sensitivity` 0.1..10: 1 is normal, 2 reacts to half the contrast.  `smallest_person` 0..0.8 is a height as a
    share of the picture's: a person this tall counts, and most that are half as tall do not.  Both only matter for
    include zones.
    """

    name: str
    corners: tuple[tuple[float, float], ...]
    kind: ZoneKind = ZoneKind.INCLUDE
    sensitivity: float = 1.0
    smallest_person: float = 0.0

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ConfigurationError(f"Zone '{self.name}': {problem}")

    def _problem(self) -> str | None:
        if len(self.corners) < 3:
            return f"{len(self.corners)} corners enclose nothing; give at least three."
        if not all(0 <= value <= 1 for corner in self.corners for value in corner):
            return "a corner lies outside the picture; x and y are from 0 (left, top) to 1 (right, bottom)."
        if not 0.1 <= self.sensitivity <= 10:
            return f"sensitivity is {self.sensitivity}; give 0.1 (dull) to 10 (keen), 1 is normal."
        if not 0 <= self.smallest_person <= 0.8:
            return f"the smallest person is {self.smallest_person}; give a share of the picture's height, 0 to 0.8."
        return None

    def covers(self, height_px: int, width_px: int) -> Mask:
        """(H, W) bool: the pixels with their centre in the polygon."""
        y = ((np.arange(height_px) + 0.5) / height_px)[:, None]
        x = ((np.arange(width_px) + 0.5) / width_px)[None, :]
        turns = np.zeros((height_px, width_px), np.int16)
        for begin, end in zip(self.corners, self.corners[1:] + self.corners[:1], strict=True):
            # Always from top to bottom: two zones that walk a shared edge in opposite ways must round alike.
            (x0, y0), (x1, y1) = (begin, end) if begin[1] < end[1] else (end, begin)
            if y0 == y1:
                continue
            spanned = (y0 <= y) & (y < y1)
            # The winding number (nonzero rule). By the even-odd rule, the inside of an outline that crosses itself
            # could stay visible.
            turns[spanned & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))] += 1 if begin[1] < end[1] else -1
        return np.not_equal(turns, 0)


@dataclass(frozen=True, slots=True)
class ZoneRaster:
    """Zones on a grid of (rows, columns) cells; owned by the detector that asked for it.

    `watched` is uint8, 255 where motion counts, else 0; `sensitivity` float32, 1 where none counts; `smallest_cells`
    int32, the least number of cells that a moving thing must have there.
    """

    watched: npt.NDArray[np.uint8]
    sensitivity: npt.NDArray[np.float32]
    smallest_cells: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ZoneMap:
    """All zones of one camera."""

    zones: tuple[Zone, ...] = ()

    def __post_init__(self) -> None:
        names = [zone.name for zone in self.zones]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ConfigurationError(
                f"Zone '{repeated[0]}' is given twice; names say where motion was, so keep them apart."
            )

    def rasterise(self, rows: int, columns: int) -> ZoneRaster:
        """The zones on a grid.  Raises `ConfigurationError` when they leave nothing to watch."""
        included = self._of(ZoneKind.INCLUDE) or (Zone("everything", ((0, 0), (1, 0), (1, 1), (0, 1))),)
        watched = np.zeros((rows, columns), np.bool_)
        sensitivity = np.zeros((rows, columns), np.float32)
        smallest = np.full((rows, columns), rows * columns, np.int32)
        for zone in included:
            covered = zone.covers(rows, columns)
            watched |= covered
            cells = math.ceil(_PERSON_SHARE * (zone.smallest_person * rows) ** 2)
            np.maximum(sensitivity, np.float32(zone.sensitivity), out=sensitivity, where=covered)
            np.minimum(smallest, np.int32(cells), out=smallest, where=covered)
        for zone in self._of(ZoneKind.EXCLUDE) + self._of(ZoneKind.PRIVACY):
            watched &= ~zone.covers(rows, columns)
        if not watched.any():
            raise ConfigurationError(
                "The zones leave nothing to watch; make an include zone larger or an exclude zone smaller."
            )
        sensitivity[~watched] = 1
        return ZoneRaster(np.where(watched, 255, 0).astype(np.uint8), sensitivity, smallest)

    def privacy_mask(self, height_px: int, width_px: int) -> Mask:
        """(H, W) bool, True where nothing may be recorded; at any size, main or small stream."""
        mask = np.zeros((height_px, width_px), np.bool_)
        for zone in self._of(ZoneKind.PRIVACY):
            mask |= zone.covers(height_px, width_px)
        return mask

    @property
    def has_privacy(self) -> bool:
        return bool(self._of(ZoneKind.PRIVACY))

    def _of(self, kind: ZoneKind) -> tuple[Zone, ...]:
        return tuple(zone for zone in self.zones if zone.kind is kind)
