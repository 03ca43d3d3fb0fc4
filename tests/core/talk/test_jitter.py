"""The jitter buffer plays frames in order and in time, and its delay and memory are bounded."""

from __future__ import annotations

import random

import pytest

from agent.core.talk.frames import FrameKind, TalkFrame
from agent.core.talk.jitter import FIRST_TARGET, JitterBuffer


def sound(counter: int) -> TalkFrame:
    return TalkFrame(counter, FrameKind.OPUS, b"%d" % counter)


def pause(counter: int) -> TalkFrame:
    return TalkFrame(counter, FrameKind.PAUSE, b"")


def taken(buffer: JitterBuffer, times: int) -> list[int | None]:
    found = [buffer.take() for _ in range(times)]
    return [frame and frame.counter for frame in found]


def test_playback_begins_once_enough_frames_wait() -> None:
    buffer = JitterBuffer()
    for counter in range(1, FIRST_TARGET):
        buffer.put(sound(counter))
    assert taken(buffer, 1) == [None]
    buffer.put(sound(FIRST_TARGET))
    assert taken(buffer, FIRST_TARGET) == list(range(1, FIRST_TARGET + 1))


def test_a_short_utterance_is_played_although_few_frames_wait() -> None:
    buffer = JitterBuffer()
    buffer.put(sound(1))
    buffer.put(pause(2))
    assert taken(buffer, 3) == [1, None, None]
    assert buffer._next is None
    assert (buffer.lost, buffer.target) == (0, FIRST_TARGET)


def test_frames_that_were_overtaken_are_played_in_order() -> None:
    buffer = JitterBuffer()
    for counter in (3, 1, 2, 5, 4):
        buffer.put(sound(counter))
    assert taken(buffer, 5) == [1, 2, 3, 4, 5]


def test_a_lost_frame_is_silence_and_a_late_one_is_dropped() -> None:
    buffer = JitterBuffer()
    for counter in (1, 2, 4, 5):
        buffer.put(sound(counter))
    assert taken(buffer, 3) == [1, 2, None]
    buffer.put(sound(3))
    assert taken(buffer, 2) == [4, 5]
    assert buffer.lost == 1


def test_a_dry_buffer_waits_longer_and_recovers() -> None:
    buffer = JitterBuffer()
    for counter in (1, 2, 3):
        buffer.put(sound(counter))
    assert taken(buffer, 4) == [1, 2, 3, None]
    grown = buffer.target
    assert grown > FIRST_TARGET
    for counter in range(4, 4 + grown):
        buffer.put(sound(counter))
    assert taken(buffer, grown) == list(range(4, 4 + grown))
    first = 4 + grown
    for _ in range(10):
        for counter in range(first, first + grown):
            buffer.put(sound(counter))
        buffer.put(pause(first + grown))
        taken(buffer, grown + 1)
        first += grown + 1
    assert buffer.target == FIRST_TARGET


def test_frames_without_sound_keep_the_order_and_cost_no_time() -> None:
    buffer = JitterBuffer()
    for counter in (1, 2, 3):
        buffer.put(sound(counter))
    buffer.put(TalkFrame(4, FrameKind.VOLUME, b"\x10"))
    buffer.put(sound(5))
    assert taken(buffer, 4) == [1, 2, 3, 5]
    assert buffer.lost == 0


def test_a_sender_that_is_too_fast_cannot_make_the_delay_grow() -> None:
    buffer = JitterBuffer()
    for counter in range(1, 1001):
        buffer.put(sound(counter))
        assert len(buffer._waiting) <= 26
    found = taken(buffer, 30)
    assert found[0] is not None
    assert found[0] > 950
    assert 1000 in found


def test_a_jump_of_the_counter_is_passed_over_at_once() -> None:
    buffer = JitterBuffer()
    for counter in (1, 2, 3, 10**9):
        buffer.put(sound(counter))
    assert taken(buffer, 5) == [1, 2, 3, None, 10**9]


def test_any_order_of_frames_is_played_in_ascending_order() -> None:
    chance = random.Random(5)
    for _ in range(300):
        buffer, played = JitterBuffer(), []
        counters = list(range(1, 60))
        for at in range(0, 60, 5):
            part = counters[at : at + 5]
            chance.shuffle(part)
            for counter in part:
                if chance.random() > 0.1:
                    buffer.put(pause(counter) if chance.random() < 0.05 else sound(counter))
            played += [each for each in taken(buffer, 5) if each]
        assert played == sorted(set(played))


def test_twenty_five_frames_may_wait_and_with_one_more_all_but_the_newest_three_go() -> None:
    buffer = JitterBuffer()
    for counter in range(1, 26):
        buffer.put(sound(counter))
    assert (len(buffer._waiting), buffer.lost) == (25, 0)
    buffer.put(sound(26))
    assert (sorted(buffer._waiting), buffer.lost, buffer._played) == ([24, 25, 26], 23, 23)
    buffer.put(sound(23))
    assert taken(buffer, 4) == [24, 25, 26, None]
    assert buffer.lost == 23


@pytest.mark.parametrize(("later", "turn"), [(29, 5), (30, 30)])
def test_a_hole_is_played_through_unless_the_next_sound_is_more_than_half_a_second_away(later: int, turn: int) -> None:
    buffer = JitterBuffer()
    for counter in (1, 2, 3, later):
        buffer.put(sound(counter))
    assert taken(buffer, 4) == [1, 2, 3, None]
    assert (buffer._next, buffer._played, buffer.lost) == (turn, turn - 1, 1)
    buffer.put(sound(turn - 1))
    assert sorted(buffer._waiting) == [later], "it comes too late"


def test_a_buffer_that_ran_dry_waits_for_two_more_up_to_fifteen_and_for_one_less_after_each_good_utterance() -> None:
    buffer, counter, targets = JitterBuffer(), 0, list[int]()
    for _ in range(7):
        for _ in range(buffer.target):
            counter += 1
            buffer.put(sound(counter))
        taken(buffer, buffer.target)
        assert buffer.take() is None
        targets.append(buffer.target)
    assert targets == [5, 7, 9, 11, 13, 15, 15]
    for expected in (15, 14, 13):
        buffer.put(sound(counter + 1))
        buffer.put(pause(counter + 2))
        counter += 2
        assert taken(buffer, 2) == [counter - 1, None]
        assert buffer.target == expected, "the first one ends the utterance that ran dry"
