"""A chain of hashes over lines: one hash fixes all lines before it, how many they are, and their order.

    hash before the first line    64 zeros
    hash behind a line            SHA-256(0x01 ‖ hash before it ‖ SHA-256(0x00 ‖ line))

A reader who has only the leaf hash of a line, SHA-256(0x00 ‖ line), can follow the chain over it. So lines can be left
out of a copy without a gap in the proof. The manifest and each clip have such a chain.

Source: FORMAT.md, "Manifest"; the node and leaf hashes of RFC 6962, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agent.core.ledger.merkle import leaf_hash, node_hash

__all__ = ["FIRST", "chain_hash", "chain_hash_of_leaves"]

FIRST: Final = "0" * 64


def chain_hash(before: str, line: bytes) -> str:
    """Returns the hash behind `line`, which stands behind the hash `before`."""
    return chain_hash_of_leaves(before, (leaf_hash(line),))


def chain_hash_of_leaves(before: str, leaves: Iterable[bytes]) -> str:
    """Returns the hash behind lines of which only the leaf hashes are known, 32 bytes each."""
    reached = bytes.fromhex(before)
    for leaf in leaves:
        reached = node_hash(reached, leaf)
    return reached.hex()
