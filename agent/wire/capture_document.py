"""The beginning of a document of ONVIF Media Signing, by which the holder of the capture key knows what it signs.

A document is a SEI message of H.264 or HEVC up to its signature (`agent.media.onvif_sei`). The capture key signs
nothing else.

Source: ONVIF Media Signing Specification 25.12, "SEI format".
"""

from __future__ import annotations

from typing import Final

__all__ = ["LARGEST_SEI_BYTES", "MEDIA_SIGNING_UUID", "USER_DATA_UNREGISTERED", "is_document", "payload_size"]

MEDIA_SIGNING_UUID: Final = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
"""It stands in each message, and never needs emulation prevention."""
LARGEST_SEI_BYTES: Final = 1 << 18
"""A minute of pictures at 120 a second needs 230 kB of hashes. A larger message is refused."""
USER_DATA_UNREGISTERED: Final = b"\x05"
"""The payload type, behind the header of the NAL unit."""
_HEADERS: Final = (b"\x06", b"\x4e\x01")
"""NAL unit headers: H.264 type 6, HEVC type 39 (prefix SEI) of layer 0."""


def is_document(data: bytes) -> bool:
    """Returns whether these bytes begin as a document does."""
    for header in _HEADERS:
        head = header + USER_DATA_UNREGISTERED
        if len(data) <= LARGEST_SEI_BYTES and data.startswith(head):
            return data.startswith(MEDIA_SIGNING_UUID, payload_size(data, len(head))[1])
    return False


def payload_size(unit: bytes, at: int) -> tuple[int, int]:
    """Returns the size that the bytes from `at` on state, and the offset of the payload behind them."""
    size = 0
    while unit[at : at + 1] == b"\xff" and size <= LARGEST_SEI_BYTES:
        size, at = size + 255, at + 1
    return size + (unit[at] if at < len(unit) else 0), at + 1
