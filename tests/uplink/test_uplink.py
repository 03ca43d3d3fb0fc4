"""The link: exactly the custodian's list leaves, byte for byte, and only `stop` ends it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agent.clients.opening import open_bytes
from agent.core.bus import BusConnected, LinkFault, MessageReceived
from agent.core.consent import RequestState
from agent.core.disclosure import check_part, read_manifest
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.errors import StorageError
from agent.uplink import uplink
from agent.uplink.cell_reading import BURST_BYTES
from agent.uplink.uplink import Uplink
from agent.wire import disclosures, strictjson
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.messages import FootageRequest
from agent.wire.statements import OptIn, OptOut, Scope
from agent.wire.topics import (
    TRUST_FILTER,
    TRUST_PIECES_FILTER,
    BulletinTopic,
    ChunkVerb,
    ReceiptTopic,
    RequestTopic,
    TrustIndexTopic,
    TrustTopic,
    UploadTopic,
    UploadVerb,
    cell_filter,
    cell_of,
    parse_topic,
)
from agent.wire.trust_package import index_of, split_package
from agent.wire.uploads import UploadNote
from tests import custodians
from tests.custodian.test_inbox import everything_but_counters
from tests.custodians import DOOR, POLICE, Door, receipt, refused, request, sha256_of, signed, stated, withdrawal
from tests.fake_bus import FakeBroker, FakeBus
from tests.wire import samples

DEVICE = samples.DEVICE_KEY.id
STRANGER = private_key_from_seed(b"x" * 32)


class RunningClock:
    """Boot time passes alone and a hundred times as fast, so that no one waits to be asked again."""

    boot_id = "1" * 32

    def now(self) -> ClockReading:
        boot_ns = time.monotonic_ns() * 100
        return ClockReading(BootNs(boot_ns), UtcNs(custodians.NOW_S * 10**9), ClockQuality.SYNCED)


class StandingClock(RunningClock):
    """Boot time stands still."""

    def now(self) -> ClockReading:
        return ClockReading(BootNs(10**12), UtcNs(custodians.NOW_S * 10**9), ClockQuality.SYNCED)


@dataclass
class Link:
    """A door and its uplink, running."""

    door: Door
    broker: FakeBroker
    has_session: bool = False
    bus: FakeBus = field(init=False)
    live: FakeBus | None = field(init=False)
    uplink: Uplink = field(init=False)
    thread: threading.Thread = field(init=False)
    faults: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.bus = FakeBus(self.broker, DEVICE)
        self.live = FakeBus(self.broker, DEVICE) if self.has_session else None
        self.uplink = Uplink(
            self.bus,
            self.door.custodian,
            self.door.outbox,
            RunningClock(),
            device=DEVICE,
            cell_filter=cell_filter(cell_of(*DOOR)),
            chunk_bytes=16 << 10,
            live=self.live,
        )
        self.door.custodian.releases.wake_uplink = self.uplink.wake
        self.thread = threading.Thread(target=self._run, name="uplink")
        self.thread.start()

    def _run(self) -> None:
        try:
            self.uplink.run()
        except BaseException as error:  # noqa: BLE001 — shown by `stop`
            self.faults.append(error)

    def stop(self) -> None:
        self.uplink.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()
        assert self.faults == []

    def turn(self) -> None:
        """Wait until it has looked at everything there is."""
        self.uplink.wake()
        until(lambda: not self.uplink._changed.is_set())
        turned_ns = self.uplink.turned_ns
        until(lambda: self.uplink.turned_ns > turned_ns and not self.bus._events)
        until(lambda: self.live is None or not self.live._events)

    def power_cut(self, police: Asker) -> None:
        """The process is gone, everything it said is heard, and a new one starts."""
        self.stop()
        police.hear_out()
        self.door.start()
        self.start()

    @property
    def said(self) -> list[tuple[UploadTopic, bytes]]:
        """Everything the device ever published."""
        topics = [(parse_topic(topic), data) for who, topic, data in self.broker.published if who == DEVICE]
        assert all(isinstance(topic, UploadTopic) for topic, _ in topics)
        return topics  # type: ignore[return-value]

    def chunks(self, disclosure: str) -> list[tuple[int, int, bytes]]:
        return [
            (topic.part, topic.verb.offset_bytes, data)
            for topic, data in self.said
            if isinstance(topic.verb, ChunkVerb) and topic.disclosure == disclosure
        ]


@dataclass
class Asker:
    """A requester at the broker, who puts parts together and answers when told to."""

    broker: FakeBroker
    bus: FakeBus = field(init=False)
    parts: dict[int, bytearray] = field(default_factory=dict)
    sealed: dict[int, bytes] = field(default_factory=dict)
    questions: int = 0
    aborted: bool = False
    cleared: bool = False
    """True after the question was cleared."""
    tokens: int = 0

    def __post_init__(self) -> None:
        self.bus = FakeBus(self.broker, "harbour-police")
        self.bus.subscribe("doorward/v1/up/harbour-police/#")
        self.bus.start()

    def publish(self, topic: object, data: bytes, *, retain: bool = False) -> None:
        self.tokens += 1
        self.listen(lambda: self.bus.publish(str(topic), data, token=self.tokens, retain=retain))

    def ask(self, asked: FootageRequest) -> None:
        self.publish(custodians.topic_of(asked), signed(asked, POLICE), retain=True)

    def answer(self, made: Any) -> None:
        self.publish(custodians.topic_of(made), signed(made, POLICE))

    def listen(self, until: Callable[[], bool], patience_s: float = 10) -> None:
        """Take what comes until something holds."""
        ends = time.monotonic() + patience_s
        while not until():
            assert time.monotonic() < ends, "it did not happen in time"
            event = self.bus.next_event(0.02)
            if isinstance(event, MessageReceived):
                self._take(parse_topic(event.topic), event.payload)

    def hear_out(self) -> None:
        """Takes all that has come, so that no question of a gone device is left waiting."""
        while (event := self.bus.next_event(0)) is not None:
            if isinstance(event, MessageReceived):
                self._take(parse_topic(event.topic), event.payload)
        self.questions = 0

    def _take(self, topic: object, data: bytes) -> None:
        assert isinstance(topic, UploadTopic)
        if topic.verb is UploadVerb.INIT:
            self.questions += bool(data)
            self.cleared = not data
        elif topic.verb is UploadVerb.ABORT:
            self.aborted = True
        elif isinstance(topic.verb, ChunkVerb):
            assert hashlib.sha256(data).hexdigest() == topic.verb.sha256
            part = self.parts.setdefault(topic.part, bytearray())
            part.extend(bytes(max(0, topic.verb.offset_bytes + len(data) - len(part))))
            part[topic.verb.offset_bytes : topic.verb.offset_bytes + len(data)] = data
        else:
            note = strictjson.decode(data, UploadNote)
            whole = bytes(self.parts.get(topic.part, b""))
            if len(whole) == note.size_bytes and hashlib.sha256(whole).hexdigest() == note.sha256:
                self.sealed[topic.part] = whole

    def holds(self, asked: FootageRequest, disclosure: str) -> disclosures.Receipt:
        manifest = hashlib.sha256(self.sealed[0]).hexdigest() if 0 in self.sealed else None
        stored = tuple(disclosures.PartRange(first=p, last=p) for p in sorted(self.sealed) if p % 2 == 0)
        return receipt(asked, disclosure, manifest=manifest, stored=stored if manifest else ())

    def complete(self, asked: FootageRequest, disclosure: str) -> disclosures.Receipt:
        manifest = hashlib.sha256(self.sealed[0]).hexdigest()
        ranges = (disclosures.PartRange(first=0, last=max(self.sealed)),)
        state = disclosures.ReceiptState.COMPLETE
        return receipt(asked, disclosure, state=state, manifest=manifest, stored=ranges)

    def receive(self, asked: FootageRequest, disclosure: str, parts: int) -> None:
        """Question, part 0, its receipt, the others, the last receipt."""
        self.listen(lambda: self.questions > 0)
        self.hold(asked, disclosure, lambda: 0 in self.sealed)
        self.hold(asked, disclosure, lambda: len(self.sealed) == parts)
        self._answer(lambda: self.complete(asked, disclosure), lambda: self.cleared)

    def hold(self, asked: FootageRequest, disclosure: str, until: Callable[[], bool]) -> None:
        """Say what is here, until something holds."""
        self._answer(lambda: self.holds(asked, disclosure), until)

    def _answer(self, made: Callable[[], Any], until: Callable[[], bool]) -> None:
        """Answer, and answer each further question: no one may have listened to the answer before."""
        self.answer(made())
        answered = self.questions

        def answering() -> bool:
            nonlocal answered
            if until():
                return True
            if self.questions > answered:
                answered = self.questions
                self.answer(made())
            return until()

        self.listen(answering)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "_IDLE_S", 0.01)


@pytest.fixture
def link() -> Iterator[Link]:
    door = Door.enrolled()
    door.segments = [door.vault.keep(samples.request().from_s + 700, repeats=10_000)]  # six chunks
    made = Link(door, FakeBroker())
    until(lambda: made.uplink.status().link == "connected")
    until(lambda: has_read(made.uplink))
    yield made
    made.stop()
    door.close()


@pytest.fixture
def police(link: Link) -> Iterator[Asker]:
    made = Asker(link.broker)
    yield made
    made.bus.stop()


def until(holds: Callable[[], bool], patience_s: float = 10) -> None:
    ends = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.005)


def has_read(uplink: Uplink) -> bool:
    """Returns True once it has read what the broker retains for the cell."""
    reading = uplink._reading
    return reading._up and reading._asked is None and reading._due_ns is None and not reading._waiting


def asked_for(link: Link, police: Asker, **changes: Any) -> FootageRequest:
    asked = request(from_s=samples.request().from_s + 650, **changes)
    police.ask(asked)
    until(lambda: link.door.state(asked) is RequestState.PENDING)
    return asked


def approved(link: Link, police: Asker) -> tuple[FootageRequest, str]:
    asked = asked_for(link, police)
    return asked, link.door.approve(asked).disclosure or ""


# -- a disclosure ------------------------------------------------------------------------------------------------------


def test_an_approved_disclosure_arrives_whole_and_is_closed_by_its_receipt(link: Link, police: Asker) -> None:
    asked, disclosure = approved(link, police)
    made = {number: bytes(data) for number, data in link.door.outbox.objects[disclosure].items()}
    police.receive(asked, disclosure, parts=2)
    until(lambda: link.door.state(asked) is RequestState.SENT)
    assert police.sealed == made
    manifest = open_bytes(police.sealed[0], [custodians.REPLY_IDENTITY])
    read = read_manifest(manifest, asked, sha256_of(asked))
    assert [item.part.id for item in read.items] == link.door.segments
    check_part(read.items[0], police.sealed[1])
    until(lambda: link.uplink.status().transfers == 0)
    assert link.broker.retained.keys() == {str(custodians.topic_of(asked))}
    assert link.uplink.status().sent_bytes == sum(map(len, made.values()))
    assert [entry["kind"] for entry in link.door.entries() if entry["kind"] != "padding"][-6:] == [
        *("received", "matched", "approved", "sealed", "sending", "receipt")
    ]


def test_nothing_of_the_footage_leaves_before_the_first_byte_is_put_down(link: Link, police: Asker) -> None:
    begun: list[int] = []
    begin = link.door.custodian.begin_sending
    link.door.custodian.begin_sending = lambda d: begun.append(len(link.chunks(d))) or begin(d)  # type: ignore[method-assign,func-returns-value]
    asked, disclosure = approved(link, police)
    police.receive(asked, disclosure, parts=2)
    assert begun == [0]


def test_until_its_first_byte_a_yes_is_taken_back_without_a_byte_of_it(link: Link, police: Asker) -> None:
    asked, disclosure = approved(link, police)
    police.listen(lambda: police.questions > 0)  # it knows that something waits, and says nothing yet
    assert link.door.revoke(disclosure).state is RequestState.REVOKED
    until(lambda: link.uplink.status().transfers == 0)
    police.answer(police.holds(asked, disclosure))
    link.turn()
    *questions, last = link.said  # more than one where the answer takes its time
    assert {topic.verb for topic, _ in link.said} == {UploadVerb.INIT}
    assert all(data for _, data in questions)
    assert last[1] == b""
    assert police.parts == {}


def test_after_the_first_byte_nothing_new_starts(link: Link, police: Asker) -> None:
    asked, disclosure = approved(link, police)
    police.listen(lambda: police.questions > 0)
    police.hold(asked, disclosure, lambda: 0 in police.sealed)  # the manifest is here, the footage waits for our word
    assert link.door.revoke(disclosure).state is RequestState.STOPPED
    police.listen(lambda: police.aborted)
    police.answer(police.holds(asked, disclosure))
    link.turn()
    assert {part for part, _, _ in link.chunks(disclosure)} == {0}
    assert link.door.outbox.objects == {}


def test_a_revocation_in_the_middle_of_a_part_stops_the_rest(link: Link, police: Asker) -> None:
    asked, disclosure = approved(link, police)
    read, reads = link.door.outbox.read, 0

    def counting(*arguments: Any) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 4:  # part 0 and two chunks of part 1 have left
            link.door.revoke(disclosure)
        return read(*arguments)

    link.door.outbox.read = counting  # type: ignore[method-assign]
    police.listen(lambda: police.questions > 0)
    police.hold(asked, disclosure, lambda: 0 in police.sealed)
    police.hold(asked, disclosure, lambda: police.aborted)
    assert len(link.chunks(disclosure)) < 6
    assert 1 not in police.sealed


@pytest.mark.parametrize("when", ["before the question", "before part 0", "in the middle", "before the last receipt"])
def test_after_a_power_cut_the_same_bytes_go_on(link: Link, police: Asker, when: str) -> None:
    asked, disclosure = approved(link, police)
    made = {number: bytes(data) for number, data in link.door.outbox.objects[disclosure].items()}
    if when != "before the question":
        police.listen(lambda: police.questions > 0)
    if when in ("in the middle", "before the last receipt"):
        police.hold(asked, disclosure, lambda: 0 in police.sealed)
        police.hold(asked, disclosure, lambda: len(police.parts.get(1, b"")) > 0)
    if when == "before the last receipt":
        police.listen(lambda: 1 in police.sealed)
    link.power_cut(police)
    police.receive(asked, disclosure, parts=2)
    until(lambda: link.door.state(asked) is RequestState.SENT)
    assert police.sealed == made
    assert [entry["kind"] for entry in link.door.entries()].count("sending") == 1
    sent: dict[tuple[int, int], set[bytes]] = {}
    for part, offset, data in link.chunks(disclosure):
        sent.setdefault((part, offset), set()).add(data)
    assert all(len(versions) == 1 for versions in sent.values())


def test_a_requester_that_refuses_is_left_alone(link: Link, police: Asker) -> None:
    asked, disclosure = approved(link, police)
    police.listen(lambda: police.questions > 0)
    police.answer(refused(asked, disclosure))
    until(lambda: link.door.state(asked) is RequestState.STOPPED)
    until(lambda: link.uplink.status().transfers == 0)
    link.turn()
    assert link.chunks(disclosure) == []


def test_receipts_that_count_for_nothing_move_nothing(link: Link, police: Asker) -> None:
    asked, disclosure = approved(link, police)
    police.listen(lambda: police.questions > 0)
    for made, key in (
        (receipt(asked, disclosure, manifest=None), STRANGER),
        (receipt(asked, "00" * 16, manifest=None), POLICE),
        (receipt(asked, disclosure, manifest=None, request="00" * 16), POLICE),
    ):
        police.publish(custodians.topic_of(receipt(asked, disclosure)), signed(made, key))
    police.listen(lambda: sum(link.door.journal.counters().values()) == 3)
    assert link.chunks(disclosure) == []


def test_the_broker_may_die_and_come_back(link: Link, police: Asker) -> None:
    asked, disclosure = approved(link, police)
    police.listen(lambda: police.questions > 0)
    link.broker.kill()
    until(lambda: link.uplink.status().link == "unreachable")
    assert link.uplink.status().remedy
    police.hear_out()
    link.broker.start()
    police.receive(asked, disclosure, parts=2)
    until(lambda: link.door.state(asked) is RequestState.SENT)
    assert link.uplink.status().link == "connected"


# -- silence -----------------------------------------------------------------------------------------------------------


def test_a_receipt_without_an_upload_keeps_the_link_waiting_for_no_custodian(
    link: Link, police: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a broker measures with it how long the custodian works on a request."""
    heard: list[str] = []
    take = link.door.custodian.on_message

    def on_message(topic: str, data: bytes) -> Any:
        heard.append(topic)
        return take(topic, data)

    monkeypatch.setattr(link.door.custodian, "on_message", on_message)
    foreign = str(ReceiptTopic(DEVICE, "0" * 32))
    for topic in (foreign, str(ReceiptTopic("f" * 16, "1" * 32)), foreign):
        with link.broker.lock:
            link.bus.deliver(MessageReceived(topic, b"{}"))
    link.turn()
    assert heard == []
    asked, disclosure = approved(link, police)
    police.listen(lambda: police.questions > 0)
    heard.clear()
    own = str(custodians.topic_of(receipt(asked, disclosure)))
    with link.broker.lock:
        link.bus.deliver(MessageReceived(own, b"{}"))
        link.bus.deliver(MessageReceived(foreign, b"{}"))
    link.turn()
    assert set(heard) == {own}


def test_every_no_is_the_same_silence(link: Link, police: Asker) -> None:
    """A capture of the bus: zero publications, for every question that ends without a yes."""
    door = link.door
    nowhere = request(area=samples.square(53.6, 10.1))
    earlier = request(from_s=custodians.NOW_S - 40 * 3600, to_s=custodians.NOW_S - 39 * 3600)
    over = request(to_s=custodians.NOW_S + 7200)
    for asked in (nowhere, earlier, over, over):
        police.ask(asked)
    denied, withdrawn, opted_out = (asked_for(link, police) for _ in range(3))
    expired = asked_for(link, police, not_after_s=custodians.NOW_S + 60)
    door.deny(denied)
    police.publish(custodians.topic_of(withdrawn), signed(withdrawal(withdrawn), POLICE))
    until(lambda: door.state(withdrawn) is RequestState.WITHDRAWN)
    door.clock.advance(61)
    door.custodian.requests.on_time()
    door.obey(OptOut(**stated(), scope=Scope.ALL))
    police.ask(unasked := request())
    untrusted = request()
    police.publish(custodians.topic_of(untrusted), signed(untrusted, STRANGER))
    for noise in (b"", b"\0" * 100, b"{" * 9000, signed(samples.bundle(), custodians.ROOT)):
        police.publish(RequestTopic(cell_of(*DOOR), "harbour-police", 63), noise)
    police.ask(denied)
    until(lambda: door.journal.counters() == {"blocked": 1, "malformed": 4, "untrusted": 1, "replayed": 2})
    link.turn()
    assert link.said == []
    ends = {nowhere: RequestState.NO_MATCH, earlier: RequestState.NO_MATCH, over: None, denied: RequestState.DENIED}
    ends |= {
        withdrawn: RequestState.WITHDRAWN,
        expired: RequestState.EXPIRED,
        opted_out: RequestState.OPTED_OUT,
        unasked: RequestState.OPTED_OUT,
    }
    assert {asked: door.state(asked) for asked in ends} == ends
    # The witness was awake: a yes is heard.
    door.obey(OptIn(**stated(), scope=Scope.ALL))
    approved(link, police)
    until(lambda: len(link.said) > 0)


# -- what must not end it ----------------------------------------------------------------------------------------------


def test_a_custodian_that_cannot_take_a_message_is_given_it_again(
    link: Link, police: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "_LOOK_NS", 0)
    take = link.door.custodian.on_message
    failures: list[str] = []

    def full(topic: str, data: bytes) -> Any:
        if len(failures) < 3:
            failures.append(topic)
            raise StorageError("The journal cannot be written: database or disk is full.")
        return take(topic, data)

    link.door.custodian.on_message = full  # type: ignore[method-assign]
    asked = request()
    police.ask(asked)
    until(lambda: link.door.state(asked) is RequestState.PENDING)
    assert len(failures) == 3


def test_a_first_byte_that_cannot_be_put_down_does_not_leave_until_it_can(
    link: Link, police: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "_LOOK_NS", 2 * 10**9)
    begin = link.door.custodian.begin_sending
    fail = threading.Event()
    fail.set()

    def full(disclosure: str) -> bool:
        if fail.is_set():
            raise StorageError("The journal cannot be written: database or disk is full.")
        return begin(disclosure)

    link.door.custodian.begin_sending = full  # type: ignore[method-assign]
    asked, disclosure = approved(link, police)
    police.listen(lambda: police.questions > 0)
    police.hold(asked, disclosure, lambda: police.questions > 1)
    assert link.chunks(disclosure) == []
    fail.clear()
    police.receive(asked, disclosure, parts=2)
    until(lambda: link.door.state(asked) is RequestState.SENT)


def test_a_custodian_that_cannot_be_asked_is_asked_again(
    link: Link, police: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "_LOOK_NS", 0)
    outgoing, asked_often = link.door.custodian.outgoing, threading.Event()

    def away() -> Any:
        if not asked_often.is_set():
            asked_often.set()
            raise StorageError("The custodian is restarting.")
        return outgoing()

    link.door.custodian.outgoing = away  # type: ignore[method-assign]
    asked, disclosure = approved(link, police)
    police.receive(asked, disclosure, parts=2)
    until(lambda: link.door.state(asked) is RequestState.SENT)


def test_an_outbox_that_cannot_be_read_stops_its_transfer_and_is_tried_again(
    link: Link, police: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "_LOOK_NS", 2 * 10**9)
    link.door.outbox.fault = "read"
    asked, disclosure = approved(link, police)
    police.listen(lambda: police.questions > 0)
    police.hold(asked, disclosure, lambda: police.aborted)
    assert link.chunks(disclosure) == []
    link.door.outbox.fault = None
    police.questions = 0
    police.receive(asked, disclosure, parts=2)
    until(lambda: link.door.state(asked) is RequestState.SENT)


def test_it_says_when_it_has_stopped(link: Link) -> None:
    link.stop()
    assert link.uplink.status().link == "stopped"
    assert link.broker.clients == []
    link.start()


# -- bulletins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_chosen", [True, False])
def test_the_package_of_a_root_is_read_alike_whether_the_owner_chose_it_or_not(link: Link, is_chosen: bool) -> None:
    trust = link.door.custodian.custodian_state.trust
    if not is_chosen:
        link.door.obey(custodians.TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))
    link.turn()
    acts: list[tuple[str, str]] = []
    for name in ("subscribe", "read_retained", "unsubscribe", "publish"):
        ask = getattr(link.bus, name)
        setattr(link.bus, name, lambda topic, ask=ask, name=name: (acts.append((name, topic)), ask(topic)))
    received = link.uplink.status().received_messages
    package = samples.package(custodians.bundle(2, POLICE, revoked=True))
    topics = [str(TrustTopic(samples.ROOT_KEY.id, slot)) for slot in range(len(split_package(package)))]
    with link.broker.lock:
        for topic, chunk in zip(topics, split_package(package), strict=True):
            assert not link.bus.hears(topic)
            link.broker.retained[topic] = MessageReceived(topic, chunk)
        index = str(TrustIndexTopic(samples.ROOT_KEY.id))
        assert link.bus.hears(index)
        link.bus.deliver(MessageReceived(index, index_of(package)))
    until(lambda: link.uplink.status().received_messages == received + 1 + len(topics))
    link.turn()
    about_roots = [each for each in acts if "/trust/" in each[1]]
    assert about_roots == [(name, topic) for topic in topics for name in ("read_retained", "unsubscribe")]
    assert "publish" not in [name for name, _ in acts]
    assert (samples.ROOT_KEY.id in trust.store.bundles) == is_chosen
    if is_chosen:
        until(lambda: trust.store.bundles[samples.ROOT_KEY.id].version == 2)


@pytest.fixture
def session(link: Link) -> Link:
    """The same doorbell with a session at its broker, so with two connections."""
    link.stop()
    link.has_session = True
    link.start()
    link.turn()
    return link


def test_a_doorbell_with_a_session_hears_a_list_of_which_its_node_retains_nothing(session: Link) -> None:
    link = session
    package = samples.package(custodians.bundle(2, POLICE, revoked=True))
    pieces = [(str(TrustTopic(samples.ROOT_KEY.id, slot)), each) for slot, each in enumerate(split_package(package))]
    assert link.live is not None
    with link.broker.lock:
        assert link.live._filters["doorward/v1/trust/+/+"] is False, "what is retained is read piece by piece"
        for topic, data in (*pieces, (str(TrustIndexTopic(samples.ROOT_KEY.id)), index_of(package))):
            assert link.live.hears(topic)
            link.live.deliver(MessageReceived(topic, data))
    trust = link.door.custodian.custodian_state.trust
    until(lambda: trust.store.bundles[samples.ROOT_KEY.id].version == 2)


def test_a_session_keeps_nothing_but_requests_bulletins_and_receipts(session: Link) -> None:
    """Lists and pages are published again and again. They would push requests out of the session's queue."""
    assert session.live is not None
    asked: list[str] = []
    read = session.live.read_retained
    session.live.read_retained = lambda topic, source="": (asked.append(topic), read(topic))  # type: ignore[method-assign, assignment, func-returns-value]
    session.broker.kill()
    session.broker.start()
    cell = cell_filter(cell_of(*DOOR))
    until(lambda: f"{cell.removesuffix('/+/+/+')}/digest/0" in asked)
    assert session.bus._filters == {cell: False}
    assert session.bus._reading <= {cell}
    assert set(session.live._filters) == {TRUST_FILTER, TRUST_PIECES_FILTER}
    asked_topic = str(custodians.topic_of(request()))
    assert (session.bus.hears(asked_topic), session.live.hears(asked_topic)) == (True, False)


def test_the_link_of_a_doorbell_with_a_session_is_up_if_both_connections_are(session: Link) -> None:
    def shows(link: str) -> bool:
        return session.uplink.status().link == link

    assert session.live is not None
    until(lambda: shows("connected"))
    for each in (session.live, session.bus):
        with session.broker.lock:
            each.link_ended()
        until(lambda: shows(LinkFault.UNREACHABLE.value))
        assert "Start the broker" in session.uplink.status().remedy
        assert not session.uplink._trust._up
        with session.broker.lock:
            each.link_made()
        until(lambda: shows("connected"))
        assert session.uplink._trust._up


@pytest.mark.parametrize("is_live_first", [False, True])
def test_what_a_session_had_kept_takes_of_what_is_read_at_the_connection(is_live_first: bool) -> None:
    broker = FakeBroker()
    link = Uplink(
        FakeBus(broker, DEVICE), SimpleNamespace(on_message=lambda _topic, _data: None), None,  # type: ignore[arg-type]
        StandingClock(), device=DEVICE, cell_filter=cell_filter(cell_of(*DOOR)), live=FakeBus(broker, DEVICE),
    )  # fmt: skip
    connected, topic = BusConnected(1 << 20, 16), str(RequestTopic(cell_of(*DOOR), "harbour-police", 0))
    if is_live_first:
        link._on_live_event(connected)
    link._on_event(connected)
    for _ in range(4):
        link._on_event(MessageReceived(topic, bytes(10_000)))
    if not is_live_first:
        link._on_live_event(connected)
    left_bytes = BURST_BYTES - 4 * (len(topic) + 10_000)
    assert link._reading.room_bytes == left_bytes
    assert link._trust._level == left_bytes


def test_subscriptions_of_an_earlier_process_leave_the_session_at_a_moment_of_chance() -> None:
    """They would fill the queue of a doorbell that was moved, and the few places that some services allow."""
    broker, gone, door = FakeBroker(), list[str](), cell_of(*DOOR)
    bus = FakeBus(broker, DEVICE)
    bus.unsubscribe = lambda topic, source="": gone.append(topic)  # type: ignore[method-assign, assignment]
    link = Uplink(
        bus, SimpleNamespace(on_message=lambda *_: None), None,  # type: ignore[arg-type]
        StandingClock(), device=DEVICE, cell_filter=cell_filter(door), live=FakeBus(broker, DEVICE),
    )  # fmt: skip
    link._reread_ns = StandingClock().now().boot_ns + 1
    for topic in (ReceiptTopic(DEVICE, "e" * 32), *(RequestTopic(each, "harbour-police", 0) for each in ("1-1", door))):
        link._on_event(MessageReceived(str(topic), b"{}"))
    link._refresh_subscriptions()
    assert gone == [], "the broker would see how long the messages before it took"
    link._reread_ns = 0
    link._refresh_subscriptions()
    assert sorted(gone) == sorted([str(ReceiptTopic(DEVICE, "e" * 32)), cell_filter("1-1")])


def test_without_a_session_what_comes_takes_nothing_of_it(link: Link) -> None:
    link.turn()
    with link.broker.lock:
        link.bus.deliver(MessageReceived(str(RequestTopic(cell_of(*DOOR), "harbour-police", 0)), bytes(10_000)))
    link.turn()
    assert link.uplink._kept_bytes == 0


def test_what_is_listened_to_is_the_same_whomever_the_owner_trusts(link: Link, police: Asker) -> None:
    """Or the broker would learn it, and when it changes: every wish of the uplink's goes to it as it is."""
    wishes: list[tuple[str, str]] = []
    for name in ("subscribe", "unsubscribe"):
        ask = getattr(link.bus, name)
        setattr(link.bus, name, lambda topic, ask=ask, name=name: (wishes.append((name, topic)), ask(topic)))
    link.turn()
    link.door.obey(custodians.TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))
    link.turn()
    link.door.obey(custodians.TrustChange(**stated(), roots_added=(samples.ROOT_KEY.text,)))
    link.door.custodian.control._trust.accept(signed(custodians.bundle(2), custodians.ROOT))
    link.turn()
    assert wishes == []
    owned_by_nobody = Link(Door(), FakeBroker())
    try:
        until(lambda: owned_by_nobody.uplink.status().link == "connected")
        until(lambda: has_read(owned_by_nobody.uplink))
        owned_by_nobody.turn()
        assert list(owned_by_nobody.bus._filters) == list(link.bus._filters)
        assert list(link.bus._filters) == [TRUST_FILTER, cell_filter(cell_of(*DOOR))]
    finally:
        owned_by_nobody.stop()
        owned_by_nobody.door.close()
    # The witness was awake: a disclosure is listened to.
    approved(link, police)
    until(lambda: [name for name, _ in wishes] == ["subscribe"])


def test_a_flood_of_bulletins_nobody_trusts_costs_a_counter_and_a_request_comes_through(
    link: Link, police: Asker
) -> None:
    before, strangers = everything_but_counters(link.door), private_key_from_seed(b"y" * 32)
    bulletin = samples.EVERY_MESSAGE["bulletin"]
    for number in range(300):
        root = public_key_of(private_key_from_seed(number.to_bytes(32, "big"))).id
        posted = msgspec.structs.replace(bulletin, id=custodians.new_id(), trust_root=root)
        police.publish(BulletinTopic(cell_of(*DOOR), posted.requester, number % 16), signed(posted, strangers))
    until(lambda: link.door.journal.counters() == {"untrusted": 300})
    assert everything_but_counters(link.door) == before
    asked_for(link, police)
    ours = msgspec.structs.replace(bulletin, area=None, seq=next(custodians._numbers))  # newer than the request
    police.publish(BulletinTopic(cell_of(*DOOR), ours.requester, 0), signed(ours, POLICE))
    until(lambda: link.door.journal.counters() == {"untrusted": 300, "bulletin": 1})
    assert link.said == []
