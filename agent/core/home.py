"""The messages to Home Assistant: one discovery message, one retained state, and an event for each press of the button.

Rules: data flows from the doorbell to the home only. Command topics and subscriptions do not exist, so a broker or an
automation cannot start, stop or point the camera. The privacy switch is a sensor. Entities leave out pictures,
positions and requesters' words: `requests` is a number. A request counts in it after the delay of its alert
(`core.alerts.notice_delay`), because an outsider may see the effect of an automation.

    homeassistant/device/doorward_<id>/config   discovery, retained; empty removes every entity
    doorward/<id>/home/availability             "online", and "offline" by last will, retained
    doorward/<id>/home/state                    JSON, retained
    doorward/<id>/home/button                   {"event_type": "press"}, not retained: a press is over at once

Source: home-assistant.io/integrations/mqtt ("Device discovery payload"), since Home Assistant 2024.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["PRESS", "HomeTopics", "discovery", "state_of"]

PRESS: Final = b'{"event_type":"press"}'
CAMERA_STATES: Final = ("recording", "watching", "privacy", "no camera", "not recording", "no recorder")
CLOCK_STATES: Final = ("synced", "held", "unknown")
_OR_UNKNOWN: Final = "{{ None if value_json.person is none else 'ON' if value_json.person else 'OFF' }}"
"""If object detection is off, the state is "unknown", which differs from "no person"."""


@dataclass(frozen=True, slots=True)
class HomeTopics:
    """The topics of one doorbell. `prefix` is Home Assistant's discovery prefix."""

    device: str
    prefix: str = "homeassistant"

    @property
    def discovery(self) -> str:
        return f"{self.prefix}/device/doorward_{self.device}/config"

    @property
    def availability(self) -> str:
        return f"doorward/{self.device}/home/availability"

    @property
    def state(self) -> str:
        return f"doorward/{self.device}/home/state"

    @property
    def button(self) -> str:
        return f"doorward/{self.device}/home/button"


def discovery(topics: HomeTopics, name: str, version: str, page: str) -> dict[str, Any]:
    """The device and its entities, as one JSON object."""
    device: dict[str, Any] = {
        "identifiers": [f"doorward_{topics.device}"],
        "name": name,
        "manufacturer": "Doorward",
        "model": "Doorbell",
        "sw_version": version,
    }
    if page:
        device["configuration_url"] = page
    return {
        "device": device,
        "origin": {"name": "Doorward", "sw_version": version},
        "availability_topic": topics.availability,
        "state_topic": topics.state,
        "qos": 1,
        "components": {
            name: {"unique_id": f"doorward_{topics.device}_{name}", **each}
            for name, each in _components(topics).items()
        },
    }


def _components(topics: HomeTopics) -> dict[str, dict[str, Any]]:
    return {
        "button": {
            "platform": "event",
            "name": "Button",
            "device_class": "doorbell",
            "event_types": ["press"],
            "state_topic": topics.button,
        },
        "motion": _binary("Motion", "motion", device_class="motion"),
        "person": {**_binary("Person", "person", device_class="occupancy"), "value_template": _OR_UNKNOWN},
        "privacy": _binary("Privacy switch", "privacy", icon="mdi:eye-off"),
        "problem": _binary("Recording", "problem", device_class="problem", entity_category="diagnostic"),
        "requests": _sensor("Requests pending", "requests", icon="mdi:email-lock", state_class="measurement"),
        "last_clip": _sensor("Last clip", "last_clip", device_class="timestamp"),
        "stored": _sensor(
            "Stored", "stored", device_class="data_size", unit_of_measurement="MB", state_class="measurement"
        ),
        # No command topic: an update waits for an owner's signature, and a broker cannot give one.
        "update": {
            "platform": "update",
            "name": "Update",
            "title": "Doorward",
            "device_class": "firmware",
            "entity_category": "diagnostic",
            "value_template": "{{ value_json.update | tojson }}",
        },
        "segments": _diagnostic("Segments", "segments", state_class="measurement", icon="mdi:filmstrip"),
        "camera": _diagnostic("Camera", "camera", device_class="enum", options=list(CAMERA_STATES)),
        "link": _diagnostic("Link", "link", icon="mdi:cloud-check"),
        "clock": _diagnostic("Clock", "clock", device_class="enum", options=list(CLOCK_STATES)),
        "temperature": _diagnostic(
            "Temperature",
            "temperature",
            device_class="temperature",
            unit_of_measurement="°C",
            state_class="measurement",
        ),
    }


def _sensor(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"platform": "sensor", "name": name, "value_template": f"{{{{ value_json.{key} }}}}", **more}


def _diagnostic(name: str, key: str, **more: Any) -> dict[str, Any]:
    return _sensor(name, key, entity_category="diagnostic", **more)


def _binary(name: str, key: str, **more: Any) -> dict[str, Any]:
    template = f"{{{{ 'ON' if value_json.{key} else 'OFF' }}}}"
    return {"platform": "binary_sensor", "name": name, "value_template": template, **more}


def state_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of the entities from the answer to `doorward status`. None is "unknown" there."""
    recorder, panel = status["recorder"], status.get("panel") or {}
    state = str(recorder["state"])
    newest_ms = status.get("newest_ms")
    return {
        "motion": bool(recorder.get("in_event", state == "recording")),
        "person": _person(recorder.get("object_detection") or {}, in_event=bool(recorder.get("in_event"))),
        "privacy": bool(panel.get("privacy", state == "privacy")),
        "problem": state not in ("recording", "watching", "privacy"),
        "requests": int(status.get("requests_told", 0)),
        "last_clip": None if newest_ms is None else datetime.fromtimestamp(newest_ms // 1000, UTC).isoformat(),
        "stored": round(status["vault"]["stored_bytes"] / 1e6, 1),
        "segments": status["vault"]["segments"],
        # The entity lists its states. Home Assistant raises an error for any other one.
        "camera": state if state in CAMERA_STATES else None,
        "link": status["link"]["link"],
        "clock": status["clock"],
        "temperature": (panel.get("health") or {}).get("temperature_c"),
        "update": _update(status.get("update")),
    }


def _update(update: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the state of the update entity. Both versions are the running one if no update is on offer."""
    running = str((update or {}).get("running") or "")
    return {"installed_version": running, "latest_version": str((update or {}).get("offer") or running)}


def _person(detection: Mapping[str, Any], *, in_event: bool) -> bool | None:
    """Returns whether object detection sees a person at the door; None while it is silent or unsure."""
    labels = detection.get("labels")
    is_unsure = labels is not None and len(labels) == 0
    if detection.get("state") != "running" or (in_event and is_unsure):
        return None
    return in_event and "person" in (labels or ())
