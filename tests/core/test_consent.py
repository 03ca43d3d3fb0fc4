"""The consent table is what its theory says, and the picture in `docs/consent.md` is the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.consent import TABLE, Act, Cause, State, diagram, step
from agent.core.ledger.entries import EntryKind
from agent.errors import RequestError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "consent.md"
ENDS = {
    State.SENT,
    State.NO_MATCH,
    State.DENIED,
    State.OPTED_OUT,
    State.EXPIRED,
    State.WITHDRAWN,
    State.REVOKED,
    State.STOPPED,
}
WAITING = {State.PENDING, State.HALF}
SILENT = {State.NO_MATCH, State.DENIED, State.OPTED_OUT, State.EXPIRED, State.WITHDRAWN}


def reachable(start: State, without: Cause | None = None) -> set[State]:
    found, waiting = {start}, [start]
    while waiting:
        at = waiting.pop()
        new = {line.to for (state, cause), line in TABLE.items() if state is at and cause is not without} - found
        found |= new
        waiting += new
    return found


def test_every_state_can_be_reached_and_every_cause_and_act_has_its_place() -> None:
    assert reachable(State.RECEIVED) == set(State)
    assert {cause for _, cause in TABLE} == set(Cause)
    assert {act for line in TABLE.values() for act in line.acts} == set(Act)


def test_an_end_is_an_end_and_every_request_can_come_to_one() -> None:
    assert {state for state in State if state.ended} == ENDS
    for state in State:
        assert reachable(state) & ENDS


def test_only_the_owners_approval_opens_anything() -> None:
    assert reachable(State.RECEIVED, without=Cause.APPROVED) == {State.RECEIVED, *WAITING} | SILENT
    offering = {key for key, line in TABLE.items() if Act.OFFER_OUTBOX in line.acts}
    assert offering == {(state, Cause.APPROVED) for state in WAITING}


def test_something_may_have_left_only_of_what_came_to_its_first_byte_or_was_stopped() -> None:
    assert {state for state in State if state.may_have_left} == {State.SENDING, State.SENT, State.STOPPED}


def test_only_what_waits_for_its_owner_can_be_approved_or_denied_and_only_that_holds_footage() -> None:
    for cause in (Cause.APPROVED, Cause.DENIED):
        assert {state for state, raised in TABLE if raised is cause} == WAITING
    assert {state for state in State if state.holds_footage} == WAITING


def test_where_it_takes_two_one_owners_yes_opens_nothing_and_one_owners_no_is_a_no() -> None:
    halves = {key: line for key, line in TABLE.items() if key[1] is Cause.HALF}
    assert {key[0] for key in halves} == WAITING
    assert {(line.to, line.acts) for line in halves.values()} == {(State.HALF, (Act.TELL_OTHERS,))}
    same = {cause: TABLE[State.PENDING, cause] for state, cause in TABLE if state is State.PENDING}
    assert {cause: TABLE[State.HALF, cause] for state, cause in TABLE if state is State.HALF} == same


def test_no_way_to_a_no_does_anything_that_the_network_could_see() -> None:
    before_a_yes = {key: line for key, line in TABLE.items() if key[0] in (State.RECEIVED, *WAITING)}
    for key, line in before_a_yes.items():
        assert set(line.acts) <= {Act.TELL_OWNER, Act.TELL_OTHERS} or key[1] is Cause.APPROVED


def test_until_the_first_byte_every_way_out_drops_the_object_and_after_it_sending_stops() -> None:
    for (state, cause), line in TABLE.items():
        if state is State.APPROVED and cause is not Cause.FIRST_BYTE:
            assert line.acts == (Act.DROP_OUTBOX,)
        if state is State.SENDING:
            assert line.to is (State.SENT if cause is Cause.RECEIPT else State.STOPPED)
            assert line.acts == ((Act.CLOSE_OUTBOX,) if cause is Cause.RECEIPT else (Act.STOP_SENDING,))


def test_an_owner_can_take_a_yes_back_for_as_long_as_anything_is_left_to_send() -> None:
    assert step(State.APPROVED, Cause.REVOKED).to is State.REVOKED
    assert step(State.SENDING, Cause.REVOKED).to is State.STOPPED
    assert {state for state, cause in TABLE if cause is Cause.REVOKED} == {State.APPROVED, State.SENDING}


def test_a_yes_does_not_outlive_the_trust_in_whoever_asked() -> None:
    assert step(State.APPROVED, Cause.BARRED) == step(State.APPROVED, Cause.REVOKED)
    assert step(State.SENDING, Cause.BARRED) == step(State.SENDING, Cause.REVOKED)
    for state in WAITING:
        assert step(state, Cause.BARRED) == step(state, Cause.DENIED)
    assert {state for state, cause in TABLE if cause is Cause.BARRED} == {*WAITING, State.APPROVED, State.SENDING}


def test_time_and_the_requester_can_end_everything_that_is_open() -> None:
    open_states = set(State) - ENDS - {State.RECEIVED}
    for cause in (Cause.EXPIRED, Cause.WITHDRAWN):
        assert {state for state, raised in TABLE if raised is cause} == open_states


def test_the_ledger_has_an_entry_of_its_own_for_each_state() -> None:
    entries: dict[State, set[EntryKind]] = {}
    for line in TABLE.values():
        entries.setdefault(line.to, set()).add(line.entry)
    assert all(len(kinds) == 1 for kinds in entries.values())
    assert len({kind for kinds in entries.values() for kind in kinds}) == len(entries)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cause", Cause)
def test_what_is_not_in_the_table_cannot_happen_and_is_refused_in_words(state: State, cause: Cause) -> None:
    if (state, cause) in TABLE:
        assert step(state, cause) is TABLE[state, cause]
        return
    with pytest.raises(RequestError) as caught:
        step(state, cause)
    assert caught.value.message == f"This request is {state.value}: '{cause.value}' no longer applies."
    assert ("doorward" in caught.value.remedy) is not state.ended


def test_the_table_cannot_be_changed_at_run_time() -> None:
    with pytest.raises(TypeError):
        TABLE[State.DENIED, Cause.APPROVED] = TABLE[State.PENDING, Cause.APPROVED]  # type: ignore[index]


def test_the_picture_in_the_page_is_the_table() -> None:
    before, _, rest = PAGE.read_text().partition("<!-- the table: begin -->\n")
    drawn, _, after = rest.partition("<!-- the table: end -->")
    assert before
    assert after
    assert drawn == f"```mermaid\n{diagram()}```\n", f"write this into {PAGE.name}:\n{diagram()}"


def test_the_page_speaks_of_every_state_in_the_owners_word() -> None:
    prose = PAGE.read_text().partition("<!-- the table: end -->")[2]
    for state in State:
        assert f"**{state.value}**" in prose
