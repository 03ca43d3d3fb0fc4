"""Visits at random moments: the kept footage reaches back far enough, ends where it should, and lacks nothing.

The camera's frames are jittered, its GOPs uneven, every other decision late by up to three seconds, as on a
busy board; the parts are the recorder's own: event machine, pre-roll ring, segmenter.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest

from agent.core.events import ClipBegins, ClipEnds, EventMachine, EventSettings, TriggerKind
from agent.core.media import EncodedPacket, Gop
from agent.core.preroll import PrerollBuffer
from agent.core.segmenting import GopAssembler, SegmentBegins, SegmentEffect, Segmenter, SegmentGrows
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs, seconds
from tests.properties.amounts import amount

TRIALS = amount(250, 1000)
SETTINGS = EventSettings(pre_roll_s=5, post_roll_s=10, merge_gap_s=12, longest_clip_s=120)
FRAME_NS = NS_PER_S // 15
SLACK_NS = 6 * NS_PER_S


@dataclass
class Kept:
    """One visit's outcome: the GOPs kept, in order, and whether each began a segment."""

    gops: list[Gop]
    triggers_ns: list[int]
    longest_gop_ns: int
    late_ns: int


def stream(chance: random.Random, length_s: float) -> list[EncodedPacket]:
    """15 fps with jitter, a keyframe about every second and sometimes one that was asked for."""
    packets, at_ns, since_key = [], seconds(1000), 0
    while at_ns < seconds(1000 + length_s):
        keyframe = not packets or since_key >= 15 or chance.random() < 0.01
        since_key = 1 if keyframe else since_key + 1
        packets.append(EncodedPacket(b"x" * 100, keyframe, BootNs(at_ns)))
        at_ns += FRAME_NS + chance.randrange(-9, 10) * NS_PER_MS
    return packets


def visit(seed: int) -> Kept:
    chance = random.Random(seed)
    packets = stream(chance, 60)
    first_ns = packets[0].sensor_ns
    triggers = [first_ns + seconds(chance.uniform(0, 14))]
    if chance.random() < 0.5:  # another person, so soon that the two clips touch or overlap
        triggers.append(triggers[0] + seconds(chance.uniform(0.05, 18)))
    late_ns = 0 if seed % 2 else seconds(chance.uniform(0, 3))
    machine, assembler = EventMachine(SETTINGS), GopAssembler(FRAME_NS)
    segmenter = Segmenter(seconds(5), PrerollBuffer(16 << 20, seconds(SETTINGS.pre_roll_s) + SLACK_NS))
    gops: list[Gop] = []

    def carry_out(effects: tuple[SegmentEffect, ...]) -> None:
        gops.extend(one.gop for one in effects if isinstance(one, SegmentBegins | SegmentGrows))

    def decide(effects: tuple[object, ...]) -> None:
        for effect in effects:
            if isinstance(effect, ClipBegins):
                carry_out(segmenter.clip_begins(effect.event, effect.from_ns))
            elif isinstance(effect, ClipEnds):
                carry_out(segmenter.clip_ends(effect.event, effect.until_ns))

    waiting = list(triggers)
    whole: list[Gop] = []
    for packet in packets:
        while waiting and packet.sensor_ns >= waiting[0] + late_ns:
            decide(machine.on_trigger(TriggerKind.BUTTON, BootNs(waiting.pop(0))))
        decide(machine.on_time(BootNs(packet.sensor_ns - late_ns)))
        if (gop := assembler.push(packet)) is not None:
            whole.append(gop)
            carry_out(segmenter.push(gop))
    decide(machine.close(packets[-1].sensor_ns))
    carry_out(segmenter.finish())
    return Kept(gops, triggers, max(gop.end_ns - gop.start_ns for gop in whole), late_ns)


@pytest.fixture(scope="module")
def visits() -> list[Kept]:
    return [visit(seed) for seed in range(TRIALS)]


def test_the_pre_roll_is_at_least_what_was_asked_less_one_gop(visits: list[Kept]) -> None:
    for kept in visits:
        asked_ns = max(seconds(1000), kept.triggers_ns[0] - seconds(SETTINGS.pre_roll_s))
        assert kept.gops[0].start_ns <= asked_ns + kept.longest_gop_ns
        assert kept.gops[0].start_ns <= max(seconds(1000), asked_ns), "and here in fact all of it"


def test_the_post_roll_is_exact_to_a_gop_and_longer_only_by_what_the_decision_was_late(visits: list[Kept]) -> None:
    for kept in visits:
        asked_ns = kept.triggers_ns[-1] + seconds(SETTINGS.post_roll_s)
        assert asked_ns <= kept.gops[-1].end_ns <= asked_ns + kept.longest_gop_ns + kept.late_ns


def test_nothing_is_lost_or_kept_twice_within_a_visit_and_between_two(visits: list[Kept]) -> None:
    for kept in visits:
        apart_ns = max((b - a for a, b in itertools.pairwise(kept.triggers_ns)), default=0)
        if apart_ns <= seconds(SETTINGS.post_roll_s + SETTINGS.pre_roll_s):
            for gop, following in itertools.pairwise(kept.gops):
                assert gop.end_ns == following.start_ns


def test_every_gop_begins_with_a_keyframe_and_its_times_are_the_sensors(visits: list[Kept]) -> None:
    for seed, kept in enumerate(visits):
        truth = {packet.sensor_ns for packet in stream(random.Random(seed), 60)}
        times = [packet.sensor_ns for gop in kept.gops for packet in gop.packets]
        assert times == sorted(set(times))
        assert truth.issuperset(times)
        assert all(gop.packets[0].keyframe for gop in kept.gops)
