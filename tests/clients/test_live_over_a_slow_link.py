"""Live view over a real relay at 1 Mbit/s: pictures that the link carries, soon after they were filmed."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.cli.owner.relay import relayed_socket
from agent.clients.owner.live_stream import LiveGop, watch
from agent.clients.owner.relay_routes import learn_route
from agent.core.media import LumaFrame
from agent.custodian import live_buffer
from agent.custodian.state_folder import StateFolder
from agent.ipc.control_client import DeviceLink
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.live_view import LiveEncoder
from agent.uplink import relay_connection
from tests.lengths import LONG
from tests.uplink.test_link_over_a_relay import World

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

MBIT = 1e6 / 8
WIDTH_PX, HEIGHT_PX = 640, 480


def busy_street(path: Path, seconds: int = 120) -> Path:
    """A noise that moves: about 3 Mbit/s, as rain at night makes."""
    noise = np.random.default_rng(16).integers(0, 255, (HEIGHT_PX // 4 + 40, WIDTH_PX // 4, 3), np.uint8)
    noise = noise.repeat(4, 0).repeat(4, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        for number in range(15 * seconds):
            shown = np.ascontiguousarray(noise[number * 5 % 160 :][:HEIGHT_PX])
            picture = av.VideoFrame.from_ndarray(shown, format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, 15)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def given_us(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The time of each frame, and when the camera gave it."""
    frame, found = LiveEncoder.frame, list[tuple[float, float]]()

    def noted(encoder: LiveEncoder, each: LumaFrame) -> None:
        found.append((each.sensor_ns / 1000, now_us()))
        frame(encoder, each)

    monkeypatch.setattr(LiveEncoder, "frame", noted)
    return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_us: object) -> Iterator[World]:
    del given_us  # before the camera starts
    monkeypatch.setattr(relay_connection, "_LOOK_S", 0.2)
    world = World(tmp_path)
    solo, film = world.door.solo, busy_street(tmp_path / "film.mp4", 40)
    solo.recorder._loop._open_camera = lambda: FileCamera(film, paced=True)
    camera = threading.Thread(target=solo.record, name="camera")
    try:
        world.until(lambda: world.relay_status() == "connected", "the relay")
        with DeviceLink(StateFolder(tmp_path / "door" / "device").control) as link:
            learn_route(link, world.keys, str(world.broker.directory / "authorities" / "broker.pem"))
        relay = solo._relay
        assert relay is not None
        world.until(lambda: relay._addresses == solo.link.addresses(), "its address")  # type: ignore[union-attr]
        camera.start()
        world.until(lambda: solo.recorder.delivering, "a film")
        yield world
    finally:
        solo.recorder.stop()
        camera.join()
        world.close()


def now_us() -> float:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1000


def seen(world: World, given_us: list[tuple[float, float]], seconds: float) -> list[tuple[float, LiveGop]]:
    """Parts that an owner's computer sees through the relay: the delay of each one since the camera gave its last
    picture, in s, and the part. A film is not always on time on a busy machine."""
    found = []
    with relayed_socket(world.keys.folder, "front-door") as at, DeviceLink(at) as link:
        ends_s = time.monotonic() + seconds
        for gops in watch(link, world.keys):
            for gop in gops:
                came_us = [came_us for sensor_us, came_us in given_us if sensor_us < gop.span.end_us - 1000]
                found += [((now_us() - came_us[-1]) / 1e6, gop)] if came_us else []
            if time.monotonic() > ends_s:
                return found
    raise AssertionError("live view has an end")


@LONG
def test_a_slow_link_shows_small_pictures_soon_and_a_fast_one_the_filmed_ones(
    world: World, given_us: list[tuple[float, float]]
) -> None:
    world.proxy.bytes_per_s = MBIT
    slow = seen(world, given_us, 15)
    filmed_s, small_s = ([late_s for late_s, gop in slow if gop.small is small] for small in (False, True))
    late_s = statistics.quantiles(small_s, n=20)
    print(f"filmed pictures {max(filmed_s):.2f} s late at most; small ones: {len(small_s)}, median {late_s[9]:.2f} s")
    assert len(small_s) > 15
    assert late_s[9] < max(filmed_s) / 2
    world.proxy.bytes_per_s = 0
    time.sleep(live_buffer._LOOKS_S + 1)  # another viewer, as far as the doorbell knows
    fast = seen(world, given_us, 6)
    assert not any(gop.small for _, gop in fast)


@LONG
def test_the_command_says_that_the_pictures_are_small_and_writes_a_film_that_plays(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.proxy.bytes_per_s = MBIT
    film, keys = tmp_path / "seen.mp4", str(world.keys.folder)
    words = ["owner", "live", "--relay", "front-door", "--out", str(film), "--seconds", "12", "--keys", keys]
    assert run(doorward, words) == 0
    assert "Small picture (slow connection)." in capsys.readouterr().err
    boxes = film.read_bytes().split(b"ftypiso6")
    assert len(boxes) == 3, "the header of each size"
    with av.open(str(film)) as container:
        assert container.streams.video[0].width == WIDTH_PX
