"""Many doorbells answer one slow requester over a real broker, and none of them sends a chunk twice.

The broker keeps a bounded number of bytes for a client and drops the rest, which must then be sent again.  `make
prove-consent` does two hundred doorbells; fewer get a broker with proportionally less room.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.receiving_service import DisclosureReceiver, ReceivingLimits
from agent.core.bus import BusEvent, MessageReceived
from agent.core.media import Gop
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.transfer import TransferOutcome
from tests.brokers import OLD_MOSQUITTO, BrokerWithClients, mosquitto_version
from tests.clients.requester.conftest import NOW_S, filmed
from tests.clients.requester.doors import Door
from tests.properties.amounts import amount

pytestmark = [pytest.mark.broker, pytest.mark.timeout(0)]

DOORS = amount(8, 200)
PATIENCE_S = 1800.0
SLOWLY_S = 0.004
"""Extra time that the requester needs for each message: longer than a doorbell needs to send it."""


class RunningClock:
    """The time of the tests, running."""

    boot_id = "0b" * 16

    def now(self) -> ClockReading:
        boot_ns = time.monotonic_ns()
        return ClockReading(BootNs(boot_ns), UtcNs(NOW_S * NS_PER_S + boot_ns % NS_PER_S), ClockQuality.SYNCED)


class TightBroker(PrivateBroker):
    """A mosquitto that keeps `queued_bytes` for a client."""

    queued_bytes = 0

    def _configuration(self) -> str:
        before = super()._configuration()
        after = before.replace("max_queued_bytes 67108864", f"max_queued_bytes {self.queued_bytes}")
        assert after != before
        return after


class SlowRequester:
    """The receiving service in a thread, on a machine that takes its time."""

    def __init__(self, world: BrokerWithClients, requester: Requester, limits: ReceivingLimits) -> None:
        bus = world.bus(requester.id, inbound_window=128)
        take = bus.next_event

        def slowly(timeout_s: float) -> BusEvent | None:
            event = take(timeout_s)
            if isinstance(event, MessageReceived):
                time.sleep(SLOWLY_S)
            return event

        bus.next_event = slowly  # type: ignore[method-assign]
        bus.start()
        self._receiver = DisclosureReceiver(requester, bus, RunningClock(), limits)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receiver.run, args=(self._stop,), name="requester")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BrokerWithClients]:
    made = BrokerWithClients(tmp_path / "broker")
    made.broker = TightBroker(tmp_path / "broker")
    yield made
    made.close()


def test_of_doorbells_that_answer_a_slow_requester_together_none_sends_a_chunk_twice(
    world: BrokerWithClients, requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    """Two hundred sent 2.7 times the bytes that they had to send."""
    answers = [filmed(gops, name=f"house {number}").disclose(asked) for number in range(DOORS)]
    needed_bytes = sum(size.size_bytes for answer in answers for size in answer.sizes)
    assert isinstance(world.broker, TightBroker)
    world.broker.queued_bytes = needed_bytes * 2 // 3
    world.broker.start()
    slow = SlowRequester(world, Requester.open(requester.folder), ReceivingLimits(free_bytes=0))
    doors = [Door(None, requester, answer, RunningClock(), bus=world.bus(answer.device)) for answer in answers]
    begins_s = time.monotonic()
    while not all(door.finished for door in doors):
        assert time.monotonic() < begins_s + PATIENCE_S
        moved = [door.step() for door in doors]
        if not any(moved):
            time.sleep(0.005)
    slow.stop()
    sent = [(door.disclosure.id, chunk.part, chunk.offset) for door in doors for chunk in door.chunks]
    sent_bytes = sum(chunk.length for door in doors for chunk in door.chunks)
    took_s = time.monotonic() - begins_s
    print(f"{DOORS} doorbells: {sent_bytes / needed_bytes:.2f} times the {needed_bytes / 1e6:.1f} MB, {took_s:.0f} s")
    assert all(door.finished and door.finished.outcome is TransferOutcome.DELIVERED for door in doors)
    assert all(
        (AnswerFolder(requester.folder, answer.id).path / "0.age").read_bytes() == answer.parts[0] for answer in answers
    )
    if mosquitto_version() > OLD_MOSQUITTO:  # with Debian 12, 22 of 144 chunks went twice (make test-clean)
        assert len(sent) == len(set(sent))
        assert sent_bytes == needed_bytes
