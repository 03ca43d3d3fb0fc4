"""However many doors answer together, a few send their footage at a time, and all of it arrives."""

from __future__ import annotations

from agent.clients.requester.transfer_queue import UploadScheduler
from agent.core.timebase import NS_PER_S


def test_so_many_begin_and_the_others_wait_in_the_order_they_came() -> None:
    turns = UploadScheduler(2)
    assert [turns.may_begin(name, 0) for name in "abcd"] == [True, True, False, False]
    assert turns.may_begin("a", 1)
    assert turns.next(1) is None
    turns.ends("b")
    assert turns.next(1) == "c"
    assert not turns.may_begin("d", 1)
    assert turns.may_begin("c", 1)
    turns.ends("a")
    assert turns.next(1) == "d"
    turns.ends("d")
    assert turns.next(1) is None


def test_one_of_which_nothing_comes_any_more_keeps_nobody_waiting() -> None:
    turns = UploadScheduler(1)
    assert turns.may_begin("slow", 0)
    assert not turns.may_begin("next", 0)
    turns.moves("slow", 50 * NS_PER_S)
    assert turns.next(109 * NS_PER_S) is None
    assert turns.next(110 * NS_PER_S) == "next"
    turns.moves("unknown", 0)
    assert turns.may_begin("next", 110 * NS_PER_S)
