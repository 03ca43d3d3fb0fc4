"""Conditions that last and that no part reports."""

from agent.core.alerts.wellbeing import HealthFacts, HealthMonitor, health_conditions
from agent.core.timebase import BootNs

MINUTE = 60 * 10**9


def test_an_absent_broker_is_told_once_after_its_time_and_once_when_it_is_back() -> None:
    wellbeing = HealthMonitor(health_conditions(60 * MINUTE))
    told = [(m, wellbeing.step(HealthFacts(offline=m < 90), BootNs(m * MINUTE))) for m in range(120)]
    assert [(minute, news) for minute, news in told if news] == [(60, ("offline",)), (90, ("online",))]


def test_what_passes_before_its_time_is_told_to_nobody() -> None:
    wellbeing = HealthMonitor(health_conditions(60 * MINUTE))
    for minute in range(200):
        assert wellbeing.step(HealthFacts(offline=minute % 50 != 0), BootNs(minute * MINUTE)) == ()


def test_what_is_not_known_changes_nothing() -> None:
    wellbeing = HealthMonitor(health_conditions(60 * MINUTE))
    assert wellbeing.step(HealthFacts(not_storing=True), BootNs(0)) == ()
    assert wellbeing.step(HealthFacts(), BootNs(2 * MINUTE)) == ()
    assert wellbeing.step(HealthFacts(not_storing=True), BootNs(3 * MINUTE)) == ("storage",)
    assert wellbeing.step(HealthFacts(not_storing=False, clock_unknown=True), BootNs(4 * MINUTE)) == ("storage back",)
    assert wellbeing.step(HealthFacts(clock_unknown=True), BootNs(14 * MINUTE)) == ("clock",)


def test_a_recorder_that_does_not_report_is_told_after_two_minutes_and_when_footage_is_stored_again() -> None:
    wellbeing = HealthMonitor(health_conditions(60 * MINUTE))
    told = [(m, wellbeing.step(HealthFacts(no_recorder=m < 9), BootNs(m * MINUTE))) for m in range(20)]
    assert [(minute, news) for minute, news in told if news] == [(2, ("recorder",)), (9, ("storage back",))]


def test_a_page_that_cannot_be_opened_is_told_once_after_ten_minutes() -> None:
    wellbeing = HealthMonitor(health_conditions(60 * MINUTE))
    told = [(m, wellbeing.step(HealthFacts(no_page=m % 30 < 15), BootNs(m * MINUTE))) for m in range(60)]
    assert [(minute, news) for minute, news in told if news] == [(10, ("page",)), (40, ("page",))]
