"""The QR code that an owner shows to the camera of a new doorbell (docs/decisions: "Set up by the camera").

    DW1:base32(secret 16 · country 2 · ssid · password · name · zone · check 4)

`ssid`, `password`, `name` and `zone` are each one byte of length, then that many bytes. `check` is the beginning of the
SHA-256 of all before it, because a QR decoder may return a wrong text. Base32 without padding fits the alphanumeric
mode of QR codes. Pure; `agent/web/src/set_up/code.js` writes the same form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from agent.core.setup_state import LONGEST_TEXT, PREFIX
from agent.errors import FormatError

__all__ = ["CODE_LIFE_S", "SetupCode", "parse_setup_code"]

CODE_LIFE_S: Final = 15 * 60
"""A browser may use the pairing code for this many seconds after the doorbell has joined the network."""
_SECRET_BYTES: Final = 16
_CHECK_BYTES: Final = 4
_LONGEST_SSID: Final = 32
_PASSWORD: Final = re.compile(r"[\x20-\x7e]{8,63}")
"""IEEE 802.11, annex J.4: a passphrase is 8 to 63 printable ASCII characters."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_ZONE: Final = re.compile(r"(?=.{0,32}\Z)([A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2})?")
"""A name of the IANA's database of time zones. It becomes a path on the doorbell, so it has no dots."""
_NO_COUNTRY: Final = b"\0\0"
_PAIRING: Final = b"doorward set-up pairing v1"
_PROOF: Final = b"doorward set-up authority v1"
_CODE_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class SetupCode:
    """`ssid` is empty for a doorbell with a cable, `password` for an open network. `country` is an ISO 3166 code, or
    empty. `name` is the doorbell's name on the network. `zone` is the time zone of its private and quiet hours, as the
    IANA calls it, or empty."""

    secret: bytes
    ssid: str
    password: str
    name: str
    country: str = ""
    zone: str = ""

    @property
    def id(self) -> str:
        """Names this code in files and logs. It tells nothing of the secret."""
        return hashlib.sha256(self.secret).hexdigest()[:16]

    @property
    def pairing_code(self) -> str:
        """Lets the browser in that made the QR code. Twenty characters of `0-9A-F`: 80 bits."""
        return hmac.digest(self.secret, _PAIRING, "sha256").hex().upper()[:_CODE_DIGITS]

    def proof(self, authority: bytes) -> bytes:
        """Shows the browser that made the QR code that `authority` (DER) is this doorbell's."""
        return hmac.digest(self.secret, _PROOF + authority, "sha256")

    def text(self) -> str:
        """Writes the text of the QR code."""
        fields = [value.encode() for value in (self.ssid, self.password, self.name, self.zone)]
        country = self.country.encode("ascii") or _NO_COUNTRY
        body = self.secret + country + b"".join(bytes([len(each)]) + each for each in fields)
        check = hashlib.sha256(body).digest()[:_CHECK_BYTES]
        return PREFIX + base64.b32encode(body + check).decode("ascii").rstrip("=")


def parse_setup_code(text: str) -> SetupCode:
    """Reads the text of a QR code. Raises `FormatError` for anything but exactly one valid code.

    The message never quotes the text, because it may hold a password.
    """
    body = _body_of(text)
    secret, country, rest = body[:_SECRET_BYTES], body[_SECRET_BYTES : _SECRET_BYTES + 2], body[_SECRET_BYTES + 2 :]
    ssid, rest = _field(rest)
    password, rest = _field(rest)
    name, rest = _field(rest)
    zone, rest = _field(rest)
    # In bytes: IEEE 802.11 limits an SSID to 32 octets.
    if rest or len(ssid.encode()) > _LONGEST_SSID or not ssid.isprintable():
        raise FormatError("This set-up code has no valid Wi-Fi name.")
    if password and not (ssid and _PASSWORD.fullmatch(password)):
        raise FormatError("This set-up code has no valid Wi-Fi password.")
    if not _NAME.fullmatch(name):
        raise FormatError("This set-up code has no valid name of a doorbell.")
    place = "" if country == _NO_COUNTRY else country.decode("ascii", "replace")
    if place and not _COUNTRY.fullmatch(place):
        raise FormatError("This set-up code has no valid country.")
    if not _ZONE.fullmatch(zone):
        raise FormatError("This set-up code has no valid time zone.")
    return SetupCode(secret, ssid, password, name, place, zone)


def _body_of(text: str) -> bytes:
    digits = text.removeprefix(PREFIX)
    if digits == text or len(text) > LONGEST_TEXT:
        raise FormatError("This is no set-up code.")
    try:
        data = base64.b32decode(digits.encode("ascii") + b"=" * (-len(digits) % 8))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise FormatError("This is no set-up code.") from error
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if len(body) < _SECRET_BYTES + 2 or hashlib.sha256(body).digest()[:_CHECK_BYTES] != check:
        raise FormatError("This set-up code was read wrongly.")
    # One code has one text: otherwise the same secret could come as a second code.
    if base64.b32encode(data).decode("ascii").rstrip("=") != digits:
        raise FormatError("This set-up code is not in its canonical form.")
    return body


def _field(rest: bytes) -> tuple[str, bytes]:
    """Returns the first field of `rest`, and what follows."""
    length = rest[0] if rest else 0
    value = rest[1 : 1 + length]
    if not rest or len(value) != length:
        raise FormatError("This set-up code ends early.")
    try:
        return value.decode(), rest[1 + length :]
    except UnicodeDecodeError as error:
        raise FormatError("This set-up code holds no UTF-8.") from error
