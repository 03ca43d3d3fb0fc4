"""Inbox: accepts the five kinds of message that arrive over the network, and stays silent.

The senders' words are sealed to the owners before they are stored (docs/decisions/0014).

All refusals look the same from outside: the inbox stays silent, and the uplink's bus has acknowledged the message
before (`mqtt.pacing`).  For example, a denied request looks like a malformed one.  The inbox only counts messages that
it drops (docs/security/promises.md, promises 3 and 4).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.core.admission import Accepted, Blocked, CaseHashes, Elsewhere, Replayed, admit
from agent.core.consent import Event, RequestState
from agent.core.ledger.entries import EntryKind
from agent.core.requests import (
    BlockedRequest,
    Match,
    MatchedRequest,
    Terms,
    TimeWindow,
    is_replay,
    match,
    opted_out,
    sequence_key,
    trusted_seconds,
    utc_minute,
)
from agent.core.timebase import NS_PER_MS
from agent.custodian.release_records import OPEN, StoredTip
from agent.custodian.releases import Releases
from agent.custodian.state import CustodianState
from agent.errors import DoorwardError, OpenError
from agent.ports import Journal
from agent.wire.disclosures import Receipt, ReceiptState
from agent.wire.inbound import VerifiedMessage, verify_inbound
from agent.wire.limits import OverLimit, RequestLimits
from agent.wire.messages import Bulletin, Deletion, FootageRequest, Withdrawal
from agent.wire.topics import parse_topic

__all__ = ["DropReason", "Inbox", "InboxSettings", "bulletins", "deletion_of", "receipt_of"]

_MOST_MATCHED: Final = 9_000
"""Segments that one request may hold: twelve hours of segments of five seconds, with a margin."""
_BLOCKED_KEPT: Final = 256
_TOO_SMALL_PER_DAY: Final = 16
"""Areas of one requester that may turn out too small in 24 hours. Then its requests are over a rate, and are heard
again another day."""
_BLOCKED_PER_DAY: Final = 32
"""For one (root, requester)."""
_BULLETIN, _RECEIPT, _DELETION = "bulletin.", "receipt.", "deletion."
"""Prefixes of the names under which the journal keeps messages of requesters, sealed to the owners."""
_BULLETINS_KEPT: Final = 32
_BULLETINS_PER_DAY: Final = 8
"""For one (root, requester)."""
_DAY_MS: Final = 86_400_000


def receipt_of(disclosure: str) -> str:
    """Returns the name under which the journal keeps the sealed, signed receipt that closed a disclosure."""
    return _RECEIPT + disclosure


def deletion_of(request: str) -> str:
    """Returns the name under which the journal keeps the requester's sealed statement that it deleted what it
    received."""
    return _DELETION + request


def bulletins(journal: Journal) -> list[bytes]:
    """Returns the stored bulletins, newest first: signed envelopes, sealed to the owners."""
    return [data for _, data in sorted(journal.named(_BULLETIN).items(), reverse=True)]


class DropReason(enum.Enum):
    """Why a message was dropped.  It is counted after the transaction, without a flush."""

    UNTRUSTED = "untrusted"
    MALFORMED = "malformed"
    REPLAYED = "replayed"
    BLOCKED = "blocked"
    UNEXPECTED = "unexpected"
    """A trusted key signed it, but this device waits for no such message."""
    BULLETIN = "bulletin"
    ELSEWHERE = "elsewhere"
    """It concerns another place, and exceeds the number of such messages that are recorded in a day."""


@dataclass(frozen=True, slots=True)
class _Untracked:
    """A request that is blocked permanently and exceeds the number that is listed in a day."""

    numbers: str
    seq: int


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """`position` is (lat, lon) in degrees. It is only compared, and stays on the device.

    `delay_s`: seconds between an approval and its first byte.  `minute_of` maps UTC in ms to the minute of the local
    day.
    """

    limits: RequestLimits
    position: tuple[float, float] | None
    delay_s: int = 0
    minute_of: Callable[[int], int] = utc_minute


class Inbox:
    """Handles the messages that the uplink delivers, one at a time."""

    def __init__(
        self,
        settings: InboxSettings,
        custodian_state: CustodianState,
        releases: Releases,
        marks: CaseHashes,
    ) -> None:
        ports = custodian_state.deps
        self._settings = settings
        self.position = settings.position
        """(lat, lon) in degrees. An owner may change it while the device runs. It is only compared, and stays on the
        device."""
        self._decisions = custodian_state.decisions
        self._releases = releases
        self._records = releases.records
        self._marks = marks
        self._journal = ports.journal
        self._ledger = custodian_state.ledger
        self._trust = custodian_state.trust
        self._enrolments = custodian_state.enrolments
        self._holds = custodian_state.holds
        self._vault = ports.vault
        self._clock = ports.clock
        self._newest_receipt: dict[str, int] = {}
        self._too_small: dict[tuple[str, str], list[int]] = {}
        """When each requester asked about an area around this place that is too small, on the boot clock in ns."""

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        """Handles one inbound message.  Returns a receipt for the transfer that it concerns, otherwise None."""
        self._measure_before_transaction(topic, data)
        with self._decisions.one():
            taken = self._handle(topic, data)
        if isinstance(taken, _Untracked):
            # Without a flush: a trusted key that sends thousands of refused requests must not wear out the card.
            self._journal.use_sequence(taken.numbers, taken.seq, flush=False)
            taken = DropReason.BLOCKED
        if isinstance(taken, DropReason):
            # The owner reads the counts in `doorward requests`. The sender gets nothing, whatever the reason.
            self._journal.count(taken.value)
            return None
        return taken

    def _measure_before_transaction(self, topic: str, data: bytes) -> None:
        """Measures the area of a request about this place before the transaction, because owners wait for a
        transaction.

        A hostile outline can make this take a fifth of a second, or two seconds on a small board. So an area is
        measured only if the request passes all other checks, and for each requester at most `_TOO_SMALL_PER_DAY` that
        are too small. The result is cached (`opens`).
        """
        try:
            inbound = verify_inbound(data, parse_topic(topic), self._trust.store, trusted_seconds(self._clock.now()))
        except DoorwardError:
            return
        request = inbound.message
        if not isinstance(request, FootageRequest) or not self._trust.is_announced(inbound.requester):
            return
        if self._is_near(request) and self._may_measure(inbound):
            self._admit(inbound, near=True, measured=True)

    def _may_measure(self, inbound: VerifiedMessage) -> bool:
        whose = (inbound.requester.root, inbound.requester.id)
        since_ns = self._clock.now().boot_ns - _DAY_MS * NS_PER_MS
        recent = [at_ns for at_ns in self._too_small.pop(whose, ()) if at_ns > since_ns]
        if recent:
            self._too_small[whose] = recent
        return len(recent) < _TOO_SMALL_PER_DAY

    def _admit(
        self, inbound: VerifiedMessage, *, near: bool, measured: bool
    ) -> Accepted | Blocked | Elsewhere | Replayed:
        now = self._clock.now()
        return admit(inbound, self._settings.limits, self._journal, now, self._marks, near=near, measured=measured)

    def _is_near(self, request: FootageRequest) -> bool:
        return self.position is not None and request.area.contains(*self.position)

    def _handle(self, topic: str, data: bytes) -> Receipt | DropReason | _Untracked | None:
        try:
            at_s = trusted_seconds(self._clock.now())
            inbound = verify_inbound(data, parse_topic(topic), self._trust.store, at_s)
        # First, because it is the narrower class: both end in silence, and only the count differs.
        except OpenError:
            return DropReason.UNTRUSTED
        except DoorwardError:
            return DropReason.MALFORMED
        # A root may add a requester at any time. It asks only after the owner has been told that there is a new one.
        if not self._trust.is_announced(inbound.requester):
            return DropReason.UNTRUSTED
        match inbound.message:
            case FootageRequest():
                return self._on_request(inbound.message, inbound, data)
            case Withdrawal():
                return self._on_withdrawal(inbound.message, inbound)
            case Deletion():
                return self._on_deletion(inbound.message, inbound, data)
            case Receipt():
                return self._on_receipt(inbound.message, inbound, data)
            case Bulletin():
                return self._on_bulletin(inbound.message, inbound, data)

    def _on_request(
        self, request: FootageRequest, inbound: VerifiedMessage, data: bytes
    ) -> DropReason | _Untracked | None:
        now = self._clock.now()
        near = self._is_near(request)
        may_measure = not near or self._may_measure(inbound)
        admitted = self._admit(inbound, near=near, measured=may_measure)
        if isinstance(admitted, Accepted) and not may_measure:
            admitted = Blocked(OverLimit.REQUESTER_RATE.value, for_now=True)
        if isinstance(admitted, Replayed):
            return DropReason.REPLAYED
        if isinstance(admitted, Elsewhere):
            return DropReason.ELSEWHERE
        if isinstance(admitted, Blocked):
            if near and admitted.reason == OverLimit.AREA_TOO_SMALL.value:
                self._too_small.setdefault((inbound.requester.root, inbound.requester.id), []).append(now.boot_ns)
            return self._block(request, inbound, admitted, now.utc_ns // NS_PER_MS)
        found, terms = self._match(request), Terms.of(request)
        # Ids are readable at the broker. A trusted requester that copies another's id must not push its request out.
        id_is_free = self._journal.request(request.id) is None
        stored = MatchedRequest(
            id=request.id if id_is_free else inbound.payload_sha256,
            given_id=None if id_is_free else request.id,
            sealed=self._enrolments.seal(data),
            payload_sha256=inbound.payload_sha256,
            requester=inbound.requester.id,
            trust_root=request.trust_root,
            key_id=inbound.requester.key.id,
            seq=request.seq,
            case_mark=admitted.case_mark,
            state=RequestState.RECEIVED,
            certain=found.certain,
            received_ms=now.utc_ns // NS_PER_MS,
            not_after_s=request.not_after_s,
            kept=terms,
            # The counts of limits take only requests with a window, so a request about a distant street uses none up.
            asked_s=(request.from_s, request.to_s) if near else None,
            segments=found.segments,
        )
        self._journal.use_sequence(sequence_key(stored.key_id, request), stored.seq)
        self._journal.add_request(stored)
        self._ledger.write(
            EntryKind.RECEIVED, request=stored.said_id, requester=stored.requester, subject=stored.payload_sha256
        )
        if opted_out(terms, self._journal.opt_outs(), now):
            self._releases.step(stored, Event.OPTED_OUT)
        elif found:
            # Without a clock, the rules of time were skipped. They are checked once it is known, or by the owner's
            # clock.
            if trusted_seconds(now) is None:
                self._records.defer_check(stored.id)
            self._releases.step(stored, Event.MATCHED, segments=len(found.segments))
        else:
            self._releases.step(stored, Event.UNMATCHED)
        return None

    def _match(self, request: FootageRequest) -> Match:
        if not self._is_near(request):
            return Match((), certain=False)
        window = TimeWindow.of_seconds(request.from_s, request.to_s)
        deleted = self._holds.being_deleted()
        # A segment that only a later clock synchronisation dated cannot be shared, because its own record states
        # another time.
        candidates = [
            entry
            for entry in self._vault.overlapping(window.from_ms, window.to_ms)
            if not entry.dated_later and entry.id not in deleted
        ]
        # Compares place and window again, so that the decision is in one pure function, whatever the index returned.
        return match(window, request.area, self.position, candidates, most=_MOST_MATCHED)

    def _block(
        self, request: FootageRequest, inbound: VerifiedMessage, admitted: Blocked, at_ms: int
    ) -> DropReason | _Untracked:
        """Blocks a request.  The broker repeats a retained request at every connection, and it stays blocked, unless
        only a rate was exceeded.

        List and ledger take a limited number in a day.  Otherwise a trusted key could fill the disk with refused
        requests.
        """
        numbers = sequence_key(inbound.requester.key.id, request)
        requester = inbound.requester
        blocked = BlockedRequest(inbound.payload_sha256, requester.root, requester.id, admitted.reason, at_ms)
        if self._journal.blocked_since(at_ms - _DAY_MS, (requester.root, requester.id)) >= _BLOCKED_PER_DAY:
            return DropReason.BLOCKED if admitted.for_now else _Untracked(numbers, request.seq)
        if not admitted.for_now:
            self._journal.use_sequence(numbers, request.seq)
        if self._journal.add_blocked(blocked, _BLOCKED_KEPT):
            self._ledger.write(
                EntryKind.BLOCKED, requester=blocked.requester, subject=blocked.payload_sha256, reason=blocked.reason
            )
        return DropReason.BLOCKED

    def _on_withdrawal(self, withdrawal: Withdrawal, inbound: VerifiedMessage) -> DropReason | None:
        stored = self._named(inbound, withdrawal.request)
        if stored is None or stored.state.ended:
            return DropReason.UNEXPECTED
        if is_replay(self._journal, inbound.requester, withdrawal):
            return DropReason.REPLAYED
        self._journal.use_sequence(sequence_key(inbound.requester.key.id, withdrawal), withdrawal.seq)
        self._releases.step(stored, Event.WITHDRAWN)
        return None

    def _on_deletion(self, deletion: Deletion, inbound: VerifiedMessage, data: bytes) -> DropReason | None:
        """Stores the deletion for the owner if footage may have left, and ends the request like a withdrawal.

        The request ends because the requester has deleted the key that would open an answer.
        """
        stored = self._named(inbound, deletion.request)
        if stored is None:
            return DropReason.UNEXPECTED
        if stored.state.ended and not stored.state.may_have_left:
            return DropReason.UNEXPECTED
        if is_replay(self._journal, inbound.requester, deletion):
            return DropReason.REPLAYED
        # One statement of deletion for each request: more would fill ledger and journal.
        if self._journal.get(deletion_of(stored.id)) is not None:
            return DropReason.UNEXPECTED
        self._journal.use_sequence(sequence_key(inbound.requester.key.id, deletion), deletion.seq)
        if stored.state.may_have_left:
            self._journal.put(deletion_of(stored.id), self._enrolments.seal(data))
            self._ledger.write(
                EntryKind.DELETED, request=stored.said_id, requester=stored.requester, subject=inbound.payload_sha256
            )
        if not stored.state.ended:
            self._releases.step(stored, Event.WITHDRAWN)
        return None

    def _on_bulletin(self, bulletin: Bulletin, inbound: VerifiedMessage, data: bytes) -> DropReason:
        """Stores one line of a list that the owner may look at.  It sends no notification."""
        if is_replay(self._journal, inbound.requester, bulletin):
            return DropReason.REPLAYED
        now = self._clock.now()
        now_s, position = trusted_seconds(now), self.position
        elsewhere = bulletin.area is not None and (position is None or not bulletin.area.contains(*position))
        unwanted = any(each.covers_bulletins(inbound.requester.kind, now_s) for each in self._journal.opt_outs())
        if not elsewhere and not unwanted and (now_s is None or now_s <= bulletin.not_after_s):
            self._keep_bulletin(inbound, now.utc_ns // NS_PER_MS, data, bulletin)
        return DropReason.BULLETIN

    def _keep_bulletin(self, inbound: VerifiedMessage, now_ms: int, data: bytes, bulletin: Bulletin) -> None:
        kept = sorted(self._journal.named(_BULLETIN))
        theirs = f".{inbound.requester.root}.{inbound.requester.id}."
        today = [name for name in kept if theirs in name and int(name.partition(".")[0]) >= now_ms - _DAY_MS]
        if len(today) >= _BULLETINS_PER_DAY:
            return
        self._journal.use_sequence(sequence_key(inbound.requester.key.id, bulletin), bulletin.seq)
        self._journal.put(f"{_BULLETIN}{max(0, now_ms):015d}{theirs}{bulletin.id}", self._enrolments.seal(data))
        for name in kept[: max(0, len(kept) + 1 - _BULLETINS_KEPT)]:
            self._journal.remove(_BULLETIN + name)

    def _on_receipt(self, receipt: Receipt, inbound: VerifiedMessage, data: bytes) -> Receipt | DropReason:
        stored = self._records.find(receipt.disclosure)
        if (
            stored is None
            or not stored.is_from(inbound.requester)
            # Only the opened part 0 names the request, so the first receipts leave it out.
            or receipt.request not in (None, stored.said_id)
            or stored.state not in OPEN
        ):
            return DropReason.UNEXPECTED
        if receipt.seq <= self._newest_receipt.get(receipt.disclosure, 0):
            return DropReason.REPLAYED
        if receipt.state is ReceiptState.PARTIAL:
            self._newest_receipt[receipt.disclosure] = receipt.seq
            return receipt
        if receipt.state is ReceiptState.REFUSED:
            self._releases.step(stored, Event.REFUSED, subject=inbound.payload_sha256)
        # An answer of which no byte has left cannot be complete at its requester.
        elif stored.state is RequestState.SENDING and self._names_ours(receipt):
            self._releases.step(stored, Event.RECEIPT, subject=inbound.payload_sha256)
        else:
            return DropReason.UNEXPECTED
        if not isinstance(stored, StoredTip):  # an owner can see the receipt of a request
            self._journal.put(receipt_of(receipt.disclosure), self._enrolments.seal(data))
        self._newest_receipt.pop(receipt.disclosure, None)
        return receipt

    def _named(self, inbound: VerifiedMessage, request: str) -> MatchedRequest | None:
        """Returns the request to which its requester gave this id."""
        return self._journal.find_given_request((inbound.requester.root, inbound.requester.id), request)

    def _names_ours(self, receipt: Receipt) -> bool:
        """Returns True if the receipt names the manifest that was sent, and with it every byte of every part."""
        ours = next((record for record in self._journal.outbox() if record.disclosure == receipt.disclosure), None)
        # Part 0 lists the hash of each part, so its hash stands for all of them.
        return ours is not None and ours.parts[0].sha256 == receipt.manifest
