"""The connection of an organisation to the broker that `[broker]` of desk.toml names.

The organisation's folder holds its files for the broker, as for `doorward requester`: tls/authority.pem,
tls/certificate.pem and tls/key.pem. `doorward requester csr --folder FOLDER` makes the key and the request for the
broker's operator, and `doorward requester accept` stores the answer.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings

from agent.clients.requester.identity import Requester
from agent.errors import ConfigurationError, DoorwardError
from agent.mqtt import BusSettings, MqttBus

__all__ = ["open_bus"]

_INBOUND_PACKET_BYTES: Final = 160 << 10
"""Largest packet from the broker: a chunk of 128 KiB, its topic and its properties."""
_INBOUND_BYTES: Final = 32 << 20
"""Limit on chunks that wait to be stored. More than the 128 that the broker may have outstanding to us."""


def open_bus(requester: Requester) -> MqttBus:
    """Returns a started connection. Raises `ConfigurationError` if the broker or a file is missing."""
    broker, tls = settings.DESK.broker, requester.folder / "tls"
    if not broker.host:
        raise ConfigurationError("No broker is named.", remedy="Write its name into desk.toml, [broker] host.")
    bus = MqttBus(
        BusSettings(
            host=broker.host,
            port=broker.port,
            name=f"{requester.id}.{broker.worker}" if broker.worker else requester.id,
            authority=tls / "authority.pem",
            certificate=tls / "certificate.pem",
            key=tls / "key.pem",
            inbound_packet_bytes=_INBOUND_PACKET_BYTES,
            inbound_bytes=_INBOUND_BYTES,
            inbound_beat_s=0.0,
        )
    )
    try:
        bus.start()
    except DoorwardError:
        bus.stop()
        raise
    return bus
