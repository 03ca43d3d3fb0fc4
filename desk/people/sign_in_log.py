"""Sign-ins, and attempts that fail, in the custody log of each organisation of the person."""

from __future__ import annotations

import time
from typing import Any

from allauth.account.signals import password_changed
from allauth.mfa.signals import authenticator_added, authenticator_removed
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest

from desk.custody import log
from desk.people.middleware import stamp
from desk.people.models import Organisation, Person

__all__ = ["connect", "record_for_all"]


def connect() -> None:
    """Listens to Django's and allauth's signals."""
    user_logged_in.connect(_signed_in, dispatch_uid="desk-signed-in")
    user_login_failed.connect(_failed, dispatch_uid="desk-sign-in-failed")
    authenticator_added.connect(_passkey_added, dispatch_uid="desk-passkey-added")
    authenticator_removed.connect(_passkey_removed, dispatch_uid="desk-passkey-removed")
    password_changed.connect(_password_changed, dispatch_uid="desk-password-changed")


def record_for_all(person: Person, action: str, actor: Person | str | None = None, **detail: Any) -> None:
    """Writes one entry about the person into the log of each of their organisations."""
    for organisation in Organisation.objects.filter(memberships__person=person).distinct():
        log.record(organisation, actor or person, action, person.email, **detail)


def _signed_in(user: Person, request: HttpRequest, **_: Any) -> None:
    stamp(request.session)
    record_for_all(user, "person.signed-in")


def _failed(credentials: dict[str, Any], **_: Any) -> None:
    begun_s = time.monotonic()
    # The address is what a stranger typed: only a known one reaches a log.
    person = Person.objects.filter(email__iexact=str(credentials.get("email") or "")).first()
    if person is not None:
        record_for_all(person, "person.sign-in-failed", "sign-in")
    # An entry takes milliseconds. Without a wait, a stranger could tell by them that the address is known.
    time.sleep(max(0.0, begun_s + settings.FAILED_SIGN_IN_S - time.monotonic()))


def _passkey_added(user: Person, **_: Any) -> None:
    record_for_all(user, "person.passkey-added")


def _passkey_removed(user: Person, **_: Any) -> None:
    record_for_all(user, "person.passkey-removed")


def _password_changed(user: Person, **_: Any) -> None:
    record_for_all(user, "person.password-changed")
