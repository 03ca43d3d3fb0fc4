"""A network camera's own sound, from a real RTSP server: kept as it is or encoded again; in time with its pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from agent.config import Configuration
from agent.config.settings import CameraConfig, CameraKind, SoundConfig, SoundKind
from agent.core.media import EncodedPacket, SoundDescription, SoundPacket
from agent.core.timebase import NS_PER_S
from agent.errors import DeviceError
from agent.ports import CameraEnd
from agent.recorder import translation
from agent.recorder.capture.camera_rtsp import RtspCamera
from agent.recorder.capture.microphone import _PacketClock
from agent.recorder.capture.microphone_rtsp import RtspMicrophone
from tests.cameras import FIRST_NS, Receiver
from tests.contracts.test_microphone import TONE_HZ, Ear
from tests.recorder.capture.rtsp import serving

RATE_HZ, FRAME, PICTURES_PER_S = 16_000, 1024, 15


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def make_film(path: Path, seconds: int = 20) -> list[bytes]:
    """A fifth of a second of white and of a tone at every full second; and the AAC packets that are in it."""
    at_s = np.arange(seconds * RATE_HZ) / RATE_HZ
    hiss = np.random.default_rng(1).normal(0, 0.01, len(at_s))  # so that no two packets are the same
    tone = (hiss + np.where(at_s % 1 < 0.2, 0.4 * np.sin(2 * np.pi * TONE_HZ * at_s), 0)).astype(np.float32)
    with av.open(str(path), "w") as film:
        pictures = film.add_stream(
            "libx264", rate=PICTURES_PER_S, options={"preset": "ultrafast", "g": "15", "tune": "zerolatency"}
        )
        pictures.width, pictures.height, pictures.pix_fmt = 320, 240, "yuv420p"
        sound = film.add_stream("aac", rate=RATE_HZ, layout="mono")
        for number in range(seconds * PICTURES_PER_S):
            pixels = np.full((360, 320), 128, np.uint8)
            pixels[:240] = 235 if number % PICTURES_PER_S < 3 else 16
            picture = av.VideoFrame.from_ndarray(pixels, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, PICTURES_PER_S)
            film.mux(pictures.encode(picture))
        for first in range(0, len(tone) - FRAME + 1, FRAME):
            block = av.AudioFrame.from_ndarray(tone[None, first : first + FRAME], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = RATE_HZ, first, Fraction(1, RATE_HZ)
            film.mux(sound.encode(block))
        film.mux(pictures.encode(None))
        film.mux(sound.encode(None))
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(audio=0) if packet.size]


def flashes_s(packets: list[EncodedPacket]) -> list[float]:
    """When the picture turned white."""
    codec = av.CodecContext.create("h264", "r")
    pictures = [picture for packet in packets for picture in codec.decode(av.Packet(packet.data))]
    bright = [picture.to_ndarray()[:240].mean() > 128 for picture in [*pictures, *codec.decode(None)]]
    return [
        packet.sensor_ns / NS_PER_S
        for packet, before, now in zip(packets[1:], bright, bright[1:], strict=False)
        if now and not before
    ]


def beeps_s(description: SoundDescription, packets: list[SoundPacket]) -> list[float]:
    """When the tone began."""
    codec = av.CodecContext.create("aac", "r")
    codec.extradata = description.config
    begun: list[float] = []
    for packet in packets:
        for block in codec.decode(av.Packet(packet.data)):
            loud = np.flatnonzero(np.abs(block.to_ndarray()[0]) > 0.1)
            at_s = packet.heard_ns / NS_PER_S + (loud[0] / block.sample_rate if len(loud) else 0)
            if len(loud) and (not begun or at_s - begun[-1] > 0.5):
                begun.append(at_s)
    return begun


def test_aac_is_kept_as_it_comes_in_time_with_the_pictures_and_its_loss_is_told(tmp_path: Path) -> None:
    sent = make_film(tmp_path / "film.mp4")
    with serving(tmp_path / "film.mp4") as (address, server):
        seen = threading.Event()
        receiver = Receiver(each_packet=lambda _: seen.set() if len(receiver.packets) > 2 * PICTURES_PER_S else None)
        camera = RtspCamera(f"{address}/film", stall_s=10)
        microphone, ear = RtspMicrophone(f"{address}/film"), Ear(enough=60)
        camera.open()
        description = microphone.open()
        microphone.start(ear, FIRST_NS)
        camera.start(receiver, FIRST_NS)
        assert ear.full.wait(30)
        assert seen.wait(30), "two seconds of pictures, so there is a flash in them"
        server.kill()
        assert ear.done.wait(30)
        microphone.stop()
        camera.stop()
    assert (description.rate_hz, description.channels, description.frame_samples) == (RATE_HZ, 1, FRAME)
    heard = [packet.data for packet in ear.packets]
    first = sent.index(heard[0])
    assert heard == sent[first : first + len(heard)]
    times = [packet.heard_ns for packet in ear.packets[10:]]
    assert times == sorted(set(times))
    flashes = flashes_s(receiver.packets)
    late_s = [beep - flash for beep in beeps_s(description, ear.packets) for flash in flashes]
    assert min(map(abs, late_s)) < 0.15, "a file's sound is sent at its beginning, a microphone's at its end: 64 ms"
    assert ear.ends[0][0] is CameraEnd.LOST
    assert "no more sound" in ear.ends[0][1]


def test_what_is_not_aac_is_encoded_anew_and_a_camera_without_sound_is_told_so() -> None:
    with serving() as (address, _):
        settings = Configuration(
            camera=CameraConfig(kind=CameraKind.RTSP, url=f"{address}/g711"), sound=SoundConfig(kind=SoundKind.CAMERA)
        )
        open_microphone, ear = translation.open_microphone(settings), Ear(enough=50)
        assert open_microphone is not None
        microphone = open_microphone()
        description = microphone.open()
        microphone.start(ear, FIRST_NS)
        assert ear.full.wait(30)
        microphone.stop()
        with pytest.raises(DeviceError, match="gives no sound") as raised:
            RtspMicrophone(f"{address.replace('//', '//viewer:hunter2@')}/main").open()
    assert "microphone on in the camera" in raised.value.remedy
    assert "hunter2" not in str(raised.value)
    codec = av.CodecContext.create("aac", "r")
    codec.extradata = description.config
    blocks = [block for packet in ear.packets for block in codec.decode(av.Packet(packet.data))]
    heard = np.concatenate([block.to_ndarray()[0] for block in blocks])[-32 * FRAME :]
    peak_hz = np.argmax(np.abs(np.fft.rfft(heard))) * description.rate_hz / len(heard)
    assert abs(peak_hz - TONE_HZ) < 3
    assert 0.3 < np.sqrt(np.mean(heard**2)) < 0.4, "half of full, a sine"
    assert ear.ends == [(CameraEnd.STOPPED, "The microphone was stopped.")]


def test_a_camera_s_time_stamps_tell_what_is_missing_and_not_that_its_clock_was_set() -> None:
    stamps, found = _PacketClock(RATE_HZ), []
    for at in (0, FRAME, 2 * FRAME + 8_000, 3 * FRAME + 8_000, 90 * RATE_HZ, 0):
        packet = av.Packet(b"x")
        packet.pts, packet.time_base = at, Fraction(1, RATE_HZ)
        found.append(stamps.missing_ns(packet))
        stamps.counted(FRAME)
    assert found == [0, 0, NS_PER_S // 2, 0, 0, 0]
