"""Each channel has its own thread, at its present address."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from unittest import mock

import pytest

from agent.core.alerts.alert_messages import AlertMessage, ChannelAddress
from agent.errors import DoorwardError, NetworkError, StorageError
from agent.uplink.alert_sender import AlertDelivery

OLD, NEW = ChannelAddress("Ann", "ntfy://old/door"), ChannelAddress("Ann", "ntfy://new/door")
RANG = AlertMessage("Ann", "Doorward: door", "A person pressed the button.", (7,), at_ms=1_800_000_000_000)


class Phones:
    """`ports.AlertSender`, and the custodian that hears what was taken."""

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.acknowledged: queue.SimpleQueue[tuple[AlertMessage, str]] = queue.SimpleQueue()
        self.times: list[int] = []

    def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
        self.times.append(at_ms)
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
    assert phones.times == [RANG.at_ms]


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


class Custodian(Phones):
    """Gives out what the test says: messages, or an error."""

    def __init__(self, *given: tuple[AlertMessage, ...] | DoorwardError) -> None:
        super().__init__()
        self.given, self.asked, self.delivery = list(given), 0, AlertDelivery(self, self)
        self.waits: list[float | None] = []
        self.waited: list[float] = []
        self.delivery._stopping.wait = self._wait  # type: ignore[method-assign]

    def _wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return False

    def channels(self) -> tuple[ChannelAddress, ...]:
        self.asked += 1
        return (OLD,)

    def collect(self, wait_s: float) -> tuple[AlertMessage, ...]:
        self.waited.append(wait_s)
        if not self.given:
            self.delivery._stopping.set()
            return ()
        found = self.given.pop(0)
        if isinstance(found, DoorwardError):
            raise found
        return found

    def fetch(self) -> None:
        self.delivery._fetch()
        self.delivery.stop()


NEWS = AlertMessage("Ben", "Doorward: door", "A person pressed the button.", (9,))


def test_the_addresses_are_asked_for_once_and_again_for_a_channel_that_is_new() -> None:
    custodian = Custodian((RANG,), (NEWS,), (RANG,))
    custodian.fetch()
    assert custodian.asked == 2
    assert custodian.waits == []
    assert set(custodian.waited) == {5.0}


@pytest.mark.parametrize(
    ("error", "asked"), [(NetworkError("The custodian restarts."), 2), (StorageError("The disk is full."), 1)]
)
def test_after_an_error_there_is_a_pause_and_a_custodian_that_restarted_is_asked_for_the_addresses(
    error: DoorwardError, asked: int
) -> None:
    custodian = Custodian((RANG,), error, ())
    custodian.fetch()
    assert custodian.asked == asked
    assert custodian.waits == [1.0]


def test_an_error_before_the_addresses_are_known_asks_for_them_again() -> None:
    custodian = Custodian(StorageError("The disk is full."))
    custodian.channels = lambda: (_ for _ in ()).throw(StorageError("full")) if not custodian.waits else (OLD,)  # type: ignore[method-assign]
    custodian.given = [(RANG,)]
    custodian.fetch()
    assert custodian.acknowledged.get(timeout=30) == (RANG, "")


def test_a_custodian_that_takes_no_acknowledgement_ends_no_channel(delivery: AlertDelivery, phones: Phones) -> None:
    def refuse(_parcel: AlertMessage, _fault: str = "") -> None:
        phones.acknowledge = type(phones).acknowledge.__get__(phones)  # type: ignore[method-assign]
        raise NetworkError("The custodian is away.")

    phones.acknowledge = refuse  # type: ignore[method-assign]
    delivery._work["Ann"].put(RANG)
    assert phones.sent.get(timeout=30) == OLD.url
    delivery._work["Ann"].put(RANG)
    assert phones.acknowledged.get(timeout=30) == (RANG, "")
    assert phones.sent.empty(), "it was taken before, and only its acknowledgement was lost"


def test_a_message_that_was_not_taken_is_acknowledged_with_the_fault_and_may_come_again(
    delivery: AlertDelivery, phones: Phones
) -> None:
    def fail(url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
        phones.send = type(phones).send.__get__(phones)  # type: ignore[method-assign]
        raise NetworkError("The channel did not take it (it answered 503).")

    phones.send = fail  # type: ignore[method-assign]
    for _ in range(2):
        delivery._work["Ann"].put(RANG)
    assert phones.acknowledged.get(timeout=30) == (RANG, "The channel did not take it (it answered 503).")
    assert phones.acknowledged.get(timeout=30) == (RANG, "")


def test_no_thread_of_the_delivery_keeps_its_process_from_ending(delivery: AlertDelivery) -> None:
    """A server that trickles bytes for ever would."""
    assert delivery._fetcher.daemon
    assert all(each.daemon for each in delivery._workers)


def test_its_end_waits_for_the_thread_that_fetches_and_then_ends_and_awaits_each_channel() -> None:
    parts = mock.Mock()
    delivery = AlertDelivery(Phones(), Phones())
    delivery._fetcher, delivery._work, delivery._workers = parts.fetcher, {"Ann": parts.work}, [parts.worker]
    delivery.stop()
    ended = [mock.call.work.put(None), mock.call.worker.join(25.0)]
    assert parts.mock_calls == [mock.call.fetcher.join(25.0), *ended]
    assert delivery._stopping.is_set()
    parts.reset_mock()
    parts.fetcher.ident = None
    delivery.stop()
    assert parts.mock_calls == ended, "a thread that never ran cannot be joined"
