"""From a person's words to the values of a request: times, circles, polygons."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import pytest

from agent.cli import times
from agent.clients.requester.request_builder import (
    excluded_share,
    parse_around,
    parse_circle,
    parse_onward,
    read_polygon,
    require_within_limits,
)
from agent.errors import ConfigurationError, RequestError
from agent.wire.area import Circle, Point, Polygon
from agent.wire.fields import OnwardKind
from agent.wire.messages import Onward
from agent.wire.topics import cell_of
from tests.wire import samples

SQUARE = ((52.37, 4.89), (52.37, 4.9), (52.376, 4.9), (52.376, 4.89))
POLYGON = Polygon(vertices=tuple(Point(lat=lat, lon=lon) for lat, lon in SQUARE))


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-03-09T14:30", "2026-03-09T14:30:00+00:00"),
        ("2026-07-09 14:30:05", "2026-07-09T14:30:05+00:00"),
        ("2026-03-09T14:30Z", "2026-03-09T14:30:00+00:00"),
        ("2026-03-09T14:30-05:00", "2026-03-09T19:30:00+00:00"),
        (" 2026-03-09T14:30 ", "2026-03-09T14:30:00+00:00"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Amsterdam"])
def test_a_time_is_utc_unless_it_says_otherwise_wherever_the_machine_is(
    text: str, iso: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        expected = datetime.datetime.fromisoformat(iso).timestamp()
        assert times.parse_seconds(text, "--from") == expected
        assert times.parse_time(text, "--from") == expected * 1000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "yesterday", "14:30", "2026-13-01T00:00", "2026-03-09T14:30:00.5"])
def test_what_is_no_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--from: .* Write it like 2027-01-15T18:00"):
        times.parse_seconds(text, "--from")


def test_a_circle_is_a_place_and_a_radius() -> None:
    assert parse_circle("52.3702, 4.8952, 300") == Circle(lat=52.3702, lon=4.8952, radius_m=300)
    assert parse_circle("-33.86,151.2,200m") == Circle(lat=-33.86, lon=151.2, radius_m=200)
    assert parse_circle("52.123456789,4.1,200").lat == 52.1234568


@pytest.mark.parametrize("text", ["", "52,4", "52;4;300", "52,4,300km", "91,4,300", "52,181,300", "52,4,9999", "a,b,c"])
def test_what_is_no_circle_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_circle(text)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def ring(closed: bool = True) -> list[list[float]]:
    positions = [[lon, lat] for lat, lon in SQUARE]
    return positions + positions[:1] if closed else positions


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "Polygon", "coordinates": [ring()]},
        {"type": "Polygon", "coordinates": [ring(closed=False)]},
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring()]}},
        {
            "type": "FeatureCollection",
            "features": [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring()]}}],
        },
    ],
)
def test_a_polygon_comes_from_geojson_longitude_first(shape: object, tmp_path: Path) -> None:
    assert read_polygon(written(tmp_path / "area.geojson", json.dumps(shape))) == POLYGON


def test_a_polygon_comes_from_lines_latitude_first(tmp_path: Path) -> None:
    lines = "# the block\n" + "".join(f"{lat}, {lon}   # corner\n" for lat, lon in SQUARE)
    assert read_polygon(written(tmp_path / "area.txt", lines)) == POLYGON


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("52.37, 4.89\nsomewhere\n", "line 2"),
        ("52.37, 4.89\n\n95.0, 4.9\n", "line 3"),
        ("52.37, 4.89\n52.37, 4.90\n", "2 corners"),
        ('{"type": "Polygon",\n"coordinates": [[[4.89,', "line 2"),
        ('{"type": "Point", "coordinates": [4, 52]}', "not one GeoJSON polygon"),
        ('{"type": "Polygon", "coordinates": [[["a", 1]]]}', "longitude, latitude"),
        (json.dumps({"type": "Polygon", "coordinates": [ring(), ring()]}), "without holes"),
        ("52.37,4.89\n52.376,4.9\n52.37,4.9\n52.376,4.89\n", "touches itself"),
    ],
)
def test_what_is_no_polygon_is_named_with_file_and_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        read_polygon(written(tmp_path / "area.txt", text))
    assert "area.txt" in raised.value.message


def test_a_polygon_file_that_is_not_there_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        read_polygon(tmp_path / "nowhere")


def test_a_place_and_a_distance_are_every_cell_within_it() -> None:
    assert parse_around("53.75,9.75,1") == ("287-379",)
    assert parse_around("53.5,10,1") == ("286-379", "286-380", "287-379", "287-380")
    far = parse_around("53.55,9.99,100")
    assert len(far) == 32
    assert {cell_of(53.55 + north, 9.99 + east) for north in (-0.8, 0, 0.8) for east in (-1.4, 0, 1.4)} <= set(far)
    assert {cell.split("-")[1] for cell in parse_around("0,180,20")} == {"719", "0"}
    for wrong in ("53.55,9.99", "53.55,9.99,0", "53.55,9.99,101", "81,0,5", "0,180.5,5", "80.1,0,5", "53.55,9.99,20,1"):
        with pytest.raises(ConfigurationError, match="not a place and distance"):
            parse_around(wrong)


NEAR, FAR = samples.square(53.5461, 9.9661), samples.square(52.37, 4.89)


def test_a_case_asks_the_same_doors_twice_and_no_more() -> None:
    request = samples.request(case="2027-0114", area=NEAR)
    twice = [samples.request(case="2027-0114", area=NEAR)] * 2
    require_within_limits(request, samples.NOW_S, twice[:1])
    with pytest.raises(RequestError, match="Each door would refuse this request"):
        require_within_limits(request, samples.NOW_S, twice)


@pytest.mark.parametrize("other", [{"case": "2027-0115"}, {"area": FAR}], ids=["another case", "other doors"])
def test_what_was_asked_of_other_doors_or_in_another_case_does_not_count(other: dict[str, object]) -> None:
    request = samples.request(case="2027-0114", area=NEAR)
    before = samples.request(**{"case": "2027-0114", "area": NEAR, **other})
    require_within_limits(request, samples.NOW_S, [before] * 5)


def test_a_request_over_a_limit_says_how_to_mend_it() -> None:
    day = 24 * samples.HOUR_S
    request = samples.request(from_s=samples.NOW_S - 2 * day, to_s=samples.NOW_S - day)
    with pytest.raises(RequestError) as refused:
        require_within_limits(request, samples.NOW_S, [])
    assert refused.value.remedy == "Ask for at most 12 hours."


def test_those_it_is_passed_on_to_are_named_in_any_order_and_once() -> None:
    both = (OnwardKind.COURT, OnwardKind.RECORDS)
    assert parse_onward("records, court,records") == Onward(to=both)
    assert parse_onward("court,records", "  Open  Government Act ") == Onward(to=both, basis="Open Government Act")
    assert parse_onward("none") == Onward(to=())


@pytest.mark.parametrize("kinds", ["", "press", "court,", "none,court", "Court", "court;defence"])
def test_an_unknown_kind_or_silence_is_refused_with_the_list(kinds: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_onward(kinds)
    assert "court, defence" in refused.value.remedy
    assert "none" in refused.value.remedy


def test_a_law_that_is_a_link_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"onward\.basis"):
        parse_onward("court", "see law.example")


def test_an_area_as_narrow_as_a_disc_everywhere_counts_for_no_door() -> None:
    assert excluded_share(samples.square(53.5461, 9.9661)) < 0.5
    assert excluded_share(samples.NEEDLE) > excluded_share(samples.square(53.5461, 9.9661))
    assert 0.0 <= excluded_share(samples.NEEDLE) <= 1.0
    assert excluded_share(samples.CIRCLE) == pytest.approx(0.0, abs=0.05)


def test_a_polygon_that_is_no_text_is_refused_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "area.txt"
    path.write_bytes(b"52.37,4.89\n\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"area\.txt is not UTF-8 text") as refused:
        read_polygon(path)
    assert refused.value.remedy == "Save it as UTF-8."
