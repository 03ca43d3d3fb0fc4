"""Messages of a connection, outbound and inbound, with the MQTT properties of both directions."""

from __future__ import annotations

from dataclasses import dataclass

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.core.bus import MessageReceived
from agent.mqtt.bus_settings import BusSettings

__all__ = ["InboundPublish", "OutboundPublish", "connect_properties"]


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
