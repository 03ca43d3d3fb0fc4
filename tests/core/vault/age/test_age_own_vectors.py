"""Two age files kept with all their secrets, so that a second implementation can be compared with this one.

tests/vectors/segment_x25519.*: every random input is fixed, so sealing must give the same bytes for ever.
tests/vectors/segment_hybrid.*: HPKE draws its randomness, so the kept file must open, with Doorward and by hand: the
second test derives everything from primitives, as the package's docstring describes it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.clients.opening import open_bytes, open_file_key, parse_identity
from agent.core.vault.age.header import Stanza, from_base64, parse_header
from agent.core.vault.age.recipients import X25519Recipient
from agent.core.vault.age.sealing import seal_bytes

VECTORS = Path(__file__).resolve().parents[3] / "vectors"
PLAINTEXT = bytes(i % 251 for i in range(65537))
"""One byte more than a chunk, so that both kinds of chunk occur."""


class FixedX25519:
    """The recipient of the vector, with the ephemeral secret that the vector states."""

    def __init__(self, recipient: X25519Recipient, ephemeral: bytes) -> None:
        self.recipient, self.ephemeral = recipient, X25519PrivateKey.from_private_bytes(ephemeral)

    def wrap(self, file_key: bytes) -> Stanza:
        return self.recipient.wrap_with(file_key, self.ephemeral)


def stated(name: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((VECTORS / f"{name}.json").read_text())
    return loaded


def test_sealing_with_fixed_randomness_gives_the_kept_file() -> None:
    vector = stated("segment_x25519")
    recipient = X25519Recipient.parse(vector["recipient"])
    assert recipient == parse_identity(vector["identity"]).recipient()
    sealed = seal_bytes(
        PLAINTEXT,
        [FixedX25519(recipient, bytes.fromhex(vector["ephemeral_secret"]))],
        file_key=bytes.fromhex(vector["file_key"]),
        nonce=bytes.fromhex(vector["nonce"]),
    )
    assert sealed == (VECTORS / "segment_x25519.age").read_bytes()


def test_the_kept_files_open_to_the_stated_plaintext() -> None:
    for name in ("segment_x25519", "segment_hybrid"):
        vector = stated(name)
        plaintext = open_bytes((VECTORS / f"{name}.age").read_bytes(), [parse_identity(vector["identity"])])
        assert plaintext == PLAINTEXT
        assert hashlib.sha256(plaintext).hexdigest() == vector["plaintext_sha256"]


def test_the_kept_hybrid_header_opens_by_hand_as_the_docstring_describes() -> None:
    vector = stated("segment_hybrid")
    data = (VECTORS / "segment_hybrid.age").read_bytes()
    header, length = parse_header(data)
    (stanza,) = header.stanzas
    identity = parse_identity(vector["identity"])

    expanded = hashlib.shake_256(identity.seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    encapsulation = from_base64(stanza.arguments[0])
    ciphertext, share = encapsulation[:1088], encapsulation[1088:]
    shared_secret = hashlib.sha3_256(
        mlkem.decapsulate(ciphertext)
        + x25519.exchange(X25519PublicKey.from_public_bytes(share))
        + share
        + x25519.public_key().public_bytes_raw()
        + bytes.fromhex("5c2e2f2f5e5c")
    ).digest()
    key, nonce = hpke_base_key_schedule(shared_secret, b"age-encryption.org/mlkem768x25519")
    file_key = ChaCha20Poly1305(key).decrypt(nonce, stanza.body, None)

    assert file_key.hex() == vector["file_key"]
    assert file_key == open_file_key(data[:length], [identity])


def hpke_base_key_schedule(shared_secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """(key, base nonce) of RFC 9180, section 5.1, mode_base without a PSK."""
    suite = b"HPKE" + bytes.fromhex("647a00010003")

    def extract(salt: bytes, label: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt, b"HPKE-v1" + suite + label + secret, "sha256")

    def expand(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
        text = length.to_bytes(2) + b"HPKE-v1" + suite + label + context + b"\x01"
        return hmac.digest(key, text, "sha256")[:length]

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared_secret, b"secret", b"")
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
