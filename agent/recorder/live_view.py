"""Live view: the newest GOPs, sealed in the recorder while an owner looks, and kept for a moment by the custodian.

    writer thread ── packet ──▶ LiveEncoder (recorder): the newest GOP in short parts, unsealed, in memory
                                 │ while an owner looks: each one sealed with a media key, and that to the owners
                                 ▼ the recorder's call to the custodian
                             LiveBuffer (custodian): the newest few, ciphertext ──▶ owners

- Live view gives no access to the camera: its GOPs come from the stream that is filmed anyway. A viewer decides only
  what is *sealed*, and cannot start, stop or turn the camera or the microphone.
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

import itertools
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from agent.core.live import LiveContext, LiveSound, live_plaintext, pieces_of
from agent.core.media import EncodedPacket, Gop, StreamDescription, VideoCodec
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.spans import span_between
from agent.errors import DoorwardError, FormatError
from agent.ipc.protocol import LiveViewers
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.sound import live_sound
from agent.platform.entropy import SystemEntropy
from agent.ports import Clock
from agent.recorder.live_sealing import LiveSealer
from agent.recorder.sound_recorder import RecordedSound
from agent.recorder.vault import Vault

__all__ = ["LiveEncoder", "LiveParts", "LiveViewSink", "NewestPicture"]

_MOST_BYTES: Final = 8 << 20
"""Limit of the current GOP, which is kept for an owner who begins to look in the middle of it."""
_MOST_PARTS: Final = 4096
"""A camera may send tiny pictures for minutes without a keyframe."""
_SOUND_NS: Final = 200 * NS_PER_MS
"""Sound comes with a part after at least this time, because each has a header of 0.6 kB."""
_EARLY_NS: Final = 100 * NS_PER_MS
"""A picture may come this much earlier than the one before made expect."""
_JOINED_BYTES: Final = 4 << 20
"""Parts that have come already are sealed as one, up to the size of the custodian's answer."""
_SOUND_PAUSE_NS: Final = 2 * NS_PER_S
"""After a longer pause of the pictures, sound begins again with them."""
_MOST_GLANCES: Final = 8
"""As many sessions of the link as there are. Each key costs 1.6 kB a GOP."""
_ASK_S: Final = 2.0
_AWAY_S: Final = 5.0


class LiveViewSink(Protocol):
    """The custodian's side, as the recorder sees it."""

    def wait_for_viewer(self, patience_s: float) -> LiveViewers:
        """Waits at most this long for a viewer and returns who looks. Raises `NetworkError` without a custodian."""
        ...

    def put(self, number: int, piece: int, pieces: int, data: bytes, *, begins: bool) -> LiveViewers:
        """Takes a piece of a sealed GOP, or of its part that `begins` it. Returns who still looks."""
        ...


class LiveEar(Protocol):
    def __call__(self, after_ns: int, until_ns: int) -> RecordedSound | None:
        """Returns what was heard in (after_ns, until_ns), boot clock, without waiting; None while nothing is heard."""
        ...


@dataclass(frozen=True, slots=True)
class _LiveGop:
    """`start_ns`, `end_ns`: a part ends where the next one begins, although its end was a guess when it was sent."""

    number: int
    gop: Gop
    description: StreamDescription
    start_ns: BootNs
    end_ns: BootNs


class LiveParts:
    """Cuts a camera's packets into parts for viewers. One stream, one thread.

    A part is one picture, at once. The first GOP comes in the long parts of the vault, and so do all GOPs if pictures
    are decoded in another order than they were taken (B-frames): the delay of a film is taken from its first part,
    which must show the longest delay.
    """

    def __init__(self, frame_ns: int) -> None:
        self._frame_ns = frame_ns
        self._assembler = GopAssembler(frame_ns)
        self._newest_ns = 0
        self._gops = 0
        self._is_in_order = True
        self._is_short = False

    def push(self, packet: EncodedPacket) -> list[Gop]:
        """Takes a packet. Returns the parts that it completes."""
        if packet.keyframe:
            return self._begin(packet)
        if packet.sensor_ns <= self._newest_ns:
            self._is_in_order = False
        self._newest_ns = max(self._newest_ns, packet.sensor_ns)
        if self._is_short:
            return [self._alone(packet)] if self._is_in_order else []  # until the next keyframe
        part = self._assembler.push(packet)
        return [part] if part is not None else []

    def _begin(self, keyframe: EncodedPacket) -> list[Gop]:
        # Through the old assembler, so that the rest ends exactly where the keyframe begins.
        follows = self._newest_ns < keyframe.sensor_ns
        rest = self._assembler.push(keyframe) if follows and not self._is_short else None
        self._is_short = self._gops > 0 and self._is_in_order
        self._gops += 1
        self._newest_ns = keyframe.sensor_ns
        parts = [rest] if rest is not None else []
        if self._is_short:
            return [*parts, self._alone(keyframe)]
        self._assembler = GopAssembler(self._frame_ns)
        self._assembler.push(keyframe)
        return parts

    def _alone(self, packet: EncodedPacket) -> Gop:
        """When the next picture will come is not known yet."""
        end_ns = BootNs(packet.sensor_ns + self._frame_ns)
        return Gop((packet,), end_ns, begins=packet.keyframe, ends=False)


@dataclass(frozen=True, slots=True)
class NewestPicture:
    """The parts of the newest GOP. `end_ns`: on the boot clock. `live`: a camera's, not a file's."""

    parts: tuple[Gop, ...]
    codec: VideoCodec
    end_ns: int
    live: bool


def _joined(parts: Sequence[_LiveGop]) -> _LiveGop:
    """Returns successive parts of one GOP as one, with the number of the last."""
    first, last = parts[0], parts[-1]
    packets = tuple(packet for each in parts for packet in each.gop.packets)
    gop = Gop(packets, last.gop.end_ns, begins=first.gop.begins, ends=last.gop.ends)
    return _LiveGop(last.number, gop, first.description, first.start_ns, last.end_ns)


class LiveEncoder:
    """`packet` from the writer's thread; `run` is a separate thread."""

    def __init__(self, vault: Vault, clock: Clock, device: str) -> None:
        self._sealer = LiveSealer(vault, SystemEntropy())
        self._clock = clock
        self._device = device
        self._log = structlog.get_logger("live")
        self._newest: deque[_LiveGop] = deque()
        """The parts of the newest GOP; without the oldest parts if they are too large."""
        self._newest_bytes = 0
        self._media: FragmentedMp4Writer | None = None
        self._changed = threading.Condition()
        self._stream: StreamDescription | None = None
        self._parts = LiveParts(NS_PER_S)
        self._shown_until_ns = 0
        self._is_repeated = False
        self._number = 0
        self._stopping = False
        self.sealed = 0
        self.hear: LiveEar = lambda _after_ns, _until_ns: None
        """Set if there is a microphone."""
        self._heard_ns = 0
        self._sealed_until_ns = 0
        self._end_ns = BootNs(0)
        """The end of the newest part."""
        self._known: frozenset[str] = frozenset()

    def show_to(self, glances: tuple[str, ...]) -> None:
        """Replaces the glance keys that may look. From any thread."""
        self._known = frozenset(glances)

    def packet(self, packet: EncodedPacket, description: StreamDescription) -> None:
        """Takes a filmed packet. It is cheap while there is no viewer."""
        if description is not self._stream:
            self._stream, self._parts = description, LiveParts(round(NS_PER_S / description.frames_per_s))
        for part in self._parts.push(packet):
            if part.begins:
                self._is_repeated = part.start_ns < self._shown_until_ns
            if not self._is_repeated:  # a network camera may begin with pictures that it had kept
                self._shown_until_ns = max(each.sensor_ns for each in part.packets) + 1
                self.push(part, description)

    def push(self, gop: Gop, description: StreamDescription) -> None:
        """Takes a filmed GOP, or the next part of one."""
        with self._changed:
            self._number += 1
            if gop.begins:
                self._newest.clear()
                self._newest_bytes = 0
            # The keyframe, too, may come a little earlier than the end that was guessed.
            is_early = 0 < self._end_ns - gop.start_ns < _EARLY_NS
            start_ns = BootNs(self._end_ns if is_early or not gop.begins else gop.start_ns)
            self._end_ns = BootNs(max(gop.end_ns, start_ns + 1000))
            self._newest.append(_LiveGop(self._number, gop, description, start_ns, self._end_ns))
            self._newest_bytes += gop.size_bytes
            while len(self._newest) > 1 and (self._newest_bytes > _MOST_BYTES or len(self._newest) > _MOST_PARTS):
                self._newest_bytes -= self._newest.popleft().gop.size_bytes
            self._changed.notify_all()

    def newest_picture(self) -> NewestPicture | None:
        """Returns the newest GOP from its keyframe on, for a picture of now; None while the camera is off."""
        with self._changed:
            parts = tuple(self._newest)
        if not parts or not parts[0].gop.begins:
            return None
        gops = tuple(each.gop for each in parts)
        description = parts[0].description
        return NewestPicture(gops, description.codec, gops[-1].end_ns, description.live)

    def forget(self) -> None:
        """Deletes all GOPs, because the camera is off."""
        with self._changed:
            self._newest.clear()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def run(self, sink: LiveViewSink) -> None:
        """Until `stop`."""
        told = 0
        while not self._stopping:
            try:
                viewers = self._look(sink.wait_for_viewer(_ASK_S))
                while viewers.now and not self._stopping:
                    again = self._shown_already(told) if self._sealer.is_due else None
                    filmed = again or self._next(told)
                    if filmed is not None:
                        told = filmed.number
                        viewers = self._look(self._hand_over(filmed, sink))
                    else:
                        viewers = self._look(sink.wait_for_viewer(0.0))
                self._sealer.forget()
            except DoorwardError as error:
                self._log.info("not_shown_live", error=error.message)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, _AWAY_S)

    def _look(self, viewers: LiveViewers) -> LiveViewers:
        """Seals to these glance keys from the next key on."""
        wanted = [each for each in viewers.glances if each in self._known][:_MOST_GLANCES]
        before = self._sealer.glances
        self._sealer.look({each: before.get(each) or parse_recipient(each) for each in wanted})
        return viewers

    def _shown_already(self, told: int) -> _LiveGop | None:
        """Returns the newest GOP up to number `told` as one part, for another media key; None if its beginning is not
        here. Viewers who have seen it skip it, and go on with the next part."""
        with self._changed:
            shown = [each for each in self._newest if each.number <= told]
        return _joined(shown) if shown and shown[0].gop.begins else None

    def _next(self, told: int) -> _LiveGop | None:
        """Returns what follows number `told`, of its GOP or the newest one, if it has come: all of it as one part."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._number > told, _ASK_S)
            new = [each for each in self._newest if each.number > told]
        if not new or not (new[0].number == told + 1 or new[0].gop.begins):
            return None
        sizes = itertools.accumulate(each.gop.size_bytes for each in new)
        return _joined(
            [
                each
                for number, (each, size) in enumerate(zip(new, sizes, strict=True))
                if not number or size <= _JOINED_BYTES
            ]
        )

    def _hand_over(self, filmed: _LiveGop, sink: LiveViewSink) -> LiveViewers:
        viewers = LiveViewers(True, tuple(self._sealer.glances))
        try:
            sealed = self._sealed(filmed)
        except FormatError:
            return viewers  # a segment of these pictures would fail too, or the beginning of this GOP is gone
        pieces = pieces_of(sealed)
        for number, piece in enumerate(pieces):
            viewers = sink.put(filmed.number, number, len(pieces), piece, begins=filmed.gop.begins)
        self.sealed += 1
        return viewers

    def _sealed(self, filmed: _LiveGop) -> bytes:
        media = self._media_of(filmed)
        now = self._clock.now()
        span = span_between(self._clock.boot_id, now.at(filmed.start_ns), now.at(filmed.end_ns))
        sound, said = self._sound_of(filmed.gop)
        context = LiveContext(device=self._device, span=span, continues=not filmed.gop.begins, sound=said)
        return self._sealer.seal(live_plaintext(media, context, sound), begins=filmed.gop.begins)

    def _sound_of(self, gop: Gop) -> tuple[bytes, LiveSound | None]:
        """Returns what was heard since the part before, no later than this part's end; nothing if that is too short."""
        if not -_EARLY_NS < gop.start_ns - self._sealed_until_ns < _SOUND_PAUSE_NS:
            self._heard_ns = gop.start_ns - 1  # a viewer hears no more than they see
        self._sealed_until_ns = gop.end_ns
        heard = self.hear(self._heard_ns, gop.end_ns)
        if heard is None or heard.description is None:
            return b"", None
        lasts_ns = len(heard.packets) * heard.description.packet_ns
        if not gop.begins and lasts_ns < _SOUND_NS:
            return b"", None
        first_ns = heard.packets[0].heard_ns if heard.packets else gop.start_ns
        self._heard_ns = heard.packets[-1].heard_ns if heard.packets else self._heard_ns
        track = live_sound(heard.description, heard.packets)
        return track, LiveSound(len(track), first_ns // 1000)

    def _media_of(self, filmed: _LiveGop) -> bytes:
        """Returns a separate film; for a part that continues a GOP, a fragment that plays after the parts before it."""
        if filmed.gop.begins:
            self._media = FragmentedMp4Writer(filmed.description)
            return self._media.begin(filmed.gop)
        if self._media is None:
            raise FormatError("This part of a GOP came without its beginning.")
        return self._media.add(filmed.gop)
