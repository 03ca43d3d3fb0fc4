"""The segment's media: plays alone, true to the sensor, complete after every GOP."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.errors import FormatError, InternalError
from agent.media.annexb import ParameterSets, nal_units, sample
from agent.media.fmp4 import TICKS_PER_S, FragmentedMp4Writer, whole_fragments
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from tests.cameras import FIRST_NS, gops_of, make_video, play
from tests.lengths import LONG

Played = tuple[StreamDescription, list[Gop]]


@pytest.fixture(scope="module")
def played() -> Played:
    """Four seconds of the drawn porch."""
    description, receiver = play(ScriptedCamera([Visit(0.5)], duration_s=4, size_px=(320, 180)))
    return description, gops_of(receiver)


def written(description: StreamDescription, gops: list[Gop]) -> list[bytes]:
    writer = FragmentedMp4Writer(description)
    return [writer.begin(gops[0]), *(writer.add(each) for each in gops[1:]), writer.finish()]


def boxes(data: bytes) -> list[bytes]:
    """The kinds of the top-level boxes; fails unless they fill the data exactly."""
    kinds, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert size >= 8
        kinds.append(kind)
        at += size
    assert at == len(data)
    return kinds


def pictures(media: bytes) -> list[tuple[float, bytes]]:
    """(seconds, hash of the decoded pixels) of every frame."""
    with av.open(BytesIO(media)) as container:
        return [
            (float(picture.pts * picture.time_base), hashlib.sha256(picture.to_ndarray().tobytes()).digest())
            for picture in container.decode(video=0)
        ]


def decoded(gops: list[Gop]) -> list[bytes]:
    """Decodes the encoder's own packets with a plain H.264 decoder."""
    decoder = av.CodecContext.create("h264", "r")
    frames = [picture for each in gops for packet in each.packets for picture in decoder.decode(av.Packet(packet.data))]
    frames += decoder.decode(None)
    return [hashlib.sha256(picture.to_ndarray().tobytes()).digest() for picture in frames]


def test_every_call_returns_whole_boxes_one_fragment_a_gop(played: Played) -> None:
    parts = written(*played)
    assert boxes(parts[0]) == [b"ftyp", b"moov", b"moof", b"mdat"]
    assert all(boxes(part) == [b"moof", b"mdat"] for part in parts[1:-1])
    assert parts[-1] == b""


def test_decoded_frames_are_the_encoders_own_bit_for_bit(played: Played) -> None:
    description, gops = played
    assert [pixels for _, pixels in pictures(b"".join(written(description, gops)))] == decoded(gops)


def test_a_segment_from_the_middle_starts_at_zero_and_keeps_the_sensors_times(played: Played) -> None:
    description, gops = played
    media = b"".join(written(description, gops[1:3]))
    sensor = [packet.sensor_ns - gops[1].start_ns for each in gops[1:3] for packet in each.packets]
    shown = [at_s for at_s, _ in pictures(media)]
    assert shown[0] == 0
    assert np.allclose(shown, np.array(sensor) / NS_PER_S, atol=1e-5)


def test_an_uneven_frame_rate_stays_true_to_a_tenth_of_a_millisecond(tmp_path: Path) -> None:
    uneven = make_video(tmp_path / "uneven.mkv", frames=30, times_ms=lambda n: n * 67 + (n * n) % 41)
    description, receiver = play(FileCamera(uneven))
    media = b"".join(written(description, gops_of(receiver)))
    for number, (at_s, _) in enumerate(pictures(media)):
        assert abs(at_s * 1000 - (number * 67 + (number * number) % 41)) < 0.1


def test_a_trailing_uuid_box_disturbs_no_player(played: Played) -> None:
    description, gops = played
    media = b"".join(written(description, gops))
    record = b'{"v":1,"device":"00"}' * 20
    with_record = media + struct.pack(">I4s16s", 24 + len(record), b"uuid", bytes(range(16))) + record
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as complaints:
            assert pictures(with_record) == pictures(media)
    finally:
        av.logging.set_level(None)
    assert complaints == []


def test_a_prefix_of_the_calls_plays_to_its_end(played: Played) -> None:
    parts = written(*played)
    assert pictures(b"".join(parts[:2])) == pictures(b"".join(parts))[:20]


def test_a_cut_inside_a_fragment_costs_that_fragment_only(played: Played) -> None:
    parts = written(*played)
    for part_kept in (9, 150, len(parts[2]) * 2 // 3, len(parts[2]) - 1):
        torn = b"".join(parts[:2]) + parts[2][:part_kept]
        assert whole_fragments(torn) == b"".join(parts[:2])


def test_whole_fragments_leaves_the_context_record_out(played: Played) -> None:
    media = b"".join(written(*played))
    assert whole_fragments(media + struct.pack(">I4s16s", 24, b"uuid", bytes(16))) == media


@pytest.mark.parametrize("rubbish", [b"", b"abc", bytes(40), b"\0\0\0\x10ftypiso6\0\0\0\0"])
def test_a_segment_cut_off_in_its_first_second_is_a_format_error(rubbish: bytes) -> None:
    with pytest.raises(FormatError, match="first second"):
        whole_fragments(rubbish)


def test_the_same_gops_give_the_same_bytes(played: Played) -> None:
    assert written(*played) == written(*played)


def test_a_last_frame_lasts_until_its_gop_ends(played: Played) -> None:
    description, gops = played
    paused = Gop(gops[0].packets, BootNs(gops[0].packets[-1].sensor_ns + 3 * NS_PER_S))
    fragment = written(description, [paused])[0]
    run = fragment.index(b"trun") + 4
    _, count, _ = struct.unpack_from(">IIi", fragment, run)
    lasts = [struct.unpack_from(">III", fragment, run + 12 + 12 * number)[0] for number in range(count)]
    assert lasts == [TICKS_PER_S // 10] * (count - 1) + [3 * TICKS_PER_S]


def test_a_keyframe_without_parameter_sets_is_refused_with_the_remedy(played: Played) -> None:
    description, gops = played
    bare = EncodedPacket(b"\0\0\0\1\x65abc", True, FIRST_NS)
    with pytest.raises(FormatError, match="repeat SPS and PPS"):
        FragmentedMp4Writer(description).begin(Gop((bare,), gops[0].end_ns))


def test_a_changed_picture_format_is_refused(played: Played) -> None:
    description, gops = played
    _, other = play(ScriptedCamera([], duration_s=1, size_px=(160, 96)))
    later = gops_of(other)[0].packets[0]
    writer = FragmentedMp4Writer(description)
    writer.begin(gops[0])
    moved = EncodedPacket(later.data, True, gops[0].end_ns)
    with pytest.raises(FormatError, match="changed its picture format"):
        writer.add(Gop((moved,), BootNs(gops[0].end_ns + NS_PER_MS)))


def test_misuse_of_the_writer_is_our_own_fault(played: Played) -> None:
    description, gops = played
    writer = FragmentedMp4Writer(description)
    with pytest.raises(InternalError):
        writer.add(gops[0])
    with pytest.raises(InternalError):
        writer.finish()
    writer.begin(gops[1])
    with pytest.raises(InternalError):
        writer.begin(gops[2])
    with pytest.raises(InternalError):
        writer.add(gops[0])


@LONG
@pytest.mark.footage
def test_real_footage_goes_through_unchanged(footage: Path) -> None:
    description, receiver = play(FileCamera(footage))
    gops = gops_of(receiver)
    assert len(receiver.packets) == 795
    media = b"".join(written(description, gops[20:26]))
    assert [pixels for _, pixels in pictures(media)] == decoded(gops[20:26])


unit = st.binary(min_size=1, max_size=60).filter(lambda data: data[-1] != 0 and b"\0\0\1" not in b"\0\0" + data)


@given(units=st.lists(unit, max_size=6), codes=st.lists(st.sampled_from([b"\0\0\1", b"\0\0\0\1"]), min_size=6))
def test_annex_b_splits_into_exactly_its_units(units: list[bytes], codes: list[bytes]) -> None:
    stream = b"".join(code + each for code, each in zip(codes, units, strict=False))
    assert list(nal_units(stream)) == units


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_the_splitter_fail(data: bytes) -> None:
    total = sum(len(each) for each in nal_units(data))
    assert total <= len(data)
    assert len(sample(data)) <= total + 4 * (len(data) // 4 + 1)
    with contextlib.suppress(FormatError):
        ParameterSets.of(data)
