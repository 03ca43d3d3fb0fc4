"""Addresses of signing in: only those of allauth that the desk uses.

The desk sends no e-mail, and people come by invitation. So the pages for signing up, for changing an address and for a
forgotten password do not exist. Their names must, because allauth's pages name them.
"""

from __future__ import annotations

from typing import NoReturn

from allauth.account import views as account
from allauth.mfa.base import views as second_factor
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import views as passkeys
from allauth.socialaccount import views as social
from allauth.socialaccount.providers.openid_connect import views as oidc
from django.http import Http404, HttpRequest
from django.urls import include, path, reverse
from django.views.generic.base import RedirectView

__all__ = ["urlpatterns"]


def absent(request: HttpRequest) -> NoReturn:  # noqa: ARG001 (a view's signature)
    """The page of allauth that the desk does not have."""
    raise Http404


_ABSENT = (
    "account_signup",
    "account_inactive",
    "account_email",
    "account_set_password",
    "account_email_verification_sent",
    "socialaccount_signup",
    "socialaccount_connections",
    "mfa_reauthenticate",
)


class AfterPasskey(RedirectView):
    """A new person goes on to the start page after the first passkey, and back to the account after another one."""

    def get_redirect_url(self, *_args: object, **_more: object) -> str:
        first = Authenticator.objects.filter(user=self.request.user.pk).count() == 1
        return reverse("people:start" if first else "people:account")


_OWN_ACCOUNT = RedirectView.as_view(pattern_name="people:account")

urlpatterns = [
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("password/", account.password_change, name="account_change_password"),
    path("second-factor/", second_factor.authenticate, name="mfa_authenticate"),
    path("passkeys/", _OWN_ACCOUNT, name="mfa_list_webauthn"),
    path("passkeys/index/", AfterPasskey.as_view(), name="mfa_index"),
    path("passkeys/add/", passkeys.add_webauthn, name="mfa_add_webauthn"),
    path("passkeys/login/", passkeys.login_webauthn, name="mfa_login_webauthn"),
    path("passkeys/reauthenticate/", passkeys.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("passkeys/<int:pk>/remove/", passkeys.remove_webauthn, name="mfa_remove_webauthn"),
    path("passkeys/<int:pk>/edit/", passkeys.edit_webauthn, name="mfa_edit_webauthn"),
    path("oidc/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("oidc/error/", social.login_error, name="socialaccount_login_error"),
    path("oidc/<slug:provider_id>/login/", oidc.login, name="openid_connect_login"),
    path("oidc/<slug:provider_id>/login/callback/", oidc.callback, name="openid_connect_callback"),
    path("absent/", include([path(f"{name}/", absent, name=name) for name in _ABSENT])),
]
