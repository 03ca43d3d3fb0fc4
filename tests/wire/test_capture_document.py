"""The holder of the capture key knows what it signs by its first bytes."""

from __future__ import annotations

import pytest

from agent.wire.capture_document import LARGEST_SEI_BYTES, MEDIA_SIGNING_UUID, is_document, payload_size


@pytest.mark.parametrize("header", [b"\x06", b"\x4e\x01"])
@pytest.mark.parametrize("size", [b"\x40", b"\xff\x10", b"\xff\xff\x00"])
def test_a_message_of_either_codec_and_of_any_length_is_a_document(header: bytes, size: bytes) -> None:
    assert is_document(header + b"\x05" + size + MEDIA_SIGNING_UUID + b"rest")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        MEDIA_SIGNING_UUID,
        b"\x06\x05",
        b"\x06\x05\xff\xff",
        b"\x06\x04\x40" + MEDIA_SIGNING_UUID,
        b"\x65\x05\x40" + MEDIA_SIGNING_UUID,
        b"\x06\x05\x40" + MEDIA_SIGNING_UUID[:-1] + b"\x00",
        b"\x06\x05\x40" + MEDIA_SIGNING_UUID + bytes(LARGEST_SEI_BYTES),
    ],
)
def test_anything_else_is_not_signed(data: bytes) -> None:
    assert not is_document(data)


def test_a_size_is_read_from_its_bytes_and_never_without_end() -> None:
    assert payload_size(b"\xff\xff\x03rest", 0) == (513, 3)
    assert payload_size(b"\xff", 0) == (255, 2)
    endless = b"\xff" * (LARGEST_SEI_BYTES // 100)
    assert payload_size(endless, 0)[0] <= LARGEST_SEI_BYTES + 2 * 255
