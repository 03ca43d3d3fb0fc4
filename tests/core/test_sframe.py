"""SFrame on the vectors of RFC 9605, by two readers that share no code; changed frames are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.opening.live_frames import FrameOpener
from agent.core.sframe import FrameKey, _packed, frame_header, read_frame_header
from agent.errors import DoorwardError, FormatError, OpenError
from tests.second_reader.json_once import RefusedError
from tests.second_reader.live import open_frame

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sframe" / "rfc9605.json").read_text(encoding="utf-8"))
(VECTOR,) = VECTORS["sframe"]
KEY = bytes.fromhex(VECTOR["base_key"])
METADATA, PLAINTEXT, CIPHERTEXT = (bytes.fromhex(VECTOR[name]) for name in ("metadata", "pt", "ct"))


def test_headers_are_those_of_the_rfc_both_ways() -> None:
    for row in VECTORS["header"]:
        encoded = bytes.fromhex(row["encoded"])
        assert frame_header(row["kid"], row["ctr"]) == encoded
        assert read_frame_header(encoded + b"rest") == (row["kid"], row["ctr"], len(encoded))


def test_the_frame_of_the_rfc_is_sealed_and_opened_by_two_readers() -> None:
    key = FrameKey(KEY, VECTOR["kid"])
    assert key.seal(VECTOR["ctr"], PLAINTEXT, METADATA) == CIPHERTEXT
    assert FrameOpener(KEY, VECTOR["kid"]).open(CIPHERTEXT, METADATA) == PLAINTEXT
    assert open_frame(KEY, VECTOR["kid"], CIPHERTEXT, METADATA) == PLAINTEXT


@pytest.mark.parametrize("frame", [b"", b"\x08", b"\x80", b"\x08\x07", b"\x09\x00\x09", b"\x0f" + bytes(8)])
def test_a_header_that_is_cut_or_spelt_in_another_way_is_refused_by_both_readers(frame: bytes) -> None:
    with pytest.raises(FormatError):
        read_frame_header(frame)
    with pytest.raises(RefusedError):
        open_frame(KEY, 0, frame)


@pytest.mark.parametrize("change", [lambda frame: frame[:-1], lambda frame: frame[:-1] + bytes([frame[-1] ^ 1])])
def test_a_changed_frame_is_refused_by_both_readers(change: Callable[[bytes], bytes]) -> None:
    changed = change(CIPHERTEXT)
    with pytest.raises(OpenError):
        FrameOpener(KEY, VECTOR["kid"]).open(changed, METADATA)
    with pytest.raises(RefusedError):
        open_frame(KEY, VECTOR["kid"], changed, METADATA)


def test_each_bit_of_a_frame_counts_and_another_key_opens_nothing() -> None:
    frame, key = FrameKey(KEY, 3).seal(9, b"picture"), FrameOpener(KEY, 3)
    for bit in range(8 * len(frame)):
        changed = (int.from_bytes(frame) ^ 1 << bit).to_bytes(len(frame))
        with pytest.raises(DoorwardError):
            key.open(changed)
    for other in (FrameOpener(KEY, 4), FrameOpener(bytes(32), 3)):
        with pytest.raises(OpenError):
            other.open(frame)


@pytest.mark.parametrize(
    ("number", "packed"), [(0, (0, b"")), (7, (7, b"")), (8, (8, b"\x08")), (255, (8, b"\xff")), (256, (9, b"\1\0"))]
)
def test_a_small_number_of_a_header_takes_no_byte(number: int, packed: tuple[int, bytes]) -> None:
    assert _packed(number) == packed
