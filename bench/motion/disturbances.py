"""Disturbances of a scene, one factory a kind: (random source, seconds of footage) → (picture, seconds) → picture.

A picture comes in as the undisturbed scene, with or without its visitor, in floating point; it may be changed in place.
Random numbers are drawn in the order of the frames: draw frames in order, once.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from bench.motion.figures import Layer, Picture, dot, limb
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX

__all__ = [
    "Disturb",
    "Disturbance",
    "clouds",
    "compression",
    "exposure_drift",
    "flag",
    "flicker",
    "headlights",
    "insects",
    "lamp",
    "leaf_shadow",
    "leaves",
    "night",
    "nothing",
    "rain",
    "rain_at_night",
    "shake",
    "snow",
    "spider_web",
    "sway",
    "tree",
]

Disturbance = Callable[[Picture, float], Picture]
Disturb = Callable[[np.random.Generator, float], Disturbance]

_Y, _X = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
_NIGHT_SHARE = 0.3
"""The share of the daylight's luma that is left at night, before gain noise."""


def nothing(_random: np.random.Generator, _duration_s: float) -> Disturbance:
    return lambda picture, _at_s: picture


# Light.


def clouds(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """Shadows of clouds, 15 % up and down, drifting over the scene."""
    tile = random.normal(0, 0.22, (4, 5)).astype(np.float32)
    tiles = cv2.resize(np.concatenate([tile] * 4, axis=1), (4 * WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    shade = tiles[:, WIDTH_PX : 3 * WIDTH_PX]  # a whole period and more, without a seam

    def at(picture: Picture, at_s: float) -> Picture:
        shift = int(at_s * 14) % WIDTH_PX
        shaded: Picture = picture * (0.85 + 0.3 * np.tanh(shade[:, shift : shift + WIDTH_PX] / 0.3))
        return shaded

    return at


def exposure_drift(random: np.random.Generator, _duration_s: float) -> Disturbance:
    period_s = random.uniform(7, 15)
    return lambda picture, at_s: picture * (0.85 + 0.3 * np.sin(2 * np.pi * at_s / period_s))


def lamp(random: np.random.Generator, duration_s: float) -> Disturbance:
    """A lamp beside the door that switches three times at dusk."""
    switches_s = np.sort(random.uniform(4, duration_s - 3, 3))
    pool: Picture = np.exp(-((_X - 230) ** 2 + (_Y - 60) ** 2) / 120**2)

    def at(picture: Picture, at_s: float) -> Picture:
        lit = int(np.count_nonzero(switches_s < at_s)) % 2
        return picture * (0.35 + 0.5 * lit * pool + 0.25 * lit)

    return at


def headlights(random: np.random.Generator, duration_s: float) -> Disturbance:
    """At night, the cone of a car that turns sweeps over the yard, four times."""
    passes_s = np.sort(random.uniform(4, duration_s - 4, 4))

    def at(picture: Picture, at_s: float) -> Picture:
        light = np.full(picture.shape, _NIGHT_SHARE, np.float32)
        for pass_s in passes_s:
            if 0 <= at_s - pass_s < 2.5:
                centre_x = -60 + (at_s - pass_s) * 180
                light += 0.7 * np.exp(-(((_X - centre_x) / 55) ** 2) - ((_Y - 120) / 50) ** 2)
        return picture * light

    return at


def flicker(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """Mains light under a rolling shutter: bands of 6 to 12 % that run through the picture."""
    beat, depth = random.uniform(0.5, 2), random.uniform(0.06, 0.12)
    return lambda picture, at_s: picture * (1 + depth * np.sin(2 * np.pi * (_Y / 160 + beat * at_s)))


def leaf_shadow(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """Dappled sun on half of the scene: the hard shadow of foliage on wall and path, swaying with the wind."""
    coarse = random.normal(0, 1, (27, 36)).astype(np.float32)
    shade = cv2.resize(coarse, (WIDTH_PX + 60, HEIGHT_PX + 40), interpolation=cv2.INTER_CUBIC)
    depth, speed, reach = random.uniform(0.25, 0.45), random.uniform(1.2, 2.4), random.uniform(3, 7)
    dapples = depth / (1 + np.exp(-6 * shade))
    under_tree = np.exp(-(((_X - random.uniform(40, 280)) / 90) ** 4) - ((_Y - random.uniform(80, 200)) / 90) ** 4)

    def at(picture: Picture, at_s: float) -> Picture:
        gust = 0.5 + 0.5 * np.sin(2 * np.pi * at_s / 11)
        dx, dy = 25 + gust * reach * np.sin(speed * at_s), 15 + 0.4 * gust * reach * np.sin(1.7 * speed * at_s + 1)
        shaded: Picture = picture * (1 - under_tree * _moved(dapples, -dx, -dy))
        return shaded

    return at


# Weather and small things in front.


def _streaks(count: int, length_px: float, luma: float, thick: int, dark: float) -> Disturb:
    def make(random: np.random.Generator, _duration_s: float) -> Disturbance:
        layer = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)

        def at(picture: Picture, _at_s: float) -> Picture:
            layer[:] = 0
            for _ in range(count):
                x, y = random.uniform(0, WIDTH_PX), random.uniform(0, HEIGHT_PX)
                limb(layer, (x, y), (x + 0.15 * length_px, y + length_px), thick, int(random.uniform(60, 200)))
            share = layer.astype(np.float32) / 255
            return picture * dark * (1 - share) + luma * share

        return at

    return make


rain = _streaks(60, 14, 210, 1, 1.0)
rain_at_night = _streaks(45, 22, 190, 2, _NIGHT_SHARE)
snow = _streaks(90, 2, 235, 3, 1.0)


def leaves(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """Fallen leaves blown across the picture in gusts, tumbling."""
    flying: list[list[float]] = []
    layer = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    wind = random.choice([-1, 1])

    def at(picture: Picture, at_s: float) -> Picture:
        gust = max(0.0, np.sin(2 * np.pi * at_s / 8))
        if random.uniform() < 0.5 * gust:
            start_x = -5 if wind > 0 else WIDTH_PX + 5
            flying.append([start_x, random.uniform(60, 235), wind * random.uniform(50, 160), random.uniform(1.5, 3.5)])
        for leaf in flying:
            leaf[0] += leaf[2] * (0.4 + 0.6 * gust) / FRAMES_PER_S
            leaf[1] += random.normal(0, 3)
            layer[:] = 0
            dot(layer, (leaf[0], leaf[1]), leaf[3] * random.uniform(0.6, 1), 255)
            _paint(picture, layer, 60)
        flying[:] = [leaf for leaf in flying if -10 < leaf[0] < WIDTH_PX + 10]
        return picture

    return at


def insects(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """Moths about the infrared lamp: blurred bright blobs, small and slow far off, large and fast near the lens."""
    swarm: list[dict[str, float]] = []

    def at(picture: Picture, _at_s: float) -> Picture:
        picture = picture * _NIGHT_SHARE
        if len(swarm) < 5 and random.uniform() < 0.12:
            near = random.uniform(0.3, 1.3)
            swarm.append({
                "x": random.uniform(0, WIDTH_PX), "y": random.uniform(0, HEIGHT_PX), "dx": 0.0, "dy": 0.0,
                "near": near, "left": random.uniform(4, 40),
            })  # fmt: skip
        for moth in swarm:
            near = moth["near"]
            before = (moth["x"], moth["y"])
            for axis in ("x", "y"):
                moth["d" + axis] = 0.85 * moth["d" + axis] + random.normal(0, 90 * near)
                moth[axis] += moth["d" + axis] / FRAMES_PER_S
            moth["left"] -= 1
            half = ((moth["x"] + before[0]) / 2, (moth["y"] + before[1]) / 2)
            layer = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
            limb(layer, half, (moth["x"], moth["y"]), 7 * near, 255)  # lit for half of the frame's time
            _paint(picture, cv2.blur(layer, (3, 3)), 130 + 90 * near)
        swarm[:] = [moth for moth in swarm if moth["left"] > 0]
        return picture

    return at


def spider_web(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """Threads before the lens at night, lit by the infrared lamp, swinging in the draught."""
    threads = [
        (random.uniform(0, WIDTH_PX), random.uniform(-40, 90), random.uniform(0, WIDTH_PX), random.uniform(150, 280))
        for _ in range(3)
    ]
    swing, phase = random.uniform(3, 9, 3), random.uniform(0, 6, 3)

    def at(picture: Picture, at_s: float) -> Picture:
        picture = picture * _NIGHT_SHARE
        gust = 0.4 + 0.6 * max(0.0, np.sin(2 * np.pi * at_s / 7))
        layer = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        for (x0, y0, x1, y1), width, lag in zip(threads, swing, phase, strict=True):
            bend = gust * width * np.sin(3.1 * at_s + lag)
            middle = ((x0 + x1) / 2 + bend, (y0 + y1) / 2 + 0.4 * bend)
            limb(layer, (x0, y0), middle, 4, 120)
            limb(layer, middle, (x1, y1), 4, 120)
        _paint(picture, cv2.blur(layer, (5, 5)), 190)
        return picture

    return at


# Plants and cloth.


def tree(random: np.random.Generator, _duration_s: float) -> Disturbance:
    tufts = random.uniform((15, 40), (140, 170), (70, 2))
    phase, strength = random.uniform(0, 6.3, 70), random.uniform(2, 7, 70)
    luma = random.uniform(40, 150, 70)
    layer = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)

    def at(picture: Picture, at_s: float) -> Picture:
        gust = 0.6 + 0.4 * np.sin(2 * np.pi * at_s / 9)
        layer[:] = 0
        mask[:] = 0
        for (x, y), lag, sway_px, shade in zip(tufts, phase, strength, luma, strict=True):
            place = (x + gust * sway_px * np.sin(2.6 * at_s + lag), y + 2 * np.sin(3.3 * at_s + lag))
            dot(layer, place, 7, int(shade))
            dot(mask, place, 7, 255)
        _paint(picture, mask, layer.astype(np.float32))
        return picture

    return at


def flag(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """A striped flag on a pole, flapping: a wave runs through it, its free end wanders."""
    left, top = random.uniform(30, 120), random.uniform(20, 70)
    wide, high = random.uniform(40, 80), random.uniform(28, 45)
    speed = random.uniform(5, 9)

    def at(picture: Picture, at_s: float) -> Picture:
        wind = 0.7 + 0.3 * np.sin(2 * np.pi * at_s / 6)
        along = np.arange(int(wide * wind), dtype=np.float32)
        wave = 0.12 * along * np.sin(0.12 * along - speed * at_s) + along * 0.25 * (1 - wind)
        for stripe in range(3):
            tone = (40, 200, 90)[stripe]
            upper = top + stripe * high / 3 + wave
            edge = np.concatenate(
                (np.stack((left + along, upper), 1), np.stack((left + along, upper + high / 3), 1)[::-1])
            )
            layer = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
            cv2.fillPoly(layer, [np.rint(16 * edge).astype(np.int32)], 255, cv2.LINE_AA, 4)
            _paint(picture, layer, tone)
        return picture

    return at


# The camera itself.


def night(random: np.random.Generator, _duration_s: float) -> Disturbance:
    gain_noise = random.uniform(6, 10)
    return lambda picture, _at_s: (
        picture * _NIGHT_SHARE + random.normal(0, gain_noise, picture.shape).astype(np.float32)
    )


def shake(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """A door that slams, a lorry: the camera trembles by a pixel in every frame."""
    return lambda picture, _at_s: _moved(picture, *random.normal(0, 1.0, 2))


def sway(random: np.random.Generator, _duration_s: float) -> Disturbance:
    """A mast in the wind: the whole picture swings slowly by up to three pixels."""
    reach, per_s = random.uniform(1.5, 3), random.uniform(0.3, 0.7)

    def at(picture: Picture, at_s: float) -> Picture:
        gust = 0.6 + 0.4 * np.sin(2 * np.pi * at_s / 13)
        angle = 2 * np.pi * per_s * at_s
        return _moved(picture, gust * reach * np.sin(angle), 0.3 * gust * reach * np.sin(1.3 * angle))

    return at


def compression(_random: np.random.Generator, _duration_s: float) -> Disturbance:
    """A low bitrate: blocks, and a keyframe every second that looks different."""

    def at(picture: Picture, at_s: float) -> Picture:
        quality = 35 if round(at_s * FRAMES_PER_S) % 10 == 0 else 20
        coded = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.float32)

    return at


def _paint(picture: Picture, mask: Layer | Picture, tone: float | Picture) -> None:
    share = mask.astype(np.float32) / 255
    picture += share * (tone - picture)


def _moved(picture: Picture, dx: float, dy: float) -> Picture:
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    moved = cv2.warpAffine(picture, shift, (WIDTH_PX, HEIGHT_PX), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)
