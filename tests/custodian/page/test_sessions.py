"""Codes, sessions and patience: what lets a browser in, and what keeps a guesser out."""

from __future__ import annotations

import errno
import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from agent.custodian.page import sessions as module
from agent.custodian.page.sessions import CODE_LIFE_S, MOST_TRIES, Session, Sessions, TooManyTriesError, code_text
from agent.errors import RequestError, StorageError
from agent.platform.sqlite_faults import MalformedDatabase


class Entropy:
    def token(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)


class Hall:
    """Visitors on a clock that moves only when told, and that can be shut down and started again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1_800_000_000
        self.believed: int | None = None
        """The time without a jump of the clock; None: that of the clock."""
        self.left: set[str] = set()
        """Key ids that have left the list of owners."""
        self.open()

    def open(self) -> None:
        def believed_s() -> int:
            return self.now if self.believed is None else self.believed

        self.visitors = Sessions(
            self.path, Entropy(), lambda: self.now, believed_s=believed_s, has_left=self.left.__contains__
        )
        self.visitors._database.execute("PRAGMA synchronous = OFF")  # quicker; a separate test has the real setting

    def restart(self) -> None:
        self.visitors.close()
        self.open()

    def guess(self, address: str = "192.168.1.66") -> None:
        with pytest.raises(RequestError):
            self.visitors.pair("0000-000-000", address, "Firefox")


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    found = Hall(tmp_path / "page.sqlite")
    yield found
    found.visitors.close()


def test_a_printed_code_lets_one_browser_in_once(hall: Hall) -> None:
    code = hall.visitors.make_code("printed")
    token = hall.visitors.pair(code_text(code).lower(), "10.0.0.2", "Firefox")
    assert hall.visitors.session(token) is not None
    with pytest.raises(RequestError):
        hall.visitors.pair(code, "10.0.0.2", "Firefox")


def test_a_code_is_good_only_within_its_time(hall: Hall) -> None:
    code = hall.visitors.make_code("printed")
    hall.now += CODE_LIFE_S
    with pytest.raises(RequestError, match="no longer"):
        hall.visitors.pair(code, "10.0.0.2", "Firefox")


def test_a_clock_that_is_set_back_does_not_revive_a_code(hall: Hall) -> None:
    code = hall.visitors.make_code("printed")
    hall.now -= 10
    with pytest.raises(RequestError):
        hall.visitors.pair(code, "10.0.0.2", "Firefox")


def test_the_code_before_the_newest_no_longer_counts(hall: Hall) -> None:
    first = hall.visitors.make_code("printed")
    hall.visitors.make_code("printed")
    with pytest.raises(RequestError):
        hall.visitors.pair(first, "10.0.0.2", "Firefox")


def test_a_code_dies_of_too_many_wrong_tries_wherever_they_come_from(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_TRIES", 20)
    code = hall.visitors.make_code("printed")
    for number in range(20):
        hall.guess(f"192.168.1.{number}")
    with pytest.raises(RequestError):
        hall.visitors.pair(code, "10.0.0.2", "Firefox")


def test_a_guesser_waits_twice_as_long_each_time_and_a_restart_does_not_forgive(hall: Hall) -> None:
    hall.visitors.make_code("printed")
    waits = []
    for _ in range(12):
        hall.guess()
        hall.restart()
        try:
            hall.visitors.rate_limit("pair 192.168.1.66")
        except TooManyTriesError as error:
            waits.append(error.wait_s)
            hall.now += error.wait_s
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128]
    hall.visitors.rate_limit("pair 10.0.0.2")


def test_a_guesser_with_many_addresses_keeps_nobody_from_a_code_that_is_printed(hall: Hall) -> None:
    hall.visitors.make_code("printed")
    for number in range(40):
        hall.guess(f"192.168.1.{number}")
        hall.now += 901  # of whatever wait there is, the guesser uses the first moment
        hall.visitors.make_code("printed")
    code = hall.visitors.make_code("printed")
    for number in range(60):
        hall.guess(f"192.168.2.{number}")
    hall.visitors.pair(code, "10.0.0.2", "Firefox")


def test_a_code_that_is_used_void_or_late_is_told_from_one_that_counts(hall: Hall) -> None:
    visitors = hall.visitors
    assert not visitors.has_code("button")
    code = visitors.make_code("button")
    assert visitors.has_code("button")
    assert not visitors.has_code("printed")
    visitors.pair(code, "10.0.0.2", "Firefox")
    assert not visitors.has_code("button")
    visitors.make_code("button")
    visitors._database.execute("UPDATE codes SET tries = ?", (MOST_TRIES,))
    assert not visitors.has_code("button")
    visitors.make_code("button")
    hall.now += CODE_LIFE_S
    assert not visitors.has_code("button")


def test_a_code_of_an_owner_who_has_left_lets_nobody_in_also_after_a_restart(hall: Hall) -> None:
    """They know the code of an invitation that they made, and a long press is sealed to each owner of that moment."""
    codes = {kind: hall.visitors.make_code(kind, owners) for kind, owners in
             (("invitation", ["anna"]), ("button", ["anna", "ben"]), ("printed", []))}  # fmt: skip
    hall.left.add("ben")
    hall.restart()
    assert [hall.visitors.has_code(kind) for kind in codes] == [True, False, True]
    with pytest.raises(RequestError, match="not, or no longer"):
        hall.visitors.pair(codes["button"], "10.0.0.2", "Firefox")
    for kind in ("invitation", "printed"):
        assert hall.visitors.pair(codes[kind], "10.0.0.2", "Firefox")
    again = hall.visitors.make_code("button", ["anna"])
    assert hall.visitors.pair(again, "10.0.0.2", "Firefox"), "the next press is for those who stay"


def test_a_wrong_code_while_there_is_none_is_no_guess_and_writes_nothing(hall: Hall) -> None:
    writes = hall.visitors._database.total_changes
    for _ in range(20):
        hall.guess()
    hall.visitors.rate_limit("pair 192.168.1.66")
    assert hall.visitors._database.total_changes == writes


def test_ten_million_guesses_take_longer_than_any_code_lives(hall: Hall) -> None:
    """50 bits, ten thousand tries a code: a guesser may hope for nothing, if codes are printed all year long."""
    codes_a_year = 365 * 86_400 / CODE_LIFE_S
    assert codes_a_year * MOST_TRIES / 32**10 < 1e-6
    assert len(hall.visitors.make_code("printed")) == 10


def test_a_session_ends_when_it_is_not_used_and_when_its_owner_says_so(hall: Hall) -> None:
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")
    session = hall.visitors.session(token)
    assert session is not None
    hall.restart()
    hall.now += module.SESSION_IDLE_S + 1
    assert hall.visitors.session(token) is None
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")
    session = hall.visitors.session(token)
    assert session is not None
    assert hall.visitors.end(session.id)
    assert hall.visitors.session(token) is None


def test_being_an_owners_lapses_and_renews_the_token(hall: Hall) -> None:
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")
    session = hall.visitors.session(token)
    assert session is not None
    assert session.owner_key is None
    renewed = hall.visitors.elevate(session, "a" * 16)
    assert hall.visitors.session(token) is None
    proven = hall.visitors.session(renewed)
    assert proven is not None
    assert proven.owner_key == "a" * 16
    hall.now += module.OWNER_IDLE_S + 1
    lapsed = hall.visitors.session(renewed)
    assert lapsed is not None
    assert lapsed.owner_key is None


def test_a_clock_that_is_behind_after_a_power_cut_ends_no_session_and_keeps_nobody_an_owner(hall: Hall) -> None:
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")
    session = hall.visitors.session(token)
    assert session is not None
    token = hall.visitors.elevate(session, "a" * 16)
    hall.now -= 3 * 86_400
    behind = hall.visitors.session(token)
    assert behind is not None
    assert behind.owner_key is None
    token = hall.visitors.elevate(behind, "a" * 16)
    again = hall.visitors.session(token)
    assert again is not None
    assert again.owner_key == "a" * 16
    hall.now += 3 * 86_400
    synced = hall.visitors.session(token)
    assert synced is not None
    assert synced.owner_key is None


def spoil_all(path: Path) -> None:
    path.write_bytes(b"\x55" * 8192)


def spoil_a_table(path: Path) -> None:
    """Such a file can be opened, and fails where a person gets there."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page_bytes,),) = database.execute("PRAGMA page_size").fetchall()
        ((root,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sessions'").fetchall()
    content = bytearray(path.read_bytes())
    content[(root - 1) * page_bytes : root * page_bytes] = b"\x55" * page_bytes
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [spoil_all, spoil_a_table])
def test_a_damaged_file_costs_the_browsers_that_were_let_in_and_not_the_doorbell(
    hall: Hall, spoil: Callable[[Path], None]
) -> None:
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")
    hall.visitors.close()
    spoil(hall.path)
    hall.open()
    assert hall.visitors.session(token) is None
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")
    assert hall.visitors.session(token) is not None
    assert hall.path.with_name("page.sqlite.damaged").exists()


def test_the_file_holds_neither_code_nor_cookie(hall: Hall, tmp_path: Path) -> None:
    code = hall.visitors.make_code("printed")
    token = hall.visitors.pair(hall.visitors.make_code("invitation"), "10.0.0.2", "Firefox")
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("page.sqlite*"))
    assert code.encode() not in stored
    assert token.encode() not in stored
    assert (tmp_path / "page.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_disk_that_takes_nothing_keeps_no_owner_from_looking(hall: Hall) -> None:
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")
    session = hall.visitors.session(token)
    assert session is not None
    token = hall.visitors.elevate(session, "a" * 16)
    hall.visitors._database.execute("PRAGMA query_only = 1")
    hall.now += 3600
    found = hall.visitors.session(token)
    assert found is not None
    assert found.owner_key == "a" * 16
    hall.now += module.OWNER_IDLE_S
    found = hall.visitors.session(token)
    assert found is not None
    assert found.owner_key is None, "the level lapses as on any disk"
    assert hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")


# -- at the edges ------------------------------------------------------------------------------------------------------


def paired(hall: Hall, browser: str = "Firefox") -> str:
    return hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", browser)


def test_a_code_is_made_of_fifty_bits_of_the_entropy_and_printed_in_groups(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hall.visitors, "_entropy", SimpleNamespace(token=lambda size: bytes(range(1, size + 1))))
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = int.from_bytes(bytes(range(1, 9)))
    expected = ""
    for _ in range(10):
        number, digit = divmod(number, 32)
        expected += digits[digit]
    assert hall.visitors.make_code("printed") == expected
    assert code_text(expected) == f"{expected[:4]}-{expected[4:7]}-{expected[7:]}"


def test_a_code_that_is_misread_or_typed_with_spaces_is_the_same_code(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hall.visitors, "_entropy", SimpleNamespace(token=lambda size: b"\0" * (size - 1) + b"\x20"))
    assert hall.visitors.make_code("printed") == "0100000000"
    monkeypatch.setattr(hall.visitors, "_entropy", Entropy())
    assert hall.visitors.session(hall.visitors.pair(" oLo o-0o0 o.O0 ", "10.0.0.2", "Firefox"))


def test_a_code_of_each_kind_counts_until_its_last_second_and_takes_no_other_with_it(hall: Hall) -> None:
    printed, invitation = hall.visitors.make_code("printed"), hall.visitors.make_code("invitation")
    hall.now += CODE_LIFE_S - 1
    assert hall.visitors.pair(printed, "10.0.0.2", "Firefox")
    assert hall.visitors.pair(invitation, "10.0.0.2", "Firefox")


def test_four_mistakes_are_free_the_longest_wait_is_a_quarter_of_an_hour_and_a_day_forgives(hall: Hall) -> None:
    bucket = "pair 10.0.0.9"
    for _ in range(4):
        hall.visitors.failed(bucket)
        hall.visitors.rate_limit(bucket)
    waits = []
    for _ in range(30):
        hall.visitors.failed(bucket)
        with pytest.raises(TooManyTriesError) as refused:
            hall.visitors.rate_limit(bucket)
        waits.append(refused.value.wait_s)
    assert waits[:11] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]
    assert set(waits[10:]) == {module.LONGEST_WAIT_S}
    assert refused.value.remedy == "Wait 900 seconds."
    hall.now -= 5000
    with pytest.raises(TooManyTriesError) as refused:
        hall.visitors.rate_limit(bucket)
    assert refused.value.wait_s == 900, "a clock that is set back does not prolong it"
    hall.now += 5000 + 899
    with pytest.raises(TooManyTriesError) as refused:
        hall.visitors.rate_limit(bucket)
    assert refused.value.wait_s == 1
    hall.now += 1
    hall.visitors.rate_limit(bucket)
    hall.now += 86_400
    hall.visitors.failed("another")
    hall.visitors.failed(bucket)
    hall.visitors.rate_limit(bucket)


def test_the_right_code_forgives_the_mistakes_of_its_own_address_alone(hall: Hall) -> None:
    code = hall.visitors.make_code("printed")
    for _ in range(4):
        hall.guess("10.0.0.2")
        hall.guess("10.0.0.3")
    hall.visitors.pair(code, "10.0.0.2", "Firefox")
    for address, waits in (("10.0.0.2", False), ("10.0.0.3", True)):
        hall.visitors.failed(f"pair {address}")
        try:
            hall.visitors.rate_limit(f"pair {address}")
            assert not waits
        except TooManyTriesError:
            assert waits


def test_a_session_lives_for_ninety_days_without_use_and_its_use_is_noted_each_minute(hall: Hall) -> None:
    token, start = paired(hall), hall.now
    hall.now += 59
    session = hall.visitors.session(token)
    assert session is not None
    assert (session.made_s, session.seen_s, session.browser, session.owner_key) == (start, start, "Firefox", None)
    assert hall.visitors.sessions()[0].seen_s == start
    hall.now += 1
    assert hall.visitors.session(token)
    assert hall.visitors.sessions()[0].seen_s == start + 60
    hall.restart()
    hall.now += module.SESSION_IDLE_S
    assert hall.visitors.session(token)
    hall.restart()
    hall.now += module.SESSION_IDLE_S + 1
    assert hall.visitors.session(token) is None
    assert hall.visitors.sessions() == []


def test_a_clock_that_jumps_ahead_signs_no_browser_out_until_the_jump_is_confirmed(hall: Hall) -> None:
    token, start = paired(hall), hall.now
    hall.restart()
    hall.believed = start + 60
    hall.now += 10 * module.SESSION_IDLE_S
    assert hall.visitors.session(token)
    assert hall.visitors.sessions()[0].seen_s == start + 60, "a false time would keep it for years"
    other = paired(hall)
    hall.now, hall.believed = start + 120, None
    assert hall.visitors.session(token)
    assert hall.visitors.session(other)
    hall.restart()
    hall.now += module.SESSION_IDLE_S + 1
    assert hall.visitors.session(token) is None
    assert hall.visitors.session(other) is None


def test_the_first_time_of_a_new_doorbell_signs_out_no_browser_that_was_let_in_before(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board without a clock starts with an old date, and a phone may be let in before a time server answers."""
    right, hall.now = hall.now, 1_000_000
    monotonic = [5000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: monotonic[0]))
    token, unused = paired(hall), paired(hall)
    hall.now = right
    assert hall.visitors.session(token)
    hall.restart()
    assert hall.visitors.session(token), "its use was noted at the right time"
    assert hall.visitors.session(unused) is None
    hall.now += module.SESSION_IDLE_S + 1
    monotonic[0] += module.SESSION_IDLE_S
    assert hall.visitors.session(token)
    hall.now += module.SESSION_IDLE_S + 1
    monotonic[0] += module.SESSION_IDLE_S + 1
    assert hall.visitors.session(token) is None


def test_a_wait_that_began_while_the_clock_was_years_ahead_ends_as_any_other(hall: Hall) -> None:
    right = hall.now
    hall.now += 10 * 365 * 86_400
    for _ in range(module.FREE_FAILURES + 2):
        hall.visitors.failed("pair 10.0.0.2")
    hall.now = right
    with pytest.raises(TooManyTriesError) as refused:
        hall.visitors.rate_limit("pair 10.0.0.2")
    hall.now += refused.value.wait_s
    hall.visitors.rate_limit("pair 10.0.0.2")


def test_the_uses_that_are_remembered_are_bounded(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SESSIONS", 2)
    for _ in range(9):
        hall.visitors.session(paired(hall))
        assert len(hall.visitors._used_s) <= 4


def test_an_owners_level_lasts_for_twelve_hours_and_each_use_begins_them_anew(hall: Hall) -> None:
    token = paired(hall)
    session = hall.visitors.session(token)
    assert session is not None
    token = hall.visitors.elevate(session, "a" * 16)

    def level() -> str | None:
        found = hall.visitors.session(token)
        assert found is not None
        return found.owner_key

    for _ in range(3):
        hall.now += module.OWNER_IDLE_S - 1
        assert level() == "a" * 16
    hall.now += module.OWNER_IDLE_S
    assert level() is None
    hall.now -= module.OWNER_IDLE_S
    assert level() is None, "a clock that is set back does not bring it back"


def test_the_sixty_four_browsers_that_were_seen_last_stay(hall: Hall) -> None:
    tokens = []
    for number in range(module.MOST_SESSIONS):
        tokens.append(paired(hall, f"browser {number}"))
        hall.now += 1
    hall.now += 60
    assert hall.visitors.session(tokens[0])
    hall.now += 1
    tokens.append(paired(hall, "the newest"))
    names = [each.browser for each in hall.visitors.sessions()]
    assert (len(names), names[:2]) == (module.MOST_SESSIONS, ["the newest", "browser 0"])
    assert hall.visitors.session(tokens[1]) is None
    assert all(hall.visitors.session(token) for token in (tokens[0], *tokens[2:]))


def test_signing_out_says_whether_there_was_such_a_browser(hall: Hall) -> None:
    token, other = paired(hall), paired(hall)
    session = hall.visitors.session(token)
    assert session is not None
    assert hall.visitors.end(session.id) is True
    assert hall.visitors.end(session.id) is False
    assert hall.visitors.session(other) is not None


# -- on a disk that takes nothing --------------------------------------------------------------------------------------


def read_only() -> sqlite3.Error:
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY
    return error


@pytest.mark.parametrize("error", [OSError(errno.EROFS, "no"), OSError(errno.ENOSPC, "no"), read_only()])
def test_on_a_disk_that_takes_no_write_paired_browsers_are_known_and_new_ones_forgotten(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    token = paired(hall)
    hall.visitors.close()

    def refused(_path: Path) -> sqlite3.Connection:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(module, "_sound", refused)
        hall.open()
    assert hall.visitors.session(token) is not None
    other = paired(hall)
    assert hall.visitors.session(other) is not None
    cut(hall)
    assert hall.visitors.session(token) is not None
    assert hall.visitors.session(other) is None


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), sqlite3.OperationalError("database is locked")])
def test_a_file_that_is_anothers_is_named_and_left_as_it_is(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    token = paired(hall)
    hall.visitors.close()

    def refused(_path: Path) -> sqlite3.Connection:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(module, "_sound", refused)
        with pytest.raises(StorageError, match=r"page\.sqlite cannot be used") as caught:
            hall.open()
    assert caught.value.remedy == "Delete it: paired browsers pair again."
    hall.open()
    assert hall.visitors.session(token) is not None
    assert not hall.path.with_name("page.sqlite.damaged").exists()


# -- to the last value -------------------------------------------------------------------------------------------------


class Rows:
    """Sessions in memory, with entropy that counts, and what their tables hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000
        self.typed: list[str] = []
        self.elsewhere: bool | None = None
        self._number = 0
        monkeypatch.setattr(module, "_opened", self._opened)
        entropy: Any = SimpleNamespace(token=self.token)
        self.sessions = Sessions(Path("page.sqlite"), entropy, lambda: self.now, self._lets_in)

    def _opened(self, path: Path) -> tuple[sqlite3.Connection, bool]:
        assert path == Path("page.sqlite")
        self.database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.database.executescript(module._SCHEMA)
        return self.database, False

    def token(self, size: int) -> bytes:
        self._number += 1
        return bytes([self._number]) * size

    def _lets_in(self, typed: str) -> bool | None:
        self.typed.append(typed)
        return self.elsewhere

    def table(self, name: str) -> list[tuple[Any, ...]]:
        return self.database.execute(f"SELECT * FROM {name}").fetchall()


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rows]:
    made = Rows(monkeypatch)
    yield made
    made.sessions.close()
    with pytest.raises(sqlite3.ProgrammingError):
        made.table("sessions")


REFUSED = "This code is not, or no longer, the one that was printed."


def test_each_step_of_a_browser_leaves_these_rows(rows: Rows) -> None:
    start = rows.now
    code = rows.sessions.make_code("printed")
    assert code == "".join(module._ALPHABET[(int("01" * 8, 16) >> (5 * place)) & 31] for place in range(10))
    printed = ("printed", b"\x02" * 16, sha256(b"\x02" * 16, code.encode()), start + 900, 0)
    assert rows.table("codes") == [printed]
    rows.now += 10
    for wrong in (1, 2):
        with pytest.raises(RequestError, match=REFUSED) as refused:
            rows.sessions.pair("wrong", "10.0.0.9", "Chrome")
        assert refused.value.remedy == "Print a new one on the doorbell: doorward page code."
        assert rows.table("codes") == [(*printed[:4], wrong)]
        assert rows.table("failures") == [("pair 10.0.0.9", wrong, rows.now)]
    token = rows.sessions.pair(f" {code.lower()}-", "10.0.0.2", "Firefox")
    assert (token, rows.typed) == ("03" * 32, ["WR0NG", "WR0NG", code])
    row = ("04" * 8, sha256(token.encode()), rows.now, rows.now, "Firefox", None, 0)
    assert (rows.table("codes"), rows.table("sessions")) == ([], [row])
    assert rows.table("failures") == [("pair 10.0.0.9", 2, start + 10)]
    session = rows.sessions.session(token)
    assert session == Session("04" * 8, start + 10, start + 10, "Firefox", None)
    renewed = rows.sessions.renew(session)
    assert rows.sessions.session(token) is None
    assert rows.table("sessions") == [(row[0], sha256(renewed.encode()), *row[2:])]
    token = rows.sessions.elevate(session, "a" * 16)
    owners = (row[0], sha256(token.encode()), *row[2:5], "a" * 16, rows.now + 43_200)
    assert rows.table("sessions") == [owners]
    rows.now += 60
    assert rows.sessions.session(token) == Session("04" * 8, start + 10, start + 10, "Firefox", "a" * 16)
    assert rows.table("sessions") == [(*owners[:3], rows.now, *owners[4:6], rows.now + 43_200)]
    rows.now += 43_200
    assert rows.sessions.session(token) == Session("04" * 8, start + 10, start + 70, "Firefox", None)
    assert rows.table("sessions") == [(*owners[:3], rows.now, *owners[4:6], 0)]
    assert rows.sessions.sessions() == [Session("04" * 8, start + 10, rows.now, "Firefox", "a" * 16)]
    rows.now += 7_776_000
    rows.sessions._used_s.clear()  # a restart
    assert rows.sessions.session(token) is not None
    rows.now += 7_776_001
    rows.sessions._used_s.clear()
    assert rows.sessions.session(token) is None
    assert rows.table("sessions") == []
    assert rows.sessions.end("04" * 8) is False


def test_a_use_within_the_minute_is_not_written(rows: Rows) -> None:
    token = rows.sessions.pair(rows.sessions.make_code("printed"), "10.0.0.2", "Firefox")
    before = rows.table("sessions")
    rows.now += 59
    assert rows.sessions.session(token) is not None
    assert rows.table("sessions") == before


@pytest.mark.parametrize(("until_s", "tries", "lives"), [
    (1, 0, True), (0, 0, False), (900, 0, True), (901, 0, False), (900, 9_999, True), (900, 10_000, False),
])  # fmt: skip
def test_a_code_lives_from_its_printing_to_its_last_try(rows: Rows, until_s: int, tries: int, lives: bool) -> None:
    code, other = rows.sessions.make_code("printed"), rows.sessions.make_code("invitation")
    values = (rows.now + until_s, tries)
    rows.database.execute("UPDATE codes SET until_s = ?, tries = ? WHERE kind = 'printed'", values)
    if lives:
        assert rows.sessions.pair(code, "10.0.0.2", "Firefox")
        assert rows.table("failures") == []
    else:
        with pytest.raises(RequestError, match=REFUSED):
            rows.sessions.pair(code, "10.0.0.2", "Firefox")
        assert [each[:2] for each in rows.table("failures")] == [("pair 10.0.0.2", 1)], "the invitation was guessed"
    assert [(each[0], each[4]) for each in rows.table("codes")] == [("invitation", 0 if lives else 1)]
    assert rows.sessions.pair(other, "10.0.0.3", "Firefox")


@pytest.mark.parametrize(("elsewhere", "is_let_in", "counted"), [
    (True, True, []), (False, False, [("pair 10.0.0.2", 1, 1_800_000_000)]), (None, False, []),
])  # fmt: skip
def test_a_code_that_is_kept_elsewhere_counts_like_a_printed_one(
    rows: Rows, elsewhere: bool | None, is_let_in: bool, counted: list[Any]
) -> None:
    rows.elsewhere = elsewhere
    if is_let_in:
        assert rows.sessions.pair("AAAA-BBB-CCC", "10.0.0.2", "Firefox") == "01" * 32
    else:
        with pytest.raises(RequestError, match=REFUSED):
            rows.sessions.pair("AAAA-BBB-CCC", "10.0.0.2", "Firefox")
    assert (rows.typed, rows.table("failures")) == (["AAAABBBCCC"], counted)


def test_a_guess_is_refused_before_it_is_tried_while_its_address_waits(rows: Rows) -> None:
    code = rows.sessions.make_code("printed")
    for _ in range(5):
        rows.sessions.failed("pair 10.0.0.2")
    with pytest.raises(TooManyTriesError) as refused:
        rows.sessions.pair(code, "10.0.0.2", "Firefox")
    assert (refused.value.wait_s, rows.typed) == (1, [])
    rows.now += 1
    assert rows.sessions.pair(code, "10.0.0.2", "Firefox")
    assert rows.table("failures") == []


@pytest.mark.parametrize(("count", "waits"), [
    (4, 0), (5, 1), (6, 2), (14, 512), (15, 900), (20, 900), (21, 900), (1000, 900),
])  # fmt: skip
def test_a_failure_is_waited_for_from_its_own_second(rows: Rows, count: int, waits: int) -> None:
    rows.database.execute("INSERT INTO failures VALUES ('a', ?, ?)", (count, rows.now))
    assert rows.sessions._wait_s("a") == waits
    rows.now += 1
    assert rows.sessions._wait_s("a") == max(0, waits - 1)
    rows.now += 2000
    assert (rows.sessions._wait_s("a"), rows.sessions._wait_s("b")) == (0, 0)
    rows.now -= 5000
    assert rows.sessions._wait_s("a") == waits, "a clock that is set back does not prolong it"


def test_a_failure_is_forgotten_after_a_day(rows: Rows) -> None:
    rows.sessions.failed("a")
    rows.now += 86_400
    rows.sessions.failed("b")
    assert rows.table("failures") == [("a", 1, rows.now - 86_400), ("b", 1, rows.now)]
    rows.now += 1
    rows.sessions.failed("b")
    assert rows.table("failures") == [("b", 2, rows.now)]


def test_beyond_sixty_four_browsers_the_one_that_was_not_seen_for_the_longest_goes(rows: Rows) -> None:
    values = [(f"s{number}", bytes([number]), rows.now - (number == 7)) for number in range(64)]
    insert = "INSERT INTO sessions (id, token_sha256, made_s, seen_s, browser) VALUES (?, ?, 0, ?, 'Firefox')"
    rows.database.executemany(insert, values)
    gone = []
    for _ in range(3):
        before = {each[0] for each in rows.table("sessions")}
        rows.sessions.pair(rows.sessions.make_code("printed"), "10.0.0.2", "Firefox")
        gone += before - {each[0] for each in rows.table("sessions")}
        assert len(rows.table("sessions")) == 64
    assert gone == ["s7", "s0", "s1"], "of those of one second the one that came first"


def test_a_write_that_fails_is_named_and_a_look_goes_on(rows: Rows) -> None:
    token = rows.sessions.pair(rows.sessions.make_code("printed"), "10.0.0.2", "Firefox")
    writes = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
    rows.database.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action in writes else sqlite3.SQLITE_OK)
    rows.now += 60
    session = rows.sessions.session(token)
    assert session == Session("04" * 8, rows.now - 60, rows.now - 60, "Firefox", None)
    calls = (
        lambda: rows.sessions.make_code("printed"), lambda: rows.sessions.elevate(session, "a" * 16),
        lambda: rows.sessions.renew(session), lambda: rows.sessions.end("04" * 8), lambda: rows.sessions.failed("a"),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(StorageError, match="The page's database cannot be written") as refused:
            call()
        assert refused.value.remedy == "Is the disk full?"


def fill_disk(hall: Hall) -> None:
    """From here on, SQLite's answer to a write that needs a page is the one of a full disk."""
    (pages,) = hall.visitors._database.execute("PRAGMA page_count").fetchone()
    hall.visitors._database.execute(f"PRAGMA max_page_count = {pages}")


LONG_KEY = "k" * 8_000
"""It needs more than a page."""


def in_memory(hall: Hall) -> bool:
    return bool(hall.visitors._database.execute("PRAGMA database_list").fetchone()[2] == "")


def cut(hall: Hall) -> None:
    """The process ends without a last word, and starts again."""
    for database in (hall.visitors._database, hall.visitors._disk):
        if database is not None:
            database.close()
    hall.open()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(s=1_000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: found.s))
    return found


def test_an_owner_comes_in_although_the_disk_has_become_full_and_nothing_is_lost_when_there_is_room(
    hall: Hall, clock: SimpleNamespace
) -> None:
    """Each try was answered with "Is the disk full?", so that no owner could make room through the page."""
    session = hall.visitors.session(paired(hall))
    assert session is not None
    fill_disk(hall)
    disk = hall.visitors._database
    with structlog.testing.capture_logs() as lines:
        token = hall.visitors.elevate(session, LONG_KEY)
        hall.visitors.failed("pair 10.0.0.9")
    assert lines == [{"event": "sessions_in_memory", "log_level": "warning", "remedy": "Make room on the disk."}]
    assert disk.execute("SELECT owner_key FROM sessions").fetchone() == (None,), "the disk has taken nothing"
    hall.now -= 86_400  # a clock set back prolongs no wait
    clock.s += 60
    hall.visitors.failed("pair 10.0.0.9")
    assert in_memory(hall), "still full"
    disk.execute("PRAGMA max_page_count = 1000")
    clock.s += 59
    hall.visitors.failed("pair 10.0.0.9")
    assert in_memory(hall), "a full disk is tried once a minute"
    clock.s += 1
    hall.visitors.failed("pair 10.0.0.9")
    assert not in_memory(hall)
    hall.now += 86_400
    cut(hall)
    found = hall.visitors.session(token)
    assert found is not None
    assert found.owner_key == LONG_KEY


def test_a_code_of_before_is_not_taken_while_the_disk_is_full_because_a_restart_would_make_it_good_again(
    hall: Hall,
) -> None:
    code = hall.visitors.make_code("printed")
    fill_disk(hall)
    hall.visitors._database.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError, match="cannot be written"):
        hall.visitors.pair(code, "10.0.0.2", "Firefox")
    with pytest.raises(RequestError, match="no longer"):
        hall.visitors.pair(code, "10.0.0.2", "Firefox")
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Firefox")
    assert hall.visitors.session(token) is not None
    cut(hall)
    assert hall.visitors.session(token) is None, "what changed in memory is forgotten"
    assert hall.visitors.pair(code, "10.0.0.2", "Firefox"), "it has not been used"


def test_a_browser_signed_out_on_a_full_disk_is_out_and_the_owner_hears_that_it_does_not_last(hall: Hall) -> None:
    token = paired(hall)
    session = hall.visitors.session(token)
    assert session is not None
    hall.visitors._database.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError, match="cannot be written"):
        hall.visitors.end(session.id)
    assert hall.visitors.session(token) is None
    cut(hall)
    assert hall.visitors.session(token) is not None
    assert hall.visitors.end(session.id)


def test_with_the_end_of_the_process_a_disk_that_has_room_again_gets_the_sessions(hall: Hall) -> None:
    session = hall.visitors.session(paired(hall))
    assert session is not None
    fill_disk(hall)
    disk = hall.visitors._database
    token = hall.visitors.elevate(session, LONG_KEY)
    disk.execute("PRAGMA max_page_count = 1000")
    hall.restart()
    assert hall.visitors.session(token) is not None


def test_a_disk_that_refused_the_start_gets_the_sessions_when_it_takes_writes_again(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    paired(hall)
    hall.visitors.close()
    sound = module._sound

    def refused(_path: Path) -> sqlite3.Connection:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(module, "_sound", refused)
    hall.open()
    token = hall.visitors.pair(hall.visitors.make_code("printed"), "10.0.0.2", "Safari")
    clock.s += 60
    hall.visitors.failed("pair 10.0.0.9")
    assert in_memory(hall), "still read-only"
    monkeypatch.setattr(module, "_sound", sound)
    clock.s += 60
    hall.visitors.failed("pair 10.0.0.9")
    assert not in_memory(hall)
    cut(hall)
    assert hall.visitors.session(token) is not None
    assert {each.browser for each in hall.visitors.sessions()} == {"Safari", "Firefox"}


def test_a_code_is_printed_in_three_groups() -> None:
    assert code_text("0123456789") == "0123-456-789"
    assert module._normal(" il-o0\u00e9aZ9\n") == "1100AZ9"


def test_a_database_is_durable_exclusive_and_for_its_owner_alone(tmp_path: Path) -> None:
    database = module._sound(tmp_path / "page.sqlite")
    asked = ("journal_mode", "synchronous", "locking_mode")
    found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]
    assert found == ["wal", 2, "exclusive"]
    assert (tmp_path / "page.sqlite").stat().st_mode & 0o777 == 0o600
    assert database.isolation_level is None
    thread = threading.Thread(target=database.execute, args=("SELECT 1",))
    thread.start()
    thread.join()
    database.close()


@pytest.mark.parametrize("found", [("not ok",), None])
def test_a_database_that_fails_its_check_is_closed_before_it_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: tuple[str] | None
) -> None:
    did: list[object] = []
    database: Any = SimpleNamespace(
        executescript=did.append, execute=lambda what: SimpleNamespace(fetchone=lambda: (did.append(what), found)[1]),
        close=lambda: did.append("closed"),
    )  # fmt: skip
    (tmp_path / "page.sqlite").touch()
    monkeypatch.setattr(module, "sqlite3", SimpleNamespace(connect=lambda *_, **__: database))
    with pytest.raises(MalformedDatabase):
        module._sound(tmp_path / "page.sqlite")
    assert did[1:] == ["PRAGMA quick_check(1)", "closed"]
    did.clear()
    monkeypatch.setattr(database, "executescript", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        module._sound(tmp_path / "page.sqlite")
    assert did == ["closed"]


def test_a_damaged_file_is_told_and_set_aside_and_one_that_is_missing_is_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.sqlite"
    path.write_bytes(b"\x55" * 8192)
    with structlog.testing.capture_logs() as lines:
        module._opened(path)[0].close()
    assert lines == [
        {"event": "sessions_damaged", "log_level": "error", "remedy": "Let your browsers in again: doorward page code"}
    ]
    assert (tmp_path / "page.sqlite.damaged").read_bytes() == b"\x55" * 8192

    def refused(_path: Path) -> sqlite3.Connection:
        raise read_only()

    monkeypatch.setattr(module, "_sound", refused)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        module._opened(tmp_path / "missing")
    copied: list[Path] = []
    monkeypatch.setattr(module, "open_snapshot", copied.append)
    module._opened(path)
    assert copied == [path]
