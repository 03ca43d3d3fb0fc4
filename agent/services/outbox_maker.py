"""Makes outbox objects: joins the owner's new headers and the vault's old payloads, once, and seals the manifest.

The bytes that leave are fixed here.  While they are copied, each payload is held against the hash that was signed at
capture, so a damaged segment is noticed before it is shared and not by the requester.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.disclosure import Released, manifest_of
from agent.core.requests import OutboxPart, StoredRequest
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import Sealer
from agent.errors import StorageError
from agent.ports import Entropy, Outbox
from agent.services.vault_reader import VaultReader
from agent.wire import envelope, strictjson
from agent.wire.disclosures import PartKind
from agent.wire.identities import public_key_of

__all__ = ["OutboxMaker"]

_PIECE_BYTES: Final = 1 << 18
_SECRET_BYTES: Final = 16


class OutboxMaker:
    """The device's half of a disclosure, with its signing key and no key that opens anything."""

    def __init__(self, outbox: Outbox, vault: VaultReader, entropy: Entropy, device_key: Ed25519PrivateKey) -> None:
        self._outbox = outbox
        self._vault = vault
        self._entropy = entropy
        self._device_key = device_key

    def make(
        self,
        disclosure: str,
        released: tuple[Released, ...],
        stored: StoredRequest,
        approval: bytes,
        enrolment: bytes,
    ) -> tuple[OutboxPart, ...]:
        """Write the object; durable on return.  Raises `StorageError`, leaving nothing."""
        with self._outbox.begin(disclosure) as draft:
            parts = [draft.write(number, item.id, self._joined(item)) for number, item in enumerate(released, start=1)]
            manifest = manifest_of(
                released,
                [part.sha256 for part in parts],
                disclosure=disclosure,
                device=public_key_of(self._device_key).text,
                request_sha256=stored.payload_sha256,
                approval=approval,
                enrolment=enrolment,
            )
            signed = envelope.sign(manifest.PAYLOAD_TYPE, strictjson.encode(manifest), self._device_key)
            first = draft.write(0, "", self._sealed(signed, stored.request.reply))
            draft.commit()
        return (first, *parts)

    def discard(self, disclosure: str) -> None:
        """Take back an object that no approval names after all."""
        self._outbox.remove(disclosure)

    def _joined(self, item: Released) -> Iterator[bytes]:
        yield item.header
        digest = hashlib.sha256()
        for piece in self._payload(item):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != item.stored.sha256_payload:
            raise StorageError(
                f"{item.kind.value.capitalize()} {item.id} is damaged on the disk.",
                remedy="Approve the others; this one cannot be shared.",
            )

    def _payload(self, item: Released) -> Iterator[bytes]:
        if item.kind is PartKind.POSTER:
            yield (self._vault.read_poster(item.id) or b"")[item.stored.header_size :]
            return
        for offset in range(item.stored.header_size, item.stored.size, _PIECE_BYTES):
            yield self._vault.read(item.id, offset, min(_PIECE_BYTES, item.stored.size - offset))

    def _sealed(self, plaintext: bytes, reply: str) -> Iterator[bytes]:
        """Part 0, sealed to the reply key, so that the broker learns nothing from it either."""
        sealer = Sealer(
            self._entropy.token(_SECRET_BYTES), [parse_recipient(reply)], nonce=self._entropy.token(_SECRET_BYTES)
        )
        yield sealer.header
        yield sealer.update(plaintext)
        yield sealer.finish()
