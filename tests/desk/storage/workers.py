"""Workers of one organisation in this process, each with its own folder, its session and its connection to a broker."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from agent.clients.requester.identity import Requester, indexed_tables
from agent.clients.requester.news import ReceiverEvent, ReceivingLimits
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.sealed_parts import SealedParts
from desk.storage.postgres_claims import PostgresClaims
from desk.storage.postgres_index import PostgresIndex
from desk.storage.postgres_notes import NOTE_TABLE, WORKERS_KEY, PostgresNotes
from desk.storage.postgres_servers import PostgresServers
from tests.clients.requester.doors import TestClock
from tests.fake_bus import FakeBroker, FakeBus

__all__ = ["KilledError", "Worker", "copied_folder", "opened"]

KEYS = ("requester.json", "signing.key", "tips.identity", "tips.recipient", WORKERS_KEY)


class KilledError(BaseException):
    """The worker ends here."""


def copied_folder(folder: Path, name: str) -> Path:
    """Returns the folder of another machine of the organisation: it has the keys, and nothing else."""
    copy = folder.with_name(name)
    copy.mkdir(mode=0o700)
    for each in KEYS:
        shutil.copy(folder / each, copy / each)
    return copy


@contextmanager
def opened(
    address: str, schema: str, folder: Path, parts: SealedParts, servers: PostgresServers | None = None
) -> Iterator[Requester]:
    """The requester as a web process has it."""
    index = PostgresIndex(address, schema, folder, (*indexed_tables(parts), NOTE_TABLE), servers=servers)
    yield Requester.open(folder, None, index, parts, PostgresNotes(index, folder))
    index.close()


class Worker:
    """A worker that can be killed at each durable step and started again. `parts`: its access to the store."""

    def __init__(
        self,
        broker: FakeBroker,
        clock: TestClock,
        address: str,
        schema: str,
        folder: Path,
        parts: Callable[[], SealedParts],
        servers: PostgresServers | None = None,
    ) -> None:
        self._broker, self._clock, self._parts, self._servers = broker, clock, parts, servers
        self._place = address, schema, folder
        self.news: list[ReceiverEvent] = []
        self.limits = ReceivingLimits(free_bytes=0, per_device_and_request=1000, share=1.0)
        self.before: Callable[[str], None] = lambda _step: None
        self.after: Callable[[str], None] = lambda _step: None
        self.begin()

    def begin(self) -> None:
        address, schema, folder = self._place
        parts: Any = self._parts()
        tables = (*indexed_tables(parts), NOTE_TABLE)
        self.index = PostgresIndex(address, schema, folder, tables, session=True, servers=self._servers)
        self.claims = PostgresClaims(self.index)
        self.requester = Requester.open(folder, None, self.index, parts, PostgresNotes(self.index, folder), self.claims)
        self.bus = FakeBus(self._broker, self.requester.id)
        self._count(parts, "put")
        self._count(self.index, "_once")
        self._count(self.bus, "publish")
        self.bus.start()
        self.receiver = DisclosureReceiver(self.requester, self.bus, self._clock, self.limits, tell=self.news.append)
        self.receiver.start()

    def _count(self, owner: Any, name: str) -> None:
        act = getattr(owner, name)

        def counted(*values: Any, **named: Any) -> Any:
            self.before(name)
            done = act(*values, **named)
            self.after(name)
            return done

        setattr(owner, name, counted)

    def step(self) -> bool:
        return self.receiver.step(0) is not None

    def end(self) -> None:
        """Ends in order."""
        self.claims.close()
        self.bus.stop()

    def kill(self) -> None:
        """Its memory is gone. The kernel ends its connections."""
        self.before = self.after = lambda _step: None
        if self.index._connection is not None:
            self.index._connection.close()
        self.bus.stop()

    def lose_session(self) -> None:
        """The database ends its session, and it does not know it yet."""
        assert self.index._connection is not None
        pid = self.index._connection.info.backend_pid
        with psycopg.connect(self._place[0], autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s, 60000)", (pid,))
