"""A certificate of the household's own domain, from a public authority, so that no phone has to install anything.

`doorward page certificate` checks the key and the chain, and puts both into one file. The page looks at the file every
few seconds, so a renewal works at once, and key and certificate always change together. Browsers that ask for the
domain get this certificate, all others get that of the doorbell's own authority.

Source: RFC 8555 (ACME), RFC 6066 section 3 (the name that a browser asks for).
"""

from __future__ import annotations

import datetime
import itertools
import ssl
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from agent.errors import ConfigurationError, StorageError

__all__ = ["FILE", "DomainCertificate", "checked_pem"]

FILE: Final = "domain.pem"
"""In the page's folder: the private key, the certificate, and the certificates between it and its authority."""
_PEM: Final = serialization.Encoding.PEM


def checked_pem(domain: str, key: bytes, chain: bytes, now: datetime.datetime) -> bytes:
    """Returns the contents of `FILE`. `key`, `chain`: PEM, the domain's certificate first. `now`: aware.

    Raises `ConfigurationError` if they do not belong together, or do not fit the domain or the date. Whether browsers
    trust the authority is left to them: a household may have its own.
    """
    private, certificates = _private_key(key), _certificates(chain)
    leaf = certificates[0]
    # A client of ACME may renew its files one after the other. A mixed pair would make every handshake fail.
    if private.public_key() != leaf.public_key():
        raise ConfigurationError("The key is not that of the certificate.", remedy="Give both files of one renewal.")
    if not _names(leaf, domain):
        raise ConfigurationError(
            f"The certificate is not for {domain}.", remedy="Ask for one with this name, or change page.domain."
        )
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        raise ConfigurationError(
            f"The certificate is valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}.",
            remedy="Renew it, or correct this machine's clock.",
        )
    _require_order(certificates)
    pkcs8 = private.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pkcs8 + b"".join(each.public_bytes(_PEM) for each in certificates)


class DomainCertificate:
    """The certificate in `folder`, as new connections get it. `look` runs in one thread, `context_for` in any."""

    def __init__(self, folder: Path, domain: str) -> None:
        self.domain = domain
        self.path = folder / FILE
        self._seen: tuple[int, int] | None = None
        self._context: ssl.SSLContext | None = None
        self._ends: datetime.datetime | None = None

    def look(self) -> bool:
        """Takes a file that has changed, and returns whether it did. A file that does not fit changes nothing.

        Raises `ConfigurationError`, `StorageError`.
        """
        try:
            found = self.path.stat()
            # The number of the file, too: a rename may bring one with an older time.
            seen = (found.st_ino, found.st_mtime_ns)
            if seen == self._seen:
                return False
            data = self.path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        # Before the checks: a file that does not fit is refused once, instead of every few seconds.
        self._seen = seen
        leaf = _certificates(data)[0]
        # A new context: connections in their handshake keep key and chain of the old one.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.path)
        except ssl.SSLError as error:
            raise ConfigurationError(f"{self.path} is damaged.", remedy=_AGAIN) from error
        self._context, self._ends = context, leaf.not_valid_after_utc
        return True

    def is_valid(self, now: datetime.datetime) -> bool:
        """Returns whether a browser accepts it at this time. `now`: aware."""
        return self._ends is not None and now < self._ends

    def context_for(self, name: str | None) -> ssl.SSLContext | None:
        """Returns the context for a browser that asks for `name`; None if it is not this domain."""
        return self._context if name is not None and name.lower() == self.domain else None


_AGAIN: Final = "Run again:  sudo doorward page certificate KEY CHAIN"


def _private_key(key: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError("This is not a private key in PEM.", remedy="Give privkey.pem first.") from error


def _certificates(chain: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise ConfigurationError(
            "This is not a chain of certificates in PEM.", remedy="Give fullchain.pem second."
        ) from error


def _require_order(certificates: list[x509.Certificate]) -> None:
    """Raises `ConfigurationError` if a browser could not go from the first certificate to an authority."""
    leaf = certificates[0]
    if leaf.issuer == leaf.subject:
        raise ConfigurationError(
            "No authority signed the certificate, so browsers warn.",
            remedy="Get one from an authority that your browsers trust.",
        )
    for below, above in itertools.pairwise(certificates):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise ConfigurationError(
                "A certificate of the chain was not issued by the next one.",
                remedy="Give fullchain.pem as the authority made it.",
            ) from error


def _names(leaf: x509.Certificate, domain: str) -> bool:
    """A wildcard stands for one label (RFC 6125, section 6.4.3)."""
    try:
        named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    names = {each.lower() for each in named.get_values_for_type(x509.DNSName)}
    return domain in names or f"*.{domain.partition('.')[2]}" in names
