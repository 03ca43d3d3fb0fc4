"""The common parts of microphones: a libavformat container, a converter for its packets, and a thread that delivers.

- Sound uses the clock of the pictures. A live source's blocks are dated by their arrival, smoothed by `core.sound`,
  because a card's or a camera's clock drifts.
- A thread that waits for a block cannot be interrupted, so `stop` waits for one block at most. A source that delivers
  none ends its wait with an error.
"""

from __future__ import annotations

import abc
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from agent.core.media import SoundDescription
from agent.core.sound import SampleClock
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import InternalError
from agent.ports import CameraEnd, SoundSink
from agent.recorder.capture.delivery import DeliveryThread, Ending
from agent.recorder.capture.sound_encoding import SoundTrack

__all__ = ["STOPPED", "ContainerMicrophone", "SoundSource", "SoundTiming", "boot_ns", "deliver_live"]

_HOLE_NS: Final = NS_PER_S // 50
_SET_NS: Final = 60 * NS_PER_S
STOPPED: Ending = (CameraEnd.STOPPED, "The microphone was stopped.")


def boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class SoundSource:
    """An open source: its packets, and their conversion."""

    container: InputContainer
    form: SoundTrack


class ContainerMicrophone(abc.ABC):
    """Implements `ports.Microphone`; a subclass opens the source and delivers. `name` is the thread's name."""

    def __init__(self, name: str, *, live: bool) -> None:
        self._name = name
        self._live = live
        self._source: SoundSource | None = None
        self._delivery: DeliveryThread | None = None

    @abc.abstractmethod
    def _opened(self) -> SoundSource:
        """Raises `DeviceError` or `ConfigurationError` with the remedy."""

    @abc.abstractmethod
    def _deliver(self, source: SoundSource, sink: SoundSink, first_ns: BootNs, stopping: threading.Event) -> Ending:
        """Deliver until `stopping` or the end."""

    def open(self) -> SoundDescription:
        self._source = self._opened()
        return self._source.form.describe(live=self._live)

    def start(self, sink: SoundSink, first_ns: BootNs) -> None:
        source, self._source = self._source, None
        if source is None:
            raise InternalError("A microphone was started before it was opened.")

        def deliver(stopping: threading.Event) -> Ending:
            # Closed by the thread that reads: to close it under a running read crashes the process.
            with source.container:
                return self._deliver(source, sink, first_ns, stopping)

        self._delivery = DeliveryThread(self._name, deliver, sink)
        self._delivery.start()

    def stop(self) -> None:
        if self._delivery is not None:
            self._delivery.stop()
        elif self._source is not None:
            self._source.container.close()
            self._source = None


@dataclass(frozen=True, slots=True)
class SoundTiming:
    """Dating of a live source. `now_ns`: the boot clock. `lost_ns`: see `SampleClock`.

    `stamped`: its packets carry times that count its samples, so they show gaps between two packets.
    """

    lost_ns: int
    stamped: bool = False
    now_ns: Callable[[], int] = boot_ns


def deliver_live(source: SoundSource, sink: SoundSink, stopping: threading.Event, timing: SoundTiming) -> Ending | None:
    """Delivers until `stopping`; returns None if the source has ended."""
    form, stream = source.form, source.container.streams.audio[0]
    rate_hz = stream.codec_context.sample_rate
    counted = SampleClock(rate_hz, timing.lost_ns)
    stamps = _PacketClock(rate_hz)

    def came(samples: int) -> None:
        stamps.counted(samples)
        counted.block(samples, BootNs(timing.now_ns()))

    def heard_ns(sample: int) -> BootNs:
        return counted.heard_ns(sample * NS_PER_S // form.rate_hz)

    try:
        for packet in source.container.demux(stream):
            if stopping.is_set():
                return STOPPED
            if timing.stamped and (missing_ns := stamps.missing_ns(packet)):
                counted.lack(missing_ns)
            with contextlib.suppress(av.error.InvalidDataError):  # torn on the way: there will be another
                for one in form.take(packet, came, heard_ns):
                    sink.sound(one)
    except (av.error.FFmpegError, OSError):
        return None
    return None


class _PacketClock:
    """Holds a source's own times against the samples that came."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._next_ns: int | None = None

    def counted(self, samples: int) -> None:
        if self._next_ns is not None:
            self._next_ns += samples * NS_PER_S // self._rate_hz

    def missing_ns(self, packet: av.Packet[AudioStream]) -> int:
        """Returns how much sound is missing in front of `packet`; 0 without a gap, or if the source has set its
        clock."""
        if packet.pts is None or packet.time_base is None:
            return 0
        own_ns = round(packet.pts * packet.time_base * NS_PER_S)
        missing_ns = own_ns - self._next_ns if self._next_ns is not None else 0
        self._next_ns = own_ns
        return missing_ns if _HOLE_NS < missing_ns < _SET_NS else 0
