"""The alerts that wait for their channels, in one small SQLite file of their own.

Apart from the journal, because that one must not be lost and this one may be deleted at any time: with it go alerts
that nobody has read, and nothing else.  Every transaction is flushed (`synchronous=FULL`), for a press of the button
that a power cut swallows is a visitor who goes away again.  One connection, one lock.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

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


class SqliteAlertQueue:
    """`ports.AlertQueue`.  `path` may be `:memory:`.  A damaged file is set aside and a new one begun."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.Lock()
        try:
            self._db = _opened(str(path))
        except sqlite3.DatabaseError as error:
            if not isinstance(path, Path) or isinstance(error, sqlite3.OperationalError):
                raise StorageError(
                    f"The alerts in {path} cannot be opened: {error}.", remedy="Check the disk and device.state_dir."
                ) from error
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + end).replace(path.with_name(f"{path.name}.damaged{end}"))
            self._db = _opened(str(path))

    def add(
        self, alerts: Sequence[Waiting], kept: Sequence[Kept], once: str = "", held_back: Sequence[HeldBack] = ()
    ) -> bool:
        with self._transaction() as db:
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

    def held_back(self) -> tuple[HeldBack, ...]:
        with self._transaction() as db:
            rows = db.execute("SELECT id, channel, news, once, came_ms, left_ms FROM held_back ORDER BY id").fetchall()
        return tuple(HeldBack(*row) for row in rows)

    def pass_time(self, passed_ms: int) -> None:
        with self._transaction() as db:
            db.execute("UPDATE held_back SET left_ms = left_ms - ?", (passed_ms,))

    def let_go(self, held_back: Sequence[HeldBack], alerts: Sequence[Waiting], kept: Sequence[Kept]) -> None:
        with self._transaction() as db:
            db.executemany("DELETE FROM held_back WHERE id = ?", [(each.id,) for each in held_back])
            _insert(db, alerts)
            _keep(db, kept)

    def waiting(self, channel: str, most: int) -> tuple[Waiting, ...]:
        with self._transaction() as db:
            rows = db.execute(
                "SELECT id, channel, rank, text, queued_ms FROM alert WHERE channel = ? ORDER BY rank, id LIMIT ?",
                (channel, most),
            ).fetchall()
        return tuple(Waiting(row[0], row[1], Rank(row[2]), row[3], row[4]) for row in rows)

    def kept(self, channel: str, why: str) -> tuple[Kept, ...]:
        with self._transaction() as db:
            rows = db.execute(
                "SELECT * FROM kept WHERE channel = ? AND why = ? ORDER BY since_ms", (channel, why)
            ).fetchall()
        return tuple(Kept(*row) for row in rows)

    def release(self, kept: Sequence[Kept], alert: Waiting) -> None:
        with self._transaction() as db:
            db.executemany(
                "DELETE FROM kept WHERE channel = ? AND why = ? AND text = ?",
                [(k.channel, k.why, k.text) for k in kept],
            )
            _insert(db, (alert,))

    def remove(self, alerts: Sequence[int]) -> None:
        with self._transaction() as db:
            db.executemany("DELETE FROM alert WHERE id = ?", [(each,) for each in alerts])

    def retain(self, channels: Sequence[str], after_ms: int) -> int:
        with self._transaction() as db:
            marks = ", ".join("?" * len(channels))
            for table in ("kept", "held_back"):
                db.execute(f"DELETE FROM {table} WHERE channel NOT IN ({marks})", tuple(channels))  # noqa: S608 — no data
            done = db.execute(
                f"DELETE FROM alert WHERE queued_ms < ? OR channel NOT IN ({marks})",  # noqa: S608
                (after_ms, *channels),
            )
            return done.rowcount

    def counts(self) -> dict[str, int]:
        with self._transaction() as db:
            return dict(db.execute("SELECT channel, count(*) FROM alert GROUP BY channel").fetchall())

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StorageError(f"The alerts cannot be kept: {error}.", remedy="Check the disk.") from error


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
