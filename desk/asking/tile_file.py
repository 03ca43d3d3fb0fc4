"""The desk's own PMTiles file, in ranges, so that a map needs no server of tiles and tells no one where people look."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from django.conf import settings
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from agent.platform import files
from desk.cases.byte_ranges import UnsatisfiableRangeError, requested_range
from desk.people.permissions import Action, DeskRequest, needs

__all__ = ["tile_file", "tile_path"]

_LONGEST_BYTES: Final = 1024 * 1024
"""A reader of PMTiles asks for directories of 16 kB and for single tiles."""


def tile_path() -> Path | None:
    """Returns the file of tiles, or None if the configuration names none, or an address."""
    tiles = settings.DESK.map.tiles
    return settings.DATA / tiles if tiles.endswith(".pmtiles") and "://" not in tiles else None


@require_safe
@needs(Action.SEE_REQUESTS)
def tile_file(request: DeskRequest) -> HttpResponse:
    """A range of the file."""
    path = tile_path()
    if path is None or not files.is_file(path):
        raise Http404
    size_bytes = path.stat().st_size
    try:
        asked = requested_range(request.headers.get("Range"), size_bytes)
    except UnsatisfiableRangeError:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
    if asked is None or asked.size_bytes > _LONGEST_BYTES:
        # The whole file may be gigabytes, and a map asks for ranges only.
        return HttpResponse("Ask for a range.", status=400, content_type="text/plain")
    with path.open("rb") as file:
        file.seek(asked.first)
        data = file.read(asked.size_bytes)
    headers = {
        "Content-Range": f"bytes {asked.first}-{asked.last}/{size_bytes}",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=86400",
        "ETag": f'"{path.stat().st_mtime_ns:x}-{size_bytes:x}"',
    }
    return HttpResponse(data, status=206, content_type="application/octet-stream", headers=headers)
