"""A kill at any point keeps each acknowledged part, and each row once: the next start writes what is missing."""

from __future__ import annotations

import pytest
from django.db import transaction

from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.news import ReceiverEvent, ReceivingLimits
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.core.media import Gop
from agent.core.transfer import TransferOutcome
from agent.wire.disclosures import ReceiptState
from desk.cases.models import Answer, Case, Clip, SignedRequest
from desk.custody.answers import audit_files
from desk.custody.models import Entry
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.models import Notice
from desk.receiving.reconcile import reconcile
from tests.clients.requester.conftest import filmed
from tests.clients.requester.doors import Door, TestClock
from tests.clients.requester.house import House
from tests.desk.agencies import Agency
from tests.desk.conftest import GROWN
from tests.desk.kept import is_kept, lose, write_note
from tests.desk.receiving.doors import ask, deliver, receive
from tests.fake_bus import FakeBroker, FakeBus

LIMITS = ReceivingLimits(free_bytes=0)


class KilledError(BaseException):
    """The process is gone. No handler of the code under test may catch it."""


class Killer:
    """A receiver that is killed at the `at`-th report, before its row is written or after."""

    def __init__(self, agency: Agency, requester: Requester, *, at: int, after: bool) -> None:
        self.agency, self.requester, self.left, self.after = agency, requester, at, after
        self.killed = False
        self.recorder = AnswerRecorder(agency.organisation, requester)

    def tell(self, event: ReceiverEvent) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise KilledError
        if self.left == 0:
            self.recorder.record(event)
            raise KilledError
        self.recorder.record(event)


def deliver_with_a_kill(
    agency: Agency, requester: Requester, asked: SentRequest, house: House, *, at: int, after: bool
) -> bool:
    """Lets a door send over a bus while its receiver is killed once. Returns True if the kill hit."""
    broker, clock = FakeBroker(), TestClock()
    door = Door(broker, requester, house.disclose(asked), clock)
    killer: Killer | None = Killer(agency, requester, at=at, after=after)
    hit = False
    while door.finished is None:
        bus = FakeBus(broker, requester.id)
        bus.start()
        recorder = AnswerRecorder(agency.organisation, requester)
        reconcile(agency.organisation, requester, recorder)
        tell = killer.tell if killer else recorder.record
        receiver = DisclosureReceiver(requester, bus, clock, LIMITS, tell=tell)
        try:
            receiver.start()
            for _ in range(20_000):
                if not any([receiver.step(0) is not None, door.step()]):
                    clock.boot_ns += 10**9
                if door.finished is not None:
                    break
        except KilledError:
            killer, hit = None, True
        bus.stop()
    assert door.finished.outcome is TransferOutcome.DELIVERED
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    return hit


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_report_leaves_one_complete_row_for_each_answer(
    agency: Agency, gops: list[Gop], after: bool
) -> None:
    requester, asked = ask(agency)
    hits = answers = 0
    for at in range(1, 9):
        answers += 1
        hits += deliver_with_a_kill(agency, requester, asked, filmed(gops, name=f"house-{at}"), at=at, after=after)
    assert hits >= 5
    assert list(Answer.objects.values_list("state", flat=True)) == ["complete"] * answers
    assert Clip.objects.count() == 2 * answers
    assert Entry.objects.filter(action="answer.received").count() == answers
    assert Entry.objects.filter(action="answer.begun").count() == answers
    assert Case.objects.count() == SignedRequest.objects.count() == 1


@pytest.mark.parametrize("listed", [True] if GROWN else [True, False])
def test_an_answer_on_the_disk_without_a_row_is_verified_and_written(
    agency: Agency, house: House, listed: bool
) -> None:
    requester, asked = ask(agency)
    deliver(requester, asked, house.disclose(asked), listed=listed)
    for _ in range(2):
        reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
        assert Answer.objects.get().state == "complete"


def test_a_transaction_that_a_kill_cut_off_is_written_again(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    event = deliver(requester, asked, house.disclose(asked))

    def killed() -> None:
        with transaction.atomic():
            AnswerRecorder(agency.organisation, requester).record(event)
            raise KilledError

    with pytest.raises(KilledError):
        killed()
    assert not Answer.objects.exists()
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    assert Answer.objects.get().state == "complete"


def test_a_quarantined_answer_on_the_disk_is_shown_as_quarantined(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    disclosure = house.disclose(asked)
    deliver(requester, asked, disclosure)
    requester.answer(disclosure.id).end(ReceiptState.REFUSED, "A part is not the recorded one.")
    requester.answers.ended(disclosure.id)
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    answer = Answer.objects.get()
    assert (answer.state, answer.reason) == ("quarantined", "A part is not the recorded one.")


def test_requests_that_another_program_signed_get_their_case(agency: Agency) -> None:
    requester, asked = ask(agency)
    ask(agency, case="2027-0115")
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    assert set(Case.objects.values_list("number", flat=True)) == {asked.request.case, "2027-0115"}
    assert all(case.created_by is None for case in Case.objects.all())


def test_files_that_disappeared_are_reported_once(agency: Agency, house: House) -> None:
    """The start of a desk with a database looks for no folders. Its audit compares the log with the stores."""
    requester, asked = ask(agency)
    disclosure = receive(agency, house, requester, asked)
    lose(requester, disclosure.id)
    assert any(disclosure.id in found.said for found in audit_files(agency.organisation))
    if GROWN:
        return
    for _ in range(2):
        reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    answer = Answer.objects.get()
    assert answer.state == "quarantined"
    assert Entry.objects.filter(action="answer.missing").count() == 1
    assert Notice.objects.filter(kind="missing").count() == 1


def test_files_of_a_deleted_answer_that_a_kill_left_are_removed(agency: Agency, house: House) -> None:
    requester, asked = ask(agency)
    disclosure = receive(agency, house, requester, asked)
    Answer.objects.update(state="deleted")
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    assert not is_kept(requester, disclosure.id)


@pytest.mark.parametrize("listed", [True] if GROWN else [True, False])
@pytest.mark.parametrize("note", ["outcome.json", "origin.json"])
def test_an_unreadable_answer_is_reported_and_the_others_are_written(
    agency: Agency, house: House, gops: list[Gop], note: str, listed: bool
) -> None:
    """An answer that the index lists becomes a row in quarantine. A folder of which only the name is known cannot."""
    requester, asked = ask(agency)
    bad, good = house.disclose(asked), filmed(gops, name="other").disclose(asked)
    deliver(requester, asked, bad, listed=listed)
    deliver(requester, asked, good, listed=listed)
    write_note(requester, bad.id, note, b"{")
    reconcile(agency.organisation, requester, AnswerRecorder(agency.organisation, requester))
    assert Answer.objects.get(state="complete").disclosure_id == good.id
    assert Answer.objects.filter(state="quarantined", disclosure_id=bad.id).exists() == listed
    assert Notice.objects.filter(kind="damaged", object=bad.id).exists() == (not listed)
