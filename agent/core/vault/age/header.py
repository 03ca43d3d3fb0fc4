"""The header of an age file: the version line, one stanza per recipient, and a MAC under the file key.

The parser accepts exactly the bytes that the serialiser writes: for every accepted header, `serialise()` returns the
same bytes. Only a holder of the file key can make a valid MAC. `opening` checks it.

Source: c2sp.org/age, "Header".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from agent.core.vault.age.canonical import from_base64, to_base64
from agent.core.vault.age.derivation import hkdf
from agent.core.vault.age.stanza import Stanza, parse_stanzas
from agent.errors import FormatError

__all__ = ["LONGEST_HEADER_BYTES", "Header", "header_mac", "parse_header", "read_header", "split"]

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
