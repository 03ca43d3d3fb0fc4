"""The list of cases: its filters, its pages by key, and a number of queries that does not depend on what it lists."""

from __future__ import annotations

import datetime
import re

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from desk.cases.case_filter import CaseFilter, CaseState, Footage
from desk.cases.case_list import PAGE_ROWS, find_cases
from desk.cases.models import Answer, Case
from desk.people.roles import Role
from tests.desk.agencies import Agency

NOW = timezone.now()


def fill(agency: Agency, number: int, **values: object) -> list[Case]:
    """Makes cases with one answer in every second one."""
    Case.objects.bulk_create(
        Case(organisation=agency.organisation, number=f"2027-{each:05}", title=f"Bicycle {each}", **values)
        for each in range(number)
    )
    cases = list(Case.objects.filter(organisation=agency.organisation).order_by("pk"))
    Answer.objects.bulk_create(
        Answer(case=case, request_id="0" * 32, disclosure_id=f"{case.pk:032x}", device="d", state="complete")
        for case in cases[::2]
    )
    return cases


def numbers(agency: Agency, chosen: CaseFilter) -> list[str]:
    return [row.case.number for row in find_cases(agency.organisation, chosen, NOW).rows]


def test_pages_by_key_hold_each_case_once_the_newest_first(agency: Agency) -> None:
    cases = fill(agency, 2 * PAGE_ROWS + 7)
    client, seen, query = agency.client(Role.VIEWER), [], ""
    for _ in range(3):
        text = client.get(f"/cases/?{query}").content.decode()
        seen += list(map(int, re.findall(r'<a href="/cases/(\d+)">2027', text)))
        following = re.search(r'href="\?([^"]*after=[^"]*)"', text)
        query = following[1] if following else ""
    assert query == ""
    assert seen == [case.pk for case in reversed(cases)]


def test_a_case_that_opens_between_two_pages_shifts_none(agency: Agency) -> None:
    fill(agency, PAGE_ROWS + 3)
    first = find_cases(agency.organisation, CaseFilter(), NOW)
    Case.objects.create(organisation=agency.organisation, number="newest")
    second = find_cases(agency.organisation, CaseFilter(after=first.rows[-1].case.pk), NOW)
    assert len(second.rows) == 3


def test_the_number_of_queries_is_the_same_for_few_and_many_cases(agency: Agency) -> None:
    client = agency.client(Role.VIEWER)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/cases/").status_code == 200
        return len(captured)

    fill(agency, 2)
    queries()  # begins the session
    few = queries()
    Answer.objects.all().delete()
    Case.objects.all().delete()
    fill(agency, 300)
    assert queries() == few


def test_search_finds_numbers_and_titles_and_takes_a_percent_sign_as_one(agency: Agency) -> None:
    fill(agency, 3)
    assert numbers(agency, CaseFilter(search="2027-00002")) == ["2027-00002"]
    assert numbers(agency, CaseFilter(search="bicycle 1")) == ["2027-00001"]
    assert numbers(agency, CaseFilter(search="%")) == []


def test_filters_by_state_footage_category_and_person(agency: Agency) -> None:
    first, second, third = fill(agency, 3)
    asker = agency.people[Role.ASKER]
    Case.objects.filter(pk=first.pk).update(closed_at=NOW, category="theft")
    Case.objects.filter(pk=second.pk).update(legal_hold=True, assigned_to=asker)
    Case.objects.filter(pk=third.pk).update(retention_until=NOW + datetime.timedelta(days=3))
    Answer.objects.filter(case=third).update(state="quarantined")
    assert numbers(agency, CaseFilter(state=CaseState.CLOSED)) == [first.number]
    assert numbers(agency, CaseFilter(state=CaseState.OPEN)) == [third.number, second.number]
    assert numbers(agency, CaseFilter(state=CaseState.HELD)) == [second.number]
    assert numbers(agency, CaseFilter(category="theft")) == [first.number]
    assert numbers(agency, CaseFilter(assigned=asker.pk)) == [second.number]
    assert numbers(agency, CaseFilter(footage=Footage.NEW)) == [first.number]
    assert numbers(agency, CaseFilter(footage=Footage.QUARANTINED)) == [third.number]
    assert numbers(agency, CaseFilter(footage=Footage.NONE)) == [second.number]
    assert numbers(agency, CaseFilter(footage=Footage.ENDING)) == [third.number]


def test_nobody_sees_cases_of_another_organisation(agency: Agency, other_agency: Agency) -> None:
    fill(agency, 2)
    assert find_cases(other_agency.organisation, CaseFilter(), NOW).rows == ()
    assert b"2027-00001" not in other_agency.client(Role.VIEWER).get("/cases/").content
