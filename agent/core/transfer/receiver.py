"""The requester's half of a transfer: puts parts together on disk, whatever order, repetition or gap they come with.

For one disclosure.  Rules:
- Part 0 comes first: nothing else is written before its client has read the manifest and said what the parts are.
- A chunk counts when its hash fits, it lies inside its part, and it was written; a part counts when the client has
  fsynced it, read it back, compared its hash and given it its final name (`SealPart`).  Only then a receipt names it.
- Bytes that are here are not written again.  A part whose hash does not fit is forgotten and asked for again, three
  times at most: then the disclosure is refused.
- What the device waits for is answered at once; mere news of what has arrived, twice a second at most: a device takes
  few messages a second, at a steady beat, and would have to take them all before the one that says complete.
- Nothing here needs to survive a restart: sealed parts lie under their final names, and the rest is asked for again.
"""

from __future__ import annotations

import enum
import hashlib
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from agent.core.timebase import BootNs, seconds
from agent.core.transfer.spans import ByteRanges
from agent.core.transfer.values import LARGEST_CHUNK_BYTES, PartSize, TransferProgress, TransferState

__all__ = [
    "AllReceived",
    "ManifestReceived",
    "ReceiverEffect",
    "ReceiverLimits",
    "SealPart",
    "SendReceipt",
    "UploadReceiver",
    "WritePart",
]

_SPOILED_LIMIT = 3
NEWS_NS = seconds(0.5)
"""Between an answer and the next that nobody waits for."""


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """What a device may ask of a requester's disk.  More is refused before a byte is written."""

    manifest_bytes: int = 64 << 20
    part_bytes: int = 1 << 30
    parts: int = 20_001
    total_bytes: int = 16 << 30
    spans: int = 64
    """Missing spans, over all parts, that one receipt has room for within its 8 KiB; also ranges of stored parts."""


@dataclass(frozen=True, slots=True)
class WritePart:
    """Write these bytes of an unsealed part."""

    part: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SealPart:
    """fsync the part, read it back, compare, rename it to its final name, fsync the folder; then call `sealed`."""

    part: int
    size: PartSize


@dataclass(frozen=True, slots=True)
class ManifestReceived:
    """Part 0 is sealed: verify it and call `expect` with its parts, or `refuse`."""


@dataclass(frozen=True, slots=True)
class AllReceived:
    """Every part is sealed: verify and open all, then call `complete` or `refuse`."""


@dataclass(frozen=True, slots=True)
class SendReceipt:
    """Sign this as a receipt and publish it."""

    held: TransferProgress


class _AnswerDue(enum.IntEnum):
    """How soon to answer."""

    NOT = enum.auto()
    IN_TIME = enum.auto()
    NOW = enum.auto()


ReceiverEffect: TypeAlias = WritePart | SealPart | ManifestReceived | AllReceived | SendReceipt


class UploadReceiver:
    """`sealed` lists the parts found under their final names at a start; `state` what was made durable of the end."""

    def __init__(
        self,
        manifest: PartSize,
        parts: int,
        limits: ReceiverLimits,
        *,
        sealed: frozenset[int] = frozenset(),
        state: TransferState = TransferState.PARTIAL,
    ) -> None:
        self._limits = limits
        self._count = parts
        self._sizes: dict[int, PartSize] = {0: manifest}
        self._have: dict[int, ByteRanges] = {}
        self._sealing: set[int] = set()
        self._sealed = {part for part in sealed if part < parts} if 0 in sealed else set()
        self._expected = False
        self._spoiled = 0
        self._state = state
        self._effects: deque[ReceiverEffect] = deque()
        self._due = _AnswerDue.NOT
        self._answered_ns: BootNs | None = None
        self._question: int | None = None
        self.dropped = 0
        """Chunks that were malformed, out of bounds or not wanted."""
        if not self._bearable(manifest, parts):
            self.refuse()
        elif state is TransferState.PARTIAL and 0 in self._sealed:
            self._effects.append(ManifestReceived())

    @property
    def state(self) -> TransferState:
        return self._state

    @property
    def manifest(self) -> PartSize:
        return self._sizes[0]

    @property
    def held_bytes(self) -> int:
        """In sealed parts whose size is known."""
        return sum(self._sizes[part].size_bytes for part in self._sealed if part in self._sizes)

    @property
    def expected_bytes(self) -> int | None:
        """In all parts; None before the manifest is read."""
        return sum(size.size_bytes for size in self._sizes.values()) if self._expected else None

    @property
    def outstanding_bytes(self) -> int:
        """Of parts whose size is known, what is not sealed; none once nothing more is wanted."""
        if self._state is not TransferState.PARTIAL:
            return 0
        return sum(size.size_bytes for part, size in self._sizes.items() if part not in self._sealed)

    # Inputs

    def init(self, manifest: PartSize, parts: int, question: int | None = None) -> None:
        """The device says again what it sends, and asks what is here.  Another object under the same id is dropped."""
        if manifest == self._sizes[0] and parts == self._count:
            self._question = question
            self._due = _AnswerDue.NOW
        else:
            self.dropped += 1

    def chunk(self, part: int, offset: int, data: bytes, sha256: str) -> None:
        """Some bytes of a part, with the hash their topic gives them."""
        size = self._sizes.get(part)
        end = offset + len(data)
        wanted = size is not None and self._state is TransferState.PARTIAL and part not in self._sealed | self._sealing
        if size is None or not wanted:
            self.dropped += 1
            return
        fits = offset >= 0 and 0 < len(data) <= LARGEST_CHUNK_BYTES and end <= size.size_bytes
        if not fits or hashlib.sha256(data).hexdigest() != sha256:
            self.dropped += 1
            return
        have = self._have.setdefault(part, ByteRanges())
        if have.covers(offset, end):
            return
        have.add(offset, end)
        self._effects.append(WritePart(part, offset, data))
        if have.covers(0, size.size_bytes):
            self._sealing.add(part)
            self._effects.append(SealPart(part, size))

    def fin(self, part: int) -> None:
        """The device has sent all of a part: tell it how much came."""
        if part not in self._sealing:  # else sealing it answers
            self._due = max(self._due, _AnswerDue.IN_TIME)

    def sealed(self, part: int, matches: bool) -> None:
        """The outcome of `SealPart`.  When it does not match, the client has removed what was written."""
        self._sealing.discard(part)
        self._have.pop(part, None)
        if not matches:
            self._spoiled += 1
            if self._spoiled >= _SPOILED_LIMIT:
                self.refuse()
            self._due = max(self._due, _AnswerDue.IN_TIME)
            return
        self._sealed.add(part)
        if part == 0:
            self._effects.append(ManifestReceived())
        else:
            self._due = max(self._due, _AnswerDue.IN_TIME)
            self._look_if_all()

    def expect(self, parts: tuple[PartSize, ...]) -> None:
        """The manifest is good and lists parts 1, 2, ….  A list that does not fit the init or the limits is refused."""
        if len(parts) != self._count - 1 or not all(self._bearable_part(part) for part in parts):
            self.refuse()
            return
        if sum(part.size_bytes for part in parts) > self._limits.total_bytes:
            self.refuse()
            return
        self._sizes.update(enumerate(parts, start=1))
        self._expected = True
        self._due = _AnswerDue.NOW
        self._look_if_all()

    def complete(self) -> None:
        """Everything is verified, opened and durable, and so is this fact."""
        self._state = TransferState.COMPLETE
        self._due = _AnswerDue.NOW

    def refuse(self) -> None:
        """Not what was asked for, or not wanted any more."""
        self._state = TransferState.REFUSED
        self._effects = deque(effect for effect in self._effects if isinstance(effect, SealPart))
        self._due = _AnswerDue.NOW

    # Output

    @property
    def deadline_ns(self) -> BootNs | None:
        """When `next_effect` has an answer without any input."""
        if self._due is not _AnswerDue.IN_TIME or self._answered_ns is None or self._busy:
            return None
        return BootNs(self._answered_ns + NEWS_NS)

    def next_effect(self, now: BootNs) -> ReceiverEffect | None:
        """The next thing to do, in order.  Several reasons to answer make one answer, after everything else.

        A receipt that names part 0 asks for the rest, so none is made between `ManifestReceived` and `expect` or
        `refuse`.
        """
        if self._effects:
            return self._effects.popleft()
        if self._due is _AnswerDue.NOT or self._busy:
            return None
        if self._due is _AnswerDue.IN_TIME and self._answered_ns is not None and now < self._answered_ns + NEWS_NS:
            return None
        self._due, self._answered_ns = _AnswerDue.NOT, now
        return SendReceipt(self._held())

    @property
    def _busy(self) -> bool:
        """A part is being sealed, or its client decides about the manifest."""
        deciding = 0 in self._sealed and not self._expected and self._state is TransferState.PARTIAL
        return bool(self._sealing) or deciding

    def _held(self) -> TransferProgress:
        manifest = self._sizes[0].sha256 if 0 in self._sealed else None
        if self._state is not TransferState.PARTIAL:
            stored = ((0, self._count - 1),) if self._state is TransferState.COMPLETE else ()
            known = self._sizes[0].sha256 if self._state is TransferState.COMPLETE else manifest
            return TransferProgress(self._state, known, stored, question=self._question)
        ranges = tuple((start, end - 1) for start, end in ByteRanges((part, part + 1) for part in self._sealed))
        return TransferProgress(self._state, manifest, ranges[: self._limits.spans], self._incomplete(), self._question)

    def _incomplete(self) -> tuple[tuple[int, tuple[tuple[int, int], ...]], ...]:
        room = self._limits.spans
        listed = []
        for part, have in sorted(self._have.items()):
            missing = tuple(have.missing(self._sizes[part].size_bytes))[:room]
            if missing:
                listed.append((part, missing))
                room -= len(missing)
        return tuple(listed)

    def _look_if_all(self) -> None:
        if len(self._sealed) == self._count and self._state is TransferState.PARTIAL:
            self._effects.append(AllReceived())

    def _bearable(self, manifest: PartSize, parts: int) -> bool:
        return 1 <= parts <= self._limits.parts and 1 <= manifest.size_bytes <= self._limits.manifest_bytes

    def _bearable_part(self, part: PartSize) -> bool:
        return 1 <= part.size_bytes <= self._limits.part_bytes
