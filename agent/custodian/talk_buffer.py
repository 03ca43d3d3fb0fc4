"""The custodian's part of talk: it passes sealed frames from an owner's client to the recorder (`recorder.talk`).

    client ── talk_begin, talk_send, talk_end ──▶ TalkBuffer ◀── GetTalk, PutTalkOffer ── recorder

- The buffer holds ciphertext that it cannot open, in memory only. It signs the recorder's offer, so that a client knows
  which doorbell made it.
- It decides who may talk (`core.talk.floor`). The name of the talker comes from the list of owners, by the key that the
  offer is sealed to: no other key opens the offer.
- It is bounded by number and bytes: if the recorder is slow, the oldest frames are dropped. It never waits for the
  recorder longer than `_OFFER_S`.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.talk.floor import Floor
from agent.core.talk.offers import LARGEST_OFFER_BYTES, TalkOffer, TalkState
from agent.core.talk.sizes import LARGEST_FRAME_BYTES
from agent.custodian.control_handler import Control
from agent.errors import FormatError, RequestError
from agent.ipc.control_operations import BeginTalk, EndTalk, SendTalk
from agent.ipc.protocol import PutTalkOffer, TalkWork
from agent.wire import envelope, strictjson
from agent.wire.control import split_body
from agent.wire.identities import public_key_of

__all__ = ["TalkBuffer"]

_OFFER_S: Final = 4.0
_MOST_FRAMES: Final = 100
"""Two seconds: more would be heard too late."""
_AWAY_S: Final = 8.0
"""The recorder asks every few seconds. After this many without a question it is away."""

Answer = tuple[dict[str, Any], bytes]


class TalkBuffer:
    """The operations of talk, and the recorder's side of them. Call it from any thread. `monotonic`: seconds."""

    def __init__(self, key: Ed25519PrivateKey, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._key = key
        self._device = public_key_of(key).text
        self._monotonic = monotonic
        self._owner_of: Callable[[str], str] = lambda _recipient: ""
        self._changed = threading.Condition()
        self._floor = Floor()
        self._asked: tuple[str, str] | None = None
        """Key and challenge of the browser that waits for an offer."""
        self._offer: PutTalkOffer | None = None
        self._frames: deque[bytes] = deque(maxlen=_MOST_FRAMES)
        self._heard = ""
        """The session of the frames that wait."""
        self._state = TalkState.READY
        self._recorder_s = float("-inf")
        self._closed = False

    def close(self) -> None:
        """Ends talk and wakes each thread that waits."""
        with self._changed:
            self._closed = True
            self._frames.clear()
            self._changed.notify_all()

    def offer_to(self, control: Control, owner_of: Callable[[str], str]) -> None:
        """Registers the operations. `owner_of` gives the owner's name for a key; empty for a key of no owner."""
        self._owner_of = owner_of
        for name, answer in (("talk_begin", self.begin), ("talk_send", self.send), ("talk_end", self.end)):
            control.offer(name, answer)

    # --- The operations of an owner's client

    def begin(self, asked: BeginTalk, _body: bytes) -> Answer:
        """The operation `talk_begin`: an offer for the key `to`, or the name of the owner who talks."""
        with self._changed:
            name = self._owner_of(asked.to)
            # Taken under the challenge before the recorder is asked: two phones at once would otherwise both wait for
            # an offer.
            if not self._floor.take(asked.challenge, name or "Another phone", self._monotonic()):
                return {"state": TalkState.READY.value, "talker": self._floor.holder}, b""
            offer = self._wait_for_offer(asked)
            self._floor.release(asked.challenge)
            if offer is None:
                raise RequestError(
                    "The recorder does not answer, so the visitor would not hear you.",
                    remedy="Look at Health: is the recorder running?",
                )
            if not offer.session:
                return {"state": offer.state.value}, b""
            self._floor.take(offer.session, name or "Another phone", self._monotonic())
            self._state = TalkState.READY
        return {"state": TalkState.READY.value, "envelope": self._signed(offer)}, offer.sealed

    def send(self, asked: SendTalk, body: bytes) -> Answer:
        """The operation `talk_send`: frames for the speaker, and its state."""
        try:
            frames = split_body(asked.sizes, body)
        except FormatError as error:
            raise RequestError(error.message) from error
        if any(len(frame) > LARGEST_FRAME_BYTES for frame in frames):
            raise RequestError(f"A talk frame has at most {LARGEST_FRAME_BYTES} bytes.")
        with self._changed:
            if self._closed or asked.session != self._floor.session:
                return {"state": TalkState.ENDED.value}, b""
            if self._state is TalkState.READY:  # frames after the end of a conversation do not hold the floor
                self._floor.hear(asked.session, self._monotonic())
            self._heard = asked.session
            self._frames.extend(frames)
            self._changed.notify_all()
            if self._monotonic() - self._recorder_s > _AWAY_S:
                return {"state": TalkState.NO_SPEAKER.value}, b""
            return {"state": self._state.value}, b""

    def end(self, asked: EndTalk, _body: bytes) -> Answer:
        """The operation `talk_end`: gives the floor back. Frames that wait are still played."""
        with self._changed:
            self._floor.release(asked.session)
        return {}, b""

    # --- The recorder's side

    def work(self, session: str, state: TalkState, patience_s: float) -> TalkWork:
        """Waits for a question or for frames, and takes the state of the recorder's session."""
        with self._changed:
            self._recorder_s = self._monotonic()
            # A late report is about the session before.
            if session and session == self._floor.session:
                self._state = state
            self._changed.wait_for(lambda: self._closed or bool(self._frames) or self._asks(), patience_s)
            self._recorder_s = self._monotonic()
            to, challenge = self._asked if self._asks() and self._asked is not None else ("", "")
            frames = tuple(self._frames)
            session = self._heard if frames else ""
            self._frames.clear()
            return TalkWork(to, challenge, session, frames)

    def put_offer(self, offer: PutTalkOffer) -> None:
        """Takes the recorder's answer for the browser that waits. An answer to another question is dropped."""
        if len(offer.sealed) > LARGEST_OFFER_BYTES:
            raise RequestError(f"A sealed offer has at most {LARGEST_OFFER_BYTES} bytes.")
        with self._changed:
            # The challenge is random and of one browser, so an offer for an earlier question cannot pass for this one.
            if self._asked is not None and self._asked[1] == offer.challenge:
                self._offer = offer
                self._changed.notify_all()

    def _wait_for_offer(self, asked: BeginTalk) -> PutTalkOffer | None:
        self._asked, self._offer = (asked.to, asked.challenge), None
        self._frames.clear()
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._closed or self._answered(asked.challenge), _OFFER_S)
        if self._asked != (asked.to, asked.challenge):
            return None  # another one has asked since
        offer, self._asked, self._offer = self._offer, None, None
        return offer

    def _asks(self) -> bool:
        return self._asked is not None and self._offer is None

    def _answered(self, challenge: str) -> bool:
        return self._offer is not None and self._offer.challenge == challenge

    def _signed(self, offer: PutTalkOffer) -> str:
        signed = TalkOffer(
            v=1,
            device=self._device,
            challenge=offer.challenge,
            session=offer.session,
            sealed_sha256=hashlib.sha256(offer.sealed).hexdigest(),
        )
        return envelope.sign(TalkOffer.PAYLOAD_TYPE, strictjson.encode(signed), self._key).decode()
