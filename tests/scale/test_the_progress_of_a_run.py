"""A run says while it runs what is lost and doubled so far, and ends in order when it is asked to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.errors import NetworkError, StorageError
from tests.scale.progress import Audit, Ending, line
from tests.scale.promises import PATIENCE_S, Book, Sent, sha256_of

DOOR = "a1" * 8
PARTS = (b"list", b"film")


class Store:
    """Parts by number. `away`: it does not answer."""

    def __init__(self) -> None:
        self.parts = dict(enumerate(PARTS))
        self.away = False

    def pieces(self, _disclosure: str, number: int) -> Iterator[bytes]:
        if self.away:
            raise NetworkError("away")
        if number not in self.parts:
            raise StorageError("missing")
        yield self.parts[number]


@pytest.fixture
def sent() -> dict[str, Sent]:
    return {"d": Sent("request", tuple(map(sha256_of, PARTS)), {0, 1}, "complete")}


def test_the_audit_counts_what_is_lost_or_doubled_until_it_is_whole(sent: dict[str, Sent]) -> None:
    rows, store = {"d": (2, 1)}, Store()
    audit = Audit(lambda: list(sent.items()), rows.__getitem__)
    store.away = True
    with pytest.raises(NetworkError):
        audit.step(store)
    assert (audit.whole, audit.lost, audit.doubled) == (set(), set(), set()), "a store that is away has lost nothing"
    store.away, store.parts[1] = False, b"another"
    audit.step(store)
    assert (audit.whole, audit.lost, audit.doubled) == (set(), {("d", 1)}, {"d"})
    del store.parts[1]
    audit.step(store)
    assert audit.lost == {("d", 1)}
    assert not audit.is_done
    rows["d"], store.parts[1] = (1, 1), PARTS[1]
    audit.step(store)
    assert (audit.whole, audit.lost, audit.doubled) == ({"d"}, set(), set())
    assert audit.is_done


def test_the_audit_leaves_an_answer_that_is_on_its_way(sent: dict[str, Sent]) -> None:
    sent["d"].state = "on its way"
    audit = Audit(lambda: list(sent.items()), lambda _: (0, 0))
    audit.step(Store())
    assert not audit.whole


def test_the_line_of_a_round_has_the_figures_so_far(sent: dict[str, Sent]) -> None:
    book = Book({DOOR: 0})
    book.links[DOOR].begin(0)
    book.published |= {"request": (10, frozenset({0})), "list 2": (10, frozenset({0}))}
    book.sent |= sent
    audit = Audit(lambda: list(book.sent.items()), lambda _: (1, 1))
    audit.step(Store())
    assert line(book, audit, 10 + PATIENCE_S) == (
        "1 requests, bulletins and notices, 1 lists, 1 answers, 1 delivered, 2 acknowledged parts. "
        "1 answers read again, 0 parts lost, 0 doubled. 2 unheard, before stalls that go on are excused."
    )


def test_a_signal_ends_the_run_in_set_up_then_the_faults_then_the_wait_for_quiet() -> None:
    ending = Ending()
    with pytest.raises(SystemExit, match="before the first fault"):
        ending.ask()
    ending = Ending()
    ending.begin()
    assert not ending.asked
    ending.ask()
    assert (ending.asked, ending.hurried) == (True, False)
    ending.ask()
    assert ending.hurried
