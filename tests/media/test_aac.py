"""Which AAC may be kept as it comes."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from agent.core.timebase import NS_PER_S, BootNs
from agent.media.aac import lc_config
from agent.media.sound import sound_mp4
from agent.recorder.capture.sound_encoding import SoundEncoder, SoundPassthrough


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ("1408", (16_000, 1, 1024)),
        ("1590", (8_000, 2, 1024)),
        ("1194", (48_000, 2, 960)),
        ("140856e500", (16_000, 1, 1024)),  # and a note that nothing is extended
        ("1408" + "00" * 62, (16_000, 1, 1024)),  # as long as a configuration may be
    ],
)
def test_plain_aac_is_read(config: str, found: tuple[int, int, int]) -> None:
    read = lc_config(bytes.fromhex(config))
    assert read is not None
    assert (read.rate_hz, read.channels, read.frame_samples) == found
    assert read.data == bytes.fromhex(config)


@pytest.mark.parametrize(
    "config",
    [
        "",  # ADTS says it in each packet
        "14",
        "2b8a0800",  # HE-AAC
        "0c08",  # AAC Main
        "1400",  # channels told elsewhere
        "1430",  # six channels
        "1780",  # a rate told elsewhere
        "14" * 65,
    ],
)
def test_everything_else_is_left_to_a_decoder(config: str) -> None:
    assert lc_config(bytes.fromhex(config)) is None


def test_our_own_is_plain() -> None:
    read = lc_config(SoundEncoder(40).describe(live=True).config)
    assert read is not None
    assert (read.rate_hz, read.channels, read.frame_samples) == (24_000, 1, 1024)


def test_two_channels_stay_two_in_a_segment_s_sound() -> None:
    encoder = av.AudioCodecContext.create("aac", "w")
    encoder.sample_rate, encoder.format, encoder.layout = 16_000, "fltp", "stereo"
    encoder.open()
    block = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
    block.sample_rate = 16_000
    packets = [packet for _ in range(5) for packet in encoder.encode(block)]
    config = lc_config(bytes(encoder.extradata or b""))
    assert config is not None
    copy, came = SoundPassthrough(config), list[int]()
    taken = [
        one
        for packet in packets
        for one in copy.take(packet, came.append, lambda sample: BootNs(sample * NS_PER_S // 16_000))
    ]
    assert came == [1024] * len(packets)
    assert [one.data for one in taken] == [bytes(packet) for packet in packets]
    track = sound_mp4(copy.describe(live=True), taken, 0, NS_PER_S)
    assert track is not None
    with av.open(io.BytesIO(track)) as container:
        context = container.streams.audio[0].codec_context
        assert (context.sample_rate, context.channels) == (16_000, 2)
        assert sum(frame.samples for frame in container.decode(audio=0)) == len(packets) * 1024
