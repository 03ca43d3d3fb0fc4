"""`doorward broker` on a real mosquitto: who was added gets in, who was revoked does not, the rest is untouched."""

from __future__ import annotations

import datetime
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.broker import digest_service
from agent.clients.broker.broker_pki import DIGEST_CLIENT
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.cli import broker as broker_command
from agent.core.bus import BusConnected, BusDisconnected, LinkFault
from agent.mqtt import WATCHFUL_KEEPALIVE_S, BusSettings, MqttBus, tls
from tests.relays import RelayBrowser

DEVICE, OTHER = "a1" * 8, "b2" * 8


@pytest.fixture(autouse=True)
def a_refusal_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that gets no processor for two seconds refuses in any case."""
    monkeypatch.setattr(tls, "_PROBE_S", 15.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert (
        run(doorward, ["broker", "init", "--dir", str(tmp_path / "b"), "--host", "localhost", "--host", "127.0.0.1"])
        == 0
    )
    return tmp_path / "b"


def add(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(doorward, ["broker", *words, "--dir", str(folder), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def first_event(files: dict[str, Any], name: str, port: int) -> object:
    bus = MqttBus(
        BusSettings("127.0.0.1", port, name, Path(files["ca"]), Path(files["certificate"]), Path(files["key"]))
    )
    bus.hurry(True)
    bus.start()
    try:
        return bus.next_event(30.0)
    finally:
        bus.stop()


def test_what_init_prints_of_a_doorbell_is_what_add_device_takes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n[camera]\nkind = "scripted"\n')
    capsys.readouterr()
    assert run(doorward, ["init", "--json", "--config", str(config)]) == 0
    made = json.loads(capsys.readouterr().out)
    added = add(folder, capsys, "add-device", made["device"])
    assert added["certificate"].endswith(f"{made['device_id']}.pem")
    assert run(doorward, ["broker", "revoke", made["device"], "--dir", str(folder)]) == 0
    assert run(doorward, ["broker", "add-device", "ed25519:short", "--dir", str(folder)]) == 4


@pytest.mark.parametrize("host", ["", " ", "a b", "a..b", ".a", "a.", "-a", "ü.example", "a" * 64, "a." * 127 + "aa"])
def test_a_host_that_is_none_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    options = ["--dir", str(tmp_path / "b"), "--host", "localhost", "--host", host]
    assert run(doorward, ["broker", "init", *options]) == 2
    assert f"Error: '{host}' is not a host." in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_long_host_stands_among_the_alternative_names_of_a_certificate_with_a_shorter_one(tmp_path: Path) -> None:
    long = f"{'a' * 63}.{'b' * 63}.example.org"
    for folder, hosts, common in (("one", (long,), "doorward-broker"), ("two", (long, "door.local"), "door.local")):
        options = [word for host in hosts for word in ("--host", host)]
        assert run(doorward, ["broker", "init", "--dir", str(tmp_path / folder), *options]) == 0
        made = x509.load_pem_x509_certificate((tmp_path / folder / "broker.pem").read_bytes())
        assert [each.value for each in made.subject] == [common]
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == list(hosts)


@pytest.mark.broker
def test_a_revoked_client_is_turned_away_and_its_name_may_be_given_anew(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = add(folder, capsys, "add-device", DEVICE)
    other = add(folder, capsys, "add-device", OTHER)
    kept = {name: folder / f"kept.{name}" for name, path in device.items() if name != "ca"}
    for name, path in kept.items():
        path.write_bytes(Path(device[name]).read_bytes())
        path.chmod(0o600)
    with PrivateBroker(folder) as broker:
        assert isinstance(first_event(device, DEVICE, broker.device_port), BusConnected)
        assert run(doorward, ["broker", "revoke", DEVICE, "--dir", str(folder)]) == 0
        broker.reload()
        until(lambda: "Reloading config" in broker.log(), "mosquitto to hear of it")
        turned_away = first_event({"ca": device["ca"], **kept}, DEVICE, broker.device_port)
        assert isinstance(turned_away, BusDisconnected)
        assert turned_away.fault is LinkFault.CERTIFICATE_REFUSED
        assert isinstance(first_event(other, OTHER, broker.device_port), BusConnected)
        anew = add(folder, capsys, "add-device", DEVICE)
        assert isinstance(first_event(anew, DEVICE, broker.device_port), BusConnected)


def requester(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str = "springfield-police", worker: str = ""
) -> dict[str, Any]:
    """The files of a requester that made its key with `doorward requester csr`."""
    own, tls = folder.parent / name, folder.parent / name / (worker or "tls")
    capsys.readouterr()
    if not own.exists():
        assert run(doorward, ["requester", "keygen", "--folder", str(own), "--id", name, "--kind", "police"]) == 0
    words = ["--folder", str(own), "--tls", str(tls), "--json", *(("--worker", worker) if worker else ())]
    capsys.readouterr()
    assert run(doorward, ["requester", "csr", *words]) == 0
    asked = json.loads(capsys.readouterr().out)
    signed = add(folder, capsys, "add-requester", asked["name"], "--csr", asked["csr"])
    assert "key" not in signed
    named = ["--ca", signed["ca"], "--certificate", signed["certificate"]]
    assert run(doorward, ["requester", "accept", "--folder", str(own), "--tls", str(tls), *named]) == 0
    return {"ca": tls / "authority.pem", "certificate": tls / "certificate.pem", "key": asked["key"]}


def test_no_key_of_a_requester_is_made_by_the_brokers_operator(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(doorward, ["broker", "add-requester", "springfield-police", "--dir", str(folder)]) == 2
    assert "--csr" in capsys.readouterr().err
    files = requester(folder, capsys)
    assert [path.stem for path in (folder / "clients").glob("*.key")] == [DIGEST_CLIENT]
    assert Path(files["key"]).stat().st_mode & 0o777 == 0o600


def test_a_signing_request_is_made_again_for_the_same_key_and_a_foreign_certificate_is_not_accepted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = folder.parent / "springfield-police"
    files = requester(folder, capsys)
    key = Path(files["key"]).read_bytes()
    assert run(doorward, ["requester", "csr", "--folder", str(own)]) == 0
    assert Path(files["key"]).read_bytes() == key
    assert "doorward broker add-requester springfield-police --csr request.csr" in capsys.readouterr().out
    other = requester(folder, capsys, "shelbyville-insurance")
    worker = requester(folder, capsys, worker="desk-1")
    for foreign, words in ((other, "is for 'shelbyville-insurance'"), (worker, "is not for the key")):
        named = ["--ca", str(foreign["ca"]), "--certificate", str(foreign["certificate"])]
        assert run(doorward, ["requester", "accept", "--folder", str(own), *named]) == 2
        assert words in capsys.readouterr().err
    assert run(doorward, ["requester", "csr", "--folder", str(own), "--worker", "Desk 1"]) == 2
    assert "rijnstad-police.desk-2" in capsys.readouterr().err


@pytest.mark.broker
def test_of_two_workers_one_is_revoked_and_the_other_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with PrivateBroker(folder) as broker:
        one, two = (requester(folder, capsys, worker=name) for name in ("desk-1", "desk-2"))
        broker.reload()
        until(lambda: "Reloading config" in broker.log(), "mosquitto to hear of them")
        name = "springfield-police.desk-{}".format
        assert isinstance(first_event(one, name(1), broker.requester_port), BusConnected)
        assert run(doorward, ["broker", "revoke", name(1), "--dir", str(folder)]) == 0
        broker.reload()
        until(lambda: broker.log().count("Reloading config") == 2, "mosquitto to hear of it")
        assert isinstance(first_event(one, name(1), broker.requester_port), BusDisconnected)
        assert isinstance(first_event(two, name(2), broker.requester_port), BusConnected)


def test_who_revokes_a_requester_is_told_of_its_workers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requester(folder, capsys)
    requester(folder, capsys, worker="desk-1")
    assert run(doorward, ["broker", "revoke", "springfield-police", "--dir", str(folder)]) == 0
    assert "These workers of it are not:  springfield-police.desk-1" in capsys.readouterr().out


@pytest.mark.broker
def test_a_requesters_certificate_opens_no_devices_listener(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    police = requester(folder, capsys)
    with PrivateBroker(folder) as broker:
        assert isinstance(first_event(police, "springfield-police", broker.requester_port), BusConnected)
        assert isinstance(first_event(police, "springfield-police", broker.device_port), BusDisconnected)


def test_a_device_may_keep_its_key_and_of_its_request_only_the_key_counts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    asked_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "springfield-police")])
    asked = x509.CertificateSigningRequestBuilder().subject_name(asked_name).sign(key, hashes.SHA256())
    (tmp_path / "device.csr").write_bytes(asked.public_bytes(serialization.Encoding.PEM))
    files = add(folder, capsys, "add-device", DEVICE, "--csr", str(tmp_path / "device.csr"))
    made = x509.load_pem_x509_certificate(Path(files["certificate"]).read_bytes())
    assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == DEVICE
    assert made.public_key() == key.public_key()
    assert "key" not in files


@pytest.mark.parametrize(
    "damage", [b"", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_what_is_no_signing_request_is_refused_in_words(
    damage: bytes, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "device.csr").write_bytes(damage or b"\0")
    arguments = ["broker", "add-device", DEVICE, "--csr", str(tmp_path / "device.csr"), "--dir", str(folder)]
    assert run(doorward, arguments) == 2
    assert "signing request" in capsys.readouterr().err


def test_nobody_can_be_revoked_who_is_no_client_of_this_broker(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("nobody", "../authorities/devices", "clients"):
        assert run(doorward, ["broker", "revoke", name, "--dir", str(folder)]) == 2
        assert "not a client of this broker" in capsys.readouterr().err


def test_without_certificates_the_remedy_is_the_command_that_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(doorward, ["broker", "add-device", "XYZ", "--dir", str(tmp_path / "none")]) == 2
    assert "'doorward broker init'" in capsys.readouterr().err


def test_a_word_cannot_become_a_line_of_the_brokers_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "broker",
        "init",
        "--dir",
        str(tmp_path / "c"),
        "--host",
        "localhost",
        "--user",
        "x\nallow_anonymous true",
    ]
    assert run(doorward, arguments) == 2
    assert not (tmp_path / "c").exists()


@pytest.mark.broker
def test_a_relay_is_added_once_and_its_accounts_work(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = add(folder, capsys, "add-device", DEVICE)
    assert run(doorward, ["broker", "add-relay", "--dir", str(folder), "--address", "127.0.0.1"]) == 0
    assert "doorward broker add-account" in capsys.readouterr().out
    text = (folder / "mosquitto.conf").read_text()
    assert "listener 8885 127.0.0.1" in text
    assert "listener 8886 127.0.0.1\nprotocol websockets" in text
    assert run(doorward, ["broker", "add-relay", "--dir", str(folder)]) == 2
    assert "already has a relay" in capsys.readouterr().err
    account = add(folder, capsys, "add-account", DEVICE)
    assert account["user"] == DEVICE
    assert account["password"] not in (folder / "relay.passwords").read_text()
    with PrivateBroker(folder, relay=True) as broker:
        assert isinstance(first_event(device, "any-client-id", broker.link_port), BusConnected)
        with RelayBrowser(broker, DEVICE, account["password"]) as browser:
            assert browser.refusal is None


def test_words_for_a_relay_that_cannot_be_added(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["add-account", DEVICE], "has no relay"),
        (["add-relay", "--web-certificate", "c.pem"], "go together"),
        (["add-relay", "--address", "a b"], "cannot stand in mosquitto's configuration"),
    ):
        assert run(doorward, ["broker", *words, "--dir", str(folder)]) == 2
        assert said in capsys.readouterr().err
    (folder / "mosquitto.conf").unlink()
    assert run(doorward, ["broker", "add-relay", "--dir", str(folder)]) == 2
    assert "is missing" in capsys.readouterr().err


@pytest.mark.broker
def test_the_digest_service_runs_beside_a_broker_and_ends_with_a_signal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_service, "_QUIET_S", 0.01)
    with PrivateBroker(folder) as broker:
        command = [
            "broker",
            "digest",
            "--dir",
            str(folder),
            "--host",
            "127.0.0.1",
            "--port",
            str(broker.requester_port),
        ]
        connected = threading.Event()

        def end() -> None:
            until(lambda: DIGEST_CLIENT in broker.log(), "the service to connect")
            connected.set()
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=end)
        thread.start()
        assert run(doorward, command) == 0
        thread.join()
        (name,) = [line for line in broker.log().splitlines() if f"as {DIGEST_CLIENT} (" in line]
        assert f"k{WATCHFUL_KEEPALIVE_S}," in name, "a connection that dies silently is found within half a minute"
        assert connected.is_set()


@pytest.mark.broker
def test_a_broker_whose_certificate_has_ended_gets_a_new_one_without_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, now = tmp_path / "b", broker_command._now()
    with monkeypatch.context() as long_ago:
        long_ago.setattr(broker_command, "_now", lambda: now - datetime.timedelta(days=398))
        hosts = ("--host", "broker.example", "--host", "127.0.0.1")
        assert run(doorward, ["broker", "init", "--dir", str(folder), *hosts]) == 0
    device = add(folder, capsys, "add-device", DEVICE)
    with PrivateBroker(folder) as broker:
        turned_away = first_event(device, DEVICE, broker.device_port)
        assert isinstance(turned_away, BusDisconnected)
        before = x509.load_pem_x509_certificate((folder / "broker.pem").read_bytes())
        assert run(doorward, ["broker", "renew", "--dir", str(folder)]) == 0
        assert f"until {now + datetime.timedelta(days=397):%Y-%m-%d}" in capsys.readouterr().out
        broker.reload()
        until(lambda: "Reloading config" in broker.log(), "mosquitto to hear of it")
        assert isinstance(first_event(device, DEVICE, broker.device_port), BusConnected)
    after = x509.load_pem_x509_certificate((folder / "broker.pem").read_bytes())
    alternatives = x509.SubjectAlternativeName
    assert (after.subject, after.public_key()) == (before.subject, before.public_key())
    assert after.extensions.get_extension_for_class(alternatives) == before.extensions.get_extension_for_class(
        alternatives
    )
    assert (folder / "broker.pem").stat().st_mode & 0o777 == 0o600


def test_a_certificate_of_a_broker_does_not_outlive_its_authority(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = x509.load_pem_x509_certificate((folder / "authorities" / "broker.pem").read_bytes())
    now = authority.not_valid_after_utc - datetime.timedelta(days=100)
    monkeypatch.setattr(broker_command, "_now", lambda: now)
    assert run(doorward, ["broker", "renew", "--dir", str(folder)]) == 0
    made = x509.load_pem_x509_certificate((folder / "broker.pem").read_bytes())
    assert made.not_valid_after_utc == authority.not_valid_after_utc


def test_a_client_that_asks_again_with_its_key_is_renewed_and_one_with_another_key_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year later an operator signs the next request of the same requester under the same name."""
    signed = requester(folder, capsys)
    asked = folder.parent / "springfield-police" / "tls" / "request.csr"
    words = ("add-requester", "springfield-police", "--csr", str(asked))
    before = x509.load_pem_x509_certificate(signed["certificate"].read_bytes())
    now = before.not_valid_after_utc - datetime.timedelta(days=5)
    monkeypatch.setattr(broker_command, "_now", lambda: now)
    path = Path(add(folder, capsys, *words)["certificate"])
    renewed = x509.load_pem_x509_certificate(path.read_bytes())
    assert renewed.public_key() == before.public_key()
    assert renewed.not_valid_after_utc == now.replace(microsecond=0) + datetime.timedelta(days=397)
    stranger = ec.generate_private_key(ec.SECP256R1())
    other = x509.CertificateSigningRequestBuilder().subject_name(before.subject).sign(stranger, hashes.SHA256())
    asked.write_bytes(other.public_bytes(serialization.Encoding.PEM))
    assert run(doorward, ["broker", *words, "--dir", str(folder)]) == 2
    assert "doorward broker revoke springfield-police" in capsys.readouterr().err
    assert path.read_bytes() == renewed.public_bytes(serialization.Encoding.PEM)
