"""Certificates with which a requester or a trust root connects to brokers: one for every broker, or one for each. A
service that takes none has a password instead, which no other broker gets (decision 88).

    tls/certificate.pem  tls/authority.pem  tls/key.pem     for every broker
    tls/HOST/certificate.pem  tls/HOST/authority.pem        for the broker of that name
    tls/HOST/broker.password                                the password there

The key is the same for all brokers. It is made here and stays here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from agent.clients.requester.broker_files import PASSWORD, broker_files
from agent.errors import ConfigurationError
from agent.platform import files
from agent.platform.certificates import common_name, require_for_key, signing_request

__all__ = [
    "SOON",
    "BrokerCertificate",
    "certificate_for",
    "certificates_for",
    "make_request",
    "store_certificate",
    "store_password",
]

SOON: Final = timedelta(days=30)
"""Ask for a new certificate this long before the end."""
_LIMIT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class BrokerCertificate:
    """The certificate for one broker. `host` is empty for the one that serves every broker without an own one.

    `until`: its last moment. None if it is missing, or damaged.
    """

    host: str
    until: datetime | None = None
    is_damaged: bool = False
    is_own: bool = True
    """False if the broker has no own certificate and gets the one for every broker."""
    by_password: bool = False
    """A password stands in for it (`broker_files`)."""
    has_password: bool = False
    """The broker gets a password, alone or with the certificate."""

    def ends_soon(self, now: datetime) -> bool:
        return self.until is not None and self.until - now < SOON

    def is_over(self, now: datetime) -> bool:
        return self.until is not None and self.until <= now


def certificate_for(folder: Path, host: str = "") -> BrokerCertificate:
    """Returns the certificate in `folder`/tls with which the broker `host` is reached."""
    found = broker_files(folder, host)
    is_own = found.certificate.parent.name == host if host else True
    has_password = found.password is not None
    if not files.is_file(found.certificate):
        return BrokerCertificate(host, is_own=is_own, by_password=has_password, has_password=has_password)
    try:
        until = x509.load_pem_x509_certificate(files.read(found.certificate, _LIMIT_BYTES)).not_valid_after_utc
    except ValueError:
        return BrokerCertificate(host, is_damaged=True, is_own=is_own, has_password=has_password)
    return BrokerCertificate(host, until, is_own=is_own, has_password=has_password)


def certificates_for(folder: Path, hosts: list[str]) -> list[BrokerCertificate]:
    """Returns the certificate of each broker, or that for every broker if `hosts` is empty."""
    return [certificate_for(folder, host) for host in dict.fromkeys(hosts)] or [certificate_for(folder)]


def make_request(folder: Path, name: str) -> bytes:
    """Returns the signing request in PEM for the name of a connection. Makes the key at the first call."""
    tls = files.make_folder(files.make_folder(folder) / "tls")
    return signing_request(tls / "key.pem", name)


def store_certificate(
    folder: Path, name: str, certificate: bytes, authority: bytes, host: str = "", *, record: Callable[[], object]
) -> None:
    """Stores what the operator of the broker `host` answered. An empty host stands for every broker.

    Raises `ConfigurationError` if the certificate is for another key or name, and then nothing is replaced. `record`
    writes the custody log and commits. It runs before the files, which do not roll back, so none lacks its entry.
    """
    tls = folder / "tls"
    with tempfile.TemporaryDirectory(dir=folder) as trial:
        path = Path(trial) / "certificate.pem"
        files.write(path, certificate)
        require_for_key(path, tls / "key.pem")
        if common_name(path) != name:
            raise ConfigurationError(
                f"The certificate is for {common_name(path)}, not for {name}.",
                remedy="Send the newest signing request to the broker's operator.",
            )
    _require_authority(authority)
    record()
    place = files.make_folder(tls / host) if host else tls
    files.write(place / "authority.pem", authority)
    files.write(place / "certificate.pem", certificate)


def store_password(
    folder: Path, host: str, password: str, authority: bytes | None = None, *, record: Callable[[], object]
) -> None:
    """Stores the password or token for the broker `host`, readable by this user alone, and the broker's authority.

    Without `authority`, the stored one stays. Raises `ConfigurationError` if there is none: the password goes only to a
    server that the authority vouches for. Then nothing is replaced. `record`: as for `store_certificate`.
    """
    if authority is not None:
        _require_authority(authority)
    elif not files.is_file(broker_files(folder, host).authority):
        raise ConfigurationError(
            f"The authority of {host} is missing.",
            remedy="Give its certificate with the password. The password goes only to a server that it vouches for.",
        )
    record()
    place = files.make_folder(files.make_folder(files.make_folder(folder) / "tls") / host)
    if authority is not None:
        files.write(place / "authority.pem", authority)
    files.write(place / PASSWORD, f"{password}\n".encode(), secret=True)


def _require_authority(pem: bytes) -> None:
    try:
        x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ConfigurationError(
            "The authority is not a certificate in PEM.", remedy="Take the operator's file broker.pem."
        ) from error
