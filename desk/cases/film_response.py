"""A film as an answer to a browser's player: the whole, or the piece that it asks for. The browser stores nothing."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import BinaryIO, Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from desk.cases.byte_ranges import UnsatisfiableRangeError, requested_range
from desk.streaming import stream_pieces

__all__ = ["MEDIA_HEADERS", "film_response"]

_MOST_PIECE_BYTES: Final = 8 << 20
"""Most bytes of one partial response. A browser asks for the next piece."""
_READ_BYTES: Final = 256 << 10
MEDIA_HEADERS: Final = {"Accept-Ranges": "bytes", "Cache-Control": "no-store", "Content-Disposition": "inline"}


def film_response(request: HttpRequest, media: BinaryIO) -> HttpResponseBase:
    """Returns the piece that the `Range` header asks for, or the whole film, read while it is sent. Closes `media`."""
    size_bytes = media.seek(0, os.SEEK_END)
    try:
        piece = requested_range(request.headers.get("Range"), size_bytes)
    except UnsatisfiableRangeError:
        media.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
    media.seek(piece.first if piece else 0)
    if piece is None:
        whole = stream_pieces(request, _pieces(media), content_type="video/mp4")
        for name, value in {**MEDIA_HEADERS, "Content-Length": str(size_bytes)}.items():
            whole[name] = value
        return whole
    with media:
        data = media.read(min(piece.size_bytes, _MOST_PIECE_BYTES))
    headers = {**MEDIA_HEADERS, "Content-Range": f"bytes {piece.first}-{piece.first + len(data) - 1}/{size_bytes}"}
    return HttpResponse(data, status=206, content_type="video/mp4", headers=headers)


def _pieces(media: BinaryIO) -> Generator[bytes, None, None]:
    with media:
        while data := media.read(_READ_BYTES):
            yield data
