"""The page as one application, without a server: which route does what for which visitor, and what leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import Response

from agent.custodian.page import app as module
from agent.custodian.page.app import COOKIE, FRAME_TYPE, Application, build, routes
from agent.custodian.page.operations import ElevatedSession
from agent.custodian.page.request_guard import HEADERS, AccessLevel, AnswerBudget, Caller, Reservation
from agent.custodian.page.sessions import Session, TooManyTriesError
from agent.errors import RequestError, StorageError
from agent.ipc.control_operations import OPERATIONS
from agent.ipc.rpc import refusal
from agent.wire.control import Frame, parse_frame, write_frame

HOST = "front-door.local:8443"
SESSION = Session("a session", 0, 0, "Firefox", None)
STRANGER = Caller(None, False, True)
PAIRED = Caller(SESSION, False, True)
OWNER = Caller(SESSION, True, True)
DOCUMENTS = ("/timeline", "/requests/{id:str}")
SERVED = ("home", "pair", "install", "authority", "here", "doorbell", "manifest", "button_code", "shell")
PIECE = 64 << 10


class Page:
    """The application over operations, sessions and documents of paper.  `did`: what they were asked."""

    def __init__(self, caller: Caller = OWNER) -> None:
        self.caller = caller
        self.did: list[tuple[Any, ...]] = []
        self.answered: Frame | Exception = Frame({"ok": True, "result": {"a": 1}}, b"body")
        self.token: str | Exception = "aa"
        self.proved = ElevatedSession("bb", owner=True)
        self.sent: list[dict[str, Any]] = []
        pages: Any = SimpleNamespace(
            DOCUMENTS=DOCUMENTS,
            set_up_policy="the policy",
            static_paths=lambda: ["/static/app.js"],
            serve_static=self._document,
            **{name: self._document(name) for name in SERVED},
        )
        operations: Any = SimpleNamespace(caller=self._caller, answer=self._answer, prove=self._prove)
        sessions: Any = SimpleNamespace(pair=self._pair)
        self.application = Application(operations, sessions, pages, lambda *what: self.did.append(("knows", *what)))

    def _document(self, name: str) -> Any:
        async def serve(_request: Any, caller: Caller) -> Response:
            return Response(f"{name} for {'one' if caller.session else 'no'} session")

        return serve

    def _caller(self, token: str | None) -> Caller:
        self.did.append(("caller", token))
        return self.caller

    def _answer(self, name: str, frame: Frame, caller: Caller) -> Frame:
        self.did.append(("answer", name, frame, caller))
        if isinstance(self.answered, Exception):
            raise self.answered
        return self.answered

    def _prove(self, frame: Frame, caller: Caller, origin: str) -> ElevatedSession:
        self.did.append(("prove", frame, caller, origin))
        return self.proved

    def _pair(self, *what: str) -> str:
        self.did.append(("pair", *what))
        if isinstance(self.token, Exception):
            raise self.token
        return self.token

    def ask(
        self, method: str, path: str, *pieces: bytes, client: tuple[str, int] | None = ("10.0.0.2", 5), **headers: str
    ) -> Response:
        """The answer.  `sent` has its messages, and `left` how many pieces were not read."""
        named = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if method == "POST":
            named = {"origin": f"https://{HOST}", "content-type": FRAME_TYPE, **named}
        coming: list[dict[str, Any]] = [{"type": "http.request", "body": each, "more_body": True} for each in pieces]
        if coming:
            coming[-1]["more_body"] = False
        self.sent = []

        async def receive() -> dict[str, Any]:
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "scheme": "https",
            "query_string": b"", "client": client, "server": ("10.0.0.1", 8443), "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "state": {"connection": "a connection"},
        }  # fmt: skip
        asyncio.run(build(self.application, lambda: frozenset({HOST}))(scope, receive, send))  # type: ignore[arg-type]
        self.left = len(coming)
        start, *bodies = self.sent
        found = Response(b"".join(each["body"] for each in bodies), start["status"])
        found.raw_headers = start["headers"]
        return found

    def op(self, name: str, head: dict[str, Any] | None = None, body: bytes = b"", **headers: str) -> Response:
        return self.ask("POST", f"/api/{name}", write_frame(Frame(head or {}, body)), **headers)


def own_headers(answer: Response) -> dict[str, str]:
    """Those that are not on every answer."""
    return {name: value for name, value in answer.headers.items() if name not in HEADERS}


def framed(frame: Frame) -> dict[str, str]:
    return {"content-length": str(len(write_frame(frame))), "content-type": FRAME_TYPE, "cache-control": "no-store"}


def cookie(token: str) -> str:
    return f"{COOKIE}={token}; HttpOnly; Max-Age=7776000; Path=/; SameSite=strict; Secure"


def test_every_route_has_one_method_one_level_and_a_bound_for_its_body() -> None:
    found = [(each.method, each.path, each.access.name, each.body_bytes) for each in routes(Page().application)]
    public = (
        "/", "/pair", "/install", "/authority.crt", "/here", "/set-up/doorbell", "/manifest.webmanifest",
        "/button-code",
    )  # fmt: skip
    assert found == [
        ("GET", "/static/app.js", "ANYONE", 0),
        *(("GET", path, "ANYONE", 0) for path in public),
        ("POST", "/pair", "ANYONE", 1024),
        *(("GET", path, "PAIRED", 0) for path in DOCUMENTS),
        *(
            ("POST", f"/api/{name}", each.access.name, each.body_bytes)
            for name, each in OPERATIONS.items()
            if each.access is not None
        ),
    ]


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/static/app.js", "/static/app.js"), ("/", "home"), ("/pair", "pair"), ("/install", "install"),
        ("/authority.crt", "authority"), ("/here", "here"), ("/set-up/doorbell", "doorbell"),
        ("/manifest.webmanifest", "manifest"), ("/button-code", "button_code"), ("/timeline", "shell"),
        ("/requests/7", "shell"),
    ],
)  # fmt: skip
def test_each_address_gives_its_own_document(path: str, served: str) -> None:
    page = Page()
    answer = page.ask("GET", path, cookie=f"{COOKIE}=7")
    assert (answer.status_code, bytes(answer.body).decode()) == (200, f"{served} for one session")
    assert page.did == [("caller", "7"), ("knows", "a connection", OWNER)]


def test_an_address_with_a_slash_behind_it_is_another_one() -> None:
    for path in ("/pair/", "/timeline/", "/static/app.js/"):
        answer = Page().ask("GET", path)
        assert (answer.status_code, "location" in answer.headers) == (404, False)


def test_an_operation_is_answered_by_its_name_and_its_caller_is_noted() -> None:
    page = Page()
    answer = page.op("page_facts", {"b": 2}, cookie=f"{COOKIE}=7")
    assert answer.status_code == 200
    assert own_headers(answer) == framed(page.answered)  # type: ignore[arg-type]
    assert parse_frame(bytes(answer.body)) == page.answered
    assert page.did == [
        ("caller", "7"),
        ("knows", "a connection", OWNER),
        ("answer", "page_facts", Frame({"b": 2}), OWNER),
    ]


def test_an_answer_leaves_in_pieces_and_ends_with_none() -> None:
    page = Page()
    page.answered = Frame({"ok": True}, bytes(range(256)) * 600)
    content = write_frame(page.answered)
    answer = page.op("page_facts")
    assert answer.body == content
    assert [(each["type"], len(each["body"]), each["more_body"]) for each in page.sent[1:]] == [
        ("http.response.body", PIECE, True),
        ("http.response.body", PIECE, True),
        ("http.response.body", len(content) - 2 * PIECE, True),
        ("http.response.body", 0, False),
    ]
    assert (page.sent[0]["type"], page.sent[0]["status"]) == ("http.response.start", 200)


@pytest.mark.parametrize(("caller", "who"), [(OWNER, "a session"), (PAIRED, "a session"), (STRANGER, "")])
def test_room_is_reserved_for_what_is_announced_and_for_the_answer_until_it_has_left(
    monkeypatch: pytest.MonkeyPatch, caller: Caller, who: str
) -> None:
    noted: list[tuple[str, object, int]] = []

    class Budget(AnswerBudget):
        @asynccontextmanager
        async def reserve(self, session: str, size_bytes: int, *, owner: bool) -> AsyncIterator[Reservation]:
            assert owner is caller.owner, "guests share a part of the room"
            noted.append(("reserved", session, size_bytes))
            async with super().reserve(session, size_bytes, owner=owner) as reservation:
                yield reservation
                noted.append(("left", session, self.held_bytes))

    monkeypatch.setattr(module, "AnswerBudget", Budget)
    open_to_all = {name: replace(each, access=AccessLevel.ANYONE) for name, each in OPERATIONS.items()}
    monkeypatch.setattr(module, "OPERATIONS", open_to_all)
    page = Page(caller)
    page.answered = Frame({"ok": True}, bytes(100_000))
    length = len(write_frame(page.answered))
    assert page.op("page_hello", content_length="6").status_code == 200
    assert noted == [("reserved", who, 6 + (2 << 20)), ("left", who, length)]
    noted.clear()
    assert page.op("live", {"after": 3}).status_code == 200
    assert noted == [("reserved", who, OPERATIONS["live"].body_bytes + (5 << 20)), ("left", who, length)]


@pytest.mark.parametrize(
    ("before", "proves_owner", "after"), [(PAIRED, True, OWNER), (PAIRED, False, PAIRED), (OWNER, False, OWNER)]
)
def test_a_browser_that_proves_a_key_is_given_another_cookie_and_noted_at_once(
    before: Caller, proves_owner: bool, after: Caller
) -> None:
    page = Page(before)
    page.proved = ElevatedSession("bb", owner=proves_owner)
    answer = page.op("page_prove", {"envelope": "signed"}, cookie=f"{COOKIE}=7")
    frame = Frame({"ok": True, "result": {}})
    assert (answer.status_code, parse_frame(bytes(answer.body))) == (200, frame)
    assert own_headers(answer) == {**framed(frame), "set-cookie": cookie("bb")}
    assert page.did == [
        ("caller", "7"),
        ("knows", "a connection", before),
        ("prove", Frame({"envelope": "signed"}), before, f"https://{HOST}"),
        ("knows", "a connection", after),
    ]


def test_a_browser_that_leaves_loses_its_cookie_and_no_other_answer_touches_it() -> None:
    page = Page()
    left = page.op("page_leave")
    (forgotten,) = left.headers.getlist("set-cookie")
    assert [each for each in forgotten.split("; ") if not each.startswith("expires")] == [
        f'{COOKIE}=""', "HttpOnly", "Max-Age=0", "Path=/", "SameSite=strict", "Secure",
    ]  # fmt: skip
    assert page.did[-1] == ("answer", "page_leave", Frame({}), OWNER)
    assert "set-cookie" not in page.op("page_facts").headers


def test_a_browser_is_let_in_by_the_code_the_address_and_the_name_that_we_give_it() -> None:
    page = Page(STRANGER)
    frame = Frame({"ok": True, "result": {}})
    answer = page.ask("POST", "/pair", write_frame(Frame({"code": "ABCD"})), user_agent="Firefox/140 (X11; Linux)")
    assert (answer.status_code, parse_frame(bytes(answer.body))) == (200, frame)
    assert own_headers(answer) == {**framed(frame), "set-cookie": cookie("aa")}
    assert page.did[2:] == [("pair", "ABCD", "10.0.0.2", "Firefox, Linux")]
    page.ask("POST", "/pair", write_frame(Frame({"code": "A" * 64})), client=None)
    assert page.did[-1] == ("pair", "A" * 64, "?", "Browser")


@pytest.mark.parametrize("code", [None, 7, ["ABCD"], "A" * 65])
def test_what_is_no_code_is_refused_before_it_is_tried(code: object) -> None:
    page = Page(STRANGER)
    answer = page.ask("POST", "/pair", write_frame(Frame({"code": code})))
    assert (answer.status_code, parse_frame(bytes(answer.body))) == (
        400,
        refusal(RequestError("code: the printed code is missing.")),
    )
    assert [each[0] for each in page.did] == ["caller", "knows"]


REFUSED = "This browser has to prove first that it is an owner's."


@pytest.mark.parametrize(
    ("caller", "status", "words"), [(STRANGER, 401, "Pair first."), (PAIRED, 403, REFUSED)], ids=["stranger", "paired"]
)
def test_a_caller_below_the_level_is_told_why_and_nothing_of_the_question_is_read(
    caller: Caller, status: int, words: str
) -> None:
    page = Page(caller)
    answer = page.op("page_facts")
    frame = refusal(RequestError(words))
    assert (answer.status_code, parse_frame(bytes(answer.body)), own_headers(answer)) == (status, frame, framed(frame))
    assert (page.left, page.did) == (1, [("caller", None), ("knows", "a connection", caller)])


def test_a_stranger_who_opens_a_document_is_led_to_the_way_in() -> None:
    answer = Page(STRANGER).ask("GET", "/timeline")
    assert (answer.status_code, answer.headers["location"], answer.body) == (303, "/pair", b"")


@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        (RequestError("This is wrong.", remedy="Do it right."), 400, {}),
        (StorageError("The disk is full."), 503, {}),
        (TooManyTriesError(7), 429, {"retry-after": "7"}),
    ],
)
def test_an_error_of_an_operation_is_its_answer(error: Any, status: int, more: dict[str, str]) -> None:
    page = Page()
    page.answered = page.token = error
    frame = refusal(error)
    asked: list[Callable[[], Response]] = [
        lambda: page.op("page_facts"),
        lambda: page.ask("POST", "/pair", write_frame(Frame({"code": "ABCD"}))),
    ]
    for ask in asked:
        answer = ask()
        assert (answer.status_code, parse_frame(bytes(answer.body))) == (status, frame)
        assert own_headers(answer) == {**framed(frame), **more}


def test_a_body_is_read_up_to_its_limit_and_not_beyond() -> None:
    limit = OPERATIONS["page_facts"].body_bytes
    padding = limit - len(write_frame(Frame({})))
    page = Page()
    assert page.ask("POST", "/api/page_facts", write_frame(Frame({}, bytes(padding)))).status_code == 200
    whole = write_frame(Frame({}, bytes(padding + 1)))
    answer = page.ask("POST", "/api/page_facts", whole[:5], whole[5:], b"more", b"and more")
    assert (answer.status_code, page.left) == (400, 2)
    assert parse_frame(bytes(answer.body)) == refusal(RequestError(f"This message is larger than {limit} bytes."))
    pieces = [write_frame(Frame({"b": 2}))[start : start + 7] for start in range(0, 28, 7)]
    page.ask("POST", "/api/page_facts", *pieces)
    assert page.did[-1] == ("answer", "page_facts", Frame({"b": 2}), OWNER)


@pytest.mark.parametrize("kind", ["application/json", f"{FRAME_TYPE}; charset=utf-8", ""])
def test_a_message_of_another_kind_is_not_read(kind: str) -> None:
    page = Page()
    for path in ("/api/page_facts", "/pair"):
        answer = page.ask("POST", path, write_frame(Frame({})), content_type=kind)
        assert (answer.status_code, page.left) == (400, 1)
        assert parse_frame(bytes(answer.body)) == refusal(RequestError("This is not a message of the page."))


def test_a_client_that_goes_while_it_asks_is_answered_with_nothing() -> None:
    page = Page()
    answer = page.ask("POST", "/api/page_facts")
    assert (answer.status_code, answer.body) == (499, b"")


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge, Windows"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 OPR/120.0", "Opera, Windows"),
        ("Mozilla/5.0 (Linux; Android 15) SamsungBrowser/28.0 Chrome/130.0 Safari/537.36", "Samsung Internet, Android"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36", "Chrome, Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari, iPhone"),
        ("Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari, iPad"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1", "Safari, Mac"),
        ("curl/8.0 (Windows)", "Browser, Windows"),
        ("Firefox", "Browser"),
    ],
)
def test_a_browser_is_named_by_its_make_and_its_system(agent: str, name: str) -> None:
    assert module._browser(agent) == name
