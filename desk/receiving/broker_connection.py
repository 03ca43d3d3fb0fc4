"""The connection of an organisation to the broker that `[broker]` of desk.toml names, or to the brokers of its root.

The organisation's folder holds its files for the broker, as for `doorward requester`: tls/authority.pem,
tls/certificate.pem and tls/key.pem. `doorward requester csr --folder FOLDER` makes the key and the request for the
broker's operator, and `doorward requester accept` stores the answer. For a service that takes no certificates,
tls/HOST/broker.password stands in for certificate and key.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from django.conf import settings

from agent.clients.requester.broker_files import broker_files
from agent.clients.requester.cell_brokers import CellBrokers
from agent.clients.requester.identity import Requester
from agent.clients.requester.roots import KnownRoots
from agent.clients.requester.shared_bus import RequesterBus
from agent.errors import ConfigurationError, DoorwardError
from agent.mqtt import WATCHFUL_KEEPALIVE_S, BusSettings, MqttBus

__all__ = ["files_used", "open_bus"]

_INBOUND_PACKET_BYTES: Final = 160 << 10
"""Largest packet from the broker: a chunk of 128 KiB, its topic and its properties."""
_INBOUND_BYTES: Final = 32 << 20
"""Limit on chunks that wait to be stored. More than the 128 that the broker may have outstanding to us."""


def open_bus(requester: Requester) -> RequesterBus:
    """Returns a started connection: to the broker of desk.toml, or to those that the root lists for the regions of the
    organisation. Raises `ConfigurationError` if there is none, or if a file is missing."""
    host, port = settings.DESK.broker.host, settings.DESK.broker.port
    bus: RequesterBus
    if host:
        bus = MqttBus(_settings(requester, host, port))
    else:
        listed = KnownRoots(requester).own_brokers(int(time.time()))
        if listed is None:
            raise ConfigurationError(
                "No broker is named.",
                remedy="Write its name into desk.toml, [broker] host, or import the list of brokers of your root.",
            )
        bus = CellBrokers(*listed, lambda at, told: MqttBus(_settings(requester, at.host, at.port), told))
    try:
        bus.start()
    except DoorwardError:
        bus.stop()
        raise
    return bus


def files_used(requester: Requester) -> list[tuple[Path | None, ...]]:
    """Returns the files with which `open_bus` would sign in at each broker now. A connection keeps those with which it
    was made. Empty without a broker, also while the root's list does not list the organisation as valid."""
    hosts = [settings.DESK.broker.host]
    if not hosts[0]:
        try:
            listed = KnownRoots(requester).own_brokers(int(time.time()))
        except DoorwardError:
            listed = None  # `open_bus` says what is wrong
        hosts = [each.host for each in listed[1]] if listed is not None else []
    return [broker_files(requester.folder, each).used for each in hosts]


def _settings(requester: Requester, host: str, port: int) -> BusSettings:
    worker, found = settings.DESK.broker.worker, broker_files(requester.folder, host)
    certificate, key = found.pair
    return BusSettings(
        host=host,
        port=port,
        name=f"{requester.id}.{worker}" if worker else requester.id,
        authority=found.authority,
        certificate=certificate,
        key=key,
        password_file=found.password,
        inbound_packet_bytes=_INBOUND_PACKET_BYTES,
        inbound_bytes=_INBOUND_BYTES,
        # A requester may show how fast it works. Without a beat, its pace slows the broker down instead of filling this
        # memory.
        inbound_beat_s=0.0,
        keepalive_s=WATCHFUL_KEEPALIVE_S,
    )
