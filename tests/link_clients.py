"""Owners' clients of the link, in memory: they hold the other end of each session of a doorbell."""

from __future__ import annotations

import secrets
import time
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.custodian.link_sessions import LinkSessions
from agent.ipc.protocol import LinkFrame
from agent.wire.control import Frame, parse_frame, write_frame
from agent.wire.identities import PublicKey, public_key_of
from agent.wire.link.handshake import ClientHandshake
from agent.wire.link.session import EndReason, SessionEnded, StreamData

__all__ = ["Carrier", "LinkClient", "begin"]

PATIENCE_S = 20.0


def begin(secret: bytes, device: PublicKey, key: Ed25519PrivateKey) -> ClientHandshake:
    """A handshake with fresh keys."""
    fresh = (secrets.token_bytes(32), secrets.token_bytes(64))
    return ClientHandshake(secret, device, public_key_of(key), key.sign, x25519=fresh[0], mlkem=fresh[1])


class Carrier:
    """A relay, as the doorbell sees it: it passes frames on, and holds those that came for each session."""

    def __init__(self, link: LinkSessions) -> None:
        self.link = link
        self.came: dict[str, list[bytes]] = {}

    def send(self, session: str, *frames: bytes) -> None:
        for frame in frames:
            self.link.deliver([LinkFrame(session, frame)])

    def fetch(self, session: str, wait_s: float = 0.0) -> list[bytes]:
        """The frames that have come for a session."""
        for each in self.link.collect(wait_s):
            self.came.setdefault(each.session, []).append(each.frame)
        return self.came.pop(session, [])


class AnyCarrier(Protocol):
    """Passes the frames of sessions to the doorbell, and holds those that came."""

    def send(self, session: str, *frames: bytes) -> None: ...
    def fetch(self, session: str, wait_s: float = 0.0) -> list[bytes]: ...


class LinkClient:
    """A client in a session with the doorbell. `ended`: why it ended; "over" if the carrier said so."""

    def __init__(self, carrier: AnyCarrier, secret: bytes, device: PublicKey, key: Ed25519PrivateKey) -> None:
        self.carrier = carrier
        self.id = secrets.token_hex(16)
        self.ended: EndReason | str | None = None
        self.answers: dict[int, bytearray] = {}
        self.whole: dict[int, Frame] = {}
        self.streams = 0
        handshake = begin(secret, device, key)
        carrier.send(self.id, handshake.hello)
        (answer,) = carrier.fetch(self.id, PATIENCE_S)
        proof, self.session = handshake.finish(answer)
        carrier.send(self.id, proof)
        assert self.hear(PATIENCE_S), "the doorbell says neither that the client is let in nor why not"

    def start(self, op: str, body: bytes = b"", /, **head: Any) -> int:
        """Sends a request and returns the number of its stream."""
        self.streams += 1
        self.session.send(self.streams, write_frame(Frame({**head, "op": op}, body)), last=True)
        self.flush()
        return self.streams

    def ask(self, op: str, body: bytes = b"", /, **head: Any) -> Frame:
        return self.wait(self.start(op, body, **head))

    def wait(self, stream: int) -> Frame:
        deadline_s = time.monotonic() + PATIENCE_S
        while stream not in self.whole:
            assert self.ended is None, self.ended
            assert time.monotonic() < deadline_s, "no answer"
            self.hear(0.1)
        return self.whole.pop(stream)

    def flush(self) -> None:
        while (frame := self.session.next_frame()) is not None:
            self.carrier.send(self.id, frame)

    def hear(self, wait_s: float = 0.0) -> bool:
        """Takes the frames that have come. Returns False if there are none."""
        frames = self.carrier.fetch(self.id, wait_s)
        for frame in frames:
            match self.session.receive(frame) if frame else SessionEnded(EndReason.CLOSED):
                case SessionEnded(reason=reason):
                    self.ended = reason if frame else self.ended or "over"
                case StreamData(stream=stream, data=data, last=last):
                    answer = self.answers.setdefault(stream, bytearray())
                    answer += data
                    if last:
                        self.whole[stream] = parse_frame(bytes(self.answers.pop(stream)))
            self.flush()
        return bool(frames)
