"""Segments that a disk refuses wait in memory, bounded, newest first to be kept, and are written when the disk is
back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import numpy as np
import pytest

from agent.clients.opening import open_bytes
from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.timebase import BootNs, seconds
from agent.core.vault.manifest import read_chain
from agent.core.vault.records import GapReason, GapRecord
from agent.core.vault.segment import split_media
from agent.errors import InternalError
from agent.recorder.retry_buffer import RETRY_S, RetryBuffer
from tests.fake_disk import FakeDisk
from tests.vaults import OWNER, TestVault, box, event_id, make_vault

DESCRIPTION = StreamDescription(64, 48, 10, 32, 24, live=True)
GOP_BYTES = 50_000


class FakeMedia:
    """Stands for the MP4 writer: fragments are the packets' bytes."""

    def __init__(self, _description: StreamDescription) -> None:
        self._written = 0

    def begin(self, gop: Gop) -> bytes:
        return self.add(gop)

    def add(self, gop: Gop) -> bytes:
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
            self.tested.vault, self.tested.clock, most_bytes, self.relieve, monotonic=lambda: self.now_s
        )

    def relieve(self, _need_bytes: int) -> bool:
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
    assert max(seen) >= 6
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
