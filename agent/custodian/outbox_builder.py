"""Builder of outbox objects: joins the owner's new headers with the vault's payloads, once, and seals the manifest.

The bytes that leave are fixed here.  The segments are copied first, while other threads continue.  The manifest that
proves the release follows, inside the transaction that allows it.  During the copy, each payload is compared with the
hash that was signed at capture, so damage is noticed before the segment is shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.core.disclosure import ReleasedItem, reply_stanza
from agent.core.requests import OutboxPart
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import Sealer
from agent.core.vault.excerpt import Cover
from agent.errors import StorageError
from agent.ports import Entropy, Outbox, OutboxDraft
from agent.vault.reader import VaultReader
from agent.wire import envelope, strictjson
from agent.wire.disclosures import TIP_PADDED_BYTES, DisclosureManifest, PartKind, SecondSignature, TipManifest
from agent.wire.identities import MldsaPublicKey, public_key_of

__all__ = ["OutboxBuild", "OutboxBuilder"]

_PIECE_BYTES: Final = 1 << 18
_SECRET_BYTES: Final = 16
_SAID_OF: Final = {
    Cover.CAPTURE: SecondSignature.COVERED,
    Cover.EXPORT: SecondSignature.COVERED,
    Cover.NONE: SecondSignature.NONE,
}


@dataclass(frozen=True, slots=True)
class OutboxBuild:
    """An outbox object with its parts on the disk.  `finish(manifest, reply)` completes it and makes it durable.

    A disclosure's manifest is signed in `finish`. A tip's manifest is unsigned, because a signature would name the
    device.
    """

    parts: tuple[OutboxPart, ...]
    finish: Callable[[DisclosureManifest | TipManifest, str], tuple[OutboxPart, ...]]


class OutboxBuilder:
    """The device's half of a disclosure. It has the device's two signing keys but cannot open footage."""

    def __init__(
        self,
        outbox: Outbox,
        vault: VaultReader,
        entropy: Entropy,
        device_key: Ed25519PrivateKey,
        mldsa_key: MLDSA44PrivateKey,
    ) -> None:
        self._outbox = outbox
        self._vault = vault
        self._entropy = entropy
        self._device_key = device_key
        self._device = public_key_of(device_key)
        self._mldsa_key = mldsa_key
        self.device_mldsa = MldsaPublicKey.of(mldsa_key)
        self.sign_second = mldsa_key.sign

    @contextmanager
    def making(self, disclosure: str, released: tuple[ReleasedItem, ...]) -> Iterator[OutboxBuild]:
        """Writes everything except part 0, which proves the release. An object that the block leaves unfinished is
        removed.

        Raises `StorageError`.
        """
        with self._outbox.begin(disclosure) as draft:
            parts = [draft.write(number, item.id, self._joined(item)) for number, item in enumerate(released, start=1)]
            yield OutboxBuild(tuple(parts), lambda manifest, reply: self._finish(draft, tuple(parts), manifest, reply))

    def _finish(
        self,
        draft: OutboxDraft,
        parts: tuple[OutboxPart, ...],
        manifest: DisclosureManifest | TipManifest,
        reply: str,
    ) -> tuple[OutboxPart, ...]:
        content = strictjson.encode(manifest)
        if isinstance(manifest, DisclosureManifest):
            # An answer is believed for years. The second signature, ML-DSA-44, holds also if Ed25519 is broken by then.
            content = envelope.sign_hybrid(manifest.PAYLOAD_TYPE, content, self._device_key, self._mldsa_key)
        elif not manifest.parts:  # the broker sees the length, and the length of words would tell something of them
            content = content.ljust(TIP_PADDED_BYTES)
        # Last, because it lists the hashes of the other parts.
        first = draft.write(0, "", self._sealed(content, reply))
        # A rename: until then the folder has another name, and a power cut leaves nothing that looks complete.
        draft.commit()
        return (first, *parts)

    def second_signatures(self, released: tuple[ReleasedItem, ...]) -> dict[str, SecondSignature]:
        """Returns which second signature covers the record of each segment, verified in the vault.

        The signature of the answer covers these words. So they prove as much to a reader as the lines that lead there,
        and tell nothing of other records. Call it outside of a transaction: it reads a part of the manifest.

        Raises `StorageError`.
        """
        lines = {item.id: item.record.line for item in released}
        covers = self._vault.covers(lines, self._device, self.device_mldsa)
        return {name: _SAID_OF[cover] for name, cover in covers.items()}

    def discard(self, disclosure: str) -> None:
        """Removes the object of a failed approval."""
        self._outbox.remove(disclosure)

    def _joined(self, item: ReleasedItem) -> Iterator[bytes]:
        yield item.header
        if item.redacted is not None:  # `release` has compared it with the hash that the owner signed
            yield item.redacted
            return
        digest = hashlib.sha256()
        for piece in self._payload(item):
            digest.update(piece)
            yield piece
        # At the end of the copy: reading the file twice would let it change in between, and cost twice the time.
        if digest.hexdigest() != item.stored.sha256_payload:
            raise StorageError(
                f"{item.kind.value.capitalize()} {item.id} is damaged on the disk.",
                remedy="Approve the others. This one cannot be shared.",
            )

    def _payload(self, item: ReleasedItem) -> Iterator[bytes]:
        if item.kind is PartKind.POSTER:
            # A still that is gone becomes an empty payload, which the hash refuses.
            yield (self._vault.read_poster(item.id) or b"")[item.stored.header_size :]
            return
        if item.kind is PartKind.SOUND:
            yield (self._vault.read_sound(item.id) or b"")[item.stored.header_size :]
            return
        for offset in range(item.stored.header_size, item.stored.size, _PIECE_BYTES):
            yield self._vault.read(item.id, offset, min(_PIECE_BYTES, item.stored.size - offset))

    def _sealed(self, plaintext: bytes, reply: str) -> Iterator[bytes]:
        """Yields part 0, sealed to the reply key, so that the broker learns its length only."""
        sealer = Sealer(
            self._entropy.token(_SECRET_BYTES),
            [parse_recipient(reply)],
            nonce=self._entropy.token(_SECRET_BYTES),
            remarks=(reply_stanza(reply),),
        )
        yield sealer.header
        yield sealer.update(plaintext)
        yield sealer.finish()
