"""Each channel has its own thread, at its present address."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from agent.core.alerts.alert_messages import AlertMessage, ChannelAddress
from agent.uplink.alert_sender import AlertDelivery

OLD, NEW = ChannelAddress("Ann", "ntfy://old/door"), ChannelAddress("Ann", "ntfy://new/door")
RANG = AlertMessage("Ann", "Doorward: door", "A person pressed the button.", (7,))


class Phones:
    """`ports.AlertSender`, and the custodian that hears what was taken."""

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.acknowledged: queue.SimpleQueue[tuple[AlertMessage, str]] = queue.SimpleQueue()

    def send(self, url: str, title: str, body: str, picture: bytes = b"") -> None:
        self.sent.put(url)

    def channels(self) -> tuple[ChannelAddress, ...]:
        return (OLD,)

    def collect(self, wait_s: float) -> tuple[AlertMessage, ...]:
        return ()

    def acknowledge(self, parcel: AlertMessage, fault: str = "") -> None:
        self.acknowledged.put((parcel, fault))


@pytest.fixture
def phones() -> Phones:
    return Phones()


@pytest.fixture
def delivery(phones: Phones) -> Iterator[AlertDelivery]:
    """Without the thread that fetches: the test gives out what it would."""
    made = AlertDelivery(phones, phones)
    made._begin(OLD)
    yield made
    made.stop()
    assert not any(each.is_alive() for each in made._workers)


def test_a_channel_that_is_known_gets_no_second_thread(delivery: AlertDelivery, phones: Phones) -> None:
    delivery._begin(OLD)
    assert len(delivery._workers) == 1
    delivery._work["Ann"].put(RANG)
    assert phones.acknowledged.get(timeout=30) == (RANG, "")
    assert phones.sent.get(timeout=30) == OLD.url


def test_a_channel_that_moves_ends_its_old_thread_and_keeps_what_it_has_taken(
    delivery: AlertDelivery, phones: Phones
) -> None:
    delivery._work["Ann"].put(RANG)
    delivery._begin(NEW)
    (before, now) = delivery._workers
    before.join(30)
    assert not before.is_alive()
    assert now.is_alive()
    assert phones.sent.get(timeout=30) == OLD.url, "what was on its way goes to the old place"
    for each in (RANG, AlertMessage("Ann", "Doorward: door", "Again.", (8,))):
        delivery._work["Ann"].put(each)
    assert phones.sent.get(timeout=30) == NEW.url
    assert [phones.acknowledged.get(timeout=30)[0].alerts for _ in range(3)] == [(7,), (7,), (8,)]
    assert phones.sent.empty(), "a message that was taken is not sent to the new place again"
