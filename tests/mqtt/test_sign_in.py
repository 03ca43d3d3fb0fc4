"""A doorbell signs in with a password or token, at a real mosquitto without client certificates.

The password is read for each connection, goes only to a broker that the authority vouches for, and stands in no error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli.checks.broker import check_broker
from agent.cli.checks.finding import CheckStatus
from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.private_broker import _free_ports
from agent.config.settings import BrokerConfig
from agent.core.bus import BusConnected, BusDisconnected, LinkFault, PublishAcknowledged, PublishRefused
from agent.errors import ConfigurationError
from agent.mqtt import BusSettings, MqttBus, tls
from tests.brokers import NOW
from tests.mqtt.mqtt_peer import ScriptedPeer

DEVICE, PASSWORD, TOKEN = "a1" * 8, "correct-horse-battery", "eyJ.a-token-of-" + "x" * 4000
UP = f"doorward/v1/up/anybody/{DEVICE}/x/0"
PATIENCE_S = 60.0
_SEARCH_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"

Start = Callable[[BusSettings], MqttBus]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> BrokerPki:
    return BrokerPki.create(tmp_path_factory.mktemp("pki"), NOW)


@pytest.fixture(scope="module")
def port(pki: BrokerPki) -> Iterator[int]:
    """A mosquitto that knows two doorbells by name and password, with Doorward's rights for doorbells."""
    program, hashes = (shutil.which(each, path=_SEARCH_PATH) for each in ("mosquitto", "mosquitto_passwd"))
    if program is None or hashes is None:
        pytest.skip("mosquitto is not installed")
    folder, (port,) = pki.directory, _free_ports(1)
    passwords = folder / "passwords"
    passwords.write_text(f"{DEVICE}:{PASSWORD}\n{'b2' * 8}:{PASSWORD}-other\n")
    passwords.chmod(0o600)
    subprocess.run([hashes, "-U", str(passwords)], check=True)
    (folder / "by-password.conf").write_text(
        f"listener {port} 127.0.0.1\nuser root\nallow_anonymous false\npassword_file {passwords}\ntls_version tlsv1.3\n"
        f"use_username_as_clientid true\nacl_file {folder}/devices.acl\n"
        f"certfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n"
    )
    with (folder / "by-password.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(folder / "by-password.conf")], stdout=log, stderr=log)
        try:
            ends_s = time.monotonic() + PATIENCE_S
            while b"running" not in (folder / "by-password.log").read_bytes():
                assert time.monotonic() < ends_s, (folder / "by-password.log").read_text()
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def start() -> Iterator[Start]:
    buses: list[MqttBus] = []

    def start(settings: BusSettings) -> MqttBus:
        bus = MqttBus(settings)
        buses.append(bus)
        bus.hurry(True)
        bus.start()
        return bus

    yield start
    for bus in buses:
        bus.stop()


def written(folder: Path, password: str, mode: int = 0o600) -> Path:
    path = folder / "broker.password"
    path.write_text(password)
    path.chmod(mode)
    return path


def settings_for(pki: BrokerPki, port: int, password_file: Path, user: str = "") -> BusSettings:
    authority = pki.directory / "authorities" / "broker.pem"
    return BusSettings("127.0.0.1", port, DEVICE, authority, user=user, password_file=password_file)


@pytest.mark.broker
@pytest.mark.parametrize("user", ["", DEVICE])
def test_a_doorbell_without_a_certificate_signs_in_and_has_its_own_topics_only(
    user: str, pki: BrokerPki, port: int, start: Start, tmp_path: Path
) -> None:
    bus = start(settings_for(pki, port, written(tmp_path, PASSWORD + "\n"), user))
    assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
    assert bus.publish(UP, b"mine", token=1)
    assert isinstance(bus.next_event(PATIENCE_S), PublishAcknowledged)
    assert bus.publish(UP.replace(DEVICE, "b2" * 8), b"of another", token=2)
    assert isinstance(bus.next_event(PATIENCE_S), PublishRefused)


@pytest.mark.broker
def test_a_wrong_password_is_named_as_such_and_stands_in_no_error(
    pki: BrokerPki, port: int, start: Start, tmp_path: Path
) -> None:
    event = start(settings_for(pki, port, written(tmp_path, "wrong-" + PASSWORD))).next_event(PATIENCE_S)
    assert isinstance(event, BusDisconnected)
    assert event.fault is LinkFault.NOT_AUTHORISED
    assert PASSWORD not in f"{event.error.message} {event.error.remedy} {event!r}"
    assert event.retry_in_s >= 15


@pytest.mark.broker
def test_a_renewed_password_works_at_the_next_connection_without_a_restart(
    pki: BrokerPki, port: int, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.mqtt.pacing._PERSON_FIRST_S", 0.1)
    bus = start(settings_for(pki, port, written(tmp_path, "the one of last year")))
    assert isinstance(bus.next_event(PATIENCE_S), BusDisconnected)
    written(tmp_path, PASSWORD)
    while isinstance(event := bus.next_event(PATIENCE_S), BusDisconnected):
        pass
    assert isinstance(event, BusConnected)


def test_a_broker_of_another_authority_is_told_no_password(pki: BrokerPki, start: Start, tmp_path: Path) -> None:
    other = BrokerPki.create(tmp_path / "other", NOW)
    with ScriptedPeer(other.directory, lambda line: peer.notes.put(line.read()), certificates=False) as peer:
        bus = start(settings_for(pki, peer.port, written(tmp_path, PASSWORD)))
        event = bus.next_event(PATIENCE_S)
        assert isinstance(event, BusDisconnected)
        assert event.fault is LinkFault.BROKER_NOT_TRUSTED
        assert peer.notes.empty() or peer.notes.get() == (0, b"")


def test_a_token_arrives_whole_with_the_doorbells_name(pki: BrokerPki, start: Start, tmp_path: Path) -> None:
    with ScriptedPeer(pki.directory, lambda line: peer.notes.put(line.accept()), certificates=False) as peer:
        start(settings_for(pki, peer.port, written(tmp_path, TOKEN + "\n"), "a-name-of-the-service"))
        connect = peer.note()
        assert isinstance(connect, bytes)
        assert connect.endswith(b"\x00\x15a-name-of-the-service" + len(TOKEN).to_bytes(2) + TOKEN.encode())
        assert DEVICE.encode() in connect, "the client id is the doorbell's"


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "a\0b", "x" * 20_000])
def test_a_file_that_is_no_password_is_refused_without_its_content(content: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="one line") as refused:
        tls.read_password(written(tmp_path, content))
    assert "two" not in refused.value.message


def test_a_pipe_in_the_place_of_a_password_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "password", 0o600)
    with pytest.raises(ConfigurationError, match="one line"):
        tls.read_password(tmp_path / "password")


def test_a_password_that_others_can_read_or_that_is_missing_is_refused_at_the_start(
    pki: BrokerPki, start: Start, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="read by others") as refused:
        start(settings_for(pki, 1, written(tmp_path, PASSWORD, 0o604)))
    assert "chmod 600" in refused.value.remedy
    with pytest.raises(ConfigurationError, match="cannot be read"):
        start(settings_for(pki, 1, tmp_path / "missing"))


@pytest.mark.broker
def test_the_doctor_names_a_password_file_that_cannot_be_used(pki: BrokerPki, port: int, tmp_path: Path) -> None:
    authority = pki.directory / "authorities" / "broker.pem"
    broker = BrokerConfig(host="127.0.0.1", port=port, ca=authority, password_file=written(tmp_path, PASSWORD))
    findings = {each.subject: each for each in check_broker(broker, NOW)}
    assert findings.keys() == {"password", "broker", "broker's certificate"}
    assert {each.health for each in findings.values()} == {CheckStatus.FINE}
    written(tmp_path, PASSWORD, 0o644)
    findings = {each.subject: each for each in check_broker(broker, NOW)}
    assert findings["password"].health is CheckStatus.BAD
    assert PASSWORD not in str(findings)
