"""One connection to a broker: one paho client, driven by hand from one thread, used once and thrown away.

Rules:
- paho's own thread, reconnecting, queue and window are not used.  Everything it remembers dies with the client, so
  nothing is sent twice, resent for ever or sent after it was reported lost.
- A publication is settled by the reason code of its PUBACK and by nothing else.
- No topic alias leaves; an incoming one is a broken protocol, because paho would deliver it without a topic.
- What paho raises on hostile bytes, which may be anything, ends the connection and not the thread.

Source: MQTT 5.0 §3.1.2.11 and §3.2.2.3 (limits), §4.13 (errors); paho-mqtt 2.2 `client.py`.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.adapters.mqtt import tls
from agent.adapters.mqtt.settings import BusSettings
from agent.adapters.mqtt.tls import LinkError
from agent.core.bus import (
    Acknowledged,
    Connected,
    LinkFault,
    Received,
    Refused,
    Settled,
    Subscribed,
    SubscriptionRefused,
)

__all__ = ["Connection", "Delivered", "Publication"]

LARGEST_PACKET_BYTES = 268_435_455
_NO_SUBSCRIBERS, _FAILURE, _TOO_LARGE, _NO_RETAIN = 0x10, 0x80, 0x95, 0x9A
_FAULTS = {
    0x81: LinkFault.PROTOCOL,
    0x82: LinkFault.PROTOCOL,
    0x84: LinkFault.PROTOCOL,
    0x85: LinkFault.NOT_AUTHORISED,
    0x86: LinkFault.NOT_AUTHORISED,
    0x87: LinkFault.NOT_AUTHORISED,
    0x8A: LinkFault.NOT_AUTHORISED,
    0x8C: LinkFault.NOT_AUTHORISED,
    0x88: LinkFault.BUSY,
    0x89: LinkFault.BUSY,
    0x8B: LinkFault.BUSY,
    0x8E: LinkFault.TAKEN_OVER,
    0x93: LinkFault.PROTOCOL,
    0x94: LinkFault.PROTOCOL,
    0x95: LinkFault.PROTOCOL,
    0x96: LinkFault.BUSY,
    0x97: LinkFault.BUSY,
    0x9F: LinkFault.BUSY,
}
_REMEDIES = {
    LinkFault.NOT_AUTHORISED: "Ask who runs the broker to admit this name.",
    LinkFault.TAKEN_OVER: "Two clients use one certificate: give each its own.",
    LinkFault.BUSY: "Nothing to do: it is tried again.",
    LinkFault.PROTOCOL: "Check that the broker speaks MQTT 5 and what its limits are.",
}


@dataclass(frozen=True, slots=True)
class Publication:
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


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message on its way in, not yet acknowledged to the broker; `packet_id` 0 needs no acknowledgement."""

    message: Received
    packet_id: int


Happening = Connected | Settled | Subscribed | SubscriptionRefused | Delivered


class Connection:
    """`open`, then `step` until it raises `LinkError`, then `close`.  All from one thread."""

    def __init__(self, settings: BusSettings, context: ssl.SSLContext) -> None:
        self._settings = settings
        self._context = context
        self._happened: list[Happening] = []
        self._tokens: dict[int, int] = {}
        self._filters: dict[int, str] = {}
        self._connected = False
        self._packet_bytes = LARGEST_PACKET_BYTES
        self._retains = True
        self._fault: LinkError | None = None
        self._sock: tls.TidySocket | None = None
        self._deadline = 0.0
        self._selector = selectors.DefaultSelector()
        self._client = self._make_client()
        self.dropped = 0
        """Messages that came in and were not well-formed."""

    def open(self, wake: socket.socket) -> None:
        """Make the TCP and TLS connection and send CONNECT.  `wake` becomes readable to cut a `step` short."""
        settings = self._settings
        try:
            self._client.connect(
                settings.host,
                settings.port,
                settings.keepalive_s,
                clean_start=True,
                properties=_connect_properties(settings),
            )
        except OSError as error:
            raise tls.explain(error, settings) from error
        sock = self._client.socket()
        if sock is None:
            raise self._why_it_ended()
        self._selector.register(sock, selectors.EVENT_READ)
        self._selector.register(wake, selectors.EVENT_READ)
        self._deadline = time.monotonic() + settings.connect_s

    def step(self, timeout_s: float) -> list[Happening]:
        """Move packets for at most `timeout_s`; say what happened.  Raises `LinkError` when the connection is over."""
        sock = self._client.socket()
        if isinstance(sock, ssl.SSLSocket) and self._fault is None:
            if self._waiting:
                timeout_s = min(timeout_s, self._deadline - time.monotonic())
            self._move(sock, 0.0 if self._happened or sock.pending() else max(0.0, timeout_s))
        happened, self._happened = self._happened, []
        if not happened:
            self._check()
        return happened

    def publish(self, publication: Publication) -> None:
        """Send it, or settle it at once as refused when the broker has said it would not take it."""
        self._tick_if_idle()
        size_bytes = publication.packet_bytes()
        if size_bytes > self._packet_bytes:
            limit = f"{size_bytes} bytes, the broker takes {self._packet_bytes}"
            self._happened.append(Refused(publication.token, _TOO_LARGE, f"packet too large: {limit}"))
            return
        if publication.retain and not self._retains:
            self._happened.append(Refused(publication.token, _NO_RETAIN, "the broker retains nothing"))
            return
        info = self._client.publish(
            publication.topic,
            publication.payload,
            qos=1,
            retain=publication.retain,
            properties=_publish_properties(publication),
        )
        self._tokens[info.mid] = publication.token

    def subscribe(self, topic_filter: str) -> None:
        """Ask for a filter; retained messages come first."""
        _, packet_id = self._client.subscribe(topic_filter, options=SubscribeOptions(qos=1))
        if packet_id is not None:
            self._filters[packet_id] = topic_filter

    def unsubscribe(self, topic_filter: str) -> None:
        self._client.unsubscribe(topic_filter)

    def acknowledge(self, packet_id: int) -> None:
        """Tell the broker that a delivered message was taken."""
        if packet_id:
            self._client.ack(packet_id, 1)

    def close(self) -> None:
        """Say goodbye if there is anybody to hear it, and let go of the socket.  Idempotent."""
        self._selector.close()
        if self._connected:
            self._client.disconnect()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    # paho's callbacks: all run inside `step` or `publish`, on our thread.

    def _make_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.name,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = self._settings.connect_s
        client.max_inflight_messages = 0  # ours is the window; zero keeps paho from queueing behind it
        client.tls_set_context(self._context)
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_socket_open(self, _client: paho.Client, _userdata: object, sock: object) -> None:
        if isinstance(sock, tls.TidySocket):
            self._sock = sock
            tls.tune(sock, self._settings)

    def _on_connect(
        self, _client: paho.Client, _userdata: object, _flags: object, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._fault = self._told("refuses us", code, properties)
            return
        if getattr(properties, "MaximumQoS", 1) < 1:
            self._fault = LinkError(
                LinkFault.PROTOCOL,
                f"The broker at {self._place} acknowledges nothing (its maximum QoS is 0).",
                remedy="Use a broker that offers QoS 1.",
            )
            return
        self._connected = True
        self._tick()
        self._packet_bytes = getattr(properties, "MaximumPacketSize", LARGEST_PACKET_BYTES)
        self._retains = bool(getattr(properties, "RetainAvailable", 1))
        window = min(getattr(properties, "ReceiveMaximum", 65535), self._settings.window_messages)
        self._happened.append(Connected(self._packet_bytes, window))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server and self._fault is None:
            self._fault = self._told("ended the connection", code, properties)

    def _on_publish(
        self, _client: paho.Client, _userdata: object, packet_id: int, code: ReasonCode, _properties: object
    ) -> None:
        token = self._tokens.pop(packet_id, None)
        if token is None:
            return
        self._tick()
        if code.value >= _FAILURE:
            self._happened.append(Refused(token, code.value, code.getName()))
        else:
            self._happened.append(Acknowledged(token, heard=code.value != _NO_SUBSCRIBERS))

    def _on_subscribe(
        self, _client: paho.Client, _userdata: object, packet_id: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        topic_filter = self._filters.pop(packet_id, None)
        if topic_filter is None:
            return
        refused = [code.value for code in codes if code.value >= _FAILURE]
        if refused or not codes:
            self._happened.append(SubscriptionRefused(topic_filter, refused[0] if refused else _FAILURE))
        else:
            self._happened.append(Subscribed(topic_filter))

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        packet_id = message.mid if message.qos else 0
        properties = message.properties
        if getattr(properties, "TopicAlias", None) is not None:
            self._fault = LinkError(
                LinkFault.PROTOCOL, f"The broker at {self._place} sends topic aliases, which we said we do not take."
            )
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if not topic or len(message.payload) > self._settings.inbound_packet_bytes:
            self.dropped += 1
            self._client.ack(packet_id, message.qos)
            return
        pairs = tuple((str(key), str(value)) for key, value in getattr(properties, "UserProperty", ()))
        received = Received(topic, bytes(message.payload), bool(message.retain), pairs)
        self._happened.append(Delivered(received, packet_id))

    # Watching

    @property
    def _place(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    @property
    def _waiting(self) -> bool:
        return bool(self._tokens) or not self._connected

    def _tick(self) -> None:
        """Something we waited for has come: the next may take as long again."""
        self._deadline = time.monotonic() + self._settings.stall_s

    def _tick_if_idle(self) -> None:
        if not self._tokens:
            self._tick()

    def _move(self, sock: ssl.SSLSocket, timeout_s: float) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
        if self._selector.get_key(sock).events != wanted:
            self._selector.modify(sock, wanted)
        ready = {key.fileobj: events for key, events in self._selector.select(timeout_s)}
        events = ready.get(sock, 0)
        try:
            if events & selectors.EVENT_READ or sock.pending():
                if self._client.loop_read() is MQTTErrorCode.MQTT_ERR_PROTOCOL:
                    self._fault = self._fault or self._not_mqtt("")
                self._check_size()
            if events & selectors.EVENT_WRITE:
                self._client.loop_write()
            self._client.loop_misc()
        except Exception as error:
            raise self._not_mqtt(f" ({type(error).__name__})") from error

    def _not_mqtt(self, detail: str) -> LinkError:
        return LinkError(
            LinkFault.PROTOCOL,
            f"The broker at {self._place} sent something that is not MQTT 5{detail}.",
            remedy=_REMEDIES[LinkFault.PROTOCOL],
        )

    def _check_size(self) -> None:
        """paho reads any packet into memory, up to 256 MB.  It has no public limit: a test holds this look inside."""
        if self._client._in_packet["remaining_length"] > self._settings.inbound_packet_bytes + 4:
            self._fault = LinkError(
                LinkFault.PROTOCOL, f"The broker at {self._place} sends packets larger than we said we take."
            )

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self._client.socket() is None:
            raise self._why_it_ended()
        if self._waiting and time.monotonic() >= self._deadline:
            what = "answers no publication" if self._connected else "accepts the connection and then says nothing"
            raise LinkError(
                LinkFault.STALLED, f"The broker at {self._place} {what}.", remedy="Nothing to do: it is tried again."
            )

    def _why_it_ended(self) -> LinkError:
        if self._fault is not None:
            return self._fault
        cause = None if self._sock is None else self._sock.failure
        found = None if cause is None else tls.explain(cause, self._settings, established=True)
        if self._connected or (found is not None and found.fault is LinkFault.CERTIFICATE_REFUSED):
            return found or LinkError(LinkFault.LOST, f"The broker at {self._place} closed the connection.")
        refusal = tls.probe(self._settings, self._context)
        return (
            refusal
            or found
            or LinkError(
                LinkFault.LOST,
                f"The broker at {self._place} closes the connection before it says why.",
                remedy="Look at its log: it may not know this client.",
            )
        )

    def _told(self, what: str, code: ReasonCode, properties: Properties | None) -> LinkError:
        fault = _FAULTS.get(code.value, LinkFault.LOST)
        words = getattr(properties, "ReasonString", "") or code.getName()
        return LinkError(
            fault,
            f"The broker at {self._place} {what}: {words} (0x{code.value:02x}).",
            remedy=_REMEDIES.get(fault, ""),
        )


def _connect_properties(settings: BusSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    properties.ReceiveMaximum = settings.inbound_window
    properties.MaximumPacketSize = settings.inbound_packet_bytes
    properties.TopicAliasMaximum = 0
    return properties


def _publish_properties(publication: Publication) -> Properties | None:
    if publication.expiry_s is None and not publication.properties:
        return None  # as for every chunk: paho packs nothing as slowly as something
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if publication.expiry_s is not None:
        properties.MessageExpiryInterval = publication.expiry_s
    if publication.properties:
        properties.UserProperty = list(publication.properties)
    return properties
