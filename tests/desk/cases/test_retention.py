"""The retention clock: footage goes on its day, stays longer only under a hold, and statements come last."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.cases.retention import (
    DAY_S,
    AnswerClock,
    CountdownState,
    DeleteAnswer,
    PublishDeletion,
    RequestClock,
    countdown,
    due_s,
    latest_choice_s,
    plan,
    publication_due_s,
)

SECONDS = st.integers(0, 40 * DAY_S)
ANSWERS = st.lists(
    st.builds(
        AnswerClock,
        answer=st.just(0),
        received_s=SECONDS,
        keep_until_s=st.none() | SECONDS,
        deleted=st.booleans(),
    ),
    max_size=4,
)


@st.composite
def requests(draw: st.DrawFn) -> list[RequestClock]:
    found, number = [], 0
    for name in "rst"[: draw(st.integers(0, 3))]:
        answers = []
        for each in draw(ANSWERS):
            number += 1
            answers.append(replace(each, answer=number))
        found.append(RequestClock(name, draw(SECONDS), draw(st.integers(0, 30)), tuple(answers), draw(st.booleans())))
    return found


def carried_out(clocks: list[RequestClock], now_s: int) -> list[RequestClock]:
    steps = plan(clocks, hold=False, now_s=now_s)
    deleted = {step.answer for step in steps if isinstance(step, DeleteAnswer)}
    signed = {step.request for step in steps if isinstance(step, PublishDeletion)}
    return [
        replace(
            each,
            answers=tuple(replace(a, deleted=a.deleted or a.answer in deleted) for a in each.answers),
            deletion_signed=each.deletion_signed or each.request in signed,
        )
        for each in clocks
    ]


@given(requests(), SECONDS)
def test_nothing_is_deleted_before_its_day_and_nothing_stays_after_it(clocks: list[RequestClock], now_s: int) -> None:
    for before, after in zip(clocks, carried_out(clocks, now_s), strict=True):
        for old, new in zip(before.answers, after.answers, strict=True):
            assert new.deleted == (old.deleted or due_s(old, before.retention_days) <= now_s)


@given(requests(), SECONDS)
def test_a_deletion_is_stated_only_once_and_only_if_it_is_true(clocks: list[RequestClock], now_s: int) -> None:
    after = carried_out(clocks, now_s)
    for old, new in zip(clocks, after, strict=True):
        if new.deletion_signed and not old.deletion_signed:
            assert all(each.deleted for each in new.answers)
            assert new.not_after_s <= now_s
    assert plan(after, hold=False, now_s=now_s) == ()


@given(requests())
def test_each_deletion_is_stated_in_the_end(clocks: list[RequestClock]) -> None:
    after = carried_out(clocks, 200 * DAY_S)
    assert all(each.deletion_signed and all(a.deleted for a in each.answers) for each in after if each.answers)
    assert all(each.deletion_signed for each in after)


@given(requests(), SECONDS)
def test_a_legal_hold_stops_everything_in_its_case(clocks: list[RequestClock], now_s: int) -> None:
    assert plan(clocks, hold=True, now_s=now_s) == ()


@given(requests(), SECONDS, SECONDS)
def test_a_hold_that_has_ended_leaves_the_same_result_as_no_hold(
    clocks: list[RequestClock], first_s: int, later_s: int
) -> None:
    now_s = first_s + later_s
    assert carried_out(clocks, now_s) == carried_out(carried_out(clocks, first_s), now_s)


@given(SECONDS, st.integers(0, 365), st.none() | SECONDS)
def test_no_choice_keeps_an_answer_longer_than_the_request_promised(
    received_s: int, days: int, chosen_s: int | None
) -> None:
    answer = AnswerClock(1, received_s, chosen_s)
    assert due_s(answer, days) <= latest_choice_s(received_s, days)
    if chosen_s is not None:
        assert due_s(answer, days) <= chosen_s


@pytest.mark.parametrize(
    ("now_s", "state", "days"),
    [
        (0, CountdownState.RUNNING, 2),
        (DAY_S - 1, CountdownState.RUNNING, 2),
        (DAY_S, CountdownState.RUNNING, 1),
        (2 * DAY_S - 1, CountdownState.RUNNING, 1),
        (2 * DAY_S, CountdownState.DUE, 0),
    ],
)
def test_a_countdown_counts_the_days_that_have_begun(now_s: int, state: CountdownState, days: int) -> None:
    shown = countdown(AnswerClock(1, 0), 2, hold=False, now_s=now_s)
    assert (shown.state, shown.left_days) == (state, days)


def test_a_countdown_under_hold_keeps_its_date_and_says_that_it_is_held() -> None:
    shown = countdown(AnswerClock(1, 0), 2, hold=True, now_s=5 * DAY_S)
    assert (shown.state, shown.due_s) == (CountdownState.HELD, 2 * DAY_S)


def test_a_deleted_answer_stays_deleted_under_a_hold() -> None:
    assert countdown(AnswerClock(1, 0, deleted=True), 2, hold=True, now_s=0).state is CountdownState.DELETED


def test_a_request_without_answers_is_stated_after_the_last_possible_answer_would_have_been_deleted() -> None:
    asked = RequestClock("r", not_after_s=10 * DAY_S, retention_days=30)
    assert publication_due_s(asked) == 40 * DAY_S
    assert plan([asked], hold=False, now_s=40 * DAY_S - 1) == ()
    assert plan([asked], hold=False, now_s=40 * DAY_S) == (PublishDeletion("r"),)


def test_the_statement_waits_while_doors_may_still_answer() -> None:
    asked = RequestClock("r", not_after_s=10 * DAY_S, retention_days=1, answers=(AnswerClock(1, 0),))
    assert plan([asked], hold=False, now_s=DAY_S) == (DeleteAnswer(1),)
    gone = replace(asked, answers=(AnswerClock(1, 0, deleted=True),))
    assert plan([gone], hold=False, now_s=9 * DAY_S) == ()
    assert plan([gone], hold=False, now_s=10 * DAY_S) == (PublishDeletion("r"),)
