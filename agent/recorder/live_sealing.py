"""Seals live view: a media key for those who may look, and one SFrame for each part (FORMAT.md, "Live").

A key is sealed to the owners and to the glance keys that look. It is made when a person begins to look, and again if
the list of owners or the glance keys change, so a person who has left cannot open later parts. A key changes with a
keyframe: the part that begins a GOP brings the key of all parts that continue it. The recorder forgets the key when the
last person has left.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.live import LiveKey, join_part
from agent.core.sframe import KEY_BYTES, FrameKey
from agent.core.vault.age.recipients import Recipient
from agent.errors import FormatError
from agent.ports import Entropy
from agent.recorder.vault import Vault
from agent.wire import strictjson

__all__ = ["LiveSealer"]


@dataclass(frozen=True, slots=True)
class _MediaKey:
    key: FrameKey
    sealed: bytes
    viewers: tuple[int, frozenset[str]]


class LiveSealer:
    """For one thread. `look` says which glance keys look, besides the owners."""

    def __init__(self, vault: Vault, entropy: Entropy) -> None:
        self._vault = vault
        self._entropy = entropy
        self._keys = self._frames = 0
        self._media_key: _MediaKey | None = None
        self._glances: dict[str, Recipient] = {}

    def look(self, glances: dict[str, Recipient]) -> None:
        self._glances = glances

    @property
    def glances(self) -> dict[str, Recipient]:
        return self._glances

    @property
    def is_due(self) -> bool:
        """True if the next keyframe brings another key."""
        return self._media_key is None or self._media_key.viewers != self._viewers

    def seal(self, plaintext: bytes, *, begins: bool) -> bytes:
        """Returns a part. Raises `FormatError` for a part that continues a GOP without its beginning."""
        if begins and self.is_due:
            self._media_key = self._made()
            # The counter is the nonce of SFrame (RFC 9605). It may begin again only because the key is another one.
            self._frames = 0
        if self._media_key is None:
            raise FormatError("This part of a GOP came without its beginning.")
        frame = self._media_key.key.seal(self._frames, plaintext)
        self._frames += 1
        return join_part(self._media_key.sealed if begins else b"", frame)

    def forget(self) -> None:
        self._media_key = None

    @property
    def _viewers(self) -> tuple[int, frozenset[str]]:
        # The epoch stands for the list of owners: a removed owner must not open what follows.
        return self._vault.epoch, frozenset(self._glances)

    def _made(self) -> _MediaKey:
        viewers = self._viewers
        secret = self._entropy.token(KEY_BYTES)
        self._keys += 1
        said = strictjson.encode(LiveKey(v=1, kid=self._keys, key=strictjson.encode_base64(secret)))
        sealed = self._vault.seal_without_storing(said, also=tuple(self._glances.values()))
        return _MediaKey(FrameKey(secret, self._keys), sealed, viewers)
