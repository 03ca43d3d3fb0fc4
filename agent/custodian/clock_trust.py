"""A clock that the custodian may delete by: its quality is "unknown" until a jump is confirmed (`core.clock_trust`).

The trusted time is stored in the journal, so a restart with a wrong time is treated as a jump.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from agent.core.clock_trust import ClockTrust
from agent.core.timebase import NS_PER_MS, ClockQuality, ClockReading
from agent.core.vault.entries import VaultEntry
from agent.errors import FormatError, StorageError
from agent.ports import Clock, Journal
from agent.wire import strictjson

__all__ = ["TrustedClock"]

_NAME: Final = "clock.trust"
_LIMIT_BYTES: Final = 1024
_WRITE_EVERY_US: Final = 600 * 10**6
"""A power cut loses at most this much of the trusted time, in µs.  Each write wears the card."""
_US_PER_MS: Final = 1000
_US_PER_S: Final = 10**6


class TrustedClock:
    """`ports.Clock` over `clock`.  Call `keep` every few seconds.  Safe to use from several threads.

    `newest`: the newest segment.  Its date is the first trusted time if the journal has none.
    """

    def __init__(self, clock: Clock, journal: Journal, newest: Callable[[], VaultEntry | None]) -> None:
        self._clock = clock
        self._journal = journal
        self._newest = newest
        self._lock = threading.Lock()
        self._log = structlog.get_logger("clock")
        self._trust = self._written = self._load()

    @property
    def boot_id(self) -> str:
        return self._clock.boot_id

    def now(self) -> ClockReading:
        """Returns both clocks, with quality "unknown" while the wall clock is untrusted."""
        with self._lock:
            read = self._clock.now()
            return self._follow(read).judge(read)

    @property
    def trusted_ms(self) -> int | None:
        """Returns the UTC time that deletions may use, or None if the clock is untrusted."""
        now = self.now()
        return None if now.quality is ClockQuality.UNKNOWN else now.utc_ns // NS_PER_MS

    @property
    def believed_ms(self) -> int:
        """Returns the trusted UTC time.  It excludes a jump that is still unconfirmed."""
        with self._lock:
            read = self._clock.now()
            trust = self._follow(read)
            if trust.trusted:
                return read.utc_ns // NS_PER_MS
            return trust.expected_us(self.boot_id, read.boot_ns // 1000) // _US_PER_MS

    def status(self) -> dict[str, int] | None:
        """Returns the jump that waits for confirmation, for `doorward status`, or None."""
        self.now()
        trust = self._trust
        if trust is None or trust.trusted:
            return None
        return {"ahead_s": trust.ahead_us // _US_PER_S, "confirmed_in_s": trust.left_us // _US_PER_S}

    def confirm(self, owner_ms: int) -> None:
        """Confirms a jump forward to `owner_ms`, the time of a statement that an owner signed."""
        with self._lock:
            read = self._clock.now()
            before = self._follow(read)
            # In memory only until `keep`: a power cut before it asks an owner again, which is harmless.
            self._trust = before.confirmed(self.boot_id, read, owner_ms)
            if self._trust is not before:
                self._log.info("clock_confirmed", by="owner")

    def keep(self) -> None:
        """Stores the trusted time if it has changed or if the stored one is old."""
        self.now()
        trust = self._trust
        if trust is not None and self._is_news(trust):
            self._journal.put(_NAME, strictjson.encode(trust))
            self._written = trust

    def _follow(self, read: ClockReading) -> ClockTrust:
        """Updates the trusted time.  The caller holds the lock."""
        before = self._trust
        if before is not None:
            self._trust = before.after(self.boot_id, read)
            if self._trust.trusted != before.trusted:
                self._log.warning(
                    "clock_trusted" if self._trust.trusted else "clock_jumped", ahead_us=self._trust.ahead_us
                )
            return self._trust
        # A new doorbell has nothing to compare with, so its first known time is believed.
        first = ClockTrust.of(self.boot_id, read)
        # An unknown clock is no first trusted time: a board without a battery starts years behind.
        if read.quality is not ClockQuality.UNKNOWN:
            self._trust = first
        return first

    def _is_news(self, trust: ClockTrust) -> bool:
        written = self._written
        return (
            written is None
            or (written.boot, written.trusted) != (trust.boot, trust.trusted)
            or trust.at_us - written.at_us >= _WRITE_EVERY_US
            or abs(trust.utc_us - written.utc_us - (trust.at_us - written.at_us)) > _US_PER_S
        )

    def _load(self) -> ClockTrust | None:
        data = self._journal.get(_NAME)
        try:
            if data is not None:
                return strictjson.decode(data, ClockTrust, limit_bytes=_LIMIT_BYTES)
        except FormatError:
            self._log.warning("clock_trust_unreadable")
        try:
            newest = self._newest()
        except StorageError:
            return None
        if newest is None or newest.quality is ClockQuality.UNKNOWN:
            return None
        # No boot has this id, so the date of the newest segment is a lower bound and starts no running time.
        return ClockTrust(boot="0" * 32, at_us=0, utc_us=max(0, newest.end_ms * _US_PER_MS))
