"""Both local sockets: one answer for each frame, of any content; no other users; nothing left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.errors import ConfigurationError, DoorwardError, InternalError, NetworkError, RequestError, StorageError
from agent.ipc import peers, rpc_server
from agent.ipc.rpc import CONTROL_SOCKET, ROLE_SOCKET, SocketKind, read_answer, refusal, request_frame
from agent.ipc.rpc_server import MOST_CLIENTS, RpcServer, control_server, role_server
from agent.wire.control import Frame, FrameLimits, read_frame, write_frame
from tests.ipc.echo import ME, Break, Echo, Fail, Said, answer, client_of, handle

KINDS = [ROLE_SOCKET, CONTROL_SOCKET]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run" / "the.sock"


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> SocketKind:
    found: SocketKind = request.param
    return found


@pytest.fixture
def server(path: Path, kind: SocketKind) -> Iterator[RpcServer]:
    made = RpcServer(path, kind, handle, ME)
    made.start()
    yield made
    made.stop()
    assert threads_of(kind) == []
    assert not path.exists()


def threads_of(kind: SocketKind) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(kind.name)]


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


ECHO = write_frame(request_frame(Echo(1)))


def test_a_refusal_says_that_it_is_one_and_names_error_and_remedy() -> None:
    """As docs/local-rpc.md has it, for clients in other languages."""
    head = refusal(StorageError("The disk is full.", remedy="Free some space.")).head
    assert head == {"ok": False, "kind": "StorageError", "error": "The disk is full.", "remedy": "Free some space."}
    with pytest.raises(StorageError, match=r"The disk is full\.") as raised:
        read_answer(Echo, head)
    assert raised.value.remedy == "Free some space."


def test_a_refusal_without_words_has_some() -> None:
    with pytest.raises(DoorwardError) as raised:
        read_answer(Echo, {"ok": False})
    assert (raised.value.message, raised.value.remedy) == ("The device refused.", "")


def test_every_request_has_its_answer(server: RpcServer, path: Path, kind: SocketKind) -> None:
    with client_of(path, kind) as link:
        assert link.ask(Echo(1)) == Said(1)
        assert link.ask(Echo(2)) == Said(2)


def test_bytes_go_along_on_the_control_socket_and_not_between_roles(path: Path) -> None:
    for kind in KINDS:
        server = RpcServer(path, kind, handle, ME)
        server.start()
        with client_of(path, kind) as link, connect(path) as client:
            if kind is CONTROL_SOCKET:
                assert link.fetch(Echo(1), body=b"bytes") == (Said(1), b"bytes")
            else:
                client.sendall(write_frame(request_frame(Echo(1), b"bytes")))
                assert is_closed(client)
        server.stop()


def test_an_error_of_ours_is_told_in_its_words_and_the_connection_goes_on(
    server: RpcServer, path: Path, kind: SocketKind
) -> None:
    with client_of(path, kind) as link:
        with pytest.raises(StorageError, match=r"^The disk is full\. Free some space\.$"):
            link.ask(Fail())
        assert link.ask(Echo(1)) == Said(1)


def test_a_bug_in_a_handler_is_told_without_details_and_logged_with_its_place(
    server: RpcServer, path: Path, kind: SocketKind
) -> None:
    with client_of(path, kind) as link, capture_logs() as lines:
        with pytest.raises(InternalError, match="does not know") as told:
            link.ask(Break())
        assert link.ask(Echo(1)) == Said(1)
    assert "secret" not in str(told.value)
    (line,) = [each for each in lines if each["event"] == "request_failed"]
    assert (line["op"], line["error"], line["exc_info"]) == ("Break", "ZeroDivisionError", True)


def test_an_error_that_names_a_file_of_another_encoding_is_told(path: Path, kind: SocketKind) -> None:
    def fail(_frame: Frame) -> Frame:
        raise StorageError("No space for 'b\udcfc'.")

    server = RpcServer(path, kind, fail, ME)
    server.start()
    with client_of(path, kind) as link, pytest.raises(StorageError, match=r"No space for 'b\?'\."):
        link.ask(Echo(1))
    server.stop()


def test_an_answer_too_large_for_its_client_is_refused_in_words(path: Path, kind: SocketKind) -> None:
    small = replace(kind, answer=FrameLimits(300, 0))
    server = RpcServer(path, small, lambda frame: Frame({"ok": True, "result": {"number": 1, "x": "y" * 300}}), ME)
    server.start()
    with client_of(path, kind) as link, pytest.raises(Exception, match="larger than its reader accepts"):
        link.ask(Echo(1))
    server.stop()


@pytest.mark.parametrize(
    "head", [{}, {"op": 7}, {"op": "Nothing"}, {"op": "Echo"}, {"op": "Echo", "number": 1, "more": 2}]
)
def test_a_role_that_asks_for_what_it_may_not_is_refused_with_the_place(path: Path, head: dict[str, object]) -> None:
    server = role_server(path, Echo | Fail, answer, ME)
    server.start()
    with client_of(path, ROLE_SOCKET) as link:
        with pytest.raises(RequestError, match="cannot be used"):
            read_answer(Echo, link._exchange(Frame(head), 0.0).head)
        assert link.ask(Echo(1)) == Said(1)
    server.stop()


def test_the_control_socket_and_its_folder_are_their_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "made" / "control.sock"
    server = control_server(path, handle)
    server.start()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    server.stop()


def test_the_folder_of_a_roles_socket_is_made_by_the_system_and_not_here(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be made") as caught:
        role_server(tmp_path / "missing" / "s", Echo, answer, ME).start()
    assert "--runtime-dir" in caught.value.remedy


def test_a_user_who_is_not_allowed_is_refused_without_a_word(
    server: RpcServer, path: Path, kind: SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_server, "peer_uid", lambda peer: os.getuid() + 4_000_000)
    with connect(path) as client:
        assert is_closed(client)
    monkeypatch.undo()
    with client_of(path, kind) as link:
        assert link.ask(Echo(1))


def test_the_owners_socket_lets_in_root_its_own_user_and_those_that_are_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    made = control_server(path, handle, allowed_uids=frozenset({31}))
    monkeypatch.undo()
    made.start()
    try:
        let_in = []
        for uid in (0, 1, 31, 1000):
            monkeypatch.setattr(rpc_server, "peer_uid", lambda peer, uid=uid: uid)
            with connect(path) as client:
                with contextlib.suppress(BrokenPipeError):
                    client.sendall(ECHO)
                let_in += [] if is_closed(client) else [uid]
    finally:
        made.stop()
    assert let_in == [0, 31, 1000]


def garbage(limits: FrameLimits) -> dict[str, bytes]:
    length = struct.Struct(">I").pack
    return {
        "no JSON": length(4) + b"\xff\xff\xff\xff" + length(0),
        "no object": length(2) + b"[]" + length(0),
        "a head that is too large": length(limits.head_bytes + 1),
        "a body that is too large": length(2) + b"{}" + length(limits.body_bytes + 1),
        "the largest number": b"\xff\xff\xff\xff",
        "nesting without end": length(100_000) + b"[" * 100_000 + length(0),
        "a number without end": length(20_010) + b'{"a": ' + b"9" * 20_003 + b"}" + length(0),
        "no number": length(29) + b'{"op": "Echo", "number": NaN}' + length(0),
        "HTTP": b"GET / HTTP/1.1\r\nHost: door\r\n\r\n",
    }


@pytest.mark.parametrize("name", garbage(FrameLimits(0, 0)))
def test_garbage_closes_its_own_connection_and_no_other(
    server: RpcServer, path: Path, kind: SocketKind, name: str
) -> None:
    with client_of(path, kind) as link, connect(path) as client:
        client.sendall(garbage(kind.request)[name])
        client.shutdown(socket.SHUT_WR)
        assert is_closed(client)
        assert link.ask(Echo(1))


@pytest.mark.parametrize("length", [1, 3, 4, 6, 8])
def test_a_client_that_goes_away_in_the_middle_is_forgotten(server: RpcServer, path: Path, length: int) -> None:
    with connect(path) as client:
        client.sendall(ECHO[:length])
    until(lambda: server.clients == 0)


def test_a_client_that_does_not_wait_for_its_answer_is_forgotten(path: Path, kind: SocketKind) -> None:
    large = Frame({"ok": True, "result": {"text": "x" * (3 << 20)}})
    server = RpcServer(path, kind, lambda _frame: large, ME)
    server.start()
    with connect(path) as client:
        client.sendall(ECHO)
    until(lambda: server.clients == 0)
    server.stop()


@pytest.mark.parametrize("sent", [ECHO[:2], ECHO[:7], ECHO[:-1]], ids=["length", "head", "body"])
def test_a_client_that_stops_in_the_middle_of_a_frame_is_dropped(path: Path, kind: SocketKind, sent: bytes) -> None:
    server = RpcServer(path, replace(kind, silence_s=0.05, idle_s=None), handle, ME)
    server.start()
    with connect(path) as client:
        client.sendall(sent)
        assert is_closed(client)
    server.stop()


def test_a_client_that_reads_no_answer_is_dropped(path: Path, kind: SocketKind) -> None:
    large = Frame({"ok": True, "result": {"text": "x" * (3 << 20)}})
    server = RpcServer(path, replace(kind, silence_s=0.05, idle_s=None), lambda _frame: large, ME)
    server.start()
    with connect(path) as client:
        client.sendall(ECHO)
        until(lambda: server.clients == 0)
    server.stop()


def test_a_silent_client_is_dropped_if_its_socket_has_a_limit_and_a_role_may_be_silent(path: Path) -> None:
    assert (ROLE_SOCKET.idle_s, CONTROL_SOCKET.idle_s) == (None, 60.0)
    server = RpcServer(path, replace(CONTROL_SOCKET, idle_s=0.05), handle, ME)
    server.start()
    with connect(path) as client:
        assert is_closed(client)
    server.stop()
    server = RpcServer(path, replace(ROLE_SOCKET, silence_s=0.01), handle, ME)
    server.start()
    with client_of(path, ROLE_SOCKET) as link:
        assert link.ask(Echo(1)) == Said(1)
        time.sleep(0.1)
        assert server.clients == 1
        assert link.ask(Echo(2)) == Said(2)
    server.stop()


def test_there_is_room_for_so_many_and_again_when_one_leaves(server: RpcServer, path: Path, kind: SocketKind) -> None:
    links = [client_of(path, kind) for _ in range(MOST_CLIENTS)]
    for link in links:
        link.ask(Echo(1))
    with connect(path) as late:
        assert is_closed(late)
    links.pop().close()
    until(lambda: server.clients < MOST_CLIENTS)
    with client_of(path, kind) as link:
        assert link.ask(Echo(1))
    for link in links:
        link.close()


def test_stopping_ends_every_connection_and_thread_and_may_be_repeated(path: Path, kind: SocketKind) -> None:
    server = RpcServer(path, kind, handle, ME)
    server.start()
    with client_of(path, kind) as link, connect(path) as half:
        link.ask(Echo(1))
        half.sendall(b"\0\0")
        server.stop()
        server.stop()
        assert is_closed(half)
        with pytest.raises(NetworkError):
            link.ask(Echo(1))
    assert not path.exists()
    server.start()
    with client_of(path, kind) as link:
        assert link.ask(Echo(1))
    server.stop()


def test_stopping_leaves_no_thread_of_a_client_that_has_just_gone(
    path: Path, kind: SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, gone = threading.Lock(), threading.Event()

    class Lingering:
        """A client that has signed off gets no processor for a while."""

        def __enter__(self) -> None:
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()
            if threading.current_thread().name.endswith("-client"):
                gone.set()
                time.sleep(0.3)

    server = RpcServer(path, kind, handle, ME)
    monkeypatch.setattr(server, "_lock", Lingering())
    server.start()
    with client_of(path, kind) as link:
        link.ask(Echo(1))
    assert gone.wait(30)
    server.stop()
    assert threads_of(kind) == []


def test_stopping_waits_for_the_answer_that_is_being_made(path: Path, kind: SocketKind) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(frame: Frame) -> Frame:
        began.set()
        go_on.wait(10)
        return handle(frame)

    server = RpcServer(path, kind, slow, ME)
    server.start()
    with connect(path) as client:
        client.sendall(ECHO)
        assert began.wait(10)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        go_on.set()
        stopper.join(10)
        assert not stopper.is_alive()


def test_a_socket_left_by_a_crash_is_replaced(path: Path, kind: SocketKind) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    server = RpcServer(path, kind, handle, ME)
    server.start()
    with client_of(path, kind) as link:
        assert link.ask(Echo(1))
    server.stop()


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("a user's notes")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        control_server(path, handle).start()
    assert path.read_text() == "a user's notes"


def test_a_path_that_is_too_long_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be made") as caught:
        control_server(tmp_path / ("long" * 30), handle).start()
    assert "90 characters" in caught.value.remedy


def test_running_out_of_file_descriptors_does_not_end_the_service(
    path: Path, kind: SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, failed = socket.socket.accept, threading.Event()

    def exhausted(listener: socket.socket) -> object:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    server = RpcServer(path, kind, handle, ME)
    server.start()
    assert failed.wait(10)
    with client_of(path, kind) as link:
        assert link.ask(Echo(1))
    server.stop()


def test_running_out_of_threads_costs_one_client_and_not_the_service(
    path: Path, kind: SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = RpcServer(path, kind, handle, ME)
    server.start()
    start = threading.Thread.start
    with monkeypatch.context() as limited:

        def refused(thread: threading.Thread) -> None:
            limited.setattr(threading.Thread, "start", start)
            raise RuntimeError("can't start new thread")

        limited.setattr(threading.Thread, "start", refused)
        with connect(path) as lost:
            assert is_closed(lost)
    assert server.clients == 0
    with client_of(path, kind) as link:
        assert link.ask(Echo(1))
    server.stop()


def test_frames_that_arrive_byte_by_byte_or_together_are_answered_in_their_order(
    server: RpcServer, path: Path, kind: SocketKind
) -> None:
    three = [write_frame(request_frame(Echo(number))) for number in range(3)]
    with connect(path) as client, client.makefile("rb") as reader:
        for byte in three[0]:
            client.sendall(bytes([byte]))
        client.sendall(three[1] + three[2])
        answers = [read_frame(reader, kind.answer) for _ in three]
    assert [each and each.head["result"] for each in answers] == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_only_named_users_that_exist_and_this_process_may_speak(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.write_text("         0          0 4294967295\n")
    part.write_text("         0       1000          1\n")
    monkeypatch.setattr(peers, "_UID_MAP", whole)
    root = pwd.getpwuid(0).pw_name
    assert peers.uids_of() == {os.getuid()}
    assert peers.uids_of(root, "nobody-of-this-name") == {os.getuid(), 0}
    with monkeypatch.context() as users:
        users.setattr(pwd, "getpwnam", lambda name: pwd.struct_passwd((name, "x", 12_345, 6, "", "/", "/bin/sh")))
        assert peers.uids_of("doorward-recorder") == {os.getuid(), 12_345}
    monkeypatch.setattr(peers, "_UID_MAP", part)
    assert peers.uids_of() == {os.getuid(), 65_534}, "in a user namespace all others look alike"


def test_of_what_the_kernel_says_the_user_counts_and_not_the_process_or_group() -> None:
    class Peer:
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
            return struct.pack("3i", 11, 22, 33)[:size]

    assert peers.peer_uid(Peer()) == 22  # type: ignore[arg-type]


def test_a_process_that_ends_without_stopping_its_server_is_not_kept_by_it(
    server: RpcServer, path: Path, kind: SocketKind
) -> None:
    with client_of(path, kind) as link:
        link.ask(Echo(1))
        assert [each.daemon for each in threading.enumerate() if each.name.startswith(kind.name)] == [True, True]


def test_a_folder_that_is_missing_with_its_parents_is_made(tmp_path: Path) -> None:
    server = control_server(tmp_path / "a" / "b" / "control.sock", handle)
    server.start()
    server.stop()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_threads_of_clients_that_have_gone_are_not_kept(server: RpcServer, path: Path, kind: SocketKind) -> None:
    for _ in range(5):
        with client_of(path, kind) as link:
            link.ask(Echo(1))
        until(lambda: len(threads_of(kind)) == 1)
    assert len(server._threads) == 1


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert peers.peer_uid(here) == os.getuid()
