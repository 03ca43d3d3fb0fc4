"""The uplink is answered before the custodian works on a message, whatever the message says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from agent.core.requests import OutboxRecord
from agent.custodian import message_queue
from agent.custodian.message_queue import MessageQueue
from agent.errors import RequestError, StorageError
from agent.wire.disclosures import Receipt
from tests.custodians import Door

REQUEST = "doorward/v1/areas/1-1/requests/harbour-police/0"
NEWS = "doorward/v1/trust/0123456789abcdef/0"
RECEIPT = "doorward/v1/receipts/" + "0" * 32 + "/" + "1" * 32


class Custody:
    """Holds each message back until `gate` opens; `faults` are raised first, one a message."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.faults: list[Exception] = []
        self.heard: list[tuple[str, bytes]] = []
        self.changed = threading.Condition()

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        assert topic == RECEIPT or self.gate.wait(30)
        if self.faults:
            raise self.faults.pop(0)
        with self.changed:
            self.heard.append((topic, data))
            self.changed.notify_all()
        return None

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        return []

    def begin_sending(self, disclosure: str) -> bool:
        return disclosure == "a"

    def wait_for(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.heard) >= number, 30)


@pytest.fixture
def custody() -> Custody:
    return Custody()


@pytest.fixture
def queue(custody: Custody) -> Iterator[MessageQueue]:
    found = MessageQueue(custody, again_s=0.01)
    found.start()
    yield found
    custody.gate.set()
    found.stop()


def test_the_uplink_does_not_wait_for_the_custodian(custody: Custody, queue: MessageQueue) -> None:
    """Otherwise the broker sees how long it works: the uplink asks for the next page of the cell afterwards."""
    for number, topic in enumerate((REQUEST, NEWS, REQUEST)):
        assert queue.on_message(topic, b"%d" % number) is None
    assert custody.heard == []
    custody.gate.set()
    custody.wait_for(3)
    assert custody.heard == [(REQUEST, b"0"), (NEWS, b"1"), (REQUEST, b"2")]


def test_a_receipt_is_answered_when_it_has_been_worked_on(custody: Custody, queue: MessageQueue) -> None:
    queue.on_message(REQUEST, b"waits")
    queue.on_message(RECEIPT, b"")
    assert custody.heard == [(RECEIPT, b"")]
    assert (queue.outgoing(), queue.begin_sending("a"), queue.begin_sending("b")) == ([], True, False)


def test_a_message_that_could_not_be_stored_is_tried_again_and_any_other_fault_is_its_own(
    custody: Custody, queue: MessageQueue
) -> None:
    custody.faults = [StorageError("The disk is full."), StorageError("The disk is full."), RequestError("No.")]
    custody.faults += [ZeroDivisionError()]
    custody.gate.set()
    for number in range(4):
        queue.on_message(REQUEST, b"%d" % number)
    custody.wait_for(2)
    assert custody.heard == [(REQUEST, b"2"), (REQUEST, b"3")]


def test_a_message_that_can_never_be_stored_keeps_no_other_waiting_for_ever(
    custody: Custody, queue: MessageQueue
) -> None:
    """For example, a package of a root whose record in the journal is damaged."""
    custody.faults = [StorageError("The journal's trust records are damaged.")] * message_queue._MOST_TRIES
    queue.on_message(NEWS, b"never")
    queue.on_message(REQUEST, b"in its turn")
    custody.gate.set()
    custody.wait_for(1)
    assert (custody.heard, queue.dropped) == ([(REQUEST, b"in its turn")], 1)


def test_messages_that_wait_are_bounded_and_what_was_worked_on_makes_room(
    custody: Custody, queue: MessageQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_queue, "_MOST_BYTES", 2 * (len(REQUEST) + 100 + 512))
    for _ in range(3):
        queue.on_message(REQUEST, bytes(100))
    assert queue.dropped == 1
    custody.gate.set()
    custody.wait_for(2)
    deadline_s = time.monotonic() + 30
    while queue._bytes:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    queue.on_message(REQUEST, bytes(100))
    custody.wait_for(3)
    assert queue.dropped == 1


def test_a_queue_that_is_stopped_leaves_what_waits_and_can_start_again(custody: Custody) -> None:
    queue = MessageQueue(custody)
    queue.on_message(REQUEST, b"early")
    queue.start()
    stopper = threading.Thread(target=queue.stop)
    stopper.start()
    queue.on_message(REQUEST, b"late")
    custody.gate.set()
    stopper.join(30)
    queue.stop()
    queue.start()
    custody.wait_for(2)
    queue.stop()
    assert custody.heard == [(REQUEST, b"early"), (REQUEST, b"late")]


def test_the_topics_are_those_of_the_protocol() -> None:
    door = Door.enrolled()
    queue = MessageQueue(door.custodian, again_s=0.01)
    queue.start()
    queue.on_message(REQUEST, b"no message")
    deadline_s = time.monotonic() + 30
    while door.journal.counters() != {"malformed": 1}:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    queue.stop()
    door.close()
