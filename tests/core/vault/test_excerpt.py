"""Excerpts: each chosen record with the second signature that covers it, and nothing about the others."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest

from agent.core.vault.excerpt import Cover, ExcerptReport, covers_of, read_excerpt
from agent.core.vault.fields import segment_id
from agent.core.vault.manifest import (
    ChainHead,
    LineSigner,
    RawLine,
    Signer,
    chapter_start,
    follow,
    sign_record,
    split_lines,
)
from agent.core.vault.records import (
    Carried,
    Chapter,
    CoverageRecord,
    Record,
    RecoveredRecord,
    RingRecord,
    SegmentRecord,
)
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed
from tests.core.vault.make_excerpt_vectors import PLACE, excerpt, vectors
from tests.core.vault.make_vault_vectors import DEVICE, MLDSA, RECORDS, tree_of

BAD = sorted(path.name for path in (PLACE / "bad").iterdir())
BOOT, SEGMENT = RECORDS[0], RECORDS[1]
_KEY, _SECOND = private_key_from_seed(b"d" * 32), mldsa_key_from_seed(b"m" * 32)
"""Those of the vectors."""


def lines_of(data: bytes) -> list[bytes]:
    return data.splitlines()


def verified(lines: Iterable[bytes]) -> ExcerptReport:
    return read_excerpt(lines, DEVICE, MLDSA)


def covers(report: ExcerptReport) -> list[Cover]:
    return [each.cover for each in report.records]


def test_the_vectors_are_made_again_byte_by_byte() -> None:
    made = vectors()
    assert {name: (PLACE / name).read_bytes() for name in made} == made
    assert sorted(name for name in made if name.startswith("bad/")) == [f"bad/{name}" for name in BAD]


def test_the_good_ones_are_good() -> None:
    said = {name: verified(lines_of((PLACE / name).read_bytes())) for name in ("at_capture", "carried", "at_export")}
    assert [report.faults for report in said.values()] == [[], [], []]
    assert {name: covers(report) for name, report in said.items()} == {
        "at_capture": [Cover.CAPTURE],
        "carried": [Cover.CAPTURE],
        "at_export": [Cover.CAPTURE, Cover.CAPTURE, Cover.EXPORT],
    }
    assert [report.exported_ms for report in said.values()] == [None, None, 1_760_000_200_000]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused(name: str) -> None:
    """A second signature covers at most the records that it covers in a good excerpt, and never a forged one."""
    report = verified(lines_of((PLACE / "bad" / name).read_bytes()))
    assert report.faults
    true = [record for record in RECORDS if isinstance(record, SegmentRecord | RecoveredRecord)]
    assert all(each.signed.record in true for each in report.records if each.cover is not Cover.NONE)
    if not name.startswith(("head", "line_behind")):
        assert set(covers(report)) <= {Cover.NONE}


def manifest(chance: random.Random, records: int) -> list[RawLine]:
    """Returns the lines of a vault with segments, rings, and a `coverage` now and then."""
    signer = LineSigner(_KEY.sign, _SECOND.sign)
    made, tip = bytearray(), ChainHead()
    for number in range(records):
        at = msgspec.structs.replace(BOOT.at, at_us=BOOT.at.at_us + number)  # type: ignore[union-attr]
        span = msgspec.structs.replace(SEGMENT.span, start_us=at.at_us, end_us=at.at_us + 1)  # type: ignore[union-attr]
        drawn = chance.choices(("segment", "ring", "coverage"), (5, 2, 1))[0] if number else "boot"
        record: Record = {
            "boot": BOOT,
            "segment": msgspec.structs.replace(SEGMENT, id=segment_id(number.to_bytes(16)), span=span),
            "ring": RingRecord(at=at),
            "coverage": CoverageRecord(span=span),
        }[drawn]
        signed = signer.sign(record, tip)
        signer.wrote(signed)
        made += signed.line + b"\n"
        tip = tip.after(signed)
    return list(split_lines([bytes(made)]))


def segments(lines: Iterable[RawLine]) -> dict[str, bytes]:
    found = (step.signed for step in follow(lines))
    return {each.record.id: each.line for each in found if each and isinstance(each.record, SegmentRecord)}


def test_each_chosen_record_is_covered_and_the_others_stay_unknown() -> None:
    for seed in range(12):
        chance = random.Random(seed)
        lines = manifest(chance, 40)
        there = segments(lines)
        chosen = chance.sample(sorted(there), chance.randrange(1, min(6, len(there))))
        made = excerpt(lines, chosen)
        report = verified(made)
        assert report.faults == []
        assert sorted(each.signed.record.id for each in report.records) == sorted(chosen)  # type: ignore[union-attr]
        assert Cover.NONE not in covers(report)
        whole = b"\n".join(made)
        assert not [name for name, line in there.items() if name not in chosen and line in whole]


def test_no_line_of_an_excerpt_can_be_left_out_or_exchanged() -> None:
    lines = manifest(random.Random(3), 40)
    there = sorted(segments(lines))
    good = excerpt(lines, there[::4])
    whole = covers(verified(good))
    for at in range(len(good)):
        without = verified([*good[:at], *good[at + 1 :]])
        # Without its first line, a stretch is one of fewer records.
        assert without.faults or len(without.records) < len(whole)
        if at:
            swapped = verified([*good[: at - 1], good[at], good[at - 1], *good[at + 1 :]])
            assert swapped.faults


def test_a_last_line_that_is_being_written_is_no_damage() -> None:
    lines = manifest(random.Random(5), 12)
    last, line = list(segments(lines).items())[-1]
    until = [raw.data for raw in lines].index(line) + 1
    torn = RawLine(lines[until - 1].end, b'{"payload"', 10, False)
    for written in (lines[:until], [*lines[:until], torn]):
        report = verified(excerpt(written, [last]))
        assert (report.faults, covers(report)) == ([], [Cover.EXPORT])


def test_a_damaged_line_leaves_the_records_before_it_without_a_second_signature_and_no_others() -> None:
    lines = manifest(random.Random(7), 40)
    there = segments(lines)
    order = [raw.data for raw in lines]
    gone = next(at for at in range(len(order)) if order[at] in there.values() and order[at - 1] in there.values())
    before = next(name for name, line in there.items() if line == order[gone - 1])
    damaged = [*lines]
    damaged[gone] = replace(lines[gone], data=b"?" * len(order[gone]))
    others = [name for name, line in there.items() if line != order[gone]]
    report = verified(excerpt(damaged, others))
    found = {each.signed.record.id: each.cover for each in report.records}  # type: ignore[union-attr]
    assert found[before] is Cover.NONE
    later = [name for name in others if order.index(there[name]) > gone]
    assert later
    assert Cover.NONE not in [found[name] for name in later]


def test_the_head_gives_no_second_signature_to_a_forged_line() -> None:
    """A forger of Ed25519 with the disk adds a record that the device has not written: its date is another one."""
    lines = manifest(random.Random(9), 12)
    newest = list(follow(lines))[-1]
    assert newest.signed is not None
    span = msgspec.structs.replace(SEGMENT.span, utc_ms=SEGMENT.span.utc_ms + 3_600_000)  # type: ignore[union-attr]
    record = msgspec.structs.replace(SEGMENT, id=segment_id(b"f" * 16), span=span)
    forged = sign_record(record, newest.head, _KEY.sign)
    added = RawLine(newest.head.offset, forged.line, len(forged.line) + 1, True)
    report = verified(excerpt([*lines, added], [record.id]))
    assert covers(report) == [Cover.NONE]
    assert [fault.problem for fault in report.faults] == ["No second signature follows this line."]


def test_a_line_that_names_another_second_key_is_a_fault_even_if_it_is_signed_twice() -> None:
    other = MldsaPublicKey.of(mldsa_key_from_seed(b"o" * 32))
    first = sign_record(SEGMENT, ChainHead(), _KEY.sign)
    for named, expected in ((MLDSA, Cover.CAPTURE), (other, Cover.NONE)):
        boot = msgspec.structs.replace(BOOT, device_mldsa=named.text)
        last = sign_record(boot, ChainHead().after(first), _KEY.sign, _SECOND.sign)
        report = verified([first.line, last.line])
        assert (covers(report), bool(report.faults)) == ([expected], expected is Cover.NONE)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_carried_records_are_covered_by_their_chapter(count: int) -> None:
    """The lines of deleted chapters: the others of them stay unknown."""
    old = list(segments(manifest(random.Random(1), 30)).items())[:count]
    carried = b"".join(line + b"\n" for _, line in old)
    record = Chapter(
        number=1, oldest=1, device=DEVICE.id, device_mldsa=MLDSA.text, at=BOOT.at,  # type: ignore[union-attr]
        carried=Carried(size=len(carried), root=tree_of(carried)),
    )  # fmt: skip
    begins = sign_record(record, ChainHead(0, 100, "ab" * 32), _KEY.sign, _SECOND.sign)
    lines = list(split_lines([begins.line + b"\n" + carried], chapter_start(1)))
    for chosen in ([name] for name, _ in old):
        made = excerpt(lines, chosen)
        report = verified(made)
        assert (report.faults, covers(report)) == ([], [Cover.CAPTURE])
        assert len(made) == 3
        assert list(covered(lines, chosen).values()) == [Cover.CAPTURE]
    assert covers(verified(excerpt(lines, [name for name, _ in old]))) == [Cover.CAPTURE] * count


def test_many_lines_left_out_take_several_lines_of_hashes() -> None:
    records = [BOOT, SEGMENT, *[RingRecord(at=BOOT.at)] * 450, CoverageRecord(span=SEGMENT.span)]  # type: ignore[union-attr]
    tip, made = ChainHead(), list[RawLine]()
    for number, record in enumerate(records):
        signed = sign_record(record, tip, _KEY.sign, None if 0 < number < 452 else _SECOND.sign)  # type: ignore[arg-type]
        made.append(RawLine(tip.offset, signed.line, len(signed.line) + 1, True))
        tip = tip.after(signed)
    lines = excerpt(made, [SEGMENT.id])  # type: ignore[union-attr]
    assert [len(line) for line in lines[1:4]] == [13_413, 13_413, 3_363]
    assert covers(verified(lines)) == [Cover.CAPTURE]


# -- the device's own look, without an excerpt


def covered(lines: Iterable[RawLine], chosen: Iterable[str]) -> dict[str, Cover]:
    there = segments(lines := list(lines))
    return covers_of(follow(lines), {name: there[name] for name in chosen}, DEVICE, MLDSA)


def test_the_covers_of_lines_are_those_that_an_excerpt_of_them_shows() -> None:
    for seed in range(12):
        chance = random.Random(seed)
        lines = manifest(chance, 40)
        there = sorted(segments(lines))
        chosen = chance.sample(there, chance.randrange(1, min(6, len(there))))
        shown = verified(excerpt(lines, chosen)).records
        found = covered(lines, chosen)
        assert found == {each.signed.record.id: each.cover for each in shown}  # type: ignore[union-attr]
        assert Cover.NONE not in found.values()


def test_lines_are_read_up_to_the_second_signature_behind_the_last_chosen_one() -> None:
    lines = manifest(random.Random(3), 40)
    there = segments(lines)
    name = next(name for name, line in there.items() if b'"mldsa"' not in line)
    steps = iter(list(follow(lines)))
    assert covers_of(steps, {name: there[name]}, DEVICE, MLDSA) == {name: Cover.CAPTURE}
    behind = [raw.data for raw in lines].index(there[name]) + 1
    closes = next(at for at in range(behind, len(lines)) if b'"mldsa"' in lines[at].data)
    assert sum(1 for _ in steps) == len(lines) - closes - 1


def test_a_chosen_line_that_is_nowhere_has_no_cover() -> None:
    lines = manifest(random.Random(3), 12)
    name, line = next(iter(segments(lines).items()))
    assert covers_of(follow(lines), {name: line + b" "}, DEVICE, MLDSA) == {name: Cover.NONE}
    assert covers_of(follow(lines), {}, DEVICE, MLDSA) == {}


def test_by_damage_and_by_a_forgers_newest_line_records_lose_the_same_covers_as_in_an_excerpt() -> None:
    lines = manifest(random.Random(7), 40)
    there = segments(lines)
    for gone in (5, 11, 24, len(lines) - 2):
        damaged = [*lines]
        damaged[gone] = replace(lines[gone], data=b"?" * len(lines[gone].data))
        chosen = sorted(name for name, line in there.items() if line != lines[gone].data)
        shown = verified(excerpt(damaged, chosen)).records
        assert covered(damaged, chosen) == {each.signed.record.id: each.cover for each in shown}  # type: ignore[union-attr]


SIGNED_ONCE, SIGNED_TWICE = (_KEY.sign, None), (_KEY.sign, _SECOND.sign)
BY_A_FORGER = (_KEY.sign, mldsa_key_from_seed(b"f" * 32).sign)


def chain(*parts: tuple[Record | RawLine, tuple[Signer, Signer | None] | None]) -> list[RawLine]:
    """Returns the lines of these records in their order, signed so. A line instead of a record is put in as it is."""
    tip, made = ChainHead(), list[RawLine]()
    for record, signers in parts:
        if isinstance(record, RawLine):
            made.append(replace(record, position=tip.offset))
            tip = replace(tip, offset=tip.offset + record.size)
            continue
        assert signers is not None
        signed = sign_record(record, tip, *signers)
        made.append(RawLine(tip.offset, signed.line, len(signed.line) + 1, True))
        tip = tip.after(signed)
    return made


def of_boot(boot: str, record: Record) -> Record:
    """The same record in another boot of the doorbell."""
    if isinstance(record, SegmentRecord | CoverageRecord):
        return msgspec.structs.replace(record, span=msgspec.structs.replace(record.span, boot=boot))
    return msgspec.structs.replace(record, at=msgspec.structs.replace(record.at, boot=boot))  # type: ignore[union-attr]


FORGED = msgspec.structs.replace(SEGMENT, id=segment_id(b"f" * 16))
A, B = "a" * 32, "b" * 32
BETWEEN: dict[str, list[tuple[Record | RawLine, tuple[Signer, Signer | None] | None]]] = {
    "nothing": [],
    "a forger's second signature of its time": [(of_boot(A, BOOT), BY_A_FORGER)],
    "an old line of its time, repeated": [(chain((of_boot(A, BOOT), SIGNED_TWICE))[0], None)],
}


@pytest.mark.parametrize("between", BETWEEN)
def test_a_line_that_a_forger_wrote_while_the_doorbell_was_off_is_not_covered_by_its_next_start(between: str) -> None:
    """If the chain continues behind it, an excerpt shows it as covered: a start does not continue it (`end_of`). It is
    of another time than the newest second signature before it, so it would need one, too."""
    before = [(of_boot(A, BOOT), SIGNED_TWICE), (of_boot(B, BOOT), SIGNED_TWICE), (of_boot(B, SEGMENT), SIGNED_ONCE)]
    after = [(of_boot("c" * 32, BOOT), SIGNED_TWICE)]
    lines = chain(*before, *BETWEEN[between], (of_boot(A, FORGED), SIGNED_ONCE), *after)
    assert covered(lines, [FORGED.id])[FORGED.id] is Cover.NONE  # type: ignore[union-attr]
    if between == "nothing":
        assert covers(verified(excerpt(lines, [FORGED.id]))) == [Cover.CAPTURE]  # type: ignore[union-attr]
        both = covered(lines, [SEGMENT.id, FORGED.id])  # type: ignore[union-attr]
        assert both == {SEGMENT.id: Cover.CAPTURE, FORGED.id: Cover.NONE}  # type: ignore[union-attr]
    within = chain(*before, (of_boot(B, FORGED), SIGNED_ONCE), *after)
    assert covered(within, [FORGED.id]) == {FORGED.id: Cover.CAPTURE}  # type: ignore[union-attr]


def test_a_line_in_front_of_every_second_signature_is_not_covered() -> None:
    lines = chain((SEGMENT, SIGNED_ONCE), (BOOT, SIGNED_TWICE))
    assert covered(lines, [SEGMENT.id]) == {SEGMENT.id: Cover.NONE}  # type: ignore[union-attr]
    assert covered(chain((SEGMENT, SIGNED_TWICE)), [SEGMENT.id]) == {SEGMENT.id: Cover.CAPTURE}  # type: ignore[union-attr]
    assert covered(chain((SEGMENT, BY_A_FORGER)), [SEGMENT.id]) == {SEGMENT.id: Cover.NONE}  # type: ignore[union-attr]


def hours_later(record: Record, hours: int) -> Record:
    """A segment of another hour, which has a second signature."""
    assert isinstance(record, SegmentRecord)
    span, later_us = record.span, hours * 3_600_000_000
    moved = msgspec.structs.replace(
        span,
        start_us=span.start_us + later_us,
        end_us=span.end_us + later_us,
        utc_ms=span.utc_ms + later_us // 1000,
    )
    return msgspec.structs.replace(record, id=segment_id(bytes([100 + hours]) * 16), span=moved)


OTHERS: dict[str, list[Record]] = {
    "no other": [],
    "a segment": [msgspec.structs.replace(SEGMENT, id=segment_id(b"o" * 16))],
    "a visitor": [RingRecord(at=BOOT.at)],  # type: ignore[union-attr]
    "a segment that is signed twice": [hours_later(SEGMENT, 1)],
    "hours of segments": [hours_later(SEGMENT, hours) for hours in (1, 2, 3)],
}


@pytest.mark.parametrize(
    ("ends", "cover"),
    [([], Cover.EXPORT), ([CoverageRecord(span=SEGMENT.span)], Cover.CAPTURE)],  # type: ignore[union-attr]
)
def test_what_was_not_chosen_does_not_change_the_cover_of_what_was(ends: list[Record], cover: Cover) -> None:
    """A requester reads it, and must not learn from it if there was other footage."""
    for others in OTHERS.values():
        signer, tip, made = LineSigner(_KEY.sign, _SECOND.sign), ChainHead(), bytearray()
        for record in (BOOT, SEGMENT, *others, *ends):
            signed = signer.sign(record, tip)
            signer.wrote(signed)
            made += signed.line + b"\n"
            tip = tip.after(signed)
        assert b'"mldsa"' not in bytes(made).splitlines()[1]
        lines = list(split_lines([bytes(made)]))
        assert covered(lines, [SEGMENT.id]) == {SEGMENT.id: cover}  # type: ignore[union-attr]
