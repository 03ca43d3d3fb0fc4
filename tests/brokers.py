"""A real mosquitto with certificates for named clients, for the tests marked `broker`."""

from __future__ import annotations

import datetime
import functools
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.clients.broker.broker_pki import BrokerPki, ClientFiles
from agent.clients.broker.private_broker import PrivateBroker
from agent.mqtt import BusSettings, MqttBus
from agent.platform.certificates import signing_request

NOW = datetime.datetime.now(datetime.UTC)


def add_requester(pki: BrokerPki, name: str, now: datetime.datetime = NOW) -> ClientFiles:
    """Signs a certificate for a requester or worker whose key is made here, where the client files look for it."""
    return pki.add_requester(name, now, request=signing_request(pki.client(name).key, name))


def is_device(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{16}", name) is not None


class BrokerWithClients:
    """One broker directory, its process, and buses made on demand and stopped at the end."""

    def __init__(self, directory: Path, *workers: str) -> None:
        """`workers`: requesters' workers that have a certificate from the start. The broker reads the rights of later
        ones when it reloads."""
        self.pki = BrokerPki.create(directory, NOW)
        self.pki.add_digest(NOW)
        for name in workers:
            add_requester(self.pki, name)
        self.broker = PrivateBroker(directory)
        self._buses: list[MqttBus] = []

    def settings(self, name: str, **changes: Any) -> BusSettings:
        """A device is named by 16 hex digits, a root `<16 hex digits>.root`, everybody else is a requester."""
        device = is_device(name)
        known = self.pki.client(name)
        if not known.certificate.exists():
            if device:
                self.pki.add_device(name, NOW)
            elif is_device(root := name.removesuffix(".root")):
                self.pki.add_root(root, NOW, request=signing_request(known.key, name))
            else:
                add_requester(self.pki, name, NOW)
        port = self.broker.device_port if device else self.broker.requester_port
        given: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "name": name,
            "authority": known.authority,
            "certificate": known.certificate,
            "key": known.key,
        }
        return BusSettings(**(given | changes))

    def bus(self, name: str, **changes: Any) -> MqttBus:
        """A bus that is not started yet.  A requester takes large packets, at once."""
        bus = MqttBus(self.settings_of(name, **changes))
        self._buses.append(bus)
        return bus

    def settings_of(self, name: str, **changes: Any) -> BusSettings:
        """Settings of `bus`."""
        if not is_device(name):
            changes = {"inbound_packet_bytes": 160 << 10, "inbound_beat_s": 0.0} | changes
        return self.settings(name, **changes)

    def close(self) -> None:
        for bus in self._buses:
            bus.stop()
        self.broker.stop()


@contextmanager
def broker_with_clients(directory: Path, *workers: str) -> Iterator[BrokerWithClients]:
    world = BrokerWithClients(directory, *workers)
    try:
        world.broker.start()
        yield world
    finally:
        world.close()


OLD_MOSQUITTO = (2, 0, 11)


@functools.cache
def mosquitto_version() -> tuple[int, ...]:
    """Returns the version of this machine's mosquitto: 2.0.11 in Debian 12 names no reason if it ends a connection."""
    found_by = os.environ | {"PATH": os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))}
    said = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False, env=found_by).stdout
    found = re.search(r"mosquitto version (\d+(?:\.\d+)+)", said)
    assert found, said
    return tuple(map(int, found[1].split(".")))
