"""The desk of one agency: PostgreSQL, a SeaweedFS store, and `doorward-desk worker` processes, which are killed.

Each worker reaches the database and the store at its own addresses of loopback, so that it can be cut from one of them.

Import `desk` only after `start_desk`, because Django reads its configuration then.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg

from agent.errors import NetworkError
from agent.wire.topics import cell_of
from tests.desk.waiting import patiently
from tests.scale.database import Database, database_addresses
from tests.scale.promises import Outcome
from tests.scale.shards import ROOT, Shard
from tests.scale.store import Store, store_address
from tests.scale.trust_root import TrustRoot
from tests.seaweed import ACCESS_KEY, SECRET_KEY, _free_port

__all__ = ["AGENCY", "BUCKET", "NEIGHBOURHOOD", "DeskSide", "Worker", "copied"]

AGENCY, NEIGHBOURHOOD = "rijnstad-police", "kerkstraat"
BUCKET = "desk"


class Worker:
    """`doorward-desk worker`. A manager starts it again after its end, as systemd does."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number, self.ending = folder, number, ""
        self._process: subprocess.Popen[bytes] | None = None

    def __str__(self) -> str:
        return f"worker {self.folder.name}"

    def start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        with (self.folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "desk.cli", "--config", self.folder / "desk.toml", "worker"],
                env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, patience_s: float) -> bool:
        """Ends it as systemd does. Returns False if it did not end in order; `ending` then says how it ended.

        A process that is still starting has no handler of signals yet, and ends at once.
        """
        if self._process is None:
            return True
        self._process.terminate()
        try:
            status = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.ending = f"killed after {patience_s:.0f} s"
            self.kill()
            return False
        self._process, self.ending = None, f"exit status {status}"
        return status in (0, -signal.SIGTERM)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def ended(self) -> bool:
        """Returns True if it ended without being killed here."""
        return self._process is not None and self._process.poll() is not None


class DeskSide:
    """The stores, the agency, its workers, and what they received."""

    def __init__(self, folder: Path, ends: ExitStack, workers: int) -> None:
        folder.mkdir()
        self._folder = folder
        self.postgres = Database(ends, workers + 1, _free_port(), 30 + 20 * workers)
        self.store = Store(folder / "store", workers + 1)
        ends.callback(self.store.stop)
        self.store.start()
        self.workers: list[Worker] = []
        self.of_neighbours: set[str] = set()
        """Requests of the neighbourhood. All others are of the agency."""
        self.began_s = int(time.time())
        """All requests are about the time from two hours before on, in which the houses filmed something."""
        self.lock = threading.Lock()
        """The requester's index is one connection to PostgreSQL: one thread uses it at a time."""
        self._ends = ends
        with closing(self.store.client()) as client:
            patiently(lambda: client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True))
        with psycopg.connect(self.postgres.address, autocommit=True) as connection:
            connection.execute("CREATE DATABASE desk")
        self._start_django()

    def _start_django(self) -> None:
        secret = self._folder / "s3.secret"
        secret.write_text(SECRET_KEY)
        secret.chmod(0o600)
        self._configuration = self._folder / "desk.toml"
        self._configuration.write_text(
            f'data = "data"\n[database]\nkind = "postgresql"\nhost = "{",".join(database_addresses(0))}"\n'
            f'port = {self.postgres.port}\nname = "desk"\nuser = "desk"\n'
            f'[storage]\nkind = "s3"\nendpoint = "{self.store.endpoint(0)}"\nbucket = "{BUCKET}"\n'
            f'access_key = "{ACCESS_KEY}"\nsecret_key_file = "s3.secret"\nobject_lock = true\n'
            f'authority = "{self.store.authority}"\n[public]\ntips = true\nneighbours = true\n'
        )
        from desk.cli import prepare_data
        from desk.config import ENVIRONMENT, load

        os.environ[ENVIRONMENT] = str(self._configuration)
        os.environ["DJANGO_SETTINGS_MODULE"] = "desk.settings"
        prepare_data(load(self._configuration).data)
        import django

        django.setup(set_prefix=False)
        from django.core.management import call_command

        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", verbosity=0)

    def found(self, workers: int) -> dict[str, str]:
        """Makes the agency and a neighbourhood. Returns their public keys."""
        from desk.people.models import Membership
        from desk.people.organisations import requester_of
        from desk.people.roles import Role
        from tests.desk.agencies import make_agency, make_person

        self._agency = make_agency(AGENCY, "Rijnstad Police")
        self._neighbourhood = make_agency(NEIGHBOURHOOD, "Kerkstraat neighbours", kind="neighbour")
        second = make_person("second@kerkstraat.example")
        organisation = self._neighbourhood.organisation
        Membership.objects.create(organisation=organisation, person=second, role=Role.MODERATOR)
        self._moderators = [self._neighbourhood.people[Role.MODERATOR], second]
        self._names = [f"w{number + 1}" for number in range(workers)]
        both = (self._agency.organisation, organisation)
        return {each.requester_id: requester_of(each).key.text for each in both}

    def moderator(self, number: int) -> Any:
        """Returns one of the two moderators of the neighbourhood."""
        return self._moderators[number]

    def join(self, root: TrustRoot, shards: Sequence[Shard]) -> None:
        """Imports the root's list, and gets each worker its certificates."""
        from desk.people.organisations import import_bundle, requester_of
        from desk.people.roles import Role

        self.root_id = root.id
        for each in (self._agency, self._neighbourhood):
            directory = root.directory.read_bytes()
            import_bundle(each.organisation, each.people[Role.ADMIN], root.key, root.package, directory)
        self.requester = requester_of(self._agency.organisation)
        self._neighbours = requester_of(self._neighbourhood.organisation)
        for number, name in enumerate(self._names, 1):
            folder = self._folder / name
            self._command("worker-folder", name, str(folder))
            written = (folder / "desk.toml").read_text()
            for address_of in (lambda of: [store_address(of)], database_addresses):
                for of_desk, of_worker in zip(address_of(0), address_of(number), strict=True):
                    assert of_desk in written, written
                    written = written.replace(of_desk, of_worker)
            (folder / "desk.toml").write_text(written)
            for of in (AGENCY, NEIGHBOURHOOD):
                request = folder / f"{of}.{name}.csr"
                tls = folder / "data" / "organisations" / of / "tls"
                for shard in shards:
                    shard.certify(request.stem, request, tls / shard.host)
            worker = Worker(folder, number)
            self.workers.append(worker)
            self._ends.callback(worker.kill)

    def connected(self, workers: int = 0) -> bool:
        """Returns True if that many workers are connected for both organisations, by default all."""
        from desk.receiving.models import Receiver

        return Receiver.objects.filter(state="connected").count() == 2 * (workers or len(self.workers))

    def ask(self, west: float, case: str) -> str:
        """Signs a request in the cells at that longitude. A worker publishes it. Returns its id."""
        from agent.clients.requester import messages
        from agent.wire.area import Circle
        from tests.clients.requester.conftest import question

        now_s = int(time.time())
        asked = question(
            area=Circle(lat=52.25, lon=west + 0.25, radius_m=300), from_s=self.began_s - 7200, to_s=now_s,
            not_after_s=now_s + 86_400, case=case,
        )  # fmt: skip
        with self.lock:
            return str(
                self.again(
                    lambda: messages.make_request(self.requester, asked, now_s=now_s, trust_root=self.root_id).id
                )
            )

    def tell(self, west: float, title: str) -> str:
        """Signs a bulletin for the cells at that longitude. Returns its id."""
        from agent.clients.requester import messages

        until_s = int(time.time()) + 86_400
        cells = (cell_of(52.25, west + 0.25),)
        with self.lock:
            made = self.again(
                lambda: messages.make_bulletin(
                    self.requester, title, "Keep your windows closed.", language="en", not_after_s=until_s,
                    cells=cells, trust_root=self.root_id,
                )
            )  # fmt: skip
        return str(made.id)

    def is_published(self, message: str) -> bool:
        from agent.clients.requester.publisher import is_published

        requester = self._neighbours if message in self.of_neighbours else self.requester
        with self.lock:
            return bool(self.again(lambda: is_published(requester, message)))

    @staticmethod
    def pieces(disclosure: str, number: int) -> Iterator[bytes]:
        """Yields the bytes of a sealed part in the store, for any thread."""
        from desk.cases.models import Answer
        from desk.storage.shared_parts import shared_parts

        names = Answer.objects.filter(disclosure_id=disclosure).values_list(
            "case__organisation__requester_id", flat=True
        )
        parts = shared_parts(names.first() or AGENCY)
        assert parts is not None
        return parts.pieces(disclosure, number)

    @staticmethod
    def rows_of(disclosure: str) -> tuple[int, int]:
        """Returns how often an answer is in its case and in the custody log."""
        from desk.cases.models import Answer
        from desk.custody.models import Entry

        entries = Entry.objects.filter(object=f"answer {disclosure}", action="answer.received").count()
        return Answer.objects.filter(disclosure_id=disclosure).count(), entries

    def fault_of(self, disclosure: str) -> str | None:
        """Opens and verifies an answer of the agency once more. Returns what is wrong with it, or None."""
        from agent.clients.requester.verification import examine

        with self.lock:
            found = self.again(lambda: examine(self.requester, disclosure))
        return found.failed.said if found.failed else None if found.segments else "it has no film"

    def outcomes(self) -> dict[str, Outcome]:
        """Returns what the stores have of each answer."""
        from desk.cases.models import Answer

        found = {}
        names = Answer.objects.values_list("disclosure_id", "case__organisation__requester_id")
        for disclosure, of in set(names):
            answer = (self._neighbours if of == NEIGHBOURHOOD else self.requester).answer(disclosure)
            parts = {}
            for number in answer.sealed():
                digest = hashlib.sha256()
                for piece in answer.pieces_of(number):
                    digest.update(piece)
                parts[number] = digest.hexdigest()
            found[disclosure] = Outcome(parts, *self.rows_of(disclosure))
        return found

    @staticmethod
    def once(act: Callable[[], None]) -> None:
        """Acts, if database and store are there."""
        from django.db import DatabaseError, connections

        try:
            act()
        except (DatabaseError, psycopg.Error, NetworkError):
            connections.close_all()

    @staticmethod
    def again(act: Callable[[], Any]) -> Any:
        """Returns the result of `act`, once the database is there."""
        from django.db import DatabaseError, connections

        deadline_s = time.monotonic() + 120
        while True:
            try:
                return act()
            except (DatabaseError, psycopg.Error, NetworkError):
                connections.close_all()
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.2)

    def _command(self, *words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "desk.cli", "--config", self._configuration, *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)


def copied(logs: Sequence[Path], target: Path) -> None:
    """Keeps logs for a person who looks for the cause."""
    target.mkdir(parents=True, exist_ok=True)
    for each in logs:
        if each.exists():
            shutil.copy(each, target / f"{each.parent.name}-{each.name}")
