"""The queue of alerts for each channel, in one small SQLite file.

The journal has a separate file, because the journal must survive and the queue may be deleted at any time: only unread
alerts go with it. SQLite flushes every transaction (`synchronous=FULL`). Otherwise a power cut could lose the press of
a visitor who then leaves. One connection, one lock.

If the disk fails, the queue must still tell the owner. A damaged file is quarantined, and a new file takes over every
row that is readable. If the disk refuses writes, memory holds the queue together with the rows of the file. Rows of an
unreadable file return as soon as it can be read again.
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

from agent.core.alerts.alert_messages import DeferredAlert, DelayedAlert, QueuedAlert
from agent.core.alerts.kinds import AlertPriority
from agent.errors import StorageError
from agent.platform.sqlite_faults import MalformedDatabase, is_damage, quarantine
from agent.platform.sqlite_snapshot import EXCLUSIVE

__all__ = ["SqliteAlertQueue"]

_SCHEMA = """
-- One row an alert and channel.  It goes when its channel has taken it, and not before.
CREATE TABLE IF NOT EXISTS alert (id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, rank INTEGER NOT NULL,
  text TEXT NOT NULL, queued_ms INTEGER NOT NULL, page TEXT NOT NULL,
  picture BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS alert_by_turn ON alert (channel, rank, id);

-- What waits for the end of the quiet hours or for the digest, counted.
CREATE TABLE IF NOT EXISTS kept (channel TEXT NOT NULL, why TEXT NOT NULL, text TEXT NOT NULL, count INTEGER NOT NULL,
  since_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, PRIMARY KEY (channel, why, text)) WITHOUT ROWID;

-- What may not leave the house yet; `left_ms` goes down while the device runs.
CREATE TABLE IF NOT EXISTS delayed (id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, news TEXT NOT NULL,
  once TEXT NOT NULL, came_ms INTEGER NOT NULL, left_ms INTEGER NOT NULL);

-- What is told once and never again, such as a request, by its id.
CREATE TABLE IF NOT EXISTS told (once TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
"""
_ADD_ALERT: Final = "INSERT INTO alert (channel, rank, text, queued_ms, page, picture) VALUES (?, ?, ?, ?, ?, ?)"
_ADD_KEPT: Final = (
    "INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
    " SET count = count + excluded.count, last_ms = max(last_ms, excluded.last_ms)"
)
_ADD_DELAYED: Final = "INSERT INTO delayed (channel, news, once, came_ms, left_ms) VALUES (?, ?, ?, ?, ?)"
_ADD_TOLD: Final = "INSERT OR IGNORE INTO told VALUES (?, ?)"
_ALL: Final[tuple[tuple[str, tuple[type, ...], str], ...]] = (
    (
        "SELECT channel, rank, text, queued_ms, page, picture FROM alert ORDER BY id",
        (str, int, str, int, str, bytes),
        _ADD_ALERT,
    ),
    (
        "SELECT channel, news, once, came_ms, left_ms FROM delayed ORDER BY id",
        (str, str, str, int, int),
        _ADD_DELAYED,
    ),
    ("SELECT * FROM kept ORDER BY last_ms", (str, str, str, int, int, int), _ADD_KEPT),
    ("SELECT * FROM told ORDER BY at_ms", (str, int), _ADD_TOLD),
)
"""For each table: the query that reads it, the types of its rows, and the statement that copies them into another
file."""
_TOLD_KEPT = 10_000
_MEMORY: Final = ":memory:"
_TRY_AGAIN_S: Final = 60.0
_ROW_BITS: Final = 40
"""The low bits of an alert's id. The bits above count how often the queue started with other rows."""

_DatabaseRead = TypeVar("_DatabaseRead")


class SqliteAlertQueue:
    """`ports.AlertQueue`.  `path` may be `:memory:`.  `monotonic`: seconds, for how often a disk is tried again."""

    def __init__(self, path: Path | str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path if isinstance(path, Path) else None
        self._monotonic = monotonic
        self._log = structlog.get_logger("alerts")
        self._lock = threading.Lock()
        self._again_s: float | None = None
        """The time to try the disk again; None if the disk works."""
        self._unread = False
        """The queue is in memory, and an unread file may hold further rows."""
        self._begun = 0
        """The number of restarts with other rows. An acknowledgement of an old row must not remove a new row with the
        same number."""
        self._db = self._open_or_replace() if self._path else _opened(str(path))

    def add(
        self,
        alerts: Sequence[QueuedAlert],
        deferred: Sequence[DeferredAlert],
        once: str = "",
        delayed: Sequence[DelayedAlert] = (),
    ) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if once:
                at_ms = _moment(alerts, deferred, delayed)
                # In the transaction of the alert: a power cut between the two would send it twice or never.
                if not db.execute(_ADD_TOLD, (once, at_ms)).rowcount:
                    return False
                db.execute(
                    "DELETE FROM told WHERE once IN (SELECT once FROM told ORDER BY at_ms DESC LIMIT -1 OFFSET ?)",
                    (_TOLD_KEPT,),
                )
            _insert(db, alerts)
            _keep(db, deferred)
            _delay(db, delayed)
            return True

        return self._do(work)

    def delayed(self) -> tuple[DelayedAlert, ...]:
        ask = "SELECT id + ?, channel, news, once, came_ms, left_ms FROM delayed ORDER BY id"
        return tuple(DelayedAlert(*row) for row in self._do(lambda db: db.execute(ask, (self._first_id,)).fetchall()))

    def pass_time(self, passed_ms: int) -> None:
        self._do(lambda db: db.execute("UPDATE delayed SET left_ms = left_ms - ?", (passed_ms,)))

    def release_delayed(
        self, delayed: Sequence[DelayedAlert], alerts: Sequence[QueuedAlert], deferred: Sequence[DeferredAlert]
    ) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM delayed WHERE id = ? - ?", [(each.id, self._first_id) for each in delayed])
            _insert(db, alerts)
            _keep(db, deferred)

        self._do(work)

    def waiting(self, channel: str, most: int) -> tuple[QueuedAlert, ...]:
        ask = (
            "SELECT id + ?, channel, rank, text, queued_ms, page, picture FROM alert"
            " WHERE channel = ? ORDER BY rank, id LIMIT ?"
        )
        return self._do(lambda db: tuple(_waiting(*row) for row in db.execute(ask, (self._first_id, channel, most))))

    def deferred(self, channel: str, why: str) -> tuple[DeferredAlert, ...]:
        ask = "SELECT * FROM kept WHERE channel = ? AND why = ? ORDER BY since_ms"
        return tuple(DeferredAlert(*row) for row in self._do(lambda db: db.execute(ask, (channel, why)).fetchall()))

    def release(self, deferred: Sequence[DeferredAlert], alert: QueuedAlert) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "DELETE FROM kept WHERE channel = ? AND why = ? AND text = ?",
                [(k.channel, k.why, k.text) for k in deferred],
            )
            _insert(db, (alert,))

        self._do(work)

    def remove(self, alerts: Sequence[int]) -> None:
        ask = "DELETE FROM alert WHERE id = ? - ?"
        self._do(lambda db: db.executemany(ask, [(each, self._first_id) for each in alerts]))

    def date(self, now_ms: int) -> None:
        self._do(lambda db: db.execute("UPDATE alert SET queued_ms = ? WHERE queued_ms = 0", (now_ms,)))

    def retain(self, channels: Sequence[str], after_ms: int) -> int:
        def work(db: sqlite3.Connection) -> int:
            marks = ", ".join("?" * len(channels))
            for table in ("kept", "delayed"):
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
            self._return_to_disk(at_once=True)
            self._db.close()

    def _do(self, work: Callable[[sqlite3.Connection], _DatabaseRead]) -> _DatabaseRead:
        """Runs `work` in one transaction. If the file or its disk fails, runs it once more on a new file or in
        memory."""
        with self._lock:
            try:
                self._return_to_disk()
                try:
                    return _in_one_transaction(self._db, work)
                except sqlite3.Error as error:
                    if self._path is None or self._again_s is not None or isinstance(error, sqlite3.ProgrammingError):
                        raise
                    # The whole transaction was rolled back, so `work` runs again from its begin.
                    self._move(error)
                return _in_one_transaction(self._db, work)
            except sqlite3.Error as error:
                raise StorageError(f"The alerts cannot be stored: {error}.", remedy="Check the disk.") from error

    @property
    def _first_id(self) -> int:
        """The id that the rows of this start are counted from."""
        return self._begun << _ROW_BITS

    # -- a disk that fails ---------------------------------------------------------------------------------------------

    def _open_or_replace(self) -> sqlite3.Connection:
        try:
            return _opened(str(self._path))
        except sqlite3.Error as error:
            return self._start_over(error)

    def _start_over(self, error: sqlite3.Error) -> sqlite3.Connection:
        """Opens a new file if the old one is damaged. If that fails too, continues in memory."""
        self._begun += 1
        if is_damage(error):
            with contextlib.suppress(OSError, sqlite3.Error):
                self._quarantine(error)
                return _opened(str(self._path))
        self._refused(error)
        self._unread = True
        return _opened(_MEMORY)

    def _move(self, error: sqlite3.Error) -> None:
        """Go on where it is possible to go on."""
        old = self._db
        if is_damage(error):
            rescued = [(add, _readable(old, read, types)) for read, types, add in _ALL]
            old.close()  # first: it removes a write-ahead log by its name, whosever that is by then
            self._db = self._start_over(error)
            with contextlib.suppress(sqlite3.Error):
                _in_one_transaction(self._db, lambda db: [db.executemany(add, rows) for add, rows in rescued])
            return
        self._refused(error)
        self._db = _opened(_MEMORY)
        try:
            # A full or read-only disk can still be read: the queue goes on with all of its rows.
            old.backup(self._db)
        except sqlite3.Error:
            self._begun += 1
            self._unread = True
        old.close()

    def _quarantine(self, error: sqlite3.Error) -> None:
        """Raises `OSError`."""
        self._log.warning("alerts_damaged", error=str(error))
        if self._path is not None:
            quarantine(self._path)

    def _refused(self, error: sqlite3.Error) -> None:
        self._log.warning("alerts_in_memory", error=str(error))
        self._again_s = self._monotonic() + _TRY_AGAIN_S

    def _return_to_disk(self, *, at_once: bool = False) -> None:
        """Out of memory, when the disk takes it all."""
        if self._again_s is None or not (at_once or self._monotonic() >= self._again_s):
            return
        self._again_s = self._monotonic() + _TRY_AGAIN_S
        with contextlib.suppress(OSError, sqlite3.Error):
            try:
                file = self._filled()
            except sqlite3.Error as error:
                if is_damage(error):
                    self._quarantine(error)
                raise
            self._db.close()
            # The rows have new numbers now. An acknowledgement that is on its way must not remove another alert.
            self._begun += self._unread
            self._db, self._again_s, self._unread = file, None, False
            self._log.info("alerts_on_disk")

    def _filled(self) -> sqlite3.Connection:
        """Writes the rows in memory to the file. They replace its rows, or join them if the file had not been read."""
        file = _opened(str(self._path))
        try:
            if self._unread:
                _in_one_transaction(file, lambda db: _add_all(self._db, db))
            else:
                self._db.backup(file)
        except sqlite3.Error:
            file.close()
            raise
        return file


def _in_one_transaction(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], _DatabaseRead]) -> _DatabaseRead:
    try:
        db.execute("BEGIN IMMEDIATE")
        found = work(db)
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:  # SQLite may have ended it already
            db.execute("ROLLBACK")
        if isinstance(error, UnicodeDecodeError):
            raise MalformedDatabase("a schema that is no text") from error
        raise
    return found


def _opened(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        db.execute(EXCLUSIVE)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        db.close()
        raise (error if isinstance(error, sqlite3.Error) else MalformedDatabase("a schema that is no text")) from error
    return db


def _insert(db: sqlite3.Connection, alerts: Sequence[QueuedAlert]) -> None:
    db.executemany(
        _ADD_ALERT,
        [(each.channel, int(each.rank), each.text, each.queued_ms, each.page, each.picture) for each in alerts],
    )


def _delay(db: sqlite3.Connection, delayed: Sequence[DelayedAlert]) -> None:
    rows = [(each.channel, each.news, each.once, each.came_ms, each.left_ms) for each in delayed]
    db.executemany(_ADD_DELAYED, rows)


def _keep(db: sqlite3.Connection, kept: Sequence[DeferredAlert]) -> None:
    db.executemany(_ADD_KEPT, [(k.channel, k.why, k.text, k.count, k.since_ms, k.last_ms) for k in kept])


def _add_all(source: sqlite3.Connection, file: sqlite3.Connection) -> None:
    for read, _types, add in _ALL:
        file.executemany(add, source.execute(read).fetchall())


def _readable(db: sqlite3.Connection, read: str, types: tuple[type, ...]) -> list[tuple[Any, ...]]:
    """Returns the newest rows of a damaged file, up to the first unreadable row."""
    # A damaged text is still worth an alert.
    db.text_factory = lambda data: data.decode(errors="replace")
    rows: list[tuple[Any, ...]] = []
    with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
        # Newest first, because reading ends at the first damaged page.
        for row in db.execute(f"{read} DESC"):
            if tuple(map(type, row)) == types:
                rows.append(row)  # noqa: PERF401 — what was read before an error is kept
    return rows[::-1]


def _waiting(number: int, channel: str, rank: int, text: str, queued_ms: int, page: str, picture: bytes) -> QueuedAlert:
    """Builds an alert from a row. If the stored rank is invalid, the alert is still sent, with the lowest rank."""
    known_rank = AlertPriority(rank) if rank in list(AlertPriority) else AlertPriority.SOON
    return QueuedAlert(number, channel, known_rank, text, queued_ms, page, picture)


def _moment(alerts: Sequence[QueuedAlert], kept: Sequence[DeferredAlert], delayed: Sequence[DelayedAlert]) -> int:
    moments = [each.queued_ms for each in alerts] + [each.last_ms for each in kept]
    return max(moments + [each.came_ms for each in delayed], default=0)
