"""Network cameras' streams go into segments unchanged: H.264 and H.265, with B-frames, in GOPs of any length."""

from __future__ import annotations

import hashlib
import itertools
import struct
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from agent.clients.media.join import join_mp4, probe
from agent.core.media import EncodedPacket, Gop, StreamDescription, VideoCodec
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_S
from agent.errors import FormatError
from agent.media.annexb import ParameterSets
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.poster import poster
from tests.cameras import FIRST_NS, assembled, filmed_by_camera

FRAME_NS = NS_PER_S // 15
CODECS = [VideoCodec.H264, VideoCodec.HEVC]
Filmed = tuple[StreamDescription, list[EncodedPacket]]


def pixels_of(picture: av.VideoFrame) -> str:
    return hashlib.sha256(picture.to_ndarray(format="yuv420p").tobytes()).hexdigest()


def decoded(packets: list[EncodedPacket], codec: VideoCodec) -> list[str]:
    """Decodes the camera's own packets with a plain decoder, in the order of showing."""
    decoder = av.CodecContext.create(codec.value, "r")
    frames = [picture for packet in packets for picture in decoder.decode(av.Packet(packet.data))]
    return [pixels_of(picture) for picture in (*frames, *decoder.decode(None))]


def media_of(description: StreamDescription, gops: list[Gop]) -> bytes:
    writer = FragmentedMp4Writer(description)
    return b"".join([writer.begin(gops[0]), *(writer.add(each) for each in gops[1:]), writer.finish()])


def shown(media: bytes | Path) -> list[tuple[float, str]]:
    with av.open(BytesIO(media) if isinstance(media, bytes) else str(media)) as container:
        return [(float(picture.time or 0), pixels_of(picture)) for picture in container.decode(video=0)]


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("codec", CODECS)
def test_a_camera_s_pictures_stay_as_they_are_each_at_its_own_time(codec: VideoCodec, b_frames: int) -> None:
    description, packets = filmed_by_camera(codec, b_frames=b_frames)
    in_order = [packet.sensor_ns for packet in packets]
    assert (in_order != sorted(in_order)) == (b_frames > 0)
    gops = assembled(packets, GopAssembler(FRAME_NS))
    assert [len(gop.packets) for gop in gops] == [15, 15, 15]
    pictures = shown(media_of(description, gops))
    assert [pixels for _, pixels in pictures] == decoded(packets, codec)
    assert np.allclose([at_s for at_s, _ in pictures], np.arange(45) / 15, atol=2e-5)


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("codec", CODECS)
def test_a_long_gop_is_written_part_by_part_and_is_the_same_film(codec: VideoCodec, b_frames: int) -> None:
    description, packets = filmed_by_camera(codec, frames=150, gop=150, b_frames=b_frames)
    parts = assembled(packets, GopAssembler(FRAME_NS))
    assert len(parts) >= 4, "ten seconds, in parts of two"
    assert [part.begins for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [part.ends for part in parts] == [False] * (len(parts) - 1) + [True]
    assert all(part.end_ns == after.start_ns for part, after in itertools.pairwise(parts))
    assert [packet for part in parts for packet in part.packets] == packets
    pictures = shown(media_of(description, parts))
    assert [pixels for _, pixels in pictures] == decoded(packets, codec)
    assert np.allclose([at_s for at_s, _ in pictures], np.arange(150) / 15, atol=2e-5)


@pytest.mark.parametrize("codec", CODECS)
def test_segments_with_b_frames_are_joined_bit_for_bit(codec: VideoCodec, tmp_path: Path) -> None:
    description, packets = filmed_by_camera(codec, frames=90, b_frames=3)
    gops = assembled(packets, GopAssembler(FRAME_NS))
    segments = [media_of(description, gops[:2]), media_of(description, gops[2:])]
    starts_ns = [0, 2 * NS_PER_S + NS_PER_S]
    for starts, late_s in ((None, 0.0), (starts_ns, 1.0)):
        footage = join_mp4(segments, tmp_path / "joined.mp4", starts_ns=starts)
        assert (footage.frames, round(footage.seconds, 2)) == (90, 6.0 + late_s)
        pictures = shown(tmp_path / "joined.mp4")
        assert [pixels for _, pixels in pictures] == decoded(packets, codec)
        at_s = np.arange(90) / 15 + np.where(np.arange(90) >= 30, late_s, 0)
        assert np.allclose([at for at, _ in pictures], at_s, atol=5e-5)
    with av.open(str(tmp_path / "joined.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == {"h264": "avc1", "hevc": "hvc1"}[codec.value]
    assert probe(segments[0]).seconds == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize("codec", CODECS)
def test_a_still_is_of_its_moment_though_b_frames_stand_elsewhere(codec: VideoCodec) -> None:
    _, packets = filmed_by_camera(codec, b_frames=3)
    (gop, *_) = assembled(packets, GopAssembler(FRAME_NS))
    stills = [poster([gop], FIRST_NS + number * FRAME_NS, codec=codec) for number in range(8)]
    assert len(set(stills)) == 8, "each of another picture"
    assert stills[0] == poster([gop], codec=codec)
    assert poster([gop], FIRST_NS + 7 * FRAME_NS, codec=codec, most_pictures=5) == stills[0], "too far to look for"


@pytest.mark.parametrize("codec", CODECS)
def test_pictures_that_lean_on_the_gop_before_are_left_out(codec: VideoCodec) -> None:
    """The recipient of one GOP must not get pictures from before it."""
    description, packets = filmed_by_camera(codec, b_frames=3, open_gops=True)
    assembler = GopAssembler(FRAME_NS)
    gops = assembled(packets, assembler)
    assert assembler.skipped > 0
    for gop in gops:
        assert all(packet.sensor_ns >= gop.start_ns for packet in gop.packets)
        assert len(shown(media_of(description, [gop]))) == len(gop.packets)


def test_the_header_of_hevc_says_what_ffmpeg_s_says() -> None:
    description, packets = filmed_by_camera(VideoCodec.HEVC)
    media = media_of(description, assembled(packets, GopAssembler(FRAME_NS)))
    ours = media[media.index(b"hvcC") + 4 :][:23]
    sink = BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("libx265", rate=15)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.options = {"x265-params": "log-level=none:bframes=0", "preset": "ultrafast"}
        for number in range(3):
            picture = av.VideoFrame(320, 180, "yuv420p")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    theirs = sink.getvalue()[sink.getvalue().index(b"hvcC") + 4 :][:23]
    what_is_said_of_frame_rate_and_slicing = {13, 14, 15, 19, 20, 21}
    different = {at for at in range(22) if ours[at] != theirs[at]}
    assert different <= what_is_said_of_frame_rate_and_slicing
    assert ours[21] & 3 == 3, "lengths of four bytes"


@pytest.mark.parametrize("cut", [0, 3, 8, 14])
def test_hevc_parameters_that_make_no_sense_are_refused_with_what_to_set(cut: int) -> None:
    _, packets = filmed_by_camera(VideoCodec.HEVC, frames=1)
    (video, sequence, picture) = (units[0] for units in ParameterSets.of(packets[0].data, VideoCodec.HEVC).units)
    torn = b"".join(b"\0\0\0\1" + unit for unit in (video, sequence[: 2 + cut].ljust(4, b"\1"), picture))
    with pytest.raises(FormatError, match=r"parameters"):
        ParameterSets.of(torn, VideoCodec.HEVC).record()


def test_without_b_frames_nothing_is_said_of_the_order() -> None:
    description, packets = filmed_by_camera()
    media = media_of(description, assembled(packets, GopAssembler(FRAME_NS)))
    assert struct.unpack_from(">I", media, media.index(b"trun") + 4) == (0x0701,)
