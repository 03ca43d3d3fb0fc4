"""Custodians for tests: a whole door on a journal in memory, its owner, two requesters, and everything they can say.

The vault is of paper: a few signed records with made-up bytes behind them. The custodian never opens footage, so it
cannot tell; `tests/scenarios` does the same with footage.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.clients.opening import HybridIdentity, open_bytes
from agent.config import Configuration, violated_limit
from agent.core.consent import RequestState
from agent.core.device_secret import DeviceSecret
from agent.core.requests import OutboxPart, StoredRequest
from agent.core.timebase import ClockQuality
from agent.core.vault.age.recipients import HybridRecipient
from agent.core.vault.age.sealing import make_header
from agent.core.vault.coverage import CoverageSpan
from agent.core.vault.coverage import CoverageState as Word
from agent.core.vault.entries import Totals, VaultEntry, entry_of
from agent.core.vault.excerpt import Cover
from agent.core.vault.fields import TimeSpan, segment_id
from agent.core.vault.hash_chain import FIRST, chain_hash
from agent.core.vault.manifest import ChainHead, SignedRecord, sign_record
from agent.core.vault.records import PosterRecord, SealedFile, SegmentRecord
from agent.custodian.clock_trust import TrustedClock
from agent.custodian.custodian import Custodian
from agent.custodian.inbox import InboxSettings
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.releases import RequestStatus
from agent.custodian.state import CustodianDeps
from agent.errors import StorageError
from agent.wire import disclosures, envelope, strictjson
from agent.wire.fields import Kind
from agent.wire.identities import MldsaPublicKey, PublicKey, private_key_from_seed, public_key_of
from agent.wire.limits import RequestLimits
from agent.wire.messages import Bulletin, Deletion, FootageRequest, Withdrawal
from agent.wire.statements import (
    Approval,
    Denial,
    Enrolment,
    NamedKey,
    NamedRecipient,
    OwnerStatement,
    Redacted,
    Revocation,
    SealedItem,
    TrustChange,
    sign_statement,
)
from agent.wire.topics import (
    BULLETIN_SLOTS,
    REQUEST_SLOTS,
    BulletinTopic,
    ReceiptTopic,
    RequestTopic,
    Topic,
    cell_of,
)
from agent.wire.trust import RequesterKey, TrustBundle
from tests.damage import with_another_end
from tests.vaults import SeededEntropy, SteppedClock
from tests.wire import samples

__all__ = ["APPROVER", "DOOR", "FIRE", "NOW_S", "POLICE", "Door", "FakeOutbox", "PaperVault", "Told", "signed"]

NOW_S = samples.NOW_S
DOOR = (53.5461, 9.9661)
"""In the middle of `samples.HARBOUR`."""
DEVICE, ROOT, APPROVER = samples.DEVICE, samples.ROOT, samples.OWNER
SECRET = DeviceSecret(b"s" * 32)
MLDSA = SECRET.mldsa_key()
MLDSA_KEY = MldsaPublicKey.of(MLDSA)
DEVICE_KEYS = envelope.HybridKey(public_key_of(DEVICE), MLDSA_KEY)
POLICE = samples.REQUESTER
FIRE = private_key_from_seed(b"f" * 32)
OWNER_IDENTITY, RECOVERY_IDENTITY, REPLY_IDENTITY = (HybridIdentity(bytes([n]) * 32) for n in (1, 2, 3))
REPLY = str(REPLY_IDENTITY.recipient())
NAMES = {public_key_of(POLICE).id: "harbour-police", public_key_of(FIRE).id: "harbour-fire"}
OWNERS_HEADER = b"a header for the owners\n"
_numbers = itertools.count(1)


def signed(message: strictjson.Message, by: Ed25519PrivateKey) -> bytes:
    """Returns the envelope of a message, with both signatures if an owner or a root signs: the same bytes each time."""
    kind, payload = message.PAYLOAD_TYPE, strictjson.encode(message)  # type: ignore[attr-defined]
    if isinstance(message, OwnerStatement):
        return _signed_once(kind, payload, by.private_bytes_raw())
    if isinstance(message, TrustBundle):
        return samples.signed_by_roots(kind, payload, by)
    return envelope.sign(kind, payload, by)


@functools.lru_cache(maxsize=1024)
def _signed_once(kind: str, payload: bytes, seed: bytes) -> bytes:
    """ML-DSA draws randomness. An owner's client signs a statement once, and so do the tests."""
    return sign_statement(kind, payload, private_key_from_seed(seed))


def signed_manifest(
    manifest: disclosures.DisclosureManifest, mldsa: MLDSA44PrivateKey = MLDSA, key: Ed25519PrivateKey = DEVICE
) -> bytes:
    """Part 0, with both signatures of the device."""
    payload = strictjson.encode(manifest)
    return envelope.sign_hybrid(disclosures.DisclosureManifest.PAYLOAD_TYPE, payload, key, mldsa)


def new_id() -> str:
    return hashlib.sha256(b"id %d" % next(_numbers)).hexdigest()[:32]


class FakeOutbox:
    """The `Outbox` port in memory.  `off`: the power is gone, so nothing happens any more until the next start."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, bytes]] = {}
        self.making: dict[str, dict[int, bytes]] = {}
        self.shown: set[str] = set()
        """Disclosures that the uplink's user may read."""
        self.fault: str | None = None
        self.off = False

    def begin(self, disclosure: str) -> _FakeDraft:
        self.fail_at("begin")
        self.making[disclosure] = {}
        return _FakeDraft(self, disclosure)

    def read(self, disclosure: str, number: int, offset: int, size: int) -> bytes:
        self.fail_at("read")
        data = self.objects.get(disclosure, {}).get(number)
        if data is None or offset + size > len(data):
            raise StorageError(f"Part {number} of disclosure {disclosure} is not in the outbox.")
        return data[offset : offset + size]

    def show_to_uplink(self, disclosure: str) -> None:
        self.fail_at("show")
        if disclosure not in self.objects:
            raise StorageError(f"Disclosure {disclosure} cannot be handed to the uplink.")
        self.shown.add(disclosure)

    def has(self, disclosure: str) -> bool:
        self.fail_at("has")
        return disclosure in self.objects

    def remove(self, disclosure: str) -> None:
        if not self.off:
            self.objects.pop(disclosure, None)
            self.shown.discard(disclosure)

    def sweep(self, known: frozenset[str]) -> None:
        self.making.clear()
        for stranger in self.objects.keys() - known:
            del self.objects[stranger]

    def fail_at(self, call: str) -> None:
        if self.fault == call:
            raise StorageError("The disk is full.", remedy="Free some space.")


@dataclass
class _FakeDraft:
    outbox: FakeOutbox
    disclosure: str

    def __enter__(self) -> _FakeDraft:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.outbox.off:
            self.outbox.making.pop(self.disclosure, None)

    def write(self, number: int, segment: str, pieces: Iterable[bytes]) -> OutboxPart:
        self.outbox.fail_at("write")
        data = b"".join(pieces)
        self.outbox.making[self.disclosure][number] = data
        return OutboxPart(number, segment, len(data), hashlib.sha256(data).hexdigest())

    def commit(self) -> None:
        self.outbox.fail_at("commit")
        self.outbox.objects[self.disclosure] = self.outbox.making.pop(self.disclosure)


class Told:
    """The `Notifier` port: what the owner was told."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str]] = []
        self.onces: list[tuple[str, str]] = []
        """The notifier tells the owner one time of the same kind and `once`."""

    def notify(self, kind: str, text: str, once: str = "", pictures: object = ()) -> None:
        self.news.append((kind, text))
        self.onces.append((kind, once))


@dataclass
class _Paper:
    entry: VaultEntry
    record: SignedRecord
    file: bytes
    poster: bytes | None
    sound: bytes | None = None


class PaperVault:
    """The part of `VaultReader` that the custodian needs."""

    def __init__(self) -> None:
        self.kept: dict[str, _Paper] = {}
        self.stretches: tuple[CoverageSpan, ...] = ()
        self.cover = Cover.CAPTURE
        self._written = 0
        self._reached = FIRST

    def keep(
        self,
        start_s: int,
        length_s: int = 5,
        quality: ClockQuality = ClockQuality.SYNCED,
        *,
        poster: bool = False,
        repeats: int = 50,
    ) -> str:
        """One segment more, from `start_s` (UTC) on; its id.  Its payload is some nine bytes, `repeats` times."""
        number = self._written
        self._written += 1
        name = segment_id(hashlib.sha256(b"segment %d" % number).digest()[:16])
        file, sealed = _sealed(b"media %d " % number * repeats)
        image, sealed_image = _sealed(b"still %d " % number * 5) if poster else (None, None)
        record = SegmentRecord(
            id=name,
            event=segment_id(bytes(16)),
            ordinal=number,
            span=TimeSpan(
                boot="1" * 32,
                start_us=number * 10**7,
                end_us=number * 10**7 + length_s * 10**6,
                utc_ms=start_s * 1000,
                quality=quality,
            ),
            epoch=1,
            file=sealed,
            key="00" * 32,
            poster=PosterRecord(file=sealed_image, key="00" * 32) if sealed_image else None,
            prev_in_clip=self._reached,
        )
        line = sign_record(record, ChainHead(), DEVICE.sign)
        self._reached = chain_hash(self._reached, line.line)
        self.kept[name] = _Paper(entry_of(record, number, 0, len(line.line)), line, file, image)
        return name

    def evict(self, segment: str) -> None:
        del self.kept[segment]

    def damage(self, segment: str) -> None:
        paper = self.kept[segment]
        paper.file = with_another_end(paper.file)

    def overlapping(self, from_ms: int, to_ms: int) -> tuple[VaultEntry, ...]:
        found = [p.entry for p in self.kept.values() if p.entry.start_ms < to_ms and p.entry.end_ms > from_ms]
        return tuple(sorted(found, key=lambda entry: entry.start_ms))

    def find(self, segment: str) -> VaultEntry | None:
        return self.kept[segment].entry if segment in self.kept else None

    def record(self, segment: str) -> SignedRecord:
        return self._paper(segment).record

    def covers(self, lines: Mapping[str, bytes], device: PublicKey, mldsa: MldsaPublicKey) -> dict[str, Cover]:
        assert (device, mldsa) == (public_key_of(DEVICE), MLDSA_KEY)
        assert all(line == self.record(name).line for name, line in lines.items())
        return dict.fromkeys(lines, self.cover)

    def read(self, segment: str, offset: int, size_bytes: int) -> bytes:
        return self._paper(segment).file[offset : offset + size_bytes]

    def read_poster(self, segment: str) -> bytes | None:
        return self._paper(segment).poster

    def read_sound(self, segment: str) -> bytes | None:
        return self._paper(segment).sound

    def coverage(self, from_ms: int, to_ms: int, now_ms: int) -> tuple[CoverageSpan, ...]:
        return self.stretches or (CoverageSpan(from_ms, to_ms, Word.NOTHING),)

    def totals(self) -> Totals:
        return Totals(len(self.kept), sum(paper.entry.stored_bytes for paper in self.kept.values()))

    def _paper(self, segment: str) -> _Paper:
        if segment not in self.kept:
            raise StorageError(f"Segment {segment} is not stored.", remedy="It was evicted, or never here.")
        return self.kept[segment]


def _sealed(payload: bytes) -> tuple[bytes, SealedFile]:
    header = OWNERS_HEADER
    return header + payload, SealedFile(
        size=len(header) + len(payload),
        header_size=len(header),
        sha256_header=hashlib.sha256(header).hexdigest(),
        sha256_payload=hashlib.sha256(payload).hexdigest(),
    )


def bundle(version: int = 1, *keys: Ed25519PrivateKey, **changes: Any) -> TrustBundle:
    """A bundle of the requesters with these keys; both of ours if none is given."""
    entries = tuple(
        samples.requester(
            id=NAMES[public_key_of(key).id],
            name=NAMES[public_key_of(key).id].replace("-", " ").title(),
            keys=(RequesterKey(key=public_key_of(key).text, from_s=0, until_s=NOW_S * 2, **changes),),
        )
        for key in keys or (POLICE, FIRE)
    )
    return samples.bundle(version=version, requesters=entries)


@dataclass
class Door:
    """A custodian and its surroundings.  `enrolled()` makes one with an owner, a trusted root and three segments."""

    journal: SqliteJournal = field(default_factory=lambda: SqliteJournal(":memory:"))
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    vault: PaperVault = field(default_factory=PaperVault)
    clock: SteppedClock = field(default_factory=lambda: SteppedClock(utc_offset_ns=(NOW_S - 100) * 10**9))
    told: Told = field(default_factory=Told)
    limits: RequestLimits = field(default_factory=RequestLimits)
    position: tuple[float, float] | None = DOOR
    delay_s: int = 0
    sealed_to: list[tuple[int, int]] = field(default_factory=list)
    """(how many recipients, epoch), each time the vault was told."""
    segments: list[str] = field(default_factory=list)
    held_bytes: int = 1 << 40
    bounded_by: Configuration = field(default_factory=Configuration)
    counts_windows: bool = False
    """If True, it counts how often one requester asks about one time; most tests ask about the same few minutes."""
    custodian: Custodian = field(init=False)
    own_nonces: bool = False
    """If True, statements need nonces of this device's, as they do outside of tests."""
    entropy: SeededEntropy = field(default_factory=lambda: SeededEntropy(11))

    def __post_init__(self) -> None:
        self.start()

    @classmethod
    def enrolled(cls, **changes: Any) -> Door:
        door = cls(**changes)
        door.enrol()
        door.obey(TrustChange(**stated(), roots_added=(samples.ROOT_KEY.text,)))
        door.custodian.control._trust.accept(signed(bundle(), ROOT))
        first_s = samples.request().from_s + 600
        door.segments = [door.vault.keep(first_s + 5 * number, poster=number == 0) for number in range(3)]
        return door

    def start(self) -> None:
        """As the process does: after a power cut, everything but the journal, outbox and vault is forgotten."""
        self.outbox.off = False
        if not self.counts_windows:
            self.journal.requests_about = lambda *_: 0  # type: ignore[method-assign]
        clock = TrustedClock(self.clock, self.journal, lambda: None)
        self.custodian = Custodian(
            DEVICE,
            SECRET,
            CustodianDeps(self.journal, self.outbox, self.vault, clock, self.entropy, self.told),  # type: ignore[arg-type]
            InboxSettings(self.limits, self.position, self.delay_s),
            lambda recipients, epoch: self.sealed_to.append((len(recipients), epoch)),
            dict,
            held_bytes=self.held_bytes,
            exceeded=lambda settings: violated_limit(self.bounded_by, settings),
            case_work=1,  # a walk asks some thousand times
        )
        if not self.own_nonces:
            # Statements here are signed before there is a device to ask: what nonces are worth is `test_nonces`'s.
            self.custodian.custodian_state.nonces.claim = lambda _nonce, _signer: None  # type: ignore[method-assign]
        self.custodian.start()

    def close(self) -> None:
        self.journal.close()

    # the owner

    def enrol(self, **changes: Any) -> int:
        epoch, waiting = self.confirm(*self.propose(enrolment(**changes)))
        assert not waiting
        return epoch

    def propose(self, wanted: Enrolment, by: Ed25519PrivateKey = APPROVER) -> tuple[str, ...]:
        _, tests = self.custodian.enrolments.propose(signed(wanted, by))
        return tuple(tests)

    def confirm(self, *tests: str) -> tuple[int, tuple[str, ...]]:
        identities = [OWNER_IDENTITY, RECOVERY_IDENTITY]
        opened = {name: open_bytes(self.custodian.enrolments.test(name), identities) for name in tests}
        return self.custodian.enrolments.confirm(opened)

    def obey(
        self, statement: OwnerStatement, headers: tuple[bytes, ...] = (), by: Ed25519PrivateKey = APPROVER
    ) -> RequestStatus:
        return self.custodian.control._statements.accept(signed(statement, by), headers)

    def approve(self, request: FootageRequest, *segments: str, **changes: Any) -> RequestStatus:
        return self.obey(*approval(self, request, *segments, **changes))

    def deny(self, request: FootageRequest) -> RequestStatus:
        return self.obey(Denial(**stated(), request=sha256_of(request)))

    def revoke(self, disclosure: str) -> RequestStatus:
        return self.obey(Revocation(**stated(), disclosure=disclosure))

    # the network

    def hear(self, message: Any, by: Ed25519PrivateKey = POLICE, topic: Topic | str | None = None) -> Any:
        data = message if isinstance(message, bytes) else signed(message, by)
        where = topic if topic is not None else topic_of(message)
        return self.custodian.on_message(str(where), data)

    def ask(self, by: Ed25519PrivateKey = POLICE, **changes: Any) -> FootageRequest:
        """Hear a new request; returns it."""
        asked = request(by, **changes)
        self.hear(asked, by)
        return asked

    def begin(self, disclosure: str) -> bool:
        return self.custodian.begin_sending(disclosure)

    # what became of it

    def stored(self, asked: FootageRequest) -> StoredRequest:
        found = self.journal.request(asked.id)
        assert found is not None
        return found

    def state(self, asked: FootageRequest) -> RequestState | None:
        found = self.journal.request(asked.id)
        return found.state if found else None

    def outgoing(self) -> list[str]:
        return [record.disclosure for record, _ in self.custodian.outgoing()]

    def entries(self) -> list[dict[str, Any]]:
        """The ledger."""
        return [strictjson.decode(leaf, dict) for leaf in self.journal.leaves()]  # type: ignore[type-var]

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.entries()]


def opened(text: str) -> bytes:
    """Opens a sealed text of the control socket, as its owner does."""
    return open_bytes(strictjson.decode_base64(text), [OWNER_IDENTITY])


def stated() -> dict[str, Any]:
    return {"v": 1, "device": samples.DEVICE_KEY.text, "owner_time_ms": NOW_S * 1000, "nonce": new_id()}


def enrolment(**changes: Any) -> Enrolment:
    values = {
        **stated(),
        "epoch": 1,
        "recipients": (NamedRecipient(name="anna", recipient=str(OWNER_IDENTITY.recipient())),),
        "approvers": (NamedKey.of("anna", APPROVER),),
        "recovery": str(RECOVERY_IDENTITY.recipient()),
        "device_mldsa": MLDSA_KEY.sha256,
    }
    return Enrolment(**{**values, **changes})


def two_owners(door: Door, second: Ed25519PrivateKey) -> dict[str, Any]:
    """Changes of the next enrolment after which a second owner's yes is needed too."""
    approvers = tuple(NamedKey.of(name, key) for name, key in (("anna", APPROVER), ("bo", second)))
    previous = sha256_of(door.custodian.enrolments.current)  # type: ignore[arg-type]
    return {"epoch": 2, "previous": previous, "approvers": approvers, "approvals_needed": 2}


def request(by: Ed25519PrivateKey = POLICE, **changes: Any) -> FootageRequest:
    number = next(_numbers)
    values = {"id": new_id(), "requester": NAMES.get(public_key_of(by).id, "harbour-police"), "seq": number}
    values |= {"reply": REPLY, "case": f"HH {number}", "kind": Kind.POLICE}
    return samples.request(**{**values, **changes})


def withdrawal(asked: FootageRequest, **changes: Any) -> Withdrawal:
    values = {"v": 1, "request": asked.id, "requester": asked.requester, "trust_root": asked.trust_root}
    return Withdrawal(**{**values, "seq": next(_numbers), **changes})


def receipt(asked: FootageRequest, disclosure: str, **changes: Any) -> disclosures.Receipt:
    values = {"disclosure": disclosure, "request": asked.id, "requester": asked.requester, "seq": next(_numbers)}
    values |= {"incomplete": (), "stored": ()}
    return samples.receipt(**{**values, **changes})


def complete(door: Door, asked: FootageRequest, disclosure: str, **changes: Any) -> disclosures.Receipt:
    """Everything arrived, opened and verified."""
    (parts,) = [record.parts for record in door.journal.outbox() if record.disclosure == disclosure]
    values: dict[str, Any] = {"state": disclosures.ReceiptState.COMPLETE, "manifest": parts[0].sha256}
    values["stored"] = (disclosures.PartRange(first=0, last=len(parts) - 1),)
    return receipt(asked, disclosure, **{**values, **changes})


def refused(asked: FootageRequest, disclosure: str, **changes: Any) -> disclosures.Receipt:
    values = {"state": disclosures.ReceiptState.REFUSED, "manifest": None}
    return receipt(asked, disclosure, **{**values, **changes})


def topic_of(message: Any) -> Topic:
    match message:
        case (
            FootageRequest(id=name, requester=who)
            | Withdrawal(request=name, requester=who)
            | Deletion(request=name, requester=who)
        ):
            return RequestTopic(cell_of(*DOOR), who, int(name, 16) % REQUEST_SLOTS)
        case Bulletin(requester=who, id=name):
            return BulletinTopic(cell_of(*DOOR), who, int(name, 16) % BULLETIN_SLOTS)
        case disclosures.Receipt(disclosure=disclosure):
            return ReceiptTopic(samples.DEVICE_KEY.id, disclosure)
    raise AssertionError(message)


def sha256_of(asked: FootageRequest) -> str:
    return hashlib.sha256(strictjson.encode(asked)).hexdigest()


def new_header(number: int = 0, recipients: int = 1) -> bytes:
    """As the owner's client makes them, for the reply key."""
    return make_header(bytes([number]) * 16, [HybridRecipient.parse(REPLY)] * recipients)


def approval(door: Door, asked: FootageRequest, *segments: str, **changes: Any) -> tuple[Approval, tuple[bytes, ...]]:
    """Approves these segments, or all that matched."""
    names = segments or door.stored(asked).segments
    headers = tuple(new_header(number) for number in range(len(names)))
    items = tuple(
        SealedItem(
            id=name,
            payload_sha256=hashlib.sha256(door.vault.kept[name].file[len(OWNERS_HEADER) :]).hexdigest(),
            header_sha256=hashlib.sha256(header).hexdigest(),
        )
        for name, header in zip(names, headers, strict=True)
    )
    values = {**stated(), "request": sha256_of(asked), "reply": asked.reply, "segments": items}
    return Approval(**{**values, **changes}), headers


REDACTED_PAYLOAD = b"the redacted film, as the owner's client sealed it"


def redacted_approval(door: Door, asked: FootageRequest) -> tuple[Approval, tuple[bytes, ...]]:
    """Approves all that matched, the first segment only as redacted. A custodian opens nothing, so the film is of
    paper, too."""
    made, headers = approval(door, asked)
    first, *others = made.segments
    said = Redacted(payload_sha256=hashlib.sha256(REDACTED_PAYLOAD).hexdigest(), key="77" * 32)
    items = (msgspec.structs.replace(first, redacted=said), *others)
    return msgspec.structs.replace(made, segments=items), (*headers, REDACTED_PAYLOAD)
