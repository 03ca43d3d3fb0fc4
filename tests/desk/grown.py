"""The stores of a grown desk for tests: a real PostgreSQL and a real SeaweedFS, fresh for each test.

`DOORWARD_TEST_DESK=grown pytest tests/desk/…` runs the desk's tests on them, and `make test-grown` all that need no
browser. By default they run on SQLite and a folder.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from desk.config import Database, DeskConfig, Storage
from desk.storage import shared_parts, shared_stores
from tests.desk.waiting import patiently
from tests.postgres import PostgresServer, postgres_server
from tests.seaweed import ACCESS_KEY, SECRET_KEY, SeaweedServer, s3_client, seaweed_server

__all__ = ["GrownStores", "configured", "grown_stores", "using"]

_TEMPLATE, _BUCKET = "desk_template", "desk"


class GrownStores:
    """The servers of a test session."""

    def __init__(self, postgres: PostgresServer, seaweed: SeaweedServer, folder: Path) -> None:
        self.postgres = postgres
        self.seaweed = seaweed
        self._secret = folder / "s3.secret"
        self._secret.write_text(SECRET_KEY)
        self._secret.chmod(0o600)

    @contextmanager
    def fresh(self) -> Iterator[DeskConfig]:
        """Yields the configuration of an empty desk with a database and keys that no other test uses."""
        name = f"desk{secrets.token_hex(6)}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        self._use(name)
        database = Database(kind="postgresql", host=str(self.host), name=name, user="desk")
        storage = Storage(
            kind="s3",
            endpoint=self.seaweed.endpoint,
            bucket=_BUCKET,
            prefix=name,
            access_key=ACCESS_KEY,
            secret_key_file=self._secret,
            object_lock=True,
        )
        try:
            yield DeskConfig(database=database, storage=storage)
        finally:
            close_stores()
            self._sql(f"DROP DATABASE {name} WITH (FORCE)")

    def prepare(self) -> None:
        """Makes the bucket, and the database that each test copies."""
        with s3_client(self.seaweed) as client:
            patiently(lambda: client.create_bucket(Bucket=_BUCKET, ObjectLockEnabledForBucket=True))
        self._sql(f"CREATE DATABASE {_TEMPLATE}")
        self._use(_TEMPLATE)
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", verbosity=0)
        connections.close_all()

    @property
    def host(self) -> str:
        return dict(pair.split("=", 1) for pair in self.postgres.address.split())["host"]

    def _use(self, name: str) -> None:
        connections.close_all()
        connections.settings["default"].update(HOST=self.host, NAME=name, USER="desk")

    def _sql(self, statement: str) -> None:
        with psycopg.connect(self.postgres.address, autocommit=True) as connection:
            connection.execute(statement.encode())


def close_stores() -> None:
    """Closes the connections that this process keeps to the stores of a test."""
    connections.close_all()
    for index in shared_stores._OPEN.values():
        index.close()
    shared_stores._OPEN.clear()
    shared_parts._opened.cache_clear()


@contextmanager
def grown_stores(folder: Path) -> Iterator[GrownStores]:
    with postgres_server() as postgres, seaweed_server() as seaweed:
        stores = GrownStores(postgres, seaweed, folder)
        stores.prepare()
        yield stores


def configured() -> str:
    """Returns the lines of desk.toml for the stores of this test. Empty for SQLite and a folder."""
    tables = {"database": settings.DESK.database, "storage": settings.DESK.storage}
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        for key, value in msgspec.structs.asdict(table).items():
            if value is not None:
                lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'


@contextmanager
def using(stores: GrownStores) -> Iterator[None]:
    """Inside it the settings name fresh stores."""
    with stores.fresh() as config, override_settings(DESK=config):
        yield
