"""Verification of owners' statements: an approval key must have signed a statement, and it takes effect once.

Source: PROTOCOL.md, "Statements of an owner".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from agent.custodian.enrolment import Enrolments
from agent.custodian.ledger_writer import Transactions
from agent.errors import RequestError
from agent.ports import Journal
from agent.wire import strictjson
from agent.wire.statements import (
    STATEMENT_LIMIT_BYTES,
    Approval,
    CoApproval,
    Denial,
    Enrolment,
    Erasure,
    Hold,
    OptIn,
    OptOut,
    OwnerStatement,
    PushSubscription,
    PushUnsubscription,
    Release,
    Revocation,
    Settings,
    Tip,
    TrustChange,
    UpdateChoice,
    UpdateReversal,
    read_statement,
    require_one_line,
)

__all__ = ["StatementApplier", "VerifiedStatement", "verify_statement"]

_KINDS: Final[Mapping[str, type[OwnerStatement]]] = {
    kind.PAYLOAD_TYPE: kind
    for kind in (
        Approval,
        CoApproval,
        Tip,
        Denial,
        OptOut,
        OptIn,
        Revocation,
        TrustChange,
        Hold,
        Release,
        Erasure,
        Settings,
        PushSubscription,
        PushUnsubscription,
        UpdateChoice,
        UpdateReversal,
    )
}


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """A statement that an owner has signed.  `by` is the label of their key, `sha256` the hash of the payload."""

    statement: OwnerStatement
    data: bytes
    sha256: str
    key_id: str
    by: str

    @property
    def fields(self) -> dict[str, str]:
        """Returns what the ledger records of the statement."""
        return {"subject": self.sha256, "reason": self.by}


def verify_statement(data: bytes, enrolment: Enrolment) -> VerifiedStatement:
    """Returns the statement in the envelope `data`.  Raises `OpenError` if none of these owners signed it."""
    claimed = read_statement(data)
    # Envelopes are kept and sent as lines. A line break inside one would be read as a second envelope later.
    require_one_line(data)
    kind = _KINDS.get(claimed.payload_type)
    if kind is None:
        raise RequestError("This kind of statement cannot come from an owner.")
    # The payload is decoded only afterwards: an unsigned statement reaches no parser but that of envelopes.
    opened = claimed.verify(enrolment.signers)
    statement = strictjson.decode(opened.payload, kind, limit_bytes=STATEMENT_LIMIT_BYTES, error=RequestError)
    # An owner of two doorbells signs with the same key. A statement for one must not count at the other.
    if statement.device != enrolment.device:
        raise RequestError("This statement is for another device.")
    sha256 = hashlib.sha256(opened.payload).hexdigest()
    return VerifiedStatement(statement, data, sha256, opened.key_id, enrolment.name_of(opened.key_id))


class StatementApplier:
    """`apply_once` opens the transaction in which a statement takes effect."""

    def __init__(self, enrolments: Enrolments, decisions: Transactions, journal: Journal) -> None:
        self._enrolments = enrolments
        self._decisions = decisions
        self._journal = journal

    @contextmanager
    def apply_once(self, statement: OwnerStatement, enrolment: Enrolment) -> Iterator[None]:
        """Opens the transaction.  Raises `RequestError` if the owners have changed, or if the statement was used
        before."""
        with self._decisions.one():
            # The same object, not an equal one. Signature and number of owners were checked against this list. Since
            # then, another owner's change may have removed the signer.
            if self._enrolments.current is not enrolment:
                raise RequestError("The owners of this device have just changed.", remedy="Make the statement again.")
            # `Nonces.claim` has refused a repetition in memory. This row is durable together with the effect.
            if not self._journal.use_nonce(statement.nonce):
                raise RequestError("This statement was submitted before.", remedy="Make a new one.")
            yield
