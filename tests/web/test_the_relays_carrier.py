"""The page's carrier to a relay: MQTT 5 as the relay expects it, and an end in words at every fault of the relay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.web.test_the_program import node

pytestmark = pytest.mark.interop

LOST, ACCOUNT = "error.lost", "error.relay-account"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return node("mqtt_carrier.mjs")


def test_it_connects_with_the_account_and_listens_to_its_session_alone(told: dict[str, Any]) -> None:
    good = told["good"]
    assert (good["url"], good["protocol"]) == ("wss://relay.example/", "mqtt")
    connect = bytes.fromhex(good["connect"])
    assert connect[0] == 0x10
    assert connect[2:] == (
        b"\0\4MQTT\5\xc2\0\x3c" + b"\5\x27\0\0\x40\0" + b"\0\0" + b"\0\5front" + b"\0\x0dcorrect horse"
    )
    *start, session, end = good["topic"].split("/")
    assert start == ["doorward", "v1", "link", "front", "ab" * 16]
    assert (len(session), end) == (32, "out")
    assert good["subscribe"][:2] == "82"
    assert good["options"] == 0b101, "QoS 1, and nothing that it has sent itself"


def test_it_sends_no_more_than_the_relay_takes_at_a_time(told: dict[str, Any]) -> None:
    good = told["good"]
    assert good["atOnce"] == 4, "the connection, the subscription, and two frames"
    assert [last for _length, last in good["frames"]] == [0, 1, 2, 3, 7]
    assert good["frames"][-1][0] > 20_000


def test_it_hears_frames_in_pieces_and_acknowledges_them(told: dict[str, Any]) -> None:
    good = told["good"]
    assert good["heard"] == ["010203", "05", "closed"]
    assert good["acknowledged"] == ["40020009"]
    assert (good["last"], good["closed"]) == ("e000", 1)


def test_every_fault_of_the_relay_ends_it_in_words(told: dict[str, Any]) -> None:
    faults = {name: value for name, value in told.items() if name != "good" and isinstance(value[0], str)}
    assert faults.pop("a wrong password") == [ACCOUNT, 1]
    assert faults.pop("a topic that is not allowed") == [ACCOUNT, 1]
    assert len(faults) == 6
    assert {json.dumps(each) for each in faults.values()} == {json.dumps([LOST, 1])}


def test_every_end_is_told_to_the_session(told: dict[str, Any]) -> None:
    for name in (
        "the doorbell is not at the relay",
        "a frame is refused",
        "a topic longer than its packet",
        "the connection ends",
    ):
        assert told[name] == [["closed"], 1], name
    assert told["a relay that takes nothing"] == [["closed"], 2]
