"""A copy of a ledger is verified from its files alone, and a copy that was altered is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.owner.ledger_copy import read_copy, write_copy
from agent.clients.owner.ledger_reader import LedgerView, read_ledger
from agent.clients.owner.sync import sync
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.clients.owner.conftest import Home


@pytest.fixture
def view(home: Home) -> LedgerView:
    return read_ledger(home.device, home.keys)


@pytest.fixture
def copy(home: Home, view: LedgerView, tmp_path: Path) -> Path:
    folder = tmp_path / "to" / "a" / "court"
    write_copy(folder, view, home.device.key, sync(home.device, home.keys).known.checkpoint)
    return folder


def test_a_copy_reads_as_the_ledger_it_was_made_of(copy: Path, view: LedgerView) -> None:
    assert read_copy(copy) == (view.checkpoint, view.entries)
    assert {path.name for path in copy.iterdir()} == {"entries.jsonl", "checkpoint.txt", "device.txt"}


def test_a_copy_does_not_replace_another(home: Home, copy: Path, view: LedgerView) -> None:
    with pytest.raises(ConfigurationError, match="already exists"):
        write_copy(copy, view, home.device.key, sync(home.device, home.keys).known.checkpoint)


ALTERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "an entry less": lambda lines: lines[:-1],
    "an entry more": lambda lines: [*lines, lines[-1]],
    "an entry changed": lambda lines: [*lines[:-1], lines[-1].replace(b'"utc_ms":1', b'"utc_ms":2')],
    "two entries exchanged": lambda lines: [*lines[:-2], lines[-1], lines[-2]],
    "nothing left": lambda _: [],
}


@pytest.mark.parametrize("how", ALTERED)
def test_entries_that_are_not_those_of_the_signed_note_are_refused(copy: Path, how: str) -> None:
    entries = copy / "entries.jsonl"
    lines = entries.read_bytes().splitlines(keepends=True)
    entries.write_bytes(b"".join(ALTERED[how](lines)))
    assert entries.read_bytes() != b"".join(lines)
    with pytest.raises(OpenError, match=rf"are not the {len(lines)} of the ledger"):
        read_copy(copy)


def test_a_note_that_another_device_signed_is_refused(copy: Path) -> None:
    other = public_key_of(private_key_from_seed(b"x" * 32))
    (copy / "device.txt").write_text(other.text + "\n")
    with pytest.raises(FormatError):
        read_copy(copy)


@pytest.mark.parametrize("content", [None, b"", b"\xff\n"], ids=["absent", "empty", "no text"])
def test_a_folder_without_the_devices_key_is_no_copy(copy: Path, content: bytes | None) -> None:
    (copy / "device.txt").unlink()
    if content is not None:
        (copy / "device.txt").write_bytes(content)
    with pytest.raises(FormatError, match="is not a copy of a ledger"):
        read_copy(copy)
