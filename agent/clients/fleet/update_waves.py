"""Decides the next step of a staged update: publish a wave, wait for one, or stop. Pure.

A wave is a group of doorbells that read one copy of the update repository. The next wave is published only if each
doorbell of the waves before runs the new version and reports no fault. Owners still choose when their doorbell installs
it, so a wave may have to wait.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.clients.fleet.inventory import DoorState, FleetDoor
from agent.core.updates import numbers
from agent.wire.health import UpdateWord

__all__ = ["WaveAction", "WaveStep", "next_step"]

_FAILED: Final = (DoorState.FAULT, DoorState.SILENT, DoorState.AMBIGUOUS, DoorState.ANOTHER)
"""A doorbell that was never heard is waited for: one that is still in its box stops nothing."""
_ENDED_BADLY: Final = (UpdateWord.ROLLED_BACK, UpdateWord.REFUSED, UpdateWord.INTERRUPTED)


class WaveAction(enum.Enum):
    """The next thing to do."""

    PUBLISH = "publish"
    WAIT = "wait"
    STOP = "stop"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class WaveStep:
    """`wave`: the one that it is about. `reasons`: doorbells that failed, or that are waited for."""

    action: WaveAction
    wave: int
    reasons: tuple[str, ...] = ()


def next_step(
    waves: Mapping[int, Sequence[str]], published: Collection[int], rows: Sequence[FleetDoor], version: str
) -> WaveStep:
    """`waves`: the names of each wave's doorbells. `published`: the waves that can see `version`. `rows`: the fleet."""
    by_name = {row.name: row for row in rows}
    last = max(waves)
    for wave in sorted(waves):
        if wave not in published:
            return WaveStep(WaveAction.PUBLISH, wave)
        found = [by_name[name] for name in waves[wave] if name in by_name]
        failed = tuple(told for row in found if (told := _failure(row, version)))
        if failed:
            return WaveStep(WaveAction.STOP, wave, failed)
        behind = tuple(row.name for row in found if not _runs(row, version))
        if behind:
            return WaveStep(WaveAction.WAIT, wave, behind)
    return WaveStep(WaveAction.DONE, last)


def _runs(row: FleetDoor, version: str) -> bool:
    """Returns True if the doorbell runs this version or a newer one. A version of another form is an older one."""
    try:
        return row.report is not None and numbers(row.report.version) >= numbers(version)
    except ValueError:
        return False


def _failure(row: FleetDoor, version: str) -> str:
    if row.state in _FAILED:
        return f"{row.name}: {', '.join(row.faults) or row.state.value}"
    if row.report is not None and row.report.update in _ENDED_BADLY and not _runs(row, version):
        return f"{row.name}: update {row.report.update.value}"
    return ""
