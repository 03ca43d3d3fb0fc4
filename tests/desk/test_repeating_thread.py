"""The thread of publisher and receiver: it counts faults in a row, waits after each, and ends in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from desk import repeating_thread
from desk.repeating_thread import RepeatingThread


class Scripted(RepeatingThread):
    """Its steps end as `ends` says: with an error, or with None."""

    def __init__(self, ends: Iterator[Exception | None]) -> None:
        super().__init__("scripted")
        self.ends = ends
        self.calls: list[str] = []

    def _begin(self) -> None:
        self.calls.append("begin")

    def _step(self) -> None:
        try:
            error = next(self.ends)
        except StopIteration:
            self.stop()
            return
        if error is not None:
            raise error

    def _on_fault(self, error: Exception) -> None:
        self.calls.append(str(error))

    def _end(self) -> None:
        self.calls.append("end")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of faults in a row, at each pause."""
    counted: list[int] = []
    monkeypatch.setattr(repeating_thread, "pause_after", lambda _error, count: counted.append(count) or 0.0)
    return counted


def test_faults_in_a_row_are_counted_and_a_step_without_one_begins_again(faults: list[int]) -> None:
    bug = ZeroDivisionError("unforeseen")
    thread = Scripted(iter([bug, bug, None, bug]))
    thread.start()
    thread.join()
    assert faults == [1, 2, 1]
    assert thread.calls == ["begin", *["unforeseen"] * 3, "end"]
    assert not thread.is_alive


def test_a_fault_after_a_long_time_of_work_counts_as_none(faults: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 0.0, 1.0, 1.0, 31.0, 31.0, 61.1, 61.1, 62.0, 62.0])
    monkeypatch.setattr(repeating_thread, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    Scripted(iter([OSError()] * 4))._run()
    assert faults == [1, 2, 0, 1]


def test_a_thread_that_cannot_begin_or_tell_its_fault_ends_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no words")

    for method in ("_begin", "_on_fault"):
        thread = Scripted(iter([OSError("disk")]))
        monkeypatch.setattr(thread, method, fail)
        with pytest.raises(RuntimeError, match="no words"):
            thread._run()
        assert thread.calls[-1] == "end"


def test_no_step_begins_after_the_stop_or_without_use(faults: list[int]) -> None:
    thread = Scripted(iter([OSError("disk")]))
    thread._goes_on = lambda: False  # type: ignore[method-assign]
    thread._run()
    thread._goes_on = lambda: True  # type: ignore[method-assign]
    thread.stop()
    thread._run()
    assert thread.calls == ["begin", "end"] * 2
    assert faults == []


def test_a_stop_ends_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    paused = threading.Event()
    monkeypatch.setattr(repeating_thread, "pause_after", lambda *_: paused.set() or 3600.0)
    thread = Scripted(iter([OSError("disk")]))
    thread.start()
    assert paused.wait(60)
    thread.stop()
    thread.join()
