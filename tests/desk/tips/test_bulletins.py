"""Bulletins: written, seen as an owner sees them, signed once, and gone after their last day."""

from __future__ import annotations

from agent.wire import envelope, strictjson
from agent.wire.area import Circle
from agent.wire.messages import Bulletin as BulletinMessage
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.tips.models import Bulletin
from tests.desk.agencies import Agency
from tests.desk.asking.asking_desk import vouch


def written(agency: Agency, **changes: object) -> Bulletin:
    fields = {"title": "Water off", "description": "No water until 18:00.", "days": "2", "shape": "circle"}
    fields |= {"centre": "52.0907, 5.1214", "radius_m": "500", "language": "nl", **changes}
    answer = agency.client(Role.SUPERVISOR).post("/tips/bulletins/new", fields)
    assert answer.status_code == 302, answer.content.decode()
    return Bulletin.objects.latest("pk")


def test_a_bulletin_is_signed_as_it_was_shown_and_only_once(agency: Agency) -> None:
    vouch(agency)
    bulletin, client = written(agency), agency.client(Role.SUPERVISOR)
    page = client.get(f"/tips/bulletins/{bulletin.pk}").content.decode()
    assert "No water until 18:00." in page
    assert "for 2 days" in page
    assert '<h2 dir="auto" lang="nl">' in page
    assert client.post(f"/tips/bulletins/{bulletin.pk}/publish").status_code == 302
    bulletin.refresh_from_db()
    requester = requester_of(agency.organisation)
    data = requester.notes.read(f"bulletins/{bulletin.bulletin_id}/bulletin.dsse", 1 << 20)
    assert data is not None
    opened = envelope.open_envelope(data, BulletinMessage.PAYLOAD_TYPE, {requester.key.id: requester.key})
    message = strictjson.decode(opened.payload, BulletinMessage)
    assert (message.title, message.description) == ("Water off", "No water until 18:00.")
    assert message.language == "nl"
    assert (message.area, message.not_after_s) == (Circle(lat=52.0907, lon=5.1214, radius_m=500), bulletin.not_after_s)
    assert client.post(f"/tips/bulletins/{bulletin.pk}/publish").status_code == 409
    assert len(requester.notes.names("bulletins")) == 1


def test_a_bulletin_that_doors_would_refuse_is_refused_with_words(agency: Agency) -> None:
    client = agency.client(Role.SUPERVISOR)
    fields = {"title": "See bit.ly/x", "description": "x", "days": "2", "shape": "circle", "centre": "52.1, 5.1"}
    page = client.post("/tips/bulletins/new", {**fields, "radius_m": "500"}).content.decode()
    assert "no links" in page
    vouch(agency)
    small = written(agency, radius_m="30")
    answer = client.post(f"/tips/bulletins/{small.pk}/publish")
    assert answer.status_code == 409
    assert "narrower than 120 m" in answer.content.decode()


def test_only_a_supervisor_publishes_and_only_for_the_own_organisation(agency: Agency, other_agency: Agency) -> None:
    bulletin = written(agency)
    for role in set(Role) - {Role.SUPERVISOR}:
        assert agency.client(role).post(f"/tips/bulletins/{bulletin.pk}/publish").status_code == 403
    other = other_agency.client(Role.SUPERVISOR)
    assert other.get(f"/tips/bulletins/{bulletin.pk}").status_code == 404
    assert other.post(f"/tips/bulletins/{bulletin.pk}/publish").status_code == 404
    assert "Water off" in agency.client(Role.ASKER).get("/tips/bulletins").content.decode()
