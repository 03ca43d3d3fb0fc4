"""A connection to the owner's own broker that only speaks: for Home Assistant, apart from the one for footage.

Rules: MQTT 3.1.1 with any credentials that broker asks for, TLS if an authority is given, and a last will. It
subscribes to nothing and drops inbound messages. While the broker is away, the queue stays empty. If the broker is
there but acknowledges nothing, the queue stays short, and its rest is dropped at the end of the connection.
"""

from __future__ import annotations

import ssl
import threading
from typing import Final

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from agent.core.home_news import HomeAddress
from agent.errors import ConfigurationError, NetworkError
from agent.mqtt.outbound_client import PahoClient

__all__ = ["MqttHomeBus"]

_KEEPALIVE_S: Final = 30
_PAUSES_S: Final = (1, 60)
_SETTLE_S: Final = 5.0
_MOST_UNSETTLED: Final = 20


class _HomeAssistantClient(PahoClient):
    """Begins every connection with nothing to say; paho would tell a press of the button hours later."""

    def _messages_reconnect_reset_out(self) -> None:
        with self._out_message_mutex:
            self._inflight_messages = 0
            self._out_messages.clear()


class MqttHomeBus:
    """`ports.HomeBus` on paho."""

    def __init__(self, address: HomeAddress) -> None:
        self._address = address
        self._log = structlog.get_logger("home")
        self._up = threading.Event()
        self._connections = 0
        self._client = _HomeAssistantClient(
            CallbackAPIVersion.VERSION2, client_id=f"doorward-home-{address.device}", protocol=mqtt.MQTTv311
        )
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.reconnect_delay_set(*_PAUSES_S)
        self._client.max_queued_messages_set(_MOST_UNSETTLED)
        if address.user:
            self._client.username_pw_set(address.user, address.password or None)
        if address.ca:
            try:
                self._client.tls_set_context(ssl.create_default_context(cafile=address.ca))
            except OSError as error:
                raise ConfigurationError(
                    f"The authority {address.ca} of Home Assistant's broker cannot be used: {error}.",
                    remedy="Give home_assistant.ca the authority's certificate in PEM.",
                ) from error

    def start(self, will: tuple[str, bytes] | None = None) -> None:
        if will is not None:
            self._client.will_set(will[0], will[1], qos=1, retain=True)
        # Asynchronous, because a broker that is away must not hold up the start of the process.
        self._client.connect_async(self._address.host, self._address.port, _KEEPALIVE_S)
        self._client.loop_start()

    @property
    def connection(self) -> int | None:
        return self._connections if self._up.is_set() else None

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if not self._up.is_set():
            return
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        if sent.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            return
        try:
            sent.wait_for_publish(_SETTLE_S)
        except (RuntimeError, ValueError):
            self._log.info("home_message_lost")

    def wait_connected(self, timeout_s: float) -> None:
        """Raises `NetworkError`."""
        if not self._up.wait(timeout_s):
            raise NetworkError(
                f"The broker {self._address.host}:{self._address.port} does not let us in.",
                remedy="Check host, port, user and password in [home_assistant].",
            )

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, _client: object, _user: object, _flags: object, reason: ReasonCode, _props: object) -> None:
        if reason.is_failure:
            self._log.warning("home_refused_us", reason=str(reason))
            return
        self._connections += 1
        self._up.set()
        self._log.info("home_connected")

    def _disconnected(self, *_: object) -> None:
        self._up.clear()
