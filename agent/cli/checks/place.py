"""Is the doorbell where it is said to be?  Compared with its time zone, because a swap still names a place.

Source: tzfile's `zone.tab` (ISO 6709 coordinates of each zone's principal place).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from agent.cli.checks.local_time import machine_zone, zone_rows
from agent.cli.language import in_words
from agent.config.settings import PositionConfig
from firmware_bridge.time_zone import LOCALTIME, ZONES

__all__ = ["note_on", "position_in_words"]

_ISO_6709 = re.compile(r"([+-])(\d{2})(\d{2})(\d{2})?([+-])(\d{3})(\d{2})(\d{2})?")
_FAR_KM = 3000.0
"""Every time zone except Russia's and Antarctica's lies within this distance of its principal place."""
_EARTH_KM = 6371.0


def position_in_words(position: PositionConfig) -> str:
    """`52.3731° north, 4.8926° east`"""
    north = "north" if position.latitude >= 0 else "south"
    east = "east" if position.longitude >= 0 else "west"
    return in_words(f"{abs(position.latitude):g}° {north}, {abs(position.longitude):g}° {east}")


def note_on(position: PositionConfig, time_zone: str = "", localtime: Path = LOCALTIME, zones: Path = ZONES) -> str:
    """Returns a warning; empty if the position is near `time_zone` (if empty, this machine's), or if it is unknown."""
    zone, place = _zone(zones / time_zone if time_zone else localtime, zones)
    if place is None or _km(place, (position.latitude, position.longitude)) <= _FAR_KM:
        return ""
    far = f"device.position is {position_in_words(position)}, far from this machine's time zone {zone}"
    if abs(position.longitude) <= 90 and _km(place, (position.longitude, position.latitude)) <= _FAR_KM:
        return f"{far}: latitude and longitude seem to be swapped, so no request for this street would match."
    return f"{far}.  Check it."


def _zone(localtime: Path, zones: Path) -> tuple[str, tuple[float, float] | None]:
    name = machine_zone(localtime)
    return name, next((_degrees(row[1]) for row in zone_rows(zones) if row[2] == name), None)


def _degrees(text: str) -> tuple[float, float] | None:
    found = _ISO_6709.fullmatch(text)
    if found is None:
        return None
    values = []
    for sign, degrees, minutes, seconds in (found.groups()[:4], found.groups()[4:]):
        value = int(degrees) + int(minutes) / 60 + int(seconds or 0) / 3600
        values.append(-value if sign == "-" else value)
    return values[0], values[1]


def _km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Along a great circle."""
    (north_a, east_a), (north_b, east_b) = (tuple(map(math.radians, each)) for each in (a, b))
    across = math.sin(north_a) * math.sin(north_b) + math.cos(north_a) * math.cos(north_b) * math.cos(east_a - east_b)
    return _EARTH_KM * math.acos(max(-1.0, min(1.0, across)))
