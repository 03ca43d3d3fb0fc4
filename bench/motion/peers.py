"""The detectors that run in the benchmark's own process, each `step(luma) -> moving` on one camera's frames in order.

* Frame difference, running average, MOG2 and KNN are what most projects do.  Each of them, like the peers in
  `processes.py`, got settings chosen on the real clips and the tuning seeds; how many were tried is in RESULTS.md.
* Frigate and picamera2 are those projects' methods with their default settings, written again from their documentation
  and sources' behaviour: Frigate's small picture, stretched between averaged percentiles, smoothed, against a slow mean
  (smoothed here by OpenCV instead of SciPy, which costs less); picamera2's mean square of successive differences.
* The prototypes are worked examples that lie beside the clips; they are loaded from there, not part of Doorward.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.media import Luma, LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.passes import MakePasses
from agent.core.motion.passes.pure import PurePasses
from agent.core.timebase import BootNs, seconds
from agent.recorder import motion_kernel

__all__ = ["PEERS", "MakeStep", "Step", "ours", "ours_pure", "prototypes"]

Step = Callable[[Luma], bool]
MakeStep = Callable[[int, int, float], Step]
"""(height, width, frames per second) -> a detector with its own memory."""

_SQUARE = np.ones((3, 3), np.uint8)


class Doorward:
    """Doorward's detector as a step.  Its frames are made beforehand, as a camera's thread makes them."""

    def __init__(self, height_px: int, width_px: int, frames_per_s: float, make_passes: MakePasses) -> None:
        self._detector = Detector(height_px, width_px, frames_per_s, make_passes=make_passes)
        self._frames_per_s = frames_per_s
        self._frames = 0

    def prepare(self, luma: Luma) -> LumaFrame:
        frame = LumaFrame(luma, BootNs(seconds(self._frames / self._frames_per_s)))
        self._frames += 1
        return frame

    def take(self, frame: LumaFrame) -> bool:
        return self._detector.step(frame).moving

    def __call__(self, luma: Luma) -> bool:
        return self.take(self.prepare(luma))


def ours(height_px: int, width_px: int, frames_per_s: float) -> Step:
    """With the native passes, where they were compiled."""
    return Doorward(height_px, width_px, frames_per_s, motion_kernel.load().make_passes)


def ours_pure(height_px: int, width_px: int, frames_per_s: float) -> Step:
    """With those in NumPy and OpenCV."""
    return Doorward(height_px, width_px, frames_per_s, PurePasses)


def running_mean(
    height_px: int, width_px: int, _frames_per_s: float, *, level: int, share: float, alpha: float, frames: int
) -> Step:
    """Difference to a running mean above `level` in a contour of `share` of the picture, this many frames running."""
    mean: Any = None
    running = 0

    def step(luma: Luma) -> bool:
        nonlocal mean, running
        smooth = cv2.GaussianBlur(luma, (5, 5), 0)
        if mean is None:
            mean = smooth.astype(np.float32)
        changed = cv2.absdiff(smooth, cv2.convertScaleAbs(mean))
        cv2.accumulateWeighted(smooth, mean, alpha)
        mask = cv2.dilate(cv2.threshold(changed, level, 255, cv2.THRESH_BINARY)[1], _SQUARE, iterations=2)
        running = running + 1 if _largest_contour(mask) >= share * height_px * width_px else 0
        return running >= frames

    return step


def subtractor(
    height_px: int, width_px: int, _frames_per_s: float, *, make: Callable[[], Any], share: float, frames: int
) -> Step:
    """One of OpenCV's background models, opened and dilated, a contour of `share` of the picture."""
    model, running = make(), 0

    def step(luma: Luma) -> bool:
        nonlocal running
        mask = cv2.threshold(model.apply(luma), 200, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.dilate(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _SQUARE), _SQUARE, iterations=2)
        running = running + 1 if _largest_contour(mask) >= share * height_px * width_px else 0
        return running >= frames

    return step


def frigate(height_px: int, width_px: int, _frames_per_s: float) -> Step:
    """Frigate's "improved" detector, default settings: height 100, threshold 30, contour area 10, alpha .01."""
    rows, columns = 100, 100 * width_px // height_px
    mean: npt.NDArray[np.float32] = np.zeros((rows, columns), np.float32)
    levels = np.zeros((50, 2), np.uint8)
    levels[:, 1] = 255
    at, moving_frames, calibrating = 0, 0, True

    def step(luma: Luma) -> bool:
        nonlocal at, moving_frames, calibrating
        small: Any = cv2.resize(luma, (columns, rows), interpolation=cv2.INTER_NEAREST)
        low, high = (np.percentile(small, share).astype(np.uint8) for share in (4, 96))
        if low < high:
            levels[at] = low, high
            at = (at + 1) % len(levels)
            darkest, brightest = levels.mean(axis=0)
            small = ((np.clip(small, darkest, brightest) - darkest) / (brightest - darkest) * 255).astype(np.uint8)
        small = cv2.GaussianBlur(small, (3, 3), 1)
        changed = cv2.threshold(cv2.absdiff(small, cv2.convertScaleAbs(mean)), 30, 255, cv2.THRESH_BINARY)[1]
        contours = cv2.findContours(cv2.dilate(changed, _SQUARE), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        areas = [cv2.contourArea(contour) for contour in contours]
        boxes, share = sum(area > 10 for area in areas), sum(areas) / (rows * columns)
        if share < 0.05 and boxes <= 4:
            calibrating = False
        calibrating = calibrating or share > 0.8
        moving_frames = moving_frames + 1 if boxes else 0
        if not boxes or moving_frames >= 10:
            cv2.accumulateWeighted(small, mean, 0.2 if calibrating else 0.01)
        return boxes > 0 and not calibrating

    return step


def picamera2(_height_px: int, _width_px: int, _frames_per_s: float) -> Step:
    """The example of picamera2's manual: mean square of the difference to the frame before above 7."""
    before: Luma | None = None

    def step(luma: Luma) -> bool:
        nonlocal before
        moving = before is not None and float(np.square(np.subtract(luma, before)).mean()) > 7
        before = luma
        return moving

    return step


PEERS: dict[str, MakeStep] = {
    "frame difference": partial(running_mean, level=35, share=0.01, alpha=0.05, frames=2),
    "running average": partial(running_mean, level=25, share=0.01, alpha=0.01, frames=3),
    "MOG2": partial(
        subtractor, make=partial(cv2.createBackgroundSubtractorMOG2, 300, 24, False), share=0.004, frames=3
    ),
    "KNN": partial(subtractor, make=partial(cv2.createBackgroundSubtractorKNN, 300, 800, False), share=0.004, frames=3),
    "Frigate's": frigate,
    "picamera2's example": picamera2,
}


def _largest_contour(mask: Any) -> float:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return max((cv2.contourArea(contour) for contour in contours), default=0.0)


def prototypes(folder: Path) -> dict[str, MakeStep]:
    """The worked examples in `folder`, by name; those that are missing are left out."""
    classes = {"prototype_tracked": "P12", "prototype_p2": "P2"}
    return {name: _load(folder / f"{name}.py", of) for name, of in classes.items() if (folder / f"{name}.py").exists()}


def _load(path: Path, class_name: str) -> MakeStep:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make: Any = getattr(module, class_name)
    return lambda height_px, width_px, frames_per_s: make(height_px, width_px, frames_per_s).step
