"""Plays the sound of a file as if a microphone heard it: to try things out, for tests, for footage with sound.

The first sample is heard at `first_ns`.  Without `paced` it is as fast as its reader takes it, like a file's pictures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
from av.container import InputContainer

from agent.adapters.delivery import Delivery, Ending
from agent.adapters.sound_encoding import RATE_HZ, SoundEncoder
from agent.core.media import SoundDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError, InternalError
from agent.ports import CameraEnd, SoundSink

__all__ = ["FileMicrophone"]


class FileMicrophone:
    """Any file with sound that PyAV can read.  Implements `ports.Microphone`."""

    def __init__(self, path: Path, bitrate_kbps: int = 40, *, paced: bool = False) -> None:
        self._path = path
        self._bitrate_kbps = bitrate_kbps
        self._paced = paced
        self._container: InputContainer | None = None
        self._encoder: SoundEncoder | None = None
        self._delivery: Delivery | None = None

    def open(self) -> SoundDescription:
        """Raises `ConfigurationError` when there is no such file or no sound in it."""
        encoder = SoundEncoder(self._bitrate_kbps)
        try:
            container = av.open(str(self._path), mode="r")
        except (av.error.FFmpegError, OSError) as error:
            raise self._no_sound() from error
        if not container.streams.audio:
            container.close()
            raise self._no_sound()
        self._container, self._encoder = container, encoder
        return encoder.describe(live=False)

    def start(self, sink: SoundSink, first_ns: BootNs) -> None:
        container, encoder = self._container, self._encoder
        if container is None or encoder is None:
            raise InternalError("A microphone was started before it was opened.")
        self._container = None

        def heard_ns(sample: int) -> BootNs:
            return BootNs(first_ns + sample * NS_PER_S // RATE_HZ)

        def deliver(stopping: threading.Event) -> Ending:
            with container:
                return self._deliver(container, encoder, heard_ns, sink, stopping)

        self._delivery = Delivery("microphone-file", deliver, sink)
        self._delivery.start()

    def stop(self) -> None:
        if self._delivery is not None:
            self._delivery.stop()
        elif self._container is not None:
            self._container.close()
            self._container = None

    def _deliver(
        self, container: InputContainer, encoder: SoundEncoder, heard_ns: Callable[[int], BootNs], sink: SoundSink,
        stopping: threading.Event,
    ) -> Ending:  # fmt: skip
        began_ns = time.monotonic_ns()
        first_ns = heard_ns(0)
        try:
            for block in container.decode(audio=0):
                for packet in encoder.feed(block, heard_ns):
                    wait_ns = began_ns + packet.heard_ns - first_ns - time.monotonic_ns() if self._paced else 0
                    if stopping.wait(max(0, wait_ns) / NS_PER_S):
                        return CameraEnd.STOPPED, "The microphone was stopped."
                    sink.sound(packet)
            for packet in encoder.flush(heard_ns):
                sink.sound(packet)
        except av.error.FFmpegError:
            return CameraEnd.LOST, f"The sound of '{self._path}' is damaged; what could be decoded was used."
        return CameraEnd.END_OF_FOOTAGE, f"The sound of '{self._path}' has been played to its end."

    def _no_sound(self) -> ConfigurationError:
        return ConfigurationError(
            f"'{self._path}' has no sound that can be played.", remedy="Set sound.path to a WAV file, for instance."
        )
