"""A doorbell, a requester, a desk, a root and a digest service sign in with a password or token, at a real mosquitto
without client certificates.

The password is read for each connection, goes only to a broker that the authority vouches for, and stands in no error.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.cli.app import doorward
from agent.cli.checks.broker import check_broker
from agent.cli.checks.finding import CheckStatus
from agent.cli.frame import run
from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.digest_service import DigestService
from agent.clients.cli.requester.options import connected
from agent.clients.cli.requester.trust_root import _connection
from agent.clients.requester.broker_files import broker_files
from agent.clients.requester.identity import Requester
from agent.config.settings import BrokerConfig
from agent.core.bus import BusConnected, BusDisconnected, LinkFault, PublishAcknowledged, PublishRefused
from agent.errors import ConfigurationError
from agent.mqtt import BusSettings, MqttBus, tls
from agent.platform.certificates import signing_request
from agent.wire.broker_directory import BrokerAddress
from agent.wire.trust import Kind
from tests.brokers import NOW
from tests.mqtt.mqtt_peer import ScriptedPeer
from tests.password_broker import broker_with_passwords

POLICE, ROOT = "rijnstad-police", "c3" * 8
DEVICE, PASSWORD, TOKEN = "a1" * 8, "correct-horse-battery", "eyJ.a-token-of-" + "x" * 4000
UP = f"doorward/v1/up/anybody/{DEVICE}/x/0"
PATIENCE_S = 60.0

Start = Callable[[BusSettings], MqttBus]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> BrokerPki:
    return BrokerPki.create(tmp_path_factory.mktemp("pki"), NOW)


@pytest.fixture(scope="module")
def ports(pki: BrokerPki) -> Iterator[tuple[int, int]]:
    with broker_with_passwords(pki, DEVICE, POLICE, ROOT, PASSWORD) as ports:
        yield ports


@pytest.fixture
def port(ports: tuple[int, int]) -> int:
    """The port for doorbells."""
    return ports[0]


@pytest.fixture
def requester_port(ports: tuple[int, int]) -> int:
    return ports[1]


@pytest.fixture(scope="module")
def folder_of_others(pki: BrokerPki) -> Path:
    """A folder with the authority and the password that all others than doorbells have."""
    tls = pki.directory / "others" / "tls"
    (tls / "127.0.0.1").mkdir(parents=True)
    shutil.copy(pki.directory / "authorities" / "broker.pem", tls / "authority.pem")
    written(tls / "127.0.0.1", PASSWORD + "\n")
    return tls.parent


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


@pytest.mark.parametrize("content", ["word\r\n", "\ufeffword\n", "word"])
def test_what_editors_put_around_a_password_is_no_part_of_it(content: str, tmp_path: Path) -> None:
    assert tls.read_password(written(tmp_path, content)) == b"word"


@pytest.mark.parametrize("content", ["", "\n", "\ufeff", "two\nlines", "a\0b", "x" * 20_000])
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


def outcome(bus: Any, topic: str, token: int) -> object:
    """Publishes, and returns the broker's answer."""
    ends_s = time.monotonic() + PATIENCE_S
    while not bus.publish(topic, b"x", token=token, retain=True):
        event = bus.next_event(1.0)
        assert not isinstance(event, BusDisconnected), event.error
        assert time.monotonic() < ends_s
    while not isinstance(event := bus.next_event(PATIENCE_S), PublishAcknowledged | PublishRefused):
        assert event is not None
    return event


@pytest.mark.parametrize("with_password", [False, True])
def test_a_user_name_that_a_certificate_overrules_is_refused_and_not_ignored(
    with_password: bool, tmp_path: Path
) -> None:
    """The worker would have signed in under the name of the requester, and ended its connection."""
    who = Requester.create(tmp_path / "requester", POLICE, Kind.POLICE, ROOT)
    tls = who.folder / "tls"
    (tls / "127.0.0.1").mkdir(parents=True)
    request = signing_request(tls / "key.pem", POLICE)
    made = BrokerPki.create(tmp_path / "pki", NOW).add_requester(POLICE, NOW, request=request)
    for name, path in (("certificate", made.certificate), ("authority", made.authority)):
        shutil.copy(path, tls / f"{name}.pem")
    if with_password:
        written(tls / "127.0.0.1", PASSWORD)
    options = {"broker": "127.0.0.1:1", **dict.fromkeys(("authority", "certificate", "tls_key", "password_file"))}
    with pytest.raises(ConfigurationError) as raised, connected(who, options | {"user": f"{POLICE}.desk-2"}):
        pass
    assert f"--user is '{POLICE}.desk-2', and the certificate {tls / 'certificate.pem'} (--certificate)" in str(
        raised.value
    )
    assert "Leave --user out" in str(raised.value.remedy)
    assert ("with the password alone" in str(raised.value.remedy)) is with_password
    for fits in (None, POLICE):
        with connected(who, options | {"user": fits}):
            pass


def test_a_user_name_of_a_digest_service_needs_a_password(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(doorward, ["broker", "digest", "--host", "broker.example", "--user", "digest"]) != 0
    said = " ".join(capfd.readouterr().err.split())
    assert "--user is 'digest', and without --password-file" in said
    assert "What to do: Give --password-file, or leave --user out." in said


@pytest.mark.broker
@pytest.mark.parametrize("user", [None, f"{POLICE}.desk-2"])
def test_a_requester_and_its_worker_sign_in_without_a_certificate_and_publish_as_the_requester_only(
    user: str | None, requester_port: int, folder_of_others: Path
) -> None:
    who = Requester.create(folder_of_others.parent / f"requester-{user}", POLICE, Kind.POLICE, ROOT)
    shutil.copytree(folder_of_others / "tls", who.folder / "tls", dirs_exist_ok=True)
    broker = {
        "broker": f"127.0.0.1:{requester_port}", "authority": None, "certificate": None, "tls_key": None,
        "password_file": None, "user": user,
    }  # fmt: skip
    with connected(who, broker) as bus:
        assert isinstance(outcome(bus, f"doorward/v1/areas/1-1/requests/{POLICE}/0", 1), PublishAcknowledged)
        assert isinstance(outcome(bus, "doorward/v1/areas/1-1/requests/other-police/0", 2), PublishRefused)
    written(who.folder / "tls" / "127.0.0.1", "wrong-" + PASSWORD)
    with connected(who, broker) as bus:
        event = bus.next_event(PATIENCE_S)
        assert isinstance(event, BusDisconnected)
        assert event.fault is LinkFault.NOT_AUTHORISED
        assert PASSWORD not in f"{event.error} {event!r}"
    written(who.folder / "tls" / "127.0.0.1", PASSWORD, 0o644)
    with pytest.raises(ConfigurationError, match="read by others"), connected(who, broker):
        pass
    with pytest.raises(ConfigurationError, match="not for rijnstad-police"), connected(who, broker | {"user": "x"}):
        pass


@pytest.mark.broker
def test_a_root_signs_in_without_a_certificate_and_writes_its_slots_only(
    requester_port: int, folder_of_others: Path, start: Start
) -> None:
    root = SimpleNamespace(folder=folder_of_others, name_key=SimpleNamespace(id=ROOT))
    address = BrokerAddress("127.0.0.1", requester_port)
    bus = start(_connection(root, address))  # type: ignore[arg-type]
    assert isinstance(outcome(bus, f"doorward/v1/trust/{ROOT}/0", 1), PublishAcknowledged)
    assert isinstance(outcome(bus, f"doorward/v1/trust/{'d4' * 8}/0", 2), PublishRefused)


@pytest.mark.broker
def test_a_digest_service_signs_in_without_a_certificate_and_without_a_brokers_folder(
    requester_port: int, folder_of_others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []

    def once(service: DigestService) -> None:
        service._bus.hurry(True)
        service._bus.start()
        try:
            found.append(outcome(service._bus, "doorward/v1/areas/1-1/digest/0", 1))
            found.append(outcome(service._bus, "doorward/v1/areas/1-1/requests/rijnstad-police/0", 2))
        finally:
            service._bus.stop()

    monkeypatch.setattr(DigestService, "run", once)
    words = [
        "broker", "digest", "--dir", str(tmp_path / "none"), "--host", "127.0.0.1", "--port", str(requester_port),
        "--authority", str(folder_of_others / "tls" / "authority.pem"),
        "--password-file", str(folder_of_others / "tls" / "127.0.0.1" / "broker.password"),
    ]  # fmt: skip
    assert run(doorward, words) == 0
    assert [type(each) for each in found] == [PublishAcknowledged, PublishRefused]


def test_a_password_stands_in_for_a_certificate_only_where_there_is_none(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    (tls / "far.example.org").mkdir(parents=True)
    for name in ("authority.pem", "certificate.pem", "key.pem"):
        (tls / name).write_text("x")
    assert broker_files(tmp_path, "far.example.org").password is None
    written(tls / "far.example.org", PASSWORD)
    both = broker_files(tmp_path, "far.example.org")
    assert both.pair == (tls / "certificate.pem", tls / "key.pem")
    assert both.password == tls / "far.example.org" / "broker.password", "a service that wants both gets both"
    assert broker_files(tmp_path, "near.example.org").password is None, "no other broker gets it"
    (tls / "certificate.pem").unlink()
    assert broker_files(tmp_path, "far.example.org").pair == (None, None)
    assert broker_files(tmp_path, "near.example.org").pair == (tls / "certificate.pem", tls / "key.pem")
    with pytest.raises(ConfigurationError, match=r"certificate\.pem is missing"):
        broker_files(tmp_path, "near.example.org").require("Make it.")
    written(tls, PASSWORD)
    assert broker_files(tmp_path, "near.example.org").password is None, "a list may name any broker"


def test_a_password_that_is_given_by_hand_goes_to_the_broker_that_is_named(tmp_path: Path) -> None:
    who = Requester.create(tmp_path / "requester", POLICE, Kind.POLICE, ROOT)
    broker = {"broker": None, "password_file": written(tmp_path, PASSWORD)}
    with pytest.raises(ConfigurationError, match="for one broker"), connected(who, broker):
        pass
