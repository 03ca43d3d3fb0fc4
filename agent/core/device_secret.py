"""The device's secret, and the keys that are derived from it: one for each use.

    device.key      signing key (random, Ed25519)      device secret (32 random bytes)
                                                         ├─ HKDF "doorward case marks v1"        case_marks
                                                         ├─ HKDF "doorward alerts delayed v1"    alerts.notice_delay
                                                         ├─ HKDF "doorward link v1 <epoch>"      link_setup
                                                         ├─ HKDF "doorward capture v1 <1, 2>"    capture_key
                                                         └─ HKDF "doorward ml-dsa v1"            mldsa_key

The signing key has only that use. Keys derived here are independent of it in both directions.

Source: RFC 5869 (HKDF).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.wire.identities import mldsa_key_from_seed

__all__ = ["SECRET_BYTES", "DeviceSecret"]

SECRET_BYTES: Final = 32
_MLDSA_USE: Final = b"doorward ml-dsa v1"


@dataclass(frozen=True, slots=True)
class DeviceSecret:
    """`value`: 32 random bytes that only this device has."""

    value: bytes = field(repr=False)

    def key(self, use: bytes) -> bytes:
        """Returns the 32-byte key for `use`, a label that names exactly one use."""
        return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=use).derive(self.value)

    def mldsa_key(self) -> MLDSA44PrivateKey:
        """Returns the device's second signing key (`wire.identities`), which signs answers beside the first."""
        return mldsa_key_from_seed(self.key(_MLDSA_USE))
