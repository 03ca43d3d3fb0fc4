"""What sender and receiver tell each other about a disclosure, free of envelopes and topics.

`TransferProgress` says the same as `wire.disclosures.Receipt` without its identities; services turn one into the other.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = [
    "DEFAULT_CHUNK_BYTES",
    "LARGEST_CHUNK_BYTES",
    "SMALLEST_CHUNK_BYTES",
    "PartSize",
    "TransferProgress",
    "TransferState",
]

SMALLEST_CHUNK_BYTES = 16 << 10
DEFAULT_CHUNK_BYTES = 64 << 10
LARGEST_CHUNK_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class PartSize:
    """A part by its length, at least 1, and the SHA-256 of all of it as lowercase hex."""

    size_bytes: int
    sha256: str


class TransferState(enum.Enum):
    PARTIAL = "partial"
    COMPLETE = "complete"
    """Everything is durable, verified and opened."""
    REFUSED = "refused"
    """The requester does not want it."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """What a receiver holds durably, and which bytes of begun parts it still misses.

    Parts that are in neither list have not begun to arrive, or not again since a restart.
    """

    state: TransferState
    manifest_sha256: str | None
    """Of part 0, None until it is held."""
    stored: tuple[tuple[int, int], ...] = ()
    """Ranges of parts, both ends included, ascending."""
    incomplete: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    """(part, its missing spans), at most as many as a receipt has room for: the rest is asked for by the next."""
    question: int | None = None
    """The number of the newest init that was read before."""
