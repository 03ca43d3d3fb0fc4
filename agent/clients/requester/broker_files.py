"""The files with which a requester or a trust root signs in at a broker: the broker's authority, our certificate and
its key, or a password or token where a service takes no certificates.

    tls/authority.pem   tls/certificate.pem   tls/key.pem     for every broker
    tls/HOST/…                                                for the broker of that name, each file that is there
    tls/HOST/broker.password                                  for that broker alone

Brokers of several operators have several authorities, and each operator signs an own certificate for the same key. A
password works for everyone who has heard it, so no other broker gets it, also if a root's list names one. A broker that
wants certificate and password gets both. Source: decision 88.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigurationError
from agent.platform import files

__all__ = ["PASSWORD", "BrokerFiles", "broker_files", "password_hosts", "remove_password"]

PASSWORD = "broker.password"  # noqa: S105 (a file's name)
"""One line, and only its user and group may read it (`mqtt.tls.read_password`)."""


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """Paths. The PEM files may be missing. `password`: None without one."""

    authority: Path
    certificate: Path
    key: Path
    password: Path | None = None

    @property
    def pair(self) -> tuple[Path | None, Path | None]:
        """Certificate and key to show. None twice if a password stands in for them."""
        return (None, None) if self.is_by_password else (self.certificate, self.key)

    @property
    def is_by_password(self) -> bool:
        """True if there is a password and no certificate."""
        return self.password is not None and not files.is_file(self.certificate)

    @property
    def used(self) -> tuple[Path | None, ...]:
        """The files that a connection is made with. A connection keeps them, so other files need a new one."""
        return (self.authority, *self.pair, self.password)

    def require(self, remedy: str) -> None:
        """Raises `ConfigurationError` if a file is missing."""
        for path in (self.authority, *(each for each in self.pair if each is not None)):
            if not files.is_file(path):
                raise ConfigurationError(f"{path} is missing.", remedy=remedy)


def broker_files(folder: Path, host: str = "") -> BrokerFiles:
    """Returns the files in the requester's or root's `folder` for the broker `host`."""
    common = folder / "tls"
    own = common / host

    def found(name: str) -> Path:
        return own / name if files.is_file(own / name) else common / name

    password = own / PASSWORD
    return BrokerFiles(
        found("authority.pem"),
        found("certificate.pem"),
        found("key.pem"),
        password if host and files.is_there(password) else None,
    )


def password_hosts(folder: Path) -> list[str]:
    """Returns the names of all brokers with a password in `folder`/tls, also of those that left the root's list."""
    return [host for host in files.names_in(folder / "tls") if files.is_file(folder / "tls" / host / PASSWORD)]


def remove_password(folder: Path, host: str) -> None:
    """Removes the password for the broker `host`. The authority stays. `host` is one of `password_hosts`."""
    with files.storage_errors(folder / "tls" / host):
        (folder / "tls" / host / PASSWORD).unlink(missing_ok=True)
