"""The retention clock deletes footage with its copies and signs that. A legal hold stops it, a kill delays it."""

from __future__ import annotations

import datetime
import functools
from pathlib import Path

import pytest

from agent.clients.requester.identity import Requester, SentRequest
from agent.core.media import Gop
from agent.errors import ConfigurationError, StorageError
from agent.platform.system_clock import SystemClock
from desk import sealed_keys
from desk.cases import case_work, deletion, films
from desk.cases.deadlines import utc
from desk.cases.deletion import delete_answer, run_due
from desk.cases.films import OpenFilms, PrivateMemory
from desk.cases.models import Answer, Case, SignedRequest
from desk.custody.models import Entry
from desk.people.organisations import requester_of
from desk.people.roles import Role
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.broker_connection import open_bus
from desk.receiving.models import Notice
from desk.receiving.receiver_thread import ReceiverThread
from tests.clients.requester.conftest import filmed
from tests.clients.requester.house import House
from tests.desk.agencies import Agency
from tests.desk.kept import is_kept, refuse_deletion
from tests.desk.receiving.doors import ask, receive

DAY_S = 86_400


def at(days: float) -> int:
    """Seconds since 1970, this many days after the answer came."""
    return int(Answer.objects.get().received_at.timestamp() + days * DAY_S)


def here(requester: Requester) -> bool:
    return is_kept(requester, Answer.objects.get().disclosure_id)


@pytest.fixture
def received(agency: Agency, house: House) -> tuple[Requester, SentRequest]:
    requester, asked = ask(agency)
    receive(agency, house, requester, asked)
    # The requests of these tests lie in the future of the machine's clock. Their doors have stopped answering.
    SignedRequest.objects.update(not_after=datetime.datetime.now(datetime.UTC))
    return requester, asked


def test_footage_is_deleted_on_its_day_and_the_deletion_is_signed_for_publication(
    agency: Agency, received: tuple[Requester, SentRequest]
) -> None:
    requester, asked = received
    days = SignedRequest.objects.get().retention_days
    (requester.folder / "opened" / Answer.objects.get().disclosure_id).mkdir(parents=True)
    assert run_due(agency.organisation, requester, at(days - 0.1)) == 0
    assert here(requester)
    assert run_due(agency.organisation, requester, at(days + 0.1)) == 2
    assert not here(requester)
    assert not (requester.folder / "opened" / Answer.objects.get().disclosure_id).exists()
    assert Answer.objects.get().state == "deleted"
    assert requester.sent_request(asked.request.id).deleted
    with pytest.raises(ConfigurationError):
        requester.sent_request(asked.request.id).reply_identity()
    assert list(requester.register.unsent()) == [asked.request.id]  # the receiver publishes it
    assert Case.objects.get().retention_until is None
    entries = Entry.objects.filter(action__in=("answer.deleted", "deletion.signed")).order_by("number")
    assert [entry.action for entry in entries] == ["answer.deleted", "deletion.signed"]
    assert run_due(agency.organisation, requester, at(days + 1)) == 0


def test_a_legal_hold_stops_the_clock_and_its_end_lets_it_go_on(
    agency: Agency, received: tuple[Requester, SentRequest]
) -> None:
    requester, _asked = received
    case, officer = Case.objects.get(), agency.people[Role.EVIDENCE_OFFICER]
    assert case_work.hold_case(case, officer, "Order of the court of 12 May")
    assert not case_work.hold_case(case, officer, "again")
    assert run_due(agency.organisation, requester, at(1000)) == 0
    assert not delete_answer(agency.organisation, requester, Answer.objects.get().pk, officer)
    assert here(requester)
    held = Case.objects.get()
    assert (held.hold_by, held.hold_reason) == (officer, "Order of the court of 12 May")
    assert case_work.end_hold(case, officer, "The case was dismissed")
    assert run_due(agency.organisation, requester, at(1000)) == 2
    told = Entry.objects.filter(action__startswith="case.h").values_list("action", "detail__reason")
    assert list(told) == [("case.held", "Order of the court of 12 May"), ("case.hold-ended", "The case was dismissed")]


def test_what_is_opened_of_it_goes_too(
    agency: Agency, received: tuple[Requester, SentRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, _asked = received
    (tmp_path / "memory").mkdir()
    opened = OpenFilms(PrivateMemory(tmp_path / "memory"))
    as_in_this_process = functools.cache(lambda: opened)
    as_in_this_process()
    monkeypatch.setattr(films, "open_films", as_in_this_process)
    opened.film(requester, Answer.objects.get().disclosure_id, 1).close()
    assert list((tmp_path / "memory").glob("*/doorward-*"))
    run_due(agency.organisation, requester, at(1000))
    assert list((tmp_path / "memory").glob("*/doorward-*")) == []
    opened.close()


def test_a_kill_between_the_files_and_the_row_is_finished_by_the_next_run(
    agency: Agency, received: tuple[Requester, SentRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, _asked = received

    class KilledError(BaseException):
        pass

    def kill(*_arguments: object, **_more: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(deletion, "record", kill)
        with pytest.raises(KilledError):
            run_due(agency.organisation, requester, at(1000))
    assert Answer.objects.get().state == "complete"
    assert run_due(agency.organisation, requester, at(1000)) == 2
    assert Answer.objects.get().state == "deleted"


def test_a_file_that_cannot_be_deleted_leaves_the_row_and_the_statement(
    agency: Agency, received: tuple[Requester, SentRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, asked = received

    refuse_deletion(monkeypatch)
    with pytest.raises(StorageError):
        run_due(agency.organisation, requester, at(1000))
    assert Answer.objects.get().state == "complete"
    assert not requester.sent_request(asked.request.id).deleted


def test_a_file_that_cannot_be_deleted_keeps_no_other_deletion_back_and_no_answer_out(
    agency: Agency, received: tuple[Requester, SentRequest], house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, asked = received
    stuck = Answer.objects.get()
    _requester, second = ask(agency, case="2027-0999")
    receive(agency, house, requester, second)
    SignedRequest.objects.update(not_after=datetime.datetime.now(datetime.UTC))
    Answer.objects.update(keep_until=utc(1), due_at=utc(1))
    refuse_deletion(monkeypatch, stuck.disclosure_id)
    thread = ReceiverThread(agency.organisation, lambda _found: requester, open_bus, SystemClock())
    thread._retain(requester)
    states = dict(Answer.objects.values_list("request_id", "state"))
    assert states == {asked.request.id: "complete", second.request.id: "deleted"}
    assert not requester.sent_request(asked.request.id).deleted
    assert requester.sent_request(second.request.id).deleted
    assert "could not be deleted" in Notice.objects.get(kind="not deleted").detail


def test_an_earlier_day_deletes_earlier_and_the_other_answers_stay(
    agency: Agency, received: tuple[Requester, SentRequest], gops: list[Gop]
) -> None:
    requester, asked = received
    first = Answer.objects.get()
    receive(agency, filmed(gops, name="other"), requester, asked)
    officer = agency.people[Role.EVIDENCE_OFFICER]
    case_work.keep_until(first, officer, first.received_at + datetime.timedelta(days=2))
    assert Case.objects.get().retention_until == Answer.objects.get(pk=first.pk).due_at
    assert run_due(agency.organisation, requester, int(first.received_at.timestamp()) + 3 * DAY_S) == 1
    states = dict(Answer.objects.values_list("pk", "state"))
    assert states.pop(first.pk) == "deleted"
    assert set(states.values()) == {"complete"}
    assert not requester.sent_request(asked.request.id).deleted  # an answer is left


def test_a_person_deletes_at_once_and_the_log_says_who_and_why(
    agency: Agency, received: tuple[Requester, SentRequest]
) -> None:
    requester, _asked = received
    officer = agency.people[Role.EVIDENCE_OFFICER]
    assert delete_answer(agency.organisation, requester, Answer.objects.get().pk, officer, "It shows a bystander.")
    assert not delete_answer(agency.organisation, requester, Answer.objects.get().pk, officer, "again")
    entry = Entry.objects.get(action="answer.deleted")
    assert officer.email in entry.actor
    assert entry.detail["reason"] == "It shows a bystander."


def test_a_request_without_answers_is_stated_as_deleted_after_its_last_promise(agency: Agency) -> None:
    requester, asked = ask(agency)
    row = AnswerRecorder(agency.organisation, requester).signed_request(asked.request.id)
    end_s = int(row.not_after.timestamp()) + row.retention_days * DAY_S
    assert run_due(agency.organisation, requester, end_s - 1) == 0
    assert run_due(agency.organisation, requester, end_s) == 1
    assert requester.sent_request(asked.request.id).deleted


def test_footage_goes_on_its_day_while_the_signing_key_is_locked_and_the_statement_follows(
    agency: Agency, received: tuple[Requester, SentRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_keys, "_WORK_FACTOR", 10)
    requester, asked = received
    sealed_keys.seal(requester.folder, "six words that nobody guesses")
    monkeypatch.setattr(sealed_keys, "_unlocked", {})  # a new start
    locked = requester_of(agency.organisation)
    days = SignedRequest.objects.get().retention_days
    assert run_due(agency.organisation, locked, at(days + 0.1)) == 1
    assert not here(locked)
    assert not locked.sent_request(asked.request.id).deleted
    sealed_keys.unlock(locked.folder, "six words that nobody guesses")
    assert run_due(agency.organisation, locked, at(days + 0.2)) == 1
    assert locked.sent_request(asked.request.id).deleted
