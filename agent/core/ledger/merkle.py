"""The Merkle tree of RFC 6962: one hash for a whole log, and short proofs that it holds an entry and only grew.

- leaf hash = SHA-256(0x00 ‖ leaf), node hash = SHA-256(0x01 ‖ left ‖ right). The prefixes prevent an attacker from
  presenting a node as a leaf.
- A log appends with its `Frontier` alone: the roots of the perfect subtrees, one for each 1 bit of the size. For
  example, twenty hashes carry a million entries.
- Proofs are made from the leaf hashes and checked without them.

Source: RFC 6962 section 2.1 (hashing, proofs), RFC 9162 sections 2.1.3.2 and 2.1.4.2 (the checking algorithms).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.errors import FormatError, OpenError

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "Frontier",
    "GetRangeRoot",
    "check_consistency",
    "check_inclusion",
    "consistency_path",
    "consistency_proof",
    "inclusion_path",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "root_of",
    "split",
]

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
_SIZE_BYTES: Final = 8


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A log of `size` leaves, as the roots of its perfect subtrees from the largest (oldest) to the smallest."""

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.roots) != self.size.bit_count() or any(len(r) != HASH_BYTES for r in self.roots):
            raise FormatError("This is not the frontier of a Merkle tree.")

    def append(self, hashed_leaf: bytes) -> Frontier:
        """Returns the log with one more leaf, given by its `leaf_hash`. Equal subtrees carry, as in adding 1 in
        binary."""
        roots = list(self.roots)
        node, size = hashed_leaf, self.size
        while size & 1:
            node = node_hash(roots.pop(), node)
            size >>= 1
        return Frontier(self.size + 1, (*roots, node))

    @property
    def root(self) -> bytes:
        """Returns the tree's root hash: the subtrees joined from the smallest up."""
        if not self.roots:
            return EMPTY_ROOT
        *larger, root = self.roots
        for left in reversed(larger):
            root = node_hash(left, root)
        return root

    def dump(self) -> bytes:
        """Returns the size as 8 bytes, big-endian, then the roots."""
        return self.size.to_bytes(_SIZE_BYTES, "big") + b"".join(self.roots)

    @staticmethod
    def load(data: bytes) -> Frontier:
        """Reads the bytes that `dump` wrote. Raises `FormatError`."""
        size, rest = data[:_SIZE_BYTES], data[_SIZE_BYTES:]
        if len(size) != _SIZE_BYTES or len(rest) % HASH_BYTES:
            raise FormatError("This is not a stored frontier.")
        roots = tuple(rest[at : at + HASH_BYTES] for at in range(0, len(rest), HASH_BYTES))
        return Frontier(int.from_bytes(size, "big"), roots)


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Returns the root of the tree over `leaf_hashes`."""
    frontier = Frontier()
    for hashed_leaf in leaf_hashes:
        frontier = frontier.append(hashed_leaf)
    return frontier.root


def split(size: int) -> int:
    """Returns the largest power of two below `size` (≥ 2), at which RFC 6962 splits a tree."""
    return 1 << (size - 1).bit_length() - 1


GetRangeRoot = Callable[[int, int], bytes]
"""Returns the root of the tree over the leaves from the first index up to, without, the second."""


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Returns the path of leaf `index`, lowest sibling first (RFC 6962, 2.1.1). Raises `FormatError` beyond the log."""
    return inclusion_path(index, len(leaf_hashes), lambda start, end: root_of(leaf_hashes[start:end]))


def inclusion_path(index: int, size: int, range_root: GetRangeRoot) -> tuple[bytes, ...]:
    """Returns `inclusion_proof` for a log that stores the roots of its subtrees."""
    if not 0 <= index < size:
        raise FormatError(f"The log has {size} entries, so entry {index} does not exist.")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append(range_root(middle, end))
            end = middle
        else:
            path.append(range_root(start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """Returns the proof that the log begins with its first `old_size` leaves (RFC 6962, 2.1.2).

    It is empty if `old_size` is 0 or the whole log. Raises `FormatError` if `old_size` is beyond the log.
    """
    return consistency_path(old_size, len(leaf_hashes), lambda start, end: root_of(leaf_hashes[start:end]))


def consistency_path(old_size: int, size: int, range_root: GetRangeRoot) -> tuple[bytes, ...]:
    """Returns `consistency_proof` for a log that stores the roots of its subtrees."""
    if not 0 <= old_size <= size:
        raise FormatError(f"The log has {size} entries, so it has no earlier size {old_size}.")
    if old_size == 0:
        return ()
    path: list[bytes] = []
    start, end = 0, size
    while end != old_size:
        middle = start + split(end - start)
        if old_size <= middle:
            path.append(range_root(middle, end))
            end = middle
        else:
            path.append(range_root(start, middle))
            start = middle
    if start > 0:
        # Needed unless the old tree ends in one perfect subtree, because the checker knows that root already.
        path.append(range_root(start, end))
    return tuple(reversed(path))


def check_inclusion(hashed_leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `OpenError` unless `proof` leads from the leaf at `index` to the `root` of a tree of `size` leaves."""
    if not 0 <= index < size:
        raise _refuted()
    position, last, node = index, size - 1, hashed_leaf
    for sibling in proof:
        if last == 0:
            raise _refuted()
        # RFC 9162, 2.1.3.2: the sibling is on the left of a right child, and of a last node, which was lifted to this
        # level.
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    # A path that ends too early would prove a subtree, not the log.
    if last != 0 or node != root:
        raise _refuted()


def check_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `OpenError` unless `proof` shows that the tree of `new_size` leaves begins with the one of `old_size`."""
    if not 0 <= old_size <= new_size:
        raise _refuted()
    # Nothing to prove, so a proof here is refused: each statement has one spelling.
    if old_size in (0, new_size):
        if proof or old_root != (new_root if old_size else EMPTY_ROOT):
            raise _refuted()
        return
    # A perfect old tree is its first subtree. The prover leaves it out because the checker has it.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        raise _refuted()
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _refuted()
        # RFC 9162, 2.1.4.2: only here does the old tree get a sibling, which both trees share.
        if position & 1 or position == last:
            old_node = node_hash(sibling, old_node)
            new_node = node_hash(sibling, new_node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new_node = node_hash(new_node, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or old_node != old_root or new_node != new_root:
        raise _refuted()


def _refuted() -> OpenError:
    return OpenError("This proof does not hold for this log.")
