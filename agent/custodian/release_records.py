"""Records of everything that may leave the device: footage requests and tips, as the journal keeps them.

A request and a tip differ in three points: where the journal keeps them, which key they depend on, and which owners
approved them.  `ReleaseRecords` answers these three questions for both, so `custodian.releases` needs only one code
path.  All methods that write run inside the caller's transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from agent.core.consent import RequestState
from agent.core.requests import WAITING, OutboxRecord, StoredRequest, trusted_seconds
from agent.custodian.state import CustodianState
from agent.wire import strictjson
from agent.wire.fields import HexId, KeyId, RequesterId, Sha256, UtcS
from agent.wire.trust import TrustedRequester

__all__ = ["OPEN", "ReleaseRecords", "StoredRelease", "StoredTip", "first_approval_of", "sha256_of_recipient"]

OPEN: Final = (RequestState.APPROVED, RequestState.SENDING)
"""States in which an outbox object exists."""
_GRACE_S: Final = 7 * 86_400
"""An approved request expires if the requester has not received it this many seconds after the request's end."""
_TIP: Final = "tip."
_FIRST: Final = "first."
_APPROVERS: Final = "approvers."
_TOLD: Final = "told."
"""Precedes the id of a request of which the answer tells that some clips exist, without showing them."""
_NOT_CHECKED: Final = "unjudged."
"""Precedes the id of a request that arrived while the clock was unknown.  Its time limits are unchecked."""
_LIMIT_BYTES: Final = 4096


class StoredTip(strictjson.Message, frozen=True):
    """A tip as the journal keeps it, until it has ended and afterwards."""

    tip: HexId
    trust_root: KeyId
    requester: RequesterId
    state: RequestState
    not_after_s: UtcS
    sealed_to: Sha256
    """SHA-256 of the recipient that the tip is sealed to."""
    by: KeyId
    """Id of the owner's key that signed the tip."""

    @property
    def id(self) -> str:
        return self.tip

    @property
    def said_id(self) -> str:
        """The id for messages and ledger: the request's, or for a tip its own."""
        return self.tip

    @property
    def disclosure(self) -> str:
        return self.tip

    def is_from(self, requester: TrustedRequester) -> bool:
        """Returns True if the tip is addressed to this requester, who is the only one to acknowledge it."""
        return (self.trust_root, self.requester) == (requester.root, requester.id)


StoredRelease = StoredRequest | StoredTip


def first_approval_of(request: str) -> str:
    """Returns the name under which the journal keeps the first of two approvals, until the request moves on."""
    return _FIRST + request


def sha256_of_recipient(reply: str) -> str:
    return hashlib.sha256(reply.encode()).hexdigest()


class ReleaseRecords:
    """Reads and writes the records of requests and tips."""

    def __init__(self, custodian_state: CustodianState) -> None:
        self._journal = custodian_state.deps.journal
        self._clock = custodian_state.deps.clock
        self._trust = custodian_state.trust
        self._enrolments = custodian_state.enrolments

    # -- where they are kept -------------------------------------------------------------------------------------------

    def find(self, disclosure: str) -> StoredRelease | None:
        """Returns the request or tip that `disclosure` answers, or None."""
        # `Tips` refuses an id that is in use, so only one of the two can be found.
        return self._journal.request_of(disclosure) or self.tip(disclosure)

    def tip(self, tip: str) -> StoredTip | None:
        data = self._journal.get(_TIP + tip)
        return None if data is None else _read(data)

    def tips(self) -> list[StoredTip]:
        """Returns every tip, ended ones too."""
        return [_read(data) for data in self._journal.named(_TIP).values()]

    def unended(self) -> list[StoredRelease]:
        """Returns every request that waits for an owner, and every request and tip with an outbox object."""
        return [*self._journal.requests(*WAITING, *OPEN), *self._unended_tips()]

    def overdue(self, now_s: int) -> list[StoredRelease]:
        """Returns everything that expires at `now_s`.  An approved request has a grace period for its delivery."""
        return [
            # The request's end is the last moment to say yes. Delivery may take longer, for example while the requester
            # is offline.
            *self._journal.overdue(now_s, *WAITING),
            *self._journal.overdue(now_s - _GRACE_S, *OPEN),
            *(tip for tip in self._unended_tips() if now_s > tip.not_after_s),
        ]

    def _unended_tips(self) -> list[StoredTip]:
        return [tip for tip in self.tips() if not tip.state.ended]

    def save_tip(self, tip: StoredTip) -> None:
        self._journal.put(_TIP + tip.tip, strictjson.encode(tip))

    def save_state(self, stored: StoredRelease, state: RequestState, disclosure: str | None = None) -> None:
        """Writes the new state, and deletes the data that only earlier states need."""
        if isinstance(stored, StoredTip):
            self.save_tip(msgspec.structs.replace(stored, state=state))
            return
        self._journal.set_state(stored.id, state, disclosure)
        if stored.state.holds_footage and not state.holds_footage:
            # An owner's clock has checked the limits at the yes (`Approvals._approvable`), and no other answer needs
            # them.
            self._journal.remove(_NOT_CHECKED + stored.id)
        if stored.state is RequestState.PARTIALLY_APPROVED and state is not RequestState.PARTIALLY_APPROVED:
            # The stored first approval holds new headers for the requester's key. It must not outlive the decision.
            self._journal.remove(first_approval_of(stored.id))
        if state.ended:
            self._journal.remove(_APPROVERS + stored.id)
            self._journal.remove(_TOLD + stored.id)

    # -- the footage they tell of --------------------------------------------------------------------------------------

    def save_told(self, stored: StoredRequest, segments: Iterable[str]) -> None:
        """Remembers the segments of clips of which the answer only tells that they exist. No part of it names them."""
        self._journal.put(_TOLD + stored.id, " ".join(segments).encode())

    def segments_of(self, stored: StoredRelease, record: OutboxRecord) -> frozenset[str]:
        """Returns the segments that an answer or tip shows in part, or tells of."""
        told = (self._journal.get(_TOLD + stored.id) or b"").decode().split()
        return frozenset((*told, *(part.segment for part in record.parts)))

    # -- the key they depend on ----------------------------------------------------------------------------------------

    def still_trusted(self, stored: StoredRelease) -> bool:
        """Returns True if the requester may still receive the release.

        For a request, the key that signed it must be trusted.  For a tip, the requester must still take tips under the
        key that the tip is sealed to.
        """
        if isinstance(stored, StoredTip):
            reply = self.tip_recipient(stored.trust_root, stored.requester)
            # A root that exchanges the requester's tip key says with it that the old key may be in other hands.
            return reply is not None and stored.sealed_to == sha256_of_recipient(reply)
        return self.requester_of(stored) is not None

    def requester_of(self, stored: StoredRequest, owner_s: int | None = None) -> TrustedRequester | None:
        """Returns the requester if the key that signed the request is trusted now, otherwise None.

        `owner_s`: the time of an owner's statement.  It counts while the device's clock is unknown.
        """
        at_s = trusted_seconds(self._clock.now())
        # The device's known clock wins: an owner with a wrong clock must not revive a key that has expired.
        at_s = owner_s if at_s is None else at_s
        return self._trust.store.resolve(stored.trust_root, stored.requester, stored.key_id, at_s)

    def tip_recipient(self, root: str, requester: str) -> str | None:
        """Returns the key that tips to this requester are sealed to, or None if it takes none now."""
        bundle = self._trust.store.bundles.get(root)
        entry = next((each for each in bundle.requesters if each.id == requester), None) if bundle else None
        at_s = trusted_seconds(self._clock.now())
        # A requester without a usable signing key cannot sign a receipt either, so the tip could never end as received.
        if entry is None or not any(key.usable_at(at_s) for key in entry.keys):
            return None
        return entry.tips

    # -- who approved them ---------------------------------------------------------------------------------------------

    def save_approvers(self, stored: StoredRequest, key_ids: Iterable[str]) -> None:
        """Remembers who approved, fully or as the first of two.  The approval counts while they are owners."""
        self._journal.put(_APPROVERS + stored.id, " ".join(key_ids).encode())

    def approver_left(self, stored: StoredRelease) -> bool:
        """Returns True if an approver of the release has left the owners."""
        if isinstance(stored, StoredTip):
            return self._enrolments.has_left(stored.by)
        key_ids = self._journal.get(_APPROVERS + stored.id) or b""
        return any(self._enrolments.has_left(key_id) for key_id in key_ids.decode().split())

    def forget_first_approval(self, stored: StoredRelease) -> None:
        """Deletes the first of two approvals.  The request then waits for a complete one."""
        self._journal.remove(first_approval_of(stored.id))
        self._journal.remove(_APPROVERS + stored.id)

    # -- time limits that could not be checked -------------------------------------------------------------------------

    def defer_check(self, request: str) -> None:
        """Notes that the request arrived while the clock was unknown."""
        self._journal.put(_NOT_CHECKED + request, b"")

    def is_deferred(self, request: str) -> bool:
        return self._journal.get(_NOT_CHECKED + request) is not None

    def deferred(self) -> list[str]:
        return list(self._journal.named(_NOT_CHECKED))

    def end_deferral(self, request: str) -> None:
        self._journal.remove(_NOT_CHECKED + request)


def _read(data: bytes) -> StoredTip:
    return strictjson.decode(data, StoredTip, limit_bytes=_LIMIT_BYTES)
