"""Each kind of message: the fields it must have, and the contradictions it must not contain."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from agent.errors import FormatError, RequestError
from agent.wire import strictjson
from agent.wire.disclosures import (
    ByteRange,
    ContactCard,
    DisclosureManifest,
    Part,
    PartKind,
    PartMissing,
    PartRange,
    Receipt,
    ReceiptState,
    TipManifest,
    TipText,
)
from agent.wire.fields import Incident, Kind, OnwardKind, ZoneKind
from agent.wire.messages import Bulletin, Contact, FootageRequest, Onward, Withdrawal
from agent.wire.statements import (
    Approval,
    Enrolment,
    Erasure,
    Hold,
    OptIn,
    OptOut,
    Release,
    Scope,
    Settings,
    Tip,
    TrustChange,
)
from tests.wire import samples


def changed(message: strictjson.Message, /, **changes: Any) -> bytes:
    value = json.loads(strictjson.encode(message))
    for key, change in changes.items():
        if change is ...:
            del value[key]
        else:
            value[key] = change
    return json.dumps(value).encode()


@pytest.mark.parametrize("name", sorted(samples.EVERY_MESSAGE))
def test_every_field_is_named_when_its_type_is_wrong(name: str) -> None:
    message = samples.EVERY_MESSAGE[name]
    for key in json.loads(strictjson.encode(message)):
        with pytest.raises(FormatError):
            strictjson.decode(changed(message, **{key: {"wrong": 1}}), type(message), limit_bytes=10**6)


@pytest.mark.parametrize("key", sorted(json.loads(strictjson.encode(samples.request()))))
def test_nothing_in_a_request_is_optional(key: str) -> None:
    with pytest.raises(RequestError, match=key):
        strictjson.decode(changed(samples.request(), **{key: ...}), FootageRequest, error=RequestError)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"id": "0123456789ABCDEF0123456789abcdef"},
        {"id": "0" * 31},
        {"id": "0" * 32 + "\n"},
        {"requester": "Harbour"},
        {"requester": "a/b"},
        {"requester": "-a"},
        {"requester": "a" * 33},
        {"requester": ""},
        {"seq": 0},
        {"seq": -1},
        {"trust_root": "x"},
        {"kind": "army"},
        {"case": ""},
        {"case": "x" * 65},
        {"case": "a\u202eb"},
        {"incident": "other "},
        {"description": ""},
        {"description": "x" * 501},
        {"description": "see https://x.example"},
        {"from": samples.NOW_S, "to": samples.NOW_S},
        {"from": samples.NOW_S, "to": samples.NOW_S - 1},
        {"from": -1},
        {"to": 253402300800},
        {"not_after": 1.5},
        {"reply": samples.X25519_RECIPIENT},
        {"reply": samples.REPLY[:-1]},
        {"reply": samples.REPLY + "q"},
        {"reply": samples.REPLY[:-1] + "b"},
        {"area": {"shape": "star"}},
        {"area": {"shape": "circle", "lat": 0, "lon": 0, "radius_m": 0}},
        {"area": {"lat": 0, "lon": 0, "radius_m": 9}},
        {"area": {"shape": "polygon", "vertices": [{"lat": 0, "lon": 0}] * 2}},
        {"area": {"shape": "polygon", "vertices": [{"lat": 0, "lon": number / 1000} for number in range(33)]}},
        {"contact": {"name": "Ada"}},
        {"contact": {"name": "", "phone": "+49 40 1"}},
        {"contact": {"name": "Ada", "email": "not a mail"}},
        {"contact": {"name": "Ada", "email": "a@b\n.example"}},
        {"contact": {"name": "Ada", "phone": "call me"}},
        {"contact": "Ada"},
        {"retention_days": 0},
        {"retention_days": 36_526},
        {"onward": {"to": ["court", "abroad"]}},
        {"onward": {"to": ["court", "court"]}},
        {"onward": {"to": ["press"]}},
        {"onward": {"to": [], "basis": "see https://law.example"}},
        {"onward": {"to": [], "basis": "x" * 121}},
        {"language": "en_GB"},
        {"language": "EN"},
        {"language": "en\n"},
    ],
)
def test_a_request_that_is_none_is_the_requesters_error(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"^Footage request: "):
        strictjson.decode(changed(samples.request(), **changes), FootageRequest, error=RequestError)


def test_the_longest_request_there_can_be_fits_its_limit() -> None:
    long = "\N{CJK UNIFIED IDEOGRAPH-20000}"  # four bytes
    turns = [number * math.tau / 32 for number in range(32)]
    message = samples.request(
        requester="h" * 32,
        kind=Kind.NEIGHBOUR,
        incident=Incident.MISSING_PERSON,
        case=long * 64,
        description=long * 500,
        contact=Contact(name=long * 100, email="a" * 64 + "@" + ".".join(["b" * 63] * 5), phone="+" + "1" * 31),
        area=samples.outline(-53.1, -169.1, *((300 * math.cos(turn), 300 * math.sin(turn)) for turn in turns)),
        onward=Onward(to=tuple(sorted(OnwardKind, key=lambda kind: kind.value)), basis=long * 120),
        language="zho-Hant-419",
        retention_days=36_525,
        seq=2**53 - 1,
    )
    assert len(strictjson.encode(message)) < strictjson.REQUEST_LIMIT_BYTES


@pytest.mark.parametrize(
    "address", ["a@b", "a b@c.de", "a@b.de\n", "ada@example.org, eve@example.org", "a" * 65 + "@b.de", ""]
)
def test_an_e_mail_address_on_a_contact_card_is_one_plain_address(address: str) -> None:
    with pytest.raises(FormatError, match="email"):
        ContactCard(v=1, email=address)
    assert ContactCard(v=1, email="a" * 64 + "@b.de")


@pytest.mark.parametrize("words", ["a\u202eb", "", "x" * 2001], ids=["turned around", "none", "too long"])
def test_the_text_of_a_tip_is_clean_and_bounded(words: str) -> None:
    with pytest.raises(FormatError, match="text"):
        TipText(v=1, text=words)
    assert TipText(v=1, text="x" * 2000)


def test_the_longest_receipt_there_can_be_fits_its_limit_when_it_says_one_thing() -> None:
    spans = tuple(ByteRange(start=number * 2**17, end=number * 2**17 + 2**16) for number in range(64))
    unopened = tuple(PartRange(first=number * 300 + 1, last=number * 300 + 2) for number in range(64))
    ranges = tuple(PartRange(first=number * 300, last=number * 300 + 1) for number in range(64))
    for receipt in (
        samples.receipt(stored=(), incomplete=(PartMissing(part=9, missing=spans),)),
        samples.receipt(stored=ranges, incomplete=()),
        samples.receipt(state=ReceiptState.COMPLETE, stored=(), incomplete=(), unopened=unopened),
    ):
        assert len(strictjson.encode(receipt)) < strictjson.REQUEST_LIMIT_BYTES


ITEM, SOUND = msgspec.to_builtins(samples.item(0)), msgspec.to_builtins(samples.sound(0))
PART = msgspec.to_builtins(Part(kind=PartKind.SEGMENT, id=samples.item(0).id, size_bytes=1, sha256=samples.SHA))
OTHER_HEADER = {**ITEM, "header_sha256": "ab" * 32}
OTHER_SOUND = {**SOUND, "header_sha256": "ab" * 32}
REDACTED = {**ITEM, "redacted": {"payload_sha256": "cd" * 32, "key": "ef" * 32}}
REDACTED_SOUND = {**SOUND, "redacted": REDACTED["redacted"]}
STILL = {**SOUND, "id": ITEM["id"]}
TOLD = [{"from_ms": 1, "to_ms": 2, "segments": 1}]
ZONE = {"name": "Path", "kind": ZoneKind.INCLUDE.value, "corners": [[0, 0], [10, 0], [0, 10]]}


@pytest.mark.parametrize(
    ("kind", "message", "changes", "why"),
    [
        (Withdrawal, "withdrawal", {"reason": "see www.x"}, "reason"),
        (Withdrawal, "withdrawal", {"language": "EN"}, "language"),
        (Bulletin, "bulletin", {"language": "English"}, "language"),
        (Bulletin, "bulletin", {"title": "a\nb"}, "title"),
        (Bulletin, "bulletin", {"description": ""}, "description"),
        (Receipt, "receipt", {"unopened": [[1, 1]]}, "unopened"),
        (Receipt, "receipt-unopened", {"unopened": [[0, 1]]}, "unopened"),
        (Receipt, "receipt-unopened", {"unopened": [[1, 2], [3, 4]]}, "unopened"),
        (Receipt, "receipt", {"stored": [[3, 2]]}, "stored"),
        (Receipt, "receipt", {"stored": [[0, 1], [2, 3]]}, "stored: not ascending"),
        (Receipt, "receipt", {"stored": [[5, 6], [0, 3]]}, "stored: not ascending"),
        (Receipt, "receipt", {"stored": [[0, 3, 4]]}, "Receipt"),
        (Receipt, "receipt", {"stored": [[0, 9]]}, "both stored and incomplete"),
        (Receipt, "receipt", {"incomplete": [{"part": 4, "missing": [[5, 5]]}]}, "missing"),
        (Receipt, "receipt", {"incomplete": [{"part": 4, "missing": [[5, 9], [9, 12]]}]}, "missing"),
        (Receipt, "receipt", {"incomplete": [{"part": 4, "missing": []}]}, "missing"),
        (Receipt, "receipt", {"incomplete": [{"part": 4, "missing": [[5, 9]]}] * 2}, "incomplete.*twice"),
        (Receipt, "receipt", {"state": "complete"}, "complete"),
        (Receipt, "receipt-complete", {"manifest": ...}, "complete"),
        (Receipt, "receipt-complete", {"request": ...}, "closes"),
        (Receipt, "receipt-refused", {"request": ...}, "closes"),
        (Receipt, "receipt", {"retention_days": -1}, "retention_days"),
        (ContactCard, "contact-card", {"street": "a\u202eb"}, "street"),
        (ContactCard, "contact-card", {"note": "x" * 501}, "note"),
        (ContactCard, "contact-card", {"email": "x"}, "email"),
        (DisclosureManifest, "disclosure-manifest", {"device": "ed25519:" + "A" * 43}, "sound"),
        (DisclosureManifest, "disclosure-manifest", {"device_mldsa": ...}, "device_mldsa"),
        (DisclosureManifest, "disclosure-manifest", {"device_mldsa": "AAAA"}, "1312 bytes"),
        (DisclosureManifest, "disclosure-manifest", {"device_mldsa": "A" * 1757}, "device_mldsa"),
        (Enrolment, "enrolment", {"device_mldsa": ...}, "device_mldsa"),
        (OptOut, "opt-out", {"scope": "all"}, "value"),
        (OptOut, "opt-out", {"value": ...}, "value"),
        (OptOut, "opt-out", {"value": "army"}, "value"),
        (OptOut, "opt-out", {"scope": "incident", "value": "police"}, "value"),
        (OptIn, "opt-in", {"value": "police"}, "value"),
        (OptIn, "opt-in", {"scope": "requester", "trust_root": samples.ROOT_KEY.id}, "value"),
        (OptIn, "opt-in", {"scope": "requester", "value": "harbour-police"}, "trust_root"),
        (OptOut, "opt-out", {"scope": "requester", "value": "harbour-police"}, "trust_root"),
        (OptOut, "opt-out", {"trust_root": samples.ROOT_KEY.id}, "trust_root"),
        (TrustChange, "trust-change", {"roots_added": []}, "must add or remove a root"),
        (TrustChange, "trust-change", {"roots_removed": [samples.ROOT_KEY.text]}, "twice"),
        (TrustChange, "trust-change", {"roots_added": ["ed25519:" + "A" * 43 + "+mldsa44:" + "A" * 43]}, "sound"),
        (TrustChange, "trust-change", {"roots_added": [samples.ROOT_KEY.ed25519.text]}, "a root's key"),
        (Approval, "approval", {"segments": [], "posters": []}, "must name an item or a clip"),
        (Approval, "approval", {"contact": "e30"}, "base64"),
        (Approval, "approval", {"segments": [ITEM, OTHER_HEADER]}, "segments: .*twice"),
        (Approval, "approval", {"segments": [], "posters": [ITEM, OTHER_HEADER]}, "posters: .*twice"),
        (Approval, "approval", {"clips": TOLD * 2}, "clips: .*twice"),
        (Approval, "approval", {"gaps": [{"from_ms": 9, "to_ms": 9, "reason": "device off"}]}, "gaps"),
        (Approval, "approval-with-sound", {"sounds": [SOUND, OTHER_SOUND]}, "sounds: .*twice"),
        (Approval, "approval", {"gaps": [{"from_ms": 5, "to_ms": 5, "why": "device off"}]}, "gaps"),
        (Approval, "approval", {"gaps": [{"from_ms": 5, "to_ms": 9, "reason": "device off"}] * 2}, "gaps"),
        (Approval, "approval", {"gaps": [{"from_ms": 5, "to_ms": 9, "reason": "the owner was out"}]}, "reason"),
        (Approval, "approval", {"device": "ed25519:" + "A" * 43}, "sound"),
        (Approval, "approval", {"segments": [REDACTED], "posters": [STILL]}, "posters: not of a segment that is red"),
        (Approval, "approval", {"posters": [REDACTED], "segments": []}, "posters: a still is shared as"),
        (
            Approval,
            "approval-redacted",
            {"sounds": [{**SOUND, "redacted": REDACTED["redacted"]}], "segments": [REDACTED]},
            "redacted: .*twice",
        ),
        (Approval, "approval", {"segments": [{**REDACTED, "redacted": {"key": "ef" * 32}}]}, "payload_sha256"),
        (Tip, "tip", {"segments": [REDACTED], "posters": []}, "redacted: only in an approval"),
        (Tip, "tip", {"segments": [], "posters": [REDACTED]}, "redacted: only in an approval"),
        (Approval, "approval-with-sound", {"segments": [], "clips": TOLD}, "sounds: only"),
        (Approval, "approval-with-sound", {"sounds": [SOUND, SOUND]}, r"sounds.*twice"),
        (Approval, "approval-with-sound", {"sounds": [{**SOUND, "id": ITEM["id"][:-1] + "e"}]}, "sounds: only"),
        (Approval, "approval-with-sound", {"sounds": [{**SOUND, "header_sha256": ITEM["header_sha256"]}]}, "twice"),
        (Tip, "tip", {"message": ..., "segments": [], "posters": []}, "needs a message or an item"),
        (Tip, "tip", {"message": "e30"}, "base64"),
        (Tip, "tip", {"segments": [ITEM, OTHER_HEADER], "posters": []}, "segments: .*twice"),
        (Tip, "tip", {"segments": [], "posters": [ITEM, OTHER_HEADER]}, "posters: .*twice"),
        (Tip, "tip", {"segments": [ITEM, ITEM]}, "twice"),
        (Tip, "tip", {"posters": [ITEM, ITEM], "segments": []}, "twice"),
        (Tip, "tip", {"posters": [ITEM], "segments": [ITEM]}, "header_sha256"),
        (TipManifest, "tip-manifest", {"device": ...}, "device"),
        (TipManifest, "tip-manifest", {"parts": []}, "device"),
        (TipManifest, "tip-manifest", {"device": "ed25519:" + "A" * 43}, "sound"),
        (TipManifest, "tip-manifest", {"device_mldsa": ...}, "device_mldsa, records_mldsa: present exactly"),
        (TipManifest, "tip-manifest", {"records_mldsa": ...}, "device_mldsa, records_mldsa: present exactly"),
        (TipManifest, "tip-manifest", {"device_mldsa": "AAAA"}, "ML-DSA-44 public key has"),
        (TipManifest, "tip-manifest", {"records_mldsa": "AAAA"}, "records_mldsa: an ML-DSA-44 signature has"),
        (TipManifest, "tip-manifest", {"message": "e30"}, "base64"),
        (TipManifest, "tip-manifest", {"parts": [PART, PART]}, "parts.*twice"),
        (DisclosureManifest, "disclosure-manifest", {"parts": [PART, PART]}, "parts.*twice"),
        (Receipt, "receipt", {"stored": [[4, 6]]}, "both stored and incomplete"),
        (Receipt, "receipt", {"stored": [[2, 4]]}, "both stored and incomplete"),
        (OptOut, "opt-out-hours", {"value": "2400-0700"}, "quiet hours"),
        (OptOut, "opt-out-hours", {"value": "2200-0760"}, "quiet hours"),
        (OptOut, "opt-out-hours", {"value": "22:00-07:00"}, "value"),
        (OptOut, "opt-out-hours", {"value": "2200-07000"}, "quiet hours"),
        (Hold, "hold", {"segments": [ITEM["id"]] * 2}, "twice"),
        (Hold, "hold", {"segments": []}, "segments"),
        (Hold, "hold", {"until_s": ...}, "until_s"),
        (Release, "release", {"segments": [ITEM["id"]] * 2}, "twice"),
        (Erasure, "erasure", {"segments": [ITEM["id"]] * 2}, "twice"),
        (Settings, "settings", {"name": "a\nb"}, "name"),
        (Settings, "settings", {"name": "see www.x"}, "name"),
        (Settings, "settings", {"sensitivity_percent": 9}, "sensitivity_percent"),
        (Settings, "settings", {"sensitivity_percent": 1001}, "sensitivity_percent"),
        (Settings, "settings", {"max_age_days": 0}, "max_age_days"),
        (Settings, "settings", {"max_bytes": 9_999_999}, "max_bytes"),
        (Settings, "settings", {"zones": [{**ZONE, "name": "a\u202eb"}]}, "name"),
        (Settings, "settings", {"zones": [ZONE, ZONE]}, "twice"),
        (Settings, "settings", {"zones": [{**ZONE, "corners": [[0, 0], [1, 1]]}]}, "corners"),
        (Settings, "settings", {"zones": [{**ZONE, "corners": [[0, 0], [1, 1], [0, 10_001]]}]}, "corners"),
        (Settings, "settings", {"private": [{"days": [1, 1], "begins_minute": 0, "ends_minute": 1}]}, "twice"),
        (Settings, "settings", {"private": [{"days": [7], "begins_minute": 0, "ends_minute": 1}]}, "days"),
        (Settings, "settings", {"quiet": {"begins_minute": 1440, "ends_minute": 1}}, "begins_minute"),
    ],
)
def test_a_contradiction_is_refused(
    kind: type[strictjson.Message], message: str, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(FormatError, match=rf"(?<![A-Za-z]){why}"):
        strictjson.decode(changed(samples.EVERY_MESSAGE[message], **changes), kind, limit_bytes=10**6)


def test_an_approval_names_each_item_once_and_no_header_twice() -> None:
    one, two = samples.item(0), samples.item(1)
    twin = two.__class__(id=two.id, payload_sha256=two.payload_sha256, header_sha256=one.header_sha256)
    for segments, posters in (((one, one), ()), ((one, twin), ()), ((one,), (twin,)), ((), (one, one))):
        with pytest.raises(FormatError, match="twice"):
            samples.approval(segments=segments, posters=posters)


def test_a_receipt_is_written_in_the_order_of_its_keys_with_ranges_as_pairs() -> None:
    assert b'"stored":[[0,3],[5,5]]' in strictjson.encode(samples.receipt())
    assert samples.receipt(state=ReceiptState.REFUSED).state is ReceiptState.REFUSED


def test_an_opt_out_may_name_a_requester() -> None:
    assert samples.EVERY_MESSAGE["opt-out"].scope is Scope.KIND  # type: ignore[attr-defined]
    stated = {name: getattr(samples.approval(), name) for name in ("v", "device", "owner_time_ms", "nonce")}
    root = samples.ROOT_KEY.id
    assert OptOut(**stated, scope=Scope.REQUESTER, value="harbour-police", trust_root=root).trust_root == root


def test_what_is_optional_may_be_left_out() -> None:
    for name, keys in {
        "withdrawal": ["reason", "language"],
        "bulletin": ["area"],
        "receipt": ["request", "manifest", "stored", "incomplete", "time_s"],
        "receipt-complete": ["retention_days"],
        "approval": ["posters", "contact"],
        "approval-with-gaps": ["gaps"],
        "opt-out": ["until_s"],
        "contact-card": ["name", "street", "note"],
        "tip": ["message", "posters"],
        "tip-manifest": ["message"],
        "settings": ["previous", "name", "position", "sensitivity_percent", "zones", "max_bytes", "quiet", "private"],
    }.items():
        message = samples.EVERY_MESSAGE[name]
        data = changed(message, **dict.fromkeys(keys, ...))
        assert strictjson.decode(data, type(message)) != message


def test_every_payload_type_is_its_own() -> None:
    kinds = {type(message) for message in samples.EVERY_MESSAGE.values()} - {ContactCard, TipManifest, TipText}
    types = {kind.PAYLOAD_TYPE for kind in kinds}  # type: ignore[attr-defined]
    assert len(types) == len(kinds)
    assert all(name.startswith("application/vnd.doorward.") and name.endswith("+json") for name in types)


@pytest.mark.parametrize("without", ["reason", "language"])
def test_a_reason_of_a_withdrawal_has_its_language(without: str) -> None:
    whole = strictjson.encode(samples.EVERY_MESSAGE["withdrawal"])
    fields = {name: value for name, value in json.loads(whole).items() if name != without}
    with pytest.raises(FormatError, match="language"):
        strictjson.decode(json.dumps(fields, separators=(",", ":"), sort_keys=True).encode(), Withdrawal)
    neither = {name: value for name, value in fields.items() if name not in ("reason", "language")}
    strictjson.decode(json.dumps(neither, separators=(",", ":"), sort_keys=True).encode(), Withdrawal)
