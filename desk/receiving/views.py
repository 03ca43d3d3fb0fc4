"""The page about receiving: the connection to the broker, answers on their way, and what the receiver reports."""

from __future__ import annotations

import datetime
from typing import Final

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from desk.cases.models import Answer
from desk.people.permissions import Action, DeskRequest, needs
from desk.receiving.models import Notice, Receiver

__all__ = ["receiver"]

_MOST_SHOWN: Final = 50
_SILENT: Final = datetime.timedelta(minutes=1)
"""A receiver that has written nothing for this long has stopped, whatever its row says."""
_TAKEN_AWAY: Final = datetime.timedelta(days=1)


@require_safe
@needs(Action.SEE_CASES)
def receiver(request: DeskRequest) -> HttpResponse:
    rows = _shown(list(Receiver.objects.filter(organisation=request.organisation).order_by("worker")))
    answers = Answer.objects.filter(case__organisation=request.organisation).select_related("case")
    return render(
        request,
        "receiving/receiver.html",
        {
            "receivers": [(row, _is_silent(row) and row.state != "stopped") for row in rows],
            "arriving": answers.filter(state="receiving").order_by("-pk")[:_MOST_SHOWN],
            "quarantined": answers.filter(state="quarantined").order_by("-pk")[:_MOST_SHOWN],
            "notices": Notice.objects.filter(organisation=request.organisation)[:_MOST_SHOWN],
        },
    )


def _shown(rows: list[Receiver]) -> list[Receiver]:
    """Leaves out workers that were taken away long ago, if another one runs."""
    running = [row for row in rows if not _is_silent(row)]
    recent = [row for row in rows if row.seen_at is None or timezone.now() - row.seen_at < _TAKEN_AWAY]
    return recent if running else rows


def _is_silent(row: Receiver) -> bool:
    return row.seen_at is not None and timezone.now() - row.seen_at > _SILENT
