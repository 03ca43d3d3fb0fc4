"""The limits of requests and the delay of an approval are those of the configuration; minutes are local ones."""

from __future__ import annotations

import time

import pytest

from agent.config.derived import request_limits
from agent.config.settings import RequestsConfig
from agent.custodian.inbox_settings import inbox_settings


@pytest.mark.parametrize("position", [None, (53.5, 10.0)])
def test_the_inbox_gets_its_limits_its_place_and_its_delay_in_seconds(position: tuple[float, float] | None) -> None:
    wanted = RequestsConfig(delay_minutes=7, requests_per_day=5)
    found = inbox_settings(wanted, position)
    assert (found.limits, found.position, found.delay_s) == (request_limits(wanted), position, 420)


def test_the_minute_of_the_day_is_that_of_the_house(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert inbox_settings(RequestsConfig(), None).minute_of(61 * 60_000) == 61 + 330
    finally:
        monkeypatch.undo()
        time.tzset()
