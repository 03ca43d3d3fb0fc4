"""The page of a case: what it says, who may do what, and that everything foreign is text."""

from __future__ import annotations

import json
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent.core.media import Gop
from agent.core.timebase import ClockQuality
from desk.cases.models import Answer, Case, Clip, Note
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.clients.requester.conftest import filmed
from tests.clients.requester.house import House
from tests.desk.agencies import Agency
from tests.desk.kept import change_part, spoil
from tests.desk.receiving.doors import ask, receive


@pytest.fixture
def case(agency: Agency, house: House) -> Case:
    requester, asked = ask(agency)
    receive(agency, house, requester, asked)
    return Case.objects.get()


def page(agency: Agency, case: Case, role: Role = Role.EVIDENCE_OFFICER, **query: object) -> str:
    answer = agency.client(role).get(f"/cases/{case.pk}", query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_says_what_came_from_which_door_and_until_when_it_is_kept(agency: Agency, case: Case) -> None:
    text = page(agency, case)
    assert "3 segments of video in 2 clips, 2 stills" in text
    assert "Door A" in text
    assert "Clock synchronised: right to a second." in text
    assert "Deleted in 90 days" in text
    assert "the doorbell signed each segment as the successor" in text


def test_an_unsynchronised_clock_and_a_gap_are_spelled_out(agency: Agency, gops: list[Gop]) -> None:
    requester, asked = ask(agency)
    receive(agency, filmed(gops, quality=ClockQuality.UNKNOWN), requester, asked)
    clip = Clip.objects.order_by("index")[0]
    middle = (clip.from_ms + clip.to_ms) // 2
    Clip.objects.filter(pk=clip.pk).update(gaps=[[middle, middle + 1500]])
    text = page(agency, Case.objects.get())
    assert "Clock not synchronised: the order is right, the time may be wrong." in text
    assert re.search(r"No footage from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d \(1\.5 s\)", text)
    assert 'class="gap"' in text


def test_doors_have_letters_in_the_order_of_their_answers_and_no_place(
    agency: Agency, case: Case, gops: list[Gop]
) -> None:
    requester, asked = ask(agency)
    receive(agency, filmed(gops, name="other"), requester, asked)
    text = page(agency, case)
    assert "Door A" in text
    assert "Door B" in text
    assert "Door C" not in text


def test_the_player_gets_times_and_no_footage(agency: Agency, case: Case) -> None:
    text = page(agency, case)
    found = re.search(r'<script id="player-data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found[1])
    (door,) = data["doors"]
    assert [clip["segments"] for clip in door["clips"]] == [clip.segments for clip in Clip.objects.order_by("index")]
    assert not Entry.objects.filter(action="clip.opened").exists()  # looking at the page opens nothing


def test_an_auditor_sees_the_case_but_no_player(agency: Agency, case: Case) -> None:
    text = page(agency, case, Role.AUDITOR)
    assert "Door A" in text
    assert "player-data" not in text
    assert "data-stills" not in text


def test_a_closer_look_shows_a_part_of_the_axis(agency: Agency, case: Case) -> None:
    clip = Clip.objects.order_by("index")[0]
    assert "Whole axis" in page(agency, case, **{"from": clip.from_ms - 1000, "to": clip.to_ms})
    assert "Whole axis" not in page(agency, case, **{"from": "yesterday", "to": "9" * 15})


def test_hostile_texts_are_shown_as_texts(agency: Agency, case: Case) -> None:
    hostile = "</script><script>alert(1)</script>\"'<img src=x>"
    Case.objects.update(title=hostile, category=hostile[:40], hold_reason=hostile, legal_hold=True)
    Answer.objects.update(state="quarantined", reason=hostile, device=hostile)
    author = agency.people[Role.ASKER]
    Note.objects.create(case=case, author=author, text=hostile)
    for text in (page(agency, case), agency.client(Role.VIEWER).get("/cases/").content.decode()):
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def test_work_on_a_case_is_written_to_the_log(agency: Agency, case: Case) -> None:
    officer, answer = agency.client(Role.EVIDENCE_OFFICER), Answer.objects.get()
    before = Entry.objects.count()
    person = agency.people[Role.ASKER]
    for path, values in (
        ("note", {"text": "A red bicycle."}),
        ("assign", {"person": person.pk}),
        (f"answers/{answer.pk}/verdict", {"verdict": "relevant"}),
        (f"answers/{answer.pk}/note", {"text": "Face at 10:00:02."}),
        ("hold", {"reason": "Court order"}),
        ("release", {"reason": "Done"}),
        ("close", {}),
        ("reopen", {}),
    ):
        assert officer.post(f"/cases/{case.pk}/{path}", values).status_code == 302, path
    written = [entry.action for entry in Entry.objects.order_by("number")[before:]]
    assert written == [
        "note.written",
        "case.assigned",
        "answer.judged",
        "note.written",
        "case.held",
        "case.hold-ended",
        "case.closed",
        "case.reopened",
    ]
    assert Answer.objects.get().verdict == "relevant"
    text = page(agency, case)
    assert "A red bicycle." in text
    assert "Face at 10:00:02." in text


def test_a_person_opens_a_case_and_a_number_is_taken_once(agency: Agency, other_agency: Agency) -> None:
    asker = agency.client(Role.ASKER)
    assert asker.post("/cases/new", {"number": " 2027  7 ", "title": "Bicycle"}).status_code == 302
    assert Case.objects.get().number == "2027 7"
    assert "There is a case with this number." in asker.post("/cases/new", {"number": "2027 7"}).content.decode()
    assert other_agency.client(Role.ASKER).post("/cases/new", {"number": "2027 7"}).status_code == 302


def test_footage_is_not_kept_longer_than_promised(agency: Agency, case: Case) -> None:
    officer, answer = agency.client(Role.EVIDENCE_OFFICER), Answer.objects.get()
    late = officer.post(f"/cases/{case.pk}/answers/{answer.pk}/keep", {"day": "2090-01-01"}, follow=True)
    assert "Only a legal hold keeps it longer." in late.content.decode()
    assert Answer.objects.get().keep_until is None
    assert officer.post(f"/cases/{case.pk}/answers/{answer.pk}/keep", {"day": "2020-01-01"}).status_code == 302
    assert Answer.objects.get().due_at < answer.due_at


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("hold", Role.ASKER),
        ("release", Role.ASKER),
        ("answers/{answer}/delete", Role.ASKER),
        ("answers/{answer}/keep", Role.VIEWER),
        ("answers/{answer}/verdict", Role.VIEWER),
        ("note", Role.AUDITOR),
        ("close", Role.VIEWER),
        ("answers/{answer}/clips/1", Role.AUDITOR),
        ("answers/{answer}/clips/1", Role.ADMIN),
        ("answers/{answer}/stills", Role.AUDITOR),
    ],
)
def test_a_role_that_may_not_gets_403(agency: Agency, case: Case, path: str, role: Role) -> None:
    address = f"/cases/{case.pk}/{path.format(answer=Answer.objects.get().pk)}"
    assert agency.client(role).post(address, {"reason": "x", "text": "x"}).status_code == 403


def test_objects_of_another_organisation_do_not_exist(agency: Agency, other_agency: Agency, case: Case) -> None:
    officer, answer = other_agency.client(Role.EVIDENCE_OFFICER), Answer.objects.get()
    own = Case.objects.create(organisation=other_agency.organisation, number="own")
    assert officer.get(f"/cases/{case.pk}").status_code == 404
    for root in (case.pk, own.pk):
        for path in ("verdict", "note", "keep", "delete", "stills", "clips/1"):
            assert officer.post(f"/cases/{root}/answers/{answer.pk}/{path}", {"reason": "x"}).status_code == 404
    for path in ("note", "assign", "close", "reopen", "hold", "release"):
        assert officer.post(f"/cases/{case.pk}/{path}", {"text": "x", "reason": "x"}).status_code == 404


def test_the_number_of_queries_does_not_depend_on_the_number_of_answers(
    agency: Agency, case: Case, gops: list[Gop]
) -> None:
    client = agency.client(Role.EVIDENCE_OFFICER)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/cases/{case.pk}").status_code == 200
        return len(captured)

    queries()  # begins the session
    few = queries()
    requester, asked = ask(agency)
    for number in range(3):
        receive(agency, filmed(gops, name=f"house {number}"), requester, asked)
    assert queries() == few


def test_the_pages_are_dutch_and_the_axis_has_no_decimal_comma(agency: Agency, case: Case) -> None:
    client = agency.client(Role.EVIDENCE_OFFICER)
    text = client.get(f"/cases/{case.pk}", headers={"accept-language": "nl"}).content.decode()
    assert "Deur A" in text
    assert "Wordt over 90 dagen verwijderd" in text
    assert "<svg" in text
    assert not re.search(r'(x|width)="[0-9]+,', text)  # SVG knows no decimal comma


def test_the_proof_page_repeats_each_check_and_says_what_is_not_proven(agency: Agency, case: Case) -> None:
    auditor, answer = agency.client(Role.AUDITOR), Answer.objects.get()
    text = auditor.get(f"/cases/{case.pk}/answers/{answer.pk}/proof").content.decode()
    assert "Each check holds." in text
    assert "One of these owners approved it" in text
    assert text.count("state good") == 11
    assert "do not prove where the door is" in text
    assert Entry.objects.get(action="answer.verified").detail["holds"] is True


def test_the_proof_page_of_a_changed_answer_says_that_it_proves_nothing(agency: Agency, case: Case) -> None:
    answer = Answer.objects.get()
    change_part(requester_of(agency.organisation), answer.disclosure_id, 1, spoil)
    text = agency.client(Role.AUDITOR).get(f"/cases/{case.pk}/answers/{answer.pk}/proof").content.decode()
    assert "A check fails. This answer proves nothing." in text
    assert Entry.objects.get(action="answer.verified").detail["holds"] is False
