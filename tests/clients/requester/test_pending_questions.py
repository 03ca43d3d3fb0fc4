"""Questions that wait for data of others: doorbells take turns, and none fills the places of all."""

from __future__ import annotations

from agent.clients.requester.pending_questions import MOST_OF_ONE, MOST_QUESTIONS, PendingQuestions
from agent.core.bus import MessageReceived


def question(device: str, number: int, source: str = "") -> MessageReceived:
    return MessageReceived(f"doorward/v1/up/police/{device}/{number:032x}-0/init", b"{}", (), source)


def put(pending: PendingQuestions, device: str, number: int, source: str = "") -> None:
    pending.put(device, f"{number:032x}", question(device, number, source))


def taken(pending: PendingQuestions) -> list[str]:
    found = []
    while (each := pending.take()) is not None:
        found.append("/".join(each.topic.split("/")[4:6])[: len("a/") + 32])
    return found


def test_a_doorbell_that_asks_about_thousands_of_uploads_delays_no_other_one() -> None:
    pending = PendingQuestions()
    for number in range(3 * MOST_QUESTIONS):
        put(pending, "a", number)
    assert len(pending) == MOST_OF_ONE
    put(pending, "b", 1)
    put(pending, "c", 2)
    assert taken(pending)[:4] == [f"a/{0:032x}", f"b/{1:032x}", f"c/{2:032x}", f"a/{1:032x}"]
    assert len(pending) == 0


def test_the_newest_question_about_an_upload_counts_and_keeps_its_place() -> None:
    pending = PendingQuestions()
    put(pending, "a", 1)
    put(pending, "a", 2)
    again = question("a", 1, "newer")
    pending.put("a", f"{1:032x}", again)
    assert len(pending) == 2
    assert pending.take() is again


def test_many_doorbells_that_ask_about_much_leave_a_place_for_one_with_little() -> None:
    pending = PendingQuestions()
    for device in range(2 * MOST_QUESTIONS // MOST_OF_ONE):
        for number in range(MOST_OF_ONE):
            put(pending, f"{device:016x}", number)
    assert len(pending) == MOST_QUESTIONS
    put(pending, "late", 7)
    assert len(pending) == MOST_QUESTIONS
    assert any(each.startswith("late") for each in taken(pending))


def test_what_ended_and_what_came_from_a_broker_out_of_reach_is_forgotten() -> None:
    pending = PendingQuestions()
    put(pending, "a", 1, "one")
    put(pending, "a", 2, "two")
    put(pending, "b", 3, "one")
    put(pending, "b", 4, "two")
    pending.forget("one")
    pending.drop("b", f"{4:032x}")
    pending.drop("b", f"{5:032x}")
    pending.drop("c", f"{5:032x}")
    assert taken(pending) == [f"a/{2:032x}"]
