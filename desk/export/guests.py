"""Guest links: made, found, revoked, and each use of them written to the custody log.

A link's token is shown once and stored as its hash. A guest changes it for a session, so that the token is in no later
address. Each use looks the link up again, so that a revocation counts at once.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
from collections.abc import Collection
from typing import Final

from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from desk.cases.models import Case
from desk.custody import log
from desk.export.models import GuestLink
from desk.people.models import Person

__all__ = [
    "allow",
    "current_link",
    "enter",
    "film_of",
    "find_link",
    "make_link",
    "open_film",
    "record_use",
    "revoke_link",
]

_TOKEN_BYTES: Final = 32
_SESSION: Final = "desk_guest_link"
_SESSION_S: Final = 3600
_FILMS: Final = "desk_guest_films"
_MOST_FILMS: Final = 50
"""Films that stay open in one session. The first ones close."""
_TRIES: Final = 20
"""Tokens that one address may try in `_PERIOD_S`."""
_USES: Final = 240
"""Films and folders that one link may deliver in `_PERIOD_S`: enough to watch, too few to load the desk."""
_PERIOD_S: Final = 600


@transaction.atomic
def make_link(
    case: Case,
    person: Person,
    *,
    recipient: str,
    party: str,
    days: int,
    clips: Collection[tuple[str, int]],
) -> tuple[GuestLink, str]:
    """Makes a link to those clips and returns it with its token, which is stored nowhere."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    link = GuestLink.objects.create(
        case=case,
        recipient=recipient,
        party=party,
        token_sha256=_sha256(token),
        made_by=person,
        expires_at=timezone.now() + datetime.timedelta(days=days),
        scope=sorted([list(each) for each in clips]),
    )
    log.record(
        case.organisation,
        person,
        "guest.made",
        f"guest link {link.pk}",
        case=case.number,
        recipient=recipient,
        party=party,
        expires=link.expires_at,
        clips=[f"{disclosure} {number}" for disclosure, number in sorted(clips)],
    )
    return link, token


@transaction.atomic
def revoke_link(link: GuestLink, person: Person) -> bool:
    """Ends the link at once. Returns False if it was revoked before."""
    # If two people do this at once, one changes the row, so the log has one entry.
    done = GuestLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=timezone.now())
    if done:
        case = link.case
        log.record(case.organisation, person, "guest.revoked", f"guest link {link.pk}", case=case.number)
    return bool(done)


def find_link(token: str) -> GuestLink | None:
    """Returns the link with that token if it works."""
    found = GuestLink.objects.filter(token_sha256=_sha256(token)).select_related("case__organisation").first()
    return found if found is not None and found.works else None


def enter(request: HttpRequest, link: GuestLink) -> None:
    """Gives the guest a separate session, with a new key."""
    record_use(link, "guest.opened", request)
    request.session.flush()  # a guest link never opens inside the session of a person of the desk
    request.session[_SESSION] = link.pk
    request.session.set_expiry(_SESSION_S)


def current_link(request: HttpRequest) -> GuestLink | None:
    """Returns the link of the guest's session if it still works."""
    key = request.session.get(_SESSION)
    found = GuestLink.objects.filter(pk=key).select_related("case__organisation").first() if key else None
    return found if found is not None and found.works else None


def record_use(link: GuestLink, action: str, request: HttpRequest, **detail: object) -> None:
    """Writes the use of a link to the custody log. Call it before the first byte leaves."""
    case = link.case
    actor = f"guest link {link.pk} ({link.recipient})"
    address = request.META.get("REMOTE_ADDR", "")
    log.record(case.organisation, actor, action, f"guest link {link.pk}", case=case.number, address=address, **detail)


def open_film(request: HttpRequest, link: GuestLink, clip: tuple[str, int]) -> str:
    """Writes the opening of a film to the custody log, and returns the token of its address in this session."""
    disclosure, number = clip
    record_use(link, "guest.viewed", request, answer=disclosure, clip=number)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    films = {**request.session.get(_FILMS, {}), _sha256(token): [disclosure, number]}
    request.session[_FILMS] = dict(list(films.items())[-_MOST_FILMS:])
    return token


def film_of(request: HttpRequest, token: str) -> tuple[str, int] | None:
    """Returns the clip that the session has opened with that token."""
    found = request.session.get(_FILMS, {}).get(_sha256(token))
    return (str(found[0]), int(found[1])) if found else None


def allow(kind: str, who: str) -> bool:
    """Counts a try of an address (`kind` "token") or a use of a link ("use"). Returns False over the limit."""
    key = f"guest-{kind}-{hashlib.sha256(who.encode()).hexdigest()}"
    cache.add(key, 0, _PERIOD_S)
    try:
        count = cache.incr(key)
    except ValueError:  # the period ended in between
        return True
    return count <= (_TRIES if kind == "token" else _USES)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
