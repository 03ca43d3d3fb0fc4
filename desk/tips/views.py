"""Pages of tips and bulletins."""

from __future__ import annotations

import datetime
from typing import Final

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agent.errors import DoorwardError
from agent.wire.disclosures import PartKind
from desk.asking.knowledge import zone_of
from desk.asking.map_view import map_context, with_tiles
from desk.asking.words import error_text
from desk.cases.models import Case
from desk.people.permissions import Action, DeskRequest, get_in, needs, number_in
from desk.tips import bulletins, inbox
from desk.tips.forms import BulletinForm
from desk.tips.models import Bulletin, Tip

__all__ = [
    "assign_tip", "bulletin_page", "bulletins_page", "new_bulletin", "publish_bulletin", "tip_file", "tip_page",
    "tips_page",
]  # fmt: skip

_PER_PAGE: Final = 50
_CONTENT_TYPES: Final = {PartKind.SEGMENT: "video/mp4", PartKind.POSTER: "image/jpeg"}


@require_safe
@needs(Action.SEE_TIPS)
def tips_page(request: DeskRequest) -> HttpResponse:
    """Tips that have arrived, the newest first."""
    found = Tip.objects.filter(organisation=request.organisation).select_related("case", "opened_by")
    context = {
        "page": Paginator(found, _PER_PAGE).get_page(request.GET.get("page")),
        "zone": zone_of(request.organisation),
        "may_publish": request.may(Action.PUBLISH_BULLETINS),
    }
    return render(request, "tips/inbox.html", context)


@require_http_methods(["POST"])
@needs(Action.SEE_TIPS)
def tip_page(request: DeskRequest, pk: int) -> HttpResponse:
    """One tip, opened. By POST, because each opening is recorded."""
    tip = get_in(request.organisation, Tip, pk)
    opened = inbox.open_for(tip, request.user)
    context = {
        "tip": tip,
        "opened": opened,
        "files": [
            (number, each, _CONTENT_TYPES.get(each.kind, ""), _moment(each.start_ms))
            for number, each in enumerate(opened.files if opened else ())
        ],
        "cases": Case.objects.filter(organisation=request.organisation, closed_at=None).order_by("-pk")[:200],
        "zone": zone_of(request.organisation),
        "may_assign": request.may(Action.WORK_ON_CASES),
    }
    return render(request, "tips/tip.html", context)


def _moment(at_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)


@require_safe
@needs(Action.SEE_TIPS)
def tip_file(request: DeskRequest, pk: int, number: int) -> HttpResponse:
    """One picture or clip of a tip, opened in memory."""
    tip = get_in(request.organisation, Tip, pk)
    opened = inbox.open_for(tip, request.user, "tip.footage-viewed")
    if opened is None or number >= len(opened.files) or opened.files[number].unopened:
        raise Http404
    found = opened.files[number]
    if found.kind not in _CONTENT_TYPES:
        raise Http404
    return HttpResponse(found.data, content_type=_CONTENT_TYPES[found.kind], headers={"Content-Disposition": "inline"})


@require_POST
@needs(Action.WORK_ON_CASES)
def assign_tip(request: DeskRequest, pk: int) -> HttpResponse:
    """Puts a tip into a case of the organisation."""
    tip = get_in(request.organisation, Tip, pk)
    chosen = request.POST.get("case", "")
    inbox.assign(tip, request.user, get_in(request.organisation, Case, number_in(chosen)) if chosen else None)
    return redirect("tips:inbox")


# Bulletins


@require_safe
@needs(Action.SEE_TIPS)
def bulletins_page(request: DeskRequest) -> HttpResponse:
    """Bulletins of the organisation."""
    found = Bulletin.objects.filter(organisation=request.organisation).select_related("author")
    now = timezone.now()
    page = Paginator(found, _PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(each, bool(each.until and each.until < now)) for each in page],
        "zone": zone_of(request.organisation),
        "may_publish": request.may(Action.PUBLISH_BULLETINS),
    }
    return render(request, "tips/bulletins.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Action.PUBLISH_BULLETINS)
def new_bulletin(request: DeskRequest) -> HttpResponse:
    """Writes a bulletin."""
    form = BulletinForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        bulletin = form.write_to(Bulletin(), request.organisation, request.user)
        return redirect("tips:bulletin", bulletin.pk)
    context = {"form": form, **map_context(request.organisation)}
    return with_tiles(render(request, "tips/new_bulletin.html", context))


@require_safe
@needs(Action.SEE_TIPS)
def bulletin_page(request: DeskRequest, pk: int) -> HttpResponse:
    """One bulletin as an owner sees it."""
    return _bulletin_page(request, get_in(request.organisation, Bulletin, pk))


@require_POST
@needs(Action.PUBLISH_BULLETINS)
def publish_bulletin(request: DeskRequest, pk: int) -> HttpResponse:
    """Signs and publishes it."""
    bulletin = get_in(request.organisation, Bulletin, pk)
    try:
        bulletins.publish(bulletin, request.user)
    except DoorwardError as error:
        return _bulletin_page(request, bulletin, error_text(error))
    return redirect("tips:bulletin", pk)


def _bulletin_page(request: DeskRequest, bulletin: Bulletin, problem: str = "") -> HttpResponse:
    context = {
        "bulletin": bulletin,
        "problem": problem,
        "zone": zone_of(request.organisation),
        "may_publish": request.may(Action.PUBLISH_BULLETINS) and not bulletin.bulletin_id,
    }
    return render(request, "tips/bulletin.html", context, status=409 if problem else 200)
