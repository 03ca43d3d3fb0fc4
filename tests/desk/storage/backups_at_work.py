"""Back-up and restore of a desk with PostgreSQL and an S3 store, by the commands of docs/desk.md, with a real worker.

`test_a_grown_desk` runs this file, because it needs the stores of a grown desk.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.verification import examine
from agent.core.bus import MessageReceived
from agent.core.media import Gop
from agent.core.transfer import TransferOutcome
from agent.platform.system_clock import SystemClock
from agent.wire import envelope, strictjson
from agent.wire.messages import FootageRequest
from desk.cases.models import Answer
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from tests.clients.requester.conftest import filmed, gops
from tests.clients.requester.doors import Door
from tests.desk.grown import GrownStores, close_stores
from tests.desk.receiving.doors import ask
from tests.desk.storage.workers_at_work import Doorbell, World, require_whole_and_once, send, world
from tests.desk.waiting import until
from tests.postgres import postgres_programs

__all__ = ["gops", "world"]

pytestmark = pytest.mark.broker
LISTENER = "e7" * 8


def answering(world: World, gops: list[Gop], requester: Requester, asked: SentRequest, name: str) -> Door:
    house = filmed(gops, name=name)
    return Doorbell(None, requester, house.disclose(asked), SystemClock(), bus=world.broker.bus(house.device_id))


def answered(world: World, gops: list[Gop], name: str) -> Door:
    """A request of now, and a house that answers it whole."""
    door = world.door(gops, name)
    require_whole_and_once(world, door)
    return door


class Database:
    """The desk's database, by the commands of PostgreSQL."""

    def __init__(self, grown: GrownStores, dump: Path) -> None:
        self._grown, self._dump = grown, dump
        self._name = settings.DESK.database.name

    def _run(self, program: str, *words: str) -> None:
        place = ("--host", str(self._grown.host), "--username", "desk")
        subprocess.run([postgres_programs() / program, *place, *words], check=True, capture_output=True)

    def dump(self) -> None:
        self._run("pg_dump", "--format=custom", f"--file={self._dump}", self._name)

    def lose(self) -> None:
        close_stores()
        with psycopg.connect(self._grown.postgres.address, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self._name} WITH (FORCE)".encode())

    def put_back(self) -> None:
        self._run("createdb", self._name)
        self._run("pg_restore", f"--dbname={self._name}", str(self._dump))


def heard(world: World) -> list[FootageRequest]:
    """Returns the requests that the broker gives a doorbell, oldest first."""
    bus = world.broker.bus(LISTENER)
    bus.start()
    bus.subscribe("doorward/v1/areas/+/requests/+/+")
    found = {}
    while (event := bus.next_event(2.0)) is not None:
        if isinstance(event, MessageReceived) and event.payload:
            request = strictjson.decode(envelope.read_unverified(event.payload).payload, FootageRequest)
            found[request.id] = request
    bus.stop()
    return sorted(found.values(), key=lambda request: request.seq)


@pytest.mark.timeout(600)
def test_a_desk_comes_back_from_its_dump_and_loses_no_answer_that_dump_and_store_have(
    world: World, data: Path, gops: list[Gop], grown: GrownStores, tmp_path: Path
) -> None:
    worker = world.workers[0]
    database = Database(grown, tmp_path / "desk.dump")
    worker.start()
    whole = answered(world, gops, "answered before the dump")
    begun = world.door(gops, "half way at the dump")
    send(begun, lambda: len(begun.chunks) >= 3)
    requester, waits = ask(world.agency, case="answered after the dump")

    database.dump()
    for folder in (data, worker.folder):
        shutil.copytree(folder, tmp_path / "kept" / folder.name)

    require_whole_and_once(world, begun)
    late = answering(world, gops, requester, waits, "late")
    require_whole_and_once(world, late)
    arrived = Answer.objects.get(disclosure_id=late.disclosure.id).received_at
    lost = answered(world, gops, "asked and answered after the dump")
    numbers = [request.seq for request in heard(world)]
    assert len(numbers) == 4

    worker.stop()
    database.lose()
    for folder in (data, worker.folder):
        shutil.rmtree(folder)
    database.put_back()
    for folder in (data, worker.folder):
        shutil.copytree(tmp_path / "kept" / folder.name, folder)
    said = world.run("restored")
    assert "2 answers of the store are listed again. 1 are left aside." in said
    assert "No request of this database has its reply key" in said
    assert f"/{lost.disclosure.id}/" in said
    assert "0 answers of the store are listed again." in world.run("restored"), "it may be repeated"

    worker.start()
    for door in (whole, begun, late):
        until(
            lambda door=door: Answer.objects.filter(disclosure_id=door.disclosure.id, state="complete").exists(),  # type: ignore[misc]
            "the rows of the answers",
        )
        entries = Entry.objects.filter(object=f"answer {door.disclosure.id}", action="answer.received")
        assert entries.count() == 1
        found = examine(requester_of(world.agency.organisation), door.disclosure.id)
        assert (found.failed, len(found.segments) > 0) == (None, True)
    again = Answer.objects.get(disclosure_id=late.disclosure.id).received_at
    assert abs((again - arrived).total_seconds()) < 60, "it is kept no longer than promised"
    assert not Answer.objects.filter(disclosure_id=lost.disclosure.id).exists(), "its reply key is lost"
    assert "nothing was removed, changed or reordered" in world.run("audit")

    after = answered(world, gops, "asked after the restore")
    assert after.finished is not None
    assert after.finished.outcome is TransferOutcome.DELIVERED
    newest = heard(world)[-1]
    assert newest.case == "asked after the restore"
    assert newest.seq > max(numbers), "a doorbell drops a number that it has seen"
