"""An alert that the custodian could not take reaches the owner when the custodian is back."""

from __future__ import annotations

from agent.core.timebase import BootNs, seconds
from agent.errors import NetworkError
from agent.ipc.protocol import Notify
from agent.recorder.unsent_alerts import KEPT_NS, MOST_KEPT, UnsentAlerts

RING = Notify("ring", "Somebody rang.")


class Custodian:
    """Takes alerts while `here`."""

    def __init__(self) -> None:
        self.here = False
        self.took: list[Notify] = []

    def ask(self, alert: Notify) -> None:
        if not self.here:
            raise NetworkError("The custodian does not answer.")
        self.took.append(alert)


class Clock:
    now = BootNs(0)

    def __call__(self) -> BootNs:
        return self.now


def begun() -> tuple[Custodian, Clock, UnsentAlerts]:
    custodian, clock = Custodian(), Clock()
    return custodian, clock, UnsentAlerts(custodian.ask, clock)


def test_an_alert_goes_out_once_and_at_once_while_the_custodian_is_there() -> None:
    custodian, _, alerts = begun()
    custodian.here = True
    alerts.send(RING)
    alerts.send_again()
    assert custodian.took == [RING]


def test_a_press_during_a_restart_of_the_custodian_is_told_afterwards_once_and_in_order() -> None:
    custodian, clock, alerts = begun()
    later = Notify("ring", "Somebody rang again.")
    for alert in (RING, later):
        alerts.send(alert)
    alerts.send_again()
    assert custodian.took == []
    custodian.here, clock.now = True, BootNs(KEPT_NS)
    alerts.send_again()
    alerts.send_again()
    assert custodian.took == [RING, later]


def test_a_ring_that_is_too_old_is_not_taken_for_one_of_now() -> None:
    custodian, clock, alerts = begun()
    alerts.send(RING)
    custodian.here, clock.now = True, BootNs(KEPT_NS + seconds(1))
    alerts.send_again()
    assert custodian.took == []


def test_a_custodian_that_stays_away_costs_a_bounded_number_of_alerts() -> None:
    custodian, _, alerts = begun()
    for number in range(MOST_KEPT + 5):
        alerts.send(Notify("ring", str(number)))
    custodian.here = True
    alerts.send_again()
    assert [alert.text for alert in custodian.took] == [str(number) for number in range(5, MOST_KEPT + 5)]
