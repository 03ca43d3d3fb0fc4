"""The clips of a disclosure are in the order of the recording, whatever the wall clock says and whatever opens."""

from __future__ import annotations

from types import SimpleNamespace

from msgspec.structs import replace

from agent.clients.requester.clips import Continuity, DisclosedClip, DisclosedSegment, clips_of
from agent.clients.requester.identity import Requester, SentRequest
from agent.core.media import Gop
from agent.core.timebase import ClockQuality
from agent.wire.disclosures import PartKind
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, filmed
from tests.clients.requester.full_answer import FullAnswer
from tests.clients.requester.house import Changes, House
from tests.clients.requester.test_verification import verified


def test_a_segment_that_does_not_open_still_stands_in_its_place_between_the_others(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    films = iter([False, True, False])
    changes = Changes(media=lambda film: b"\0\0\0\x08free" if next(films) else film)
    house = House((NOW_S - 6000) * 1000, changes=changes)
    event = house.record(DESCRIPTION, gops[0:2])[0].record.record.event  # type: ignore[union-attr]
    for first in (2, 4):
        house.record(DESCRIPTION, gops[first : first + 2], event=event, poster=False)
    (clip,) = clips_of(verified(requester, asked, house.disclose(asked)))
    segments = [each.id for each in house.stored if each.kind is PartKind.SEGMENT]
    assert [each.id for each in clip.segments] == [segments[0], segments[2]]
    assert [each.item.part.id for each in clip.unopened] == [segments[1]]
    assert clip.continuity is Continuity.UNBROKEN


def test_clips_and_segments_are_numbered_in_the_order_of_the_records(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops)
    first, second = clips_of(verified(requester, asked, house.disclose(asked, reversed(house.stored))))
    segments = [each for each in house.stored if each.kind is PartKind.SEGMENT]
    assert {each.quality for each in (*first.segments, *second.segments)} == {ClockQuality.SYNCED}
    assert [(each.number, each.id) for each in (*first.segments, *second.segments)] == [
        (number, each.id) for number, each in enumerate(segments, start=1)
    ]
    assert (first.number, second.number) == (1, 2)
    assert first.event == segments[0].record.record.event  # type: ignore[union-attr]
    assert (first.start_ms, first.end_ms) == (first.segments[0].start_ms, first.segments[-1].end_ms)
    assert first.poster is not None
    assert first.poster.item.part.id == segments[0].id
    assert (first.continuity, second.continuity) == (Continuity.UNBROKEN, None)


def test_a_clip_of_a_picture_alone_has_the_time_of_its_first_segment(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    poster = next(each for each in house.stored if each.kind is PartKind.POSTER)
    (clip,) = clips_of(verified(requester, asked, house.disclose(asked, [poster])))
    assert clip.poster is not None
    assert (clip.segments, clip.start_ms, clip.end_ms) == ((), clip.poster.span.start_ms, clip.poster.span.end_ms)


def shown(number: int, from_ms: int, to_ms: int, quality: ClockQuality = ClockQuality.SYNCED) -> DisclosedSegment:
    verified = SimpleNamespace(
        span=SimpleNamespace(start_ms=from_ms, end_ms=to_ms),
        item=SimpleNamespace(record=SimpleNamespace(quality=quality), part=SimpleNamespace(id=f"{number}")),
    )
    return DisclosedSegment(number, verified)  # type: ignore[arg-type]


def test_a_pause_of_half_a_second_is_a_gap_and_a_shorter_one_is_rounding() -> None:
    pictures = (shown(1, 0, 1000), shown(2, 1499, 2000), shown(3, 2500, 3000), shown(4, 3000, 4000))
    assert DisclosedClip(1, "e", pictures, None).gaps_ms == ((2000, 2500),)
    assert DisclosedClip(1, "e", pictures[:1], None).gaps_ms == ()


def test_a_clip_has_the_worst_clock_of_all_that_is_shown_of_it() -> None:
    best, *_, worst = ClockQuality
    good, bad = shown(1, 0, 1, best), shown(2, 1, 2, worst)
    assert DisclosedClip(1, "e", (good, good), None).quality is best
    assert DisclosedClip(1, "e", (good, bad, good), None).quality is worst
    assert DisclosedClip(1, "e", (good,), bad.verified).quality is worst
    assert DisclosedClip(1, "e", (), bad.verified).quality is worst


def test_each_clip_of_a_full_answer_has_its_own_films_still_and_what_does_not_open(full: FullAnswer) -> None:
    found = [
        (
            clip.number,
            clip.event[0],
            [each.verified.number for each in clip.segments],
            [each.sound and each.sound.number for each in clip.segments],
            clip.poster and clip.poster.number,
            [each.number for each in clip.unopened],
            clip.continuity,
            clip.quality,
        )
        for clip in clips_of(full.verification)
    ]
    synced, unknown = ClockQuality.SYNCED, ClockQuality.UNKNOWN
    assert found == [
        (1, "a", [1, 3], [2, None], None, [], Continuity.BROKEN, synced),
        (2, "e", [], [], 5, [4], None, synced),
        (3, "i", [6], [None], None, [], None, unknown),
    ]


def test_one_film_that_was_not_signed_as_a_successor_leaves_the_order_open(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = House((NOW_S - 6000) * 1000)
    house.record(DESCRIPTION, gops[0:1], event="a" * 26, poster=False)
    house.changes = Changes(record=lambda record: replace(record, prev_in_clip=None))
    house.record(DESCRIPTION, gops[1:2], event="a" * 26, poster=False)
    (clip,) = clips_of(verified(requester, asked, house.disclose(asked)))
    assert clip.continuity is Continuity.UNSIGNED
