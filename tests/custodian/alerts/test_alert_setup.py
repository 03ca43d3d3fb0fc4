"""The count of requests that wait for an owner lasts as long as they do, and leaves the house only if it may be known
there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import Configuration
from agent.core.alerts.notice_delay import LONGEST_MS, SHORTEST_MS
from agent.core.alerts.wellbeing import HealthFacts
from agent.core.consent import RequestState
from agent.custodian.alerts.alert_setup import AlertsFactory
from agent.custodian.alerts.log_notifier import LogNotifier
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
