"""A desk that a real browser opens: served in this process by TLS, with a person signed in."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from django.db.backends.signals import connection_created

from desk.certificates import made_certificate
from desk.people.roles import Role
from tests.browser.browser import Browser
from tests.desk.agencies import Agency

DESKTOP = {"width": 1440, "height": 1000}
TABLET = {"width": 820, "height": 1180}
DRAWS = ("--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader")
"""Chromium draws WebGL in software, because a test machine has no graphics card."""


@contextmanager
def served_desk(folder: Path) -> Iterator[str]:
    """Serves the desk of this process. Yields its address."""
    certificate, key = made_certificate(folder / "tls", ("localhost",), datetime.datetime.now(datetime.UTC))
    config = uvicorn.Config(
        "desk.asgi:application",
        host="127.0.0.1",
        port=0,
        lifespan="off",
        log_level="warning",
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
    )
    server = uvicorn.Server(config)
    opened: list[Any] = []

    def note(connection: Any, **_more: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            opened.append(connection.connection)

    connection_created.connect(note)
    thread = threading.Thread(target=server.run, name="desk under test")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the desk did not start"
            thread.join(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"https://localhost:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        connection_created.disconnect(note)
        for each in opened:
            each.close()  # a request that its browser left, for example a film's, has not closed its own


def sign_in(browser: Browser, url: str, agency: Agency, role: Role, *, name: str = "", **options: Any) -> str:
    """Opens a page in which the person of that role is signed in. Returns the page's name."""
    name = name or role.value
    client = agency.client(role)
    browser.open(name, viewport=DESKTOP, **options)
    browser.run(
        "await pages[args.name].context().addCookies([{...args.cookie, url: args.url, secure: true, httpOnly: true}]);",
        name=name,
        url=url,
        cookie={"name": "__Host-desk", "value": client.cookies["__Host-desk"].value},
    )
    return name
