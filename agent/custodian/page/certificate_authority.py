"""The doorbell's own certificate authority. It can vouch only for this one name and local addresses.

- Phones install a root.  The root signs one intermediate, and its key is destroyed before anything is stored.
- The intermediate has name constraints (critical): one DNS name, and addresses of local networks and VPNs.  Its key
  stays in the doorbell.  A verifier may ignore the constraints of a root (RFC 5280 §6.1.1 takes a name and a key from a
  trust anchor), but must apply those of an intermediate.  The root has them too.
- The intermediate signs end entities only (path length 0), for servers only, for at most 397 days at a time.
- The leaf is renewed if it lacks a name, has less than a month left, or begins later than now.
  Root and intermediate, and so the phones' installed root, stay the same for ten years.
- Keys are ECDSA P-256, which every phone takes; 0600.

Source: RFC 5280 §4.2.1.10 (name constraints); RFC 6598 (100.64.0.0/10); Apple, "Requirements for trusted certificates".
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.core.networks import LOCAL, Address, is_local
from agent.errors import ConfigurationError, StorageError
from agent.platform.certificates import key_usage

__all__ = ["PageCertificates", "fingerprint_text"]

AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 397
RENEW_DAYS: Final = 30
_EARLIEST: Final = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""An earlier date is known to be wrong, because no copy of this program ran before it."""
BACKDATE: Final = datetime.timedelta(days=1)
"""Certificates begin a day early: the clock of a phone may be slow."""


def fingerprint_text(certificate: bytes) -> str:
    """SHA-256 of a DER certificate as phones show it: pairs of hex digits."""
    digest = hashlib.sha256(certificate).hexdigest().upper()
    return " ".join(digest[i : i + 2] for i in range(0, len(digest), 2))


@dataclass(frozen=True, slots=True)
class _PageKeyPair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class _Authority:
    root: x509.Certificate
    """Without its key, which was destroyed."""
    intermediate: _PageKeyPair


class PageCertificates:
    """`folder` (0700): `authority.pem` (key, intermediate, root) and `page.pem` (key, leaf, intermediate)."""

    def __init__(self, folder: Path, name: str, addresses: tuple[str, ...], now: datetime.datetime) -> None:
        """`name`: the DNS name, such as `front-door.local`; `addresses`: literal ones; `now`: aware.

        Raises `ConfigurationError` for an address outside the authority's range, `StorageError` for the disk.
        """
        self._folder = folder
        self._name = name
        self._context: ssl.SSLContext | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            authority = _authority_in(folder / "authority.pem")
            # After a new name, phones must install the root again: its constraints allow the old name alone.
            if authority is None or not _names(authority, name):
                authority = _authority(name, now)
                _write(folder / "authority.pem", authority.intermediate, authority.root)
            self._authority, self._leaf = authority.intermediate, _leaf_in(folder / "page.pem")
        except OSError as error:
            raise self._unkept(error) from error
        self.authority_der = authority.root.public_bytes(serialization.Encoding.DER)
        try:
            self.certify(addresses, now)
        except StorageError as error:
            if self._leaf is None:
                raise
            # A full disk: an owner needs the page to make room, and it looks again every few seconds.
            structlog.get_logger("page").warning("certificate_not_renewed", reason=error.message)

    def certify(self, addresses: tuple[str, ...], now: datetime.datetime) -> None:
        """See to it that the leaf names these, and lasts: connections from now on have it.  Raises as above."""
        parsed = tuple(_address(text) for text in addresses)
        if self._leaf is not None and not _is_stale(self._leaf, self._authority, self._name, parsed, now):
            return
        leaf = _leaf(self._authority, self._name, parsed, now)
        try:
            _write(self._folder / "page.pem", leaf, self._authority.certificate)
        except OSError as error:
            raise self._unkept(error) from error
        self._leaf = leaf
        if self._context is not None:
            # Into the context in use: later handshakes get the new chain, and open connections go on.
            self._context.load_cert_chain(self._folder / "page.pem")

    def _unkept(self, error: OSError) -> StorageError:
        return StorageError(
            f"The page's certificates in {self._folder} cannot be kept: {error.strerror or error}.",
            remedy="Check device.state_dir.",
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root, as phones show it."""
        return fingerprint_text(self.authority_der)

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 with the leaf. Every browser that has WebCrypto's Ed25519 speaks it, so older versions are off."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self._folder / "page.pem")
        context.set_alpn_protocols(["http/1.1"])
        self._context = context
        return context


def _address(text: str) -> Address:
    address = ipaddress.ip_address(text)
    if not is_local(address):
        raise ConfigurationError(
            f"page.addresses: {text} is not an address of a local network or a VPN.",
            remedy="From outside, reach the page through a VPN: private addresses, 100.64.0.0/10 and fc00::/7.",
        )
    return address


def _authority(name: str, now: datetime.datetime) -> _Authority:
    """Makes a root that has signed one intermediate and lacks a key to sign more."""
    # `root_key` is never stored: it goes out of scope with this function. A thief of the card can make no second
    # authority.
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    titled = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Doorward {name}")])
    inner = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Doorward {name} intermediate")])
    root = _signer(titled, root_key.public_key(), titled, root_key, name, now, path_length=1)
    signed = _signer(inner, key.public_key(), titled, root_key, name, now, path_length=0)
    return _Authority(root, _PageKeyPair(signed, key))


def _signer(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    name: str,
    now: datetime.datetime,
    *,
    path_length: int,
) -> x509.Certificate:
    # A stolen intermediate may name this doorbell and private addresses, and no other site of the phones that trust it.
    permitted: list[x509.GeneralName] = [x509.DNSName(name), *(x509.IPAddress(network) for network in LOCAL)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _leaf(authority: _PageKeyPair, name: str, addresses: tuple[Address, ...], now: datetime.datetime) -> _PageKeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name), *(x509.IPAddress(address) for address in addresses)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        # Counted from the begin: verifiers limit the whole validity, whatever is left of it.
        .not_valid_after(now - BACKDATE + datetime.timedelta(days=LEAF_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    return _PageKeyPair(builder.sign(authority.key, hashes.SHA256()), key)


def _names(authority: _Authority, name: str) -> bool:
    extensions = authority.intermediate.certificate.extensions
    permitted = extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    return x509.DNSName(name) in (permitted or [])


def _is_stale(
    leaf: _PageKeyPair, authority: _PageKeyPair, name: str, addresses: tuple[Address, ...], now: datetime.datetime
) -> bool:
    named = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    wanted = {x509.DNSName(name), *(x509.IPAddress(address) for address in addresses)}
    try:
        leaf.certificate.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return True
    left = leaf.certificate.not_valid_after_utc - now
    # Made while the clock was years ahead: no browser takes it before that day.
    is_of_the_future = _EARLIEST <= now < leaf.certificate.not_valid_before_utc
    # Names that are no longer needed are no reason: an address that comes and goes would renew the leaf each time.
    return bool(wanted - set(named)) or left < datetime.timedelta(days=RENEW_DAYS) or is_of_the_future


def _leaf_in(path: Path) -> _PageKeyPair | None:
    """Returns None also for a damaged leaf: a new leaf is free, unlike a new authority."""
    try:
        found = _read(path)
    except ConfigurationError:
        return None
    return found[0] if found else None


def _authority_in(path: Path) -> _Authority | None:
    found = _read(path)
    return None if found is None else _Authority(found[1], found[0])


def _read(path: Path) -> tuple[_PageKeyPair, x509.Certificate] | None:
    """A key, its certificate, and the issuer's."""
    if not path.exists():
        return None
    data = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(data, password=None)
        certificate, issuer = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is damaged.", remedy="Delete it: a new one is made, and phones must install it again."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{path} holds another kind of key.", remedy="Delete it: a new one is made.")
    return _PageKeyPair(certificate, key), issuer


def _write(path: Path, pair: _PageKeyPair, issuer: x509.Certificate) -> None:
    pem = serialization.Encoding.PEM
    data = pair.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    data += pair.certificate.public_bytes(pem) + issuer.public_bytes(pem)
    making = path.with_suffix(".making")
    # Left by a power cut. `O_EXCL` below then makes sure that the key goes into a new file with mode 0600.
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    # Key, certificate and issuer in one file and one rename, so they always belong together.
    making.replace(path)
