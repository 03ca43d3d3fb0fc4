"""From a person's words to the values of a request: times, circles, polygons."""

from __future__ import annotations

import datetime
import itertools
import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.cli import times
from agent.clients.requester.request_builder import (
    RequestDraft,
    excluded_share,
    parse_around,
    parse_circle,
    parse_onward,
    read_polygon,
    require_within_limits,
)
from agent.errors import ConfigurationError, RequestError
from agent.wire import limits
from agent.wire.area import MAX_VERTICES, Circle, Point, Polygon
from agent.wire.fields import Incident, Kind, OnwardKind
from agent.wire.messages import Contact, FootageRequest, Onward
from agent.wire.topics import cell_of
from tests.clients.requester.conftest import NOW_S, question
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


# -- whole values and whole errors -------------------------------------------------------------------------------------


def sent(draft: RequestDraft) -> FootageRequest:
    return draft.request(
        requester="rijnstad-police",
        kind=Kind.POLICE,
        trust_root="00112233445566aa",
        id="1d" * 16,
        reply=samples.request().reply,
    )


def error_of(parse: Any, *values: object) -> tuple[str, str]:
    """Returns what the error says, and the remedy."""
    with pytest.raises((ConfigurationError, RequestError)) as raised:
        parse(*values)
    return raised.value.message, raised.value.remedy


def test_a_draft_becomes_a_request_with_all_its_values_and_clean_text() -> None:
    draft = question(case="  2027-0114 ", description="A  burglary\tin the street.")
    assert sent(draft) == FootageRequest(
        v=1,
        id="1d" * 16,
        requester="rijnstad-police",
        seq=1,
        trust_root="00112233445566aa",
        kind=Kind.POLICE,
        case="2027-0114",
        incident=Incident.BURGLARY,
        description="A burglary in the street.",
        area=Circle(lat=52.3702, lon=4.8952, radius_m=300),
        from_s=NOW_S - 7200,
        to_s=NOW_S - 3600,
        not_after_s=NOW_S + 7 * 86_400,
        reply=samples.request().reply,
        contact=Contact(name="Det. R. Visser", email="r.visser@rijnstad.example"),
        retention_days=90,
        onward=Onward(to=(OnwardKind.COURT, OnwardKind.RECORDS)),
        language="en",
    )


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"description": "See http://rijnstad.example."}, "description"),
        ({"from_s": NOW_S, "to_s": NOW_S - 1}, "to: the window ends before it begins"),
        ({"case": ""}, "case"),
        ({"retention_days": 0}, "retention_days"),
    ],
)
def test_a_draft_that_no_device_would_read_is_an_error_of_the_request(changes: dict[str, Any], place: str) -> None:
    message, _ = error_of(sent, question(**changes))
    assert place in message


DAY_S = 24 * samples.HOUR_S


@pytest.mark.parametrize(
    ("changes", "over", "remedy"),
    [
        (
            {"from_s": NOW_S - 4000, "to_s": NOW_S - 4000 + 899},
            "window too short",
            "Ask for at least 15 minutes.",
        ),
        ({"from_s": NOW_S - 2 * DAY_S, "to_s": NOW_S - DAY_S}, "window too long", "Ask for at most 12 hours."),
        (
            {"from_s": NOW_S, "to_s": NOW_S + 3600},
            "window in the future",
            "Ask about what has happened, not about what will.",
        ),
        (
            {"from_s": NOW_S - 50 * DAY_S, "to_s": NOW_S - 50 * DAY_S + 3600},
            "look-back too far",
            "Ask about the last 45 days.",
        ),
        (
            {"area": Circle(lat=52.0, lon=4.0, radius_m=100)},
            "area too small",
            "Draw it larger: a circle of 144 m radius, or a square of 260 m. Parts narrower than 120 m do not count.",
        ),
        ({"retention_days": 3654}, "kept too long", "Promise to keep it for less time: --retention-days."),
        (
            {"area": Circle(lat=52.0, lon=4.0, radius_m=900)},
            "area too large",
            "Draw the area smaller: at most 1 294 994 m², a circle of 642 m radius.",
        ),
        ({"not_after_s": NOW_S - 1}, "expired", "Let it live longer: --days."),
        ({"not_after_s": NOW_S + 31 * DAY_S}, "expires too late", "Let it expire within 30 days."),
    ],
)
def test_each_limit_that_a_request_exceeds_is_named_with_what_to_change(
    changes: dict[str, Any], over: str, remedy: str
) -> None:
    request = sent(question(**changes))
    assert error_of(require_within_limits, request, NOW_S, []) == (
        f"Each door would refuse this request: {over}.",
        remedy,
    )


def test_a_third_request_in_a_case_is_refused_with_the_reason_and_bounds_of_a_root_count() -> None:
    request = sent(question())
    require_within_limits(request, NOW_S, [request])
    assert error_of(require_within_limits, request, NOW_S, [request, request]) == (
        "Each door would refuse this request: too many requests for this case.",
        "Two requests are the most for one case in one area.",
    )
    tighter = limits.HARD.tightened(requests_per_case=1)
    assert error_of(require_within_limits, request, NOW_S, [request], tighter)[0].endswith("for this case.")
    require_within_limits(request, NOW_S, iter([]), tighter)


@pytest.mark.parametrize(
    ("size_m2", "opened_m2", "share"), [(200, 50, 0.75), (200, 200, 0.0), (200, 300, 0.0), (200, 0, 1.0), (0, 0, 1.0)]
)
def test_the_excluded_share_is_what_no_disc_reaches(size_m2: float, opened_m2: float, share: float) -> None:
    assert excluded_share(SimpleNamespace(size_m2=size_m2, opened_m2=opened_m2)) == share  # type: ignore[arg-type]


def test_a_circle_with_a_mistake_is_named_with_an_example() -> None:
    remedy = "Write latitude, longitude and radius in metres: 52.3702,4.8952,300."
    for text in ("52.3702;4.8952;300", "52.3702,4.8952", "1234,5,300", "52.,4,300", "52,4,300000"):
        assert error_of(parse_circle, text) == (f"'{text}' is no circle.", remedy)
    assert error_of(parse_circle, "91,4,300")[0].startswith("'91,4,300': ")
    assert parse_circle(" -79.5 , 4, 99 m ") == Circle(lat=-79.5, lon=4.0, radius_m=99)


def test_kinds_to_pass_footage_on_to_are_named_whole_in_an_error() -> None:
    assert error_of(parse_onward, "press") == (
        "'press' does not say to whom you pass footage on.",
        f"Write some of {', '.join(kind.value for kind in OnwardKind)}, separated by commas, or none.",
    )
    assert parse_onward("court", "") == Onward(to=(OnwardKind.COURT,), basis=None)
    assert parse_onward(" none ") == Onward(to=())


def cells_around(lat: float, lon: float, km: int) -> set[str]:
    """The cells of the square, counted along its edges in the units of cells."""
    high = km / 111.195
    wide = high / math.cos(math.radians(abs(lat) + high))

    def numbers(low: float, high: float) -> range:
        return range(math.floor(2 * low), math.floor(2 * high) + 1)

    rows = numbers(lat - high + 90, lat + high + 90)
    columns = numbers(lon - wide + 180, lon + wide + 180)
    return {f"{row}-{column % 720}" for row, column in itertools.product(rows, columns)}


def test_around_a_place_is_each_cell_of_the_square_and_no_other() -> None:
    lats, lons = (-80.0, -41.37, -0.2, 0.13, 52.61, 79.9, 80.0), (-180.0, -77.77, -0.4, 9.99, 123.456, 180.0)
    for lat, lon, km in itertools.product(lats, lons, (1, 7, 60, 100)):
        found = parse_around(f"{lat},{lon},{km}")
        assert len(found) == len(set(found))
        assert set(found) == cells_around(lat, lon, km), (lat, lon, km)


def test_around_a_place_cells_come_from_south_west_to_north_east() -> None:
    assert parse_around("53.5,10,20") == ("286-379", "286-380", "287-379", "287-380")
    assert error_of(parse_around, "81,0,5") == (
        "'81,0,5' is not a place and distance.",
        "Write latitude, longitude and 1 to 100 kilometres: 52.3702,4.8952,20.",
    )


# -- polygons in files -------------------------------------------------------------------------------------------------


def polygon_error(tmp_path: Path, text: str) -> tuple[str, str]:
    path = written(tmp_path / "area.txt", text)
    message, remedy = error_of(read_polygon, path)
    return message.replace(str(path), "AREA"), remedy


def circle_of(corners: int) -> str:
    turns = (2 * math.pi * number / corners for number in range(corners))
    return "".join(f"{52 + 0.003 * math.sin(turn):.6f}, {4 + 0.005 * math.cos(turn):.6f}\n" for turn in turns)


def test_a_polygon_has_three_corners_or_up_to_the_limit(tmp_path: Path) -> None:
    for corners in (3, MAX_VERTICES):
        assert len(read_polygon(written(tmp_path / "area.txt", circle_of(corners))).vertices) == corners
    for corners in (2, MAX_VERTICES + 1):
        assert polygon_error(tmp_path, circle_of(corners)) == (
            f"AREA: {corners} corners. 3 to {MAX_VERTICES} are allowed.",
            "Draw it with fewer corners.",
        )
    assert polygon_error(tmp_path, "# nothing\n")[0].startswith("AREA: 0 corners.")
    assert polygon_error(tmp_path, "52, 4\n")[0].startswith("AREA: 1 corners."), "its corner does not close a ring"
    assert polygon_error(tmp_path, "52, 4\n52, 4\n")[0].startswith("AREA: 1 corners."), "this one does"
    assert polygon_error(tmp_path, "52, 4\n52, 5\n52, 4\n")[0].startswith("AREA: 2 corners.")


def test_lines_of_a_polygon_may_reach_the_poles_and_the_date_line_and_are_named_beyond(tmp_path: Path) -> None:
    wide = "-90, -180\n-90, 180\n90, 180\n"
    assert "position" not in polygon_error(tmp_path, wide)[0], "only its size is wrong"
    for line in ("90.0000001, 4", "-90.0000001, 4", "52, 180.0000001", "52, -180.0000001", "52", "52, 4, 3", "a, b"):
        assert polygon_error(tmp_path, f"52.1, 4.1\n{line} # a corner\n") == (
            "AREA, line 2: this is not a position.",
            "Write 52.3702, 4.8952.",
        ), line
    text = "\ufeff  " + "\n".join(f"{lat},{lon}" for lat, lon in SQUARE)
    assert read_polygon(written(tmp_path / "area.txt", text)) == POLYGON, "an editor may mark the text as Unicode"


def test_positions_in_geojson_may_have_a_height_and_reach_the_poles(tmp_path: Path) -> None:
    high = [[lon, lat, 7.5] for lat, lon in SQUARE]
    shape = {"type": "Polygon", "coordinates": [high]}
    assert read_polygon(written(tmp_path / "area.json", " \n" + json.dumps(shape))) == POLYGON
    edge = [[-180, -90], [180, -90], [180, 90]]
    assert "position" not in polygon_error(tmp_path, json.dumps({"type": "Polygon", "coordinates": [edge]}))[0]
    mistakes: tuple[Any, ...] = ([180.1, 1], [-180.1, 1], [1, 90.1], [1, -90.1], [1], ["4", 52], {"lat": 1}, 7, None)
    for wrong in mistakes:
        text = json.dumps({"type": "Polygon", "coordinates": [[[4, 52], wrong, [5, 52]]]})
        assert polygon_error(tmp_path, text) == (
            "AREA: a position is not [longitude, latitude].",
            "Export it again.",
        ), wrong


RING = {"type": "Polygon", "coordinates": [ring()]}


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": RING}] * 2},
        {"type": "FeatureCollection", "features": []},
        {"type": "FeatureCollection", "features": {"type": "Feature", "geometry": RING}},
        {"type": "FeatureCollection"},
        {"type": "Feature"},
        {"type": "Feature", "geometry": [RING]},
        {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [ring()]}},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": {}},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [{}]},
        {"type": "Polygon", "coordinates": [ring(), ring()]},
        {"coordinates": [ring()]},
        {"type": "LineString", "coordinates": [ring()]},
    ],
)
def test_geojson_that_is_not_one_polygon_is_refused(shape: object, tmp_path: Path) -> None:
    assert polygon_error(tmp_path, json.dumps(shape)) == (
        "AREA: not one GeoJSON polygon without holes.",
        "Export a single polygon.",
    )


def test_text_that_begins_as_json_and_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    assert polygon_error(tmp_path, '{"type":\n\n"Polygon",,}') == (
        "AREA, line 3: this is not JSON.",
        "Export it again.",
    )
    assert polygon_error(tmp_path, '{"a":' + "[" * 100_000)[0] == "AREA, line 1: this is not JSON."


def test_a_polygon_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    lines = "".join(f"{lat}, {lon}\n" for lat, lon in SQUARE)
    path = written(tmp_path / "area.txt", lines + "#" * (256 * 1024 - len(lines)))
    assert read_polygon(path) == POLYGON
    path.write_text(path.read_text() + "#")
    assert error_of(read_polygon, path)[1] == "Give the path of a file with a polygon."
