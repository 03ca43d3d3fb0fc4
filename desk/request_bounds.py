"""Bounds on what requests of strangers may hold: bytes of their bodies, time, and threads.

    application = RequestBounds(django_application)

Django stores a body of any length on the disk before it looks at the address, and works on each request in a thread. So
without these bounds one sender without an account fills the disk, and some hundreds of them take all threads, also
those that receivers need. A refused request gets a status and plain words, and its connection is closed.

`HeadLimit` ends a connection that has sent no whole head of a request in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["BOUNDS", "Bounds", "HeadLimit", "RequestBounds"]

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

HEAD_S: Final = 30.0
"""Seconds in which the head of a request must be whole, from the connection or from the answer before."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds. Bytes are those of bodies as they come."""

    body_bytes: int = 8 << 20
    """Most bytes of one body. The largest that a page takes is a trust package with its list of brokers, 3 MiB."""
    small_bytes: int = 64 << 10
    """Bytes of each body that do not count together with those of the others. A tip and a form stay below."""
    large_bytes: int = 64 << 20
    """Most bytes beyond these, of all bodies together."""
    body_s: float = 120.0
    """Most seconds until a body is whole."""
    at_once: int = 100
    """Most requests that pages work on. The service may have 256 threads (`TasksMax`), also those of receivers."""
    wait_s: float = 10.0
    """Most seconds that a whole request waits for its turn."""


BOUNDS: Final = Bounds()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The answer to a request that is over a bound."""

    status: int
    words: str


class RequestBounds:
    """An ASGI application with these bounds. It takes HTTP only."""

    def __init__(self, application: Application, bounds: Bounds = BOUNDS) -> None:
        self.bounds = bounds
        self.large_bytes = 0
        """Bytes of all bodies that are held now, each beyond `Bounds.small_bytes`."""
        self.places = asyncio.Semaphore(bounds.at_once)
        self._application = application

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        request = _BoundedRequest(self, receive)
        request.look_at_length(scope)
        try:
            if request.refusal is None:
                await self._application(scope, request.receive, send)
            if request.refusal is not None:
                await _refuse(send, request.refusal)
        finally:
            request.close()


class _BoundedRequest:
    """One request: counts its body, and takes a place once the body is whole.

    To the application, a request that is over a bound looks as if its sender had left. Django then closes what it has
    stored of the body, and answers nothing.
    """

    def __init__(self, server: RequestBounds, receive: Receive) -> None:
        self._server = server
        self._receive = receive
        self._ends_s = asyncio.get_running_loop().time() + server.bounds.body_s
        self._bytes = self._large_bytes = 0
        self._is_whole = self._has_place = False
        self.refusal: _Refusal | None = None

    def look_at_length(self, scope: Any) -> None:
        """Refuses the request if the announced length is over the bound."""
        announced = dict(scope["headers"]).get(b"content-length", b"")
        # Cut to 20 digits, because `int` raises an error for more than 4 300.
        if announced.isdigit() and int(announced[:20]) > self._server.bounds.body_bytes:
            self.refusal = self._too_large()

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()  # only the end of the connection may still come
        try:
            async with asyncio.timeout_at(self._ends_s):
                message = await self._receive()
        except TimeoutError:
            self.refusal = _Refusal(408, "The request took too long.")
            return {"type": "http.disconnect"}
        if message["type"] == "http.request":
            self.refusal = self._count(len(message.get("body", b"")))
            if self.refusal is None and not message.get("more_body", False):
                self.refusal = await self._enter()
        return message if self.refusal is None else {"type": "http.disconnect"}

    def close(self) -> None:
        """Gives back what the request held."""
        self._server.large_bytes -= self._large_bytes
        self._large_bytes = 0
        if self._has_place:
            self._has_place = False
            self._server.places.release()

    def _count(self, size_bytes: int) -> _Refusal | None:
        bounds = self._server.bounds
        self._bytes += size_bytes
        if self._bytes > bounds.body_bytes:
            return self._too_large()
        # Small bodies do not count together, so large ones cannot shut out a tip or a sign-in.
        more = max(0, self._bytes - bounds.small_bytes) - self._large_bytes
        if self._server.large_bytes + more > bounds.large_bytes:
            return _Refusal(503, "Too many files come at once. Try again in a minute.")
        self._large_bytes += more
        self._server.large_bytes += more
        return None

    async def _enter(self) -> _Refusal | None:
        self._is_whole = True
        try:
            async with asyncio.timeout(self._server.bounds.wait_s):
                # A place only for a whole body: a sender who drips bytes holds no thread.
                await self._server.places.acquire()
        except TimeoutError:
            return _Refusal(503, "Too many pages are asked for at once. Try again in a minute.")
        self._has_place = True
        return None

    def _too_large(self) -> _Refusal:
        return _Refusal(413, f"This is too large. At most {self._server.bounds.body_bytes >> 20} MB at once.")


async def _refuse(send: Send, refusal: _Refusal) -> None:
    words = f"{refusal.words}\n".encode()
    headers = {
        b"content-type": b"text/plain; charset=utf-8",
        b"content-length": str(len(words)).encode(),
        b"x-content-type-options": b"nosniff",
        b"cache-control": b"no-store",
        b"connection": b"close",  # the desk reads no more of the body
    }
    await send({"type": "http.response.start", "status": refusal.status, "headers": list(headers.items())})
    await send({"type": "http.response.body", "body": words})


class HeadLimit(H11Protocol):
    """A connection that ends if no whole head of a request comes in `HEAD_S`. uvicorn alone waits without end."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:  # a head is whole
            self._stop_waiting()

    def on_response_complete(self) -> None:
        before = self.cycle
        super().on_response_complete()
        if self.cycle is before:  # else the next request was there already
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
