"""Route × role × object: each page opens for the roles of its action, on objects of the person's organisation only.

A new route without `@needs` has to be explained in `OPEN`. A new route with an object needs its maker in `OBJECTS`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agent.wire.identities import private_key_from_seed
from agent.wire.trust_keys import trust_key_of_private
from desk.api.models import ApiToken, WebHook
from desk.asking.models import Draft, Template
from desk.cases.models import Answer, Case, Clip, SignedRequest
from desk.custody import log
from desk.custody.models import Entry
from desk.export.models import GuestLink
from desk.neighbourhood.models import Submission
from desk.people.models import GuardedChange, Membership, OneTimeLink
from desk.people.roles import PERMISSIONS, Role
from desk.tips.models import Bulletin, Tip
from desk.trust import shared_root
from desk.trust.models import BundleDraft, RootDraft, RootKey
from tests.desk.agencies import Agency, browser, make_person
from tests.desk.routes import Route, routes
from tests.lengths import LONG

OPEN = {
    "people:one-time-link": "the token in the address is the right to open it (test_first_start)",
    "people:no-organisation": "for a signed-in person without an organisation; shows nothing of one",
    "people:new-organisation": "for the admin of the desk only (test_first_start)",
    "people:account": "the person's own settings",
    "people:sign-out-everywhere": "the person's own sessions",
    "people:choose": "the person's own organisations",
    "numbers:numbers": "public: numbers from signed requests",
    "numbers:csv": "public: numbers from signed requests",
    **dict.fromkeys(
        (
            "neighbourhood:bulletins",
            "neighbourhood:feed",
            "neighbourhood:bulletin",
            "neighbourhood:cap",
            "neighbourhood:proof",
        ),
        "public: bulletins in force, from the signed messages (tests/desk/neighbourhood)",
    ),
    **dict.fromkeys(
        ("neighbourhood:tip", "neighbourhood:tip-token", "neighbourhood:send-tip"),
        "public: the proof of work holds the right (tests/desk/neighbourhood)",
    ),
    **dict.fromkeys(
        (
            "neighbourhood:neighbours",
            "neighbourhood:ask",
            "neighbourhood:write",
            "neighbourhood:mine",
            "neighbourhood:notices-feed",
            "neighbourhood:notice",
            "neighbourhood:notice-cap",
            "neighbourhood:notice-proof",
        ),
        "public: notices in force, and forms (tests/desk/neighbourhood/test_neighbours.py)",
    ),
    **dict.fromkeys(
        ("neighbourhood:neighbour-token", "neighbourhood:send", "neighbourhood:report"),
        "public: the proof of work holds the right (tests/desk/neighbourhood/test_neighbours.py)",
    ),
    **dict.fromkeys(
        ("neighbourhood:mine-state", "neighbourhood:mine-part", "neighbourhood:appeal", "neighbourhood:withdraw"),
        "the token of the neighbour's browser holds the right (tests/desk/neighbourhood/test_neighbours.py)",
    ),
    "export:guest": "the guest's session holds the right (tests/desk/export)",
    "export:guest-download": "the guest's session holds the right (tests/desk/export)",
    "export:guest-play": "the guest's session holds the right (tests/desk/export)",
    "export:guest-film": "the guest's session holds the right (tests/desk/export)",
    "export:guest-door": "the token in the address is the right to open it (tests/desk/export)",
    "api:api-root": "only leads to the description",
    **dict.fromkeys(
        ("api:openapi-json", "api:cases", "api:case", "api:requests", "api:answers", "api:export"),
        "the token of a program holds the right (tests/desk/api)",
    ),
}
"""Routes that no role decides about, with the reason. Sign-in has its tests in tests/desk/people."""
OWN_ACCOUNT = {
    "people:no-organisation", "people:account", "people:sign-out-everywhere", "people:choose",
    "people:new-organisation",
}  # fmt: skip
REFUSED = (403, 405)

Maker = Callable[[Agency], dict[str, Any]]


def case_of(agency: Agency) -> Case:
    number = secrets.token_hex(4)
    return Case.objects.create(
        organisation=agency.organisation, number=number, created_by=agency.people[Role.SUPERVISOR]
    )


def case(agency: Agency) -> dict[str, Any]:
    return {"pk": case_of(agency).pk}


def answer(agency: Agency) -> dict[str, Any]:
    asked = SignedRequest.objects.create(
        case=case_of(agency),
        request_id=secrets.token_hex(16),
        from_ms=0,
        to_ms=1000,
        not_after=timezone.now() + timedelta(days=1),
        retention_days=30,
    )
    made = Answer.objects.create(
        case=asked.case, request_id=asked.request_id, disclosure_id=secrets.token_hex(16), state="complete"
    )
    Clip.objects.create(answer=made, index=0, from_ms=0, to_ms=1000, clock_quality="synced")
    return {"pk": made.case.pk, "answer_pk": made.pk}


def clip(agency: Agency) -> dict[str, Any]:
    return {**answer(agency), "index": 0}


def draft(agency: Agency) -> dict[str, Any]:
    made = Draft.objects.create(
        organisation=agency.organisation, case=case_of(agency), author=agency.people[Role.ASKER], incident="burglary"
    )
    return {"pk": made.pk}


def tip(agency: Agency) -> dict[str, Any]:
    return {"pk": Tip.objects.create(organisation=agency.organisation, disclosure_id=secrets.token_hex(16)).pk}


def tip_file(agency: Agency) -> dict[str, Any]:
    return {**tip(agency), "number": 0}


def submission(agency: Agency) -> dict[str, Any]:
    made = Submission.objects.create(
        organisation=agency.organisation,
        kind="notice",
        token_sha256=secrets.token_hex(32),
        title="A parrot",
        description="It says hello.",
        area={"shape": "circle", "lat": 52.09, "lon": 5.12, "radius_m": 300},
        written_hour=500_000,
        until_s=4_000_000_000,
    )
    return {"pk": made.pk}


def bulletin(agency: Agency) -> dict[str, Any]:
    made = Bulletin.objects.create(
        organisation=agency.organisation,
        author=agency.people[Role.SUPERVISOR],
        title="A bike theft",
        description="A bike was stolen.",
        area={"shape": "circle", "lat": 52.09, "lon": 5.12, "radius_m": 300},
    )
    return {"pk": made.pk}


def member(agency: Agency) -> dict[str, Any]:
    """A person for this route alone, because some routes take the person out of the organisation."""
    person = make_person(f"{secrets.token_hex(4)}@rijnstad.example")
    Membership.objects.create(organisation=agency.organisation, person=person, role=Role.VIEWER)
    return {"pk": person.pk}


def invitation(agency: Agency) -> dict[str, Any]:
    made = OneTimeLink.objects.create(
        token_sha256=secrets.token_hex(32),
        purpose="invitation",
        organisation=agency.organisation,
        email="new@example.org",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    return {"pk": made.pk}


def guarded_change(agency: Agency) -> dict[str, Any]:
    """The proposal of a person who is not among the roles, so that each role with the right is a second person."""
    Membership.objects.filter(organisation=agency.organisation).update(since=timezone.now() - timedelta(days=1))
    made = GuardedChange.objects.create(
        organisation=agency.organisation, kind="rule-off", made_by=make_person(f"{secrets.token_hex(4)}@example.org")
    )
    return {"pk": made.pk}


def guest_link(agency: Agency) -> dict[str, Any]:
    made = GuestLink.objects.create(
        case=case_of(agency),
        token_sha256=secrets.token_hex(32),
        made_by=agency.people[Role.EVIDENCE_OFFICER],
        expires_at=timezone.now() + timedelta(days=1),
    )
    return {"pk": made.pk}


def api_token(agency: Agency) -> dict[str, Any]:
    made = ApiToken.objects.create(
        organisation=agency.organisation,
        name="a program",
        token_sha256=secrets.token_hex(32),
        made_by=agency.people[Role.ADMIN],
        expires_at=timezone.now() + timedelta(days=1),
    )
    return {"pk": made.pk}


def web_hook(agency: Agency) -> dict[str, Any]:
    made = WebHook.objects.create(
        organisation=agency.organisation,
        name="a program",
        address="https://cms.example/hook",
        salt="ab",
        made_by=agency.people[Role.ADMIN],
    )
    return {"pk": made.pk}


def bundle_draft(agency: Agency) -> dict[str, Any]:
    made = BundleDraft.objects.create(
        organisation=agency.organisation, version=1, text="version = 1", proposed_by=agency.people[Role.ADMIN]
    )
    return {"pk": made.pk}


def root_key(agency: Agency) -> dict[str, Any]:
    made = RootKey.objects.create(
        organisation=agency.organisation,
        person=make_person(f"{secrets.token_hex(4)}@rijnstad.example"),
        public_key=trust_key_of_private(private_key_from_seed(secrets.token_bytes(32))).text,
        place="outside",
    )
    return {"pk": made.pk}


def root_draft(agency: Agency) -> dict[str, Any]:
    """A proposal of two people's keys. Only one can wait, so the one before is withdrawn."""
    RootDraft.objects.filter(organisation=agency.organisation).update(state="withdrawn")
    keys = [RootKey.objects.get(pk=root_key(agency)["pk"]) for _ in range(2)]
    made = shared_root.propose_root(agency.organisation, agency.people[Role.ADMIN], keys, 2, 365)
    return {"pk": made.pk}


def entry(agency: Agency) -> dict[str, Any]:
    """The newest entry. Another organisation's log has fewer."""
    for _ in range(20):
        log.record(agency.organisation, "test", "test.entry", "an entry")
    return {"number": Entry.objects.filter(organisation=agency.organisation).count() - 1}


OBJECTS: dict[str, Maker] = {
    **dict.fromkeys(("people:member", "people:remove-member", "people:recover-member"), member),
    "people:withdraw-invitation": invitation,
    **dict.fromkeys(("people:confirm", "people:refuse"), guarded_change),
    **{f"cases:{name}": case for name in ("case", "note", "assign", "close", "reopen", "hold", "release")},
    **{f"cases:{name}": answer for name in (
        "answer-verdict", "answer-note", "answer-proof", "answer-time", "answer-keep", "answer-delete", "open-stills")},
    "cases:open-clip": clip,
    **{f"asking:{name}": draft for name in ("request", "state", "edit", "submit", "approve", "return", "withdraw")},
    "tips:tip": tip,
    "tips:file": tip_file,
    "tips:assign": tip,
    **dict.fromkeys(("tips:deletion", "tips:hold", "tips:release", "tips:delete"), tip),
    **{f"neighbourhood:{name}": submission for name in (
        "submission", "accept", "reject", "remove", "dismiss", "decide")},
    "tips:bulletin": bulletin,
    "tips:publish": bulletin,
    **dict.fromkeys(("custody:entry", "custody:extract"), entry),
    **{f"export:{name}": case for name in ("case", "report", "share")},
    "export:revoke": guest_link,
    "integrations:revoke": api_token,
    **dict.fromkeys(("integrations:remove-hook", "integrations:resume-hook"), web_hook),
    **{f"trust:{name}": bundle_draft for name in ("sign", "withdraw", "download", "brokers", "bundle-payload")},
    "trust:retire-key": root_key,
    **{f"trust:{name}": root_draft for name in ("sign-root", "withdraw-root", "root-payload")},
}  # fmt: skip
"""How to make the object of a route. It returns the arguments of the address."""
NO_OBJECT = {
    "cases:film": ({"token": "x" * 32}, "a token of an opened film, known to one person's session (tests/desk/cases)"),
}
ABSENT_HERE = {
    "tips:file", "cases:open-clip", "cases:open-stills", "cases:answer-verdict", "asking:edit", "asking:tiles",
    "export:report", "trust:download", "trust:brokers", "trust:bundle-payload",
    "trust:package", "trust:certificate-request", "trust:certificate", "trust:broker-password",
}  # fmt: skip
"""Their objects have no footage in this test, or the form is empty: a 404 is right for a permitted person."""


def walked() -> list[Route]:
    return [route for route in routes() if route.app != "sign-in"]


APPS = sorted({route.app for route in walked()})


def test_each_route_has_its_action_or_its_reason() -> None:
    without = {route.name for route in walked() if route.action is None}
    assert without == set(OPEN), "give the view @needs(Action.…), or explain it in OPEN"


def test_each_route_with_an_object_has_a_maker() -> None:
    holding = {route.name for route in walked() if route.has_object and route.action}
    assert holding == OBJECTS.keys() | NO_OBJECT.keys()


@pytest.mark.parametrize("app", APPS)
def test_a_stranger_reaches_no_page(agency: Agency, app: str) -> None:
    for route in walked():
        if route.app == app and (route.action or route.name in OWN_ACCOUNT):
            address = address_of(route, agency)
            for send in (browser().get, browser().post):
                answered = send(address)
                sent_away = answered.status_code == 302 and answered["Location"].startswith("/accounts/login/")
                assert sent_away or answered.status_code == 405, route


FOR_ANY_SITE = {
    f"neighbourhood:{name}" for name in ("send-tip", "send", "mine-state", "mine-part", "withdraw", "appeal", "report")
}
"""Forms that another site may send as well, because no cookie gives a right there."""


def test_another_site_may_send_only_the_forms_that_need_no_cookie() -> None:
    assert {route.name for route in walked() if route.is_csrf_exempt and route.app != "api"} == FOR_ANY_SITE


@pytest.mark.parametrize("app", APPS)
def test_a_form_of_another_site_is_refused_before_anything_is_done(agency: Agency, app: str) -> None:
    client = browser(enforce_csrf_checks=True)
    client.force_login(agency.people[Role.SUPERVISOR], backend="allauth.account.auth_backends.AuthenticationBackend")
    for route in walked():
        if route.app == app and not route.is_csrf_exempt and route.name not in OPEN:
            answered = client.post(address_of(route, agency), HTTP_ORIGIN="https://evil.example")
            assert (answered.status_code, b"Send the form again" in answered.content) == (403, True), route


@pytest.mark.parametrize("app", APPS)
def test_a_role_reaches_exactly_the_pages_of_its_actions(agency: Agency, app: str) -> None:
    clients = {role: agency.client(role) for role in Role}
    for route in walked():
        if route.app != app or not route.action:
            continue
        untouched = address_of(route, agency)  # for those who are refused
        for role in Role:
            client = clients[role]
            if role in PERMISSIONS[route.action]:
                status = statuses(client, address_of(route, agency))
                assert not status & {403, 500}, (route, role)
                assert 404 not in status or route.name in ABSENT_HERE or route.name in NO_OBJECT, (route, role)
            else:
                assert statuses(client, untouched) <= set(REFUSED), (route, role)
    assert_signed_in(clients)


@pytest.mark.parametrize("each_role", [False, pytest.param(True, marks=LONG)], ids=["who may", "each role"])
@pytest.mark.parametrize("app", APPS)
def test_an_object_of_another_organisation_is_not_found(
    agency: Agency, other_agency: Agency, app: str, each_role: bool
) -> None:
    """For a role that reaches the page. The test above shows that the others reach it not even for an own object."""
    clients = {role: other_agency.client(role) for role in Role}
    for route in walked():
        if route.app != app or route.name not in OBJECTS or not route.action:
            continue
        address = address_of(route, agency)
        before = Entry.objects.filter(organisation=agency.organisation).count()
        for role in Role if each_role else PERMISSIONS[route.action]:
            expected = {404} if role in PERMISSIONS[route.action] else {403}
            assert statuses(clients[role], address) <= {*expected, 405}, (route, role)
        assert Entry.objects.filter(organisation=agency.organisation).count() == before, route
    assert_signed_in(clients)


def names_a_person(acting: Agency, owner: Agency) -> tuple[str, dict[str, Any]]:
    return f"/cases/{case_of(acting).pk}/assign", {"person": owner.people[Role.VIEWER].pk}


def names_a_case(acting: Agency, owner: Agency) -> tuple[str, dict[str, Any]]:
    return f"/tips/{tip(acting)['pk']}/assign", {"case": case_of(owner).pk}


def names_a_template(acting: Agency, owner: Agency) -> tuple[str, dict[str, Any]]:
    made = Template.objects.create(organisation=owner.organisation, name=secrets.token_hex(4), incident="burglary")
    return "/requests/preferences", {"form": "delete", "template": made.pk}


def names_a_clip(acting: Agency, owner: Agency) -> tuple[str, dict[str, Any]]:
    shared, named = answer(acting), answer(owner)
    if acting is owner:
        named = shared
    clips = f"{Answer.objects.get(pk=named['answer_pk']).disclosure_id}:0"
    words = {"recipient": "Ms De Wit", "party": "defence", "days": 7, "clips": clips}
    return f"/cases/{shared['pk']}/share", words


def names_a_key(acting: Agency, owner: Agency) -> tuple[str, dict[str, Any]]:
    keys = [root_key(acting)["pk"], root_key(owner)["pk"]]
    return "/trust/keys/propose", {"keys": keys, "threshold": 2, "days": 365}


@pytest.mark.parametrize(
    ("fill", "role"),
    [
        (names_a_person, Role.ASKER),
        (names_a_case, Role.ASKER),
        (names_a_template, Role.ADMIN),
        (names_a_clip, Role.EVIDENCE_OFFICER),
        (names_a_key, Role.ADMIN),
    ],
)
def test_a_form_acts_on_an_object_of_the_own_organisation_and_on_no_other(
    agency: Agency, other_agency: Agency, fill: Callable[[Agency, Agency], tuple[str, dict[str, Any]]], role: Role
) -> None:
    def acts_of(owner: Agency) -> int:
        address, words = fill(agency, owner)
        before = Entry.objects.count()
        client.post(address, words)
        return Entry.objects.count() - before

    client = agency.client(role)
    assert (acts_of(other_agency), acts_of(agency)) == (0, 1)


def assert_signed_in(clients: dict[Role, Client]) -> None:
    """No page has ended a session: the answers above were to people who are signed in."""
    assert {role: client.get("/account").status_code for role, client in clients.items()} == dict.fromkeys(Role, 200)


def address_of(route: Route, agency: Agency) -> str:
    if route.name in NO_OBJECT:
        return route.address(**NO_OBJECT[route.name][0])
    if route.name == "people:choose":
        return route.address(pk=agency.organisation.pk)
    return route.address(**(OBJECTS[route.name](agency) if route.has_object else {}))


def statuses(client: Client, address: str) -> set[int]:
    """The answers to GET and to POST, except the 405 of the one that the page does not take."""
    found = {client.get(address).status_code, client.post(address).status_code}
    return found - {405} or found


def test_a_person_chooses_only_an_organisation_of_theirs(agency: Agency, other_agency: Agency) -> None:
    client = agency.client(Role.VIEWER)
    client.post(f"/organisation/{other_agency.organisation.pk}/choose")
    assert client.get("/").context["organisation"] == agency.organisation


def test_a_passkey_of_another_person_is_not_found(agency: Agency) -> None:
    from allauth.mfa.models import Authenticator

    made = Authenticator.objects.create(user=agency.people[Role.ADMIN], type="webauthn", data={"name": "phone"})
    client = agency.client(Role.VIEWER)
    person = agency.people[Role.VIEWER]
    client.logout()
    client.post("/accounts/login/", {"login": person.email, "password": "correct horse battery"})
    for act in ("remove", "edit"):
        assert statuses(client, f"/accounts/passkeys/{made.pk}/{act}/") == {404}
