"""Input and output arrays of a network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "Pixels"]

Pixels = npt.NDArray[np.float32]
"""(1, side, side, 3), −1 black .. 1 white."""

Numbers = npt.NDArray[np.float32]
"""One row for each of the network's anchors."""
