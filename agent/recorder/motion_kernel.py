"""Loads the motion detector's native passes, if they were compiled, and says which passes are in force.

`scripts/installation/kernel.py` compiles `agent/core/motion/passes/kernel.c` into the environment if there is a C
compiler; it is optional. The library is used only if it was made from exactly the source beside this program and agrees
on the grids' layout. Otherwise the pure passes give bit-identical results at several times the cost.

The library is loaded with `ctypes`, so it needs no Python headers and serves every Python version. Its calls keep the
interpreter's lock: they take some 20 µs, and giving the lock back and waiting for it again would cost more.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from agent.core.media import Luma
from agent.core.motion import passes as _passes_package
from agent.core.motion.grids import Grids
from agent.core.motion.passes import (
    DRY,
    MOST_REGIONS,
    SMOOTH,
    BackgroundUpdate,
    CellBox,
    MakePasses,
    MotionRegion,
)
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.pyramid import check_luma, halvings, steps_of_luma

__all__ = ["LIBRARY", "SOURCE", "Kernel", "NativePasses", "load"]

SOURCE = Path(_passes_package.__file__).with_name("kernel.c")
LIBRARY = Path(sys.prefix) / "lib" / "doorward" / "motion-kernel.so"

_MOST_CELLS = (120, 160)
_REGION_NUMBERS, _COMPARED_NUMBERS = 11, 10


@dataclass(frozen=True, slots=True)
class Kernel:
    """The passes to give to a detector, and in words which they are and why."""

    make_passes: MakePasses
    native: bool
    told: str


def load(library: Path = LIBRARY) -> Kernel:
    """The native passes, or the pure ones and the reason."""
    if not library.is_file():
        return _pure("it was not compiled: there was no C compiler at set-up")
    try:
        # `PyDLL`, not `CDLL`: it keeps the interpreter's lock, because a call of 20 µs costs less than to get the lock
        # back.
        loaded = ctypes.PyDLL(str(library))
        source_of, bytes_of = loaded.doorward_motion_source, loaded.doorward_motion_grids_bytes
    except (OSError, AttributeError) as error:
        return _pure(f"{library} does not load: {error}")
    source_of.restype = ctypes.c_char_p
    # A library from another version would compute something else, or read beyond the grids.
    if source_of() != hashlib.sha256(SOURCE.read_bytes()).hexdigest().encode():
        return _pure(f"{library} was compiled from another source: run the set-up again")
    if bytes_of() != ctypes.sizeof(_Grids):
        return _pure(f"{library} has another layout: run the set-up again")
    return Kernel(partial(NativePasses, _typed(loaded)), True, "native, compiled from the source beside it")


def _pure(reason: str) -> Kernel:
    return Kernel(PurePasses, False, f"NumPy and OpenCV, for the native kernel is not in force: {reason}")


_ORDER = (
    *("steps", "smooth", "dry", "last", "before_last", "quick_mean", "quick_threshold"),
    *("mean", "cell_noise", "contrast", "threshold", "per_sensitivity", "blind", "seen", "light"),
    *("residual", "differing", "path", "dwell", "unchanged", "changing", "previous", "age"),
    *("scene", "scene_threshold", "scene_structure", "then", "body"),
)


class _Grids(ctypes.Structure):
    """`grids` in kernel.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("rows", "columns", "height_px", "width_px", "levels", "frame_is")),
        *((name, ctypes.c_void_p) for name in ("steps_of_luma", "bands")),
        *((name, ctypes.c_void_p) for name in _ORDER),
        *((name, ctypes.c_void_p) for name in ("scratch", "smallest_cells", "marks", "queue", "regions", "sums")),
    )


class _Following(ctypes.Structure):
    """`following` in kernel.c."""

    _fields_ = (*((name, ctypes.c_float) for name in BackgroundUpdate._fields[:-1]), ("settled_frames", ctypes.c_int32))


_INT, _LONG, _AT = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
_FLOAT, _DOUBLE = ctypes.c_float, ctypes.c_double

_SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "doorward_look": (_LONG, (ctypes.py_object, _INT, _INT)),
    "doorward_differ": (_INT, (_INT,)),
    "doorward_follow_quietly": (None, (_FLOAT,)),
    "doorward_follow": (_INT, (_AT, _INT, _FLOAT)),
    "doorward_set_threshold": (None, (_FLOAT, _FLOAT, _FLOAT)),
    "doorward_track": (_INT, (_INT, _INT, _INT, _INT)),
    "doorward_regions": (_INT, (_INT, _INT, _INT)),
    "doorward_find_body": (_LONG, (*(_INT,) * 8, _FLOAT, _DOUBLE)),
    "doorward_compare_body": (None, (_INT,) * 5),
}


def _typed(library: ctypes.PyDLL) -> ctypes.PyDLL:
    for name, (returns, takes) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returns, (_AT, *takes)
    return library


class NativePasses:
    """Implements `Passes` by calls into the library, each one over the whole grid.

    If a pass takes its arguments as they are, the library's function itself is used. For example, with cold caches a
    Python call around it would cost as much as the pass.
    """

    def __init__(self, library: ctypes.PyDLL, grids: Grids, height_px: int, width_px: int) -> None:
        self.jumping_cells = 0
        self._library = library
        self._grids = grids
        self._shape = (height_px, width_px)
        cells, levels = grids.rows * grids.columns, halvings(height_px, width_px)
        if not (0 < grids.rows < _MOST_CELLS[0] and 0 < grids.columns < _MOST_CELLS[1]):
            raise ValueError(f"{grids.rows} × {grids.columns} cells are more than the kernel has room for.")
        # The kernel's work memory beside the grids. The structure holds only addresses, so this object must stay alive.
        self._regions = np.zeros((MOST_REGIONS + 1, _REGION_NUMBERS), np.int32)
        self._sums = np.zeros(_COMPARED_NUMBERS, np.float64)
        self._own = {
            "steps_of_luma": steps_of_luma(),
            "bands": np.zeros(max(width_px, sum(2 * (width_px >> level) for level in range(1, levels + 1))), np.uint8),
            "scratch": np.zeros(3 * cells, np.float32),
            "marks": np.zeros(3 * cells, np.uint8),
            "queue": np.zeros(cells, np.uint16),
            "regions": self._regions,
            "sums": self._sums,
            "smallest_cells": np.ascontiguousarray(grids.smallest_cells, np.int32),
        }
        arrays = {name: getattr(grids, name) for name in _ORDER} | self._own
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        self._structure = _Grids(grids.rows, grids.columns, height_px, width_px, levels, 0, **addresses)
        self._at = ctypes.addressof(self._structure)
        self.differ: Callable[[bool], int] = partial(library.doorward_differ, self._at)
        self.track: Callable[[int, int, int, bool], int] = partial(library.doorward_track, self._at)
        self.follow_quietly: Callable[[float], None] = partial(library.doorward_follow_quietly, self._at)
        self.set_threshold: Callable[[float, float, float], None] = partial(library.doorward_set_threshold, self._at)
        self._look, self._follow = library.doorward_look, library.doorward_follow
        self._cleared = 0
        self._followed: BackgroundUpdate | None = None
        """The source of `_following`: the same object from frame to frame, until the rate changes."""
        self._frames = {0: grids.steps, SMOOTH: grids.smooth, DRY: grids.dry, SMOOTH | DRY: grids.dry}

    @property
    def name(self) -> str:
        return "native"

    def look(self, luma: Luma, plan: int, jump_limit: int) -> int:
        counts: int = self._look(self._at, luma, plan, jump_limit)
        if counts < 0:
            # The picture has another size than announced, or its columns are not adjacent; in a copy they are.
            check_luma(luma, self._shape)
            counts = self._look(self._at, np.ascontiguousarray(luma), plan, jump_limit)
        if plan or self._cleared:
            self._cleared = plan & (SMOOTH | DRY)
            self._grids.frame = self._frames[self._cleared]
            self.jumping_cells = counts >> 32
        return counts & 0xFFFFFFFF

    def follow(self, following: BackgroundUpdate, spares_objects: bool, noise_level: float) -> int:
        if following is not self._followed:
            self._followed = following
            self._following = _Following(*following)
            self._following_at = ctypes.addressof(self._following)
        return int(self._follow(self._at, self._following_at, spares_objects, noise_level))

    def regions(self, least_path: int, least_cells: int, settled_frames: int) -> tuple[MotionRegion, ...]:
        count = self._library.doorward_regions(self._at, least_path, least_cells, settled_frames)
        rows = self._regions[:count].tolist()
        return tuple(MotionRegion((x0, y0, x1, y1), *numbers) for x0, y0, x1, y1, *numbers, _ in rows)

    def find_body(self, window: CellBox, seed: CellBox, least: float, limit: float) -> tuple[int, int, CellBox | None]:
        counts = self._library.doorward_find_body(self._at, *window, *seed, least, limit)
        x0, y0, x1, y1 = self._regions[0, :4].tolist()
        return counts & 0xFFFFFFFF, counts >> 32, (x0, y0, x1, y1) if x1 else None

    def compare_body(self, window: CellBox, beside_scene: bool) -> list[float]:
        self._library.doorward_compare_body(self._at, *window, beside_scene)
        sums: list[float] = self._sums.tolist()
        return sums
