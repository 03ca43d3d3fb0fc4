"""Decides, frame by frame, whether something moves at the door.

Input: luma of any size with its sensor time.  On a grid of about 80×60 cells, with `q` the frame in logarithmic steps,
`B` the background and `mean` the mean over 11×11 cells:

0.  **Admit, shrink, clear** (`step`).  Up to some 16 frames a second are admitted, and their true rate is measured
    (`preparing.py`).  Exact 2×2 means down to the grid, or in place if the picture is as small as the grid, then
    `q = 97 ln(1 + luma / 20)` (`pyramid.py`).  Where it rains, the darker of two frames; at night gain, 3×3 means
    (`preparing.py`).
1.  **Quick look** (`passes.look`, called by `step`).  Is `|q - B|` above 80 % of the threshold `T` in three cells or
    more?  If not, and that is almost every frame of a real day, `B` follows a little and the frame is done: one pass
    over preallocated grids.
2.  **Full look** (`_look`).  A cell differs when `|(q - B) - mean(q - B)| > T`, `|q - B| > 0.8 T`, and two neighbours
    do too. Taking the local mean out makes light vanish; asking for the difference itself as well keeps the halo of a
    bright thing out.  `T` is the largest of a floor, the scene's noise and the cell's own noise, each learned by sign,
    plus a share of the local contrast (`background.py`).
3.  **Another light?** (`_settle`)  When most of the picture becomes brighter or darker at once, judgement waits until
    0.8 s have passed without that, and then rests on structure (`lighting.py`).  Light has been learned meanwhile;
    structure lost while things still change is a person close to the lens, and fires: "too much changed" is never a
    reason to drop a visitor.
4.  **Track before detecting** (`_advance`).  A path is a sequence of differing cells, each within a step of the one
    before, that gains length on ground not covered for 2 s.  Swaying things run out of new ground, walkers do not
    (`tracking.py`).
5.  **Confirm** (`_confirm`). Regions reached by a path of six steps must be large enough for their zone and for a
    person, have dwelt on their cells (insects, leaves and flakes do not), and still be changing (scenery, such as a
    parked car, is not); small ones must be all that twice. A faint one must go straight on at one speed instead. Trees,
    rain and insects make short paths again and again: a path of what does not dwell must be longer than the usual ones
    of its scene (`tracking.py`). A region that shows the background's structure is light. Only now is the frame
    `moving`.
6.  **Learn** (`_follow`).  `B` follows slowly under what differs, fast where that has stopped changing, faster with
    smooth light; noise follows except around a confirmed visitor.
7.  **Stay** (`_with_presence`).  A visitor who stands still is `present` as long as they hide the scene from before
    they came, stand out from it, and live (`presence.py`).
8.  **Linger** (`_with_lingering`).  A visitor who comes too slowly for a path is found by comparing with the scene of
    half a minute ago (`lingering.py`).
9.  **Mind the lens** (`step`).  Every two seconds: is it covered, moved, shaken (`lens.py`)?

`moving` is a strict yes.  Keeping an event alive on a weaker `score`, or on `present` for up to five minutes, is the
event machine's business (`agent/core/events.py`).

While a scene is learned nothing is reported, but tracks run (`_learn`). A visitor who is confirmed meanwhile, and makes
up most of what differs, is told when the scene is known. Without that, a visitor of the first picture would be scenery.

The detector owns no clock: order and holes come from the frames' sensor times.  A hole keeps all that was learned,
since the scene from before is the best evidence of who stands there now, and who was there and still is, is told again;
a step backwards starts the learning again.  It is deterministic: the same frames give the same samples, on every
machine, whether the passes over its grids (`passes/`) run in Python or in C.  Its memory is a few dozen grids, whatever
the frame size and however long it runs.
"""

from __future__ import annotations

import math

import cv2

from agent.core.media import LumaFrame
from agent.core.motion.background import Background
from agent.core.motion.grids import Grid, Grids
from agent.core.motion.lens import LensState, LensWatch
from agent.core.motion.lighting import SuddenLightChange, hidden_structure, is_light_new, is_only_lit
from agent.core.motion.lingering import LingeringVisitor
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import CellBox, MakePasses
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.preparing import SMOOTHING_GAIN, FrameRateMonitor, NoiseReduction, jump_limit
from agent.core.motion.presence import PresenceTracker, around
from agent.core.motion.pyramid import check_luma, grid_size
from agent.core.motion.sample import CONFIRMED_SCORE, MotionSample, MotionState, RelativeBox
from agent.core.motion.tracking import MotionConfirmation, Tracks
from agent.core.motion.zones import ZoneMap
from agent.core.timebase import BootNs, seconds

__all__ = ["Detector"]

_SURELY_QUIET_CELLS = 3
"""The quick look lets fewer differing cells pass than a 3×3 majority can be made of."""

_QUIET_UPDATE_FRAMES = 4
"""While quiet, the background follows once in this many frames."""

_FULL_LOOK_FRAMES = 16
"""Once in this many frames a full look is taken anyway, so that noise is learned."""

_LOOK_ON_FRAMES = 3
"""After the last difference the full look goes on for this many frames."""

_CONTRAST_FRAMES = 32
"""The scene's contrast is measured again once in this many frames: edges move slowly."""

_LEARNING_HASTE = 3
"""While learning, noise is learned this many times as fast: two seconds have to show how a tree sways."""

_FIRST_VISITOR_CELLS, _FIRST_VISITOR_SHARE = 32, 0.8
"""While the scene is learned, a visitor must be as large as a person of a quarter of the picture's height, and make up
this share of the cells that differ. On clips 24 to 48 cells and .7 to .8 give the same results; .5 tells a camera that
moves, and .9 and 64 cells lose a visitor."""

_NIGHT_STEPS = 156.0
"""Below this mean background (luma 80) it is night."""


class Detector:
    """One camera's motion detector.  `step` each frame in order; for one thread. It forgets each frame."""

    def __init__(
        self,
        height_px: int,
        width_px: int,
        frames_per_s: float,
        zones: ZoneMap | None = None,
        settings: MotionSettings | None = None,
        make_passes: MakePasses = PurePasses,
    ) -> None:
        self._settings = settings = settings or MotionSettings()
        self._pace = FrameRateMonitor(frames_per_s)
        self._rows, self._columns = grid_size(height_px, width_px)
        self._shape = (height_px, width_px)
        zones_here = (zones or ZoneMap()).rasterise(self._rows, self._columns)
        self._watched = zones_here.watched
        self._watched_cells = cv2.countNonZero(zones_here.watched)
        self._lens = LensWatch(self._rows, self._columns, zones_here.watched)
        self._grids = grids = Grids(zones_here)
        self._passes = passes = make_passes(grids, height_px, width_px)
        self._presence = PresenceTracker(grids, passes, settings)
        self._lingering = LingeringVisitor(grids, passes, settings)
        self._clearing = NoiseReduction()
        self._background = Background(grids, passes, self._pace.frames_per_s, settings)
        self._tracks = Tracks(grids, passes, self._pace.frames_per_s, settings)
        self._confirming = MotionConfirmation(settings)
        self._sudden = SuddenLightChange(self._rows, self._columns, settle_frames=1)
        self._gap_ns = seconds(settings.gap_s)
        self._learnt_at_ns = BootNs(0)
        self._count_frames()
        self._last_ns: BootNs | None = None
        self._frame_number = 0
        self._last_sample = _still(BootNs(0), MotionState.LEARNING)
        self._look_on_frames = 0
        self._watches_quietly = False
        """Nothing is going on that needs every frame: the next one gets the quick look."""
        self._rained = False
        self._confirmed: CellBox | None = None
        self._judge_at_frame = 0

    def step(self, frame: LumaFrame) -> MotionSample:
        """The verdict on one frame.  The luma is only read during the call; its stride is free.

        Raises `DeviceError` when the frame has another size than was announced.
        """
        # Straight-line code for the quiet frames of a real day: with cold caches every call has its price.
        sensor_ns, last_ns = frame.sensor_ns, self._last_ns
        self._last_ns = sensor_ns
        begins = last_ns is None or sensor_ns < last_ns
        if not begins:
            if last_ns is not None and sensor_ns - last_ns > self._gap_ns:
                self._resume(sensor_ns, sensor_ns - last_ns)
            # Frames beyond some 16 a second are left out: a person moves by a few cells at most in between. The verdict
            # on the frame before holds for them.
            elif not self._pace.admits(sensor_ns):
                check_luma(frame.luma, self._shape)
                return self._last_sample._replace(sensor_ns=sensor_ns)
        self._frame_number = number = self._frame_number + 1
        if begins:
            self._clearing = NoiseReduction()
        clearing, passes = self._clearing, self._passes
        plan = clearing.plan()
        differing_cells = passes.look(frame.luma, plan, jump_limit(self._background.scene_noise) if plan else 0)
        if plan:
            clearing.heard(plan, passes.jumping_cells / (self._rows * self._columns))
        if begins:
            self._begin_learning(sensor_ns)
        if self._lens.due(sensor_ns):
            self._lens.look(self._grids.steps, sensor_ns, busy=not self._watches_quietly)
        # Almost every frame of a real day ends here. A cell counts only with two neighbours, so three cells are the
        # fewest.
        if self._watches_quietly and differing_cells < _SURELY_QUIET_CELLS and number % _FULL_LOOK_FRAMES:
            if number % _QUIET_UPDATE_FRAMES == 0:
                self._background.follow_quietly(_QUIET_UPDATE_FRAMES)
            sample = MotionSample(sensor_ns, False, 0.0, None, MotionState.QUIET)
        else:
            sample = self._analyse(sensor_ns, differing_cells)
        if self._lens.state is not LensState.CLEAR:
            sample = sample._replace(lens=self._lens.state)
        self._last_sample = sample
        return sample

    @property
    def passes_name(self) -> str:
        """Which implementation of the passes is in force, for people."""
        return self._passes.name

    @property
    def thresholds(self) -> Grid:
        """(rows, columns) float32: by how many steps each cell has to differ at present; a copy, for people."""
        return self._grids.threshold.copy()

    # Stages.

    def _analyse(self, sensor_ns: BootNs, differing_cells: int) -> MotionSample:
        """A frame that needs more than the quick look, which has found `differing_cells`."""
        if self._pace.changed():
            self._count_frames()
        if self._clearing.rains != self._rained:
            self._rained = self._clearing.rains
            # In rain the grid is the darker of two frames: older scenes and the noise of cells were measured on another
            # grid.
            self._lingering.forget()
            self._background.forget_cell_noise()
        if sensor_ns < self._learnt_at_ns:
            return self._learn(sensor_ns)
        moved_at_first = None
        if self._last_sample.state is MotionState.LEARNING:
            # Paths through noise that was not known yet start again. A visitor who was confirmed nevertheless is told.
            moved_at_first = self._confirmed
            self._tracks.begin()
        sample = self._look(sensor_ns, differing_cells)
        if moved_at_first is not None:
            self._confirmed = moved_at_first
            sample = self._sample(sensor_ns, 1.0, moved_at_first, sample.state)
        if sample.moving or self._presence.box is not None:
            sample = self._with_presence(sample)
        elif self._frame_number % _FULL_LOOK_FRAMES == 0 and not self._sudden.settling:
            sample = self._with_lingering(sample)
        self._watches_quietly = not (self._look_on_frames or self._sudden.settling or self._presence.box is not None)
        return sample

    def _begin_learning(self, sensor_ns: BootNs) -> None:
        self._pace.begin(sensor_ns)
        self._learnt_at_ns = BootNs(sensor_ns + seconds(self._settings.learning_s))
        self._look_on_frames = 0
        self._watches_quietly = self._rained = False
        self._confirmed = None
        self._sudden.forget()
        self._presence.forget()
        self._lingering.begin(self._learnt_at_ns)
        self._background.begin()
        self._tracks.begin()
        self._confirming.forget()

    def _resume(self, sensor_ns: BootNs, hole_ns: int) -> None:
        """After a hole in the frames: the scene from before is the best evidence of who stands there now."""
        self._pace.begin(sensor_ns)
        # A path must not go on behind the hole: what is there now may be another thing.
        self._tracks.drop_paths()
        self._presence.resume(hole_ns)
        self._watches_quietly = False

    def _learn(self, sensor_ns: BootNs) -> MotionSample:
        cells = self._passes.differ(False)
        self._background.relearn(absorb_s=self._settings.learning_absorb_s, haste=_LEARNING_HASTE)
        self._smooth_as_needed()
        if self._tracks.advance(self._frame_number) >= self._confirming.least_path:
            # Until noise is known, trees, rain and insects differ in many places, and a visitor in one.
            least_cells = max(_FIRST_VISITOR_CELLS, math.ceil(_FIRST_VISITOR_SHARE * cells))
            self._confirmed = self._confirm(least_cells) or self._confirmed
        return _still(sensor_ns, MotionState.LEARNING)

    def _look(self, sensor_ns: BootNs, quick_cells: int) -> MotionSample:
        number, sudden = self._frame_number, self._sudden
        # Where a visitor stood until they had become background, nothing new appears when they leave.
        cells = self._passes.differ(self._presence.box is not None)
        # The count that is there already comes first: `is_light_new` allocates, so it runs on suspicion only.
        is_lit = 2 * quick_cells > self._watched_cells and is_light_new(self._grids, self._presence.box)
        if is_lit:
            sudden.suspects(self._grids.mean, number)
        # Until the light has settled, the tones that it changes would pass for tracks.
        if sudden.settling:
            return self._settle(sensor_ns, is_lit=is_lit)
        if not cells:
            self._look_on_frames = max(0, self._look_on_frames - 1)
            self._confirmed = None
            self._tracks.clear()
            sudden.observe(0.0, is_lit=False)
            if not (self._look_on_frames and number % 2):
                self._follow()
            return _still(sensor_ns, MotionState.QUIET)
        self._look_on_frames = _LOOK_ON_FRAMES
        longest, least = self._advance(is_lit=False), self._confirming.least_path
        self._confirming.learn_clutter(longest, number)
        if longest < least:
            self._confirmed = None
        elif number >= self._judge_at_frame:
            self._judge()
        if number % 2 == 0:
            self._follow()
        return self._sample(sensor_ns, min(1.0, CONFIRMED_SCORE * longest / least), self._confirmed, MotionState.ACTIVE)

    def _settle(self, sensor_ns: BootNs, *, is_lit: bool) -> MotionSample:
        """Let the light settle; at the end decide between light and a person who fills the picture."""
        self._look_on_frames = _LOOK_ON_FRAMES
        self._confirmed = None
        self._lingering.forget()
        self._advance(is_lit=is_lit)
        # Paths through changing light are no walker's.
        self._tracks.drop_paths()
        if is_lit:
            self._grids.mean[:] = self._grids.frame
        self._background.relearn(absorb_s=self._settings.settle_absorb_s, haste=1)
        if not self._sudden.settling:
            self._presence.relight(self._background)
        # A lamp changes the picture, and then it is still. A person close to the lens keeps changing it, and is judged
        # below.
        if self._sudden.settling or not self._sudden.kept_changing:
            return _still(sensor_ns, MotionState.LIGHT_CHANGE)
        share, hidden = hidden_structure(self._grids.frame, self._sudden.before, self._watched)
        box = hidden if share >= self._settings.structure_lost_share else None
        return self._sample(sensor_ns, 1.0 if box else 0.0, box, MotionState.LIGHT_CHANGE)

    def _advance(self, *, is_lit: bool) -> int:
        """Take the frame into the tracks; the length of its longest path."""
        longest = self._tracks.advance(self._frame_number)
        self._sudden.observe(cv2.countNonZero(self._grids.changing) / self._watched_cells, is_lit=is_lit)
        return longest

    def _follow(self) -> None:
        """Let background and noise follow.  While busy on every second frame: half the cost, the same equilibrium."""
        spares_objects = self._confirmed is not None or self._presence.box is not None
        self._background.follow(2, self._tracks.settled_frames, spares_objects=spares_objects)
        self._smooth_as_needed()
        if self._frame_number % _CONTRAST_FRAMES == 0:
            self._background.measure_contrast()

    def _smooth_as_needed(self) -> None:
        if self._clearing.switched(self._background.scene_noise):
            self._lingering.forget()
            self._background.expect_noise(1 / SMOOTHING_GAIN if self._clearing.smooths else SMOOTHING_GAIN)

    # Confirmation.

    def _judge(self) -> None:
        """Confirm, now and then: a verdict stands for a few frames as long as its path is long enough."""
        self._confirmed = self._confirm(self._settings.smallest_cells)
        stands_s = self._settings.refused_s if self._confirmed is None else self._settings.confirmed_s
        self._judge_at_frame = self._frame_number + self._frames(stands_s, least=1)

    def _confirm(self, least_cells: int) -> CellBox | None:
        """The box around the regions of this many cells that are visitors, or None."""
        regions, settled_frames = self._passes.regions, self._tracks.settled_frames
        least_path = self._confirming.least_path
        found = regions(least_path, least_cells, settled_frames)
        is_dark, is_known = self._background.level < _NIGHT_STEPS, self._presence.box is not None
        boxes = self._confirming.visitors(found, self._frame_number, self._clearing, dark=is_dark, known=is_known)
        is_noisy = self._clearing.smooths or self._background.least_step > self._settings.smallest_step
        if not boxes and is_noisy and not is_known:
            # In noise a body shows half of its cells. The one that has gone furthest counts, if it goes straight on.
            faint = regions(least_path, least_cells // 2, settled_frames)[:1]
            boxes = [one.box for one in faint if self._confirming.goes_straight(one, self._frame_number)]
        if self._confirmed is None:
            boxes = [box for box in boxes if not is_only_lit(self._compare(box))]
        return around(boxes) if boxes else None

    def _compare(self, box: CellBox) -> list[float]:
        """Compares the box and the cells beside it with the background."""
        x0, y0, x1, y1 = box
        window = x0, y0, x1, y1 = max(0, x0 - 1), max(0, y0 - 1), min(self._columns, x1 + 1), min(self._rows, y1 + 1)
        self._grids.body[y0:y1, x0:x1] = 255
        return self._passes.compare_body(window, False)

    def _with_presence(self, sample: MotionSample) -> MotionSample:
        if sample.moving:
            grids, whole = self._grids, (0, 0, self._columns, self._rows)
            # While the light settled, the background took in the visitor who was taken for light.
            before = (self._sudden.before, grids.threshold) if sample.state is MotionState.LIGHT_CHANGE else None
            self._presence.confirm(self._confirmed or whole, sample.sensor_ns, self._background, before)
        elif self._presence.lasts(self._background, sample.sensor_ns):
            if self._presence.found_again:
                return self._sample(sample.sensor_ns, 1.0, self._presence.box, sample.state)
            # A third of what `_replace` costs.
            return MotionSample(sample.sensor_ns, False, sample.score, None, sample.state, True)
        else:
            self._tracks.drop_paths()  # the visitor's, or what is left behind would pass for them
            self._sudden.forget()  # what changed was that they went
        return sample

    def _with_lingering(self, sample: MotionSample) -> MotionSample:
        sensor_ns, grids = sample.sensor_ns, self._grids
        box = self._lingering.look(self._background, self._frame_number, _FULL_LOOK_FRAMES, sensor_ns)
        if box is None:
            return sample
        self._presence.confirm(box, sensor_ns, self._background, (grids.scene, grids.scene_threshold))
        return self._sample(sensor_ns, 1.0, box, sample.state)

    # Reporting.

    def _sample(self, sensor_ns: BootNs, score: float, box: CellBox | None, state: MotionState) -> MotionSample:
        """A region that is not confirmed scores below the threshold, however long its path."""
        if box is None:
            return MotionSample(sensor_ns, False, min(score, 0.9 * CONFIRMED_SCORE), None, state)
        x0, y0, x1, y1 = box
        relative: RelativeBox = (x0 / self._columns, y0 / self._rows, x1 / self._columns, y1 / self._rows)
        return MotionSample(sensor_ns, True, score, relative, state, present=True)

    def _count_frames(self) -> None:
        """Turn durations into frames of the rate that the frames show."""
        settings, frames_per_s = self._settings, self._pace.frames_per_s
        self._background.frames_per_s = frames_per_s
        self._tracks.tune(frames_per_s)
        self._sudden.settle_frames = self._frames(settings.settle_s, least=3)
        self._confirming.tune(frames_per_s)
        self._lingering.tune(frames_per_s, _FULL_LOOK_FRAMES)

    def _frames(self, duration_s: float, *, least: int) -> int:
        return max(least, round(duration_s * self._pace.frames_per_s))


def _still(sensor_ns: BootNs, state: MotionState) -> MotionSample:
    return MotionSample(sensor_ns, False, 0.0, None, state)
