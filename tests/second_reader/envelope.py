"""Keys and envelopes: PROTOCOL.md, sections 1 (Ed25519) and 3."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from tests.second_reader.json_once import KEY_ID, binary, fields, many, matching, parse, refuse_unless

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


class UnsignedError(Exception):
    """An unknown key, a key not valid now and a wrong signature are one error."""


def public_key(value: Any) -> bytes:
    """Returns the 32 bytes of `ed25519:…`, of a point on the curve of large order."""
    refuse_unless(type(value) is str and re.fullmatch(r"ed25519:[A-Za-z0-9_-]{43}", value), "key")
    raw = base64.urlsafe_b64decode(value[8:] + "=")
    refuse_unless(base64.urlsafe_b64encode(raw).decode().rstrip("=") == value[8:], "key with spare bits")
    encoded = int.from_bytes(raw, "little")
    y, sign = encoded & (2**255 - 1), encoded >> 255
    refuse_unless(y < _P, "y")
    x2 = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    refuse_unless(x2 == 0 or pow(x2, (_P - 1) // 2, _P) == 1, "no point of the curve")
    refuse_unless(not (x2 == 0 and sign), "no point of the curve")
    # Eight times the point is the neutral element (y = 1) for a small order; y² is all that doubling needs of it.
    for _ in range(3):
        y2 = y * y % _P
        x2 = (y2 - 1) * pow(_D * y2 + 1, -1, _P) % _P
        y = (y2 + x2) * pow(1 - _D * x2 * y2, -1, _P) % _P
    refuse_unless(y != 1, "small order")
    return raw


def key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]


def verified(key: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def verified_mldsa(key: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        MLDSA44PublicKey.from_public_bytes(key).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def encoding(kind: str, payload: bytes) -> bytes:
    """Returns the bytes to sign."""
    return b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)


def mldsa_key(value: Any) -> bytes:
    """Returns the 1 312 bytes of an ML-DSA-44 key in base64."""
    raw = bytes(binary(value))
    refuse_unless(len(raw) == 1312, "length of the ML-DSA key")
    return raw


def open_statement(data: bytes, name: str, approvers: Sequence[Mapping[str, Any]]) -> bytes:
    """The payload of an owner's statement: both keys of one approver signed it."""
    for each in approvers:
        try:
            return open_hybrid(data, name, each["key"], each["mldsa"], limit=6 << 20)
        except UnsignedError:
            continue
    raise UnsignedError


def open_hybrid(data: bytes, name: str, key: bytes, second: bytes, *, limit: int) -> bytes:
    """The payload that one signer, with the Ed25519 key `key` and the ML-DSA key `second`, signed as a `name`."""
    whole = fields(
        parse(data, limit=limit),
        {
            "payload": binary,
            "payloadType": matching(r"(?s).*"),
            "signatures": many(lambda each: fields(each, {"keyid": KEY_ID, "sig": binary}), 1, 2),
        },
    )
    kind, signatures = f"application/vnd.doorward.{name}+json", whole["signatures"]
    refuse_unless(whole["payloadType"] == kind, "another type")
    refuse_unless([len(each["sig"]) for each in signatures] in ([64], [64, 2420]), "length of a signature")
    if [each["keyid"] for each in signatures] != [key_id(key), key_id(second)]:
        raise UnsignedError
    payload = bytes(whole["payload"])
    signed = encoding(kind, payload)
    if not verified(key, signatures[0]["sig"], signed):
        raise UnsignedError
    try:
        MLDSA44PublicKey.from_public_bytes(second).verify(signatures[1]["sig"], signed)
    except InvalidSignature:
        raise UnsignedError from None
    return payload


def root_pair(value: Any) -> tuple[bytes, bytes]:
    """Returns the Ed25519 key of a root's pair, and the SHA-256 of its ML-DSA-44 key."""
    refuse_unless(isinstance(value, str) and value.count("+mldsa44:") == 1, "a pair of keys")
    first, second = value.split("+mldsa44:")
    refuse_unless(re.fullmatch(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", second) is not None, "hash of the second key")
    return public_key(first), base64.urlsafe_b64decode(second + "=")


def signed_by_pair(pair: tuple[bytes, bytes], signature: bytes, signed: bytes) -> bool:
    """True if both halves signed: 64 bytes by Ed25519, 2 420 by ML-DSA-44, and the second key itself."""
    first, second, key = signature[:64], signature[64:2484], signature[2484:]
    return (
        hashlib.sha256(key).digest() == pair[1]
        and verified(pair[0], first, signed)
        and verified_mldsa(key, second, signed)
    )


def signed_by_roots(data: bytes, name: str, limit: int) -> tuple[bytes, dict[str, bytes]]:
    """The payload of a root's message, and its signatures by the id of the pair. Nothing is verified."""
    whole = fields(
        parse(data, limit=limit),
        {
            "payload": binary,
            "payloadType": matching(r"(?s).*"),
            "signatures": many(lambda each: fields(each, {"keyid": KEY_ID, "sig": binary}), 1, 17),
        },
    )
    names = [each["keyid"] for each in whole["signatures"]]
    refuse_unless(whole["payloadType"] == f"application/vnd.doorward.{name}+json", "another type")
    refuse_unless(names == sorted(set(names)), "order of the signatures")
    lengths = {len(each["sig"]) for each in whole["signatures"]}
    if 64 in lengths:
        raise UnsignedError
    refuse_unless(lengths == {64 + 2420 + 1312}, "length of a signature")
    return bytes(whole["payload"]), {each["keyid"]: bytes(each["sig"]) for each in whole["signatures"]}


def open_envelope(data: bytes, name: str, keys: Mapping[str, bytes], *, limit: int = 12_288) -> bytes:
    """The payload that one of `keys` signed as a `name`; what it says is not read yet."""
    whole = fields(
        parse(data, limit=limit),
        {
            "payload": binary,
            "payloadType": matching(r"(?s).*"),
            "signatures": many(lambda each: fields(each, {"keyid": KEY_ID, "sig": binary}), 1, 1),
        },
    )
    [signature] = whole["signatures"]
    refuse_unless(len(signature["sig"]) == 64, "length of the signature")
    kind = f"application/vnd.doorward.{name}+json"
    key, payload = keys.get(signature["keyid"]), bytes(whole["payload"])
    if whole["payloadType"] != kind or key is None or not verified(key, signature["sig"], encoding(kind, payload)):
        raise UnsignedError
    return payload
