"""The pre-roll ring: whole GOPs, bounded in seconds and in bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.preroll import PrerollBuffer
from agent.core.timebase import NS_PER_MS, NS_PER_S
from agent.errors import InternalError
from tests.cameras import gop


def held_ns(ring: PrerollBuffer) -> int:
    """The time from the oldest frame in the ring to the end of its newest GOP."""
    gops = ring.since(-1)
    return gops[-1].end_ns - gops[0].start_ns


@pytest.mark.parametrize(("max_bytes", "span_ns"), [(0, 0), (-1, NS_PER_S), (1, -1)])
def test_a_ring_without_room_or_of_a_negative_span_is_refused(max_bytes: int, span_ns: int) -> None:
    assert PrerollBuffer(max_bytes=1, span_ns=0).size_bytes == 0
    with pytest.raises(InternalError, match="needs room"):
        PrerollBuffer(max_bytes=max_bytes, span_ns=span_ns)


def test_the_ring_covers_its_span_with_whole_gops() -> None:
    ring = PrerollBuffer(max_bytes=10**9, span_ns=5 * NS_PER_S)
    gops = [gop(1000 * number) for number in range(20)]
    for each in gops:
        ring.push(each)
    assert ring.since(0) == tuple(gops[-5:])


def test_memory_is_the_harder_bound_and_the_span_is_then_shorter() -> None:
    ring = PrerollBuffer(max_bytes=1000, span_ns=10 * NS_PER_S)
    dropped = [each for number in range(10) for each in ring.push(gop(1000 * number))]
    assert len(dropped) == 8
    assert ring.size_bytes == 800
    assert held_ns(ring) == 2 * NS_PER_S


def test_a_gop_larger_than_the_ring_is_kept_until_the_next_one_comes() -> None:
    ring = PrerollBuffer(max_bytes=100, span_ns=NS_PER_S)
    large, small = gop(0, size_bytes=500), gop(1000, size_bytes=5)
    assert ring.push(large) == ()
    assert ring.since(0) == (large,)
    assert ring.push(small) == (large,)


def test_since_gives_the_gop_that_holds_the_instant() -> None:
    ring = PrerollBuffer(max_bytes=10**9, span_ns=60 * NS_PER_S)
    gops = [gop(1000 * number) for number in range(6)]
    for each in gops:
        ring.push(each)
    assert ring.since(2500 * NS_PER_MS) == tuple(gops[2:])
    assert ring.since(3000 * NS_PER_MS) == tuple(gops[3:])
    assert ring.since(6000 * NS_PER_MS) == ()


def test_gops_out_of_order_are_our_own_fault() -> None:
    ring = PrerollBuffer(max_bytes=1000, span_ns=NS_PER_S)
    ring.push(gop(1000))
    with pytest.raises(InternalError):
        ring.push(gop(500))


def test_the_parts_of_a_long_gop_stay_and_go_together() -> None:
    ring = PrerollBuffer(max_bytes=10**9, span_ns=3 * NS_PER_S)
    parts = [replace(gop(1000 * number), begins=number % 4 == 0, ends=number % 4 == 3) for number in range(10)]
    dropped = [each for part in parts[:6] for each in ring.push(part)]
    assert dropped == [], "without the first GOP less than the span would be left"
    dropped = [each for part in parts[6:] for each in ring.push(part)]
    assert dropped == parts[:4]
    assert ring.gop_up_to(parts[6]) == tuple(parts[4:7])
    assert ring.gop_up_to(parts[8]) == (parts[8],)
    assert ring.gop_up_to(parts[2]) == ()


def test_a_cleared_ring_has_forgotten_everything() -> None:
    ring = PrerollBuffer(max_bytes=1000, span_ns=NS_PER_S)
    ring.push(gop(0))
    ring.clear()
    assert (ring.since(0), ring.size_bytes) == ((), 0)


@given(
    lengths=st.lists(st.integers(200, 4000), max_size=60),
    sizes=st.lists(st.integers(1, 400), min_size=60, max_size=60),
    max_bytes=st.integers(1, 5000),
    span_ms=st.integers(0, 12_000),
)
def test_both_bounds_hold_and_nothing_is_dropped_without_need(
    lengths: list[int], sizes: list[int], max_bytes: int, span_ms: int
) -> None:
    ring = PrerollBuffer(max_bytes, span_ms * NS_PER_MS)
    pushed, dropped, at_ms = [], [], 0
    for length_ms, size_bytes in zip(lengths, sizes, strict=False):
        each = gop(at_ms, length_ms, 2, size_bytes)
        at_ms += length_ms
        pushed.append(each)
        dropped += ring.push(each)
        kept = ring.since(-1)
        assert dropped + list(kept) == pushed
        assert ring.size_bytes == sum(other.size_bytes for other in kept)
        assert ring.size_bytes <= max_bytes or len(kept) == 1
        if dropped:
            with_one_more = ring.size_bytes + dropped[-1].size_bytes
            assert held_ns(ring) >= span_ms * NS_PER_MS or with_one_more > max_bytes
