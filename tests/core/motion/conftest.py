"""Pictures to detect motion in: a textured wall, a figure in front of it, and the frames a camera makes of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

from agent.core.media import Light, LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.sample import MotionSample
from agent.core.timebase import BootNs, seconds

Picture = npt.NDArray[np.uint8]
Watch = Callable[..., list[MotionSample]]


@functools.lru_cache(maxsize=8)
def _scene(height_px: int = 240, width_px: int = 320, seed: int = 1) -> Picture:
    """A wall with structure at every scale, 40..200. Read only, because some tests ask for it in each frame."""
    random = np.random.default_rng(seed)
    wall = np.zeros((height_px, width_px))
    for block in (4, 16, 48):
        coarse = random.uniform(-25, 25, (height_px // block + 1, width_px // block + 1))
        wall += np.kron(coarse, np.ones((block, block)))[:height_px, :width_px]
    drawn = np.clip(120 + wall, 40, 200).astype(np.uint8)
    drawn.flags.writeable = False
    return drawn


def _with_figure(picture: Picture, x: float, *, y: float = 0.3, width: float = 0.12, height: float = 0.5) -> Picture:
    """A striped figure with its left edge at `x`; all lengths are shares of the picture."""
    drawn = picture.copy()
    rows, columns = picture.shape
    top, bottom = int(y * rows), int((y + height) * rows)
    left, right = max(0, int(x * columns)), min(columns, int((x + width) * columns))
    stripes = np.where(np.arange(top, bottom) // 8 % 2, 20, 235).astype(np.uint8)
    drawn[top:bottom, left:right] = stripes[: min(bottom, rows) - top, None] if right > left else 0
    return drawn


_DRAWN_FRAMES = 32
"""Frames of noise that are drawn, 0.6 MB each in the usual size."""


def _noise(height_px: int, width_px: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yields frames of noise with a standard deviation of 1, the same ones each time.

    Drawing them takes ten times as long as looking for motion in them. So a few are drawn, and each later one is a
    drawn one that begins at another pixel: no pixel has the same noise twice in a row.
    """
    drawn = _drawn_noise(height_px, width_px)
    yield from drawn
    random = np.random.default_rng(8)
    while True:
        yield np.roll(drawn[random.integers(len(drawn))], random.integers(height_px * width_px))


@functools.lru_cache(maxsize=4)
def _drawn_noise(height_px: int, width_px: int) -> list[npt.NDArray[np.float64]]:
    random = np.random.default_rng(7)
    return [random.standard_normal((height_px, width_px)) for _ in range(_DRAWN_FRAMES)]


def _watch(
    detector: Detector,
    pictures: Iterable[Picture],
    *,
    noise: float = 1.5,
    frames_per_s: float = 10.0,
    start_s: float = 0.0,
    light: Callable[[int], Light] = lambda _number: Light(),
) -> list[MotionSample]:
    """The samples of `detector` for `pictures`, each with sensor noise of this standard deviation."""
    samples = []
    drawn: Iterator[npt.NDArray[np.float64]] | None = None
    for number, picture in enumerate(pictures):
        drawn = drawn or _noise(*picture.shape)
        noisy = np.clip(np.rint(picture + noise * next(drawn)), 0, 255).astype(np.uint8)
        sensor_ns = BootNs(seconds(start_s + number / frames_per_s))
        samples.append(detector.step(LumaFrame(noisy, sensor_ns, light(number))))
    return samples


@pytest.fixture(scope="session")
def scene() -> Callable[..., Picture]:
    return _scene


@pytest.fixture(scope="session")
def with_figure() -> Callable[..., Picture]:
    return _with_figure


@pytest.fixture(scope="session")
def watch() -> Watch:
    return _watch
