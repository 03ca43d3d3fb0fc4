"""Measures on footage that was not tuned on, and on films of `doorsteps.py`: all detectors, by split and by source.

* **Clips**, cold and *warm* (with 20 s of the clip's own idle scene in front), and idle scenes alone.
* **Leave one source out**: the sums without each source, so that no single camera decides.
* **95 %**: the interval of F1 when the sources are drawn again, with replacement.
* **Ablation**: the same with one stage of ours left out at a time.
* **Hard films**: for which share of the visit a visitor is held, and after how many seconds they are told.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.core.media import LumaFrame
from agent.core.motion import detector, preparing, presence, tracking
from agent.core.motion.detector import Detector
from agent.core.motion.lighting import SuddenLightChange
from agent.core.motion.lingering import LingeringVisitor
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.presence import PresenceTracker
from agent.core.motion.sample import MotionSample
from agent.core.motion.tracking import MotionConfirmation
from agent.core.motion_accuracy.scoring import Interval, Score, events_in, score, total
from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.recorder import motion_kernel
from bench.motion import doorsteps
from bench.motion.accuracy import Judge
from bench.motion.footage import Clip, labelled, load
from bench.motion.recipes import BACKGROUNDS, CACHE, SPLITS, idle_of, played_to_and_fro, present, warm

__all__ = ["Judged", "films_of", "interval", "measure", "measure_films", "measure_sets", "merged", "tables"]

SPENT = "spent"
"""The clips beside the project: everything was tuned on them."""
SETS = (*reversed(SPLITS), SPENT)
_IDLE_S = 60.0
_DRAWS = 4000
"""Draws of the sources for an interval: enough that its ends keep to .003."""

_NO_BACKGROUNDS = frozenset({"staircase", "tree"})
"""Clips whose idle stretch is no empty scene of a fixed camera: *staircase* is filmed by hand and moves by up to eleven
pixels of 320, and a hand comes into *tree* after 3.5 s."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One detector on one clip."""

    clip: str
    source: str
    score: Score


def clips(split: str, shared: Path) -> list[tuple[str, Clip]]:
    """(source, clip)."""
    if split != SPENT:
        return [(recipe.source, clip) for recipe, clip in present(split)]
    folder = shared / "clips"
    return [(label.name, load(folder, label)) for label in labelled(folder)]


def sets(split: str, shared: Path) -> dict[str, list[tuple[str, Clip]]]:
    """The clips of a split cold, warm, and their idle scenes."""
    cold = clips(split, shared)
    warmed = [(source, later) for source, clip in cold if (later := warm(clip)) is not None]
    idle = [
        (source, Clip(f"{clip.name}, idle", played_to_and_fro(still, _IDLE_S), _IDLE_S, (), ()))
        for source, clip in cold
        if (still := idle_of(clip)) is not None
    ]
    return {"cold": cold, "warm": warmed, "idle": idle}


def judged(judge: Judge, footage: Iterable[tuple[str, Clip]]) -> list[Judged]:
    return [
        Judged(clip.name, source, score(clip.events, judge(clip), duration_s=clip.duration_s, dont_care=clip.dont_care))
        for source, clip in footage
    ]


def numbers(rows: Iterable[Judged]) -> dict[str, Any]:
    """Sums, and the least and the most F1 with one source left out."""
    rows = list(rows)
    summed = total(row.score for row in rows)
    sources = sorted({row.source for row in rows})
    left_out = [total(row.score for row in rows if row.source != source).f1 for source in sources]
    return {
        "hits": summed.hits,
        "missed": summed.misses,
        "false": summed.false_alarms,
        "f1": round(summed.f1, 3),
        "left_out": [round(min(left_out), 3), round(max(left_out), 3)] if left_out else [1.0, 1.0],
        "interval": [round(end, 3) for end in interval(rows)],
        "false_per_h": round(summed.false_alarms_per_h, 1),
        "minutes": round(summed.watched_s / 60, 1),
        "wrong": [f"{row.clip} {row.score.misses}/{row.score.false_alarms}" for row in rows if _is_wrong(row.score)],
    }


def interval(rows: Iterable[Judged]) -> tuple[float, float]:
    """The middle 95 % of F1 over sources drawn with replacement: clips of one camera are wrong together."""
    by_source: dict[str, npt.NDArray[np.int64]] = {}
    for row in rows:
        counted = by_source.setdefault(row.source, np.zeros(3, np.int64))
        counted += np.array([row.score.hits, row.score.misses, row.score.false_alarms])
    if not by_source:
        return 1.0, 1.0
    sources = np.array(list(by_source.values()))
    drawn = np.random.default_rng(0).integers(len(sources), size=(_DRAWS, len(sources)))
    hits, misses, false_alarms = sources[drawn].sum(axis=1).T
    weighed = 2 * hits + misses + false_alarms
    f1 = np.where(weighed > 0, 2 * hits / np.maximum(weighed, 1), 1.0)
    low, high = np.quantile(f1, (0.025, 0.975))
    return float(low), float(high)


def _is_wrong(one: Score) -> bool:
    return bool(one.misses or one.false_alarms)


# Ours with a stage left out.


def _nothing(*_arguments: object, **_named: object) -> None:
    return None


def _always(*_arguments: object) -> bool:
    return True


def _never(*_arguments: object) -> bool:
    return False


ABLATIONS: Mapping[str, tuple[tuple[Any, str, Any], ...]] = {
    "everything": (),
    "no rain": ((preparing, "_RAINS_ABOVE", 9.0),),
    "no smoothing": ((preparing, "_NOISY_ABOVE", 99.0),),
    "no clutter": ((MotionConfirmation, "learn_clutter", _nothing),),
    "own clutter counts": ((tracking, "_GUARD_S", 0.0),),
    "no visitor at the start": ((detector, "_FIRST_VISITOR_SHARE", 99.0),),
    "no straight way": ((MotionConfirmation, "goes_straight", _never),),
    "no light test": ((detector, "is_only_lit", _nothing),),
    "no lingering": ((LingeringVisitor, "look", _nothing),),
    "no sudden change": ((SuddenLightChange, "suspects", _nothing),),
    "no hiding test": ((presence, "is_only_lit", _nothing),),
    "no outline": ((PresenceTracker, "_stands_out", _always),),
    "no presence": ((PresenceTracker, "confirm", _nothing),),
}
"""Stage → what is replaced to leave it out."""


@contextlib.contextmanager
def without(stage: str) -> Iterator[None]:
    replaced = [(owner, name, getattr(owner, name)) for owner, name, _ in ABLATIONS[stage]]
    for owner, name, instead in ABLATIONS[stage]:
        setattr(owner, name, instead)
    try:
        yield
    finally:
        for owner, name, before in replaced:
            setattr(owner, name, before)


# Films.


def props(splits: Iterable[str], shared: Path, folder: Path = CACHE) -> doorsteps.Props:
    """Returns what is here of real backgrounds and people; the rest is drawn."""
    idle = {
        clip.name: still
        for each in splits
        for _, clip in clips(each, shared)
        if clip.name not in _NO_BACKGROUNDS and (still := idle_of(clip)) is not None
    }
    return doorsteps.Props(idle, _sprites(folder / "reading.npz"), _sprites(folder / "walking.npz"))


def _sprites(file: Path) -> tuple[doorsteps.Sprite, ...]:
    if not file.exists():
        return ()
    with np.load(file) as kept:
        return tuple(
            doorsteps.Sprite(
                kept[f"luma{number}"].astype(np.float32), kept[f"covers{number}"].astype(np.float32) / np.float32(255)
            )
            for number in range(len(kept.files) // 2)
        )


def play(film: doorsteps.Film, settings: MotionSettings | None = None) -> list[MotionSample]:
    """Our detector's samples.  A stream that begins again goes on with the same one, as in the recorder."""
    rows, columns = film.luma.shape[1:]
    passes = motion_kernel.load().make_passes
    ours = Detector(rows, columns, film.frames_per_s, settings=settings, make_passes=passes)
    return [
        ours.step(LumaFrame(luma, BootNs(seconds(float(at_s)))))
        for luma, at_s in zip(film.luma, film.times_s, strict=True)
    ]


def films_of(films: Iterable[doorsteps.Film]) -> dict[str, Any]:
    """The sums over everyday films and over those of a changed place; by hard kind the hold shares and latencies."""
    everyday: list[Judged] = []
    changed: list[Judged] = []
    hard = {kind: _Hard([], [], []) for kind in doorsteps.HARD}
    by_kind: dict[str, list[Score]] = {}
    for film in films:
        samples = play(film)
        scored = score(film.events, events_in(samples, BootNs(0)), duration_s=film.duration_s)
        by_kind.setdefault(film.kind, []).append(scored)
        if film.kind in hard:
            hard[film.kind].take(film.events[0], samples, scored)
        else:
            (changed if film.kind in doorsteps.GONE else everyday).append(Judged(film.kind, film.kind, scored))
    return {
        "everyday": numbers(everyday),
        "gone": numbers(changed),
        "kinds": {kind: [total(each).misses, total(each).false_alarms] for kind, each in by_kind.items()},
        "hard": {kind: each.numbers() for kind, each in hard.items() if each.held},
    }


@dataclass(slots=True)
class _Hard:
    held: list[float]
    told_s: list[float | None]
    scores: list[Score]

    def take(self, event: Interval, samples: list[MotionSample], scored: Score) -> None:
        at_s = [sample.sensor_ns / NS_PER_S for sample in samples]
        during = [sample for sample, at in zip(samples, at_s, strict=True) if event.start_s <= at <= event.end_s]
        moving_s = [at for sample, at in zip(samples, at_s, strict=True) if sample.moving and at >= event.start_s - 0.5]
        self.held.append(sum(sample.moving or sample.present for sample in during) / len(during))
        self.told_s.append(max(0.0, moving_s[0] - event.start_s) if moving_s and moving_s[0] < event.end_s else None)
        self.scores.append(scored)

    def numbers(self) -> dict[str, Any]:
        told = [each for each in self.told_s if each is not None]
        return {
            "films": len(self.held),
            "told": len(told),
            "latency_s": round(statistics.median(told), 1) if told else None,
            "held_least": round(min(self.held), 2),
            "held_mean": round(statistics.fmean(self.held), 2),
        }


# All of it, and its tables.


def measure(judges: Mapping[str, Judge], ours: Judge, shared: Path) -> dict[str, Any]:
    """Clips by split, every detector; ours with each stage left out."""
    found: dict[str, Any] = {"clips": {}, "ablation": {}}
    for split in SETS:
        footage = sets(split, shared)
        found["clips"][split] = {
            name: {part: numbers(judged(judge, each)) for part, each in footage.items()}
            for name, judge in judges.items()
        }
        for stage in ABLATIONS:
            with without(stage):
                found["ablation"].setdefault(stage, {})[split] = {
                    part: numbers(judged(ours, each)) for part, each in footage.items()
                }
    return found


def measure_sets(judges: Mapping[str, Judge], splits: Iterable[str], shared: Path) -> dict[str, Any]:
    """Clips of these sets alone, every detector, with no stage left out."""
    footage = {split: sets(split, shared) for split in splits}
    return {
        split: {
            name: {part: numbers(judged(judge, each)) for part, each in parts.items()} for name, judge in judges.items()
        }
        for split, parts in footage.items()
    }


def merged(before: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The sets of clips of `fresh` beside the others of `before`, in the order of `SETS`."""
    clips_of = {**before.get("clips", {}), **fresh["clips"]}
    return {**before, "clips": {split: clips_of[split] for split in SETS if split in clips_of}}


def measure_films(shared: Path) -> dict[str, Any]:
    """Ours on the films of each kind of seeds, and with each stage left out on those that changes are chosen on."""
    sources = {
        "fresh": (doorsteps.HELD_OUT, BACKGROUNDS),
        "of validate, chosen on": (doorsteps.CHOSEN, ("validate",)),
        "tuning": (doorsteps.TUNING, ("tune", SPENT)),
    }
    found: dict[str, Any] = {"films": {}, "films without": {}}
    for name, (seeds, splits) in sources.items():
        scenery = props(splits, shared)
        titled = f"{name}, seeds {seeds[0]} to {seeds[-1]}"
        found["films"][titled] = films_of(_films(doorsteps.KINDS, seeds, scenery))
        if seeds == doorsteps.CHOSEN:
            for stage in ABLATIONS:
                with without(stage):
                    everyday = films_of(_films(doorsteps.DISTURBED, seeds, scenery))["everyday"]
                    found["films without"].setdefault(stage, {})[titled] = everyday
    return found


def _films(kinds: Iterable[str], seeds: Iterable[int], scenery: doorsteps.Props) -> Iterator[doorsteps.Film]:
    """By seed and kind. The five minutes of a reader are shown by one seed each."""
    for number, seed in enumerate(seeds):
        for kind in kinds:
            if number == 0 or not kind.startswith("reads"):
                yield doorsteps.film(kind, seed, scenery)


def tables(found: dict[str, Any]) -> Iterator[str]:
    """Markdown lines.  `found` may hold clips, ablation and films."""
    for split, rows in found.get("clips", {}).items():
        first = next(iter(rows.values()))
        events = first["cold"]["hits"] + first["cold"]["missed"]
        drawn = "interval" in first["cold"]
        yield (
            f"| **{split}**, {events} events | F1 [hits/missed/false]{', 95 %' if drawn else ''} | a source left out "
            f"| warm{', 95 %' if drawn else ''} | idle, false/h |"
        )
        yield "|---|---|---|---|---|"
        for name, row in rows.items():
            cold, warmed, idle = row["cold"], row["warm"], row["idle"]
            yield (
                f"| {name} | {_f1(cold)}{_interval(cold)} | {cold['left_out'][0]:.3f} to {cold['left_out'][1]:.3f} "
                f"| {_f1(warmed)}{_interval(warmed)} "
                f"| {idle['false_per_h']:.1f} ({idle['minutes']:.0f} min) |"
            )
        yield ""
    if found.get("ablation"):
        measured = [split for split in SETS if split in next(iter(found["ablation"].values()))]
        yield "| Doorward, cold / warm / idle false an hour | " + " | ".join(measured) + " |"
        yield "|---|" + "---|" * len(measured)
        for stage, row in found["ablation"].items():
            cells = (
                f"{_f1(row[split]['cold'])} / {_f1(row[split]['warm'])} / {row[split]['idle']['false_per_h']:.1f}"
                for split in measured
            )
            yield f"| {stage} | " + " | ".join(cells) + " |"
        yield ""
    yield from _film_tables(found.get("films", {}))
    if found.get("films without"):
        titles = list(dict.fromkeys(title for row in found["films without"].values() for title in row))
        yield "| everyday and disturbed films | " + " | ".join(titles) + " |"
        yield "|---|" + "---|" * len(titles)
        for stage, row in found["films without"].items():
            cells = (_f1(row[each]) + f", {row[each]['false_per_h']} an hour" if each in row else "" for each in titles)
            yield f"| {stage} | " + " | ".join(cells) + " |"
        yield ""


def _film_tables(films: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for part, kinds, title in (
        ("everyday", doorsteps.DISTURBED, "everyday and disturbed"),
        ("gone", doorsteps.GONE, "of places that look different after the visitor"),
    ):
        rows = {name: each for name, each in films.items() if each.get(part, {"minutes": 0})["minutes"]}
        if rows:
            yield f"| films {title} | F1 [hits/missed/false] | false an hour | minutes | missed/false by kind |"
            yield "|---|---|---|---|---|"
        for name, each in rows.items():
            wrong = ", ".join(f"{kind} {a}/{b}" for kind, (a, b) in each["kinds"].items() if a + b and kind in kinds)
            summed = each[part]
            yield f"| {name} | {_f1(summed)} | {summed['false_per_h']} | {summed['minutes']:.0f} | {wrong or 'none'} |"
        yield ""
    hard = {name: each["hard"] for name, each in films.items() if each["hard"]}
    if hard:
        yield "| hard films: told, after s (median), held (least, mean) | " + " | ".join(hard) + " |"
        yield "|---|" + "---|" * len(hard)
        for kind in doorsteps.HARD:
            if any(kind in rows for rows in hard.values()):
                yield f"| {kind} | " + " | ".join(_hard_cell(rows.get(kind)) for rows in hard.values()) + " |"
        yield ""


def _hard_cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not run"
    return f"{row['told']} of {row['films']}, {row['latency_s']}, {row['held_least']:.2f}, {row['held_mean']:.2f}"


def _f1(row: dict[str, Any]) -> str:
    return f"{row['f1']:.3f} [{row['hits']}/{row['missed']}/{row['false']}]"


def _interval(row: dict[str, Any]) -> str:
    return f", {row['interval'][0]:.3f} to {row['interval'][1]:.3f}" if "interval" in row else ""
