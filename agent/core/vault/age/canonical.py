"""Base64 as age writes it: the standard alphabet, unpadded, and exactly one text for each byte string.

With a lenient decoder, any attacker could rewrite a header into other bytes that mean the same. A hash of the header,
which an owner's approval signs, would then name one of many equal files. This module therefore refuses every text that
encodes back to a different one. For example, it refuses `Zh`, because `Zg` is the text of the same byte.

Source: RFC 4648, sections 3.5 and 4; c2sp.org/age, "Conventions".
"""

from __future__ import annotations

import base64
import binascii

from agent.errors import FormatError

__all__ = ["from_base64", "to_base64"]


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
