"""The files of a doorbell's connection to its broker, and the enrolment that gets them with a ticket.

Each step is durable before the next: the TLS key, then the broker's side binds the token to it, then the certificates,
then `[broker]` in the configuration. After a power cut the same command goes on to the same end.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from agent.cli.est_client import enrol
from agent.config import load, parse
from agent.config.settings import BrokerConfig
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError, StorageError
from agent.platform import files
from agent.platform.certificates import enrolment_request, require_for_key
from agent.wire.broker_enrolment import RENEWAL_DAYS, BrokerTicket, device_proof, read_ticket
from agent.wire.identities import public_key_of

__all__ = ["BrokerCredentials", "enrol_doorbell", "put_broker"]

_LIMIT_BYTES = 64 * 1024
_NAMES = ("ca.pem", "device.pem", "device.key")


@dataclass(frozen=True, slots=True)
class BrokerCredentials:
    """A broker and this doorbell's certificate for it. Both certificates are PEM."""

    host: str
    port: int
    authority: bytes
    certificate: bytes


def enrol_doorbell(config: Path, folder: Path, ticket: Path) -> str | None:
    """Gets this doorbell's certificate for the token in the ticket, and writes `[broker]` if it is missing.

    Returns the device's id, or None if it had a good certificate. `folder`: of the TLS key and the certificates. Raises
    `ConfigurationError` or `FormatError` if the ticket cannot be used, `NetworkError` if another try may work.
    """
    known = load(config)
    key = StateFolder(known.device.state_dir).device_key()
    device = public_key_of(key).id
    if known.broker is not None and _has_certificate(folder, device):
        return None
    read = read_ticket(files.read(ticket, _LIMIT_BYTES))
    _require_broker(read, known.broker, folder)
    files.make_folder(folder)
    request = enrolment_request(folder / "device.key", device, lambda tls_key: device_proof(key, tls_key))
    made = enrol(read, request)
    # The broker reads its rights from this name. Another name would be another doorbell's topics.
    if [each.value for each in made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] != [device]:
        raise ConfigurationError(
            f"The certificate is not for this doorbell, {device}.", remedy="Ask the broker's operator for a new ticket."
        )
    pem = made.public_bytes(serialization.Encoding.PEM)
    put_broker(config, folder, BrokerCredentials(read.host, read.broker_port, read.authority.encode(), pem))
    return device


def put_broker(config: Path, folder: Path, broker: BrokerCredentials) -> None:
    """Writes the certificates, then [broker] into the configuration if it has none.

    Raises `ConfigurationError`, before anything is written, if the certificate is not for the key in `folder`.
    """
    try:
        made = x509.load_pem_x509_certificate(broker.certificate)
        x509.load_pem_x509_certificate(broker.authority)
        key = serialization.load_pem_private_key((folder / "device.key").read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"These files cannot be used: {error}.", remedy="Use the files that 'doorward broker add-device' names."
        ) from error
    if made.public_key() != key.public_key():
        raise ConfigurationError(
            "The certificate is not for this doorbell's key.", remedy="Make a new request: doorward link request"
        )
    text = config.read_text(encoding="utf-8-sig")
    if load(config).broker is None:
        text += (
            f'\n[broker]\nhost = "{broker.host}"\nport = {broker.port}\nca = "{folder / "ca.pem"}"\n'
            f'certificate = "{folder / "device.pem"}"\nkey = "{folder / "device.key"}"\n'
        )
        # Tried as text: a configuration that would not load must not replace the one that does.
        parse(text, config)
    for name, content in (("ca.pem", broker.authority), ("device.pem", broker.certificate)):
        files.write(folder / name, content, secret=True)
    # Last: from here on the uplink would look for the certificates.
    files.write(config, text.encode(), like=config)


def _require_broker(ticket: BrokerTicket, configured: BrokerConfig | None, folder: Path) -> None:
    """Raises `ConfigurationError` if the configuration, for example from a bundle, names another broker."""
    if configured is None:
        return
    remedy = "Get a ticket of that broker, or remove [broker] from the configuration."
    if (configured.host, configured.port) != (ticket.host, ticket.broker_port):
        raise ConfigurationError(
            f"The ticket is for {ticket.host}:{ticket.broker_port}, and the configuration names "
            f"{configured.host}:{configured.port}.",
            remedy=remedy,
        )
    if [configured.ca, configured.certificate, configured.key] != [folder / name for name in _NAMES]:
        raise ConfigurationError(f"The certificates in [broker] are not those in {folder}.", remedy=remedy)
    known = files.read_if_there(configured.ca, _LIMIT_BYTES)
    if known is not None and known.strip() != ticket.authority.encode().strip():
        raise ConfigurationError(f"The ticket has another authority than {configured.ca}.", remedy=remedy)


def _has_certificate(folder: Path, device: str) -> bool:
    """Returns True if this doorbell's certificate is here, for its key, and good for some time."""
    try:
        require_for_key(folder / "device.pem", folder / "device.key")
    except (ConfigurationError, StorageError):
        return False
    made = x509.load_pem_x509_certificate((folder / "device.pem").read_bytes())
    left = made.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    names = [each.value for each in made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return names == [device] and left > datetime.timedelta(days=RENEWAL_DAYS)
