"""Builds a request from a person's input.

- Times are ISO 8601. A time without an offset is in the given time zone (by default this machine's). If a change to or
  from summer time makes it ambiguous or impossible, it is refused, because an hour decides which footage is shared.
- An area is a circle (`lat,lon,radius` in degrees and metres) or a polygon from a file: GeoJSON, or `lat,lon` lines.
- Text is cleaned (spaces, Unicode form) and then checked by the rule of the devices. Limits are checked, too.
- The promises (retention, onward) have no default here: an owner reads them before the yes.
- `excluded_share` is the share of an area that asks no door: the parts narrower than the disc of `wire.area_opening`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.errors import ConfigurationError, FormatError, RequestError, StorageError
from agent.platform import files
from agent.wire import limits, strictjson
from agent.wire.area import E7, MAX_VERTICES, Area, Circle, Point, Polygon, e7
from agent.wire.fields import Incident, Kind, OnwardKind, clean_text
from agent.wire.messages import Contact, FootageRequest, Onward
from agent.wire.topics import cell_of

__all__ = [
    "NO_ONE",
    "RequestDraft",
    "excluded_share",
    "parse_around",
    "parse_circle",
    "parse_onward",
    "read_polygon",
    "require_within_limits",
]

_LIMIT_BYTES: Final = 256 * 1024
NO_ONE: Final = "none"
"""Written for a requester that passes no footage on."""
_FURTHEST_KM: Final = 100
_FURTHEST_LATITUDE: Final = 80.0
_KM_PER_DEGREE: Final = 111.195
"""Kilometres in one degree of latitude."""
_STEPS: Final = 16
"""Steps over 100 km to each side. One step is half the width of a cell at 80° (9.6 km), so that each cell is hit."""
_NUMBER: Final = r"\s*(-?[0-9]{1,3}(?:\.[0-9]+)?)\s*"
_POSITION: Final = re.compile(rf"{_NUMBER},{_NUMBER}")
_CIRCLE: Final = re.compile(rf"{_NUMBER},{_NUMBER},\s*([0-9]{{1,5}})\s*m?\s*")


@dataclass(frozen=True, slots=True)
class RequestDraft:
    """Draft of a request: footage of `area` between `from_s` and `to_s` (UTC seconds), for `case`.

    `not_after_s`: the last time at which an owner may approve. `retention_days`, `onward` and `language`: as in the
    request (`wire.messages`).
    """

    area: Area
    from_s: int
    to_s: int
    not_after_s: int
    case: str
    incident: Incident
    description: str
    contact: Contact
    retention_days: int
    onward: Onward
    language: str

    def request(self, *, requester: str, kind: Kind, trust_root: str, id: str, reply: str) -> FootageRequest:
        """Returns the request of this draft, without a number yet. Raises `RequestError` if a field is invalid. For
        example, a description must not hold a link."""
        try:
            request = FootageRequest(
                v=1,
                id=id,
                requester=requester,
                seq=1,
                trust_root=trust_root,
                kind=kind,
                case=clean_text(self.case),
                incident=self.incident,
                description=clean_text(self.description),
                area=self.area,
                from_s=self.from_s,
                to_s=self.to_s,
                not_after_s=self.not_after_s,
                reply=reply,
                contact=self.contact,
                retention_days=self.retention_days,
                onward=self.onward,
                language=self.language,
            )
            strictjson.encode(request)  # also decodes it again, as a device will
        except FormatError as error:
            raise RequestError(error.message, remedy=error.remedy) from error
        return request


def require_within_limits(
    request: FootageRequest, now_s: int, asked: Iterable[FootageRequest], bounds: limits.RequestLimits = limits.HARD
) -> None:
    """Raises `RequestError` if each device would refuse `request`, whatever its owner thinks.

    `bounds`: the hard limits, tightened by the root's limits for this requester if they are known. `asked`: all earlier
    requests.
    """
    # Requests about separate areas concern other doors, so they do not count. The limit on one time is left to the
    # doors, because overlapping areas share only some of them.
    same = [each for each in asked if each.case == request.case and each.area.bounds.touches(request.area.bounds)]
    over = limits.check(request, bounds, now_s, limits.EarlierRequests(for_case=len(same)))
    if over is not None:
        raise RequestError(f"Each door would refuse this request: {over.value}.", remedy=_REMEDIES.get(over, ""))


_REMEDIES: Final = {
    limits.OverLimit.WINDOW_TOO_SHORT: "Ask for at least 15 minutes.",
    limits.OverLimit.WINDOW_TOO_LONG: "Ask for at most 12 hours.",
    limits.OverLimit.WINDOW_IN_FUTURE: "Ask about what has happened, not about what will.",
    limits.OverLimit.LOOK_BACK_TOO_FAR: "Ask about the last 45 days.",
    limits.OverLimit.AREA_TOO_SMALL: (
        "Draw it larger: a circle of 144 m radius, or a square of 260 m. Parts narrower than 120 m do not count."
    ),
    limits.OverLimit.KEPT_TOO_LONG: "Promise to keep it for less time: --retention-days.",
    limits.OverLimit.AREA_TOO_LARGE: "Draw the area smaller: at most 1 294 994 m², a circle of 642 m radius.",
    limits.OverLimit.EXPIRED: "Let it live longer: --days.",
    limits.OverLimit.LIVES_TOO_LONG: "Let it expire within 30 days.",
    limits.OverLimit.CASE: "Two requests are the most for one case in one area.",
}


def excluded_share(area: Area) -> float:
    """Returns the share of the area that counts for no door: usually 0, and 1 if the area is narrower than a disc
    everywhere."""
    return max(0.0, 1 - area.opened_m2 / area.size_m2) if area.size_m2 else 1.0


def parse_circle(text: str) -> Circle:
    """Parses `lat,lon,radius`: degrees and whole metres."""
    found = _CIRCLE.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"'{text}' is no circle.", remedy="Write latitude, longitude and radius in metres: 52.3702,4.8952,300."
        )
    try:
        return Circle(lat=_rounded(found[1]), lon=_rounded(found[2]), radius_m=int(found[3]))
    except FormatError as error:
        raise ConfigurationError(f"'{text}': {error.message}", remedy=error.remedy) from error


def parse_onward(kinds: str, basis: str | None = None) -> Onward:
    """Parses `court,defence` or `none`, and the name of the law or policy."""
    written = {name.strip() for name in kinds.split(",")}
    known = {kind.value: kind for kind in OnwardKind}
    names = sorted(written - {NO_ONE})
    if not set(names) <= set(known) or (names and NO_ONE in written):
        raise ConfigurationError(
            f"'{kinds}' does not say to whom you pass footage on.",
            remedy=f"Write some of {', '.join(known)}, separated by commas, or {NO_ONE}.",
        )
    try:
        return Onward(to=tuple(known[name] for name in names), basis=clean_text(basis) if basis else None)
    except FormatError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from error


def parse_around(text: str) -> tuple[str, ...]:
    """Parses `lat,lon,km` and returns the cells that touch the square around that circle."""
    found = _CIRCLE.fullmatch(text)
    lat, lon, km = (_rounded(found[1]), _rounded(found[2]), int(found[3])) if found else (0.0, 0.0, 0)
    if not 1 <= km <= _FURTHEST_KM or abs(lat) > _FURTHEST_LATITUDE or abs(lon) > 180:
        raise ConfigurationError(
            f"'{text}' is not a place and distance.",
            remedy=f"Write latitude, longitude and 1 to {_FURTHEST_KM} kilometres: 52.3702,4.8952,20.",
        )
    high = km / _KM_PER_DEGREE
    # Measured at the edge towards the pole, where a degree of longitude is shortest.
    wide = high / math.cos(math.radians(abs(lat) + high))
    steps = [-1.0, *(step / _STEPS for step in range(1 - _STEPS, _STEPS)), 1.0]
    places = ((lat + high * north, (lon + wide * east + 180) % 360 - 180) for north in steps for east in steps)
    return tuple(dict.fromkeys(cell_of(*place) for place in places))


def read_polygon(path: Path) -> Polygon:
    """Returns the polygon in a file: a GeoJSON polygon without holes, or one `lat,lon` a line (`#` begins a
    comment)."""
    try:
        text = files.read(path, _LIMIT_BYTES).decode("utf-8-sig")
    except StorageError as error:
        raise ConfigurationError(error.message, remedy="Give the path of a file with a polygon.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text.", remedy="Save it as UTF-8.") from error
    try:
        vertices = _geojson(path, text) if text.lstrip().startswith("{") else _lines(path, text)
        # RFC 7946 §3.1.6 repeats the first position at the end. Our outline has each corner once.
        if len(vertices) > 1 and vertices[0] == vertices[-1]:
            vertices.pop()
        return _polygon(vertices)
    except FormatError as error:
        raise ConfigurationError(f"{path}: {error.message}", remedy=error.remedy) from error


def _polygon(vertices: list[tuple[float, float]]) -> Polygon:
    if not 3 <= len(vertices) <= MAX_VERTICES:
        raise FormatError(
            f"{len(vertices)} corners. 3 to {MAX_VERTICES} are allowed.", remedy="Draw it with fewer corners."
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
            raise ConfigurationError(f"{path}, line {number}: this is not a position.", remedy="Write 52.3702, 4.8952.")
        vertices.append((_rounded(found[1]), _rounded(found[2])))
    return vertices


def _geojson(path: Path, text: str) -> list[tuple[float, float]]:
    """Parses RFC 7946: longitude comes first, and the ring is closed by repeating its first position."""
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
