"""The desk's rules for allauth: people come by invitation only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from allauth.socialaccount.models import SocialLogin
    from django.http import HttpRequest

    from desk.people.models import Person

__all__ = ["AccountAdapter", "PasskeyAdapter", "SocialAccountAdapter"]


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Sign-in with passkey or password."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 (allauth's signature)
        return False

    def is_reauthentication_required(self, *, app: str, **_more: Any) -> bool:  # noqa: ARG002 (allauth's signature)
        """Returns False for some minutes after a sign-in, so that a new person can add a passkey at once."""
        records = get_authentication_records(self.request, self.request.user)
        limit_s: int = settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
        return not any(time.time() - record["at"] < limit_s for record in records)


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Sign-in by an identity provider."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:  # noqa: ARG002 (allauth's)
        return False

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        """Returns True if the provider may vouch for addresses of that domain. A provider of one organisation must not
        sign in the people of another one."""
        app = login.provider.app
        domains = [each.lower() for each in (app.settings.get("email_domains") if app else None) or ()]
        allowed: bool = super().can_authenticate_by_email(login, email)
        return allowed and (not domains or email.rpartition("@")[2].lower() in domains)


class PasskeyAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    """Words about passkeys."""

    def generate_authenticator_name(self, user: Person, type: str) -> str:
        """Returns the name that the form for a new passkey begins with."""
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return _("Passkey") if number == 1 else _("Passkey %(number)d") % {"number": number}
