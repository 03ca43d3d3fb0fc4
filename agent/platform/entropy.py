"""Unpredictable bytes from the operating system."""

from __future__ import annotations

import secrets

__all__ = ["SystemEntropy"]


class SystemEntropy:
    """`ports.Entropy` on getrandom(2)."""

    def token(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)
