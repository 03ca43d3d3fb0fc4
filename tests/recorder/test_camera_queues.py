"""Between camera and readers: bounded, nothing that was decided is lost, and what goes goes up to a keyframe."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.media import EncodedPacket, Light, LumaFrame
from agent.core.recovery import StreamPulse
from agent.core.timebase import BootNs
from agent.ports import CameraEnd
from agent.recorder import camera_queues as module
from agent.recorder.camera_queues import LUMA_FRAMES, BoundedQueue, CameraQueues


def packet(number: int, *, keyframe: bool = False, size: int = 10) -> EncodedPacket:
    return EncodedPacket(bytes(size), keyframe, BootNs(number))


def frame(number: int) -> LumaFrame:
    return LumaFrame(np.full((32, 32), number % 256, np.uint8), BootNs(number))


def coloured(at_ms: int, buffer: np.ndarray) -> LumaFrame:
    """A frame. Its picture is copied from the camera's buffer only on request."""
    return LumaFrame(np.zeros((32, 32), np.uint8), BootNs(at_ms * 1_000_000), picture=buffer.copy)


def inside(queue: BoundedQueue[object]) -> list[object]:
    queue.close()
    found = []
    while (item := queue.take()) is not None:
        found.append(item)
    return found


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> CameraQueues:
    monkeypatch.setattr(module, "PACKET_BYTES", 100)
    return CameraQueues(live=True)


def weighed(capacity: int, *items: tuple[str, int]) -> BoundedQueue[str]:
    queue: BoundedQueue[str] = BoundedQueue(capacity)
    for item, weight in items:
        if weight:
            assert queue.offer(item, weight)
        else:
            queue.force(item)
    return queue


def test_a_queue_takes_as_much_as_it_holds_and_no_more() -> None:
    queue = weighed(10, ("four", 4), ("six", 6))
    assert not queue.offer("one more")
    assert queue.take() == "four"
    assert not queue.offer("five", 5)
    assert queue.offer("four again", 4)
    assert [queue.take(), queue.take(), queue.take(0.0)] == ["six", "four again", None]
    assert queue.offer("heavier than everything", 11), "alone it gets in"
    assert not queue.offer("nothing beside it", 1)


def test_an_item_weighs_one_unless_it_is_said() -> None:
    queue: BoundedQueue[str] = BoundedQueue(3)
    queue.put("first")
    assert queue.offer("second")
    assert not queue.offer("of two", 2)
    queue.put("third")
    assert not queue.offer("fourth")


def test_a_forced_item_gets_into_a_full_queue_and_takes_no_room_from_it() -> None:
    queue = weighed(2, ("two", 2), ("forced", 0))
    assert queue.take() == "two"
    assert queue.offer("two again", 2)
    assert [queue.take(), queue.take()] == ["forced", "two again"]


def test_the_oldest_item_with_a_weight_is_dropped_alone_and_its_room_is_free() -> None:
    queue = weighed(6, ("forced", 0), ("three", 3), ("two", 2), ("one", 1))
    queue.drop_oldest()
    assert queue.offer("three again", 3)
    assert not queue.offer("one more")
    assert inside(queue) == ["forced", "two", "one", "three again"]
    forced = weighed(1, ("forced", 0))
    forced.drop_oldest()
    assert inside(forced) == ["forced"]


def capital(item: str) -> bool:
    return item[0].isupper()


def test_room_is_made_up_to_the_next_border_and_forced_items_stay_in_front() -> None:
    queue = weighed(6, ("A", 1), ("a", 1), ("forced", 0), ("b", 1), ("B", 1), ("c", 1), ("D", 1))
    assert queue.make_room(1, capital) == (3, True)
    assert queue.offer("E", 3)
    assert inside(queue) == ["forced", "B", "c", "D", "E"]


def test_room_is_made_border_by_border_until_it_is_enough_and_no_further() -> None:
    items = (("A", 2), ("B", 2), ("C", 2))
    assert weighed(6, *items).make_room(3, capital) == (2, True)
    assert weighed(6, *items).make_room(2, capital) == (1, True)
    assert weighed(7, *items).make_room(1, capital) == (0, True), "there was room"
    nothing_left = weighed(6, *items)
    assert nothing_left.make_room(9, capital) == (3, False)
    assert nothing_left.offer("N", 9), "alone it gets in"
    only_forced = weighed(1, ("forced", 0))
    assert only_forced.make_room(5, capital) == (0, True)
    without_a_border = weighed(3, ("A", 1), ("a", 1), ("forced", 0), ("a", 1))
    assert without_a_border.make_room(1, capital) == (3, False)
    assert inside(without_a_border) == ["forced"]


def test_a_closed_queue_gives_what_it_holds_and_then_nothing_and_lets_no_thread_wait() -> None:
    queue = weighed(1, ("last", 1))
    assert not queue.closed
    queue.close()
    assert queue.closed
    queue.put("put after the end")
    assert [queue.take(together=5), queue.take(together=5), queue.take(together=5)] == [
        "last", "put after the end", None,
    ]  # fmt: skip


def test_a_reader_that_waits_a_while_for_nothing_gets_nothing() -> None:
    assert weighed(1).take(0.001) is None


def test_a_reader_that_lets_frames_gather_takes_at_once_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 3600.0)
    queue = weighed(3, ("one", 1))
    assert queue.take(together=3) == "one"


def test_after_a_gathering_one_frame_wakes_the_reader_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.001)
    queue = weighed(3)
    assert queue.take(0.001, together=3) is None
    assert queue._gathering == 1
    woken: list[int] = []
    monkeypatch.setattr(queue._changed, "notify_all", lambda: woken.append(1))
    queue.offer("one")
    assert woken == [1]
    assert queue.take(together=1) == "one", "a reader in a hurry lets nothing gather"


def steady(level: int, at_ns: int = 0, lux: float | None = None) -> LumaFrame:
    return LumaFrame(np.full((32, 32), level, np.uint8), BootNs(at_ns), Light(lux))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The monotonic clock of the queues, in ns."""
    found = [1000]
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: found[0])
    return found


def test_the_pulse_of_a_steady_stream_is_when_frame_packet_and_change_last_came(now: list[int]) -> None:
    queues = CameraQueues(live=True)
    assert (queues.pulse, queues.begun) == (StreamPulse(1000, 1000, 1000), False)
    now[0] = 2000
    queues.packet(packet(1, keyframe=True))
    assert (queues.pulse, queues.begun) == (StreamPulse(1000, 2000, 1000), False)
    now[0] = 3000
    queues.luma(steady(100, lux=7.5))
    assert (queues.pulse, queues.begun) == (StreamPulse(3000, 2000, 3000), True)
    assert (queues.frames, queues.lux) == (1, 7.5)
    now[0] = 4000
    queues.luma(steady(100))
    assert queues.pulse == StreamPulse(4000, 2000, 3000), "the same picture again"
    now[0] = 5000
    queues.luma(steady(101))
    assert queues.pulse == StreamPulse(5000, 2000, 5000)


@pytest.mark.parametrize(("level", "changed_ns"), [(39, 2000), (40, 1500)])
def test_in_the_dark_the_same_picture_again_is_no_sign_of_a_frozen_sensor(
    now: list[int], level: int, changed_ns: int
) -> None:
    queues = CameraQueues(live=True)
    for now[0] in (1500, 2000):
        queues.luma(steady(level))
    assert queues.pulse.change_ns == changed_ns


def test_of_each_picture_every_sixteenth_row_is_looked_at(now: list[int]) -> None:
    queues = CameraQueues(live=True)
    queues.luma(steady(100))
    for row, changed_ns in ((15, 1000), (16, 3000)):
        now[0] += 1000
        changed = steady(100)
        changed.luma[row] = 200
        queues.luma(changed)
        assert queues.pulse.change_ns == changed_ns


def test_small_pictures_that_come_rarely_say_little_and_packets_show_that_the_camera_works(now: list[int]) -> None:
    queues = CameraQueues(live=True, luma_steady=False)
    assert not queues.begun
    now[0] = 2000
    queues.packet(packet(1, keyframe=True))
    assert (queues.pulse, queues.begun) == (StreamPulse(2000, 2000, 2000), True)
    now[0] = 3000
    queues.luma(steady(100))
    assert queues.pulse == StreamPulse(3000, 2000, 2000)
    for _ in range(19):
        queues.luma(steady(100))
    now[0] = 4000
    queues.packet(packet(2))
    assert queues.pulse == StreamPulse(4000, 4000, 4000), "19 times the same: not yet frozen"
    queues.luma(steady(100))
    assert queues.pulse == StreamPulse(4000, 4000, 3000), "20 times: since then"
    queues.luma(steady(101))
    assert queues.pulse == StreamPulse(4000, 4000, 4000)


def test_live_view_sees_each_frame_while_the_camera_lends_it() -> None:
    shown: list[LumaFrame] = []
    queues = CameraQueues(live=True, show=shown.append)
    lent = steady(7, 5)
    queues.luma(lent)
    assert shown == [lent]
    (kept,) = inside(queues.lumas)
    assert isinstance(kept, LumaFrame)
    assert (kept.sensor_ns, kept.light, kept.picture) == (5, lent.light, None)


def test_a_coloured_picture_is_taken_from_the_very_time_of_the_wish_and_at_most_every_two_fifths_of_a_second() -> None:
    queues = CameraQueues(live=True)
    buffer = np.zeros((4, 4, 3), np.uint8)
    queues.luma(coloured(0, buffer))
    queues.picture_wanted_ns = 100 * 1_000_000
    for at_ms in (99, 100, 499, 500):
        queues.luma(coloured(at_ms, buffer))
    queues.luma(steady(1, 10**9))
    kept = [each for each in inside(queues.lumas) if isinstance(each, LumaFrame)]
    assert [each.picture is not None for each in kept] == [False, False, True, False, True, False]


def test_a_stream_from_the_first_instant_on_may_have_its_picture_at_once() -> None:
    queues = CameraQueues(live=True)
    queues.picture_wanted_ns = 0
    queues.luma(coloured(0, np.zeros((4, 4, 3), np.uint8)))
    (kept,) = inside(queues.lumas)
    assert isinstance(kept, LumaFrame)
    assert kept.picture is not None


def test_a_late_writer_goes_on_with_the_next_keyframe_and_each_lost_packet_is_counted(live: CameraQueues) -> None:
    live.packet(packet(0, keyframe=True, size=60))
    live.packet(packet(1, size=60))
    assert live.packets_dropped == 2, "the keyframe that the packet needs had to go"
    live.packet(packet(2, size=10))
    assert live.packets_dropped == 3
    live.packet(packet(3, keyframe=True, size=10))
    live.packet(packet(4, size=10))
    assert [each.sensor_ns for each in inside(live.packets)] == [3, 4]  # type: ignore[attr-defined]
    assert live.packets_dropped == 3


def test_a_late_writer_loses_the_oldest_gop_and_keeps_the_newer_one_whole(live: CameraQueues) -> None:
    for number, keyframe in enumerate((True, False, True, False)):
        live.packet(packet(number, keyframe=keyframe, size=25))
    live.packet(packet(4, size=25))
    assert [each.sensor_ns for each in inside(live.packets)] == [2, 3, 4]  # type: ignore[attr-defined]
    assert live.packets_dropped == 2


def test_a_film_gives_every_packet_however_late_the_writer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKET_BYTES", 100)
    queues = CameraQueues(live=False)
    queues.packets.close()  # a film waits for room otherwise
    for number in range(4):
        queues.packet(packet(number, size=60))
    assert [each.sensor_ns for each in inside(queues.packets)] == [0, 1, 2, 3]  # type: ignore[attr-defined]
    assert queues.packets_dropped == 0


def test_the_loop_is_woken_once_for_each_cause_and_told_whether_the_stream_has_ended() -> None:
    queues = CameraQueues(live=True)
    assert not queues.wait_for_attention(0.001)
    queues.attention.set()
    assert not queues.wait_for_attention(3600)
    assert not queues.attention.is_set()
    queues.ended(CameraEnd.STOPPED, "")
    assert queues.wait_for_attention(3600)


def test_of_late_frames_the_oldest_go_and_are_counted_and_decisions_stay() -> None:
    queues = CameraQueues(live=True)
    queues.lumas.force("pressed")
    for number in range(LUMA_FRAMES + 3):
        queues.luma(frame(number))
    kept = inside(queues.lumas)
    assert kept[0] == "pressed"
    assert [each.sensor_ns for each in kept[1:]] == list(range(3, LUMA_FRAMES + 3))  # type: ignore[attr-defined]
    assert (queues.frames, queues.frames_dropped) == (LUMA_FRAMES + 3, 3)


def test_a_frame_is_copied_for_its_sensor_writes_the_next_one_over_it() -> None:
    queues = CameraQueues(live=True)
    borrowed = frame(7)
    queues.luma(borrowed)
    borrowed.luma[:] = 0
    assert inside(queues.lumas)[0].luma.max() == 7  # type: ignore[attr-defined]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=60))
def test_a_late_writer_is_given_only_packets_that_can_be_decoded(film: list[tuple[bool, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PACKET_BYTES", 100)
        queues = CameraQueues(live=True)
    sent = [packet(number, keyframe=number == 0 or key, size=size) for number, (key, size) in enumerate(film)]
    for each in sent:
        queues.packet(each)
    kept = [each for each in inside(queues.packets) if isinstance(each, EncodedPacket)]
    assert sum(len(each.data) for each in kept) <= 100 or len(kept) == 1
    assert len(kept) + queues.packets_dropped == len(sent)
    before: dict[int, EncodedPacket] = {each.sensor_ns: each for each in sent}
    have = {each.sensor_ns for each in kept}
    for each in kept:
        assert each.keyframe or before[each.sensor_ns - 1].sensor_ns in have


def test_decisions_survive_an_overflow_in_their_place(live: CameraQueues) -> None:
    live.packet(packet(0, keyframe=True, size=60))
    live.packets.force("clip begins")
    live.packet(packet(1, keyframe=True, size=60))
    live.packet(packet(2, size=20))
    kept = inside(live.packets)
    assert kept[0] == "clip begins"
    assert [each.sensor_ns for each in kept[1:]] == [1, 2]  # type: ignore[attr-defined]
    assert live.packets_dropped == 1


def test_a_file_waits_for_its_reader_and_loses_nothing() -> None:
    queues = CameraQueues(live=False)
    feeding = threading.Thread(target=lambda: [queues.luma(frame(number)) for number in range(50)])
    feeding.start()
    taken = []
    while len(taken) < 50:
        taken.append(queues.lumas.take(5))
    feeding.join()
    assert [each.sensor_ns for each in taken] == list(range(50))  # type: ignore[union-attr]
    assert queues.frames_dropped == 0


def test_closing_lets_a_waiting_camera_go() -> None:
    queues = CameraQueues(live=False)

    def deliver() -> None:
        for number in range(LUMA_FRAMES + 1):
            queues.luma(frame(number))

    waiting = threading.Thread(target=deliver)
    waiting.start()
    time.sleep(0.02)
    assert waiting.is_alive()
    queues.lumas.close()
    waiting.join(5)
    assert not waiting.is_alive()


def test_the_first_end_is_why() -> None:
    queues = CameraQueues(live=True)
    queues.ended(CameraEnd.LOST, "the detector failed")
    queues.ended(CameraEnd.STOPPED, "the camera was stopped")
    assert queues.end == (CameraEnd.LOST, "the detector failed")
    assert queues.ended_event.is_set()
    assert queues.lumas.closed


def test_a_coloured_picture_is_taken_when_it_is_wanted_and_not_for_every_frame() -> None:
    queues = CameraQueues(live=False)
    buffer = np.zeros((4, 4, 3), np.uint8)
    for at_ms in range(0, 800, 100):
        if at_ms == 200:
            queues.picture_wanted_ns = 250 * 1_000_000
        buffer[:] = at_ms // 10
        queues.luma(coloured(at_ms, buffer))
    kept = [each for each in inside(queues.lumas) if isinstance(each, LumaFrame)]
    with_picture = {each.sensor_ns // 1_000_000: each.picture() for each in kept if each.picture is not None}
    assert sorted(with_picture) == [300, 700], "from the wish on, and one in 0.4 s while the wish is old"
    assert [int(with_picture[at_ms].max()) for at_ms in (300, 700)] == [30, 70], "of its own moment"
