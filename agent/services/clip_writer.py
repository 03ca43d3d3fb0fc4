"""Writes clips: takes packets and event decisions from one mailbox, cuts segments, seals them as they are written.

One thread, one segment open at a time, its file key in memory for seconds.  A clip's poster is the picture half a
second after its event was noticed, stored with the segment it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass

import structlog

from agent.core.events import ClipBegins, ClipEnds, EventBegins, EventKind, EventTriggered, TriggerKind
from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.preroll import PrerollRing
from agent.core.segmenting import (
    ClipCompletes,
    GopAssembler,
    SegmentBegins,
    SegmentEffect,
    SegmentEnds,
    Segmenter,
    SegmentGrows,
)
from agent.core.timebase import NS_PER_S, BootNs, Moment, seconds
from agent.core.vault.names import ID_BYTES, SegmentId, segment_id
from agent.errors import DoorwardError, FormatError, StorageError
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.poster import poster
from agent.ports import Clock, Entropy, Notifier
from agent.services.intake import Mailbox
from agent.services.vault import SegmentWriter, Vault

__all__ = ["ClipWriter", "WriterSettings"]

_POSTER_AFTER_NS = NS_PER_S // 2
_RING_SLACK_NS = 5 * NS_PER_S
"""How late a decision may come without costing pre-roll."""


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """`pre_roll_s` seconds before an event are kept in memory, at most `pre_roll_max_bytes` of them."""

    segment_s: float
    pre_roll_s: float
    pre_roll_max_bytes: int


@dataclass(slots=True)
class _Event:
    """What the writer knows of an event: its random name, and where its poster comes from."""

    name: SegmentId
    kind: EventKind
    poster_ns: int | None


class ClipWriter:
    """`run` is the writer thread's whole life; it outlives a camera that is lost and found again."""

    def __init__(
        self,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        notifier: Notifier,
        settings: WriterSettings,
        held: Callable[[], Container[SegmentId]],
    ) -> None:
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._notifier = notifier
        self._settings = settings
        self._held = held
        self._log = structlog.get_logger("writer")
        self._events: dict[int, _Event] = {}
        self._segment: SegmentWriter | None = None
        self._media: FragmentedMp4Writer | None = None
        self._event = 0
        self._description: StreamDescription | None = None
        self.events = 0
        self.acknowledged = 0
        self.fault = ""

    @property
    def recording(self) -> bool:
        """A segment is open and being written."""
        return self._segment is not None

    def run(self, mailbox: Mailbox[object], description: StreamDescription) -> None:
        """Work the mailbox off until it is closed and empty."""
        frame_ns = round(NS_PER_S / description.frames_per_s)
        assembler = GopAssembler(frame_ns)
        ring = PrerollRing(
            self._settings.pre_roll_max_bytes, seconds(self._settings.pre_roll_s) + _RING_SLACK_NS + frame_ns
        )
        segmenter = Segmenter(seconds(self._settings.segment_s), ring)
        self._description = description
        self._events.clear()
        try:
            while (item := mailbox.take()) is not None:
                self._carry_out(self._effects_of(item, assembler, segmenter))
            if (rest := assembler.finish()) is not None:
                self._carry_out(segmenter.push(rest))
            self._carry_out(segmenter.finish())
        except DoorwardError as error:
            self.fault = error.message
            self._log.error("writer_failed", error=type(error).__name__)
        finally:
            self._drop()
            while mailbox.take() is not None:  # nobody may wait for room that will never come
                pass

    def _effects_of(self, item: object, assembler: GopAssembler, segmenter: Segmenter) -> tuple[SegmentEffect, ...]:
        match item:
            case EncodedPacket():
                gop = assembler.push(item)
                return segmenter.push(gop) if gop is not None else ()
            case ClipBegins():
                self._want_poster(item)
                return segmenter.clip_begins(item.event, item.from_ns)
            case ClipEnds():
                return segmenter.clip_ends(item.event, item.until_ns)
            case EventBegins():
                self._begin_event(item)
            case EventTriggered(kind=TriggerKind.BUTTON):
                self._events[item.event].kind = EventKind.BUTTON
                self._notifier.notify("button", "Somebody pressed the button.")
        return ()

    def _begin_event(self, begun: EventBegins) -> None:
        name = segment_id(self._entropy.token(ID_BYTES))
        for old in [event for event in self._events if event < begun.event - 1]:
            del self._events[old]
        self._events[begun.event] = _Event(name, begun.kind, begun.at_ns + _POSTER_AFTER_NS)
        self.events += 1
        self._log.info("event_began", id=name, kind=begun.kind.value)
        if begun.kind is EventKind.BUTTON:
            self._notifier.notify("button", "Somebody pressed the button.")
        else:
            self._notifier.notify("visitor", "Something moved at the door.")

    def _want_poster(self, begins: ClipBegins) -> None:
        """An event's later clips have a poster too, from behind their pre-roll; the first has the event's."""
        event = self._events[begins.event]
        if event.poster_ns is None:
            event.poster_ns = begins.from_ns + seconds(self._settings.pre_roll_s) + _POSTER_AFTER_NS

    def _carry_out(self, effects: tuple[SegmentEffect, ...]) -> None:
        for effect in effects:
            try:
                self._do(effect)
            except StorageError as error:
                self.fault = str(error)
                self._log.error("segment_lost", error=error.message)
                self._drop()
                # Full?  Then the oldest must go now: nothing will be acknowledged, and so nothing rolled, before that.
                with suppress(StorageError):
                    self._roll()

    def _do(self, effect: SegmentEffect) -> None:
        match effect:
            case SegmentBegins():
                self._event = effect.event
                self._begin_segment(effect.gop)
            case SegmentGrows():
                self._grow(effect.gop)
            case SegmentEnds():
                self._end_segment(effect.end_ns)
            case ClipCompletes():
                self._log.info("clip_completed", segments=effect.segments)

    def _begin_segment(self, gop: Gop) -> None:
        if self._description is None:
            return
        event = self._events[self._event]
        self._media = FragmentedMp4Writer(self._description)
        self._segment = self._vault.begin(event.name, self._moment(gop.start_ns), label=event.kind.value)
        self._write(self._media.begin(gop), gop)

    def _grow(self, gop: Gop) -> None:
        if self._segment is None or self._media is None:
            return  # the segment met a storage fault; the next one tries again
        try:
            media = self._media.add(gop)
        except FormatError:
            # The camera changed its picture format: that is a border like any other.
            self._end_segment(gop.start_ns)
            self._begin_segment(gop)
        else:
            self._write(media, gop)

    def _write(self, media: bytes, gop: Gop) -> None:
        if self._segment is None:
            return
        self._segment.write(media)
        event = self._events[self._event]
        if event.poster_ns is not None and gop.end_ns > event.poster_ns:
            try:
                self._segment.poster(poster(gop, event.poster_ns))
            except FormatError as error:
                self._log.warning("no_poster", detail=error.message)
            event.poster_ns = None

    def _end_segment(self, end_ns: BootNs) -> None:
        segment, media = self._segment, self._media
        if segment is None or media is None:
            return
        segment.write(media.finish())
        record = segment.finish(self._moment(end_ns))
        self._segment = self._media = None
        self.acknowledged += 1
        self.fault = ""
        self._log.info("segment_acknowledged", segment=record.id, bytes=record.file.size)
        self._roll()

    def _roll(self) -> None:
        rolled = self._vault.roll(self._held())
        if rolled.evicted:
            self._log.info("rolled", evicted=len(rolled.evicted), freed_bytes=rolled.freed_bytes)

    def _drop(self) -> None:
        if self._segment is not None:
            self._segment.abandon()
        self._segment = self._media = None

    def _moment(self, sensor_ns: BootNs) -> Moment:
        return self._clock.now().at(sensor_ns)
