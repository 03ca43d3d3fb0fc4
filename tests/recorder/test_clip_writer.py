"""The writer outlives what a camera gets wrong: one clip ends, the next is written."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agent.core.events import ClipBegins, ClipEnds, EventBegins, EventKind
from agent.core.media import EncodedPacket
from agent.core.retention import ProtectedIds
from agent.core.timebase import BootNs, seconds
from agent.errors import FormatError
from agent.recorder.camera_queues import BoundedQueue
from agent.recorder.clip_writer import ClipWriter, WriterSettings
from tests.fake_disk import FakeDisk
from tests.recorder.test_retry_buffer import DESCRIPTION, FakeMedia
from tests.vaults import SeededEntropy, TestVault, make_vault


class Nobody:
    def notify(self, kind: str, text: str, once: str = "") -> None:
        pass


def no_picture(*_: object, **_named: object) -> bytes:
    raise FormatError("These packets are no pictures.")


class Film:
    """A writer and what comes in: packets a second apart, decisions in between."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("agent.recorder.retry_buffer.FragmentedMp4Writer", FakeMedia)
        monkeypatch.setattr("agent.recorder.clip_writer.poster", no_picture)
        self.tested: TestVault = make_vault(FakeDisk())
        self.start = self.tested.clock.boot_ns
        self.queue: BoundedQueue[object] = BoundedQueue(1 << 30)
        settings = WriterSettings(5.0, 5.0, 10**7)
        self.writer = ClipWriter(
            self.tested.vault, self.tested.clock, SeededEntropy(3), Nobody(), settings, ProtectedIds
        )

    def at(self, second: float) -> BootNs:
        return BootNs(self.start + seconds(second))

    def packets(self, first: int, last: int, *, keyframes: bool = True) -> None:
        for second in range(first, last):
            self.queue.put(EncodedPacket(bytes(100), keyframes, self.at(second)))

    def event(self, number: int, first: int, last: int) -> None:
        self.queue.force(EventBegins(number, EventKind.MOTION, self.at(first)))
        self.queue.force(ClipBegins(number, EventKind.MOTION, self.at(first)))
        self.queue.force(ClipEnds(number, self.at(last)))

    def run(self) -> list[tuple[int, int]]:
        """(first second, last second) of every segment."""
        self.queue.close()
        self.tested.clock.advance(200)
        self.writer.run(self.queue, DESCRIPTION)
        entries = self.tested.vault.entries()
        first = self.start // 10**9
        return [
            (e.start_us // 10**6 - first, e.start_us // 10**6 - first + (e.end_ms - e.start_ms) // 1000)
            for e in entries
        ]


def test_of_a_camera_without_keyframes_for_a_while_a_minute_is_kept_and_all_of_a_later_clip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = Film(monkeypatch)
    film.packets(0, 10)
    film.queue.force(EventBegins(1, EventKind.MOTION, film.at(5)))
    film.queue.force(ClipBegins(1, EventKind.MOTION, film.at(5)))
    film.packets(10, 100, keyframes=False)
    film.packets(100, 107)
    film.queue.force(ClipEnds(1, film.at(102)))
    film.event(2, 105, 110)
    film.packets(107, 125)
    kept = film.run()
    assert (5, 10) not in kept, "a segment holds its last GOP whole"
    assert (5, 70) in kept
    assert (100, 105) in kept, "the same clip goes on"
    assert kept[-1][1] == 110
    assert film.writer.fault == ""


@pytest.mark.parametrize("every_s", [16, 20, 30])
def test_of_a_camera_with_rare_keyframes_every_picture_is_kept(every_s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    film.queue.force(EventBegins(1, EventKind.MOTION, film.at(0)))
    film.queue.force(ClipBegins(1, EventKind.MOTION, film.at(0)))
    for second in range(240):
        film.queue.put(EncodedPacket(bytes(100), second % every_s == 0, film.at(second)))
    film.queue.force(ClipEnds(1, film.at(240)))
    kept = film.run()
    assert kept[0][0] == 0
    assert kept[-1][1] == 239, "the last of them lasts a fraction of a second"
    assert all(before[1] == after[0] for before, after in pairwise(kept))


def test_times_that_go_backwards_cost_their_clip_and_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    film.packets(0, 10)
    film.event(1, 5, 9)
    film.packets(3, 4)
    film.packets(20, 27)
    film.event(2, 25, 30)
    film.packets(27, 45)
    assert (25, 30) in film.run()
    assert film.writer.fault == ""


def test_until_a_segment_is_acknowledged_again_it_says_that_nothing_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = Film(monkeypatch)
    film.packets(0, 10)
    film.packets(10, 80, keyframes=False)
    assert film.run() == []
    assert "no keyframe" in film.writer.fault
