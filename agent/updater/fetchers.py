"""Where the files of an update repository come from: a web server, a folder, or one file on a stick.

Rules: each fetcher gives bytes and believes nothing. A server that is slow, endless or silent is cut off, in the head
of its answer as in the rest. A folder of another user is read through open descriptors, without following links and
without opening anything but regular files.
Source: the attacks in section 1.5.2 of the TUF specification (endless data, slow retrieval).
"""

from __future__ import annotations

import functools
import http.client
import io
import os
import re
import shutil
import ssl
import stat
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient import FetcherInterface

from agent.errors import StorageError, UpdateError

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer

__all__ = ["BoundedFetcher", "FolderFetcher", "HttpFetcher", "TarFetcher", "fetcher_for", "require_room"]

CHUNK_BYTES: Final = 64 * 1024
SILENCE_S: Final = 30.0
"""A server that sends nothing for this long is given up."""
GRACE_S: Final = 30.0
LEAST_BYTES_PER_S: Final = 4096
"""The slowest average after `GRACE_S`. A package of 100 MB may take seven hours."""
_MOST_MEMBERS: Final = 512
_SPARE_BYTES: Final = 32 << 20
_STEP: Final = re.compile(r"[A-Za-z0-9_%+-][A-Za-z0-9._%+-]*\Z")
_NOT_FOUND: Final = 404


class BoundedFetcher(FetcherInterface):
    """Downloads into unnamed files in `work`, instead of in /tmp, which may be memory."""

    def __init__(self, work: Path) -> None:
        self._work = work

    @property
    def base(self) -> str:
        """The beginning of every address."""
        return ""

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile(dir=self._work) as file:
            received = 0
            for chunk in self.fetch(url):
                received += len(chunk)
                if received > max_length:
                    raise DownloadLengthMismatchError(f"{url} has more than {max_length} bytes")
                file.write(chunk)
            file.seek(0)
            yield file


class HttpFetcher(BoundedFetcher):
    """Fetches from a web server, through the proxy that the environment names (`https_proxy`, `no_proxy`)."""

    def __init__(self, base: str, work: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(work)
        self._base = base.rstrip("/")
        # Only these handlers: urllib's own opener also opens files and FTP, where a redirect could lead.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            _PacedHttp(monotonic),
            _PacedHttps(monotonic),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)
        # The name says nothing about this doorbell.
        self._opener.addheaders = [("User-Agent", "doorward")]

    @property
    def base(self) -> str:
        return self._base

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            with self._open(url) as answer:
                # `read1` returns after one packet, so that nothing waits for a whole chunk.
                while chunk := answer.read1(CHUNK_BYTES):  # type: ignore[attr-defined]
                    yield chunk
        except urllib.error.HTTPError as error:
            error.close()
            raise DownloadHTTPError(f"{url}: HTTP {error.code}", error.code) from error
        except (OSError, ValueError, EOFError, http.client.HTTPException) as error:
            raise DownloadError(f"{url}: {error}") from error

    def _open(self, url: str) -> IO[bytes]:
        answer: IO[bytes] | None = self._opener.open(url, timeout=SILENCE_S)
        if answer is None:
            raise DownloadError(f"{url}: this kind of address is not fetched")
        return answer


class _PacedHttp(urllib.request.HTTPHandler):
    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_paced(http.client.HTTPConnection, self._monotonic), req)


class _PacedHttps(urllib.request.HTTPSHandler):
    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connection = _paced(http.client.HTTPSConnection, self._monotonic)
        return self.do_open(connection, req, context=ssl.create_default_context())


def _paced(kind: type[http.client.HTTPConnection], monotonic: Callable[[], float]) -> Any:
    """Returns what makes connections of a kind, the answers of which are read at a least pace."""

    def connect(host: str, **options: Any) -> http.client.HTTPConnection:
        connection = kind(host, **options)
        connection.response_class = functools.partial(_PacedResponse, monotonic)  # type: ignore[assignment]
        return connection

    return connect


class _PacedResponse(http.client.HTTPResponse):
    """An answer with a least pace from its first byte on, because a head can be dripped for hours as well."""

    def __init__(self, monotonic: Callable[[], float], sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_PacedReader(self.fp.detach(), monotonic))


class _PacedReader(io.RawIOBase):
    """Reads what arrives. Raises TimeoutError if it is slower than `LEAST_BYTES_PER_S` after `GRACE_S`."""

    def __init__(self, raw: io.RawIOBase, monotonic: Callable[[], float]) -> None:
        self._raw = raw
        self._monotonic = monotonic
        self._began = monotonic()
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        count = self._raw.readinto(buffer)
        self._received += count or 0
        passed = self._monotonic() - self._began
        if passed > GRACE_S and self._received < passed * LEAST_BYTES_PER_S:
            raise TimeoutError(f"{self._received} bytes in {passed:.0f} s are too few")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class FolderFetcher(BoundedFetcher):
    """Fetches from a folder in which another user may change anything at any moment."""

    def __init__(self, folder: Path, work: Path) -> None:
        super().__init__(work)
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        steps = url.strip("/").split("/")
        if not all(_STEP.match(step) for step in steps):
            raise DownloadError(f"{url!r} is no path of a repository")
        try:
            with os.fdopen(self._open(steps), "rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError as error:
            raise DownloadHTTPError(f"{url} is not there", _NOT_FOUND) from error
        except OSError as error:
            raise DownloadError(f"{url}: {error.strerror}") from error

    def _open(self, steps: list[str]) -> int:
        """Returns a descriptor of a regular file."""
        # Step by step, because O_NOFOLLOW looks at the last one only, and a link may lead anywhere.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        here = os.open(self._folder, flags | os.O_DIRECTORY)
        try:
            for step in steps[:-1]:
                below = os.open(step, flags | os.O_DIRECTORY, dir_fd=here)
                os.close(here)
                here = below
            # O_NONBLOCK: opening a pipe would wait for ever.
            file = os.open(steps[-1], flags | os.O_NONBLOCK, dir_fd=here)
        finally:
            os.close(here)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(0, "it is not a regular file")
        return file


class TarFetcher(BoundedFetcher):
    """Fetches from one uncompressed tar file (`doorward_VERSION_ARCHITECTURE.update`).

    It holds plain files only. `tarfile.open` reads extended headers and long names whole, before anything is verified,
    so a header could take all memory. Here each header has 512 bytes.
    """

    def __init__(self, file: Path, work: Path) -> None:
        super().__init__(work)
        self._file = file

    def _fetch(self, url: str) -> Iterator[bytes]:
        wanted = url.strip("/")
        try:
            with self._file.open("rb") as file:
                left = self._find(file, wanted)
                while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise DownloadError(f"{self._file}: {error.strerror}") from error
        if left:
            raise self._damaged("it ends too early")

    def _find(self, file: IO[bytes], wanted: str) -> int:
        """Moves to the begin of the wanted member. Returns its length."""
        at = 0
        for _ in range(_MOST_MEMBERS):
            file.seek(at)
            block = file.read(tarfile.BLOCKSIZE)
            if not block.strip(b"\0"):  # the end
                break
            try:
                member = tarfile.TarInfo.frombuf(block, "ascii", "strict")
            except (tarfile.HeaderError, ValueError) as error:
                raise self._damaged(str(error)) from error
            # A size may be negative in the base-256 form of GNU tar, and would lead backwards in the file.
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size < 0:
                raise self._damaged("it holds something else than plain files")
            if member.name == wanted:
                return member.size
            at += tarfile.BLOCKSIZE + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        raise DownloadHTTPError(f"{wanted} is not in {self._file.name}", _NOT_FOUND)

    def _damaged(self, reason: str) -> UpdateError:
        return UpdateError(f"{self._file} is no update: {reason}.", remedy="Copy or download it again.")


def fetcher_for(source: str, work: Path) -> BoundedFetcher:
    """Returns the fetcher for an address, a folder or a file."""
    if source.startswith(("https://", "http://")):
        return HttpFetcher(source, work)
    path = Path(source)
    return TarFetcher(path, work) if path.is_file() else FolderFetcher(path, work)


def require_room(folder: Path, wanted_bytes: int) -> None:
    """Raises `StorageError` unless the disk has this many bytes and a little more."""
    wanted_bytes += _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < wanted_bytes:
        raise StorageError(
            f"An update needs {wanted_bytes / 1e6:.0f} MB in {folder}, and {free / 1e6:.0f} MB are free.",
            remedy="Delete other files, or keep less footage (vault.free_floor).",
        )
