"""A film as an answer to a browser's player: the whole, or the piece that it asks for. The browser stores nothing."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

from django.http import HttpResponse

from desk.cases.byte_ranges import UnsatisfiableRangeError, requested_range

__all__ = ["MEDIA_HEADERS", "film_response"]

_MOST_PIECE_BYTES: Final = 8 << 20
"""Most bytes of one partial response. A browser asks for the next piece."""
MEDIA_HEADERS: Final = {"Accept-Ranges": "bytes", "Cache-Control": "no-store", "Content-Disposition": "inline"}


def film_response(media: BinaryIO, header: str | None) -> HttpResponse:
    """Returns the piece that the `Range` header asks for, or the whole film."""
    size_bytes = media.seek(0, os.SEEK_END)
    try:
        piece = requested_range(header, size_bytes)
    except UnsatisfiableRangeError:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
    first = piece.first if piece else 0
    media.seek(first)
    if piece is None:
        return HttpResponse(media.read(), content_type="video/mp4", headers=MEDIA_HEADERS)
    data = media.read(min(piece.size_bytes, _MOST_PIECE_BYTES))
    headers = {**MEDIA_HEADERS, "Content-Range": f"bytes {first}-{first + len(data) - 1}/{size_bytes}"}
    return HttpResponse(data, status=206, content_type="video/mp4", headers=headers)
