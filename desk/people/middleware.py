"""Security headers of each page, and the limits of a session."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain
from typing import Any, Final, TypeVar

import structlog
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import render
from django.utils import translation

from agent.errors import DoorwardError, FormatError, RequestError
from desk.people.session_ends import end_soon

__all__ = [
    "POLICY",
    "ExplainedErrors",
    "PersonLanguage",
    "SecurityHeaders",
    "SessionLimits",
    "WholeTexts",
    "by_timer",
    "stamp",
]

GetResponse = Callable[[HttpRequest], HttpResponseBase]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, and nothing from elsewhere. The pages with a map have their own (`asking.map_view`)."""
_log = structlog.get_logger(__name__)
_BEGAN: Final = "desk_began"
_SEEN: Final = "desk_seen"
_SEEN_STEP_S: Final = 60
"""Seconds after which a session in use is written again. It keeps the database from a write for each page."""


View = TypeVar("View", bound=Callable[..., HttpResponseBase])
_BY_TIMER: Final = "desk_by_timer"


def by_timer(view: View) -> View:
    """Marks a view that an open page asks by a timer. Its requests are no sign of a person: the session still ends
    after its idle time."""
    setattr(view, _BY_TIMER, True)
    return view


def stamp(session: SessionBase) -> None:
    """Dates a session at its sign-in, so that it ends in time even if its browser never comes back."""
    session.set_expiry(None)  # before, it was a stranger's or a guest's
    session[_BEGAN] = session[_SEEN] = time.time()


class WholeTexts:
    """Refuses an address or a cookie with a NUL: no text holds one, and PostgreSQL refuses the query that asks for it.

    Fields of forms refuse it, too.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        texts = (
            request.path,
            *request.COOKIES.values(),
            *request.GET,
            *chain.from_iterable(dict(request.GET).values()),
        )
        if any("\0" in text for text in texts):
            return HttpResponseBadRequest("This address holds a character that no text has.", content_type="text/plain")
        return self._get_response(request)


class SecurityHeaders:
    """Adds the headers that Django does not set."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("X-Frame-Options", "DENY")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        # After a sign-out, the back button of a shared computer must show no page.
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class SessionLimits:
    """Signs a person out after an idle time, after an absolute time, and everywhere at once if the person asks. A
    session without a person ends within minutes."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated:
            now, session = int(time.time()), request.session
            began, seen = session.get(_BEGAN, 0), session.get(_SEEN, 0)  # without a stamp: ended
            limits = settings.DESK.sign_in
            ended = now - seen > limits.idle_minutes * 60 or now - began > limits.session_hours * 3600
            valid_from = request.user.sessions_valid_from
            # `valid_from` ends all sessions at once, also those of browsers that are away.
            if ended or (valid_from and began < valid_from.timestamp()):
                logout(request)
        response = self._get_response(request)
        if not request.user.is_authenticated:
            end_soon(request.session)
        return response

    def process_view(self, request: HttpRequest, view: Callable[..., HttpResponseBase], *_arguments: Any) -> None:
        """Django calls it with the view that will answer. The session is in use, unless a timer asks."""
        now = int(time.time())
        if (
            request.user.is_authenticated
            and not getattr(view, _BY_TIMER, False)
            and now - request.session.get(_SEEN, 0) >= _SEEN_STEP_S
        ):
            request.session[_SEEN] = now


class PersonLanguage:
    """Shows pages in the language that the person chose. Without a choice the browser's language counts."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated and request.user.language:
            translation.activate(request.user.language)
        return self._get_response(request)


class ExplainedErrors:
    """Answers an error of ours with its words: what is wrong, and what to do. Only signed-in people read them."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Django calls it for an exception of a view. Returns None for errors that are not ours."""
        if not isinstance(error, DoorwardError) or not request.user.is_authenticated:
            return None
        _log.warning("page_failed", path=request.path, error=error.message)
        # The client is at fault only for a request or bytes that are wrong.
        status = 422 if isinstance(error, RequestError | FormatError) else 503
        return render(request, "error.html", {"error": error}, status=status)
