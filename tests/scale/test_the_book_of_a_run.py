"""The book of a run at scale finds each broken promise, and none that was kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.scale.promises import PATIENCE_S, Belief, Book, NoticeBook, Outcome, Sent
from tests.scale.whole_agents import LinkNotes, enter_told

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


def test_only_the_time_between_outages_counts(book: Book) -> None:
    """Connected from 10 to 400 s and from 500 s on, with outages that touch, cover and lie between."""
    book.links[DOOR].end(400)
    book.links[DOOR].begin(500)
    for begin_s, end_s in ((0, 15), (70, 75), (130, 380), (390, 510), (540, 545)):
        book.outages[0].begin(begin_s)
        book.outages[0].end(end_s)
    assert book.unheard(545 + PATIENCE_S - 1) == []
    assert book.unheard(545 + LATE_S) == [f"request at {DOOR} of shard 0: never"]
    book.hear("request", DOOR, 545 + LATE_S)
    assert book.unheard(1000) == [f"request at {DOOR} of shard 0: 1 s late"]


def test_a_killed_broker_has_no_connection_although_a_doorbell_believes_in_it(book: Book) -> None:
    """Its network was cut, so the doorbell learns it with its next ping, up to a minute later. No product hears over a
    connection that is gone."""
    book.outages[0].begin(30)
    book.kills[0].append(35)
    book.outages[0].end(40)
    assert book.unheard(1000) == []
    assert book.beliefs(1000) == [Belief(965, DOOR, 0, 35)]
    book.links[DOOR].end(90)
    assert book.beliefs(1000) == []
    book.links[DOOR].begin(95)
    assert book.unheard(95 + PATIENCE_S - 1) == []
    assert book.unheard(95 + LATE_S) == [f"request at {DOOR} of shard 0: never"], "but over the next one"


def test_a_kill_ends_no_connection_of_another_shard_and_no_later_one(book: Book) -> None:
    book.kills[1].append(30)
    assert len(book.unheard(20 + LATE_S)) == 1
    book.kills[0].append(5)
    assert len(book.unheard(20 + LATE_S)) == 1


def test_the_time_in_which_the_process_of_a_doorbell_stood_still_does_not_count(book: Book) -> None:
    book.process_of = {DOOR: 1, OTHER: 2}
    book.stalls = {1: [(5, 12), (15, 25), (30, 37.5), (200, 300)], 2: [(20, 900)]}
    due_s = 20 + 5 + 7.5 + PATIENCE_S
    assert book.late(due_s - 0.5) == []
    (late,) = book.late(due_s + 1)
    assert (late.door, late.due_s) == (DOOR, due_s)
    book.hear("request", DOOR, due_s - 0.5)
    assert book.late(500) == []
    (shown,) = book.late(500, excuse=False)
    assert shown.due_s == 20 + PATIENCE_S, "the run prints it"
    book.links[DOOR].end(due_s - 1)
    book.heard.clear()
    assert book.late(500) == [], "it was not connected for long enough"


def test_a_wait_counts_from_the_last_outage_or_connection(book: Book) -> None:
    book.outages[0].begin(30)
    book.outages[0].end(50)
    book.hear("request", DOOR, 57)
    assert [each.waited_s for each in book.waits(100, lists=False)] == [7]
    book.kills[0].append(55)
    assert book.waits(100, lists=False) == [], "it heard over a connection that was gone"
    assert book.waits(100, lists=True) == []


def test_nothing_excuses_a_whole_agent(book: Book) -> None:
    book.stalls = {1: [(15, 900)]}
    assert len(book.late(20 + LATE_S)) == 1


def test_an_acknowledged_part_must_be_there_as_it_was_sent_although_its_answer_is_not_complete(book: Book) -> None:
    book.sent["d"] = Sent("request", ("0" * 64, "1" * 64), acknowledged={1})
    assert judged(book, {"d": Outcome({1: "1" * 64}, 0, 0)}) == ["not delivered: d is on its way"]
    for parts in ({}, {0: "0" * 64}, {1: "2" * 64}):
        assert "lost: part 1 of d was acknowledged" in judged(book, {"d": Outcome(parts, 0, 0)})


def judged(book: Book, outcomes: Mapping[str, Outcome]) -> list[str]:
    return book.judged(lambda: outcomes)


def test_a_receipt_that_comes_while_the_stores_are_read_makes_no_part_look_lost(book: Book) -> None:
    """A run with 94 answers on their way said that 13 acknowledged parts were lost."""
    sent = book.sent["d"] = Sent("request", ("0" * 64,))

    def read() -> dict[str, Outcome]:
        sent.acknowledged.add(0)
        sent.state = "complete"
        book.sent["new"] = Sent("request", ("0" * 64,), {0}, "complete")
        return {"d": Outcome({}, 0, 0), "new": Outcome({0: "0" * 64}, 1, 1)}

    assert book.judged(read) == ["not delivered: d is on its way"]
    assert "lost: part 0 of d was acknowledged" in book.judged(read)


@pytest.mark.parametrize(("rows", "entries"), [(0, 1), (2, 1), (1, 0), (1, 2)])
def test_a_complete_answer_must_be_there_exactly_once(book: Book, rows: int, entries: int) -> None:
    book.sent["d"] = Sent("request", ("0" * 64,), acknowledged={0}, state="complete")
    parts = {0: "0" * 64}
    assert judged(book, {"d": Outcome(parts, 1, 1)}) == []
    assert judged(book, {"d": Outcome(parts, rows, entries)}) == [f"not once: d has {rows} rows and {entries} entries"]


def test_an_answer_that_no_doorbell_sent_is_found(book: Book) -> None:
    assert judged(book, {"e": Outcome({}, 1, 1)}) == ["invented: e"]


def test_a_doorbell_that_joins_later_has_the_promises_from_its_first_connection_on(book: Book) -> None:
    whole = "c3" * 8
    book.add(whole, 0)
    for door in (DOOR, whole):
        book.hear("request", door, 25)
    book.published["later"] = (200, frozenset({0}))
    assert [each for each in book.unheard(190 + PATIENCE_S) if whole in each] == []
    book.hear("later", DOOR, 201)
    book.links[whole].begin(300)
    assert book.unheard(300 + LATE_S) == [f"later at {whole} of shard 0: never"]


def test_the_book_has_what_the_owner_of_a_whole_agent_tells(book: Book) -> None:
    lines = [f"up\t{DOOR}\t50.5", f"heard\trequest\t{DOOR}\t51", "sent\td\trequest\taa\tbb", "delivered\td"]
    assert [enter_told(each + "\n", book) for each in lines] == ["", "", "", ""]
    assert book.heard == {"request": {DOOR: 51.0}}
    assert book.sent == {"d": Sent("request", ("aa", "bb"), {0, 1}, "complete")}
    assert enter_told("Traceback\n", book) == "Traceback"


def test_a_whole_agent_that_is_back_before_its_owner_looks_again_has_two_connections(
    book: Book, tmp_path: Path
) -> None:
    """Ten whole agents of a long run seemed to believe in killed brokers, one of them for 712 s."""
    log, now_s = tmp_path / "agent.log", time.monotonic()

    def say(*words: object) -> None:
        assert enter_told("\t".join(map(str, words)), book) == ""

    def logs(event: str, at_s: float) -> str:
        at = datetime.fromtimestamp(at_s - time.monotonic() + time.time(), UTC)
        return json.dumps({"at": at.isoformat(timespec="milliseconds"), "event": event}) + "\n"

    book.links[DOOR].end(11)
    notes = LinkNotes(DOOR, log, say)
    notes.note(up=False, looked_s=now_s - 900)  # before its first start
    log.write_text(logs("transfer_begins", now_s - 850))
    notes.note(up=True, looked_s=now_s - 800)
    book.kills[0].append(now_s - 700)
    with log.open("a") as more:
        more.write(logs("link_down", now_s - 699) + logs("link_down", now_s - 697) + logs("link_down", now_s - 1)[:30])
    notes.note(up=True, looked_s=now_s - 690)
    assert book.beliefs(now_s) == []
    (_, span) = book.links[DOOR].ended
    assert span == (now_s - 800, pytest.approx(now_s - 699, abs=0.1))
    assert book.links[DOOR].began_s == now_s - 690
    book.published["later"] = (now_s - 600, frozenset({0}))
    assert f"later at {DOOR} of shard 0: never" in book.unheard(now_s), "its next connection counts"


@pytest.mark.parametrize("event", ["link_down", "lists_down"])
def test_a_whole_agent_that_loses_a_connection_during_the_look_is_connected_with_the_next_one(
    tmp_path: Path, event: str
) -> None:
    said: list[tuple[object, ...]] = []
    notes, at = LinkNotes(DOOR, tmp_path / "agent.log", lambda *words: said.append(words)), datetime.now(UTC)
    (tmp_path / "agent.log").write_text(json.dumps({"at": at.isoformat(), "event": event}) + "\n")
    notes.note(up=True, looked_s=time.monotonic() - 5)
    notes.note(up=True, looked_s=time.monotonic())
    notes.note(up=False, looked_s=99.0)
    assert [(each[0], each[1]) for each in said] == [("down", DOOR), ("up", DOOR), ("down", DOOR)]
    assert said[-1] == ("down", DOOR, 99.0)


def test_a_request_that_a_whole_agent_blocked_was_heard(book: Book) -> None:
    line = f"blocked\tcafe\t{DOOR}\t51\n"
    assert enter_told(line, book) == ""
    assert book.heard == {}, "its id is known once another doorbell has heard it"
    book.name("cafe", "request")
    assert (book.heard, book.blocked) == ({"request": {DOOR: 51.0}}, {("request", DOOR)})
    book.name("beef", "later")
    assert enter_told(f"blocked\tbeef\t{OTHER}\t60\n", book) == ""
    assert book.heard["later"] == {OTHER: 60.0}


@pytest.fixture
def notices() -> NoticeBook:
    """A notice that was accepted between 10 and 12 s, and read since then."""
    notices = NoticeBook()
    notices.read(5, 6, set())
    notices.accepting("one", 10)
    notices.accepted("one", 12)
    notices.read(13, 14, {"one"})
    assert notices.broken() == []
    return notices


def test_a_notice_must_not_be_on_the_page_before_a_moderator_says_yes(notices: NoticeBook) -> None:
    notices.read(20, 21, {"one", "two"})
    assert notices.broken() == ["shown before a moderator's yes: two"]


def test_a_reading_that_a_yes_overtakes_breaks_no_promise(notices: NoticeBook) -> None:
    notices.accepting("two", 30)
    notices.read(29, 31, {"one", "two"})
    assert notices.broken() == []


def test_an_accepted_notice_is_on_the_page_within_the_patience_and_read_at_least_once(notices: NoticeBook) -> None:
    notices.read(12 + PATIENCE_S - 1, 12 + PATIENCE_S, set())
    assert notices.broken() == []
    notices.read(12 + LATE_S, 13 + LATE_S, set())
    assert notices.broken() == [f"not on the page: one, {LATE_S:.0f} s after the yes"]
    unread = NoticeBook()
    unread.accepting("two", 10)
    unread.accepted("two", 11)
    assert unread.broken() == ["never read: two"]


def test_a_removed_notice_is_gone_with_its_removal(notices: NoticeBook) -> None:
    notices.removing(notices.oldest)
    notices.read(20, 21, {"one"})
    notices.removed("one", 22)
    notices.read(21, 23, {"one"})
    notices.read(23 + PATIENCE_S, 24 + PATIENCE_S, set())
    assert notices.broken() == []
    notices.read(25 + PATIENCE_S, 26 + PATIENCE_S, {"one"})
    assert notices.broken() == ["shown after its removal: one"]
