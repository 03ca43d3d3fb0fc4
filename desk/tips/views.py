"""Pages of tips and bulletins."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agent.errors import DoorwardError
from agent.wire.disclosures import PartKind
from desk.asking.knowledge import zone_of
from desk.asking.map_view import map_context, with_tiles
from desk.asking.words import error_text
from desk.cases.forms import HoldForm
from desk.cases.models import Case
from desk.people.organisations import requester_of
from desk.people.permissions import Action, DeskRequest, get_in, needs, number_in
from desk.tips import bulletins, inbox, tip_retention
from desk.tips.forms import BulletinForm
from desk.tips.models import Bulletin, Tip
from desk.tips.tip_retention import tip_countdown

__all__ = [
    "assign_tip", "bulletin_page", "bulletins_page", "new_bulletin", "publish_bulletin", "tip_delete", "tip_deletion",
    "tip_file", "tip_hold", "tip_page", "tip_release", "tips_page",
]  # fmt: skip

_PER_PAGE: Final = 50
_CONTENT_TYPES: Final = {PartKind.SEGMENT: "video/mp4", PartKind.POSTER: "image/jpeg"}


@require_safe
@needs(Action.SEE_TIPS)
def tips_page(request: DeskRequest) -> HttpResponse:
    """Tips that have arrived, the newest first."""
    found = Tip.objects.filter(organisation=request.organisation).select_related("case", "opened_by")
    page = Paginator(found, _PER_PAGE).get_page(request.GET.get("page"))
    now_s = int(timezone.now().timestamp())
    context = {
        "page": page,
        "rows": [(tip, tip_countdown(tip, now_s)) for tip in page],
        "zone": zone_of(request.organisation),
        "may_publish": request.may(Action.PUBLISH_BULLETINS),
    }
    return render(request, "tips/inbox.html", context)


@require_http_methods(["POST"])
@needs(Action.SEE_TIPS)
def tip_page(request: DeskRequest, pk: int) -> HttpResponse:
    """One tip, opened. By POST, because each opening is recorded."""
    tip = _kept(request, pk)
    opened = inbox.open_for(tip, request.user)
    context = {
        "tip": tip,
        "clock": tip_countdown(tip, int(timezone.now().timestamp())),
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
    tip = _kept(request, pk)
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
    tip = _kept(request, pk)
    chosen = request.POST.get("case", "")
    case = get_in(request.organisation, Case, number_in(chosen)) if chosen else None
    try:
        inbox.assign(tip, request.user, case)
    except DoorwardError as error:
        messages.error(request, error_text(error))
    return redirect("tips:inbox")


@require_safe
@needs(Action.SEE_TIPS)
def tip_deletion(request: DeskRequest, pk: int) -> HttpResponse:
    """When a tip is deleted, and its legal hold. It shows nothing of the tip."""
    return _deletion_page(request, get_in(request.organisation, Tip, pk))


@require_POST
@needs(Action.MANAGE_RETENTION)
def tip_hold(request: DeskRequest, pk: int) -> HttpResponse:
    """Stops the deletion of a tip."""
    return _keep(request, pk, lambda tip, reason: tip_retention.hold_tip(tip, request.user, reason))


@require_POST
@needs(Action.MANAGE_RETENTION)
def tip_release(request: DeskRequest, pk: int) -> HttpResponse:
    """Ends the legal hold of a tip."""
    return _keep(request, pk, lambda tip, reason: tip_retention.end_hold(tip, request.user, reason))


@require_POST
@needs(Action.MANAGE_RETENTION)
def tip_delete(request: DeskRequest, pk: int) -> HttpResponse:
    """Deletes a tip now."""
    requester = requester_of(request.organisation)
    return _keep(
        request,
        pk,
        lambda tip, reason: tip_retention.delete_tip(request.organisation, requester, tip.pk, request.user, reason),
    )


def _keep(request: DeskRequest, pk: int, act: Callable[[Tip, str], bool]) -> HttpResponse:
    tip, form = get_in(request.organisation, Tip, pk), HoldForm(request.POST)
    if not form.is_valid():
        return _deletion_page(request, tip, form)
    try:
        done = act(tip, form.cleaned_data["reason"])
    except DoorwardError as error:
        form.add_error(None, error_text(error))
        return _deletion_page(request, tip, form)
    if done:
        messages.success(request, _("Saved."))
    else:
        messages.error(request, _("Nothing was changed: another person came first, or a legal hold stops it."))
    return redirect("tips:deletion", pk)


def _deletion_page(request: DeskRequest, tip: Tip, form: HoldForm | None = None) -> HttpResponse:
    context = {
        "tip": tip,
        "clock": tip_countdown(tip, int(timezone.now().timestamp())),
        "form": form or HoldForm(),
        "delete_form": HoldForm(auto_id="delete-%s"),
        "zone": zone_of(request.organisation),
        "may_keep": request.may(Action.MANAGE_RETENTION) and tip.deleted_at is None,
    }
    return render(request, "tips/deletion.html", context)


def _kept(request: DeskRequest, pk: int) -> Tip:
    """Returns a tip that is not deleted."""
    return get_in(request.organisation, Tip, pk, deleted_at=None)


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
    first = {"language": request.organisation.language}
    form = BulletinForm(request.POST or None, request.FILES or None, initial=first)
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
