"""Moves requests: the one place where `core.consent`'s table is stepped, ledger and state committed, acts carried out.

`deciding()` is one decision: everything inside is one transaction under one lock, and what follows from it (`Act`) is
done after the commit.  Acts are harmless to repeat and to lose: a start and the uplink's next look find what is left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from agent.core.consent import Act, Cause, State, step
from agent.core.ledger.entries import FIELDS, EntryKind
from agent.core.requests import OutboxRecord, StoredRequest, trusted_seconds
from agent.ports import Clock, Journal, Notifier, Outbox
from agent.services.ledger import Ledger

__all__ = ["Requests", "Verdict"]

_GRACE_S: Final = 7 * 86_400
"""An approval that could not be delivered this long after the request's end is given up."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a decision did, for the client that asked for it."""

    state: State | None = None
    request: str | None = None
    disclosure: str | None = None


class Requests:
    """Every request of one device.  Safe to use from several threads: it decides one thing at a time."""

    def __init__(self, journal: Journal, outbox: Outbox, ledger: Ledger, clock: Clock, notifier: Notifier) -> None:
        self._journal = journal
        self._outbox = outbox
        self._ledger = ledger
        self._clock = clock
        self._notifier = notifier
        self._log = structlog.get_logger("custodian")
        self._lock = threading.RLock()
        self._depth = 0
        self._due: list[tuple[Act, str | None]] = []
        self.wake_uplink: Callable[[], None] = lambda: None
        """Called after the set of outgoing disclosures changed."""

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """One decision.  If it raises, nothing happened."""
        with self._lock:
            self._depth += 1
            try:
                with self._journal.transaction():
                    yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._due.clear()
                raise
            self._depth -= 1
            if self._depth == 0:
                due, self._due = self._due, []
                for act, disclosure in due:
                    self._do(act, disclosure)

    def advance(self, stored: StoredRequest, cause: Cause, disclosure: str | None = None, **fields: Any) -> Verdict:
        """Step the table: ledger entry first, then the state.  Raises `RequestError` for a step it does not have."""
        line = step(stored.state, cause)
        named = disclosure or stored.disclosure
        if named is not None and _has_disclosure(line.entry):
            fields["disclosure"] = named
        with self.deciding():
            self._ledger.write(line.entry, request=stored.id, requester=stored.requester, **fields)
            self._journal.set_state(stored.id, line.to, disclosure)
            if named is not None and line.to.ended:
                self._journal.remove_outbox(named)
            self._due += [(act, named) for act in line.acts]
        self._log.info("request_moved", request=stored.id, state=line.to.value)
        return Verdict(line.to, stored.id, named)

    def on_time(self) -> None:
        """End what ran out.  While nobody vouches for the clock nothing does; the owner's client judges then."""
        now_s = trusted_seconds(self._clock.now())
        if now_s is None:
            return
        with self.deciding():
            for stored in self._journal.requests(State.PENDING, State.APPROVED, State.SENDING):
                grace_s = 0 if stored.state is State.PENDING else _GRACE_S
                if now_s > stored.not_after_s + grace_s:
                    self.advance(stored, Cause.EXPIRED)

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        """Outbox objects that may be sent, and whether their first byte has left already."""
        with self._lock:
            found = []
            for record in self._journal.outbox():
                stored = self._journal.request(record.request)
                if stored is not None and stored.state in (State.APPROVED, State.SENDING):
                    found.append((record, stored.state is State.SENDING))
            return found

    def begin_sending(self, disclosure: str) -> bool:
        """Make durable that the first byte is about to leave.  False: it may not (revoked, expired, unknown)."""
        with self._lock:
            stored = self._journal.request_of(disclosure)
            if stored is None or stored.state not in (State.APPROVED, State.SENDING):
                return False
            if stored.state is State.APPROVED:
                self.advance(stored, Cause.FIRST_BYTE)
            return True

    def _do(self, act: Act, disclosure: str | None) -> None:
        match act:
            case Act.TELL_OWNER:
                self._notifier.notify("request", "A request for footage is waiting for you.")
            case Act.OFFER_OUTBOX:
                self.wake_uplink()
            case Act.DROP_OUTBOX | Act.STOP_SENDING | Act.CLOSE_OUTBOX:
                if disclosure is not None:
                    self._outbox.remove(disclosure)
                self.wake_uplink()


def _has_disclosure(kind: EntryKind) -> bool:
    required, optional = FIELDS[kind]
    return "disclosure" in required | optional
