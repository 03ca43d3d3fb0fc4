"""A microphone of the board or on USB, through ALSA.

- PyAV's wheel contains libasound, which looks for its configuration where the wheel was built. The path of Debian's
  configuration is passed to it, so that `default`, `plughw:…` and a user's devices mean the same as in `arecord -L`.
- It requests one channel, and two from a device without a single one. The encoder converts any sample rate.
- A card that was pulled out ends the wait for its next block with an error.

Source: alsa-lib, "PCM naming conventions"; libavdevice/alsa_dec.c.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer

from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DeviceError
from agent.ports import CameraEnd, SoundSink
from agent.recorder.capture.delivery import Ending
from agent.recorder.capture.microphone import ContainerMicrophone, SoundSource, SoundTiming, boot_ns, deliver_live
from agent.recorder.capture.sound_encoding import RATE_HZ, SoundEncoder

__all__ = ["AlsaMicrophone"]

_CONFIGURATION: Final = Path("/usr/share/alsa/alsa.conf")
_CHANNELS: Final = (1, 2)
_LOST_NS: Final = NS_PER_S // 4


class AlsaMicrophone(ContainerMicrophone):
    """`device`: a PCM's name, as `arecord -L` lists them.  Implements `ports.Microphone`."""

    def __init__(self, device: str, bitrate_kbps: int = 40, *, now_ns: Callable[[], int] = boot_ns) -> None:
        super().__init__("microphone-alsa", live=True)
        self._device = device
        self._bitrate_kbps = bitrate_kbps
        self._now_ns = now_ns

    def _opened(self) -> SoundSource:
        if _CONFIGURATION.exists():
            os.environ.setdefault("ALSA_CONFIG_PATH", str(_CONFIGURATION))
        encoder = SoundEncoder(self._bitrate_kbps)
        return SoundSource(self._card(), encoder)

    def _deliver(self, source: SoundSource, sink: SoundSink, first_ns: BootNs, stopping: threading.Event) -> Ending:
        del first_ns  # a live source has its own clock
        return deliver_live(source, sink, stopping, SoundTiming(_LOST_NS, now_ns=self._now_ns)) or (
            CameraEnd.LOST,
            f"The microphone '{self._device}' gives nothing more: was it unplugged?",
        )

    def _card(self) -> InputContainer:
        failure: Exception | None = None
        for channels in _CHANNELS:  # "channels" up to FFmpeg 6, "ch_layout" since; each ignores the other option
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
