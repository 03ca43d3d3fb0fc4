"""Compares the requester's folder with the rows at the start of a receiver, and writes what a kill left unwritten.

The folder decides, and its index lists what has changed since the receiver last was in line with it (`Receiver`), so a
start costs the same with ten answers or a hundred thousand. A complete answer without a row was acknowledged just
before the kill, so it is verified and written now. A row without its folder is reported: its files were removed by
something other than the retention clock.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from agent.clients.requester.answer_index import AnswerState, IndexPosition, ReceivedAnswer
from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.errors import DoorwardError
from agent.wire.topics import ANONYMOUS
from desk.cases.models import Answer, Case, SignedRequest
from desk.custody.log import record
from desk.people.models import Organisation
from desk.receiving.answer_rows import ACTOR, AnswerRecorder
from desk.receiving.models import Receiver, receivers, worker_name
from desk.receiving.notices import add_notice
from desk.tips.inbox import note_arrival

__all__ = ["keep_position", "reconcile", "reconcile_answer"]

_PAGE = 1000


def reconcile(organisation: Organisation, requester: Requester, recorder: AnswerRecorder) -> None:
    """Brings the rows of an organisation up to its folder. Run it before the receiver connects."""
    _find_requests(organisation, requester, recorder)
    for disclosure in requester.answers.reconcile():
        _report_unreadable(organisation, requester, disclosure)
    position, known = requester.answers.position(), _known_position(organisation)
    change = known.change if known.made == position.made else 0
    if known.made != position.made:
        _find_missing(organisation, requester)
    while page := requester.answers.changed_since(change, _PAGE):
        names = [answer.disclosure for answer in page]
        theirs = Answer.objects.filter(case__organisation=organisation, disclosure_id__in=names)
        rows = dict(theirs.values_list("disclosure_id", "state"))
        for answer in page:
            _compare(answer, organisation, requester, recorder, rows.get(answer.disclosure, ""))
        change = page[-1].change
        _keep(organisation, IndexPosition(position.made, change))


def reconcile_answer(
    organisation: Organisation, requester: Requester, recorder: AnswerRecorder, disclosure: str
) -> None:
    """Brings the row of one answer up to date. Another worker may have died before it wrote it."""
    answer = requester.answers.get(disclosure)
    if answer is not None:
        theirs = Answer.objects.filter(case__organisation=organisation, disclosure_id=disclosure)
        state = theirs.values_list("state", flat=True).first()
        _compare(answer, organisation, requester, recorder, state or "")


def keep_position(organisation: Organisation, requester: Requester) -> None:
    """Notes that the rows say what the index says. Call it when no report is being written."""
    _keep(organisation, requester.answers.position())


def _keep(organisation: Organisation, position: IndexPosition) -> None:
    Receiver.objects.update_or_create(
        organisation=organisation,
        worker=worker_name(),
        defaults={"index_made": position.made, "index_change": position.change},
    )


def _known_position(organisation: Organisation) -> IndexPosition:
    row = receivers(organisation).first()
    return IndexPosition(row.index_made, row.index_change) if row else IndexPosition()


def _find_requests(organisation: Organisation, requester: Requester, recorder: AnswerRecorder) -> None:
    known = set(SignedRequest.objects.filter(case__organisation=organisation).values_list("request_id", flat=True))
    for request_id in requester.register.beginning_with(""):
        if request_id not in known and requester.has_request(request_id):
            try:
                recorder.signed_request(request_id)
            except DoorwardError as error:
                add_notice(organisation, "damaged", request_id, str(error))


def _find_missing(organisation: Organisation, requester: Requester) -> None:
    """Reports rows that an index made again does not list: it forgot what was deleted before."""
    rows = Answer.objects.filter(case__organisation=organisation).exclude(state="deleted")
    for disclosure in rows.values_list("disclosure_id", flat=True).iterator():
        if requester.answers.get(disclosure) is None:
            _report_missing(organisation, disclosure)


def _compare(
    answer: ReceivedAnswer, organisation: Organisation, requester: Requester, recorder: AnswerRecorder, state: str
) -> None:
    if answer.state is AnswerState.DELETED:
        if state not in ("", "deleted"):
            _report_missing(organisation, answer.disclosure)
    elif state == "deleted":
        requester.answer(answer.disclosure).delete()  # the kill came while it was deleted
        requester.answers.deleted(answer.disclosure, 0)
    elif state in ("complete", "quarantined"):
        return
    elif answer.device == ANONYMOUS:
        if answer.state is AnswerState.COMPLETE:
            note_arrival(organisation, answer.disclosure)
    elif answer.request and not (state and answer.state is AnswerState.RECEIVING):
        # Without a request, part 0 is not open yet: nothing was acknowledged for a case.
        recorder.record(_event(answer, requester))


def _event(answer: ReceivedAnswer, requester: Requester) -> ReceiverEvent:
    """Returns the report that a kill may have left unwritten."""
    kinds = {
        AnswerState.RECEIVING: ReceiverEventKind.BEGUN,
        AnswerState.COMPLETE: ReceiverEventKind.COMPLETE,
        AnswerState.QUARANTINED: ReceiverEventKind.REFUSED,
    }
    return ReceiverEvent(
        kinds[answer.state],
        answer.disclosure,
        answer.request,
        held_bytes=requester.answer(answer.disclosure).parts_bytes(),
        detail=answer.reason,
        device=answer.device,
        at_ms=answer.ended_ms,
    )


def _report_unreadable(organisation: Organisation, requester: Requester, disclosure: str) -> None:
    folder = requester.answer(disclosure)
    try:
        folder.origin()
        folder.outcome()
    except DoorwardError as error:
        add_notice(organisation, "damaged", disclosure, str(error))


def _report_missing(organisation: Organisation, disclosure: str) -> None:
    """Reports an answer without its folder. One that is due lost it to a deletion that a kill interrupted."""
    with transaction.atomic():
        case = Answer.objects.get(disclosure_id=disclosure).case_id
        Case.objects.select_for_update(no_key=True).get(pk=case)  # before its answer, as a deletion does
        answer = (
            Answer.objects.select_for_update(of=("self",), no_key=True)
            .select_related("case")
            .get(disclosure_id=disclosure)
        )
        if answer.due_at is not None and answer.due_at <= timezone.now() and not answer.case.legal_hold:
            return  # the retention clock finishes the deletion
        reason = "Its files are missing on the disk."
        if answer.reason == reason:
            return
        answer.state, answer.reason = "quarantined" if answer.state == "complete" else "stopped", reason
        answer.save(update_fields=("state", "reason"))
        add_notice(organisation, "missing", disclosure, reason)
        record(organisation, ACTOR, "answer.missing", f"answer {disclosure}", case=answer.case.number)
