"""The admin's page of tokens and web hooks for programs."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from agent.errors import ConfigurationError
from desk.api import hooks
from desk.api.forms import HookForm, TokenForm
from desk.api.models import ApiToken, WebHook
from desk.api.tokens import make_token, revoke_token
from desk.people.permissions import Action, DeskRequest, get_in, needs
from desk.reasons import error_words

__all__ = ["new_hook", "remove_hook", "resume_hook", "revoke", "tokens_page"]


@require_http_methods(["GET", "POST"])
@needs(Action.MANAGE_INTEGRATIONS)
@sensitive_variables("text")
def tokens_page(request: DeskRequest) -> HttpResponse:
    """The tokens and web hooks of the organisation. A POST makes a token and shows it once."""
    form = TokenForm(request.POST or None)
    text = ""
    if request.method == "POST" and form.is_valid():
        _token, text = make_token(request.organisation, request.user, **form.cleaned_data)
        form = TokenForm()
    return _page(request, form=form, text=text)


@require_POST
@needs(Action.MANAGE_INTEGRATIONS)
def revoke(request: DeskRequest, pk: int) -> HttpResponse:
    """Ends a token at once."""
    if revoke_token(get_in(request.organisation, ApiToken, pk), request.user):
        messages.success(request, _("The token is revoked."))
    return redirect("integrations:tokens")


@require_POST
@needs(Action.MANAGE_INTEGRATIONS)
@sensitive_variables("secret")
def new_hook(request: DeskRequest) -> HttpResponse:
    """Makes a web hook and shows its secret once."""
    form, secret = HookForm(request.POST), ""
    if form.is_valid():
        try:
            secret = hooks.secret_of(hooks.make_hook(request.organisation, request.user, **form.cleaned_data))
            form = HookForm()
        except ConfigurationError as error:
            form.add_error("address", error_words(error))
    return _page(request, hook_form=form, secret=secret)


@require_POST
@needs(Action.MANAGE_INTEGRATIONS)
def remove_hook(request: DeskRequest, pk: int) -> HttpResponse:
    hooks.remove_hook(get_in(request.organisation, WebHook, pk), request.user)
    messages.success(request, _("The web hook is removed."))
    return redirect("integrations:tokens")


@require_POST
@needs(Action.MANAGE_INTEGRATIONS)
def resume_hook(request: DeskRequest, pk: int) -> HttpResponse:
    """Starts a stopped web hook again."""
    if hooks.resume_hook(get_in(request.organisation, WebHook, pk), request.user):
        messages.success(request, _("The desk sends to this address again."))
    return redirect("integrations:tokens")


@sensitive_variables("text", "secret")
def _page(
    request: DeskRequest,
    *,
    form: TokenForm | None = None,
    hook_form: HookForm | None = None,
    text: str = "",
    secret: str = "",
) -> HttpResponse:
    context = {
        "form": form or TokenForm(),
        "hook_form": hook_form or HookForm(),
        "tokens": ApiToken.objects.filter(organisation=request.organisation).select_related("made_by"),
        "hooks": WebHook.objects.filter(organisation=request.organisation),
        "text": text,
        "secret": secret,
    }
    return render(request, "api/tokens.html", context)
