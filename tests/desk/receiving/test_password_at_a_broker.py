"""A desk and its trust root sign in with a password, at a real mosquitto without client certificates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from django.conf import settings
from django.test import override_settings

from agent.clients.broker.broker_pki import BrokerPki
from agent.core.bus import BusConnected, PublishAcknowledged, PublishRefused
from agent.errors import ConfigurationError
from agent.mqtt import MqttBus
from agent.wire.broker_directory import BrokerAddress
from desk.config import Broker
from desk.people.organisations import requester_of
from desk.people.readiness import steps
from desk.receiving.broker_connection import open_bus
from desk.trust import root_publisher
from tests.brokers import NOW
from tests.desk.agencies import Agency
from tests.password_broker import broker_with_passwords

pytestmark = pytest.mark.broker

ROOT, PASSWORD, PATIENCE_S = "c3" * 8, "correct-horse-battery", 60.0


@pytest.fixture
def pki(tmp_path: Path) -> BrokerPki:
    return BrokerPki.create(tmp_path / "pki", NOW)


@pytest.fixture
def port(agency: Agency, pki: BrokerPki) -> Iterator[int]:
    names = ("a1" * 8, agency.organisation.requester_id, ROOT)
    with broker_with_passwords(pki, *names, PASSWORD) as (_, port):
        yield port


def sign_in_at(pki: BrokerPki, folder: Path, mode: int = 0o600) -> None:
    own = folder / "tls" / "127.0.0.1"
    own.mkdir(parents=True, exist_ok=True)
    shutil.copy(pki.directory / "authorities" / "broker.pem", folder / "tls" / "authority.pem")
    (own / "broker.password").write_text(PASSWORD + "\n")
    (own / "broker.password").chmod(mode)


def answers(bus: MqttBus, *topics: str) -> list[type]:
    try:
        bus.hurry(True)
        assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
        for token, topic in enumerate(topics):
            assert bus.publish(topic, b"x", token=token, retain=True)
        found = [bus.next_event(PATIENCE_S) for _ in topics]
    finally:
        bus.stop()
    return [type(each) for each in sorted(found, key=lambda each: each.token)]  # type: ignore[union-attr]


@pytest.mark.parametrize("worker", ["", "desk-2"])
def test_a_desk_signs_in_with_the_password_in_its_organisations_folder(
    worker: str, agency: Agency, pki: BrokerPki, port: int
) -> None:
    who = requester_of(agency.organisation)
    chosen = msgspec.structs.replace(settings.DESK, broker=Broker(host="127.0.0.1", port=port, worker=worker))
    with override_settings(DESK=chosen):
        sign_in_at(pki, who.folder)
        bus = open_bus(who)
        assert isinstance(bus, MqttBus)
        topics = [f"doorward/v1/areas/1-1/requests/{each}/0" for each in (who.id, "other-police")]
        assert answers(bus, *topics) == [PublishAcknowledged, PublishRefused]
        (step,) = [each for each in steps(agency.organisation) if each.name == "Certificate for the broker"]
        assert (step.done, step.words) == (True, "It signs in with a password.")
        sign_in_at(pki, who.folder, 0o644)
        with pytest.raises(ConfigurationError, match="read by others"):
            open_bus(who)


def test_a_root_of_the_desk_signs_in_with_the_password_in_its_folder(
    agency: Agency, pki: BrokerPki, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root").mkdir()
    monkeypatch.setattr(root_publisher, "connection_of", lambda _organisation: (tmp_path / "root", f"{ROOT}.root"))
    address = BrokerAddress("127.0.0.1", port)
    with pytest.raises(ConfigurationError, match="no certificate for this broker"):
        root_publisher._open_bus(agency.organisation, address)
    sign_in_at(pki, tmp_path / "root")
    bus = root_publisher._open_bus(agency.organisation, address)
    assert isinstance(bus, MqttBus)
    topics = [f"doorward/v1/trust/{each}/0" for each in (ROOT, "d4" * 8)]
    assert answers(bus, *topics) == [PublishAcknowledged, PublishRefused]
