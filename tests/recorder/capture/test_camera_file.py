"""Files that are no videos, or only in part."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from agent.core.timebase import NS_PER_S
from agent.errors import ConfigurationError, InternalError
from agent.ports import CameraEnd
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.delivery import EncodingSettings
from tests.cameras import FIRST_NS, Receiver, make_video, play


def test_a_path_that_leads_nowhere_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no video at '.*porch.mp4'. Check the path"):
        FileCamera(tmp_path / "porch.mp4").open()


@pytest.mark.parametrize("content", [b"", b"a shopping list\n", bytes(100_000), b"RIFF\0\0\1\0AVI LIST"])
def test_a_file_that_is_no_video_is_named_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "list.avi"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"list.avi' is not a video.*Choose a file"):
        FileCamera(path).open()


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a video"):
        FileCamera(tmp_path).open()


def test_a_video_without_its_index_is_no_video(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", codec="libx264").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match=r"cut.mp4' is not a video"):
        FileCamera(cut).open()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("cut.avi", "mpeg4", {}),
        ("cut.avi", "mjpeg", {}),
        ("cut.mkv", "mpeg4", {}),
        ("cut.mp4", "libx264", {"movflags": "faststart"}),
    ],
)
def test_a_video_that_ends_in_the_middle_plays_so_far_and_says_so(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    whole = make_video(tmp_path / f"whole-{name}", frames=60, codec=codec, options=options).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    _, receiver = play(FileCamera(cut))
    assert 10 <= len(receiver.packets) <= 45
    [(end, detail)] = receiver.ends
    assert end is CameraEnd.LOST
    assert name in detail


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_an_avi_with_b_frames_plays_as_long_as_it_lasts(codec: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / "b.avi", frames=305, codec=codec, options={}, b_frames=2)
    _, receiver = play(FileCamera(path))
    at_ms = [round((packet.sensor_ns - FIRST_NS) / 1e6) for packet in receiver.packets]
    assert at_ms == list(range(0, 30_500, 100)), "30.5 s, and not the 70 s that it once took"
    assert receiver.ends[0][0] is CameraEnd.END_OF_FOOTAGE, receiver.ends


def played_ms(path: Path) -> list[int]:
    """The time of each picture, and that the file was played to its end."""
    _, receiver = play(FileCamera(path))
    assert receiver.ends[0][0] is CameraEnd.END_OF_FOOTAGE, receiver.ends
    return [round((packet.sensor_ns - FIRST_NS) / 1e6) for packet in receiver.packets]


@pytest.mark.parametrize("frames_per_s", [25, 30])
@pytest.mark.parametrize("b_frames", [1, 3])
def test_an_avi_with_b_frames_keeps_its_frame_rate(frames_per_s: int, b_frames: int, tmp_path: Path) -> None:
    frames = 4 * frames_per_s
    path = make_video(
        tmp_path / "b.avi", frames=frames, frames_per_s=frames_per_s, codec="libx264", options={}, b_frames=b_frames
    )
    assert played_ms(path) == [round(number * 1000 / frames_per_s) for number in range(frames)]


def in_a_new_file(video: Path, path: Path, times: Callable[[int], int], options: dict[str, str] | None = None) -> Path:
    """The same packets at 25 a second. Packet n in the file gets `times(n)` as its time of display and of decoding."""
    with av.open(str(video)) as old, av.open(str(path), "w", options=options or {}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(each for each in old.demux(video=0) if each.size):
            packet.time_base, packet.duration, packet.stream = Fraction(1, 25), 1, stream
            packet.pts = packet.dts = times(number)
            new.mux(packet)
    return path


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("name", ["copy.mkv", "copy.mp4", "copy.mov"])
def test_a_copy_with_times_of_decoding_plays_as_long_as_it_lasts(name: str, codec: str, tmp_path: Path) -> None:
    """Tools that copy an AVI with B-frames into another container write such files."""
    b_frames = make_video(tmp_path / "b.mp4", frames=100, frames_per_s=25, codec=codec, options={}, b_frames=2)
    assert played_ms(in_a_new_file(b_frames, tmp_path / name, lambda number: number)) == list(range(0, 4_000, 40))


def packed(video: Path, path: Path) -> Path:
    """MPEG-4 as DivX 5 wrote it: each B-frame in the packet of the frame before, then a packet that shows nothing."""
    with av.open(str(video)) as old:
        pictures = [bytes(packet) for packet in old.demux(video=0) if packet.size]
        extradata = old.streams.video[0].codec_context.extradata
    is_b_frame = [picture[picture.index(b"\0\0\1\xb6") + 4] >> 6 == 2 for picture in pictures]
    packets: list[bytes] = []
    for picture, is_b in zip(pictures, is_b_frame, strict=True):
        if is_b:
            packets[-1] += picture
            packets.append(b"\0\0\1\xb6\x70\x80")
        else:
            packets.append(picture)
    packets[0] = b"\0\0\1\xb2DivX503b1393p\0" + packets[0]
    with av.open(str(video)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.codec_context.extradata = extradata
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            new.mux(packet)
    return path


def test_an_avi_with_packed_b_frames_plays_as_long_as_it_lasts(tmp_path: Path) -> None:
    video = make_video(tmp_path / "b.avi", frames=100, frames_per_s=25, codec="mpeg4", options={}, b_frames=1)
    at_ms = played_ms(packed(video, tmp_path / "packed.avi"))
    assert len(at_ms) >= 99
    assert at_ms == [40 * number for number in range(len(at_ms))]


@pytest.mark.parametrize("name", ["vary.mkv", "vary.mp4"])
def test_a_rate_that_varies_is_kept_with_b_frames(name: str, tmp_path: Path) -> None:
    def times_ms(number: int) -> int:
        return 40 * number + 500 * (number // 10)

    path = make_video(
        tmp_path / name, frames=60, frames_per_s=25, codec="libx264", options={}, b_frames=2, times_ms=times_ms
    )
    assert played_ms(path) == [times_ms(number) for number in range(60)]


@pytest.mark.parametrize(("first", "played"), [(-60, 40), (50, 100)])
def test_an_mp4_with_an_edit_list_plays_what_the_list_leaves_in(first: int, played: int, tmp_path: Path) -> None:
    """Phones write such files when a video is trimmed, or when its sound begins before its pictures."""
    whole = make_video(tmp_path / "whole.mp4", frames=100, frames_per_s=25, codec="libx264", options={}, b_frames=0)
    options = {"avoid_negative_ts": "disabled"}
    edited = in_a_new_file(whole, tmp_path / "edited.mp4", lambda number: first + number, options)
    assert played_ms(edited) == list(range(0, 40 * played, 40))


def test_a_stream_without_times_plays_at_the_usual_rate(tmp_path: Path) -> None:
    path = make_video(tmp_path / "raw.h264", frames=50, frames_per_s=25, codec="libx264", options={}, b_frames=2)
    assert played_ms(path) == list(range(0, 2_000, 40))


def test_a_clock_that_jumps_back_goes_on_at_the_frame_rate(tmp_path: Path) -> None:
    """Two recordings one after the other, as a recorder writes them that was restarted: MPEG-TS may be concatenated."""
    parts = [
        make_video(tmp_path / f"{part}.ts", frames=50, frames_per_s=25, codec="libx264", options={}, b_frames=2)
        for part in range(2)
    ]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    _, receiver = play(FileCamera(both))
    at_ms = [round((packet.sensor_ns - FIRST_NS) / 1e6) for packet in receiver.packets]
    assert len(at_ms) == 100
    assert 99 * 40 <= at_ms[-1] <= 99 * 40 + 200, at_ms


def damaged(path: Path, codec: str) -> Path:
    """Sixty frames, with rubbish in the middle of the file."""
    data = bytearray(make_video(path, frames=60, codec=codec).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = np.random.default_rng(1).bytes(6000)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("name", "codec"), [("bad.avi", "mpeg4"), ("bad.mkv", "libx264")])
def test_a_video_damaged_in_the_middle_delivers_what_decodes_and_says_so(name: str, codec: str, tmp_path: Path) -> None:
    _, receiver = play(FileCamera(damaged(tmp_path / name, codec)))
    [(end, detail)] = receiver.ends
    assert end is CameraEnd.LOST
    assert f"{name}' is damaged" in detail
    assert 10 <= len(receiver.packets) < 60
    assert receiver.packets[-1].sensor_ns - FIRST_NS > 5.5 * NS_PER_S, "it goes on behind the damage"


def test_damage_that_the_decoder_hides_stops_nothing(tmp_path: Path) -> None:
    _, receiver = play(FileCamera(damaged(tmp_path / "bad.avi", "mjpeg")))
    assert len(receiver.packets) >= 58


def test_a_damaged_beginning_does_not_condemn_the_rest(tmp_path: Path) -> None:
    path = make_video(tmp_path / "bad.avi", frames=60, codec="mjpeg")
    data = bytearray(path.read_bytes())
    for _ in range(3):
        begin = data.index(b"\xff\xd8\xff")
        data[begin : begin + 700] = bytes(700)
    path.write_bytes(data)
    _, receiver = play(FileCamera(path))
    assert 55 <= len(receiver.packets) < 60


def test_real_time_is_kept_and_stopping_does_not_wait_for_the_next_frame(tmp_path: Path) -> None:
    slow = make_video(tmp_path / "slow.mkv", frames=3, times_ms=lambda number: number * 60_000)
    camera, first = FileCamera(slow, paced=True), threading.Event()
    receiver = Receiver(each_packet=lambda packet: first.set())
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert first.wait(10)
    camera.stop()
    assert len(receiver.packets) == 1
    assert receiver.ends[0][0] is CameraEnd.STOPPED


def test_a_wide_video_is_scaled_down_to_even_sides(tmp_path: Path) -> None:
    wide = make_video(tmp_path / "wide.avi", frames=3, size_px=(642, 362))
    description = FileCamera(wide, settings=EncodingSettings(widest_px=333)).open()
    assert (description.width_px, description.height_px) == (332, 188)


def test_a_camera_that_was_never_opened_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(InternalError):
        FileCamera(tmp_path).start(Receiver(), FIRST_NS)


def test_a_film_that_was_played_leaves_no_encoder_behind(tmp_path: Path) -> None:
    """A doorbell that waits for its set-up code opens the same film every few seconds."""
    camera: FileCamera | None = FileCamera(make_video(tmp_path / "film.mp4", codec="libx264"))
    gc.disable()  # it would find a circle at some time, and hide it
    try:
        play(camera)
        encoder = weakref.ref(camera._pipeline._encoder)  # type: ignore[union-attr]
        assert encoder() is not None
        camera = None
        assert encoder() is None
    finally:
        gc.enable()


@pytest.mark.footage
def test_every_clip_of_real_footage_plays_to_its_end(shared: Path) -> None:
    clips = shared / "clips"
    for name in ("tree.avi", "doorbell.mkv", "brightness.avi"):
        description, receiver = play(FileCamera(clips / name, settings=EncodingSettings(widest_px=320)))
        assert receiver.ends[0][0] is CameraEnd.END_OF_FOOTAGE, receiver.ends
        assert description.width_px <= 320


@pytest.mark.footage
def test_real_footage_cut_short_says_where(footage: Path, tmp_path: Path) -> None:
    cut = tmp_path / "vtest.avi"
    cut.write_bytes(footage.read_bytes()[:1_200_000])
    _, receiver = play(FileCamera(cut, settings=EncodingSettings(widest_px=160)))
    [(end, detail)] = receiver.ends
    assert end is CameraEnd.LOST
    assert "although it says 79.5 s" in detail
    assert len(receiver.packets) > 80
