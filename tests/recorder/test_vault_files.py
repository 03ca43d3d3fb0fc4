"""Segments and the manifest as files. A call that has returned survives a power cut, and an error names its place."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from unittest import mock

import pytest

from agent.core.vault.fields import FileKind, VaultFile, segment_id
from agent.core.vault.manifest import chapter_start
from agent.errors import StorageError
from agent.vault.segment_files import DiskManifestLog, DiskSegmentStore
from tests.fake_disk import FakeDisk, Survival

ROOT = Path("/state/vault")
SEGMENT, OTHER = (segment_id(bytes([number]) * 16) for number in (1, 200))
PART, FILE = VaultFile(SEGMENT, FileKind.PART), VaultFile(SEGMENT, FileKind.SEGMENT)


@pytest.fixture
def disk() -> FakeDisk:
    return FakeDisk()


@pytest.fixture
def store(disk: FakeDisk) -> DiskSegmentStore:
    made = DiskSegmentStore(disk, ROOT)
    made.prepare()
    return made


@pytest.fixture
def log(disk: FakeDisk, store: DiskSegmentStore) -> DiskManifestLog:
    made = DiskManifestLog(disk, ROOT)
    made.recover()
    return made


def after_cut(disk: FakeDisk) -> DiskSegmentStore:
    """The store as the next start finds it: the disk kept only durable names and bytes."""
    return DiskSegmentStore(disk.after_cut(Survival.NOTHING, random.Random(1)), ROOT)


def log_after_cut(disk: FakeDisk) -> DiskManifestLog:
    return DiskManifestLog(disk.after_cut(Survival.NOTHING, random.Random(1)), ROOT)


def kept(store: DiskSegmentStore, file: VaultFile, data: bytes = b"sealed") -> None:
    """A whole file under its name."""
    part = VaultFile(file.id, FileKind.PART)
    made = store.create(part)
    made.append(data)
    made.sync()
    made.finish()
    store.rename([(part, file)])


def failing(disk: FakeDisk, wanted: str, code: int) -> None:
    def before(_number: int, name: str) -> None:
        if name == wanted:
            raise OSError(code, os.strerror(code))

    disk.before = before


# -- segments ----------------------------------------------------------------------------------------------------------


def test_the_vaults_directories_are_made_and_their_names_are_durable(disk: FakeDisk, store: DiskSegmentStore) -> None:
    made = [name for call, name in disk.calls if call == "make_directory"]
    assert sorted(made) == sorted([*"abcdefghijklmnopqrstuvwxyz234567", "aside"])
    assert [name for call, name in disk.calls if call == "sync_directory"] == ["segments", "vault", "state"]
    assert store.names("a") == []


def test_what_was_synced_of_a_segment_survives_a_cut_and_what_came_later_need_not(
    disk: FakeDisk, store: DiskSegmentStore
) -> None:
    file = store.create(PART)
    file.append(b"first")
    assert after_cut(disk).size(PART) is None
    file.sync()
    file.append(b" second")
    assert after_cut(disk).read(PART, 0, 100) == b"first"
    file.sync()
    assert after_cut(disk).read(PART, 0, 100) == b"first second"
    names = [name for call, name in disk.calls if call == "sync_directory" and name == PART.shard]
    assert len(names) == 1, "the name is made durable once"


def test_a_finished_segment_is_whole_and_closed(disk: FakeDisk, store: DiskSegmentStore) -> None:
    file = store.create(PART)
    file.sync()
    file.append(b"whole")
    assert disk.open_files
    file.finish()
    assert not disk.open_files
    assert after_cut(disk).read(PART, 0, 100) == b"whole"


def test_an_abandoned_segment_is_closed(disk: FakeDisk, store: DiskSegmentStore) -> None:
    file = store.create(PART)
    file.abandon()
    assert not disk.open_files


def test_files_that_are_renamed_have_their_names_after_a_cut(disk: FakeDisk, store: DiskSegmentStore) -> None:
    poster, poster_part = VaultFile(SEGMENT, FileKind.POSTER), VaultFile(SEGMENT, FileKind.POSTER_PART)
    for part in (PART, poster_part):
        made = store.create(part)
        made.append(part.name.encode())
        made.sync()
        made.finish()
    store.rename([(poster_part, poster), (PART, FILE)])
    again = after_cut(disk)
    assert again.names(SEGMENT[0]) == sorted([FILE.name, poster.name])
    assert again.read(FILE, 0, 100) == PART.name.encode()


def test_a_file_that_a_killed_process_wrote_is_made_durable_as_it_is(disk: FakeDisk, store: DiskSegmentStore) -> None:
    store.create(PART).append(b"not synced")
    disk.open_files.clear()
    assert after_cut(disk).size(PART) is None
    store.confirm(PART)
    assert after_cut(disk).read(PART, 0, 100) == b"not synced"
    assert not disk.open_files
    failing(disk, "sync", errno.EIO)
    with pytest.raises(StorageError):
        store.confirm(PART)
    assert not disk.open_files


def test_what_is_removed_stays_away_once_removals_are_settled(disk: FakeDisk, store: DiskSegmentStore) -> None:
    files = [VaultFile(name, FileKind.SEGMENT) for name in (SEGMENT, OTHER)]
    for file in files:
        kept(store, file)
    store.remove([*files, VaultFile(SEGMENT, FileKind.POSTER)])  # a file that is missing is no error
    assert [store.size(file) for file in files] == [None, None]
    assert [after_cut(disk).size(file) for file in files] == [6, 6]
    store.settle_removals()
    assert [after_cut(disk).size(file) for file in files] == [None, None]


def test_foreign_files_are_moved_aside_under_names_that_are_free(disk: FakeDisk, store: DiskSegmentStore) -> None:
    shard = "a"
    for number in range(4):
        file = disk.create(ROOT / "segments" / shard / "photo.jpg")
        file.write(bytes(number))
        file.sync()
        file.close()
        disk.sync_directory(ROOT / "segments" / shard)
        store.quarantine(shard, "photo.jpg")
        assert disk.calls[-2:] == [("sync_directory", "aside"), ("sync_directory", shard)], "both names are durable"
    found = disk.after_cut(Survival.NOTHING, random.Random(1))
    assert sorted(found.names(ROOT / "aside")) == ["photo.jpg", "photo.jpg.1", "photo.jpg.2", "photo.jpg.3"]
    assert found.names(ROOT / "segments" / shard) == []
    assert [found.size(ROOT / "aside" / name) for name in ("photo.jpg", "photo.jpg.1", "photo.jpg.3")] == [0, 1, 3]
    assert store.quarantined() == (4, 6)


def test_a_segment_is_read_in_pieces_and_its_folder_listed_in_order(store: DiskSegmentStore) -> None:
    kept(store, FILE, b"0123456789")
    other = VaultFile(SEGMENT[0] + "a" * 25, FileKind.SEGMENT)
    kept(store, other)
    assert store.read(FILE, 3, 4) == b"3456"
    assert b"".join(store.chunks(FILE)) == b"0123456789"
    assert store.size(FILE) == 10
    assert store.names(SEGMENT[0]) == sorted([FILE.name, other.name])
    assert store.free_bytes() > 0


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "Free space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "failing"),
        (errno.EACCES, "user that Doorward runs as"),
        (errno.EPERM, "user that Doorward runs as"),
        (errno.ENXIO, "Check the disk"),
    ],
)
@pytest.mark.parametrize("call", ["create", "write", "sync_data", "sync", "rename", "unlink", "sync_directory"])
def test_an_error_of_the_disk_names_the_place_and_the_remedy(
    disk: FakeDisk, store: DiskSegmentStore, call: str, code: int, remedy: str
) -> None:
    def whole_life() -> None:
        kept(store, FILE)
        store.remove([FILE])

    failing(disk, call, code)
    with pytest.raises(StorageError, match=str(ROOT)) as caught:
        whole_life()
    assert os.strerror(code) in caught.value.message
    assert remedy in caught.value.remedy


def test_removals_that_cannot_be_settled_are_told(disk: FakeDisk, store: DiskSegmentStore) -> None:
    failing(disk, "sync_directory", errno.EIO)
    with pytest.raises(StorageError):
        store.settle_removals()


# -- the manifest ------------------------------------------------------------------------------------------------------


def test_each_line_is_durable_when_it_is_written(disk: FakeDisk, log: DiskManifestLog) -> None:
    for number in range(3):
        log.append(b"line %d" % number)
        again = log_after_cut(disk)
        assert list(again.lines()) == [b"line %d\n" % each for each in range(number + 1)]
    assert log.end() == again.end() == 3 * len(b"line 0\n")
    assert log.sizes() == {0: 21}


def test_after_a_write_that_failed_nothing_is_written_until_the_manifest_is_recovered(
    disk: FakeDisk, log: DiskManifestLog
) -> None:
    """The tail may be half a line, and no sync is tried again."""
    log.append(b"whole")
    for call in ("write", "sync_data"):
        failing(disk, call, errno.EIO)
        with pytest.raises(StorageError, match=r"manifest\.0"):
            log.append(b"lost")
        disk.before = None
        assert not disk.open_files
        with pytest.raises(StorageError, match="an earlier write failed"):
            log.append(b"too early")
        log.cut(len(b"whole\n"))
        log.recover()
    log.append(b"again")
    assert list(log_after_cut(disk).lines()) == [b"whole\n", b"again\n"]


def test_a_manifest_that_cannot_be_made_durable_at_its_start_is_not_open(
    disk: FakeDisk, store: DiskSegmentStore
) -> None:
    log = DiskManifestLog(disk, ROOT)
    for call in ("sync", "sync_directory"):
        failing(disk, call, errno.EIO)
        with pytest.raises(StorageError):
            log.recover()
        assert not disk.open_files
        with pytest.raises(StorageError, match="an earlier write failed"):
            log.append(b"line")


def begun(log: DiskManifestLog, chapter: int, *carried: bytes) -> None:
    log.prepare_chapter(chapter, carried)
    log.begin_chapter(chapter)


def test_a_new_chapter_counts_once_it_is_begun_and_survives_a_cut_with_its_carried_lines(
    disk: FakeDisk, log: DiskManifestLog
) -> None:
    log.append(b"old")
    log.prepare_chapter(1, [b"a draft"])
    log.prepare_chapter(1, [b"first", b"carried"])
    assert log.chapters() == (0,)
    assert disk.open_files == {ROOT / "manifest.0"}
    log.begin_chapter(1)
    log.append(b"new")
    again = log_after_cut(disk)
    assert again.chapters() == (0, 1)
    assert list(again.lines()) == [b"old\n", b"first\n", b"carried\n", b"new\n"]
    assert again.end() == chapter_start(1) + len(b"first\ncarried\nnew\n")
    assert again.sizes() == {0: 4, 1: 18}
    assert disk.open_files == {ROOT / "manifest.1"}


def test_a_chapter_that_was_only_prepared_is_dropped_by_the_next_start(disk: FakeDisk, log: DiskManifestLog) -> None:
    log.prepare_chapter(1, [b"first"])
    log.recover()
    assert disk.names(ROOT) == ["manifest.0"]


def test_the_newest_chapter_is_the_one_that_grows_after_a_start(disk: FakeDisk, log: DiskManifestLog) -> None:
    for chapter in (1, 2):
        begun(log, chapter, b"carried")
    log.close()
    assert not disk.open_files
    log.recover()
    log.append(b"line")
    assert log.read(chapter_start(2), 100) == b"carried\nline\n"


def test_a_chapter_that_cannot_be_written_leaves_no_file_open(disk: FakeDisk, log: DiskManifestLog) -> None:
    failing(disk, "sync", errno.ENOSPC)
    with pytest.raises(StorageError, match=r"manifest\.1"):
        log.prepare_chapter(1, [b"first"])
    assert disk.open_files == {ROOT / "manifest.0"}


def test_lines_and_bytes_are_read_from_any_position_over_the_border_of_chapters(log: DiskManifestLog) -> None:
    for line in (b"one", b"two"):
        log.append(line)
    begun(log, 1, b"three", b"four")
    second = chapter_start(1)
    assert list(log.lines(4)) == [b"two\n", b"three\n", b"four\n"]
    assert list(log.lines(second + 6)) == [b"four\n"]
    assert list(log.lines(second)) == [b"three\n", b"four\n"]
    assert log.read(4, 3) == b"two"
    assert log.read(second + 6, 100) == b"four\n"
    assert log.read(chapter_start(7), 5) == b""
    assert [(raw.data, raw.end) for raw in log.raw_lines(second + 6)] == [(b"four", second + 11)]


def test_the_end_of_a_chapter_is_cut_off_at_its_position(log: DiskManifestLog) -> None:
    log.append(b"one")
    begun(log, 1, b"three", b"four")
    log.cut(chapter_start(1) + 8)
    assert list(log.lines()) == [b"one\n", b"three\n", b"fo"]
    log.cut(2)
    assert log.read(0, 100) == b"on"


def test_chapters_are_removed_and_a_missing_one_is_no_error(log: DiskManifestLog) -> None:
    for chapter in (1, 2):
        begun(log, chapter, b"carried")
    log.remove_chapters([0, 1, 5])
    assert log.chapters() == (2,)


def test_before_there_is_a_directory_there_is_no_manifest(disk: FakeDisk) -> None:
    log = DiskManifestLog(disk, Path("/elsewhere"))
    assert (log.chapters(), log.end(), log.sizes(), list(log.lines())) == ((), 0, {}, [])


# -- the reserve -------------------------------------------------------------------------------------------------------


def test_a_mebibyte_is_kept_in_reserve_and_filled_up_after_it_was_spent(disk: FakeDisk, log: DiskManifestLog) -> None:
    reserve = ROOT / "reserve"
    assert log.missing_reserve_bytes() == 1 << 20
    log.keep_reserve()
    assert (disk.size(reserve), log.missing_reserve_bytes()) == (1 << 20, 0)
    disk.truncate(reserve, 1000)
    assert log.missing_reserve_bytes() == (1 << 20) - 1000
    log.keep_reserve()
    assert disk.size(reserve) == 1 << 20
    written = len(disk.calls)
    log.keep_reserve()
    assert len(disk.calls) == written, "what is there is not written again"
    log.spend_reserve()
    log.spend_reserve()
    assert disk.size(reserve) is None
    assert disk.open_files == {ROOT / "manifest.0"}


def test_the_room_of_the_reserve_is_taken_for_good(disk: FakeDisk, log: DiskManifestLog) -> None:
    log.keep_reserve()
    assert disk.after_cut(Survival.NAMES, random.Random(1)).size(ROOT / "reserve") == 1 << 20


@pytest.mark.parametrize("call", ["create", "write", "sync"])
def test_a_reserve_for_which_there_is_no_room_stops_nothing(disk: FakeDisk, log: DiskManifestLog, call: str) -> None:
    failing(disk, call, errno.ENOSPC)
    log.keep_reserve()
    assert disk.open_files == {ROOT / "manifest.0"}
    disk.before = None
    log.keep_reserve()
    log.append(b"line")
    assert log.missing_reserve_bytes() == 0


def test_a_reserve_that_cannot_be_spent_is_told(disk: FakeDisk, log: DiskManifestLog) -> None:
    log.keep_reserve()
    failing(disk, "unlink", errno.EROFS)
    with pytest.raises(StorageError, match="reserve"):
        log.spend_reserve()


def test_a_manifest_that_was_not_opened_takes_no_line_and_says_which(disk: FakeDisk, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as refused:
        DiskManifestLog(disk, tmp_path).append(b"a line")
    assert refused.value.message == f"{tmp_path}/manifest.0: an earlier write failed."
    assert refused.value.remedy == "Recording resumes automatically."


def test_an_error_of_the_disk_without_a_remedy_of_its_own_leads_to_the_log(
    disk: FakeDisk, store: DiskSegmentStore
) -> None:
    failing(disk, "sync_directory", errno.EPIPE)
    with pytest.raises(StorageError) as refused:
        store.settle_removals()
    assert refused.value.remedy == "Check the disk and the system log."


def test_a_manifest_that_is_opened_again_lets_go_of_its_file(log: DiskManifestLog) -> None:
    file = log._file
    assert file is not None
    let_go = mock.Mock(side_effect=file.close)
    log._file = mock.Mock(close=let_go)
    log.recover()
    let_go.assert_called_once_with()
    log.append(b"a line")
    assert list(log.lines()) == [b"a line\n"]
