"""The hash chain of a clip: each signed record names, by one hash, all records before it in its clip.

    hash before the first record of a clip   64 zeros
    hash behind a record                     SHA-256(0x01 ‖ hash before it ‖ SHA-256(0x00 ‖ its line))

A segment's record carries the hash before it (`prev_in_clip`). Its signature, made at capture, thus fixes which records
come before it in its clip, how many, and in which order. For example, a requester who is shown the third segment needs
only the hashes of the first two lines. An earlier signature cannot fix the records after the last one that is shown.

A record may lack the field. It then proves only the order that the manifest's chain proves.

Source: FORMAT.md, "Manifest"; the node and leaf hashes of RFC 6962, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from agent.core.ledger.merkle import leaf_hash, node_hash
from agent.core.vault.manifest import SignedRecord
from agent.core.vault.records import SegmentRecord

__all__ = ["FIRST", "chain_hash", "chain_hash_of_leaves", "clip_chain_start", "prev_in_clip_of"]

FIRST: Final = "0" * 64


def prev_in_clip_of(signed: SignedRecord) -> str | None:
    """Returns the hash before this record, as it was signed. Recovered records, and records that lack the field, give
    None."""
    return signed.record.prev_in_clip if isinstance(signed.record, SegmentRecord) else None


def chain_hash(prev_in_clip: str, line: bytes) -> str:
    """Returns the hash behind a record with the line `line`."""
    return chain_hash_of_leaves(prev_in_clip, (leaf_hash(line),))


def chain_hash_of_leaves(prev_in_clip: str, leaves: Iterable[bytes]) -> str:
    """Returns the hash behind records of which only the leaf hashes are known, 32 bytes each."""
    reached = bytes.fromhex(prev_in_clip)
    for leaf in leaves:
        reached = node_hash(reached, leaf)
    return reached.hex()


def clip_chain_start(clip: Sequence[SignedRecord]) -> str | None:
    """Returns the hash before these records, in the manifest's order, if each was signed as the successor of those
    before it.

    Returns None if one is missing (evicted, deleted), was recovered at their beginning, or lacks the field.
    """
    start = prev_in_clip_of(clip[0]) if clip else None
    reached = start
    for signed in clip:
        if reached is None or (isinstance(signed.record, SegmentRecord) and signed.record.prev_in_clip != reached):
            return None
        reached = chain_hash(reached, signed.line)
    return start
