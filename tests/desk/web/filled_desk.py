"""A desk with one object of each kind, in the states that pages tell apart, for tests that walk its pages.

desk = fill(agency, gops)
desk.addresses_of(Role.VIEWER)     # each address that the role may open, with its route
"""

from __future__ import annotations

import datetime
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from django.utils import timezone

from agent.core.media import Gop
from agent.core.timebase import ClockQuality
from agent.wire.disclosures import PartKind
from agent.wire.fields import Kind
from desk import sealed_keys
from desk.api.models import WebHook
from desk.api.tokens import make_token
from desk.asking import drafts
from desk.asking.models import Draft
from desk.cases import case_work
from desk.cases.deletion import delete_answer
from desk.cases.models import Answer, Case
from desk.export import guests
from desk.neighbourhood import moderation, submissions
from desk.neighbourhood.models import Submission
from desk.people import members
from desk.people.models import GuardedChange, Membership, OneTimeLink, Person
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import PERMISSIONS, Role
from desk.tips.inbox import note_arrival
from desk.tips.models import Bulletin, Tip
from desk.trust import bundles, root_keys, root_publisher, shared_root
from desk.trust.models import BundleDraft, RootDraft
from tests.clients.requester.conftest import filmed
from tests.clients.requester.test_incoming_tips import TIP, laid, one_of, shown, words
from tests.desk.agencies import Agency, make_agency
from tests.desk.asking.asking_desk import drafted, vouch
from tests.desk.receiving.doors import ask, receive
from tests.desk.routes import Route, routes

__all__ = ["PASSPHRASE", "FilledDesk", "fill"]

PASSPHRASE: Final = "six words that no person guesses"
_ROOT_LIST: Final = """version = {version}

[[requesters]]
id = "{id}"
name = "Rijnstad Police"
kind = "police"
regions = [{{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }}]

[[requesters.keys]]
key = "{key}"
from = 2026-01-01
until = {until}

[[brokers]]
host = "near.example.org"
port = 8884
areas = [{{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }}]
"""
_HOLES: Final = re.compile(r"<(\w+):(\w+)>")


@dataclass(frozen=True, slots=True)
class FilledDesk:
    """The desk of `agency`. `objects`: the arguments of the address of each route that has some."""

    agency: Agency
    objects: dict[str, dict[str, Any]]
    guest_token: str
    case: Case

    def address(self, route: Route) -> str:
        """Returns the address of a route. Without a known object it names one that may be absent."""
        made_up = {name: 1 if kind == "int" else "x" * 32 for kind, name in _HOLES.findall(route.pattern)}
        return route.address(**{**made_up, **self.objects.get(route.name, {})})

    def addresses_of(self, role: Role) -> list[tuple[Route, str]]:
        """Returns the routes that the role may open, each with the address of a real object."""
        return [
            (route, self.address(route)) for route in routes() if route.action and role in PERMISSIONS[route.action]
        ]


def fill(agency: Agency, gops: list[Gop]) -> FilledDesk:
    """Fills the desk of an agency. Each object is made as the desk makes it."""
    case = _answered_case(agency, gops)  # before the agency knows a root: its doors trust another one
    vouch(agency)
    waiting = _requests(agency)
    tip = _tips(agency, gops)
    bulletin = _bulletins(agency)
    member, invitation, change = _people(agency)
    token = _guest_link(agency, case)
    _programs(agency)
    notice, waiting_notice = _neighbours(agency)
    with patch.object(sealed_keys, "_WORK_FACTOR", 10):  # each signature opens a key
        signed, proposed, keys = _trust_root(agency)
    first = case.answers.order_by("pk")[0]
    answer = {"pk": case.pk, "answer_pk": first.pk}
    published = Bulletin.objects.exclude(bulletin_id="").get().bulletin_id
    objects: dict[str, dict[str, Any]] = {
        "people:member": {"pk": member},
        "people:withdraw-invitation": {"pk": invitation},
        "cases:answer-proof": answer,
        "cases:answer-delete": answer,
        "asking:request": {"pk": waiting.pk},
        "asking:edit": {"pk": Draft.objects.filter(state="draft").latest("pk").pk},
        "tips:file": {"pk": tip.pk, "number": 0},
        "tips:deletion": {"pk": tip.pk},
        "tips:bulletin": {"pk": bulletin.pk},
        "custody:entry": {"number": 1},
        "custody:extract": {"number": 1},
        **{f"neighbourhood:{name}": {"bulletin_id": published} for name in ("bulletin", "cap", "proof")},
        **{f"neighbourhood:{name}": {"taker": agency.organisation.requester_id} for name in ("tip", "tip-token")},
        **{
            f"neighbourhood:{name}": {"taker": "kerkstraat"}
            for name in ("neighbours", "ask", "write", "mine", "neighbour-token", "notices-feed")
        },
        **{
            f"neighbourhood:{name}": {"taker": "kerkstraat", "notice": notice}
            for name in ("notice", "notice-cap", "notice-proof")
        },
        "neighbourhood:submission": {"pk": waiting_notice},
        **{f"export:{name}": {"pk": case.pk} for name in ("case", "share", "report")},
        "cases:case": {"pk": case.pk},
        "trust:download": {"pk": signed},
        "trust:brokers": {"pk": signed},
        "trust:sign": {"pk": proposed},
        "trust:bundle-payload": {"pk": proposed},
        "trust:root-payload": {"pk": keys},
        "export:guest-door": {"token": token},
        "people:confirm": {"pk": change},
    }
    return FilledDesk(agency, objects, token, case)


def _answered_case(agency: Agency, gops: list[Gop]) -> Case:
    """A case with five answers: two complete, one quarantined, one on its way, one deleted."""
    requester, asked = ask(agency)
    doors = ("mira", "noor", "later", "doubtful", "gone")
    qualities = {"later": ClockQuality.HELD, "doubtful": ClockQuality.UNKNOWN}
    for name in doors:
        quality = qualities.get(name, ClockQuality.SYNCED)
        receive(agency, filmed(gops, name=name, quality=quality), requester, asked)
    Case.objects.update(title="Bicycle stolen in the Kerkstraat", category="theft")
    case = Case.objects.get()
    officer = agency.people[Role.EVIDENCE_OFFICER]
    _mira, _noor, later, doubtful, gone = Answer.objects.order_by("pk")
    delete_answer(agency.organisation, requester, gone.pk, officer, "asked by its owner")
    for answer, state, reason in (
        (later, "receiving", ""),
        (doubtful, "quarantined", "Part 3 differs from the recorded one."),
    ):
        Answer.objects.filter(pk=answer.pk).update(state=state, reason=reason, expected_bytes=answer.held_bytes * 3)
    case_work.write_note(case, agency.people[Role.ASKER], "A red bicycle with a basket. Two witnesses at number 14.")
    return case


def _requests(agency: Agency) -> Draft:
    """Requests in each state. Returns the one that waits for approval."""
    states = ("published", "withdrawn", "expired", "deleted", "signed")
    for number, state in enumerate(states):
        made = drafted(agency, case=f"2026-{number + 200}")
        Draft.objects.filter(pk=made.pk).update(state=state)
    drafted(agency, incident="traffic", description="A collision took place here.")
    waiting = drafted(agency, case="2026-118")
    content = drafts.content_of(waiting)
    agency.client(Role.ASKER).post(f"/requests/{waiting.pk}/submit", {"content": content})
    return waiting


def _tips(agency: Agency, gops: list[Gop]) -> Tip:
    """Two tips: words only, and a film with a picture. Returns the second, which a person has opened."""
    requester, house = requester_of(agency.organisation), filmed(gops, name="tipster")
    laid(requester, words(requester, "A white van stood at the bakery until ten."), named="6" * 32)
    laid(requester, *shown(requester, house, one_of(house, PartKind.SEGMENT), one_of(house, PartKind.POSTER)))
    for name in ("6" * 32, TIP):
        note_arrival(agency.organisation, name)
    tip = Tip.objects.get(disclosure_id=TIP)
    assert agency.client(Role.ASKER).post(f"/tips/{tip.pk}").status_code == 200
    return tip


def _bulletins(agency: Agency) -> Bulletin:
    """A bulletin in force, and one that is not published. Returns the second."""
    client = agency.client(Role.SUPERVISOR)
    for title in ("Water off in the Kerkstraat", "Bicycle thefts around the station"):
        client.post(
            "/tips/bulletins/new",
            {
                "title": title,
                "description": "Please look at your films of Tuesday evening.",
                "days": "2",
                "shape": "circle",
                "centre": "52.0907, 5.1214",
                "radius_m": "500",
                "language": "en",
            },
        )
    published, draft = Bulletin.objects.order_by("pk")
    assert client.post(f"/tips/bulletins/{published.pk}/publish").status_code == 302
    return draft


def _neighbours(agency: Agency) -> tuple[str, int]:
    """A neighbourhood with a published notice, and what waits for the agency's moderator. Returns the notice's id, and
    the row of a reported notice of the agency."""
    street = make_agency("kerkstraat", "Kerkstraat neighbours", kind="neighbour")
    vouch(street, kind=Kind.NEIGHBOUR)
    street.organisation.refresh_from_db()
    shown = moderation.accept(_notice(street), street.people[Role.MODERATOR])
    _notice(agency, kind="request", title="", incident="parcel-theft", from_s=0, to_s=3600)
    reported = moderation.accept(_notice(agency), agency.people[Role.MODERATOR])
    words = json.dumps({"notice": reported.message_id, "reason": "It is about me."}).encode()
    submissions.report(reported, words, int(timezone.now().timestamp()))
    refused = _notice(agency, title="A thief")
    moderation.reject(refused, agency.people[Role.MODERATOR], "It accuses a person.")
    submissions.appeal(refused, "I saw it.")
    return shown.message_id, reported.pk


def _notice(agency: Agency, **values: Any) -> Submission:
    made = {
        "kind": "notice",
        "title": "A tame parrot flew in",
        "description": "It says hello.",
        "area": {"shape": "circle", "lat": 52.0907, "lon": 5.1214, "radius_m": 300},
        "token_sha256": secrets.token_hex(32),
        "language": "en",
        "written_hour": 500_000,
        "until_s": 4_000_000_000,
    }
    return Submission.objects.create(organisation=agency.organisation, **(made | values))


def _people(agency: Agency) -> tuple[int, int, int]:
    """A colleague to look at, an invitation, and a role that waits for a second person."""
    admin, organisation = agency.people[Role.ADMIN], agency.organisation
    Membership.objects.filter(organisation=organisation).update(since=timezone.now() - datetime.timedelta(days=1))
    members.invite(organisation, admin, "kim@rijnstad.example", [Role.VIEWER.value])
    viewer = agency.people[Role.VIEWER]
    client = agency.client(Role.ADMIN)
    client.post(f"/people/{viewer.pk}", {"roles": [Role.VIEWER.value, Role.ASKER.value]})
    change = GuardedChange.objects.get(state="waits")
    return viewer.pk, OneTimeLink.objects.get(email="kim@rijnstad.example").pk, change.pk


def _guest_link(agency: Agency, case: Case) -> str:
    """A link to a clip of each complete answer. Returns its token."""
    first, second = Answer.objects.filter(case=case, state="complete").order_by("pk")
    _link, token = guests.make_link(
        case,
        agency.people[Role.EVIDENCE_OFFICER],
        recipient="A. de Boer, public prosecutor",
        party="prosecution",
        days=7,
        clips=[(first.disclosure_id, 1), (second.disclosure_id, 2)],
    )
    return token


def _programs(agency: Agency) -> None:
    """A token, and web hooks: one that works, one that fails, one that the desk gave up, one with a long address."""
    admin = agency.people[Role.ADMIN]
    make_token(agency.organisation, admin, name="Case system", roles=[Role.VIEWER], days=90)
    now = timezone.now()
    for name, path, values in (
        ("Case system", "hook", {"delivered_at": now}),
        ("Archive", "archive", {"failures": 3, "problem": "The address does not answer."}),
        ("Old system", "old", {"failures": 20, "problem": "The address answers with 404.", "stopped_at": now}),
        ("Regional platform", "in/" + "0123456789abcdef" * 10, {}),
    ):
        address = f"https://cms.example/{path}"  # by the row, because `make_hook` asks for the address of that name
        WebHook.objects.create(
            organisation=agency.organisation, name=name, address=address, salt="ab", made_by=admin, **values
        )


def _trust_root(agency: Agency) -> tuple[int, int, int]:
    """A root that went over from one key to those of two people, with a signed list with an ending key.

    Returns the ids of the list, of a proposal for the next, and of a proposal for the next keys.
    """
    organisation, requester = agency.organisation, requester_of(agency.organisation)
    root_keys.make_root_key(folder_of(organisation) / "root", PASSPHRASE)
    soon = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=30)
    values = {"id": requester.id, "key": requester.key.text, "until": soon.isoformat()}
    people = [agency.people[role] for role in (Role.ADMIN, Role.SUPERVISOR)]
    first = bundles.propose(organisation, people[0], _ROOT_LIST.format(version=1, **values))
    bundles.sign(first, people[1], PASSPHRASE)
    keys = [shared_root.add_key(organisation, person, PASSPHRASE) for person in people]
    _signed_by(people, shared_root.propose_root(organisation, people[0], keys, 2, 50, passphrase=PASSPHRASE))
    current = bundles.propose(organisation, people[0], _ROOT_LIST.format(version=2, **values))
    _signed_by(people, current)
    root_publisher.publish_due()
    later = values | {"until": "2030-12-31"}
    proposed = bundles.propose(organisation, people[0], _ROOT_LIST.format(version=3, **later))
    next_keys = shared_root.propose_root(organisation, people[0], keys, 2, 730)
    return current.pk, proposed.pk, next_keys.pk


def _signed_by(people: list[Person], draft: BundleDraft | RootDraft) -> None:
    for person in people:
        shared_root.add_signature(draft, person, PASSPHRASE)
