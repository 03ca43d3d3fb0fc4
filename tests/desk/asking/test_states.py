"""States of a request: who may take which step, and that a request is signed only as a second person saw it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RequestError
from desk.asking.states import ENDED, Actor, Progress, State, Step, allowed_steps, fingerprint, take_step
from desk.people.roles import Role

ANN, BEA, CAS = 1, 2, 3
ASKER = frozenset({Role.ASKER})
SUPERVISOR = frozenset({Role.SUPERVISOR})
DESK = Actor(None)
SIGNED = frozenset({State.SIGNED, State.PUBLISHED, State.EXPIRED, State.DELETED})


def submitted(by: int = ANN, content: str = "words") -> Progress:
    return take_step(Progress(State.DRAFT, by), Step.SUBMIT, Actor(by, ASKER), two_person_rule=True, content=content)


def test_a_second_person_with_the_role_approves_and_the_desk_signs_and_publishes() -> None:
    approved = take_step(submitted(), Step.APPROVE, Actor(BEA, SUPERVISOR), two_person_rule=True, content="words")
    assert approved.approver == BEA
    signed = take_step(approved, Step.SIGN, DESK, two_person_rule=True)
    assert take_step(signed, Step.PUBLISH, DESK, two_person_rule=True).state is State.PUBLISHED


def test_the_author_cannot_approve_even_as_a_supervisor() -> None:
    both = ASKER | SUPERVISOR
    with pytest.raises(RequestError, match="second person"):
        take_step(submitted(), Step.APPROVE, Actor(ANN, both), two_person_rule=True, content="words")
    assert Step.APPROVE not in allowed_steps(submitted(), Actor(ANN, both), two_person_rule=True)


def test_a_colleague_without_the_role_cannot_approve() -> None:
    with pytest.raises(RequestError, match="supervisor"):
        take_step(submitted(), Step.APPROVE, Actor(BEA, ASKER), two_person_rule=True, content="words")


def test_without_the_rule_the_author_approves_alone() -> None:
    approved = take_step(submitted(), Step.APPROVE, Actor(ANN, ASKER), two_person_rule=False, content="words")
    assert approved.state is State.APPROVED


def test_what_its_author_approved_without_the_rule_is_not_signed_under_the_rule() -> None:
    both = Actor(ANN, ASKER | SUPERVISOR)
    approved = take_step(submitted(), Step.APPROVE, both, two_person_rule=False, content="words")
    with pytest.raises(RequestError, match="author approved"):
        take_step(approved, Step.SIGN, DESK, two_person_rule=True)
    assert take_step(approved, Step.SIGN, DESK, two_person_rule=False).state is State.SIGNED


def test_words_that_changed_since_they_were_shown_cannot_be_approved() -> None:
    with pytest.raises(RequestError, match="changed since"):
        take_step(submitted(), Step.APPROVE, Actor(BEA, SUPERVISOR), two_person_rule=True, content="other words")


def test_a_supervisor_cannot_have_the_words_of_another_person_approved_by_that_person() -> None:
    edited = take_step(Progress(State.DRAFT, ANN), Step.EDIT, Actor(BEA, SUPERVISOR), two_person_rule=True)
    assert edited.author == BEA
    with pytest.raises(RequestError, match="author"):
        take_step(edited, Step.SUBMIT, Actor(ANN, ASKER), two_person_rule=True)


def test_a_viewer_takes_no_step_and_a_person_none_of_the_desks() -> None:
    viewer = Actor(CAS, frozenset({Role.VIEWER, Role.AUDITOR, Role.ADMIN, Role.EVIDENCE_OFFICER}))
    for state in State:
        progress = Progress(state, ANN, BEA, "words")
        assert not allowed_steps(progress, viewer, two_person_rule=True)
        for step in (Step.SIGN, Step.PUBLISH, Step.EXPIRE, Step.DELETE):
            assert step not in allowed_steps(progress, Actor(ANN, SUPERVISOR), two_person_rule=False)


def test_any_change_of_the_content_changes_its_fingerprint() -> None:
    content = {"case": "2026-1", "from_s": 1, "area": {"shape": "circle", "lat": 52.1}}
    assert fingerprint(content) == fingerprint(dict(reversed(list(content.items()))))
    for changed in ({"case": "2026-2"}, {"from_s": 2}, {"area": {"shape": "circle", "lat": 52.2}}):
        assert fingerprint(content | changed) != fingerprint(content)


PEOPLE = st.builds(Actor, st.sampled_from([ANN, BEA, CAS]), st.frozensets(st.sampled_from(list(Role))))
MOVES = st.tuples(st.sampled_from(list(Step)), st.one_of(st.just(DESK), PEOPLE), st.sampled_from(["one", "two"]))


@given(moves=st.lists(MOVES, max_size=30), author=st.sampled_from([ANN, BEA]))
def test_whatever_people_try_a_signed_request_was_seen_unchanged_by_a_second_person(
    moves: list[tuple[Step, Actor, str]], author: int
) -> None:
    progress, approved_content, refusals = Progress(State.DRAFT, author), None, []
    for step, actor, content in moves:
        before = progress
        try:
            progress = take_step(progress, step, actor, two_person_rule=True, content=content)
        except RequestError as error:
            refusals.append(str(error))
            continue
        if step is Step.APPROVE:
            approved_content = content
            assert Role.SUPERVISOR in actor.roles
        if before.state in ENDED:
            assert progress.state is State.DELETED, "an ended request comes back to no other state"
        if progress.state in SIGNED:
            assert progress.approver is not None
            assert progress.approver != progress.author
            assert progress.submitted == approved_content
            assert progress.signed
    assert all(refusals), "each refusal has words"
