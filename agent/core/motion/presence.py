"""Tells whether a visitor who stands still is still there.

A visitor who stands gains no new ground, and soon becomes background; only the *scene from before they came* can tell.
So with the first confirmation the background is set aside, and from then on the visitor's *body* is followed: the cells
that hang together with where motion was confirmed and differ from that scene.  They are still there while

* **a person is in front:** at least two fifths of the body's cells still hide the scene, light taken out as everywhere
  (`background.py`).  How much a cell has to differ is set aside with the scene, and halved, as many cells together
  speak: a visitor's own fidgets teach the cells beneath a noise that would soon hide them;
* **the body stands out:** it hides the scene's structure, which dust, haze and light let through.  And it has more
  structure than that scene, compared with the rest of the picture, or more at its outline than within, as a plain coat
  before a hedge has.  A place that has only changed shows neither: leaves have moved, a car has left, a shadow has
  come; and
* **a person is alive:** people breathe, sway and shift their weight, so within eight seconds, or longer where the
  picture is noisy, a fiftieth of the body changes by more than noise. A parcel and a parked car do not, and are let go.
  One such sign holds them for a fourth of that time, and several in succession for all of it: a person who shifts their
  weight changes for a second, a key frame or a leaf for a look. It is looked for three times a second, because a
  swaying visitor stands still at each turn. A visitor who has just walked must begin sooner: that may be the empty
  place they left behind. One who has moved within their own place keeps the time they had.

If the light changes meanwhile, that scene is brought into the new light (`Background.relight`).

When they have gone, the scene is put back into the background, in the light of the day; and as long as they are there,
what equals that scene is nothing new (`Passes.differ`), or their outline would be left behind as a visitor.

A hole in the frames counts neither way.  A visitor found alive behind it is reported as moving once, since an event
that the hole has ended begins only so.

The work is bounded to the body's surroundings and done a few times a second.  (The second background of Porikli, Ivanov
& Haga, *Robust abandoned object detection using dual foregrounds*, 2008, turned around: what stays is wanted here.)
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from agent.core.motion.background import Background
from agent.core.motion.grids import NEIGHBOURS, Grid, Grids
from agent.core.motion.lighting import BODY_LIT_CORRELATION, is_only_lit
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import NEAR_CELLS, CellBox, Passes, are_near
from agent.core.timebase import BootNs, seconds

__all__ = ["PresenceTracker", "around", "fidget_limit"]

_REACH = 12
"""A body reaches at most this many cells beyond the box in which its motion was confirmed."""

_STAYS_SHARE = 0.4
_LEAST_CELLS = 6
_STANDS_OUT = 1.12
"""A ratio of structure. On films for tuning, few looks at wind, at the place of a car that had left or at a new shadow
reached it, and most looks at visitors did."""
_OTHER_LIGHT = 2
"""The light has changed if the structure of the rest of the picture has grown or shrunk by this factor. Then each body
counts as standing out."""
_BODY_SHARE = np.float32(0.5)
_KEPT_PER_LOOK = 0.95
"""By this much the body may fade from look to look and count as whole: parts of a standing visitor become scenery.
A visitor who goes is gone sooner."""
_MOST_GROWTH = 2
"""Since they last walked, a body grows by this factor at most. More is the infrared filter."""
_FIDGET_CELLS = 2
_FIDGET_SHARE = 0.02
_FIDGET_STEPS = 3.0
_FIDGET_NOISES = 5.0
_LOOK_NS = 300_000_000
_COMPARED_NS = 800_000_000
"""Half a breath: so far back lies, at most, the frame with which movement is looked for."""

_JUST_NOW_NS = 900_000_000
"""A visitor is still there if their motion was confirmed this recently, even if a look finds little of them."""

_SIGNS = 4
"""Signs of life that make up a whole patience. One flicker of a codec gives a fourth of it."""
_CREDIT_NS = 2_500_000_000
"""This long after the last confirmed motion, at the latest, a visitor must have moved a little."""


class PresenceTracker:
    """One visitor at a time.  `confirm` with each confirmation, `lasts` with each frame in between."""

    def __init__(self, grids: Grids, passes: Passes, settings: MotionSettings) -> None:
        self.box: CellBox | None = None
        """Place of the visitor who is looked after, or None."""
        self.found_again = False
        """With this frame the visitor from before a hole in the frames is known to be still there."""
        self._resumed = False
        self._grids = grids
        self._passes = passes
        self._alive_ns = seconds(settings.alive_s)
        self._confirmed: CellBox = (0, 0, grids.columns, grids.rows)
        self._cells = self._confirmed_cells = 0
        self._window: CellBox = self._confirmed
        """Around the body that was last looked at."""
        self._looked_ns = self._then_ns = self._until_ns = self._confirmed_ns = BootNs(0)

    def forget(self) -> None:
        self.box = None

    def resume(self, hole_ns: int) -> None:
        """Skips a hole in the stream. Its time is left out."""
        self._resumed = self.box is not None
        looked, then, until, confirmed = self._looked_ns, self._then_ns, self._until_ns, self._confirmed_ns
        self._looked_ns, self._then_ns = BootNs(looked + hole_ns), BootNs(then + hole_ns)
        self._until_ns, self._confirmed_ns = BootNs(until + hole_ns), BootNs(confirmed + hole_ns)

    def confirm(
        self, box: CellBox, sensor_ns: BootNs, background: Background, before: tuple[Grid, Grid] | None = None
    ) -> None:
        """Motion is confirmed in `box`. `before`: scene and threshold without the visitor, if not the present ones."""
        self._confirmed_ns = sensor_ns
        if self.box is not None and sensor_ns - self._looked_ns < 2 * _LOOK_NS:
            return
        # Set aside at the first confirmation: a visitor who stands soon becomes background, and this scene alone can
        # tell.
        if self.box is None:
            self._grids.scene[:], threshold = before or (self._grids.seen, self._grids.threshold)
            np.multiply(threshold, _BODY_SHARE, out=self._grids.scene_threshold)
            cv2.morphologyEx(self._grids.scene, cv2.MORPH_GRADIENT, NEIGHBOURS, self._grids.scene_structure)
        is_same = self.box is not None and are_near(self.box, box)
        self._confirmed = box
        seed = around([self.box, box]) if self.box and is_same else box
        # A reader who turns a page has shown before that they live. One who walks may have left this place empty.
        known_ns = self._until_ns if seed == self.box else BootNs(0)
        self._until_ns = max(known_ns, BootNs(sensor_ns + _CREDIT_NS))
        cells, _, self.box = self._body(seed, background)
        # A shadow or parcel of a visitor who has gone is confirmed now and then: it is not them.
        self._cells = self._confirmed_cells = max(round(_KEPT_PER_LOOK * self._cells), cells) if is_same else cells
        self._looked_ns = sensor_ns

    def lasts(self, background: Background, sensor_ns: BootNs) -> bool:
        """Is the visitor still there?"""
        self.found_again = False
        if self.box is None:
            return False
        if sensor_ns - self._looked_ns < _LOOK_NS:
            return True
        self._looked_ns = sensor_ns
        cells, fidgeting, body = self._body(self.box, background)
        self._cells = max(round(_KEPT_PER_LOOK * self._cells), cells)
        # A frame from when they walked says nothing about standing: a walker who leaves differs from it.
        walked_then = self._then_ns <= self._confirmed_ns
        is_alive = not walked_then and fidgeting >= max(_FIDGET_CELLS, _FIDGET_SHARE * cells)
        if is_alive and self._stands_out():
            # The noisier the picture, the seldomer a standing person moves by more than that.
            patience_ns = round(self._alive_ns * fidget_limit(background) / _FIDGET_STEPS)
            self._until_ns = BootNs(min(sensor_ns + patience_ns, self._until_ns + patience_ns // _SIGNS))
            self.found_again, self._resumed = self._resumed, False
        if walked_then or sensor_ns - self._then_ns >= _COMPARED_NS:
            self._grids.then[:] = self._grids.frame
            self._then_ns = sensor_ns
        moved_just_now = sensor_ns - self._confirmed_ns < _JUST_NOW_NS
        if not moved_just_now and cells < max(_LEAST_CELLS, _STAYS_SHARE * self._cells):
            # The background had taken the visitor in. Without this, the place that they leave would differ from it.
            background.restore(self.box)
            self.box = None
        else:
            self.box = body if sensor_ns <= self._until_ns else None
        return self.box is not None

    def relight(self, background: Background) -> None:
        """The light has changed for good: take the scene as it is now, and behind the visitor as it must be."""
        if self.box is not None:
            grids = self._grids
            in_sight = background.relight(grids.scene, self._window)
            grids.scene_threshold[in_sight] = _BODY_SHARE * grids.threshold[in_sight]
            cv2.morphologyEx(grids.scene, cv2.MORPH_GRADIENT, NEIGHBOURS, grids.scene_structure)

    def _stands_out(self) -> bool:
        """Does the body hide the scene, and has it more structure than that, or more at its outline than within?"""
        compared = self._passes.compare_body(self._window, True)
        if is_only_lit(compared, BODY_LIT_CORRELATION):
            return False
        ratios = [(1 + now) / (1 + before) for now, before in zip(compared[4:7], compared[7:], strict=True)]
        outline, inside, elsewhere = ratios
        is_other_light = max(elsewhere, 1 / elsewhere) > _OTHER_LIGHT
        return is_other_light or max(outline, inside) > _STANDS_OUT * min(inside, elsewhere)

    def _body(self, seed: CellBox, background: Background) -> tuple[int, int, CellBox]:
        """How many cells differ in and about `seed`, how many fidget, and the box around those that hang together with
        it."""
        x0, y0, x1, y1 = seed
        left, top = max(0, x0 - NEAR_CELLS), max(0, y0 - NEAR_CELLS)
        right, bottom = min(self._grids.columns, x1 + NEAR_CELLS), min(self._grids.rows, y1 + NEAR_CELLS)
        self._window = window = (left, top, right, bottom)
        cells, fidgeting, body = self._passes.find_body(window, seed, background.least_step, fidget_limit(background))
        if self.box is not None:
            cells = min(cells, _MOST_GROWTH * self._confirmed_cells)
        return cells, fidgeting, self._within_reach(body) if body else seed

    def _within_reach(self, body: CellBox) -> CellBox:
        x0, y0, x1, y1 = self._confirmed
        left, top, right, bottom = body
        left, right = max(left, x0 - _REACH), min(right, x1 + _REACH)
        top, bottom = max(top, y0 - _REACH), min(bottom, y1 + _REACH)
        return (left, top, right, bottom) if left < right and top < bottom else self._confirmed


def around(boxes: Sequence[CellBox]) -> CellBox:
    """The smallest box around all of `boxes` (at least one)."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def fidget_limit(background: Background) -> float:
    """From this many steps on, a cell has changed."""
    return max(_FIDGET_STEPS, _FIDGET_NOISES * background.scene_noise)
