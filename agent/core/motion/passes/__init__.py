"""The work on every cell, frame by frame: the part of the detector that costs, behind one interface.

Two implementations make the same numbers to the last bit, on every machine: `pure.py` in NumPy and OpenCV, which is
always there and defines what is right, and `kernel.c`, which `agent.recorder.motion_kernel` loads where it was
compiled.  Decisions are neither's: passes count, sum and mark; what follows from that is said once, in Python, beside
them.  `tests/recorder/test_motion_kernel.py` compares the two.

For that to hold, the arithmetic is this and no other:

* Cells are uint8 and saturate.  Sums and counts are integers.
* float32 values are made by single operations, each rounded to nearest even: no fused multiply-add, no
  reordering, no double in between.  Scalars are rounded to float32 once, before.
* Where many float32 are added, they are multiples of 1/64 below 256 (`Grids.seen`, `Grids.scene`), at most 121 of
  them: 21 bits, so every partial sum is exact and the order does not matter.
* Rounding to whole or 1/64 steps is to nearest, ties to even.
* Outside the grid, local means see it mirrored about its outermost cells (OpenCV's BORDER_REFLECT_101), dilation and
  erosion see nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from agent.core.media import Luma
from agent.core.motion.grids import Grids

__all__ = [
    "COUNT_JUMPS",
    "DRY",
    "FAR_GAIN",
    "FAR_REACHES",
    "ILLUMINATION_CELLS",
    "KEEP",
    "MOST_REGIONS",
    "NEAR_CELLS",
    "SMOOTH",
    "SOLID_CELLS",
    "BackgroundUpdate",
    "CellBox",
    "MakePasses",
    "MotionRegion",
    "Passes",
    "are_near",
]

CellBox = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in cells, the end exclusive."""

NEAR_CELLS = 4
"""Within this many cells of a thing its continuation is looked for, and it is found again."""

SMOOTH, DRY, COUNT_JUMPS, KEEP = 1, 2, 4, 8
"""Plans for `Passes.look`: smooth it, take the darker of it and the last, count what jumps, keep it for the next."""

ILLUMINATION_CELLS = 11
"""Side of a square: its mean difference counts as a change of light instead of things."""

SOLID_CELLS, FAR_REACHES, FAR_GAIN = 18, 3, 2
"""If this many of 5×5 cells are new ground, a path reaches this many times as far, and gains this much more there."""

MOST_REGIONS = 4
"""Regions looked at per confirmation, longest path first: the work is bounded whatever the picture shows."""


class MotionRegion(NamedTuple):
    """A connected group of differing cells.  Paths are cells of new ground, dwell is frames in succession."""

    box: CellBox
    cells: int
    longest_path: int
    longest_dwell: int
    total_dwell: int
    settled_cells: int
    """The cells of it that have stopped changing: scenery, or a visitor who stands."""
    smallest_cells: int
    """The least that a zone within its box asks for."""


def are_near(one: CellBox, other: CellBox) -> bool:
    """Do the boxes touch, give or take `NEAR_CELLS`?"""
    across = one[0] - NEAR_CELLS <= other[2] and other[0] - NEAR_CELLS <= one[2]
    return across and one[1] - NEAR_CELLS <= other[3] and other[1] - NEAR_CELLS <= one[3]


class BackgroundUpdate(NamedTuple):
    """How far background and noise follow in one pass: weights 0..1, factors about 1, all rounded to float32."""

    open_weight: float
    """Weight of the frame, if nothing differs."""
    covered_weight: float
    settled_weight: float
    """… where something does; where that has not changed for more than `settled_frames`."""
    light_weight: float
    """Weight of the local mean of the difference."""
    noise_rise: float
    noise_fall: float
    """Factors of a cell's noise, where the residual exceeds it, and elsewhere."""
    settled_frames: int


class Passes(Protocol):
    """The passes over one detector's grids.  Each call reads and writes `Grids` as it says; nothing is allocated."""

    jumping_cells: int
    """After a look that counted jumps: how many cells jumped."""

    @property
    def name(self) -> str:
        """Which implementation this is, for people."""

    def look(self, luma: Luma, plan: int, jump_limit: int) -> int:
        """Shrink the frame, clear it as planned, and count the cells that the quick look finds to differ.

        `luma` (H, W), any stride, of the size that was announced; anything else raises `DeviceError`.
        Writes `steps`, `frame`, as planned `smooth`, `dry`, `last`, `before_last`, and `jumping_cells`: how many
        cells of `last` were more than `jump_limit` brighter than the frames before and after.
        """

    def differ(self, beside_scene: bool) -> int:
        """The full look: how many cells differ.  Writes `seen`, `light`, `residual`, `differing`.

        `beside_scene`: they have to differ from `scene` as well.
        """

    def track(self, elapsed_frames: int, fresh_after_frames: int, reach_cells: int, fades: bool) -> int:
        """After `differ`: extend paths and counts by this frame; the length of the longest path.

        `elapsed_frames` since the last time; a cell is new ground when nothing was on it for more than
        `fresh_after_frames`; a path steps up to `reach_cells`, and loses one when it `fades`.
        """

    def follow_quietly(self, weight: float) -> None:
        """`mean` and `quick_mean` follow the frame."""

    def follow(self, following: BackgroundUpdate, spares_objects: bool, noise_level: float) -> int:
        """After `differ`: `mean` and `cell_noise` follow; how many residuals exceed the `noise_level`, in steps.

        `spares_objects`: within two cells of what differs, noise does not rise.
        """

    def set_threshold(self, cell_noise_factor: float, least: float, shared: float) -> None:
        """`threshold` becomes max(factor × `cell_noise`, `least`) + `contrast` - `shared`, by the zones' sensitivity.

        Writes `quick_threshold` and `quick_mean` too.
        """

    def regions(self, least_path: int, least_cells: int, settled_frames: int) -> tuple[MotionRegion, ...]:
        """The regions of this many cells that a path of `least_path` has reached, at most `MOST_REGIONS`, longest
        first.

        Among equally long ones the path that ends furthest down, then furthest right, comes first.
        """

    def find_body(self, window: CellBox, seed: CellBox, least: float, limit: float) -> tuple[int, int, CellBox | None]:
        """The visitor who hides `scene` within the `window`, and hangs together with the `seed` inside it.

        A cell hides it above `scene_threshold`, and above `least`.  Returns how many cells do; how many cells of the
        body have changed since `then` by more than `limit` beyond the mean of the window; and the box around those that
        hide it and their neighbours, or None.  Writes `body` within the window.
        """

    def compare_body(self, window: CellBox, beside_scene: bool) -> list[float]:
        """Compares the `body` in the `window` with `scene`, or with `seen`, in ten exact sums.

        The first four are over the body: its cells, and with 25 times what a cell shows beyond the mean of 5×5 cells of
        the window, the squares now, the squares before, and the products.  The other six are of structure, the most of
        a cell and its neighbours less the least: along the body's outline, within it and elsewhere in the picture, now;
        and the same three of `scene`.
        """


MakePasses = Callable[[Grids, int, int], Passes]
"""(grids, height, width) → the passes for frames of this size, in pixels."""
