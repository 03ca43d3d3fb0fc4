"""A live GOP as FORMAT.md describes it: pictures, sound and a box, read by two readers that share no code."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from agent.core.live import LiveContext, LiveSound, live_plaintext, split_live
from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import BootNs, ClockQuality
from agent.core.vault.spans import TimeSpan
from agent.errors import FormatError
from agent.media.sound import live_sound
from tests.second_reader import vault as second_reader
from tests.second_reader.json_once import RefusedError

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
