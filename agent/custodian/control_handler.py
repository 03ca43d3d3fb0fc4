"""Handler for the owner's client: operations that read something or submit something signed.

Every operation returns only ciphertext, public data, or facts about requests.  Changes need an owner's signature.  The
one exception is the first enrolment, which the owner makes with the device in hand (docs/local-rpc.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from agent.core.consent import RequestState
from agent.core.requests import ActiveOptOut, MatchedRequest, StoredRequest
from agent.core.vault.entries import VaultEntry
from agent.custodian.approvals import ApprovalArchive, Approvals
from agent.custodian.holds import HoldsAndErasures
from agent.custodian.inbox import bulletins, deletion_of, receipt_of
from agent.custodian.owner_settings import OwnerSettings
from agent.custodian.release_records import first_approval_of
from agent.custodian.state import CustodianState
from agent.custodian.statement_handler import Statements
from agent.custodian.tips import Tips
from agent.errors import FormatError, RequestError
from agent.ipc.control_operations import (
    ConfirmEnrolment,
    GetApproval,
    GetCheckpoint,
    GetEnrolmentTest,
    GetEntries,
    GetPoster,
    GetRequest,
    GetSealedRequest,
    GetSegment,
    GetSound,
    ListEnrolments,
    ListGaps,
    ListRequests,
    ListSegments,
    ProposeEnrolment,
    SubmitBundle,
    SubmitStatement,
    read_operation,
)
from agent.wire import strictjson
from agent.wire.control import Frame, decode_statement, split_body
from agent.wire.identities import MldsaPublicKey, PublicKey
from agent.wire.statements import Scope

__all__ = ["Answer", "Control", "DeviceNames", "Status"]

_MOST_LISTED: Final = 10_000
"""Segments in one page of `list`.  The client asks for the next page from the start of its last segment."""
_LONG_BYTES: Final = 1 << 20
"""Records longer than this go into the body of the answer instead of its head."""
_MOST_ENTRIES: Final = 4_096

Status = Callable[[], dict[str, Any]]
Answer = tuple[dict[str, Any], bytes]
"""The result of an operation, and the bytes that go with it."""
Handler = Callable[[Any, bytes], Answer]
"""Takes the operation's typed request (`agent.ipc.control_operations`) and the bytes that came with it."""


@dataclass(frozen=True, slots=True)
class DeviceNames:
    """The device's public keys, and its user name at the broker."""

    key: PublicKey
    mldsa: MldsaPublicKey
    broker_name: str | None


class Control:
    """`answer` handles one frame from the socket.  It raises the errors that a client sees."""

    def __init__(
        self,
        device: DeviceNames,
        custodian_state: CustodianState,
        statements: Statements,
        approvals: Approvals,
        settings: OwnerSettings,
        tips: Tips,
        status: Status,
    ) -> None:
        self._device = device
        self._enrolments = custodian_state.enrolments
        self._statements = statements
        self._approvals = approvals
        self._trust = custodian_state.trust
        self._nonces = custodian_state.nonces
        self._ledger = custodian_state.ledger
        self._journal = custodian_state.deps.journal
        self._archive = ApprovalArchive(custodian_state.deps.journal, custodian_state.enrolments.seal)
        self._vault = custodian_state.deps.vault
        self._holds = custodian_state.holds
        self._settings = settings
        self._tips = tips
        self._status = status
        self._operations: dict[str, Handler] = {
            "device": self._describe,
            "status": lambda _asked, _body: (self._status(), b""),
            "nonce": lambda _asked, _body: ({"nonce": self._nonces.give()}, b""),
            "enrol": self._enrol,
            "enrol_test": self._enrol_test,
            "enrol_confirm": self._confirm,
            "enrolment": lambda _asked, _body: ({"envelope": _ascii(self._enrolments.envelope)}, b""),
            "enrolments": self._show_enrolments,
            "requests": self._list_requests,
            "request": self._show_request,
            "asked": self._asked,
            "gaps": self._show_gaps,
            "bulletins": self._show_bulletins,
            "tips": self._list_tips,
            "shared": self._shared,
            "segment": self._segment,
            "poster": self._poster,
            "sound": self._sound,
            "list": self._list,
            "kept": self._kept,
            "settings": self._show_settings,
            "statement": self._statement,
            "trust": self._show_trust,
            "trust_changes": lambda _asked, _body: ({}, b"\n".join(self._trust.changes())),
            "trust_bundle": self._take_bundle,
            "checkpoint": self._checkpoint,
            "ledger": self._leaves,
        }

    def offer(self, operation: str, do: Handler) -> None:
        """Adds an operation for a part that only some devices have."""
        self._operations[operation] = do

    def answer(self, frame: Frame) -> Frame:
        name = str(frame.head.get("op"))
        operation = self._operations.get(name)
        if operation is None:
            raise RequestError("This device does not know that operation.", remedy="Is the client newer than it?")
        result, body = operation(read_operation(name, frame), frame.body)
        return Frame({"ok": True, "result": result}, body)

    def _describe(self, _asked: object, _body: bytes) -> Answer:
        current = self._enrolments.current
        return {
            "device": self._device.key.text,
            "device_id": self._device.key.id,
            "device_mldsa": self._device.mldsa.text,
            "broker_name": self._device.broker_name,
            "epoch": current.epoch if current else 0,
            "enrolled": current is not None,
            "pending": self._enrolments.pending,
        }, b""

    def _enrol(self, asked: ProposeEnrolment, _body: bytes) -> Answer:
        epoch, tests = self._enrolments.propose(asked.envelope.encode())
        return {
            "epoch": epoch,
            "tests": [{"name": name, "recipient": recipient} for name, recipient in tests.items()],
        }, b""

    def _enrol_test(self, asked: GetEnrolmentTest, _body: bytes) -> Answer:
        return {}, self._enrolments.test(asked.name)

    def _confirm(self, asked: ConfirmEnrolment, _body: bytes) -> Answer:
        epoch, waiting = self._enrolments.confirm({name: _unhex(token) for name, token in asked.tokens.items()})
        return {"epoch": epoch, "waiting": list(waiting)}, b""

    def _show_enrolments(self, asked: ListEnrolments, _body: bytes) -> Answer:
        """Returns every enrolment after epoch `after`, one signed envelope in each line."""
        return {}, b"\n".join(self._enrolments.envelopes[asked.after :])

    def _list_requests(self, asked: ListRequests, _body: bytes) -> Answer:
        open_ones = [state for state in RequestState if not state.ended]
        wanted = self._journal.requests(*(() if asked.all else open_ones))
        return {
            "requests": [self._summary(stored) for stored in wanted],
            "blocked": [asdict(blocked) for blocked in self._journal.blocked()],
            "counters": self._journal.counters(),
            # Quiet hours are stored as an opt-out with a scope of hours. Owners read them apart, because they refuse
            # nothing.
            "opt_outs": [_standing(each) for each in self._journal.opt_outs() if each.scope is not Scope.HOURS],
            "quiet_hours": [_standing(each) for each in self._journal.opt_outs() if each.scope is Scope.HOURS],
        }, b""

    def _summary(self, stored: StoredRequest) -> dict[str, Any]:
        """Returns the facts that the device itself can read.  The sealed request is in `request`, for owners."""
        terms = stored.kept
        return {
            "id": stored.id,
            "state": stored.state.value,
            "requester": stored.requester,
            # From the root's list, which owners chose. A requester could write any name into its request.
            "requester_name": self._trust.name_of(stored.trust_root, stored.requester),
            "root": stored.trust_root,
            "kind": terms and terms.kind.value,
            "incident": terms and terms.incident.value,
            "from": terms and terms.from_s,
            "to": terms and terms.to_s,
            "not_after": stored.not_after_s,
            "certain": stored.certain,
            "segments": self._journal.match_count(stored.id),
            "received_ms": stored.received_ms,
            "disclosure": stored.disclosure,
            "trusted": self._approvals.still_trusted(stored),
            "stated": self._stated(stored),
        }

    def _stated(self, stored: StoredRequest) -> str | None:
        receipt, deletion = self._stated_by(stored)
        # A page that shows the request reads this in each list, and loads the request again when it changes.
        said = (receipt or b"") + (deletion or b"")
        return hashlib.sha256(said).hexdigest()[:16] if said else None

    def _stated_by(self, stored: StoredRequest) -> tuple[bytes | None, bytes | None]:
        """Returns the requester's latest receipt and its statement of deletion, as sealed for the owners."""
        receipt = self._journal.get(receipt_of(stored.disclosure)) if stored.disclosure else None
        return receipt, self._journal.get(deletion_of(stored.id))

    def _show_request(self, asked: GetRequest, _body: bytes) -> Answer:
        stored = self._request_named(asked.id)
        here = [segment for segment in stored.segments if self._here(segment) is not None]
        lines = [self._vault.record(segment).line for segment in here]
        # A head is JSON and limited in size. Twelve hours of records would exceed it, so they follow it as lines.
        short = sum(map(len, lines)) <= _LONG_BYTES
        # The second owner's client checks this statement itself before it signs the hash.
        first = self._journal.get(first_approval_of(stored.id))
        receipt, deletion = self._stated_by(stored)
        return {
            "sealed": strictjson.encode_base64(stored.sealed),
            "payload_sha256": stored.payload_sha256,
            "state": stored.state.value,
            "certain": stored.certain,
            "segments": here,
            "records": [line.decode() for line in lines] if short else [],
            "disclosure": stored.disclosure,
            "waits_s": self._approvals.waits_s(stored),
            "first": _ascii(decode_statement(first)[0]) if first else None,
            "receipt": _base64(receipt),
            "deletion": _base64(deletion),
        }, b"" if short else b"".join(line + b"\n" for line in lines)

    def _asked(self, asked: GetSealedRequest, _body: bytes) -> Answer:
        """Returns the sealed request.  Only owners can open it."""
        stored = self._request_named(asked.id)
        return {"payload_sha256": stored.payload_sha256}, stored.sealed

    def _request_named(self, request: str) -> MatchedRequest:
        stored = self._journal.request(request)
        if stored is None:
            raise RequestError("This device has no such request.", remedy="Look at 'doorward requests'.")
        return stored

    def _show_gaps(self, asked: ListGaps, _body: bytes) -> Answer:
        stored = self._request_named(asked.id)
        found = self._approvals.gaps(stored)
        return {
            "gaps": [{"from_ms": gap.from_ms, "to_ms": gap.to_ms, "reason": gap.reason.value} for gap in found]
        }, b""

    def _show_bulletins(self, _asked: object, _body: bytes) -> Answer:
        return {"bulletins": [_base64(each) for each in bulletins(self._journal)]}, b""

    def _list_tips(self, _asked: object, _body: bytes) -> Answer:
        return {
            "tips": [
                {"id": each.tip, "root": each.trust_root, "requester": each.requester, "state": each.state.value}
                for each in self._tips.listed()
            ]
        }, b""

    def _shared(self, asked: GetApproval, _body: bytes) -> Answer:
        """Returns the sealed, signed approval of a disclosure or tip.  Only owners can open it."""
        kept = self._archive.of(asked.disclosure)
        return {"kept": kept is not None}, kept or b""

    def _segment(self, asked: GetSegment, _body: bytes) -> Answer:
        segment = asked.id
        entry = self._here(segment)
        if entry is None:
            raise RequestError(f"Segment {segment} is not stored.", remedy="It was evicted, or never here.")
        return {"record": self._vault.record(segment).line.decode()}, self._vault.read(segment, 0, entry.size_bytes)

    def _poster(self, asked: GetPoster, _body: bytes) -> Answer:
        segment = asked.id
        poster = self._vault.read_poster(segment) if self._here(segment) is not None else None
        if poster is None:
            raise RequestError(f"Segment {segment} has no poster.", remedy="'list' shows which segments have one.")
        return {"record": self._vault.record(segment).line.decode()}, poster

    def _sound(self, asked: GetSound, _body: bytes) -> Answer:
        segment = asked.id
        sound = self._vault.read_sound(segment) if self._here(segment) is not None else None
        if sound is None:
            raise RequestError(f"Segment {segment} has no sound.", remedy="'list' shows which segments have sound.")
        return {"record": self._vault.record(segment).line.decode()}, sound

    def _list(self, asked: ListSegments, _body: bytes) -> Answer:
        found = self._vault.overlapping(asked.from_ms, asked.to_ms)
        kept = self._holds.kept()
        # Cut before the deleted ones are left out, so that `more` and the last entry belong to one page.
        page = [_listed(entry, kept) for entry in found[:_MOST_LISTED] if entry.id not in kept.being_deleted]
        return {"segments": page, "more": len(found) > _MOST_LISTED}, b""

    def _kept(self, _asked: object, _body: bytes) -> Answer:
        kept = self._holds.kept()
        return {"held": kept.held, "being_deleted": sorted(kept.being_deleted)}, b""

    def _show_settings(self, _asked: object, _body: bytes) -> Answer:
        """Returns the owner's signed settings, and the sequence that the next statement must continue."""
        return {"envelope": _ascii(self._settings.envelope), "sha256": self._settings.sha256}, b""

    def _here(self, segment: str) -> VaultEntry | None:
        """Returns the segment if it is stored and no owner has deleted it."""
        return None if segment in self._holds.being_deleted() else self._vault.find(segment)

    def _statement(self, asked: SubmitStatement, body: bytes) -> Answer:
        try:
            headers = split_body(asked.sizes, body)
        except FormatError as error:
            raise RequestError(error.message) from error
        verdict = self._statements.accept(asked.envelope.encode(), headers)
        return {
            "state": verdict.state.value if verdict.state else None,
            "request": verdict.request,
            "disclosure": verdict.disclosure,
        }, b""

    def _show_trust(self, _asked: object, _body: bytes) -> Answer:
        return {
            "roots": self._trust.roots(),
            "bundles": [bundle.decode() for bundle in self._trust.bundles()],
            "heard": [package.decode() for package in self._trust.heard()],
            "cell": self._trust.cell,
            "agreed_in": self._trust.agreed_in(),
        }, b""

    def _take_bundle(self, asked: SubmitBundle, body: bytes) -> Answer:
        changed = self._trust.accept_shown(body, asked.cell)
        return {
            "added": list(changed.added),
            "removed": list(changed.removed),
            "changed": list(changed.changed),
        }, b""

    def _checkpoint(self, asked: GetCheckpoint, _body: bytes) -> Answer:
        checkpoint, proof = self._ledger.progress(asked.old_size)
        return {"checkpoint": checkpoint.decode(), "proof": [h.hex() for h in proof]}, b""

    def _leaves(self, asked: GetEntries, _body: bytes) -> Answer:
        # An answer has a bounded size. The client asks for the next page.
        leaves = self._ledger.leaves(asked.start, min(asked.end, asked.start + _MOST_ENTRIES))
        return {"entries": [leaf.decode() for leaf in leaves]}, b""


def _standing(opt_out: ActiveOptOut) -> dict[str, Any]:
    answer = {"scope": opt_out.scope.value, "value": opt_out.value, "until_s": opt_out.until_s}
    return {**answer, "trust_root": opt_out.root} if opt_out.root else answer


def _listed(entry: VaultEntry, kept: HoldsAndErasures) -> dict[str, Any]:
    return {
        "id": entry.id,
        "event": entry.event,
        "ordinal": entry.ordinal,
        "start_ms": entry.start_ms,
        "end_ms": entry.end_ms,
        "quality": entry.quality.value,
        "size_bytes": entry.size_bytes,
        "poster": entry.poster is not None,
        "sound": entry.sound is not None,
        "whole": entry.whole,
        "held_until_s": kept.held.get(entry.id),
    }


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise RequestError("tokens: not hex digits.") from error


def _ascii(data: bytes | None) -> str | None:
    return None if data is None else data.decode("ascii")


def _base64(data: bytes | None) -> str | None:
    return None if data is None else strictjson.encode_base64(data)
