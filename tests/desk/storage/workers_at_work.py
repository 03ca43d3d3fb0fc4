"""Workers of a desk as processes: `doorward-desk worker` with PostgreSQL, SeaweedFS and mosquitto, killed and stopped.

`test_a_grown_desk` runs this file, because it needs the stores of a grown desk.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection, connections

from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.core.bus import MessageReceived
from agent.core.media import Gop
from agent.core.transfer import TransferOutcome
from agent.platform.system_clock import SystemClock
from agent.wire import envelope, strictjson
from agent.wire.disclosures import Receipt
from desk.cases.models import Answer
from desk.config import load
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.receiving.models import Receiver
from desk.storage.shared_parts import shared_parts
from tests.brokers import NOW, BrokerWithClients
from tests.clients.requester.conftest import filmed, gops
from tests.clients.requester.doors import Door
from tests.desk.agencies import Agency
from tests.desk.grown import GrownStores, configured
from tests.desk.receiving.doors import ask
from tests.desk.waiting import until

__all__ = ["gops"]

pytestmark = pytest.mark.broker
ROOT = Path(__file__).resolve().parents[3]
NAMES = ("w1", "w2")
ROUNDS = 6 if os.environ.get("DOORWARD_THOROUGH") else 0
"""Further answers, with a kill of a worker, the database or the store in each, for `make prove-crash`."""


def desk(configuration: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "desk.cli", "--config", str(configuration), *words]


class WorkerProcess:
    """`doorward-desk worker` with that folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, word: str = "worker") -> None:
        """`word`: "serve" for the desk, which is a worker and has the pages."""
        with (self.folder / "worker.log").open("ab") as log:
            command = desk(self.folder / "desk.toml", word)
            environment = os.environ | {"PYTHONPATH": str(ROOT), "PGAPPNAME": self.folder.name}
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until(self._is_connected, "the worker's connection")

    def _is_connected(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said
        row = Receiver.objects.filter(worker=self.folder.name).first()
        return row is not None and row.state == "connected"

    @property
    def said(self) -> str:
        return (self.folder / "worker.log").read_text()[-3000:]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        Receiver.objects.filter(worker=self.folder.name).update(state="stopped")

    def stop(self) -> None:
        """Ends it as systemd does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self.said
        self._process = None
        assert Receiver.objects.get(worker=self.folder.name).state == "stopped"


class Doorbell(Door):
    """Drops a receipt that is not newer than the last one, as a doorbell does: two workers' receipts may cross."""

    def _receipt(self, message: MessageReceived) -> None:
        receipt = strictjson.decode(envelope.read_unverified(message.payload).payload, Receipt)
        if receipt.seq > self.newest:
            super()._receipt(message)


class World:
    """An organisation with two workers, their broker and houses that answer."""

    def __init__(self, agency: Agency, data: Path, ends: ExitStack) -> None:
        self.agency = agency
        self.configuration = data.parent / "desk.toml"
        (data / "secret.key").write_text(settings.SECRET_KEY)
        broker = '[broker]\nhost = "127.0.0.1"\nport = 1\n'
        self.configuration.write_text(f'data = "{data.name}"\n{configured()}{broker}')
        folders = [data.parent / name for name in NAMES]
        for folder in folders:
            self.run("worker-folder", folder.name, str(folder))
        self.broker = BrokerWithClients(data.parent / "broker")
        ends.callback(self.broker.close)
        for folder in folders:
            self._certify(folder)
        self.broker.broker.start()
        self.workers = [WorkerProcess(folder) for folder in folders]
        for worker in self.workers:
            path = worker.folder / "desk.toml"
            path.write_text(path.read_text().replace("port = 1\n", f"port = {self.broker.broker.requester_port}\n"))
            ends.callback(worker.kill)

    def _certify(self, folder: Path) -> None:
        """Does what the broker's operator does with a signing request."""
        (request,) = folder.glob("*.csr")
        made = self.broker.pki.add_requester(request.stem, NOW, request=request.read_bytes())
        tls = folder / "data" / "organisations" / self.agency.organisation.requester_id / "tls"
        (tls / "certificate.pem").write_bytes(made.certificate.read_bytes())
        (tls / "authority.pem").write_bytes(made.authority.read_bytes())

    def run(self, *words: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(desk(self.configuration, *words), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def door(self, gops: list[Gop], name: str) -> Door:
        requester, asked = ask(self.agency, case=name)
        house = filmed(gops, name=name)
        bus = self.broker.bus(house.device_id)
        return Doorbell(None, requester, house.disclose(asked), SystemClock(), bus=bus)


def send(door: Door, enough: Callable[[], bool]) -> None:
    """Lets the door act until it is enough, or all is acknowledged."""

    def done() -> bool:
        if not door.step():
            time.sleep(0.01)
        return enough() or door.finished is not None

    until(done, "the door")


def require_whole_and_once(world: World, door: Door) -> None:
    send(door, lambda: False)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    answer = requester_of(world.agency.organisation).answer(door.disclosure.id)
    assert [b"".join(answer.pieces_of(number)) for number in sorted(answer.sealed())] == door.disclosure.parts
    until(lambda: Answer.objects.filter(disclosure_id=door.disclosure.id, state="complete").exists(), "the row")
    assert Answer.objects.filter(disclosure_id=door.disclosure.id).count() == 1
    entries = Entry.objects.filter(object=f"answer {door.disclosure.id}", action="answer.received")
    assert entries.count() == 1


@pytest.fixture
def world(agency: Agency, data: Path) -> Iterator[World]:
    with ExitStack() as ends:
        yield World(agency, data, ends)


@pytest.mark.timeout(1500)
def test_a_killed_and_a_stopped_worker_lose_nothing(world: World, gops: list[Gop], grown: GrownStores) -> None:
    one, other = world.workers
    for worker in world.workers:
        worker.start()
    door = world.door(gops, "first")
    send(door, lambda: len(door.chunks) >= 3)
    one.kill()
    send(door, lambda: len(door.chunks) >= 6)
    one.start()
    other.stop()  # an upgrade: the other one goes on
    require_whole_and_once(world, door)
    assert shared_parts("rijnstad-police").numbers(door.disclosure.id) == frozenset(range(len(door.disclosure.parts)))  # type: ignore[union-attr]
    listed = load(one.folder / "desk.toml")
    assert (listed.broker.worker, listed.data) == ("w1", one.folder / "data")
    assert sorted(each.name for each in (one.folder / "data/organisations/rijnstad-police").iterdir()) == [
        *("connection.lock", "disclosures", "requester.json", "signing.key", "tips.identity", "tips.recipient", "tls"),
        *("workers.key", "workers.key.lock"),
    ], "a worker's machine has keys, and nothing that only it knows"
    faults = [one.kill, other.kill, grown.postgres.kill, grown.seaweed.kill]
    for number in range(ROUNDS):
        for worker in world.workers:
            worker.kill()
            worker.start()
        door = world.door(gops, f"round {number}")
        send(door, lambda least=2 + number, door=door: len(door.chunks) >= least)  # type: ignore[misc]
        faults[number % len(faults)]()
        if number % len(faults) == 2:
            grown.postgres.start()
            connections.close_all()  # those of this process ended with the server
        if number % len(faults) == 3:
            grown.seaweed.start()
        require_whole_and_once(world, door)


@contextmanager
def later_version() -> Iterator[None]:
    """The database as a later version of the desk leaves it: each table has one more column, with a default."""
    tables = [model._meta.db_table for model in apps.get_models() if model.__module__.startswith("desk.")]
    assert len(tables) > 20
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ADD COLUMN later integer NOT NULL DEFAULT 0")
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('cases', '0002_later', now())")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '0002_later'")
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} DROP COLUMN later")


def test_a_worker_goes_on_while_the_desk_is_upgraded_and_must_be_upgraded_before_it_starts_again(
    world: World, gops: list[Gop]
) -> None:
    """docs/desk.md, "To upgrade": the desk first, then one worker after the other."""
    one, other = world.workers
    one.start()
    door = world.door(gops, "amid an upgrade")
    send(door, lambda: len(door.chunks) >= 3)
    with later_version():
        require_whole_and_once(world, door)
        one.stop()
        with pytest.raises(AssertionError, match="newer version than this worker"):
            other.start()


def test_a_worker_and_a_desk_need_no_more_connections_than_the_guide_counts(world: World, grown: GrownStores) -> None:
    """docs/desk.md, "Connections to the database", for one organisation and no page that loads."""
    counted = {"w1": 4 + 2, "w2": 4 + 2 + 6}
    one, other = world.workers
    with (other.folder / "desk.toml").open("a") as more, socket.create_server(("127.0.0.1", 0)) as free:
        more.write(f"[web]\nport = {free.getsockname()[1]}\n")
    one.start()
    other.start("serve")
    query = "SELECT application_name, count(*) FROM pg_stat_activity WHERE application_name <> '' GROUP BY 1"
    most: dict[str, int] = {}
    with psycopg.connect(grown.postgres.address, autocommit=True) as watch:
        for _ in range(50):
            now = dict(watch.execute(query).fetchall())
            most = {name: max(most.get(name, 0), now.get(name, 0)) for name in counted}
            time.sleep(0.1)
    assert 4 <= most["w1"] <= counted["w1"], most
    assert most["w1"] < most["w2"] <= counted["w2"], most


def test_a_database_that_was_put_back_leaves_out_numbers(world: World) -> None:
    counter = SequenceCounter(requester_of(world.agency.organisation).notes)
    before = counter.next()
    assert "goes on above the numbers" in world.run("restored")
    assert counter.next() > before + 100_000
    assert Entry.objects.filter(action="desk.restored").count() == 1
