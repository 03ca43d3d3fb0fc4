"""Reading a vault while it changes: a segment that is evicted meanwhile, a chapter that goes, and the newest lines."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct

from agent.core.vault.excerpt import Cover, ExcerptBuilder, covers_of, read_excerpt
from agent.core.vault.manifest import (
    ChainFault,
    ChainHead,
    ChainStep,
    RawLine,
    carried_of,
    chapter_of,
    chapter_start,
    follow,
    sign_record,
    split_lines,
)
from agent.core.vault.signed_once import end_of
from agent.errors import StorageError
from agent.vault import manifest_reader, reader, verification
from agent.vault.manifest_reader import end_of_manifest, first_line, last_line, oldest_chapter, read_tail
from agent.vault.verification import EntryCheck
from agent.wire.identities import public_key_of
from tests.fake_disk import FakeDisk
from tests.recorder.test_chapters import SHORT, behind_carried, live_through, opened
from tests.vaults import DEVICE_KEY, DEVICE_MLDSA_KEY, JPEG, SteppedClock, TestVault, box, make_vault
from tests.wire import samples

PUBLIC = public_key_of(DEVICE_KEY)
SOUND = box(b"moof", bytes(70_000))
FORGED = "f" * 24 + "fa"


@pytest.fixture
def tested(tmp_path: Path) -> Iterator[TestVault]:
    made = opened(tmp_path)
    yield made
    made.close()


def test_a_segment_that_is_evicted_while_the_vault_is_verified_is_no_fault_and_is_not_counted(
    tested: TestVault,
) -> None:
    stays, goes = tested.record(), tested.record()
    size = tested.store.size

    def evicted_meanwhile(file: object) -> int | None:
        if goes in str(file) and tested.vault.find(goes) is not None:
            tested.vault.erase([goes])
        return size(file)  # type: ignore[arg-type]

    tested.store.size = evicted_meanwhile  # type: ignore[method-assign]
    report = tested.vault.verify(PUBLIC)
    assert (report.missing, report.damaged, report.unknown, report.faults) == ([], [], [], ())
    assert report.segments == 1
    assert tested.vault.find(stays) is not None


def test_a_file_that_gets_its_record_a_moment_later_is_not_unknown(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder gives a file its name first, and then appends the record."""
    made = tested.record()
    shard, waited = tested.index.shard, list[float]()
    monkeypatch.setattr(tested.index, "shard", lambda name: shard(name) if len(waited) > 1 else ())
    monkeypatch.setattr(verification, "sleep", waited.append)
    assert tested.vault.verify(PUBLIC).unknown == []
    assert len(waited) == 2
    waited.clear()
    monkeypatch.setattr(tested.index, "shard", lambda _: ())
    assert tested.vault.verify(PUBLIC).unknown == [f"{made}.age"]
    assert 2 < len(waited) < 20


def test_one_segment_is_checked_and_one_that_was_evicted_meanwhile_has_no_fault(tested: TestVault) -> None:
    tested.record(poster=JPEG, sound=SOUND)
    (entry,) = tested.vault.entries()
    checked = tested.vault.check(entry, PUBLIC)
    assert checked == EntryCheck(entry.stored_bytes)
    assert tested.vault.check(entry, None) == checked
    other = public_key_of(samples.ROOT)
    damaged = tested.vault.check(entry, other).damaged
    assert damaged == [file.name for file in (entry.file, entry.poster, entry.sound) if file is not None]
    for file in (entry.file, entry.poster, entry.sound):
        assert file is not None
        tested.store.remove([file])
    missing = tested.vault.check(entry, PUBLIC)
    assert missing.missing == damaged
    assert missing.read_bytes == 0
    tested.vault.erase([entry.id])
    assert tested.vault.check(entry, PUBLIC) == EntryCheck()


def test_a_line_that_was_copied_to_another_chapter_meanwhile_is_read_there(tested: TestVault) -> None:
    name = tested.record()
    read, answers = tested.log.read, [b""]

    def gone_at_first(position: int, size_bytes: int) -> bytes:
        return answers.pop() if answers else read(position, size_bytes)

    tested.log.read = gone_at_first  # type: ignore[method-assign]
    assert tested.vault.record(name).record.id == name  # type: ignore[union-attr]
    tested.log.read = lambda _position, _size: b""  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="is damaged"):
        tested.vault.record(name)


def test_a_segment_that_is_not_stored_is_told_with_the_reason(tested: TestVault) -> None:
    for read in (
        tested.vault.record,
        tested.vault.read_poster,
        tested.vault.read_sound,
        lambda name: tested.vault.read(name, 0, 1),
    ):
        with pytest.raises(StorageError, match="is not stored") as caught:
            read("a" * 26)
        assert "evicted" in caught.value.remedy


def test_the_scrub_goes_on_behind_the_segment_that_it_checked_last(tested: TestVault) -> None:
    names = [tested.record() for _ in range(3)]
    first, second, third = tested.vault.entries()
    assert [first.id, second.id, third.id] == names
    assert tested.vault.scrubbed() == -1
    assert tested.vault.after(tested.vault.scrubbed()) == first
    tested.vault.set_scrubbed(first.sequence)
    assert tested.vault.after(tested.vault.scrubbed()) == second
    assert tested.vault.after(third.sequence) is None


def test_of_a_manifest_in_one_chapter_the_tail_is_its_last_lines(tested: TestVault) -> None:
    for _ in range(5):
        tested.record()
    lines = list(tested.log.lines())
    for number in range(1, len(lines)):
        size = sum(map(len, lines[-number:]))
        found = [step.signed.line + b"\n" for step in read_tail(tested.log, size + 1) if step.signed is not None]
        assert found == lines[-number:]
    everything = [step.signed.line + b"\n" for step in read_tail(tested.log, 10**9) if step.signed is not None]
    assert everything == lines


def test_the_tail_of_a_short_chapter_begins_in_the_one_before_and_goes_no_further_back(tested: TestVault) -> None:
    live_through(tested, 70)
    newest = chapter_of(tested.log.end())
    assert newest >= 3
    sizes = tested.log.sizes()
    whole = list(tested.log.lines(chapter_start(newest)))
    tail = [step for step in read_tail(tested.log, sizes[newest]) if step.signed is not None]
    assert [step.signed.line + b"\n" for step in tail if step.signed] == whole
    both = list(tested.log.lines(chapter_start(newest - 1)))
    more = [step for step in read_tail(tested.log, sizes[newest] + sizes[newest - 1]) if step.signed is not None]
    assert [step.signed.line + b"\n" for step in more if step.signed] == both
    most = [step for step in read_tail(tested.log, 10**9) if step.signed is not None]
    assert [step.signed.line + b"\n" for step in most if step.signed] == both
    part = [step for step in read_tail(tested.log, sizes[newest] + len(both[-len(whole) - 1]) + 1) if step.signed]
    assert [step.signed.line + b"\n" for step in part if step.signed] == both[-len(whole) - 1 :]


def test_the_end_of_each_line_is_known_again_and_no_other_position_is(tested: TestVault) -> None:
    for _ in range(3):
        tested.record()
    head = tested.index.chain_head()
    found = last_line(tested.log, head)
    assert found is not None
    assert list(tested.log.lines())[-1] == found.line + b"\n"
    for wrong in (
        {"offset": head.offset - 1},
        {"offset": head.offset + 1},
        {"sequence": head.sequence + 1},
        {"previous": "0" * 64},
        {"offset": 0},
    ):
        values = {"offset": head.offset, "sequence": head.sequence, "previous": head.previous, **wrong}
        assert last_line(tested.log, type(head)(**values)) is None


def test_right_behind_carried_lines_the_first_line_of_the_chapter_is_the_last(
    tested: TestVault, tmp_path: Path
) -> None:
    tested.record()  # stays, so each chapter in which its line lies is followed by one that carries it
    for _ in range(200):
        tested.vault.erase([tested.record()])
        newest = tested.log.chapters()[-1]
        first = first_line(tested.log, newest)
        assert first is not None
        if carried_of(first.record):
            break
    behind = behind_carried(tested.log, newest)
    ends = chapter_start(newest) + len(first.line) + 1
    assert ends < behind, "lines were carried"
    head = ChainHead(behind, first.sequence + 1, first.chain_hash)
    assert last_line(tested.log, head) == first
    assert last_line(tested.log, replace(head, offset=ends)) is None, "not all carried lines are there"
    assert last_line(tested.log, replace(head, sequence=first.sequence)) is None
    assert last_line(tested.log, replace(head, previous="0" * 64)) is None
    with (tmp_path / "vault" / f"manifest.{newest}").open("r+b") as file:
        file.write(b"?")
    assert first_line(tested.log, newest) is None
    assert last_line(tested.log, head) is None


def test_a_line_of_the_greatest_length_is_known_again(tested: TestVault, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        tested.record()
    line = list(tested.log.lines())[-1].rstrip(b"\n")
    monkeypatch.setattr(manifest_reader, "LONGEST_LINE_BYTES", len(line))
    found = last_line(tested.log, tested.index.chain_head())
    assert found is not None
    assert found.line == line


def test_a_first_line_that_is_not_whole_is_none(tested: TestVault) -> None:
    line = next(tested.log.lines())
    found = first_line(tested.log, 0)
    assert found is not None
    assert found.line + b"\n" == line
    assert first_line(tested.log, 1) is None
    tested.log.cut(len(line) - 1)
    assert first_line(tested.log, 0) is None


def test_the_oldest_chapter_that_is_needed_stands_in_the_newest_one(tested: TestVault) -> None:
    assert oldest_chapter(tested.log) == 0
    live_through(tested, 70)
    assert oldest_chapter(tested.log) == min(tested.log.chapters()) > 0
    assert sum(tested.log.sizes().values()) == tested.vault.manifest_bytes() > SHORT.chapter_bytes


def test_a_vault_that_could_not_be_started_is_read_and_its_manifest_left_as_it_is(
    tested: TestVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [tested.record() for _ in range(3)]
    manifest = tmp_path / "vault" / "manifest.0"
    with manifest.open("ab") as file:
        file.write(b"half a line")
    before = manifest.read_bytes()
    tested.index.clear()

    def refused() -> None:
        raise StorageError("The disk is read-only.", remedy="Look at it.")

    monkeypatch.setattr(tested.store, "prepare", refused)
    with pytest.raises(StorageError, match="read-only"):
        tested.vault.start()
    assert list(tested.vault.entries()) == []
    tested.vault.check_store()
    assert [entry.id for entry in tested.vault.entries()] == names
    assert manifest.read_bytes() == before
    assert "read-only" in tested.vault.fault


def test_what_was_set_aside_is_counted_with_its_bytes(tested: TestVault, tmp_path: Path) -> None:
    assert tested.vault.quarantined() == (0, 0)
    (tmp_path / "vault" / "aside" / "photo.jpg").write_bytes(b"12345")
    assert tested.vault.quarantined() == (1, 5)


@pytest.mark.parametrize(("spare", "is_found"), [(0, True), (-1, False)])
def test_a_first_and_a_last_line_are_read_up_to_the_longest_one_to_the_byte(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch, spare: int, is_found: bool
) -> None:
    for _ in range(3):
        tested.record()
    lines, head = list(tested.log.lines()), tested.index.chain_head()
    for line, read in ((lines[0], lambda: first_line(tested.log, 0)), (lines[-1], lambda: last_line(tested.log, head))):
        monkeypatch.setattr(manifest_reader, "LONGEST_LINE_BYTES", len(line) - 1 + spare)
        found = read()
        assert (found is not None and found.line + b"\n" == line) is is_found


def test_a_manifest_is_as_large_as_its_chapters(tested: TestVault, tmp_path: Path) -> None:
    live_through(tested, 20)
    files = list((tmp_path / "vault").glob("manifest.*"))
    assert len(files) > 1
    assert tested.vault.manifest_bytes() == sum(each.stat().st_size for each in files)


def test_the_newest_chapter_with_a_readable_beginning_says_which_one_is_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = SimpleNamespace(chapters=lambda: (0, 3, 4, 5))
    lines: dict[int, str | None] = {}
    asked: list[int] = []

    def first(_log: object, chapter: int) -> SimpleNamespace | None:
        asked.append(chapter)
        line = lines.get(chapter)
        return None if line is None else SimpleNamespace(line=line)

    stated = {(5, "of 5"): 4, (4, "of 4"): 3, (3, "of 3"): 2}
    monkeypatch.setattr(manifest_reader, "first_line", first)
    monkeypatch.setattr(manifest_reader, "oldest_stated", lambda chapter, line: stated.get((chapter, line)))
    for readable, oldest, looked_at in (
        ({5: "of 5", 4: "of 4"}, 4, [5]),
        ({4: "of 4", 3: "of 3"}, 3, [5, 4]),
        ({5: "nothing", 3: "of 3"}, 2, [5, 4, 3]),
        ({0: "of 0"}, 0, [5, 4, 3]),
    ):
        lines.clear()
        lines.update(readable)
        asked.clear()
        assert oldest_chapter(log) == oldest  # type: ignore[arg-type]
        assert asked == looked_at, "the very first chapter says nothing"


# The second signatures behind single records


def lines_of(tested: TestVault) -> dict[str, bytes]:
    return {entry.id: tested.vault.record(entry.id).line for entry in tested.vault.entries()}


def test_the_record_of_each_stored_segment_is_covered_from_its_recording_or_is_one_of_the_newest(
    tested: TestVault,
) -> None:
    live_through(tested, 33)
    lines = lines_of(tested)
    written = [line.removesuffix(b"\n") for line in tested.log.lines()]
    last = max(at for at, line in enumerate(written) if b'"mldsa"' in line)
    newest = {name for name, line in lines.items() if line in written[last + 1 :]}
    assert 0 < len(newest) < len(lines)
    found = tested.vault.covers(lines, PUBLIC, DEVICE_MLDSA_KEY)
    assert {name for name, cover in found.items() if cover is Cover.EXPORT} == newest
    assert all(cover is Cover.CAPTURE for name, cover in found.items() if name not in newest)
    chapters = {name: chapter_of(tested.vault.find(name).line_offset) for name in lines}  # type: ignore[union-attr]
    assert len(set(chapters.values())) > 1
    for name, line in lines.items():
        assert tested.vault.covers({name: line}, PUBLIC, DEVICE_MLDSA_KEY) == {name: found[name]}
    assert tested.vault.covers({}, PUBLIC, DEVICE_MLDSA_KEY) == {}
    with pytest.raises(StorageError, match="is not stored"):
        tested.vault.covers({"a" * 26: b"{}"}, PUBLIC, DEVICE_MLDSA_KEY)


@pytest.mark.parametrize(("code", "is_told"), [(errno.EIO, True), (errno.EMFILE, False)])
def test_a_chapter_that_the_disk_has_lost_costs_its_records_the_cover_and_another_error_is_raised(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch, code: int, is_told: bool
) -> None:
    name = tested.record()
    lines = lines_of(tested)
    raw_lines = tested.log.raw_lines

    def lost(position: int = 0) -> Iterator[RawLine]:
        for raw in raw_lines(position):
            yield raw
            if raw.data == lines[name]:
                raise StorageError("The block cannot be read.") from OSError(code, "lost")

    monkeypatch.setattr(tested.log, "raw_lines", lost)
    if not is_told:
        with pytest.raises(StorageError, match="cannot be read"):
            tested.vault.covers(lines, PUBLIC, DEVICE_MLDSA_KEY)
        return
    assert tested.vault.covers(lines, PUBLIC, DEVICE_MLDSA_KEY) == {name: Cover.NONE}


def test_records_whose_chapter_goes_while_it_is_read_are_found_in_the_next_one(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_through(tested, 20)
    lines, asked = lines_of(tested), list[int]()

    def gone_at_first(log: Any, chapter: int, unread: list[ChainFault]) -> Iterator[ChainStep]:
        asked.append(chapter)
        return iter(()) if len(asked) == 1 else manifest_reader.read_readable(log, chapter, unread)

    monkeypatch.setattr(reader, "read_readable", gone_at_first)
    assert Cover.NONE not in tested.vault.covers(lines, PUBLIC, DEVICE_MLDSA_KEY).values()
    assert len(asked) == 2


def test_a_start_covers_no_record_that_a_forger_put_onto_the_disk_while_the_doorbell_was_off() -> None:
    """It has the device's Ed25519 signature, and stands behind the newest line. A reader of an export lacks the lines
    before it, so only the start can tell. The records in front of it lose the second signature, too, and stay records.
    """
    disk = FakeDisk()
    tested = make_vault(disk)
    older = tested.record()
    tested.vault.record_coverage(tested.clock.now(), tested.clock.advance(900))
    name = tested.record()
    true = {each: tested.vault.record(each) for each in (older, name)}
    head = tested.index.chain_head()
    span = true[name].record.span  # type: ignore[union-attr]
    last_week = replace_struct(span, utc_ms=span.utc_ms - 7 * 86_400_000)
    forged = sign_record(replace_struct(true[name].record, id=FORGED, span=last_week), head, DEVICE_KEY.sign)
    tested.log.append(forged.line)
    again = make_vault(disk, clock=SteppedClock(boot=2), seed=2, start=False)
    assert again.vault.start().unproven
    later = again.record()
    again.vault.record_coverage(again.clock.now(), again.clock.advance(900))
    lines = {each: line.line for each, line in true.items()} | {FORGED: forged.line}
    lines[later] = again.vault.record(later).line
    covers = {older: Cover.CAPTURE, name: Cover.NONE, FORGED: Cover.NONE, later: Cover.CAPTURE}
    assert covers_of(again.vault.steps(), lines, PUBLIC, DEVICE_MLDSA_KEY) == covers
    for one, cover in covers.items():
        assert covers_in_an_export(again, {one: lines[one]}) == [cover], one
    third = make_vault(disk, clock=SteppedClock(boot=3), seed=3, start=False)
    assert not third.vault.start().unproven, "it goes on behind the second one's own lines"


def covers_in_an_export(tested: TestVault, lines: dict[str, bytes]) -> list[Cover]:
    """The second signatures that a reader of these records finds, who has no other line."""
    excerpt = ExcerptBuilder(lines)
    shown = [line for step in tested.vault.steps() for line in excerpt.add(step)]
    return [one.cover for one in read_excerpt(shown, PUBLIC, DEVICE_MLDSA_KEY).records]


def test_a_start_goes_on_behind_a_tail_that_does_not_show_the_newest_second_signature() -> None:
    """More lines than the tail stand behind it, or an old line is repeated there."""
    tested = make_vault(FakeDisk())
    for _ in range(160):
        tested.vault.record_ring(tested.clock.advance(6))
    lines = tested.log.read(0, 1 << 20).splitlines(keepends=True)
    assert not end_of(read_tail(tested.log, 64 << 10), DEVICE_MLDSA_KEY).is_known
    assert end_of_manifest(tested.log, DEVICE_MLDSA_KEY).is_sound
    assert not tested.vault.start().unproven
    repeated = follow(split_lines([b"".join((*lines[-9:], lines[0], *lines[1:3]))]))
    assert not end_of(repeated, DEVICE_MLDSA_KEY).is_known, "an old hour is not the newest one"
