"""Pages of exports and guest links, and the guest's own pages."""

from __future__ import annotations

import hashlib
import time
from typing import Any, Final

import structlog
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agent.clients.requester import content_credentials
from agent.errors import DoorwardError
from desk.cases.film_response import film_response
from desk.cases.films import open_films
from desk.cases.models import Answer, Case
from desk.export import guests
from desk.export.bundle import SUMS, ExportOptions, build_export, top_name
from desk.export.case_content import require_present, sealed_bytes
from desk.export.forms import ExportForm, ShareForm, clip_choices
from desk.export.models import Export, GuestLink
from desk.export.private_folder import PrivateFolder, require_room
from desk.export.sending import remember_export, send_export, send_folder
from desk.people.organisations import requester_of
from desk.people.permissions import Action, DeskRequest, get_in, needs
from desk.reasons import error_words
from desk.streaming import attachment

__all__ = [
    "export_page",
    "guest_door",
    "guest_download",
    "guest_film",
    "guest_page",
    "guest_play",
    "report_pdf",
    "revoke",
    "share_page",
]

_log: Final = structlog.get_logger(__name__)


@require_http_methods(["GET", "POST"])
@needs(Action.EXPORT)
def export_page(request: DeskRequest, pk: int) -> HttpResponseBase:
    """The choices of an export. A POST makes it and sends it as a ZIP."""
    case = get_in(request.organisation, Case, pk)
    form = ExportForm(request.POST or None, initial={"language": get_language()})
    if request.method == "POST" and form.is_valid():
        try:
            return _send_export(request, case, form.cleaned_data)
        except DoorwardError as error:
            form.add_error(None, error_words(error))
    exports = Export.objects.filter(case=case).select_related("made_by")[:20]
    context = {"case": case, "form": form, "exports": exports, "clips": len(clip_choices(case))}
    return render(request, "export/export.html", context)


@require_POST
@needs(Action.EXPORT)
def report_pdf(request: DeskRequest, pk: int) -> HttpResponseBase:
    """The report alone, as PDF."""
    case = get_in(request.organisation, Case, pk)
    language = request.POST.get("language", "")
    options = ExportOptions(language if language in ("en", "nl") else "en", str(request.user), int(time.time()))
    try:
        require_room(sealed_bytes(case))
        with PrivateFolder() as private:
            content = build_export(case, private.path, options)
            data = (private.path / "report.pdf").read_bytes()
        remember_export(content, "report", hashlib.sha256(data).hexdigest(), request.user, request.user)
    except DoorwardError as error:
        messages.error(request, error_words(error))
        return redirect("export:case", pk=pk)
    return attachment(data, name=f"{top_name(case.number)}.pdf", content_type="application/pdf")


@require_http_methods(["GET", "POST"])
@needs(Action.SHARE)
@sensitive_variables("token")
def share_page(request: DeskRequest, pk: int) -> HttpResponse:
    """The guest links of a case. A POST makes one and shows its address once."""
    case = get_in(request.organisation, Case, pk)
    form = ShareForm(request.POST or None, case=case)
    address = ""
    if request.method == "POST" and form.is_valid():
        _link, token = guests.make_link(case, request.user, **form.cleaned_data)
        address = f"https://{request.get_host()}{reverse('export:guest-door', args=[token])}"
        form = ShareForm(case=case)
    links = GuestLink.objects.filter(case=case).select_related("made_by")
    return render(request, "export/share.html", {"case": case, "form": form, "links": links, "address": address})


@require_POST
@needs(Action.SHARE)
def revoke(request: DeskRequest, pk: int) -> HttpResponse:
    """Ends a guest link at once."""
    link = get_in(request.organisation, GuestLink, pk, "case__organisation")
    if guests.revoke_link(link, request.user):
        messages.success(request, _("The link is revoked."))
    return redirect("export:share", pk=link.case_id)


def _send_export(request: DeskRequest, case: Case, chosen: dict[str, Any]) -> HttpResponseBase:
    options = ExportOptions(
        chosen["language"],
        str(request.user),
        int(time.time()),
        tuple(chosen["jurisdictions"]),
        with_keys=chosen["with_keys"],
        with_credentials=chosen.get("with_credentials", False),
    )
    return send_export(request, case, options, person=request.user, actor=request.user)


# The guest's pages: no account, no navigation, only the chosen clips.


@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_variables("token")
def guest_door(request: HttpRequest, token: str) -> HttpResponse:
    """A button that opens the link. A program that looks at addresses in a mail does not press it."""
    if not guests.allow("token", request.META.get("REMOTE_ADDR", "")):
        return _guest_answer(request, "export/guest_closed.html", {"busy": True}, 429)
    link = guests.find_link(token)
    if link is None:
        return _guest_answer(request, "export/guest_closed.html", {}, 404)
    if request.method == "POST":
        guests.enter(request, link)
        return redirect("export:guest")
    return _guest_answer(request, "export/guest_door.html", {"link": link})


@require_safe
@never_cache
def guest_page(request: HttpRequest) -> HttpResponse:
    """The chosen clips with their times."""
    link = guests.current_link(request)
    if link is None:
        return _guest_answer(request, "export/guest_closed.html", {}, 404)
    return _guest_page(request, link)


@require_POST
@never_cache
def guest_play(request: HttpRequest, disclosure: str, number: int) -> HttpResponse:
    """Opens one clip for this session and shows the player. Each opening is in the custody log."""
    link, clip = guests.current_link(request), (disclosure, number)
    if link is None:
        return _guest_answer(request, "export/guest_closed.html", {}, 404)
    if clip not in _present(link):
        raise Http404
    if not guests.allow("use", str(link.pk)):
        return _guest_answer(request, "export/guest_closed.html", {"busy": True}, 429)
    token = guests.open_film(request, link, clip)
    try:
        open_films().film(requester_of(link.case.organisation), disclosure, number).close()
    except DoorwardError as error:
        return _guest_fault(request, link, error)
    return _guest_page(request, link, {"film": reverse("export:guest-film", args=(token,)), "playing": clip})


@require_safe
def guest_film(request: HttpRequest, token: str) -> HttpResponseBase:
    """A film that this session has opened, or a piece of it, while the link works and the footage is kept."""
    link, clip = guests.current_link(request), guests.film_of(request, token)
    if link is None or clip is None or clip not in _present(link):
        raise Http404
    try:
        return film_response(request, open_films().film(requester_of(link.case.organisation), *clip))
    except DoorwardError as error:
        return _guest_fault(request, link, error)


@require_POST
@never_cache
def guest_download(request: HttpRequest) -> HttpResponseBase:
    """The chosen clips as a ZIP: films, segments, report and table, and copies with Content Credentials if asked."""
    link = guests.current_link(request)
    if link is None:
        return _guest_answer(request, "export/guest_closed.html", {}, 404)
    if not guests.allow("use", str(link.pk)):
        return _guest_answer(request, "export/guest_closed.html", {"busy": True}, 429)
    scope = _present(link)
    if not scope:
        raise Http404
    try:
        credentials = "with_credentials" in request.POST and content_credentials.has_c2pa()
        private = _guest_export(request, link, scope, credentials=credentials)
    except DoorwardError as error:
        return _guest_fault(request, link, error)
    return send_folder(request, private, top_name(link.case.number))


def _guest_export(
    request: HttpRequest, link: GuestLink, scope: set[tuple[str, int]], *, credentials: bool
) -> PrivateFolder:
    """Returns the folder with the chosen clips, once the custody log has it. Raises `DoorwardError`."""
    require_room(sealed_bytes(link.case, scope), copies=credentials)
    private = PrivateFolder()
    try:
        language = get_language() or "en"
        options = ExportOptions(
            language,
            str(link.made_by),
            int(time.time()),
            with_credentials=credentials,
            with_custody=False,
            scope=scope,
        )
        content = build_export(link.case, private.path, options)
        sums = hashlib.sha256((private.path / SUMS).read_bytes()).hexdigest()
        clips = [f"{disclosure} {number}" for disclosure, number in sorted(scope)]
        with transaction.atomic():
            require_present(content)
            used: dict[str, object] = {"sha256": sums, "clips": clips, "with_credentials": credentials}
            guests.record_use(link, "guest.downloaded", request, **used)
    except BaseException:
        private.close()
        raise
    return private


def _clip_key(key: str) -> tuple[str, int]:
    disclosure, _colon, number = key.partition(":")
    return disclosure, int(number)


def _present(link: GuestLink) -> set[tuple[str, int]]:
    """Returns the clips of the link that are still kept."""
    return link.clips & {_clip_key(key) for key, _label in clip_choices(link.case)}


def _guest_page(request: HttpRequest, link: GuestLink, more: dict[str, Any] | None = None) -> HttpResponse:
    allowed = link.clips
    shown = [(_clip_key(key), label) for key, label in clip_choices(link.case) if _clip_key(key) in allowed]
    absent = [disclosure for disclosure, _number in allowed - {key for key, _label in shown}]
    # An answer that is kept may still be absent here, for example in quarantine. Only a deletion is called one.
    kept = set(
        Answer.objects.filter(disclosure_id__in=absent).exclude(state="deleted").values_list("disclosure_id", flat=True)
    )
    aside = sum(disclosure in kept for disclosure in absent)
    context = {
        "link": link,
        "case": link.case,
        "clips": shown,
        "deleted": len(absent) - aside,
        "aside": aside,
        "zone": timezone.get_current_timezone_name(),
        "has_c2pa": content_credentials.has_c2pa(),
    }
    return _guest_answer(request, "export/guest.html", {**context, **(more or {})})


def _guest_fault(request: HttpRequest, link: GuestLink, error: DoorwardError) -> HttpResponse:
    """Says that the clips cannot be opened now. Only the operator reads the reason: it may name files of the desk."""
    _log.warning("guest_failed", link=link.pk, error=str(error))
    response = _guest_page(request, link, {"failed": True})
    response.status_code = 503
    return response


def _guest_answer(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    # The desk's Referrer-Policy "same-origin" keeps the token of the address from other sites. A stricter one would
    # make browsers send "Origin: null" with the form, which the protection against forged forms refuses.
    response = render(request, template, context, status=status)
    response["X-Robots-Tag"] = "noindex"
    return response
