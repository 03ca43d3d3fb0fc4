"""The privacy gate: the camera runs only if the switch is off, was read, and this is no private hour."""

from __future__ import annotations

from collections.abc import Callable

from agent.recorder.privacy_gate import PrivacyGate


def test_a_privacy_gate_that_closes_and_opens_reports_each_change_once() -> None:
    closed: list[str] = []
    changes: list[bool] = []
    gate = PrivacyGate(switch_unread=True, on_close=closed.append, on_change=lambda: changes.append(gate.closed))
    assert gate.closed
    assert gate.only_unread
    steps: tuple[Callable[[], None], ...] = (
        lambda: gate.set_switch(False),
        lambda: gate.set_private_hour(True),
        lambda: gate.set_switch(True),
        lambda: gate.set_private_hour(False),
        lambda: gate.set_switch(False),
    )
    for step in steps:
        step()
    assert closed == ["This is a private hour."]
    assert changes[-1] is False
    assert not gate.closed
