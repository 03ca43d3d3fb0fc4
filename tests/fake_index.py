"""An index in memory, which passes the contract of the one in SQLite and can be set back to an earlier state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from agent.core.timebase import ClockQuality
from agent.core.vault.entries import NumberedClockSync, Totals, VaultEntry, dated
from agent.core.vault.manifest import ChainHead, chapter_of

__all__ = ["FakeIndex"]


class FakeIndex:
    """The `Index` port.  `history` holds every state it was in, oldest first."""

    is_damaged = False

    def __init__(self, state: tuple[ChainHead, dict[str, VaultEntry]] | None = None) -> None:
        self._tip, self._entries = state or (ChainHead(), {})
        self._scrubbed = -1
        self._copy: tuple[ChainHead, dict[str, VaultEntry]] | None = None
        self.history: list[tuple[ChainHead, dict[str, VaultEntry]]] = [(self._tip, dict(self._entries))]

    def chain_head(self) -> ChainHead:
        return self._tip

    def clear(self) -> None:
        self._tip, self._entries, self._scrubbed, self._copy = ChainHead(), {}, -1, None

    def keep_copy(self) -> None:
        self._copy = (self._tip, dict(self._entries))

    def restore_copy(self) -> bool:
        found, self._copy = self._copy, None
        if found is not None:
            self._tip, self._entries = found
        return found is not None

    def apply(
        self,
        added: Sequence[VaultEntry],
        removed: Sequence[str],
        tip: ChainHead,
        syncs: Sequence[NumberedClockSync] = (),
    ) -> None:
        entries = dict(self._entries)
        for segment in removed:
            entries.pop(segment, None)
        for entry in added:
            assert entry.id not in entries
            entries[entry.id] = entry
        for sync in syncs:
            entries = {name: dated(entry, sync) for name, entry in entries.items()}
        self._tip, self._entries = tip, entries
        self.history.append((tip, dict(entries)))

    def get(self, segment: str) -> VaultEntry | None:
        return self._entries.get(segment)

    def overlapping(self, from_ms: int, to_ms: int) -> tuple[VaultEntry, ...]:
        found = [entry for entry in self._entries.values() if entry.start_ms < to_ms and entry.end_ms > from_ms]
        return tuple(sorted(found, key=lambda entry: (entry.start_ms, entry.sequence)))

    def oldest(self, *, continuous: bool | None = None, after: int = -1) -> Iterator[VaultEntry]:
        for entry in sorted(self._entries.values(), key=lambda entry: entry.sequence):
            if entry.sequence > after and continuous in (None, entry.continuous):
                yield entry

    def scrubbed(self) -> int:
        return self._scrubbed

    def set_scrubbed(self, sequence: int) -> None:
        self._scrubbed = sequence

    def recorded_in(self, first: int, end: int) -> tuple[VaultEntry, ...]:
        found = [entry for entry in self._entries.values() if first <= entry.line_offset < end]
        return tuple(sorted(found, key=lambda entry: entry.line_offset))

    def boots(self) -> frozenset[str]:
        return frozenset(entry.boot for entry in self._entries.values())

    def line_bytes(self) -> dict[int, int]:
        found: Counter[int] = Counter()
        for entry in self._entries.values():
            found[chapter_of(entry.line_offset)] += entry.line_size + 1
        return dict(found)

    def undated(self, boot: str) -> bool:
        return any(
            entry.boot == boot and entry.witnessed and entry.quality is not ClockQuality.SYNCED
            for entry in self._entries.values()
        )

    def newest(self) -> VaultEntry | None:
        return max(self._entries.values(), key=lambda entry: entry.sequence, default=None)

    def shard(self, shard: str) -> tuple[VaultEntry, ...]:
        return tuple(entry for entry in self._entries.values() if entry.id.startswith(shard))

    def totals(self) -> Totals:
        entries = self._entries.values()
        return Totals(
            len(entries),
            sum(entry.stored_bytes for entry in entries),
            sum(entry.stored_bytes for entry in entries if entry.continuous),
        )

    def close(self) -> None:
        pass
