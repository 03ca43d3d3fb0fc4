"""The life of everything that may leave the device: the only module that steps the table of `agent.core.consent`.

Requests and tips share one state, one table, one expiry, one delay and one set of actions.  A tip enters the table as
approved (`TIP_SENT`), because its owner's signature is the approval.  `custodian.release_records` knows how the two
are stored.

An action (`core.consent.Action`) runs after the commit.  Running it twice is harmless.  Losing it is harmless too: the
next start and the uplink's next poll find what is left to do. One action notifies owners that a request waits for them,
outside their quiet hours (`RequestNotices`).

`Requests` finds footage requests, checks their time limits and holds their footage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from agent.core.consent import TIP_SENT, Action, Event, RequestState, Transition, next_transition
from agent.core.ledger.entries import FIELDS, EntryKind
from agent.core.requests import MatchedRequest, OutboxPart, OutboxRecord, StoredRequest, trusted_seconds, utc_minute
from agent.core.timebase import NS_PER_MS, NS_PER_S
from agent.custodian.release_records import OPEN, ReleaseRecords, StoredRelease, StoredTip
from agent.custodian.state import CustodianState
from agent.errors import DoorwardError, RequestError, StorageError
from agent.ports import Clock
from agent.wire.limits import OverLimit, RequestLimits, check_times

__all__ = [
    "ANSWER_LOST",
    "APPROVER_LEFT",
    "FOOTAGE_DELETED",
    "MOST_HELD",
    "REQUESTER_NOT_TRUSTED",
    "DisclosureTimer",
    "Releases",
    "RequestNotices",
    "RequestStatus",
    "Requests",
]

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


REQUESTER_NOT_TRUSTED: Final = "requester no longer trusted"
APPROVER_LEFT: Final = "approver no longer an owner"
FOOTAGE_DELETED: Final = "footage deleted by an owner"
ANSWER_LOST: Final = "answer no longer on the disk"
"""Reasons in the ledger."""


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """The result of a decision, for the client that asked for it.  `request` is None for a tip."""

    state: RequestState | None = None
    request: str | None = None
    disclosure: str | None = None


class DisclosureTimer:
    """The delay between an approval and its first byte, on the boot clock.

    It counts from the first time that it is asked about a disclosure. A restart starts the delay again.
    """

    def __init__(self, clock: Clock, delay_s: int) -> None:
        self._clock = clock
        self._delay_ns = delay_s * NS_PER_S
        self._ripe_ns: dict[str, int] = {}

    def is_over(self, disclosure: str) -> bool:
        now_ns = self._clock.now().boot_ns
        # The boot clock counts: a wall clock that is set forward must not shorten the owner's time to revoke.
        return now_ns >= self._ripe_ns.setdefault(disclosure, now_ns + self._delay_ns)

    def left_s(self, disclosure: str) -> int:
        """Returns whole seconds.  For an unknown disclosure, it returns the whole delay."""
        now_ns = self._clock.now().boot_ns
        return max(0, (self._ripe_ns.get(disclosure, now_ns + self._delay_ns) - now_ns) // NS_PER_S)

    def forget(self, disclosure: str) -> None:
        self._ripe_ns.pop(disclosure, None)


class Releases:
    """Every request and tip of one device.  Safe to use from several threads.

    `delay_s`: how long an owner can revoke an approval before its first byte leaves.  A restart starts the delay again.
    """

    def __init__(
        self, custodian_state: CustodianState, records: ReleaseRecords, notices: RequestNotices, delay_s: int = 0
    ) -> None:
        self.records = records
        self._notices = notices
        self._decisions = custodian_state.decisions
        self._journal = custodian_state.deps.journal
        self._outbox = custodian_state.deps.outbox
        self._ledger = custodian_state.ledger
        self._delay = DisclosureTimer(custodian_state.deps.clock, delay_s)
        self._log = structlog.get_logger("custodian")
        self.wake_uplink: Callable[[], None] = lambda: None
        """Called after the set of outgoing disclosures changed."""

    # -- the table -----------------------------------------------------------------------------------------------------

    def step(self, stored: StoredRelease, event: Event, disclosure: str | None = None, **fields: Any) -> RequestStatus:
        """Steps the table: ledger entry first, then the state, then the actions.

        `stored` must have been read inside the caller's transaction.  Otherwise its state may be out of date.
        Raises `RequestError` if the table has no such line.
        """
        # Raises before anything is written, so an event that no longer applies leaves no entry in the ledger.
        line = next_transition(stored.state, event)
        named = disclosure or stored.disclosure
        with self._decisions.one():
            self._write(line, stored, named, fields)
            self.records.save_state(stored, line.next_state, disclosure)
            if named is not None and line.next_state.ended:
                # In the transaction of the last step: a restart must not offer an ended disclosure again. The files
                # follow after the commit, or at the next start (`Outbox.sweep`).
                self._journal.remove_outbox(named)
                self._delay.forget(named)
            self._schedule(line, stored, named)
        self._log.info("request_moved", request=stored.id, state=line.next_state.value)
        return RequestStatus(line.next_state, _request_id(stored), named)

    def require(self, stored: StoredRelease, event: Event) -> None:
        """Raises `RequestError` if the table has no line for `event` in this state."""
        next_transition(stored.state, event)

    def start_tip(self, tip: StoredTip, **fields: Any) -> RequestStatus:
        """Enters a tip into the table.  `tip.state` must be the state that `TIP_SENT` gives."""
        with self._decisions.one():
            self._write(TIP_SENT, tip, tip.disclosure, fields)
            self.records.save_tip(tip)
            self._schedule(TIP_SENT, tip, tip.disclosure)
        return RequestStatus(TIP_SENT.next_state, None, tip.disclosure)

    def add_outbox(self, stored: StoredRelease, disclosure: str, parts: tuple[OutboxPart, ...], segments: int) -> None:
        """Makes a complete outbox object count, within the caller's transaction."""
        self._journal.add_outbox(OutboxRecord(disclosure, stored.id, stored.requester, parts))
        self._ledger.write(
            EntryKind.SEALED,
            request=stored.said_id,
            requester=stored.requester,
            disclosure=disclosure,
            subject=parts[0].sha256,
            segments=segments,
            size_bytes=sum(part.size_bytes for part in parts),
        )

    def _write(self, line: Transition, stored: StoredRelease, named: str | None, fields: dict[str, Any]) -> None:
        if named is not None and _has_disclosure(line.entry):
            fields["disclosure"] = named
        self._ledger.write(line.entry, request=stored.said_id, requester=stored.requester, **fields)

    def _schedule(self, line: Transition, stored: StoredRelease, named: str | None) -> None:
        for action in line.actions:
            # Only after the commit: an alert or a deleted file could not be taken back if the transaction failed.
            self._decisions.after(partial(self._run_action, action, stored.id, named))

    def _run_action(self, action: Action, request: str, disclosure: str | None) -> None:
        try:
            match action:
                case Action.NOTIFY_OWNER:
                    self._notices.on_pending(request)
                case Action.NOTIFY_OTHER_OWNERS:
                    self._notices.on_first_approval(request)
                case Action.OFFER_OUTBOX:
                    self.wake_uplink()
                case Action.DROP_OUTBOX | Action.STOP_SENDING | Action.CLOSE_OUTBOX:
                    if disclosure is not None:
                        self._outbox.remove(disclosure)
                    self.wake_uplink()
        except DoorwardError as error:
            # The decision is durable.  A client that asked for it must not see a failed action as a failed decision.
            self._log.warning("action_failed", action=action.name, error=error.message)

    # -- trust, owners and time ----------------------------------------------------------------------------------------

    def recheck(self) -> None:
        """Ends every release if its requester has lost its trust or an approver has left the owners.

        Runs if trust or the owners change, and every few seconds.  It also stops what has begun to leave.
        """
        with self._decisions.one():
            for stored in self.records.unended():
                if not self.records.still_trusted(stored):
                    self.step(stored, Event.TRUST_WITHDRAWN, reason=REQUESTER_NOT_TRUSTED)
                elif not self.records.approver_left(stored):
                    continue
                elif stored.state is RequestState.PARTIALLY_APPROVED:
                    # The table has no way back to pending. Without its stored approval, the request takes only a new
                    # first one, because `Approvals.co_approve` finds nothing to complete.
                    self.records.forget_first_approval(stored)
                else:
                    self.step(stored, Event.REVOKED, reason=APPROVER_LEFT)

    def expire(self, now_s: int) -> None:
        """Ends every overdue release.  `now_s`: UTC of a known clock."""
        with self._decisions.one():
            for stored in self.records.overdue(now_s):
                self.step(stored, Event.EXPIRED)

    def end_with_footage(self, segments: Collection[str], subject: str) -> None:
        """Ends every answer and tip on its way that holds film, sound or a still of these segments, or tells of them.

        An owner deletes them. `subject`: the hash of the owner's statement. Call it inside its transaction.
        """
        with self._decisions.one():
            for record in self._journal.outbox():
                stored = self.records.find(record.disclosure)
                if stored is not None and not self.records.segments_of(stored, record).isdisjoint(segments):
                    self.step(stored, Event.REVOKED, subject=subject, reason=FOOTAGE_DELETED)

    def end_lost(self) -> None:
        """Ends every answer and tip without bytes here. For example, a restored backup has none.

        Otherwise the requester would hear that an answer waits, also if its owner took it back after the backup, and
        the ledger would say that it leaves. Raises `StorageError`.
        """
        with self._decisions.one():
            for record in self._journal.outbox():
                stored = self.records.find(record.disclosure)
                if stored is not None and not self._outbox.has(record.disclosure):
                    self.step(stored, Event.REVOKED, reason=ANSWER_LOST)

    def end_restored(self) -> None:
        """Ends what was on its way when a backup was made, and forgets each first of two approvals in it.

        A no that came after the backup is not in it. Raises `StorageError`.
        """
        with self._decisions.one():
            for stored in self.records.unended():
                if stored.state in OPEN:
                    self.step(stored, Event.REVOKED, reason=ANSWER_LOST)
                elif stored.state is RequestState.PARTIALLY_APPROVED:
                    self.records.forget_first_approval(stored)

    # -- the way out ---------------------------------------------------------------------------------------------------

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        """Returns the outbox objects that may be sent, and for each if its first byte has left already."""
        with self._decisions.one():
            found = []
            # One transaction, so that state and trust are those of one moment for all answers.
            for record in self._journal.outbox():
                stored = self.records.find(record.disclosure)
                if stored is not None and self._may_send(stored, record.disclosure):
                    found.append((record, stored.state is RequestState.SENDING))
        for record, begun in found:
            # Outside of the transaction: a chmod on a slow card must not hold up owners and messages.
            if begun:  # a cut between the ledger's entry and this leaves it to the next look
                with suppress(StorageError):
                    self._outbox.show_to_uplink(record.disclosure)
        return found

    def begin_sending(self, disclosure: str) -> bool:
        """Records durably that the first byte is about to leave. Only then may the uplink's user read the bytes.

        Returns False if the disclosure must stay, for example after a revocation or an expiry. Raises `StorageError`.
        """
        with self._decisions.one():
            stored = self.records.find(disclosure)
            if stored is None or not self._may_send(stored, disclosure):
                return False
            # The uplink asks again if `show_to_uplink` failed. Then the entry is written already.
            if stored.state is RequestState.APPROVED:
                self.step(stored, Event.FIRST_BYTE)
        # After the commit. The other order would let the uplink's user read bytes of which the ledger knows nothing.
        self._outbox.show_to_uplink(disclosure)
        return True

    def waits_s(self, stored: StoredRelease) -> int | None:
        """Returns the seconds until the first byte may leave, or None if no approval waits."""
        if stored.state is not RequestState.APPROVED or stored.disclosure is None:
            return None
        return self._delay.left_s(stored.disclosure)

    def _may_send(self, stored: StoredRelease, disclosure: str) -> bool:
        if stored.state not in OPEN or not self.records.still_trusted(stored):
            return False  # for example, its key has just expired: `recheck` ends it
        return stored.state is RequestState.SENDING or self._delay.is_over(disclosure)


def _request_id(stored: StoredRelease) -> str | None:
    return None if isinstance(stored, StoredTip) else stored.id


def _has_disclosure(kind: EntryKind) -> bool:
    required, optional = FIELDS[kind]
    return "disclosure" in required | optional


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
