"""Between camera and readers: bounded, nothing that was decided is lost, and what goes goes up to a keyframe."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.media import EncodedPacket, LumaFrame
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
