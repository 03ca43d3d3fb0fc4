"""Turns measurements into the tables of RESULTS.md, between its two markers; the prose around them is by hand."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.core.motion_accuracy.scoring import Score, total
from bench.motion import heldout
from bench.motion.accuracy import OURS, Verdict
from bench.motion.scenes import KINDS, UNDISTURBED

__all__ = ["accuracy_of", "merged", "seeds_of", "tables", "write"]

_COST_GOALS = {
    "motion": (" (goal 1.0)", " (goal 1.5)", " (goal 0.7)"),
    "Frigate's": (" (goal 0.2)", " (goal 0.5)", ""),
}
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def accuracy_of(verdicts: Sequence[Verdict], seeds: tuple[int, ...]) -> dict[str, Any]:
    """The sums by detector, and misses / false alarms of each by kind."""
    names = list(dict.fromkeys(verdict.judge for verdict in verdicts))
    kinds = list(dict.fromkeys((verdict.group, verdict.kind) for verdict in verdicts))
    return {
        "seeds": list(seeds),
        "sums": {
            name: {
                group: _numbers(total(each.score for each in verdicts if (each.judge, each.group) == (name, group)))
                for group in ("real", "drawn")
            }
            for name in names
        },
        "kinds": {
            f"{group}: {kind}": {
                name: _numbers(
                    total(each.score for each in verdicts if (each.judge, each.group, each.kind) == (name, group, kind))
                )
                for name in names
            }
            for group, kind in sorted(kinds, key=lambda pair: pair[0] == "drawn")
        },
        "undisturbed": _numbers(
            total(each.score for each in verdicts if each.judge == OURS and each.kind in UNDISTURBED)
        ),
    }


def seeds_of(verdicts: Mapping[int, Sequence[Verdict]]) -> dict[str, Any]:
    """One detector's sums by seed and over all, and in which scenes something went wrong."""
    return {
        str(name): _numbers(total(each.score for each in rows)) | {"wrong": _wrong(rows), "held": _held(rows)}
        for name, rows in [*verdicts.items(), ("all", [each for rows in verdicts.values() for each in rows])]
    }


def _held(verdicts: Sequence[Verdict]) -> float:
    """The least share of the time for which a visitor who stands still is held."""
    return round(min(each.held for each in verdicts if each.kind == "standing"), 2)


def _wrong(verdicts: Sequence[Verdict]) -> str:
    """Its misses / false alarms, scene by scene."""
    sums = {kind: total(each.score for each in verdicts if each.kind == kind) for kind in KINDS}
    wrong = {kind: summed for kind, summed in sums.items() if summed.misses or summed.false_alarms}
    return ", ".join(f"{kind} {summed.misses} / {summed.false_alarms}" for kind, summed in wrong.items())


def merged(before: dict[str, Any] | None, fresh: dict[str, Any]) -> dict[str, Any]:
    """`fresh` figures of some detectors beside those of the others from `before`, if both are of the same scenes."""
    if before is None or before["seeds"] != fresh["seeds"] or before["kinds"].keys() != fresh["kinds"].keys():
        return fresh
    return {
        "seeds": fresh["seeds"],
        "sums": before["sums"] | fresh["sums"],
        "kinds": {kind: row | fresh["kinds"][kind] for kind, row in before["kinds"].items()},
        "undisturbed": fresh["undisturbed"],
    }


def _numbers(summed: Score) -> dict[str, Any]:
    latencies = sorted(summed.latencies_s)
    return {
        "events": summed.hits + summed.misses,
        "missed": summed.misses,
        "false": summed.false_alarms,
        "f1": round(summed.f1, 3),
        "false_per_h": round(summed.false_alarms_per_h, 1),
        "latency_s": round(statistics.median(latencies), 2) if latencies else None,
        "latency_p90_s": round(latencies[int(0.9 * len(latencies))], 2) if latencies else None,
    }


def tables(found: dict[str, Any]) -> Iterator[str]:
    """Markdown lines: footage that was not tuned on comes first."""
    for part in ("heldout", "films"):
        yield from heldout.tables(found.get(part, {}))
    if "accuracy" in found:
        yield from _accuracy_tables(found["accuracy"])
    if "seeds" in found:
        yield from _seeds_table(found["seeds"])
    if "hour" in found:
        hour = found["hour"]
        yield f"Undisturbed: {hour['false_alarms']} false alarms in {hour['watched_s'] / 60:.0f} minutes, sixty yards."
        yield ""
    if "memory" in found:
        hourly = found["memory"]["resident_kib"]
        yield (
            f"Memory over {found['memory']['frames']} frames, a day at 10 a second with a visit in every ten minutes: "
            f"{hourly[0] / 1024:.1f} MiB resident after the first hour, {hourly[-1] / 1024:.1f} after the last "
            f"(most {max(hourly) / 1024:.1f}); the interpreter, OpenCV and the two minutes of footage included."
        )
        yield ""
    if "cost" in found:
        yield from _cost_tables(found["cost"])
    if "instructions" in found:
        yield "| million instructions a frame | idle | busy |"
        yield "|---|---|---|"
        for name, counts in found["instructions"].items():
            yield f"| {name} | {counts['idle']:.2f} | {counts['busy']:.2f} |"
        yield ""


def _accuracy_tables(found: dict[str, Any]) -> Iterator[str]:
    real, drawn = ([sums[group] for sums in found["sums"].values()] for group in ("real", "drawn"))
    yield (
        f"| detector | F1, real ({real[0]['events']} events) | missed / false | F1, drawn, seeds "
        f"{', '.join(map(str, found['seeds']))} ({drawn[0]['events']} events) | missed / false | false alarms an hour "
        "| latency there, median (90 %), s |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, sums in found["sums"].items():
        a, b = sums["real"], sums["drawn"]
        yield (
            f"| {name} | {a['f1']:.3f} | {a['missed']} / {a['false']} | {b['f1']:.3f} | {b['missed']} / {b['false']} "
            f"| {b['false_per_h']:.1f} | {b['latency_s']} ({b['latency_p90_s']}) |"
        )
    yield ""
    names = list(found["sums"])
    yield "| missed / false, by scene | " + " | ".join(names) + " |"
    yield "|---|" + "---|" * len(names)
    for kind, row in found["kinds"].items():
        cells = (f"{row[name]['missed']} / {row[name]['false']}" for name in names)
        yield f"| {kind} | " + " | ".join(cells) + " |"
    yield ""


def _seeds_table(found: dict[str, Any]) -> Iterator[str]:
    yield (
        f"| {OURS}, drawn scenes, by seed | events | missed / false | F1 | false alarms an hour "
        "| latency, median (90 %), s | who stands is held for | where, missed / false |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for group, rows in found.items():
        for seed, row in rows.items():
            name = f"**{group}, all**" if seed == "all" else seed
            yield (
                f"| {name} | {row['events']} | {row['missed']} / {row['false']} | {row['f1']:.3f} "
                f"| {row['false_per_h']:.1f} | {row['latency_s']} ({row['latency_p90_s']}) "
                f"| {100 * row['held']:.0f} % | {row['wrong']} |"
            )
    yield ""


def _cost_tables(found: dict[str, Any]) -> Iterator[str]:
    scenes = list(next(iter(found["ms"].values())))
    yield "| thread CPU, ms a frame, paced at 10 fps: step (whole thread) | " + " | ".join(scenes) + " |"
    yield "|---|" + "---|" * len(scenes)
    for name, row in found["ms"].items():
        if row:
            yield f"| {name} | " + " | ".join(_pair(row[scene]) for scene in scenes) + " |"
    yield ""
    yield from _cost_goals(found["ms"])
    yield "Floor, hot: " + ", ".join(f"{name} {us:.1f} µs" for name, us in found["floor_us"].items()) + "."
    yield ""


def _cost_goals(ms: dict[str, Any]) -> Iterator[str]:
    """Ours as a multiple of a peer's, beside the goal."""
    yield "| Doorward's cost as a multiple of | idle step | busy step | whole thread, idle, 5 frames a wake-up |"
    yield "|---|---|---|---|"
    for peer, goals in _COST_GOALS.items():
        if peer in ms:
            ours = ms[OURS]["idle"][0], ms[OURS]["busy"][0], ms[f"{OURS}, 5 frames a wake-up"]["idle"][1]
            theirs = ms[peer]["idle"][0], ms[peer]["busy"][0], ms[peer]["idle"][0]
            cells = (f"{a / b:.2f}{goal}" for a, b, goal in zip(ours, theirs, goals, strict=True))
            yield f"| {peer} | {' | '.join(cells)} |"
    yield ""


def _pair(measured: Sequence[float | None]) -> str:
    step, thread = measured
    return f"{step:.3f}" if thread is None else f"{step:.3f} ({thread:.3f})"


def write(found: dict[str, Any], path: Path) -> None:
    """Replace what is between the markers."""
    text = path.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    path.write_text(f"{before}{_BEGIN}\n\n" + "\n".join(tables(found)) + f"{_END}{after}", "utf-8")
