"""A download is sent while it is made, under ASGI too, and ends its generator if the browser leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import RequestFactory

from desk.streaming import attachment, stream

SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}


class Made:
    """Record of what a generator did."""

    def __init__(self) -> None:
        self.count = 0
        self.ended = False

    def pieces(self, count: int = 3) -> Generator[bytes, None, None]:
        try:
            for number in range(count):
                self.count += 1
                yield b"%d" % number
        finally:
            self.ended = True


def asgi_request() -> ASGIRequest:
    return ASGIRequest(SCOPE, None)


def test_under_asgi_each_piece_is_made_when_it_is_sent() -> None:
    made = Made()
    response = stream(asgi_request(), made.pieces(), name="a.zip", content_type="application/zip")

    async def read() -> list[bytes]:
        got = []
        async for piece in response:
            got.append(piece)
            assert made.count == len(got)
        return got

    assert asyncio.run(read()) == [b"0", b"1", b"2"]
    assert made.ended


def test_a_browser_that_leaves_ends_the_generator() -> None:
    made = Made()
    response = stream(asgi_request(), made.pieces(), name="a.zip", content_type="application/zip")

    async def read_one() -> bytes:
        async for piece in response:
            return bytes(piece)
        return b""

    assert asyncio.run(read_one()) == b"0"
    assert not made.ended
    response.close()
    assert made.ended


def test_under_wsgi_the_pieces_are_the_same() -> None:
    response = stream(RequestFactory().get("/"), Made().pieces(), name="a.zip", content_type="application/zip")
    assert response.getvalue() == b"012"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("case-1.zip", "attachment; filename=\"case-1.zip\"; filename*=UTF-8''case-1.zip"),
        ('a"\r\nb/ü.zip', "attachment; filename=\"a___b__.zip\"; filename*=UTF-8''a%22%0D%0Ab%2F%C3%BC.zip"),
    ],
)
def test_a_name_cannot_add_to_the_header(name: str, header: str) -> None:
    assert attachment(b"x", name=name, content_type="text/plain")["Content-Disposition"] == header
