"""The alerts that wait for their channels, in one small SQLite file of their own.

Apart from the journal, because that one must not be lost and this one may be deleted at any time: with it go alerts
that nobody has read, and nothing else.  Every transaction is flushed (`synchronous=FULL`), for a press of the button
that a power cut swallows is a visitor who goes away again.  One connection, one lock.

That the disk refuses must not keep its owner from being told so: a file that turns out to be damaged is set aside and a
new one begun, and while the disk takes nothing the queue is kept in memory, with what was in the file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from agent.adapters.sqlite_faults import is_damage
from agent.core.alerts.kinds import Rank
from agent.core.alerts.parcels import HeldBack, Kept, Waiting
from agent.errors import StorageError

__all__ = ["SqliteAlertQueue"]

_SCHEMA = """
-- One row an alert and channel.  It goes when its channel has taken it, and not before.
CREATE TABLE IF NOT EXISTS alert (id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, rank INTEGER NOT NULL,
  text TEXT NOT NULL, queued_ms INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS alert_by_turn ON alert (channel, rank, id);

-- What waits for the end of the quiet hours or for the digest, counted.
CREATE TABLE IF NOT EXISTS kept (channel TEXT NOT NULL, why TEXT NOT NULL, text TEXT NOT NULL, count INTEGER NOT NULL,
  since_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, PRIMARY KEY (channel, why, text)) WITHOUT ROWID;

-- What may not leave the house yet; `left_ms` goes down while the device runs.
CREATE TABLE IF NOT EXISTS held_back (id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, news TEXT NOT NULL,
  once TEXT NOT NULL, came_ms INTEGER NOT NULL, left_ms INTEGER NOT NULL);

-- What is told once and never again, such as a request, by its id.
CREATE TABLE IF NOT EXISTS told (once TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
"""
_FORMAT = 1
_TOLD_KEPT = 10_000
_MEMORY: Final = ":memory:"
_TRY_AGAIN_S: Final = 60.0

_Found = TypeVar("_Found")


class SqliteAlertQueue:
    """`ports.AlertQueue`.  `path` may be `:memory:`.  `monotonic`: seconds, for how often a disk is tried again."""

    def __init__(self, path: Path | str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path if isinstance(path, Path) else None
        self._monotonic = monotonic
        self._log = structlog.get_logger("alerts")
        self._lock = threading.Lock()
        self._again_s: float | None = None
        """When the disk is tried again; None while it takes what it is given."""
        self._handed_out = {"alert": 0, "held_back": 0}
        """The highest id of each that somebody may still come back with: no new file gives it to another."""
        self._db = self._opened_somehow() if self._path else _opened(str(path))

    def add(
        self, alerts: Sequence[Waiting], kept: Sequence[Kept], once: str = "", held_back: Sequence[HeldBack] = ()
    ) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if once:
                at_ms = _moment(alerts, kept, held_back)
                if not db.execute("INSERT OR IGNORE INTO told VALUES (?, ?)", (once, at_ms)).rowcount:
                    return False
                db.execute(
                    "DELETE FROM told WHERE once IN (SELECT once FROM told ORDER BY at_ms DESC LIMIT -1 OFFSET ?)",
                    (_TOLD_KEPT,),
                )
            _insert(db, alerts)
            _keep(db, kept)
            db.executemany(
                "INSERT INTO held_back (channel, news, once, came_ms, left_ms) VALUES (?, ?, ?, ?, ?)",
                [(each.channel, each.news, each.once, each.came_ms, each.left_ms) for each in held_back],
            )
            return True

        return self._do(work)

    def held_back(self) -> tuple[HeldBack, ...]:
        ask = "SELECT id, channel, news, once, came_ms, left_ms FROM held_back ORDER BY id"
        return tuple(
            HeldBack(*row) for row in self._do(lambda db: self._ids_of("held_back", db.execute(ask).fetchall()))
        )

    def pass_time(self, passed_ms: int) -> None:
        self._do(lambda db: db.execute("UPDATE held_back SET left_ms = left_ms - ?", (passed_ms,)))

    def let_go(self, held_back: Sequence[HeldBack], alerts: Sequence[Waiting], kept: Sequence[Kept]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM held_back WHERE id = ?", [(each.id,) for each in held_back])
            _insert(db, alerts)
            _keep(db, kept)

        self._do(work)

    def waiting(self, channel: str, most: int) -> tuple[Waiting, ...]:
        ask = "SELECT id, channel, rank, text, queued_ms FROM alert WHERE channel = ? ORDER BY rank, id LIMIT ?"
        rows = self._do(lambda db: self._ids_of("alert", db.execute(ask, (channel, most)).fetchall()))
        return tuple(Waiting(row[0], row[1], Rank(row[2]), row[3], row[4]) for row in rows)

    def kept(self, channel: str, why: str) -> tuple[Kept, ...]:
        ask = "SELECT * FROM kept WHERE channel = ? AND why = ? ORDER BY since_ms"
        return tuple(Kept(*row) for row in self._do(lambda db: db.execute(ask, (channel, why)).fetchall()))

    def release(self, kept: Sequence[Kept], alert: Waiting) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "DELETE FROM kept WHERE channel = ? AND why = ? AND text = ?",
                [(k.channel, k.why, k.text) for k in kept],
            )
            _insert(db, (alert,))

        self._do(work)

    def remove(self, alerts: Sequence[int]) -> None:
        self._do(lambda db: db.executemany("DELETE FROM alert WHERE id = ?", [(each,) for each in alerts]))

    def retain(self, channels: Sequence[str], after_ms: int) -> int:
        def work(db: sqlite3.Connection) -> int:
            marks = ", ".join("?" * len(channels))
            for table in ("kept", "held_back"):
                db.execute(f"DELETE FROM {table} WHERE channel NOT IN ({marks})", tuple(channels))  # noqa: S608 — no data
            done = db.execute(
                f"DELETE FROM alert WHERE queued_ms < ? OR channel NOT IN ({marks})",  # noqa: S608
                (after_ms, *channels),
            )
            return done.rowcount

        return self._do(work)

    def counts(self) -> dict[str, int]:
        return dict(self._do(lambda db: db.execute("SELECT channel, count(*) FROM alert GROUP BY channel").fetchall()))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _do(self, work: Callable[[sqlite3.Connection], _Found]) -> _Found:
        """In one transaction; once more, elsewhere, when the file or its disk is at fault."""
        with self._lock:
            try:
                self._come_back()
                try:
                    return _in_one_transaction(self._db, work)
                except sqlite3.Error as error:
                    if self._path is None or self._again_s is not None:
                        raise
                    self._move(error)
                return _in_one_transaction(self._db, work)
            except sqlite3.Error as error:
                raise StorageError(f"The alerts cannot be kept: {error}.", remedy="Check the disk.") from error

    def _ids_of(self, table: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        self._handed_out[table] = max(self._handed_out[table], *(row[0] for row in rows), 0)
        return rows

    # -- a disk that fails ---------------------------------------------------------------------------------------------

    def _opened_somehow(self) -> sqlite3.Connection:
        try:
            return _opened(str(self._path))
        except sqlite3.Error as error:
            return self._begun_anew(error)

    def _begun_anew(self, error: sqlite3.Error) -> sqlite3.Connection:
        """In a new file, when the old one is damaged; else, or if that cannot be made either, in memory."""
        if self._path is not None and is_damage(error):
            self._log.warning("alerts_damaged", error=str(error))
            with contextlib.suppress(OSError, sqlite3.Error):
                _set_aside(self._path)
                return self._numbered_on(_opened(str(self._path)))
        self._refused(error)
        return self._numbered_on(_opened(_MEMORY))

    def _numbered_on(self, db: sqlite3.Connection) -> sqlite3.Connection:
        db.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", list(self._handed_out.items()))
        return db

    def _move(self, error: sqlite3.Error) -> None:
        """Go on where it is possible to go on."""
        old = self._db
        if is_damage(error):
            old.close()  # first: it removes a write-ahead log by its name, whosever that is by then
            self._db = self._begun_anew(error)
            return
        self._refused(error)
        self._db = self._numbered_on(_opened(_MEMORY))
        with contextlib.suppress(sqlite3.Error):
            old.backup(self._db)
        old.close()

    def _refused(self, error: sqlite3.Error) -> None:
        self._log.warning("alerts_in_memory", error=str(error))
        self._again_s = self._monotonic() + _TRY_AGAIN_S

    def _come_back(self) -> None:
        """Out of memory, when the disk takes it all."""
        if self._again_s is None or self._monotonic() < self._again_s:
            return
        self._again_s = self._monotonic() + _TRY_AGAIN_S
        with contextlib.suppress(sqlite3.Error):
            file = _opened(str(self._path))
            try:
                self._db.backup(file)
            except sqlite3.Error:
                file.close()
                raise
            self._db.close()
            self._db, self._again_s = file, None
            self._log.info("alerts_on_disk")


def _in_one_transaction(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], _Found]) -> _Found:
    db.execute("BEGIN IMMEDIATE")
    try:
        found = work(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite may have ended it already
            db.execute("ROLLBACK")
        raise
    return found


def _set_aside(path: Path) -> None:
    """Raises `OSError`."""
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(path.with_name(f"{path.name}.damaged{end}"))


def _opened(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA)
        db.execute(f"PRAGMA user_version={_FORMAT}")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _insert(db: sqlite3.Connection, alerts: Sequence[Waiting]) -> None:
    db.executemany(
        "INSERT INTO alert (channel, rank, text, queued_ms) VALUES (?, ?, ?, ?)",
        [(each.channel, int(each.rank), each.text, each.queued_ms) for each in alerts],
    )


def _keep(db: sqlite3.Connection, kept: Sequence[Kept]) -> None:
    db.executemany(
        "INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET count = count + excluded.count, last_ms = max(last_ms, excluded.last_ms)",
        [(k.channel, k.why, k.text, k.count, k.since_ms, k.last_ms) for k in kept],
    )


def _moment(alerts: Sequence[Waiting], kept: Sequence[Kept], held_back: Sequence[HeldBack]) -> int:
    moments = [each.queued_ms for each in alerts] + [each.last_ms for each in kept]
    return max(moments + [each.came_ms for each in held_back], default=0)
