"""Draws a person who walks, approaches, stands and leaves; and says exactly how much of the picture they cover.

A figure is composited with anti-aliased edges, so it moves by fractions of a pixel as real ones do.  No one stands like
a post: who stands breathes, shifts their weight and moves an arm now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from bench.motion.footage import HEIGHT_PX, WIDTH_PX

__all__ = ["Figure", "Layer", "Picture", "Pose", "Route", "crossing", "doorstep", "dot", "limb", "standing"]

Picture = npt.NDArray[Any]
"""(240, 320) floating point, 0..255 before rounding."""

Layer = npt.NDArray[np.uint8]

_AREA_PER_HEIGHT2 = 0.22
"""The area that a figure one pixel tall would cover: measured on tall ones."""

_SHIFT = 4
"""Binary digits after the point in what OpenCV draws."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a figure is: `x` and `foot` (the ground) in shares of the picture, `tall` as a share of its height, the
    phase of its step in radians, and how far one arm is raised, 0..1."""

    x: float
    foot: float
    tall: float
    step: float
    arm: float = 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """`pose(seconds since coming)` within 0..`length_s`."""

    length_s: float
    pose: Callable[[float], Pose]


def limb(layer: Layer, start: tuple[float, float], end: tuple[float, float], thick: float, value: int) -> None:
    """A round-ended line; pixels, thickness at least one."""
    points = [tuple(round((1 << _SHIFT) * each) for each in point) for point in (start, end)]
    cv2.line(layer, points[0], points[1], value, max(1, round(thick)), cv2.LINE_AA, _SHIFT)


def dot(layer: Layer, centre: tuple[float, float], radius: float, value: int) -> None:
    at = (round((1 << _SHIFT) * centre[0]), round((1 << _SHIFT) * centre[1]))
    cv2.circle(layer, at, max(8, round((1 << _SHIFT) * radius)), value, -1, cv2.LINE_AA, _SHIFT)


class Figure:
    """One person in their clothes.  `draw` puts them into a picture and returns the pixels they cover in it."""

    def __init__(self, coat: float, trousers: float, skin: float) -> None:
        self._tones = tuple(int(np.clip(tone, 1, 254)) for tone in (coat, trousers, skin))
        self._layer = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        self._mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)

    def size_px(self, pose: Pose) -> float:
        """The area that the whole figure covers where nothing of it is cut off."""
        return _AREA_PER_HEIGHT2 * (pose.tall * HEIGHT_PX) ** 2

    def draw(self, picture: Picture, pose: Pose) -> float:
        """In place."""
        self._layer[:] = 0
        self._mask[:] = 0
        for layer, tones in ((self._layer, self._tones), (self._mask, None)):
            _body(layer, pose, tones)
        share = self._mask.astype(np.float32) / 255
        # The layer is drawn on black, so its edge pixels already carry their share.
        picture *= 1 - share
        picture += np.minimum(self._layer, 255 * share)
        return float(share.sum())


def _body(layer: Layer, pose: Pose, tones: tuple[int, ...] | None) -> None:
    coat, trousers, skin = tones or (255, 255, 255)
    shaded = int(0.8 * coat) if tones else 255
    x, foot, tall = pose.x * WIDTH_PX, pose.foot * HEIGHT_PX, pose.tall * HEIGHT_PX
    swing = 0.12 * tall * np.sin(pose.step)
    hip, neck = (x, foot - 0.48 * tall), (x, foot - 0.78 * tall)
    for side in (-1, 1):
        limb(layer, hip, (x + side * swing, foot), 0.10 * tall, trousers)
        hand = (x - side * swing + 0.06 * side * tall, foot - 0.45 * tall)
        if side > 0:
            hand = (hand[0] + 0.14 * tall * pose.arm, hand[1] - 0.3 * tall * pose.arm)
        limb(layer, neck, hand, 0.07 * tall, shaded)
    limb(layer, hip, neck, 0.22 * tall, coat)
    limb(layer, (x + 0.05 * tall, foot - 0.5 * tall), (x + 0.05 * tall, foot - 0.75 * tall), 0.08 * tall, shaded)
    dot(layer, (x, foot - 0.92 * tall), 0.08 * tall, skin)


def crossing(random: np.random.Generator, tall: tuple[float, float]) -> Route:
    """From one side to the other at one distance."""
    height = random.uniform(*tall)
    length_s = random.uniform(5, 9) if height < 1 else random.uniform(3, 5)
    foot = random.uniform(0.72, 0.95) if height < 1 else 1.4
    leftwards = bool(random.integers(2))

    def pose(at_s: float) -> Pose:
        progress = at_s / length_s
        x = 1.1 - 1.2 * progress if leftwards else 1.2 * progress - 0.1
        return Pose(x, foot, height, 10 * at_s)

    return Route(length_s, pose)


def standing(random: np.random.Generator, stands_s: float) -> Route:
    """Comes in from a side, stands for this long, goes back."""
    height, foot, to_x = random.uniform(0.4, 0.7), random.uniform(0.85, 1.0), random.uniform(0.35, 0.65)
    from_x, walk_s, idle = random.choice([-0.1, 1.1]), random.uniform(2.5, 4), _fidgets(random)

    def pose(at_s: float) -> Pose:
        left_s = 2 * walk_s + stands_s - at_s
        nearest_s = min(at_s, left_s)
        if nearest_s < walk_s:
            return Pose(from_x + (to_x - from_x) * nearest_s / walk_s, foot, height, 10 * nearest_s)
        return idle(Pose(to_x, foot, height, 10 * walk_s), at_s - walk_s)

    return Route(2 * walk_s + stands_s, pose)


def doorstep(random: np.random.Generator, stands_s: float) -> Route:
    """Walks up until they fill the picture, stands there, walks away; or steps in from beside the lens."""
    if random.integers(2):
        return crossing(random, (1.6, 2.2))
    far_x, near_x = random.uniform(0.2, 0.8), random.uniform(0.4, 0.6)
    walk_s, idle = random.uniform(2.5, 4), _fidgets(random)

    def pose(at_s: float) -> Pose:
        left_s = 2 * walk_s + stands_s - at_s
        near = min(1.0, min(at_s, left_s) / walk_s)
        tall = 0.25 / (1 - 0.87 * near)  # constant speed towards the lens
        walking = Pose(far_x + (near_x - far_x) * near, 0.62 + 0.42 * tall, tall, 10 * min(at_s, left_s))
        return walking if near < 1 else idle(walking, at_s - walk_s)

    return Route(2 * walk_s + stands_s, pose)


def _fidgets(random: np.random.Generator) -> Callable[[Pose, float], Pose]:
    """A person who stands still sways by half a per cent of their height, moves an arm every few seconds."""
    period_s, phase, arm_every_s = random.uniform(2.5, 4), random.uniform(0, 6), random.uniform(4, 7)

    def at(pose: Pose, since_s: float) -> Pose:
        sway = 0.006 * pose.tall * np.sin(2 * np.pi * since_s / period_s + phase)
        raised = max(0.0, np.sin(2 * np.pi * since_s / arm_every_s)) ** 8
        return Pose(pose.x + sway, pose.foot, pose.tall * (1 + 0.2 * sway), pose.step, float(raised))

    return at
