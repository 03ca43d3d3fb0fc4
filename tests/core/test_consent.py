"""The consent table is what its theory says, and the picture in `docs/consent.md` is the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.consent import TRANSITIONS, Action, Event, RequestState, diagram, next_transition
from agent.core.ledger.entries import EntryKind
from agent.errors import RequestError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "consent.md"
ENDS = {
    RequestState.SENT,
    RequestState.NO_MATCH,
    RequestState.DENIED,
    RequestState.OPTED_OUT,
    RequestState.EXPIRED,
    RequestState.WITHDRAWN,
    RequestState.REVOKED,
    RequestState.STOPPED,
}
WAITING = {RequestState.PENDING, RequestState.PARTIALLY_APPROVED}
SILENT = {
    RequestState.NO_MATCH,
    RequestState.DENIED,
    RequestState.OPTED_OUT,
    RequestState.EXPIRED,
    RequestState.WITHDRAWN,
}


def reachable(start: RequestState, without: Event | None = None) -> set[RequestState]:
    found, waiting = {start}, [start]
    while waiting:
        at = waiting.pop()
        new = {
            line.next_state for (state, cause), line in TRANSITIONS.items() if state is at and cause is not without
        } - found
        found |= new
        waiting += new
    return found


def test_every_state_can_be_reached_and_every_cause_and_act_has_its_place() -> None:
    assert reachable(RequestState.RECEIVED) == set(RequestState)
    assert {cause for _, cause in TRANSITIONS} == set(Event)
    assert {act for line in TRANSITIONS.values() for act in line.actions} == set(Action)


def test_an_end_is_an_end_and_every_request_can_come_to_one() -> None:
    assert {state for state in RequestState if state.ended} == ENDS
    for state in RequestState:
        assert reachable(state) & ENDS


def test_only_the_owners_approval_opens_anything() -> None:
    assert reachable(RequestState.RECEIVED, without=Event.APPROVED) == {RequestState.RECEIVED, *WAITING} | SILENT
    offering = {key for key, line in TRANSITIONS.items() if Action.OFFER_OUTBOX in line.actions}
    assert offering == {(state, Event.APPROVED) for state in WAITING}


def test_something_may_have_left_only_of_what_came_to_its_first_byte_or_was_stopped() -> None:
    assert {state for state in RequestState if state.may_have_left} == {
        RequestState.SENDING,
        RequestState.SENT,
        RequestState.STOPPED,
    }


def test_only_what_waits_for_its_owner_can_be_approved_or_denied_and_only_that_holds_footage() -> None:
    for cause in (Event.APPROVED, Event.DENIED):
        assert {state for state, raised in TRANSITIONS if raised is cause} == WAITING
    assert {state for state in RequestState if state.holds_footage} == WAITING


def test_where_it_takes_two_one_owners_yes_opens_nothing_and_one_owners_no_is_a_no() -> None:
    halves = {key: line for key, line in TRANSITIONS.items() if key[1] is Event.PARTIALLY_APPROVED}
    assert {key[0] for key in halves} == WAITING
    assert {(line.next_state, line.actions) for line in halves.values()} == {
        (RequestState.PARTIALLY_APPROVED, (Action.NOTIFY_OTHER_OWNERS,))
    }
    same = {
        cause: TRANSITIONS[RequestState.PENDING, cause] for state, cause in TRANSITIONS if state is RequestState.PENDING
    }
    assert {
        cause: TRANSITIONS[RequestState.PARTIALLY_APPROVED, cause]
        for state, cause in TRANSITIONS
        if state is RequestState.PARTIALLY_APPROVED
    } == same


def test_no_way_to_a_no_does_anything_that_the_network_could_see() -> None:
    before_a_yes = {key: line for key, line in TRANSITIONS.items() if key[0] in (RequestState.RECEIVED, *WAITING)}
    for key, line in before_a_yes.items():
        assert set(line.actions) <= {Action.NOTIFY_OWNER, Action.NOTIFY_OTHER_OWNERS} or key[1] is Event.APPROVED


def test_until_the_first_byte_every_way_out_drops_the_object_and_after_it_sending_stops() -> None:
    for (state, cause), line in TRANSITIONS.items():
        if state is RequestState.APPROVED and cause is not Event.FIRST_BYTE:
            assert line.actions == (Action.DROP_OUTBOX,)
        if state is RequestState.SENDING:
            assert line.next_state is (RequestState.SENT if cause is Event.RECEIPT else RequestState.STOPPED)
            assert line.actions == ((Action.CLOSE_OUTBOX,) if cause is Event.RECEIPT else (Action.STOP_SENDING,))


def test_an_owner_can_take_a_yes_back_for_as_long_as_anything_is_left_to_send() -> None:
    assert next_transition(RequestState.APPROVED, Event.REVOKED).next_state is RequestState.REVOKED
    assert next_transition(RequestState.SENDING, Event.REVOKED).next_state is RequestState.STOPPED
    assert {state for state, cause in TRANSITIONS if cause is Event.REVOKED} == {
        RequestState.APPROVED,
        RequestState.SENDING,
    }


def test_a_yes_does_not_outlive_the_trust_in_whoever_asked() -> None:
    assert next_transition(RequestState.APPROVED, Event.TRUST_WITHDRAWN) == next_transition(
        RequestState.APPROVED, Event.REVOKED
    )
    assert next_transition(RequestState.SENDING, Event.TRUST_WITHDRAWN) == next_transition(
        RequestState.SENDING, Event.REVOKED
    )
    for state in WAITING:
        assert next_transition(state, Event.TRUST_WITHDRAWN) == next_transition(state, Event.DENIED)
    assert {state for state, cause in TRANSITIONS if cause is Event.TRUST_WITHDRAWN} == {
        *WAITING,
        RequestState.APPROVED,
        RequestState.SENDING,
    }


def test_time_and_the_requester_can_end_everything_that_is_open() -> None:
    open_states = set(RequestState) - ENDS - {RequestState.RECEIVED}
    for cause in (Event.EXPIRED, Event.WITHDRAWN):
        assert {state for state, raised in TRANSITIONS if raised is cause} == open_states


def test_the_ledger_has_an_entry_of_its_own_for_each_state() -> None:
    entries: dict[RequestState, set[EntryKind]] = {}
    for line in TRANSITIONS.values():
        entries.setdefault(line.next_state, set()).add(line.entry)
    assert all(len(kinds) == 1 for kinds in entries.values())
    assert len({kind for kinds in entries.values() for kind in kinds}) == len(entries)


@pytest.mark.parametrize("state", RequestState)
@pytest.mark.parametrize("cause", Event)
def test_what_is_not_in_the_table_cannot_happen_and_is_refused_in_words(state: RequestState, cause: Event) -> None:
    if (state, cause) in TRANSITIONS:
        assert next_transition(state, cause) is TRANSITIONS[state, cause]
        return
    with pytest.raises(RequestError) as caught:
        next_transition(state, cause)
    assert caught.value.message == f"This request is {state.value}: '{cause.value}' no longer applies."
    assert ("doorward" in caught.value.remedy) is not state.ended


def test_the_table_cannot_be_changed_at_run_time() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[RequestState.DENIED, Event.APPROVED] = TRANSITIONS[RequestState.PENDING, Event.APPROVED]  # type: ignore[index]


def test_the_picture_in_the_page_is_the_table() -> None:
    before, _, rest = PAGE.read_text().partition("<!-- the table: begin -->\n")
    drawn, _, after = rest.partition("<!-- the table: end -->")
    assert before
    assert after
    assert drawn == f"```mermaid\n{diagram()}```\n", f"write this into {PAGE.name}:\n{diagram()}"


def test_the_page_speaks_of_every_state_in_the_owners_word() -> None:
    prose = PAGE.read_text().partition("<!-- the table: end -->")[2]
    for state in RequestState:
        assert f"**{state.value}**" in prose
