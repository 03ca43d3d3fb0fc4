"""Live view: the newest GOPs, sealed in the recorder while an owner looks, and kept for a moment by the custodian.

    writer thread ── packet ──▶ LiveEncoder (recorder): the newest GOP in short parts, unsealed, in memory
                                 │ while an owner looks: each one sealed with a media key, and that to the owners
                                 ▼ the recorder's call to the custodian
                             LiveBuffer (custodian): the newest few, ciphertext ──▶ owners

- Live view gives no access to the camera: its GOPs come from the stream that is filmed anyway. A viewer decides only
  what is *sealed*, and cannot start, stop or turn the camera or the microphone.
- A person with a slow link gets small pictures (`SmallPictures`, by the rule of `core.live_rate`). They are encoded
  only while such a person looks. A Raspberry Pi Zero 2 W has the time for one such encoder, so all viewers get the
  encoding of the slowest link.
- The small pictures are the coloured ones that each camera makes of its frames (`LumaFrame.picture`), so they have its
  masks and need no decoder. The camera's thread makes a picture if one is due, and leaves it here. The thread of live
  view encodes it. If that thread is late, a newer picture takes its place.
- Sound travels with the pictures, sealed in the same file: each part takes what was heard since the part before.
- A browser with locked keys may look with its glance key. The media key is sealed to that key too while it looks, and
  the newest GOP is sealed again when it joins. The custodian says which glance keys look, and the recorder seals to
  those that it knows.
- Only sealed data leaves the recorder, and the custodian has no key. Only the answers to the control socket and an
  owner's page go further, and they stay in memory.
- Both sides are bounded by number and bytes. GOPs are deleted seconds after they came, so the privacy switch leaves an
  empty buffer behind.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

import av
import structlog
from av.video.reformatter import Interpolation

from agent.core.live_rate import SmallPicture, small_picture
from agent.core.media import EncodedPacket, Gop, LumaFrame, Picture, StreamDescription, VideoCodec
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DoorwardError
from agent.ipc.protocol import LiveViewers
from agent.ports import Clock
from agent.recorder.capture.delivery import EncodingSettings, H264Encoder, describe
from agent.recorder.live_stream import LiveEar, LiveStream, LiveViewSink
from agent.recorder.vault import Vault

__all__ = ["LiveEncoder", "LiveViewSink", "NewestPicture", "SmallPictures"]

_SMALL_QUALITY: Final = 28
_SMALL_KEYFRAME_EVERY_NS: Final = 2 * NS_PER_S
_SMALL_BUFFER_S: Final = 0.5
"""A keyframe may take the bits of this time. More would hold the picture up on a slow link."""


class SmallPictures:
    """`frame` from the camera's thread, `begin_again` from any, the rest from the thread of live view.

    `changed`: is notified of each picture.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._wanted: SmallPicture | None = None
        self._waiting: tuple[Picture, BootNs] | None = None
        self._due_ns = 0
        """Sensor time from which the next picture is taken."""
        self._encoder: H264Encoder | None = None
        self._description: StreamDescription | None = None

    def want(self, small: SmallPicture | None) -> None:
        """Encodes such pictures from now on, or none."""
        if small == self._wanted:
            return
        with self._changed:
            self._wanted, self._waiting, self._encoder = small, None, None

    def begin_again(self) -> None:
        """Drops the picture that waits. The next one becomes a keyframe."""
        with self._changed:
            self._waiting = None
            if self._encoder is not None:
                # A viewer who joins, or a newer mask, needs a picture that refers to none before it.
                self._encoder.request_keyframe()

    def frame(self, frame: LumaFrame) -> None:
        """Takes a picture of this frame if one is due."""
        wanted = self._wanted
        if wanted is None or frame.picture is None:
            return
        every_ns = NS_PER_S // wanted.frames_per_s
        ahead_ns = self._due_ns - frame.sensor_ns
        if 0 < ahead_ns <= every_ns:
            return
        # On average the wanted rate, although the camera's is seldom a multiple of it. After a pause, or if the times
        # of the sensor go back, it begins again.
        begin_ns = self._due_ns if -every_ns <= ahead_ns <= 0 else frame.sensor_ns - every_ns
        self._due_ns = begin_ns + every_ns
        picture = frame.picture()
        with self._changed:
            self._waiting = (picture, frame.sensor_ns)
            self._changed.notify_all()

    @property
    def is_waiting(self) -> bool:
        """With `changed` held."""
        return self._waiting is not None

    def encode(self) -> list[tuple[EncodedPacket, StreamDescription]]:
        """Returns the packet of the picture that waits, if there is one."""
        with self._changed:
            waiting, self._waiting = self._waiting, None
            wanted = self._wanted
        if waiting is None or wanted is None:
            return []
        picture, sensor_ns = waiting
        encoder, description = self._encoder_for(picture, wanted)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            description.width_px, description.height_px, "yuv420p", interpolation=Interpolation.AREA
        )
        return [(packet, description) for packet in encoder.encode(frame, sensor_ns)]

    def _encoder_for(self, picture: Picture, wanted: SmallPicture) -> tuple[H264Encoder, StreamDescription]:
        height_px, width_px = picture.shape[:2]
        description = describe(width_px, height_px, wanted.frames_per_s, widest_px=wanted.width_px, live=True)
        if self._encoder is None or self._description is None or description != self._description:
            settings = EncodingSettings(
                quality=_SMALL_QUALITY,
                ceiling_kbps=wanted.kbps,
                buffer_s=_SMALL_BUFFER_S,
                keyframe_every_ns=_SMALL_KEYFRAME_EVERY_NS,
            )
            self._encoder, self._description = H264Encoder(description, settings), description
        return self._encoder, self._description


_MOST_GLANCES: Final = 8
"""As many sessions of the link as there are. Each key costs 1.6 kB a GOP."""
_ASK_S: Final = 2.0
_AWAY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class NewestPicture:
    """The parts of the newest GOP. `end_ns`: on the boot clock. `live`: a camera's, not a file's."""

    parts: tuple[Gop, ...]
    codec: VideoCodec
    end_ns: int
    live: bool


class LiveEncoder:
    """`packet` from the writer's thread, `frame` from the camera's; `run` is a separate thread."""

    def __init__(self, vault: Vault, clock: Clock, device: str) -> None:
        self._log = structlog.get_logger("live")
        self._changed = threading.Condition()
        self._filmed = LiveStream(vault, clock, device, self._changed)
        self._small = LiveStream(vault, clock, device, self._changed, small=True)
        self._pictures = SmallPictures(self._changed)
        self._stopping = False
        self._known: frozenset[str] = frozenset()
        self._is_watched = False

    @property
    def is_watched(self) -> bool:
        """A person watches now. It is False while the custodian is away, because then nothing is shown."""
        return self._is_watched

    @property
    def sealed(self) -> int:
        """Parts that were sealed."""
        return self._filmed.sealed + self._small.sealed

    def listen(self, hear: LiveEar) -> None:
        """There is a microphone."""
        self._filmed.hear = self._small.hear = hear

    def show_to(self, glances: tuple[str, ...]) -> None:
        """Replaces the glance keys that may look. From any thread."""
        self._known = frozenset(glances)

    def packet(self, packet: EncodedPacket, description: StreamDescription) -> None:
        """Takes a filmed packet. It is cheap while there is no viewer."""
        self._filmed.packet(packet, description)
        if packet.masked_anew:
            self._pictures.begin_again()  # a viewer who joins gets no picture from before the mask

    def push(self, gop: Gop, description: StreamDescription) -> None:
        """Takes a filmed GOP, or the next part of one."""
        self._filmed.push(gop, description)

    def frame(self, frame: LumaFrame) -> None:
        """Takes a frame of the camera. It costs nothing while no person needs small pictures."""
        self._pictures.frame(frame)

    def newest_picture(self) -> NewestPicture | None:
        """Returns the newest GOP from its keyframe on, for a picture of now; None while the camera is off."""
        parts = self._filmed.newest()
        if not parts or not parts[0].gop.begins:
            return None
        gops = tuple(each.gop for each in parts)
        description = parts[0].description
        return NewestPicture(gops, description.codec, gops[-1].end_ns, description.live)

    def forget(self) -> None:
        """Deletes all GOPs, because the camera is off."""
        self._filmed.forget()
        self._pictures.begin_again()
        self._small.forget()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def run(self, sink: LiveViewSink) -> None:
        """Until `stop`."""
        while not self._stopping:
            try:
                viewers = self._look(sink.wait_for_viewer(_ASK_S))
                while self._watched(viewers) and not self._stopping:
                    viewers = self._look(self._turn(viewers, sink))
            except DoorwardError as error:
                self._is_watched = False
                self._log.info("not_shown_live", error=error.message)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, _AWAY_S)

    def _watched(self, viewers: LiveViewers) -> tuple[LiveStream, ...]:
        return (self._filmed,) * viewers.now + (self._small,) * (viewers.small_kbps > 0)

    def _turn(self, viewers: LiveViewers, sink: LiveViewSink) -> LiveViewers:
        """Hands over what has come, or waits for it a little. Returns who still looks."""
        watched, still = self._watched(viewers), None
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or self._pictures.is_waiting or any(each.has_new for each in watched), _ASK_S
            )
        for packet, description in self._pictures.encode():
            self._small.packet(packet, description)
        for stream in watched:
            filmed = stream.due()
            if filmed is not None:
                still = stream.hand_over(filmed, sink) or still
        return still or sink.wait_for_viewer(0.0)

    def _look(self, viewers: LiveViewers) -> LiveViewers:
        """Seals to these glance keys from the next key on. A stream without a viewer forgets its key."""
        # The custodian names the keys that look. One that was taken over could name its own, so only known ones count.
        wanted = [each for each in viewers.glances if each in self._known][:_MOST_GLANCES]
        self._pictures.want(small_picture(viewers.small_kbps) if viewers.small_kbps else None)
        watched = self._watched(viewers)
        self._is_watched = bool(watched)
        for stream in (self._filmed, self._small):
            stream.look(wanted)
            if stream not in watched:
                # A person who joins later gets another key: those who have left cannot open what follows.
                stream.sealer.forget()
        if self._small not in watched:
            self._small.forget()  # the next viewer gets no picture of earlier
        return viewers
