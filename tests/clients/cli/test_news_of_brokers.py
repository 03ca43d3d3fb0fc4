"""A root's next list of brokers reaches a requester over the broker that it knows: two real mosquittos, and no file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.clients.requester.identity import Requester
from agent.clients.requester.roots import KnownRoots
from agent.core.bus import BusConnected, MessageReceived, PublishAcknowledged, PublishRefused, Subscribed
from agent.wire.topics import BrokersTopic, brokers_filter
from tests.brokers import BrokerWithClients
from tests.clients.cli.test_requester import ASK, window
from tests.clients.cli.test_several_brokers import HERE, LIST, NEXT, brokers, retained
from tests.clients.cli.test_trust_root import PATIENCE_S, Association, admitted, said

__all__ = ["brokers"]
pytestmark = pytest.mark.broker


class Street:
    """A root with three people, a requester, and two brokers of two operators. The requester knows the first broker."""

    def __init__(
        self, tool: Callable[..., Any], folder: Path, capsys: pytest.CaptureFixture[str],
        brokers: dict[str, BrokerWithClients],
    ) -> None:  # fmt: skip
        self.tool, self.brokers = tool, brokers
        self.association = Association(folder, capsys)
        made = self.association.type(
            "trust-root", "found", "--folder", str(self.association.root),
            *self.association.keys(*self.association.people),
        )  # fmt: skip
        self.association.sign(made["to_sign"], *self.association.people[:2])
        self.root_key, self.root = made["root"], made["root_id"]
        self.police = folder / "police"
        words = ("--folder", self.police, "--id", "rijnstad-police", "--kind", "police", "--trust-root", self.root)
        self.key = json.loads(tool("requester", "keygen", *words, "--json").out)["key"]
        for host, world in brokers.items():
            settings, own = world.settings("rijnstad-police"), self.police / "tls" / host
            own.mkdir(parents=True)
            for name in ("authority", "certificate", "key"):
                shutil.copy(getattr(settings, name), own / f"{name}.pem")
        admitted(self.association, brokers[HERE[0]])
        brokers[HERE[0]].broker.reload()

    def list(self, version: int, *hosts: str) -> None:
        """Signs the list with these brokers, and stamps it."""
        ports = {name: world.broker.requester_port for name, world in self.brokers.items()}
        text = LIST.format(key=self.key, here=ports[HERE[0]], next=ports[NEXT[0]])
        head, *each = text.replace("version = 1", f"version = {version}").split("[[brokers]]")
        source = self.association.folder / f"list-{version}.toml"
        source.write_text(
            "[[brokers]]".join([head, *(one for one in each if any(f'"{host}"' in one for host in hosts))])
        )
        root = str(self.association.root)
        made = self.association.type("trust-root", "list", str(source), "--folder", root)
        self.association.sign(made["to_sign"], *self.association.people[:2])
        self.association.type("trust-root", "stamp", "--folder", root, "--timestamp-key", str(self.association.online))

    def publish(self) -> None:
        port = self.brokers[HERE[0]].broker.requester_port
        root = str(self.association.root)
        self.association.type("trust-root", "publish", "--folder", root, "--broker", f"127.0.0.1:{port}")

    def hosts(self) -> list[str]:
        listed = KnownRoots(Requester.open(self.police)).own_brokers(int(time.time()))
        return [each.host for each in listed[1]] if listed is not None else []


def test_a_requester_connects_to_a_new_broker_without_a_file(
    tool: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], brokers: dict[str, BrokerWithClients]
) -> None:
    street = Street(tool, tmp_path, capsys, brokers)
    street.list(1, HERE[0])
    package, root = street.association.root / "package.json", street.association.root
    taken = tool(
        "requester", "root", street.root_key, package, "--brokers", root / "brokers-1.json", "--folder", street.police
    )
    assert taken.status == 0, taken.err
    elsewhere = ("--circle", "52.7,4.8,300", *ASK[2:])
    refused = tool("requester", "request", "--folder", street.police, *window(), *elsewhere)
    assert "no broker for the cell" in refused.err
    street.list(2, HERE[0], NEXT[0])
    street.publish()

    def stop_when_heard() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(street.hosts()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=stop_when_heard)
    watcher.start()
    try:
        got = tool("requester", "receive", "--folder", street.police)
    finally:
        watcher.join()
    assert got.status == 0, got.err
    assert street.hosts() == [HERE[0], NEXT[0]]
    # The operator of the new broker has not signed a certificate yet: only what is for its cells waits for it.
    own, away = street.police / "tls" / NEXT[0], tmp_path / "not yet"
    own.rename(away)
    here = tool("requester", "request", "--folder", street.police, *window(), *ASK, "--json")
    assert here.status == 0, here.err
    waits = tool("requester", "request", "--folder", street.police, *window(), *elsewhere, "--timeout", "2")
    assert waits.status == 7
    assert f"The broker {NEXT[0]}:" in waits.err
    assert "is left out: There is no certificate" in waits.err
    away.rename(own)
    asked = tool("requester", "request", "--folder", street.police, *window(), *elsewhere, "--json")
    assert asked.status == 0, asked.err
    assert retained(brokers[NEXT[0]]) == json.loads(asked.out)["topics"]


def test_only_a_root_publishes_directories_and_only_requesters_read_them(
    tool: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], brokers: dict[str, BrokerWithClients]
) -> None:
    street, world = Street(tool, tmp_path, capsys, brokers), brokers[HERE[0]]
    root = world.bus(f"{street.root}.root", key=street.association.root / "tls" / "key.pem")
    police, device = world.bus("rijnstad-police"), world.bus("b" * 16, inbound_beat_s=0.0)
    for bus in (root, police, device):
        bus.hurry(True)
        bus.start()
        assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
    for bus in (police, device):
        bus.subscribe(brokers_filter(street.root))
        assert isinstance(bus.next_event(PATIENCE_S), Subscribed)
    large = b"x" * (120 * 1024 + 67)
    for number, slot in enumerate((0, 8)):
        assert isinstance(said(root, str(BrokersTopic(street.root, slot)), number, large), PublishAcknowledged)
        event = police.next_event(PATIENCE_S)
        assert isinstance(event, MessageReceived)
        assert event.payload == large
    for number, (bus, name, slot) in enumerate(
        ((police, street.root, 0), (device, street.root, 0), (root, "ab" * 8, 0)), 10
    ):
        assert isinstance(said(bus, f"doorward/v1/brokers/{name}/{slot}", number), PublishRefused)
    assert isinstance(said(root, f"doorward/v1/brokers/{street.root}/9", 20), PublishRefused)
    assert device.next_event(0.3) is None
