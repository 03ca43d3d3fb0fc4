"""One-time links: the first admin's, an invitation, and recovery after a lost passkey.

The token is in the link only. The database holds its hash, so a copy of the database gives no access.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any, Final

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from desk.custody import log
from desk.people import confirmations
from desk.people.models import Membership, OneTimeLink, Organisation, Person
from desk.people.sign_in_log import record_for_all

__all__ = ["belongs_only_to", "find_link", "join", "make_first_admin_link", "make_link", "use_link"]

_TOKEN_BYTES: Final = 32


def make_link(purpose: str, **fields: Any) -> str:
    """Stores a new link and returns its token."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    expires_at = timezone.now() + timedelta(hours=settings.DESK.sign_in.link_hours)
    OneTimeLink.objects.create(token_sha256=_hash(token), purpose=purpose, expires_at=expires_at, **fields)
    return token


def make_first_admin_link() -> str | None:
    """Returns a token for the first admin, or None if the desk has people. An earlier such link stops working."""
    if Person.objects.exists():
        return None
    OneTimeLink.objects.filter(purpose="first-admin").delete()
    return make_link("first-admin")


def find_link(token: str) -> OneTimeLink | None:
    """Returns the link of that token if it can still be used."""
    found = OneTimeLink.objects.filter(token_sha256=_hash(token), used_at=None, expires_at__gt=timezone.now()).first()
    if found and found.purpose == "first-admin" and Person.objects.exists():
        return None
    return found if found and _may_recover(found) else None


@transaction.atomic
def use_link(link: OneTimeLink, *, name: str, email: str, password: str | None) -> Person | None:
    """Returns the person of the link, or None if another browser has just used the link.

    `password`: None for a person who will add a passkey. A recovered person loses every earlier passkey, password,
    session and account of an identity provider.
    """
    # One statement decides, so that of two browsers at once only one gets in.
    if not OneTimeLink.objects.filter(pk=link.pk, used_at=None).update(used_at=timezone.now()):
        return None
    if not _may_recover(link):
        return None
    person = link.person or Person(username=email, email=email, first_name=name)
    if link.purpose == "first-admin":
        person.is_superuser = True
    if link.person:
        # A thief of the lost telephone may have it, so each earlier way in ends here.
        Authenticator.objects.filter(user=link.person).delete()
        SocialAccount.objects.filter(user=link.person).delete()
        person.sessions_valid_from = timezone.now()
    person.set_password(password)
    person.save()
    record_for_all(person, f"person.came-by-{link.purpose}")
    if link.organisation and link.person:
        confirmations.hold_back_roles(link.organisation, link.made_by, person)
    elif link.organisation:
        log.record(link.organisation, person, f"person.came-by-{link.purpose}", person.email)
        confirmations.give_roles(link.organisation, link.made_by, person, link.roles, "invitation")
    return person


@transaction.atomic
def join(link: OneTimeLink, person: Person) -> bool:
    """Lets a person with an account join the organisation of an invitation. Returns False if it was used just now."""
    organisation = link.organisation
    if organisation is None or not OneTimeLink.objects.filter(pk=link.pk, used_at=None).update(used_at=timezone.now()):
        return False
    log.record(organisation, person, "person.joined", person.email)
    confirmations.give_roles(organisation, link.made_by, person, link.roles, "invitation")
    return True


def belongs_only_to(organisation: Organisation, person: Person) -> bool:
    """Returns True if all rights of the person are in that organisation, so that its admin may recover the person."""
    theirs = set(Membership.objects.filter(person=person).values_list("organisation", flat=True))
    return theirs == {organisation.pk} and not person.is_superuser


def _may_recover(link: OneTimeLink) -> bool:
    """Returns False for an admin's recovery link if its person has rights elsewhere by now, or has left. The operator's
    links name no organisation."""
    if link.person is None or link.organisation is None:
        return True
    return belongs_only_to(link.organisation, link.person)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
