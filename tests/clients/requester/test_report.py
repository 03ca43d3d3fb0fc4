"""The numbers of a report are in the units that a person reads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.clients.requester.report import (
    ReportPicture,
    _area_in_words,
    _grouped,
    _length,
    _lines,
    _offsets,
    _size,
    _sketch,
    _TimeFormatter,
)
from agent.wire.area import Circle, Point, Polygon


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 kB"), (499, "0 kB"), (1500, "2 kB"), (999_499, "999 kB"), (1_000_000, "1.0 MB")]
)
def test_a_size_is_in_megabytes_from_the_first_one_on(count: int, said: str) -> None:
    assert _size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "0.0 s"), (59.94, "59.9 s"), (60.0, "1 min 0 s"), (150.4, "2 min 30 s")]
)
def test_a_length_is_in_minutes_from_the_first_one_on(seconds: float, said: str) -> None:
    assert _length(seconds) == said


def test_large_numbers_are_grouped_by_three_digits() -> None:
    assert [_grouped(number) for number in (999, 1000, 1_234_567)] == ["999", "1 000", "1 234 567"]


def test_an_area_is_told_by_its_middle_or_by_its_bounds() -> None:
    circle = Circle(lat=52.3702, lon=4.8952, radius_m=300)
    size = _grouped(round(circle.size_m2))
    assert _area_in_words(circle) == f"300 m around 52.37020, 4.89520 ({size} m²)"
    corners = ((52.0, 4.0), (52.0, 4.01), (52.01, 4.01))
    polygon = Polygon(vertices=tuple(Point(lat=lat, lon=lon) for lat, lon in corners))
    size = _grouped(round(polygon.size_m2))
    assert _area_in_words(polygon) == (
        f"a polygon of 3 corners ({size} m²), between 52.00000, 4.00000 and 52.01000, 4.01000"
    )
    assert _sketch(None) is None


def test_each_clip_with_a_film_begins_where_the_films_before_it_end() -> None:
    def shown(number: int, seconds: float, *, video: bool = True) -> Any:
        return SimpleNamespace(clip=SimpleNamespace(number=number), seconds=seconds, video=video)

    pictures = [shown(1, 61.5), shown(2, 9.0, video=False), shown(3, 60.0), shown(4, 1.0)]
    assert _offsets(pictures) == {1: "0:00.0", 3: "1:01.5", 4: "2:01.5"}


def test_times_are_in_the_zone_of_the_request_as_it_is_on_its_day() -> None:
    summer_s, winter_s = 1_720_000_000, 1_800_000_000
    amsterdam = ZoneInfo("Europe/Amsterdam")
    assert _TimeFormatter(amsterdam, summer_s).zone_name == "UTC+02:00"
    told = _TimeFormatter(amsterdam, winter_s)
    assert told.zone_name == "UTC+01:00"
    at_ms = winter_s * 1000
    assert (told.day(at_ms), told.clock(at_ms), told.minute(at_ms)) == ("Friday 15 January 2027", "09:00:00", "09:00")
    assert (told.both(at_ms), told.utc(at_ms)) == ("2027-01-15 09:00:00 +0100", "2027-01-15 08:00:00 UTC")


def test_a_picture_is_in_the_report_itself_and_none_is_nothing() -> None:
    clip: Any = SimpleNamespace()
    assert ReportPicture(clip, b"jpeg", 1.0, video=True).data_uri == "data:image/jpeg;base64,anBlZw=="
    assert ReportPicture(clip, b"", 1.0, video=True).data_uri == ""


def test_without_a_readable_request_there_is_no_line_of_time() -> None:
    assert _lines(None, [], _TimeFormatter(ZoneInfo("UTC"), 0)) == []
