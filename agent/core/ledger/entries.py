"""The entries of the ledger: one small record per event, made of kinds, ids, hashes and numbers only.

- An entry excludes request text, positions, names of people and keys, because a stranger who holds the disk can read
  it.
- Its kind alone decides which fields an entry has: `FIELDS` is the whole grammar.
- An entry has one spelling, `encode_entry`. Its bytes are the Merkle leaf, so decoding refuses any other spelling.

Source: LEDGER.md, "Entries".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.fields import Count, HexId, RequesterId, Sequence, Sha256, UtcMs, Version1

__all__ = ["ENTRY_LIMIT_BYTES", "FIELDS", "EntryKind", "LedgerEntry", "decode_entry", "encode_entry", "entry"]

ENTRY_LIMIT_BYTES: Final = 2048
_NS_PER_US: Final = 1000
_NS_PER_MS: Final = 1_000_000


class EntryKind(enum.Enum):
    """The kind of an event."""

    RECEIVED = "received"
    BLOCKED = "blocked"
    """By a trusted requester, but over a limit or replayed. Messages without a trusted signature are only counted."""
    NO_MATCH = "no-match"
    MATCHED = "matched"
    FIRST_APPROVAL = "first-approval"
    """One of the two required owners has approved."""
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    OPTED_OUT = "opted-out"
    """A request met a standing opt-out."""
    WITHDRAWN = "withdrawn"
    SEALED = "sealed"
    """The outbox object is fixed: from here on every retry sends the same bytes."""
    SENDING = "sending"
    """Written before the first byte leaves, so that a crash cannot hide an upload."""
    SENT = "sent"
    REVOKED = "revoked"
    STOPPED = "stopped"
    RECEIPT = "receipt"
    DELETED = "deleted"
    """The requester states that it has deleted the received footage."""
    HELD = "held"
    """An owner holds segments, so that the rolling vault keeps them."""
    RELEASED = "released"
    ERASED = "erased"
    """An owner deletes segments. Written before the first of them is touched."""
    TIP = "tip"
    """An owner sends one requester something without a request. `request` and `disclosure` are both its id."""
    OPT_OUT = "opt-out"
    OPT_IN = "opt-in"
    TRUST_CHANGED = "trust-changed"
    RECIPIENTS_CHANGED = "recipients-changed"
    CONFIGURATION_CHANGED = "configuration-changed"
    ALERTS_CHANGED = "alerts-changed"
    """An owner has changed which browsers receive alerts."""
    UPDATE_CHOSEN = "update-chosen"
    """An owner chose the update on offer, or, with the reason `automatic`, the owners' settings did."""
    UPDATE_REVERSED = "update-reversed"
    """An owner chose to go back to the version before."""
    TIME_CONFIRMED = "time-confirmed"
    """A witness or time-stamper has confirmed a beat. Entries after it are younger than the confirmation."""
    PADDING = "padding"
    """A random number of them stands before each approval, and hides from readers of an answer how many other
    entries there are (`custodian.ledger_writer`)."""
    BOOT = "boot"
    STORAGE_FAULT = "storage-fault"


Reason = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9 -]{0,46}[a-z0-9])?\Z")]
"""A word or a few of the device's vocabulary (a limit, a cause, a fault), or the label of the owner's key that decided.
Never text of a requester."""


class LedgerEntry(strictjson.Message, frozen=True, kw_only=True):
    """One event. `boot`, `boot_us` give order and duration, `utc_ms` the date, `clock` the quality of that date."""

    v: Version1
    kind: EntryKind
    boot: HexId
    boot_us: Count
    utc_ms: UtcMs
    clock: ClockQuality
    request: HexId | None = None
    requester: RequesterId | None = None
    disclosure: HexId | None = None
    subject: Sha256 | None = None
    """SHA-256 of the payload that the entry is about: request, statement, receipt, bundle, enrolment or
    configuration. In padding it is random."""
    segments: Count | None = None
    size_bytes: Count | None = None
    version: Sequence | None = None
    """The version of the trust bundle, the epoch of the recipients, or the number of the beat."""
    reason: Reason | None = None

    def __post_init__(self) -> None:
        # Also when an entry is read: a ledger by other software cannot carry a field in which words could leak.
        required, optional = FIELDS[self.kind]
        present = {name for name in _MATTER if getattr(self, name) is not None}
        for name in sorted(required - present):
            raise FormatError(f"{name}: a ledger entry of the kind {self.kind.value} requires it.")
        for name in sorted(present - required - optional):
            raise FormatError(f"{name}: a ledger entry of the kind {self.kind.value} has no such field.")

    @property
    def moment(self) -> ClockReading:
        """Returns the time, to the microsecond on the boot clock and to the millisecond in UTC."""
        return ClockReading(BootNs(self.boot_us * _NS_PER_US), UtcNs(self.utc_ms * _NS_PER_MS), self.clock)


_MATTER: Final = ("request", "requester", "disclosure", "subject", "segments", "size_bytes", "version", "reason")


def _fields(required: str, optional: str = "") -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(required.split()), frozenset(optional.split())


FIELDS: Final[Mapping[EntryKind, tuple[frozenset[str], frozenset[str]]]] = {
    EntryKind.RECEIVED: _fields("request requester subject"),
    EntryKind.BLOCKED: _fields("requester reason", "request subject"),
    EntryKind.NO_MATCH: _fields("request requester"),
    EntryKind.MATCHED: _fields("request requester segments", "reason"),
    EntryKind.FIRST_APPROVAL: _fields("request requester subject segments", "reason"),
    EntryKind.APPROVED: _fields("request requester disclosure subject segments", "reason"),
    EntryKind.DENIED: _fields("request requester", "subject reason"),
    EntryKind.EXPIRED: _fields("request requester"),
    EntryKind.OPTED_OUT: _fields("request requester", "subject reason"),
    EntryKind.WITHDRAWN: _fields("request requester", "subject disclosure"),
    EntryKind.SEALED: _fields("request requester disclosure subject segments size_bytes"),
    EntryKind.SENDING: _fields("request requester disclosure", "subject segments size_bytes"),
    EntryKind.SENT: _fields("request requester disclosure size_bytes", "segments"),
    EntryKind.REVOKED: _fields("request requester disclosure", "subject reason"),
    EntryKind.STOPPED: _fields("request requester disclosure", "subject segments size_bytes reason"),
    EntryKind.RECEIPT: _fields("request requester disclosure subject", "segments size_bytes reason"),
    EntryKind.DELETED: _fields("request requester subject"),
    EntryKind.HELD: _fields("subject segments", "reason"),
    EntryKind.RELEASED: _fields("subject segments", "reason"),
    EntryKind.ERASED: _fields("subject segments", "reason"),
    EntryKind.TIP: _fields("request requester disclosure subject segments", "reason"),
    EntryKind.OPT_OUT: _fields("subject", "reason"),
    EntryKind.OPT_IN: _fields("subject", "reason"),
    EntryKind.TRUST_CHANGED: _fields("subject", "version reason"),
    EntryKind.RECIPIENTS_CHANGED: _fields("subject version"),
    EntryKind.CONFIGURATION_CHANGED: _fields("subject", "reason"),
    EntryKind.ALERTS_CHANGED: _fields("subject", "reason"),
    EntryKind.UPDATE_CHOSEN: _fields("", "subject reason"),
    EntryKind.UPDATE_REVERSED: _fields("", "subject reason"),
    EntryKind.TIME_CONFIRMED: _fields("subject version"),
    EntryKind.PADDING: _fields("subject"),
    EntryKind.BOOT: _fields("", "reason"),
    EntryKind.STORAGE_FAULT: _fields("reason"),
}
"""For each kind: its required fields, and its optional ones."""


def entry(
    kind: EntryKind,
    boot_id: str,
    at: ClockReading,
    *,
    request: str | None = None,
    requester: str | None = None,
    disclosure: str | None = None,
    subject: str | None = None,
    segments: int | None = None,
    size_bytes: int | None = None,
    version: int | None = None,
    reason: str | None = None,
) -> LedgerEntry:
    """Returns the entry for an event at `at` in the boot `boot_id`. Raises `FormatError` for fields that its kind
    lacks."""
    return LedgerEntry(
        v=1,
        kind=kind,
        boot=boot_id,
        boot_us=at.boot_ns // _NS_PER_US,
        # A clock before 1970 is broken. The quality says so, and the order is the boot clock's.
        utc_ms=max(0, at.utc_ns // _NS_PER_MS),
        clock=at.quality,
        request=request,
        requester=requester,
        disclosure=disclosure,
        subject=subject,
        segments=segments,
        size_bytes=size_bytes,
        version=version,
        reason=reason,
    )


def encode_entry(value: LedgerEntry) -> bytes:
    """Returns the leaf: strict JSON, sorted keys, absent fields left out. Raises `FormatError`."""
    return strictjson.encode(value)


def decode_entry(leaf: bytes) -> LedgerEntry:
    """Returns the entry with exactly this `leaf`. Raises `FormatError`."""
    value = strictjson.decode(leaf, LedgerEntry, limit_bytes=ENTRY_LIMIT_BYTES)
    if encode_entry(value) != leaf:
        raise FormatError("This ledger entry is not in canonical form.")
    return value
