"""The documents: the way in, how to install the authority, and the shell in which the program runs.

Texts stand in `texts/<language>.json`, for these templates and for the program alike. The program loads the file of
its language, `/static/texts-<language>.json`. Everything is escaped, and text of strangers is kept out of the templates
altogether.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import mimetypes
import re
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from agent.core.languages import ENGLISH, LANGUAGES
from agent.custodian.page.request_guard import Caller
from agent.errors import ConfigurationError

__all__ = ["Pages"]

_LANGUAGE_COOKIE: Final = "__Host-language"
_PACKED: Final = ("text/", "image/svg", "application/json")
_STEPS: Final = {"ios": 3, "android": 3, "windows": 2, "mac": 2, "linux": 2}
"""How many steps the texts have for each system."""
_SYSTEMS: Final = {
    "iPhone": "ios", "iPad": "ios", "Android": "android", "Windows": "windows", "Macintosh": "mac", "Linux": "linux",
}  # fmt: skip
"""Words of a browser's name, in the order of looking: an Android's name has Linux in it too."""
_NOTHING: Final = "default-src 'none'"
_POLICY: Final = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">')
_FOR_ALL: Final = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
_TYPES: Final = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml"}


class _SystemSteps(NamedTuple):
    """The steps of one system. `pointer`: the class of the style sheet that shows them for a finger or a mouse only."""

    system: str
    steps: int
    is_open: bool
    pointer: str = ""


def _parts(own: str) -> list[_SystemSteps]:
    """Returns the steps of all systems, with those of the browser's `own` system open and first."""
    parts = [_SystemSteps(system, steps, system == own) for system, steps in _STEPS.items()]
    parts.sort(key=lambda part: not part.is_open)
    if own != "mac":
        return parts
    # An iPad calls itself a Macintosh. Only its browser knows that it has a touch screen, and no Macintosh has one.
    unlike = {"ios", "mac"}
    parts = [part._replace(pointer="by-mouse") if part.system in unlike else part for part in parts]
    finger = [
        _SystemSteps("ios", _STEPS["ios"], True, "by-touch"),
        _SystemSteps("mac", _STEPS["mac"], False, "by-touch"),
    ]
    return [finger[0], *parts, finger[1]]


class Pages:
    """`authority_der`, `fingerprint`: what phones install; `name`: what owners call this doorbell.

    `urls`: of the page, and the address that offers the authority free of warnings.
    """

    DOCUMENTS: Final = (
        "/setup", "/unlock", "/requests", "/requests/{id:str}", "/timeline", "/timeline/{event:str}", "/tips",
        "/tips/{event:str}", "/live", "/history", "/settings", "/ledger", "/doorbells",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        authority_der: bytes,
        fingerprint: str,
        urls: Callable[[], tuple[str, str]],
        proof: Callable[[bytes], bytes | None] = lambda _authority: None,
        button_code: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        """`proof`: shows the phone that made the set-up code that the authority is this doorbell's. `button_code`: the
        sealed code of a long press (`ButtonCode.sealed`)."""
        self._button_code = button_code
        here = Path(str(resources.files("agent"))) / "web"
        self._name = name
        self._authority = authority_der
        self._fingerprint = fingerprint
        self._urls = urls
        self._proof = proof
        self._static = {f"/static/{path.name}": path for path in sorted((here / "static").iterdir())}
        # A service worker rules the paths below its own, so it lies at the top.  `here` is a folder: no file.
        self._static["/worker-service.js"] = self._static.pop("/static/worker-service.js", here)
        # The set-up page is one file for every place: also a memory card, or a web server (PAGE.md, "Getting in").
        self._static["/set-up"] = self._static.pop("/static/set-up.html", here)
        if not all(path.is_file() for path in self._static.values()):
            raise ConfigurationError("The page's program is missing.", remedy="Build it: make page.")
        files = {lang: here / "texts" / f"{lang}.json" for lang in LANGUAGES}
        self._static |= {f"/static/texts-{lang}.json": path for lang, path in files.items()}
        for lang in LANGUAGES.keys() - {ENGLISH}:
            self._static[f"/static/sentences-{lang}.json"] = here.parent / "sentences" / f"{lang}.json"
        self._texts = {lang: json.loads(path.read_text(encoding="utf-8")) for lang, path in files.items()}
        found = _POLICY.search(self._static["/set-up"].read_text(encoding="utf-8"))
        self.set_up_policy = f"{found[1] if found else _NOTHING}; frame-ancestors 'none'; base-uri 'none'"
        """The policy of `/set-up`: the one that the file has for itself."""
        digest = hashlib.sha256(b"".join(self._static[path].read_bytes() for path in sorted(self._static)))
        self.version = digest.hexdigest()[:12]
        """Part of the program's address, so that browsers may keep the program for good."""
        self._templates = Environment(
            loader=FileSystemLoader(here / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def static_paths(self) -> list[str]:
        return list(self._static)

    def serve_static(self, path: str) -> Callable[[Request, Caller], Awaitable[Response]]:
        file = self._static[path]
        data = file.read_bytes()
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        digest = hashlib.sha256(data).hexdigest()[:16]
        # Only what everybody may have is packed: the size of what is packed tells something of it.
        may_be_packed = kind.startswith(_PACKED)
        # Packed when a browser first asks, because a start of the page would pack the texts of all languages.
        # `mtime=0`: the same bytes at each start, as the ETag promises.
        packed = functools.cache(lambda: gzip.compress(data, mtime=0))

        async def serve(request: Request, _caller: Caller) -> Response:
            fresh = request.query_params.get("v") == self.version
            is_packed = may_be_packed and "gzip" in request.headers.get("accept-encoding", "")
            tag = f'"{digest}-gzip"' if is_packed else f'"{digest}"'
            headers = {"etag": tag, "vary": "accept-encoding"}
            # Kept for a year only under the address with this version. Without it, a browser asks with the ETag each
            # time.
            headers["cache-control"] = "public, max-age=31536000, immutable" if fresh else "no-cache"
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers=headers)
            if is_packed:
                headers["content-encoding"] = "gzip"
            return Response(packed() if is_packed else data, media_type=kind, headers=headers)

        return serve

    async def home(self, request: Request, caller: Caller) -> Response:
        if request.url.scheme == "http":
            # A person types the name without "https". The certificate is not trusted yet, so plain HTTP shows how to
            # install it.
            return RedirectResponse("/install", 303)
        return RedirectResponse("/timeline" if caller.session else "/pair", 303)

    async def pair(self, request: Request, caller: Caller) -> Response:
        return self._document(request, "pair.html", paired=caller.session is not None, install=self._urls()[1])

    async def install(self, request: Request, _caller: Caller) -> Response:
        named = request.headers.get("user-agent", "")
        own = next((system for word, system in _SYSTEMS.items() if word in named), "")
        return self._document(
            request, "install.html", fingerprint=self._fingerprint, url=self._urls()[0], parts=_parts(own)
        )

    async def authority(self, _request: Request, _caller: Caller) -> Response:
        headers = {"content-disposition": 'attachment; filename="doorward-authority.crt"'}
        return Response(self._authority, media_type="application/x-x509-ca-cert", headers=headers)

    async def shell(self, request: Request, _caller: Caller) -> Response:
        return self._document(request, "shell.html", section=request.url.path.split("/")[1])

    async def here(self, request: Request, _caller: Caller) -> Response:
        """Answers that this doorbell is on, for the list of doorbells in the page of another one."""
        origin = request.headers.get("origin")
        if origin is None:
            return Response(status_code=204)
        # HostGuard has checked that the origin is a `.local` name. Without `Vary`, a cache could give it to another
        # one.
        headers = {"access-control-allow-origin": origin, "vary": "origin"}
        return Response(status_code=204, headers=headers | {"cross-origin-resource-policy": "cross-origin"})

    async def doorbell(self, _request: Request, _caller: Caller) -> Response:
        """Tells the set-up page, wherever it was opened, who this doorbell is. Only while its code is in use."""
        proof = self._proof(self._authority)
        if proof is None:
            return Response(status_code=404, headers=_FOR_ALL)
        url, install = self._urls()
        told = {"authority": self._authority.hex(), "proof": proof.hex(), "url": url, "install": install}
        return JSONResponse(told | {"fingerprint": self._fingerprint}, headers=_FOR_ALL)

    async def button_code(self, _request: Request, _caller: Caller) -> Response:
        """Gives the code of a long press to each caller: sealed, so that an owner's key or the kit reads it alone."""
        sealed = self._button_code()
        return Response(status_code=404) if sealed is None else Response(sealed, media_type="application/octet-stream")

    async def manifest(self, request: Request, _caller: Caller) -> Response:
        texts = self._texts[self._language(request)]
        return JSONResponse(
            {
                "name": f"Doorward · {self._name}",
                "short_name": "Doorward",
                "description": texts["app.description"],
                "lang": self._language(request),
                "dir": LANGUAGES[self._language(request)].direction,
                "start_url": "/timeline",
                "scope": "/",
                "display": "standalone",
                "background_color": "#f6f5f2",
                "theme_color": "#f6f5f2",
                "icons": [
                    {"src": "/static/icon.svg", "type": "image/svg+xml", "sizes": "any", "purpose": "any"},
                    {"src": "/static/icon-192.png", "type": "image/png", "sizes": "192x192", "purpose": "any maskable"},
                    {"src": "/static/icon-512.png", "type": "image/png", "sizes": "512x512", "purpose": "any maskable"},
                ],
            },
            media_type="application/manifest+json",
        )

    def _document(self, request: Request, template: str, **values: Any) -> Response:
        language = self._language(request)
        texts = self._texts[language]
        # `__getitem__`, not `get`: a missing text must fail a test instead of showing nothing.
        html = self._templates.get_template(template).render(
            t=texts.__getitem__, lang=language, doorbell=self._name, v=self.version, languages=LANGUAGES, **values
        )
        return HTMLResponse(html, headers={"content-language": language, "vary": "cookie, accept-language"})

    def _language(self, request: Request) -> str:
        """The one chosen, or the first the browser names that we have."""
        wanted = [request.cookies.get(_LANGUAGE_COOKIE, "")]
        wanted += [
            part.split(";")[0].strip()[:2].lower() for part in request.headers.get("accept-language", "").split(",")
        ]
        return next((lang for lang in wanted if lang in LANGUAGES), ENGLISH)
