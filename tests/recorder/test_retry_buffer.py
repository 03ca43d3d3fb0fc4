"""Segments that a disk refuses wait in memory, bounded, newest first to be kept, and are written when the disk is
back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from agent.clients.opening import open_bytes
from agent.core.media import EncodedPacket, Gop, SoundDescription, SoundPacket, StreamDescription
from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import BootNs, seconds
from agent.core.vault.manifest import read_chain
from agent.core.vault.records import GapReason, GapRecord, SoundGapReason
from agent.core.vault.segment import split_media, split_poster
from agent.errors import FormatError, InternalError, StorageError
from agent.media.capture_signature import SigningChain
from agent.recorder.capture_signing import CaptureSigner, SignedUnits
from agent.recorder.retry_buffer import RETRY_S, RetryBuffer
from agent.recorder.sound_recorder import RecordedSound
from tests.fake_disk import FakeDisk
from tests.vaults import JPEG, OWNER, TestVault, box, event_id, make_vault

DESCRIPTION = StreamDescription(64, 48, 10, 32, 24, live=True)
GOP_BYTES = 50_000


class FakeMedia:
    """Stands for the MP4 writer: fragments are the packets' bytes."""

    def __init__(self, _description: StreamDescription) -> None:
        self._written = 0

    def begin(self, gop: Gop, _units: object = None) -> bytes:
        return self.add(gop)

    def add(self, gop: Gop, _units: object = None) -> bytes:
        return box(b"mdat", gop.packets[0].data[8:])

    def finish(self) -> bytes:
        return b""


class Story:
    """A keeper on a disk that can be made to fail, and a clock for its pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most_bytes: int = 10 * GOP_BYTES) -> None:
        monkeypatch.setattr("agent.recorder.retry_buffer.FragmentedMp4Writer", FakeMedia)
        self.disk = FakeDisk()
        self.tested: TestVault = make_vault(self.disk)
        self.now_s = 0.0
        self.relieved = 0
        self.keeper = RetryBuffer(
            self.tested.vault, self.tested.clock, most_bytes, self.make_room, monotonic=lambda: self.now_s
        )

    def make_room(self, _need_bytes: int) -> bool:
        self.relieved += 1
        return False

    def gop(self) -> Gop:
        """The next second."""
        start = self.tested.clock.boot_ns
        self.tested.clock.advance(1)
        self.now_s += 1
        data = np.full(GOP_BYTES, start // seconds(1) % 251, np.uint8).tobytes()
        return Gop((EncodedPacket(data, True, BootNs(start)),), BootNs(self.tested.clock.boot_ns))

    def segment(self, seconds_long: int = 3) -> None:
        self.keeper.begin(event_id(1), "motion", DESCRIPTION, self.gop())
        for _ in range(seconds_long - 1):
            self.keeper.grow(self.gop())
        self.keeper.end(BootNs(self.tested.clock.boot_ns))

    def fail(self, code: int) -> None:
        def before(number: int, name: str) -> None:
            raise OSError(code, os.strerror(code))

        self.disk.before = before

    def stored_s(self) -> list[tuple[float, float]]:
        """Whole segments, in seconds of the boot clock, each opened."""
        found = []
        for entry in self.tested.vault.entries():
            if entry.whole:
                media, context = split_media(open_bytes(self.tested.ciphertext(entry.id), [OWNER]))
                assert len(media) == (context.span.end_us - context.span.start_us) // 10**6 * GOP_BYTES
                found.append((context.span.start_us / 1e6, context.span.end_us / 1e6))
        return sorted(found)

    def gaps(self) -> list[tuple[GapReason, float]]:
        records = [step.signed.record for step in read_chain(self.tested.log.lines()) if step.signed]
        return [(one.reason, one.span.duration_us / 1e6) for one in records if isinstance(one, GapRecord)]


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(monkeypatch)


def test_whoever_asks_how_much_is_in_memory_is_answered_though_a_picture_comes_meanwhile(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the writer's thread does it to the one that asks for the status."""
    size_of = Gop.size_bytes.fget
    assert size_of is not None
    coming = [story.gop()]

    def size_while_one_comes(gop: Gop) -> int:
        if coming:
            story.keeper.grow(coming.pop())
        return size_of(gop)

    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    monkeypatch.setattr(Gop, "size_bytes", property(size_while_one_comes))
    assert story.keeper.in_memory_bytes == GOP_BYTES
    assert story.keeper.in_memory_bytes == 2 * GOP_BYTES


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_what_fell_into_a_fault_is_written_whole_when_it_is_over(story: Story, code: int) -> None:
    story.segment()
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    story.fail(code)
    story.keeper.grow(story.gop())
    assert (story.keeper.writing, story.keeper.waiting) == (False, True)
    assert os.strerror(code) in story.keeper.fault
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    story.segment()
    assert story.keeper.acknowledged == 1
    assert story.relieved > 0
    story.disk.before = None
    story.now_s += RETRY_S
    story.keeper.retry()
    assert story.keeper.acknowledged == 3
    assert (story.keeper.fault, story.keeper.waiting, story.keeper.in_memory_bytes) == ("", False, 0)
    assert story.stored_s() == [(100, 103), (103, 105), (105, 108)]
    assert story.gaps() == []


def test_recording_resumes_within_ten_seconds_of_the_fault_s_end(story: Story) -> None:
    story.fail(errno.EIO)
    story.segment(30)
    story.disk.before = None
    story.keeper.begin(event_id(2), "motion", DESCRIPTION, story.gop())
    for _ in range(10):
        if story.keeper.writing:
            break
        story.keeper.grow(story.gop())
    assert story.keeper.writing
    assert story.now_s <= 40


def test_memory_is_bounded_the_newest_is_kept_and_the_rest_is_said_to_be_lost(story: Story) -> None:
    story.fail(errno.EROFS)
    most = 0
    for _ in range(8):
        story.segment(4)
        most = max(most, story.keeper.in_memory_bytes)
    assert most <= 10 * GOP_BYTES
    assert story.keeper.in_memory_s == 10
    story.disk.before = None
    story.now_s += RETRY_S
    story.keeper.retry()
    assert story.stored_s() == [(122, 124), (124, 128), (128, 132)]
    assert story.gaps() == [(GapReason.STORAGE, 22.0)]


def test_an_open_segment_gives_its_own_oldest_pictures_when_it_is_alone(story: Story) -> None:
    story.fail(errno.EIO)
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    for _ in range(20):
        story.keeper.grow(story.gop())
    assert story.keeper.in_memory_bytes == 10 * GOP_BYTES
    story.disk.before = None
    story.now_s += RETRY_S
    story.keeper.retry()
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    assert story.stored_s() == [(111, 121)]


def test_the_disk_is_asked_again_no_more_often_than_every_two_seconds(story: Story) -> None:
    story.fail(errno.EIO)
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    calls = len(story.disk.calls)
    for _ in range(100):
        story.keeper.retry()
    assert len(story.disk.calls) == calls


def test_a_disk_that_does_not_answer_is_seen_from_outside(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def slow(number: int, name: str) -> None:
        story.now_s += 3
        seen.append(story.keeper.stalled_s)

    story.disk.before = slow
    story.segment(1)
    assert seen[:3] == [3, 6, 9]
    assert story.keeper.stalled_s == 0
    assert story.keeper.acknowledged == 1


def test_a_slow_card_is_synced_no_more_than_it_can_bear(story: Story) -> None:
    def slow(number: int, name: str) -> None:
        if name.startswith("sync"):
            story.tested.clock.advance(3)

    story.disk.before = slow
    writer = story.tested.vault.begin(event_id(1), story.tested.clock.now())
    story.disk.calls.clear()
    began = story.tested.clock.boot_ns
    for _ in range(60):
        story.tested.clock.advance(0.5)
        writer.write(bytes(70_000))
    spent = sum(3 for name, _path in story.disk.calls if name.startswith("sync"))
    assert 0 < spent <= (story.tested.clock.boot_ns - began) / seconds(1) * 0.6


def test_our_own_mistake_is_not_tried_again_for_ever(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_arguments: object, **_named: object) -> None:
        raise InternalError("A bug.")

    begin: Callable[..., object] = story.tested.vault.begin
    monkeypatch.setattr(story.tested.vault, "begin", wrong)
    with pytest.raises(InternalError):
        story.segment()
    monkeypatch.setattr(story.tested.vault, "begin", begin)
    story.segment()
    assert story.keeper.acknowledged == 1


def test_a_full_disk_that_made_room_is_tried_again_at_once(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    needs: list[int] = []

    def make_room(need_bytes: int) -> bool:
        needs.append(need_bytes)
        story.disk.before = None
        return True

    monkeypatch.setattr(story.keeper, "_make_room", make_room)
    story.fail(errno.ENOSPC)
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    assert needs == [GOP_BYTES], "room for the footage that waits, and no more"
    assert story.keeper.waiting
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    assert (story.keeper.acknowledged, story.keeper.waiting) == (1, False), "without a pause"


def test_room_that_cannot_be_made_is_no_other_fault(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_need_bytes: int) -> bool:
        raise StorageError("The disk is read-only.", remedy="Look at it.")

    monkeypatch.setattr(story.keeper, "_make_room", refuse)
    story.fail(errno.ENOSPC)
    story.segment()
    assert os.strerror(errno.ENOSPC) in story.keeper.fault
    story.disk.before = None
    story.now_s += RETRY_S
    story.keeper.retry()
    assert story.keeper.acknowledged == 1


def test_a_fault_is_logged_once_until_it_is_over(story: Story) -> None:
    with capture_logs() as lines:
        story.fail(errno.EIO)
        story.segment(8)
        story.disk.before = None
        story.now_s += RETRY_S
        story.keeper.retry()
        story.fail(errno.EIO)
        story.segment(1)
    assert [line["event"] for line in lines if line["event"] == "disk_refused"] == ["disk_refused"] * 2


def after_a_restart(story: Story, monkeypatch: pytest.MonkeyPatch, covered_until_s: float | None) -> None:
    """A process that records continuously, on a disk that refused its first writes."""
    until = None if covered_until_s is None else BootNs(seconds(covered_until_s))
    monkeypatch.setattr(story.tested.vault, "covered_until_ns", lambda: until)
    keeper = RetryBuffer(
        story.tested.vault,
        story.tested.clock,
        10 * GOP_BYTES,
        story.make_room,
        monotonic=lambda: story.now_s,
        continuous=True,
    )
    monkeypatch.setattr(story, "keeper", keeper)
    story.fail(errno.EIO)
    story.segment()
    story.disk.before = None
    story.now_s += RETRY_S
    story.keeper.retry()


def test_after_a_restart_the_time_that_the_process_before_could_not_write_is_a_gap(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_a_restart(story, monkeypatch, 93.0)
    assert story.gaps() == [(GapReason.STORAGE, 7.0)]
    story.fail(errno.EIO)
    story.segment()
    story.disk.before = None
    story.now_s += RETRY_S
    story.keeper.retry()
    assert story.gaps() == [(GapReason.STORAGE, 7.0)], "once"


@pytest.mark.parametrize("covered_until_s", [None, 100.0, 120.0])
def test_after_a_restart_without_a_hole_there_is_no_gap(
    story: Story, monkeypatch: pytest.MonkeyPatch, covered_until_s: float | None
) -> None:
    after_a_restart(story, monkeypatch, covered_until_s)
    assert story.keeper.acknowledged == 1
    assert story.gaps() == []


def test_a_recorder_of_events_alone_takes_no_old_record_for_a_gap(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story.tested.vault, "covered_until_ns", lambda: BootNs(seconds(50)))
    story.fail(errno.EIO)
    story.segment()
    story.disk.before = None
    story.now_s += RETRY_S
    story.keeper.retry()
    assert story.gaps() == []


def test_a_camera_that_changes_its_format_begins_another_segment_of_the_same_event(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = FakeMedia.add

    def refuse_the_third(media: FakeMedia, gop: Gop, _units: object = None) -> bytes:
        if gop.start_ns == seconds(102) and media._written:
            raise FormatError("The picture format changed.")
        media._written += 1
        return add(media, gop)

    asked: list[tuple[int, int]] = []

    def hear(from_ns: int, until_ns: int) -> RecordedSound:
        asked.append((from_ns // 10**9, until_ns // 10**9))
        return RecordedSound(None, (), SoundGapReason.MICROPHONE)

    monkeypatch.setattr(story.keeper, "_fetch_sound", hear)
    monkeypatch.setattr(FakeMedia, "add", refuse_the_third)
    story.segment(5)
    assert story.stored_s() == [(100, 102), (102, 105)]
    assert asked == [(100, 102), (102, 105)], "each has its own sound"
    assert story.keeper.acknowledged == 2
    assert {entry.event for entry in story.tested.vault.entries()} == {event_id(1)}


def test_a_still_goes_with_the_segment_that_is_open_and_sound_with_each(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def hear(from_ns: int, until_ns: int) -> RecordedSound:
        asked.append((from_ns // 10**9, until_ns // 10**9))
        return RecordedSound(None, (), SoundGapReason.MICROPHONE)

    monkeypatch.setattr(story.keeper, "_fetch_sound", hear)
    story.keeper.poster(JPEG)  # no segment is open: nothing happens
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    story.keeper.poster(JPEG)
    assert story.keeper.in_memory_bytes == GOP_BYTES + len(JPEG)
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    story.segment(2)
    assert asked == [(100, 101), (101, 103)]
    assert [entry.poster is not None for entry in story.tested.vault.entries()] == [True, False]


def test_the_status_knows_how_long_the_footage_in_memory_is(story: Story) -> None:
    assert (story.keeper.in_memory_s, story.keeper.in_memory_bytes, story.keeper.recorded_s) == (0.0, 0, 0.0)
    assert (story.keeper.writing, story.keeper.waiting) == (False, False)
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    assert (story.keeper.in_memory_s, story.keeper.writing, story.keeper.waiting) == (1.0, True, False)
    story.keeper.grow(story.gop())
    assert story.keeper.in_memory_s == 2.0
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    assert (story.keeper.in_memory_s, story.keeper.recorded_s, story.keeper.acknowledged) == (0.0, 2.0, 1)
    story.keeper.grow(story.gop())  # nothing is open: it is dropped
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    assert story.keeper.in_memory_bytes == 0


def test_what_was_open_in_an_error_is_dropped_and_what_waits_is_not(story: Story) -> None:
    story.fail(errno.EIO)
    story.segment()
    story.keeper.break_off()
    assert story.keeper.in_memory_bytes == 3 * GOP_BYTES
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    story.keeper.break_off()
    assert story.keeper.in_memory_bytes == 3 * GOP_BYTES


def part_of_a_gop(story: Story, *, begins: bool, ends: bool) -> Gop:
    return replace(story.gop(), begins=begins, ends=ends)


def resume(story: Story) -> None:
    """The disk works again, and the pause is over."""
    story.disk.before = None
    story.now_s += RETRY_S
    story.keeper.retry()


def test_an_attempt_that_failed_is_left_to_the_vault_which_keeps_it_as_a_cut_segment(story: Story) -> None:
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    story.fail(errno.EIO)
    story.keeper.grow(story.gop())
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    resume(story)
    assert [entry.whole for entry in story.tested.vault.entries()] == [False, True]
    assert story.tested.vault._being_written == set()
    assert story.stored_s() == [(100, 102)]


def test_the_pause_after_a_fault_ends_after_exactly_two_seconds(story: Story) -> None:
    story.fail(errno.EIO)
    story.segment(1)
    story.disk.before = None
    failed_s = story.now_s
    story.now_s = failed_s + RETRY_S - 0.01
    story.keeper.retry()
    assert (story.keeper.acknowledged, story.keeper.stalled_s) == (0, 0)
    story.now_s = failed_s + RETRY_S
    story.keeper.retry()
    assert story.keeper.acknowledged == 1


def test_a_gap_that_the_disk_refuses_is_recorded_at_the_next_attempt(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The footage is stored then, and only the gap waits."""
    needs: list[int] = []

    def make_room(need_bytes: int) -> bool:
        needs.append(need_bytes)
        return False

    monkeypatch.setattr(story.keeper, "_make_room", make_room)
    story.fail(errno.EIO)
    for _ in range(3):
        story.segment(4)
    record_gap = story.tested.vault.record_gap

    def refused(*_arguments: object) -> None:
        raise StorageError("The disk is full.", remedy="Make room.")

    monkeypatch.setattr(story.tested.vault, "record_gap", refused)
    needs.clear()
    resume(story)
    assert (story.keeper.acknowledged, story.keeper.in_memory_bytes) == (3, 0)
    assert (story.keeper.writing, story.keeper.waiting) == (False, True)
    assert needs == [0], "no segment needs room"
    monkeypatch.setattr(story.tested.vault, "record_gap", record_gap)
    resume(story)
    assert (story.keeper.writing, story.keeper.waiting, story.keeper.fault) == (False, False, "")
    assert story.gaps() == [(GapReason.STORAGE, 2.0)]
    story.segment(1)
    assert story.gaps() == [(GapReason.STORAGE, 2.0)], "once"


def test_memory_is_full_only_above_its_bound(story: Story) -> None:
    story.fail(errno.EIO)
    story.segment(10)
    assert story.keeper.in_memory_bytes == 10 * GOP_BYTES
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    assert story.keeper.in_memory_bytes == 10 * GOP_BYTES
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    resume(story)
    assert story.stored_s() == [(101, 110), (110, 111)]
    assert story.gaps() == [(GapReason.STORAGE, 1.0)]


def test_a_gop_in_parts_is_dropped_whole_because_its_rest_could_not_be_decoded(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.fail(errno.EIO)
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, part_of_a_gop(story, begins=True, ends=False))
    for _ in range(3):
        story.keeper.grow(part_of_a_gop(story, begins=False, ends=False))
    for _ in range(7):
        story.keeper.grow(story.gop())
    assert story.keeper.in_memory_bytes == 7 * GOP_BYTES, "four parts are one GOP"
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    resume(story)
    assert story.stored_s() == [(104, 111)]
    assert story.gaps() == [(GapReason.STORAGE, 4.0)]


def test_the_only_gop_is_kept_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(monkeypatch, most_bytes=GOP_BYTES // 2)
    story.fail(errno.EIO)
    story.segment(1)
    assert story.keeper.in_memory_bytes == GOP_BYTES
    story.segment(2)
    assert story.keeper.in_memory_bytes == GOP_BYTES, "the newest second"
    resume(story)
    assert story.stored_s() == [(102, 103)]
    assert story.gaps() == [(GapReason.STORAGE, 2.0)]


def test_a_still_is_dropped_with_the_oldest_pictures_of_its_segment(story: Story) -> None:
    story.fail(errno.EIO)
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    story.keeper.poster(JPEG)
    for _ in range(10):
        story.keeper.grow(story.gop())
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    assert story.keeper.in_memory_bytes == 10 * GOP_BYTES
    resume(story)
    assert [entry.poster for entry in story.tested.vault.entries()] == [None]


SOUND = SoundDescription(8000, bytes.fromhex("1588"), live=True)


def test_sound_is_fetched_once_as_the_segment_ends_and_waits_in_memory_with_it(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    tracks: list[object] = []

    def hear(from_ns: int, until_ns: int) -> RecordedSound:
        asked.append((from_ns // 10**9, until_ns // 10**9))
        return RecordedSound(SOUND, (SoundPacket(bytes(700), BootNs(from_ns)),), None)

    def sound_mp4(*arguments: object) -> bytes:
        tracks.append(arguments)
        return box(b"mdat", b"heard")

    monkeypatch.setattr(story.keeper, "_fetch_sound", hear)
    monkeypatch.setattr("agent.recorder.retry_buffer.sound_mp4", sound_mp4)
    story.fail(errno.EIO)
    story.segment(2)
    assert asked == [(100, 102)], "a fault may outlast the memory of the sound"
    assert story.keeper.in_memory_bytes == 2 * GOP_BYTES + 700
    resume(story)
    assert asked == [(100, 102)]
    packets = (SoundPacket(bytes(700), BootNs(seconds(100))),)
    assert tracks == [(SOUND, packets, seconds(100), seconds(102))]
    (entry,) = (each for each in story.tested.vault.entries() if each.whole)
    assert entry.sound is not None


def test_the_labels_of_a_segment_are_asked_for_its_own_time_when_it_is_sealed(story: Story) -> None:
    asked: list[tuple[int, int]] = []

    def seen(from_ns: BootNs, until_ns: BootNs) -> tuple[ObjectLabel, ...]:
        asked.append((from_ns // 10**9, until_ns // 10**9))
        return (ObjectLabel.PERSON,)

    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop(), seen)
    story.keeper.grow(story.gop())
    assert asked == []
    story.keeper.poster(JPEG)
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    assert asked == [(100, 102)]
    (entry,) = story.tested.vault.entries()
    poster = story.tested.vault.read_poster(entry.id)
    assert poster is not None
    _media, segment = split_media(open_bytes(story.tested.ciphertext(entry.id), [OWNER]))
    image, still = split_poster(open_bytes(poster, [OWNER]))
    assert (segment.seen, still.seen, image) == ((ObjectLabel.PERSON,), (ObjectLabel.PERSON,), JPEG)
    assert segment.label == "motion"


def test_a_change_of_format_in_a_segment_that_has_ended_keeps_its_sound_labels_and_end(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was away, so the format is seen after the end."""
    add, hears = FakeMedia.add, RecordedSound(None, (), SoundGapReason.MICROPHONE)

    def refuse_the_third(media: FakeMedia, gop: Gop, _units: object = None) -> bytes:
        if gop.start_ns == seconds(102) and media._written:
            raise FormatError("The picture format changed.")
        media._written += 1
        return add(media, gop)

    monkeypatch.setattr(FakeMedia, "add", refuse_the_third)
    asked: list[tuple[int, ...]] = []

    def hear(*span: int) -> RecordedSound:
        asked.append(span)
        return hears

    monkeypatch.setattr(story.keeper, "_fetch_sound", hear)
    story.fail(errno.EIO)
    story.segment(5)
    story.segment(1)
    resume(story)
    assert story.stored_s() == [(100, 102), (102, 105), (105, 106)]
    begins_us = [entry.start_us for entry in story.tested.vault.entries()]
    assert begins_us == sorted(begins_us), "they were stored in their order"
    assert len(asked) == 2, "once for each that the camera ended"
    records = [story.tested.vault.record(entry.id).record for entry in story.tested.vault.entries() if entry.whole]
    assert [getattr(record, "silence", None) for record in records] == [SoundGapReason.MICROPHONE] * 3


def test_an_old_newest_record_is_no_gap_once_a_segment_was_acknowledged(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story.tested.vault, "covered_until_ns", lambda: BootNs(seconds(50)))
    story.keeper._restarted = True
    story.segment()
    story.fail(errno.EIO)
    story.segment()
    resume(story)
    assert story.gaps() == []


def test_the_vault_is_asked_once_what_it_covers_however_long_the_fault_lasts(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(story.tested.vault, "covered_until_ns", lambda: asked.append(1))
    story.keeper._restarted = True
    story.fail(errno.EIO)
    story.segment(8)
    assert asked == [1]


def test_a_vault_that_cannot_tell_what_it_covers_costs_no_footage(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable() -> None:
        raise StorageError("The disk is away.", remedy="Look at it.")

    monkeypatch.setattr(story.tested.vault, "covered_until_ns", unreadable)
    story.keeper._restarted = True
    story.fail(errno.EIO)
    story.segment()
    resume(story)
    assert (story.keeper.acknowledged, story.gaps()) == (1, [])


def test_our_own_mistake_drops_the_segment_that_it_met_and_ends_its_attempt(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())

    def wrong(_media: FakeMedia) -> bytes:
        raise InternalError("A bug.")

    monkeypatch.setattr(FakeMedia, "finish", wrong)
    with pytest.raises(InternalError):
        story.keeper.end(BootNs(story.tested.clock.boot_ns))
    assert (story.keeper.in_memory_bytes, story.keeper.stalled_s, story.keeper.fault) == (0, 0, "")
    assert story.tested.vault._being_written == set(), "the next start keeps what was written"


def test_a_segment_that_is_written_again_is_signed_with_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the film of the clip stays one chain: an attempt that failed leaves no hole in it."""
    story = Story(monkeypatch)
    chains: list[tuple[int, bool]] = []

    class Signer(CaptureSigner):
        def signed(self, gop: Gop, codec: object, chain: SigningChain, moment: object, *, first: bool) -> SignedUnits:
            chains.append((chain.counter, first))
            return SignedUnits([[b"x"]], SigningChain(chain.counter + 1))

    story.keeper._signer = signer = Signer(None, "")  # type: ignore[arg-type]
    story.segment(2)
    assert (chains, signer.chain.counter) == ([(1, True), (2, False)], 3)
    chains.clear()
    story.keeper.begin(event_id(1), "motion", DESCRIPTION, story.gop())
    story.fail(errno.EIO)
    story.keeper.grow(story.gop())
    story.keeper.end(BootNs(story.tested.clock.boot_ns))
    assert chains == [(3, True), (4, False)]
    assert signer.chain.counter == 3
    resume(story)
    assert chains == [(3, True), (4, False)] * 2
    assert signer.chain.counter == 5
