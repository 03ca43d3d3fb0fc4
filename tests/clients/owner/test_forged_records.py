"""A forger of Ed25519 without the doorbell's second key writes into a copy of its vault.

Source: FORMAT.md, "Second signatures".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.owner.copied_vault import FolderVault
from agent.core.timebase import ClockQuality
from agent.core.vault.age.header import parse_header, split
from agent.core.vault.fields import Stamp
from agent.core.vault.manifest import ChainHead, SignedRecord, parse_line, sign_record
from agent.core.vault.records import (
    Carried,
    Chapter,
    CoverageRecord,
    EvictionReason,
    EvictionRecord,
    Record,
    RecoveredRecord,
    SegmentRecord,
    digest,
)
from agent.core.vault.segment import begin_in
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed
from tests.clients.owner.conftest import Home
from tests.clients.owner.fake_device import JPEG
from tests.clients.owner.test_sealed_footage import forged_copy, later
from tests.core.vault.make_vault_vectors import tree_of
from tests.wire.samples import MLDSA, MLDSA_KEY

LACKS = "The line lacks the second signature, by ML-DSA-44."
MISSING = "The chapter is missing."
LOOSE = "The line does not follow the one before it."
FORGED = "forged"
OTHER_BOOT = "b2" * 16


def segment(home: Home, number: int) -> Any:
    return home.device.stored[home.segments[number]].signed.record


def cover(home: Home) -> None:
    """The device writes `coverage` behind its three segments."""
    home.device._record(CoverageRecord(span=segment(home, 2).span))


def newest_stamp(home: Home, **changes: Any) -> Stamp:
    span = segment(home, 2).span
    at = Stamp(boot=span.boot, at_us=span.end_us, utc_ms=span.end_ms, quality=ClockQuality.SYNCED)
    return msgspec.structs.replace(at, **changes)


def soon(home: Home, record: Any, **changes: Any) -> Any:
    """The record as if the device had made it a second after its newest: nothing but the second key is missing."""
    return later(record, (segment(home, 2).span.end_us - record.span.end_us) // 10**6 + 1, **changes)


def label_of(vault: FolderVault, name: str) -> str | None:
    """The label in the record that the segment has in the copy; None if it has no record."""
    record = vault._stored[name].record
    return None if record is None else record.record.label_text  # type: ignore[union-attr]


def problems(vault: FolderVault) -> list[str]:
    return [fault.problem for fault in vault.faults]


def chain(home: Home, *records: tuple[Record, bool]) -> list[bytes]:
    """The lines of a manifest of the device's; with a second signature where it is True."""
    tip, lines = ChainHead(), []
    for record, is_twice in records:
        signed = sign_record(record, tip, home.device.private.sign, MLDSA.sign if is_twice else None)
        tip = tip.after(signed)
        lines.append(signed.line)
    return lines


def in_boot(record: Any, at: Stamp, after_s: int, **changes: Any) -> Any:
    """The record in the boot of `at`, this many seconds later."""
    start_us = at.at_us + after_s * 10**6
    span = msgspec.structs.replace(
        record.span, boot=at.boot, start_us=start_us, end_us=start_us + 2 * 10**6, utc_ms=at.utc_ms + after_s * 1000
    )
    return msgspec.structs.replace(record, span=span, **changes)


def second_stamp(home: Home) -> Stamp:
    boot: Any = parse_line(home.device.lines[0]).record
    at: Stamp = msgspec.structs.replace(boot.at, boot=OTHER_BOOT, at_us=1, utc_ms=boot.at.utc_ms + 86_400_000)
    return at


def second_boot(home: Home) -> list[bytes]:
    """A boot, and another one with a segment and `coverage` behind it."""
    boot: Any = parse_line(home.device.lines[0]).record
    at = second_stamp(home)
    again = msgspec.structs.replace(boot, at=at)
    genuine = segment(home, 0)
    return chain(
        home,
        (boot, True),
        (again, True),
        (in_boot(genuine, at, 1), False),
        (in_boot(segment(home, 1), at, 3), False),
        (CoverageRecord(span=in_boot(genuine, at, 5).span), True),
    )


def test_a_line_that_no_second_signature_covers_removes_and_replaces_no_record(home: Home, tmp_path: Path) -> None:
    cover(home)
    gone = EvictionRecord(segments=home.segments, reason=EvictionReason.BYTES, at=newest_stamp(home))
    genuine = segment(home, 0)
    vault = forged_copy(home, tmp_path / "copy", gone, soon(home, genuine, label=FORGED))
    assert vault.faults == (), "in the hour that is signed once"
    assert label_of(vault, home.segments[0]) == genuine.label_text
    assert None not in [label_of(vault, name) for name in home.segments]
    assert vault.signed_once == frozenset()


def test_a_refused_line_removes_no_record(home: Home, tmp_path: Path) -> None:
    cover(home)
    gone = EvictionRecord(segments=home.segments, reason=EvictionReason.BYTES, at=newest_stamp(home, boot="f" * 32))
    vault = forged_copy(home, tmp_path / "copy", gone)
    assert problems(vault) == [LACKS]
    assert None not in [label_of(vault, name) for name in home.segments]


def test_a_tombstone_that_is_covered_counts(home: Home, tmp_path: Path) -> None:
    """A file that came back after its tombstone has no record, also if a forger gives it one from before."""
    gone = EvictionRecord(segments=home.segments[:1], reason=EvictionReason.OWNER, at=newest_stamp(home))
    home.device._record(gone)
    cover(home)
    vault = forged_copy(home, tmp_path / "copy")
    assert vault.faults == ()
    assert [label_of(vault, name) is None for name in home.segments] == [True, False, False]


def test_no_record_counts_in_a_manifest_without_a_second_signature(home: Home, tmp_path: Path) -> None:
    """The last line is a `boot` of the forger's: it names the device's second key and lacks its signature."""
    boot = parse_line(home.device.lines[0]).record
    records = [parse_line(line).record for line in home.device.lines[1:]]
    home.device.lines = chain(home, *((each, False) for each in (*records, boot)))
    vault = forged_copy(home, tmp_path / "copy")
    assert problems(vault) == [LACKS] * 4
    assert vault.signed
    assert [label_of(vault, name) for name in home.segments] == [None] * 3


def test_a_forger_of_ed25519_adds_no_record_from_before_the_newest_second_signature(home: Home, tmp_path: Path) -> None:
    cover(home)
    forged = later(segment(home, 0), -3_600, id="a" * 26)
    assert problems(forged_copy(home, tmp_path / "copy", forged)) == [LACKS]


def test_a_forger_of_ed25519_adds_no_segment_that_began_long_before_it(home: Home, tmp_path: Path) -> None:
    """It ends in the hour that is signed once. It would be footage from before the newest second signature."""
    cover(home)
    forged = soon(home, segment(home, 0), id="a" * 26)
    span = msgspec.structs.replace(
        forged.span, start_us=forged.span.start_us - 61_000_000, utc_ms=forged.span.utc_ms - 61_000
    )
    vault = forged_copy(home, tmp_path / "copy", msgspec.structs.replace(forged, span=span))
    assert problems(vault) == [LACKS]


@pytest.mark.parametrize("days", [-7, 7])
def test_a_forger_of_ed25519_adds_no_record_of_another_date(home: Home, tmp_path: Path, days: int) -> None:
    """The time on the boot clock fits. The date does not."""
    cover(home)
    forged = soon(home, segment(home, 0), id="a" * 26)
    span = msgspec.structs.replace(forged.span, utc_ms=forged.span.utc_ms + days * 86_400_000)
    vault = forged_copy(home, tmp_path / "copy", msgspec.structs.replace(forged, span=span))
    assert problems(vault) == [LACKS]


def test_a_forger_of_ed25519_recovers_no_segment(home: Home, tmp_path: Path) -> None:
    """A recovered record states two times: when it was found, and when it was filmed."""
    cover(home)
    sealed = home.device.stored[home.segments[0]].sealed
    begin, file = begin_in(parse_header(sealed)[0]), digest((sealed,), split(sealed))
    forged = RecoveredRecord(begin=begin, complete=True, file=file, at=newest_stamp(home))
    assert problems(forged_copy(home, tmp_path / "copy", forged)) == [LACKS]


def test_a_forged_line_in_front_of_a_second_signature_is_no_record(home: Home, tmp_path: Path) -> None:
    """The line after it names the hash of the device's line, and so the forged one is not covered."""
    cover(home)
    at = next(n for n, line in enumerate(home.device.lines) if b'"mldsa"' not in line)
    old = parse_line(home.device.lines[at])
    name = old.record.id  # type: ignore[union-attr]
    forged = msgspec.structs.replace(old.record, label=FORGED)  # type: ignore[type-var]
    place = ChainHead(0, old.sequence, old.previous)
    home.device.lines[at] = sign_record(forged, place, home.device.private.sign).line
    vault = forged_copy(home, tmp_path / "copy")
    assert problems(vault) == [LOOSE]
    assert [label_of(vault, each) is None for each in home.segments] == [each == name for each in home.segments]


def chapter_copy(
    home: Home, folder: Path, carried: Sequence[bytes], stored: Sequence[bytes], second: Any = MLDSA.sign,
    first_key: Any = None,
) -> FolderVault:  # fmt: skip
    """A copy with one chapter: it states that it carries `carried`, and holds `stored`, with `coverage` behind it."""
    whole = b"".join(line + b"\n" for line in carried)
    boot: Any = parse_line(home.device.lines[0]).record
    begins = Chapter(
        number=1, oldest=1, device=home.device.key.id, device_mldsa=MLDSA_KEY.text, at=boot.at,
        carried=Carried(size=len(whole), root=tree_of(whole)),
    )  # fmt: skip
    first = sign_record(begins, ChainHead(0, 5, "a" * 64), (first_key or home.device.private).sign, second)
    coverage = CoverageRecord(span=segment(home, 2).span)
    then = sign_record(coverage, ChainHead(0, 6, first.chain_hash), home.device.private.sign, second)
    home.device.copy_to(folder)
    (folder / "vault" / "manifest.0").unlink()
    lines = [first.line, *stored, then.line]
    (folder / "vault" / "manifest.1").write_bytes(b"".join(line + b"\n" for line in lines))
    return FolderVault(folder, {home.device.key.id: home.device.key}, {home.device.key.id: MLDSA_KEY})


def replaced(home: Home, signed: SignedRecord) -> bytes:
    forged = msgspec.structs.replace(signed.record, label=FORGED)  # type: ignore[type-var]
    return sign_record(forged, ChainHead(0, signed.sequence, signed.previous), home.device.private.sign).line


def test_carried_lines_with_a_forged_one_among_them_are_no_records(home: Home, tmp_path: Path) -> None:
    """Their common hash proves them. A line with a second signature is proven alone."""
    lines = home.device.lines[1:]
    whole = chapter_copy(home, tmp_path / "whole", lines, lines)
    assert (whole.faults, whole.signed_once) == ((), frozenset())
    assert None not in [label_of(whole, name) for name in home.segments]
    by_name = {each.record.id: each for each in map(parse_line, lines)}  # type: ignore[union-attr]
    at = next(n for n, line in enumerate(lines) if b'"mldsa"' not in line)
    stored = [*lines]
    stored[at] = replaced(home, parse_line(lines[at]))
    vault = chapter_copy(home, tmp_path / "copy", lines, stored)
    assert "The carried lines differ" in " ".join(problems(vault))
    proven = [by_name[name].mldsa is not None for name in home.segments]
    assert True in proven
    assert [label_of(vault, name) is not None for name in home.segments] == proven
    assert FORGED not in [label_of(vault, name) for name in home.segments]


def test_lines_that_a_forged_chapter_carries_are_no_records(home: Home, tmp_path: Path) -> None:
    forged = [replaced(home, parse_line(line)) for line in home.device.lines[1:]]
    vault = chapter_copy(home, tmp_path / "copy", forged, forged, second=None)
    assert problems(vault) == [MISSING, LACKS, LACKS], "a forged chapter does not say which ones are needed"
    assert [label_of(vault, name) for name in home.segments] == [None] * 3


@pytest.mark.parametrize("forger", ["of Ed25519", "without a key"])
def test_a_forged_chapter_hides_no_chapter_before_it(home: Home, tmp_path: Path, forger: str) -> None:
    """It states that it is the oldest one that is needed."""
    cover(home)
    boot: Any = parse_line(home.device.lines[0]).record
    begins = Chapter(number=1, oldest=1, device=home.device.key.id, device_mldsa=MLDSA_KEY.text, at=boot.at)
    key = home.device.private if forger == "of Ed25519" else private_key_from_seed(b"z" * 32)
    copy = home.device.copy_to(tmp_path / "copy")
    (copy / "vault" / "manifest.1").write_bytes(sign_record(begins, home.device.tip, key.sign).line + b"\n")
    vault = FolderVault(copy, {home.device.key.id: home.device.key}, {home.device.key.id: MLDSA_KEY})
    assert problems(vault) == [LACKS if forger == "of Ed25519" else "The signature is not this device's."]
    assert None not in [label_of(vault, name) for name in home.segments]


def test_lines_that_the_chapter_of_a_stranger_carries_are_no_records(home: Home, tmp_path: Path) -> None:
    forged = [replaced(home, parse_line(line)) for line in home.device.lines[1:]]
    stranger = private_key_from_seed(b"z" * 32)
    vault = chapter_copy(home, tmp_path / "copy", forged, forged, first_key=stranger)
    assert problems(vault)[:2] == [MISSING, "The signature is not this device's."]
    assert [label_of(vault, name) for name in home.segments] == [None] * 3


def test_poster_and_sound_of_a_line_that_is_no_record_still_open(home: Home, tmp_path: Path) -> None:
    """Damage costs the proof of the records before it, back to the newest second signature, and no footage."""
    boot, *records = (parse_line(line).record for line in home.device.lines)
    coverage = CoverageRecord(span=segment(home, 2).span)
    lines = chain(home, (boot, True), *((record, False) for record in records), (coverage, True))
    lines[2] = bytes(len(lines[2]))
    home.device.lines = lines
    vault = forged_copy(home, tmp_path / "copy")
    assert [label_of(vault, name) is None for name in home.segments] == [True, True, False]
    listed = vault.listed()[0]
    assert (listed.id, listed.poster, listed.sound) == (home.segments[0], True, True)
    assert vault.open(listed.id, home.keys.identities).record is None
    assert vault.poster(listed.id, home.keys.identities).image == JPEG
    assert vault.sound(listed.id, home.keys.identities)
    assert vault.signed_once == frozenset()


def test_a_covered_line_behind_damage_counts_and_wins_over_a_later_line(home: Home, tmp_path: Path) -> None:
    """The line of a boot rots. The records of this boot then lack the second signature that the boot had."""
    lines = second_boot(home)
    lines[1] = bytes(len(lines[1]))
    home.device.lines = [*lines]
    honest = forged_copy(home, tmp_path / "honest")
    assert honest.signed
    assert honest.faults
    assert honest.signed_once == frozenset()
    genuine = [segment(home, number).label_text for number in (0, 1)]
    assert [label_of(honest, name) for name in home.segments[:2]] == genuine
    home.device.lines = [*lines]
    forged = in_boot(segment(home, 0), second_stamp(home), 6, label=FORGED)
    vault = forged_copy(home, tmp_path / "copy", forged)
    assert [label_of(vault, name) for name in home.segments[:2]] == genuine
    assert vault.signed_once == frozenset()


def test_a_boot_behind_damage_dates_the_records_behind_it(home: Home, tmp_path: Path) -> None:
    """The newest records of a stolen doorbell, with a damaged line shortly before them."""
    lines = second_boot(home)[:-1]
    lines[0] = bytes(len(lines[0]))
    home.device.lines = lines
    vault = forged_copy(home, tmp_path / "copy")
    assert vault.signed_once == set(home.segments[:2])
    assert LACKS not in problems(vault)


def test_an_unreadable_end_costs_no_record(home: Home, tmp_path: Path) -> None:
    """A line was being written when the power went. Those before it are signed once."""
    copy = home.device.copy_to(tmp_path / "copy")
    with (copy / "vault" / "manifest.0").open("ab") as file:
        file.write(b'{"payload":"e')
    vault = FolderVault(copy, {home.device.key.id: home.device.key}, {home.device.key.id: MLDSA_KEY})
    assert problems(vault) == ["The line is cut off."]
    assert None not in [label_of(vault, name) for name in home.segments]
    assert vault.signed_once


def test_a_repeated_line_of_another_boot_dates_no_record_of_that_boot(home: Home, tmp_path: Path) -> None:
    lines = second_boot(home)
    repeated = parse_line(lines[0])
    home.device.lines = [*lines, repeated.line]
    forged = in_boot(segment(home, 2), repeated.record.at, 1, label=FORGED)  # type: ignore[union-attr]
    tip = ChainHead(0, repeated.sequence + 1, repeated.chain_hash)
    home.device.lines.append(sign_record(forged, tip, home.device.private.sign).line)
    vault = forged_copy(home, tmp_path / "copy")
    assert problems(vault) == [LOOSE, LACKS]
    assert label_of(vault, home.segments[2]) is None


@pytest.mark.parametrize("named", ["the device", "another device"])
def test_a_line_that_nobody_signed_chooses_no_key(home: Home, tmp_path: Path, named: str) -> None:
    """A person with the disk and without any key puts a line in front of the others."""
    cover(home)
    boot: Any = parse_line(home.device.lines[0]).record
    stranger, theirs = private_key_from_seed(b"z" * 32), MldsaPublicKey.of(mldsa_key_from_seed(b"t" * 32))
    device = home.device.key.id if named == "the device" else "0" * 16
    junk = msgspec.structs.replace(boot, device=device, device_mldsa=theirs.text)
    home.device.lines.insert(0, sign_record(junk, ChainHead(), stranger.sign).line)
    copy = home.device.copy_to(tmp_path / "copy")
    vault = FolderVault(copy, {home.device.key.id: home.device.key})
    assert vault.signed
    assert vault.device == home.device.key.id
    assert vault.unknown_mldsa == MLDSA_KEY.text
    assert None not in [label_of(vault, name) for name in home.segments]
    assert vault.signed_once == frozenset()


def test_a_key_that_only_a_strangers_line_names_is_not_told(home: Home, tmp_path: Path) -> None:
    boot = parse_line(home.device.lines[0]).record
    home.device.lines[0] = sign_record(boot, ChainHead(), private_key_from_seed(b"z" * 32).sign).line
    vault = FolderVault(home.device.copy_to(tmp_path / "copy"), {home.device.key.id: home.device.key})
    assert (vault.device, vault.signed, vault.unknown_mldsa) == (home.device.key.id, True, "")


def test_bytes_that_no_key_verifies_are_no_second_signature(home: Home, tmp_path: Path) -> None:
    """The only line that names a second key is lost, and the forger's line has 2 420 bytes of anything."""
    records = [parse_line(line).record for line in home.device.lines[1:]]
    tip, lines = ChainHead(), []
    for record in records:
        signed = sign_record(record, tip, home.device.private.sign, lambda _encoding: bytes(2420))
        tip = tip.after(signed)
        lines.append(signed.line)
    boot = sign_record(parse_line(home.device.lines[0]).record, tip, home.device.private.sign, MLDSA.sign)
    home.device.lines = [*lines, boot.line]
    copy = home.device.copy_to(tmp_path / "copy")
    vault = FolderVault(copy, {home.device.key.id: home.device.key})
    assert problems(vault) == ["The second signature is not this device's."] * 3
    assert [isinstance(record, SegmentRecord) for record in records] == [True] * 3
