"""The values that sender and receiver exchange about a disclosure, free of envelopes and topics.

`TransferProgress` equals `wire.disclosures.Receipt` without its identities. Services convert one into the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.wire.disclosures import ReceiptState

__all__ = [
    "DEFAULT_CHUNK_BYTES",
    "LARGEST_CHUNK_BYTES",
    "SMALLEST_CHUNK_BYTES",
    "PartSize",
    "TransferProgress",
]

SMALLEST_CHUNK_BYTES = 16 << 10
DEFAULT_CHUNK_BYTES = 64 << 10
LARGEST_CHUNK_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class PartSize:
    """A part by its length, at least 1, and its SHA-256 as lowercase hex."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """The parts that a receiver holds durably, and the bytes of begun parts that it still misses.

    A part outside both lists is still to arrive, at least since a restart.
    """

    state: ReceiptState
    manifest_sha256: str | None
    """The SHA-256 of part 0. None until it is held."""
    stored: tuple[tuple[int, int], ...] = ()
    """Ranges of parts, both ends included, ascending."""
    incomplete: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    """(part, its missing spans), as many as a receipt has room for. The next receipt asks for the rest."""
    question: int | None = None
    """The number of the newest init that was read before."""
