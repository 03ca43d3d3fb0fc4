"""Several processes with one PostgreSQL count attempts to sign in together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lengths import LONG
from tests.postgres import PostgresServer, postgres_server

ROOT = Path(__file__).resolve().parents[3]
START = """
import sys
from desk.cli import migrate, start_django
start_django()
from django.test import Client
from desk.people.models import Person
from tests.desk.agencies import PASSWORD, browser
ADDRESS = "sam@rijnstad.example"
"""
MAKE = """
migrate()
Person.objects.create_user(username=ADDRESS, email=ADDRESS, password=PASSWORD)
"""
GUESS = """
for address in sys.argv[1:]:
    browser(REMOTE_ADDR=address).post("/accounts/login/", {"login": ADDRESS, "password": "a wrong guess"})
"""
FLOOD = """
from django.core.cache import cache
for number in range(1000):
    cache.set(f"an attempt at another account {number}", 1, 300)
"""
SIGN_IN = """
answer = browser(REMOTE_ADDR="192.0.2.99").post("/accounts/login/", {"login": ADDRESS, "password": PASSWORD})
print(answer.status_code)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@LONG
def test_attempts_at_several_processes_are_counted_together(server: PostgresServer, tmp_path: Path) -> None:
    host = dict(pair.split("=", 1) for pair in server.address.split())["host"]
    configuration = tmp_path / "desk.toml"
    database = f'kind = "postgresql"\nhost = "{host}"\nname = "postgres"\nuser = "desk"\n'
    configuration.write_text(f'data = "data"\n[database]\n{database}')
    (tmp_path / "data").mkdir(mode=0o700)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DOORWARD_DESK_CONFIG": str(configuration)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)

    def run(script: str, *arguments: str) -> str:
        command = [sys.executable, "-c", START + script, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run(MAKE + SIGN_IN) == "302"
    run(GUESS, "192.0.2.0", "192.0.2.1", "192.0.2.2")
    run(FLOOD + GUESS, "192.0.2.3", "192.0.2.4")
    assert run(SIGN_IN) == "200", "the sixth attempt is refused unread, though its password is right"
