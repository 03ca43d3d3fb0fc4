"""Sends what an owner wants a requester to know unasked, under no name: a tip.

Only an owner's signed statement makes one; nothing that arrives over the network can.  It goes the way of every answer
(checked, copied, sealed, ledger first, one outbox object, revocable until its first byte) and steps the same table from
`APPROVED` on.  It answers no request: its own id stands where a request's would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import msgspec

from agent.core.consent import Event, RequestState, next_transition
from agent.core.disclosure import ReleasedItem, release_tip, tip_manifest_of
from agent.core.ledger.entries import FIELDS, EntryKind
from agent.core.requests import OutboxRecord, trusted_seconds
from agent.custodian.approval_store import ApprovalArchive
from agent.custodian.delay import DisclosureTimer
from agent.custodian.outbox_builder import OutboxBuilder
from agent.custodian.requests import APPROVER_LEFT, REQUESTER_NOT_TRUSTED
from agent.custodian.state import CustodianState
from agent.custodian.verified_statements import VerifiedStatement
from agent.errors import DoorwardError, RequestError
from agent.wire import strictjson
from agent.wire.disclosures import Receipt, ReceiptState
from agent.wire.fields import HexId, KeyId, RequesterId, Sha256, UtcS
from agent.wire.inbound import VerifiedMessage
from agent.wire.statements import Tip

__all__ = ["StoredTip", "Tips"]

_TIP: Final = "tip."
_LIFE_S: Final = 30 * 86_400
"""A tip nobody has taken by then is given up."""
_LIMIT_BYTES: Final = 4096


class StoredTip(strictjson.Message, frozen=True):
    """A tip as the journal keeps it, until it has ended and after."""

    tip: HexId
    trust_root: KeyId
    requester: RequesterId
    state: str
    not_after_s: UtcS
    sealed_to: Sha256
    """SHA-256 of the recipient it is sealed to."""
    by: KeyId
    """The owner's key that signed it."""

    @property
    def at(self) -> RequestState:
        return RequestState(self.state)


class Tips:
    """Every tip of one device.  `wake_uplink` is called after the set of outgoing ones changed."""

    def __init__(
        self, custodian_state: CustodianState, maker: OutboxBuilder, wake_uplink: Callable[[], None], delay_s: int = 0
    ) -> None:
        ports = custodian_state.deps
        self._decisions = custodian_state.decisions
        self._journal = ports.journal
        self._kept = ApprovalArchive(ports.journal, custodian_state.enrolments.seal)
        self._outbox = ports.outbox
        self._maker = maker
        self._ledger = custodian_state.ledger
        self._trust = custodian_state.trust
        self._enrolments = custodian_state.enrolments
        self._vault = ports.vault
        self._keeping = custodian_state.keeping
        self._clock = ports.clock
        self._wake_uplink = wake_uplink
        self._delay = DisclosureTimer(ports.clock, delay_s)
        self._newest_receipt: dict[str, int] = {}

    # -- the owner -----------------------------------------------------------------------------------------------------

    def send(
        self,
        tip: Tip,
        headers: tuple[bytes, ...],
        said: VerifiedStatement,
        acting: Callable[[], AbstractContextManager[None]],
    ) -> str:
        """Make the tip ready to leave; its id.  `acting`: the decision in which its statement acts, once.

        Raises `RequestError` for one that cannot be sent; then nothing of it stays.
        """
        self._require_new(tip)
        self._require_listening(tip)
        released = self._released(tip, headers)
        with self._maker.making(tip.tip, released) as making:
            try:
                with acting():
                    self._require_new(tip)
                    self._require_listening(tip)
                    self._keeping.require_none_going(each.id for each in released)
                    shared = len(tip.segments)
                    named = {"request": tip.tip, "requester": tip.requester, "disclosure": tip.tip}
                    self._ledger.write(EntryKind.TIP, segments=shared, **named, **said.fields)
                    manifest = tip_manifest_of(released, [part.sha256 for part in making.parts], tip, tip.device)
                    parts = making.finish(manifest, tip.reply)
                    self._journal.add_outbox(OutboxRecord(tip.tip, tip.tip, tip.requester, parts))
                    self._kept.keep(tip.tip, said, released)
                    # The owner's clock counts while the doorbell's is not trusted.
                    now_s = trusted_seconds(self._clock.now()) or tip.owner_time_ms // 1000
                    not_after_s = now_s + _LIFE_S
                    self._keep(
                        StoredTip(
                            tip.tip,
                            tip.trust_root,
                            tip.requester,
                            RequestState.APPROVED.value,
                            not_after_s,
                            _sha256(tip.reply),
                            said.key_id,
                        )
                    )
                    size = sum(part.size_bytes for part in parts)
                    self._ledger.write(
                        EntryKind.SEALED, segments=shared, subject=parts[0].sha256, size_bytes=size, **named
                    )
                    self._decisions.after(self._wake_uplink)
            except BaseException:
                self._maker.discard(tip.tip)
                raise
        return tip.tip

    def revoke(self, tip: str, fields: dict[str, str]) -> RequestState | None:
        """Take one back as far as it has not left; None when there is none of that name."""
        stored = self._stored(tip)
        return None if stored is None else self._advance(stored, Event.REVOKED, **fields)

    def listed(self) -> list[StoredTip]:
        return [_read(data) for data in self._journal.named(_TIP).values()]

    # -- the way out ---------------------------------------------------------------------------------------------------

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        """Outbox objects that may be sent, and whether their first byte has left already."""
        with self._decisions.one():
            found = []
            for record in self._journal.outbox():
                stored = self._stored(record.disclosure) if record.anonymous else None
                if stored is not None and self._may_send(stored):
                    found.append((record, stored.at is RequestState.SENDING))
            return found

    def begin_sending(self, tip: str) -> bool | None:
        """Make durable that the first byte is about to leave.  None: there is no such tip."""
        with self._decisions.one():
            stored = self._stored(tip)
            if stored is None:
                return None
            if not self._may_send(stored):
                return False
            if stored.at is RequestState.APPROVED:
                self._advance(stored, Event.FIRST_BYTE)
            return True

    def on_receipt(self, receipt: Receipt, inbound: VerifiedMessage) -> Receipt | None:
        """What its requester says of it; None when it is about no tip of ours that waits for it."""
        stored = self._stored(receipt.disclosure)
        if stored is None or (stored.trust_root, stored.requester) != (inbound.requester.root, inbound.requester.id):
            return None
        if stored.at.ended or receipt.seq <= self._newest_receipt.get(stored.tip, 0):
            return None
        if receipt.state is ReceiptState.PARTIAL:
            self._newest_receipt[stored.tip] = receipt.seq
        elif receipt.state is ReceiptState.REFUSED:
            self._advance(stored, Event.REFUSED, subject=inbound.payload_sha256)
        elif stored.at is RequestState.SENDING and self._names_ours(receipt):
            self._advance(stored, Event.RECEIPT, subject=inbound.payload_sha256)
        else:
            return None
        return receipt

    def recheck(self) -> None:
        """End those whose requester is no longer trusted, or whose owner is none any more (`Requests.recheck`)."""
        with self._decisions.one():
            for stored in self.listed():
                if stored.at.ended:
                    continue
                if not self._still_listens(stored):
                    self._advance(stored, Event.TRUST_WITHDRAWN, reason=REQUESTER_NOT_TRUSTED)
                elif self._enrolments.has_left(stored.by):
                    self._advance(stored, Event.REVOKED, reason=APPROVER_LEFT)

    def on_time(self) -> None:
        """Give up what nobody has taken in time, and what nobody stands behind any more."""
        self.recheck()
        now_s = trusted_seconds(self._clock.now())
        if now_s is None or not any(_is_over(stored, now_s) for stored in self.listed()):
            return
        with self._decisions.one():
            for stored in self.listed():
                if _is_over(stored, now_s):
                    self._advance(stored, Event.EXPIRED)

    # -- within --------------------------------------------------------------------------------------------------------

    def _require_new(self, tip: Tip) -> None:
        if self._stored(tip.tip) is not None or self._journal.request_of(tip.tip) is not None:
            raise RequestError("There is something of this name already.", remedy="Make the tip anew.")

    def _require_listening(self, tip: Tip) -> None:
        """The key it is sealed to is the one that a bundle of a root the owner chose gives for this requester, now."""
        if self._listens_with(tip.trust_root, tip.requester) != tip.reply:
            raise RequestError(
                "This requester takes no tips, or under another key by now.", remedy="See: doorward owner trust show."
            )

    def _still_listens(self, stored: StoredTip) -> bool:
        reply = self._listens_with(stored.trust_root, stored.requester)
        return reply is not None and stored.sealed_to == _sha256(reply)

    def _listens_with(self, root: str, requester: str) -> str | None:
        """What tips to this requester are sealed to now; None if it takes none, or no key of it may be used."""
        bundle = self._trust.store.bundles.get(root)
        entry = next((each for each in bundle.requesters if each.id == requester), None) if bundle else None
        at_s = trusted_seconds(self._clock.now())
        if entry is None or not any(key.usable_at(at_s) for key in entry.keys):
            return None
        return entry.tips

    def _released(self, tip: Tip, headers: tuple[bytes, ...]) -> tuple[ReleasedItem, ...]:
        by_hash = {hashlib.sha256(header).hexdigest(): header for header in headers}
        wanted = {item.id for item in (*tip.segments, *tip.posters)} - self._keeping.going()
        records = {name: self._vault.record(name) for name in wanted if self._vault.find(name) is not None}
        return release_tip(tip, by_hash, records, tip.device)

    def _advance(self, stored: StoredTip, event: Event, **fields: str) -> RequestState:
        """Step the consent table: ledger entry first, then the state, then what follows."""
        line = next_transition(stored.at, event)
        required, optional = FIELDS[line.entry]
        if "disclosure" in required | optional:
            fields["disclosure"] = stored.tip
        with self._decisions.one():
            self._ledger.write(line.entry, request=stored.tip, requester=stored.requester, **fields)
            self._keep(msgspec.structs.replace(stored, state=line.next_state.value))
            if line.next_state.ended:
                self._journal.remove_outbox(stored.tip)
                self._delay.forget(stored.tip)
                self._newest_receipt.pop(stored.tip, None)
                self._decisions.after(partial(self._drop, stored.tip))
        return line.next_state

    def _drop(self, tip: str) -> None:
        try:
            self._outbox.remove(tip)
        except DoorwardError:
            return  # the next start sweeps what no journal row names
        finally:
            self._wake_uplink()

    def _may_send(self, stored: StoredTip) -> bool:
        begun = stored.at is RequestState.SENDING or (
            stored.at is RequestState.APPROVED and self._delay.is_over(stored.tip)
        )
        return begun and self._still_listens(stored)

    def _names_ours(self, receipt: Receipt) -> bool:
        ours = next((record for record in self._journal.outbox() if record.disclosure == receipt.disclosure), None)
        return ours is not None and ours.parts[0].sha256 == receipt.manifest

    def _keep(self, stored: StoredTip) -> None:
        self._journal.put(_TIP + stored.tip, strictjson.encode(stored))

    def _stored(self, tip: str) -> StoredTip | None:
        data = self._journal.get(_TIP + tip)
        return None if data is None else _read(data)


def _is_over(stored: StoredTip, now_s: int) -> bool:
    return not stored.at.ended and now_s > stored.not_after_s


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(data: bytes) -> StoredTip:
    return strictjson.decode(data, StoredTip, limit_bytes=_LIMIT_BYTES)
