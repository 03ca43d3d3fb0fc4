"""Verifier keys of witnesses: `<name>+<key hash, 8 hex digits>+<base64 of 0x04 ‖ 32-byte Ed25519 key>`.

Source: https://c2sp.org/signed-note (verifier keys) and https://c2sp.org/tlog-cosignature (type 0x04).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.identities import KEY_BYTES, PublicKey

__all__ = ["Witness", "parse_witness"]

_TYPE: Final = b"\x04"
_KEY_HASH_BYTES: Final = 4
_NAME: Final = re.compile(r"[!-*,-~]{1,128}")
"""Printable ASCII without space and plus sign."""
_VERIFIER_KEY: Final = re.compile(
    r"(?P<name>[!-*,-~]{1,128})\+(?P<hash>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]{43,48}={0,2})"
)


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness by its name and its Ed25519 key."""

    name: str
    key: PublicKey

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise FormatError("The name of a witness is 1 to 128 printable ASCII characters without space and '+'.")

    @property
    def key_hash(self) -> bytes:
        """Returns the 4 bytes that begin each cosignature of this witness."""
        return hashlib.sha256(self.name.encode("ascii") + b"\n" + _TYPE + self.key.raw).digest()[:_KEY_HASH_BYTES]

    @property
    def verifier_key(self) -> str:
        """Returns the line that `parse_witness` reads."""
        return f"{self.name}+{self.key_hash.hex()}+{strictjson.encode_base64(_TYPE + self.key.raw)}"


def parse_witness(verifier_key: str) -> Witness:
    """Returns the witness of a verifier key. Raises `FormatError`."""
    found = _VERIFIER_KEY.fullmatch(verifier_key)
    material = strictjson.decode_base64(found["key"]) if found is not None else b""
    if found is None or material[:1] != _TYPE or len(material) != 1 + KEY_BYTES:
        raise FormatError("This is not the verifier key of an Ed25519 witness (c2sp.org/tlog-cosignature, type 04).")
    witness = Witness(found["name"], PublicKey(material[1:]))
    if witness.key_hash.hex() != found["hash"]:
        raise FormatError("The hash in this verifier key does not match its name and key. It was copied wrongly.")
    return witness
