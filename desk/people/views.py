"""Pages of the start, of people, of a person's account and of one-time links."""

from __future__ import annotations

from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agent.errors import RequestError
from desk.people import confirmations, members, one_time_links, readiness
from desk.people.forms import AccountForm, InvitationForm, OneTimeLinkForm, RolesForm
from desk.people.models import Membership, OneTimeLink, Organisation, Person
from desk.people.permissions import CHOSEN, Action, DeskRequest, get_in, needs
from desk.people.sign_in_log import record_for_all
from desk.reminders.due import due_reminders

_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@require_safe
@needs(Action.USE_DESK)
def start(request: DeskRequest) -> HttpResponse:
    """The first page after sign-in. An admin sees what the organisation still needs."""
    needed = readiness.missing(request.organisation) if request.may(Action.MANAGE_ORGANISATION) else []
    codes = confirmations.codes_for(request.user)
    reminders = [each for each in due_reminders(request.organisation, timezone.now()) if request.may(each.action)]
    may_ask = request.may(Action.WRITE_REQUESTS)
    context = {"missing": needed, "codes": codes, "reminders": reminders, "may_ask": may_ask}
    return render(request, "people/start.html", context)


@sensitive_variables("token")
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def one_time_link(request: HttpRequest, token: str) -> HttpResponse:
    """Lets the person with a one-time link in, once."""
    link = one_time_links.find_link(token)
    if link is None:
        return render(request, "people/link_used.html", status=404)
    known = members.person_at(link.email) if link.purpose == "invitation" else None
    if known is not None:
        return _join(request, link, known)
    form = OneTimeLinkForm(request.POST or None, person=link.person, email=link.email)
    if request.method == "POST" and form.is_valid():
        words = form.cleaned_data
        person = one_time_links.use_link(
            link, name=words.get("name", ""), email=words.get("email", ""), password=words["password"]
        )
        if person is None:
            return render(request, "people/link_used.html", status=404)
        login(request, person, backend=_BACKEND)  # gives the session a new key
        record_authentication(request, person, method="link", email=person.email)
        return redirect("people:start" if words["password"] else "mfa_add_webauthn")
    return render(request, "people/one_time_link.html", {"form": form, "link": link})


def _join(request: HttpRequest, link: OneTimeLink, person: Person) -> HttpResponse:
    """Lets a person who has an account decide about an invitation. Other people do not see what it is about."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if request.user != person:
        return render(request, "people/join.html", {"link": link, "other": True}, status=403)
    if request.method == "POST":
        if not one_time_links.join(link, person):
            return render(request, "people/link_used.html", status=404)
        return redirect("people:start")
    return render(request, "people/join.html", {"link": link, "other": False})


@require_safe
@login_required
def no_organisation(request: HttpRequest) -> HttpResponse:
    """The page of a person who is in no organisation."""
    codes = confirmations.codes_for(signed_in_person(request))
    return render(request, "people/no_organisation.html", {"codes": codes})


@require_http_methods(["GET", "POST"])
@needs(Action.MANAGE_PEOPLE)
def people_page(request: DeskRequest) -> HttpResponse:
    """The people of the organisation with their roles, and the invitation of a colleague."""
    form, link = InvitationForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        words = form.cleaned_data
        token = members.invite(request.organisation, request.user, words["email"], words["roles"])
        if token is None:
            messages.success(request, _("This person is in your organisation already, and has these roles as well."))
            known = members.person_at(words["email"])
            if known:
                _tell_waiting(request, confirmations.waiting_roles(request.organisation, known))
            return redirect("people:people")
        # The link is shown once, on this answer: the database holds only its hash.
        form, link = InvitationForm(), _link(request, token)
    open_invitations = OneTimeLink.objects.filter(
        organisation=request.organisation, purpose="invitation", used_at=None, expires_at__gt=timezone.now()
    )
    context = {
        "members": members.members_of(request.organisation),
        "invitations": open_invitations,
        "form": form,
        "link": link,
    }
    return render(request, "people/people.html", context)


@require_http_methods(["GET", "POST"])
@needs(Action.MANAGE_PEOPLE)
def member_page(request: DeskRequest, pk: int) -> HttpResponse:
    """The roles of one person."""
    person = get_in(request.organisation, Person, pk, "memberships__organisation")
    mine = Membership.objects.filter(organisation=request.organisation, person=person)
    waiting = confirmations.waiting_roles(request.organisation, person)
    form = RolesForm(request.POST or None, initial={"roles": [*mine.values_list("role", flat=True), *waiting]})
    if request.method == "POST" and form.is_valid():
        try:
            waiting = members.set_roles(request.organisation, request.user, person, form.cleaned_data["roles"])
        except RequestError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Saved."))
            _tell_waiting(request, waiting)
            return redirect("people:people")
    context = {"person": person, "form": form, "waiting": role_names(waiting)}
    return render(request, "people/member.html", context)


@require_POST
@needs(Action.MANAGE_PEOPLE)
def remove_member(request: DeskRequest, pk: int) -> HttpResponse:
    """Takes all roles of a person away."""
    person = get_in(request.organisation, Person, pk, "memberships__organisation")
    try:
        members.set_roles(request.organisation, request.user, person, ())
    except RequestError as error:
        messages.error(request, str(error))
    return redirect("people:people")


@require_POST
@needs(Action.MANAGE_PEOPLE)
def recover_member(request: DeskRequest, pk: int) -> HttpResponse:
    """Shows a link with which a person who lost their passkey signs in again."""
    person = get_in(request.organisation, Person, pk, "memberships__organisation")
    try:
        token = members.recovery_link(request.organisation, request.user, person)
    except RequestError as error:
        messages.error(request, str(error))
        return redirect("people:member", pk=pk)
    return render(request, "people/recovery.html", {"person": person, "link": _link(request, token)})


@require_POST
@needs(Action.MANAGE_PEOPLE)
def withdraw_invitation(request: DeskRequest, pk: int) -> HttpResponse:
    """Withdraws an unused invitation."""
    members.withdraw_invitation(get_in(request.organisation, OneTimeLink, pk, used_at=None), request.user)
    return redirect("people:people")


@require_http_methods(["GET", "POST"])
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """A person's name, language, passkeys and sessions."""
    person = signed_in_person(request)
    before = person.first_name
    form = AccountForm(request.POST or None, instance=person)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            form.save()
            if person.first_name != before:  # colleagues and later entries show another name
                record_for_all(person, "person.name-changed", **{"from": before, "to": person.first_name})
        messages.success(request, _("Saved."))
        return redirect("people:account")
    context = {
        "form": form,
        "passkeys": Authenticator.objects.filter(user=person, type=Authenticator.Type.WEBAUTHN),
        "has_password": person.has_usable_password(),
        "organisations": Organisation.objects.filter(memberships__person=person).distinct(),
    }
    return render(request, "people/account.html", context)


@require_POST
@login_required
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    """Ends every session of the person, this one included."""
    person = signed_in_person(request)
    person.sessions_valid_from = timezone.now()
    person.save(update_fields=["sessions_valid_from"])
    record_for_all(person, "person.signed-out-everywhere")
    logout(request)
    return redirect("account_login")


@require_POST
@login_required
def choose(request: HttpRequest, pk: int) -> HttpResponse:
    """Goes on in another organisation of the person."""
    organisation = Organisation.objects.filter(memberships__person=signed_in_person(request), pk=pk).first()
    if organisation:
        request.session[CHOSEN] = organisation.pk
    return redirect("people:start")


def _tell_waiting(request: HttpRequest, roles: list[str]) -> None:
    if roles:
        words = _("A second admin or supervisor confirms on the page Confirmations: %(roles)s.")
        messages.warning(request, words % {"roles": role_names(roles)})


def role_names(roles: list[str]) -> str:
    names = dict(Membership.ROLES)
    return ", ".join(str(names[role]) for role in roles)


def _link(request: HttpRequest, token: str) -> str:
    return request.build_absolute_uri(reverse("people:one-time-link", args=[token]))


def signed_in_person(request: HttpRequest) -> Person:
    if not isinstance(request.user, Person):
        raise PermissionDenied
    return request.user
