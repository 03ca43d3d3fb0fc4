"""The interface for programs: what a token's roles allow, within its organisation, and only with a token."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Collection
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agent.clients.requester import content_credentials
from desk.api.models import ApiToken
from desk.api.tokens import ROLES, find_token, make_token
from desk.cases.models import Answer, Case, Clip, SignedRequest
from desk.custody.models import Entry
from desk.people.models import Membership
from desk.people.roles import Role
from tests.desk.agencies import Agency, browser
from tests.desk.export.street import Street

READS = ("cases", "cases/{pk}", "cases/{pk}/requests", "cases/{pk}/answers")


def caller(agency: Agency, roles: Collection[Role] = (Role.VIEWER,)) -> Client:
    """A program with a new token."""
    person = agency.people[Role.ADMIN]
    _token, text = make_token(agency.organisation, person, name="RMS", roles=roles, days=30)
    return browser(headers={"authorization": f"Bearer {text}"})


def case_of(agency: Agency, number: str = "2027-0114") -> Case:
    """A case with a request and an answer of one clip, without files."""
    case = Case.objects.create(organisation=agency.organisation, number=number, created_by=agency.people[Role.ASKER])
    asked = SignedRequest.objects.create(
        case=case,
        request_id=f"{case.pk:032x}",
        from_ms=1000,
        to_ms=2000,
        not_after=timezone.now() + datetime.timedelta(days=1),
        retention_days=30,
    )
    answer = Answer.objects.create(
        case=case, request_id=asked.request_id, disclosure_id=f"{case.pk:032x}", state="complete", device="ab" * 8
    )
    Clip.objects.create(answer=answer, index=1, from_ms=1000, to_ms=1500, clock_quality="synced")
    return case


def get(client: Client, path: str) -> Any:
    response = client.get(f"/api/v1/{path}")
    assert response.status_code == 200, response.content
    return response.json()


def test_a_program_reads_cases_requests_and_answers_with_the_times_of_their_clips(agency: Agency) -> None:
    case = case_of(agency)
    client = caller(agency)
    assert [each["number"] for each in get(client, "cases")] == ["2027-0114"]
    assert get(client, f"cases/{case.pk}")["id"] == case.pk
    assert [each["retention_days"] for each in get(client, f"cases/{case.pk}/requests")] == [30]
    [answer] = get(client, f"cases/{case.pk}/answers")
    assert (answer["state"], answer["clips"][0]["clock_quality"]) == ("complete", "synced")


def test_a_list_goes_on_after_its_last_item_and_has_a_bound(agency: Agency) -> None:
    for number in range(5):
        case_of(agency, str(number))
    client = caller(agency)
    first = get(client, "cases?limit=3")
    rest = get(client, f"cases?limit=3&after={first[-1]['id']}")
    assert [each["number"] for each in (*first, *rest)] == ["0", "1", "2", "3", "4"]
    assert [each["number"] for each in get(client, "cases?number=4")] == ["4"]
    for wrong in ("limit=0", "limit=201", "after=x"):
        assert client.get(f"/api/v1/cases?{wrong}").status_code == 422


def test_without_a_token_that_works_nothing_is_read(agency: Agency) -> None:
    case = case_of(agency)
    client = caller(agency)
    token = ApiToken.objects.get()
    strangers = [browser(), browser(headers={"authorization": "Bearer x"}), agency.client(Role.SUPERVISOR)]
    for changed in ({"expires_at": timezone.now()}, {"expires_at": token.expires_at, "revoked_at": timezone.now()}):
        for stranger in strangers:
            for path in READS:
                assert stranger.get(f"/api/v1/{path.format(pk=case.pk)}").status_code == 401
            assert stranger.post(f"/api/v1/cases/{case.pk}/export").status_code == 401
        ApiToken.objects.update(**changed)
        strangers = [client]
    assert client.get("/api/v1/cases").status_code == 401


def test_a_case_of_another_organisation_is_not_found(agency: Agency, other_agency: Agency) -> None:
    case = case_of(other_agency)
    client = caller(agency, ROLES)
    assert get(client, "cases") == []
    for path in READS[1:]:
        assert client.get(f"/api/v1/{path.format(pk=case.pk)}").status_code == 404
    assert client.post(f"/api/v1/cases/{case.pk}/export").status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ASKER])
def test_a_token_exports_only_with_the_role_for_it(agency: Agency, role: Role) -> None:
    assert caller(agency, [role]).post(f"/api/v1/cases/{case_of(agency).pk}/export").status_code == 403


def test_an_export_by_a_program_is_in_the_log_with_the_programs_name(street: Street) -> None:
    client = caller(street.agency, [Role.EVIDENCE_OFFICER])
    response = client.post(f"/api/v1/cases/{street.case.pk}/export?language=nl")
    entry = Entry.objects.latest("number")
    assert (entry.action, entry.actor.startswith("program RMS (token ")) == ("case.exported", True)
    with zipfile.ZipFile(io.BytesIO(response.getvalue())) as archive:
        assert archive.testzip() is None
        assert '<html lang="nl">' in archive.read("case-2027-0114/report.html").decode()


def test_a_program_may_ask_for_copies_with_content_credentials(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")
    client = caller(street.agency, [Role.EVIDENCE_OFFICER])
    address = f"/api/v1/cases/{street.case.pk}/export?content_credentials=true"
    response = client.post(address)
    assert Entry.objects.latest("number").detail["with_credentials"] is True
    with zipfile.ZipFile(io.BytesIO(response.getvalue())) as archive:
        copies = [name for name in archive.namelist() if name.endswith("/c2pa/all.mp4")]
        assert len(copies) == len(street.answers)
        texts = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/VERIFY.txt")]
    assert all("c2patool ../c2pa/all.mp4" in text for text in texts)
    monkeypatch.setattr(content_credentials, "has_c2pa", lambda: False)
    refused = client.post(address)
    assert (refused.status_code, "c2pa-python" in refused.json()["detail"]) == (409, True)


def test_an_export_that_fails_says_why(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.export.private_folder.MOST_BYTES", 10)
    response = caller(street.agency, [Role.EVIDENCE_OFFICER]).post(f"/api/v1/cases/{street.case.pk}/export")
    assert response.status_code == 409
    assert "One export has at most" in response.json()["detail"]


def test_the_description_names_each_address_and_is_for_programs_only(agency: Agency) -> None:
    described = get(caller(agency), "openapi.json")
    assert set(described["paths"]) == {
        "/api/v1/cases", "/api/v1/cases/{case_id}", "/api/v1/cases/{case_id}/requests",
        "/api/v1/cases/{case_id}/answers", "/api/v1/cases/{case_id}/export",
    }  # fmt: skip
    assert described["info"]["title"] == "Doorward desk"


def test_an_admin_makes_a_token_that_is_shown_once_and_revokes_it(agency: Agency) -> None:
    client = agency.client(Role.ADMIN)
    page = client.post("/integrations", {"name": "RMS", "roles": ["viewer"], "days": "30"}).content.decode()
    found = re.search(r"doorward-desk-[\w-]{43}", page)
    assert found is not None
    assert found[0] not in client.get("/integrations").content.decode()
    token = find_token(found[0])
    assert token is not None
    assert found[0] not in str(list(Entry.objects.values())) + str(list(ApiToken.objects.values()))
    for _ in range(2):
        assert client.post(f"/integrations/{token.pk}/revoke").status_code == 302
    assert find_token(found[0]) is None
    actions = [row.action for row in Entry.objects.order_by("number") if row.action.startswith("token.")]
    assert actions == ["token.made", "token.revoked"]


def test_a_token_ends_when_its_maker_is_no_longer_an_admin(agency: Agency) -> None:
    client = caller(agency)
    assert client.get("/api/v1/cases").status_code == 200
    maker = ApiToken.objects.get().made_by
    Membership.objects.filter(person=maker, role=Role.ADMIN).delete()
    assert client.get("/api/v1/cases").status_code == 401
    page = agency.client(Role.SUPERVISOR)
    Membership.objects.create(organisation=agency.organisation, person=agency.people[Role.SUPERVISOR], role=Role.ADMIN)
    assert "its maker is no longer an admin" in page.get("/integrations").content.decode()


def test_a_token_never_has_a_role_that_approves_audits_or_manages(agency: Agency) -> None:
    client = agency.client(Role.ADMIN)
    for wrong in ({"roles": ["admin"]}, {"roles": ["supervisor"]}, {"roles": []}, {"days": "9999"}, {"name": "\u202e"}):
        client.post("/integrations", {"name": "RMS", "roles": ["viewer"], "days": "30"} | wrong)
    assert not ApiToken.objects.exists()


def test_the_description_tells_a_program_how_to_check_a_web_hook(agency: Agency) -> None:
    described = get(caller(agency), "openapi.json")
    assert "HMAC-SHA256" in described["info"]["description"]
    hook = described["webhooks"]["event"]["post"]
    assert "answer.complete" in hook["summary"]
    assert "disclosure" in hook["requestBody"]["content"]["application/json"]["schema"]["properties"]
