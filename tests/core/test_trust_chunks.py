"""Chunks of packages join in any order, and no sender fills the memory with them."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.trust_chunks import MOST_CHUNKS, TrustChunks
from agent.errors import FormatError
from agent.wire.topics import TrustTopic
from agent.wire.trust_package import MAX_CHUNK_BYTES, split_package

ROOT = "ab" * 8
OLD, NEW = (b'{"bundle":' + fill * (2 * MAX_CHUNK_BYTES + 5) for fill in (b"o", b"n"))


def put(chunks: TrustChunks, slot: int, data: bytes, root: str = ROOT, chosen: tuple[str, ...] = (ROOT,)) -> None:
    chunks.put(TrustTopic(root, slot), data, chosen)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_package_is_whole_once_its_last_chunk_is_there_in_whatever_order(order: tuple[int, ...]) -> None:
    chunks, pieces = TrustChunks(), split_package(NEW)
    for number, slot in enumerate(order):
        assert chunks.whole(ROOT) is None
        put(chunks, slot, pieces[slot])
        assert (chunks.whole(ROOT) is not None) == (number == 2)
    assert chunks.whole(ROOT) == NEW


@given(st.permutations([(slot, data) for data in (OLD, NEW) for slot in range(3)]))
def test_parts_of_two_packages_never_make_a_third(arrivals: list[tuple[int, bytes]]) -> None:
    chunks = TrustChunks()
    for slot, data in arrivals:
        put(chunks, slot, split_package(data)[slot])
        assert chunks.whole(ROOT) in (None, OLD, NEW)


def test_a_shorter_package_leaves_the_slots_behind_it_unread() -> None:
    chunks = TrustChunks()
    for slot, piece in enumerate(split_package(OLD)):
        put(chunks, slot, piece)
    put(chunks, 0, split_package(b"short")[0])
    assert chunks.whole(ROOT) == b"short"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"noise",
        b"\n",
        b"ab 1\nx",
        b"ab" * 32 + b" 0\nx",
        b"ab" * 32 + b" 13\nx",
        b"ab" * 32 + b" 01\nx",
        b"ab" * 32 + b" 1\n",
        b"AB" * 32 + b" 1\nx",
        b"ab" * 32 + b" 1\n" + b"x" * (MAX_CHUNK_BYTES + 1),
        b"\xff" * 64 + b" 1\nx",
    ],
)
def test_endless_or_strange_data_is_no_chunk(data: bytes) -> None:
    chunks = TrustChunks()
    with pytest.raises(FormatError):
        put(chunks, 0, data)
    assert chunks.whole(ROOT) is None


def test_a_slot_behind_the_last_is_no_chunk() -> None:
    with pytest.raises(FormatError):
        put(TrustChunks(), 1, b"ab" * 32 + b" 1\nx")


def test_a_package_that_is_not_what_its_chunks_say_is_never_whole() -> None:
    chunks = TrustChunks()
    put(chunks, 0, hashlib.sha256(b"other").hexdigest().encode() + b" 1\njunk")
    assert chunks.whole(ROOT) is None


def test_chunks_of_a_thousand_other_roots_push_out_none_of_the_chosen() -> None:
    chunks = TrustChunks()
    for slot, piece in enumerate(split_package(NEW)):
        put(chunks, slot, piece)
    for number in range(1000):
        put(chunks, 0, b"ab" * 32 + b" 1\nx", root=f"{number:016x}")
    assert chunks.whole(ROOT) == NEW
    assert len(chunks._held) == MOST_CHUNKS


def test_even_chosen_roots_fill_no_more_than_that() -> None:
    chunks = TrustChunks()
    roots = tuple(f"{number:016x}" for number in range(MOST_CHUNKS + 3))
    for root in roots:
        put(chunks, 0, b"ab" * 32 + b" 1\nx", root=root, chosen=roots)
    assert len(chunks._held) == MOST_CHUNKS


def test_a_chunk_that_came_again_stays_longest() -> None:
    chunks = TrustChunks()
    roots = [f"{number:016x}" for number in range(MOST_CHUNKS + 1)]
    for root in (*roots[:-1], roots[0], roots[-1]):
        put(chunks, 0, b"ab" * 32 + b" 1\nx", root=root)
    assert [root for root, _slot in chunks._held] == [*roots[2:-1], roots[0], roots[-1]]
