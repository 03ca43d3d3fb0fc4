"""A clock that the custodian may destroy by: it says "unknown" until a jump is confirmed (`core.clock_trust`).

What is believed lies in the journal, so that a restart with a wrong time is a jump like any other.
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
"""A power cut forgets this much of what is believed.  Each write wears the card."""
_US_PER_MS: Final = 1000
_US_PER_S: Final = 10**6


class TrustedClock:
    """`ports.Clock` over `clock`.  Call `keep` now and then.  Safe to use from several threads.

    `newest`: the newest segment, whose date is the first belief where the journal has none.
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
        """Both clocks, as unknown while the wall clock is not trusted."""
        with self._lock:
            read = self._clock.now()
            return self._follow(read).judge(read)

    @property
    def trusted_ms(self) -> int | None:
        """UTC that things may be destroyed by; None: nothing."""
        now = self.now()
        return None if now.quality is ClockQuality.UNKNOWN else now.utc_ns // NS_PER_MS

    @property
    def believed_ms(self) -> int:
        """UTC by the belief: never ahead of a jump that is not confirmed."""
        with self._lock:
            read = self._clock.now()
            trust = self._follow(read)
            if trust.trusted:
                return read.utc_ns // NS_PER_MS
            return trust.expected_us(self.boot_id, read.boot_ns // 1000) // _US_PER_MS

    def status(self) -> dict[str, int] | None:
        """For `doorward status`: a jump that waits for confirmation; None when there is none."""
        self.now()
        trust = self._trust
        if trust is None or trust.trusted:
            return None
        return {"ahead_s": trust.ahead_us // _US_PER_S, "confirmed_in_s": trust.left_us // _US_PER_S}

    def confirm(self, owner_ms: int) -> None:
        """An owner signed a statement at `owner_ms`: a jump forward to that time is real."""
        with self._lock:
            read = self._clock.now()
            before = self._follow(read)
            self._trust = before.confirmed(self.boot_id, read, owner_ms)
            if self._trust is not before:
                self._log.info("clock_confirmed", by="owner")

    def keep(self) -> None:
        """Write down what is believed, if that has changed or is old."""
        self.now()
        trust = self._trust
        if trust is not None and self._is_news(trust):
            self._journal.put(_NAME, strictjson.encode(trust))
            self._written = trust

    def _follow(self, read: ClockReading) -> ClockTrust:
        """Within the lock."""
        before = self._trust
        if before is not None:
            self._trust = before.after(self.boot_id, read)
            if self._trust.trusted != before.trusted:
                self._log.warning(
                    "clock_trusted" if self._trust.trusted else "clock_jumped", ahead_us=self._trust.ahead_us
                )
            return self._trust
        first = ClockTrust.of(self.boot_id, read)
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
        return ClockTrust(boot="0" * 32, at_us=0, utc_us=max(0, newest.end_ms * _US_PER_MS))
