"""An organisation of the desk with one person for each role, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.test import Client

from desk.people import organisations
from desk.people.models import Membership, Organisation, Person
from desk.people.roles import Role

PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Agency:
    """One organisation and its people."""

    organisation: Organisation
    people: dict[Role, Person]

    def client(self, role: Role | None = None) -> Client:
        """A browser in which the person of that role is signed in, or none."""
        client = browser()
        if role is not None:
            client.force_login(self.people[role], backend="allauth.account.auth_backends.AuthenticationBackend")
        return client


def browser(**more: Any) -> Client:
    """A browser that calls the desk by HTTPS under its name."""
    return Client(SERVER_NAME="localhost", SERVER_PORT="443", **{"wsgi.url_scheme": "https"}, **more)


def make_agency(requester_id: str, name: str, kind: str = "police") -> Agency:
    """Sets up an organisation with its keys, and one person for each role."""
    organisation = Organisation(requester_id=requester_id, name=name, kind=kind)
    made = Person.objects.bulk_create([_person(f"{role.value}@{requester_id}.example") for role in Role])
    people = dict(zip(Role, made, strict=True))
    organisations.set_up(organisation, people[Role.ADMIN])
    others = [(role, person) for role, person in people.items() if role is not Role.ADMIN]
    Membership.objects.bulk_create(
        [Membership(organisation=organisation, person=person, role=role.value) for role, person in others]
    )
    return Agency(organisation, people)


def make_person(email: str) -> Person:
    person = _person(email)
    person.save()
    return person


def _person(email: str) -> Person:
    person = Person(username=email, email=email, first_name=email.split("@")[0])
    person.set_password(PASSWORD)
    return person
