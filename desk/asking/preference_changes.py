"""Changes of what an organisation's people see and promise when they ask: time zone, places, templates.

Each change and its entry in the custody log are one transaction: the time zone decides how an approver reads a window,
and a template holds words and days that a request promises.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import transaction

from desk.asking.knowledge import zone_of
from desk.asking.models import Preferences, Template
from desk.custody import log
from desk.people.models import Person

__all__ = ["add_template", "change_preferences", "delete_template"]


@transaction.atomic
def change_preferences(stored: Preferences, person: Person, time_zone: str, places: list[Any] | None) -> None:
    """Stores the time zone, and the places if there are new ones. Without a change nothing is written."""
    changes: dict[str, object] = {}
    before = str(zone_of(stored.organisation))
    if time_zone != before:
        changes["time_zone"] = {"from": before, "to": time_zone}
    if places is not None and places != stored.places:
        changes["places"] = {"from": _of_places(stored.places), "to": _of_places(places)}
        stored.places = places
    stored.time_zone = time_zone
    stored.save()
    if changes:
        log.record(stored.organisation, person, "preferences.changed", ", ".join(changes), **changes)


@transaction.atomic
def add_template(template: Template, person: Person) -> None:
    template.save()
    _log(template, person, "template.made")


@transaction.atomic
def delete_template(template: Template, person: Person) -> None:
    _log(template, person, "template.deleted")
    template.delete()


def _log(template: Template, person: Person, action: str) -> None:
    """Writes the entry with all that a request made from the template would say."""
    if template.organisation is not None:
        names = (
            "name",
            "incident",
            "description",
            "minutes",
            "days",
            "retention_days",
            "onward",
            "onward_basis",
            "language",
        )
        values = {name: getattr(template, name) for name in names}
        log.record(template.organisation, person, action, f"template {template.pk}", **values)


def _of_places(places: list[Any]) -> dict[str, object]:
    """Names a list of places by its hash, which shows a change of one coordinate. The list itself may be long."""
    data = json.dumps(places, sort_keys=True).encode()
    return {"places": len(places), "sha256": hashlib.sha256(data).hexdigest()}
