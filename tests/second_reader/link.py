"""The link, both ends, written from LINK.md alone."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.second_reader.envelope import encoding

NAME = b"doorward link v1"


class RefusedError(Exception):
    """A message of a handshake that an end must refuse."""


def hmac256(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def expand(key: bytes, info: bytes, size: int = 32) -> bytes:
    return hmac256(key, info + b"\1")[:size]


def address(secret: bytes) -> str:
    return expand(hmac256(bytes(32), secret), b"doorward link address v1", 16).hex()


def knock(secret: bytes, rest: bytes) -> bytes:
    return hmac256(expand(hmac256(bytes(32), secret), b"doorward link knock v1"), rest)


def unseal(key: bytes, nonce: bytes, sealed: bytes, data: bytes = b"") -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, data)
    except InvalidTag as error:
        raise RefusedError("tag") from error


def raw(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def shared(own: bytes, theirs: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(own).exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:
        raise RefusedError("zeros") from error


@dataclass(frozen=True)
class Agreed:
    """The common part of both ends: `root` and the transcripts."""

    root: bytes
    t1: bytes

    def key(self, label: bytes) -> bytes:
        return expand(self.root, NAME + b" " + label)

    def check(self, who: str, signer: bytes, transcript: bytes, plain: bytes) -> None:
        signed = encoding(f"application/vnd.doorward.link-{who}", transcript)
        try:
            Ed25519PublicKey.from_public_bytes(signer).verify(plain[:64], signed)
        except InvalidSignature as error:
            raise RefusedError("signature") from error
        if plain[64:] != hmac256(self.key(f"{who} mac".encode()), signer + transcript):
            raise RefusedError("MAC")

    def sealed(self, who: str, signer: Ed25519PrivateKey, transcript: bytes, *, named: bool) -> bytes:
        signature = signer.sign(encoding(f"application/vnd.doorward.link-{who}", transcript))
        plain = signature + hmac256(self.key(f"{who} mac".encode()), raw(signer) + transcript)
        named_plain = raw(signer) + plain if named else plain
        return ChaCha20Poly1305(self.key(f"{who} seal".encode())).encrypt(bytes(12), named_plain, b"")

    def secret_to(self, who: str, t3: bytes) -> bytes:
        return expand(self.root, NAME + f" to {who} ".encode() + t3)


def agree(mlkem: bytes, x25519: bytes, hello: bytes, start: bytes) -> Agreed:
    t1 = hashlib.sha256(NAME + hello + start).digest()
    return Agreed(hmac256(t1, mlkem + x25519), t1)


def hello(secret: bytes, x25519: bytes, mlkem_seed: bytes) -> bytes:
    kem = MLKEM768PrivateKey.from_seed_bytes(mlkem_seed).public_key().public_bytes_raw()
    start = b"\1\1" + raw(X25519PrivateKey.from_private_bytes(x25519)) + kem
    return start + knock(secret, start)


def require_hello(message: bytes, secret: bytes) -> None:
    if len(message) != 1250 or message[:2] != b"\1\1" or message[-32:] != knock(secret, message[:-32]):
        raise RefusedError("hello")


def finish_client(
    own: Ed25519PrivateKey, device: bytes, x25519: bytes, mlkem_seed: bytes, said: bytes, answer: bytes
) -> tuple[bytes, bytes, bytes]:
    """(proof, secret to the device, secret to the client)."""
    if len(answer) != 1233 or answer[0] != 2:
        raise RefusedError("answer")
    start, sealed = answer[:1121], answer[1121:]
    kem = MLKEM768PrivateKey.from_seed_bytes(mlkem_seed).decapsulate(start[33:])
    agreed = agree(kem, shared(x25519, start[1:33]), said, start)
    agreed.check("device", device, agreed.t1, unseal(agreed.key(b"device seal"), bytes(12), sealed))
    t2 = hashlib.sha256(agreed.t1 + sealed).digest()
    proof = agreed.sealed("client", own, t2, named=True)
    t3 = hashlib.sha256(t2 + proof).digest()
    return b"\3" + proof, agreed.secret_to("device", t3), agreed.secret_to("client", t3)


def answer_device(
    own: Ed25519PrivateKey, x25519: bytes, kem: tuple[bytes, bytes], said: bytes
) -> tuple[bytes, Callable[[bytes], tuple[bytes, bytes, bytes]]]:
    """The answer, and a function that takes the proof: (key of the client, secret to the device, to the client)."""
    start = b"\2" + raw(X25519PrivateKey.from_private_bytes(x25519)) + kem[1]
    agreed = agree(kem[0], shared(x25519, said[2:34]), said, start)
    sealed = agreed.sealed("device", own, agreed.t1, named=False)

    def finish(proof: bytes) -> tuple[bytes, bytes, bytes]:
        if len(proof) != 145 or proof[0] != 3:
            raise RefusedError("proof")
        t2 = hashlib.sha256(agreed.t1 + sealed).digest()
        plain = unseal(agreed.key(b"client seal"), bytes(12), proof[1:])
        agreed.check("client", plain[:32], t2, plain[32:])
        t3 = hashlib.sha256(t2 + proof[1:]).digest()
        return plain[:32], agreed.secret_to("device", t3), agreed.secret_to("client", t3)

    return start + sealed, finish


@dataclass
class Records:
    """The records of one direction, for the end that writes them and for the one that reads them."""

    secret: bytes
    generation: int = 0
    lengths: tuple[int, ...] = field(default=(256, 1024, 4096, 15_360))

    def key(self, counter: int) -> ChaCha20Poly1305:
        while self.generation < counter // 65_536:
            self.secret = expand(self.secret, NAME + b" next")
            self.generation += 1
        return ChaCha20Poly1305(expand(self.secret, NAME + b" key"))

    def write(self, counter: int, content: bytes) -> bytes:
        length = next(each for each in self.lengths if each >= 9 + 16 + 2 + len(content))
        plain = struct.pack(">H", len(content)) + content
        head = b"\x10" + struct.pack(">Q", counter)
        padded = plain + bytes(length - 25 - len(plain))
        return head + self.key(counter).encrypt(bytes(4) + head[1:], padded, head)

    def read(self, record: bytes) -> tuple[int, bytes]:
        (counter,) = struct.unpack(">Q", record[1:9])
        plain = self.key(counter).decrypt(bytes(4) + record[1:9], record[9:], record[:9])
        (size,) = struct.unpack(">H", plain[:2])
        if any(plain[2 + size :]):
            raise RefusedError("padding")
        return counter, plain[2 : 2 + size]
