"""What a clip's records say of one another as they are signed: each names, by one hash, all that stand before it.

    hash before the first record of a clip   64 zeros
    hash behind a record                     SHA-256(0x01 ‖ hash before it ‖ SHA-256(0x00 ‖ its line))

A segment's record carries the hash before it (`prev_in_clip`), so its signature, made when it was recorded, fixes
what came before it in its clip: which records, how many, in which order.  Whoever is shown a part of a clip needs of
the rest nothing but the hashes of lines.  What comes *behind* the last record that is shown, no earlier signature
can fix.

Records from before there was this field have none, and prove of one another what the manifest's own chain does.

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
    """The hash before this record, as it was signed; None for what was adopted, and for records without one."""
    return signed.record.prev_in_clip if isinstance(signed.record, SegmentRecord) else None


def chain_hash(prev_in_clip: str, line: bytes) -> str:
    """The hash behind a record whose line is `line`."""
    return chain_hash_of_leaves(prev_in_clip, (leaf_hash(line),))


def chain_hash_of_leaves(prev_in_clip: str, leaves: Iterable[bytes]) -> str:
    """The hash behind records of which only the leaf hashes are known, 32 bytes each."""
    reached = bytes.fromhex(prev_in_clip)
    for leaf in leaves:
        reached = node_hash(reached, leaf)
    return reached.hex()


def clip_chain_start(clip: Sequence[SignedRecord]) -> str | None:
    """The hash before these records, in the manifest's order, if each was signed as what follows the ones before it.

    None when one of them is missing (evicted, deleted), adopted at their beginning, or from before there was the field.
    """
    start = prev_in_clip_of(clip[0]) if clip else None
    reached = start
    for signed in clip:
        if reached is None or (isinstance(signed.record, SegmentRecord) and signed.record.prev_in_clip != reached):
            return None
        reached = chain_hash(reached, signed.line)
    return start
