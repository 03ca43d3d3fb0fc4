"""Speaks at the door: sends a sound as frames of a talk session (agent/core/talk/TALK.md).

The frames are µ-law, 320 samples of 16 kHz each, as fast as they are heard. So nothing of the sound is kept on the
doorbell, and the rules of a conversation hold: the floor, the volume and the privacy switch.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.clients.opening import open_bytes
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sync import DeviceChannel, sync
from agent.core.talk.offers import TalkOffer, TalkSecret, TalkState
from agent.core.talk.sizes import SESSION_BYTES
from agent.errors import ConfigurationError, DeviceError, OpenError
from agent.ipc.control_operations import BeginTalk, EndTalk, SendTalk
from agent.wire import envelope, strictjson
from agent.wire.identities import PublicKey

__all__ = ["LONGEST_S", "FrameWriter", "speak"]

LONGEST_S: Final = 15
"""The longest sound, in seconds. As long as an own reply of the page."""
_FRAME_S: Final = 0.02
_PIECE: Final = 5
"""Frames in one message."""
_MULAW: Final = 2
_PAUSE: Final = 5
_PAD_BYTES: Final = 128
_HEARD_S: Final = 0.5
"""The doorbell's buffer, at most, and its speaker."""
_INFO: Final = b"doorward talk frames v1"
_REASONS: Final = {
    TalkState.PRIVATE: "The privacy switch is on, or this is a private hour: the speaker is off.",
    TalkState.NO_SPEAKER: "The doorbell's speaker is missing or busy.",
    TalkState.NOT_KNOWN: "The doorbell does not know this key yet.",
    TalkState.ENDED: "The doorbell ended the conversation.",
}


class FrameWriter:
    """Seals the frames of one session, in order."""

    def __init__(self, key: bytes, session: bytes) -> None:
        self._aead = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=session, info=_INFO).derive(key))
        self._session = session
        self._counter = 0

    def seal(self, kind: int, content: bytes = b"") -> bytes:
        # The counter is the nonce. Two frames under one nonce would reveal their difference (SP 800-38D, 8).
        self._counter += 1
        plain = bytes([kind]) + len(content).to_bytes(2, "big") + content
        head = self._counter.to_bytes(8, "big")
        padded = plain + bytes(-len(plain) % _PAD_BYTES)
        return head + self._aead.encrypt(bytes(4) + head, padded, self._session)


def speak(
    link: DeviceChannel,
    keys: OwnerKeys,
    frames: Sequence[bytes],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Plays `frames` at the door, each 20 ms of µ-law. Returns after the last one was heard.

    Raises `ConfigurationError` if there is nothing to say or too much, `DeviceError` if the doorbell does not play it,
    and `OpenError` if the offer is not this doorbell's answer.
    """
    if not 0 < len(frames) <= LONGEST_S / _FRAME_S:
        raise ConfigurationError(f"The sound must have 1 to {LONGEST_S} seconds.", remedy="Choose a shorter one.")
    session, writer = _begin(link, keys)
    try:
        begins_s = monotonic()
        for at in range(0, len(frames), _PIECE):
            _send(link, session, [writer.seal(_MULAW, each) for each in frames[at : at + _PIECE]])
            # By the begin, not by the last message: the doorbell's buffer would run empty if the delays added up.
            sleep(max(0.0, begins_s + (at + _PIECE) * _FRAME_S - monotonic()))
        _send(link, session, [writer.seal(_PAUSE)])
        sleep(_HEARD_S)
    finally:
        # Also after an error: the floor would stay taken for some seconds, and another owner could not talk.
        link.ask(EndTalk(session))


def _begin(link: DeviceChannel, keys: OwnerKeys) -> tuple[str, FrameWriter]:
    device = sync(link, keys).key
    challenge = secrets.token_hex(SESSION_BYTES)
    answer, sealed = link.fetch(BeginTalk(str(keys.identity.recipient()), challenge))
    if answer.talker is not None:
        raise DeviceError(f"{answer.talker} is talking.", remedy="Try again in a moment.")
    if answer.envelope is None:
        raise _refused(answer.state)
    _check_offer(answer.envelope.encode(), device, challenge, sealed)
    secret = strictjson.decode(open_bytes(sealed, keys.identities), TalkSecret)
    return secret.session, FrameWriter(strictjson.decode_base64(secret.key), bytes.fromhex(secret.session))


def _check_offer(signed: bytes, device: PublicKey, challenge: str, sealed: bytes) -> None:
    opened = envelope.open_envelope(signed, TalkOffer.PAYLOAD_TYPE, {device.id: device})
    offer = strictjson.decode(opened.payload, TalkOffer)
    hashed = hashlib.sha256(sealed).hexdigest()
    # The challenge is this client's, so an offer of an earlier conversation, with a key that is known by now, is
    # refused.
    if (offer.challenge, offer.device, offer.sealed_sha256) != (challenge, device.text, hashed):
        raise OpenError("The doorbell answered another question.", remedy="Try again.")


def _send(link: DeviceChannel, session: str, sealed: Sequence[bytes]) -> None:
    state = link.ask(SendTalk(session, tuple(map(len, sealed))), body=b"".join(sealed)).state
    if state is not TalkState.READY:
        raise _refused(state)


def _refused(state: TalkState) -> DeviceError:
    return DeviceError(_REASONS.get(state, "The doorbell does not play it."), remedy="doorward doctor on the doorbell.")
