"""Prepared words for each kind of incident, in the desk's languages. An organisation's own templates come first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from agent.wire.fields import Incident
from desk.asking.models import Template
from desk.people.models import Organisation

__all__ = ["INCIDENTS", "ONWARD", "Preset", "incident_name", "presets"]


@dataclass(frozen=True, slots=True)
class Preset:
    """Values that a form takes over when an incident is chosen."""

    incident: str
    description: str
    minutes: int
    days: int
    retention_days: int
    onward: tuple[str, ...]
    onward_basis: str
    language: str


@dataclass(frozen=True, slots=True)
class _Words:
    name: str | Promise
    description: str | Promise
    minutes: int = 60
    days: int = 7


INCIDENTS: Final[dict[Incident, _Words]] = {
    Incident.BURGLARY: _Words(
        _("Burglary"),
        _("A burglary took place here. We look for footage of people and vehicles around that time."),
        120,
    ),
    Incident.ROBBERY: _Words(
        _("Robbery"), _("A person was robbed here. We look for footage of people who came or left around that time.")
    ),
    Incident.ASSAULT: _Words(
        _("Assault"), _("A person was attacked here. We look for footage of people who came or left around that time.")
    ),
    Incident.THEFT: _Words(
        _("Theft"), _("Something was stolen here. We look for footage of people and vehicles around that time."), 120
    ),
    Incident.PARCEL_THEFT: _Words(
        _("Parcel theft"),
        _("Parcels were taken from doors here. We look for footage of the people who took them."),
        120,
    ),
    Incident.VEHICLE_CRIME: _Words(
        _("Vehicle crime"),
        _("A vehicle was stolen or broken into here. We look for footage of people and vehicles around that time."),
        180,
    ),
    Incident.TRAFFIC: _Words(
        _("Traffic accident"),
        _("An accident took place here. We look for footage of the vehicles before and after it."),
        30,
    ),
    Incident.VANDALISM: _Words(
        _("Vandalism"), _("Property was damaged here. We look for footage of people around that time."), 180
    ),
    Incident.TRESPASS: _Words(
        _("Trespass"), _("A person entered private grounds here. We look for footage of people around that time."), 60
    ),
    Incident.FRAUD: _Words(
        _("Fraud"), _("A person was deceived at the door here. We look for footage of people who rang at doors."), 120
    ),
    Incident.FIRE: _Words(
        _("Fire"), _("There was a fire here. We look for footage of how it began and of people around that time."), 120
    ),
    Incident.LOST_PET: _Words(
        _("Lost pet"), _("We look for a pet that ran away and may have passed here at this time."), 240, 3
    ),
    Incident.MISSING_PERSON: _Words(
        _("Missing person"), _("We look for a missing person who may have passed here at this time."), 240, 3
    ),
    Incident.OTHER: _Words(_("Other"), ""),
}

ONWARD: Final = {
    "court": _("courts and prosecutors"),
    "defence": _("the accused and their lawyers"),
    "parties": _("people and insurers who are parties to the case"),
    "agencies": _("other authorities"),
    "abroad": _("authorities of other countries"),
    "contractors": _("companies that store or examine it for you"),
    "records": _("anyone who asks for it under a public records law"),
    "appeal": _("the public, to find people or witnesses"),
}
"""Parties that law or policy may make a requester pass footage on to (`wire.fields.OnwardKind`)."""

_USUAL_ONWARD: Final = {
    "police": ("court", "defence"),
    "fire": ("agencies",),
    "insurer": ("court", "parties"),
    "neighbour": (),
    "court": ("defence", "parties"),
    "defence": ("court",),
}


def incident_name(incident: str) -> str:
    """Returns the name of an incident in the reader's language."""
    return str(INCIDENTS[Incident(incident)].name) if incident else ""


def presets(organisation: Organisation) -> Iterator[Preset]:
    """Yields a preset for each incident: the organisation's own template, or the desk's words in its language."""
    own = {each.incident: each for each in Template.objects.filter(organisation=organisation).order_by("-pk")}
    usual = _USUAL_ONWARD.get(organisation.kind, ())
    with override(organisation.language):
        for incident, words in INCIDENTS.items():
            template = own.get(incident.value)
            if template is not None:
                yield Preset(
                    incident.value,
                    template.description,
                    template.minutes,
                    template.days,
                    template.retention_days or organisation.retention_days,
                    tuple(template.onward),
                    template.onward_basis,
                    template.language,
                )
            else:
                yield Preset(
                    incident.value,
                    str(words.description),
                    words.minutes,
                    words.days,
                    organisation.retention_days,
                    usual,
                    "",
                    organisation.language,
                )
