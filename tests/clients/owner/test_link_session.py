"""The owner's end of the link on a computer: it asks as through the control socket, and says why when it cannot."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.owner import link_session
from agent.clients.owner.link_session import OwnerSession
from agent.clients.owner.sync import sync
from agent.custodian.link_sessions import LinkIdentity, LinkSessions
from agent.custodian.page.request_guard import Caller
from agent.errors import NetworkError, OpenError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetStatus
from agent.ipc.protocol import LinkFrame
from agent.ipc.rpc_server import control_server
from agent.platform.system_clock import SystemEntropy
from agent.wire.control import Frame, write_frame
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.link.session import EndReason, SessionEnded, StreamData
from tests.custodian.page.door import a_door

DEVICE, OWNER, STRANGER = (private_key_from_seed(bytes([number]) * 32) for number in (1, 2, 3))
SECRET = b"\7" * 32
NAME = "ab" * 16


class MemoryCarrier:
    """Passes frames between a client and a doorbell in this process. `lose`: frames to the client that it loses."""

    def __init__(self, link: LinkSessions) -> None:
        self._link = link
        self._came: queue.Queue[bytes | None] = queue.Queue()
        self._open = True
        self.lose = 0
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    def _collect(self) -> None:
        while self._open:
            for each in self._link.collect(0.05):
                if self.lose:
                    self.lose -= 1
                else:
                    self._came.put(each.frame)

    def send(self, frame: bytes) -> None:
        if not self._open:
            raise NetworkError("The relay has closed the connection.")
        self._link.deliver([LinkFrame(NAME, frame)])

    def receive(self, timeout_s: float) -> bytes | None:
        try:
            found = self._came.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if found is None:
            raise NetworkError("The relay has closed the connection.")
        return found

    def close(self) -> None:
        self._open = False
        self._came.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()


class Doorbell:
    def __init__(self) -> None:
        self.listed = {public_key_of(OWNER): Caller(None, owner=True, claimed=True, link=True)}
        self.held = threading.Event()
        self.held.set()
        identity = LinkIdentity(public_key_of(DEVICE), DEVICE.sign, lambda: (SECRET,), self.listed.get)
        self.link = LinkSessions(identity, self._answer, SystemEntropy())
        self.carriers: list[MemoryCarrier] = []

    def _answer(self, name: str, frame: Frame, _caller: Caller) -> Frame:
        assert self.held.wait(20)
        return Frame({"ok": True, "result": {"op": name}}, frame.body)

    def session(self, key: Ed25519PrivateKey = OWNER, device: Ed25519PrivateKey = DEVICE) -> OwnerSession:
        self.carriers.append(MemoryCarrier(self.link))
        return OwnerSession(self.carriers[-1], SECRET, public_key_of(device), key)


@pytest.fixture
def doorbell() -> Iterator[Doorbell]:
    found = Doorbell()
    yield found
    found.held.set()
    for each in found.carriers:
        each.close()
    found.link.close()


def test_requests_of_many_threads_get_their_answers(doorbell: Doorbell) -> None:
    session = doorbell.session()
    bodies = [bytes([number]) * (number * 50_000) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda body: session.exchange(Frame({"op": "status"}, body)), bodies))
    assert [each.body for each in answers] == bodies
    assert session._waiting == {}, "and none of them is kept"
    session.close()
    session.close()
    with pytest.raises(NetworkError, match="closed"):
        session.exchange(Frame({"op": "status"}))


def test_a_command_works_through_a_local_socket_as_through_the_control_socket(tmp_path: Path) -> None:
    with a_door(tmp_path / "door") as door:
        keys = door.claim()
        link = door.solo.link
        assert link is not None
        secret = door.solo.custodian.control.answer(Frame({"op": "link_address"})).head["result"]["secret"]
        carrier = MemoryCarrier(link)
        session = OwnerSession(carrier, bytes.fromhex(secret), door.solo.device, keys.approval)
        server = control_server(tmp_path / "forwarded.sock", session.exchange)
        server.start()
        try:
            with DeviceLink(tmp_path / "forwarded.sock") as device:
                assert device.ask(GetStatus()).device == "front-door"
                assert sync(device, keys).key == door.solo.device
        finally:
            server.stop()
            session.close()


def test_a_device_that_is_not_the_owners_is_not_asked(doorbell: Doorbell) -> None:
    with pytest.raises(OpenError, match="Another device"):
        doorbell.session(device=STRANGER)
    with pytest.raises(NetworkError, match="has closed"):
        doorbell.carriers[-1].send(b"the carrier is closed")


def test_a_key_that_is_not_listed_is_told_so(doorbell: Doorbell) -> None:
    with pytest.raises(NetworkError, match="does not list this key"):
        doorbell.session(STRANGER)
    with pytest.raises(NetworkError, match="has closed"):
        doorbell.carriers[-1].send(b"the carrier is closed")


def test_without_an_answer_there_is_no_session(doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_session, "_HANDSHAKE_S", 0.1)
    carrier = MemoryCarrier(doorbell.link)
    doorbell.carriers.append(carrier)
    carrier.lose = 1
    with pytest.raises(NetworkError, match="does not answer"):
        OwnerSession(carrier, SECRET, public_key_of(DEVICE), OWNER)
    with pytest.raises(NetworkError, match="has closed"):
        carrier.send(b"the carrier is closed")


def test_a_request_without_an_answer_is_given_up_and_the_session_goes_on(
    doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = doorbell.session()
    doorbell.held.clear()
    monkeypatch.setattr(link_session, "_ANSWER_S", 0.1)
    with pytest.raises(NetworkError, match="does not answer"):
        session.exchange(Frame({"op": "status"}))
    doorbell.held.set()
    monkeypatch.setattr(link_session, "_ANSWER_S", 20.0)
    assert session.exchange(Frame({"op": "list"})).head["result"] == {"op": "list"}
    session.close()


def test_a_removed_key_a_lost_frame_and_a_closed_connection_end_the_wait_in_words(doorbell: Doorbell) -> None:
    def removed() -> None:
        doorbell.listed.clear()
        doorbell.link.on_time()

    def closed() -> None:
        doorbell.carriers[-1].close()

    def lost() -> None:
        doorbell.carriers[-1].lose = 1
        doorbell.held.set()
        doorbell.link._connections[NAME].session.ping()  # type: ignore[union-attr]

    listed = dict(doorbell.listed)
    for happens, words in (
        (removed, "does not list"),
        (lost, "is over"),
        (closed, "relay has closed"),
    ):
        doorbell.listed.update(listed)
        session = doorbell.session()
        doorbell.held.clear()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(session.exchange, Frame({"op": "status"}))
            happens()
            with pytest.raises(NetworkError, match=words):
                asked.result(20)
        doorbell.held.set()
        session.close()
        doorbell.link.deliver([LinkFrame(NAME, b"")])


def test_a_session_in_use_is_kept_open(doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_session, "_PING_S", 0.0)
    monkeypatch.setattr(link_session, "_LOOK_S", 0.01)
    session = doorbell.session()
    connection = doorbell.link._connections[NAME]
    waited = threading.Event()
    for _ in range(500):
        if connection.session is not None and connection.session.received > 3:
            break
        waited.wait(0.02)
    else:
        pytest.fail("it sends nothing")
    session.close()


def test_an_answer_longer_than_any_operation_gives_ends_the_session(
    doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A doorbell that was taken over could fill the memory of the owner's computer."""
    monkeypatch.setattr(link_session, "_LARGEST_BYTES", 100_000)
    session = doorbell.session()
    assert len(session.exchange(Frame({"op": "status"}, bytes(90_000))).body) == 90_000
    with pytest.raises(NetworkError, match="answer is too long"):
        session.exchange(Frame({"op": "status"}, bytes(101_000)))
    session.close()


def test_a_connection_that_breaks_while_a_request_is_sent_ends_the_wait_at_once(doorbell: Doorbell) -> None:
    session = doorbell.session()

    def broken(_frame: bytes) -> None:
        raise NetworkError("The relay has closed the connection.")

    doorbell.carriers[-1].send = broken  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(NetworkError, match="relay has closed"):
            session.exchange(Frame({"op": "status"}))
    assert session._session.ended is EndReason.CLOSED, "it takes no frame that comes late"
    session.close()


def test_an_answer_that_is_no_frame_is_a_fault_of_the_device(doorbell: Doorbell) -> None:
    session = doorbell.session()
    doorbell.held.clear()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(session.exchange, Frame({"op": "status"}))
        while 1 not in doorbell.link._connections[NAME].running:
            threading.Event().wait(0.01)
        doorbell.link._connections[NAME].session.send(1, b"no frame", last=True)  # type: ignore[union-attr]
        with pytest.raises(NetworkError, match="cannot be read"):
            asked.result(20)
    doorbell.held.set()
    session.close()


# -- step by step, without a doorbell ----------------------------------------------------------------------------------


class Session:
    """In place of the session: each call is a frame to send, and each frame that comes says what `says` has for it."""

    def __init__(self) -> None:
        self.says: dict[bytes, Any] = {}
        self._frames: list[bytes] = []
        self._ended = False

    def send(self, stream: int, data: bytes, *, last: bool) -> None:
        self._frames.append(b"send %d %d " % (stream, last) + data)

    def cancel(self, stream: int) -> None:
        self._frames.append(b"cancel %d" % stream)

    def ping(self) -> None:
        self._frames.append(b"ping")

    def end(self, reason: EndReason) -> bytes | None:
        ended, self._ended = self._ended, True
        return None if ended else b"end %d" % reason

    def next_frame(self) -> bytes | None:
        return self._frames.pop(0) if self._frames else None

    def receive(self, frame: bytes) -> Any:
        return self.says[frame]


class Carrier:
    """It notes what this thread sends. `answers`: what comes when it is sent. Its end is told late."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answers: dict[bytes, bytes] = {}
        self.closed = 0
        self._came: queue.Queue[bytes] = queue.Queue()
        self._thread = threading.current_thread()

    def send(self, frame: bytes) -> None:
        if threading.current_thread() is self._thread:
            self.sent.append(frame)
        if frame in self.answers:
            self._came.put(self.answers[frame])

    def receive(self, timeout_s: float) -> bytes | None:
        assert timeout_s == 0.5
        frame = self._came.get(timeout=20)
        if frame == b"closed":
            threading.Event().wait(0.05)
            raise NetworkError("The carrier is closed.")
        return frame

    def close(self) -> None:
        self.closed += 1
        self._came.put(b"closed")


def test_a_request_is_sent_at_once_and_an_end_is_told_to_the_device_and_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carrier, below = Carrier(), Session()
    monkeypatch.setattr(OwnerSession, "_begin", lambda *_: below)
    request = Frame({"op": "status"}, b"body")
    asked = [b"send %d 1 " % stream + write_frame(request) for stream in (1, 2)]
    carrier.answers = {asked[0]: b"an answer"}
    below.says = {b"an answer": StreamData(1, write_frame(Frame({"ok": True})), last=True)}
    session = OwnerSession(carrier, b"", public_key_of(DEVICE), OWNER)
    assert session.exchange(request) == Frame({"ok": True})
    monkeypatch.setattr(link_session, "_ANSWER_S", 0.01)
    with pytest.raises(NetworkError) as refused:
        session.exchange(request)
    assert str(refused.value) == "The doorbell does not answer. Is the doorbell on, and connected to the relay?"
    session.close()
    assert not session._reader.is_alive()
    assert (carrier.sent, carrier.closed) == ([*asked, b"cancel 2", b"end 1"], 1)
    session.close()
    assert carrier.sent[-1:] == [b"end 1"], "once"
    with pytest.raises(NetworkError) as refused:
        session.exchange(request)
    assert str(refused.value) == "The session is closed. Connect again.", "the first reason is the one that is told"


class Clocked(Carrier):
    """Each frame comes at its time, on this thread. After the last one the carrier is closed."""

    def __init__(self, *frames: tuple[float, bytes | None]) -> None:
        super().__init__()
        self._frames = list(frames)
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def receive(self, timeout_s: float) -> bytes | None:
        self.sent.append(b"|")
        if not self._frames:
            raise NetworkError("The carrier is closed.")
        self.now_s, frame = self._frames.pop(0)
        return frame


def read(carrier: Clocked, below: Session, monkeypatch: pytest.MonkeyPatch, *streams: int) -> OwnerSession:
    """Reads all frames of the carrier. Requests wait on these streams."""
    monkeypatch.setattr(link_session, "time", carrier)
    session = OwnerSession.__new__(OwnerSession)
    vars(session).update(_carrier=carrier, _lock=threading.Lock(), _waiting={}, _error=None, _session=below)
    for stream in streams:
        session._waiting[stream] = link_session._Waiting(bytearray(), threading.Event())
    session._read()
    return session


def test_a_session_is_shown_to_be_in_use_every_twenty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = (1000.5, 1019.9, 1020.0, 1020.5, 1039.9, 1040.0)
    carrier = Clocked(*((each, None) for each in times))
    read(carrier, Session(), monkeypatch)
    assert b"".join(carrier.sent) == b"|||" + b"ping" + b"|||" + b"ping" + b"|"


def test_pieces_make_an_answer_and_what_is_for_no_request_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    below = Session()
    below.says = {
        b"1": StreamData(7, b"one "), b"2": StreamData(9, b"for no request", last=True), b"3": None,
        b"4": StreamData(7, b"two", last=True),
    }  # fmt: skip
    session = read(Clocked(*((1000.0, each) for each in below.says)), below, monkeypatch, 7, 8)
    assert [bytes(each.answer) for each in session._waiting.values()] == [b"one two", b""]
    assert str(session._error) == "The carrier is closed."
    assert all(each.done.is_set() for each in session._waiting.values()), "none waits any longer"


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (SessionEnded(EndReason.NOT_LISTED), "The doorbell does not list this key. Ask an owner to add it."),
        (
            SessionEnded(EndReason.BUSY),
            "Too many clients are connected to the doorbell. Close one of them and try again.",
        ),
        (SessionEnded(EndReason.IDLE), "The doorbell ended the session, because it heard nothing. Connect again."),
        (SessionEnded(EndReason.STOPPING), "The doorbell stops. Connect again in a minute."),
        (SessionEnded(EndReason.CLOSED), "The session with the doorbell is over. Connect again."),
        (StreamData(7, bytes(11)), "The doorbell's answer is too long. Install one version on both."),
    ],
)
def test_an_end_is_told_in_words_and_no_ping_follows_it(
    monkeypatch: pytest.MonkeyPatch, says: object, words: str
) -> None:
    monkeypatch.setattr(link_session, "_LARGEST_BYTES", 10)
    below = Session()
    below.says = {b"fits": StreamData(7, bytes(10)), b"over": says}
    if isinstance(says, StreamData):
        below.says[b"fits"] = None
    carrier = Clocked((1000.0, b"fits"), (1020.0, b"over"), (1021.0, b"fits"))
    session = read(carrier, below, monkeypatch, 7)
    assert (str(session._error), carrier.sent) == (words, [b"|", b"|"])
    assert session._waiting[7].done.is_set()
    assert below.end(EndReason.CLOSED) is None, "it has ended"


def test_an_empty_frame_is_the_end_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    session = read(Clocked((1000.0, b"")), Session(), monkeypatch, 7)
    assert str(session._error) == "The session with the doorbell is over. Connect again."
