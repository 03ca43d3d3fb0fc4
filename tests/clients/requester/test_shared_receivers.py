"""A receiver that shares its uploads with others takes none of theirs, and leaves its own when it cannot go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.clients.requester.claims import SoleReceiver
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.receiving_service import DisclosureReceiver, ReceiverEventKind
from agent.clients.requester.sealed_parts import FolderParts
from agent.core.timebase import seconds
from agent.core.transfer import TransferOutcome
from agent.errors import NetworkError
from tests.clients.requester.doors import Door, TestClock, answer_folders
from tests.clients.requester.house import House
from tests.clients.requester.test_receiving_service import LIMITS, Desk, play
from tests.fake_bus import FakeBroker, FakeBus


class Ledger:
    """The claims of all receivers: upload or duty → its receiver."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self.lost = False


class TableClaims(SoleReceiver):
    """The claims of one receiver in a table that all share."""

    shared = True

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger, self._name = ledger, name

    def claim(self, disclosure: str) -> bool:
        return self._ledger.of.setdefault(disclosure, self._name) == self._name

    def claim_duty(self, duty: str) -> bool:
        return self.claim(duty)

    def release(self, disclosure: str) -> None:
        if self._ledger.of.get(disclosure) == self._name:
            del self._ledger.of[disclosure]

    def step_down(self) -> None:
        for each in [each for each, holder in self._ledger.of.items() if holder == self._name]:
            del self._ledger.of[each]

    def check(self) -> None:
        if self._ledger.lost:
            raise NetworkError("The claims are lost.")


class Worker(Desk):
    """One of several receivers of a requester."""

    def __init__(self, ledger: Ledger, name: str, broker: FakeBroker, requester: Requester, clock: TestClock) -> None:
        self.claims = TableClaims(ledger, name)
        super().__init__(broker, requester, clock)

    def begin(self) -> None:
        self.bus = FakeBus(self.broker, self.requester.id)
        self.bus.start()
        again = Requester.open(self.requester.folder, claims=self.claims)
        self.receiver = DisclosureReceiver(again, self.bus, self.clock, LIMITS, tell=self.news.append)
        self.receiver.start()


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def worker(
    ledger: Ledger, broker: FakeBroker, requester: Requester, asked: SentRequest, clock: TestClock
) -> Iterator[Worker]:
    worker = Worker(ledger, "this", broker, requester, clock)
    yield worker
    worker.bus.stop()


def test_an_upload_that_is_claimed_here_arrives_whole_and_is_left_at_its_end(
    worker: Worker, ledger: Ledger, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House,
    clock: TestClock,
) -> None:  # fmt: skip
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, worker, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    assert door.disclosure.id not in ledger.of


def test_an_old_question_that_a_broker_brings_back_is_answered_once(
    worker: Worker, ledger: Ledger, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House,
    clock: TestClock,
) -> None:  # fmt: skip
    """A killed broker may forget that a door cleared its question, which then comes with each new subscription."""
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    under_way(worker, ledger, door, clock, asked)
    questions = {topic: each for topic, each in broker.retained.items() if topic.endswith("/init")}
    play(clock, worker, door)
    while worker.step():
        pass
    assert len(questions) == 1
    assert not questions.keys() & broker.retained.keys(), "the door cleared it"
    broker.kill()
    broker.retained.update(questions)
    broker.start()
    published = len(broker.published)
    for _ in range(200):
        worker.step()
    receipts = [topic for _, topic, _ in broker.published[published:] if topic.startswith("doorward/v1/receipts/")]
    assert len(receipts) == 1
    assert not worker.step(), "nothing more comes"
    assert door.disclosure.id not in ledger.of


def test_an_upload_that_another_receiver_claimed_is_neither_stored_nor_answered(
    worker: Worker, ledger: Ledger, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House,
    clock: TestClock,
) -> None:  # fmt: skip
    door = Door(broker, requester, house.disclose(asked), clock)
    ledger.of[door.disclosure.id] = "other"
    for _ in range(50):
        if not any([worker.step(), door.step()]):
            clock.boot_ns += seconds(1)
    assert list(answer_folders(requester.folder)) == []
    assert (door.receipts, door.chunks) == ([], [])
    door.bus.stop()


def under_way(worker: Worker, ledger: Ledger, door: Door, clock: TestClock, asked: SentRequest) -> None:
    """The first part was read and others come."""
    play(clock, worker, door, until=lambda: bool(worker.receiver._arrivals._requests))
    assert ledger.of[door.disclosure.id] == "this"
    assert worker.requester.answers.receiving() == [door.disclosure.id]


def test_an_upload_whose_door_falls_silent_is_left_to_the_others_after_five_minutes(
    worker: Worker, ledger: Ledger, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House,
    clock: TestClock,
) -> None:  # fmt: skip
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    under_way(worker, ledger, door, clock, asked)
    while worker.step():
        pass
    for wait_s, claimed in ((299, True), (3, False)):
        clock.boot_ns += seconds(wait_s)
        worker.step()
        assert (ledger.of.get(door.disclosure.id) == "this") is claimed
    assert not list((requester.folder / "disclosures" / door.disclosure.id).glob("*.part"))
    other = Worker(ledger, "other", broker, requester, clock)
    worker.bus.stop()
    play(clock, other, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    assert ReceiverEventKind.TAKEN_OVER in other.kinds
    other.bus.stop()


def test_a_receiver_without_a_broker_leaves_its_uploads_and_its_duties(
    worker: Worker, ledger: Ledger, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House,
    clock: TestClock,
) -> None:  # fmt: skip
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    under_way(worker, ledger, door, clock, asked)
    clock.boot_ns += seconds(2)
    worker.step()
    assert ledger.of["publish"] == "this"
    broker.kill()
    while worker.step():
        pass
    assert ledger.of == {}
    assert list(worker.receiver._arrivals._reception.ids()) == [], "no message of them may count any more"
    door.bus.stop()


def test_a_receiver_that_starts_again_cleans_up_what_no_receiver_has_and_leaves_the_rest(
    worker: Worker, ledger: Ledger, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House,
    clock: TestClock,
) -> None:  # fmt: skip
    doors = [Door(broker, requester, house.disclose(asked), clock, window=1)]
    under_way(worker, ledger, doors[0], clock, asked)
    (answer,) = answer_folders(requester.folder)
    folder = answer.path
    worker.crash()
    (folder / "5.part").write_bytes(b"half")
    ledger.of = {doors[0].disclosure.id: "other"}
    worker.begin()
    assert ledger.of == {doors[0].disclosure.id: "other"}
    assert requester.answers.receiving() == [doors[0].disclosure.id]
    assert not list(folder.glob("*.part")), "this machine's bytes of it are of no use"
    worker.crash()
    ledger.of.clear()
    worker.begin()
    assert ledger.of.get(doors[0].disclosure.id) is None, "it is left until its door says something"
    assert not list(folder.glob("*.part"))
    doors[0].bus.stop()


def test_a_store_that_lists_nothing_at_a_bad_moment_makes_a_start_delete_no_answer_that_was_read(
    worker: Worker, ledger: Ledger, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House,
    clock: TestClock, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    under_way(worker, ledger, door, clock, asked)
    before = requester.answer(door.disclosure.id).sealed()
    worker.crash()
    ledger.of.clear()
    with monkeypatch.context() as bad:
        bad.setattr(FolderParts, "numbers", lambda *_: frozenset())
        worker.begin()
        worker.receiver._arrivals.sweep_on()
        assert not worker.receiver._arrivals._to_sweep
    assert requester.answer(door.disclosure.id).sealed() == before != frozenset()
    play(clock, worker, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED


def test_a_receiver_that_lost_its_claims_stops_at_once(worker: Worker, ledger: Ledger) -> None:
    ledger.lost = True
    with pytest.raises(NetworkError, match="claims are lost"):
        worker.step()


def test_messages_are_published_only_by_a_receiver_that_is_connected(
    worker: Worker, ledger: Ledger, broker: FakeBroker, clock: TestClock
) -> None:
    worker.step()
    assert "publish" not in ledger.of, "it looked before it knew of its connection"
    clock.boot_ns += seconds(1)
    while worker.step():
        pass
    assert ledger.of["publish"] == "this"
    assert broker.retained
    broker.kill()
    while worker.step():
        pass
    for _ in range(3):
        clock.boot_ns += seconds(1)
        worker.step()
    assert ledger.of == {}


def test_messages_are_published_by_one_receiver_of_several(
    worker: Worker, ledger: Ledger, broker: FakeBroker, clock: TestClock
) -> None:
    ledger.of["publish"] = "other"
    for _ in range(3):
        while worker.step():
            pass
        clock.boot_ns += seconds(1)
    assert ledger.of == {"publish": "other"}
    assert broker.retained == {}
