"""Enrolment over real TLS: a token gives one doorbell one certificate, and no mistake or attack gives more."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.client
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7
from cryptography.x509.oid import AttributeOID, NameOID
from structlog.testing import capture_logs

from agent.clients.broker import broker_pki, est_server
from agent.clients.broker.est_server import EstServer
from agent.config import load
from agent.errors import ConfigurationError, DoorwardError, NetworkError
from agent.platform import files
from agent.platform.certificates import enrolment_request, signing_request
from agent.wire import strictjson
from agent.wire.broker_enrolment import (
    CA_CERTIFICATES,
    PKCS7_TYPE,
    PKCS10_TYPE,
    SIMPLE_ENROLL,
    BrokerTicket,
    device_proof,
    read_ticket,
)
from agent.wire.identities import private_key_from_seed
from tests.fleets import EstSide, LightDoor

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[EstSide]:
    with EstSide(tmp_path / "broker") as side:
        yield side


@pytest.fixture
def door(tmp_path: Path) -> LightDoor:
    return LightDoor(tmp_path / "door", 1)


@pytest.fixture
def other(tmp_path: Path) -> LightDoor:
    return LightDoor(tmp_path / "other", 2)


def certificate(door: LightDoor) -> x509.Certificate:
    return x509.load_pem_x509_certificate((door.tls / "device.pem").read_bytes())


def authority(side: EstSide, role: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((side.pki.directory / "authorities" / f"{role}.pem").read_bytes())


def test_a_token_gives_a_doorbell_its_certificate_and_its_configuration(side: EstSide, door: LightDoor) -> None:
    assert door.enrol(side.ticket("mill-lane-1")) == door.device
    certificate(door).verify_directly_issued_by(authority(side, "devices"))
    broker = load(door.config).broker
    assert broker is not None
    assert (broker.host, broker.port, broker.ca) == ("127.0.0.1", 8883, door.tls / "ca.pem")
    assert side.enrolled == [("mill-lane-1", door.device)]
    assert (side.pki.directory / "clients" / f"{door.device}.pem").read_bytes() == (
        door.tls / "device.pem"
    ).read_bytes()
    assert all(path.stat().st_mode & 0o077 == 0 for path in door.tls.iterdir())


def test_a_stolen_token_gives_nothing_to_a_second_doorbell(side: EstSide, door: LightDoor, other: LightDoor) -> None:
    ticket = side.ticket("mill-lane-1")
    door.enrol(ticket)
    with pytest.raises(ConfigurationError, match="This token has been used"):
        other.enrol(ticket)
    assert not (other.tls / "device.pem").exists()
    assert load(other.config).broker is None
    assert side.enrolled == [("mill-lane-1", door.device)]


def test_a_doorbell_that_has_its_certificate_asks_nobody(side: EstSide, door: LightDoor) -> None:
    ticket = side.ticket("mill-lane-1")
    door.enrol(ticket)
    before = door.config.read_text()
    assert door.enrol(ticket) is None
    assert len(side.enrolled) == 1
    assert door.config.read_text() == before


class PowerCut(BaseException):
    """Nothing of ours runs after it."""


def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Cuts the power before the file `number` of this process is written. Returns the names of those that were."""
    written, real = list[str](), files.write

    def write(path: Path, data: bytes, **options: Any) -> None:
        if len(written) == number:  # at the broker's side its disk fails instead, because its thread has to end
            raise (
                PowerCut if threading.current_thread() is threading.main_thread() else OSError(5, "Input/output error")
            )
        real(path, data, **options)
        written.append(path.name)

    monkeypatch.setattr(files, "write", write)
    return written


@pytest.mark.parametrize("number", range(8))
def test_a_power_cut_at_the_doorbell_loses_nothing_at_any_step(
    side: EstSide, door: LightDoor, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends write in this process: the key, the token's file, two certificates and the configuration."""
    ticket = side.ticket("mill-lane-1")
    written: list[str] = []
    with monkeypatch.context() as patched:
        written = cut_at(patched, number)
        try:
            door.enrol(ticket)
        except (PowerCut, NetworkError):
            assert number < 5
        else:
            assert number >= 5
    assert len(written) == min(number, 5)
    door.enrol(ticket)
    certificate(door).verify_directly_issued_by(authority(side, "devices"))
    assert load(door.config).broker is not None
    assert door.config.read_text().count("[broker]") == 1
    assert [each.device for each in side.tokens.list()[0].used] == [door.device]
    assert len(list((side.pki.directory / "clients").glob("*.pem"))) == 1


def test_a_power_cut_at_the_broker_between_token_and_certificate_leaves_the_token_to_this_doorbell(
    side: EstSide, door: LightDoor, other: LightDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = side.ticket("mill-lane-1")

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(broker_pki.os, "link", fails)
        with pytest.raises(NetworkError, match="could not sign"):
            door.enrol(ticket)
    assert list((side.pki.directory / "clients").iterdir()) == []
    with pytest.raises(ConfigurationError, match="has been used"):
        other.enrol(ticket)
    assert door.enrol(ticket) == door.device


def test_a_ticket_of_another_broker_does_not_get_the_token_out(side: EstSide, door: LightDoor, tmp_path: Path) -> None:
    """An attacker answers at the broker's address, with a certificate of an authority that the ticket does not name."""
    real = read_ticket(side.ticket("mill-lane-1"))
    with EstSide(tmp_path / "attacker") as attacker:
        sent = strictjson.encode(
            BrokerTicket(v=1, host="127.0.0.1", port=attacker.port, broker_port=8883, authority=real.authority,
                         token=real.token)
        )  # fmt: skip
        with pytest.raises(ConfigurationError, match=r"not the broker of this ticket .* The token was not sent"):
            door.enrol(sent)
        assert attacker.enrolled == []
    assert side.tokens.has_open()


def test_a_ticket_for_another_address_than_the_bundles_is_refused(side: EstSide, door: LightDoor) -> None:
    door.config.write_text(
        f'{door.config.read_text()}[broker]\nhost = "broker.example"\nca = "{door.tls / "ca.pem"}"\n'
        f'certificate = "{door.tls / "device.pem"}"\nkey = "{door.tls / "device.key"}"\n'
    )
    with pytest.raises(ConfigurationError, match=r"The ticket is for 127\.0\.0\.1:8883, and .* broker\.example:8883"):
        door.enrol(side.ticket("a"))
    assert side.tokens.has_open()


def test_a_ticket_with_another_authority_than_the_bundles_is_refused(
    side: EstSide, door: LightDoor, tmp_path: Path
) -> None:
    with EstSide(tmp_path / "attacker") as attacker:
        door.tls.mkdir()
        shutil.copy(attacker.pki.directory / "authorities" / "broker.pem", door.tls / "ca.pem")
    door.config.write_text(
        f'{door.config.read_text()}[broker]\nhost = "127.0.0.1"\nca = "{door.tls / "ca.pem"}"\n'
        f'certificate = "{door.tls / "device.pem"}"\nkey = "{door.tls / "device.key"}"\n'
    )
    with pytest.raises(ConfigurationError, match="another authority"):
        door.enrol(side.ticket("a"))
    assert side.tokens.has_open()


def test_a_revoked_doorbell_does_not_come_back_with_its_spent_token(side: EstSide, door: LightDoor) -> None:
    ticket = side.ticket("mill-lane-1")
    door.enrol(ticket)
    side.pki.revoke(door.device, NOW)
    (door.tls / "device.pem").unlink()
    with pytest.raises(ConfigurationError, match="was revoked"):
        door.enrol(ticket)
    with pytest.raises(ConfigurationError, match="was revoked"):
        door.enrol(side.ticket("mill-lane-1b"))
    (door.tls / "device.key").unlink()
    assert door.enrol(side.ticket("mill-lane-1c")) == door.device


def test_a_doorbell_with_a_certificate_for_another_key_has_to_be_revoked_first(
    side: EstSide, door: LightDoor, tmp_path: Path
) -> None:
    side.pki.add_device(door.device, NOW, request=signing_request(tmp_path / "earlier.key", door.device))
    with pytest.raises(ConfigurationError, match=f"has a certificate for another key.*revoke {door.device}"):
        door.enrol(side.ticket("a"))


def test_a_certificate_that_ends_soon_is_exchanged_for_a_new_token(
    side: EstSide, door: LightDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_pki, "END_ENTITY_DAYS", 30)
    real = broker_pki.BrokerPki.add_device
    monkeypatch.setattr(broker_pki.BrokerPki, "add_device", lambda *of, **named: real(*of, days=30, **named))
    door.enrol(side.ticket("a"))
    first = certificate(door)
    monkeypatch.undo()
    door.enrol(side.ticket("b"))
    second = certificate(door)
    assert second.not_valid_after_utc - first.not_valid_after_utc > datetime.timedelta(days=300)
    assert second.public_key() == first.public_key()
    assert door.enrol(side.ticket("c")) is None


# --- What a hostile client sends


def context_of(side: EstSide) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(side.pki.directory / "authorities" / "broker.pem"))


def ask(side: EstSide, body: bytes | None, *, method: str = "POST", path: str = SIMPLE_ENROLL, **headers: str) -> Any:
    connection = http.client.HTTPSConnection("127.0.0.1", side.port, timeout=30, context=context_of(side))
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def basic(token: str) -> str:
    return f"Basic {base64.b64encode(f'doorbell:{token}'.encode()).decode()}"


def request_of(door: LightDoor, *, signer: int | None = None) -> bytes:
    key = private_key_from_seed((signer or door.number).to_bytes(32, "big"))
    files.make_folder(door.tls)
    return enrolment_request(door.tls / "device.key", door.device, lambda tls_key: device_proof(key, tls_key))


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(None, 401), ("Basic", 401), ("Basic ???", 401), ("Bearer x", 401), (basic(""), 401), (basic("dwt_wrong"), 401)],
)
def test_without_a_good_token_nothing_is_signed(
    side: EstSide, door: LightDoor, authorization: str | None, status: int
) -> None:
    side.tokens.add("a", doorbells=1, days=1)
    given = {"Authorization": authorization} if authorization else {}
    answer, headers, _ = ask(side, base64.encodebytes(request_of(door)), Content_Type=PKCS10_TYPE, **given)
    assert answer == status
    assert headers["WWW-Authenticate"] == 'Basic realm="doorward"'
    assert side.tokens.has_open()
    assert list((side.pki.directory / "clients").iterdir()) == []


def test_a_request_is_signed_for_the_device_that_proved_its_key_whatever_name_it_asks_for(
    side: EstSide, door: LightDoor, other: LightDoor
) -> None:
    """The holder of a token asks in the name of another doorbell."""
    token = side.tokens.add("a", doorbells=1, days=1)
    asked = base64.encodebytes(request_of(door, signer=other.number))
    status, _, body = ask(side, asked, Content_Type=PKCS10_TYPE, Authorization=basic(token))
    assert status == 200
    (made,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert made.subject.rfc4514_string() == f"CN={other.device}"
    assert not (side.pki.directory / "clients" / f"{door.device}.pem").exists()


def without_proof(door: LightDoor) -> bytes:
    files.make_folder(door.tls)
    pem = signing_request(door.tls / "device.key", door.device)
    return base64.encodebytes(x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    "what", ["no proof", "not base64", "not a request", "empty", "long", "no length", "another type"]
)
def test_a_request_that_is_not_one_is_refused_and_costs_no_token(side: EstSide, door: LightDoor, what: str) -> None:
    token = side.tokens.add("a", doorbells=1, days=1)
    body = {
        "no proof": without_proof(door),
        "not base64": b"?" * 100,
        "not a request": base64.encodebytes(b"\x30\x03abc"),
        "empty": b"",
        "long": b"A" * (17 * 1024),
    }.get(what, base64.encodebytes(request_of(door)))
    headers = {"Content_Type": "text/plain" if what == "another type" else PKCS10_TYPE, "Authorization": basic(token)}
    if what == "no length":
        headers |= {"Content_Length": "-1"}
    status, _, said = ask(side, body, **headers)
    assert status == 400
    assert token.encode() not in said
    assert side.tokens.has_open()
    assert list((side.pki.directory / "clients").iterdir()) == []


def altered(request: bytes, old: str, new: str) -> bytes:
    """The request with some bytes of its DER replaced. Both are hex digits of one length."""
    assert len(old) == len(new)
    assert bytes.fromhex(old) in request
    return base64.encodebytes(request.replace(bytes.fromhex(old), bytes.fromhex(new), 1))


def with_key(door: LightDoor, key: Any) -> bytes:
    """A request for this TLS key, with the doorbell's good proof and with names and rights that it must not get."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    proof = device_proof(private_key_from_seed(door.number.to_bytes(32, "big")), public)
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "+/#")] * 2))
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, proof.encode())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("broker.example.org")]), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER)


P256 = "2a8648ce3d030107"


@pytest.mark.parametrize("what", ["a kind of key", "a curve", "a version", "another curve", "RSA"])
def test_a_request_of_an_unknown_kind_is_answered_and_costs_no_token(side: EstSide, door: LightDoor, what: str) -> None:
    token = side.tokens.add("a", doorbells=1, days=1)
    asked = with_key(door, ec.generate_private_key(ec.SECP256R1()))
    body = {
        "a kind of key": lambda: altered(asked, "2a8648ce3d0201", "2a8648ce3d0255"),
        "a curve": lambda: altered(asked, P256, "2a8648ce3d030177"),
        "a version": lambda: altered(asked, "020100", "020105"),
        "another curve": lambda: base64.encodebytes(with_key(door, ec.generate_private_key(ec.SECP384R1()))),
        "RSA": lambda: base64.encodebytes(with_key(door, rsa.generate_private_key(65_537, 2048))),
    }[what]()
    status, _, said = ask(side, body, Content_Type=PKCS10_TYPE, Authorization=basic(token))
    assert status == 400
    assert b"signing request" in said
    assert [each.used for each in side.tokens.list()] == [()]


def test_names_and_rights_that_a_request_asks_for_are_not_signed(side: EstSide, door: LightDoor) -> None:
    token = side.tokens.add("a", doorbells=1, days=1)
    asked = base64.encodebytes(with_key(door, ec.generate_private_key(ec.SECP256R1())))
    status, _, body = ask(side, asked, Content_Type=PKCS10_TYPE, Authorization=basic(token))
    assert status == 200
    (made,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert made.subject.rfc4514_string() == f"CN={door.device}"
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [each.value for each in names] == [f"urn:doorward:devices:{door.device}"]


def test_a_client_with_endless_headers_is_cut_before_they_fill_the_memory(side: EstSide) -> None:
    """Python's server takes 6 MB of headers of each client."""
    with (
        socket.create_connection(("127.0.0.1", side.port), timeout=30) as plain,
        context_of(side).wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        sent = 0
        with contextlib.suppress(OSError):
            client.sendall(f"POST {SIMPLE_ENROLL} HTTP/1.1\r\n".encode())
            for number in range(90):
                client.sendall(f"X-{number}: ".encode() + b"x" * 60_000 + b"\r\n")
                sent += 60_000
            client.sendall(b"\r\n")
        assert sent < 90 * 60_000


def test_one_token_that_two_doorbells_show_at_once_enrols_one(side: EstSide, tmp_path: Path) -> None:
    ticket = side.ticket("a")
    doors = [LightDoor(tmp_path / f"{number}", number) for number in range(1, 9)]
    together, ends = threading.Barrier(len(doors)), list[str]()

    def enrol(door: LightDoor) -> None:
        together.wait()
        try:
            ends.append(str(door.enrol(ticket)))
        except ConfigurationError as error:
            ends.append(error.message)

    threads = [threading.Thread(target=enrol, args=(door,)) for door in doors]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    enrolled = [each for each in ends if "used" not in each]
    assert len(ends) == len(doors)
    assert enrolled == [device for _, device in side.enrolled]
    assert len(enrolled) == len(list((side.pki.directory / "clients").iterdir())) == 1


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", SIMPLE_ENROLL), ("POST", CA_CERTIFICATES), ("PUT", "/")]
)
def test_other_pages_do_not_exist(side: EstSide, method: str, path: str) -> None:
    assert ask(side, b"", method=method, path=path)[0] in (404, 501)


def test_the_authorities_are_shown_as_the_standard_says(side: EstSide) -> None:
    status, headers, body = ask(side, None, method="GET", path=CA_CERTIFICATES)
    assert (status, headers["Content-Type"]) == (200, PKCS7_TYPE)
    found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert {each.fingerprint(each.signature_hash_algorithm) for each in found} == {  # type: ignore[arg-type]
        each.fingerprint(each.signature_hash_algorithm)  # type: ignore[arg-type]
        for each in (authority(side, "broker"), authority(side, "devices"))
    }


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_the_answer(side: EstSide, door: LightDoor, tmp_path: Path) -> None:
    token = side.tokens.add("a", doorbells=1, days=1)
    asked = base64.encodebytes(request_of(door))
    _, _, body = ask(side, asked, Content_Type=PKCS10_TYPE, Authorization=basic(token))
    (tmp_path / "answer.p7").write_bytes(base64.b64decode(body))
    words = ["openssl", "pkcs7", "-inform", "DER", "-in", str(tmp_path / "answer.p7"), "-print_certs", "-noout"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert door.device in done.stdout


def test_older_tls_is_refused(side: EstSide) -> None:
    context = context_of(side)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", side.port), timeout=30) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)alert"),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_clients_that_say_nothing_keep_no_other_client_out(
    side: EstSide, door: LightDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold all places until their time is over, and a doorbell that was refused asks again."""
    monkeypatch.setattr(est_server, "_LONGEST_S", 0.5)
    ticket = side.ticket("a")
    silent = [socket.create_connection(("127.0.0.1", side.port), timeout=30) for _ in range(64)]
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                assert door.enrol(ticket) == door.device
                break
            except NetworkError:
                assert time.monotonic() < deadline
    finally:
        for each in silent:
            each.close()


def test_a_server_without_the_authoritys_key_does_not_start(side: EstSide) -> None:
    (side.pki.directory / "authorities" / "devices.key").unlink()
    with pytest.raises(ConfigurationError, match="key of the device authority is not here"):
        EstServer(side.pki, side.tokens, ("127.0.0.1", 0), lambda *_: None)


def test_a_terminal_that_is_gone_costs_no_doorbell_its_answer(side: EstSide, door: LightDoor) -> None:
    def tell(_token: str, _device: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    server = EstServer(side.pki, side.tokens, ("127.0.0.1", 0), tell)
    server.start()
    try:
        side.port = server.port
        assert door.enrol(side.ticket("a")) == door.device
    finally:
        server.stop()


def test_a_bug_is_logged_and_a_client_that_hangs_up_is_not(side: EstSide, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_server: EstServer) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(EstServer, "authorities", broken)
    with capture_logs() as logs:
        socket.create_connection(("127.0.0.1", side.port), timeout=30).close()
        with pytest.raises(http.client.HTTPException):
            ask(side, None, method="GET", path=CA_CERTIFICATES)
    assert [each["event"] for each in logs] == ["enrolment_broke"]


def test_a_taken_port_is_named(side: EstSide) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot be served at 127.0.0.1:{side.port}"):
        EstServer(side.pki, side.tokens, ("127.0.0.1", side.port), lambda *_: None)


def test_a_damaged_token_file_is_the_brokers_fault_and_the_doorbell_may_try_again(
    side: EstSide, door: LightDoor
) -> None:
    ticket = side.ticket("a")
    (path,) = (side.pki.directory / "tokens").glob("*.json")
    before = path.read_bytes()
    path.write_bytes(b"{")
    with pytest.raises(NetworkError, match="could not sign"):
        door.enrol(ticket)
    path.write_bytes(before)
    assert door.enrol(ticket) == door.device


def test_nobody_at_the_address_is_a_fault_of_the_network(side: EstSide, door: LightDoor) -> None:
    ticket = side.ticket("a")
    side._server.stop()
    with pytest.raises(NetworkError, match=r"cannot be reached .*doorward broker est"):
        door.enrol(ticket)
    assert (door.tls / "device.key").exists()


def test_several_doorbells_at_once_all_get_in(side: EstSide, tmp_path: Path) -> None:
    doors = [LightDoor(tmp_path / f"d{number}", number) for number in range(10, 22)]
    tickets = {door.number: side.ticket(f"door-{door.number}") for door in doors}
    faults: list[DoorwardError] = []

    def enrol(door: LightDoor) -> None:
        try:
            door.enrol(tickets[door.number])
        except DoorwardError as error:
            faults.append(error)

    threads = [threading.Thread(target=enrol, args=(door,)) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(device for _, device in side.enrolled) == sorted(door.device for door in doors)
