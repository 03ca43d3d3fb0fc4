"""Spans against a plain set of integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.transfer import ByteRanges

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 40)), max_size=12)


def build(steps: list[tuple[bool, int, int]]) -> tuple[ByteRanges, set[int]]:
    spans, plain = ByteRanges(), set[int]()
    for adds, start, end in steps:
        if adds:
            spans.add(start, end)
            plain |= set(range(start, end))
        else:
            spans.remove(start, end)
            plain -= set(range(start, end))
    return spans, plain


@given(STEPS)
def test_adding_and_removing_is_what_a_set_of_integers_does(steps: list[tuple[bool, int, int]]) -> None:
    spans, plain = build(steps)
    assert {number for start, end in spans for number in range(start, end)} == plain
    assert spans.total == len(plain)


@given(STEPS)
def test_spans_are_ascending_and_never_touch(steps: list[tuple[bool, int, int]]) -> None:
    flat = [edge for span in build(steps)[0] for edge in span]
    assert flat == sorted(set(flat))


@given(STEPS)
def test_missing_is_the_complement(steps: list[tuple[bool, int, int]]) -> None:
    spans, plain = build(steps)
    assert {n for start, end in spans.missing(40) for n in range(start, end)} == set(range(40)) - plain


def test_the_first_chunk_ends_on_the_grid_so_that_retries_repeat_it() -> None:
    spans = ByteRanges([(10, 300)])
    assert spans.first(64) == (10, 64)
    spans.remove(10, 64)
    assert spans.first(64) == (64, 128)
