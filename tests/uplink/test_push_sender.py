"""A push service on loopback, and a browser's half of the encryption."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.clients.opening import HybridIdentity, open_bytes
from agent.core.vault.age.sealing import seal_bytes
from agent.core.webpush import padded, point_of, push_address
from agent.errors import ConfigurationError, NetworkError
from agent.uplink import cut_off
from agent.uplink.push_sender import WebPushSender, _message, _over_tls
from agent.wire.strictjson import decode_base64, encode_base64, encode_base64url
from tests.core.test_webpush import verify
from tests.slow_servers import HANGS, CutsOnceSpoken, Dripping

ENDPOINT = "https://push.test/p/an-address-nobody-guesses"


class PushService:
    """Takes what RFC 8030 lets it take; `answers` is what it says. `address`: of this machine, where it listens."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.answers = 201
        self._address = address
        self.taken: list[tuple[dict[str, str], bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.taken.append(({**self.headers, "path": self.path}, body))
                self.send_response(service.answers)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def connect(self, host: str, port: int) -> http.client.HTTPConnection:
        assert (host, port) == ("push.test", 443)
        return http.client.HTTPConnection(self._address, int(self.server.server_address[1]), timeout=30)


class Browser:
    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.auth = b"sixteen bytes ab"

    def open(self, body: bytes) -> dict[str, Any]:
        salt, sender, sealed = body[:16], body[21:86], body[86:]
        assert body[16:21] == b"\x00\x00\x10\x00\x41"
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        info = b"WebPush: info\0" + point_of(self.key) + sender
        seed = HKDF(hashes.SHA256(), 32, self.auth, info).derive(shared)
        key = HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(seed)
        nonce = HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(seed)
        plain = AESGCM(key).decrypt(nonce, sealed, None)
        assert plain[-1:] == b"\x02"
        opened: dict[str, Any] = json.loads(plain[:-1])
        return opened


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService() as running:
        yield running


def address(browser: Browser, vapid: ec.EllipticCurvePrivateKey) -> str:
    return push_address(ENDPOINT, encode_base64url(point_of(browser.key)), encode_base64url(browser.auth), vapid)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("Rang.\nhttps://door.local:8443/live", {"body": "Rang.", "page": "/live"}),
        ("Rang.\nMoved.\nhttps://door.local:8443/", {"body": "Rang.\nMoved.", "page": "/"}),
        ("https://door.local:8443/live", {"body": "https://door.local:8443/live"}),
        ("Rang.\nhttp://elsewhere/", {"body": "Rang.\nhttp://elsewhere/"}),
    ],
)
def test_the_link_of_a_message_reaches_the_browser_as_a_path_of_its_page(
    service: PushService, body: str, told: dict[str, str]
) -> None:
    browser, vapid = Browser(), ec.generate_private_key(ec.SECP256R1())
    WebPushSender(service.connect).send(address(browser, vapid), "Doorward: door", body)
    ((_, sealed),) = service.taken
    assert browser.open(sealed) == {"title": "Doorward: door"} | told


def test_a_message_with_a_picture_is_as_long_as_one_without_and_one_that_is_too_long_goes_without(
    service: PushService,
) -> None:
    browser, vapid = Browser(), ec.generate_private_key(ec.SECP256R1())
    key = HybridIdentity(b"g" * 32)
    sealed = seal_bytes(b"W" * 1500, [key.recipient()], file_key=b"f" * 16, nonce=b"n" * 16)
    many_lines = "\n".join(["14:03  Something moved at the door."] * 20)
    for body, picture in (("Rang.", b""), ("Rang.", sealed), (many_lines, sealed)):
        WebPushSender(service.connect).send(address(browser, vapid), "Doorward: door", body, picture)
    assert len({len(body) for _, body in service.taken}) == 1
    without, with_one, too_long = (browser.open(body) for _, body in service.taken)
    assert "picture" not in without
    assert "picture" not in too_long
    told = with_one["picture"]
    assert told["header"].splitlines()[-1].startswith("--- ")
    assert told["header"].endswith("\n"), "and nothing of the payload, which is no text"
    assert open_bytes(told["header"].encode() + decode_base64(told["payload"]), [key]) == b"W" * 1500


def test_a_message_tells_the_browser_how_old_it_is_if_the_clock_was_known(service: PushService) -> None:
    browser, vapid = Browser(), ec.generate_private_key(ec.SECP256R1())
    for at_ms in (1_800_000_000_000, 0):
        WebPushSender(service.connect).send(address(browser, vapid), "Doorward: door", "Rang.", at_ms=at_ms)
    first, unknown = (browser.open(body) for _, body in service.taken)
    assert (first["at"], "at" in unknown) == (1_800_000_000_000, False)
    assert len({len(body) for _, body in service.taken}) == 1


def test_a_picture_whose_header_is_no_text_keeps_no_alert_back() -> None:
    told = json.loads(_message({"title": "t"}, b"age\xff\n--- mac\n\x00payload"))
    assert told == {
        "title": "t",
        "picture": {"header": "age\ufffd\n--- mac\n", "payload": encode_base64(b"\x00payload")},
    }
    assert json.loads(_message({"title": "t"}, b"")) == {"title": "t"}


def test_letters_beyond_ascii_take_no_more_room_of_a_message_than_their_utf_8() -> None:
    told = {"title": "Haustür"}
    for picture, text in (
        (b"", '{"title": "Haustür"}'),
        (b"age\n--- m\np", '{"title": "Haustür", "picture": {"header": "age\\n--- m\\n", "payload": "cA=="}}'),
    ):
        assert _message(told, picture) == padded(text.encode())


def test_the_browser_opens_what_the_service_in_between_cannot_read(service: PushService) -> None:
    browser, vapid = Browser(), ec.generate_private_key(ec.SECP256R1())
    WebPushSender(service.connect).send(address(browser, vapid), "Doorward: door", "14:03  The doorbell rang.")
    ((headers, body),) = service.taken
    assert browser.open(body) == {"title": "Doorward: door", "body": "14:03  The doorbell rang."}
    assert b"button" not in body
    assert headers["path"] == "/p/an-address-nobody-guesses"
    assert headers["Content-Encoding"] == "aes128gcm"
    assert int(headers["TTL"]) > 0
    claims = verify(headers["Authorization"])
    assert claims["aud"] == "https://push.test"
    assert headers["Authorization"].endswith(encode_base64url(point_of(vapid)))


@pytest.mark.parametrize(("status", "words"), [(410, "ended its subscription"), (429, "answered 429"), (500, "500")])
def test_a_refusal_is_told_without_the_address(service: PushService, status: int, words: str) -> None:
    service.answers = status
    with pytest.raises(NetworkError, match=words) as refused:
        WebPushSender(service.connect).send(address(Browser(), ec.generate_private_key(ec.SECP256R1())), "t", "b")
    assert "guesses" not in str(refused.value)


def test_an_address_that_is_none_is_the_operators_to_mend() -> None:
    with pytest.raises(ConfigurationError):
        WebPushSender().send('webpush:{"endpoint": "https://push.test"}', "t", "b")


def test_a_message_is_urgent_is_kept_for_a_day_and_names_no_owner(service: PushService) -> None:
    before_s = int(time.time())
    WebPushSender(service.connect).send(address(Browser(), ec.generate_private_key(ec.SECP256R1())), "t", "b")
    ((headers, _),) = service.taken
    assert (headers["TTL"], headers["Urgency"]) == ("86400", "high")
    assert headers["Content-Type"] == "application/octet-stream"
    claims = verify(headers["Authorization"])
    assert claims["sub"] == "https://doorward.invalid/"
    assert 0 <= claims["exp"] - before_s - 12 * 3600 <= 600


@pytest.mark.parametrize(
    ("endpoint", "host", "port", "path"),
    [
        ("https://push.test/p/a?token=b", "push.test", 443, "/p/a?token=b"),
        ("https://push.test:8443/p", "push.test", 8443, "/p"),
        ("https://push.test", "push.test", 443, "/"),
    ],
)
def test_the_whole_endpoint_is_used(service: PushService, endpoint: str, host: str, port: int, path: str) -> None:
    browser, reached = Browser(), []

    def connect(host: str, port: int) -> http.client.HTTPConnection:
        reached.append((host, port))
        return service.connect("push.test", 443)

    key = ec.generate_private_key(ec.SECP256R1())
    url = push_address(endpoint, encode_base64url(point_of(browser.key)), encode_base64url(browser.auth), key)
    WebPushSender(connect).send(url, "t", "b")
    assert reached == [(host, port)]
    assert service.taken[0][0]["path"] == path


@pytest.mark.parametrize("status", [200, 201, 299])
def test_each_answer_of_success_is_one(service: PushService, status: int) -> None:
    service.answers = status
    WebPushSender(service.connect).send(address(Browser(), ec.generate_private_key(ec.SECP256R1())), "t", "b")


@pytest.mark.parametrize(("status", "words"), [(404, "ended its subscription"), (300, "answered 300")])
def test_each_other_answer_is_a_refusal(service: PushService, status: int, words: str) -> None:
    service.answers = status
    with pytest.raises(NetworkError, match=words):
        WebPushSender(service.connect).send(address(Browser(), ec.generate_private_key(ec.SECP256R1())), "t", "b")


def test_a_service_that_cannot_be_reached_is_told_by_the_kind_of_its_fault_and_let_go() -> None:
    closed: list[bool] = []

    class Away:
        def request(self, *_: object) -> None:
            raise ConnectionRefusedError("https://push.test/p/an-address-nobody-guesses")

        def close(self) -> None:
            closed.append(True)

    sender = WebPushSender(lambda _host, _port: Away())  # type: ignore[arg-type, return-value]
    with pytest.raises(NetworkError) as refused:
        sender.send(address(Browser(), ec.generate_private_key(ec.SECP256R1())), "t", "b")
    assert refused.value.message == "The push service cannot be reached (ConnectionRefusedError)."
    assert closed == [True]


@pytest.mark.parametrize(
    ("head", "taken"),
    [(b"HTTP/1", False), (b"HTTP/1.1 201 Created\r\nX-Slow: ", True)],
    ids=["status", "header"],
)
def test_a_head_that_comes_byte_by_byte_is_cut_off_and_its_status_counts(
    head: bytes, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Dripping(head) as server:
        cuts = CutsOnceSpoken(server.spoken)
        monkeypatch.setattr(cut_off, "threading", SimpleNamespace(Event=threading.Event, Timer=cuts))
        reach = lambda _host, _port: http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)  # noqa: E731
        with nullcontext() if taken else pytest.raises(NetworkError, match="cannot be reached"):
            WebPushSender(reach, longest_s=60.0).send(
                address(Browser(), ec.generate_private_key(ec.SECP256R1())), "t", "b"
            )
        assert server.left.wait(HANGS)
    assert cuts.limits_s == [60.0]


def test_a_name_that_cannot_be_looked_up_ends_no_sender() -> None:
    """It is too long for a label, which Python's resolver takes for a wrong value and not for an absent host."""
    endpoint, browser = f"https://{'a' * 70}.test/p", Browser()
    key = ec.generate_private_key(ec.SECP256R1())
    url = push_address(endpoint, encode_base64url(point_of(browser.key)), encode_base64url(browser.auth), key)
    with pytest.raises(NetworkError, match="cannot be reached"):
        WebPushSender().send(url, "t", "b")


def test_the_push_service_is_reached_over_tls_that_is_checked_and_not_waited_for_long() -> None:
    connection = _over_tls("push.test", 443)
    assert isinstance(connection, http.client.HTTPSConnection)
    assert connection.timeout == 15.0
    context = connection._context  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("url", ["webpush:", "webpush:[]", "webpush:5", 'webpush:{"endpoint": 5}'])
def test_each_address_that_is_none_says_how_to_get_one(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no push subscription") as refused:
        WebPushSender().send(url, "t", "b")
    assert refused.value.remedy == "Switch it on in the page again."
