"""Messages of ONVIF Media Signing in a film, read and written: FORMAT.md, "Capture signatures"."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey

from tests.second_reader.envelope import key_id, verified
from tests.second_reader.json_once import RefusedError, refuse_unless

_UUID = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
_SHA256 = bytes.fromhex("0b0609608648016503040201")
_ZEROS = bytes(32)
_OWN = x509.ObjectIdentifier("2.25.173937755466919574415205064005060301332")


@dataclass
class Message:
    """One message. `general`: the fields of a GOP by name, empty for a certificate message."""

    signed: bytes
    signature: bytes | None
    fields: dict[int, bytes]
    general: dict[str, int] = field(default_factory=dict)
    gop_hash: bytes = b""
    linked: bytes = b""


@dataclass
class Judged:
    """A film. `proven`: the number of messages that prove their slices; `faulty`: GOPs with a fault, from 1."""

    proven: int = 0
    faulty: set[int] = field(default_factory=set)
    behind: int = 0
    """Slices behind the last message."""
    messages: int = 0

    @property
    def whole(self) -> bool:
        return self.proven > 0 and not self.faulty and not self.behind


def units_of(film: bytes) -> tuple[bool, list[bytes]]:
    """Returns whether the film is of H.265, and its NAL units."""
    at, found = 0, []
    while at < len(film):
        size, kind = int.from_bytes(film[at : at + 4], "big"), film[at + 4 : at + 8]
        refuse_unless(len(film) - at >= 8 and 8 <= size <= len(film) - at, "boxes do not fill it")
        inner, end = at + 8, at + size
        while kind == b"mdat" and inner < end:
            length = int.from_bytes(film[inner : inner + 4], "big")
            refuse_unless(0 < length <= end - inner - 4, "a unit cut short")
            found.append(film[inner + 4 : inner + 4 + length])
            inner += 4 + length
        at = end
    head = film[: film.index(b"moof")]
    return b"hvc1" in head, found


def _type(unit: bytes, hevc: bool) -> int:
    return unit[0] >> 1 & 63 if hevc else unit[0] & 31


def is_slice(unit: bytes, hevc: bool) -> bool:
    return _type(unit, hevc) < 32 if hevc else 1 <= _type(unit, hevc) <= 5


def _begins(unit: bytes, hevc: bool) -> bool:
    header = 2 if hevc else 1
    keyframe = 16 <= _type(unit, hevc) <= 23 if hevc else _type(unit, hevc) == 5
    return keyframe and len(unit) > header and unit[header] >= 0x80


def _uuid_at(unit: bytes, hevc: bool) -> int:
    """The place of the UUID in a message, 0 in another unit."""
    header = 2 if hevc else 1
    if len(unit) <= header or _type(unit, hevc) not in ((39, 40) if hevc else (6,)) or unit[header] != 5:
        return 0
    at = header + 1
    while unit[at : at + 1] == b"\xff":
        at += 1
    return at + 1 if unit[at + 1 : at + 17] == _UUID else 0


def is_message(unit: bytes, hevc: bool) -> bool:
    return _uuid_at(unit, hevc) > 0


def stripped(data: bytes) -> bytes:
    out, zeros = bytearray(), 0
    for byte in data:
        if zeros >= 2 and byte == 3:
            zeros = 0
            continue
        zeros = zeros + 1 if byte == 0 else 0
        out.append(byte)
    return bytes(out)


def prevented(data: bytes) -> bytes:
    out, zeros = bytearray(), 0
    for byte in data:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        zeros = zeros + 1 if byte == 0 else 0
        out.append(byte)
    return bytes(out)


def read_message(unit: bytes, hevc: bool) -> Message:
    """Raises `RefusedError` for a malformed one."""
    refuse_unless(len(unit) <= 1 << 18, "too long")
    plain, uuid = stripped(unit), _uuid_at(unit, hevc)
    refuse_unless(prevented(plain) == unit, "another emulation prevention")
    header = 3 if hevc else 2
    size = sum(plain[header:uuid])
    refuse_unless(len(plain) == uuid + size + 1 and plain[-1] == 0x80, "sizes")
    flags, at, end = plain[uuid + 16], uuid + 17, uuid + size
    found, signed_to = {}, end
    while at < end:
        refuse_unless(end - at >= 3 and 3 not in found, "a field behind the signature, or half of one")
        tag, length = plain[at], int.from_bytes(plain[at + 1 : at + 3], "big")
        refuse_unless(1 <= tag <= 6 and tag not in found and at + 3 + length <= end, "a field")
        if tag == 3:
            signed_to = at
        found[tag] = plain[at + 3 : at + 3 + length]
        at += 3 + length
    for tag, value in found.items():
        refuse_unless(value[:1] == (b"\x02" if tag == 1 else b"\x01"), "another first byte")
    refuse_unless((1 in found) != (flags >= 0x80), "neither of a GOP nor of a certificate, or both")
    signature = None
    if 3 in found:
        length = int.from_bytes(found[3][1:3], "big")
        refuse_unless(len(found[3]) >= 3 + length, "the signature")
        signature = found[3][3 : 3 + length]
    signed = plain[:signed_to]
    # The bytes are prevented one after the other, so the signed ones are the beginning of the unit.
    message = Message(prevented(signed) if flags & 0x40 else signed, signature, found)
    if 2 in found:
        refuse_unless(len(found[2]) % 32 == 1, "half a hash")
    if 5 in found:
        refuse_unless(len(_texts(found[5][1:])) == 3, "three texts")
    if 1 in found:
        _read_general(message, found[1])
    return message


def _read_general(message: Message, value: bytes) -> None:
    refuse_unless(len(value) == 91 and value[4] <= 1, "the field of a GOP")
    places = {"goes_on": (4, 5), "start": (5, 13), "end": (13, 21), "counter": (21, 25), "slices": (25, 27)}
    message.general = {name: int.from_bytes(value[one:other], "big") for name, (one, other) in places.items()}
    message.gop_hash, message.linked = value[27:59], value[59:]


def _texts(value: bytes) -> list[bytes]:
    texts = []
    while value:
        text = value[1 : 1 + value[0]]
        refuse_unless(len(text) == value[0] and text.isascii(), "a text")
        texts.append(text)
        value = value[1 + len(text) :]
    return texts


Key = Callable[[bytes, bytes], bool]


def _key_of(chain: bytes, device: bytes) -> Key | None:
    """The check of a capture key, or None if the device did not issue it."""
    try:
        leaf = x509.load_pem_x509_certificate(chain)
        key = leaf.public_key()
        issued = verified(device, leaf.signature, leaf.tbs_certificate_bytes)
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm):
        return None
    if len(chain) > 16_384 or not issued or not isinstance(key, EllipticCurvePublicKey):
        return None
    if not isinstance(key.curve, SECP256R1):
        return None
    return _signs(key)


def maker_key(chain: bytes, authority: bytes) -> Key | None:
    """The check of a camera's key, or None if the maker's authority (a certificate in PEM) did not issue it."""
    leaf, issuer = x509.load_pem_x509_certificate(chain), x509.load_pem_x509_certificate(authority)
    try:
        leaf.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return None
    key = leaf.public_key()
    return _signs(key) if isinstance(key, EllipticCurvePublicKey) else None


def _signs(key: EllipticCurvePublicKey) -> Key:
    def signs(signed: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, signed, ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    return signs


def slice_hashes(units: Iterable[bytes], hevc: bool, keyframe: bytes = _ZEROS) -> tuple[list[bytes], bytes]:
    """The hash of each slice, and that of the newest keyframe's first slice."""
    found = []
    for unit in units:
        if is_slice(unit, hevc):
            own = hashlib.sha256(unit).digest()
            if _begins(unit, hevc):
                keyframe = own
                found.append(own)
            else:
                found.append(hashlib.sha256(keyframe + own).digest())
    return found, keyframe


def judge(units: Sequence[bytes], hevc: bool, device: bytes) -> Judged:
    """Judges the pictures of a film, of several in a row, or of a part of one, by the 32 bytes of a device's key."""
    return judge_by(units, hevc, lambda chain: _key_of(chain, device))


def judge_camera(units: Sequence[bytes], hevc: bool, authority: bytes) -> Judged:
    """Judges a film that a camera signed, by its maker's certificate: without messages in front of the first slice."""
    first = next((at for at, unit in enumerate(units) if is_slice(unit, hevc)), len(units))
    before = [unit for unit in units[:first] if is_message(unit, hevc) and not read_message(unit, hevc).general]
    return judge_by([*before, *units[first:]], hevc, lambda chain: maker_key(chain, authority))


def judge_by(units: Sequence[bytes], hevc: bool, key_of: Callable[[bytes], Key | None]) -> Judged:
    """Judges a film. `key_of`: the check of a chain's key, None if that is not trusted."""
    film, key, gop = Judged(), None, 1
    pending: list[bytes] = []
    keyframe, before = _ZEROS, None
    for unit in units:
        if is_slice(unit, hevc):
            if pending and _begins(unit, hevc):
                film.faulty.add(gop)
                gop, pending = gop + 1, []
            more, keyframe = slice_hashes([unit], hevc, keyframe)
            pending += more
        if not is_message(unit, hevc):
            continue
        film.messages += 1
        try:
            message = read_message(unit, hevc)
        except RefusedError:
            film.faulty.add(gop)
            continue
        if not message.general:
            offered = _trusted(message, key_of)
            key = offered or key
            film.faulty |= set() if offered else {gop}
            continue
        good = _proves(message, pending, key) and _follows(message, before)
        film.proven += good
        film.faulty |= set() if good else {gop}
        before = message, pending[0] if good else None
        gop, pending = gop + 1, []
    film.behind = len(pending)
    if not film.messages:
        film.faulty = set()
    return film


def _trusted(message: Message, key_of: Callable[[bytes], Key | None]) -> Key | None:
    if 6 not in message.fields or not message.fields.get(4, b"\x01" + _SHA256)[1:].startswith(_SHA256):
        return None
    key = key_of(message.fields[6][2:])
    return key if key is not None and message.signature is not None and key(message.signed, message.signature) else None


def _proves(message: Message, pending: list[bytes], key: Key | None) -> bool:
    if key is None or message.signature is None or not key(message.signed, message.signature):
        return False
    said = message.general["slices"], message.gop_hash
    return bool(pending) and said == (len(pending), hashlib.sha256(b"".join(pending)).digest())


def _follows(message: Message, before: tuple[Message, bytes | None] | None) -> bool:
    if before is None:
        return True
    one_higher = message.general["counter"] == (before[0].general["counter"] + 1) % 2**32
    return one_higher and before[1] in (None, message.linked)


# -- the other direction


def gop_to_sign(
    slices: Sequence[bytes], linked: bytes, counter: int, times: tuple[int, int], *, listed: bool, hevc: bool
) -> bytes:
    """The beginning of a whole GOP's message, up to the signature. `slices`: their hashes."""
    general = b"\x02\x19\x0c\x00\x00" + b"".join(each.to_bytes(8, "big") for each in times)
    general += counter.to_bytes(4, "big") + len(slices).to_bytes(2, "big")
    general += hashlib.sha256(b"".join(slices)).digest() + linked
    single = written(2, b"\x01" + b"".join(slices)) if listed else b""
    return beginning_of(written(1, general) + single, 0x40, hevc)


def certificate_to_sign(chain: bytes, version: str, device: bytes, *, hevc: bool) -> bytes:
    return certificate_of_maker(chain, (version, key_id(device), "Doorward"), hevc=hevc)


def certificate_of_maker(chain: bytes, names: tuple[str, str, str], *, hevc: bool) -> bytes:
    """The beginning of a certificate message. `names`: version, serial number and maker."""
    texts = [text.encode("ascii") for text in names]
    maker = b"\x01" + b"".join(bytes([len(text)]) + text for text in texts)
    content = written(4, b"\x01" + _SHA256 + bytes(3)) + written(5, maker) + written(6, b"\x01\x00" + chain)
    return beginning_of(content, 0xC0, hevc)


def beginning_of(content: bytes, flags: int, hevc: bool, behind: int = 0) -> bytes:
    """A message up to its signature. `content`: its fields; `behind`: bytes of wrong fields behind the signature."""
    size = 16 + 1 + len(content) + 3 + 3 + 72 + behind
    head = (b"\x4e\x01" if hevc else b"\x06") + b"\x05" + b"\xff" * (size // 255) + bytes([size % 255])
    return prevented(head + _UUID + bytes([flags]) + content)


def message_of(to_sign: bytes, signature: bytes) -> bytes:
    value = b"\x01" + len(signature).to_bytes(2, "big") + signature + b"\x01" * (72 - len(signature))
    return prevented(stripped(to_sign) + written(3, value) + b"\x80")


def written(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + len(value).to_bytes(2, "big") + value


def authority(device: bytes, chain: bytes) -> bytes:
    """The certificate of the authority in PEM, out of the device's key and the capture key's certificate."""
    extensions = x509.load_pem_x509_certificate(chain).extensions
    value = extensions.get_extension_for_oid(_OWN).value
    refuse_unless(isinstance(value, x509.UnrecognizedExtension) and value.value[:2] == b"\x04\x40", "its signature")
    signature = value.public_bytes()[2:]
    body = _authority_to_sign(device)
    refuse_unless(verified(device, signature, body), "its signature")
    whole = _der(0x30, body, _der(0x30, _ED25519), _der(3, b"\0" + signature))
    lines = base64.encodebytes(whole).replace(b"\n", b"")
    wrapped = b"\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + wrapped + b"\n-----END CERTIFICATE-----\n"


_ED25519 = bytes.fromhex("06032b6570")


def _authority_to_sign(device: bytes) -> bytes:
    serial = bytearray(hashlib.sha256(device).digest()[:15])
    serial[-1] |= 1
    number = bytes(serial).lstrip(b"\0")
    name = _der(0x30, *(
        _der(0x31, _der(0x30, _der(6, bytes.fromhex(oid)), _der(0x0C, text.encode())))
        for oid, text in (("55040a", "Doorward"), ("550403", key_id(device)))
    ))  # fmt: skip
    own = hashlib.sha1(device, usedforsecurity=False).digest()
    extensions = [
        ("551d13", True, _der(0x30, b"\x01\x01\xff", b"\x02\x01\x00")),
        ("551d0f", True, b"\x03\x02\x02\x04"),
        ("551d0e", False, _der(4, own)),
        ("551d23", False, _der(0x30, _der(0x80, own))),
    ]
    written = [
        _der(0x30, _der(6, bytes.fromhex(oid)), b"\x01\x01\xff" if critical else b"", _der(4, value))
        for oid, critical, value in extensions
    ]
    return _der(
        0x30,
        _der(0xA0, b"\x02\x01\x02"),
        _der(2, (b"\0" if number[0] >= 0x80 else b"") + number),
        _der(0x30, _ED25519),
        name,
        _der(0x30, _der(0x17, b"200101000000Z"), _der(0x18, b"99991231235959Z")),
        name,
        _der(0x30, _der(0x30, _ED25519), _der(3, b"\0" + device)),
        _der(0xA3, _der(0x30, *written)),
    )


def _der(tag: int, *content: bytes) -> bytes:
    inside = b"".join(content)
    size = len(inside).to_bytes((len(inside).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(inside) < 0x80 else bytes([0x80 | len(size)]) + size) + inside
