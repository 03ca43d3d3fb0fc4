"""A live GOP as FORMAT.md describes it: pictures, sound and a box, read by two readers that share no code."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.owner.live_stream import LiveOpener
from agent.core.live import (
    PIECE_BYTES,
    LiveContext,
    LiveSound,
    join_part,
    live_plaintext,
    pieces_of,
    read_key,
    split_live,
    split_part,
)
from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import BootNs, ClockQuality
from agent.core.vault.age.sealing import seal_bytes
from agent.core.vault.fields import TimeSpan
from agent.errors import DoorwardError, FormatError
from agent.media.sound import live_sound
from agent.wire import strictjson
from tests.live_parts import key_file, part_of
from tests.second_reader import vault as second_reader
from tests.second_reader.json_once import RefusedError
from tests.second_reader.live import Parts

BOX = bytes.fromhex("9a1d4be7c05248f38f6e2d7714c3a05b")
PICTURES = b"\0\0\0\x0cmoofpics"
SPAN = TimeSpan(boot="0" * 32, start_us=5, end_us=9, utc_ms=7, quality=ClockQuality.SYNCED)
SAID: dict[str, Any] = {
    "device": "a" * 16,
    "span": {"boot": "0" * 32, "end_us": 9, "quality": "synced", "start_us": 5, "utc_ms": 7},
}


def sound() -> bytes:
    packets = [SoundPacket(b"one", BootNs(3_000)), SoundPacket(b"two", BootNs(64_003_000))]
    return live_sound(SoundDescription(16_000, b"\x14\x08", live=True), packets)


def plaintext(said: dict[str, Any], before: bytes = PICTURES, box: bytes = BOX) -> bytes:
    body = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
    return before + struct.pack(">I4s", 24 + len(body), b"uuid") + box + body


@pytest.mark.parametrize("continues", [False, True])
@pytest.mark.parametrize("heard", [b"", sound()])
def test_two_readers_find_the_same_pictures_sound_and_times(continues: bool, heard: bytes) -> None:
    about = LiveSound(len(heard), 3) if heard else None
    context = LiveContext(device="a" * 16, span=SPAN, continues=continues, sound=about)
    made = live_plaintext(PICTURES, context, heard)
    assert split_live(made) == (PICTURES, heard, context)
    pictures, found, said = second_reader.live(made)
    assert (pictures, found) == (PICTURES, heard)
    assert said.get("sound") == ({"size": len(heard), "start_us": 3} if heard else None)
    assert said.get("continues", False) is continues


@pytest.mark.parametrize(
    "made",
    [
        plaintext(SAID | {"sound": {"size": len(PICTURES) + 1, "start_us": 3}}),
        plaintext(SAID | {"sound": {"size": 0, "start_us": 3}}),
        plaintext(SAID | {"sound": {"size": 1, "start_us": -1}}),
        plaintext(SAID | {"sound": {"size": 1}}),
        plaintext(SAID | {"sound": {"size": 1, "start_us": 3, "rate": 1}}),
        plaintext(SAID | {"continues": 1}),
        plaintext(SAID, box=bytes.fromhex("6f0c3d1b8a5e4f7c9d24b1e7d3a8c951")),
        plaintext(SAID)[:-1],
        PICTURES,
    ],
)
def test_what_is_no_live_gop_is_refused_by_both_readers(made: bytes) -> None:
    with pytest.raises(FormatError):
        split_live(made)
    with pytest.raises(RefusedError):
        second_reader.live(made)


def test_all_of_a_part_may_be_sound_and_a_track_without_packets_is_its_header() -> None:
    heard = sound()
    made = plaintext(SAID | {"sound": {"size": len(heard), "start_us": 3}}, heard)
    assert split_live(made)[:2] == second_reader.live(made)[:2] == (b"", heard)
    empty = live_sound(SoundDescription(16_000, b"\x14\x08", live=True), [])
    assert heard.startswith(empty)
    assert b"moof" not in empty


IDENTITY = HybridIdentity(bytes(range(32)))
TO_OWNER = [IDENTITY.recipient()]


def test_two_readers_open_a_gop_part_by_part_with_the_key_that_its_beginning_brings() -> None:
    ours, theirs = LiveOpener([IDENTITY]), Parts(IDENTITY.secret_text())
    parts = [part_of(b"key", TO_OWNER), part_of(b"one", [], ctr=1), part_of(b"two", [], ctr=300)]
    assert [ours.open(each) for each in parts] == [theirs.open(each) for each in parts] == [b"key", b"one", b"two"]


def sealed_key(said: bytes) -> bytes:
    return join_part(seal_bytes(said, TO_OWNER, file_key=bytes(16), nonce=bytes(16)), b"frame")


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\1",
        b"\xff\xff\xff\xff" + bytes(90),
        part_of(b"a frame whose key is missing", []),
        part_of(b"x", TO_OWNER)[:-1],
        part_of(b"x", [HybridIdentity(bytes(32)).recipient()]),
        join_part(key_file(TO_OWNER, key=bytes(32)), part_of(b"x", [])[4:]),
        join_part(key_file(TO_OWNER, kid=2), part_of(b"x", [])[4:]),
        join_part(key_file(TO_OWNER, key=bytes(31)), part_of(b"x", [])[4:]),
        sealed_key(b'{"kid":1,"v":1}'),
        sealed_key(b'{"key":"AA","kid":1,"v":1}'),
        sealed_key(b'{"key":"AA==","kid":-1,"v":1}'),
        sealed_key(b'{"key":"AA==","kid":1,"v":2}'),
        sealed_key(b"{" + b" " * 2000 + b"}"),
    ],
)
def test_a_part_without_its_key_or_with_a_wrong_one_is_refused_by_both_readers(part: bytes) -> None:
    with pytest.raises(DoorwardError):
        LiveOpener([IDENTITY]).open(part)
    with pytest.raises(RefusedError):
        Parts(IDENTITY.secret_text()).open(part)


def test_a_reader_whose_key_was_replaced_opens_no_frame_of_the_key_before() -> None:
    ours = LiveOpener([IDENTITY])
    assert ours.open(part_of(b"x", TO_OWNER)) == b"x"
    with pytest.raises(DoorwardError):
        ours.open(join_part(key_file([HybridIdentity(bytes(32)).recipient()]), b"\x10"))
    with pytest.raises(DoorwardError):
        ours.open(part_of(b"y", [], ctr=1))


def test_a_part_is_its_key_and_its_frame_to_the_byte() -> None:
    assert join_part(b"key", b"frame") == b"\0\0\0\3keyframe"
    for part, pieces in (
        (bytes(4), (b"", b"")), (b"\0\0\0\0frame", (b"", b"frame")), (b"\0\0\0\3key", (b"key", b"")),
        (b"\0\0\0\3keyframe", (b"key", b"frame")),
    ):  # fmt: skip
        assert split_part(part) == pieces
    for part in (b"", bytes(3), b"\0\0\0\4key", b"\xff" * 4):
        with pytest.raises(FormatError) as refused:
            split_part(part)
        assert str(refused.value) == "A part of live view ends in its key."


def test_a_live_gop_of_more_than_an_hour_and_a_key_of_another_length_are_refused() -> None:
    def span(length_us: int) -> TimeSpan:
        return TimeSpan(boot="b" * 32, start_us=5, end_us=5 + length_us, utc_ms=0, quality=ClockQuality.HELD)

    assert LiveContext(device="0" * 16, span=span(3_600_000_000))
    with pytest.raises(FormatError):
        LiveContext(device="0" * 16, span=span(3_600_000_001))
    for size in (31, 32, 33):
        key = read_key(
            json.dumps({"v": 1, "kid": 0, "key": strictjson.encode_base64(bytes(size))}, sort_keys=True).encode()
        )
        if size == 32:
            assert key.base_key == bytes(32)
        else:
            with pytest.raises(FormatError, match="A media key has 32 bytes"):
                _ = key.base_key


def test_a_sealed_gop_goes_from_role_to_role_in_pieces_that_make_it_again() -> None:
    data = bytes(range(256)) * (2 * PIECE_BYTES // 256) + b"end"
    pieces = pieces_of(data)
    assert [len(piece) for piece in pieces] == [PIECE_BYTES, PIECE_BYTES, 3]
    assert b"".join(pieces) == data
    assert pieces_of(data[:PIECE_BYTES]) == (data[:PIECE_BYTES],)
    assert pieces_of(b"") == ()
