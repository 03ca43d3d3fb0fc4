"""What the home is told of a person: that one is there, that none is, or that nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.alerts.kinds import AlertKind, news_of
from agent.core.home import HomeTopics, discovery, state_of


def status(*, in_event: bool, **opinion: Any) -> dict[str, Any]:
    return {
        "recorder": {"state": "recording" if in_event else "watching", "in_event": in_event, "opinion": opinion},
        "vault": {"stored_bytes": 0, "segments": 0},
        "link": {"link": "off"},
        "clock": "synced",
    }


@pytest.mark.parametrize(
    ("told", "person"),
    [
        (status(in_event=True, state="looking", sights=("person",)), True),
        (status(in_event=True, state="looking", sights=["vehicle", "person"]), True),
        (status(in_event=True, state="looking", sights=("vehicle",)), False),
        (status(in_event=True, state="looking", sights=None), False),
        (status(in_event=False, state="looking", sights=("person",)), False),
        (status(in_event=True, state="resting", sights=None), None),
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
    news = news_of("person")
    assert (news.kind, news.text) == (AlertKind.PERSON, "A person is at the door.")
    assert news_of("visitor").kind is not AlertKind.PERSON
