"""Offers of talk sessions: a key that the recorder makes for one session, sealed to the browser that asked.

The custodian signs an offer and passes it on, but has no key for its sealed part. So it cannot read the session's key.

Source: TALK.md, "Offer".
"""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar, Final

import msgspec

from agent.core.talk.sizes import KEY_BYTES, SESSION_BYTES
from agent.wire import strictjson
from agent.wire.fields import DeviceKeyText, Sha256, Version1

__all__ = [
    "LARGEST_OFFER_BYTES",
    "MOST_REPLIES",
    "MOST_SENT_FRAMES",
    "ReplyName",
    "SessionId",
    "TalkOffer",
    "TalkSecret",
    "TalkState",
]

MOST_REPLIES: Final = 16
MOST_SENT_FRAMES: Final = 64
"""Frames in one message of a client: 1.3 s."""
LARGEST_OFFER_BYTES: Final = 16 << 10
"""Size of a sealed offer: an age header of 1.7 kB, the key, and the names of replies."""

SessionId = Annotated[
    str, strictjson.form(f"^[0-9a-f]{{{2 * SESSION_BYTES}}}\\Z", f"{2 * SESSION_BYTES} of 0-9 and a-f")
]
ReplyName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f/]*\Z")]


class TalkState(enum.Enum):
    """The state of the speaker, as the page says it in words."""

    READY = "ready"
    PRIVATE = "private"
    """The privacy switch is on, or it is a private hour."""
    NO_SPEAKER = "no speaker"
    """The speaker is missing, busy or broken."""
    NOT_KNOWN = "not known"
    """The key that asked belongs to no present owner."""
    ENDED = "ended"
    """The session is over."""


class TalkOffer(strictjson.Message, frozen=True):
    """The part that the device signs. `challenge` is the client's, so that an old offer cannot pass for a new one."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.doorward.talk-offer+json"

    v: Version1
    device: DeviceKeyText
    challenge: SessionId
    session: SessionId
    sealed_sha256: Sha256


class TalkSecret(strictjson.Message, frozen=True):
    """The plaintext of the sealed part. `key` has `KEY_BYTES` bytes in base64, `volume` is the loudest, in percent."""

    v: Version1
    session: SessionId
    key: Annotated[str, msgspec.Meta(min_length=4 * -(-KEY_BYTES // 3), max_length=4 * -(-KEY_BYTES // 3))]
    volume: Annotated[int, msgspec.Meta(ge=0, le=100)]
    replies: Annotated[tuple[ReplyName, ...], msgspec.Meta(max_length=MOST_REPLIES)]
