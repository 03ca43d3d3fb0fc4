"""The organisation's file of places: read from CSV and GeoJSON, refused with the line at fault, searched by words."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RequestError
from desk.asking.places import MAX_PLACES, PLACES_LIMIT_BYTES, Place, find_places, from_json, parse_places, to_json

MILL, MARKET = Place("Mill Lane", 52.0907, 5.1214), Place("Market square", 52.0931, 5.1172)


def point(name: object, *where: float) -> dict[str, object]:
    return {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Point", "coordinates": list(where)}}


def test_places_are_read_from_csv_in_either_language_and_from_geojson() -> None:
    english = b"name,latitude,longitude\nMill Lane,52.0907,5.1214\nMarket square,52.0931,5.1172\n"
    dutch = "\ufeffNaam;Breedtegraad;Lengtegraad;Wijk\r\nMill Lane;52.0907;5.1214;Oost\r\n".encode()
    shapes = {"type": "FeatureCollection", "features": [point("Mill Lane", 5.1214, 52.0907)]}
    assert parse_places(english) == (MILL, MARKET)
    assert parse_places(dutch) == parse_places(json.dumps(shapes).encode()) == (MILL,)
    assert from_json(json.loads(json.dumps(to_json([MILL])))) == (MILL,)


def test_a_search_finds_all_words_and_puts_names_that_begin_with_them_first() -> None:
    places = [Place("Old mill", 52, 5), MILL, MARKET]
    assert [each.name for each in find_places(places, " MILL ")] == ["Mill Lane", "Old mill"]
    assert find_places(places, "mill lane") == [MILL]
    assert find_places(places, "") == find_places(places, "harbour") == []


BAD = {
    "too large": (b"name,lat,lon\n" + b"x" * PLACES_LIMIT_BYTES, "larger"),
    "no header": (b"Mill Lane,52.0907,5.1214\n", "first line"),
    "no position": (b"name,lat,lon\nMill Lane,here,there\n", "Line 2"),
    "off the earth": (b"name,lat,lon\nMill Lane,91,5\n", "Line 2"),
    "no name": (b"name,lat,lon\n,52,5\n", "Line 2"),
    "markup": (b"name,lat,lon\n<b>Mill</b>,52,5\n", "Line 2"),
    "not text": (b"name,lat,lon\n\xff\xfe,52,5\n", "UTF-8"),
    "empty": (b"", "first line"),
    "only a header": (b"name,lat,lon\n", "no place"),
    "a line instead of a point": (
        json.dumps({"features": [{"geometry": {"type": "LineString"}, "properties": {"name": "x"}}]}).encode(),
        "Entry 1",
    ),
    "nested": (b'{"features":' + b"[" * 50_000, "nested"),
    "not a collection": (b"{}", "FeatureCollection"),
    "name is a list": (json.dumps({"features": [point(["x"], 5, 52)]}).encode(), "Entry 1"),
    "a field without end": (b'name,lat,lon\n"' + b"x" * 200_000, "CSV"),
}


@pytest.mark.parametrize(("data", "words"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_and_names_the_place_of_the_fault(data: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        parse_places(data)
    assert refused.value.remedy


def test_a_file_with_too_many_places_is_refused() -> None:
    with pytest.raises(RequestError, match=str(MAX_PLACES)):
        parse_places(b"name,lat,lon\n" + b"a,1,1\n" * (MAX_PLACES + 1))


@given(data=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"name,lat,lon\n{text}".encode()))
def test_no_file_causes_any_other_error(data: bytes) -> None:
    with contextlib.suppress(RequestError):
        parse_places(data)
