"""Stills, call by call: which picture, how large, how good. Other tests decode real ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from agent.core.media import EncodedPacket, Gop, VideoCodec
from agent.core.timebase import BootNs
from agent.errors import FormatError, InternalError
from agent.media import poster as module
from agent.media.poster import poster, preview


class Picture:
    """A picture of a decoder. It notes how it is made smaller."""

    def __init__(self, width: int = 1280, height: int = 720, pts: int = 0) -> None:
        self.width, self.height, self.pts = width, height, pts
        self.asked: list[tuple[object, ...]] = []

    def reformat(self, *size: Any, **how: str) -> Any:
        self.asked.append((*size, how))
        pixels = np.full((size[1], size[0], 3), self.pts * 20, np.uint8)
        return SimpleNamespace(to_ndarray=lambda: pixels)


@pytest.mark.parametrize(
    ("size", "widest_px", "made"),
    [
        ((1280, 720), 640, (640, 360)),
        ((320, 180), 640, (320, 180)),
        ((640, 359), 640, (640, 359)),
        ((1000, 333), 640, (640, 213)),
        ((641, 361), 640, (640, 360)),
    ],
)
def test_a_still_is_at_most_as_wide_as_asked_and_keeps_its_shape(
    size: tuple[int, int], widest_px: int, made: tuple[int, int]
) -> None:
    picture: Any = Picture(*size)
    image = module._jpeg(picture, widest_px)
    assert picture.asked == [(*made, "bgr24", {"interpolation": "AREA"})]
    assert image[:3] == b"\xff\xd8\xff"
    assert cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR).shape == (made[1], made[0], 3)


def test_a_still_has_its_quality_and_one_that_cannot_be_encoded_is_our_own_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[object, ...]] = []

    def encode(kind: str, pixels: Any, options: list[int]) -> tuple[bool, Any]:
        asked.append((kind, pixels.shape, options))
        return len(asked) == 1, np.frombuffer(b"jpeg", np.uint8)

    monkeypatch.setattr(cv2, "imencode", encode)
    picture: Any = Picture()
    assert module._jpeg(picture, 640) == b"jpeg"
    assert asked == [(".jpg", (360, 640, 3), [cv2.IMWRITE_JPEG_QUALITY, 82])]
    with pytest.raises(InternalError):
        module._jpeg(picture, 640)


def gop(*times_ns: int) -> Gop:
    packets = tuple(EncodedPacket(b"%d" % at, not number, BootNs(at)) for number, at in enumerate(times_ns))
    return Gop(packets, BootNs(max(times_ns) + 100))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """The packets of each decoder. It gives the pictures two by two in the wrong order, as with B-frames."""
    given: list[list[bytes]] = []

    def decode(packets: Any, codec: VideoCodec) -> Any:
        assert codec is VideoCodec.HEVC
        given.append([packet.data for packet in packets])
        order = [number ^ 1 for number in range(len(packets) + 1)]
        return (Picture(pts=number) for number in order if number < len(packets))

    monkeypatch.setattr(module, "_decoded", decode)
    monkeypatch.setattr(module, "_jpeg", lambda picture, widest_px: (picture.pts, widest_px))
    return given


def test_the_picture_nearest_to_a_moment_is_taken_and_no_packet_behind_it_decoded(
    decoded: list[list[bytes]],
) -> None:
    parts = [gop(100, 200, 300), gop(400, 500)]
    assert poster(parts, codec=VideoCodec.HEVC) == (0, 640)
    assert poster(parts, 349, codec=VideoCodec.HEVC, widest_px=320) == (2, 320)
    assert poster(parts, 351, codec=VideoCodec.HEVC) == (3, 640)
    assert poster(parts, 9999, codec=VideoCodec.HEVC, most_pictures=5) == (4, 640)
    assert poster(parts, 9999, codec=VideoCodec.HEVC, most_pictures=4) == (0, 640)
    assert [len(packets) for packets in decoded] == [1, 3, 4, 5, 1]


def test_without_a_picture_there_is_no_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_decoded", lambda _packets, _codec: iter(()))
    for make in (
        lambda: poster([gop(100)]),
        lambda: preview([gop(100)], codec=VideoCodec.H264, most_bytes=9999),
    ):
        with pytest.raises(FormatError) as refused:
            make()
        assert str(refused.value) == "No picture of this footage decodes."


def test_a_preview_is_as_wide_and_then_as_good_as_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Picture(1280, 720)
    monkeypatch.setattr(module, "_decoded", lambda packets, _codec: iter([picture] if len(packets) == 1 else []))
    tried: list[tuple[str, int, int, int]] = []

    def encode(kind: str, pixels: Any, options: list[int]) -> tuple[bool, Any]:
        (height, width, _), (option, quality) = pixels.shape, options
        assert option == cv2.IMWRITE_WEBP_QUALITY
        tried.append((kind, width, height, quality))
        return quality != 60, np.zeros(width + quality, np.uint8)

    monkeypatch.setattr(cv2, "imencode", encode)

    def made(most_bytes: int) -> int:
        return len(preview([gop(100, 200), gop(300)], codec=VideoCodec.H264, most_bytes=most_bytes))

    assert (made(200), made(199), made(170)) == (200, 190, 170)
    assert (made(169), made(138), made(106)) == (168, 138, 106)
    assert tried[:2] == [(".webp", 160, 90, 60), (".webp", 160, 90, 40)]
    assert {(width, height) for _, width, height, _ in tried} == {(160, 90), (128, 72), (96, 54)}
    with pytest.raises(FormatError) as refused:
        made(105)
    assert str(refused.value) == "No picture of this footage fits into 105 bytes."
