"""Pages of cases: the list, one case with its player, and what people do with it."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agent.clients.requester.verification import Verification, examine
from agent.errors import DoorwardError
from agent.wire.time_proofs import TIME_OPENING_LIMIT_BYTES
from desk.cases import case_work, viewing
from desk.cases.case_filter import CaseState, Footage, parse_filter
from desk.cases.case_list import categories, find_cases
from desk.cases.case_page import build_case_view
from desk.cases.deletion import delete_answer
from desk.cases.film_response import MEDIA_HEADERS, film_response
from desk.cases.films import open_films
from desk.cases.forms import AssignForm, CaseForm, HoldForm, KeepForm, NoteForm, TimeForm, TriageForm, members
from desk.cases.models import Answer, Case, Clip, Triage
from desk.cases.time_axis import Span
from desk.cases.time_statements import confirmed_times, take_owner_proof, time_view
from desk.people.organisations import requester_of
from desk.people.permissions import Action, DeskRequest, get_in, needs
from desk.reasons import error_words

__all__ = [
    "answer_delete",
    "answer_keep",
    "answer_note",
    "answer_proof",
    "answer_time",
    "answer_triage",
    "assign",
    "case",
    "cases",
    "close",
    "film",
    "hold",
    "new_case",
    "note",
    "open_clip",
    "open_stills",
    "release",
    "reopen",
]

_LATEST_MS: Final = 253_402_300_799_000
"""The end of the year 9999, the last that a date can name."""


# --- The list


@require_safe
@needs(Action.SEE_CASES)
def cases(request: DeskRequest) -> HttpResponse:
    chosen = parse_filter(request.GET.dict())
    page = find_cases(request.organisation, chosen, timezone.now())
    return render(
        request,
        "cases/cases.html",
        {
            "page": page,
            "chosen": chosen,
            "states": _choices(CaseState, _state_words(), chosen.state),
            "footage": _choices(Footage, _footage_words(), chosen.footage),
            "categories": categories(request.organisation),
            "people": members(request.organisation),
            "may_open": request.may(Action.WORK_ON_CASES),
        },
    )


@require_http_methods(["GET", "POST"])
@needs(Action.WORK_ON_CASES)
def new_case(request: DeskRequest) -> HttpResponse:
    form = CaseForm(request.POST or None, organisation=request.organisation)
    if request.method == "POST" and form.is_valid():
        opened = case_work.open_case(form.save(commit=False), request.user)
        return redirect("cases:case", opened.pk)
    return render(request, "cases/new.html", {"form": form})


# --- One case


@require_safe
@needs(Action.SEE_CASES)
def case(request: DeskRequest, pk: int) -> HttpResponse:
    found = get_in(request.organisation, Case, pk)
    may_view = request.may(Action.VIEW_FOOTAGE)
    view = build_case_view(found, timezone.now(), _near(request))
    return render(
        request,
        "cases/case.html",
        {
            "view": view,
            "case": found,
            "requests": view.requests,
            "verdicts": Triage.VERDICTS,
            "may_view": may_view,
            "may_work": request.may(Action.WORK_ON_CASES),
            "may_keep": request.may(Action.MANAGE_RETENTION),
            "assign_form": AssignForm(organisation=request.organisation, initial={"person": found.assigned_to_id}),
            "note_form": NoteForm(),
            "hold_form": HoldForm(),
        },
    )


@require_POST
@needs(Action.WORK_ON_CASES)
def note(request: DeskRequest, pk: int) -> HttpResponse:
    found = get_in(request.organisation, Case, pk)
    form = NoteForm(request.POST)
    if form.is_valid():
        case_work.write_note(found, request.user, form.cleaned_data["text"])
    else:
        messages.error(request, _("A note needs a text."))
    return redirect(f"{reverse('cases:case', args=(pk,))}#notes")


@require_POST
@needs(Action.WORK_ON_CASES)
def assign(request: DeskRequest, pk: int) -> HttpResponse:
    found = get_in(request.organisation, Case, pk)
    form = AssignForm(request.POST, organisation=request.organisation)
    if not form.is_valid():
        raise Http404
    case_work.assign(found, request.user, form.cleaned_data["person"])
    messages.success(request, _("Saved."))
    return redirect("cases:case", pk)


@require_POST
@needs(Action.WORK_ON_CASES)
def close(request: DeskRequest, pk: int) -> HttpResponse:
    case_work.close_case(get_in(request.organisation, Case, pk), request.user)
    messages.success(request, _("The case is closed. Its footage is still deleted on the promised day."))
    return redirect("cases:case", pk)


@require_POST
@needs(Action.WORK_ON_CASES)
def reopen(request: DeskRequest, pk: int) -> HttpResponse:
    case_work.reopen_case(get_in(request.organisation, Case, pk), request.user)
    messages.success(request, _("The case is open again."))
    return redirect("cases:case", pk)


@require_POST
@needs(Action.MANAGE_RETENTION)
def hold(request: DeskRequest, pk: int) -> HttpResponse:
    found = get_in(request.organisation, Case, pk)
    form = HoldForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("A legal hold needs a reason."))
    elif case_work.hold_case(found, request.user, form.cleaned_data["reason"]):
        messages.success(request, _("Nothing in this case is deleted until the hold ends."))
    return redirect(f"{reverse('cases:case', args=(pk,))}#retention")


@require_POST
@needs(Action.MANAGE_RETENTION)
def release(request: DeskRequest, pk: int) -> HttpResponse:
    found = get_in(request.organisation, Case, pk)
    form = HoldForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("The end of a legal hold needs a reason."))
    elif case_work.end_hold(found, request.user, form.cleaned_data["reason"]):
        messages.success(request, _("The hold has ended. Footage past its day is deleted within a minute."))
    return redirect(f"{reverse('cases:case', args=(pk,))}#retention")


# --- One answer


@require_POST
@needs(Action.WORK_ON_CASES)
def answer_triage(request: DeskRequest, pk: int, answer_pk: int) -> HttpResponse:
    answer = _answer(request, pk, answer_pk)
    form = TriageForm(request.POST)
    if not form.is_valid():
        raise Http404
    case_work.judge(answer, request.user, form.cleaned_data["verdict"])
    return _back_to(answer)


@require_POST
@needs(Action.WORK_ON_CASES)
def answer_note(request: DeskRequest, pk: int, answer_pk: int) -> HttpResponse:
    answer = _answer(request, pk, answer_pk)
    form = NoteForm(request.POST)
    if form.is_valid():
        case_work.write_note(answer.case, request.user, form.cleaned_data["text"], answer)
    else:
        messages.error(request, _("A note needs a text."))
    return _back_to(answer)


@require_POST
@needs(Action.MANAGE_RETENTION)
def answer_keep(request: DeskRequest, pk: int, answer_pk: int) -> HttpResponse:
    answer = _answer(request, pk, answer_pk)
    form = KeepForm(request.POST, answer=answer)
    if form.is_valid():
        case_work.keep_until(answer, request.user, form.cleaned_data["day"])
        messages.success(request, _("Saved."))
    else:
        for reason in form.errors.get("day", ()):
            messages.error(request, str(reason))
    return _back_to(answer)


@require_http_methods(["GET", "POST"])
@needs(Action.MANAGE_RETENTION)
def answer_delete(request: DeskRequest, pk: int, answer_pk: int) -> HttpResponse:
    """Deletes the footage of an answer now, after a page that asks for the reason."""
    answer = _answer(request, pk, answer_pk)
    form = HoldForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            gone = delete_answer(
                request.organisation,
                requester_of(request.organisation),
                answer.pk,
                request.user,
                form.cleaned_data["reason"],
            )
        except DoorwardError as error:
            form.add_error(None, error_words(error))
        else:
            if gone:
                messages.success(request, _("The footage is deleted."))
            else:
                messages.error(request, _("Nothing was deleted: the case is under legal hold, or it is gone already."))
            return _back_to(answer)
    return render(request, "cases/delete.html", {"form": form, "answer": answer, "case": answer.case})


@require_safe
@needs(Action.SEE_CASES)
def answer_proof(request: DeskRequest, pk: int, answer_pk: int) -> HttpResponse:
    """Verifies an answer again, and shows each check with its values. It shows no footage."""
    answer = _answer(request, pk, answer_pk)
    if answer.state not in ("complete", "quarantined"):
        raise Http404
    verification = examine(requester_of(request.organisation), answer.disclosure_id)
    viewing.log_verification(request.organisation, request.user, answer, holds=verification.ok)
    if verification.ok:  # those who may confirm times may have changed since it arrived
        Answer.objects.filter(pk=answer.pk).update(confirmed=confirmed_times(verification.time))
    return _proof(request, answer, verification)


@require_POST
@needs(Action.WORK_ON_CASES)
def answer_time(request: DeskRequest, pk: int, answer_pk: int) -> HttpResponse:
    """Takes the owner's later proof of time for an answer."""
    answer = _answer(request, pk, answer_pk)
    if answer.state != "complete":
        raise Http404
    requester, form = requester_of(request.organisation), TimeForm(request.POST, request.FILES)
    if form.is_valid():
        # One byte more than allowed, so that the reader sees that it is too large.
        data = form.cleaned_data["file"].read(TIME_OPENING_LIMIT_BYTES + 1)
        try:
            take_owner_proof(requester, answer, request.user, data)
        except DoorwardError as error:
            form.add_error("file", error_words(error))
        else:
            messages.success(request, _("The owner's confirmation of time is kept with the answer."))
            return redirect(f"{reverse('cases:answer-proof', args=(pk, answer_pk))}#time")
    return _proof(request, answer, examine(requester, answer.disclosure_id), form)


def _proof(
    request: DeskRequest, answer: Answer, verification: Verification, form: TimeForm | None = None
) -> HttpResponse:
    context = {
        "answer": answer,
        "case": answer.case,
        "verification": verification,
        "checks": verification.checks,
        "time": time_view(verification.time) if verification.ok else None,
        "time_form": (form or TimeForm()) if request.may(Action.WORK_ON_CASES) and answer.state == "complete" else None,
    }
    return render(request, "cases/proof.html", context)


# --- Footage


@require_POST
@needs(Action.VIEW_FOOTAGE)
def open_clip(request: DeskRequest, pk: int, answer_pk: int, index: int) -> HttpResponse:
    """Opens a clip for this person. The answer names the film's address."""
    answer = _answer(request, pk, answer_pk)
    clip = Clip.objects.filter(answer=answer, index=index, answer__state="complete").first()
    if clip is None:
        raise Http404
    # In the log first, so that no film opens without its entry.
    token = viewing.open_clip(request.organisation, request.user, answer, clip)
    try:
        open_films().film(requester_of(request.organisation), answer.disclosure_id, index).close()
    except DoorwardError as error:
        return JsonResponse({"message": error_words(error)}, status=409)
    return JsonResponse({"film": reverse("cases:film", args=(token,))})


@require_POST
@needs(Action.VIEW_FOOTAGE)
def open_stills(request: DeskRequest, pk: int, answer_pk: int) -> HttpResponse:
    answer = _answer(request, pk, answer_pk)
    if answer.state != "complete":
        raise Http404
    view = build_case_view(answer.case, timezone.now())
    shown = {each.clip.pk: each for each in next(a for a in view.answers if a.answer.pk == answer.pk).clips}
    stills = [
        {
            "address": reverse("cases:film", args=(token,)),
            "label": f"{shown[clip.pk].door}, {shown[clip.pk].from_words}. {shown[clip.pk].clock}",
        }
        for clip, token in viewing.open_stills(request.organisation, request.user, answer)
    ]
    return JsonResponse({"stills": stills})


@require_safe
@needs(Action.VIEW_FOOTAGE)
def film(request: DeskRequest, token: str) -> HttpResponseBase:
    """A film or still that this person opened, or a piece of it. The browser never stores it."""
    view = viewing.find_view(request.organisation, request.user, token)
    requester, disclosure = requester_of(request.organisation), view.answer.disclosure_id
    try:
        if view.kind == "still":
            still = open_films().still(requester, disclosure, view.clip)
            return HttpResponse(still, content_type="image/jpeg", headers=MEDIA_HEADERS)
        return film_response(request, open_films().film(requester, disclosure, view.clip))
    except DoorwardError as error:
        return HttpResponse(error_words(error), status=409, content_type="text/plain; charset=utf-8")


# --- Shared


def _answer(request: DeskRequest, pk: int, answer_pk: int) -> Answer:
    return get_in(request.organisation, Answer, answer_pk, "case__organisation", case=pk)


def _back_to(answer: Answer) -> HttpResponse:
    return redirect(f"{reverse('cases:case', args=(answer.case_id,))}#answer-{answer.pk}")


def _near(request: DeskRequest) -> Span | None:
    """Returns the stretch of the axis that an address names. None for nonsense."""
    ends = [request.GET.get(name, "") for name in ("from", "to")]
    # `int` raises for a number of thousands of digits.
    if not all(each.isascii() and each.isdigit() and len(each) < 16 for each in ends):
        return None
    from_ms, to_ms = map(int, ends)
    return Span(from_ms, to_ms) if from_ms < to_ms <= _LATEST_MS else None


def _choices(kind: Any, words: dict[Any, str], chosen: Any) -> list[tuple[str, str, bool]]:
    return [(each.value, words[each], each is chosen) for each in kind]


def _state_words() -> dict[CaseState, str]:
    return {
        CaseState.OPEN: _("open"),
        CaseState.CLOSED: _("closed"),
        CaseState.HELD: _("under legal hold"),
    }


def _footage_words() -> dict[Footage, str]:
    return {
        Footage.NEW: _("with new answers"),
        Footage.ENDING: _("deleted within seven days"),
        Footage.QUARANTINED: _("with quarantined answers"),
        Footage.NONE: _("without answers"),
    }
