"""The manifest: every record survives being written, and no line can be changed, dropped or moved unseen."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.timebase import ClockQuality
from agent.core.vault.manifest import (
    LONGEST_LINE_BYTES,
    ChainHead,
    LineSigner,
    open_line,
    parse_line,
    read_chain,
    sign_record,
    verify_chain,
)
from agent.core.vault.records import BootRecord, Record
from agent.core.vault.spans import Stamp
from agent.errors import DoorwardError, FormatError, OpenError
from agent.wire import base64
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.core.vault.records_for_tests import chapter_records, records
from tests.vaults import DEVICE_MLDSA_KEY, SECOND

KEY = private_key_from_seed(b"d" * 32)
PUBLIC = public_key_of(KEY)
STRANGER = private_key_from_seed(b"s" * 32)


def manifest(*written: Record) -> list[bytes]:
    lines, tip, signer = [], ChainHead(), LineSigner(KEY.sign, SECOND.sign)
    for record in written:
        signed = signer.sign(record, tip)
        signer.wrote(signed)
        lines.append(signed.line + b"\n")
        tip = tip.after(signed)
    return lines


def boot(number: int) -> BootRecord:
    return BootRecord(
        device=PUBLIC.id,
        device_mldsa=SECOND.key,
        epoch=1,
        at=Stamp(boot=f"{number:032x}", at_us=number, utc_ms=number, quality=ClockQuality.UNKNOWN),
    )


LINES = manifest(*(boot(number) for number in range(5)))


@given(record=records | chapter_records, sequence=st.integers(0, 2**40))
def test_every_record_survives_being_written_signed_and_read(record: Record, sequence: int) -> None:
    signed = sign_record(record, ChainHead(0, sequence, "ab" * 32), KEY.sign)
    assert len(signed.line) <= LONGEST_LINE_BYTES
    again = open_line(signed.line, PUBLIC)
    assert again == signed
    assert (again.record, again.sequence, again.previous) == (record, sequence, "ab" * 32)
    assert sign_record(record, ChainHead(0, sequence, "ab" * 32), KEY.sign).line == signed.line


@settings(max_examples=30)
@given(written=st.lists(records, max_size=4))
def test_a_whole_manifest_has_no_fault(written: list[Record]) -> None:
    lines = manifest(*written)
    steps = list(read_chain(lines, key=PUBLIC))
    assert [step.signed.record for step in steps if step.signed] == written
    assert verify_chain(lines, PUBLIC, DEVICE_MLDSA_KEY) == ()
    assert [step.offset for step in steps] == [len(b"".join(lines[:number])) for number in range(len(lines))]
    assert all(before.head.offset == after.offset for before, after in pairwise(steps))


@given(position=st.integers(0, len(LINES[2]) - 2), flip=st.integers(1, 255))
def test_no_byte_of_a_line_can_change_unseen(position: int, flip: int) -> None:
    line = bytearray(LINES[2])
    line[position] ^= flip
    faults = verify_chain([*LINES[:2], *bytes(line).splitlines(keepends=True), *LINES[3:]], PUBLIC)
    assert faults
    assert min(fault.line for fault in faults) == 3


def test_a_dropped_moved_or_repeated_line_is_seen() -> None:
    for lines, first in (
        ([*LINES[:2], *LINES[3:]], 3),
        ([LINES[0], LINES[2], LINES[1], *LINES[3:]], 2),
        ([*LINES[:2], *LINES[1:]], 3),
        (LINES[1:], 1),
    ):
        faults = verify_chain(lines, PUBLIC)
        assert min(fault.line for fault in faults) == first
        assert "does not follow" in faults[0].problem


def test_a_damaged_line_costs_only_itself() -> None:
    lines = [*LINES[:2], b"\xffrotten" + LINES[2][8:], *LINES[3:]]
    steps = list(read_chain(lines, key=PUBLIC))
    assert [step.signed is not None for step in steps] == [True, True, False, True, True]
    assert [fault.line for fault in verify_chain(lines, PUBLIC)] == [3, 4]


def test_a_line_without_its_line_feed_was_not_acknowledged() -> None:
    lines = [*LINES[:2], LINES[2][:-1]]
    *_, last = read_chain(lines)
    assert last.signed is None
    assert last.fault is not None
    assert last.head.offset == len(b"".join(LINES[:2]))


def test_a_stranger_s_signature_is_no_record() -> None:
    line = sign_record(boot(1), ChainHead(), STRANGER.sign).line
    with pytest.raises(OpenError):
        open_line(line, PUBLIC)
    assert [fault.problem for fault in verify_chain([line + b"\n"], PUBLIC)] == ["The signature is not this device's."]


def payload_with(**changes: object) -> bytes:
    payload = json.loads(parse_line(LINES[0][:-1]).payload)
    payload["record"].update(changes)
    return json.dumps(payload).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "confession"},
        {"kind": "segment"},
        {"extra": 1},
        {"epoch": -1},
        {"epoch": 1.5},
        {"epoch": "1"},
        {"device": "00"},
        {"device": "0" * 15 + "\n"},
        {"device": "0" * 16 + "\n"},
        {"at": None},
    ],
    ids=str,
)
def test_a_record_that_is_none_is_refused_even_when_signed(changes: dict[str, object]) -> None:
    payload = payload_with(**changes)
    line = json.dumps({"payload": base64.encode(payload), "sig": base64.encode(bytes(64))}).encode()
    with pytest.raises(FormatError):
        parse_line(line)


@given(st.binary(max_size=300))
def test_nonsense_is_a_format_error_and_nothing_else(line: bytes) -> None:
    with pytest.raises(DoorwardError):
        parse_line(line)
