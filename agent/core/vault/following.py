"""The hash chain of a clip (`hash_chain`): each signed record names, by one hash, all records before it in its clip.

A segment's record carries the hash before it (`prev_in_clip`). Its signature, made at capture, thus fixes which records
come before it in its clip, how many, and in which order. For example, a requester who is shown the third segment needs
only the hashes of the first two lines. An earlier signature cannot fix the records after the last one that is shown.

A record may lack the field. It then proves only the order that the manifest's chain proves.

Source: FORMAT.md, "Manifest".
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.vault.hash_chain import chain_hash
from agent.core.vault.manifest import SignedRecord
from agent.core.vault.records import SegmentRecord

__all__ = ["clip_chain_start", "prev_in_clip_of"]


def prev_in_clip_of(signed: SignedRecord) -> str | None:
    """Returns the hash before this record, as it was signed. Recovered records, and records that lack the field, give
    None."""
    return signed.record.prev_in_clip if isinstance(signed.record, SegmentRecord) else None


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
