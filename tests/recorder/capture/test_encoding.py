"""Masks, sizes and the encoder's promises."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.motion.zones import Zone, ZoneMap
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.media.poster import poster
from agent.recorder.capture.delivery import EncodingSettings, H264Encoder, Pipeline, describe, luma_size
from agent.wire.fields import ZoneKind
from tests.cameras import FIRST_NS, Receiver, gops_of

LEFT_HALF = ZoneMap((Zone("window", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)), ZoneKind.PRIVACY),))


def noise(seed: int, width_px: int = 320, height_px: int = 240) -> av.VideoFrame:
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    return av.VideoFrame.from_ndarray(pixels, format="bgr24")


def fed(settings: EncodingSettings, pictures: int = 10, step_ms: int = 100) -> Receiver:
    receiver = Receiver()
    pipeline = Pipeline(describe(320, 240, 1000 / step_ms, widest_px=1280, live=False), settings, receiver)
    for number in range(pictures):
        pipeline.feed(noise(number), BootNs(FIRST_NS + number * step_ms * NS_PER_MS))
    pipeline.flush()
    return receiver


@pytest.mark.parametrize(
    ("source", "luma"),
    [
        ((768, 576), (320, 240)),
        ((1280, 720), (320, 176)),
        ((1920, 1080), (320, 176)),
        ((640, 480), (320, 240)),
        ((720, 1280), (320, 576)),
        ((176, 144), (176, 144)),
        ((8, 8), (16, 16)),
    ],
)
def test_the_small_stream_of_known_sources(source: tuple[int, int], luma: tuple[int, int]) -> None:
    assert luma_size(*source) == luma


@given(st.integers(160, 4000), st.integers(120, 4000))
def test_the_small_stream_is_in_steps_of_16_and_keeps_its_aspect(width_px: int, height_px: int) -> None:
    width, height = luma_size(width_px, height_px)
    assert (width % 16, height % 16) == (0, 0)
    assert width <= 320
    assert abs(height - width * height_px / width_px) <= 16


@given(st.integers(2, 4000), st.integers(2, 4000), st.integers(64, 2000))
def test_every_source_becomes_something_that_can_be_encoded(width_px: int, height_px: int, widest_px: int) -> None:
    description = describe(width_px, height_px, 10, widest_px=widest_px, live=True)
    assert (description.width_px % 2, description.height_px % 2) == (0, 0)
    assert 2 <= description.width_px <= widest_px + 1
    assert description.height_px >= 2


def test_a_mask_is_black_in_the_small_stream_and_in_the_recording() -> None:
    receiver = fed(EncodingSettings(zones=LEFT_HALF, quality=15))
    for luma in receiver.luma_kept:
        assert (luma[:, :160] == 16).all()
        assert luma[:, 160:].std() > 20
    for each in gops_of(receiver):
        for packet in each.packets:
            image = cv2.imdecode(np.frombuffer(poster([each], packet.sensor_ns), np.uint8), cv2.IMREAD_COLOR)
            assert image[:, :150].max() < 16
            assert image[:, 170:].std() > 20


def test_the_coloured_picture_has_its_colours_and_its_masks() -> None:
    red = av.VideoFrame.from_ndarray(np.full((480, 1280, 3), (0, 0, 255), np.uint8), format="bgr24")
    receiver = Receiver()
    description = describe(1280, 480, 10, widest_px=1280, live=False)
    Pipeline(description, EncodingSettings(zones=LEFT_HALF), receiver).feed(red, FIRST_NS)
    [picture] = receiver.pictures
    assert picture.shape == (240, 640, 3)
    assert np.abs(picture[:, 330:].astype(int) - (255, 0, 0)).max() < 8
    assert picture[:, :310].max() < 8


def test_a_mask_does_not_reach_into_the_decoders_own_picture() -> None:
    picture = noise(1).reformat(format="yuv420p")
    before = picture.to_ndarray().copy()
    description = describe(320, 240, 10, widest_px=1280, live=False)
    Pipeline(description, EncodingSettings(zones=LEFT_HALF), Receiver()).feed(picture, FIRST_NS)
    assert np.array_equal(picture.to_ndarray(), before)


def test_keyframes_follow_the_sensors_time_and_not_the_frame_count() -> None:
    slow = fed(EncodingSettings(), pictures=8, step_ms=500)
    fast = fed(EncodingSettings(), pictures=50, step_ms=50)
    assert [number for number, packet in enumerate(slow.packets) if packet.keyframe] == [0, 2, 4, 6]
    assert [number for number, packet in enumerate(fast.packets) if packet.keyframe] == [0, 20, 40]


def test_a_picture_comes_out_as_soon_as_it_went_in() -> None:
    encoder = H264Encoder(describe(320, 240, 15, widest_px=1280, live=True), EncodingSettings())
    for number in range(20):
        [packet] = encoder.encode(noise(number).reformat(format="yuv420p"), BootNs(number))
        assert packet.sensor_ns == number
    assert encoder.flush() == []


def test_noise_stays_below_the_ceiling() -> None:
    receiver = fed(EncodingSettings(ceiling_kbps=500), pictures=60)
    per_s = [sum(len(packet.data) for packet in receiver.packets[begin : begin + 10]) for begin in range(10, 60, 10)]
    assert max(per_s) * 8 < 2 * 500_000


@pytest.mark.parametrize("rate", [0.2, 1, 14.999925, 29.97, 240])
def test_any_frame_rate_can_be_encoded(rate: float) -> None:
    encoder = H264Encoder(describe(64, 64, rate, widest_px=1280, live=True), EncodingSettings())
    step_ns = round(NS_PER_S / Fraction(rate))
    packets = [
        packet
        for number in range(5)
        for packet in encoder.encode(noise(number, 64, 64).reformat(format="yuv420p"), BootNs(number * step_ns))
    ]
    assert len(packets + encoder.flush()) == 5
