"""First view of a form's map: the organisation's regions, the ground of its last request, and the tiles."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from desk.asking import shapes
from desk.asking.knowledge import known_to, regions_of
from desk.asking.live_check import Known, Question
from desk.asking.models import Draft
from desk.asking.tile_file import tile_path
from desk.people.models import Organisation

__all__ = ["map_context", "with_tiles"]

_AROUND_DEGREES: Final = 0.02
Box = tuple[float, float, float, float]
"""West, south, east and north in degrees."""


def map_context(organisation: Organisation, known: Known | None = None) -> dict[str, Any]:
    """Returns what the template `asking/area.html` needs beside the form. `known`: what the caller has looked up."""
    regions = regions_of(known or known_to(organisation, Question(), timezone.now()))
    return {
        "map_known": {"regions": regions, "view": _view(organisation, regions)},
        "tiles": reverse("asking:tiles") if tile_path() else settings.DESK.map.tiles,
        "attribution": settings.DESK.map.attribution,
    }


def with_tiles(response: HttpResponse) -> HttpResponse:
    """Allows the map to fetch its tiles from the one place that the desk's configuration names."""
    tiles = settings.DESK.map.tiles
    origin = "/".join(tiles.split("/")[:3]) if tiles.startswith("https://") else ""
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: {origin}; "
        f"font-src 'self'; connect-src 'self' {origin}; worker-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return response


def _view(organisation: Organisation, regions: list[Box]) -> Box:
    last = Draft.objects.filter(organisation=organisation).exclude(area=None).order_by("-pk").first()
    if last is not None and last.area:
        bounds = shapes.area_from_json(last.area).bounds
        return (
            bounds.west - _AROUND_DEGREES,
            bounds.south - _AROUND_DEGREES,
            bounds.east + _AROUND_DEGREES,
            bounds.north + _AROUND_DEGREES,
        )
    if regions:
        wests, souths, easts, norths = zip(*regions, strict=True)
        return min(wests), min(souths), max(easts), max(norths)
    chosen = settings.DESK.map
    half = 180 / 2**chosen.zoom
    return (
        chosen.longitude - half,
        max(-80.0, chosen.latitude - half / 2),
        chosen.longitude + half,
        min(80.0, chosen.latitude + half / 2),
    )
