"""A footage request, verified on the owner's machine instead of by the device that shows it.

- The roots and bundles that this owner chose verify the requester's signature. Name and kind come from the bundle.
- The request has the expected id and keeps the fixed limits. This machine's clock checks the limits of time.
- Every segment has a record that the device signed at capture and that overlaps the requested window. These records
  decide whether the match is certain.
- Viewing a segment opens it, and its bytes must match the record each time.

A review changes no state, so the requester cannot learn about it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import AgeIdentity, OwnerKeys
from agent.clients.owner.known_devices import hash_of_order
from agent.clients.owner.responses import FirstApproval, deletion_in, first_in, receipt_in
from agent.clients.owner.sealed_footage import OpenedSegment, open_captured, open_poster, open_sound
from agent.clients.owner.sealed_texts import unsealed
from agent.clients.owner.segment_sources import DeviceVault, record_of
from agent.clients.owner.sync import DeviceChannel, sync
from agent.clients.owner.trust_roots import TrustState, trust_state
from agent.core.consent import RequestState
from agent.core.requests import TimeWindow
from agent.core.timebase import ClockQuality
from agent.core.vault.manifest import SignedRecord
from agent.core.vault.records import RecoveredRecord, SegmentRecord, StoredRecord
from agent.errors import OpenError, RequestError, StorageError
from agent.ipc.control_operations import GetPlace, GetRequest, Position, RequestAnswer
from agent.wire import envelope, limits, strictjson
from agent.wire.disclosures import Receipt
from agent.wire.identities import PublicKey
from agent.wire.messages import Deletion, FootageRequest
from agent.wire.trust import TrustedRequester

__all__ = ["RequestReview", "ReviewedClip", "ReviewedSegment", "request_payload"]


@dataclass(frozen=True, slots=True)
class ReviewedSegment:
    """One matched segment.  `number` counts from 1 through the review, and is what an owner types."""

    number: int
    record: StoredRecord
    signed: SignedRecord

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def start_ms(self) -> int:
        return self.record.span.start_ms

    @property
    def end_ms(self) -> int:
        return self.record.span.end_ms

    @property
    def is_cut(self) -> bool:
        """True if a power cut removed its end. It can be viewed and shared up to its last complete GOP."""
        return not self.record.complete

    @property
    def has_sound(self) -> bool:
        return self.record.sound_file is not None


@dataclass(frozen=True, slots=True)
class ReviewedClip:
    """The matched segments of one event, in order.  `number` counts from 1."""

    number: int
    event: str
    segments: tuple[ReviewedSegment, ...]

    @property
    def start_ms(self) -> int:
        return self.segments[0].start_ms

    @property
    def end_ms(self) -> int:
        return self.segments[-1].end_ms

    @property
    def poster_of(self) -> ReviewedSegment | None:
        """The segment with the poster of the clip; None if the first segment of the clip did not match."""
        return next((each for each in self.segments if each.record.poster_file is not None), None)


@dataclass(frozen=True, slots=True)
class RequestReview:
    """A verified request and its matching segments, ready to display and to decide on."""

    name: str
    """The device's name for the request: its id, or the hash of its payload if two requesters use the same id."""
    request: FootageRequest
    payload_sha256: str
    requester: TrustedRequester
    has_namesake: bool
    """True if another root lists a requester with the same name. Names are unique only in the list of one root."""
    device: PublicKey
    state: str
    disclosure: str | None
    segments: tuple[ReviewedSegment, ...]
    clips: tuple[ReviewedClip, ...]
    approvals_needed: int
    first: FirstApproval | None
    """The first approval (another owner's or this one's) if two are needed."""
    waits_s: int | None
    """The seconds before the first byte leaves, during which an approval can be revoked; None if nothing waits."""
    receipt: Receipt | None
    deletion: Deletion | None
    position: tuple[float, float] | None
    """The device's position by its own statement, in degrees; None if unknown."""
    _link: DeviceChannel
    _keys: OwnerKeys

    @classmethod
    def fetch(cls, link: DeviceChannel, keys: OwnerKeys, request_id: str, *, clock: Clock = wall_ms) -> RequestReview:
        """Returns the request with that id. Raises `OpenError` if any part of the device's answer fails to verify."""
        met = sync(link, keys)
        answer, lines = link.fetch(GetRequest(request_id))
        payload, claimed = request_payload(answer, request_id, keys.identity)
        trusted = trust_state(link, keys, met)
        request, requester = _verified(claimed, payload, trusted, clock())
        segments = tuple(_segments(answer, lines, request, met.key))
        payload_sha256, records = hashlib.sha256(payload).hexdigest(), {each.id: each.signed for each in segments}
        return cls(
            name=request_id,
            request=request,
            payload_sha256=payload_sha256,
            requester=requester,
            has_namesake=_has_namesake(trusted, requester),
            device=met.key,
            state=answer.state,
            disclosure=answer.disclosure,
            segments=segments,
            clips=tuple(_clips(segments)),
            approvals_needed=met.known.enrolled.approvals_needed,
            first=first_in(answer, met.known.enrolled, payload_sha256, request.reply, records),
            waits_s=answer.waits_s,
            receipt=receipt_in(answer, requester, answer.disclosure, keys.identity),
            deletion=deletion_in(answer, requester, request.id, keys.identity),
            position=_position(link.ask(GetPlace()).position),
            _link=link,
            _keys=keys,
        )

    def note_numbers(self) -> None:
        """Remembers the order in which the footage was shown, for `require_same_numbers`."""
        with suppress(StorageError):  # a folder that takes no write keeps no owner from looking
            self._keys.memory.note_review(self.device.id, self.payload_sha256, [each.id for each in self.segments])

    def require_same_numbers(self) -> None:
        """Raises `RequestError` if the numbers mean other footage than at the last review on this machine.

        Another owner may have deleted a segment meanwhile. An altered device could list the footage in another order.
        """
        known = self._keys.memory.device(self.device.id)
        noted = known.order_of(self.payload_sha256) if known is not None else None
        if noted is not None and noted != hash_of_order(each.id for each in self.segments):
            raise RequestError(
                "The footage of this request has changed since you reviewed it, so its numbers mean other footage now.",
                remedy="Review it again: doorward owner review REQUEST.",
            )

    @property
    def pending(self) -> bool:
        """True if the request waits for an answer of this or another owner."""
        return self.state in (RequestState.PENDING.value, RequestState.PARTIALLY_APPROVED.value)

    @property
    def can_co_approve(self) -> bool:
        """True if another owner has approved and only this owner's co-approval is missing."""
        return self.first is not None and self.first.by != self._keys.name

    @property
    def certain(self) -> bool:
        """True if the clock was known for every matching segment."""
        return all(each.record.quality is not ClockQuality.UNKNOWN for each in self.segments)

    def expired(self, now_ms: int) -> bool:
        return now_ms // 1000 > self.request.not_after_s

    def open(self, segment: str, link: DeviceChannel | None = None) -> OpenedSegment:
        """Opens a matching segment and compares it with its record. Uses `link` if the first link is closed."""
        signed = self._find(segment).signed
        data = DeviceVault(link or self._link, self.device).sealed(segment)
        return open_captured(signed, data, self._keys.identities, device=self.device.id)

    def poster(self, clip: ReviewedClip, link: DeviceChannel | None = None) -> bytes | None:
        """Returns the JPEG of a clip, opened and verified; None if it is missing."""
        first = clip.poster_of
        if first is None:
            return None
        data = DeviceVault(link or self._link, self.device).sealed_poster(first.id)
        return open_poster(first.signed, data, self._keys.identities, device=self.device.id).image

    def sound(self, segment: str, link: DeviceChannel | None = None) -> bytes | None:
        """Returns the sound of a matching segment, opened and verified; None for a silent one."""
        found = self._find(segment)
        if not found.has_sound:
            return None
        data = DeviceVault(link or self._link, self.device).sealed_sound(segment)
        return open_sound(found.signed, data, self._keys.identities, device=self.device.id)

    def _find(self, segment: str) -> ReviewedSegment:
        for each in self.segments:
            if each.id == segment:
                return each
        raise RequestError(f"Segment {segment} is not part of this request.", remedy="Choose from the review.")


def _has_namesake(trusted: TrustState, requester: TrustedRequester) -> bool:
    others = (bundle for root, bundle in trusted.store.bundles.items() if root != requester.root)
    named = requester.name.casefold()
    return any(entry.name.casefold() == named for bundle in others for entry in bundle.requesters)


def _position(said: Position | None) -> tuple[float, float] | None:
    """Reads the position that the device claims. It is for display only."""
    if said is None or abs(said.lat) > 90 or abs(said.lon) > 180:
        return None
    return round(said.lat, 7), round(said.lon, 7)


def request_payload(
    answer: RequestAnswer, request_id: str, identity: AgeIdentity
) -> tuple[bytes, envelope.UnverifiedEnvelope]:
    """Returns the payload of the request in the device's answer, if it has the expected id. The signature is still
    unverified."""
    claimed = envelope.read_unverified(unsealed(answer.sealed, identity))
    if claimed.payload_type != FootageRequest.PAYLOAD_TYPE:
        raise OpenError("The device shows a message that is not a footage request.")
    request = strictjson.decode(claimed.payload, FootageRequest)
    payload_sha256 = hashlib.sha256(claimed.payload).hexdigest()
    if request_id not in (request.id, payload_sha256) or answer.payload_sha256 != payload_sha256:
        raise OpenError(
            f"The device shows another request than {request_id}.", remedy="Share nothing and inspect the device."
        )
    return claimed.payload, claimed


def _verified(
    claimed: envelope.UnverifiedEnvelope, payload: bytes, trusted: TrustState, now_ms: int
) -> tuple[FootageRequest, TrustedRequester]:
    """The request and who really asks.  Judged by the owner's clock."""
    request = strictjson.decode(payload, FootageRequest)
    # By this machine's list and clock. The device's may be altered, or wrong.
    requester = trusted.store.resolve(request.trust_root, request.requester, claimed.key_id, now_ms // 1000)
    if requester is None:
        if request.trust_root in {root.id for root in trusted.unconfirmed}:
            raise OpenError(
                f"This request comes under the root {request.trust_root}, which is not confirmed on this machine.",
                remedy="If you or another owner chose it: doorward owner trust add-root KEY.",
            )
        raise OpenError("You do not trust this requester now.", remedy="Deny it, or run: doorward owner trust show.")
    # Only with the key that the root's list names for this requester.
    envelope.verify(claimed, {requester.key.id: requester.key})
    bounds = requester.limits.applied_to(limits.HARD)
    # Without a time: the request was within them when it arrived. `check_late` asks below whether that can be.
    over = limits.check(request, bounds, None)
    if request.kind is not requester.kind or over is not None or not requester.may_ask_about(request.area):
        raise OpenError(
            "The device shows a request that it had to block.", remedy="Share nothing and inspect the device."
        )
    late = limits.check_late(request, bounds, now_ms // 1000)
    if late is not None:
        raise OpenError(
            f"By this machine's clock, the request breaks a limit: {late.value}.",
            remedy="Check this machine's clock. If it is right, deny: the device's may have been wrong.",
        )
    return request, requester


def _segments(
    answer: RequestAnswer, body: bytes, request: FootageRequest, device: PublicKey
) -> Iterable[ReviewedSegment]:
    # The records of a long window are more than a head carries: then they are the body, a line each.
    names = answer.segments
    lines = body.decode("ascii", "replace").splitlines() if body else answer.records
    window = TimeWindow.of_seconds(request.from_s, request.to_s)
    # A doubled name would give two numbers to one segment, and the owner would think of two.
    if len(names) != len(lines) or len(set(names)) != len(names):
        raise OpenError("The device's records do not match the segments it lists.", remedy="Share nothing.")
    for number, (name, line) in enumerate(zip(names, lines, strict=True), start=1):
        signed = record_of(line, name, device)
        record = cast("SegmentRecord | RecoveredRecord", signed.record)  # `record_of` lets nothing else through
        if not window.overlaps(record.span.start_ms, record.span.end_ms):
            raise OpenError(
                f"The device lists segment {name}, which lies outside the requested window.", remedy="Share nothing."
            )
        yield ReviewedSegment(number, record, signed)


def _clips(segments: Iterable[ReviewedSegment]) -> Iterable[ReviewedClip]:
    events: dict[str, list[ReviewedSegment]] = {}
    for each in segments:
        events.setdefault(each.record.event, []).append(each)
    for number, (event, members) in enumerate(events.items(), start=1):
        yield ReviewedClip(number, event, tuple(members))
