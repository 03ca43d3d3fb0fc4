"""The desk as an ASGI application: Django, and the static files beside it."""

from __future__ import annotations

import os
from typing import Any

import django
from django.contrib.staticfiles import finders
from django.core.asgi import get_asgi_application
from django.core.exceptions import SuspiciousFileOperation
from starlette.responses import FileResponse, Response

from desk.people.middleware import POLICY
from desk.request_bounds import RequestBounds

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
django.setup(set_prefix=False)

_PAGES = RequestBounds(get_asgi_application())
_STATIC = "/static/"
_HEADERS = {
    "Cache-Control": "no-cache",  # the browser asks each time and gets 304: no file of an older version
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serves a static file, or hands the request to Django.

    Django would read a whole static file in a thread for each request; starlette sends it in pieces.
    """
    if scope["type"] == "http" and scope["path"].startswith(_STATIC):
        await _static(scope["path"].removeprefix(_STATIC))(scope, receive, send)
    elif scope["type"] == "http":
        await _PAGES(scope, receive, send)


def _static(name: str) -> Response:
    try:
        found = finders.find(name) if name and "\0" not in name else None
    except SuspiciousFileOperation:  # the name leads out of the folders of static files
        found = None
    return FileResponse(found, headers=_HEADERS) if found else Response(status_code=404, headers=_HEADERS)
