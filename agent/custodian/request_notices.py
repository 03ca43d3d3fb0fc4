"""Notices to owners that a request waits for them, outside their quiet hours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.core.consent import RequestState
from agent.core.requests import trusted_seconds, utc_minute
from agent.core.timebase import NS_PER_MS
from agent.custodian.state import CustodianState

__all__ = ["RequestNotices"]

_WAITS: Final = "A request for footage is waiting for you."
_WAITS_FOR_ANOTHER: Final = "A request for footage is waiting for another owner."


class RequestNotices:
    """Notifies owners of requests.  `minute_of` maps UTC in ms to the minute of the local day, for quiet hours."""

    def __init__(self, custodian_state: CustodianState, minute_of: Callable[[int], int] = utc_minute) -> None:
        self._journal = custodian_state.deps.journal
        self._clock = custodian_state.deps.clock
        self._notifier = custodian_state.deps.notifier
        self._minute_of = minute_of
        self._was_quiet = False

    def on_pending(self, request: str) -> None:
        self._notify(_WAITS, request)

    def on_first_approval(self, request: str) -> None:
        self._notify(_WAITS_FOR_ANOTHER, f"{request} again")

    def remind(self) -> None:
        """Repeats the notice for every waiting request.

        A power cut between the transaction and the notice may have lost the notice.  The notifier drops duplicates.
        """
        for stored in self._journal.requests(RequestState.PENDING):
            self.on_pending(stored.id)
        for stored in self._journal.requests(RequestState.PARTIALLY_APPROVED):
            self.on_first_approval(stored.id)

    def on_time(self) -> None:
        """Sends what was kept back during quiet hours, if they are over."""
        if self._was_quiet and not self.is_quiet():
            self.remind()

    def is_quiet(self) -> bool:
        """Returns True during an owner's quiet hours for requests."""
        now = self._clock.now()
        at_s = trusted_seconds(now)
        if at_s is None:
            return False
        minute = self._minute_of(now.utc_ns // NS_PER_MS)
        return any(each.is_quiet(at_s, minute) for each in self._journal.opt_outs())

    def _notify(self, text: str, once: str) -> None:
        self._was_quiet = self.is_quiet()
        if not self._was_quiet:
            self._notifier.notify("request", text, once=once)
