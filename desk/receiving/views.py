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


@require_safe
@needs(Action.SEE_CASES)
def receiver(request: DeskRequest) -> HttpResponse:
    row = Receiver.objects.filter(organisation=request.organisation).first()
    answers = Answer.objects.filter(case__organisation=request.organisation).select_related("case")
    silent = row is not None and row.seen_at is not None and timezone.now() - row.seen_at > _SILENT
    return render(
        request,
        "receiving/receiver.html",
        {
            "row": row,
            "silent": silent and row is not None and row.state != "stopped",
            "arriving": answers.filter(state="receiving").order_by("-pk")[:_MOST_SHOWN],
            "quarantined": answers.filter(state="quarantined").order_by("-pk")[:_MOST_SHOWN],
            "notices": Notice.objects.filter(organisation=request.organisation)[:_MOST_SHOWN],
        },
    )
