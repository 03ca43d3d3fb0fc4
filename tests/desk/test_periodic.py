"""The thread of a repeated step: an error of any kind is written and ends nothing, and the end waits for the step."""

from __future__ import annotations

import threading

from structlog.testing import capture_logs

from desk.periodic import PeriodicThread


def test_a_step_that_fails_in_an_unforeseen_way_is_told_and_tried_again() -> None:
    calls, third = [], threading.Event()

    def step() -> None:
        calls.append(None)
        if len(calls) == 3:
            third.set()
        raise ZeroDivisionError("unforeseen")

    with capture_logs() as lines, PeriodicThread("step under test", step, every_s=0.01):
        assert third.wait(20)
    assert [(line["thread"], line["kind"]) for line in lines[:2]] == [("step under test", "ZeroDivisionError")] * 2


def test_the_end_waits_for_the_step_that_is_running_and_begins_no_other() -> None:
    began, ended = threading.Event(), []

    def step() -> None:
        began.set()
        ended.append(threading.Event().wait(0.2))

    with PeriodicThread("step under test", step, every_s=0):
        assert began.wait(20)
    assert ended
    ends = threading.Event()
    with PeriodicThread("step under test", ends.wait, every_s=0, ends=ends):
        assert not ends.is_set()
    assert ends.is_set(), "a step that looks at it ends early"
    count = len(ended)
    assert not [each for each in threading.enumerate() if each.name == "step under test"]
    assert len(ended) == count
