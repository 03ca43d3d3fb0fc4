"""Hostile words of forms and addresses, on pages of several apps: refused with words, and tries are logged."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from desk import sealed_keys
from desk.asking.models import Draft
from desk.cases.models import Case
from desk.custody.models import Entry
from desk.people.models import GuardedChange, Membership, Person
from desk.people.organisations import folder_of
from desk.people.roles import Role
from desk.trust.models import BundleDraft
from desk.trust.root_keys import make_root_key
from tests.desk.agencies import Agency, browser
from tests.desk.asking.asking_desk import fields
from tests.desk.routes import routes
from tests.desk.test_matrix import tip

HUGE = "9" * 5000
"""More digits than Python turns into a number."""


@pytest.mark.parametrize("number", [HUGE, "9" * 19, "\u0664", "-1", "x"])
def test_a_key_that_no_object_can_have_is_not_found(agency: Agency, number: str) -> None:
    asker, admin = agency.client(Role.ASKER), agency.client(Role.ADMIN)
    assert asker.get("/requests/new", {"like": number}).status_code == 404
    assert asker.post(f"/tips/{tip(agency)['pk']}/assign", {"case": number}).status_code == 404
    assert admin.post("/requests/preferences", {"form": "delete", "template": number}).status_code == 404


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "9999-12-31"])
def test_a_day_that_no_clock_shows_is_refused_and_filters_nothing(agency: Agency, day: str) -> None:
    page = agency.client(Role.ASKER).post("/requests/new", fields(day=day))
    assert page.context["form"].errors["day"]
    assert not Draft.objects.exists()
    assert agency.client(Role.AUDITOR).get("/custody", {"first": day, "last": day}).status_code == 200


@pytest.mark.parametrize("text", ["a = " + "[" * 20_000, "version = " + "9" * 30 + "\n"])
def test_a_list_of_a_root_that_no_program_can_hold_is_refused(agency: Agency, text: str) -> None:
    page = agency.client(Role.ADMIN).post("/trust/propose", {"text": text})
    assert page.status_code == 200
    assert page.context["proposal_form"].errors["text"]


def test_a_wrong_passphrase_of_the_root_is_in_the_log(agency: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)
    make_root_key(folder_of(agency.organisation) / "root", "six words that nobody guesses")
    proposal = BundleDraft.objects.create(
        organisation=agency.organisation, version=1, text="version = 1", proposed_by=agency.people[Role.ADMIN]
    )
    agency.client(Role.SUPERVISOR).post(f"/trust/{proposal.pk}/sign", {"passphrase": "six words that I guess"})
    entry = Entry.objects.get(action="bundle.not-signed")
    assert entry.actor == "supervisor <supervisor@rijnstad-police.example>"
    assert entry.detail["problem"] == "The root's key does not open."


@pytest.mark.parametrize("change", ["{}\u202e", "{}\u200b", "\u2066{}"])
def test_two_cases_do_not_look_like_one(agency: Agency, change: str) -> None:
    client = agency.client(Role.ASKER)
    titles = {"title": "A\u202e bike", "category": ""}
    assert client.post("/cases/new", {"number": "2027-1", **titles}).status_code == 302
    assert client.post("/cases/new", {"number": change.format("2027-1"), **titles}).status_code == 200
    assert [(case.number, case.title) for case in Case.objects.all()] == [("2027-1", "A bike")]


@pytest.mark.parametrize("name", ["Ada\u202e nimda", "\u2066Ada nimda", "A\u200bda nimda", " Ada  nimda"])
def test_no_name_turns_the_words_around_it_or_looks_like_another_one(agency: Agency, name: str) -> None:
    """The name stands on the page on which a second person confirms a role, and a name of an organisation is public."""
    admin, client = agency.client(Role.ADMIN), browser()
    page = admin.post("/people", {"email": "new@rijnstad.example", "roles": ["viewer"]})
    address = page.context["link"].removeprefix("https://localhost")
    assert client.post(address, {"name": "\u202e", "way": "passkey"}).context["form"].errors["name"]
    client.post(address, {"name": name, "way": "passkey"})
    assert Person.objects.get(email="new@rijnstad.example").first_name == "Ada nimda"
    asker = agency.client(Role.ASKER)
    asker.post("/account", {"first_name": name, "language": "en"})
    assert Person.objects.get(pk=agency.people[Role.ASKER].pk).first_name == "Ada nimda"
    words = {"name": name, "language": "en", "retention_days": "30", "two_person_rule": "on"}
    admin.post("/organisation", words)
    agency.organisation.refresh_from_db()
    assert agency.organisation.name == "Ada nimda"


def test_a_person_who_calls_themselves_the_operator_is_named_with_their_address(agency: Agency) -> None:
    Membership.objects.update(since=timezone.now() - timedelta(days=1))
    supervisor = agency.people[Role.SUPERVISOR]
    Person.objects.filter(pk=supervisor.pk).update(first_name="operator")
    change = GuardedChange.objects.create(
        organisation=agency.organisation, kind="rule-off", made_by=agency.people[Role.ADMIN]
    )
    agency.client(Role.SUPERVISOR).post(f"/people/confirmations/{change.pk}/confirm")
    change.refresh_from_db()
    assert (change.state, change.decided_by) == ("confirmed", f"operator <{supervisor.email}>")
    page = agency.client(Role.AUDITOR).get("/people/confirmations").content.decode()
    assert f"operator &lt;{supervisor.email}&gt;" in page
    assert agency.people[Role.ADMIN].email in page


def counted(name: str) -> Callable[[], int]:
    cache.add(name, 0, 300)
    return lambda: int(cache.incr(name))


def test_many_addresses_do_not_push_out_the_count_of_tries_at_one_account(agency: Agency) -> None:
    count = counted("tries-at-one-account")
    count()
    for number in range(1000):
        cache.set(f"tries-of-address-{number}", 1, 300)
    assert count() == 2


@pytest.mark.parametrize("days", ["0", "36526", "9" * 30])
def test_a_number_of_days_that_no_request_can_promise_is_refused(agency: Agency, days: str) -> None:
    admin = agency.client(Role.ADMIN)
    words = {"name": "Rijnstad Police", "language": "en", "retention_days": days}
    assert admin.post("/organisation", words).context["form"].errors["retention_days"]
    template = {"form": "template", "name": "Ours", "incident": "burglary", "minutes": "60", "days": "7"}
    page = admin.post("/requests/preferences", {**template, "language": "en", "retention_days": days})
    assert page.context["template_form"].errors["retention_days"]


@pytest.mark.parametrize("role", [None, Role.ADMIN], ids=["a stranger", "an admin"])
def test_a_nul_in_an_address_or_a_cookie_is_refused_on_each_page(agency: Agency, role: Role | None) -> None:
    client = agency.client(role) if role else browser()
    made = {"pk": 1, "answer_pk": 1, "index": 1, "number": 1, "token": "a" * 32, "request_id": "a" * 32}
    asked = 0
    for route in routes():
        if route.app in ("sign-in", "static") or (route.has_object and not holds_only(route.pattern, made)):
            continue
        address = route.address(**{name: value for name, value in made.items() if f":{name}>" in route.pattern})
        for query in ({"q": "a\0b"}, {"like": "\0"}, {"a\0": "1"}):
            assert client.get(address, query).status_code == 400, (address, query)
        asked += 1
    assert asked > 40
    assert client.get("/cases/\0").status_code == 400
    assert client.get("/cases/", HTTP_COOKIE='other="a\\000b"').status_code == 400


def holds_only(pattern: str, known: dict[str, object]) -> bool:
    return all(found.rpartition(":")[2] in known for found in re.findall(r"<([^>]+)>", pattern))
