"""Figures of a broker: those that mosquitto gives, and no name of a client. The dashboard asks for what there is."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path

import pytest

from agent.clients.broker import digest_service
from agent.clients.broker.broker_figures import _BROKER, BrokerFigures
from agent.clients.broker.broker_pki import DIGEST_CLIENT
from agent.clients.broker.digest_service import DigestService
from agent.core.bus import BusConnected, PublishAcknowledged
from agent.wire.topics import RequestTopic
from tests.brokers import broker_with_clients
from tests.figures_of_others import read_by_prometheus

GRAFANA = Path(__file__).resolve().parents[3] / "config" / "grafana"
LINE = re.compile(r"(doorward_[a-z_]+) ([0-9.]+)")
NOT_ALWAYS = {"doorward_broker_heap_bytes"}
"""mosquitto can be built without it."""


def values(page: str) -> dict[str, float]:
    return {name: float(value) for name, value in LINE.findall(re.sub("(?m)^#.*$", "", page))}


def test_only_figures_that_are_numbers_are_kept() -> None:
    figures = BrokerFigures()
    figures.is_connected = True
    assert figures.take("$SYS/broker/uptime", b"17 seconds")
    assert figures.take("$SYS/broker/clients/connected", b"3")
    assert figures.take("$SYS/broker/clients/total", b"police-desk")
    assert figures.take("$SYS/broker/version", b"mosquitto version 2.0.21")
    assert not figures.take("doorward/v1/areas/0-0/requests/police/0", b"5")
    found = values(figures.page())
    assert found["doorward_broker_uptime_seconds"] == 17
    assert found["doorward_broker_clients_connected"] == 3
    assert "doorward_broker_clients" not in found
    for path in _BROKER:
        assert figures.take(f"$SYS/broker/{path}", b"5")
    read = read_by_prometheus(figures.page())
    assert {f"doorward_broker_{name}{{}}" for name, _kind, _words in _BROKER.values()} < read.keys()
    figures.is_connected = False
    assert "doorward_broker_up{}" in read_by_prometheus(figures.page())
    found = values(figures.page())
    assert found["doorward_broker_up"] == 0
    assert "doorward_broker_clients_connected" not in found, "nothing is said of a broker that is not heard"


@pytest.mark.broker
def test_the_dashboard_shows_the_figures_of_a_real_broker_and_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_service, "_QUIET_S", 0.01)
    with broker_with_clients(tmp_path / "broker") as world:
        police = world.bus("springfield-police")
        police.start()
        assert isinstance(police.next_event(60), BusConnected)
        assert police.publish(str(RequestTopic("287-379", "springfield-police", 0)), b"one", token=1, retain=True)
        assert isinstance(police.next_event(60), PublishAcknowledged)
        service = DigestService(world.bus(DIGEST_CLIENT), time.monotonic, world.pki.certificate)
        thread = threading.Thread(target=service.run)
        thread.start()
        try:
            ends_s = time.monotonic() + 60
            found: dict[str, float] = {}
            # Mosquitto publishes its figures every ten seconds, the first ones before anything has reached it.
            while (
                found.get("doorward_broker_clients_connected", 0) < 2
                or not found["doorward_digest_current"]
                or not found["doorward_broker_received_bytes_total"]
            ):
                assert time.monotonic() < ends_s, found
                time.sleep(0.1)
                found = values(service.figures.page())
            page = service.figures.page()
        finally:
            service.stop()
            thread.join()
    assert (found["doorward_broker_up"], found["doorward_digest_cells"], found["doorward_digest_messages"]) == (1, 1, 1)
    assert "springfield" not in page
    asked = set(re.findall("doorward_[a-z_]+", (GRAFANA / "brokers.json").read_text()))
    assert asked - NOT_ALWAYS == set(found) - NOT_ALWAYS
    panels = json.loads((GRAFANA / "brokers.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
