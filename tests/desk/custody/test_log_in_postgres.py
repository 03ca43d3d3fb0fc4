"""The log in a real PostgreSQL: several processes write at once, and the audit names planted changes there too."""

from __future__ import annotations

import json
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
import json
import os
import sys
from click.testing import CliRunner
from desk.cli import desk, migrate, start_django
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
for _ in range(2):  # the second time, what was written is changed
    said = CliRunner().invoke(desk, ["audit"])
    print(json.dumps([said.exit_code, said.output]), flush=True)
    connections.close_all()
    sys.stdin.readline()
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

    command = [sys.executable, "-c", WRITE]
    with subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        code, said = json.loads(process.stdout.readline())
        assert code == 0, said
        with psycopg.connect(server.address) as connection:
            numbers = [number for (number,) in connection.execute("SELECT number FROM custody_entry ORDER BY id")]
            assert numbers == list(range(41))
            for change in (PLANT, REMOVE):
                assert connection.execute(change).rowcount == 1
        process.stdin.write("\n")
        process.stdin.flush()
        code, said = json.loads(process.stdout.readline())
    assert code == 1
    assert "changed: Entry 16 was changed" in said
    assert "removed: Entry 30 is missing" in said
