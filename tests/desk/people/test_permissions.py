"""A page opens for the roles that the table names, and shows only objects of the person's organisation."""

from __future__ import annotations

import pytest
from django.http import Http404
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import StorageError
from desk.cases.models import Answer, Case
from desk.people import members
from desk.people.permissions import get_in
from desk.people.roles import PERMISSIONS, Action, Role, is_allowed
from tests.desk.agencies import Agency, browser


def test_each_action_has_its_roles() -> None:
    assert PERMISSIONS.keys() == set(Action)
    assert all(PERMISSIONS.values())


@given(st.frozensets(st.sampled_from(Role)), st.sampled_from(Role), st.sampled_from(Action))
def test_another_role_never_takes_a_right_away(roles: frozenset[Role], more: Role, action: Action) -> None:
    assert is_allowed(roles | {more}, action) >= is_allowed(roles, action)
    assert not is_allowed((), action)


@pytest.mark.parametrize("role", Role)
def test_the_page_of_people_is_for_admins(agency: Agency, role: Role) -> None:
    expected = 200 if role is Role.ADMIN else 403
    assert agency.client(role).get("/people").status_code == expected


def test_a_stranger_is_sent_to_sign_in(agency: Agency) -> None:
    answer = browser().get("/people")
    assert answer.status_code == 302
    assert answer["Location"] == "/accounts/login/?next=/people"
    assert browser().get(answer["Location"]).status_code == 200


def test_an_object_of_another_organisation_is_not_found(agency: Agency, other_agency: Agency) -> None:
    theirs = Case.objects.create(
        organisation=other_agency.organisation, number="1", created_by=other_agency.people[Role.ASKER]
    )
    answer = Answer.objects.create(case=theirs, request_id="0" * 32, disclosure_id="1" * 32)
    assert get_in(other_agency.organisation, Case, theirs.pk) == theirs
    assert get_in(other_agency.organisation, Answer, answer.pk, "case__organisation") == answer
    with pytest.raises(Http404):
        get_in(agency.organisation, Case, theirs.pk)
    with pytest.raises(Http404):
        get_in(agency.organisation, Answer, answer.pk, "case__organisation")


@pytest.mark.parametrize("role", Role)
def test_the_navigation_shows_only_pages_that_open(agency: Agency, role: Role) -> None:
    client = agency.client(role)
    entries = client.get("/").context["navigation"]
    assert entries
    for entry in entries:
        assert client.get(entry["address"]).status_code == 200


def test_an_error_of_ours_is_explained_to_people_and_not_to_strangers(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise StorageError("The disk is full.", remedy="Make room.")

    monkeypatch.setattr(members, "members_of", lost)
    answer = agency.client(Role.ADMIN).get("/people")
    assert answer.status_code == 503
    assert "The disk is full." in answer.content.decode()
    assert "Make room." in answer.content.decode()
    assert browser().get("/people").status_code == 302
