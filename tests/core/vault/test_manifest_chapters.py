"""A manifest in chapters, step by step: carried lines, missing and torn chapters, and lines in pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest

from agent.core.vault import manifest
from agent.core.vault.hash_chain import chain_hash
from agent.core.vault.manifest import (
    MOST_CHAPTERS,
    ChainFault,
    ChainHead,
    ChainStep,
    RawLine,
    carried_of,
    chapter_name,
    chapter_number,
    chapter_of,
    chapter_start,
    follow,
    loose_payload,
    missing_chapters,
    oldest_stated,
    parse_line,
    sign_record,
    split_lines,
)
from agent.core.vault.records import Carried, Chapter, Record
from tests.core.vault.make_vault_vectors import tree_of
from tests.core.vault.test_manifest import KEY, LINES, PUBLIC, STRANGER, boot
from tests.vaults import DEVICE_MLDSA_KEY, SECOND

OLD = [line.removesuffix(b"\n") for line in LINES[1:3]]
"""Lines of a deleted chapter, which the next one carries."""
EMPTY = ChainHead()


def chapter(number: int, oldest: int = 0, carried: Sequence[bytes] = ()) -> Chapter:
    lines = b"".join(line + b"\n" for line in carried)
    stated = Carried(size=len(lines), root=tree_of(lines)) if lines else None
    return Chapter(
        number=number,
        oldest=oldest,
        device=PUBLIC.id,
        device_mldsa=SECOND.key,
        at=boot(number).at,
        carried=stated,
    )


class Written:
    """A manifest as it is written, and the step that reading each of its lines must give."""

    def __init__(self) -> None:
        self.lines: list[RawLine] = []
        self.steps: list[ChainStep] = []
        self._head = ChainHead()

    def begin(self, number: int, carried: Sequence[bytes] = ()) -> Written:
        """A chapter with its first line, and the lines that it carries."""
        at = chapter_start(number)
        self._head = replace(self._head, offset=at)
        if not number:
            return self
        self.add(chapter(number, carried=carried))
        after = self._head = replace(self._head, offset=self._head.offset + sum(len(line) + 1 for line in carried))
        if carried:
            self.steps[-1] = replace(self.steps[-1], head=after, rests=False)
        for number_of, line in enumerate(carried, 1):
            raw = RawLine(self.lines[-1].end, line, len(line) + 1, True)
            self.lines.append(raw)
            rests = number_of == len(carried)
            self.steps.append(ChainStep(raw.position, parse_line(line), None, after, True, rests, covers=True))
        return self

    def add(self, *records: Record) -> Written:
        for record in records:
            signed = sign_record(record, self._head, KEY.sign, SECOND.sign)
            raw = RawLine(self._head.offset, signed.line, len(signed.line) + 1, True)
            self._head = ChainHead(raw.end, signed.sequence + 1, signed.chain_hash)
            self.lines.append(raw)
            self.steps.append(ChainStep(raw.position, signed, None, self._head, covers=True))
        return self


def three() -> Written:
    """Lines 0 and 1, chapter 1 with two carried lines and another one, chapter 2 with another one."""
    return Written().begin(0).add(boot(1), boot(2)).begin(1, OLD).add(boot(3)).begin(2).add(boot(4))


def read(lines: Sequence[RawLine], tip: ChainHead = EMPTY) -> list[ChainStep]:
    return list(follow(lines, tip, PUBLIC, DEVICE_MLDSA_KEY))


def faults(lines: Sequence[RawLine]) -> list[str]:
    return [str(step.fault) for step in read(lines) if step.fault]


def test_each_line_of_each_chapter_is_read_as_it_was_written() -> None:
    written = three()
    assert read(written.lines) == written.steps
    without = [replace(step, covers=False) for step in written.steps]
    assert list(follow(written.lines)) == without, "without a key too"


@pytest.mark.parametrize("first", range(1, 8))
def test_reading_goes_on_from_the_end_of_each_line_at_which_it_may_rest(first: int) -> None:
    written = three()
    before = written.steps[first - 1]
    if before.rests:
        assert read(written.lines[first:], before.head) == written.steps[first:]


def test_the_first_chapter_that_is_left_is_trusted_about_everything_before_it() -> None:
    written = three()
    assert read(written.lines[2:]) == written.steps[2:]
    assert read(written.lines[6:]) == written.steps[6:]
    assert faults(written.lines[5:]) == [
        f"manifest.1, line 1, byte {written.lines[5].position - chapter_start(1)}: "
        "The line does not follow the one before it."
    ], "and no other line is"


def changed(written: Written, number: int, data: bytes) -> list[RawLine]:
    """The lines with other bytes, of the same length, in one of them."""
    raw = written.lines[number]
    assert len(data) == len(raw.data)
    return [*written.lines[:number], replace(raw, data=data), *written.lines[number + 1 :]]


def by_stranger(line: bytes) -> bytes:
    signed = parse_line(line)
    return sign_record(signed.record, ChainHead(0, signed.sequence, signed.previous), STRANGER.sign, SECOND.sign).line


def place(written: Written, number: int) -> str:
    raw = written.lines[number]
    return f"byte {raw.position - chapter_start(chapter_of(raw.position))}"


def test_a_carried_line_that_was_changed_shows_at_the_last_of_them() -> None:
    written = three()
    differ = "The carried lines differ from those that the chapter's first line names."
    assert faults(changed(written, 3, OLD[1])) == [f"manifest.1, line 3, {place(written, 4)}: {differ}"]
    torn = bytes(len(OLD[0]))
    first, last = faults(changed(written, 3, torn))
    assert first.startswith(f"manifest.1, line 2, {place(written, 3)}: ")
    assert last == f"manifest.1, line 3, {place(written, 4)}: {differ}"
    assert faults(changed(written, 4, torn)) == [f"manifest.1, line 3, {place(written, 4)}: {differ}"]
    steps = read(changed(written, 4, torn))
    assert [step.carried for step in steps] == [step.carried for step in written.steps]
    assert [step.head for step in steps] == [step.head for step in written.steps]


def test_a_carried_line_of_a_stranger_is_named_and_its_change_too() -> None:
    written = three()
    stranger = "The signature is not this device's."
    for number in (3, 4):
        found = faults(changed(written, number, by_stranger(OLD[number - 3])))
        assert found[0] == f"manifest.1, line {number - 1}, {place(written, number)}: {stranger}"
    assert "differ from" in faults(changed(written, 3, by_stranger(OLD[0])))[1]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            lambda lines: [*lines[:2], *lines[6:]],
            ["manifest.2, line 1, byte 0: The chapters 1 to 1 are missing."],
        ),
        (
            lambda lines: [*lines[:4], *lines[6:]],
            ["manifest.2, line 1, byte 0: The line does not follow the one before it."],
        ),
        (
            lambda lines: [lines[0], lines[1], lines[5], *lines[6:]],
            ["manifest.1, line 1, byte {5}: The line does not follow the one before it."],
        ),
        (
            lambda lines: [*lines[:7], replace(lines[7], whole=False)],
            ["manifest.2, line 2, byte {7}: The line is cut off."],
        ),
        (
            lambda lines: [*lines[:7], replace(lines[7], data=bytes(manifest.LONGEST_LINE_BYTES + 1), size=17_000)],
            ["manifest.2, line 2, byte {7}: The line has 17000 bytes. At most 16384 are allowed."],
        ),
    ],
    ids=["a missing chapter", "a chapter that ends early", "a first line that is gone", "a cut", "too long"],
)
def test_each_fault_of_chapters_is_named_with_its_place(
    spoil: Callable[[list[RawLine]], list[RawLine]], expected: list[str]
) -> None:
    written = three()
    places = [place(written, number).removeprefix("byte ") for number in range(8)]
    assert faults(spoil(written.lines)) == [text.format(*places) for text in expected]


def test_a_cut_line_leaves_the_head_before_it_and_an_unreadable_one_is_counted() -> None:
    written = three()
    *_, cut = read([*written.lines[:7], replace(written.lines[7], whole=False)])
    assert (cut.signed, cut.head, cut.rests) == (None, written.steps[6].head, True)
    torn = bytes(len(written.lines[5].data))
    steps = read(changed(written, 5, torn))
    assert steps[5].head == ChainHead(
        written.lines[5].end, written.steps[5].head.sequence, chain_hash(written.steps[4].head.previous, torn)
    )
    assert [step.fault is not None for step in steps] == [False] * 5 + [True, True, False]


def test_chapter_records_stand_at_the_beginning_of_their_chapter_and_nowhere_else() -> None:
    middle = Written().begin(0).add(boot(1), chapter(1))
    assert [text.partition(": ")[2] for text in faults(middle.lines)] == [
        "A `chapter` record is in the middle of a chapter."
    ]
    bare = Written().begin(0).add(boot(1))
    bare._head = replace(bare._head, offset=chapter_start(1))
    bare.add(boot(2))
    assert faults(bare.lines) == ["manifest.1, line 1, byte 0: The chapter does not begin with a `chapter` record."]
    other = Written().begin(0).add(boot(1))
    other._head = replace(other._head, offset=chapter_start(1))
    other.add(chapter(2))
    assert faults(other.lines) == ["manifest.1, line 1, byte 0: This is the `chapter` record of chapter 2."]


def test_a_line_with_another_number_is_named_by_both() -> None:
    first = sign_record(boot(1), ChainHead(), KEY.sign, SECOND.sign)
    second = sign_record(boot(2), ChainHead(0, 5, first.chain_hash), KEY.sign, SECOND.sign)
    size = len(first.line) + 1
    lines = [RawLine(0, first.line, size, True), RawLine(size, second.line, len(second.line) + 1, True)]
    assert faults(lines) == [f"manifest.0, line 2, byte {size}: The line is number 5, expected was 1."]


def test_a_position_is_a_chapter_and_an_offset_and_a_chapter_has_one_name() -> None:
    assert [chapter_of(chapter_start(number) + 2**32 - 1) for number in (0, 1, 7)] == [0, 1, 7]
    assert chapter_start(3) == 3 << 32
    assert [chapter_name(number) for number in (0, 12)] == ["manifest.0", "manifest.12"]
    last = MOST_CHAPTERS - 1
    names = ("manifest.0", "manifest.12", f"manifest.{last}", f"manifest.{last + 1}", "manifest.01", "manifest.1.part")
    assert [chapter_number(name) for name in names] == [0, 12, last, None, None, None]


def test_the_first_line_of_a_chapter_says_what_is_needed_and_what_it_carries() -> None:
    record = chapter(7, oldest=5, carried=OLD)
    line = sign_record(record, ChainHead(), KEY.sign).line
    assert [oldest_stated(number, line) for number in (6, 7, 8)] == [None, 5, None]
    assert (oldest_stated(0, LINES[0][:-1]), oldest_stated(7, b"{}")) == (None, None)
    assert carried_of(record) == sum(len(each) + 1 for each in OLD)
    assert (carried_of(chapter(7)), carried_of(boot(1))) == (0, 0)


def test_missing_chapters_are_named_up_to_sixty_four() -> None:
    def missing(oldest: int, *there: int) -> list[int]:
        found = missing_chapters(oldest, there)
        assert all(fault == ChainFault(0, "The chapter is missing.", fault.chapter) for fault in found)
        return [fault.chapter for fault in found]

    assert missing(3, 3, 4, 5) == missing(3) == missing(9, 3, 4) == []
    assert missing(2, 3, 6) == [2, 4, 5]
    assert missing(0, 200) == list(range(64))


@pytest.mark.parametrize("size", range(1, 12))
def test_lines_in_pieces_of_any_length_are_the_lines(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest may have four bytes, so one more is kept of a longer one."""
    monkeypatch.setattr(manifest, "LONGEST_LINE_BYTES", 4)
    data = b"ab\n\nabcd\nabcde\nabcdefghij\nxyz"
    expected = [
        RawLine(100, b"ab", 3, True),
        RawLine(103, b"", 1, True),
        RawLine(104, b"abcd", 5, True),
        RawLine(109, b"abcde", 6, True),
        RawLine(115, b"abcde", 11, True),
        RawLine(126, b"xyz", 3, False),
    ]
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(split_lines(pieces, 100)) == expected
    assert list(split_lines([*pieces[:-1], pieces[-1] + b"\n"], 100)) == [*expected[:-1], RawLine(126, b"xyz", 4, True)]
    assert list(split_lines([])) == []
    assert [line.end for line in expected[:-1]] == [line.position for line in expected[1:]]


def test_a_payload_is_found_without_parsing_and_nothing_is_made_of_other_bytes() -> None:
    assert loose_payload(LINES[0]) == parse_line(LINES[0][:-1]).payload
    assert loose_payload(b'{"payload":"a"}') == b""
    assert msgspec.json.decode(loose_payload(LINES[1]))["seq"] == 1
