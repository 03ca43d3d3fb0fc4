"""Reports of the receiver become rows, once each, with their entries in the custody log."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from django.db import DatabaseError

from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.core.media import Gop
from agent.wire.disclosures import PartKind
from desk.cases.case_page import shared_words
from desk.cases.models import Answer, Case, Clip, SignedRequest
from desk.custody.models import Entry
from desk.receiving import answer_rows
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.models import Notice
from desk.receiving.notices import MOST_NOTICES, MOST_OF_A_DOORBELL, add_notice
from tests.clients.requester.conftest import filmed
from tests.clients.requester.house import House
from tests.clients.requester.test_redacted_answers import FACE
from tests.desk.agencies import Agency
from tests.desk.kept import change_part, spoil
from tests.desk.receiving.doors import ask, deliver, receive


def actions(agency: Agency) -> list[str]:
    return list(Entry.objects.filter(organisation=agency.organisation).values_list("action", flat=True))[1:]


def test_a_complete_answer_has_one_row_with_its_clips_and_an_entry_in_the_log(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    disclosure = receive(agency, house, requester, asked)
    answer = Answer.objects.get()
    assert (answer.state, answer.disclosure_id, answer.device) == ("complete", disclosure.id, house.device_id)
    assert answer.case.number == asked.request.case
    assert answer.shared == {"segments": 3, "clips": 2, "sounds": 0, "stills": 2, "told": 0, "redacted": 0}
    first, second = Clip.objects.order_by("index")
    assert (len(first.segments), len(second.segments)) == (2, 1)
    assert (first.from_ms, second.to_ms) == (answer.from_ms, answer.to_ms)
    assert first.clock_quality == "synced"
    assert actions(agency) == ["case.opened", "answer.begun", "answer.received"]
    assert answer.due_at is not None
    kept = answer.due_at - answer.received_at
    assert abs(kept - timedelta(days=SignedRequest.objects.get().retention_days)) < timedelta(seconds=1)


def test_a_clerk_reads_how_many_files_the_owner_redacted(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    films = [each for each in house.stored if each.kind is PartKind.SEGMENT]
    disclosure = house.disclose(asked, films, redactions={(PartKind.SEGMENT, films[0].id): (FACE,)})
    AnswerRecorder(agency.organisation, requester).record(deliver(requester, asked, disclosure))
    answer = Answer.objects.get()
    assert (answer.state, answer.shared["redacted"]) == ("complete", 1)
    assert "1 file redacted by the owner" in shared_words(answer.shared)


def test_a_report_that_comes_twice_changes_nothing(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    event = deliver(requester, asked, house.disclose(asked))
    for _ in range(3):
        recorder.record(dataclasses.replace(event, kind=ReceiverEventKind.BEGUN))
        recorder.record(event)
    assert Answer.objects.count() == 1
    assert Clip.objects.count() == 2
    assert actions(agency).count("answer.received") == 1


def test_two_answers_of_one_request_are_in_one_case(agency: Agency, house: House, gops: list[Gop]) -> None:
    requester, asked = ask(agency)
    receive(agency, house, requester, asked)
    receive(agency, filmed(gops, name="other"), requester, asked)
    assert Case.objects.count() == 1
    assert {answer.device for answer in Answer.objects.all()} == {house.device_id, filmed(gops, name="other").device_id}


def test_a_doorbell_that_answers_two_organisations_under_one_id_changes_nothing_of_the_first(
    agency: Agency, other_agency: Agency, house: House
) -> None:
    """The doorbell chooses the id. The organisations have nothing in common but the desk."""
    (requester, asked), (theirs, other) = ask(agency), ask(other_agency)
    recorder, second = AnswerRecorder(agency.organisation, requester), AnswerRecorder(other_agency.organisation, theirs)
    event = deliver(requester, asked, house.disclose(asked))
    recorder.record(dataclasses.replace(event, kind=ReceiverEventKind.BEGUN, held_bytes=10, expected_bytes=20))
    before = Answer.objects.values().get()
    for kind in (
        ReceiverEventKind.BEGUN,
        ReceiverEventKind.PROGRESS,
        ReceiverEventKind.NO_ROOM,
        ReceiverEventKind.STOPPED,
        ReceiverEventKind.REFUSED,
    ):
        hostile = {"request": other.request.id, "held_bytes": 1, "expected_bytes": 2, "detail": "a doorbell's words"}
        second.record(dataclasses.replace(event, kind=kind, **hostile))
        assert Answer.objects.values().get() == before, kind
    assert not Entry.objects.filter(organisation=other_agency.organisation, object=f"answer {event.disclosure}")
    assert set(Notice.objects.values_list("organisation", flat=True)) == {other_agency.organisation.pk}
    recorder.record(event)
    assert Answer.objects.get().state == "complete"


def test_an_answer_and_its_entry_are_written_together_or_not_at_all(
    agency: Agency, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    event = deliver(requester, asked, house.disclose(asked))

    def full(*_arguments: object, **_more: object) -> None:
        raise DatabaseError("database or disk is full")

    monkeypatch.setattr(answer_rows, "record", full)
    with pytest.raises(DatabaseError):
        recorder.record(event)
    assert not Answer.objects.exists()
    assert not Clip.objects.exists()


def test_a_refused_answer_is_quarantined_with_its_reason_and_others_go_on(
    agency: Agency, house: House, gops: list[Gop]
) -> None:
    requester, asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    recorder.record(
        ReceiverEvent(
            ReceiverEventKind.REFUSED,
            "ab" * 16,
            asked.request.id,
            detail="Part 3 is longer than announced.",
            device="d",
        )
    )
    receive(agency, house, requester, asked)
    bad, good = Answer.objects.order_by("pk")
    assert (bad.state, bad.reason) == ("quarantined", "Part 3 is longer than announced.")
    assert good.state == "complete"
    assert "answer.quarantined" in actions(agency)


def test_an_answer_whose_files_changed_on_the_disk_is_quarantined(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    disclosure = house.disclose(asked)
    event = deliver(requester, asked, disclosure)
    change_part(requester, disclosure.id, 1, spoil)
    AnswerRecorder(agency.organisation, requester).record(event)
    answer = Answer.objects.get()
    assert answer.state == "quarantined"
    assert answer.reason
    assert not Clip.objects.exists()


def test_an_answer_that_its_owner_stops_and_sends_after_all_is_one_row(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    event = deliver(requester, asked, house.disclose(asked))
    recorder.record(dataclasses.replace(event, kind=ReceiverEventKind.BEGUN))
    recorder.record(dataclasses.replace(event, kind=ReceiverEventKind.STOPPED))
    assert Answer.objects.get().state == "stopped"
    recorder.record(event)
    assert Answer.objects.get().state == "complete"


def test_progress_is_written_but_not_for_each_part(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    begun = ReceiverEvent(ReceiverEventKind.BEGUN, "ab" * 16, asked.request.id, 10, 1000, device="d")
    recorder.record(begun)
    for held in range(100, 1000, 100):
        recorder.record(dataclasses.replace(begun, kind=ReceiverEventKind.PROGRESS, held_bytes=held))
    answer = Answer.objects.get()
    assert answer.held_bytes == 100
    assert answer.share_percent == 10


def test_publication_is_noted_with_the_request(agency: Agency) -> None:
    requester, asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    recorder.record(ReceiverEvent(ReceiverEventKind.PUBLISHED, request=asked.request.id, detail="request"))
    assert SignedRequest.objects.get().published_at is not None
    recorder.record(ReceiverEvent(ReceiverEventKind.PUBLISHED, request=asked.request.id, detail="withdrawal"))
    assert SignedRequest.objects.get().withdrawn_at is not None
    assert actions(agency)[-2:] == ["request.published", "withdrawal.published"]
    published = SignedRequest.objects.get().published_at
    # A broker that was away gets it later. The first publication counts.
    recorder.record(ReceiverEvent(ReceiverEventKind.PUBLISHED, request=asked.request.id, detail="request"))
    assert SignedRequest.objects.get().published_at == published
    assert actions(agency)[-2:] == ["request.published", "withdrawal.published"]


def test_a_stranger_who_sends_rubbish_fills_no_table(agency: Agency) -> None:
    requester, _asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    for number in range(MOST_NOTICES + 20):
        recorder.record(ReceiverEvent(ReceiverEventKind.DROPPED, f"{number:032x}", device=f"d{number}"))
    assert Notice.objects.count() == MOST_NOTICES
    assert Notice.objects.first() is not None
    assert not Answer.objects.exists()


def test_a_doorbell_that_sends_rubbish_pushes_out_its_own_notices_instead_of_others(agency: Agency) -> None:
    requester, _asked = ask(agency)
    recorder = AnswerRecorder(agency.organisation, requester)
    add_notice(agency.organisation, "error", "", "The broker was away.")
    recorder.record(ReceiverEvent(ReceiverEventKind.DROPPED, "a" * 32, device="quiet"))
    for number in range(MOST_NOTICES + 20):
        recorder.record(ReceiverEvent(ReceiverEventKind.DROPPED, f"{number:032x}", device="noisy"))
    last = MOST_NOTICES + 20
    noisy = [f"{number:032x}" for number in range(last - MOST_OF_A_DOORBELL, last)]
    assert list(Notice.objects.order_by("pk").values_list("object", flat=True)) == ["", "a" * 32, *noisy]


def test_an_answer_that_comes_again_after_its_deletion_stays_deleted(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    disclosure = receive(agency, house, requester, asked)
    Answer.objects.update(state="deleted")
    AnswerRecorder(agency.organisation, requester).record(deliver(requester, asked, disclosure))
    assert Answer.objects.get().state == "deleted"
