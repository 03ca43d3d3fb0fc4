"""Events that web hooks carry. Each is an entry of the custody log, reduced to ids and times."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from django.db.models import Q
from ninja import Schema

from desk.api.models import WebHook
from desk.cases.models import Case
from desk.custody.models import Entry

__all__ = ["DESCRIPTION", "EVENTS", "HookEvent", "event_of", "next_event"]

_MADE: Final = "hook.made"
EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        _MADE: _MADE,
        "request.published": "request.published",
        "withdrawal.published": "request.withdrawn",
        "request.expired": "request.expired",
        "answer.received": "answer.complete",
        "answer.quarantined": "answer.quarantined",
        "deletion.published": "deletion.published",
    }
)
"""Event of each action of the custody log that has one. The first event of a hook says that it was made."""
DESCRIPTION: Final = """
Web hooks: the desk sends each event by POST to the addresses on the page Integrations, in the order of the custody log.
The body is a `HookEvent`: ids and times, never footage or words of a case.

    Doorward-Signature: t=1790000000,v1=HEX

`t` is the time of sending in seconds since 1970. HEX is the HMAC-SHA256 of `t`, a dot and the body, with the hook's
secret (its text, as ASCII) as the key. Compare in constant time, refuse a `t` that is more than 300 seconds from your
clock, and ignore an `id` that you have had: an event comes at least once. Answer with a status from 200 to 299 within
10 seconds. Otherwise the desk tries again, later each time, and stops the hook after 15 failures in a row. It follows
no redirect.
"""


class HookEvent(Schema):
    """The body of one delivery."""

    v: int = 1
    id: str
    """Organisation and number of the entry in its custody log. The same in each try."""
    event: str
    at_ms: int
    organisation: str
    case: int | None
    """`id` of the case in this interface."""
    request: str | None
    disclosure: str | None


def next_event(hook: WebHook) -> tuple[int, HookEvent | None]:
    """Returns the number of the next entry with an event, with the event. Without one: the end of the log, and None."""
    rows = Entry.objects.filter(organisation=hook.organisation, number__gte=hook.next_entry).order_by("number")
    last = rows.last()
    if last is None:
        return hook.next_entry, None
    wanted = Q(action__in=set(EVENTS) - {_MADE}) | Q(action=_MADE, object=str(hook))
    # Entries get their numbers in the order of their commits, so none appears later below `last`.
    row = rows.filter(wanted, number__lte=last.number).first()
    return (row.number, event_of(row)) if row else (last.number + 1, None)


def event_of(row: Entry) -> HookEvent:
    kind, _space, name = row.object.partition(" ")
    asked = name if kind == "request" else row.detail.get("request")
    case = Case.objects.filter(organisation=row.organisation, number=row.case_number).first()
    return HookEvent(
        id=f"{row.organisation.requester_id}/{row.number}",
        event=EVENTS[row.action],
        at_ms=row.at_ms,
        organisation=row.organisation.requester_id,
        case=case.pk if case else None,
        request=asked,
        disclosure=name if kind == "answer" else None,
    )
