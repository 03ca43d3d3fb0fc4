"""The public bulletins: a page, a feed, an alert and a proof for each. Anyone may read them without signing in.

A reader gives no place: a desk that could filter by a reader's place would learn where its readers live
(docs/decisions/0066). The feed and CAP state each area.
"""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from agent.clients.requester.area_sketch import sketch
from desk.neighbourhood import cap, feed, proof
from desk.neighbourhood.published import PublishedBulletin, current, find
from desk.people.models import Organisation
from desk.streaming import attachment

__all__ = ["bulletin_cap", "bulletin_page", "bulletin_proof", "bulletins_feed", "bulletins_page", "for_all"]

_CACHED_S = 60
"""A minute: long enough for a crowd, short enough for a bulletin that just came."""


@require_safe
def bulletins_page(request: HttpRequest) -> HttpResponse:
    """The bulletins in force, the newest first."""
    _require_public()
    chosen = _organisation(request)
    context = {
        "bulletins": current(timezone.now(), chosen.requester_id if chosen else ""),
        "chosen": chosen,
        "feed": _feed_address(chosen),
    }
    return render(request, "neighbourhood/bulletins.html", context)


@require_safe
def bulletin_page(request: HttpRequest, bulletin_id: str) -> HttpResponse:
    """One bulletin: its words, its area and how to check it."""
    bulletin = _bulletin(bulletin_id)
    area = bulletin.message.area
    context = {"bulletin": bulletin, "outline": sketch(area) if area else None, "command": proof.COMMAND}
    return render(request, "neighbourhood/bulletin.html", context)


@require_safe
def bulletins_feed(request: HttpRequest) -> HttpResponse:
    """The bulletins in force as an Atom feed."""
    _require_public()
    chosen = _organisation(request)
    page = settings.DESK.address + reverse("neighbourhood:bulletins")
    made = feed.atom(
        current(timezone.now(), chosen.requester_id if chosen else ""),
        title=chosen.name if chosen else gettext("Bulletins"),
        address=page,
        feed=settings.DESK.address + _feed_address(chosen),
        page_of=_page_of,
    )
    return for_all(HttpResponse(made, content_type="application/atom+xml; charset=utf-8"))


@require_safe
def bulletin_cap(_request: HttpRequest, bulletin_id: str) -> HttpResponse:
    """One bulletin for warning systems."""
    made = cap.alert(_bulletin(bulletin_id), host=settings.DESK.web.names[0], address=_page_of(bulletin_id))
    return for_all(HttpResponse(made, content_type="application/cap+xml"))


@require_safe
def bulletin_proof(_request: HttpRequest, bulletin_id: str) -> HttpResponse:
    """One bulletin with its signature, to check offline."""
    made = proof.zipped(_bulletin(bulletin_id))
    return for_all(attachment(made, name=f"bulletin-{bulletin_id[:8]}.zip", content_type="application/zip"))


def _require_public() -> None:
    if not settings.DESK.public.bulletins:
        raise Http404


def _bulletin(bulletin_id: str) -> PublishedBulletin:
    _require_public()
    found = find(timezone.now(), bulletin_id)
    if found is None:
        raise Http404
    return found


def _organisation(request: HttpRequest) -> Organisation | None:
    asked = request.GET.get("from", "")
    if not asked:
        return None
    found = Organisation.objects.filter(requester_id=asked).first()
    if found is None:
        raise Http404
    return found


def _feed_address(chosen: Organisation | None) -> str:
    return reverse("neighbourhood:feed") + (f"?{urlencode({'from': chosen.requester_id})}" if chosen else "")


def _page_of(bulletin_id: str) -> str:
    return settings.DESK.address + reverse("neighbourhood:bulletin", args=(bulletin_id,))


def for_all(response: HttpResponse) -> HttpResponse:
    """Lets caches keep what is the same for every reader."""
    patch_cache_control(response, public=True, max_age=_CACHED_S)
    return response
