"""Tokens of programs: made, found and revoked, with an entry in the custody log. Only their hashes are stored."""

from __future__ import annotations

import datetime
import hashlib
import secrets
from collections.abc import Collection
from typing import Final

from django.db import transaction
from django.utils import timezone

from desk.api.models import ApiToken
from desk.custody import log
from desk.people.models import Organisation, Person
from desk.people.roles import Role

__all__ = ["ROLES", "find_token", "make_token", "revoke_token"]

ROLES: Final = (Role.ASKER, Role.EVIDENCE_OFFICER, Role.VIEWER)
"""Roles of a program. It never approves, audits or manages people."""
_PREFIX: Final = "doorward-desk-"
"""Lets a scanner for leaked secrets recognise a token."""
_TOKEN_BYTES: Final = 32


@transaction.atomic
def make_token(
    organisation: Organisation, person: Person, *, name: str, roles: Collection[Role], days: int
) -> tuple[ApiToken, str]:
    """Makes a token and returns it with its text, which is stored nowhere."""
    text = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    token = ApiToken.objects.create(
        organisation=organisation,
        name=name,
        roles=sorted(role.value for role in roles),
        token_sha256=_sha256(text),
        made_by=person,
        expires_at=timezone.now() + datetime.timedelta(days=days),
    )
    log.record(
        organisation, person, "token.made", f"token {token.pk}", name=name, roles=token.roles, expires=token.expires_at
    )
    return token, text


@transaction.atomic
def revoke_token(token: ApiToken, person: Person) -> bool:
    """Ends the token at once. Returns False if it was revoked before."""
    done = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
    if done:
        log.record(token.organisation, person, "token.revoked", f"token {token.pk}", name=token.name)
    return bool(done)


def find_token(text: str) -> ApiToken | None:
    """Returns the token with that text if it works."""
    found = ApiToken.objects.filter(token_sha256=_sha256(text)).select_related("organisation", "made_by").first()
    return found if found is not None and found.works else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
