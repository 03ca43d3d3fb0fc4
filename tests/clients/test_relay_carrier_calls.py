"""The owner's computer at a relay, call by call and answer by answer, without a broker."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from agent.clients import relay_carrier
from agent.clients.relay_carrier import RelayCarrier, RelayPlace
from agent.errors import NetworkError
from agent.mqtt.outbound_client import PahoClient
from agent.mqtt.tls import TlsSocket

PLACE = RelayPlace("wss://relay.test/door", "account", "a secret", "ab" * 16)
WORKS, GRANTED, TAKEN = 0, 1, 0


def code(packet: int, value: int) -> ReasonCode:
    return ReasonCode(packet, identifier=value)


class Paho:
    """In place of paho's client: it notes each call, and answers at once."""

    answers: ClassVar[dict[str, Any]] = {}
    made: ClassVar[list[Paho]] = []

    def __init__(self, *arguments: object, **options: object) -> None:
        self.calls: list[tuple[Any, ...]] = [("new", arguments, options)]
        Paho.made.append(self)

    def __getattr__(self, name: str) -> Any:
        def note(*arguments: object, **options: object) -> None:
            self.calls.append((name, arguments, options))
            answer = Paho.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                answer(self)

        return note

    def names(self) -> list[str]:
        return [name for name, *_ in self.calls]


def connects(value: int) -> Callable[[Any], None]:
    return lambda client: client.on_connect(client, None, None, code(PacketTypes.CONNACK, value), None)


def subscribes(*values: int) -> Callable[[Any], None]:
    return lambda client: client.on_subscribe(
        client, None, 1, [code(PacketTypes.SUBACK, value) for value in values], None
    )


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The relay's answers, by the call: a test may change them."""
    answers = {"loop_start": connects(WORKS), "subscribe": subscribes(GRANTED)}
    monkeypatch.setattr(Paho, "answers", answers)
    monkeypatch.setattr(Paho, "made", [])
    monkeypatch.setattr(relay_carrier, "_RelayClient", Paho)
    return answers


def test_a_connection_is_one_session_of_its_account_over_tls(
    relay: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    authorities: list[str | None] = []
    make = ssl.create_default_context

    def context_of(cafile: str | None = None) -> ssl.SSLContext:
        authorities.append(cafile)
        return make()

    monkeypatch.setattr(ssl, "create_default_context", context_of)
    carrier = RelayCarrier(PLACE)
    carrier.send(b"a frame")
    carrier.close()
    (client,) = Paho.made
    topic = client.calls[6][1][0].removesuffix("/out")
    assert re.fullmatch(r"doorward/v1/link/account/(ab){16}/[0-9a-f]{32}", topic), topic
    ((context,), _), (_, connected), (_, subscribed), (_, published) = (client.calls[n][1:] for n in (2, 4, 6, 7))
    assert [(name, *arguments) for name, arguments, _ in client.calls] == [
        ("new", CallbackAPIVersion.VERSION2, ""),
        ("username_pw_set", "account", "a secret"),
        ("tls_set_context", context),
        ("ws_set_options", "/door"),
        ("connect", "relay.test", 443, 60),
        ("loop_start",),
        ("subscribe", f"{topic}/out"),
        ("publish", f"{topic}/in", b"a frame"),
        ("disconnect",),
        ("loop_stop",),
        ("drop",),
    ]
    assert client.calls[0][2] == {
        "protocol": mqtt.MQTTv5, "transport": "websockets", "reconnect_on_failure": False,
    }  # fmt: skip
    assert client.connect_timeout == 10.0
    assert (context.sslsocket_class, context.check_hostname, authorities) == (TlsSocket, True, [None])
    assert connected["properties"].json() == {"MaximumPacketSize": 16_384}
    assert subscribed["options"].json() == {"QoS": 1, "noLocal": True, "retainAsPublished": False, "retainHandling": 0}
    assert (published["qos"], published["properties"].json()) == (1, {"MessageExpiryInterval": 30})


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("wss://relay.test:8443", "relay.test", 8443, "/"),
        ("wss://relay.test/", "relay.test", 443, "/"),
        ("wss://", "", 443, "/"),
    ],
)
def test_a_relay_is_reached_at_its_host_its_port_and_its_path(
    relay: dict[str, Any], url: str, host: str, port: int, path: str
) -> None:
    RelayCarrier(RelayPlace(url, "account", "pw", "ab" * 16)).close()
    (client,) = Paho.made
    assert client.calls[3][1] == (path,)
    assert client.calls[4][1] == (host, port, 60)


def test_a_private_authority_is_asked_instead_of_the_systems(
    relay: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def context_of(cafile: str | None = None) -> Any:
        asked.append(cafile)
        return SimpleNamespace()

    monkeypatch.setattr(ssl, "create_default_context", context_of)
    RelayCarrier(RelayPlace("wss://relay.test", "account", "pw", "ab" * 16, "/ca.pem")).close()
    assert asked == ["/ca.pem"]


REFUSED = "The relay wss://relay.test/door refuses this account."
LEARN = "Learn the new account at home: 'doorward owner relay'."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"loop_start": connects(0x86)}, f"{REFUSED} {LEARN}"),
        ({"loop_start": connects(0x87)}, f"{REFUSED} {LEARN}"),
        (
            {"loop_start": connects(0x85)},
            "The relay wss://relay.test/door refuses: Client identifier not valid. Ask who runs it.",
        ),
        ({"subscribe": subscribes(0x87)}, f"{REFUSED} Ask who runs it."),
        ({"subscribe": subscribes(GRANTED, 0x87)}, f"{REFUSED} Ask who runs it."),
        (
            {"loop_start": lambda client: client.on_disconnect(client, None, None, None, None)},
            "The relay wss://relay.test/door ended the connection. Connect again.",
        ),
        ({"loop_start": None}, "The relay wss://relay.test/door does not answer. Try again in a minute."),
    ],
)
def test_a_relay_that_does_not_let_it_in_is_left_and_told_in_words(
    relay: dict[str, Any], monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(relay_carrier, "_CONNECT_S", 0.01)
    relay.update(answer)
    with pytest.raises(NetworkError) as told:
        RelayCarrier(PLACE)
    assert str(told.value) == words
    client: Any = Paho.made[0]
    assert client.names()[-3:] == ["disconnect", "loop_stop", "drop"]
    assert client.on_connect.__self__._ready.is_set(), "it does not wait longer for an answer"


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            untrusted(),
            "The certificate of wss://relay.test/door is not trusted: self-signed certificate. "
            "Is this the right relay? Name the authority of a private certificate: 'doorward owner relay --ca FILE'.",
        ),
        (
            ConnectionRefusedError("nobody listens"),
            "The relay wss://relay.test/door cannot be reached: nobody listens. Are you connected? Is the relay on?",
        ),
        (
            mqtt.WebsocketConnectionError("no upgrade"),
            "The relay wss://relay.test/door cannot be reached: no upgrade. Are you connected? Is the relay on?",
        ),
    ],
)
def test_a_relay_that_cannot_be_reached_is_told_in_words_and_its_connection_dropped(
    relay: dict[str, Any], error: Exception, words: str
) -> None:
    relay["connect"] = error
    with pytest.raises(NetworkError) as told:
        RelayCarrier(PLACE)
    assert str(told.value) == words
    assert Paho.made[0].names()[-2:] == ["connect", "drop"]


def test_frames_come_in_their_order_before_the_end_of_the_connection(relay: dict[str, Any]) -> None:
    carrier = RelayCarrier(PLACE)
    client: Any = Paho.made[0]
    assert carrier.receive(0.0) is None
    for payload in (bytearray(b"one"), b"two"):
        client.on_message(client, None, SimpleNamespace(payload=payload))
    client.on_disconnect(client, None, None, None, None)
    assert [carrier.receive(0.0), carrier.receive(0.0)] == [b"one", b"two"]
    for _ in range(2):
        with pytest.raises(NetworkError, match="ended the connection"):
            carrier.receive(0.0)
    with pytest.raises(NetworkError, match="ended the connection"):
        carrier.send(b"three")
    assert "publish" not in client.names()


def test_a_connection_that_its_owner_closed_says_so(relay: dict[str, Any]) -> None:
    carrier = RelayCarrier(PLACE)
    carrier.close()
    for _ in range(2):
        with pytest.raises(NetworkError) as told:
            carrier.receive(0.0)
        assert str(told.value) == "The connection to the relay is closed. Connect again."


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (TAKEN, None),
        (
            0x10,
            "The relay answers, but the doorbell is not connected to it. "
            "Is the doorbell on, and has it a connection to the Internet?",
        ),
        (0x97, "The relay wss://relay.test/door took no frame: Quota exceeded. Ask who runs it."),
    ],
)
def test_a_frame_that_reached_no_doorbell_ends_the_connection(
    relay: dict[str, Any], value: int, words: str | None
) -> None:
    carrier = RelayCarrier(PLACE)
    client: Any = Paho.made[0]
    client.on_publish(client, None, 1, code(PacketTypes.PUBACK, value), None)
    if words is None:
        assert carrier.receive(0.0) is None
        return
    client.on_disconnect(client, None, None, None, None)
    with pytest.raises(NetworkError) as told:
        carrier.receive(0.0)
    assert str(told.value) == words, "the first fault is told"


def test_a_socket_that_was_opened_is_closed_and_one_that_was_not_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    opened = SimpleNamespace(close=lambda: closed.append("closed"))
    monkeypatch.setattr(PahoClient, "_ssl_wrap_socket", lambda _self, tcp_sock: opened)
    client = relay_carrier._RelayClient(CallbackAPIVersion.VERSION2, "", protocol=mqtt.MQTTv5)
    client.drop()
    assert closed == []
    plain: Any = "a socket"
    wrapped: Any = client._ssl_wrap_socket(plain)
    assert wrapped is opened
    client.drop()
    assert closed == ["closed"]
