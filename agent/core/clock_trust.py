"""Decides how far a reading of the wall clock is believed: within a boot (`ClockJudge`) and over boots (`ClockTrust`).

**Within a boot**, to date footage. If a set clock jumps, one of its two readings was wrong.

- A reading of better quality is always believed: a clock that is being set looks like this.
- Two readings of the same quality must agree with the boot clock between them, to `JUMP_NS`. A reading that disagrees
  counts as unknown. So do all later ones, until the clock is back or the device starts again.

For example, a time server that lies by ten years ages no footage, and makes no match certain.

**Over boots**, to destroy something: to expire, revoke or evict by age. A time server that lies for 30 seconds must
cost no footage. The device therefore keeps a belief about the time. The boot clock carries the belief on. A reading
that agrees with the belief is trusted. A reading that jumps is a claim: it becomes the belief after it has stood for an
eighth of the jump, in running time, and for three days at most.

- For example, a power cut of 8 hours is confirmed after one hour. A month in a drawer, or a clock set to 2100, is
  confirmed after three days.
- An owner's signed statement that was made at the claimed time confirms a jump forward at once.
- Until then the clock counts as unknown: expiry, revocation and eviction by age wait.

Source: FORMAT.md, invariant 8; docs/security/limits.md, "The clock"; docs/decisions/0025.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, Self

import msgspec

from agent.core.timebase import NS_PER_S, ClockQuality, ClockReading
from agent.core.vault.fields import RANK, BootId, Size
from agent.wire import strictjson

__all__ = ["JUMP_NS", "LONGEST_WAIT_US", "ClockJudge", "ClockTrust", "wait_us"]

JUMP_NS: Final = 120 * NS_PER_S
"""More than any slewing and any leap second."""


class ClockJudge:
    """Judges the readings of one boot, in the order they are made."""

    def __init__(self) -> None:
        self._offset_ns = 0
        self._quality = ClockQuality.UNKNOWN

    def judge(self, read: ClockReading) -> ClockReading:
        """Returns `read`, with its quality lowered to unknown if it contradicts the earlier readings."""
        if read.quality is ClockQuality.UNKNOWN:
            return read
        offset_ns = read.utc_ns - read.boot_ns
        if RANK.index(read.quality) <= RANK.index(self._quality) and abs(offset_ns - self._offset_ns) > JUMP_NS:
            return replace(read, quality=ClockQuality.UNKNOWN)
        # The next reading is compared with this one, and not with the first: slewing adds up over months.
        self._offset_ns = offset_ns
        self._quality = max(self._quality, read.quality, key=RANK.index)
        return read


_NS_PER_US: Final = 1000
_US_PER_MS: Final = 1000
_JUMP_US: Final = JUMP_NS // _NS_PER_US
_DAY_US: Final = 86_400 * 10**6
_LATEST_US: Final = 2**52
"""The year 2112. Later readings are cut to it, because the state is JSON and its integers end at 2^53."""

LONGEST_WAIT_US: Final = 3 * _DAY_US
"""Running time after which any jump is believed.  Long enough for an owner to read the alert and correct the clock."""
_SHARE: Final = 8
"""A jump must stand for this part of its length.  A clock that keeps lying gains 8 seconds a second at most."""
_MOST_UNSEEN_US: Final = 600 * 10**6
"""Counts as standing between two readings.  The clock is read every few seconds while the device runs."""
_STATEMENT_US: Final = 600 * 10**6
"""An owner's clock and the doorbell's may differ by this much."""
_LONGEST_OFF_US: Final = _DAY_US
"""A claim that a restart interrupts goes on if the device was off for at most this time."""

_Utc = Annotated[int, msgspec.Meta(ge=0, le=_LATEST_US)]


class ClockTrust(strictjson.Message, frozen=True, kw_only=True):
    """The belief: `utc_us` was the time when the clock of `boot` showed `at_us`.

    `ahead_us`: by how much the wall clock differs from that; 0 while both agree. `stood_us`: the running time for which
    that difference has stood.
    """

    boot: BootId
    at_us: Size
    utc_us: _Utc
    ahead_us: int = 0
    stood_us: Size = 0

    @classmethod
    def of(cls, boot: str, read: ClockReading) -> Self:
        """Returns the belief of a new device, which believes its first reading, because it has no footage yet."""
        return cls(boot=boot, at_us=_at(read), utc_us=_utc(read))

    @property
    def trusted(self) -> bool:
        """Returns whether the wall clock agrees with the belief."""
        return self.ahead_us == 0

    @property
    def left_us(self) -> int:
        """Returns the running time until the wall clock is believed; 0 while it is."""
        return max(0, wait_us(self.ahead_us) - self.stood_us)

    def expected_us(self, boot: str, at_us: int) -> int:
        """Returns UTC by the belief. After a restart it is the time before, because the length of the break is
        unknown."""
        return min(_LATEST_US, self.utc_us + (max(0, at_us - self.at_us) if boot == self.boot else 0))

    def judge(self, read: ClockReading) -> ClockReading:
        """Returns `read`, as unknown while the clock is untrusted."""
        return read if self.trusted else ClockReading(read.boot_ns, read.utc_ns, ClockQuality.UNKNOWN)

    def after(self, boot: str, read: ClockReading) -> ClockTrust:
        """Returns the trust after one more reading of the clocks. Call it every few seconds."""
        at_us, expected_us = _at(read), self.expected_us(boot, _at(read))
        carried = msgspec.structs.replace(self, boot=boot, at_us=max(at_us, self._at_of(boot)), utc_us=expected_us)
        if read.quality is ClockQuality.UNKNOWN:
            return carried
        ahead_us, restarted = _utc(read) - expected_us, boot != self.boot
        if abs(ahead_us) <= _JUMP_US:
            # Within one boot the belief stays, because otherwise small steps could walk a clock anywhere.
            utc_us = _utc(read) if restarted else expected_us
            return msgspec.structs.replace(carried, utc_us=utc_us, ahead_us=0, stood_us=0)
        if not self._stands(ahead_us, restarted):
            return msgspec.structs.replace(carried, ahead_us=ahead_us, stood_us=0)
        # Only running time counts, because the length of a break is unknown.
        passed_us = 0 if restarted else min(at_us - self.at_us, _MOST_UNSEEN_US)
        stood_us = self.stood_us + max(0, passed_us)
        if stood_us >= wait_us(ahead_us):
            return ClockTrust.of(boot, read)
        return msgspec.structs.replace(carried, ahead_us=ahead_us if restarted else self.ahead_us, stood_us=stood_us)

    def confirmed(self, boot: str, read: ClockReading, owner_ms: int) -> ClockTrust:
        """Returns the trust after an owner signed a statement at `owner_ms` by the owner's clock.

        It confirms only a jump forward, because an attacker could replay an old statement to confirm a clock set back
        to it.
        """
        behind = owner_ms * _US_PER_MS <= self.expected_us(boot, _at(read))
        known = read.quality is not ClockQuality.UNKNOWN
        if self.trusted or behind or not known or abs(owner_ms * _US_PER_MS - _utc(read)) > _STATEMENT_US:
            return self
        return ClockTrust.of(boot, read)

    def _stands(self, ahead_us: int, restarted: bool) -> bool:
        """Returns whether the difference is the same as before, apart from the time that a restart took."""
        grown_us = ahead_us - self.ahead_us
        return not self.trusted and -_JUMP_US <= grown_us <= (_LONGEST_OFF_US if restarted else _JUMP_US)

    def _at_of(self, boot: str) -> int:
        return self.at_us if boot == self.boot else 0


def wait_us(ahead_us: int) -> int:
    """Returns for how long a clock that differs by `ahead_us` must stand before it is believed."""
    return min(abs(ahead_us) // _SHARE, LONGEST_WAIT_US)


def _at(read: ClockReading) -> int:
    return read.boot_ns // _NS_PER_US


def _utc(read: ClockReading) -> int:
    return min(max(0, read.utc_ns // _NS_PER_US), _LATEST_US)
