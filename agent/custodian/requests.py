"""Footage requests: finding them, checking their time limits, and holding their footage.

`custodian.releases` moves a request through its states.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

from agent.core.consent import Event
from agent.core.requests import MatchedRequest, StoredRequest, trusted_seconds
from agent.custodian.releases import Releases, RequestNotices
from agent.custodian.state import CustodianState
from agent.errors import RequestError
from agent.wire.limits import OverLimit, RequestLimits, check_times

__all__ = ["MOST_HELD", "Requests"]

_HELD_OF: Final = 2
"""One in this many stored segments may be held for requests.  If requests could hold every segment, a busy requester
would stop eviction, the disk would fill, and recording would end."""
MOST_HELD: Final = 100_000
"""Their names must fit into the answer to the recorder, together with those that owners hold (`ipc.rpc.ROLE_SOCKET`).
Without that answer it evicts nothing. One requester may ask for 50 windows a day, each of 8 640 segments."""


class Requests:
    """Every footage request of one device.  Safe to use from several threads."""

    def __init__(
        self, custodian_state: CustodianState, limits: RequestLimits, releases: Releases, notices: RequestNotices
    ) -> None:
        self._decisions = custodian_state.decisions
        self._journal = custodian_state.deps.journal
        self._clock = custodian_state.deps.clock
        self._limits = limits
        self._releases = releases
        self._records = releases.records
        self._notices = notices

    def deciding(self) -> AbstractContextManager[None]:
        """Opens one transaction.  If the block raises, nothing happened."""
        return self._decisions.one()

    def named(self, payload_sha256: str) -> MatchedRequest:
        """Returns the request that an owner's statement names by the hash of its payload.  Raises `RequestError`."""
        # By the hash, not by the id: owners sign what they read, and another requester may have copied an id.
        stored = self._journal.request_named(payload_sha256)
        if stored is None:
            raise RequestError("This device has no such request.", remedy="Look at 'doorward requests'.")
        return stored

    def still_trusted(self, stored: StoredRequest, owner_s: int | None = None) -> bool:
        """Returns True if the key that signed the request is trusted now.

        `owner_s`: the time of an owner's statement.  It counts while the device's clock is unknown.
        """
        return self._records.requester_of(stored, owner_s) is not None

    def over_limit(self, stored: StoredRequest, at_s: int) -> OverLimit | None:
        """Returns the time limit that the request breaks at `at_s`, if its limits are still unchecked."""
        requester = self._records.requester_of(stored)
        if requester is None or not self._records.is_deferred(stored.id):
            return None
        limits = requester.limits.applied_to(self._limits)
        return check_times(stored.terms.from_s, stored.terms.to_s, stored.not_after_s, limits, at_s)

    def on_time(self) -> None:
        """Sends delayed notices, and ends every request and tip that has expired or lost its trust.

        Requests expire only while the clock is known.  Otherwise, the clock of the owner who approves decides.
        """
        self._notices.on_time()
        # Before the clock is looked at: a revoked key counts at any time, and needs no clock.
        self._releases.recheck()
        now_s = trusted_seconds(self._clock.now())
        if now_s is None:
            return
        with self.deciding():
            # Before `expire`, so that a request which was never within its limits is recorded with that reason.
            self._check_deferred(now_s)
            self._releases.expire(now_s)

    def _check_deferred(self, now_s: int) -> None:
        """Re-checks requests that were admitted while the clock was unknown.

        A request that has merely expired since then is left to `Releases.expire`.
        """
        for request in self._records.deferred():
            stored = self._journal.request(request)
            over = self.over_limit(stored, now_s) if stored is not None else None
            if stored is None or over is None:
                self._records.end_deferral(request)
            # Time alone has passed since it arrived. Its requester has broken no limit.
            elif over is not OverLimit.EXPIRED:
                self._releases.step(stored, Event.TRUST_WITHDRAWN, reason=over.value)

    def held(self, stored_segments: int) -> frozenset[str]:
        """Returns which of `stored_segments` segments must not be evicted, at most `MOST_HELD`.  The earliest requests
        come first."""
        # The earliest keep their segments, so a flood of new requests cannot release those that an owner is looking at.
        return self._journal.held_segments(min(stored_segments // _HELD_OF, MOST_HELD))
