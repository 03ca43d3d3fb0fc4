"""The detectors we are measured beside, each as `step(luma) -> moving` on one camera's frames in order.

* Frame difference and MOG2 are what most projects do, with the best settings found on the shared clips: 54 settings of
  the one, 16 of the other were tried.
* The prototypes are the worked examples that lie beside the clips; they are loaded from there, not part of Doorward.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.core.media import Luma

__all__ = ["MakeStep", "Step", "frame_difference", "mog2", "prototypes"]

Step = Callable[[Luma], bool]
MakeStep = Callable[[int, int, float], Step]
"""(height, width, frames per second) -> a detector with a memory of its own."""


def frame_difference(height_px: int, width_px: int, _frames_per_s: float) -> Step:
    """Difference to a running mean above 35 in one contour of at least 1 % of the picture, in two frames running."""
    mean: Any = None
    running = 0

    def step(luma: Luma) -> bool:
        nonlocal mean, running
        smooth = cv2.GaussianBlur(luma, (5, 5), 0)
        if mean is None:
            mean = smooth.astype(np.float32)
        changed = cv2.absdiff(smooth, cv2.convertScaleAbs(mean))
        cv2.accumulateWeighted(smooth, mean, 0.05)
        mask = cv2.dilate(cv2.threshold(changed, 35, 255, cv2.THRESH_BINARY)[1], np.ones((3, 3)), iterations=2)
        running = running + 1 if _largest_contour(mask) >= 0.01 * height_px * width_px else 0
        return running >= 2

    return step


def mog2(height_px: int, width_px: int, _frames_per_s: float) -> Step:
    """OpenCV's mixture of Gaussians, opened and dilated, a contour of 0.4 % of the picture in three frames running."""
    model = cv2.createBackgroundSubtractorMOG2(history=300, varThreshold=24, detectShadows=False)
    square = np.ones((3, 3), np.uint8)
    running = 0

    def step(luma: Luma) -> bool:
        nonlocal running
        mask = cv2.dilate(cv2.morphologyEx(model.apply(luma), cv2.MORPH_OPEN, square), square, iterations=2)
        running = running + 1 if _largest_contour(mask) >= 0.004 * height_px * width_px else 0
        return running >= 3

    return step


def _largest_contour(mask: Any) -> float:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return max((cv2.contourArea(contour) for contour in contours), default=0.0)


def prototypes(folder: Path) -> dict[str, MakeStep]:
    """The worked examples in `folder`, by name; those that are not there are left out."""
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
