"""Frames of a talk session: opened once, by the session's key only, and never changed by bad ones."""

from __future__ import annotations

import random

import pytest

from agent.core.talk.frames import (
    MULAW_SAMPLES,
    WINDOW,
    FrameKind,
    FrameReader,
)
from agent.core.talk.sizes import LARGEST_FRAME_BYTES, MOST_PADDED_BYTES
from agent.errors import FormatError, InternalError
from tests.talkers import FrameWriter

KEY, SESSION = bytes(range(32)), bytes(range(16))


def pair() -> tuple[FrameWriter, FrameReader]:
    return FrameWriter(KEY, SESSION), FrameReader(KEY, SESSION)


def refused(reader: FrameReader, frame: bytes) -> bool:
    before = (reader._newest, reader._seen)
    try:
        reader.open(frame)
    except FormatError:
        assert (reader._newest, reader._seen) == before
        return True
    return False


def test_each_kind_of_frame_arrives_as_it_was_sealed() -> None:
    writer, reader = pair()
    for kind, content in (
        (FrameKind.OPUS, b"voice"),
        (FrameKind.MULAW, bytes(MULAW_SAMPLES)),
        (FrameKind.REPLY, "später".encode()),
        (FrameKind.VOLUME, b"\x64"),
        (FrameKind.PAUSE, b""),
    ):
        found = reader.open(writer.seal(kind, content))
        assert (found.kind, found.content) == (kind, content)
    assert found.counter == 5


def test_the_length_of_a_frame_does_not_tell_what_was_said() -> None:
    writer, _ = pair()
    sizes = {len(writer.seal(FrameKind.OPUS, bytes(size))) for size in range(1, 126)}
    sizes |= {len(writer.seal(FrameKind.PAUSE)), len(writer.seal(FrameKind.REPLY, b"at the door"))}
    assert sizes == {8 + 128 + 16}
    assert len(writer.seal(FrameKind.MULAW, bytes(MULAW_SAMPLES))) == 8 + 384 + 16
    with pytest.raises(InternalError):
        FrameReader(KEY, bytes(15))


def test_a_frame_opens_once_and_an_overtaken_one_still_opens() -> None:
    writer, reader = pair()
    frames = [writer.seal(FrameKind.OPUS, bytes([n])) for n in range(1, WINDOW + 11)]
    for n in (2, 0, 1, 5, 3, 4):
        assert reader.open(frames[n]).content == bytes([n + 1])
    for n in range(6):
        assert refused(reader, frames[n])
    reader.open(frames[-1])
    assert not refused(reader, frames[-WINDOW])  # the oldest counter of the window
    assert refused(reader, frames[-WINDOW - 1])  # one older, though it was never opened
    assert refused(reader, frames[-1])


def test_a_jump_forward_keeps_memory_small_and_the_window_right() -> None:
    _, reader = pair()
    writer = FrameWriter(KEY, SESSION)

    def frame(counter: int) -> bytes:
        return writer.seal_plain(counter, bytes([FrameKind.PAUSE, 0, 0]) + bytes(125))

    reader.open(frame(1))
    reader.open(frame(2**48))
    assert reader._seen == 1
    assert refused(reader, frame(2**48 - WINDOW))
    assert not refused(reader, frame(2**48 - WINDOW + 1))
    assert refused(reader, frame(2**48 + 1))
    assert refused(reader, frame(0))


@pytest.mark.parametrize(("key", "session"), [(bytes(32), SESSION), (KEY, bytes(16))], ids=["key", "session"])
def test_a_frame_of_another_session_does_not_open(key: bytes, session: bytes) -> None:
    assert refused(FrameReader(KEY, SESSION), FrameWriter(key, session).seal(FrameKind.OPUS, b"a"))


def test_ten_thousand_altered_frames_change_nothing() -> None:
    writer, reader = pair()
    chance = random.Random(16)
    good = [writer.seal(FrameKind.OPUS, chance.randbytes(60)) for _ in range(100)]
    reader.open(good[0])
    tried = 0
    for base in good[1:]:
        for _ in range(101):
            tried += 1
            data = bytearray(base)
            match chance.randrange(4):
                case 0:
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                case 1:
                    del data[chance.randrange(len(data)) :]
                case 2:
                    data += chance.randbytes(chance.randrange(1, LARGEST_FRAME_BYTES))
                case _:
                    data = bytearray(chance.randbytes(chance.randrange(LARGEST_FRAME_BYTES + 50)))
            if bytes(data) != base:
                assert refused(reader, bytes(data))
    assert tried >= 9_999
    assert reader.open(good[1]).counter == 2


@pytest.mark.parametrize(
    "plain",
    [
        bytes([1, 0, 1, 7]) + bytes(123) + b"\x01",
        bytes([1, 0, 1, 7]) + bytes(124 + 128),
        bytes([1, 0, 126]) + bytes(125),
        bytes([1, 0, 0]) + bytes(125),
        bytes([0, 0, 1]) + bytes(125),
        bytes([6, 0, 1]) + bytes(125),
        bytes([2, 0, 100]) + bytes(125),
        bytes([4, 0, 1, 101]) + bytes(124),
        bytes([4, 0, 2, 1]) + bytes(124),
        bytes([5, 0, 1, 1]) + bytes(124),
        bytes([3, 0, 0]) + bytes(125),
    ],
    ids=["padding", "more padding", "cut", "no packet", "kind 0", "kind 6", "short block", "loud", "two", "pause",
         "no name"],
)  # fmt: skip
def test_a_frame_that_its_owner_made_wrongly_is_refused(plain: bytes) -> None:
    assert refused(FrameReader(KEY, SESSION), FrameWriter(KEY, SESSION).seal_plain(1, plain))


@pytest.mark.parametrize("size", [0, 23, 24, 25, 24 + 127, 24 + 129, 24 + MOST_PADDED_BYTES + 128])
def test_a_frame_of_another_length_is_refused_before_its_seal_is_tried(size: int) -> None:
    _, reader = pair()
    with pytest.raises(FormatError) as refusal:
        reader.open(bytes(size))
    assert str(refusal.value) == "A talk frame has a wrong length."
    for length in (24 + 128, 24 + MOST_PADDED_BYTES):
        with pytest.raises(FormatError, match="came twice, or too late"):
            reader.open(bytes(length))
        with pytest.raises(FormatError, match="does not open"):
            reader.open((2**48).to_bytes(8, "big") + bytes(length - 8))
        with pytest.raises(FormatError, match="came twice, or too late"):
            reader.open((2**48 + 1).to_bytes(8, "big") + bytes(length - 8))
