"""Requests and notices of neighbours cost work, a moderator decides, and the neighbour alone opens the answers."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from django.conf import settings
from django.test import Client, override_settings

from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.requester.news import ReceiverEventKind
from agent.errors import OpenError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.area import Circle
from agent.wire.fields import Kind
from agent.wire.messages import Bulletin, Contact
from desk.cases.deletion import run_due
from desk.cases.models import Answer, Case, Clip
from desk.config import Public
from desk.custody.models import Entry
from desk.neighbourhood import moderation, submissions
from desk.neighbourhood import proof_of_work as work
from desk.neighbourhood.cap import NAMESPACE
from desk.neighbourhood.models import NoticeReport, Submission
from desk.neighbourhood.submissions import PLACE_STEP_E7, RADII_M, coarse
from desk.people.models import Membership
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.reconcile import reconcile
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, gops
from tests.clients.requester.doors import TestClock
from tests.clients.requester.house import House
from tests.clients.requester.test_incoming import Receiving
from tests.clients.requester.test_relayed_answers import upload
from tests.desk.agencies import Agency, browser, make_agency, make_person
from tests.desk.asking.asking_desk import vouch
from tests.desk.neighbourhood.test_tips_from_browsers import worked

__all__ = ["gops"]

HERE = "/neighbours/kerkstraat"
WORDS = "A parcel is gone from a door here. Did your camera see who took it?"
CONTACT = Contact(name="Kerkstraat neighbours", email="moderators@kerkstraat.example")
CONTACT_FIELDS = {"contact_name": CONTACT.name, "contact_email": CONTACT.email}
DAY_S = 86_400


def make_neighbourhood() -> Agency:
    made = make_agency("kerkstraat", "Kerkstraat neighbours", kind="neighbour")
    vouch(made, kind=Kind.NEIGHBOUR)
    made.organisation.refresh_from_db()
    return made


@pytest.fixture
def street(data: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agency]:
    """A neighbourhood with moderators. Work costs little here, and is checked as always."""
    monkeypatch.setattr(work, "LEAST_BITS", 1)
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, public=Public(neighbours=True))):
        yield make_neighbourhood()


@pytest.fixture
def second(street: Agency) -> Client:
    """Another moderator."""
    person = make_person("second@kerkstraat.example")
    Membership.objects.create(organisation=street.organisation, person=person, role=Role.MODERATOR)
    client = browser()
    client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


class Neighbour:
    """The browser of a person without an account."""

    def __init__(self) -> None:
        self.identity = HybridIdentity(secrets.token_bytes(32))
        self.token = secrets.token_hex(32)

    def writes(self, **changes: Any) -> dict[str, Any]:
        now_s = int(time.time())
        asked = {
            "kind": "request",
            "token_sha256": hashlib.sha256(self.token.encode()).hexdigest(),
            "language": "en",
            "description": WORDS,
            "lat": 52.0907,
            "lon": 5.1214,
            "radius_m": 200,
            "incident": "parcel-theft",
            "from_s": now_s - 7200,
            "to_s": now_s - 3600,
            "reply": str(self.identity.recipient()),
        }
        return asked | changes

    def notice(self, **changes: Any) -> dict[str, Any]:
        written = self.writes(kind="notice", title="A tame parrot flew in", description="It says hello.") | changes
        return {name: value for name, value in written.items() if name not in ("incident", "from_s", "to_s", "reply")}

    def sends(self, written: dict[str, Any], path: str = "send") -> Any:
        return worked_post(f"{HERE}/{path}", json.dumps(written).encode())

    def call(self, path: str, body: str = "") -> Any:
        headers = {"neighbour-token": self.token}
        return browser().post(f"{HERE}/mine/{path}", body, content_type="application/octet-stream", headers=headers)

    def state(self) -> Any:
        return self.call("state").json()


def worked_post(address: str, body: bytes) -> Any:
    asked = browser().get(f"{HERE}/token").json()
    headers = {"work-token": asked["token"], "work-nonce": worked(asked["token"], body, asked["bits"])}
    return browser().post(address, body, content_type="application/octet-stream", headers=headers)


def reports(row: Submission, reason: str) -> Any:
    body = json.dumps({"notice": row.message_id, "reason": reason}).encode()
    return worked_post(f"{HERE}/notices/{row.message_id}/report", body)


def published(street: Agency, second: Client, written: dict[str, Any], neighbour: Neighbour) -> Submission:
    """The submission after the moderators have accepted it."""
    assert neighbour.sends(written).status_code == 202
    row = Submission.objects.latest("pk")
    for moderator in (street.client(Role.MODERATOR), second):
        moderator.post(f"/moderation/{row.pk}/accept", CONTACT_FIELDS)
    row.refresh_from_db()
    assert row.state == "published"
    return row


# On its way


def test_a_request_waits_for_a_moderator_and_reaches_no_door_before(street: Agency) -> None:
    neighbour = Neighbour()
    assert neighbour.sends(neighbour.writes()).status_code == 202
    assert neighbour.sends(neighbour.writes()).status_code == 202, "asked again, because the answer was not heard"
    row = Submission.objects.get()
    assert row.state == "waiting"
    assert requester_of(street.organisation).request_ids() == []
    assert neighbour.state()["state"] == "waiting"
    page = street.client(Role.MODERATOR).get(f"/moderation/{row.pk}").content.decode()
    assert "A parcel is gone" in page


@pytest.mark.parametrize(
    "changed",
    [
        {"radius_m": 60},
        {"radius_m": 5000},
        {"incident": "assault"},
        {"incident": ""},
        {"from_s": 0},
        {"to_s": 4_000_000_000},
        {"from_s": 1, "to_s": 2},
        {"reply": "age1" + "q" * 58},
        {"reply": "age1pq1" + "q" * 1952},
        {"reply": ""},
        {"description": "see www.example.org"},
        {"description": ""},
        {"description": "x" * 501},
        {"lat": 91.0},
        {"token_sha256": "x"},
        {"photograph": "data:"},
        {"kind": "comment"},
    ],
)
def test_an_unfit_request_is_refused_with_words_and_stored_nowhere(street: Agency, changed: dict[str, Any]) -> None:
    neighbour = Neighbour()
    answer = neighbour.sends(neighbour.writes(**changed))
    assert answer.status_code == 400
    assert answer.content
    assert not Submission.objects.exists()


def test_a_submission_without_work_or_with_anothers_work_is_refused(street: Agency) -> None:
    body = json.dumps(Neighbour().writes()).encode()
    asked = browser().get(f"{HERE}/token").json()
    nonce = worked(asked["token"], body, 30) if asked["bits"] > 25 else worked(asked["token"], body, asked["bits"])
    for headers in (
        {},
        {"work-token": asked["token"], "work-nonce": ""},
        {"work-token": ("B" if asked["token"][0] == "A" else "A") + asked["token"][1:], "work-nonce": nonce},
    ):
        answer = browser().post(f"{HERE}/send", body, content_type="application/octet-stream", headers=headers)
        assert answer.status_code == 403
    assert not Submission.objects.exists()


def test_only_a_neighbourhood_that_a_root_lists_takes_them_and_only_if_the_desk_wants_it(
    street: Agency, agency: Agency
) -> None:
    vouch(agency)
    for path in ("", "/ask", "/write", "/mine", "/token", "/notices.atom"):
        assert browser().get(HERE + path).status_code == 200, path
        assert browser().get(f"/neighbours/rijnstad-police{path}").status_code == 404, path
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, public=Public())):
        assert browser().get(HERE).status_code == 404


def test_the_row_names_no_person_and_no_minute(street: Agency) -> None:
    neighbour = Neighbour()
    neighbour.sends(neighbour.writes())
    row = Submission.objects.values().get()
    assert row["written_hour"] == int(time.time()) // 3600 or row["written_hour"] == int(time.time()) // 3600 - 1
    assert neighbour.token not in str(row)
    assert neighbour.identity.secret_text() not in str(row)
    names = {each.name for each in Submission._meta.get_fields()}
    assert not names & {"ip", "address", "email", "author", "photo", "picture", "created_at"}


def test_the_place_of_a_writer_is_rounded_before_anyone_reads_it(street: Agency, second: Client) -> None:
    """People write the place of their own door. The public page would list homes."""
    for lat, lon in ((52.09062, 5.12143), (52.09141, 5.12051), (52.09149, 5.12149)):
        neighbour = Neighbour()
        assert neighbour.sends(neighbour.notice(lat=lat, lon=lon)).status_code == 202
        row = Submission.objects.latest("pk")
        assert row.area == {"shape": "circle", "lat": 52.091, "lon": 5.121, "radius_m": 200}, "three homes, one place"
        street.client(Role.MODERATOR).post(f"/moderation/{row.pk}/accept")
        row.refresh_from_db()
        pages = [browser().get(f"{HERE}/notices/{row.message_id}{kind}").content.decode() for kind in ("", ".cap")]
        pages.append(browser().get(f"{HERE}/notices.atom").content.decode())
        assert "52.0910000,5.1210000 0.200" in pages[1]
        assert "52.0910000 5.1210000 200" in pages[2]
        assert [each for each in pages if str(lat) in each or str(lon) in each] == []
    neighbour = Neighbour()
    asked = published(street, second, neighbour.writes(), neighbour)
    area = requester_of(street.organisation).sent_request(asked.message_id).request.area
    assert area == Circle(lat=52.091, lon=5.121, radius_m=200)


def test_a_place_stays_within_the_smallest_circle_wherever_it_is() -> None:
    """The grid is widest at the equator: a place moves by half of its diagonal at most."""
    most_m = math.hypot(PLACE_STEP_E7, PLACE_STEP_E7) / 2 * 0.011_12  # metres of 1e-7 degrees
    assert most_m < 79 < min(RADII_M)
    moved = [abs(coarse(degrees) - degrees) for degrees in (0.0005, 52.0907, -33.4495, 5.12149999, 179.9994999)]
    assert max(moved) <= 0.0005 + 1e-7


# Two moderators


def test_one_moderator_alone_sends_no_request_to_doors(street: Agency, second: Client) -> None:
    neighbour, first = Neighbour(), street.client(Role.MODERATOR)
    neighbour.sends(neighbour.writes())
    row = Submission.objects.get()
    first.post(f"/moderation/{row.pk}/accept", CONTACT_FIELDS)
    answer = first.post(f"/moderation/{row.pk}/accept", CONTACT_FIELDS)
    assert answer.status_code == 409
    assert requester_of(street.organisation).request_ids() == []
    assert second.post(f"/moderation/{row.pk}/accept", CONTACT_FIELDS).status_code == 302
    (request_id,) = requester_of(street.organisation).request_ids()
    asked = requester_of(street.organisation).sent_request(request_id)
    assert asked.relayed
    assert asked.request.reply == str(neighbour.identity.recipient())
    assert asked.request.kind.value == "neighbour"
    assert asked.request.onward.to == ()
    assert asked.request.contact == CONTACT
    assert neighbour.state()["request"] == asked.envelope.decode()
    told = Entry.objects.filter(organisation=street.organisation, action__startswith="neighbour.")
    assert [each.action for each in told.order_by("number")] == ["neighbour.seconded", "neighbour.accepted"]
    assert WORDS not in str(list(told.values("detail"))), "the log keeps the hash of the words"


def test_a_neighbourhood_sends_ten_requests_a_day_and_the_next_waits(
    street: Agency, second: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moderation, "MOST_A_DAY", 1)
    for _ in range(2):
        neighbour = Neighbour()
        neighbour.sends(neighbour.writes())
    first, later = Submission.objects.order_by("pk")
    for moderator in (street.client(Role.MODERATOR), second):
        moderator.post(f"/moderation/{first.pk}/accept", CONTACT_FIELDS)
        last = moderator.post(f"/moderation/{later.pk}/accept", CONTACT_FIELDS)
    assert last.status_code == 409
    later.refresh_from_db()
    assert later.state == "seconded"


def test_what_no_moderator_decides_about_is_forgotten(street: Agency) -> None:
    neighbour = Neighbour()
    neighbour.sends(neighbour.writes())
    assert submissions.forget_due(int(time.time())) == 0
    assert submissions.forget_due(int(time.time()) + 7 * DAY_S + 1) == 1
    assert neighbour.call("state").status_code == 404


# Answers


def test_an_answer_is_opened_by_the_neighbours_key_and_by_no_person_of_the_desk(
    street: Agency, second: Client, house: House
) -> None:
    neighbour = Neighbour()
    row = published(street, second, neighbour.writes(), neighbour)
    requester = requester_of(street.organisation)
    asked = requester.sent_request(row.message_id)
    # The house films where and when it likes: what it shares is not judged here, but in the neighbour's browser.
    answer = house.disclose(asked)
    lay(street, answer)
    said = neighbour.state()["answers"]
    assert said == [{"id": answer.id, "device": answer.device, "parts": len(answer.parts)}]
    fetched = [part_of(neighbour, answer.id, number) for number in range(len(answer.parts))]
    assert fetched == answer.parts
    assert open_bytes(fetched[1], [neighbour.identity])
    stored = Answer.objects.get()
    assert (stored.state, stored.grade) == ("complete", "sealed")
    assert not Clip.objects.exists()
    page = street.client(Role.EVIDENCE_OFFICER).get(f"/cases/{stored.case.pk}").content.decode()
    assert "Sealed to the neighbour who asked" in page
    tips = requester.tips_identity()
    assert tips is not None
    with pytest.raises(OpenError):
        open_bytes(fetched[1], [tips])
    assert Neighbour().call(f"{answer.id}/0").status_code == 404
    other = Neighbour()
    other.sends(other.writes())
    assert other.call(f"{answer.id}/0").status_code == 404, "of another neighbour"


def test_a_sealed_answer_and_its_request_are_deleted_when_their_days_are_over(
    street: Agency, second: Client, house: House
) -> None:
    neighbour = Neighbour()
    row = published(street, second, neighbour.writes(), neighbour)
    requester = requester_of(street.organisation)
    answer = house.disclose(requester.sent_request(row.message_id))
    lay(street, answer)
    run_due(street.organisation, requester, int(time.time()) + 8 * DAY_S)
    assert not requester.answer(answer.id).is_known()
    assert neighbour.state()["answers"] == []
    assert requester.sent_request(row.message_id).deleted
    assert submissions.forget_due(int(time.time()) + 20 * DAY_S) == 1


def test_a_kill_before_the_row_of_a_sealed_answer_loses_nothing(street: Agency, second: Client, house: House) -> None:
    neighbour = Neighbour()
    row = published(street, second, neighbour.writes(), neighbour)
    answer = house.disclose(requester_of(street.organisation).sent_request(row.message_id))
    lay(street, answer, told=False)
    requester = requester_of(street.organisation)
    reconcile(street.organisation, requester, AnswerRecorder(street.organisation, requester))
    assert Answer.objects.get().state == "complete"


def lay(street: Agency, answer: Any, *, told: bool = True) -> None:
    """Lets the receiver take all parts of an answer."""
    requester = requester_of(street.organisation)
    clock = TestClock()
    clock.boot_ns += time.time_ns() - NOW_S * 10**9
    receiving = Receiving(requester, clock)
    receiving.announce(answer)
    upload(receiving, answer)
    assert receiving.kinds[-1] is ReceiverEventKind.COMPLETE
    recorder = AnswerRecorder(street.organisation, requester)
    for event in receiving.told if told else ():
        recorder.record(event)


def part_of(neighbour: Neighbour, disclosure: str, number: int) -> bytes:
    answer = neighbour.call(f"{disclosure}/{number}")
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


@pytest.fixture
def house(gops: Any) -> House:
    made = House(int(time.time() - 5400) * 1000)
    made.record(DESCRIPTION, gops[0:3])
    return made


# Notices


def test_a_notice_is_shown_after_a_moderator_and_verifies_without_the_desk(street: Agency, second: Client) -> None:
    neighbour = Neighbour()
    neighbour.sends(neighbour.notice())
    assert "parrot" not in browser().get(HERE).content.decode()
    row = Submission.objects.get()
    street.client(Role.MODERATOR).post(f"/moderation/{row.pk}/accept")
    assert "parrot" in browser().get(HERE).content.decode()
    row.refresh_from_db()
    address = f"{HERE}/notices/{row.message_id}"
    assert "parrot" in browser().get(address).content.decode()
    feed = ElementTree.fromstring(browser().get(f"{HERE}/notices.atom").content)
    assert [each.text for each in feed.iter("{http://www.w3.org/2005/Atom}title")][1:] == ["A tame parrot flew in"]
    alert = ElementTree.fromstring(browser().get(f"{address}.cap").content)
    assert alert.findtext(f"{{{NAMESPACE}}}info/{{{NAMESPACE}}}headline") == "A tame parrot flew in"
    with zipfile.ZipFile(BytesIO(browser().get(f"{address}.zip").content)) as files:
        data = next(files.read(name) for name in files.namelist() if name.endswith(".dsse"))
    key = requester_of(street.organisation).key
    opened = envelope.open_envelope(data, Bulletin.PAYLOAD_TYPE, {key.id: key})
    assert strictjson.decode(opened.payload, Bulletin).title == "A tame parrot flew in"
    assert requester_of(street.organisation).register.unsent() == [], "a notice is sent to no door"


def test_a_notice_that_accuses_a_person_is_rejected_and_another_moderator_hears_the_appeal(
    street: Agency, second: Client
) -> None:
    neighbour, first = Neighbour(), street.client(Role.MODERATOR)
    neighbour.sends(neighbour.notice(title="Thief at number 14", description="The man of number 14 steals parcels."))
    row = Submission.objects.get()
    assert first.post(f"/moderation/{row.pk}/reject", {"reason": ""}).status_code == 422
    first.post(f"/moderation/{row.pk}/reject", {"reason": "It accuses a person."})
    assert neighbour.state() | {"answers": 0} == neighbour.state() | {"state": "rejected", "answers": 0}
    assert neighbour.state()["remark"] == "It accuses a person."
    assert "number 14" not in browser().get(HERE).content.decode()
    assert neighbour.call("appeal", "I saw it myself.").status_code == 202
    assert neighbour.call("appeal", "Again.").status_code == 400
    assert first.post(f"/moderation/{row.pk}/decide", {"granted": "yes"}).status_code == 409
    second.post(f"/moderation/{row.pk}/decide", {"granted": "no"})
    assert neighbour.state()["appeal"] == "denied"
    assert "number 14" not in browser().get(HERE).content.decode()


def test_a_defaming_notice_is_hidden_by_its_first_report_removed_and_gone_everywhere(
    street: Agency, second: Client
) -> None:
    neighbour = Neighbour()
    neighbour.sends(neighbour.notice(title="Beware of a neighbour", description="He is a thief."))
    row, first = Submission.objects.get(), street.client(Role.MODERATOR)
    first.post(f"/moderation/{row.pk}/accept")  # a moderator who errs
    row.refresh_from_db()
    address = f"{HERE}/notices/{row.message_id}"
    assert browser().get(address).status_code == 200
    assert reports(row, "It is about me, and false.").status_code == 202
    for path in (address, f"{address}.cap", f"{address}.zip"):
        assert browser().get(path).status_code == 404, path
    assert "Beware" not in browser().get(HERE).content.decode() + browser().get(f"{HERE}/notices.atom").content.decode()
    assert "It is about me" in second.get(f"/moderation/{row.pk}").content.decode()
    second.post(f"/moderation/{row.pk}/remove", {"reason": "It accuses a person."})
    assert browser().get(address).status_code == 404
    assert neighbour.state()["state"] == "removed"
    assert "He is a thief." not in str(list(Entry.objects.values_list("detail", flat=True)))
    submissions.forget_due(int(time.time()) + 15 * DAY_S)
    assert not Submission.objects.exists()
    assert not NoticeReport.objects.exists()


def test_reports_hide_a_notice_once_and_a_removed_one_returns_after_a_granted_appeal(
    street: Agency, second: Client
) -> None:
    neighbour = Neighbour()
    neighbour.sends(neighbour.notice())
    row, first = Submission.objects.get(), street.client(Role.MODERATOR)
    first.post(f"/moderation/{row.pk}/accept")
    row.refresh_from_db()
    address = f"{HERE}/notices/{row.message_id}"
    reports(row, "I do not like parrots.")
    first.post(f"/moderation/{row.pk}/dismiss")
    reports(row, "I do not like parrots.")
    reports(row, "I still do not like parrots.")
    assert [each.state for each in NoticeReport.objects.all()] == ["dismissed", "open"]
    assert browser().get(address).status_code == 200, "hidden once, so that nobody censors by reports"
    first.post(f"/moderation/{row.pk}/remove", {"reason": "Reported twice."})
    assert browser().get(address).status_code == 404
    neighbour.call("appeal", "Parrots are harmless.")
    second.post(f"/moderation/{row.pk}/decide", {"granted": "yes"})
    assert browser().get(address).status_code == 200


def test_the_work_of_one_report_hides_no_second_notice(street: Agency) -> None:
    rows = []
    for _ in range(2):
        neighbour = Neighbour()
        neighbour.sends(neighbour.notice())
        rows.append(moderation.accept(Submission.objects.latest("pk"), street.people[Role.MODERATOR]))
    body = json.dumps({"notice": rows[0].message_id, "reason": "Away with all of them."}).encode()
    asked = browser().get(f"{HERE}/token").json()
    headers = {"work-token": asked["token"], "work-nonce": worked(asked["token"], body, asked["bits"])}
    said = [
        browser().post(
            f"{HERE}/notices/{row.message_id}/report", body, content_type="application/octet-stream", headers=headers
        )
        for row in rows
    ]
    assert [each.status_code for each in said] == [202, 400]
    assert [each.hidden for each in Submission.objects.order_by("pk")] == [True, False]


def test_a_notice_ends_after_a_week(street: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbour = Neighbour()
    neighbour.sends(neighbour.notice())
    row = Submission.objects.get()
    street.client(Role.MODERATOR).post(f"/moderation/{row.pk}/accept")
    Submission.objects.update(until_s=int(time.time()) - 1)
    assert "parrot" not in browser().get(HERE).content.decode()


def test_a_neighbour_takes_back_what_they_wrote_and_doors_are_told(street: Agency, second: Client) -> None:
    neighbour = Neighbour()
    row = published(street, second, neighbour.writes(), neighbour)
    assert neighbour.call("withdraw").status_code == 202
    assert neighbour.state()["state"] == "withdrawn"
    assert requester_of(street.organisation).sent_request(row.message_id).withdrawn
    assert neighbour.call("withdraw").status_code == 400


def test_two_moderators_cannot_take_two_steps_with_one_submission(street: Agency, second: Client) -> None:
    neighbour = Neighbour()
    neighbour.sends(neighbour.notice())
    row = Submission.objects.get()
    moderation.reject(row, street.people[Role.MODERATOR], "No.")
    with pytest.raises(RequestError, match="Another person came first"):
        moderation.accept(row, street.people[Role.MODERATOR])
    assert Case.objects.count() == 0
