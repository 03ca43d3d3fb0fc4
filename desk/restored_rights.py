"""Ends the rights of a restored database that may have ended after its backup was made.

A backup knows nothing of what came after it: a session that was ended, a one-time link that was used, a guest link or a
token that was revoked. Each of them would work again. So all of them end, and people make new ones. The roles,
passkeys and passwords of people are those of the backup: a person looks at them (docs/desk.md).
"""

from __future__ import annotations

from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from desk.api.models import ApiToken
from desk.cases.models import FilmView
from desk.export.models import GuestLink
from desk.people.models import OneTimeLink

__all__ = ["end_restored_rights"]


@transaction.atomic
def end_restored_rights() -> dict[str, int]:
    """Ends sessions, one-time links, guest links and tokens of programs. Returns how many there were of each."""
    now = timezone.now()
    FilmView.objects.all().delete()
    return {
        "sessions": Session.objects.all().delete()[0],
        "one_time_links": OneTimeLink.objects.filter(used_at=None, expires_at__gt=now).update(used_at=now),
        "guest_links": GuestLink.objects.filter(revoked_at=None, expires_at__gt=now).update(revoked_at=now),
        "tokens": ApiToken.objects.filter(revoked_at=None, expires_at__gt=now).update(revoked_at=now),
    }
