"""The page of changes that need a second person: what waits, and who made and confirmed earlier ones."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from agent.errors import RequestError
from desk.people import confirmations
from desk.people.models import GuardedChange
from desk.people.permissions import Action, DeskRequest, get_in, needs
from desk.people.views import role_names

__all__ = ["confirm", "confirmations_page", "refuse"]

_PER_PAGE: Final = 50


@require_safe
@needs(Action.SEE_CONFIRMATIONS)
def confirmations_page(request: DeskRequest) -> HttpResponse:
    """Changes that wait for a second person, and those that were decided or made alone."""
    return _page(request)


@require_POST
@needs(Action.CONFIRM_CHANGES)
def confirm(request: DeskRequest, pk: int) -> HttpResponse:
    """Lets a change take effect."""
    change = get_in(request.organisation, GuardedChange, pk)
    try:
        confirmations.confirm(change, request.user, request.POST.get("code", "").replace(" ", "")[:20])
    except RequestError as error:
        return _page(request, {pk: str(error)})
    messages.success(request, _("Confirmed."))
    return redirect("people:confirmations")


@require_POST
@needs(Action.CONFIRM_CHANGES)
def refuse(request: DeskRequest, pk: int) -> HttpResponse:
    """Refuses a change, or withdraws the person's own."""
    try:
        confirmations.refuse(get_in(request.organisation, GuardedChange, pk), request.user)
    except RequestError as error:
        return _page(request, {pk: str(error)})
    return redirect("people:confirmations")


def _page(request: DeskRequest, problems: dict[int, str] | None = None) -> HttpResponse:
    changes = GuardedChange.objects.filter(organisation=request.organisation).select_related("person", "made_by")
    waiting = [_row(each, request, problems or {}) for each in changes.filter(state="waits")]
    page = Paginator(changes.exclude(state="waits"), _PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "waiting": waiting,
        "page": page,
        "decided": [(each, role_names(each.roles)) for each in page],
        "lone_problem": "" if waiting else next(iter((problems or {}).values()), ""),
        "may_decide": request.may(Action.CONFIRM_CHANGES),
    }
    return render(request, "people/confirmations.html", context, status=409 if problems else 200)


def _row(change: GuardedChange, request: DeskRequest, problems: dict[int, str]) -> dict[str, Any]:
    return {
        "change": change,
        "roles": role_names(change.roles),
        "own": change.made_by_id == request.user.pk,
        "may_confirm": confirmations.may_confirm(change, request.user),
        "asks_for_code": confirmations.asks_for_code(change),
        "problem": problems.get(change.pk, ""),
    }
