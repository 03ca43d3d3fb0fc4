"""The page about receiving: the connection to the broker, answers on their way, and what the receiver reports."""

from __future__ import annotations

from typing import Final

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from desk.cases.models import Answer
from desk.people.permissions import Action, DeskRequest, needs
from desk.receiving.models import Notice, Receiver, still_there

__all__ = ["receiver"]

_MOST_SHOWN: Final = 50


@require_safe
@needs(Action.SEE_CASES)
def receiver(request: DeskRequest) -> HttpResponse:
    now = timezone.now()
    rows = still_there(Receiver.objects.filter(organisation=request.organisation).order_by("worker"), now)
    answers = Answer.objects.filter(case__organisation=request.organisation).select_related("case")
    return render(
        request,
        "receiving/receiver.html",
        {
            "receivers": [(row, row.is_silent(now) and row.state != "stopped") for row in rows],
            "arriving": answers.filter(state="receiving").order_by("-pk")[:_MOST_SHOWN],
            "quarantined": answers.filter(state="quarantined").order_by("-pk")[:_MOST_SHOWN],
            "notices": Notice.objects.filter(organisation=request.organisation)[:_MOST_SHOWN],
        },
    )
