"""Records and streams of the link: what is sent arrives once and in order, or the session ends."""

from __future__ import annotations

import random
import secrets
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.mqtt.bus_settings import BusSettings
from agent.wire.link import session as module
from agent.wire.link.session import EndReason, LinkSession, SessionEnded, StreamData
from tests.properties.amounts import amount

TO_DEVICE, TO_CLIENT = b"\1" * 32, b"\2" * 32
SIZES = (256, 1024, 4096, 15_360)
MUTANTS = amount(100_000, 1_000_000)


def two_ends() -> tuple[LinkSession, LinkSession]:
    return LinkSession(TO_DEVICE, TO_CLIENT), LinkSession(TO_CLIENT, TO_DEVICE)


def frames(sender: LinkSession) -> list[bytes]:
    found = []
    while (frame := sender.next_frame()) is not None:
        found.append(frame)
    return found


def talk(one: LinkSession, other: LinkSession) -> dict[int, bytes]:
    """Passes frames both ways until neither end has any. Returns what `other` heard, by stream."""
    heard: dict[int, bytes] = {}
    while True:
        there, back = frames(one), frames(other)
        for frame in there:
            match other.receive(frame):
                case StreamData(stream=stream, data=data):
                    heard[stream] = heard.get(stream, b"") + data
        for frame in back:
            one.receive(frame)
        if not there and not back:
            return heard


def forged(sender: LinkSession, content: bytes, padding: bytes = b"", size: int | None = None) -> bytes:
    """An authentic record that no sender of this version makes."""
    length = len(content) if size is None else size
    plain = length.to_bytes(2, "big") + content + padding
    return sender._outgoing.seal(plain + bytes(256 - 25 - len(plain)))


@pytest.mark.parametrize("size", [0, 1, 224, 225, 992, 993, 4_064, 4_065, 15_328, 15_329, 70_000, 2_000_000])
def test_data_of_any_length_arrives_whole_in_records_of_four_lengths(size: int) -> None:
    one, other = two_ends()
    data = secrets.token_bytes(size)
    one.send(9, data, last=True)
    first = one.next_frame()
    assert first is not None
    assert len(first) == next(each for each in SIZES if each >= min(size + 32, 15_360))
    heard = other.receive(first)
    assert isinstance(heard, StreamData)
    assert heard.data + talk(one, other).get(9, b"") == data
    assert one.queued_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40_000), st.booleans()), max_size=12))
def test_each_stream_arrives_in_its_order(sent: list[tuple[int, bytes, bool]]) -> None:
    one, other = two_ends()
    expected: dict[int, bytes] = {}
    for stream, data, last in sent:
        one.send(stream, data, last=last)
        expected[stream] = expected.get(stream, b"") + data
    assert talk(one, other) == expected


def test_a_long_answer_does_not_delay_a_short_one() -> None:
    one, other = two_ends()
    one.send(1, bytes(1 << 20), last=True)
    one.send(2, b"short", last=True)
    assert [other.receive(frame) for frame in frames(one)[:2]][1] == StreamData(2, b"short", last=True)


def test_a_sender_waits_while_the_other_end_acknowledges_nothing() -> None:
    one, other = two_ends()
    one.send(1, bytes(1 << 20), last=True)
    sent = frames(one)
    assert sum(map(len, sent)) <= 256 << 10
    assert one.next_frame() is None
    one.ping()
    assert len(one.next_frame() or b"") == 256, "what carries no data is sent all the same"
    for frame in sent:
        other.receive(frame)
    assert one.next_frame() is None
    for frame in frames(other):
        one.receive(frame)
    assert one.next_frame() is not None


def test_acknowledgements_of_acknowledgements_come_to_an_end() -> None:
    one, other = two_ends()
    for _ in range(2000):
        one.ping()
    assert talk(one, other) == {}
    assert one.received + other.received < 2020


def test_a_cancelled_stream_is_dropped_at_both_ends() -> None:
    one, other = two_ends()
    other.send(1, bytes(1 << 20))
    other.send(2, b"stays", last=True)
    one.cancel(1)
    assert [other.receive(frame) for frame in frames(one)] == [StreamData(1, cancelled=True)]
    assert other.queued_bytes == 5
    assert talk(other, one) == {2: b"stays"}


def test_an_end_reaches_the_other_end_and_nothing_follows() -> None:
    one, other = two_ends()
    one.send(1, b"x")
    frame = one.end(EndReason.IDLE)
    assert frame is not None
    assert other.receive(frame) == SessionEnded(EndReason.IDLE)
    assert (one.ended, other.ended) == (EndReason.IDLE, EndReason.IDLE)
    assert one.end(EndReason.CLOSED) is None
    assert one.next_frame() is None
    assert one.queued_bytes == 0
    later, _ = two_ends()
    later.ping()
    assert other.receive(later.next_frame() or b"") is None


def test_a_record_that_comes_again_is_ignored() -> None:
    one, other = two_ends()
    one.send(1, b"a")
    one.send(1, b"b")
    first, second = frames(one)
    assert other.receive(first) == StreamData(1, b"a")
    assert other.receive(first) is None
    assert other.receive(second) == StreamData(1, b"b")
    assert other.receive(first) is None
    assert other.ended is None


def test_a_missing_record_ends_the_session() -> None:
    one, other = two_ends()
    for _ in range(3):
        one.ping()
    _first, second, third = frames(one)
    assert other.receive(second) == SessionEnded(EndReason.CUT)
    assert other.receive(third) is None


def test_a_record_that_is_sent_back_is_ignored() -> None:
    one, _other = two_ends()
    one.ping()
    assert one.receive(one.next_frame() or b"") is None
    assert (one.received, one.ended) == (0, None)


def at(sender: LinkSession, reader: LinkSession, counter: int) -> None:
    """Both ends have come to this counter."""
    for direction in (sender._outgoing, reader._incoming):
        while direction.counter < counter:
            direction._renew()
            direction.counter += 1


def test_a_new_key_begins_after_65_536_records() -> None:
    one, other = two_ends()
    at(one, other, 65_535)
    one.send(1, b"the last")
    one.send(1, b"the first")
    old = one._outgoing._cipher
    assert [other.receive(frame) for frame in frames(one)] == [StreamData(1, b"the last"), StreamData(1, b"the first")]
    assert one._outgoing._cipher is not old


def test_a_record_that_is_missing_at_a_change_of_the_key_ends_the_session_too() -> None:
    one, other = two_ends()
    at(one, other, 65_535)
    one.ping()
    one.ping()
    _missing, second = frames(one)
    assert other.receive(second) == SessionEnded(EndReason.CUT)
    far, reader = two_ends()
    at(far, reader, 10)
    far._outgoing.counter, far._outgoing._generation = 3 * 65_536, 3
    far.ping()
    assert reader.receive(far.next_frame() or b"") is None


@pytest.mark.parametrize(
    ("content", "padding", "size"),
    [
        (b"\6", b"", None),
        (b"\0", b"", None),
        (b"\1\0\0", b"", None),
        (b"\4" + bytes(7), b"", None),
        (b"\4" + bytes(9), b"", None),
        (b"\5", b"", None),
        (b"\5\0", b"", None),
        (b"\5\1\1", b"", None),
        (b"", b"\1", None),
        (b"", b"", 300),
    ],
)
def test_an_authentic_record_that_is_not_of_this_version_ends_the_session(
    content: bytes, padding: bytes, size: int | None
) -> None:
    one, other = two_ends()
    assert other.receive(forged(one, content, padding, size)) == SessionEnded(EndReason.CUT)


def test_a_hundred_thousand_changed_frames_change_nothing() -> None:
    """Bits, lengths, counters, pieces of other frames, and noise (a million in `make prove-consent`)."""
    chance = random.Random(17)
    one, other = two_ends()
    one.send(1, b"a request", last=True)
    one.send(2, bytes(900), last=True)
    one.ping()
    originals = frames(one)
    back = LinkSession(TO_CLIENT, TO_DEVICE)
    back.ping()
    originals += frames(back)
    state = (other.received, other.ended, other._incoming._generation, other._on_the_way)
    for number in range(MUTANTS):
        mutant = bytearray(chance.choice(originals))
        match number % 6:
            case 0:
                mutant[chance.randrange(len(mutant))] ^= 1 << chance.randrange(8)
            case 1:
                mutant[1:9] = chance.choice((1, 2, 5, 65_535, 65_536, 2**63)).to_bytes(8, "big")
                mutant[20] ^= 1
            case 2:
                del mutant[chance.randrange(len(mutant)) :]
            case 3:
                mutant += chance.randbytes(chance.choice((1, 768)))
            case 4:
                mutant[9:] = chance.randbytes(len(mutant) - 9)
            case _:
                mutant = bytearray(chance.randbytes(chance.choice((1, 9, 25, 256, 257, 1024))))
        if bytes(mutant) not in originals:
            assert other.receive(bytes(mutant)) is None
    assert (other.received, other.ended, other._incoming._generation, other._on_the_way) == state
    heard = [other.receive(frame) for frame in originals[:3]]
    assert heard == [None, StreamData(1, b"a request", last=True), StreamData(2, bytes(900), last=True)]
    assert other.received == 3


def test_the_largest_frame_fits_a_packet_of_the_uplink() -> None:
    largest = next(each.default for each in fields(BusSettings) if each.name == "inbound_packet_bytes")
    topic = "doorward/v1/link/" + "a" * 32 + "/" + "b" * 32 + "/out"
    assert module.MAX_FRAME_BYTES + len(topic) + 512 <= largest


@pytest.mark.parametrize(
    ("size", "records"),
    [
        (300, [1024]),
        (4_064, [4096]),
        (5_000, [4096, 1024]),
        (12_192, [4096] * 3),
        (12_193, [15_360]),
        (20_000, [15_360, 4096, 1024]),
    ],
)
def test_live_view_is_divided_so_that_little_of_it_is_padding(size: int, records: list[int]) -> None:
    one, other = two_ends()
    data = secrets.token_bytes(size)
    one.send(9, data, last=True, fine=True)
    found = frames(one)
    assert [len(each) for each in found] == records
    heard = b"".join(each.data for frame in found if isinstance(each := other.receive(frame), StreamData))
    assert heard == data


def test_each_key_follows_from_the_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over five keys, at both ends, and a record that is missing at the last change ends the session."""
    monkeypatch.setattr(module, "_GENERATION_RECORDS", 4)
    one, other = two_ends()
    for number in range(18):
        one.send(1, b"%d" % number)
        assert other.receive(one.next_frame() or b"") == StreamData(1, b"%d" % number)
    assert (one._outgoing._generation, other._incoming._generation) == (4, 4)
    for _ in range(5):
        one.ping()
    *_, following = frames(one)
    assert other.receive(following) == SessionEnded(EndReason.CUT), "under the next key"


def test_a_ping_says_nothing_and_counts_as_received() -> None:
    one, other = two_ends()
    one.ping()
    frame = one.next_frame() or b""
    assert other._incoming.open(frame, 0) == bytes(256 - 9 - 16)
    assert other.receive(frame) is None
    assert (other.received, other.ended) == (1, None)


def test_a_window_is_used_to_its_last_byte() -> None:
    one, _other = two_ends()
    one.send(1, bytes(16 * 15_328))
    one.send(2, bytes(993 - 1))
    assert sum(map(len, frames(one))) == 16 * 15_360 + 1024 == (256 << 10) - 15_360
    one.send(3, bytes(20_000))
    assert [len(each) for each in frames(one)] == [15_360], "and then the other end has to acknowledge"


def test_exactly_64_kib_are_acknowledged_once() -> None:
    one, other = two_ends()
    for number in range(16):
        assert other.next_frame() is None
        one.send(number, bytes(4064))
        other.receive(one.next_frame() or b"")
    acknowledged = other.next_frame() or b""
    assert one._incoming.open(acknowledged, 0) == b"\0\x09\x04" + (16).to_bytes(8, "big") + bytes(220)
    assert other.next_frame() is None
    assert one._on_the_way == 16 * 4096
    one.receive(acknowledged)
    assert (one._on_the_way, len(one._sent)) == (0, 0)


def test_an_acknowledgement_counts_for_the_records_before_it_and_for_no_later_one() -> None:
    one, other = two_ends()
    for number in range(3):
        one.send(number, bytes(4064))
    frames(one)
    one.receive(forged(other, b"\4" + (2).to_bytes(8, "big")))
    assert (one._on_the_way, len(one._sent)) == (4096, 1)


@pytest.mark.parametrize("reason", list(EndReason))
def test_each_reason_arrives_as_it_was_given_and_nothing_that_waited_is_kept(reason: EndReason) -> None:
    one, other = two_ends()
    for each in (one, other):
        each.send(1, bytes(300_000))
    for frame in frames(one):
        other.receive(frame)
    assert one._sent
    assert other.next_frame()
    other.ping()
    one.ping()
    last = one.end(reason) or b""
    assert other.receive(last) == SessionEnded(reason)
    for each in (one, other):
        assert (each.ended, each.queued_bytes) == (reason, 0)
        assert (len(each._urgent), len(each._streams), len(each._sent)) == (0, 0, 0)


def test_pieces_of_a_cancelled_stream_are_not_counted_and_others_are() -> None:
    one, _other = two_ends()
    one.send(1, bytes(10))
    one.send(1, bytes(20), last=True)
    one.send(2, bytes(5))
    assert one.queued_bytes == 35
    one.cancel(1)
    one.cancel(9)
    assert one.queued_bytes == 5
