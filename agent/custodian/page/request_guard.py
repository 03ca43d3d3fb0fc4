"""Stands before every route: only our hosts and pages, callers of the route's access level, and bytes that have room.

**Hosts and pages** (`HostGuard`, which also sets the same headers on every answer)

- Over plain HTTP only the files that installing the authority needs are served (`PLAIN`): they are public and static.
- `Host` must be one of ours: a page that rebinds its own name to the doorbell's address comes with its own name.
- A request that changes something (every POST) must come from our origin: `Origin` is required and must be exactly it,
  and Fetch Metadata, if the browser sends it, must say same-origin.
- One address answers other origins, and only pages of `.local` names: `/here` is empty and says that a doorbell is on.
  Its document of the same purpose, `/doorbells`, may ask `.local` names, and has no key unlocked.
- `/set-up/doorbell` answers every page, because the set-up page may be a file on a phone. It tells only what a new
  doorbell tells each caller, and only while a code of the camera is in use (agent/custodian/camera_setup.py).
- A GET from another site may only follow a link to a document, and a GET has no effects.
- No HSTS: a replaced doorbell of the same name offers its authority at `http://NAME/install`, and HSTS would block it.
  The service worker keeps people from clicking past a warning instead (docs/decisions/0033-no-hsts.md).
- Content Security Policy with Trusted Types: inline code and foreign sources are blocked, two script addresses remain.

**Access levels** (`Caller.may` decides). The page starts only if every route has one.

    ANYONE     before any cookie: the way in, and the files that a browser fetches without one
    PAIRED     a browser that was let in with a printed code
    GLANCE     a browser that has proven its glance key, on the page or in a session of the link, or an owner
    UNCLAIMED  a paired browser while the doorbell has no owner; afterwards an owner
    OWNER      a browser that has proven, in this session, to hold an approval key of the present owners

`app` calls it for each route, and `PageOperations.answer_in_link` for each call in a session of the link. Every level
stops short of approving: an approval takes a statement signed with the approval key, from any session.

**Bytes** (`AnswerBudget`): messages and answers that the page holds at a time, over all of its connections. A browser
that was let in may open many connections, send large messages, and read large answers one byte at a time. Each call
reserves room before it reads a body or computes an answer, and keeps it until the answer has left. One session gets at
most half of the room, so it cannot keep another session waiting. A message that is larger than that goes alone.

Guests are browsers that were let in and have proven no owner's key. All of them together get half of the room, and one
of them less, so that another one can watch. An owner's large message waits for other owners only: a guest who sends a
message or reads an answer byte by byte cannot keep an approval out.

Source: W3C Fetch Metadata; OWASP, "Cross-Site Request Forgery Prevention"; W3C Trusted Types.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.page.sessions import Session
from agent.errors import InternalError, StorageError
from agent.ipc.control_operations import AccessLevel

__all__ = [
    "HEADERS",
    "HERE",
    "PIECE_BYTES",
    "PLAIN",
    "ROOM_BYTES",
    "SET_UP",
    "SET_UP_DOORBELL",
    "AccessLevel",
    "AnswerBudget",
    "Caller",
    "GuardedRoute",
    "HostGuard",
    "Reservation",
    "answer_bytes",
    "require_access_levels",
]

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of an operation. `session` is None before pairing. `owner`: the caller holds a key of a present
    owner."""

    session: Session | None
    owner: bool
    claimed: bool
    """True if the doorbell has an owner."""
    link: bool = False
    """True in a session of the link, which an owner's key or a glance key has opened."""
    key: str = ""
    """The id of that key."""
    glance: GlanceHolder | None = None
    """The browser, if it has proven a glance key: by that key, or in this session of the page."""

    def may(self, access: AccessLevel) -> bool:
        if access is AccessLevel.ANYONE:
            return True
        # A link has no cookie and no pairing: its key decides. A glance key may call what a notification needs.
        if self.link:
            return self.owner or access is AccessLevel.GLANCE
        if self.session is None:
            return False
        if access is AccessLevel.PAIRED:
            return True
        if access is AccessLevel.GLANCE and self.glance is not None:
            return True
        # From the first owner on, a printed code alone opens nothing that sets a doorbell up.
        return self.owner or (access is AccessLevel.UNCLAIMED and not self.claimed)


class GuardedRoute(Route):
    """One path, one method, one access level."""

    def __init__(self, method: str, path: str, endpoint: Endpoint, access: AccessLevel, *, body_bytes: int = 0) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.access = access
        self.method = method
        self.body_bytes = body_bytes
        """The largest body it takes."""


def require_access_levels(routes: Iterable[BaseRoute]) -> list[GuardedRoute]:
    """Returns the routes. Raises `InternalError` if one of them lacks an access level."""
    guarded = []
    for route in routes:
        if not isinstance(route, GuardedRoute) or not isinstance(route.access, AccessLevel):
            raise InternalError(
                f"The route {getattr(route, 'path', route)!r} lacks an access level: the page stays closed."
            )
        guarded.append(route)
    return guarded


ROOM_BYTES: Final = 32 << 20
"""Limit on all messages and answers together: a fifth of the memory that a doorbell's custodian may have. A message
that is larger than what is free goes beside those of guests."""
_ANSWER_BYTES: Final = 2 << 20
"""Reserved for an answer before its size is known: a list of 10 000 segments, or 4 096 entries of the ledger."""
_LARGE_ANSWERS: Final = frozenset({"live", "segment", "sound", "request"})
_LARGE_BYTES: Final = 5 << 20
"""For a large answer: some GOPs, a segment of the best cameras. A session has three at a time. A larger answer counts
with its length when it is known."""
PIECE_BYTES: Final = 64 << 10
"""An answer leaves in pieces of this size, so that its room counts until a slow reader has taken nearly all of it."""
_PATIENCE_S: Final = 30.0


def answer_bytes(operation: str) -> int:
    """Returns what to reserve for the answer to this operation."""
    return _LARGE_BYTES if operation in _LARGE_ANSWERS else _ANSWER_BYTES


class AnswerBudget:
    """For the event loop's thread only."""

    def __init__(self, room_bytes: int = ROOM_BYTES, *, patience_s: float = _PATIENCE_S) -> None:
        self._room_bytes = room_bytes
        self._patience_s = patience_s
        self._changed = asyncio.Condition()
        self._held: Counter[str] = Counter()
        self._guests_bytes = 0
        """The part of it that guests hold."""

    @property
    def held_bytes(self) -> int:
        return self._held.total()

    @asynccontextmanager
    async def reserve(self, session: str, size_bytes: int, *, owner: bool) -> AsyncIterator[Reservation]:
        """Waits for room.  Raises `StorageError` if it takes too long.

        `owner`: the session has proven a present owner's key."""
        async with self._changed:
            try:
                # A caller that waits without end would keep its connection, and connections are bounded, too.
                async with asyncio.timeout(self._patience_s):
                    await self._changed.wait_for(lambda: self._fits(session, size_bytes, owner=owner))
            except TimeoutError:
                raise StorageError(
                    "The doorbell still sends this browser earlier answers.", remedy="Try again in a minute."
                ) from None
            self._held[session] += size_bytes
            self._guests_bytes += 0 if owner else size_bytes
        reservation = Reservation(self, session, size_bytes, owner=owner)
        try:
            yield reservation
        finally:
            # By the size of now: `resize` may have changed it.
            await self._change(session, -reservation.size_bytes, owner=owner)

    def _fits(self, session: str, size_bytes: int, *, owner: bool) -> bool:
        own_bytes, room_bytes = self._held[session], self._room_bytes
        after_bytes, guests_bytes = self.held_bytes + size_bytes, room_bytes // 2
        if not owner:
            is_within = self._guests_bytes + size_bytes <= guests_bytes
            is_within = is_within and (not own_bytes or own_bytes + size_bytes <= guests_bytes * 5 // 8)
            return not self.held_bytes or (is_within and after_bytes <= room_bytes)
        # A guest's answer that has turned out larger takes none of the owners' half.
        after_bytes -= max(0, self._guests_bytes - guests_bytes)
        if not own_bytes:
            # Alone of its session: it may take all the room, or more than that if no other owner holds any.
            return self.held_bytes == self._guests_bytes or after_bytes <= room_bytes
        return own_bytes + size_bytes <= room_bytes // 2 and after_bytes <= room_bytes

    async def _change(self, session: str, by_bytes: int, *, owner: bool) -> None:
        async with self._changed:
            self._held[session] += by_bytes
            self._guests_bytes += 0 if owner else by_bytes
            # Otherwise the counter would keep a row for each session that ever asked.
            if not self._held[session]:
                del self._held[session]
            self._changed.notify_all()


class Reservation:
    """The room of one call."""

    def __init__(self, budget: AnswerBudget, session: str, size_bytes: int, *, owner: bool) -> None:
        self._budget = budget
        self._session = session
        self._owner = owner
        self.size_bytes = size_bytes

    async def resize(self, size_bytes: int) -> None:
        """The answer is computed, so its size is known and counts, whether or not there is room for it."""
        by_bytes, self.size_bytes = size_bytes - self.size_bytes, size_bytes
        await self._budget._change(self._session, by_bytes, owner=self._owner)


_CSP: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "font-src 'none'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types doorward",
    )
)
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "origin-agent-cluster": "?1",
    # The microphone is for talking to a visitor. The browser still asks its user.
    "permissions-policy": "camera=(), microphone=(self), geolocation=(self), usb=(), payment=(), display-capture=()",
}


HERE: Final = "/here"
SET_UP: Final = "/set-up"
"""One file with its program inside, so its policy comes from the file (`Pages.set_up_policy`)."""
SET_UP_DOORBELL: Final = "/set-up/doorbell"
_LIST: Final = "/doorbells"
_SERVICE_WORKER: Final = "/worker-service.js"
"""It shows the pictures of alerts, which it has opened. It cannot make `blob:` addresses, so they are `data:`."""
_LOCAL_ORIGIN: Final = re.compile(r"https://[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.local(:[0-9]{1,5})?")

PLAIN: Final = frozenset(
    {
        *("/", "/install", "/authority.crt", SET_UP, SET_UP_DOORBELL),
        *("/static/page.css", "/static/icon.svg", "/static/icon-192.png"),
    }
)
"""Served over plain HTTP."""
_PORTS: Final = {"http": 80, "https": 443}


class HostGuard:
    """`hosts`: the values of `Host` that are ours now, lower case, each with its port. `relay`: the origin that the
    page may connect to besides its own, or nothing."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: Callable[[], frozenset[str]],
        relay: str = "",
        set_up_policy: str = "default-src 'none'",
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._csp = _connecting_to(_CSP, relay)
        self._others = {
            _LIST: _connecting_to(self._csp, "https://*.local:*"),
            SET_UP: set_up_policy,
            _SERVICE_WORKER: self._csp.replace("img-src 'self' blob:", "img-src 'self' data:"),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # No WebSocket and no lifespan: the page has neither, so neither can pass the guard by.
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope, Headers(scope=scope))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # An answer that other origins may read must not carry the header that forbids it to them.
                shared = headers.get("access-control-allow-origin") is not None
                for name, value in HEADERS.items():
                    if not (shared and name == "cross-origin-resource-policy"):
                        headers[name] = value
                headers["content-security-policy"] = self._others.get(scope["path"], self._csp)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        app = self._app if refusal is None else PlainTextResponse(refusal[1], refusal[0])
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        hosts, method = headers.getlist("host"), scope["method"]
        # Two `Host` lines are read differently by different programs (RFC 9112, 3.2). DNS rebinding comes with a
        # foreign name.
        if len(hosts) != 1 or _with_port(hosts[0].lower(), scope["scheme"]) not in self._hosts():
            return 421, "This is not a name of this doorbell."
        if scope["scheme"] != "https" and (method not in ("GET", "HEAD") or scope["path"] not in PLAIN):
            # A refusal instead of a redirect: a browser that does not trust the certificate yet would meet a warning
            # there.
            return 403, "This is served over HTTPS only.  Install the authority first: /install"
        if method not in ("GET", "HEAD", "POST"):
            return 405, "Only GET, HEAD and POST."
        site = headers.get("sec-fetch-site")
        if method == "POST":
            # Every browser sends `Origin` with a POST, so a request without it comes from no page and is refused.
            if headers.getlist("origin") != [f"https://{hosts[0].lower()}"] or site not in (None, "same-origin"):
                return 403, "This did not come from the doorbell's own page."
        elif scope["path"] == HERE:
            return self._refusal_of_here(headers, f"https://{hosts[0].lower()}")
        elif scope["path"] == SET_UP_DOORBELL:
            return None
        elif site not in (None, "same-origin", "none"):
            # Otherwise another site could load answers of GET as pictures or scripts and time them.
            follows_a_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            if not follows_a_link:
                return 403, "This did not come from the doorbell's own page."
        return None

    def _refusal_of_here(self, headers: Headers, own: str) -> tuple[int, str] | None:
        """A page of another origin must have a name of the local network, and must ask with CORS, which names it."""
        origin = headers.get("origin")
        is_own = headers.get("sec-fetch-site") in (None, "same-origin", "none") and origin in (None, own)
        if is_own or (origin is not None and _LOCAL_ORIGIN.fullmatch(origin)):
            return None
        return 403, "This did not come from a doorbell's page."


def _connecting_to(policy: str, origin: str) -> str:
    return policy.replace("connect-src 'self'", f"connect-src 'self' {origin}") if origin else policy


def _with_port(host: str, scheme: str) -> str:
    """Browsers leave out a scheme's default port."""
    has_port = host.rpartition(":")[2].isdigit() and not host.endswith("]")
    return host if has_port else f"{host}:{_PORTS[scheme]}"
