"""The public page of numbers: it comes from the signed requests, and tells no case, place or word of them."""

from __future__ import annotations

import csv
import io

import pytest

from agent.errors import OpenError
from desk.asking.models import Draft
from desk.numbers.counting import count, recount, rows
from desk.numbers.models import Counted
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.desk.agencies import Agency, browser
from tests.desk.asking.asking_desk import drafted, vouch
from tests.desk.asking.test_requests import take


def signed(agency: Agency, **changes: object) -> Draft:
    draft = drafted(agency, **changes)
    take(agency, Role.ASKER, draft, "submit")
    take(agency, Role.SUPERVISOR, draft, "approve")
    assert draft.state == "signed"
    return draft


def test_anyone_reads_the_numbers_of_all_organisations_without_signing_in(agency: Agency, other_agency: Agency) -> None:
    for each in (agency, other_agency):
        vouch(each)
        signed(each, case="secret-1", description="Secret words.")
    signed(agency, case="secret-2", radius_m="300", description="Secret words.")
    page = browser().get("/numbers").content.decode()
    assert "3 footage requests were signed" in page
    assert "Rijnstad Police" in page
    assert "Waterland Police" in page
    for secret in ("secret-1", "Secret words", "52.09", "asker", "Night desk"):
        assert secret not in page
    table = list(csv.DictReader(io.StringIO(browser().get("/numbers.csv").content.decode())))
    assert [(each["organisation"], each["requests"], each["incident"]) for each in table] == [
        ("Rijnstad Police", "2", "burglary"), ("Waterland Police", "1", "burglary"),
    ]  # fmt: skip
    assert (int(table[0]["least_m2"]), int(table[0]["most_m2"])) == (125_664, 282_743)


def test_the_numbers_can_be_made_again_from_the_signed_requests_alone(agency: Agency) -> None:
    vouch(agency)
    signed(agency)
    before = rows()
    Counted.objects.all().delete()
    assert recount(agency.organisation) == 1
    assert rows() == before
    recount(agency.organisation)
    assert rows() == before, "each request counts once"


def test_a_request_that_another_key_signed_is_not_counted(agency: Agency, other_agency: Agency) -> None:
    vouch(agency)
    draft = signed(agency)
    data = requester_of(agency.organisation).sent_request(draft.request_id).envelope
    with pytest.raises(OpenError):
        count(other_agency.organisation, data)


def test_a_name_that_begins_like_a_formula_stays_text_in_a_spreadsheet(agency: Agency) -> None:
    vouch(agency, name="Rijnstad Police")
    signed(agency)
    agency.organisation.name = "=HYPERLINK(1)"
    agency.organisation.save()
    assert "'=HYPERLINK(1)" in browser().get("/numbers.csv").content.decode()
