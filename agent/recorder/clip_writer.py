"""The writer thread: takes packets and event decisions from one queue, cuts segments, and seals them as they are
written.

One segment is open at a time, and its file key is in memory for seconds. A clip's poster is the picture half a second
after its event was noticed (1.5 s after a ring), stored with the segment that it comes from. `RetryBuffer` keeps
footage that the disk refuses.

With continuous recording, the time between two clips is recorded as well, under a separate label and budget. A clip's
pre-roll is then stored twice, so the clip stays whole if the continuous recording is evicted.

Every event is kept: object detection labels footage and never deletes it (docs/decisions/0031).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from agent.core.events import ButtonRing, ClipBegins, ClipEnds, EventBegins, EventKind, EventTriggered, TriggerKind
from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.preroll import PrerollBuffer
from agent.core.retention import ProtectedIds
from agent.core.segmenting import (
    ClipCompletes,
    GopAssembler,
    SegmentBegins,
    SegmentEffect,
    SegmentEnds,
    Segmenter,
    SegmentGrows,
)
from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.core.vault.fields import ID_BYTES, SegmentId, segment_id
from agent.core.vault.records import CONTINUOUS
from agent.errors import DoorwardError, FormatError, StorageError
from agent.media.poster import poster
from agent.ports import Clock, Entropy, Notifier
from agent.recorder.camera_queues import BoundedQueue
from agent.recorder.capture_signing import CaptureSigner
from agent.recorder.object_detection import ObjectDetectionService
from agent.recorder.retry_buffer import RETRY_S, FetchSound, RetryBuffer, no_labels
from agent.recorder.vault import Vault

__all__ = ["ClipWriter", "WriterSettings"]

_POSTER_AFTER_NS = NS_PER_S // 2
_BUTTON_POSTER_AFTER_NS = 3 * NS_PER_S // 2
"""A visitor stands at the door before the ring, but object detection saw no picture of them. After this time a person
is recognised, and the still that labels the event lies in the segment that names the person."""
_DECISION_SLACK_NS = 5 * NS_PER_S
"""A decision may be this late and still get its full pre-roll."""
_BETWEEN: Final = 0
"""The event number of the continuous recording. Events count from 1."""
_SLICE: Final = 64
"""Segments evicted between two packets: about as many as one tombstone names."""
_WRITING_BYTES: Final = 128 << 10
"""A segment's bytes besides pictures and sound: header, record, tombstone, and the whole blocks of each file."""
_STILL_PIXELS: Final = 250_000_000
"""The most that a still may cost the writer to decode: two seconds of 4K at 15 pictures a second."""
_CONTINUOUS_PIECE_NS: Final = 600 * NS_PER_S
"""Continuous recording is listed in pieces of about this length."""


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """`pre_roll_s` seconds before an event are kept in memory, at most `pre_roll_max_bytes` of them.

    `fault_memory_bytes`: for footage that the disk refuses. `continuous`: record between events as well.
    """

    segment_s: float
    pre_roll_s: float
    pre_roll_max_bytes: int
    fault_memory_bytes: int = 32_000_000
    continuous: bool = False


@dataclass(slots=True)
class _RecordedEvent:
    """The writer's data about an event: its random name, and the source of its poster."""

    name: SegmentId
    label: str
    number: int = 0
    poster_ns: int | None = None
    began_ns: int = 0


class ClipWriter:
    """`run` is the writer thread for one stream. The object outlives a camera that is lost and found again."""

    def __init__(
        self,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        notifier: Notifier,
        settings: WriterSettings,
        protected: Callable[[], ProtectedIds],
        fetch_sound: FetchSound | None = None,
        show: Callable[[EncodedPacket, StreamDescription], None] | None = None,
        detection: ObjectDetectionService | None = None,
        meanwhile: Callable[[], None] = lambda: None,
        signer: CaptureSigner | None = None,
    ) -> None:
        """`meanwhile`: done between two packets, on the one thread that may wait for the disk. `signer`: signs what is
        recorded; None leaves it unsigned."""
        self._meanwhile = meanwhile
        self._signer = signer
        self._show = show
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._notifier = notifier
        self._settings = settings
        self._protected = protected
        self._log = structlog.get_logger("writer")
        self._retry_buffer = RetryBuffer(
            vault,
            clock,
            settings.fault_memory_bytes,
            make_room=self._make_room,
            fetch_sound=fetch_sound,
            continuous=settings.continuous,
            signer=signer,
        )
        self._events: dict[int, _RecordedEvent] = {}
        self._event = _BETWEEN
        self._description: StreamDescription | None = None
        self._failure = self._overlong = ""
        self._pushed_ns = 0
        self._is_repeated = False
        """The GOP that comes now was taken before the camera was lost, and found again: it is there already."""
        self._gop: list[Gop] = []
        """The GOP that is being written, as far as it has come."""
        self._object_detection = detection or ObjectDetectionService(None, notifier)
        self._evicting = False
        self._foreign_bytes = 0
        self.events = 0

    @property
    def recording(self) -> bool:
        """A segment is open and being written."""
        return self._retry_buffer.writing

    @property
    def busy(self) -> bool:
        """A clip of an event is being written."""
        return self._retry_buffer.writing and self._event != _BETWEEN

    @property
    def acknowledged(self) -> int:
        return self._retry_buffer.acknowledged

    @property
    def fault(self) -> str:
        """Why segments are not acknowledged; empty while they are."""
        return self._failure or self._retry_buffer.fault or self._overlong

    @property
    def warning(self) -> str:
        """A problem that the owner should solve although footage is recorded; else empty."""
        if not self._foreign_bytes:
            return self._signer.fault if self._signer is not None else ""
        return (
            f"Other files fill the disk: {self._foreign_bytes / 1e6:.0f} MB are missing to vault.free_floor. No "
            "footage is deleted for them. Delete some of them, or lower vault.kept_bytes."
        )

    @property
    def retry_buffer(self) -> RetryBuffer:
        """Footage that waits in memory, and for how long the disk has been silent."""
        return self._retry_buffer

    def run(self, queue: BoundedQueue[object], description: StreamDescription) -> None:
        """Processes the queue until it is closed and empty.

        A fault of the camera (no keyframes, times that go backwards) ends the clip that it affects, and writing
        continues with the next one: a single bad minute must not stop recording for days.
        """
        self._description = description
        self._failure = self._overlong = ""
        self._events.clear()
        if self._signer is not None:
            self._signer.stream_begins()
        while not self._drain(queue, description):
            pass

    def _drain(self, queue: BoundedQueue[object], description: StreamDescription) -> bool:
        """False when a clip ended in a fault and there is more to come."""
        frame_ns = round(NS_PER_S / description.frames_per_s)
        assembler = GopAssembler(frame_ns)
        ring = PrerollBuffer(
            self._settings.pre_roll_max_bytes, seconds(self._settings.pre_roll_s) + _DECISION_SLACK_NS + frame_ns
        )
        clips = Segmenter(seconds(self._settings.segment_s), ring)
        between = (
            Segmenter(seconds(self._settings.segment_s), PrerollBuffer(1, 0)) if self._settings.continuous else None
        )
        try:
            while True:
                # An eviction goes on between two packets. A refused segment is tried again also if the camera sends
                # nothing.
                item = queue.take(0.0 if self._evicting else RETRY_S if self._retry_buffer.waiting else None)
                if item is not None:
                    self._handle(item, assembler, clips, between)
                elif queue.closed:
                    break
                self._retry_buffer.retry()
                if self._evicting:
                    self._enforce_retention_when_possible()
                self._meanwhile()
            if (rest := assembler.finish()) is not None:
                self._push(rest, clips, between)
            self._apply_effects(clips.finish())
            self._apply_effects(between.finish() if between else ())
            self._retry_buffer.retry()
        except DoorwardError as error:
            self._failure = error.message
            self._log.error("clip_failed", error=type(error).__name__)
            return False
        finally:
            # A fault leaves the newest segment without an end. It is dropped here, and the vault's next start recovers
            # its part.
            self._retry_buffer.break_off()
        return True

    def _handle(self, item: object, assembler: GopAssembler, clips: Segmenter, between: Segmenter | None) -> None:
        if isinstance(item, EncodedPacket):
            if self._show is not None and self._description is not None:
                # Live view sees the packet before a segment does, because the disk may hold up the rest of this
                # function.
                self._show(item, self._description)
            if self._signer is not None and self._description is not None:
                # All packets, also those of no clip: a camera may send its certificate once, hours before an event.
                self._signer.look_at(item, self._description.codec)
            gop = assembler.push(item)
            if gop is not None:
                self._push(gop, clips, between)
            if item.masked_anew:  # one mask for each segment: a shared segment must not show what a newer mask hides
                self._apply_effects(clips.cut())
                self._apply_effects(between.cut() if between is not None else ())
            if assembler.overlong and not self._overlong:
                self._log.warning("keyframes_too_rare", detail=assembler.overlong)
            self._overlong = assembler.overlong
            return
        # One segment is open at a time: the piece between events ends where a clip begins.
        if isinstance(item, ClipBegins) and between is not None and between.recording:
            self._apply_effects(between.finish())
        self._apply_effects(self._effects_of(item, clips))

    def _push(self, gop: Gop, clips: Segmenter, between: Segmenter | None) -> None:
        # A network camera may begin with pictures that it had kept.
        self._is_repeated = gop.start_ns < self._pushed_ns if gop.begins else self._is_repeated
        if self._is_repeated:
            return
        self._pushed_ns = gop.end_ns
        self._apply_effects(clips.push(gop))
        if between is not None and clips.idle:  # a clip that began has ended it
            self._record_between(gop, between)

    def _record_between(self, gop: Gop, between: Segmenter) -> None:
        piece = self._events.get(_BETWEEN)
        if piece is None or gop.start_ns - piece.began_ns > _CONTINUOUS_PIECE_NS:
            self._events[_BETWEEN] = _RecordedEvent(self._new_name(), CONTINUOUS, began_ns=gop.start_ns)
        if not between.running:
            self._apply_effects(between.clip_begins(_BETWEEN, gop.start_ns))
        self._apply_effects(between.push(gop))

    def _effects_of(self, item: object, clips: Segmenter) -> tuple[SegmentEffect, ...]:
        match item:
            case ClipBegins():
                self._want_poster(item)
                return clips.clip_begins(item.event, item.from_ns)
            case ClipEnds():
                return clips.clip_ends(item.event, item.until_ns)
            case EventBegins():
                self._begin_event(item)
            case EventTriggered(kind=TriggerKind.BUTTON):
                self._events[item.event].label = EventKind.BUTTON.value
            case ButtonRing():
                self._record_ring(item)
        return ()

    def _record_ring(self, ring: ButtonRing) -> None:
        """A disk that refuses the record costs the mark, not the footage around it."""
        try:
            self._vault.record_ring(self._clock.now().at(ring.at_ns))
        except StorageError as error:
            self._log.warning("ring_not_recorded", detail=error.message)

    def _begin_event(self, begun: EventBegins) -> None:
        name = self._new_name()
        # The event before this one stays: the last GOP of its clip is complete only at the next keyframe.
        for old in [event for event in self._events if _BETWEEN < event < begun.event - 1]:
            del self._events[old]
        after_ns = _BUTTON_POSTER_AFTER_NS if begun.kind is EventKind.BUTTON else _POSTER_AFTER_NS
        self._events[begun.event] = _RecordedEvent(
            name, begun.kind.value, number=begun.event, poster_ns=begun.at_ns + after_ns
        )
        self.events += 1
        self._log.info("event_began", id=name, kind=begun.kind.value)
        self._object_detection.event_began(begun.event, begun.kind)

    def _want_poster(self, begins: ClipBegins) -> None:
        """Gives later clips of an event a poster too, from after their pre-roll. The first clip has the event's
        poster."""
        event = self._events[begins.event]
        if event.poster_ns is None:
            event.poster_ns = begins.from_ns + seconds(self._settings.pre_roll_s) + _POSTER_AFTER_NS

    def _apply_effects(self, effects: tuple[SegmentEffect, ...]) -> None:
        for effect in effects:
            match effect:
                case SegmentBegins():
                    self._begin_segment(effect)
                case SegmentGrows():
                    self._retry_buffer.grow(effect.gop)
                    self._picture(effect.gop)
                case SegmentEnds():
                    self._end_segment(effect.end_ns)
                case ClipCompletes():
                    self._log.info("clip_completed", segments=effect.segments)

    def _begin_segment(self, begins: SegmentBegins) -> None:
        if self._description is None:
            return
        self._event = begins.event
        event = self._events[begins.event]
        seen = partial(self._object_detection.shown_between, event.number) if event.number != _BETWEEN else no_labels
        self._retry_buffer.begin(event.name, event.label, self._description, begins.gop, seen)
        self._picture(begins.gop)

    def _picture(self, gop: Gop) -> None:
        """Makes the event's still if its moment lies in this GOP."""
        self._gop = [gop] if gop.begins else [*self._gop, gop]
        event, description = self._events[self._event], self._description
        if description is None or event.poster_ns is None or gop.end_ns <= event.poster_ns:
            return
        most = _STILL_PIXELS // (description.width_px * description.height_px)
        try:
            still = poster(self._gop, event.poster_ns, codec=description.codec, most_pictures=most)
            self._retry_buffer.poster(still)
        except FormatError as error:
            self._log.warning("no_poster", detail=error.message)
        # Also after a failure: a keyframe that does not decode would cost the writer the same time at each GOP.
        event.poster_ns = None

    def _end_segment(self, end_ns: BootNs) -> None:
        before = self._retry_buffer.acknowledged
        self._retry_buffer.end(end_ns)
        if self._retry_buffer.acknowledged != before:
            self._failure = ""
            self._enforce_retention_when_possible()

    def _enforce_retention_when_possible(self) -> None:
        self._evicting = False
        try:
            self._enforce_retention()
        except StorageError as error:
            self._log.error("segments_not_evicted", error=error.message)

    def _make_room(self, segment_bytes: int) -> bool:
        """Evicts for a segment that a full disk refused. Returns whether anything was evicted."""
        return self._enforce_retention(segment_bytes + _WRITING_BYTES)

    def _enforce_retention(self, need_bytes: int = 0) -> bool:
        """Evicts a slice. The rest follows between the next packets, because a long eviction must not delay
        recording."""
        protected = self._protected()
        eviction = self._vault.enforce_retention(
            protected.names, now_ms=protected.now_ms, need_bytes=need_bytes, most=_SLICE
        )
        self._evicting = eviction.more
        if eviction.foreign_bytes and not self._foreign_bytes:
            self._log.warning("other_files_fill_the_disk", missing_bytes=eviction.foreign_bytes)
            self._notifier.notify("other files", "Other files fill the doorbell's disk.")
        self._foreign_bytes = eviction.foreign_bytes
        if eviction.evicted:
            self._log.info("segments_evicted", evicted=len(eviction.evicted), freed_bytes=eviction.freed_bytes)
        if eviction.held_but_evicted:
            self._log.warning("holds_overruled", segments=len(eviction.held_but_evicted))
            self._notifier.notify(
                "vault",
                f"{len(eviction.held_but_evicted)} held segments (kept by an owner, or wanted by a request) were "
                "deleted: holds were over their share, or the disk was full.",
            )
        return bool(eviction.evicted)

    def _new_name(self) -> SegmentId:
        return segment_id(self._entropy.token(ID_BYTES))
