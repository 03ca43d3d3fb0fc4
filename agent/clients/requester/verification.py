"""Verification of a disclosure from the requester's folder alone: offline, without a clock, by signatures only.

The checks run in the order of `CheckKind` and stop at the first failure. Later checks are then reported as not reached,
and the content of the disclosure stays hidden. The report also lists what is *not* proven. For example, the files
cannot tie a doorbell to a house, and only its earlier answers (`known_doorbells`) tie its owners to it.

Source: PROTOCOL.md, "Disclosure"; `core.disclosure`, the requester's half.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from agent.clients.media.confined import ConfinedMedia
from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.requester.capture_signatures import camera_signature_of, capture_in_words, capture_of
from agent.clients.requester.checks import (
    MOST_FIRST_PART_BYTES,
    MOST_PART_BYTES,
    MOST_UNOPENED_RANGES,
    Check,
    CheckedValue,
    CheckKind,
    CheckOutcome,
    Verification,
    VerifiedItem,
    ranges_of,
    unexpected_errors,
)
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.known_doorbells import DoorbellHistory, KnownDoorbells
from agent.clients.requester.parts import open_part, open_redacted_part, require_redacted, unopened
from agent.clients.requester.time_trust import read_time_trust
from agent.clients.time_confirmations import TimeFindings, find_time
from agent.core.disclosure import DisclosedItem, VerifiedDisclosure, reading
from agent.core.ledger.checkpoint import Checkpoint, open_checkpoint
from agent.core.ledger.merkle import root_of
from agent.errors import DoorwardError, FormatError, NetworkError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.disclosures import (
    ContactCard,
    DisclosureManifest,
    PartKind,
    Receipt,
    ReceiptState,
    SecondSignature,
)
from agent.wire.messages import FootageRequest
from agent.wire.statements import Approval, Enrolment

__all__ = [
    "Check",
    "CheckKind",
    "CheckOutcome",
    "CheckedValue",
    "Verification",
    "VerifiedItem",
    "examine",
]


Sink = Callable[[VerifiedItem, bytes], None]
"""Takes the opened media or JPEG of each part as it is checked. Discard all of it unless the verification is `ok`."""


def _discard(_item: VerifiedItem, _data: bytes) -> None:
    """Discards the media, for a verification that writes no files."""


def examine(requester: Requester, disclosure: str, sink: Sink = _discard) -> Verification:
    """Runs all checks of one disclosure, and passes the opened media to `sink`.

    Raises only if the folder cannot be read (`ConfigurationError`), or if the store of the parts is away
    (`NetworkError`).
    """
    answer = requester.answer(disclosure)
    found = _VerificationState()
    with suppress(_CheckFailedError), ConfinedMedia() as media:
        _examine(requester, answer, found, sink, media)
    return found.verification(disclosure)


class _CheckFailedError(Exception):
    """Ends the checks. The findings hold the reason."""


@dataclass
class _VerificationState:
    """Results of the checks made until now."""

    checks: list[Check] = field(default_factory=list)
    request: FootageRequest | None = None
    request_sha256: str = ""
    disclosed: VerifiedDisclosure | None = None
    items: list[VerifiedItem] = field(default_factory=list)
    contact: ContactCard | None = None
    statements: bytes = b""
    receipt: Receipt | None = None
    door: DoorbellHistory = field(default_factory=DoorbellHistory)
    time: TimeFindings = field(default_factory=TimeFindings)

    @contextmanager
    def check(self, kind: CheckKind) -> Iterator[_CheckLog]:
        """Runs one check. It passes unless the block raises."""
        words = _CheckLog()
        try:
            with unexpected_errors():
                yield words
        except NetworkError:
            raise  # the store of the parts is away, which says nothing about the answer
        except DoorwardError as error:
            self.checks.append(Check(kind, CheckOutcome.FAILED, error.message, tuple(words.proofs)))
            raise _CheckFailedError from error
        self.checks.append(Check(kind, CheckOutcome.PASSED, words.said, tuple(words.proofs)))

    def verification(self, disclosure: str) -> Verification:
        done = {check.kind for check in self.checks}
        rest = [Check(kind, CheckOutcome.NOT_REACHED) for kind in CheckKind if kind not in done]
        checks = (*self.checks, *rest)
        if rest or any(check.outcome is not CheckOutcome.PASSED for check in checks):
            return Verification(disclosure, checks, self.request, self.request_sha256)
        return Verification(
            disclosure,
            checks,
            self.request,
            self.request_sha256,
            self.disclosed,
            tuple(self.items),
            self.contact,
            self.statements,
            self.receipt,
            self.door,
            self.time,
        )


@dataclass
class _CheckLog:
    said: str = ""
    proofs: list[CheckedValue] = field(default_factory=list)

    def prove(self, label: str, value: str) -> None:
        self.proofs.append(CheckedValue(label, value))


def _examine(
    requester: Requester, answer: AnswerFolder, found: _VerificationState, sink: Sink, media: ConfinedMedia
) -> None:
    with found.check(CheckKind.ARRIVED) as words:
        origin, sealed_manifest, asked = _arrived(requester, answer, words)
        found.request, found.request_sha256 = asked.request, asked.payload_sha256
    with found.check(CheckKind.SEALED) as words:
        identity = asked.reply_identity()
        found.statements = _opened_manifest(sealed_manifest, asked, identity, words)
    manifest = _check_statements(requester, found, origin, asked, answer)
    with found.check(CheckKind.PARTS) as words:
        _require_all_parts(answer, manifest, found, words)
    with found.check(CheckKind.FOOTAGE) as words:
        for number, item in enumerate(_items(found), start=1):
            found.items.append(_opened(answer, number, item, manifest, identity, sink, media))
        found.contact = _contact(_disclosed(found), identity)
        found.receipt = _receipt(requester, answer, asked, origin)
        _say_footage(found, words)


def _arrived(
    requester: Requester, answer: AnswerFolder, words: _CheckLog
) -> tuple[DisclosureOrigin, bytes, SentRequest]:
    origin, envelope_bytes = answer.origin(), answer.request()
    if origin is None or 0 not in answer.sealed():
        raise FormatError("This folder has no such disclosure, or no part of it has arrived.")
    if answer.state is ReceiptState.REFUSED and envelope_bytes is None:
        raise FormatError("This disclosure was refused when it arrived.")
    if envelope_bytes is None:
        raise FormatError("The request that this disclosure answers is still unknown.")
    missing = frozenset(range(origin.parts)) - answer.sealed()
    if missing:
        raise FormatError(f"{len(missing)} of {origin.parts} parts have not arrived.", remedy="Continue to receive.")
    data = answer.read_part(0, MOST_FIRST_PART_BYTES)
    if len(data) != origin.size_bytes or hashlib.sha256(data).hexdigest() != origin.sha256:
        raise OpenError("Part 0 differs from the received one.")
    asked = requester.sent_request_in(envelope_bytes)
    words.said = f"All {origin.parts} parts are here."
    words.prove("Part 0 as received (SHA-256)", origin.sha256)
    return origin, data, asked


def _opened_manifest(data: bytes, asked: SentRequest, identity: HybridIdentity, words: _CheckLog) -> bytes:
    # The owner sealed the answer to the key in the request. Another key in the folder says nothing about it.
    if str(identity.recipient()) != asked.request.reply:
        raise OpenError("The identity stored for this request differs from the one it names.")
    opened = open_bytes(data, [identity])
    words.said = "It opens with the key that was made for this request only."
    words.prove("Reply key (SHA-256 of its text)", hashlib.sha256(asked.request.reply.encode()).hexdigest())
    return opened


def _check_statements(
    requester: Requester, found: _VerificationState, origin: DisclosureOrigin, asked: SentRequest, answer: AnswerFolder
) -> DisclosureManifest:
    """Runs checks 3 to 9: the signatures, and the consistency of the statements."""
    doors = KnownDoorbells(requester.notes)
    with found.check(CheckKind.DEVICE) as words:
        manifest = _device_signed(found, origin, answer.disclosure, words)
    with found.check(CheckKind.ANSWERS) as words:
        reading.require_answers(manifest, found.request_sha256)
        words.said = f"The signed list names request {asked.request.id} by the hash of its signed bytes."
        words.prove("Request (SHA-256)", found.request_sha256)
    with found.check(CheckKind.OWNERS) as words:
        enrolment = reading.enrolled(manifest)
        found.door = doors.check(manifest)
        words.said = _who_says(enrolment, found.door)
        for number, each in enumerate(manifest.enrolments, start=1):
            words.prove(f"List of owners no. {number} (SHA-256 of the statement)", _sha256(each))
    with found.check(CheckKind.APPROVAL) as words:
        approval, approver, co_approver = _approved(doors, found, manifest, enrolment, asked, words)
    with found.check(CheckKind.LEDGER) as words:
        ledger = _require_ledgered(manifest, asked, words)
        doors.check_heads(manifest)
        trust = read_time_trust(requester.notes)
        openings = answer.time_openings()
        found.time = find_time(manifest.device_keys, ledger, approval.owner_time_ms, trust, manifest.time, openings)
    with found.check(CheckKind.RECORDS) as words:
        items = tuple(reading.items_of(manifest, approval))
        reading.require_claims_match(manifest, approval, items)
        _explain_records(manifest, words)
    with found.check(CheckKind.WINDOW) as words:
        reading.require_within_window(items, asked.request)
        words.said = "Every segment overlaps the requested window, by the device's clock."
    found.disclosed = VerifiedDisclosure(manifest, approval, approver, enrolment, items, co_approver)
    return manifest


def _device_signed(
    found: _VerificationState, origin: DisclosureOrigin, disclosure: str, words: _CheckLog
) -> DisclosureManifest:
    manifest = reading.read_device_manifest(found.statements)
    # Both came with the topic, which a broker can change: it has no signature.
    if manifest.disclosure != disclosure or manifest.device_key.id != origin.device:
        raise FormatError("The manifest names another disclosure.")
    words.said = (
        f"Device {manifest.device_key.id} signed the list of all files with two keys: Ed25519, and ML-DSA-44, which is "
        "made to withstand quantum computers."
    )
    words.prove("Device's public key", manifest.device)
    words.prove("Device's ML-DSA-44 key (SHA-256)", manifest.mldsa_key.sha256)
    words.prove("Signed list (SHA-256)", hashlib.sha256(found.statements).hexdigest())
    return manifest


def _approved(
    doors: KnownDoorbells,
    found: _VerificationState,
    manifest: DisclosureManifest,
    enrolment: Enrolment,
    asked: SentRequest,
    words: _CheckLog,
) -> tuple[Approval, str, str | None]:
    """Returns the approval, the name of its owner, and the second owner's name if it takes two."""
    approval, approver = reading.read_approval(manifest, enrolment)
    reading.require_approves(approval, asked.request, found.request_sha256)
    doors.check(manifest, approval)
    key = next(each.key for each in enrolment.approvers if each.name == approver)
    words.said = (
        f"“{approver}”, an owner in that list, signed the approval. "
        "It names this request, this reply key and each file."
    )
    if found.door.stolen_since_s is not None:
        words.said += (
            f" An owner declared this doorbell stolen as of {_utc(found.door.stolen_since_s)}; "
            "by the approver's own clock the approval is from before."
        )
    words.prove("Owner's public key", key)
    words.prove("Approval (SHA-256 of the statement)", _sha256(manifest.approval))
    co_approver = reading.read_co_approval(manifest, enrolment, asked.request)
    if co_approver is not None:
        words.said += f" It takes two owners: “{co_approver}” signed that they approve the same."
        words.prove("Second owner's approval (SHA-256 of the statement)", _sha256(manifest.co_approval or ""))
    return approval, approver, co_approver


def _require_ledgered(manifest: DisclosureManifest, asked: SentRequest, words: _CheckLog) -> Checkpoint:
    reading.require_ledgered(manifest, asked.request)
    checkpoint = open_checkpoint(manifest.ledger.checkpoint.encode(), manifest.device_keys)
    words.said = (
        f"Entry no. {manifest.ledger.index} of a ledger is this approval: an inclusion proof leads to its head, "
        "which the device signed. To find out if the owner has this ledger, compare its head with theirs."
    )
    words.prove("Ledger's head (SHA-256 root)", checkpoint.root.hex())
    words.prove("Ledger's size", str(checkpoint.size))
    return checkpoint


def _explain_records(manifest: DisclosureManifest, words: _CheckLog) -> None:
    words.said = f"{_count(len(manifest.records), 'capture record')}, each signed by the device on its own."
    words.said += "".join(f" {each}" for each in _second_signatures(manifest))
    if manifest.clips:
        words.said += (
            " For each clip that the owner named, hidden records appear as hashes in a Merkle tree "
            "(RFC 6962), and shown records are among them."
        )
        if all(clip.prev_in_clip for clip in manifest.clips):
            words.said += " The signature of each shown record, made at capture, fixes all records before it."
        else:
            words.said += (
                " For some, the order was not signed at capture. Their order and the "
                "number of hidden records are the device's statement when it answered."
            )
    for number, clip in enumerate(manifest.clips, start=1):
        root = root_of(bytes.fromhex(leaf) for leaf in clip.leaves)
        words.prove(f"Records of clip {number} that the owner named (Merkle root)", root.hex())
    for line in manifest.records:
        words.prove("Capture record (SHA-256 of its line)", _sha256(line))


def _second_signatures(manifest: DisclosureManifest) -> Iterator[str]:
    """Yields sentences about the second signatures of the records. The answer's own covers all of them."""
    counts = Counter(manifest.second_signatures)
    if counts[SecondSignature.NONE]:
        yield (
            "Records without an ML-DSA-44 signature of the device's list of records, because it has a fault there: "
            f"{counts[SecondSignature.NONE]}."
        )
    if counts[SecondSignature.COVERED]:
        whose = "each" if len(counts) == 1 else "each of the others"
        yield f"When it answered, the device checked that ML-DSA-44 signatures of its list of records cover {whose}."


def _who_says(enrolment: Enrolment, door: DoorbellHistory) -> str:
    """Returns a sentence about the owners and the evidence for them."""
    names = ", ".join(f"“{approver.name}”" for approver in enrolment.approvers)
    said = f"The device names {names} as its owners (list no. {enrolment.epoch})."
    if enrolment.epoch > 1:
        said += " Each list was signed by an owner of the one before it."
    if door.seen_s is None:
        return (
            f"{said} This doorbell was first seen with this answer: only its own key vouches for its first "
            "list, and a thief with that key could name other owners."
        )
    return (
        f"{said} The lists begin with the one that this doorbell showed when it was first seen, on "
        f"{_utc(door.seen_s)}: a different chain of owners would fail."
    )


def _utc(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"


def _require_all_parts(
    answer: AnswerFolder, manifest: DisclosureManifest, found: _VerificationState, words: _CheckLog
) -> None:
    if answer.sealed() != frozenset(range(len(manifest.parts) + 1)):
        raise FormatError("The arrived parts differ from the signed list.")
    for number, item in enumerate(_items(found), start=1):
        reading.check_part(item, _part(answer, number))
        words.prove(f"Part {number}, {item.part.kind.value} {item.part.id} (SHA-256)", item.part.sha256)
    words.said = (
        f"{_count(len(manifest.parts), 'file')}: length and hash as the device announced, new header as the owner "
        "made it, sealed content as it was recorded."
    )
    redacted = sum(item.is_redacted for item in _items(found))
    if redacted:
        words.said += (
            f" {_count(redacted, 'file')} of them {_be(redacted)} redacted: made and signed by the owner in place of a "
            "recorded file, whose record is shown."
        )


def _part(answer: AnswerFolder, number: int) -> bytes:
    return answer.read_part(number, MOST_PART_BYTES)


def _opened(
    answer: AnswerFolder,
    number: int,
    item: DisclosedItem,
    manifest: DisclosureManifest,
    identity: HybridIdentity,
    sink: Sink,
    media: ConfinedMedia,
) -> VerifiedItem:
    data = _part(answer, number)
    # Checked again after reading again: a disk may return other bytes the second time.
    reading.check_part(item, data)
    device, context = manifest.device_key.id, None
    if item.is_redacted:
        opened, context = open_redacted_part(item, data, identity, device=device)
    else:
        opened, context = open_part(item.record, item.part.kind, data, identity, device=device)
    reason = unopened(media, item.part.kind, opened)
    if context is not None and item.is_redacted and not reason:
        require_redacted(media, item.part.kind, opened, context)
    is_film = item.part.kind is PartKind.SEGMENT and not item.is_redacted
    camera = camera_signature_of(opened, manifest.device_key) if is_film else None
    capture = capture_of(opened, manifest.device_key) if is_film and camera is None else None
    verified = VerifiedItem(
        number, item, hashlib.sha256(opened).hexdigest(), len(opened), context, reason, capture, camera
    )
    sink(verified, opened)
    return verified


_NAMES: Final = {PartKind.SEGMENT: "Video", PartKind.POSTER: "Picture", PartKind.SOUND: "Sound"}


def _say_footage(found: _VerificationState, words: _CheckLog) -> None:
    recovered = sum(not each.witnessed for each in found.items)
    films = [each for each in found.items if each.item.part.kind is PartKind.SEGMENT and not each.item.is_redacted]
    words.said = (
        "Each file opens with the key that the device committed to at capture, and its own context is what "
        "the device signed then."
    )
    redacted = [each for each in found.items if each.item.is_redacted]
    if redacted:
        words.said += (
            f" {_count(len(redacted), 'redacted file')} {_open(len(redacted))} with the key that the owner signed. "
            "Each states the place and time of its record, and is covered or silent where its list says so."
        )
    exact = sum(each.is_exact for each in redacted)
    if exact:
        words.said += (
            f" By the owner's word, {_count(exact, 'film')} of them {'has' if exact == 1 else 'have'} the recorded "
            "pixels outside of the covers."
        )
    cameras = (each.camera for each in films)
    if signatures := capture_in_words((each.capture for each in films), len(redacted), cameras):
        words.said += f" {signatures}"
    if recovered:
        words.said += (
            f" {_count(recovered, 'file')} had been interrupted by a power failure. The device signed their sealed "
            "bytes after the restart."
        )
    lost = [each for each in found.items if each.unopened]
    if lost and len(lost) == len(found.items):
        raise FormatError(f"No file opens. The first: {lost[0].unopened}")
    if len(ranges_of(each.number for each in lost)) > MOST_UNOPENED_RANGES:
        raise FormatError(f"{len(lost)} of {len(found.items)} files do not open, more than a receipt can list.")
    if lost:
        words.said += (
            f" {_count(len(lost), 'file')} of {len(found.items)} {_do(len(lost))} not open as what it should be."
        )
    for each in found.items:
        what = _NAMES[each.item.part.kind]
        words.prove(f"{what} {each.item.part.id} (SHA-256)", each.opened_sha256)


def _contact(disclosed: VerifiedDisclosure, identity: HybridIdentity) -> ContactCard | None:
    """Returns the owner's contact card. None if it is unreadable: the verdict stands without it."""
    if disclosed.approval.contact is None:
        return None
    try:
        return strictjson.decode(
            open_bytes(strictjson.decode_base64(disclosed.approval.contact), [identity]), ContactCard
        )
    except FormatError:
        return None


def _receipt(
    requester: Requester, answer: AnswerFolder, asked: SentRequest, origin: DisclosureOrigin
) -> Receipt | None:
    """Returns our stored receipt for the whole disclosure.

    None if its signature or its content differs: the verdict stands without it.
    """
    data = answer.receipt()
    if data is None:
        return None
    try:
        opened = envelope.open_envelope(data, Receipt.PAYLOAD_TYPE, {requester.key.id: requester.key})
        receipt = strictjson.decode(opened.payload, Receipt)
    except FormatError:
        return None
    said = (receipt.disclosure, receipt.request, receipt.state, receipt.manifest)
    all_of_it = (answer.disclosure, asked.request.id, ReceiptState.COMPLETE, origin.sha256)
    return receipt if said == all_of_it else None


def _disclosed(found: _VerificationState) -> VerifiedDisclosure:
    assert found.disclosed is not None  # noqa: S101 (set by the checks before)
    return found.disclosed


def _items(found: _VerificationState) -> tuple[DisclosedItem, ...]:
    return _disclosed(found).items


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _do(number: int) -> str:
    return "does" if number == 1 else "do"


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def _open(number: int) -> str:
    return "opens" if number == 1 else "open"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
