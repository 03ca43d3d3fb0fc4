"""Tips: messages, with optional footage, that an owner sends to a requester unasked and anonymously.

Only an owner's signed statement makes a tip.  A tip leaves like every answer: it is checked,
copied, sealed, written to the ledger first, and revocable until its first byte (`custodian.releases`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from agent.core.consent import TIP_SENT
from agent.core.disclosure import ReleasedItem, release_tip, tip_manifest_of
from agent.core.requests import trusted_seconds
from agent.custodian.approvals import ApprovalArchive
from agent.custodian.outbox_builder import OutboxBuild, OutboxBuilder
from agent.custodian.release_records import StoredTip, sha256_of_recipient
from agent.custodian.releases import Releases, RequestStatus
from agent.custodian.state import CustodianState
from agent.custodian.verified_statements import VerifiedStatement
from agent.errors import RequestError
from agent.wire.statements import Tip

__all__ = ["Tips"]

_LIFE_S: Final = 30 * 86_400
"""A tip expires if its requester has not received it after this many seconds."""


class Tips:
    """Makes and lists the tips of one device."""

    def __init__(self, custodian_state: CustodianState, maker: OutboxBuilder, releases: Releases) -> None:
        ports = custodian_state.deps
        self._journal = ports.journal
        self._archive = ApprovalArchive(ports.journal, custodian_state.enrolments.seal)
        self._maker = maker
        self._vault = ports.vault
        self._holds = custodian_state.holds
        self._clock = ports.clock
        self._releases = releases
        self._records = releases.records

    def send(
        self,
        tip: Tip,
        headers: tuple[bytes, ...],
        verified: VerifiedStatement,
        apply_once: Callable[[], AbstractContextManager[None]],
    ) -> RequestStatus:
        """Makes the tip ready to leave.  `apply_once` opens the transaction in which its statement takes effect, once.

        Raises `RequestError` if the tip cannot be sent.  The tip is then discarded.
        """
        self._require_sendable(tip)
        released = self._released(tip, headers)
        # Copying takes time and runs outside the transaction, so every check runs again inside it.
        with self._maker.making(tip.tip, released) as making:
            try:
                with apply_once():
                    self._require_sendable(tip)
                    self._holds.require_none_deleted(each.id for each in released)
                    return self._seal(tip, verified, released, making)
            except BaseException:
                self._maker.discard(tip.tip)
                raise

    def listed(self) -> list[StoredTip]:
        return self._records.tips()

    def _seal(
        self, tip: Tip, verified: VerifiedStatement, released: tuple[ReleasedItem, ...], making: OutboxBuild
    ) -> RequestStatus:
        stored = self._stored(tip, verified)
        shared = len(tip.segments)
        status = self._releases.start_tip(stored, segments=shared, **verified.fields)
        manifest = tip_manifest_of(
            released, [part.sha256 for part in making.parts], tip, self._maker.device_mldsa, self._maker.sign_second
        )
        parts = making.finish(manifest, tip.reply)
        self._archive.keep(tip.tip, verified, released)
        self._releases.add_outbox(stored, tip.tip, parts, shared)
        return status

    def _stored(self, tip: Tip, verified: VerifiedStatement) -> StoredTip:
        # The owner's clock counts while the device's clock is unknown.
        now_s = trusted_seconds(self._clock.now()) or tip.owner_time_ms // 1000
        return StoredTip(
            tip=tip.tip,
            trust_root=tip.trust_root,
            requester=tip.requester,
            state=TIP_SENT.next_state,
            not_after_s=now_s + _LIFE_S,
            sealed_to=sha256_of_recipient(tip.reply),
            by=verified.key_id,
        )

    def _require_sendable(self, tip: Tip) -> None:
        # The owner's client chooses the id, and it names the outbox object: a second tip would replace the first one's
        # files.
        if self._records.find(tip.tip) is not None:
            raise RequestError("This id is already in use.", remedy="Make a new tip.")
        # The tip must be sealed to the key that the owners' trust bundle gives for this requester now.
        if self._records.tip_recipient(tip.trust_root, tip.requester) != tip.reply:
            raise RequestError(
                "This requester takes no tips, or its key has changed.",
                remedy="Run 'doorward owner trust show', then make a new tip.",
            )

    def _released(self, tip: Tip, headers: tuple[bytes, ...]) -> tuple[ReleasedItem, ...]:
        by_hash = {hashlib.sha256(header).hexdigest(): header for header in headers}
        wanted = {item.id for item in (*tip.segments, *tip.posters)} - self._holds.being_deleted()
        records = {name: self._vault.record(name) for name in wanted if self._vault.find(name) is not None}
        return release_tip(tip, by_hash, records, tip.device)
