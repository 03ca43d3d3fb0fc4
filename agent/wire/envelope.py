"""DSSE envelope with exactly one Ed25519 signature. An answer of a doorbell and each statement of an owner have a
second one by ML-DSA-44 (`HybridSigned`). Messages of a trust root have one or more by key pairs (`SeveralSigned`).

- The signature covers the payload's *bytes* and its type (pre-authentication encoding). A reader verifies before it
  parses, and parses those same bytes.
- One signature and one spelling of its base64: each change to an envelope breaks it.
- An unknown key, a wrong key and a wrong signature are one error with one message.

Source: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md), version 1.0.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.identities import (
    KEY_ID_DIGITS,
    MLDSA_SIGNATURE_BYTES,
    SIGNATURE_BYTES,
    MldsaPublicKey,
    PublicKey,
    public_key_of,
)
from agent.wire.trust_keys import TRUST_SIGNATURE_BYTES, TrustKey

__all__ = [
    "MAX_SIGNATURES",
    "NOT_SIGNED",
    "NOT_SIGNED_MLDSA",
    "NO_MLDSA_SIGNATURE",
    "REQUEST_ENVELOPE_LIMIT_BYTES",
    "HybridKey",
    "HybridSigned",
    "SeveralSigned",
    "UnverifiedEnvelope",
    "VerifiedEnvelope",
    "open_envelope",
    "pae",
    "read_hybrid",
    "read_several",
    "read_unverified",
    "sign",
    "sign_hybrid",
    "verify",
    "with_signature",
    "with_signatures",
]

REQUEST_ENVELOPE_LIMIT_BYTES: Final = 12 * 1024
"""A request of 8 KiB in base64 with its frame, below the 16 KiB of an inbound MQTT packet."""

MAX_SIGNATURES: Final = 17
"""The signatures of a trust root's message: by eight old keys, eight new ones, and the key that names the root."""

NOT_SIGNED: Final = "No trusted key signed this."
"""The one message for an unknown key, a key not valid now and a wrong signature."""

NO_MLDSA_SIGNATURE: Final = "The ML-DSA-44 signature is missing."
NOT_SIGNED_MLDSA: Final = "The ML-DSA-44 signature does not verify."

_KeyId = Annotated[str, strictjson.form(f"^[0-9a-f]{{{KEY_ID_DIGITS}}}\\Z", "a key id, 16 of 0-9 and a-f")]


class _Signature(strictjson.Message, frozen=True):
    keyid: _KeyId
    sig: str


class _Envelope(strictjson.Message, frozen=True):
    payload: str
    payload_type: str = msgspec.field(name="payloadType")
    signatures: Annotated[tuple[_Signature, ...], msgspec.Meta(min_length=1, max_length=1)]


class _RootEnvelope(strictjson.Message, frozen=True):
    payload: str
    payload_type: str = msgspec.field(name="payloadType")
    signatures: Annotated[tuple[_Signature, ...], msgspec.Meta(min_length=1, max_length=MAX_SIGNATURES)]


class _HybridEnvelope(strictjson.Message, frozen=True):
    payload: str
    payload_type: str = msgspec.field(name="payloadType")
    # A single signature parses, so that the reader can say which one is missing.
    signatures: Annotated[tuple[_Signature, ...], msgspec.Meta(min_length=1, max_length=2)]


@dataclass(frozen=True, slots=True)
class HybridKey:
    """The two public keys of one signer. The Ed25519 key names it."""

    ed25519: PublicKey
    mldsa: MldsaPublicKey

    @property
    def id(self) -> str:
        return self.ed25519.id


@dataclass(frozen=True, slots=True)
class HybridSigned:
    """Unverified claims of an envelope with two signatures by one signer. Use the payload only to find its keys."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], tuple[str, bytes]]
    """Key id and signature, by Ed25519 and then by ML-DSA-44."""

    @property
    def key_id(self) -> str:
        """The id of the Ed25519 key, which names the signer."""
        return self.signatures[0][0]

    def verify(self, trusted: Mapping[str, HybridKey]) -> VerifiedEnvelope:
        """Returns the payload if both keys of one signer in `trusted` (by key id) signed it. Raises `OpenError`."""
        signer = trusted.get(self.key_id)
        if signer is None:
            raise OpenError(NOT_SIGNED)
        self.require(signer.ed25519, signer.mldsa)
        return VerifiedEnvelope(self.payload, self.key_id)

    def require(self, key: PublicKey, mldsa: MldsaPublicKey) -> None:
        """Raises `OpenError` unless both keys signed the payload."""
        signed = pae(self.payload_type, self.payload)
        (key_id, signature), (mldsa_id, mldsa_signature) = self.signatures
        if key_id != key.id or not key.verifies(signature, signed):
            raise OpenError(NOT_SIGNED)
        if mldsa_id != mldsa.id or not mldsa.verifies(mldsa_signature, signed):
            raise OpenError(NOT_SIGNED_MLDSA)


@dataclass(frozen=True, slots=True)
class SeveralSigned:
    """Unverified claims of an envelope that one or more key pairs of a root signed, by the id of each pair."""

    payload_type: str
    payload: bytes
    signatures: Mapping[str, bytes]

    def require(self, threshold: int, keys: Mapping[str, TrustKey], others: Mapping[str, TrustKey]) -> None:
        """Raises `OpenError` unless `threshold` of `keys` signed, and each signature is one of `keys` or `others`."""
        signed = pae(self.payload_type, self.payload)
        known = {**others, **keys}
        # A signature that counts for nothing is refused: otherwise a stranger could change the bytes of an envelope.
        for key_id, signature in self.signatures.items():
            key = known.get(key_id)
            # The id is compared again, because a key that is filed under another id must not count for that id.
            if key is None or key.id != key_id or not key.verifies(signature, signed):
                raise OpenError(NOT_SIGNED)
        if len(self.signatures.keys() & keys.keys()) < threshold:
            raise OpenError(NOT_SIGNED)


@dataclass(frozen=True, slots=True)
class VerifiedEnvelope:
    """A payload and the trusted key that signed it."""

    payload: bytes
    key_id: str


@dataclass(frozen=True, slots=True)
class UnverifiedEnvelope:
    """Unverified claims of an envelope. Use them only to choose the keys to try and the payload type."""

    payload_type: str
    payload: bytes
    key_id: str
    signature: bytes


def pae(payload_type: str, payload: bytes) -> bytes:
    """Returns DSSE's pre-authentication encoding: the bytes that are signed."""
    # The lengths keep two pairs of type and payload from having the same bytes, and so the same signature.
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, private_key: Ed25519PrivateKey) -> bytes:
    """Returns the envelope as bytes. The same arguments always give the same bytes (Ed25519 is deterministic)."""
    return with_signature(
        payload_type, payload, public_key_of(private_key).id, private_key.sign(pae(payload_type, payload))
    )


def with_signature(payload_type: str, payload: bytes, key_id: str, signature: bytes) -> bytes:
    """Returns the envelope of a payload that was signed elsewhere, for example in a token: a signature of its `pae`."""
    return strictjson.encode(
        _Envelope(
            payload=strictjson.encode_base64(payload),
            payload_type=payload_type,
            signatures=(_Signature(keyid=key_id, sig=strictjson.encode_base64(signature)),),
        )
    )


def with_signatures(payload_type: str, payload: bytes, signatures: Mapping[str, bytes]) -> bytes:
    """Returns the envelope of a payload that key pairs of a root signed. `signatures`: of its `pae`, by id."""
    return strictjson.encode(
        _RootEnvelope(
            payload=strictjson.encode_base64(payload),
            payload_type=payload_type,
            signatures=tuple(
                _Signature(keyid=name, sig=strictjson.encode_base64(signatures[name])) for name in sorted(signatures)
            ),
        )
    )


def sign_hybrid(payload_type: str, payload: bytes, private_key: Ed25519PrivateKey, mldsa: MLDSA44PrivateKey) -> bytes:
    """Returns the envelope that both keys of a signer signed. ML-DSA draws randomness, so its bytes differ each time.

    Both signatures cover the same bytes.
    """
    signed = pae(payload_type, payload)
    made = (
        (public_key_of(private_key).id, private_key.sign(signed)),
        (MldsaPublicKey.of(mldsa).id, mldsa.sign(signed)),
    )
    return strictjson.encode(
        _HybridEnvelope(
            payload=strictjson.encode_base64(payload),
            payload_type=payload_type,
            signatures=tuple(
                _Signature(keyid=key_id, sig=strictjson.encode_base64(signature)) for key_id, signature in made
            ),
        )
    )


def read_hybrid(data: bytes, payload_type: str | None, *, limit_bytes: int) -> HybridSigned:
    """Splits an envelope with an Ed25519 and an ML-DSA-44 signature, and verifies *nothing*.

    `payload_type`: None takes any. Raises `FormatError`, and `OpenError` if the second signature is missing.
    """
    envelope = strictjson.decode(data, _HybridEnvelope, limit_bytes=limit_bytes)
    if payload_type is not None and envelope.payload_type != payload_type:
        raise FormatError(f"This envelope does not hold a {payload_type}.")
    if len(envelope.signatures) == 1:
        raise OpenError(NO_MLDSA_SIGNATURE)
    first, second = ((each.keyid, strictjson.decode_base64(each.sig)) for each in envelope.signatures)
    if len(first[1]) != SIGNATURE_BYTES or len(second[1]) != MLDSA_SIGNATURE_BYTES:
        raise FormatError(f"signatures: {SIGNATURE_BYTES} bytes by Ed25519, then {MLDSA_SIGNATURE_BYTES} by ML-DSA-44.")
    return HybridSigned(envelope.payload_type, strictjson.decode_base64(envelope.payload), (first, second))


def read_several(data: bytes, payload_type: str, *, limit_bytes: int) -> SeveralSigned:
    """Splits an envelope with one or more signatures by key pairs, and verifies *nothing*.

    The ids ascend, so that each set of signatures has one spelling. Raises `FormatError`, and `OpenError` for a
    signature without its second half.
    """
    envelope = strictjson.decode(data, _RootEnvelope, limit_bytes=limit_bytes)
    if envelope.payload_type != payload_type:
        raise FormatError(f"This envelope does not hold a {payload_type}.")
    names = [each.keyid for each in envelope.signatures]
    if names != sorted(set(names)):
        raise FormatError("signatures: each key once, in ascending order of the key ids.")
    signatures = {each.keyid: strictjson.decode_base64(each.sig) for each in envelope.signatures}
    if any(len(each) == SIGNATURE_BYTES for each in signatures.values()):
        raise OpenError(NO_MLDSA_SIGNATURE)
    if any(len(each) != TRUST_SIGNATURE_BYTES for each in signatures.values()):
        raise FormatError(f"A signature of a trust root has {TRUST_SIGNATURE_BYTES} bytes.")
    return SeveralSigned(envelope.payload_type, strictjson.decode_base64(envelope.payload), signatures)


def open_envelope(
    data: bytes,
    payload_type: str,
    trusted: Mapping[str, PublicKey],
    *,
    limit_bytes: int = REQUEST_ENVELOPE_LIMIT_BYTES,
) -> VerifiedEnvelope:
    """Returns the payload of `data` if a key in `trusted` (by key id) signed it as a `payload_type`.

    Raises `FormatError` if the bytes are not such an envelope, and `OpenError` if verification fails for any reason.
    """
    claimed = read_unverified(data, limit_bytes=limit_bytes)
    if claimed.payload_type != payload_type:
        raise FormatError(f"This envelope does not hold a {payload_type}.")
    return verify(claimed, trusted)


def read_unverified(data: bytes, *, limit_bytes: int = REQUEST_ENVELOPE_LIMIT_BYTES) -> UnverifiedEnvelope:
    """Splits an envelope into its parts and verifies *nothing*. Raises `FormatError`."""
    envelope = strictjson.decode(data, _Envelope, limit_bytes=limit_bytes)
    signature = strictjson.decode_base64(envelope.signatures[0].sig)
    if len(signature) != SIGNATURE_BYTES:
        raise FormatError(f"An Ed25519 signature has {SIGNATURE_BYTES} bytes, this one has {len(signature)}.")
    return UnverifiedEnvelope(
        envelope.payload_type, strictjson.decode_base64(envelope.payload), envelope.signatures[0].keyid, signature
    )


def verify(claimed: UnverifiedEnvelope, trusted: Mapping[str, PublicKey]) -> VerifiedEnvelope:
    """Returns the payload if a key in `trusted` signed it as the claimed type. Raises `OpenError`."""
    public_key = trusted.get(claimed.key_id)
    # The caller builds the mapping. A key filed under another key's id must not verify for that id.
    if (
        public_key is None
        or public_key.id != claimed.key_id
        or not public_key.verifies(claimed.signature, pae(claimed.payload_type, claimed.payload))
    ):
        raise OpenError(NOT_SIGNED)
    return VerifiedEnvelope(claimed.payload, claimed.key_id)
