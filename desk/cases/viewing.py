"""Views of footage: each opening is an entry in the custody log, and gets an address for one person and one hour.

The browser reads a film in pieces. The pieces of one opening are one entry, because the address stays the same.
"""

from __future__ import annotations

import hashlib
import secrets

from django.db import transaction
from django.http import Http404
from django.utils import timezone

from desk.cases.models import Answer, Clip, FilmView
from desk.custody.log import record
from desk.people.models import Organisation, Person

__all__ = ["find_view", "log_verification", "open_clip", "open_stills"]

_TOKEN_BYTES = 32


def open_clip(organisation: Organisation, person: Person, answer: Answer, clip: Clip) -> str:
    """Writes the opening of a film to the custody log, and returns the token of its address."""
    with transaction.atomic():
        token = _grant(person, answer, clip.index, "film")
        _log(organisation, person, "clip.opened", answer, clip=clip.index, from_ms=clip.from_ms, to_ms=clip.to_ms)
    return token


def open_stills(organisation: Organisation, person: Person, answer: Answer) -> list[tuple[Clip, str]]:
    """Writes the opening of all stills of an answer as one entry, and returns a token for each."""
    with transaction.atomic():
        found = [(clip, _grant(person, answer, clip.index, "still")) for clip in answer.clips.all()]
        _log(organisation, person, "stills.opened", answer, stills=len(found))
    return found


def log_verification(organisation: Organisation, person: Person, answer: Answer, *, holds: bool) -> None:
    """Writes to the custody log that a person verified an answer again, and the result."""
    _log(organisation, person, "answer.verified", answer, holds=holds)


def find_view(organisation: Organisation, person: Person, token: str) -> FilmView:
    """Returns the view with that token. Raises `Http404` if it is another person's, has expired, or is unknown."""
    found = (
        FilmView.objects.filter(
            token_sha256=_sha256(token),
            person=person,
            answer__case__organisation=organisation,
            answer__state="complete",
            expires_at__gt=timezone.now(),
        )
        .select_related("answer")
        .first()
    )
    if found is None:
        raise Http404
    return found


def _grant(person: Person, answer: Answer, index: int, kind: str) -> str:
    now = timezone.now()
    FilmView.objects.filter(person=person, expires_at__lte=now).delete()
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    FilmView.objects.create(
        answer=answer,
        clip=index,
        kind=kind,
        person=person,
        # Only the hash is stored, so a copy of the database opens no film.
        token_sha256=_sha256(token),
        expires_at=now + FilmView.LASTS,
    )
    return token


def _log(organisation: Organisation, person: Person, action: str, answer: Answer, **detail: object) -> None:
    record(organisation, person, action, f"answer {answer.disclosure_id}", case=answer.case.number, **detail)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
