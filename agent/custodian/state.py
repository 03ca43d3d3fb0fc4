"""The custodian's books: whose word counts, what was decided, what is kept; and the ports they are written over.

Every service of the custodian works over the same books, so that what one of them decides goes to the journal and to
the ledger together, or not at all (`decisions`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.custodian.clock_trust import TrustedClock
from agent.custodian.enrolment import Changed, Enrolments
from agent.custodian.holds import Keeping
from agent.custodian.ledger_writer import Ledger
from agent.custodian.nonces import Nonces
from agent.custodian.transactions import Decisions
from agent.custodian.trust_store import TrustKeeper
from agent.ports import Entropy, Journal, Notifier, Outbox
from agent.vault.reader import VaultReader
from agent.wire.identities import public_key_of

__all__ = ["Books", "CustodianPorts", "open_books"]


@dataclass(frozen=True, slots=True)
class CustodianPorts:
    """The outside world, as far as the custodian sees it."""

    journal: Journal
    outbox: Outbox
    vault: VaultReader
    clock: TrustedClock
    entropy: Entropy
    notifier: Notifier


@dataclass(frozen=True, slots=True)
class Books:
    """`trust`: who may ask.  `enrolments`: who owns the device.  `keeping`: what they hold and what they deleted.

    `nonces`: what their statements carry, so that each is obeyed once and soon.
    """

    ports: CustodianPorts
    decisions: Decisions
    ledger: Ledger
    trust: TrustKeeper
    enrolments: Enrolments
    keeping: Keeping
    nonces: Nonces


def open_books(device_key: Ed25519PrivateKey, ports: CustodianPorts, changed: Changed, held_bytes: int) -> Books:
    """As the journal has them.  `changed`, `held_bytes`: see `Custodian`."""
    journal, decisions = ports.journal, Decisions(ports.journal)
    ledger = Ledger(journal, ports.clock, device_key)
    nonces = Nonces(ports.clock, ports.entropy)
    device, tell = public_key_of(device_key), ports.notifier.notify
    return Books(
        ports,
        decisions,
        ledger,
        TrustKeeper(decisions, journal, ledger, tell),
        Enrolments(decisions, journal, ledger, ports.entropy, ports.clock, device, changed, nonces, tell),
        Keeping(journal, ledger, ports.vault, ports.clock, held_bytes),
        nonces,
    )
