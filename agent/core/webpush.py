"""Web push for an installed page: a message that only the browser can open, and a token that identifies the sender.

The push service (Mozilla's, Google's, Apple's) sees time, sender and length, but not the content: the payload is
encrypted to keys that the browser made. All messages are padded to one length, so a visitor with a picture and a
request look alike. Randomness is an argument; ECDSA is deterministic (RFC 6979). Sources: RFC 8291 (encryption), RFC
8188 (its framing), RFC 8292 (VAPID).
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.errors import FormatError
from agent.wire.strictjson import decode_base64url, encode_base64url

__all__ = [
    "PADDED_BYTES",
    "SCHEME",
    "Subscription",
    "encrypt",
    "padded",
    "point_of",
    "push_address",
    "subscription",
    "vapid",
]

SCHEME: Final = "webpush:"
PADDED_BYTES: Final = 3993
"""Size to which every payload is padded: the most that one record of 4096 bytes holds (RFC 8291, section 4). It takes a
small sealed picture."""
_RECORD_BYTES: Final = 4096
_AUTH_BYTES: Final = 16
_POINT_BYTES: Final = 65
_LONGEST_ENDPOINT: Final = 1000
_HTTPS: Final = re.compile(r"https://([^/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?([/?#].*)?")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser's push subscription: endpoint, P-256 point, and a secret of 16 bytes."""

    endpoint: str
    point: bytes
    auth: bytes

    def __repr__(self) -> str:
        return f"Subscription({self.origin!r})"

    @property
    def origin(self) -> str:
        """The push service, without the rest of the address, which is as secret as a key."""
        return "/".join(self.endpoint.split("/")[:3])


def subscription(endpoint: str, p256dh: str, auth: str) -> Subscription:
    """From `PushSubscription.toJSON()`.  Raises `FormatError`."""
    if not endpoint.isascii() or len(endpoint) > _LONGEST_ENDPOINT or not _is_https(endpoint):
        raise FormatError("endpoint: an https address is wanted.")
    if any(character <= " " or character == "\x7f" for character in endpoint):
        raise FormatError("endpoint: no address has blanks.")
    made = Subscription(endpoint, decode_base64url(p256dh), decode_base64url(auth))
    if len(made.auth) != _AUTH_BYTES:
        raise FormatError("auth: 16 bytes are wanted.")
    _key_of(made.point)
    return made


def _is_https(endpoint: str) -> bool:
    """Returns True for an address with a host, and with a port that can be."""
    found = _HTTPS.fullmatch(endpoint)
    return found is not None and 0 < int(found["port"] or 443) < 1 << 16


def push_address(endpoint: str, p256dh: str, auth: str, key: ec.EllipticCurvePrivateKey) -> str:
    """A channel's address: subscription and VAPID key, as secret as the latter.  Raises `FormatError`."""
    subscription(endpoint, p256dh, auth)
    secret = encode_base64url(key.private_numbers().private_value.to_bytes(32, "big"))
    return SCHEME + json.dumps({"endpoint": endpoint, "p256dh": p256dh, "auth": auth, "vapid": secret})


def encrypt(payload: bytes, to: Subscription, *, salt: bytes, ephemeral: ec.EllipticCurvePrivateKey) -> bytes:
    """The body of the push message, `Content-Encoding: aes128gcm`.  `salt` (16 bytes) and key are used once."""
    ours = point_of(ephemeral)
    shared = ephemeral.exchange(ec.ECDH(), _key_of(to.point))
    seed = HKDF(hashes.SHA256(), 32, to.auth, b"WebPush: info\0" + to.point + ours).derive(shared)
    key = HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(seed)
    nonce = HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(seed)
    header = salt + struct.pack(">IB", _RECORD_BYTES, len(ours)) + ours
    # 0x02 ends the last record (RFC 8188, section 2). The padding is in the payload, as blanks behind its JSON.
    return header + AESGCM(key).encrypt(nonce, payload + b"\x02", None)


def padded(payload: bytes) -> bytes:
    """`payload`, JSON, with blanks behind it.  Raises `FormatError` when it is too long to be padded."""
    if len(payload) > PADDED_BYTES:
        raise FormatError(f"A push message has {len(payload)} bytes; at most {PADDED_BYTES} are sent.")
    return payload.ljust(PADDED_BYTES)


def vapid(endpoint: str, contact: str, expires_s: int, key: ec.EllipticCurvePrivateKey) -> str:
    """Returns the `Authorization` header. `contact`: mailto: or https:; `expires_s`: UTC, within a day."""
    trust_root = "/".join(endpoint.split("/")[:3])
    head = _segment({"typ": "JWT", "alg": "ES256"})
    claims = _segment({"aud": trust_root, "exp": expires_s, "sub": contact})
    # With the nonce from RFC 6979, a weak source of randomness cannot reveal the key.
    signature = key.sign(f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(signature)
    # JWS wants r and s of 32 bytes each (RFC 7518, section 3.4), not the DER that the library gives.
    token = encode_base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    return f"vapid t={head}.{claims}.{token}, k={encode_base64url(point_of(key))}"


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns the public key in the form that browsers expect: 65 bytes, uncompressed."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _key_of(point: bytes) -> ec.EllipticCurvePublicKey:
    if len(point) != _POINT_BYTES:
        raise FormatError("p256dh: 65 bytes are wanted.")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise FormatError("p256dh: no point of P-256.") from error


def _segment(claims: dict[str, object]) -> str:
    return encode_base64url(json.dumps(claims, separators=(",", ":")).encode())
