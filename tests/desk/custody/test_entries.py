"""An entry has one spelling, and any detail that the desk records can be written in it."""

from __future__ import annotations

import datetime
import enum
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger import merkle
from agent.errors import FormatError
from desk.custody.entries import decode_entry, encode_entry, entry_hash, plain_detail, plain_text
from tests.desk.custody.logs import entry


class _Word(enum.Enum):
    ONE = "one"


def test_the_leaf_names_the_format_so_that_no_other_log_has_the_same_hash() -> None:
    data = encode_entry(entry(3))
    assert entry_hash(data) == merkle.leaf_hash(b"doorward-desk-custody/1\n" + data)
    assert entry_hash(data) != merkle.leaf_hash(data)


def test_an_entry_is_read_as_it_was_written_and_in_no_other_spelling() -> None:
    data = encode_entry(entry(3))
    assert decode_entry(data) == entry(3)
    for other in (b" " + data, data.replace(b'"v":1', b'"v": 1'), data[:-1], b"[]", b""):
        with pytest.raises(FormatError):
            decode_entry(other)


@pytest.mark.parametrize(
    "changed",
    [
        {"number": -1},
        {"at_ms": -1},
        {"action": ""},
        {"action": "x" * 41},
        {"actor": "x" * 161},
        {"object": "x" * 121},
        {"detail": {"long": "x" * 70_000}},
        {"detail": {"fraction": 0.5}},
        {"organisation": "No Such Id"},
    ],
    ids=str,
)
def test_an_entry_that_is_none_cannot_be_written(changed: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        encode_entry(msgspec.structs.replace(entry(3), **changed))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.binary(max_size=5)
    | st.datetimes(datetime.datetime(1971, 1, 1), timezones=st.just(datetime.UTC)),  # noqa: DTZ001 (hypothesis adds it)
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=10), ANYTHING, max_size=4))
def test_any_detail_becomes_one_that_can_be_written(detail: dict[str, Any]) -> None:
    depth_bounded = plain_detail(detail)
    data = encode_entry(entry(0, detail=depth_bounded))
    assert decode_entry(data).detail == depth_bounded


def test_times_words_and_sets_have_one_form() -> None:
    at = datetime.datetime(2026, 11, 28, 6, 0, tzinfo=datetime.UTC)
    assert plain_detail({"at": at, "word": _Word.ONE, "set": {"b", "a"}, "big": 2**60, "part": math.pi}) == {
        "at": 1_795_845_600_000,
        "word": "one",
        "set": ["a", "b"],
        "big": str(2**60),
        "part": str(math.pi),
    }


def test_what_is_nested_deeper_than_json_may_be_becomes_its_text() -> None:
    deep: Any = "x"
    for _ in range(12):
        deep = [deep]
    data = encode_entry(entry(0, detail=plain_detail({"deep": deep})))
    assert decode_entry(data)


def test_text_is_cut_and_normalised() -> None:
    assert plain_text("e\u0301x", 1) == "é"
    assert plain_text("\ud800", 5) == "?"
