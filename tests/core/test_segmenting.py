"""Packets to GOPs, and clip decisions plus GOPs to segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.events import ClipBegins, ClipEnds, EventMachine, EventSettings, TriggerKind
from agent.core.media import EncodedPacket, Gop
from agent.core.preroll import PrerollRing
from agent.core.segmenting import (
    ClipCompletes,
    GopAssembler,
    SegmentBegins,
    SegmentEffect,
    SegmentEnds,
    Segmenter,
    SegmentGrows,
)
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.errors import ConfigurationError, DeviceError, InternalError
from tests.cameras import gop


def packet(at_ms: int, *, keyframe: bool = False) -> EncodedPacket:
    return EncodedPacket(b"x", keyframe, BootNs(at_ms * NS_PER_MS))


def segmenter(target_s: float = 5, span_s: float = 10) -> Segmenter:
    return Segmenter(round(target_s * NS_PER_S), PrerollRing(10**9, round(span_s * NS_PER_S)))


@dataclass
class Segment:
    event: int
    ordinal: int
    gops: list[Gop]
    ended: bool = False


def replayed(effects: Sequence[SegmentEffect]) -> list[Segment]:
    """Do what the effects say, and insist that they make sense in this order."""
    segments: list[Segment] = []
    for effect in effects:
        match effect:
            case SegmentBegins(event, ordinal, first):
                assert not segments or segments[-1].ended
                segments.append(Segment(event, ordinal, [first]))
            case SegmentGrows(following):
                assert not segments[-1].ended
                segments[-1].gops.append(following)
            case SegmentEnds(end_ns):
                assert not segments[-1].ended
                assert segments[-1].gops[-1].end_ns == end_ns
                segments[-1].ended = True
            case ClipCompletes(event, count, start_ns, end_ns):
                clip = segments[-count:]
                assert [(segment.event, segment.ordinal) for segment in clip] == [(event, i) for i in range(count)]
                assert all(segment.ended for segment in clip)
                assert (clip[0].gops[0].start_ns, clip[-1].gops[-1].end_ns) == (start_ns, end_ns)
    return segments


def starts_ms(segments: list[Segment]) -> list[list[int]]:
    return [[each.start_ns // NS_PER_MS for each in segment.gops] for segment in segments]


def test_a_gop_is_whole_when_the_next_keyframe_comes() -> None:
    assembler = GopAssembler(frame_ns=100 * NS_PER_MS)
    assert assembler.push(packet(0)) is None, "nothing decodes before the first keyframe"
    assert assembler.skipped == 1
    assert assembler.push(packet(100, keyframe=True)) is None
    assert assembler.push(packet(200)) is None
    whole = assembler.push(packet(300, keyframe=True))
    assert whole == Gop((packet(100, keyframe=True), packet(200)), BootNs(300 * NS_PER_MS))
    assert assembler.finish() == Gop((packet(300, keyframe=True),), BootNs(400 * NS_PER_MS))
    assert assembler.finish() is None


def test_a_camera_without_keyframes_is_named_before_memory_runs_out() -> None:
    assembler = GopAssembler(frame_ns=NS_PER_MS, longest_ns=3 * NS_PER_S)
    assembler.push(packet(0, keyframe=True))
    assembler.push(packet(3000))
    with pytest.raises(DeviceError, match="no keyframe for 3 s"):
        assembler.push(packet(3001))


def test_sensor_times_that_stand_still_are_refused() -> None:
    assembler = GopAssembler(frame_ns=NS_PER_MS)
    assembler.push(packet(5, keyframe=True))
    with pytest.raises(InternalError):
        assembler.push(packet(5))


def test_a_clip_begins_with_the_gop_that_holds_the_start_of_its_pre_roll() -> None:
    cut = segmenter()
    effects = [effect for number in range(8) for effect in cut.push(gop(1000 * number))]
    assert effects == []
    effects += cut.clip_begins(1, 4500 * NS_PER_MS)
    effects += cut.push(gop(8000))
    effects += cut.clip_ends(1, 8200 * NS_PER_MS)
    assert starts_ms(replayed(effects)) == [[4000, 5000, 6000, 7000, 8000]]
    assert effects[-1] == ClipCompletes(1, 1, BootNs(4 * NS_PER_S), BootNs(9 * NS_PER_S))
    assert not cut.recording


def test_the_post_roll_lies_ahead_and_is_waited_for() -> None:
    cut = segmenter()
    effects = [*cut.clip_begins(1, 0), *cut.push(gop(0))]
    effects += cut.clip_ends(1, 2500 * NS_PER_MS)
    assert cut.recording
    effects += [effect for number in range(1, 6) for effect in cut.push(gop(1000 * number))]
    assert starts_ms(replayed(effects)) == [[0, 1000, 2000]]


def test_segments_end_at_the_border_nearest_to_the_target() -> None:
    cut = segmenter(target_s=5)
    effects = [*cut.clip_begins(1, 0)]
    effects += [effect for number in range(12) for effect in cut.push(gop(1200 * number, 1200))]
    assert [len(segment.gops) for segment in replayed(effects)] == [4, 4, 4]


def test_a_gop_longer_than_the_target_is_a_segment_of_its_own() -> None:
    cut = segmenter(target_s=2)
    effects = [*cut.clip_begins(1, 0), *cut.push(gop(0, 9000)), *cut.push(gop(9000, 9000))]
    assert [len(segment.gops) for segment in replayed(effects)] == [1, 1]


def test_a_clip_split_at_its_longest_goes_on_in_the_next_one_with_no_gop_lost_or_doubled() -> None:
    cut = segmenter()
    effects = [*cut.clip_begins(1, 0)]
    effects += [effect for number in range(4) for effect in cut.push(gop(1000 * number))]
    effects += cut.clip_ends(1, 4500 * NS_PER_MS)
    effects += cut.clip_begins(1, 4500 * NS_PER_MS)
    effects += [effect for number in range(4, 9) for effect in cut.push(gop(1000 * number))]
    effects += cut.finish()
    assert starts_ms(replayed(effects)) == [[0, 1000, 2000, 3000, 4000], [5000, 6000, 7000, 8000]]


def test_a_pre_roll_that_reaches_into_the_clip_before_continues_where_that_ended() -> None:
    cut = segmenter()
    effects = [*cut.clip_begins(1, 0), *cut.push(gop(0)), *cut.push(gop(1000)), *cut.clip_ends(1, 2 * NS_PER_S)]
    effects += [*cut.push(gop(2000)), *cut.push(gop(3000))]
    effects += [*cut.clip_begins(2, 500 * NS_PER_MS), *cut.finish()]
    segments = replayed(effects)
    assert starts_ms(segments) == [[0, 1000], [2000, 3000]]
    assert [segment.event for segment in segments] == [1, 2]


def test_a_clip_that_lies_wholly_in_the_one_before_makes_no_segment() -> None:
    cut = segmenter()
    effects = [*cut.clip_begins(1, 0), *cut.push(gop(0)), *cut.clip_ends(1, 100 * NS_PER_MS)]
    effects += [*cut.clip_begins(2, 200 * NS_PER_MS), *cut.clip_ends(2, 300 * NS_PER_MS)]
    assert len(replayed(effects)) == 1
    assert sum(isinstance(effect, ClipCompletes) for effect in effects) == 1


def test_a_lost_camera_ends_what_is_open_and_forgets_the_ring() -> None:
    cut = segmenter()
    effects = [*cut.clip_begins(1, 0), *cut.push(gop(0)), *cut.finish()]
    assert isinstance(effects[-1], ClipCompletes)
    assert cut.clip_begins(2, 0) == (), "footage of the camera before is not the pre-roll of the next"
    assert starts_ms(replayed(cut.push(gop(60_000)))) == [[60_000]]


def test_a_clip_that_nobody_began_cannot_end() -> None:
    with pytest.raises(InternalError):
        segmenter().clip_ends(1, 0)


@pytest.mark.parametrize("target_s", [0, 1.9, 31])
def test_segment_lengths_out_of_range_are_refused(target_s: float) -> None:
    with pytest.raises(ConfigurationError, match="between 2 and 30 seconds"):
        segmenter(target_s)


@settings(max_examples=200)
@given(
    lengths_ms=st.lists(st.integers(300, 2500), min_size=4, max_size=80),
    triggers_ms=st.lists(st.integers(0, 80_000), max_size=6),
    delays_ms=st.lists(st.integers(0, 1500), min_size=6, max_size=6),
    timing=st.builds(
        EventSettings,
        pre_roll_s=st.sampled_from([0, 2, 5]),
        post_roll_s=st.sampled_from([1, 6]),
        merge_gap_s=st.sampled_from([0, 8]),
        longest_clip_s=st.sampled_from([3, 12]),
    ),
    target_s=st.sampled_from([2, 5, 30]),
)
def test_whatever_the_event_machine_decides_is_sealed_whole_and_once(
    lengths_ms: list[int], triggers_ms: list[int], delays_ms: list[int], timing: EventSettings, target_s: int
) -> None:
    """Drive the real event machine; decisions reach the segmenter up to 1.5 s after their instant."""
    cut, machine = segmenter(target_s, timing.pre_roll_s + 4), EventMachine(timing)
    effects: list[SegmentEffect] = []
    asked: list[list[int]] = []

    def decide(decisions: Sequence[object]) -> None:
        for decision in decisions:
            if isinstance(decision, ClipBegins):
                asked.append([decision.from_ns, 2**62])
                effects.extend(cut.clip_begins(decision.event, decision.from_ns))
            elif isinstance(decision, ClipEnds):
                asked[-1][1] = decision.until_ns
                effects.extend(cut.clip_ends(decision.event, decision.until_ns))

    waiting = sorted((at + delay, at) for at, delay in zip(triggers_ms, delays_ms, strict=False))
    gops, at_ms = [], 0
    for length_ms in lengths_ms:
        gops.append(gop(at_ms, length_ms, 2))
        at_ms += length_ms
        while waiting and waiting[0][0] <= at_ms:
            decide(machine.on_trigger(TriggerKind.BUTTON, BootNs(waiting.pop(0)[1] * NS_PER_MS)))
        effects.extend(cut.push(gops[-1]))
        decide(machine.on_time(BootNs(at_ms * NS_PER_MS)))
    decide(machine.close(BootNs(at_ms * NS_PER_MS)))
    effects.extend(cut.finish())

    segments = replayed(effects)
    assert all(segment.ended for segment in segments)
    sealed = [each for segment in segments for each in segment.gops]
    assert sealed == sorted(sealed, key=lambda each: each.start_ns), "in order"
    assert len({each.start_ns for each in sealed}) == len(sealed), "once"
    wanted = [each for each in gops if any(each.end_ns > begin and each.start_ns < end for begin, end in asked)]
    missing = [each for each in wanted if each not in sealed]
    assert not missing, "whole"
