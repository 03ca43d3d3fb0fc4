"""The custodian's books: whose word counts, what was decided, what is kept; and the ports they are written over.

Every service of the custodian works over the same books, so that what one of them decides goes to the journal and to
the ledger together, or not at all (`decisions`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.custodian.clock_trust import TrustedClock
from agent.custodian.enrolment import Enrolments, OwnersChanged
from agent.custodian.holds import SegmentHolds
from agent.custodian.ledger_writer import Ledger
from agent.custodian.nonces import Nonces
from agent.custodian.transactions import Transactions
from agent.custodian.trust_store import TrustManager
from agent.ports import Entropy, Journal, Notifier, Outbox
from agent.vault.reader import VaultReader
from agent.wire.identities import public_key_of

__all__ = ["CustodianDeps", "CustodianState", "open_custodian_state"]


@dataclass(frozen=True, slots=True)
class CustodianDeps:
    """The outside world, as far as the custodian sees it."""

    journal: Journal
    outbox: Outbox
    vault: VaultReader
    clock: TrustedClock
    entropy: Entropy
    notifier: Notifier


@dataclass(frozen=True, slots=True)
class CustodianState:
    """`trust`: who may ask.  `enrolments`: who owns the device.  `keeping`: what they hold and what they deleted.

    `nonces`: what their statements carry, so that each is obeyed once and soon.
    """

    deps: CustodianDeps
    decisions: Transactions
    ledger: Ledger
    trust: TrustManager
    enrolments: Enrolments
    keeping: SegmentHolds
    nonces: Nonces


def open_custodian_state(
    device_key: Ed25519PrivateKey, ports: CustodianDeps, changed: OwnersChanged, held_bytes: int
) -> CustodianState:
    """As the journal has them.  `changed`, `held_bytes`: see `Custodian`."""
    journal, decisions = ports.journal, Transactions(ports.journal)
    ledger = Ledger(journal, ports.clock, device_key)
    nonces = Nonces(ports.clock, ports.entropy)
    device, tell = public_key_of(device_key), ports.notifier.notify
    return CustodianState(
        ports,
        decisions,
        ledger,
        TrustManager(decisions, journal, ledger, tell),
        Enrolments(decisions, journal, ledger, ports.entropy, ports.clock, device, changed, nonces, tell),
        SegmentHolds(journal, ledger, ports.vault, ports.clock, held_bytes),
        nonces,
    )
