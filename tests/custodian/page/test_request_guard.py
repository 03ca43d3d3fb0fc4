"""Other sites, other names and other ways in: rebinding, forgery, methods, sizes, headers, guessing over restarts."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response

from agent.custodian.page.app import COOKIE, routes
from agent.custodian.page.request_guard import HEADERS, PLAIN, SET_UP_DOORBELL, HostGuard
from agent.wire.control import Frame, write_frame
from tests.custodian.page.door import NAME, Door, a_door, cookie_of

HELLO = write_frame(Frame({}))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with a_door(tmp_path_factory.mktemp("door")) as found:
        yield found


@pytest.fixture(scope="module")
def cookie(door: Door) -> str:
    return door.pair()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "front-door.local",
        "front-door.local:1",
        "127.0.0.1",
        "localhost:{port}",
        "",
        "front-door.local.evil.example:{port}",
        None,
    ],
)
def test_a_name_that_is_not_ours_is_answered_with_nothing(door: Door, cookie: str, host: str | None) -> None:
    host = host.format(port=door.port) if host else host
    for method, path in (("GET", "/pair"), ("GET", "/authority.crt"), ("POST", "/api/page_hello")):
        answer = door.ask(method, path, HELLO if method == "POST" else b"", cookie=cookie, host=host)
        assert answer.status in (400, 421)
        assert NAME.encode() not in answer.body


def test_the_authority_is_to_be_had_without_tls_and_so_without_a_warning(door: Door) -> None:
    page = door.ask_plainly("GET", "/install")
    assert page.status == 200
    assert door.page.certificates.fingerprint in page.body.decode()
    assert b"<script" not in page.body
    assert door.page.url in page.body.decode()
    assert door.ask_plainly("GET", "/authority.crt").body == door.page.certificates.authority_der
    assert door.ask_plainly("GET", "/").headers["location"] == "/install"
    for path in PLAIN - {"/", SET_UP_DOORBELL}:
        assert door.ask_plainly("GET", path).status == 200
    assert door.ask_plainly("GET", SET_UP_DOORBELL).status == 404, "no set-up code is in use"


def test_nothing_else_is_served_or_taken_without_tls(door: Door) -> None:
    paths = {route.path for route in routes(door.page._application)} - PLAIN
    assert len(paths) > 40
    for path in sorted(paths):
        for method in ("GET", "POST"):
            answer = door.ask_plainly(method, path)
            assert answer.status == 403, path
            assert "location" not in answer.headers, "a redirect would lead to a warning"
    assert door.ask_plainly("POST", "/install").status == 403
    for host in ("evil.example", f"evil.example:{door.port}", "127.0.0.1"):
        assert door.ask_plainly("GET", "/install", host).status == 421


def test_its_name_and_its_address_are_ours(door: Door) -> None:
    for host in (door.host, door.host.upper(), f"127.0.0.1:{door.port}"):
        assert door.ask("GET", "/pair", host=host).status == 200


@pytest.mark.parametrize(
    "origin",
    [None, "null", "https://evil.example", "http://{host}", "https://{host}.evil.example", "https://127.0.0.1:{port}"],
)
def test_a_post_from_another_origin_changes_nothing(door: Door, cookie: str, origin: str | None) -> None:
    origin = origin.format(host=door.host, port=door.port) if origin else origin
    for path in ("/api/page_leave", "/pair"):
        assert door.ask("POST", path, HELLO, cookie=cookie, origin=origin).status == 403
    assert door.op("page_hello", cookie).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_post_that_fetch_metadata_calls_foreign_changes_nothing(door: Door, cookie: str, site: str) -> None:
    assert door.ask("POST", "/api/page_leave", HELLO, cookie=cookie, sec_fetch_site=site).status == 403
    assert door.op("page_hello", cookie).status == 200


def test_another_site_may_link_to_a_document_and_embed_nothing(door: Door) -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert door.ask("GET", "/pair", **link).status == 200
    assert door.ask("GET", "/static/icon.svg", sec_fetch_site="none", sec_fetch_mode="no-cors").status == 200, "typed"
    assert door.ask("GET", "/static/icon.svg", sec_fetch_site="same-origin", sec_fetch_mode="no-cors").status == 200
    for path, mode, dest in (
        ("/pair", "navigate", "iframe"),
        ("/static/app.js", "no-cors", "script"),
        ("/static/icon.svg", "no-cors", "image"),
        ("/manifest.webmanifest", "cors", "manifest"),
    ):
        answer = door.ask("GET", path, sec_fetch_site="cross-site", sec_fetch_mode=mode, sec_fetch_dest=dest)
        assert answer.status == 403


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_a_form_of_another_site_could_send_is_no_message(door: Door, cookie: str, kind: str) -> None:
    assert door.ask("POST", "/api/page_hello", HELLO, cookie=cookie, content_type=kind).status == 400


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"])
def test_no_other_method_and_no_cors(door: Door, method: str) -> None:
    answer = door.ask(method, "/api/page_hello", origin="https://evil.example", access_control_request_method="POST")
    assert answer.status in (400, 405)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_get_changes_nothing(door: Door, cookie: str) -> None:
    for op in ("page_leave", "page_end", "enrol", "statement", "page_invite"):
        assert door.ask("GET", f"/api/{op}", cookie=cookie).status in (404, 405)
    assert door.op("page_hello", cookie).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/pair",
        "/static/app.js",
        "/nothing",
        "/requests",
        "/authority.crt",
        "/static/../page.sqlite",
        "/static/%2e%2e/pages.py",
    ],
)
def test_every_answer_carries_the_same_protection(door: Door, path: str) -> None:
    answer = door.ask("GET", path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers, "a replaced doorbell must be able to show its authority"
    csp = answer.headers["content-security-policy"]
    assert "unsafe" not in csp
    assert "require-trusted-types-for 'script'" in csp
    assert "default-src 'none'" in csp


def test_the_program_crosses_packed_where_the_browser_unpacks_and_is_fetched_once(door: Door) -> None:
    plain = door.ask("GET", "/static/app.js")
    packed = door.ask("GET", "/static/app.js", accept_encoding="br, gzip")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert plain.headers["etag"] != packed.headers["etag"]
    again = door.ask("GET", "/static/app.js", accept_encoding="gzip", if_none_match=packed.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    # Personal documents are never compressed.
    document = door.ask("GET", "/pair", accept_encoding="gzip")
    assert "content-encoding" not in document.headers


def test_the_cookie_is_bound_to_this_host_and_out_of_reach_of_scripts(door: Door) -> None:
    code = door.page.answer(Frame({"op": "page_code"})).head["result"]["code"]
    paired = door.ask("POST", "/pair", write_frame(Frame({"code": code})))
    attributes = paired.headers["set-cookie"].lower()
    assert attributes.startswith("__host-doorward=")
    for needed in ("secure", "httponly", "samesite=strict", "path=/"):
        assert needed in attributes
    assert "domain" not in attributes
    assert code not in paired.headers.get("location", "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        write_frame(Frame({})) + b"x",
        b"\0\0\0\x05hello\0\0\0\0",
        b"\0\0\0\x02[]\0\0\0\0",
    ],
)
def test_a_body_that_is_no_message_is_refused_in_words(door: Door, cookie: str, body: bytes) -> None:
    answer = door.ask("POST", "/api/page_hello", body, cookie=cookie)
    assert answer.status == 400
    assert answer.frame.head["ok"] is False


def test_a_body_that_is_too_large_is_not_read_to_its_end(door: Door, cookie: str) -> None:
    answer = door.ask("POST", "/api/page_hello", write_frame(Frame({}, bytes(100_000))), cookie=cookie)
    assert answer.status == 400
    assert "larger" in answer.frame.head["error"]


def test_a_strangers_browser_is_never_remembered_in_its_own_words(door: Door) -> None:
    code = door.page.answer(Frame({"op": "page_code"})).head["result"]["code"]
    door.ask(
        "POST", "/pair", write_frame(Frame({"code": code})), user_agent="<script>alert(1)</script> Firefox/140 Linux"
    )
    assert {each.browser for each in door.page._sessions.sessions()} <= {"Firefox, Linux", "Browser"}


def test_a_browser_that_leaves_is_told_to_forget_its_cookie_in_the_form_in_which_it_took_it(door: Door) -> None:
    """A browser takes a cookie with `__Host-` in its name only if it is secure, for every path and for no domain."""
    paired = door.ask("POST", "/pair", write_frame(Frame({"code": door.code()})))
    left = door.op("page_leave", cookie_of(paired))
    kept, forgotten = (SimpleCookie(each.headers["set-cookie"])[COOKIE] for each in (paired, left))
    for each in (kept, forgotten):
        assert (each["secure"], each["httponly"], each["samesite"]) == (True, True, "strict")
        assert (each["path"], each["domain"]) == ("/", "")
    assert (int(kept["max-age"]), kept.value) == (90 * 86_400, cookie_of(paired))
    assert (int(forgotten["max-age"]), forgotten.value) == (0, "")


@pytest.mark.parametrize("head", [{}, {"code": None}, {"code": 7}, {"code": ["AAAABBBCCC"]}])
def test_a_browser_that_sends_no_code_is_told_so(door: Door, head: dict[str, object]) -> None:
    answer = door.ask("POST", "/pair", write_frame(Frame(head)))
    assert (answer.status, "code is missing" in answer.frame.head["error"]) == (400, True)


def test_a_code_may_be_typed_with_anything_between_its_digits_up_to_sixty_four_characters(door: Door) -> None:
    padded = door.code() + " " * 64
    assert door.ask("POST", "/pair", write_frame(Frame({"code": padded[:65]}))).status == 400
    assert door.ask("POST", "/pair", write_frame(Frame({"code": padded[:64]}))).status == 200


def test_an_address_with_a_slash_behind_it_is_no_address_of_the_page(door: Door) -> None:
    """A redirection would repeat what the caller names as the host."""
    for path in ("/pair/", "/install/"):
        answer = door.ask("GET", path)
        assert (answer.status, answer.headers.get("location")) == (404, None), path


def test_a_guesser_is_slowed_down_over_restarts_and_lets_others_in(tmp_path: Path) -> None:
    guess = write_frame(Frame({"code": "0000-000-000"}))
    statuses = []
    for _ in range(3):
        with a_door(tmp_path) as door:
            # The clock stands still, so that a slow machine does not wait the guesser's time for them.
            door.page._sessions._now_s = lambda: 1_800_000_000
            door.code()  # while there is none, there is nothing to guess
            # A guesser may name any address as the one that it calls for.
            statuses += [door.ask("POST", "/pair", guess, x_forwarded_for=f"10.0.0.{n}").status for n in range(3)]
            last = door.ask("POST", "/pair", guess)
            door.address = "127.0.0.2"
            of_another = [door.ask("POST", "/pair", guess).status for _ in range(3)]
            assert door.pair()
    assert statuses[:3] == [400] * 3
    assert statuses[6:] == [429] * 3
    assert of_another == [400] * 3, "each address waits for its own failures only"
    assert int(last.headers["retry-after"]) >= 1


def test_the_page_is_off_unless_it_is_configured(tmp_path: Path) -> None:
    from agent.config import load
    from agent.solo import Solo

    with a_door(tmp_path) as door:
        text = (tmp_path / "doorward.toml").read_text()
        assert door.solo.page is not None
    (tmp_path / "doorward.toml").write_text(text.partition("[page]")[0])
    solo = Solo(load(tmp_path / "doorward.toml"))
    try:
        assert solo.page is None
    finally:
        solo.close()


BACK_DOOR = "https://back-door.local:8443"


def test_a_doorbells_page_on_this_network_learns_that_this_one_is_on_and_nothing_else(door: Door) -> None:
    answer = door.ask("GET", "/here", origin=BACK_DOOR, sec_fetch_site="cross-site", sec_fetch_mode="cors")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == BACK_DOOR
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "access-control-allow-credentials" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert door.ask("GET", "/here", sec_fetch_site="same-origin").status == 204


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "http://back-door.local", "https://back-door.local.evil.example",
        "https://evil.example/.local", "https://.local", "https://a.b.local", "null", None,
    ],
)  # fmt: skip
def test_a_page_of_the_internet_does_not_learn_that_a_doorbell_is_here(door: Door, origin: str | None) -> None:
    answer = door.ask("GET", "/here", origin=origin, sec_fetch_site="cross-site", sec_fetch_mode="cors")
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_no_other_address_answers_another_doorbells_page(door: Door, cookie: str) -> None:
    for route in routes(door.page._application):
        if route.path in ("/here", SET_UP_DOORBELL):
            continue
        answer = door.ask(route.method, route.path, cookie=cookie, origin=BACK_DOOR, sec_fetch_site="cross-site")
        assert answer.status == 403, route.path
        assert "access-control-allow-origin" not in answer.headers


def test_only_the_list_of_doorbells_may_ask_others_and_only_names_of_this_network(door: Door, cookie: str) -> None:
    policies = {path: door.ask("GET", path, cookie=cookie).headers["content-security-policy"] for path in
                ("/doorbells", "/timeline", "/settings", "/pair")}  # fmt: skip
    assert "connect-src 'self' https://*.local:*;" in policies.pop("/doorbells")
    assert all("connect-src 'self';" in each for each in policies.values())


def test_only_the_service_worker_may_show_pictures_from_data_in_alerts(door: Door, cookie: str) -> None:
    policies = {path: door.ask("GET", path, cookie=cookie).headers["content-security-policy"] for path in
                ("/worker-service.js", "/timeline", "/doorbells", "/static/app.js", "/pair")}  # fmt: skip
    assert "img-src 'self' data:;" in policies.pop("/worker-service.js")
    assert all("img-src 'self' blob:;" in each for each in policies.values())


# -- without a server --------------------------------------------------------------------------------------------------

OURS = frozenset({"front-door.local:443", "front-door.local:80", "10.0.0.5:8443", "[fd00::7]:8443", "[fd00::7]:443"})
OWN = "https://front-door.local"
NOT_OURS = (421, "This is not a name of this doorbell.")
NOT_PLAIN = (403, "This is served over HTTPS only.  Install the authority first: /install")
NO_SUCH_METHOD = (405, "Only GET, HEAD and POST.")
FOREIGN = (403, "This did not come from the doorbell's own page.")
NO_DOORBELL = (403, "This did not come from a doorbell's page.")
LET_THROUGH = (200, "let through")


def guarded(
    method: str = "GET",
    path: str = "/pair",
    scheme: str = "https",
    *,
    relay: str = "",
    **headers: str | tuple[str, ...],
) -> Response:
    """The answer to a request with these headers.  A header may come several times."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = (
            {"access-control-allow-origin": "*", "cross-origin-resource-policy": "any"} if "shared" in headers else {}
        )
        await PlainTextResponse("let through", headers={"cache-control": "kept", **more})(scope, receive, send)

    async def send(message: Any) -> None:
        sent.append(message)

    named = {"host": "front-door.local", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [
        (name.encode(), each.encode())
        for name, value in named.items()
        for each in ((value,) if isinstance(value, str) else value)
    ]
    guard = HostGuard(app, lambda: OURS, relay, "the file's policy")
    scope = {"type": "http", "method": method, "path": path, "scheme": scheme, "headers": raw}
    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    start, body = sent
    answer = Response(body["body"], start["status"])
    answer.raw_headers = start["headers"]
    return answer


def told(*request: Any, **headers: Any) -> tuple[int, str]:
    answer = guarded(*request, **headers)
    return answer.status_code, bytes(answer.body).decode()


@pytest.mark.parametrize(
    ("scheme", "host", "answer"),
    [
        ("https", "front-door.local", LET_THROUGH), ("https", "FRONT-door.local:443", LET_THROUGH),
        ("https", "front-door.local:80", LET_THROUGH), ("https", "10.0.0.5:8443", LET_THROUGH),
        ("https", "[fd00::7]:8443", LET_THROUGH), ("https", "[fd00::7]", LET_THROUGH),
        ("http", "front-door.local", LET_THROUGH), ("http", "[fd00::7]", NOT_OURS), ("https", "10.0.0.5", NOT_OURS),
        ("https", "front-door.local:8443", NOT_OURS), ("https", "front-door.local:", NOT_OURS),
        ("https", "[fd00::8]", NOT_OURS), ("https", "", NOT_OURS), ("https", (), NOT_OURS),
        ("https", ("front-door.local", "front-door.local"), NOT_OURS),
    ],
)  # fmt: skip
def test_a_host_is_ours_with_its_port_or_with_the_default_port_of_its_scheme(
    scheme: str, host: str | tuple[str, ...], answer: tuple[int, str]
) -> None:
    assert told("GET", "/install", scheme, host=host) == answer


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        *(("GET", path, LET_THROUGH) for path in sorted(PLAIN)),
        ("HEAD", "/install", LET_THROUGH), ("POST", "/install", NOT_PLAIN), ("GET", "/pair", NOT_PLAIN),
        ("HEAD", "/pair", NOT_PLAIN), ("PUT", "/", NOT_PLAIN),
    ],
)  # fmt: skip
def test_plain_http_serves_what_the_installation_needs(method: str, path: str, answer: tuple[int, str]) -> None:
    assert told(method, path, "http") == answer


SAME, CROSS, NONE = ({"sec_fetch_site": site} for site in ("same-origin", "cross-site", "none"))
LINK = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "answer"),
    [
        ("POST", "/pair", {"origin": OWN}, LET_THROUGH),
        ("POST", "/pair", {"origin": OWN, **SAME}, LET_THROUGH),
        ("POST", "/pair", {"origin": f"{OWN}:443", "host": "FRONT-door.local:443"}, LET_THROUGH),
        ("POST", "/pair", {"origin": OWN, "host": "front-door.local:443"}, FOREIGN),
        ("POST", "/pair", {"origin": OWN, **NONE}, FOREIGN),
        ("POST", "/pair", {"origin": OWN, **CROSS}, FOREIGN),
        ("POST", "/pair", {"origin": (OWN, OWN)}, FOREIGN),
        ("POST", "/pair", {"origin": "http://front-door.local"}, FOREIGN),
        ("POST", "/pair", {}, FOREIGN),
        ("POST", "/pair", SAME, FOREIGN),
        ("POST", "/here", {"origin": "https://other.local"}, FOREIGN),
        ("POST", "/set-up/doorbell", {}, FOREIGN),
        ("PUT", "/pair", {"origin": OWN, **SAME}, NO_SUCH_METHOD),
        ("OPTIONS", "/set-up/doorbell", {}, NO_SUCH_METHOD),
        ("GET", "/pair", {}, LET_THROUGH),
        ("HEAD", "/pair", {}, LET_THROUGH),
        ("GET", "/pair", {**CROSS, **LINK}, LET_THROUGH),
        ("GET", "/pair", SAME, LET_THROUGH),
        ("GET", "/pair", NONE, LET_THROUGH),
        ("GET", "/pair", CROSS, FOREIGN),
        ("GET", "/pair", {**CROSS, "sec_fetch_mode": "navigate"}, FOREIGN),
        ("GET", "/pair", {**CROSS, "sec_fetch_dest": "document"}, FOREIGN),
        ("GET", "/pair", {"sec_fetch_site": "same-site"}, FOREIGN),
        ("GET", "/set-up/doorbell", CROSS, LET_THROUGH),
        ("GET", "/here", {}, LET_THROUGH),
        ("GET", "/here", SAME, LET_THROUGH),
        ("GET", "/here", {**NONE, "origin": OWN}, LET_THROUGH),
        ("GET", "/here", {**CROSS, "origin": OWN}, LET_THROUGH),
        ("GET", "/here", {**CROSS, "origin": "https://a.local:65535"}, LET_THROUGH),
        ("GET", "/here", {"origin": "https://evil.example"}, NO_DOORBELL),
        ("GET", "/here", {**CROSS, "origin": "https://evil.example"}, NO_DOORBELL),
        ("GET", "/here", {**CROSS, **LINK}, NO_DOORBELL),
        ("GET", "/here", {"host": "10.0.0.5:8443", **SAME, "origin": "https://10.0.0.5:8443"}, LET_THROUGH),
        ("GET", "/here", {"host": "10.0.0.5:8443", **CROSS, "origin": "https://10.0.0.5:8443"}, NO_DOORBELL),
    ],
)
def test_each_request_is_let_through_or_refused_by_where_it_came_from(
    method: str, path: str, headers: dict[str, Any], answer: tuple[int, str]
) -> None:
    assert told(method, path, **headers) == answer


def test_every_answer_has_the_same_headers_and_what_others_may_read_says_so() -> None:
    policy = HEADERS["content-security-policy"]
    plain = {"content-length": "11", "content-type": "text/plain; charset=utf-8"}
    assert dict(guarded().headers) == {**HEADERS, **plain, "cache-control": "kept"}
    shared = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "any"}
    assert dict(guarded(shared="").headers) == {**HEADERS, **plain, "cache-control": "kept", **shared}
    refused = guarded(host="evil.example")
    assert dict(refused.headers) == {**HEADERS, **plain, "content-length": "36", "cache-control": "no-store"}
    assert policy.count("connect-src 'self';") == 1


@pytest.mark.parametrize("relay", ["", "https://relay.example"])
def test_the_relay_is_named_in_each_policy_of_the_program_and_in_no_other(relay: str) -> None:
    policy = HEADERS["content-security-policy"].replace(
        "'self'; manifest", f"'self' {relay}; manifest".replace(" ;", ";")
    )
    assert ("relay.example" in policy) == bool(relay)
    found = {path: guarded(path=path, relay=relay).headers["content-security-policy"] for path in
             ("/timeline", "/doorbells", "/set-up", "/worker-service.js")}  # fmt: skip
    assert found == {
        "/timeline": policy,
        "/doorbells": policy.replace("connect-src 'self'", "connect-src 'self' https://*.local:*"),
        "/set-up": "the file's policy",
        "/worker-service.js": policy.replace("img-src 'self' blob:", "img-src 'self' data:"),
    }


def test_what_is_not_http_is_not_answered() -> None:
    def unreachable(*_: object) -> Any:
        raise AssertionError

    guard = HostGuard(unreachable, frozenset)
    asyncio.run(guard({"type": "websocket"}, unreachable, unreachable))  # type: ignore[arg-type]
    assert guard._others["/set-up"] == "default-src 'none'"
