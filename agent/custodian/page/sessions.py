"""Remembers which browsers were let in, by which printed code, and makes a guesser wait: also across restarts.

- A code is 50 random bits, printed where only a person at the doorbell reads it, good once, for a quarter of an hour,
  and dead after `MOST_TRIES` wrong ones.  An owner's browser can make one too, for a second phone or owner.
- A code that owners made or could open ends if one of them leaves.
- Guessing needs a live code: otherwise a wrong one is refused without any write.
- A session is 256 random bits in a `__Host-` cookie; only its hash is stored.  It says "this browser was let in".  To
  be an *owner's* session, the browser signs a challenge with an approval key.  That level lapses after a while without
  use and while the clock is behind: after a power cut a browser signs again, and stays paired. It stays paired also if
  the clock jumps ahead.
- An address that fails waits: 0 s for the first few, then twice as long each time.  The count is on the disk before the
  answer is given, so it survives a restart.  Each address waits only for its own failures: otherwise a stranger with
  many addresses would lock out every new browser.
- While the disk takes no write, all of this goes on in memory, because an owner has to come in to make room.  A restart
  forgets what changed meanwhile.  So codes of before do not count then, and a browser that is signed out stays out only
  until a restart: the owner gets an error and tries again.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from agent.errors import RequestError, StorageError
from agent.platform.sqlite_faults import MalformedDatabase, is_damage, quarantine
from agent.platform.sqlite_snapshot import EXCLUSIVE, open_snapshot, takes_no_write
from agent.ports import Entropy

__all__ = ["CODE_LIFE_S", "Session", "Sessions", "TooManyTriesError", "code_text"]

CODE_LIFE_S: Final = 15 * 60
SESSION_IDLE_S: Final = 90 * 86_400
OWNER_IDLE_S: Final = 12 * 3600
MOST_TRIES: Final = 10_000
"""Out of 2^50. High enough that a stranger with many addresses cannot use a code up before it is typed."""
MOST_SESSIONS: Final = 64
FREE_FAILURES: Final = 5
LONGEST_WAIT_S: Final = 15 * 60
_DAY_S: Final = 86_400
_SEEN_EVERY_S: Final = 60
_RETRY_S: Final = 60.0
"""Between tries to write to a disk that took no write."""
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_DIGITS: Final = 10
_TOKEN_BYTES: Final = 32

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, token_sha256 BLOB NOT NULL UNIQUE, made_s INTEGER NOT NULL, seen_s INTEGER NOT NULL,
    browser TEXT NOT NULL, owner_key TEXT, owner_until_s INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS codes (
    kind TEXT PRIMARY KEY, salt BLOB NOT NULL, sha256 BLOB NOT NULL, until_s INTEGER NOT NULL, tries INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS code_owners (kind TEXT PRIMARY KEY, owners TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS failures (
    bucket TEXT PRIMARY KEY, count INTEGER NOT NULL, last_s INTEGER NOT NULL);
"""


class TooManyTriesError(RequestError):
    """Refuses a guesser. `wait_s`: seconds until the next try is accepted."""

    def __init__(self, wait_s: int) -> None:
        super().__init__("Too many tries.", remedy=f"Wait {wait_s} seconds.")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that was let in.  `owner_key` is the key id it has proven to hold, while that counts."""

    id: str
    made_s: int
    seen_s: int
    browser: str
    owner_key: str | None
    proven: str | None = field(default=None, compare=False)
    """The key id that it has proven last, also after that has lapsed."""


def code_text(code: str) -> str:
    """The code as it is printed: in groups."""
    return "-".join((code[:4], code[4:7], code[7:]))


class Sessions:
    """`page.sqlite`.  `now_s`: UTC seconds.  Safe to use from several threads.  Raises `StorageError`."""

    def __init__(
        self,
        path: Path,
        entropy: Entropy,
        now_s: Callable[[], int],
        lets_in: Callable[[str], bool | None] = lambda _typed: None,
        believed_s: Callable[[], int] | None = None,
        has_left: Callable[[str], bool] = lambda _key: False,
    ) -> None:
        """`lets_in`: a code that is kept elsewhere (`CameraSetup.lets_in`). `believed_s`: UTC seconds without a jump of
        the clock that is not confirmed (`TrustedClock.believed_ms`); by default the same as `now_s`. `has_left`:
        whether a key id has left the list of owners."""
        self._entropy = entropy
        self._lets_in = lets_in
        self._now_s = now_s
        self._has_left = has_left
        self._believed_s = believed_s or now_s
        self._used_s: dict[str, float] = {}
        """When each session was last used since the start, on CLOCK_MONOTONIC."""
        self._lock = threading.Lock()
        self._path = path
        self._disk: sqlite3.Connection | None = None
        """The open file while `_database` is a copy in memory. None if the start could not open it for writing."""
        self._retry_s: float | None = None
        """When to try the disk again (CLOCK_MONOTONIC s), while `_database` is a copy in memory."""
        try:
            self._database, is_copy = _opened(path)
            if is_copy:
                self._go_on_in_memory()
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{path} cannot be used: {error}.", remedy="Delete it: paired browsers pair again."
            ) from error

    def close(self) -> None:
        with self._lock:
            self._return_to_disk()
            self._database.close()
            if self._disk is not None:
                self._disk.close()

    # codes

    def make_code(self, kind: str, owners: Iterable[str] = ()) -> str:
        """Makes a fresh code and cancels the previous one of the same kind. `owners`: the key ids of those who know it.
        It ends if one of them leaves."""
        # 64 random bits. The ten digits take the lower 50 of them, so each digit is as likely as another.
        number = int.from_bytes(self._entropy.token(8), "big")
        code = "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in range(_CODE_DIGITS))
        # Only the salted hash is stored: a copy of the database must not let a browser in within the quarter of an
        # hour.
        salt = self._entropy.token(16)
        values = (kind, salt, _hash(salt, code), self._now_s() + CODE_LIFE_S)
        # First: after a power cut between both, the code before ends with these owners, and the new one is not known.
        self._write("INSERT OR REPLACE INTO code_owners VALUES (?, ?)", (kind, " ".join(owners)))
        self._write("INSERT OR REPLACE INTO codes VALUES (?, ?, ?, ?, 0)", values)
        return code

    def has_code(self, kind: str) -> bool:
        """Returns True if the newest code of this kind can still let a browser in."""
        now = self._now_s()
        with self._lock:
            row = self._database.execute("SELECT until_s, tries FROM codes WHERE kind = ?", (kind,)).fetchone()
            lives = row is not None and now < row[0] <= now + CODE_LIFE_S and row[1] < MOST_TRIES
            return lives and self._is_known_to_owners_alone(kind)

    def _is_known_to_owners_alone(self, kind: str) -> bool:
        row = self._database.execute("SELECT owners FROM code_owners WHERE kind = ?", (kind,)).fetchone()
        return row is None or not any(map(self._has_left, row[0].split()))

    def pair(self, typed: str, address: str, browser: str) -> str:
        """Let a browser in: the token of its new session.  Raises `RequestError`, `TooManyTriesError`."""
        bucket = f"pair {address}"
        with self._lock:
            self._rate_limit(bucket)
            if not self._take_code(_normal(typed), bucket):
                raise RequestError(
                    "This code is not, or no longer, the one that was printed.",
                    remedy="Print a new one on the doorbell: doorward page code.",
                )
            # Otherwise one person who mistyped a few codes would make the next browser of this address wait.
            self._write_locked("DELETE FROM failures WHERE bucket = ?", (bucket,))
            return self._new_session(browser)

    def _take_code(self, typed: str, bucket: str) -> bool:
        now = self._now_s()
        elsewhere = self._lets_in(typed)
        found, is_guess = elsewhere is True, elsewhere is False
        was_on_disk = self._retry_s is None
        # Each kind has a code, and all are tried: a person does not say where their code comes from.
        for kind, salt, stored, until_s, tries in self._database.execute("SELECT * FROM codes").fetchall():
            # The upper bound ends codes that were made while the clock was ahead. They would live until then.
            lives = now < until_s <= now + CODE_LIFE_S and tries < MOST_TRIES and self._is_known_to_owners_alone(kind)
            if lives and hmac.compare_digest(_hash(salt, typed), stored):
                self._write_locked("DELETE FROM codes WHERE kind = ?", (kind,))
                found = True
            elif not lives:
                self._write_locked("DELETE FROM codes WHERE kind = ?", (kind,))
            else:
                is_guess = True
        if is_guess and not found:
            # All codes: a guess is a try at each of them.
            self._write_locked("UPDATE codes SET tries = tries + 1", ())
            self._failed(bucket)
        if found and was_on_disk and self._retry_s is not None:
            raise _unwritten()  # the used code is still on the disk
        return found

    # sessions

    def session(self, token: str) -> Session | None:
        """The living session of a cookie; its use is noted."""
        now = self._now_s()
        used_s = min(now, self._believed_s())
        with self._lock:
            row = self._database.execute(
                "SELECT id, made_s, seen_s, browser, owner_key, owner_until_s FROM sessions WHERE token_sha256 = ?",
                (_token_hash(token),),
            ).fetchone()
            if row is None:
                return None
            name, made_s, seen_s, browser, owner_key, owner_until_s = row
            if self._is_idle(name, used_s - seen_s):
                self._write_locked("DELETE FROM sessions WHERE id = ?", (name,))
                return None
            self._note_use(name)
            is_owners = now < owner_until_s <= now + OWNER_IDLE_S  # a clock set back must not prolong it
            # At most one write in a minute for each session: a page asks every few seconds.
            if used_s - seen_s >= _SEEN_EVERY_S:
                extended = now + OWNER_IDLE_S if is_owners else 0
                values = (used_s, extended, name)
                with suppress(StorageError):  # a disk that refuses writes must still let an owner look at its content
                    self._write_locked("UPDATE sessions SET seen_s = ?, owner_until_s = ? WHERE id = ?", values)
            return Session(name, made_s, seen_s, browser, owner_key if is_owners else None, owner_key)

    def _is_idle(self, session: str, unused_s: int) -> bool:
        """Returns whether a session is deleted because it was not used.

        A clock that jumps ahead must sign no browser out. `unused_s` leaves out a jump that is not confirmed. The first
        time of a new doorbell is believed at once. So the running time counts for a session that was used since the
        start.
        """
        used_s = self._used_s.get(session)
        is_recent = used_s is not None and time.monotonic() - used_s <= SESSION_IDLE_S
        return unused_s > SESSION_IDLE_S and not is_recent

    def _note_use(self, session: str) -> None:
        if len(self._used_s) >= 2 * MOST_SESSIONS:  # of sessions that have ended
            self._used_s.clear()
        self._used_s[session] = time.monotonic()

    def elevate(self, session: Session, owner_key: str) -> str:
        """Makes the session an owner's, under a new token. The old token is void, in case an attacker had planted
        it."""
        token = self._token()
        values = (_token_hash(token), owner_key, self._now_s() + OWNER_IDLE_S, session.id)
        self._write("UPDATE sessions SET token_sha256 = ?, owner_key = ?, owner_until_s = ? WHERE id = ?", values)
        return token

    def renew(self, session: Session) -> str:
        """Gives the session a new token, for the same reason, and leaves its level."""
        token = self._token()
        self._write("UPDATE sessions SET token_sha256 = ? WHERE id = ?", (_token_hash(token), session.id))
        return token

    def sessions(self) -> list[Session]:
        with self._lock:
            rows = self._database.execute(
                "SELECT id, made_s, seen_s, browser, owner_key, owner_key FROM sessions ORDER BY seen_s DESC"
            ).fetchall()
        return [Session(*row) for row in rows]

    def end(self, session: str) -> bool:
        """Signs a browser out. Returns True if there was such a session.

        Raises `StorageError` if the disk takes no write: the browser is out, but a restart lets it in again.
        """
        with self._lock:
            ended = self._write_locked("DELETE FROM sessions WHERE id = ?", (session,)) == 1
            if ended and self._retry_s is not None:
                raise _unwritten()
            return ended

    # waits of guessers

    def failed(self, bucket: str) -> None:
        with self._lock:
            self._failed(bucket)

    def rate_limit(self, bucket: str) -> None:
        """Raises `TooManyTriesError`."""
        with self._lock:
            self._rate_limit(bucket)

    def _rate_limit(self, bucket: str) -> None:
        wait_s = self._wait_s(bucket)
        if wait_s > 0:
            self._count_from_now(bucket)
            raise TooManyTriesError(wait_s)

    def _count_from_now(self, bucket: str) -> None:
        """Moves a failure that is later than tomorrow: the clock was ahead, and the wait would last until that time."""
        now = self._now_s()
        ahead = (bucket, now + _DAY_S)
        if self._database.execute("SELECT 1 FROM failures WHERE bucket = ? AND last_s > ?", ahead).fetchone():
            self._write_locked("UPDATE failures SET last_s = ? WHERE bucket = ?", (now, bucket))

    def _wait_s(self, bucket: str) -> int:
        row = self._database.execute("SELECT count, last_s FROM failures WHERE bucket = ?", (bucket,)).fetchone()
        if row is None:
            return 0
        over = row[0] - FREE_FAILURES
        if over < 0:
            return 0
        # Without the bound, a program that fails for days would make Python compute a huge power.
        wait = min(2**over, LONGEST_WAIT_S) if over < 16 else LONGEST_WAIT_S
        # A clock set back must not prolong the wait. A clock set forward goes unnoticed.
        return int(max(0, min(wait, row[1] + wait - self._now_s())))

    def _failed(self, bucket: str) -> None:
        now = self._now_s()
        # Rows have no use after a day, and a stranger with many IPv6 addresses would fill the disk with them.
        self._write_locked("DELETE FROM failures WHERE last_s < ?", (now - _DAY_S,))
        self._write_locked(
            "INSERT INTO failures VALUES (?, 1, ?) "
            "ON CONFLICT (bucket) DO UPDATE SET count = count + 1, last_s = excluded.last_s",
            (bucket, now),
        )

    def _new_session(self, browser: str) -> str:
        token, now, name = self._token(), self._now_s(), self._entropy.token(8).hex()
        self._write_locked(
            "INSERT INTO sessions (id, token_sha256, made_s, seen_s, browser) VALUES (?, ?, ?, ?, ?)",
            (name, _token_hash(token), now, min(now, self._believed_s()), browser),
        )
        self._note_use(name)
        self._write_locked(
            # The sessions used least recently give way, so a person can always let a new browser in.
            "DELETE FROM sessions WHERE id NOT IN (SELECT id FROM sessions ORDER BY seen_s DESC, rowid DESC LIMIT ?)",
            (MOST_SESSIONS,),
        )
        return token

    def _token(self) -> str:
        return self._entropy.token(_TOKEN_BYTES).hex()

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        with self._lock:
            return self._write_locked(statement, values)

    def _write_locked(self, statement: str, values: tuple[object, ...]) -> int:
        # Here, because only a write shows that the disk has room again. Reads go on in memory.
        if self._retry_s is not None and time.monotonic() >= self._retry_s:
            self._return_to_disk()
        try:
            try:
                return self._database.execute(statement, values).rowcount
            except sqlite3.Error as error:
                if self._retry_s is not None or not takes_no_write(error):
                    raise
                self._leave_disk()
                return self._database.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise _unwritten() from error

    def _leave_disk(self) -> None:
        copy = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        try:
            self._database.backup(copy)
        except sqlite3.Error:
            copy.close()
            raise
        self._disk, self._database = self._database, copy
        self._go_on_in_memory()

    def _go_on_in_memory(self) -> None:
        # A code that is used up now would be good again after a restart.
        self._database.execute("DELETE FROM codes")
        self._retry_s = time.monotonic() + _RETRY_S
        structlog.get_logger("page").warning("sessions_in_memory", remedy="Make room on the disk.")

    def _return_to_disk(self) -> None:
        """Writes what changed in memory meanwhile to the disk, all of it or nothing."""
        if self._retry_s is None:
            return
        try:
            disk = self._disk = self._disk or _sound(self._path)
            self._database.backup(disk)
        except (sqlite3.Error, OSError):
            self._retry_s = time.monotonic() + _RETRY_S
            return
        self._database.close()
        self._database, self._disk, self._retry_s = disk, None, None


def _unwritten() -> StorageError:
    return StorageError("The page's database cannot be written.", remedy="Is the disk full?")


def _opened(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Returns the database, and whether it is a copy in memory because the disk takes no write.

    A file that is damaged, wherever in it, is set aside: paired browsers pair again, and the doorbell records.
    """
    try:
        return _sound(path), False
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.ENOSPC):
            raise
        return open_snapshot(path), True
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if takes_no_write(error) and path.exists():
            return open_snapshot(path), True  # the page must work so that an owner can rescue the footage
        if not is_damage(error):
            raise
        structlog.get_logger("page").error("sessions_damaged", remedy="Let your browsers in again: doorward page code")
        quarantine(path)
        return _sound(path), False


def _sound(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        # Hashes of cookies and names of browsers: other users of the machine have no reason to read them.
        path.chmod(0o600)
        database.executescript(f"{EXCLUSIVE}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;{_SCHEMA}")
        found = database.execute("PRAGMA quick_check(1)").fetchone()
    except BaseException:
        database.close()
        raise
    if found != ("ok",):
        database.close()
        raise MalformedDatabase("quick_check")
    return database


def _normal(typed: str) -> str:
    """Corrects common misreadings: Crockford's base32 leaves out I, L and O."""
    return re.sub(r"[^0-9A-Z]", "", typed.upper()).replace("I", "1").replace("L", "1").replace("O", "0")


def _hash(salt: bytes, code: str) -> bytes:
    return hashlib.sha256(salt + code.encode()).digest()


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
