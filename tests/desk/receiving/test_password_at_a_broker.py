"""A desk and its trust root sign in with a password, at a real mosquitto without client certificates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connections
from django.test import override_settings

from agent.clients.broker.broker_pki import BrokerPki
from agent.core.bus import BusConnected, PublishAcknowledged, PublishRefused
from agent.errors import ConfigurationError
from agent.mqtt import MqttBus
from agent.platform import files
from agent.wire.broker_directory import BrokerAddress
from desk.config import Broker
from desk.custody import log
from desk.custody.models import Entry
from desk.people.organisations import (
    certificate_request,
    drop_password,
    requester_of,
    take_certificate,
    take_password,
)
from desk.people.readiness import steps
from desk.people.roles import Role
from desk.receiving.broker_connection import files_used, open_bus
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


def give(agency: Agency, address: str, **given: Any) -> Any:
    return agency.client(Role.ADMIN).post(address, {"host": "127.0.0.1", **given}, follow=True)


def test_an_admin_gives_the_password_on_the_page_and_it_is_shown_nowhere(
    agency: Agency, pki: BrokerPki, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    who, page = requester_of(agency.organisation), "/organisation/broker-password"
    authority = (pki.directory / "authorities" / "broker.pem").read_bytes()
    chosen = msgspec.structs.replace(settings.DESK, broker=Broker(host="127.0.0.1", port=port))
    with override_settings(DESK=chosen):
        bare = give(agency, page, password=PASSWORD)  # a password without the authority could go to anyone
        assert "The authority of 127.0.0.1 is missing." in bare.content.decode()
        assert files_used(who)[0][3] is None
        wrong = give(agency, page, password=PASSWORD, authority=SimpleUploadedFile("ca.pem", b"no certificate"))
        assert "The authority is not a certificate" in wrong.content.decode()
        said = give(agency, page, password=PASSWORD, authority=SimpleUploadedFile("broker.pem", authority))
        assert "The desk signs in with this password." in said.content.decode()
        own = who.folder / "tls" / "127.0.0.1"
        assert (own / "broker.password").read_text() == PASSWORD + "\n"
        assert (own / "broker.password").stat().st_mode & 0o777 == 0o600
        bus = open_bus(who)
        assert isinstance(bus, MqttBus)
        assert answers(bus, f"doorward/v1/areas/1-1/requests/{who.id}/0") == [PublishAcknowledged]
        shown = agency.client(Role.ADMIN).get("/organisation").content.decode()
        entry = Entry.objects.get(action="organisation.broker-password")
        assert (entry.object, entry.detail) == (who.id, {"broker": "127.0.0.1", "authority": True})
        for said_of_it in (bare.content, wrong.content, said.content, shown.encode(), str(entry.detail).encode()):
            assert PASSWORD.encode() not in said_of_it
        assert PASSWORD not in "".join(capfd.readouterr())
        give(agency, page, password="", remove="127.0.0.1")
        assert not (own / "broker.password").exists()
        assert Entry.objects.filter(action="organisation.broker-password-removed").count() == 1


def test_the_password_of_a_broker_that_left_the_list_is_shown_and_removed(agency: Agency, pki: BrokerPki) -> None:
    folder = requester_of(agency.organisation).folder
    sign_in_at(pki, folder)
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, broker=Broker(host="other.example.org"))):
        shown = agency.client(Role.ADMIN).get("/organisation").content.decode()
        assert 'name="remove" value="127.0.0.1"' in shown
        give(agency, "/organisation/broker-password", remove="127.0.0.1")
        assert not (folder / "tls" / "127.0.0.1" / "broker.password").exists()
        shown = agency.client(Role.ADMIN).get("/organisation").content.decode()
        assert 'name="remove" value="127.0.0.1"' not in shown


def test_a_password_that_the_custody_log_does_not_take_changes_no_file(
    agency: Agency, pki: BrokerPki, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_words: object, **_detail: object) -> None:
        raise OperationalError

    folder = requester_of(agency.organisation).folder
    sign_in_at(pki, folder)
    monkeypatch.setattr(log, "record", away)
    with pytest.raises(OperationalError):
        take_password(agency.organisation, agency.people[Role.ADMIN], "127.0.0.1", "another", None)
    with pytest.raises(OperationalError):
        drop_password(agency.organisation, agency.people[Role.ADMIN], "127.0.0.1")
    assert (folder / "tls" / "127.0.0.1" / "broker.password").read_text() == PASSWORD + "\n"


def test_a_file_is_written_after_its_entry_is_committed(
    agency: Agency, pki: BrokerPki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk fails a commit, after everything before it went well. The file would lack its entry for ever."""

    def full() -> None:
        raise OperationalError

    organisation, admin = agency.organisation, agency.people[Role.ADMIN]
    folder = requester_of(organisation).folder
    sign_in_at(pki, folder)
    made = pki.add_requester(organisation.requester_id, NOW, request=certificate_request(organisation))
    pair = made.certificate.read_bytes(), made.authority.read_bytes()
    before = {path: path.read_bytes() for path in files.below(folder / "tls")}
    with monkeypatch.context() as patched:
        patched.setattr(connections["default"], "_commit", full)
        for act in (
            lambda: take_certificate(organisation, admin, *pair, "127.0.0.1"),
            lambda: take_password(organisation, admin, "127.0.0.1", "another", None),
            lambda: drop_password(organisation, admin, "127.0.0.1"),
        ):
            with pytest.raises(OperationalError):
                act()
    assert {path: path.read_bytes() for path in files.below(folder / "tls")} == before
    take_certificate(organisation, admin, *pair, "127.0.0.1")
    assert (folder / "tls" / "127.0.0.1" / "certificate.pem").read_bytes() == pair[0]
    assert Entry.objects.get(action="organisation.certificate").detail == {"broker": "127.0.0.1"}


def test_a_password_for_a_broker_that_the_desk_does_not_use_is_refused(agency: Agency) -> None:
    with override_settings(DESK=msgspec.structs.replace(settings.DESK, broker=Broker(host="127.0.0.1"))):
        for host in ("elsewhere.example.org", "..", "../../evil", ""):
            said = give(agency, "/organisation/broker-password", host=host, password=PASSWORD)
            assert PASSWORD not in said.content.decode()
        lines = give(agency, "/organisation/broker-password", password="two\nlines")
        assert "one line" in lines.content.decode()
        found = [each.name for each in (requester_of(agency.organisation).folder).rglob("broker.password")]
        assert not found
