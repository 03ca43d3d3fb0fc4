"""Turns packets into GOPs, and GOPs plus clip decisions into segments: decides which GOP is sealed into which file.

Rules, each a property test:
- A clip holds every GOP that overlaps the time from `from_ns` to `until_ns`, as far back as the pre-roll ring reaches.
  Borders are at GOPs, so a clip is as long as asked or a little longer.
- A GOP is sealed once. If a clip's pre-roll reaches into the clip before, it continues exactly where that one ended.
  Between two clips of one event, every GOP is thus stored exactly once.
- Decisions may come before or after their GOPs, and `until_ns` may be in the future (post-roll) or in the past.
- A segment ends at the GOP border nearest to the target length. A clip's last segment may be shorter.
- The parts of a long GOP follow its keyframe: every segment begins with a keyframe.

Source: FORMAT.md, "Segment".
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.core.media import EncodedPacket, Gop
from agent.core.preroll import PrerollBuffer
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError, InternalError

__all__ = [
    "LARGEST_GOP_BYTES",
    "LONGEST_GOP_NS",
    "LONGEST_TARGET_NS",
    "SHORTEST_TARGET_NS",
    "ClipCompletes",
    "GopAssembler",
    "SegmentBegins",
    "SegmentEffect",
    "SegmentEnds",
    "SegmentGrows",
    "Segmenter",
]

SHORTEST_TARGET_NS = 2 * NS_PER_S
LONGEST_TARGET_NS = 30 * NS_PER_S
"""Lengths of a segment that an owner may set."""
LONGEST_GOP_NS = 60 * NS_PER_S
"""Twice the longest GOP seen from cameras with a "smart" codec. A segment holds at least one GOP."""
LARGEST_GOP_BYTES = 64_000_000
"""Half a minute at 17 Mbit/s. The pre-roll holds it, so it must fit under the recorder's 220 MiB (decision 7)."""
_PART_NS = 2 * NS_PER_S
"""The interval at which a growing segment is synced (FORMAT.md, C3)."""
_PART_BYTES = 2 << 20
_LARGEST_PART_BYTES = 16 << 20
"""A part must end before a picture shown earlier. A broken stream may lack such a border, so this bounds a part."""
_MOST_PICTURES = 60 * 120
"""A minute at 120 a second. For example, a million pictures of ten bytes take memory, too."""


class GopAssembler:
    """Gathers packets into GOPs. A GOP is known to be whole when the next keyframe arrives, or at `finish`.

    A GOP that grows past `part_ns` or `part_bytes` is returned in parts, so that a power cut loses only seconds of it
    and live view waits only seconds. Past `longest_ns` or `largest_bytes` the rest is skipped, because the pre-roll
    must hold the whole GOP in a small board's memory (`overlong` gives the reason until the next keyframe).

    A part begins at a picture if all earlier pictures in the stream were taken before all later ones, as far as the
    stream has shown.
    """

    def __init__(
        self,
        frame_ns: int,
        longest_ns: int = LONGEST_GOP_NS,
        *,
        part_ns: int = _PART_NS,
        part_bytes: int = _PART_BYTES,
        largest_bytes: int = LARGEST_GOP_BYTES,
    ) -> None:
        """`frame_ns` is the assumed duration of the very last frame of the stream."""
        self._frame_ns = frame_ns
        self._longest_ns = longest_ns
        self._largest_bytes = largest_bytes
        self._part_ns, self._part_bytes = part_ns, part_bytes
        self._largest_part_bytes = max(_LARGEST_PART_BYTES, 2 * part_bytes)
        self._packets: list[EncodedPacket] = []
        self._size_bytes = self._part_size_bytes = self._pictures = 0
        self._border: int | None = None
        """The end of the part that is being gathered. Confirmed when the next picture in order comes."""
        self._begins = True
        self._begun_ns = self._part_start_ns = self._newest_ns = BootNs(0)
        self.overlong = ""
        """The reason why packets are skipped now. Empty while packets are kept."""
        self.skipped = 0
        """Packets that cannot be decoded: before the first keyframe, or dependent on the GOP before theirs."""

    def push(self, packet: EncodedPacket) -> Gop | None:
        """Takes in a packet. Returns the GOP, or the part of one, that it completes.

        Raises `InternalError` if a keyframe is older than a packet before it.
        """
        if packet.keyframe:
            if self._packets and packet.sensor_ns <= self._newest_ns:
                raise InternalError("A camera's sensor times must increase from keyframe to keyframe.")
            # The last picture lasts until this keyframe, so that no time is lost between two GOPs.
            whole = self._out(len(self._packets), packet.sensor_ns, ends=True)
            self._start(packet)
            return whole
        # A picture taken before its keyframe depends on the GOP before, which a requester may lack.
        if not self._packets or packet.sensor_ns <= self._begun_ns:
            self.skipped += 1
            return None
        part = None
        if self._is_overlong(packet):
            self.skipped += 1
            end_ns = (
                packet.sensor_ns if packet.sensor_ns > self._newest_ns else BootNs(self._newest_ns + self._frame_ns)
            )
            return self._out(len(self._packets), end_ns, ends=True)
        if packet.sensor_ns > self._newest_ns:
            part = self._part_before(packet)
        self._add(packet)
        return part

    def finish(self) -> Gop | None:
        """Ends the stream. Returns the gathered GOP. Its last frame lasts one frame's time."""
        return self._out(len(self._packets), BootNs(self._newest_ns + self._frame_ns), ends=True)

    def _start(self, keyframe: EncodedPacket) -> None:
        self.overlong = ""
        self._begins, self._border = True, None
        self._size_bytes = self._part_size_bytes = self._pictures = 0
        self._begun_ns = self._part_start_ns = self._newest_ns = keyframe.sensor_ns
        self._add(keyframe)

    def _add(self, packet: EncodedPacket) -> None:
        self._packets.append(packet)
        self._pictures += 1
        self._size_bytes += len(packet.data)
        self._part_size_bytes += len(packet.data)
        self._newest_ns = max(self._newest_ns, packet.sensor_ns)

    def _is_overlong(self, packet: EncodedPacket) -> bool:
        lasted_s = (packet.sensor_ns - self._begun_ns) / NS_PER_S
        if packet.sensor_ns - self._begun_ns > self._longest_ns:
            self.overlong = f"The camera sent no keyframe for {lasted_s:.0f} s."
        elif self._part_size_bytes + len(packet.data) > self._largest_part_bytes:
            self.overlong = f"The camera sent {self._part_size_bytes / 1e6:.0f} MB out of order."
        elif self._pictures >= _MOST_PICTURES:
            self.overlong = f"The camera sent {self._pictures} pictures without a keyframe."
        elif self._size_bytes + len(packet.data) > self._largest_bytes:
            self.overlong = f"The camera sent {self._size_bytes / 1e6:.0f} MB in {lasted_s:.0f} s without a keyframe."
        else:
            return False
        self.overlong += " Nothing is recorded until the next one: set its encoder to send one about every second."
        return True

    def _part_before(self, packet: EncodedPacket) -> Gop | None:
        """Returns the part up to the border once a picture has come that is later than all before."""
        part = None
        if self._border is not None:
            following = min(each.sensor_ns for each in (*self._packets[self._border :], packet))
            if following > max(each.sensor_ns for each in self._packets[: self._border]):
                part = self._out(self._border, following, ends=False)
            self._border = None
        lasts_ns, size_bytes = packet.sensor_ns - self._part_start_ns, self._part_size_bytes + len(packet.data)
        if lasts_ns >= self._part_ns or size_bytes > self._part_bytes:
            self._border = len(self._packets)
        return part

    def _out(self, count: int, end_ns: BootNs, *, ends: bool) -> Gop | None:
        if not count:
            return None
        gop = Gop(tuple(self._packets[:count]), end_ns, self._begins, ends)
        del self._packets[:count]
        self._part_start_ns = end_ns
        self._part_size_bytes = sum(len(packet.data) for packet in self._packets)
        self._begins, self._border = False, None
        return gop


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
    """The clip's last segment has ended. Omitted if the clip before already holds every GOP of this clip."""

    event: int
    segments: int
    start_ns: BootNs
    end_ns: BootNs


SegmentEffect = SegmentBegins | SegmentGrows | SegmentEnds | ClipCompletes


@dataclass(slots=True)
class _Clip:
    """A requested stretch of time, and how far it has been written."""

    event: int
    from_ns: int
    until_ns: int | None = None
    segments: int = 0
    start_ns: BootNs | None = None

    def wants(self, gop: Gop) -> bool:
        return gop.end_ns > self.from_ns and (self.until_ns is None or gop.start_ns < self.until_ns)

    def is_over_at(self, now_ns: int) -> bool:
        """Returns whether no GOP that begins at or after `now_ns` can belong to it."""
        return self.until_ns is not None and self.until_ns <= now_ns


class Segmenter:
    """Decides which GOP goes into which segment. Owns the pre-roll ring. Belongs to one thread.

    Call it in the order in which facts become known: `push` for each GOP, `clip_begins` and `clip_ends` for each
    decision.
    """

    def __init__(self, target_ns: int, ring: PrerollBuffer) -> None:
        if not SHORTEST_TARGET_NS <= target_ns <= LONGEST_TARGET_NS:
            raise ConfigurationError(
                f"A segment of {target_ns / NS_PER_S:g} s is not possible.", remedy="Choose between 2 and 30 seconds."
            )
        self._target_ns = target_ns
        self._ring = ring
        self._clips: deque[_Clip] = deque()
        self._segment_start_ns: int | None = None
        self._inside = False
        """A GOP is being written, and some of its parts are still to come."""
        self._written_ns = 0
        """Every GOP before this is sealed or was never wanted. The next GOP to write begins here or later."""
        self._pushed_ns = 0

    @property
    def recording(self) -> bool:
        """True while a segment is open."""
        return self._segment_start_ns is not None

    @property
    def running(self) -> bool:
        """True while a clip is running or planned."""
        return bool(self._clips)

    @property
    def idle(self) -> bool:
        """True if the newest GOP is outside every clip, and, as far as is known, the next one too."""
        return not self._clips and self._written_ns < self._pushed_ns

    def clip_begins(self, event: int, from_ns: int) -> tuple[SegmentEffect, ...]:
        """Begins a clip at `from_ns`, in the past (its pre-roll is written at once) or in the future.

        If a clip is still running, it ends where the new one begins.
        """
        effects: list[SegmentEffect] = []
        if self._clips and self._clips[-1].until_ns is None:
            # A pre-roll may reach behind the beginning of the running clip, which must not end before it begins.
            effects += self.clip_ends(self._clips[-1].event, max(from_ns, self._clips[-1].from_ns))
        self._clips.append(_Clip(event, from_ns))
        return (*effects, *self._catch_up())

    def clip_ends(self, event: int, until_ns: int) -> tuple[SegmentEffect, ...]:
        """Ends the clip of `event` at the first GOP border at or after `until_ns`. Written GOPs stay written."""
        clip = next((clip for clip in reversed(self._clips) if clip.event == event and clip.until_ns is None), None)
        if clip is None:
            raise InternalError(f"Event {event} ended a clip that it had not begun.")
        clip.until_ns = until_ns
        return self._catch_up()

    def cut(self) -> tuple[SegmentEffect, ...]:
        """Starts a new segment with the next GOP, and keeps pre-roll from reaching behind it. Call it between two GOPs.

        The picture changes here, for example because an owner has drawn a mask.
        """
        self._ring.clear()
        return tuple(self._end_segment())

    def push(self, gop: Gop) -> tuple[SegmentEffect, ...]:
        """Takes in the next GOP of the stream."""
        self._ring.push(gop)
        self._pushed_ns = gop.end_ns
        return tuple(self._feed(gop))

    def finish(self) -> tuple[SegmentEffect, ...]:
        """Ends the stream (camera stopped or lost): ends the open segment, forgets planned clips and the ring."""
        self._inside = False
        effects = self._complete(self._clips.popleft()) if self._clips else []
        self._clips.clear()
        self._ring.clear()
        return tuple(effects)

    def _catch_up(self) -> tuple[SegmentEffect, ...]:
        """Applies a decision to the GOPs that the ring still holds."""
        effects = [effect for gop in self._ring.since(self._written_ns) for effect in self._feed(gop)]
        return (*effects, *self._complete_clips(self._pushed_ns))

    def _feed(self, gop: Gop) -> list[SegmentEffect]:
        """Writes the GOP if the first clip wants it and it is still unwritten."""
        # It is in a segment already, or no clip wanted it. No picture may be stored in two clips.
        if gop.start_ns < self._written_ns:
            return []
        effects = self._complete_clips(gop.start_ns)
        # The beginning of this GOP is written. A segment holds whole GOPs, so the rest follows, whatever the clip's
        # end.
        if self._inside:
            effects += self._write(self._clips[0], gop)
        elif self._clips and self._clips[0].wants(gop):
            # A wanted part needs the earlier parts of its GOP, which were skipped.
            for part in self._ring.gop_up_to(gop):
                effects += self._write(self._clips[0], part)
        return effects + self._complete_clips(self._written_ns)

    def _write(self, clip: _Clip, gop: Gop) -> list[SegmentEffect]:
        effects: list[SegmentEffect] = []
        if gop.begins and self._segment_start_ns is not None and gop.start_ns > self._written_ns:
            effects += self._end_segment()  # a GOP in between is missing, and a film must be continuous
        if self._segment_start_ns is None:
            effects.append(SegmentBegins(clip.event, clip.segments, gop))
            self._segment_start_ns = gop.start_ns
            clip.segments += 1
            clip.start_ns = gop.start_ns if clip.start_ns is None else clip.start_ns
        else:
            effects.append(SegmentGrows(gop))
        self._written_ns = gop.end_ns
        self._inside = not gop.ends
        # Nearest border: end here unless one more GOP as long as this one would come closer to the target.
        if gop.ends and gop.end_ns - self._segment_start_ns + (gop.end_ns - gop.start_ns) // 2 >= self._target_ns:
            effects += self._end_segment()
        return effects

    def _end_segment(self) -> list[SegmentEffect]:
        if self._segment_start_ns is None:
            return []
        self._segment_start_ns = None
        return [SegmentEnds(BootNs(self._written_ns))]

    def _complete_clips(self, now_ns: int) -> list[SegmentEffect]:
        effects: list[SegmentEffect] = []
        while self._clips and not self._inside and self._clips[0].is_over_at(now_ns):
            effects += self._complete(self._clips.popleft())
        return effects

    def _complete(self, clip: _Clip) -> list[SegmentEffect]:
        effects = self._end_segment()
        if clip.start_ns is not None:
            effects.append(ClipCompletes(clip.event, clip.segments, clip.start_ns, BootNs(self._written_ns)))
        return effects
