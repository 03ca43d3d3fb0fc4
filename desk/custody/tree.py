"""The Merkle tree of a log in a database: each entry is a row, which keeps the nodes that the entry completed.

Entry `i` completes one perfect subtree for each trailing zero bit of `i + 1`, so a log of n entries stores fewer than n
nodes. Proofs then read about log²(n) rows, whatever the size of the log.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.ledger import merkle
from agent.errors import FormatError

__all__ = ["GetRow", "append", "consistency_proof", "inclusion_proof"]

GetRow = Callable[[int], tuple[bytes, bytes]]
"""Returns the leaf hash of the entry with that number, and the nodes that it completed, lowest first."""


def append(frontier: merkle.Frontier, hashed_leaf: bytes) -> tuple[merkle.Frontier, bytes]:
    """Returns the log with one more leaf, and the nodes that the leaf completes, lowest first."""
    nodes = b""
    node, size, roots = hashed_leaf, frontier.size, list(frontier.roots)
    while size & 1:
        node = merkle.node_hash(roots.pop(), node)
        nodes += node
        size >>= 1
    return merkle.Frontier(frontier.size + 1, (*roots, node)), nodes


def inclusion_proof(index: int, size: int, row: GetRow) -> tuple[bytes, ...]:
    """Returns the path of entry `index` in the log of the first `size` entries. Raises `FormatError` beyond it."""
    return merkle.inclusion_path(index, size, lambda start, end: _range_root(start, end, row))


def consistency_proof(old_size: int, size: int, row: GetRow) -> tuple[bytes, ...]:
    """Returns the proof that the log of `size` entries begins with its first `old_size`. Raises `FormatError`."""
    return merkle.consistency_path(old_size, size, lambda start, end: _range_root(start, end, row))


def _range_root(start: int, end: int, row: GetRow) -> bytes:
    """Returns the root over a range that RFC 6962 splits off: `start` is a multiple of the range's largest subtree."""
    count = end - start
    if count & (count - 1):
        middle = start + merkle.split(count)
        return merkle.node_hash(_range_root(start, middle, row), _range_root(middle, end, row))
    leaf, nodes = row(end - 1)
    level = count.bit_length() - 1
    if level == 0:
        return leaf
    node = nodes[(level - 1) * merkle.HASH_BYTES : level * merkle.HASH_BYTES]
    if len(node) != merkle.HASH_BYTES:
        raise FormatError(
            f"Entry {end - 1} lacks its stored nodes.", remedy="Run 'doorward-desk audit': the log was changed."
        )
    return node
