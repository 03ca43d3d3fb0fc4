"""The privacy gate: the camera runs only if the switch is off, was read, and this is no private hour."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from agent.recorder.privacy_gate import PrivacyGate


def test_a_privacy_gate_that_closes_and_opens_reports_each_change_once() -> None:
    closed: list[str] = []
    changes: list[bool] = []
    gate = PrivacyGate(switch_unread=True, on_close=closed.append, on_change=lambda: changes.append(gate.closed))
    assert gate.closed
    assert gate.only_unread
    steps: tuple[Callable[[], None], ...] = (
        lambda: gate.set_privacy_switch(False),
        lambda: gate.set_private_hour(True),
        lambda: gate.set_privacy_switch(True),
        lambda: gate.set_private_hour(False),
        lambda: gate.set_privacy_switch(False),
    )
    for step in steps:
        step()
    assert closed == ["This is a private hour."]
    assert changes[-1] is False
    assert not gate.closed


SWITCH_ON, HOUR = "The privacy switch is on.", "This is a private hour."
UNREAD = "The privacy switch has not been read yet."


@pytest.mark.parametrize(
    ("switch", "private_hour", "closed", "only_unread", "reason"),
    [
        (None, False, True, True, UNREAD),
        (None, True, True, False, HOUR),
        (False, True, True, False, HOUR),
        (True, False, True, False, SWITCH_ON),
        (True, True, True, False, SWITCH_ON),
        (False, False, False, False, ""),
    ],
)
def test_a_gate_is_open_only_if_the_switch_was_read_is_off_and_this_is_no_private_hour(
    switch: bool | None, private_hour: bool, closed: bool, only_unread: bool, reason: str
) -> None:
    gate = PrivacyGate(switch_unread=switch is None, on_close=lambda _why: None, on_change=lambda: None)
    if switch is not None:
        gate.set_privacy_switch(switch)
    gate.set_private_hour(private_hour)
    assert (gate.closed, gate.switch_read, gate.only_unread) == (closed, switch is not None, only_unread)
    if closed:
        assert gate.reason == reason


def test_a_doorbell_without_a_switch_is_open_and_has_nothing_to_read() -> None:
    gate = PrivacyGate(switch_unread=False, on_close=lambda _why: None, on_change=lambda: None)
    assert (gate.closed, gate.switch_read, gate.only_unread) == (False, True, False)


def test_the_loop_is_told_why_the_gate_closes_that_it_opens_and_of_the_first_reading() -> None:
    told: list[str] = []
    gate = PrivacyGate(switch_unread=True, on_close=told.append, on_change=lambda: told.append("changed"))
    with capture_logs() as lines:
        for act, news in (
            (lambda: gate.set_privacy_switch(True), ["changed"]),  # it is closed as before, but for another reason
            (lambda: gate.set_privacy_switch(True), []),
            (lambda: gate.set_privacy_switch(False), ["changed"]),
            (lambda: gate.set_private_hour(True), [HOUR]),
            (lambda: gate.set_private_hour(True), []),
            (lambda: gate.set_privacy_switch(True), []),
            (lambda: gate.set_private_hour(False), []),
            (lambda: gate.set_privacy_switch(False), ["changed"]),
            (lambda: gate.set_privacy_switch(True), [SWITCH_ON]),
        ):
            told.clear()
            act()
            assert told == news
    assert [line["on"] for line in lines] == [False, True, False, True]
    first = PrivacyGate(switch_unread=True, on_close=told.append, on_change=lambda: told.append("changed"))
    told.clear()
    first.set_privacy_switch(False)
    assert told == ["changed", "changed"], "the first reading, and the opening"


def test_a_switch_that_can_be_read_no_longer_counts_as_on_until_it_is_read_again() -> None:
    told: list[str] = []
    gate = PrivacyGate(switch_unread=True, on_close=told.append, on_change=lambda: told.append("changed"))
    gate.lose_privacy_switch()
    assert (told, gate.reason) == ([], UNREAD), "it was never read"
    gate.set_privacy_switch(False)
    told.clear()
    for _ in range(2):
        gate.lose_privacy_switch()
        assert (gate.closed, gate.only_unread, gate.switch_read) == (True, True, False)
    assert told == ["The privacy switch cannot be read."]
    told.clear()
    gate.set_privacy_switch(False)
    assert (told, gate.closed) == (["changed", "changed"], False), "the reading, and the opening"
    gate.set_privacy_switch(True)
    gate.lose_privacy_switch()
    assert gate.closed, "a switch that was on does not open the camera by its loss"


def test_a_doorbell_without_a_switch_can_lose_none() -> None:
    gate = PrivacyGate(switch_unread=False, on_close=lambda _why: None, on_change=lambda: None)
    gate.lose_privacy_switch()
    assert not gate.closed
