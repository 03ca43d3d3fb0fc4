"""The book of a run at scale finds each broken promise, and none that was kept."""

from __future__ import annotations

import pytest

from tests.scale.promises import PATIENCE_S, Book, Outcome, Sent

DOOR, OTHER = "a1" * 8, "b2" * 8
LATE_S = PATIENCE_S + 1


@pytest.fixture
def book() -> Book:
    """Two doorbells of two shards, connected at 10 s. A request is published at 20 s for shard 0."""
    book = Book({DOOR: 0, OTHER: 1})
    for link in book.links.values():
        link.begin(10)
    book.published["request"] = (20, frozenset({0}))
    return book


def test_a_doorbell_of_the_cell_must_hear_a_request_in_time(book: Book) -> None:
    assert book.unheard(20 + PATIENCE_S - 1) == []
    assert book.unheard(20 + LATE_S) == [f"request at {DOOR} of shard 0: never"]
    book.hear("request", DOOR, 20 + LATE_S)
    assert book.unheard(30 + LATE_S) == [f"request at {DOOR} of shard 0: 1 s late"]
    book.heard.clear()
    book.hear("request", DOOR, 25)
    book.hear("request", DOOR, 500)  # a broker repeats it
    assert book.unheard(30 + LATE_S) == []


def test_the_time_counts_from_each_connection_on(book: Book) -> None:
    book.links[DOOR].end(40)
    assert book.unheard(1000) == []
    book.links[DOOR].begin(1000)
    assert book.unheard(1000 + PATIENCE_S - 1) == []
    assert len(book.unheard(1000 + LATE_S)) == 1
    book.links[DOOR].end(1000 + LATE_S)
    assert len(book.unheard(5000)) == 1, "it was there for long enough"


def test_an_outage_of_the_shard_is_not_counted(book: Book) -> None:
    book.outages[0].begin(30)
    assert book.unheard(1000) == []
    book.outages[0].end(1000)
    assert book.unheard(1000 + PATIENCE_S - 1) == []
    assert len(book.unheard(1000 + LATE_S)) == 1
    book.outages[1].begin(1000)
    assert len(book.unheard(1000 + LATE_S)) == 1, "another shard's outage excuses nothing"


def test_an_acknowledged_part_must_be_there_as_it_was_sent_although_its_answer_is_not_complete(book: Book) -> None:
    book.sent["d"] = Sent("request", ("0" * 64, "1" * 64), acknowledged={1})
    assert book.broken({"d": Outcome({1: "1" * 64}, 0, 0)}) == ["not delivered: d is on its way"]
    for parts in ({}, {0: "0" * 64}, {1: "2" * 64}):
        assert "lost: part 1 of d was acknowledged" in book.broken({"d": Outcome(parts, 0, 0)})


@pytest.mark.parametrize(("rows", "entries"), [(0, 1), (2, 1), (1, 0), (1, 2)])
def test_a_complete_answer_must_be_there_exactly_once(book: Book, rows: int, entries: int) -> None:
    book.sent["d"] = Sent("request", ("0" * 64,), acknowledged={0}, state="complete")
    parts = {0: "0" * 64}
    assert book.broken({"d": Outcome(parts, 1, 1)}) == []
    assert book.broken({"d": Outcome(parts, rows, entries)}) == [f"not once: d has {rows} rows and {entries} entries"]


def test_an_answer_that_no_doorbell_sent_is_found(book: Book) -> None:
    assert book.broken({"e": Outcome({}, 1, 1)}) == ["invented: e"]
