"""Compares the requester's folder with the rows at the start of a receiver, and writes what a kill left unwritten.

The folder decides. A complete answer without a row was acknowledged just before the kill, so it is verified and written
now. A row without its folder is reported: its files were removed by something other than the retention clock.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from agent.clients.requester.disclosure_folder import AnswerFolder, answer_folders
from agent.clients.requester.identity import Requester
from agent.clients.requester.incoming_tips import is_tip
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.verification import examine
from agent.core.transfer import TransferState
from agent.errors import DoorwardError
from desk.cases.models import Answer, SignedRequest
from desk.custody.log import record
from desk.people.models import Organisation
from desk.receiving.answer_rows import ACTOR, AnswerRecorder
from desk.receiving.notices import add_notice
from desk.tips.inbox import note_arrival

__all__ = ["reconcile"]


def reconcile(organisation: Organisation, requester: Requester, recorder: AnswerRecorder) -> None:
    """Brings the rows of an organisation up to its folder. Run it before the receiver connects."""
    _find_requests(organisation, requester, recorder)
    rows = dict(Answer.objects.filter(case__organisation=organisation).values_list("disclosure_id", "state"))
    found = set()
    for folder in answer_folders(requester.folder):
        found.add(folder.disclosure)
        state = rows.get(folder.disclosure, "")
        if state in ("complete", "quarantined"):
            continue
        try:
            if not is_tip(folder):
                _compare(folder, requester, recorder, state)
            elif folder.state is TransferState.COMPLETE:
                note_arrival(organisation, folder.disclosure)
        except DoorwardError as error:
            add_notice(organisation, "damaged", folder.disclosure, str(error))
    for disclosure, state in rows.items():
        if state != "deleted" and disclosure not in found:
            _report_missing(organisation, disclosure, state)


def _find_requests(organisation: Organisation, requester: Requester, recorder: AnswerRecorder) -> None:
    known = set(SignedRequest.objects.filter(case__organisation=organisation).values_list("request_id", flat=True))
    for request_id in requester.request_ids():
        if request_id not in known:
            try:
                recorder.signed_request(request_id)
            except DoorwardError as error:
                add_notice(organisation, "damaged", request_id, str(error))


def _compare(folder: AnswerFolder, requester: Requester, recorder: AnswerRecorder, state: str) -> None:
    envelope, origin = folder.request(), folder.origin()
    if state == "deleted":
        folder.remove()  # the kill came while it was deleted
        return
    if envelope is None or origin is None:
        return  # part 0 is not open yet: nothing was acknowledged for a case
    request = requester.sent_request_in(envelope).request.id
    held_bytes = sum(folder.part(number).stat().st_size for number in folder.sealed())
    event = ReceiverEvent(
        ReceiverEventKind.BEGUN, folder.disclosure, request, held_bytes=held_bytes, device=origin.device
    )
    outcome = folder.outcome()
    if outcome is None:
        recorder.record(event)
    elif folder.state is TransferState.COMPLETE:
        recorder.complete(event, examine(requester, folder.disclosure))
    else:
        recorder.quarantine(event, outcome.reason)


def _report_missing(organisation: Organisation, disclosure: str, state: str) -> None:
    """Reports an answer without its folder. One that is due lost it to a deletion that a kill interrupted."""
    with transaction.atomic():
        answer = Answer.objects.select_for_update().select_related("case").get(disclosure_id=disclosure)
        if answer.due_at is not None and answer.due_at <= timezone.now() and not answer.case.legal_hold:
            return  # the retention clock finishes the deletion
        reason = "Its files are missing on the disk."
        if answer.reason == reason:
            return
        answer.state, answer.reason = "quarantined" if state == "complete" else "stopped", reason
        answer.save(update_fields=("state", "reason"))
        add_notice(organisation, "missing", disclosure, reason)
        record(organisation, ACTOR, "answer.missing", f"answer {disclosure}", case=answer.case.number)
