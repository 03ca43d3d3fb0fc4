"""The detector's whole memory: some thirty grids of (rows, columns), allocated once and shared by all of its passes.

`passes/` says what is done to them.  They live in one block, each grid begins a cache line, because a camera
wakes the detector with cold caches and every page costs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.motion.zones import ZoneRaster

__all__ = ["BLIND", "NEIGHBOURS", "Ages", "Cells", "Counts", "Grid", "Grids"]

Cells = npt.NDArray[np.uint8]
"""(rows, columns) uint8: steps, counts, or a mask of 0 and 255."""

Grid = npt.NDArray[np.float32]
"""(rows, columns) float32, in steps."""

Ages = npt.NDArray[np.uint16]
"""(rows, columns) uint16: frames, 65535 and more the same."""

Counts = npt.NDArray[np.int32]
"""(rows, columns) int32."""

BLIND = 1e6
"""The threshold, in steps, of a cell that no zone watches."""

NEIGHBOURS = np.ones((3, 3), np.uint8)
"""A cell and the eight around it, as a kernel for OpenCV."""

_LINE_BYTES = 64


class Grids:
    """All grids of one detector.  Nothing in here is ever replaced, but `frame`, which is one of three."""

    def __init__(self, raster: ZoneRaster) -> None:
        self.rows, self.columns = rows, columns = raster.watched.shape
        block = _GridBlock(rows, columns, cells=15, ages=1, grids=12)

        # The frame, in steps of the logarithmic scale.
        self.steps = block.cells()
        """As the camera saw it."""
        self.smooth, self.dry = block.cells(), block.cells()
        """Cleared of noise; cleared of rain."""
        self.last, self.before_last = block.cells(), block.cells()
        self.frame: Cells = self.steps
        """The analysed grid: one of `steps`, `smooth` and `dry`."""

        # The scene without visitors.
        self.quick_mean, self.quick_threshold = block.cells(), block.cells()
        """`mean`, and 80 % of `threshold`, to whole steps: what the quick look compares with."""
        self.mean, self.cell_noise = block.grid(), block.grid()
        self.contrast, self.threshold = block.grid(), block.grid()
        self.per_sensitivity, self.blind = block.grid(), block.grid()
        self.seen = block.grid()
        """`mean` to 1/64 step, as the full look of this frame saw it: sums of such numbers are exact in any order."""

        # The difference of this frame.
        self.light, self.residual = block.grid(), block.grid()
        """The local mean of frame - seen; what is left of that without it, without its sign."""
        self.differing = block.cells()

        # Tracks.
        self.path, self.dwell, self.unchanged = block.cells(), block.cells(), block.cells()
        self.changing, self.previous = block.cells(), block.cells()
        self.age = block.ages()
        """For how many frames nothing has been on a cell."""

        # A visitor who is looked after.
        self.scene = block.grid()
        """`seen` from before they came."""
        self.scene_threshold = block.grid()
        """`threshold` from then: a visitor's fidgets teach the cells a noise that would hide them."""
        self.scene_structure = block.grid()
        """The structure of `scene`: the most of a cell and its neighbours, less the least."""
        self.then, self.body = block.cells(), block.cells()
        """An earlier frame; 255 where the body is."""

        self.smallest_cells: Counts = raster.smallest_cells
        self.per_sensitivity[:] = 1 / raster.sensitivity
        self.blind[:] = np.where(raster.watched, 0, BLIND)
        self.cell_noise[:] = 1
        self.age[:] = np.iinfo(np.uint16).max


class _GridBlock:
    """Hands out grids, one behind the other, from one piece of zeroed memory."""

    def __init__(self, rows: int, columns: int, *, cells: int, ages: int, grids: int) -> None:
        self._shape = (rows, columns)
        size = (cells + 2 * ages + 4 * grids) * rows * columns + (cells + ages + grids) * _LINE_BYTES
        self._memory = np.zeros(size, np.uint8)

    def cells(self) -> Cells:
        return self._take(1).view(np.uint8).reshape(self._shape)

    def ages(self) -> Ages:
        return self._take(2).view(np.uint16).reshape(self._shape)

    def grid(self) -> Grid:
        return self._take(4).view(np.float32).reshape(self._shape)

    def _take(self, width: int) -> npt.NDArray[np.uint8]:
        at_line = self._memory[-self._memory.ctypes.data % _LINE_BYTES :]
        taken, self._memory = np.split(at_line, [self._shape[0] * self._shape[1] * width])
        return taken
