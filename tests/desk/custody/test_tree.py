"""Proofs from stored nodes equal those from all leaves, and read few rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger import merkle
from agent.errors import FormatError
from desk.custody import tree
from tests.desk.custody.logs import grown

SIZE = 75
LOG = grown(SIZE)
HASHES = [row.leaf for row in LOG.rows]


def test_the_frontier_is_the_one_of_the_ledger_and_nodes_are_fewer_than_entries() -> None:
    frontier = merkle.Frontier()
    for hashed in HASHES:
        frontier = frontier.append(hashed)
    assert LOG.frontier == frontier
    assert sum(map(len, LOG.nodes)) < SIZE * merkle.HASH_BYTES


@given(st.integers(1, SIZE), st.data())
def test_a_proof_from_stored_nodes_is_the_proof_from_all_leaves(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    assert tree.inclusion_proof(index, size, LOG.row) == merkle.inclusion_proof(HASHES[:size], index)
    old = data.draw(st.integers(0, size))
    assert tree.consistency_proof(old, size, LOG.row) == merkle.consistency_proof(HASHES[:size], old)


def test_a_proof_reads_few_rows_of_a_long_log() -> None:
    read: list[int] = []
    size = 1 << 20

    def row(number: int) -> tuple[bytes, bytes]:
        read.append(number)
        return bytes(32), bytes(32 * 20)

    tree.inclusion_proof(12_345, size - 1, row)
    tree.consistency_proof(12_345, size - 1, row)
    assert len(read) < 2 * 20**2


def test_a_row_without_its_nodes_names_the_audit() -> None:
    with pytest.raises(FormatError, match="audit"):
        tree.inclusion_proof(0, 4, lambda number: (HASHES[number], b""))
