"""The doorbell's end of the link: sessions of owners' clients over any carrier (agent/wire/link/LINK.md).

A request in a session is an operation of the page, with the same bytes, and the page's operations check and answer it.
The caller is the key that signed the handshake: an owner's approval key, or the glance key of a browser.

- A client that does not know the link's secret costs one MAC. 16 handshakes may be open, and each stays for 10 s.
- Eight sessions may be open. Each has eight streams, runs four requests at once, and ends after 60 s without a frame.
  A stream counts until its answer is made. A session that uses its number again before ends.
- All requests may hold 32 MiB together, and so may all answers. A session ends if a request of it does not fit and has
  more than 64 KiB. An answer is made once there is room for it, as on the page (`page.request_guard`).
- The requests of a session that is over are dropped, except those that run.
- `collect` makes frames only when the carrier takes them, and a session has at most 256 KiB on the way. So a client
  that does not read holds only its answers.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import structlog

from agent.custodian.page.request_guard import Caller, answer_bytes
from agent.errors import DoorwardError, InternalError, RequestError, StorageError
from agent.ipc.control_operations import GetLinkAddress, LinkAddressAnswer, RelayAccount
from agent.ipc.protocol import LinkFrame
from agent.ipc.rpc import refusal
from agent.ports import Entropy
from agent.wire.control import Frame, parse_frame, write_frame
from agent.wire.identities import PublicKey
from agent.wire.link.handshake import KNOCK_BYTES, DeviceHandshake, has_knock
from agent.wire.link.schedule import SESSION_ID_DIGITS, address_of
from agent.wire.link.session import MAX_FRAME_BYTES, EndReason, LinkSession, SessionEnded, StreamData

__all__ = ["LinkIdentity", "LinkSessions"]

_MOST_HANDSHAKES: Final = 16
_HANDSHAKE_S: Final = 10.0
_MOST_SESSIONS: Final = 8
_MOST_STREAMS: Final = 8
_RUNNING: Final = 4
_IDLE_S: Final = 60.0
"""A client in use sends a frame at least every 20 s."""
_ROOM_BYTES: Final = 32 << 20
_GLANCE_BYTES: Final = 64 << 10
"""Requests of a glance key."""
_PATIENCE_S: Final = 30.0
_REMEMBERED: Final = 1024
"""First messages that are refused when they come again."""
_HELLOS: Final = 16.0
_HELLOS_PER_S: Final = 4.0
"""First messages that are answered: each costs a signature and two key agreements."""
_MOST_OVER: Final = 64
_SIZED: Final = "live"
"""Live view shows its sizes by the number of its records anyway, and padding would be most of it on a slow link."""
_COLLECTED_BYTES: Final = 1 << 20
_NO_CALLER: Final = Caller(None, owner=False, claimed=True)
"""A key that was removed while its request waited: it may call nothing."""


@dataclass(frozen=True, slots=True)
class LinkIdentity:
    """The device in its links. `secrets`: of the newest two lists of owners. `caller`: what a key may do now, or
    None."""

    device: PublicKey
    sign: Callable[[bytes], bytes]
    secrets: Callable[[], tuple[bytes, ...]]
    caller: Callable[[PublicKey], Caller | None]
    relay: RelayAccount | None = None
    """For owners' clients that are away."""
    admitted: Callable[[PublicKey], None] = lambda _key: None
    """Told each key that opens a session. It must not wait for anything."""


@dataclass(slots=True)
class _LinkConnection:
    """A session id of a carrier: a handshake first, then a session."""

    last_heard_s: float
    """When its last authentic frame came."""
    handshake: DeviceHandshake | None
    session: LinkSession | None = None
    key: PublicKey | None = None
    requests: dict[int, bytearray] = field(default_factory=dict)
    """The part of each request that has come."""
    ready: deque[tuple[int, bytes]] = field(default_factory=deque)
    """Complete requests that wait for their turn."""
    running: dict[int, int] = field(default_factory=dict)
    """Streams with an answer that is being made, and the bytes of their requests."""
    reserved_bytes: int = 0
    """Room for its answers that are being made."""
    cancelled: set[int] = field(default_factory=set)
    """Streams in `running`; their answers are dropped."""

    @property
    def request_bytes(self) -> int:
        """Bytes of the requests that do not run yet."""
        return sum(map(len, self.requests.values())) + sum(len(data) for _stream, data in self.ready)

    def has_asked(self, stream: int) -> bool:
        """Returns whether a whole request of this stream has no answer yet."""
        return stream in self.running or any(stream == waiting for waiting, _data in self.ready)

    @property
    def answer_bytes(self) -> int:
        return self.session.queued_bytes if self.session is not None else 0


class LinkSessions:
    """`ports.LinkPort`: `deliver` and `collect` frames from any thread. `answer(name, frame, caller)` is the page's."""

    def __init__(
        self,
        identity: LinkIdentity,
        answer: Callable[[str, Frame, Caller], Frame],
        entropy: Entropy,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity = identity
        self._answer = answer
        self._entropy = entropy
        self._monotonic = monotonic
        self._log = structlog.get_logger("link")
        self._changed = threading.Condition()
        self._connections: OrderedDict[str, _LinkConnection] = OrderedDict()
        self._out: deque[LinkFrame] = deque(maxlen=_MOST_HANDSHAKES)
        self._over: deque[LinkFrame] = deque(maxlen=_MOST_OVER)
        self._heard: OrderedDict[bytes, None] = OrderedDict()
        self._tokens, self._filled_s = _HELLOS, monotonic()
        self._reserved_bytes = 0
        """For answers that are being made, also of sessions that have ended."""
        self._running_bytes = 0
        """Requests that run, also those of sessions that have ended."""
        self._workers = ThreadPoolExecutor(_MOST_SESSIONS * _RUNNING, "link")
        self._closed = False

    def addresses(self) -> tuple[str, ...]:
        """Returns the names of this doorbell at a relay, the newest first."""
        return tuple(address_of(secret) for secret in self._identity.secrets())

    def answer_address(self, _asked: GetLinkAddress, _body: bytes) -> tuple[dict[str, Any], bytes]:
        """Answers `GetLinkAddress`: the secret with which clients find this doorbell and begin a session."""
        newest = next(iter(self._identity.secrets()), None)
        if newest is None:
            raise RequestError("This doorbell has no owner yet.", remedy="Set it up first.")
        return msgspec.to_builtins(LinkAddressAnswer(newest.hex(), self._identity.relay)), b""

    def deliver(self, frames: Sequence[LinkFrame]) -> None:
        """Takes frames from a carrier. Raises `RequestError` for a frame that no carrier may pass on."""
        for each in frames:
            if not _is_id(each.session) or len(each.frame) > MAX_FRAME_BYTES:
                raise RequestError("A frame of the link has a wrong session or size.")
        with self._changed:
            for each in frames:
                self._on_frame(each.session, each.frame)
            self._changed.notify_all()

    def collect(self, wait_s: float) -> tuple[LinkFrame, ...]:
        """Returns frames to send, in their order. Returns an empty tuple after this long."""
        found: list[LinkFrame] = []
        with self._changed:
            self._changed.wait_for(lambda: self._take(found) or self._closed, wait_s)
        return tuple(found)

    def on_time(self) -> None:
        """Ends idle sessions, and sessions of removed keys. Call it every few seconds."""
        with self._changed:
            now_s = self._monotonic()
            for name, each in list(self._connections.items()):
                if each.session is None and now_s - each.last_heard_s > _HANDSHAKE_S:
                    del self._connections[name]
                elif each.session is not None and now_s - each.last_heard_s > _IDLE_S:
                    self._end(name, EndReason.IDLE)
                elif each.key is not None and self._identity.caller(each.key) is None:
                    self._end(name, EndReason.NOT_LISTED)
            self._changed.notify_all()

    def close(self) -> None:
        """Ends every session and waits for the requests that run."""
        with self._changed:
            for name in list(self._connections):
                self._end(name, EndReason.STOPPING)
            self._closed = True
            self._changed.notify_all()
        self._workers.shutdown(cancel_futures=True)

    # -- frames: with the lock held ------------------------------------------------------------------------------------

    def _on_frame(self, name: str, frame: bytes) -> None:
        found = self._connections.get(name)
        if self._closed:
            return
        if not frame:
            if found is not None:
                self._leave(name)
        elif found is None:
            self._on_first(name, frame)
        elif found.session is None:
            self._on_proof(name, found, frame)
        else:
            self._on_record(name, found, found.session, frame)

    def _on_first(self, name: str, frame: bytes) -> None:
        """The first frame under a session id. Only a client that knows the secret gets an answer."""
        if not any(has_knock(frame, secret) for secret in self._identity.secrets()):
            self._over.append(LinkFrame(name, b""))  # such as a session of before the last start
            return
        knock = frame[-KNOCK_BYTES:]
        # A relay can repeat a first message. Each answer costs a signature and two key agreements.
        if knock in self._heard or not self._take_token():
            return
        self._heard[knock] = None
        if len(self._heard) > _REMEMBERED:
            self._heard.popitem(last=False)
        try:
            handshake = DeviceHandshake(
                frame, self._identity.device, self._identity.sign, x25519=self._entropy.token(32)
            )
        except DoorwardError:
            return
        waiting = [each for each, connection in self._connections.items() if connection.session is None]
        # The oldest goes: a person who connects now must get in, also while many handshakes are left open.
        if len(waiting) >= _MOST_HANDSHAKES:
            del self._connections[waiting[0]]
        self._connections[name] = _LinkConnection(self._monotonic(), handshake)
        self._out.append(LinkFrame(name, handshake.answer))

    def _on_proof(self, name: str, found: _LinkConnection, frame: bytes) -> None:
        assert found.handshake is not None  # noqa: S101 — until there is a session
        try:
            key, session = found.handshake.finish(frame)
        except DoorwardError:
            return
        found.handshake, found.session, found.key, found.last_heard_s = None, session, key, self._monotonic()
        # Only after the signature: the answer to a stranger must not say whether a key is an owner's.
        if self._identity.caller(key) is None:
            self._end(name, EndReason.NOT_LISTED)
            return
        open_ones = [each for each, connection in self._connections.items() if connection.session is not None]
        # After the newcomer was counted: a key that opens one session too many gives way itself.
        if len(open_ones) > _MOST_SESSIONS:
            self._end(self._first_to_go(open_ones), EndReason.BUSY)
        session.ping()  # the client learns that it is let in
        self._identity.admitted(key)
        self._log.info("link_opened", key=key.id)

    def _first_to_go(self, names: list[str]) -> str:
        """A key with several sessions gives way first, so that no browser keeps the others out."""
        keys = [self._connections[name].key for name in names]
        return min(
            names, key=lambda name: (-keys.count(self._connections[name].key), self._connections[name].last_heard_s)
        )

    def _on_record(self, name: str, found: _LinkConnection, session: LinkSession, frame: bytes) -> None:
        before = session.received
        heard = session.receive(frame)
        # Only an authentic record counts as a sign of life. A relay that repeats old frames must not keep a session
        # open.
        if session.received != before:
            found.last_heard_s = self._monotonic()
        match heard:
            case SessionEnded():
                self._leave(name)
                self._over.append(LinkFrame(name, b""))
            case StreamData(stream=stream, cancelled=True):
                found.requests.pop(stream, None)
                found.ready = deque(each for each in found.ready if each[0] != stream)
                # A running request cannot be stopped. Its answer is dropped when it is made.
                found.cancelled |= {stream} & found.running.keys()
            case StreamData():
                self._on_request(name, found, heard)

    def _on_request(self, name: str, found: _LinkConnection, heard: StreamData) -> None:
        caller = self._caller(found)
        again = found.has_asked(heard.stream)
        request = found.requests.setdefault(heard.stream, bytearray())
        request += heard.data
        held = sum(each.request_bytes for each in self._connections.values()) + self._running_bytes
        streams = {*found.requests, *found.running, *(stream for stream, _data in found.ready)}
        limit = _ROOM_BYTES if caller is not None and caller.owner else _GLANCE_BYTES
        # A short request is not refused because of another session's long one.
        is_too_long = len(request) > (limit if held <= _ROOM_BYTES else _GLANCE_BYTES)
        if caller is None:
            self._end(name, EndReason.NOT_LISTED)
        elif again or len(streams) > _MOST_STREAMS or is_too_long:
            self._end(name, EndReason.BUSY)
        elif heard.last:
            del found.requests[heard.stream]
            # `_RUNNING` at once for each session, so eight sessions with slow answers leave a worker for every other
            # one.
            found.ready.append((heard.stream, bytes(request)))
            self._run_next(found)

    def _run_next(self, found: _LinkConnection) -> None:
        while found.ready and len(found.running) < _RUNNING and not self._closed:
            stream, data = found.ready.popleft()
            found.running[stream] = len(data)
            self._running_bytes += len(data)
            self._workers.submit(self._run, found, stream, data)

    def _take(self, found: list[LinkFrame]) -> bool:
        """Collects frames, one of each session in turn."""
        size = 0
        for waiting in (self._over, self._out):
            while waiting:
                found.append(waiting.popleft())
                size += len(found[-1].frame)
        moved = True
        while moved and size < _COLLECTED_BYTES:
            moved = False
            for name, each in self._connections.items():
                # Sealed only now: the counter of the cipher is the order on the wire, and frames of other streams may
                # go before.
                frame = each.session.next_frame() if each.session is not None else None
                if frame is not None:
                    found.append(LinkFrame(name, frame))
                    size += len(frame)
                    moved = True
        if found:
            self._changed.notify_all()  # there may be room for an answer now
        return bool(found)

    def _end(self, name: str, reason: EndReason) -> None:
        frame = self._leave(name, reason)
        if frame is not None:
            self._over.append(LinkFrame(name, frame))

    def _leave(self, name: str, reason: EndReason = EndReason.CLOSED) -> bytes | None:
        """Forgets a session and what it has asked. Returns the last frame for its client, if it needs one."""
        found = self._connections.pop(name)
        found.requests.clear()
        found.ready.clear()
        return found.session.end(reason) if found.session is not None else None

    def _take_token(self) -> bool:
        now_s = self._monotonic()
        self._tokens = min(_HELLOS, self._tokens + (now_s - self._filled_s) * _HELLOS_PER_S)
        self._filled_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _caller(self, found: _LinkConnection) -> Caller | None:
        return self._identity.caller(found.key) if found.key is not None else None

    # -- requests: on a worker's thread --------------------------------------------------------------------------------

    def _run(self, found: _LinkConnection, stream: int, data: bytes) -> None:
        """Makes an answer once there is room for it: its size is known afterwards only."""
        operation = _operation_in(data)
        size = answer_bytes(operation)
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: self._is_dropped(found, stream) or self._fits(found, size), _PATIENCE_S
            )
            # A refusal takes no room worth counting, so it is sent although the room is full.
            size *= has_room
            found.reserved_bytes += size
            self._reserved_bytes += size
        if has_room:
            answer = write_frame(self._answered(found, data))
        else:
            error = StorageError("The doorbell still sends earlier answers.", remedy="Try again in a minute.")
            answer = write_frame(refusal(error))
        with self._changed:
            found.reserved_bytes -= size
            self._reserved_bytes -= size
            session = found.session
            assert session is not None  # noqa: S101 — it has asked
            # The session may have ended while the answer was made.
            if not self._is_dropped(found, stream):
                session.send(stream, answer, last=True, fine=operation == _SIZED)
            self._running_bytes -= found.running.pop(stream, 0)
            found.cancelled.discard(stream)
            self._run_next(found)
            self._changed.notify_all()

    def _is_dropped(self, found: _LinkConnection, stream: int) -> bool:
        return found.session is None or found.session.ended is not None or stream in found.cancelled

    def _fits(self, found: _LinkConnection, size: int) -> bool:
        """A session gets half of the room while others hold some. An answer larger than that goes alone."""
        held = sum(each.answer_bytes for each in self._connections.values()) + self._reserved_bytes
        own = found.answer_bytes + found.reserved_bytes
        if self._closed or not held:
            return True
        return held + size <= _ROOM_BYTES and (not own or own + size <= _ROOM_BYTES // 2)

    def _answered(self, found: _LinkConnection, data: bytes) -> Frame:
        """Returns the answer, or the refusal of any error."""
        try:
            # Looked up again: the owners may have changed while the request waited for room.
            caller = self._caller(found) or _NO_CALLER
            frame = parse_frame(data)
            return self._answer(str(frame.head.get("op")), frame, caller)
        except DoorwardError as error:
            return refusal(error)
        except Exception as error:  # noqa: BLE001 — one request's bug must not end the session
            self._log.exception("link_failed", error=type(error).__name__)
            unknown = InternalError("The device met a case that it does not know.", remedy="Its log has the place.")
            return refusal(unknown)


def _operation_in(data: bytes) -> str:
    try:
        return str(parse_frame(data).head.get("op"))
    except DoorwardError:
        return ""


def _is_id(name: str) -> bool:
    return len(name) == SESSION_ID_DIGITS and set(name) <= set("0123456789abcdef")
