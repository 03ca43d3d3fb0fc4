"""Adds a relay to a broker's folder: two listeners, their rights, and the accounts of browsers.

A relay passes sealed frames between owners' clients and their doorbells (`config/mosquitto/relay.conf.template`). An
account belongs to one doorbell: its name is a level of each topic, so it reads and writes that doorbell's frames only.
A password has 192 random bits, and the folder keeps only its hash. A new password for an account ends the old one.

Source: mosquitto_passwd(1), `$7$`: PBKDF2 with HMAC-SHA-512.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import shutil
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.clients.broker.broker_pki import BrokerPki
from agent.errors import ConfigurationError
from agent.platform import files
from agent.wire.link.topics import is_account

__all__ = ["RelayListeners", "add_relay", "set_account"]

_CONFIGURATION: Final = Path(__file__).with_name("mosquitto")
_ACCESS_LISTS: Final = ("relay-doorbells.acl", "relay-browsers.acl")
_PASSWORDS: Final = "relay.passwords"
_PASSWORD_BYTES: Final = 24
_SALT_BYTES: Final = 12
_ITERATIONS: Final = 101
"""mosquitto's default. A password of 192 random bits needs no more."""
_LIMIT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class RelayListeners:
    """Where the relay listens. `web_certificate` and `web_key`: for browsers; None: the broker's own."""

    address: str
    link_port: int
    web_port: int
    web_certificate: Path | None = None
    web_key: Path | None = None


def add_relay(pki: BrokerPki, listeners: RelayListeners) -> str:
    """Writes rights and an empty list of accounts. Returns the listeners as lines of mosquitto's configuration."""
    folder = pki.directory
    for name in _ACCESS_LISTS:
        shutil.copyfile(_CONFIGURATION / name, folder / name)
        (folder / name).chmod(0o600)
    if not files.is_there(folder / _PASSWORDS):
        files.write(folder / _PASSWORDS, b"", secret=True)
    template = (_CONFIGURATION / "relay.conf.template").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        directory=folder,
        address=listeners.address,
        link_port=listeners.link_port,
        web_port=listeners.web_port,
        web_certificate=listeners.web_certificate or folder / "broker.pem",
        web_key=listeners.web_key or folder / "broker.key",
    )


def set_account(pki: BrokerPki, account: str) -> str:
    """Makes an account, or gives it a new password. Returns the password, which is kept nowhere else.

    The broker reads it on SIGHUP, and then ends the connections of browsers with the old one.
    """
    if not is_account(account):
        raise ConfigurationError(f"{account!r} is not an account.", remedy="Use the doorbell's key id: 16 hex digits.")
    path = pki.directory / _PASSWORDS
    if not files.is_file(path):
        raise ConfigurationError(f"{pki.directory} has no relay.", remedy="Add it with 'doorward broker add-relay'.")
    lines = files.read(path, _LIMIT_BYTES).decode().splitlines()
    kept = [line for line in lines if line.partition(":")[0] != account]
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    content = "".join(f"{line}\n" for line in [*kept, f"{account}:{_hashed(password)}"])
    files.write(path, content.encode(), secret=True, like=path)
    return password


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"
