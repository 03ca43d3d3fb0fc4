"""Approvals: checks an owner's approval, alone or with a second owner's, seals what it releases, and archives it.

`core.disclosure` decides what may leave.  Copying takes time, so every check runs twice: before the copy, and again in
the transaction that writes the approval to the ledger and makes it take effect.

The archive holds the signed approvals, one for each disclosure and tip, with the records of the files they name. The
owner's client lists from it which segments, stills and sounds left.  The client can verify the list: an owner signed
the approval, the ledger names it by its hash, and each record is signed and names its file by hash. The records are
copied because the vault deletes them with the footage.

An approval is sealed to the current owners before it is stored, like the request it answers (docs/decisions/0014). It
names times and the requester's reply key, which a thief of the disk must not read. The newest approval is always kept.
The oldest are deleted if there are more than `MOST_KEPT`, or if all together have more than `MOST_BYTES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from agent.core.consent import Event, RequestState
from agent.core.disclosure import ReleasedItem, absences, claimed_clip_records, manifest_of, release
from agent.core.requests import MatchedRequest, StoredRequest, TimeWindow
from agent.core.timebase import NS_PER_MS
from agent.core.vault.manifest import SignedRecord
from agent.custodian.outbox_builder import OutboxBuild, OutboxBuilder
from agent.custodian.release_records import first_approval_of
from agent.custodian.releases import Releases, Requests, RequestStatus
from agent.custodian.state import CustodianState
from agent.custodian.verified_statements import StatementApplier, VerifiedStatement, verify_statement
from agent.errors import RequestError
from agent.ports import Journal
from agent.wire import strictjson
from agent.wire.control import decode_statement, encode_approval, encode_statement
from agent.wire.disclosures import ClipRecords, SecondSignature
from agent.wire.fields import HexId
from agent.wire.statements import Approval, CoApproval, Enrolment, FootageAbsence, OwnerStatement
from agent.wire.time_proofs import TimeProof

__all__ = ["MOST_BYTES", "MOST_KEPT", "ApprovalArchive", "Approvals"]

MOST_KEPT: Final = 256
MOST_BYTES: Final = 32 << 20
_KEPT: Final = "shared."
_ORDER: Final = "shared-order"
_ORDER_LIMIT_BYTES: Final = 64 << 10


class _ArchivedSize(strictjson.Message, frozen=True):
    disclosure: HexId
    size_bytes: int


class _ArchiveOrder(strictjson.Message, frozen=True):
    """The ids of everything in the archive, oldest first."""

    kept: tuple[_ArchivedSize, ...] = ()


class ApprovalArchive:
    """Approvals by disclosure.  They are stored in the journal, so several `ApprovalArchive` objects may share one
    journal."""

    def __init__(self, journal: Journal, seal: Callable[[bytes], bytes]) -> None:
        """`seal` encrypts to the current owners and the recovery identity."""
        self._journal = journal
        self._seal = seal

    def keep(
        self,
        disclosure: str,
        verified: VerifiedStatement,
        released: Iterable[ReleasedItem],
        second: VerifiedStatement | None = None,
    ) -> None:
        """Archives an approval inside the caller's transaction, so that it takes effect and is archived, or neither."""
        # By id: a segment, its still and its sound share one record.
        lines = {each.id: each.record.line for each in released}
        data = self._seal(encode_approval(verified.data, second.data if second else None, tuple(lines.values())))
        self._journal.put(_KEPT + disclosure, data)
        order = [*self._order().kept, _ArchivedSize(disclosure=disclosure, size_bytes=len(data))]
        # More than one, because the newest is kept, however large.
        while len(order) > 1 and (len(order) > MOST_KEPT or sum(each.size_bytes for each in order) > MOST_BYTES):
            self._journal.remove(_KEPT + order.pop(0).disclosure)
        self._journal.put(_ORDER, strictjson.encode(_ArchiveOrder(kept=tuple(order))))

    def of(self, disclosure: str) -> bytes | None:
        """Returns the age file around the approval (`wire.control.decode_approval`), or None if the archive
        lacks it."""
        return self._journal.get(_KEPT + disclosure)

    def _order(self) -> _ArchiveOrder:
        data = self._journal.get(_ORDER)
        return (
            _ArchiveOrder() if data is None else strictjson.decode(data, _ArchiveOrder, limit_bytes=_ORDER_LIMIT_BYTES)
        )


_MS_PER_S: Final = 1000
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class _CompleteApproval:
    """An approval, and the second owner's if two are required.  `newest` is the newer statement.

    `co_approval_for_archive` is archived for the owners.  The proof omits it if one approval has become enough.
    """

    approval: Approval
    first: VerifiedStatement
    newest: OwnerStatement
    second: VerifiedStatement | None = None
    co_approval_for_archive: VerifiedStatement | None = None


class Approvals:
    """Carries out approvals until their outbox object is complete."""

    def __init__(
        self,
        custodian_state: CustodianState,
        requests: Requests,
        releases: Releases,
        applier: StatementApplier,
        maker: OutboxBuilder,
    ) -> None:
        ports = custodian_state.deps
        self._enrolments = custodian_state.enrolments
        self._requests = requests
        self._releases = releases
        self._archive = ApprovalArchive(ports.journal, custodian_state.enrolments.seal)
        self._applier = applier
        self._maker = maker
        self._journal = ports.journal
        self._ledger = custodian_state.ledger
        self._vault = ports.vault
        self._holds = custodian_state.holds
        self._clock = ports.clock
        self._entropy = ports.entropy
        self.confirmed_time: Callable[[], TimeProof | None] = lambda: None
        """Gives the newest confirmation of time by others."""

    def approve(
        self, approval: Approval, verified: VerifiedStatement, headers: tuple[bytes, ...], enrolment: Enrolment
    ) -> RequestStatus:
        """Checks the approval.  It then takes effect, or waits for another owner if two are required."""
        with self._requests.deciding():
            stored = self._approvable(approval, dated_by=approval)
        # The owner signed what they were shown. A segment that was stored or evicted since makes those words false.
        if approval.gaps is not None and approval.gaps != self.gaps(stored):
            raise RequestError("The stored footage of this window has just changed.", remedy="Approve again.")
        if approval.redacted_items and enrolment.approvals_needed > 1:
            # The second owner could not see what they approve: the redacted film is sealed to the requester alone.
            raise RequestError(
                "An approval with redacted films cannot wait for a second owner.",
                remedy="Share without redactions, or agree that one owner is enough.",
            )
        released = self._released(approval, headers, stored, enrolment)
        if enrolment.approvals_needed == 1:
            return self._share(_CompleteApproval(approval, verified, approval), released, enrolment)
        with self._applier.apply_once(approval, enrolment):
            stored = self._approvable(approval, dated_by=approval)
            # Statement and headers as they came. `co_approve` verifies them again, so a changed journal cannot alter a
            # yes.
            self._journal.put(first_approval_of(stored.id), encode_statement(verified.data, headers))
            self._releases.records.save_approvers(stored, [verified.key_id])
            return self._releases.step(
                stored, Event.PARTIALLY_APPROVED, segments=len(approval.segments), **verified.fields
            )

    def co_approve(self, co_approval: CoApproval, verified: VerifiedStatement, enrolment: Enrolment) -> RequestStatus:
        """Completes exactly what another owner approved, after checking it again."""
        stored = self._requests.named(co_approval.request)
        kept = self._journal.get(first_approval_of(stored.id))
        if stored.state is not RequestState.PARTIALLY_APPROVED or kept is None:
            raise RequestError("No approval of this request waits for another owner.", remedy="Review it again.")
        data, headers = decode_statement(kept)
        # Against the owners of now: a first owner who has left since must not count as one of two.
        first = verify_statement(data, enrolment)
        # The second owner signed the hash of what they reviewed. Without this check, the first could exchange it
        # meanwhile.
        if not isinstance(first.statement, Approval) or first.sha256 != co_approval.approval:
            raise RequestError("Another approval has replaced the one that you reviewed.", remedy="Review it again.")
        # Otherwise one owner's two signatures would count as two owners. Names are distinct in a list of owners.
        if first.by == verified.by:
            raise RequestError("This approval needs another owner besides you.", remedy="Ask them.")
        with self._requests.deciding():
            stored = self._approvable(first.statement, dated_by=co_approval)
        released = self._released(first.statement, headers, stored, enrolment)
        # If one approval has become enough, the second one only triggers the first, and the proof omits it.
        second = verified if enrolment.approvals_needed > 1 else None
        return self._share(
            _CompleteApproval(first.statement, first, co_approval, second, verified), released, enrolment
        )

    def _share(
        self, given: _CompleteApproval, released: tuple[ReleasedItem, ...], enrolment: Enrolment
    ) -> RequestStatus:
        """Copies what is released, then checks everything again inside one transaction.

        A copy may take a minute, and recording and the network must not wait for it.  So it runs outside the
        transaction.  The copy counts only once the journal names it.
        """
        # Random, because the broker reads it in topics: a counter would tell how many answers this doorbell has given.
        disclosure = self._entropy.token(_ID_BYTES).hex()
        second = self._maker.second_signatures(released)
        with self._maker.making(disclosure, released) as making:
            try:
                with self._applier.apply_once(given.newest, enrolment):
                    return self._seal(given, released, making, disclosure, second)
            # Also for an interrupt: a complete object without a row in the journal would lie on the disk until the next
            # start.
            except BaseException:
                self._maker.discard(disclosure)
                raise

    def _seal(
        self,
        given: _CompleteApproval,
        released: tuple[ReleasedItem, ...],
        making: OutboxBuild,
        disclosure: str,
        second: Mapping[str, SecondSignature],
    ) -> RequestStatus:
        # Time has passed while the files were copied: the request may have been withdrawn, or its key revoked.
        stored = self._approvable(given.approval, dated_by=given.newest)
        self._holds.require_none_deleted(each.id for each in released)
        shared = len(given.approval.segments)
        # Right before the entry that the answer shows: it hides how many entries other requests have made.
        self._ledger.pad(self._entropy)
        status = self._releases.step(
            stored, Event.APPROVED, disclosure=disclosure, segments=shared, **given.first.fields
        )
        manifest = manifest_of(
            released,
            [part.sha256 for part in making.parts],
            disclosure=disclosure,
            device=given.approval.device,
            device_mldsa=self._maker.device_mldsa,
            request_sha256=stored.payload_sha256,
            approval=given.first.data,
            enrolments=self._enrolments.envelopes,
            # Must be the approval's entry. So `add_outbox`, which writes the next entry, comes after it.
            ledger=self._ledger.newest(),
            co_approval=given.second.data if given.second else None,
            second_signatures=second,
            told=self._told(given.approval, stored),
            time=self.confirmed_time(),
        )
        self._releases.records.save_approvers(stored, (each.key_id for each in (given.first, given.second) if each))
        if given.approval.clips:
            self._releases.records.save_told(stored, self._told_segments(given.approval, stored))
        self._archive.keep(disclosure, given.first, released, given.co_approval_for_archive)
        # The bytes are complete and synced before `add_outbox` names them: a power cut between the two leaves an object
        # that the next start sweeps away, instead of a row without bytes.
        parts = making.finish(manifest, stored.terms.reply)
        self._releases.add_outbox(stored, disclosure, parts, shared)
        return status

    def _released(
        self, approval: Approval, headers: tuple[bytes, ...], stored: MatchedRequest, enrolment: Enrolment
    ) -> tuple[ReleasedItem, ...]:
        by_hash = {hashlib.sha256(header).hexdigest(): header for header in headers}
        wanted = {item.id for item in (*approval.segments, *approval.posters)}
        if approval.clips is not None:
            wanted |= set(stored.segments)
        return release(approval, by_hash, stored, self._records(wanted), enrolment.device)

    def _told(self, approval: Approval, stored: MatchedRequest) -> tuple[ClipRecords, ...]:
        if not approval.clips:
            return ()
        return claimed_clip_records(self._records(stored.segments), stored.segments, approval.clips)

    def _told_segments(self, approval: Approval, stored: MatchedRequest) -> list[str]:
        """Returns the segments of the clips that the approval only tells of."""
        spans = [TimeWindow(clip.from_ms, clip.to_ms) for clip in approval.clips or ()]
        entries = (entry for name in stored.segments if (entry := self._vault.find(name)) is not None)
        return [each.id for each in entries if any(span.overlaps(each.start_ms, each.end_ms) for span in spans)]

    def _records(self, segments: Iterable[str]) -> dict[str, SignedRecord]:
        """Returns the records of those segments that are stored and that no owner has deleted."""
        # A deletion counts from the owner's signature on, although the recorder removes the file seconds later.
        here = set(segments) - self._holds.being_deleted()
        return {name: self._vault.record(name) for name in here if self._vault.find(name) is not None}

    def gaps(self, stored: StoredRequest) -> tuple[FootageAbsence, ...]:
        """Returns the gaps in the requested window.  An owner may share them together with footage, or alone."""
        asked = stored.terms
        window = TimeWindow.of_seconds(asked.from_s, asked.to_s)
        return absences(self._vault.coverage(window.from_ms, window.to_ms, self._clock.now().utc_ns // NS_PER_MS))

    def still_trusted(self, stored: StoredRequest) -> bool:
        """Returns True if the key that signed the request is trusted now."""
        return self._requests.still_trusted(stored)

    def waits_s(self, stored: StoredRequest) -> int | None:
        """Returns the seconds until the first byte of an approval may leave, or None if no approval waits."""
        return self._releases.waits_s(stored)

    def _approvable(self, approval: Approval, *, dated_by: OwnerStatement) -> MatchedRequest:
        """Returns the request that the approval names.  Raises `RequestError` if it cannot be approved now.

        The clock of the owner who made the statement `dated_by` decides if the request has expired, because it is
        better than the device's.  It also decides the other time limits if they are still unchecked.  Trust is checked
        as it is now, so a revocation takes effect at once.
        """
        stored = self._requests.named(approval.request)
        self._releases.require(stored, Event.APPROVED)
        at_s = dated_by.owner_time_ms // _MS_PER_S
        if at_s > stored.not_after_s:
            raise RequestError(
                "The time to answer this request is over.", remedy="Nothing was sent, and nothing will be."
            )
        if not self._requests.still_trusted(stored, at_s):
            raise RequestError(
                "This requester is no longer trusted.", remedy="Look at 'doorward owner trust show' before you share."
            )
        over = self._requests.over_limit(stored, at_s)
        if over is not None:
            raise RequestError(
                f"This request breaks a time limit: {over.value}.",
                remedy="The device's clock was not synchronised when it arrived. Deny it.",
            )
        return stored
