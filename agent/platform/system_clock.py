"""Reads this machine's clocks as if at once, says what the wall clock is worth, and draws its unpredictable bytes.

`adjtimex(2)` knows whether a time source disciplines the kernel clock; a battery clock in /sys/class/rtc means the date
survived a power cut.  A Pi before the 5 has neither after boot, and then the quality is honestly `UNKNOWN`.

Time and nonces are the two things that `core` takes from the system as arguments.
"""

from __future__ import annotations

import ctypes
import os
import re
import time
from pathlib import Path
from typing import Final

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.errors import ConfigurationError

__all__ = ["PLAUSIBLE_FROM_NS", "SystemClock", "SystemEntropy", "boot_ahead_ns"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 256
"""More than sizeof(struct timex) on every architecture; zeroed, so `modes` is 0 and nothing is set."""
PLAUSIBLE_FROM_NS: Final = 1_767_225_600 * 10**9
"""2026-01-01: no copy of this program ran before it, so an earlier date is known to be wrong."""
_ASK_AGAIN_NS: Final = 10 * 10**9
_AT_ONCE_NS: Final = 20_000
_TRIES: Final = 5


def boot_ahead_ns(clock: int) -> int:
    """Returns CLOCK_BOOTTIME minus `clock` (`time.CLOCK_…`).

    A pause of this process between the two readings would shift every converted time, so the closest of a few tries
    counts.
    """
    tries: list[tuple[int, int]] = []
    while len(tries) < _TRIES and not (tries and tries[-1][0] <= _AT_ONCE_NS):
        before_ns, other_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.clock_gettime_ns(clock)
        tries.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before_ns, before_ns - other_ns))
    return min(tries)[1]


class SystemClock:
    """`ports.Clock` on CLOCK_BOOTTIME and CLOCK_REALTIME."""

    def __init__(self) -> None:
        self._boot_id = _boot_id()
        self._battery = any(Path("/sys/class/rtc").glob("rtc*")) if Path("/sys/class/rtc").is_dir() else False
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._quality = ClockQuality.UNKNOWN
        self._asked_ns = -_ASK_AGAIN_NS
        self._was_synced = False

    @property
    def boot_id(self) -> str:
        return self._boot_id

    def now(self) -> ClockReading:
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        utc_ns = boot_ns - boot_ahead_ns(time.CLOCK_REALTIME)
        if boot_ns - self._asked_ns >= _ASK_AGAIN_NS:
            self._quality, self._asked_ns = self._ask(utc_ns), boot_ns
        return ClockReading(BootNs(boot_ns), UtcNs(utc_ns), self._quality)

    def _ask(self, utc_ns: int) -> ClockQuality:
        if utc_ns < PLAUSIBLE_FROM_NS:
            return ClockQuality.UNKNOWN
        if 0 <= self._libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) != _TIME_ERROR:
            self._was_synced = True
            return ClockQuality.SYNCED
        return ClockQuality.HELD if self._was_synced or self._battery else ClockQuality.UNKNOWN


def _boot_id() -> str:
    """The boot id from the kernel, or from the service manager (%b) in a sandbox that hides the file
    (ProcSubset=pid)."""
    try:
        return _BOOT_ID.read_text().strip().replace("-", "")
    except FileNotFoundError as error:
        told = os.environ.get("DOORWARD_BOOT_ID", "").replace("-", "")
        if not re.fullmatch(r"[0-9a-f]{32}", told):
            raise ConfigurationError(f"{_BOOT_ID} is not there.", remedy="Is /proc mounted?") from error
        return told


class SystemEntropy:
    """`ports.Entropy` on getrandom(2)."""

    def token(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)
