"""The page for an error that no view explains."""

from __future__ import annotations

import sys
from typing import Final

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views import defaults

__all__ = ["server_error"]

_RETRY_S: Final = "10"
"""A standby takes over within seconds if a program promotes it."""


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls it while it handles the error. Says 503 if the database is away, so that programs try again."""
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        return HttpResponse(loader.get_template("503.html").render(), status=503, headers={"Retry-After": _RETRY_S})
    return defaults.server_error(request)
