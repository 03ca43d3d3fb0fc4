"""Ledger entries: one spelling each, only the fields of their kind, and nothing a requester wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger import entries as entries_module
from agent.core.ledger.entries import FIELDS, EntryKind, LedgerEntry, decode_entry, encode_entry, entry
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.errors import DoorwardError, FormatError

HEX = "0123456789abcdef"
MATTER: dict[str, st.SearchStrategy[Any]] = {
    "request": st.text(HEX, min_size=32, max_size=32),
    "requester": st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True),
    "disclosure": st.text(HEX, min_size=32, max_size=32),
    "subject": st.text(HEX, min_size=64, max_size=64),
    "segments": st.integers(0, 2**53 - 1),
    "size_bytes": st.integers(0, 2**53 - 1),
    "version": st.integers(1, 2**53 - 1),
    "reason": st.sampled_from(["window too long", "disk-full", "x"]),
}
BOOT = "0" * 32


@st.composite
def entries(draw: st.DrawFn) -> LedgerEntry:
    kind = draw(st.sampled_from(EntryKind))
    required, optional = FIELDS[kind]
    present = required | draw(st.sets(st.sampled_from(sorted(optional)))) if optional else required
    moment = ClockReading(
        BootNs(draw(st.integers(0, 2**62))),
        UtcNs(draw(st.integers(-(2**62), 2**62))),
        draw(st.sampled_from(ClockQuality)),
    )
    return entry(kind, draw(MATTER["request"]), moment, **{name: draw(MATTER[name]) for name in sorted(present)})


@given(entries())
def test_an_entry_survives_being_written(value: LedgerEntry) -> None:
    assert decode_entry(encode_entry(value)) == value


@given(entries(), st.data())
def test_a_changed_byte_is_another_entry_or_none(value: LedgerEntry, data: st.DataObject) -> None:
    leaf = encode_entry(value)
    at = data.draw(st.integers(0, len(leaf) - 1))
    mutated = leaf[:at] + bytes([leaf[at] ^ data.draw(st.integers(1, 255))]) + leaf[at + 1 :]
    try:
        read = decode_entry(mutated)
    except DoorwardError:
        return
    assert encode_entry(read) == mutated
    assert read != value


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(DoorwardError):
        decode_entry(noise)


def test_an_entry_has_one_spelling() -> None:
    leaf = encode_entry(entry(EntryKind.BOOT, BOOT, ClockReading(BootNs(0), UtcNs(0), ClockQuality.UNKNOWN)))
    for other in (leaf + b" ", leaf.replace(b'"v":1', b'"v": 1'), leaf.replace(b'"v":1', b'"reason":null,"v":1')):
        with pytest.raises(FormatError):
            decode_entry(other)


@pytest.mark.parametrize("kind", EntryKind)
def test_each_kind_demands_its_fields_and_refuses_others(kind: EntryKind) -> None:
    values: dict[str, Any] = {
        "request": "0" * 32,
        "requester": "harbour-police",
        "disclosure": "1" * 32,
        "subject": "2" * 64,
        "segments": 3,
        "size_bytes": 4,
        "version": 5,
        "reason": "some reason",
    }
    required, optional = FIELDS[kind]
    moment = ClockReading(BootNs(0), UtcNs(0), ClockQuality.SYNCED)
    complete = {name: values[name] for name in required}
    entry(kind, BOOT, moment, **complete)
    for name in required:
        with pytest.raises(FormatError, match=name):
            entry(kind, BOOT, moment, **{key: value for key, value in complete.items() if key != name})
    for name in values.keys() - required - optional:
        with pytest.raises(FormatError, match=name):
            entry(kind, BOOT, moment, **complete, **{name: values[name]})


def test_a_clock_in_1970_or_before_makes_an_entry_of_unknown_date() -> None:
    value = entry(EntryKind.BOOT, BOOT, ClockReading(BootNs(7_000), UtcNs(-5), ClockQuality.UNKNOWN))
    assert (value.utc_ms, value.moment) == (0, ClockReading(BootNs(7_000), UtcNs(0), ClockQuality.UNKNOWN))


def test_what_a_requester_wrote_cannot_become_a_reason() -> None:
    value = entry(
        EntryKind.STORAGE_FAULT, BOOT, ClockReading(BootNs(0), UtcNs(0), ClockQuality.SYNCED), reason="disk-full"
    )
    leaf = encode_entry(value).replace(b"disk-full", "Call me: Ünal".encode())
    with pytest.raises(FormatError):
        decode_entry(leaf)


def test_the_documents_table_of_kinds_is_the_codes() -> None:
    text = (Path(entries_module.__file__).parent / "LEDGER.md").read_text(encoding="utf-8")
    document = text.partition("| kind | must | may |")[2]
    for kind, (required, optional) in FIELDS.items():
        rows = [row for row in document.splitlines() if row.startswith(f"| `{kind.value}` |")]
        assert len(rows) == 1
        _, _, must, may, _ = rows[0].split("|")
        assert set(must.replace("`", "").split()) == required
        assert set(may.replace("`", "").split()) == optional


def test_an_entry_gives_its_moment_back_to_the_microsecond_and_millisecond() -> None:
    at = ClockReading(BootNs(61_000_001_999), UtcNs(1_800_000_000_123_999_999), ClockQuality.HELD)
    assert entry(EntryKind.BOOT, "5eed" * 8, at).moment == ClockReading(
        BootNs(61_000_001_000), UtcNs(1_800_000_000_123_000_000), ClockQuality.HELD
    )
