"""The handshake of a link: signed ephemeral Diffie-Hellman (SIGMA-I), X25519 with ML-KEM-768 (LINK.md, "Handshake").

    hello     client → device   ephemeral keys, and a MAC that only owners' clients can make
    answer    device → client   ephemeral keys; sealed: the device's signature
    proof     client → device   sealed: the client's key and signature

A device checks the MAC before it computes anything else, so a stranger costs it one hash. The caller passes all secret
values in, except those of an encapsulation: `cryptography` draws them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.errors import FormatError, OpenError
from agent.wire.envelope import pae
from agent.wire.identities import KEY_BYTES, SIGNATURE_BYTES, PublicKey
from agent.wire.link.schedule import HandshakeKeys, client_transcript, device_transcript, knock_of, mac
from agent.wire.link.session import CLIENT, DEVICE, LinkSession

__all__ = ["KNOCK_BYTES", "ClientHandshake", "DeviceHandshake", "has_knock"]

_VERSION: Final = 1
_HELLO_HEAD: Final = bytes((1, _VERSION))
_ANSWER_HEAD: Final = bytes((2,))
_PROOF_HEAD: Final = bytes((3,))
_X25519_BYTES: Final = 32
_MLKEM_KEY_BYTES: Final = 1184
_MLKEM_CIPHERTEXT_BYTES: Final = 1088
KNOCK_BYTES: Final = 32
_MAC_BYTES: Final = 32
_TAG_BYTES: Final = 16
_HELLO_BYTES: Final = len(_HELLO_HEAD) + _X25519_BYTES + _MLKEM_KEY_BYTES + KNOCK_BYTES
_ANSWER_START_BYTES: Final = len(_ANSWER_HEAD) + _X25519_BYTES + _MLKEM_CIPHERTEXT_BYTES
_ANSWER_BYTES: Final = _ANSWER_START_BYTES + SIGNATURE_BYTES + _MAC_BYTES + _TAG_BYTES
_PROOF_BYTES: Final = len(_PROOF_HEAD) + KEY_BYTES + SIGNATURE_BYTES + _MAC_BYTES + _TAG_BYTES
_NONCE: Final = bytes(12)
"""Each key of a handshake seals once."""
_SIGNED_BY: Final = {
    DEVICE: "application/vnd.doorward.link-device",
    CLIENT: "application/vnd.doorward.link-client",
}
_NOT_AUTHENTIC: Final = "This handshake is not authentic."
"""The one message for each failed check: a peer must not learn which one failed."""

Sign = Callable[[bytes], bytes]


def has_knock(hello: bytes, secret: bytes) -> bool:
    """Returns True if `hello` is a first message of a client that knows `secret`."""
    start, knock = hello[:-KNOCK_BYTES], hello[-KNOCK_BYTES:]
    return (
        len(hello) == _HELLO_BYTES
        and hello.startswith(_HELLO_HEAD)
        # In constant time, or the time of an answer would tell how many bytes of a guess are right.
        and hmac.compare_digest(knock, knock_of(secret, start))
    )


class ClientHandshake:
    """`hello` goes to the device; `finish` takes the answer."""

    def __init__(
        self, secret: bytes, device: PublicKey, own: PublicKey, sign: Sign, *, x25519: bytes, mlkem: bytes
    ) -> None:
        """`device`: its key, known before. `x25519` (32 bytes) and `mlkem` (64): fresh and secret, for one
        handshake."""
        self._device, self._own, self._sign = device, own, sign
        self._x25519 = X25519PrivateKey.from_private_bytes(x25519)
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(mlkem)
        start = b"".join(
            (
                _HELLO_HEAD,
                self._x25519.public_key().public_bytes_raw(),
                self._mlkem.public_key().public_bytes_raw(),
            )
        )
        self.hello = start + knock_of(secret, start)

    def finish(self, answer: bytes) -> tuple[bytes, LinkSession]:
        """Returns the proof for the device, and the session. Raises `FormatError`, `OpenError`."""
        if len(answer) != _ANSWER_BYTES or not answer.startswith(_ANSWER_HEAD):
            raise FormatError("This is not an answer of a handshake.")
        start, sealed = answer[:_ANSWER_START_BYTES], answer[_ANSWER_START_BYTES:]
        x25519, ciphertext = start[1 : 1 + _X25519_BYTES], start[1 + _X25519_BYTES :]
        transcript = device_transcript(self.hello, start)
        keys = HandshakeKeys.of(self._mlkem.decapsulate(ciphertext), _exchange(self._x25519, x25519), transcript)
        plain = _open(keys.seal_of(DEVICE), sealed)
        _verify(DEVICE, keys, self._device, transcript, plain)
        transcript = client_transcript(transcript, sealed)
        signature = self._sign(pae(_SIGNED_BY[CLIENT], transcript))
        identity = self._own.raw + signature + mac(keys.mac_of(CLIENT), self._own.raw + transcript)
        proof = ChaCha20Poly1305(keys.seal_of(CLIENT)).encrypt(_NONCE, identity, None)
        return _PROOF_HEAD + proof, LinkSession.of(CLIENT, keys, client_transcript(transcript, proof))


class DeviceHandshake:
    """`answer` goes to the client; `finish` takes the proof. Check `has_knock` first."""

    def __init__(
        self,
        hello: bytes,
        device: PublicKey,
        sign: Sign,
        *,
        x25519: bytes,
        encapsulate: Callable[[bytes], tuple[bytes, bytes]] | None = None,
    ) -> None:
        """`x25519`: 32 fresh secret bytes. `encapsulate`: (shared secret, ciphertext) for an ML-KEM-768 key; tests
        repeat one. Raises `OpenError`."""
        theirs = hello[len(_HELLO_HEAD) : len(_HELLO_HEAD) + _X25519_BYTES]
        kem = hello[len(_HELLO_HEAD) + _X25519_BYTES : -KNOCK_BYTES]
        own = X25519PrivateKey.from_private_bytes(x25519)
        mlkem, ciphertext = (encapsulate or _encapsulate)(kem)
        start = _ANSWER_HEAD + own.public_key().public_bytes_raw() + ciphertext
        transcript = device_transcript(hello, start)
        self._keys = keys = HandshakeKeys.of(mlkem, _exchange(own, theirs), transcript)
        # Sealed, because a signature in clear would show a listener which doorbell answers.
        plain = sign(pae(_SIGNED_BY[DEVICE], transcript)) + mac(keys.mac_of(DEVICE), device.raw + transcript)
        sealed = ChaCha20Poly1305(keys.seal_of(DEVICE)).encrypt(_NONCE, plain, None)
        self._transcript = client_transcript(transcript, sealed)
        self.answer = start + sealed

    def finish(self, proof: bytes) -> tuple[PublicKey, LinkSession]:
        """Returns the client's key, which has signed, and the session. Raises `FormatError`, `OpenError`.

        The caller decides if the key may open a session.
        """
        if len(proof) != _PROOF_BYTES or not proof.startswith(_PROOF_HEAD):
            raise FormatError("This is not the proof of a handshake.")
        sealed = proof[len(_PROOF_HEAD) :]
        plain = _open(self._keys.seal_of(CLIENT), sealed)
        client = PublicKey(plain[:KEY_BYTES])
        _verify(CLIENT, self._keys, client, self._transcript, plain[KEY_BYTES:])
        return client, LinkSession.of(DEVICE, self._keys, client_transcript(self._transcript, sealed))


def _verify(who: bytes, keys: HandshakeKeys, key: PublicKey, transcript: bytes, plain: bytes) -> None:
    """Checks signature and MAC. The MAC binds the signer's key to the secret of this handshake."""
    signature, found = plain[:SIGNATURE_BYTES], plain[SIGNATURE_BYTES:]
    is_authentic = hmac.compare_digest(found, mac(keys.mac_of(who), key.raw + transcript))
    if not is_authentic or not key.verifies(signature, pae(_SIGNED_BY[who], transcript)):
        raise OpenError(_NOT_AUTHENTIC)


def _open(key: bytes, sealed: bytes) -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, sealed, None)
    except InvalidTag as error:
        raise OpenError(_NOT_AUTHENTIC) from error


def _exchange(own: X25519PrivateKey, theirs: bytes) -> bytes:
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:  # a point of small order, which gives a secret that everyone knows
        raise OpenError(_NOT_AUTHENTIC) from error


def _encapsulate(key: bytes) -> tuple[bytes, bytes]:
    try:
        return MLKEM768PublicKey.from_public_bytes(key).encapsulate()
    except ValueError as error:
        raise OpenError(_NOT_AUTHENTIC) from error
