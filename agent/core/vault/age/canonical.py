"""Base64 as age writes it: the standard alphabet, no padding, and exactly one text for each byte string.

A lenient decoder lets somebody without any key rewrite a header into other bytes that mean the same.  Hashes of the
header, which our approvals sign, would then name one of many equal files.  So whatever does not encode back to itself
is refused.

Source: RFC 4648, sections 3.5 and 4; c2sp.org/age, "Conventions".
"""

from __future__ import annotations

import base64
import binascii

from agent.errors import FormatError

__all__ = ["from_base64", "to_base64"]


def to_base64(data: bytes) -> str:
    """`data` as unpadded standard base64, without line breaks."""
    return base64.b64encode(data).rstrip(b"=").decode("ascii")


def from_base64(text: str) -> bytes:
    """The bytes of one canonical, unpadded base64 text; FormatError for any other spelling of them."""
    try:
        data = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise FormatError("A base64 text in the age header is malformed.") from error
    # Catches padding that was already there and unused low bits that are not zero.
    if to_base64(data) != text:
        raise FormatError("A base64 text in the age header is not in its canonical form.")
    return data
