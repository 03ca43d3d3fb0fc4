"""The count of requests that wait for an owner lasts as long as they do, and leaves the house only if it may be known
there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import Configuration
from agent.config.settings import AlertChannelConfig, AlertsConfig, DeviceConfig, HomeAssistantConfig
from agent.core.alerts.alert_messages import ChannelAddress
from agent.core.alerts.kinds import AlertKind
from agent.core.alerts.notice_delay import LONGEST_MS, SHORTEST_MS
from agent.core.alerts.policy import ChannelRules
from agent.core.alerts.wellbeing import HealthFacts
from agent.core.consent import RequestState
from agent.core.languages import LanguageCode
from agent.core.timebase import BootNs
from agent.custodian.alerts.alert_setup import AlertsFactory, health_facts, local_time, offer_alerts, quiet_hours
from agent.custodian.alerts.alerts import AlertSettings
from agent.custodian.alerts.log_notifier import LogNotifier
from agent.errors import RequestError
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed
from tests import custodians
from tests.custodians import SECRET, Door

BO = private_key_from_seed(b"b" * 32)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.enrol(**custodians.two_owners(made, BO))
    yield made
    made.close()


def telling(door: Door, configuration: Configuration, folder: Path) -> AlertsFactory:
    return AlertsFactory(
        configuration,
        folder / "alerts.sqlite",
        SECRET,
        door.custodian.clock,
        door.journal,
        facts=lambda: HealthFacts(offline=None, clock_unknown=False, not_storing=False),
        status=dict,
        sleeps=lambda: False,
    )


def test_what_one_of_two_owners_has_approved_still_waits(door: Door, tmp_path: Path) -> None:
    told = telling(door, Configuration(), tmp_path)
    asked, other = door.ask(), door.ask()
    approval, headers = custodians.approval(door, asked, door.segments[0])
    assert door.obey(approval, headers).state is RequestState.PARTIALLY_APPROVED
    assert told.requests() == {"requests_waiting": 2, "requests_told": 0}
    door.clock.advance(SHORTEST_MS // 1000 - 1)
    assert told.requests()["requests_told"] == 0
    door.clock.advance((LONGEST_MS - SHORTEST_MS) // 1000 + 1)
    assert told.requests() == {"requests_waiting": 2, "requests_told": 2}
    door.deny(other)
    assert told.requests() == {"requests_waiting": 1, "requests_told": 1}


def test_a_wrong_time_tells_nothing_of_a_request_before_its_delay_is_over(door: Door, tmp_path: Path) -> None:
    told = telling(door, Configuration(), tmp_path)
    door.ask()
    door.clock.utc_offset_ns += 31 * 86_400 * 10**9
    assert told.requests() == {"requests_waiting": 1, "requests_told": 0}


def test_where_nothing_is_configured_the_log_tells(door: Door, tmp_path: Path) -> None:
    told = telling(door, Configuration(), tmp_path)
    assert (told.alerts, told.home) == (None, None)
    assert isinstance(told.notifier, LogNotifier)


def test_each_channel_has_the_rules_of_its_section_and_the_household_its_own(door: Door, tmp_path: Path) -> None:
    wanted = AlertsConfig(
        link="https://door.example/",
        off=(AlertKind.VISITOR,),
        digest=(AlertKind.TRUST,),
        digest_at="07:30",
        cool_down_s=42,
        quiet=("22:00", "06:15"),
        channels=(
            AlertChannelConfig(
                name="Ann", url="ntfy://phone/ann", kinds=(AlertKind.REQUEST,), quiet=("23:00", "05:00")
            ),
            AlertChannelConfig(name="Ben", url="ntfy://phone/ben", language=LanguageCode.AR),
        ),
        language=LanguageCode.NL,
    )
    told = telling(door, Configuration(device=DeviceConfig(name="Front"), alerts=wanted), tmp_path)
    alerts = told.alerts
    assert alerts is not None
    assert (told.notifier, told.home) == (alerts, None)
    assert alerts._settings == AlertSettings(
        "Doorward: Front",
        "https://door.example/",
        (ChannelAddress("Ann", "ntfy://phone/ann"), ChannelAddress("Ben", "ntfy://phone/ben")),
    )
    policy = alerts._policy
    assert policy.channels == (
        ChannelRules("Ann", frozenset({AlertKind.REQUEST}), (23 * 60, 5 * 60), "nl"),
        ChannelRules("Ben", frozenset(AlertKind), None, "ar"),
    )
    assert (policy.off, policy.digest) == (frozenset({AlertKind.VISITOR}), frozenset({AlertKind.TRUST}))
    assert (policy.digest_minute, policy.cool_down_ns) == (7 * 60 + 30, 42 * 10**9)
    assert policy.quiet == quiet_hours(Configuration(alerts=wanted)) == (22 * 60, 6 * 60 + 15)
    assert quiet_hours(Configuration()) is None
    assert quiet_hours(Configuration(alerts=AlertsConfig())) is None
    alerts.close()


def test_a_doorbell_that_is_offline_for_the_configured_minutes_says_so(door: Door, tmp_path: Path) -> None:
    told = telling(door, Configuration(alerts=AlertsConfig(offline_after_minutes=7)), tmp_path)
    alerts = told.alerts
    assert alerts is not None
    monitor = alerts._wellbeing
    assert monitor is not None
    facts = HealthFacts(offline=True, clock_unknown=False, not_storing=False)
    start_ns = 10**12
    assert not [*monitor.step(facts, BootNs(start_ns))]
    assert not [*monitor.step(facts, BootNs(start_ns + 7 * 60 * 10**9 - 1))]
    assert [*monitor.step(facts, BootNs(start_ns + 7 * 60 * 10**9 + 1))]
    alerts.close()


def test_news_of_a_request_waits_only_while_the_request_holds_footage(door: Door, tmp_path: Path) -> None:
    told = telling(door, Configuration(), tmp_path)
    asked = door.ask()
    assert told._waits(f"{asked.id} again")
    assert told._waits("0" * 32), "of what is not here nothing is known"
    door.deny(asked)
    assert not told._waits(asked.id)


def test_home_assistant_hears_the_news_before_the_log_does(door: Door, tmp_path: Path) -> None:
    told = telling(door, Configuration(home_assistant=HomeAssistantConfig(host="home.example")), tmp_path)
    assert told.home is told.notifier
    assert told.alerts is None


@pytest.mark.parametrize(
    ("link", "offline"), [("off", None), ("connected", False), ("connecting", True), ("no uplink", True)]
)
def test_what_the_status_shows_is_what_the_alerts_judge(link: str, offline: bool | None) -> None:
    for state, faults in (
        ("watching", (False, False)), ("not recording", (True, False)), ("privacy", (False, False)),
        ("no recorder", (False, True)),
    ):  # fmt: skip
        for unknown in (True, False):
            found = health_facts({"state": state}, link, clock_unknown=unknown, no_page=unknown)
            assert found == HealthFacts(offline, unknown, *faults, no_page=unknown)
    assert health_facts({}, link, clock_unknown=True) == HealthFacts(offline, True, False, False, None)


def test_the_local_time_is_that_of_the_house(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert local_time(1_800_000_000_999) == (9 * 60, "09:00")
        assert local_time(1_800_000_060_000) == (9 * 60 + 1, "09:01")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_the_page_may_ask_of_alerts_is_offered_and_owners_who_leave_take_their_browsers_along(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = telling(door, Configuration(alerts=AlertsConfig()), tmp_path)
    assert told.alerts is not None
    left: list[object] = []
    monkeypatch.setattr("agent.custodian.alerts.alert_setup.PushChannels.leave", lambda _, gone: left.append(gone))
    browsers = offer_alerts(told.alerts, tmp_path / "push.json", door.custodian, lambda: 1)
    assert left == [door.custodian.enrolments.has_left], "a power cut may have come before this"
    door.custodian.owners_changed()
    assert left == [door.custodian.enrolments.has_left] * 2
    assert browsers.glances() == ()
    assert door.custodian.statements.subscribe is not None
    with pytest.raises(RequestError, match="No channel is configured"):
        door.custodian.control.answer(Frame({"op": "alerts_test"}))
    assert door.custodian.control.answer(Frame({"op": "push_key"})).head["ok"]
    told.alerts.close()
