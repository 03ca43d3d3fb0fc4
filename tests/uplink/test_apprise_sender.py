"""A channel gets the words once, and a stranger's server nothing: no picture, no second address, no file."""

from __future__ import annotations

import ast
import contextlib
import importlib
import itertools
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.util import connection

from agent.core.alerts.channels import SCHEMES
from agent.errors import ConfigurationError, NetworkError
from agent.uplink import apprise_sender, cut_off
from agent.uplink.apprise_sender import AppriseSender
from tests.receivers import NtfyServer, Receiver
from tests.slow_servers import HANGS, OK, CutsOnceSpoken, Dripping

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def server(receiver: Receiver) -> Iterator[NtfyServer]:
    with NtfyServer(receiver) as running:
        assert isinstance(running, NtfyServer)
        yield running


def test_the_words_arrive_as_they_are_with_nothing_beside_them(server: NtfyServer, receiver: Receiver) -> None:
    words = "12:00  The *doorbell* rang. {{app_id}} <b>\nhttps://door.local/"
    AppriseSender().send(server.url, "Doorward: door", words, b"a sealed picture")
    ((_, title, body),) = receiver.messages
    assert (title, body) == ("Doorward: door", words)
    told = json.loads(receiver.raw[0].rpartition(b"\n")[2])
    assert {"icon", "attach", "click", "actions"}.isdisjoint(told), "a picture by its address asks a stranger's server"


def test_a_refusal_is_told_with_its_status_and_without_the_address(
    server: NtfyServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: logged.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    receiver.refuses = True
    importlib.import_module("apprise")  # it adds a handler that does nothing, once, and this test may be the first
    before = list(logging.getLogger("apprise").handlers)
    with pytest.raises(NetworkError) as refused:
        AppriseSender().send(server.url, "t", "b")
    assert refused.value.message == "The channel did not take it (it answered 503)."
    assert receiver.attempts == 1, "pace and repetition are not Apprise's"
    assert logging.getLogger("apprise").handlers == before
    assert logging.getLogger("apprise").propagate is False
    assert logged == [], "its warnings may hold the address"


def test_a_server_that_is_away_is_told_as_that(server: NtfyServer) -> None:
    server.go_away()
    with pytest.raises(NetworkError) as refused:
        AppriseSender().send(server.url, "t", "b")
    assert refused.value.message == "The channel did not take it (unreachable or too slow)."


def test_the_words_are_given_to_foreign_code_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would otherwise take them for Markdown or HTML where a service knows one of them."""
    given: list[dict[str, object]] = []
    logger = logging.getLogger("apprise")
    monkeypatch.setattr(logger, "propagate", True)

    def notify(**words: object) -> bool:
        given.append({**words, "propagate": logger.propagate, "listens": len(logger.handlers) - len(before)})
        return True

    service = SimpleNamespace(notify=notify)
    monkeypatch.setattr(AppriseSender, "_service", lambda _sender, _url: service)
    importlib.import_module("apprise")  # it adds a handler that does nothing, once, and this test may be the first
    before = list(logging.getLogger("apprise").handlers)
    AppriseSender().send("ntfy://phone/door", "a title", "a body", b"a picture")
    assert logging.getLogger("apprise").handlers == before
    assert given == [{"title": "a title", "body": "a body", "body_format": "text", "propagate": False, "listens": 1}]


def test_a_fault_of_foreign_code_is_tried_again_and_its_words_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def notify(**_: object) -> None:
        raise RuntimeError("ntfy://secret@phone/door")

    monkeypatch.setattr(AppriseSender, "_service", lambda _sender, _url: SimpleNamespace(notify=notify))
    with pytest.raises(NetworkError) as failed:
        AppriseSender().send("ntfy://secret@phone/door", "t", "b")
    assert failed.value.message == "The channel failed (RuntimeError)."


def test_a_redirect_leads_nowhere() -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with pytest.raises(NetworkError, match="it answered 307"):
            AppriseSender().send(f"ntfy://127.0.0.1:{server.server_address[1]}/door", "t", "b")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert len(asked) == 1


def service(url: str) -> Any:
    return AppriseSender()._service(url)


def test_the_address_changes_neither_the_limits_nor_what_is_closed() -> None:
    found = service("ntfy://127.0.0.1/door?cto=900&rto=900&retry=5&wait=60&image=yes")
    assert (found.socket_connect_timeout, found.socket_read_timeout) == (5.0, 15.0)
    assert found.include_image is False
    assert found.retry == 0
    assert found.wait == service("ntfy://127.0.0.1/door").wait
    asset = found.asset
    assert (asset.app_id, asset.app_desc, asset.app_url) == ("Doorward", "Doorward", "")
    assert (asset.image_url_mask, asset.image_url_logo, asset.image_path_mask) == ("", "", "")
    assert (asset.http_redirects, asset.secure_logging, asset.async_mode) == (False, True, False)
    assert (asset.pgp_autogen, asset.pem_autogen, asset.allow_templates) == (False, False, False)
    assert asset.storage_mode.value == "memory"
    assert asset.default_service_retry == 0


@pytest.mark.parametrize("url", ["json://127.0.0.1/hook", "file:///etc/passwd", "dbus://", "nothing"])
def test_what_is_no_channel_is_refused_with_the_ones_that_are(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no kind of channel") as refused:
        AppriseSender().check(url)
    assert "ntfys, gotify" in refused.value.remedy


def test_an_address_that_cannot_be_read_or_is_not_complete_says_so() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        AppriseSender().check("tgram://")
    with pytest.raises(ConfigurationError, match="is not complete"):
        AppriseSender().check("gotify://127.0.0.1")
    AppriseSender().check("NTFY://127.0.0.1/door")


@pytest.mark.parametrize("drips", [False, True], ids=["as fast as it can", "a byte at a time"])
def test_an_answer_without_end_is_cut_off(drips: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel is a server of strangers. Apprise would read its answer to the end, into the uplink's memory."""
    if drips:  # a second passes with each look at the clock, so the server has as long as it needs to begin
        looks = itertools.count()
        monkeypatch.setattr(apprise_sender, "time", SimpleNamespace(monotonic=lambda: float(next(looks))))
    sent, over = [0], threading.Event()

    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            piece = b"x" if drips else bytes(64 << 10)
            with contextlib.suppress(OSError):
                while sent[0] < 256 << 20 and not over.wait(0.02 if drips else 0):
                    sent[0] += self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        AppriseSender().send(f"ntfy://127.0.0.1:{server.server_address[1]}/door", "t", "b")
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
    assert sent[0] < 64 << 20, "the rest lies in the kernel's buffers"


def ntfy(server: Dripping) -> str:
    return f"ntfy://127.0.0.1:{server.port}/door"


def stall_at_once(monkeypatch: pytest.MonkeyPatch, server: Dripping) -> None:
    """Waits half a second for the rest of an answer, and for its beginning as long as this machine needs.

    The server has spoken before it is asked, so the time-out, which begins with the question, counts for the rest only.
    """
    connect = cut_off.CutOff.connect

    def reach(bound: cut_off.CutOff, address: tuple[str, int], timeout_s: float | None = None) -> socket.socket:
        opened = connect(bound, address, timeout_s)
        assert server.spoken.wait(HANGS)
        return opened

    monkeypatch.setattr(apprise_sender, "_ANSWER_S", 0.5)
    monkeypatch.setattr(cut_off.CutOff, "connect", reach)


def cut_once_spoken(monkeypatch: pytest.MonkeyPatch, server: Dripping) -> CutsOnceSpoken:
    """Ends each bound once the server has spoken. Returns the bounds."""
    cuts = CutsOnceSpoken(server.spoken)
    monkeypatch.setattr(cut_off, "threading", SimpleNamespace(Event=threading.Event, Timer=cuts))
    return cuts


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 100\r\n\r\nab",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
    ],
    ids=["length", "chunk", "no chunk", "no gzip"],
)
def test_a_server_that_took_the_words_and_stalls_in_its_answer_is_not_told_again(
    rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would ring a few hundred times: `Alerts` tries a fault for three days."""
    with Dripping(OK + rest, drip=b"", speaks_first=True) as server:
        stall_at_once(monkeypatch, server)
        AppriseSender().send(ntfy(server), "t", "b")
    assert server.connections == 1


def test_a_server_whose_answer_says_what_it_took_is_told_again_if_that_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    service("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7/#door")
    slack: Any = importlib.import_module("apprise.plugins.slack")
    for body, taken in ((b"ok", True), (b"o", False)):
        with (
            Dripping(OK + b"Content-Length: 100\r\n\r\n" + body, drip=b"", speaks_first=True) as server,
            monkeypatch.context() as bounds,
        ):
            stall_at_once(bounds, server)
            bounds.setattr(slack.NotifySlack, "webhook_url", f"http://127.0.0.1:{server.port}")
            with contextlib.nullcontext() if taken else pytest.raises(NetworkError, match="answered 200"):
                AppriseSender().send("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7/#door", "t", "b")
        assert server.connections == 1


def test_a_refusal_that_stalls_in_its_body_is_told_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nab"
    with Dripping(head, drip=b"", speaks_first=True) as server:
        stall_at_once(monkeypatch, server)
        with pytest.raises(NetworkError, match="it answered 503"):
            AppriseSender().send(ntfy(server), "t", "b")


@pytest.mark.parametrize(
    ("head", "taken"),
    [(b"HTTP/1", False), (OK + b"X-Slow: ", True), (b"HTTP/1.1 100 Go on\r\n\r\n", False)],
    ids=["status", "header", "before it"],
)
def test_a_head_that_comes_byte_by_byte_is_cut_off(head: bytes, taken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Dripping(head) as server:
        cuts = cut_once_spoken(monkeypatch, server)
        with contextlib.nullcontext() if taken else pytest.raises(NetworkError, match="did not take it"):
            AppriseSender().send(ntfy(server), "t", "b")
        assert server.left.wait(HANGS)
    assert server.connections == 1
    assert cuts.limits_s == [apprise_sender._MESSAGE_S, apprise_sender.LONGEST_S]


@pytest.mark.parametrize(
    ("mode", "head"),
    [("insecure", b"220-"), ("starttls", b"220-"), ("ssl", b"\x16\x03\x03\x40\x00")],
    ids=["insecure", "starttls", "ssl"],
)
def test_a_mail_server_that_greets_byte_by_byte_is_cut_off(
    mode: str, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `ssl` the greeting is a TLS record of 16 KiB."""
    with Dripping(head, speaks_first=True) as server:
        cuts = cut_once_spoken(monkeypatch, server)
        url = (
            f"mailto{'s' * (mode != 'insecure')}://127.0.0.1:{server.port}?from=d@a.example&to=a@a.example&mode={mode}"
        )
        with pytest.raises(NetworkError, match="did not take it"):
            AppriseSender().send(url, "t", "b")
        assert server.left.wait(HANGS)
    assert server.connections == 1
    assert cuts.limits_s == [apprise_sender._MESSAGE_S]


def test_a_mail_server_may_check_a_mail_for_a_minute_before_it_takes_it() -> None:
    service("mailto://127.0.0.1?from=d@a.example&to=a@a.example")
    controller: Any = importlib.import_module("apprise.plugins.email.smtp")
    with Dripping(b"220 door\r\n", drip=b"", speaks_first=True) as server, apprise_sender._cut_off(90):
        mail = controller.smtplib.SMTP("127.0.0.1", server.port, timeout=5)
        assert mail.sock.gettimeout() == 60
        mail.close()


def test_a_message_of_many_requests_has_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Matrix server says how many rooms there are, and each takes requests."""
    with Dripping(OK + b"X-Slow: ") as server:
        cuts = cut_once_spoken(monkeypatch, server)
        rooms = "/".join(f"door{n}" for n in range(40))
        with pytest.raises(NetworkError, match="TimeoutError"):
            AppriseSender().send(f"nctalk://user:secret@127.0.0.1:{server.port}/{rooms}", "t", "b")
    assert server.connections == 1
    assert cuts.limits_s == [apprise_sender._MESSAGE_S, apprise_sender.LONGEST_S]


@pytest.mark.parametrize("error", [False, True])
@pytest.mark.parametrize("pause_s", [3, 10**9])
def test_a_server_that_asks_for_a_long_pause_gets_none(
    pause_s: int, error: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apprise would sleep for as long as a Matrix server says: thirty years."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    asks = {"retry_after_ms": pause_s * 1000}
    body = json.dumps({"error": asks} if error else asks).encode()
    head = b"HTTP/1.1 429 Wait\r\nContent-Length: %d\r\n\r\n" % len(body)
    with Dripping(head + body, drip=b"") as server, pytest.raises(NetworkError):
        AppriseSender().send(f"matrix://user:secret@127.0.0.1:{server.port}/#door", "t", "b")
    assert (3 in slept, max(slept, default=0) > 3) == (pause_s == 3, False)


def test_what_is_outside_of_a_message_connects_as_before_and_pauses_for_no_server() -> None:
    """Matrix logs out when its object is deleted, which can be later."""
    service("mailto://127.0.0.1?from=d@a.example&to=a@a.example")
    controller: Any = importlib.import_module("apprise.plugins.email.smtp")
    with Dripping(b"220 door\r\n", drip=b"", speaks_first=True) as server:
        nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.create_connection(("127.0.0.1", server.port), 5, None, [nodelay]) as opened:
            assert opened.getsockopt(*nodelay[:2])
        mail = controller.smtplib.SMTP("127.0.0.1", server.port, timeout=5)
        mail.close()
    found = service("matrix://user:secret@127.0.0.1/#door")
    found.throttle()
    with pytest.raises(TimeoutError):
        found.throttle(wait=0.1)


def test_a_malformed_head_brings_the_address_into_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_sender, "_ANSWER_S", 0.5)
    logged: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: logged.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    talker = logging.getLogger("urllib3")
    monkeypatch.setattr(talker, "propagate", True)
    before = list(talker.handlers)
    with Dripping(OK + b"no header\r\nContent-Length: 2\r\n\r\n{}", drip=b"") as server:
        AppriseSender().send(ntfy(server), "t", "b")
    assert logged == []
    assert talker.handlers == before


@pytest.mark.parametrize("tell", [AppriseSender().check, lambda url: AppriseSender().send(url, "t", "b")])
def test_an_address_that_a_plugin_refuses_is_in_no_log(
    tell: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: logged.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    monkeypatch.setattr(logging.getLogger("apprise"), "propagate", True)
    with pytest.raises(ConfigurationError):
        tell("signal://127.0.0.1/secret-number")
    assert logged == []


def test_a_channel_is_told_no_status_of_another_one() -> None:
    with apprise_sender._AppriseLogHandler() as overheard:
        other = threading.Thread(target=logging.getLogger("apprise").warning, args=("error=503",))
        other.start()
        other.join()
        assert overheard.reason == "unreachable or too slow"
        logging.getLogger("apprise").warning("error=429")
    assert overheard.reason == "it answered 429"


def test_a_channel_loads_its_own_module_and_no_other() -> None:
    code = (
        "import sys\nfrom agent.uplink.apprise_sender import AppriseSender\n"
        "AppriseSender().check('ntfy://127.0.0.1/door')\n"
        "print(sorted(n for n in sys.modules if n.startswith('apprise.plugins.') and n.count('.') == 2))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout))
    assert "apprise.plugins.ntfy" in loaded
    others = {f"apprise.plugins.{module}" for module, _ in SCHEMES.values()} - {"apprise.plugins.ntfy"}
    assert loaded & others == set()
    assert not [name for name in loaded if name.rpartition(".")[2] in ("custom_json", "custom_xml", "custom_form")]
