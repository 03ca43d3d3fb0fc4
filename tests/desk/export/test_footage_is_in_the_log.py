"""Each address of the desk that lets footage out writes an entry to the custody log first.

The test walks all addresses as people, programs and guests who may open them, on a case with real films. It knows
footage by its bytes, so that an address that hides a film behind another type is found, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import Client

from agent.core.media import Gop
from agent.wire.disclosures import PartKind
from desk.api.tokens import ROLES, make_token
from desk.cases import views as case_views
from desk.cases.films import OpenFilms, PrivateMemory
from desk.custody.models import Entry
from desk.export import views as export_views
from desk.people.organisations import requester_of
from desk.people.roles import PERMISSIONS, Role
from desk.receiving.answer_rows import AnswerRecorder
from desk.tips.inbox import note_arrival
from desk.tips.models import Tip
from tests.clients.requester.conftest import filmed
from tests.clients.requester.test_incoming_tips import TIP, laid, one_of, shown
from tests.desk.agencies import browser
from tests.desk.export.street import Street
from tests.desk.export.test_views import opened
from tests.desk.routes import Route, routes
from tests.desk.test_matrix import NO_OBJECT, OBJECTS

ENTRY_OF = {
    "cases:open-clip": "clip.opened",
    "cases:open-stills": "stills.opened",
    "tips:tip": "tip.opened",
    "tips:file": "tip.footage-viewed",
    "export:case": "case.exported",
    "export:report": "report.exported",
    "export:guest-play": "guest.viewed",
    "export:guest-download": "guest.downloaded",
    "api:export": "case.exported",
}
"""The entry of each address from which footage leaves, or which opens the address of a film."""
FORM = {"language": "en"}


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    memory = tmp_path / "memory"
    memory.mkdir()
    opened_here = OpenFilms(PrivateMemory(memory))
    for views in (case_views, export_views):
        monkeypatch.setattr(views, "open_films", lambda: opened_here)
    yield opened_here
    opened_here.close()


def is_footage(body: bytes) -> bool:
    """MP4, JPEG, ZIP or PDF."""
    return body[4:8] == b"ftyp" or body.startswith((b"\xff\xd8\xff", b"PK\x03\x04", b"%PDF"))


def body_of(response: HttpResponseBase) -> bytes:
    return bytes(response.getvalue())  # type: ignore[attr-defined]


def lets_footage_out(client: Client, response: HttpResponseBase) -> bool:
    """True for footage, and for a page or an answer with the address of footage."""
    body = body_of(response)
    if is_footage(body):
        return True
    addresses = re.findall(rb'<(?:video|img) [^>]*src="(/[^"]+)"', body)
    if response.headers.get("Content-Type", "").partition(";")[0] == "application/json":
        found = json.loads(body)
        if isinstance(found, dict):
            addresses += [found["film"].encode()] if "film" in found else []
            addresses += [each["address"].encode() for each in found.get("stills", ())]
    return any(is_footage(body_of(client.get(address.decode()))) for address in addresses)


def arguments(route: Route, street: Street, tip: Tip) -> dict[str, Any]:
    """The objects of an address, with real films wherever there are some."""
    answer = street.answers[0]
    names = set(re.findall(r"<(?:\w+:)?(\w+)>", route.pattern))
    real = {"answer_pk": answer.pk, "index": 2, "case_id": street.case.pk, "disclosure": answer.disclosure_id}
    if route.app == "tips" and route.name in ("tips:tip", "tips:file", "tips:assign"):
        return {"pk": tip.pk, "number": 0} if "number" in names else {"pk": tip.pk}
    if route.app == "cases" or route.name in ("export:case", "export:report", "export:share"):
        return {name: real.get(name, street.case.pk if name == "pk" else "x" * 32) for name in names}
    if route.name in OBJECTS:
        return OBJECTS[route.name](street.agency)
    if route.name in NO_OBJECT:
        return NO_OBJECT[route.name][0]
    return {name: real.get(name, 2 if name == "number" else street.agency.organisation.pk) for name in names}


def visitor(route: Route, street: Street, program: dict[str, str]) -> Callable[[], Client]:
    """The browser of a person, program or guest who may open the address."""
    if route.name.startswith("export:guest"):
        return lambda: opened(street)
    if route.app == "api":
        return lambda: browser(headers=program)
    role = next((role for role in Role if route.action and role in PERMISSIONS[route.action]), Role.ADMIN)
    return lambda: street.agency.client(role)


def test_footage_leaves_by_no_address_without_its_entry(street: Street, gops: list[Gop], films: OpenFilms) -> None:
    agency = street.agency
    requester, house = requester_of(agency.organisation), filmed(gops, name="tim")
    AnswerRecorder(agency.organisation, requester).signed_request(street.asked[0].request.id)
    laid(requester, *shown(requester, house, one_of(house, PartKind.SEGMENT)))
    note_arrival(agency.organisation, TIP)
    _token, text = make_token(agency.organisation, agency.people[Role.ADMIN], name="RMS", roles=ROLES, days=1)
    program = {"authorization": f"Bearer {text}"}
    found: dict[str, set[str]] = {}
    for route in routes():
        if route.app == "sign-in":
            continue
        address = route.address(**arguments(route, street, Tip.objects.get(disclosure_id=TIP)))
        for method in ("get", "post"):
            client = visitor(route, street, program)()
            first = Entry.objects.filter(organisation=agency.organisation).count()
            response = getattr(client, method)(address, FORM)
            written = Entry.objects.filter(organisation=agency.organisation, number__gte=first)
            actions = set(written.values_list("action", flat=True))  # before anything that the response leads to
            if lets_footage_out(client, response):
                found.setdefault(route.name, set()).update(actions)
    assert found == {name: {action} for name, action in ENTRY_OF.items()}
