"""Reports from a broker: opened, checked, the newest kept; everything else is counted and left out."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest

from agent.clients.fleet.health_inbox import HealthInbox, collect_reports
from agent.clients.opening.identities import X25519Identity
from agent.core.bus import BusConnected, MessageReceived, Subscribed, SubscriptionRefused
from agent.core.vault.age.sealing import Sealer
from agent.errors import NetworkError
from agent.wire import envelope, strictjson
from agent.wire.health import HealthReport, padded
from agent.wire.topics import HEALTH_FILTER, HealthTopic
from tests.fake_bus import FakeBroker, FakeBus
from tests.wire import samples

INSTALLER, OTHER = X25519Identity(b"\1" * 32), X25519Identity(b"\2" * 32)
TOPIC = str(HealthTopic(samples.DEVICE_KEY.id))


def sealed(report: HealthReport, to: X25519Identity = INSTALLER, key: Any = samples.DEVICE) -> bytes:
    signed = padded(envelope.sign(HealthReport.PAYLOAD_TYPE, strictjson.encode(report), key))
    sealer = Sealer(b"k" * 16, [to.recipient()], nonce=b"n" * 16)
    return b"".join((sealer.header, sealer.update(signed), sealer.finish()))


def test_the_newest_report_of_each_doorbell_is_kept() -> None:
    inbox = HealthInbox([INSTALLER])
    for at in (samples.NOW_S, samples.NOW_S + 900, samples.NOW_S - 900):
        inbox.take(TOPIC, sealed(samples.health(at=at)))
    assert [report.at for report in inbox.reports.values()] == [samples.NOW_S + 900]
    assert inbox.left_out == 0


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (TOPIC, sealed(samples.health(), OTHER)),
        (TOPIC, sealed(samples.health(), key=samples.OWNER)),
        (str(HealthTopic("0" * 16)), sealed(samples.health())),
        ("doorward/v1/health/x", sealed(samples.health())),
        (f"doorward/v1/trust/{samples.ROOT_KEY.id}/0", sealed(samples.health())),
        (TOPIC, b""),
        (TOPIC, b"x" * 9000),
        (TOPIC, sealed(samples.health())[:-1]),
    ],
    ids=["another installer", "another key", "another topic", "no id", "no health", "empty", "long", "cut"],
)
def test_everything_else_is_counted_and_left_out(topic: str, payload: bytes) -> None:
    inbox = HealthInbox([INSTALLER])
    inbox.take(topic, payload)
    assert (inbox.reports, inbox.left_out) == ({}, 1)


class Broker(FakeBroker):
    """Its access list is written for names (test_broker_pki.py); here the installer may read."""

    def may(self, name: str, access: str, topic: str) -> bool:
        return (name == "installer" and access == "read") or super().may(name, access, topic)


def test_what_the_broker_retains_is_collected() -> None:
    broker = Broker()
    door = FakeBus(broker, samples.DEVICE_KEY.id)
    door.start()
    door.publish(TOPIC, sealed(samples.health()), token=1, retain=True)
    bus, inbox = FakeBus(broker, "installer"), HealthInbox([INSTALLER])
    bus.start()
    collect_reports(bus, inbox, timeout_s=30, quiet_s=0.1)
    assert list(inbox.reports) == [samples.DEVICE_KEY.id]
    assert HEALTH_FILTER in bus._filters
    bus.stop()
    door.stop()


def test_a_doorbell_that_reports_all_the_time_does_not_keep_the_table_waiting() -> None:
    broker = Broker()
    door = FakeBus(broker, samples.DEVICE_KEY.id)
    door.start()
    over = threading.Event()

    def report() -> None:
        for number in itertools.count():
            if over.wait(0.02):
                return
            door.publish(TOPIC, sealed(samples.health()), token=number, retain=True)
            door.next_event(0.0)

    reporting = threading.Thread(target=report)
    reporting.start()
    bus, inbox = FakeBus(broker, "installer"), HealthInbox([INSTALLER])
    bus.start()
    collecting = threading.Thread(
        target=collect_reports, args=(bus, inbox), kwargs={"timeout_s": 60, "quiet_s": 0.3}, daemon=True
    )
    collecting.start()
    collecting.join(60)
    ended = not collecting.is_alive()
    over.set()
    reporting.join()
    assert ended
    assert list(inbox.reports) == [samples.DEVICE_KEY.id]
    bus.stop()
    door.stop()


def test_a_broker_that_is_away_is_a_fault_of_the_network() -> None:
    broker = FakeBroker()
    broker.kill()
    bus = FakeBus(broker, "installer")
    bus.start()
    with pytest.raises(NetworkError, match="There is no connection to the broker"):
        collect_reports(bus, HealthInbox([INSTALLER]), timeout_s=0.5, quiet_s=0.1)
    bus.stop()


class RefusingBus:
    """A broker that refuses the subscription at first. Its bus asks again, as `MqttBus` does."""

    def __init__(self, *codes: int) -> None:
        refusals = [SubscriptionRefused(HEALTH_FILTER, code) for code in codes]
        report = MessageReceived(TOPIC, sealed(samples.health()))
        self._events = iter([BusConnected(1 << 20, 16), *refusals, None, None, Subscribed(HEALTH_FILTER), report])

    def subscribe(self, _: str) -> None: ...

    def next_event(self, _: float) -> object:
        time.sleep(0.03)
        return next(self._events, None)


def test_a_broker_that_refuses_for_now_is_waited_for_and_one_that_refuses_for_good_is_named() -> None:
    inbox = HealthInbox([INSTALLER])
    collect_reports(RefusingBus(0x80, 0x83), inbox, timeout_s=60, quiet_s=0.05)  # type: ignore[arg-type]
    assert list(inbox.reports) == [samples.DEVICE_KEY.id]
    with pytest.raises(NetworkError, match="refuses to show reports"):
        collect_reports(RefusingBus(0x87), HealthInbox([INSTALLER]), timeout_s=60, quiet_s=0.05)  # type: ignore[arg-type]


class EndlessBus:
    """A broker that never stops to tell of further doorbells."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def subscribe(self, _: str) -> None: ...

    def next_event(self, _: float) -> MessageReceived:
        time.sleep(0.01)
        number = next(self._numbers)
        return MessageReceived(str(HealthTopic(f"{number:016x}")) if number else TOPIC, sealed(samples.health()))


def test_a_broker_that_never_stops_to_name_doorbells_does_not_stop_the_look() -> None:
    inbox, begun_s = HealthInbox([INSTALLER]), time.monotonic()
    looking = threading.Thread(
        target=collect_reports, args=(EndlessBus(), inbox), kwargs={"timeout_s": 0.5, "quiet_s": 0.2}, daemon=True
    )
    looking.start()
    looking.join(60)
    assert not looking.is_alive()
    assert time.monotonic() - begun_s >= 0.5
    assert list(inbox.reports) == [samples.DEVICE_KEY.id]
