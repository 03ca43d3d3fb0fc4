"""The custodian's journal in one SQLite file: requests, ledger, outbox, trust, opt-outs, counters.

Unlike the vault's index, the journal cannot be rebuilt, so every transaction is flushed before it returns
(`synchronous=FULL`; in a pilot FULL kept every acknowledged commit over 80 of 80 power cuts, NORMAL did not).  A
consent step writes its ledger entry, its new state and its outbox object in *one* transaction.

The words of requesters arrive here sealed to the owners.  Everything else that the device needs for an answer is
deleted and overwritten once the request has ended (`secure_delete`; docs/decisions/0014).

The journal uses one connection and one lock, because the custodian makes one decision at a time.

A reserve file lies beside the journal.  Even reading the journal needs room for a write-ahead log.  With the
reserve, the custodian starts on a full disk too, and signs the tombstones that make room.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.core.consent import RequestState
from agent.core.requests import (
    RESTORED,
    SEQUENCE_WINDOW,
    WAITING,
    WITHOUT_ANSWER,
    ActiveOptOut,
    BlockedRequest,
    MatchedRequest,
    OutboxPart,
    OutboxRecord,
    StoredRequest,
    Terms,
)
from agent.errors import StorageError
from agent.platform.sqlite_snapshot import EXCLUSIVE, open_snapshot, takes_no_write
from agent.wire import strictjson
from agent.wire.statements import Scope

__all__ = ["SqliteJournal", "copy_for_backup"]

_META = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
"""Single values.  `format` identifies the file, so that a foreign or newer file is refused instead of misread."""

_SCHEMA = """
-- The ledger's leaves, in order.  `frontier` in meta is the compact Merkle state over exactly these rows.
CREATE TABLE IF NOT EXISTS ledger (position INTEGER PRIMARY KEY, entry BLOB NOT NULL);

-- Every request that was admitted, with the signed bytes it came in: the owner can always check it again.  The bytes
-- are sealed to the owners; `case_mark` counts requests of one case without naming it; `terms` go once it has ended.
-- The window (UTC s) is there where it concerns this place: cases, windows and rates count those alone.  `said_id` is
-- the id its requester gave it, unique for that requester.
CREATE TABLE IF NOT EXISTS request (
  id TEXT PRIMARY KEY, sealed BLOB NOT NULL, payload_sha256 TEXT NOT NULL, requester TEXT NOT NULL,
  trust_root TEXT NOT NULL, key_id TEXT NOT NULL, seq INTEGER NOT NULL, case_mark TEXT NOT NULL, state TEXT NOT NULL,
  certain INTEGER NOT NULL, received_ms INTEGER NOT NULL, not_after_s INTEGER NOT NULL, terms BLOB, disclosure TEXT,
  from_s INTEGER, to_s INTEGER, said_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS request_by_state ON request (state);
CREATE INDEX IF NOT EXISTS request_by_case ON request (case_mark);
CREATE INDEX IF NOT EXISTS request_by_time ON request (received_ms);
CREATE INDEX IF NOT EXISTS request_by_name ON request (payload_sha256);
CREATE INDEX IF NOT EXISTS request_by_disclosure ON request (disclosure);
CREATE UNIQUE INDEX IF NOT EXISTS request_as_said ON request (said_id, trust_root, requester);

-- The match set, frozen when the request matched: nothing outside it can ever be released for this request.  It goes
-- when the request has ended and nothing of it has left.
CREATE TABLE IF NOT EXISTS matched (request TEXT NOT NULL, position INTEGER NOT NULL, segment TEXT NOT NULL,
  PRIMARY KEY (request, position)) WITHOUT ROWID;

-- Replay protection that needs no clock: the newest numbers used, under the id of a signing key and a kind.
CREATE TABLE IF NOT EXISTS sequence (key_id TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (key_id, seq))
  WITHOUT ROWID;

-- Nonces of owner statements, so that a statement acts once.
CREATE TABLE IF NOT EXISTS nonce (nonce TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;

-- What trusted requesters asked beyond a limit, for the owner to look at; the newest few hundred.
CREATE TABLE IF NOT EXISTS blocked (payload_sha256 TEXT PRIMARY KEY, root TEXT NOT NULL, requester TEXT NOT NULL,
  reason TEXT NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS opt_out (scope TEXT NOT NULL, value TEXT NOT NULL, root TEXT NOT NULL, until_s INTEGER,
  PRIMARY KEY (scope, value, root)) WITHOUT ROWID;

-- One approval, one outbox object.  Its bytes lie in the outbox folder, complete before this row is; the row is what
-- makes them count, so a folder without a row is swept at start.
CREATE TABLE IF NOT EXISTS outbox (disclosure TEXT PRIMARY KEY, request TEXT NOT NULL, requester TEXT NOT NULL)
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox_part (disclosure TEXT NOT NULL, number INTEGER NOT NULL, segment TEXT NOT NULL,
  size_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (disclosure, number)) WITHOUT ROWID;
"""

_FORMAT = b"doorward-journal-1"
_REQUEST = (
    "id, sealed, payload_sha256, requester, trust_root, key_id, seq, case_mark, state, certain, received_ms, "
    "not_after_s, terms, disclosure, from_s, to_s, said_id"
)
_NEAR = "from_s IS NOT NULL"
_PATIENCE_MS = 5000
_RESERVE_BYTES = 1 << 20
_RETRY_S = 2.0
_EMPTY_THE_LOG = "PRAGMA wal_checkpoint(TRUNCATE)"


class SqliteJournal:
    """`ports.Journal` on SQLite.  `path` may be `:memory:` for tests that need no crash."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._has_forgotten = self._reserved = True
        """True if the write-ahead log still holds overwritten data.  It is True at start, because a power cut may have
        left some."""
        self._reserve = path.with_name(f"{path.name}.reserve") if isinstance(path, Path) else None
        self._path = path
        self._retry_s: float | None = None
        """The time on the monotonic clock at which to try the file again, or None while the file is used instead of a
        copy."""
        try:
            self._open_or_copy(path)
        except StorageError as error:
            if not isinstance(path, Path) or not takes_no_write(error.__cause__ or error):
                raise
            with contextlib.suppress(StorageError):
                self._open_copy(path)
                return
            raise
        self._reserved = self._keep_reserve()

    def _open_or_copy(self, path: Path | str) -> None:
        try:
            self._open(path)
        except StorageError:
            if not self._spend_reserve():
                raise
            self._open(path)

    def _open_copy(self, path: Path) -> None:
        """Opens a copy if the disk refuses writes.  Earlier decisions can be read, and new ones fail."""
        self._db = open_snapshot(path)
        self._execute("PRAGMA query_only=ON")
        self._retry_s = time.monotonic() + _RETRY_S

    def _leave_copy(self) -> None:
        """Returns to the file if the disk takes writes again.  The copy is only read."""
        if self._retry_s is None or time.monotonic() < self._retry_s or not isinstance(self._path, Path):
            return
        copy = self._db
        try:
            self._open_or_copy(self._path)
        except StorageError:
            self._db, self._retry_s = copy, time.monotonic() + _RETRY_S
            return
        copy.close()
        self._retry_s, self._reserved = None, self._keep_reserve()

    def _open(self, path: Path | str) -> None:
        try:
            # Python's own transactions are off (`isolation_level`), because it would begin and end them around our
            # nested ones.
            self._db = sqlite3.connect(
                str(path), timeout=_PATIENCE_MS / 1000, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise _unopened(path, error) from error
        try:
            self._db.execute(EXCLUSIVE)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            # Overwrites deleted rows: a thief of the card must not read the terms of requests that have ended.
            self._db.execute("PRAGMA secure_delete=ON")
            self._require_format(path)
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, StorageError) as error:
            self._db.close()
            raise error if isinstance(error, StorageError) else _unopened(path, error) from error

    def _require_format(self, path: Path | str) -> None:
        """Checks the format before the first change, because the file may belong to another program."""
        with self.transaction():
            self._execute(_META)
            found = self.get("format")
            if found is None and self._rows("SELECT 1 FROM sqlite_master WHERE name != 'meta'"):
                raise StorageError(f"{path} is not a journal.", remedy="Check device.state_dir.")
            if found not in (None, _FORMAT):
                raise StorageError(
                    f"The journal {path} was written by another version.", remedy="Use the version that wrote it."
                )
            if found != _FORMAT:
                self.put("format", _FORMAT)

    def _spend_reserve(self) -> bool:
        try:
            if self._reserve is not None:
                self._reserve.unlink()
        except OSError:
            return False
        return self._reserve is not None

    def _keep_reserve(self) -> bool:
        """Returns True if the reserve exists now.  A disk without room for the reserve still has room for a
        decision."""
        if self._reserve is None:
            return True
        try:
            handle = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            # Takes real blocks. A file of that length alone has holes, and gives no room when it is deleted.
            os.posix_fallocate(handle, 0, _RESERVE_BYTES)
        except OSError:
            with contextlib.suppress(OSError):
                # A half-made reserve would take the room that the decision needs.
                os.ftruncate(handle, 0)
            return False
        finally:
            os.close(handle)
        return True

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes everything inside durable together at the end of the outermost block.  If the block raises, nothing
        happened."""
        with self._lock:
            outermost = self._depth == 0
            if outermost:
                self._leave_copy()
                self._execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if outermost:
                    self._roll_back()
                raise
            self._depth -= 1
            if outermost:
                self._execute("COMMIT")
                # After the commit: the decision is durable, and only the overwritten words are still to go.
                self._checkpoint_log()
                self._reserved = self._reserved or self._keep_reserve()

    def _execute(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            # COMMIT fails with the depth at 0, for example on a full disk. Without the roll-back, every later BEGIN
            # would fail.
            if self._depth == 0:
                self._roll_back()
            raise StorageError(
                f"The journal cannot be written: {error}.", remedy="Free some space or replace the card."
            ) from error

    def _checkpoint_log(self) -> None:
        """Empties the write-ahead log.  If this fails, the decision is still durable, and the next decision tries
        again.

        It waits for no other reader: this process alone has the file (`EXCLUSIVE`), and a backup reads a copy.
        """
        if not self._has_forgotten:
            return
        with contextlib.suppress(StorageError):
            # The first column is 1 if the log could not be emptied (sqlite.org, "PRAGMA wal_checkpoint").
            self._has_forgotten = bool(self._execute(_EMPTY_THE_LOG).fetchone()[0])

    def _roll_back(self) -> None:
        """Rolls back if SQLite has not done so already.  If the roll-back fails, the next opening of the file repeats
        it."""
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._execute(sql, values).fetchall()

    # -- single values -------------------------------------------------------------------------------------------------

    def get(self, name: str) -> bytes | None:
        rows = self._rows("SELECT value FROM meta WHERE name = ?", (name,))
        return bytes(rows[0][0]) if rows else None

    def put(self, name: str, value: bytes) -> None:
        with self._lock:
            self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def remove(self, name: str) -> None:
        with self._lock:
            self._execute("DELETE FROM meta WHERE name = ?", (name,))

    def named(self, prefix: str) -> dict[str, bytes]:
        # LIKE would read "_" in a prefix as any character.
        rows = self._rows("SELECT name, value FROM meta WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
        return {str(name)[len(prefix) :]: bytes(value) for name, value in rows}

    # -- ledger --------------------------------------------------------------------------------------------------------

    def append_leaf(self, position: int, entry: bytes) -> None:
        with self._lock:
            self._execute("INSERT INTO ledger VALUES (?, ?)", (position, entry))

    def leaves(self, start: int = 0, end: int | None = None) -> list[bytes]:
        rows = self._rows(
            "SELECT entry FROM ledger WHERE position >= ? AND position < ? ORDER BY position",
            (start, 2**62 if end is None else end),
        )
        return [bytes(row[0]) for row in rows]

    # -- requests ------------------------------------------------------------------------------------------------------

    def add_request(self, request: MatchedRequest) -> None:
        with self._lock:
            self._insert(request)
            # The same bytes may have been over a rate before. An owner should not read them as blocked and as a
            # request.
            self._execute("DELETE FROM blocked WHERE payload_sha256 = ?", (request.payload_sha256,))
            for position, segment in enumerate(request.segments):
                self._execute("INSERT INTO matched VALUES (?, ?, ?)", (request.id, position, segment))

    def _insert(self, request: StoredRequest) -> None:
        values = (
            request.id,
            request.sealed,
            request.payload_sha256,
            request.requester,
            request.trust_root,
            request.key_id,
            request.seq,
            request.case_mark,
            request.state.value,
            int(request.certain),
            request.received_ms,
            request.not_after_s,
            None if request.kept is None else strictjson.encode(request.kept),
            request.disclosure,
            *(request.asked_s or (None, None)),
            request.said_id,
        )
        self._execute(f"INSERT INTO request ({_REQUEST}) VALUES ({_marks(values)})", values)  # noqa: S608 — our own words

    def set_state(self, request: str, state: RequestState, disclosure: str | None = None) -> None:
        """Writes the new state.  For an ended request, it deletes everything that only an answer needed."""
        forget = ", terms = NULL" if state.ended else ""
        with self._lock:
            self._has_forgotten |= state.ended
            # Owners look up later which segments an answer was about, so the match set of what left stays.
            if state.ended and not state.may_have_left:
                self._execute("DELETE FROM matched WHERE request = ?", (request,))
            self._execute(
                # `coalesce`: a later step, for example a receipt, brings no disclosure and must not delete the one of
                # the approval.
                f"UPDATE request SET state = ?, disclosure = coalesce(?, disclosure){forget} WHERE id = ?",  # noqa: S608
                (state.value, disclosure, request),
            )

    def request(self, request: str) -> MatchedRequest | None:
        return self._request("id", request)

    def request_of(self, disclosure: str) -> MatchedRequest | None:
        return self._request("disclosure", disclosure)

    def find_given_request(self, whose: tuple[str, str], request: str) -> MatchedRequest | None:
        values = (request, *whose)
        with self._lock:
            rows = self._rows("SELECT id FROM request WHERE (said_id, trust_root, requester) = (?, ?, ?)", values)
            return self.request(str(rows[0][0])) if rows else None

    def request_named(self, payload_sha256: str) -> MatchedRequest | None:
        return self._request("payload_sha256", payload_sha256)

    def match_count(self, request: str) -> int:
        return self._count("SELECT count(*) FROM matched WHERE request = ?", (request,))

    def overdue(self, now_s: int, *states: RequestState) -> list[StoredRequest]:
        """Returns the requests in `states` that ended before `now_s`, oldest first."""
        names = tuple(state.value for state in states)
        return self._requests(f"WHERE state IN ({_marks(names)}) AND not_after_s < ?", (*names, now_s))

    def requests(self, *states: RequestState) -> list[StoredRequest]:
        """Returns all requests, or those in `states`, oldest first."""
        if not states:
            return self._requests("", ())
        names = tuple(state.value for state in states)
        return self._requests(f"WHERE state IN ({_marks(names)})", names)

    def _requests(self, where: str, values: tuple[object, ...]) -> list[StoredRequest]:
        rows = self._rows(f"SELECT {_REQUEST} FROM request {where} ORDER BY received_ms, id", values)  # noqa: S608
        return [StoredRequest(**_fields(row)) for row in rows]

    def _request(self, column: str, value: str) -> MatchedRequest | None:
        with self._lock:
            rows = self._rows(f"SELECT {_REQUEST} FROM request WHERE {column} = ?", (value,))  # noqa: S608 — our own words
            return MatchedRequest(**_fields(rows[0]), segments=self._matched(str(rows[0][0]))) if rows else None

    def _matched(self, request: str) -> tuple[str, ...]:
        rows = self._rows("SELECT segment FROM matched WHERE request = ? ORDER BY position", (request,))
        return tuple(str(row[0]) for row in rows)

    # -- history for admission (core.requests.History) -----------------------------------------------------------------

    def has_request(self, whose: tuple[str, str], request: str) -> bool:
        return self.find_given_request(whose, request) is not None

    def has_sequence(self, numbers: str, seq: int) -> bool:
        return bool(self._rows("SELECT 1 FROM sequence WHERE key_id = ? AND seq = ?", (numbers, seq)))

    def oldest_sequence(self, numbers: str) -> int:
        """Returns the smallest remembered number once the window is full, because smaller ones may have been deleted.
        0 before."""
        found = self._rows("SELECT count(*), min(seq) FROM sequence WHERE key_id = ?", (numbers,))
        count, oldest = found[0]
        return int(oldest) if count >= SEQUENCE_WINDOW else 0

    def use_sequence(self, numbers: str, seq: int, *, flush: bool = True) -> None:
        """Remembers the number, and deletes the smallest ones beyond the window."""
        with self._lock, contextlib.nullcontext() if flush else self._unflushed():
            self._execute("INSERT OR IGNORE INTO sequence VALUES (?, ?)", (numbers, seq))
            self._execute(
                "DELETE FROM sequence WHERE key_id = ? AND seq IN "
                # `LIMIT -1` means all in SQLite, which takes no OFFSET alone.
                "(SELECT seq FROM sequence WHERE key_id = ? ORDER BY seq DESC LIMIT -1 OFFSET ?)",
                (numbers, numbers, SEQUENCE_WINDOW),
            )

    def requests_in_case(self, case_mark: str) -> int:
        return self._count(f"SELECT count(*) FROM request WHERE {_NEAR} AND case_mark = ?", (case_mark,))  # noqa: S608

    def requests_about(self, whose: tuple[str, str], from_s: int, to_s: int) -> int:
        names = tuple(state.value for state in WITHOUT_ANSWER)
        # Half-open windows, as `TimeWindow.overlaps` has them: two that only touch are two questions.
        where = f"(trust_root, requester) = (?, ?) AND from_s < ? AND to_s > ? AND state IN ({_marks(names)})"
        return self._count(f"SELECT count(*) FROM request WHERE {where}", (*whose, to_s, from_s, *names))  # noqa: S608

    def requests_since(self, since_ms: int, whose: tuple[str, str] | None = None) -> int:
        return self._since(_NEAR, since_ms, whose)

    def requests_elsewhere(self, since_ms: int, whose: tuple[str, str] | None = None) -> int:
        return self._since("from_s IS NULL", since_ms, whose)

    def _since(self, where: str, since_ms: int, whose: tuple[str, str] | None) -> int:
        of = "" if whose is None else " AND (trust_root, requester) = (?, ?)"
        values = (since_ms, *(whose or ()))
        return self._count(f"SELECT count(*) FROM request WHERE received_ms >= ? AND {where}{of}", values)  # noqa: S608

    def blocked_since(self, since_ms: int, whose: tuple[str, str]) -> int:
        query = "SELECT count(*) FROM blocked WHERE at_ms >= ? AND root = ? AND requester = ?"
        return self._count(query, (since_ms, *whose))

    def _count(self, sql: str, values: tuple[object, ...]) -> int:
        return int(self._rows(sql, values)[0][0])

    def held_segments(self, most: int) -> frozenset[str]:
        """Returns at most `most` segments of the requests that wait for an owner.  The earliest requests come first."""
        names = tuple(state.value for state in WAITING)
        waiting = self._rows(
            f"SELECT id FROM request WHERE state IN ({_marks(names)}) ORDER BY received_ms, id",  # noqa: S608
            names,
        )
        held: dict[str, None] = {}
        for (request,) in waiting:
            if len(held) >= most:
                break
            held.update(dict.fromkeys(self._matched(str(request))))
        return frozenset(itertools.islice(held, most))

    # -- owner statements, opt-outs, counters --------------------------------------------------------------------------

    def use_nonce(self, nonce: str) -> bool:
        """Returns False if the nonce was used before."""
        with self._lock:
            return self._execute("INSERT OR IGNORE INTO nonce VALUES (?)", (nonce,)).rowcount == 1

    def count(self, name: str) -> None:
        """Adds one. The next flush makes it durable, because messages of strangers must not wear out the card."""
        with self._lock, self._unflushed():
            self._execute(
                "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1", (name,)
            )

    @contextmanager
    def _unflushed(self) -> Iterator[None]:
        """Writes without a flush.  It is ignored within a transaction, because a transaction is flushed as a
        whole."""
        if self._depth:
            yield
            return
        # SQLite takes this change only outside of a transaction. In WAL mode NORMAL leaves out the flush of each
        # commit.
        self._execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._execute("PRAGMA synchronous=FULL")

    def counters(self) -> dict[str, int]:
        rows = self._rows("SELECT name, count FROM counter ORDER BY name")
        return {str(name): int(count) for name, count in rows}

    def add_blocked(self, blocked: BlockedRequest, keep: int) -> bool:
        """Returns False if the request was listed before.  The list keeps the newest `keep`."""
        with self._lock:
            added = self._execute(
                "INSERT OR IGNORE INTO blocked VALUES (?, ?, ?, ?, ?)",
                (blocked.payload_sha256, blocked.root, blocked.requester, blocked.reason, blocked.at_ms),
            )
            self._execute(
                "DELETE FROM blocked WHERE payload_sha256 IN "
                "(SELECT payload_sha256 FROM blocked ORDER BY at_ms DESC LIMIT -1 OFFSET ?)",
                (keep,),
            )
            return added.rowcount == 1

    def blocked(self) -> list[BlockedRequest]:
        """Returns the blocked requests, newest first."""
        rows = self._rows("SELECT payload_sha256, root, requester, reason, at_ms FROM blocked ORDER BY at_ms DESC")
        return [
            BlockedRequest(str(sha256), str(root), str(who), str(why), int(at)) for sha256, root, who, why, at in rows
        ]

    def add_opt_out(self, opt_out: ActiveOptOut) -> None:
        with self._lock:
            self._execute(
                "INSERT OR REPLACE INTO opt_out (scope, value, root, until_s) VALUES (?, ?, ?, ?)",
                (opt_out.scope.value, opt_out.value, opt_out.root, opt_out.until_s),
            )

    def remove_opt_out(self, scope: Scope, value: str, root: str) -> None:
        with self._lock:
            self._execute("DELETE FROM opt_out WHERE (scope, value, root) = (?, ?, ?)", (scope.value, value, root))

    def opt_outs(self) -> tuple[ActiveOptOut, ...]:
        rows = self._rows("SELECT scope, value, until_s, root FROM opt_out ORDER BY scope, value, root")
        return tuple(
            ActiveOptOut(Scope(scope), str(value), None if until is None else int(until), str(root))
            for scope, value, until, root in rows
        )

    # -- outbox --------------------------------------------------------------------------------------------------------

    def add_outbox(self, record: OutboxRecord) -> None:
        with self._lock:
            self._execute("INSERT INTO outbox VALUES (?, ?, ?)", (record.disclosure, record.request, record.requester))
            for part in record.parts:
                self._execute(
                    "INSERT INTO outbox_part VALUES (?, ?, ?, ?, ?)",
                    (record.disclosure, part.number, part.segment, part.size_bytes, part.sha256),
                )

    def outbox(self) -> list[OutboxRecord]:
        rows = self._rows("SELECT disclosure, request, requester FROM outbox ORDER BY disclosure")
        return [OutboxRecord(str(d), str(q), str(r), self._parts(str(d))) for d, q, r in rows]

    def _parts(self, disclosure: str) -> tuple[OutboxPart, ...]:
        rows = self._rows(
            "SELECT number, segment, size_bytes, sha256 FROM outbox_part WHERE disclosure = ? ORDER BY number",
            (disclosure,),
        )
        return tuple(OutboxPart(int(n), str(segment), int(size), str(digest)) for n, segment, size, digest in rows)

    def remove_outbox(self, disclosure: str) -> None:
        with self._lock:
            self._execute("DELETE FROM outbox_part WHERE disclosure = ?", (disclosure,))
            self._execute("DELETE FROM outbox WHERE disclosure = ?", (disclosure,))


def copy_for_backup(path: Path) -> bytes:
    """Returns the journal of one moment, marked as `RESTORED`. The custodian may write meanwhile, and has it locked.

    Raises `StorageError`.
    """
    with contextlib.closing(open_snapshot(path)) as copy:
        try:
            copy.execute(_META)
            copy.execute("INSERT OR REPLACE INTO meta VALUES (?, x'')", (RESTORED,))
            return bytes(copy.serialize())
        except sqlite3.Error as error:
            raise _unopened(path, error) from error


def _fields(row: tuple[Any, ...]) -> dict[str, Any]:
    """Returns the fields of a `StoredRequest` from the columns of `_REQUEST`."""
    return {
        "id": str(row[0]),
        "sealed": bytes(row[1]),
        "payload_sha256": str(row[2]),
        "requester": str(row[3]),
        "trust_root": str(row[4]),
        "key_id": str(row[5]),
        "seq": int(row[6]),
        "case_mark": str(row[7]),
        "state": RequestState(row[8]),
        "certain": bool(row[9]),
        "received_ms": int(row[10]),
        "not_after_s": int(row[11]),
        "kept": None if row[12] is None else strictjson.decode(bytes(row[12]), Terms),
        "disclosure": None if row[13] is None else str(row[13]),
        "asked_s": None if row[14] is None else (int(row[14]), int(row[15])),
        "given_id": None if row[16] == row[0] else str(row[16]),
    }


def _marks(values: tuple[object, ...]) -> str:
    return ", ".join("?" * len(values))


def _unopened(path: Path | str, error: sqlite3.Error) -> StorageError:
    return StorageError(
        f"The journal {path} cannot be opened: {error}.",
        remedy="Check that the disk is not full or read-only; restore it from a backup if it is damaged.",
    )
