"""For every answer that an altered part of a device may give, a command ends with a clear error or shows the answer."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from agent.cli.status_watch import screen
from agent.core.home import state_of
from agent.core.metrics import render
from agent.core.status import RecorderReport, Status, UplinkReport, fault_in
from agent.errors import NetworkError
from agent.ipc.control_operations import OPERATIONS
from agent.ipc.rpc import read_answer
from agent.ipc.rpc_server import control_server
from agent.wire.control import Frame
from tests.cli.conftest import Seen
from tests.clients.cli.test_owner import Doorstep
from tests.clients.cli.test_owner import asked as asked  # an enrolled device with one request
from tests.clients.cli.test_owner import door as door
from tests.clients.cli.test_owner import furnished as furnished
from tests.clients.owner.conftest import media as media
from tests.mutated import mutated, mutations

Tool = Callable[..., Seen]

RECORDER: dict[str, Any] = {
    "state": "not recording", "detail": "the disk is full", "frames": 10, "frames_dropped": 0, "packets_dropped": 0,
    "events": 2, "segments": 3, "analysis_ms_per_frame": 1.5, "in_memory_bytes": 100, "in_memory_s": 4.0,
    "recorded_s": 60.0, "in_event": True, "motion_passes": "numpy", "sound": "listening",
    "object_detection": {"state": "running", "detail": "", "inferences": 4, "dropped": 0, "ms_per_inference": 30.5,
    "labels": ["person"]},
    "scrub": {"segments": 1, "read_bytes": 9, "rounds": 0, "damaged": ["a"], "fault": ""},
    "unreadable": ["a"],
    "wear": {"written_bytes": 5, "recorded_s": 60, "bytes_per_recorded_hour": 300},
    "disk": {"syncs": 2, "seconds": 0.5, "written_bytes": 9, "buckets": [["0.01", 1], ["+Inf", 2]]},
}  # fmt: skip
PANEL: dict[str, Any] = {
    "connected": True, "backend": "simulated", "board": "other", "privacy": True, "open": False,
    "health": {"temperature_c": 61.5, "throttle_level": 1, "under_voltage": True, "throttled": True, "wifi_dbm": -60},
}  # fmt: skip
LINK: dict[str, Any] = {"link": "connected", "remedy": "", "transfers": 1, "sent_bytes": 5, "received_messages": 2}
STATUS: dict[str, Any] = {
    "device": "door", "device_id": "b6fc96191abd27af", "owners": ["anna"], "panel": PANEL, "recorder": RECORDER,
    "vault": {"segments": 3, "stored_bytes": 10}, "clock": "synced", "link": LINK, "messages": {"blocked": 1},
    "clock_jump": {"ahead_s": 90, "confirmed_in_s": 100}, "requests_waiting": 1, "requests_told": 1,
    "newest_ms": 10**12,
    "alerts": {"channels": {"phone": {"waiting": 0, "delivered": 1, "failures": 2, "fault": "refused"}}, "sent": 0},
}  # fmt: skip
REQUESTS: dict[str, Any] = {
    "requests": [
        {"id": "ab", "state": "pending", "requester": "p", "requester_name": "Police", "root": "r", "kind": "police",
         "incident": "burglary", "from": 10**9, "to": 10**9 + 60, "not_after": 10**9, "certain": True, "segments": 2,
         "received_ms": 10**12, "disclosure": None, "trusted": True},
    ],
    "blocked": [{"payload_sha256": "ab", "root": "r", "requester": "p", "reason": "expired", "at_ms": 10**12}],
    "counters": {"blocked": 1},
    "opt_outs": [{"scope": "kind", "value": "police", "until_s": 10**9}],
    "quiet_hours": [{"scope": "hours", "value": "1320-420", "until_s": None}],
}  # fmt: skip
CODE: dict[str, Any] = {
    "url": "https://door.local", "urls": ["https://192.168.1.2"], "install": "http://192.168.1.2/install",
    "fingerprint": "AB CD", "code": "ABCD-EFGH", "life_s": 900,
}  # fmt: skip


@pytest.fixture(scope="module")
def answering() -> Iterator[tuple[dict[str, Any], Path]]:
    """A device of which each answer is what the test puts there, and its configuration."""
    answers: dict[str, Any] = {}

    def answer(frame: Frame) -> Frame:
        return Frame({"ok": True, "result": answers[frame.head["op"]]})

    with tempfile.TemporaryDirectory() as short:  # a socket's path is limited to 107 bytes
        config = Path(short) / "doorward.toml"
        config.write_text(f'[device]\nstate_dir = "{short}"\n[page]\n')
        control = control_server(Path(short) / "control.sock", answer)
        control.start()
        yield answers, config
        control.stop()


def check(operation: str, result: Any) -> None:
    read_answer(OPERATIONS[operation].request, {"ok": True, "result": result})


def test_what_an_honest_device_answers_is_of_its_shape() -> None:
    check("status", STATUS)
    check("requests", REQUESTS)
    check("page_code", CODE)
    least = {name: STATUS[name] for name in ("device", "device_id", "owners", "vault", "clock", "link")}
    check("status", {**least, "recorder": {"state": "no recorder", "detail": "", **_counts()}})


def _counts() -> dict[str, Any]:
    counts = ("frames", "frames_dropped", "packets_dropped", "events", "segments")
    return {**dict.fromkeys(counts, 0), "analysis_ms_per_frame": 0.0}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"recorder": {**RECORDER, "object_detection": ["running"]}}, "$.recorder.object_detection"),
        ({"recorder": {**RECORDER, "frames": 10**400}}, "$.recorder.frames"),
        ({"panel": {**PANEL, "health": {"temperature_c": "hot"}}}, "$.panel.health.temperature_c"),
        ({"alerts": {"channels": {"phone": 5}}}, "$.alerts.channels"),
        ({"owners": [1]}, "$.owners[0]"),
    ],
)
def test_an_altered_answer_is_a_clear_error_that_names_the_place(
    tool: Tool, answering: tuple[dict[str, Any], Path], change: dict[str, Any], place: str
) -> None:
    answers, config = answering
    answers.update(status={**STATUS, **change}, requests=REQUESTS)
    done = tool("status", "--config", config)
    assert done.status == 7, done.err
    assert "The device's answer to 'status' cannot be used" in done.err
    assert place in done.err


@pytest.mark.parametrize("seed", range(40))
def test_no_altered_answer_breaks_a_command_on_the_doorbell(
    tool: Tool, answering: tuple[dict[str, Any], Path], seed: int
) -> None:
    answers, config = answering
    random = Random(seed)
    answers.update(status=mutated(STATUS, random), requests=mutated(REQUESTS, random), page_code=mutated(CODE, random))
    commands = (
        ("status",), ("status", "--json"), ("requests", "--all"), ("notify", "status"), ("page", "code", "--no-qr"),
    )  # fmt: skip
    for command in commands:
        done = tool(*command, "--config", config)
        assert done.status in (0, 7), (command, done.err)


@settings(max_examples=settings().max_examples * 4, deadline=None)
@given(status=mutations(STATUS))
def test_whatever_is_let_through_is_shown_live_and_told_to_metrics_and_home_assistant(status: Any) -> None:
    try:
        check("status", status)
    except NetworkError:
        return
    screen(status)
    render(status)
    json.dumps(state_of(status))


@settings(max_examples=settings().max_examples * 4, deadline=None)
@given(recorder=mutations({**RECORDER, "panel": PANEL}), link=mutations(LINK))
def test_whatever_the_custodian_takes_as_a_report_makes_a_status_that_is_of_its_shape(recorder: Any, link: Any) -> None:
    if fault_in(recorder, RecorderReport) or fault_in(link, UplinkReport):
        return
    status = {**STATUS, "panel": recorder.pop("panel", None), "recorder": recorder, "link": link}
    assert fault_in(status, Status) is None
    render(status)
    json.dumps(state_of(status))


_OWNERS = (
    ("status",), ("review",), ("opt-out", "list"), ("tip", "list"), ("trust", "show"), ("bulletins",), ("settings",),
    ("ledger",),
)  # fmt: skip


@pytest.mark.parametrize("command", _OWNERS, ids=" ".join)
def test_no_altered_answer_breaks_an_owners_command(
    asked: tuple[Doorstep, str, tuple[str, ...]], command: tuple[str, ...]
) -> None:
    door, request, _ = asked
    arguments = (*command, request[:8]) if command == ("review",) else command
    door.device.asked_ops.clear()
    assert door(*arguments).status == 0
    random = Random(" ".join(command))
    for operation in sorted(set(door.device.asked_ops)):
        for _ in range(12):
            door.device.lies[operation] = lambda result, body: (mutated(result, random) if result else result, body)
            done = door(*arguments)
            assert done.status != 70, (arguments, operation, done.err)
        del door.device.lies[operation]
