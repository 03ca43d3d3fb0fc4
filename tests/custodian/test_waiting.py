"""Deliberate waits: an approval before its first byte leaves, and news of a request until the night ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.core.consent import RequestState
from agent.core.timebase import NS_PER_S, ClockQuality
from agent.wire.control import Frame
from agent.wire.statements import OptIn, OptOut, Scope
from tests.custodians import NOW_S, Door, stated

_MINUTE_S = 60
NOW_MINUTE = NOW_S // 60 % 1440


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled(delay_s=10 * _MINUTE_S)
    yield made
    made.close()


def later(door: Door, seconds: int) -> None:
    door.clock.boot_ns += seconds * NS_PER_S
    door.custodian.requests.on_time()


def waits_s(door: Door, request: str) -> Any:
    return door.custodian.control.answer(Frame({"op": "request", "id": request}, b"")).head["result"]["waits_s"]


# -- before the first byte ---------------------------------------------------------------------------------------------


def test_an_approval_leaves_no_earlier_than_its_owner_wished(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked, door.segments[0]).disclosure
    assert disclosure is not None
    assert door.outgoing() == []
    assert not door.begin(disclosure)
    assert waits_s(door, asked.id) == 600
    later(door, 599)
    assert waits_s(door, asked.id) == 1
    assert not door.begin(disclosure)
    later(door, 1)
    assert waits_s(door, asked.id) == 0
    assert door.outgoing() == [disclosure]
    assert door.begin(disclosure)
    assert waits_s(door, asked.id) is None


def test_until_then_any_owner_can_take_it_back_and_nothing_was_sent(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked, door.segments[0]).disclosure
    assert disclosure is not None
    later(door, 300)
    assert door.revoke(disclosure).state is RequestState.REVOKED
    later(door, 3600)
    assert door.outgoing() == []
    assert door.outbox.objects == {}
    assert waits_s(door, asked.id) is None


def test_the_wait_of_a_disclosure_that_has_ended_takes_no_memory(door: Door) -> None:
    for _ in range(2):
        disclosure = door.approve(door.ask(), door.segments[0]).disclosure
        assert disclosure is not None
        door.outgoing()
        door.revoke(disclosure)
    assert door.custodian.releases._delay._ripe_ns == {}


def test_a_restart_begins_the_wait_anew(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked, door.segments[0]).disclosure
    assert disclosure is not None
    door.outgoing()
    later(door, 599)
    door.start()
    assert door.outgoing() == []
    later(door, 599)
    assert not door.begin(disclosure)
    later(door, 1)
    assert door.begin(disclosure)


def test_without_a_delay_nothing_waits() -> None:
    door = Door.enrolled()
    asked = door.ask()
    disclosure = door.approve(asked, door.segments[0]).disclosure
    assert waits_s(door, asked.id) == 0
    assert door.outgoing() == [disclosure]
    door.close()


# -- quiet hours -------------------------------------------------------------------------------------------------------


def hours(first_minute: int, last_minute: int) -> str:
    return "-".join(f"{minute // 60 % 24:02}{minute % 60:02}" for minute in (first_minute, last_minute))


def test_in_quiet_hours_a_request_waits_untold_and_is_told_once_they_end(door: Door) -> None:
    door.obey(OptOut(**stated(), scope=Scope.HOURS, value=hours(NOW_MINUTE - 1, NOW_MINUTE + 30)))
    door.told.news.clear()
    asked = door.ask()
    assert door.state(asked) is RequestState.PENDING
    later(door, 28 * _MINUTE_S)
    assert door.told.news == []
    later(door, 2 * _MINUTE_S)
    assert [kind for kind, _ in door.told.news] == ["request"]
    later(door, _MINUTE_S)
    assert len(door.told.news) == 1


def test_quiet_hours_end_no_request_and_cost_no_answer(door: Door) -> None:
    asked = door.ask()
    door.obey(OptOut(**stated(), scope=Scope.HOURS, value=hours(NOW_MINUTE - 1, NOW_MINUTE + 30)))
    assert door.state(asked) is RequestState.PENDING
    assert door.approve(asked, door.segments[0]).state is RequestState.APPROVED


@pytest.mark.parametrize(
    ("first", "last", "until_s", "quality"),
    [
        (1, 30, None, ClockQuality.SYNCED),
        (-30, 0, None, ClockQuality.SYNCED),
        (-1, 30, NOW_S - 5, ClockQuality.SYNCED),
        (-1, 30, None, ClockQuality.UNKNOWN),
    ],
)
def test_outside_of_them_after_their_end_or_without_a_clock_news_comes_at_once(
    first: int, last: int, until_s: int | None, quality: ClockQuality
) -> None:
    door = Door.enrolled()
    value = hours(NOW_MINUTE + first, NOW_MINUTE + last)
    door.obey(OptOut(**stated(), scope=Scope.HOURS, value=value, until_s=until_s))
    door.clock.quality = quality
    door.told.news.clear()
    door.ask()
    assert [kind for kind, _ in door.told.news] == ["request"]
    door.close()


def test_a_start_within_quiet_hours_reminds_of_nothing_until_they_end(door: Door) -> None:
    door.ask()
    door.obey(OptOut(**stated(), scope=Scope.HOURS, value=hours(NOW_MINUTE - 1, NOW_MINUTE + 30)))
    door.told.news.clear()
    door.start()
    assert door.told.news == []
    later(door, 31 * _MINUTE_S)
    assert [kind for kind, _ in door.told.news] == ["request"]


def test_quiet_hours_are_lifted_like_every_opt_out_and_listed_apart(door: Door) -> None:
    value = hours(NOW_MINUTE - 1, NOW_MINUTE + 30)
    door.obey(OptOut(**stated(), scope=Scope.HOURS, value=value))
    listed = door.custodian.control.answer(Frame({"op": "requests"}, b"")).head["result"]
    assert (listed["opt_outs"], [each["value"] for each in listed["quiet_hours"]]) == ([], [value])
    door.obey(OptIn(**stated(), scope=Scope.HOURS, value=value))
    door.told.news.clear()
    door.ask()
    assert len(door.told.news) == 1
