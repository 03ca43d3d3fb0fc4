"""The list of redactions in a report: who reads it learns when, where and what was covered, by the device's clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.clients.requester.checks import Verification, VerifiedItem
from agent.clients.requester.redaction_list import (
    RedactionLine,
    read_redactions,
    redaction_documents,
    redaction_lines,
    redactions_as_sent,
)
from agent.core.vault.redactions import Place, Redaction, RedactionKind
from agent.errors import FormatError

START_MS = 1_800_000_000_000


def film(number: int, *redactions: Redaction, start_ms: int = START_MS) -> VerifiedItem:
    item: Any = SimpleNamespace(number=number, redactions=redactions, span=SimpleNamespace(start_ms=start_ms))
    return cast(VerifiedItem, item)


def lines(*items: VerifiedItem) -> tuple[RedactionLine, ...]:
    verification: Any = SimpleNamespace(redacted=items)
    return redaction_lines(cast(Verification, verification))


def cover(*places: tuple[int, int, int, int, int], kind: RedactionKind = RedactionKind.FACE) -> Redaction:
    made = tuple(Place(at_ms=a, left=b, top=c, width=d, height=e) for a, b, c, d, e in places)
    return Redaction(kind=kind, from_ms=250, until_ms=1900, places=made)


def test_a_cover_is_told_by_its_time_in_the_film_by_the_clock_and_by_its_place() -> None:
    assert lines(film(3, cover((250, 1000, 2049, 3000, 4000)))) == (
        RedactionLine(
            3,
            "a face",
            START_MS + 250,
            START_MS + 1900,
            "0.2 to 1.9 s",
            "10–40 % across, 20–60 % down",
        ),
    )


def test_a_cover_that_moves_is_told_by_its_first_and_its_last_place() -> None:
    (line,) = lines(film(1, cover((250, 0, 0, 100, 100), (500, 5000, 5000, 9, 9), (900, 9000, 9000, 1000, 1000))))
    assert line.where == "0–1 % across, 0–1 % down, then 90–100 % across, 90–100 % down"
    (line,) = lines(film(1, cover((250, 0, 0, 100, 100), (900, 9000, 9000, 1000, 1000))))
    assert line.where == "0–1 % across, 0–1 % down, then 90–100 % across, 90–100 % down"


def test_each_kind_has_its_words_and_a_voice_has_no_place() -> None:
    voice = Redaction(kind=RedactionKind.VOICE, from_ms=0, until_ms=1000)
    kinds = [cover((250, 0, 0, 1, 1), kind=kind) for kind in RedactionKind if kind is not RedactionKind.VOICE]
    found = lines(film(1, *kinds), film(2, voice, start_ms=START_MS + 60_000))
    assert [each.what for each in found] == ["a face", "a number plate", "an area", "a voice (muted)"]
    assert [each.part for each in found] == [1, 1, 1, 2]
    assert (found[3].begin_ms, found[3].end_ms, found[3].where) == (START_MS + 60_000, START_MS + 61_000, "")


def test_machines_get_the_list_as_the_owner_signed_it() -> None:
    assert redaction_documents(film(1, cover((250, 1, 2, 3, 4)))) == [
        {"kind": "face", "from_ms": 250, "until_ms": 1900, "places": [[250, 1, 2, 3, 4]]}
    ]
    assert redaction_documents(film(1)) == []


def test_the_list_in_the_folder_is_read_as_it_was_written() -> None:
    covers = (cover((250, 1, 2, 3, 4)), cover((250, 0, 0, 100, 100), (900, 9000, 9000, 1000, 1000)))
    assert read_redactions(redactions_as_sent(film(1, *covers))) == covers
    for wrong in (b"", b"{}", b'[{"kind":"face","from_ms":0,"until_ms":9}]', b'[],"x":1', b"[]" + b" " * 70_000):
        with pytest.raises(FormatError):
            read_redactions(wrong)
