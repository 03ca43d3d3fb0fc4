"""A device that sends one disclosure over a bus with the pure sender: the uplink without its custodian.

It takes the requester's word only with the requester's signature, as a device does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.folder_index import is_id
from agent.clients.requester.identity import Requester
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
)
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.transfer import (
    ClearInit,
    Finished,
    MarkBegun,
    SendAbort,
    SendChunk,
    SendFin,
    SendInit,
    UploadSender,
    progress_from_receipt,
)
from agent.platform import files
from agent.ports import Bus, Clock
from agent.wire import envelope, strictjson
from agent.wire.disclosures import Receipt
from agent.wire.topics import ChunkVerb, ReceiptTopic, UploadTopic, UploadVerb
from agent.wire.uploads import UploadNote
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.house import Disclosure
from tests.fake_bus import FakeBroker, FakeBus


class TestClock:
    """Moves when a test moves it."""

    __test__ = False

    def __init__(self) -> None:
        self.boot_ns = 10**12

    @property
    def boot_id(self) -> str:
        return "0b" * 16

    def now(self) -> ClockReading:
        return ClockReading(BootNs(self.boot_ns), UtcNs(NOW_S * NS_PER_S + self.boot_ns - 10**12), ClockQuality.SYNCED)


class Door:
    """Sends `disclosure` to `requester`.  `step` does what is due now; the clock is the test's."""

    def __init__(
        self,
        broker: FakeBroker | None,
        requester: Requester,
        disclosure: Disclosure,
        clock: Clock,
        window: int = 16,
        bus: Bus | None = None,
    ) -> None:
        self.disclosure = disclosure
        self.clock = clock
        self.requester_id = requester.id
        self.key = requester.key
        self.bus: Bus = bus or FakeBus(broker or FakeBroker(), disclosure.device, window_messages=window)
        self.sender = UploadSender(disclosure.sizes, first_token=0, chunk_bytes=16 << 10)
        self.receipts: list[Receipt] = []
        self.chunks: list[SendChunk] = []
        self.finished: Finished | None = None
        self.newest = 0
        self.bus.start()
        self.bus.subscribe(str(ReceiptTopic(disclosure.device, disclosure.id)))

    def step(self) -> bool:
        """Returns True if anything happened."""
        moved = False
        while (event := self.bus.next_event(0)) is not None:
            moved = True
            match event:
                case BusConnected(packet_bytes=packet_bytes):
                    self.sender.connected(packet_bytes)
                case BusDisconnected(fault=fault):
                    self.sender.disconnected(fault)
                case MessageReceived():
                    self._receipt(event)
                case PublishAcknowledged() | PublishRefused() | PublishLost():
                    self.sender.settled(event, self.clock.now().boot_ns)
        while (effect := self.sender.next_effect(self.clock.now().boot_ns)) is not None:
            moved = True
            match effect:
                case MarkBegun():
                    pass
                case Finished():
                    self.finished = effect
                case _ if not self._publish(effect):
                    self.sender.put_back(effect.token)
                    return moved
        return moved

    def _receipt(self, message: MessageReceived) -> None:
        opened = envelope.open_envelope(message.payload, Receipt.PAYLOAD_TYPE, {self.key.id: self.key})
        receipt = strictjson.decode(opened.payload, Receipt)
        assert receipt.disclosure == self.disclosure.id
        assert receipt.seq not in {each.seq for each in self.receipts}, "a number is used once"
        if receipt.seq < self.newest:
            return  # two receipts waited, and a device's bus hands out the newest of a sender first
        self.newest = receipt.seq
        self.receipts.append(receipt)
        self.sender.receipt(progress_from_receipt(receipt), self.clock.now().boot_ns)

    def _publish(self, effect: SendInit | SendChunk | SendFin | SendAbort | ClearInit) -> bool:
        match effect:
            case SendInit(question=question):
                return self._send(effect.token, 0, UploadVerb.INIT, self._note(0, question), retain=True)
            case ClearInit():
                return self._send(effect.token, 0, UploadVerb.INIT, b"", retain=True)
            case SendAbort():
                return self._send(effect.token, 0, UploadVerb.ABORT, b"")
            case SendFin(part=part):
                return self._send(effect.token, part, UploadVerb.FIN, self._note(part))
            case SendChunk(part=part, offset=offset, length=length):
                data = self.disclosure.parts[part][offset : offset + length]
                taken = self._send(effect.token, part, ChunkVerb(offset, hashlib.sha256(data).hexdigest()), data)
                self.chunks += [effect] if taken else []
                return taken

    def _send(
        self, token: int, part: int, verb: UploadVerb | ChunkVerb, payload: bytes, *, retain: bool = False
    ) -> bool:
        topic = UploadTopic(self.requester_id, self.disclosure.device, self.disclosure.id, part, verb)
        return self.bus.publish(str(topic), payload, token=token, retain=retain)

    def _note(self, part: int, question: int | None = None) -> bytes:
        size, parts = self.disclosure.sizes[part], len(self.disclosure.parts)
        return strictjson.encode(
            UploadNote(v=1, parts=parts, size_bytes=size.size_bytes, sha256=size.sha256, question=question)
        )


def answer_folders(folder: Path) -> Iterator[AnswerFolder]:
    """Yields all disclosures of a requester, by id."""
    for name in files.names_in(folder / "disclosures"):
        if is_id(name):
            yield AnswerFolder(folder, name)


def stored_bytes(answer: AnswerFolder) -> int:
    """Returns the size of all that is stored of an answer."""
    return answer.other_bytes() + answer.parts_bytes()
