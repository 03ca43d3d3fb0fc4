"""By which time zone do private and quiet hours count, and does this machine know it?

The C library takes a missing /etc/localtime for UTC.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.config.places import KeyPath, Places
from agent.config.reading import read_text
from firmware_bridge.time_zone import LOCALTIME, ZONES, is_zone

__all__ = ["check_local_time", "machine_zone", "unknown_zone", "zone_rows"]

_SUBJECT = "local time"
_KEY: KeyPath = ("device", "time_zone")
_UTC = frozenset({"UTC", "UCT", "Zulu", "Universal", "Greenwich", "GMT", "GMT0", "GMT+0", "GMT-0"})
"""Last parts of the names of UTC. For example, a new system often has Etc/UTC."""
_ALIKE = 0.75
"""Similarity of a zone that was probably meant: europe/amsterdm is 0.97 like europe/amsterdam, and europe/nowhere only
0.74 like europe/jersey."""
_APPLY = "Then run:  sudo doorward apply"


def check_local_time(zone: str, config: Path, localtime: Path = LOCALTIME, zones: Path = ZONES) -> Finding:
    """Judges the zone of the hours. `zone`: `device.time_zone` of the file `config`.

    Raises `ConfigurationError` if the file cannot be read any more.
    """
    machine = machine_zone(localtime)
    by_machine = f"Private and quiet hours count by the machine's zone '{machine or localtime}'."
    if zone and not is_zone(zone, zones):
        message, hint = unknown_zone(zone, config, _KEY, zones)
        return bad(_SUBJECT, f"{message} {by_machine}", f"{hint} {_APPLY}")
    if zone:
        return fine(_SUBJECT, f"Private and quiet hours count by '{zone}', as device.time_zone says.")
    if machine.rpartition("/")[2] in _UTC:
        remedy = f'Set device.time_zone in {config}, like "Europe/Amsterdam". {_APPLY}'
        return poor(_SUBJECT, f"device.time_zone is not set. {by_machine}", remedy)
    return fine(_SUBJECT, by_machine)


def machine_zone(localtime: Path = LOCALTIME) -> str:
    """Returns the name of the machine's zone. Empty if the file is a copy, which has no name."""
    if not localtime.is_file():
        return "UTC"
    return localtime.resolve().as_posix().partition("/zoneinfo/")[2]


def unknown_zone(zone: str, source: Path, key: KeyPath, zones: Path = ZONES) -> tuple[str, str]:
    """Returns what is wrong with the zone at `key` of a file, with its place, and a hint. Raises `ConfigurationError`
    if the file cannot be read any more."""
    line = Places(read_text(source)).line(key)
    message = f"{source}, line {line}, {'.'.join(map(str, key))}: this machine does not know the time zone '{zone}'."
    names = {row[2].casefold(): row[2] for row in zone_rows(zones)}
    meant = difflib.get_close_matches(zone.casefold(), names, n=1, cutoff=_ALIKE)
    if meant:
        return message, f"Did you mean '{names[meant[0]]}'?"
    return message, "Check its spelling, or install tzdata and tzdata-legacy."


def zone_rows(zones: Path = ZONES) -> list[list[str]]:
    """Returns country, place (ISO 6709) and name of each zone. Empty without tzdata.

    Source: tzfile's `zone.tab`.
    """
    try:
        lines = (zones / "zone.tab").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    rows = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return [row for row in rows if len(row) > 2]
