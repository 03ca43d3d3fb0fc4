"""The device's half, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.bus import LinkFault, PublishAcknowledged, PublishLost, PublishRefused
from agent.core.timebase import BootNs, seconds
from agent.core.transfer import (
    ClearInit,
    Finished,
    MarkBegun,
    PartSize,
    SendAbort,
    SendChunk,
    SenderEffect,
    SendFin,
    SendInit,
    TransferOutcome,
    TransferProgress,
    UploadSender,
)
from agent.wire.disclosures import ReceiptState

KIB = 1024
MANIFEST, SEGMENT, OTHER = PartSize(3 * KIB, "00" * 32), PartSize(150 * KIB, "01" * 32), PartSize(64 * KIB, "02" * 32)
PACKET_BYTES = 147_456
START = BootNs(0)
NOTHING_YET = TransferProgress(ReceiptState.PARTIAL, None)
MANIFEST_ONLY = TransferProgress(ReceiptState.PARTIAL, MANIFEST.sha256, stored=((0, 0),))


def effects(sender: UploadSender, now: BootNs = START) -> list[SenderEffect]:
    """All it wants to do now."""
    found = []
    while (effect := sender.next_effect(now)) is not None:
        found.append(effect)
    return found


def acknowledge(sender: UploadSender, done: list[SenderEffect], heard: bool = True) -> None:
    for effect in done:
        if not isinstance(effect, MarkBegun | Finished):
            sender.settled(PublishAcknowledged(effect.token, heard), START)


def asked(**options: int) -> UploadSender:
    """A sender that has asked what is there."""
    sender = UploadSender((MANIFEST, SEGMENT, OTHER), **options)
    sender.connected(PACKET_BYTES)
    acknowledge(sender, effects(sender))
    return sender


def sending(**options: int) -> UploadSender:
    """A sender with a requester that holds only the manifest."""
    sender = asked(**options)
    sender.receipt(MANIFEST_ONLY, START)
    return sender


def chunks(done: list[SenderEffect]) -> list[tuple[int, int, int]]:
    return [(each.part, each.offset, each.length) for each in done if isinstance(each, SendChunk)]


def test_it_does_nothing_without_a_link_and_asks_first_when_there_is_one() -> None:
    sender = UploadSender((MANIFEST, SEGMENT))
    assert effects(sender) == []
    sender.connected(PACKET_BYTES)
    assert effects(sender) == [SendInit(1, 2, MANIFEST, 1)]


def test_no_byte_of_a_segment_leaves_before_the_requester_holds_the_manifest() -> None:
    sender = asked()
    sender.receipt(NOTHING_YET, START)
    first = effects(sender)
    assert chunks(first) == [(0, 0, 3 * KIB)]
    acknowledge(sender, first)
    fin = effects(sender)
    assert [type(each) for each in fin] == [SendFin]
    acknowledge(sender, fin)
    assert effects(sender) == []
    sender.receipt(MANIFEST_ONLY, START)
    assert {part for part, _, _ in chunks(effects(sender))} == {1, 2}


def test_that_the_first_byte_leaves_is_said_before_it_leaves_and_once() -> None:
    sender = asked()
    sender.receipt(NOTHING_YET, START)
    assert not sender.begun
    assert [type(each) for each in effects(sender)] == [MarkBegun, SendChunk]
    assert sender.begun
    assert MarkBegun() not in effects(UploadSender((MANIFEST, SEGMENT), begun=True))


def test_only_what_the_receipt_misses_is_sent() -> None:
    sender = asked()
    held = TransferProgress(
        ReceiptState.PARTIAL, MANIFEST.sha256, ((0, 0), (2, 2)), ((1, ((64 * KIB, 65 * KIB), (149 * KIB, 150 * KIB))),)
    )
    sender.receipt(held, START)
    assert chunks(effects(sender)) == [(1, 64 * KIB, KIB), (1, 149 * KIB, KIB)]


def test_a_missing_span_beyond_the_end_of_a_part_is_not_believed() -> None:
    sender = asked()
    sender.receipt(
        TransferProgress(
            ReceiptState.PARTIAL, MANIFEST.sha256, ((0, 0), (2, 9)), ((1, ((149 * KIB, 2**40),)), (7, ((0, 5),)))
        ),
        START,
    )
    assert chunks(effects(sender)) == [(1, 149 * KIB, KIB)]


def test_the_window_bounds_the_bytes_in_flight() -> None:
    sender = sending(window_bytes=100 * KIB)
    assert [each for each in effects(sender) if not isinstance(each, MarkBegun)] == [SendChunk(2, 1, 0, 64 * KIB)]


def test_a_brokers_acknowledgement_is_not_delivery() -> None:
    sender = sending()
    while done := effects(sender):
        acknowledge(sender, done)
    assert not sender.ended
    assert sender.held_bytes == MANIFEST.size_bytes
    assert sender.deadline_ns is not None
    assert [type(each) for each in effects(sender, sender.deadline_ns)] == [SendInit]


def test_a_lost_chunk_is_sent_again_with_the_same_bytes() -> None:
    sender = sending()
    done = effects(sender)
    lost = next(each for each in done if isinstance(each, SendChunk))
    sender.settled(PublishLost(lost.token), START)
    again = effects(sender)
    assert chunks(again) == [(lost.part, lost.offset, lost.length)]


def test_what_the_bus_does_not_take_is_offered_again() -> None:
    sender = sending()
    assert sender.next_effect(START) == MarkBegun()
    chunk = sender.next_effect(START)
    assert isinstance(chunk, SendChunk)
    sender.put_back(chunk.token)
    again = sender.next_effect(START)
    assert isinstance(again, SendChunk)
    assert (again.part, again.offset, again.length) == (chunk.part, chunk.offset, chunk.length)


def test_nobody_listening_makes_it_wait_for_a_receipt_instead_of_pouring_on() -> None:
    sender = sending(window_bytes=64 * KIB)
    acknowledge(sender, effects(sender), heard=False)
    assert effects(sender) == []
    assert sender.deadline_ns is not None
    assert sender.deadline_ns >= seconds(5)
    sender.receipt(MANIFEST_ONLY, START)
    assert chunks(effects(sender))[0] == (1, 0, 64 * KIB)


def test_pauses_between_questions_grow_and_are_bounded() -> None:
    sender, now, pauses = UploadSender((MANIFEST,)), START, []
    sender.connected(PACKET_BYTES)
    for _ in range(8):
        acknowledge(sender, effects(sender, now), heard=False)
        assert sender.deadline_ns is not None
        pauses.append(sender.deadline_ns - now)
        now = sender.deadline_ns
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] <= seconds(120)


def test_three_seconds_after_everything_was_sent_it_asks_what_has_come() -> None:
    sender, now = sending(), BootNs(seconds(10))
    while gone := effects(sender, now):
        assert sender.deadline_ns is None, "something is on its way"
        acknowledge(sender, gone)
    assert sender.deadline_ns == now + seconds(3)
    assert effects(sender, BootNs(now + seconds(3) - 1)) == []
    (question,) = effects(sender, BootNs(now + seconds(3)))
    assert isinstance(question, SendInit)
    assert question.question == 2


@pytest.mark.parametrize("code", [0x87, 0x97, 0x80])
def test_a_refused_chunk_is_neither_done_nor_repeated_at_once(code: int) -> None:
    sender = sending(window_bytes=64 * KIB)
    chunk = effects(sender)[-1]
    assert isinstance(chunk, SendChunk)
    sender.settled(PublishRefused(chunk.token, code, "no"), START)
    assert effects(sender) == []
    assert sender.deadline_ns is not None


def test_a_window_of_refused_chunks_is_one_refusal_and_waits_as_long_as_one() -> None:
    """A service that takes ten messages a second refused six of sixteen, and the next question came after minutes."""
    sender = sending()
    refused = [each for each in effects(sender) if isinstance(each, SendChunk)]
    assert len(refused) > 3
    for chunk in refused:
        sender.settled(PublishRefused(chunk.token, 0x97, "quota exceeded"), START)
    assert sender.deadline_ns == seconds(8)
    (question,) = effects(sender, BootNs(seconds(8)))
    assert isinstance(question, SendInit)
    sender.settled(PublishRefused(question.token, 0x97, "quota exceeded"), BootNs(seconds(8)))
    assert sender.deadline_ns == seconds(8 + 32), "a refused question waits longer"


def test_chunks_that_are_too_large_get_smaller_at_once() -> None:
    sender = sending(window_bytes=64 * KIB)
    chunk = effects(sender)[-1]
    assert isinstance(chunk, SendChunk)
    sender.settled(PublishRefused(chunk.token, 0x95, "packet too large"), START)
    assert chunks(effects(sender))[0] == (1, 0, 32 * KIB)


def test_the_brokers_packet_size_bounds_the_chunk() -> None:
    sender = UploadSender((MANIFEST, SEGMENT), chunk_bytes=128 * KIB)
    sender.connected(40_000)
    assert sender.chunk_bytes + 1024 == 40_000


def test_a_silent_death_of_the_link_halves_the_chunk_and_a_long_smooth_run_restores_it() -> None:
    sender = sending()
    sender.disconnected(LinkFault.STALLED)
    assert sender.chunk_bytes == 32 * KIB
    large = PartSize(64 * 32 * KIB * 2, "03" * 32)
    sender = UploadSender((MANIFEST, large), chunk_bytes=64 * KIB)
    sender.connected(PACKET_BYTES)
    acknowledge(sender, effects(sender))
    sender.receipt(MANIFEST_ONLY, START)
    sender.disconnected(LinkFault.LOST)
    sender.connected(PACKET_BYTES)
    acknowledge(sender, effects(sender))
    sender.receipt(MANIFEST_ONLY, START)
    for _ in range(8):
        acknowledge(sender, effects(sender))
    assert sender.chunk_bytes == 64 * KIB


def test_chunks_grow_while_the_link_holds_and_less_eagerly_after_each_time_it_died() -> None:
    sender = UploadSender((MANIFEST, PartSize(512 * 128 * KIB, "03" * 32)))

    def again() -> None:
        sender.connected(PACKET_BYTES)
        acknowledge(sender, effects(sender))
        sender.receipt(MANIFEST_ONLY, START)

    def sent_until(size_bytes: int) -> int:
        count = 0
        while sender.chunk_bytes < size_bytes:
            effect = sender.next_effect(START)
            assert isinstance(effect, SendChunk | MarkBegun)
            acknowledge(sender, [effect])
            count += isinstance(effect, SendChunk)
        return count

    again()
    assert sender.chunk_bytes == 64 * KIB
    assert sent_until(128 * KIB) == 16
    for patience in (32, 64, 128):
        sender.disconnected(LinkFault.LOST)
        again()
        assert sender.chunk_bytes == 64 * KIB
        assert sent_until(128 * KIB) == patience


def test_a_size_the_broker_calls_too_large_is_not_tried_again() -> None:
    sender = UploadSender((MANIFEST, PartSize(512 * 128 * KIB, "03" * 32)))
    sender.connected(PACKET_BYTES)
    acknowledge(sender, effects(sender))
    sender.receipt(MANIFEST_ONLY, START)
    while sender.chunk_bytes < 128 * KIB:
        acknowledge(sender, effects(sender))
    first, *others = [each for each in effects(sender) if isinstance(each, SendChunk)]
    sender.settled(PublishRefused(first.token, 0x95, "packet too large"), START)
    acknowledge(sender, others)
    for _ in range(40):
        acknowledge(sender, effects(sender))
    assert sender.chunk_bytes == 64 * KIB


def test_complete_ends_it_and_clears_what_the_broker_keeps() -> None:
    sender = sending()
    sender.receipt(TransferProgress(ReceiptState.COMPLETE, MANIFEST.sha256, ((0, 2),)), START)
    end = effects(sender)
    assert [type(each) for each in end] == [ClearInit, Finished]
    assert end[-1] == Finished(TransferOutcome.DELIVERED, begun=False)
    assert sender.ended
    assert sender.held_bytes == sender.total_bytes


def test_a_receipt_for_another_manifest_changes_nothing() -> None:
    sender = sending()
    sender.receipt(TransferProgress(ReceiptState.COMPLETE, "ff" * 32, ((0, 2),)), START)
    sender.receipt(TransferProgress(ReceiptState.COMPLETE, None), START)
    assert not sender.ended
    assert chunks(effects(sender))


def test_a_refusal_stops_everything() -> None:
    sender = sending()
    done = effects(sender)
    sender.receipt(TransferProgress(ReceiptState.REFUSED, None), START)
    acknowledge(sender, done)
    assert [type(each) for each in effects(sender)] == [ClearInit, Finished]


def test_stop_before_the_first_chunk_says_that_nothing_left() -> None:
    sender = asked()
    sender.stop()
    sender.stop()
    assert [type(each) for each in effects(sender)] == [ClearInit, Finished]
    sender = UploadSender((MANIFEST,))
    sender.stop()
    assert effects(sender) == [Finished(TransferOutcome.STOPPED, begun=False)]


def test_a_stop_without_a_link_clears_the_question_at_the_next_connection() -> None:
    """The broker retained it, and a requester that was away would have read that an answer waits."""
    sender = asked()
    sender.disconnected(LinkFault.LOST)
    sender.stop()
    assert effects(sender) == []
    assert not sender.ended
    sender.connected(PACKET_BYTES)
    assert [type(each) for each in effects(sender)] == [ClearInit, Finished]
    assert sender.ended


def test_a_question_that_the_bus_never_took_is_not_cleared() -> None:
    """The empty message would name an answer that was taken back before the broker heard of it."""
    sender = UploadSender((MANIFEST, SEGMENT))
    sender.connected(PACKET_BYTES)
    (init,) = effects(sender)
    assert isinstance(init, SendInit)
    sender.put_back(init.token)
    sender.stop()
    assert effects(sender) == [Finished(TransferOutcome.STOPPED, begun=False)]


def test_stop_in_the_middle_tells_the_requester_and_ignores_all_that_follows() -> None:
    sender = sending()
    done = effects(sender)
    sender.stop()
    lost = next(each for each in done if isinstance(each, SendChunk))
    sender.settled(PublishLost(lost.token), START)
    assert [type(each) for each in effects(sender)] == [SendAbort, ClearInit, Finished]
    sender.connected(PACKET_BYTES)
    sender.receipt(MANIFEST_ONLY, START)
    assert effects(sender, BootNs(seconds(1000))) == []


def test_a_receipt_from_before_the_question_does_not_have_anything_sent_twice() -> None:
    """The chunks wait at the broker for a slow requester, in front of the question."""
    sender = sending()
    sent = effects(sender)
    while sent:
        acknowledge(sender, sent)
        sent = effects(sender)
    (init,) = effects(sender, BootNs(seconds(10)))
    assert isinstance(init, SendInit)
    assert init.question == 2
    acknowledge(sender, [init])
    first_part = TransferProgress(ReceiptState.PARTIAL, MANIFEST.sha256, stored=((0, 1),), question=1)
    sender.receipt(first_part, BootNs(seconds(14)))
    assert effects(sender, BootNs(seconds(14))) == []
    assert sender.held_bytes == MANIFEST.size_bytes + SEGMENT.size_bytes
    assert sender.deadline_ns is not None
    assert sender.deadline_ns > seconds(20), "it is answered: the question waits"
    sender.receipt(replace(first_part, question=2), BootNs(seconds(15)))
    assert {part for part, _, _ in chunks(effects(sender, BootNs(seconds(15))))} == {2}


def test_a_receipt_that_crossed_chunks_on_their_way_does_not_have_them_sent_twice() -> None:
    sender = sending()
    flying = effects(sender)
    sender.receipt(MANIFEST_ONLY, START)
    acknowledge(sender, flying)
    assert chunks(effects(sender)) == []


def test_an_answer_is_not_believed_while_chunks_are_still_on_their_way() -> None:
    sender = sending(window_bytes=128 * KIB)
    gone, flying = [each for each in effects(sender) if isinstance(each, SendChunk)]
    sender.settled(PublishAcknowledged(gone.token, heard=False), START)
    sender.receipt(MANIFEST_ONLY, START)
    assert effects(sender) == []
    acknowledge(sender, [flying])
    sender.receipt(MANIFEST_ONLY, START)
    assert chunks(effects(sender)) == [(1, 0, 64 * KIB), (1, 64 * KIB, 64 * KIB)]


def test_after_a_restart_it_asks_and_sends_only_the_rest() -> None:
    sender = UploadSender((MANIFEST, SEGMENT, OTHER), begun=True)
    sender.connected(PACKET_BYTES)
    acknowledge(sender, effects(sender))
    sender.receipt(TransferProgress(ReceiptState.PARTIAL, MANIFEST.sha256, ((0, 1),)), START)
    assert chunks(effects(sender)) == [(2, 0, 64 * KIB)]
