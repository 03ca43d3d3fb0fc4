"""Handler for owners' statements: a statement is valid through the approval key that signed it, over any channel.

A program that reaches the local socket may read ciphertext and submit statements.  Only an owner's signature lets a
statement change anything.  A statement takes effect once, soon after it was signed, in the order of
its owner's statements (`nonces`).  The device refuses a statement that was submitted before or kept back.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.consent import Event
from agent.core.ledger.entries import EntryKind
from agent.core.requests import WAITING, ActiveOptOut, trusted_seconds
from agent.custodian.approvals import Approvals
from agent.custodian.owner_settings import OwnerSettings
from agent.custodian.releases import Releases, Requests, RequestStatus
from agent.custodian.state import CustodianState
from agent.custodian.tips import Tips
from agent.custodian.verified_statements import StatementApplier, VerifiedStatement, verify_statement
from agent.errors import RequestError
from agent.wire.statements import (
    Approval,
    CoApproval,
    Denial,
    Enrolment,
    Erasure,
    Hold,
    OptIn,
    OptOut,
    PushSubscription,
    PushUnsubscription,
    Release,
    Revocation,
    Settings,
    Tip,
    TrustChange,
    UpdateChoice,
    UpdateReversal,
)

__all__ = ["ChooseUpdate", "Statements", "Subscribe"]

ChooseUpdate = Callable[[UpdateChoice, dict[str, str]], None]
"""Passes an owner's choice on to root's step. The dictionary has the ledger's fields. Raises `RequestError`."""
ReverseUpdate = Callable[[UpdateReversal, bytes, dict[str, str]], None]
"""The same for a way back. The bytes are the envelope, which root verifies itself."""

Subscribe = Callable[[PushSubscription | PushUnsubscription, str], None]
"""Applies a change of a browser's alerts.  The string is the key id of the owner who signed it.

Raises `RequestError` or `FormatError`.
"""


class Statements:
    """`accept` is the only way in for an owner's statements."""

    def __init__(
        self,
        custodian_state: CustodianState,
        requests: Requests,
        releases: Releases,
        applier: StatementApplier,
        approvals: Approvals,
        settings: OwnerSettings,
        tips: Tips,
    ) -> None:
        self._enrolments = custodian_state.enrolments
        self._requests = requests
        self._releases = releases
        self._applier = applier
        self._approvals = approvals
        self._journal = custodian_state.deps.journal
        self._ledger = custodian_state.ledger
        self._trust = custodian_state.trust
        self._holds = custodian_state.holds
        self._settings = settings
        self._clock = custodian_state.deps.clock
        self._tips = tips
        self._nonces = custodian_state.nonces
        self.choose_update: ChooseUpdate | None = None
        self.reverse_update: ReverseUpdate | None = None
        self.subscribe: Subscribe | None = None
        """Starts or ends alerts in a browser, inside the transaction.  None on a device without alerts."""

    def accept(self, data: bytes, headers: tuple[bytes, ...] = ()) -> RequestStatus:
        """Carries out the statement in the envelope `data`.  `headers`: the new headers that an approval names.

        Raises `OpenError` if no owner signed it, and `RequestError`, in words for the owner, if it cannot be carried
        out.
        """
        # Read once: signature, number of owners and `apply_once` must all be about the same list.
        enrolment = self._enrolments.current
        if enrolment is None:
            raise RequestError("This device has no owner yet.", remedy="Enrol first: doorward owner enrol.")
        verified = verify_statement(data, enrolment)
        # After the signature: a stranger on the socket could otherwise use up an owner's nonce, or overtake it.
        self._nonces.claim(verified.statement.nonce, verified.key_id)
        # After `claim`, because a statement that was kept back must not set the clock.
        self._clock.confirm(verified.statement.owner_time_ms)
        # These three copy footage before they open their transaction. All others take effect in one transaction at
        # once.
        if isinstance(verified.statement, Approval):
            status = self._approvals.approve(verified.statement, verified, headers, enrolment)
        elif isinstance(verified.statement, CoApproval):
            status = self._approvals.co_approve(verified.statement, verified, enrolment)
        elif isinstance(verified.statement, Tip):
            status = self._tip(verified.statement, verified, headers, enrolment)
        else:
            with self._applier.apply_once(verified.statement, enrolment):
                status = self._apply(verified)
        # The actions of the consent table wake the uplink if it has something to send or to stop. A denial leaves it
        # asleep: an uplink that was taken over would tell the denial's time.
        return status

    def _apply(self, verified: VerifiedStatement) -> RequestStatus:
        fields = verified.fields
        match verified.statement:
            case Denial() as statement:
                return self._releases.step(self._requests.named(statement.request), Event.DENIED, **fields)
            case Revocation() as statement:
                return self._revoke(statement, fields)
            case OptOut() as statement:
                self._opt_out(statement, fields)
            case OptIn() as statement:
                self._journal.remove_opt_out(statement.scope, statement.value or "", statement.trust_root or "")
                self._ledger.write(EntryKind.OPT_IN, **fields)
            case TrustChange() as statement:
                self._trust.change(statement, verified.data, fields)
            case Hold() as statement:
                self._holds.hold(statement, fields)
            case Release() as statement:
                self._holds.release(statement, fields)
            case Erasure() as statement:
                self._holds.erase(statement, fields)
                self._releases.end_with_footage(frozenset(statement.segments), verified.sha256)
            case Settings() as statement:
                self._settings.accept(statement, verified.data, fields)
            case PushSubscription() | PushUnsubscription() as statement:
                self._subscribe(statement, verified)
            case UpdateChoice() | UpdateReversal() as statement:
                self._update(statement, verified)
        return RequestStatus()

    def _update(self, statement: UpdateChoice | UpdateReversal, verified: VerifiedStatement) -> None:
        if self.choose_update is None or self.reverse_update is None:
            raise RequestError("This device has no updates.", remedy="Add a section [updates] to its configuration.")
        if isinstance(statement, UpdateChoice):
            self.choose_update(statement, verified.fields)
        else:
            self.reverse_update(statement, verified.data, verified.fields)

    def _tip(
        self, tip: Tip, verified: VerifiedStatement, headers: tuple[bytes, ...], enrolment: Enrolment
    ) -> RequestStatus:
        """Sends a tip.  Footage in a tip needs as many owners as in a disclosure, so a tip cannot bypass the second
        owner."""
        if enrolment.approvals_needed > 1 and (tip.segments or tip.posters):
            raise RequestError(
                "Sharing footage takes two owners. A tip from one owner may contain only words.",
                remedy="Leave the footage out.",
            )
        return self._tips.send(tip, headers, verified, lambda: self._applier.apply_once(tip, enrolment))

    def _revoke(self, revocation: Revocation, fields: dict[str, str]) -> RequestStatus:
        stored = self._releases.records.find(revocation.disclosure)
        if stored is None:
            raise RequestError("This device has no such disclosure.", remedy="Look at 'doorward requests'.")
        return self._releases.step(stored, Event.REVOKED, **fields)

    def _subscribe(self, statement: PushSubscription | PushUnsubscription, verified: VerifiedStatement) -> None:
        if self.subscribe is None:
            raise RequestError("This device has no alerts.", remedy="Add a section [alerts] to its configuration.")
        self.subscribe(statement, verified.key_id)
        self._ledger.write(EntryKind.ALERTS_CHANGED, **verified.fields)

    def _opt_out(self, statement: OptOut, fields: dict[str, str]) -> None:
        standing = ActiveOptOut.of(statement)
        self._journal.add_opt_out(standing)
        self._ledger.write(EntryKind.OPT_OUT, **fields)
        now_s = trusted_seconds(self._clock.now())
        # In the same transaction: a request that an owner opted out of must not be approved between the two.
        for stored in self._journal.requests(*WAITING):
            if standing.covers(stored.terms, now_s):
                self._releases.step(stored, Event.OPTED_OUT)
