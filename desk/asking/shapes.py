"""Areas as a person gives them: a centre and a radius, a list of corners, or an uploaded map file. No I/O.

An uploaded file comes from anywhere. It is refused with words if it is too large, nested too deeply, not one simple
polygon, or holds a number that is none. Only its coordinates are read: no name, text or link of it is kept or shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from agent.errors import FormatError, RequestError
from agent.wire.area import E7, MAX_EXTENT_M, MAX_VERTICES, Area, Circle, Point, Polygon, e7

__all__ = [
    "MAP_FILE_LIMIT_BYTES",
    "area_from_json",
    "area_to_json",
    "circle_from_text",
    "corners_of",
    "parse_json_file",
    "polygon_from_file",
    "polygon_from_text",
    "position_from_text",
]

MAP_FILE_LIMIT_BYTES: Final = 256 * 1024
"""One polygon of 32 corners takes 2 kB. A file of this size still holds one with ten thousand."""
_DEEPEST: Final = 12
"""Nesting of a FeatureCollection with one polygon: 8."""
_POSITION: Final = re.compile(r"\s*(-?[0-9]{1,2}(?:\.[0-9]{1,15})?)\s*[,;\s]\s*(-?[0-9]{1,3}(?:\.[0-9]{1,15})?)\s*")
_RADIUS: Final = re.compile(r"\s*([0-9]{1,5})\s*m?\s*")


def position_from_text(text: str) -> Point:
    """Parses `52.0907, 5.1214`, latitude first. Raises `RequestError`."""
    found = _POSITION.fullmatch(text)
    if found is None or abs(float(found[1])) > 90 or abs(float(found[2])) > 180:
        raise RequestError(
            f"'{text.strip()[:40]}' is not a position.", remedy="Write latitude, then longitude: 52.0907, 5.1214."
        )
    return Point(lat=_rounded(float(found[1])), lon=_rounded(float(found[2])))


def circle_from_text(centre: str, radius: str) -> Circle:
    """Parses a centre and a radius in metres. Raises `RequestError`."""
    at = position_from_text(centre)
    found = _RADIUS.fullmatch(radius)
    if found is None or not 1 <= int(found[1]) <= MAX_EXTENT_M:
        raise RequestError("The radius is not a number of metres.", remedy="Write 144 to 642, for example 200.")
    try:
        return Circle(lat=at.lat, lon=at.lon, radius_m=int(found[1]))
    except FormatError as error:
        raise RequestError(error.message, remedy=error.remedy) from error


def polygon_from_text(corners: str) -> Polygon:
    """Parses one corner on each line. Raises `RequestError`."""
    lines = [line for line in corners.splitlines() if line.strip()]
    if len(lines) > 2 * MAX_VERTICES:
        raise _corner_count(len(lines))
    return _polygon([position_from_text(line) for line in lines])


def polygon_from_file(data: bytes) -> Polygon:
    """Returns the one polygon of an uploaded GeoJSON file. Raises `RequestError` with what to do."""
    shape = parse_json_file(data)
    if isinstance(shape, dict) and shape.get("type") == "FeatureCollection":
        features = shape.get("features")
        shape = features[0] if isinstance(features, list) and len(features) == 1 else None
    if isinstance(shape, dict) and shape.get("type") == "Feature":
        shape = shape.get("geometry")
    rings = shape.get("coordinates") if isinstance(shape, dict) and shape.get("type") == "Polygon" else None
    if not isinstance(rings, list) or len(rings) != 1 or not isinstance(rings[0], list):
        raise RequestError(
            "The file does not hold exactly one polygon without holes.", remedy="Export a single polygon as GeoJSON."
        )
    if len(rings[0]) > MAX_VERTICES + 1:
        raise _corner_count(len(rings[0]))
    return _polygon([position_of(each) for each in rings[0]])


def parse_json_file(data: bytes, limit_bytes: int = MAP_FILE_LIMIT_BYTES) -> Any:
    """Returns the JSON value of a small, flat file without a NaN. Raises `RequestError`."""
    if len(data) > limit_bytes:
        raise RequestError(f"The file is larger than {limit_bytes // 1024} kB.", remedy="Export a smaller file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError("The file is not UTF-8 text.", remedy="Export it as GeoJSON.") from error
    # Before parsing: Python's parser would use its whole stack on a file of brackets.
    if _depth(text) > _DEEPEST:
        raise RequestError("The file is nested too deeply.", remedy="Export it as plain GeoJSON.")
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise RequestError("The file is not JSON.", remedy="Export it as GeoJSON.") from error


def position_of(value: Any) -> Point:
    """Returns the position in GeoJSON's `[longitude, latitude]`. Raises `RequestError`."""
    match value:
        case [bool(), *_] | [_, bool(), *_]:
            pass
        case [int() | float() as lon, int() | float() as lat, *_] if abs(lat) <= 90 and abs(lon) <= 180:
            return Point(lat=_rounded(lat), lon=_rounded(lon))
    raise RequestError("A position in the file is not [longitude, latitude].", remedy="Export it as GeoJSON.")


def corners_of(polygon: Polygon) -> str:
    """Returns the text that `polygon_from_text` parses."""
    return "\n".join(f"{each.lat}, {each.lon}" for each in polygon.vertices)


def area_to_json(area: Area) -> dict[str, Any]:
    """Returns the area as in a request's `area`."""
    if isinstance(area, Circle):
        return {"shape": "circle", "lat": area.lat, "lon": area.lon, "radius_m": area.radius_m}
    return {"shape": "polygon", "vertices": [{"lat": each.lat, "lon": each.lon} for each in area.vertices]}


def area_from_json(value: dict[str, Any]) -> Area:
    """Returns the area that `area_to_json` wrote."""
    if value["shape"] == "circle":
        return Circle(lat=value["lat"], lon=value["lon"], radius_m=value["radius_m"])
    return Polygon(vertices=tuple(Point(lat=each["lat"], lon=each["lon"]) for each in value["vertices"]))


def _polygon(corners: list[Point]) -> Polygon:
    if len(corners) > 1 and corners[0] == corners[-1]:
        corners = corners[:-1]  # GeoJSON closes its ring by repeating the first corner
    if not 3 <= len(corners) <= MAX_VERTICES:
        raise _corner_count(len(corners))
    try:
        return Polygon(vertices=tuple(corners))
    except FormatError as error:
        raise RequestError(error.message, remedy=error.remedy) from error


def _corner_count(count: int) -> RequestError:
    return RequestError(
        f"{count} corners. 3 to {MAX_VERTICES} are allowed.", remedy="Draw the outline with another number of corners."
    )


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _depth(text: str) -> int:
    """Returns the deepest nesting of brackets outside strings."""
    deepest = depth = 0
    for mark in _marks(text):
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _marks(text: str) -> Iterable[str]:
    # A string, also an unfinished one, is one match, so that the brackets in it do not count.
    return (
        each for each in re.findall(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', text, re.DOTALL) if len(each) == 1 and each != '"'
    )


def _rounded(degrees: float) -> float:
    return e7(degrees) / E7
