"""Keys for TLS and their signing requests: made once, private, and compared with the certificate that comes back."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from agent.errors import ConfigurationError, StorageError
from agent.platform.certificates import common_name, require_for_key, signing_request

NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)


def certificate(path: Path, asked: x509.CertificateSigningRequest, subject: x509.Name) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(asked.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def named(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def test_a_key_is_made_once_and_is_its_users_alone(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    first = x509.load_pem_x509_csr(signing_request(key, "police.desk-2"))
    kept = key.read_bytes()
    second = x509.load_pem_x509_csr(signing_request(key, "police.desk-2"))
    assert key.read_bytes() == kept
    assert key.stat().st_mode & 0o777 == 0o600
    assert first.public_key() == second.public_key()
    assert first.is_signature_valid
    assert first.subject == named("police.desk-2")


def test_a_certificate_is_for_the_key_whose_request_was_signed(tmp_path: Path) -> None:
    asked, other = (x509.load_pem_x509_csr(signing_request(tmp_path / f"{name}.key", "police")) for name in "ab")
    ours = certificate(tmp_path / "a.pem", asked, named("police"))
    assert common_name(ours) == "police"
    require_for_key(ours, tmp_path / "a.key")
    with pytest.raises(ConfigurationError, match="is not for the key"):
        require_for_key(ours, tmp_path / "b.key")
    assert other.public_key() != asked.public_key()


@pytest.mark.parametrize("names", [(), ("police", "fire")])
def test_a_certificate_without_one_name_names_no_client(names: tuple[str, ...], tmp_path: Path) -> None:
    asked = x509.load_pem_x509_csr(signing_request(tmp_path / "key.pem", "police"))
    with pytest.raises(ConfigurationError, match="names no client"):
        common_name(certificate(tmp_path / "c.pem", asked, named(*names)))


def test_files_of_another_kind_are_named_with_a_remedy(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(ConfigurationError, match="is not a certificate"):
        common_name(broken)
    with pytest.raises(ConfigurationError, match="is not a private key"):
        signing_request(broken, "police")
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    broken.write_bytes(other)
    with pytest.raises(ConfigurationError, match="is not a P-256 key"):
        signing_request(broken, "police")
    with pytest.raises(StorageError, match="nowhere"):
        common_name(tmp_path / "nowhere.pem")
