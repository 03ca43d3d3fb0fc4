"""The custodian's view of the recorder's vault: a read-only `Disk`, and an index that follows the recorder's manifest.

The index catches up before each query. It is a cache of the manifest (FORMAT.md, "Index"), so each role can have one.
Locks, write-ahead logs and user ids are separate, and a role that damages its cache damages only its cache.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.core.vault.entries import NumberedClockSync, Totals, VaultEntry
from agent.core.vault.fields import SegmentId
from agent.core.vault.manifest import ChainHead
from agent.ports import Disk, DiskFile, Index, ManifestLog
from agent.vault.replay import catch_up

__all__ = ["FollowingIndex", "ReadOnlyDisk"]


class ReadOnlyDisk:
    """Passes reads to `disk`.  Everything else raises the error of a read-only file system."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def names(self, path: Path) -> list[str]:
        return self._disk.names(path)

    def size(self, path: Path) -> int | None:
        return self._disk.size(path)

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        return self._disk.read(path, offset, size_bytes)

    def chunks(self, path: Path, offset: int = 0) -> Iterator[bytes]:
        return self._disk.chunks(path, offset)

    def free_bytes(self, path: Path) -> int:
        return self._disk.free_bytes(path)

    def truncate(self, path: Path, size_bytes: int) -> None:
        """Does nothing. A reader beside a writer sometimes sees half a line, and must leave it alone."""

    def make_directory(self, path: Path) -> None:
        raise _refused(path)

    def create(self, path: Path) -> DiskFile:
        raise _refused(path)

    def append_to(self, path: Path) -> DiskFile:
        raise _refused(path)

    def rename(self, old: Path, new: Path) -> None:  # noqa: ARG002 — the port's
        raise _refused(new)

    def unlink(self, path: Path) -> None:
        raise _refused(path)

    def sync_directory(self, path: Path) -> None:
        raise _refused(path)


def _refused(path: Path) -> OSError:
    return OSError(errno.EROFS, "this role only reads", str(path))


class FollowingIndex:
    """`ports.Index` for reading.  `log` is a manifest that another process appends to.  Safe to use from several
    threads."""

    def __init__(self, log: ManifestLog, index: Index) -> None:
        self._log = log
        self._index = index
        self._lock = threading.Lock()
        self._seen_end: int | None = None

    @property
    def is_damaged(self) -> bool:
        return self._index.is_damaged

    def chain_head(self) -> ChainHead:
        return self._current().chain_head()

    def get(self, segment: SegmentId) -> VaultEntry | None:
        return self._current().get(segment)

    def overlapping(self, from_ms: int, to_ms: int) -> tuple[VaultEntry, ...]:
        return self._current().overlapping(from_ms, to_ms)

    def oldest(self, *, continuous: bool | None = None, after: int = -1) -> Iterator[VaultEntry]:
        return self._current().oldest(continuous=continuous, after=after)

    def recorded_in(self, first: int, end: int) -> tuple[VaultEntry, ...]:
        return self._current().recorded_in(first, end)

    def boots(self) -> frozenset[str]:
        return self._current().boots()

    def line_bytes(self) -> dict[int, int]:
        return self._current().line_bytes()

    def undated(self, boot: str) -> bool:
        return self._current().undated(boot)

    def newest(self) -> VaultEntry | None:
        return self._current().newest()

    def shard(self, shard: str) -> tuple[VaultEntry, ...]:
        return self._current().shard(shard)

    def totals(self) -> Totals:
        return self._current().totals()

    def scrubbed(self) -> int:
        return self._index.scrubbed()

    def set_scrubbed(self, sequence: int) -> None:
        self._index.set_scrubbed(sequence)

    def close(self) -> None:
        self._index.close()

    def clear(self) -> None:
        self._index.clear()

    def keep_copy(self) -> None:
        self._index.keep_copy()

    def restore_copy(self) -> bool:
        return self._index.restore_copy()

    def apply(
        self,
        added: Sequence[VaultEntry],
        removed: Sequence[SegmentId],
        tip: ChainHead,
        syncs: Sequence[NumberedClockSync] = (),
    ) -> None:
        self._index.apply(added, removed, tip, syncs)

    def _current(self) -> Index:
        with self._lock:
            end = self._log.end()
            # The manifest only grows while both processes run, so an equal end means that nothing is new.
            if end and (end != self._seen_end or self._index.is_damaged):
                self._seen_end = None  # until it has succeeded: it may leave an index that knows a part
                catch_up(self._log, self._index, may_cut=False)
                self._seen_end = end
        return self._index
