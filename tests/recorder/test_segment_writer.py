"""One segment while it is written: when it is synced, and which files an error leaves open."""

from __future__ import annotations

import errno
import os
from itertools import pairwise

import pytest

from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import BootNs, seconds
from agent.core.vault.records import SegmentRecord, SoundGapReason
from agent.errors import InternalError, StorageError
from agent.recorder.segment_writer import SegmentWriter
from tests.fake_disk import FakeDisk
from tests.vaults import JPEG, TestVault, box, event_id, make_vault

FILM = box(b"moof", bytes(3000))


@pytest.fixture
def disk() -> FakeDisk:
    return FakeDisk()


@pytest.fixture
def tested(disk: FakeDisk) -> TestVault:
    return make_vault(disk)


def begun(tested: TestVault) -> SegmentWriter:
    return tested.vault.begin(event_id(1), tested.clock.now())


def failing(disk: FakeDisk, wanted: str, number: int) -> None:
    """The call of this name fails, the `number`-th time."""
    seen = []

    def before(_number: int, name: str) -> None:
        if name == wanted:
            seen.append(name)
            if len(seen) == number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.before = before


def open_parts(disk: FakeDisk) -> list[str]:
    return sorted(path.name for path in disk.open_files if not path.name.startswith("manifest."))


@pytest.mark.parametrize(("call", "number"), [("write", 2), ("sync", 2), ("create", 1), ("rename", 1)])
def test_an_error_at_the_end_of_a_segment_leaves_no_file_open(
    tested: TestVault, disk: FakeDisk, call: str, number: int
) -> None:
    writer = begun(tested)
    writer.write(FILM)
    writer.poster(JPEG)
    tested.clock.advance(1)
    failing(disk, call, number)
    with pytest.raises(StorageError):
        writer.finish(tested.clock.now())
    assert open_parts(disk) == []
    disk.before = None
    with pytest.raises(InternalError, match="after its end"):
        writer.write(FILM)
    assert list(tested.vault.entries()) == []
    tested.vault.start()
    assert len(list(tested.vault.entries())) == 1, "the next start finds what was written"


def test_a_segment_that_cannot_be_created_leaves_no_file_open(tested: TestVault, disk: FakeDisk) -> None:
    failing(disk, "write", 1)
    with pytest.raises(StorageError):
        begun(tested)
    assert open_parts(disk) == []


def syncs(disk: FakeDisk) -> int:
    return sum(1 for call, name in disk.calls if call == "sync_data" and name.endswith(".part"))


def test_a_segment_is_synced_before_two_seconds_have_passed(tested: TestVault, disk: FakeDisk) -> None:
    writer = begun(tested)
    times = []
    for tenth in range(60):
        tested.clock.advance(0.1)
        before = syncs(disk)
        writer.write(box(b"moof", bytes(10)))
        if syncs(disk) > before:
            times.append(tenth)
    assert all(later - earlier <= 20 for earlier, later in zip([-1, *times], times, strict=False))
    assert len(times) == 3, "and no more often"


def test_a_slow_card_has_two_thirds_of_its_time_for_writing(tested: TestVault, disk: FakeDisk) -> None:
    def slow(_number: int, name: str) -> None:
        if name == "sync_data":
            tested.clock.advance(4)

    writer = begun(tested)
    disk.before = slow
    times = []
    for _ in range(100):
        tested.clock.advance(0.5)
        before = syncs(disk)
        writer.write(box(b"moof", bytes(10)))
        if syncs(disk) > before:
            times.append(tested.clock.boot_ns / 1e9)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert set(pauses) == {8.0 + 4.0}, "twice as long as the sync took, and the sync"


def test_a_record_says_what_was_heard_and_seen(tested: TestVault) -> None:
    writer = begun(tested)
    writer.write(FILM)
    writer.poster(JPEG, (ObjectLabel.PERSON,))
    writer.sound(box(b"moof", b"track"), SoundGapReason.MICROPHONE)
    tested.clock.advance(3)
    found = writer.finish(tested.clock.now(), (ObjectLabel.PERSON,))
    assert isinstance(found, SegmentRecord)
    assert (found.poster_file is not None, found.sound_file is not None) == (True, True)
    assert found.span.duration_us == 3_000_000
    assert found.span.start_us * 1000 == seconds(100)
    (entry,) = tested.vault.entries()
    assert (entry.poster is not None, entry.sound is not None) == (True, True)
    assert entry.start_us * 1000 == BootNs(seconds(100))


def test_nothing_is_added_to_a_segment_that_has_ended(tested: TestVault) -> None:
    writer = begun(tested)
    writer.write(FILM)
    tested.clock.advance(1)
    writer.finish(tested.clock.now())
    for add in (
        lambda: writer.write(FILM),
        lambda: writer.poster(JPEG),
        lambda: writer.sound(None),
        lambda: writer.finish(tested.clock.now()),
    ):
        with pytest.raises(InternalError, match="after its end"):
            add()
    writer.abandon()
    assert next(tested.vault.entries()).whole
