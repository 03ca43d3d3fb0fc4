"""Measures what a step costs: thread time with frames a tenth of a second apart, and instructions a frame.

A camera wakes the detector every 100 ms with cold caches; in a hot loop every detector looks several times cheaper than
it is.  Means, not medians: detectors that do little on most frames and much on some have to own to both.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX
from bench.motion.peers import MakeStep

__all__ = ["batched_ms", "floor_us", "instructions", "paced_ms"]

_WARM_UP = 60


def paced_ms(
    make: MakeStep, frames: npt.NDArray[np.uint8], measured_s: float, *, batch: int = 1
) -> tuple[float, float]:
    """(step, whole thread) mean CPU milliseconds a frame, `batch` frames to a wake-up.

    The whole thread includes the waiting's own cost: the wake-up, the interpreter's, the loop's.
    """
    step, measured = make(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S), round(measured_s * FRAMES_PER_S)
    for number in range(_WARM_UP):
        step(frames[number % len(frames)])
    prepare: Callable[[Any], Any]
    take: Callable[[Any], object]
    prepare, take = getattr(step, "prepare", _as_it_is), getattr(step, "take", step)
    inputs = [prepare(frames[number % len(frames)]) for number in range(_WARM_UP, _WARM_UP + measured)]
    costs_ms = []
    due_s = time.monotonic()
    began_s = time.thread_time()
    for first in range(0, measured, batch):
        due_s += batch / FRAMES_PER_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        step_began_s = time.thread_time()
        for item in inputs[first : first + batch]:
            take(item)
        costs_ms.append(1e3 * (time.thread_time() - step_began_s) / batch)
    return statistics.fmean(costs_ms), 1e3 * (time.thread_time() - began_s) / (len(costs_ms) * batch)


def _as_it_is(luma: object) -> object:
    return luma


def batched_ms(make: MakeStep, frames: npt.NDArray[np.uint8], measured_s: float, batch: int = 5) -> tuple[float, float]:
    """As `paced_ms`, with frames handed over in small batches as the recorder does while nothing moves."""
    return paced_ms(make, frames, measured_s, batch=batch)


def floor_us(frame: npt.NDArray[np.uint8]) -> dict[str, float]:
    """The floor, in a hot loop: one pass over the picture, and halving it twice."""
    other, out = frame.copy(), np.empty_like(frame)
    half, quarter = (np.empty((HEIGHT_PX >> by, WIDTH_PX >> by), np.uint8) for by in (1, 2))

    def halve() -> None:
        cv2.resize(frame, half.shape[::-1], half, interpolation=cv2.INTER_AREA)
        cv2.resize(half, quarter.shape[::-1], quarter, interpolation=cv2.INTER_AREA)

    timed = {"one absdiff": lambda: cv2.absdiff(frame, other, out), "two halvings": halve}
    return {name: _hot_us(act) for name, act in timed.items()}


def _hot_us(act: object) -> float:
    best = float("inf")
    for _ in range(5):
        began_s = time.perf_counter()
        for _ in range(1000):
            act()  # type: ignore[operator]
        best = min(best, (time.perf_counter() - began_s) * 1e3)
    return best


def instructions(name: str, frames: npt.NDArray[np.uint8], fewer: int, more: int) -> float:
    """Millions of instructions a frame by valgrind, of the detector that `bench.motion.stepping` knows as `name`."""
    counts = []
    with tempfile.TemporaryDirectory(prefix="bench-motion-") as folder:
        clip = Path(folder) / "clip.npy"
        np.save(clip, frames)
        # The first run is not counted: it may have to compile Python, which the others must not differ by.
        for count in (1, fewer, more):
            out = Path(folder) / f"out-{count}"
            grind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"] if count > 1 else []
            command = [*grind, sys.executable, "-m", "bench.motion.stepping", name, str(clip), str(count)]
            subprocess.run(command, capture_output=True, check=True, env={"PYTHONHASHSEED": "0", "PYTHONPATH": "."})
            if not grind:
                continue
            counts.append(int(re.findall(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)[-1]))
    return (counts[1] - counts[0]) / (more - fewer) / 1e6
