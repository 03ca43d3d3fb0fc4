"""A real PostgreSQL for tests, in a temporary folder, over a Unix socket. It can be killed and started again.

`postgres_pair` is a primary and a standby, for which each commit waits. `PostgresServer.promote` makes it the primary.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

__all__ = ["PostgresServer", "postgres_pair", "postgres_programs", "postgres_server", "postgres_standby"]

_USER = "nobody"
"""PostgreSQL refuses to run as root."""
_PATIENCE_S = 120.0
_OPTIONS = ("-U", "desk", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
_RULES = "host all all 127.0.0.0/8 trust\n"
_CACHE = Path(__file__).resolve().parents[1] / ".cache"


_ENDS_S: Final = 600
"""A server kills its processes after 5 s, and each must run once more to end: on a busy machine a minute was too short.
Each is a session for the scheduler, so a program with a higher priority keeps them waiting."""


def postgres_programs() -> Path:
    """Returns the folder of the programs, or skips the test."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("not installed: apt-get install postgresql")
    return found[-1].parent


class PostgresServer:
    """The server in `folder`, which `start` starts."""

    def __init__(self, folder: Path, addresses: Sequence[str] = (), port: int = 5432, connections: int = 20) -> None:
        """`addresses`: of loopback, on which it listens besides its Unix socket."""
        self._folder = folder
        self._addresses, self.port, self._connections = addresses, port, connections
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"host={self._folder} port={self.port} user=desk dbname=postgres"

    @property
    def version(self) -> str:
        """Returns the release of the running server, for example 17.6."""
        with psycopg.connect(self.address) as connection:
            (told,) = connection.execute("SHOW server_version").fetchone() or ("",)
        return str(told).split()[0]

    def _as_user(self) -> dict[str, str]:
        return {"user": _USER} if os.geteuid() == 0 else {}

    def make(self) -> None:
        """Makes an empty database. `initdb` runs once, because it takes half a second of a processor."""
        if os.geteuid() == 0:
            shutil.chown(self._folder, _USER)
        made_of = (postgres_programs(), _OPTIONS, _RULES, os.geteuid())
        made = _CACHE / f"postgres-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}"
        data = self._folder / "data"
        if made.is_dir():
            shutil.copytree(made, data)
            if os.geteuid() == 0:
                for path in (data, *data.rglob("*")):
                    shutil.chown(path, _USER)
            return
        command = [postgres_programs() / "initdb", "-D", data, *_OPTIONS]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._as_user())
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(_RULES)
        _CACHE.mkdir(exist_ok=True)
        part = made.with_name(f"{made.name}.{os.getpid()}")
        shutil.copytree(data, part)
        try:
            part.rename(made)
        except OSError:  # another worker was first
            shutil.rmtree(part)

    def use_tls(self, certificate: Path, key: Path) -> None:
        """Lets the running server offer TLS at its addresses, with this certificate from now on."""
        data = self._folder / "data"
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            shutil.copyfile(source, data / name)
            (data / name).chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(data / name, _USER)
        deadline = time.monotonic() + _PATIENCE_S
        with psycopg.connect(self.address, autocommit=True) as connection:
            before = connection.execute("SELECT pg_conf_load_time()").fetchone()
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("SELECT pg_reload_conf()")
        while True:
            with psycopg.connect(self.address) as connection:  # a new one: it has what the server has loaded
                if connection.execute("SELECT pg_conf_load_time()").fetchone() != before:
                    break
            assert time.monotonic() < deadline, "no TLS"
            time.sleep(0.05)

    def copy(self, primary: PostgresServer) -> None:
        """Makes this server a standby of `primary`, as docs/desk.md says. Its own data is deleted."""
        shutil.rmtree(self._folder / "data", ignore_errors=True)
        if os.geteuid() == 0:
            shutil.chown(self._folder, _USER)
        command = [postgres_programs() / "pg_basebackup", "-D", self._folder / "data", "-d", primary.address]
        subprocess.run(
            [*command, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
            check=True, capture_output=True, cwd="/", **self._as_user(),
        )  # fmt: skip

    def let_commits_wait(self) -> None:
        """Lets each commit wait for a standby, and waits until one has all commits of before."""
        deadline = time.monotonic() + _PATIENCE_S
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            (now,) = connection.execute("SELECT pg_current_wal_lsn()").fetchone() or ()
            caught_up = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND flush_lsn >= %s::pg_lsn"
            while connection.execute(caught_up, (now,)).fetchone() is None:
                assert time.monotonic() < deadline, "no standby follows"
                time.sleep(0.05)

    def promote(self) -> None:
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def start(self) -> None:
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        options = (
            "-c",
            f"listen_addresses={','.join(self._addresses)}",
            "-c",
            f"port={self.port}",
            "-c",
            f"unix_socket_directories={self._folder}",
            "-c",
            f"max_connections={self._connections}",
        )
        command = [postgres_programs() / "postgres", "-D", self._folder / "data", *options]
        log = self._folder / "postgres.log"
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with log.open("wb") as said:
                self._process = subprocess.Popen(command, stdout=said, stderr=said, cwd="/", **self._as_user())
            while self._process.poll() is None:
                if self._answers():
                    return
                assert time.monotonic() < deadline, f"PostgreSQL does not answer: {log.read_text()[-500:]}"
                time.sleep(0.05)
            # A process of the one before may still end. systemd starts it again, too.
            assert time.monotonic() < deadline, f"PostgreSQL does not start: {log.read_text()[-500:]}"
            time.sleep(0.5)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.address).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Ends the server without a word, as a power cut does."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_ENDS_S)
            self._process = None


@contextmanager
def postgres_server(addresses: Sequence[str] = (), port: int = 5432, connections: int = 20) -> Iterator[PostgresServer]:
    # Short: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = PostgresServer(folder, addresses, port, connections)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def postgres_standby(
    primary: PostgresServer, addresses: Sequence[str] = (), port: int = 5432, connections: int = 20
) -> Iterator[PostgresServer]:
    """Yields a standby of `primary`. Each commit waits for it."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    standby = PostgresServer(folder, addresses, port, connections)
    try:
        standby.copy(primary)
        standby.start()
        primary.let_commits_wait()
        yield standby
    finally:
        standby.stop()
        shutil.rmtree(folder)


@contextmanager
def postgres_pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Yields a primary and its standby. Each commit of the primary waits for the standby."""
    with postgres_server() as primary, postgres_standby(primary) as standby:
        yield primary, standby
