"""The certificate of a doorbell's capture key, which signs GOPs by ONVIF Media Signing.

A validator of ONVIF wants X.509. The authority is the device's own key (Ed25519, RFC 8410): readers know it from every
answer of that doorbell, so a capture signature needs no further trust. The authority's certificate has fixed content
besides that key, so a reader writes it down (`root_certificate`) and gives it to a validator as the trusted one. Its
self-signature is in an extension of the leaf.

Both certificates are valid from 2020 on without an end (RFC 5280, 4.1.2.5), because a doorbell may lack a clock when it
makes them, and because footage must stay verifiable. They name the device's id and nothing else.

Source: RFC 5280, RFC 8410, RFC 5480; docs/decisions/0065.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from agent.errors import FormatError
from agent.wire.identities import SIGNATURE_BYTES, PublicKey, public_key_of

__all__ = ["camera_verifier", "capture_verifier", "certificate_sha256", "leaf_certificate", "root_certificate"]

_LARGEST_CHAIN_BYTES: Final = 16 * 1024
_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_ROOT_SIGNATURE: Final = x509.ObjectIdentifier("2.25.173937755466919574415205064005060301332")
"""The extension with the root's self-signature. An OID from a random UUID (ITU-T X.667), drawn once."""
_OCTETS: Final = bytes((4, SIGNATURE_BYTES))
_ED25519: Final = bytes.fromhex("300506032b6570")
_MAKER: Final = "Doorward"


def leaf_certificate(device: Ed25519PrivateKey, capture: ec.EllipticCurvePublicKey) -> bytes:
    """Returns the certificate of `capture` in PEM, issued by the device's key. The same keys give the same bytes."""
    key = public_key_of(device)
    root_signature = device.sign(_root_to_be_signed(key))
    authority = x509.SubjectKeyIdentifier.from_public_key(device.public_key())
    spki = capture.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    builder = (
        _named(_name(f"{key.id} capture"), _name(key.id), spki)
        .public_key(capture)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(capture), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
        .add_extension(x509.UnrecognizedExtension(_ROOT_SIGNATURE, _OCTETS + root_signature), critical=False)
    )
    return builder.sign(device, None).public_bytes(Encoding.PEM)


def root_certificate(device: PublicKey, leaf: bytes) -> bytes:
    """Returns the authority's certificate in PEM, for a validator's list of trusted ones.

    `leaf`: a certificate that this device issued. Raises `FormatError` if it is another's.
    """
    certificate = _leaf(device, leaf)
    try:
        value = certificate.extensions.get_extension_for_oid(_ROOT_SIGNATURE).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise _not_issued() from error
    body = _root_to_be_signed(device)
    octets = value.value if isinstance(value, x509.UnrecognizedExtension) else b""
    signature = octets.removeprefix(_OCTETS)
    if len(octets) != len(_OCTETS) + SIGNATURE_BYTES or not device.verifies(signature, body):
        raise _not_issued()
    content = body + _ED25519 + bytes((3, SIGNATURE_BYTES + 1, 0)) + signature
    der = b"\x30\x82" + len(content).to_bytes(2) + content
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def capture_verifier(device: PublicKey, chain: bytes) -> Callable[[bytes, bytes], bool]:
    """Returns the check of a capture key: whether it made a signature (second) of a message (first).

    `chain`: the certificates of a film in PEM, the leaf first. Raises `FormatError` unless the device issued the leaf
    for a key of P-256.
    """
    key = _leaf(device, chain).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _not_issued()
    return _verifies(key)


def camera_verifier(chain: bytes) -> Callable[[bytes, bytes], bool] | None:
    """Returns the check of the key of a camera that signs its stream, as `capture_verifier` does.

    `chain`: the certificates that the camera sent, in PEM, the leaf first. Their issuer is not looked at: a checker
    needs the certificate of the camera's maker for that. None for a key that is not of an elliptic curve. Raises
    `FormatError` if the leaf cannot be read.
    """
    key = _read(chain).public_key()
    return _verifies(key) if isinstance(key, ec.EllipticCurvePublicKey) else None


def certificate_sha256(chain: bytes) -> str:
    """Returns the hash of the first certificate of a chain in PEM, as `openssl x509 -fingerprint -sha256` shows it
    without colons, in small letters. Raises `FormatError`."""
    return _read(chain).fingerprint(hashes.SHA256()).hex()


def _verifies(key: ec.EllipticCurvePublicKey) -> Callable[[bytes, bytes], bool]:
    def verifies(message: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    return verifies


def _leaf(device: PublicKey, chain: bytes) -> x509.Certificate:
    certificate = _read(chain)
    if not device.verifies(certificate.signature, certificate.tbs_certificate_bytes):
        raise _not_issued()
    return certificate


def _read(chain: bytes) -> x509.Certificate:
    if len(chain) > _LARGEST_CHAIN_BYTES:
        raise _not_issued()
    try:
        certificate = x509.load_pem_x509_certificate(chain)
        certificate.public_key()  # raises for a curve that the library lacks
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise _not_issued() from error
    return certificate


def _root_to_be_signed(device: PublicKey) -> bytes:
    """Returns the bytes of the authority's certificate that its key signs."""
    key = Ed25519PublicKey.from_public_bytes(device.raw)
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    builder = (
        _named(_name(device.id), _name(device.id), device.raw)
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
    )
    # The library gives these bytes only with a signature, so any key of the same kind signs here.
    return builder.sign(Ed25519PrivateKey.from_private_bytes(bytes(32)), None).tbs_certificate_bytes


def _named(subject: x509.Name, issuer: x509.Name, key: bytes) -> x509.CertificateBuilder:
    serial = int.from_bytes(hashlib.sha256(key).digest()[:15]) | 1
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(serial)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, _MAKER), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _not_issued() -> FormatError:
    return FormatError("This certificate of a capture key was not issued by the doorbell.")
