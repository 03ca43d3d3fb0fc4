"""Verification of owners' statements: an approval key must have signed a statement, and it takes effect once and soon.

An owner's client asks for a nonce, signs, and submits the statement at once, so that a statement that was kept back
after signing is refused. A nonce is valid

- only if this device issued it, since its last start;
- for ten minutes of the boot clock, which no remote party can set;
- once, and only before a later nonce of the same owner was used: an owner's statements take effect in the order of
  their nonces.

The check works without a wall clock, so a wrong clock can neither admit an old statement nor lock an owner out. Owners
are independent of each other. A nonce is a number and its keyed hash, so the device need not store it.

Source: PROTOCOL.md, "Statements of an owner"; docs/decisions/0020.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.core.timebase import NS_PER_S
from agent.custodian.ledger_writer import Transactions
from agent.errors import OvertakenError, RequestError
from agent.ports import Clock, Entropy, Journal
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

if TYPE_CHECKING:
    from agent.custodian.enrolment import Enrolments

__all__ = ["NONCE_LIFE_S", "Nonces", "StatementApplier", "VerifiedStatement", "verify_statement"]

NONCE_LIFE_S: Final = 600
_NS_PER_US: Final = 1000
_KEY_BYTES: Final = 32
_NUMBER_BYTES: Final = 7
"""Room for microseconds of the boot clock, for two thousand years."""
_MARK_BYTES: Final = 9
_REMEDY: Final = "Nothing was changed. Repeat the command to sign a new statement."


class Nonces:
    """`give` issues a nonce to any client.  `claim` uses it for a verified statement."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        # New at each start: the boot clock begins again after a power cut, so old numbers would look young.
        self._key = entropy.token(_KEY_BYTES)
        self._lock = threading.Lock()
        self._last = 0
        self._claimed: dict[str, int] = {}
        """The number of the newest used nonce, by the key id of the owner who signed."""

    def give(self) -> str:
        """Returns a fresh nonce of 32 hex digits."""
        with self._lock:
            # Two nonces of the same microsecond must differ.
            self._last = max(self._last + 1, self._now_us())
            number = self._last.to_bytes(_NUMBER_BYTES)
        # The hash makes the number unguessable and proves its origin, so nothing is stored for a client that never
        # returns.
        return (number + self._mark(number)).hex()

    def claim(self, nonce: str, signer: str) -> None:
        """Uses the nonce of a statement that the owner with the key id `signer` signed.  Raises `RequestError`."""
        raw = bytes.fromhex(nonce)
        number, mark = raw[:_NUMBER_BYTES], raw[_NUMBER_BYTES:]
        given_us = int.from_bytes(number)
        if (
            not hmac.compare_digest(mark, self._mark(number))
            or self._now_us() - given_us > NONCE_LIFE_S * NS_PER_S // 1000
        ):
            raise RequestError(
                "This statement was signed more than ten minutes ago, or before the device started.", remedy=_REMEDY
            )
        with self._lock:
            newest_us = self._claimed.get(signer, 0)
            if given_us == newest_us:
                raise RequestError("This statement was submitted before.", remedy=_REMEDY)
            if given_us < newest_us:
                # This statement may have taken effect already.  Signing it again then repeats it, which every kind must
                # tolerate.
                raise OvertakenError("A later statement of the same owner arrived first.", remedy=_REMEDY)
            self._claimed[signer] = given_us

    def _now_us(self) -> int:
        return self._clock.now().boot_ns // _NS_PER_US

    def _mark(self, number: bytes) -> bytes:
        return hmac.digest(self._key, number, "sha256")[:_MARK_BYTES]


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
