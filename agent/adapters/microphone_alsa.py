"""A microphone of the board's own or on USB, through ALSA.

- libasound comes inside PyAV's wheel and looks for its configuration where the wheel was built; Debian's is named to
  it, so that `default`, `plughw:…` and a person's own devices mean what `arecord -L` says they mean.
- One channel is asked for, and two of what has no single one.  Whatever rate it has is brought to the encoder's.
- A block is dated by when it came, on the boot clock, and smoothed by `core.sound`: a card's own clock drifts.
- A thread that waits for a card's next block cannot be interrupted, and a card that was pulled out ends its wait with
  an error.  So `stop` waits for one block at most.

Source: alsa-lib, "PCM naming conventions"; libavdevice/alsa_dec.c.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer

from agent.adapters.delivery import Delivery, Ending
from agent.adapters.sound_encoding import RATE_HZ, SoundEncoder
from agent.core.media import SoundDescription
from agent.core.sound import SampleClock
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DeviceError, InternalError
from agent.ports import CameraEnd, SoundSink

__all__ = ["AlsaMicrophone"]

_CONFIGURATION: Final = Path("/usr/share/alsa/alsa.conf")
_CHANNELS: Final = (1, 2)


def _boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class AlsaMicrophone:
    """`device`: a PCM's name, as `arecord -L` lists them.  Implements `ports.Microphone`."""

    def __init__(self, device: str, bitrate_kbps: int = 40, *, boot_ns: Callable[[], int] = _boot_ns) -> None:
        self._device = device
        self._bitrate_kbps = bitrate_kbps
        self._boot_ns = boot_ns
        self._container: InputContainer | None = None
        self._encoder: SoundEncoder | None = None
        self._delivery: Delivery | None = None

    def open(self) -> SoundDescription:
        if _CONFIGURATION.exists():
            os.environ.setdefault("ALSA_CONFIG_PATH", str(_CONFIGURATION))
        encoder = SoundEncoder(self._bitrate_kbps)
        self._container, self._encoder = self._opened(), encoder
        return encoder.describe(live=True)

    def start(self, sink: SoundSink, first_ns: BootNs) -> None:  # noqa: ARG002 - a live source has its own clock
        container, encoder = self._container, self._encoder
        if container is None or encoder is None:
            raise InternalError("A microphone was started before it was opened.")
        self._container = None

        def deliver(stopping: threading.Event) -> Ending:
            with container:
                return self._deliver(container, encoder, sink, stopping)

        self._delivery = Delivery("microphone-alsa", deliver, sink)
        self._delivery.start()

    def stop(self) -> None:
        if self._delivery is not None:
            self._delivery.stop()
        elif self._container is not None:
            self._container.close()
            self._container = None

    def _deliver(
        self, container: InputContainer, encoder: SoundEncoder, sink: SoundSink, stopping: threading.Event
    ) -> Ending:
        counted = SampleClock(container.streams.audio[0].codec_context.sample_rate)

        def heard_ns(sample: int) -> BootNs:
            return counted.heard_ns(sample * NS_PER_S // RATE_HZ)

        for block in _blocks(container):
            if stopping.is_set():
                return CameraEnd.STOPPED, "The microphone was stopped."
            counted.block(block.samples, BootNs(self._boot_ns()))
            for packet in encoder.feed(block, heard_ns):
                sink.sound(packet)
        return CameraEnd.LOST, f"The microphone '{self._device}' gives nothing more: was it unplugged?"

    def _opened(self) -> InputContainer:
        failure: Exception | None = None
        for channels in _CHANNELS:  # "channels" up to FFmpeg 6, "ch_layout" since; either ignores the other's word
            try:
                return av.open(
                    self._device, mode="r", format="alsa",
                    options={"channels": str(channels), "ch_layout": f"{channels}c", "sample_rate": str(2 * RATE_HZ)},
                )  # fmt: skip
            except (av.error.FFmpegError, OSError) as error:
                failure = error
        busy = isinstance(failure, OSError) and failure.errno == 16
        raise DeviceError(
            f"The microphone '{self._device}' {'is busy: another program has it' if busy else 'cannot be opened'}.",
            remedy="See what `arecord -L` lists, put this user into the group audio, and set sound.device."
            if _CONFIGURATION.exists()
            else f"ALSA's own configuration is missing ({_CONFIGURATION}): sudo apt-get install libasound2-data",
        ) from failure


def _blocks(container: InputContainer) -> Iterator[av.AudioFrame]:
    """What the card gives, until it is gone."""
    with contextlib.suppress(av.error.FFmpegError, OSError):
        for packet in container.demux(container.streams.audio[0]):
            yield from packet.decode()
