"""Carries frames of the link from the owner's computer to a relay: MQTT 5 over WebSocket and TLS (LINK.md).

One connection is one session, as in the page (`agent/web/src/mqtt_carrier.js`). It ends with the first fault, and
`send` and `receive` then raise that fault in words.
"""

from __future__ import annotations

import queue
import secrets
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.errors import NetworkError
from agent.mqtt.outbound_client import PahoClient
from agent.mqtt.tls import TlsSocket
from agent.wire.link.topics import client_topic

__all__ = ["RelayCarrier", "RelayPlace"]

_CONNECT_S: Final = 10.0
_KEEPALIVE_S: Final = 60
_EXPIRY_S: Final = 30
_LARGEST_PACKET: Final = 16_384
_WSS_PORT: Final = 443
_BAD_ACCOUNT: Final = (0x86, 0x87)
_NO_SUBSCRIBER: Final = 0x10


@dataclass(frozen=True, slots=True)
class RelayPlace:
    """A doorbell's `address` at the relay `url`. `ca`: the file of an authority, or empty for the system's."""

    url: str
    account: str
    password: str
    address: str
    ca: str = ""


class _RelayClient(PahoClient):
    """Closes its connection in each case: paho leaves it open if the WebSocket does not begin."""

    _opened: ssl.SSLSocket | None = None

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        self._opened = super()._ssl_wrap_socket(tcp_sock)
        return self._opened

    def drop(self) -> None:
        if self._opened is not None:
            self._opened.close()


class RelayCarrier:
    """`agent.clients.owner.link_session.FrameCarrier`. Connects at once; raises `NetworkError`."""

    def __init__(self, route: RelayPlace) -> None:
        self._came: queue.Queue[bytes | None] = queue.Queue()
        self._fault: NetworkError | None = None
        self._ready = threading.Event()
        self._place = route.url
        self._topic = client_topic(route.account, route.address, secrets.token_hex(16))
        self._client = self._make_client(route)
        place = urlsplit(route.url)
        try:
            self._client.connect(
                place.hostname or "", place.port or _WSS_PORT, _KEEPALIVE_S, properties=_connect_properties()
            )
        except (OSError, mqtt.WebsocketConnectionError) as error:
            self._client.drop()
            raise _unreachable(self._place, error) from error
        self._client.loop_start()
        if not self._ready.wait(_CONNECT_S):
            self._end(NetworkError(f"The relay {self._place} does not answer.", remedy="Try again in a minute."))
        self._raise_fault()

    def send(self, frame: bytes) -> None:
        self._raise_fault()
        expiry = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        expiry.MessageExpiryInterval = _EXPIRY_S
        self._client.publish(f"{self._topic}/in", frame, qos=1, properties=expiry)

    def receive(self, timeout_s: float) -> bytes | None:
        try:
            found = self._came.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if found is None:
            self._came.put(None)
            raise self._fault or NetworkError("The connection to the relay is closed.", remedy="Connect again.")
        return found

    def close(self) -> None:
        self._came.put(None)
        self._client.disconnect()
        self._client.loop_stop()
        self._client.drop()

    def _make_client(self, route: RelayPlace) -> _RelayClient:
        # The relay chooses the client id.
        client = _RelayClient(CallbackAPIVersion.VERSION2, "", protocol=mqtt.MQTTv5, transport="websockets",
                              reconnect_on_failure=False)  # fmt: skip
        client.connect_timeout = _CONNECT_S
        client.username_pw_set(route.account, route.password)
        context = ssl.create_default_context(cafile=route.ca or None)
        context.sslsocket_class = TlsSocket
        client.tls_set_context(context)
        client.ws_set_options(urlsplit(route.url).path or "/")
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = lambda _client, _data, message: self._came.put(bytes(message.payload))
        client.on_publish = self._on_publish
        client.on_disconnect = lambda *_: self._end(
            NetworkError(f"The relay {self._place} ended the connection.", remedy="Connect again.")
        )
        return client

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if code.value in _BAD_ACCOUNT:
            remedy = "Learn the new account at home: 'doorward owner relay'."
            self._end(NetworkError(f"The relay {self._place} refuses this account.", remedy=remedy))
        elif code.is_failure:
            self._end(NetworkError(f"The relay {self._place} refuses: {code}.", remedy="Ask who runs it."))
        else:
            client.subscribe(f"{self._topic}/out", options=SubscribeOptions(qos=1, noLocal=True))

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        if any(code.is_failure for code in codes):
            self._end(NetworkError(f"The relay {self._place} refuses this account.", remedy="Ask who runs it."))
        self._ready.set()

    def _on_publish(self, _client: Any, _data: Any, _mid: int, code: ReasonCode, _properties: Any) -> None:
        if code.value == _NO_SUBSCRIBER:
            remedy = "Is the doorbell on, and has it a connection to the Internet?"
            self._end(NetworkError("The relay answers, but the doorbell is not connected to it.", remedy=remedy))
        elif code.is_failure:
            self._end(NetworkError(f"The relay {self._place} took no frame: {code}.", remedy="Ask who runs it."))

    def _raise_fault(self) -> None:
        if self._fault is not None:
            self.close()
            raise self._fault

    def _end(self, fault: NetworkError) -> None:
        """The first fault is the one that is told."""
        self._fault = self._fault or fault
        self._ready.set()
        self._came.put(None)


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = _LARGEST_PACKET
    return properties


def _unreachable(place: str, error: Exception) -> NetworkError:
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = (
            "Is this the right relay? Name the authority of a private certificate: 'doorward owner relay --ca FILE'."
        )
        return NetworkError(f"The certificate of {place} is not trusted: {error.verify_message}.", remedy=remedy)
    return NetworkError(f"The relay {place} cannot be reached: {error}.", remedy="Are you connected? Is the relay on?")
