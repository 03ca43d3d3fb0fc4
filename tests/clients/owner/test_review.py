"""A review is checked locally: the requester, the request, and every segment against its signed record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agent.clients.owner.decisions import ShareChoice, approve, co_approve
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.review import RequestReview, ReviewedClip, _clips
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle, remove_trust_root
from agent.core.timebase import ClockQuality
from agent.core.vault.records import PosterRecord, SegmentRecord, digest
from agent.core.vault.segment import Content, Context, poster_plaintext
from agent.errors import DoorwardError, FormatError, NetworkError, OpenError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.fields import Kind
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.messages import FootageRequest
from agent.wire.trust import TrustBundle
from tests.clients.owner.conftest import NOW_MS, WINDOW_MS, Home, now, signed_bundle, signed_request
from tests.clients.owner.fake_device import JPEG
from tests.wire import samples


def review(home: Home, request: str | None = None) -> RequestReview:
    return RequestReview.fetch(home.device, home.keys, request or home.request, clock=now)


def test_a_review_shows_who_asks_what_for_and_which_clips_match(home: Home) -> None:
    seen = review(home)
    assert (seen.requester.name, seen.requester.kind) == ("Harbour Police", Kind.POLICE)
    assert seen.request.case == "HH 2027/0815"
    assert [[each.id for each in clip.segments] for clip in seen.clips] == [
        list(home.segments[:2]),
        list(home.segments[2:]),
    ]
    assert [each.number for each in seen.segments] == [1, 2, 3]
    assert (seen.clips[0].start_ms, seen.clips[0].end_ms) == (WINDOW_MS, WINDOW_MS + 4000)
    assert seen.pending
    assert seen.certain


def test_a_request_that_the_device_calls_by_its_hash_is_reviewed_like_any_other(home: Home) -> None:
    seen = review(home)
    home.device.requests[seen.payload_sha256] = home.device.requests.pop(home.request)
    again = review(home, seen.payload_sha256)
    assert (again.name, again.request) == (seen.payload_sha256, seen.request)
    assert seen.name == home.request


def test_the_records_of_a_long_window_may_come_as_the_body(home: Home) -> None:
    def as_body(result: dict[str, object], data: bytes) -> tuple[dict[str, object], bytes]:
        lines = result.pop("records")
        return result, "".join(f"{line}\n" for line in lines).encode()  # type: ignore[attr-defined]

    home.device.lies["request"] = as_body
    assert [each.id for each in review(home).segments] == list(home.segments)


def test_nothing_is_opened_until_it_is_looked_at(home: Home) -> None:
    home.device.asked_ops.clear()
    review(home)
    assert not {"segment", "poster", "statement"} & set(home.device.asked_ops)


def test_posters_and_segments_open(home: Home, media: list[bytes]) -> None:
    seen = review(home)
    assert seen.poster(seen.clips[0]) == JPEG
    opened = seen.open(home.segments[1])
    assert opened.media == media[1]
    assert opened.whole
    assert opened.context is not None
    assert opened.context.segment == home.segments[1]


def test_a_match_is_certain_only_if_somebody_vouched_for_every_clock(home: Home, media: list[bytes]) -> None:
    doubtful = home.device.record(media[0], WINDOW_MS, event=3, quality=ClockQuality.UNKNOWN)
    request = home.device.ask_for(signed_request(id="f" * 32, seq=8), [*home.segments, doubtful])
    assert not review(home, request).certain  # although the device says that it is


def test_the_requesters_name_comes_from_the_bundle_and_never_from_the_request(home: Home) -> None:
    text = "This is the Federal Bureau speaking."
    request = home.device.ask_for(signed_request(id="f" * 32, seq=8, description=text), home.segments)
    assert review(home, request).requester.name == "Harbour Police"


def test_a_request_swapped_for_another_is_found_out(home: Home) -> None:
    other = home.device.ask_for(signed_request(id="f" * 32, seq=8), home.segments)
    swapped = home.device.on_request(b"", id=other)
    home.device.lies["request"] = lambda result, data: (swapped, data)
    with pytest.raises(OpenError, match="shows another request"):
        review(home)


def test_a_request_altered_by_the_device_is_not_the_requesters(home: Home) -> None:
    claimed = envelope.read_unverified(home.device.requests[home.request].envelope)
    altered = strictjson.decode(claimed.payload, FootageRequest)
    payload = strictjson.encode(samples.request(reply=samples.REPLY, description="Anything at all."))
    assert strictjson.decode(payload, FootageRequest) != altered
    forged = envelope.sign(FootageRequest.PAYLOAD_TYPE, payload, private_key_from_seed(b"x" * 32))
    forged = forged.replace(
        public_key_of(private_key_from_seed(b"x" * 32)).id.encode(), samples.REQUESTER_KEY.id.encode()
    )
    home.device.requests[home.request] = replace(home.device.requests[home.request], envelope=forged)
    with pytest.raises(OpenError, match="No trusted key signed this"):
        review(home)


def test_a_root_the_device_made_up_vouches_for_nobody(home: Home) -> None:
    evil = private_key_from_seed(b"evil".ljust(32, b"."))
    root = samples.pair(evil)
    entry = samples.requester(id="city-police", name="City Police", keys=(_key_of(evil),))
    bundle = TrustBundle(v=1, root=root.id, version=1, issued_s=samples.NOW_S, requesters=(entry,))
    signed = samples.several(bundle, evil)
    home.device.trust, _ = home.device.trust.with_root(root).accept(signed)
    home.device.bundles[root.id] = signed
    message = samples.request(requester="city-police", trust_root=root.id)
    data = envelope.sign(FootageRequest.PAYLOAD_TYPE, strictjson.encode(message), evil)
    home.device.requests.pop(home.request)
    request = home.device.ask_for(data, home.segments)
    with pytest.raises(OpenError, match="not confirmed on this machine"):
        review(home, request)


def _key_of(private: object) -> object:
    held = samples.requester().keys[0]
    return type(held)(key=public_key_of(private).text, from_s=held.from_s, until_s=held.until_s)  # type: ignore[arg-type]


def test_a_requester_no_longer_trusted_is_not_shown_as_one(home: Home) -> None:
    remove_trust_root(home.device, home.keys, samples.ROOT_KEY.text, clock=now)
    with pytest.raises(OpenError, match="You do not trust this requester now"):
        review(home)


def test_a_device_that_brings_back_an_older_bundle_is_found_out(home: Home) -> None:
    review(home)
    home.device.bundles[samples.ROOT_KEY.id] = signed_bundle(version=2)
    with pytest.raises(OpenError, match="older trust bundle"):
        review(home)


def test_a_request_the_device_had_to_block_is_not_shown_as_sound(home: Home) -> None:
    # The root allows this requester six hours; the device let eight through.
    wide = signed_request(id="e" * 32, seq=9, from_s=samples.NOW_S - 16 * samples.HOUR_S)
    request = home.device.ask_for(wide, home.segments)
    with pytest.raises(OpenError, match="had to block"):
        review(home, request)


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({"from_s": samples.NOW_S - 730 * 86_400, "to_s": samples.NOW_S - 730 * 86_400 + 3600}, "look-back too far"),
        ({"from_s": samples.NOW_S - 3600, "to_s": samples.NOW_S + 1800}, "window in the future"),
        ({"not_after_s": samples.NOW_S + 20 * 365 * 86_400}, "expires too late"),
    ],
)
def test_limits_of_time_are_judged_by_the_owners_clock_whatever_the_device_let_through(
    home: Home, changes: dict[str, int], over: str
) -> None:
    request = home.device.ask_for(signed_request(id="e" * 32, seq=9, **changes), home.segments)
    with pytest.raises(OpenError, match=over):
        review(home, request)


def test_a_record_of_another_segment_is_refused(home: Home) -> None:
    def lie(result: dict[str, object], data: bytes) -> tuple[dict[str, object], bytes]:
        return {**result, "records": list(reversed(result["records"]))}, data  # type: ignore[call-overload]

    home.device.lies["request"] = lie
    with pytest.raises(OpenError, match="about something else"):
        review(home)


def test_a_record_signed_by_somebody_else_is_refused(home: Home) -> None:
    stored = home.device.stored[home.segments[0]]
    home.device.private = private_key_from_seed(b"z" * 32)
    stored.signed = home.device._record(stored.signed.record)
    home.device.private = private_key_from_seed(home.device.seed)
    with pytest.raises(OpenError, match="No trusted key signed this manifest record"):
        review(home)


def test_a_segment_outside_the_window_cannot_be_slipped_in(home: Home, media: list[bytes]) -> None:
    private = home.device.record(media[0], NOW_MS - 60_000, event=5)
    request = home.device.ask_for(signed_request(id="f" * 32, seq=8), [*home.segments, private])
    with pytest.raises(OpenError, match="outside the requested window"):
        review(home, request)


def test_a_segment_swapped_for_another_does_not_open(home: Home) -> None:
    seen = review(home)
    first, second = (home.device.stored[name] for name in home.segments[:2])
    first.sealed, second.sealed = second.sealed, first.sealed
    with pytest.raises(OpenError, match="not the ones the device signed"):
        seen.open(home.segments[0])


def test_old_footage_under_a_new_record_is_betrayed_by_its_inside(home: Home) -> None:
    """An altered device signs what it likes, but it cannot change what old footage says of itself inside its seal."""
    old, shown = (home.device.stored[name] for name in (home.segments[2], home.segments[0]))
    forged = type(shown.signed.record)(
        **{name: getattr(shown.signed.record, name) for name in shown.signed.record.__struct_fields__}
        | {"file": old.signed.record.file, "key": old.signed.record.key}  # type: ignore[union-attr]
    )
    shown.signed, shown.sealed = home.device._record(forged), old.sealed
    seen = review(home)
    with pytest.raises(FormatError, match="differs from the record signed"):
        seen.open(home.segments[0])


def test_an_old_poster_under_a_new_record_is_betrayed_by_its_inside(home: Home) -> None:
    other = home.device.record(b"\0\0\0\x08free", NOW_MS - 60_000, event=5, poster=True)
    old, shown = home.device.stored[other], home.device.stored[home.segments[0]]
    shown.signed = home.device._record(msgspec.structs.replace(shown.signed.record, poster=old.signed.record.poster))  # type: ignore[union-attr]
    shown.poster = old.poster
    seen = review(home)
    with pytest.raises(FormatError, match=r"poster of segment .* differs from the record signed"):
        seen.poster(seen.clips[0])


def test_sound_under_the_name_of_the_pictures_is_betrayed_by_its_inside(home: Home) -> None:
    """Or an owner who shares pictures without sound would hand over the key of the sound."""
    stored = home.device.stored[home.segments[0]]
    record = stored.signed.record
    assert isinstance(record, SegmentRecord)
    assert record.sound is not None
    stored.signed = home.device._record(msgspec.structs.replace(record, file=record.sound.file, key=record.sound.key))
    stored.sealed = stored.sound  # type: ignore[assignment]
    with pytest.raises(FormatError, match="differs from the record signed"):
        review(home).open(home.segments[0])


def test_a_record_that_commits_to_another_key_is_found_out(home: Home) -> None:
    stored = home.device.stored[home.segments[0]]
    stored.signed = home.device._record(msgspec.structs.replace(stored.signed.record, key="0" * 64))
    with pytest.raises(OpenError, match="another key"):
        review(home).open(home.segments[0])


def test_a_poster_swapped_for_another_does_not_open(home: Home) -> None:
    home.device.stored[home.segments[0]].poster = home.device.stored[home.segments[2]].poster
    seen = review(home)
    with pytest.raises(OpenError, match="poster of segment"):
        seen.poster(seen.clips[0])


def test_the_owners_clock_says_when_a_request_is_over(home: Home) -> None:
    seen = review(home)
    end_ms = seen.request.not_after_s * 1000
    assert not seen.expired(end_ms)
    assert seen.expired(end_ms + 1000)


def test_a_kind_that_the_bundle_does_not_give_the_requester_is_not_shown_as_sound(home: Home) -> None:
    request = home.device.ask_for(signed_request(id="e" * 32, seq=9, kind=Kind.FIRE), home.segments)
    with pytest.raises(OpenError, match="had to block"):
        review(home, request)


def test_an_area_outside_the_requesters_region_is_not_shown_as_sound(home: Home) -> None:
    elsewhere = samples.square(48.1, 11.5)
    request = home.device.ask_for(signed_request(id="e" * 32, seq=9, area=elsewhere), home.segments)
    with pytest.raises(OpenError, match="had to block"):
        review(home, request)


@pytest.mark.parametrize("repeated", [True, False])
def test_records_that_do_not_fit_the_list_are_refused(home: Home, repeated: bool) -> None:
    def lie(result: dict[str, object], data: bytes) -> tuple[dict[str, object], bytes]:
        names, lines = list(result["segments"]), list(result["records"])  # type: ignore[call-overload]
        if repeated:
            return {**result, "segments": [*names, names[0]], "records": [*lines, lines[0]]}, data
        return {**result, "records": lines[:-1]}, data

    home.device.lies["request"] = lie
    with pytest.raises(OpenError, match="do not match the segments"):
        review(home)


def test_a_hash_that_is_not_the_requests_is_refused(home: Home) -> None:
    home.device.lies["request"] = lambda result, data: ({**result, "payload_sha256": "0" * 64}, data)
    with pytest.raises(OpenError, match="shows another request"):
        review(home)


def test_a_request_signed_as_something_else_is_none(home: Home) -> None:
    payload = envelope.read_unverified(home.device.requests[home.request].envelope).payload
    forged = envelope.sign("application/vnd.doorward.bulletin+json", payload, samples.REQUESTER)
    home.device.requests[home.request] = replace(home.device.requests[home.request], envelope=forged)
    with pytest.raises(OpenError, match="not a footage request"):
        review(home)


def test_a_poster_that_is_no_picture_is_refused(home: Home) -> None:
    """The sealed bytes are the recorded ones; what is inside is not a still of this segment."""
    stored = home.device.stored[home.segments[0]]
    record = stored.signed.record
    assert isinstance(record, SegmentRecord)
    context = Context(
        kind=Content.POSTER, device=home.device.key.id, segment=record.id, event=record.event, ordinal=record.ordinal,
        span=record.span, media_bytes=6,
    )  # fmt: skip
    for plaintext, complaint in (
        (b"\xff\xd8\xff another", "does not say which segment"),
        (poster_plaintext(b"\xff\xd8<p>!", context), "is not a JPEG"),
    ):
        sealed, size = home.device._seal(plaintext, None)
        poster = PosterRecord(file=digest((sealed,), size), key=home.device.key_of_last)
        stored.signed, stored.poster = home.device._record(msgspec.structs.replace(record, poster=poster)), sealed
        seen = review(home)
        with pytest.raises(FormatError, match=complaint):
            seen.poster(seen.clips[0])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"lat": 52.12345678, "lon": 4}, (52.1234568, 4.0)),
        ({"lat": 90, "lon": 180}, (90.0, 180.0)),
        ({"lat": -90, "lon": -180}, (-90.0, -180.0)),
        ({"lat": 90.1, "lon": 4}, None),
        ({"lat": 52, "lon": 180.1}, None),
        (None, None),
    ],
)
def test_where_the_device_says_it_is_is_shown_if_it_is_a_place(
    home: Home, said: Any, shown: tuple[float, float] | None
) -> None:
    home.device.position = said
    assert review(home).position == shown


@pytest.mark.parametrize("said", [{"lat": "52", "lon": 4}, {"lat": 52}, [52, 4]])
def test_a_place_of_another_shape_is_an_answer_that_cannot_be_used(home: Home, said: Any) -> None:
    home.device.position = said
    with pytest.raises(NetworkError, match="'place' cannot be used"):
        review(home)


def test_a_second_owner_can_second_what_the_first_approved_and_not_their_own(
    home: Home, make_owner: Callable[[str], OwnerKeys]
) -> None:
    ben = make_owner("ben")
    enrol(home.device, home.keys, add=[ben.card], approvals=2, clock=now)
    enrol(home.device, ben, clock=now)
    add_trust_root(home.device, ben, samples.ROOT_KEY.text, clock=now)
    # Footage from before ben is not sealed to ben: the clip is new.
    late = home.device.record(b"\0\0\0\x08free", WINDOW_MS + 200_000, event=8)
    request = home.device.ask_for(signed_request(id="e" * 32, seq=9), [late])
    mine, theirs = (RequestReview.fetch(home.device, keys, request, clock=now) for keys in (home.keys, ben))
    assert not mine.can_co_approve
    assert not theirs.can_co_approve
    clip = mine.clips[0]
    assert approve(home.device, home.keys, mine, ShareChoice(told=(clip,)), clock=now) is None
    mine, theirs = (RequestReview.fetch(home.device, keys, request, clock=now) for keys in (home.keys, ben))
    assert mine.first is not None
    assert theirs.first == mine.first
    assert not mine.can_co_approve
    assert theirs.can_co_approve
    with pytest.raises(RequestError, match="No approval of this request waits"):
        co_approve(home.device, ben, replace(theirs, first=None), clock=now)
    disclosure = co_approve(home.device, ben, theirs, clock=now)
    assert home.device.requests[request].disclosure == disclosure
    known = ben.memory.device(home.device.key.id)
    assert known is not None
    assert known.ledger.size == len(home.device.leaves)


def test_records_that_are_no_text_are_refused(home: Home) -> None:
    home.device.lies["request"] = lambda result, _: ({**result, "records": []}, b"\xff\n" * len(home.segments))
    with pytest.raises(DoorwardError):
        review(home)


def test_a_segment_that_did_not_match_is_neither_opened_nor_heard(home: Home, media: list[bytes]) -> None:
    seen = review(home)
    other = home.device.record(media[0], WINDOW_MS + 1000, event=5)
    for ask in (seen.open, seen.sound):
        with pytest.raises(RequestError, match=f"Segment {other} is not part of this request"):
            ask(other)


def test_a_key_of_a_requester_counts_from_its_first_second_to_its_last(home: Home) -> None:
    (key,) = samples.requester().keys
    now_s = NOW_MS // 1000
    for version, (from_s, until_s, counts) in enumerate(
        [(now_s, now_s, True), (now_s + 1, now_s + 2, False), (now_s - 2, now_s - 1, False)], start=20
    ):
        entry = samples.requester(keys=(msgspec.structs.replace(key, from_s=from_s, until_s=until_s),))
        offer_bundle(home.device, home.keys, signed_bundle(version=version, requesters=(entry,)))
        if counts:
            assert review(home).requester.id == entry.id
        else:
            with pytest.raises(OpenError, match="You do not trust this requester now"):
                review(home)


def test_clips_are_numbered_from_one_in_the_order_of_their_first_segments() -> None:
    def segment(event: str) -> Any:
        return SimpleNamespace(record=SimpleNamespace(event=event))

    one, two, three = segment("b"), segment("a"), segment("b")
    assert list(_clips([one, two, three])) == [ReviewedClip(1, "b", (one, three)), ReviewedClip(2, "a", (two,))]
    assert list(_clips([])) == []
