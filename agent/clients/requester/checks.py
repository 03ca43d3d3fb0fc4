"""Results of a verification: the checks in their order, as values for reports and for machines."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from agent.clients.requester.capture_signatures import CameraSignature
from agent.clients.requester.known_doorbells import DoorbellHistory
from agent.clients.time_confirmations import TimeFindings
from agent.core.disclosure import DisclosedItem, VerifiedDisclosure
from agent.core.vault.fields import TimeSpan
from agent.core.vault.records import SegmentRecord
from agent.core.vault.redactions import Redaction
from agent.core.vault.segment import Context
from agent.errors import DoorwardError, InternalError
from agent.media.capture_signature import CaptureReport
from agent.wire.disclosures import DISCLOSURE_ENVELOPE_LIMIT_BYTES, ContactCard, PartKind, Receipt
from agent.wire.messages import FootageRequest

__all__ = [
    "MOST_FIRST_PART_BYTES",
    "MOST_PART_BYTES",
    "MOST_UNOPENED_RANGES",
    "AnswerSummary",
    "Check",
    "CheckKind",
    "CheckOutcome",
    "CheckedValue",
    "Grade",
    "Verification",
    "VerifiedItem",
    "ranges_of",
    "unexpected_errors",
]

MOST_PART_BYTES: Final = 256 << 20
"""Largest part in bytes. One part is held in memory while it is checked. A segment is seconds of video."""
MOST_FIRST_PART_BYTES: Final = DISCLOSURE_ENVELOPE_LIMIT_BYTES + (1 << 20)
"""Largest part 0: the largest envelope of a manifest (PROTOCOL.md, "Disclosure"), and its sealing."""
MOST_UNOPENED_RANGES: Final = 64
"""Most ranges that a receipt has room for (PROTOCOL.md, "receipt")."""


@contextmanager
def unexpected_errors() -> Iterator[None]:
    """Turns an error that no check foresees into an `InternalError`: it quarantines its answer and stops no other.

    An `OSError` passes, because it is a fault of this machine.
    """
    try:
        yield
    except (DoorwardError, OSError):
        raise
    except Exception as error:
        raise InternalError(
            f"The check ended with an unexpected error ({_place_of(error)}).",
            remedy="Keep the sealed files, and report the error.",
        ) from error


def _place_of(error: Exception) -> str:
    """Returns the kind of an error and the function that raised it."""
    places, at = [], error.__traceback__
    while at is not None:
        places.append(f"{at.tb_frame.f_code.co_name}, line {at.tb_lineno}")
        at = at.tb_next
    return f"{type(error).__name__} in {places[-1]}"


def ranges_of(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Returns first and last of each run of numbers."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] + 1 == number:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


class Grade(enum.Enum):
    """The most that was shared of any clip. The value is for a database."""

    ALL = "all"
    """Every segment that matches the request, by the owner's own count."""
    SEGMENTS = "segments"
    """Some segments. Whether there are others is known only for clips that the owner named."""
    POSTER = "poster"
    EXISTENCE = "existence"
    """Only that there is footage, and when."""


@dataclass(frozen=True, slots=True)
class AnswerSummary:
    """Content of a complete answer. `from_ms`, `to_ms`: the span of its footage by the device's clock (UTC), 0 without
    footage."""

    grade: Grade
    from_ms: int
    to_ms: int


class CheckKind(enum.Enum):
    """The checks, in their order. A report uses the value as the title."""

    ARRIVED = "Everything that was announced has arrived"
    SEALED = "The answer was sealed to the key of this request"
    DEVICE = "One device signed the answer as a whole"
    ANSWERS = "It answers exactly the request that was signed"
    OWNERS = "The device names its owners, the same as in earlier answers"
    APPROVAL = "One of these owners approved it, for this request and this key"
    LEDGER = "The device signed a ledger that holds the approval"
    RECORDS = "It holds exactly what the owner approved, as the device recorded it"
    WINDOW = "All of it lies in the requested window"
    PARTS = "Every file is bit for bit the one that the owner approved"
    FOOTAGE = "The opened content is the device's recording, or the owner's redaction of it"


class CheckOutcome(enum.Enum):
    PASSED = "holds"
    FAILED = "does not hold"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class CheckedValue:
    """A hash, key or signature for comparison by hand. `label` names what it belongs to."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result. `said`: one or two plain sentences."""

    kind: CheckKind
    outcome: CheckOutcome
    said: str = ""
    proofs: tuple[CheckedValue, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifiedItem:
    """A part after all its checks. `opened_sha256`: of video or sound without its context box, or of the JPEG."""

    number: int
    item: DisclosedItem
    opened_sha256: str
    opened_bytes: int
    context: Context | None
    """The context record inside the file. None for a segment cut off by a power failure."""
    unopened: str = ""
    """Reason why a player cannot open a file that is as the device sealed it. Empty if it opens."""
    capture: CaptureReport | None = None
    """The result of the doorbell's capture signatures in a film. None for other files, redacted films, and films
    without any."""
    camera: CameraSignature | None = None
    """The signatures of a camera that signed its stream. A film has these or the doorbell's."""

    @property
    def witnessed(self) -> bool:
        """Returns True if the device signed it at the end of writing, False if only after a crash."""
        return isinstance(self.item.record, SegmentRecord)

    @property
    def is_exact(self) -> bool:
        """Returns whether the owner says that a redacted film has the recorded pixels outside of its covers."""
        return self.context is not None and self.context.exact

    @property
    def redactions(self) -> tuple[Redaction, ...]:
        """Returns what the owner covered or muted in this file. Empty for a file as it was captured."""
        return (self.context.redactions or ()) if self.context is not None else ()

    @property
    def span(self) -> TimeSpan:
        """Returns the time of recording by the device's clock: the one date for reports, certificates and indexes.

        The start is from the signed record, which was checked against the window. The length is from the segment
        itself. If a power failure cut the segment off, the length is the longest possible.
        """
        recorded = self.item.record.span
        if self.context is None:
            return recorded
        return replace(recorded, end_us=recorded.start_us + self.context.span.duration_us)


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on one disclosure. All fields except the checks are None or empty unless `ok`."""

    disclosure: str
    checks: tuple[Check, ...]
    request: FootageRequest | None = None
    """The request. Also present if a later check failed."""
    request_sha256: str = ""
    disclosed: VerifiedDisclosure | None = None
    items: tuple[VerifiedItem, ...] = ()
    contact: ContactCard | None = None
    statements: bytes = b""
    """The signed manifest as it was opened."""
    receipt: Receipt | None = None
    """Our signed receipt with its retention statement. None if the folder lacks it."""
    door: DoorbellHistory = field(default_factory=DoorbellHistory)
    """Earlier observations of the doorbell."""
    time: TimeFindings = field(default_factory=TimeFindings)
    """Confirmations of the time of the answer by others."""

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
    def redacted(self) -> tuple[VerifiedItem, ...]:
        """Returns the films and sounds that the owner redacted. All others are bit for bit as captured."""
        return tuple(each for each in self.items if each.redactions)

    @property
    def unopened(self) -> tuple[VerifiedItem, ...]:
        """Returns the files that are as the device sealed them but fail to open as film, sound or still."""
        return tuple(each for each in self.items if each.unopened)

    @property
    def unopened_ranges(self) -> tuple[tuple[int, int], ...]:
        """Returns the same as first and last part of each run."""
        return ranges_of(each.number for each in self.unopened)

    def _opened(self, kind: PartKind) -> tuple[VerifiedItem, ...]:
        return tuple(each for each in self.items if each.item.part.kind is kind and not each.unopened)
