"""Setting up an organisation: its row, its folder with keys, and its first admin."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import transaction

from agent.clients.requester.identity import Requester
from agent.wire.fields import Kind
from desk.custody import log
from desk.people.models import Membership, Organisation, Person
from desk.people.roles import Role

__all__ = ["folder_of", "requester_of", "set_up"]


def folder_of(organisation: Organisation) -> Path:
    """Returns the folder with the keys, requests and answers of the organisation."""
    folder: Path = settings.ORGANISATIONS / organisation.requester_id
    return folder


def requester_of(organisation: Organisation) -> Requester:
    """Returns the requester that the organisation is. Raises `ConfigurationError` with the remedy."""
    return Requester.open(folder_of(organisation))


@transaction.atomic
def set_up(organisation: Organisation, admin: Person) -> None:
    """Stores a new organisation with its keys, and makes `admin` its first member."""
    organisation.save()
    Membership.objects.create(person=admin, organisation=organisation, role=Role.ADMIN)
    log.record(organisation, admin, "organisation.made", organisation.requester_id)
    # Last, because files do not roll back: a failure before leaves no folder that would block another try.
    Requester.create(folder_of(organisation), organisation.requester_id, Kind(organisation.kind))
