"""A recorder with network cameras as they are: keyframes far apart, H.265, B-frames; from a real RTSP server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest

from agent.clients.opening import open_bytes
from agent.clients.owner.keys import OwnerKeys
from agent.config.settings import ClipsConfig
from agent.core.timebase import seconds
from agent.core.vault.segment import split_media
from agent.media.fmp4 import TICKS_PER_S
from agent.ports import Camera
from agent.recorder.capture.camera_rtsp import RtspCamera
from tests.recorder.capture.rtsp import serving
from tests.recorder.test_recorder_and_hardware import House, until
from tests.recorder.thread_owner_check import plant

STALL_S = 2.5
"""Less than half the time from one keyframe of `/rare` to the next."""


class NetworkHouse(House):
    """A device that records all the time what a network camera sends."""

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        super().__init__(folder, ClipsConfig(pre_roll_s=1, post_roll_s=1, merge_gap_s=1, segment_s=2, continuous=True))
        plant(self.solo.recorder._loop, _stall_ns=seconds(STALL_S))

    def camera(self) -> Camera:
        self.opened += 1
        return RtspCamera(self._url, stall_s=STALL_S)

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
def test_what_a_network_camera_sends_is_sealed_as_it_came_and_plays(
    name: str, codec: str, tag: str, address: str, tmp_path: Path
) -> None:
    house = NetworkHouse(tmp_path, f"{address}/{name}")
    try:
        sealed = house.films_at_least(4)
        identity = OwnerKeys.load(tmp_path / "owner").identity
        vault = house.solo.vault
        for each in sealed[:2]:
            entry = vault.find(each)
            assert entry is not None
            media, context = split_media(open_bytes(vault.read(each, 0, 1 << 24), [identity]))
            with av.open(io.BytesIO(media)) as film:
                stream = film.streams.video[0]
                assert (stream.codec_context.name, stream.codec_context.codec_tag) == (codec, tag)
                times = [float(picture.time or 0) for picture in film.decode(stream)]
            # The time of a picture that is sent out of order comes from its arrival, which is late on a busy machine.
            late_s = 1.05 / 15 if name == "reordered" else 1 / TICKS_PER_S
            assert times[0] == pytest.approx(0, abs=late_s), "at most rounded by a tick, or a picture late"
            wanted = 15 * context.span.duration_us / 1e6
            assert len(times) == pytest.approx(wanted, abs=2), "times jitter on a busy machine"
            assert max(after - before for before, after in pairwise(times)) < 0.15
    finally:
        house.close()
