"""Draws disturbed scenes with exact truth: a yard with a path, at most one visitor, and one thing that goes wrong.

Rules:
- The same kind and seed give the same frames.  Parameters of the detector are chosen on seeds below 1000 only; reports
  use seeds from 1000 on.
- Disturbances run through the whole clip, visitor or not, so each kind is also its own test for false alarms.
- The picture is luma, 320×240 at 10 frames a second; the first ten seconds are always without a visitor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.motion.scoring import Interval
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip

__all__ = ["KINDS", "draw"]

Picture = npt.NDArray[Any]
"""(240, 320) floating point, 0..255 before rounding."""

Disturbance = Callable[[Picture, float], Picture]
"""(undisturbed picture, seconds) -> picture."""


@dataclass(frozen=True, slots=True)
class _Visitor:
    """Walks from one side to the other at `ground_y` (share of the height), `height` tall (share of the height)."""

    from_s: float
    until_s: float
    height: float
    ground_y: float
    luma: float
    leftwards: bool
    stands_s: float = 0.0

    def draw(self, picture: Picture, at_s: float) -> None:
        if not self.from_s <= at_s <= self.until_s:
            return
        walking_s = self.until_s - self.from_s - self.stands_s
        walked_s = at_s - self.from_s
        if walked_s > walking_s / 2:
            walked_s = max(walking_s / 2, walked_s - self.stands_s)
        progress = walked_s / walking_s
        x = (1.1 - 1.2 * progress if self.leftwards else 1.2 * progress - 0.1) * WIDTH_PX
        tall = self.height * HEIGHT_PX
        foot = self.ground_y * HEIGHT_PX
        swing = 0.12 * tall * np.sin(2 * np.pi * 1.6 * walked_s)
        coat, trousers, skin = self.luma, 0.6 * self.luma + 20, 0.5 * self.luma + 90
        hip = (x, foot - 0.48 * tall)
        for side in (-1, 1):
            _limb(picture, hip, (x + side * swing, foot), 0.10 * tall, trousers)
            _limb(picture, (x, foot - 0.78 * tall), (x - side * swing, foot - 0.45 * tall), 0.07 * tall, coat)
        _limb(picture, hip, (x, foot - 0.78 * tall), 0.22 * tall, coat)
        _disc(picture, (x, foot - 0.92 * tall), 0.08 * tall, skin)


def _limb(picture: Picture, start: tuple[float, float], end: tuple[float, float], thick: float, luma: float) -> None:
    points = [tuple(int(16 * value) for value in point) for point in (start, end)]
    cv2.line(picture, points[0], points[1], luma, max(1, round(thick)), cv2.LINE_AA, 4)


def _disc(picture: Picture, centre: tuple[float, float], radius: float, luma: float) -> None:
    at = (int(16 * centre[0]), int(16 * centre[1]))
    cv2.circle(picture, at, max(8, int(16 * radius)), luma, -1, cv2.LINE_AA, 4)


def _smooth(random: np.random.Generator, coarse: int, strength: float) -> Picture:
    """Smooth texture of about `coarse` blobs across."""
    small = random.normal(0, strength, (max(2, coarse * 3 // 4), coarse)).astype(np.float32)
    return cv2.resize(small, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)


def _yard(random: np.random.Generator, contrast: float) -> Picture:
    """Sky, a wall with a door and windows, grass and a path."""
    picture = np.full((HEIGHT_PX, WIDTH_PX), 120, np.float32)
    picture[:90] = 175
    cv2.rectangle(picture, (150, 30), (310, 150), 145, -1)
    cv2.rectangle(picture, (215, 70), (250, 150), 80, -1)
    for x in (165, 270):
        cv2.rectangle(picture, (x, 55), (x + 28, 85), 60, -1)
        cv2.rectangle(picture, (x, 55), (x + 28, 85), 190, 2)
    cv2.fillPoly(picture, [np.array([[60, 240], [210, 150], [255, 150], [200, 240]], np.int32)], 165)
    cv2.circle(picture, (60, 90), 42, 70, -1)
    picture += _smooth(random, 10, 8) + _smooth(random, 40, 8) + _smooth(random, 110, 7)
    yard: Picture = np.clip(110 + contrast * (picture - 110), 5, 250).astype(np.float32)
    return yard


# Disturbances: each a factory (random source, duration) -> function of the picture and the time.


def _nothing(_random: np.random.Generator, _duration_s: float) -> Disturbance:
    return lambda picture, _at_s: picture


def _clouds(random: np.random.Generator, _duration_s: float) -> Disturbance:
    tile = random.normal(0, 0.22, (4, 5)).astype(np.float32)
    tiles = cv2.resize(np.concatenate([tile] * 4, axis=1), (4 * WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    shade = tiles[:, WIDTH_PX : 3 * WIDTH_PX]  # a whole period and more, without a seam

    def at(picture: Picture, at_s: float) -> Picture:
        shift = int(at_s * 14) % WIDTH_PX
        return picture * (0.85 + 0.3 * np.tanh(shade[:, shift : shift + WIDTH_PX] / 0.3))

    return at


def _exposure_drift(random: np.random.Generator, _duration_s: float) -> Disturbance:
    period_s = random.uniform(7, 15)
    return lambda picture, at_s: picture * (0.85 + 0.3 * np.sin(2 * np.pi * at_s / period_s))


def _lamp(random: np.random.Generator, duration_s: float) -> Disturbance:
    switches_s = np.sort(random.uniform(4, duration_s - 3, 3))
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    pool: Picture = np.exp(-((x - 230) ** 2 + (y - 60) ** 2) / 120**2).astype(np.float32)

    def at(picture: Picture, at_s: float) -> Picture:
        lit = int(np.count_nonzero(switches_s < at_s)) % 2
        return picture * (0.35 + 0.5 * lit * pool + 0.25 * lit)

    return at


def _headlights(random: np.random.Generator, duration_s: float) -> Disturbance:
    passes_s = np.sort(random.uniform(4, duration_s - 4, 4))
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]

    def at(picture: Picture, at_s: float) -> Picture:
        light = np.full(picture.shape, 0.3, np.float32)
        for pass_s in passes_s:
            if 0 <= at_s - pass_s < 2.5:
                centre_x = -60 + (at_s - pass_s) * 180
                light += 0.7 * np.exp(-(((x - centre_x) / 55) ** 2) - ((y - 120) / 50) ** 2)
        return picture * light

    return at


def _streaks(count: int, length_px: float, luma: float, thick: int) -> Callable[..., Disturbance]:
    def make(random: np.random.Generator, _duration_s: float) -> Disturbance:
        def at(picture: Picture, _at_s: float) -> Picture:
            drawn = picture.copy()
            for _ in range(count):
                x, y = random.uniform(0, WIDTH_PX), random.uniform(0, HEIGHT_PX)
                _limb(drawn, (x, y), (x + 0.15 * length_px, y + length_px), thick, luma)
            return 0.5 * picture + 0.5 * drawn

        return at

    return make


_rain = _streaks(60, 14, 210, 1)
_snow = _streaks(90, 2, 235, 3)


def _tree(random: np.random.Generator, _duration_s: float) -> Disturbance:
    leaves = random.uniform((15, 40), (140, 170), (70, 2))
    phase, strength = random.uniform(0, 6.3, 70), random.uniform(2, 7, 70)
    luma = random.uniform(40, 150, 70)

    def at(picture: Picture, at_s: float) -> Picture:
        gust = 0.6 + 0.4 * np.sin(2 * np.pi * at_s / 9)
        for (x, y), lag, sway, shade in zip(leaves, phase, strength, luma, strict=True):
            _disc(picture, (x + gust * sway * np.sin(2.6 * at_s + lag), y + 2 * np.sin(3.3 * at_s + lag)), 7, shade)
        return picture

    return at


def _insects(random: np.random.Generator, _duration_s: float) -> Disturbance:
    place = random.uniform((0, 0), (WIDTH_PX, HEIGHT_PX), (2, 2))
    speed = random.normal(0, 120, (2, 2))

    def at(picture: Picture, _at_s: float) -> Picture:
        picture = picture * 0.35
        for i in range(2):
            speed[i] += random.normal(0, 90, 2)
            speed[i] *= 0.85
            place[i] = (place[i] + speed[i] / FRAMES_PER_S) % (WIDTH_PX, HEIGHT_PX)
            _disc(picture, (place[i][0], place[i][1]), 3.5, 200)
        return picture

    return at


def _night(random: np.random.Generator, _duration_s: float) -> Disturbance:
    return lambda picture, _at_s: picture * 0.3 + random.normal(0, 9, picture.shape).astype(np.float32)


def _shake(random: np.random.Generator, _duration_s: float) -> Disturbance:
    def at(picture: Picture, _at_s: float) -> Picture:
        dx, dy = random.normal(0, 1.0, 2)
        moved = cv2.warpAffine(
            picture,
            np.array([[1, 0, dx], [0, 1, dy]], np.float32),
            (WIDTH_PX, HEIGHT_PX),
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(moved, np.float32)

    return at


def _flicker(random: np.random.Generator, _duration_s: float) -> Disturbance:
    rows = np.arange(HEIGHT_PX, dtype=np.float32)[:, None]
    beat = random.uniform(0.5, 2)
    return lambda picture, at_s: picture * (1 + 0.08 * np.sin(2 * np.pi * (rows / 160 + beat * at_s)))


def _compression(_random: np.random.Generator, _duration_s: float) -> Disturbance:
    def at(picture: Picture, at_s: float) -> Picture:
        quality = 35 if round(at_s * FRAMES_PER_S) % 10 == 0 else 20
        coded = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.float32)

    return at


@dataclass(frozen=True, slots=True)
class _Kind:
    disturb: Callable[[np.random.Generator, float], Disturbance] = _nothing
    contrast: float = 1.0
    height: tuple[float, float] = (0.3, 0.6)
    stands_s: float = 0.0


KINDS: dict[str, _Kind] = {
    "clean": _Kind(),
    "low contrast": _Kind(contrast=0.4),
    "far": _Kind(height=(0.12, 0.18)),
    "doorstep": _Kind(height=(1.6, 2.2)),
    "standing": _Kind(stands_s=8.0),
    "clouds": _Kind(_clouds),
    "exposure drift": _Kind(_exposure_drift),
    "lamp": _Kind(_lamp),
    "headlights": _Kind(_headlights),
    "rain": _Kind(_rain),
    "snow": _Kind(_snow),
    "tree": _Kind(_tree),
    "insects": _Kind(_insects),
    "night": _Kind(_night),
    "shake": _Kind(_shake),
    "flicker": _Kind(_flicker),
    "compression": _Kind(_compression),
}


def draw(kind: str, seed: int, *, visitor: bool = True, duration_s: float = 40.0) -> Clip:
    """One clip of `duration_s` (at least 30)."""
    style = KINDS[kind]
    random = np.random.default_rng([seed, list(KINDS).index(kind)])
    yard = _yard(random, style.contrast)
    came = _visitor(style, random, duration_s)
    disturb = style.disturb(random, duration_s)
    frames = np.empty((round(duration_s * FRAMES_PER_S), HEIGHT_PX, WIDTH_PX), np.uint8)
    for number in range(len(frames)):
        at_s = number / FRAMES_PER_S
        picture = yard.copy()
        if visitor:
            came.draw(picture, at_s)
        noisy = disturb(picture, at_s) + random.normal(0, 1.5, picture.shape)
        frames[number] = np.clip(np.rint(noisy), 0, 255)
    truth = (Interval(came.from_s, came.until_s),) if visitor else ()
    return Clip(kind if visitor else f"{kind}, empty", frames, duration_s, truth, ())


def _visitor(style: _Kind, random: np.random.Generator, duration_s: float) -> _Visitor:
    tall = random.uniform(*style.height)
    walk_s = random.uniform(5, 9) if tall < 1 else random.uniform(3, 5)
    from_s = random.uniform(10, duration_s - walk_s - style.stands_s - 3)
    contrast = random.choice([-1, 1]) * random.uniform(45, 80)
    return _Visitor(
        from_s=from_s,
        until_s=from_s + walk_s + style.stands_s,
        height=tall,
        ground_y=random.uniform(0.72, 0.95) if tall < 1 else 1.4,
        luma=float(np.clip(125 + style.contrast * contrast, 15, 240)),
        leftwards=bool(random.integers(2)),
        stands_s=style.stands_s,
    )
