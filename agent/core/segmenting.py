"""Turns packets into GOPs, and GOPs plus clip decisions into segments: which GOP is sealed into which file.

Rules, each a property test:
- A clip holds every GOP that has something between its `from_ns` and its `until_ns`, as far back as the pre-roll
  ring reaches.  Borders fall on GOPs, so a clip is a little longer than asked, never shorter.
- A GOP is sealed once.  When a clip's pre-roll reaches into the clip before, it continues exactly where that one
  ended: between two clips of one event nothing is lost and nothing is stored twice.
- Decisions may come before or after the GOPs they speak of, and `until_ns` may lie ahead (post-roll) or behind.
- A segment ends at the GOP border nearest to the target length; a clip's last segment may be shorter.

Source: PROTOCOL.md of the design, "Segment"; the transition table is `_feed`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.core.media import EncodedPacket, Gop
from agent.core.preroll import PrerollRing
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError, DeviceError, InternalError

__all__ = [
    "LONGEST_SEGMENT_NS",
    "SHORTEST_SEGMENT_NS",
    "ClipCompletes",
    "GopAssembler",
    "SegmentBegins",
    "SegmentEffect",
    "SegmentEnds",
    "SegmentGrows",
    "Segmenter",
]

SHORTEST_SEGMENT_NS = 2 * NS_PER_S
LONGEST_SEGMENT_NS = 30 * NS_PER_S


class GopAssembler:
    """Gathers packets into GOPs.  A GOP is known to be whole when the next keyframe arrives, or at `finish`."""

    def __init__(self, frame_ns: int, longest_ns: int = 20 * NS_PER_S) -> None:
        """`frame_ns` is how long the very last frame of the stream is taken to last."""
        self._frame_ns = frame_ns
        self._longest_ns = longest_ns
        self._packets: list[EncodedPacket] = []
        self.skipped = 0
        """Packets in front of the first keyframe: nothing could decode them."""

    def push(self, packet: EncodedPacket) -> Gop | None:
        """Take in a packet; return the GOP it completes.

        Raises `DeviceError` when keyframes stay away so long that memory and pre-roll would suffer, and
        `InternalError` when sensor times do not increase.
        """
        if self._packets and packet.sensor_ns <= self._packets[-1].sensor_ns:
            raise InternalError("A camera's sensor times must increase.")
        if packet.keyframe:
            whole = self._whole(packet.sensor_ns)
            self._packets = [packet]
            return whole
        if not self._packets:
            self.skipped += 1
            return None
        if packet.sensor_ns - self._packets[0].sensor_ns > self._longest_ns:
            raise DeviceError(
                f"The camera sent no keyframe for {self._longest_ns / NS_PER_S:.0f} s.",
                remedy="Set its encoder to send one about every second.",
            )
        self._packets.append(packet)
        return None

    def finish(self) -> Gop | None:
        """The stream is over: return what was gathered, its last frame lasting one frame's time."""
        whole = self._whole(BootNs(self._packets[-1].sensor_ns + self._frame_ns)) if self._packets else None
        self._packets = []
        return whole

    def _whole(self, end_ns: BootNs) -> Gop | None:
        return Gop(tuple(self._packets), end_ns) if self._packets else None


@dataclass(frozen=True, slots=True)
class SegmentBegins:
    """Begin a sealed file with this GOP.  `ordinal` counts the clip's segments from 0: the first has the poster."""

    event: int
    ordinal: int
    gop: Gop


@dataclass(frozen=True, slots=True)
class SegmentGrows:
    """Append this GOP to the file that is open."""

    gop: Gop


@dataclass(frozen=True, slots=True)
class SegmentEnds:
    """Finish and acknowledge the file that is open; `end_ns` is the end of its last GOP."""

    end_ns: BootNs


@dataclass(frozen=True, slots=True)
class ClipCompletes:
    """The clip's last segment has ended.  Not sent for a clip whose every GOP already lies in the clip before."""

    event: int
    segments: int
    start_ns: BootNs
    end_ns: BootNs


SegmentEffect = SegmentBegins | SegmentGrows | SegmentEnds | ClipCompletes


@dataclass(slots=True)
class _Clip:
    """A stretch of time that was asked for, and how far it has been written."""

    event: int
    from_ns: int
    until_ns: int | None = None
    segments: int = 0
    start_ns: BootNs | None = None

    def wants(self, gop: Gop) -> bool:
        return gop.end_ns > self.from_ns and (self.until_ns is None or gop.start_ns < self.until_ns)

    def is_over_at(self, now_ns: int) -> bool:
        """Whether no GOP that begins at or after `now_ns` can belong to it."""
        return self.until_ns is not None and self.until_ns <= now_ns


class Segmenter:
    """Decides which GOP goes into which segment.  Owns the pre-roll ring; belongs to one thread.

    Call it in the order things are learnt: `push` for each GOP, `clip_begins` and `clip_ends` for each decision.
    """

    def __init__(self, target_ns: int, ring: PrerollRing) -> None:
        if not SHORTEST_SEGMENT_NS <= target_ns <= LONGEST_SEGMENT_NS:
            raise ConfigurationError(
                f"A segment of {target_ns / NS_PER_S:g} s is not possible.", remedy="Choose between 2 and 30 seconds."
            )
        self._target_ns = target_ns
        self._ring = ring
        self._clips: deque[_Clip] = deque()
        self._segment_start_ns: int | None = None
        self._written_ns = 0
        """Everything before this is sealed or was never wanted: the next GOP to write begins here or later."""
        self._pushed_ns = 0

    @property
    def recording(self) -> bool:
        """Whether a segment is open."""
        return self._segment_start_ns is not None

    @property
    def running(self) -> bool:
        """Whether a clip has begun and not ended, or lies ahead."""
        return bool(self._clips)

    @property
    def idle(self) -> bool:
        """Whether the newest GOP went into no clip, and the next one goes into none that is known."""
        return not self._clips and self._written_ns < self._pushed_ns

    def clip_begins(self, event: int, from_ns: int) -> tuple[SegmentEffect, ...]:
        """Begin a clip at `from_ns`, in the past (its pre-roll is written at once) or ahead.

        A clip that still runs without an end is ended where the new one begins.
        """
        effects: list[SegmentEffect] = []
        if self._clips and self._clips[-1].until_ns is None:
            effects += self.clip_ends(self._clips[-1].event, max(from_ns, self._clips[-1].from_ns))
        self._clips.append(_Clip(event, from_ns))
        return (*effects, *self._catch_up())

    def clip_ends(self, event: int, until_ns: int) -> tuple[SegmentEffect, ...]:
        """End the clip of `event` at the first GOP border at or after `until_ns`; what is written stays written."""
        clip = next((clip for clip in reversed(self._clips) if clip.event == event and clip.until_ns is None), None)
        if clip is None:
            raise InternalError(f"Event {event} ended a clip it had not begun.")
        clip.until_ns = until_ns
        return self._catch_up()

    def push(self, gop: Gop) -> tuple[SegmentEffect, ...]:
        """Take in the next GOP of the stream."""
        self._ring.push(gop)
        self._pushed_ns = gop.end_ns
        return tuple(self._feed(gop))

    def finish(self) -> tuple[SegmentEffect, ...]:
        """The stream is over (camera stopped or lost): end what is open, forget clips that lay ahead and the ring."""
        effects = self._complete(self._clips.popleft()) if self._clips else []
        self._clips.clear()
        self._ring.clear()
        return tuple(effects)

    def _catch_up(self) -> tuple[SegmentEffect, ...]:
        """Apply a decision to what the ring still holds."""
        effects = [effect for gop in self._ring.since(self._written_ns) for effect in self._feed(gop)]
        return (*effects, *self._complete_clips(self._pushed_ns))

    def _feed(self, gop: Gop) -> list[SegmentEffect]:
        """Write the GOP if the clip in front wants it and it was not written before."""
        if gop.start_ns < self._written_ns:
            return []
        effects = self._complete_clips(gop.start_ns)
        if self._clips and self._clips[0].wants(gop):
            effects += self._write(self._clips[0], gop)
        return effects + self._complete_clips(self._written_ns)

    def _write(self, clip: _Clip, gop: Gop) -> list[SegmentEffect]:
        effects: list[SegmentEffect] = []
        if self._segment_start_ns is None:
            effects.append(SegmentBegins(clip.event, clip.segments, gop))
            self._segment_start_ns = gop.start_ns
            clip.segments += 1
            clip.start_ns = gop.start_ns if clip.start_ns is None else clip.start_ns
        else:
            effects.append(SegmentGrows(gop))
        self._written_ns = gop.end_ns
        # Nearest border: end here unless one more GOP as long as this one would come closer to the target.
        if gop.end_ns - self._segment_start_ns + (gop.end_ns - gop.start_ns) // 2 >= self._target_ns:
            effects += self._end_segment()
        return effects

    def _end_segment(self) -> list[SegmentEffect]:
        if self._segment_start_ns is None:
            return []
        self._segment_start_ns = None
        return [SegmentEnds(BootNs(self._written_ns))]

    def _complete_clips(self, now_ns: int) -> list[SegmentEffect]:
        effects: list[SegmentEffect] = []
        while self._clips and self._clips[0].is_over_at(now_ns):
            effects += self._complete(self._clips.popleft())
        return effects

    def _complete(self, clip: _Clip) -> list[SegmentEffect]:
        effects = self._end_segment()
        if clip.start_ns is not None:
            effects.append(ClipCompletes(clip.event, clip.segments, clip.start_ns, BootNs(self._written_ns)))
        return effects
