"""The vault's contract with an index, for SQLite's and the one in memory."""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.timebase import ClockQuality
from agent.core.vault.entries import NumberedClockSync, Totals, VaultEntry, dated
from agent.core.vault.fields import Stamp, segment_id
from agent.core.vault.manifest import ChainHead, chapter_start
from agent.errors import StorageError
from agent.platform.sqlite_snapshot import open_snapshot
from agent.ports import Index
from agent.vault import index_sqlite
from agent.vault.index_sqlite import SqliteIndex
from tests.fake_index import FakeIndex


@pytest.fixture(params=["in memory", "SQLite"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    made: Index = FakeIndex() if request.param == "in memory" else SqliteIndex(tmp_path / "index.sqlite")
    yield made
    made.close()


def entry(number: int, start_ms: int = 0, duration_ms: int = 5000) -> VaultEntry:
    return VaultEntry(
        sequence=number,
        id=segment_id(random.Random(number).randbytes(16)),
        event=segment_id(bytes(16)),
        boot="0" * 32,
        ordinal=number,
        start_ms=start_ms,
        end_ms=start_ms + duration_ms,
        quality=ClockQuality.HELD,
        size_bytes=1000 + number,
        poster_bytes=number % 2 * 10,
        whole=number % 3 > 0,
        witnessed=number % 5 > 0,
        line_offset=number * 100,
        line_size=99,
        sound_bytes=number % 4 * 7,
    )


def tip(number: int) -> ChainHead:
    return ChainHead(number * 100, number, f"{number:064x}")


def test_an_empty_index_knows_nothing(index: Index) -> None:
    assert index.chain_head() == ChainHead()
    assert index.totals() == Totals()
    assert index.newest() is None
    assert list(index.oldest()) == []
    assert index.overlapping(0, 10**15) == ()
    assert index.get(entry(1).id) is None


def test_what_is_added_is_found_unchanged_and_in_order(index: Index) -> None:
    entries = [entry(number, start_ms=10_000 - number) for number in range(700)]
    for batch in itertools.batched(entries, 100) if hasattr(itertools, "batched") else [entries]:
        index.apply(tuple(batch), (), tip(batch[-1].sequence + 1))
    assert list(index.oldest()) == entries
    assert index.newest() == entries[-1]
    assert index.get(entries[5].id) == entries[5]
    assert index.chain_head() == tip(700)
    assert index.totals() == Totals(700, sum(one.stored_bytes for one in entries))
    assert sorted(one.sequence for shard in "abcdefghijklmnopqrstuvwxyz234567" for one in index.shard(shard)) == list(
        range(700)
    )
    assert all(one.id.startswith("q") for one in index.shard("q"))


def test_what_is_removed_is_gone_and_need_not_have_been_there(index: Index) -> None:
    index.apply([entry(1), entry(2)], (), tip(3))
    index.apply((), [entry(1).id, entry(9).id], tip(4))
    assert list(index.oldest()) == [entry(2)]
    assert index.totals() == Totals(1, entry(2).stored_bytes)


def test_one_change_may_remove_a_segment_and_add_it_again(index: Index) -> None:
    index.apply([entry(1)], (), tip(2))
    again = entry(1)
    index.apply([again], [again.id], tip(3))
    assert list(index.oldest()) == [again]


def mixed(number: int) -> VaultEntry:
    """Every third segment was recorded between events, in one of two boots and four chapters."""
    return replace(
        entry(number),
        continuous=number % 3 == 0,
        boot=f"{number % 2:032x}",
        line_offset=chapter_start(number // 3) + number * 100,
        dated_later=number % 4 == 0,
        start_us=number * 7,
    )


def test_segments_of_events_and_of_continuous_recording_are_listed_and_summed_apart(index: Index) -> None:
    entries = [mixed(number) for number in range(10)]
    index.apply(entries, (), tip(10))
    assert list(index.oldest()) == entries
    assert [one.sequence for one in index.oldest(continuous=True)] == [0, 3, 6, 9]
    assert [one.sequence for one in index.oldest(continuous=False)] == [1, 2, 4, 5, 7, 8]
    assert [one.sequence for one in index.oldest(after=6)] == [7, 8, 9]
    assert [one.sequence for one in index.oldest(continuous=True, after=3)] == [6, 9]
    between = sum(one.stored_bytes for one in entries if one.continuous)
    assert index.totals() == Totals(10, sum(one.stored_bytes for one in entries), between)
    index.apply((), [entries[3].id, entries[4].id], tip(12))
    left = [one for one in entries if one.sequence not in (3, 4)]
    between -= entries[3].stored_bytes
    assert index.totals() == Totals(8, sum(one.stored_bytes for one in left), between)


def test_an_index_knows_the_boots_and_which_lines_of_which_chapter_it_needs(index: Index) -> None:
    assert (index.boots(), index.line_bytes()) == (frozenset(), {})
    entries = [mixed(number) for number in range(10)]
    index.apply(entries, (), tip(10))
    assert index.boots() == {"0" * 32, "0" * 31 + "1"}
    assert index.line_bytes() == {0: 300, 1: 300, 2: 300, 3: 100}, "each line with its line feed"
    assert index.recorded_in(chapter_start(1), chapter_start(2)) == tuple(entries[3:6])
    assert index.recorded_in(entries[4].line_offset, entries[5].line_offset) == (entries[4],)


def test_the_position_of_the_scrub_is_kept_beside_what_is_recorded_meanwhile(index: Index) -> None:
    assert index.scrubbed() == -1
    index.apply([entry(1)], (), tip(2))
    index.set_scrubbed(1)
    index.apply([entry(2)], (), tip(3))
    assert index.scrubbed() == 1
    index.clear()
    assert index.scrubbed() == -1


def test_a_boot_is_undated_while_a_segment_of_it_that_was_seen_to_end_has_no_date(index: Index) -> None:
    seen = replace(entry(1), boot="1" * 32, witnessed=True)
    recovered = replace(entry(2), boot="2" * 32, witnessed=False)
    known = replace(entry(3), boot="3" * 32, witnessed=True, quality=ClockQuality.SYNCED)
    index.apply([seen, recovered, known], (), tip(4))
    assert [index.undated(digit * 32) for digit in "1234"] == [True, False, False, False]


def test_a_clock_sync_dates_the_segments_of_its_boot_that_came_before_it(index: Index) -> None:
    early, late = replace(entry(1), start_us=1_000_000), replace(entry(5), start_us=9_000_000)
    other = replace(entry(2), boot="1" * 32, start_us=2_000_000)
    index.apply([early, late, other], (), tip(6))
    at = Stamp(boot="0" * 32, at_us=3_000_000, utc_ms=1_760_000_000_000, quality=ClockQuality.SYNCED)
    index.apply((), (), tip(7), [NumberedClockSync(4, at)])
    found = index.get(early.id)
    assert found is not None
    assert found == dated(early, NumberedClockSync(4, at)) != early
    assert (found.start_ms, found.end_ms) == (1_760_000_000_000 - 2_000, 1_760_000_000_000 + 3_000)
    assert index.get(late.id) == late
    assert index.get(other.id) == other
    assert index.overlapping(found.start_ms, found.start_ms + 1) == (found,)


def test_the_index_may_be_changed_while_it_is_read(index: Index) -> None:
    index.apply([entry(number) for number in range(600)], (), tip(600))
    seen = []
    for one in index.oldest():
        index.apply((), [one.id], tip(600 + one.sequence))
        seen.append(one.sequence)
    assert seen == list(range(600))


def test_clearing_forgets_everything(index: Index) -> None:
    index.apply([entry(1)], (), tip(2))
    index.clear()
    assert index.chain_head() == ChainHead()
    assert list(index.oldest()) == []


@settings(max_examples=25, deadline=None)
@given(
    spans=st.lists(st.tuples(st.integers(-5000, 5000), st.integers(1, 3_600_000)), max_size=30),
    window=st.tuples(st.integers(-10_000, 4_000_000), st.integers(1, 100_000)),
)
def test_a_window_finds_what_overlaps_it(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]], window: tuple[int, int]
) -> None:
    entries = [entry(number, *span) for number, span in enumerate(spans)]
    found = []
    for index in (FakeIndex(), SqliteIndex(tmp_path_factory.mktemp("index") / "index.sqlite")):
        index.apply(entries, (), tip(len(entries)))
        found.append(index.overlapping(window[0], sum(window)))
        index.close()
    assert found[0] == found[1]
    assert all(one.start_ms < sum(window) and one.end_ms > window[0] for one in found[0])


def test_what_was_applied_is_there_after_opening_again(tmp_path: Path) -> None:
    for number in range(3):
        index = SqliteIndex(tmp_path / "index.sqlite")
        index.apply([entry(number)], (), tip(number + 1))
        index.close()
    assert [one.sequence for one in index.oldest()] == [0, 1, 2]
    index.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_no_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(content)
    index = SqliteIndex(path)
    with pytest.raises(StorageError, match="rebuilt"):
        index.chain_head()
    index.clear()
    assert index.chain_head() == ChainHead()
    index.close()


def test_an_index_of_another_version_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    index = SqliteIndex(path)
    index.apply([entry(1)], (), tip(2))
    index.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert index.chain_head() == ChainHead()
    index.close()


def test_a_window_is_answered_from_the_index_alone_where_nothing_matches(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path / "index.sqlite")
    index.apply([entry(1)], (), tip(2))
    index.close()
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        (plan,) = connection.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM segment WHERE start_ms > 1 AND start_ms < 2 AND end_ms > 1"
        ).fetchall()
    connection.close()
    assert "SEARCH segment USING INDEX segment_by_time (start_ms>? AND start_ms<?)" in plan[3]


# -- a copy in memory --------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an index with two segments, closed."""
    index = SqliteIndex(tmp_path / "index.sqlite")
    index.apply([entry(1), entry(2)], (), tip(3))
    index.close()
    return tmp_path / "index.sqlite"


def files(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


def test_a_copy_of_an_index_knows_what_the_file_says_and_leaves_it_alone(path: Path) -> None:
    before = files(path)
    copy = SqliteIndex(path, copied=True)
    assert list(copy.oldest()) == [entry(1), entry(2)]
    copy.apply([entry(3)], [entry(1).id], tip(4))
    assert list(copy.oldest()) == [entry(2), entry(3)]
    copy.keep_copy()
    assert not copy.restore_copy()
    copy.clear()
    assert (copy.chain_head(), list(copy.oldest())) == (ChainHead(), [])
    copy.close()
    assert files(path) == before


def test_a_copy_shows_what_a_running_doorbell_has_committed(path: Path) -> None:
    running = SqliteIndex(path)
    running.apply([entry(5)], (), tip(6))
    copy = SqliteIndex(path, copied=True)
    assert [one.sequence for one in copy.oldest()] == [1, 2, 5]
    copy.close()
    running.close()


@pytest.mark.parametrize("how", ["missing", "no database", "of another version"])
def test_a_copy_of_a_file_that_is_no_index_is_empty(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "no database":
        path.write_bytes(b"no database at all" * 500)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    before = files(path)
    copy = SqliteIndex(path, copied=True)
    assert (copy.chain_head(), list(copy.oldest())) == (ChainHead(), [])
    copy.apply([entry(1)], (), tip(2))
    assert list(copy.oldest()) == [entry(1)]
    copy.close()
    assert files(path) == before


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("is_there", [True, False])
def test_an_index_may_be_asked_from_any_thread(path: Path, is_there: bool, copied: bool) -> None:
    if not is_there:
        path.unlink()
    copy = SqliteIndex(path, copied=copied)
    found: list[int] = []
    copy.chain_head()
    thread = threading.Thread(target=lambda: found.append(len(list(copy.oldest()))))
    thread.start()
    thread.join()
    assert found == [2 if is_there else 0]
    copy.close()


def damage(path: Path) -> None:
    """A row of which the tip is no number."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute("UPDATE segment SET id = 'no id' WHERE sequence = 1")
    connection.close()


def test_a_damaged_file_is_removed_by_its_recorder_and_not_by_who_reads_a_copy(path: Path) -> None:
    damage(path)
    copy, own = SqliteIndex(path, copied=True), SqliteIndex(path)
    assert not copy.is_damaged
    for index in (copy, own):
        with pytest.raises(StorageError, match="rebuilt"):
            list(index.oldest())
        assert index.is_damaged
        assert path.exists() == (index is copy)
        with pytest.raises(StorageError, match="wrong types"):  # also what was sound: it is no index any more
            index.chain_head()
    copy.close()
    own.clear()
    assert not own.is_damaged
    assert own.chain_head() == ChainHead()
    own.close()


def test_a_tip_that_is_no_position_is_damage(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE other AS SELECT * FROM state; DROP TABLE state; ALTER TABLE other RENAME TO state;"
            "UPDATE state SET tip_offset = 'far'"
        )
    connection.close()
    index = SqliteIndex(path)
    with pytest.raises(StorageError, match="wrong types"):
        index.chain_head()
    assert index.is_damaged
    index.close()


def test_the_file_belongs_to_one_process_and_a_commit_flushes_nothing(path: Path) -> None:
    """The manifest has it all, so a flush for each segment would only wear the card."""
    index = SqliteIndex(path)
    index.chain_head()
    connection = index._connection
    assert connection is not None
    pragmas = ("locking_mode", "journal_mode", "synchronous")
    assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == ["exclusive", "wal", 1]
    index.close()


def test_an_index_on_a_disk_that_takes_no_writes_is_used_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_index: SqliteIndex) -> sqlite3.Connection:
        error = sqlite3.OperationalError("attempt to write a readonly database")
        error.sqlite_errorcode = sqlite3.SQLITE_READONLY
        raise error

    before = files(path)
    monkeypatch.setattr(SqliteIndex, "_open_file", refused)
    index = SqliteIndex(path)
    assert list(index.oldest()) == [entry(1), entry(2)]
    index.apply([entry(3)], (), tip(4))
    assert index.chain_head() == tip(4)
    index.close()
    assert files(path) == before


def test_a_copy_of_another_version_is_closed_and_an_empty_one_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    copies: list[sqlite3.Connection] = []
    monkeypatch.setattr(index_sqlite, "open_snapshot", lambda place: copies.append(open_snapshot(place)) or copies[-1])
    index = SqliteIndex(path, copied=True)
    assert list(index.oldest()) == []
    (copy,) = copies
    assert is_closed(copy)
    assert index._connection is not None
    assert index._connection.execute("PRAGMA database_list").fetchall() == [(0, "main", "")], "it has no file"
    index.close()


def test_an_index_that_is_busy_is_told_and_not_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_index: SqliteIndex) -> sqlite3.Connection:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    monkeypatch.setattr(SqliteIndex, "_open_file", busy)
    index = SqliteIndex(path)
    with pytest.raises(StorageError, match="locked"):
        index.chain_head()
    assert not index.is_damaged
    assert path.exists()


# -- the copy beside the file ------------------------------------------------------------------------------------------


def test_a_lost_index_is_had_back_from_its_copy_once(path: Path) -> None:
    index = SqliteIndex(path)
    assert not index.restore_copy(), "there is none yet"
    index.keep_copy()
    assert not path.with_name("index.sqlite.copy").exists(), "an index that was not opened is not copied"
    index.chain_head()
    index.keep_copy()
    index.apply([entry(3)], (), tip(4))
    assert index.restore_copy()
    assert (list(index.oldest()), index.chain_head()) == ([entry(1), entry(2)], tip(3))
    assert not index.restore_copy()
    index.close()
    assert set(files(path)) == {"index.sqlite"}


@pytest.mark.parametrize("act", ["clear", "restore_copy"])
def test_an_index_that_is_made_anew_keeps_nothing_of_the_old_ones_log(path: Path, act: str) -> None:
    for suffix in ("-wal", "-shm", ".copy"):
        path.with_name(path.name + suffix).write_bytes(path.read_bytes() if suffix == ".copy" else b"of before")
    index = SqliteIndex(path)
    getattr(index, act)()
    assert b"of before" not in files(path).values()
    index.close()


def test_clearing_takes_the_copy_away_too(path: Path) -> None:
    index = SqliteIndex(path)
    index.chain_head()
    index.keep_copy()
    index.clear()
    assert not index.restore_copy()
    index.close()


def test_a_copy_that_cannot_be_written_leaves_the_older_one_and_nothing_half_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = SqliteIndex(path)
    index.chain_head()
    index.keep_copy()
    index.apply([entry(3)], (), tip(4))

    def full(_index: SqliteIndex, new: Path, _connection: sqlite3.Connection) -> None:
        new.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as changed:
        changed.setattr(SqliteIndex, "_copy_to", full)
        with pytest.raises(StorageError, match="No space left") as caught:
            index.keep_copy()
    assert "tomorrow" in caught.value.remedy
    assert not path.with_name("index.sqlite.new").exists()
    assert index.restore_copy()
    assert [one.sequence for one in index.oldest()] == [1, 2]
    index.close()


def test_what_an_earlier_process_left_of_a_copy_is_in_nobodys_way(path: Path) -> None:
    path.with_name("index.sqlite.new").write_bytes(b"half a copy" * 1000)
    index = SqliteIndex(path)
    index.chain_head()
    index.keep_copy()
    assert not path.with_name("index.sqlite.new").exists()
    assert index.restore_copy()
    assert list(index.oldest()) == [entry(1), entry(2)]
    index.close()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Each connection that is opened from now on."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connecting(*arguments: object, **options: object) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))  # type: ignore[arg-type]
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connecting)
    return opened


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError as error:
        return "closed" in str(error)
    return False


def test_between_two_slices_of_a_copy_others_use_the_index_and_the_copy_is_closed_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, connections: list[sqlite3.Connection]
) -> None:
    pauses: list[tuple[float, bool]] = []
    index = SqliteIndex(path)
    lock: Any = index._lock
    monkeypatch.setattr(index_sqlite, "_COPY_PAGES", 1)
    monkeypatch.setattr(index_sqlite.time, "sleep", lambda pause_s: pauses.append((pause_s, lock._is_owned())))
    index.chain_head()
    index.keep_copy()
    assert len(pauses) > 3
    assert set(pauses) == {(index_sqlite._COPY_PAUSE_S, False)}
    assert not lock._is_owned()
    own, copy = connections
    assert [is_closed(own), is_closed(copy)] == [False, True]
    index.close()


def test_a_change_that_fails_in_its_middle_did_not_happen(path: Path) -> None:
    index = SqliteIndex(path)
    before = (list(index.oldest()), index.totals(), index.chain_head())
    with pytest.raises(OverflowError):
        index.apply([entry(3), replace(entry(4), size_bytes=1 << 64)], [entry(1).id], tip(9))
    assert (list(index.oldest()), index.totals(), index.chain_head()) == before
    index.apply([entry(3)], [entry(1).id], tip(4))
    assert list(index.oldest()) == [entry(2), entry(3)]
    index.close()


def test_a_file_that_cannot_be_made_anew_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch, connections: list[sqlite3.Connection]
) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()

    def full(_connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("out of memory")

    monkeypatch.setattr(index_sqlite, "_make_anew", full)
    index = SqliteIndex(path)
    with pytest.raises(StorageError, match="out of memory"):
        index.chain_head()
    assert all(is_closed(each) for each in connections)
    index.close()


def test_an_index_that_cannot_be_removed_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = SqliteIndex(path)
    index.chain_head()
    index.keep_copy()

    def refused(_path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(30, f"Read-only file system {missing_ok}")

    with monkeypatch.context() as changed:
        changed.setattr(Path, "unlink", refused)
        for act in (index.clear, index.restore_copy):
            with pytest.raises(StorageError, match="Read-only"):
                act()
    assert [one.sequence for one in index.oldest()] == [1, 2]
    index.close()
