"""CUSTODY.md is enough: a reader written from it alone reads the vectors, and refuses each changed byte of a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import FormatError
from agent.wire.identities import parse_public_key
from desk.custody.log_file import audit_log_file, check_extract, check_growth, read_header
from tests.desk.custody import vectors
from tests.second_reader import custody
from tests.second_reader.json_once import RefusedError

STORED = {path.name: path.read_bytes() for path in vectors.FOLDER.iterdir()}
LOG = STORED["log.jsonl"]


def test_the_vectors_are_what_the_code_writes() -> None:
    assert vectors.files() == STORED


def test_the_second_reader_reads_the_vectors_as_ours_does() -> None:
    note, kept = STORED["checkpoint.txt"].decode(), STORED["kept.txt"].decode()
    entries = custody.log_file(LOG, note, kept)
    assert len(entries) == 11
    key = parse_public_key(read_header(LOG.split(b"\n")[0]).key)
    _, result = audit_log_file(LOG.splitlines(keepends=True), STORED["checkpoint.txt"], key)
    assert (result.ok, result.size) == (True, 11)
    extracted = custody.extract(STORED["extract.json"])
    assert [each["number"] for each in extracted] == [
        each.number for each in check_extract(STORED["extract.json"], key)[1]
    ]
    assert custody.growth(STORED["growth.json"]) == tuple(
        each.size for each in check_growth(STORED["growth.json"], key)
    )


@given(st.integers(0, len(LOG) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_log_gets_past_either_reader(at: int, change: int) -> None:
    data = LOG[:at] + bytes([LOG[at] ^ change]) + LOG[at + 1 :]
    with pytest.raises((RefusedError, ValueError, TypeError, KeyError)):
        custody.log_file(data, STORED["checkpoint.txt"].decode(), STORED["kept.txt"].decode())
    try:
        _, result = audit_log_file(data.splitlines(keepends=True), STORED["checkpoint.txt"])
    except FormatError:
        return
    assert not result.ok
