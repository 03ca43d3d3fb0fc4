"""Steps a detector through a saved clip, to count instructions: `python -m bench.motion.stepping NAME CLIP COUNT`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from bench.motion.accuracy import OURS, OURS_PURE
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX
from bench.motion.peers import PEERS, MakeStep, ours, ours_pure, prototypes


def step_through(name: str, clip: Path, count: int, shared: Path) -> None:
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    frames = np.load(clip, mmap_mode="r")
    makes: dict[str, MakeStep] = {OURS: ours, OURS_PURE: ours_pure, **PEERS, **prototypes(shared / "motion")}
    step = makes[name](HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    for number in range(count):
        step(frames[number % len(frames)])


if __name__ == "__main__":
    step_through(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(__file__).resolve().parents[3] / "shared")
