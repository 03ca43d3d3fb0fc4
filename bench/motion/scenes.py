"""Draws disturbed scenes with exact truth: a yard with a path, at most one visitor, and one thing that goes wrong.

Rules:
- The same kind and seed give the same frames.
- **The split.**  Parameters of detectors, ours and the peers', are chosen on `TUNING_SEEDS`; reports use `REPORT_SEEDS`
  and nothing is changed because of them.  Once the detector has been changed after a report, its seeds are spent and
  newer ones are reported on; `SPENT_SEEDS` are shown beside them.  1000 to 1002 were of an earlier drawing.  From 211
  on only some kinds were drawn.
- **The truth** runs from the first to the last frame in which at least a quarter of the visitor is in the picture (of a
  visitor larger than the picture: a quarter of the most that is ever seen); it is counted from the pixels drawn.
- Disturbances run through the whole clip, visitor or not: each kind is drawn without a visitor too, as a test for false
  alarms.  "clean", "far", "standing" and the like differ by their visitor only; without one they are undisturbed.
- The picture is luma, 320×240 at 10 frames a second; the first ten seconds are always without a visitor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.motion_accuracy.scoring import Interval
from bench.motion import disturbances as wrong
from bench.motion.figures import Figure, Picture, Route, crossing, doorstep, standing
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip

__all__ = ["KINDS", "REPORT_SEEDS", "SPENT_SEEDS", "TUNING_SEEDS", "UNDISTURBED", "draw", "drawn", "undisturbed_hour"]

TUNING_SEEDS = (1, 2, 3, 101, 102, 103, *range(201, 241))
REPORT_SEEDS = (4000, 4001, 4002, 4003)
SPENT_SEEDS = (2000, 2001, 2002, 2003, 3000, 3001, 3002, 3003)

_COMES_AFTER_S = 10.0
_LEAVES_BEFORE_END_S = 3.0
_VISIBLE_SHARE = 0.25

ChooseRoute = Callable[[np.random.Generator], Route]


_CROSSES = partial(crossing, tall=(0.3, 0.6))


@dataclass(frozen=True, slots=True)
class _Kind:
    disturb: wrong.Disturb = wrong.nothing
    route: ChooseRoute = _CROSSES
    contrast: float = 1.0
    duration_s: float = 40.0
    leaves_parcel: bool = False
    behind: bool = False
    """The disturbance is part of the scene, and the visitor passes in front of it."""


KINDS: dict[str, _Kind] = {
    "clean": _Kind(),
    "low contrast": _Kind(contrast=0.4),
    "far": _Kind(route=partial(crossing, tall=(0.12, 0.18))),
    "doorstep": _Kind(route=partial(doorstep, stands_s=5.0)),
    "standing": _Kind(route=partial(standing, stands_s=40.0), duration_s=75.0),
    "parcel": _Kind(route=partial(standing, stands_s=2.0), leaves_parcel=True),
    "clouds": _Kind(wrong.clouds),
    "exposure drift": _Kind(wrong.exposure_drift),
    "lamp": _Kind(wrong.lamp),
    "headlights": _Kind(wrong.headlights),
    "rain by day": _Kind(wrong.rain),
    "rain at night": _Kind(wrong.rain_at_night),
    "snow": _Kind(wrong.snow),
    "leaves": _Kind(wrong.leaves),
    "tree": _Kind(wrong.tree, behind=True),
    "leaf shadow": _Kind(wrong.leaf_shadow),
    "insects": _Kind(wrong.insects),
    "spider web": _Kind(wrong.spider_web),
    "shake": _Kind(wrong.shake),
    "sway": _Kind(wrong.sway),
    "night": _Kind(wrong.night),
    "far at night": _Kind(wrong.night, route=partial(crossing, tall=(0.12, 0.18))),
    "compression": _Kind(wrong.compression),
    "flicker": _Kind(wrong.flicker),
    "flag": _Kind(wrong.flag, behind=True),
}

UNDISTURBED = tuple(name for name, kind in KINDS.items() if kind.disturb is wrong.nothing)


def draw(kind: str, seed: int, *, visitor: bool = True, duration_s: float | None = None) -> Clip:
    """One clip, by default as long as its kind asks for."""
    style = KINDS[kind]
    length_s = duration_s or style.duration_s
    random = np.random.default_rng([seed, list(KINDS).index(kind)])
    yard = _yard(random, style.contrast)
    route = style.route(random)
    comes_s = random.uniform(_COMES_AFTER_S, max(_COMES_AFTER_S, length_s - route.length_s - _LEAVES_BEFORE_END_S))
    figure = _dressed(random, style.contrast)
    disturb = style.disturb(random, length_s)
    frames = np.empty((round(length_s * FRAMES_PER_S), HEIGHT_PX, WIDTH_PX), np.uint8)
    covered, whole = np.zeros(len(frames)), np.ones(len(frames))
    for number in range(len(frames)):
        at_s = number / FRAMES_PER_S
        picture = yard.copy()
        if style.behind:
            picture = disturb(picture, at_s)
        if visitor:
            since_s = at_s - comes_s
            if style.leaves_parcel and since_s > route.length_s / 2:
                _put_parcel(picture, route)
            if 0 <= since_s <= route.length_s:
                pose = route.pose(since_s)
                covered[number], whole[number] = figure.draw(picture, pose), figure.size_px(pose)
        if not style.behind:
            picture = disturb(picture, at_s)
        frames[number] = np.clip(np.rint(picture + random.normal(0, 1.5, picture.shape)), 0, 255)
    return Clip(kind if visitor else f"{kind}, empty", frames, length_s, _truth(covered, whole), ())


def drawn(seeds: Iterable[int], kinds: Iterable[str] = tuple(KINDS)) -> Iterator[Clip]:
    """Every kind with every seed, with and without a visitor."""
    for kind in kinds:
        for seed in seeds:
            yield draw(kind, seed)
            yield draw(kind, seed, visitor=False)


def undisturbed_hour(seed: int, minutes: int = 60) -> Iterator[Clip]:
    """An hour in which nothing happens but sensor noise: a yard a minute, since a detector learns each again."""
    for minute in range(minutes):
        yield draw("clean", 10_000 * seed + minute, visitor=False, duration_s=62.0)


def _truth(covered_px: npt.NDArray[np.float64], whole_px: npt.NDArray[np.float64]) -> tuple[Interval, ...]:
    if not covered_px.any():
        return ()
    seen = np.flatnonzero(covered_px >= _VISIBLE_SHARE * np.minimum(whole_px, float(np.max(covered_px))))
    return (Interval(float(seen[0]) / FRAMES_PER_S, float(seen[-1]) / FRAMES_PER_S),)


def _dressed(random: np.random.Generator, contrast: float) -> Figure:
    coat = 125 + contrast * random.choice([-1, 1]) * random.uniform(45, 80)
    return Figure(coat, 0.6 * coat + 20, 0.5 * coat + 90)


def _put_parcel(picture: Picture, route: Route) -> None:
    pose = route.pose(route.length_s / 2)
    x, foot, side = int(pose.x * WIDTH_PX), int(pose.foot * HEIGHT_PX), int(0.2 * pose.tall * HEIGHT_PX)
    cv2.rectangle(picture, (x + side // 2, foot - side), (x + 2 * side, foot), 205, -1)


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


def _smooth(random: np.random.Generator, coarse: int, strength: float) -> Picture:
    """Smooth texture of about `coarse` blobs across."""
    small = random.normal(0, strength, (max(2, coarse * 3 // 4), coarse)).astype(np.float32)
    return cv2.resize(small, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
