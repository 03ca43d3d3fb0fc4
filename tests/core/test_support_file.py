"""A support file keeps what helps, and leaves out everything that could tell of people, places, keys and requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.core.support_file import foreign_words, log_line, plain_finding, settings_lines, unit_lines

CANARY = "Jansen-canary"
AT = "1795892232123456"


def entry(message: Any, **changes: Any) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"MESSAGE": text, "__REALTIME_TIMESTAMP": AT, "_SYSTEMD_UNIT": "doorward-uplink.service", **changes}


def event(name: str, **fields: Any) -> dict[str, Any]:
    return entry({"at": "2026-11-28T19:00:00.000Z", "level": "warning", "part": "uplink", "event": name, **fields})


def test_an_event_of_the_equipment_passes_with_its_numbers_and_a_known_fault() -> None:
    line = log_line(event("link_down", fault="unreachable", retry_in_s=4.5, error=CANARY, host=CANARY))
    assert line == "2026-11-28 18:57:12 doorward-uplink warning link_down retry_in_s=4.5 fault=unreachable"
    line = log_line(event("disk_refused", fault=f"StorageError: {CANARY} is full", segment=CANARY))
    assert line is not None
    assert line.endswith("disk_refused fault=StorageError")


@pytest.mark.parametrize(
    "name",
    [
        "transfer_begins", "transfer_ends", "request_moved", "request_failed", "case_moved", "owner_told",
        "alert_waits", "event_began", "button_pressed", "privacy_switched", "settings_changed", "zones_changed",
        "talk_began", "sealing_to", "link_opened", "segment_acknowledged", "segments_deleted", CANARY,
    ],
)  # fmt: skip
def test_an_event_of_people_footage_or_requests_has_no_line(name: str) -> None:
    assert log_line(event(name, count=3)) is None


@pytest.mark.parametrize(
    "given",
    [
        entry(CANARY),
        entry([1, 2]),
        entry({"event": ["link_down"]}),
        entry({"event": "link_down", "level": CANARY}),
        entry("[" * 10_000),
        entry({"event": "link_down", "level": "info"}, _SYSTEMD_UNIT="ssh.service"),
        entry({"event": "link_down", "level": "info"}, __REALTIME_TIMESTAMP=CANARY),
        entry({"event": "link_down", "level": "info"}, __REALTIME_TIMESTAMP="9" * 30),
        {"MESSAGE": None},
        {"MESSAGE": [74, 97], "_SYSTEMD_UNIT": "doorward-uplink.service", "__REALTIME_TIMESTAMP": AT},
        {},
    ],
)  # fmt: skip
def test_anything_else_has_no_line(given: dict[str, Any]) -> None:
    assert log_line(given) is None


def test_a_value_that_is_no_number_or_no_known_fault_is_left_out() -> None:
    line = log_line(event("link_down", fault=CANARY, retry_in_s=CANARY, code=7, latitude=52.0902, canary=1))
    assert line is not None
    assert line.endswith("warning link_down code=7")


def test_systemd_says_what_became_of_a_unit_and_nothing_else() -> None:
    of_systemd = {"SYSLOG_IDENTIFIER": "systemd", "UNIT": "doorward-recorder.service", "_SYSTEMD_UNIT": "init.scope"}
    for message, words in (
        (f"Started doorward-recorder.service - {CANARY}.", "Started"),
        ("doorward-recorder.service: Main process exited, code=killed, status=9/KILL",
         "Main process exited, code=killed, status=9/KILL"),
        ("doorward-recorder.service: Failed with result 'watchdog'.", "Failed with result 'watchdog'"),
        ("doorward-recorder.service: Scheduled restart job, restart counter is at 7.",
         "Scheduled restart job, restart counter is at 7"),
    ):  # fmt: skip
        assert log_line(entry(message, **of_systemd)) == f"2026-11-28 18:57:12 doorward-recorder {words}"
    assert log_line(entry(f"{CANARY} Started", **of_systemd)) is None


def test_a_stack_trace_keeps_our_places_and_the_class_of_its_error() -> None:
    text = (
        "Traceback (most recent call last):\n"
        f'  File "/home/{CANARY}/agent/uplink/uplink.py", line 12, in run\n    raise ValueError("{CANARY}")\n'
        f'  File "/usr/lib/python3/json/{CANARY}.py", line 3, in loads\n'
        f"ValueError: {CANARY} is not a number"
    )
    assert log_line(entry(text)) == "2026-11-28 18:57:12 doorward-uplink trace ValueError agent/uplink/uplink.py:12"
    assert log_line(entry(f"{CANARY}Error: x")) is None


def test_units_show_states_and_numbers_only() -> None:
    shown = (
        f"Id=doorward-uplink.service\nActiveState=active\nNRestarts=3\nDescription={CANARY}/x\n\nId=x\nX={'y' * 90}\n"
    )
    assert list(unit_lines(shown)) == ["Id=doorward-uplink.service  ActiveState=active  NRestarts=3", "Id=x"]


def test_settings_show_numbers_switches_and_words_of_the_program() -> None:
    tables = {
        "camera": {"kind": "rtsp", "fps": 15, "url": f"rtsp://u:{CANARY}@h/x"},
        "device": {"name": CANARY, "position": {"latitude": 52.09, "longitude": 5.1}},
        "motion": {"zones": [{"name": CANARY, "corners": [[0.0, 0.0]], "kind": "privacy"}]},
        "alerts": {"off": ["button", CANARY]},
        CANARY: 3,
    }
    keys = {"camera", "kind", "fps", "url", "device", "name", "position", "motion", "zones", "corners", "alerts", "off"}
    lines = list(settings_lines(tables, keys, {"rtsp", "privacy", "button"}))
    assert lines == [
        "[camera]", "camera.kind = rtsp", "camera.fps = 15", "camera.url = ‹left out›",
        "[device]", "device.name = ‹left out›", "device.position = ‹left out›",
        "[motion]", "[[motion.zones]] 1", "motion.zones.name = ‹left out›", "motion.zones.corners = ‹left out›",
        "motion.zones.kind = privacy", "[alerts]", "alerts.off = [button, ‹left out›]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "The broker 'canary.example' is away.", "canary.example:8883 refuses.", "mqtts://canary.example/x is wrong.",
        "Write to canary@example.org.", "192.168.17.4:8883 does not answer.", "fe80::1234:5678 is no address.",
        "It stands at 52.0902, 5.1115.", "/home/canary/footage is full.", "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQ",
        "ed25519:utccAeiHRlXipR5UtFLreuWv_DzIN36pp4pTt6V1ZPY", "-----BEGIN PRIVATE KEY-----\ncanary",
        "dwt_AAECAwQFBgcICQoLDA0ODxAREhM was refused.", "The zone “canary” is small.",
        "4a67330b803d5c884a67330b803d5c88",
    ],
)  # fmt: skip
def test_a_finding_loses_quotes_addresses_places_paths_and_tokens(text: str) -> None:
    shown = plain_finding(text, [])
    for part in ("canary", "192.168", "fe80", "52.0902", "QQQQ", "utccAe", "AAECAw", "4a67330b"):
        assert part not in shown


def test_a_finding_keeps_what_helps() -> None:
    text = "/etc/doorward/tls/device.pem expires in 12 days; 3.4 GB are free; python 3.13 at 1280 × 720, broker.pem."
    assert plain_finding(text, []) == text
    assert plain_finding("/dev/video0 is busy, /dev/v4l/by-id/usb-C920_7F2A and /dev/shm/x/home.toml too.", []) == (
        "/dev/video0 is busy, ‹left out› and ‹left out› too."
    )
    assert plain_finding("The voordeur is away.", ["voordeur"]) == "The ‹left out› is away."


def test_the_words_of_a_configuration_are_all_its_texts_but_the_programs_own() -> None:
    text = (
        "# the key's comment\nname = \"Jan's door\"\nkind = 'rtsp'\nfps = 15\npassword = 'geheim'\nx = 'a'\non = true\n"
    )
    assert foreign_words(text, {"rtsp", "name", "kind", "fps", "password"}) == ["Jan's door", "geheim", "door"]


def test_a_broken_configuration_gives_its_words_too() -> None:
    assert foreign_words('[device]\nname = "canary', {"device", "name"}) == ["canary"]
    assert foreign_words("canary = 3", {"device"}) == ["canary"]
