"""A network camera's microphone: its sound is taken from the stream that its pictures come from.

- It has a separate connection for sound alone: a few kB a second. A fault of the sound leaves the picture unharmed.
- AAC-LC of one or two channels is kept as it comes. Everything else that can be decoded (G.711, G.726, Opus, …) is
  encoded to the AAC that a local microphone gives: a segment's sound is AAC, which plays everywhere.
- It is dated by its arrival, as the pictures are (`core.arrivals`), because the camera's two clocks may disagree. Its
  time stamps show gaps, for example if a camera omits silence or restarts.
- The address may hold a password, so messages shorten it.

Sources: RFC 3640 (AAC in RTP), RFC 3551 (G.711 in RTP), RFC 7587 (Opus in RTP).
"""

from __future__ import annotations

import threading
from typing import Final

from agent.core.timebase import NS_PER_S, BootNs
from agent.media.aac import AacConfig, lc_config
from agent.ports import CameraEnd, SoundSink
from agent.recorder.capture.delivery import Ending
from agent.recorder.capture.microphone import ContainerMicrophone, SoundSource, SoundTiming, deliver_live
from agent.recorder.capture.rtsp import host_of, no_sound, opened
from agent.recorder.capture.sound_encoding import SoundEncoder, SoundPassthrough, SoundTrack

__all__ = ["RtspMicrophone"]

_PATIENCE_S: Final = 4.0
"""Less than the time that `recorder.sound_recorder` waits for the microphone to close."""
_TIMING: Final = SoundTiming(lost_ns=2 * NS_PER_S, stamped=True)
"""Networks hold back more than sound cards do: the same as for pictures."""


class RtspMicrophone(ContainerMicrophone):
    """Implements `ports.Microphone`. `bitrate_kbps` applies to sound that must be encoded."""

    def __init__(self, url: str, bitrate_kbps: int = 40) -> None:
        super().__init__("microphone-rtsp", live=True)
        self._url = url
        self._bitrate_kbps = bitrate_kbps

    def _opened(self) -> SoundSource:
        container = opened(self._url, _PATIENCE_S, "audio")
        streams = container.streams.audio
        if not streams or not streams[0].codec_context.sample_rate:
            container.close()
            raise no_sound(self._url, "none that can be decoded" if streams else "none is in its stream")
        codec = streams[0].codec_context
        config = lc_config(codec.extradata or b"") if codec.name == "aac" else None
        return SoundSource(container, self._form(config))

    def _form(self, config: AacConfig | None) -> SoundTrack:
        return SoundPassthrough(config) if config is not None else SoundEncoder(self._bitrate_kbps)

    def _deliver(self, source: SoundSource, sink: SoundSink, first_ns: BootNs, stopping: threading.Event) -> Ending:
        del first_ns  # a live source has its own clock
        return deliver_live(source, sink, stopping, _TIMING) or (
            CameraEnd.LOST,
            f"The camera at {host_of(self._url)} sends no more sound: check its microphone, its power and the network.",
        )
