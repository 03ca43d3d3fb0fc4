"""Cost of a busy cell for a request and an upload, beside a quiet cell in the same run: `python -m bench crowd`.

A real mosquitto with our configuration, a doorbell's custodian and uplink, and four certificates for requests or
bulletins that the owner does not trust. They publish at a steady rate, retained, each under a new identifier. After ten
seconds a requester that the owner trusts publishes a request. The table gives the seconds until the doorbell has
matched it, and, after the owner's approval, the seconds until the requester's final receipt for 6 MB has arrived.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.core.bus import MessageReceived, Subscribed
from agent.core.consent import RequestState
from agent.core.requests import OutboxPart
from agent.core.transfer import (
    AllReceived,
    ManifestReceived,
    PartSize,
    ReceiverLimits,
    SealPart,
    SendReceipt,
    TransferProgress,
    UploadReceiver,
)
from agent.core.transfer.values import receipt_for
from agent.custodian.journal_sqlite import SqliteJournal
from agent.mqtt import MqttBus
from agent.platform.system_clock import SystemClock
from agent.uplink.uplink import Uplink
from agent.wire import strictjson
from agent.wire.disclosures import ReceiptState
from agent.wire.identities import private_key_from_seed
from agent.wire.messages import FootageRequest
from agent.wire.topics import (
    BULLETIN_SLOTS,
    REQUEST_SLOTS,
    BulletinTopic,
    ChunkVerb,
    ReceiptTopic,
    RequestTopic,
    UploadTopic,
    UploadVerb,
    cell_filter,
    cell_of,
    parse_topic,
)
from agent.wire.uploads import UploadNote
from tests.brokers import BrokerWithClients, broker_with_clients
from tests.custodians import DOOR, POLICE, Door, receipt, request, signed
from tests.wire import samples

DEVICE = samples.DEVICE_KEY.id
CELL = cell_of(*DOOR)
STRANGER = private_key_from_seed(b"x" * 32)
CERTIFICATES = 4
BEFORE_S = 10.0
PATIENCE_S = 300.0
CROWDS = (("", 0), ("requests", 20), ("requests", 40), ("bulletins", 15))
"""Kind and messages a second.  The first is the limit: a quiet cell."""
SEGMENT_REPEATS = 230_000
"""Repeats of some nine bytes: 2 MB."""


def main() -> int:
    print("| others in the cell | a request is matched after | 6 MB are delivered after |\n|---|---:|---:|", flush=True)
    for kind, per_s in CROWDS:
        with tempfile.TemporaryDirectory(prefix="doorward-bench-") as folder:
            matched_s, delivered_s = _run(Path(folder), kind, per_s)
        crowd = f"{per_s} {kind} a second" if per_s else "none"
        print(f"| {crowd} | {_seconds(matched_s)} | {_seconds(delivered_s)} |", flush=True)
    return 0


def _seconds(value: float | None) -> str:
    return f"not within {PATIENCE_S:.0f} s" if value is None else f"{value:.1f} s"


def _run(folder: Path, kind: str, per_s: int) -> tuple[float | None, float | None]:
    with broker_with_clients(folder / "broker") as world:
        house, crowd = _House(world, folder), _Crowd(world, kind, per_s)
        police = _Police(world)
        try:
            crowd.start()
            time.sleep(BEFORE_S)
            return _ask_and_receive(house, police)
        finally:
            crowd.stop()
            house.stop()


def _ask_and_receive(house: _House, police: _Police) -> tuple[float | None, float | None]:
    asked = request(from_s=samples.request().from_s + 650)
    matched_s = _until(lambda: house.door.state(asked) is RequestState.PENDING, police.ask(asked))
    if matched_s is None:
        return None, None
    disclosure = house.door.approve(asked).disclosure or ""
    parts = [PartSize(len(data), part.sha256) for part, data in house.outgoing(disclosure)]
    begins_s = time.monotonic()
    police.receive(asked, disclosure, parts)
    return matched_s, _until(lambda: house.door.state(asked) is RequestState.SENT, begins_s)


def _until(holds: Callable[[], bool], begins_s: float) -> float | None:
    """Seconds from `begins_s` until it holds."""
    while not holds():
        if time.monotonic() > begins_s + PATIENCE_S:
            return None
        time.sleep(0.005)
    return time.monotonic() - begins_s


class _House:
    """A doorbell with an owner, 6 MB of footage and a real link."""

    def __init__(self, world: BrokerWithClients, folder: Path) -> None:
        self.door = Door.enrolled(journal=SqliteJournal(folder / "journal.sqlite"))
        first_s = samples.request().from_s + 700
        for number in range(3):
            self.door.vault.keep(first_s + 5 * number, repeats=SEGMENT_REPEATS)
        self.uplink = Uplink(
            world.bus(DEVICE),
            self.door.custodian,
            self.door.outbox,
            SystemClock(),
            device=DEVICE,
            cell_filter=cell_filter(CELL),
        )
        self.door.custodian.releases.wake_uplink = self.uplink.wake
        self._thread = threading.Thread(target=self.uplink.run, name="uplink")
        self._thread.start()
        if _until(lambda: self.uplink.status().link == "connected", time.monotonic()) is None:
            raise SystemExit("Error: the doorbell does not connect.")

    def outgoing(self, disclosure: str) -> list[tuple[OutboxPart, bytes]]:
        (record,) = [record for record, _ in self.door.custodian.outgoing() if record.disclosure == disclosure]
        return [(part, self.door.outbox.objects[disclosure][part.number]) for part in record.parts]

    def stop(self) -> None:
        self.uplink.stop()
        self._thread.join()
        self.door.close()


class _Crowd:
    """Publishes `per_s` messages a second from certificates of requesters that the owner does not trust."""

    def __init__(self, world: BrokerWithClients, kind: str, per_s: int) -> None:
        self._kind, self._per_s = kind, per_s
        self._buses = [world.bus(f"crowd-{number}") for number in range(CERTIFICATES)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowd")

    def start(self) -> None:
        for bus in self._buses:
            bus.start()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        begins_s = time.monotonic()
        for number in itertools.count():
            due_s = begins_s + number / self._per_s if self._per_s else begins_s + PATIENCE_S * 10
            if self._stop.wait(max(0.0, due_s - time.monotonic())):
                return
            who, turn = number % CERTIFICATES, number // CERTIFICATES
            bus = self._buses[who]
            while bus.next_event(0) is not None:
                pass
            bus.publish(str(self._topic(who, turn)), signed(request(), STRANGER), token=number, retain=True)

    def _topic(self, who: int, turn: int) -> RequestTopic | BulletinTopic:
        if self._kind == "requests":
            return RequestTopic(CELL, f"crowd-{who}", turn % REQUEST_SLOTS)
        return BulletinTopic(CELL, f"crowd-{who}", turn % BULLETIN_SLOTS)


class _Police:
    """A requester that the owner trusts."""

    def __init__(self, world: BrokerWithClients) -> None:
        self._bus: MqttBus = world.bus("harbour-police")
        self._bus.subscribe("doorward/v1/up/harbour-police/#")
        self._bus.start()
        self._clock, self._tokens = SystemClock(), itertools.count(1)
        while not isinstance(self._bus.next_event(10), Subscribed):
            pass

    def ask(self, asked: FootageRequest) -> float:
        """When it left."""
        topic = str(RequestTopic(CELL, "harbour-police", int(asked.id, 16) % REQUEST_SLOTS))
        self._publish(topic, signed(asked, POLICE), retain=True)
        return time.monotonic()

    def receive(self, asked: FootageRequest, disclosure: str, parts: list[PartSize]) -> None:
        """Take all parts, answer as a requester does, and return when the last receipt has left."""
        receiver = UploadReceiver(parts[0], len(parts), ReceiverLimits())
        ends_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_s:
            event = self._bus.next_event(0.05)
            if isinstance(event, MessageReceived) and event.payload:
                _take(receiver, event)
            for held in self._follow(receiver, parts):
                self._answer(asked, disclosure, held)
                if held.state is ReceiptState.COMPLETE:
                    return

    def _follow(self, receiver: UploadReceiver, parts: list[PartSize]) -> list[TransferProgress]:
        answers = []
        while (effect := receiver.next_effect(self._clock.now().boot_ns)) is not None:
            match effect:
                case SealPart(part):
                    receiver.sealed(part, matches=True)
                case ManifestReceived():
                    receiver.expect(tuple(parts[1:]))
                case AllReceived():
                    receiver.complete()
                case SendReceipt(held):
                    answers.append(held)
        return answers

    def _answer(self, asked: FootageRequest, disclosure: str, held: TransferProgress) -> None:
        made = receipt_for(
            held,
            disclosure=disclosure,
            request=asked.id,
            requester=asked.requester,
            trust_root=asked.trust_root,
            seq=receipt(asked, disclosure).seq,
        )
        self._publish(str(ReceiptTopic(DEVICE, disclosure)), signed(made, POLICE))

    def _publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        while not self._bus.publish(topic, data, token=next(self._tokens), retain=retain):
            self._bus.next_event(0.01)


def _take(receiver: UploadReceiver, event: MessageReceived) -> None:
    topic = parse_topic(event.topic)
    assert isinstance(topic, UploadTopic)
    match topic.verb:
        case ChunkVerb(offset, sha256):
            receiver.chunk(topic.part, offset, event.payload, sha256)
        case UploadVerb.FIN:
            receiver.fin(topic.part)
        case UploadVerb.INIT:
            note = strictjson.decode(event.payload, UploadNote)
            receiver.init(PartSize(note.size_bytes, note.sha256), note.parts, note.question)


if __name__ == "__main__":
    raise SystemExit(main())
