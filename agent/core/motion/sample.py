"""The detector's answer about one frame."""

from __future__ import annotations

import enum
from typing import NamedTuple

from agent.core.motion.lens import LensState
from agent.core.timebase import BootNs

__all__ = ["CONFIRMED_SCORE", "MotionSample", "MotionState", "RelativeBox"]

RelativeBox = tuple[float, float, float, float]
"""(x0, y0, x1, y1), each 0..1 of the picture, x0 < x1 and y0 < y1."""

CONFIRMED_SCORE = 0.5
"""The score from which a track may be confirmed as motion; half of it is still a track worth following."""


class MotionState(enum.Enum):
    """The stage that the detector was in."""

    LEARNING = "learning"
    """The first seconds, or after a gap: nothing is reported."""
    QUIET = "quiet"
    """Nothing differs from the background: the cheap path."""
    ACTIVE = "active"
    """Something differs; it may or may not be a visitor."""
    LIGHT_CHANGE = "light change"
    """Much of the picture changed at once: a lamp, the exposure, or a person filling it.  Decided within a second."""


class MotionSample(NamedTuple):
    """One frame's verdict: a tuple, for with cold caches making a dataclass costs a tenth of a quiet frame.

    `score` is the strongest track's, 0..1, `CONFIRMED_SCORE` at the threshold."""

    sensor_ns: BootNs
    moving: bool
    score: float
    box: RelativeBox | None
    state: MotionState
    present: bool = False
    """A visitor with confirmed motion is still there, moving or still."""
    lens: LensState = LensState.CLEAR
    """The fault of the camera itself."""
