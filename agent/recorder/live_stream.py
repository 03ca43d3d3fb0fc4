"""One encoding of live view: its newest GOP in short parts, and their sealing while a person looks (`live_view`).

push ──▶ the parts of the newest GOP, unsealed, in memory ── due, hand_over ──▶ sealed, to the custodian
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from agent.core.live import LiveContext, LiveSound, live_plaintext, pieces_of
from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.fields import span_between
from agent.errors import FormatError
from agent.ipc.protocol import LiveViewers
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.sound import live_sound
from agent.platform.system_clock import SystemEntropy
from agent.ports import Clock
from agent.recorder.live_sealing import LiveSealer
from agent.recorder.sound_recorder import RecordedSound
from agent.recorder.vault import Vault

__all__ = ["LiveEar", "LivePart", "LiveParts", "LiveStream", "LiveViewSink"]

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


class LiveViewSink(Protocol):
    """The custodian's side, as the recorder sees it."""

    def wait_for_viewer(self, patience_s: float) -> LiveViewers:
        """Waits at most this long for a viewer and returns who looks. Raises `NetworkError` without a custodian."""
        ...

    def put(
        self, number: int, piece: int, pieces: int, data: bytes, *, begins: bool, small: bool = False
    ) -> LiveViewers:
        """Takes a piece of a sealed GOP, or of its part that `begins` it. `small`: of the small pictures. Returns who
        still looks."""
        ...


class LiveEar(Protocol):
    def __call__(self, after_ns: int, until_ns: int) -> RecordedSound | None:
        """Returns what was heard in (after_ns, until_ns), boot clock, without waiting; None while nothing is heard."""
        ...


@dataclass(frozen=True, slots=True)
class LivePart:
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

    def __init__(self, frame_ns: int, *, known_order: bool = False) -> None:
        """`known_order`: the encoder is ours and has no B-frames, so the first GOP too comes in short parts."""
        self._frame_ns = frame_ns
        self._assembler = GopAssembler(frame_ns)
        self._newest_ns = 0
        self._is_order_known = known_order
        """A whole GOP has shown whether there are B-frames, or there are none for certain."""
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
        self._is_short = self._is_order_known and self._is_in_order
        self._is_order_known = True
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


def _joined(parts: Sequence[LivePart]) -> LivePart:
    """Returns successive parts of one GOP as one, with the number of the last."""
    first, last = parts[0], parts[-1]
    packets = tuple(packet for each in parts for packet in each.gop.packets)
    gop = Gop(packets, last.gop.end_ns, begins=first.gop.begins, ends=last.gop.ends)
    return LivePart(last.number, gop, first.description, first.start_ns, last.end_ns)


class LiveStream:
    """`packet` and `push` from the thread that has the packets, the rest from the thread of live view. `changed`: is
    notified of each part."""

    def __init__(
        self, vault: Vault, clock: Clock, device: str, changed: threading.Condition, *, small: bool = False
    ) -> None:
        self.sealer = LiveSealer(vault, SystemEntropy())
        self._clock = clock
        self._device = device
        self._small = small
        self._newest: deque[LivePart] = deque()
        """The parts of the newest GOP; without the oldest parts if they are too large."""
        self._newest_bytes = 0
        self._media: FragmentedMp4Writer | None = None
        self._changed = changed
        self._stream: StreamDescription | None = None
        self._parts = LiveParts(NS_PER_S)
        self._shown_until_ns = 0
        self._is_repeated = False
        self._number = 0
        self._told = 0
        """The number of the newest part that was handed over."""
        self.sealed = 0
        self.hear: LiveEar = lambda _after_ns, _until_ns: None
        """Set if there is a microphone."""
        self._heard_ns = 0
        self._sealed_until_ns = 0
        self._end_ns = BootNs(0)
        """The end of the newest part."""

    def packet(self, packet: EncodedPacket, description: StreamDescription) -> None:
        """Takes an encoded packet. It is cheap while there is no viewer."""
        if description is not self._stream:
            frame_ns = round(NS_PER_S / description.frames_per_s)
            self._stream, self._parts = description, LiveParts(frame_ns, known_order=self._small)
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
            # A span of at least a microsecond, the unit in which a part states its times.
            self._end_ns = BootNs(max(gop.end_ns, start_ns + 1000))
            self._newest.append(LivePart(self._number, gop, description, start_ns, self._end_ns))
            self._newest_bytes += gop.size_bytes
            # A camera with rare keyframes would otherwise keep minutes of pictures in memory.
            while len(self._newest) > 1 and (self._newest_bytes > _MOST_BYTES or len(self._newest) > _MOST_PARTS):
                self._newest_bytes -= self._newest.popleft().gop.size_bytes
            self._changed.notify_all()

    def newest(self) -> tuple[LivePart, ...]:
        """Returns the parts of the newest GOP; empty while the camera is off."""
        with self._changed:
            return tuple(self._newest)

    def forget(self) -> None:
        """Deletes all parts, because the camera is off."""
        with self._changed:
            self._newest.clear()

    def look(self, glances: Sequence[str]) -> None:
        """Seals to these glance keys, besides the owners, from the next key on."""
        before = self.sealer.glances
        self.sealer.look({each: before.get(each) or parse_recipient(each) for each in glances})

    @property
    def has_new(self) -> bool:
        """With `changed` held."""
        return bool(self._unseen()) or (self.sealer.is_due and self._shown_already() is not None)

    def due(self) -> LivePart | None:
        """Returns what to hand over next, all of it as one part: the newest GOP again if another media key is due, or
        what has come since."""
        with self._changed:
            return (self._shown_already() if self.sealer.is_due else None) or self._next()

    def _shown_already(self) -> LivePart | None:
        """Returns the newest GOP as far as it was handed over, for another media key; None if its beginning is not
        here. Viewers who have seen it skip it, and go on with the next part."""
        shown = [each for each in self._newest if each.number <= self._told]
        return _joined(shown) if shown and shown[0].gop.begins else None

    def _next(self) -> LivePart | None:
        new = self._unseen()
        if not new:
            return None
        sizes = itertools.accumulate(each.gop.size_bytes for each in new)
        return _joined(
            [
                each
                for number, (each, size) in enumerate(zip(new, sizes, strict=True))
                if not number or size <= _JOINED_BYTES
            ]
        )

    def _unseen(self) -> list[LivePart]:
        """Returns what follows the last part, of its GOP or the newest one, if it has come."""
        new = [each for each in self._newest if each.number > self._told]
        return new if new and (new[0].number == self._told + 1 or new[0].gop.begins) else []

    def hand_over(self, filmed: LivePart, sink: LiveViewSink) -> LiveViewers | None:
        """Returns who still looks; None if there was nothing to hand over."""
        # Also if sealing fails: the same part would fail again, and hold up those behind it.
        self._told = filmed.number
        try:
            sealed = self._sealed(filmed)
        except FormatError:
            return None  # a segment of these pictures would fail too, or the beginning of this GOP is gone
        viewers, pieces = None, pieces_of(sealed)
        for number, piece in enumerate(pieces):
            viewers = sink.put(filmed.number, number, len(pieces), piece, begins=filmed.gop.begins, small=self._small)
        self.sealed += 1
        return viewers

    def _sealed(self, filmed: LivePart) -> bytes:
        media = self._media_of(filmed)
        now = self._clock.now()
        span = span_between(self._clock.boot_id, now.at(filmed.start_ns), now.at(filmed.end_ns))
        sound, said = self._sound_of(filmed.gop)
        context = LiveContext(device=self._device, span=span, continues=not filmed.gop.begins, sound=said)
        return self.sealer.seal(live_plaintext(media, context, sound), begins=filmed.gop.begins)

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

    def _media_of(self, filmed: LivePart) -> bytes:
        """Returns a separate film; for a part that continues a GOP, a fragment that plays after the parts before it."""
        if filmed.gop.begins:
            self._media = FragmentedMp4Writer(filmed.description)
            return self._media.begin(filmed.gop)
        if self._media is None:
            raise FormatError("This part of a GOP came without its beginning.")
        return self._media.add(filmed.gop)
