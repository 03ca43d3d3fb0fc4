"""The page's own operations, without a browser: who the caller is, how a proof is taken, and what waits how long."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.live_buffer import Viewer
from agent.custodian.page import operations as module
from agent.custodian.page.operations import GlanceKeys, Login, PageOperations
from agent.custodian.page.request_guard import AccessLevel, Caller
from agent.custodian.page.sessions import OWNER_IDLE_S, Session, Sessions, TooManyTriesError
from agent.errors import OpenError, RequestError, StorageError
from agent.ipc.control_operations import GetLiveGops
from agent.wire import envelope, strictjson
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.custodians import APPROVER, Door, enrolment, two_owners
from tests.wire import samples

ORIGIN = "https://front-door.local"
STRANGER = private_key_from_seed(b"s" * 32)
GLANCE = private_key_from_seed(b"g" * 32)


class Entropy:
    def token(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)


class Page:
    """The operations over a custodian of paper, on a clock that moves only when told."""

    def __init__(self, path: Path) -> None:
        self.now = 1_800_000_000
        self.door = Door.enrolled()
        self.visitors = Sessions(path, Entropy(), lambda: self.now)
        self.camera = "watching"
        self.holders: dict[str, GlanceHolder] = {}
        self.asked: list[tuple[str, Any]] = []
        timeline = SimpleNamespace(
            events=lambda *span: self.asked.append(("events", span)) or ["an event"],
            gaps=lambda *span: self.asked.append(("gaps", span)) or ["a gap"],
            rings=lambda *span: self.asked.append(("rings", span)) or ["a ring"],
        )
        self.door.custodian.control._status = lambda: {"recorder": {"state": self.camera}}
        self.operations = PageOperations(
            self.door.custodian.control,
            self.door.custodian.enrolments,
            timeline,  # type: ignore[arg-type]
            self.visitors,
            Entropy(),
            facts=lambda: {"name": "front-door"},
            program="p1",
            trust=lambda: {"authority": "sha"},
            glances=GlanceKeys(
                lambda: {public_key_of(GLANCE).id: public_key_of(GLANCE)} if self.holders else {}, self.holders.get
            ),
            live=lambda viewer, asked: (self.asked.append(("live", (viewer, asked))), ({"numbers": []}, b"gops"))[1],
        )

    def paired(self, browser: str = "Firefox") -> str:
        return self.visitors.pair(self.visitors.make_code("printed"), "10.0.0.2", browser)

    def ask(self, name: str, token: str | None, **head: Any) -> dict[str, Any]:
        return self.operations.answer(name, Frame(head), self.operations.caller(token)).head["result"]  # type: ignore[no-any-return]

    def login(self, token: str, key: Any = APPROVER, **changes: Any) -> Frame:
        challenge = self.ask("page_challenge", token)["challenge"]
        said = {"device": samples.DEVICE_KEY.text, "origin": ORIGIN, "challenge": challenge, **changes}
        signed = envelope.sign(Login.PAYLOAD_TYPE, strictjson.encode(Login(v=1, **said)), key)
        return Frame({"envelope": signed.decode()})

    def prove(self, token: str, frame: Frame, origin: str = ORIGIN) -> str:
        return self.operations.prove(frame, self.operations.caller(token), origin).token


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    made = Page(tmp_path / "page.sqlite")
    yield made
    made.visitors.close()
    made.door.close()


SESSION = Session("id", 0, 0, "Firefox", None)
HOLDER = GlanceHolder("age1glance", public_key_of(APPROVER).id)


@pytest.mark.parametrize(
    ("caller", "levels"),
    [
        (Caller(None, False, False), {AccessLevel.ANYONE}),
        (Caller(None, True, True), {AccessLevel.ANYONE}),
        (Caller(SESSION, False, True), {AccessLevel.ANYONE, AccessLevel.PAIRED}),
        (Caller(SESSION, False, False), {AccessLevel.ANYONE, AccessLevel.PAIRED, AccessLevel.UNCLAIMED}),
        (Caller(SESSION, True, True), set(AccessLevel)),
        (Caller(SESSION, False, True, glance=HOLDER), {AccessLevel.ANYONE, AccessLevel.PAIRED, AccessLevel.GLANCE}),
        (Caller(None, True, True, link=True), set(AccessLevel)),
        (Caller(None, False, True, link=True), {AccessLevel.ANYONE, AccessLevel.GLANCE}),
    ],
)
def test_each_caller_may_do_what_its_level_says(caller: Caller, levels: set[AccessLevel]) -> None:
    assert {level for level in AccessLevel if caller.may(level)} == levels


def test_a_proof_makes_the_session_an_owners_under_another_cookie(page: Page) -> None:
    token = page.paired()
    before = page.operations.caller(token)
    assert (before.owner, before.claimed) == (False, True)
    renewed = page.prove(token, page.login(token))
    assert page.operations.caller(token).session is None
    after = page.operations.caller(renewed)
    assert after.owner
    assert after.session is not None
    assert before.session is not None
    assert (after.session.id, after.session.owner_key) == (before.session.id, samples.OWNER_KEY.id)
    assert page.operations.caller(None) == Caller(None, False, True)


def test_a_kit_that_proves_itself_is_told_to_the_owners(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    monkeypatch.setattr(page.door.custodian.enrolments, "note_use", used.append)
    token = page.paired()
    page.prove(token, page.login(token))
    assert used == [samples.OWNER_KEY.id], "the list of owners knows if this is the kit's key"
    page.holders[public_key_of(GLANCE).text] = HOLDER
    token = page.paired()
    page.prove(token, page.login(token, GLANCE))
    assert used == [samples.OWNER_KEY.id]


def test_a_glance_key_proves_itself_at_home_and_reaches_only_what_is_at_the_door(page: Page) -> None:
    key = public_key_of(GLANCE)
    page.holders[key.text] = HOLDER
    token = page.paired()
    renewed = page.prove(token, page.login(token, GLANCE))
    assert page.operations.caller(token).session is None, "a planted cookie gets nothing"
    caller = page.operations.caller(renewed)
    assert (caller.owner, caller.glance) == (False, HOLDER)
    page.operations.answer("live", Frame({"after": 3}), caller)
    (_, (viewer, _)) = page.asked[-1]
    assert (viewer.name, viewer.glance) == ("anna", "age1glance")
    with pytest.raises(RequestError, match="another one's"):
        page.operations.answer("talk_begin", Frame({"to": "age1other", "challenge": "c" * 32}), caller)
    page.holders.clear()
    assert page.operations.caller(renewed).glance is None, "its browser was removed"


def test_a_glance_key_counts_for_half_a_day_and_an_owners_proof_stays_above_it(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    page.holders[public_key_of(GLANCE).text] = HOLDER
    token = page.paired()
    owners = page.prove(token, page.login(token))
    both = page.prove(owners, page.login(owners, GLANCE))
    assert page.operations.caller(both).owner
    assert page.operations.caller(both).glance == HOLDER
    now_s[0] += OWNER_IDLE_S
    assert page.operations.caller(both).glance is None


def test_a_glance_key_that_is_not_listed_proves_nothing(page: Page) -> None:
    token = page.paired()
    for _ in range(6):
        with pytest.raises(OpenError, match="not one of this doorbell's owners"):
            page.prove(token, page.login(token, GLANCE))
        page.now += 1
    with pytest.raises(TooManyTriesError):
        page.prove(token, page.login(token, GLANCE))
    assert page.operations.caller(token).glance is None
    assert page.operations.caller(page.prove(token, page.login(token))).owner, "its owner need not wait"


def test_of_the_sessions_at_the_door_the_newest_sixty_four_count(page: Page) -> None:
    page.holders[public_key_of(GLANCE).text] = HOLDER
    tokens = []
    for _ in range(65):
        token = page.paired()
        tokens.append(page.prove(token, page.login(token, GLANCE)))
    assert len(page.operations._at_door) == 64
    assert page.operations.caller(tokens[-1]).glance == HOLDER


def test_a_proof_of_another_key_session_place_or_kind_is_refused(page: Page) -> None:
    token, other = page.paired(), page.paired()
    theirs = page.login(other)
    page.login(token)
    wrong_kind = envelope.sign("application/vnd.doorward.denial+json", b"{}", APPROVER).decode()
    for frame, origin in (
        (theirs, ORIGIN),
        (page.login(token, STRANGER), ORIGIN),
        (page.login(token), "https://other.local"),
        (page.login(token, device=samples.OWNER_KEY.text), ORIGIN),
        (Frame({"envelope": wrong_kind}), ORIGIN),
        (page.login(token), "https://another.local"),
    ):
        page.now += 10_000
        with pytest.raises(OpenError, match="not one of this doorbell's owners") as refused:
            page.prove(token, frame, origin)
        assert refused.value.remedy == "Ask an owner to add it."
        assert not page.operations.caller(token).owner
    with pytest.raises(TooManyTriesError):
        page.prove(token, page.login(token))
    page.prove(other, theirs)


def test_a_challenge_lives_for_two_minutes_and_only_the_newest_of_a_session_counts(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    token = page.paired()
    old = page.login(token)
    newest = page.login(token)
    with pytest.raises(OpenError):
        page.prove(token, old)
    with pytest.raises(OpenError):
        page.prove(token, newest)  # the wrong try has used the challenge up
    late = page.login(token)
    clock.now_s += 120.001
    with pytest.raises(OpenError):
        page.prove(token, late)
    in_time = page.login(token)
    clock.now_s += 120
    assert page.prove(token, in_time)


def test_sixty_four_sessions_may_prove_themselves_at_a_time(page: Page) -> None:
    tokens = [page.paired() for _ in range(2)]
    for token in tokens:
        page.ask("page_challenge", token)
    for number in range(63):
        page.operations._challenges[f"session {number}"] = ("0" * 64, 0.0)
    module._trim(page.operations._challenges)
    ids = [session.id for token in tokens if (session := page.operations.caller(token).session)]
    assert [each in page.operations._challenges for each in ids] == [False, True]
    assert len(page.operations._challenges) == 64
    page.ask("page_challenge", tokens[1])
    page.operations._challenges["the newest"] = ("0" * 64, 0.0)
    module._trim(page.operations._challenges)
    assert ids[1] in page.operations._challenges, "a session that asks again is the newest one"
    assert list(page.operations._challenges)[-2:] == [ids[1], "the newest"]


def test_the_first_answer_says_who_the_caller_is_to_which_doorbell(page: Page) -> None:
    token = page.paired()
    session = page.operations.caller(token).session
    assert session is not None
    assert page.ask("page_hello", token) == {
        "claimed": True,
        "device": samples.DEVICE_KEY.text,
        "owner": False,
        "session": session.id,
        "doorbell": "front-door",
        "program": "p1",
    }
    assert page.ask("page_facts", token) == {"name": "front-door"}
    for name in ("page_hello", "page_challenge"):
        with pytest.raises(RequestError, match="not paired"):
            page.ask(name, None)


def test_what_open_pages_ask_is_always_as_long(page: Page) -> None:
    token = page.paired()
    assert page.ask("page_now", token) == {"waiting": "000", "camera": "watching".ljust(32)}
    page.door.ask()
    page.camera = "c" * 40
    assert page.ask("page_now", token) == {"waiting": "001", "camera": "c" * 32}


def test_browsers_are_listed_with_their_owners_and_the_callers_own_is_marked(page: Page) -> None:
    first = page.paired("Firefox")
    page.now += 100
    second = page.paired("Chrome")
    first = page.prove(first, page.login(first))
    listed = page.ask("page_browsers", second)["browsers"]
    assert [(each["browser"], each["owner"], each["this"]) for each in listed] == [
        ("Firefox", "anna", False),
        ("Chrome", None, True),
    ]
    assert (listed[0]["made_s"], listed[0]["seen_s"]) == (page.now - 100, page.now)


def test_a_browser_of_a_former_owner_is_signed_out_also_after_its_proof_has_lapsed(page: Page) -> None:
    """An old phone stayed paired for 90 days, and read the names of the owners who came later."""
    old, guest = page.paired("Firefox"), page.paired("Chrome")
    old = page.prove(old, page.login(old))
    page.now += OWNER_IDLE_S + 60
    assert page.operations.caller(old).session is not None, "its owner is still one"
    second = private_key_from_seed(b"2" * 32)
    page.door.enrol(**{**two_owners(page.door, second), "approvals_needed": 1})
    assert page.operations.caller(old).session is not None
    before = page.door.custodian.enrolments.current
    assert before is not None
    left = [each for each in before.approvers if each.name != "anna"]
    wanted = enrolment(
        epoch=before.epoch + 1,
        approvers=tuple(left),
        recipients=before.recipients,
        previous=hashlib.sha256(strictjson.encode(before)).hexdigest(),
    )
    page.door.confirm(*page.door.propose(wanted, second))
    assert [each["browser"] for each in page.ask("page_browsers", guest)["browsers"]] == ["Chrome"]
    assert page.operations.caller(old).session is None
    assert [each.browser for each in page.visitors.sessions()] == ["Chrome"]


def test_a_browser_of_a_former_owner_is_out_although_the_disk_takes_no_write(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = page.paired()
    token = page.prove(token, page.login(token))

    def full(_session: str) -> bool:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(page.visitors, "end", full)
    others = SimpleNamespace(approver_keys={"a" * 16: None})
    monkeypatch.setattr(page.operations, "_enrolments", SimpleNamespace(current=others))
    assert page.operations.caller(token).session is None
    monkeypatch.setattr(page.operations, "_enrolments", SimpleNamespace(current=None))
    assert page.operations.caller(token).session is not None, "a doorbell that lost its owners signs nobody out"


def test_the_newest_card_of_each_browser_waits_for_an_owner(page: Page) -> None:
    first, second = page.paired(), page.paired()
    for token, card in ((first, "an older card"), (second, "another's card"), (first, "a card")):
        assert page.ask("page_card", token, card=card) == {}
    assert sorted(page.ask("page_cards", first)["cards"]) == ["a card", "another's card"]
    for number in range(63):
        page.ask("page_card", page.paired(), card=f"card {number}")
    shown = page.ask("page_cards", first)["cards"]
    assert (len(shown), shown[-1]) == (64, "card 62")


def test_an_invitation_lets_one_browser_in(page: Page) -> None:
    token = page.paired()
    made = page.ask("page_invite", token)
    assert (made["life_s"], made["authority"]) == (900, "sha")
    assert page.visitors.pair(made["code"], "10.0.0.7", "Safari")
    with pytest.raises(RequestError):
        page.visitors.pair(made["code"], "10.0.0.7", "Safari")


def test_the_time_line_is_asked_for_the_span_of_the_question(page: Page) -> None:
    found = page.ask("events", page.paired(), from_ms=5, to_ms=9)
    assert found == {"events": ["an event"], "gaps": ["a gap"], "rings": ["a ring"]}
    assert page.asked == [("events", (5, 9)), ("gaps", (5, 9)), ("rings", (5, 9))]


def test_every_other_operation_is_the_control_sockets(page: Page) -> None:
    answer = page.operations.answer("device", Frame({}), page.operations.caller(page.paired()))
    assert answer.head["result"]["device"] == samples.DEVICE_KEY.text


def test_a_key_of_the_link_gets_the_operations_of_its_level_and_no_others(page: Page) -> None:
    owner = Caller(None, owner=True, claimed=True, link=True, key=public_key_of(APPROVER).id)
    glance = Caller(None, owner=False, claimed=True, link=True, key="a" * 16)
    assert (
        page.operations.answer_in_link("device", Frame({}), owner).head["result"]["device"] == samples.DEVICE_KEY.text
    )
    assert page.operations.answer_in_link("live", Frame({"after": 3}), glance).body == b"gops"
    for name, caller in (("device", glance), ("page_code", owner), ("unheard of", owner)):
        with pytest.raises(RequestError, match="not for this caller"):
            page.operations.answer_in_link(name, Frame({}), caller)


def test_what_belongs_to_a_session_of_the_page_is_refused_without_one(page: Page) -> None:
    caller = Caller(None, owner=True, claimed=True, link=True, key=public_key_of(APPROVER).id)
    with pytest.raises(RequestError, match="not paired"):
        page.operations.answer("page_challenge", Frame({}), caller)
    with pytest.raises(RequestError, match="for a session of the page"):
        page.operations.answer("page_prove", Frame({"envelope": "{}"}), caller)
    page.paired("Chrome")
    listed = page.operations.answer("page_browsers", Frame({}), caller).head["result"]["browsers"]
    assert [each["this"] for each in listed] == [False]


def test_a_viewer_of_live_view_has_the_name_that_the_owners_know(page: Page) -> None:
    """It comes from the list of owners, whatever a browser says of itself."""
    token = page.paired()
    owner = page.prove(token, page.login(token))
    for each in (owner, page.paired()):
        caller = page.operations.caller(each)
        answer = page.operations.answer("live", Frame({"after": 3, "op": "live"}), caller)
        assert (answer.head, answer.body) == ({"ok": True, "result": {"numbers": []}}, b"gops")
    page.operations.answer("live", Frame({"after": 3}), Caller(None, owner=True, claimed=True, link=True))
    viewers = [viewer for _, (viewer, _) in page.asked]
    assert [viewer.name for viewer in viewers] == ["anna", "", ""]
    assert [viewer.glance for viewer in viewers] == ["", "", ""]
    assert len({viewer.id for viewer in viewers}) == 3


def test_a_glance_key_that_looks_has_the_name_of_the_owner_whose_browser_it_is(page: Page) -> None:
    holder = GlanceHolder("age1glance", public_key_of(APPROVER).id)
    caller = Caller(None, owner=False, claimed=True, link=True, key="a" * 16, glance=holder)
    page.operations.answer_in_link("live", Frame({"after": 3}), caller)
    (_, (viewer, _)) = page.asked[-1]
    assert (viewer.name, viewer.glance) == ("anna", "age1glance")


def test_each_key_of_the_link_is_a_viewer_of_its_own_and_an_owners_has_its_name(page: Page) -> None:
    keys = (public_key_of(APPROVER).id, "a" * 16, "b" * 16)
    for key in keys:
        page.operations.answer("live", Frame({"after": 3}), Caller(None, key == keys[0], True, link=True, key=key))
    viewers = [viewer for _, (viewer, _) in page.asked]
    assert [(viewer.id, viewer.name, viewer.glance) for viewer in viewers] == [
        (f"link {key}", name, "") for key, name in zip(keys, ("anna", "", ""), strict=True)
    ]


def test_a_glance_key_cannot_talk_in_the_name_of_an_owner_or_of_another_browser(page: Page) -> None:
    """Others are told the owner of the key that the offer is sealed to, and frames without a meaning keep the floor."""
    page.door.custodian.control.offer("talk_begin", lambda asked, _body: ({"state": asked.to}, b""))
    current = page.door.custodian.enrolments.current
    assert current is not None
    holder = GlanceHolder("age1glance", "a" * 16)
    glance = Caller(None, owner=False, claimed=True, link=True, key="a" * 16, glance=holder)
    nobody = Caller(None, owner=False, claimed=True, link=True, key="a" * 16)
    owner = Caller(None, owner=True, claimed=True, link=True, key="a" * 16)
    for key in (current.recovery, *(each.recipient for each in current.recipients), "age1other"):
        asked = Frame({"to": key, "challenge": "c" * 32})
        for caller in (glance, nobody):
            with pytest.raises(RequestError, match="another one's"):
                page.operations.answer_in_link("talk_begin", asked, caller)
        assert page.operations.answer_in_link("talk_begin", asked, owner).head["result"]["state"] == key
    asked = Frame({"to": "age1glance", "challenge": "c" * 32})
    assert page.operations.answer_in_link("talk_begin", asked, glance).head["result"]["state"] == "age1glance"


# -- without a custodian -----------------------------------------------------------------------------------------------

OWNERS = {public_key_of(APPROVER).id: public_key_of(APPROVER)}
GLANCES = {public_key_of(GLANCE).id: public_key_of(GLANCE)}
DEVICE = samples.DEVICE_KEY.text


class Bare:
    """The operations over stand-ins, on a clock that moves only when told.  `did`: what the stand-ins were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.did: list[tuple[Any, ...]] = []
        self.enrolments: Any = SimpleNamespace(
            current=SimpleNamespace(approver_keys=OWNERS, device=DEVICE),
            owner_name={public_key_of(APPROVER).id: "anna", "c" * 16: "ben"}.get,
            note_use=lambda _key: None,
        )
        self.found: Session | None = None
        self.listed: list[Session] = []
        self.holders: dict[str, GlanceHolder] = {}
        self.waiting: list[str] = []
        self.recorder: dict[str, Any] = {"state": "watching"}
        self.entropy = [bytes([number]) * 32 for number in range(1, 250)]
        timeline: Any = SimpleNamespace(**{name: self._noting(name, [name]) for name in ("events", "gaps", "rings")})
        sessions: Any = SimpleNamespace(
            session=self._session, sessions=lambda: self.listed, end=self._noting("end", True),
            make_code=self._noting("make_code", "ABCDEFGHJK"), rate_limit=self._noting("rate_limit", None),
            failed=self._noting("failed", None), elevate=self._noting("elevate", "an owner's token"),
            renew=self._noting("renew", "a renewed token"),
        )  # fmt: skip
        self.operations = PageOperations(
            SimpleNamespace(answer=self._control),  # type: ignore[arg-type]
            self.enrolments,
            timeline,
            sessions,
            SimpleNamespace(token=lambda size: self.entropy.pop(0)[:size]),
            facts=lambda: {"name": "front-door", "more": 1},
            program="p1",
            trust=lambda: {"install": "http://door/install", "fingerprint": "AA"},
            live=lambda viewer, asked: (self.did.append(("live", viewer, asked)), ({"numbers": [4]}, b"gops"))[1],
            glances=GlanceKeys(lambda: GLANCES, self.holders.get),
        )

    def _noting(self, name: str, found: object) -> Any:
        return lambda *what: (self.did.append((name, *what)), found)[1]

    def _session(self, token: str) -> Session | None:
        self.did.append(("session", token))
        return self.found

    def _control(self, frame: Frame) -> Frame:
        answers = {
            "device": {"device": DEVICE},
            "requests": {"requests": [{"state": each} for each in self.waiting]},
            "status": {"recorder": self.recorder},
        }
        self.did.append(("control", frame))
        return Frame({"ok": True, "result": answers.get(frame.head["op"], {"passed": "on"})})

    def ask(self, name: str, caller: Caller, body: bytes = b"", **head: Any) -> Frame:
        self.did.clear()
        return self.operations.answer(name, Frame(head, body), caller)

    def login(self, caller: Caller, key: Any = APPROVER, **changes: str) -> Frame:
        challenge = self.ask("page_challenge", caller).head["result"]["challenge"]
        said = {"device": DEVICE, "origin": ORIGIN, "challenge": challenge, **changes}
        self.did.clear()
        signed = envelope.sign(Login.PAYLOAD_TYPE, strictjson.encode(Login(v=1, **said)), key)
        return Frame({"envelope": signed.decode()})


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Bare:
    return Bare(monkeypatch)


def test_each_operation_of_the_page_gives_its_own_answer(bare: Bare) -> None:
    """Proofs and challenges have separate tests."""
    paired = Caller(SESSION, False, True)
    owner = Caller(Session("o", 5, 6, "Safari", public_key_of(APPROVER).id), True, True)
    bare.listed = [SESSION, Session("o", 5, 6, "Safari", public_key_of(APPROVER).id)]
    bare.waiting = ["pending", "waiting for another owner", "denied", "approved"]
    passed_on = ("control", Frame({"b": 2, "op": "tips"}, b"body"))
    status, requests, device = (("control", Frame({"op": name})) for name in ("status", "requests", "device"))
    hello = {"device": DEVICE, "doorbell": "front-door", "program": "p1"}
    browsers = [
        {"id": "id", "browser": "Firefox", "made_s": 0, "seen_s": 0, "owner": None, "this": False},
        {"id": "o", "browser": "Safari", "made_s": 5, "seen_s": 6, "owner": "anna", "this": True},
    ]
    told: dict[str, tuple[Any, list[tuple[Any, ...]]]] = {}
    asked: list[tuple[str, Caller, dict[str, Any]]] = [
        ("page_hello", paired, {}), ("page_leave", paired, {}), ("page_card", paired, {"card": "first"}),
        ("page_card", owner, {"card": "second"}), ("page_cards", owner, {}), ("page_invite", owner, {}),
        ("page_browsers", owner, {}), ("page_end", owner, {"id": "id"}), ("page_facts", owner, {}),
        ("page_now", owner, {}), ("events", owner, {"from_ms": 5, "to_ms": 9}),
    ]  # fmt: skip
    for name, caller, head in asked:
        answer = bare.ask(name, caller, **head)
        assert (answer.head["ok"], answer.body) == (True, b"")
        told[name] = answer.head["result"], list(bare.did)
    assert told == {
        "page_hello": ({**hello, "claimed": True, "owner": False, "session": "id"}, [device]),
        "page_leave": ({"ended": True}, [("end", "id")]),
        "page_card": ({}, []),
        "page_cards": ({"cards": ["first", "second"]}, []),
        "page_invite": (
            {"code": "ABCD-EFG-HJK", "life_s": 900, "install": "http://door/install", "fingerprint": "AA"},
            [("make_code", "invitation", (public_key_of(APPROVER).id,))],
        ),
        "page_browsers": ({"browsers": browsers}, []),
        "page_end": ({"ended": True}, [("end", "id")]),
        "page_facts": ({"name": "front-door", "more": 1}, []),
        "page_now": ({"waiting": "002", "camera": "watching".ljust(32)}, [requests, status]),
        "events": (
            {"events": ["events"], "gaps": ["gaps"], "rings": ["rings"]},
            [("events", 5, 9), ("gaps", 5, 9), ("rings", 5, 9)],
        ),
    }
    assert bare.ask("tips", owner, b"body", b=2) == Frame({"ok": True, "result": {"passed": "on"}})
    assert bare.did == [passed_on]
    assert set(bare.operations._own) | {"page_prove"} == set(module.PAGE)
    bare.enrolments.current = None
    linked = Caller(None, True, False, link=True)
    assert bare.ask("page_hello", linked).head["result"] == {**hello, "claimed": False, "owner": True, "session": ""}


def test_the_number_that_waits_ends_at_nine_hundred_and_ninety_nine(bare: Bare) -> None:
    owner = Caller(SESSION, True, True)
    for number, text in ((998, "998"), (999, "999"), (1000, "999")):
        bare.waiting, bare.recorder = ["pending"] * number, {}
        assert bare.ask("page_now", owner).head["result"] == {"waiting": text, "camera": " " * 32}


def test_a_caller_is_the_session_of_its_cookie_and_an_owner_while_its_key_is_one(bare: Bare) -> None:
    assert bare.operations.caller(None) == bare.operations.caller("") == Caller(None, False, True)
    assert bare.did == []
    assert bare.operations.caller("7") == Caller(None, False, True)
    bare.found = SESSION
    assert bare.operations.caller("7") == Caller(SESSION, False, True)
    bare.found = Session("id", 0, 0, "Firefox", "c" * 16)
    assert bare.operations.caller("7") == Caller(bare.found, False, True), "its owner was removed"
    bare.found = Session("id", 0, 0, "Firefox", public_key_of(APPROVER).id)
    assert bare.operations.caller("7") == Caller(bare.found, True, True)
    bare.enrolments.current = None
    assert bare.operations.caller("7") == Caller(bare.found, False, False)
    assert bare.did == [("session", "7")] * 5


def test_a_proof_is_counted_by_the_kind_of_its_key_and_its_session(bare: Bare) -> None:
    paired = Caller(SESSION, False, True)
    proved = bare.operations.prove(bare.login(paired), paired, ORIGIN)
    assert proved == module.ElevatedSession("an owner's token", owner=True)
    assert bare.did == [("rate_limit", "prove id"), ("elevate", SESSION, public_key_of(APPROVER).id)]
    assert bare.operations._at_door == {}
    proved = bare.operations.prove(bare.login(paired, GLANCE), paired, ORIGIN)
    assert proved == module.ElevatedSession("a renewed token", owner=False)
    assert bare.did == [("rate_limit", "door id"), ("renew", SESSION)]
    assert bare.operations._at_door == {"id": (public_key_of(GLANCE).text, 1000.0 + OWNER_IDLE_S)}
    for key, kind in ((STRANGER, "door"), (APPROVER, "prove")):
        frame = bare.login(paired, key, origin="https://other.local")
        with pytest.raises(OpenError, match="not one of this doorbell's owners"):
            bare.operations.prove(frame, paired, ORIGIN)
        assert bare.did == [("rate_limit", f"{kind} id"), ("failed", f"{kind} id")]
    frame, bare.enrolments.current = bare.login(paired), None
    with pytest.raises(OpenError):
        bare.operations.prove(frame, paired, ORIGIN)
    assert bare.did == [("rate_limit", "door id"), ("failed", "door id")]


def test_a_challenge_is_a_hash_of_fresh_entropy_and_lives_for_two_minutes(bare: Bare) -> None:
    paired = Caller(SESSION, False, True)
    challenges = [bare.ask("page_challenge", paired).head["result"] for _ in range(2)]
    assert challenges == [{"challenge": hashlib.sha256(bytes([number]) * 32).hexdigest()} for number in (1, 2)]
    assert bare.operations._challenges == {"id": (challenges[1]["challenge"], 1120.0)}
    frame = bare.login(paired)
    bare.now_s += 120.0
    assert bare.operations.prove(frame, paired, ORIGIN).owner
    assert bare.operations._challenges == {}
    frame = bare.login(paired)
    bare.now_s += 120.001
    with pytest.raises(OpenError):
        bare.operations.prove(frame, paired, ORIGIN)


def test_the_session_that_came_last_is_the_last_to_be_forgotten(bare: Bare) -> None:
    first, *others = (Caller(Session(f"s{number}", 0, 0, "Firefox", None), False, True) for number in range(65))
    for caller in (first, *others[:63], first, others[63]):
        bare.operations.prove(bare.login(caller, GLANCE), caller, ORIGIN)
        bare.ask("page_card", caller, card="a card")
        bare.ask("page_challenge", caller)
    kept = [f"s{number}" for number in (*range(1, 64), 0, 64)][1:]
    assert list(bare.operations._at_door) == list(bare.operations._challenges) == kept
    assert list(bare.operations._cards) == [f"s{number}" for number in range(1, 65)]


def test_a_glance_key_counts_in_its_session_until_its_time_is_over(bare: Bare) -> None:
    bare.found = SESSION
    bare.holders[public_key_of(GLANCE).text] = HOLDER
    bare.operations.prove(bare.login(Caller(SESSION, False, True), GLANCE), Caller(SESSION, False, True), ORIGIN)
    bare.now_s += OWNER_IDLE_S - 0.001
    assert bare.operations.caller("7") == Caller(SESSION, False, True, glance=HOLDER)
    bare.found = Session("other", 0, 0, "Firefox", None)
    assert bare.operations.caller("7").glance is None
    bare.found = SESSION
    bare.now_s += 0.001
    assert bare.operations.caller("7").glance is None


OWNERS_SESSION = Session("o", 0, 0, "Safari", public_key_of(APPROVER).id)
BENS = GlanceHolder("age1ben", "c" * 16)


@pytest.mark.parametrize(
    ("caller", "viewer"),
    [
        (Caller(SESSION, False, True), Viewer("id", "", "")),
        (Caller(SESSION, False, True, glance=BENS), Viewer("id", "ben", "age1ben")),
        (Caller(OWNERS_SESSION, True, True), Viewer("o", "anna", "")),
        (Caller(OWNERS_SESSION, True, True, glance=BENS), Viewer("o", "anna", "age1ben")),
        (Caller(None, True, True, link=True, key="c" * 16), Viewer(f"link {'c' * 16}", "ben", "")),
        (Caller(None, True, True, link=True, key="d" * 16), Viewer(f"link {'d' * 16}", "", "")),
        (Caller(None, False, True, link=True, key="d" * 16, glance=BENS), Viewer(f"link {'d' * 16}", "ben", "age1ben")),
    ],
)
def test_a_viewer_is_named_by_the_key_that_it_has_proven(bare: Bare, caller: Caller, viewer: Viewer) -> None:
    answer = bare.ask("live", caller, after=3, small=True)
    assert answer == Frame({"ok": True, "result": {"numbers": [4]}}, b"gops")
    assert bare.did == [("live", viewer, GetLiveGops(after=3, small=True))]


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (Caller(SESSION, True, True), True), (Caller(SESSION, False, True, glance=BENS), True),
        (Caller(SESSION, False, True, glance=HOLDER), False), (Caller(SESSION, False, True), False),
        (Caller(SESSION, True, True, glance=HOLDER), True),
    ],
)  # fmt: skip
def test_a_caller_that_talks_names_itself_unless_it_is_an_owner(bare: Bare, caller: Caller, may: bool) -> None:
    asked = {"to": "age1ben", "challenge": "c" * 32}
    if may:
        assert bare.ask("talk_begin", caller, **asked).head["result"] == {"passed": "on"}
        assert bare.did == [("control", Frame({**asked, "op": "talk_begin"}))]
        return
    with pytest.raises(RequestError, match="This key is another one's") as refused:
        bare.ask("talk_begin", caller, **asked)
    assert (refused.value.remedy, bare.did) == ("Ask with the glance key of this browser.", [])


def test_without_glance_keys_there_is_no_signer_and_no_holder() -> None:
    assert (GlanceKeys().signers(), GlanceKeys().holder("any")) == ({}, None)


def test_what_the_link_may_not_call_is_refused_with_a_remedy(bare: Bare) -> None:
    owner = Caller(None, True, True, link=True)
    for name in ("unheard of", "page_code"):
        with pytest.raises(RequestError, match="not for this caller") as refused:
            bare.operations.answer_in_link(name, Frame({}), owner)
        assert refused.value.remedy == "Is it for an owner?"
    assert bare.operations.answer_in_link("tips", Frame({}), owner).head["result"] == {"passed": "on"}
    with pytest.raises(RequestError, match="not paired"):
        bare.ask("page_leave", owner)
    with pytest.raises(RequestError, match="for a session of the page"):
        bare.ask("page_prove", owner, envelope="{}")
