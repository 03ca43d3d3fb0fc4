"""Files that are no videos, or only in part."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from agent.core.timebase import NS_PER_S
from agent.errors import ConfigurationError, InternalError
from agent.ports import CameraEnd
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.encoding import EncodingSettings
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
