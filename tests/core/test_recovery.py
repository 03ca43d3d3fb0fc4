"""Steps to get a camera back, and the threshold at which it counts as unwell."""

from __future__ import annotations

import pytest

from agent.core.recovery import GOOD_NS, RecoveryAction, RecoveryPolicy, StallKind, StreamPulse, stall_of

S = 10**9


@pytest.mark.parametrize(
    ("frame_s", "packet_s", "change_s", "found"),
    [
        (99, 99, 99, None),
        (84, 84, 84, StallKind.FRAMES),
        (99, 84, 99, StallKind.ENCODER),
        (99, 99, 45, None),
        (99, 99, 39, StallKind.FROZEN),
        (85, 85, 85, None),
    ],
)
def test_no_frame_no_packet_and_one_frame_for_ever_are_told_apart(
    frame_s: int, packet_s: int, change_s: int, found: StallKind | None
) -> None:
    assert stall_of(StreamPulse(frame_s * S, packet_s * S, change_s * S), 100 * S, 15 * S) is found


def test_three_restarts_then_an_exit_and_after_two_exits_a_reboot() -> None:
    steps = []
    for exits in range(3):
        recovery = RecoveryPolicy(supervised=True, exits=exits)
        steps.append([recovery.on_fault()[0] for _ in range(4)])
    restarts = [RecoveryAction.RESTART] * 3
    assert steps == [
        [*restarts, RecoveryAction.EXIT],
        [*restarts, RecoveryAction.EXIT],
        [*restarts, RecoveryAction.REBOOT],
    ]


def test_a_pipeline_that_cannot_be_closed_needs_a_new_process_at_once() -> None:
    assert RecoveryPolicy(supervised=True).on_fault(hangs=True)[0] is RecoveryAction.EXIT


@pytest.mark.parametrize(
    "recovery", [RecoveryPolicy(supervised=True, network=True, exits=9), RecoveryPolicy(supervised=False)]
)
def test_a_network_camera_or_an_unsupervised_process_is_restarted_for_ever(recovery: RecoveryPolicy) -> None:
    steps = [recovery.on_fault(hangs=number % 2 == 0) for number in range(50)]
    assert {step for step, _ in steps} == {RecoveryAction.RESTART}
    assert [pause for _, pause in steps[:6]] == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0]


def test_a_good_hour_forgets_everything_and_less_does_not() -> None:
    recovery = RecoveryPolicy(supervised=True, exits=2)
    recovery.on_fault()
    assert not recovery.on_good(GOOD_NS - 1)
    assert recovery.on_good(GOOD_NS)
    assert recovery.exits == 0
    assert [recovery.on_fault()[0] for _ in range(4)][-1] is RecoveryAction.EXIT
