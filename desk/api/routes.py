"""The interface for case-management systems: cases, requests, answers and exports, described by OpenAPI.

    curl -H "Authorization: Bearer doorward-desk-…" https://desk.example/api/v1/cases

Only an export carries footage, and it is in the custody log before its first byte leaves. Objects of
other organisations are 404. A list goes on with `after`, the `id` of its last item.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any, Final, cast

from django.http import HttpRequest, HttpResponseBase
from ninja import Field, NinjaAPI, Schema
from ninja.errors import HttpError
from ninja.security import HttpBearer

from agent.errors import DoorwardError
from desk.api.hook_events import DESCRIPTION, EVENTS, HookEvent
from desk.api.models import ApiToken
from desk.api.tokens import find_token
from desk.cases.models import Answer, Case, SignedRequest
from desk.export.bundle import ExportOptions
from desk.export.sending import send_export
from desk.people.permissions import get_in
from desk.people.roles import Action, Role, is_allowed

__all__ = ["api"]

_MOST: Final = 200


class _Bearer(HttpBearer):
    """Authentication by a token of the organisation."""

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:  # noqa: ARG002 (django-ninja's form)
        return find_token(token)


_HOOK: Final = {
    "summary": f"One of: {', '.join(EVENTS.values())}",
    "requestBody": {"required": True, "content": {"application/json": {"schema": HookEvent.model_json_schema()}}},
    "responses": {"2XX": {"description": "The receiver has the event."}},
}

api = NinjaAPI(
    title="Doorward desk",
    version="1",
    auth=_Bearer(),
    docs_url=None,  # its page would load scripts from elsewhere
    urls_namespace="api",
    description=f"Cases, requests, answers and exports of one organisation.\n{DESCRIPTION}",
    openapi_extra={"webhooks": {"event": {"post": _HOOK}}},
)


class CaseOut(Schema):
    """A case."""

    id: int
    number: str
    title: str
    category: str
    opened_at: datetime
    closed_at: datetime | None
    retention_until: datetime | None
    legal_hold: bool


class RequestOut(Schema):
    """A signed request of a case."""

    request_id: str
    from_ms: int
    to_ms: int
    not_after: datetime
    retention_days: int
    published_at: datetime | None
    withdrawn_at: datetime | None


class ClipOut(Schema):
    """Times of a clip. The footage is in an export."""

    index: int
    from_ms: int
    to_ms: int
    clock_quality: str
    gaps: list[Any]


class AnswerOut(Schema):
    """An answer of a doorbell."""

    disclosure_id: str
    request_id: str
    device: str
    state: str
    verdict: str
    received_at: datetime
    clips: list[ClipOut]

    @staticmethod
    def resolve_clips(answer: Answer) -> list[Any]:
        return list(answer.clips.all())


@api.get("/cases", response=list[CaseOut])
def cases(
    request: HttpRequest, after: int = 0, limit: Annotated[int, Field(ge=1, le=_MOST)] = 50, number: str = ""
) -> list[Case]:
    """The cases by their id. `number`: only the case with that number."""
    token = _require(request, Action.SEE_CASES)
    found = Case.objects.filter(organisation=token.organisation, pk__gt=after).order_by("pk")
    return list((found.filter(number=number) if number else found)[:limit])


@api.get("/cases/{int:case_id}", response=CaseOut)
def case(request: HttpRequest, case_id: int) -> Case:
    """One case."""
    return _case(request, Action.SEE_CASES, case_id)


@api.get("/cases/{int:case_id}/requests", response=list[RequestOut])
def requests(request: HttpRequest, case_id: int) -> list[SignedRequest]:
    """The signed requests of a case."""
    return list(_case(request, Action.SEE_REQUESTS, case_id).requests.all())


@api.get("/cases/{int:case_id}/answers", response=list[AnswerOut])
def answers(request: HttpRequest, case_id: int) -> list[Answer]:
    """The answers of a case, with the times of their clips."""
    return list(_case(request, Action.SEE_CASES, case_id).answers.prefetch_related("clips"))


@api.post("/cases/{int:case_id}/export", response={200: None})
def export(
    request: HttpRequest, case_id: int, language: str = "en", *, content_credentials: bool = False
) -> HttpResponseBase:
    """The evidence folder of a case as a ZIP (`application/zip`). `content_credentials`: with copies for C2PA readers,
    which need the organisation's key and c2pa-python on the desk."""
    found = _case(request, Action.EXPORT, case_id)
    token = _token(request)
    options = ExportOptions(
        language if language in ("en", "nl") else "en",
        str(token),
        int(time.time()),
        with_credentials=content_credentials,
    )
    try:
        return send_export(request, found, options, person=token.made_by, actor=str(token))
    except DoorwardError as error:
        raise HttpError(409, str(error)) from error


def _token(request: HttpRequest) -> ApiToken:
    return cast(ApiToken, request.auth)  # type: ignore[attr-defined]  # set by _Bearer


def _require(request: HttpRequest, action: Action) -> ApiToken:
    """Returns the token of the request. Raises `HttpError` 403 if its roles do not allow the action."""
    token = _token(request)
    if not is_allowed(map(Role, token.roles), action):
        raise HttpError(403, "This token has no role for that.")
    return token


def _case(request: HttpRequest, action: Action, pk: int) -> Case:
    return get_in(_require(request, action).organisation, Case, pk)
