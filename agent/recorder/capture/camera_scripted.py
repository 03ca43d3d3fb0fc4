"""A camera that films a drawn porch: for tests, where the truth must be known, and for a demo without footage.

The scene is a porch with a front door at dusk and people who walk up to it. It knows exactly when anything moves.

- The same script and seed give the same pictures.
- Outside of a visit only the sensor's noise changes. In a visit something moves exactly while `is_moving` says so.
- A picture is a function of its offset from the start; no clock is read.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import av
import cv2
import numpy as np
import numpy.typing as npt

from agent.core.media import StreamDescription
from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.ports import CameraEnd, CameraSink
from agent.recorder.capture.delivery import EncodingSettings, Ending, PipelineCamera, describe

__all__ = ["TWO_VISITS", "PorchScene", "ScriptedCamera", "Visit"]

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, BGR."""
Colour = tuple[int, int, int]
"""Blue, green, red: 0..255."""
Point = tuple[float, float]

_DOOR_X = 0.63
"""The place where a visitor stops, as a share of the width."""
_GROUND_Y = 0.88
_FIGURE_HEIGHT = 0.55
_STRIDES_PER_S = 1.1
_SKIN: Colour = (140, 172, 214)


@dataclass(frozen=True, slots=True)
class Visit:
    """A person comes in from the left, stands still at the door, and leaves the same way."""

    from_s: float
    walk_s: float = 4.0
    stand_s: float = 3.0
    coat: Colour = (52, 66, 178)

    @property
    def until_s(self) -> float:
        return self.from_s + 2 * self.walk_s + self.stand_s

    def is_moving(self, at_s: float) -> bool:
        inside = self.from_s < at_s <= self.until_s
        return inside and not self.from_s + self.walk_s < at_s <= self.until_s - self.walk_s

    def progress(self, at_s: float) -> float | None:
        """Returns 0 at the edge of the picture .. 1 at the door, or None outside of a visit."""
        if not self.from_s < at_s < self.until_s:
            return None
        return min(1.0, (at_s - self.from_s) / self.walk_s, (self.until_s - at_s) / self.walk_s)


class PorchScene:
    """A script of visits, drawn.  Coordinates inside are shares of the picture's height, so any size looks the same."""

    def __init__(self, width_px: int, height_px: int, visits: Sequence[Visit], *, noise: float = 2.0, seed: int = 7):
        """`noise` is the standard deviation of the sensor's noise in grey levels."""
        self._width_px, self._height_px = width_px, height_px
        self._visits = tuple(visits)
        random = np.random.default_rng(seed)
        self._background = _porch(width_px, height_px, random)
        self._noise = random.normal(0, noise, (8, height_px, width_px)).astype(np.int8) if noise else None

    def is_moving(self, offset_ns: int) -> bool:
        """Returns whether the picture at `offset_ns` differs, except for noise, from the one just before."""
        return any(visit.is_moving(offset_ns / NS_PER_S) for visit in self._visits)

    def motion(self) -> tuple[tuple[int, int], ...]:
        """The truth as (from_ns, until_ns) offsets, in order."""
        return tuple(
            (seconds(begin), seconds(begin + visit.walk_s))
            for visit in self._visits
            for begin in (visit.from_s, visit.until_s - visit.walk_s)
        )

    def picture(self, offset_ns: int, number: int) -> Picture:
        """Returns the picture at `offset_ns`; `number` chooses its noise."""
        at_s = offset_ns / NS_PER_S
        drawn = self._background.copy()
        for visit in self._visits:
            progress = visit.progress(at_s)
            if progress is not None:
                self._draw_visitor(drawn, visit, progress, leaving=at_s > visit.until_s - visit.walk_s)
        if self._noise is not None:
            grain = self._noise[number % len(self._noise), :, :, np.newaxis]
            drawn = np.clip(drawn.astype(np.int16) + grain, 0, 255).astype(np.uint8)
        return drawn

    def _draw_visitor(self, picture: Picture, visit: Visit, progress: float, *, leaving: bool) -> None:
        tall = self._height_px * _FIGURE_HEIGHT
        # Parcel and feet reach a sixth of the figure's height ahead of its middle and behind it: it enters at once.
        begin_x = -0.165 * tall
        x = begin_x + progress * (self._width_px * _DOOR_X - begin_x)
        phase = progress * visit.walk_s * _STRIDES_PER_S * math.tau
        stride = 0.0 if progress == 1.0 else 0.34 * math.sin(phase)
        _FigureSprite(picture, (x, self._height_px * _GROUND_Y), tall, facing=-1 if leaving else 1).draw(
            stride, visit.coat
        )


class _FigureSprite:
    """One person, drawn from sticks with round ends: legs, coat, arms, head, a parcel under the arm."""

    def __init__(self, picture: Picture, feet: Point, tall_px: float, facing: int) -> None:
        self._picture, self._feet, self._tall_px, self._facing = picture, feet, tall_px, facing

    def draw(self, stride: float, coat: Colour) -> None:
        """`stride` is the angle between leg and vertical, in radians."""
        dark = _shade(coat, 0.7)
        self._shadow()
        self._limb((0, 0.50), -stride, (0.24, 0.25), 0.085, (48, 40, 36), bend=0.25)
        self._limb((0, 0.80), stride, (0.17, 0.16), 0.06, dark, bend=-0.35)
        self._limb((0, 0.50), stride, (0.24, 0.25), 0.085, (66, 54, 48), bend=0.25)
        self._stick((0, 0.52), (0, 0.78), 0.175, coat)
        self._stick((-0.035, 0.79), (0.035, 0.79), 0.13, coat)
        self._stick((0, 0.84), (0.005, 0.88), 0.06, _shade(_SKIN, 0.85))
        self._disc((0.008, 0.925), 0.066, _SKIN)
        self._disc((-0.012, 0.948), 0.056, (38, 42, 58))
        self._box((0.035, 0.53), (0.165, 0.63), (96, 142, 184))
        self._limb((0, 0.79), -stride * 0.4, (0.17, 0.15), 0.065, _shade(coat, 0.86), bend=-0.9)

    def _at(self, point: Point) -> tuple[int, int]:
        """Shares of the figure's height, from its feet upwards, to pixels."""
        x, y = point
        return round(self._feet[0] + self._facing * x * self._tall_px), round(self._feet[1] - y * self._tall_px)

    def _stick(self, begin: Point, end: Point, thick: float, colour: Colour) -> None:
        thick_px = max(1, round(thick * self._tall_px))
        cv2.line(self._picture, self._at(begin), self._at(end), colour, thick_px, cv2.LINE_AA)

    def _disc(self, centre: Point, radius: float, colour: Colour) -> None:
        cv2.circle(self._picture, self._at(centre), max(1, round(radius * self._tall_px)), colour, -1, cv2.LINE_AA)

    def _box(self, low: Point, high: Point, colour: Colour) -> None:
        cv2.rectangle(self._picture, self._at(low), self._at(high), colour, -1)
        middle = (low[0] + high[0]) / 2
        self._stick((middle, low[1]), (middle, high[1]), 0.012, _shade(colour, 0.75))

    def _limb(self, top: Point, angle: float, lengths: Point, thick: float, colour: Colour, *, bend: float) -> None:
        """Draws two sticks. The lower one lags behind by `bend` of the swing, as knees and elbows do."""
        lower = angle - bend * abs(angle) if bend > 0 else angle - bend * 0.6
        middle = (top[0] + lengths[0] * math.sin(angle), top[1] - lengths[0] * math.cos(angle))
        end = (middle[0] + lengths[1] * math.sin(lower), middle[1] - lengths[1] * math.cos(lower))
        self._stick(top, middle, thick, colour)
        self._stick(middle, end, thick * 0.85, colour)

    def _shadow(self) -> None:
        half = (max(1, round(0.17 * self._tall_px)), max(1, round(0.022 * self._tall_px)))
        shade = self._picture.copy()
        cv2.ellipse(shade, self._at((-0.02, 0.005)), half, 0, 0, 360, (24, 26, 32), -1, cv2.LINE_AA)
        cv2.addWeighted(shade, 0.45, self._picture, 0.55, 0, dst=self._picture)


def _shade(colour: Colour, factor: float) -> Colour:
    blue, green, red = (min(255, round(part * factor)) for part in colour)
    return blue, green, red


def _porch(width_px: int, height_px: int, random: np.random.Generator) -> Picture:
    """The still background: wall, window, door under a lamp, floor boards, a hedge."""
    picture = np.empty((height_px, width_px, 3), np.uint8)

    def box(x0: float, y0: float, x1: float, y1: float, colour: Colour, thick: int = -1) -> None:
        corners = [(round(x * width_px), round(y * height_px)) for x, y in ((x0, y0), (x1, y1))]
        cv2.rectangle(picture, corners[0], corners[1], colour, thick, cv2.LINE_AA)

    picture[:] = (112, 128, 142)
    _bricks(picture, 0.78)
    _boards(picture, 0.78)
    box(0, 0.765, 1, 0.785, (58, 66, 74))
    # window with warm light behind a curtain
    box(0.14, 0.18, 0.36, 0.56, (214, 222, 226))
    box(0.153, 0.205, 0.347, 0.535, (92, 158, 206))
    for x in (0.153, 0.295):
        box(x, 0.205, x + 0.052, 0.535, (128, 176, 206))
    box(0.246, 0.205, 0.254, 0.535, (214, 222, 226))
    box(0.153, 0.365, 0.347, 0.377, (214, 222, 226))
    box(0.13, 0.555, 0.37, 0.58, (188, 196, 202))
    # door: frame, leaf, four panels, glass, knob, number, mat
    box(0.685, 0.10, 0.875, 0.785, (206, 214, 220))
    box(0.70, 0.13, 0.86, 0.785, (86, 78, 38))
    for x in (0.715, 0.79):
        box(x, 0.44, x + 0.055, 0.73, (100, 92, 48))
        box(x, 0.44, x + 0.055, 0.73, (62, 56, 26), max(1, height_px // 240))
        box(x, 0.17, x + 0.055, 0.39, (122, 170, 196))
    knob = (round(0.712 * width_px), round(0.50 * height_px))
    cv2.circle(picture, knob, max(2, height_px // 70), (90, 190, 226), -1, cv2.LINE_AA)
    _text(picture, "12", 0.905, 0.36, (40, 44, 50))
    box(0.69, 0.80, 0.87, 0.835, (44, 58, 84))
    _hedge(picture, random)
    grain = cv2.GaussianBlur(random.normal(0, 14, (height_px, width_px, 1)).astype(np.float32), (0, 0), 1.2)
    return _lit(picture.astype(np.float32) + grain[:, :, np.newaxis])


def _bricks(picture: Picture, until: float) -> None:
    height_px, width_px = picture.shape[:2]
    course_px, thick_px = max(4, height_px // 22), max(1, height_px // 300)
    for row, y in enumerate(range(0, round(until * height_px), course_px)):
        cv2.line(picture, (0, y), (width_px, y), (94, 108, 120), thick_px, cv2.LINE_AA)
        for x in range((row % 2) * course_px, width_px, 2 * course_px):
            cv2.line(picture, (x, y), (x, y + course_px), (98, 112, 124), thick_px, cv2.LINE_AA)


def _boards(picture: Picture, begin: float) -> None:
    """Floor boards that run towards a point behind the wall."""
    height_px, width_px = picture.shape[:2]
    top = round(begin * height_px)
    picture[top:] = (84, 104, 128)
    for step in range(-12, 25):
        near = (round(step * width_px / 12), height_px)
        far = (round((0.5 + (step / 12 - 0.5) * 0.55) * width_px), top)
        cv2.line(picture, near, far, (60, 76, 96), max(1, height_px // 260), cv2.LINE_AA)


def _hedge(picture: Picture, random: np.random.Generator) -> None:
    """Draws leaves in a pot at the right edge, for texture in an area without motion."""
    height_px, width_px = picture.shape[:2]
    for _ in range(420):
        x, y = random.normal(0.955, 0.022), random.normal(0.62, 0.075)
        colour = _shade((46, 96, 58), random.uniform(0.55, 1.25))
        size = (max(1, height_px // 60), max(1, height_px // 130))
        place = (round(x * width_px), round(y * height_px))
        cv2.ellipse(picture, place, size, random.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    pot = np.array([(0.925, 0.74), (0.985, 0.74), (0.975, 0.87), (0.935, 0.87)]) * (width_px, height_px)
    cv2.fillPoly(picture, [np.rint(pot).astype(np.int32)], (58, 84, 150), cv2.LINE_AA)


def _text(picture: Picture, text: str, x: float, y: float, colour: Colour) -> None:
    height_px, width_px = picture.shape[:2]
    place, thick_px = (round(x * width_px), round(y * height_px)), max(1, height_px // 300)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_DUPLEX, height_px / 520, colour, thick_px, cv2.LINE_AA)


def _lit(picture: npt.NDArray[np.float32]) -> Picture:
    """Dusk, and a warm lamp beside the door."""
    height_px, width_px = picture.shape[:2]
    y, x = np.mgrid[0:height_px, 0:width_px].astype(np.float32) / height_px
    lamp_x, lamp_y = 0.65 * width_px / height_px, 0.22
    glow = np.exp(-((x - lamp_x) ** 2 + (y - lamp_y) ** 2) / 0.16)[:, :, np.newaxis]
    lit = picture * (0.62 + 0.55 * glow * np.array((0.72, 0.95, 1.15), np.float32))
    drawn: Picture = np.clip(lit, 0, 255).astype(np.uint8)
    lamp = (round(lamp_x * height_px), round(lamp_y * height_px))
    low, high = (lamp[0] - height_px // 60, lamp[1] - height_px // 28), (lamp[0] + height_px // 60, lamp[1])
    cv2.rectangle(drawn, low, high, (150, 220, 250), -1, cv2.LINE_AA)
    return drawn


TWO_VISITS = (Visit(from_s=6.0), Visit(from_s=52.0, walk_s=5.0, stand_s=2.0, coat=(150, 104, 46)))
"""The demo's script, 80 s long: two people, further apart than the default merge gap, so they are two events."""


class ScriptedCamera(PipelineCamera):
    """Implements `ports.Camera`.  `scene` holds the truth: `scene.motion()`, `scene.is_moving(offset_ns)`."""

    def __init__(
        self,
        visits: Sequence[Visit] = TWO_VISITS,
        *,
        duration_s: float = 80.0,
        size_px: tuple[int, int] = (960, 540),
        frames_per_s: int = 10,
        paced: bool = False,
        repeats: bool = False,
        settings: EncodingSettings | None = None,
        seed: int = 7,
    ) -> None:
        """`paced`: deliver in real time. In both cases the scene waits for its reader, so no frame is dropped.

        `repeats`: play the script again and again, until `stop`.
        """
        super().__init__("camera-scripted", settings)
        self.scene = PorchScene(*size_px, visits, seed=seed)
        self._frames = round(duration_s * frames_per_s)
        self._frames_per_s = frames_per_s
        self._size_px = size_px
        self._paced = paced
        self.repeats = repeats

    def open(self) -> StreamDescription:
        self._description = describe(*self._size_px, self._frames_per_s, widest_px=self._settings.widest_px, live=False)
        return self._description

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        pipeline = self._new_pipeline(sink)

        def deliver(stopping: threading.Event) -> Ending:
            began_ns = time.monotonic_ns()
            for number in itertools.count() if self.repeats else range(self._frames):
                offset_ns = number * NS_PER_S // self._frames_per_s
                wait_ns = began_ns + offset_ns - time.monotonic_ns() if self._paced else 0
                if stopping.wait(max(0, wait_ns) / NS_PER_S):
                    pipeline.flush()
                    return CameraEnd.STOPPED, "The camera was stopped."
                played = number % self._frames
                picture = self.scene.picture(played * NS_PER_S // self._frames_per_s, played)
                pipeline.feed(av.VideoFrame.from_ndarray(picture, format="bgr24"), BootNs(first_ns + offset_ns))
            pipeline.flush()
            return CameraEnd.END_OF_FOOTAGE, "The script has been played to its end."

        self._begin(pipeline, deliver, sink)
