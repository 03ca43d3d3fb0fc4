"""Canonical base64: exactly one spelling for any bytes (RFC 4648, the strict reading of section 3).

Python's decoder accepts non-zero trailing bits and, outside `validate`, junk between characters. A second spelling of a
signature would be a second message with the same meaning, so only the canonical form is accepted.
"""

from __future__ import annotations

import base64
import binascii

from agent.errors import FormatError

__all__ = ["decode", "decode_url", "encode", "encode_url"]


def encode(data: bytes) -> str:
    """Returns base64 in the standard alphabet, padded."""
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """Returns the bytes that `encode` writes as exactly `text`. Raises `FormatError` otherwise."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as cause:
        raise FormatError("This is not base64.") from cause
    if encode(data) != text:
        raise FormatError("This base64 is not in its canonical form.")
    return data


def encode_url(data: bytes) -> str:
    """Returns base64 in the URL-safe alphabet, unpadded."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def decode_url(text: str) -> bytes:
    """Returns the bytes that `encode_url` writes as exactly `text`. Raises `FormatError` otherwise."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as cause:
        raise FormatError("This is not URL-safe base64.") from cause
    if encode_url(data) != text:
        raise FormatError("This URL-safe base64 is not in its canonical form.")
    return data
