"""Timeline of events, gaps and rings at the door, read from the signed manifest for a quick view.

The operation `events` gives it to the page (`agent/web/src/ui/happened.js`). An answer to a requester needs exact gaps,
which `agent.core.vault.coverage` computes.

The owner's client verifies the record of everything it opens, and starts from this list. So lines are parsed loosely
and fast here. Gaps are shown as they were recorded. Time between records is a gap too: the doorbell was off, or
Doorward did not run. A segment that was recovered after a power cut is listed with its latest possible end.

The timeline is limited to the newest `MOST_EVENTS` events, `MOST_RINGS` rings and `MOST_GAPS` gaps. Older footage is
still stored, listed and openable.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from agent.core.vault.manifest import chapter_start
from agent.ports import ManifestLog
from agent.vault.manifest_reader import oldest_chapter

__all__ = ["MOST_EVENTS", "Timeline"]

MOST_EVENTS: Final = 20_000
MOST_GAPS: Final = 2_000
MOST_RINGS: Final = 20_000
_SHORTEST_OFF_MS: Final = 60_000
"""A shorter time between records is only a restart."""
_UNKNOWN: Final = "unknown"
"""The quality of an unknown clock.  Its dates may be wrong."""


_STRENGTH: Final = ("motion", "pir", "button")
"""Causes in rising order.  An event is named after its strongest cause, as in the recorder."""


class _RecordSpan(msgspec.Struct):
    start_us: int = 0
    end_us: int = 0
    utc_ms: int = 0
    quality: str = ""


class _RecordStamp(msgspec.Struct):
    utc_ms: int = 0
    quality: str = ""


class _Carried(msgspec.Struct):
    size: int = 0


class _RecordBegin(msgspec.Struct):
    """The part of a recovered segment's record that was written as the segment began."""

    segment: str = ""
    event: str = ""
    start_us: int = 0
    until_us: int = 0
    utc_ms: int = 0
    label: str | None = None


class _ManifestRecord(msgspec.Struct):
    kind: str
    id: str = ""
    event: str = ""
    label: str | None = None
    poster: Any = None
    span: _RecordSpan = msgspec.field(default_factory=_RecordSpan)
    at: _RecordStamp = msgspec.field(default_factory=_RecordStamp)
    segments: list[str] = msgspec.field(default_factory=list)
    reason: str = ""
    carried: _Carried = msgspec.field(default_factory=_Carried)
    begin: _RecordBegin = msgspec.field(default_factory=_RecordBegin)
    poster_file: Any = None

    def as_segment(self) -> _ManifestRecord | None:
        """Returns the record of a segment; that of a recovered one with its latest possible end.  None for others."""
        if self.kind == "segment":
            return self
        if self.kind != "recovered":
            return None
        begin = self.begin
        span = _RecordSpan(begin.start_us, begin.until_us, begin.utc_ms, _UNKNOWN)
        return msgspec.structs.replace(
            self, id=begin.segment, event=begin.event, label=begin.label, poster=self.poster_file, span=span
        )


class _ManifestPayload(msgspec.Struct):
    record: _ManifestRecord
    seq: int = 0


class _ManifestLine(msgspec.Struct):
    payload: str


@dataclass(slots=True)
class _TimelineEvent:
    start_ms: int
    end_ms: int
    sequence: int
    """The number of its first record, which orders the events."""
    label: str | None = None
    poster: str | None = None
    segments: list[str] = field(default_factory=list)


class Timeline:
    """Continues reading the manifest at each call.  Safe to use from several threads."""

    def __init__(self, log: ManifestLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._line = msgspec.json.Decoder(_ManifestLine)
        self._payload = msgspec.json.Decoder(_ManifestPayload)
        self._forget()

    def events(self, from_ms: int, to_ms: int) -> list[dict[str, Any]]:
        """Returns stored events that overlap [from_ms, to_ms) of UTC, newest first."""
        with self._lock:
            self._catch_up()
            newest_first = list(reversed(self._events.items()))
            # By the order of recording: dates may be wrong before the clock is known.
            newest_first.sort(key=lambda named: named[1].sequence, reverse=True)
            return [
                {
                    "event": name,
                    "start_ms": event.start_ms,
                    "end_ms": event.end_ms,
                    "kind": event.label or "",
                    "poster": event.poster,
                    "segments": event.segments.copy(),
                }
                for name, event in newest_first
                if event.start_ms < to_ms and event.end_ms > from_ms
            ]

    def gaps(self, from_ms: int, to_ms: int) -> list[dict[str, Any]]:
        """Returns spans without footage and their reasons, newest first."""
        with self._lock:
            self._catch_up()
            found = (self._off() + self._gaps)[::-1]
            # The sort is stable: of two gaps with one beginning, the one that was told later comes first.
            found.sort(key=lambda gap: gap[0], reverse=True)
            return [
                {"start_ms": start, "end_ms": end, "reason": reason}
                for start, end, reason in found
                if start < to_ms and end > from_ms
            ]

    def rings(self, from_ms: int, to_ms: int) -> list[int]:
        """Returns the times of the button's presses in [from_ms, to_ms) of UTC, newest first."""
        with self._lock:
            self._catch_up()
            return sorted((at_ms for at_ms in self._rings if from_ms <= at_ms < to_ms), reverse=True)

    def _off(self) -> list[tuple[int, int, str]]:
        """Returns the spans between records, up to the newest boot or coverage record."""
        return [
            (end, start, "off")
            for (_, end), (start, _) in itertools.pairwise(self._spoken_of)
            # Up to there the recorder has said what it did. The time since then is only not told yet.
            if start <= self._told_ms
        ]

    def _add_coverage(self, span: _RecordSpan) -> None:
        """Adds the span of a record.  Records arrive roughly in the order of time, so the search starts at the end."""
        if span.quality == _UNKNOWN:
            return
        # Rounded up by the negative division: a rounding down would leave a gap of a millisecond.
        start, end = span.utc_ms, span.utc_ms - (span.start_us - span.end_us) // 1000
        at = len(self._spoken_of)
        # From the end, because a record is rarely older than the last few. A search from the front would be quadratic.
        while at and self._spoken_of[at - 1][0] > start:
            at -= 1
        self._spoken_of.insert(at, (start, end))
        first = max(0, at - 1)
        while at + 1 < len(self._spoken_of) and self._spoken_of[at + 1][0] <= end + _SHORTEST_OFF_MS:
            at += 1
        pieces = self._spoken_of[first : at + 1]
        merged = [pieces[0]]
        for piece in pieces[1:]:
            if piece[0] <= merged[-1][1] + _SHORTEST_OFF_MS:
                merged[-1] = (merged[-1][0], max(merged[-1][1], piece[1]))
            else:
                merged.append(piece)
        self._spoken_of[first : at + 1] = merged
        del self._spoken_of[:-MOST_GAPS]

    def _forget(self) -> None:
        self._offset = 0
        """The position up to which the manifest was read."""
        self._carried_until = 0
        self._spoken_of: list[tuple[int, int]] = []
        self._told_ms = 0
        self._events: OrderedDict[str, _TimelineEvent] = OrderedDict()
        self._event_of: dict[str, str] = {}
        self._gaps: list[tuple[int, int, str]] = []
        self._rings: list[int] = []

    def _catch_up(self) -> None:
        beginning = chapter_start(oldest_chapter(self._log))
        # The manifest was cut at a damaged line, or its oldest chapter was deleted. Records that were read may be gone.
        if self._log.end() < self._offset or self._offset < beginning:
            self._forget()
            self._offset = beginning
        for raw in self._log.raw_lines(self._offset):
            # The recorder is writing this line. The next call reads it.
            if not raw.whole:
                continue
            self._offset = raw.end
            try:
                payload = self._line.decode(raw.data).payload
                said = self._payload.decode(base64.b64decode(payload))
            except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError):
                continue  # skip a damaged line; `vault verify` reports it
            # A new chapter begins with lines of the deleted one. They are about earlier times, and must not count as
            # news.
            if raw.position < self._carried_until:
                self._take_carried(said)
            else:
                self._apply(said)
                self._carried_until = raw.end + said.record.carried.size
        self._drop_oldest()
        del self._gaps[:-MOST_GAPS]
        del self._rings[:-MOST_RINGS]

    def _take_carried(self, said: _ManifestPayload) -> None:
        """Adds a segment that was copied from a deleted chapter. The copy proves the segment only; the time around it
        stays unknown."""
        found = said.record.as_segment()
        if found is not None and found.id not in self._event_of:
            self._add(found, said.seq)

    def _drop_oldest(self) -> None:
        over = len(self._events) - MOST_EVENTS
        if over > 0:
            for name in sorted(self._events, key=lambda name: self._events[name].sequence)[:over]:
                for segment in self._events.pop(name).segments:
                    self._event_of.pop(segment, None)

    def _apply(self, said: _ManifestPayload) -> None:
        record = said.record
        found = record.as_segment()
        if found is not None:
            self._add(found, said.seq)
            # The end of a recovered segment is unknown, so the time up to the next start stays a gap.
            self._add_coverage(found.span)
        match record.kind:
            case "evicted":
                for segment in record.segments:
                    self._drop(segment)
            case "gap":
                start_ms, length_ms = record.span.utc_ms, (record.span.end_us - record.span.start_us) // 1000
                if self._gaps and self._gaps[-1] == (start_ms, start_ms, record.reason):
                    self._gaps.pop()  # its beginning, recorded before its end was known
                self._gaps.append((start_ms, start_ms + length_ms, record.reason))
                self._add_coverage(record.span)
            case "ring":
                self._rings.append(record.at.utc_ms)
            case "coverage":
                self._add_coverage(record.span)
                self._tell_up_to(record.span.utc_ms, record.span.quality)
            case "boot":
                self._add_coverage(_RecordSpan(utc_ms=record.at.utc_ms, quality=record.at.quality))
                self._tell_up_to(record.at.utc_ms, record.at.quality)

    def _tell_up_to(self, utc_ms: int, quality: str) -> None:
        if quality != _UNKNOWN:
            self._told_ms = max(self._told_ms, utc_ms)

    def _add(self, record: _ManifestRecord, sequence: int) -> None:
        start = record.span.utc_ms
        end = start + -(-(record.span.end_us - record.span.start_us) // 1000)
        event = self._events.setdefault(record.event, _TimelineEvent(start, end, sequence))
        event.start_ms, event.end_ms = min(event.start_ms, start), max(event.end_ms, end)
        event.sequence = min(event.sequence, sequence)
        event.label = max(event.label, record.label, key=_strength)
        event.segments.append(record.id)
        if event.poster is None and record.poster is not None:
            event.poster = record.id
        self._event_of[record.id] = record.event

    def _drop(self, segment: str) -> None:
        name = self._event_of.pop(segment, None)
        event = self._events.get(name) if name else None
        if name is None or event is None:
            return
        event.segments.remove(segment)
        if event.poster == segment:
            event.poster = None
        if not event.segments:
            del self._events[name]


def _strength(label: str | None) -> int:
    return _STRENGTH.index(label) if label in _STRENGTH else -1
