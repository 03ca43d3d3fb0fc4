"""The custodian's state: trust, owners, holds, nonces, ledger and transactions, over its ports.

Every service of the custodian uses the same state, so each decision reaches the journal and the ledger together, or
neither (`decisions`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.custodian.clock_trust import TrustedClock
from agent.custodian.enrolment import Enrolments, OwnersChanged
from agent.custodian.holds import SegmentHolds
from agent.custodian.ledger_writer import Ledger, Transactions
from agent.custodian.trust_store import TrustManager
from agent.custodian.verified_statements import Nonces
from agent.ports import Entropy, Journal, Notifier, Outbox
from agent.vault.reader import VaultReader
from agent.wire.identities import MldsaPublicKey, public_key_of

__all__ = ["CustodianDeps", "CustodianState", "open_custodian_state"]


@dataclass(frozen=True, slots=True)
class CustodianDeps:
    """The custodian's ports."""

    journal: Journal
    outbox: Outbox
    vault: VaultReader
    clock: TrustedClock
    entropy: Entropy
    notifier: Notifier


@dataclass(frozen=True, slots=True)
class CustodianState:
    """`trust`: the trusted requesters.  `enrolments`: the owners.  `holds`: what owners hold and what they deleted.

    `nonces`: issued to owners' clients, so that each statement takes effect once and soon.
    """

    deps: CustodianDeps
    decisions: Transactions
    ledger: Ledger
    trust: TrustManager
    enrolments: Enrolments
    holds: SegmentHolds
    nonces: Nonces


def open_custodian_state(
    device_key: Ed25519PrivateKey,
    mldsa_key: MLDSA44PrivateKey,
    ports: CustodianDeps,
    changed: OwnersChanged,
    held_bytes: int,
    cell: str | None,
) -> CustodianState:
    """Loads the state from the journal.  `changed`, `held_bytes`: see `Custodian`. `cell`: the doorbell's."""
    journal, decisions = ports.journal, Transactions(ports.journal)
    ledger = Ledger(journal, ports.clock, device_key, mldsa_key)
    nonces = Nonces(ports.clock, ports.entropy)
    device, tell = public_key_of(device_key), ports.notifier.notify
    mldsa = MldsaPublicKey.of(mldsa_key)
    return CustodianState(
        ports,
        decisions,
        ledger,
        TrustManager(decisions, journal, ledger, ports.clock, tell, tell, cell),
        Enrolments(decisions, journal, ledger, ports.entropy, ports.clock, device, mldsa, changed, nonces, tell),
        SegmentHolds(journal, ledger, ports.vault, ports.clock, held_bytes),
        nonces,
    )
