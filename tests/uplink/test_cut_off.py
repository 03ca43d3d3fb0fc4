"""A conversation ends at its time, whatever the server or the name's addresses do."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agent.errors import NetworkError
from agent.uplink.apprise_sender import AppriseSender
from agent.uplink.cut_off import CutOff
from tests.slow_servers import HANGS, Dripping

Place = tuple[int, int, int, str, tuple[str, int]]


def place(port: int, family: int = socket.AF_INET) -> Place:
    return family, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)


@pytest.fixture
def dead() -> Iterator[int]:
    """A port that accepts no further connection and refuses none."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        port = int(listening.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port)):
            yield port


def known(monkeypatch: pytest.MonkeyPatch, *places: Place) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(places))


def test_the_addresses_of_a_name_have_one_bound_together(dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float | None] = []
    connect = socket.socket.connect

    def noted(opened: socket.socket, to: Any) -> None:
        tried.append(opened.gettimeout())
        connect(opened, to)

    known(monkeypatch, place(dead), place(dead), place(dead), place(dead))
    monkeypatch.setattr(socket.socket, "connect", noted)
    with CutOff(0.5) as cut_off, pytest.raises(TimeoutError):
        cut_off.connect(("door.example", 443), 0.3)
    assert [each is not None and 0 < each <= 0.3 for each in tried] == [True, True], "a third would come after the end"
    with CutOff(0.3) as cut_off, pytest.raises(TimeoutError):
        cut_off.connect(("door.example", 443))
    assert len(tried) == 3


def test_a_connection_that_opens_after_the_end_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect
    with Dripping(b"", drip=b"") as server:

        def late(opened: socket.socket, to: Any) -> None:
            connect(opened, to)
            cut_off._cut()

        monkeypatch.setattr(socket.socket, "connect", late)
        with CutOff(60) as cut_off:
            with pytest.raises(TimeoutError):
                cut_off.connect(("127.0.0.1", server.port), 10)
            with pytest.raises(TimeoutError):
                cut_off.connect(("127.0.0.1", server.port), 10)
        assert server.left.wait(HANGS)
    assert server.connections == 1


def test_a_name_is_tried_at_all_its_addresses_and_the_last_fault_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Dripping(b"here", drip=b"", speaks_first=True) as server, CutOff(60) as cut_off:
        known(monkeypatch, place(1, family=socket.AF_APPLETALK), place(1), place(server.port))
        with cut_off.connect(("door.example", 443), 10) as opened:
            assert opened.recv(4) == b"here"
            assert opened.gettimeout() == 10
        known(monkeypatch, place(1))
        with pytest.raises(ConnectionRefusedError):
            cut_off.connect(("door.example", 443), 10)
        known(monkeypatch)
        with pytest.raises(OSError, match="no address"):
            cut_off.connect(("door.example", 443), 10)


def test_a_connection_is_cut_off_also_after_its_socket_went_elsewhere() -> None:
    """TLS wraps it, and an answer without a length takes it from its connection."""
    with Dripping(b"", speaks_first=True) as server, CutOff(0.3) as cut_off:
        opened = cut_off.connect(("127.0.0.1", server.port), 10)
        with socket.socket(fileno=opened.detach()) as elsewhere:
            elsewhere.settimeout(10)
            while elsewhere.recv(4096):
                pass
        with pytest.raises(TimeoutError):
            cut_off.check()
        assert cut_off.left_s == 0


def test_a_connection_that_its_server_ended_can_be_cut_off_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, CutOff(60) as cut_off:
        opened = cut_off.connect(listening.getsockname(), 10)
        accepted, _ = listening.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # with a reset
        accepted.close()
        with opened, pytest.raises(ConnectionResetError):
            opened.recv(1)
        cut_off._cut()
        with pytest.raises(TimeoutError):
            cut_off.check()


def test_an_answer_in_time_leaves_no_thread_and_no_connection() -> None:
    with Dripping(b"here", drip=b"", speaks_first=True) as server:
        with CutOff(60) as cut_off:
            opened = cut_off.connect(("127.0.0.1", server.port), 10)
            assert opened.recv(4) == b"here"
            opened.close()
            cut_off.check()
            assert 0 < cut_off.left_s <= 60
        assert not cut_off._timer.is_alive()
        assert server.left.wait(HANGS)


def test_without_a_thread_for_the_end_nothing_is_sent_and_it_counts_as_a_fault_of_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another error would end the thread of its channel, and no alert would follow."""

    def none_left(_timer: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", none_left)
    with pytest.raises(OSError, match="No thread"), CutOff():
        pytest.fail("it has no end")
    with Dripping(b"") as server:
        with pytest.raises(NetworkError):
            AppriseSender().send(f"ntfy://127.0.0.1:{server.port}/door", "t", "b")
        assert server.connections == 0
