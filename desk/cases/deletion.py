"""Carries out what the retention clock says: deletes footage and its copies, then signs the deletion for its owners.

The order makes each statement true after a kill at any point. Files go before the row says so, in a transaction that
holds the case, so that a legal hold either comes first and stops the deletion or comes after it. A repeated deletion
finds nothing and goes on. The receiver publishes the signed statement.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef

from agent.clients.requester.identity import Requester
from agent.clients.requester.messages import make_deletion
from agent.clients.requester.notes import delete_folder
from agent.clients.requester.sealed_parts import PartsAwayError
from agent.errors import DoorwardError
from desk.asking.models import Draft
from desk.cases.deadlines import renew_deadline, request_clock, utc
from desk.cases.films import forget_film
from desk.cases.models import Answer, Case, FilmView, SignedRequest
from desk.cases.object_locks import unlock
from desk.cases.retention import DeleteAnswer, PublishDeletion, Step, plan
from desk.custody.log import record
from desk.export.private_folder import forget_answer
from desk.people.models import Organisation, Person
from desk.sealed_keys import is_locked

__all__ = ["RETENTION", "delete_answer", "run_due"]

RETENTION: Final = "retention"
"""Name of the retention clock in the custody log."""


def run_due(organisation: Organisation, requester: Requester, now_s: int) -> int:
    """Carries out each step that is due. Returns the number of steps.

    A step that fails keeps back only the deletion of its own request. Its error is raised after all other steps, and
    `PartsAwayError` at once.
    """
    done, failed = 0, None
    for case in list(_cases_due(organisation, now_s)):
        answers = defaultdict[str, list[Answer]](list)
        for answer in Answer.objects.filter(case=case):
            answers[answer.request_id].append(answer)
        rows = {asked.request_id: asked for asked in SignedRequest.objects.filter(case=case)}
        requests = {answer.pk: request for request, found in answers.items() for answer in found}
        stuck = set[str]()
        clocks = [request_clock(asked, answers[asked.request_id]) for asked in rows.values()]
        for step in plan(clocks, hold=case.legal_hold, now_s=now_s):
            request_id = requests[step.answer] if isinstance(step, DeleteAnswer) else step.request
            if isinstance(step, PublishDeletion) and request_id in stuck:
                continue  # it would state a deletion that did not happen
            try:
                done += _carry_out(step, organisation, requester, rows[request_id], now_s)
            # Each further step could wait for the store as long.
            except PartsAwayError:
                raise
            except DoorwardError as error:
                failed = failed or error
                # No signed statement may say that everything is deleted while a file of this request is left.
                stuck.add(request_id)
    if failed is not None:
        raise failed
    return done


def _carry_out(step: Step, organisation: Organisation, requester: Requester, asked: SignedRequest, now_s: int) -> bool:
    if isinstance(step, DeleteAnswer):
        return delete_answer(organisation, requester, step.answer, RETENTION)
    return _sign_deletion(organisation, requester, asked, now_s)


def delete_answer(
    organisation: Organisation, requester: Requester, pk: int, actor: Person | str, reason: str = ""
) -> bool:
    """Deletes the footage of an answer and its copies. Returns False if a legal hold or an earlier call came first.

    Raises `StorageError`, and changes no row, if a file cannot be deleted.
    """
    with transaction.atomic():
        answer = Answer.objects.select_related("case").get(pk=pk, case__organisation=organisation)
        case = Case.objects.select_for_update(no_key=True).get(pk=answer.case_id)
        # Read again under the lock of its case: another deletion may have come since the first look.
        answer.refresh_from_db()
        if case.legal_hold or answer.state == "deleted":
            return False
        copies = _remove_copies(requester, answer.disclosure_id)
        if answer.locked:
            unlock(organisation, answer)  # its hold has ended, and the clock has not come round yet
        # Files go before the row says so: a kill in between leaves a row that the clock finds due again.
        files = requester.answer(answer.disclosure_id).delete()
        FilmView.objects.filter(answer=answer).delete()
        answer.state, answer.deleted_at = "deleted", datetime.datetime.now(datetime.UTC)
        answer.save(update_fields=("state", "deleted_at"))
        renew_deadline(answer)
        record(
            organisation,
            actor,
            "answer.deleted",
            f"answer {answer.disclosure_id}",
            case=case.number,
            request=answer.request_id,
            reason=reason or "the retention that the request promised has passed",
            files=files,
            copies=copies,
        )
    # After the row: an index that lists the answer without files is put right at the next start.
    requester.answers.deleted(answer.disclosure_id, round(answer.deleted_at.timestamp() * 1000))
    forget_film(answer.disclosure_id)
    return True


def _cases_due(organisation: Organisation, now_s: int) -> Iterator[Case]:
    """Yields the cases in which a step may be due. `plan` decides."""
    now = utc(now_s)
    due = Answer.objects.filter(case=OuterRef("pk"), due_at__lte=now).exclude(state="deleted")
    kept = Answer.objects.filter(request_id=OuterRef("request_id")).exclude(state="deleted")
    unstated = SignedRequest.objects.filter(case=OuterRef("pk"), deletion_signed_at=None, not_after__lte=now).exclude(
        Exists(kept)
    )
    return Case.objects.filter(Exists(due) | Exists(unstated), organisation=organisation, legal_hold=False).iterator()


def _sign_deletion(organisation: Organisation, requester: Requester, asked: SignedRequest, now_s: int) -> bool:
    """Signs the deletion of everything received for a request. The receiver publishes it."""
    if is_locked(requester.folder):
        return False  # the footage is gone already, and the statement follows once a person unlocks the key
    with transaction.atomic():
        case = Case.objects.select_for_update(no_key=True).get(pk=asked.case_id)
        asked.refresh_from_db()
        # Looked at under the lock, for the same reason as in `delete_answer`.
        if case.legal_hold or asked.deletion_signed_at is not None:
            return False
        sent = requester.sent_request(asked.request_id)
        # Files of an upload that never became an answer, for example one that a doorbell did not finish.
        for answer in requester.answers.to_request(asked.request_id):
            _remove_copies(requester, answer.disclosure)
            requester.answer(answer.disclosure).delete()
            requester.answers.deleted(answer.disclosure, now_s * 1000)
        if not sent.deleted:
            make_deletion(requester, asked.request_id, now_s)
        asked.deletion_signed_at = datetime.datetime.now(datetime.UTC)
        asked.save(update_fields=("deletion_signed_at",))
        Draft.objects.filter(organisation=organisation, request_id=asked.request_id).update(state="deleted")
        record(organisation, RETENTION, "deletion.signed", f"request {asked.request_id}", case=case.number)
    return True


def _remove_copies(requester: Requester, disclosure: str) -> int:
    """Deletes opened copies of an answer, also those in an export that is being sent. Returns the number of files."""
    return delete_folder(requester.folder / "opened" / disclosure) + forget_answer(disclosure)
