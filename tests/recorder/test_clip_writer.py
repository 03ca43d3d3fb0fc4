"""The writer outlives what a camera gets wrong: one clip ends, the next is written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.core.events import ClipBegins, ClipEnds, EventBegins, EventKind
from agent.core.media import EncodedPacket
from agent.core.retention import ProtectedIds
from agent.core.timebase import BootNs, seconds
from agent.core.vault.names import segment_id
from agent.errors import FormatError, StorageError
from agent.recorder.camera_queues import BoundedQueue
from agent.recorder.clip_writer import ClipWriter, WriterSettings
from agent.recorder.vault import RetentionReport
from tests.fake_disk import FakeDisk
from tests.recorder.test_retry_buffer import DESCRIPTION, FakeMedia
from tests.vaults import JPEG, SeededEntropy, TestVault, make_vault


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


class Told:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self.told.append((kind, text))


def evicting(monkeypatch: pytest.MonkeyPatch, *reports: RetentionReport) -> tuple[Film, Told, list[dict[str, Any]]]:
    """A film during which retention answers with these, one after the other."""
    film, owner, asked = Film(monkeypatch), Told(), list[dict[str, Any]]()
    film.writer._notifier = owner
    answers = list(reports)

    def enforce(held: object, **asked_for: Any) -> RetentionReport:
        asked.append({"held": held, **asked_for})
        return answers.pop(0) if answers else RetentionReport((), 0, 0)

    monkeypatch.setattr(film.tested.vault, "enforce_retention", enforce)
    return film, owner, asked


def clip(film: Film, number: int, first: int, last: int) -> None:
    film.event(number, first, last)
    film.packets(first, last + 5)


def test_a_long_eviction_goes_on_between_the_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    name = segment_id(bytes(16))
    more = RetentionReport((name,), 10, 0, more=True)
    film, _owner, asked = evicting(monkeypatch, more, more, RetentionReport((name,), 10, 0))
    film.writer._protected = lambda: ProtectedIds(frozenset({name}), 77)
    clip(film, 1, 0, 4)
    film.run()
    assert film.writer.acknowledged == 1
    assert asked == [{"held": frozenset({name}), "now_ms": 77, "need_bytes": 0, "most": 64}] * 3


def test_the_owner_is_told_once_that_other_files_fill_the_disk_until_they_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full, fine = RetentionReport((), 0, 0, foreign_bytes=250_000_000), RetentionReport((), 0, 0)
    film, owner, _asked = evicting(monkeypatch, full, full, fine, full)
    for number, first in enumerate((0, 20, 40), start=1):
        clip(film, number, first, first + 4)
    with capture_logs() as lines:
        film.run()
    assert film.writer.acknowledged == 3
    assert film.writer.warning == ""
    assert owner.told == [("other files", "Other files fill the doorbell's disk.")]
    assert [line["missing_bytes"] for line in lines if line["event"] == "other_files_fill_the_disk"] == [250_000_000]
    film.writer._enforce_retention()
    assert film.writer.warning.startswith("Other files fill the disk: 250 MB are missing to vault.free_floor. No ")
    assert len(owner.told) == 2, "again, after it was fine"


def test_the_owner_is_told_of_segments_that_a_request_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    name = segment_id(bytes(16))
    film, owner, _asked = evicting(monkeypatch, RetentionReport((name,), 10, 0, forced=(name, name)))
    clip(film, 1, 0, 4)
    film.run()
    assert owner.told == [("vault", "The disk is full: 2 segments that a request was waiting for had to make room.")]


def test_a_full_disk_asks_for_the_room_of_the_waiting_segment_and_what_it_costs_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = segment_id(bytes(16))
    film, _owner, asked = evicting(monkeypatch, RetentionReport((name,), 10, 0), RetentionReport((), 0, 0))
    assert film.writer._make_room(1000) is True
    assert film.writer._make_room(1000) is False
    assert [each["need_bytes"] for each in asked] == [1000 + (128 << 10)] * 2


def test_an_eviction_that_fails_costs_no_footage(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)

    def refuse(*_arguments: object, **_named: object) -> RetentionReport:
        raise StorageError("The disk is read-only.", remedy="Look at it.")

    monkeypatch.setattr(film.tested.vault, "enforce_retention", refuse)
    clip(film, 1, 0, 4)
    clip(film, 2, 60, 64)
    film.run()
    assert film.writer.acknowledged == 2
    assert film.writer.fault == ""


def test_a_later_clip_of_an_event_has_a_still_from_behind_its_pre_roll(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    wanted: list[float] = []

    def still(_gops: object, at_ns: int, **_named: object) -> bytes:
        wanted.append((at_ns - film.start) / 1e9)
        return JPEG

    monkeypatch.setattr("agent.recorder.clip_writer.poster", still)
    film.event(1, 0, 10)
    film.packets(0, 30)
    film.queue.force(ClipBegins(1, EventKind.MOTION, film.at(28)))
    film.packets(30, 60)
    film.queue.force(ClipEnds(1, film.at(50)))
    film.run()
    assert wanted == [0.5, 28 + 5 + 0.5]


def test_the_still_of_a_ring_is_a_second_and_a_half_later(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    wanted: list[tuple[float, int]] = []

    def still(_gops: object, at_ns: int, *, codec: object, most_pictures: int) -> bytes:
        wanted.append(((at_ns - film.start) / 1e9, most_pictures))
        return JPEG

    monkeypatch.setattr("agent.recorder.clip_writer.poster", still)
    film.queue.force(EventBegins(1, EventKind.BUTTON, film.at(3)))
    film.queue.force(ClipBegins(1, EventKind.BUTTON, film.at(3)))
    film.packets(0, 30)
    film.queue.force(ClipEnds(1, film.at(20)))
    film.run()
    assert wanted == [(4.5, 250_000_000 // (64 * 48))], "one still, and as much decoding as the writer may do"
    with_still = [entry.poster is not None for entry in film.tested.vault.entries()]
    assert with_still == [True] + [False] * (len(with_still) - 1)


def test_the_names_of_events_are_remembered_for_two_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    for number in range(1, 6):
        clip(film, number, number * 20, number * 20 + 4)
    film.run()
    assert film.writer.events == 5
    assert sorted(film.writer._events) == [4, 5]
    assert len({entry.event for entry in film.tested.vault.entries()}) == 5


def test_continuous_recording_ends_where_a_clip_begins_and_goes_on_where_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = Film(monkeypatch)
    settings = WriterSettings(5.0, 0.0, 10**7, continuous=True)
    film.writer = ClipWriter(film.tested.vault, film.tested.clock, SeededEntropy(3), Nobody(), settings, ProtectedIds)
    film.packets(0, 12)
    film.queue.force(EventBegins(1, EventKind.MOTION, film.at(11)))
    film.queue.force(ClipBegins(1, EventKind.MOTION, film.at(11)))
    film.packets(12, 22)
    film.queue.force(ClipEnds(1, film.at(20)))
    film.packets(22, 40)
    spans = film.run()
    kinds = [(entry.continuous, span) for entry, span in zip(film.tested.vault.entries(), spans, strict=True)]
    before = [span for continuous, span in kinds if continuous and span[0] < 11]
    clip_ = [span for continuous, span in kinds if not continuous]
    after = [span for continuous, span in kinds if continuous and span[0] >= 11]
    assert before[0][0] == 0
    assert before[-1][1] == clip_[0][0] == 11
    assert clip_[-1][1] == after[0][0]
    for group in (before, clip_, after):
        assert all(earlier[1] == later[0] for earlier, later in pairwise(group))
    assert all(begins < ends for _continuous, (begins, ends) in kinds)
