"""Parts of live view as a recorder makes them, for tests of their readers."""

from __future__ import annotations

from collections.abc import Sequence

from agent.clients.owner.keys import AgeIdentity
from agent.clients.owner.live_stream import LiveOpener
from agent.core.live import LiveKey, join_part
from agent.core.sframe import FrameKey
from agent.core.vault.age.recipients import Recipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import DoorwardError
from agent.wire import strictjson

__all__ = ["frame_of", "key_file", "opened_by", "part_of"]

_KEY = bytes(range(32))


def key_file(recipients: Sequence[Recipient], *, key: bytes = _KEY, kid: int = 1) -> bytes:
    said = strictjson.encode(LiveKey(v=1, kid=kid, key=strictjson.encode_base64(key)))
    return seal_bytes(said, recipients, file_key=bytes(16), nonce=bytes(16))


def part_of(plaintext: bytes, recipients: Sequence[Recipient], *, ctr: int = 0) -> bytes:
    """A part that begins a GOP; one that continues it if there are no recipients."""
    return join_part(key_file(recipients) if recipients else b"", frame_of(plaintext, ctr=ctr))


def frame_of(plaintext: bytes, *, ctr: int = 0) -> bytes:
    """The sealed frame of a part, the same each time."""
    return FrameKey(_KEY, 1).seal(ctr, plaintext)


def opened_by(identity: AgeIdentity, parts: Sequence[bytes]) -> list[bytes | None]:
    """The plaintexts, in their order; None for a part that fails to open."""
    opener, found = LiveOpener([identity]), list[bytes | None]()
    for each in parts:
        try:
            found.append(opener.open(each))
        except DoorwardError:
            found.append(None)
    return found
