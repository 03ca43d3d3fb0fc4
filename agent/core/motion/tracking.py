"""Tells visitors from branches, insects and rain: tracks what differs, and confirms the tracks that are visitors.

**Tracks** (`Tracks`) score only while they reach new ground. This is track-before-detect (Tonissen & Evans, 1996) as a
dynamic program on the grid.  Each cell holds the length of the best path that ends there now.  Per frame: a path may
step a little in any direction (a 5×5 maximum at ten frames a second), must land on a differing cell, and grows by one
if that cell has been clear for `fresh_after_s`.  Paths fade slowly.  A large thing may be faster: where most of 5×5
cells are new ground at once, a path comes from three times as far and gains two more, or a car that crosses within a
second would leave its own path behind.  An escalator, which flickers in its place, has few such squares.  So

* someone who walks gains a step a frame and is confirmed within a second,
* a swaying branch, a flag or a flickering lamp covers the same ground again and runs dry,
* noise, rain and snow never land next to themselves often enough.

Limits against chance count looks, and a slow camera needs as many as one of ten frames a second: a thing that shows in
half of the looks shows in four in succession four times as often as in six. Limits that follow a body, such as a path's
reach, count seconds.

A second count per cell, for how many frames in succession it has differed, is the dwell time that tells insects and
flakes (one frame a cell) from people; a third, for how long it has differed *without changing*, finds parked cars.

**Confirmation** (`MotionConfirmation`) decides which of the regions that a path has reached are visitors. The others
are scenery, light or flying things.

Flying things are told from walkers by how far they get in a frame.  A region's *mean dwell*, for how many frames its
cells have differed on average, is about half its length over its speed, and a half; a tenth of a second apart

* who walks (half a metre deep, 1.5 m/s) dwells 2.2 frames on a cell, who runs 1.3, a car more than either,
* a moth before the lens, or a leaf in a gust, moves by its own length or more, and dwells about one,
* a motorbike may do so, too, but is larger.

Small things are too coarse on the grid for one look to be sure of that, and a swarm offers many looks.  So below a
size they have to pass twice within 0.6 s, and nearly in the same place: a visitor looks like one again and again, a
moth once in a while.  (M out of N confirmation of radar tracks: Blackman, *Multiple-target tracking with radar
applications*, 1986.)  In rain one look is enough: nothing flies then, drops are gone before (`preparing.py`), and who
walks in it is seen in pieces.

Trees, rain and insects make paths, too, and make them all day. The scene's usual longest path is therefore tracked by
sign, as each cell's noise is, and a path must exceed it. Paths of visitors go on to many times the confirming length,
and are left out. (The constant false-alarm rate of radar: Finn & Johnson, 1968.) A visitor would meet the clutter of
their own path. So it is compared with the least of the last second, as a radar leaves out the cells beside the one
that it judges. And clutter holds only for what does not dwell: a streak, an insect or a leaf has left a cell after a
frame or two.

A small person at night shows only in part: of a body at the threshold about half of the cells differ, others in each
frame. So they are too few for a size, and too short-lived for a dwell. But a walker goes straight on at one speed for
a second, and insects, twigs and flakes do not. Where noise decides what differs, and nothing passes, the thing with
the longest path therefore needs only half of the cells, if its last looks lie on one line (`goes_straight`), or if its
path is longer than those of insects: in a small picture the parts that show lie far apart. Leaves by day and insects
under a lamp go straight on at times, and they show all of their cells, so that their size tells. (Track before detect:
a weak target is told by its track, not by one frame.)

At night a lamp draws insects, so small things have to be upright, and to be surely tracked or to dwell, unless the grid
is smoothed: that is done when gain is turned up for want of a lamp.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np

from agent.core.motion.grids import Grids
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import MOST_REGIONS, CellBox, MotionRegion, Passes, are_near
from agent.core.motion.preparing import NoiseReduction

__all__ = ["MotionConfirmation", "Tracks"]

_LONGEST_FRAMES = 65535


class Tracks:
    """Path lengths and dwell counts on one detector's grids."""

    def __init__(self, grids: Grids, passes: Passes, frames_per_s: float, settings: MotionSettings) -> None:
        self._grids = grids
        self._passes = passes
        self._settings = settings
        self._last_frame = 0
        self._is_clear = True
        """Nothing has been tracked since the last `clear`."""
        self.tune(frames_per_s)

    def tune(self, frames_per_s: float) -> None:
        """Count in frames of this rate from now on."""
        settings, columns = self._settings, self._grids.columns
        self._reach_cells = math.ceil(settings.fastest_widths_per_s * columns / frames_per_s)
        # By chance, a twig leaves a cell clear for ten looks more often than for twenty, however long these take.
        self._fresh_after_frames = math.floor(settings.fresh_after_s * max(10.0, frames_per_s))
        self._fade_frames = max(2, round(settings.path_fade_s * frames_per_s))
        self.settled_frames = min(250, round(settings.scenery_after_s * frames_per_s))
        """A cell that has differed for longer than this many frames without changing is scenery."""

    def begin(self) -> None:
        """A new scene: nothing has been on its ground."""
        self.clear()
        self._grids.age[:] = _LONGEST_FRAMES

    def advance(self, frame_number: int) -> int:
        """Take in the frame that the full look has marked; returns the length of its longest path."""
        elapsed_frames = min(_LONGEST_FRAMES, frame_number - self._last_frame)
        self._last_frame = frame_number
        self._is_clear = False
        fades = frame_number % self._fade_frames == 0
        return self._passes.track(elapsed_frames, self._fresh_after_frames, self._reach_cells, fades)

    def drop_paths(self) -> None:
        """Forget paths, but not which ground has been covered."""
        self._grids.path[:] = 0

    def clear(self) -> None:
        """The differences have ended: forget paths and dwell times."""
        grids = self._grids
        if not self._is_clear:
            grids.path[:] = grids.dwell[:] = grids.unchanged[:] = 0
        self._is_clear = True
        grids.previous[:] = grids.frame


_SCENERY_SHARE = 0.5
"""A region of which this share has stopped changing does not move, whatever track has led there."""

_LEAST_MEAN_DWELL, _SURE_MEAN_DWELL = 1.25, 1.5
"""Frames, at ten a second: what dwells for less flies; what dwells for longer, or is large, need not be tracked for
long."""

_SMALL_CELLS, _LEAST_CELLS_AT_NIGHT = 80, 11
"""1.7 % of the picture, below which a thing may be an insect, two of them or a leaf; a larger one may move by its own
length in a frame, as a car does. 0.2 %, the least that counts at night."""

_ONCE_CELLS_BY_DAY, _ONCE_CELLS_IF_KNOWN = 12, 30
"""From this size one look is enough by day, and at night for a visitor who is known. At night all others that may fly
are looked at twice: a lamp draws insects."""

_CLUTTER_PATHS, _CLUTTER_PATHS_IF_LARGE = 2.0, 1.0
"""A path must be longer by this factor than the scene's usual one; of a large region, than the usual one."""

_LASTING_MEAN_DWELL = 3.0
"""Frames, at ten a second or less: what dwells for this long is no clutter."""

_VISITOR_PATHS = 3.0
"""A path of this many confirming lengths is a visitor's, and says nothing about clutter."""

_CLUTTER_AT_FIRST, _CLUTTER_FALLS = 0.5, 0.05
_GUARD_S = 1.0
"""A path is compared with the least clutter of this last second. On clips 1 to 2.5 s give the same results, and .7 s
loses a visitor. On films an insect passes from 1.5 s on."""

_AGAIN_S = 0.6
"""The second look must find it this soon, and near where it was."""

_LOOKS = 4

_LINE_S, _LINE_LOOKS, _LINE_PATHS, _LINE_CELLS = 0.8, 3, 1.5, 1.5
"""A thing that goes straight on does so for this long at least, in this many looks, for this many confirming lengths,
and is never further than this many cells from where it must be then."""

_LONG_PATH = 16
"""A path of this many steps is a walker's, whatever its line. In films those of rain and insects ended after 15."""


class MotionConfirmation:
    """Ask with each set of regions that is judged; it remembers for a moment what small things looked likely."""

    def __init__(self, settings: MotionSettings) -> None:
        self._settings = settings
        self._clutter = deque([_CLUTTER_AT_FIRST])
        """The usual longest path of this scene, in confirming lengths, after each frame of the guard."""
        self._last_frame = 0
        self._likely: deque[tuple[int, CellBox]] = deque(maxlen=_LOOKS * MOST_REGIONS)
        """Small things that passed, by the frame they did."""
        self._line: deque[tuple[int, int, int]] = deque(maxlen=_LINE_LOOKS * _LOOKS)
        """Where the thing with the longest path was, by frame: twice its middle, to stay whole."""
        self.tune(10.0)

    def tune(self, frames_per_s: float) -> None:
        """Count in frames of this rate from now on."""
        settings = self._settings
        # Chance counts looks: at five a second a path needs as many as at ten.
        self.least_path = round(settings.path_cells * min(1.2, max(1.0, frames_per_s / 10)))
        self._least_dwell = max(2, round(settings.dwell_s * frames_per_s))
        self._least_mean_dwell = 1 + (_LEAST_MEAN_DWELL - 1) * min(1.0, frames_per_s / 10)
        self._lasting_mean_dwell = _LASTING_MEAN_DWELL * max(1.0, frames_per_s / 10)
        self._again_frames = max(2, round(_AGAIN_S * frames_per_s))
        self._clutter_rise = settings.clutter_rise_per_s / frames_per_s
        self._clutter = deque(self._clutter, maxlen=1 + round(_GUARD_S * frames_per_s))
        self._line_frames = (round(_LINE_S * frames_per_s), round(settings.fresh_after_s * frames_per_s))

    def forget(self) -> None:
        """Another scene."""
        self._likely.clear()
        self._line.clear()
        self._clutter.clear()
        self._clutter.append(_CLUTTER_AT_FIRST)

    def learn_clutter(self, longest_path: int, frame_number: int) -> None:
        """Tracks by sign how long the paths are that this scene makes without a visitor."""
        elapsed_frames = frame_number - self._last_frame
        self._last_frame = frame_number
        paths, clutter = longest_path / self.least_path, self._clutter[-1]
        if clutter < paths < _VISITOR_PATHS:
            clutter += self._clutter_rise * min(2, elapsed_frames)
        elif paths < _VISITOR_PATHS:
            clutter = max(0.0, clutter - _CLUTTER_FALLS * self._clutter_rise * elapsed_frames)
        self._clutter.append(clutter)

    def visitors(
        self, regions: Iterable[MotionRegion], frame_number: int, clearing: NoiseReduction, *, dark: bool, known: bool
    ) -> list[CellBox]:
        """The boxes of those that are.  `clearing`: whether the grid shows 3×3 means, or the darker of two frames.

        `known`: a visitor is looked after, and what moves may be them.
        """
        raining, lamp = clearing.rains, dark and not clearing.smooths
        at_night = _ONCE_CELLS_IF_KNOWN if known else _SMALL_CELLS
        once_cells = 0 if raining else at_night if dark else _ONCE_CELLS_BY_DAY
        likely = [box for number, box in self._likely if frame_number - number <= self._again_frames]
        boxes = []
        for region in regions:
            if not self._is_likely(region, lamp=lamp, raining=raining, known=known):
                continue
            if region.cells < once_cells:
                self._likely.append((frame_number, region.box))
                # A small thing must pass twice in nearly the same place: a visitor does so again and again, a moth once
                # in a while.
                if not any(are_near(region.box, box) for box in likely):
                    continue
            boxes.append(region.box)
        return boxes

    def goes_straight(self, region: MotionRegion, frame_number: int) -> bool:
        """Does it go on in a straight line at one speed, or for long, as walkers do, whatever its dwell?"""
        x0, y0, x1, y1 = region.box
        self._line.append((frame_number, x0 + x1, y0 + y1))
        least_frames, most_frames = self._line_frames
        places = np.array([place for place in self._line if frame_number - place[0] < most_frames])
        places -= places[0]
        frames, *way = last = places[-1]
        is_long = len(places) >= _LINE_LOOKS and frames >= least_frames and region.longest_path >= 2 * self.least_path
        is_large = region.cells >= region.smallest_cells
        # In whole numbers, so that the answer is the same on each machine.
        off = np.abs(frames * places - places[:, :1] * last).max()
        is_far = max(map(abs, way)) >= 2 * _LINE_PATHS * self.least_path
        is_straight = is_long and is_far and off <= 2 * _LINE_CELLS * frames
        return bool(is_large and (is_straight or region.longest_path >= _LONG_PATH))

    def _is_likely(self, region: MotionRegion, *, lamp: bool, raining: bool, known: bool) -> bool:
        """Large enough for its zone, and there long enough to be no insect, flake or drop."""
        if region.cells < region.smallest_cells or region.settled_cells > _SCENERY_SHARE * region.cells:
            return False
        factor = _CLUTTER_PATHS_IF_LARGE if region.cells >= _SMALL_CELLS else _CLUTTER_PATHS
        lasts = region.total_dwell >= self._lasting_mean_dwell * region.cells
        # Since their path began a visitor has taught clutter. Rain comes in gusts: there it counts as it is now. And
        # clutter holds only for what does not dwell.
        clutter = self._clutter[-1] if raining else min(self._clutter)
        if not lasts and region.longest_path < factor * clutter * self.least_path:
            return False
        if region.cells >= _SMALL_CELLS:
            return region.longest_dwell >= 2
        if region.total_dwell < self._least_mean_dwell * region.cells:
            return False  # it flies
        surely_tracked = region.longest_path >= 2 * self.least_path and region.longest_dwell >= 2
        # The lamp draws insects at night, so a small thing must be upright besides, and surely tracked or no insect.
        # Tones that a filter changes last, too, and must not be taken for the visitor who is known.
        if lamp:
            x0, y0, x1, y1 = region.box
            is_sure = surely_tracked or (lasts and not known)
            return is_sure and y1 - y0 >= x1 - x0 and region.cells >= _LEAST_CELLS_AT_NIGHT
        dwells = region.longest_dwell >= self._least_dwell and region.total_dwell >= _SURE_MEAN_DWELL * region.cells
        return surely_tracked or dwells
