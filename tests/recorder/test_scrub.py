"""The scrub reads everything, gently, over and over; it finds every flipped bit and raises no false alarm."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.core.retention import RetentionLimits
from agent.core.vault.entries import VaultEntry
from agent.core.vault.fields import VaultFile
from agent.core.vault.manifest import ChainFault
from agent.errors import StorageError
from agent.recorder import scrub_thread
from agent.recorder.scrub import Scrubber, ScrubStatus
from agent.vault import verification
from agent.vault.manifest_reader import ManifestCheck, check_manifest
from agent.vault.verification import EntryCheck
from agent.wire.identities import public_key_of
from tests.fake_disk import FakeDisk
from tests.lengths import LONG
from tests.vaults import DEVICE_KEY, JPEG, ROOT, TestVault, box, make_vault

KEY = public_key_of(DEVICE_KEY)
DAY_S = 86_400


class Owner:
    """A `Notifier` that remembers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notify(self, kind: str, text: str) -> None:
        self.told.append(text)


def recorded(count: int) -> tuple[TestVault, FakeDisk]:
    disk = FakeDisk()
    tested = make_vault(disk)
    for number in range(count):
        tested.record(
            box(b"mdat", random.Random(number).randbytes(3000)),
            poster=JPEG if number % 3 else None,
            sound=box(b"mdat", b"heard") if number % 2 else None,
        )
    return tested, disk


def one_round(scrub: Scrubber) -> list[float]:
    """Until everything was looked at once; the pauses asked for."""
    pauses = []
    rounds = scrub.status.rounds
    while scrub.status.rounds == rounds:
        pauses.append(scrub.step())
    return pauses


@pytest.mark.parametrize(("segments", "flips"), [(300, 250), pytest.param(1200, 1000, marks=LONG)])
def test_flipped_bits_are_all_found_by_one_round_and_nothing_else_is(segments: int, flips: int) -> None:
    """A bit in each of that many files. As many files beside them stay as they were."""
    tested, disk = recorded(segments)
    chance = random.Random(4)
    files = [file for entry in tested.vault.entries() for file in (entry.file, *entry.companions)]
    flipped = set()
    for file in chance.sample(files, flips):
        path = ROOT / "segments" / file.shard / file.name
        disk.flip_bit(path, chance.randrange(8 * (disk.size(path) or 0)))
        flipped.add(file.name)
    found: set[str] = set()
    read_bytes = 0
    for entry in tested.vault.entries():
        check = tested.vault.check(entry, KEY)
        found.update(check.damaged)
        read_bytes += check.read_bytes
        assert not check.missing
    assert found == flipped
    assert read_bytes == tested.vault.totals().stored_bytes
    assert set(tested.vault.verify(KEY).damaged) == flipped


def test_a_sound_vault_raises_no_alarm() -> None:
    tested, _disk = recorded(50)
    owner = Owner()
    scrub = Scrubber(tested.vault, KEY, owner, 10**9)
    for _ in range(3):
        one_round(scrub)
    assert (scrub.status.segments, scrub.status.damaged, owner.told) == (150, (), [])


def test_damage_is_told_to_the_owner_and_kept_in_the_status() -> None:
    tested, disk = recorded(5)
    entry = list(tested.vault.entries())[2]
    disk.flip_bit(ROOT / "segments" / entry.file.shard / entry.file.name, 5000)
    owner = Owner()
    scrub = Scrubber(tested.vault, KEY, owner, 10**9)
    for _ in range(5):
        scrub.step()
    assert scrub.status.damaged == (entry.file.name,)
    assert len(owner.told) == 1
    assert entry.file.name in owner.told[0]


def path_of(file: VaultFile) -> Path:
    return ROOT / "segments" / file.shard / file.name


@pytest.mark.parametrize("part", ["file", "sound", "poster"])
def test_a_file_that_the_disk_cannot_read_is_told_as_damage_and_the_scrub_moves_on(part: str) -> None:
    """A failing card answers EIO for a block. The scrub would ask for the same segment every hour, for ever."""
    tested, disk = recorded(6)
    broken = list(tested.vault.entries())[1]
    name = getattr(broken, part).name
    disk.unreadable = frozenset({path_of(getattr(broken, part))})
    owner = Owner()
    scrub = Scrubber(tested.vault, KEY, owner, 10**9)
    pauses = [scrub.step() for _ in range(6)]
    assert (scrub.status.segments, scrub.status.damaged) == (6, (name,))
    assert owner.told == [f"Stored footage is damaged: {name}.  The card may be failing."]
    assert [number for number, pause_s in enumerate(pauses) if pause_s == 3600.0] == [1]
    assert scrub.step() == 3600.0
    assert (scrub.status.rounds, scrub.status.fault) == (1, "")


def test_the_status_has_the_disk_s_words_until_the_next_segment_is_read() -> None:
    tested, disk = recorded(2)
    (broken, _next) = tested.vault.entries()
    disk.unreadable = frozenset({path_of(broken.file)})
    scrub = Scrubber(tested.vault, KEY, Owner(), 10**9)
    scrub.step()
    assert broken.file.name in scrub.status.fault
    assert "Input/output error" in scrub.status.fault
    scrub.step()
    assert scrub.status.fault == ""


def test_the_other_files_of_an_unreadable_segment_are_still_compared() -> None:
    tested, disk = recorded(2)
    entry = list(tested.vault.entries())[1]
    assert entry.poster is not None
    assert entry.sound is not None
    disk.unreadable = frozenset({path_of(entry.file)})
    disk.flip_bit(path_of(entry.sound), 100)
    check = tested.vault.check(entry, KEY)
    assert check.damaged == [entry.file.name, entry.sound.name]
    assert check.read_bytes == entry.poster_bytes + entry.sound_bytes


def test_verify_names_each_file_that_cannot_be_read_and_goes_on() -> None:
    tested, disk = recorded(5)
    entries = list(tested.vault.entries())
    disk.unreadable = frozenset({path_of(entries[0].file), path_of(entries[2].file)})
    disk.flip_bit(path_of(entries[4].file), 5000)
    report = tested.vault.verify(KEY)
    assert report.damaged == [entries[number].file.name for number in (0, 2, 4)]
    assert (report.segments, report.missing, report.unknown, report.faults) == (5, [], [], ())
    assert not report.sound


def test_verify_names_a_folder_that_cannot_be_listed_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "sleep", lambda _: None)
    tested, disk = recorded(1)
    disk.unreadable = frozenset({ROOT / "segments" / "a"})
    foreign = disk.create(ROOT / "segments" / "b" / "holiday.mp4")
    foreign.close()
    report = tested.vault.verify(KEY)
    assert (report.damaged, report.unknown) == (["segments/a"], ["holiday.mp4"])


def test_verify_names_a_manifest_that_cannot_be_read_and_every_line_whose_files_were_not_compared() -> None:
    tested, disk = recorded(2)
    disk.unreadable = frozenset({ROOT / "manifest.0"})
    report = tested.vault.verify(KEY)
    eio = f"{ROOT}/manifest.0: Input/output error."
    assert [str(fault) for fault in report.faults] == [
        f"manifest.0, byte 0: The chapter cannot be read: {eio}",
        *(
            f"manifest.0, byte {entry.line_offset}: The record of segment {entry.id} cannot be read: {eio}"
            for entry in tested.vault.entries()
        ),
    ]
    assert (report.segments, report.damaged, report.sound) == (2, [], False)


def lose_line(tested: TestVault, entry: VaultEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad block below one line of the manifest."""
    fail_line(tested, entry, errno.EIO, monkeypatch)


def fail_line(tested: TestVault, entry: VaultEntry, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    disk: Any = tested.disk
    read = disk.read

    def refused(path: Path, offset: int, size_bytes: int) -> bytes:
        if path == ROOT / "manifest.0" and offset == entry.line_offset:
            raise OSError(code, os.strerror(code))
        data: bytes = read(path, offset, size_bytes)
        return data

    monkeypatch.setattr(disk, "read", refused)


def test_a_manifest_line_that_the_medium_lost_makes_no_good_file_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    tested, _disk = recorded(6)
    entry = list(tested.vault.entries())[1]
    assert entry.companions
    lose_line(tested, entry, monkeypatch)
    check = tested.vault.check(entry, KEY)
    eio = f"{ROOT}/manifest.0: Input/output error."
    assert check == EntryCheck(
        entry.stored_bytes,
        line_fault=ChainFault(0, f"The record of segment {entry.id} cannot be read: {eio}", 0, entry.line_offset),
        fault=eio,
    )
    report = tested.vault.verify(KEY)
    assert (report.damaged, report.faults, report.segments) == ([], (check.line_fault,), 6)
    assert not report.sound


def test_the_scrub_tells_the_line_pauses_for_an_hour_and_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    tested, _disk = recorded(3)
    entry = list(tested.vault.entries())[1]
    lose_line(tested, entry, monkeypatch)
    owner = Owner()
    scrub = Scrubber(tested.vault, KEY, owner, 10**9)
    pauses = [scrub.step() for _ in range(2)]
    place = f"manifest.0, byte {entry.line_offset}"
    assert (pauses[0] < 3600.0, pauses[1]) == (True, 3600.0)
    assert "Input/output error" in scrub.status.fault
    assert owner.told == [f"A signed record cannot be read: {place}.  The card may be failing."]
    scrub.step()
    assert (scrub.status.segments, scrub.status.damaged) == (3, (place,))


def test_without_its_line_a_file_that_is_missing_or_unreadable_is_still_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tested, disk = recorded(2)
    entry = list(tested.vault.entries())[1]
    assert entry.poster is not None
    assert entry.sound is not None
    lose_line(tested, entry, monkeypatch)
    disk.unreadable = frozenset({path_of(entry.sound)})
    disk.unlink(path_of(entry.poster))
    check = tested.vault.check(entry, KEY)
    assert (check.missing, check.damaged) == ([entry.poster.name], [entry.sound.name])
    assert check.line_fault is not None


def fail_file(tested: TestVault, entry: VaultEntry, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    disk: Any = tested.disk
    chunks = disk.chunks

    def refused(path: Path, offset: int = 0) -> Iterator[bytes]:
        if path == path_of(entry.file):
            raise OSError(code, os.strerror(code))
        return chunks(path, offset)  # type: ignore[no-any-return]

    monkeypatch.setattr(disk, "chunks", refused)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM, errno.EACCES])
@pytest.mark.parametrize("fail", [fail_file, fail_line])
def test_an_error_that_may_pass_is_no_damage_and_the_same_segment_is_read_again(
    fail: Callable[..., None], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested, _disk = recorded(3)
    entry = list(tested.vault.entries())[1]
    owner = Owner()
    scrub = Scrubber(tested.vault, KEY, owner, 10**9)
    scrub.step()
    position = tested.vault.scrubbed()
    with monkeypatch.context() as failing:
        fail(tested, entry, code, failing)
        assert scrub.step() == 3600.0
        assert os.strerror(code) in scrub.status.fault
        assert (scrub.status.segments, tested.vault.scrubbed()) == (1, position)
        with pytest.raises(StorageError, match=os.strerror(code)):
            tested.vault.verify(KEY)
    one_round(scrub)
    assert (scrub.status.segments, scrub.status.damaged, owner.told) == (3, (), [])


def test_an_error_that_stays_hides_no_other_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the recorder may not open would otherwise end the scrub for ever."""
    tested, disk = recorded(3)
    entries = list(tested.vault.entries())
    disk.flip_bit(path_of(entries[2].file), 5000)
    fail_file(tested, entries[1], errno.EACCES, monkeypatch)
    owner = Owner()
    scrub = Scrubber(tested.vault, KEY, owner, 10**9)
    pauses = [scrub.step() for _ in range(3)]
    assert (scrub.status.damaged, owner.told) == ((), []), "the error may pass"
    pauses += [scrub.step() for _ in range(2)]
    assert [pause_s == 3600.0 for pause_s in pauses] == [False, True, True, True, False]
    skipped, flipped = entries[1].file.name, entries[2].file.name
    assert (scrub.status.segments, scrub.status.damaged) == (2, (skipped, flipped))
    assert owner.told[0].startswith(f"Stored footage could not be checked: {skipped}.  ")
    assert "Permission denied" in owner.told[0]
    assert len(owner.told) == 2


@pytest.mark.parametrize("code", [errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.ELOOP, errno.EISDIR, errno.ESPIPE])
def test_a_lost_block_and_a_name_that_belongs_to_no_file_are_damage(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise one planted link would hide every file after it from the scrub."""
    tested, _disk = recorded(2)
    entry = next(tested.vault.entries())
    fail_file(tested, entry, code, monkeypatch)
    assert tested.vault.verify(KEY).damaged == [entry.file.name]


def test_a_file_that_goes_between_its_size_and_its_bytes_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    tested, _disk = recorded(1)
    (entry,) = tested.vault.entries()
    fail_file(tested, entry, errno.ENOENT, monkeypatch)
    check = tested.vault.check(entry, KEY)
    assert (check.missing, check.damaged, check.fault) == ([entry.file.name], [], "")


@pytest.mark.parametrize("call", ["read", "chunks"])
def test_verify_raises_an_error_of_a_chapter_that_may_pass(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`read` finds where the manifest begins, `chunks` reads its lines."""
    tested, disk = recorded(1)
    disk.create(ROOT / "manifest.1").close()

    def refused(path: Path, *_: int) -> Iterator[bytes]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(disk, call, refused)
    with pytest.raises(StorageError, match="Too many open files"):
        check_manifest(tested.log, KEY)


def test_a_manifest_that_is_a_link_is_a_fault_of_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    tested, _disk = recorded(1)
    (entry,) = tested.vault.entries()
    fail_line(tested, entry, errno.ELOOP, monkeypatch)
    report = tested.vault.verify(KEY)
    assert (report.damaged, len(report.faults)) == ([], 1)


def test_verify_raises_an_error_of_a_folder_that_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    tested, disk = recorded(1)

    def refused(_path: Path) -> list[str]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(disk, "names", refused)
    monkeypatch.setattr(verification, "check_manifest", lambda *_: ManifestCheck((), 0))
    with pytest.raises(StorageError, match="Too many open files"):
        tested.vault.verify(KEY)


def test_a_round_takes_as_long_as_the_day_s_budget_makes_it() -> None:
    tested, _disk = recorded(20)
    total = tested.vault.totals().stored_bytes
    pauses = one_round(Scrubber(tested.vault, KEY, Owner(), bytes_per_day=total))
    assert sum(pauses[:-1]) == pytest.approx(DAY_S)


def test_it_goes_on_where_the_last_process_stopped_and_begins_anew_at_the_end() -> None:
    tested, _disk = recorded(6)
    first = Scrubber(tested.vault, KEY, Owner(), 10**9)
    for _ in range(4):
        first.step()
    second = Scrubber(tested.vault, KEY, Owner(), 10**9)
    one_round(second)
    assert second.status.segments == 2
    one_round(second)
    assert second.status.segments == 8


def test_a_segment_that_makes_room_meanwhile_is_no_damage() -> None:
    tested, _disk = recorded(3)
    entry = next(tested.vault.entries())
    tested.vault.enforce_retention((), RetentionLimits(most_bytes=1))
    check = tested.vault.check(entry, KEY)
    assert check.missing + check.damaged == []


def test_without_a_budget_nothing_is_read() -> None:
    tested, _disk = recorded(1)
    Scrubber(tested.vault, KEY, Owner(), 0).run(lambda _s: pytest.fail("it waits"))


def test_an_empty_vault_is_looked_at_again_later() -> None:
    tested = make_vault(FakeDisk())
    scrub = Scrubber(tested.vault, KEY, Owner(), 10**9)
    assert scrub.step() == 3600
    assert scrub.status.rounds == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="classes of I/O are Linux's")
def test_the_reader_lets_everybody_else_go_first() -> None:
    program = (
        "import os; from agent.recorder.io_priority import work_idly\n"
        "assert work_idly()\nassert os.getpriority(os.PRIO_PROCESS, 0) == 19\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True)


def test_a_vault_that_cannot_be_read_is_told_in_the_status_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tested, _disk = recorded(2)
    scrub = Scrubber(tested.vault, KEY, Owner(), 10**9)
    with monkeypatch.context() as changed:

        def broken(_sequence: int) -> None:
            raise StorageError("The disk is failing.", remedy="Replace it.")

        changed.setattr(tested.vault, "after", broken)
        assert scrub.step() == 3600.0
        assert scrub.status.fault == "The disk is failing."
    scrub.step()
    assert (scrub.status.fault, scrub.status.segments) == ("", 1)


def test_the_first_look_comes_a_minute_after_the_start_and_each_other_after_its_pause() -> None:
    tested, _disk = recorded(1)
    scrub = Scrubber(tested.vault, KEY, Owner(), bytes_per_day=tested.vault.totals().stored_bytes)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 4

    scrub.run(wait)
    assert waits == [60.0, pytest.approx(DAY_S), 3600.0, pytest.approx(DAY_S)]


def test_an_empty_vault_is_no_round_and_a_missing_file_is_told() -> None:
    empty, _disk = recorded(0)
    scrub = Scrubber(empty.vault, KEY, Owner(), 10**9)
    assert scrub.step() == 3600.0
    assert scrub.status.rounds == 0
    tested, _disk = recorded(1)
    (entry,) = tested.vault.entries()
    tested.store.remove([entry.file])
    owner = Owner()
    scrub = Scrubber(tested.vault, None, owner, 10**9)
    scrub.step()
    assert owner.told == [f"Stored footage is damaged: {entry.file.name}.  The card may be failing."]
    assert scrub.status.damaged == (entry.file.name,)
    scrub.step()
    assert (scrub.status.rounds, scrub.status.damaged) == (1, ()), "each round names its own"


def test_the_thread_of_the_scrub_works_at_the_lowest_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    tested, _disk = recorded(1)
    calls: list[str] = []
    monkeypatch.setattr(scrub_thread, "work_idly", lambda: calls.append("idly"))

    def wait(_seconds: float) -> bool:
        calls.append("wait")
        return True

    scrub_thread.scrubbing(Scrubber(tested.vault, KEY, Owner(), 10**9), wait)
    assert calls == ["idly", "wait"]


class Entries:
    """A vault of entries that this test makes up: the numbers of the segments, and what a check of each finds."""

    def __init__(self, **checks: EntryCheck) -> None:
        self.checks = list(checks.items())
        self.at = -1
        self.fault = ""

    def scrubbed(self) -> int:
        return self.at

    def set_scrubbed(self, sequence: int) -> None:
        self.at = sequence

    def after(self, sequence: int) -> Any:
        if self.fault:
            raise StorageError(self.fault, remedy="Look at it.")
        number = sequence + 1
        return SimpleNamespace(sequence=number) if number < len(self.checks) else None

    def totals(self) -> Any:
        return SimpleNamespace(segments=len(self.checks))

    def check(self, entry: Any, key: object) -> EntryCheck:
        assert key is KEY
        return self.checks[entry.sequence][1]


class News:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def notify(self, kind: str, text: str) -> None:
        self.told.append((kind, text))


def test_each_step_adds_to_the_status_and_asks_for_the_pause_that_its_bytes_cost() -> None:
    vault: Any = Entries(
        a=EntryCheck(1000), b=EntryCheck(2000, missing=["b.age"], damaged=["b.poster.age"]), c=EntryCheck(0)
    )
    news = News()
    scrub = Scrubber(vault, KEY, news, 86_400)
    with capture_logs() as lines:
        assert [scrub.step() for _ in range(3)] == [1000.0, 2000.0, 3600.0]
    assert scrub.status == ScrubStatus(3, 3000, 0, ("b.age", "b.poster.age"))
    assert news.told == [
        ("vault", "Stored footage is damaged: b.age, b.poster.age.  The card may be failing."),
    ]
    assert [line["files"] for line in lines] == [("b.age", "b.poster.age")]
    assert scrub.step() == 3600.0
    assert scrub.status == ScrubStatus(3, 3000, 1), "the next round begins without names"
    assert vault.at == -1
    vault.fault = "The disk is away."
    with capture_logs() as lines:
        assert scrub.step() == 3600.0
    assert scrub.status == ScrubStatus(3, 3000, 1, fault="The disk is away.")
    assert [line["event"] for line in lines] == ["scrub_failed"]
    vault.fault = ""
    scrub.step()
    assert scrub.status == ScrubStatus(4, 4000, 1)


def test_of_the_damaged_files_of_a_round_a_hundred_are_named_and_an_empty_vault_has_no_round() -> None:
    many: Any = Entries(a=EntryCheck(1, damaged=[f"{number}" for number in range(150)]))
    scrub = Scrubber(many, KEY, News(), 1)
    scrub.step()
    assert scrub.status.damaged == tuple(f"{number}" for number in range(100))
    empty: Any = Entries()
    scrub = Scrubber(empty, KEY, News(), 1)
    assert scrub.step() == 3600.0
    assert scrub.status == ScrubStatus()


def test_the_first_segment_is_read_a_minute_after_the_start_and_each_next_one_after_its_pause() -> None:
    vault: Any = Entries(a=EntryCheck(1000))
    pauses: list[float] = []

    def wait(pause_s: float) -> bool:
        pauses.append(pause_s)
        return len(pauses) == 3

    Scrubber(vault, KEY, News(), 86_400).run(wait)
    assert pauses == [60.0, 1000.0, 3600.0]
    pauses.clear()
    Scrubber(vault, KEY, News(), 0).run(wait)
    assert pauses == [], "it is switched off"
