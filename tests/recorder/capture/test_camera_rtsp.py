"""A network camera, taken over as it comes: from a real RTSP server, and from files where the truth must be known."""

from __future__ import annotations

import queue
import random
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from agent.core.media import EncodedPacket, LumaFrame, VideoCodec
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError, DeviceError
from agent.media.fmp4 import FragmentedMp4Writer
from agent.ports import CameraEnd
from agent.recorder.capture import camera_rtsp
from agent.recorder.capture.camera_rtsp import RtspCamera
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from tests.cameras import FIRST_NS, Receiver, gops_of, make_video, play
from tests.recorder.capture.rtsp import serving


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[EncodedPacket]]:
    """A file with length-prefixed H.264, as a network camera's container has it, and the packets in it."""
    camera = ScriptedCamera([Visit(0.5)], duration_s=4, size_px=(320, 240))
    description, receiver = play(camera)
    writer = FragmentedMp4Writer(description)
    first, *rest = gops_of(receiver)
    path = tmp_path_factory.mktemp("filmed") / "a.mp4"
    path.write_bytes(b"".join([writer.begin(first), *(writer.add(gop) for gop in rest), writer.finish()]))
    return path, receiver.packets


def nals(data: bytes) -> list[bytes]:
    return [nal for nal in re.split(rb"\x00?\x00\x00\x01", data) if nal]


def slices(data: bytes) -> list[bytes]:
    """Returns the picture in it: NAL types 1 and 5."""
    return [nal for nal in nals(data) if nal[0] & 31 in (1, 5)]


def test_gops_are_taken_over_without_encoding_them_anew(filmed: tuple[Path, list[EncodedPacket]]) -> None:
    path, packets = filmed
    description, receiver = play(RtspCamera(str(path), live=False))
    assert (description.width_px, description.height_px) == (320, 240)
    assert [slices(packet.data) for packet in receiver.packets] == [slices(packet.data) for packet in packets]
    assert [packet.keyframe for packet in receiver.packets] == [packet.keyframe for packet in packets]
    for packet in receiver.packets:
        assert packet.data.startswith((b"\0\0\0\1", b"\0\0\1"))
        assert (b"\0\0\1\x67" in packet.data and b"\0\0\1\x68" in packet.data) == packet.keyframe


def test_times_are_the_cameras_own_to_a_millisecond(filmed: tuple[Path, list[EncodedPacket]]) -> None:
    path, packets = filmed
    _, receiver = play(RtspCamera(str(path), live=False))
    given = [packet.sensor_ns - FIRST_NS for packet in receiver.packets]
    truth = [packet.sensor_ns - packets[0].sensor_ns for packet in packets]
    assert max(abs(a - b) for a, b in zip(given, truth, strict=True)) <= 1_000_000


def test_without_a_small_stream_the_keyframes_are_looked_at(filmed: tuple[Path, list[EncodedPacket]]) -> None:
    path, packets = filmed
    description, receiver = play(RtspCamera(str(path), live=False))
    assert receiver.luma_ns == [packet.sensor_ns for packet in receiver.packets if packet.keyframe]
    assert {luma.shape for luma in receiver.luma_kept} == {(description.luma_height_px, description.luma_width_px)}
    assert description.luma_frames_per_s == 1.0
    del packets


def test_what_a_cut_connection_leaves_of_a_picture_is_no_picture(
    filmed: tuple[Path, list[EncodedPacket]], tmp_path: Path
) -> None:
    path, packets = filmed
    with av.open(str(path)) as whole, av.open(str(tmp_path / "cut.mkv"), "w") as cut:
        stream = cut.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.pts is not None:
                end, packet.stream = packet.pts + packet.duration, stream
                time_base = packet.time_base
                cut.mux(packet)
        torn = av.Packet(b"\0\0\0\2\x09\xf0")  # an access unit's delimiter, and nothing behind it
        torn.stream, torn.pts, torn.dts, torn.time_base = stream, end, end, time_base
        cut.mux(torn)
    with av.open(str(tmp_path / "cut.mkv")) as cut:
        assert sum(packet.pts is not None for packet in cut.demux(video=0)) == len(packets) + 1
    _, receiver = play(RtspCamera(str(tmp_path / "cut.mkv"), live=False))
    assert [slices(packet.data) for packet in receiver.packets] == [slices(packet.data) for packet in packets]


def test_streams_that_a_segment_cannot_hold_are_refused_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"sends mpeg4.*H\.264"):
        RtspCamera(str(make_video(tmp_path / "a.avi")), live=False).open()


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_h265_and_b_frames_are_taken_over_as_they_come_each_picture_at_its_own_time(
    codec: str, b_frames: int, name: str, tmp_path: Path
) -> None:
    path = make_video(tmp_path / name, codec=codec, size_px=(320, 180), b_frames=b_frames, options={})
    description, receiver = play(RtspCamera(str(path), live=False))
    assert description.codec is (VideoCodec.HEVC if codec == "libx265" else VideoCodec.H264)
    assert receiver.ends[0][0] is CameraEnd.END_OF_FOOTAGE
    times = [packet.sensor_ns for packet in receiver.packets]
    assert (times != sorted(times)) == (b_frames > 0)
    assert [round((at - times[0]) / 1e6) for at in sorted(times)] == list(range(0, 4000, 100))
    decoder = av.CodecContext.create(description.codec.value, "r")
    pictures = [picture for packet in receiver.packets for picture in decoder.decode(av.Packet(packet.data))]
    assert len([*pictures, *decoder.decode(None)]) == 40


def test_where_keyframes_are_rare_the_pictures_between_them_are_looked_at_once_a_second(tmp_path: Path) -> None:
    path = make_video(tmp_path / "rare.mkv", codec="libx264", frames=300, b_frames=0, keyframe_every=100)
    _, receiver = play(RtspCamera(str(path), live=False))
    keyframes = [packet.sensor_ns for packet in receiver.packets if packet.keyframe]
    assert len(keyframes) == 3
    looked_s = [(at - keyframes[1]) / NS_PER_S for at in receiver.luma_ns if at >= keyframes[1]]
    assert looked_s == pytest.approx([float(second) for second in range(20)], abs=0.01)


def test_a_stream_that_gives_no_times_is_lost_before_it_fills_the_memory(
    filmed: tuple[Path, list[EncodedPacket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_rtsp, "_own_ns", lambda _packet: None)
    monkeypatch.setattr(camera_rtsp, "_MOST_UNDATED", 20)
    camera, receiver = RtspCamera(str(filmed[0]), live=False), Receiver()
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert receiver.done.wait(30)
    camera.stop()
    assert "no times" in receiver.ends[0][1]


def test_whatever_a_camera_says_of_its_times_each_keyframe_comes_after_all_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The recorder would end at one that does not (InternalError), and so at a camera that sends it again and again."""
    now = [10 * NS_PER_S]
    standing = SimpleNamespace(clock_gettime_ns=lambda _clock: now[0], CLOCK_BOOTTIME=0)
    monkeypatch.setattr(camera_rtsp, "time", standing)
    for seed in range(300):
        chance = random.Random(seed)
        clock, assembler, own_ns = camera_rtsp._StreamClock(None, NS_PER_S // 15), GopAssembler(NS_PER_S // 15), 0
        for _ in range(60):
            now[0] += chance.choice((1, NS_PER_S // 15, NS_PER_S // 2, 3 * NS_PER_S))
            own_ns += chance.choice((NS_PER_S // 15, NS_PER_S // 2, 5 * NS_PER_S, 50 * NS_PER_S)) * chance.choice(
                (1, -1)
            )
            if clock.settled(own_ns):
                keyframe = chance.random() < 0.3
                assembler.push(EncodedPacket(b"x", keyframe, clock.boot_ns(own_ns, keyframe=keyframe)))


def dated(
    arrived_ms: Sequence[float], shown: Sequence[int] = (), *, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[int, float]]:
    """The number and the date in ms of each picture. Picture `n` is taken at `n` frames, and so exists a frame later.

    `arrived_ms`: when each one came, in the order of decoding. `shown`: which picture that was, by default in order.
    """
    frame_ns, begun_ns = NS_PER_S // 15, 100 * NS_PER_S
    clock, waiting = camera_rtsp._StreamClock(None, frame_ns), list[tuple[bytes, bool, int | None]]()
    out: list[tuple[int, float]] = []
    for number, at_ms in zip(shown or range(len(arrived_ms)), arrived_ms, strict=True):
        now_ns = begun_ns + round(at_ms * 1e6)
        standing = SimpleNamespace(clock_gettime_ns=lambda _clock, now_ns=now_ns: now_ns, CLOCK_BOOTTIME=0)
        monkeypatch.setattr(camera_rtsp, "time", standing)
        own_ns = number * frame_ns
        waiting.append((b"x", number == 0, own_ns))
        if clock.settled(own_ns):
            for _, keyframe, taken_ns in clock.dated(waiting):
                boot_ns = clock.boot_ns(taken_ns, keyframe=keyframe)
                out.append((round(taken_ns / frame_ns), (boot_ns - begun_ns) / 1e6))
            waiting.clear()
    return out


FRAME_MS = 1000 / 15


def on_time(first: int, last: int) -> list[float]:
    return [(number + 1) * FRAME_MS for number in range(first, last)]


@pytest.mark.parametrize(
    "arrived_ms",
    [
        [FRAME_MS, *[560.0] * 7, *on_time(8, 30)],
        [*[560.0] * 8, *on_time(8, 30)],
        [*on_time(0, 6), 7 * FRAME_MS + 60, *on_time(7, 30)],
    ],
    ids=["after the first picture", "before the first picture", "at the end of the wait"],
)
def test_a_reader_that_sleeps_while_the_clock_is_tied_makes_no_date_late(
    arrived_ms: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, on a busy machine. Late dates at the start would press the pictures of the first second together."""
    dates = dated(arrived_ms, monkeypatch=monkeypatch)
    assert len(dates) == 30
    assert max(abs(at_ms - number * FRAME_MS) for number, at_ms in dates) < 1


def test_a_camera_that_sets_its_clock_back_while_the_clock_is_tied_is_dated_by_its_new_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, frame_ns = camera_rtsp._StreamClock(None, NS_PER_S // 15), NS_PER_S // 15
    for place, number in enumerate([*range(100, 104), *range(4, 30)]):
        now_ns = 100 * NS_PER_S + (place + 1) * frame_ns
        standing = SimpleNamespace(clock_gettime_ns=lambda _clock, now_ns=now_ns: now_ns, CLOCK_BOOTTIME=0)
        monkeypatch.setattr(camera_rtsp, "time", standing)
        settled = clock.settled(number * frame_ns)
    assert settled
    assert clock.boot_ns(number * frame_ns, keyframe=True) == now_ns - frame_ns


def test_pictures_are_dated_in_the_order_in_which_they_are_shown_if_the_clock_moves_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All come late by a steady 300 ms at first, and then without that delay, between a P-frame and its B-frames."""
    shown = [0, *(number for first in range(1, 31, 3) for number in (first + 2, first, first + 1))]
    ready_ms = [(place + 3) * FRAME_MS for place in range(len(shown))]
    for change in range(12, 18):
        arrived_ms = [at_ms + 300 * (place < change) for place, at_ms in enumerate(ready_ms)]
        dates = sorted(dated(arrived_ms, shown, monkeypatch=monkeypatch))
        assert [number for number, _ in dates] == list(range(31))
        steps_ms = [after - before for (_, before), (_, after) in pairwise(dates)]
        assert min(steps_ms) > 0.1, "also a different tick of a film"
        assert max(abs(step_ms - FRAME_MS) for step_ms in steps_ms[-6:]) < 1


def one_picture(width_px: int, height_px: int) -> bytes:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width_px, height_px, "yuv420p", Fraction(1, 15)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "threads": "1"}
    return b"".join(bytes(each) for each in encoder.encode(av.VideoFrame(width_px, height_px, "yuv420p")))


def test_a_picture_larger_than_the_stream_said_is_not_unpacked() -> None:
    """A megabyte unpacks to 700 MB (12 288 × 12 288), and the recorder has 220."""
    said = SimpleNamespace(codec_context=SimpleNamespace(name="h264"), width=1280, height=720)
    seen: list[int] = []
    with camera_rtsp._LumaDecoder(said, (320, 180), lambda luma: seen.append(luma.sensor_ns), wait=True) as looker:  # type: ignore[arg-type]
        for number, (width_px, height_px) in enumerate(((1280, 720), (2048, 1152), (1280, 720)), 1):
            looker.take(EncodedPacket(one_picture(width_px, height_px), True, BootNs(number * NS_PER_S)))
    assert seen == [NS_PER_S, 3 * NS_PER_S]


def test_a_stream_of_pictures_that_no_memory_holds_is_refused(
    filmed: tuple[Path, list[EncodedPacket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = filmed[0].with_suffix(".h264")
    raw.write_bytes(one_picture(640, 480))
    RtspCamera(str(raw), live=False).open()
    monkeypatch.setattr(camera_rtsp, "LARGEST_PX", 640 * 480 - 1)
    with pytest.raises(DeviceError, match="640 × 480"):
        RtspCamera(str(raw), live=False).open()


def test_privacy_zones_are_refused_rather_than_ignored() -> None:
    with pytest.raises(ConfigurationError, match="no privacy mask can be burned into it"):
        RtspCamera("rtsp://127.0.0.1/a", masked=True)


def test_an_address_that_nobody_answers_is_told_without_its_password() -> None:
    with socket.socket() as held:  # keeps the port taken and silent
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(DeviceError) as raised:
            RtspCamera(f"rtsp://viewer:hunter2@127.0.0.1:{port}/secret").open()
    assert f"127.0.0.1:{port}" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_real_server_is_filmed_with_its_small_stream_and_its_loss_is_told() -> None:
    with serving() as (address, server):
        camera = RtspCamera(f"{address}/main", f"{address}/small", stall_s=10)
        receiver = Receiver()
        before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        description = camera.open()
        camera.start(receiver, FIRST_NS)
        deadline = time.monotonic() + 30
        while (len(receiver.packets) < 40 or len(receiver.luma_ns) < 30) and time.monotonic() < deadline:
            time.sleep(0.05)
        server.kill()
        assert receiver.done.wait(30)
        camera.stop()
    assert (description.width_px, description.height_px, description.live) == (640, 360, True)
    times = [packet.sensor_ns for packet in receiver.packets]
    assert len(times) >= 40
    assert times == sorted(set(times))
    assert before_ns - NS_PER_S < times[0] < time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert receiver.packets[0].keyframe
    assert len(receiver.luma_ns) >= 30, "every frame of the small stream"
    assert receiver.ends[0][0] is CameraEnd.LOST
    assert "Check its power and the network" in receiver.ends[0][1]
    codec = av.CodecContext.create("h264", "r")
    pictures = [picture for packet in receiver.packets for picture in codec.decode(av.Packet(packet.data))]
    assert len([*pictures, *codec.decode(None)]) == len(receiver.packets)


def test_at_a_connection_nothing_is_lost_that_was_sent_and_decodes() -> None:
    with serving() as (address, _):
        camera, receiver = RtspCamera(f"{address}/rare"), Receiver()
        camera.open()  # meanwhile it sends: a keyframe first, and the next one after six seconds
        opened_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        camera.start(receiver, FIRST_NS)
        deadline = time.monotonic() + 30
        while len(receiver.packets) < 30 and time.monotonic() < deadline:
            time.sleep(0.05)
        camera.stop()
    times = [packet.sensor_ns for packet in receiver.packets]
    assert receiver.packets[0].keyframe
    assert times[0] < opened_ns
    steps_ms = [(after - before) / 1e6 for before, after in pairwise(times)]
    assert max(steps_ms) < 150, "15 a second, and none is missing"


@pytest.mark.parametrize(("name", "codec"), [("hevc", "hevc"), ("reordered", "h264")])
def test_a_real_server_s_h265_and_b_frames_are_filmed(name: str, codec: str) -> None:
    with serving() as (address, _):
        camera, receiver = RtspCamera(f"{address}/{name}"), Receiver()
        assert camera.open().codec.value == codec
        camera.start(receiver, FIRST_NS)
        deadline = time.monotonic() + 30
        while (len(receiver.packets) < 60 or len(receiver.luma_ns) < 3) and time.monotonic() < deadline:
            time.sleep(0.05)
        camera.stop()
    times = [packet.sensor_ns for packet in receiver.packets]
    assert (times != sorted(times)) == (name == "reordered")
    assert len(set(times)) == len(times) >= 60
    decoder = av.CodecContext.create(codec, "r")
    pictures = [picture for packet in receiver.packets for picture in decoder.decode(av.Packet(packet.data))]
    assert len([*pictures, *decoder.decode(None)]) == len(times)
    assert len(receiver.luma_ns) >= 3


def test_a_delivery_that_is_late_holds_few_decoded_pictures() -> None:
    """A decoded picture has megabytes, and 128 arrivals may wait."""
    camera, arrivals = RtspCamera("rtsp://camera/stream"), queue.Queue[Any](128)
    for number in range(100):
        picture = np.zeros((2, 2, 3), np.uint8)
        frame = LumaFrame(np.zeros((16, 16), np.uint8), BootNs(number), picture=lambda kept=picture: kept)
        assert camera._hand_over(arrivals, frame, threading.Event())
    waiting = [arrivals.get() for _ in range(100)]
    assert [frame.picture is not None for frame in waiting] == [True] * 5 + [False] * 95
