"""The files with which a requester connects to a broker: the broker's authority, our certificate and its key.

    tls/authority.pem   tls/certificate.pem   tls/key.pem     for every broker
    tls/HOST/…                                                for the broker of that name, each file that is there

Brokers of several operators have several authorities, and each operator signs an own certificate for the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.platform import files

__all__ = ["BrokerFiles", "broker_files"]


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """Paths of PEM files. They may be missing."""

    authority: Path
    certificate: Path
    key: Path


def broker_files(folder: Path, host: str = "") -> BrokerFiles:
    """Returns the files in the requester's `folder` for the broker `host`."""
    common = folder / "tls"
    own = common / host

    def found(name: str) -> Path:
        return own / name if files.is_file(own / name) else common / name

    return BrokerFiles(found("authority.pem"), found("certificate.pem"), found("key.pem"))
