"""The page as one ASGI application: every route with its access level, every request through the guard."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.custodian.page.documents import Pages
from agent.custodian.page.listener import CONNECTION
from agent.custodian.page.operations import PageOperations
from agent.custodian.page.request_guard import (
    HERE,
    PIECE_BYTES,
    SET_UP_DOORBELL,
    AccessLevel,
    AnswerBudget,
    Caller,
    GuardedRoute,
    HostGuard,
    Reservation,
    answer_bytes,
    require_access_levels,
)
from agent.custodian.page.sessions import SESSION_IDLE_S, Sessions, TooManyTriesError
from agent.errors import DoorwardError, InternalError, RequestError, StorageError
from agent.ipc.control_operations import OPERATIONS
from agent.ipc.rpc import refusal
from agent.wire.control import Frame, parse_frame, write_frame

__all__ = ["COOKIE", "Application", "build", "routes"]

COOKIE: Final = "__Host-doorward"
FRAME_TYPE: Final = "application/vnd.doorward.frame"
_PAIR_BODY_BYTES: Final = 1024
_BROWSERS: Final = ("Firefox", "Edg", "OPR", "SamsungBrowser", "Chrome", "Safari")
_SYSTEMS: Final = ("Android", "iPhone", "iPad", "Windows", "Macintosh", "Linux")


@dataclass(frozen=True, slots=True)
class Application:
    """Dependencies of the routes."""

    operations: PageOperations
    sessions: Sessions
    pages: Pages
    note_caller: Callable[[object, Caller], None]
    """Told who speaks over which connection (`PageListener.set_priority`)."""


def build(application: Application, hosts: Callable[[], frozenset[str]], relay: str = "") -> ASGIApp:
    """Builds the whole page, under the names of `hosts`. `relay`: the origin of the relay, if there is one. Raises
    `InternalError` if a route lacks an access level."""
    guarded = require_access_levels(routes(application))
    router = Router(routes=list(guarded), redirect_slashes=False)
    return HostGuard(router, hosts, relay, application.pages.set_up_policy)


def routes(application: Application) -> list[GuardedRoute]:
    """Every route there is."""
    pages = application.pages
    found = [
        _route(application, "GET", path, pages.serve_static(path), AccessLevel.ANYONE) for path in pages.static_paths()
    ]
    found += [
        _route(application, "GET", "/", pages.home, AccessLevel.ANYONE),
        _route(application, "GET", "/pair", pages.pair, AccessLevel.ANYONE),
        _route(application, "GET", "/install", pages.install, AccessLevel.ANYONE),
        _route(application, "GET", "/authority.crt", pages.authority, AccessLevel.ANYONE),
        _route(application, "GET", HERE, pages.here, AccessLevel.ANYONE),
        _route(application, "GET", SET_UP_DOORBELL, pages.doorbell, AccessLevel.ANYONE),
        _route(application, "GET", "/manifest.webmanifest", pages.manifest, AccessLevel.ANYONE),
        _route(application, "GET", "/button-code", pages.button_code, AccessLevel.ANYONE),
        _route(application, "POST", "/pair", _pairing(application), AccessLevel.ANYONE, _PAIR_BODY_BYTES),
    ]
    found += [_route(application, "GET", path, pages.shell, AccessLevel.PAIRED) for path in pages.DOCUMENTS]
    budget = AnswerBudget()
    for name, operation in OPERATIONS.items():
        if operation.access is not None:
            asking = _asking(application, name, operation.body_bytes, budget)
            found.append(_route(application, "POST", f"/api/{name}", asking, operation.access, operation.body_bytes))
    return found


RouteHandler = Callable[[Request, Caller], Awaitable[Response]]


def _route(
    application: Application, method: str, path: str, inner: RouteHandler, access: AccessLevel, body_bytes: int = 0
) -> GuardedRoute:
    """The route, with its access level enforced before anything of it runs."""

    async def endpoint(request: Request) -> Response:
        try:
            # In a thread: it reads SQLite, which may wait for a slow card, and the event loop serves all connections.
            caller = await run_in_threadpool(application.operations.caller, request.cookies.get(COOKIE))
            _know(application, request, caller)
            # Before the body is read, so a stranger cannot make the page hold megabytes.
            if not caller.may(access):
                return _turned_away(request, caller)
            return await inner(request, caller)
        except ClientDisconnect:
            return PlainTextResponse("", 499)
        except DoorwardError as error:
            return _refused(error)

    return GuardedRoute(method, path, endpoint, access, body_bytes=body_bytes)


def _know(application: Application, request: Request, caller: Caller) -> None:
    application.note_caller(request.scope.get("state", {}).get(CONNECTION), caller)


def _turned_away(request: Request, caller: Caller) -> Response:
    if request.method != "POST":
        return RedirectResponse("/pair", 303)
    # Two answers: a paired browser signs a challenge, and another one needs a code.
    error = RequestError("This browser has to prove first that it is an owner's." if caller.session else "Pair first.")
    return _framed(refusal(error), 403 if caller.session else 401)


class _BoundedResponse(Response):
    """A frame that leaves in pieces.  `room` is closed when the last piece has gone to the connection."""

    def __init__(self, content: bytes, room: AsyncExitStack) -> None:
        super().__init__(content, media_type=FRAME_TYPE)
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's signature)
        async with self._room:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            body = memoryview(self.body)
            for start in range(0, len(body), PIECE_BYTES):
                # Each `send` waits until the reader has taken most of what was sent before.
                piece = bytes(body[start : start + PIECE_BYTES])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _asking(application: Application, name: str, limit: int, budget: AnswerBudget) -> RouteHandler:
    async def ask(request: Request, caller: Caller) -> Response:
        who = caller.session.id if caller.session else ""
        # The room outlives this function: `pop_all` hands it to the response, which frees it with its last byte.
        async with AsyncExitStack() as room:
            wanted = _announced_bytes(request, limit) + answer_bytes(name)
            reservation = await room.enter_async_context(budget.reserve(who, wanted, owner=caller.owner))
            return await _answered(request, caller, reservation, room)

    async def _answered(request: Request, caller: Caller, reservation: Reservation, room: AsyncExitStack) -> Response:
        frame = parse_frame(await _body(request, limit))
        if name == "page_prove":
            # HostGuard has compared `Origin` with this doorbell's names, so it is present and ours.
            proved = await run_in_threadpool(application.operations.prove, frame, caller, request.headers["origin"])
            _know(application, request, replace(caller, owner=caller.owner or proved.owner))
            return _with_cookie(_framed(Frame({"ok": True, "result": {}})), proved.token)
        answer = await run_in_threadpool(application.operations.answer, name, frame, caller)
        content = write_frame(answer)
        await reservation.resize(len(content))
        response = _BoundedResponse(content, room.pop_all())
        if name == "page_leave":
            response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return response

    return ask


def _pairing(application: Application) -> RouteHandler:
    async def pair(request: Request, _caller: Caller) -> Response:
        frame = parse_frame(await _body(request, _PAIR_BODY_BYTES))
        code = frame.head.get("code")
        # A code is hashed once for each live code. A long text would cost more than its guess.
        if not isinstance(code, str) or len(code) > 64:
            raise RequestError("code: the printed code is missing.")
        address = request.client.host if request.client else "?"
        browser = _browser(request.headers.get("user-agent", ""))
        token = await run_in_threadpool(application.sessions.pair, code, address, browser)
        return _with_cookie(_framed(Frame({"ok": True, "result": {}})), token)

    return pair


def _with_cookie(response: Response, token: str) -> Response:
    # The prefix `__Host-` wants Secure, the path "/" and no domain. Then no other name of the network and no plain page
    # can set or read the cookie (RFC 6265bis, "The __Host- Prefix").
    response.set_cookie(COOKIE, token, max_age=SESSION_IDLE_S, path="/", secure=True, httponly=True, samesite="strict")
    return response


def _announced_bytes(request: Request, limit: int) -> int:
    """The length of the body as its sender announces it; the limit if it says nothing that can be true."""
    announced = request.headers.get("content-length", "")
    # `isdigit` alone lets "²" pass, on which `int` fails.
    return min(int(announced), limit) if announced.isascii() and announced.isdigit() else limit


async def _body(request: Request, limit: int) -> bytes:
    """Returns the body. Raises `RequestError` as soon as it is larger than `limit`, and leaves the rest unread."""
    if request.headers.get("content-type") != FRAME_TYPE:
        raise RequestError("This is not a message of the page.")
    body = bytearray()
    # `Content-Length` may be absent or false, so the pieces are counted.
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise RequestError(f"This message is larger than {limit} bytes.")
    return bytes(body)


def _framed(frame: Frame, status: int = 200) -> Response:
    return Response(write_frame(frame), status, media_type=FRAME_TYPE)


def _refused(error: DoorwardError) -> Response:
    if isinstance(error, TooManyTriesError):
        # RFC 6585, section 4. A person reads the wait in the remedy of the refusal.
        response = _framed(refusal(error), 429)
        response.headers["retry-after"] = str(error.wait_s)
        return response
    if isinstance(error, StorageError | InternalError):
        structlog.get_logger("page").warning("page_failed", reason=type(error).__name__)
    return _framed(refusal(error), 503 if isinstance(error, StorageError) else 400)


def _browser(agent: str) -> str:
    """Names a browser's make and system in our words. The name that a stranger sends is discarded."""
    make = next((name for name in _BROWSERS if re.search(rf"{name}/", agent)), "Browser")
    system = next((name for name in _SYSTEMS if name in agent), "")
    make = {"Edg": "Edge", "OPR": "Opera", "SamsungBrowser": "Samsung Internet"}.get(make, make)
    return f"{make}, {system.replace('Macintosh', 'Mac')}" if system else make
