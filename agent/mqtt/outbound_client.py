"""paho's client for a process that only opens connections, and the messages of a connection with their MQTT properties.

The client works without bind(2) and listen(2). It also bounds the memory that a broker can use: paho alone reads any
packet into memory, up to 256 MB.

The uplink's sandbox forbids both (systemd/doorward-uplink.service). paho binds before every connection, to the address
it would get anyway, and its thread wakes itself through a TCP socket that it listens on. Here the bind is left out, and
the thread has a socket pair. Source: paho-mqtt 2.2, `Client._create_socket_connection` and `_socketpair_compat`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.core.bus import MessageReceived
from agent.mqtt.bus_settings import BusSettings

__all__ = ["InboundPublish", "OutboundPublish", "PahoClient", "connect_properties"]


class PahoClient(paho.Client):
    """`paho.Client` with the same behaviour for its callers.  It ends a connection that announces a larger packet."""

    most_packet_bytes = 64 << 10
    """Without the first byte and the length."""

    def _sock_recv(self, bufsize: int) -> bytes:
        # Before each read, because a fast broker fills one read with as much as was asked for.
        if self._in_packet["remaining_length"] > self.most_packet_bytes:
            raise ConnectionAbortedError("The broker sends a larger packet than this client takes.")
        return super()._sock_recv(bufsize)

    def loop_stop(self) -> MQTTErrorCode:
        """Ends the thread of `loop_start`, waits for it, and closes the sockets that wake it."""
        try:
            code = super().loop_stop()
        except AttributeError:  # paho: it waits for `self._thread`, which the thread sets to None as it ends
            code = MQTTErrorCode.MQTT_ERR_SUCCESS
        # paho leaves them to its `__del__`. A client holds its callbacks and is mostly held by them, so that would be
        # whenever Python looks for circles, and the sockets may come first.
        if self._thread is None:
            self._reset_sockets(sockpair_only=True)
        return code

    def _create_socket_connection(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), timeout=self._connect_timeout)


def _pair() -> tuple[socket.socket, socket.socket]:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    return reader, writer


paho._socketpair_compat = _pair


@dataclass(frozen=True, slots=True)
class OutboundPublish:
    """One message on its way out."""

    token: int
    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None
    properties: tuple[tuple[str, str], ...]

    def packet_bytes(self) -> int:
        """An upper bound of its PUBLISH packet, at most a dozen bytes too high."""
        text = sum(len(key.encode()) + len(value.encode()) + 5 for key, value in self.properties)
        return len(self.payload) + len(self.topic.encode()) + text + 20

    def mqtt_properties(self) -> Properties | None:
        """None if there is nothing to say, as for every chunk: paho takes as long to pack empty properties as full
        ones."""
        if self.expiry_s is None and not self.properties:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if self.expiry_s is not None:
            properties.MessageExpiryInterval = self.expiry_s
        if self.properties:
            properties.UserProperty = list(self.properties)
        return properties


@dataclass(frozen=True, slots=True)
class InboundPublish:
    """One inbound message before its acknowledgement to the broker; `packet_id` 0 needs none."""

    message: MessageReceived
    packet_id: int


def connect_properties(settings: BusSettings) -> Properties:
    """Without topic aliases, and with our limits."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_s
    # MQTT 5 §3.1.2.11.3. mosquitto 2.0.11 (Debian 12) ignores it, so the inbound queue has a bound as well.
    properties.ReceiveMaximum = settings.inbound_window
    properties.MaximumPacketSize = settings.inbound_packet_bytes
    # paho resolves no aliases, so the broker must use none (§3.1.2.11.5).
    properties.TopicAliasMaximum = 0
    return properties
