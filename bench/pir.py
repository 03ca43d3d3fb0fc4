"""A PIR beside the camera: the share of a visit that is recorded, and the footage that false pulses add. By a model.

`python -m bench pir` feeds the recorder's event machine with visits. Camera and PIR are a stated model, because no PIR
is here:

- A visitor arrives for 3 s, stands for five minutes, and leaves for 3 s. The camera confirms arrival and departure. In
  between it holds them for a share of the visit (bench/motion/RESULTS.md has the measured shares), then lets them go.
- The PIR gives at most one pulse per `pir_gap_s` (5 s). In each such span it feels a visitor who stands with a chance,
  and one who walks always. A good sensor near the door feels the moves of a person who reads (0.6); a poor one, or one
  far away or in hot weather, seldom does (0.15).
- False pulses come by chance, two or twelve a day: sun on a wall, a cat, warm wind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.events import ClipBegins, ClipEnds, EventBegins, EventEffect, EventMachine, EventSettings, TriggerKind
from agent.core.motion.sample import MotionSample, MotionState
from agent.core.timebase import NS_PER_S, BootNs, seconds

VISITS = 200
WALKS_S, STANDS_S, AFTER_S = 3.0, 300.0, 120.0
STEP_S = 0.5
PIR_GAP_S = 5.0
DAY_S = 86_400
CAMERAS = {"all of it (day)": 1.0, "four fifths (a restart)": 0.8, "two thirds (walks away at night)": 0.66,
           "a fifth": 0.2, "nothing (a dark porch)": 0.0}  # fmt: skip
"""The share of standing for which the camera holds the visitor."""
SENSORS = {"no PIR": 0.0, "a poor PIR": 0.15, "a good PIR": 0.6}
WAYS = {"a pulse counts for itself": EventSettings(warm_s=0), "a pulse holds 30 s (ours)": EventSettings()}


@dataclass
class Recorded:
    """Clips and events of one run."""

    clips_s: list[tuple[float, float]]
    events: int

    def share_of(self, begin_s: float, end_s: float) -> float:
        inside = sum(max(0.0, min(until, end_s) - max(since, begin_s)) for since, until in self.clips_s)
        return inside / (end_s - begin_s)


def recorded(effects: list[EventEffect]) -> Recorded:
    begins = [effect.from_ns / NS_PER_S for effect in effects if isinstance(effect, ClipBegins)]
    ends = [effect.until_ns / NS_PER_S for effect in effects if isinstance(effect, ClipEnds)]
    return Recorded(list(zip(begins, ends, strict=True)), sum(isinstance(effect, EventBegins) for effect in effects))


def visit(settings: EventSettings, held: float, feels: float, chance: np.random.Generator) -> Recorded:
    """One visit from second 100 on."""
    machine, effects = EventMachine(settings), list[EventEffect]()
    began_s, stands_s = 100.0, 100.0 + WALKS_S
    leaves_s, gone_s = stands_s + STANDS_S, stands_s + STANDS_S + WALKS_S
    pulsed_s = 0.0
    for step in range(round((gone_s + AFTER_S) / STEP_S)):
        now_s = step * STEP_S
        walks = began_s <= now_s < stands_s or leaves_s <= now_s < gone_s
        stands = stands_s <= now_s < leaves_s
        sees = walks and held > 0
        present = stands and now_s < stands_s + held * STANDS_S
        at_ns = BootNs(seconds(now_s))
        sample = MotionSample(at_ns, sees, 0.9 if sees else 0.0, None, MotionState.QUIET, present=present)
        effects += machine.on_motion(sample)
        if feels and now_s - pulsed_s >= PIR_GAP_S and (walks or stands):
            pulsed_s = now_s
            if walks or chance.random() < feels:
                effects += machine.on_trigger(TriggerKind.PIR, at_ns)
    effects += machine.close(BootNs(seconds(gone_s + AFTER_S)))
    return recorded(effects)


def day_of_false_pulses(settings: EventSettings, pulses: int, chance: np.random.Generator) -> float:
    """Returns the minutes that are recorded on a day without a visitor."""
    machine, effects = EventMachine(settings), list[EventEffect]()
    wanted = sorted(chance.uniform(100, DAY_S, pulses))
    for now_s in range(DAY_S + 120):
        while wanted and wanted[0] <= now_s:
            effects += machine.on_trigger(TriggerKind.PIR, BootNs(seconds(wanted.pop(0))))
        effects += machine.on_motion(MotionSample(BootNs(seconds(now_s)), False, 0.0, None, MotionState.QUIET))
    effects += machine.close(BootNs(seconds(DAY_S + 120)))
    return sum(until - since for since, until in recorded(effects).clips_s) / 60


def main() -> int:
    print("| the camera holds | way | " + " | ".join(f"{name}: recorded, events" for name in SENSORS) + " |")
    print("|---|---|" + "---:|" * len(SENSORS))
    for camera, held in CAMERAS.items():
        for way, settings in WAYS.items():
            cells = []
            for feels in SENSORS.values():
                chance = np.random.default_rng(15)
                runs = [visit(settings, held, feels, chance) for _ in range(VISITS if feels else 1)]
                share = np.mean([run.share_of(100.0, 100.0 + 2 * WALKS_S + STANDS_S) for run in runs])
                cells.append(f"{share:.2f}, {np.mean([run.events for run in runs]):.1f}")
            print(f"| {camera} | {way} | " + " | ".join(cells) + " |", flush=True)
    print("\n| false pulses a day | way | minutes recorded |\n|---:|---|---:|")
    for pulses in (2, 12):
        for way, settings in WAYS.items():
            print(f"| {pulses} | {way} | {day_of_false_pulses(settings, pulses, np.random.default_rng(15)):.1f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
