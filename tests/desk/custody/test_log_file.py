"""A downloaded log is audited offline, and extracts prove each of their entries."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.core.ledger.checkpoint import open_desk_checkpoint
from agent.errors import FormatError, OpenError
from agent.wire.identities import private_key_from_seed, public_key_of
from desk.custody import tree
from desk.custody.audit import FindingKind, compare_with_kept
from desk.custody.entries import encode_entry
from desk.custody.log_file import audit_log_file, check_extract, check_growth, make_extract, make_growth, read_header
from tests.desk.custody.logs import HEADER, KEY, LOG, MemoryLog, entry, grown

OTHER = public_key_of(private_key_from_seed(bytes(32)))


def extract(log: MemoryLog, *numbers: int) -> bytes:
    size = log.frontier.size
    return make_extract(
        HEADER,
        log.note,
        [(each, encode_entry(entry(each)), tree.inclusion_proof(each, size, log.row)) for each in numbers],
    )


def test_a_downloaded_log_is_audited_with_its_checkpoint_and_one_kept_earlier() -> None:
    log = grown(9)
    header, result = audit_log_file(log.file, log.note, KEY, (4,))
    assert (header, result.ok, result.size) == (HEADER, True, 9)
    assert not compare_with_kept(result, open_desk_checkpoint(grown(4).note, KEY, LOG))


def _without(lines: list[bytes]) -> None:
    del lines[4]


def _changed(lines: list[bytes]) -> None:
    lines[4] = lines[4].replace(b"clip.played", b"clip.viewed")


def _swapped(lines: list[bytes]) -> None:
    lines[4], lines[6] = lines[6], lines[4]


def _spelled(lines: list[bytes]) -> None:
    lines[4] = lines[4].replace(b":", b": ", 1)


def _cut(lines: list[bytes]) -> None:
    lines[-1] = lines[-1][:-1]


def _shorter(lines: list[bytes]) -> None:
    del lines[-1]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (_without, FindingKind.REMOVED),
        (_changed, FindingKind.REWRITTEN),
        (_swapped, FindingKind.REORDERED),
        (_spelled, FindingKind.CHANGED),
        (_cut, FindingKind.CHANGED),
        (_shorter, FindingKind.REMOVED),
    ],
)
def test_each_change_of_a_downloaded_log_is_noticed(change: Callable[[list[bytes]], None], kind: FindingKind) -> None:
    log = grown(9)
    lines = log.file
    change(lines)
    _, result = audit_log_file(lines, log.note)
    assert kind in {each.kind for each in result.findings}


def test_a_log_of_another_desk_is_refused() -> None:
    log = grown(3)
    with pytest.raises(OpenError, match="another key"):
        audit_log_file(log.file, log.note, OTHER)
    for line in (b"", b"{}\n", log.file[1]):
        with pytest.raises(FormatError):
            read_header(line)


def test_an_extract_proves_each_of_its_entries() -> None:
    head, entries = check_extract(extract(grown(9), 2, 8, 0), KEY)
    assert (head.size, [each.number for each in entries]) == (9, [2, 8, 0])


def _edit(data: bytes, edit: Callable[[Any], None]) -> bytes:
    document = json.loads(data)
    edit(document)
    return json.dumps(document).encode()


EDITS: dict[str, Callable[[Any], None]] = {
    "another entry": lambda d: d["entries"][0].update(entry=encode_entry(entry(2, actor="Another")).decode()),
    "another number": lambda d: d["entries"][0].update(number=3),
    "no path": lambda d: d["entries"][0].update(path=[]),
    "path is no hex": lambda d: d["entries"][0].update(path=["zz"]),
    "another key": lambda d: d.update(key=OTHER.text),
    "another log": lambda d: d.update(log="another"),
    "another format": lambda d: d.update(format="x"),
    "no entries": lambda d: d.pop("entries"),
    "no checkpoint": lambda d: d.pop("checkpoint"),
    "an entry that is a word": lambda d: d.update(entries=["x"]),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_changed_extract_is_refused(edit: Callable[[Any], None]) -> None:
    with pytest.raises(FormatError):
        check_extract(_edit(extract(grown(9), 2), edit=edit), KEY)


@pytest.mark.parametrize("data", [b"", b"[]", b"[" * 100_000, b"\xff", b'{"format":1}'])
def test_what_is_no_extract_is_refused(data: bytes) -> None:
    for check in (check_extract, check_growth):
        with pytest.raises(FormatError):
            check(data, KEY)


@pytest.mark.parametrize("then", [0, 1, 4, 7, 9])
def test_a_proof_shows_that_the_log_of_a_kept_checkpoint_only_grew(then: int) -> None:
    log = grown(9)
    data = make_growth(HEADER, grown(then).note, log.note, tree.consistency_proof(then, 9, log.row))
    old, new = check_growth(data, KEY)
    assert (old.size, new.size) == (then, 9)
    other = grown(3)
    with pytest.raises(FormatError):
        check_growth(_edit(data, lambda d: d.update(new=other.note.decode(), proof=["00" * 32])), KEY)
