"""The client of the local sockets: patient with a server that restarts, and no answer goes to another request."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.errors import DoorwardError, FormatError, NetworkError
from agent.ipc import rpc_client
from agent.ipc.protocol import (
    Ack,
    FromRecorder,
    GetHeldSegments,
    HeldSegments,
    Notify,
    RoleAnswer,
    Sign,
    Signature,
)
from agent.ipc.rpc import CONTROL_SOCKET, ROLE_SOCKET, SocketKind, success
from agent.ipc.rpc_client import RpcClient
from agent.ipc.rpc_server import RpcServer, role_server
from agent.wire.control import Frame, read_frame, write_frame
from tests.ipc.echo import ME, Echo, Said, client_of, handle

PATIENCE_S = 120.0
"""A test waits this long for another thread. Only a failure takes as long, on a machine of any speed."""
SOCKETS = pytest.mark.parametrize("kind", [ROLE_SOCKET, CONTROL_SOCKET], ids=lambda kind: kind.name)


def answer(question: FromRecorder) -> RoleAnswer:
    match question:
        case GetHeldSegments(stored=stored):
            return HeldSegments(tuple(map(str, range(stored))), 5)
        case _:
            return Ack()


def test_a_server_of_another_user_is_asked_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    server = role_server(tmp_path / "s", Echo, asked.append, ME)
    server.start()
    try:
        monkeypatch.setattr(rpc_client, "peer_uid", lambda _: 4_000_000)
        with pytest.raises(NetworkError, match="No custodian answers"):
            RpcClient(tmp_path / "s", ME, patience_s=0.0).ask(Echo(1))
        assert asked == []
    finally:
        server.stop()


@pytest.mark.parametrize(("user", "is_asked"), [(0, True), (12_345, True), (12_346, False)])
def test_root_and_the_named_users_are_asked_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, is_asked: bool
) -> None:
    server = role_server(tmp_path / "s", Echo, lambda asked: Said(asked.number), ME)
    server.start()
    client = RpcClient(tmp_path / "s", frozenset({12_345}), patience_s=0.0)
    try:
        monkeypatch.setattr(rpc_client, "peer_uid", lambda _: user)
        if is_asked:
            assert client.ask(Echo(1)) == Said(1)
        else:
            with pytest.raises(NetworkError):
                client.ask(Echo(1))
    finally:
        client.close()
        server.stop()


def test_patience_runs_from_the_first_failure_and_begins_again_after_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten requests of a recorder must not wait ten seconds each, one after the other."""
    now_s, waits = [1000.0], []

    def pause(_self: object, pause_s: float) -> bool:
        waits.append(pause_s)
        now_s[0] += pause_s
        return False

    monkeypatch.setattr(rpc_client, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    monkeypatch.setattr(threading.Event, "wait", pause)
    client = RpcClient(tmp_path / "s", ME, patience_s=2.0)
    for _ in range(2):
        began_s = now_s[0]
        with pytest.raises(NetworkError):
            client.ask(Echo(1))
        assert now_s[0] - began_s == pytest.approx(2.0, abs=0.3)
        with pytest.raises(NetworkError):
            client.ask(Echo(1))
        assert now_s[0] - began_s == pytest.approx(2.0, abs=0.3), "the second is not patient once more"
        with pytest.raises(NetworkError):
            client.ask(Echo(1), patience_s=3.0)
        assert now_s[0] - began_s == pytest.approx(3.0, abs=0.3), "only what is left of its own patience"
        with monkeypatch.context() as answered:
            answered.setattr(RpcClient, "_exchange_once", lambda _self, _asked: success(Said(1)))
            assert client.ask(Echo(1)) == Said(1)
        now_s[0] += 100
    assert set(waits) == {rpc_client._PAUSE_S}


def test_at_the_end_of_its_patience_a_client_gives_up_and_not_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_client, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    waited: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", lambda _self, pause_s: waited.append(pause_s) or True)
    with pytest.raises(NetworkError):
        RpcClient(tmp_path / "s", ME, patience_s=0.0).ask(Echo(1))
    assert waited == []


def test_a_client_that_is_closed_while_it_waits_for_a_server_waits_no_longer(tmp_path: Path) -> None:
    client, unheard = RpcClient(tmp_path / "s", ME, patience_s=3600.0), threading.Event()

    def ask() -> None:
        with pytest.raises(NetworkError):
            client.ask(Echo(1))
        unheard.set()

    asking = threading.Thread(target=ask)
    asking.start()
    while client._missed_s is None:
        time.sleep(0.001)
    client.close()
    assert unheard.wait(PATIENCE_S)
    asking.join()


def test_a_closed_client_keeps_no_connection(tmp_path: Path) -> None:
    server = role_server(tmp_path / "s", Echo, lambda asked: Said(asked.number), ME)
    server.start()
    client = client_of(tmp_path / "s", ROLE_SOCKET)
    client.ask(Echo(1))
    connection = client._socket
    assert connection is not None
    client.close()
    assert connection.fileno() == -1
    server.stop()


def test_a_request_too_long_for_its_reader_is_not_sent(tmp_path: Path) -> None:
    client = RpcClient(tmp_path / "s", ME, patience_s=0.0)
    with pytest.raises(FormatError, match="larger than its reader accepts"):
        client.ask(Notify("x", "y" * ROLE_SOCKET.request.head_bytes))
    with pytest.raises(FormatError, match="larger than its reader accepts"):
        client.ask(Echo(1), body=b"x")


ANSWERS = {
    "no JSON": b"\0\0\0\x04oops\0\0\0\0",
    "a length beyond the bound": b"\xff\xff\xff\xff",
    "a list": write_frame(success([1])),
    "nothing": write_frame(success(None)),
    "a text for a number": write_frame(success({"number": "1"})),
    "neither yes nor no": b"\0\0\0\x02{}\0\0\0\0",
    "half an answer": write_frame(success(Said(1)))[:9],
    "no byte": b"",
}


@SOCKETS
@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_answer_is_an_error_of_ours_and_costs_not_the_next_request(
    tmp_path: Path, kind: SocketKind, name: str
) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    served: list[int] = []

    def serve() -> None:
        first = True
        while len(served) < 2:
            peer, _ = listener.accept()
            with peer, peer.makefile("rb") as reader:
                while read_frame(reader) is not None:
                    served.append(1)
                    peer.sendall(ANSWERS[name] if first else write_frame(success(Said(2))))
                    if first and name in ("half an answer", "no byte", "a length beyond the bound"):
                        first = False
                        break
                    first = False

    serving = threading.Thread(target=serve)
    serving.start()
    client = client_of(tmp_path / "s", kind)
    with pytest.raises(DoorwardError):
        client.ask(Echo(1))
    assert client.ask(Echo(2)) == Said(2)
    client.close()
    serving.join()
    listener.close()


@SOCKETS
def test_a_connection_that_the_server_closed_for_its_silence_is_made_again(tmp_path: Path, kind: SocketKind) -> None:
    """An owner's client opens films for minutes between two requests, and has no patience for a device that is away."""
    patient, hurried = replace(kind, idle_s=None), replace(kind, idle_s=0.02)

    def hurry(frame: Frame) -> Frame:
        server._kind = hurried  # from here on: a client that has just connected may need longer for its first request
        return handle(frame)

    server = RpcServer(tmp_path / "s", patient, hurry, ME)
    server.start()
    with client_of(tmp_path / "s", kind) as link:
        assert link.ask(Echo(1)) == Said(1)
        while server.clients:
            time.sleep(0.005)
        server._kind = patient
        assert link.ask(Echo(2)) == Said(2)
    server.stop()


@SOCKETS
def test_a_late_answer_is_dropped_with_its_connection(tmp_path: Path, kind: SocketKind) -> None:
    """Both clients: an owner's command that asks again after a time limit must not read the answer of before."""
    late, told = threading.Event(), threading.Event()

    def slow_at_first(request: Echo) -> Said:
        if not told.is_set():
            told.set()
            late.wait(PATIENCE_S)
        return Said(request.number)

    server = RpcServer(tmp_path / "s", kind, role_server(tmp_path / "x", Echo, slow_at_first, ME)._handle, ME)
    server.start()
    client = RpcClient(tmp_path / "s", ME, kind=kind, patience_s=0.0, silence_s=0.5)
    try:
        with pytest.raises(NetworkError):
            client.ask(Echo(1))
        client._silence_s = PATIENCE_S
        assert told.wait(PATIENCE_S)
        late.set()
        assert client.ask(Echo(2), patience_s=PATIENCE_S) == Said(2)
    finally:
        late.set()
        client.close()
        server.stop()


@SOCKETS
def test_a_closed_client_asks_nothing(tmp_path: Path, kind: SocketKind) -> None:
    server = RpcServer(tmp_path / "s", kind, handle, ME)
    server.start()
    client = client_of(tmp_path / "s", kind)
    assert client.ask(Echo(1)) == Said(1)
    client.close()
    client.close()
    with pytest.raises(NetworkError):
        client.ask(Echo(1))
    server.stop()


def test_a_recorder_waits_for_a_custodian_that_comes_back(tmp_path: Path) -> None:
    client = RpcClient(tmp_path / "s", ME, patience_s=PATIENCE_S, silence_s=PATIENCE_S)
    made = role_server(tmp_path / "s", FromRecorder, answer, ME)

    def come_back() -> None:
        while client._missed_s is None:  # it has found no server
            time.sleep(0.001)
        made.start()

    late = threading.Thread(target=come_back)
    late.start()
    try:
        assert client.ask(GetHeldSegments(2)).names == ("0", "1")
    finally:
        late.join()
        client.close()
        made.stop()


def test_an_answer_that_is_late_is_never_taken_for_the_next_askers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that stalls for seconds keeps the custodian from one question while the writer waits to ask another."""
    late, told = threading.Event(), threading.Event()

    def slow(question: FromRecorder) -> RoleAnswer:
        if isinstance(question, Notify):
            told.set()
            late.wait(PATIENCE_S)
            return Ack()
        return Signature(b"signed")

    server = role_server(tmp_path / "s", FromRecorder, slow, ME)
    client = RpcClient(tmp_path / "s", ME, patience_s=0.0, silence_s=1.0)
    unheard: list[NetworkError] = []
    asked: list[socket.socket] = []
    answer_on = client._answer_on

    def note(connection: socket.socket) -> Frame:
        asked.append(connection)
        if len(asked) == 2:
            # The next request is at the server, and its asker is about to read: at this moment the late answer comes.
            late.set()
        return answer_on(connection)

    def tell() -> None:
        try:
            client.ask(Notify("vault", "news"))
        except NetworkError as error:
            unheard.append(error)

    monkeypatch.setattr(client, "_answer_on", note)
    teller = threading.Thread(target=tell)
    server.start()
    try:
        teller.start()
        assert told.wait(PATIENCE_S)
        for _ in range(3):
            assert client.ask(Sign(b"record"), patience_s=PATIENCE_S) == Signature(b"signed")
        teller.join()
        assert len(unheard) == 1
    finally:
        late.set()
        client.close()
        server.stop()


def test_a_client_that_is_closed_waits_for_no_answer(tmp_path: Path) -> None:
    """The uplink asks for news on a connection on which the custodian takes its time."""
    asked, over = threading.Event(), threading.Event()

    def hang(_question: FromRecorder) -> RoleAnswer:
        asked.set()
        over.wait(4 * PATIENCE_S)
        return Ack()

    server = role_server(tmp_path / "s", FromRecorder, hang, ME)
    client = RpcClient(tmp_path / "s", ME, silence_s=2 * PATIENCE_S)
    unheard: list[NetworkError] = []

    def ask() -> None:
        try:
            client.ask(Notify("vault", "news"))
        except NetworkError as error:
            unheard.append(error)

    asker, closer = threading.Thread(target=ask), threading.Thread(target=client.close)
    server.start()
    try:
        asker.start()
        assert asked.wait(PATIENCE_S)
        closer.start()
        closer.join(PATIENCE_S)
        assert not closer.is_alive()
        asker.join(PATIENCE_S)
        assert len(unheard) == 1
    finally:
        over.set()
        closer.join()
        asker.join()
        server.stop()


def test_a_client_that_is_closed_while_it_connects_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def hang(_question: FromRecorder) -> RoleAnswer:
        over.wait(4 * PATIENCE_S)
        return Ack()

    server = role_server(tmp_path / "s", FromRecorder, hang, ME)
    client = RpcClient(tmp_path / "s", ME, silence_s=2 * PATIENCE_S)
    closer = threading.Thread(target=client.close)

    def look(_connection: socket.socket) -> int:
        closer.start()  # it has said so, and waits for the connection that is being made
        assert client._closed.wait(PATIENCE_S)
        return os.getuid()

    server.start()
    try:
        monkeypatch.setattr(rpc_client, "peer_uid", look)
        with pytest.raises(NetworkError):
            client.ask(Notify("vault", "news"))
        closer.join(PATIENCE_S)
        assert not closer.is_alive()
    finally:
        over.set()
        server.stop()


def test_an_answer_in_pieces_is_read_to_its_last_byte_and_not_beyond() -> None:
    """The bytes of the next answer stay at the socket."""
    waiting = [b"ab", b"cdefgh"]

    def recv(size: int) -> bytes:
        if not waiting:
            return b""
        piece, waiting[0] = waiting[0][:size], waiting[0][size:]
        waiting[:] = filter(None, waiting)
        return piece

    reader = rpc_client._AnswerReader(SimpleNamespace(recv=recv))  # type: ignore[arg-type]
    assert [reader.read(4), reader.read(0), reader.read(4)] == [b"abcd", b"", b"efgh"]
    with pytest.raises(ConnectionResetError):
        reader.read(1)


@pytest.mark.parametrize("what", ["closed meanwhile", "nobody listens", "another user"])
def test_a_connection_that_is_not_used_is_closed_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    made: list[socket.socket] = []
    socket_class = socket.socket

    def making(*arguments: int) -> socket.socket:
        made.append(socket_class(*arguments))
        return made[-1]

    monkeypatch.setattr(rpc_client, "socket", SimpleNamespace(**{**vars(socket), "socket": making}))
    client = RpcClient(tmp_path / "socket", frozenset({os.getuid()}), silence_s=7.0)
    error: type[OSError] = FileNotFoundError
    if what != "nobody listens":
        monkeypatch.setattr(client, "_dial", lambda _connection: None)
        monkeypatch.setattr(rpc_client, "peer_uid", lambda _peer: 12345 if what == "another user" else 0)
        error = PermissionError
    if what == "closed meanwhile":
        client.close()
        error = ConnectionAbortedError
    with pytest.raises(error):
        client._connect()
    (connection,) = made
    assert connection.fileno() == -1
    assert connection.timeout == 7.0
    assert client._socket is None
