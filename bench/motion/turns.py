"""Compares what a step of the detector costs in two source trees, in one run and in turns.

    git worktree add --detach ../before 4107338
    python bench/motion/turns.py ../before

Each tree compiles its own kernel. In each round both step through the same frames, one after the other, in separate
processes, so what else the machine does meanwhile falls on both alike. Printed are the process time of a step
in µs, as the least, the median and the most of the rounds, and the median of the rounds' ratios. A hot loop makes each
step look cheap: `python -m bench motion --only cost` has absolute costs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parents[2]
SIZES = ("96x64", "160x120", "320x176", "320x240", "640x360")
"""A doorbell analyses pictures of at most 320 pixels across (`agent/recorder/capture/delivery.py`)."""

_FRAMES_PER_S = 10.0
_WARM_UP = 100
_NOISE_STEPS = 1.5
"""Standard deviation of a pixel's noise, in steps of luma."""
_WALK_FRAMES, _STOOD_FRAMES = 80, 300

Frames = list[npt.NDArray[np.uint8]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="another source tree of Doorward")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=2000, help="of each scene in each round")
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--measure", type=Path, metavar="LIBRARY", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(_measure(chosen.measure, chosen.sizes[0], chosen.frames)))
        return 0
    trees = {"before": chosen.before.resolve(), "now": HERE}
    print("| size, passes, scene | before | now | now / before |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-turns-") as folder:
        libraries = {name: Path(folder) / f"{name}.so" for name in trees}
        for size in chosen.sizes:
            rounds: list[dict[str, dict[str, float]]] = []
            for number in range(chosen.rounds):
                # The second of two finds the machine warmer, so they take turns in that as well.
                names = sorted(trees, reverse=bool(number % 2))
                rounds.append({name: _in_tree(trees[name], libraries[name], size, chosen.frames) for name in names})
            for row in rounds[0]["now"]:
                _print_row(f"{size}, {row}", [(each["before"][row], each["now"][row]) for each in rounds])
    return 0


def _print_row(name: str, rounds: list[tuple[float, float]]) -> None:
    spans = (f"{min(each):.1f} **{statistics.median(each):.1f}** {max(each):.1f}" for each in zip(*rounds, strict=True))
    ratio = statistics.median(now / before for before, now in rounds)
    print("|", " | ".join((name, *spans, f"{ratio:.2f}")), "|", flush=True)


def _in_tree(tree: Path, library: Path, size: str, frames: int) -> dict[str, float]:
    """Measures in a process that imports the agent of this tree."""
    words = [sys.executable, __file__, str(tree), "--measure", str(library), "--sizes", size, "--frames", str(frames)]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(words, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measure(library: Path, size: str, count: int) -> dict[str, float]:
    # From here on `agent` is that of the tree that is measured.
    from agent.core.motion.passes.pure import PurePasses

    if not library.exists():
        reason = importlib.import_module("scripts.installation.kernel").build(Path.cwd(), library)
        if reason:
            raise SystemExit(reason)
    native = _loader().load(library)
    if not native.native:
        raise SystemExit(native.told)
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    width_px, height_px = map(int, size.split("x"))
    scenes = _scenes(height_px, width_px)
    return {
        f"{passes}, {scene}": _step_us(make, *scenes[scene], count)
        for passes, make in (("C", native.make_passes), ("Python", PurePasses))
        for scene in scenes
    }


def _loader() -> Any:
    try:
        return importlib.import_module("agent.recorder.motion_kernel")
    except ModuleNotFoundError:
        return importlib.import_module("agent.adapters.motion_kernel")  # its place at commit 4107338


def _step_us(make_passes: Any, before: Frames, frames: Frames, count: int) -> float:
    from agent.core.media import LumaFrame
    from agent.core.motion.detector import Detector
    from agent.core.timebase import NS_PER_S, BootNs

    height_px, width_px = frames[0].shape
    detector = Detector(height_px, width_px, _FRAMES_PER_S, make_passes=make_passes)
    period_ns = round(NS_PER_S / _FRAMES_PER_S)
    for number, luma in enumerate(before):
        detector.step(LumaFrame(luma, BootNs(number * period_ns)))
    inputs = [
        LumaFrame(frames[number % len(frames)], BootNs((len(before) + number) * period_ns)) for number in range(count)
    ]
    began_s = time.process_time()
    for frame in inputs:
        detector.step(frame)
    return 1e6 * (time.process_time() - began_s) / count


def _scenes(height_px: int, width_px: int) -> dict[str, tuple[Frames, Frames]]:
    """Frames before the measurement and measured ones: an empty wall, walkers in a row, a visitor who stands."""
    random = np.random.default_rng(1)
    shape = (height_px, width_px)
    wall = cv2.resize(random.integers(40, 200, (12, 16), np.uint8), shape[::-1], interpolation=cv2.INTER_CUBIC)

    def frame(x: float = 1.0) -> npt.NDArray[np.uint8]:
        """The wall in noise, with a striped figure from `x` on, a share of the width."""
        picture = wall.astype(np.float64)
        top, bottom, left, right = (
            round(share * side)
            for share, side in ((0.33, height_px), (0.83, height_px), (x, width_px), (x + 0.13, width_px))
        )
        picture[top:bottom, left:right] = np.where(np.arange(top, bottom) * 30 // height_px % 2, 30, 225)[:, None]
        return np.clip(picture + random.normal(0, _NOISE_STEPS, shape), 0, 255).astype(np.uint8)

    empty = [frame() for _ in range(40)]
    quiet = [empty[number % 40] for number in range(_WARM_UP)]
    walk = [frame(number / _WALK_FRAMES) for number in range(_WALK_FRAMES)]
    comes = [frame(0.4 * number / 30) for number in range(30)]
    # They sway from one foot to the other, once in two seconds.
    stood = [frame(0.4 + 0.02 * (number // 20 % 2)) for number in range(_STOOD_FRAMES)]
    return {"idle": (quiet, empty), "busy": (quiet, walk), "stands": (quiet + comes, stood)}


if __name__ == "__main__":
    sys.exit(main())
