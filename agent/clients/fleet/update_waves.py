"""Decides the next step of a staged update: publish a wave, wait for one, or stop. Pure.

A wave is a group of doorbells that read one copy of the update repository. The next wave is published only if each
doorbell of the waves before runs the new version and reports no fault. Owners still choose when their doorbell installs
it, so a wave may have to wait. An older version that failed on a doorbell stops nothing: the new one may mend it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.clients.fleet.inventory import DoorState, FleetDoor, failed_update, parts_at_fault
from agent.core.updates import numbers

__all__ = ["WaveAction", "WaveStep", "next_step"]

_FAILED: Final = (DoorState.SILENT, DoorState.AMBIGUOUS, DoorState.ANOTHER)
"""A doorbell that was never heard is waited for: one that is still in its box stops nothing."""


class WaveAction(enum.Enum):
    """The next thing to do."""

    PUBLISH = "publish"
    WAIT = "wait"
    STOP = "stop"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class WaveStep:
    """`wave`: the one that it is about. `reasons`: doorbells that failed, or that are waited for, as `name` or
    `name: why`."""

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
        behind = tuple(_waited_for(row) for row in found if not _runs(row, version))
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
    """Returns why a doorbell stops the waves, or nothing."""
    if row.report is None:
        return ""
    parts = parts_at_fault(row.report)
    if parts or row.state in _FAILED:
        return f"{row.name}: {', '.join(parts) or row.state.value}"
    told = failed_update(row.report)
    if told and not _runs(row, version) and not _is_older(row.report.update_version, version):
        return f"{row.name}: {told[0]}"
    return ""


def _is_older(tried: str | None, version: str) -> bool:
    """Returns whether the version that failed is an older one. One of another form may be this one."""
    try:
        return tried is not None and numbers(tried) < numbers(version)
    except ValueError:
        return False


def _waited_for(row: FleetDoor) -> str:
    """Names a doorbell, and the older version that failed on it."""
    told = () if row.report is None else failed_update(row.report)
    return f"{row.name}: {told[0]}" if told else row.name
