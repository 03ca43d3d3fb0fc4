"""Every route for every role, on a doorbell with and without an owner: exactly as specified here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.routing import Route

from agent.clients.owner.keys import OwnerKeys
from agent.custodian.page import operations
from agent.custodian.page.app import build, routes
from agent.custodian.page.operations import Login
from agent.custodian.page.request_guard import AccessLevel, Caller, GuardedRoute, require_access_levels
from agent.errors import InternalError
from agent.ipc.control_operations import CONTROL, OPERATIONS, PAGE
from agent.wire import envelope, strictjson
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed
from tests.custodian.page.door import Door, a_door, cookie_of

ROLES = ("stranger", "false cookie", "paired", "removed owner", "owner")

EXPECTED = {
    # level:        stranger  false   paired  removed  owner      … on a doorbell that has an owner
    AccessLevel.ANYONE: (True, True, True, True, True),
    AccessLevel.PAIRED: (False, False, True, False, True),
    AccessLevel.UNCLAIMED: (False, False, False, False, True),
    AccessLevel.OWNER: (False, False, False, False, True),
    AccessLevel.GLANCE: (False, False, False, False, True),
}
UNCLAIMED = {
    # level:        stranger  false   paired
    AccessLevel.ANYONE: (True, True, True),
    AccessLevel.PAIRED: (False, False, True),
    AccessLevel.UNCLAIMED: (False, False, True),
    AccessLevel.OWNER: (False, False, False),
    AccessLevel.GLANCE: (False, False, False),
}
SPECIFIED = {
    **{f"/api/{name}": AccessLevel.PAIRED for name in ("device", "enrolment", "enrolments", "nonce")},
    **{f"/api/{name}": AccessLevel.PAIRED for name in ("enrol_test", "enrol_confirm")},
    **{f"/api/page_{name}": AccessLevel.PAIRED for name in ("hello", "challenge", "prove", "leave", "card")},
    "/api/enrol": AccessLevel.UNCLAIMED,
    **dict.fromkeys(("/api/live", "/api/link_address"), AccessLevel.GLANCE),
    **dict.fromkeys(("/api/talk_begin", "/api/talk_send", "/api/talk_end"), AccessLevel.GLANCE),
    **{
        f"/api/{name}": AccessLevel.OWNER
        for name in (
            "status", "requests", "request", "asked", "gaps", "place",
            "bulletins", "tips", "shared", "segment", "poster", "sound",
            "list", "kept", "settings",
            "statement", "trust", "trust_changes", "trust_bundle", "update",
            "alerts_test", "push_key", "push_browsers", "push_used",
            "checkpoint", "ledger", "time_opening", "events", "page_cards", "page_invite", "page_browsers", "page_end",
            "page_facts", "page_now",
        )
    },
    **dict.fromkeys(("/setup", "/unlock", "/requests", "/requests/{id:str}",
             "/timeline", "/timeline/{event:str}", "/tips", "/tips/{event:str}", "/live",
             "/history", "/settings", "/ledger", "/doorbells"), AccessLevel.PAIRED),
    **dict.fromkeys(("/", "/pair", "/install", "/authority.crt", "/manifest.webmanifest", "/here"), AccessLevel.ANYONE),
    **dict.fromkeys(("/set-up", "/set-up/doorbell", "/button-code"), AccessLevel.ANYONE),
}  # fmt: skip


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with a_door(tmp_path_factory.mktemp("door")) as found:
        found.keeps_connection = True  # two thousand questions
        yield found


@pytest.fixture(scope="module")
def keys(door: Door) -> OwnerKeys:
    return door.claim()


def all_routes(door: Door) -> list[GuardedRoute]:
    return routes(door.page._application)


def is_let_in(door: Door, route: GuardedRoute, cookie: str | None) -> bool:
    path = route.path.replace("{id:str}", "0" * 32).replace("{event:str}", "a" * 26)
    answer = door.op(path.removeprefix("/api/"), cookie) if path.startswith("/api/") else door.ask(
        route.method, path, cookie=cookie
    )  # fmt: skip
    turned_away = answer.status in (401, 403) or (answer.status == 303 and path != "/")
    return not turned_away


def test_every_route_has_the_access_level_that_is_specified(door: Door) -> None:
    found = {(route.method, route.path): route.access for route in all_routes(door)}
    for (_method, path), level in found.items():
        expected = AccessLevel.ANYONE if path.startswith(("/static/", "/worker-service.js")) else SPECIFIED[path]
        assert level is expected, path
    assert {path for _, path in found} >= set(SPECIFIED)


def test_every_operation_of_the_control_socket_has_its_access_level_and_no_other(door: Door) -> None:
    optional = {"alerts_test", "push_key", "push_browsers", "push_used", "talk_begin", "talk_send", "talk_end"}
    from_the_page_server = {name for name, operation in CONTROL.items() if operation.access is None}
    assert from_the_page_server == {"page_code", "page_authority"}
    assert set(CONTROL) - optional - from_the_page_server == set(door.page._control._operations)
    assert not set(CONTROL) & set(PAGE)


def test_a_route_without_an_access_level_keeps_the_page_from_starting(door: Door) -> None:
    async def nothing(_request: object) -> None: ...

    with pytest.raises(InternalError, match="/forgotten"):
        require_access_levels([*all_routes(door), Route("/forgotten", nothing)])
    assert build(door.page._application, frozenset)


def test_without_an_owner_only_a_paired_browser_may_claim_and_nobody_sees_more(tmp_path: Path) -> None:
    with a_door(tmp_path) as door:
        door.keeps_connection = True
        shared = (None, secrets.token_hex(32), door.pair())
        for route in all_routes(door):
            cookies = (None, shared[1], door.pair()) if route.path == "/api/page_leave" else shared
            allowed = tuple(is_let_in(door, route, cookie) for cookie in cookies)
            assert allowed == UNCLAIMED[route.access], route.path


def cookies_by_role(door: Door, keys: OwnerKeys) -> tuple[str | None, ...]:
    removed = door.pair()
    session = door.page._sessions.session(removed)
    assert session is not None
    # An owner once, but the key is not among those in force.
    removed = door.page._sessions.elevate(session, "f" * 16)
    return (None, secrets.token_hex(32), door.pair(), removed, door.owner(keys))


def test_route_by_role(door: Door, keys: OwnerKeys) -> None:
    checked = 0
    shared = cookies_by_role(door, keys)
    for route in all_routes(door):
        # Only leaving makes a cookie useless.
        cookies = cookies_by_role(door, keys) if route.path == "/api/page_leave" else shared
        allowed = tuple(is_let_in(door, route, cookie) for cookie in cookies)
        assert allowed == EXPECTED[route.access], (route.path, dict(zip(ROLES, allowed, strict=True)))
        checked += len(cookies)
    assert checked == len(ROLES) * len(all_routes(door))


def test_route_by_role_by_object(door: Door, keys: OwnerKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller without permission gets the same answer for existing, missing and malformed objects, before any
    look-up."""
    this = door.op("page_browsers", door.owner(keys)).frame.head["result"]["browsers"][0]["id"]
    objects = ({"id": this}, {"id": "a" * 26}, {"id": "0" * 32}, {"id": "../../etc/passwd"}, {"id": None}, {})
    reached: list[str] = []
    answer = door.page._application.operations.answer

    def counted(name: str, frame: Frame, caller: Caller) -> Frame:
        reached.append(name)
        return answer(name, frame, caller)

    cookies = cookies_by_role(door, keys)[:-1]
    monkeypatch.setattr(door.page._application.operations, "answer", counted)
    checked = 0
    levels = {name: operation.access for name, operation in OPERATIONS.items() if operation.access is not None}
    for name, level in levels.items():
        for role, cookie in zip(ROLES, cookies, strict=False):
            if EXPECTED[level][ROLES.index(role)]:
                continue
            told = {(found.status, found.body) for found in (door.op(name, cookie, **each) for each in objects)}
            assert len(told) == 1, (name, role)
            checked += len(objects)
    assert reached == []
    assert checked == sum(len(objects) * EXPECTED[level][:-1].count(False) for level in levels.values())


@pytest.mark.parametrize(
    ("op", "head"),
    [
        ("segment", {"id": "a" * 26}),
        ("segment", {"id": "../../etc/passwd"}),
        ("poster", {"id": "a" * 26}),
        ("poster", {"id": 7}),
        ("sound", {"id": "a" * 26}),
        ("live", {"after": -1}),
        ("live", {"after": "x"}),
        ("request", {"id": "0" * 32}),
        ("request", {"id": None}),
        ("enrol_test", {"name": "owner-9"}),
        ("enrol_confirm", {"tokens": {}}),
        ("enrol_confirm", {"tokens": {"owner-1": "zz"}}),
        ("statement", {"envelope": "{}", "sizes": []}),
        ("statement", {"envelope": "", "sizes": [9]}),
        ("list", {"from_ms": -1, "to_ms": 5}),
        ("events", {"from_ms": "x", "to_ms": 5}),
        ("checkpoint", {"old_size": 99_999_999}),
        ("ledger", {"start": 0, "end": "all"}),
        ("page_card", {"card": ""}),
        ("page_prove", {"envelope": "nothing"}),
    ],
)
def test_an_object_that_is_not_there_or_not_one_is_refused_in_words(
    door: Door, keys: OwnerKeys, op: str, head: dict[str, object]
) -> None:
    answer = door.op(op, door.owner(keys), **head)
    assert answer.status == 400 or (answer.status == 503 and op in ("segment", "poster", "sound"))
    assert answer.frame.head["ok"] is False
    assert answer.frame.head["error"]
    assert b"Traceback" not in answer.body


def test_what_open_pages_ask_every_few_seconds_has_one_length_whatever_waits(
    door: Door, keys: OwnerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = door.owner(keys)
    answer = door.page._control.answer
    lengths = set()
    for waiting in (0, 1, 12, 345):
        listed = [{"state": "pending"}] * waiting + [{"state": "denied"}] * (7 * waiting)
        monkeypatch.setattr(
            door.page._control,
            "answer",
            lambda frame, listed=listed: (
                Frame({"ok": True, "result": {"requests": listed}}) if frame.head["op"] == "requests" else answer(frame)
            ),
        )
        told = door.op("page_now", cookie)
        assert int(told.frame.head["result"]["waiting"]) == waiting
        lengths.add((len(told.body), len(str(sorted(told.headers.items())))))
    assert len(lengths) == 1


def test_one_owners_browser_can_be_shut_out_by_another(door: Door, keys: OwnerKeys) -> None:
    first, second = door.owner(keys), door.owner(keys)
    listed = door.op("page_browsers", first).frame.head["result"]["browsers"]
    this = next(
        each["id"] for each in door.op("page_browsers", second).frame.head["result"]["browsers"] if each["this"]
    )
    assert this in {each["id"] for each in listed}
    assert door.op("page_end", first, id=this).frame.head["result"] == {"ended": True}
    assert door.op("page_hello", second).status == 401
    assert door.op("page_end", first, id=this).frame.head["result"] == {"ended": False}


def test_the_session_alone_approves_nothing(door: Door, keys: OwnerKeys) -> None:
    """An owner's cookie, stolen: statements count for their signature and for nothing else."""
    cookie = door.owner(keys)
    answer = door.op("statement", cookie, envelope="{}", sizes=[])
    assert answer.status == 400
    assert answer.frame.head["kind"] in ("FormatError", "OpenError")


def test_a_strangers_key_proves_nothing_and_makes_wait(
    door: Door, keys: OwnerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first wait is a second: on a busy machine it would be over before the next try.
    now_s = int(time.time())
    monkeypatch.setattr(door.page._sessions, "_now_s", lambda: now_s)
    cookie, stranger = door.pair(), private_key_from_seed(secrets.token_bytes(32))
    for _ in range(5):
        assert door.prove(cookie, stranger).status == 400
    assert door.prove(cookie, stranger).status == 429
    for _ in range(5):
        assert door.prove(cookie, keys.approval, origin="https://other.local").status == 400
    assert door.prove(cookie, keys.approval).status == 429


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "https://front-door.example"},
        {"challenge": "0" * 64},
        {"device": "ed25519:" + "A" * 43},
    ],
)
def test_a_proof_for_another_page_time_or_doorbell_proves_nothing(
    door: Door, keys: OwnerKeys, change: dict[str, str]
) -> None:
    cookie = door.pair()
    if "device" in change:
        change = {"device": keys.card.approver}
    assert door.prove(cookie, keys.approval, **change).status == 400
    assert door.op("status", cookie).status == 403


def signed_login(door: Door, cookie: str, keys: OwnerKeys) -> str:
    """The signed answer to a fresh challenge of this session."""
    challenge = door.op("page_challenge", cookie).frame.head["result"]["challenge"]
    device = door.op("device", cookie).frame.head["result"]["device"]
    login = Login(v=1, device=device, origin=f"https://{door.host}", challenge=challenge)
    return envelope.sign(Login.PAYLOAD_TYPE, strictjson.encode(login), keys.approval).decode()


def test_a_proof_counts_once(door: Door, keys: OwnerKeys) -> None:
    cookie = door.pair()
    login = signed_login(door, cookie, keys)
    proved = door.op("page_prove", cookie, envelope=login)
    assert proved.status == 200
    assert door.op("page_prove", cookie, envelope=login).status == 401
    assert door.op("page_prove", door.pair(), envelope=login).status == 400
    # The session is the same one as before. Only its cookie was renewed.
    assert door.op("page_prove", cookie_of(proved), envelope=login).status == 400


def test_a_proof_that_comes_two_minutes_late_counts_for_nothing(
    door: Door, keys: OwnerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = door.pair()
    login = signed_login(door, cookie, keys)
    now_s = time.monotonic()
    monkeypatch.setattr(operations, "time", SimpleNamespace(monotonic=lambda: now_s + 121))
    assert door.op("page_prove", cookie, envelope=login).status == 400
    monkeypatch.undo()
    # The challenge is used up, although nothing was proven with it.
    assert door.op("page_prove", cookie, envelope=login).status == 400
    assert door.op("page_prove", cookie, envelope=signed_login(door, cookie, keys)).status == 200
