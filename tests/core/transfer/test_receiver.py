"""The requester's half, step by step."""

from __future__ import annotations

import hashlib

import pytest

from agent.core.timebase import BootNs, seconds
from agent.core.transfer import (
    AllReceived,
    ManifestReceived,
    OpenTransfers,
    PartSize,
    ReceiverEffect,
    ReceiverLimits,
    SealPart,
    SendReceipt,
    TransferProgress,
    UploadReceiver,
    WritePart,
    progress_from_receipt,
    receipt_for,
)
from agent.core.transfer.receiver import NEWS_NS
from agent.core.transfer.values import LARGEST_CHUNK_BYTES
from agent.wire import strictjson
from agent.wire.disclosures import MAX_PARTS, ReceiptState

START = BootNs(seconds(100))
LATER = BootNs(START + NEWS_NS)
MANIFEST, SEGMENT = b"manifest" * 10, bytes(range(250)) * 4


def size_of(data: bytes) -> PartSize:
    return PartSize(len(data), hashlib.sha256(data).hexdigest())


def effects(receiver: UploadReceiver, now: BootNs = START) -> list[ReceiverEffect]:
    found = []
    while (effect := receiver.next_effect(now)) is not None:
        found.append(effect)
    return found


def give(receiver: UploadReceiver, part: int, data: bytes, start: int = 0, end: int | None = None) -> None:
    piece = data[start:end]
    receiver.chunk(part, start, piece, hashlib.sha256(piece).hexdigest())


def fresh(**limits: int) -> UploadReceiver:
    return UploadReceiver(size_of(MANIFEST), 2, ReceiverLimits(**limits))


def expecting(**limits: int) -> UploadReceiver:
    """A receiver that has read its manifest."""
    receiver = fresh(**limits)
    give(receiver, 0, MANIFEST)
    effects(receiver)
    receiver.sealed(0, matches=True)
    effects(receiver)
    receiver.expect((size_of(SEGMENT),))
    effects(receiver)
    return receiver


def test_a_part_is_written_sealed_and_only_then_named_in_an_answer() -> None:
    receiver = fresh()
    give(receiver, 0, MANIFEST)
    assert effects(receiver) == [WritePart(0, 0, MANIFEST), SealPart(0, size_of(MANIFEST))]
    receiver.fin(0)
    assert effects(receiver) == []
    receiver.sealed(0, matches=True)
    assert effects(receiver) == [ManifestReceived()]
    receiver.expect((size_of(SEGMENT),))
    assert effects(receiver) == [
        SendReceipt(TransferProgress(ReceiptState.PARTIAL, size_of(MANIFEST).sha256, ((0, 0),)))
    ]


def test_no_answer_is_given_while_a_part_is_sealed_or_the_manifest_is_read() -> None:
    receiver = fresh()
    give(receiver, 0, MANIFEST)
    effects(receiver)
    receiver.init(size_of(MANIFEST), 2)
    assert effects(receiver) == []
    receiver.sealed(0, matches=True)
    assert effects(receiver) == [ManifestReceived()]
    receiver.init(size_of(MANIFEST), 2)
    assert effects(receiver) == []
    receiver.expect((size_of(SEGMENT),))
    assert len(effects(receiver)) == 1


def test_nothing_but_the_manifest_is_written_before_it_has_been_read() -> None:
    receiver = fresh()
    give(receiver, 1, SEGMENT)
    assert effects(receiver) == []
    assert receiver.dropped == 1


def test_what_comes_twice_is_written_once() -> None:
    receiver = expecting()
    for start, end in ((0, 100), (0, 100), (20, 80)):
        give(receiver, 1, SEGMENT, start, end)
    assert effects(receiver) == [WritePart(1, 0, SEGMENT[:100])]


def test_an_answer_lists_the_missing_bytes() -> None:
    receiver = expecting()
    give(receiver, 1, SEGMENT, 100, 200)
    give(receiver, 1, SEGMENT, 900, 1000)
    receiver.fin(1)
    answer = effects(receiver, LATER)[-1]
    assert answer == SendReceipt(
        TransferProgress(ReceiptState.PARTIAL, size_of(MANIFEST).sha256, ((0, 0),), ((1, ((0, 100), (200, 900))),))
    )


@pytest.mark.parametrize(
    ("offset", "data"),
    [(-1, b"x"), (1000, b"x"), (999, b"xy"), (0, b""), (0, bytes(129 << 10))],
    ids=["before", "at end", "over end", "empty", "too long"],
)
def test_a_chunk_outside_its_part_is_dropped(offset: int, data: bytes) -> None:
    receiver = expecting()
    receiver.chunk(1, offset, data, hashlib.sha256(data).hexdigest())
    assert effects(receiver) == []
    assert receiver.dropped == 1


def test_a_chunk_whose_hash_does_not_fit_is_dropped() -> None:
    receiver = expecting()
    receiver.chunk(1, 0, b"abc", hashlib.sha256(b"abd").hexdigest())
    assert (effects(receiver), receiver.dropped) == ([], 1)


def test_a_spoiled_part_is_asked_for_again_and_at_the_third_time_refused() -> None:
    receiver = expecting()
    for turn in range(3):
        give(receiver, 1, SEGMENT)
        assert effects(receiver) == [WritePart(1, 0, SEGMENT), SealPart(1, size_of(SEGMENT))]
        receiver.sealed(1, matches=False)
        answer = effects(receiver, BootNs(START + (turn + 1) * NEWS_NS))[-1]
        assert isinstance(answer, SendReceipt)
        assert answer.held.state is (ReceiptState.PARTIAL if turn < 2 else ReceiptState.REFUSED)


@pytest.mark.parametrize(
    ("parts", "limits"),
    [((), {}), ((10, 10), {}), ((1001,), {"part_bytes": 1000}), ((900,), {"total_bytes": 800}), ((0,), {})],
    ids=["too few", "too many", "part too large", "all too large", "empty part"],
)
def test_a_manifest_beyond_the_limits_is_refused_and_nothing_of_it_written(
    parts: tuple[int, ...], limits: dict[str, int]
) -> None:
    receiver = fresh(**limits)
    give(receiver, 0, MANIFEST)
    effects(receiver)
    receiver.sealed(0, matches=True)
    effects(receiver)
    receiver.expect(tuple(PartSize(size, "00" * 32) for size in parts))
    assert receiver.state is ReceiptState.REFUSED
    give(receiver, 1, SEGMENT)
    assert all(not isinstance(each, WritePart) for each in effects(receiver))


def test_an_init_beyond_the_limits_is_refused_before_a_byte() -> None:
    receiver = UploadReceiver(PartSize(10**9, "00" * 32), 2, ReceiverLimits())
    answer = receiver.next_effect(START)
    assert isinstance(answer, SendReceipt)
    assert answer.held.state is ReceiptState.REFUSED


def test_as_many_parts_as_a_manifest_may_list_are_within_the_limits() -> None:
    for parts, state in ((MAX_PARTS + 1, ReceiptState.PARTIAL), (MAX_PARTS + 2, ReceiptState.REFUSED)):
        assert UploadReceiver(size_of(MANIFEST), parts, ReceiverLimits()).state is state


def test_another_object_under_the_same_id_is_dropped() -> None:
    receiver = fresh()
    receiver.init(size_of(b"another"), 2)
    assert (effects(receiver), receiver.dropped) == ([], 1)


def test_all_held_is_said_once_and_complete_answers_ever_after() -> None:
    receiver = expecting()
    give(receiver, 1, SEGMENT)
    effects(receiver)
    receiver.sealed(1, matches=True)
    assert AllReceived() in effects(receiver)
    receiver.complete()
    complete = SendReceipt(TransferProgress(ReceiptState.COMPLETE, size_of(MANIFEST).sha256, ((0, 1),)))
    assert effects(receiver) == [complete]
    give(receiver, 1, SEGMENT)
    receiver.init(size_of(MANIFEST), 2)
    assert effects(receiver) == [complete]


def test_after_a_restart_sealed_parts_are_not_asked_for_again() -> None:
    receiver = UploadReceiver(size_of(MANIFEST), 2, ReceiverLimits(), sealed=frozenset({0, 1}))
    assert effects(receiver) == [ManifestReceived()]
    receiver.expect((size_of(SEGMENT),))
    assert AllReceived() in effects(receiver)


def test_several_reasons_to_answer_make_one_answer() -> None:
    receiver = expecting()
    for _ in range(5):
        receiver.init(size_of(MANIFEST), 2)
        receiver.fin(1)
    assert len(effects(receiver)) == 1


def test_news_that_nobody_waits_for_is_told_twice_a_second_at_most() -> None:
    receiver = UploadReceiver(size_of(MANIFEST), 4, ReceiverLimits())
    give(receiver, 0, MANIFEST)
    effects(receiver)
    receiver.sealed(0, matches=True)
    effects(receiver)
    receiver.expect((size_of(SEGMENT),) * 3)
    assert [type(each) for each in effects(receiver)] == [SendReceipt]
    for part in (1, 2):
        give(receiver, part, SEGMENT)
        effects(receiver)
        receiver.sealed(part, matches=True)
        receiver.fin(part)
        assert effects(receiver, BootNs(LATER - 1)) == []
        assert receiver.deadline_ns == LATER
    assert effects(receiver, LATER) == [
        SendReceipt(TransferProgress(ReceiptState.PARTIAL, size_of(MANIFEST).sha256, ((0, 2),)))
    ]
    assert receiver.deadline_ns is None


def test_what_the_device_waits_for_is_answered_at_once() -> None:
    receiver = expecting()
    give(receiver, 1, SEGMENT, 0, 500)
    receiver.fin(1)
    assert [type(each) for each in effects(receiver)] == [WritePart]
    receiver.init(size_of(MANIFEST), 2)
    assert [type(each) for each in effects(receiver)] == [SendReceipt]
    give(receiver, 1, SEGMENT, 500)
    effects(receiver)
    receiver.sealed(1, matches=True)
    assert effects(receiver) == [AllReceived()]
    receiver.complete()
    assert [type(each) for each in effects(receiver)] == [SendReceipt]


def test_a_receipt_with_as_much_missing_as_it_has_room_for_stays_within_8_kib() -> None:
    large = PartSize(10**9, "00" * 32)
    receiver = UploadReceiver(size_of(MANIFEST), 100, ReceiverLimits(total_bytes=10**12))
    give(receiver, 0, MANIFEST)
    effects(receiver)
    receiver.sealed(0, matches=True)
    effects(receiver)
    receiver.expect((large,) * 99)
    for part in range(1, 100):
        for offset in range(0, 20, 2):
            give(receiver, part, bytes(10**6), 900_000 + offset, 900_001 + offset)
    answer = effects(receiver)[-1]
    assert isinstance(answer, SendReceipt)
    receipt = receipt_for(
        answer.held,
        disclosure="ab" * 16,
        request="cd" * 16,
        requester="springfield",
        trust_root="ef" * 8,
        seq=2**53 - 1,
    )
    assert len(strictjson.encode(receipt)) < 6 * 1024
    assert progress_from_receipt(receipt) == answer.held


def test_a_disclosure_belongs_to_the_device_that_began_it_and_only_so_many_are_open() -> None:
    reception = OpenTransfers(ReceiverLimits(), most=1)
    assert reception.find("dev1", "d1") is None
    assert reception.init("dev1", "d1", size_of(MANIFEST), 2) is not None
    assert reception.init("dev2", "d1", size_of(MANIFEST), 2) is None
    assert reception.init("dev1", "d2", size_of(MANIFEST), 2) is None
    assert reception.find("dev1", "d1") is not None
    assert reception.dropped == 3
    reception.close("d1")
    assert reception.init("dev1", "d2", size_of(MANIFEST), 2) is not None


def test_what_was_found_on_the_disk_takes_a_place_too_unless_it_has_ended() -> None:
    def found(state: ReceiptState) -> UploadReceiver:
        return UploadReceiver(size_of(MANIFEST), 2, ReceiverLimits(), sealed=frozenset({0}), state=state)

    reception = OpenTransfers(ReceiverLimits(), most=2)
    assert reception.reopen("dev1", "d1", found(ReceiptState.PARTIAL))
    assert not reception.is_full
    assert reception.reopen("dev2", "d2", found(ReceiptState.PARTIAL))
    assert reception.is_full
    assert not reception.reopen("dev3", "d3", found(ReceiptState.PARTIAL))
    assert reception.init("dev3", "d4", size_of(MANIFEST), 2) is None
    assert (reception.dropped, reception.ids()) == (2, ["d1", "d2"])
    assert reception.reopen("dev3", "d5", found(ReceiptState.COMPLETE)), "it is answered and closed at once"


# A relay, which cannot open the manifest


def unread(total_bytes: int = 10_000, parts: int = 3, **limits: int) -> UploadReceiver:
    """A receiver that stores what only another person's key opens."""
    receiver = UploadReceiver(size_of(MANIFEST), parts, ReceiverLimits(**limits))
    give(receiver, 0, MANIFEST)
    effects(receiver)
    receiver.sealed(0, matches=True)
    effects(receiver)
    receiver.expect_unread(total_bytes)
    return receiver


def test_a_relay_learns_each_part_from_its_end_and_seals_it_by_that_hash() -> None:
    receiver = unread()
    assert effects(receiver) == [
        SendReceipt(TransferProgress(ReceiptState.PARTIAL, size_of(MANIFEST).sha256, ((0, 0),)))
    ]
    give(receiver, 1, SEGMENT)
    assert effects(receiver) == [WritePart(1, 0, SEGMENT)]
    receiver.fin(1, size_of(SEGMENT))
    assert effects(receiver) == [SealPart(1, size_of(SEGMENT))]
    receiver.sealed(1, matches=True)
    receiver.fin(2, size_of(SEGMENT))
    give(receiver, 2, SEGMENT)
    assert SealPart(2, size_of(SEGMENT)) in effects(receiver, LATER)
    receiver.sealed(2, matches=True)
    assert AllReceived() in effects(receiver, LATER)


def test_a_relay_asks_again_for_what_is_missing_once_it_knows_how_long_the_part_is() -> None:
    receiver = unread()
    effects(receiver)
    give(receiver, 1, SEGMENT, 0, 400)
    receiver.init(size_of(MANIFEST), 3, 7)
    answer = effects(receiver)[-1]
    assert isinstance(answer, SendReceipt)
    assert answer.held.incomplete == ()
    receiver.fin(1, size_of(SEGMENT))
    answer = effects(receiver, LATER)[-1]
    assert isinstance(answer, SendReceipt)
    assert answer.held.incomplete == ((1, ((400, len(SEGMENT)),)),)


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_relay_takes_no_byte_beyond_its_limit_whatever_is_announced(ends_first: bool) -> None:
    receiver = unread(total_bytes=len(MANIFEST) + len(SEGMENT) + 10)
    effects(receiver)
    give(receiver, 1, SEGMENT)
    if ends_first:
        receiver.fin(1, size_of(SEGMENT))
    before = receiver.dropped
    give(receiver, 2, SEGMENT)
    assert receiver.dropped == before + 1
    receiver.fin(2, size_of(SEGMENT))
    assert receiver.state is ReceiptState.REFUSED
    give(receiver, 3, b"x")
    assert receiver.dropped == before + 2


def test_a_manifest_beyond_a_relays_limit_is_refused() -> None:
    assert unread(total_bytes=len(MANIFEST) - 1).state is ReceiptState.REFUSED


def test_a_second_end_changes_nothing_and_a_wrong_hash_is_asked_for_again() -> None:
    receiver = unread()
    effects(receiver)
    receiver.fin(1, size_of(SEGMENT))
    receiver.fin(1, PartSize(1, "0" * 64))
    give(receiver, 1, SEGMENT)
    assert SealPart(1, size_of(SEGMENT)) in effects(receiver, LATER)
    receiver.sealed(1, matches=False)
    receiver.init(size_of(MANIFEST), 3, 1)
    answer = effects(receiver, LATER)[-1]
    assert isinstance(answer, SendReceipt)
    assert answer.held.stored == ((0, 0),)


def test_a_restarted_relay_goes_on_with_its_sealed_parts() -> None:
    receiver = UploadReceiver(size_of(MANIFEST), 2, ReceiverLimits(), sealed=frozenset({0, 1}))
    assert effects(receiver) == [ManifestReceived()]
    receiver.expect_unread(10_000)
    assert AllReceived() in effects(receiver)


def test_the_figures_of_a_transfer_from_its_beginning_to_its_end() -> None:
    def figures(receiver: UploadReceiver) -> tuple[int, int | None, int]:
        return receiver.held_bytes, receiver.expected_bytes, receiver.outstanding_bytes

    first = fresh()
    assert (first.manifest, figures(first)) == (size_of(MANIFEST), (0, None, 80))
    receiver = expecting()
    assert (receiver.state, figures(receiver)) == (ReceiptState.PARTIAL, (80, 1080, 1000))
    give(receiver, 1, SEGMENT)
    assert effects(receiver) == [WritePart(1, 0, SEGMENT), SealPart(1, size_of(SEGMENT))]
    assert figures(receiver) == (80, 1080, 1000), "it is not sealed yet"
    receiver.sealed(1, matches=True)
    manifest = size_of(MANIFEST).sha256
    assert effects(receiver, LATER) == [
        AllReceived(),
        SendReceipt(TransferProgress(ReceiptState.PARTIAL, manifest, ((0, 1),))),
    ]
    assert figures(receiver) == (1080, 1080, 0)
    receiver.complete()
    assert effects(receiver, LATER) == [SendReceipt(TransferProgress(ReceiptState.COMPLETE, manifest, ((0, 1),)))]
    refused = expecting()
    refused.refuse()
    assert (refused.state, figures(refused)) == (ReceiptState.REFUSED, (80, 1080, 0))


@pytest.mark.parametrize(
    ("sealed", "held", "all_here"), [({0}, {0}, False), ({0, 1}, {0, 1}, True), ({0, 1, 2, 9}, {0, 1}, True)]
)
def test_parts_that_were_sealed_before_a_start_count_and_files_beyond_the_last_part_do_not(
    sealed: set[int], held: set[int], all_here: bool
) -> None:
    receiver = UploadReceiver(size_of(MANIFEST), 2, ReceiverLimits(), sealed=frozenset(sealed))
    assert effects(receiver) == [ManifestReceived()]
    receiver.expect((size_of(SEGMENT),))
    progress = TransferProgress(ReceiptState.PARTIAL, size_of(MANIFEST).sha256, ((0, max(held)),))
    assert effects(receiver) == [*([AllReceived()] if all_here else []), SendReceipt(progress)]


def test_without_its_manifest_no_part_that_was_sealed_before_counts() -> None:
    receiver = UploadReceiver(size_of(MANIFEST), 2, ReceiverLimits(), sealed=frozenset({1}))
    assert (effects(receiver), receiver.held_bytes) == ([], 0)
    give(receiver, 0, MANIFEST)
    assert effects(receiver) == [WritePart(0, 0, MANIFEST), SealPart(0, size_of(MANIFEST))]


def test_chunks_of_a_part_that_is_being_sealed_or_is_sealed_or_of_a_refused_disclosure_are_dropped() -> None:
    receiver = expecting()
    give(receiver, 1, SEGMENT)
    effects(receiver)
    give(receiver, 1, SEGMENT)
    assert (effects(receiver), receiver.dropped) == ([], 1)
    receiver.sealed(1, matches=True)
    effects(receiver, LATER)
    give(receiver, 1, SEGMENT)
    assert (effects(receiver, LATER), receiver.dropped) == ([], 2)
    refused = expecting()
    refused.refuse()
    effects(refused)
    give(refused, 1, SEGMENT)
    assert (effects(refused, LATER), refused.dropped) == ([], 1)


def test_a_chunk_may_be_one_byte_or_as_long_as_the_longest_and_end_with_its_part() -> None:
    data = bytes(range(256)) * 513
    receiver = fresh()
    give(receiver, 0, MANIFEST)
    effects(receiver)
    receiver.sealed(0, matches=True)
    effects(receiver)
    receiver.expect((size_of(data),))
    effects(receiver)
    give(receiver, 1, data, 0, LARGEST_CHUNK_BYTES)
    give(receiver, 1, data, LARGEST_CHUNK_BYTES, LARGEST_CHUNK_BYTES + 1)
    give(receiver, 1, data, LARGEST_CHUNK_BYTES + 1)
    assert len(data) == LARGEST_CHUNK_BYTES + 256
    assert effects(receiver) == [
        WritePart(1, 0, data[:LARGEST_CHUNK_BYTES]),
        WritePart(1, LARGEST_CHUNK_BYTES, data[LARGEST_CHUNK_BYTES:][:1]),
        WritePart(1, LARGEST_CHUNK_BYTES + 1, data[LARGEST_CHUNK_BYTES + 1 :]),
        SealPart(1, size_of(data)),
    ]
    give(receiver, 1, data, 0, LARGEST_CHUNK_BYTES + 1)
    assert receiver.dropped == 1


def test_an_unread_disclosure_may_be_its_manifest_alone_and_not_less() -> None:
    for total_bytes, state in ((len(MANIFEST), ReceiptState.PARTIAL), (len(MANIFEST) - 1, ReceiptState.REFUSED)):
        receiver = UploadReceiver(size_of(MANIFEST), 1, ReceiverLimits())
        give(receiver, 0, MANIFEST)
        effects(receiver)
        receiver.sealed(0, matches=True)
        effects(receiver)
        receiver.expect_unread(total_bytes)
        assert receiver.state is state
        assert (AllReceived() in effects(receiver)) is (state is ReceiptState.PARTIAL)


def test_the_open_disclosures_of_each_device_are_told_apart_oldest_first() -> None:
    reception = OpenTransfers(ReceiverLimits(), most=3)
    for device, disclosure in (("a", "1"), ("b", "2"), ("a", "3")):
        assert reception.init(device, disclosure, size_of(MANIFEST), 1) is not None
    assert (reception.ids(), reception.of_device("a"), reception.of_device("b"), reception.of_device("c")) == (
        ["1", "2", "3"], ["1", "3"], ["2"], [],
    )  # fmt: skip
    assert (reception.is_full, "2" in reception, reception.outstanding_bytes) == (True, True, 3 * len(MANIFEST))
    assert reception.find("a", "2") is None
    reception.close("2")
    reception.close("2")
    assert (reception.is_full, "2" in reception, reception.dropped) == (False, False, 1)


def test_an_unread_disclosure_takes_its_parts_and_none_beyond_them() -> None:
    receiver = fresh()
    give(receiver, 0, MANIFEST)
    effects(receiver)
    receiver.sealed(0, matches=True)
    effects(receiver)
    receiver.expect_unread(10_000)
    effects(receiver)
    for part in (2, -1):
        give(receiver, part, SEGMENT)
    assert (effects(receiver), receiver.dropped) == ([], 2)
    give(receiver, 1, SEGMENT)
    assert effects(receiver) == [WritePart(1, 0, SEGMENT)]
