"""What is checked of a disclosure, in order, and what a verification says: values, for reports and for machines."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from agent.clients.requester.known_doorbells import DoorbellHistory
from agent.core.disclosure import DisclosedItem, VerifiedDisclosure
from agent.core.vault.records import SegmentRecord
from agent.core.vault.segment import Context
from agent.core.vault.spans import TimeSpan
from agent.wire.disclosures import ContactCard, PartKind, Receipt
from agent.wire.messages import FootageRequest

__all__ = [
    "MOST_PART_BYTES",
    "MOST_UNOPENED_RANGES",
    "Check",
    "CheckKind",
    "CheckOutcome",
    "CheckedValue",
    "Verification",
    "VerifiedItem",
    "ranges_of",
]

MOST_PART_BYTES: Final = 256 << 20
"""One part is held in memory while it is checked; a segment is seconds of video."""
MOST_UNOPENED_RANGES: Final = 64
"""What a receipt has room for (PROTOCOL.md, "receipt")."""


def ranges_of(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each run of numbers."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] + 1 == number:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


class CheckKind(enum.Enum):
    """What is checked, in order; the value is how a report says it."""

    ARRIVED = "Everything that was announced has arrived"
    SEALED = "The answer was sealed to this request's own key"
    DEVICE = "One device signed the answer as a whole"
    ANSWERS = "It answers exactly the request that was signed"
    OWNERS = "The device names its owners, and they are those it showed before"
    APPROVAL = "One of these owners approved it, for this request and this key"
    LEDGER = "The device signed a ledger that holds the approval"
    RECORDS = "It holds what the owner approved, no more and no less, as the device recorded it"
    WINDOW = "All of it lies in the time that was asked for"
    PARTS = "Every file is bit for bit the one recorded and approved"
    FOOTAGE = "What opens is what the device recorded"


class CheckOutcome(enum.Enum):
    PASSED = "holds"
    FAILED = "does not hold"
    NOT_REACHED = "not looked at"


@dataclass(frozen=True, slots=True)
class CheckedValue:
    """A hash, key or signature that anyone can compare; `label` says of what."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result.  `said`: one or two plain sentences."""

    kind: CheckKind
    outcome: CheckOutcome
    said: str = ""
    proofs: tuple[CheckedValue, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifiedItem:
    """A part after all its checks.  `opened_sha256`: of video or sound without its context box, or of the JPEG."""

    number: int
    item: DisclosedItem
    opened_sha256: str
    opened_bytes: int
    context: Context | None
    """What the file says of itself; None for a segment cut off by a power failure."""
    unopened: str = ""
    """Why no player opens it although it is what the device sealed; empty when it opens."""

    @property
    def witnessed(self) -> bool:
        """Whether the device signed it when its writing ended, rather than finding it again after a crash."""
        return isinstance(self.item.record, SegmentRecord)

    @property
    def span(self) -> TimeSpan:
        """When it was recorded, by the device: the one date that every report, certificate and index states.

        The start is the signed record's, which the window was checked against.  The length is what the segment says of
        itself; of one that a power failure cut off it is the longest possible.
        """
        recorded = self.item.record.span
        if self.context is None:
            return recorded
        return replace(recorded, end_us=recorded.start_us + self.context.span.duration_us)


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on one disclosure.  Everything but the checks is None or empty unless `ok`."""

    disclosure: str
    checks: tuple[Check, ...]
    request: FootageRequest | None = None
    """What was asked; also known when a later check failed."""
    request_sha256: str = ""
    disclosed: VerifiedDisclosure | None = None
    items: tuple[VerifiedItem, ...] = ()
    contact: ContactCard | None = None
    statements: bytes = b""
    """The signed manifest as it was opened."""
    receipt: Receipt | None = None
    """What we signed to have received, and for how long we said to keep it; None where none is kept beside it."""
    door: DoorbellHistory = field(default_factory=DoorbellHistory)
    """What was known here of the doorbell."""

    @property
    def ok(self) -> bool:
        return all(check.outcome is CheckOutcome.PASSED for check in self.checks)

    @property
    def failed(self) -> Check | None:
        return next((check for check in self.checks if check.outcome is CheckOutcome.FAILED), None)

    @property
    def segments(self) -> tuple[VerifiedItem, ...]:
        return self._opened(PartKind.SEGMENT)

    @property
    def posters(self) -> tuple[VerifiedItem, ...]:
        return self._opened(PartKind.POSTER)

    @property
    def sounds(self) -> tuple[VerifiedItem, ...]:
        return self._opened(PartKind.SOUND)

    @property
    def unopened(self) -> tuple[VerifiedItem, ...]:
        """What is as the device sealed it, and no film, sound or still that opens."""
        return tuple(each for each in self.items if each.unopened)

    @property
    def unopened_ranges(self) -> tuple[tuple[int, int], ...]:
        """The same as first and last part of each run."""
        return ranges_of(each.number for each in self.unopened)

    def _opened(self, kind: PartKind) -> tuple[VerifiedItem, ...]:
        return tuple(each for each in self.items if each.item.part.kind is kind and not each.unopened)
