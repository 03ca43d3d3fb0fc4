"""The requester's half of a transfer: assembles parts on disk from chunks in any order, with repetitions and gaps.

One receiver serves one disclosure. Rules:
- Part 0 comes first. The other parts are written after the client has read the manifest, which lists them.
- A chunk counts if its hash fits, it is inside its part, and it was written. A part counts once the client has fsynced
  it, read it back, compared its hash and given it its final name (`SealPart`). Only then a receipt names it.
- Bytes are written once. If the hash of a part differs, the part is dropped and requested
  again, at most three times. Then the disclosure is refused.
- If the device waits for an answer, it gets one at once. Other news about progress is sent at most twice a second,
  because a device reads few messages a second and would have to read all of them before the one that says complete.
- A restart may lose this state: sealed parts have their final names, and the rest is requested again.
- A relay cannot open the manifest (`expect_unread`). It learns the size and hash of each part from its `fin`.
"""

from __future__ import annotations

import enum
import hashlib
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from agent.core.timebase import BootNs, seconds
from agent.core.transfer.values import LARGEST_CHUNK_BYTES, ByteRanges, PartSize, TransferProgress
from agent.wire.disclosures import MAX_PARTS, ReceiptState

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
"""Interval between two progress reports, unless the device waits for one."""


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """Limits on the disk that a device may use at a requester. A disclosure above them is refused before a byte is
    written."""

    manifest_bytes: int = 64 << 20
    part_bytes: int = 1 << 30
    parts: int = MAX_PARTS + 1
    """With part 0, the manifest, which lists the others."""
    total_bytes: int = 16 << 30
    spans: int = 64
    """Missing spans, over all parts, for which one receipt has room within its 8 KiB; also ranges of stored parts."""


@dataclass(frozen=True, slots=True)
class WritePart:
    """Write these bytes of an unsealed part."""

    part: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SealPart:
    """fsync the part, read it back, compare, rename it to its final name, fsync the folder. Then call `sealed`."""

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
    """Urgency of an answer."""

    NOT = enum.auto()
    IN_TIME = enum.auto()
    NOW = enum.auto()


ReceiverEffect: TypeAlias = WritePart | SealPart | ManifestReceived | AllReceived | SendReceipt


class UploadReceiver:
    """Receives one disclosure. `sealed`: the parts found under their final names at start. `state`: the durable
    outcome."""

    def __init__(
        self,
        manifest: PartSize,
        parts: int,
        limits: ReceiverLimits,
        *,
        sealed: frozenset[int] = frozenset(),
        state: ReceiptState = ReceiptState.PARTIAL,
    ) -> None:
        self._limits = limits
        self._count = parts
        self._sizes: dict[int, PartSize] = {0: manifest}
        self._have: dict[int, ByteRanges] = {}
        self._sealing: set[int] = set()
        # Without part 0, the manifest, the hashes of the others are unknown, so they are asked for again.
        self._sealed = {part for part in sealed if part < parts} if 0 in sealed else set()
        self._expected = False
        self._unread_bytes: int | None = None
        """Bytes that all parts may have together, if this receiver cannot open the manifest. Otherwise None."""
        self._spoiled = 0
        self._state = state
        self._effects: deque[ReceiverEffect] = deque()
        self._due = _AnswerDue.NOT
        self._answered_ns: BootNs | None = None
        self._question: int | None = None
        self.dropped = 0
        """Chunks that were malformed, out of bounds or unwanted."""
        if not self._bearable(manifest, parts):
            self.refuse()
        elif state is ReceiptState.PARTIAL and 0 in self._sealed:
            self._effects.append(ManifestReceived())

    @property
    def state(self) -> ReceiptState:
        return self._state

    @property
    def manifest(self) -> PartSize:
        return self._sizes[0]

    @property
    def held_bytes(self) -> int:
        """Bytes in sealed parts of known size."""
        return sum(self._sizes[part].size_bytes for part in self._sealed if part in self._sizes)

    @property
    def expected_bytes(self) -> int | None:
        """Bytes in all parts. None before the manifest is read."""
        return sum(size.size_bytes for size in self._sizes.values()) if self._expected else None

    @property
    def outstanding_bytes(self) -> int:
        """Unsealed bytes in parts of known size. 0 once the transfer is over."""
        if self._state is not ReceiptState.PARTIAL:
            return 0
        return sum(size.size_bytes for part, size in self._sizes.items() if part not in self._sealed)

    # Inputs

    def init(self, manifest: PartSize, parts: int, question: int | None = None) -> None:
        """Handles the device's init, which says what it sends and asks what is here. Drops another object under the
        same id."""
        if manifest == self._sizes[0] and parts == self._count:
            self._question = question
            self._due = _AnswerDue.NOW
        else:
            self.dropped += 1

    def chunk(self, part: int, offset: int, data: bytes, sha256: str) -> None:
        """Handles some bytes of a part, with the hash from their topic."""
        most_bytes = self._most_bytes(part)
        end = offset + len(data)
        wanted = self._state is ReceiptState.PARTIAL and part not in self._sealed | self._sealing
        if most_bytes is None or not wanted:
            self.dropped += 1
            return
        # The bounds come before the hash: a chunk out of bounds must cost no computation and no disk.
        fits = offset >= 0 and 0 < len(data) <= LARGEST_CHUNK_BYTES and end <= most_bytes
        if not fits or hashlib.sha256(data).hexdigest() != sha256:
            self.dropped += 1
            return
        have = self._have.setdefault(part, ByteRanges())
        # Every retry repeats the same bytes, so a second write would only wear the disk.
        if have.covers(offset, end):
            return
        have.add(offset, end)
        self._effects.append(WritePart(part, offset, data))
        self._seal_if_whole(part)

    def fin(self, part: int, size: PartSize | None = None) -> None:
        """Handles the end of a part: tells the device how much came. `size`: as the message states it."""
        if size is not None and self._unread_bytes is not None and self._learns(part, size):
            self._sizes[part] = size
            self._seal_if_whole(part)
        if part not in self._sealing:  # if it is being sealed, sealing answers
            self._due = max(self._due, _AnswerDue.IN_TIME)

    def sealed(self, part: int, matches: bool) -> None:
        """Handles the outcome of `SealPart`. On a mismatch the client has removed the written bytes."""
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
        """Accepts the manifest's list of parts 1, 2, …. Refuses a list that contradicts the init or the limits."""
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

    def expect_unread(self, total_bytes: int) -> None:
        """Accepts all parts without a list of them, `total_bytes` at most: another person has the key of the manifest.

        The parts count as announced by `init`, and each one is compared with the hash in its `fin`.
        """
        self._unread_bytes = total_bytes - self._sizes[0].size_bytes
        if self._unread_bytes < 0:
            self.refuse()
            return
        self._expected = True
        self._due = _AnswerDue.NOW
        self._look_if_all()

    def complete(self) -> None:
        """Ends the transfer: every part is verified, opened and durable, and so is this fact."""
        self._state = ReceiptState.COMPLETE
        self._due = _AnswerDue.NOW

    def refuse(self) -> None:
        """Ends the transfer: the disclosure is a wrong or unwanted one."""
        self._state = ReceiptState.REFUSED
        # A part that is being sealed is finished, so that the client's files and this state agree.
        self._effects = deque(effect for effect in self._effects if isinstance(effect, SealPart))
        self._due = _AnswerDue.NOW

    # Output

    @property
    def deadline_ns(self) -> BootNs | None:
        """Returns when `next_effect` has an answer even without input."""
        if self._due is not _AnswerDue.IN_TIME or self._answered_ns is None or self._busy:
            return None
        return BootNs(self._answered_ns + NEWS_NS)

    def next_effect(self, now: BootNs) -> ReceiverEffect | None:
        """Returns the next effect, in order. Several reasons to answer give one answer, after all other effects.

        A receipt that names part 0 asks for the rest, so receipts wait between `ManifestReceived` and `expect` or
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
        """Returns whether a part is being sealed, or its client decides about the manifest."""
        deciding = 0 in self._sealed and not self._expected and self._state is ReceiptState.PARTIAL
        return bool(self._sealing) or deciding

    def _held(self) -> TransferProgress:
        manifest = self._sizes[0].sha256 if 0 in self._sealed else None
        if self._state is not ReceiptState.PARTIAL:
            stored = ((0, self._count - 1),) if self._state is ReceiptState.COMPLETE else ()
            known = self._sizes[0].sha256 if self._state is ReceiptState.COMPLETE else manifest
            return TransferProgress(self._state, known, stored, question=self._question)
        ranges = tuple((start, end - 1) for start, end in ByteRanges((part, part + 1) for part in self._sealed))
        return TransferProgress(self._state, manifest, ranges[: self._limits.spans], self._incomplete(), self._question)

    def _incomplete(self) -> tuple[tuple[int, tuple[tuple[int, int], ...]], ...]:
        room = self._limits.spans
        listed = []
        for part, have in sorted(self._have.items()):
            size = self._sizes.get(part)
            if size is None:
                continue  # its `fin` is still to come
            missing = tuple(have.missing(size.size_bytes))[:room]
            if missing:
                listed.append((part, missing))
                room -= len(missing)
        return tuple(listed)

    def _most_bytes(self, part: int) -> int | None:
        """Returns how long the part may be, or None if it is not wanted yet."""
        size = self._sizes.get(part)
        if size is not None:
            return size.size_bytes
        if self._unread_bytes is None or not 1 <= part < self._count:
            return None
        return min(self._limits.part_bytes, self._unread_left(part))

    def _unread_left(self, part: int) -> int:
        """Returns the bytes that this part may have beside what is known of the others."""
        assert self._unread_bytes is not None  # noqa: S101 (asked only of a receiver that cannot open the manifest)
        sized = sum(size.size_bytes for each, size in self._sizes.items() if each not in (0, part))
        unsized = (have for each, have in self._have.items() if each != part and each not in self._sizes)
        begun = sum(max(end for _, end in have) for have in unsized)
        return self._unread_bytes - sized - begun

    def _learns(self, part: int, size: PartSize) -> bool:
        """Returns True if the size of this part is new and within the limits. Refuses the disclosure beyond them."""
        new = 1 <= part < self._count and part not in self._sizes and self._state is ReceiptState.PARTIAL
        if new and (not self._bearable_part(size) or size.size_bytes > self._unread_left(part)):
            self.refuse()
            return False
        return new

    def _seal_if_whole(self, part: int) -> None:
        size, have = self._sizes.get(part), self._have.get(part)
        if size is None or have is None or part in self._sealed | self._sealing:
            return
        if have.covers(0, size.size_bytes):
            self._sealing.add(part)
            self._effects.append(SealPart(part, size))

    def _look_if_all(self) -> None:
        if len(self._sealed) == self._count and self._state is ReceiptState.PARTIAL:
            self._effects.append(AllReceived())

    def _bearable(self, manifest: PartSize, parts: int) -> bool:
        return 1 <= parts <= self._limits.parts and 1 <= manifest.size_bytes <= self._limits.manifest_bytes

    def _bearable_part(self, part: PartSize) -> bool:
        return 1 <= part.size_bytes <= self._limits.part_bytes
