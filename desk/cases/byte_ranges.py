"""Byte ranges of a film for the browser's player (RFC 9110, section 14): one range, or the whole film."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ByteRange", "UnsatisfiableRangeError", "requested_range"]

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


class UnsatisfiableRangeError(ValueError):
    """The range lies behind the end of the film: answer 416."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        return self.last - self.first + 1


def requested_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """Returns the range that a `Range` header asks for. None for the whole film.

    A header with several ranges or of another form is ignored, as the RFC allows. Raises `UnsatisfiableRangeError`.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        if not int(last) or not size_bytes:
            raise UnsatisfiableRangeError
        # "bytes=-500": the last 500 bytes.
        return ByteRange(max(0, size_bytes - int(last)), size_bytes - 1)
    # An invalid range may be ignored (RFC 9110, section 14.2).
    if last and int(last) < int(first):
        return None
    if int(first) >= size_bytes:
        raise UnsatisfiableRangeError
    return ByteRange(int(first), min(int(last) if last else size_bytes - 1, size_bytes - 1))
