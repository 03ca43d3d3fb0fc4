"""A speaker of the board or on USB, through ALSA.

PyAV's wheel contains libasound, which the microphone uses too. So a doorbell needs no further package, and the recorder
starts no other program (`aplay` would need both).

- It requests one channel, and two from a device without a single one.
- A card that was pulled out, or that another program has, is an error with a remedy.

Source: alsa-lib, "PCM naming conventions"; libavdevice/alsa_enc.c.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from agent.errors import DeviceError, InternalError
from agent.recorder.playback.sounds import RATE_HZ

__all__ = ["AlsaSpeaker"]

_CONFIGURATION: Final = Path("/usr/share/alsa/alsa.conf")
_LAYOUTS: Final = ("mono", "stereo")


class AlsaSpeaker:
    """`device`: a PCM's name, as `aplay -L` lists them.  Implements `ports.Speaker`."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._container: OutputContainer | None = None
        self._stream: AudioStream | None = None
        self._channels = 1

    def open(self) -> None:
        if _CONFIGURATION.exists():
            os.environ.setdefault("ALSA_CONFIG_PATH", str(_CONFIGURATION))
        failure: Exception | None = None
        for channels, layout in enumerate(_LAYOUTS, 1):
            try:
                container = av.open(self._device, mode="w", format="alsa")
                stream = container.add_stream("pcm_s16le", rate=RATE_HZ, layout=layout)
                container.start_encoding()
            except (av.error.FFmpegError, OSError) as error:
                failure = error
            else:
                self._container, self._stream, self._channels = container, stream, channels
                return
        busy = isinstance(failure, OSError) and failure.errno == 16
        raise DeviceError(
            f"The speaker '{self._device}' {'is busy: another program has it' if busy else 'cannot be opened'}.",
            remedy="See what `aplay -L` lists, put this user into the group audio, and set speaker.device."
            if _CONFIGURATION.exists()
            else f"ALSA's own configuration is missing ({_CONFIGURATION}): sudo apt-get install libasound2-data",
        ) from failure

    def play(self, samples: bytes) -> None:
        if self._container is None or self._stream is None:
            raise InternalError("A speaker was used before it was opened.")
        block = np.repeat(np.frombuffer(samples, np.int16), self._channels)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout=_LAYOUTS[self._channels - 1])
        frame.sample_rate = RATE_HZ
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            raise DeviceError(
                f"The speaker '{self._device}' takes nothing more: was it unplugged?", remedy="Plug it in again."
            ) from error

    def close(self) -> None:
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            try:
                container.close()
            except (av.error.FFmpegError, OSError) as error:
                raise DeviceError(f"The speaker '{self._device}' was lost before it was closed.") from error
