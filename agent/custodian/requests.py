"""Moves requests: the one place where `core.consent`'s table is stepped, ledger and state committed, acts carried out.

Acts (`core.consent.Action`) come after the commit.  They are harmless to repeat and to lose: a start and the
uplink's next look find what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from agent.core.consent import Action, Event, RequestState, next_transition
from agent.core.ledger.entries import FIELDS, EntryKind
from agent.core.requests import WAITING, MatchedRequest, OutboxRecord, StoredRequest, trusted_seconds, utc_minute
from agent.core.timebase import NS_PER_MS
from agent.custodian.delay import DisclosureTimer
from agent.custodian.state import CustodianState
from agent.errors import DoorwardError, RequestError
from agent.wire.limits import OverLimit, RequestLimits, check_times
from agent.wire.trust import TrustedRequester

__all__ = ["APPROVER_LEFT", "REQUESTER_NOT_TRUSTED", "RequestStatus", "Requests", "first_approval_of"]

_GRACE_S: Final = 7 * 86_400
"""An approval that could not be delivered this long after the request's end is given up."""
_WAITS: Final = "A request for footage is waiting for you."
_WAITS_FOR_ANOTHER: Final = "A request for footage is waiting for another owner."
_FIRST: Final = "first."
_APPROVERS: Final = "approvers."
_NOT_CHECKED: Final = "unjudged."
"""Before the id of a request that came while nobody vouched for the clock: nobody has judged its limits of time."""
REQUESTER_NOT_TRUSTED: Final = "requester no longer trusted"
APPROVER_LEFT: Final = "approver no longer an owner"
"""Reasons in the ledger."""
_OPEN: Final = (RequestState.APPROVED, RequestState.SENDING)
_HELD_OF: Final = 2
"""One of so many stored segments may be held for requests.  The others can always go, or a busy requester would freeze
the rolling vault until the disk is full and recording ends."""


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """What a decision did, for the client that asked for it."""

    state: RequestState | None = None
    request: str | None = None
    disclosure: str | None = None


def first_approval_of(request: str) -> str:
    """Under which name the journal keeps what the first of two owners approved, until the request moves on."""
    return _FIRST + request


class Requests:
    """Every request of one device.  Safe to use from several threads.

    `delay_s`: how long an approval can be taken back before its first byte leaves.  A restart begins it anew.
    `minute_of`: UTC in ms → the minute of the local day, for the owner's quiet hours.
    """

    def __init__(
        self,
        custodian_state: CustodianState,
        limits: RequestLimits,
        delay_s: int = 0,
        minute_of: Callable[[int], int] = utc_minute,
    ) -> None:
        ports = custodian_state.deps
        self._decisions = custodian_state.decisions
        self._journal = ports.journal
        self._outbox = ports.outbox
        self._ledger = custodian_state.ledger
        self._trust = custodian_state.trust
        self._enrolments = custodian_state.enrolments
        self._clock = ports.clock
        self._notifier = ports.notifier
        self._limits = limits
        self._delay = DisclosureTimer(ports.clock, delay_s)
        self._minute_of = minute_of
        self._was_quiet = False
        self._log = structlog.get_logger("custodian")
        self.wake_uplink: Callable[[], None] = lambda: None
        """Called after the set of outgoing disclosures changed."""

    def deciding(self) -> AbstractContextManager[None]:
        """One decision.  If it raises, nothing happened."""
        return self._decisions.one()

    def defer_check(self, request: str) -> None:
        """Within the caller's decision: nobody vouched for the clock by which it was admitted."""
        self._journal.put(_NOT_CHECKED + request, b"")

    def advance(
        self, stored: StoredRequest, event: Event, disclosure: str | None = None, **fields: Any
    ) -> RequestStatus:
        """Step the table: ledger entry first, then the state.  Raises `RequestError` for a step it does not have.

        `stored` must have been read inside the caller's decision: that is what makes its state the present one.
        """
        line = next_transition(stored.state, event)
        named = disclosure or stored.disclosure
        if named is not None and _has_disclosure(line.entry):
            fields["disclosure"] = named
        with self.deciding():
            self._ledger.write(line.entry, request=stored.said_id, requester=stored.requester, **fields)
            self._journal.set_state(stored.id, line.next_state, disclosure)
            if stored.state.holds_footage and not line.next_state.holds_footage:
                self._journal.remove(_NOT_CHECKED + stored.id)
            if (
                stored.state is RequestState.PARTIALLY_APPROVED
                and line.next_state is not RequestState.PARTIALLY_APPROVED
            ):
                self._journal.remove(first_approval_of(stored.id))
            if line.next_state.ended:
                self._journal.remove(_APPROVERS + stored.id)
            if named is not None and line.next_state.ended:
                self._journal.remove_outbox(named)
                self._delay.forget(named)
            for act in line.actions:
                self._decisions.after(partial(self._run_action, act, stored.id, named))
        self._log.info("request_moved", request=stored.id, state=line.next_state.value)
        return RequestStatus(line.next_state, stored.id, named)

    def named(self, payload_sha256: str) -> MatchedRequest:
        """The request that an owner's statement names by the hash of its payload.  Raises `RequestError`."""
        stored = self._journal.request_named(payload_sha256)
        if stored is None:
            raise RequestError("This device has no such request.", remedy="Look at 'doorward requests'.")
        return stored

    def approved_by(self, stored: StoredRequest, key_ids: Iterable[str]) -> None:
        """Remember whose yes it is, half or whole, within the caller's decision: it counts while they are owners."""
        self._journal.put(_APPROVERS + stored.id, " ".join(key_ids).encode())

    def still_trusted(self, stored: StoredRequest, owner_s: int | None = None) -> bool:
        """Whether the key that signed the request would be believed now.

        `owner_s`: the time of an owner's statement, which counts while the doorbell's clock is not trusted.
        """
        return self._trusted(stored, owner_s) is not None

    def over_limit(self, stored: StoredRequest, at_s: int) -> OverLimit | None:
        """Which limit of time it is over at `at_s`, if nobody has judged that yet."""
        requester = self._trusted(stored)
        if requester is None or self._journal.get(_NOT_CHECKED + stored.id) is None:
            return None
        limits = requester.limits.applied_to(self._limits)
        return check_times(stored.terms.from_s, stored.terms.to_s, stored.not_after_s, limits, at_s)

    def _trusted(self, stored: StoredRequest, owner_s: int | None = None) -> TrustedRequester | None:
        at_s = trusted_seconds(self._clock.now())
        at_s = owner_s if at_s is None else at_s
        return self._trust.store.resolve(stored.trust_root, stored.requester, stored.key_id, at_s)

    def _check_deferred(self, now_s: int) -> None:
        """What came while nobody knew the time: as it would have been judged then, as soon as somebody does.

        What has run out meanwhile is left to `on_time`.
        """
        for request in self._journal.named(_NOT_CHECKED):
            stored = self._journal.request(request)
            over = self.over_limit(stored, now_s) if stored is not None else None
            if stored is None or over is None:
                self._journal.remove(_NOT_CHECKED + request)
            elif over is not OverLimit.EXPIRED:
                self.advance(stored, Event.TRUST_WITHDRAWN, reason=over.value)

    def recheck(self) -> None:
        """End what those in force now no longer stand behind: when trust or the owners change, and now and then.

        A yes does not outlive the trust in whoever asked, nor the say of the owner who said it.  What has begun to
        leave is stopped as well.
        """
        with self.deciding():
            for stored in self._journal.requests(*WAITING, *_OPEN):
                if not self.still_trusted(stored):
                    self.advance(stored, Event.TRUST_WITHDRAWN, reason=REQUESTER_NOT_TRUSTED)
                elif self._approver_left(stored) and stored.state is RequestState.PARTIALLY_APPROVED:
                    self._journal.remove(first_approval_of(stored.id))  # it waits for a whole one now
                    self._journal.remove(_APPROVERS + stored.id)
                elif self._approver_left(stored):
                    self.advance(stored, Event.REVOKED, reason=APPROVER_LEFT)

    def _approver_left(self, stored: StoredRequest) -> bool:
        key_ids = self._journal.get(_APPROVERS + stored.id) or b""
        return any(self._enrolments.has_left(key_id) for key_id in key_ids.decode().split())

    def on_time(self) -> None:
        """Tell what came in quiet hours that are over, and end what ran out or what nobody stands behind any more.

        While nobody vouches for the clock nothing runs out; the clock of the owner who approves judges then.
        """
        if self._was_quiet and not self.is_quiet():
            self.remind()
        self.recheck()
        now_s = trusted_seconds(self._clock.now())
        if now_s is None:
            return
        with self.deciding():
            self._check_deferred(now_s)
            over = self._journal.overdue(now_s, *WAITING)
            over += self._journal.overdue(now_s - _GRACE_S, *_OPEN)
            for stored in over:
                self.advance(stored, Event.EXPIRED)

    def remind(self) -> None:
        """Tell the owner of what waits, once more: a power cut may have swallowed it between decision and alert."""
        for stored in self._journal.requests(RequestState.PENDING):
            self._notify(_WAITS, stored.id)
        for stored in self._journal.requests(RequestState.PARTIALLY_APPROVED):
            self._notify(_WAITS_FOR_ANOTHER, f"{stored.id} again")

    def held(self, stored_segments: int) -> frozenset[str]:
        """What of that many stored segments must not be evicted; for the earliest requests first."""
        return self._journal.held_segments(stored_segments // _HELD_OF)

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        """Outbox objects that may be sent, and whether their first byte has left already."""
        with self.deciding():
            found = []
            for record in self._journal.outbox():
                # A tip's is not a request's: `custodian.tips` lists it.
                stored = self._journal.request(record.request)
                if stored is not None and self._may_send(stored, record.disclosure):
                    found.append((record, stored.state is RequestState.SENDING))
            return found

    def begin_sending(self, disclosure: str) -> bool:
        """Make durable that the first byte is about to leave.  False: it may not (revoked, expired, not trusted)."""
        with self.deciding():
            stored = self._journal.request_of(disclosure)
            if stored is None or not self._may_send(stored, disclosure):
                return False
            if stored.state is RequestState.APPROVED:
                self.advance(stored, Event.FIRST_BYTE)
            return True

    def waits_s(self, stored: StoredRequest) -> int | None:
        """How long its approval can still be taken back before its first byte may leave; None when nothing waits."""
        if stored.state is not RequestState.APPROVED or stored.disclosure is None:
            return None
        return self._delay.left_s(stored.disclosure)

    def _may_send(self, stored: StoredRequest, disclosure: str) -> bool:
        if not self.still_trusted(stored):
            return False  # its key has just run out: `on_time` ends it
        if stored.state is not RequestState.APPROVED:
            self._delay.forget(disclosure)
            return stored.state is RequestState.SENDING
        return self._delay.is_over(disclosure)

    def _notify(self, text: str, once: str) -> None:
        """Now, or when the owner's quiet hours are over."""
        self._was_quiet = self.is_quiet()
        if not self._was_quiet:
            self._notifier.notify("request", text, once=once)

    def is_quiet(self) -> bool:
        """Whether the owner asked not to be told of requests at this hour."""
        now = self._clock.now()
        at_s = trusted_seconds(now)
        if at_s is None:
            return False
        minute = self._minute_of(now.utc_ns // NS_PER_MS)
        return any(each.is_quiet(at_s, minute) for each in self._journal.opt_outs())

    def _run_action(self, action: Action, request: str, disclosure: str | None) -> None:
        try:
            match action:
                case Action.NOTIFY_OWNER:
                    self._notify(_WAITS, request)
                case Action.NOTIFY_OTHER_OWNERS:
                    self._notify(_WAITS_FOR_ANOTHER, f"{request} again")
                case Action.OFFER_OUTBOX:
                    self.wake_uplink()
                case Action.DROP_OUTBOX | Action.STOP_SENDING | Action.CLOSE_OUTBOX:
                    if disclosure is not None:
                        self._outbox.remove(disclosure)
                    self.wake_uplink()
        except DoorwardError as error:
            # The decision stands, whoever asked for it: what could not be done is not theirs to hear.
            self._log.warning("act_failed", act=action.name, error=error.message)


def _has_disclosure(kind: EntryKind) -> bool:
    required, optional = FIELDS[kind]
    return "disclosure" in required | optional
