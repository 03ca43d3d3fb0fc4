"""Pages of requests: the list, the form with its live check, the preview, and the steps."""

from __future__ import annotations

import datetime
from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from agent.core.languages import ENGLISH, LANGUAGES
from agent.errors import DoorwardError
from desk.asking import drafts, places, shapes
from desk.asking.forms import PreferencesForm, RequestForm, TemplateForm, first_values, values_of
from desk.asking.incidents import incident_name, presets
from desk.asking.knowledge import known_to, zone_of
from desk.asking.live_check import CheckFinding, Question, blocks, check
from desk.asking.map_view import map_context, with_tiles
from desk.asking.models import Draft, Preferences, Template
from desk.asking.owner_preview import OwnerView, Promise, owner_view
from desk.asking.preference_changes import add_template, change_preferences, delete_template
from desk.asking.states import Actor, State, allowed_steps, fingerprint
from desk.asking.words import error_text, statements
from desk.cases.models import Case
from desk.people.middleware import by_timer
from desk.people.permissions import Action, DeskRequest, get_in, needs, number_in

__all__ = [
    "approve_request",
    "check_request",
    "edit_request",
    "find_places",
    "new_request",
    "preferences",
    "request_page",
    "request_state",
    "requests_page",
    "requests_state",
    "return_request",
    "submit_request",
    "withdraw_request",
]

_PER_PAGE: Final = 50
_LAST_CHARACTER: Final = "\U0010ffff"
_FOLLOW_S: Final = {State.DRAFT: 10, State.SUBMITTED: 4, State.APPROVED: 2, State.SIGNED: 2, State.PUBLISHED: 30}
"""Seconds after which an open page asks for the state again, by the state that it shows: a person waits for a second
person, and then for the broker. Ended requests stay as they are."""
_FOLLOW_LIST_S: Final = 10


# Lists


@require_safe
@needs(Action.SEE_REQUESTS)
def requests_page(request: DeskRequest) -> HttpResponse:
    """The requests of the organisation, and first those that wait for this person."""
    drafts.refresh(request.organisation, timezone.now())
    listed = _listed(request)
    context = {
        **listed,
        "mark": _mark_of(listed),
        "rows": [(each, incident_name(each.incident), _tone(each.state)) for each in listed["page"]],
        "waiting": [(each, incident_name(each.incident)) for each in listed["waiting"]],
        "states": Draft.STATES,
        "may_write": request.may(Action.WRITE_REQUESTS),
        "may_set": request.may(Action.MANAGE_ORGANISATION),
        "zone": zone_of(request.organisation),
        "follow_s": _FOLLOW_LIST_S,
        "query": request.GET.urlencode(),
    }
    return render(request, "asking/requests.html", context)


@require_safe
@by_timer
@needs(Action.SEE_REQUESTS)
def requests_state(request: DeskRequest) -> JsonResponse:
    """A hash of all that a page of the list shows: as `request_state`, for an open list."""
    return JsonResponse({"state": _mark_of(_listed(request)), "content": ""})


def _listed(request: DeskRequest) -> dict[str, Any]:
    found = Draft.objects.filter(organisation=request.organisation).select_related("case", "author", "approved_by")
    found, chosen = _filtered(found, request)
    waiting = Draft.objects.filter(organisation=request.organisation, state=State.SUBMITTED).select_related(
        "case", "author"
    )
    if request.organisation.two_person_rule:
        waiting = waiting.exclude(author=request.user)
    return {
        "page": Paginator(found, _PER_PAGE).get_page(request.GET.get("page")),
        "waiting": list(waiting[:_PER_PAGE]) if request.may(Action.APPROVE_REQUESTS) else [],
        "chosen": chosen,
    }


def _mark_of(listed: dict[str, Any]) -> str:
    rows = [(each.pk, each.state, each.approved_by_id) for each in listed["page"]]
    count = listed["page"].paginator.count
    return fingerprint({"rows": rows, "count": count, "waiting": [each.pk for each in listed["waiting"]]})


def _filtered(found: QuerySet[Draft], request: DeskRequest) -> tuple[QuerySet[Draft], dict[str, str]]:
    chosen = {
        "state": request.GET.get("state", ""),
        "case": request.GET.get("case", "")[:64],
        "mine": request.GET.get("mine", ""),
    }
    if chosen["state"] in set(map(str, State)):
        found = found.filter(state=chosen["state"])
    if chosen["case"]:
        # The beginning of the number, by the index of case numbers: a search within it would read all cases.
        beginning = chosen["case"]
        numbers = Case.objects.filter(organisation=request.organisation, number__gte=beginning)
        found = found.filter(case__in=numbers.filter(number__lt=beginning + _LAST_CHARACTER))
    if chosen["mine"]:
        found = found.filter(author=request.user)
    return found, chosen


def _tone(state: str) -> str:
    return {"published": "good", "signed": "good", "submitted": "waits", "approved": "waits"}.get(state, "")


# Form


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Action.WRITE_REQUESTS)
def new_request(request: DeskRequest) -> HttpResponse:
    """A new request."""
    return _form(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Action.WRITE_REQUESTS)
def edit_request(request: DeskRequest, pk: int) -> HttpResponse:
    """A draft, to be changed."""
    draft = get_in(request.organisation, Draft, pk)
    if draft.state != State.DRAFT:
        return redirect("asking:request", pk)
    return _form(request, draft)


def _form(request: DeskRequest, draft: Draft | None) -> HttpResponse:
    organisation, zone = request.organisation, zone_of(request.organisation)
    known_presets = list(presets(organisation))
    if request.method == "POST":
        form = RequestForm(request.POST, request.FILES, organisation=organisation, zone=zone)
        if form.is_valid():
            stored = drafts.save(form.write_to(draft or Draft(), request.user), request.user, request.roles)
            return redirect("asking:request", stored.pk)
    else:
        chosen = next((each for each in known_presets if each.incident == request.GET.get("incident")), None)
        like = draft or _like(request)
        first = values_of(like, zone) if like else first_values(organisation, request.user, chosen, zone)
        if "case" in request.GET and not draft:
            first["case"] = request.GET["case"][:64]
        form = RequestForm(initial=first, organisation=organisation, zone=zone)
    known = known_to(organisation, form.question, timezone.now())
    context = {
        "form": form,
        "draft": draft,
        "zone": zone,
        "yesterday": timezone.localdate(timezone=zone) - datetime.timedelta(days=1),
        "presets": {each.incident: _preset_json(each) for each in known_presets},
        "cases": Case.objects.filter(organisation=organisation, closed_at=None).order_by("-pk")[:100],
        **map_context(organisation, known),
        "statements": statements(check(form.question, known, int(timezone.now().timestamp())), zone),
    }
    return with_tiles(render(request, "asking/form.html", context))


def _like(request: DeskRequest) -> Draft | None:
    """Returns the request that a new one takes its words from, if the address names one."""
    number = request.GET.get("like", "")
    return get_in(request.organisation, Draft, number_in(number)) if number else None


def _preset_json(preset: Any) -> dict[str, Any]:
    return {
        name: getattr(preset, name)
        for name in ("description", "minutes", "days", "retention_days", "onward", "onward_basis", "language")
    }


@require_POST
@needs(Action.WRITE_REQUESTS)
def check_request(request: DeskRequest) -> HttpResponse:
    """Judges what stands in the form now."""
    zone = zone_of(request.organisation)
    form = RequestForm(request.POST, request.FILES, organisation=request.organisation, zone=zone)
    # For what it fills: an incomplete form has a question to judge, too.
    form.is_valid()
    now = timezone.now()
    found = check(form.question, known_to(request.organisation, form.question, now), int(now.timestamp()))
    # A field that is still empty is no fault while a person writes.
    faults = [
        (form.fields[name].label, error)
        for name, errors in form.errors.items()
        if name in form.fields and (form.data.get(name) or name in request.FILES)
        for error in errors
    ]
    context = {"statements": statements(found, zone), "faults": faults, "refused": blocks(found)}
    html = render_to_string("asking/check.html", context, request=request)
    uploaded = form.cleaned_data.get("corners") if "upload" in request.FILES and form.area else None
    return JsonResponse({"html": html, "corners": uploaded})


@require_GET
@needs(Action.WRITE_REQUESTS)
def find_places(request: DeskRequest) -> HttpResponse:
    """Returns places of the organisation's own file."""
    stored = Preferences.objects.filter(organisation=request.organisation).first()
    known = places.from_json(stored.places) if stored else ()
    found = places.find_places(known, request.GET.get("q", "")[:80])
    nothing = (
        _("No place of that name in your file.")
        if known
        else _("Your organisation has no file of places. Write a position.")
    )
    return JsonResponse(
        {"places": [{"name": each.name, "lat": each.lat, "lon": each.lon} for each in found], "nothing": nothing}
    )


# One request


@require_safe
@needs(Action.SEE_REQUESTS)
def request_page(request: DeskRequest, pk: int) -> HttpResponse:
    """One request: its state, who asked and approved, the preview, and the steps of this person."""
    drafts.refresh(request.organisation, timezone.now())
    return _request_page(request, get_in(request.organisation, Draft, pk))


@require_safe
@by_timer
@needs(Action.SEE_REQUESTS)
def request_state(request: DeskRequest, pk: int) -> JsonResponse:
    """State and fingerprint of the words of a request, for a page that shows them (desk/static/desk/follow.js)."""
    draft = get_in(request.organisation, Draft, pk)
    return JsonResponse({"state": draft.state, "content": drafts.content_of(draft)})


def _request_page(request: DeskRequest, draft: Draft, problem: str = "") -> HttpResponse:
    organisation, zone, now = request.organisation, zone_of(request.organisation), timezone.now()
    rule = organisation.two_person_rule
    findings: list[CheckFinding] = []
    if draft.state in (State.DRAFT, State.SUBMITTED, State.APPROVED):
        question = _question_of(draft, int(now.timestamp()))
        findings = check(question, known_to(organisation, question, now), int(now.timestamp()))
    context = {
        "draft": draft,
        "problem": problem,
        "incident": incident_name(draft.incident),
        "tone": _tone(draft.state),
        "steps": allowed_steps(drafts.progress_of(draft), Actor(request.user.pk, request.roles), two_person_rule=rule),
        "content": drafts.content_of(draft),
        "statements": statements(findings, zone),
        "refused": blocks(findings),
        "view": _owner_view(draft, request, int(now.timestamp())),
        "owner_languages": LANGUAGES.items(),
        "two_person_rule": rule,
        "follow_s": _FOLLOW_S.get(State(draft.state), 0),
        "zone": zone,
        "may_write": request.may(Action.WRITE_REQUESTS),
    }
    return render(request, "asking/request.html", context, status=409 if problem else 200)


def _question_of(draft: Draft, now_s: int) -> Question:
    area = shapes.area_from_json(draft.area) if draft.area else None
    not_after_s = draft.not_after_s or now_s + draft.days * 86_400
    return Question(area, draft.from_s, draft.to_s, not_after_s, draft.case.number, draft.retention_days)


def _owner_view(draft: Draft, request: DeskRequest, now_s: int) -> OwnerView | None:
    if draft.area is None or draft.from_s is None or draft.to_s is None or not draft.incident:
        return None
    chosen = request.GET.get("owner") or get_language()
    return owner_view(
        language=chosen if chosen in LANGUAGES else ENGLISH,
        who=request.organisation.name,
        kind=request.organisation.kind,
        incident=draft.incident,
        case=draft.case.number,
        area=shapes.area_from_json(draft.area),
        from_s=draft.from_s,
        to_s=draft.to_s,
        not_after_s=draft.not_after_s or now_s + draft.days * 86_400,
        contact=(draft.contact_name, draft.contact_email, draft.contact_phone),
        description=draft.description,
        description_language=draft.language,
        promise=Promise(
            draft.retention_days or request.organisation.retention_days, tuple(draft.onward), draft.onward_basis
        ),
        zone=zone_of(request.organisation),
    )


@require_POST
@needs(Action.WRITE_REQUESTS)
def submit_request(request: DeskRequest, pk: int) -> HttpResponse:
    """The author submits the draft. If one person is enough, it is signed at once."""
    return _step(request, pk, lambda draft: drafts.submit(draft, request.user, request.roles, _content(request)))


@require_POST
@needs(Action.APPROVE_REQUESTS)
def approve_request(request: DeskRequest, pk: int) -> HttpResponse:
    """A supervisor approves what was shown. It is then signed."""
    draft = get_in(request.organisation, Draft, pk)
    if draft.state == State.APPROVED:  # the desk stopped between approval and signature, or doors would have refused
        return _step(request, pk, drafts.sign)
    return _step(request, pk, lambda draft: drafts.approve(draft, request.user, request.roles, _content(request)))


@require_POST
@needs(Action.WRITE_REQUESTS)
def return_request(request: DeskRequest, pk: int) -> HttpResponse:
    """A request goes back to its author."""
    return _step(request, pk, lambda draft: drafts.send_back(draft, request.user, request.roles, _remark(request)))


@require_POST
@needs(Action.WITHDRAW_REQUESTS)
def withdraw_request(request: DeskRequest, pk: int) -> HttpResponse:
    """A request is withdrawn: doors that have it are told."""
    return _step(request, pk, lambda draft: drafts.withdraw(draft, request.user, request.roles, _remark(request)))


def _step(request: DeskRequest, pk: int, take: Any) -> HttpResponse:
    draft = get_in(request.organisation, Draft, pk)
    try:
        take(draft)
    except DoorwardError as error:
        return _request_page(request, get_in(request.organisation, Draft, pk), error_text(error))
    return redirect("asking:request", pk)


def _content(request: HttpRequest) -> str:
    return request.POST.get("content", "")[:64]


def _remark(request: HttpRequest) -> str:
    return request.POST.get("remark", "").strip()[:200]


# Settings of asking


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Action.MANAGE_ORGANISATION)
def preferences(request: DeskRequest) -> HttpResponse:
    """Time zone, places and templates of the organisation."""
    organisation = request.organisation
    stored = Preferences.objects.filter(organisation=organisation).first() or Preferences(organisation=organisation)
    which = request.POST.get("form")
    form = PreferencesForm(
        request.POST if which == "preferences" else None,
        request.FILES if which == "preferences" else None,
        initial={"time_zone": str(zone_of(organisation))},
    )
    template_form = TemplateForm(
        request.POST if which == "template" else None,
        initial={"language": organisation.language, "retention_days": organisation.retention_days},
    )
    if which == "preferences" and form.is_valid():
        change_preferences(stored, request.user, form.cleaned_data["time_zone"], form.cleaned_data["places"])
        messages.success(request, _("Saved."))
        return redirect("asking:preferences")
    if which == "template" and template_form.is_valid():
        template = template_form.save(commit=False)
        template.organisation = organisation
        add_template(template, request.user)
        messages.success(request, _("Saved."))
        return redirect("asking:preferences")
    if which == "delete":
        _delete_template(request)
        return redirect("asking:preferences")
    own = Template.objects.filter(organisation=organisation)
    context = {
        "form": form,
        "template_form": template_form,
        "templates": [(each, incident_name(each.incident)) for each in own],
        "place_count": len(stored.places),
    }
    return render(request, "asking/preferences.html", context)


def _delete_template(request: DeskRequest) -> None:
    template = get_in(request.organisation, Template, number_in(request.POST.get("template", "")))
    delete_template(template, request.user)
