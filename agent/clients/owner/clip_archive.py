"""Copies an owner's clips as ordinary MP4 to a folder, a mounted share, or a WebDAV server.

The owner's machine does this, because it needs the key that opens footage. Each clip is written once and gets its final
name last. Existing clips stay untouched, so a timer may run the same command.
"""

from __future__ import annotations

import base64
import http.client
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from agent.clients.media.confined import ConfinedMedia
from agent.clients.owner.keys import AgeIdentity
from agent.clients.owner.mp4_export import clips_of, export_clip, stem_of
from agent.clients.owner.segment_sources import EVERYTHING_MS, FootageSource
from agent.errors import ConfigurationError, NetworkError
from agent.platform import files

__all__ = ["BackupReport", "BackupTarget", "FolderBackup", "WebDavBackup", "back_up_clips"]

_SETTLED_MS: Final = 120_000
"""If the last segment of a clip is younger, the clip may still grow."""
_TIMEOUT_S: Final = 60.0
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

Connect = Callable[[str, int], http.client.HTTPConnection]


class BackupTarget(Protocol):
    """The destination of the clips."""

    def has(self, name: str) -> bool: ...
    def put(self, file: Path, name: str) -> None:
        """Under its final name only when it is whole."""
        ...


@dataclass(frozen=True, slots=True)
class BackupReport:
    """The result for one clip: the names of its files (empty if it failed to open) and the missing parts."""

    names: tuple[str, ...]
    notes: tuple[str, ...]


def back_up_clips(
    source: FootageSource, identities: Sequence[AgeIdentity], deposit: BackupTarget, *, since_ms: int, now_ms: int
) -> Iterator[BackupReport]:
    """Yields every finished clip that began after `since_ms` and is not archived yet."""
    with ConfinedMedia() as media:
        yield from _deposit_clips(source, identities, deposit, since_ms, now_ms, media)


def _deposit_clips(
    source: FootageSource,
    identities: Sequence[AgeIdentity],
    deposit: BackupTarget,
    since_ms: int,
    now_ms: int,
    media: ConfinedMedia,
) -> Iterator[BackupReport]:
    for clip in clips_of(source.listed(since_ms, EVERYTHING_MS)):
        if clip[0].start_ms < since_ms or clip[-1].end_ms > now_ms - _SETTLED_MS:
            continue
        if deposit.has(f"{stem_of(clip)}.mp4"):
            continue
        with tempfile.TemporaryDirectory(prefix="doorward-export-") as folder:
            done = export_clip(source, identities, clip, Path(folder), media=media)
            made = sorted(Path(folder).iterdir())
            # The film that says "this clip is there" goes last.
            made.sort(key=lambda path: path == done.video)
            for path in made:
                deposit.put(path, path.name)
            yield BackupReport(tuple(path.name for path in made), done.notes)


class FolderBackup:
    """An existing folder. It is never created, because an empty mount point must not receive footage. Raises
    `StorageError`."""

    def __init__(self, folder: Path) -> None:
        if not files.is_folder(folder):
            raise ConfigurationError(f"There is no folder {folder}.", remedy="Create it, or mount the share.")
        self._folder = folder

    def has(self, name: str) -> bool:
        return files.is_there(self._folder / name)

    def put(self, file: Path, name: str) -> None:
        making = self._folder / f".{name}.part"
        with files.storage_errors(making):
            # Both before the first byte: another user who opens it sooner could read on to the end.
            making.touch(0o600)
            making.chmod(0o600)
            shutil.copyfile(file, making)
            # The final name last: `has` must not find half a film after a cut, or it would never be copied again.
            making.replace(self._folder / name)


def _over_tls(host: str, port: int) -> http.client.HTTPConnection:
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())


class WebDavBackup:
    """A folder of a WebDAV server (RFC 4918). Raises `NetworkError`, which never holds the password."""

    def __init__(self, url: str, user: str = "", password: str = "", *, connect: Connect = _over_tls) -> None:
        where = urlsplit(url)
        if where.scheme != "https" and not (where.scheme == "http" and where.hostname in _LOOPBACK):
            raise ConfigurationError("Footage is sent over https only.", remedy="Give the server's https address.")
        # An address with a password ends in logs and in the list of processes.
        if where.username or where.password or not where.hostname:
            raise ConfigurationError("This address cannot be used.", remedy="Put user and password into a file.")
        self._base = quote(where.path.rstrip("/"), safe="/%") + "/"
        self._host, self._port = where.hostname, where.port or (443 if where.scheme == "https" else 80)
        self._origin = f"{where.scheme}://{where.netloc}"
        self._connect = connect if where.scheme == "https" else _plain
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"} if user else {}

    def has(self, name: str) -> bool:
        status = self._ask("HEAD", name)
        if status == 404:
            return False
        self._expect(status, "HEAD")
        return True

    def put(self, file: Path, name: str) -> None:
        part = f".{name}.part"
        with file.open("rb") as body:
            self._expect(self._ask("PUT", part, body=body, length=file.stat().st_size), "PUT")
        target = f"{self._origin}{self._base}{quote(name)}"
        # RFC 4918, 9.9: the server renames, so the final name never shows half a film.
        self._expect(self._ask("MOVE", part, {"Destination": target, "Overwrite": "T"}), "MOVE")

    def _ask(
        self, method: str, name: str, headers: dict[str, str] | None = None, *, body: object = None, length: int = 0
    ) -> int:
        connection = self._connect(self._host, self._port)
        try:
            sent = {**self._headers, **(headers or {}), "Content-Length": str(length)}
            connection.request(method, self._base + quote(name), body, sent)  # type: ignore[arg-type]
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NetworkError(
                f"The WebDAV server {self._host} cannot be reached ({type(error).__name__}).",
                remedy="Check the address and the network. The next run uploads the missing clips.",
            ) from error
        else:
            return answer.status
        finally:
            connection.close()

    def _expect(self, status: int, verb: str) -> None:
        if not 200 <= status < 300:
            remedy = "Check user and password." if status in (401, 403) else "Check that the folder exists there."
            raise NetworkError(f"The WebDAV server refused a file ({verb}): it answered {status}.", remedy=remedy)


def _plain(host: str, port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
