"""The time axis of a case: compared with a count of single milliseconds."""

from __future__ import annotations

import dataclasses
import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent.core.timebase import ClockQuality
from desk.cases.time_axis import (
    AxisClip,
    Shown,
    Span,
    doors_at,
    make_axis,
    merged,
    overlaps,
    sections,
    within,
)

INSTANTS = range(60)
SPANS = st.tuples(st.integers(0, 50), st.integers(1, 9)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))
CLIPS = st.lists(
    st.builds(
        AxisClip,
        door=st.sampled_from("abc"),
        clip=st.integers(1, 99),
        span=SPANS,
        quality=st.sampled_from(ClockQuality),
        gaps=st.lists(SPANS, max_size=2).map(tuple),
        film=st.booleans(),
    ),
    min_size=1,
    max_size=7,
)


def shows(clip: AxisClip, at_ms: int) -> bool:
    """The slow and obvious answer."""
    return clip.film and clip.span.holds(at_ms) and not any(gap.holds(at_ms) for gap in clip.gaps)


@given(CLIPS)
def test_a_door_shows_film_exactly_where_one_of_its_clips_has_footage(clips: list[AxisClip]) -> None:
    axis = make_axis(clips)
    assert axis is not None
    for at_ms in INSTANTS:
        for view in doors_at(axis, at_ms):
            own = [clip for clip in clips if clip.door == view.door]
            assert (view.shown is Shown.FILM) == any(shows(clip, at_ms) for clip in own)
            if view.shown is Shown.GAP:
                assert any(clip.film and clip.span.holds(at_ms) for clip in own)
            if view.clip is not None:
                assert view.clip in own
                assert view.clip.span.holds(at_ms)


@given(CLIPS)
def test_the_lanes_hold_each_clip_once_and_cover_what_their_clips_cover(clips: list[AxisClip]) -> None:
    axis = make_axis(clips)
    assert axis is not None
    assert sorted(map(repr, (clip for lane in axis.lanes for clip in lane.clips))) == sorted(map(repr, clips))
    for lane in axis.lanes:
        for at_ms in INSTANTS:
            assert any(span.holds(at_ms) for span in lane.covered) == any(shows(clip, at_ms) for clip in lane.clips)


@given(CLIPS)
def test_overlaps_name_the_doors_that_show_the_same_instant_by_a_reliable_clock(clips: list[AxisClip]) -> None:
    axis = make_axis(clips)
    assert axis is not None
    found = overlaps(axis)
    for at_ms in INSTANTS:
        doors = {clip.door for clip in clips if clip.quality is not ClockQuality.UNKNOWN and shows(clip, at_ms)}
        named = [set(each.doors) for each in found if each.span.holds(at_ms)]
        assert named == ([doors] if len(doors) > 1 else [])


@given(CLIPS, SPANS)
def test_a_closer_look_keeps_the_doors_and_only_the_clips_that_reach_into_it(clips: list[AxisClip], span: Span) -> None:
    axis = make_axis(clips)
    assert axis is not None
    near = within(axis, span)
    assert [lane.door for lane in near.lanes] == [lane.door for lane in axis.lanes]
    for lane in near.lanes:
        assert all(near.span.from_ms <= part.from_ms <= part.to_ms <= near.span.to_ms for part in lane.covered)
        for at_ms in INSTANTS:
            if near.span.holds(at_ms):
                assert any(part.holds(at_ms) for part in lane.covered) == any(
                    shows(clip, at_ms) for clip in clips if clip.door == lane.door
                )


@given(st.lists(SPANS, max_size=8))
def test_merged_spans_hold_the_same_instants_and_do_not_touch(spans: list[Span]) -> None:
    found = merged(spans)
    for at_ms in INSTANTS:
        assert any(each.holds(at_ms) for each in found) == any(each.holds(at_ms) for each in spans)
    assert all(before.to_ms < after.from_ms for before, after in itertools.pairwise(found))


@given(st.integers(0, 2 * 10**12), st.integers(1, 40 * 86_400_000))
def test_ticks_are_few_round_and_in_order(from_ms: int, length_ms: int) -> None:
    axis = make_axis([], [Span(from_ms, from_ms + length_ms)])
    assert axis is not None
    ticks = axis.ticks
    assert len(ticks) <= 9
    assert [tick.at_ms for tick in ticks] == sorted(tick.at_ms for tick in ticks)
    assert all(tick.at_ms % 1000 == 0 and 0 <= tick.left <= 100 for tick in ticks)


@given(CLIPS)
def test_each_block_lies_on_the_axis_and_is_wide_enough_to_find(clips: list[AxisClip]) -> None:
    axis = make_axis(clips)
    assert axis is not None
    for clip in clips:
        left, width = axis.block(clip.span)
        assert 0 <= left <= left + width <= 100.0001
        assert width >= 0.6


def test_a_case_without_clips_and_windows_has_no_axis() -> None:
    assert make_axis([]) is None


def test_a_window_alone_makes_an_axis_without_lanes() -> None:
    axis = make_axis([], [Span(0, 60_000)])
    assert axis is not None
    assert axis.lanes == ()
    assert sections(axis) == ()


def test_a_still_takes_its_place_and_covers_no_time() -> None:
    still = AxisClip("a", 1, Span(1000, 1000), ClockQuality.SYNCED, film=False)
    axis = make_axis([still], [Span(0, 5000)])
    assert axis is not None
    assert doors_at(axis, 1000)[0].shown is Shown.NOTHING
    assert within(axis, Span(900, 2000)).lanes[0].clips == (still,)
    assert within(axis, Span(2000, 3000)).lanes[0].clips == ()


def test_a_long_pause_of_all_doors_makes_two_sections() -> None:
    hour_ms = 3_600_000
    clips = [
        AxisClip("a", 1, Span(0, 5000), ClockQuality.SYNCED),
        AxisClip("b", 2, Span(9000, 12_000), ClockQuality.HELD),
        AxisClip("a", 3, Span(hour_ms, hour_ms + 5000), ClockQuality.SYNCED),
    ]
    axis = make_axis(clips)
    assert axis is not None
    first, second = sections(axis)
    assert first.holds(0)
    assert first.holds(11_999)
    assert second.holds(hour_ms)
    assert first.to_ms < second.from_ms


def test_a_door_with_an_unsynchronised_clock_is_doubtful() -> None:
    sure = AxisClip("a", 1, Span(0, 10), ClockQuality.SYNCED)
    axis = make_axis([sure, dataclasses.replace(sure, door="b", quality=ClockQuality.UNKNOWN)])
    assert axis is not None
    assert [lane.doubtful for lane in axis.lanes] == [False, True]
    assert overlaps(axis) == ()
