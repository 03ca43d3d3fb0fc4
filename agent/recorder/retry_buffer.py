"""Stores footage in the vault, and keeps the newest footage in memory while the vault refuses it.

A segment's pictures stay in memory until it is acknowledged. A fault of the disk ends the current attempt. Every
`RETRY_S` the same pictures are written again, as a new segment, from the first one on, until the disk takes them.
Memory is bounded: the oldest pictures are dropped first, and the span they covered becomes a gap, "storage failed".

The vault itself finds what a failed attempt left on the disk and records it as a cut segment.

Source: FORMAT.md, "Faults" and invariant 9.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from agent.core.media import Gop, StreamDescription
from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import BootNs, ClockReading
from agent.core.vault.fields import SegmentId
from agent.core.vault.records import GapReason
from agent.errors import DoorwardError, FormatError, StorageError
from agent.media.capture_signature import SigningChain
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.sound import sound_mp4
from agent.ports import Clock
from agent.recorder.capture_signing import CaptureSigner, SignedUnits
from agent.recorder.sound_recorder import RecordedSound
from agent.recorder.vault import SegmentWriter, Vault

__all__ = ["RETRY_S", "FetchLabels", "FetchSound", "RetryBuffer", "no_labels"]

FetchSound = Callable[[int, int], RecordedSound]
"""Returns the sound from one instant to another, ns of the boot clock."""

RETRY_S: Final = 2.0
"""Recording goes on this soon after a disk does."""
_NS: Final = 10**9
_US: Final = 10**6

FetchLabels = Callable[[BootNs, BootNs], tuple[ObjectLabel, ...] | None]
"""Returns the labels seen from one sensor time to another; None if all frames were skipped."""


def no_labels(_from_ns: BootNs, _until_ns: BootNs) -> None:
    """Used if object detection is off."""


@dataclass(slots=True)
class _PendingSegment:
    """A segment that is not acknowledged. `written` of its `gops` have been passed to `writer`, if it has one."""

    event: SegmentId
    label: str
    description: StreamDescription
    gops: deque[Gop] = field(default_factory=deque)
    seen: FetchLabels = no_labels
    image: bytes | None = None
    end_ns: BootNs | None = None
    written: int = 0
    writer: SegmentWriter | None = None
    media: FragmentedMp4Writer | None = None
    heard: RecordedSound | None = None
    chain: SigningChain | None = None
    """The state of the signatures behind the last GOP that was written."""

    @property
    def size_bytes(self) -> int:
        """From any thread: a status is asked for while the pictures come."""
        heard = self.heard.packets if self.heard is not None else ()
        pictures = sum(gop.size_bytes for gop in tuple(self.gops)) + len(self.image or b"")
        return pictures + sum(len(packet.data) for packet in heard)

    def start_over(self) -> None:
        if self.writer is not None:
            self.writer.abandon()
        self.writer = self.media = None


class RetryBuffer:
    """For one thread. After a fault `make_room(bytes)` is called: a full disk lacks room for this many bytes. If it
    made room it returns true, and the next attempt follows at once, because other files could take that room first.

    `monotonic`: seconds, for the pauses between attempts.
    """

    def __init__(
        self,
        vault: Vault,
        clock: Clock,
        most_bytes: int,
        make_room: Callable[[int], bool],
        monotonic: Callable[[], float] = time.monotonic,
        fetch_sound: FetchSound | None = None,
        *,
        continuous: bool = False,
        signer: CaptureSigner | None = None,
    ) -> None:
        """`continuous`: everything is recorded, so only a fault explains an old newest record. `signer`: signs each
        GOP; None leaves them unsigned."""
        self._signer = signer
        self._restarted = continuous
        self._fetch_sound = fetch_sound
        self._vault = vault
        self._clock = clock
        self._most_bytes = most_bytes
        self._make_room = make_room
        self._monotonic = monotonic
        self._log = structlog.get_logger("writer")
        self._pending: deque[_PendingSegment] = deque()
        self._retry_s = 0.0
        self._entered_s: float | None = None
        self._lost: tuple[ClockReading, ClockReading] | None = None
        self.acknowledged = 0
        self.recorded_s = 0.0
        self.fault = ""
        """Why segments are not acknowledged; empty while they are."""

    @property
    def writing(self) -> bool:
        """A segment is open, and the disk takes it."""
        return bool(self._pending) and not self.fault

    @property
    def waiting(self) -> bool:
        """`retry` has something to do."""
        return bool(self.fault and (self._pending or self._lost))

    @property
    def in_memory_bytes(self) -> int:
        return sum(pending.size_bytes for pending in tuple(self._pending))

    @property
    def in_memory_s(self) -> float:
        """Seconds from the oldest unacknowledged picture to the newest."""
        gops = [gop for pending in tuple(self._pending) for gop in tuple(pending.gops)]
        return (gops[-1].end_ns - gops[0].start_ns) / _NS if gops else 0.0

    @property
    def stalled_s(self) -> float:
        """Seconds since the disk last answered; 0 if no write is pending."""
        entered_s = self._entered_s
        return self._monotonic() - entered_s if entered_s is not None else 0.0

    def begin(
        self, event: SegmentId, label: str, description: StreamDescription, gop: Gop, seen: FetchLabels = no_labels
    ) -> None:
        """Open a segment that begins with `gop`.  `seen` is asked when it is sealed."""
        self._pending.append(_PendingSegment(event, label, description, deque([gop]), seen))
        self._advance()

    def grow(self, gop: Gop) -> None:
        """Appends to the newest segment while it is open."""
        if self._pending and self._pending[-1].end_ns is None:
            self._pending[-1].gops.append(gop)
            self._advance()

    def poster(self, image: bytes) -> None:
        """The still of the segment opened last."""
        if self._pending:
            self._pending[-1].image = image

    def end(self, end_ns: BootNs) -> None:
        """End the segment opened last."""
        if self._pending:
            self._pending[-1].end_ns = end_ns
            self._keep_sound(self._pending[-1])
            self._advance()

    def retry(self) -> None:
        """Try again what the disk refused, if it is time."""
        if self.waiting:
            self._advance()

    def break_off(self) -> None:
        """Drops the stream after an internal error. The vault's next start recovers the written part."""
        if self._pending and self._pending[-1].end_ns is None:
            self._pending.pop().start_over()

    def _advance(self) -> None:
        if self.fault and self._monotonic() < self._retry_s:
            self._drop_oldest()
            return
        self._entered_s = self._monotonic()
        try:
            self._commit()
        except StorageError as error:
            self._failed(error)
        except DoorwardError:
            # The disk works: the same pictures would fail again.
            self._pending.popleft().start_over()
            raise
        finally:
            self._entered_s = None

    def _commit(self) -> None:
        while self._pending:
            first = self._pending[0]
            self._feed(first)
            if first.end_ns is None or first.writer is None or first.media is None:
                return
            first.writer.write(first.media.finish())
            seen = first.seen(first.gops[0].start_ns, first.end_ns)
            if first.image is not None:
                first.writer.poster(first.image, seen)
            self._add_sound(first, first.writer, first.end_ns)
            record = first.writer.finish(self._moment(first.end_ns), seen)
            self._pending.popleft()
            if self._signer is not None and first.chain is not None:
                # Only now: a segment that must be written again begins with the chain of the last acknowledged one.
                self._signer.chain = first.chain
            self.acknowledged += 1
            self.recorded_s += record.span.duration_us / _US
            self.fault = ""
            self._log.info("segment_acknowledged", segment=record.id, bytes=record.file.size)
        self._record_lost_footage()
        self.fault = ""

    def _keep_sound(self, pending: _PendingSegment) -> None:
        """Take what was heard while it is there: a fault of the disk may outlast the memory of it."""
        if self._fetch_sound is not None and pending.heard is None and pending.end_ns is not None and pending.gops:
            pending.heard = self._fetch_sound(pending.gops[0].start_ns, pending.end_ns)

    def _add_sound(self, pending: _PendingSegment, writer: SegmentWriter, end_ns: int) -> None:
        self._keep_sound(pending)
        heard = pending.heard
        if heard is None:
            return
        track = None
        if heard.description is not None:
            track = sound_mp4(heard.description, heard.packets, pending.gops[0].start_ns, end_ns)
        writer.sound(track, heard.silence)

    def _feed(self, pending: _PendingSegment) -> None:
        """Passes new GOPs to the writer."""
        if pending.writer is None:
            start = pending.gops[0]
            media = FragmentedMp4Writer(pending.description)
            pending.writer = self._vault.begin(pending.event, self._moment(start.start_ns), label=pending.label)
            signed = self._signed(pending, start, first=True)
            pending.writer.write(media.begin(start, signed.units if signed is not None else None))
            pending.media, pending.written = media, 1
            pending.chain = signed.chain if signed is not None else None
        while pending.media is not None and pending.written < len(pending.gops):
            gop = pending.gops[pending.written]
            signed = self._signed(pending, gop, first=False)
            try:
                fragment = pending.media.add(gop, signed.units if signed is not None else None)
            except FormatError:
                self._split(pending)
                return
            pending.writer.write(fragment)
            pending.written += 1
            pending.chain = signed.chain if signed is not None else None

    def _signed(self, pending: _PendingSegment, gop: Gop, *, first: bool) -> SignedUnits | None:
        if self._signer is None:
            return None
        # Written again after a fault, a segment gets the same numbers again, so that it still follows the one before.
        chain = self._signer.chain if first or pending.chain is None else pending.chain
        return self._signer.signed(gop, pending.description.codec, chain, self._moment, first=first)

    def _split(self, pending: _PendingSegment) -> None:
        """The camera changed its picture format: that is a border like any other."""
        rest = deque(list(pending.gops)[pending.written :])
        pending.gops = deque(list(pending.gops)[: pending.written])
        later = _PendingSegment(
            pending.event, pending.label, pending.description, rest, pending.seen, end_ns=pending.end_ns
        )
        later.heard = pending.heard
        pending.end_ns = rest[0].start_ns
        self._pending.insert(self._pending.index(pending) + 1, later)

    def _failed(self, error: StorageError) -> None:
        if not self.fault:
            self._log.error("disk_refused", error=error.message)
        self.fault = str(error)
        self._remember_restart()
        self._retry_s = self._monotonic() + RETRY_S
        for pending in self._pending:
            pending.start_over()
        self._drop_oldest()
        # If the disk is full, the oldest segments must go now: retention runs only after an acknowledgement, and there
        # is none before that. Only the next segment's size counts: for more, a file that grows beside the vault would
        # take one segment after another.
        with suppress(StorageError):
            if self._make_room(self._pending[0].size_bytes if self._pending else 0):
                self._retry_s = self._monotonic()

    def _remember_restart(self) -> None:
        """Records a gap from the last record on if the previous process could not write its footage from memory."""
        if not self._restarted or self.acknowledged or not self._pending:
            return
        self._restarted = False
        with suppress(StorageError):
            since_ns, first_ns = self._vault.covered_until_ns(), self._pending[0].gops[0].start_ns
            if since_ns is not None and since_ns < first_ns:
                self._lost = (self._moment(since_ns), self._moment(first_ns))

    def _drop_oldest(self) -> None:
        """Keep to the memory there is: the oldest pictures go, whole GOPs of them, and are remembered as lost."""
        while self.in_memory_bytes > self._most_bytes:
            first = self._pending[0]
            # Up to the next keyframe: the later parts of a long GOP do not decode without its beginning.
            following = next((at for at, gop in enumerate(first.gops) if at and gop.begins), len(first.gops))
            # The GOP that is being received stays, whatever its size: `grow` would have no segment for the rest of it.
            if len(self._pending) == 1 and following == len(first.gops):
                return
            lost = [first.gops.popleft() for _ in range(following)]
            self._lost = (
                # One span is enough: the oldest pictures always go first, so the lost ones follow each other.
                self._lost[0] if self._lost else self._moment(lost[0].start_ns),
                self._moment(lost[-1].end_ns),
            )
            first.image = None  # its picture may be gone with it
            if not first.gops:
                self._pending.popleft()

    def _record_lost_footage(self) -> None:
        """Records a gap for footage that was dropped, once the disk takes footage again."""
        if self._lost is not None:
            start, end = self._lost
            self._vault.record_gap(GapReason.STORAGE, start, end)
            self._log.warning("footage_lost", seconds=(end.boot_ns - start.boot_ns) / _NS)
            self._lost = None

    def _moment(self, sensor_ns: int) -> ClockReading:
        return self._clock.now().at(BootNs(sensor_ns))
