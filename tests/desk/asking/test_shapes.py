"""Areas from fields and from uploaded files: sound ones are read, hostile ones are refused with words."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RequestError
from agent.wire.area import Circle, Polygon
from desk.asking.shapes import (
    MAP_FILE_LIMIT_BYTES,
    area_from_json,
    area_to_json,
    circle_from_text,
    corners_of,
    polygon_from_file,
    polygon_from_text,
    position_from_text,
)

SQUARE = [[5.10, 52.09], [5.11, 52.09], [5.11, 52.10], [5.10, 52.10], [5.10, 52.09]]


def geojson(ring: object = SQUARE, **more: object) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": [ring], **more}


def test_a_circle_and_a_polygon_are_read_latitude_first() -> None:
    assert circle_from_text("52.0907, 5.1214", "200") == Circle(lat=52.0907, lon=5.1214, radius_m=200)
    assert position_from_text("52.0907 5.1214") == position_from_text(" 52.0907;5.1214 ")
    polygon = polygon_from_text("52.09, 5.10\n\n52.09, 5.11\n52.10, 5.11\n")
    assert len(polygon.vertices) == 3
    assert polygon_from_text(corners_of(polygon)) == polygon


def test_an_area_kept_as_json_is_the_same_area() -> None:
    for area in (circle_from_text("52.0907, 5.1214", "200"), polygon_from_file(json.dumps(geojson()).encode())):
        assert area_from_json(json.loads(json.dumps(area_to_json(area)))) == area


@pytest.mark.parametrize(
    "shape",
    [
        geojson(),
        {"type": "Feature", "geometry": geojson(), "properties": {"name": "<script>alert(1)</script>"}},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": geojson(), "properties": None}]},
        geojson([[*each, 12.5] for each in SQUARE]),
    ],
    ids=["polygon", "feature with markup", "collection", "with heights"],
)
def test_a_file_with_one_polygon_is_read_and_only_its_coordinates(shape: dict[str, object]) -> None:
    polygon = polygon_from_file(json.dumps(shape).encode())
    assert [(each.lon, each.lat) for each in polygon.vertices] == [tuple(each) for each in SQUARE[:-1]]


HOSTILE = {
    "too large": b" " * (MAP_FILE_LIMIT_BYTES + 1),
    "brackets": b"[" * 100_000,
    "braces in braces": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "unfinished string": b'{"type": "' + b'\\"[' * 10_000,
    "NaN": json.dumps(geojson([[math.nan, 52.09], *SQUARE[1:]])).encode(),
    "infinity": json.dumps(geojson([[math.inf, 52.09], *SQUARE[1:]])).encode(),
    "beyond all floats": json.dumps(geojson()).replace("5.11", "1e999").encode(),
    "endless integer": json.dumps(geojson()).replace("5.11", "9" * 5000).encode(),
    "true for a number": json.dumps(geojson([[True, 52.09], *SQUARE[1:]])).encode(),
    "text for a number": json.dumps(geojson([["5.1", "52.09"], *SQUARE[1:]])).encode(),
    "off the earth": json.dumps(geojson([[5.1, 91], *SQUARE[1:]])).encode(),
    "HTML": b"<html><script>alert(1)</script></html>",
    "XML bomb": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><kml>&a;</kml>',
    "zip": b"PK\x03\x04" + bytes(100),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "UTF-16": json.dumps(geojson()).encode("utf-16"),
    "empty": b"",
    "null": b"null",
    "a hole": json.dumps({"type": "Polygon", "coordinates": [SQUARE, SQUARE]}).encode(),
    "two polygons": json.dumps({"type": "MultiPolygon", "coordinates": [[SQUARE], [SQUARE]]}).encode(),
    "two features": json.dumps({"type": "FeatureCollection", "features": [geojson(), geojson()]}).encode(),
    "no ring": json.dumps({"type": "Polygon", "coordinates": []}).encode(),
    "bow tie": json.dumps(geojson([[5.1, 52.1], [5.11, 52.11], [5.11, 52.1], [5.1, 52.11]])).encode(),
    "thousand corners": json.dumps(
        geojson([[5.1 + math.cos(n) / 100, 52.1 + math.sin(n) / 100] for n in range(1000)])
    ).encode(),
    "swapped and off the earth": json.dumps(geojson([[52.09, 105.1], *SQUARE[1:]])).encode(),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_map_file_is_refused_with_a_remedy(data: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        polygon_from_file(data)
    assert refused.value.remedy
    assert "<script" not in str(refused.value)


@given(data=st.binary(max_size=400))
def test_no_file_causes_any_other_error(data: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert isinstance(polygon_from_file(data), Polygon)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just("Polygon"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "coordinates", "geometry", "features"]), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(shape=JSON)
def test_no_json_causes_any_other_error(shape: object) -> None:
    with contextlib.suppress(RequestError):
        polygon_from_file(json.dumps(shape).encode())


@given(centre=st.text(max_size=30), radius=st.text(max_size=8))
def test_no_field_causes_any_other_error(centre: str, radius: str) -> None:
    for parse in (lambda: circle_from_text(centre, radius), lambda: circle_from_text("52.1, 5.1", radius)):
        with contextlib.suppress(RequestError):
            parse()


@pytest.mark.parametrize("radius", ["0", "99999", "-1", "1e3", "", "٣"])
def test_a_radius_that_is_no_radius_is_refused(radius: str) -> None:
    with pytest.raises(RequestError):
        circle_from_text("52.1, 5.1", radius)
