"""A sender who floods delays only its own messages, and takes a bounded share of the room."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agent.mqtt.pacing import FairQueue


def test_senders_take_turns_and_the_newest_of_each_comes_first() -> None:
    queue = FairQueue[str](10, 1000)
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(item[0], item, 1)
    assert [queue.take() for _ in range(7)] == ["a3", "b1", "c2", "a2", "c1", "a1", None]


def test_items_about_one_subject_come_in_order_and_the_newest_subject_first() -> None:
    queue = FairQueue[str](4, 1000)
    for sender, item, subject in (
        ("a", "x0", "x"), ("a", "x1", "x"), ("b", "b1", "x"), ("a", "y1", "y"), ("a", "x2", "x"), ("a", "y2", "y"),
    ):  # fmt: skip
        queue.put(sender, item, 1, subject)
    assert [queue.take() for _ in range(6)] == ["y1", "b1", "y2", "x1", "x2", None], "x0 was dropped"


def test_somebody_who_sends_once_is_heard_after_one_turn_of_all_others() -> None:
    queue = FairQueue[int](80, 1 << 20)
    for number in range(10_000):
        queue.put(f"junk-{number % 100}", number, 100)
    queue.put("police", -1, 100)
    taken = [queue.take() for _ in range(101)]
    assert -1 in taken


def test_what_does_not_fit_goes_from_whoever_has_the_most_and_of_theirs_the_oldest() -> None:
    queue = FairQueue[str](100, 10)
    queue.put("quiet", "quiet", 2)
    dropped = sum(queue.put("loud", f"loud{number}", 2) for number in range(9))
    assert dropped == 5
    assert [queue.take() for _ in range(6)] == ["quiet", "loud8", "loud7", "loud6", "loud5", None]


def test_of_one_sender_so_many_wait_and_the_oldest_go() -> None:
    queue = FairQueue[int](3, 1 << 20)
    assert [queue.put("a", number, 1) for number in range(5)] == [0, 0, 0, 1, 1]
    assert [queue.take() for _ in range(4)] == [4, 3, 2, None]


def test_an_item_larger_than_all_the_room_goes_in_alone() -> None:
    queue = FairQueue[str](3, 10)
    assert queue.put("a", "large", 50) == 0
    assert queue.put("b", "small", 1) == 1
    assert [queue.take(), queue.take()] == ["small", None]


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 8)) | st.none(), max_size=60)


@given(STEPS)
def test_nothing_is_lost_or_doubled_but_what_it_says_it_dropped_and_it_never_grows(
    steps: list[tuple[str, int] | None],
) -> None:
    queue = FairQueue[int](5, 20)
    inside, put, taken, dropped = Counter[int](), 0, 0, 0
    for step in steps:
        if step is None:
            item = queue.take()
            taken += item is not None
            if item is not None:
                inside[item] += 1
        else:
            dropped += queue.put(step[0], put, step[1])
            put += 1
        assert len(queue) == put - taken - dropped
        assert queue._total == sum(queue._held.values()) <= 20
    assert all(times == 1 for times in inside.values())
    while queue.take() is not None:
        taken += 1
    assert put == taken + dropped
    assert (queue._total, queue._held) == (0, {})


def test_a_queue_that_is_empty_again_remembers_no_sender() -> None:
    """Else an attacker with many names would fill the memory."""
    queue = FairQueue[int](2, 10)
    for number in range(40):
        queue.put(f"junk-{number}", number, 3)
    while queue.take() is not None:
        pass
    assert (len(queue), queue._total, dict(queue._held), dict(queue._senders)) == (0, 0, {}, {})
