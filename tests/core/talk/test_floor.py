"""Only one owner talks at a time, and a pause gives the floor back."""

from __future__ import annotations

from agent.core.talk.floor import FLOOR_S, Floor


def test_the_first_one_holds_the_floor_until_a_pause() -> None:
    floor = Floor()
    assert floor.taken(0.0) is None
    assert floor.take("a", "Ana", 0.0)
    assert not floor.take("b", "Ben", 1.0)
    assert floor.taken(1.0) == "Ana"
    assert floor.hear("a", 2.0)
    assert floor.taken(2.0 + FLOOR_S - 0.1) == "Ana"
    assert floor.take("b", "Ben", 2.0 + FLOOR_S)
    assert not floor.hear("a", 5.0)


def test_a_release_gives_the_floor_back_at_once() -> None:
    floor = Floor()
    floor.take("a", "Ana", 0.0)
    floor.release("b")
    assert floor.taken(0.5) == "Ana"
    floor.release("a")
    assert floor.taken(0.5) is None
    assert not floor.hear("", 1.0)
    assert floor.take("b", "Ben", 0.6)
