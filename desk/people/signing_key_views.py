"""The page of the signing key: sealed by an admin, unlocked after each start of the desk."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from agent.errors import DoorwardError, RequestError
from agent.platform import files
from desk import sealed_keys
from desk.custody import log
from desk.passphrase_tries import forget_tries, take_try
from desk.people.forms import NewPassphraseForm, PassphraseForm
from desk.people.organisations import folder_of
from desk.people.permissions import Action, DeskRequest, needs
from desk.reasons import error_words

__all__ = ["seal_key", "signing_key"]

_KEY = "signing key"


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@needs(Action.UNLOCK_KEY)
def signing_key(request: DeskRequest) -> HttpResponse:
    """The state of the key. A POST unlocks it."""
    form = PassphraseForm(request.POST or None)
    folder = folder_of(request.organisation)
    if request.method == "POST" and form.is_valid() and sealed_keys.is_sealed(folder):
        try:
            take_try(request.organisation, request.user, _KEY)
            sealed_keys.unlock(folder, form.cleaned_data["passphrase"])
        except RequestError as error:
            form.add_error("passphrase", error_words(error))
        except DoorwardError as error:
            log.record(request.organisation, request.user, "signing-key.not-unlocked", _KEY)
            form.add_error("passphrase", error_words(error))
        else:
            forget_tries(request.organisation, request.user, _KEY)
            log.record(request.organisation, request.user, "signing-key.unlocked", _KEY)
            messages.success(request, _("The signing key is unlocked until the desk stops."))
            return redirect("people:signing-key")
    return _page(request, form=form)


@sensitive_post_parameters()
@require_POST
@needs(Action.MANAGE_ORGANISATION)
def seal_key(request: DeskRequest) -> HttpResponse:
    """Seals the key with a passphrase and deletes the open file."""
    form = NewPassphraseForm(request.POST)
    if form.is_valid():
        try:
            with transaction.atomic():
                log.record(request.organisation, request.user, "signing-key.sealed", _KEY)
                sealed_keys.seal(folder_of(request.organisation), form.cleaned_data["passphrase"])
        except DoorwardError as error:
            form.add_error(None, error_words(error))
        else:
            messages.success(request, _("The signing key is sealed."))
            return redirect("people:signing-key")
    return _page(request, seal_form=form)


def _page(
    request: DeskRequest, form: PassphraseForm | None = None, seal_form: NewPassphraseForm | None = None
) -> HttpResponse:
    folder = folder_of(request.organisation)
    context = {
        "form": form or PassphraseForm(),
        "seal_form": seal_form or NewPassphraseForm(),
        "sealed": sealed_keys.is_sealed(folder),
        "locked": sealed_keys.is_locked(folder),
        "may_seal": request.may(Action.MANAGE_ORGANISATION) and files.is_file(folder / "signing.key"),
    }
    return render(request, "people/signing_key.html", context)
