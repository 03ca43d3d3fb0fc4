"""The organisation of `make desk`: its people, its keys and its three cases. Imported after Django has started."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agent.clients.broker.broker_pki import ClientFiles
from agent.clients.requester.identity import Requester
from demo.stage import DOOR
from desk.asking import drafts
from desk.asking.models import Draft
from desk.cases.models import Answer, Note
from desk.people import organisations
from desk.people.models import Membership, Organisation, Person
from desk.people.operator_links import operator_link
from desk.people.roles import Role

__all__ = ["Cases"]

_HOUR_S = 3600
_PEOPLE = {
    Role.ADMIN: ("Noor de Vries", "noor@rijnstad.example"),
    Role.ASKER: ("Sam Bakker", "sam@rijnstad.example"),
    Role.SUPERVISOR: ("Iris Jansen", "iris@rijnstad.example"),
    Role.EVIDENCE_OFFICER: ("Tom Visser", "tom@rijnstad.example"),
}


class Cases:
    """One organisation on the desk."""

    def __init__(self, requester_id: str, name: str) -> None:
        self._people = {role: self._person(*words) for role, words in _PEOPLE.items()}
        self._people[Role.ADMIN].is_superuser = True
        self._people[Role.ADMIN].save()
        self._organisation = Organisation(requester_id=requester_id, name=name, kind="police")
        organisations.set_up(self._organisation, self._people[Role.ADMIN])
        for role, person in self._people.items():
            Membership.objects.get_or_create(organisation=self._organisation, person=person, role=role.value)

    @staticmethod
    def _person(name: str, email: str) -> Person:
        return Person.objects.create(username=email, email=email, first_name=name, password="!")  # noqa: S106 (none)

    @property
    def requester(self) -> Requester:
        return organisations.requester_of(self._organisation)

    def connect(self, root: str, bundle: bytes, sign: Callable[[bytes], ClientFiles]) -> None:
        """Imports the root's bundle, and takes a certificate for the broker."""
        admin = self._people[Role.ADMIN]
        organisations.import_bundle(self._organisation, admin, root, bundle)
        files = sign(organisations.certificate_request(self._organisation))
        read = Path.read_bytes
        organisations.take_certificate(self._organisation, admin, read(files.certificate), read(files.authority))

    def ask(self, from_s: int, to_s: int) -> str:
        """Asks for the footage of a burglary. Returns the id of the request."""
        draft = self._draft("2026-0417", "Burglary, Oudegracht", "burglary", from_s, to_s)
        draft.description = "A burglary took place here. Footage of the street may show who came and went."
        self._submit(draft)
        supervisor = self._people[Role.SUPERVISOR]
        signed = drafts.approve(draft, supervisor, frozenset({Role.SUPERVISOR}), drafts.content_of(draft))
        Note.objects.create(
            case=draft.case, author=self._people[Role.ASKER], text="Statement of the resident: heard glass break."
        )
        return signed.request_id

    def write_two_more(self) -> None:
        """A request that waits for approval, and a draft."""
        now_s = int(time.time()) // 60 * 60
        waiting = self._draft(
            "2026-0421", "Hit and run, Nieuwegracht", "traffic", now_s - 26 * _HOUR_S, now_s - 25 * _HOUR_S
        )
        waiting.description = "A cyclist was hit by a car that drove on."
        self._submit(waiting)
        draft = self._draft("2026-0423", "Missing person", "missing-person", now_s - 5 * _HOUR_S, now_s - 3 * _HOUR_S)
        draft.description = "An elderly man left his home without a coat."
        drafts.save(draft, self._people[Role.ASKER], frozenset({Role.ASKER}))

    def _draft(self, number: str, title: str, incident: str, from_s: int, to_s: int) -> Draft:
        asker = self._people[Role.ASKER]
        return Draft(
            organisation=self._organisation,
            case=drafts.case_of(self._organisation, number, asker, title),
            author=asker,
            title=title,
            area={"shape": "circle", "lat": DOOR[0] + 0.001, "lon": DOOR[1], "radius_m": 300},
            from_s=from_s,
            to_s=to_s,
            incident=incident,
            contact_name="Desk of Rijnstad Police",
            contact_email="desk@rijnstad.example",
            retention_days=90,
            onward=["court", "defence"],
            language="en",
        )

    def _submit(self, draft: Draft) -> None:
        asker, roles = self._people[Role.ASKER], frozenset({Role.ASKER})
        drafts.save(draft, asker, roles)
        drafts.submit(draft, asker, roles, drafts.content_of(draft))
        draft.refresh_from_db()

    def complete(self) -> int:
        """Returns the number of answers that are complete."""
        return Answer.objects.filter(case__organisation=self._organisation, state="complete").count()

    def links(self) -> dict[str, str]:
        """Returns a one-time link for each person."""
        return {
            f"{person.first_name}, {role.value.replace('-', ' ')}": operator_link(person.email)
            for role, person in self._people.items()
        }
