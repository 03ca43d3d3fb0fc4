"""When a report of health leaves: after a connection and then by the clock, never because of anything that happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.errors import StorageError
from agent.uplink.uplink import Uplink
from agent.wire.topics import HealthTopic, RequestTopic, cell_filter
from tests.fake_bus import FakeBroker, FakeBus
from tests.wire import samples

DEVICE = samples.DEVICE_KEY.id
TOPIC = str(HealthTopic(DEVICE))
CELL = "287-379"


class Clock:
    """Moves when the test moves it."""

    boot_id = "1" * 32

    def __init__(self) -> None:
        self.boot_ns = 10**12

    def now(self) -> ClockReading:
        return ClockReading(BootNs(self.boot_ns), UtcNs(samples.NOW_S * NS_PER_S), ClockQuality.SYNCED)


class Custody:
    """A custodian that takes all and sends nothing."""

    def __init__(self) -> None:
        self.heard = 0

    def on_message(self, _topic: str, _data: bytes) -> None:
        self.heard += 1

    def outgoing(self) -> list[object]:
        return []

    def begin_sending(self, _disclosure: str) -> bool:
        return False


@dataclass
class Side:
    """An uplink with a health report, running over a broker in memory."""

    reports: Callable[[], bytes] | None
    broker: FakeBroker = field(default_factory=FakeBroker)
    clock: Clock = field(default_factory=Clock)
    custody: Custody = field(default_factory=Custody)

    def __post_init__(self) -> None:
        bus = FakeBus(self.broker, DEVICE)
        self.uplink = Uplink(
            bus, self.custody, None, self.clock, device=DEVICE, cell_filter=cell_filter(CELL),  # type: ignore[arg-type]
            uniform=lambda low, _high: low, health=self.reports,
        )  # fmt: skip
        self.thread = threading.Thread(target=self.uplink.run, name="uplink")
        self.thread.start()

    def close(self) -> None:
        self.uplink.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def sent(self) -> list[bytes]:
        return [data for who, topic, data in self.broker.published if (who, topic) == (DEVICE, TOPIC)]

    def turn(self) -> None:
        """Waits until the uplink came round twice: the second time the first one is over."""
        for _ in range(2):
            self.clock.boot_ns += 1
            self.uplink.wake()
            until(lambda: self.uplink.turned_ns >= self.clock.boot_ns)

    def after(self, seconds: float) -> list[bytes]:
        self.clock.boot_ns += int(seconds * NS_PER_S)
        self.turn()
        return self.sent()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def sides() -> Iterator[list[Side]]:
    made: list[Side] = []
    yield made
    for each in made:
        each.close()


def side(sides: list[Side], reports: Callable[[], bytes] | None = lambda: b"sealed") -> Side:
    made = Side(reports)
    sides.append(made)
    until(lambda: made.uplink.status().link == "connected")
    return made


def test_a_report_leaves_after_a_connection_and_then_every_quarter_of_an_hour(sides: list[Side]) -> None:
    each = side(sides)
    each.turn()
    assert each.sent() == []
    assert each.after(6) == [b"sealed"]
    assert each.after(800) == [b"sealed"]
    assert each.after(60) == [b"sealed"] * 2
    assert each.broker.retained[TOPIC].payload == b"sealed"


def test_messages_of_requesters_bring_no_report_forward(sides: list[Side]) -> None:
    each = side(sides)
    police = FakeBus(each.broker, "harbour-police")
    police.start()
    assert each.after(6) == [b"sealed"]
    for number in range(5):
        assert police.publish(str(RequestTopic(CELL, "harbour-police", number)), b"a request", token=number)
    until(lambda: each.custody.heard == 5)
    assert each.after(700) == [b"sealed"]
    police.stop()


def test_a_doorbell_without_an_installer_reports_nothing(sides: list[Side]) -> None:
    each = side(sides, None)
    assert each.after(5000) == []


def test_a_custodian_that_is_away_or_has_no_report_costs_this_report_only(sides: list[Side]) -> None:
    answers: list[bytes | Exception] = [StorageError("Its disk is full."), b"", b"sealed"]

    def report() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    each = side(sides, report)
    assert each.after(6) == []
    assert each.after(841) == []
    assert each.after(841) == [b"sealed"]
    assert answers == []


def test_a_broken_connection_is_followed_by_a_report(sides: list[Side]) -> None:
    each = side(sides)
    assert each.after(6) == [b"sealed"]
    each.broker.kill()
    until(lambda: each.uplink.status().link != "connected")
    assert each.after(5000) == [b"sealed"]
    each.broker.start()
    until(lambda: each.uplink.status().link == "connected")
    each.turn()
    assert each.after(6) == [b"sealed"] * 2
