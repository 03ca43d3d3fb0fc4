"""Redaction by the owner: covers places of a film and mutes stretches of its sound before it is shared.

A redacted file is a new one. The owner's client opens the captured file, decodes it, covers it, encodes it again in a
process with limits, and checks the result. It seals the new file to the requester's reply key under a new file key, and
hands it to the device beside the approval. The captured file's key is wrapped for no one, so the requester cannot open
the captured film, although its record travels as evidence.

A plan is a JSON file that an owner writes. For example:

    {"redactions": [
      {"clip": 1, "kind": "face", "from_s": 2, "until_s": 6, "places": [[2, 40, 10, 12, 20], [6, 55, 10, 12, 20]]},
      {"segment": 3, "kind": "voice"}]}

A place is second, left, top, width and height, the last four in percent of the picture. Seconds count from the begin of
the clip or segment, as `doorward owner review --out` writes it. Without `from_s` a redaction begins with it, and
without `until_s` it ends with it. A mute reaches a little into the sounds of the segments beside it, because the last
packet of a sound is heard after its film has ended (`SOUNDS_BEYOND_MS`). With `"exact": true` beside `redactions`,
pixels outside of the covers keep the values of the captured film, and the new film is larger. A cover with
`"follow": true` is not finished: `doorward owner follow` writes a plan with all of its places (`follow_plan`).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from agent.clients.media.confined import ConfinedMedia
from agent.clients.media.face_covers import Followed, Suggestion
from agent.clients.owner.file_keys import SEGMENT, SOUND, ChosenFile, StoredFile
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.review import RequestReview, ReviewedSegment
from agent.clients.owner.sealed_footage import OpenedSegment
from agent.clients.owner.segment_sources import record_of
from agent.clients.owner.sync import DeviceChannel
from agent.core.vault.age.header import split
from agent.core.vault.age.recipients import HybridRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.core.vault.commitment import key_commitment
from agent.core.vault.fields import TimeSpan
from agent.core.vault.records import SegmentRecord
from agent.core.vault.redactions import (
    MOST_PLACES,
    MOST_REDACTIONS,
    WHOLE,
    Place,
    Redaction,
    RedactionKind,
    places_within,
)
from agent.core.vault.segment import Content, Context, context_box
from agent.errors import ConfigurationError, FormatError
from agent.wire.identities import PublicKey
from agent.wire.statements import Redacted, SealedItem

__all__ = [
    "PLAN_LIMIT_BYTES",
    "SOUNDS_BEYOND_MS",
    "FileRedactor",
    "FollowedCover",
    "RedactedFile",
    "Redactions",
    "film_length_ms",
    "follow_plan",
    "plan_of",
    "read_plan",
]

PLAN_LIMIT_BYTES: Final = 8 << 20
"""`suggest` writes 64 covers of 62 places for each segment of a crowd: a minute of them fits."""
_SECRET_BYTES: Final = 16
_MS_PER_S: Final = 1000
_PERCENT: Final = WHOLE // 100

SOUNDS_BEYOND_MS: Final = 300
"""A sound can hold this much of what came before and after its film. A packet of AAC at 7350 Hz lasts 139 ms, and
sounds for two of its lengths (ISO/IEC 14496-3, 4.6.11)."""

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


@dataclass(frozen=True, slots=True)
class Redactions:
    """Covers of films and mutes of sounds, by the id of the segment."""

    films: Mapping[str, tuple[Redaction, ...]]
    sounds: Mapping[str, tuple[Redaction, ...]]
    exact: bool = False
    """Films keep their pixels outside of the covers (`clients.media.redact`)."""

    def of(self, file: StoredFile, segment: str) -> tuple[Redaction, ...]:
        """Returns the redactions of a segment's film or sound. Empty if the file leaves as it was captured."""
        return {SEGMENT: self.films, SOUND: self.sounds}.get(file, {}).get(segment, ())


@dataclass(frozen=True, slots=True)
class RedactedFile:
    """The item that an owner signs, the new file as header and payload, and the media in it for a preview."""

    item: SealedItem
    header: bytes
    payload: bytes
    media: bytes


class FileRedactor:
    """Makes redacted files for one requester. `media` decodes, covers and encodes their films."""

    def __init__(
        self, link: DeviceChannel, keys: OwnerKeys, device: PublicKey, reply: HybridRecipient, media: ConfinedMedia
    ) -> None:
        self._link = link
        self._keys = keys
        self._device = device
        self._reply = reply
        self._media = media

    def make(
        self, file: StoredFile, each: ChosenFile, redactions: tuple[Redaction, ...], *, exact: bool = False
    ) -> RedactedFile:
        """Returns the redacted film (`SEGMENT`) or sound (`SOUND`). A film is `exact` on request, a sound never.

        Raises `FormatError` or `OpenError` if the captured file fails to open, or differs from its record.
        """
        answer, data = self._link.fetch(file.request(each.id))
        signed = each.signed or record_of(answer.record, each.id, self._device)
        # Compared with its record first: an altered device must not get another film covered and signed.
        opened = file.open(signed, data, self._keys.identities, device=self._device.id)
        record, sealed = signed.record, None
        if isinstance(record, SegmentRecord):
            sealed = file.sealed_file(record)
        if sealed is None or not isinstance(record, SegmentRecord):
            raise FormatError("It was cut by a power failure, and such a file cannot be redacted.")
        content = Content.SEGMENT if file is SEGMENT else Content.SOUND
        exact = exact and content is Content.SEGMENT
        captured = opened.media if isinstance(opened, OpenedSegment) else opened
        if not isinstance(captured, bytes):
            raise FormatError("It is neither film nor sound.")
        # In a process with limits: a network camera made these bytes, and a decoder is what they would attack.
        made = self._media.redact(content.value, captured, redactions, film_length_ms(record.span), exact=exact)
        # The new film is checked before anything is signed: a cover that failed must not leave.
        self._media.check_redacted(content.value, made, redactions, exact=exact)
        self._media.check(content.value, made)
        context = Context(
            kind=content,
            device=self._device.id,
            segment=record.id,
            event=record.event,
            ordinal=record.ordinal,
            span=record.span,
            media_bytes=len(made),
            redactions=redactions,
            exact=exact,
        )
        # A new key. With the captured file's key, the requester could open the captured film, if they ever get its
        # ciphertext.
        file_key, nonce = secrets.token_bytes(_SECRET_BYTES), secrets.token_bytes(_SECRET_BYTES)
        new = seal_bytes(made + context_box(context), [self._reply], file_key=file_key, nonce=nonce)
        header, payload = new[: split(new)], new[split(new) :]
        item = SealedItem(
            id=record.id,
            payload_sha256=sealed.sha256_payload,
            header_sha256=hashlib.sha256(header).hexdigest(),
            # The commitment ties the payload to one key: without it, one payload could open to two films.
            redacted=Redacted(payload_sha256=hashlib.sha256(payload).hexdigest(), key=key_commitment(file_key)),
        )
        return RedactedFile(item, header, payload, made)


def film_length_ms(span: TimeSpan) -> int:
    """Returns the length of a film by its record, as plans count it."""
    return span.duration_us // _MS_PER_S


# -- the plan ----------------------------------------------------------------------------------------------------------


class _PlannedPlace(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    at_s: _Seconds
    left: _Percent
    top: _Percent
    width: _Percent
    height: _Percent


class _Planned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of a plan, of a whole clip or of one segment."""

    kind: RedactionKind
    clip: int | None = None
    segment: int | None = None
    from_s: _Seconds | None = None
    until_s: _Seconds | None = None
    places: tuple[_PlannedPlace, ...] = ()
    follow: bool = False


class _Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    redactions: tuple[_Planned, ...]
    exact: bool = False


def plan_of(covers: Sequence[tuple[int, Suggestion]]) -> dict[str, object]:
    """Returns suggested covers as a plan, ready for JSON. The number is that of the clip."""
    return {
        "redactions": [
            {
                "clip": clip,
                "kind": each.kind.value,
                "from_s": each.from_ms / _MS_PER_S,
                "until_s": each.until_ms / _MS_PER_S,
                "places": msgspec.to_builtins(list(map(_planned_place, each.places))),
            }
            for clip, each in covers
        ]
    }


def _planned_place(place: Place) -> _PlannedPlace:
    shares = (share / _PERCENT for share in (place.left, place.top, place.width, place.height))
    return _PlannedPlace(place.at_ms / _MS_PER_S, *shares)


@dataclass(frozen=True, slots=True)
class FollowedCover:
    """An entry of a plan that was followed. `number`: its number in the plan."""

    number: int
    kind: RedactionKind
    followed: Followed


def follow_plan(
    data: bytes, seen: RequestReview, follow: Callable[[Sequence[ReviewedSegment], Redaction], Followed]
) -> tuple[bytes, list[FollowedCover]]:
    """Returns the plan in a JSON file with the places of each cover that is to follow, and these covers.

    `follow`: called with the segments of a cover and with the cover as its owner set it, in ms of these segments.
    Raises `ConfigurationError`, which names the entry, if the plan is malformed, and if no cover is to follow.
    """
    plan, made, found = _decoded(data), [], []
    for number, planned in enumerate(plan.redactions, start=1):
        entry = planned
        if planned.follow:
            try:
                cover, segments = _to_follow(planned, seen)
                followed = follow(segments, cover)
            except FormatError as error:
                raise _invalid(number, error) from error
            places = tuple(map(_planned_place, followed.places))
            entry = msgspec.structs.replace(planned, follow=False, places=places)
            found.append(FollowedCover(number, planned.kind, followed))
        made.append(entry)
    if not found:
        raise ConfigurationError(
            "No cover of the plan is to follow.", remedy='Write "follow": true beside its places: see --help.'
        )
    done = msgspec.json.encode(msgspec.structs.replace(plan, redactions=tuple(made)))
    return msgspec.json.format(done, indent=1) + b"\n", found


def _to_follow(planned: _Planned, seen: RequestReview) -> tuple[Redaction, Sequence[ReviewedSegment]]:
    if planned.kind is RedactionKind.VOICE:
        raise FormatError("a voice is nowhere in the picture.")
    segments = _named(planned, seen)
    length_ms = sum(film_length_ms(segment.record.span) for segment in segments)
    cover = _in_milliseconds(planned, length_ms)
    if cover.from_ms >= length_ms:
        raise FormatError("it begins after the end of the film.")
    return cover, segments


def read_plan(data: bytes, seen: RequestReview) -> Redactions:
    """Returns the plan in a JSON file, for the segments of this review.

    Raises `ConfigurationError`, which names the entry, if it is malformed or names something that is missing.
    """
    plan = _decoded(data)
    films: dict[str, tuple[Redaction, ...]] = {}
    sounds: dict[str, tuple[Redaction, ...]] = {}
    for number, planned in enumerate(plan.redactions, start=1):
        if planned.follow:
            raise ConfigurationError(
                f"Redaction {number} of the plan is to follow, and has not yet.", remedy="Run: doorward owner follow."
            )
        try:
            for segment, redaction in _placed(planned, seen):
                kind = sounds if redaction.kind is RedactionKind.VOICE else films
                kind[segment] = (*kind.get(segment, ()), redaction)
        except FormatError as error:
            raise _invalid(number, error) from error
    if any(len(each) > MOST_REDACTIONS for each in (*films.values(), *sounds.values())):
        raise ConfigurationError(
            f"The plan has more than {MOST_REDACTIONS} redactions in one segment.", remedy="Cover a larger area."
        )
    return Redactions(films, sounds, plan.exact)


def _decoded(data: bytes) -> _Plan:
    if len(data) > PLAN_LIMIT_BYTES:
        raise ConfigurationError("The plan of redactions is too large.", remedy="Write at most 8 MiB.")
    try:
        return msgspec.json.decode(data, type=_Plan)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"The plan of redactions is malformed: {error}", remedy="See: doorward owner redact --help."
        ) from error


def _invalid(number: int, error: FormatError) -> ConfigurationError:
    return ConfigurationError(f"Redaction {number} of the plan is invalid: {error.message}", remedy="Correct the plan.")


def _placed(planned: _Planned, seen: RequestReview) -> Iterator[tuple[str, Redaction]]:
    """Yields the part of an entry that lies in each segment, with times counted from that segment's begin."""
    segments = _named(planned, seen)
    lengths = [film_length_ms(segment.record.span) for segment in segments]
    whole = _in_milliseconds(planned, sum(lengths))
    if whole.from_ms >= sum(lengths):
        raise FormatError("it begins after the end of the film.")
    begins = itertools.accumulate(lengths, initial=0)
    for segment, begin_ms, length_ms in zip(segments, begins, lengths, strict=False):
        from_ms, until_ms = max(whole.from_ms, begin_ms), min(whole.until_ms, begin_ms + length_ms)
        if from_ms < until_ms:
            yield segment.id, _moved(whole, from_ms, until_ms, begin_ms)
    if planned.kind is RedactionKind.VOICE:
        yield from _beside(whole, segments, seen)


def _beside(
    mute: Redaction, segments: Sequence[ReviewedSegment], seen: RequestReview
) -> Iterator[tuple[str, Redaction]]:
    """Yields mutes of those segments of the clip that only sound into the muted stretch. Its times are of `segments`,
    which are some of the clip's."""
    clip = next(each.segments for each in seen.clips if any(own.id == segments[0].id for own in each.segments))
    before = list(itertools.takewhile(lambda each: each.id != segments[0].id, clip))
    named_ms = sum(film_length_ms(each.record.span) for each in segments)
    begin_ms = -sum(film_length_ms(each.record.span) for each in before)
    from_ms, until_ms = mute.from_ms, min(mute.until_ms, named_ms)
    for each in clip:
        end_ms = begin_ms + film_length_ms(each.record.span)
        if end_ms <= from_ms or until_ms <= begin_ms:
            first, last = max(begin_ms, from_ms - SOUNDS_BEYOND_MS), min(end_ms, until_ms + SOUNDS_BEYOND_MS)
            if first < last:
                yield each.id, Redaction(kind=mute.kind, from_ms=first - begin_ms, until_ms=last - begin_ms)
        begin_ms = end_ms


def _named(planned: _Planned, seen: RequestReview) -> Sequence[ReviewedSegment]:
    if (planned.clip is None) == (planned.segment is None):
        raise FormatError("it names a clip or a segment, not both.")
    if planned.clip is not None:
        found: Sequence[ReviewedSegment] = next((c.segments for c in seen.clips if c.number == planned.clip), ())
    else:
        found = [each for each in seen.segments if each.number == planned.segment]
    if not found:
        raise FormatError("this request has no such clip or segment.")
    return found


def _in_milliseconds(planned: _Planned, length_ms: int) -> Redaction:
    """Returns an entry in the units of the wire, rounded outwards."""
    # Outwards: a face that shows in the last part of a millisecond is covered, too.
    from_ms = math.floor((planned.from_s or 0) * _MS_PER_S)
    until_ms = length_ms if planned.until_s is None else math.ceil(planned.until_s * _MS_PER_S)
    return Redaction(kind=planned.kind, from_ms=from_ms, until_ms=until_ms, places=tuple(map(_place, planned.places)))


def _place(planned: _PlannedPlace) -> Place:
    left, top = _floor(planned.left), _floor(planned.top)
    right, bottom = -_floor(-planned.left - planned.width), -_floor(-planned.top - planned.height)
    if not left < right <= WHOLE or not top < bottom <= WHOLE:
        raise FormatError("places: a rectangle is empty or reaches beyond the picture.")
    at_ms = round(planned.at_s * _MS_PER_S)
    return Place(at_ms=at_ms, left=left, top=top, width=right - left, height=bottom - top)


def _floor(percent: float) -> int:
    """Returns a percentage in the units of the wire. Decimals have no exact float: 100.00000000000001 is still 100."""
    return math.floor(round(percent * _PERCENT, 6))


def _moved(redaction: Redaction, from_ms: int, until_ms: int, begin_ms: int) -> Redaction:
    """Returns the stretch of a redaction as the segment that begins at `begin_ms` counts it."""
    places: Sequence[Place] = places_within(redaction, from_ms, until_ms) if redaction.places else ()
    if len(places) > MOST_PLACES:
        raise FormatError(f"it has more than {MOST_PLACES} places in one segment, its begin and its end included.")
    moved = (msgspec.structs.replace(place, at_ms=place.at_ms - begin_ms) for place in places)
    return Redaction(kind=redaction.kind, from_ms=from_ms - begin_ms, until_ms=until_ms - begin_ms, places=tuple(moved))
