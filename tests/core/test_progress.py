"""The watchdog is fed for progress, not for time: a role is stuck if its due step does not come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.recovery import StallDetector
from agent.core.timebase import NS_PER_S


def test_nothing_is_due_before_it_is_expected() -> None:
    assert StallDetector({"frames": 10.0}).stuck(10**18) == ()


def test_a_mark_that_gets_old_is_named() -> None:
    progress = StallDetector({"frames": 10.0, "time": 60.0})
    progress.mark("frames", 0)
    progress.mark("time", 0)
    assert progress.stuck(10 * NS_PER_S) == ()
    assert progress.stuck(11 * NS_PER_S) == ("frames",)
    progress.mark("frames", 11 * NS_PER_S)
    assert progress.stuck(12 * NS_PER_S) == ()


def test_what_rests_owes_nothing_and_what_is_expected_again_starts_anew() -> None:
    progress = StallDetector({"acknowledgements": 10.0})
    progress.expect("acknowledgements", 0)
    progress.expect("acknowledgements", 9 * NS_PER_S)  # it was due already: that does not put it off
    assert progress.stuck(11 * NS_PER_S) == ("acknowledgements",)
    progress.rest("acknowledgements")
    assert progress.stuck(99 * NS_PER_S) == ()
    progress.expect("acknowledgements", 99 * NS_PER_S)
    assert progress.stuck(100 * NS_PER_S) == ()


@given(st.lists(st.integers(0, 100), min_size=1))
def test_however_often_one_loop_turns_it_does_not_speak_for_another(turns: list[int]) -> None:
    progress = StallDetector({"loop": 5.0, "frames": 5.0})
    progress.mark("frames", 0)
    for second in sorted(turns):
        progress.mark("loop", second * NS_PER_S)
    assert ("frames" in progress.stuck(max(turns) * NS_PER_S)) == (max(turns) > 5)
