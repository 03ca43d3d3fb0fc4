"""A desk that is served over TLS from the data folder of a test, and browsers in which people are signed in.

with served_desk(data) as desk, Browser(home) as browser:
    desk.open(browser, "officer", agency.people[Role.EVIDENCE_OFFICER])
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import Client

from desk.cases.films import close_films
from desk.people.models import Person
from tests.browser.browser import Browser
from tests.desk.asking.served_desk import served_desk as served_here
from tests.desk.grown import configured
from tests.desk.looking import DESKTOP
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


class DeskPages:
    """The desk at `address`, which trusts the sessions that the test makes."""

    def __init__(self, address: str) -> None:
        self.address = address

    def open(self, browser: Browser, name: str, person: Person, **options: Any) -> None:
        """Opens a browser profile in which the person is signed in."""
        client = Client()
        client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
        browser.open(name, **({"viewport": DESKTOP, "locale": "en-GB"} | options))
        cookie = {
            "name": settings.SESSION_COOKIE_NAME,
            "value": client.cookies[settings.SESSION_COOKIE_NAME].value,
            "url": self.address,
            "secure": True,
            "httpOnly": True,
        }
        browser.run("await pages[args.name].context().addCookies([args.cookie])", name=name, cookie=cookie)


class ServedDesk(DeskPages):
    """`doorward-desk serve` on `port`."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        super().__init__(f"https://localhost:{port}")
        self.port = port
        self._process = process
        self.killed = False

    def kill(self) -> None:
        """Ends the service as a power cut does, in the middle of its work."""
        self.killed = True
        self._process.kill()
        self._process.wait()


@contextmanager
def desk_pages(data: Path) -> Iterator[DeskPages]:
    """Serves the pages of the fixture `data` from this process: without receivers, and without the start of another."""
    with served_here(data) as address:
        yield DeskPages(address)
    close_films()


@contextmanager
def served_desk(data: Path, more: str = "") -> Iterator[ServedDesk]:
    """Serves the desk of the fixture `data`. `more`: further lines of its configuration."""
    port = free_port()
    (data / "secret.key").write_text(settings.SECRET_KEY)
    configuration = data.parent / "desk.toml"
    configuration.write_text(f'data = "{data.name}"\n{configured()}{more}\n[web]\nport = {port}\n')
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DOORWARD_DESK_CONFIG": str(configuration)}
    with (data.parent / "served.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "desk.cli", "serve"], env=environment, stdout=log, stderr=log
        )
    try:
        while True:
            assert process.poll() is None, (data.parent / "served.log").read_text()[-3000:]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        desk = ServedDesk(port, process)
        yield desk
        if not desk.killed:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (data.parent / "served.log").read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
