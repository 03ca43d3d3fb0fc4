"""Browsers at a real relay: MQTT 5 over WebSocket and TLS, with an account. They keep all that comes."""

from __future__ import annotations

import secrets
import ssl
import threading
from collections import deque
from pathlib import Path
from typing import Any, Protocol

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.ipc.rpc import AnswerT, Request, read_answer, request_frame
from agent.mqtt.outbound_client import PahoClient
from tests.link_clients import LinkClient

__all__ = ["LinkChannel", "RelayBrowser", "RelayCarrier"]

PATIENCE_S = 30.0


class RelayAddress(Protocol):
    """Where a relay listens for browsers, and the folder of its broker."""

    host: str
    web_port: int
    directory: Path


class RelayBrowser:
    """A connection of a browser with `account`. `came`: topic and payload of each message."""

    def __init__(self, broker: RelayAddress, account: str, password: str, client_id: str = "") -> None:
        """`client_id`: also takes over the state that the relay keeps for this id."""
        self.came: deque[tuple[str, bytes]] = deque()
        self.refusal: str | None = None
        self._settled: dict[int, ReasonCode] = {}
        self._changed = threading.Condition()
        self._up = False
        self._subscribed = 0
        self._client = PahoClient(
            CallbackAPIVersion.VERSION2, client_id or secrets.token_hex(8), protocol=mqtt.MQTTv5, transport="websockets"
        )
        self._client.most_packet_bytes = 256 << 20  # as much as MQTT allows
        self._client.username_pw_set(account, password)
        authority = broker.directory / "authorities" / "broker.pem"
        self._client.tls_set_context(ssl.create_default_context(cafile=str(authority)))
        self._client.ws_set_options("/")
        self._client.on_connect = self._connected
        self._client.on_message = self._message
        self._client.on_publish = self._published
        self._client.on_subscribe = self._on_subscribe
        self._client.connect(broker.host, broker.web_port, 60, clean_start=not client_id)
        self._client.loop_start()
        self.wait(lambda: self._up or self.refusal is not None)

    def __enter__(self) -> RelayBrowser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic_filter: str) -> None:
        before = self._subscribed
        self._client.subscribe(topic_filter, options=SubscribeOptions(qos=1, noLocal=True))
        self.wait(lambda: self._subscribed > before)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Returns whether the relay took it."""
        number = self._client.publish(topic, payload, qos=1).mid
        self.wait(lambda: number in self._settled)
        with self._changed:
            return not self._settled.pop(number).is_failure

    def wait(self, condition: Any, patience_s: float = PATIENCE_S) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, patience_s), "the relay does not answer"

    def take(self, wait_s: float = 0.0) -> tuple[str, bytes] | None:
        """The next message, or None after `wait_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self.came, wait_s)
            return self.came.popleft() if self.came else None

    def _tell(self) -> None:
        self._changed.notify_all()

    def _connected(self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        with self._changed:
            if code.is_failure:
                self.refusal = str(code)
            self._up = not code.is_failure
            self._tell()

    def _message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.came.append((message.topic, bytes(message.payload)))
            self._tell()

    def _published(self, _client: Any, _data: Any, number: int, code: ReasonCode, _properties: Properties) -> None:
        with self._changed:
            self._settled[number] = code
            self._tell()

    def _on_subscribe(self, *_: object) -> None:
        with self._changed:
            self._subscribed += 1
            self._tell()


class RelayCarrier:
    """A carrier of `tests.link_clients` over a relay."""

    def __init__(self, browser: RelayBrowser, account: str, address: str) -> None:
        self._browser = browser
        self._root = f"doorward/v1/link/{account}/{address}"
        self._begun: set[str] = set()

    def send(self, session: str, *frames: bytes) -> None:
        if session not in self._begun:
            self._begun.add(session)
            self._browser.subscribe(f"{self._root}/{session}/out")
        for frame in frames:
            assert self._browser.publish(f"{self._root}/{session}/in", frame)

    def fetch(self, session: str, wait_s: float = 0.0) -> list[bytes]:
        found = []
        while (came := self._browser.take(0.0 if found else wait_s)) is not None:
            assert came[0] == f"{self._root}/{session}/out"
            found.append(came[1])
        return found


class LinkChannel:
    """`owner.sync.DeviceChannel` in a session of the link: what the owner's programs do over the control socket."""

    def __init__(self, client: LinkClient) -> None:
        self.client = client

    def ask(self, request: Request[AnswerT], *, body: bytes = b"") -> AnswerT:
        return self.fetch(request, body=body)[0]

    def fetch(self, request: Request[AnswerT], *, body: bytes = b"") -> tuple[AnswerT, bytes]:
        head = dict(request_frame(request).head)
        answer = self.client.ask(str(head.pop("op")), body, **head)
        return read_answer(type(request), answer.head), answer.body
