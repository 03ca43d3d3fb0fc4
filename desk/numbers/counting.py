"""Counts requests for the public page, from the signed requests themselves."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, Max, Min

from agent.wire import envelope, strictjson
from agent.wire.messages import FootageRequest
from desk.numbers.models import Counted
from desk.people.models import Organisation
from desk.people.organisations import requester_of

__all__ = ["Row", "count", "recount", "rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page."""

    month: str
    organisation: str
    kind: str
    incident: str
    requests: int
    least_m2: int
    mean_m2: int
    most_m2: int


def count(organisation: Organisation, signed: bytes) -> None:
    """Counts one signed request. A request that is counted already stays as it is."""
    key = requester_of(organisation).key
    opened = envelope.open_envelope(signed, FootageRequest.PAYLOAD_TYPE, {key.id: key})
    request = strictjson.decode(opened.payload, FootageRequest)
    Counted.objects.get_or_create(
        request_id=request.id,
        defaults={
            "organisation": organisation,
            "kind": request.kind.value,
            "incident": request.incident.value,
            "month": f"{datetime.datetime.fromtimestamp(request.from_s, datetime.UTC):%Y-%m}",
            "area_m2": round(request.area.size_m2),
        },
    )


def recount(organisation: Organisation) -> int:
    """Counts all requests in the organisation's folder, for example after a restored backup. Returns their number."""
    requester = requester_of(organisation)
    ids = list(requester.request_ids())
    for request_id in ids:
        count(organisation, requester.sent_request(request_id).envelope)
    return len(ids)


def rows() -> list[Row]:
    """Returns the lines of the page, the newest month first."""
    grouped = (
        Counted.objects.order_by()
        .values("month", "organisation__name", "kind", "incident")
        .annotate(requests=Count("pk"), least=Min("area_m2"), mean=Avg("area_m2"), most=Max("area_m2"))
    )
    found = [_row(each) for each in grouped]
    return sorted(found, key=lambda each: (_reversed(each.month), each.organisation, each.incident))


def _row(each: Mapping[str, Any]) -> Row:
    return Row(
        each["month"], each["organisation__name"], each["kind"], each["incident"], each["requests"], each["least"],
        round(each["mean"]), each["most"],
    )  # fmt: skip


def _reversed(month: str) -> int:
    # A text has no minus, and one sort gives the newest month first and names from A to Z.
    year, _, number = month.partition("-")
    return -(int(year) * 12 + int(number))
