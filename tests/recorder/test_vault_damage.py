"""Start-up and `verify` on a vault that a person or a fault damaged: they report the truth, and delete nothing."""

from __future__ import annotations

import errno
import io
import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.opening import VerifiedPrefix
from agent.core.timebase import ClockQuality
from agent.core.vault.fields import SHARDS
from agent.core.vault.records import EvictionReason
from agent.custodian.vault_follower import FollowingIndex
from agent.errors import StorageError
from agent.platform.disk import RealDisk
from agent.recorder.vault_recovery import StartReport, VaultStartUp
from agent.vault import index_sqlite, replay, verification
from agent.vault.index_sqlite import SqliteIndex
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.fake_disk import FakeDisk, Survival
from tests.vaults import DEVICE_KEY, JPEG, OWNER, ROOT, SteppedClock, TestVault, box, event_id, make_vault

PUBLIC = public_key_of(DEVICE_KEY)
MEDIA = (box(b"moof", bytes(70_000)), box(b"mdat", bytes(range(256)) * 700))


@pytest.fixture
def tested(tmp_path: Path) -> Iterator[TestVault]:
    made = make_vault(RealDisk(), index=SqliteIndex(tmp_path / "index.sqlite"), root=tmp_path / "vault")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_second_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recorder works beside these tests."""
    monkeypatch.setattr(verification, "sleep", lambda _: None)


def path_of(tested: TestVault, name: str) -> Path:
    return tested.store._segments / name[0] / name


def test_a_sound_vault_verifies_and_says_how_much_it_read(tested: TestVault) -> None:
    for poster, sound in ((JPEG, MEDIA[0]), (None, None)):
        tested.record(*MEDIA, poster=poster, sound=sound)
    heard: list[tuple[int, int]] = []
    report = tested.vault.verify(PUBLIC, lambda done, total: heard.append((done, total)))
    assert report.sound
    assert report.segments == 2
    assert report.read_bytes == tested.vault.totals().stored_bytes == heard[-1][0] == heard[-1][1]


def test_every_flipped_bit_is_found_and_touches_no_other_segment(tested: TestVault) -> None:
    ids = [tested.record(*MEDIA, poster=JPEG, sound=MEDIA[0]) for _ in range(3)]
    for name in (f"{ids[1]}.age", f"{ids[1]}.poster.age", f"{ids[1]}.sound.age"):
        path = path_of(tested, name)
        good = path.read_bytes()
        for position in range(0, len(good), len(good) // 50 + 1):
            path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            assert tested.vault.verify(PUBLIC).damaged == [name]
        path.write_bytes(good[:-1])
        assert tested.vault.verify(PUBLIC).damaged == [name]
        path.write_bytes(good)
    assert tested.vault.verify(PUBLIC).sound


def test_verify_names_what_is_missing_and_what_is_unknown(tested: TestVault) -> None:
    ids = [tested.record(*MEDIA) for _ in range(2)]
    path_of(tested, f"{ids[0]}.age").unlink()
    path_of(tested, f"{ids[1]}.age").with_name("holiday.mp4").write_bytes(b"x")
    report = tested.vault.verify(PUBLIC)
    assert (report.missing, report.unknown, report.damaged) == ([f"{ids[0]}.age"], ["holiday.mp4"], [])
    assert not report.sound


def test_verify_sees_another_device_s_signatures(tested: TestVault) -> None:
    tested.record(*MEDIA)
    report = tested.vault.verify(public_key_of(private_key_from_seed(b"x" * 32)))
    assert [fault.line for fault in report.faults] == [1, 2]


def test_a_missing_segment_is_told_once_and_leaves_the_index(tested: TestVault) -> None:
    ids = [tested.record(*MEDIA) for _ in range(3)]
    path_of(tested, f"{ids[1]}.age").unlink()
    assert tested.vault.start() == StartReport(missing=[ids[1]])
    assert [entry.id for entry in tested.vault.entries()] == [ids[0], ids[2]]
    assert tested.vault.start() == StartReport()
    with pytest.raises(StorageError, match="not stored"):
        tested.vault.record(ids[1])


def test_a_missing_segment_that_comes_back_is_recovered_and_never_deleted(tested: TestVault) -> None:
    ids = [tested.record(*MEDIA) for _ in range(2)]
    path = path_of(tested, f"{ids[0]}.age")
    path.rename(path.with_name("hidden"))
    report = tested.vault.start()
    assert (report.missing, report.quarantined) == ([ids[0]], ["hidden"])
    (path.parents[2] / "aside" / "hidden").rename(path)
    assert tested.vault.start() == StartReport(recovered=[ids[0]])
    entry = tested.vault.find(ids[0])
    assert entry is not None
    assert (entry.whole, entry.witnessed, entry.quality) == (True, False, ClockQuality.UNKNOWN)


def test_a_damaged_manifest_line_costs_no_footage(tested: TestVault, tmp_path: Path) -> None:
    ids = [tested.record(*MEDIA) for _ in range(4)]
    manifest = tmp_path / "vault" / "manifest.0"
    lines = manifest.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:50] + b"!" + lines[2][51:]
    manifest.write_bytes(b"".join(lines))
    tested.index.clear()
    report = tested.vault.start()
    assert [fault.line for fault in report.faults] == [3, 4]
    assert report.recovered == [ids[1]]
    assert {entry.id for entry in tested.vault.entries()} == set(ids)
    assert tested.vault.start() == StartReport()


def test_a_lost_manifest_is_begun_anew_and_every_segment_recovered(tested: TestVault, tmp_path: Path) -> None:
    ids = [tested.record(*MEDIA, poster=JPEG, sound=MEDIA[0]) for _ in range(3)]
    (tmp_path / "vault" / "manifest.0").unlink()
    report = tested.vault.start()
    assert sorted(report.recovered) == sorted(ids)
    assert tested.vault.verify(PUBLIC).sound
    assert all(
        entry.poster_bytes and entry.sound_bytes and entry.event == event_id(0) for entry in tested.vault.entries()
    )


@pytest.mark.parametrize("kind", [".poster.age", ".sound.age"])
def test_what_is_damaged_beside_a_recovered_segment_costs_only_itself(
    tested: TestVault, tmp_path: Path, kind: str
) -> None:
    ids = [tested.record(*MEDIA, poster=JPEG, sound=MEDIA[0]) for _ in range(3)]
    (tmp_path / "vault" / "manifest.0").unlink()
    path_of(tested, ids[1] + kind).write_bytes(b"no age file")
    report = tested.vault.start()
    assert (sorted(report.recovered), report.quarantined) == (sorted(ids), [ids[1] + kind])
    assert tested.vault.verify(PUBLIC).sound


@pytest.mark.parametrize("kind", [".poster.age", ".sound.age"])
def test_what_is_missing_beside_a_recorded_segment_is_told_by_verify_and_costs_only_itself(
    tested: TestVault, kind: str
) -> None:
    ids = [tested.record(*MEDIA, poster=JPEG, sound=MEDIA[0]) for _ in range(2)]
    path_of(tested, ids[0] + kind).unlink()
    assert tested.vault.start() == StartReport()
    report = tested.vault.verify(PUBLIC)
    assert (report.missing, report.damaged, report.unknown) == ([ids[0] + kind], [], [])
    with pytest.raises(StorageError):
        tested.vault.read_sound(ids[0]) if kind == ".sound.age" else tested.vault.read_poster(ids[0])
    assert tested.vault.find(ids[0]) is not None
    tested.vault._evict(list(tested.vault.entries())[:1], EvictionReason.BYTES, tested.clock.now())
    assert tested.vault.verify(PUBLIC).sound


@pytest.mark.parametrize("tail", [b"x", b'{"payload":"', b"\0" * 900, b"nonsense\nmore nonsense\n"])
def test_a_line_that_was_being_written_is_cut_off(tested: TestVault, tmp_path: Path, tail: bytes) -> None:
    tested.record(*MEDIA)
    manifest = tmp_path / "vault" / "manifest.0"
    good = manifest.read_bytes()
    manifest.write_bytes(good + tail)
    assert tested.vault.start() == StartReport(cut_bytes=len(tail))
    assert manifest.read_bytes() == good
    tested.record(*MEDIA)
    assert tested.vault.verify(PUBLIC).sound


def test_what_does_not_belong_is_set_aside_and_not_overwritten(tested: TestVault, tmp_path: Path) -> None:
    segment = tested.record(*MEDIA)
    place = path_of(tested, f"{segment}.age").parent
    for content in (b"first", b"second"):
        (place / "holiday.mp4").write_bytes(content)
        assert tested.vault.start().quarantined == ["holiday.mp4"]
    aside = tmp_path / "vault" / "aside"
    assert sorted(path.name for path in aside.iterdir()) == ["holiday.mp4", "holiday.mp4.1"]
    assert (aside / "holiday.mp4").read_bytes() == b"first"


def after_a_power_cut(
    on_unreadable: Callable[[Sequence[str]], None] | None = None,
) -> tuple[TestVault, FakeDisk, str]:
    """A vault that has not started yet, with an acknowledged segment, and a second one that the cut left unfinished."""
    before = FakeDisk()
    tested = make_vault(before)
    tested.record(*MEDIA)
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    tested.clock.advance(1)
    writer.write(MEDIA[0])
    disk = before.after_cut(Survival.EVERYTHING, random.Random(1))
    later = make_vault(disk, clock=SteppedClock(boot=2), seed=2, start=False, on_unreadable=on_unreadable)
    return later, disk, writer.id


def test_an_unfinished_file_with_a_bad_block_is_set_aside_and_the_vault_records_again() -> None:
    tested, disk, cut = after_a_power_cut()
    disk.unreadable = frozenset({ROOT / "segments" / cut[0] / f"{cut}.part"})
    assert tested.vault.start().quarantined == [f"{cut}.part"]
    assert disk.names(ROOT / "aside") == [f"{cut}.part"]
    assert tested.vault.find(tested.record(*MEDIA)) is not None
    assert tested.vault.verify(PUBLIC).sound


def test_the_names_of_segments_with_a_lost_block_are_told_and_in_the_report() -> None:
    """One unfinished segment, and one with its final name and no record."""
    told: list[list[str]] = []
    tested, disk, cut = after_a_power_cut(lambda names: told.append(list(names)))
    whole = name_of_the_acknowledged(disk)
    disk.unlink(ROOT / "manifest.0")
    lost = sorted([f"{cut}.part", whole])
    disk.unreadable = frozenset(ROOT / "segments" / name[0] / name for name in lost)
    report = tested.vault.start()
    assert (sorted(report.unreadable), sorted(report.quarantined), report.recovered) == (lost, lost, [])
    assert [sorted(names) for names in told] == [lost]
    assert sorted(disk.names(ROOT / "aside")) == lost
    assert tested.vault.start() == StartReport()
    assert len(told) == 1, "each is told once"


def name_of_the_acknowledged(disk: FakeDisk) -> str:
    (name,) = [name for shard in SHARDS for name in disk.names(ROOT / "segments" / shard) if name.endswith(".age")]
    return name


def test_a_segment_with_a_lost_block_is_told_after_a_failed_write_too() -> None:
    """The next write starts the vault again. Its report has no other reader."""
    told: list[list[str]] = []
    disk = FakeDisk()
    tested = make_vault(disk, on_unreadable=lambda names: told.append(list(names)))
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    writer.write(MEDIA[0])

    def failing(_number: int, call: str) -> None:
        if call == "write":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.before = failing
    with pytest.raises(StorageError):
        writer.write(MEDIA[0])
    disk.before = None
    disk.unreadable = frozenset({ROOT / "segments" / writer.id[0] / f"{writer.id}.part"})
    later = tested.record(*MEDIA)
    assert told == [[f"{writer.id}.part"]]
    assert [entry.id for entry in tested.vault.entries()] == [later]


@pytest.mark.parametrize("refused", ["aside", "record"])
def test_a_lost_block_is_told_if_a_later_step_of_the_start_fails(refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start does not find the file, because it lies in `aside/`."""
    told: list[list[str]] = []
    tested, disk, cut = after_a_power_cut(lambda names: told.append(list(names)))
    disk.unreadable = frozenset({ROOT / "segments" / cut[0] / f"{cut}.part"})
    sync = disk.sync_directory

    def failing(path: Path) -> None:
        if path.name == "aside":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(path)

    def failing_start(*_: object) -> None:
        raise StorageError("The disk is failing.")

    with monkeypatch.context() as changed:
        if refused == "aside":
            changed.setattr(disk, "sync_directory", failing)
        else:
            changed.setattr(VaultStartUp, "_record_missing", failing_start)
        with pytest.raises(StorageError):
            tested.vault.start()
    assert told == [[f"{cut}.part"]]
    assert tested.vault.start().unreadable == []
    assert len(told) == 1


def test_a_move_that_the_disk_refuses_is_told_only_when_it_has_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []
    tested, disk, cut = after_a_power_cut(lambda names: told.append(list(names)))
    disk.unreadable = frozenset({ROOT / "segments" / cut[0] / f"{cut}.part"})

    def refused(_old: Path, _new: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as changed:
        changed.setattr(disk, "rename", refused)
        with pytest.raises(StorageError, match="Read-only"):
            tested.vault.start()
    assert told == []
    tested.vault.start()
    assert told == [[f"{cut}.part"]]


@pytest.mark.parametrize("lost", ["poster", "sound"])
def test_a_lost_poster_and_a_lost_sound_are_told_and_a_foreign_file_is_not(lost: str) -> None:
    told: list[list[str]] = []
    disk = FakeDisk()
    segment = make_vault(disk).record(*MEDIA, poster=JPEG, sound=MEDIA[0])
    disk.unlink(ROOT / "manifest.0")
    disk.create(ROOT / "segments" / "b" / "holiday.mp4").close()
    name = f"{segment}.{lost}.age"
    disk.unreadable = frozenset({ROOT / "segments" / segment[0] / name})
    tested = make_vault(disk, start=False, on_unreadable=lambda names: told.append(list(names)))
    report = tested.vault.start()
    assert sorted(report.quarantined) == sorted(["holiday.mp4", name])
    assert (report.recovered, report.unreadable, told) == ([segment], [name], [[name]])


def test_a_segment_is_recovered_without_its_poster_that_cannot_be_read() -> None:
    disk = FakeDisk()
    segment = make_vault(disk).record(*MEDIA, poster=JPEG)
    disk.unlink(ROOT / "manifest.0")
    poster = f"{segment}.poster.age"
    disk.unreadable = frozenset({ROOT / "segments" / segment[0] / poster})
    tested = make_vault(disk, start=False)
    report = tested.vault.start()
    assert (report.recovered, report.quarantined) == ([segment], [poster])
    entry = tested.vault.find(segment)
    assert entry is not None
    assert entry.poster is None


def test_another_error_than_a_bad_block_ends_the_start_and_moves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many open files the next try can read the file."""
    tested, disk, cut = after_a_power_cut()
    chunks = disk.chunks

    def refused(path: Path, offset: int = 0) -> Iterator[bytes]:
        if path.suffix == ".part":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return chunks(path, offset)

    with monkeypatch.context() as changed:
        changed.setattr(disk, "chunks", refused)
        with pytest.raises(StorageError, match="Too many open files"):
            tested.vault.start()
    assert disk.names(ROOT / "aside") == []
    assert tested.vault.start().recovered == [cut]


@pytest.mark.parametrize("code", [errno.EIO, errno.EBADMSG, errno.EUCLEAN])
@pytest.mark.parametrize("name", [".part", ".age", ".poster.age"])
def test_a_file_with_a_lost_inode_is_told_and_the_vault_records(
    name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a file can be listed, and nothing else: no `stat`, no `open`, no `rename`."""
    told: list[list[str]] = []
    tested, disk, cut = after_a_power_cut(lambda names: told.append(list(names)))
    lost = f"{cut}.part"
    if name != ".part":
        lost = name_of_the_acknowledged(disk)
        disk.unlink(ROOT / "manifest.0")
    if name == ".poster.age":
        lost = lost.replace(".age", name)
        disk.create(ROOT / "segments" / lost[0] / lost).close()

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def refused(path: Path, *rest: Any) -> Any:
            if path.name == lost:
                raise OSError(code, os.strerror(code))
            return call(path, *rest)

        return refused

    for call in ("size", "append_to", "read", "chunks", "rename", "unlink"):
        monkeypatch.setattr(disk, call, refusing(getattr(disk, call)))
    report = tested.vault.start()
    assert (report.unreadable, report.quarantined, told) == ([lost], [], [[lost]])
    assert tested.vault.find(tested.record(*MEDIA)) is not None


@pytest.mark.parametrize("name", [".age", ".part", ".poster.age"])
@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "pipe"])
def test_a_folder_a_link_and_a_pipe_with_a_file_s_name_are_set_aside(
    tested: TestVault, tmp_path: Path, kind: str, name: str
) -> None:
    kept = tested.record(*MEDIA)
    beside = kept if name == ".poster.age" else event_id(5)
    if beside == kept:
        tested.log.close()
        (tmp_path / "vault" / "manifest.0").unlink()
    path = path_of(tested, f"{beside}{name}")
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to(path_of(tested, f"{kept}.age") if kind == "link" else "/nowhere")
    report = tested.vault.start()
    assert (report.quarantined, report.unreadable) == ([path.name], []) or (report.empty, name) == (1, ".part")
    assert tested.vault.find(tested.record(*MEDIA)) is not None
    assert tested.vault.verify(PUBLIC).sound


def test_a_segment_under_another_s_name_is_set_aside(tested: TestVault) -> None:
    first = tested.record(*MEDIA)
    stolen = event_id(5) + ".age"
    path_of(tested, stolen).write_bytes(tested.ciphertext(first))
    assert tested.vault.start().quarantined == [stolen]


@pytest.mark.parametrize("kind", [".poster.age", ".sound.age", ".sound.part"])
def test_what_lies_beside_a_segment_is_set_aside_without_it(tested: TestVault, kind: str) -> None:
    poster = event_id(5) + kind
    path_of(tested, poster).write_bytes(b"x")
    assert tested.vault.start().quarantined == [poster]


def test_a_cut_segment_opens_to_its_last_whole_chunk(tested: TestVault) -> None:
    writer = tested.vault.begin(event_id(3), tested.clock.now(), label="button")
    for _ in range(4):
        tested.clock.advance(1)
        writer.write(bytes(100_000))
    part = path_of(tested, f"{writer.id}.part")
    cut = part.read_bytes()[:-1000]
    writer.abandon()
    part.write_bytes(cut)
    later = make_vault(
        RealDisk(), index=tested.index, root=part.parents[2], clock=SteppedClock(boot=2, quality=ClockQuality.UNKNOWN)
    )
    (entry,) = later.vault.entries()
    assert (entry.id, entry.whole, entry.size_bytes, entry.event) == (writer.id, False, len(cut), event_id(3))
    prefix = VerifiedPrefix(io.BytesIO(later.ciphertext(writer.id)), [OWNER])
    assert b"".join(prefix) == bytes(5 * 65536)
    assert not prefix.complete
    later.log.close()


def test_a_ruined_index_is_made_anew_by_itself(tested: TestVault, tmp_path: Path) -> None:
    ids = [tested.record(*MEDIA) for _ in range(3)]
    tested.index.close()
    for content in (b"ruin" * 4096, b""):
        for name in ("index.sqlite-wal", "index.sqlite-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / "index.sqlite").write_bytes(content)
        assert tested.vault.start().rebuilt
        assert [entry.id for entry in tested.vault.entries()] == ids
        tested.index.close()


PLACES = ("segment", "sqlite_autoindex_segment_1", "segment_by_time", "segment_of_event", "state")


def ruin(index: Path, place: str) -> None:
    """Spoil the root page of a table or an index: such a file can be opened, and fails where a person gets there."""
    with closing(sqlite3.connect(index)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page_bytes,),) = db.execute("PRAGMA page_size").fetchall()
        ((root,),) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (place,)).fetchall()
    content = bytearray(index.read_bytes())
    content[(root - 1) * page_bytes : root * page_bytes] = b"\x55" * page_bytes
    index.write_bytes(content)


@pytest.mark.parametrize("place", PLACES)
def test_an_index_that_is_ruined_in_the_middle_costs_no_footage_and_no_recording(
    tested: TestVault, tmp_path: Path, place: str
) -> None:
    ids = [tested.record() for _ in range(40)]
    tested.close()
    ruin(tmp_path / "index.sqlite", place)
    loses_nothing(tmp_path, ids)


@pytest.mark.parametrize(
    ("written", "spoilt"),
    [
        (b"synced", b"symced"),
        (b"synced", b"\xffynced"),
        (b"sound_bytes INTEGER", b"sound_bxtes INTEGER"),
        (b"CREATE TABLE state", b"CREATE \xffABLE state"),
    ],
)
def test_one_byte_of_an_index_that_is_another_costs_no_footage_and_no_recording(
    tested: TestVault, tmp_path: Path, written: bytes, spoilt: bytes
) -> None:
    """SQLite notices none of these: it keeps no checksum of its rows."""
    ids = [tested.record() for _ in range(40)]
    tested.close()
    index = tmp_path / "index.sqlite"
    with closing(sqlite3.connect(index)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before, found, behind = index.read_bytes().rpartition(written)
    assert found
    index.write_bytes(before + spoilt + behind)
    loses_nothing(tmp_path, ids)


def loses_nothing(root: Path, ids: list[str]) -> None:
    """With the index at `root`, of a vault that holds these."""
    later = make_vault(RealDisk(), index=SqliteIndex(root / "index.sqlite"), root=root / "vault", seed=1)
    with suppress(StorageError):  # damage that only shows when a row is added fails once, and its writer tries again
        later.record()
    with suppress(StorageError):  # and what only shows when all is read, too
        list(later.vault.entries())
    ids = [*ids, later.record()]
    entries = [entry.id for entry in later.vault.entries()]
    assert [name for name in entries if name in ids] == ids
    assert later.vault.totals().segments == len(entries) == len(later.vault.overlapping(0, 2**60))
    assert len(entries) <= len(ids) + 1
    later.close()


@contextmanager
def read_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many lines of the manifest were put into an index."""
    counted: list[int] = []
    apply = replay._apply

    def counting(index: Any, batch: Any, *more: Any) -> None:
        counted.append(len(batch))
        apply(index, batch, *more)

    with monkeypatch.context() as patch:
        patch.setattr(replay, "_apply", counting)
        yield counted


def lose_index(root: Path) -> None:
    for path in root.glob("index.sqlite*"):
        if not path.name.endswith(".copy"):
            path.unlink()


def test_a_lost_index_is_read_on_from_its_copy_and_not_from_the_beginning(
    tested: TestVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [tested.record() for _ in range(40)]
    tested.vault.keep_index_copy()
    tested.vault.erase(ids[:3])
    ids = [*ids[3:], *(tested.record() for _ in range(5))]
    tested.close()
    lose_index(tmp_path)
    later = make_vault(RealDisk(), index=SqliteIndex(tmp_path / "index.sqlite"), root=tmp_path / "vault", start=False)
    with read_lines(monkeypatch) as counted:
        assert not later.vault.start().rebuilt
    assert 6 <= sum(counted) <= 10, "lines after the copy"
    assert [entry.id for entry in later.vault.entries()] == ids
    assert later.vault.totals().segments == len(ids)
    later.record()
    later.close()


@pytest.mark.parametrize("spoil", ["ruined", "empty", "of another manifest", "half written", "with a ruined table"])
def test_a_copy_that_does_not_help_costs_no_footage_and_no_recording(
    tested: TestVault, tmp_path: Path, spoil: str
) -> None:
    ids = [tested.record() for _ in range(40)]
    copy = tmp_path / "index.sqlite.copy"
    if spoil == "of another manifest":
        other = make_vault(RealDisk(), index=SqliteIndex(tmp_path / "o.sqlite"), root=tmp_path / "o", seed=9)
        for _ in range(9):
            other.record()
        other.vault.keep_index_copy()
        other.close()
        (tmp_path / "o.sqlite.copy").rename(copy)
    else:
        tested.vault.keep_index_copy()
        content = copy.read_bytes()
        copy.write_bytes({"empty": b"", "half written": content[: len(content) // 2]}.get(spoil, content))
        if spoil == "ruined":
            copy.write_bytes(b"ruin" * 4096)
        if spoil == "with a ruined table":
            ruin(copy, "segment")
    tested.close()
    lose_index(tmp_path)
    loses_nothing(tmp_path, ids)
    assert not copy.exists(), "a copy is used once"


def test_segments_are_recorded_while_the_index_is_copied(
    tested: TestVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [tested.record() for _ in range(20)]
    meanwhile: list[str] = []

    def record(_seconds: float) -> None:
        if len(meanwhile) < 5:
            meanwhile.append(tested.record())

    with monkeypatch.context() as patch:
        patch.setattr(index_sqlite, "_COPY_PAGES", 1)
        patch.setattr(index_sqlite, "time", SimpleNamespace(sleep=record))
        tested.vault.keep_index_copy()
    assert len(meanwhile) == 5
    tested.close()
    lose_index(tmp_path)
    loses_nothing(tmp_path, [*ids, *meanwhile])


def test_an_index_that_is_closed_while_it_is_copied_keeps_its_older_copy(
    tested: TestVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested.record()
    tested.vault.keep_index_copy()
    before = (tmp_path / "index.sqlite.copy").read_bytes()
    tested.record()
    with monkeypatch.context() as patch:
        patch.setattr(index_sqlite, "_COPY_PAGES", 1)
        patch.setattr(index_sqlite, "time", SimpleNamespace(sleep=lambda _: tested.index.close()))
        with pytest.raises(StorageError, match="closed meanwhile"):
            tested.vault.keep_index_copy()
    assert (tmp_path / "index.sqlite.copy").read_bytes() == before
    assert not (tmp_path / "index.sqlite.new").exists()


def test_no_copy_takes_the_room_of_the_floor(tested: TestVault, tmp_path: Path) -> None:
    tested.record()
    tested.vault.set_limits(replace(tested.vault._limits, free_bytes=2**60))
    tested.vault.keep_index_copy()
    assert not (tmp_path / "index.sqlite.copy").exists()


def test_an_index_that_is_ruined_under_a_reader_is_made_anew_before_anything_is_written(
    tested: TestVault, tmp_path: Path
) -> None:
    """The scrub meets it first: the next recording must not begin an index that has forgotten everything before it."""
    ids = [tested.record() for _ in range(40)]
    tested.index.close()
    ruin(tmp_path / "index.sqlite", "segment")
    with pytest.raises(StorageError):
        tested.vault.newest()
    ids.append(tested.record())
    assert [entry.id for entry in tested.vault.entries()] == ids
    assert tested.vault.totals().segments == len(ids)


def test_a_ruined_index_is_not_met_again_by_the_next_process(tested: TestVault, tmp_path: Path) -> None:
    tested.record()
    tested.index.close()
    ruin(tmp_path / "index.sqlite", "segment")
    with pytest.raises(StorageError):
        list(tested.vault.entries())
    assert not (tmp_path / "index.sqlite").exists()


def test_who_follows_a_manifest_with_a_ruined_index_of_its_own_makes_it_anew_at_the_next_question(
    tested: TestVault, tmp_path: Path
) -> None:
    ids = [tested.record() for _ in range(40)]
    own = SqliteIndex(tmp_path / "own.sqlite")
    following = FollowingIndex(tested.log, own)
    assert len(list(following.oldest())) == 40
    own.close()
    ruin(tmp_path / "own.sqlite", "segment")
    with pytest.raises(StorageError):
        following.get(ids[0])
    assert [entry.id for entry in following.oldest()] == ids
    own.close()


def test_an_index_that_was_made_anew_by_half_is_not_taken_for_a_whole_one(
    tested: TestVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost segment cannot be held or shared: a custodian must see all of it or nothing."""
    ids = [tested.record() for _ in range(40)]
    own = SqliteIndex(tmp_path / "own.sqlite")
    following = FollowingIndex(tested.log, own)
    assert following.get(ids[-1]) is not None
    own.close()
    ruin(tmp_path / "own.sqlite", "segment")
    with pytest.raises(StorageError):
        following.get(ids[-1])

    def unread(_offset: int) -> Iterator[bytes]:
        raise StorageError("The card does not answer.")

    with monkeypatch.context() as failing:
        failing.setattr(tested.log, "raw_lines", unread)
        with pytest.raises(StorageError):
            following.get(ids[-1])
    assert following.get(ids[-1]) is not None
    assert [entry.id for entry in following.oldest()] == ids
    own.close()


def test_an_evicted_file_that_comes_back_is_removed_again(tested: TestVault) -> None:
    ids = [tested.record(*MEDIA) for _ in range(3)]
    path = path_of(tested, f"{ids[0]}.age")
    content = path.read_bytes()
    tested.vault._evict(list(tested.vault.entries())[:1], EvictionReason.BYTES, tested.clock.now())
    path.write_bytes(content)
    assert tested.vault.start() == StartReport(removed=[path.name])
    assert not path.exists()
