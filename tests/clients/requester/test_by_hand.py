"""The sides of an inclusion proof, which `by-hand` writes for a reader with `openssl` alone."""

from __future__ import annotations

from collections.abc import Iterator

from agent.clients.requester.by_hand import sides_of


def sides(index: int, size: int) -> Iterator[bool]:
    """RFC 9162, 2.1.3.1: the path of a leaf, from the leaf to the root. True: the other hash stands on the left."""
    if size == 1:
        return
    left = 1 << (size - 1).bit_length() - 1
    yield from sides(index, left) if index < left else sides(index - left, size - left)
    yield index >= left


def test_each_hash_of_a_proof_stands_on_the_side_that_the_tree_has_it() -> None:
    for size in range(1, 70):
        for index in range(size):
            expected = tuple(sides(index, size))
            assert sides_of(index, size, len(expected)) == expected, (index, size)
