"""Answers "which segments overlap this window" in well under a millisecond among a million, from a SQLite file.

- It is a cache: every row comes from the manifest, `tip` says up to which line.  So commits are left unflushed
  (`synchronous = NORMAL`: a power cut may take the newest rows, never the file's integrity), and start-up reads the
  manifest on from `tip`.  That saves one flush and about 5 kB of card writes a segment.
- Segments are at most `LONGEST_SEGMENT_US` long, so those that overlap [from, to) start in (from − longest, to): one
  range of one index, for any number of segments.
- On a disk that refuses writes the index is a copy in memory for the life of the process.  The next start reads on from
  the tip of the file.
- A file that is no sound database, or turns out to be damaged during use, is removed, so that the next start is free of
  it, and rebuilt from the manifest.

Source: sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous; FORMAT.md, "Index".
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from agent.core.timebase import ClockQuality
from agent.core.vault.entries import NumberedClockSync, Totals, VaultEntry, dated
from agent.core.vault.fields import ID_PATTERN, LONGEST_SEGMENT_US, SegmentId
from agent.core.vault.manifest import ChainHead
from agent.errors import StorageError
from agent.platform.sqlite_faults import MalformedDatabase, is_damage
from agent.platform.sqlite_snapshot import EXCLUSIVE, open_snapshot, takes_no_write

__all__ = ["SqliteIndex"]

_VERSION: Final = 5
_LONGEST_MS: Final = LONGEST_SEGMENT_US // 1000 + 1
_PAGE_ROWS: Final = 256
_COPY_PAGES: Final = 64
"""A slice of the copy, 256 kB."""
_COPY_PAUSE_S: Final = 0.02
_TYPES: Final = [int, str, str, str, int, int, int, str, *[int] * 10]
_NAMES: Final = re.compile(rf"{ID_PATTERN} {ID_PATTERN} [0-9a-f]{{32}}")
"""Segment, event and boot.  A segment names its files: in the index of a recorder that was taken over it could be a
path, which root then follows."""
_QUALITIES: Final = frozenset(each.value for each in ClockQuality)

_SCHEMA: Final = """
CREATE TABLE segment (
  sequence INTEGER PRIMARY KEY,  -- the manifest's order, which is the order of eviction
  id TEXT NOT NULL UNIQUE,
  event TEXT NOT NULL, boot TEXT NOT NULL, ordinal INTEGER NOT NULL,
  start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, quality TEXT NOT NULL,
  size_bytes INTEGER NOT NULL, poster_bytes INTEGER NOT NULL,
  whole INTEGER NOT NULL, witnessed INTEGER NOT NULL,
  line_offset INTEGER NOT NULL, line_size INTEGER NOT NULL,
  start_us INTEGER NOT NULL, continuous INTEGER NOT NULL, sound_bytes INTEGER NOT NULL,
  dated_later INTEGER NOT NULL
) STRICT;
CREATE INDEX segment_by_time ON segment (start_ms, end_ms);  -- covers both ends: misses cost no look at the table
CREATE INDEX segment_undated ON segment (boot) WHERE quality <> 'synced';  -- few, as a rule: what a clock sync may date
CREATE INDEX segment_continuous ON segment (sequence) WHERE continuous = 1;
CREATE INDEX segment_of_event ON segment (sequence) WHERE continuous = 0;
CREATE TABLE state (  -- one row; the sums are kept, because adding up a million rows at each segment is not free
  one INTEGER PRIMARY KEY CHECK (one = 1),
  tip_offset INTEGER NOT NULL, tip_sequence INTEGER NOT NULL, tip_previous TEXT NOT NULL,
  segments INTEGER NOT NULL, stored_bytes INTEGER NOT NULL, continuous_bytes INTEGER NOT NULL,
  scrubbed INTEGER NOT NULL  -- where the scrub goes on; losing it costs a look at what was looked at
) STRICT;
"""
_COLUMNS: Final = (
    "sequence, id, event, boot, ordinal, start_ms, end_ms, quality, size_bytes, poster_bytes, whole, witnessed, "
    "line_offset, line_size, start_us, continuous, sound_bytes, dated_later"
)


class SqliteIndex:
    """The `Index` port in one SQLite file at `path`.

    `copied`: read a copy in memory, because the file belongs to a doorbell that may run.
    """

    def __init__(self, path: Path, *, copied: bool = False) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._ruined = ""
        self._is_copy = copied

    @property
    def is_damaged(self) -> bool:
        return bool(self._ruined)

    def chain_head(self) -> ChainHead:
        with self._using() as connection:
            row = connection.execute("SELECT tip_offset, tip_sequence, tip_previous FROM state").fetchone()
            if [type(each) for each in row] != [int, int, str]:
                raise MalformedDatabase("a tip of the wrong types")
        return ChainHead(*row)

    def clear(self) -> None:
        if self._is_copy:
            with self._using() as connection:
                _make_anew(connection)
            return
        with self._lock:
            try:
                self._remove()
                # "Forgets everything": `doorward vault repair` must not read on from an older index.
                self._beside(".copy").unlink(missing_ok=True)
            except OSError as error:
                raise self._failed(error) from error
            self._ruined = ""
        with self._using():
            pass

    def keep_copy(self) -> None:
        """Copies the index beside itself, in slices. Other callers wait for one slice at most."""
        new = self._beside(".new")
        try:
            # A file that an earlier run left half-written could be taken for damage of this index.
            new.unlink(missing_ok=True)
            with self._lock:
                if self._connection is None or self._is_copy:
                    return
                self._copy_to(new, self._connection)
            # Only a whole copy gets the name. The one before stays until then.
            new.replace(self._beside(".copy"))
        except (sqlite3.Error, OSError) as error:
            with suppress(OSError):
                new.unlink()
            raise StorageError(f"{new}: {error}.", remedy="The copy is made again tomorrow.") from error

    def _copy_to(self, new: Path, connection: sqlite3.Connection) -> None:
        """With the lock held once, which it gives up between two slices."""

        def give_way(_status: int, _remaining: int, _total: int) -> None:
            self._lock.release()
            try:
                time.sleep(_COPY_PAUSE_S)
            finally:
                self._lock.acquire()
            if self._connection is not connection:
                raise sqlite3.OperationalError("the index was closed meanwhile")

        target = sqlite3.connect(new)
        try:
            connection.backup(target, pages=_COPY_PAGES, progress=give_way)
        finally:
            target.close()

    def restore_copy(self) -> bool:
        if self._is_copy:
            return False
        with self._lock:
            try:
                if not self._beside(".copy").exists():
                    return False
                self._remove()
                # Moved, not copied: a copy that turns out to be damaged is used once.
                self._beside(".copy").replace(self._path)
            except OSError as error:
                raise self._failed(error) from error
            self._ruined = ""
        return True

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def apply(
        self,
        added: Sequence[VaultEntry],
        removed: Sequence[SegmentId],
        tip: ChainHead,
        syncs: Sequence[NumberedClockSync] = (),
    ) -> None:
        with self._using() as connection, connection:
            # Rows, sums and tip change together: an index that names a newer tip than its rows would skip them for
            # ever.
            connection.execute("BEGIN IMMEDIATE")
            segments, stored = len(added), sum(entry.stored_bytes for entry in added)
            continuous = sum(entry.stored_bytes for entry in added if entry.continuous)
            for segment in removed:
                gone = connection.execute(
                    "DELETE FROM segment WHERE id = ? RETURNING size_bytes + poster_bytes + sound_bytes, continuous",
                    (segment,),
                ).fetchall()
                segments -= len(gone)
                stored -= sum(row[0] for row in gone)
                continuous -= sum(row[0] for row in gone if row[1])
            connection.executemany(
                f"INSERT INTO segment ({_COLUMNS}) VALUES ({','.join('?' * 18)})",  # noqa: S608 — constants
                [_row(entry) for entry in added],
            )
            for sync in syncs:
                _date(connection, sync)
            connection.execute(
                "UPDATE state SET tip_offset = ?, tip_sequence = ?, tip_previous = ?, segments = segments + ?, "
                "stored_bytes = stored_bytes + ?, continuous_bytes = continuous_bytes + ?",
                (tip.offset, tip.sequence, tip.previous, segments, stored, continuous),
            )

    def get(self, segment: SegmentId) -> VaultEntry | None:
        return next(iter(self._select("WHERE id = ?", segment)), None)

    def overlapping(self, from_ms: int, to_ms: int) -> tuple[VaultEntry, ...]:
        return self._select(
            "WHERE start_ms > ? AND start_ms < ? AND end_ms > ? ORDER BY start_ms, sequence",
            from_ms - _LONGEST_MS,
            to_ms,
            from_ms,
        )

    def oldest(self, *, continuous: bool | None = None, after: int = -1) -> Iterator[VaultEntry]:
        of = "" if continuous is None else f"AND continuous = {int(continuous)} "
        while page := self._select(f"WHERE sequence > ? {of}ORDER BY sequence LIMIT ?", after, _PAGE_ROWS):
            yield from page
            after = page[-1].sequence

    def scrubbed(self) -> int:
        with self._using() as connection:
            return int(connection.execute("SELECT scrubbed FROM state").fetchone()[0])

    def set_scrubbed(self, sequence: int) -> None:
        with self._using() as connection:
            connection.execute("UPDATE state SET scrubbed = ?", (sequence,))

    def recorded_in(self, first: int, end: int) -> tuple[VaultEntry, ...]:
        return self._select("WHERE line_offset >= ? AND line_offset < ? ORDER BY line_offset", first, end)

    def boots(self) -> frozenset[str]:
        with self._using() as connection:
            return frozenset(row[0] for row in connection.execute("SELECT DISTINCT boot FROM segment"))

    def line_bytes(self) -> dict[int, int]:
        with self._using() as connection:
            rows = connection.execute("SELECT line_offset >> 32, sum(line_size + 1) FROM segment GROUP BY 1")
            return dict(rows.fetchall())

    def undated(self, boot: str) -> bool:
        return bool(self._select("WHERE boot = ? AND quality <> 'synced' AND witnessed = 1 LIMIT 1", boot))

    def newest(self) -> VaultEntry | None:
        return next(iter(self._select("ORDER BY sequence DESC LIMIT 1")), None)

    def shard(self, shard: str) -> tuple[VaultEntry, ...]:
        # A range of the unique index. DEL is above each digit of an id.
        return self._select("WHERE id >= ? AND id < ? ORDER BY id", shard, shard + "\x7f")

    def totals(self) -> Totals:
        with self._using() as connection:
            return Totals(*connection.execute("SELECT segments, stored_bytes, continuous_bytes FROM state").fetchone())

    def _remove(self) -> None:
        """Raises `OSError`."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _select(self, clause: str, *values: Any) -> tuple[VaultEntry, ...]:
        with self._using() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM segment {clause}", values)  # noqa: S608 — constants
            return tuple(_entry(row) for row in rows)

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The one connection, opened when first needed, for one thread at a time."""
        with self._lock:
            if self._ruined:
                raise self._failed(self._ruined)
            try:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if is_damage(error):
                    # Remembered: what follows in this process must not work on what is left of the index.
                    self._ruined = str(error)
                    if not self._is_copy:  # the file is its recorder's to remove
                        with suppress(OSError):
                            self._remove()
                raise self._failed(error) from error

    def _open(self) -> sqlite3.Connection:
        if self._is_copy:
            return self._in_memory()
        try:
            return self._open_file()
        except sqlite3.Error as error:
            if not takes_no_write(error):
                raise
            self._is_copy = True
            return self._in_memory()

    def _in_memory(self) -> sqlite3.Connection:
        with suppress(StorageError, sqlite3.Error):
            copy = open_snapshot(self._path)
            if copy.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
                return copy
            copy.close()
        empty = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _make_anew(empty)
        return empty

    def _open_file(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5)
        try:
            connection.execute(EXCLUSIVE)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != _VERSION:
                _make_anew(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _failed(self, error: Exception | str) -> StorageError:
        return StorageError(
            f"{self._path}: {error}.", remedy="The index is rebuilt from the manifest; if this stays, check the disk."
        )


def _make_anew(connection: sqlite3.Connection) -> None:
    """Replace whatever another version (or nothing) left by an empty index, in one transaction."""
    connection.executescript("BEGIN IMMEDIATE; DROP TABLE IF EXISTS segment; DROP TABLE IF EXISTS state;" + _SCHEMA)
    connection.execute("INSERT INTO state VALUES (1, 0, 0, ?, 0, 0, 0, -1)", (ChainHead().previous,))
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _date(connection: sqlite3.Connection, sync: NumberedClockSync) -> None:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM segment WHERE boot = ? AND quality <> 'synced'",  # noqa: S608 — constants
        (sync.at.boot,),
    ).fetchall()
    connection.executemany(
        "UPDATE segment SET start_ms = ?, end_ms = ?, quality = ?, dated_later = ? WHERE sequence = ?",
        [
            (entry.start_ms, entry.end_ms, entry.quality.value, int(entry.dated_later), entry.sequence)
            for entry in (dated(_entry(row), sync) for row in rows)
        ],
    )


def _row(entry: VaultEntry) -> tuple[Any, ...]:
    return (
        entry.sequence,
        entry.id,
        entry.event,
        entry.boot,
        entry.ordinal,
        entry.start_ms,
        entry.end_ms,
        entry.quality.value,
        entry.size_bytes,
        entry.poster_bytes,
        int(entry.whole),
        int(entry.witnessed),
        entry.line_offset,
        entry.line_size,
        entry.start_us,
        int(entry.continuous),
        entry.sound_bytes,
        int(entry.dated_later),
    )


def _entry(row: tuple[Any, ...]) -> VaultEntry:
    # A page that rotted may hold any value: SQLite keeps no checksum of its rows.
    if [type(each) for each in row] != _TYPES or row[7] not in _QUALITIES or not _NAMES.fullmatch(" ".join(row[1:4])):
        raise MalformedDatabase("a row of the wrong types")
    *plain, whole, witnessed, line_offset, line_size, start_us, continuous, sound_bytes, dated_later = row
    sequence, segment, event, boot, ordinal, start_ms, end_ms, quality, size_bytes, poster_bytes = plain
    return VaultEntry(
        sequence,
        segment,
        event,
        boot,
        ordinal,
        start_ms,
        end_ms,
        ClockQuality(quality),
        size_bytes,
        poster_bytes,
        bool(whole),
        bool(witnessed),
        line_offset,
        line_size,
        start_us,
        bool(continuous),
        sound_bytes,
        bool(dated_later),
    )
