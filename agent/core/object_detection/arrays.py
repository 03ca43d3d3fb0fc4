"""Input and output arrays of the network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "Pixels"]

Pixels = npt.NDArray[np.uint8]
"""(side, side, 3), red, green, blue."""

Numbers = npt.NDArray[np.float32]
"""One row for each of the network's cells."""
