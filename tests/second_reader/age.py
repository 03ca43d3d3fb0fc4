"""Opens age files with hybrid and X25519 identities: c2sp.org/age."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.second_reader.json_once import RefusedError, refuse_unless

_DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32(text: str) -> tuple[str, bytes]:
    """The part for people, and the bytes."""
    refuse_unless(text in (text.lower(), text.upper()), "mixed case")
    human, _, rest = text.lower().rpartition("1")
    refuse_unless(human and len(rest) >= 6 and not set(rest) - set(_DIGITS), "bech32")
    digits = [_DIGITS.index(each) for each in rest]
    check = 1
    for each in [*(ord(c) >> 5 for c in human), 0, *(ord(c) & 31 for c in human), *digits]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ each
        for bit, mask in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= mask if top >> bit & 1 else 0
    refuse_unless(check == 1, "checksum")
    bits = "".join(f"{each:05b}" for each in digits[:-6])
    whole, spare = bits[: len(bits) // 8 * 8], bits[len(bits) // 8 * 8 :]
    refuse_unless(len(spare) < 5 and "1" not in spare, "padding")
    return human, bytes(int(whole[at : at + 8], 2) for at in range(0, len(whole), 8))


def open_age(data: bytes, identity: str) -> bytes:
    """The plaintext.  `identity`: AGE-SECRET-KEY-PQ-1… or AGE-SECRET-KEY-1…"""
    return _stream(_file_key(data, identity), split(data)[2])


def commitment(data: bytes, identity: str) -> str:
    """FORMAT.md: what a record says of the key of a file."""
    return _hkdf(_file_key(data, identity), b"", b"doorward-file-key").hex()


def _file_key(data: bytes, identity: str) -> bytes:
    header, stanzas, _ = split(data)
    human, secret = bech32(identity)
    unwrap = _hybrid if human == "age-secret-key-pq-" else _x25519
    for arguments, body in stanzas:
        file_key = unwrap(secret, arguments, body)
        if file_key is not None:
            break
    else:
        raise RefusedError("not for this identity")
    signed, _, mac = header.rstrip(b"\n").rpartition(b" ")
    wanted = hmac.new(_hkdf(file_key, b"", b"header"), signed, hashlib.sha256).digest()
    refuse_unless(hmac.compare_digest(wanted, _unpadded(mac.decode())), "header")
    return file_key


def split(data: bytes) -> tuple[bytes, list[tuple[list[str], bytes]], bytes]:
    """Header with its last line, its stanzas, and the payload behind it."""
    end = data.index(b"\n", data.index(b"\n---") + 1) + 1
    lines = data[:end].decode("ascii").split("\n")
    refuse_unless(lines[0] == "age-encryption.org/v1", "version")
    stanzas: list[tuple[list[str], bytes]] = []
    at = 1
    while not lines[at].startswith("---"):
        refuse_unless(lines[at].startswith("-> "), "stanza")
        arguments, body = lines[at].split(" ")[1:], ""
        at += 1
        while True:
            line, at = lines[at], at + 1
            refuse_unless(len(line) <= 64, "a line of a stanza")
            body += line
            if len(line) < 64:
                break
        stanzas.append((arguments, _unpadded(body)))
    return data[:end], stanzas, data[end:]


def _hybrid(seed: bytes, arguments: list[str], body: bytes) -> bytes | None:
    if arguments[0] != "mlkem768x25519" or len(arguments) != 2:
        return None
    expanded = hashlib.shake_256(seed).digest(96)
    key = MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])
    )
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    try:
        return suite.decrypt(_unpadded(arguments[1]) + body, key, b"age-encryption.org/mlkem768x25519")
    except InvalidTag:
        return None


def _x25519(secret: bytes, arguments: list[str], body: bytes) -> bytes | None:
    if arguments[0] != "X25519" or len(arguments) != 2 or len(body) != 32:
        return None
    share = _unpadded(arguments[1])
    key = X25519PrivateKey.from_private_bytes(secret)
    shared = key.exchange(X25519PublicKey.from_public_bytes(share))
    salt = share + key.public_key().public_bytes_raw()
    try:
        return ChaCha20Poly1305(_hkdf(shared, salt, b"age-encryption.org/v1/X25519")).decrypt(bytes(12), body, None)
    except InvalidTag:
        return None


def _stream(file_key: bytes, payload: bytes) -> bytes:
    cipher = ChaCha20Poly1305(_hkdf(file_key, payload[:16], b"payload"))
    chunks = [payload[at : at + 65_552] for at in range(16, len(payload), 65_552)]
    plain = []
    try:
        for number, chunk in enumerate(chunks):
            last = number == len(chunks) - 1
            plain.append(cipher.decrypt(number.to_bytes(11, "big") + bytes([last]), chunk, None))
    except InvalidTag as error:
        raise RefusedError("payload") from error
    refuse_unless(plain and (plain[-1] or len(plain) == 1), "payload")
    return b"".join(plain)


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def _unpadded(text: str) -> bytes:
    refuse_unless("=" not in text, "padding")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
