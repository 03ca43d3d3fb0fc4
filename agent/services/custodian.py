"""The custodian: index, requests, consent, ledger and trust of one device, put together over their ports.

It has the vault's ciphertext and the device's signing key.  It has no camera, no network, and no key that opens
footage.  What the network may reach is `on_message`; what an owner's client may reach is `control`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.case_marks import LOG2_WORK_FACTOR, CaseMarks
from agent.core.ledger.entries import EntryKind
from agent.core.requests import OutboxRecord
from agent.ports import Clock, Entropy, Journal, Notifier, Outbox
from agent.services.approvals import Approvals
from agent.services.control import Control, DeviceNames
from agent.services.decisions import Decisions
from agent.services.enrolment import Changed, Enrolments
from agent.services.inbox import Inbox, InboxSettings
from agent.services.keeping import Keeping
from agent.services.ledger import Ledger
from agent.services.outbox_maker import OutboxMaker
from agent.services.owner_said import Acting
from agent.services.owner_settings import Exceeded, OwnerSettings
from agent.services.requests import Requests
from agent.services.sealing_up import SealingUp
from agent.services.statements import Statements
from agent.services.tips import Tips
from agent.services.trust import TrustKeeper
from agent.services.vault_reader import VaultReader
from agent.wire.disclosures import Receipt
from agent.wire.identities import public_key_of

__all__ = ["Custodian", "CustodianPorts"]


@dataclass(frozen=True, slots=True)
class CustodianPorts:
    """The outside world, as far as the custodian sees it."""

    journal: Journal
    outbox: Outbox
    vault: VaultReader
    clock: Clock
    entropy: Entropy
    notifier: Notifier


class Custodian:
    """`changed(recipients, epoch)` tells the vault whom to seal to; `status` is what `doorward status` shows.

    `held_bytes`: the most that owners may keep from the rolling vault.  `exceeded` names the bound of the configuration
    that an owner's settings go beyond.  `case_work`: log2 of what one guess at a case number costs (`core.case_marks`).
    """

    def __init__(
        self,
        device_key: Ed25519PrivateKey,
        ports: CustodianPorts,
        settings: InboxSettings,
        changed: Changed,
        status: Callable[[], dict[str, Any]],
        broker_name: str | None = None,
        *,
        held_bytes: int,
        exceeded: Exceeded = lambda _settings: None,
        case_work: int = LOG2_WORK_FACTOR,
    ) -> None:
        device, marks = public_key_of(device_key), CaseMarks.of_device(device_key, case_work)
        self._journal = ports.journal
        self._outbox = ports.outbox
        decisions = Decisions(ports.journal)
        self._ledger = Ledger(ports.journal, ports.clock, device_key)
        self._trust = TrustKeeper(decisions, ports.journal, self._ledger, ports.notifier.notify)
        self.enrolments = Enrolments(decisions, ports.journal, self._ledger, ports.entropy, device, changed)
        self._sealing_up = SealingUp(ports.journal, self.enrolments, marks)
        self.requests = Requests(
            decisions,
            ports.journal,
            ports.outbox,
            self._ledger,
            self._trust,
            self.enrolments,
            ports.clock,
            ports.notifier,
            settings.limits,
            settings.delay_s,
            settings.minute_of,
        )
        self.keeping = Keeping(ports.journal, self._ledger, ports.vault, ports.clock, held_bytes)
        self.settings = OwnerSettings(decisions, ports.journal, self._ledger, exceeded)
        maker = OutboxMaker(ports.outbox, ports.vault, ports.entropy, device_key)
        self.tips = Tips(
            decisions,
            ports.journal,
            ports.outbox,
            maker,
            self._ledger,
            self._trust,
            self.enrolments,
            ports.vault,
            self.keeping,
            ports.clock,
            self._wake_uplink,
            settings.delay_s,
        )
        self._inbox = Inbox(
            settings,
            self.requests,
            ports.journal,
            self._ledger,
            self._trust,
            ports.vault,
            ports.clock,
            self.keeping,
            self.tips,
            self.enrolments,
            marks,
        )
        acting = Acting(self.enrolments, self.requests, ports.journal)
        approvals = Approvals(
            self.enrolments,
            self.requests,
            acting,
            maker,
            ports.journal,
            self._ledger,
            ports.vault,
            self.keeping,
            ports.clock,
            ports.entropy,
        )
        statements = Statements(
            self.enrolments,
            self.requests,
            acting,
            approvals,
            ports.journal,
            self._ledger,
            self._trust,
            self.keeping,
            self.settings,
            ports.clock,
            self.tips,
        )
        self.control = Control(
            DeviceNames(device, broker_name),
            self.enrolments,
            statements,
            approvals,
            self._trust,
            self._ledger,
            ports.journal,
            ports.vault,
            self.keeping,
            self.settings,
            self.tips,
            status,
        )

        self._trust.on_change = self.enrolments.on_change = self._reconsider

    def _reconsider(self) -> None:
        """Whose word counts has changed: what hung on it ends in the same decision."""
        self.requests.reconsider()
        self.tips.reconsider()

    def _wake_uplink(self) -> None:
        """As `requests` says by then: who listens comes later than this."""
        self.requests.wake_uplink()

    def start(self) -> None:
        """Note the boot, seal what an earlier version left open, sweep the outbox, end what ran out meanwhile."""
        self._ledger.write(EntryKind.BOOT)
        self._sealing_up.do()
        self._outbox.sweep(frozenset(record.disclosure for record in self._journal.outbox()))
        self.enrolments.announce()
        self._trust.announce(changed=False)
        self.requests.on_time()
        self.requests.remind()

    def held(self, stored_segments: int) -> frozenset[str]:
        """What of that many stored segments must not be evicted: what owners keep, and what waits for their answer."""
        return self.keeping.held() | self.requests.held(stored_segments)

    def hold_at_most(self, held_bytes: int) -> None:
        """What holds may keep together, from now on."""
        self.keeping.held_bytes = held_bytes

    def move_to(self, position: tuple[float, float] | None) -> None:
        """Where the door is from now on, (lat, lon) in degrees: for requests that come in."""
        self._inbox.position = position

    def deleted(self) -> frozenset[str]:
        """What an owner has deleted and is still on the disk."""
        return self.keeping.going()

    def on_time(self) -> None:
        """Now and then: end what ran out, forget what is done."""
        self.requests.on_time()
        self.tips.on_time()
        with self.requests.deciding():
            self.keeping.on_time()

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        return self._inbox.on_message(topic, data)

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        return self.requests.outgoing() + self.tips.outgoing()

    def begin_sending(self, disclosure: str) -> bool:
        begun = self.tips.begin_sending(disclosure)
        return self.requests.begin_sending(disclosure) if begun is None else begun
