"""The page's server: where it is found, what the terminal is told, and a network that comes and goes."""

from __future__ import annotations

import datetime
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.config.settings import PageConfig
from agent.custodian.page import server as module
from agent.custodian.page.listener import ConnectionPriority
from agent.custodian.page.server import PageDeps, PageServer
from agent.errors import ConfigurationError, FormatError, NetworkError, RequestError, StorageError
from agent.wire.control import Frame
from tests.vaults import SteppedClock

NOW_S = 1_800_000_100
"""The clock of `make` was switched on 100 s ago."""


class Entropy:
    def token(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)


Make = Callable[..., PageServer]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a page that is not started, with these settings."""
    made: list[PageServer] = []

    def make(doorbell: str = "Front door", set_up: Any = None, **settings: Any) -> PageServer:
        values = {"host": "127.0.0.1", "port": 8443, "addresses": ("192.168.1.20",), "mdns": False, **settings}
        control = SimpleNamespace(answer=lambda frame: Frame({"ok": True, "result": {"asked": frame.head["op"]}}))
        parts: dict[str, Any] = {
            "control": control, "enrolments": SimpleNamespace(current=None, has_left=lambda _key: False),
            "manifest": None, "clock": SteppedClock(utc_offset_ns=(NOW_S - 100) * 10**9), "entropy": Entropy(),
            "facts": dict, "live": lambda _viewer, _asked: ({}, b""), "set_up": set_up,
        }  # fmt: skip
        made.append(PageServer(PageConfig(**values), tmp_path / "page", doorbell, PageDeps(**parts)))
        return made[-1]

    yield make
    for each in made:
        each.stop()
        each.close()


@pytest.mark.parametrize(
    ("settings", "url", "urls", "install"),
    [
        (
            {"addresses": ("192.168.1.20",)},
            "https://front-door.local:8443/", ["https://192.168.1.20:8443/"], "http://192.168.1.20:8443/install",
        ),
        (
            {"name": "home", "port": 443},
            "https://home.local/", ["https://192.168.1.20/"], "http://192.168.1.20:443/install",
        ),
        (
            {"addresses": ("127.0.0.1", "fd00::7", "169.254.3.4", "10.0.0.5")},
            "https://front-door.local:8443/",
            ["https://[fd00::7]:8443/", "https://169.254.3.4:8443/", "https://10.0.0.5:8443/"],
            "http://10.0.0.5:8443/install",
        ),
        (
            {"addresses": ("127.0.0.1", "169.254.3.4", "fd00::7")},
            "https://front-door.local:8443/",
            ["https://169.254.3.4:8443/", "https://[fd00::7]:8443/"],
            "http://[fd00::7]:8443/install",
        ),
        (
            {"addresses": ("127.0.0.1",)},
            "https://front-door.local:8443/", ["https://127.0.0.1:8443/"], "http://127.0.0.1:8443/install",
        ),
    ],
)  # fmt: skip
def test_the_page_is_named_by_name_and_by_the_addresses_that_a_phone_reaches(
    make: Make, settings: dict[str, Any], url: str, urls: list[str], install: str
) -> None:
    page = make(**settings)
    assert (page.url, page.urls, page.install_url) == (url, urls, install)


def test_before_it_has_an_address_the_authority_is_offered_under_the_pages_name(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "network", frozenset)
    page = make(host="0.0.0.0", addresses=())
    assert (page.urls, page.install_url) == ([], "http://front-door.local:8443/install")


def test_a_doorbell_with_a_name_that_no_network_takes_is_refused_unless_the_page_has_one(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="makes no network name"):
        make("!!!")
    assert make("!!!", name="home").url == "https://home.local:8443/"


def test_the_terminal_is_told_where_the_page_is_and_gets_a_code_only_if_it_asks_for_one(make: Make) -> None:
    page = make()
    where = {
        "url": page.url,
        "urls": page.urls,
        "install": page.install_url,
        "fingerprint": page.certificates.fingerprint,
    }
    told = page.answer(Frame({"op": "page_authority"}))
    assert (told.head, told.body) == ({"ok": True, "result": where}, page.certificates.authority_der)
    told = page.answer(Frame({"op": "page_code"}))
    code = told.head["result"].pop("code")
    assert (told.head, told.body) == (
        {"ok": True, "result": {**where, "life_s": 900, "trusted": False}},
        page.certificates.authority_der,
    )
    assert page._sessions._database.execute("SELECT kind FROM codes").fetchall() == [("printed",)]
    assert page._sessions.pair(code, "10.0.0.2", "Firefox")
    assert page.answer(Frame({"op": "device"})).head["result"] == {"asked": "device"}
    with pytest.raises((FormatError, RequestError)):
        page.answer(Frame({"op": "page_code", "more": 1}))


def test_a_code_that_the_camera_read_lets_a_browser_in(make: Make) -> None:
    set_up = SimpleNamespace(lets_in=lambda typed: typed == "AAAABBBCCC", proof=lambda authority: b"proof " + authority)
    page = make(set_up=set_up)
    assert page._sessions.pair("AAAA-BBB-CCC", "10.0.0.2", "Firefox")
    with pytest.raises(RequestError):
        page._sessions.pair("AAAA-BBB-CCD", "10.0.0.3", "Firefox")
    assert page._application.pages._proof(b"DER") == b"proof DER"


def test_a_port_that_another_program_has_is_named_and_taken_as_soon_as_it_is_free(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PORT_S", 0.01)
    served = threading.Event()

    def serve(listener: socket.socket) -> None:
        listener.close()
        served.set()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        page = make(port=port)
        monkeypatch.setattr(page, "_serve", serve)
        with capture_logs() as lines:
            page.start()
        assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in page.fault
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["page_not_served"]
        assert not served.wait(0.05)
    assert served.wait(10)
    page.stop()
    assert not [each for each in threading.enumerate() if each.name.startswith("page")]


def test_a_page_that_waits_for_its_port_can_be_stopped_and_says_why_it_was_not_served(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = threading.Semaphore(0)

    def refused() -> socket.socket:
        tries.release()
        raise NetworkError("The page cannot listen.", remedy="Choose another page.port.")

    page = make()
    monkeypatch.setattr(module, "_PORT_S", 0.01)
    monkeypatch.setattr(page, "_listen", refused)
    page.start()
    for _ in range(3):
        assert tries.acquire(timeout=10)
    assert page.fault == "The page cannot listen. Choose another page.port."
    page.stop()
    assert not [each for each in threading.enumerate() if each.name.startswith("page")]


@pytest.mark.parametrize(
    ("host", "callers"), [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])]
)
def test_the_page_listens_in_the_family_of_its_address_and_in_both_on_every_address(
    make: Make, host: str, callers: list[str]
) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    listener = make(host=host, port=0)._listen()
    try:
        for caller in callers:
            socket.create_connection((caller, listener.getsockname()[1]), timeout=10).close()
    finally:
        listener.close()


class Announcement:
    """In the place of `MdnsAnnouncement`."""

    said: list[tuple[Any, ...]]

    def __init__(self, name: str, addresses: tuple[str, ...], port: int) -> None:
        self._what = (name, addresses, port)

    def start(self) -> None:
        self.said.append(("start", *self._what))

    def stop(self) -> None:
        self.said.append(("stop", *self._what))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    said: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Announcement, "said", said, raising=False)
    monkeypatch.setattr(module, "MdnsAnnouncement", Announcement)
    return said


def test_the_name_is_announced_once_in_each_network_and_no_longer_in_the_one_before(
    make: Make, monkeypatch: pytest.MonkeyPatch, said: list[tuple[Any, ...]]
) -> None:
    found: frozenset[tuple[int, str]] = frozenset({(2, "192.168.1.20")})
    monkeypatch.setattr(module, "network", lambda: found)
    page = make(host="0.0.0.0", addresses=(), mdns=True)
    page._look()
    page._look()
    here, there = (("front-door.local", (address,), 8443) for address in ("192.168.1.20", "192.168.1.30"))
    assert said == [("start", *here)]
    found = frozenset({(2, "192.168.1.30")})
    page._look()
    assert said == [("start", *here), ("stop", *here), ("start", *there)]
    assert page._hosts == {"front-door.local:8443", "192.168.1.30:8443"}
    page.stop()
    page.stop()
    assert said[3:] == [("stop", *there)]


def test_without_multicast_dns_nothing_is_announced(make: Make, said: list[tuple[Any, ...]]) -> None:
    make(mdns=False)._look()
    assert said == []


@pytest.mark.parametrize("error", [OSError("no network"), StorageError("The disk is full.")])
def test_a_look_at_the_network_that_fails_is_repeated_until_the_page_stops(
    make: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    page, looks = make(port=0), 0

    def look() -> None:
        nonlocal looks
        looks += 1
        raise error

    monkeypatch.setattr(page, "_look", look)
    page.start()
    deadline_s = time.monotonic() + 30
    while looks < 3:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    page.stop()
    last = looks
    time.sleep(0.1)
    assert looks == last


@pytest.mark.parametrize(("owner", "priority"), [(True, ConnectionPriority.OWNER), (False, ConnectionPriority.PAIRED)])
def test_a_browser_that_was_let_in_keeps_its_connection_before_strangers_and_an_owners_before_all(
    make: Make, owner: bool, priority: ConnectionPriority
) -> None:
    page, noted = make(), []
    caller: Any = SimpleNamespace(session="a session", owner=owner)
    page._know("before the start", caller)
    page._connections = SimpleNamespace(set_priority=lambda *what: noted.append(what))  # type: ignore[assignment]
    page._know("a connection", caller)
    page._know("a stranger's", SimpleNamespace(session=None, owner=False))  # type: ignore[arg-type]
    assert noted == [("a connection", priority)]


# -- how it is put together and run ------------------------------------------------------------------------------------


class Server:
    """In the place of `PageHttpServer`: starts when it is run, and ends when it is told."""

    def __init__(self, did: list[Any], starts: bool) -> None:
        self.did, self._starts = did, starts
        self.started, self.should_exit = False, False

    def run(self, sockets: list[Any]) -> None:
        thread = threading.current_thread()
        self.did.append(("run", sockets, thread.name, thread.daemon))
        self.started = self._starts


class Listener:
    """In the place of the listening socket."""

    def __init__(self) -> None:
        self.closed = 0

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 4443

    def close(self) -> None:
        self.closed += 1


class Started:
    """A page that is started over stand-ins, which note what they are made of."""

    def __init__(self, page: PageServer, monkeypatch: pytest.MonkeyPatch, *, starts: bool = True) -> None:
        self.did: list[Any] = []
        self.page, self.listener, self.server = page, Listener(), Server(self.did, starts)
        config = SimpleNamespace(load=lambda: self.did.append("loaded"))
        build = lambda application, hosts, relay: ("built", application, hosts(), relay)  # noqa: E731

        def made(name: str, found: object) -> Callable[..., Any]:
            return lambda *what, **settings: (self.did.append((name, *what, settings)), found)[1]

        monkeypatch.setattr(module, "build", build)
        monkeypatch.setattr(module.uvicorn, "Config", made("config", config))
        monkeypatch.setattr(module, "PageListener", made("listener", "the listener"))
        monkeypatch.setattr(module, "PageHttpServer", made("server", self.server))
        monkeypatch.setattr(page, "_listen", lambda: self.listener)
        monkeypatch.setattr(page.certificates, "context", lambda: "TLS")
        monkeypatch.setattr(page, "_look", lambda: self.did.append(("look", threading.current_thread().name)))
        self.config = config


def test_the_server_is_made_of_these_settings_and_runs_in_threads_of_its_own(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = make(port=0)
    here = Started(page, monkeypatch)
    page.start()
    page.stop()
    hosts = frozenset({"front-door.local:4443", "192.168.1.20:4443"})
    settings = {
        "http": "h11", "ws": "none", "loop": "asyncio", "lifespan": "off", "log_config": None, "access_log": False,
        "server_header": False, "proxy_headers": False, "timeout_keep_alive": 30, "timeout_graceful_shutdown": 3,
    }  # fmt: skip
    assert here.did == [
        ("config", ("built", page._application, hosts, ""), settings),
        "loaded",
        ("listener", here.listener, "TLS", {}),
        ("server", here.config, "the listener", {}),
        ("run", [here.listener], "page", True),
        ("look", "page network"),
    ]
    assert (page.port, page.url) == (4443, "https://front-door.local:4443/")
    assert (here.server.should_exit, here.listener.closed) == (True, 0)
    assert not [each for each in threading.enumerate() if each.name.startswith("page")]


def test_a_page_that_is_stopped_looks_at_the_network_again_when_it_is_started_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = make(port=0)
    Started(page, monkeypatch)
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    for _ in range(2):
        looked = threading.Semaphore(0)
        monkeypatch.setattr(page, "_look", looked.release)
        page.start()
        for _ in range(3):
            assert looked.acquire(timeout=10)
        page.stop()


def test_a_page_that_does_not_start_within_twenty_seconds_gives_its_port_back(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = make(port=0)
    here = Started(page, monkeypatch, starts=False)
    waits: list[float] = []
    monkeypatch.setattr(
        module, "threading",
        SimpleNamespace(Event=lambda: SimpleNamespace(wait=waits.append), Thread=threading.Thread),
    )  # fmt: skip
    with pytest.raises(NetworkError, match="does not start") as refused:
        page.start()
    assert refused.value.remedy == "Look at the log."
    assert waits == [0.01] * 2000
    assert (here.server.should_exit, here.listener.closed) == (True, 1)
    assert not [each for each in here.did if each[0] == "look"]


def test_the_page_is_put_together_of_the_doorbells_own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def stand_in(name: str) -> Any:
        def make(*what: Any, **settings: Any) -> Any:
            made[name] = what, settings
            return SimpleNamespace(
                name=name, version="p1", authority_der=b"DER", fingerprint="AA", answer_in_link="answers", close=int
            )

        return make

    for name in ("PageCertificates", "Sessions", "Pages", "PageOperations", "Timeline"):
        monkeypatch.setattr(module, name, stand_in(name))
    clock = SteppedClock(utc_offset_ns=(NOW_S - 100) * 10**9 + 250_000_000)
    owners = SimpleNamespace(has_left="has_left")
    asked = SimpleNamespace(control="control", enrolments=owners, manifest="manifest", entropy="entropy")
    parts = PageDeps(**vars(asked), clock=clock, facts="facts", live="live", glances="glances",  # type: ignore[arg-type]
                     believed_ms=lambda: 1_700_000_000_999)  # fmt: skip
    settings = PageConfig(host="127.0.0.1", port=8443, addresses=("10.0.0.5",), mdns=False)
    page = PageServer(settings, tmp_path, "Front door", parts)
    now = datetime.datetime.fromtimestamp(NOW_S + 0.25, datetime.UTC)
    assert made["PageCertificates"] == ((tmp_path, "front-door.local", ("10.0.0.5",), now), {})
    (path, entropy, now_s, lets_in, believed_s, has_left), _ = made["Sessions"]
    assert (path, entropy, now_s(), lets_in("ABCD")) == (tmp_path / "page.sqlite", "entropy", NOW_S, None)
    assert has_left == "has_left"
    assert believed_s() == 1_700_000_000
    (name, authority, fingerprint, urls, proof, button_code), _ = made["Pages"]
    assert button_code == page.button.sealed
    install = "http://10.0.0.5:8443/install"
    assert (name, authority, fingerprint, proof(b"DER")) == ("Front door", b"DER", "AA", None)
    assert urls() == ("https://front-door.local:8443/", install)
    assert made["Timeline"] == (("manifest",), {})
    (control, enrolments, timeline, sessions, entropy), more = made["PageOperations"]
    assert (control, enrolments, timeline.name, sessions.name, entropy) == (
        "control", owners, "Timeline", "Sessions", "entropy",
    )  # fmt: skip
    assert more.pop("trust")() == {"install": install, "fingerprint": "AA"}
    assert more == {"facts": "facts", "program": "p1", "live": "live", "glances": "glances"}
    assert page.answer_in_link == "answers"
    application = page._application
    assert (application.operations.name, application.sessions.name, application.pages.name) == (  # type: ignore[attr-defined]
        "PageOperations", "Sessions", "Pages",
    )  # fmt: skip
    page.close()


def test_each_look_at_the_network_sees_to_the_certificate(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "network", lambda: frozenset({(2, "192.168.1.30")}))
    page, certified = make(host="0.0.0.0", addresses=()), []
    monkeypatch.setattr(page.certificates, "certify", lambda *what: certified.append(what))
    page._look()
    page._look()
    assert certified == [(("192.168.1.30",), datetime.datetime.fromtimestamp(NOW_S, datetime.UTC))] * 2
    assert page._hosts == {"front-door.local:8443", "192.168.1.30:8443"}


@pytest.mark.parametrize(
    ("host", "family", "both"),
    [("127.0.0.1", socket.AF_INET, False), ("::1", socket.AF_INET6, False), ("::", socket.AF_INET6, True)],
)
def test_a_hundred_and_twenty_eight_callers_may_wait_at_the_port(
    make: Make, monkeypatch: pytest.MonkeyPatch, host: str, family: int, both: bool
) -> None:
    asked: list[Any] = []
    create: Any = lambda *where, **how: asked.append((*where, how))  # noqa: E731
    monkeypatch.setattr(module, "socket", SimpleNamespace(**{**vars(socket), "create_server": create}))
    make(host=host)._listen()
    assert asked == [((host, 8443), {"family": family, "dualstack_ipv6": both, "backlog": 128})]
