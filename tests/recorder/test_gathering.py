"""Frames are handed over a few at a time while nothing moves, and at once when something does."""

from __future__ import annotations

import threading
import time

import pytest

from agent.recorder import camera_queues
from agent.recorder.camera_queues import GATHER_S, BoundedQueue


@pytest.fixture
def _for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the machine stops between two steps of the test, the reader's own time is not over."""
    monkeypatch.setattr(camera_queues, "GATHER_S", 3600.0)


def _taken_after(box: BoundedQueue[str], together: int) -> tuple[threading.Thread, list[str | None]]:
    taken: list[str | None] = []
    reader = threading.Thread(target=lambda: taken.append(box.take(together=together)), name="reader", daemon=True)
    reader.start()
    while box._gathering != together:
        time.sleep(0.001)
    with box._changed:
        return reader, taken  # it has let go of the lock: it sleeps


@pytest.mark.usefixtures("_for_long")
def test_a_reader_at_leisure_sleeps_until_enough_has_gathered() -> None:
    box: BoundedQueue[str] = BoundedQueue(8)
    reader, taken = _taken_after(box, together=3)
    box.offer("first")
    box.offer("second")
    assert not taken
    box.offer("third")
    reader.join(60)
    assert taken == ["first"]
    assert [box.take(together=3), box.take(together=3)] == ["second", "third"]


@pytest.mark.usefixtures("_for_long")
def test_what_is_forced_in_wakes_the_reader_at_once() -> None:
    box: BoundedQueue[str] = BoundedQueue(8)
    reader, taken = _taken_after(box, together=5)
    box.force("the button")
    reader.join(60)
    assert taken == ["the button"]


@pytest.mark.usefixtures("_for_long")
def test_closing_wakes_the_reader_at_once() -> None:
    box: BoundedQueue[str] = BoundedQueue(8)
    reader, taken = _taken_after(box, together=5)
    box.close()
    reader.join(60)
    assert taken == [None]


def test_a_slow_camera_is_not_waited_for_longer_than_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    box: BoundedQueue[str] = BoundedQueue(8)
    slept_s: list[float | None] = []

    def sleep(timeout_s: float | None = None) -> bool:
        """One frame comes, which is too few to be woken for, and the time is over."""
        slept_s.append(timeout_s)
        box.offer("the only one")
        return False

    monkeypatch.setattr(box._changed, "wait", sleep)
    assert box.take(together=5) == "the only one"
    assert slept_s == [GATHER_S]
    assert GATHER_S <= 0.5
