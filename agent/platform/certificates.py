"""X.509: extensions of the certificates that Doorward makes, and requests for a certificate of a broker's client.

A client's key for TLS is made where it is used and never leaves that machine. The broker's operator gets a signing
request. The caller that signs chooses the name, so the name in a request is only a hint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AttributeOID, NameOID

from agent.errors import ConfigurationError
from agent.platform import files

__all__ = ["common_name", "enrolment_request", "key_usage", "require_for_key", "signing_request"]

_LIMIT_BYTES = 64 * 1024
_DER = serialization.Encoding.DER


def signing_request(key: Path, name: str) -> bytes:
    """Returns a signing request in PEM for the key in that file, which is made the first time (P-256, 0600)."""
    return _request(name).sign(_kept_key(key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def enrolment_request(key: Path, name: str, challenge_of: Callable[[bytes], str]) -> bytes:
    """Returns a signing request in DER for the same key. `challenge_of` gives its challenge password (RFC 2985, 5.4.1)
    for the public key, as SubjectPublicKeyInfo in DER."""
    kept = _kept_key(key)
    challenge = challenge_of(kept.public_key().public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    asked = _request(name).add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    return asked.sign(kept, hashes.SHA256()).public_bytes(_DER)


def _request(name: str) -> x509.CertificateSigningRequestBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject)


def _kept_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files.write(path, made, secret=True)
    return _private_key(path)


def common_name(certificate: Path) -> str:
    """Returns the common name of the certificate in that file. Raises `ConfigurationError` if it has not one."""
    names = _certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise ConfigurationError(f"{certificate} names no client.", remedy="Use the file that the broker's side made.")
    return str(names[0].value)


def require_for_key(certificate: Path, key: Path) -> None:
    """Raises `ConfigurationError` unless the certificate is for this key."""
    if _certificate(certificate).public_key() != _private_key(key).public_key():
        raise ConfigurationError(
            f"{certificate} is not for the key {key}.", remedy="Send the newest signing request to the broker's side."
        )


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(files.read(path, _LIMIT_BYTES))
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is not a certificate in PEM.", remedy="Use the file that the broker's side made."
        ) from error


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(files.read(path, _LIMIT_BYTES), None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} is not a private key in PEM.", remedy="Restore it, or remove it.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{path} is not a P-256 key.", remedy="Restore the key that this program made.")
    return key


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Returns the usage of an authority's key, or of one that only signs data or handshakes (RFC 5280, 4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
