"""One-time links of the operator of a desk: for an admin of the desk, and for a person of several organisations."""

from __future__ import annotations

from django.conf import settings

from agent.errors import ConfigurationError
from desk.people.models import Person
from desk.people.one_time_links import make_link
from desk.people.sign_in_log import record_for_all

__all__ = ["operator_link"]


def operator_link(address: str) -> str:
    """Returns the whole link. Raises `ConfigurationError` if there is no such person."""
    person = Person.objects.filter(email__iexact=address).first()
    if person is None:
        raise ConfigurationError(f"No person has the address {address}.", remedy="Check the spelling.")
    record_for_all(person, "person.recovery-link", "operator")
    return f"{settings.DESK.address}/link/{make_link('recovery', person=person)}"
