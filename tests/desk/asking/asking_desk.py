"""Helpers of the tests of requests: a trust root that vouches for an agency, and the fields of a form."""

from __future__ import annotations

import datetime
import time
from typing import Any

from agent.clients.requester.roots import KnownRoots
from agent.wire.area import Point
from agent.wire.fields import Kind
from agent.wire.trust import RequesterEntry, RequesterKey, TrustBundle, TrustRegion
from desk.asking.models import Draft
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.desk.agencies import Agency
from tests.wire import samples

REGION = TrustRegion(south_west=Point(lat=52.0, lon=5.0), north_east=Point(lat=52.2, lon=5.3))
DAY_S = 86_400


def vouch(agency: Agency, version: int = 1, **changes: Any) -> None:
    """Lets a root list the agency, and the agency import its bundle."""
    requester, now_s = requester_of(agency.organisation), int(time.time())
    key = RequesterKey(key=requester.key.text, from_s=now_s - DAY_S, until_s=now_s + 30 * DAY_S)
    fields: dict[str, Any] = {"id": requester.id, "name": agency.organisation.name, "kind": Kind.POLICE}
    listed = RequesterEntry(**{**fields, "keys": (key,), "regions": (REGION,), **changes})
    bundle = TrustBundle(v=1, root=samples.ROOT_KEY.id, version=version, issued_s=now_s, requesters=(listed,))
    signed = samples.several(bundle, samples.ROOT)
    KnownRoots(requester).accept(samples.ROOT_KEY.text, signed, now_s)
    agency.organisation.trust_root = samples.ROOT_KEY.id
    agency.organisation.save()


def fields(**changes: object) -> dict[str, object]:
    """The fields of a sound request about yesterday afternoon."""
    day = datetime.date.today() - datetime.timedelta(days=1)  # noqa: DTZ011 (the desk's own day, as a clerk writes it)
    return {
        "incident": "burglary",
        "case": "2026-117",
        "shape": "circle",
        "centre": "52.0907, 5.1214",
        "radius_m": "200",
        "corners": "",
        "day": day.isoformat(),
        "since": "14:00",
        "until": "16:00",
        "double_hour": "",
        "description": "A burglary took place here.",
        "contact_name": "Desk of Rijnstad",
        "contact_phone": "+31 20 1234567",
        "contact_email": "",
        "days": "7",
        "retention_days": "30",
        "onward": ["court", "defence"],
        "onward_basis": "",
        "language": "en",
        **changes,
    }


def drafted(agency: Agency, **changes: object) -> Draft:
    """A draft of the asker, made through the form."""
    answer = agency.client(Role.ASKER).post("/requests/new", fields(**changes))
    assert answer.status_code == 302, answer.content.decode()
    return Draft.objects.get(pk=int(answer["Location"].rpartition("/")[2]))
