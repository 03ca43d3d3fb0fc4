"""The custodian's index knows what the recorder's manifest says at each question, and reads only when it has grown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from agent.custodian import vault_follower
from agent.custodian.vault_follower import FollowingIndex
from agent.errors import StorageError
from tests.fake_disk import FakeDisk
from tests.fake_index import FakeIndex
from tests.vaults import TestVault, make_vault


@pytest.fixture
def tested() -> Iterator[TestVault]:
    made = make_vault(FakeDisk())
    yield made
    made.close()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each time that the manifest was read: whether a line might have been cut off."""
    read: list[bool] = []
    catch_up = vault_follower.catch_up

    def counted(log: Any, index: Any, *, may_cut: bool) -> None:
        read.append(may_cut)
        catch_up(log, index, may_cut=may_cut)

    monkeypatch.setattr(vault_follower, "catch_up", counted)
    return read


def test_each_question_is_answered_from_the_newest_manifest(tested: TestVault, reads: list[bool]) -> None:
    follower = FollowingIndex(tested.log, FakeIndex())
    names = []
    for number in range(3):
        names.append(tested.record())
        assert [entry.id for entry in follower.oldest()] == names
        assert (follower.totals(), follower.newest()) == (tested.vault.totals(), tested.vault.newest())
        assert follower.get(names[-1]) == tested.vault.find(names[-1])
        assert len(reads) == number + 1, "it has not grown between two questions"
    assert reads == [False] * 3, "a line that is being written is left to its writer"
    first, last = follower.get(names[0]), follower.newest()
    assert first is not None
    assert last is not None
    assert [entry.id for entry in follower.overlapping(first.start_ms, last.end_ms)] == names
    assert follower.chain_head() == tested.index.chain_head()
    assert follower.boots() == tested.index.boots()
    assert follower.line_bytes() == tested.index.line_bytes()
    assert follower.recorded_in(0, 2**40) == tested.index.recorded_in(0, 2**40)
    assert follower.shard(names[0][0]) == tested.index.shard(names[0][0])


def test_a_damaged_index_is_made_again_though_the_manifest_has_not_grown(tested: TestVault, reads: list[bool]) -> None:
    tested.record()
    index = FakeIndex()
    follower = FollowingIndex(tested.log, index)
    assert follower.newest() is not None
    index.is_damaged = True
    assert follower.is_damaged
    assert follower.newest() is not None
    assert len(reads) == 2


def test_a_manifest_that_could_not_be_read_is_read_again_at_the_next_question(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = tested.record()
    follower = FollowingIndex(tested.log, FakeIndex())
    with monkeypatch.context() as failing:
        failing.setattr(vault_follower, "catch_up", _fails)
        with pytest.raises(StorageError):
            follower.newest()
    newest = follower.newest()
    assert newest is not None
    assert newest.id == name


def _fails(*_: object, **__: object) -> None:
    raise StorageError("The disk failed.")


def test_without_a_manifest_there_is_nothing_and_nothing_is_read(reads: list[bool]) -> None:
    empty = make_vault(FakeDisk(), start=False)
    follower = FollowingIndex(empty.log, FakeIndex())
    assert (follower.newest(), list(follower.oldest())) == (None, [])
    assert reads == []


def test_how_far_the_files_were_checked_is_the_followers_own(tested: TestVault) -> None:
    follower = FollowingIndex(tested.log, FakeIndex())
    follower.set_scrubbed(7)
    assert follower.scrubbed() == 7
    assert tested.index.scrubbed() != 7


def test_the_index_is_closed_with_its_follower(tested: TestVault, monkeypatch: pytest.MonkeyPatch) -> None:
    index, closed = FakeIndex(), []
    monkeypatch.setattr(index, "close", lambda: closed.append(True), raising=False)
    FollowingIndex(tested.log, index).close()
    assert closed == [True]


def test_what_concerns_the_index_alone_goes_to_it(tested: TestVault) -> None:
    index = mock.Mock()
    follower = FollowingIndex(tested.log, index)
    follower.clear()
    follower.keep_copy()
    follower.set_scrubbed(7)
    follower.apply((), ("a",), "tip", ("sync",))  # type: ignore[arg-type]
    follower.close()
    assert index.mock_calls == [
        mock.call.clear(),
        mock.call.keep_copy(),
        mock.call.set_scrubbed(7),
        mock.call.apply((), ("a",), "tip", ("sync",)),
        mock.call.close(),
    ]
    index.restore_copy.return_value = "restored"
    index.scrubbed.return_value = 7
    index.is_damaged = "damaged"
    assert (follower.restore_copy(), follower.scrubbed(), follower.is_damaged) == ("restored", 7, "damaged")


def test_a_boot_without_a_date_is_looked_for_in_the_newest_manifest(tested: TestVault) -> None:
    follower = FollowingIndex(tested.log, FakeIndex())
    tested.record()
    (boot,) = follower.boots()
    assert follower.undated(boot) == tested.index.undated(boot)
    assert follower.undated("f" * 32) == tested.index.undated("f" * 32)
