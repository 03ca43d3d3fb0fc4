"""One-time tokens of a broker: each lets a doorbell, or a counted number of them, get a certificate once.

The broker's folder keeps one file for each token, `tokens/<SHA-256 of the token>.json`, and never the token. A token is
bound to a doorbell *before* its certificate is signed: to the device's id and to its TLS key. If a power cut or a lost
connection ends an enrolment half-way, the same doorbell asks again and gets the same certificate. For every other
doorbell the token is spent. Processes take turns (`flock`), because commands run beside the server.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from agent.errors import ConfigurationError, FormatError, RequestError, StorageError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.broker_enrolment import TOKEN_BYTES, token_id
from agent.wire.fields import KeyId, Sha256, UtcS, Version1
from agent.wire.strictjson import Message, form

__all__ = ["MAX_DOORBELLS", "EnrolmentToken", "EnrolmentTokens", "Redemption"]

MAX_DOORBELLS: Final = 1000
"""The most for one token: as many as a fleet file may have."""
_FOLDER: Final = "tokens"
_ENDING: Final = ".json"
_LOCK: Final = "lock"
_LIMIT_BYTES: Final = 512 * 1024
_REMEDY: Final = "Get a new ticket from the broker's operator: doorward broker add-tokens"

NameText = Annotated[str, form(r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z", "1 to 40 of a-z, 0-9 and inner -")]


class Redemption(Message, frozen=True):
    """A doorbell that used a token: its id, its TLS key's SHA-256, and when."""

    device: KeyId
    key_sha256: Sha256
    at: UtcS


class EnrolmentToken(Message, frozen=True):
    """A token as the broker knows it. `doorbells`: how many may use it. `end`: UTC in seconds."""

    v: Version1
    name: NameText
    end: UtcS
    doorbells: Annotated[int, Meta(ge=1, le=MAX_DOORBELLS)]
    used: tuple[Redemption, ...] = ()

    def is_open(self, now_s: int) -> bool:
        """Returns True if a doorbell may still use it for the first time."""
        return now_s < self.end and len(self.used) < self.doorbells


class EnrolmentTokens:
    """The tokens in a broker's folder."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        """`directory`: the broker's folder. `clock`: UTC in seconds."""
        self._folder = directory / _FOLDER
        self._clock = clock

    def require_free(self, names: Iterable[str]) -> None:
        """Raises `ConfigurationError` for a name that is taken, malformed or given twice."""
        with self._locked():
            taken = {each.name for _, each in self._all()}
        for name in names:
            _made(name, doorbells=1, end=0)
            if name in taken:
                raise _taken(name)
            taken.add(name)

    def add(self, name: str, *, doorbells: int, days: int) -> str:
        """Returns a new token, which is kept nowhere. Raises `ConfigurationError` if the name is taken or malformed."""
        token = f"dwt_{strictjson.encode_base64url(secrets.token_bytes(TOKEN_BYTES))}"
        made = _made(name, doorbells=doorbells, end=self._now() + days * 86_400)
        with self._locked():
            if any(each.name == name for _, each in self._all()):
                raise _taken(name)
            self._write(token_id(token), made)
        return token

    def redeem(self, token: str, device: str, key_sha256: str) -> str:
        """Binds the token to this doorbell and its TLS key, durably, and returns the token's name.

        The same doorbell may ask again until the token ends. Raises `RequestError` if there is no such token, if it has
        ended, or if others have used it up.
        """
        # Found by its hash: a copy of this folder enrols no doorbell.
        known = token_id(token)
        with self._locked():
            found = self._read(known)
            if found is None:
                raise RequestError("The broker does not know this token.", remedy=_REMEDY)
            if self._now() >= found.end:
                raise RequestError("This token has expired.", remedy=_REMEDY)
            before = next((each for each in found.used if each.device == device), None)
            # A thief of ticket and device key must not replace the TLS key that the doorbell itself has enrolled.
            if before is not None and before.key_sha256 != key_sha256:
                raise RequestError("This doorbell used the token before, with another TLS key.", remedy=_REMEDY)
            if before is None:
                if not found.is_open(self._now()):
                    raise RequestError("This token has been used.", remedy=_REMEDY)
                bound = Redemption(device=device, key_sha256=key_sha256, at=self._now())
                self._write(known, _with(found, bound))
        return found.name

    def list(self) -> list[EnrolmentToken]:
        """Returns all tokens by name."""
        with self._locked():
            return sorted((each for _, each in self._all()), key=lambda each: each.name)

    def has_open(self) -> bool:
        """Returns True if a doorbell may still enrol."""
        now_s = self._now()
        return any(each.is_open(now_s) for each in self.list())

    def remove(self, name: str) -> None:
        """Ends a token. Certificates that came of it stay. Raises `ConfigurationError` if there is none."""
        with self._locked():
            known = next((key for key, each in self._all() if each.name == name), None)
            if known is None:
                raise ConfigurationError(
                    f"There is no token with the name '{name}'.", remedy="To see all of them: doorward broker tokens"
                )
            path = self._path(known)
            with files.storage_errors(path):
                path.unlink()
                files.sync_folder(self._folder)

    def _now(self) -> int:
        return int(self._clock())

    def _path(self, known: str) -> Path:
        return self._folder / f"{known}{_ENDING}"

    def _all(self) -> Iterator[tuple[str, EnrolmentToken]]:
        for name in files.names_in(self._folder):
            known = name.removesuffix(_ENDING)
            if known != name and (found := self._read(known)) is not None:
                yield known, found

    def _read(self, known: str) -> EnrolmentToken | None:
        path = self._path(known)
        data = files.read_if_there(path, _LIMIT_BYTES)
        if data is None:
            return None
        try:
            return strictjson.decode(data, EnrolmentToken, limit_bytes=_LIMIT_BYTES, error=StorageError)
        except StorageError as error:
            raise StorageError(f"{path}: {error.message}", remedy="Remove the file, and make a new token.") from error

    def _write(self, known: str, token: EnrolmentToken) -> None:
        files.write(self._path(known), strictjson.encode(token), secret=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        files.make_folder(self._folder)
        with files.storage_errors(self._folder):
            handle = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _made(name: str, *, doorbells: int, end: int) -> EnrolmentToken:
    made = EnrolmentToken(v=1, name=name, end=end, doorbells=doorbells)
    try:
        strictjson.encode(made)
    except FormatError as error:
        raise ConfigurationError(error.message, remedy="For example: mill-lane-1") from error
    return made


def _taken(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is a token with the name '{name}' already.",
        remedy=f"Choose another name, or remove that one first: doorward broker remove-token {name}",
    )


def _with(token: EnrolmentToken, redemption: Redemption) -> EnrolmentToken:
    return EnrolmentToken(
        v=1, name=token.name, end=token.end, doorbells=token.doorbells, used=(*token.used, redemption)
    )
