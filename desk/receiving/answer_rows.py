"""Writes what the receiving service reports as rows, each change in one transaction with its entry in the custody log.

The requester's folder decides what has arrived, and these rows follow it. A kill between a file and its row
leaves a folder without a row, which `reconcile` writes at the next start. A report may come twice: an answer has one
row, found by the id of its disclosure, and an answer that is complete or deleted stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog
from django.db import DatabaseError, DataError, IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.verification import Verification, examine
from agent.errors import FormatError, NetworkError, StorageError
from desk.asking.models import Draft
from desk.cases.deadlines import renew_deadline, utc
from desk.cases.models import Answer, Case, Clip, SignedRequest
from desk.custody.answers import sealed_files
from desk.custody.log import record
from desk.people.models import Organisation
from desk.receiving.answer_content import AnswerContent, content_of
from desk.receiving.notices import add_notice
from desk.tips.inbox import note_arrival

__all__ = ["ACTOR", "SEALED_GRADE", "AnswerRecorder"]

ACTOR: Final = "receiver"
"""Name of the receiver in the custody log."""
SEALED_GRADE: Final = "sealed"
"""Grade of an answer that this desk passes on unopened."""
_PROGRESS_STEP_S: Final = 1.0
"""The progress of one answer is written at most once in this many seconds."""
_MOST_PROGRESS: Final = 256
_FINAL: Final = ("complete", "deleted")
_log = structlog.get_logger(__name__)


class AnswerRecorder:
    """The rows of one organisation. Only its receiver thread uses it."""

    def __init__(self, organisation: Organisation, requester: Requester) -> None:
        self._organisation = organisation
        self._requester = requester
        self._written_s: dict[str, float] = {}
        """When the progress of an answer was last written, by disclosure."""

    def record(self, event: ReceiverEvent) -> None:
        """Writes one report. An answer whose report cannot be written is quarantined, so that it stops no other.

        Raises `DatabaseError` and `NetworkError` if the database or the store of parts is away, and `StorageError` if
        the disk fails. Then the receiver starts again and `reconcile` writes the report.
        """
        handler = self._handlers().get(event.kind)
        if handler is None:
            return
        try:
            handler(event)
        except (NetworkError, StorageError):
            raise
        except Exception as error:
            if _is_of_the_database(error):
                raise
            _log.exception("report not written", kind=event.kind.value, disclosure=event.disclosure)
            self._set_aside(event, error)

    def _set_aside(self, event: ReceiverEvent, error: Exception) -> None:
        """Quarantines an answer that the desk cannot describe. Its files stay. Other reports become a notice."""
        reason = f"The desk could not describe it ({type(error).__name__}). Its sealed files are kept."
        if event.kind in (ReceiverEventKind.BEGUN, ReceiverEventKind.COMPLETE, ReceiverEventKind.REFUSED):
            try:
                self.quarantine(event, reason)
            except Exception as again:
                if _is_of_the_database(again):
                    raise
                _log.exception("quarantine not written", disclosure=event.disclosure)
            else:
                return
        about = event.disclosure or event.request
        add_notice(self._organisation, "damaged", about, reason, device=event.device)

    def _handlers(self) -> dict[ReceiverEventKind, Callable[[ReceiverEvent], None]]:
        return {
            ReceiverEventKind.BEGUN: self._begun,
            ReceiverEventKind.PROGRESS: self._progress,
            ReceiverEventKind.COMPLETE: self._complete,
            ReceiverEventKind.REFUSED: self._refused,
            ReceiverEventKind.STOPPED: self._stopped,
            ReceiverEventKind.NO_ROOM: self._no_room,
            ReceiverEventKind.DROPPED: self._noticed,
            ReceiverEventKind.NOT_PUBLISHED: self._noticed,
            ReceiverEventKind.DAMAGED: self._noticed,
            ReceiverEventKind.PUBLISHED: self._published,
            ReceiverEventKind.TIP: lambda event: note_arrival(self._organisation, event.disclosure),
        }

    # Answers

    def _begun(self, event: ReceiverEvent) -> None:
        with transaction.atomic():
            self._answer(event)

    def _progress(self, event: ReceiverEvent) -> None:
        now_s = time.monotonic()
        if now_s - self._written_s.get(event.disclosure, -_PROGRESS_STEP_S) < _PROGRESS_STEP_S:
            return
        if len(self._written_s) >= _MOST_PROGRESS:
            self._written_s.clear()
        self._written_s[event.disclosure] = now_s
        self._answers(event).filter(state="receiving").update(
            held_bytes=event.held_bytes, expected_bytes=event.expected_bytes, reason=""
        )

    def _complete(self, event: ReceiverEvent) -> None:
        if self._requester.is_relayed(event.request):
            self._complete_relayed(event)
            return
        self.complete(event, event.verification or examine(self._requester, event.disclosure))

    def complete(self, event: ReceiverEvent, verification: Verification) -> None:
        """Writes a verified answer with its clips."""
        if not verification.ok:
            failed = verification.failed
            self.quarantine(event, failed.said if failed else "It does not verify any more.")
            return
        content = content_of(verification)
        files = sealed_files(self._organisation, event.disclosure)  # before the transaction: it may take a while
        with transaction.atomic():
            answer = self._answer(event)
            if answer.state in _FINAL:
                return
            _set_complete(answer, event)
            _fill(answer, content)
            answer.save()
            Clip.objects.bulk_create(_clip_row(answer, number, content) for number in range(len(content.clips)))
            renew_deadline(answer)
            self._log("answer.received", answer, grade=answer.grade, device=answer.device, **files)

    def _complete_relayed(self, event: ReceiverEvent) -> None:
        """Writes an answer that only the neighbour who asked can open and verify."""
        files = sealed_files(self._organisation, event.disclosure)
        with transaction.atomic():
            answer = self._answer(event)
            if answer.state in _FINAL:
                return
            _set_complete(answer, event)
            answer.grade = SEALED_GRADE
            answer.save()
            renew_deadline(answer)
            self._log("answer.received", answer, grade=answer.grade, device=answer.device, **files)

    def quarantine(self, event: ReceiverEvent, reason: str) -> None:
        """Marks an answer as quarantined. Its files stay, unopened."""
        with transaction.atomic():
            answer = self._answer(event)
            if answer.state in (*_FINAL, "quarantined"):
                return
            answer.state, answer.reason = "quarantined", reason
            answer.save(update_fields=("state", "reason"))
            renew_deadline(answer)
            self._log("answer.quarantined", answer, reason=reason, device=answer.device)

    def _refused(self, event: ReceiverEvent) -> None:
        self.quarantine(event, event.detail)

    def _stopped(self, event: ReceiverEvent) -> None:
        with transaction.atomic():
            answer = self._answers(event).filter(state="receiving").first()
            if answer is not None:
                answer.state = "stopped"
                answer.save(update_fields=("state",))
                renew_deadline(answer)
                self._log("answer.stopped", answer)

    def _no_room(self, event: ReceiverEvent) -> None:
        self._answers(event).filter(state="receiving").update(reason=event.detail)
        self._noticed(event)

    def _answers(self, event: ReceiverEvent) -> QuerySet[Answer]:
        """Returns the row of the answer, in a set of at most one. A doorbell chooses the id, so another organisation of
        this desk may have an answer with the same one."""
        return Answer.objects.filter(case__organisation=self._organisation, disclosure_id=event.disclosure)

    def _answer(self, event: ReceiverEvent) -> Answer:
        """Returns the row of the answer, and makes it if it is new. Call it inside a transaction.

        Raises `FormatError` if another organisation of this desk has an answer with this id.
        """
        # `no_key`: other transactions may still insert rows that refer to this answer.
        rows = Answer.objects.select_for_update(of=("self",), no_key=True).select_related("case")
        found = rows.filter(case__organisation=self._organisation, disclosure_id=event.disclosure).first()
        if found is not None:
            if found.state == "stopped":  # the owner sends it after all
                found.state = "receiving"
                found.save(update_fields=("state",))
            return found
        asked = self.signed_request(event.request)
        # Another worker may make the row at the same time, while it learns that it has lost its claim.
        answer, made = Answer.objects.select_for_update(no_key=True).get_or_create(
            disclosure_id=event.disclosure,
            defaults={
                "case": asked.case,
                "request_id": event.request,
                "device": event.device,
                "held_bytes": event.held_bytes,
                "expected_bytes": event.expected_bytes,
            },
        )
        if not made:
            if answer.case.organisation_id != self._organisation.pk:
                raise FormatError("Another organisation of this desk has an answer with this id.")
            return answer
        renew_deadline(answer)
        self._log("answer.begun", answer, device=answer.device)
        return answer

    # Requests

    def signed_request(self, request_id: str) -> SignedRequest:
        """Returns the row of a signed request, and makes it with its case if it is new."""
        found = SignedRequest.objects.filter(request_id=request_id).first()
        if found is not None:
            return found
        request = self._requester.sent_request(request_id).request
        with transaction.atomic():
            made, _is_new = SignedRequest.objects.get_or_create(
                request_id=request_id,
                defaults={
                    "case": self._case_of(request_id, request.case),
                    "from_ms": request.from_s * 1000,
                    "to_ms": request.to_s * 1000,
                    "not_after": utc(request.not_after_s),
                    "retention_days": request.retention_days,
                },
            )
            return made

    def _case_of(self, request_id: str, number: str) -> Case:
        draft = Draft.objects.filter(organisation=self._organisation, request_id=request_id).first()
        if draft is not None:
            return draft.case
        case, made = Case.objects.get_or_create(organisation=self._organisation, number=number[:64])
        if made:
            record(self._organisation, ACTOR, "case.opened", f"case {case.number}", request=request_id)
        return case

    def _published(self, event: ReceiverEvent) -> None:
        asked_before = SignedRequest.objects.filter(request_id=event.request)
        if not self._requester.has_request(event.request):
            return  # a bulletin
        with transaction.atomic():
            asked = asked_before.first() or self.signed_request(event.request)
            field = {"withdrawal": "withdrawn_at", "deletion": "deletion_published_at"}.get(
                event.detail, "published_at"
            )
            if getattr(asked, field) is not None:
                return  # a broker that was away has it now, too
            setattr(asked, field, timezone.now())
            asked.save(update_fields=(field,))
            if field == "published_at":
                Draft.objects.filter(organisation=self._organisation, request_id=event.request, state="signed").update(
                    state="published", published_at=timezone.now()
                )
            number = asked.case.number
            record(self._organisation, ACTOR, f"{event.detail}.published", f"request {event.request}", case=number)

    # The rest

    def _noticed(self, event: ReceiverEvent) -> None:
        add_notice(
            self._organisation, event.kind.value, event.disclosure or event.request, event.detail, device=event.device
        )

    def _log(self, action: str, answer: Answer, **detail: object) -> None:
        record(
            self._organisation,
            ACTOR,
            action,
            f"answer {answer.disclosure_id}",
            case=answer.case.number,
            request=answer.request_id,
            **detail,
        )


def _is_of_the_database(error: Exception) -> bool:
    """Returns True if the database is away or full. A value that it does not take is the answer's fault."""
    return isinstance(error, DatabaseError) and not isinstance(error, DataError | IntegrityError)


def _set_complete(answer: Answer, event: ReceiverEvent) -> None:
    # An answer that is written late, after a crash or a restored backup, is kept no longer than the request promised.
    now = timezone.now()
    arrived = min(now, utc(event.at_ms // 1000)) if event.at_ms else now
    answer.state, answer.reason, answer.received_at = "complete", "", arrived
    answer.held_bytes = answer.expected_bytes = max(event.held_bytes, answer.held_bytes)


def _fill(answer: Answer, content: AnswerContent) -> None:
    answer.grade, answer.unopened = content.grade, content.unopened
    answer.shared, answer.told, answer.confirmed = content.shared, list(content.told), content.confirmed
    if content.span is not None:
        answer.from_ms, answer.to_ms = content.span.from_ms, content.span.to_ms


def _clip_row(answer: Answer, number: int, content: AnswerContent) -> Clip:
    clip = content.clips[number]
    return Clip(
        answer=answer,
        index=clip.index,
        from_ms=clip.span.from_ms,
        to_ms=clip.span.to_ms,
        clock_quality=clip.quality.value,
        segments=[[each.from_ms, each.to_ms] for each in clip.segments],
        gaps=[[each.from_ms, each.to_ms] for each in clip.gaps],
        still=clip.still,
        sounds=clip.sounds,
        continuity=clip.continuity,
    )
