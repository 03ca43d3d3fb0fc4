"""The log of beats: what witnesses and time-stampers see instead of the ledger, so that they learn nothing from it.

The ledger grows when something happens, and its size would tell a witness when an owner decided. The device therefore
keeps a second Merkle log. It gets exactly one leaf at each *beat*, whether or not the ledger has grown:

    leaf = "doorward-time/1\\n" ‖ 32 random bytes ‖ text of the ledger's checkpoint

The random bytes hide whether two leaves hold the same head. Only they and the text open a leaf. The size of this log is
the number of beats, and all lengths that leave the device follow from that number.

`core.beats` says when a beat is.

Source: LEDGER.md, "Time by others".
"""

from __future__ import annotations

import hashlib
from typing import Final

from agent.core.ledger.checkpoint import Checkpoint, parse_checkpoint, time_origin_of
from agent.core.ledger.merkle import check_consistency, check_inclusion, leaf_hash
from agent.errors import FormatError, OpenError
from agent.wire.identities import PublicKey
from agent.wire.time_proofs import TimeOpening

__all__ = [
    "BLIND_BYTES",
    "NONCE_BYTES",
    "beat_leaf_hash",
    "stamp_request",
]

BLIND_BYTES: Final = 32
NONCE_BYTES: Final = 8
_PREFIX: Final = b"doorward-time/1\n"
_STAMP_REQUEST: Final = (
    bytes.fromhex("30430201013031300d060960864801650304020105000420"),
    bytes.fromhex("0208"),
    bytes.fromhex("0101ff"),
)
"""TimeStampReq of RFC 3161 in DER: version 1, SHA-256, <digest>, nonce INTEGER of 8 bytes, certReq TRUE."""


def beat_leaf_hash(blind: bytes, ledger: Checkpoint) -> bytes:
    """Returns the RFC 6962 leaf hash of a beat. `blind`: 32 random bytes. `ledger`: its head at the beat."""
    if len(blind) != BLIND_BYTES:
        raise FormatError(f"A beat is hidden with {BLIND_BYTES} bytes.")
    return leaf_hash(_PREFIX + blind + ledger.text.encode("utf-8"))


def require_opens(opening: TimeOpening, head: Checkpoint, ledger: Checkpoint, device: PublicKey) -> Checkpoint:
    """Returns the ledger's head that the beat in `opening` holds, if `head` has that beat and it continues `ledger`.

    `head`: the confirmed head of the device's log of beats. `ledger`: the head that is shown to be as old as the beat.
    A head of equal size and another root is returned, for `check_same_head`. Raises `OpenError` otherwise.
    """
    committed = parse_checkpoint(opening.ledger)
    # A witness signs the logs of many devices. The origin ties its signature to this one's log of beats.
    if opening.device != device.text or head.origin != time_origin_of(device):
        raise OpenError("This confirmation of time is of another device.")
    if committed.origin != ledger.origin or opening.size != ledger.size:
        raise OpenError("This confirmation of time is of another ledger.")
    leaf = beat_leaf_hash(bytes.fromhex(opening.blind), committed)
    check_inclusion(leaf, opening.beat, head.size, head.root, [bytes.fromhex(node) for node in opening.path])
    if committed.size != ledger.size:
        proof = [bytes.fromhex(node) for node in opening.consistency]
        check_consistency(ledger.size, ledger.root, committed.size, committed.root, proof)
    return committed


def stamp_request(note: bytes, nonce: bytes) -> bytes:
    """Returns the RFC 3161 request for a time stamp on a signed `note`: always 69 bytes. `nonce`: 8 random bytes."""
    if len(nonce) != NONCE_BYTES:
        raise FormatError(f"The nonce of a time stamp has {NONCE_BYTES} bytes.")
    # DER integers are signed and minimal. A first byte from 0x40 to 0x7f keeps every nonce at eight bytes.
    first = bytes([nonce[0] & 0x3F | 0x40])
    before, middle, after = _STAMP_REQUEST
    return before + hashlib.sha256(note).digest() + middle + first + nonce[1:] + after
