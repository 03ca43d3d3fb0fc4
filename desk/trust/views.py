"""The page of a trust root: its key, the list in force, proposals, and signing by a second person."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from agent.errors import DoorwardError, RequestError
from desk.custody import log
from desk.passphrase_tries import forget_tries, take_try
from desk.people.forms import BrokerPasswordForm, CertificateForm
from desk.people.permissions import Action, DeskRequest, get_in, needs
from desk.reasons import error_words
from desk.streaming import attachment
from desk.trust import bundles, shared_root
from desk.trust.forms import KeyForm, PersonKeyForm, ProposalForm, RootForm, SignForm
from desk.trust.models import BundleDraft
from desk.trust.root_keys import is_sealed, make_root_key, make_token_root, root_key_of
from desk.trust.root_views import root_view, sign_with_own_key, signing_view

__all__ = [
    "bundles_page",
    "download",
    "download_brokers",
    "make_key",
    "propose",
    "sign",
    "withdraw",
]

_KEY = "root key"
_FIELDS = {
    "name": gettext_lazy("name"),
    "kind": gettext_lazy("kind"),
    "keys": gettext_lazy("keys"),
    "regions": gettext_lazy("regions"),
    "limits": gettext_lazy("limits"),
    "tips": gettext_lazy("recipient of tips"),
}
"""Words for the fields of an entry that a proposal can change."""


@require_safe
@needs(Action.SEE_TRUST)
def bundles_page(request: DeskRequest) -> HttpResponse:
    """The list in force, reminders, and proposals."""
    return _page(request)


@sensitive_post_parameters("passphrase", "again")
@require_POST
@needs(Action.SIGN_TRUST)
def make_key(request: DeskRequest) -> HttpResponse:
    """Makes the key of the root."""
    token, folder = settings.DESK.token, shared_root.root_folder(request.organisation)
    form = KeyForm(request.POST, in_token=token is not None)
    if not form.is_valid():
        return _page(request, key_form=form)
    try:
        shared_root.require_one_key(request.organisation)
        if token is not None:
            key = make_token_root(folder, token, shared_root.root_label(request.organisation))
        else:
            key = make_root_key(folder, form.cleaned_data["passphrase"])
    except DoorwardError as error:
        form.add_error(None, error_words(error))
        return _page(request, key_form=form)
    log.record(request.organisation, request.user, "root-key.made", f"root {key.id}", key=key.text)
    return redirect("trust:bundles")


@require_POST
@needs(Action.SIGN_TRUST)
def propose(request: DeskRequest) -> HttpResponse:
    """Stores a new version of the list."""
    form = ProposalForm(request.POST)
    if form.is_valid():
        try:
            bundles.propose(request.organisation, request.user, form.cleaned_data["text"])
        except DoorwardError as error:
            form.add_error("text", error_words(error))
        else:
            messages.success(request, _("Proposed. A colleague has to sign it."))
            return redirect("trust:bundles")
    return _page(request, proposal_form=form)


@sensitive_post_parameters("passphrase")
@sensitive_variables("form")
@require_POST
@needs(Action.SIGN_TRUST)
def sign(request: DeskRequest, pk: int) -> HttpResponse:
    """Signs the proposal of a colleague."""
    draft = get_in(request.organisation, BundleDraft, pk)
    if draft.payload:
        return sign_with_own_key(request, draft)
    sealed = is_sealed(shared_root.root_folder(request.organisation))
    form = SignForm(request.POST, place="sealed" if sealed else "token")
    if form.is_valid():
        try:
            if sealed:
                take_try(request.organisation, request.user, _KEY)
            bundles.sign(draft, request.user, form.cleaned_data.get("passphrase", ""))
            if sealed:
                forget_tries(request.organisation, request.user, _KEY)
        except RequestError as error:
            messages.error(request, error_words(error))
        except DoorwardError as error:
            # A person who guesses the passphrase is in the log, too.
            log.record(request.organisation, request.user, "bundle.not-signed", f"bundle {pk}", problem=error.message)
            messages.error(request, error_words(error))
        else:
            messages.success(request, _("Signed. Download the bundle and give it to the owners, who import it."))
    return redirect("trust:bundles")


@require_POST
@needs(Action.SIGN_TRUST)
def withdraw(request: DeskRequest, pk: int) -> HttpResponse:
    """Withdraws a proposal."""
    bundles.withdraw(get_in(request.organisation, BundleDraft, pk), request.user)
    return redirect("trust:bundles")


@require_safe
@needs(Action.SEE_TRUST)
def download(request: DeskRequest, pk: int) -> HttpResponse:
    """The signed bundle, as `doorward requester bundle` writes it."""
    draft = get_in(request.organisation, BundleDraft, pk)
    if draft.state != "signed":
        raise Http404
    return attachment(bytes(draft.envelope), name=f"trust-{draft.version}.dsse", content_type="application/json")


@require_safe
@needs(Action.SEE_TRUST)
def download_brokers(request: DeskRequest, pk: int) -> HttpResponse:
    """The broker directory that the signed bundle names."""
    draft = get_in(request.organisation, BundleDraft, pk)
    directory = bundles.directory_in(draft) if draft.state == "signed" else None
    if directory is None:
        raise Http404
    return attachment(directory, name="brokers.json", content_type="application/json")


def _page(request: DeskRequest, **forms: Any) -> HttpResponse:
    organisation = request.organisation
    folder = shared_root.root_folder(organisation)
    current = bundles.newest_signed(organisation)
    listed = bundles.entries_in(current.text)[1] if current else ()
    waiting = BundleDraft.objects.filter(organisation=organisation, state="proposed").select_related("proposed_by")
    brokers = bundles.brokers_in(current.text) if current else ()
    shared = root_view(request)
    place = "sealed" if is_sealed(folder) else "token"
    context = {
        "now": timezone.now(),
        "root": shared.name_key or root_key_of(folder),
        "shared": shared,
        "current": current,
        "listed": listed,
        "has_brokers": current is not None and bundles.directory_in(current) is not None,
        "reminders": bundles.reminders(listed, int(time.time())),
        "proposals": [
            {
                "draft": draft,
                "difference": difference,
                "brokers": bundles.brokers_in(draft.text) != brokers,
                "changed": [(each.id, [_FIELDS[name] for name in each.fields]) for each in difference.changed],
                "signing": signing_view(request, draft),
                "own": not draft.payload and draft.proposed_by_id == request.user.pk,
                "form": SignForm(auto_id=f"sign-{draft.pk}-%s", place=place),
            }
            for draft in waiting
            for difference in (bundles.compare(listed, bundles.entries_in(draft.text)[1]),)
        ],
        "may_sign": request.may(Action.SIGN_TRUST),
        "proposal_form": ProposalForm(
            initial={"text": bundles.next_list(current.text, current.version) if current else ""}
        ),
        "key_form": KeyForm(in_token=settings.DESK.token is not None),
        "person_key_form": PersonKeyForm(in_token=settings.DESK.token is not None, auto_id="person-%s"),
        "root_form": RootForm(
            organisation=organisation, sealed=shared.root_file is None and is_sealed(folder), auto_id="root-%s"
        ),
        "certificate_form": CertificateForm(hosts=shared.hosts, auto_id="broker-%s"),
        "password_form": BrokerPasswordForm(hosts=shared.hosts, auto_id="password-%s"),
    }
    return render(request, "trust/bundles.html", context | forms)
