"""One good value of every message, and how to draw more: for the tests of `wire` and anyone who needs an example."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from agent.clients.opening import HybridIdentity
from agent.core.ledger.checkpoint import parse_checkpoint, sign_checkpoint
from agent.core.ledger.entries import EntryKind, encode_entry, entry
from agent.core.ledger.merkle import Frontier, leaf_hash
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.wire import envelope, strictjson
from agent.wire.area import Circle, Point, Polygon
from agent.wire.broker_directory import BrokerDirectory, CellBroker, CellRange, directory_sha256
from agent.wire.disclosures import (
    ByteRange,
    ClipRecords,
    ContactCard,
    DisclosureManifest,
    LedgerProof,
    Part,
    PartKind,
    PartMissing,
    PartRange,
    Receipt,
    ReceiptState,
    SecondSignature,
    TipManifest,
    TipText,
)
from agent.wire.fields import Incident, Kind, OnwardKind, ZoneKind
from agent.wire.health import HealthReport, HealthWord, UpdateWord
from agent.wire.identities import (
    MLDSA_SIGNATURE_BYTES,
    MldsaPublicKey,
    approval_mldsa_key,
    mldsa_key_from_seed,
    private_key_from_seed,
    public_key_of,
)
from agent.wire.messages import Bulletin, Contact, Deletion, FootageRequest, Onward, Withdrawal
from agent.wire.statements import (
    AbsenceReason,
    Approval,
    ClipClaim,
    CoApproval,
    Denial,
    Enrolment,
    Erasure,
    FootageAbsence,
    Hold,
    NamedKey,
    NamedRecipient,
    OptIn,
    OptOut,
    PrivateHoursSetting,
    PushSubscription,
    PushUnsubscription,
    QuietHoursSetting,
    Redacted,
    Release,
    Revocation,
    Scope,
    SealedItem,
    Settings,
    Stolen,
    Tip,
    TrustChange,
    UpdateChoice,
    UpdateReversal,
    ZoneSetting,
)
from agent.wire.time_proofs import TimeProof, TimeStamp
from agent.wire.trust import (
    EntryLimits,
    NamedSection,
    RequesterEntry,
    RequesterKey,
    TrustBundle,
    TrustRegion,
    TrustSection,
)
from agent.wire.trust_keys import TrustKey, sign_as_root, trust_key_of_private
from agent.wire.trust_package import RootFile, TrustPackage, TrustTimestamp


def private_key(name: str) -> Any:
    """The Ed25519 key with the SHA-256 of `name` as its seed."""
    return private_key_from_seed(hashlib.sha256(name.encode()).digest())


ROOT, REQUESTER, DEVICE, OWNER = (private_key(name) for name in ("root", "requester", "device", "owner"))
ROOT_KEY = trust_key_of_private(ROOT)
OWNER_ROOT = trust_key_of_private(OWNER)
"""The owner's key as another root."""
REQUESTER_KEY, DEVICE_KEY, OWNER_KEY = map(public_key_of, (REQUESTER, DEVICE, OWNER))
GLANCE_KEY = public_key_of(private_key("glance"))
ROOT_SIGNERS = tuple(private_key(f"root-{number}") for number in (1, 2, 3))
TIMESTAMP = private_key("timestamp")
MLDSA = mldsa_key_from_seed(hashlib.sha256(b"device").digest())
MLDSA_KEY = MldsaPublicKey.of(MLDSA)
DEVICE_KEYS = envelope.HybridKey(DEVICE_KEY, MLDSA_KEY)
_VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "wire"

NOW_S = 1_800_000_000
HOUR_S = 3600
REPLY = str(HybridIdentity(hashlib.sha256(b"reply").digest()).recipient())
RECIPIENT = "age1pq1" + "p" * 1952
RECOVERY = "age1pq1" + "z" * 1952
X25519_RECIPIENT = "age1" + "q" * 58
SHA = "ab" * 32


@cache
def _kept_signatures() -> dict[tuple[str, str, str], str]:
    """The ML-DSA-44 signatures in the vectors, by payload type, payload and key id."""
    found: dict[tuple[str, str, str], str] = {}
    for path in (*sorted((_VECTORS / "messages").glob("*.json")), _VECTORS / "known_doors.json"):
        with suppress(OSError, ValueError):
            _collect(json.loads(path.read_text(encoding="utf-8")), found)
    return found


def _collect(value: Any, found: dict[tuple[str, str, str], str]) -> None:
    if isinstance(value, list):
        for each in value:
            _collect(each, found)
    elif isinstance(value, dict):
        for each in value.values():
            _collect(each, found)
        if len(value.get("signatures", ())) == 2:
            second = value["signatures"][1]
            found[value["payloadType"], value["payload"], second["keyid"]] = second["sig"]
    elif isinstance(value, str) and value.startswith("{"):
        with suppress(ValueError):
            _collect(json.loads(value), found)


def sign_kept(kind: str, payload: bytes, key: Any, mldsa: Any = None) -> bytes:
    """As `envelope.sign_hybrid`, with the ML-DSA-44 signature of the vectors if they have one that verifies.

    ML-DSA draws randomness, and the vectors stay as they are until what they sign changes. `mldsa` is an owner's by
    default.
    """
    mldsa = approval_mldsa_key(key) if mldsa is None else mldsa
    second = MldsaPublicKey.of(mldsa)
    made = envelope.sign_hybrid(kind, payload, key, mldsa)
    kept = _kept_signatures().get((kind, strictjson.encode_base64(payload), second.id))
    if kept is None or not second.verifies(strictjson.decode_base64(kept), envelope.pae(kind, payload)):
        return made
    fresh = strictjson.encode_base64(envelope.read_hybrid(made, kind, limit_bytes=len(made)).signatures[1][1])
    return made.replace(fresh.encode(), kept.encode())


@cache
def _kept_notes() -> dict[str, list[str]]:
    """The second signature lines of the checkpoints in the vectors, by the checkpoint's text."""
    found: dict[str, list[str]] = {}
    for path in (*sorted((_VECTORS / "messages").glob("*.json")), *sorted((_VECTORS.parent / "ledger").glob("*.json"))):
        with suppress(OSError, ValueError):
            for note in _notes_in(json.loads(path.read_text(encoding="utf-8"))):
                text, _, lines = note.partition("\n\n")
                found.setdefault(text, []).extend(lines.splitlines()[1:2])
    return found


def _notes_in(value: Any) -> Iterator[str]:
    if isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _notes_in(each)
    elif isinstance(value, str) and value.startswith("{"):
        with suppress(ValueError):
            yield from _notes_in(json.loads(value))
    elif isinstance(value, str) and value.startswith("doorward/"):
        yield value


def kept_note(note: str, mldsa: MldsaPublicKey) -> str:
    """Returns a signed checkpoint with the ML-DSA-44 signature of the vectors, if they have one that verifies."""
    text, _, lines = note.partition("\n\n")
    message = parse_checkpoint(f"{text}\n").mldsa_message
    for line in _kept_notes().get(text, ()):
        if mldsa.verifies(strictjson.decode_base64(line.split(" ")[2])[12:], message):
            first, second, *others = lines.splitlines(keepends=True)
            assert second.split(" ")[2][:16] == line.split(" ")[2][:16]
            return "".join((f"{text}\n\n", first, f"{line}\n", *others))
    return note


def square(lat: float, lon: float, side_m: float = 600.0) -> Polygon:
    """Roughly a square of `side_m` around a place at middle latitudes."""
    high = side_m / 2 / 111_195.08
    wide = high / 0.6
    corners = ((-high, -wide), (-high, wide), (high, wide), (high, -wide))
    return Polygon(
        vertices=tuple(Point(lat=round(lat + north, 7), lon=round(lon + east, 7)) for north, east in corners)
    )


def outline(lat: float, lon: float, *corners_m: tuple[float, float]) -> Polygon:
    """From corners in metres (north, east) of a place."""
    shrink = math.cos(math.radians(lat))
    return Polygon(
        vertices=tuple(
            Point(lat=round(lat + north / 111_195.08, 7), lon=round(lon + east / 111_195.08 / shrink, 7))
            for north, east in corners_m
        )
    )


HARBOUR = square(53.5461, 9.9661)
NEEDLE = outline(
    53.55, 9.97, (0, 0), (0, 255), (128, 255), (128, 1755), (133, 1755), (133, 1754.5), (128.5, 1754.5), (128.5, 255),
    (258, 255), (258, 0),
)  # fmt: skip
"""A park of 65 790 m² that pays for a needle 1.5 km long and half a metre wide, with a tip that bends around one
door."""
AT_THE_TIP = (round(53.55 + 131 / 111_195.08, 7), round(9.97 + 1754.75 / 111_195.08 / math.cos(math.radians(53.55)), 7))
NARROW = {
    "needle": NEEDLE,
    "strip of 119 m": outline(40.0, -3.0, (0, 0), (0, 900), (119, 900), (119, 0)),
    "strip of 125 m": outline(-33.0, 151.0, (0, 0), (0, 900), (125, 900), (125, 0)),
    "two rooms and a neck": outline(
        52.0, 5.0, (0, 0), (0, 300), (140, 300), (140, 500), (0, 500), (0, 800), (300, 800), (300, 500), (150, 500),
        (150, 300), (300, 300), (300, 0),
    ),
    "a star": outline(
        70.0,
        20.0,
        *(
            ((700 - 560 * (n % 2)) * math.cos(n * math.pi / 8), (700 - 560 * (n % 2)) * math.sin(n * math.pi / 8))
            for n in range(16)
        ),
    ),
    "a room and a slant": outline(-79.9, 20.0, (0, 0), (0, 300), (200, 500), (340, 460), (300, 300), (300, 0)),
}  # fmt: skip
"""Shapes of which a part does not count."""
CIRCLE = Circle(lat=53.5461, lon=9.9661, radius_m=300)


def request(**changes: Any) -> FootageRequest:
    values: dict[str, Any] = {
        "v": 1,
        "id": "0123456789abcdef0123456789abcdef",
        "requester": "harbour-police",
        "seq": 7,
        "trust_root": ROOT_KEY.id,
        "kind": Kind.POLICE,
        "case": "HH 2027/0815",
        "incident": Incident.BURGLARY,
        "description": "Two people left a cellar in Hafenstraße carrying a bicycle.",
        "area": HARBOUR,
        "from_s": NOW_S - 10 * HOUR_S,
        "to_s": NOW_S - 8 * HOUR_S,
        "not_after_s": NOW_S + 7 * 24 * HOUR_S,
        "reply": REPLY,
        "contact": Contact(name="Inspector Ada Krüger", email="krueger@police.example", phone="+49 40 1234"),
        "retention_days": 180,
        "onward": Onward(to=(OnwardKind.COURT, OnwardKind.DEFENCE), basis="Police data act, section 12"),
        "language": "en",
    }
    return FootageRequest(**{**values, **changes})


def bundle(**changes: Any) -> TrustBundle:
    values: dict[str, Any] = {
        "v": 1,
        "root": ROOT_KEY.id,
        "version": 3,
        "issued_s": NOW_S - 24 * HOUR_S,
        "requesters": (requester(),),
        "directory_sha256": directory_sha256(strictjson.encode(directory())),
    }
    return TrustBundle(**{**values, **changes})


def directory(**changes: Any) -> BrokerDirectory:
    """A harbour with two brokers for its dense cell, and one for the land around it."""
    harbour = CellRange(south_west="287-379", north_east="287-379")
    brokers = (
        CellBroker(host="harbour-1.broker.example", port=8884, cells=(harbour,)),
        CellBroker(host="harbour-2.broker.example", port=8884, cells=(harbour,)),
        CellBroker(
            host="2001:db8::7",
            port=443,
            cells=(
                CellRange(south_west="280-370", north_east="286-389"),
                CellRange(south_west="287-370", north_east="287-378"),
                CellRange(south_west="359-719", north_east="359-719"),
            ),
        ),
    )
    return BrokerDirectory(**{"v": 1, "root": ROOT_KEY.id, "brokers": brokers, **changes})


def pair(key: Any) -> TrustKey:
    """The public pair of a root's private key."""
    return _pair(key.private_bytes_raw())


@cache
def _pair(seed: bytes) -> TrustKey:
    return trust_key_of_private(private_key_from_seed(seed))


def pair_text(key: Any) -> str:
    return pair(key).text


def root_file(**changes: Any) -> RootFile:
    values: dict[str, Any] = {
        "v": 1,
        "root": ROOT_KEY.id,
        "version": 1,
        "issued_s": NOW_S - 48 * HOUR_S,
        "expires_s": NOW_S + 365 * 24 * HOUR_S,
        "keys": tuple(pair_text(each) for each in ROOT_SIGNERS),
        "threshold": 2,
        "timestamp_keys": (pair_text(TIMESTAMP),),
    }
    return RootFile(**{**values, **changes})


def several(message: Any, *keys: Any) -> bytes:
    """`message` in an envelope that all `keys` signed, each with both halves of its pair."""
    return signed_by_roots(message.PAYLOAD_TYPE, strictjson.encode(message), *keys)


def signed_by_roots(kind: str, payload: bytes, *keys: Any) -> bytes:
    """As `several`, for a payload that our writer refuses."""
    signed = envelope.pae(kind, payload)
    return envelope.with_signatures(kind, payload, {public_key_of(key).id: root_signature(key, signed) for key in keys})


def root_signature(key: Any, signed: bytes) -> bytes:
    """The signature of a root's pair. ML-DSA draws randomness, so one that is in the vectors is used again."""
    name = f"{public_key_of(key).id}-{hashlib.sha256(signed).hexdigest()[:16]}"
    found = root_signatures()
    if name not in found:
        found[name] = strictjson.encode_base64(sign_as_root(key, signed))
    return strictjson.decode_base64(found[name])


@cache
def root_signatures() -> dict[str, str]:
    """Signatures of roots in base64, by the id of the pair and the hash of what it signed, first the vectors'."""
    path = _VECTORS / "trust_signatures.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def timestamp(of: RootFile, listed: TrustBundle, **changes: Any) -> TrustTimestamp:
    values: dict[str, Any] = {
        "v": 1,
        "root": of.root,
        "version": 1,
        "issued_s": NOW_S - HOUR_S,
        "expires_s": NOW_S + 7 * 24 * HOUR_S,
        "root_version": of.version,
        "root_sha256": hashlib.sha256(strictjson.encode(of)).hexdigest(),
        "bundle_version": listed.version,
        "bundle_sha256": hashlib.sha256(strictjson.encode(listed)).hexdigest(),
    }
    return TrustTimestamp(**{**values, **changes})


def package(listed: TrustBundle | None = None, **changes: Any) -> bytes:
    """A package of the root: by its name key one root file, by two of three keys a bundle, by a fourth the timestamp.

    `changes`: of the timestamp; or `roots` (envelopes), `root` (the newest of them), `signers`, `stamper`, `sections`.
    """
    listed = bundle() if listed is None else listed
    root = changes.pop("root", root_file())
    roots = changes.pop("roots", (several(root, ROOT, *ROOT_SIGNERS[:2]),))
    signers, stamper = changes.pop("signers", ROOT_SIGNERS[:2]), changes.pop("stamper", TIMESTAMP)
    named, sections = changes.pop("named", listed), changes.pop("sections", ())
    return strictjson.encode(
        TrustPackage(
            v=1,
            roots=tuple(each.decode() for each in roots),
            bundle=several(listed, *signers).decode(),
            timestamp=several(timestamp(root, named, **changes), stamper).decode(),
            sections=tuple(each.decode() for each in sections),
        )
    )


def local(number: int, south: float, west: float, north: float, east: float, **changes: Any) -> RequesterEntry:
    """A requester with another key, and one region."""
    key = public_key_of(private_key(f"local-{number}")).text
    values: dict[str, Any] = {
        "id": f"local-{number}",
        "name": f"Town {number}",
        "keys": (RequesterKey(key=key, from_s=0, until_s=NOW_S * 2),),
        "regions": (TrustRegion(south_west=Point(lat=south, lon=west), north_east=Point(lat=north, lon=east)),),
    }
    return requester(**{**values, **changes})


def section(south_west: str, north_east: str, *entries: RequesterEntry) -> tuple[NamedSection, bytes]:
    data = strictjson.encode(TrustSection(v=1, requesters=entries))
    cells = CellRange(south_west=south_west, north_east=north_east)
    return NamedSection(cells=cells, sha256=hashlib.sha256(data).hexdigest()), data


def requester(**changes: Any) -> RequesterEntry:
    values: dict[str, Any] = {
        "id": "harbour-police",
        "name": "Harbour Police",
        "kind": Kind.POLICE,
        "keys": (RequesterKey(key=REQUESTER_KEY.text, from_s=NOW_S - 365 * 86400, until_s=NOW_S + 365 * 86400),),
        "regions": (TrustRegion(south_west=Point(lat=53.0, lon=9.0), north_east=Point(lat=54.0, lon=11.0)),),
        "limits": EntryLimits(window_max_s=6 * HOUR_S),
    }
    return RequesterEntry(**{**values, **changes})


_STATED: dict[str, Any] = {
    "v": 1,
    "device": DEVICE_KEY.text,
    "owner_time_ms": NOW_S * 1000 + 5,
    "nonce": "00112233445566778899aabbccddeeff",
}


def item(number: int) -> SealedItem:
    name = "abcdefghijklmnopqrstuvwxy" + "234567abcdefghij"[number]
    return SealedItem(id=name, payload_sha256=f"{number:064x}", header_sha256=f"{number + 1000:064x}")


def redacted(number: int) -> SealedItem:
    """`item(number)`, of which only the owner's redaction leaves."""
    said = Redacted(payload_sha256=f"{number + 4000:064x}", key=f"{number + 5000:064x}")
    return msgspec.structs.replace(item(number), redacted=said)


def sound(number: int) -> SealedItem:
    """The sound during `item(number)`."""
    return SealedItem(id=item(number).id, payload_sha256=f"{number + 2000:064x}", header_sha256=f"{number + 3000:064x}")


def enrolment(**changes: Any) -> Enrolment:
    values: dict[str, Any] = {
        **_STATED,
        "epoch": 1,
        "recipients": (NamedRecipient(name="owner-1", recipient=RECIPIENT),),
        "approvers": (NamedKey.of("owner-1", OWNER),),
        "recovery": RECOVERY,
        "device_mldsa": MLDSA_KEY.sha256,
    }
    return Enrolment(**{**values, **changes})


def approval(**changes: Any) -> Approval:
    values: dict[str, Any] = {
        **_STATED,
        "request": SHA,
        "reply": REPLY,
        "segments": (item(0), item(1)),
        "posters": (item(2),),
        "contact": strictjson.encode_base64(b"age-encryption.org/v1 and so on"),
    }
    return Approval(**{**values, **changes})


def receipt(**changes: Any) -> Receipt:
    values: dict[str, Any] = {
        "v": 1,
        "disclosure": "fedcba9876543210fedcba9876543210",
        "request": request().id,
        "requester": "harbour-police",
        "trust_root": ROOT_KEY.id,
        "seq": 9,
        "state": ReceiptState.PARTIAL,
        "manifest": SHA,
        "stored": (PartRange(first=0, last=3), PartRange(first=5, last=5)),
        "incomplete": (
            PartMissing(part=4, missing=(ByteRange(start=65536, end=131072), ByteRange(start=262144, end=300000))),
        ),
        "time_s": NOW_S,
    }
    return Receipt(**{**values, **changes})


def ledgered(
    asked: FootageRequest,
    named: str,
    approval_sha256: str,
    device: Any = DEVICE,
    mldsa: Any = MLDSA,
    earlier: int = 5,
    **fields: Any,
) -> LedgerProof:
    """The proof that the approval, of disclosure `named`, is entry number `earlier` of a device's ledger."""
    boot = "1" * 32
    at = ClockReading(BootNs(1), UtcNs(NOW_S * 10**9), ClockQuality.SYNCED)
    before = Frontier()
    for _ in range(earlier):
        before = before.append(leaf_hash(encode_entry(entry(EntryKind.BOOT, boot, at))))
    values = {"request": asked.id, "requester": asked.requester, "disclosure": named}
    values |= {"subject": approval_sha256, "segments": 1}
    leaf = encode_entry(entry(**{"kind": EntryKind.APPROVED, "boot_id": boot, "at": at, **values, **fields}))
    after = before.append(leaf_hash(leaf))
    return LedgerProof(
        checkpoint=kept_note(sign_checkpoint(after, device, mldsa).decode(), MldsaPublicKey.of(mldsa)),
        entry=leaf.decode(),
        index=earlier,
        path=tuple(node.hex() for node in reversed(before.roots)),
    )


def disclosure_manifest() -> DisclosureManifest:
    return DisclosureManifest(
        v=1,
        disclosure=receipt().disclosure,
        device=DEVICE_KEY.text,
        device_mldsa=strictjson.encode_base64(MLDSA_KEY.raw),
        request=SHA,
        approval=sign_kept(Approval.PAYLOAD_TYPE, strictjson.encode(approval()), OWNER).decode(),
        enrolments=(sign_kept(Enrolment.PAYLOAD_TYPE, strictjson.encode(enrolment()), OWNER).decode(),),
        records=('{"payload":"e30=","sig":""}',),
        second_signatures=(SecondSignature.COVERED,),
        parts=(
            Part(kind=PartKind.SEGMENT, id=item(0).id, size_bytes=2_500_000, sha256=SHA),
            Part(kind=PartKind.POSTER, id=item(0).id, size_bytes=40_000, sha256=SHA),
        ),
        ledger=ledgered(request(), receipt().disclosure, hashlib.sha256(strictjson.encode(approval())).hexdigest()),
    )


def health(**changes: Any) -> HealthReport:
    good = HealthReport(
        v=1, device=DEVICE_KEY.text, name="mill-lane-1", at=NOW_S, clock=ClockQuality.SYNCED, uptime=86_400,
        version="0.2.0", configuration=SHA, has_owner=True, recorder=HealthWord.OK, camera=HealthWord.OK,
        storage=HealthWord.OK, supply=HealthWord.OK, wifi_dbm=-60, update=UpdateWord.INSTALLED,
        update_version="0.2.0",
    )  # fmt: skip
    return msgspec.structs.replace(good, **changes)


EVERY_MESSAGE: dict[str, strictjson.Message] = {
    "footage-request": request(),
    "footage-request-circle": request(area=CIRCLE),
    "withdrawal": Withdrawal(
        v=1,
        request=request().id,
        requester="harbour-police",
        trust_root=ROOT_KEY.id,
        seq=8,
        reason="Case closed",
        language="en",
    ),
    "deletion": Deletion(
        v=1, request=request().id, requester="harbour-police", trust_root=ROOT_KEY.id, seq=11, deleted_s=NOW_S
    ),
    "bulletin": Bulletin(
        v=1,
        id="00" * 16,
        requester="harbour-police",
        trust_root=ROOT_KEY.id,
        seq=10,
        title="Storm tide tonight",
        description="Keep cellars and the quay clear until morning.",
        language="en",
        not_after_s=NOW_S + 12 * HOUR_S,
        area=CIRCLE,
    ),
    "health-report": health(),
    "health-report-faults": health(
        clock=ClockQuality.UNKNOWN,
        has_owner=False,
        camera=HealthWord.FAULT,
        storage=HealthWord.UNKNOWN,
        throttle=2,
        wifi_dbm=None,
        update=UpdateWord.ROLLED_BACK,
        update_version="0.2.1",
    ),
    "receipt": receipt(),
    "receipt-complete": receipt(
        state=ReceiptState.COMPLETE, stored=(PartRange(first=0, last=5),), incomplete=(), retention_days=180
    ),
    "receipt-unopened": receipt(
        state=ReceiptState.COMPLETE,
        stored=(PartRange(first=0, last=5),),
        incomplete=(),
        unopened=(PartRange(first=2, last=2), PartRange(first=4, last=5)),
    ),
    "receipt-refused": receipt(state=ReceiptState.REFUSED, stored=(), incomplete=(), manifest=None),
    "enrolment": enrolment(),
    "enrolment-second-epoch": enrolment(
        epoch=2,
        previous=SHA,
        recipients=(
            NamedRecipient(name="owner-1", recipient=RECIPIENT),
            NamedRecipient(name="owner-2", recipient=X25519_RECIPIENT),
        ),
    ),
    "enrolment-two-approve": enrolment(
        epoch=2,
        previous=SHA,
        approvers=(
            NamedKey.of("owner-1", OWNER),
            NamedKey.of("owner-2", private_key("owner-2")),
        ),
        approvals_needed=2,
    ),
    "opt-out-requester": OptOut(
        **_STATED, scope=Scope.REQUESTER, value="harbour-police", trust_root=ROOT_KEY.id, until_s=NOW_S + 86400
    ),
    "opt-in-requester": OptIn(**_STATED, scope=Scope.REQUESTER, value="harbour-police", trust_root=ROOT_KEY.id),
    "opt-out-hours": OptOut(**_STATED, scope=Scope.HOURS, value="2200-0700"),
    "approval": approval(),
    "approval-of-clips": approval(
        segments=(),
        posters=(),
        contact=None,
        clips=(ClipClaim(from_ms=1_760_000_000_000, to_ms=1_760_000_020_000, segments=4),),
    ),
    "disclosure-manifest-that-tells": msgspec.structs.replace(
        disclosure_manifest(), clips=(ClipRecords(from_ms=1_760_000_000_000, to_ms=1_760_000_020_000, leaves=(SHA,)),)
    ),
    "tip": Tip(
        **_STATED,
        tip="00" * 16,
        trust_root=ROOT_KEY.id,
        requester="harbour-police",
        reply=RECIPIENT,
        message="e30=",
        segments=(item(0),),
        posters=(item(1),),
    ),
    "disclosure-manifest-with-a-time": msgspec.structs.replace(
        disclosure_manifest(),
        time=TimeProof(
            checkpoint="doorward/0123456789abcdef/time\n1\nAAAA\n\n— doorward/0123456789abcdef/time AAAA\n",
            cosignatures="— witness.example/w1 AAAA\n",
            stamps=(TimeStamp(name="tsa", response="MAA="),),
        ),
    ),
    "tip-manifest": TipManifest(
        v=1,
        tip="00" * 16,
        trust_root=ROOT_KEY.id,
        message="e30=",
        device=DEVICE_KEY.text,
        device_mldsa=MLDSA_KEY.text,
        records_mldsa=strictjson.encode_base64(bytes(MLDSA_SIGNATURE_BYTES)),
        records=("{}",),
        parts=(Part(kind=PartKind.SEGMENT, id=item(0).id, size_bytes=2_500_000, sha256=SHA),),
    ),
    "tip-manifest-of-words": TipManifest(v=1, tip="00" * 16, trust_root=ROOT_KEY.id, message="e30="),
    "tip-text": TipText(v=1, text="A white van waits there every night."),
    "trust-bundle-with-tips": bundle(requesters=(requester(tips=RECIPIENT),)),
    "co-approval": CoApproval(**_STATED, request=SHA, approval=SHA),
    "approval-with-gaps": approval(
        contact=None,
        gaps=(
            FootageAbsence(from_ms=1_760_000_000_000, to_ms=1_760_000_600_000, reason=AbsenceReason.NOTHING),
            FootageAbsence(from_ms=1_760_000_605_000, to_ms=1_760_000_900_000, reason=AbsenceReason.PRIVACY),
        ),
    ),
    "denial": Denial(**_STATED, request=SHA),
    "opt-out": OptOut(**_STATED, scope=Scope.KIND, value="insurer", until_s=NOW_S + 86400),
    "opt-in": OptIn(**_STATED, scope=Scope.ALL),
    "revocation": Revocation(**_STATED, disclosure=receipt().disclosure),
    "approval-with-sound": approval(posters=(), contact=None, sounds=(sound(0),)),
    "approval-redacted": approval(
        posters=(),
        contact=None,
        segments=(redacted(0), item(1)),
        sounds=(sound(1),),
    ),
    "hold": Hold(**_STATED, segments=(item(0).id, item(1).id), until_s=NOW_S + 30 * 86400),
    "release": Release(**_STATED, segments=(item(0).id,)),
    "erasure": Erasure(**_STATED, segments=(item(0).id, item(1).id)),
    "settings": Settings(
        **_STATED,
        previous=SHA,
        name="Front door",
        position=Point(lat=53.5461, lon=9.9661),
        sensitivity_percent=120,
        smallest_person=1500,
        zones=(
            ZoneSetting(name="Path", kind=ZoneKind.INCLUDE, corners=((0, 0), (10_000, 0), (5000, 9000))),
            ZoneSetting(
                name="Street", kind=tuple(ZoneKind)[-1], corners=((0, 0), (9000, 0), (0, 9000)), smallest_person=2500
            ),
        ),
        max_bytes=10**10,
        max_age_days=30,
        quiet=QuietHoursSetting(begins_minute=1320, ends_minute=420),
        private=(PrivateHoursSetting(days=(0, 6), begins_minute=0, ends_minute=1439),),
        updates="security",
    ),
    "push-subscription": PushSubscription(
        **_STATED,
        endpoint="https://push.example/f00d",
        p256dh="BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA",
        auth="tBHItJI5",
        glance=RECIPIENT,
        glance_signer=GLANCE_KEY.text,
    ),
    "push-unsubscription": PushUnsubscription(**_STATED, endpoint="https://push.example/f00d"),
    "update-choice": UpdateChoice(**_STATED, version="0.10.2", sha256=SHA),
    "update-reversal": UpdateReversal(**_STATED, version="0.10.2", before="0.10.1", change="cd" * 16),
    "stolen": Stolen(**_STATED, since_s=NOW_S),
    "trust-change": TrustChange(**_STATED, roots_added=(ROOT_KEY.text,)),
    "disclosure-manifest": disclosure_manifest(),
    "contact-card": ContactCard(v=1, name="Mira", street="Hafenstraße 7", note="Please call in the evening"),
    "trust-bundle": bundle(),
    "trust-root": root_file(),
    "trust-timestamp": timestamp(root_file(), bundle()),
}
"""By the name of its vector."""

PLAIN_WORDS = st.text("abcdefghij ÄÖéñ漢字0123456789-,!?", min_size=1, max_size=60).map(
    lambda text: " ".join(text.split()) or "words"
)


def hexes(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits)


IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
SEQUENCES = st.integers(1, 2**53 - 1)
TIMES_S = st.integers(0, 4 * 10**9)


@st.composite
def areas(draw: st.DrawFn) -> Polygon | Circle:
    lat = round(draw(st.floats(-79, 79)), 7)
    lon = round(draw(st.floats(-179, 179)), 7)
    if draw(st.booleans()):
        return Circle(lat=lat, lon=lon, radius_m=draw(st.integers(1, 1700)))
    return square(round(lat / 2, 7), lon, draw(st.floats(50, 900)))


@st.composite
def outlines(draw: st.DrawFn) -> Polygon:
    """Simple polygons of a few hundred metres, often with narrow parts: corners in order around a place."""
    lat, lon = draw(st.sampled_from((-79.9, -33.9, 0.01, 52.1, 70.3))), draw(st.sampled_from((-120.1, 5.3)))
    count = draw(st.integers(4, 9))
    picks = draw(st.lists(st.integers(0, 14), min_size=count, max_size=count))
    turns = [(number + (pick % 3) / 5) * 72 / count for number, pick in enumerate(picks)]
    reaches = [(20, 70, 150, 260, 400)[pick // 3] for pick in picks]
    corners = [
        (reach * math.cos(turn * math.tau / 72), reach * math.sin(turn * math.tau / 72))
        for turn, reach in zip(turns, reaches, strict=True)
    ]
    return outline(lat, lon, *corners)


@st.composite
def requests(draw: st.DrawFn) -> FootageRequest:
    begins = draw(st.integers(0, 4 * 10**9))
    return request(
        id=draw(hexes(32)),
        requester=draw(IDS),
        seq=draw(SEQUENCES),
        trust_root=draw(hexes(16)),
        kind=draw(st.sampled_from(Kind)),
        incident=draw(st.sampled_from(Incident)),
        case=draw(PLAIN_WORDS),
        description=draw(PLAIN_WORDS),
        area=draw(areas()),
        from_s=begins,
        to_s=begins + draw(st.integers(1, 10**6)),
        not_after_s=draw(TIMES_S),
        retention_days=draw(st.integers(1, 36_525)),
        onward=Onward(
            to=tuple(sorted(draw(st.sets(st.sampled_from(OnwardKind))), key=lambda kind: kind.value)),
            basis=draw(st.none() | PLAIN_WORDS),
        ),
        language=draw(st.sampled_from(("de", "nl-BE", "zh-Hant-TW", "es-419", "haw"))),
    )


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    edges = sorted(draw(st.sets(st.integers(0, 10_000), max_size=12)))
    pairs = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False) if b > a]
    apart = [pair for number, pair in enumerate(pairs) if number == 0 or pair[0] > pairs[number - 1][1] + 1]
    spans = tuple(ByteRange(start=start, end=end) for start, end in pairs)
    return receipt(
        disclosure=draw(hexes(32)),
        seq=draw(SEQUENCES),
        state=draw(st.sampled_from([ReceiptState.PARTIAL, ReceiptState.REFUSED])),
        stored=tuple(PartRange(first=first, last=last) for first, last in apart),
        incomplete=(PartMissing(part=30_000, missing=spans),) if spans else (),
        retention_days=draw(st.none() | st.integers(0, 36_525)),
        question=draw(st.none() | SEQUENCES),
    )


@st.composite
def approvals(draw: st.DrawFn) -> Approval:
    numbers = draw(st.sets(st.integers(0, 15), min_size=1, max_size=8))
    return approval(
        request=draw(hexes(64)),
        nonce=draw(hexes(32)),
        segments=tuple(item(number) for number in sorted(numbers)),
        posters=(),
        contact=draw(st.none() | st.binary(max_size=40).map(strictjson.encode_base64)),
        owner_time_ms=draw(st.integers(0, 10**13)),
    )


MESSAGES: st.SearchStrategy[strictjson.Message] = st.one_of(
    requests(), receipts(), approvals(), st.sampled_from(list(EVERY_MESSAGE.values()))
)
