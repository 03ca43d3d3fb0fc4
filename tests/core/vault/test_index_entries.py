"""The index's entries, the names of files, their hashes and the chapters to delete, each as a whole value."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.core.retention import ChapterLimits, chapter_limits, chapters_to_delete
from agent.core.timebase import ClockQuality
from agent.core.vault.entries import NumberedClockSync, VaultEntry, dated, entry_of
from agent.core.vault.fields import FileKind, Stamp, VaultFile, parse_name, segment_id
from agent.core.vault.records import CONTINUOUS, FileDigest, PosterRecord, SealedFile, SoundRecord, digest
from agent.errors import InternalError
from tests.core.vault.test_records import BOOT, EVENT, NAME, SHA, SOUND, STILL, begin, recovered, segment, span

UNKNOWN, HELD, SYNCED = ClockQuality.UNKNOWN, ClockQuality.HELD, ClockQuality.SYNCED
ENTRY = VaultEntry(
    sequence=7, id=NAME, event=EVENT, boot=BOOT, ordinal=3, start_ms=5000, end_ms=5002, quality=SYNCED,
    size_bytes=10, poster_bytes=0, whole=True, witnessed=True, line_offset=900, line_size=80, start_us=4,
)  # fmt: skip


def test_an_entry_is_what_the_record_and_its_line_say() -> None:
    plain = segment(span=span(4, 1005))
    assert entry_of(plain, 7, 900, 80) == ENTRY
    poster, sound = PosterRecord(file=STILL, key=SHA), SoundRecord(file=SOUND, key=SHA)
    full = segment(span=span(4, 1005), poster=poster, sound=sound, label=CONTINUOUS)
    assert entry_of(full, 7, 900, 80) == replace(ENTRY, poster_bytes=11, sound_bytes=12, continuous=True)
    cut = recovered(begin=begin(start_us=4, until_us=1005), poster_file=STILL)
    assert entry_of(cut, 7, 900, 80) == replace(ENTRY, quality=UNKNOWN, poster_bytes=11, whole=False, witnessed=False)


def test_an_entry_names_its_files_and_counts_what_their_deletion_frees() -> None:
    poster, sound = VaultFile(NAME, FileKind.POSTER), VaultFile(NAME, FileKind.SOUND)
    for entry, files, freed in (
        (ENTRY, (VaultFile(NAME, FileKind.SEGMENT),), 10),
        (replace(ENTRY, whole=False, poster_bytes=11), (VaultFile(NAME, FileKind.CUT), poster), 21),
        (replace(ENTRY, sound_bytes=12), (VaultFile(NAME, FileKind.SEGMENT), sound), 22),
        (replace(ENTRY, poster_bytes=11, sound_bytes=12), (VaultFile(NAME, FileKind.SEGMENT), poster, sound), 33),
    ):
        assert ((entry.file, *entry.companions), entry.stored_bytes) == (files, freed)


def sync(
    quality: ClockQuality = SYNCED, sequence: int = 8, boot: str = BOOT, utc_ms: int = 60_000
) -> NumberedClockSync:
    return NumberedClockSync(sequence, Stamp(boot=boot, at_us=1_000_004, utc_ms=utc_ms, quality=quality))


def test_a_better_clock_of_the_same_boot_dates_the_segments_before_it() -> None:
    """The clock was set a second after the segment began."""
    held = replace(ENTRY, quality=HELD)
    moved = replace(ENTRY, start_ms=59_000, end_ms=59_002, dated_later=True)
    assert dated(held, sync()) == moved
    assert dated(replace(held, quality=UNKNOWN), sync(HELD)) == replace(moved, quality=HELD)
    recovered_one = replace(ENTRY, quality=UNKNOWN, witnessed=False)
    assert dated(recovered_one, sync()) == replace(moved, quality=UNKNOWN, witnessed=False)
    assert dated(held, sync(utc_ms=6_000)) == replace(ENTRY, quality=SYNCED), "it was right"
    assert dated(replace(held, dated_later=True), sync(utc_ms=6_000)).dated_later
    for other in (sync(HELD), sync(UNKNOWN), sync(sequence=7), sync(sequence=6), sync(boot="c" * 32)):
        assert dated(held, other) is held


def test_an_id_is_sixteen_bytes_in_base32_and_its_first_digit_is_the_folder() -> None:
    name = segment_id(bytes(range(16)))
    assert name == "aaaqeayeaudaocajbifqydiob4"
    with pytest.raises(InternalError) as refused:
        segment_id(bytes(15))
    assert "A segment id needs 16 bytes, and this token has 15." in str(refused.value)
    ends = (".age", ".poster.age", ".part", ".poster.part", ".sound.age", ".sound.part", ".cut")
    found = [parse_name(name + end) for end in ends]
    assert found == [VaultFile(name, FileKind(end)) for end in ends]
    assert [(each.name, each.shard) for each in found if each] == [(name + end, "a") for end in ends]
    for other in (name, f"{name}.AGE", f"{name}.poster.cut", f"{name}.age ", f"x{name}.age", f"{name[:-1]}b.age"):
        assert parse_name(other) is None


@pytest.mark.parametrize("cuts", [(), (3,), (5,), (8,), (3, 5), (2, 4, 9), (0, 5, 5, 12)])
def test_header_and_payload_are_hashed_apart_however_the_bytes_come(cuts: tuple[int, ...]) -> None:
    data = b"header and payload"[:12]
    expected = SealedFile(
        size=12,
        header_size=5,
        sha256_header=hashlib.sha256(data[:5]).hexdigest(),
        sha256_payload=hashlib.sha256(data[5:]).hexdigest(),
    )
    edges = (0, *cuts, 12)
    assert digest([data[one:two] for one, two in pairwise(edges)], 5) == expected
    written = FileDigest(data[:5])
    written.update(data[5:7])
    written.update(data[7:])
    assert written.sealed() == expected
    assert digest([b"abc"], 5).header_size == 3, "shorter than its header"


def test_the_limits_of_chapters_follow_the_size_of_the_vault() -> None:
    assert chapter_limits(1) == ChapterLimits(256 << 10, 2 << 20)
    assert chapter_limits((512 << 20) + 2560) == ChapterLimits((256 << 10) + 1, (2 << 20) + 10)
    assert chapter_limits(1 << 40) == ChapterLimits(4 << 20, 4 << 30)


def test_chapters_are_deleted_from_the_oldest_until_the_rest_fits() -> None:
    limits = ChapterLimits(chapter_bytes=100, history_bytes=200)
    assert chapters_to_delete({0: 100, 1: 100}, {}, limits) == [], "exactly the bound"
    assert chapters_to_delete({0: 100, 1: 101}, {}, limits) == [0]
    assert chapters_to_delete({3: 100, 2: 100, 1: 100, 5: 100}, {}, limits) == [1, 2]
    needed = {0: 60, 1: 40, 2: 1}
    many = dict.fromkeys(range(20), 100)
    assert chapters_to_delete(many, needed, limits) == [0, 1], "no more is copied than one chapter holds"
    assert chapters_to_delete(many, {0: 500}, limits) == [0], "and one of them always goes"
    assert chapters_to_delete(dict.fromkeys(range(40), 100), {}, limits) == list(range(16))
    assert chapters_to_delete({0: 300, 1: 100}, {0: 90}, limits) == [0]
    assert chapters_to_delete({0: 250, 1: 50, 2: 50, 3: 50}, {0: 90}, limits) == [0], "160 bytes of it are gone"
    assert chapters_to_delete({0: 250, 1: 90, 2: 50, 3: 180}, {0: 90}, limits) == [0, 1], "but 160 are too few here"
    assert chapters_to_delete({0: 300, 1: 80}, {0: 90}, limits) == [], "twice what is needed, and the history"
