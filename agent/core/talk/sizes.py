"""Sizes of talk sessions that also those need who carry frames and cannot open them."""

from __future__ import annotations

from typing import Final

__all__ = ["COUNTER_BYTES", "KEY_BYTES", "LARGEST_FRAME_BYTES", "MOST_PADDED_BYTES", "SESSION_BYTES", "TAG_BYTES"]

KEY_BYTES: Final = 32
SESSION_BYTES: Final = 16
COUNTER_BYTES: Final = 8
TAG_BYTES: Final = 16
"""The tag of AES-GCM."""
MOST_PADDED_BYTES: Final = 512
LARGEST_FRAME_BYTES: Final = COUNTER_BYTES + MOST_PADDED_BYTES + TAG_BYTES
