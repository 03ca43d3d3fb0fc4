"""An admin alone cannot invent the second person of a rule of two persons."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from django.test import Client

from agent.errors import ConfigurationError, RequestError
from desk.custody.models import Entry
from desk.people import confirmations, members, one_time_links
from desk.people.models import GuardedChange, Membership, Organisation, Person
from desk.people.roles import GUARDED, PERMISSIONS, Action, Role
from tests.desk.agencies import PASSWORD, Agency, browser, make_agency, make_person

RULES = {"name": "Rijnstad Police", "language": "en", "retention_days": "30"}


def come(link: str) -> Client:
    """A browser that uses a one-time link."""
    client = browser()
    words = {"name": "Kim", "email": "kim@example.org", "way": "password", "password": "a new long secret"}
    client.post(link.removeprefix("https://localhost"), words)
    return client


def invite(agency: Agency, *roles: str, email: str = "kim@example.org") -> Any:
    return agency.client(Role.ADMIN).post("/people", {"email": email, "roles": list(roles)})


def invented(agency: Agency, *roles: str) -> tuple[Person, Client]:
    client = come(invite(agency, *roles).context["link"])
    return Person.objects.get(email="kim@example.org"), client


def roles_of(person: Person) -> set[str]:
    return set(Membership.objects.filter(person=person).values_list("role", flat=True))


def waiting() -> GuardedChange:
    return GuardedChange.objects.get(state="waits")


def decide(agency: Agency, role: Role, change: GuardedChange, code: str = "", act: str = "confirm") -> Any:
    return agency.client(role).post(f"/people/confirmations/{change.pk}/{act}", {"code": code})


def actions(agency: Agency) -> list[str]:
    return list(Entry.objects.filter(organisation=agency.organisation).values_list("action", flat=True))


def test_the_roles_that_wait_are_those_of_the_rules_of_two_persons() -> None:
    assert frozenset({Role.ADMIN, Role.ASKER, Role.MODERATOR, Role.SUPERVISOR}) == GUARDED
    assert PERMISSIONS[Action.APPROVE_REQUESTS] | PERMISSIONS[Action.MODERATE] <= GUARDED


def test_an_invented_colleague_neither_asks_nor_approves(agency: Agency) -> None:
    person, client = invented(agency, "supervisor", "asker", "viewer")
    assert roles_of(person) == {"viewer"}
    assert client.get("/requests/new").status_code == 403
    page = client.get("/").content.decode()
    assert confirmations.code_of(waiting()) in page
    assert waiting().made_by == agency.people[Role.ADMIN]


def test_a_second_person_who_spoke_to_the_colleague_confirms(agency: Agency) -> None:
    person, client = invented(agency, "supervisor", "viewer")
    change = waiting()
    code = confirmations.code_of(change)
    assert decide(agency, Role.SUPERVISOR, change, f"{code[:3]} {code[3:]}").status_code == 302
    assert roles_of(person) == {"supervisor", "viewer"}
    assert client.get("/requests/new").status_code == 200
    assert code not in client.get("/").content.decode()
    assert actions(agency)[-1] == "change.confirmed"
    detail = Entry.objects.get(action="change.confirmed").detail
    assert (detail["roles"], detail["proposed_by"]) == ("supervisor", agency.people[Role.ADMIN].email)
    assert decide(agency, Role.SUPERVISOR, change, code).status_code == 409, "it is confirmed once"


def test_neither_the_maker_nor_the_invented_person_confirms(agency: Agency) -> None:
    person, _client = invented(agency, "supervisor")
    change = waiting()
    code = confirmations.code_of(change)
    assert decide(agency, Role.ADMIN, change, code).status_code == 409
    for by in (agency.people[Role.ADMIN], person):
        with pytest.raises(RequestError):
            confirmations.confirm(change, by, code)
    assert roles_of(person) == set()


def test_a_person_who_came_after_the_change_does_not_confirm_it(agency: Agency) -> None:
    first, _client = invented(agency, "asker")
    old = waiting()
    newer = make_person("newer@example.org")
    Membership.objects.create(organisation=agency.organisation, person=newer, role=Role.SUPERVISOR)
    with pytest.raises(RequestError, match="Another admin or supervisor"):
        confirmations.confirm(old, newer, confirmations.code_of(old))
    assert roles_of(first) == set()


def test_five_wrong_codes_end_the_change(agency: Agency) -> None:
    person, _client = invented(agency, "supervisor")
    change = waiting()
    right = confirmations.code_of(change)
    wrong = f"{(int(right) + 1) % 10**6:06d}"
    for _ in range(5):
        answer = decide(agency, Role.SUPERVISOR, change, wrong)
        assert "The code is wrong." in answer.content.decode()
    assert decide(agency, Role.SUPERVISOR, change, right).status_code == 409
    assert roles_of(person) == set()
    assert actions(agency).count("change.wrong-code") == 5


def test_a_recovery_link_alone_gives_no_supervisor(agency: Agency) -> None:
    """The admin who makes the link could use it."""
    person = agency.people[Role.SUPERVISOR]
    second = make_person("second@example.org")
    Membership.objects.create(organisation=agency.organisation, person=second, role=Role.SUPERVISOR)
    link = agency.client(Role.ADMIN).post(f"/people/{person.pk}/recover").context["link"]
    client = come(link)
    assert roles_of(person) == set()
    assert client.get("/").status_code == 302
    change = waiting()
    assert change.kind == "recovery"
    assert confirmations.code_of(change) in client.get("/no-organisation").content.decode()
    confirmations.confirm(change, second, confirmations.code_of(change))
    assert roles_of(person) == {"supervisor"}
    assert client.get("/").status_code == 200


def test_a_viewer_s_recovery_waits_for_no_one(agency: Agency) -> None:
    person = agency.people[Role.VIEWER]
    come(agency.client(Role.ADMIN).post(f"/people/{person.pk}/recover").context["link"])
    assert roles_of(person) == {"viewer"}


def test_an_admin_makes_no_recovery_link_for_themselves(agency: Agency) -> None:
    admin = agency.people[Role.ADMIN]
    with pytest.raises(RequestError, match="signed in"):
        members.recovery_link(agency.organisation, admin, admin)


def test_a_colleague_with_an_account_waits_as_well(agency: Agency, other_agency: Agency) -> None:
    person = other_agency.people[Role.VIEWER]
    link = invite(agency, "supervisor", "auditor", email=person.email).context["link"]
    other_agency.client(Role.VIEWER).post(link.removeprefix("https://localhost"))
    assert waiting().roles == ["supervisor"]
    mine = Membership.objects.filter(person=person, organisation=agency.organisation)
    assert list(mine.values_list("role", flat=True)) == ["auditor"]


def test_a_person_of_another_organisation_comes_only_by_their_own_will(agency: Agency, other_agency: Agency) -> None:
    """Unasked, they would land among this organisation's pages, and its log would tell when they sign in."""
    person = agency.people[Role.ASKER]
    page = other_agency.client(Role.ADMIN).post("/people", {"email": person.email, "roles": ["viewer", "auditor"]})
    address = page.context["link"].removeprefix("https://localhost")
    theirs = Membership.objects.filter(person=person, organisation=other_agency.organisation)
    client = browser()
    client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    assert not theirs.exists()
    told = Entry.objects.filter(organisation=other_agency.organisation, object=person.email)
    assert list(told.values_list("action", flat=True)) == ["person.invited"]
    assert one_time_links.belongs_only_to(agency.organisation, person), "so their own admin may recover them"
    assert browser().get(address)["Location"].startswith("/accounts/login/")
    for stranger in (other_agency.client(Role.ADMIN), agency.client(Role.VIEWER)):
        for answer in (stranger.get(address), stranger.post(address)):
            assert answer.status_code == 403
            assert other_agency.organisation.name not in answer.content.decode().partition("<main")[2]
    assert "Waterland Police invites you" in client.get(address).content.decode()
    assert not theirs.exists()
    assert client.post(address).status_code == 302
    assert set(theirs.values_list("role", flat=True)) == {"viewer", "auditor"}
    assert "person.joined" in actions(other_agency)
    assert client.get(address).status_code == 404, "once"


def test_roles_on_the_page_of_a_person_wait_and_saving_again_keeps_them_waiting(agency: Agency) -> None:
    person, client = agency.people[Role.VIEWER], agency.client(Role.ADMIN)
    client.post(f"/people/{person.pk}", {"roles": ["viewer", "supervisor"]})
    page = client.get(f"/people/{person.pk}")
    assert set(page.context["form"].initial["roles"]) == {"viewer", "supervisor"}
    assert "Not in force yet" in page.content.decode()
    client.post(f"/people/{person.pk}", {"roles": ["viewer", "supervisor", "auditor"]})
    assert roles_of(person) == {"viewer", "auditor"}
    client.post(f"/people/{person.pk}", {"roles": ["viewer"]})
    assert not GuardedChange.objects.filter(state="waits").exists()


def test_the_rule_of_two_persons_ends_with_a_second_person_only(agency: Agency) -> None:
    client = agency.client(Role.ADMIN)
    answer = client.post("/organisation", RULES, follow=True)
    assert "waits for a second admin or supervisor" in answer.content.decode()
    client.post("/organisation", RULES)
    agency.organisation.refresh_from_db()
    assert agency.organisation.two_person_rule
    assert "organisation.changed" in actions(agency)
    assert "two_person_rule" not in Entry.objects.filter(action="organisation.changed")[0].detail
    assert decide(agency, Role.SUPERVISOR, waiting()).status_code == 302
    agency.organisation.refresh_from_db()
    assert not agency.organisation.two_person_rule
    client.post("/organisation", RULES | {"two_person_rule": "on"})
    agency.organisation.refresh_from_db()
    assert agency.organisation.two_person_rule, "the rule begins again at once"


def test_a_refused_change_gives_nothing_and_its_maker_may_withdraw_it(agency: Agency) -> None:
    person, client = invented(agency, "asker")
    change = waiting()
    assert decide(agency, Role.SUPERVISOR, change, act="refuse").status_code == 302
    change.refresh_from_db()
    assert (change.state, roles_of(person)) == ("refused", set())
    link = invite(agency, "asker").context["link"]
    assert client.post(link.removeprefix("https://localhost")).status_code == 302
    second = waiting()
    decide(agency, Role.ADMIN, second, act="refuse")
    second.refresh_from_db()
    assert second.state == "withdrawn"
    assert decide(agency, Role.ADMIN, second, act="refuse").status_code == 409


def test_what_a_former_admin_proposed_is_withdrawn(agency: Agency) -> None:
    person = agency.people[Role.VIEWER]
    Membership.objects.create(person=person, organisation=agency.organisation, role=Role.ADMIN)
    members.invite(agency.organisation, person, agency.people[Role.AUDITOR].email, ["supervisor"])
    assert waiting().made_by == person
    members.set_roles(agency.organisation, agency.people[Role.ADMIN], person, ["viewer"])
    assert not GuardedChange.objects.filter(state="waits").exists()


def test_the_first_two_people_come_without_a_third_and_an_auditor_sees_it(data: object) -> None:
    agency = make_agency("rijnstad-police", "Rijnstad Police")
    Membership.objects.exclude(person=agency.people[Role.ADMIN]).delete()
    admin = agency.people[Role.ADMIN]
    person, _client = invented(agency, "supervisor")
    assert roles_of(person) == {"supervisor"}
    assert actions(agency)[-3:-1] == ["change.made-alone", "organisation.confirms"]
    third = make_person("third@example.org")
    assert members.set_roles(agency.organisation, admin, third, ["asker"]) == ["asker"]
    # The rule stays if the second person leaves: an admin must not get there by removing people.
    members.set_roles(Organisation.objects.get(), admin, person, [])
    assert members.set_roles(Organisation.objects.get(), admin, third, ["asker"]) == ["asker"]
    Membership.objects.create(person=third, organisation=agency.organisation, role=Role.AUDITOR)
    client = browser()
    client.force_login(third, backend="allauth.account.auth_backends.AuthenticationBackend")
    page = client.get("/people/confirmations").content.decode()
    assert "made alone" in page
    assert "Confirm</button>" not in page
    assert client.post(f"/people/confirmations/{waiting().pk}/confirm").status_code == 403


def test_the_rule_holds_from_the_moment_two_people_could_confirm_even_if_one_is_removed_first(agency: Agency) -> None:
    admin = agency.people[Role.ADMIN]
    members.set_roles(agency.organisation, admin, agency.people[Role.SUPERVISOR], [])
    assert members.set_roles(agency.organisation, admin, admin, ["admin", "supervisor"]) == ["supervisor"]


def test_the_operator_confirms_if_no_person_can(agency: Agency) -> None:
    from desk import cli

    person, _client = invented(agency, "supervisor")
    run = CliRunner()
    listed = run.invoke(cli.desk, ["confirm"]).output
    assert f"{waiting().pk}  rijnstad-police  kim@example.org: supervisor" in listed
    said = run.invoke(cli.desk, ["confirm", str(waiting().pk)]).output
    assert said.startswith("Confirmed: ")
    assert roles_of(person) == {"supervisor"}
    assert Entry.objects.get(action="change.confirmed").actor == "operator"
    assert run.invoke(cli.desk, ["confirm"]).output == "No change waits for a second person.\n"
    missing = run.invoke(cli.desk, ["confirm", "99999"]).exception
    assert isinstance(missing, ConfigurationError)
