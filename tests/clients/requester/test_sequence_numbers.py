"""A number is used once, whatever stops, and a counter that cannot be read gives none."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.errors import StorageError
from agent.wire.strictjson import MAX_INTEGER


def test_numbers_begin_with_one_and_go_on_after_a_restart(tmp_path: Path) -> None:
    counter = SequenceCounter(FolderNotes(tmp_path))
    counter.create()
    assert (tmp_path / "sequence").read_bytes() == b"0\n"
    assert (tmp_path / "sequence").stat().st_mode & 0o777 == 0o600
    assert [counter.next(), counter.next(), SequenceCounter(FolderNotes(tmp_path)).next()] == [1, 2, 3]
    assert (tmp_path / "sequence").read_bytes() == b"3\n"
    assert (tmp_path / "sequence").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b"", b"7", b"07\n", b"-1\n", b"7\n7\n", b"7 \n", b"%d\n" % MAX_INTEGER])
def test_a_counter_that_is_missing_damaged_or_at_its_end_gives_no_number(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "sequence").write_bytes(content)
    with pytest.raises(StorageError, match="missing or damaged") as refused:
        SequenceCounter(FolderNotes(tmp_path)).next()
    assert "Write a number higher than all used ones" in (refused.value.remedy or "")


def test_the_last_number_of_all_is_still_given(tmp_path: Path) -> None:
    (tmp_path / "sequence").write_bytes(b"%d\n" % (MAX_INTEGER - 1))
    assert SequenceCounter(FolderNotes(tmp_path)).next() == MAX_INTEGER


def test_numbers_that_may_have_been_used_after_a_backup_are_left_out(tmp_path: Path) -> None:
    counter = SequenceCounter(FolderNotes(tmp_path))
    counter.create()
    counter.next()
    counter.skip(100)
    assert counter.next() == 102
    assert (tmp_path / "sequence").stat().st_mode & 0o777 == 0o600
