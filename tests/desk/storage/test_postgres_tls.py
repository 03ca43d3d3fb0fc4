"""TLS to PostgreSQL: connections are to a server with the certificate of `[database] authority`, or to none."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import ProgrammingError
from django.db.migrations.exceptions import MigrationSchemaMissing
from django.utils import translation

from desk import cli, settings
from desk.cli import _away
from desk.config import Database, DeskConfig
from desk.storage import shared_stores
from desk.storage.database_command import report
from desk.storage.postgres_backend.base import DatabaseWrapper
from desk.storage.postgres_index import PostgresIndex
from desk.storage.postgres_servers import _REMEDIES, PostgresServers, away_error, places_of, tls_parameters
from tests.desk.test_reasons import is_dutch
from tests.lengths import LONG
from tests.postgres import PostgresServer, postgres_server

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "desk.md"
NO_TLS = "TLS to the database"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ('connection failed: server certificate for "db1" does not match host name "db2"', NO_TLS),
        ("connection failed: SSL error: certificate verify failed", NO_TLS),
        ("connection failed: server does not support SSL, but SSL was required", NO_TLS),
        ('FATAL: no pg_hba.conf entry for host "10.0.0.7", user "desk", database "desk", no encryption', NO_TLS),
        ("connection failed: could not find digest for NID UNDEF", "elliptic curve"),
        ("FATAL: sorry, too many clients already", "max_connections"),
        ("FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute", "max_connections"),
        ('FATAL: too many connections for role "doorward_desk"', "max_connections"),
        ("connection refused", "Check that it runs"),
        ("fe_sendauth: no password supplied", "password_file"),
        ('FATAL: password authentication failed for user "doorward_desk"', "password_file"),
        ('FATAL: role "doorward_desk" does not exist', "password_file"),
        (
            'FATAL: no pg_hba.conf entry for host "10.0.0.7", user "desk", database "desk", SSL encryption',
            "pg_hba.conf",
        ),
        ('FATAL: database "doorward_desk" does not exist', "createdb --owner"),
    ],
)
def test_what_a_server_says_has_its_remedy_on_pages_and_in_the_command(said: str, remedy: str) -> None:
    error = away_error(psycopg.OperationalError(said))
    assert said in error.message
    assert remedy in error.remedy
    _, (problem, _) = report([(places_of("db1", 5432)[0], said)])
    assert remedy in problem or "Start it" in problem


def test_a_database_that_belongs_to_another_user_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start ended with a traceback of Django."""
    monkeypatch.setitem(sys.modules, "psycopg", psycopg)
    said = "Unable to create the django_migrations table (permission denied for schema public\nLINE 1: CREATE TABLE)"
    error = _away(MigrationSchemaMissing(said))
    assert error is not None
    assert error.message == "PostgreSQL: permission denied for schema public."
    assert "createdb --owner" in str(error.remedy)
    assert _away(ProgrammingError("relation does not exist")) is None, "an error of the desk itself stays one"


def test_each_remedy_has_dutch_words() -> None:
    with translation.override("nl"):
        assert [remedy for _, remedy in _REMEDIES if not is_dutch(remedy)] == []


def test_without_an_authority_nothing_is_asked_of_a_server() -> None:
    assert tls_parameters(None) == {}


def test_with_an_authority_the_certificate_and_the_name_of_the_server_are_checked(tmp_path: Path) -> None:
    """libpq, 34.19 "SSL Support": of all modes only this one compares the name."""
    asked = tls_parameters(tmp_path / "authority.pem")
    assert asked["sslmode"] == "verify-full"
    assert asked["sslrootcert"] == str(tmp_path / "authority.pem")
    assert asked["gssencmode"] == "disable", "a ticket of Kerberos takes no certificate's place"


# -- a real server -----------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Returns certificate and key, which the command of docs/desk.md makes."""
    (command,) = re.findall(r"(?m)^openssl req -x509 .*$", DOCUMENT.read_text())
    folder.mkdir()
    words = shlex.split(command.replace("db1.example.org", name), comments=True)
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder / "server.crt", folder / "server.key"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with postgres_server(["127.0.0.1"], port) as server:
        yield server


@LONG
def test_pages_and_workers_reach_the_server_of_the_certificate_and_no_other_one(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, key = certificate(tmp_path / "own", "localhost")
    other, _ = certificate(tmp_path / "other", "localhost")
    alike, alike_key = certificate(tmp_path / "alike", "db2.example.org")

    def use(host: str, authority: Path | None) -> dict[str, Any]:
        """Lets the desk use this configuration."""
        database = Database(
            kind="postgresql", host=host, port=server.port, name="postgres", user="desk", authority=authority
        )
        monkeypatch.setattr(settings, "DESK", DeskConfig(database=database))
        made = settings._database() | {
            "TIME_ZONE": None, "AUTOCOMMIT": True, "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False,
            "ATOMIC_REQUESTS": False,
        }  # fmt: skip
        monkeypatch.setattr(shared_stores, "settings", SimpleNamespace(DATA=tmp_path, DATABASES={"default": made}))
        return made

    def refusal(host: str, authority: Path | None) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011 (Django's, with the cause)
            DatabaseWrapper(use(host, authority), "default").ensure_connection()
        error = cli._away(caught.value)
        assert error is not None
        assert NO_TLS in error.remedy
        return error.message

    assert "does not support SSL" in refusal("localhost", own)
    server.use_tls(own, key)
    encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    page = DatabaseWrapper(use("localhost", own), "default")
    with page.cursor() as cursor:
        cursor.execute(encrypted)
        assert cursor.fetchone() == (True,)
    page.close()
    stores = shared_stores.worker_stores("over-tls", tmp_path)
    assert stores is not None
    assert isinstance(stores.index, PostgresIndex)
    assert stores.index.read(lambda of: of.execute(encrypted).fetchone()) == (True,)
    stores.claims.close()
    address = shared_stores.database_address()
    assert address is not None
    servers = PostgresServers(places_of("localhost", server.port), tmp_path)
    servers.watch(lambda place: psycopg.connect(address, host=place.host, port=place.port, autocommit=True))
    assert servers.epoch[1] == 1, "also the thread that watches"

    assert "certificate verify failed" in refusal("localhost", other), "a name alone proves nothing"
    assert "does not match host name" in refusal("127.0.0.1", own)
    server.use_tls(alike, alike_key)
    shutil.copyfile(alike, tmp_path / "both.pem")
    with (tmp_path / "both.pem").open("ab") as both:
        both.write(own.read_bytes())
    assert "does not match host name" in refusal("localhost", tmp_path / "both.pem"), "another server of the same desk"
