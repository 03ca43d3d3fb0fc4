"""The contract of every microphone. ALSA is the real libasound, on a card made of its `file` and `plug` plugins."""

from __future__ import annotations

import io
import threading
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest

from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError, DeviceError
from agent.media.sound import sound_mp4
from agent.ports import CameraEnd, Microphone
from agent.recorder.capture.microphone_alsa import AlsaMicrophone
from agent.recorder.capture.microphone_file import FileMicrophone

FIRST_NS = BootNs(500 * NS_PER_S)
TONE_HZ = 440
CARD = """\
pcm.null {{ type null }}
pcm.tape {{ type file slave.pcm "null" file "/dev/null" infile "{tape}" format "raw" }}
pcm.doorward {{ type plug slave {{ pcm "tape" format S16_LE rate 16000 channels 1 }} }}
"""


def tone(seconds: float, rate_hz: int = 16_000) -> bytes:
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (8000 * np.sin(2 * np.pi * TONE_HZ * at_s)).astype("<i2").tobytes()


def wav(path: Path, samples: bytes, *, channels: int = 1, rate_hz: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples)
    return path


@dataclass
class Ear:
    """The `SoundSink` port."""

    enough: int = 10**6
    packets: list[SoundPacket] = field(default_factory=list)
    ends: list[tuple[CameraEnd, str]] = field(default_factory=list)
    full: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    late: int = 0

    def sound(self, packet: SoundPacket) -> None:
        self.late += bool(self.ends)
        self.packets.append(packet)
        if len(self.packets) >= self.enough:
            self.full.set()

    def ended(self, end: CameraEnd, detail: str) -> None:
        self.ends.append((end, detail))
        self.done.set()


def file_source(folder: Path, _patch: pytest.MonkeyPatch) -> Microphone:
    return FileMicrophone(wav(folder / "tone.wav", tone(3)))


def paced_source(folder: Path, _patch: pytest.MonkeyPatch) -> Microphone:
    return FileMicrophone(wav(folder / "tone.wav", tone(3)), paced=True)


def stereo_source(folder: Path, _patch: pytest.MonkeyPatch) -> Microphone:
    """A source with several channels and another rate."""
    both = np.repeat(np.frombuffer(tone(3, 44_100), "<i2"), 2).tobytes()
    return FileMicrophone(wav(folder / "stereo.wav", both, channels=2, rate_hz=44_100))


def alsa_source(folder: Path, patch: pytest.MonkeyPatch) -> Microphone:
    """libasound's own plugins, without hardware: they give samples as fast as they are asked, so a clock is drawn."""
    (folder / "tape.raw").write_bytes(tone(1) * 600)
    (folder / "asound.conf").write_text(CARD.format(tape=folder / "tape.raw"))
    patch.setenv("ALSA_CONFIG_PATH", str(folder / "asound.conf"))
    return AlsaMicrophone("doorward", now_ns=lambda: FIRST_NS + time.monotonic_ns())


SOURCES: dict[str, Callable[[Path, pytest.MonkeyPatch], Microphone]] = {
    "file": file_source,
    "file-paced": paced_source,
    "alsa": alsa_source,
    "file-stereo": stereo_source,
}


@pytest.fixture(params=SOURCES)
def microphone(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Microphone]:
    made = SOURCES[request.param](tmp_path, monkeypatch)
    before = set(threading.enumerate())
    yield made
    made.stop()
    assert set(threading.enumerate()) <= before


def listen(microphone: Microphone, packets: int) -> tuple[SoundDescription, Ear]:
    ear = Ear(packets)
    description = microphone.open()
    microphone.start(ear, FIRST_NS)
    assert ear.full.wait(20)
    microphone.stop()
    return description, ear


def test_what_is_heard_is_what_sounded(microphone: Microphone) -> None:
    description, ear = listen(microphone, 40)
    spaced = [
        SoundPacket(packet.data, BootNs(FIRST_NS + number * description.packet_ns))
        for number, packet in enumerate(ear.packets)
    ]
    track = sound_mp4(description, spaced, FIRST_NS, FIRST_NS + 10 * NS_PER_S)
    assert track is not None
    with av.open(io.BytesIO(track)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    heard = heard[4096:20_480]
    peak = np.argmax(np.abs(np.fft.rfft(heard))) * description.rate_hz / len(heard)
    assert abs(peak - TONE_HZ) < 3
    assert 0.15 < np.sqrt(np.mean(heard**2)) < 0.2, "8000 of 32768, a sine"


def test_its_end_is_told_once_and_last(microphone: Microphone) -> None:
    _, ear = listen(microphone, 10)
    assert [end for end, _ in ear.ends] == [CameraEnd.STOPPED]
    assert ear.late == 0


def test_one_that_was_only_opened_or_not_even_that_stops_quietly(microphone: Microphone) -> None:
    microphone.stop()
    microphone.open()
    microphone.stop()
    microphone.stop()


@pytest.mark.parametrize("paced", [False, True])
def test_a_file_is_heard_at_its_own_times_to_its_end(tmp_path: Path, paced: bool) -> None:
    microphone = FileMicrophone(wav(tmp_path / "tone.wav", tone(1)), paced=paced)
    ear = Ear()
    description = microphone.open()
    microphone.start(ear, FIRST_NS)
    assert ear.done.wait(20)
    microphone.stop()
    times = [packet.heard_ns - FIRST_NS for packet in ear.packets]
    assert times == [number * 1024 * NS_PER_S // description.rate_hz for number in range(len(times))]
    assert 0.9 < len(times) * description.packet_ns / NS_PER_S <= 1.15
    assert ear.ends[0][0] is CameraEnd.END_OF_FOOTAGE


def test_what_is_no_microphone_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alsa_source(tmp_path, monkeypatch)
    with pytest.raises(DeviceError, match="cannot be opened") as missing:
        AlsaMicrophone("plughw:CARD=nobody").open()
    assert ("arecord -L" in missing.value.remedy) == Path("/usr/share/alsa/alsa.conf").exists()
    (tmp_path / "empty.wav").write_bytes(b"nothing")
    for name in ("empty.wav", "absent.wav"):
        with pytest.raises(ConfigurationError, match="no sound"):
            FileMicrophone(tmp_path / name).open()
