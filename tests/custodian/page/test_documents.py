"""A browser is given the program, its pages and their language before it asks the doorbell for anything."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import UndefinedError
from starlette.requests import Request
from starlette.responses import Response

from agent.core.languages import ENGLISH, LANGUAGES
from agent.custodian.page import documents as module
from agent.custodian.page.documents import Pages
from agent.custodian.page.request_guard import Caller
from agent.custodian.page.sessions import Session
from agent.errors import ConfigurationError
from tests.web.agents import AGENTS

STRANGER = Caller(None, False, True)
PAIRED = Caller(Session("id", 0, 0, "Firefox", None), False, True)
STATIC = Path(module.__file__).resolve().parents[2] / "web" / "static"


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages("Front door", b"the authority", "AA:BB", lambda: ("https://door.local/", "http://10.0.0.5/install"))


def asked(path: str = "/", query: str = "", scheme: str = "https", **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    server = ("door.local", 8443)
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "scheme": scheme}
    return Request({**scope, "headers": named, "server": server})


def answer(serve: Callable[[Request, Caller], Awaitable[Response]], request: Request, caller: Caller = STRANGER) -> Any:
    return asyncio.run(serve(request, caller))  # type: ignore[arg-type]


def test_a_file_of_this_program_is_kept_for_good_and_of_another_only_while_it_is_the_same(pages: Pages) -> None:
    data = (STATIC / "icon.svg").read_bytes()
    serve = pages.serve_static("/static/icon.svg")
    plain = answer(serve, asked())
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    assert (plain.status_code, plain.body, plain.media_type) == (200, data, "image/svg+xml")
    assert (plain.headers["etag"], plain.headers["vary"]) == (tag, "accept-encoding")
    assert plain.headers["cache-control"] == "no-cache"
    assert "content-encoding" not in plain.headers
    lasting = answer(serve, asked(query=f"v={pages.version}"))
    assert lasting.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer(serve, asked(query="v=older")).headers["cache-control"] == "no-cache"
    same = answer(serve, asked(if_none_match=tag))
    assert (same.status_code, same.body, same.headers["etag"]) == (304, b"", tag)
    assert answer(serve, asked(if_none_match='"other"')).status_code == 200


def test_a_text_is_packed_for_a_browser_that_takes_it_and_a_picture_never(pages: Pages) -> None:
    serve = pages.serve_static("/static/icon.svg")
    packed = answer(serve, asked(accept_encoding="br, gzip"))
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == (STATIC / "icon.svg").read_bytes()
    tag = answer(serve, asked()).headers["etag"]
    assert packed.headers["etag"] == f'{tag[:-1]}-gzip"'
    assert answer(serve, asked(accept_encoding="gzip", if_none_match=tag)).status_code == 200
    picture = answer(pages.serve_static("/static/icon-192.png"), asked(accept_encoding="gzip"))
    assert picture.body == (STATIC / "icon-192.png").read_bytes()
    assert picture.media_type == "image/png"
    assert "content-encoding" not in picture.headers


def test_the_service_worker_lies_at_the_top_and_nowhere_else(pages: Pages) -> None:
    paths = pages.static_paths()
    assert "/worker-service.js" in paths
    assert "/static/worker-service.js" not in paths
    worker = answer(pages.serve_static("/worker-service.js"), asked())
    assert worker.body == (STATIC / "worker-service.js").read_bytes()
    assert "javascript" in worker.media_type


def test_the_version_of_the_program_is_a_hash_of_all_of_it(pages: Pages) -> None:
    files = {f"/static/{path.name}": path for path in STATIC.iterdir()}
    files["/worker-service.js"] = files.pop("/static/worker-service.js")
    files["/set-up"] = files.pop("/static/set-up.html")
    for language in LANGUAGES:
        files[f"/static/texts-{language}.json"] = STATIC.parent / "texts" / f"{language}.json"
        if language != ENGLISH:
            files[f"/static/sentences-{language}.json"] = STATIC.parents[1] / "sentences" / f"{language}.json"
    all_of_it = b"".join(files[path].read_bytes() for path in sorted(files))
    assert pages.version == hashlib.sha256(all_of_it).hexdigest()[:12]


def test_without_its_program_the_page_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: path.name != "worker-service.js" and is_file(path))
    with pytest.raises(ConfigurationError, match="program is missing") as refused:
        Pages("Front door", b"", "", lambda: ("", ""))
    assert refused.value.remedy == "Build it: make page."


@pytest.mark.parametrize("name", ["worker-service.js", "set-up.html"])
def test_a_part_of_the_program_that_is_not_in_its_folder_is_missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: (each for each in iterdir(path) if each.name != name))
    with pytest.raises(ConfigurationError, match="program is missing"):
        Pages("Front door", b"", "", lambda: ("", ""))


@pytest.mark.parametrize(
    ("scheme", "caller", "where"),
    [("http", STRANGER, "/install"), ("http", PAIRED, "/install"), ("https", STRANGER, "/pair"),
     ("https", PAIRED, "/timeline")],
)  # fmt: skip
def test_the_first_page_leads_each_caller_to_the_next_step(
    pages: Pages, scheme: str, caller: Caller, where: str
) -> None:
    response = answer(pages.home, asked(scheme=scheme), caller)
    assert (response.status_code, response.headers["location"]) == (303, where)


def test_a_phone_is_given_the_authority_as_a_file_to_install(pages: Pages) -> None:
    response = answer(pages.authority, asked())
    assert (response.body, response.media_type) == (b"the authority", "application/x-x509-ca-cert")
    assert response.headers["content-disposition"] == 'attachment; filename="doorward-authority.crt"'


def test_the_pages_name_the_doorbell_the_addresses_and_the_fingerprint(pages: Pages) -> None:
    install, pair = answer(pages.install, asked("/install")), answer(pages.pair, asked("/pair"))
    assert b"AA:BB" in install.body
    assert b"https://door.local/" in install.body
    assert b"http://10.0.0.5/install" in pair.body
    assert b"Front door" in pair.body
    assert answer(pages.pair, asked("/pair"), PAIRED).body != pair.body
    shell = answer(pages.shell, asked("/timeline/some-event"), PAIRED)
    assert b"timeline" in shell.body
    assert b"some-event" not in shell.body
    assert f"v={pages.version}".encode() in shell.body


@pytest.mark.parametrize("name", AGENTS)
def test_a_browser_is_shown_the_steps_of_its_own_system_and_those_of_others_are_folded(pages: Pages, name: str) -> None:
    agent, touch_points, own = AGENTS[name]
    html = answer(pages.install, asked("/install", user_agent=agent, accept_language="en")).body.decode()
    found = re.findall(r'<details class="card ?(.*?)"( open)?><summary>(.*?)</summary>(.*?)</details>', html, re.DOTALL)
    # An iPad and a Macintosh get the same document, and the style sheet shows each its part.
    hidden = "by-mouse" if touch_points else "by-touch"
    parts = [part for pointer, *part in found if pointer != hidden]
    texts = json.loads((STATIC.parent / "texts" / "en.json").read_text())
    assert [(is_open, title) for is_open, title, _ in parts if is_open] == [(" open", texts[f"install.{own}"])]
    assert parts[0][1] == texts[f"install.{own}"], "and they come first"
    assert len(parts) == len(module._STEPS)
    assert {title: steps.count("<li>") for _, title, steps in parts} == {
        texts[f"install.{system}"]: count for system, count in module._STEPS.items()
    }


def test_each_system_has_all_the_steps_of_its_texts_in_each_language() -> None:
    for language in LANGUAGES:
        texts = json.loads((STATIC.parent / "texts" / f"{language}.json").read_text())
        found = re.findall(r"install\.(ios|android|windows|mac|linux)\.\d", " ".join(texts))
        assert {system: found.count(system) for system in module._STEPS} == module._STEPS, language


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        ("", "", "en"),
        ("", "es-MX,en;q=0.9", "es"),
        ("", "it, ES ;q=0.8, en", "es"),
        ("", "pt", "en"),
        ("lang=es", "en", "es"),
        ("lang=xx", "es", "es"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_first_that_we_have(
    pages: Pages, cookie: str, accepted: str, language: str
) -> None:
    name = module._LANGUAGE_COOKIE
    headers = {"accept_language": accepted, **({"cookie": cookie.replace("lang", name, 1)} if cookie else {})}
    response = answer(pages.pair, asked("/pair", **headers))
    assert response.headers["content-language"] == language
    assert response.headers["vary"] == "cookie, accept-language"
    assert f'lang="{language}"'.encode() in response.body
    manifest = json.loads(answer(pages.manifest, asked(**headers)).body)
    assert manifest["lang"] == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_says_that_it_waits_for_the_doorbell_and_what_to_do_before_its_program_runs(
    pages: Pages, language: str
) -> None:
    texts = json.loads((STATIC.parent / "texts" / f"{language}.json").read_text(encoding="utf-8"))
    for serve, path in ((pages.shell, "/timeline"), (pages.pair, "/pair")):
        page = unescape(answer(serve, asked(path, accept_language=language)).body.decode())
        found = re.search(r'<div class="\w+ progress" role="status" aria-live="polite">(.*?)</div>', page)
        assert found
        assert re.findall(r">([^<]+)</(?:h1|p)>", found[1]) == [texts["progress"], texts["progress.late"]]


def test_the_app_is_installed_under_the_doorbells_name(pages: Pages) -> None:
    response = answer(pages.manifest, asked(accept_language="en"))
    assert response.media_type == "application/manifest+json"
    texts = json.loads((STATIC.parent / "texts" / "en.json").read_text())
    manifest = json.loads(response.body)
    icons = manifest.pop("icons")
    assert manifest == {
        "name": "Doorward · Front door", "short_name": "Doorward", "description": texts["app.description"],
        "lang": "en", "dir": "ltr", "start_url": "/timeline", "scope": "/", "display": "standalone",
        "background_color": "#f6f5f2", "theme_color": "#f6f5f2",
    }  # fmt: skip
    served = pages.static_paths()
    assert [(each["src"] in served, each["type"], each["sizes"], each["purpose"]) for each in icons] == [
        (True, "image/svg+xml", "any", "any"),
        (True, "image/png", "192x192", "any maskable"),
        (True, "image/png", "512x512", "any maskable"),
    ]


def test_the_set_up_page_is_served_with_the_policy_that_the_file_has(pages: Pages) -> None:
    served = answer(pages.serve_static("/set-up"), asked("/set-up"))
    assert served.media_type == "text/html"
    assert f'content="{pages.set_up_policy.partition("; frame-ancestors")[0]}"'.encode() in served.body
    assert "unsafe" not in pages.set_up_policy
    assert "frame-ancestors 'none'" in pages.set_up_policy
    assert "/static/set-up.html" not in pages.static_paths()


def test_only_a_code_that_is_in_use_makes_the_doorbell_tell_who_it_is() -> None:
    proofs: list[bytes | None] = [None, b"proof"]
    urls = ("https://door.local/", "http://10.0.0.5/install")
    telling = Pages("door", b"the authority", "AA:BB", lambda: urls, lambda _der: proofs.pop(0))
    silent = answer(telling.doorbell, asked("/set-up/doorbell"))
    assert (silent.status_code, silent.body) == (404, b"")
    told = answer(telling.doorbell, asked("/set-up/doorbell"))
    assert told.headers["access-control-allow-origin"] == "*"
    assert json.loads(told.body) == {
        "authority": b"the authority".hex(), "proof": b"proof".hex(), "url": urls[0], "install": urls[1],
        "fingerprint": "AA:BB",
    }  # fmt: skip


def test_a_browser_without_a_name_is_shown_the_steps_of_all_systems_folded(pages: Pages) -> None:
    html = answer(pages.install, asked("/install")).body.decode()
    assert re.findall(r"<details[^>]*>", html) == ['<details class="card">'] * len(module._STEPS)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/static/app.js", "text/javascript"), ("/worker-service.js", "text/javascript"), ("/set-up", "text/html"),
        ("/static/page.css", "text/css"), ("/static/icon.svg", "image/svg+xml"), ("/static/icon-192.png", "image/png"),
        ("/static/texts-nl.json", "application/json"), ("/static/sentences-nl.json", "application/json"),
    ],
)  # fmt: skip
def test_each_file_is_served_with_its_own_type(pages: Pages, path: str, kind: str) -> None:
    assert answer(pages.serve_static(path), asked(path)).media_type == kind


def test_a_file_of_a_kind_that_is_unknown_is_bytes_to_a_browser(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.unheard-of").write_bytes(b"bytes")
    monkeypatch.setattr(pages, "_static", {"/static/a": tmp_path / "a.unheard-of"})
    found = answer(pages.serve_static("/static/a"), asked(accept_encoding="gzip"))
    assert (found.media_type, found.body) == ("application/octet-stream", b"bytes")


def test_a_file_is_packed_once_and_always_to_the_same_bytes(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[tuple[bytes, int]] = []

    def pack(data: bytes, *, mtime: int) -> bytes:
        packed.append((data, mtime))
        return b"packed"

    monkeypatch.setattr(module, "gzip", SimpleNamespace(compress=pack))
    data = (STATIC / "icon.svg").read_bytes()
    serve = pages.serve_static("/static/icon.svg")
    answer(serve, asked())
    assert packed == [], "until a browser asks for it"
    found = [answer(serve, asked(accept_encoding="gzip")) for _ in range(2)]
    assert ([each.body for each in found], packed) == ([b"packed"] * 2, [(data, 0)])
    headers = dict(found[0].headers)
    assert headers == {
        "etag": f'"{hashlib.sha256(data).hexdigest()[:16]}-gzip"', "vary": "accept-encoding",
        "cache-control": "no-cache", "content-encoding": "gzip", "content-type": "image/svg+xml", "content-length": "6",
    }  # fmt: skip
    same = answer(serve, asked(query=f"v={pages.version}", accept_encoding="gzip", if_none_match=headers["etag"]))
    assert (same.status_code, dict(same.headers)) == (
        304,
        {"etag": headers["etag"], "vary": "accept-encoding", "cache-control": "public, max-age=31536000, immutable"},
    )


class Templates:
    """In the place of the templates: notes the values of each."""

    def __init__(self) -> None:
        self.rendered: list[tuple[str, dict[str, Any]]] = []

    def get_template(self, name: str) -> Any:
        return SimpleNamespace(render=lambda **values: (self.rendered.append((name, values)), f"<{name}>")[1])


def test_each_document_is_made_of_its_template_and_these_values(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    templates = Templates()
    monkeypatch.setattr(pages, "_templates", templates)
    answers = [
        answer(pages.pair, asked("/pair")),
        answer(pages.pair, asked("/pair", accept_language="nl"), PAIRED),
        answer(pages.install, asked("/install", user_agent="Mozilla/5.0 (Windows NT 10.0)")),
        answer(pages.install, asked("/install")),
        answer(pages.shell, asked("/requests/7"), PAIRED),
    ]
    shared = {"lang": "en", "doorbell": "Front door", "v": pages.version, "languages": LANGUAGES}
    steps = [("windows", 2, True), ("ios", 3, False), ("android", 3, False), ("mac", 2, False), ("linux", 2, False)]
    unnamed = [("ios", 3), ("android", 3), ("windows", 2), ("mac", 2), ("linux", 2)]
    address, install = "https://door.local/", "http://10.0.0.5/install"
    texts = {lang: json.loads((STATIC.parent / "texts" / f"{lang}.json").read_text()) for lang in ("en", "nl")}
    for _, values in templates.rendered:
        assert values.pop("t")("app.description") == texts[values["lang"]]["app.description"]
    assert templates.rendered == [
        ("pair.html", {**shared, "paired": False, "install": install}),
        ("pair.html", {**shared, "paired": True, "install": install, "lang": "nl"}),
        ("install.html", {**shared, "fingerprint": "AA:BB", "url": address, "parts": [(*part, "") for part in steps]}),
        (
            "install.html",
            {**shared, "fingerprint": "AA:BB", "url": address, "parts": [(*part, False, "") for part in unnamed]},
        ),
        ("shell.html", {**shared, "section": "requests"}),
    ]
    assert [bytes(each.body).decode() for each in answers] == [f"<{name}>" for name, _ in templates.rendered]
    assert dict(answers[1].headers) == {
        "content-language": "nl", "vary": "cookie, accept-language", "content-length": "11",
        "content-type": "text/html; charset=utf-8",
    }  # fmt: skip


def test_a_template_escapes_and_knows_no_value_that_it_is_not_given(pages: Pages) -> None:
    made = pages._templates.from_string("{% if true %}\n{{ a }}{% endif %}")
    assert made.render(a="<b>") == "&lt;b&gt;"
    with pytest.raises(UndefinedError):
        made.render()


def test_the_list_of_doorbells_is_answered_with_the_origin_that_asks(pages: Pages) -> None:
    plain = answer(pages.here, asked("/here"))
    assert (plain.status_code, dict(plain.headers)) == (204, {})
    found = answer(pages.here, asked("/here", origin="https://other.local"))
    assert (found.status_code, dict(found.headers)) == (
        204,
        {
            "access-control-allow-origin": "https://other.local", "vary": "origin",
            "cross-origin-resource-policy": "cross-origin",
        },
    )  # fmt: skip


def test_each_answer_to_the_set_up_page_may_be_read_by_every_page() -> None:
    urls = ("https://door.local/", "http://10.0.0.5/install")
    for proof in (None, b"proof"):
        telling = Pages("door", b"the authority", "AA:BB", lambda: urls, lambda der, proof=proof: proof and proof + der)
        found = answer(telling.doorbell, asked("/set-up/doorbell"))
        assert found.headers["access-control-allow-origin"] == "*"
        assert found.headers["cross-origin-resource-policy"] == "cross-origin"
        assert found.status_code == (404 if proof is None else 200)
    assert json.loads(found.body)["proof"] == b"proofthe authority".hex()


def test_without_a_policy_of_its_own_the_set_up_page_may_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLICY", re.compile("never"))
    made = Pages("door", b"", "", lambda: ("", ""))
    assert made.set_up_policy == "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
    assert made._proof(b"") is None
