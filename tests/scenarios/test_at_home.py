"""One doorbell, filming: what the owner's phone, their Home Assistant and their Prometheus are told, and what not.

Real mosquitto brokers, a real ntfy-compatible server, a real request from a trusted requester; and, with
`make test-home-assistant`, a real Home Assistant.  Without one, what Home Assistant is told must still be to the letter
what the last real one took.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.cli.home_assistant import remove_entities
from agent.config import load
from agent.core.alerts import notice_delay
from agent.core.alerts.kinds import ALERTS
from agent.core.home import HomeTopics
from agent.core.home_news import HomeAddress
from agent.custodian.home_status import HomeStateHandler
from agent.mqtt.outbound_client import PahoClient
from agent.solo import Solo
from agent.uplink.home_assistant import HomeAssistantService, farewell
from agent.uplink.home_mqtt import MqttHomeBus
from agent.wire.fields import Kind
from tests.home_brokers import PASSWORD, USER, HomeBroker
from tests.interop import home_assistant
from tests.receivers import NtfyServer, Receiver
from tests.scenarios.street import DOOR, Asker, Street, a_street, until

ROOT = Path(__file__).parents[2]
PEER = ROOT / "tests" / "interop" / "home_assistant_peer.py"
AT_HOME = """
[alerts]
link = "https://front-door.local:8443/"
cool_down_s = 60
[[alerts.channels]]
name = "Ann's phone"
url = "{ntfy}"
[home_assistant]
host = "127.0.0.1"
port = {port}
user = "{user}"
password = "{password}"
[metrics]
socket = "metrics.sock"
"""
CANARIES = (
    b"bicycle", b"C-CANARY-7", b"The desk", b"desk@example.org", b"The town-police", b"town-police",
    str(DOOR[0]).encode(), str(DOOR[1]).encode(), b"\xff\xd8\xff", b"ftypiso6", b"moof\0\0",
)  # fmt: skip
"""Nothing that is short and of small letters: in the ids that the log names, four of them turn up by chance."""


class Consumer:
    """Home Assistant's view: everything on the home's broker. `heard`: topic → payloads, in order."""

    def __init__(self, port: int) -> None:
        self.heard: dict[str, list[bytes]] = {}
        self._client = PahoClient(CallbackAPIVersion.VERSION2, client_id="consumer")
        self._client.most_packet_bytes = 256 << 20  # as much as MQTT allows
        self._client.username_pw_set(USER, PASSWORD)
        self._client.on_message = lambda _c, _u, m: self.heard.setdefault(m.topic, []).append(m.payload)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def states(self, topics: HomeTopics) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.heard.get(topics.state, []) if each]


@contextmanager
def recording(solo: Solo) -> Iterator[None]:
    solo.start()
    thread = threading.Thread(target=solo.record, name="record")
    thread.start()
    try:
        yield
    finally:
        solo.stop()
        thread.join()
        solo.close()


def metrics_of(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(path))
        reader.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: reader.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    return body.decode()


def three_hours_pass(solo: Solo, monkeypatch: pytest.MonkeyPatch) -> None:
    """For delayed news; no one can wait for it."""
    assert solo.alerts is not None
    solo.alerts._queue.pass_time(notice_delay.LONGEST_MS)
    monkeypatch.setattr(notice_delay, "SHORTEST_MS", 0)
    monkeypatch.setattr(notice_delay, "LONGEST_MS", 0)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with a_street(tmp_path) as built:
        yield built


@pytest.mark.broker
def test_phone_home_and_prometheus_hear_of_the_door_and_of_nothing_else(
    street: Street, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = Asker(street, "town-police", Kind.POLICE)
    with HomeBroker(street.folder) as home, NtfyServer(Receiver()) as ntfy:
        configuration = street.configuration('kind = "scripted"\nfps = 10\nsize = [320, 240]')
        at_home = AT_HOME.format(ntfy=ntfy.url, port=home.port, user=USER, password=PASSWORD)
        configuration.write_text(configuration.read_text() + at_home)
        consumer = Consumer(home.port)
        topics = HomeTopics(street.device.id)
        solo = Solo(load(configuration))
        try:
            with recording(solo):
                street.enrol_and_trust(asker)
                until(lambda: ALERTS["trust"].text in " ".join(ntfy.receiver.lines), "the change of trust")
                until(lambda: solo.recorder.status().frames > 5, "pictures")
                # A press that finds no home is dropped: later it would be stale news.
                until(lambda: consumer.heard.get(topics.availability) == [b"online"], "the doorbell at home")
                solo.press_button()
                until(lambda: ALERTS["button"].text in " ".join(ntfy.receiver.lines), "the press on the phone")
                until(lambda: consumer.heard.get(topics.button) == [b'{"event_type":"press"}'], "the press at home")
                until(lambda: any(state["motion"] for state in consumer.states(topics)), "motion at home")
                until(lambda: any(state["last_clip"] for state in consumer.states(topics)), "a clip")
                asker.ask("C-CANARY-7")
                until(lambda: solo.status()["requests_waiting"] == 1, "the match, for its owner to see at once")
                presses = len(consumer.heard[topics.button])
                solo.press_button()
                until(lambda: len(consumer.heard[topics.button]) > presses, "another press at home")
                until(
                    lambda: len([x for x in ntfy.receiver.lines if ALERTS["button"].text in x]) == 2, "and on the phone"
                )
                assert ALERTS["request"].text not in " ".join(ntfy.receiver.lines)
                assert {state["requests"] for state in consumer.states(topics)} == {0}
                assert "doorward_requests_waiting 0" in metrics_of(street.folder / "metrics.sock")
                three_hours_pass(solo, monkeypatch)
                until(lambda: ALERTS["request"].text in " ".join(ntfy.receiver.lines), "the request on the phone")
                until(lambda: consumer.states(topics)[-1]["requests"] == 1, "the request at home")
                text = metrics_of(street.folder / "metrics.sock")
            assert consumer.heard[topics.availability][0] == b"online"
            until(lambda: consumer.heard[topics.availability][-1] == b"offline", "the goodbye")
            assert remove_entities(configuration)
            until(lambda: consumer.heard[topics.discovery][-1] == b"", "the removal")
        finally:
            consumer.close()
        assert "SUBSCRIBE from doorward" not in home.log()
    assert ntfy.receiver.messages[0][1] == "Doorward: scenario"
    assert sum(ALERTS["request"].text in line for line in ntfy.receiver.lines) == 1
    told = [*ntfy.receiver.raw, *(p for payloads in consumer.heard.values() for p in payloads), text.encode()]
    logged = capsys.readouterr()
    told += [logged.out.encode(), logged.err.encode(), home.log().encode()]
    for canary in CANARIES:
        assert not any(canary in each for each in told), canary
    assert PASSWORD not in logged.out + logged.err + text
    for name in ("recorder_state", "events_total", "fsync_seconds_bucket", "mqtt_connected", "alerts_delivered_total"):
        assert f"\ndoorward_{name}" in text, name
    for line in text.splitlines():
        assert re.fullmatch(r'#.*|doorward_[a-z_]+(\{[a-z]+="[^"\\]*"\})? -?[0-9.e+-]+', line), line


STATUS: dict[str, Any] = {
    "recorder": {"state": "watching", "in_event": False},
    "panel": {"privacy": False, "health": {"temperature_c": 41.5}},
    "vault": {"segments": 3, "stored_bytes": 4_000_000},
    "link": {"link": "connected"},
    "clock": "synced",
    "requests_told": 0,
    "newest_ms": None,
}
LATER: dict[str, Any] = {
    "recorder": {
        "state": "recording",
        "in_event": True,
        "object_detection": {"state": "running", "labels": ["person"]},
    },
    "panel": {"privacy": False, "health": {"temperature_c": 44.0}},
    "vault": {"segments": 9, "stored_bytes": 9_000_000},
    "link": {"link": "no network"},
    "clock": "held",
    "requests_told": 2,
    "newest_ms": 1_790_000_000_000,
}
PRIVATE = {**LATER, "recorder": {"state": "privacy"}, "panel": {"privacy": True}}
BROKEN = {**LATER, "recorder": {"state": "not recording", "in_event": False}}


class Nobody:
    def notify(self, kind: str, text: str, once: str = "", pictures: object = ()) -> None:
        pass


class HomeAssistant:
    """The real one, in its own process and environment."""

    def __init__(self, folder: Path, port: int) -> None:
        python = python_of_home_assistant()
        self._errors = (folder / "home-assistant.log").open("wb")
        self._process = subprocess.Popen(
            [python, str(PEER), str(folder / "ha"), str(port), USER, PASSWORD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def shows(self) -> tuple[int, dict[str, str]]:
        """Devices of ours, and entity → state."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        shown = json.loads(self._process.stdout.readline())
        entities = {name.replace("front_door_", ""): each["state"] for name, each in shown["entities"].items()}
        return shown["devices"], entities

    def wait_for(self, met: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        deadline = time.monotonic() + 15
        while not met(entities := self.shows()[1]):
            assert time.monotonic() < deadline, entities
            time.sleep(0.2)
        return entities

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(40)
        self._process.stdout.close()
        self._errors.close()


@pytest.mark.broker
@pytest.mark.interop
@pytest.mark.at_length("make test-home-assistant")
def test_in_a_real_home_assistant_every_entity_changes_and_none_stays_behind(tmp_path: Path) -> None:
    with HomeBroker(tmp_path) as broker:
        house = HomeAssistant(tmp_path, broker.port)
        now = dict(STATUS)
        address = HomeAddress(
            "127.0.0.1",
            broker.port,
            USER,
            PASSWORD,
            device=home_assistant.DEVICE,
            name="front-door",
            version="1",
            page="https://front-door.local:8443/",
        )
        desk = HomeStateHandler(Nobody(), lambda: now)
        keeper = HomeAssistantService(desk, MqttHomeBus(address), address)
        keeper.start()
        try:
            first = house.wait_for(lambda shown: shown.get("sensor.camera") == "watching")
            desk.notify("button", "")
            now.update(LATER)
            second = house.wait_for(lambda s: s["sensor.camera"] == "recording" and s["event.button"] != "unknown")
            now.update(PRIVATE)
            private = house.wait_for(lambda shown: shown["sensor.camera"] == "privacy")
            now.update(BROKEN)
            broken = house.wait_for(lambda shown: shown["sensor.camera"] == "not recording")
            assert private["binary_sensor.privacy_switch"] == "on"
            people = [each["binary_sensor.person"] for each in (first, second)]
            assert people == ["unknown", "on"], "unknown without object detection"
            assert broken["binary_sensor.recording"] == "on"
            seen = [first, second, private, broken]
            assert [name for name in first if len({each[name] for each in seen}) == 1] == []
            assert len(first) == 13
            assert house.shows()[0] == 1
        finally:
            keeper.stop()
        house.wait_for(lambda shown: set(shown.values()) == {"unavailable"})
        bus = MqttHomeBus(address)
        bus.start()
        bus.wait_connected(10)
        farewell(bus, HomeTopics(home_assistant.DEVICE))
        bus.stop()
        house.wait_for(lambda shown: shown == {})
        assert house.shows()[0] == 0
        house.close()
        assert "Invalid" not in (tmp_path / "home-assistant.log").read_text()


@pytest.mark.broker
def test_a_doorbell_that_dies_without_a_word_is_unavailable_by_its_last_will(tmp_path: Path) -> None:
    topics = HomeTopics("cd" * 8)
    program = (
        "import sys, time\nfrom agent.uplink.home_mqtt import MqttHomeBus\n"
        "from agent.core.home_news import HomeAddress\n"
        "from agent.core.home import HomeTopics\n"
        "a = HomeAddress('127.0.0.1', int(sys.argv[1]), *sys.argv[2:4], device='cd' * 8)\n"
        "b = MqttHomeBus(a); t = HomeTopics(a.device).availability\n"
        "b.start(will=(t, b'offline')); b.wait_connected(10); b.publish(t, b'online', retain=True); time.sleep(60)\n"
    )
    with HomeBroker(tmp_path) as broker:
        consumer = Consumer(broker.port)
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(broker.port), USER, PASSWORD],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: consumer.heard.get(topics.availability) == [b"online"], "the doorbell")
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: consumer.heard[topics.availability] == [b"online", b"offline"], "its last will")
        consumer.close()


def test_nothing_has_changed_since_a_real_home_assistant_took_it() -> None:
    """Discovery, blueprints and the program that shows them to it; anyone who changes one runs it again."""
    assert home_assistant.kept()["shown"] == home_assistant.shown(), "changed: run make test-home-assistant"


@pytest.mark.interop
@pytest.mark.at_length("make test-home-assistant")
@pytest.mark.parametrize("blueprint", sorted((ROOT / "config" / "home-assistant").glob("*.yaml")), ids=lambda p: p.stem)
def test_home_assistant_takes_the_blueprints(blueprint: Path) -> None:
    program = (
        "import sys\nfrom homeassistant.util.yaml import load_yaml\n"
        "from homeassistant.components.blueprint.models import Blueprint\n"
        "from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA as schema\n"
        "b = Blueprint(load_yaml(sys.argv[1]), expected_domain='automation', schema=schema)\n"
        "errors = b.validate()\nassert errors is None, errors\n"
    )
    done = subprocess.run([python_of_home_assistant(), "-c", program, str(blueprint)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def python_of_home_assistant() -> str:
    return os.environ["DOORWARD_HOME_ASSISTANT"]
