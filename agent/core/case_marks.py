"""Counts the requests of one case by a keyed hash of the case number.

A limit on requests per case must outlive the requests, and case numbers must stay hidden from a thief. The device
therefore counts a request by a *mark*: scrypt over root, requester and case, under a key that only the device has.

- Two requests of one requester for one case have the same mark. If case or requester differs, the marks differ. Two
  requesters with the same id below different roots count as different.
- A thief of the journal alone learns only marks. A thief who also has the device's secret can try case numbers: each
  try costs what it cost the device, which only slows guessing down (docs/security/limits.md).

Source: RFC 7914 (scrypt), RFC 5869 (HKDF); docs/decisions/0014.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from agent.core.device_secret import DeviceSecret

__all__ = ["LOG2_WORK_FACTOR", "CaseHashes"]

LOG2_WORK_FACTOR: Final = 10
"""1 MiB and about 4 ms on a laptop, some 25 ms on a Zero 2 W. A try must cost something, and a trusted requester who
floods the device must leave the board time to record."""
_LABEL: Final = b"doorward case marks v1"
_MARK_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class CaseHashes:
    """Makes marks. `key`: 32 bytes only the device has. If key or work factor changes, the device forgets the counted
    cases."""

    key: bytes = field(repr=False)
    log2_work_factor: int = LOG2_WORK_FACTOR

    @classmethod
    def of_device(cls, secret: DeviceSecret, log2_work_factor: int = LOG2_WORK_FACTOR) -> Self:
        """Derives the key from the device's secret, so that a restored backup of the secret keeps the limit."""
        return cls(secret.key(_LABEL), log2_work_factor)

    def of(self, root: str, requester: str, case: str) -> str:
        """Returns the mark, 32 hex digits. `root`, `requester`: ids without a line feed."""
        scrypt = Scrypt(salt=self.key, length=_MARK_BYTES, n=1 << self.log2_work_factor, r=8, p=1)
        return scrypt.derive(f"{root}\n{requester}\n{case}".encode()).hex()
