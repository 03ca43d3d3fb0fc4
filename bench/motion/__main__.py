"""Motion detection: events seen, false alarms, latency and CPU, ours beside a dozen peers on the same frames.

    python -m bench motion                  # everything but instruction counts, some twenty minutes: RESULTS.md, plots
    python -m bench motion --only heldout   # … one part; also: films, accuracy, seeds, hour, memory, cost, instructions
    python -m bench motion --only heldout --sets once   # these sets of clips alone; the figures of the others stay
    python -m bench motion --ours           # our detector alone, five minutes; the peers' figures stay as they were

Parts that are unmeasured stay as they were (`measured.json`).  Peers that are not installed are left out: `motion`
and `valgrind` are Debian packages, which `make bench` installs; DVR-Scan and matplotlib are installed from
`requirements/bench.txt` into an environment of the benchmark's own under `.cache/`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.motion_accuracy.scoring import score, total
from bench.motion import accuracy, cost, endurance, heldout, report, scenes
from bench.motion.footage import Clip, labelled, load
from bench.motion.peers import PEERS, MakeStep, ours, ours_pure, prototypes
from bench.motion.processes import (
    MOTION_HALF_PERCENT,
    MOTION_QUARTER_PERCENT,
    motion,
    motion_cost_ms,
    motion_instructions,
)

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
CACHE = ROOT / ".cache" / "bench"
KEPT = Path(__file__).with_name("measured.json")
"""The source of RESULTS.md, so that one part can be measured again and the others stay as they were."""
PARTS = ("heldout", "films", "accuracy", "seeds", "hour", "memory", "cost", "instructions")

_COUNTED = (accuracy.OURS, accuracy.OURS_PURE, "prototype_tracked")
_COMPARED_SEEDS = scenes.REPORT_SEEDS
"""Seeds of the drawn scenes that every detector is judged on."""
_FEWER, _MORE = 60, 2060
_ROUNDS = 3
"""Rounds of the cost's measurement; the median counts."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with clips/ and motion/")
    parser.add_argument("--only", choices=PARTS, action="append", help="run these parts (repeat the option)")
    parser.add_argument("--ours", action="store_true", help="our detector alone; the peers' figures stay")
    parser.add_argument("--sets", choices=heldout.SETS, nargs="+", help="of clips, for heldout; no stage is left out")
    parser.add_argument("--seeds", type=int, nargs="*", default=_COMPARED_SEEDS, help="of the scenes drawn for all")
    parser.add_argument("--paced", type=float, default=30.0, metavar="SECONDS", help="per detector and scene")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    parts = chosen.only or (["accuracy", "seeds"] if chosen.ours else list(PARTS[:-1]))
    for part in parts:
        fresh = _RUN[part](chosen)
        found: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        if part == "heldout" and chosen.sets:
            found[part] = heldout.merged(found.get(part, {}), fresh)
        else:
            found[part] = report.merged(found.get(part), fresh) if part == "accuracy" and chosen.ours else fresh
        print("\n".join(report.tables({part: fresh})), flush=True)
        KEPT.write_text(json.dumps(found, indent=1) + "\n")
        report.write(found, Path(__file__).with_name("RESULTS.md"))
    if not chosen.sets:
        _plot(KEPT)
    return 0


def _heldout(chosen: argparse.Namespace) -> Any:
    judges = accuracy.judges(chosen.shared, has_motion=False, dvr_scan_python=None)
    if shutil.which("motion") and shutil.which("cc"):
        judges |= {
            "motion, .49 %": partial(motion, settings=MOTION_HALF_PERCENT),
            "motion, .24 %, 3 frames": partial(motion, settings=MOTION_QUARTER_PERCENT),
        }
    if chosen.sets:
        return {"clips": heldout.measure_sets(judges, chosen.sets, chosen.shared)}
    return heldout.measure(judges, accuracy.doorward, chosen.shared)


def _films(chosen: argparse.Namespace) -> Any:
    return heldout.measure_films(chosen.shared)


def _accuracy(chosen: argparse.Namespace) -> Any:
    python = None if chosen.ours else _environment()
    has_motion = bool(shutil.which("motion") and shutil.which("cc")) and not chosen.ours
    judges = accuracy.judges(chosen.shared, has_motion=has_motion, dvr_scan_python=python)
    if chosen.ours:
        judges = {accuracy.OURS: judges[accuracy.OURS]}
    rows = []
    for group, sources in (("real", accuracy.real(chosen.shared)), ("drawn", accuracy.drawn(tuple(chosen.seeds)))):
        for done, verdict in enumerate(accuracy.verdicts(judges, sources, group), start=1):
            rows.append(verdict)
            if sys.stderr.isatty():
                print(f"\r{group}: {done // len(judges)} of {len(sources)} clips", end="", file=sys.stderr)
    return report.accuracy_of(rows, tuple(chosen.seeds))


def _seeds(_chosen: argparse.Namespace) -> Any:
    """Ours alone, on every seed that is reported on."""
    judges: dict[str, accuracy.Judge] = {accuracy.OURS: accuracy.doorward}
    found = {}
    for group, seeds in (("report", scenes.REPORT_SEEDS), ("spent", scenes.SPENT_SEEDS)):
        rows: dict[int, list[accuracy.Verdict]] = {}
        for seed in seeds:
            rows[seed] = list(accuracy.verdicts(judges, accuracy.drawn((seed,)), "drawn"))
            summed = total(verdict.score for verdict in rows[seed])
            print(f"seed {seed}: {summed.misses} missed, {summed.false_alarms} false, F1 {summed.f1:.3f}", flush=True)
        found[group] = report.seeds_of(rows)
    return found


def _hour(_chosen: argparse.Namespace) -> Any:
    scores = [
        score((), accuracy.doorward(clip), duration_s=clip.duration_s)
        for clip in scenes.undisturbed_hour(scenes.REPORT_SEEDS[0])
    ]
    return {"false_alarms": total(scores).false_alarms, "watched_s": total(scores).watched_s}


def _cost(chosen: argparse.Namespace) -> Any:
    makes: dict[str, MakeStep] = {
        accuracy.OURS: ours,
        accuracy.OURS_PURE: ours_pure,
        **prototypes(chosen.shared / "motion"),
        **PEERS,
    }
    measured_s = chosen.paced / _ROUNDS
    rows: dict[str, dict[str, Any]] = {}
    for scene, clip in _cost_scenes(chosen.shared).items():
        measures: dict[str, Callable[[Clip], tuple[float, float | None]]] = {
            name: partial(_paced, make, measured_s) for name, make in makes.items()
        }
        if shutil.which("motion"):
            measures["motion"] = lambda clip: (motion_cost_ms(clip.luma, 60, round(10 * measured_s)), None)
        measures["Doorward, 5 frames a wake-up"] = lambda clip: cost.batched_ms(ours, clip.luma, measured_s)
        measures["an empty loop"] = partial(_paced, _nothing, measured_s)
        # In turns, so that what else the machine does meanwhile falls on all of them alike.
        rounds = [{name: measure(clip) for name, measure in measures.items()} for _ in range(_ROUNDS)]
        for name in measures:
            steps, threads = zip(*(each[name] for each in rounds), strict=True)
            thread = None if None in threads else statistics.median(threads)
            rows.setdefault(name, {})[scene] = (statistics.median(steps), thread)
    return {"ms": rows, "floor_us": cost.floor_us(scenes.draw("clean", 1, duration_s=30).luma[0])}


def _paced(make: MakeStep, measured_s: float, clip: Clip) -> tuple[float, float]:
    return cost.paced_ms(make, clip.luma, measured_s)


def _nothing(*_size: float) -> Any:
    return lambda _luma: False


def _cost_scenes(shared: Path) -> dict[str, Clip]:
    folder = shared / "clips"
    busy = next(load(folder, label) for label in labelled(folder) if label.name in ("vtest", "hallmonitor"))
    draw = partial(scenes.draw, seed=scenes.SPENT_SEEDS[0], visitor=False)
    return {"idle": draw("clean"), "busy": busy, "windy": draw("tree"), "night": draw("night")}


def _instructions(chosen: argparse.Namespace) -> Any:
    counts: dict[str, dict[str, float]] = {}
    for scene, clip in list(_cost_scenes(chosen.shared).items())[:2]:
        frames: npt.NDArray[np.uint8] = clip.luma
        for name in _COUNTED:
            counts.setdefault(name, {})[scene] = cost.instructions(name, frames, _FEWER, _MORE)
        if shutil.which("motion"):
            counts.setdefault("motion", {})[scene] = motion_instructions(frames, _FEWER, _MORE)
    return counts


def _memory(_chosen: argparse.Namespace) -> Any:
    return endurance.day()


_RUN = {
    "heldout": _heldout,
    "films": _films,
    "accuracy": _accuracy,
    "seeds": _seeds,
    "hour": _hour,
    "memory": _memory,
    "cost": _cost,
    "instructions": _instructions,
}


def _environment() -> Path | None:
    """The interpreter of the benchmark's own environment, made when it is missing; None when it cannot be had."""
    place, pins = CACHE / "venv", ROOT / "requirements" / "bench.txt"
    python = place / "bin" / "python"
    if not python.exists():
        print("Installing DVR-Scan and matplotlib into .cache/bench/venv …", flush=True)
        venv.create(place, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(pins)]
        if subprocess.run(install, check=False).returncode:
            shutil.rmtree(place)
            print("Left out: DVR-Scan and the plots; they could not be installed.")
            return None
    return python


def _plot(results: Path) -> None:
    python = _environment()
    if python:
        script = Path(__file__).with_name("plots.py")
        subprocess.run([str(python), str(script), str(results), str(Path(__file__).parent)], check=False)


if __name__ == "__main__":
    raise SystemExit(main())
