"""The manifest: every record survives being written, and no line can be changed, dropped or moved unseen."""

from __future__ import annotations

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.timebase import ClockQuality
from agent.core.vault.fields import Stamp
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
from agent.core.vault.records import BootRecord, Record, RingRecord
from agent.errors import DoorwardError, FormatError, OpenError
from agent.wire import strictjson
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of
from tests.core.vault.records_for_tests import chapter_records, records
from tests.vaults import DEVICE_MLDSA_KEY, SECOND

KEY = private_key_from_seed(b"d" * 32)
PUBLIC = public_key_of(KEY)
STRANGER = private_key_from_seed(b"s" * 32)
STAMP = Stamp(boot="b" * 32, at_us=1, utc_ms=1, quality=ClockQuality.UNKNOWN)


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
    line = json.dumps(
        {"payload": strictjson.encode_base64(payload), "sig": strictjson.encode_base64(bytes(64))}
    ).encode()
    with pytest.raises(FormatError):
        parse_line(line)


@given(st.binary(max_size=300))
def test_nonsense_is_a_format_error_and_nothing_else(line: bytes) -> None:
    with pytest.raises(DoorwardError):
        parse_line(line)


def test_a_second_key_comes_only_from_a_line_that_the_device_signed() -> None:
    boot = BootRecord(device=PUBLIC.id, device_mldsa=DEVICE_MLDSA_KEY.text, epoch=1, at=STAMP)
    other = MldsaPublicKey.of(mldsa_key_from_seed(b"t" * 32)).text
    junk = sign_record(msgspec.structs.replace(boot, device_mldsa=other), ChainHead(), STRANGER.sign)
    true = sign_record(boot, ChainHead(0, 1, junk.chain_hash), KEY.sign, SECOND.sign)
    steps = list(read_chain([junk.line + b"\n", true.line + b"\n"], key=PUBLIC))
    assert [(step.ours, step.covers, step.fault is None) for step in steps] == [
        (False, False, False),
        (True, True, True),
    ]


def test_before_a_second_key_is_named_bytes_in_its_place_prove_nothing() -> None:
    ring = sign_record(RingRecord(at=STAMP), ChainHead(), KEY.sign, lambda _encoding: bytes(2420))
    again = sign_record(RingRecord(at=STAMP), ChainHead(0, 1, ring.chain_hash), KEY.sign)
    steps = list(read_chain([ring.line + b"\n", again.line + b"\n"], key=PUBLIC))
    assert [(step.covers, step.refused) for step in steps] == [(False, True)] * 2
