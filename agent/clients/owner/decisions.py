"""What an owner decides, and what each decision consists of.

There are four grades of a yes, chosen clip by clip, and none is chosen beforehand: that there is footage, its poster,
some of its segments, all of them.  The first is a line in the statement; the others are keys.  For each chosen file the
file key, unwrapped with the owner's identity, is wrapped anew to the request's reply key.  Before that the file is
opened as a whole and held against its record, so the key that is handed over is the key of what the owner looked at,
whatever the device says by then.

Where it takes two owners, the second one's yes names the first one's by its hash and adds nothing.

A file that does not open (damaged, gone, or cut before its first GOP was whole) is named with its reason and refuses
the choice; `CannotShareError.rest` is the choice without it.

The owner's clock judges whether a request is over.  There is no exception, and no way to say yes in advance.
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
    """What an owner has ticked: `segments` by id; `posters` and `told` by the clip they stand for."""

    segments: tuple[str, ...] = ()
    posters: tuple[ReviewedClip, ...] = ()
    told: tuple[ReviewedClip, ...] = ()
    """Clips whose existence the requester may know of."""
    sound: bool = False
    """What was heard during `segments`, too."""


class CannotShareError(OpenError):
    """Something of what was chosen cannot be shared; nothing was signed.  `rest`: the choice without it."""

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
    """Share exactly this of the reviewed request; the id of the disclosure, or None while another owner is waited for.

    `choice`: segment ids alone mean those segments.  `contact` is sealed to the requester; without it they learn only
    the name of the owner's key.  `gaps` (`gaps_of`) tells them what the rest of the window holds, and so also when
    there is footage that is not shared.
    Raises `RequestError` for a choice that cannot be made or a request that is over, `OpenError` when a file is not the
    one that was reviewed.  Then nothing was signed.
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
    """Approve exactly what the review shows that another owner has approved; the id of the disclosure."""
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
    """What the device has to say of the requested window besides footage."""
    sync(link, keys)
    try:
        found = msgspec.convert(link.ask("gaps", id=review.name).get("gaps"), tuple[FootageAbsence, ...])
    except msgspec.ValidationError as error:
        raise OpenError("The device's answer makes no sense.", remedy="Do not use this device.") from error
    window = (review.request.from_s * _MS_PER_S, review.request.to_s * _MS_PER_S)
    if any(gap.from_ms < window[0] or gap.to_ms > window[1] for gap in found):
        raise OpenError("The device speaks of more time than was asked about.", remedy="Share without --gaps.")
    return found


def deny(link: DeviceChannel, keys: OwnerKeys, request_id: str, *, clock: Clock = wall_ms) -> None:
    """Say no.  It stays on the device; to the requester it looks like every other silence.

    Nothing but the request's identity is checked: one from a requester no longer trusted can be denied too.  So can
    one that came before this owner was enrolled and does not open for them; that one is named as the device names it,
    and the worst a lie could do is to deny another.
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
    """Take an approval back; the request's new state.  What has left already cannot be called back."""
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
    clock: Clock = wall_ms,
) -> None:
    """Do not ask me: anybody, or this requester, kind or incident; until a time, or for good."""
    met = sync(link, keys)
    if until_s is not None and until_s <= clock() // 1000:
        raise ConfigurationError("This opt-out would be over already.", remedy="Give a later time.")
    sign_and_submit(link, keys, met, OptOut, now_ms=clock(), scope=scope, value=value, until_s=until_s)
    sync(link, keys)


def opt_in(
    link: DeviceChannel, keys: OwnerKeys, scope: Scope = Scope.ALL, value: str | None = None, *, clock: Clock = wall_ms
) -> None:
    """Lift the opt-out of the same scope and value."""
    met = sync(link, keys)
    sign_and_submit(link, keys, met, OptIn, now_ms=clock(), scope=scope, value=value)
    sync(link, keys)


def _require_time(review: RequestReview, now_ms: int) -> None:
    if review.expired(now_ms):
        raise RequestError("The time to answer this request is over.", remedy="Nothing was shared; nothing will be.")


def _chosen(review: RequestReview, choice: ShareChoice) -> tuple[list[ReviewedSegment], list[ReviewedSegment]]:
    """The chosen segments, and those whose posters were chosen, in the order of the review."""
    if choice in (ShareChoice(), ShareChoice(sound=True)):
        raise RequestError("Nothing was chosen, so nothing is shared.", remedy="To say no: doorward owner deny.")
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
    """Collects what cannot be shared instead of ending at the first: an owner hears of all of it at once."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.reasons: list[str] = []

    def but(
        self,
        chosen: Sequence[ReviewedSegment],
        hand_over: Callable[[ReviewedSegment], tuple[SealedItem, bytes]],
        what: str,
    ) -> list[tuple[SealedItem, bytes]]:
        """What `hand_over` makes of each, but for those that fail."""
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
