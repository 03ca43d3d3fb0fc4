"""Stores the due dates of answers and cases, so that a list can show and sort them without a calculation for each row.

`retention` decides the dates. Call `renew_deadline` in the transaction of each change of an answer's dates or state.
"""

from __future__ import annotations

import datetime

from django.db.models import Min

from desk.cases.models import Answer, Case, SignedRequest
from desk.cases.retention import AnswerClock, RequestClock, due_s

__all__ = ["answer_clock", "renew_deadline", "request_clock", "retention_days", "utc"]


def utc(at_s: int) -> datetime.datetime:
    """Returns seconds since 1970 as a time of Django. A time after the year 9999 becomes the last one before it."""
    last_s = int(datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC).timestamp())
    return datetime.datetime.fromtimestamp(min(at_s, last_s), datetime.UTC)


def answer_clock(answer: Answer) -> AnswerClock:
    """Returns the dates of an answer as `retention` reads them."""
    keep_until_s = None if answer.keep_until is None else int(answer.keep_until.timestamp())
    return AnswerClock(answer.pk, int(answer.received_at.timestamp()), keep_until_s, answer.state == "deleted")


def request_clock(asked: SignedRequest, answers: list[Answer]) -> RequestClock:
    """Returns the dates of a request and its answers as `retention` reads them."""
    return RequestClock(
        asked.request_id,
        int(asked.not_after.timestamp()),
        asked.retention_days,
        tuple(map(answer_clock, answers)),
        asked.deletion_signed_at is not None,
    )


def retention_days(answer: Answer) -> int:
    """Returns the days that the signed request of an answer promises."""
    return SignedRequest.objects.values_list("retention_days", flat=True).get(request_id=answer.request_id)


def renew_deadline(answer: Answer) -> None:
    """Stores when the answer is deleted, and when the next footage of its case is."""
    answer.due_at = utc(due_s(answer_clock(answer), retention_days(answer)))
    answer.save(update_fields=("due_at",))
    kept = Answer.objects.filter(case=answer.case_id).exclude(state="deleted")
    Case.objects.filter(pk=answer.case_id).update(retention_until=kept.aggregate(next=Min("due_at"))["next"])
