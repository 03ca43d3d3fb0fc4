"""The sockets between the roles: bounded, checked on both ends, and patient with a custodian that restarts."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.vault.manifest import PAYLOAD_TYPE
from agent.custodian.ipc_handlers import RecorderIpcHandler, StatusReports
from agent.custodian.live_buffer import LiveBuffer
from agent.errors import FormatError, InternalError, NetworkError, RequestError
from agent.ipc import rpc
from agent.ipc.protocol import (
    MAX_REQUEST_BYTES,
    Ack,
    Answer,
    DeliverMessage,
    FromRecorder,
    FromUplink,
    GetHeldSegments,
    GetOutgoing,
    HeldSegments,
    Notify,
    ReportStatus,
    Sign,
    Signature,
    frame,
)
from agent.ipc.rpc import IpcClient, IpcServer
from agent.wire.envelope import pae

ME = frozenset({os.getuid()})


def answer(question: FromRecorder) -> Answer:
    match question:
        case GetHeldSegments(stored=stored):
            return HeldSegments(tuple(map(str, range(stored))), 5)
        case Notify(kind="refuse"):
            raise RequestError("No.", remedy="Ask better.")
        case Notify(kind="break"):
            raise KeyError("a bug")
        case _:
            return Ack()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IpcServer[FromRecorder]]:
    made: IpcServer[FromRecorder] = IpcServer(tmp_path / "s", FromRecorder, answer, ME)  # type: ignore[arg-type]
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(server: IpcServer[FromRecorder], tmp_path: Path) -> Iterator[IpcClient]:
    made = IpcClient(tmp_path / "s", ME, patience_s=5.0)
    yield made
    made.close()


def raw(path: Path, data: bytes) -> bytes:
    """Returns the server's answer to these bytes, until it closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(5)
        line.connect(str(path))
        try:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(4096), b""))
        except ConnectionError:  # thrown out with words still unread
            return b""


def test_questions_are_answered_and_errors_keep_their_class_and_remedy(client: IpcClient) -> None:
    assert client.ask(GetHeldSegments(3), HeldSegments).names == ("0", "1", "2")
    with pytest.raises(RequestError, match=r"^No\. Ask better\.$"):
        client.ask(Notify("refuse", ""), Ack)
    with pytest.raises(InternalError, match="does not know"):
        client.ask(Notify("break", ""), Ack)
    assert client.ask(ReportStatus({}), Ack) == Ack()


def test_a_peer_of_another_user_is_shown_out(tmp_path: Path) -> None:
    made: IpcServer[FromRecorder] = IpcServer(tmp_path / "s", FromRecorder, answer, frozenset({4_000_000}))  # type: ignore[arg-type]
    made.start()
    try:
        assert raw(tmp_path / "s", b"") == b""
        with pytest.raises(NetworkError):
            IpcClient(tmp_path / "s", ME, patience_s=0.0).ask(GetHeldSegments(1), HeldSegments)
    finally:
        made.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        (MAX_REQUEST_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\x02{}",
        b"\0\0\0\x10not JSON at all!",
        b"\0\0\0\x04\xff\xfe\xfd\xfc",
        b"\0\0\0\x1d" + b'{"type":"GetOutgoing","x": 1}',
        b"\0\0\0\x16" + b'{"type":"GetOutgoing"}',
    ],
    ids=["4 GB", "one too many", "no kind", "no JSON", "no UTF-8", "a key too many", "the uplink's question"],
)
def test_what_does_not_belong_ends_the_connection_and_nothing_else(
    data: bytes, server: IpcServer[FromRecorder], client: IpcClient, tmp_path: Path
) -> None:
    assert raw(tmp_path / "s", data) == b""
    assert client.ask(GetHeldSegments(1), HeldSegments).names == ("0",)


def test_a_question_too_long_is_not_sent(client: IpcClient) -> None:
    with pytest.raises(FormatError, match="allowed are"):
        client.ask(Notify("x", "y" * MAX_REQUEST_BYTES), Ack)


def test_a_recorder_waits_for_a_custodian_that_comes_back(tmp_path: Path) -> None:
    client = IpcClient(tmp_path / "s", ME, patience_s=20.0)
    made: IpcServer[FromRecorder] = IpcServer(tmp_path / "s", FromRecorder, answer, ME)  # type: ignore[arg-type]
    late = threading.Timer(0.5, made.start)
    late.start()
    try:
        assert client.ask(GetHeldSegments(2), HeldSegments).names == ("0", "1")
    finally:
        late.join()
        client.close()
        made.stop()


def desk(signed: list[bytes]) -> RecorderIpcHandler:
    def sign(encoding: bytes) -> bytes:
        signed.append(encoding)
        return b"signature"

    class Nobody:
        def held(self, stored_segments: int) -> frozenset[str]:
            return frozenset()

        def notify(self, kind: str, text: str, once: str = "") -> None: ...

    return RecorderIpcHandler(lambda: None, sign, Nobody(), lambda: b"", Nobody(), StatusReports(None), LiveBuffer())  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("status", [{}, {"link": 5, "remedy": ""}, {"link": ["connected"]}, {"state": "watching"}])
@pytest.mark.parametrize("role", ["uplink", "recorder"])
def test_a_report_that_says_nothing_ends_no_thread_of_the_custodians(role: str, status: dict[str, object]) -> None:
    class Now:
        def now(self) -> ClockReading:
            return ClockReading(BootNs(0), UtcNs(0), ClockQuality.SYNCED)

    reports = StatusReports(Now())  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="cannot be used"):
        reports.record(role, status)
    assert reports.status_of(role) is None, "what reads it finds nobody, and says so"


def test_an_answer_that_is_late_is_never_taken_for_the_next_askers(tmp_path: Path) -> None:
    """A card that stalls for seconds keeps the custodian from one question while the writer waits to ask another."""
    late, told = threading.Event(), threading.Event()

    def slow(question: FromRecorder) -> Answer:
        if isinstance(question, Notify):
            told.set()
            late.wait(60)
            return Ack()
        return Signature(b"signed")

    server: IpcServer[FromRecorder] = IpcServer(tmp_path / "s", FromRecorder, slow, ME)  # type: ignore[arg-type]
    client = IpcClient(tmp_path / "s", ME, patience_s=0.0, silence_s=1.0)
    unheard: list[NetworkError] = []

    def tell() -> None:
        try:
            client.ask(Notify("vault", "news"), Ack)
        except NetworkError as error:
            unheard.append(error)
            # The next to ask waits for the lock: it asks at this moment, and before the answer comes.
            late_answer.start()

    late_answer = threading.Timer(0.5, late.set)
    teller = threading.Thread(target=tell)
    server.start()
    try:
        teller.start()
        assert told.wait(10)
        for _ in range(3):
            assert client.ask(Sign(b"record"), Signature, patience_s=10.0) == Signature(b"signed")
        teller.join()
        late_answer.join()
        assert len(unheard) == 1
    finally:
        late.set()
        client.close()
        server.stop()


def test_whoever_stops_waits_for_no_answer(tmp_path: Path) -> None:
    """The uplink asks for news on a connection on which the custodian takes its time."""
    asked, over = threading.Event(), threading.Event()

    def hang(_question: FromRecorder) -> Answer:
        asked.set()
        over.wait(60)
        return Ack()

    server: IpcServer[FromRecorder] = IpcServer(tmp_path / "s", FromRecorder, hang, ME)  # type: ignore[arg-type]
    client = IpcClient(tmp_path / "s", ME, silence_s=60.0)
    unheard: list[NetworkError] = []

    def ask() -> None:
        try:
            client.ask(Notify("vault", "news"), Ack)
        except NetworkError as error:
            unheard.append(error)

    asker, closer = threading.Thread(target=ask), threading.Thread(target=client.close)
    server.start()
    try:
        asker.start()
        assert asked.wait(10)
        closer.start()
        closer.join(10)
        assert not closer.is_alive()
        asker.join(10)
        assert len(unheard) == 1
    finally:
        over.set()
        closer.join()
        asker.join()
        server.stop()


def test_whoever_is_closed_while_it_connects_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(_question: FromRecorder) -> Answer:
        over.wait(60)
        return Ack()

    server: IpcServer[FromRecorder] = IpcServer(tmp_path / "s", FromRecorder, hang, ME)  # type: ignore[arg-type]
    client = IpcClient(tmp_path / "s", ME, silence_s=60.0)
    closer = threading.Thread(target=client.close)

    def look(_connection: socket.socket) -> int:
        closer.start()  # it has said so, and waits for the connection that is being made
        assert client._closed.wait(30)
        return os.getuid()

    server.start()
    try:
        monkeypatch.setattr(rpc, "peer_uid", look)
        with pytest.raises(NetworkError):
            client.ask(Notify("vault", "news"), Ack)
        closer.join(30)
        assert not closer.is_alive()
    finally:
        over.set()
        server.stop()


def test_what_is_no_answer_costs_its_connection_and_not_the_next_question(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    good = frame(Ack(), 1 << 10)
    answers = [good[:4] + bytes(len(good) - 4), good]

    def serve() -> None:
        for each in answers:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1 << 16)
                peer.sendall(each)
                peer.recv(1)

    serving = threading.Thread(target=serve)
    serving.start()
    client = IpcClient(tmp_path / "s", ME, patience_s=0.0)
    with pytest.raises(FormatError):
        client.ask(Notify("vault", "news"), Ack)
    assert client.ask(Notify("vault", "news"), Ack) == Ack()
    client.close()
    serving.join()
    listener.close()


def test_a_manifest_record_is_signed_for_the_recorder() -> None:
    signed: list[bytes] = []
    encoding = pae(PAYLOAD_TYPE, b'{"a record": 1}')
    assert desk(signed).handle(Sign(encoding)) == Signature(b"signature")
    assert signed == [encoding]


@pytest.mark.parametrize(
    "encoding",
    [
        b"",
        b"a checkpoint\n1\nroot\n",
        pae("application/vnd.doorward.disclosure+json", b"{}"),
        pae(PAYLOAD_TYPE + "x", b"{}"),
        pae(PAYLOAD_TYPE, b"{}") + b"more",
        pae(PAYLOAD_TYPE, b"{}").replace(b" 2 ", b" 3 "),
        b"DSSEv1" + pae(PAYLOAD_TYPE, b"{}"),
    ],
)
def test_nothing_else_is_ever_signed_for_the_recorder(encoding: bytes) -> None:
    signed: list[bytes] = []
    with pytest.raises(RequestError):
        desk(signed).handle(Sign(encoding))
    assert signed == []


def test_neither_desk_knows_the_others_questions() -> None:
    recorders, uplinks = set(FromRecorder.__args__), set(FromUplink.__args__)  # type: ignore[attr-defined]
    assert recorders & uplinks == {ReportStatus}
    assert {DeliverMessage, GetOutgoing} <= uplinks
    assert Sign in recorders - uplinks
