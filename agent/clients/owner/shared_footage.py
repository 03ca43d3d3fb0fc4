"""The segments, stills and sounds that left for a disclosure or a tip, verified on this machine.

The device stores and shows the owners' signed approvals. This machine verifies them:

- The ledger names the valid approval by its hash, and the request it answers. `read_ledger` has verified the ledger.
- An owner signed that approval. If the ledger names a first approval, a second owner's signature must exist too.
- The device signed a record of each item at capture, with the hash of the payload that the approval names. The record
  gives the item's time, even after the footage was deleted.

Two facts rest on the device's word alone: whether a file is still stored, and that it no longer has an older approval
(it keeps the newest).
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.clients.opening import open_bytes
from agent.clients.owner.keys import AgeIdentity
from agent.clients.owner.review import request_payload
from agent.clients.owner.segment_sources import DeviceVault
from agent.clients.owner.sync import DeviceChannel, SyncedDevice
from agent.core.disclosure.releasing import stored_file
from agent.core.ledger.entries import EntryKind, LedgerEntry
from agent.core.vault.manifest import SignedRecord, open_line
from agent.core.vault.records import RecoveredRecord, SegmentRecord
from agent.errors import DoorwardError, FormatError, OpenError, RequestError
from agent.ipc.control_operations import GetApproval, GetRequest
from agent.wire import strictjson
from agent.wire.control import decode_approval
from agent.wire.disclosures import PartKind
from agent.wire.identities import PublicKey
from agent.wire.messages import FootageRequest
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Approval, CoApproval, SealedItem, Tip, open_statement

__all__ = ["SharedFootage", "SharedItem", "UnlistedReason", "disclosure_of", "shared_of"]

_YES: Final = (EntryKind.APPROVED, EntryKind.TIP)
_REMEDY: Final = "Do not trust its list. Inspect the device."


@dataclass(frozen=True, slots=True)
class SharedItem:
    """One file that an owner approved.  `stored`: the device says that it still has the captured file.

    `redacted`: the owner's redaction of the captured file left, and the captured file did not.
    """

    kind: PartKind
    id: str
    start_ms: int
    end_ms: int
    stored: bool = False
    redacted: bool = False


class UnlistedReason(enum.Enum):
    """The reason why the files cannot be listed."""

    KEPT_NO_MORE = "the doorbell keeps the list no more"
    NOT_SEALED_TO_YOU = "it does not open with your keys: it was sealed to the owners of that time"


@dataclass(frozen=True, slots=True)
class SharedFootage:
    """`by`, `second`: the names of the owners' keys. `items` is None if they cannot be listed.

    `begun_ms`: the time at which the first byte left, by the ledger; None if nothing has left.
    """

    disclosure: str
    by: str
    co_approver: str | None
    items: tuple[SharedItem, ...] | None
    begun_ms: int | None
    unlisted: UnlistedReason | None = None
    """The reason if `items` is None."""
    asked: FootageRequest | None = None
    """The request with the promises that the owner approved, by the hash in the approval. It is known even if its
    requester has lost trust. None for a tip, and if the device keeps it no more."""


@dataclass(frozen=True, slots=True)
class _SignedStatement:
    """A statement of an owner: its payload, and the name of the key."""

    payload: bytes
    key_id: str
    by: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.payload).hexdigest()


def disclosure_of(entries: Sequence[LedgerEntry], name: str) -> str | None:
    """Returns the id of the disclosure that answered a request; None if no approval took effect yet.

    `name`: the device's name for the request, its id, or the hash of its payload if two requesters use the same id.
    """
    received = next((each for each in entries if each.kind is EntryKind.RECEIVED and name in _names(each)), None)
    approved = (each for each in entries if each.kind is EntryKind.APPROVED and received and _same(each, received))
    return next((each.disclosure for each in approved), None)


def _names(received: LedgerEntry) -> tuple[str | None, str | None]:
    return received.request, received.subject


def _same(one: LedgerEntry, other: LedgerEntry) -> bool:
    """Ids are unique only with a requester."""
    return (one.request, one.requester) == (other.request, other.requester)


def shared_of(
    link: DeviceChannel, met: SyncedDevice, entries: Sequence[LedgerEntry], disclosure: str, identity: AgeIdentity
) -> SharedFootage:
    """Returns the items that left, or may leave, under that id. `entries`: the whole ledger from `read_ledger`.

    Raises `OpenError` if the device contradicts the ledger or the owners' signatures.
    """
    yes = next((each for each in entries if each.kind in _YES and each.disclosure == disclosure), None)
    if yes is None:
        raise _lie("The ledger has no approval of this disclosure.")
    begun = next((each for each in entries if each.kind is EntryKind.SENDING and each.disclosure == disclosure), None)
    begun_ms = begun.utc_ms if begun else None
    answer, sealed = link.fetch(GetApproval(disclosure))
    if not answer.kept:
        # The newest approval is always kept, so a device without it withholds it. Older ones it may have dropped.
        if yes is next(each for each in reversed(entries) if each.kind in _YES):
            raise _lie("The device does not show the newest approval, which it must keep.")
        return SharedFootage(disclosure, yes.reason or "", None, None, begun_ms, UnlistedReason.KEPT_NO_MORE)
    opened = _opened(sealed, identity)
    if opened is None:
        return SharedFootage(disclosure, yes.reason or "", None, None, begun_ms, UnlistedReason.NOT_SEALED_TO_YOU)
    data, second, lines = decode_approval(opened)
    signed = _signed(data, Approval if yes.kind is EntryKind.APPROVED else Tip, met)
    # The ledger named the approval by its hash when it took effect. Another one of the same owner is not it.
    if signed.sha256 != yes.subject:
        raise _lie("The device shows another approval than the one that the ledger names.")
    chosen = _chosen(signed, yes, entries, met.key)
    seconded = _second(second, signed, chosen, entries, met)
    items = tuple(_items(chosen, _records(lines, met.key)))
    asked = _asked(link, yes, chosen, identity) if isinstance(chosen, Approval) else None
    return SharedFootage(disclosure, signed.by, seconded, _looked_up(link, met, items), begun_ms, asked=asked)


def _asked(link: DeviceChannel, yes: LedgerEntry, approval: Approval, identity: AgeIdentity) -> FootageRequest | None:
    """Returns the request that the approval names. The device calls it by its id, or by the hash of its payload."""
    for name in filter(None, (yes.request, approval.request)):
        try:
            payload, _ = request_payload(link.fetch(GetRequest(name))[0], name, identity)
        except (RequestError, FormatError):
            continue
        if hashlib.sha256(payload).hexdigest() == approval.request:
            return strictjson.decode(payload, FootageRequest)
    return None


def _opened(sealed: bytes, identity: AgeIdentity) -> bytes | None:
    """Opens a sealed text; None if it is older than this owner's enrolment."""
    try:
        return open_bytes(sealed, [identity])
    except FormatError:
        return None


def _chosen(
    signed: _SignedStatement, yes: LedgerEntry, entries: Sequence[LedgerEntry], device: PublicKey
) -> Approval | Tip:
    if yes.kind is EntryKind.TIP:
        tip = strictjson.decode(signed.payload, Tip, limit_bytes=STATEMENT_LIMIT_BYTES)
        if (tip.device, tip.tip) != (device.text, yes.disclosure):
            raise _lie("The tip that the device shows is another one.")
        return tip
    approval = strictjson.decode(signed.payload, Approval, limit_bytes=STATEMENT_LIMIT_BYTES)
    received = (each for each in entries if each.kind is EntryKind.RECEIVED and _same(each, yes))
    if approval.device != device.text or approval.request not in {each.subject for each in received}:
        raise _lie("The approval that the device shows is for something else.")
    return approval


def _second(
    shown: bytes | None,
    first: _SignedStatement,
    chosen: Approval | Tip,
    entries: Sequence[LedgerEntry],
    met: SyncedDevice,
) -> str | None:
    """Returns the name of the co-approving owner, if one was needed. A tip needs only one owner."""
    waited = any(each.kind is EntryKind.FIRST_APPROVAL and each.subject == first.sha256 for each in entries)
    if isinstance(chosen, Tip) or (shown is None and not waited):
        return None
    if shown is None:
        raise _lie("The device does not show the second owner's approval.")
    signed = _signed(shown, CoApproval, met)
    said = strictjson.decode(signed.payload, CoApproval, limit_bytes=STATEMENT_LIMIT_BYTES)
    expected = (met.key.text, chosen.request, first.sha256)
    # One key that signs twice is one owner.
    if (said.device, said.request, said.approval) != expected or signed.key_id == first.key_id:
        raise _lie("The second owner's approval that the device shows is for something else.")
    return signed.by


def _signed(data: bytes, kind: type[Approval | Tip | CoApproval], met: SyncedDevice) -> _SignedStatement:
    """`data`, once an owner of this device has signed it, also one who has left since."""
    # Former owners, too: what they approved has left, and stays on the list.
    keys = met.known.approvers_ever
    try:
        opened = open_statement(data, kind.PAYLOAD_TYPE, keys)
    except DoorwardError as error:
        raise _lie("No owner signed the approval that the device shows.") from error
    return _SignedStatement(opened.payload, opened.key_id, met.known.name_ever(opened.key_id))


def _looked_up(link: DeviceChannel, met: SyncedDevice, items: tuple[SharedItem, ...]) -> tuple[SharedItem, ...]:
    """With what the device says of which are still stored."""
    if not items:
        return items
    listed = DeviceVault(link, met.key).listed(items[0].start_ms, max(each.end_ms for each in items) + 1)
    stored = {each.id for each in listed}
    return tuple(replace(each, stored=each.id in stored) for each in items)


def _records(lines: Iterable[bytes], device: PublicKey) -> dict[str, SignedRecord]:
    signed = (open_line(line, device) for line in lines)
    return {each.record.id: each for each in signed if isinstance(each.record, SegmentRecord | RecoveredRecord)}


def _items(chosen: Approval | Tip, records: dict[str, SignedRecord]) -> Iterator[SharedItem]:
    """In the order of time."""
    sounds = chosen.sounds if isinstance(chosen, Approval) else ()
    lists = ((PartKind.POSTER, chosen.posters), (PartKind.SEGMENT, chosen.segments), (PartKind.SOUND, sounds))
    found = [_item(kind, item, records.get(item.id)) for kind, items in lists for item in items]
    yield from sorted(found, key=lambda each: each.start_ms)


def _item(kind: PartKind, item: SealedItem, signed: SignedRecord | None) -> SharedItem:
    file = stored_file(kind, signed)
    if signed is None or not isinstance(signed.record, SegmentRecord | RecoveredRecord) or file is None:
        raise _lie(f"The device shows no record of the {kind.value} {item.id} in the approval.")
    if file.sha256_payload != item.payload_sha256:
        raise _lie(f"The record that the device shows of {item.id} does not match the approval.")
    span = signed.record.span
    return SharedItem(kind, item.id, span.start_ms, span.end_ms, redacted=item.redacted is not None)


def _lie(text: str) -> OpenError:
    return OpenError(text, remedy=_REMEDY)
