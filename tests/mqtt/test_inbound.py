"""A flood in one class of messages delays only that class, and a sender's messages push out only the sender's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.core.bus import MessageReceived
from agent.mqtt.bus_settings import BusSettings
from agent.mqtt.pacing import InboundQueue

RECEIPT = f"doorward/v1/receipts/{'a1' * 8}/{'cd' * 16}"


def queue(**changes: float) -> InboundQueue:
    nowhere = Path("nowhere")
    return InboundQueue(BusSettings("", 1, "", nowhere, nowhere, nowhere, **changes))  # type: ignore[arg-type]


def asked(who: str, payload: bytes = b"junk") -> MessageReceived:
    return MessageReceived(f"doorward/v1/areas/1-1/requests/{who}/0", payload)


def test_a_receipt_is_handed_out_though_a_flood_of_the_cell_has_used_up_its_pace() -> None:
    waiting = queue()
    for number in range(10_000):
        waiting.put(asked(f"crowd-{number % 100}"))
    now_s = 100.0
    while waiting.take(now_s) is not None:
        pass
    assert waiting.wait_s(now_s) == 0.05
    receipt = MessageReceived(RECEIPT, b"stored")
    waiting.put(receipt)
    assert waiting.wait_s(now_s) == 0
    assert waiting.take(now_s) == receipt


def test_a_flood_of_receipts_does_not_hold_up_a_request() -> None:
    waiting = queue()
    for number in range(1000):
        waiting.put(MessageReceived(RECEIPT, b"%d" % number))
    request = asked("police")
    waiting.put(request)
    taken = []
    while (message := waiting.take(5.0)) is not None:
        taken.append(message)
    assert request in taken
    assert taken[0].payload == b"999"


def test_the_indexes_of_a_root_are_handed_out_as_they_came() -> None:
    """A killed broker gives its older index, and the root puts the newer one back right behind it."""
    waiting, topic = queue(), f"doorward/v1/trust/{'ab' * 8}/index"
    for index in (b"older", b"newer"):
        waiting.put(MessageReceived(topic, index))
    taken = (waiting.take(5.0), waiting.take(5.0))
    assert [each and each.payload for each in taken] == [b"older", b"newer"]


def test_a_request_is_handed_out_before_the_withdrawal_that_took_its_place() -> None:
    waiting = queue()
    for payload in (b"request", b"withdrawal"):
        waiting.put(asked("police", payload))
    taken = (waiting.take(5.0), waiting.take(5.0))
    assert [each and each.payload for each in taken] == [b"request", b"withdrawal"]


def test_somebody_who_asks_once_is_heard_after_one_turn_of_a_hundred_others() -> None:
    waiting, now_s, turns = queue(), 0.0, 0
    for number in range(10_000):
        waiting.put(asked(f"crowd-{number % 100}", bytes(12_000)))
    fresh = asked("police")
    waiting.put(fresh)
    while waiting.take(now_s) != fresh:
        now_s += waiting.wait_s(now_s) or 0.0
        turns += 1
    assert now_s <= 101 / 20
    assert turns <= 220


def test_what_waits_is_bounded_in_bytes() -> None:
    waiting = queue(inbound_bytes=100_000)
    dropped = sum(waiting.put(asked(f"crowd-{number}", bytes(1000))) for number in range(500))
    assert 500 - dropped in range(30, 35)
    assert queue().wait_s(1.0) is None


def test_empty_messages_of_any_number_of_senders_are_bounded_too() -> None:
    waiting = queue(inbound_bytes=1 << 20)
    dropped = sum(waiting.put(asked(f"crowd-{number}", b"")) for number in range(5_000))
    assert 5_000 - dropped < 1024


def test_properties_of_a_message_count() -> None:
    waiting = queue(inbound_bytes=100_000)
    heavy = replace(asked("police", b"x"), properties=(("k", "v" * 12_000),))
    assert sum(waiting.put(heavy) for _ in range(10)) == 7
