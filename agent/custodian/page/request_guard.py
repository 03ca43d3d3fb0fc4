"""Stands before every route: only our own hosts, only our own pages, and the same headers on every answer.

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

Source: W3C Fetch Metadata; OWASP, "Cross-Site Request Forgery Prevention"; W3C Trusted Types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "HERE", "PLAIN", "SET_UP", "SET_UP_DOORBELL", "HostGuard"]

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
