"""A recorder with network cameras as they are: keyframes far apart, H.265, B-frames; from a real RTSP server."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.mp4_export import ExportedClip, clips_of, export_clip
from agent.clients.owner.segment_sources import DeviceVault
from agent.clients.requester.capture_signatures import camera_signature_of, capture_of
from agent.config.settings import ClipsConfig
from agent.core.media import EncodedPacket, LumaFrame, VideoCodec
from agent.core.timebase import BootNs, seconds
from agent.custodian.state_folder import StateFolder
from agent.ipc.control_client import DeviceLink
from agent.media.capture_signature import is_slice
from agent.media.fmp4 import film_units
from agent.media.onvif_sei import is_media_sei
from agent.ports import Camera, CameraEnd, CameraSink
from agent.recorder.capture.camera_rtsp import RtspCamera
from agent.wire.identities import public_key_of
from tests import signing_camera
from tests.capture_films import packets_of
from tests.interop.onvif import units_of_file
from tests.recorder.capture.rtsp import serving
from tests.recorder.test_recorder_and_hardware import House, until
from tests.recorder.thread_owner_check import plant
from tests.second_reader import capture

STALL_S = 2.5
"""Less than half the time from one keyframe of `/rare` to the next."""


class NotedSink:
    """Passes on what a camera delivers, and notes the times of its pictures."""

    def __init__(self) -> None:
        self.times_ns: list[int] = []
        self.sink: CameraSink | None = None

    def packet(self, packet: EncodedPacket) -> None:
        assert self.sink is not None
        self.times_ns.append(packet.sensor_ns)
        self.sink.packet(packet)

    def luma(self, frame: LumaFrame) -> None:
        assert self.sink is not None
        self.sink.luma(frame)

    def ended(self, end: CameraEnd, detail: str) -> None:
        assert self.sink is not None
        self.sink.ended(end, detail)

    def since(self, start_us: int, count: int) -> list[float]:
        """The times of `count` pictures in the order in which they are shown, in seconds after the first of them."""
        times_ns = sorted(self.times_ns)
        first = next(number for number, at_ns in enumerate(times_ns) if at_ns // 1000 == start_us)
        return [(at_ns - times_ns[first]) / 1e9 for at_ns in times_ns[first : first + count]]


class NotedCamera(RtspCamera):
    """A camera, with notes of what it delivered."""

    def __init__(self, url: str, noted: NotedSink) -> None:
        super().__init__(url, stall_s=STALL_S)
        self._noted = noted

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        self._noted.sink = sink
        super().start(self._noted, first_ns)


class NetworkHouse(House):
    """A device that records all the time what a network camera sends."""

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        self._folder = folder
        self.noted = NotedSink()
        super().__init__(folder, ClipsConfig(pre_roll_s=1, post_roll_s=1, merge_gap_s=1, segment_s=2, continuous=True))
        plant(self.solo.recorder._loop, _stall_ns=seconds(STALL_S))

    def camera(self) -> Camera:
        self.opened += 1
        return NotedCamera(self._url, self.noted)

    def opened_clips(self, out: Path) -> list[ExportedClip]:
        """Opens the stored clips as `doorward owner open` does."""
        keys = OwnerKeys.load(self._folder / "owner")
        with DeviceLink(self._folder / "state" / "control.sock") as link:
            source = DeviceVault(link, self.solo.device)
            return [export_clip(source, (keys.identity,), clip, out) for clip in clips_of(source.listed())]

    def films_at_least(self, seconds: float) -> list[str]:
        """The ids of what it has sealed of this much time, in order; then it ends."""
        self.film()
        until(lambda: self.solo.recorder.status().recorded_s >= seconds, patience_s=60)
        self.solo.stop()
        return [entry.id for entry in self.solo.vault.entries()]


@pytest.fixture
def address() -> Iterator[str]:
    with serving() as (address, _):
        yield address


def test_a_camera_with_rare_keyframes_is_not_taken_for_stalled_and_every_picture_is_kept(
    address: str, tmp_path: Path
) -> None:
    house = NetworkHouse(tmp_path, f"{address}/rare")
    try:
        house.films_at_least(12)
        assert house.opened == 1
        assert not house.told
        entries = list(house.solo.vault.entries())
        assert round((entries[0].end_ms - entries[0].start_ms) / 1000) == 6, "a GOP"
        for before, after in pairwise(entries):
            # An event begins with its keyframe, which the recording between events may hold already.
            assert after.start_ms <= before.end_ms + 1, "no picture is missing"
            if before.continuous == after.continuous:
                assert after.start_ms >= before.end_ms - 1
    finally:
        house.close()


@pytest.mark.parametrize(("name", "codec", "tag"), [("hevc", "hevc", "hvc1"), ("reordered", "h264", "avc1")])
def test_what_a_network_camera_sends_is_sealed_as_it_came_and_its_owner_opens_it_in_order(
    name: str, codec: str, tag: str, address: str, tmp_path: Path
) -> None:
    """From a real server to the file that an owner plays. A busy machine dates pictures late, and loses none."""
    house = NetworkHouse(tmp_path, f"{address}/{name}")
    try:
        device = public_key_of(StateFolder(tmp_path / "state").device_key())
        house.film()
        until(lambda: house.solo.recorder.status().recorded_s >= 5, patience_s=60)
        pictures = 0
        for clip in house.opened_clips(tmp_path / "opened"):
            assert clip.video is not None
            assert not clip.notes
            context = clip.segments[0].context
            assert context is not None
            signed = [capture_of(each.media, device) for each in clip.segments]
            assert all(each is not None and each.is_whole for each in signed), "a signature for each picture"
            with av.open(clip.video) as film:
                stream = film.streams.video[0]
                assert (stream.codec_context.name, stream.codec_context.codec_tag) == (codec, tag)
                shown = [(float(each.time or 0), ball_px(each)) for each in film.decode(stream)]
            sent_s = house.noted.since(context.span.start_us, len(shown))
            assert [at_s for at_s, _ in shown] == pytest.approx(sent_s, abs=0.001), "each at its own time"
            assert [at_px for _, at_px in shown[:15]] == sorted({at_px for _, at_px in shown[:15]}), "left to right"
            for number, (_, at_px) in enumerate(shown):
                assert at_px == pytest.approx(shown[number % 15][1], abs=0.5), "the second that is sent again and again"
            pictures += len(shown)
        assert pictures >= 45
        times_ns = house.noted.times_ns
        assert (times_ns != sorted(times_ns)) == (name == "reordered")
        steps_s = sorted((after - before) / 1e9 for before, after in pairwise(sorted(times_ns)))
        assert steps_s[len(steps_s) // 2] == pytest.approx(1 / 15, abs=0.005)
    finally:
        house.close()


def test_a_stream_that_its_maker_signs_keeps_this_signature_from_a_real_server_to_an_export(tmp_path: Path) -> None:
    """A second implementation makes the camera's messages, and judges the film that an owner exports."""
    _, gops = packets_of(VideoCodec.H264)
    sent = list(signing_camera.stream(gops, times=20))
    messages = [unit for units in sent for unit in units if is_media_sei(unit, VideoCodec.H264)]
    certificate, own = signing_camera.certificate(), messages[1:]
    with serving(signing_camera.save(sent, tmp_path / "signed.json")) as (address, _):
        house = NetworkHouse(tmp_path, f"{address}/signed")
        try:
            device = public_key_of(StateFolder(tmp_path / "state").device_key())
            house.film()
            until(lambda: house.solo.recorder.status().recorded_s >= 5, patience_s=60)
            clips = house.opened_clips(tmp_path / "opened")
        finally:
            house.close()
    proven = 0
    for clip in clips:
        films = [list(film_units(each.media)) for each in clip.segments]
        kept = [[unit for unit in units if is_media_sei(unit, VideoCodec.H264)] for units in films]
        assert all(each.count(certificate) == 1 and certificate in each[:2] for each in kept), (
            "each film begins with it"
        )
        row = [unit for each in kept for unit in each if unit != certificate]
        at = own.index(row[0])
        assert row == own[at : at + len(row)], "each message, bit for bit, and none of ours"
        assert clip.video is not None
        exported = list(units_of_file(clip.video))
        assert [each for each in exported if counts(each)] == [
            each for units in films for each in units if counts(each)
        ]
        judged = capture.judge_camera(exported, False, signing_camera.ROOT)
        assert (judged.faulty, judged.behind) == (set(), 5), "only the message of the last GOP is in no film yet"
        proven += judged.proven
        for each in clip.segments:
            found = camera_signature_of(each.media, device)
            assert found is not None
            assert (found.name, found.serial) == (signing_camera.MAKER, signing_camera.SERIAL)
            assert found.report is not None
            assert not found.report.findings
    assert proven >= 9


def counts(unit: bytes) -> bool:
    return is_slice(unit, VideoCodec.H264) or is_media_sei(unit, VideoCodec.H264)


def ball_px(picture: av.VideoFrame) -> float:
    """The place of the ball, which GStreamer draws white on black, from the left side of the picture."""
    luma = picture.to_ndarray(format="gray")
    return float(np.mean(np.nonzero(luma > 128)[1]))
