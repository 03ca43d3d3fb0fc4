"""The passes in NumPy and OpenCV: always there, and what `kernel.c` is compared with.

Only calls with a result that the rules of `passes/__init__.py` fix to the last bit are used: OpenCV's integer calls,
its float32 sums, differences and products cell by cell, and unnormalised box sums of exact numbers.  Not its weighted
accumulations, because their rounding depends on the machine.
"""

from __future__ import annotations

from agent.core.motion.passes.tracks import TrackPasses

__all__ = ["PurePasses"]


class PurePasses(TrackPasses):
    """Implements `Passes`."""

    @property
    def name(self) -> str:
        return "NumPy and OpenCV"
