"""Damage that is always damage: a byte put in another's place is the same byte once in 256."""

from __future__ import annotations


def with_another_end(data: bytes) -> bytes:
    """The same bytes but for the last, which is surely another."""
    return data[:-1] + bytes([data[-1] ^ 1])
