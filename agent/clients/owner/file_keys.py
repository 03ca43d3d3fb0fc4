"""Wraps the keys of stored files for a requester: opens each file, compares it with its record, re-wraps its key.

The check comes first, so a key always belongs to footage that the device recorded and the owner could see. A file that
fails to open is named with its reason, and the caller signs nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.clients.opening import rewrap
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sealed_footage import open_captured, open_poster, open_sound
from agent.clients.owner.segment_sources import record_of
from agent.clients.owner.sync import DeviceChannel
from agent.core.vault.age.header import split
from agent.core.vault.age.recipients import HybridRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.core.vault.manifest import SignedRecord
from agent.core.vault.records import RecoveredRecord, SealedFile, SegmentRecord
from agent.errors import FormatError, RequestError
from agent.ipc.control_operations import GetPoster, GetSegment, GetSound, RecordAnswer
from agent.ipc.rpc import Request
from agent.wire import strictjson
from agent.wire.identities import PublicKey
from agent.wire.statements import SealedItem

__all__ = ["POSTER", "SEGMENT", "SOUND", "ChosenFile", "FileKeyWrapper", "StoredFile", "WrappedKey", "seal_text"]

_SECRET_BYTES = 16

WrappedKey = tuple[SealedItem, bytes]
"""The item that an owner signs, and the new header that it names."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One kind of file. `request` asks for it. `word`: for the owner."""

    request: Callable[[str], Request[RecordAnswer]]
    word: str
    open: Callable[..., object]
    sealed_file: Callable[[SegmentRecord | RecoveredRecord], SealedFile | None]


SEGMENT = StoredFile(GetSegment, "Segment", open_captured, lambda record: record.file)
SOUND = StoredFile(GetSound, "The sound of segment", open_sound, lambda record: record.sound_file)
POSTER = StoredFile(GetPoster, "The poster of segment", open_poster, lambda record: record.poster_file)


@dataclass(frozen=True, slots=True)
class ChosenFile:
    """A choice of the owner. `name`: as they know it. `signed`: its reviewed record; None takes the device's."""

    id: str
    name: str
    signed: SignedRecord | None = None


class FileKeyWrapper:
    """Collects every file that cannot be shared, so that the owner sees all of them at once."""

    def __init__(self, link: DeviceChannel, keys: OwnerKeys, device: PublicKey, reply: HybridRecipient) -> None:
        self._link = link
        self._keys = keys
        self._device = device
        self._reply = reply
        self.failed: set[tuple[StoredFile, str]] = set()
        self.reasons: list[str] = []

    def wrap_each(self, file: StoredFile, chosen: Iterable[ChosenFile]) -> list[WrappedKey]:
        """Returns the wrapped key of each file that opens. `failed` and `reasons` name the others."""
        made = []
        for each in chosen:
            with self.collecting(file, each):
                made.append(self._wrap(file, each))
        return made

    @contextmanager
    def collecting(self, file: StoredFile, each: ChosenFile) -> Iterator[None]:
        """Collects the reason if the block cannot make this file."""
        try:
            yield
        except (FormatError, RequestError) as error:
            self.failed.add((file, each.id))
            self.reasons.append(f"{file.word} {each.name} cannot be shared: {error.message}")

    def _wrap(self, file: StoredFile, each: ChosenFile) -> WrappedKey:
        answer, data = self._link.fetch(file.request(each.id))
        signed = each.signed or record_of(answer.record, each.id, self._device)
        # The result is thrown away. Opening compares every byte with the record, so a key is wrapped only for footage
        # that this owner can see.
        file.open(signed, data, self._keys.identities, device=self._device.id)
        assert isinstance(signed.record, SegmentRecord | RecoveredRecord)  # noqa: S101 (`open` has refused others)
        sealed = file.sealed_file(signed.record)
        assert sealed is not None  # noqa: S101 (`open` has refused it)
        # Only the header is made again. The payload stays as the device has it, and its hash is in the signed item.
        header = rewrap(data[: split(data)], self._keys.identities, [self._reply])
        header_sha256 = hashlib.sha256(header).hexdigest()
        return SealedItem(id=each.id, payload_sha256=sealed.sha256_payload, header_sha256=header_sha256), header


def seal_text(text: bytes, reply: HybridRecipient) -> str:
    """Returns `text` sealed to the requester, as base64: device and broker cannot read it."""
    # A new key each time: age's payload key must never seal two texts (c2sp.org/age).
    file_key, nonce = secrets.token_bytes(_SECRET_BYTES), secrets.token_bytes(_SECRET_BYTES)
    return strictjson.encode_base64(seal_bytes(text, [reply], file_key=file_key, nonce=nonce))
