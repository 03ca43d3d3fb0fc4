"""The doorbell's own authority vouches for this one doorbell and for nothing else."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import ipaddress
import ssl
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from structlog.testing import capture_logs

from agent.custodian.page import certificate_authority as module
from agent.custodian.page.certificate_authority import PageCertificates, _leaf, _PageKeyPair, _signer
from agent.errors import ConfigurationError, StorageError

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
NAME = "front-door.local"


def made(
    folder: Path, name: str = NAME, addresses: tuple[str, ...] = ("192.168.1.20",), days: int = 0
) -> PageCertificates:
    return PageCertificates(folder, name, addresses, NOW + datetime.timedelta(days=days))


def leaf_of(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates((folder / "page.pem").read_bytes())[0]


def authority_in(folder: Path) -> list[x509.Certificate]:
    """The intermediate and the root."""
    return x509.load_pem_x509_certificates((folder / "authority.pem").read_bytes())


def test_root_and_intermediate_permit_one_name_and_local_addresses_only(tmp_path: Path) -> None:
    root = x509.load_der_x509_certificate(made(tmp_path).authority_der)
    intermediate, stored = authority_in(tmp_path)
    assert stored == root
    for certificate, path_length in ((root, 1), (intermediate, 0)):
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
        assert constraints.critical
        permitted = constraints.value.permitted_subtrees or []
        assert [each.value for each in permitted if isinstance(each, x509.DNSName)] == [NAME]
        networks = [each.value for each in permitted if isinstance(each, x509.IPAddress)]
        assert not any(network.is_global for network in networks)
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (basic.ca, basic.path_length) == (True, path_length)


def test_the_roots_key_is_destroyed_at_once(tmp_path: Path) -> None:
    root = x509.load_der_x509_certificate(made(tmp_path).authority_der)
    keys = [
        serialization.load_pem_private_key(path.read_bytes(), None).public_key() for path in sorted(tmp_path.iterdir())
    ]
    assert len(keys) == 2
    assert root.public_key() not in keys
    root.verify_directly_issued_by(root)


def openssl_takes(folder: Path, leaf: x509.Certificate, between: list[x509.Certificate], *name: str) -> bool:
    """Returns True if OpenSSL lets a browser that installed the root trust `leaf`."""
    _, root = authority_in(folder)
    for file, certificates in (("root", [root]), ("between", between), ("leaf", [leaf])):
        pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
        (folder / file).write_bytes(pem)
    seconds = str(int(NOW.timestamp()))
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", seconds, *name]
    files = ["-no-CApath", "-no-CAfile", "-CAfile", folder / "root", "-untrusted", folder / "between", folder / "leaf"]
    return subprocess.run([*command, *files], capture_output=True, check=False).returncode == 0


def test_the_page_is_trusted_through_the_intermediate_and_a_bank_is_not(tmp_path: Path) -> None:
    made(tmp_path, addresses=("192.168.1.20", "100.101.102.103", "fd7a:115c:a1e0::1"))
    intermediate, root = authority_in(tmp_path)
    verifier = PolicyBuilder().store(Store([root])).time(NOW).build_server_verifier(x509.DNSName(NAME))
    assert verifier.verify(leaf_of(tmp_path), [intermediate])
    for name in (("-verify_hostname", NAME), ("-verify_ip", "100.101.102.103"), ("-verify_ip", "fd7a:115c:a1e0::1")):
        assert openssl_takes(tmp_path, leaf_of(tmp_path), [intermediate], *name)
    assert not openssl_takes(tmp_path, leaf_of(tmp_path), [intermediate], "-verify_hostname", "other.local")


@pytest.mark.parametrize("name", ["bank.example", "back-door.local", "local"])
def test_a_thief_with_the_intermediates_key_can_vouch_for_no_other_name(tmp_path: Path, name: str) -> None:
    made(tmp_path)
    pair = stolen(tmp_path)
    forged = _leaf(pair, name, (), NOW).certificate
    assert not openssl_takes(tmp_path, forged, [pair.certificate], "-verify_hostname", name)
    root = authority_in(tmp_path)[1]
    verifier = PolicyBuilder().store(Store([root])).time(NOW).build_server_verifier(x509.DNSName(name))
    with pytest.raises(VerificationError, match=r"(?i)constraint"):
        verifier.verify(forged, [pair.certificate])


def test_a_thief_with_the_intermediates_key_can_make_no_other_authority_and_none_for_the_internet(
    tmp_path: Path,
) -> None:
    made(tmp_path)
    pair = stolen(tmp_path)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another")])
    below = _signer(subject, key.public_key(), pair.certificate.subject, pair.key, "bank.example", NOW, path_length=0)
    forged = _leaf(_PageKeyPair(below, key), "bank.example", (), NOW).certificate
    assert not openssl_takes(tmp_path, forged, [below, pair.certificate], "-verify_hostname", "bank.example")
    internet = _leaf(pair, NAME, (ipaddress.ip_address("203.0.113.7"),), NOW).certificate
    assert not openssl_takes(tmp_path, internet, [pair.certificate], "-verify_ip", "203.0.113.7")


def stolen(folder: Path) -> _PageKeyPair:
    key = serialization.load_pem_private_key((folder / "authority.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return _PageKeyPair(authority_in(folder)[0], key)


def test_the_authority_stays_and_the_leaf_is_renewed_a_month_before_its_end(tmp_path: Path) -> None:
    first, leaf = made(tmp_path).authority_der, leaf_of(tmp_path)
    assert made(tmp_path, days=300).authority_der == first
    assert leaf_of(tmp_path) == leaf
    assert made(tmp_path, days=370).authority_der == first
    assert leaf_of(tmp_path) != leaf


def test_a_leaf_that_was_made_while_the_clock_was_years_ahead_is_renewed_once_it_is_right(tmp_path: Path) -> None:
    page, days = made(tmp_path), datetime.timedelta(days=5000)
    page.certify(("192.168.1.20",), NOW + days)
    assert leaf_of(tmp_path).not_valid_before_utc > NOW
    page.certify(("192.168.1.20",), datetime.datetime.fromtimestamp(0, datetime.UTC))
    assert leaf_of(tmp_path).not_valid_before_utc > NOW, "a clock of 1970 is wrong itself"
    page.certify(("192.168.1.20",), NOW)
    leaf = leaf_of(tmp_path)
    assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc
    page.certify(("192.168.1.20",), NOW)
    assert leaf_of(tmp_path) == leaf, "once"


def test_a_new_address_makes_a_new_leaf_and_a_new_name_a_new_authority(tmp_path: Path) -> None:
    first = made(tmp_path).authority_der
    assert made(tmp_path, addresses=("192.168.1.20", "fd00::20")).authority_der == first
    names = leaf_of(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ipaddress.ip_address("fd00::20") in names.get_values_for_type(x509.IPAddress)
    assert made(tmp_path, name="back-door.local").authority_der != first


def test_a_new_address_is_certified_for_connections_that_come_now(tmp_path: Path) -> None:
    page = made(tmp_path)
    context, first = page.context(), leaf_of(tmp_path)
    page.certify(("192.168.1.20",), NOW)
    assert leaf_of(tmp_path) == first
    page.certify(("192.168.77.2",), NOW)
    assert leaf_of(tmp_path) != first
    assert shown_by(context) == leaf_of(tmp_path)
    page.certify((), NOW)
    assert shown_by(context) == leaf_of(tmp_path), "an address that is gone is no reason to write"
    page.certify((), NOW + datetime.timedelta(days=370))
    assert shown_by(context).not_valid_after_utc > NOW + datetime.timedelta(days=700)


def shown_by(server: ssl.SSLContext) -> x509.Certificate:
    """Returns the certificates that a phone is shown."""
    phone = ssl.create_default_context()
    phone.check_hostname, phone.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (phone.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True))
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    shown = ends[0].getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


def test_an_address_of_the_internet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="local network"):
        made(tmp_path, addresses=("203.0.113.7",))


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    made(tmp_path / "page")
    assert (tmp_path / "page").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "page").iterdir())


def test_a_damaged_key_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "authority.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"authority\.pem"):
        made(tmp_path)


def test_a_damaged_leaf_is_made_anew_and_the_authority_stays(tmp_path: Path) -> None:
    first = made(tmp_path).authority_der
    (tmp_path / "page.pem").write_text("nothing")
    assert made(tmp_path).authority_der == first
    assert leaf_of(tmp_path).not_valid_after_utc > NOW


def test_certificates_that_the_disk_does_not_take_are_named_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = made(tmp_path / "page")
    leaf = leaf_of(tmp_path / "page")

    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", refused)
    for attempt in (lambda: made(tmp_path / "new"), lambda: page.certify(("10.0.0.7",), NOW)):
        with pytest.raises(StorageError, match=r"cannot be kept: No space left on device\.") as caught:
            attempt()
        assert caught.value.remedy == "Check device.state_dir."
    assert leaf_of(tmp_path / "page") == leaf
    page.certify(("192.168.1.20",), NOW)  # what it has is enough
    with capture_logs() as lines:
        again = made(tmp_path / "page", addresses=("10.0.0.7",))
    assert [line["event"] for line in lines] == ["certificate_not_renewed"], (
        "on a full disk the page helps to make room"
    )
    assert again.context() is not None


def test_an_authority_with_another_kind_of_key_is_named_with_its_remedy(tmp_path: Path) -> None:
    made(tmp_path)
    file = tmp_path / "authority.pem"
    certificates = file.read_bytes().partition(b"-----BEGIN CERTIFICATE")
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(key + certificates[1] + certificates[2])
    with pytest.raises(ConfigurationError, match=r"authority\.pem holds another kind of key") as caught:
        made(tmp_path)
    assert caught.value.remedy == "Delete it: a new one is made."


def test_a_leaf_of_another_authority_is_made_anew(tmp_path: Path) -> None:
    made(tmp_path)
    other = made(tmp_path / "other")
    (tmp_path / "page.pem").write_bytes((tmp_path / "other" / "page.pem").read_bytes())
    page = made(tmp_path)
    leaf_of(tmp_path).verify_directly_issued_by(authority_in(tmp_path)[0])
    assert page.authority_der != other.authority_der


def test_each_certificate_says_what_it_is_for_and_for_how_long(tmp_path: Path) -> None:
    page = made(tmp_path)
    intermediate, root = authority_in(tmp_path)
    leaf = leaf_of(tmp_path)
    day = datetime.timedelta(days=1)
    for each, days in ((root, module.AUTHORITY_DAYS), (intermediate, module.AUTHORITY_DAYS)):
        assert (each.not_valid_before_utc, each.not_valid_after_utc) == (NOW - module.BACKDATE, NOW + days * day)
    assert leaf.not_valid_before_utc == NOW - module.BACKDATE
    assert leaf.not_valid_after_utc == NOW - module.BACKDATE + module.LEAF_DAYS * day
    for each, signs in ((root, True), (intermediate, True), (leaf, False)):
        usage = each.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert (usage.value.key_cert_sign, usage.value.digital_signature) == (signs, not signs)
        purposes = each.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        assert (list(purposes.value), purposes.critical) == ([ExtendedKeyUsageOID.SERVER_AUTH], False)
        basic = each.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (basic.value.ca, basic.critical) == (signs, True)
        for name in (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier):
            assert not each.extensions.get_extension_for_class(name).critical
    assert leaf.subject.rfc4514_string() == f"CN={NAME}"
    assert not leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    digest = hashlib.sha256(page.authority_der).hexdigest().upper()
    assert page.fingerprint.replace(":", "").replace(" ", "").upper() == digest
    assert len({root.serial_number, intermediate.serial_number, leaf.serial_number}) == 3


def test_a_leaf_is_renewed_when_thirty_days_are_left_and_not_before(tmp_path: Path) -> None:
    made(tmp_path)
    leaf = leaf_of(tmp_path)
    end = leaf.not_valid_after_utc - datetime.timedelta(days=module.RENEW_DAYS)
    PageCertificates(tmp_path, NAME, ("192.168.1.20",), end)
    assert leaf_of(tmp_path) == leaf
    PageCertificates(tmp_path, NAME, ("192.168.1.20",), end + datetime.timedelta(seconds=1))
    assert leaf_of(tmp_path) != leaf


# -- to the last field -------------------------------------------------------------------------------------------------


def test_root_and_intermediate_say_the_same_of_what_they_may_sign(tmp_path: Path) -> None:
    made(tmp_path)
    intermediate, root = authority_in(tmp_path)
    leaf = leaf_of(tmp_path)
    names = {each: f"CN=Doorward {NAME}{each}" for each in ("", " intermediate")}
    assert (root.subject.rfc4514_string(), root.issuer.rfc4514_string()) == (names[""], names[""])
    assert (intermediate.subject.rfc4514_string(), intermediate.issuer.rfc4514_string()) == (
        names[" intermediate"],
        names[""],
    )
    assert leaf.issuer == intermediate.subject
    permitted = [x509.DNSName(NAME), *(x509.IPAddress(network) for network in module.LOCAL)]
    for each, issuer in ((root, root), (intermediate, root)):
        found = {extension.oid: (extension.critical, extension.value) for extension in each.extensions}
        assert found == {
            oid: (critical, value)
            for critical, value in (
                (True, x509.BasicConstraints(ca=True, path_length=1 if each is root else 0)),
                (True, module.key_usage(signs_certificates=True)),
                (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
                (True, x509.NameConstraints(permitted, None)),
                (False, x509.SubjectKeyIdentifier.from_public_key(each.public_key())),  # type: ignore[arg-type]
                (False, x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())),  # type: ignore[arg-type]
            )
            for oid in [value.oid]
        }
    found = {extension.oid: (extension.critical, extension.value) for extension in leaf.extensions}
    addresses = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("192.168.1.20"))]
    assert found == {
        oid: (critical, value)
        for critical, value in (
            (True, x509.BasicConstraints(ca=False, path_length=None)),
            (True, module.key_usage(signs_certificates=False)),
            (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
            (False, x509.SubjectAlternativeName(addresses)),
            (False, x509.SubjectKeyIdentifier.from_public_key(leaf.public_key())),  # type: ignore[arg-type]
            (False, x509.AuthorityKeyIdentifier.from_issuer_public_key(intermediate.public_key())),  # type: ignore[arg-type]
        )
        for oid in [value.oid]
    }
    for each in (root, intermediate, leaf):
        key = each.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
        assert each.signature_hash_algorithm is not None
        assert each.signature_hash_algorithm.name == "sha256"


def test_a_browser_gets_tls_1_3_and_http_1_1(tmp_path: Path) -> None:
    page = made(tmp_path)
    assert page._context is None
    context = page.context()
    assert (page._context, context.minimum_version) == (context, ssl.TLSVersion.TLSv1_3)
    phone = ssl.create_default_context()
    phone.check_hostname, phone.verify_mode = False, ssl.CERT_NONE
    phone.set_alpn_protocols(["h2", "http/1.1"])
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        phone.wrap_bio(back, there),
        context.wrap_bio(there, back, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ends[1].selected_alpn_protocol() == "http/1.1"
    assert ends[1].version() == "TLSv1.3"


def test_a_file_reaches_the_disk_before_its_name_and_takes_the_place_of_one_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "deeper" / "page"
    made(folder)
    making = folder / "page.making"
    making.write_text("half of a certificate that is longer than nothing")
    making.chmod(0o644)
    did: list[object] = []
    rename, fsync = Path.replace, module.os.fsync

    def replace(path: Path, to: Path) -> Path:
        did.append((path.name, to.name))
        return rename(path, to)

    monkeypatch.setattr(module.os, "fsync", lambda file: (did.append(making.stat().st_size), fsync(file)))
    monkeypatch.setattr(Path, "replace", replace)
    made(folder, addresses=("10.0.0.7",))
    size = (folder / "page.pem").stat().st_size
    assert did == [size, ("page.making", "page.pem")]
    assert sorted(path.name for path in folder.iterdir()) == ["authority.pem", "page.pem"]
    assert (folder / "page.pem").stat().st_mode & 0o777 == 0o600
    key = serialization.load_pem_private_key((folder / "page.pem").read_bytes(), None)
    leaf, intermediate = x509.load_pem_x509_certificates((folder / "page.pem").read_bytes())
    assert (key.public_key(), intermediate) == (leaf.public_key(), authority_in(folder)[0])


@pytest.mark.parametrize("error", [ValueError("names"), TypeError("key"), InvalidSignature()])
def test_a_leaf_that_the_authority_has_not_signed_is_made_anew_for_each_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    made(tmp_path)
    page = made(tmp_path)
    before = leaf_of(tmp_path)

    def refused(_issuer: object) -> None:
        raise error

    unsigned: Any = SimpleNamespace(
        extensions=before.extensions, not_valid_after_utc=before.not_valid_after_utc, verify_directly_issued_by=refused
    )
    assert page._leaf is not None
    monkeypatch.setattr(page, "_leaf", _PageKeyPair(unsigned, page._leaf.key))
    page.certify(("192.168.1.20",), NOW)
    assert leaf_of(tmp_path) != before


def test_the_fingerprint_is_the_hash_of_the_root_in_pairs_of_digits() -> None:
    digest = hashlib.sha256(b"root").hexdigest().upper()
    pairs = module.fingerprint_text(b"root").split(" ")
    assert ("".join(pairs), {len(each) for each in pairs}) == (digest, {2})


def test_each_refusal_names_the_file_or_the_address_and_its_remedy(tmp_path: Path) -> None:
    made(tmp_path)
    for content in (b"nothing", (tmp_path / "authority.pem").read_bytes().rpartition(b"-----BEGIN")[0]):
        (tmp_path / "authority.pem").write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"authority\.pem is damaged\.") as refused:
            made(tmp_path)
        assert refused.value.remedy == "Delete it: a new one is made, and phones must install it again."
    with pytest.raises(ConfigurationError, match=r"203\.0\.113\.7 is not an address of a local network") as refused:
        made(tmp_path / "other", addresses=("203.0.113.7",))
    assert refused.value.remedy == (
        "From outside, reach the page through a VPN: private addresses, 100.64.0.0/10 and fc00::/7."
    )
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"certificates in .*file.* cannot be kept: File exists\."):
        made(tmp_path / "file")
