"""Compares a doorbell's publications with its ledger: every byte that left has an approval that names it and was
ledgered.

The witness hears everything at the broker with its bytes, beside the access lists; that it heard all of it is checked
against the broker's own log.  Then, for every message the doorbell published, in this order:

- it is a message of an upload, by this doorbell, of a disclosure that the ledger holds as approved, to the requester
  that the ledger names;
- it is announced as the object that the ledger holds as sealed, and no byte of it left before `sending` was ledgered;
- a chunk is the bytes its topic names, and sent again it is the same;
- part 0, opened with the reply key of the request that the ledger names, is a manifest with exactly the approval that
  was ledgered, and every other part is a new header and a payload that this approval names.

A part that was cut off (revoked, or the scenario ends) cannot be hashed whole: it must lie byte for byte in the outbox
if that still has it, and in the manifest's bounds in any case.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.clients.broker.private_broker import PrivateBroker, _free_ports
from agent.clients.opening import HybridIdentity, open_bytes
from agent.config import Configuration
from agent.core.disclosure import check_tip_part, read_tip
from agent.core.ledger.entries import EntryKind, LedgerEntry, decode_entry
from agent.core.vault.age.header import split
from agent.custodian.state_folder import StateFolder
from agent.errors import DoorwardError, FormatError
from agent.mqtt.outbound_client import PahoClient
from agent.platform.sqlite_snapshot import open_snapshot
from agent.wire import envelope, strictjson
from agent.wire.disclosures import DISCLOSURE_ENVELOPE_LIMIT_BYTES, DISCLOSURE_LIMIT_BYTES, DisclosureManifest, PartKind
from agent.wire.fields import Kind
from agent.wire.identities import PublicKey
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Approval, read_statement
from agent.wire.topics import ANONYMOUS, ChunkVerb, UploadTopic, UploadVerb, parse_topic
from agent.wire.uploads import UploadNote
from demo.evidence import published_by
from demo.stage import Asker, Stage

PATIENCE_S = 60.0

Heard = tuple[str, bytes]
ReplyIdentity = Callable[[str, str], HybridIdentity]
"""By the requester's and the request's id."""


class Leak(AssertionError):  # noqa: N818 — as in: there is a leak
    """Something left that no ledgered approval names."""


class WitnessedBroker(PrivateBroker):
    """With one listener more, on loopback and without an access list, for the witness alone."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, witness=True)
        (self.witness_port,) = _free_ports(1)

    def _configuration(self) -> str:
        return f"{super()._configuration()}\nlistener {self.witness_port} {self.host}\nallow_anonymous true\n"


class Witness:
    """A context manager.  `heard`: what was published, in order, anyone who published it."""

    def __init__(self, broker: WitnessedBroker) -> None:
        self.heard: list[Heard] = []
        self._broker = broker
        self._listening = threading.Event()
        self._client = PahoClient(CallbackAPIVersion.VERSION2, client_id="witness", protocol=mqtt.MQTTv5)
        self._client.most_packet_bytes = 256 << 20  # as much as MQTT allows
        self._client.on_message = lambda _c, _u, message: self.heard.append((message.topic, bytes(message.payload)))
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._listening.set()

    def __enter__(self) -> Witness:
        # A broker that is restarted in the scenario forgets no one who asked to be remembered.
        remembered = Properties(PacketTypes.CONNECT)
        remembered.SessionExpiryInterval = 3600
        self._client.connect(self._broker.host, self._broker.witness_port, clean_start=True, properties=remembered)
        self._client.loop_start()
        assert self._listening.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe("#", options=SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2))

    def of(self, device: str) -> list[Heard]:
        """Returns `device`'s publications, by the broker's log, with the bytes the witness heard. Waits for the last of
        it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            heard = list(self.heard)
            logged = Counter((each.topic, each.size_bytes) for each in published_by(device, self._broker.log()))
            missed = logged - Counter((topic, len(payload)) for topic, payload in heard)
            claimed = {topic for topic, _ in heard if "/up/" in topic and f"/{device}/" in topic}
            unlogged = claimed - {topic for topic, _ in logged}
            if not missed and not unlogged:
                return [(topic, payload) for topic, payload in heard if (topic, len(payload)) in logged]
            assert time.monotonic() < deadline, f"the witness missed {missed}, the broker's log misses {unlogged}"
            time.sleep(0.05)


def ledger_of(journal: Path) -> list[LedgerEntry]:
    """As it lies on the doorbell's disk."""
    if not journal.exists():
        return []
    with closing(open_snapshot(journal)) as database:
        rows = database.execute("SELECT entry FROM ledger ORDER BY position").fetchall()
    return [decode_entry(leaf) for (leaf,) in rows]


@dataclass(frozen=True, slots=True)
class Accounted:
    """Result of the comparison with the ledger. `unfinished_bytes`: of parts that were cut off and have been
    deleted."""

    messages: int = 0
    disclosures: int = 0
    whole_bytes: int = 0
    unfinished_bytes: int = 0


@dataclass
class _Sent:
    """Bytes that left for one disclosure."""

    note: UploadNote | None = None
    pieces: dict[int, dict[int, bytes]] = field(default_factory=dict)
    """By part and offset."""

    def part(self, number: int) -> bytes | None:
        """Returns the part from its beginning, if complete; None if it has a hole."""
        data = b""
        for offset, piece in sorted(self.pieces.get(number, {}).items()):
            if offset != len(data):
                return None
            data += piece
        return data


class Auditor:
    """Holds what one device said against its ledger."""

    def __init__(
        self, device: PublicKey, ledger: Sequence[LedgerEntry], reply_identity: ReplyIdentity, outbox: Path
    ) -> None:
        self._device = device
        self._reply_identity = reply_identity
        self._outbox = outbox
        self._entries = {(entry.kind, entry.disclosure): entry for entry in ledger if entry.disclosure is not None}
        self._sent: dict[str, _Sent] = {}

    def audit(self, heard: Sequence[Heard]) -> Accounted:
        """Raises `Leak`."""
        for topic, payload in heard:
            self._message(topic, payload)
        whole = unfinished = 0
        for disclosure, sent in self._sent.items():
            one, other = self._disclosure(disclosure, sent)
            whole, unfinished = whole + one, unfinished + other
        return Accounted(len(heard), len(self._sent), whole, unfinished)

    def _message(self, topic: str, payload: bytes) -> None:
        try:
            parsed = parse_topic(topic)
        except FormatError as error:
            raise Leak(f"{topic}: no topic of ours") from error
        if not isinstance(parsed, UploadTopic) or parsed.device not in (self._device.id, ANONYMOUS):
            raise Leak(f"{topic}: a doorbell says nothing but its uploads")
        # Under no name only what an owner sent as a tip may go, and a tip only so.
        why = EntryKind.TIP if parsed.device == ANONYMOUS else EntryKind.APPROVED
        approved = self._entries.get((why, parsed.disclosure))
        sealed = self._entries.get((EntryKind.SEALED, parsed.disclosure))
        if approved is None or sealed is None:
            raise Leak(f"{topic}: the ledger has no approval of this disclosure")
        if (approved.requester, approved.request) != (parsed.requester, sealed.request):
            raise Leak(f"{topic}: it was approved for {approved.requester}")
        sent = self._sent.setdefault(parsed.disclosure, _Sent())
        match parsed.verb:
            case ChunkVerb(offset_bytes=offset, sha256=sha256):
                if (EntryKind.SENDING, parsed.disclosure) not in self._entries:
                    raise Leak(f"{topic}: it left before the ledger had its beginning")
                if hashlib.sha256(payload).hexdigest() != sha256:
                    raise Leak(f"{topic}: other bytes than the topic names")
                if sent.pieces.setdefault(parsed.part, {}).setdefault(offset, payload) != payload:
                    raise Leak(f"{topic}: sent again, it was something else")
            case UploadVerb.ABORT if payload:
                raise Leak(f"{topic}: an abort with {len(payload)} bytes")
            case UploadVerb.INIT | UploadVerb.FIN if payload:
                self._note(topic, parsed, payload, sent, sealed)

    def _note(self, topic: str, parsed: UploadTopic, payload: bytes, sent: _Sent, sealed: LedgerEntry) -> None:
        try:
            note = strictjson.decode(payload, UploadNote)
        except FormatError as error:
            raise Leak(f"{topic}: no note of an upload") from error
        if parsed.part == 0:
            if note.sha256 != sealed.subject:
                raise Leak(f"{topic}: it announces another object than the ledger has as sealed")
            sent.note = note

    def _disclosure(self, disclosure: str, sent: _Sent) -> tuple[int, int]:
        """Returns the bytes accounted for as wholes, and those that are pieces of cut-off parts."""
        sealed = self._entries[EntryKind.SEALED, disclosure]
        first = sent.part(0)
        if first is None or hashlib.sha256(first).hexdigest() != sealed.subject:
            return 0, sum(self._unfinished(disclosure, number, None, sent) for number in sent.pieces)
        if (EntryKind.TIP, disclosure) in self._entries:
            return self._tip(disclosure, first, sent), 0
        approval, manifest = self._opened(first, disclosure)
        items = {(PartKind.SEGMENT, item.id): item for item in approval.segments}
        items |= {(PartKind.POSTER, item.id): item for item in approval.posters}
        items |= {(PartKind.SOUND, item.id): item for item in approval.sounds}
        whole, unfinished = len(first), 0
        for number in sorted(sent.pieces.keys() - {0}):
            if number > len(manifest.parts):
                raise Leak(f"{disclosure}: a part {number} that its manifest has not")
            part, data = manifest.parts[number - 1], sent.part(number)
            item = items.get((part.kind, part.id))
            if item is None:
                raise Leak(f"{disclosure}: part {number} is nothing the owner approved")
            if data is None or len(data) < part.size_bytes:
                unfinished += self._unfinished(disclosure, number, part.size_bytes, sent)
                continue
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise Leak(f"{disclosure}: part {number} is not the one its manifest names")
            at = split(data)
            header, payload = (hashlib.sha256(each).hexdigest() for each in (data[:at], data[at:]))
            if (header, payload) != (item.header_sha256, item.sent_payload_sha256):
                raise Leak(f"{disclosure}: part {number} is not what the owner approved")
            whole += len(data)
        return whole, unfinished

    def _tip(self, disclosure: str, first: bytes, sent: _Sent) -> int:
        """The bytes of a tip: what its requester can open, and nothing that says who sent it but the footage itself."""
        tip = self._entries[EntryKind.TIP, disclosure]
        try:
            opened = open_bytes(first, [self._reply_identity(tip.requester or "", disclosure)])
            _, items = read_tip(opened, disclosure)
            if not items and self._device.text.encode() in opened:
                raise Leak(f"{disclosure}: a tip of words alone names the doorbell")
            if sent.pieces.keys() - set(range(len(items) + 1)):
                raise Leak(f"{disclosure}: parts that its manifest has not")
            whole = len(first)
            for number, item in enumerate(items, start=1):
                data = sent.part(number)
                if data is not None and len(data) == item.part.size_bytes:
                    check_tip_part(item, data)
                    whole += len(data)
        except DoorwardError as error:
            raise Leak(f"{disclosure}: it is no tip that its requester can open: {error}") from error
        return whole

    def _opened(self, data: bytes, disclosure: str) -> tuple[Approval, DisclosureManifest]:
        approved = self._entries[EntryKind.APPROVED, disclosure]
        try:
            identity = self._reply_identity(approved.requester or "", approved.request or "")
            opened = envelope.read_hybrid(
                open_bytes(data, [identity]),
                DisclosureManifest.PAYLOAD_TYPE,
                limit_bytes=DISCLOSURE_ENVELOPE_LIMIT_BYTES,
            )
            manifest = strictjson.decode(opened.payload, DisclosureManifest, limit_bytes=DISCLOSURE_LIMIT_BYTES)
            opened.require(self._device, manifest.mldsa_key)
            claimed = read_statement(manifest.approval.encode())
            approval = strictjson.decode(claimed.payload, Approval, limit_bytes=STATEMENT_LIMIT_BYTES)
        except DoorwardError as error:
            raise Leak(f"{disclosure}: part 0 is no manifest that the requester can open: {error}") from error
        if manifest.disclosure != disclosure or hashlib.sha256(claimed.payload).hexdigest() != approved.subject:
            raise Leak(f"{disclosure}: its approval is not the one in the ledger")
        return approval, manifest

    def _unfinished(self, disclosure: str, number: int, size: int | None, sent: _Sent) -> int:
        kept = self._outbox / disclosure / str(number)
        whole = kept.read_bytes() if kept.is_file() else None
        count = 0
        for offset, piece in sent.pieces[number].items():
            if whole is not None and whole[offset : offset + len(piece)] != piece:
                raise Leak(f"{disclosure}: a piece of part {number} that is not in the outbox")
            if size is not None and offset + len(piece) > size:
                raise Leak(f"{disclosure}: part {number} goes on beyond its end")
            count += len(piece)
        return 0 if whole is not None else count


class _StageBroker(WitnessedBroker):
    """Its witness hears it from its start to its end, and then `audit` is asked."""

    def __init__(self, directory: Path, audit: Callable[[Witness], Accounted]) -> None:
        super().__init__(directory)
        self._audit = audit
        self._hearing: Witness | None = None

    def start(self) -> None:
        super().start()
        self._hearing = Witness(self).__enter__()

    def stop(self) -> None:
        witness, self._hearing = self._hearing, None
        try:
            if witness is not None:
                (self.directory / "accounted").write_text(repr(self._audit(witness)))
        finally:
            if witness is not None:
                witness.__exit__()
            super().stop()


class WitnessedStage(Stage):
    """The demo's and the playground's stage; when its broker stops, what left is held against the ledger."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.broker = _StageBroker(folder / "broker", self._audit)
        self._askers: dict[str, Asker] = {}
        self._device: PublicKey | None = None

    def device(self, camera: str) -> tuple[Configuration, PublicKey]:
        configuration, self._device = super().device(camera)
        return configuration, self._device

    def asker(self, requester_id: str, name: str, kind: Kind) -> Asker:
        self._askers[requester_id] = super().asker(requester_id, name, kind)
        return self._askers[requester_id]

    def _audit(self, witness: Witness) -> Accounted:
        assert self._device is not None
        folder = StateFolder(self.state_dir)
        auditor = Auditor(self._device, ledger_of(folder.journal), self._reply_identity, folder.outbox)
        return auditor.audit(witness.of(self._device.id))

    def _reply_identity(self, requester: str, request: str) -> HybridIdentity:
        return self._askers[requester].requester.sent_request(request).reply_identity()
