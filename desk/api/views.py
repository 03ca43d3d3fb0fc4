"""The admin's page of tokens for programs."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from desk.api.forms import TokenForm
from desk.api.models import ApiToken
from desk.api.tokens import make_token, revoke_token
from desk.people.permissions import Action, DeskRequest, get_in, needs

__all__ = ["revoke", "tokens_page"]


@require_http_methods(["GET", "POST"])
@needs(Action.MANAGE_INTEGRATIONS)
@sensitive_variables("text")
def tokens_page(request: DeskRequest) -> HttpResponse:
    """The tokens of the organisation. A POST makes one and shows it once."""
    form = TokenForm(request.POST or None)
    text = ""
    if request.method == "POST" and form.is_valid():
        _token, text = make_token(request.organisation, request.user, **form.cleaned_data)
        form = TokenForm()
    tokens = ApiToken.objects.filter(organisation=request.organisation).select_related("made_by")
    return render(request, "api/tokens.html", {"form": form, "tokens": tokens, "text": text})


@require_POST
@needs(Action.MANAGE_INTEGRATIONS)
def revoke(request: DeskRequest, pk: int) -> HttpResponse:
    """Ends a token at once."""
    if revoke_token(get_in(request.organisation, ApiToken, pk), request.user):
        messages.success(request, _("The token is revoked."))
    return redirect("integrations:tokens")
