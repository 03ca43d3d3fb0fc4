"""The claims of a receiver in PostgreSQL: advisory locks of its session. Source: decision 0050.

The locks end with the session, so a receiver that dies needs no lease. A receiver that outlives its session must not go
on. It cannot: it writes outcomes and takes numbers for receipts in that same session, which does not connect again.

Source: PostgreSQL 17, section 13.3.5, advisory locks.
"""

from __future__ import annotations

from desk.storage.postgres_index import PostgresIndex, lock_of

__all__ = ["PostgresClaims"]


class PostgresClaims:
    """The claims of the receiver that uses this session. One thread uses it."""

    shared = True

    def __init__(self, session: PostgresIndex) -> None:
        self._session = session
        self._held: set[str] = set()

    def claim(self, disclosure: str) -> bool:
        return self._take(f"answer {disclosure}")

    def release(self, disclosure: str) -> None:
        name = f"answer {disclosure}"
        if name in self._held:
            self._held.discard(name)
            self._session.fetch("SELECT pg_advisory_unlock(?)", self._key(name))

    def claim_duty(self, duty: str) -> bool:
        return self._take(f"duty {duty}")

    def step_down(self) -> None:
        if self._held:
            self._held.clear()
            self._session.fetch("SELECT pg_advisory_unlock_all()")

    def check(self) -> None:
        self._session.check()

    def close(self) -> None:
        self._held.clear()
        self._session.close()

    def _take(self, name: str) -> bool:
        if name not in self._held:
            if self._session.fetch("SELECT pg_try_advisory_lock(?)", self._key(name)) != (True,):
                return False
            self._held.add(name)
        return True

    def _key(self, name: str) -> int:
        return lock_of(self._session.schema, name)
