"""Hours of footage at full speed: is memory flat, is no thread left, do the times stay true?

`python -m bench.day [HOURS]` (2; a day takes about six minutes). A whole recorder with its vault; real footage is
encoded once, and its packets and small pictures are then delivered again and again under new sensor times, 10 frames a
second, through detector, events, segments, sealing and eviction. So is sound, a packet each 42⅔ ms. The stored footage
is read back, and opened: every segment's times against those of its pictures, every sound's against those of its
packets.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

from agent.clients.opening import open_bytes
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import Configuration
from agent.config.settings import DeviceConfig, ObjectDetectionConfig, ObjectDetectionUse, VaultConfig
from agent.core.media import EncodedPacket, LumaFrame, SoundDescription, SoundPacket, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs, ClockReading
from agent.core.vault.records import SegmentRecord
from agent.core.vault.segment import split_media
from agent.custodian.state_folder import StateFolder
from agent.ipc.control_client import DeviceLink
from agent.ports import CameraEnd, CameraSink, MaskedArea, SoundSink
from agent.recorder.capture.camera_file import FileCamera
from agent.solo import Solo
from agent.wire.identities import private_key_from_seed
from tests.sounds import noise, packets_of

ROOT = Path(__file__).resolve().parent.parent
FOOTAGE = ROOT / ".cache" / "vtest.avi"
FRAMES_PER_S = 10
QUIET_SHARE = 0.9
"""Share of the day in which the scene is empty: the same picture with other noise."""


class Reel:
    """Footage once, in memory: (packet, luma) per frame, from a keyframe to the frame before one."""

    def __init__(self, path: Path) -> None:
        self.frames: list[tuple[EncodedPacket, LumaFrame]] = []
        self._packets: list[EncodedPacket] = []
        self._done = threading.Event()
        camera = FileCamera(path)
        self.description = camera.open()
        camera.start(self, BootNs(0))
        self._done.wait()
        camera.stop()
        last = max(number for number, (packet, _) in enumerate(self.frames) if packet.keyframe)
        del self.frames[last:]

    def packet(self, packet: EncodedPacket) -> None:
        self._packets.append(packet)

    def luma(self, frame: LumaFrame) -> None:
        self.frames.append((self._packets[len(self.frames)], LumaFrame(frame.luma.copy(), frame.sensor_ns)))

    def ended(self, _end: CameraEnd, _detail: str) -> None:
        self._done.set()


class Day:
    """`ports.Camera`: the reel for this many hours.  `clock_ns` is the footage's own present."""

    def __init__(self, reel: Reel, hours: float) -> None:
        self._reel = reel
        self._frames = round(hours * 3600 * FRAMES_PER_S)
        self.clock_ns = 0
        self.delivered = 0
        self.samples: list[tuple[float, float]] = []
        self._stopping = threading.Event()

    def open(self) -> StreamDescription:
        return self._reel.description

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        self._thread = threading.Thread(target=self._run, args=(sink, first_ns), name="camera-day")
        self._thread.start()

    def _run(self, sink: CameraSink, first_ns: int) -> None:
        reel = self._reel.frames
        quiet = [number for number, (packet, _) in enumerate(reel[:20]) if packet.keyframe][:2]
        for number in range(self._frames):
            if self._stopping.is_set():
                break
            second = number // FRAMES_PER_S % 600
            at = number % len(reel) if second >= 600 * QUIET_SHARE else quiet[0] + number % (quiet[1] - quiet[0])
            packet, frame = reel[at]
            self.clock_ns = first_ns + number * NS_PER_S // FRAMES_PER_S
            sensor_ns = BootNs(self.clock_ns)
            keyframe = packet.keyframe
            sink.packet(EncodedPacket(packet.data, keyframe, sensor_ns))
            sink.luma(LumaFrame(frame.luma, sensor_ns))
            self.delivered += 1
            if number % (self._frames // 24 or 1) == 0:
                self.samples.append((number / FRAMES_PER_S / 3600, rss_mb()))
        sink.ended(CameraEnd.END_OF_FOOTAGE, "The day is over.")

    def request_keyframe(self) -> None:
        """None can be asked for."""

    def mask(self, zones: MaskedArea) -> bool:
        """It has no pictures to mask."""
        return not zones.has_privacy

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


class Sound:
    """`ports.Microphone`: ten seconds of noise for this many hours, no packet of them like another."""

    def __init__(self, hours: float) -> None:
        self._packets, self.description = noise(10.0)
        self._hours = hours
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> SoundDescription:
        return self.description

    def start(self, sink: SoundSink, first_ns: BootNs) -> None:
        self._thread = threading.Thread(target=self._run, args=(sink, first_ns), name="microphone-day")
        self._thread.start()

    def _run(self, sink: SoundSink, first_ns: int) -> None:
        for number in range(round(self._hours * 3600 * self.description.rate_hz / self.description.frame_samples)):
            if self._stopping.is_set():
                return sink.ended(CameraEnd.STOPPED, "The microphone was stopped.")
            sink.sound(SoundPacket(self.packet(number), self.heard_ns(first_ns, number)))
        return sink.ended(CameraEnd.END_OF_FOOTAGE, "The day is over.")

    def packet(self, number: int) -> bytes:
        return self._packets[number % len(self._packets)]

    def heard_ns(self, first_ns: int, number: int) -> BootNs:
        return BootNs(first_ns + number * self.description.frame_samples * NS_PER_S // self.description.rate_hz)

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()


class FootageClock:
    """The boot clock of the footage, UTC beside it."""

    boot_id = "d" * 32

    def __init__(self, day: Day) -> None:
        self._day = day

    def now(self) -> ClockReading:
        from agent.platform.system_clock import SystemClock

        real = SystemClock().now()
        return real if not self._day.clock_ns else real.at(BootNs(self._day.clock_ns))


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def run(hours: float, footage: Path, folder: Path) -> dict[str, float]:
    """Returns the figures. Raises only the errors of the recorder."""
    reel = Reel(footage)
    day = Day(reel, hours)
    StateFolder(folder / "state").initialise(private_key_from_seed(b"d" * 32))
    configuration = Configuration(
        device=DeviceConfig(state_dir=folder / "state"),
        vault=VaultConfig(max_bytes=300_000_000),
        object_detection=ObjectDetectionConfig(use=ObjectDetectionUse.OFF),
    )
    before = set(threading.enumerate())
    sound = Sound(hours)
    solo = Solo(configuration, open_camera=lambda: day, open_microphone=lambda: sound, clock=FootageClock(day))
    solo.start()
    owner = OwnerKeys.create(folder / "owner")
    with DeviceLink(folder / "state" / "control.sock") as link:
        enrol(link, owner)
    began = time.monotonic()
    first_ns = BootNs(1000 * NS_PER_S)
    solo.record(first_ns)
    took_s = time.monotonic() - began
    status = solo.recorder.status()
    records = [solo.vault.record(entry.id).record for entry in solo.vault.entries()]
    segments = [record for record in records if isinstance(record, SegmentRecord)]
    spans = [record.span for record in segments]
    heard = [apart_us(solo, owner, record, sound, first_ns) for record in segments]
    solo.stop()
    solo.close()
    settled = [rss for hour, rss in day.samples if hour >= hours / 6]
    frame_us = 1_000_000 // FRAMES_PER_S
    drift_us = max((abs((span.start_us - first_ns // 1000) % frame_us) for span in spans), default=0)
    drift_us = min(drift_us, frame_us - drift_us) if drift_us else 0
    return {
        "hours": hours,
        "took_s": took_s,
        "frames": day.delivered,
        "events": status.events,
        "segments": status.segments,
        "stored": len(records),
        "dropped": status.frames_dropped + status.packets_dropped,
        "rss_begin_mb": settled[0],
        "rss_third_mb": settled[len(settled) // 3],
        "rss_two_thirds_mb": settled[2 * len(settled) // 3],
        "rss_end_mb": settled[-1],
        "rss_most_mb": max(settled),
        "worst_drift_us": drift_us,
        "with_whole_sound": sum(record.sound is not None and record.silence is None for record in segments),
        "worst_sound_drift_us": max(heard, default=0.0),
        "last_span_end_s": max((span.end_us for span in spans), default=0) / 1e6 - 1000,
        "threads_left": len(set(threading.enumerate()) - before),
    }


def apart_us(solo: Solo, owner: OwnerKeys, record: SegmentRecord, sound: Sound, first_ns: int) -> float:
    """Returns the largest distance between a packet of a segment's sound, opened, and the same packet in its source."""
    sealed = solo.vault.read_sound(record.id)
    if sealed is None:
        return 0.0
    media, _ = split_media(open_bytes(sealed, [owner.identity]))
    worst_ns = 0
    for begins_ns, data in packets_of(media):
        at_ns = record.span.start_us * 1000 + begins_ns
        number = round((at_ns - first_ns) / sound.description.packet_ns)
        if sound.packet(number) != data:
            return float("inf")
        worst_ns = max(worst_ns, abs(at_ns - sound.heard_ns(first_ns, number)))
    return worst_ns / 1000


def main(arguments: list[str]) -> int:
    if not FOOTAGE.exists():
        print("Error: there is no footage.\n  What to do: make test fetches it")
        return 2
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        found = run(float(arguments[0]) if arguments else 2.0, FOOTAGE, Path(folder))
    for name, value in found.items():
        print(f"| {name} | {value:,.1f} |")
    return 0 if not found["threads_left"] and found["rss_end_mb"] < found["rss_begin_mb"] + 20 else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
