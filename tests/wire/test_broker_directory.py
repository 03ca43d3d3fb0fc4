"""The directory of brokers: which broker serves a cell, and which directory a bundle stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import FormatError, RequestError
from agent.wire import strictjson
from agent.wire.area import Bounds
from agent.wire.broker_directory import BrokerAddress, CellRange, directory_sha256, open_directory
from agent.wire.topics import cell_of
from tests.wire import samples

DATA = strictjson.encode(samples.directory())
SHA256 = directory_sha256(DATA)
FIRST, SECOND, LAND = (each.address for each in samples.directory().brokers)
NORTH, EAST = st.floats(-90, 90), st.floats(-180, 180)


def test_a_dense_cell_has_all_brokers_that_share_it() -> None:
    assert samples.directory().brokers_of("287-379") == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("corners", "shared"),
    [
        (("280-370", "286-389"), True), (("281-371", "281-371"), True), (("286-389", "300-400"), True),
        (("270-360", "280-370"), True), (("270-360", "300-400"), True), (("287-370", "300-389"), False),
        (("270-370", "279-389"), False), (("280-390", "286-400"), False), (("280-360", "286-369"), False),
    ],
)  # fmt: skip
def test_two_ranges_overlap_if_they_have_a_cell_in_common(corners: tuple[str, str], shared: bool) -> None:
    one, other = CellRange("280-370", "286-389"), CellRange(*corners)
    assert (one.overlaps(other), other.overlaps(one)) == (shared, shared)


def test_a_cell_of_nobody_has_no_broker() -> None:
    assert samples.directory().brokers_of("0-0") == ()


def test_corners_of_a_range_belong_to_it_and_the_next_cells_do_not() -> None:
    served = {cell for cell in ("280-370", "286-389", "279-370", "280-369", "286-390", "287-389")
              if samples.directory().brokers_of(cell)}  # fmt: skip
    assert served == {"280-370", "286-389"}


@pytest.mark.parametrize("corners", [("286-370", "280-389"), ("280-389", "286-370")])
def test_a_range_with_a_corner_on_the_wrong_side_is_refused(corners: tuple[str, str]) -> None:
    with pytest.raises(FormatError, match="a corner is on the wrong side"):
        CellRange(*corners)


def test_a_region_needs_the_brokers_of_the_cells_it_touches_only() -> None:
    harbour = Bounds(south=53.5, west=9.5, north=53.99, east=9.99)
    around = Bounds(south=53.4, west=9.5, north=53.99, east=9.99)
    assert samples.directory().brokers_in([harbour]) == (FIRST, SECOND)
    assert samples.directory().brokers_in([around]) == (FIRST, SECOND, LAND)
    assert samples.directory().brokers_in([]) == ()


@given(NORTH, EAST)
def test_a_range_touches_a_region_exactly_if_it_holds_a_cell_of_it(lat: float, lon: float) -> None:
    cell = cell_of(lat, lon)
    each = CellRange(south_west="280-370", north_east="286-389")
    assert each.touches(Bounds(lat, lon, lat, lon)) == each.holds(cell)


def test_the_directory_that_the_bundle_names_is_opened() -> None:
    assert open_directory(DATA, samples.ROOT_KEY.id, SHA256) == samples.directory()


@pytest.mark.parametrize("at", [0, len(DATA) // 2, len(DATA) - 1])
def test_one_changed_byte_makes_it_another_directory(at: int) -> None:
    changed = bytearray(DATA)
    changed[at] ^= 1
    with pytest.raises(RequestError, match="names another broker directory"):
        open_directory(bytes(changed), samples.ROOT_KEY.id, SHA256)


def test_a_directory_of_another_root_is_refused_even_if_a_bundle_names_it() -> None:
    theirs = strictjson.encode(samples.directory(root="0" * 16))
    with pytest.raises(FormatError, match="another root"):
        open_directory(theirs, samples.ROOT_KEY.id, directory_sha256(theirs))


def test_a_bundle_without_a_directory_says_what_to_do() -> None:
    with pytest.raises(RequestError, match="names no broker directory") as told:
        open_directory(DATA, samples.ROOT_KEY.id, None)
    assert "newest bundle" in told.value.remedy


def test_an_address_with_colons_is_written_in_brackets() -> None:
    assert str(BrokerAddress("2001:db8::7", 443)) == "[2001:db8::7]:443"
    assert str(BrokerAddress("harbour.example", 8884)) == "harbour.example:8884"
