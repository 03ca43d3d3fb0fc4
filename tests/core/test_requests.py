"""Admission: a request that was seen before, is over a limit or out of its region changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.admission import (
    ELSEWHERE_IN_ALL,
    ELSEWHERE_OF_ONE,
    Accepted,
    Blocked,
    CaseHashes,
    Elsewhere,
    Replayed,
    admit,
)
from agent.core.consent import RequestState
from agent.core.requests import (
    SEQUENCE_WINDOW,
    ActiveOptOut,
    StoredRequest,
    Terms,
    is_replay,
    opted_out,
    trusted_seconds,
    utc_minute,
)
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.errors import InternalError, RequestError
from agent.wire import strictjson
from agent.wire.fields import Incident, Kind
from agent.wire.inbound import InboundMessage, VerifiedMessage
from agent.wire.limits import RequestLimits
from agent.wire.messages import FootageRequest
from agent.wire.statements import OptOut, Scope
from agent.wire.trust import EntryLimits, TrustedRequester
from tests.wire import samples

NOW = ClockReading(BootNs(10**12), UtcNs(samples.NOW_S * NS_PER_S), ClockQuality.SYNCED)
LOST = replace(NOW, utc_ns=UtcNs(0), quality=ClockQuality.UNKNOWN)
DAY_MS = 86_400_000
LIMITS = RequestLimits()
MARKS = CaseHashes(b"m" * 32, log2_work_factor=1)
ACCEPTED = Accepted(MARKS.of(samples.request().trust_root, "harbour-police", samples.request().case))


@dataclass
class Past:
    """The `History` port, as told."""

    ids: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)
    in_case: int = 0
    about: int = 0
    windows: list[tuple[int, int]] = field(default_factory=list)
    elsewhere_of_one: int = 0
    elsewhere: int = 0
    from_requester: int = 0
    in_all: int = 0
    since_ms: list[int] = field(default_factory=list)

    def has_request(self, whose: tuple[str, str], request: str) -> bool:
        assert whose == (samples.ROOT_KEY.id, "harbour-police")
        return request in self.ids

    oldest: int = 0

    def has_sequence(self, numbers: str, seq: int) -> bool:
        assert numbers == f"{samples.REQUESTER_KEY.id} application/vnd.doorward.footage-request+json"
        return seq in self.numbers

    def oldest_sequence(self, numbers: str) -> int:
        assert numbers == f"{samples.REQUESTER_KEY.id} application/vnd.doorward.footage-request+json"
        return self.oldest

    def requests_in_case(self, case_mark: str) -> int:
        assert case_mark == MARKS.of(samples.request().trust_root, "harbour-police", samples.request().case)
        return self.in_case

    def requests_since(self, since_ms: int, whose: tuple[str, str] | None = None) -> int:
        self.since_ms.append(since_ms)
        assert whose in (None, (samples.ROOT_KEY.id, "harbour-police"))
        return self.in_all if whose is None else self.from_requester

    def requests_about(self, whose: tuple[str, str], from_s: int, to_s: int) -> int:
        assert whose == (samples.ROOT_KEY.id, "harbour-police")
        self.windows.append((from_s, to_s))
        return self.about

    def requests_elsewhere(self, since_ms: int, whose: tuple[str, str] | None = None) -> int:
        self.since_ms.append(since_ms)
        assert whose in (None, (samples.ROOT_KEY.id, "harbour-police"))
        return self.elsewhere if whose is None else self.elsewhere_of_one

    def blocked_since(self, since_ms: int, whose: tuple[str, str]) -> int:
        return 0


def trusted(**changes: object) -> TrustedRequester:
    entry = samples.requester()
    regions = tuple(region.bounds for region in entry.regions)
    made = TrustedRequester(
        samples.ROOT_KEY.id, entry.id, entry.name, entry.kind, samples.REQUESTER_KEY, regions, EntryLimits()
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def inbound(message: InboundMessage | None = None, requester: TrustedRequester | None = None) -> VerifiedMessage:
    return VerifiedMessage(message or samples.request(), requester or trusted(), b"", samples.SHA)


def verdict(
    message: FootageRequest | None = None,
    *,
    past: Past | None = None,
    limits: RequestLimits = LIMITS,
    requester: TrustedRequester | None = None,
    now: ClockReading = NOW,
    near: bool = True,
) -> Accepted | Blocked | Elsewhere | Replayed:
    return admit(inbound(message, requester), limits, past or Past(), now, MARKS, near=near)


def test_a_new_request_within_every_limit_may_be_matched() -> None:
    assert verdict() == ACCEPTED


def test_an_id_that_was_seen_is_a_replay_whatever_else_is_right() -> None:
    assert verdict(past=Past(ids={samples.request().id})) == Replayed()


def test_a_number_that_was_used_or_lies_below_all_that_is_remembered_is_a_replay() -> None:
    assert verdict(past=Past(numbers={7})) == Replayed()
    assert verdict(past=Past(oldest=8)) == Replayed()
    assert verdict(past=Past(oldest=7)) == ACCEPTED
    assert verdict(past=Past(numbers={8, 9, 6, 10**9})) == ACCEPTED


def test_a_replay_is_one_even_when_it_is_over_a_limit_as_well() -> None:
    assert verdict(samples.request(to_s=samples.NOW_S + 10**6), past=Past(numbers={7})) == Replayed()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_no_number_is_ever_taken_twice_in_whatever_order_they_come(numbers: list[int]) -> None:
    past, taken = Past(), []
    for seq in numbers:
        if not is_replay(past, trusted(), samples.request(seq=seq)):
            taken.append(seq)
            past.numbers.add(seq)
            if len(past.numbers) >= 20:  # as the journal forgets
                past.numbers = set(sorted(past.numbers)[-20:])
                past.oldest = min(past.numbers)
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize(
    ("past", "reason", "for_now"),
    [
        (Past(in_case=2), "too many requests for this case", False),
        (Past(about=2), "too many requests about this time", False),
        (Past(from_requester=10), "too many requests from this requester", True),
        (Past(in_all=30), "too many requests", True),
        (Past(in_all=15, from_requester=1), "too many requests", True),
    ],
)
def test_rates_count_the_requests_before_this_one(past: Past, reason: str, for_now: bool) -> None:
    assert verdict(past=past) == Blocked(reason, for_now=for_now)
    assert verdict(past=Past(in_case=past.in_case - 1, about=past.about - 1)) == ACCEPTED
    assert verdict(past=Past(in_all=past.in_all - 1, from_requester=0)) == ACCEPTED
    assert set(past.since_ms) == {samples.NOW_S * 1000 - DAY_MS}
    assert past.windows == [(samples.request().from_s, samples.request().to_s)]


def test_nothing_that_was_asked_here_is_held_against_a_request_about_elsewhere_nor_the_other_way() -> None:
    assert verdict(past=Past(in_case=2, about=2, from_requester=10, in_all=30), near=False) == ACCEPTED
    assert verdict(past=Past(elsewhere_of_one=10**6, elsewhere=10**6)) == ACCEPTED


def test_of_what_is_asked_about_elsewhere_so_much_is_written_down_in_a_day_and_no_more() -> None:
    for full in (Past(elsewhere_of_one=ELSEWHERE_OF_ONE), Past(elsewhere=ELSEWHERE_IN_ALL)):
        assert verdict(past=full, near=False) == Elsewhere()
        assert set(full.since_ms) == {samples.NOW_S * 1000 - DAY_MS}
    almost = Past(elsewhere_of_one=ELSEWHERE_OF_ONE - 1, elsewhere=ELSEWHERE_IN_ALL - 1)
    assert verdict(past=almost, near=False) == ACCEPTED


def test_the_owners_limits_are_tightened_by_the_roots_and_never_loosened() -> None:
    strict = trusted(limits=EntryLimits(window_max_s=3600))
    assert verdict(requester=strict) == Blocked("window too long")
    loose = trusted(limits=EntryLimits(window_max_s=10**6, requests_per_case=50))
    assert verdict(requester=loose, past=Past(in_case=2)) == Blocked("too many requests for this case")
    assert verdict(limits=RequestLimits(window_max_s=3600), requester=loose) == Blocked("window too long")


def test_a_request_about_somebody_elses_region_is_blocked() -> None:
    assert verdict(requester=trusted(regions=())) == Blocked("outside the region of this requester")


def test_an_area_with_too_little_ground_is_blocked_where_it_is_measured() -> None:
    """Its neck makes up the size, and is too narrow to count."""
    neck = ((-50, 80), (-50, 900), (50, 900), (50, 80))
    flask = samples.outline(53.5461, 9.9661, (-80, -80), (-80, 80), *neck, (80, 80), (80, -80))
    asked = samples.request(area=flask)
    assert verdict(asked) == Blocked("area too small")
    assert verdict(asked, near=False) == ACCEPTED
    assert admit(inbound(asked), LIMITS, Past(), NOW, MARKS, near=True, measured=False) == ACCEPTED


def test_without_a_trusted_clock_nothing_is_judged_that_needs_one() -> None:
    old = samples.request(from_s=1000, to_s=5000, not_after_s=6000)
    assert verdict(old) == Blocked("look-back too far")
    assert verdict(old, now=LOST) == ACCEPTED
    assert trusted_seconds(LOST) is None
    assert trusted_seconds(NOW) == samples.NOW_S
    assert trusted_seconds(replace(NOW, quality=ClockQuality.HELD)) == samples.NOW_S


def test_only_footage_requests_are_admitted() -> None:
    with pytest.raises(InternalError):
        admit(inbound(samples.receipt()), RequestLimits(), Past(), NOW, MARKS, near=True)


@pytest.mark.parametrize(
    ("standing", "covers"),
    [
        (ActiveOptOut(Scope.ALL), True),
        (ActiveOptOut(Scope.REQUESTER, "harbour-police", root=samples.ROOT_KEY.id), True),
        (ActiveOptOut(Scope.REQUESTER, "harbour-police", root=samples.OWNER_KEY.id), False),
        (ActiveOptOut(Scope.REQUESTER, "harbour-fire", root=samples.ROOT_KEY.id), False),
        (ActiveOptOut(Scope.KIND, Kind.POLICE.value), True),
        (ActiveOptOut(Scope.KIND, Kind.INSURER.value), False),
        (ActiveOptOut(Scope.INCIDENT, Incident.BURGLARY.value), True),
        (ActiveOptOut(Scope.INCIDENT, Incident.TRAFFIC.value), False),
        (ActiveOptOut(Scope.ALL, until_s=samples.NOW_S + 1), True),
        (ActiveOptOut(Scope.ALL, until_s=samples.NOW_S), False),
        (ActiveOptOut(Scope.HOURS, "0000-2359"), False),
        (ActiveOptOut(Scope.BULLETINS, Kind.POLICE.value), False),
    ],
)
def test_an_opt_out_covers_what_its_owner_said_until_it_ends(standing: ActiveOptOut, covers: bool) -> None:
    assert opted_out(Terms.of(samples.request()), (ActiveOptOut(Scope.KIND, "court"), standing), NOW) is covers


@pytest.mark.parametrize(
    ("standing", "covers"),
    [
        (ActiveOptOut(Scope.BULLETINS, "neighbour"), True),
        (ActiveOptOut(Scope.BULLETINS, "police"), False),
        (ActiveOptOut(Scope.BULLETINS, "neighbour", until_s=samples.NOW_S + 1), True),
        (ActiveOptOut(Scope.BULLETINS, "neighbour", until_s=samples.NOW_S), False),
        (ActiveOptOut(Scope.KIND, "neighbour"), False),
        (ActiveOptOut(Scope.ALL), False),
    ],
)
def test_an_opt_out_from_bulletins_covers_those_of_its_kind_and_no_request(
    standing: ActiveOptOut, covers: bool
) -> None:
    assert standing.covers_bulletins(Kind.NEIGHBOUR, samples.NOW_S) is covers
    assert ActiveOptOut(Scope.BULLETINS, "neighbour", 1).covers_bulletins(Kind.NEIGHBOUR, None), "without a clock"


def test_an_opt_out_applies_as_its_owner_signed_it() -> None:
    until_s = samples.NOW_S + 86400
    for name, applies in {
        "opt-out-requester": ActiveOptOut(Scope.REQUESTER, "harbour-police", until_s, samples.ROOT_KEY.id),
        "opt-out": ActiveOptOut(Scope.KIND, "insurer", until_s),
        "opt-out-hours": ActiveOptOut(Scope.HOURS, "2200-0700"),
    }.items():
        statement = samples.EVERY_MESSAGE[name]
        assert isinstance(statement, OptOut)
        assert ActiveOptOut.of(statement) == applies


def stored(asked: FootageRequest) -> StoredRequest:
    return StoredRequest(
        id=asked.id,
        sealed=b"to its owners",
        payload_sha256=samples.SHA,
        requester=asked.requester,
        trust_root=asked.trust_root,
        key_id=samples.REQUESTER_KEY.id,
        seq=asked.seq,
        case_mark="00" * 16,
        state=RequestState.PENDING,
        certain=True,
        received_ms=0,
        not_after_s=asked.not_after_s,
        kept=Terms.of(asked),
    )


def test_the_device_keeps_of_a_request_what_answering_takes_and_no_word_of_it() -> None:
    asked = samples.request()
    kept = strictjson.encode(Terms.of(asked)).decode()
    for word in (asked.case, asked.description, asked.contact.name, str(asked.contact.phone)):
        assert word not in kept
    terms = stored(asked).terms
    assert (terms.kind, terms.incident, terms.reply) == (asked.kind, asked.incident, asked.reply)
    assert (terms.requester, terms.from_s, terms.to_s) == (asked.requester, asked.from_s, asked.to_s)


def test_of_a_request_that_has_ended_nothing_is_left_to_go_by() -> None:
    with pytest.raises(RequestError, match="ended"):
        _ = replace(stored(samples.request()), kept=None).terms


def test_two_requesters_of_the_same_name_under_two_roots_are_two() -> None:
    asked = stored(samples.request())
    assert asked.is_from(trusted())
    assert not asked.is_from(trusted(root="0" * 16))
    assert not asked.is_from(trusted(id="harbour-fire"))


def test_nobody_is_asked_to_answer_to_a_key_that_nothing_can_be_sealed_to() -> None:
    other = "qp"[samples.REPLY.endswith("q")]
    assert verdict(samples.request(reply=samples.REPLY[:-1] + other)) == Blocked(
        "a reply key that nothing can be sealed to"
    )


@pytest.mark.parametrize(
    ("standing", "minute", "quiet"),
    [
        (ActiveOptOut(Scope.HOURS, "2230-0705"), 22 * 60 + 29, False),
        (ActiveOptOut(Scope.HOURS, "2230-0705"), 22 * 60 + 30, True),
        (ActiveOptOut(Scope.HOURS, "2230-0705"), 7 * 60 + 4, True),
        (ActiveOptOut(Scope.HOURS, "2230-0705"), 7 * 60 + 5, False),
        (ActiveOptOut(Scope.HOURS, "2230-0705", until_s=samples.NOW_S + 1), 0, True),
        (ActiveOptOut(Scope.HOURS, "2230-0705", until_s=samples.NOW_S), 0, False),
        (ActiveOptOut(Scope.ALL), 0, False),
    ],
)
def test_quiet_hours_are_quiet_from_their_first_minute_to_their_last(
    standing: ActiveOptOut, minute: int, quiet: bool
) -> None:
    assert standing.is_quiet(samples.NOW_S, minute) is quiet


def test_the_minute_of_the_day_goes_from_midnight_to_midnight() -> None:
    noon_ms = 1_800_014_400_000  # 2027-01-15T12:00:00Z
    assert [utc_minute(noon_ms + after_ms) for after_ms in (-1, 0, 59_999, 60_000)] == [719, 720, 720, 721]
    assert [utc_minute(noon_ms + 12 * 3_600_000 + after_ms) for after_ms in (-1, 0)] == [1439, 0]


def test_four_thousand_numbers_are_remembered_as_the_protocol_says() -> None:
    assert SEQUENCE_WINDOW == 4096
