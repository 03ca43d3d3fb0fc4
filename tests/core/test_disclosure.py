"""Release and verification: each rule of `release` broken alone, each statement of a disclosure altered alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from agent.core.disclosure import (
    DisclosedItem,
    ReleasedItem,
    VerifiedDisclosure,
    absences,
    agree,
    check_part,
    claimed_clip_records,
    claimed_clips,
    items_of,
    manifest_of,
    read_manifest,
    release,
)
from agent.core.ledger.entries import EntryKind
from agent.core.ledger.merkle import leaf_hash
from agent.core.requests import MatchedRequest, Terms
from agent.core.timebase import ClockQuality
from agent.core.vault.age.header import Stanza, parse_header, to_base64
from agent.core.vault.age.recipients import HybridRecipient, X25519Recipient
from agent.core.vault.age.sealing import make_header
from agent.core.vault.coverage import CoverageSpan
from agent.core.vault.coverage import CoverageState as Word
from agent.core.vault.fields import Stamp
from agent.core.vault.hash_chain import FIRST
from agent.core.vault.manifest import ChainHead, SignedRecord, sign_record
from agent.core.vault.records import BootRecord, RecoveredRecord, SegmentRecord
from agent.core.vault.redactions import Place, Redaction, RedactionKind
from agent.core.vault.segment import Begin, Content, Context
from agent.errors import DoorwardError, FormatError, OpenError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.disclosures import ClipRecords, DisclosureManifest, Part, PartKind, SecondSignature
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of
from agent.wire.messages import FootageRequest
from agent.wire.statements import (
    AbsenceReason,
    Approval,
    CoApproval,
    FootageAbsence,
    NamedKey,
    Redacted,
    read_statement,
    sign_statement,
)
from tests import custodians
from tests.custodians import APPROVER, DEVICE, Door, sha256_of, signed
from tests.wire import samples

DEVICE_TEXT = samples.DEVICE_KEY.text
STRANGER = private_key_from_seed(b"s" * 32)


@dataclass
class Case:
    """An approval that is right in everything, to be spoilt in one thing."""

    asked: FootageRequest
    stored: MatchedRequest
    approval: Approval
    headers: dict[str, bytes]
    records: dict[str, SignedRecord]
    enrolments: tuple[bytes, ...]

    def release(
        self, approval: Approval | None = None, headers: Mapping[str, bytes] | None = None, **changes: Any
    ) -> tuple[ReleasedItem, ...]:
        stored = replace(self.stored, **changes)
        return release(
            approval or self.approval,
            self.headers if headers is None else headers,
            stored,
            self.records,
            DEVICE_TEXT,
        )

    def with_first(self, **changes: Any) -> Approval:
        first, *others = self.approval.segments
        return msgspec.structs.replace(self.approval, segments=(msgspec.structs.replace(first, **changes), *others))


def spoilt(approval: Approval, **changes: Any) -> Approval:
    return msgspec.structs.replace(approval, **changes)


@pytest.fixture(scope="module")
def case() -> Case:
    door = Door.enrolled()
    asked = door.ask()
    stored = door.stored(asked)
    poster = door.vault.kept[door.segments[0]]
    approval, headers = custodians.approval(door, asked)
    still = custodians.new_header(99)
    approval = spoilt(approval, posters=(poster_item(poster.poster or b"", door.segments[0], still),))
    by_hash = {hashlib.sha256(header).hexdigest(): header for header in (*headers, still)}
    records = {name: paper.record for name, paper in door.vault.kept.items()}
    enrolments = door.custodian.enrolments.envelopes
    door.close()
    return Case(asked, stored, approval, by_hash, records, enrolments)


def poster_item(sealed: bytes, name: str, header: bytes) -> Any:
    return custodians.SealedItem(
        id=name,
        payload_sha256=hashlib.sha256(sealed[len(custodians.OWNERS_HEADER) :]).hexdigest(),
        header_sha256=hashlib.sha256(header).hexdigest(),
    )


REDACTED = b"a redacted film, sealed by the owner's client"


def redacting(case: Case, **changes: Any) -> tuple[Approval, dict[str, bytes]]:
    """The approval with its first segment redacted, without posters, and what is handed in beside it."""
    said = Redacted(payload_sha256=hashlib.sha256(REDACTED).hexdigest(), key="77" * 32)
    first, *others = case.approval.segments
    items = (msgspec.structs.replace(first, redacted=said), *others)
    approval = spoilt(case.approval, **{"posters": (), "segments": items, **changes})
    return approval, {**case.headers, said.payload_sha256: REDACTED}


# -- release -----------------------------------------------------------------------------------------------------------


def test_an_approval_that_agrees_with_everything_releases_its_items_in_order_segments_first(case: Case) -> None:
    released = case.release()
    assert [item.id for item in released] == [*case.stored.segments, case.stored.segments[0]]
    assert [item.kind.value for item in released] == ["segment"] * 3 + ["poster"]
    for item in released:
        assert item.record is case.records[item.id]
        assert item.size_bytes == len(item.header) + item.stored.size - item.stored.header_size


def test_a_redacted_payload_leaves_in_place_of_the_captured_one_under_its_record(case: Case) -> None:
    approval, blobs = redacting(case)
    first, second, _ = case.release(approval, blobs)
    assert (first.redacted, second.redacted) == (REDACTED, None)
    assert first.record is case.records[first.id]
    assert first.size_bytes == len(first.header) + len(REDACTED)


def test_a_redacted_payload_that_is_missing_or_another_releases_nothing(case: Case) -> None:
    approval, blobs = redacting(case)
    said = approval.segments[0].redacted
    assert said is not None
    for handed_in in (case.headers, {**blobs, said.payload_sha256: b"another film"}):
        with pytest.raises(RequestError, match="the redacted segment"):
            case.release(approval, handed_in)


def test_the_still_of_a_clip_that_is_redacted_stays(case: Case) -> None:
    """The still belongs to the first segment, and the second is redacted: it shows the same event."""
    first, second, third = case.approval.segments
    said = Redacted(payload_sha256=hashlib.sha256(REDACTED).hexdigest(), key="77" * 32)
    approval = spoilt(case.approval, segments=(first, msgspec.structs.replace(second, redacted=said), third))
    one_event = {
        name: sign_record(msgspec.structs.replace(record.record, event=first.id), ChainHead(), DEVICE.sign)
        for name, record in case.records.items()
    }
    with pytest.raises(RequestError, match="is of a clip that is redacted"):
        replace_records(case, one_event).release(approval, {**case.headers, said.payload_sha256: REDACTED})
    with pytest.raises(RequestError, match="no longer in the vault"):
        replace_records(case, {}).release(approval, case.headers)


def test_a_segment_that_a_power_cut_left_is_not_redacted(case: Case) -> None:
    approval, blobs = redacting(case)
    name = approval.segments[0].id
    record = case.records[name].record
    assert isinstance(record, SegmentRecord)
    cut = sign_record(recovered(record), ChainHead(), DEVICE.sign)
    with pytest.raises(RequestError, match="cut by a power failure"):
        replace_records(case, {**case.records, name: cut}).release(approval, blobs)


SPOILT: dict[str, Callable[[Case], tuple[ReleasedItem, ...]]] = {
    "for another device": lambda c: c.release(spoilt(c.approval, device=public_key_of(STRANGER).text)),
    "for another request": lambda c: c.release(spoilt(c.approval, request="00" * 32)),
    "sealed to a key that is not": lambda c: c.release(
        spoilt(c.approval, reply=str(custodians.OWNER_IDENTITY.recipient()))
    ),
    "not among those that matched": lambda c: c.release(segments=c.stored.segments[1:]),
    "outside the requested window": lambda c: c.release(
        kept=Terms.of(spoilt_request(c.asked, from_s=c.asked.to_s - 900))
    ),
    "names bytes that differ": lambda c: c.release(c.with_first(payload_sha256="00" * 32)),
    "header of segment": lambda c: c.release(headers={}),
    "header of poster": lambda c: c.release(
        headers={k: v for k, v in c.headers.items() if k != c.approval.posters[0].header_sha256}
    ),
}


def spoilt_request(asked: FootageRequest, **changes: Any) -> FootageRequest:
    return msgspec.structs.replace(asked, **changes)


@pytest.mark.parametrize("words", SPOILT)
def test_an_approval_that_disagrees_in_one_thing_releases_nothing(case: Case, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        SPOILT[words](case)


def test_what_was_evicted_or_has_no_poster_cannot_be_released(case: Case) -> None:
    first, second, _ = case.stored.segments
    gone = replace_records(case, {name: record for name, record in case.records.items() if name != second})
    with pytest.raises(RequestError, match=f"segment {second} is no longer in the vault"):
        gone.release()
    bare = case.records[first].record
    assert isinstance(bare, SegmentRecord)
    record = sign_record(msgspec.structs.replace(bare, poster=None), ChainHead(), DEVICE.sign)
    with pytest.raises(RequestError, match=f"poster {first} is no longer in the vault"):
        replace_records(case, {**case.records, first: record}).release()


def test_a_record_that_is_none_of_a_segment_releases_nothing(case: Case) -> None:
    stamp = Stamp(boot="1" * 32, at_us=0, utc_ms=0, quality=ClockQuality.SYNCED)
    record = BootRecord(device=samples.DEVICE_KEY.id, device_mldsa=samples.MLDSA_KEY.text, epoch=1, at=stamp)
    boot = sign_record(record, ChainHead(), DEVICE.sign)
    with pytest.raises(RequestError, match="no longer in the vault"):
        replace_records(case, dict.fromkeys(case.records, boot)).release()


def replace_records(case: Case, records: dict[str, SignedRecord]) -> Case:
    return replace(case, records=records)


def test_a_header_filed_under_the_wrong_hash_is_not_taken(case: Case) -> None:
    wrong = dict.fromkeys(case.headers, custodians.new_header(7))
    with pytest.raises(RequestError, match="header"):
        case.release(headers=wrong)


REPLY = HybridRecipient.parse(custodians.REPLY)


def _restanzaed(change: Callable[[Stanza], Stanza]) -> bytes:
    """A good new header with its one stanza changed."""
    good, _ = parse_header(make_header(bytes(16), [REPLY]))
    return replace(good, stanzas=(change(good.stanzas[0]),)).serialise()


OTHER = custodians.OWNER_IDENTITY.recipient()
X25519 = X25519Recipient.parse("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj")
HEADERS = {
    "two readers": make_header(bytes(16), [REPLY, OTHER]),
    "a reader of another kind": make_header(bytes(16), [X25519]),
    "bytes behind it": make_header(bytes(16), [REPLY]) + b"x",
    "a second argument": _restanzaed(lambda one: replace(one, arguments=(*one.arguments, "aGVsbG8gZnJvbSBpbnNpZGU"))),
    "no argument": _restanzaed(lambda one: replace(one, arguments=())),
    "a longer argument": _restanzaed(lambda one: replace(one, arguments=(to_base64(bytes(1121)),))),
    "an argument that is no base64": _restanzaed(lambda one: replace(one, arguments=("!" * 1494,))),
    "a longer body": _restanzaed(lambda one: replace(one, body=one.body + b"x")),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_with_anything_but_one_hybrid_reader_is_refused(case: Case, name: str) -> None:
    header = HEADERS[name]
    digest = hashlib.sha256(header).hexdigest()
    with pytest.raises(RequestError, match="exactly one hybrid recipient"):
        case.release(case.with_first(header_sha256=digest), {**case.headers, digest: header})


@pytest.mark.parametrize("header", [b"", b"no header", b"age-encryption.org/v1\n"])
def test_a_header_that_is_none_is_refused(case: Case, header: bytes) -> None:
    digest = hashlib.sha256(header).hexdigest()
    with pytest.raises(DoorwardError):
        case.release(case.with_first(header_sha256=digest), {**case.headers, digest: header})


# -- the other half ----------------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """A disclosure as the requester opened it, to be tampered with."""

    case: Case
    manifest: DisclosureManifest
    parts: list[bytes]

    def read(
        self, asked: FootageRequest | None = None, digest: str | None = None, **changes: Any
    ) -> VerifiedDisclosure:
        manifest = msgspec.structs.replace(self.manifest, **changes)
        return read_manifest(
            custodians.signed_manifest(manifest), asked or self.case.asked, digest or self.manifest.request
        )


@pytest.fixture(scope="module")
def sent(case: Case) -> Sent:
    released = case.release()
    door = Door.enrolled()  # its paper vault has the same segments
    payloads = [
        door.vault.kept[item.id].file if item.kind.value == "segment" else door.vault.kept[item.id].poster or b""
        for item in released
    ]
    door.close()
    parts = [item.header + data[item.stored.header_size :] for item, data in zip(released, payloads, strict=True)]
    manifest = manifest_of(
        released,
        [hashlib.sha256(part).hexdigest() for part in parts],
        disclosure="ab" * 16,
        device=DEVICE_TEXT,
        device_mldsa=custodians.MLDSA_KEY,
        request_sha256=case.stored.payload_sha256,
        approval=signed(case.approval, APPROVER),
        enrolments=case.enrolments,
        ledger=ledgered(case, case.approval),
        second_signatures=dict.fromkeys(case.records, SecondSignature.COVERED),
    )
    return Sent(case, manifest, parts)


def test_an_honest_disclosure_verifies_as_a_whole(sent: Sent) -> None:
    read = sent.read()
    assert read.approver == "anna"
    assert read.approval == sent.case.approval
    assert [item.part for item in read.items] == list(sent.manifest.parts)
    for item, data in zip(read.items, sent.parts, strict=True):
        assert data[check_part(item, data) :] == data[len(sent.case.headers[item.approved.header_sha256]) :]


def test_each_record_travels_once_even_for_a_segment_and_its_poster(sent: Sent) -> None:
    assert len(sent.manifest.records) == 3
    assert len(sent.manifest.parts) == 4


def ledgered(case: Case, approval: Approval, **fields: Any) -> Any:
    sha256 = hashlib.sha256(strictjson.encode(approval)).hexdigest()
    return samples.ledgered(case.asked, "ab" * 16, sha256, custodians.DEVICE, custodians.MLDSA, **fields)


def by(key: Any, sent: Sent, **changes: Any) -> str:
    return signed(spoilt(sent.case.approval, **changes), key).decode()


def other_enrolment(**changes: Any) -> str:
    return signed(custodians.enrolment(**changes), APPROVER).decode()


def alone(statement: Any) -> str:
    """A statement of the owner with its first signature only."""
    return envelope.sign(type(statement).PAYLOAD_TYPE, strictjson.encode(statement), APPROVER).decode()


def forged(statement: Any, key: Any = APPROVER) -> str:
    """A statement by one who can make this owner's Ed25519 signatures, and has another ML-DSA-44 key."""
    mldsa = mldsa_key_from_seed(b"x" * 32)
    return envelope.sign_hybrid(type(statement).PAYLOAD_TYPE, strictjson.encode(statement), key, mldsa).decode()


THIEF = NamedKey.of("anna", STRANGER)
TAMPERED: dict[str, Callable[[Sent], VerifiedDisclosure]] = {
    "request asked": lambda s: s.read(digest="00" * 32),
    "request": lambda s: s.read(request="00" * 32),
    "device": lambda s: s.read(device=public_key_of(STRANGER).text),
    "approval signed by a stranger": lambda s: s.read(approval=by(STRANGER, s)),
    "approval signed by the device": lambda s: s.read(approval=by(DEVICE, s)),
    "approval for another request": lambda s: ledgered_too(s, request="00" * 32),
    "approval after the end": lambda s: ledgered_too(s, owner_time_ms=(s.case.asked.not_after_s + 1) * 1000),
    "approval for another key": lambda s: ledgered_too(s, reply=str(OTHER)),
    "approval for another device": lambda s: ledgered_too(s, device=public_key_of(STRANGER).text),
    "approval of less": lambda s: ledgered_too(s, posters=()),
    "approval of other bytes": lambda s: ledgered_too(s, segments=s.case.with_first(payload_sha256="00" * 32).segments),
    "approval that speaks of earlier times": lambda s: ledgered_too(s, gaps=(around(s, -1, 1),)),
    "approval that speaks of later times": lambda s: ledgered_too(s, gaps=(around(s, 0, 1, end=1),)),
    "approval of another kind": lambda s: s.read(approval=s.manifest.enrolments[0]),
    "enrolment of another kind": lambda s: s.read(enrolments=(s.manifest.approval,)),
    "enrolment signed as something else": lambda s: s.read(
        enrolments=(
            sign_statement(Approval.PAYLOAD_TYPE, strictjson.encode(custodians.enrolment()), APPROVER).decode(),
        )
    ),
    "approval without a second signature": lambda s: s.read(approval=alone(s.case.approval)),
    "approval by a forger of Ed25519": lambda s: s.read(approval=forged(s.case.approval)),
    "enrolment without a second signature": lambda s: s.read(enrolments=(alone(custodians.enrolment()),)),
    "enrolment by a forger of Ed25519": lambda s: s.read(enrolments=(forged(custodians.enrolment()),)),
    "enrolment of a thief": lambda s: s.read(
        enrolments=(other_enrolment(approvers=(THIEF,)),), approval=by(STRANGER, s)
    ),
    "enrolment of another device": lambda s: s.read(enrolments=(other_enrolment(device=public_key_of(STRANGER).text),)),
    "records missing": lambda s: with_records(s, *s.manifest.records[1:]),
    "records twice": lambda s: with_records(s, *s.manifest.records, s.manifest.records[0]),
    "record of no segment": lambda s: with_records(s, *s.manifest.records, record_of_no_segment()),
    "record of a segment that is no part": lambda s: with_records(s, *s.manifest.records, spare_record(s)),
    "record of another device": lambda s: s.read(records=(forged_record(s), *s.manifest.records[1:])),
    "record with another payload": lambda s: s.read(records=(other_record(s), *s.manifest.records[1:])),
    "record outside the window": lambda s: s.read(records=(other_record(s, utc_ms=0), *s.manifest.records[1:])),
    "parts missing": lambda s: s.read(parts=s.manifest.parts[:-1]),
    "parts of another segment": lambda s: s.read(
        parts=(msgspec.structs.replace(s.manifest.parts[0], id="a" * 26), *s.manifest.parts[1:])
    ),
}


def around(sent: Sent, begins: int, ends: int, *, end: int = 0) -> FootageAbsence:
    """From this many milliseconds after the window's beginning to this many after it, or after its end."""
    asked = sent.case.asked
    last_s = asked.to_s if end else asked.from_s
    return FootageAbsence(
        from_ms=asked.from_s * 1000 + begins, to_ms=last_s * 1000 + ends, reason=AbsenceReason.NOTHING
    )


def ledgered_too(sent: Sent, **changes: Any) -> VerifiedDisclosure:
    """Another approval by the owner, that the device has ledgered like any: what is wrong is only its content."""
    approval = spoilt(sent.case.approval, **changes)
    return sent.read(approval=signed(approval, APPROVER).decode(), ledger=ledgered(sent.case, approval))


def test_an_approval_may_speak_of_the_whole_window_to_its_last_millisecond(sent: Sent) -> None:
    whole = around(sent, 0, 0, end=1)
    assert ledgered_too(sent, gaps=(whole,)).approval.gaps == (whole,)


def with_records(sent: Sent, *records: str) -> VerifiedDisclosure:
    return sent.read(records=records, second_signatures=(SecondSignature.COVERED,) * len(records))


def record_of_no_segment() -> str:
    stamp = Stamp(boot="1" * 32, at_us=0, utc_ms=0, quality=ClockQuality.SYNCED)
    boot = BootRecord(device=samples.DEVICE_KEY.id, device_mldsa=samples.MLDSA_KEY.text, epoch=1, at=stamp)
    return sign_record(boot, ChainHead(), DEVICE.sign).line.decode()


def forged_record(sent: Sent) -> str:
    record = sent.case.records[sent.case.stored.segments[0]].record
    return sign_record(record, ChainHead(), STRANGER.sign).line.decode()


def spare_record(sent: Sent) -> str:
    record = msgspec.structs.replace(sent.case.records[sent.case.stored.segments[0]].record, id="a" * 26)
    return sign_record(record, ChainHead(), DEVICE.sign).line.decode()


def other_record(sent: Sent, utc_ms: int | None = None) -> str:
    record = sent.case.records[sent.case.stored.segments[0]].record
    assert isinstance(record, SegmentRecord)
    if utc_ms is None:
        record = msgspec.structs.replace(record, file=msgspec.structs.replace(record.file, sha256_payload="00" * 32))
    else:
        record = msgspec.structs.replace(record, span=msgspec.structs.replace(record.span, utc_ms=utc_ms))
    return sign_record(record, ChainHead(), DEVICE.sign).line.decode()


def as_json(manifest: DisclosureManifest, **changes: Any) -> bytes:
    """Part 0 with other members than a manifest may have, and with both signatures of the device."""
    members = {**json.loads(strictjson.encode(manifest)), **changes}
    payload = json.dumps({name: value for name, value in members.items() if value != "absent"}, sort_keys=True)
    return envelope.sign_hybrid(DisclosureManifest.PAYLOAD_TYPE, payload.encode(), custodians.DEVICE, custodians.MLDSA)


def test_each_record_has_the_devices_word_about_its_second_signature(sent: Sent) -> None:
    words = (SecondSignature.COVERED, SecondSignature.NONE, SecondSignature.COVERED)
    read = sent.read(second_signatures=words)
    said = {item.part.id: item.second for item in read.items}
    assert [said[name] for name in sent.case.stored.segments] == list(words)
    assert read.items[-1].part.kind is PartKind.POSTER
    assert read.items[-1].second is SecondSignature.COVERED


@pytest.mark.parametrize(
    "words",
    ["absent", [], ["covered"] * 2, ["covered"] * 4, ["covered", "covered", "yes"], ["covered", 1, 1]],
    ids=str,
)
def test_an_answer_that_leaves_out_what_is_behind_a_record_is_refused(sent: Sent, words: Any) -> None:
    """Even with both signatures of the device: the absence of a word must not read as a good one."""
    data = as_json(sent.manifest, second_signatures=words)
    with pytest.raises(FormatError, match="second_signatures"):
        read_manifest(data, sent.case.asked, sent.manifest.request)
    honest = as_json(sent.manifest)
    assert read_manifest(honest, sent.case.asked, sent.manifest.request).manifest == sent.manifest


@pytest.mark.parametrize("name", TAMPERED)
def test_a_disclosure_that_was_tampered_with_in_one_place_is_refused(sent: Sent, name: str) -> None:
    with pytest.raises(FormatError):
        TAMPERED[name](sent)


def test_a_manifest_that_its_device_did_not_sign_is_refused(sent: Sent) -> None:
    with pytest.raises(OpenError):
        read_manifest(custodians.signed_manifest(sent.manifest, key=STRANGER), sent.case.asked, sent.manifest.request)


def test_a_manifest_without_the_devices_second_signature_is_refused_by_name(sent: Sent) -> None:
    """Ed25519 alone is too little, even by the right key: a quantum computer could make such a signature."""
    with pytest.raises(OpenError, match="ML-DSA-44 signature is missing"):
        read_manifest(signed(sent.manifest, DEVICE), sent.case.asked, sent.manifest.request)


def test_a_second_signature_by_another_key_or_over_other_bytes_is_refused_by_name(sent: Sent) -> None:
    stranger = mldsa_key_from_seed(b"x" * 32)
    another = msgspec.structs.replace(sent.manifest, disclosure="cd" * 16)
    theirs = json.loads(custodians.signed_manifest(another))["signatures"][1]
    ours = json.loads(custodians.signed_manifest(sent.manifest))
    replayed = json.dumps({**ours, "signatures": [ours["signatures"][0], theirs]}).encode()
    for data in (custodians.signed_manifest(sent.manifest, stranger), replayed):
        with pytest.raises(OpenError, match="ML-DSA-44 signature does not verify"):
            read_manifest(data, sent.case.asked, sent.manifest.request)


def test_a_second_key_that_the_owners_did_not_sign_is_refused_by_name(sent: Sent) -> None:
    """A forger of Ed25519 can name an ML-DSA key that is theirs, and sign with it. The owners signed the hash."""
    stranger = mldsa_key_from_seed(b"x" * 32)
    key = strictjson.encode_base64(MldsaPublicKey.of(stranger).raw)
    forged = custodians.signed_manifest(msgspec.structs.replace(sent.manifest, device_mldsa=key), stranger)
    with pytest.raises(OpenError, match="signed another ML-DSA-44 key"):
        read_manifest(forged, sent.case.asked, sent.manifest.request)


def test_a_later_list_of_owners_counts_when_an_owner_of_the_one_before_signed_it(sent: Sent) -> None:
    (first,) = sent.manifest.enrolments
    assert sent.read(enrolments=(first, later_list(sent))).enrolment.epoch == 2
    for wrong in (
        (later_list(sent),),
        (first, later_list(sent, key=STRANGER)),
        (first, later_list(sent, previous="00" * 32)),
        (first, later_list(sent, epoch=3)),
        (first, first),
        (later_list(sent), first),
    ):
        with pytest.raises(FormatError):
            sent.read(enrolments=wrong)


def test_owners_of_a_later_epoch_whom_a_thief_invented_pass_no_check(sent: Sent) -> None:
    invented = later_list(sent, key=STRANGER, approvers=(THIEF,))
    with pytest.raises(OpenError):
        sent.read(enrolments=(sent.manifest.enrolments[0], invented), approval=by(STRANGER, sent))
    with pytest.raises(FormatError):
        sent.read(enrolments=(invented,), approval=by(STRANGER, sent))


def later_list(sent: Sent, key: Any = APPROVER, **changes: Any) -> str:
    first = read_statement(sent.manifest.enrolments[0].encode()).payload
    values = {"epoch": 2, "previous": hashlib.sha256(first).hexdigest(), **changes}
    return signed(custodians.enrolment(**values), key).decode()


# An area in which two owners must agree.

SECOND = private_key_from_seed(b"2" * 32)


def two_owners(sent: Sent, **changes: Any) -> tuple[str, str]:
    approvers = tuple(NamedKey.of(name, key) for name, key in (("anna", APPROVER), ("bo", SECOND)))
    later = {"approvers": approvers, "approvals_needed": 2, **changes}
    return (sent.manifest.enrolments[0], later_list(sent, **later))


def second_yes(sent: Sent, by: Any = SECOND, **changes: Any) -> str:
    values = {**custodians.stated(), "request": sent.manifest.request, "approval": sha256_of(sent.case.approval)}
    return signed(CoApproval(**{**values, **changes}), by).decode()


def test_where_it_takes_two_both_are_named(sent: Sent) -> None:
    read = sent.read(enrolments=two_owners(sent), co_approval=second_yes(sent))
    assert (read.approver, read.co_approver) == ("anna", "bo")
    assert sent.read().co_approver is None


def test_a_manifest_carries_both_yeses_and_a_hash_for_each_part(sent: Sent) -> None:
    given: dict[str, Any] = {
        "disclosure": "ab" * 16,
        "device": DEVICE_TEXT,
        "device_mldsa": custodians.MLDSA_KEY,
        "request_sha256": sent.manifest.request,
        "approval": sent.manifest.approval.encode(),
        "enrolments": [each.encode() for each in sent.manifest.enrolments],
        "ledger": sent.manifest.ledger,
        "second_signatures": dict.fromkeys(sent.case.records, SecondSignature.COVERED),
    }
    hashes = [part.sha256 for part in sent.manifest.parts]
    made = manifest_of(sent.case.release(), hashes, **given, co_approval=second_yes(sent).encode())
    assert read_statement((made.co_approval or "").encode()).payload_type == CoApproval.PAYLOAD_TYPE
    assert msgspec.structs.replace(made, co_approval=None) == sent.manifest
    with pytest.raises(ValueError, match="shorter"):
        manifest_of(sent.case.release(), hashes[:-1], **given)


def stripped(signed_twice: str) -> str:
    whole = json.loads(signed_twice)
    return json.dumps({**whole, "signatures": whole["signatures"][:1]})


def reforged(signed_twice: str) -> str:
    """With the first owner's second signature beside the second owner's first one."""
    whole = json.loads(signed_twice)
    ours = json.loads(signed(strictjson.decode(read_statement(signed_twice.encode()).payload, CoApproval), APPROVER))
    return json.dumps({**whole, "signatures": [whole["signatures"][0], ours["signatures"][1]]})


SECONDED_WRONGLY: dict[str, Callable[[Sent], dict[str, Any]]] = {
    "by nobody": lambda s: {"co_approval": None},
    "by the first again": lambda s: {"co_approval": second_yes(s, APPROVER)},
    "by a stranger": lambda s: {"co_approval": second_yes(s, STRANGER)},
    "by the device": lambda s: {"co_approval": second_yes(s, DEVICE)},
    "without a second signature": lambda s: {"co_approval": stripped(second_yes(s))},
    "by a forger of Ed25519": lambda s: {"co_approval": reforged(second_yes(s))},
    "for another request": lambda s: {"co_approval": second_yes(s, request="00" * 32)},
    "for another approval": lambda s: {"co_approval": second_yes(s, approval="00" * 32)},
    "after the end": lambda s: {"co_approval": second_yes(s, owner_time_ms=(s.case.asked.not_after_s + 1) * 1000)},
    "for another device": lambda s: {"co_approval": second_yes(s, device=public_key_of(STRANGER).text)},
    "with the approval again": lambda s: {"co_approval": s.manifest.approval},
    "where none is needed": lambda s: {"co_approval": second_yes(s), "enrolments": two_owners(s, approvals_needed=1)},
}


@pytest.mark.parametrize("name", SECONDED_WRONGLY)
def test_an_approval_is_refused_that_is_seconded(sent: Sent, name: str) -> None:
    with pytest.raises(FormatError):
        sent.read(**{"enrolments": two_owners(sent), **SECONDED_WRONGLY[name](sent)})


def test_of_the_rest_of_a_window_is_said_what_the_vault_says_but_of_footage_nothing() -> None:
    stretches = [CoverageSpan(number, number + 1, word) for number, word in enumerate(Word)]
    said = absences(stretches)
    assert [each.reason.value for each in said] == [word.value for word in Word if word is not Word.FOOTAGE]
    assert all(
        stretches[each.from_ms] == CoverageSpan(each.from_ms, each.to_ms, Word(each.reason.value)) for each in said
    )


# Clips an owner tells of without showing them.


def told(case: Case) -> Any:
    (clip,) = claimed_clips(case.records, case.stored.segments)
    return clip


def test_of_a_clip_is_told_from_its_first_to_its_last_segment_and_how_many(case: Case) -> None:
    spans = [case.records[name].record.span for name in case.stored.segments]  # type: ignore[union-attr]
    clip = told(case)
    assert clip.segments == len(spans) == 3
    assert (clip.from_ms, clip.to_ms) == (min(s.start_ms for s in spans), max(s.end_ms for s in spans))
    assert claimed_clips(case.records, ()) == ()
    assert claimed_clips({}, case.stored.segments) == ()


def test_only_clips_that_matched_can_be_told_of_and_word_for_word(case: Case) -> None:
    clip = told(case)
    assert case.release(spoilt(case.approval, clips=(clip,)))
    for changes in ({"segments": 2}, {"from_ms": clip.from_ms + 1}, {"to_ms": clip.to_ms - 1}):
        with pytest.raises(RequestError, match="clips that did not match"):
            case.release(spoilt(case.approval, clips=(clip, msgspec.structs.replace(clip, **changes))))


def test_the_records_of_clips_that_are_told_of_travel_as_hashes(case: Case) -> None:
    (clip,) = claimed_clips(case.records, case.stored.segments)
    (told,) = claimed_clip_records(case.records, case.stored.segments, (clip,))
    assert (told.from_ms, told.to_ms) == (clip.from_ms, clip.to_ms)
    assert told.leaves == tuple(leaf_hash(case.records[name].line).hex() for name in case.stored.segments)
    assert claimed_clip_records(case.records, case.stored.segments, ()) == ()
    with pytest.raises(RequestError, match="no longer in the vault"):
        claimed_clip_records(case.records, case.stored.segments[:1], (clip,))


def telling_of(sent: Sent, told: tuple[ClipRecords, ...]) -> dict[str, Any]:
    """The changes that make `sent` tell of its clip."""
    (clip,) = claimed_clips(sent.case.records, sent.case.stored.segments)
    approval = spoilt(sent.case.approval, clips=(clip,))
    return {"approval": signed(approval, APPROVER).decode(), "ledger": ledgered(sent.case, approval), "clips": told}


def test_what_is_shown_of_a_clip_stands_among_its_records(sent: Sent) -> None:
    records, segments = sent.case.records, sent.case.stored.segments
    told = claimed_clip_records(records, segments, claimed_clips(records, segments))
    assert sent.read(**telling_of(sent, told)).manifest.clips == told
    other = msgspec.structs.replace(told[0], leaves=("00" * 32, *told[0].leaves[1:]))
    last = msgspec.structs.replace(told[0], leaves=(*told[0].leaves[:-1], "00" * 32))
    for wrong in ((other,), (last,), (), (msgspec.structs.replace(told[0], leaves=told[0].leaves[1:]),)):
        with pytest.raises(FormatError, match="tells of"):
            sent.read(**telling_of(sent, wrong))
    with pytest.raises(FormatError, match="not those of the owner's approval"):
        sent.read(clips=told)


def rerecorded(case: Case, name: str, **changes: Any) -> dict[str, SignedRecord]:
    record = msgspec.structs.replace(case.records[name].record, **changes)
    return {**case.records, name: sign_record(record, ChainHead(), DEVICE.sign)}


def test_a_clip_is_told_with_what_its_first_record_follows_if_each_follows_the_one_before(case: Case) -> None:
    segments = case.stored.segments
    clips = claimed_clips(case.records, segments)
    assert claimed_clip_records(case.records, segments, clips)[0].prev_in_clip == FIRST
    later = claimed_clips(case.records, segments[1:])
    follows = case.records[segments[1]].record.prev_in_clip  # type: ignore[union-attr]
    assert claimed_clip_records(case.records, segments[1:], later)[0].prev_in_clip == follows
    for records in (
        rerecorded(case, segments[1], prev_in_clip=None),
        rerecorded(case, segments[1], epoch=7),
        {name: record for name, record in case.records.items() if name != segments[1]},
    ):
        clips = claimed_clips(records, segments)
        (found,) = claimed_clip_records(records, segments, clips)
        assert found.prev_in_clip is None


def test_what_is_shown_was_signed_at_capture_as_following_what_is_told(sent: Sent) -> None:
    records, segments = sent.case.records, sent.case.stored.segments
    (told,) = claimed_clip_records(records, segments, claimed_clips(records, segments))
    assert told.prev_in_clip == FIRST
    assert sent.read(**telling_of(sent, (told,)))
    assert sent.read(**telling_of(sent, (msgspec.structs.replace(told, prev_in_clip=None),)))
    first = told.leaves[0]
    for wrong in (
        msgspec.structs.replace(told, prev_in_clip="11" * 32),
        msgspec.structs.replace(told, leaves=(told.leaves[0], *told.leaves[2:], told.leaves[1])),
        msgspec.structs.replace(told, leaves=(*told.leaves[1:], first)),
    ):
        with pytest.raises(FormatError, match="as the successor of other records"):
            sent.read(**telling_of(sent, (wrong,)))


def test_of_two_clips_at_one_time_what_is_shown_stands_in_one(sent: Sent) -> None:
    records, segments = sent.case.records, sent.case.stored.segments
    (clip,) = claimed_clips(records, segments)
    (told,) = claimed_clip_records(records, segments, (clip,))
    for clips, said in (
        ((clip, msgspec.structs.replace(clip, segments=1)), (told, msgspec.structs.replace(told, leaves=("00" * 32,)))),
        ((msgspec.structs.replace(clip, segments=1), clip), (msgspec.structs.replace(told, leaves=("00" * 32,)), told)),
    ):
        approval = spoilt(sent.case.approval, clips=clips)
        changes = {"approval": signed(approval, APPROVER).decode(), "ledger": ledgered(sent.case, approval)}
        assert sent.read(**changes, clips=said).manifest.clips == said


def test_clips_outside_the_window_are_not_told_of(sent: Sent) -> None:
    clip, window = told(sent.case), sent.case.asked.from_s * 1000
    length = clip.to_ms - clip.from_ms
    for from_ms, allowed in ((window - length + 1, True), (window - length, False)):
        moved = msgspec.structs.replace(clip, from_ms=from_ms, to_ms=from_ms + length)
        approval = spoilt(sent.case.approval, clips=(moved,))
        there = ClipRecords(from_ms=moved.from_ms, to_ms=moved.to_ms, leaves=("00" * 32,) * clip.segments)
        changes = {"approval": signed(approval, APPROVER).decode(), "ledger": ledgered(sent.case, approval)}
        changes["clips"] = (there,)
        if allowed:
            assert sent.read(**changes).approval.clips == (moved,)
        else:
            with pytest.raises(FormatError, match="clips outside"):
                sent.read(**changes)


LEDGERED_WRONGLY: dict[str, dict[str, Any]] = {
    "as another kind": {"kind": EntryKind.SEALED, "size_bytes": 1},
    "for another request": {"request": "00" * 16},
    "for another requester": {"requester": "somebody-else"},
    "for another disclosure": {"disclosure": "00" * 16},
    "for another approval": {"subject": "00" * 32},
}


@pytest.mark.parametrize("name", LEDGERED_WRONGLY)
def test_an_approval_is_refused_that_is_ledgered(sent: Sent, name: str) -> None:
    with pytest.raises(FormatError, match="does not record its approval"):
        sent.read(ledger=ledgered(sent.case, sent.case.approval, **LEDGERED_WRONGLY[name]))


def head(**changes: Any) -> str:
    values = {"device": custodians.DEVICE, "mldsa": custodians.MLDSA, **changes}
    return samples.ledgered(samples.request(), "ab" * 16, samples.SHA, **values).checkpoint


UNPROVEN: dict[str, Callable[[Any], dict[str, Any]]] = {
    "at another place": lambda proof: {"index": proof.index - 1},
    "by another path": lambda proof: {"path": ("00" * 32, *proof.path[1:])},
    "by a path too short": lambda proof: {"path": proof.path[1:]},
    "under another head": lambda proof: {"checkpoint": head(earlier=6)},
    "by another device": lambda proof: {"checkpoint": head(device=STRANGER)},
    "under a head without the second signature": lambda proof: {
        "checkpoint": "".join(proof.checkpoint.splitlines(keepends=True)[:5])
    },
    "under a head by a forger of Ed25519": lambda proof: {"checkpoint": head(mldsa=mldsa_key_from_seed(b"s" * 32))},
    "under a head with the second signature of another one": lambda proof: {
        "checkpoint": "".join(
            [*proof.checkpoint.splitlines(keepends=True)[:5], head(earlier=6).splitlines(keepends=True)[5]]
        )
    },
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_an_approval_is_refused_whose_place_in_the_ledger_is_proven(sent: Sent, name: str) -> None:
    proof = sent.manifest.ledger
    with pytest.raises(OpenError):
        sent.read(ledger=msgspec.structs.replace(proof, **UNPROVEN[name](proof)))


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_part_with_a_changed_byte_is_not_the_part(sent: Sent, at: int) -> None:
    item, data = sent.read().items[0], bytearray(sent.parts[0])
    data[at] ^= 1
    with pytest.raises(OpenError):
        check_part(item, bytes(data))
    with pytest.raises(OpenError):
        check_part(item, sent.parts[0][:-1])
    with pytest.raises(OpenError):
        check_part(item, sent.parts[1])


@pytest.mark.parametrize("announced", [{"sha256": "00" * 32}, {"size_bytes": 1}], ids=["hash", "size"])
def test_a_part_that_the_owner_approved_but_the_device_announced_otherwise_is_refused(
    sent: Sent, announced: dict[str, Any]
) -> None:
    item = sent.read().items[0]
    check_part(item, sent.parts[0])
    with pytest.raises(OpenError, match="device announced"):
        check_part(replace(item, part=msgspec.structs.replace(item.part, **announced)), sent.parts[0])


def test_a_part_that_the_device_announced_but_the_owner_did_not_approve_is_refused(sent: Sent) -> None:
    item = sent.read().items[0]
    other = custodians.new_header(55) + sent.parts[0][check_part(item, sent.parts[0]) :]
    announced = msgspec.structs.replace(item.part, sha256=hashlib.sha256(other).hexdigest(), size_bytes=len(other))
    with pytest.raises(OpenError, match="owner approved"):
        check_part(replace(item, part=announced), other)


# -- inside and outside ------------------------------------------------------------------------------------------------


def test_a_redacted_part_is_the_one_whose_payload_the_owner_signed(case: Case) -> None:
    approval, blobs = redacting(case)
    item = case.release(approval, blobs)[0]
    data = item.header + REDACTED
    part = Part(kind=PartKind.SEGMENT, id=item.id, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    record = item.record.record
    assert isinstance(record, SegmentRecord)
    redacted = DisclosedItem(part, approval.segments[0], record, item.record, SecondSignature.COVERED)
    captured = DisclosedItem(part, case.approval.segments[0], record, item.record, SecondSignature.COVERED)
    assert (redacted.is_redacted, captured.is_redacted) == (True, False)
    assert check_part(redacted, data) == len(item.header)
    with pytest.raises(OpenError, match="not the one the owner approved"):
        check_part(captured, data)


def test_only_what_was_signed_at_the_end_of_its_capture_comes_redacted(sent: Sent) -> None:
    approval, _ = redacting(sent.case)
    name = approval.segments[0].id
    record = sent.case.records[name].record
    assert isinstance(record, SegmentRecord)
    for made, refused in ((record, False), (recovered(record), True)):
        line = sign_record(made, ChainHead(), DEVICE.sign).line.decode()
        words, parts = sent.manifest.second_signatures[:1], sent.manifest.parts[:1]
        manifest = msgspec.structs.replace(sent.manifest, records=(line,), second_signatures=words, parts=parts)
        said = spoilt(approval, segments=approval.segments[:1])
        if not refused:
            assert [each.is_redacted for each in items_of(manifest, said)] == [True]
            continue
        with pytest.raises(FormatError, match="was not signed at the end of its capture"):
            list(items_of(manifest, said))


def test_a_file_lists_redactions_exactly_if_the_owner_approved_it_as_redacted(case: Case) -> None:
    record = first_record(case)
    place = Place(at_ms=0, left=0, top=0, width=1, height=1)
    face = Redaction(kind=RedactionKind.FACE, from_ms=0, until_ms=1, places=(place,))
    captured, made = context_of(record), context_of(record, redactions=(face,))
    agree(record, made, device=samples.DEVICE_KEY.id, redacted=True)
    with pytest.raises(FormatError, match="does not say where"):
        agree(record, captured, device=samples.DEVICE_KEY.id, redacted=True)
    with pytest.raises(FormatError, match="approved as captured"):
        agree(record, made, device=samples.DEVICE_KEY.id)


def context_of(record: SegmentRecord, **changes: Any) -> Context:
    values: dict[str, Any] = {
        "device": samples.DEVICE_KEY.id,
        "segment": record.id,
        "event": record.event,
        "ordinal": record.ordinal,
        "span": record.span,
        "kind": Content.SEGMENT,
        "media_bytes": 1,
    }
    return Context(**{**values, **changes})


def first_record(case: Case) -> SegmentRecord:
    record = case.records[case.stored.segments[0]].record
    assert isinstance(record, SegmentRecord)
    return record


def test_a_segment_that_says_inside_what_was_signed_outside_agrees(case: Case) -> None:
    agree(first_record(case), context_of(first_record(case)), device=samples.DEVICE_KEY.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "0" * 16},
        {"segment": "a" * 26},
        {"event": "b" * 24 + "ba"},
        {"ordinal": 77},
        {"kind": Content.SOUND},
        {"kind": Content.POSTER},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_segment_that_says_something_else_inside_does_not(case: Case, changes: dict[str, Any]) -> None:
    record = first_record(case)
    with pytest.raises(FormatError, match=record.id):
        agree(record, context_of(record, **changes), device=samples.DEVICE_KEY.id)


def recovered(record: SegmentRecord) -> RecoveredRecord:
    begin = Begin(
        segment=record.id,
        event=record.event,
        ordinal=record.ordinal,
        boot=record.span.boot,
        start_us=record.span.start_us,
        until_us=record.span.start_us + 60 * 10**6,
        utc_ms=record.span.utc_ms,
        quality=record.span.quality,
    )
    stamp = Stamp(boot="1" * 32, at_us=0, utc_ms=0, quality=ClockQuality.SYNCED)
    return RecoveredRecord(begin=begin, complete=True, file=record.file, at=stamp)


def test_of_a_segment_nobody_saw_end_its_beginning_must_agree(case: Case) -> None:
    record = first_record(case)
    agree(recovered(record), context_of(record), device=samples.DEVICE_KEY.id)
    span: Any = record.span
    for name, value in (("boot", "2" * 32), ("start_us", span.start_us + 1)):
        elsewhere = context_of(record, span=msgspec.structs.replace(span, **{name: value}))
        with pytest.raises(FormatError, match=record.id):
            agree(recovered(record), elsewhere, device=samples.DEVICE_KEY.id)
    with pytest.raises(FormatError, match=record.id):
        agree(recovered(record), context_of(record, ordinal=9), device=samples.DEVICE_KEY.id)


@pytest.mark.parametrize("name", ["boot", "start_us", "end_us", "utc_ms", "quality"])
def test_a_segment_of_another_time_does_not_agree(case: Case, name: str) -> None:
    record = first_record(case)
    span: Any = record.span
    value = {"boot": "2" * 32, "quality": ClockQuality.UNKNOWN}.get(name)
    changed = msgspec.structs.replace(span, **{name: getattr(span, name) + 1 if value is None else value})
    with pytest.raises(FormatError, match=record.id):
        agree(record, context_of(record, span=changed), device=samples.DEVICE_KEY.id)


@pytest.mark.parametrize("content", [Content.POSTER, Content.SOUND])
def test_a_poster_and_sound_say_inside_what_was_signed_outside(case: Case, content: Content) -> None:
    record = first_record(case)
    for known in (record, recovered(record)):
        agree(known, context_of(record, kind=content), device=samples.DEVICE_KEY.id, content=content)
        for lie in ({"kind": Content.SEGMENT}, {"segment": "a" * 26}, {"ordinal": 9}, {"device": "0" * 16}):
            context = context_of(record, **{"kind": content, **lie})
            with pytest.raises(FormatError, match=f"{content.value} of segment {record.id}"):
                agree(known, context, device=samples.DEVICE_KEY.id, content=content)
