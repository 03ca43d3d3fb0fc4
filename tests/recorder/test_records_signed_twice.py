"""Records that get a second signature: the writer's, read by the rule of the readers."""

from __future__ import annotations

import errno
import itertools

import pytest

from agent.core.retention import ChapterLimits
from agent.core.timebase import BootNs, seconds
from agent.core.vault.fields import stamp
from agent.core.vault.hash_chain import FIRST
from agent.core.vault.manifest import parse_line, sign_record
from agent.core.vault.records import GapReason, RingRecord
from agent.errors import StorageError
from agent.vault.manifest_reader import ManifestCheck, check_manifest
from agent.wire.identities import public_key_of
from tests.fake_disk import FakeDisk
from tests.vaults import DEVICE_KEY, DEVICE_MLDSA_KEY, TestVault, make_vault

ONE_CHAPTER = ChapterLimits(chapter_bytes=1 << 20, history_bytes=1 << 20)
AT_ONCE = ChapterLimits(chapter_bytes=1, history_bytes=1 << 20)


def checked(tested: TestVault) -> ManifestCheck:
    return check_manifest(tested.log, public_key_of(DEVICE_KEY), DEVICE_MLDSA_KEY)


def written(tested: TestVault) -> list[tuple[str, bool]]:
    """The kind of each line, and if it has a second signature."""
    lines = (parse_line(line.removesuffix(b"\n")) for line in tested.log.lines())
    return [(each.record.__struct_config__.tag, each.mldsa is not None) for each in lines]


def press(tested: TestVault, *, after_minutes: float) -> None:
    tested.vault.record_ring(tested.clock.advance(60 * after_minutes))


def test_three_hours_of_rings_without_a_camera_over_a_chapter_and_a_restart() -> None:
    disk = FakeDisk()
    tested = make_vault(disk, chapters=ONE_CHAPTER)
    for _ in range(3):
        press(tested, after_minutes=30)
    tested.vault._chapter_limits = AT_ONCE
    press(tested, after_minutes=20)
    tested.vault._chapter_limits = ONE_CHAPTER
    press(tested, after_minutes=30)
    press(tested, after_minutes=29)
    tested.clock.advance(600)
    again = make_vault(disk, index=tested.index, clock=tested.clock, chapters=ONE_CHAPTER)
    press(again, after_minutes=1)
    press(again, after_minutes=30)
    assert checked(again).faults == ()
    assert written(again) == [
        ("boot", True),
        ("ring", False),
        ("ring", True),  # an hour later
        ("ring", False),
        ("chapter", True),
        ("ring", False),
        ("ring", False),  # an hour after the ring that has one, and half an hour after the chapter
        ("ring", False),
        ("ring", True),  # the first of the second process
        ("ring", False),
    ]
    assert checked(again).signed_once == 1


def test_a_record_of_an_earlier_time_or_of_another_date_gets_a_second_signature() -> None:
    """A segment may be written after `coverage` that ends later, and the clock may be set."""
    tested = make_vault(FakeDisk())
    start = tested.clock.now()
    tested.vault.record_coverage(start, tested.clock.advance(900))
    earlier = start.at(BootNs(start.boot_ns + seconds(899)))
    tested.vault.record_ring(earlier)
    tested.vault.record_ring(tested.clock.now())
    tested.vault.record_gap(GapReason.OFF, start, tested.clock.now())
    tested.clock.utc_offset_ns += seconds(61)
    tested.vault.record_ring(tested.clock.now())
    tested.clock.utc_offset_ns -= seconds(59)
    tested.vault.record_ring(tested.clock.now())
    assert checked(tested).faults == ()
    assert [twice for _kind, twice in written(tested)] == [True, True, True, False, True, True, False]


def test_the_first_line_after_a_write_that_failed_gets_a_second_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of the failed write is there: it has a second signature, and later times than the next line."""
    disk = FakeDisk()
    tested = make_vault(disk)
    start = tested.clock.now()
    append = tested.log.append

    def fail_after(line: bytes) -> None:
        append(line)
        raise StorageError("The disk is gone.") from OSError(errno.EIO, "injected")

    now = tested.clock.advance(900)
    with monkeypatch.context() as patched:
        patched.setattr(tested.log, "append", fail_after)
        with pytest.raises(StorageError):
            tested.vault.record_coverage(start, now)
    for before_s in (600, 300):
        now = tested.clock.now()
        tested.vault.record_ring(now.at(BootNs(now.boot_ns - seconds(before_s))))
    assert checked(tested).faults == ()
    assert [kind for kind, _twice in written(tested)] == ["boot", "coverage", "ring", "ring"]


@pytest.mark.parametrize("chapters", [ONE_CHAPTER, AT_ONCE], ids=["a boot line", "a chapter's line"])
def test_the_line_behind_lines_that_a_forger_may_have_written_names_none_of_them(chapters: ChapterLimits) -> None:
    """The first line of the same boot is no `boot` line. With full chapters it is that of a new one."""
    disk = FakeDisk()
    tested = make_vault(disk, chapters=ONE_CHAPTER)
    press(tested, after_minutes=1)
    later = RingRecord(at=stamp(tested.clock.boot_id, tested.clock.advance(7200)))
    tested.log.append(sign_record(later, tested.index.chain_head(), DEVICE_KEY.sign).line)
    again = make_vault(disk, clock=tested.clock, chapters=chapters, start=False)
    assert again.vault.start().unproven
    press(again, after_minutes=1)
    press(again, after_minutes=1)
    lines = [parse_line(line.removesuffix(b"\n")) for line in again.log.lines()]
    behind = lines[3:] if chapters is ONE_CHAPTER else [each for each in lines if each.sequence > 2]
    assert behind[0].previous == FIRST
    assert behind[0].mldsa is not None
    assert all(one.chain_hash == other.previous for one, other in itertools.pairwise(behind))
    assert len(behind) >= 2
