"""What a requester wants to ask, from the words of a person to the values of a request.

- Times are ISO 8601.  One without an offset is meant in the given time zone (by default this machine's); one that the
  change to or from summer time makes ambiguous or impossible is refused, because an hour decides what is shared.
- An area is a circle (`lat,lon,radius` in degrees and metres) or a polygon from a file: GeoJSON, or `lat,lon` lines.
- Text is cleaned (spaces, Unicode form) and then held against the rule that devices apply.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.errors import ConfigurationError, FormatError, StorageError
from agent.requester import files
from agent.wire.area import E7, MAX_VERTICES, Area, Circle, Point, Polygon, e7
from agent.wire.fields import Incident
from agent.wire.messages import Contact

__all__ = ["Question", "parse_circle", "parse_time", "read_polygon"]

_LIMIT_BYTES: Final = 256 * 1024
_NUMBER: Final = r"\s*(-?[0-9]{1,3}(?:\.[0-9]+)?)\s*"
_POSITION: Final = re.compile(rf"{_NUMBER},{_NUMBER}")
_CIRCLE: Final = re.compile(rf"{_NUMBER},{_NUMBER},\s*([0-9]{{1,5}})\s*m?\s*")
_TIME_REMEDY: Final = "Write 2026-03-09T14:30, or with an offset 2026-03-09T14:30+01:00, or with Z for UTC."


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: footage of `area` between `from_s` and `to_s` (UTC seconds), for `case`.

    `not_after_s`: until when an owner may still say yes.
    """

    area: Area
    from_s: int
    to_s: int
    not_after_s: int
    case: str
    incident: Incident
    description: str
    contact: Contact


def parse_time(text: str, zone: datetime.tzinfo | None = None) -> int:
    """UTC seconds of an ISO time; `zone` (this machine's by default) is that of a time without an offset."""
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ConfigurationError(f"'{text}' is no time.", remedy=_TIME_REMEDY) from error
    if moment.tzinfo is None:
        moment = _in_zone(moment, zone, text)
    if moment.microsecond:
        raise ConfigurationError(f"'{text}': requests are made in whole seconds.", remedy=_TIME_REMEDY)
    return int(moment.timestamp())


def _in_zone(moment: datetime.datetime, zone: datetime.tzinfo | None, text: str) -> datetime.datetime:
    """The one instant that the clock on the wall showed `moment`."""
    instants = {
        placed.astimezone(datetime.UTC)
        for fold in (0, 1)
        for placed in [moment.replace(fold=fold, tzinfo=zone) if zone else moment.replace(fold=fold).astimezone()]
        if placed.astimezone(datetime.UTC).astimezone(zone).replace(tzinfo=None, fold=0) == moment
    }
    if len(instants) != 1:
        happened = "happened twice" if instants else "did not happen"
        raise ConfigurationError(
            f"'{text}' {happened}: the clocks were changed then.", remedy="Give it with its offset: …+01:00 or …+02:00."
        )
    return instants.pop()


def parse_circle(text: str) -> Circle:
    """`lat,lon,radius`: degrees and whole metres."""
    found = _CIRCLE.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"'{text}' is no circle.", remedy="Write latitude, longitude and radius in metres: 52.3702,4.8952,300."
        )
    try:
        return Circle(lat=_rounded(found[1]), lon=_rounded(found[2]), radius_m=int(found[3]))
    except FormatError as error:
        raise ConfigurationError(f"'{text}': {error.message}", remedy=error.remedy) from error


def read_polygon(path: Path) -> Polygon:
    """The polygon in a file: a GeoJSON polygon without holes, or one `lat,lon` a line (`#` begins a comment)."""
    try:
        text = files.read(path, _LIMIT_BYTES).decode("utf-8-sig")
    except StorageError as error:
        raise ConfigurationError(error.message, remedy="Give the path of a file with a polygon.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text.", remedy="Save it as UTF-8.") from error
    try:
        vertices = _geojson(path, text) if text.lstrip().startswith("{") else _lines(path, text)
        if len(vertices) > 1 and vertices[0] == vertices[-1]:
            vertices.pop()
        return _polygon(vertices)
    except FormatError as error:
        raise ConfigurationError(f"{path}: {error.message}", remedy=error.remedy) from error


def _polygon(vertices: list[tuple[float, float]]) -> Polygon:
    if not 3 <= len(vertices) <= MAX_VERTICES:
        raise FormatError(
            f"{len(vertices)} corners, allowed are 3 to {MAX_VERTICES}.", remedy="Draw it with fewer corners."
        )
    return Polygon(vertices=tuple(Point(lat=lat, lon=lon) for lat, lon in vertices))


def _lines(path: Path, text: str) -> list[tuple[float, float]]:
    vertices = []
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        found = _POSITION.fullmatch(written)
        if found is None or abs(float(found[1])) > 90 or abs(float(found[2])) > 180:
            raise ConfigurationError(f"{path}, line {number}: this is no position.", remedy="Write 52.3702, 4.8952.")
        vertices.append((_rounded(found[1]), _rounded(found[2])))
    return vertices


def _geojson(path: Path, text: str) -> list[tuple[float, float]]:
    """RFC 7946: longitude comes first, and the ring is closed by repeating its first position."""
    try:
        shape: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise ConfigurationError(f"{path}, line {line}: this is not JSON.", remedy="Export it again.") from error
    if isinstance(shape, dict) and shape.get("type") == "FeatureCollection":
        features = shape.get("features")
        shape = features[0] if isinstance(features, list) and len(features) == 1 else None
    if isinstance(shape, dict) and shape.get("type") == "Feature":
        shape = shape.get("geometry")
    rings = shape.get("coordinates") if isinstance(shape, dict) and shape.get("type") == "Polygon" else None
    if not isinstance(rings, list) or len(rings) != 1 or not isinstance(rings[0], list):
        raise FormatError("not one GeoJSON polygon without holes.", remedy="Export a single polygon.")
    return [_position(each) for each in rings[0]]


def _position(value: Any) -> tuple[float, float]:
    match value:
        case [int() | float() as lon, int() | float() as lat, *_] if abs(lat) <= 90 and abs(lon) <= 180:
            return _rounded(lat), _rounded(lon)
    raise FormatError("a position is not [longitude, latitude].", remedy="Export it again.")


def _rounded(degrees: str | float) -> float:
    return e7(float(degrees)) / E7
