"""Judges every detector on the same clips by the same score, two clips at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from agent.core.media import LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion_accuracy.scoring import SCORED_EVENTS, Interval, Score, events_in, merged, score
from agent.core.timebase import BootNs, seconds
from agent.recorder import motion_kernel
from bench.motion import scenes
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip, labelled, load
from bench.motion.peers import PEERS, MakeStep, prototypes
from bench.motion.processes import DVR_SCAN_BEST, MOTION_BEST, dvr_scan, motion

__all__ = ["OURS", "OURS_PURE", "Judge", "Verdict", "doorward", "judges", "verdicts"]

OURS = "Doorward"
OURS_PURE = "Doorward without the kernel"
"""The same answers; only its cost is another."""

Judge = Callable[[Clip], tuple[Interval, ...]]
"""The events that a detector makes of a clip."""

Source = tuple[str, int, bool] | tuple[Path, str]
"""A drawn clip (kind, seed, visitor), or a real one (folder, name): small enough to send to another process."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One detector on one clip."""

    judge: str
    group: str
    kind: str
    clip: str
    score: Score
    held: float
    """Share of the true events' time in which it said that there is one."""


def doorward(clip: Clip) -> tuple[Interval, ...]:
    """Doorward's detector and event machine, as on the device."""
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S, make_passes=motion_kernel.load().make_passes)
    frames = (LumaFrame(luma, BootNs(seconds(at / FRAMES_PER_S))) for at, luma in enumerate(clip.luma))
    return events_in(map(detector.step, frames), BootNs(0))


def _joined(make: MakeStep, clip: Clip) -> tuple[Interval, ...]:
    """A peer's frames joined into events over the same gap as ours."""
    step = make(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    moving_at_s = [number / FRAMES_PER_S for number, luma in enumerate(clip.luma) if step(luma)]
    return merged(moving_at_s, gap_s=SCORED_EVENTS.merge_gap_s)


def judges(shared: Path, *, has_motion: bool, dvr_scan_python: Path | None) -> dict[str, Judge]:
    """Every detector that can be had here, by name."""
    found: dict[str, Judge] = {OURS: doorward}
    found |= {name: partial(_joined, make) for name, make in (prototypes(shared / "motion") | PEERS).items()}
    if has_motion:
        found |= {"motion, default": motion, "motion, best": partial(motion, settings=MOTION_BEST)}
    if dvr_scan_python:
        found["DVR-Scan, default"] = partial(dvr_scan, python=dvr_scan_python)
        found["DVR-Scan, best"] = partial(dvr_scan, python=dvr_scan_python, settings=DVR_SCAN_BEST)
    return found


def real(shared: Path) -> list[Source]:
    folder = shared / "clips"
    return [(folder, label.name) for label in labelled(folder)]


def drawn(seeds: tuple[int, ...]) -> list[Source]:
    return [(kind, seed, visitor) for kind in scenes.KINDS for seed in seeds for visitor in (True, False)]


def verdicts(found: dict[str, Judge], sources: list[Source], group: str) -> Iterator[Verdict]:
    """As they come, clip by clip."""
    # Forked, because the judges are closures; nothing has started a thread yet.
    _FOUND.clear()
    _FOUND.update(found)
    pool = multiprocessing.get_context("fork").Pool(2)
    for scored in pool.imap_unordered(_judge, sources):
        yield from (Verdict(judge, group, kind, clip, each, held) for judge, kind, clip, each, held in scored)
    pool.close()
    pool.join()


_FOUND: dict[str, Judge] = {}


def _judge(source: Source) -> list[tuple[str, str, str, Score, float]]:
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    clip = _clip(source)
    kind = source[0] if isinstance(source[0], str) else source[1]
    verdicts = []
    for name, judge in _FOUND.items():
        said = judge(clip)
        scored = score(clip.events, said, duration_s=clip.duration_s, dont_care=clip.dont_care)
        verdicts.append((name, str(kind), clip.name, scored, _held(clip.events, said)))
    return verdicts


def _held(events: tuple[Interval, ...], said: tuple[Interval, ...]) -> float:
    shared_s = [max(0.0, min(a.end_s, b.end_s) - max(a.start_s, b.start_s)) for a in events for b in said]
    return sum(shared_s) / sum(event.end_s - event.start_s for event in events) if events else 1.0


def _clip(source: Source) -> Clip:
    if len(source) == 3:
        return scenes.draw(source[0], source[1], visitor=source[2])
    folder, name = source
    return load(folder, next(label for label in labelled(folder) if label.name == name))
