"""Home Assistant's states of a person: present, absent, or unknown."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.alerts.kinds import AlertKind, alert_named
from agent.core.home import HomeTopics, discovery, state_of


def status(*, in_event: bool, **detection: Any) -> dict[str, Any]:
    return {
        "recorder": {
            "state": "recording" if in_event else "watching",
            "in_event": in_event,
            "object_detection": detection,
        },
        "vault": {"stored_bytes": 0, "segments": 0},
        "link": {"link": "off"},
        "clock": "synced",
    }


@pytest.mark.parametrize(
    ("told", "person"),
    [
        (status(in_event=True, state="running", labels=("person",)), True),
        (status(in_event=True, state="running", labels=["vehicle", "person"]), True),
        (status(in_event=True, state="running", labels=("vehicle",)), False),
        (status(in_event=True, state="running", labels=()), None),
        (status(in_event=True, state="running", labels=[]), None),
        (status(in_event=False, state="running", labels=()), False),
        (status(in_event=True, state="running", labels=None), False),
        (status(in_event=False, state="running", labels=("person",)), False),
        (status(in_event=True, state="paused", labels=None), None),
        (status(in_event=True, state="failed"), None),
        (status(in_event=True, state="off"), None),
        (status(in_event=True), None),
    ],
)
def test_a_person_is_there_is_not_there_or_nobody_knows(told: dict[str, Any], person: bool | None) -> None:
    assert state_of(told)["person"] is person


def test_the_entity_tells_nobody_knows_from_nobody_is_there() -> None:
    person = discovery(HomeTopics("0" * 16), "front-door", "1", "")["components"]["person"]
    assert person["platform"] == "binary_sensor"
    assert "is none" in person["value_template"]


def test_an_alert_says_it_in_neutral_words_and_can_be_switched_off_by_itself() -> None:
    news = alert_named("person")
    assert (news.kind, news.text) == (AlertKind.PERSON, "A person is at the door.")
    assert alert_named("visitor").kind is not AlertKind.PERSON
