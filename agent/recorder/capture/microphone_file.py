"""Plays the sound of a file as if a microphone heard it: for trials, tests, and footage with sound.

The first sample has the time `first_ns`. Without `paced` the sound is as fast as its reader takes it, like a file's
pictures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av

from agent.core.media import SoundPacket
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError
from agent.ports import CameraEnd, SoundSink
from agent.recorder.capture.delivery import Ending
from agent.recorder.capture.microphone import STOPPED, ContainerMicrophone, SoundSource
from agent.recorder.capture.sound_encoding import HeardNs, SoundEncoder

__all__ = ["FileMicrophone"]


class FileMicrophone(ContainerMicrophone):
    """Any file with sound that PyAV can read.  Implements `ports.Microphone`."""

    def __init__(self, path: Path, bitrate_kbps: int = 40, *, paced: bool = False) -> None:
        super().__init__("microphone-file", live=False)
        self._path = path
        self._bitrate_kbps = bitrate_kbps
        self._paced = paced

    def _opened(self) -> SoundSource:
        """Raises `ConfigurationError` if the file is missing or holds no sound."""
        encoder = SoundEncoder(self._bitrate_kbps)
        try:
            container = av.open(str(self._path), mode="r")
        except (av.error.FFmpegError, OSError) as error:
            raise self._no_sound() from error
        if not container.streams.audio:
            container.close()
            raise self._no_sound()
        return SoundSource(container, encoder)

    def _deliver(self, source: SoundSource, sink: SoundSink, first_ns: BootNs, stopping: threading.Event) -> Ending:
        def heard_ns(sample: int) -> BootNs:
            return BootNs(first_ns + sample * NS_PER_S // source.form.rate_hz)

        began_ns = time.monotonic_ns()
        try:
            for packet in _all(source, heard_ns):
                wait_ns = began_ns + packet.heard_ns - first_ns - time.monotonic_ns() if self._paced else 0
                if stopping.wait(max(0, wait_ns) / NS_PER_S):
                    return STOPPED
                sink.sound(packet)
        except av.error.FFmpegError:
            return CameraEnd.LOST, f"The sound of '{self._path}' is damaged; what could be decoded was used."
        return CameraEnd.END_OF_FOOTAGE, f"The sound of '{self._path}' has been played to its end."

    def _no_sound(self) -> ConfigurationError:
        return ConfigurationError(
            f"'{self._path}' has no sound that can be played.", remedy="Set sound.path to a WAV file, for instance."
        )


def _all(source: SoundSource, heard_ns: HeardNs) -> Iterator[SoundPacket]:
    for packet in source.container.demux(source.container.streams.audio[0]):
        yield from source.form.take(packet, lambda _samples: None, heard_ns)
    yield from source.form.flush(heard_ns)
