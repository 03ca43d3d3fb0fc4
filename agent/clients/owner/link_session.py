"""The owner's end of the link: a session with a doorbell over any carrier of frames (agent/wire/link/LINK.md).

`OwnerSession.exchange` passes on one frame of the control socket and returns the answer. So a local socket that it
serves (`agent.ipc.rpc_server.control_server`) works like a control socket that `ssh -L` forwards.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import FormatError, NetworkError, OpenError
from agent.wire.control import MAX_BODY_BYTES, MAX_HEAD_BYTES, Frame, parse_frame, write_frame
from agent.wire.identities import PublicKey, public_key_of
from agent.wire.link.handshake import ClientHandshake
from agent.wire.link.session import EndReason, LinkSession, SessionEnded, StreamData

__all__ = ["FrameCarrier", "OwnerSession"]

_HANDSHAKE_S: Final = 15.0
_ANSWER_S: Final = 60.0
_PING_S: Final = 20.0
_LOOK_S: Final = 0.5
_LARGEST_BYTES: Final = MAX_HEAD_BYTES + MAX_BODY_BYTES + 8
_REMEDY: Final = "Is the doorbell on, and connected to the relay?"
_WORDS: Final = {
    EndReason.NOT_LISTED: ("The doorbell does not list this key.", "Ask an owner to add it."),
    EndReason.BUSY: ("Too many clients are connected to the doorbell.", "Close one of them and try again."),
    EndReason.IDLE: ("The doorbell ended the session, because it heard nothing.", "Connect again."),
    EndReason.STOPPING: ("The doorbell stops.", "Connect again in a minute."),
}


class FrameCarrier(Protocol):
    """Passes frames on, in their order, each whole. An empty frame: the session is over."""

    def send(self, frame: bytes) -> None:
        """Raises `NetworkError`."""
        ...

    def receive(self, timeout_s: float) -> bytes | None:
        """Returns the next frame, or None if none has come in time. Raises `NetworkError` once it is closed."""
        ...

    def close(self) -> None:
        """Ends every wait in `receive`. Idempotent."""
        ...


@dataclass(slots=True)
class _Waiting:
    """A request without its whole answer."""

    answer: bytearray
    done: threading.Event


class OwnerSession:
    """A session with one doorbell. `exchange` from any thread; `close` ends it."""

    def __init__(self, carrier: FrameCarrier, secret: bytes, device: PublicKey, key: Ed25519PrivateKey) -> None:
        """`secret`: of the operation `link_address`. Raises `OpenError` if another device answers, and `NetworkError`
        if none does or the device refuses the key."""
        self._carrier = carrier
        self._lock = threading.Lock()
        self._streams = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._error: NetworkError | None = None
        self._session = self._begin(secret, device, key)
        self._reader = threading.Thread(target=self._read, name="link session")
        self._reader.start()

    def exchange(self, request: Frame) -> Frame:
        """Returns the device's answer, a refusal included. Raises `NetworkError` if it stays away."""
        waiting = _Waiting(bytearray(), threading.Event())
        data = write_frame(request)
        with self._lock:
            if self._error is not None:
                raise self._error
            # Never used again in a session: an answer that comes late must not pass for that of another request.
            stream = next(self._streams)
            self._waiting[stream] = waiting
            self._session.send(stream, data, last=True)
            self._flush()
        answered = waiting.done.wait(_ANSWER_S)
        with self._lock:
            self._waiting.pop(stream, None)
            if self._error is not None:
                raise self._error
            if not answered:
                # Otherwise the doorbell would send an answer that no one waits for, over a slow relay.
                self._session.cancel(stream)
                self._flush()
                raise NetworkError("The doorbell does not answer.", remedy=_REMEDY)
        try:
            return parse_frame(bytes(waiting.answer))
        except FormatError as error:
            raise NetworkError(
                "The doorbell's answer cannot be read.", remedy="Install one version on both."
            ) from error

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            last = self._session.end(EndReason.CLOSED)
            if last is not None:
                self._send(last)
            self._over(NetworkError("The session is closed.", remedy="Connect again."))
        self._carrier.close()
        self._reader.join()

    def _begin(self, secret: bytes, device: PublicKey, key: Ed25519PrivateKey) -> LinkSession:
        shares = (secrets.token_bytes(32), secrets.token_bytes(64))
        handshake = ClientHandshake(secret, device, public_key_of(key), key.sign, x25519=shares[0], mlkem=shares[1])
        try:
            self._carrier.send(handshake.hello)
            proof, session = handshake.finish(self._first())
            self._carrier.send(proof)
            # The doorbell's first frame says that it let this key in. Until then a refused key would look like silence.
            match session.receive(self._first()):
                case SessionEnded(reason=reason):
                    raise _ended(reason)
        except FormatError as error:  # an `OpenError` too
            self._carrier.close()
            raise OpenError(
                "Another device answered in place of the doorbell.", remedy="Compare the key of the doorbell."
            ) from error
        except NetworkError:
            self._carrier.close()
            raise
        return session

    def _first(self) -> bytes:
        """The next frame of the handshake."""
        frame = self._carrier.receive(_HANDSHAKE_S)
        if not frame:
            raise NetworkError("The doorbell does not answer.", remedy=_REMEDY)
        return frame

    def _read(self) -> None:
        """Takes frames until the end, and shows the device in time that the session is in use."""
        ping_s = time.monotonic() + _PING_S
        while self._error is None:
            try:
                frame = self._carrier.receive(_LOOK_S)
            except NetworkError as error:
                with self._lock:
                    self._over(error)
                return
            with self._lock:
                if frame is not None:
                    self._on_frame(frame)
                if time.monotonic() >= ping_s and self._error is None:
                    ping_s = time.monotonic() + _PING_S
                    self._session.ping()
                self._flush()

    def _on_frame(self, frame: bytes) -> None:
        match self._session.receive(frame) if frame else SessionEnded(EndReason.CUT):
            case SessionEnded(reason=reason):
                self._over(_ended(reason))
            case StreamData(stream=stream, data=data, last=last) if (waiting := self._waiting.get(stream)) is not None:
                waiting.answer += data
                # A doorbell that was altered must not fill the memory of its owner's computer.
                if len(waiting.answer) > _LARGEST_BYTES:
                    self._over(
                        NetworkError("The doorbell's answer is too long.", remedy="Install one version on both.")
                    )
                elif last:
                    waiting.done.set()

    def _flush(self) -> None:
        while (frame := self._session.next_frame()) is not None:
            self._send(frame)

    def _send(self, frame: bytes) -> None:
        try:
            self._carrier.send(frame)
        except NetworkError as error:
            self._over(error)

    def _over(self, error: NetworkError) -> None:
        """Ends every wait. Call it with the lock held."""
        # The first error says why. Those after it only say that the session is over.
        self._error = self._error or error
        self._session.end(EndReason.CLOSED)
        for each in self._waiting.values():
            each.done.set()


def _ended(reason: EndReason) -> NetworkError:
    message, remedy = _WORDS.get(reason, ("The session with the doorbell is over.", "Connect again."))
    return NetworkError(message, remedy=remedy)
