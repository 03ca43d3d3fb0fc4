"""One connection to a broker: one paho client, driven by hand from one thread, used once and thrown away.

Rules:
- paho's own thread, reconnecting, queue and window stay unused.  All its memory dies with the client, so a message
  cannot be sent twice, resent for ever or sent after it was reported lost.
- Only the reason code of its PUBACK settles a publication.
- Topics always leave in full, without an alias.  An incoming alias is a broken protocol, because paho would deliver it
  without a topic.
- Any exception that paho raises on hostile bytes ends the connection; the thread goes on.

Source: MQTT 5.0 §3.1.2.11 and §3.2.2.3 (limits), §4.13 (errors); paho-mqtt 2.2 `client.py`.
"""

from __future__ import annotations

import random
import selectors
import socket
import ssl
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.core.bus import (
    BusConnected,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishRefused,
    PublishResult,
    Subscribed,
    SubscriptionRefused,
)
from agent.errors import ConfigurationError
from agent.mqtt import tls
from agent.mqtt.bus_settings import BusSettings
from agent.mqtt.faults import LinkError, broken_protocol, refused_by_broker, stalled
from agent.mqtt.outbound_client import InboundPublish, OutboundPublish, PahoClient, connect_properties

__all__ = ["MOST_UNSENT", "Connection", "ConnectionEvent"]

LARGEST_PACKET_BYTES = 268_435_455
_HEADER_BYTES = 5
MOST_UNSENT = 2048
"""Packets that wait for the broker to read, about 400 bytes of memory each.  The window bounds publications further.
More than both windows and the largest inbound queue need."""
_NO_SUBSCRIBERS, _FAILURE, _TOO_LARGE, _NO_RETAIN = 0x10, 0x80, 0x95, 0x9A
ConnectionEvent = BusConnected | PublishResult | Subscribed | SubscriptionRefused | InboundPublish


class Connection:
    """`open`, then `step` until it raises `LinkError`, then `close`.  All from one thread."""

    def __init__(self, settings: BusSettings, context: ssl.SSLContext) -> None:
        self._settings = settings
        self._context = context
        self._new_events: list[ConnectionEvent] = []
        self._tokens: dict[int, int] = {}
        self._filters: dict[int, str] = {}
        self._connected = False
        self._packet_bytes = LARGEST_PACKET_BYTES
        self._retains = True
        self._fault: LinkError | None = None
        self._sock: tls.TlsSocket | None = None
        self._deadline = 0.0
        self._selector = selectors.DefaultSelector()
        self._client = self._make_client()
        self.dropped = 0
        """Malformed inbound messages."""

    def open(self, wake: socket.socket) -> None:
        """Make the TCP and TLS connection and send CONNECT.  `wake` becomes readable to cut a `step` short."""
        settings = self._settings
        # Read for each connection, so that a renewed token works without a restart of the bus.
        if settings.password_file is not None:
            try:
                password = tls.read_password(settings.password_file)
            except ConfigurationError as error:
                raise LinkError(LinkFault.NOT_AUTHORISED, error.message, remedy=error.remedy) from error
            # TLS has named the broker before the CONNECT leaves, and there is no connection without TLS.
            self._client.username_pw_set(settings.user or settings.name, password)  # type: ignore[arg-type]
        elif settings.user:
            self._client.username_pw_set(settings.user)
        try:
            self._client.connect(
                settings.host,
                settings.port,
                settings.keepalive_s,
                clean_start=settings.session_s == 0,
                properties=connect_properties(settings),
            )
        except OSError as error:
            raise tls.explain(error, settings) from error
        sock = self._client.socket()
        if sock is None:
            raise self._reason_of_end()
        self._selector.register(sock, selectors.EVENT_READ)
        self._selector.register(wake, selectors.EVENT_READ)
        self._deadline = time.monotonic() + settings.connect_s

    def step(self, timeout_s: float) -> list[ConnectionEvent]:
        """Move packets for at most `timeout_s`; say what happened.  Raises `LinkError` when the connection is over."""
        sock = self._client.socket()
        if isinstance(sock, ssl.SSLSocket) and self._fault is None:
            if self._awaits_broker:
                timeout_s = min(timeout_s, self._deadline - time.monotonic())
            # Bytes that TLS has already decrypted do not make the socket readable, so `select` would wait beside a
            # whole packet.
            self._exchange_packets(sock, 0.0 if self._new_events or sock.pending() else max(0.0, timeout_s))
        happened, self._new_events = self._new_events, []
        # Events go first: a refusal that came with the last packets must not be lost behind the error.
        if not happened:
            self._raise_if_over()
        return happened

    def publish(self, publication: OutboundPublish) -> None:
        """Sends it, or settles it at once as refused if the broker's limits forbid it."""
        # Only a publication in flight can stall. Without this, an idle hour would count against the first one after it.
        self._restart_deadline_if_idle()
        size_bytes = publication.packet_bytes()
        # paho ignores the broker's Maximum Packet Size (MQTT 5 §3.2.2.3.6). A broker ends the connection for a larger
        # packet, and each retry would end the next one.
        if size_bytes > self._packet_bytes:
            limit = f"{size_bytes} bytes, the broker takes {self._packet_bytes}"
            self._new_events.append(PublishRefused(publication.token, _TOO_LARGE, f"packet too large: {limit}"))
            return
        # Retain Available 0 (§3.2.2.3.5): a broker ends the connection for a retained message.
        if publication.retain and not self._retains:
            self._new_events.append(PublishRefused(publication.token, _NO_RETAIN, "the broker retains nothing"))
            return
        info = self._client.publish(
            publication.topic,
            publication.payload,
            qos=1,
            retain=publication.retain,
            properties=publication.mqtt_properties(),
        )
        self._tokens[info.mid] = publication.token

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        """Ask for a filter; retained messages come first, unless they are not wanted."""
        handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
        options = SubscribeOptions(qos=self._settings.qos, retainHandling=handling)
        _, packet_id = self._client.subscribe(topic_filter, options=options)
        if packet_id is not None:
            self._filters[packet_id] = topic_filter

    def unsubscribe(self, topic_filter: str) -> None:
        self._client.unsubscribe(topic_filter)

    def acknowledge(self, packet_id: int) -> None:
        """Tell the broker that a delivered message was taken."""
        if packet_id:
            self._client.ack(packet_id, 1)

    def close(self) -> None:
        """Sends DISCONNECT if the connection is up, and closes the socket. Idempotent."""
        self._selector.close()
        if self._connected:
            self._client.disconnect()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    # paho's callbacks: all run inside `step` or `publish`, on our thread.

    def _make_client(self) -> PahoClient:
        ending = f".{random.SystemRandom().getrandbits(32):08x}" if self._settings.unique_id else ""
        client = PahoClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.name + ending,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            # paho would acknowledge as soon as it reads. The bus decides instead: at a beat, or when a caller takes the
            # message.
            manual_ack=True,
        )
        client.connect_timeout = self._settings.connect_s
        client.most_packet_bytes = self._settings.inbound_packet_bytes + _HEADER_BYTES
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
        if isinstance(sock, tls.TlsSocket):
            self._sock = sock
            tls.tune(sock, self._settings)

    def _on_connect(
        self, _client: paho.Client, _userdata: object, _flags: object, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._fault = refused_by_broker(self._place, "refuses us", code, properties)
            return
        # Without QoS 1 there is no PUBACK (§3.2.2.3.4), so no publication would ever settle.
        if getattr(properties, "MaximumQoS", 1) < 1:
            self._fault = broken_protocol(self._place, "acknowledges nothing: its maximum QoS is 0")
            return
        self._connected = True
        self._restart_deadline()
        self._packet_bytes = getattr(properties, "MaximumPacketSize", LARGEST_PACKET_BYTES)
        self._retains = bool(getattr(properties, "RetainAvailable", 1))
        # paho ignores the broker's receive maximum (§3.2.2.3.3). A client that exceeds it is disconnected with 0x93.
        window = min(getattr(properties, "ReceiveMaximum", 65535), self._settings.window_messages)
        self._new_events.append(BusConnected(self._packet_bytes, window))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        # Only a DISCONNECT of the broker holds its reason. For a socket that broke, paho makes up a code.
        if flags.is_disconnect_packet_from_server and self._fault is None:
            self._fault = refused_by_broker(self._place, "ended the connection", code, properties)

    def _on_publish(
        self, _client: paho.Client, _userdata: object, packet_id: int, code: ReasonCode, _properties: object
    ) -> None:
        token = self._tokens.pop(packet_id, None)
        if token is None:
            return
        self._restart_deadline()
        if code.value >= _FAILURE:
            self._new_events.append(PublishRefused(token, code.value, code.getName()))
        else:
            # Code 0x10: the broker took it, and no client is subscribed. So the requester is away, which the sender
            # waits for.
            self._new_events.append(PublishAcknowledged(token, heard=code.value != _NO_SUBSCRIBERS))

    def _on_subscribe(
        self, _client: paho.Client, _userdata: object, packet_id: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        topic_filter = self._filters.pop(packet_id, None)
        if topic_filter is None:
            return
        refused = [code.value for code in codes if code.value >= _FAILURE]
        if refused or not codes:
            self._new_events.append(SubscriptionRefused(topic_filter, refused[0] if refused else _FAILURE))
        else:
            self._new_events.append(Subscribed(topic_filter))

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        packet_id = message.mid if message.qos else 0
        properties = message.properties
        # paho delivers an aliased message with an empty topic, so its sender would be unknown.
        if getattr(properties, "TopicAlias", None) is not None:
            self._fault = broken_protocol(self._place, "sends topic aliases, which we said we do not take")
            return
        try:
            # paho decodes the topic at this access, so hostile bytes raise here.
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if not topic or len(message.payload) > self._settings.inbound_packet_bytes:
            self.dropped += 1
            # Acknowledged although dropped. Otherwise malformed messages would fill the receive maximum, and the broker
            # would send nothing else.
            self._client.ack(packet_id, message.qos)
            return
        pairs = tuple((str(key), str(value)) for key, value in getattr(properties, "UserProperty", ()))
        received = MessageReceived(topic, bytes(message.payload), pairs)
        self._new_events.append(InboundPublish(received, packet_id))

    # Watching

    @property
    def _place(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    @property
    def _awaits_broker(self) -> bool:
        return bool(self._tokens) or not self._connected

    def _restart_deadline(self) -> None:
        """Something we waited for has come: the next may take as long again."""
        self._deadline = time.monotonic() + self._settings.stall_s

    def _restart_deadline_if_idle(self) -> None:
        if not self._tokens:
            self._restart_deadline()

    def _exchange_packets(self, sock: ssl.SSLSocket, timeout_s: float) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
        if self._selector.get_key(sock).events != wanted:
            self._selector.modify(sock, wanted)
        ready = {key.fileobj: events for key, events in self._selector.select(timeout_s)}
        events = ready.get(sock, 0)
        try:
            if events & selectors.EVENT_READ or sock.pending():
                if self._client.loop_read() is MQTTErrorCode.MQTT_ERR_PROTOCOL:
                    self._fault = self._fault or broken_protocol(self._place, "sent something that is not MQTT 5")
                self._check_paho_limits()
            if events & selectors.EVENT_WRITE:
                self._client.loop_write()
            # Sends the keep-alive ping, and closes a connection if its last ping has no answer.
            self._client.loop_misc()
        # Hostile bytes make paho raise errors of many kinds. Each ends this connection and leaves the bus's thread
        # alive.
        except Exception as error:
            what = f"sent something that is not MQTT 5 ({type(error).__name__})"
            raise broken_protocol(self._place, what) from error

    def _check_paho_limits(self) -> None:
        """paho takes any packet into memory, up to 256 MB, and any number of QoS 2 messages that are never released.

        It also queues acknowledgements without end for a broker that sends and does not read. It has no public limit on
        any of them: tests hold this look into version 2.2.
        """
        if self._client._in_packet["remaining_length"] > self._client.most_packet_bytes:
            self._fault = broken_protocol(self._place, "sends packets larger than we said we take")
        elif len(self._client._out_packet) > MOST_UNSENT:
            self._fault = broken_protocol(self._place, "sends messages and reads no acknowledgement")
        elif self._client._in_messages:
            self._fault = broken_protocol(self._place, "sends with QoS 2, which we did not subscribe to")

    def _raise_if_over(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self._client.socket() is None:
            raise self._reason_of_end()
        if self._awaits_broker and time.monotonic() >= self._deadline:
            what = "answers no publication" if self._connected else "accepts the connection and then says nothing"
            raise stalled(self._place, what)

    def _reason_of_end(self) -> LinkError:
        if self._fault is not None:
            return self._fault
        cause = None if self._sock is None else self._sock.failure
        found = None if cause is None else tls.explain(cause, self._settings, established=True)
        if self._connected or (found is not None and found.fault is LinkFault.CERTIFICATE_REFUSED):
            return found or LinkError(LinkFault.LOST, f"The broker at {self._place} closed the connection.")
        # The end before a CONNACK may be a refused certificate if its TLS alert was lost. This takes up to 12 s.
        refusal = self._probe()
        return (
            refusal
            or found
            or LinkError(
                LinkFault.LOST,
                f"The broker at {self._place} closes the connection before it says why.",
                remedy="Look at its log: it may not know this client.",
            )
        )

    def _probe(self) -> LinkError | None:
        """Looks for the reason of a broker that hangs up before its CONNACK. It waits for seconds."""
        return tls.probe(self._settings, self._context)
