"""The log in a real PostgreSQL: several processes write at once, and the audit names planted changes there too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import PostgresServer, postgres_server

ROOT = Path(__file__).resolve().parents[3]
WRITE = """
import os
import sys
from desk.cli import migrate, start_django
start_django()
from django.db import connections, transaction
from desk.custody import log
from desk.people.models import Organisation
migrate()
Organisation.objects.create(requester_id="rijnstad-police", name="Rijnstad Police", kind="police")
log.record(Organisation.objects.get(), "first", "organisation.made", "rijnstad-police")
connections.close_all()
writers = []
for name in ("writer 0", "writer 1"):  # processes that are forked start faster than two interpreters
    writers.append(os.fork())
    if writers[-1]:
        continue
    try:
        for number in range(20):
            with transaction.atomic():
                log.record(
                    Organisation.objects.get(), name, "clip.opened", f"clip {number} \\0 é", case="2026-17", n=number
                )
    except BaseException:
        os._exit(1)
    os._exit(0)
assert [os.waitpid(each, 0)[1] for each in writers] == [0, 0]
"""
PLANT = """UPDATE custody_entry SET detail = '{"case": "2026-17", "n": 99}' WHERE number = 16"""
REMOVE = "DELETE FROM custody_entry WHERE number = 30"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_processes_get_consecutive_numbers_and_the_audit_reads_what_they_wrote(
    server: PostgresServer, tmp_path: Path
) -> None:
    host = dict(pair.split("=", 1) for pair in server.address.split())["host"]
    configuration = tmp_path / "desk.toml"
    configuration.write_text(
        f'data = "data"\n[database]\nkind = "postgresql"\nhost = "{host}"\nname = "postgres"\nuser = "desk"\n'
    )
    (tmp_path / "data").mkdir(mode=0o700)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DOORWARD_DESK_CONFIG": str(configuration)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)

    def audit() -> tuple[int, str]:
        command = [sys.executable, "-m", "desk.cli", "audit"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    command = [sys.executable, "-c", WRITE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(server.address) as connection:
        numbers = [number for (number,) in connection.execute("SELECT number FROM custody_entry ORDER BY id")]
    assert numbers == list(range(41))
    code, said = audit()
    assert code == 0, said
    with psycopg.connect(server.address) as connection:
        for change in (PLANT, REMOVE):
            assert connection.execute(change).rowcount == 1
    code, said = audit()
    assert code == 1
    assert "changed: Entry 16 was changed" in said
    assert "removed: Entry 30 is missing" in said
