"""An owner's decisions and the signed statements for them.

An approval has four grades, chosen for each clip: the existence of footage, its poster, some segments, all segments.
None is preselected. The existence is a line in the statement; the other grades are keys. For each chosen file the
client unwraps the file key with the owner's identity and wraps it to the request's reply key. Before that, it opens the
whole file and compares it with its record. So the key always belongs to the footage that the owner reviewed, whatever
the device shows later.

If an approval takes two owners, the second approval names the first by its hash and adds nothing.

A chosen segment with redactions leaves as a new file (`clients.owner.redaction`). The key of the captured one stays.

If a file fails to open (damaged, deleted, or cut before its first GOP was complete), the choice is refused with the
file's name and the reason. `CannotShareError.rest` is the choice without it.

The owner's clock decides whether a request has expired, in every case. Approvals in advance do not exist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from agent.clients.media.confined import ConfinedMedia
from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.file_keys import (
    POSTER,
    SEGMENT,
    SOUND,
    ChosenFile,
    FileKeyWrapper,
    StoredFile,
    WrappedKey,
    seal_text,
)
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.redaction import SOUNDS_BEYOND_MS, FileRedactor, RedactedFile, Redactions
from agent.clients.owner.review import RequestReview, ReviewedClip, ReviewedSegment, request_payload
from agent.clients.owner.sealed_texts import opens
from agent.clients.owner.statements import disclosure_in, sign_and_submit
from agent.clients.owner.sync import DeviceChannel, sync, sync_after
from agent.core.disclosure import claimed_clips
from agent.core.vault.age.recipients import HybridRecipient
from agent.errors import ConfigurationError, OpenError, RequestError
from agent.ipc.control_operations import MOST_STATEMENT_BYTES, GetRequest, ListGaps
from agent.wire import strictjson
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
    redactions: Redactions = field(default_factory=lambda: Redactions({}, {}))
    """Covers and mutes in `segments`, made before they are shared."""

    @property
    def is_empty(self) -> bool:
        return not self.segments and not self.posters and not self.told

    @property
    def redacted(self) -> tuple[str, ...]:
        """Returns the segments of which the film or the shared sound is redacted."""
        return tuple(
            each
            for each in self.segments
            if self.redactions.of(SEGMENT, each) or (self.sound and self.redactions.of(SOUND, each))
        )


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

    Signs nothing if it raises `RequestError` (wrong selection, expired request) or `OpenError` (a file has changed).
    """
    now_ms = clock()
    if not isinstance(choice, ShareChoice):
        choice = ShareChoice(tuple(choice))
    chosen, posters = _chosen(review, choice)  # first: a wrong choice must not open a single file
    _require_time(review, now_ms)
    met = sync(link, keys)
    # The review may be hours old. Another doorbell behind the same address has other footage under its ids.
    if met.key != review.device:
        raise OpenError("This is not the device the request was reviewed on.", remedy="Review it again.")
    reply = HybridRecipient.parse(review.request.reply)
    wrapper = FileKeyWrapper(link, keys, met.key, reply)
    with ConfinedMedia() as media:  # its process starts with the first film
        redacted = _redacted(choice, chosen, wrapper, FileRedactor(link, keys, met.key, reply, media))
    films = [each for each in chosen if not choice.redactions.of(SEGMENT, each.id)]
    sounds = [each for each in _heard(choice, chosen) if not choice.redactions.of(SOUND, each.id)]
    items = wrapper.wrap_each(SEGMENT, map(_file_of, films))
    wrapped_sounds = wrapper.wrap_each(SOUND, map(_file_of, sounds))
    wrapped_posters = wrapper.wrap_each(POSTER, map(_file_of, posters))
    # All failures at once, and nothing signed: the owner decides again, instead of sharing less than they chose.
    if wrapper.reasons:
        raise CannotShareError(wrapper.reasons, _without(choice, wrapper.failed))
    blobs = [header for _, header in (*items, *wrapped_posters, *wrapped_sounds)]
    blobs += [blob for each in (*redacted[SEGMENT], *redacted[SOUND]) for blob in (each.header, each.payload)]
    _require_room(blobs, exact=choice.redactions.exact)
    answer = sign_and_submit(
        link,
        keys,
        met,
        Approval,
        now_ms=now_ms,
        headers=blobs,
        request=review.payload_sha256,
        reply=review.request.reply,
        segments=_in_order(chosen, items, redacted[SEGMENT]),
        posters=tuple(item for item, _ in wrapped_posters),
        sounds=_in_order(chosen, wrapped_sounds, redacted[SOUND]),
        contact=None if contact is None else seal_text(strictjson.encode(contact), reply),
        gaps=gaps,
        clips=tuple(map(_told, choice.told)) or None,
    )
    sync_after(link, keys)
    return answer.disclosure


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
    sync_after(link, keys)
    return disclosure_in(answer)


def gaps_of(link: DeviceChannel, keys: OwnerKeys, review: RequestReview) -> tuple[FootageAbsence, ...]:
    """Returns the device's statements about the parts of the requested window without footage."""
    sync(link, keys)
    try:
        found = msgspec.convert(link.ask(ListGaps(review.name)).gaps, tuple[FootageAbsence, ...], from_attributes=True)
    except msgspec.ValidationError as error:
        raise OpenError("The device's answer is malformed.", remedy="Do not use this device.") from error
    window = (review.request.from_s * _MS_PER_S, review.request.to_s * _MS_PER_S)
    # An altered device could otherwise have the owner sign facts about a time that no one asked about.
    if any(gap.from_ms < window[0] or gap.to_ms > window[1] for gap in found):
        raise OpenError("The device's answer covers more than the requested window.", remedy="Share without --gaps.")
    return found


def deny(link: DeviceChannel, keys: OwnerKeys, request_id: str, *, clock: Clock = wall_ms) -> None:
    """Denies the request. The denial stays on the device; to the requester it looks like any other silence.

    Only the identity of the request is checked, so that an owner can also deny a request from a requester who is no
    longer trusted. If a request is older than this owner's enrolment, it fails to open for them, and the device's name
    for it is used. The worst effect of a false name is that another request is denied.
    """
    met = sync(link, keys)
    answer = link.ask(GetRequest(request_id))
    if opens(answer.sealed, keys.identity):
        payload, _ = request_payload(answer, request_id, keys.identity)
        named = hashlib.sha256(payload).hexdigest()
    else:
        named = answer.payload_sha256
    sign_and_submit(link, keys, met, Denial, now_ms=clock(), request=named)
    sync_after(link, keys)


def revoke(link: DeviceChannel, keys: OwnerKeys, disclosure: str, *, clock: Clock = wall_ms) -> str:
    """Revokes an approval and returns the request's new state. Parts that were already sent stay sent."""
    met = sync(link, keys)
    answer = sign_and_submit(link, keys, met, Revocation, now_ms=clock(), disclosure=disclosure)
    sync_after(link, keys)
    if answer.state is None:
        raise OpenError("The device's answer names no state.", remedy="Look at: doorward owner review.")
    return answer.state


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
    sync_after(link, keys)


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
    sync_after(link, keys)


def _require_time(review: RequestReview, now_ms: int) -> None:
    if review.expired(now_ms):
        raise RequestError("This request has expired.", remedy="Nothing was or will be shared.")


def _chosen(review: RequestReview, choice: ShareChoice) -> tuple[list[ReviewedSegment], list[ReviewedSegment]]:
    """Returns the chosen segments, and the segments with a chosen poster, in the order of the review."""
    if choice.is_empty:
        raise RequestError("You selected nothing, so nothing is shared.", remedy="To deny it: doorward owner deny.")
    matched = {each.id: each for each in review.segments}
    for name in choice.segments:
        if name not in matched:
            raise RequestError(f"Segment {name} is not part of this request.", remedy="Choose from the review.")
    posters = []
    for clip in choice.posters:
        if clip.poster_of is None:
            raise RequestError(f"Clip {clip.number} has no poster.", remedy="Share some of its segments instead.")
        _require_no_still(choice, clip)
        posters.append(clip.poster_of)
    chosen = [each for each in review.segments if each.id in set(choice.segments)]
    _require_no_other_view(review, choice, chosen)
    return chosen, posters


def _heard(choice: ShareChoice, chosen: Iterable[ReviewedSegment]) -> list[ReviewedSegment]:
    """Returns the segments whose sound is shared."""
    return [each for each in chosen if choice.sound and each.has_sound]


def _redacted(
    choice: ShareChoice, chosen: Sequence[ReviewedSegment], wrapper: FileKeyWrapper, redactor: FileRedactor
) -> dict[StoredFile, list[RedactedFile]]:
    """Returns the redacted films and sounds. `wrapper` collects those that cannot be made."""
    made: dict[StoredFile, list[RedactedFile]] = {SEGMENT: [], SOUND: []}
    for file, segments in ((SEGMENT, chosen), (SOUND, _heard(choice, chosen))):
        for each in segments:
            redactions = choice.redactions.of(file, each.id)
            if redactions:
                with wrapper.collecting(file, _file_of(each)):
                    made[file].append(redactor.make(file, _file_of(each), redactions, exact=choice.redactions.exact))
    return made


def _in_order(
    chosen: Iterable[ReviewedSegment], wrapped: Iterable[WrappedKey], redacted: Iterable[RedactedFile]
) -> tuple[SealedItem, ...]:
    """Returns captured and redacted items together, in the order of the review."""
    items = {item.id: item for item, _ in wrapped} | {each.item.id: each.item for each in redacted}
    return tuple(items[each.id] for each in chosen if each.id in items)


def _require_room(blobs: Iterable[bytes], *, exact: bool) -> None:
    size = sum(map(len, blobs))
    if size > MOST_STATEMENT_BYTES:
        raise RequestError(
            f"The redacted films have {size // 10**6} MB together, and one approval has room for "
            f"{MOST_STATEMENT_BYTES // 10**6} MB.",
            remedy="Share fewer of the segments that you redact, or leave 'exact' out of the plan."
            if exact
            else "Share fewer of the segments that you redact.",
        )


def _require_no_still(choice: ShareChoice, clip: ReviewedClip) -> None:
    """Refuses the still of a clip of which the plan covers a film, because it may show what the owner covered. The film
    need not be shared."""
    if any(choice.redactions.of(SEGMENT, each.id) for each in clip.segments):
        raise RequestError(
            f"The poster of clip {clip.number} may show what you cover in its film.", remedy="Leave the poster out."
        )


_OVERLAP_US = 100_000
"""Films of one camera follow each other within one picture. A longer overlap shows the same moments twice."""
_ROUNDED_US = 1000
"""A plan is rounded to milliseconds, outwards."""


def _require_no_other_view(review: RequestReview, choice: ShareChoice, chosen: Sequence[ReviewedSegment]) -> None:
    """Refuses files that leave as recorded and hold a time that the plan covers or mutes in another file.

    For example, a clip begins with pictures that continuous recording holds as well.
    """
    for file, shared in ((SEGMENT, chosen), (SOUND, _heard(choice, chosen))):
        hidden = [each for each in review.segments if choice.redactions.of(file, each.id)]
        for each in shared:
            other = None if choice.redactions.of(file, each.id) else _same_time(each, hidden, choice, file)
            if other is not None:
                film = f"Segment {each.number} shows the time that you cover in segment {other.number}."
                sound = f"The sound of segment {each.number} holds the time that you mute in segment {other.number}."
                raise RequestError(
                    f"{film if file is SEGMENT else sound} It would leave as recorded.",
                    remedy="Name it in the plan as well, or leave it out.",
                )
    covered = [each for each in review.segments if choice.redactions.of(SEGMENT, each.id)]
    for clip in choice.posters:
        if any(_same_time(each, covered, choice, SEGMENT) for each in clip.segments):
            raise RequestError(
                f"The poster of clip {clip.number} may show a time that you cover in another clip.",
                remedy="Leave the poster out.",
            )


def _same_time(
    segment: ReviewedSegment, hidden: Iterable[ReviewedSegment], choice: ShareChoice, file: StoredFile
) -> ReviewedSegment | None:
    """Returns a segment in which the plan hides a time that `segment` holds too. A cut one cannot be redacted."""
    span = segment.record.span
    beyond_us = SOUNDS_BEYOND_MS * 1000 if file is SOUND else 0
    for each in hidden:
        own = each.record.span
        follows = min(span.end_us, own.end_us) - max(span.start_us, own.start_us) <= _OVERLAP_US
        # Times of two boots cannot be compared. Films that follow each other share a picture at most, and sounds more.
        if each.is_cut or own.boot != span.boot or (follows and file is not SOUND):
            continue
        for redaction in choice.redactions.of(file, each.id):
            first_us = max(span.start_us - beyond_us, own.start_us + redaction.from_ms * 1000)
            last_us = min(span.end_us + beyond_us, own.start_us + redaction.until_ms * 1000)
            if last_us - first_us > _ROUNDED_US:
                return each
    return None


def _file_of(segment: ReviewedSegment) -> ChosenFile:
    return ChosenFile(segment.id, str(segment.number), segment.signed)


def _without(choice: ShareChoice, failed: set[tuple[StoredFile, str]]) -> ShareChoice:
    """Returns the choice of files that can be shared. A segment goes with its sound if the sound fails."""
    segments = {name for file, name in failed if file is not POSTER}
    posters = {name for file, name in failed if file is POSTER}
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
