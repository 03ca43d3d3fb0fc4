"""Pages of an organisation: its set-up, its rules, its trust root and its certificate for the broker."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agent.clients.requester.identity import TIPS_RECIPIENT
from agent.clients.requester.time_trust import read_time_trust, trusted_witnesses
from agent.errors import DoorwardError
from agent.wire.broker_directory import DIRECTORY_LIMIT_BYTES
from agent.wire.trust_package import PACKAGE_LIMIT_BYTES
from desk.custody import log
from desk.people import confirmations, organisations, readiness
from desk.people.forms import BrokerPasswordForm, BundleForm, CertificateForm, OrganisationForm, TimeTrustForm
from desk.people.permissions import Action, DeskRequest, needs
from desk.people.views import signed_in_person
from desk.reasons import error_words

__all__ = [
    "broker_password",
    "certificate",
    "certificate_request",
    "new_organisation",
    "organisation_page",
    "time_trust",
    "tips_recipient",
    "trust_root",
]

_PEM_LIMIT_BYTES = 64 * 1024


@require_http_methods(["GET", "POST"])
@login_required
def new_organisation(request: HttpRequest) -> HttpResponse:
    """The first admin of the desk sets up an organisation."""
    person = signed_in_person(request)
    if not person.is_superuser:
        raise PermissionDenied
    form = OrganisationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            organisations.set_up(form.save(commit=False), person)
        except DoorwardError as error:
            form.add_error(None, error_words(error))
        else:
            messages.success(request, _("The organisation is set up."))
            return redirect("people:organisation")
    return render(request, "people/new_organisation.html", {"form": form})


@require_http_methods(["GET", "POST"])
@needs(Action.MANAGE_ORGANISATION)
def organisation_page(request: DeskRequest) -> HttpResponse:
    """Rules of the organisation, and the steps before its first request."""
    form = OrganisationForm(request.POST or None, instance=request.organisation)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            waits = _keep_rule(request, form)
            changes = {
                name: {"from": form.initial[name], "to": form.cleaned_data[name]}
                for name in form.changed_data
                if form.initial[name] != form.cleaned_data[name]
            }
            form.save()
            # With the values: an auditor must see whether the rule of two persons was switched on or off.
            log.record(
                request.organisation, request.user, "organisation.changed", ", ".join(changes) or "nothing", **changes
            )
        messages.success(request, _("Saved."))
        if waits:
            words = _(
                "That one person alone may ask waits for a second admin or supervisor, on the page Confirmations."
            )
            messages.warning(request, words)
        return redirect("people:organisation")
    return _organisation(request, form=form)


def _keep_rule(request: DeskRequest, form: OrganisationForm) -> bool:
    """Keeps the rule of two persons on, and returns True, if its end needs a second person."""
    if form.cleaned_data["two_person_rule"] or not form.initial["two_person_rule"]:
        return False
    waits = confirmations.propose_one_person(request.organisation, request.user)
    form.cleaned_data["two_person_rule"] = form.instance.two_person_rule = waits
    return waits


@require_POST
@needs(Action.MANAGE_ORGANISATION)
def trust_root(request: DeskRequest) -> HttpResponse:
    """Imports the bundle of the root that vouches for the organisation."""
    form = BundleForm(request.POST, request.FILES)
    if form.is_valid():
        # One byte more than allowed, so that the reader sees that it is too large.
        bundle = form.cleaned_data["bundle"].read(PACKAGE_LIMIT_BYTES + 1)
        listed_brokers = form.cleaned_data["brokers"]
        brokers = listed_brokers.read(DIRECTORY_LIMIT_BYTES + 1) if listed_brokers else None
        try:
            listed = organisations.import_bundle(
                request.organisation, request.user, form.cleaned_data["root"], bundle, brokers
            )
        except DoorwardError as error:
            form.add_error(None, error_words(error))
        else:
            messages.success(request, _("The root lists you as %(name)s.") % {"name": listed.name})
            return redirect("people:organisation")
    return _organisation(request, bundle_form=form)


@require_safe
@needs(Action.MANAGE_ORGANISATION)
def certificate_request(request: DeskRequest) -> HttpResponse:
    """The signing request for the broker's operator, as a file."""
    return _file(organisations.certificate_request(request.organisation), "request.csr")


@require_safe
@needs(Action.MANAGE_ORGANISATION)
def tips_recipient(request: DeskRequest) -> HttpResponse:
    """The recipient of tips for the root's list, as a file."""
    return _file((organisations.folder_of(request.organisation) / TIPS_RECIPIENT).read_bytes(), TIPS_RECIPIENT)


@require_POST
@needs(Action.MANAGE_ORGANISATION)
def certificate(request: DeskRequest) -> HttpResponse:
    """Takes the certificate for the broker."""
    form = CertificateForm(request.POST, request.FILES, hosts=_hosts(request))
    if form.is_valid():
        given = [form.cleaned_data[name].read(_PEM_LIMIT_BYTES) for name in ("certificate", "authority")]
        host = form.cleaned_data.get("host", "")
        try:
            organisations.take_certificate(request.organisation, request.user, given[0], given[1], host)
        except DoorwardError as error:
            form.add_error(None, error_words(error))
        else:
            messages.success(request, _("The desk connects with this certificate."))
            return redirect("people:organisation")
    return _organisation(request, certificate_form=form)


@sensitive_post_parameters("password")
@sensitive_variables("form")
@require_POST
@needs(Action.MANAGE_ORGANISATION)
def broker_password(request: DeskRequest) -> HttpResponse:
    """Takes the password for one broker, or removes it: `remove` names the broker."""
    hosts = organisations.broker_hosts(request.organisation)
    if request.POST.get("remove") in hosts + organisations.left_password_hosts(request.organisation):
        organisations.drop_password(request.organisation, request.user, request.POST["remove"])
        messages.success(request, _("The password is removed."))
        return redirect("people:organisation")
    form = BrokerPasswordForm(request.POST, request.FILES, hosts=hosts, auto_id="password-%s")
    if form.is_valid():
        given = form.cleaned_data["authority"]
        authority = given.read(_PEM_LIMIT_BYTES) if given else None
        host = form.cleaned_data["host"]
        try:
            organisations.take_password(
                request.organisation, request.user, host, form.cleaned_data["password"], authority
            )
        except DoorwardError as error:
            form.add_error(None, error_words(error))
        else:
            messages.success(request, _("The desk signs in with this password."))
            return redirect("people:organisation")
    return _organisation(request, password_form=form)


@require_POST
@needs(Action.MANAGE_ORGANISATION)
def time_trust(request: DeskRequest) -> HttpResponse:
    """Takes the witnesses and time-stampers that may confirm times."""
    form = TimeTrustForm(request.POST, request.FILES)
    if form.is_valid():
        given = form.cleaned_data["authorities"]
        pem = given.read(_PEM_LIMIT_BYTES) if given else None
        try:
            organisations.trust_times_of(request.organisation, request.user, form.cleaned_data["witnesses"], pem)
        except DoorwardError as error:
            form.add_error(None, error_words(error))
        else:
            messages.success(request, _("Saved."))
            return redirect("people:organisation")
    return _organisation(request, time_form=form)


def _hosts(request: DeskRequest) -> list[str]:
    """Returns the brokers of the organisation that can have an own certificate. Empty if there is one broker."""
    return [each.host for each in organisations.broker_certificates(request.organisation) if each.host]


def _file(data: bytes, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(data, content_type="application/octet-stream", headers=headers)


def _organisation(
    request: DeskRequest,
    form: OrganisationForm | None = None,
    bundle_form: BundleForm | None = None,
    certificate_form: CertificateForm | None = None,
    time_form: TimeTrustForm | None = None,
    password_form: BrokerPasswordForm | None = None,
) -> HttpResponse:
    organisation, hosts = request.organisation, organisations.broker_hosts(request.organisation)
    key = witnesses = ""
    stampers: list[str] = []
    try:
        requester = organisations.requester_of(organisation)
        key, witnesses = requester.key.text, trusted_witnesses(requester.notes)
        stampers = [each.subject.rfc4514_string() for each in read_time_trust(requester.notes).roots]
    except DoorwardError:
        pass  # the step says what is wrong
    context = {
        "form": form or OrganisationForm(instance=organisation),
        "bundle_form": bundle_form or BundleForm(),
        "certificate_form": certificate_form or CertificateForm(hosts=_hosts(request)),
        "certificates": organisations.broker_certificates(organisation),
        "password_form": password_form or BrokerPasswordForm(hosts=hosts, auto_id="password-%s"),
        "password_hosts": hosts,
        "left_password_hosts": organisations.left_password_hosts(organisation),
        "one_host": hosts[0] if len(hosts) == 1 else "",
        "now": timezone.now(),
        "time_form": time_form or TimeTrustForm(initial={"witnesses": witnesses}),
        "stampers": stampers,
        "steps": readiness.steps(organisation),
        "key": key,
        "connection": organisations.connection_name(organisation),
    }
    return render(request, "people/organisation.html", context)
