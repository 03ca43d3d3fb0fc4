"""The device's ledger: in the transaction of what it records, provable from any point, never read as a whole."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from agent.core.ledger.checkpoint import check_progress, open_checkpoint
from agent.core.ledger.entries import EntryKind, decode_entry
from agent.core.ledger.merkle import check_consistency, check_inclusion, leaf_hash, root_of
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.ledger_writer import Ledger, _LeafHashes
from agent.errors import FormatError, InternalError, RequestError
from agent.wire.identities import public_key_of
from tests.custodians import DEVICE, DEVICE_KEYS, MLDSA
from tests.vaults import SteppedClock
from tests.wire import samples

KEY = public_key_of(DEVICE)


@pytest.fixture
def journal() -> Iterator[SqliteJournal]:
    made = SqliteJournal(":memory:")
    yield made
    made.close()


@pytest.fixture
def ledger(journal: SqliteJournal) -> Ledger:
    return Ledger(journal, SteppedClock(), DEVICE, MLDSA)


def fill(ledger: Ledger, count: int) -> None:
    for _ in range(count):
        ledger.write(EntryKind.BOOT)


def test_an_empty_ledger_has_a_checkpoint_too(ledger: Ledger) -> None:
    note, proof = ledger.progress(0)
    assert (open_checkpoint(note, DEVICE_KEYS).size, proof) == (0, ())
    assert note == ledger.checkpoint()


def test_an_entry_says_what_happened_and_when(ledger: Ledger) -> None:
    ledger.write(EntryKind.RECEIVED, request="ab" * 16, requester="harbour-police", subject=samples.SHA)
    (leaf,) = ledger.leaves(0, 10)
    entry = decode_entry(leaf)
    assert (entry.kind, entry.request, entry.subject) == (EntryKind.RECEIVED, "ab" * 16, samples.SHA)
    assert entry.moment == SteppedClock().now()


def test_an_entry_that_its_kind_does_not_have_is_not_written(ledger: Ledger) -> None:
    with pytest.raises(FormatError):
        ledger.write(EntryKind.RECEIVED, request="ab" * 16)
    assert ledger.size == 0


def test_an_entry_whose_decision_failed_was_never_written(ledger: Ledger, journal: SqliteJournal) -> None:
    fill(ledger, 3)
    note = ledger.checkpoint()
    with pytest.raises(ValueError, match="undone"), journal.transaction():  # noqa: PT012
        ledger.write(EntryKind.BOOT)
        raise ValueError("undone")
    assert (ledger.size, ledger.checkpoint()) == (3, note)
    assert len(journal.leaves()) == 3


def test_from_every_size_the_present_ledger_is_proven_to_continue_the_old_one(ledger: Ledger) -> None:
    notes = [open_checkpoint(ledger.checkpoint(), DEVICE_KEYS)]
    for _ in range(40):
        fill(ledger, 1)
        notes.append(open_checkpoint(ledger.checkpoint(), DEVICE_KEYS))
    for old in notes:
        note, proof = ledger.progress(old.size)
        new = open_checkpoint(note, DEVICE_KEYS)
        check_progress(old, new, proof)
        check_consistency(old.size, old.root, new.size, new.root, proof)
    assert notes[-1].root == root_of(map(leaf_hash, ledger.leaves(0, 40)))


@pytest.mark.parametrize("entries", [1, 2, 5])
def test_the_newest_entry_is_proven_in_the_tree_of_its_transaction(ledger: Ledger, entries: int) -> None:
    fill(ledger, entries)
    proof = ledger.newest()
    note = open_checkpoint(proof.checkpoint.encode(), DEVICE_KEYS)
    leaf = proof.entry.encode()
    assert (note.size, proof.index, leaf) == (entries, entries - 1, ledger.leaves(0, 10)[-1])
    path = [bytes.fromhex(node) for node in proof.path]
    check_inclusion(leaf_hash(leaf), proof.index, note.size, note.root, path)


def test_an_entry_that_another_wrote_meanwhile_is_not_taken_for_the_newest(
    ledger: Ledger, journal: SqliteJournal
) -> None:
    fill(ledger, 2)
    fill(Ledger(journal, SteppedClock(), DEVICE, MLDSA), 1)
    with pytest.raises(InternalError, match="outside the transaction"):
        ledger.newest()


@pytest.mark.parametrize("entries", [0, 2])
def test_a_process_that_has_written_nothing_has_no_newest_entry(
    ledger: Ledger, journal: SqliteJournal, entries: int
) -> None:
    fill(ledger, entries)
    with pytest.raises(InternalError, match="outside the transaction"):
        Ledger(journal, SteppedClock(), DEVICE, MLDSA).newest()


@pytest.mark.parametrize("old_size", [-1, 6, 2**40])
def test_a_size_it_never_had_is_refused_in_words(ledger: Ledger, old_size: int) -> None:
    fill(ledger, 5)
    with pytest.raises(RequestError, match="5 entries"):
        ledger.progress(old_size)


def test_a_long_ledger_is_proven_page_by_page(ledger: Ledger, journal: SqliteJournal) -> None:
    fill(ledger, 5000)
    read = journal.leaves
    longest = 0

    def watched(start: int = 0, end: int | None = None) -> list[bytes]:
        nonlocal longest
        found = read(start, end)
        longest = max(longest, len(found))
        return found

    journal.leaves = watched  # type: ignore[method-assign]
    tracemalloc.start()
    note, proof = ledger.progress(3001)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert longest <= 1024
    assert peak_bytes < 1 << 20
    old_root = root_of(map(leaf_hash, read(0, 3001)))
    new = open_checkpoint(note, DEVICE_KEYS)
    check_consistency(3001, old_root, new.size, new.root, proof)


def test_it_goes_on_where_it_was_after_a_restart(journal: SqliteJournal, ledger: Ledger) -> None:
    fill(ledger, 7)
    again: Any = Ledger(journal, SteppedClock(boot=2), DEVICE, MLDSA)
    assert open_checkpoint(again.checkpoint(), DEVICE_KEYS) == open_checkpoint(ledger.checkpoint(), DEVICE_KEYS)
    fill(again, 1)
    assert again.size == 8


def test_the_hashes_of_a_part_of_the_ledger_are_those_of_its_entries(ledger: Ledger, journal: SqliteJournal) -> None:
    for version in range(5):
        ledger.write(EntryKind.TRUST_CHANGED, subject=samples.SHA, version=version + 1)
    every = [leaf_hash(leaf) for leaf in journal.leaves()]
    assert len(set(every)) == 5
    hashes = _LeafHashes(journal, 1, 5)
    assert (len(hashes), list(hashes), list(hashes[1:3])) == (4, every[1:], every[2:4])
    assert [hashes[at] for at in (0, 3, -1)] == [every[1], every[4], every[4]]
    with pytest.raises(IndexError):
        _ = hashes[4]
