"""Possible effects of the network at a door: an entry in a list, a prompt, an end. Never an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.consent import RequestState
from agent.core.timebase import ClockQuality, seconds
from agent.core.vault.fields import ID_BYTES, segment_id
from agent.custodian import inbox, journal_sqlite
from agent.custodian.holds import MOST_HELD as HELD_BY_OWNERS
from agent.custodian.releases import MOST_HELD
from agent.ipc.protocol import HeldSegments
from agent.ipc.rpc import ROLE_SOCKET, success
from agent.wire import area, area_opening, strictjson
from agent.wire.area import Polygon
from agent.wire.control import Frame, write_frame
from agent.wire.disclosures import ReceiptState
from agent.wire.envelope import read_unverified
from agent.wire.fields import Kind
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.limits import RequestLimits
from agent.wire.messages import Bulletin, Deletion
from agent.wire.statements import OptIn, OptOut, Scope, TrustChange
from agent.wire.topics import ReceiptTopic, RequestTopic, cell_of
from agent.wire.trust import RequesterKey, TrustedRequester
from tests import custodians
from tests.custodians import (
    DOOR,
    FIRE,
    NOW_S,
    POLICE,
    Door,
    complete,
    receipt,
    refused,
    request,
    signed,
    stated,
    withdrawal,
)
from tests.wire import samples

STRANGER = private_key_from_seed(b"x" * 32)
HOUR_S = samples.HOUR_S


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    yield made
    made.close()


@pytest.fixture(scope="module")
def busy_door() -> Iterator[Door]:
    made = Door.enrolled()
    yield made
    made.close()


def everything_but_counters(door: Door) -> Any:
    tables = [name for (name,) in door.journal._rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: door.journal._rows(f"SELECT * FROM {name}") for name in tables if name != "counter"}


def approved(door: Door) -> tuple[Any, str]:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    assert disclosure is not None
    return asked, disclosure


# -- requests ----------------------------------------------------------------------------------------------------------


def test_a_request_that_fits_waits_for_its_owner_who_is_told_once_and_neutrally(door: Door) -> None:
    door.told.news.clear()
    asked = door.ask()
    assert door.state(asked) is RequestState.PENDING
    assert door.stored(asked).segments == tuple(door.segments)
    assert door.stored(asked).certain
    assert door.kinds()[-2:] == ["received", "matched"]
    ((kind, text),) = door.told.news
    assert kind == "request"
    assert not {asked.case, asked.description, asked.requester, "police", "!"} & {*text.split(), text}


def test_without_a_match_the_owner_is_not_bothered(door: Door) -> None:
    door.told.news.clear()
    elsewhere = door.ask(area=samples.square(53.6, 10.1))
    earlier = door.ask(from_s=NOW_S - 30 * HOUR_S, to_s=NOW_S - 28 * HOUR_S)
    assert door.state(elsewhere) is door.state(earlier) is RequestState.NO_MATCH
    assert door.told.news == []


def test_a_door_that_does_not_know_where_it_is_matches_nothing() -> None:
    door = Door.enrolled(position=None)
    assert door.state(door.ask()) is RequestState.NO_MATCH
    door.close()


def test_a_segment_without_a_trusted_date_makes_the_match_a_possible_one(door: Door) -> None:
    door.vault.keep(samples.request().from_s + 1000, quality=ClockQuality.UNKNOWN)
    assert not door.stored(door.ask()).certain


def test_a_request_that_comes_again_changes_nothing_whenever_and_however_often(door: Door) -> None:
    asked = request()
    door.hear(asked)
    before = everything_but_counters(door)
    for _ in range(3):
        door.hear(asked)
    door.start()
    boot = door.kinds()[-1]
    assert boot == "boot"
    door.deny(asked)
    ended = everything_but_counters(door)
    for _ in range(3):
        door.hear(asked)
    assert everything_but_counters(door) == ended
    assert before["request"][0][0] == asked.id
    assert door.journal.counters() == {"replayed": 6}


def test_a_number_used_before_or_below_all_it_remembers_is_a_replay_in_a_new_request_too(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_sqlite, "SEQUENCE_WINDOW", 2)
    door.ask(seq=9000)
    door.ask(seq=9010)
    for seq in (9000, 8999, 1):
        assert door.state(door.ask(seq=seq)) is None
    assert door.state(door.ask(seq=9005)) is RequestState.PENDING
    assert door.state(door.ask(FIRE, seq=9000, kind=Kind.POLICE)) is RequestState.PENDING


SPOILT: dict[str, tuple[str, dict[str, Any], Ed25519PrivateKey]] = {
    "signed by a stranger": ("untrusted", {}, STRANGER),
    "under another name": ("untrusted", {"requester": "harbour-fire"}, POLICE),
    "under another root": ("untrusted", {"trust_root": "0" * 16}, POLICE),
    "as another kind": ("malformed", {"kind": Kind.COURT}, POLICE),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_no_trusted_key_vouches_for_changes_nothing_but_a_counter(door: Door, name: str) -> None:
    counter, changes, key = SPOILT[name]
    before = everything_but_counters(door)
    door.told.news.clear()
    assert door.hear(request(**changes), key) is None
    assert everything_but_counters(door) == before
    assert door.told.news == []
    assert door.journal.counters() == {counter: 1}


@pytest.mark.parametrize(
    "topic", ["", "doorward/v1/areas", "doorward/v1/areas/1-1/requests/a/" + "0" * 32, "\x00", "#"]
)
def test_a_message_on_a_topic_that_is_not_its_own_changes_nothing(door: Door, topic: str) -> None:
    before = everything_but_counters(door)
    assert door.hear(request(), topic=topic) is None
    assert everything_but_counters(door) == before
    assert door.journal.counters() == {"malformed": 1}


OVER: dict[str, dict[str, Any]] = {
    "window too short": {"from_s": NOW_S - 9 * HOUR_S, "to_s": NOW_S - 9 * HOUR_S + 60},
    "window too long": {"from_s": NOW_S - 23 * HOUR_S, "to_s": NOW_S - 9 * HOUR_S},
    "window in the future": {"from_s": NOW_S, "to_s": NOW_S + HOUR_S},
    "look-back too far": {"from_s": NOW_S - 50 * 24 * HOUR_S, "to_s": NOW_S - 50 * 24 * HOUR_S + HOUR_S},
    "area too small": {"area": samples.square(*custodians.DOOR, side_m=100)},
    "area too large": {"area": samples.square(*custodians.DOOR, side_m=2000)},
    "expired": {"not_after_s": NOW_S - 1},
    "expires too late": {"not_after_s": NOW_S + 31 * 24 * HOUR_S},
    "outside the region of this requester": {"area": samples.square(40.0, 10.0)},
}


@pytest.mark.parametrize("reason", OVER)
def test_what_is_over_a_limit_never_reaches_the_owner_but_is_listed_and_recorded(door: Door, reason: str) -> None:
    door.told.news.clear()
    asked = door.ask(**OVER[reason])
    assert door.state(asked) is None
    assert door.told.news == []
    assert [line.reason for line in door.journal.blocked()] == [reason]
    assert door.entries()[-1]["reason"] == reason
    before = everything_but_counters(door)
    door.hear(asked)
    assert everything_but_counters(door) == before
    assert door.journal.counters() == {"blocked": 1, "replayed": 1}


def test_what_was_blocked_stays_blocked_when_its_time_has_come(door: Door) -> None:
    asked = door.ask(from_s=NOW_S + HOUR_S, to_s=NOW_S + 2 * HOUR_S)
    door.vault.keep(NOW_S + HOUR_S)
    door.clock.advance(3 * HOUR_S)
    door.hear(asked)
    assert door.state(asked) is None
    assert door.journal.counters() == {"blocked": 1, "replayed": 1}


def test_of_a_flood_that_is_heard_every_day_again_no_day_brings_more_than_its_rate() -> None:
    door = Door.enrolled(limits=RequestLimits(requests_per_requester_per_day=3))
    flood = [door.ask() for _ in range(60)]
    for day in range(1, 4):
        assert len(door.journal.requests()) == 3 * day
        door.clock.advance(86_401)
        for asked in flood:
            door.hear(asked)
    door.close()


def test_a_deletion_that_comes_first_swallows_no_older_request_nor_does_any_number_of_receipts(door: Door) -> None:
    """A requester uses a number for each receipt too, and a broker hands over retained messages in any order."""
    finished, disclosure = approved(door)
    door.begin(disclosure)
    door.hear(custodians.complete(door, finished, disclosure))
    old, new = request(seq=10**6), request(seq=10**6 + 10_000)
    door.hear(deletion(finished, seq=10**6 + 9_000))
    door.hear(new)
    door.hear(old)
    assert door.state(old) is door.state(new) is RequestState.PENDING
    door.hear(old)
    assert door.journal.counters()["replayed"] == 1


STREETS = [samples.square(DOOR[0] + 0.16 + 0.01 * number, DOOR[1]) for number in range(12)]
"""18 km away and more, in the same cell."""


def test_what_is_asked_about_streets_far_away_blocks_nothing_about_this_one(door: Door) -> None:
    assert [door.state(door.ask(area=street)) for street in STREETS] == [RequestState.NO_MATCH] * 12
    assert door.state(door.ask()) is RequestState.PENDING
    assert door.state(door.ask(FIRE)) is RequestState.PENDING
    assert door.journal.blocked() == []


def test_what_is_asked_about_other_places_fills_neither_ledger_nor_journal(door: Door) -> None:
    for number in range(130):
        door.ask(area=STREETS[number % 12])
    assert len(door.journal.requests()) == door.kinds().count("received") == 100
    assert door.journal.counters()["elsewhere"] == 30
    assert door.state(door.ask()) is RequestState.PENDING


def test_a_requester_who_asks_all_day_does_not_keep_another_from_asking() -> None:
    door = Door.enrolled(limits=RequestLimits(requests_per_requester_per_day=50, requests_per_day=10))
    assert sum(door.state(door.ask()) is RequestState.PENDING for _ in range(40)) == 5
    assert [door.state(door.ask(FIRE)) for _ in range(2)] == [RequestState.PENDING, None]
    door.close()


def test_about_one_time_a_requester_asks_twice_in_vain_whatever_case_numbers_it_gives() -> None:
    door = Door.enrolled(counts_windows=True)
    asked = [door.state(door.ask(case=f"HH {number}")) for number in range(12)]
    assert asked == [RequestState.PENDING, RequestState.PENDING, *[None] * 10]
    assert {line.reason for line in door.journal.blocked()} == {"too many requests about this time"}
    assert door.state(door.ask(FIRE)) is RequestState.PENDING
    later_s = samples.request().to_s
    assert door.state(door.ask(from_s=later_s, to_s=later_s + 1200)) is RequestState.NO_MATCH
    door.close()


def test_an_opt_out_that_is_over_gives_nobody_two_more_questions_about_one_time() -> None:
    door = Door.enrolled(counts_windows=True)
    assert [door.state(door.ask()) for _ in range(2)] == [RequestState.PENDING, RequestState.PENDING]
    door.obey(OptOut(**stated(), scope=Scope.ALL))
    door.obey(OptIn(**stated(), scope=Scope.ALL))
    assert door.state(door.ask()) is None
    assert {line.reason for line in door.journal.blocked()} == {"too many requests about this time"}
    door.close()


def test_what_was_blocked_by_a_rate_is_asked_when_it_is_heard_again_on_another_day() -> None:
    door = Door.enrolled(limits=RequestLimits(requests_per_requester_per_day=3))
    for _ in range(3):
        door.ask()
    fourth = door.ask()
    assert door.state(fourth) is None
    assert [line.reason for line in door.journal.blocked()] == ["too many requests from this requester"]
    door.hear(fourth)
    assert door.kinds().count("blocked") == 1
    door.clock.advance(86_401)
    door.hear(fourth)
    assert door.state(fourth) is RequestState.PENDING
    assert door.journal.blocked() == []
    door.hear(fourth)
    assert door.journal.counters()["replayed"] == 1
    door.close()


def test_what_is_not_listed_any_more_today_may_be_asked_again_if_only_a_rate_blocked_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "_BLOCKED_PER_DAY", 1)
    door = Door.enrolled(limits=RequestLimits(requests_per_requester_per_day=1))
    door.ask()
    door.ask()
    by_rate, for_ever = door.ask(), door.ask(not_after_s=NOW_S - 1)
    assert len(door.journal.blocked()) == 1
    door.hear(for_ever)
    assert door.journal.counters() == {"blocked": 3, "replayed": 1}
    door.clock.advance(86_401)
    door.hear(by_rate)
    assert door.state(by_rate) is RequestState.PENDING
    door.close()


def test_a_case_and_a_rate_are_of_one_requester_below_one_root() -> None:
    door = Door.enrolled(limits=RequestLimits(requests_per_requester_per_day=3))
    other_root, other = private_key_from_seed(b"2" * 32), private_key_from_seed(b"o" * 32)
    root = samples.pair(other_root)
    door.obey(TrustChange(**stated(), roots_added=(root.text,)))
    key = RequesterKey(key=public_key_of(other).text, from_s=0, until_s=2 * NOW_S)
    namesake = samples.requester(id="harbour-police", name="Harbour Allotments", keys=(key,))
    trust = samples.bundle(version=1, root=root.id, requesters=(namesake,))
    door.custodian.control._trust.accept(signed(trust, other_root))
    theirs: dict[str, Any] = {"requester": "harbour-police", "trust_root": root.id}
    assert [door.state(door.ask(other, case="one", **theirs)) for _ in range(3)] == [
        RequestState.PENDING,
        RequestState.PENDING,
        None,
    ]
    assert [door.state(door.ask(other, **theirs)) for _ in range(2)] == [RequestState.PENDING, None]
    assert [door.state(door.ask(case="one")) for _ in range(2)] == [RequestState.PENDING, RequestState.PENDING]
    assert door.state(door.ask()) is RequestState.PENDING
    door.close()


def test_what_only_a_clock_sync_dated_is_nothing_to_be_asked_about(door: Door) -> None:
    for paper in door.vault.kept.values():
        paper.entry = replace(paper.entry, dated_later=True)
    assert door.state(door.ask()) is RequestState.NO_MATCH


def test_for_another_place_the_vault_is_not_even_looked_at(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[int, int]] = []
    monkeypatch.setattr(door.vault, "overlapping", lambda *window: looks.append(window) or ())
    assert door.state(door.ask(area=samples.square(DOOR[0] + 0.05, DOOR[1]))) is RequestState.NO_MATCH
    assert looks == []
    assert door.state(door.ask()) is RequestState.NO_MATCH
    assert len(looks) == 1


def test_rates_hold_per_case_per_requester_and_in_all() -> None:
    limits = RequestLimits(requests_per_requester_per_day=3, requests_per_day=7)
    door = Door.enrolled(limits=limits)
    assert [door.state(door.ask(case="one")) for _ in range(3)] == [RequestState.PENDING, RequestState.PENDING, None]
    assert [door.state(door.ask()) for _ in range(2)] == [RequestState.PENDING, None]
    assert [door.state(door.ask(FIRE)) for _ in range(2)] == [RequestState.PENDING, None]
    reasons = [line.reason for line in door.journal.blocked()]
    assert sorted(reasons) == [
        "too many requests",
        "too many requests for this case",
        "too many requests from this requester",
    ]
    door.clock.advance(86_401)
    assert door.state(door.ask(case="one")) is None
    assert door.state(door.ask()) is RequestState.PENDING
    door.close()


def test_a_trusted_key_cannot_fill_the_ledger_with_what_it_may_not_ask(door: Door) -> None:
    for _ in range(60):
        door.ask(not_after_s=NOW_S - 1)
    assert door.kinds().count("blocked") == len(door.journal.blocked()) == 32
    door.ask(FIRE, not_after_s=NOW_S - 1)
    assert door.kinds().count("blocked") == 33
    door.clock.advance(86_401)
    door.ask(not_after_s=NOW_S - 1)
    assert door.kinds().count("blocked") == 34


@settings(deadline=None)
@given(st.binary(max_size=200), st.text(max_size=40))
def test_noise_on_any_topic_changes_nothing_and_raises_nothing(busy_door: Door, data: bytes, topic: str) -> None:
    before = everything_but_counters(busy_door)
    assert busy_door.hear(data, topic=topic) is None
    assert everything_but_counters(busy_door) == before


ASKED = request()
GOOD = signed(ASKED, POLICE)


@settings(max_examples=settings().max_examples * 2, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_request_with_a_changed_byte_changes_nothing_and_raises_nothing(
    busy_door: Door, at: int, change: int
) -> None:
    before = everything_but_counters(busy_door)
    busy_door.hear(GOOD[:at] + bytes([GOOD[at] ^ change]) + GOOD[at + 1 :], topic=custodians.topic_of(ASKED))
    assert everything_but_counters(busy_door) == before


def test_while_nobody_vouches_for_the_clock_dates_are_not_judged(door: Door) -> None:
    door.clock.quality = ClockQuality.UNKNOWN
    door.clock.utc_offset_ns = 0
    assert door.state(door.ask()) is RequestState.PENDING


# -- opting out --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "value"),
    [(Scope.ALL, None), (Scope.REQUESTER, "harbour-police"), (Scope.KIND, "police"), (Scope.INCIDENT, "burglary")],
)
def test_who_opted_out_is_not_asked_until_they_opt_in_again(door: Door, scope: Scope, value: str | None) -> None:
    waiting = door.ask()
    root = samples.ROOT_KEY.id if scope is Scope.REQUESTER else None
    door.obey(OptOut(**stated(), scope=scope, value=value, trust_root=root))
    door.told.news.clear()
    assert door.state(waiting) is door.state(door.ask()) is RequestState.OPTED_OUT
    assert door.told.news == []
    door.obey(OptIn(**stated(), scope=scope, value=value, trust_root=root))
    assert door.state(door.ask()) is RequestState.PENDING


def test_an_opt_out_of_a_requester_does_not_cover_a_namesake_under_another_root(door: Door) -> None:
    namesake, other_root = namesake_of_the_police(door)
    waiting = door.ask(), door.ask(namesake, trust_root=other_root)
    of_theirs = {"scope": Scope.REQUESTER, "value": "harbour-police", "trust_root": other_root}
    of_ours = {**of_theirs, "trust_root": samples.ROOT_KEY.id}
    door.obey(OptOut(**stated(), **of_theirs))
    assert [door.state(each) for each in waiting] == [RequestState.PENDING, RequestState.OPTED_OUT]
    assert door.state(door.ask()) is RequestState.PENDING
    assert door.state(door.ask(namesake, trust_root=other_root)) is RequestState.OPTED_OUT
    door.obey(OptIn(**stated(), **of_ours))  # of the other namesake, so it lifts nothing
    assert door.state(door.ask(namesake, trust_root=other_root)) is RequestState.OPTED_OUT
    door.obey(OptIn(**stated(), **of_theirs))
    assert door.state(door.ask(namesake, trust_root=other_root)) is RequestState.PENDING


def test_an_opt_out_that_does_not_cover_a_request_leaves_it_alone(door: Door) -> None:
    waiting = door.ask()
    door.obey(OptOut(**stated(), scope=Scope.KIND, value="insurer"))
    assert door.state(waiting) is door.state(door.ask()) is RequestState.PENDING


# -- withdrawals -------------------------------------------------------------------------------------------------------


def test_its_requester_can_take_a_request_back(door: Door) -> None:
    asked = door.ask()
    door.hear(withdrawal(asked))
    assert door.state(asked) is RequestState.WITHDRAWN
    door.hear(withdrawal(asked))
    assert door.journal.counters() == {"unexpected": 1}


def test_nobody_else_can(door: Door) -> None:
    asked = door.ask()
    before = everything_but_counters(door)
    others = withdrawal(asked, requester="harbour-fire")
    door.hear(others, FIRE, topic=RequestTopic("287-379", "harbour-fire", 0))
    door.hear(withdrawal(asked), STRANGER)
    assert everything_but_counters(door) == before
    assert door.journal.counters() == {"unexpected": 1, "untrusted": 1}
    other = door.ask()
    door.hear(withdrawal(other, seq=9000))
    before = everything_but_counters(door)
    door.hear(withdrawal(asked, seq=9000))
    assert everything_but_counters(door) == before
    assert door.journal.counters() == {"unexpected": 1, "untrusted": 1, "replayed": 1}


def test_a_namesake_under_another_root_the_owner_trusts_cannot_either(door: Door) -> None:
    other_root, namesake = private_key_from_seed(b"R" * 32), private_key_from_seed(b"N" * 32)
    door.obey(TrustChange(**stated(), roots_added=(samples.pair(other_root).text,)))
    entry = samples.requester(
        keys=(custodians.RequesterKey(key=public_key_of(namesake).text, from_s=0, until_s=2 * NOW_S),)
    )
    theirs = samples.bundle(root=samples.pair(other_root).id, version=1, requesters=(entry,))
    door.custodian.control._trust.accept(signed(theirs, other_root))
    trust_root = samples.pair(other_root).id
    asked, disclosure = approved(door)
    assert door.state(door.ask(namesake, trust_root=trust_root)) is RequestState.PENDING  # it may ask for itself
    door.hear(withdrawal(asked, trust_root=trust_root), namesake)
    assert door.state(asked) is RequestState.APPROVED
    door.begin(disclosure)
    assert door.hear(complete(door, asked, disclosure, trust_root=trust_root), namesake) is None
    assert door.hear(refused(asked, disclosure, trust_root=trust_root), namesake) is None
    assert door.state(asked) is RequestState.SENDING


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, door: Door) -> list[int]:
    """Records how deep in a decision the door was, each time it measured the countable part of an area."""
    depths: list[int] = []
    count = area.opened_rows

    def rows(*outline: Any) -> Any:
        depths.append(door.journal._depth)
        return count(*outline)

    monkeypatch.setattr(area_opening, "opened_rows", rows)
    area_opening.opens.cache_clear()
    return depths


def test_no_owner_waits_while_an_outline_is_measured(door: Door, measured: list[int]) -> None:
    asked = door.ask()
    assert door.state(asked) is RequestState.PENDING
    assert measured == [0]
    area_opening.opens.cache_clear()
    door.hear(asked)  # a broker repeats it: nothing is measured again
    assert measured == [0]


def test_what_is_over_a_rate_is_not_measured(door: Door, measured: list[int]) -> None:
    """A requester with a valid key could keep a small board busy for as long as it likes, with new outlines."""
    for number in range(40):
        area_opening.opens.cache_clear()
        hour_s = NOW_S - (number + 2) * HOUR_S
        door.ask(from_s=hour_s, to_s=hour_s + 1800, area=samples.square(*DOOR, side_m=500 + number))
    assert len(door.journal.requests()) == len(measured) == RequestLimits().requests_per_requester_per_day


def a_flask(length_m: int) -> Polygon:
    """A square around the door with a neck that is too narrow to count, and makes up the size."""
    neck = ((-50, 80), (-50, length_m), (50, length_m), (50, 80))
    return samples.outline(*DOOR, (-80, -80), (-80, 80), *neck, (80, 80), (80, -80))


def test_after_sixteen_areas_that_are_too_small_no_more_are_measured_until_another_day(
    door: Door, measured: list[int]
) -> None:
    for number in range(40):
        door.ask(area=a_flask(800 + number))
    assert [line.reason for line in door.journal.blocked()].count("area too small") == 16
    assert len(measured) == 16
    right = door.ask()
    assert door.state(right) is None
    assert door.state(door.ask(FIRE)) is RequestState.PENDING, "another requester asks as before"
    door.clock.advance(86_401)
    door.hear(right)
    assert door.state(right) is RequestState.PENDING, "it was over a rate, and is heard again"


@pytest.mark.parametrize("unusable", ["reply key", "region", "unannounced"])
def test_a_request_that_fails_another_check_is_not_measured(
    door: Door, measured: list[int], monkeypatch: pytest.MonkeyPatch, unusable: str
) -> None:
    """It counts against no rate, so a requester could send such outlines without end."""
    changes: dict[str, Any] = {"reply": samples.RECIPIENT} if unusable == "reply key" else {}
    if unusable == "region":
        monkeypatch.setattr(TrustedRequester, "may_ask_about", lambda *_: False)
    if unusable == "unannounced":
        monkeypatch.setattr(door.custodian.custodian_state.trust, "is_announced", lambda _requester: False)
    for number in range(2):
        assert door.state(door.ask(area=samples.square(*DOOR, side_m=500 + number), **changes)) is None
    assert measured == []


def test_a_door_elsewhere_measures_no_outline(door: Door, measured: list[int]) -> None:
    assert door.state(door.ask(area=samples.square(53.6, 10.1))) is RequestState.NO_MATCH
    assert measured == []


def test_a_requester_who_takes_anothers_id_first_silences_nobody(door: Door) -> None:
    wanted = request(POLICE)
    copied = door.ask(FIRE, id=wanted.id, area=samples.square(53.6, 10.1), reply=wanted.reply)
    door.hear(wanted, POLICE)
    stored = door.journal.request_named(custodians.sha256_of(wanted))
    assert stored is not None
    assert (stored.state, stored.requester, stored.said_id) == (RequestState.PENDING, "harbour-police", wanted.id)
    assert door.journal.request_named(custodians.sha256_of(copied)).state is RequestState.NO_MATCH  # type: ignore[union-attr]
    verdict = door.obey(*custodians.approval(door, wanted, *stored.segments))
    sent = verdict.disclosure
    assert sent is not None
    assert door.begin(sent)
    approved = next(entry for entry in door.entries() if entry["kind"] == "approved")
    assert (approved["request"], approved["requester"]) == (wanted.id, "harbour-police")
    door.hear(withdrawal(copied), FIRE)  # ended already: nothing
    assert door.hear(complete(door, wanted, sent), POLICE) is not None
    assert door.journal.request_named(custodians.sha256_of(wanted)).state is RequestState.SENT  # type: ignore[union-attr]


def test_a_withdrawal_drops_what_was_approved_and_stops_what_is_being_sent(door: Door) -> None:
    (first, _), (second, disclosure) = approved(door), approved(door)
    door.begin(disclosure)
    for asked in (first, second):
        door.hear(withdrawal(asked))
    assert (door.state(first), door.state(second)) == (RequestState.WITHDRAWN, RequestState.STOPPED)
    assert door.outbox.objects == {}
    assert door.outgoing() == []


# -- receipts ----------------------------------------------------------------------------------------------------------


def test_only_a_receipt_for_all_of_it_makes_it_sent(door: Door) -> None:
    asked, disclosure = approved(door)
    door.begin(disclosure)
    partial = receipt(asked, disclosure, manifest=None)
    assert door.hear(partial) == partial
    assert door.state(asked) is RequestState.SENDING
    whole = complete(door, asked, disclosure)
    assert door.hear(whole) == whole
    assert door.state(asked) is RequestState.SENT
    assert door.entries()[-1]["kind"] == "receipt"
    assert door.outbox.objects == {}


@pytest.mark.parametrize("state", [ReceiptState.PARTIAL, ReceiptState.COMPLETE])
def test_the_first_receipt_may_have_the_lowest_number(door: Door, state: ReceiptState) -> None:
    asked, disclosure = approved(door)
    door.begin(disclosure)
    made = receipt(asked, disclosure, seq=1, manifest=None)
    if state is ReceiptState.COMPLETE:
        made = complete(door, asked, disclosure, seq=1)
    assert door.hear(made) == made


def test_a_receipt_that_names_other_bytes_than_ours_counts_for_nothing(door: Door) -> None:
    asked, disclosure = approved(door)
    door.begin(disclosure)
    assert door.hear(complete(door, asked, disclosure, manifest="00" * 32)) is None
    assert door.state(asked) is RequestState.SENDING


def test_a_receipt_for_what_has_not_begun_counts_for_nothing(door: Door) -> None:
    asked, disclosure = approved(door)
    assert door.hear(complete(door, asked, disclosure)) is None
    assert door.state(asked) is RequestState.APPROVED


@pytest.mark.parametrize("begun", [False, True])
def test_a_requester_that_refuses_ends_it(door: Door, begun: bool) -> None:
    asked, disclosure = approved(door)
    if begun:
        door.begin(disclosure)
    assert door.hear(refused(asked, disclosure)) is not None
    assert door.state(asked) is RequestState.STOPPED
    assert door.outbox.objects == {}


def test_receipts_of_others_of_strangers_old_ones_and_for_nothing_change_nothing(door: Door) -> None:
    asked, disclosure = approved(door)
    door.begin(disclosure)
    newest = receipt(asked, disclosure, manifest=None)
    door.hear(newest)
    before = everything_but_counters(door)
    whole = complete(door, asked, disclosure)
    theirs = complete(door, asked, disclosure, requester="harbour-fire")
    assert door.hear(theirs, FIRE) is None
    assert door.hear(whole, STRANGER) is None
    assert door.hear(newest) is None
    assert door.hear(complete(door, asked, disclosure, request="00" * 16)) is None
    assert door.hear(receipt(asked, "00" * 16, manifest=None)) is None
    assert everything_but_counters(door) == before
    assert door.journal.counters() == {"replayed": 1, "unexpected": 3, "untrusted": 1}


@pytest.mark.parametrize("state", [ReceiptState.PARTIAL, ReceiptState.REFUSED, ReceiptState.COMPLETE])
def test_after_its_end_no_receipt_matters(door: Door, state: ReceiptState) -> None:
    asked, disclosure = approved(door)
    late = complete(door, asked, disclosure) if state is ReceiptState.COMPLETE else receipt(asked, disclosure)
    door.revoke(disclosure)
    before = everything_but_counters(door)
    assert door.hear(late) is None
    assert everything_but_counters(door) == before


def namesake_of_the_police(door: Door) -> tuple[Ed25519PrivateKey, str]:
    """The key of a requester with the same id below another root that the owner trusts, and that root's id."""
    root_key, key = private_key_from_seed(b"R" * 32), private_key_from_seed(b"N" * 32)
    root = samples.pair(root_key)
    door.obey(TrustChange(**stated(), roots_added=(root.text,)))
    entry = samples.requester(keys=(RequesterKey(key=public_key_of(key).text, from_s=0, until_s=2 * NOW_S),))
    door.custodian.control._trust.accept(signed(samples.bundle(root=root.id, version=1, requesters=(entry,)), root_key))
    return key, root.id


def bulletin(**changes: Any) -> Any:
    values = {"id": custodians.new_id(), "seq": next(custodians._numbers), **changes}
    return msgspec.structs.replace(samples.EVERY_MESSAGE["bulletin"], **values)


def bulletins(door: Door) -> list[Any]:
    shown = door.custodian.control.answer(Frame({"op": "bulletins"})).head["result"]["bulletins"]
    return [strictjson.decode(read_unverified(custodians.opened(each)).payload, Bulletin) for each in shown]


def test_bulletins_are_listed_newest_first_and_answered_by_nobody(door: Door) -> None:
    told, states = list(door.told.news), door.journal.requests()
    first, second = bulletin(area=None), bulletin(area=samples.CIRCLE)
    for each in (first, second, first):
        assert door.hear(each) is None
        door.clock.advance(1)
    assert bulletins(door) == [second, first]
    assert door.journal.counters() == {"bulletin": 2, "replayed": 1}
    assert (door.told.news, door.journal.requests(), door.outgoing()) == (told, states, [])


def test_bulletins_of_a_kind_that_the_owner_opted_out_of_are_not_listed_and_its_requests_are(door: Door) -> None:
    door.obey(OptOut(**stated(), scope=Scope.BULLETINS, value="police"))
    door.hear(bulletin(area=None))
    assert bulletins(door) == []
    assert door.journal.counters() == {"bulletin": 1}, "from outside nothing differs"
    door.obey(OptIn(**stated(), scope=Scope.BULLETINS, value="police"))
    door.hear(bulletin(area=None))
    assert len(bulletins(door)) == 1


def test_bulletins_for_elsewhere_for_yesterday_and_too_many_are_not_listed(door: Door) -> None:
    door.hear(bulletin(area=samples.Circle(lat=53.5561, lon=9.9661, radius_m=300)))
    assert door.journal.counters() == {"bulletin": 1}, "it came from a known requester and is in its form"
    door.hear(bulletin(not_after_s=NOW_S - 1))
    assert bulletins(door) == []
    for _ in range(20):
        door.hear(bulletin())
    assert len(bulletins(door)) == 8
    for _ in range(5):
        door.clock.advance(86_401)
        for _ in range(8):
            door.hear(bulletin(not_after_s=NOW_S + 10 * 86_400))
    assert len(bulletins(door)) == 32


def test_a_doorbell_without_a_place_lists_only_what_concerns_every_place() -> None:
    door = Door.enrolled(position=None)
    here, everywhere = bulletin(area=samples.CIRCLE), bulletin(area=None)
    for each in (here, everywhere):
        door.hear(each)
    assert bulletins(door) == [everywhere]
    door.close()


def test_a_bulletin_counts_until_the_end_of_its_last_second(door: Door) -> None:
    now_s = door.clock.now().utc_ns // 10**9
    last, over = bulletin(not_after_s=now_s), bulletin(not_after_s=now_s - 1)
    for each in (over, last):
        door.hear(each)
    assert bulletins(door) == [last]


def test_a_requesters_bulletins_of_the_last_twenty_four_hours_count_to_the_millisecond(door: Door) -> None:
    until_s = NOW_S + 10 * 86_400
    for _ in range(8):
        door.hear(bulletin(not_after_s=until_s))
    for ahead_s, listed in ((86_400, 8), (0.001, 9)):
        door.clock.advance(ahead_s)
        door.hear(bulletin(not_after_s=until_s))
        assert len(bulletins(door)) == listed


def test_a_namesake_under_another_root_uses_up_no_bulletins_of_the_other(door: Door) -> None:
    namesake, root = namesake_of_the_police(door)
    for _ in range(20):
        door.hear(bulletin(trust_root=root), namesake)
    assert len(bulletins(door)) == 8
    until_s = NOW_S + 2 * 86_400
    ours = bulletin(not_after_s=until_s)
    door.hear(ours)
    assert ours in bulletins(door)
    door.clock.advance(86_401)
    same_id = bulletin(id=ours.id, trust_root=root, not_after_s=until_s)
    again = bulletin(id=ours.id, not_after_s=until_s)
    for each, by in ((same_id, namesake), (again, POLICE)):
        door.hear(each, by)  # in the same millisecond: neither takes the place of the other
    assert {each.trust_root for each in bulletins(door) if each.id == ours.id} == {root, ours.trust_root}
    assert sum(each.id == ours.id for each in bulletins(door)) == 3


def test_a_namesake_under_another_root_uses_up_no_lines_of_the_others_blocked_list(door: Door) -> None:
    namesake, root = namesake_of_the_police(door)
    for _ in range(40):
        door.ask(namesake, trust_root=root, not_after_s=NOW_S - 1)
    assert len(door.journal.blocked()) == 32
    door.ask(not_after_s=NOW_S - 1)
    assert len(door.journal.blocked()) == door.kinds().count("blocked") == 33
    assert [line.root for line in door.journal.blocked()].count(samples.ROOT_KEY.id) == 1


# -- what the requester says of what it received -----------------------------------------------------------------------


def shown(door: Door, asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = door.custodian.control.answer(Frame({"op": "request", "id": asked.id})).head["result"]
    return found


def deletion(asked: Any, **changes: Any) -> Deletion:
    values = {"v": 1, "request": asked.id, "requester": asked.requester, "trust_root": asked.trust_root}
    values |= {"seq": next(custodians._numbers), "deleted_s": NOW_S}
    return Deletion(**{**values, **changes})


def test_receipt_and_deletion_are_kept_as_they_were_signed_for_the_owner_to_see(door: Door) -> None:
    asked, disclosure = approved(door)
    door.begin(disclosure)
    receipt = signed(custodians.complete(door, asked, disclosure, retention_days=180), POLICE)
    door.hear(receipt, topic=ReceiptTopic(samples.DEVICE_KEY.id, disclosure))
    assert custodians.opened(shown(door, asked)["receipt"]) == receipt
    assert shown(door, asked)["deletion"] is None
    statement = signed(deletion(asked), POLICE)
    where = custodians.topic_of(asked)
    for _ in range(2):
        door.hear(statement, topic=where)
    assert custodians.opened(shown(door, asked)["deletion"]) == statement
    assert door.state(asked) is RequestState.SENT
    assert door.kinds()[-2:] == ["receipt", "deleted"]
    door.hear(deletion(asked), topic=where)
    assert door.kinds().count("deleted") == 1


def test_a_deletion_that_comes_again_is_counted_as_a_replay(door: Door) -> None:
    asked, disclosure = approved(door)
    door.begin(disclosure)
    said = deletion(asked)
    for _ in range(2):
        door.hear(said)
    assert door.journal.counters() == {"replayed": 1}


def test_a_request_of_somebody_the_owner_was_not_told_of_is_counted_as_one_of_a_stranger(door: Door) -> None:
    door.custodian.custodian_state.trust.is_announced = lambda _requester: False  # type: ignore[method-assign]
    door.hear(request())
    assert door.journal.counters() == {"untrusted": 1}


def test_after_a_deletion_nothing_is_sent_that_the_requester_has_no_key_for(door: Door) -> None:
    waiting, (ready, _), (going, disclosure) = door.ask(), approved(door), approved(door)
    door.begin(disclosure)
    for asked in (waiting, ready, going):
        door.hear(deletion(asked), topic=custodians.topic_of(asked))
    assert [door.state(asked) for asked in (waiting, ready, going)] == [
        RequestState.WITHDRAWN, RequestState.WITHDRAWN, RequestState.STOPPED,
    ]  # fmt: skip
    assert [shown(door, asked)["deletion"] is not None for asked in (waiting, ready, going)] == [False, False, True]
    before = everything_but_counters(door)
    door.hear(deletion(going), topic=custodians.topic_of(going))
    assert (everything_but_counters(door), door.journal.counters()) == (before, {"unexpected": 1})


def test_a_deletion_of_what_has_ended_unsent_or_of_anothers_changes_nothing(door: Door) -> None:
    asked = door.ask()
    door.hear(deletion(asked), topic=custodians.topic_of(asked))
    before = everything_but_counters(door)
    door.hear(deletion(asked), topic=custodians.topic_of(asked))
    assert everything_but_counters(door) == before
    approved_one, disclosure = approved(door)
    door.begin(disclosure)
    after = everything_but_counters(door)
    theirs = deletion(approved_one, requester="harbour-fire")
    door.hear(theirs, FIRE, topic=RequestTopic(cell_of(*DOOR), "harbour-fire", 0))
    assert everything_but_counters(door) == after
    assert door.journal.counters() == {"unexpected": 2}
    assert before != after


# -- time --------------------------------------------------------------------------------------------------------------


def test_what_waits_expires_at_its_end_and_what_is_approved_a_week_later(door: Door) -> None:
    waiting = door.ask()
    (ready, _), (going, disclosure) = approved(door), approved(door)
    door.begin(disclosure)
    door.clock.boot_ns += seconds(waiting.not_after_s - NOW_S)
    door.custodian.requests.on_time()
    assert door.state(waiting) is RequestState.PENDING
    door.clock.advance(1)
    door.custodian.requests.on_time()
    assert [door.state(each) for each in (waiting, ready, going)] == [
        RequestState.EXPIRED,
        RequestState.APPROVED,
        RequestState.SENDING,
    ]
    door.clock.advance(7 * 86_400)
    door.custodian.requests.on_time()
    assert [door.state(each) for each in (waiting, ready, going)] == [
        RequestState.EXPIRED,
        RequestState.EXPIRED,
        RequestState.STOPPED,
    ]
    assert door.outbox.objects == {}


def test_while_nobody_vouches_for_the_clock_nothing_expires(door: Door) -> None:
    waiting = door.ask()
    door.clock.quality = ClockQuality.UNKNOWN
    door.clock.advance(10**8)
    door.custodian.requests.on_time()
    assert door.state(waiting) is RequestState.PENDING


def test_at_most_half_of_what_is_stored_is_held(door: Door) -> None:
    door.ask()
    requests = door.custodian.requests
    assert requests.held(door.vault.totals().segments) == {door.segments[0]}
    assert requests.held(100) == set(door.segments)
    assert requests.held(0) == frozenset()


def test_the_names_of_all_held_segments_fit_into_the_answer_to_the_recorder(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A requester who asks for each half day of a large vault must not keep the recorder from evicting."""
    asked: list[int] = []

    def held_segments(most: int) -> frozenset[str]:
        asked.append(most)
        return frozenset()

    monkeypatch.setattr(door.journal, "held_segments", held_segments)
    requests = door.custodian.requests
    requests.held(2 * MOST_HELD + 2)
    requests.held(2 * MOST_HELD - 2)
    assert asked == [MOST_HELD, MOST_HELD - 1]
    names = tuple(segment_id(number.to_bytes(ID_BYTES)) for number in range(MOST_HELD + HELD_BY_OWNERS))
    assert len(write_frame(success(HeldSegments(names, 2**53)), ROLE_SOCKET.answer)) < 4 << 20
