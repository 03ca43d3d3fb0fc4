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
START = """
import sys
from desk.cli import migrate, start_django
start_django()
from django.db import transaction
from desk.custody import log
from desk.people.models import Organisation
"""
MAKE = """
migrate()
Organisation.objects.create(requester_id="rijnstad-police", name="Rijnstad Police", kind="police")
log.record(Organisation.objects.get(), "first", "organisation.made", "rijnstad-police")
"""
WRITE = """
for number in range(20):
    with transaction.atomic():
        log.record(
            Organisation.objects.get(), sys.argv[1], "clip.opened", f"clip {number} \\0 é", case="2026-17", n=number
        )
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

    def start(script: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", START + script, *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(script: str) -> None:
        process = start(script)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said

    def audit() -> tuple[int, str]:
        command = [sys.executable, "-m", "desk.cli", "audit"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    run(MAKE)
    writers = [start(WRITE, f"writer {number}") for number in range(2)]
    for each in writers:
        said, _ = each.communicate(timeout=300)
        assert each.returncode == 0, said
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
