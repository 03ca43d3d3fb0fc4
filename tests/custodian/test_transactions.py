"""Decisions of one transaction are durable together. Their consequences come afterwards, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.custodian.ledger_writer import Transactions
from agent.errors import StorageError


class NotedJournal:
    """Notes when a transaction begins, and whether it is kept. `fails`: it cannot be made durable."""

    def __init__(self, notes: list[str]) -> None:
        self.notes, self.fails = notes, False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.notes.append("begun")
        try:
            yield
        except BaseException:
            self.notes.append("undone")
            raise
        if self.fails:
            raise StorageError("The journal cannot be written: disk full.")
        self.notes.append("durable")


def takes_the_lock(decisions: Transactions) -> bool:
    taken = decisions.lock.acquire(timeout=10)
    if taken:
        decisions.lock.release()
    return taken


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def journal(notes: list[str]) -> NotedJournal:
    return NotedJournal(notes)


@pytest.fixture
def decisions(journal: NotedJournal) -> Transactions:
    return Transactions(journal)  # type: ignore[arg-type]


def test_what_follows_from_a_decision_comes_after_it_is_durable_and_outside_the_lock(
    decisions: Transactions, notes: list[str]
) -> None:
    def act() -> None:
        free: list[bool] = []
        other = threading.Thread(target=lambda: free.append(takes_the_lock(decisions)))
        other.start()
        other.join()
        notes.append(f"followed, lock free: {free[0]}")

    with decisions.one():
        decisions.after(act)
        decisions.after(lambda: notes.append("second"))
        decisions.otherwise(lambda: notes.append("restored"))
    assert notes == ["begun", "durable", "followed, lock free: True", "second"]
    with decisions.one():
        pass
    assert notes[4:] == ["begun", "durable"], "it follows once"


@pytest.mark.parametrize("where", ["in the block", "at the end"])
def test_a_decision_that_fails_restores_memory_and_nothing_follows_from_it(
    decisions: Transactions, journal: NotedJournal, notes: list[str], where: str
) -> None:
    def decide() -> None:
        with decisions.one():
            decisions.after(lambda: notes.append("followed"))
            for name in ("first", "second"):
                decisions.otherwise(lambda name=name: notes.append(f"restored {name}"))  # type: ignore[misc]
            if where == "in the block":
                raise StorageError("The journal cannot be written: disk full.")

    journal.fails = where == "at the end"
    with pytest.raises(StorageError):
        decide()
    assert [each for each in notes if each not in ("begun", "undone")] == ["restored first", "restored second"]
    journal.fails = False
    notes.clear()
    with decisions.one():
        pass
    assert notes == ["begun", "durable"], "the next decision has nothing to do with it"


def test_an_inner_decision_is_part_of_the_outer_one(decisions: Transactions, notes: list[str]) -> None:
    with decisions.one():
        with decisions.one():
            decisions.after(lambda: notes.append("followed"))
        assert "followed" not in notes
    assert notes[-1] == "followed"


def test_an_inner_decision_that_fails_is_restored_with_the_outer_one(decisions: Transactions, notes: list[str]) -> None:
    def decide() -> None:
        with decisions.one():
            decisions.otherwise(lambda: notes.append("outer restored"))
            with decisions.one():
                decisions.otherwise(lambda: notes.append("inner restored"))
                notes.append("fails")
                raise StorageError("The journal cannot be written: disk full.")

    with pytest.raises(StorageError):
        decide()
    assert notes[notes.index("fails") :] == ["fails", "undone", "undone", "outer restored", "inner restored"]
    with decisions.one():
        decisions.after(lambda: notes.append("followed"))
    assert notes[-1] == "followed", "the next one is an outermost decision again"
