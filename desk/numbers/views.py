"""The public page of numbers. Anyone may read it without signing in."""

from __future__ import annotations

import csv
import io

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from desk.asking.incidents import incident_name
from desk.export.csv_files import neutral
from desk.numbers.counting import rows
from desk.people.models import Organisation

__all__ = ["as_csv", "numbers_page"]

_KINDS = dict(Organisation.KINDS)


@require_safe
def numbers_page(request: HttpRequest) -> HttpResponse:
    """Requests by organisation, kind, month and area size."""
    found = rows()
    context = {
        "rows": [(each, incident_name(each.incident), _KINDS[each.kind]) for each in found],
        "total": sum(each.requests for each in found),
    }
    return render(request, "numbers/numbers.html", context)


@require_safe
def as_csv(_request: HttpRequest) -> HttpResponse:
    """The same numbers for a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["month", "organisation", "kind", "incident", "requests", "least_m2", "mean_m2", "most_m2"])
    for each in rows():
        name = neutral(each.organisation)  # a spreadsheet would run a name that begins like a formula
        writer.writerow(
            [each.month, name, each.kind, each.incident, each.requests, each.least_m2, each.mean_m2, each.most_m2]
        )
    headers = {"Content-Disposition": 'attachment; filename="requests.csv"'}
    return HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)
