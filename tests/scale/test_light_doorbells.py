"""A short share of `make test-scale`: light doorbells at a shard that is killed, and a requester that takes answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.requester import messages
from agent.clients.requester.broker_files import broker_files
from agent.clients.requester.identity import Requester
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.roots import KnownRoots
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    Subscribed,
    SubscriptionRefused,
)
from agent.core.media import Gop
from agent.core.requests import OutboxPart, OutboxRecord
from agent.core.transfer import TransferProgress
from agent.core.transfer.values import receipt_for
from agent.mqtt import BusSettings, MqttBus, tls
from agent.mqtt.connection import ConnectionEvent
from agent.mqtt.outbound_client import OutboundPublish
from agent.platform.certificates import signing_request
from agent.platform.system_clock import SystemClock
from agent.wire.area import Circle
from agent.wire.disclosures import ReceiptState
from agent.wire.fields import Kind
from agent.wire.topics import TRUST_FILTER, ReceiptTopic, cell_filter, cell_of
from agent.wire.trust import TrustStore
from agent.wire.trust_keys import parse_trust_key
from tests.brokers import NOW
from tests.clients.requester.conftest import DESCRIPTION, gops, question
from tests.clients.requester.house import House
from tests.mqtt.mqtt_peer import ScriptedPeer
from tests.scale import light_bus
from tests.scale.light_bus import LightBus, Switchboard
from tests.scale.light_doorbells import Judge, LightDoorbell, _Answer
from tests.scale.promises import Book, sha256_of
from tests.scale.shards import Shard
from tests.scale.trust_root import TrustRoot

__all__ = ["gops"]

pytestmark = pytest.mark.broker
DOORBELLS, WEST = 6, 4.5


class SmallWorld:
    """One shard, six light doorbells of which one answers, and a requester."""

    def __init__(self, folder: Path, gops: list[Gop], ends: ExitStack) -> None:
        self._now_s = int(time.time())
        self.shard = Shard(folder / "shard", 0, WEST)
        root = TrustRoot(folder / "root", [self.shard])
        self.requester = Requester.create(folder / "police", "rijnstad-police", Kind.POLICE, root.id)
        root.list({self.requester.id: self.requester.key.text})
        directory = root.directory.read_bytes()
        KnownRoots(self.requester).accept(root.key, root.package, self._now_s, directory)
        tls = self.requester.folder / "tls"
        tls.mkdir(exist_ok=True)
        (tls / "csr.pem").write_bytes(signing_request(tls / "key.pem", self.requester.id))
        self.shard.certify(self.requester.id, tls / "csr.pem", tls)
        ends.callback(self.shard.stop)
        self.shard.start()
        root.publish(self.shard)
        house = House((self._now_s - 6000) * 1000)
        house.record(DESCRIPTION, gops[:1])
        devices = [house.device_id, *(f"{number:016x}" for number in range(1, DOORBELLS))]
        self.book = Book(dict.fromkeys(devices, 0))
        judge = Judge(TrustStore().with_root(parse_trust_key(root.key)), self.book)
        ends.callback(judge.stop)
        self.board = Switchboard(lambda low, _high: low)
        cell = cell_of(52.25, WEST + 0.25)
        self.doorbells = [
            LightDoorbell(self.shard.settings(each), cell, self.board, judge, None if number else house)
            for number, each in enumerate(devices)
        ]
        self.board.start()
        ends.callback(self.board.stop)
        for each in self.doorbells:
            self.board.do(each.start)
        self._receive(ends)

    def _receive(self, ends: ExitStack) -> None:
        found = broker_files(self.requester.folder)
        host, port = self.shard.host, self.shard.requester_port
        bus = MqttBus(
            BusSettings(
                host, port, self.requester.id, found.authority, found.certificate, found.key,
                inbound_packet_bytes=160 << 10, inbound_beat_s=0.0,
            )
        )  # fmt: skip
        receiver, stop = DisclosureReceiver(self.requester, bus, SystemClock()), threading.Event()
        thread = threading.Thread(target=receiver.run, args=(stop,), name="receiver")
        bus.start()
        ends.callback(bus.stop)
        thread.start()
        ends.callback(thread.join)
        ends.callback(stop.set)

    def ask(self, case: str) -> str:
        asked = question(
            area=Circle(lat=52.25, lon=WEST + 0.25, radius_m=300), from_s=self._now_s - 7200,
            to_s=self._now_s - 3600, not_after_s=self._now_s + 86_400, case=case,
        )  # fmt: skip
        return messages.make_request(self.requester, asked, now_s=self._now_s).id

    def until_heard(self, message: str) -> None:
        deadline_s = time.monotonic() + 120
        while len(self.book.heard.get(message, {})) < DOORBELLS:
            assert time.monotonic() < deadline_s, f"heard by {self.book.heard.get(message)}"
            time.sleep(0.02)

    def until_delivered(self, count: int) -> None:
        deadline_s = time.monotonic() + 120
        while [each.state for each in self.book.sent.values()] != ["complete"] * count:
            assert time.monotonic() < deadline_s, self.book.sent
            time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path, gops: list[Gop]) -> Iterator[SmallWorld]:
    with ExitStack() as ends:
        yield SmallWorld(tmp_path, gops, ends)


def test_each_doorbell_hears_and_answers_before_and_after_its_broker_was_killed(world: SmallWorld) -> None:
    world.until_heard(world.ask("before"))
    world.until_delivered(1)
    world.shard.kill()
    asked = world.ask("meanwhile")
    world.shard.start()
    world.until_heard(asked)
    world.until_delivered(2)
    for disclosure, sent in world.book.sent.items():
        assert world.requester.answer(disclosure).sealed() == frozenset(range(len(sent.sha256)))
    assert world.board.failures == []


def test_a_light_doorbell_hears_only_requesters_that_its_root_lists(world: SmallWorld) -> None:
    asked = world.ask("before")
    world.until_heard(asked)
    (judge,) = {each.custody._judge for each in world.doorbells}
    topic, data = next((topic, data) for _, topic, data in judge._verified)
    assert topic.endswith("/requests/rijnstad-police/0")
    stranger = world.doorbells[1].custody
    stranger.trust = TrustStore()
    world.book.heard.clear()
    assert stranger.on_message(topic, data) is None
    assert world.book.heard == {}
    world.doorbells[2].custody.on_message(topic, data)
    assert world.book.heard.keys() == {asked}


@pytest.fixture
def board() -> Iterator[Switchboard]:
    board = Switchboard(lambda low, _high: low)
    yield board
    board.stop()


def test_connections_that_were_opened_in_a_storm_wait_for_the_doorbells_that_are_connected(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a storm, doorbells of the same process that were connected heard up to 9 s late."""
    monkeypatch.setattr(light_bus, "_SLICE_S", 0.0)
    done: list[str] = []
    ended = threading.Event()

    def first() -> None:
        done.append("first opened")
        board.after(0, lambda: done.append("a doorbell's turn"))

    board.do(first)
    board.do(lambda: done.append("second opened"))
    board.do(ended.set)
    board.start()
    assert ended.wait(60)
    assert done == ["first opened", "a doorbell's turn", "second opened"]


def test_a_process_that_stands_still_says_from_when_to_when(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(light_bus, "LATE_S", 0.1)
    stood: list[float] = []

    def stand_still() -> None:
        stood.append(time.monotonic())
        time.sleep(light_bus.LATE_S + 0.1)
        stood.append(time.monotonic())

    board.start()
    board.do(stand_still)
    deadline_s = time.monotonic() + 60
    while not (found := [span for span in list(board.late) if stood and span[0] <= stood[0] and span[1] >= stood[-1]]):
        assert time.monotonic() < deadline_s, (stood, board.late)
        time.sleep(0.02)
    assert len(found) == 1


def test_a_doorbell_is_connected_in_the_book_once_its_broker_has_taken_its_subscriptions(board: Switchboard) -> None:
    book = Book({"a1" * 8: 0})
    judge = Judge(TrustStore(), book)
    cell = cell_of(52.25, WEST)
    bell = LightDoorbell(BusSettings("127.0.0.1", 1, "a1" * 8, Path("none")), cell, board, judge)
    board.start()
    link, filters = book.links["a1" * 8], frozenset({TRUST_FILTER, cell_filter(cell)})
    for _ in range(2):
        for event in (BusConnected(1000, 16), Subscribed(TRUST_FILTER), Subscribed("another")):
            bell._note(event, filters)
            assert not link.is_open
        bell._note(Subscribed(cell_filter(cell)), filters)
        assert link.is_open
        bell._note(BusDisconnected(LinkFault.LOST, None, 1.0), filters)  # type: ignore[arg-type]
        assert not link.is_open
    bell._note(SubscriptionRefused(TRUST_FILTER, 0x87), filters)
    judge.stop()
    assert "may not subscribe" in str(board.failures.pop())


def test_a_doorbell_with_a_session_is_connected_in_the_book_while_both_its_connections_are(board: Switchboard) -> None:
    book, cell, device = Book({"a1" * 8: 0}), cell_of(52.25, WEST), "a1" * 8
    judge = Judge(TrustStore(), book)
    bell = LightDoorbell(BusSettings("127.0.0.1", 1, device, Path("none"), session_s=60), cell, board, judge)
    board.start()
    assert bell.live is not None
    assert bell.live.settings.name == f"{device}.live"
    own, lists = frozenset({cell_filter(cell)}), frozenset({TRUST_FILTER})
    link = book.links[device]
    for one, other in ((own, lists), (lists, own), (own, lists)):
        for filters in (one, other):
            assert not link.is_open
            bell._note(BusConnected(1000, 16), filters)
            bell._note(Subscribed(next(iter(filters))), filters)
        assert link.is_open
        for filters in (one, other):
            bell._note(BusDisconnected(LinkFault.LOST, None, 1.0), filters)  # type: ignore[arg-type]
            assert not link.is_open
    judge.stop()


def test_a_doorbell_sends_at_once_what_a_receipt_asks_for_although_nothing_else_comes(board: Switchboard) -> None:
    """A light doorbell sent its footage only with its next event or look, up to half a minute later. At mosquitto
    another event mostly came, at RabbitMQ hardly ever."""
    device, disclosure, requester = "a1" * 8, "cd" * 16, "rijnstad-police"
    judge = Judge(TrustStore(), Book({device: 0}))
    bell = LightDoorbell(BusSettings("127.0.0.1", 1, device, Path("none")), cell_of(52.25, WEST), board, judge)
    part = OutboxPart(0, "", 5, sha256_of(b"first"))
    line, done = _Line(), threading.Event()
    sent: list[bytes] = []

    def act() -> None:
        bell.bus._connection, bell.bus._is_up = line, True  # type: ignore[assignment]
        bell.bus._events.append(BusConnected(1 << 20, 16))
        record = OutboxRecord(disclosure, "ef" * 16, requester, (part,))
        bell.custody._answers[disclosure] = _Answer(record, SimpleNamespace(parts=[b"first"]))  # type: ignore[arg-type]
        bell._wake()
        (asked,) = line.published
        bell.bus._events.append(PublishAcknowledged(asked.token, heard=True))
        bell._turn()
        receipt = receipt_for(
            TransferProgress(ReceiptState.PARTIAL, None, (), question=json.loads(asked.payload)["question"]),
            disclosure=disclosure, request=None, requester=requester, trust_root="11" * 8, seq=1,
        )  # fmt: skip
        bell.custody.on_message = lambda _topic, _data: receipt  # type: ignore[method-assign]
        bell.bus._inbound.put(MessageReceived(str(ReceiptTopic(device, disclosure)), b""))
        bell._turn()
        sent.extend(each.payload for each in line.published[1:])  # before any timer

    board.start()
    board.do(act)
    board.do(done.set)
    assert done.wait(60)
    judge.stop()
    assert board.failures == []
    assert sent == [b"first"]


class _Line:
    """A connection that keeps what is published."""

    _client = SimpleNamespace(socket=lambda: None, want_write=lambda: False)

    def __init__(self) -> None:
        self.published: list[OutboundPublish] = []

    def publish(self, publication: OutboundPublish) -> None:
        self.published.append(publication)

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        """Takes it."""

    def step(self, _timeout_s: float) -> list[ConnectionEvent]:
        return []


def test_no_doorbell_waits_for_the_broker_of_another(
    board: Switchboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker hung up before its CONNACK, and its network was cut. A doorbell then looks for the reason for 12 s. All
    doorbells of a process stood still, five looks one after the other, and heard a request a minute late."""
    pki = BrokerPki.create(tmp_path / "pki", NOW)
    looks: list[str] = []
    monkeypatch.setattr(tls, "probe", lambda settings, _context: looks.append(settings.name))
    lost = threading.Event()
    with ScriptedPeer(pki.directory, lambda line: line.read(), certificates=False) as peer:
        authority = pki.directory / "authorities" / "broker.pem"
        bus = LightBus(BusSettings("127.0.0.1", peer.port, "a1" * 8, authority), board, lost.set)
        board.start()
        try:
            board.do(bus.start)
            assert lost.wait(60)
            event = bus.next_event(0)
        finally:
            board.do(bus.stop)
    assert isinstance(event, BusDisconnected)
    assert event.fault is LinkFault.LOST
    assert looks == []
