"""Pages of the start, of people and of the organisation."""

from __future__ import annotations

from allauth.account.internal.flows.login import record_authentication
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from agent.errors import DoorwardError
from desk.people import one_time_links, organisations
from desk.people.forms import OneTimeLinkForm, OrganisationForm
from desk.people.models import Membership, Person
from desk.people.permissions import Action, DeskRequest, needs

__all__ = [
    "new_organisation",
    "no_organisation",
    "one_time_link",
    "organisation_page",
    "people_page",
    "start",
]

_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@require_safe
@needs(Action.USE_DESK)
def start(request: DeskRequest) -> HttpResponse:
    """The first page after sign-in."""
    return render(request, "people/start.html")


@sensitive_variables("token")
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def one_time_link(request: HttpRequest, token: str) -> HttpResponse:
    """Lets the person with a one-time link in, once."""
    link = one_time_links.find_link(token)
    if link is None:
        return render(request, "people/link_used.html", status=404)
    form = OneTimeLinkForm(request.POST or None, person=link.person, email=link.email)
    if request.method == "POST" and form.is_valid():
        words = form.cleaned_data
        person = one_time_links.use_link(
            link, name=words.get("name", ""), email=words.get("email", ""), password=words["password"]
        )
        if person is None:
            return render(request, "people/link_used.html", status=404)
        login(request, person, backend=_BACKEND)  # gives the session a new key
        record_authentication(request, person, method="password", email=person.email)
        return redirect("people:start")
    return render(request, "people/one_time_link.html", {"form": form, "link": link})


@require_safe
@login_required
def no_organisation(request: HttpRequest) -> HttpResponse:
    """The page of a person who is in no organisation."""
    return render(request, "people/no_organisation.html")


@require_http_methods(["GET", "POST"])
@login_required
def new_organisation(request: HttpRequest) -> HttpResponse:
    """The first admin of the desk sets up an organisation."""
    person = request.user
    if not isinstance(person, Person) or not person.is_superuser:
        raise PermissionDenied
    form = OrganisationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            organisations.set_up(form.save(commit=False), person)
        except DoorwardError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The organisation is set up."))
            return redirect("people:start")
    return render(request, "people/organisation.html", {"form": form, "is_new": True})


@require_http_methods(["GET", "POST"])
@needs(Action.MANAGE_ORGANISATION)
def organisation_page(request: DeskRequest) -> HttpResponse:
    """Name and rules of the organisation."""
    form = OrganisationForm(request.POST or None, instance=request.organisation)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("people:organisation")
    return render(request, "people/organisation.html", {"form": form, "is_new": False})


@require_safe
@needs(Action.MANAGE_PEOPLE)
def people_page(request: DeskRequest) -> HttpResponse:
    """The people of the organisation, with their roles."""
    found = Membership.objects.filter(organisation=request.organisation).select_related("person")
    people: dict[Person, list[str]] = {}
    for membership in found:
        people.setdefault(membership.person, []).append(str(membership.get_role_display()))
    return render(request, "people/people.html", {"people": people.items()})
