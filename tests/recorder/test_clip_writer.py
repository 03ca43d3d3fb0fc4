"""The writer outlives what a camera gets wrong: one clip ends, the next is written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.clients.opening import open_bytes
from agent.core.events import ButtonRing, ClipBegins, ClipEnds, EventBegins, EventKind, EventTriggered, TriggerKind
from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.retention import ProtectedIds
from agent.core.timebase import BootNs, seconds
from agent.core.vault.fields import segment_id
from agent.core.vault.records import RingRecord, SegmentRecord
from agent.core.vault.segment import split_media
from agent.errors import FormatError, StorageError
from agent.recorder import clip_writer
from agent.recorder.camera_queues import BoundedQueue
from agent.recorder.clip_writer import ClipWriter, WriterSettings
from agent.recorder.retry_buffer import RETRY_S, RetryBuffer
from agent.recorder.vault import RetentionReport
from tests.fake_disk import FakeDisk
from tests.recorder.test_retry_buffer import DESCRIPTION, FakeMedia
from tests.vaults import JPEG, OWNER, SeededEntropy, TestVault, box, make_vault


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


def test_the_owner_is_told_of_held_segments_that_were_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    name = segment_id(bytes(16))
    film, owner, _asked = evicting(monkeypatch, RetentionReport((name,), 10, 0, held_but_evicted=(name, name)))
    clip(film, 1, 0, 4)
    film.run()
    assert owner.told == [
        (
            "vault",
            "2 held segments (kept by an owner, or wanted by a request) were deleted: holds were over their share, "
            "or the disk was full.",
        )
    ]


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


class ScriptedQueue:
    """A queue that is never waited for: it notes for how long it would have been."""

    def __init__(self, *items: object) -> None:
        self._items = list(items)
        self.timeouts_s: list[float | None] = []

    def take(self, timeout_s: float | None) -> object | None:
        self.timeouts_s.append(timeout_s)
        return self._items.pop(0) if self._items else None

    @property
    def closed(self) -> bool:
        return not self._items


def run_with(writer: ClipWriter, *items: object) -> list[float | None]:
    queue: Any = ScriptedQueue(*items)
    writer.run(queue, DESCRIPTION)
    return queue.timeouts_s  # type: ignore[no-any-return]


def writer_of(film: Film, **more: Any) -> ClipWriter:
    settings = WriterSettings(5.0, 5.0, 10**7, continuous=more.pop("continuous", False))
    film.writer = ClipWriter(
        film.tested.vault, film.tested.clock, SeededEntropy(3), more.pop("owner", Nobody()), settings, ProtectedIds,
        **more,
    )  # fmt: skip
    return film.writer


def test_a_writer_that_has_not_run_has_recorded_nothing_and_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Film(monkeypatch).writer
    assert (writer.fault, writer.warning, writer.events, writer.acknowledged) == ("", "", 0, 0)
    assert not writer.recording
    assert not writer.busy
    assert writer.retry_buffer.in_memory_bytes == 0


def test_the_writer_sleeps_until_something_comes_or_is_to_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    more = RetentionReport((segment_id(bytes(16)),), 10, 0, more=True)
    film, _owner, asked = evicting(monkeypatch, more, RetentionReport((), 0, 0))
    assert run_with(film.writer) == [None]
    film.writer._evicting = True
    assert run_with(film.writer, "news", "news", "news") == [0.0, 0.0, None, None]
    assert len(asked) == 2, "two slices between three items"
    monkeypatch.setattr(RetryBuffer, "waiting", property(lambda _buffer: True))
    assert run_with(film.writer) == [RETRY_S]


def test_after_each_item_what_waits_is_tried_again_and_other_work_on_the_disk_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    film = Film(monkeypatch)
    writer = writer_of(film, meanwhile=lambda: done.append("meanwhile"))
    monkeypatch.setattr(writer.retry_buffer, "retry", lambda: done.append("retry"))
    run_with(writer, "news", "news")
    assert done == ["retry", "meanwhile", "retry", "meanwhile", "retry"]


def test_an_eviction_that_fails_is_logged_and_not_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)

    def refuse(*_arguments: object, **_named: object) -> RetentionReport:
        raise StorageError("The disk is read-only.", remedy="Look at it.")

    monkeypatch.setattr(film.tested.vault, "enforce_retention", refuse)
    film.writer._evicting = True
    with capture_logs() as lines:
        assert run_with(film.writer, "news") == [0.0, None]
    assert [line["event"] for line in lines] == ["segments_not_evicted"]


def test_live_view_is_given_each_packet_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[EncodedPacket, StreamDescription]] = []
    film = Film(monkeypatch)
    writer = writer_of(film, show=lambda packet, description: shown.append((packet, description)))
    packets = [EncodedPacket(bytes(10), True, film.at(second)) for second in range(3)]
    run_with(writer, *packets)
    assert shown == [(packet, DESCRIPTION) for packet in packets]


def during(monkeypatch: pytest.MonkeyPatch, *, continuous: bool) -> list[tuple[bool, bool]]:
    """Whether the writer is (recording, busy) after each of nine packets. An event lasts from 3 s to 6 s."""
    film, seen = Film(monkeypatch), list[tuple[bool, bool]]()
    writer = writer_of(film, continuous=continuous, meanwhile=lambda: seen.append((writer.recording, writer.busy)))
    packets: list[object] = [EncodedPacket(bytes(100), True, film.at(second)) for second in range(9)]
    packets[6:6] = [ClipEnds(1, film.at(6))]
    packets[4:4] = [EventBegins(1, EventKind.MOTION, film.at(3)), ClipBegins(1, EventKind.MOTION, film.at(3))]
    film.tested.clock.advance(200)
    run_with(writer, *packets)
    return [each for each, item in zip(seen, packets, strict=True) if isinstance(item, EncodedPacket)]


def test_a_writer_is_busy_while_it_writes_the_clip_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    no, event, between = (False, False), (True, True), (True, False)
    assert during(monkeypatch, continuous=False) == [no] * 4 + [event] * 2 + [no] * 3
    assert during(monkeypatch, continuous=True) == [no] + [between] * 3 + [event] * 2 + [no] + [between] * 2


def test_a_new_mask_begins_a_segment_in_a_clip_and_between_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that is shared must not show what a newer mask hides."""
    for continuous in (False, True):
        film = Film(monkeypatch)
        writer_of(film, continuous=continuous)
        if not continuous:
            film.event(1, 0, 8)
        for second in range(10):
            film.queue.put(EncodedPacket(bytes(100), True, film.at(second), masked_anew=second == 3))
        assert film.run()[:2] == [(0, 3), (3, 8)]


def test_a_network_camera_that_comes_back_with_pictures_that_it_had_kept_is_written_from_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = Film(monkeypatch)
    writer = writer_of(film, continuous=True)
    film.tested.clock.advance(200)

    def packets(first: int, last: int) -> list[EncodedPacket]:
        """A keyframe every four seconds, so a GOP comes in parts."""
        return [EncodedPacket(bytes(100), second % 4 == 0, film.at(second)) for second in range(first, last)]

    run_with(writer, *packets(0, 12))
    before = {entry.event for entry in film.tested.vault.entries()}
    run_with(writer, *packets(4, 24))
    spans = sorted((entry.start_ms, entry.end_ms) for entry in film.tested.vault.entries())
    assert [(begin - spans[0][0]) // 1000 for begin, _end in spans] == [0, 4, 8, 12, 16, 20]
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans)), "nothing is stored twice"
    after = {entry.event for entry in film.tested.vault.entries()} - before
    assert len(before) == len(after) == 1, "another stream begins another piece of the list"


def test_continuous_recording_is_listed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_writer, "_CONTINUOUS_PIECE_NS", seconds(10))
    film = Film(monkeypatch)
    writer_of(film, continuous=True)
    film.packets(0, 31)
    film.run()
    events = [entry.event for entry in film.tested.vault.entries()]
    begins = [entry.start_us // 10**6 - film.start // 10**9 for entry in film.tested.vault.entries()]
    pieces = [begin for begin, (before, event) in zip(begins, pairwise(["", *events]), strict=True) if before != event]
    assert begins == [0, 5, 10, 15, 20, 25, 30]
    assert pieces == [0, 15, 25], "at exactly ten seconds a piece goes on, and a segment has one name"


def test_a_ring_is_recorded_and_a_press_in_an_event_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    film.event(1, 0, 14)
    film.packets(0, 7)
    film.queue.force(ButtonRing(film.at(6)))
    film.queue.force(EventTriggered(1, TriggerKind.PIR, film.at(6)))
    film.packets(7, 8)
    film.queue.force(EventTriggered(1, TriggerKind.BUTTON, film.at(7)))
    film.packets(8, 19)
    film.run()
    records = list(film.tested.vault._records())
    (ring,) = [record for record in records if isinstance(record, RingRecord)]
    assert ring.at.at_us == film.at(6) // 1000
    assert [record.label for record in records if isinstance(record, SegmentRecord)] == ["motion"] * 2 + ["button"]


def test_a_ring_that_the_disk_refuses_costs_no_footage(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)

    def refuse(_at: object) -> None:
        raise StorageError("The disk is full.", remedy="Make room.")

    monkeypatch.setattr(film.tested.vault, "record_ring", refuse)
    film.event(1, 0, 4)
    film.queue.force(ButtonRing(film.at(1)))
    film.packets(0, 9)
    with capture_logs() as lines:
        assert film.run() == [(0, 4)]
    assert "ring_not_recorded" in [line["event"] for line in lines]
    assert film.writer.fault == ""


def test_object_detection_is_told_of_each_event_and_asked_for_its_labels_but_not_between_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, float, float]] = []
    began: list[tuple[int, EventKind]] = []
    film = Film(monkeypatch)

    class Detection:
        def event_began(self, event: int, kind: EventKind) -> None:
            began.append((event, kind))

        def shown_between(self, event: int, from_ns: BootNs, until_ns: BootNs) -> None:
            asked.append((event, (from_ns - film.start) / 1e9, (until_ns - film.start) / 1e9))

    writer_of(film, continuous=True, detection=Detection())
    film.packets(0, 4)
    film.event(1, 4, 8)
    film.packets(4, 16)
    film.run()
    assert began == [(1, EventKind.MOTION)]
    assert asked == [(1, 4, 8)]


def test_all_pictures_of_a_segment_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    film.event(1, 0, 4)
    film.packets(0, 9)
    film.run()
    (entry,) = film.tested.vault.entries()
    media, _context = split_media(open_bytes(film.tested.ciphertext(entry.id), [OWNER]))
    assert media == box(b"mdat", bytes(100 - 8)) * 4


def test_the_still_is_made_of_the_whole_gop_in_which_its_moment_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    film, made = Film(monkeypatch), list[tuple[list[float], float]]()

    def still(gops: list[Gop], at_ns: int, **_named: object) -> bytes:
        made.append(([(gop.start_ns - film.start) / 1e9 for gop in gops], (at_ns - film.start) / 1e9))
        return JPEG

    monkeypatch.setattr("agent.recorder.clip_writer.poster", still)
    film.queue.force(EventBegins(1, EventKind.MOTION, film.at(5.5)))
    film.queue.force(ClipBegins(1, EventKind.MOTION, film.at(0)))
    for second in range(16):
        film.queue.put(EncodedPacket(bytes(100), second % 8 == 0, film.at(second)))
    film.queue.force(ClipEnds(1, film.at(14)))
    film.run()
    assert made == [([0, 2, 4, 6], 6.0)], "6 s lies behind the end of the part before, so in the next one"


def test_a_still_that_cannot_be_made_is_logged_once_and_costs_no_footage(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    film.event(1, 0, 9)
    film.packets(0, 14)
    with capture_logs() as lines:
        assert film.run() == [(0, 5), (5, 9)]
    assert [line["detail"] for line in lines if line["event"] == "no_poster"] == ["These packets are no pictures."]


def test_rare_keyframes_are_logged_once_for_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    for first in (0, 100):
        film.packets(first, first + 1)
        film.packets(first + 1, first + 80, keyframes=False)
    film.packets(200, 202)
    with capture_logs() as lines:
        film.run()
    details = [line["detail"] for line in lines if line["event"] == "keyframes_too_rare"]
    assert [detail.partition(".")[0] for detail in details] == ["The camera sent no keyframe for 61 s"] * 2
    assert film.writer.fault == "", "the last keyframes came in time"


def test_a_fault_of_the_camera_drops_the_segment_that_it_met_and_is_told_until_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = Film(monkeypatch)
    film.event(1, 0, 60)
    film.packets(0, 3)
    film.packets(1, 2)
    with capture_logs() as lines:
        film.run()
    assert film.writer.fault == "A camera's sensor times must increase from keyframe to keyframe."
    assert [line["error"] for line in lines if line["event"] == "clip_failed"] == ["InternalError"]
    assert film.writer.retry_buffer.in_memory_bytes == 0
    assert not film.writer.recording
    film.queue = BoundedQueue(1 << 30)
    film.event(2, 200, 204)
    film.packets(200, 209)
    film.run()
    assert film.writer.fault == ""


def test_the_end_of_the_stream_ends_the_clip_with_its_last_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film(monkeypatch)
    film.event(1, 0, 60)
    film.packets(0, 4)
    with capture_logs() as lines:
        film.run()
    (entry,) = film.tested.vault.entries()
    assert entry.end_ms - entry.start_ms == 3100, "the last picture lasts a tenth of a second"
    assert [line["segments"] for line in lines if line["event"] == "clip_completed"] == [1]
    began = [line for line in lines if line["event"] == "event_began"]
    assert [(line["id"], line["kind"]) for line in began] == [(entry.event, "motion")]


def test_what_retention_deleted_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    name = segment_id(bytes(16))
    film, _owner, _asked = evicting(monkeypatch, RetentionReport((name, name), 77, 0, held_but_evicted=(name,)))
    with capture_logs() as lines:
        assert film.writer._enforce_retention() is True
    assert lines == [
        {"event": "segments_evicted", "evicted": 2, "freed_bytes": 77, "log_level": "info"},
        {"event": "holds_overruled", "segments": 1, "log_level": "warning"},
    ]
    assert not film.writer._evicting
