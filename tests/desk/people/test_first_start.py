"""The first admin comes by a one-time link, and sets up an organisation with its keys."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.db import connection
from django.utils import timezone

from agent.clients.requester.identity import Requester
from desk.custody.models import Entry
from desk.people import one_time_links
from desk.people.models import Membership, OneTimeLink, Organisation, Person
from desk.people.operator_links import operator_link
from desk.people.roles import Role
from tests.desk.agencies import Agency, browser

ADMIN = {
    "name": "Noor de Vries",
    "email": "Noor@Rijnstad.example",
    "way": "password",
    "password": "seven quiet green doors",
}
ORGANISATION = {
    "name": "Rijnstad Police",
    "requester_id": "rijnstad-police",
    "kind": "police",
    "language": "nl",
    "two_person_rule": "on",
    "retention_days": "30",
}


def test_the_first_admin_comes_by_the_link_and_sets_up_the_organisation(data: Path) -> None:
    token = one_time_links.make_first_admin_link()
    client = browser()
    assert client.get(f"/link/{token}").status_code == 200
    answer = client.post(f"/link/{token}", ADMIN, follow=True)
    assert answer.redirect_chain[-1][0] == "/no-organisation"
    answer = client.post("/organisation/new", ORGANISATION, follow=True)
    assert answer.redirect_chain == [("/organisation", 302)]
    assert Person.objects.get().email == "noor@rijnstad.example"
    organisation = Organisation.objects.get()
    assert Requester.open(data / "organisations" / "rijnstad-police").id == "rijnstad-police"
    assert list(Membership.objects.values_list("role", flat=True)) == ["admin"]
    assert [entry.action for entry in Entry.objects.filter(organisation=organisation)] == ["organisation.made"]


def test_the_link_works_once_and_not_after_its_time(data: Path) -> None:
    token = one_time_links.make_first_admin_link()
    assert browser().post(f"/link/{token}", ADMIN).status_code == 302
    assert browser().get(f"/link/{token}").status_code == 404
    assert browser().post(f"/link/{token}", ADMIN | {"email": "b@example.org"}).status_code == 404
    assert Person.objects.count() == 1
    late = one_time_links.make_link("invitation", email="late@example.org")
    OneTimeLink.objects.filter(email="late@example.org").update(expires_at=timezone.now() - timedelta(seconds=1))
    assert browser().get(f"/link/{late}").status_code == 404


def test_a_desk_with_people_has_no_first_admin_link(agency: Agency) -> None:
    assert one_time_links.make_first_admin_link() is None


def test_a_weak_password_is_refused_with_the_reason(data: Path) -> None:
    token = one_time_links.make_first_admin_link()
    answer = browser().post(f"/link/{token}", ADMIN | {"password": "password123"})
    assert answer.status_code == 200
    assert "at least 12 characters" in answer.content.decode()
    assert not Person.objects.exists()


def test_the_database_does_not_hold_the_token(data: Path) -> None:
    token = one_time_links.make_first_admin_link()
    assert token is not None
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            assert token not in repr(cursor.fetchall()), table
    in_a_file = data / "desk.sqlite3"
    assert not in_a_file.exists() or token.encode() not in in_a_file.read_bytes()


def test_only_the_admin_of_the_desk_makes_organisations(agency: Agency) -> None:
    for role in agency.people:
        assert agency.client(role).get("/organisation/new").status_code == 403
    assert browser().get("/organisation/new").status_code == 302


def test_the_operator_s_link_replaces_what_a_person_had(agency: Agency) -> None:
    person = agency.people[Role.ADMIN]
    link = operator_link(person.email.upper())
    assert link.startswith("https://localhost:8444/link/")
    answer = browser().post(
        link.removeprefix("https://localhost:8444"), {"way": "password", "password": "new long secret"}
    )
    assert answer.status_code == 302
    person.refresh_from_db()
    assert person.check_password("new long secret")
