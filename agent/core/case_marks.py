"""Counts the requests of one case without keeping the case number.

A limit of so many requests a case has to outlive the requests, and case numbers are what a thief should not read.  So a
request is counted by a *mark*: scrypt over root, requester and case, under a key that is the device's own.

- Two requests of one requester for one case have one mark; for two cases, or of two requesters, they have two.  Two who
  have the same id below different roots are two requesters.
- Whoever has the journal alone learns nothing from a mark.  Whoever has the device's secret too can try case numbers:
  each try costs what it cost the device, which slows guessing down and does not prevent it (SECURITY.md).

Source: RFC 7914 (scrypt), RFC 5869 (HKDF); docs/decisions/0014.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from agent.core.device_secret import DeviceSecret

__all__ = ["LOG2_WORK_FACTOR", "CaseHashes"]

LOG2_WORK_FACTOR: Final = 10
"""1 MiB and about 4 ms on a laptop, some 25 ms on a Zero 2 W: a try must cost something, and a trusted requester who
asks without end must not keep the board busy."""
_LABEL: Final = b"doorward case marks v1"
_MARK_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class CaseHashes:
    """`key`: 32 bytes only the device has.  A device that changes key or work factor forgets which cases it counted."""

    key: bytes = field(repr=False)
    log2_work_factor: int = LOG2_WORK_FACTOR

    @classmethod
    def of_device(cls, secret: DeviceSecret, log2_work_factor: int = LOG2_WORK_FACTOR) -> Self:
        """Derived from the device's secret, so that a backup of that keeps the limit too."""
        return cls(secret.key(_LABEL), log2_work_factor)

    def of(self, root: str, requester: str, case: str) -> str:
        """The mark, 32 hex digits.  `root`, `requester`: ids, which have no line feed."""
        scrypt = Scrypt(salt=self.key, length=_MARK_BYTES, n=1 << self.log2_work_factor, r=8, p=1)
        return scrypt.derive(f"{root}\n{requester}\n{case}".encode()).hex()
