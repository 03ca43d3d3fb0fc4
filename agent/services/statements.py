"""Obeys the owners: a statement counts for the approval key that signed it, wherever it came from.

The local socket grants nothing: whoever reaches it may look at ciphertext and hand in statements, and a statement that
no owner signed changes nothing.  A statement acts once; handing it in again is refused, not repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from agent.core.consent import Cause, State, step
from agent.core.disclosure import Released, absences, manifest_of, records_told, release
from agent.core.ledger.entries import EntryKind
from agent.core.matching import Window
from agent.core.requests import OutboxRecord, StandingOptOut, StoredRequest, trusted_seconds
from agent.core.timebase import NS_PER_MS, NS_PER_S
from agent.core.vault.manifest import SignedRecord
from agent.errors import RequestError
from agent.ports import Clock, Entropy, Journal
from agent.services.enrolment import Enrolments
from agent.services.keeping import Keeping
from agent.services.ledger import Ledger
from agent.services.outbox_maker import Making, OutboxMaker
from agent.services.owner_settings import OwnerSettings
from agent.services.requests import Requests, Verdict, first_approval_of
from agent.services.tips import Tips
from agent.services.trust import TrustKeeper
from agent.services.vault_reader import VaultReader
from agent.wire import envelope, strictjson
from agent.wire.control import packed, unpacked
from agent.wire.disclosures import ClipRecords
from agent.wire.statements import (
    STATEMENT_ENVELOPE_LIMIT_BYTES,
    STATEMENT_LIMIT_BYTES,
    Absence,
    Approval,
    Enrolment,
    Erasure,
    Hold,
    OptIn,
    OptOut,
    OwnerStatement,
    Refusal,
    Release,
    Revocation,
    Seconding,
    Settings,
    Tip,
    TrustChange,
)

__all__ = ["Statements"]

_MS_PER_S: Final = 1000
_ID_BYTES: Final = 16
_KINDS: Final[Mapping[str, type[OwnerStatement]]] = {
    kind.PAYLOAD_TYPE: kind
    for kind in (
        Approval,
        Seconding,
        Tip,
        Refusal,
        OptOut,
        OptIn,
        Revocation,
        TrustChange,
        Hold,
        Release,
        Erasure,
        Settings,
    )
}


@dataclass(frozen=True, slots=True)
class _Said:
    """A statement that an owner has signed: `by` is the label of their key, `sha256` of the payload."""

    statement: OwnerStatement
    data: bytes
    sha256: str
    by: str

    @property
    def fields(self) -> dict[str, str]:
        """What the ledger notes of it."""
        return {"subject": self.sha256, "reason": self.by}


@dataclass(frozen=True, slots=True)
class _Yes:
    """Everything it took: an approval, and where it takes two, the second owner's.  `acting` is the newest of them."""

    approval: Approval
    first: _Said
    acting: OwnerStatement
    second: _Said | None = None


class Statements:
    """`take` is the only way an owner's will gets in."""

    def __init__(
        self,
        enrolments: Enrolments,
        requests: Requests,
        maker: OutboxMaker,
        journal: Journal,
        ledger: Ledger,
        trust: TrustKeeper,
        vault: VaultReader,
        keeping: Keeping,
        settings: OwnerSettings,
        clock: Clock,
        entropy: Entropy,
        tips: Tips,
    ) -> None:
        self._enrolments = enrolments
        self._requests = requests
        self._maker = maker
        self._journal = journal
        self._ledger = ledger
        self._trust = trust
        self._vault = vault
        self._keeping = keeping
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._tips = tips

    def take(self, data: bytes, headers: tuple[bytes, ...] = ()) -> Verdict:
        """Do what the statement in the envelope `data` says.  `headers`: the new headers an approval names.

        Raises `OpenError` when no owner signed it, `RequestError` when it cannot be done, in words for the owner.
        """
        enrolment = self._enrolments.current
        if enrolment is None:
            raise RequestError("This device has no owner yet.", remedy="Enrol first: doorward owner enrol.")
        said = self._open(data, enrolment)
        if isinstance(said.statement, Approval):
            verdict = self._approve(said.statement, said, headers, enrolment)
        elif isinstance(said.statement, Seconding):
            verdict = self._second(said.statement, said, enrolment)
        elif isinstance(said.statement, Tip):
            verdict = self._tip(said.statement, said, headers, enrolment)
        else:
            with self._acting(said.statement, enrolment):
                verdict = self._obey(said)
        self._requests.wake_uplink()
        return verdict

    @contextmanager
    def _acting(self, statement: OwnerStatement, enrolment: Enrolment) -> Iterator[None]:
        """The decision in which a statement acts: once, and only while its signer is an owner."""
        with self._requests.deciding():
            if self._enrolments.current is not enrolment:
                raise RequestError("The owners of this device have just changed.", remedy="Make the statement again.")
            if not self._journal.use_nonce(statement.nonce):
                raise RequestError("This statement was handed in before.", remedy="Make a new one.")
            yield

    def _open(self, data: bytes, enrolment: Enrolment) -> _Said:
        claimed = envelope.read_unverified(data, limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES)
        kind = _KINDS.get(claimed.payload_type)
        if kind is None:
            raise RequestError("This is no statement an owner can make.")
        opened = envelope.verify(claimed, enrolment.approver_keys)
        statement = strictjson.decode(opened.payload, kind, limit_bytes=STATEMENT_LIMIT_BYTES, error=RequestError)
        if statement.device != enrolment.device:
            raise RequestError("This statement is for another device.")
        sha256 = hashlib.sha256(opened.payload).hexdigest()
        return _Said(statement, data, sha256, enrolment.name_of(opened.key_id))

    def _obey(self, said: _Said) -> Verdict:
        fields = said.fields
        match said.statement:
            case Refusal() as statement:
                return self._requests.advance(self._named(statement.request), Cause.DENIED, **fields)
            case Revocation() as statement:
                return self._revoke(statement, fields)
            case OptOut() as statement:
                self._opt_out(statement, fields)
            case OptIn() as statement:
                self._journal.remove_opt_out(statement.scope, statement.value or "")
                self._ledger.write(EntryKind.OPT_IN, **fields)
            case TrustChange() as statement:
                self._trust.change(statement, fields)
            case Hold() as statement:
                self._keeping.hold(statement, fields)
            case Release() as statement:
                self._keeping.release(statement, fields)
            case Erasure() as statement:
                self._keeping.erase(statement, fields)
            case Settings() as statement:
                self._settings.take(statement, said.data, fields)
        return Verdict()

    def _approve(self, approval: Approval, said: _Said, headers: tuple[bytes, ...], enrolment: Enrolment) -> Verdict:
        """Check it; and then let it count, or have it wait for another owner where it takes two."""
        with self._requests.deciding():
            stored = self._approvable(approval)
        if approval.gaps is not None and approval.gaps != self.gaps(stored):
            raise RequestError("What the vault has of this window has just changed.", remedy="Approve again.")
        released = self._released(approval, headers, stored)
        if enrolment.approvals_needed == 1:
            return self._share(_Yes(approval, said, approval), released, enrolment)
        with self._acting(approval, enrolment):
            stored = self._approvable(approval)
            self._journal.put(first_approval_of(stored.id), packed(said.data, headers))
            return self._requests.advance(stored, Cause.HALF, segments=len(approval.segments), **said.fields)

    def _second(self, seconding: Seconding, said: _Said, enrolment: Enrolment) -> Verdict:
        """Let count what another owner approved: exactly that, checked again."""
        stored = self._named(seconding.request)
        kept = self._journal.get(first_approval_of(stored.id))
        if stored.state is not State.HALF or kept is None:
            raise RequestError("No approval of this request waits for another owner.", remedy="Review it again.")
        data, headers = unpacked(kept)
        first = self._open(data, enrolment)
        if not isinstance(first.statement, Approval) or first.sha256 != seconding.approval:
            raise RequestError("The approval that waits is another one by now.", remedy="Review it again.")
        if first.by == said.by:
            raise RequestError("It takes another owner's yes besides yours.", remedy="Ask them.")
        with self._requests.deciding():
            stored = self._approvable(first.statement)
        released = self._released(first.statement, headers, stored)
        # Where one is enough by now, the second yes lets the first count and is no part of the proof.
        second = said if enrolment.approvals_needed > 1 else None
        return self._share(_Yes(first.statement, first, seconding, second), released, enrolment)

    def _tip(self, tip: Tip, said: _Said, headers: tuple[bytes, ...], enrolment: Enrolment) -> Verdict:
        """Tell a requester something unasked.  Footage takes as many owners as always: a tip is no way around them."""
        if enrolment.approvals_needed > 1 and (tip.segments or tip.posters):
            raise RequestError(
                "It takes two owners to share footage; a tip of one has words alone.", remedy="Leave the footage out."
            )
        sent = self._tips.send(tip, headers, said.fields, lambda: self._acting(tip, enrolment))
        return Verdict(State.APPROVED, None, sent)

    def _share(self, yes: _Yes, released: tuple[Released, ...], enrolment: Enrolment) -> Verdict:
        """Copy, and check again with everything else standing still.

        Copying may take a minute; recording and the network must not wait for it, so it is no part of the decision.
        What is copied counts only once the journal names it.
        """
        disclosure = self._entropy.token(_ID_BYTES).hex()
        with self._maker.making(disclosure, released) as making:
            try:
                with self._acting(yes.acting, enrolment):
                    return self._seal(yes, released, making, disclosure)
            except BaseException:
                self._maker.discard(disclosure)
                raise

    def _seal(self, yes: _Yes, released: tuple[Released, ...], making: Making, disclosure: str) -> Verdict:
        stored = self._approvable(yes.approval)
        shared = len(yes.approval.segments)
        verdict = self._requests.advance(
            stored, Cause.APPROVED, disclosure=disclosure, segments=shared, **yes.first.fields
        )
        manifest = manifest_of(
            released,
            [part.sha256 for part in making.parts],
            disclosure=disclosure,
            device=yes.approval.device,
            request_sha256=stored.payload_sha256,
            approval=yes.first.data,
            enrolment=self._enrolments.envelope or b"",
            ledger=self._ledger.newest(),
            seconding=yes.second.data if yes.second else None,
            told=self._told(yes.approval, stored),
        )
        parts = making.finish(manifest, stored.terms.reply)
        self._journal.add_outbox(OutboxRecord(disclosure, stored.id, stored.requester, parts))
        self._ledger.write(
            EntryKind.SEALED,
            request=stored.id,
            requester=stored.requester,
            disclosure=disclosure,
            subject=parts[0].sha256,
            segments=shared,
            size_bytes=sum(part.size_bytes for part in parts),
        )
        return verdict

    def _released(self, approval: Approval, headers: tuple[bytes, ...], stored: StoredRequest) -> tuple[Released, ...]:
        by_hash = {hashlib.sha256(header).hexdigest(): header for header in headers}
        wanted = {item.id for item in (*approval.segments, *approval.posters)}
        if approval.clips is not None:
            wanted |= set(stored.segments)
        wanted -= self._keeping.going()
        return release(approval, by_hash, stored, self._records(wanted), approval.device)

    def _told(self, approval: Approval, stored: StoredRequest) -> tuple[ClipRecords, ...]:
        if not approval.clips:
            return ()
        return records_told(self._records(stored.segments), stored.segments, approval.clips)

    def _records(self, segments: Iterable[str]) -> dict[str, SignedRecord]:
        """Of those that are still stored."""
        return {name: self._vault.record(name) for name in segments if self._vault.find(name) is not None}

    def gaps(self, stored: StoredRequest) -> tuple[Absence, ...]:
        """What an owner may let the requester know of the window besides footage."""
        asked = stored.terms
        window = Window.of_seconds(asked.from_s, asked.to_s)
        return absences(self._vault.coverage(window.from_ms, window.to_ms, self._clock.now().utc_ns // NS_PER_MS))

    def waits_s(self, stored: StoredRequest) -> int | None:
        """How long an approval can be taken back before its first byte may leave; None when nothing waits."""
        return self._requests.waits_s(stored)

    def _approvable(self, approval: Approval) -> StoredRequest:
        """The request it names, if it can be approved now.

        Expiry is judged by the owner's clock, which is a better one; trust as it is now: a revocation counts at once.
        """
        stored = self._named(approval.request)
        step(stored.state, Cause.APPROVED)
        if approval.owner_time_ms // _MS_PER_S > stored.not_after_s:
            raise RequestError("The time to answer this request is over.", remedy="Nothing was sent; nothing will be.")
        if not self.still_trusted(stored):
            raise RequestError(
                "This requester is no longer trusted.", remedy="Look at 'doorward owner trust show' before you share."
            )
        return stored

    def still_trusted(self, stored: StoredRequest) -> bool:
        """Whether the key that signed the request would be believed now."""
        at_s = trusted_seconds(self._clock.now())
        return self._trust.store.resolve(stored.audience, stored.requester, stored.key_id, at_s) is not None

    def _revoke(self, revocation: Revocation, fields: dict[str, str]) -> Verdict:
        stored = self._journal.request_of(revocation.disclosure)
        if stored is None and (state := self._tips.revoke(revocation.disclosure, fields)) is not None:
            return Verdict(state, None, revocation.disclosure)
        if stored is None:
            raise RequestError("This device has no such disclosure.", remedy="Look at 'doorward requests'.")
        return self._requests.advance(stored, Cause.REVOKED, **fields)

    def _opt_out(self, statement: OptOut, fields: dict[str, str]) -> None:
        standing = StandingOptOut(statement.scope, statement.value or "", statement.until_s)
        self._journal.add_opt_out(standing)
        self._ledger.write(EntryKind.OPT_OUT, **fields)
        now_s = self._clock.now().utc_ns // NS_PER_S
        for stored in self._journal.requests(State.PENDING, State.HALF):
            if standing.covers(stored.terms, now_s):
                self._requests.advance(stored, Cause.OPTED_OUT)

    def _named(self, payload_sha256: str) -> StoredRequest:
        stored = self._journal.request_named(payload_sha256)
        if stored is None:
            raise RequestError("This device has no such request.", remedy="Look at 'doorward requests'.")
        return stored
