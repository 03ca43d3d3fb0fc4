"""Says, for any window of time, which footage the vault has and why the rest is missing, from the manifest alone.

Every instant of the window gets exactly one word, the first of `CoverageState` that is true of it. "Nothing happened"
needs a `coverage` record, which says that a camera delivered. If no record covers an instant, the device was off, or on
with an unknown date. Each boot has its best date: a later `clock-sync` dates a record that was made before the clock
was set.

Pass the lines twice (to `BootClocks`, then to `CoverageBuilder`), because the last line may hold the date of the first.
Only records that overlap the window are kept, so the manifest may have any length.

Answers to requesters and `doorward vault list` use it. The timeline of the page has a quicker and looser list, made by
`agent.custodian.timeline`.

Source: FORMAT.md, "What a window holds".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from agent.core.timebase import ClockQuality
from agent.core.vault.fields import RANK, Stamp, TimeSpan
from agent.core.vault.records import (
    BootRecord,
    Chapter,
    ClockSync,
    CoverageRecord,
    EvictionRecord,
    GapReason,
    GapRecord,
    Record,
    RecoveredRecord,
    RingRecord,
    SegmentRecord,
)
from agent.wire.statements import AbsenceReason

__all__ = ["BootClocks", "CoverageBuilder", "CoverageSpan", "CoverageState"]

_US_PER_MS: Final = 1000


class CoverageState(enum.Enum):
    """The word for a stretch of time: there is footage, or the reason why there is none. The first true one is used."""

    FOOTAGE = "footage"
    GONE = AbsenceReason.GONE.value
    """There was footage, and it was evicted."""
    FORGOTTEN = AbsenceReason.FORGOTTEN.value
    """Before the oldest chapter of the manifest: only the records of stored segments are left from that time."""
    PRIVACY = AbsenceReason.PRIVACY.value
    OFF = AbsenceReason.OFF.value
    CAMERA_LOST = AbsenceReason.CAMERA_LOST.value
    COVERED = AbsenceReason.COVERED.value
    STORAGE = AbsenceReason.STORAGE.value
    NOTHING = AbsenceReason.NOTHING.value
    CLOCK_UNKNOWN = AbsenceReason.CLOCK_UNKNOWN.value
    """The device ran somewhere in this stretch and never learnt the date: its footage may belong here."""
    DEVICE_OFF = AbsenceReason.DEVICE_OFF.value
    """The device had no power, Doorward was not running, or it was cut off before it could write a record."""
    NOT_YET = AbsenceReason.NOT_YET.value
    """After the newest record: the recorder writes a record of the present within a quarter of an hour."""


_OF_GAP: Final = {reason: CoverageState(reason.value) for reason in GapReason}
_ORDER: Final = tuple(CoverageState)


@dataclass(frozen=True, slots=True)
class CoverageSpan:
    """A stretch [start_ms, end_ms) of UTC, and the word that is true of all of it."""

    start_ms: int
    end_ms: int
    state: CoverageState


@dataclass(slots=True)
class _BootClock:
    """One boot: the UTC in ms of its clock's zero, the `quality` of that date, and the range of its clock that records
    cover."""

    first_us: int
    last_us: int
    zero_ms: int
    quality: ClockQuality

    @property
    def dated(self) -> bool:
        return self.quality is not ClockQuality.UNKNOWN


class BootClocks:
    """The first pass over a manifest: the date of each boot. Takes a dozen numbers per boot, whatever the boot
    recorded."""

    def __init__(self) -> None:
        self._boots: dict[str, _BootClock] = {}
        self._carried: dict[str, _BootClock] = {}
        """Facts about boots from carried lines: they only date a boot."""
        self._begins: Stamp | None = None
        self._empty = True

    def add(self, record: Record, *, carried: bool = False) -> None:
        """Adds the next record, in the manifest's order."""
        if self._empty and isinstance(record, Chapter):
            self._begins = record.at
        self._empty = False
        # A carried line may be from a time that the manifest has forgotten. It must not stretch its boot over that
        # time.
        boots = self._carried if carried else self._boots
        for stamp in _stamps(record):
            zero_ms = stamp.utc_ms - stamp.at_us // _US_PER_MS
            boot = boots.setdefault(stamp.boot, _BootClock(stamp.at_us, stamp.at_us, zero_ms, stamp.quality))
            boot.first_us = min(boot.first_us, stamp.at_us)
            boot.last_us = max(boot.last_us, stamp.at_us)
            if RANK.index(stamp.quality) > RANK.index(boot.quality):
                boot.zero_ms, boot.quality = zero_ms, stamp.quality

    def utc_ms(self, boot: str, at_us: int) -> int | None:
        """Returns the UTC of that instant, or None if the clock of that boot stayed unset."""
        for known in (self._boots.get(boot), self._carried.get(boot)):
            if known is not None and known.dated:
                return known.zero_ms + at_us // _US_PER_MS
        return None

    def begins_ms(self) -> int:
        """Returns the time from which the manifest knows all events. If every chapter is there, that is the beginning
        of time."""
        if self._begins is None:
            return _EVER_MS[0]
        begins = self.utc_ms(self._begins.boot, self._begins.at_us)
        if begins is not None:
            return begins
        starts = (boot.zero_ms + boot.first_us // _US_PER_MS for boot in self._boots.values() if boot.dated)
        return min(starts, default=_EVER_MS[1])

    def between(self, now_ms: int) -> list[CoverageSpan]:
        """Returns the stretches between the boots: off, or on and undated. After the newest record: not known
        yet."""
        found: list[CoverageSpan] = []
        end_ms, undated = None, False
        for boot in self._boots.values():
            if not boot.dated:
                undated = True
                continue
            start_ms = boot.zero_ms + boot.first_us // _US_PER_MS
            # Boots whose dates overlap, for example after a clock that was wrong, have no stretch between them.
            if end_ms is None or start_ms > end_ms:
                state = CoverageState.CLOCK_UNKNOWN if undated else CoverageState.DEVICE_OFF
                found.append(CoverageSpan(_EVER_MS[0] if end_ms is None else end_ms, start_ms, state))
            end_ms = max(end_ms or start_ms, boot.zero_ms + boot.last_us // _US_PER_MS)
            undated = False
        last_ms = end_ms if end_ms is not None else _EVER_MS[0]
        if undated:
            found.append(CoverageSpan(last_ms, _EVER_MS[1], CoverageState.CLOCK_UNKNOWN))
        else:
            found.append(CoverageSpan(last_ms, max(last_ms, now_ms), CoverageState.NOT_YET))
            found.append(CoverageSpan(max(last_ms, now_ms), _EVER_MS[1], CoverageState.NOT_YET))
        return found


class CoverageBuilder:
    """The second pass: the stretches of [from_ms, to_ms) that the records describe."""

    def __init__(self, boots: BootClocks, from_ms: int, to_ms: int) -> None:
        self._boots = boots
        self._from_ms = from_ms
        self._to_ms = to_ms
        self._footage: dict[str, CoverageSpan] = {}
        self._others: list[CoverageSpan] = []

    def add(self, record: Record) -> None:
        """Adds the next record, in the manifest's order."""
        match record:
            case SegmentRecord() | RecoveredRecord():
                stretch = self._within(record.span, CoverageState.FOOTAGE)
                if stretch is not None:
                    self._footage[record.id] = stretch
            case EvictionRecord():
                for segment in record.segments:
                    gone = self._footage.pop(segment, None)
                    if gone is not None:
                        self._others.append(CoverageSpan(gone.start_ms, gone.end_ms, CoverageState.GONE))
            case GapRecord():
                self._keep(record.span, _OF_GAP[record.reason])
            case CoverageRecord():
                self._keep(record.span, CoverageState.NOTHING)

    def stretches(self, now_ms: int) -> tuple[CoverageSpan, ...]:
        """Returns the window from its start to its end as adjacent stretches. Neighbours have different words."""
        begins_ms = max(self._from_ms, min(self._boots.begins_ms(), self._to_ms))
        known = [
            replace(one, start_ms=max(one.start_ms, begins_ms))
            for one in (*self._others, *self._boots.between(now_ms))
            if one.end_ms > begins_ms
        ]
        clipped = [
            CoverageSpan(max(one.start_ms, self._from_ms), min(one.end_ms, self._to_ms), one.state)
            for one in (
                *self._footage.values(),
                *known,
                CoverageSpan(self._from_ms, begins_ms, CoverageState.FORGOTTEN),
            )
            if one.start_ms < self._to_ms and one.end_ms > self._from_ms and one.start_ms < one.end_ms
        ]
        return tuple(_merged(_swept(clipped, self._from_ms, self._to_ms)))

    def _keep(self, span: TimeSpan, state: CoverageState) -> None:
        stretch = self._within(span, state)
        if stretch is not None:
            self._others.append(stretch)

    def _within(self, span: TimeSpan, state: CoverageState) -> CoverageSpan | None:
        start_ms = self._boots.utc_ms(span.boot, span.start_us)
        # A boot that never learnt the date has no place in the window. `BootClocks.between` tells of it.
        if start_ms is None:
            return None
        end_ms = start_ms - (span.start_us - span.end_us) // _US_PER_MS
        return CoverageSpan(start_ms, end_ms, state) if start_ms < self._to_ms and end_ms > self._from_ms else None


_EVER_MS: Final = (-(2**53), 2**53)


def _stamps(record: Record) -> tuple[Stamp, ...]:
    """Returns the instants at which a record was made or that it mentions, in its boot."""
    if isinstance(record, BootRecord | ClockSync | EvictionRecord | RingRecord | Chapter):
        return (record.at,)
    if isinstance(record, RecoveredRecord):
        begin = record.begin
        return (
            Stamp(boot=begin.boot, at_us=begin.start_us, utc_ms=begin.utc_ms, quality=begin.quality),
            record.at,
        )
    span = record.span
    start = Stamp(boot=span.boot, at_us=span.start_us, utc_ms=span.utc_ms, quality=span.quality)
    end = Stamp(boot=span.boot, at_us=span.end_us, utc_ms=span.end_ms, quality=span.quality)
    return (start, end)


def _swept(stretches: list[CoverageSpan], from_ms: int, to_ms: int) -> Iterable[CoverageSpan]:
    """Yields one word for each piece between two borders. If no stretch covers a piece, the device was off."""
    changes = sorted(
        [(one.start_ms, 1, _ORDER.index(one.state)) for one in stretches]
        + [(one.end_ms, -1, _ORDER.index(one.state)) for one in stretches]
    )
    true_now = [0] * len(_ORDER)
    at_ms = from_ms
    for border_ms, change, state in (*changes, (to_ms, 0, 0)):
        if border_ms > at_ms:
            # The order of `CoverageState` decides where several are true: footage before each reason for its absence.
            said = next(
                (number for number, count in enumerate(true_now) if count), _ORDER.index(CoverageState.DEVICE_OFF)
            )
            yield CoverageSpan(at_ms, border_ms, _ORDER[said])
            at_ms = border_ms
        true_now[state] += change


def _merged(pieces: Iterable[CoverageSpan]) -> Iterable[CoverageSpan]:
    whole: CoverageSpan | None = None
    for piece in pieces:
        if whole is not None and whole.state is piece.state:
            whole = CoverageSpan(whole.start_ms, piece.end_ms, whole.state)
            continue
        if whole is not None:
            yield whole
        whole = piece
    if whole is not None:
        yield whole
