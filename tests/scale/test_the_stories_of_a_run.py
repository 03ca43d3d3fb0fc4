"""A failed run tells of each late message and shard what happened, in one line."""

from __future__ import annotations

import time

from tests.scale.promises import Belief, Book
from tests.scale.stories import believed, slowest, stories


def test_a_late_message_is_told_once_for_each_shard_with_what_its_broker_carried_and_the_faults_around() -> None:
    doors = {f"{number:016x}": number % 2 for number in range(6)}
    book = Book(doors)
    for link in book.links.values():
        link.begin(10)
    book.published["request"] = (100, frozenset({0, 1}))
    for door in doors:
        book.hear("request", door, 110)
    book.heard["request"]["0" * 16] = 170
    del book.heard["request"][f"{2:016x}"]
    carried = [
        ("request", "127.0.1.1", False, 168.0),
        ("request", "127.0.1.2", False, 101.0),
        ("other", "127.0.1.1", True, 1.0),
    ]
    history = [
        ("broker", "shard 0", 90.0, 98.0), ("broker", "shard 1", 90.0, 98.0), ("worker", "worker w1", 120.0, 125.0),
        ("database", "", 500.0, 501.0),
    ]  # fmt: skip
    book.process_of = dict.fromkeys(doors, 1)
    book.process_of[f"{4:016x}"] = 2
    book.stalls = {1: [(1.0, 20.0), (30.0, 37.0), (165.0, 167.0)], 2: [(100.0, 150.0)]}
    found = stories(book.late(200, excuse=False), book, carried, history, {"127.0.1.1": 0, "127.0.1.2": 1}, 200)

    def clock(at_s: float) -> str:
        return time.strftime("%H:%M:%S", time.localtime(at_s + time.time() - time.monotonic()))

    (wait,) = [each for each in book.waits(200, lists=False) if each.heard_s == 170]
    assert "request, 70.0 s at 0000000000000000 of shard 0" in slowest(wait, book, history)
    assert "stood still for 2.0 s meanwhile; faults: broker" in slowest(wait, book, history)
    (story,) = found
    assert story.startswith("request at 2 of 3 doorbells of shard 0: 10 to 40 s late, 1 never; published ")
    assert story.count("carried it at") == 1
    assert f"carried it at {clock(168)};" in story or f"carried it at {clock(167.5)};" in story
    assert "broker shard 0" in story
    assert "worker worker w1" in story
    assert "shard 1" not in story
    assert "database" not in story
    assert "their processes stood still for up to 2.0 s" in story


def test_a_belief_in_a_killed_broker_names_the_kind_of_doorbell_and_the_faults_around() -> None:
    light, whole = "a1" * 8, "b2" * 8
    book = Book({light: 0, whole: 0})
    book.process_of, book.stalls = {light: 1}, {1: [(110.0, 130.0)]}
    history = [("broker", "shard 0", 99.0, 104.0), ("broker", "shard 1", 99.0, 104.0)]
    told = believed(Belief(65.0, light, 0, 100.0), book, history)
    assert told.startswith(f"65 s, light doorbell {light} of shard 0, ")
    assert told.count("broker ") == 1
    assert "stood still for 20.0 s" in told
    assert believed(Belief(712.0, whole, 0, 100.0), book, []).startswith(f"712 s, whole agent {whole} of shard 0, ")
    assert believed(Belief(712.0, whole, 0, 100.0), book, []).endswith("stood still for 0.0 s meanwhile; faults: none")
