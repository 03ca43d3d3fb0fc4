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


DISCOVERY = {
    "device": {
        "identifiers": ["doorward_ffffffffffffffff"],
        "name": "front-door",
        "manufacturer": "Doorward",
        "model": "Doorbell",
        "sw_version": "0.2.0",
        "configuration_url": "https://door/",
    },
    "origin": {"name": "Doorward", "sw_version": "0.2.0"},
    "availability_topic": "doorward/ffffffffffffffff/home/availability",
    "state_topic": "doorward/ffffffffffffffff/home/state",
    "qos": 1,
    "components": {
        "button": {
            "unique_id": "doorward_ffffffffffffffff_button",
            "platform": "event",
            "name": "Button",
            "device_class": "doorbell",
            "event_types": ["press"],
            "state_topic": "doorward/ffffffffffffffff/home/button",
        },
        "motion": {
            "unique_id": "doorward_ffffffffffffffff_motion",
            "platform": "binary_sensor",
            "name": "Motion",
            "value_template": "{{ 'ON' if value_json.motion else 'OFF' }}",
            "device_class": "motion",
        },
        "person": {
            "unique_id": "doorward_ffffffffffffffff_person",
            "platform": "binary_sensor",
            "name": "Person",
            "value_template": "{{ None if value_json.person is none else 'ON' if value_json.person else 'OFF' }}",
            "device_class": "occupancy",
        },
        "privacy": {
            "unique_id": "doorward_ffffffffffffffff_privacy",
            "platform": "binary_sensor",
            "name": "Privacy switch",
            "value_template": "{{ 'ON' if value_json.privacy else 'OFF' }}",
            "icon": "mdi:eye-off",
        },
        "problem": {
            "unique_id": "doorward_ffffffffffffffff_problem",
            "platform": "binary_sensor",
            "name": "Recording",
            "value_template": "{{ 'ON' if value_json.problem else 'OFF' }}",
            "device_class": "problem",
            "entity_category": "diagnostic",
        },
        "requests": {
            "unique_id": "doorward_ffffffffffffffff_requests",
            "platform": "sensor",
            "name": "Requests pending",
            "value_template": "{{ value_json.requests }}",
            "icon": "mdi:email-lock",
            "state_class": "measurement",
        },
        "last_clip": {
            "unique_id": "doorward_ffffffffffffffff_last_clip",
            "platform": "sensor",
            "name": "Last clip",
            "value_template": "{{ value_json.last_clip }}",
            "device_class": "timestamp",
        },
        "stored": {
            "unique_id": "doorward_ffffffffffffffff_stored",
            "platform": "sensor",
            "name": "Stored",
            "value_template": "{{ value_json.stored }}",
            "device_class": "data_size",
            "unit_of_measurement": "MB",
            "state_class": "measurement",
        },
        "update": {
            "unique_id": "doorward_ffffffffffffffff_update",
            "platform": "update",
            "name": "Update",
            "title": "Doorward",
            "device_class": "firmware",
            "entity_category": "diagnostic",
            "value_template": "{{ value_json.update | tojson }}",
        },
        "segments": {
            "unique_id": "doorward_ffffffffffffffff_segments",
            "platform": "sensor",
            "name": "Segments",
            "value_template": "{{ value_json.segments }}",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "icon": "mdi:filmstrip",
        },
        "camera": {
            "unique_id": "doorward_ffffffffffffffff_camera",
            "platform": "sensor",
            "name": "Camera",
            "value_template": "{{ value_json.camera }}",
            "entity_category": "diagnostic",
            "device_class": "enum",
            "options": ["recording", "watching", "privacy", "no camera", "not recording", "no recorder"],
        },
        "link": {
            "unique_id": "doorward_ffffffffffffffff_link",
            "platform": "sensor",
            "name": "Link",
            "value_template": "{{ value_json.link }}",
            "entity_category": "diagnostic",
            "icon": "mdi:cloud-check",
        },
        "clock": {
            "unique_id": "doorward_ffffffffffffffff_clock",
            "platform": "sensor",
            "name": "Clock",
            "value_template": "{{ value_json.clock }}",
            "entity_category": "diagnostic",
            "device_class": "enum",
            "options": ["synced", "held", "unknown"],
        },
        "temperature": {
            "unique_id": "doorward_ffffffffffffffff_temperature",
            "platform": "sensor",
            "name": "Temperature",
            "value_template": "{{ value_json.temperature }}",
            "entity_category": "diagnostic",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
        },
    },
}
"""Everything that Home Assistant is told of the entities, as its documentation names the fields."""


def test_home_assistant_is_told_of_exactly_these_entities() -> None:
    assert discovery(HomeTopics("f" * 16, "ha"), "front-door", "0.2.0", "https://door/") == DISCOVERY
    without_page = discovery(HomeTopics("f" * 16), "front-door", "0.2.0", "")
    assert "configuration_url" not in without_page["device"]


def test_each_topic_names_the_doorbell() -> None:
    topics = HomeTopics("f" * 16)
    assert (topics.discovery, topics.availability, topics.state, topics.button) == (
        "homeassistant/device/doorward_ffffffffffffffff/config",
        "doorward/ffffffffffffffff/home/availability",
        "doorward/ffffffffffffffff/home/state",
        "doorward/ffffffffffffffff/home/button",
    )


def test_the_state_has_a_value_for_each_entity_and_none_for_what_is_unknown() -> None:
    least = {
        "recorder": {"state": "no recorder yet"}, "vault": {"stored_bytes": 1_260_000, "segments": 3},
        "link": {"link": "off"}, "clock": "held",
    }  # fmt: skip
    assert state_of(least) == {
        "motion": False, "person": None, "privacy": False, "problem": True, "requests": 0, "last_clip": None,
        "stored": 1.3, "segments": 3, "camera": None, "link": "off", "clock": "held", "temperature": None,
        "update": {"installed_version": "", "latest_version": ""},
    }  # fmt: skip
    full = {
        "recorder": {
            "state": "privacy", "in_event": True, "object_detection": {"state": "running", "labels": ["person"]},
        },
        "panel": {"privacy": False, "health": {"temperature_c": 41.5}}, "newest_ms": 1_800_057_600_999,
        "requests_told": 2, "vault": {"stored_bytes": 5, "segments": 1}, "link": {"link": "connected"},
        "clock": "synced", "update": {"running": "0.2.0", "offer": "0.3.0"},
    }  # fmt: skip
    assert state_of(full) == {
        "motion": True, "person": True, "privacy": False, "problem": False, "requests": 2,
        "last_clip": "2027-01-16T00:00:00+00:00", "stored": 0.0, "segments": 1, "camera": "privacy",
        "link": "connected", "clock": "synced", "temperature": 41.5,
        "update": {"installed_version": "0.2.0", "latest_version": "0.3.0"},
    }  # fmt: skip
    running = {**full, "update": {"running": "0.2.0", "offer": None}}
    assert state_of(running)["update"] == {"installed_version": "0.2.0", "latest_version": "0.2.0"}
    for state, motion, privacy, problem in (
        ("recording", True, False, False), ("watching", False, False, False), ("privacy", False, True, False),
        ("no camera", False, False, True), ("not recording", False, False, True), ("no recorder", False, False, True),
    ):  # fmt: skip
        found = state_of({**least, "recorder": {"state": state}})
        assert (found["motion"], found["privacy"], found["problem"]) == (motion, privacy, problem)
        assert found["camera"] == state
