"""The values of a transfer: progress, ranges of bytes, the effects of a sender, and progress in a requester's receipt.

`TransferProgress` is free of envelopes and topics. It equals `wire.disclosures.Receipt`, which the requester signs,
without its identities; `progress_from_receipt` and `receipt_for` convert one into the other. `ByteRanges` are the bytes
of a part that are here, or still to be sent, as half-open spans.

Effects are instructions for the sender's service, to be carried out in their order. Every send carries a token for the
bus. The broker's answer returns to the sender under that token.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agent.wire.disclosures import ByteRange, PartMissing, PartRange, Receipt, ReceiptState

__all__ = [
    "DEFAULT_CHUNK_BYTES",
    "LARGEST_CHUNK_BYTES",
    "SMALLEST_CHUNK_BYTES",
    "ByteRanges",
    "ClearInit",
    "Finished",
    "MarkBegun",
    "PartSize",
    "Send",
    "SendAbort",
    "SendChunk",
    "SendFin",
    "SendInit",
    "SenderEffect",
    "TransferOutcome",
    "TransferProgress",
    "progress_from_receipt",
    "receipt_for",
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


class ByteRanges:
    """Ascending, disjoint spans `(start, end)` with a gap between neighbours. Changed in place."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        for start, end in spans:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(tuple(self._spans))

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteRanges) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ByteRanges({self._spans})"

    @property
    def total(self) -> int:
        """Returns how many bytes these are."""
        return sum(end - start for start, end in self._spans)

    def add(self, start: int, end: int) -> None:
        """Adds `[start, end)`."""
        if start >= end:
            return
        apart = [span for span in self._spans if span[1] < start or span[0] > end]
        joined = [span for span in self._spans if not (span[1] < start or span[0] > end)]
        merged = (min([start, *(s for s, _ in joined)]), max([end, *(e for _, e in joined)]))
        self._spans = sorted([*apart, merged])

    def remove(self, start: int, end: int) -> None:
        """Removes `[start, end)`."""
        if start >= end:
            return
        kept: list[tuple[int, int]] = []
        for left, right in self._spans:
            kept += [(a, b) for a, b in ((left, min(right, start)), (max(left, end), right)) if a < b]
        self._spans = kept

    def missing(self, end: int) -> ByteRanges:
        """Returns the part of `[0, end)` outside of these."""
        rest = ByteRanges([(0, end)])
        for span in self._spans:
            rest.remove(*span)
        return rest

    def covers(self, start: int, end: int) -> bool:
        """Returns whether all of `[start, end)` is in these."""
        return any(left <= start and end <= right for left, right in self._spans)

    def first(self, most: int) -> tuple[int, int]:
        """Returns the lowest span, cut at the next multiple of `most`, so that retries repeat the same chunks."""
        start, end = self._spans[0]
        return start, min(end, (start // most + 1) * most)


class TransferOutcome(enum.Enum):
    DELIVERED = "delivered"
    REFUSED = "refused"
    """Refused by the requester."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class MarkBegun:
    """Record durably, before the first byte leaves, that it is about to leave: from then on it cannot be taken back."""


@dataclass(frozen=True, slots=True)
class SendInit:
    """Publish, retained, the size and hash of part 0 and the number of parts. It also asks which bytes have arrived."""

    token: int
    parts: int
    manifest: PartSize
    question: int


@dataclass(frozen=True, slots=True)
class SendChunk:
    """Publish these bytes of a part."""

    token: int
    part: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SendFin:
    """Publish that all of a part was sent."""

    token: int
    part: int
    size: PartSize


@dataclass(frozen=True, slots=True)
class SendAbort:
    """Publish that the sender has stopped."""

    token: int


@dataclass(frozen=True, slots=True)
class ClearInit:
    """Clear the retained init.  Comes before `Finished`."""

    token: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The transfer is over. `begun`: whether any byte left."""

    outcome: TransferOutcome
    begun: bool


Send: TypeAlias = SendInit | SendChunk | SendFin | SendAbort | ClearInit
SenderEffect: TypeAlias = MarkBegun | Finished | Send


def progress_from_receipt(receipt: Receipt) -> TransferProgress:
    """Returns the progress that a receipt reports."""
    return TransferProgress(
        receipt.state,
        receipt.manifest,
        tuple((span.first, span.last) for span in receipt.stored),
        tuple((part.part, tuple((span.start, span.end) for span in part.missing)) for part in receipt.incomplete),
        receipt.question,
    )


def receipt_for(
    held: TransferProgress,
    *,
    disclosure: str,
    request: str | None,
    requester: str,
    trust_root: str,
    seq: int,
    time_s: int | None = None,
    retention_days: int | None = None,
    unopened: Sequence[tuple[int, int]] = (),
) -> Receipt:
    """Returns the receipt that reports this progress. `seq` grows with every message signed with this requester's key.

    `unopened`: first and last of the parts that fail to open.
    """
    return Receipt(
        v=1,
        disclosure=disclosure,
        request=request,
        requester=requester,
        trust_root=trust_root,
        seq=seq,
        state=held.state,
        manifest=held.manifest_sha256,
        stored=tuple(PartRange(first=first, last=last) for first, last in held.stored),
        incomplete=tuple(
            PartMissing(part=part, missing=tuple(ByteRange(start=start, end=end) for start, end in spans))
            for part, spans in held.incomplete
        ),
        question=held.question,
        unopened=tuple(PartRange(first=first, last=last) for first, last in unopened),
        retention_days=retention_days,
        time_s=time_s,
    )
