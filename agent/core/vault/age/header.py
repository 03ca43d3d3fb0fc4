"""The header of an age file: the version line, one stanza per recipient, and a MAC under the file key.

    age-encryption.org/v1
    -> KIND ARGUMENT …
    BASE64 in lines of 64 columns, ended by a shorter line, which may be empty
    --- BASE64 of the MAC

The parser accepts exactly the bytes that the serialiser writes: for every accepted header, `serialise()` returns the
same bytes. Lines, spaces and base64 have one form each. With a lenient decoder, any attacker could rewrite a header
into other bytes that mean the same. A hash of the header, which an owner's approval signs, would then name one of many
equal files. For example, the base64 text `Zh` is refused, because `Zg` is the text of the same byte.

A reader skips kinds of stanzas that it does not know. This module therefore checks the shape of a stanza, and the
identity that claims the stanza checks its meaning. Only a holder of the file key can make a valid MAC. `opening` checks
it.

Source: c2sp.org/age, "Conventions", "Header" and "Recipient stanza"; RFC 4648, sections 3.5 and 4; RFC 5869.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.errors import FormatError

__all__ = [
    "LONGEST_HEADER_BYTES",
    "Header",
    "Stanza",
    "from_base64",
    "header_mac",
    "hkdf",
    "parse_header",
    "parse_stanzas",
    "read_header",
    "split",
    "to_base64",
]


def to_base64(data: bytes) -> str:
    """Returns `data` as unpadded standard base64 on one line."""
    return base64.b64encode(data).rstrip(b"=").decode("ascii")


def from_base64(text: str) -> bytes:
    """Returns the bytes of one canonical, unpadded base64 text. Raises `FormatError` for any other spelling of them."""
    try:
        data = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise FormatError("A base64 text in the age header is malformed.") from error
    # Catches padding that was already there, and unused low bits other than zero.
    if to_base64(data) != text:
        raise FormatError("A base64 text in the age header is not in its canonical form.")
    return data


def hkdf(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Returns 32 bytes of key for the purpose that `info` names."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


_COLUMNS = 64
_ARGUMENT = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Stanza:
    """One stanza. `kind` and `arguments` must be non-empty printable ASCII, spaces excluded. Raises `FormatError`."""

    kind: str
    arguments: tuple[str, ...]
    body: bytes

    def __post_init__(self) -> None:
        if not all(_ARGUMENT.fullmatch(word) for word in (self.kind, *self.arguments)):
            raise FormatError("An age stanza has an empty argument or one with unprintable characters.")

    def serialise(self) -> str:
        """Returns the stanza's lines. Every line, including the last, ends with a line feed."""
        encoded = to_base64(self.body)
        # Goes one step past the end: a body that fills its last line still needs the empty line that ends a stanza.
        lines = [encoded[i : i + _COLUMNS] for i in range(0, len(encoded) + 1, _COLUMNS)]
        return "\n".join((" ".join(("->", self.kind, *self.arguments)), *lines, ""))


def parse_stanzas(lines: Iterable[str]) -> Iterator[Stanza]:
    """Yields the stanzas made of exactly these `lines` (without line feeds). Raises `FormatError` at the first bad
    one."""
    rest = iter(lines)
    for line in rest:
        mark, *words = line.split(" ")
        if mark != "->" or not words:
            raise FormatError("An age header has a line that belongs to no stanza.")
        kind, *arguments = words
        yield Stanza(kind, tuple(arguments), _body(rest))


def _body(rest: Iterator[str]) -> bytes:
    encoded: list[str] = []
    for line in rest:
        encoded.append(line)
        if len(line) < _COLUMNS:
            return from_base64("".join(encoded))
        if len(line) > _COLUMNS:
            raise FormatError("An age stanza has a line of more than 64 columns.")
    raise FormatError("An age stanza is not ended by a short line.")


LONGEST_HEADER_BYTES = 64 * 1024
"""Room for 40 hybrid recipients. The bound limits the memory for a file that lacks a MAC line."""

_VERSION_LINE = "age-encryption.org/v1"
_MAC_MARK = "---"
_MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class Header:
    """One or more stanzas and the 32-byte MAC, which `opening` checks. Raises `FormatError` for anything else."""

    stanzas: tuple[Stanza, ...]
    mac: bytes

    def __post_init__(self) -> None:
        if not self.stanzas or len(self.mac) != _MAC_BYTES:
            raise FormatError("An age header has no recipient or a MAC of the wrong length.")

    def serialise(self) -> bytes:
        """Returns the header's bytes. The payload follows them immediately."""
        return _authenticated_part(self.stanzas) + f" {to_base64(self.mac)}\n".encode("ascii")


def header_mac(file_key: bytes, stanzas: Iterable[Stanza]) -> bytes:
    """Returns the MAC that binds `stanzas`: adding, dropping or changing a recipient takes the file key."""
    mac = HMAC(hkdf(file_key, salt=b"", info=b"header"), SHA256())
    mac.update(_authenticated_part(stanzas))
    return mac.finalize()


def parse_header(data: bytes) -> tuple[Header, int]:
    """Returns the header that `data` begins with, and its length in bytes. Raises `FormatError` if there is none."""
    length = split(data)
    try:
        first, *stanza_lines, last = data[: length - 1].decode("ascii").split("\n")
    except ValueError as error:
        raise FormatError("An age header holds bytes that are not ASCII, or has no stanza.") from error
    if first != _VERSION_LINE:
        raise _not_this_version(first)
    mark, _, mac = last.partition(" ")
    if mark != _MAC_MARK:
        raise FormatError("The MAC line of an age header is malformed.")
    return Header(tuple(parse_stanzas(stanza_lines)), from_base64(mac)), length


def split(source: bytes | BinaryIO) -> int:
    """Returns the offset at which the header of `source` ends and the payload starts. Raises `FormatError` if no header
    ends.

    If `source` is a reader, its position is then that offset. This function only looks for the end: call `parse_header`
    to check the header.
    """
    return len(_header_of(_lines(source)) if isinstance(source, bytes) else read_header(source))


def read_header(reader: BinaryIO) -> bytes:
    """Returns the raw header bytes and leaves `reader` at the payload. Raises `FormatError` if no header ends in 64
    KiB."""
    return _header_of(iter(lambda: reader.readline(LONGEST_HEADER_BYTES), b""))


def _header_of(lines: Iterator[bytes]) -> bytes:
    header = bytearray()
    for line in lines:
        header += line
        if not line.endswith(b"\n") or len(header) > LONGEST_HEADER_BYTES:
            break
        # "-" is no base64 character and a stanza starts with "->", so this can only be the MAC line. As a first line
        # it begins an armored file.
        if line.startswith(_MAC_MARK.encode("ascii")) and len(header) > len(line):
            return bytes(header)
    if not header.startswith(_VERSION_LINE.partition("/")[0].encode("ascii")):
        raise _not_this_version(header[:32].decode("ascii", "replace"))
    raise FormatError("The header of this age file is cut off or longer than any sound one.")


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < min(len(data), LONGEST_HEADER_BYTES):
        end = data.find(b"\n", start, LONGEST_HEADER_BYTES) + 1 or len(data)
        yield data[start:end]
        start = end


def _authenticated_part(stanzas: Iterable[Stanza]) -> bytes:
    text = f"{_VERSION_LINE}\n" + "".join(stanza.serialise() for stanza in stanzas) + _MAC_MARK
    return text.encode("ascii")


def _not_this_version(first_line: str) -> FormatError:
    if first_line.startswith("age-encryption.org/"):
        return FormatError("This age file is of a version other than v1.", remedy="Update Doorward, or use `age`.")
    if first_line.startswith("-----BEGIN AGE"):
        return FormatError("This age file is armored (text).", remedy="Take the armor off first.")
    return FormatError("This is not an age file.")
