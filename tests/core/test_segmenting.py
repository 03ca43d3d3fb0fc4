"""Packets to GOPs, and clip decisions plus GOPs to segments."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.events import ClipBegins, ClipEnds, EventMachine, EventSettings, TriggerKind
from agent.core.media import EncodedPacket, Gop
from agent.core.preroll import PrerollBuffer
from agent.core.segmenting import (
    LARGEST_GOP_BYTES,
    ClipCompletes,
    GopAssembler,
    SegmentBegins,
    SegmentEffect,
    SegmentEnds,
    Segmenter,
    SegmentGrows,
)
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.errors import ConfigurationError, InternalError
from tests.cameras import assembled, gop


def packet(at_ms: int, *, keyframe: bool = False) -> EncodedPacket:
    return EncodedPacket(b"x", keyframe, BootNs(at_ms * NS_PER_MS))


def segmenter(target_s: float = 5, span_s: float = 10) -> Segmenter:
    return Segmenter(round(target_s * NS_PER_S), PrerollBuffer(10**9, round(span_s * NS_PER_S)))


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
    whole = assembler.push(packet(3001))
    assert whole is not None
    assert whole.ends, "what came so far is kept"
    assert "no keyframe for 3 s" in assembler.overlong
    assert assembler.push(packet(3002)) is None
    assert assembler.push(packet(4000, keyframe=True)) is None
    assert assembler.overlong == ""
    assert assembler.finish() == Gop((packet(4000, keyframe=True),), BootNs(4001 * NS_PER_MS))


def test_a_gop_is_bounded_in_bytes_too_so_that_half_a_minute_of_4k_fits_and_more_does_not() -> None:
    assembler = GopAssembler(frame_ns=NS_PER_MS)
    megabytes = 0
    assembler.push(EncodedPacket(bytes(10**6), keyframe=True, sensor_ns=BootNs(0)))
    while not assembler.overlong:
        megabytes += 1
        assembler.push(EncodedPacket(bytes(10**6), keyframe=False, sensor_ns=BootNs(megabytes * NS_PER_S // 2)))
    assert megabytes == LARGEST_GOP_BYTES // 10**6
    assert "sent 64 MB in 32 s without a keyframe" in assembler.overlong


@pytest.mark.parametrize("size_bytes", [10**6, 1], ids=["large", "tiny"])
def test_pictures_without_end_before_one_that_was_shown_already_do_not_fill_the_memory(size_bytes: int) -> None:
    """Such times leave GOPs short and parts unfinished: a hostile camera, or a relay before one, sends what it
    likes."""
    assembler = GopAssembler(frame_ns=NS_PER_MS)
    assembler.push(packet(0, keyframe=True))
    assembler.push(packet(900))
    kept: list[Gop] = []
    for number in range(10_000 if size_bytes == 1 else 20):
        one = EncodedPacket(bytes(size_bytes), keyframe=False, sensor_ns=BootNs(1 + number))
        kept += [part] if (part := assembler.push(one)) else []
    assert assembler.overlong
    assert len(kept) == 1
    assert kept[0].ends, "what came so far is kept"
    assert len(kept[0].packets) <= 7200
    assert sum(len(each.data) for each in kept[0].packets) < 17 * 2**20
    assert assembler.push(packet(2000, keyframe=True)) is None
    assert assembler.overlong == ""


def test_a_picture_taken_with_its_keyframe_or_before_leans_on_the_gop_before_and_is_left_out() -> None:
    assembler = GopAssembler(frame_ns=NS_PER_MS)
    assembler.push(packet(5, keyframe=True))
    for at_ms in (5, 4):
        assembler.push(packet(at_ms))
    assert assembler.skipped == 2
    with pytest.raises(InternalError):
        assembler.push(packet(5, keyframe=True))


@given(
    steps_ms=st.lists(st.integers(1, 900), min_size=1, max_size=120),
    mini=st.integers(1, 4),
    gop_size=st.integers(1, 60),
    part_ms=st.integers(100, 3000),
)
def test_parts_hold_every_packet_once_and_follow_one_another_in_time(
    steps_ms: list[int], mini: int, gop_size: int, part_ms: int
) -> None:
    """Pictures in the order of decoding: of each `mini`, the last one comes first, as B-frames make it."""
    times = [sum(steps_ms[: at + 1]) for at in range(len(steps_ms))]
    packets = []
    for begin in range(0, len(times), gop_size):
        key, *rest = times[begin : begin + gop_size]
        packets.append(packet(key, keyframe=True))
        for at in range(0, len(rest), mini):
            *between, last = rest[at : at + mini]
            packets += [packet(last), *map(packet, between)]
    assembler = GopAssembler(frame_ns=NS_PER_MS, longest_ns=10**15, part_ns=part_ms * NS_PER_MS)
    parts = assembled(packets, assembler)
    assert [each for part in parts for each in part.packets] == packets
    assert [part for part in parts if part.begins] == [part for part in parts if part.packets[0].keyframe]
    for part, after in itertools.pairwise(parts):
        assert part.end_ns == after.start_ns
        assert part.ends == after.begins
        assert max(each.sensor_ns for each in part.packets) < min(each.sensor_ns for each in after.packets)
    assert parts[-1].ends


def parts_of_a_long_gop(start_ms: int, parts: int, part_ms: int = 2000) -> list[Gop]:
    made = [gop(start_ms + part_ms * number, part_ms) for number in range(parts)]
    return [
        replace(each, begins=number == 0, ends=number == parts - 1, packets=each.packets if number == 0 else tuple(
            replace(one, keyframe=False) for one in each.packets
        ))
        for number, each in enumerate(made)
    ]  # fmt: skip


def test_a_long_gop_that_a_clip_reaches_into_is_written_from_its_keyframe_on() -> None:
    cut = segmenter()
    first, second = parts_of_a_long_gop(0, 8), parts_of_a_long_gop(16_000, 8)
    effects = [effect for part in first[:6] for effect in cut.push(part)]
    assert effects == []
    effects += cut.clip_begins(1, 9000 * NS_PER_MS)  # in its fifth part
    effects += [effect for part in first[6:] for effect in cut.push(part)]
    effects += cut.clip_ends(1, 15_000 * NS_PER_MS)
    effects += [effect for part in second for effect in cut.push(part)]
    (segment,) = replayed(effects)
    assert segment.gops == first, "no part without its keyframe, and none of the next one"


def test_a_clip_that_lies_ahead_in_a_long_gop_is_written_from_its_keyframe_on_and_to_its_end() -> None:
    cut = segmenter()
    parts = parts_of_a_long_gop(0, 8)
    effects = [*cut.push(parts[0]), *cut.clip_begins(1, 5000 * NS_PER_MS)]
    effects += [effect for part in parts[1:4] for effect in cut.push(part)]
    effects += cut.clip_ends(1, 7000 * NS_PER_MS)
    assert cut.recording, "a segment ends where a keyframe comes"
    effects += [effect for part in parts[4:] for effect in cut.push(part)]
    assert [segment.gops for segment in replayed(effects)] == [parts]
    assert not cut.recording


def test_a_lost_camera_ends_a_segment_in_the_middle_of_a_long_gop() -> None:
    cut = segmenter()
    parts = parts_of_a_long_gop(0, 3)
    effects = [*cut.clip_begins(1, 0), *cut.push(parts[0]), *cut.push(parts[1]), *cut.finish()]
    assert [segment.gops for segment in replayed(effects)] == [parts[:2]]


def test_where_the_picture_changes_a_new_segment_begins_and_no_pre_roll_reaches_behind_it() -> None:
    cut = segmenter(target_s=30)
    effects = [*cut.push(gop(0)), *cut.clip_begins(1, 0), *cut.push(gop(1000))]
    effects += [*cut.push(gop(2000)), *cut.cut(), *cut.push(gop(3000)), *cut.clip_ends(1, 4 * NS_PER_S)]
    effects += cut.clip_begins(2, 0)
    effects += cut.finish()
    assert starts_ms(replayed(effects)) == [[0, 1000, 2000], [3000]]
    cut = segmenter()
    cut.push(gop(0))
    assert cut.cut() == ()
    assert starts_ms(replayed([*cut.push(gop(1000)), *cut.clip_begins(1, 0), *cut.finish()])) == [[1000]]


def test_where_pictures_are_missing_a_new_segment_begins() -> None:
    cut = segmenter(target_s=30)
    effects = [*cut.clip_begins(1, 0), *cut.push(gop(0)), *cut.push(gop(5000)), *cut.finish()]
    assert starts_ms(replayed(effects)) == [[0], [5000]]


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


def test_it_says_whether_a_segment_is_open_a_clip_runs_and_the_newest_gop_is_outside_every_clip() -> None:
    cut, found = segmenter(), list[tuple[bool, bool, bool]]()
    for step in (
        lambda: None,
        lambda: cut.push(gop(0)),
        lambda: cut.clip_begins(1, 1500 * NS_PER_MS),
        lambda: cut.push(gop(1000)),
        lambda: cut.clip_ends(1, 2500 * NS_PER_MS),
        lambda: cut.push(gop(2000)),
        lambda: cut.push(gop(3000)),
    ):
        step()
        found.append((cut.recording, cut.running, cut.idle))
    assert found == [
        (False, False, False), (False, False, True), (False, True, False), (True, True, False), (True, True, False),
        (False, False, False), (False, False, True),
    ]  # fmt: skip


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


def test_a_lost_camera_ends_the_clip_that_runs_and_forgets_those_that_lie_ahead() -> None:
    cut = segmenter()
    effects = [*cut.clip_begins(1, 0), *cut.push(gop(0))]
    effects += cut.clip_ends(1, 10 * NS_PER_S)
    effects += cut.clip_begins(2, 20 * NS_PER_S)
    effects += cut.finish()
    assert [segment.event for segment in replayed(effects)] == [1]
    assert (cut.recording, cut.running) == (False, False)
    assert cut.push(gop(21_000)) == ()


def test_a_clip_that_nobody_began_cannot_end() -> None:
    with pytest.raises(InternalError):
        segmenter().clip_ends(1, 0)


@pytest.mark.parametrize("target_s", [0, 1.9, 31])
def test_segment_lengths_out_of_range_are_refused(target_s: float) -> None:
    with pytest.raises(ConfigurationError, match="between 2 and 30 seconds"):
        segmenter(target_s)


@settings(max_examples=settings().max_examples * 3)
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
