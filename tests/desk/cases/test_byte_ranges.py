"""Ranges of a film: a browser gets what it asks for, up to the end of the film."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.cases.byte_ranges import ByteRange, UnsatisfiableRangeError, requested_range


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("", None),
        ("bytes=0-", ByteRange(0, 99)),
        ("bytes=10-19", ByteRange(10, 19)),
        ("bytes=90-1000", ByteRange(90, 99)),
        ("bytes=-10", ByteRange(90, 99)),
        ("bytes=-1000", ByteRange(0, 99)),
        ("bytes=-", None),
        ("bytes=20-10", None),
        ("bytes=0-1,5-9", None),
        ("lines=0-1", None),
        ("bytes=٣-٤", None),
    ],
)
def test_a_range_is_read_as_the_rfc_says(header: str | None, wanted: ByteRange | None) -> None:
    assert requested_range(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_served(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        requested_range(header, 100)


@given(st.from_regex(r"bytes=\d{0,6}-\d{0,6}", fullmatch=True) | st.text(max_size=30), st.integers(0, 10_000))
def test_a_served_range_lies_within_the_film(header: str, size_bytes: int) -> None:
    try:
        found = requested_range(header, size_bytes)
    except UnsatisfiableRangeError:
        return
    if found is not None:
        assert 0 <= found.first <= found.last < size_bytes
        assert len(bytes(size_bytes)[found.first : found.last + 1]) == found.size_bytes
