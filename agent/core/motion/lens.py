"""Notices that the camera itself has a problem: the lens covered, the camera turned away, or shaken.

Every two seconds the grid is compared with how the scene has looked for minutes, its *usual structure*:

* **Covered**: hardly any of the usual structure's gradients are left, and nothing has taken their place; a hand, a bag,
  paint, and equally a night without any lamp.  It is told as what is known: the picture shows nothing.
* **Moved**: there is structure, but in most blocks it is not the usual one (`lighting.hidden_structure`), whatever the
  light.
* **Shaken**: the picture as a whole is displaced, each time elsewhere (phase correlation: Kuglin & Hines, *The phase
  correlation image alignment method*, 1975).

Most looks end early, for a few calls: the picture differs from the usual one by little; or it does so in part, because
a person is there, but most cells on the usual scene's edges are where they were, so the camera is where it was, too.

Covered and moved must last for 20 seconds, longer than a visitor fills the picture without moving; an alarm ends when
the usual scene is back, or has been learned again in its place after five minutes.
"""

from __future__ import annotations

import enum
import math
from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.media import Luma
from agent.core.motion.grids import Cells, Grid
from agent.core.motion.lighting import hidden_structure
from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["LensState", "LensWatch"]

_LOOK_NS = 2 * NS_PER_S
_LASTS_LOOKS = 10
_LEARN_ANEW_LOOKS = 150
_FOLLOW = 0.02
"""Share of the present scene that enters the usual one per look: a time constant of 100 seconds."""

_FIRST_LOOKS = 5
_LEFT_SHARE = 0.15
_MOVED_SHARE = 0.7
_SHAKEN_CELLS = 0.35
_SHAKEN_LOOKS = 4
_SURE_RESPONSE = 0.5
_AS_USUAL_SHARE = 0.03
"""Share of the structure's energy.  Shifted by `_SHAKEN_CELLS`, a picture differs from itself by some 6 % of it."""
_KEPT_STEPS_SHARE = 0.2
"""Share of the usual scene's mean step between neighbours.  Shifted by `_SHAKEN_CELLS`, its edges differ by more."""
_KEPT_SHARE = 0.6
"""Share of the cells on edges: if this many are kept, a thing hides the rest."""


class LensState(enum.Enum):
    """The fault of the camera, if it has one."""

    CLEAR = "clear"
    COVERED = "covered"
    MOVED = "moved"
    SHAKEN = "shaken"


class LensWatch:
    """Call `look` with each frame; it works on one every two seconds and remembers the verdict."""

    def __init__(self, rows: int, columns: int, watched: Cells) -> None:
        self.state = LensState.CLEAR
        self._watched = watched
        self._usual: Grid = np.zeros((rows, columns), np.float32)
        self._window: Grid = cv2.createHanningWindow((columns, rows), cv2.CV_32F).astype(np.float32)
        self._usual_steps: Cells = np.zeros((rows, columns), np.uint8)
        self._edges: npt.NDArray[np.bool_] = np.zeros((rows, columns), np.bool_)
        """Where the usual scene has more than its mean structure; its energy belongs to it."""
        self._energy = 0.0
        self._measured_look = 0
        self._looks = 0
        self._odd_looks = 0
        self._shifts: deque[tuple[float, float]] = deque(maxlen=5)
        self._next_ns = BootNs(0)

    def due(self, sensor_ns: BootNs) -> bool:
        """Is it time to look?  Also when time has gone backwards."""
        return not 0 <= self._next_ns - sensor_ns <= _LOOK_NS

    def look(self, grid: Luma, sensor_ns: BootNs, *, busy: bool) -> LensState:
        """`busy`: a person is there; the usual scene is not learned from such pictures."""
        self._next_ns = BootNs(sensor_ns + _LOOK_NS)
        if self._looks < _FIRST_LOOKS:
            self._learn(grid, 1 / (self._looks + 1))
            return self.state
        if not self._odd_looks and (self._is_as_usual(grid) or self._is_hidden_in_part(grid)):
            self.state = LensState.CLEAR
            self._shifts.append((0.0, 0.0))
            if not busy:
                self._learn(grid, _FOLLOW)
            return self.state
        shaken = self._shaken(grid.astype(np.float32))
        oddity = self._oddity(grid)
        if oddity is LensState.MOVED and max(map(abs, self._shifts[-1])) > _SHAKEN_CELLS:
            oddity = None  # the same scene, some cells away
        self._odd_looks = self._odd_looks + 1 if oddity else 0
        if oddity and self._odd_looks >= _LASTS_LOOKS:
            self.state = oddity
        elif not oddity:
            self.state = LensState.SHAKEN if shaken else LensState.CLEAR
            if not busy:
                self._learn(grid, _FOLLOW)
        # The camera was turned for good: what it shows now becomes the usual scene.
        if self._odd_looks >= _LEARN_ANEW_LOOKS and self.state is LensState.MOVED:
            self._looks = self._odd_looks = self._measured_look = 0
            self._energy = 0.0
            self.state = LensState.CLEAR
        return self.state

    def _learn(self, grid: Luma, share: float) -> None:
        self._looks += 1
        cv2.accumulateWeighted(grid, self._usual, share)
        cv2.convertScaleAbs(self._usual, self._usual_steps)

    def _is_as_usual(self, grid: Luma) -> bool:
        """A picture with nearly the usual structure has kept it, and kept its place."""
        difference = cv2.norm(grid, self._usual_steps, cv2.NORM_L2SQR)
        return bool(difference < _AS_USUAL_SHARE * self._energy * grid.size)

    def _is_hidden_in_part(self, grid: Luma) -> bool:
        """Are most of the usual scene's edges where they were?"""
        self._measure()
        kept = np.asarray(cv2.absdiff(grid, self._usual_steps)) <= _KEPT_STEPS_SHARE * math.sqrt(self._energy)
        kept &= self._edges
        return bool(0 < _KEPT_SHARE * np.count_nonzero(self._edges) <= np.count_nonzero(kept))

    def _measure(self) -> None:
        """Energy and edges of the usual scene, if it has been learned from since."""
        if self._measured_look == self._looks:
            return
        self._measured_look = self._looks
        usual, edges = self._usual_steps, self._edges
        self._energy = _energy(usual)
        edges[:] = False
        for beside, here in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
            edges[here] |= np.asarray(cv2.absdiff(usual[beside], usual[here])) > math.sqrt(self._energy)

    def _oddity(self, grid: Luma) -> LensState | None:
        self._measure()
        if _energy(grid) < _LEFT_SHARE * self._energy:
            return LensState.COVERED
        # A usual scene without structure of its own says nothing about where the camera looks.
        share, _ = hidden_structure(grid, self._usual, self._watched)
        return LensState.MOVED if share >= _MOVED_SHARE else None

    def _shaken(self, now: Grid) -> bool:
        # Products, because OpenCV applies a window that it is given to the very pictures it is given.
        (x, y), response = cv2.phaseCorrelate(self._usual * self._window, now * self._window)
        sure = response > _SURE_RESPONSE and max(abs(x), abs(y)) < 8
        self._shifts.append((x, y) if sure else (0.0, 0.0))
        wanders = [max(abs(x), abs(y)) > _SHAKEN_CELLS for x, y in self._shifts]
        return sum(wanders) >= _SHAKEN_LOOKS and float(np.ptp(np.array(self._shifts), axis=0).max()) > _SHAKEN_CELLS


def _energy(picture: Luma) -> float:
    """Mean square step between neighbours: the structure, without the light."""
    rows, columns = picture.shape
    if rows < 2 or columns < 2:
        return 0.0
    across = cv2.norm(picture[:, 1:], picture[:, :-1], cv2.NORM_L2SQR) / (rows * (columns - 1))
    down = cv2.norm(picture[1:], picture[:-1], cv2.NORM_L2SQR) / ((rows - 1) * columns)
    return float(across + down)
