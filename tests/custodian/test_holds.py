"""Owners' holds and deletions: within caps, in the ledger first, and effective everywhere from that moment on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.core.consent import RequestState
from agent.core.disclosure import claimed_clips
from agent.core.ledger.entries import EntryKind
from agent.core.timebase import ClockQuality
from agent.custodian.holds import LONGEST_HOLD_S
from agent.custodian.releases import FOOTAGE_DELETED
from agent.errors import RequestError
from agent.wire.control import Frame
from agent.wire.statements import Erasure, Hold, Release
from tests.custodians import NOW_S, Door, approval, complete, stated

_DAY_S = 86_400


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    yield made
    made.close()


def hold(door: Door, *segments: str, until_s: int = NOW_S + _DAY_S) -> None:
    door.obey(Hold(**stated(), segments=segments, until_s=until_s))


def erase(door: Door, *segments: str) -> None:
    door.obey(Erasure(**stated(), segments=segments))


def test_what_an_owner_holds_stays_until_its_day_and_what_they_release_goes(door: Door) -> None:
    first, second, _ = door.segments
    hold(door, first, second)
    assert door.custodian.held(100) == {first, second}
    door.obey(Release(**stated(), segments=(second,)))
    door.start()  # a power cut forgets nothing of it
    assert door.custodian.held(100) == {first}
    door.clock.advance(2 * _DAY_S)
    assert door.custodian.held(100) == set()
    door.custodian.on_time()
    assert door.custodian.holds.kept().held == {}


def test_while_nobody_vouches_for_the_clock_no_hold_ends(door: Door) -> None:
    hold(door, door.segments[0])
    door.clock.advance(2 * _DAY_S)
    door.clock.quality = ClockQuality.UNKNOWN
    assert door.custodian.held(100) == {door.segments[0]}


@pytest.mark.parametrize("until_s", [NOW_S - 200, NOW_S + LONGEST_HOLD_S + 200])
def test_a_hold_lasts_at_most_a_year_and_is_not_over_before_it_begins(door: Door, until_s: int) -> None:
    with pytest.raises(RequestError, match="between a day and a year"):
        hold(door, door.segments[0], until_s=until_s)
    assert door.custodian.held(100) == set()


def test_holds_keep_at_most_their_share_of_the_vault(door: Door) -> None:
    sizes = [door.vault.find(name).stored_bytes for name in door.segments]  # type: ignore[union-attr]
    door.held_bytes = sizes[0] + sizes[1]
    door.start()
    hold(door, *door.segments[:2])
    with pytest.raises(RequestError, match="half of the vault"):
        hold(door, door.segments[2])
    assert door.custodian.held(100) == set(door.segments[:2])


def test_what_is_not_there_can_be_neither_held_nor_deleted(door: Door) -> None:
    before = door.kinds()
    for try_it in (hold, erase):
        with pytest.raises(RequestError, match="not stored"):
            try_it(door, "a" * 26)
    assert door.kinds() == before


def test_a_deletion_is_in_the_ledger_before_anything_is_touched_and_done_only_when_the_vault_says_so(
    door: Door,
) -> None:
    first = door.segments[0]
    erase(door, first)
    assert door.kinds()[-1] == EntryKind.ERASED.value
    assert first in door.vault.kept, "nothing is touched yet"
    assert door.journal.named("erasure.") == {first: b""}
    door.start()
    assert door.custodian.erased() == {first}, "a power cut forgets no deletion"
    door.vault.evict(first)
    door.custodian.on_time()
    assert door.custodian.erased() == set()


def test_what_is_deleted_shows_matches_and_leaves_no_more(door: Door) -> None:
    before = door.ask()
    erase(door, *door.segments[:2])
    answer = door.custodian.control.answer(Frame({"op": "list", "from_ms": 0, "to_ms": 2**50})).head["result"]
    assert [each["id"] for each in answer["segments"]] == door.segments[2:]
    for operation in ("segment", "poster"):
        with pytest.raises(RequestError):
            door.custodian.control.answer(Frame({"op": operation, "id": door.segments[0]}))
    shown = door.custodian.control.answer(Frame({"op": "request", "id": before.id})).head["result"]
    assert shown["segments"] == door.segments[2:]
    with pytest.raises(RequestError):
        door.approve(before, door.segments[0])
    after = door.ask()
    assert door.journal.request(after.id).segments == (door.segments[2],)  # type: ignore[union-attr]
    erase(door, door.segments[2])
    nothing = door.ask()
    assert door.journal.request(nothing.id).state is RequestState.NO_MATCH  # type: ignore[union-attr]


@pytest.mark.parametrize("begun", [False, True], ids=["before the first byte", "while it leaves"])
def test_an_answer_on_its_way_ends_with_the_footage_that_an_owner_deletes(door: Door, begun: bool) -> None:
    with_it, without_it = door.ask(), door.ask()
    answer = door.approve(with_it, *door.segments[:2]).disclosure
    other = door.approve(without_it, door.segments[2]).disclosure
    assert answer is not None
    assert not begun or door.begin(answer)
    erase(door, door.segments[1])
    assert door.outgoing() == [other]
    assert not door.begin(answer)
    assert answer not in door.outbox.objects
    assert door.state(with_it) is (RequestState.STOPPED if begun else RequestState.REVOKED)
    assert door.state(without_it) is RequestState.APPROVED
    erased, ended = door.entries()[-2:]
    assert (erased["kind"], ended["kind"]) == ("erased", "stopped" if begun else "revoked")
    assert (ended["reason"], ended["subject"]) == (FOOTAGE_DELETED, erased["subject"])


def test_an_answer_that_only_tells_of_a_clip_ends_if_an_owner_deletes_the_clip(door: Door) -> None:
    records = {name: door.vault.record(name) for name in door.segments}
    asked, other = door.ask(), door.ask()
    told = door.obey(*approval(door, asked, segments=(), clips=claimed_clips(records, door.segments))).disclosure
    shown = door.approve(other, door.segments[0]).disclosure
    assert set(door.outgoing()) == {told, shown}
    erase(door, door.segments[2])
    assert door.outgoing() == [shown]
    assert (door.state(asked), door.entries()[-1]["reason"]) == (RequestState.REVOKED, FOOTAGE_DELETED)
    assert door.journal.named("told.") == {}


def test_an_answer_that_has_arrived_stays_as_it_ended(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    assert disclosure is not None
    assert door.begin(disclosure)
    door.hear(complete(door, asked, disclosure))
    erase(door, *door.segments)
    assert door.kinds()[-2:] == ["receipt", "erased"]
    assert door.state(asked) is RequestState.SENT


def test_deleting_ends_a_hold(door: Door) -> None:
    hold(door, door.segments[0])
    erase(door, door.segments[0])
    assert door.custodian.held(100) == set()


# -- at the edges ------------------------------------------------------------------------------------------------------


def device_s(door: Door) -> int:
    return door.clock.now().utc_ns // 10**9


def test_a_hold_may_end_a_second_from_now_and_a_leap_year_from_now_and_not_outside_of_that(door: Door) -> None:
    now_s = device_s(door)
    for until_s in (now_s, now_s + LONGEST_HOLD_S + 1):
        with pytest.raises(RequestError, match="between a day and a year"):
            hold(door, door.segments[0], until_s=until_s)
    hold(door, door.segments[0], until_s=now_s + 1)
    hold(door, door.segments[1], until_s=now_s + LONGEST_HOLD_S)
    assert door.custodian.holds.kept().held == {
        door.segments[0]: now_s + 1,
        door.segments[1]: now_s + LONGEST_HOLD_S,
    }
    door.clock.advance(1)
    assert door.custodian.held(100) == set(door.segments[:2]), "its last second is part of it"
    door.clock.advance(1)
    assert door.custodian.held(100) == {door.segments[1]}
    assert door.custodian.holds.kept().held == {door.segments[1]: now_s + LONGEST_HOLD_S}


def test_without_a_clock_the_owners_clock_says_how_long_a_hold_may_be(door: Door) -> None:
    door.clock.quality = ClockQuality.UNKNOWN
    with pytest.raises(RequestError, match="between a day and a year"):
        hold(door, door.segments[0], until_s=NOW_S + LONGEST_HOLD_S + 1)
    hold(door, door.segments[0], until_s=NOW_S + LONGEST_HOLD_S)
    assert door.custodian.held(100) == {door.segments[0]}


def test_a_renewed_hold_counts_its_segment_once_and_a_hold_too_many_is_refused(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.custodian.holds.MOST_HELD", 2)
    hold(door, *door.segments[:2])
    hold(door, *door.segments[:2], until_s=NOW_S + 2 * _DAY_S)
    with pytest.raises(RequestError, match="half of the vault"):
        hold(door, door.segments[2])
    assert set(door.custodian.holds.kept().held.values()) == {NOW_S + 2 * _DAY_S}
    door.obey(Release(**stated(), segments=(door.segments[0], "a" * 26)))
    hold(door, door.segments[2])
    assert door.custodian.held(100) == set(door.segments[1:])


def test_what_is_being_deleted_can_be_neither_held_nor_deleted_again(door: Door) -> None:
    erase(door, door.segments[0])
    before = door.kinds()
    for try_it in (hold, erase):
        with pytest.raises(RequestError, match="not stored"):
            try_it(door, door.segments[1], door.segments[0])
    assert door.kinds() == before
    assert door.custodian.held(100) == set()
    assert door.custodian.erased() == {door.segments[0]}


def test_a_hold_of_a_segment_that_is_gone_is_dropped_and_the_others_stay(door: Door) -> None:
    hold(door, *door.segments[:2])
    door.vault.evict(door.segments[0])
    door.custodian.on_time()
    assert door.custodian.holds.kept().held == {door.segments[1]: NOW_S + _DAY_S}


def test_holds_and_deletions_are_in_the_ledger_with_their_owner_and_their_number(door: Door) -> None:
    begin = len(door.entries())
    hold(door, *door.segments[:2])
    door.obey(Release(**stated(), segments=tuple(door.segments)))
    erase(door, door.segments[2])
    found = [(entry["kind"], entry["segments"], entry["reason"]) for entry in door.entries()[begin:]]
    assert found == [("held", 2, "anna"), ("released", 3, "anna"), ("erased", 1, "anna")]


def test_of_a_long_deletion_the_recorder_gets_a_part_at_a_time(door: Door) -> None:
    """It writes nothing while it deletes, and thousands at once would keep it from its watchdog on a slow card."""
    for number in range(600):
        door.journal.put(f"erasure.{number:026}", b"")
    asked: set[str] = set()
    while part := door.custodian.erased():
        assert len(part) <= 256
        asked |= part
        for name in part:
            door.journal.remove(f"erasure.{name}")
    assert len(asked) == 600
