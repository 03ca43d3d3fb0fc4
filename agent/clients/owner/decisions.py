"""An owner's decisions and the signed statements for them.

An approval has four grades, chosen for each clip: the existence of footage, its poster, some segments, all segments.
None is preselected. The existence is a line in the statement; the other grades are keys. For each chosen file the
client unwraps the file key with the owner's identity and wraps it to the request's reply key. Before that, it opens the
whole file and compares it with its record. So the key always belongs to the footage that the owner reviewed, whatever
the device shows later.

If an approval takes two owners, the second approval names the first by its hash and adds nothing.

If a file does not open (damaged, deleted, or cut before its first GOP was complete), the choice is refused with the
file's name and the reason. `CannotShareError.rest` is the choice without it.

The owner's clock decides whether a request has expired, in every case. Approvals in advance do not exist.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from agent.clients.opening import rewrap
from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.review import RequestReview, ReviewedClip, ReviewedSegment, request_payload
from agent.clients.owner.sealed_footage import open_captured, open_poster, open_sound
from agent.clients.owner.sealed_texts import opens
from agent.clients.owner.segment_sources import DeviceVault
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import DeviceChannel, field, sync
from agent.core.disclosure import claimed_clips
from agent.core.vault.age.header import split
from agent.core.vault.age.recipients import HybridRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import ConfigurationError, FormatError, OpenError, RequestError
from agent.wire import base64, strictjson
from agent.wire.disclosures import ContactCard
from agent.wire.statements import (
    Approval,
    ClipClaim,
    CoApproval,
    Denial,
    FootageAbsence,
    OptIn,
    OptOut,
    Revocation,
    Scope,
    SealedItem,
)

__all__ = ["CannotShareError", "ShareChoice", "approve", "co_approve", "deny", "gaps_of", "opt_in", "opt_out", "revoke"]

_SECRET_BYTES = 16
_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class ShareChoice:
    """The owner's selection: `segments` by id; `posters` and `told` by their clip."""

    segments: tuple[str, ...] = ()
    posters: tuple[ReviewedClip, ...] = ()
    told: tuple[ReviewedClip, ...] = ()
    """The clips that the requester may know to exist."""
    sound: bool = False
    """Also share the sound of `segments`."""


class CannotShareError(OpenError):
    """A part of the selection cannot be shared. The client signed nothing. `rest`: the selection without that part."""

    def __init__(self, reasons: Sequence[str], rest: ShareChoice) -> None:
        super().__init__(" ".join(reasons), remedy="Share the others.")
        self.rest = rest


def approve(
    link: DeviceChannel,
    keys: OwnerKeys,
    review: RequestReview,
    choice: ShareChoice | Sequence[str],
    contact: ContactCard | None = None,
    *,
    gaps: tuple[FootageAbsence, ...] | None = None,
    clock: Clock = wall_ms,
) -> str | None:
    """Shares exactly this selection of the reviewed request.

    Returns the id of the disclosure, or None if another owner must approve too. `choice`: segment ids alone mean those
    segments. `contact` is sealed to the requester; without it they learn only the name of the owner's key. `gaps`
    (`gaps_of`) tells them what the rest of the window contains, and thereby that further footage exists.

    Raises `RequestError` for an invalid selection or an expired request, and `OpenError` if a file differs from the
    reviewed one. In both cases the client signed nothing.
    """
    now_ms = clock()
    if not isinstance(choice, ShareChoice):
        choice = ShareChoice(tuple(choice))
    chosen, posters = _chosen(review, choice)
    _require_time(review, now_ms)
    met = sync(link, keys)
    if met.key != review.device:
        raise OpenError("This is not the device the request was reviewed on.", remedy="Review it again.")
    reply = HybridRecipient.parse(review.request.reply)
    vault = DeviceVault(link, met.key)
    failed = _SkippedItems()
    items = failed.but(
        chosen, lambda each: _handed_over(keys, each, vault.sealed(each.id), reply, met.key.id), "Segment"
    )
    heard = failed.but(
        [each for each in chosen if choice.sound and each.has_sound],
        lambda each: _sound_handed_over(keys, each, vault.sealed_sound(each.id), reply, met.key.id),
        "The sound of segment",
    )
    stills = _SkippedItems()
    posted = stills.but(
        posters,
        lambda each: _poster_handed_over(keys, each, vault.sealed_poster(each.id), reply, met.key.id),
        "The poster beside segment",
    )
    if failed.reasons or stills.reasons:
        raise CannotShareError([*failed.reasons, *stills.reasons], _without(choice, failed.ids, stills.ids))
    answer = sign_and_submit(
        link,
        keys,
        met,
        Approval,
        now_ms=now_ms,
        headers=[header for _, header in (*items, *posted, *heard)],
        request=review.payload_sha256,
        reply=review.request.reply,
        segments=tuple(item for item, _ in items),
        posters=tuple(item for item, _ in posted),
        sounds=tuple(item for item, _ in heard),
        contact=None if contact is None else _sealed_contact(contact, reply),
        gaps=gaps,
        clips=tuple(map(_told, choice.told)) or None,
    )
    sync(link, keys)
    return None if answer.get("disclosure") is None else field(answer, "disclosure", str)


def co_approve(link: DeviceChannel, keys: OwnerKeys, review: RequestReview, *, clock: Clock = wall_ms) -> str:
    """Approves exactly the first owner's approval that the review shows. Returns the id of the disclosure."""
    now_ms = clock()
    if review.first is None:
        raise RequestError("No approval of this request waits for another owner.", remedy="Review it again.")
    _require_time(review, now_ms)
    met = sync(link, keys)
    answer = sign_and_submit(
        link, keys, met, CoApproval, now_ms=now_ms, request=review.payload_sha256, approval=review.first.sha256
    )
    sync(link, keys)
    return field(answer, "disclosure", str)


def gaps_of(link: DeviceChannel, keys: OwnerKeys, review: RequestReview) -> tuple[FootageAbsence, ...]:
    """Returns the device's statements about the parts of the requested window without footage."""
    sync(link, keys)
    try:
        found = msgspec.convert(link.ask("gaps", id=review.name).get("gaps"), tuple[FootageAbsence, ...])
    except msgspec.ValidationError as error:
        raise OpenError("The device's answer is malformed.", remedy="Do not use this device.") from error
    window = (review.request.from_s * _MS_PER_S, review.request.to_s * _MS_PER_S)
    if any(gap.from_ms < window[0] or gap.to_ms > window[1] for gap in found):
        raise OpenError("The device's answer covers more than the requested window.", remedy="Share without --gaps.")
    return found


def deny(link: DeviceChannel, keys: OwnerKeys, request_id: str, *, clock: Clock = wall_ms) -> None:
    """Denies the request. The denial stays on the device; to the requester it looks like any other silence.

    Only the identity of the request is checked, so that an owner can also deny a request from a requester who is no
    longer trusted. If a request is older than this owner's enrolment, it does not open for them, and the device's name
    for it is used. The worst effect of a false name is that another request is denied.
    """
    met = sync(link, keys)
    answer = link.ask("request", id=request_id)
    if opens(answer.get("sealed"), keys.identity):
        payload, _ = request_payload(answer, request_id, keys.identity)
        named = hashlib.sha256(payload).hexdigest()
    else:
        named = field(answer, "payload_sha256", str)
    sign_and_submit(link, keys, met, Denial, now_ms=clock(), request=named)
    sync(link, keys)


def revoke(link: DeviceChannel, keys: OwnerKeys, disclosure: str, *, clock: Clock = wall_ms) -> str:
    """Revokes an approval and returns the request's new state. Parts that were already sent stay sent."""
    met = sync(link, keys)
    answer = sign_and_submit(link, keys, met, Revocation, now_ms=clock(), disclosure=disclosure)
    sync(link, keys)
    return field(answer, "state", str)


def opt_out(
    link: DeviceChannel,
    keys: OwnerKeys,
    scope: Scope = Scope.ALL,
    value: str | None = None,
    until_s: int | None = None,
    *,
    root: str | None = None,
    clock: Clock = wall_ms,
) -> None:
    """Opts out of all requests, or of this requester, kind or incident, until a time or permanently.

    `root`: the key id of a requester's root.
    """
    met = sync(link, keys)
    if until_s is not None and until_s <= clock() // 1000:
        raise ConfigurationError("This opt-out would already have expired.", remedy="Give a later time.")
    sign_and_submit(link, keys, met, OptOut, now_ms=clock(), scope=scope, value=value, trust_root=root, until_s=until_s)
    sync(link, keys)


def opt_in(
    link: DeviceChannel,
    keys: OwnerKeys,
    scope: Scope = Scope.ALL,
    value: str | None = None,
    *,
    root: str | None = None,
    clock: Clock = wall_ms,
) -> None:
    """Lift the opt-out of the same scope, value and root."""
    met = sync(link, keys)
    sign_and_submit(link, keys, met, OptIn, now_ms=clock(), scope=scope, value=value, trust_root=root)
    sync(link, keys)


def _require_time(review: RequestReview, now_ms: int) -> None:
    if review.expired(now_ms):
        raise RequestError("This request has expired.", remedy="Nothing was or will be shared.")


def _chosen(review: RequestReview, choice: ShareChoice) -> tuple[list[ReviewedSegment], list[ReviewedSegment]]:
    """Returns the chosen segments, and the segments with a chosen poster, in the order of the review."""
    if choice in (ShareChoice(), ShareChoice(sound=True)):
        raise RequestError("You selected nothing, so nothing is shared.", remedy="To deny it: doorward owner deny.")
    matched = {each.id: each for each in review.segments}
    for name in choice.segments:
        if name not in matched:
            raise RequestError(f"Segment {name} is not part of this request.", remedy="Choose from the review.")
    posters = []
    for clip in choice.posters:
        if clip.poster_of is None:
            raise RequestError(f"Clip {clip.number} has no poster.", remedy="Share some of its segments instead.")
        posters.append(clip.poster_of)
    return [each for each in review.segments if each.id in set(choice.segments)], posters


class _SkippedItems:
    """Collects every item that cannot be shared, so that the owner sees all of them at once."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.reasons: list[str] = []

    def but(
        self,
        chosen: Sequence[ReviewedSegment],
        hand_over: Callable[[ReviewedSegment], tuple[SealedItem, bytes]],
        what: str,
    ) -> list[tuple[SealedItem, bytes]]:
        """Returns the result of `hand_over` for each item that succeeds."""
        made = []
        for each in chosen:
            try:
                made.append(hand_over(each))
            except (FormatError, RequestError) as error:
                self.ids.add(each.id)
                self.reasons.append(f"{what} {each.number} cannot be shared: {error.message}")
        return made


def _without(choice: ShareChoice, segments: set[str], posters: set[str]) -> ShareChoice:
    return replace(
        choice,
        segments=tuple(name for name in choice.segments if name not in segments),
        posters=tuple(
            clip for clip in choice.posters if clip.poster_of is not None and clip.poster_of.id not in posters
        ),
    )


def _told(clip: ReviewedClip) -> ClipClaim:
    (told,) = claimed_clips({each.id: each.signed for each in clip.segments}, [each.id for each in clip.segments])
    return told


def _handed_over(
    keys: OwnerKeys, each: ReviewedSegment, data: bytes, reply: HybridRecipient, device: str
) -> tuple[SealedItem, bytes]:
    open_captured(each.signed, data, keys.identities, device=device)
    return _wrapped(keys, each.id, each.record.file.sha256_payload, data, reply)


def _sound_handed_over(
    keys: OwnerKeys, each: ReviewedSegment, data: bytes, reply: HybridRecipient, device: str
) -> tuple[SealedItem, bytes]:
    open_sound(each.signed, data, keys.identities, device=device)
    assert each.record.sound_file is not None  # noqa: S101 (`open_sound` has refused it)
    return _wrapped(keys, each.id, each.record.sound_file.sha256_payload, data, reply)


def _poster_handed_over(
    keys: OwnerKeys, each: ReviewedSegment, data: bytes, reply: HybridRecipient, device: str
) -> tuple[SealedItem, bytes]:
    open_poster(each.signed, data, keys.identities, device=device)
    assert each.record.poster_file is not None  # noqa: S101 (`open_poster` has refused it)
    return _wrapped(keys, each.id, each.record.poster_file.sha256_payload, data, reply)


def _wrapped(
    keys: OwnerKeys, name: str, payload_sha256: str, data: bytes, reply: HybridRecipient
) -> tuple[SealedItem, bytes]:
    header = rewrap(data[: split(data)], keys.identities, [reply])
    return SealedItem(id=name, payload_sha256=payload_sha256, header_sha256=hashlib.sha256(header).hexdigest()), header


def _sealed_contact(contact: ContactCard, reply: HybridRecipient) -> str:
    file_key, nonce = secrets.token_bytes(_SECRET_BYTES), secrets.token_bytes(_SECRET_BYTES)
    return base64.encode(seal_bytes(strictjson.encode(contact), [reply], file_key=file_key, nonce=nonce))
