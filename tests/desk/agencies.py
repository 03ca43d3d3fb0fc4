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
    people = {role: make_person(f"{role.value}@{requester_id}.example") for role in Role}
    organisations.set_up(organisation, people[Role.ADMIN])
    for role, person in people.items():
        Membership.objects.get_or_create(organisation=organisation, person=person, role=role.value)
    return Agency(organisation, people)


def make_person(email: str) -> Person:
    return Person.objects.create_user(username=email, email=email, password=PASSWORD, first_name=email.split("@")[0])
