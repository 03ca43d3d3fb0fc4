"""The filter of the case list survives the way through an address, and nonsense filters nothing."""

from __future__ import annotations

from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from desk.cases.case_filter import CaseFilter, CaseState, Footage, parse_filter

WORDS = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]), max_size=20)
FILTERS = st.builds(
    CaseFilter,
    search=WORDS,
    state=st.none() | st.sampled_from(CaseState),
    footage=st.none() | st.sampled_from(Footage),
    category=WORDS,
    assigned=st.none() | st.integers(0, 10**15),
    after=st.none() | st.integers(0, 10**17),
)


@given(FILTERS)
def test_a_filter_reads_back_from_its_address(filtered: CaseFilter) -> None:
    assert parse_filter(dict(parse_qsl(filtered.query))) == filtered


@given(st.dictionaries(st.sampled_from(["q", "state", "footage", "category", "assigned", "after"]), st.text()))
def test_any_address_gives_a_filter_that_a_database_accepts(values: dict[str, str]) -> None:
    found = parse_filter(values)
    assert "\0" not in found.search + found.category
    assert len(found.search) <= 100
    assert parse_filter(dict(parse_qsl(found.query))) == found


def test_an_unknown_value_leaves_no_case_out() -> None:
    assert not parse_filter({"state": "lost", "footage": "?", "assigned": "me", "after": "yesterday"}).active


def test_the_place_in_the_list_is_no_filter() -> None:
    assert not CaseFilter(after=12).active
    assert CaseFilter(search="bike").going_on(12).active
