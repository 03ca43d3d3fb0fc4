"""Places of an organisation: names with positions from its own file, searched at the desk and nowhere else. No I/O.

The file is CSV with the columns name, latitude and longitude, or GeoJSON with points that have a `name`. Names are
cleaned like all words of a request, so that they stay text: markup, links and formulas in them do nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent.errors import RequestError
from agent.wire.fields import clean_text
from desk.asking.shapes import parse_json_file, position_from_text, position_of

__all__ = ["PLACES_LIMIT_BYTES", "Place", "find_places", "parse_places"]

PLACES_LIMIT_BYTES: Final = 2 * 1024 * 1024
MAX_PLACES: Final = 20_000
"""Streets of a city of a million."""
_LONGEST_NAME: Final = 80
_MOST_FOUND: Final = 8
_LATITUDES: Final = ("lat", "latitude", "breedte", "breedtegraad", "y")
_LONGITUDES: Final = ("lon", "lng", "long", "longitude", "lengte", "lengtegraad", "x")
_NAMES: Final = ("name", "naam", "place", "plaats")


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    lat: float
    lon: float


def parse_places(data: bytes) -> tuple[Place, ...]:
    """Returns the places of a file. Raises `RequestError` with the line at fault."""
    if len(data) > PLACES_LIMIT_BYTES:
        raise RequestError(
            f"The file is larger than {PLACES_LIMIT_BYTES // 1024} kB.", remedy="Leave out what you do not search for."
        )
    found = tuple(_from_geojson(data) if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" else _from_csv(data))
    if not found:
        raise RequestError("The file holds no place.", remedy="Give each place a name, a latitude and a longitude.")
    return found


def find_places(places: Sequence[Place], words: str) -> list[Place]:
    """Returns the places with all of `words` in their names: those that begin with the words first, then short ones."""
    wanted = clean_text(words).casefold().split()
    if not wanted:
        return []
    hits = [each for each in places if all(word in each.name.casefold() for word in wanted)]
    return sorted(hits, key=lambda each: (not each.name.casefold().startswith(wanted[0]), len(each.name), each.name))[
        :_MOST_FOUND
    ]


def _from_csv(data: bytes) -> Iterable[Place]:
    try:
        written = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError("The file is not UTF-8 text.", remedy="Save it as CSV in UTF-8.") from error
    first = written.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(written), delimiter=";" if first.count(";") > first.count(",") else ",")
    columns = {name.strip().casefold(): name for name in rows.fieldnames or ()}
    chosen = [
        next((columns[each] for each in names if each in columns), None) for names in (_NAMES, _LATITUDES, _LONGITUDES)
    ]
    if None in chosen:
        raise RequestError(
            "The first line does not name the columns name, latitude and longitude.",
            remedy="Begin the file with: name,latitude,longitude",
        )
    name, lat, lon = (str(each) for each in chosen)
    try:
        for number, row in enumerate(rows, start=2):
            yield _place(number, row.get(name), f"{row.get(lat) or ''} {row.get(lon) or ''}")
    except csv.Error as error:
        raise RequestError("The file is not CSV.", remedy="Save it as CSV in UTF-8.") from error


def _place(number: int, name: str | None, position: str) -> Place:
    if number > MAX_PLACES + 1:
        raise RequestError(f"More than {MAX_PLACES} places.", remedy="Leave out what you do not search for.")
    try:
        at = position_from_text(position)
    except RequestError as error:
        raise RequestError(f"Line {number}: {error.message}", remedy=error.remedy) from error
    return Place(_clean(name or "", number), at.lat, at.lon)


def _clean(name: str, number: int) -> str:
    cleaned = clean_text(name)[:_LONGEST_NAME].strip()
    if not cleaned or any(mark in cleaned for mark in "<>"):
        raise RequestError(f"Line {number}: this is not the name of a place.", remedy="Write a plain name.")
    return cleaned


def _from_geojson(data: bytes) -> Iterable[Place]:
    shape = parse_json_file(data, PLACES_LIMIT_BYTES)
    features = shape.get("features") if isinstance(shape, dict) else None
    if not isinstance(features, list) or len(features) > MAX_PLACES:
        raise RequestError(
            f"The file is not a GeoJSON FeatureCollection of at most {MAX_PLACES} points.",
            remedy="Export points with a name.",
        )
    for number, each in enumerate(features, start=1):
        match each:
            case {"geometry": {"type": "Point", "coordinates": where}, "properties": {"name": str(name)}}:
                at = position_of(where)
                yield Place(_clean(name, number), at.lat, at.lon)
            case _:
                raise RequestError(f"Entry {number} is not a point with a name.", remedy="Export points with a name.")


def to_json(places: Iterable[Place]) -> list[Any]:
    """Returns places as the database keeps them."""
    return [[each.name, each.lat, each.lon] for each in places]


def from_json(value: list[Any]) -> tuple[Place, ...]:
    """Returns the places that `to_json` wrote."""
    return tuple(Place(*each) for each in value)
