"""Answers that are sent while they are made, so that a download of any size takes little memory."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, Self, TypeVar
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

__all__ = ["attachment", "stream", "stream_pieces"]

R = TypeVar("R", HttpResponse, StreamingHttpResponse)
Pieces = Generator[bytes, None, None]
_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_ ")


def stream(request: HttpRequest, pieces: Pieces, *, name: str, content_type: str) -> StreamingHttpResponse:
    """Returns a download that is made piece by piece. `pieces` is closed at its end, or when the browser leaves."""
    return _named(stream_pieces(request, pieces, content_type=content_type), name)


def stream_pieces(request: HttpRequest, pieces: Pieces, *, content_type: str) -> StreamingHttpResponse:
    """Returns an answer that is made piece by piece. `pieces` is closed at its end, or when the browser leaves."""
    body = _AsyncPieces(pieces) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(body, content_type=content_type)


def attachment(data: bytes, *, name: str, content_type: str) -> HttpResponse:
    """Returns a download of bytes that are ready."""
    return _named(HttpResponse(data, content_type=content_type), name)


def _named(response: R, name: str) -> R:
    """Adds the file's name. A case number may hold any character, so both forms of RFC 6266 are made here."""
    plain = "".join(each if each in _SAFE else "_" for each in name)
    response["Content-Disposition"] = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return response


class _AsyncPieces:
    """The pieces of a generator, each made in a thread. `close` ends the generator, so that it removes its files."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        # In one thread, because Django's database connections belong to the thread that opened them.
        piece = await sync_to_async(self._next, thread_sensitive=True)()
        if piece is None:
            raise StopAsyncIteration
        return piece

    def _next(self) -> bytes | None:
        return next(self._pieces, None)

    def close(self) -> None:
        self._pieces.close()
