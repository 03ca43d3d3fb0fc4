"""The custodian: index, requests, consent, ledger and trust of one device, composed over their ports.

It holds the vault's ciphertext and the device's signing key. The camera, the network and the keys that open footage are
outside. The network reaches it through `on_message`, an owner's client through `control`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.admission import LOG2_WORK_FACTOR, CaseHashes
from agent.core.device_secret import DeviceSecret
from agent.core.ledger.entries import EntryKind
from agent.core.requests import RESTORED, OutboxRecord
from agent.core.retention import ProtectedIds
from agent.custodian.approvals import Approvals
from agent.custodian.control_handler import Control, DeviceNames
from agent.custodian.enrolment import OwnersChanged
from agent.custodian.inbox import Inbox, InboxSettings
from agent.custodian.outbox_builder import OutboxBuilder
from agent.custodian.owner_settings import OwnerSettings, ViolatedLimit
from agent.custodian.release_records import ReleaseRecords
from agent.custodian.releases import Releases, RequestNotices, Requests
from agent.custodian.state import CustodianDeps, open_custodian_state
from agent.custodian.statement_handler import Statements
from agent.custodian.time_log import TimeLog
from agent.custodian.tips import Tips
from agent.custodian.trust_news import TrustNews
from agent.custodian.verified_statements import StatementApplier
from agent.errors import StorageError
from agent.ipc.control_operations import GetTimeOpening
from agent.wire import strictjson
from agent.wire.disclosures import Receipt
from agent.wire.identities import public_key_of
from agent.wire.topics import cell_of

__all__ = ["Custodian"]

_MOST_ERASED: Final = 256
"""Segments to delete at a time. The recorder writes none meanwhile, and asks again two seconds later. Thousands at
once, for example of a month, would keep it from its watchdog on a slow card."""


class Custodian:
    """`changed(recipients, epoch)` tells the vault which recipients to seal to.  `status` returns what `doorward
    status` shows.

    `held_bytes`: the limit for footage that owners keep from eviction.  `exceeded` names the limit of the configuration
    that an owner's settings violate.  `case_work`: log2 of the cost of one guess at a case number (`core.admission`).
    """

    def __init__(
        self,
        device_key: Ed25519PrivateKey,
        secret: DeviceSecret,
        ports: CustodianDeps,
        settings: InboxSettings,
        changed: OwnersChanged,
        status: Callable[[], dict[str, Any]],
        broker_name: str | None = None,
        *,
        held_bytes: int,
        exceeded: ViolatedLimit = lambda _settings: None,
        case_work: int = LOG2_WORK_FACTOR,
    ) -> None:
        mldsa_key = secret.mldsa_key()
        self.custodian_state = custodian_state = open_custodian_state(
            device_key, mldsa_key, ports, changed, held_bytes, _cell(settings.position)
        )
        self.enrolments, self.holds = custodian_state.enrolments, custodian_state.holds
        self.clock = ports.clock
        self._boot_recorded = self._begun = False
        self._log = structlog.get_logger("custodian")
        marks = CaseHashes.of_device(secret, case_work)
        self.settings = OwnerSettings(
            custodian_state.decisions, ports.journal, custodian_state.ledger, exceeded, ports.notifier.notify
        )
        self.notices = RequestNotices(custodian_state, settings.minute_of)
        self.releases = Releases(custodian_state, ReleaseRecords(custodian_state), self.notices, settings.delay_s)
        self.requests = Requests(custodian_state, settings.limits, self.releases, self.notices)
        maker = OutboxBuilder(ports.outbox, ports.vault, ports.entropy, device_key, mldsa_key)
        self.tips = Tips(custodian_state, maker, self.releases)
        self._inbox = Inbox(settings, custodian_state, self.releases, marks)
        self._trust_news = TrustNews(custodian_state.trust, ports.journal)
        applier = StatementApplier(self.enrolments, custodian_state.decisions, ports.journal)
        self._approvals = approvals = Approvals(custodian_state, self.requests, self.releases, applier, maker)
        statements = Statements(
            custodian_state, self.requests, self.releases, applier, approvals, self.settings, self.tips
        )
        self.statements = statements
        names = DeviceNames(public_key_of(device_key), maker.device_mldsa, broker_name)
        self.control = Control(names, custodian_state, statements, approvals, self.settings, self.tips, status)
        # Owners only, over the local socket or the page: a review shows the door inside the requested area.
        self.control.offer("place", lambda _asked, _body: ({"position": self._place()}, b""))
        self.owners_changed: Callable[[], None] = lambda: None
        """Called once a change of the owners is durable."""
        custodian_state.trust.on_change = self._trust_changed
        custodian_state.enrolments.on_change = self._recheck_owners

    def use_time(self, time: TimeLog) -> None:
        """Takes the log of beats, from which answers get the newest confirmation of time."""
        self._approvals.confirmed_time = time.newest
        self.control.offer("time_opening", lambda asked, _body: ({}, _opening(time, asked)))

    def _trust_changed(self) -> None:
        """Ends what the change has ended. A package of a root that was just chosen may have come before the choice."""
        self.releases.recheck()
        self.custodian_state.decisions.after(self._trust_news.look)

    def _recheck_owners(self) -> None:
        self.releases.recheck()
        self.custodian_state.decisions.after(self._notify_owners_changed)

    def _notify_owners_changed(self) -> None:
        """Looks the callback up late, because it is set after construction."""
        self.owners_changed()

    def start(self) -> None:
        """Records the boot, sweeps the outbox, and ends everything that has expired since the last stop.

        If the disk refuses writes, `on_time` does this later, so that the owner can still look at stored footage.
        """
        # Before anything that may fail: the recorder can seal and record although the journal takes no write.
        self.enrolments.announce()
        self._boot_recorded = False
        try:
            self._begin()
        except StorageError as error:
            self._log.error("nothing_can_be_decided", error=error.message, remedy=error.remedy)

    def _begin(self) -> None:
        ports = self.custodian_state.deps
        # Once: a step below that fails is repeated every few seconds, and each entry of this kind tells of one boot.
        if not self._boot_recorded:
            self.custodian_state.ledger.write(EntryKind.BOOT)
            self._boot_recorded = True
        # Before the first release: a folder that no row names is of a cut before its commit, or after its end.
        ports.outbox.sweep(frozenset(record.disclosure for record in ports.journal.outbox()))
        self._begin_restored()
        self.releases.end_lost()
        self.custodian_state.trust.announce(changed=False)
        self.custodian_state.trust.remind()
        self.requests.on_time()
        self.notices.remind()
        # Last: if one of the steps fails, `on_time` repeats those that are harmless to repeat.
        self._begun = True

    def _begin_restored(self) -> None:
        """At the first start from a backup, ends what an owner may have taken back since, and tells the owners."""
        ports = self.custodian_state.deps
        if ports.journal.get(RESTORED) is None:
            return
        with self.custodian_state.decisions.one():
            self.releases.end_restored()
            ports.journal.remove(RESTORED)
            self.custodian_state.decisions.after(
                lambda: ports.notifier.notify("restored", "The doorbell was restored from a backup.")
            )

    def held(self, stored_segments: int) -> frozenset[str]:
        """Returns the segments that must stay: those that owners hold, and those of requests that wait for an owner."""
        return self.holds.held() | self.requests.held(stored_segments)

    def protected(self, stored_segments: int) -> ProtectedIds:
        """Returns what the rolling vault needs to know before it evicts."""
        return ProtectedIds(self.held(stored_segments), self.clock.trusted_ms)

    def hold_at_most(self, held_bytes: int) -> None:
        """Sets the limit for all holds together."""
        self.holds.held_bytes = held_bytes

    def _place(self) -> dict[str, float] | None:
        here = self._inbox.position
        return None if here is None else {"lat": round(here[0], 7), "lon": round(here[1], 7)}

    def move_to(self, position: tuple[float, float] | None) -> None:
        """Sets the door's position, (lat, lon) in degrees, for later requests."""
        # Read by other threads without a lock: one assignment of a tuple.
        self._inbox.position = position
        if self.custodian_state.trust.move_to(_cell(position)):
            self._trust_news.look()

    def erased(self) -> frozenset[str]:
        """Returns the next segments that an owner has deleted and that are still on the disk."""
        return frozenset(sorted(self.holds.being_deleted())[:_MOST_ERASED])

    def on_time(self) -> None:
        """Runs every few seconds: ends what has expired, deletes what is done, checks the clock."""
        if not self._begun:
            self._begin()
        with self.requests.deciding():
            self.clock.keep()
        self.requests.on_time()
        with self.requests.deciding():
            self.holds.on_time()
        self.custodian_state.trust.on_time()

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        # Outside of the inbox: a package of a root is public and large, and is read in chunks without a transaction.
        if self._trust_news.takes(topic):
            self._trust_news.on_message(topic, data)
            return None
        return self._inbox.on_message(topic, data)

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        return self.releases.outgoing()

    def begin_sending(self, disclosure: str) -> bool:
        return self.releases.begin_sending(disclosure)


def _cell(position: tuple[float, float] | None) -> str | None:
    return None if position is None else cell_of(*position)


def _opening(time: TimeLog, asked: GetTimeOpening) -> bytes:
    opening = time.opening(asked.size, asked.beat)
    return b"" if opening is None else strictjson.encode(opening)
