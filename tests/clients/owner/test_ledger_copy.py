"""A copy of a ledger is verified from its files alone, and a copy that was altered is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.owner.ledger_copy import keys_of_copy, read_copy, write_copy
from agent.clients.owner.ledger_reader import LedgerView, read_ledger
from agent.clients.owner.sync import sync
from agent.core.ledger.checkpoint import sign_checkpoint
from agent.core.ledger.merkle import Frontier, leaf_hash
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.wire.envelope import HybridKey
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of
from tests.clients.owner.conftest import Home

STRANGER = mldsa_key_from_seed(b"s" * 32)


@pytest.fixture
def view(home: Home) -> LedgerView:
    return read_ledger(home.device, home.keys)


@pytest.fixture
def copy(home: Home, view: LedgerView, tmp_path: Path) -> Path:
    folder = tmp_path / "to" / "a" / "court"
    known = sync(home.device, home.keys).known
    write_copy(folder, view, known.device_keys, known.checkpoint)
    return folder


def test_a_copy_reads_as_the_ledger_it_was_made_of(copy: Path, view: LedgerView) -> None:
    assert read_copy(copy) == (view.checkpoint, view.entries)
    assert {path.name for path in copy.iterdir()} == {"entries.jsonl", "checkpoint.txt", "device.txt"}


def test_a_copy_does_not_replace_another(home: Home, copy: Path, view: LedgerView) -> None:
    known = sync(home.device, home.keys).known
    with pytest.raises(ConfigurationError, match="already exists"):
        write_copy(copy, view, known.device_keys, known.checkpoint)


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
    own = keys_of_copy(copy)
    other = HybridKey(public_key_of(private_key_from_seed(b"x" * 32)), MldsaPublicKey.of(STRANGER))
    for first, second in ((other.ed25519, own.mldsa), (own.ed25519, other.mldsa)):
        (copy / "device.txt").write_text(f"{first.text}\n{second.text}\n")
        with pytest.raises(OpenError, match=r"not signed by the device's key|ML-DSA-44 signature is missing"):
            read_copy(copy)


def test_a_copy_without_the_second_signature_is_refused_by_name(home: Home, copy: Path) -> None:
    """One who can forge Ed25519 later makes another ledger of the same doorbell."""
    entries = (copy / "entries.jsonl").read_bytes().splitlines()[:-1]
    frontier = Frontier()
    for entry in entries:
        frontier = frontier.append(leaf_hash(entry))
    (copy / "entries.jsonl").write_bytes(b"".join(entry + b"\n" for entry in entries))
    genuine = (copy / "checkpoint.txt").read_text().splitlines(keepends=True)
    forged = sign_checkpoint(frontier, home.device.private, STRANGER).decode().splitlines(keepends=True)
    for second, words in (("", "is missing"), (forged[5], "is missing"), (genuine[5], "does not verify")):
        (copy / "checkpoint.txt").write_text("".join(forged[:5]) + second)
        with pytest.raises(OpenError, match=f"ML-DSA-44 signature {words}"):
            read_copy(copy)


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\n", b"ed25519:AAAA\n"], ids=["absent", "empty", "no text", "one line"]
)
def test_a_folder_without_the_devices_key_is_no_copy(copy: Path, content: bytes | None) -> None:
    (copy / "device.txt").unlink()
    if content is not None:
        (copy / "device.txt").write_bytes(content)
    with pytest.raises(FormatError, match="is not a copy of a ledger"):
        read_copy(copy)
