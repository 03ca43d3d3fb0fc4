"""The modules of the page in a browser, as they are and without a doorbell: for what a browser makes of a film."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.core.vault.redactions import Redaction
from agent.wire import strictjson
from tests.browser.browser import Browser, require_browser
from tests.browser.webkit import WebKit

__all__ = ["covered_by_page", "in_page", "in_webkit", "page_modules", "served_modules"]

_SOURCES = Path(__file__).resolve().parents[2] / "agent" / "web" / "src"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served_modules() -> Iterator[str]:
    """Yields the address of a page that can import each module by its address, for example /media/cover_film.js."""
    handler = functools.partial(_Handler, directory=str(_SOURCES))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/package.json"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def page_modules(home: Path, kind: str = "chromium") -> Iterator[Browser]:
    """Yields a browser with such a page."""
    require_browser(kind)
    with served_modules() as address, Browser(home, kind=kind, timeout_ms=120_000) as found:
        found.open("page")
        found.run("await pages.page.goto(args.address);", address=address)
        yield found


def in_page(browser: Browser, body: str, media: bytes, redactions: Sequence[Redaction], **args: Any) -> Any:
    """Returns the result of the function body in the page. Bytes are base64 there and back."""
    return browser.run(f"return pages.page.evaluate({_function(body)}, args);", **_values(media, redactions, args))


def in_webkit(phone: WebKit, body: str, media: bytes, redactions: Sequence[Redaction], **args: Any) -> Any:
    """Returns the same in WebKit."""
    phone.script(
        f"""window.made = "";
        ({_function(body)})(args[0]).then((found) => (window.made = JSON.stringify(found)));""",
        _values(media, redactions, args),
    )
    return json.loads(phone.until("return window.made"))


def _function(body: str) -> str:
    return f"""async (values) => {{
      const {{ base64, unbase64 }} = await import("/wire/bytes.js");
      const {{ redactions, length }} = values;
      const media = unbase64(values.media);
      try {{ {body} }} catch (error) {{ return {{ refused: error.text ?? String(error), values: error.values }}; }}
    }}"""


def _values(media: bytes, redactions: Sequence[Redaction], args: dict[str, Any]) -> dict[str, Any]:
    return {
        "media": base64.b64encode(media).decode(),
        "redactions": [json.loads(strictjson.encode(each)) for each in redactions],
        **args,
    }


def covered_by_page(
    browser: Browser, film: bytes, redactions: Sequence[Redaction], length_ms: int, *, exact: bool = False
) -> tuple[bytes, float, float]:
    """Returns the film as the page covers it, and the seconds to make and to check it.

    An exact film is compared with the recorded one, too. As at the command line, that counts to making it.
    """
    made = in_page(
        browser,
        """const { coverFilm, requireCovered, requireExact } = await import("/media/cover_film.js");
           const { exact } = values;
           const lossless = exact ? await import("/media/lossless_encoder.js") : undefined;
           const begun = performance.now();
           const made = await coverFilm(media, redactions, length, lossless);
           if (exact) await requireExact(media, made, redactions);
           const checking = performance.now();
           await requireCovered(made, redactions, { exact });
           return { made: base64(made), seconds: [checking - begun, performance.now() - checking] };""",
        film,
        redactions,
        length=length_ms,
        exact=exact,
    )
    assert "made" in made, made
    making, checking = (each / 1000 for each in made["seconds"])
    return base64.b64decode(made["made"]), making, checking
