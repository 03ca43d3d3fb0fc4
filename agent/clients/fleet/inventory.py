"""The state of each doorbell of a fleet, from its newest report and from the fleet file. Pure.

A doorbell claims its name itself. If two doorbells claim one name, neither is believed: both are shown. So is one that
claims a name which another had before: a broker's operator can make up doorbells. A report that a broker has kept or
repeated is old, and so the doorbell counts as silent.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from agent.wire.fields import ClockQuality
from agent.wire.health import HealthReport, HealthWord, UpdateWord
from agent.wire.identities import parse_public_key

__all__ = ["DoorState", "FleetDoor", "failed_update", "first_heard", "inventory", "parts_at_fault"]

SILENT_S: Final = 45 * 60
"""Three reports that did not come."""
_AHEAD_S: Final = 600
"""A report may be this far in the future, because clocks differ."""


class DoorState(enum.Enum):
    """The state of a doorbell in one word. `_row` decides in this order if several are true."""

    NEVER_HEARD = "never heard"
    SILENT = "silent"
    AMBIGUOUS = "two doorbells"
    ANOTHER = "another doorbell"
    FAULT = "fault"
    NO_OWNER = "no owner"
    NOT_LISTED = "not listed"
    OTHER_SETTINGS = "other settings"
    OK = "ok"


_FAILED: Final = {
    UpdateWord.ROLLED_BACK: "update {} rolled back",
    UpdateWord.INTERRUPTED: "update {} interrupted",
    UpdateWord.REFUSED: "update {} refused",
}
_DOUBTFUL: Final = (DoorState.AMBIGUOUS, DoorState.ANOTHER)


@dataclass(frozen=True, slots=True)
class FleetDoor:
    """One row of the table. `report` is None if the doorbell was never heard. `faults` are for people."""

    name: str
    state: DoorState
    device: str = ""
    report: HealthReport | None = None
    faults: tuple[str, ...] = ()


def inventory(
    listed: Mapping[str, str] | None,
    reports: Iterable[HealthReport],
    now_s: int,
    known: Mapping[str, str] | None = None,
) -> list[FleetDoor]:
    """Returns the rows, by name. `listed`: name → SHA-256 of the settings in the fleet file, None without a file.
    `known`: name → id of the doorbell that had the name at an earlier look."""
    by_name: dict[str, list[HealthReport]] = {}
    for report in reports:
        by_name.setdefault(report.name, []).append(report)
    rows = [FleetDoor(name, DoorState.NEVER_HEARD) for name in (listed or {}) if name not in by_name]
    for found in by_name.values():
        for report in found:
            is_other = (known or {}).get(report.name, _id(report)) != _id(report)
            claim = DoorState.AMBIGUOUS if len(found) > 1 else DoorState.ANOTHER if is_other else None
            rows.append(_row(report, listed, now_s, claim))
    return sorted(rows, key=lambda row: (row.name, row.device))


def first_heard(rows: Iterable[FleetDoor], known: Mapping[str, str]) -> dict[str, str]:
    """Returns `known` with the doorbells that were heard for the first time, each alone under its name."""
    heard = {row.name: row.device for row in rows if row.report and row.state not in (*_DOUBTFUL, DoorState.SILENT)}
    return {**heard, **known}


def _id(report: HealthReport) -> str:
    return parse_public_key(report.device).id


def _row(report: HealthReport, listed: Mapping[str, str] | None, now_s: int, claim: DoorState | None) -> FleetDoor:
    """`claim`: what is wrong with its claim to the name."""
    faults = (*parts_at_fault(report), *failed_update(report, (UpdateWord.ROLLED_BACK, UpdateWord.INTERRUPTED)))
    state = DoorState.FAULT if faults else DoorState.OK
    expected = None if listed is None else listed.get(report.name)
    if not now_s - SILENT_S <= report.at <= now_s + _AHEAD_S:
        state = DoorState.SILENT
    elif claim is not None:
        state = claim
    elif not faults and not report.has_owner:
        state = DoorState.NO_OWNER
    elif not faults and listed is not None and expected is None:
        state = DoorState.NOT_LISTED
    elif not faults and expected not in (None, report.configuration):
        state = DoorState.OTHER_SETTINGS
    return FleetDoor(report.name, state, _id(report), report, faults)


def parts_at_fault(report: HealthReport) -> tuple[str, ...]:
    """Returns the parts of a doorbell that do not work, in words. Updates are not among them."""
    parts = {"recorder": report.recorder, "camera": report.camera, "storage": report.storage, "supply": report.supply}
    found = [name for name, word in parts.items() if word is HealthWord.FAULT]
    found += ["clock"] if report.clock is ClockQuality.UNKNOWN else []
    found += ["heat"] if report.throttle else []
    return tuple(found)


def failed_update(report: HealthReport, ended: Collection[UpdateWord] = _FAILED) -> tuple[str, ...]:
    """Returns how the newest installation failed, with its version, in words. Empty unless it ended as in `ended`."""
    return (_FAILED[report.update].format(report.update_version),) if report.update in ended else ()
