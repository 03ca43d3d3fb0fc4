"""Measures our motion detector beside its peers, on the same frames and by the same score, in one process.

    python -m bench.motion.clips                      # the labelled clips: events by clip and in all
    python -m bench.motion.clips --seeds 1000 1001    # drawn, disturbed scenes too (seeds below 1000 were tuned on)
    python -m bench.motion.clips --paced 10           # and the cost of a step, 10 s idle and 10 s busy each

Cost is thread time of the step alone with frames 100 ms apart, as a camera gives them: in a hot loop every detector
looks several times cheaper than it is.  OpenCV runs with one thread and without Intel IPP.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.media import Luma, LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.sample import MotionSample
from agent.core.motion.scoring import SCORED_EVENTS, Interval, Score, events_in, merged, score, total
from agent.core.timebase import BootNs, seconds
from bench.motion import scenes
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip, labelled, load
from bench.motion.peers import MakeStep, frame_difference, mog2, prototypes

SHARED = Path(__file__).resolve().parents[3] / "shared"

Judge = Callable[[Clip], tuple[Interval, ...]]
"""What a detector makes of a clip: its events."""

Fresh = Callable[[], Callable[[Luma], object]]
"""Makes a detector's step, with a memory of its own."""


def ours(clip: Clip) -> tuple[Interval, ...]:
    """Doorward's detector and event machine, as on the device."""
    step = _our_step(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    return events_in((step(luma) for luma in clip.luma), BootNs(0))


def _our_step(height_px: int, width_px: int, frames_per_s: float) -> Callable[[Luma], MotionSample]:
    detector, frame = Detector(height_px, width_px, frames_per_s), -1

    def step(luma: Luma) -> MotionSample:
        nonlocal frame
        frame += 1
        return detector.step(LumaFrame(luma, BootNs(seconds(frame / frames_per_s))))

    return step


def _judge(make: MakeStep) -> Judge:
    """A peer's frames joined into events over the same gap as ours."""

    def judge(clip: Clip) -> tuple[Interval, ...]:
        step = make(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
        moving_at_s = [number / FRAMES_PER_S for number, luma in enumerate(clip.luma) if step(luma)]
        return merged(moving_at_s, gap_s=SCORED_EVENTS.merge_gap_s)

    return judge


def print_events(clips: Iterable[Clip], judges: dict[str, Judge]) -> None:
    """A row per clip, a column per detector: misses and false alarms; then the totals."""
    print(f"\n{'misses / false alarms':24}" + "".join(f"{name:>19}" for name in judges))
    rows: dict[str, dict[str, list[Score]]] = {}
    for clip in clips:
        row = rows.setdefault(clip.name, {name: [] for name in judges})
        for name, judge in judges.items():
            row[name].append(score(clip.events, judge(clip), duration_s=clip.duration_s, dont_care=clip.dont_care))
    for clip_name, row in rows.items():
        cells = (total(scores) for scores in row.values())
        print(f"{clip_name:24}" + "".join(f"{cell.misses:>15} /{cell.false_alarms:2}" for cell in cells))
    sums = [total(one for row in rows.values() for one in row[name]) for name in judges]
    print(f"{'F1':24}" + "".join(f"{each.f1:>19.3f}" for each in sums))
    print(f"{'false alarms an hour':24}" + "".join(f"{each.false_alarms_per_h:>19.1f}" for each in sums))
    print(f"{'median latency, s':24}" + "".join(f"{each.median_latency_s or 0:>19.1f}" for each in sums))


def print_cost(steps: dict[str, Fresh], clips: dict[str, Clip], paced_s: float) -> None:
    """Median thread milliseconds a step, after a warm-up, with frames 1 / `FRAMES_PER_S` apart."""
    print(f"\n{'ms a step, paced':24}" + "".join(f"{name:>19}" for name in steps))
    for clip_name, clip in clips.items():
        costs = [_paced_ms(make(), clip.luma, paced_s) for make in steps.values()]
        print(f"{clip_name:24}" + "".join(f"{cost:>19.3f}" for cost in costs))


def _paced_ms(step: Callable[[Luma], object], frames: npt.NDArray[np.uint8], paced_s: float) -> float:
    warm_up, measured = 100, round(paced_s * FRAMES_PER_S)
    for number in range(warm_up):
        step(frames[number % len(frames)])
    costs_ms = []
    due_s = time.monotonic()
    for number in range(warm_up, warm_up + measured):
        due_s += 1 / FRAMES_PER_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        begun_s = time.thread_time()
        step(frames[number % len(frames)])
        costs_ms.append(1e3 * (time.thread_time() - begun_s))
    return statistics.median(costs_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with clips/ and motion/")
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="draw every disturbed scene with these seeds")
    parser.add_argument("--paced", type=float, default=0.0, metavar="SECONDS", help="measure the cost of a step")
    chosen = parser.parse_args()
    makes = {"frame difference": frame_difference, "MOG2": mog2, **prototypes(chosen.shared / "motion")}
    judges: dict[str, Judge] = {"Doorward": ours, **{name: _judge(make) for name, make in makes.items()}}
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    folder = chosen.shared / "clips"
    print_events((load(folder, label) for label in labelled(folder)), judges)
    if chosen.seeds:
        print_events(scenes.drawn(chosen.seeds), judges)
    if chosen.paced:
        size = (HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
        steps: dict[str, Fresh] = {"Doorward": partial(_our_step, *size)}
        steps |= {name: partial(make, *size) for name, make in makes.items()}
        busy = next(load(folder, label) for label in labelled(folder) if label.name in ("vtest", "hallmonitor"))
        print_cost(
            steps, {"idle": scenes.draw("clean", 1000, visitor=False), f"busy ({busy.name})": busy}, chosen.paced
        )


if __name__ == "__main__":
    main()
