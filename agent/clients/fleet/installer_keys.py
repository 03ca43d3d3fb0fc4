"""An installer's folder: the identity that opens reports of health, and the TLS key for the broker.

    identity.txt    age identity; doorbells seal to its recipient, age1…
    tls/key.pem     P-256, made here, with a signing request
    doorbells.json  the id of each doorbell by its name, from the first look at it

The installer's id is the beginning of the SHA-256 of the recipient. It is the name at the broker, `<id>.fleet`. The
identity opens reports of health and nothing else: no footage is ever sealed to it. A recipient of X25519 is one short
line of a configuration, and a report is worth little in ten years, so it is not hybrid.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from agent.clients.opening import Identity, parse_identity_file
from agent.clients.opening.identities import X25519Identity
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.platform.certificates import signing_request

__all__ = ["InstallerKeys"]

_FILE: Final = "identity.txt"
_LIMIT_BYTES: Final = 64 * 1024
_DOORBELLS: Final = "doorbells.json"
_DOORBELLS_LIMIT_BYTES: Final = 16 * 1024 * 1024
_SEED_BYTES: Final = 32
_ID_DIGITS: Final = 16


@dataclass(frozen=True)
class InstallerKeys:
    """The keys in a folder."""

    folder: Path
    recipient: str
    identities: tuple[Identity, ...]

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Makes the identity. Raises `ConfigurationError` if the folder has one: reports are sealed to it."""
        path = folder / _FILE
        if files.is_there(path):
            raise ConfigurationError(f"{path} is there already.", remedy="Use it, or choose another folder.")
        made = X25519Identity(secrets.token_bytes(_SEED_BYTES))
        text = f"# opens reports of health of a fleet's doorbells\n# {made.recipient()}\n{made.secret_text()}\n"
        files.make_folder(folder)
        files.write(path, text.encode(), secret=True)
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises `ConfigurationError` if the folder has no identity, or a damaged one."""
        path = folder / _FILE
        if not files.is_file(path):
            raise ConfigurationError(f"{folder} holds no installer's keys.", remedy="Make them: doorward fleet init")
        try:
            found = parse_identity_file(files.read_private(path, _LIMIT_BYTES).decode())
        except (FormatError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is damaged: {error}", remedy="Restore it from your backup.") from error
        first = found[0]
        if not isinstance(first, X25519Identity):
            raise ConfigurationError(f"{path} is of another kind.", remedy="Make new keys: doorward fleet init")
        return cls(folder, str(first.recipient()), tuple(found))

    @property
    def id(self) -> str:
        return hashlib.sha256(self.recipient.encode()).hexdigest()[:_ID_DIGITS]

    @property
    def client_name(self) -> str:
        """Returns the name at the broker."""
        return f"{self.id}.fleet"

    @property
    def tls(self) -> Path:
        return self.folder / "tls"

    def doorbells(self) -> dict[str, str]:
        """Returns the id of each doorbell that was heard before, by its name.

        Raises `ConfigurationError` if the file is damaged.
        """
        path = self.folder / _DOORBELLS
        data = files.read_if_there(path, _DOORBELLS_LIMIT_BYTES)
        try:
            return {} if data is None else msgspec.json.decode(data, type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"{path} is damaged: {error}", remedy="Remove it: the next look writes it, as if it were the first."
            ) from error

    def remember(self, doorbells: Mapping[str, str]) -> None:
        """Keeps the id of each doorbell by its name."""
        files.write(self.folder / _DOORBELLS, msgspec.json.format(msgspec.json.encode(doorbells, order="sorted")))

    def request(self) -> bytes:
        """Returns the signing request in PEM for the TLS key, which is made the first time."""
        files.make_folder(self.tls)
        return signing_request(self.tls / "key.pem", self.client_name)
