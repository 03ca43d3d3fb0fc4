"""The figures are served to this machine and to no other, and to readers only."""

from __future__ import annotations

import http.client
import select
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.errors import ConfigurationError, InternalError
from agent.platform.bounded_server import BoundedServer
from agent.platform.metrics_server import MetricsServer
from tests.ports import free_port

PAGE = "doorward_up 1\n"
_MOST_READERS = BoundedServer.most_clients


@pytest.fixture
def port() -> Iterator[int]:
    number = free_port()
    server = MetricsServer(lambda: PAGE, path=None, port=number)
    server.start()
    yield number
    server.stop()


def ask(port: int, method: str = "GET", path: str = "/metrics", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_page_is_there_for_readers_and_there_is_nothing_else(port: int) -> None:
    assert ask(port) == (200, PAGE)
    assert ask(port, path="/etc/passwd")[0] == 404
    assert ask(port, "POST")[0] == 501


def test_a_web_page_that_lets_its_name_lead_here_reads_nothing(port: int) -> None:
    """DNS rebinding: for a browser on this machine the figures would be the page's own."""
    for host in ("127.0.0.1", f"127.0.0.1:{port}", f"localhost:{port}", "localhost"):
        assert ask(port, Host=host) == (200, PAGE)
    for host in ("elsewhere.example", f"elsewhere.example:{port}", f"127.0.0.1.elsewhere.example:{port}", ""):
        status, said = ask(port, Host=host)
        assert status == 421
        assert PAGE not in said


def test_readers_that_get_no_thread_keep_no_place(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as limited:

        def refused(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        limited.setattr(threading.Thread, "start", refused)
        for _ in range(_MOST_READERS + 1):
            with suppress(OSError, http.client.HTTPException):
                ask(port)
    assert ask(port) == (200, PAGE)


def test_readers_that_say_nothing_get_four_threads_and_no_more(port: int) -> None:
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(100)]
    try:
        turned_away, until_s = 0, time.monotonic() + 30
        while turned_away < 90 and time.monotonic() < until_s:
            closed, _, _ = select.select(idle, [], [], 0.1)  # nothing is ever sent to them
            turned_away = len(closed)
        assert turned_away >= 90
        assert threading.active_count() - before <= 4
    finally:
        for each in idle:
            each.close()
    for _ in range(200):
        with suppress(ConnectionError, http.client.HTTPException):
            assert ask(port) == (200, PAGE)
            return
    pytest.fail("readers that have gone take up the room")


def test_the_port_is_open_to_this_machine_alone(port: int) -> None:
    listening = [line.split()[1] for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    assert f"0100007F:{port:04X}" in listening
    assert f"00000000:{port:04X}" not in listening


def test_the_socket_belongs_to_its_user_and_group_and_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    server = MetricsServer(lambda: PAGE, path=path, port=None)
    server.start()
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as reader:
            reader.connect(str(path))
            reader.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert b"".join(iter(lambda: reader.recv(4096), b"")).endswith(PAGE.encode())
    finally:
        server.stop()


def test_a_place_that_cannot_be_had_is_named(port: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*another"):
        MetricsServer(lambda: PAGE, path=None, port=port).start()
    (tmp_path / "file").write_text("somebody's")
    with pytest.raises(ConfigurationError, match="another"):
        MetricsServer(lambda: PAGE, path=tmp_path / "file", port=None).start()
    assert (tmp_path / "file").read_text() == "somebody's"


def test_figures_that_cannot_be_had_are_no_figures(tmp_path: Path) -> None:
    def page() -> str:
        raise InternalError("no recorder")

    number = free_port()
    server = MetricsServer(page, path=None, port=number)
    server.start()
    try:
        assert ask(number)[0] == 503
    finally:
        server.stop()
