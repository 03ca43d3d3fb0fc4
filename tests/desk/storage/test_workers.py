"""Several workers of one organisation on a real PostgreSQL: any of them dies at any durable step, and nothing is lost.

A step is a transaction, a part that is put into the store, or a message to the broker. Each test of deaths counts the
steps of an undisturbed run, then a worker dies at each of them, and another one takes over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.news import ReceiverEventKind
from agent.clients.requester.publisher import is_published
from agent.clients.requester.sealed_parts import FolderParts
from agent.clients.requester.verification import examine
from agent.core.timebase import seconds
from agent.core.transfer import TransferOutcome
from agent.errors import NetworkError
from agent.wire.disclosures import PartKind
from agent.wire.fields import Kind
from desk.storage.postgres_servers import PostgresServers
from tests.clients.requester.conftest import NOW_S, ROOT_ID, gops, house, question
from tests.clients.requester.doors import Door, TestClock
from tests.clients.requester.house import House
from tests.clients.requester.test_receiving_service import broker, clock
from tests.desk.storage.workers import KilledError, Worker, copied_folder, opened
from tests.fake_bus import FakeBroker
from tests.postgres import PostgresServer, postgres_server

__all__ = ["broker", "clock", "gops", "house"]

EVERY = 1 if os.environ.get("DOORWARD_THOROUGH") else 9
"""A worker dies at every ninth step, and with `make prove-crash` at each one."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


class Agency:
    """An organisation with two workers and a web process, and one shared store."""

    def __init__(
        self, server: PostgresServer, folder: Path, broker: FakeBroker, clock: TestClock,
        servers: PostgresServers | None = None,
    ) -> None:  # fmt: skip
        self.server, self.broker, self.clock = server, broker, clock
        self._ends = ExitStack()
        self.store = folder / "store"
        first = Requester.create(folder / "first", "rijnstad-police", Kind.POLICE, ROOT_ID).folder
        self.schema = f"agency{abs(hash(str(folder))) % 10**12}"
        self.web = self._ends.enter_context(opened(server.address, self.schema, first, self.parts(), servers))
        self.ask("0")  # makes the key of the workers
        folders = copied_folder(first, "a"), copied_folder(first, "b")
        self.a, self.b = (
            Worker(broker, clock, server.address, self.schema, each, self.parts, servers) for each in folders
        )

    def parts(self) -> FolderParts:
        return FolderParts(self.store)

    def ask(self, case: str) -> SentRequest:
        return self.web.sent_request(messages.make_request(self.web, question(case=case), now_s=NOW_S).id)

    def stored(self, disclosure: str) -> list[bytes]:
        folder = self.store / disclosure
        return [(folder / f"{number}.age").read_bytes() for number in range(len(list(folder.glob("*.age"))))]

    def close(self) -> None:
        for each in (self.a, self.b):
            each.kill()
        self._ends.close()


@pytest.fixture
def agency(server: PostgresServer, tmp_path: Path, broker: FakeBroker, clock: TestClock) -> Iterator[Agency]:
    agency = Agency(server, tmp_path, broker, clock)
    yield agency
    agency.close()


def play(
    agency: Agency, workers: list[Worker], *doors: Door, until: Callable[[], bool] | None = None, most_s: int = 900
) -> None:
    """Lets all parties act. If none has work, time passes."""
    done = until or (lambda: all(door.finished for door in doors))
    for _ in range(100_000):
        if done():
            return
        if not any([*(worker.step() for worker in workers), *(door.step() for door in doors)]):
            agency.clock.boot_ns += seconds(1)
            most_s -= 1
            assert most_s, "nothing happens any more"
    raise AssertionError("it never ends")


def require_whole_and_once(agency: Agency, door: Door, asked: SentRequest) -> None:
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    assert agency.stored(door.disclosure.id) == door.disclosure.parts
    answer = agency.web.answers.get(door.disclosure.id)
    assert answer is not None
    assert (answer.state, answer.request) == (AnswerState.COMPLETE, asked.request.id)
    assert examine(agency.web, door.disclosure.id).ok
    assert agency.web.answers.receiving() == []


def door_of(agency: Agency, house: House, asked: SentRequest) -> Door:
    pictures = [each for each in house.stored if each.kind is PartKind.POSTER]
    return Door(agency.broker, agency.web, house.disclose(asked, pictures), agency.clock)


def holder(agency: Agency, door: Door) -> Worker:
    """Returns the worker that has claimed the answer of the door."""
    (found,) = (each for each in (agency.a, agency.b) if door.disclosure.id in each.receiver._arrivals._reception)
    return found


# -- deaths ------------------------------------------------------------------------------------------------------------


def die_at(worker: Worker, step: int, *, after: bool) -> list[int]:
    """Lets the worker die at its step of that number. Returns the list of the steps taken."""
    taken: list[int] = []
    under_way: list[int] = []
    """Numbers of the steps that have begun: a change of a note uses other notes."""

    def count(_name: str) -> None:
        taken.append(1)
        under_way.append(len(taken))
        if len(taken) == step and not after:
            raise KilledError

    def done(_name: str) -> None:
        if under_way.pop() == step and after:
            raise KilledError

    worker.before, worker.after = count, done
    return taken


def deliver_with_a_death(agency: Agency, house: House, step: int, *, after: bool) -> tuple[int, bool]:
    """Delivers one answer. The worker that begins dies at this step, the other goes on. Returns the steps taken, and
    whether it died."""
    asked = agency.ask(f"case {step} {after}")
    play(agency, [agency.b], until=lambda: is_published(agency.web, asked.request.id))
    door = door_of(agency, house, asked)
    taken, died = die_at(agency.a, step, after=after), False
    try:
        play(agency, [agency.a], door, until=lambda: bool(door.receipts))  # its claim
        play(agency, [agency.a, agency.b], door)
    except KilledError:
        died = True
        agency.a.kill()
        play(agency, [agency.b], door)
        agency.a.begin()
        agency.clock.boot_ns += seconds(1)
        agency.a.step()  # it cleans up what it left
    agency.a.before = agency.a.after = lambda _step: None
    require_whole_and_once(agency, door, asked)
    (answer,) = agency.web.answers.to_request(asked.request.id)
    assert answer.disclosure == door.disclosure.id
    door.bus.stop()
    return len(taken), died


def test_a_worker_dies_at_its_steps_and_another_one_goes_on(agency: Agency, house: House) -> None:
    count, died = deliver_with_a_death(agency, house, 10**6, after=False)
    assert count > 30
    assert not died
    steps = range(1, count - 5, EVERY)  # the first run takes some more
    deaths = [deliver_with_a_death(agency, house, step, after=after)[1] for step in steps for after in (False, True)]
    assert all(deaths)


# -- claims ------------------------------------------------------------------------------------------------------------


def test_two_workers_share_the_answers_and_each_has_one_at_a_time(agency: Agency, house: House) -> None:
    asked = agency.ask("1")
    doors = []
    for turn in range(4):
        door = door_of(agency, house, asked)
        first, second = (agency.a, agency.b) if turn % 2 else (agency.b, agency.a)
        play(agency, [first, second], door, until=lambda door=door: bool(door.receipts))  # type: ignore[misc]
        assert holder(agency, door) is first
        doors.append(door)
        play(agency, [agency.a, agency.b], door)
    for door in doors:
        require_whole_and_once(agency, door, asked)
    told = {each: sum(event.kind is ReceiverEventKind.COMPLETE for event in each.news) for each in (agency.a, agency.b)}
    assert set(told.values()) == {2}


def test_a_worker_that_stops_leaves_its_answer_and_no_sealed_part_is_sent_again(agency: Agency, house: House) -> None:
    asked = agency.ask("1")
    door = door_of(agency, house, asked)
    play(agency, [agency.a], door, until=lambda: 1 in agency.parts().numbers(door.disclosure.id))
    sealed = agency.parts().numbers(door.disclosure.id)
    agency.a.end()
    sent, began_ns = len(door.chunks), agency.clock.boot_ns
    play(agency, [agency.b], door)
    require_whole_and_once(agency, door, asked)
    assert not {chunk.part for chunk in door.chunks[sent:]} & sealed
    assert agency.clock.boot_ns - began_ns < seconds(60), "a doorbell asks again after 8 s, and then after 16"
    assert list((agency.a._place[2] / "disclosures").glob("*/*.part")) == []


def test_a_worker_that_lost_its_session_puts_its_part_beside_the_other_and_stops(agency: Agency, house: House) -> None:
    asked = agency.ask("1")
    door = door_of(agency, house, asked)

    def lose(step: str) -> None:
        if step == "put":
            agency.a.before = lambda _step: None
            agency.a.lose_session()
            play(agency, [agency.b], door)  # the other believes to have the claim, too, and ends the answer

    agency.a.before = lose
    agency.a.claims.check = lambda: None  # type: ignore[method-assign]
    with pytest.raises(NetworkError):
        play(agency, [agency.a], door, until=lambda: False)
    require_whole_and_once(agency, door, asked)
    answered = len(agency.broker.published)
    with pytest.raises(NetworkError):
        agency.a.receiver._arrivals._holdings.receiving()
    assert len(agency.broker.published) == answered
    assert [event.kind for event in agency.a.news if event.kind is ReceiverEventKind.COMPLETE] == []


def test_a_worker_that_lost_its_session_stops_at_its_next_step(agency: Agency, house: House) -> None:
    door = door_of(agency, house, agency.ask("1"))
    play(agency, [agency.a], door, until=lambda: bool(door.receipts))
    agency.a.lose_session()
    with pytest.raises(NetworkError):
        agency.a.step()
    with pytest.raises(NetworkError, match="claims of this worker"):
        agency.a.step()


def test_workers_go_on_after_the_database_was_killed(agency: Agency, house: House) -> None:
    asked = agency.ask("1")
    doors = [door_of(agency, house, asked)]
    play(agency, [agency.a, agency.b], *doors, until=lambda: 0 in agency.parts().numbers(doors[0].disclosure.id))
    agency.server.kill()
    for worker in (agency.a, agency.b):
        with pytest.raises(NetworkError):
            worker.step()
        worker.kill()
    agency.server.start()
    for worker in (agency.a, agency.b):
        worker.begin()
    play(agency, [agency.a, agency.b], *doors)
    require_whole_and_once(agency, doors[0], asked)


def test_a_worker_whose_broker_is_gone_leaves_its_answers_to_one_that_is_connected(
    agency: Agency, house: House
) -> None:
    asked = agency.ask("1")
    door = door_of(agency, house, asked)
    play(agency, [agency.a], door, until=lambda: bool(door.receipts))
    with agency.broker.lock:
        agency.a.bus.link_ended()
    play(agency, [agency.a, agency.b], door)
    require_whole_and_once(agency, door, asked)
    assert any(event.kind is ReceiverEventKind.COMPLETE for event in agency.b.news)


def test_an_upload_that_falls_silent_is_left_to_others(agency: Agency, house: House) -> None:
    door = door_of(agency, house, agency.ask("1"))
    play(agency, [agency.a], door, until=lambda: bool(door.receipts))
    assert not agency.b.claims.claim(door.disclosure.id)
    agency.clock.boot_ns += seconds(301)
    agency.a.step()
    assert agency.b.claims.claim(door.disclosure.id)


# -- what one of them does ---------------------------------------------------------------------------------------------


def test_a_request_is_published_once_and_by_another_worker_when_one_is_gone(agency: Agency) -> None:
    def published() -> list[str]:
        return [topic for _who, topic, _data in agency.broker.published if "/areas/" in topic]

    requests = [agency.ask("1").request.id]
    play(agency, [agency.a, agency.b], until=lambda: is_published(agency.web, requests[0]))
    play(agency, [agency.a, agency.b], until=lambda: agency.clock.boot_ns > 10**12 + seconds(30))
    before = len(published())
    said = [event.request for each in (agency.a, agency.b) for event in each.news if event.kind.value == "published"]
    assert sorted(set(said)) == sorted(said)
    agency.a.end()
    requests.append(agency.ask("2").request.id)
    play(agency, [agency.b], until=lambda: is_published(agency.web, requests[1]))
    assert len(published()) == before + len(messages.signed(agency.web, requests[1]).topics)


def test_a_deletion_by_another_process_ends_an_answer_that_is_arriving_and_leaves_no_part(
    agency: Agency, house: House
) -> None:
    asked = agency.ask("1")
    door = door_of(agency, house, asked)
    play(agency, [agency.a], door, until=lambda: 1 in agency.parts().numbers(door.disclosure.id))
    delete_answers(agency.web, asked.request.id, NOW_S)
    for _ in range(200):
        agency.clock.boot_ns += seconds(1)
        agency.a.step()
        agency.b.step()
        door.step()
    assert agency.parts().numbers(door.disclosure.id) == frozenset()
    assert agency.web.answers.to_request(asked.request.id) == []
    assert not any(receipt.state.value == "complete" for receipt in door.receipts)
