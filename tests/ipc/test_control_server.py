"""The owner's socket: one answer for each frame, of any content; only allowed users; nothing left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.custodian.control_handler import Control
from agent.errors import ConfigurationError, DoorwardError, NetworkError, RequestError, StorageError
from agent.ipc import control_server, unix_server
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_server import ControlSocket
from agent.ipc.unix_server import MOST_CLIENTS
from agent.wire.control import MAX_BODY_BYTES, MAX_HEAD_BYTES, Frame, read_frame, write_frame
from tests.custodians import Door
from tests.wire import samples


def echo(frame: Frame) -> Frame:
    if frame.head.get("op") == "fail":
        raise StorageError("The disk is full.", remedy="Free some space.")
    return Frame({"ok": True, "result": frame.head}, frame.body)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
def server(path: Path) -> Iterator[ControlSocket]:
    made = ControlSocket(path, echo)
    made.start()
    yield made
    made.stop()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("control")] == []
    assert not path.exists()


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10)
    client.connect(str(path))
    return client


def until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):  # looks, not seconds: a pause of this machine is one look
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("It did not happen within half a minute.")


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_every_frame_has_its_answer_with_its_bytes(server: ControlSocket, path: Path) -> None:
    with DeviceLink(path) as link:
        assert link.fetch("look", body=b"bytes", number=1) == ({"op": "look", "number": 1}, b"bytes")
        assert link.ask("again") == {"op": "again"}


def test_an_error_of_ours_is_told_in_its_words_and_the_connection_goes_on(server: ControlSocket, path: Path) -> None:
    with DeviceLink(path) as link:
        with pytest.raises(StorageError, match=r"The disk is full\. Free some space\."):
            link.ask("fail")
        assert link.ask("look") == {"op": "look"}


def test_socket_and_folder_are_their_owners_alone(server: ControlSocket, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_user_who_is_not_allowed_is_refused_without_a_word(
    server: ControlSocket, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_server, "peer_uid", lambda peer: os.getuid() + 4_000_000)
    with connect(path) as client:
        assert is_closed(client)
    monkeypatch.undo()
    with DeviceLink(path) as link:
        assert link.ask("look")


GARBAGE = {
    "no JSON": struct.pack(">I", 4) + b"\xff\xff\xff\xff" + struct.pack(">I", 0),
    "no object": struct.pack(">I", 2) + b"[]" + struct.pack(">I", 0),
    "a head that is too large": struct.pack(">I", MAX_HEAD_BYTES + 1),
    "a body that is too large": struct.pack(">I", 2) + b"{}" + struct.pack(">I", MAX_BODY_BYTES + 1),
    "the largest number": b"\xff\xff\xff\xff",
    "nesting without end": struct.pack(">I", 200_000) + b"[" * 200_000 + struct.pack(">I", 0),
    "a number without end": struct.pack(">I", 20_010) + b'{"a": ' + b"9" * 20_003 + b"}" + struct.pack(">I", 0),
    "HTTP": b"GET / HTTP/1.1\r\nHost: door\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_closes_its_own_connection_and_no_other(server: ControlSocket, path: Path, name: str) -> None:
    with DeviceLink(path) as link, connect(path) as client:
        client.sendall(GARBAGE[name])
        client.shutdown(socket.SHUT_WR)
        assert is_closed(client)
        assert link.ask("look")


@pytest.mark.parametrize("length", [1, 3, 4, 6, 8])
def test_a_client_that_goes_away_in_the_middle_is_forgotten(server: ControlSocket, path: Path, length: int) -> None:
    with connect(path) as client:
        client.sendall(write_frame(Frame({"op": "look"}))[:length])
    until(lambda: server.clients == 0)


def test_a_client_that_does_not_listen_is_forgotten(server: ControlSocket, path: Path) -> None:
    with connect(path) as client:
        client.sendall(write_frame(Frame({"op": "look"}, bytes(8 << 20))))
    until(lambda: server.clients == 0)


def test_a_silent_client_is_dropped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "IDLE_S", 0.05)
    server = ControlSocket(path, echo)
    server.start()
    with connect(path) as client:
        assert is_closed(client)
    server.stop()


def test_there_is_room_for_so_many_and_again_when_one_leaves(server: ControlSocket, path: Path) -> None:
    links = [DeviceLink(path) for _ in range(MOST_CLIENTS)]
    for link in links:
        link.ask("look")
    with connect(path) as late:
        assert is_closed(late)
    links.pop().close()
    until(lambda: server.clients < MOST_CLIENTS)
    with DeviceLink(path) as link:
        assert link.ask("look")
    for link in links:
        link.close()


def test_stopping_ends_every_connection_and_thread_and_may_be_repeated(path: Path) -> None:
    server = ControlSocket(path, echo)
    server.start()
    with DeviceLink(path) as link, connect(path) as half:
        link.ask("look")
        half.sendall(b"\0\0")
        server.stop()
        server.stop()
        assert is_closed(half)
        with pytest.raises(NetworkError):
            link.ask("look")
    assert not path.exists()
    with pytest.raises(NetworkError, match="No device answers"):
        DeviceLink(path)
    server.start()
    with DeviceLink(path) as link:
        assert link.ask("look")
    server.stop()


def test_stopping_leaves_no_thread_of_a_client_that_has_just_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, gone = threading.Lock(), threading.Event()

    class Lingering:
        """A client that has signed off gets no processor for a while."""

        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()
            if threading.current_thread().name == "control-client":
                gone.set()
                time.sleep(0.3)

    server = ControlSocket(path, echo)
    monkeypatch.setattr(server._server, "_lock", Lingering())
    server.start()
    with DeviceLink(path) as link:
        link.ask("look")
    assert gone.wait(30)
    server.stop()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("control")] == []


def test_stopping_waits_for_the_answer_that_is_being_made(path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(frame: Frame) -> Frame:
        began.set()
        go_on.wait(10)
        return echo(frame)

    server = ControlSocket(path, slow)
    server.start()
    with connect(path) as client:
        client.sendall(write_frame(Frame({"op": "look"})))
        assert began.wait(10)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        go_on.set()
        stopper.join(10)
        assert not stopper.is_alive()


def test_a_socket_left_by_a_crash_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    server = ControlSocket(path, echo)
    server.start()
    with DeviceLink(path) as link:
        assert link.ask("look")
    server.stop()


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("somebody's notes")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        ControlSocket(path, echo).start()
    assert path.read_text() == "somebody's notes"


def test_a_path_that_is_too_long_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be made") as caught:
        ControlSocket(tmp_path / ("long" * 30), echo).start()
    assert "90 characters" in caught.value.remedy


def test_running_out_of_file_descriptors_does_not_end_the_service(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accept, failed = socket.socket.accept, threading.Event()

    def exhausted(listener: socket.socket) -> object:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    server = ControlSocket(path, echo)
    server.start()
    assert failed.wait(10)
    with DeviceLink(path) as link:
        assert link.ask("look")
    server.stop()


def test_a_bug_in_the_handler_closes_one_connection_and_shows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: shown.append(arguments.exc_type))

    def buggy(frame: Frame) -> Frame:
        raise ZeroDivisionError

    server = ControlSocket(path, buggy)
    server.start()
    with pytest.raises(NetworkError), DeviceLink(path) as link:
        link.ask("look")
    until(lambda: shown == [ZeroDivisionError])
    assert server.clients == 0
    server.stop()


# -- what a hostile client of the right user can say to the real handler ----------------------------------------------

VALUES = (None, True, 0, -1, 1.5, 2**70, "", "x", "\ud800", "a" * 26, "00" * 16, [], {}, ["x"], {"anna": "zz"})
FIELDS = ("envelope", "name", "tokens", "id", "from_ms", "to_ms", "sizes", "old_size", "start", "end", "all")


def test_nothing_a_client_can_say_is_anything_but_an_answer_or_an_error_of_ours() -> None:
    door = Door.enrolled()
    control: Control = door.custodian.control
    before = door.kinds()
    for operation in control._operations:
        for value in VALUES:
            frame = Frame({"op": operation, **dict.fromkeys(FIELDS, value)}, b"body")
            with contextlib.suppress(DoorwardError):
                assert read_frame_of(write_frame(control.answer(frame))).head["ok"] is True
    assert door.kinds() == before
    door.close()


def read_frame_of(data: bytes) -> Frame:
    one, other = socket.socketpair()
    with one, other, other.makefile("rb") as reader:
        writer = threading.Thread(target=one.sendall, args=(data,))
        writer.start()
        frame = read_frame(reader)
        writer.join()
    assert frame is not None
    return frame


@pytest.mark.parametrize("op", [None, 7, ["device"], "\ud800", "Device"])
def test_an_operation_it_does_not_know_is_refused_in_words(op: object) -> None:
    door = Door()
    with pytest.raises(RequestError, match="does not know that operation"):
        door.custodian.control.answer(Frame({"op": op}))
    door.close()


def test_the_largest_match_set_fits_into_an_answer() -> None:
    door = Door.enrolled()
    first_s = samples.request().from_s
    for number in range(1400):
        door.vault.keep(first_s + number, 1)
    asked = door.ask(from_s=first_s, to_s=first_s + 1500)
    answer = door.custodian.control.answer(Frame({"op": "request", "id": asked.id}))
    assert len(answer.head["result"]["segments"]) == 1403
    assert len(write_frame(answer)) / 1403 * 9000 < MAX_HEAD_BYTES
    door.close()
