"""The desk's TLS certificate if none is configured: a small authority in `data/tls`, and a certificate for its names.

Browsers that import `authority.pem` trust the desk. A passkey needs that: browsers refuse one on a page
without a trusted certificate.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.platform import files
from agent.platform.certificates import key_usage

__all__ = ["made_certificate"]

_AUTHORITY_DAYS: Final = 3650
_CERTIFICATE_DAYS: Final = 397
"""Browsers refuse a longer life."""
_RENEW_DAYS: Final = 60
_PEM_LIMIT_BYTES: Final = 64 * 1024


def made_certificate(folder: Path, names: Sequence[str], now: datetime.datetime) -> tuple[Path, Path]:
    """Returns certificate and key for `names`, in `folder`: those that are there, or new ones."""
    files.make_folder(folder)
    certificate, key = folder / "desk.pem", folder / "desk.key"
    if not _is_good(certificate, names, now):
        authority, authority_key = _authority(folder, now)
        own_key = ec.generate_private_key(ec.SECP256R1())
        made = _end_entity(names, own_key.public_key(), authority, authority_key, now)
        # The key first: a stop after it leaves a certificate that is still not good, and the next start makes both
        # again.
        files.write(key, _key_pem(own_key), secret=True)
        files.write(certificate, _pem(made) + _pem(authority))
    return certificate, key


def _is_good(path: Path, names: Sequence[str], now: datetime.datetime) -> bool:
    if not files.is_file(path):
        return False
    found = x509.load_pem_x509_certificate(files.read(path, _PEM_LIMIT_BYTES))
    listed = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    wanted = x509.SubjectAlternativeName([_general_name(name) for name in names])
    return listed == wanted and found.not_valid_after_utc - now > datetime.timedelta(days=_RENEW_DAYS)


def _authority(folder: Path, now: datetime.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path, key_path = folder / "authority.pem", folder / "authority.key"
    if files.is_file(path) and files.is_file(key_path):
        key = serialization.load_pem_private_key(files.read_private(key_path, _PEM_LIMIT_BYTES), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 (we wrote it)
        return x509.load_pem_x509_certificate(files.read(path, _PEM_LIMIT_BYTES)), key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Doorward desk authority")])
    made = (
        _builder(name, name, key.public_key(), now, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    files.write(key_path, _key_pem(key), secret=True)
    files.write(path, _pem(made))
    return made, key


def _end_entity(
    names: Sequence[str],
    key: ec.EllipticCurvePublicKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(subject, authority.subject, key, now, _CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # a browser's clock may be behind
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
