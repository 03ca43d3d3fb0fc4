"""From the empty form to a signed request: two people, the log, and the words that were approved."""

from __future__ import annotations

import datetime
import json
import time
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from agent.wire import envelope, strictjson
from agent.wire.messages import FootageRequest
from desk.asking import drafts
from desk.asking.models import Draft, Preferences, Template
from desk.cases.models import Case
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.desk.agencies import Agency
from tests.desk.asking.asking_desk import DAY_S, drafted, fields, vouch


@pytest.fixture
def listed(agency: Agency) -> Agency:
    vouch(agency)
    return agency


def take(agency: Agency, role: Role, draft: Draft, step: str, **more: str) -> int:
    content = drafts.content_of(Draft.objects.get(pk=draft.pk))
    answer = agency.client(role).post(f"/requests/{draft.pk}/{step}", {"content": content, **more})
    draft.refresh_from_db()
    return answer.status_code


def signed_request(agency: Agency, draft: Draft) -> FootageRequest:
    requester = requester_of(agency.organisation)
    data = requester.sent_request(draft.request_id).envelope
    opened = envelope.open_envelope(data, FootageRequest.PAYLOAD_TYPE, {requester.key.id: requester.key})
    return strictjson.decode(opened.payload, FootageRequest)


def test_a_request_is_written_approved_by_a_second_person_and_signed_as_it_was_shown(listed: Agency) -> None:
    draft = drafted(listed)
    assert take(listed, Role.ASKER, draft, "submit") == 302
    assert draft.state == "submitted"
    assert take(listed, Role.SUPERVISOR, draft, "approve") == 302
    assert draft.state == "signed"
    request = signed_request(listed, draft)
    assert (request.case, request.incident.value, request.description) == (
        "2026-117", "burglary", "A burglary took place here.",
    )  # fmt: skip
    assert (request.from_s, request.to_s, request.not_after_s) == (draft.from_s, draft.to_s, draft.not_after_s)
    assert (request.retention_days, [each.value for each in request.onward.to], request.language) == (
        30, ["court", "defence"], "en",
    )  # fmt: skip
    assert abs(request.not_after_s - time.time() - 7 * DAY_S) < 3600
    assert Case.objects.get(organisation=listed.organisation).number == "2026-117"


def test_the_custody_log_tells_who_asked_and_who_approved(listed: Agency) -> None:
    draft = drafted(listed)
    take(listed, Role.ASKER, draft, "submit")
    take(listed, Role.SUPERVISOR, draft, "approve")
    entries = {each.action: each for each in Entry.objects.filter(organisation=listed.organisation)}
    assert "asker@" in entries["request.submitted"].actor
    assert "supervisor@" in entries["request.approved"].actor
    assert entries["request.approved"].detail["content"] == entries["request.submitted"].detail["content"]
    assert entries["request.signed"].object == f"request {draft.request_id}"
    assert entries["case.opened"].case_number == "2026-117"
    assert entries["request.signed"].detail["asked_by"] == listed.people[Role.ASKER].email
    assert entries["request.signed"].detail["approved_by"] == listed.people[Role.SUPERVISOR].email


def test_nobody_approves_their_own_request_not_even_through_the_address(listed: Agency) -> None:
    answer = listed.client(Role.SUPERVISOR).post("/requests/new", fields())
    draft = Draft.objects.get(pk=int(answer["Location"].rpartition("/")[2]))
    assert take(listed, Role.SUPERVISOR, draft, "submit") == 302
    assert take(listed, Role.SUPERVISOR, draft, "approve") == 409
    assert draft.state == "submitted"
    assert take(listed, Role.ASKER, draft, "approve") == 403


def test_an_approval_of_other_words_than_those_stored_is_refused(listed: Agency) -> None:
    draft = drafted(listed)
    take(listed, Role.ASKER, draft, "submit")
    answer = listed.client(Role.SUPERVISOR).post(f"/requests/{draft.pk}/approve", {"content": "0" * 64})
    assert answer.status_code == 409
    assert "changed since" in answer.content.decode()
    take(listed, Role.SUPERVISOR, draft, "return", remark="Draw it smaller")
    assert (draft.state, draft.remark) == ("draft", "Draw it smaller")


def test_without_the_rule_of_two_persons_one_button_signs(listed: Agency) -> None:
    listed.organisation.two_person_rule = False
    listed.organisation.save()
    draft = drafted(listed)
    page = listed.client(Role.ASKER).get(f"/requests/{draft.pk}").content.decode()
    assert "Sign and publish" in page
    take(listed, Role.ASKER, draft, "submit")
    assert draft.state == "signed"
    assert signed_request(listed, draft).seq == 1


def test_a_stop_between_signature_and_note_signs_no_second_request(
    listed: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = drafted(listed)
    take(listed, Role.ASKER, draft, "submit")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(drafts, "count", stop)
        with pytest.raises(KeyboardInterrupt):
            take(listed, Role.SUPERVISOR, draft, "approve")
    draft.refresh_from_db()
    assert (draft.state, draft.request_id) == ("approved", "")
    assert take(listed, Role.SUPERVISOR, draft, "approve") == 302
    assert draft.state == "signed"
    assert list(requester_of(listed.organisation).request_ids()) == [draft.request_id]


def test_a_stop_does_not_give_a_draft_the_signature_of_another_one_of_its_case(
    listed: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ask about the same place and were approved in the same second. Their words differ."""
    first, second = drafted(listed), drafted(listed, description="A shop was robbed.", incident="robbery")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for each in (first, second):
        take(listed, Role.ASKER, each, "submit")
        with monkeypatch.context() as patched:
            patched.setattr(drafts, "sign" if each is second else "count", stop)
            with pytest.raises(KeyboardInterrupt):
                take(listed, Role.SUPERVISOR, each, "approve")
    first.refresh_from_db()
    Draft.objects.update(not_after_s=first.not_after_s)
    assert take(listed, Role.SUPERVISOR, second, "approve") == 302
    assert signed_request(listed, second).description == "A shop was robbed."


def test_a_request_that_each_door_would_refuse_is_not_signed(listed: Agency) -> None:
    draft = drafted(listed, centre="48.2, 16.3")
    page = listed.client(Role.ASKER).get(f"/requests/{draft.pk}").content.decode()
    assert "outside your region" in page
    take(listed, Role.ASKER, draft, "submit")
    assert take(listed, Role.SUPERVISOR, draft, "approve") == 409
    assert draft.state == "approved"
    assert not list(requester_of(listed.organisation).request_ids())


def test_a_published_request_is_noted_withdrawn_with_a_signed_message_and_ends(listed: Agency) -> None:
    draft = drafted(listed)
    take(listed, Role.ASKER, draft, "submit")
    take(listed, Role.SUPERVISOR, draft, "approve")
    requester = requester_of(listed.organisation)
    sent = requester.sent_request(draft.request_id)
    sent.notes.write(f"requests/{draft.request_id}/request.published", b"")
    assert "published" in listed.client(Role.VIEWER).get("/requests/").content.decode()
    draft.refresh_from_db()
    assert draft.state == "published"
    assert take(listed, Role.ASKER, draft, "withdraw", remark="Solved") == 302
    assert draft.state == "withdrawn"
    assert requester.sent_request(draft.request_id).withdrawn


def test_an_open_page_can_ask_for_the_state_until_the_request_has_ended(listed: Agency) -> None:
    draft = drafted(listed)
    client = listed.client(Role.VIEWER)

    def shown() -> tuple[dict[str, str], str]:
        page = client.get(f"/requests/{draft.pk}").content.decode()
        assert f'data-follow="/requests/{draft.pk}/state"' in page
        return client.get(f"/requests/{draft.pk}/state").json(), page

    drafted_state, page = shown()
    assert drafted_state == {"state": "draft", "content": drafts.content_of(draft)}
    assert all(f'data-{name}="{value}"' in page for name, value in drafted_state.items())
    take(listed, Role.ASKER, draft, "submit")
    take(listed, Role.SUPERVISOR, draft, "approve")
    signed_state, page = shown()
    assert signed_state == {**drafted_state, "state": "signed"}
    assert "Show the state now" in page  # for a browser without JavaScript
    take(listed, Role.ASKER, draft, "withdraw")
    assert "data-follow" not in client.get(f"/requests/{draft.pk}").content.decode()


def test_an_open_list_can_ask_whether_it_has_changed(listed: Agency) -> None:
    draft = drafted(listed)
    client = listed.client(Role.SUPERVISOR)

    def mark(query: str = "") -> str:
        found: str = client.get(f"/requests/state?{query}").json()["state"]
        assert f'data-state="{found}"' in client.get(f"/requests/?{query}").content.decode()
        return found

    first, of_a_case = mark(), mark("case=2026-9&state=")
    take(listed, Role.ASKER, draft, "submit")
    waits = mark()
    assert waits != first, "it waits for this supervisor"
    assert mark("case=2026-9&state=") != of_a_case
    assert mark() == waits
    take(listed, Role.SUPERVISOR, draft, "approve")
    assert mark() not in (first, waits)


def test_a_request_expires_after_its_last_day(listed: Agency) -> None:
    draft = drafted(listed)
    take(listed, Role.ASKER, draft, "submit")
    take(listed, Role.SUPERVISOR, draft, "approve")
    drafts.expire_due(listed.organisation, int(time.time()) + 6 * DAY_S)
    draft.refresh_from_db()
    assert draft.state == "signed"
    drafts.expire_due(listed.organisation, int(time.time()) + 8 * DAY_S)
    draft.refresh_from_db()
    assert draft.state == "expired"


def test_a_draft_that_is_thrown_away_sends_nothing(listed: Agency) -> None:
    draft = drafted(listed)
    assert take(listed, Role.ASKER, draft, "withdraw") == 302
    assert (draft.state, draft.request_id) == ("withdrawn", "")


def test_an_author_changes_a_draft_and_a_submitted_one_stays(listed: Agency) -> None:
    draft = drafted(listed)
    client = listed.client(Role.ASKER)
    assert 'value="52.0907, 5.1214"' in client.get(f"/requests/{draft.pk}/edit").content.decode()
    assert client.post(f"/requests/{draft.pk}/edit", fields(radius_m="300")).status_code == 302
    draft.refresh_from_db()
    assert draft.area["radius_m"] == 300
    take(listed, Role.ASKER, draft, "submit")
    client.post(f"/requests/{draft.pk}/edit", fields(radius_m="400"))
    draft.refresh_from_db()
    assert draft.area["radius_m"] == 300


def test_the_form_of_a_new_request_is_filled_with_all_that_the_desk_knows(listed: Agency) -> None:
    page = listed.client(Role.ASKER).get("/requests/new?incident=burglary").content.decode()
    assert "A burglary took place here. We look for footage" in page
    assert f'value="{listed.people[Role.ASKER].email}"' in page
    drafted(listed, contact_name="Night desk")
    assert 'value="Night desk"' in listed.client(Role.ASKER).get("/requests/new").content.decode()


def test_the_form_asks_for_the_time_before_the_map_and_offers_yesterday_in_the_organisations_zone(
    listed: Agency,
) -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # 25 hours apart: never the same day
        Preferences.objects.update_or_create(organisation=listed.organisation, defaults={"time_zone": zone})
        yesterday = datetime.datetime.now(ZoneInfo(zone)).date() - datetime.timedelta(days=1)
        html = listed.client(Role.ASKER).get("/requests/new").content.decode()
        assert f'data-day="{yesterday:%Y-%m-%d}"' in html
        assert html.index('name="case"') < html.index('name="since"') < html.index('id="area-map"')


def test_the_page_of_a_request_that_waits_begins_with_who_acts_next(listed: Agency) -> None:
    draft = drafted(listed)
    take(listed, Role.ASKER, draft, "submit")
    html = listed.client(Role.ASKER).get(f"/requests/{draft.pk}").content.decode()
    assert html.index("A second person, a supervisor, approves it.") < html.index("Send it back")


def test_the_live_check_counts_one_request_and_one_day_without_a_wrong_plural(listed: Agency) -> None:
    take(listed, Role.ASKER, draft := drafted(listed), "submit")
    take(listed, Role.SUPERVISOR, draft, "approve")
    html = listed.client(Role.ASKER).post("/requests/check", fields()).json()["html"]
    assert 'data-code="day-count"' in html
    assert "1 times" not in html
    assert "1 days back" not in html


def test_a_new_request_takes_over_the_words_of_an_earlier_one_of_the_same_organisation(
    listed: Agency, other_agency: Agency
) -> None:
    draft = drafted(listed, description="Look for a white van.")
    take(listed, Role.ASKER, draft, "withdraw")
    page = listed.client(Role.ASKER).get(f"/requests/{draft.pk}").content.decode()
    assert f"/requests/new?like={draft.pk}" in page
    form = listed.client(Role.ASKER).get(f"/requests/new?like={draft.pk}").content.decode()
    assert "Look for a white van." in form
    assert 'value="2026-117"' in form
    assert other_agency.client(Role.ASKER).get(f"/requests/new?like={draft.pk}").status_code == 404


# Live check


def checked(agency: Agency, **changes: object) -> dict[str, str]:
    answer = agency.client(Role.ASKER).post("/requests/check", fields(**changes))
    assert answer.status_code == 200
    found: dict[str, str] = json.loads(answer.content)
    return found


def test_the_live_check_measures_and_judges_what_stands_in_the_form(listed: Agency) -> None:
    html = checked(listed)["html"]
    assert "0.126 km²" in html
    assert "lies within your region" in html
    assert "The desk knows no doorbell" in html
    assert "too small" in checked(listed, radius_m="100")["html"]
    assert "exchanged" in checked(listed, centre="5.1214, 52.0907")["html"]


def test_an_empty_form_is_no_fault_and_a_wrong_field_is_named(listed: Agency) -> None:
    assert "refused" not in checked(listed, centre="", case="", description="", contact_name="")["html"]
    assert "is not a position" in checked(listed, centre="here")["html"]
    assert "outline touches itself" in checked(
        listed, shape="polygon", corners="52.1, 5.1\n52.11, 5.11\n52.1, 5.11\n52.11, 5.1"
    )["html"]  # fmt: skip


def test_a_time_that_happens_twice_is_asked_back_in_the_organisations_zone(listed: Agency) -> None:
    Preferences.objects.create(organisation=listed.organisation, time_zone="Europe/Amsterdam")
    html = checked(listed, day="2026-10-25", since="02:30", until="04:00")["html"]
    assert "happens twice" in html
    assert (
        "happens twice"
        not in checked(listed, day="2026-10-25", since="02:30", until="04:00", double_hour="first")["html"]
    )


def test_an_uploaded_polygon_fills_the_corners_and_a_hostile_file_is_refused_with_words(listed: Agency) -> None:
    ring = [[5.10, 52.09], [5.11, 52.09], [5.11, 52.10], [5.10, 52.10], [5.10, 52.09]]
    good = SimpleUploadedFile("area.geojson", json.dumps({"type": "Polygon", "coordinates": [ring]}).encode())
    assert checked(listed, upload=good)["corners"].splitlines()[0] == "52.09, 5.1"
    for data in (b"<script>alert(1)</script>", b"[" * 100_000, b" " * 300_000, b"PK\x03\x04"):
        found = checked(listed, upload=SimpleUploadedFile("<b>x</b>.geojson", data))
        assert found["corners"] is None
        assert "refused" in found["html"]
        assert "<script" not in found["html"]
        assert "<b>x" not in found["html"]


def test_words_that_doors_would_refuse_are_refused_beside_the_field(listed: Agency) -> None:
    answer = listed.client(Role.ASKER).post("/requests/new", fields(description="See http://evil.example/now"))
    assert answer.status_code == 200
    assert "no links" in answer.content.decode()
    answer = listed.client(Role.ASKER).post("/requests/new", fields(contact_phone=""))
    assert "Name a way to reach the contact" in answer.content.decode()


# Preview


def test_the_preview_says_what_the_owner_will_read_in_the_owners_words(listed: Agency) -> None:
    draft = drafted(listed, onward=["court", "appeal"], description="Kijk <b>goed</b>.", language="nl")
    client = listed.client(Role.ASKER)
    page = client.get(f"/requests/{draft.pk}").content.decode()
    assert "30 days from its arrival" in page
    assert "courts and prosecutors" in page
    assert "the public, to find people or witnesses" in page
    assert '<blockquote lang="nl"' in page
    assert "&lt;b&gt;goed" in page
    spanish = client.get(f"/requests/{draft.pk}?owner=es").content.decode()
    assert "Rijnstad Police" in spanish
    assert 'lang="es"' in spanish


# Places


def test_places_of_the_organisations_file_are_found_and_stay_within_it(listed: Agency, other_agency: Agency) -> None:
    upload = SimpleUploadedFile("places.csv", b"name,lat,lon\nMill Lane,52.0907,5.1214\n")
    answer = listed.client(Role.ADMIN).post(
        "/requests/preferences", {"form": "preferences", "time_zone": "Europe/Amsterdam", "places": upload}
    )
    assert answer.status_code == 302
    found = listed.client(Role.ASKER).get("/requests/places?q=mill").json()
    assert found["places"] == [{"name": "Mill Lane", "lat": 52.0907, "lon": 5.1214}]
    assert other_agency.client(Role.ASKER).get("/requests/places?q=mill").json()["places"] == []
    bad = SimpleUploadedFile("places.csv", b"<html>")
    answer = listed.client(Role.ADMIN).post(
        "/requests/preferences", {"form": "preferences", "time_zone": "Europe/Amsterdam", "places": bad}
    )
    assert "first line does not name" in answer.content.decode()


def test_an_organisations_own_template_comes_before_the_desks_words(listed: Agency) -> None:
    admin = listed.client(Role.ADMIN)
    template = {
        "form": "template",
        "name": "Ours",
        "incident": "fire",
        "description": "Our own words.",
        "minutes": "90",
    }
    template |= {"days": "5", "retention_days": "90", "language": "nl", "onward_basis": "Our policy"}
    assert admin.post("/requests/preferences", template).status_code == 302
    page = listed.client(Role.ASKER).get("/requests/new?incident=fire").content.decode()
    assert "Our own words." in page
    assert 'value="90"' in page
    assert "Ours (Fire)" in admin.get("/requests/preferences").content.decode()


# Other organisations


def test_the_requests_of_another_organisation_do_not_exist(listed: Agency, other_agency: Agency) -> None:
    draft = drafted(listed)
    for role in Role:
        client = other_agency.client(role)
        assert client.get(f"/requests/{draft.pk}").status_code in (403, 404)
        for step in ("edit", "submit", "approve", "return", "withdraw"):
            assert client.post(f"/requests/{draft.pk}/{step}", fields()).status_code in (403, 404)
    assert "2026-117" not in other_agency.client(Role.ASKER).get("/requests/").content.decode()


def test_the_list_is_filtered_and_shows_a_supervisor_what_waits(listed: Agency) -> None:
    first, second = drafted(listed), drafted(listed, case="2026-118", incident="fire")
    take(listed, Role.ASKER, second, "submit")
    page = listed.client(Role.SUPERVISOR).get("/requests/").content.decode()
    assert "Wait for approval" in page
    assert "Wait for approval" not in listed.client(Role.ASKER).get("/requests/").content.decode()
    filtered = listed.client(Role.ASKER).get("/requests/?state=draft&case=2026-1").content.decode()
    assert f"/requests/{first.pk}" in filtered
    assert f"/requests/{second.pk}" not in filtered


def test_changes_of_time_zone_places_and_templates_are_in_the_log(agency: Agency) -> None:
    client = agency.client(Role.ADMIN)
    zone = client.get("/requests/preferences").context["form"].initial["time_zone"]
    other = "Asia/Tokyo" if zone != "Asia/Tokyo" else "Europe/Paris"
    places = SimpleUploadedFile("places.csv", b"name,latitude,longitude\nTown hall,52.09,5.12\n")
    client.post("/requests/preferences", {"form": "preferences", "time_zone": other, "places": places})
    entry = Entry.objects.get(action="preferences.changed")
    assert entry.detail["time_zone"] == {"from": zone, "to": other}
    assert entry.detail["places"]["to"]["places"] == 1
    client.post("/requests/preferences", {"form": "preferences", "time_zone": other})
    assert Entry.objects.filter(action="preferences.changed").count() == 1, "nothing changed"
    words = {
        "form": "template",
        "name": "Bikes",
        "incident": "burglary",
        "minutes": "60",
        "days": "7",
        "language": "nl",
    }
    assert client.post("/requests/preferences", words | {"retention_days": "90"}).status_code == 302
    made = Entry.objects.get(action="template.made")
    assert (made.detail["name"], made.detail["retention_days"]) == ("Bikes", 90)
    client.post("/requests/preferences", {"form": "delete", "template": str(Template.objects.get().pk)})
    assert Entry.objects.get(action="template.deleted").object == made.object


def test_a_person_s_new_name_is_in_the_log(agency: Agency) -> None:
    client, person = agency.client(Role.ASKER), agency.people[Role.ASKER]
    for name in ("Sam Bakker", "Sam Bakker"):
        assert client.post("/account", {"first_name": name, "language": "nl"}).status_code == 302
    entry = Entry.objects.get(action="person.name-changed")
    assert entry.detail == {"from": person.first_name, "to": "Sam Bakker"}
