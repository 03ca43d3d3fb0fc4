"""Pages of a neighbourhood's moderators."""

from __future__ import annotations

from django import forms
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from agent.clients.requester.area_sketch import sketch
from agent.errors import DoorwardError, FormatError
from agent.wire.fields import clean_text
from agent.wire.messages import Contact
from desk.asking.incidents import incident_name
from desk.asking.knowledge import zone_of
from desk.asking.shapes import area_from_json
from desk.asking.words import error_text
from desk.neighbourhood import moderation
from desk.neighbourhood.models import Submission
from desk.people.permissions import Action, DeskRequest, get_in, needs

__all__ = ["accept", "decide", "dismiss", "moderation_page", "reject", "remove", "submission_page"]

_MOST_SHOWN = 300


class ContactForm(forms.Form):
    """The contact for questions of owners about a request."""

    contact_name = forms.CharField(label=_("Contact"), max_length=100)
    contact_email = forms.EmailField(label=_("E-mail address"), required=False)
    contact_phone = forms.CharField(label=_("Telephone"), max_length=40, required=False)

    def contact(self) -> Contact | None:
        """Returns the contact, or None with an error at its field."""
        if not self.is_valid():
            return None
        values = self.cleaned_data
        try:
            return Contact(
                name=clean_text(values["contact_name"]),
                email=values["contact_email"] or None,
                phone=values["contact_phone"] or None,
            )
        except FormatError as error:
            self.add_error("contact_phone", error_text(error))
            return None


class ReasonForm(forms.Form):
    """A reason, which the neighbour reads."""

    reason = forms.CharField(label=_("Reason for the neighbour"), max_length=200)


@require_safe
@needs(Action.MODERATE)
def moderation_page(request: DeskRequest) -> HttpResponse:
    """Submissions that wait for a moderator, and those that are shown."""
    found = Submission.objects.filter(organisation=request.organisation)
    due = Q(state__in=("waiting", "seconded")) | Q(appeal_state="open") | Q(reports__state="open")
    context = {
        "due": found.filter(due).distinct()[:_MOST_SHOWN],
        "shown": found.filter(state="published").exclude(due).distinct().order_by("-pk")[:_MOST_SHOWN],
        "zone": zone_of(request.organisation),
        "is_neighbourhood": request.organisation.kind == "neighbour",
    }
    return render(request, "neighbourhood/moderation.html", context)


@require_safe
@needs(Action.MODERATE)
def submission_page(request: DeskRequest, pk: int) -> HttpResponse:
    """One submission as doors and readers would see it."""
    return _page(request, get_in(request.organisation, Submission, pk))


@require_POST
@needs(Action.MODERATE)
def accept(request: DeskRequest, pk: int) -> HttpResponse:
    """Accepts a submission."""
    row, form = get_in(request.organisation, Submission, pk), ContactForm(request.POST)
    contact = form.contact() if row.kind == "request" else None
    if row.kind == "request" and contact is None:
        return _page(request, row, contact_form=form, status=422)
    try:
        moderation.accept(row, request.user, contact)
    except DoorwardError as error:
        return _page(request, row, problem=error_text(error), status=409)
    return redirect("neighbourhood:moderation")


@require_POST
@needs(Action.MODERATE)
def reject(request: DeskRequest, pk: int) -> HttpResponse:
    """Rejects a submission."""
    return _end(request, pk, remove_it=False)


@require_POST
@needs(Action.MODERATE)
def remove(request: DeskRequest, pk: int) -> HttpResponse:
    """Removes a published submission."""
    return _end(request, pk, remove_it=True)


@require_POST
@needs(Action.MODERATE)
def dismiss(request: DeskRequest, pk: int) -> HttpResponse:
    """Shows a reported notice again."""
    row = get_in(request.organisation, Submission, pk)
    try:
        moderation.dismiss_reports(row, request.user)
    except DoorwardError as error:
        return _page(request, row, problem=error_text(error), status=409)
    return redirect("neighbourhood:moderation")


@require_POST
@needs(Action.MODERATE)
def decide(request: DeskRequest, pk: int) -> HttpResponse:
    """Decides about an appeal."""
    row = get_in(request.organisation, Submission, pk)
    try:
        moderation.decide_appeal(row, request.user, granted=request.POST.get("granted") == "yes")
    except DoorwardError as error:
        return _page(request, row, problem=error_text(error), status=409)
    return redirect("neighbourhood:moderation")


def _end(request: DeskRequest, pk: int, *, remove_it: bool) -> HttpResponse:
    row, form = get_in(request.organisation, Submission, pk), ReasonForm(request.POST)
    if not form.is_valid():
        return _page(request, row, reason_form=form, status=422)
    try:
        (moderation.remove if remove_it else moderation.reject)(row, request.user, form.cleaned_data["reason"])
    except DoorwardError as error:
        return _page(request, row, problem=error_text(error), status=409)
    return redirect("neighbourhood:moderation")


def _page(
    request: DeskRequest,
    row: Submission,
    *,
    problem: str = "",
    contact_form: ContactForm | None = None,
    reason_form: ReasonForm | None = None,
    status: int = 200,
) -> HttpResponse:
    row.refresh_from_db()
    area = area_from_json(row.area)
    first = {"contact_name": request.organisation.name, "contact_email": request.user.email}
    context = {
        "row": row,
        "outline": sketch(area),
        "size": round(area.size_m2),
        "incident": incident_name(row.incident),
        "reports": row.reports.filter(state="open"),
        "contact_form": contact_form or ContactForm(initial=first),
        "reason_form": reason_form or ReasonForm(),
        "problem": problem,
        "open": row.state in ("waiting", "seconded"),
        "theirs": request.user.pk in (row.first_by_id, row.decided_by_id),
        "zone": zone_of(request.organisation),
    }
    return render(request, "neighbourhood/submission.html", context, status=status)
