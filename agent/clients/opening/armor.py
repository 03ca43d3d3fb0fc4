"""The text form of age files: strict PEM with the label AGE ENCRYPTED FILE, for files that travel as text (mostly
identities).

A byte string has exactly one armor, except for line ends (LF, or CRLF throughout) and white space outside. With a more
lenient reader, a stranger could change a file that still opens. Armored files are small, so these functions handle them
whole.

Source: RFC 7468, section 3, figure 3; c2sp.org/age, "ASCII armor".
"""

from __future__ import annotations

import base64
import binascii

from agent.errors import FormatError

__all__ = ["armor", "dearmor", "is_armored"]

_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64
_SPACE = b" \t\r\n"


def armor(data: bytes) -> bytes:
    """Returns `data` as armored text, ended by a line feed."""
    encoded = base64.b64encode(data)
    lines = [encoded[i : i + _COLUMNS] for i in range(0, len(encoded), _COLUMNS)]
    return b"\n".join((_BEGIN, *lines, _END, b""))


def is_armored(data: bytes) -> bool:
    """Returns whether `data` claims to be armored. Call `dearmor` to check the claim."""
    return data.lstrip(_SPACE).startswith(_BEGIN)


def dearmor(text: bytes) -> bytes:
    """Returns the bytes inside an armored `text`. Raises `FormatError` if it is not exactly one armor."""
    stripped = text.strip(_SPACE)
    line_end = b"\r\n" if stripped.startswith(_BEGIN + b"\r\n") else b"\n"
    first, *lines = stripped.split(line_end)
    if first != _BEGIN or not lines or lines.pop() != _END:
        raise FormatError("This is not an armored age file: its first or last line is wrong.")
    if any(len(line) != _COLUMNS for line in lines[:-1]) or not all(0 < len(line) <= _COLUMNS for line in lines):
        raise FormatError("The lines of an armored age file have the wrong length.")
    encoded = b"".join(lines)
    try:
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise FormatError("An armored age file holds something that is not base64.") from error
    if base64.b64encode(data) != encoded:
        raise FormatError("The base64 of an armored age file is not in its canonical form.")
    return data
