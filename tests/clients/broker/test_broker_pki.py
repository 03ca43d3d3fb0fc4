"""The broker's certificates: who may sign what, for how long, and that their keys stay private."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.clients.broker.broker_pki import BrokerPki, ClientFiles
from agent.errors import ConfigurationError
from agent.platform.certificates import signing_request
from tests.brokers import add_requester

NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
DEVICE = "0123456789abcdef"


@pytest.fixture
def pki(tmp_path: Path) -> BrokerPki:
    return BrokerPki.create(tmp_path / "pki", NOW)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def common_name(certificate: x509.Certificate) -> object:
    return certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def test_every_role_has_an_authority_of_its_own(pki: BrokerPki) -> None:
    device = load(pki.add_device(DEVICE, NOW).certificate)
    requester = load(add_requester(pki, "springfield-police", NOW).certificate)
    authorities = {
        role: load(pki.directory / "authorities" / f"{role}.pem") for role in ("broker", "devices", "requesters")
    }
    load(pki.directory / "broker.pem").verify_directly_issued_by(authorities["broker"])
    device.verify_directly_issued_by(authorities["devices"])
    requester.verify_directly_issued_by(authorities["requesters"])
    with pytest.raises(ValueError, match="Issuer"):
        requester.verify_directly_issued_by(authorities["devices"])


def test_an_authority_signs_certificates_and_nothing_else_and_no_further_authority(pki: BrokerPki) -> None:
    authority = load(pki.directory / "authorities" / "devices.pem")
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature


@pytest.mark.parametrize(
    ("whose", "usage"),
    [("broker", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)],
)
def test_an_end_entity_signs_for_its_own_side_only(whose: str, usage: x509.ObjectIdentifier, pki: BrokerPki) -> None:
    path = pki.directory / "broker.pem" if whose == "broker" else pki.add_device(DEVICE, NOW).certificate
    extensions = load(path).extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    key_usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (key_usage.digital_signature, key_usage.key_cert_sign) == (True, False)


def test_the_brokers_names_are_alternative_names_of_the_right_kind(tmp_path: Path) -> None:
    pki = BrokerPki.create(tmp_path / "pki", NOW, hosts=("broker.example", "::1"))
    names = load(pki.directory / "broker.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["::1"]


def test_a_client_is_named_by_its_common_name_and_valid_from_a_day_before(pki: BrokerPki) -> None:
    certificate = load(pki.add_device(DEVICE, NOW, days=10).certificate)
    assert common_name(certificate) == DEVICE
    assert certificate.not_valid_before_utc == NOW - datetime.timedelta(days=1)
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=10)


@pytest.mark.parametrize(
    "name", ["", "#", "+", "a/b", "ABCDEF0123456789", "0123456789abcde", DEVICE + "0", f"{DEVICE}\n"]
)
def test_a_device_is_named_by_a_key_id_and_nothing_else(name: str, pki: BrokerPki) -> None:
    with pytest.raises(ConfigurationError):
        pki.add_device(name, NOW)


@pytest.mark.parametrize("name", ["", "#", "police/+", "Police", "-police", "a" * 33, DEVICE, "police\n", "../police"])
def test_a_requester_cannot_take_a_devices_name_nor_one_that_widens_a_rule(
    name: str, pki: BrokerPki, tmp_path: Path
) -> None:
    request = signing_request(tmp_path / "key.pem", "springfield-police")
    with pytest.raises(ConfigurationError):
        pki.add_requester(name, NOW, request=request)


@pytest.mark.parametrize(
    "name",
    ["police.", ".desk-1", "police.desk.1", "police.Desk", "police.-x", "police.x-", f"{DEVICE}.desk-1",
     "police.desk-1\n", "police.+", f"police.{'d' * 32}"],
)  # fmt: skip
def test_a_worker_is_named_by_its_requester_a_dot_and_one_plain_word(name: str, pki: BrokerPki, tmp_path: Path) -> None:
    request = signing_request(tmp_path / "key.pem", "springfield-police")
    with pytest.raises(ConfigurationError, match="requester's certificate"):
        pki.add_requester(name, NOW, request=request)
    assert list((pki.directory / "clients").glob("*.pem")) == []


def test_the_longest_worker_fits_a_common_name_and_its_organization_is_the_requester(pki: BrokerPki) -> None:
    name = f"{'p' * 32}.{'d' * 31}"
    made = load(add_requester(pki, name, NOW).certificate)
    assert common_name(made) == name
    assert made.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "p" * 32


def test_the_access_list_has_a_section_for_each_worker_and_keeps_what_an_operator_wrote(pki: BrokerPki) -> None:
    path = pki.directory / "requesters.acl"
    path.write_text(path.read_text() + "# ours\npattern read ours/%u\n")
    before = path.read_text()
    add_requester(pki, "springfield-police", NOW)
    assert path.read_text() == before
    for name in ("springfield-police.desk-2", "springfield-police.desk-1"):
        add_requester(pki, name, NOW)
    both = path.read_text()
    assert both.startswith(before)
    assert [line for line in both.splitlines() if line.startswith("user ")] == [
        "user springfield-police.desk-1",
        "user springfield-police.desk-2",
    ]
    assert both.count("topic read ours/springfield-police\n") == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert pki.workers("springfield-police") == ["springfield-police.desk-1", "springfield-police.desk-2"]
    assert pki.workers("springfield") == []
    pki.revoke("springfield-police.desk-1", NOW)
    assert "desk-1" not in path.read_text()
    pki.revoke("springfield-police.desk-2", NOW)
    assert path.read_text() == before


def added(pki: BrokerPki, name: str) -> bytes:
    """Adds a requester. Returns its signing request."""
    add_requester(pki, name, NOW)
    return signing_request(pki.client(name).key, name)


def owners_given(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Name of a file → the owner that it got while it was open."""
    given: dict[str, tuple[int, int]] = {}

    def fchown(descriptor: int, uid: int, gid: int) -> None:
        given[Path(f"/proc/self/fd/{descriptor}").readlink().name] = uid, gid

    monkeypatch.setattr("os.fchown", fchown)
    return given


def test_renewed_certificates_belong_to_the_user_who_runs_the_broker(
    pki: BrokerPki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator renews with sudo. A file of root's that mosquitto cannot read keeps all clients away."""
    request = added(pki, "springfield-police")
    given = owners_given(monkeypatch)
    pki.renew_broker(NOW)
    pki.add_requester("springfield-police", NOW, request=request)
    owner = ((pki.directory / "broker.key").stat().st_uid, (pki.directory / "broker.key").stat().st_gid)
    assert (given["broker.pem.new"], given["springfield-police.pem.new"]) == (owner, owner)


def test_all_certificates_of_a_client_are_revoked_at_once_also_those_that_renewals_replaced(pki: BrokerPki) -> None:
    request = added(pki, "springfield-police")
    other = added(pki, "springfield")
    path = pki.client("springfield-police").certificate
    serials = set()
    for days in (0, 300, 600):
        pki.add_requester("springfield-police", NOW + datetime.timedelta(days), request=request)
        serials.add(x509.load_pem_x509_certificate(path.read_bytes()).serial_number)
    pki.add_requester("springfield", NOW, request=other)
    pki.revoke("springfield-police", NOW)
    listed = x509.load_pem_x509_crl((pki.directory / "authorities" / "requesters.crl").read_bytes())
    found = {each.serial_number for each in listed}
    assert serials < found
    assert len(found) == 4, "with the first one, and none of the client with a longer name"
    assert [
        each.name for each in (pki.directory / "renewed").iterdir() if each.name.startswith("springfield-police")
    ] == []


def test_a_revoked_key_gets_no_certificate_again_and_another_key_does(pki: BrokerPki) -> None:
    request = added(pki, "springfield-police")
    pki.revoke("springfield-police", NOW)
    with pytest.raises(ConfigurationError, match="was revoked"):
        pki.add_requester("springfield-police", NOW, request=request)
    assert "springfield-police" not in pki._clients()
    add_requester(pki, "springfield-police", NOW)
    assert "springfield-police" in pki._clients()


def test_a_root_that_is_renewed_keeps_its_slots(pki: BrokerPki) -> None:
    root = "ab" * 8
    request = signing_request(pki.client(f"{root}.root").key, "root")
    pki.add_root(root, NOW, request=request, slots=6)
    pki.add_root(root, NOW, request=request)
    assert pki._root_slots() == {root: 6}
    pki.add_root(root, NOW, request=request, slots=12)
    assert pki._root_slots() == {root: 12}


def test_a_broker_has_room_for_three_roots_whose_indexes_a_doorbell_reads_at_a_connection(pki: BrokerPki) -> None:
    roots = [f"{number}f" * 8 for number in range(4)]
    requests = [signing_request(pki.client(f"{root}.root").key, "root") for root in roots]
    for root, request in zip(roots[:3], requests, strict=False):
        pki.add_root(root, NOW, request=request, slots=2)
    with pytest.raises(ConfigurationError, match="has 3 roots already"):
        pki.add_root(roots[3], NOW, request=requests[3], slots=1)
    pki.add_root(roots[2], NOW, request=requests[2])
    rights = (pki.directory / "requesters.acl").read_text(encoding="utf-8")
    assert [f"topic write doorward/v1/trust/{root}/index\n" in rights for root in roots] == [True] * 3 + [False]


@pytest.mark.parametrize("left", [datetime.timedelta(hours=23), datetime.timedelta(days=-3)])
def test_a_broker_whose_authority_ends_today_keeps_its_certificate(pki: BrokerPki, left: datetime.timedelta) -> None:
    authority = x509.load_pem_x509_certificate((pki.directory / "authorities" / "broker.pem").read_bytes())
    before = pki.certificate.read_bytes()
    with pytest.raises(ConfigurationError, match="authority of this broker ends on"):
        pki.renew_broker(authority.not_valid_after_utc - left)
    assert pki.certificate.read_bytes() == before


def test_a_new_list_of_revoked_certificates_belongs_to_the_user_who_runs_the_broker(
    pki: BrokerPki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator revokes with sudo. A list of root's that mosquitto cannot read lets the revoked client in again."""
    add_requester(pki, "springfield-police", NOW)
    path = pki.directory / "authorities" / "requesters.crl"
    path.chmod(0o640)
    given = owners_given(monkeypatch)
    pki.revoke("springfield-police", NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert given["requesters.crl.new"] == (path.stat().st_uid, path.stat().st_gid)


def test_nobody_but_the_owner_of_the_files_can_read_anything(pki: BrokerPki) -> None:
    pki.add_device(DEVICE, NOW)
    for path in pki.directory.rglob("*"):
        allowed = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == allowed, path


def test_a_name_is_given_once_and_no_key_is_ever_overwritten(pki: BrokerPki) -> None:
    files = pki.add_device(DEVICE, NOW)
    before = files.key.read_bytes()
    with pytest.raises(ConfigurationError, match="already exists"):
        pki.add_device(DEVICE, NOW)
    with pytest.raises(ConfigurationError, match="already exists"):
        BrokerPki.create(pki.directory, NOW)
    assert files.key.read_bytes() == before


def test_what_was_made_is_found_again_and_what_was_not_is_missed(pki: BrokerPki, tmp_path: Path) -> None:
    pki.add_device(DEVICE, NOW)
    again = BrokerPki(pki.directory)
    assert again.client(DEVICE) == ClientFiles(
        DEVICE,
        again.directory / "authorities" / "broker.pem",
        again.directory / "clients" / f"{DEVICE}.pem",
        again.directory / "clients" / f"{DEVICE}.key",
    )
    with pytest.raises(ConfigurationError, match="no broker certificates"):
        BrokerPki(tmp_path / "empty")
