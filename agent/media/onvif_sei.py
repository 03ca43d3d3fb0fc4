"""SEI messages of ONVIF Media Signing, as NAL units of H.264 and HEVC: built and parsed, without cryptography.

A message is a NAL unit of type SEI with one payload, "user data unregistered": a UUID, a byte of flags, and fields,
each a tag, a length of two bytes and a value. The last field is the signature. It covers the NAL unit from its first
byte to the field before it (the *document*), with the emulation prevention bytes as they stand in the stream.

Numbers of several bytes begin with the highest. The text of the specification says "little endian" for three of them.
ONVIF's own implementation writes and reads them with the highest byte first, so every known validator expects that.

Source: ONVIF Media Signing Specification 25.12 and 26.06; ITU-T H.264, 7.3.2.3 and D.1.7; H.265, 7.3.2.4 and D.2.7.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agent.core.media import VideoCodec
from agent.errors import FormatError
from agent.wire.capture_document import (
    LARGEST_SEI_BYTES,
    MEDIA_SIGNING_UUID,
    USER_DATA_UNREGISTERED,
    payload_size,
)

__all__ = [
    "HASH_BYTES",
    "MOST_SIGNATURE_BYTES",
    "GopStatement",
    "MediaSei",
    "VendorInfo",
    "certificate_document",
    "gop_document",
    "is_certificate_sei",
    "is_media_sei",
    "parse_sei",
    "signed_sei",
]

HASH_BYTES: Final = 32
"""SHA-256, the only hash that Doorward writes or verifies."""
MOST_SIGNATURE_BYTES: Final = 72
"""Room for an ECDSA signature of P-256 in DER. It is the same in each message, so that the length is known before."""

_HEADER: Final = {VideoCodec.H264: b"\x06", VideoCodec.HEVC: b"\x4e\x01"}
"""NAL unit headers: H.264 type 6, HEVC type 39 (prefix SEI) of layer 0."""
_SEI_TYPES: Final = {VideoCodec.H264: (6,), VideoCodec.HEVC: (39, 40)}
_STOP: Final = b"\x80"

_CERTIFICATE_FLAG: Final = 0x80
_ESCAPED_FLAG: Final = 0x40
"""The signature covers the bytes with emulation prevention."""

_GENERAL, _HASHES, _SIGNATURE, _CRYPTO, _VENDOR, _CHAIN = 1, 2, 3, 4, 5, 6
_MOST_FIELD_BYTES: Final = 0xFFFF
_REVISION: Final = bytes((25, 12, 0))
"""The oldest revision of the specification with these fields, so that older validators accept it too."""
_SHA256_OID: Final = bytes.fromhex("0609608648016503040201")
"""2.16.840.1.101.3.4.2.1 in DER."""
_GENERAL_FIELDS: Final = struct.Struct(">B3sBQQIH")
_TAG: Final = struct.Struct(">BH")


@dataclass(frozen=True, slots=True)
class GopStatement:
    """The statement of one message about a GOP, or about a part of one.

    `partial`: it ends before its GOP does. `start` and `end`: times of its first picture and of the next GOP's, in 100
    ns since 1601 (UTC), 0 if the clock was unknown. `counter` goes up by one from message to message. `units`:
    the number of hashes in `gop_hash`. `linked`: the first hash of the GOP signed before; zeros for the first one.
    `hashes`: one for each unit, or empty.
    """

    partial: bool
    start: int
    end: int
    counter: int
    units: int
    gop_hash: bytes
    linked: bytes
    hashes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class VendorInfo:
    """The program, the device and its maker. Each at most 255 bytes of ASCII."""

    version: str
    serial: str
    manufacturer: str


@dataclass(frozen=True, slots=True)
class MediaSei:
    """A parsed message: of a GOP if it has a `statement`, otherwise of a certificate.

    `document`: the bytes that `signature` covers. `chain`: certificates in PEM, the leaf first.

    `signature` is None if the message has none. `foreign_hash`: it names another hash than SHA-256.
    """

    document: bytes
    statement: GopStatement | None
    signature: bytes | None
    chain: bytes | None
    vendor: VendorInfo | None
    foreign_hash: bool = False


def gop_document(statement: GopStatement, codec: VideoCodec) -> bytes:
    """Returns the document of a GOP's message, to be signed. Raises `FormatError` if it has too many hashes."""
    general = _GENERAL_FIELDS.pack(
        2, _REVISION, statement.partial, statement.start, statement.end, statement.counter, statement.units
    )
    fields = _field(_GENERAL, general + statement.gop_hash + statement.linked)
    if statement.hashes:
        fields += _field(_HASHES, b"\x01" + b"".join(statement.hashes))
    return _document(fields, 0, codec)


def certificate_document(chain: bytes, vendor: VendorInfo, codec: VideoCodec) -> bytes:
    """Returns the document of a certificate message, to be signed. `chain`: PEM without the root, the leaf first."""
    crypto = bytes((1, len(_SHA256_OID))) + _SHA256_OID + bytes(3)  # an elliptic curve needs no algorithm and no size
    texts = [text.encode("ascii") for text in (vendor.version, vendor.serial, vendor.manufacturer)]
    fields = _field(_CRYPTO, crypto)
    fields += _field(_VENDOR, b"\x01" + b"".join(bytes((len(text),)) + text for text in texts))
    fields += _field(_CHAIN, b"\x01\x00" + chain)  # 0: the key is the device's own
    return _document(fields, _CERTIFICATE_FLAG, codec)


def signed_sei(document: bytes, signature: bytes) -> bytes:
    """Returns the NAL unit, without a start code: the document, the field with its signature, and the stop bit."""
    if len(signature) > MOST_SIGNATURE_BYTES:
        raise FormatError("A signature of a GOP is too long.")
    value = b"\x01" + len(signature).to_bytes(2) + signature.ljust(MOST_SIGNATURE_BYTES, b"\x01")
    # Bytes are escaped one after the other, so the document stays the beginning of the unit.
    return _escaped(_unescaped(document) + _field(_SIGNATURE, value) + _STOP)


def is_media_sei(unit: bytes, codec: VideoCodec) -> bool:
    """Returns whether this NAL unit is a message of ONVIF Media Signing, by whichever maker."""
    return _is_sei(unit, codec) and _payload(unit, len(_HEADER[codec])) is not None


def is_certificate_sei(unit: bytes, codec: VideoCodec) -> bool:
    """Returns whether this NAL unit is a certificate message, which a film needs once."""
    begin = _payload(unit, len(_HEADER[codec])) if _is_sei(unit, codec) else None
    return begin is not None and unit[begin + len(MEDIA_SIGNING_UUID) :][:1] >= bytes((_CERTIFICATE_FLAG,))


def parse_sei(unit: bytes, codec: VideoCodec) -> MediaSei:
    """Parses a NAL unit that `is_media_sei`. Raises `FormatError`."""
    header = len(_HEADER[codec])
    begin = _payload(unit, header) if _is_sei(unit, codec) else None
    if begin is None or len(unit) > LARGEST_SEI_BYTES:
        raise FormatError("This is not a message of ONVIF Media Signing.")
    plain = _unescaped(unit)
    # Size bytes and UUID never need escaping, so the payload begins at the same place in both.
    size = payload_size(unit, header + 1)[0]
    # One spelling for each message: otherwise bytes that no signature covers could be added or changed.
    if begin + size + 1 != len(plain) or plain[-1:] != _STOP or _escaped(plain) != unit:
        raise _malformed()
    flags, payload = plain[begin + len(MEDIA_SIGNING_UUID)], plain[begin + len(MEDIA_SIGNING_UUID) + 1 : begin + size]
    fields, signed_at = _fields(payload)
    hidden = len(plain) - 1 - len(payload) + signed_at
    document = _escaped(plain[:hidden]) if flags & _ESCAPED_FLAG else plain[:hidden]
    signature, statement = fields.get(_SIGNATURE), _statement(fields)
    # A message is of a certificate or of a GOP. The flag and the fields must say the same.
    if bool(flags & _CERTIFICATE_FLAG) == (statement is not None):
        raise _malformed()
    return MediaSei(
        document if signature is not None else unit,
        statement,
        _signature(signature) if signature is not None else None,
        _versioned(fields[_CHAIN])[1:] if _CHAIN in fields else None,
        _vendor(_versioned(fields[_VENDOR])) if _VENDOR in fields else None,
        _CRYPTO in fields and not _versioned(fields[_CRYPTO]).startswith(bytes((len(_SHA256_OID),)) + _SHA256_OID),
    )


def _document(fields: bytes, flags: int, codec: VideoCodec) -> bytes:
    # The signature's field counts: its length is known before it is made.
    size = len(MEDIA_SIGNING_UUID) + 1 + len(fields) + _TAG.size + 3 + MOST_SIGNATURE_BYTES
    begin = _HEADER[codec] + USER_DATA_UNREGISTERED + b"\xff" * (size // 255) + bytes((size % 255,))
    return _escaped(begin + MEDIA_SIGNING_UUID + bytes((flags | _ESCAPED_FLAG,)) + fields)


def _field(tag: int, value: bytes) -> bytes:
    if len(value) > _MOST_FIELD_BYTES:
        raise FormatError("A field of a GOP's message is too long.")
    return _TAG.pack(tag, len(value)) + value


def _is_sei(unit: bytes, codec: VideoCodec) -> bool:
    if len(unit) <= len(_HEADER[codec]):
        return False
    kind = unit[0] & 0x1F if codec is VideoCodec.H264 else unit[0] >> 1 & 0x3F
    return kind in _SEI_TYPES[codec]


def _payload(unit: bytes, header: int) -> int | None:
    """Returns where the payload begins, at its UUID. None if the unit has another payload."""
    if unit[header : header + 1] != USER_DATA_UNREGISTERED:
        return None
    begin = payload_size(unit, header + 1)[1]
    return begin if unit.startswith(MEDIA_SIGNING_UUID, begin) else None


def _fields(payload: bytes) -> tuple[dict[int, bytes], int]:
    """Returns the fields by tag, and the offset at which the signature's field begins (the end without one).

    Raises `FormatError` for an unknown tag, a tag that comes twice, and fields after the signature.
    """
    found: dict[int, bytes] = {}
    at = signed_at = 0
    while at < len(payload):
        if _SIGNATURE in found or len(payload) - at < _TAG.size:
            raise _malformed()
        tag, length = _TAG.unpack_from(payload, at)
        signed_at = at if tag == _SIGNATURE else at + _TAG.size + length
        value = payload[at + _TAG.size : at + _TAG.size + length]
        if len(value) != length or tag in found or not _GENERAL <= tag <= _CHAIN:
            raise _malformed()
        found[tag] = value
        at += _TAG.size + length
    return found, signed_at


def _statement(fields: dict[int, bytes]) -> GopStatement | None:
    if _GENERAL not in fields:
        return None
    general = fields[_GENERAL]
    if len(general) != _GENERAL_FIELDS.size + 2 * HASH_BYTES:
        raise _malformed()
    version, _revision, partial, start, end, counter, units = _GENERAL_FIELDS.unpack_from(general)
    listed = _versioned(fields[_HASHES]) if _HASHES in fields else b""
    if version != 2 or partial > 1 or len(listed) % HASH_BYTES:
        raise _malformed()
    hashes = tuple(listed[at : at + HASH_BYTES] for at in range(0, len(listed), HASH_BYTES))
    gop_hash, linked = general[-2 * HASH_BYTES : -HASH_BYTES], general[-HASH_BYTES:]
    return GopStatement(bool(partial), start, end, counter, units, gop_hash, linked, hashes)


def _signature(value: bytes) -> bytes:
    value = _versioned(value)
    length = int.from_bytes(value[:2])
    if len(value) < 2 or length > len(value) - 2:
        raise _malformed()
    return value[2 : 2 + length]


def _vendor(value: bytes) -> VendorInfo:
    texts = list(_texts(value))
    if len(texts) != 3:
        raise _malformed()
    return VendorInfo(*texts)


def _texts(value: bytes) -> Iterator[str]:
    at = 0
    while at < len(value):
        text = value[at + 1 : at + 1 + value[at]]
        if len(text) != value[at] or not text.isascii():
            raise _malformed()
        at += 1 + len(text)
        yield text.decode("ascii")


def _versioned(value: bytes) -> bytes:
    """Returns the value of a field without its version, which must be 1."""
    if value[:1] != b"\x01":
        raise _malformed()
    return value[1:]


def _escaped(data: bytes) -> bytes:
    """Inserts emulation prevention bytes: three bytes 0, 0, and at most 3 would look like a start code."""
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", data)


def _unescaped(data: bytes) -> bytes:
    return data.replace(b"\x00\x00\x03", b"\x00\x00")


def _malformed() -> FormatError:
    return FormatError("A message of ONVIF Media Signing is malformed.")
