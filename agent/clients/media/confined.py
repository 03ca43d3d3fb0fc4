"""Opens media from strangers or from a network camera in another process with limits.

For example, a decoder that crashes, hangs or uses too much memory ends only that process. It starts with the first job,
and again after each job that ended it. It receives its input through file descriptors and is given no secret, except
for a key that lives as long as one call (`sign_copy`). Its limits (`confined_worker`) bound memory, time, open files
and the size of its output. It runs as the same user, so the limits fail against a decoder that an attacker has taken
over.

This module imports no decoder, so a caller pays for one only if there is media to open.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from agent.clients.media.face_covers import Followed, Suggestion
from agent.core.vault.redactions import Place, Redaction
from agent.errors import FormatError, StorageError

__all__ = ["READY", "ConfinedMedia"]

_PROGRAM: Final = str(Path(__file__).resolve().parents[3])
_FOLDERS: Final = [_PROGRAM, *(each for each in sys.path if Path(each).is_absolute() and each != _PROGRAM)]
"""Folders from which this process imports its modules. An isolated interpreter ignores PYTHONPATH and the current
folder."""
_WORKER: Final = (
    sys.executable,
    "-I",
    "-c",
    f"import runpy, sys; sys.path[:] = {_FOLDERS!r};"
    " runpy.run_module('agent.clients.media.confined_worker', run_name='__main__')",
)
_ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
_START_S: Final = 120.0
_JOB_S: Final = 60.0
_BYTES_PER_S: Final = 4 << 20
"""Speed, in bytes per second, at which the slowest supported machine joins films. Sets the time limit of a join."""
_CREDENTIALS_BYTES: Final = 128 << 10
"""Most bytes of the credentials of a copy, for itself and for each part of it. Three records need about 20 kB."""
_REDACTED_GROWTH: Final = 8
"""How many times larger a film may become when it is encoded again. A recorder may use a stronger compression."""
_EXACT_GROWTH: Final = 32
"""The same of a film that is coded without loss. A film of a quiet night has few bytes and much noise."""
_SUGGESTING_S_PER_S: Final = 60
"""Seconds in which the slowest machine examines a second of film for faces: ten pictures, at three sizes."""
_FOLLOWING_S_PER_S: Final = 20
"""The same to follow a cover through a second of film, forwards and backwards."""
READY: Final = b"+"
_MOST_ANSWER_BYTES: Final = 8 << 20
_LONGEST_REASON: Final = 200


class ConfinedMedia:
    """A decoder in a confined process, used in a `with`. Each method raises `FormatError` with the reason if the media
    is unreadable.

    Raises `StorageError` if the process fails to start, or if a library does not load. That is a fault of this machine,
    so the footage is still accepted.
    """

    def __init__(self, command: Sequence[str] = _WORKER, job_s: float = _JOB_S) -> None:
        self._command = command
        self._job_s = job_s
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def check(self, content: str, media: bytes) -> None:
        """Raises `FormatError` if a `segment`, `sound` or `poster` fails to open."""
        self._ask({"job": "check", "content": content}, media)

    def redact(
        self, content: str, media: bytes, redactions: Sequence[Redaction], length_ms: int, *, exact: bool = False
    ) -> bytes:
        """Returns a `segment` with places covered, or a `sound` with stretches muted (`clients.media.redact`).

        `length_ms`: the length of the film by its record. `exact`: pixels outside of the covers keep their values. The
        new film is then compared with `media` before it is returned.
        """
        most_bytes = (_EXACT_GROWTH if exact else _REDACTED_GROWTH) * len(media) + (1 << 20)
        job = {
            "job": "redact",
            "content": content,
            "redactions": msgspec.to_builtins(redactions),
            "length_ms": length_ms,
            "exact": exact,
            "most_bytes": most_bytes,
        }
        with _passed(media) as matter:
            answer = self._ask_with(job, matter, more_s=most_bytes / _BYTES_PER_S)
            size = answer.get("size")
            if not isinstance(size, int) or not 0 < size <= most_bytes:
                raise _broken()
            return os.pread(matter, size, 0)

    def check_redacted(
        self, content: str, media: bytes, redactions: Sequence[Redaction], *, exact: bool = False
    ) -> None:
        """Raises `FormatError` unless a film is covered, or a sound silent, where the list says so.

        In an `exact` film each value of a cover must be black.
        """
        # Each picture is decoded, while `check` decodes keyframes only: the time grows with the film.
        most_bytes = _REDACTED_GROWTH * len(media)
        job = {
            "job": "check_redacted",
            "content": content,
            "redactions": msgspec.to_builtins(redactions),
            "exact": exact,
            "most_bytes": most_bytes,
        }
        self._ask(job, media, more_s=most_bytes / _BYTES_PER_S)

    def compare(self, captured: bytes, made: bytes, redactions: Sequence[Redaction]) -> tuple[int, int, int, int]:
        """Compares a covered film with the recorded one outside of the covers (`clients.media.redact.compare_films`).

        Returns the number of pictures, of values outside of the covers, and of those that differ, and the greatest
        difference.
        """
        most_bytes = _REDACTED_GROWTH * (len(captured) + len(made))
        job = {
            "job": "compare",
            "size": len(captured),
            "redactions": msgspec.to_builtins(redactions),
            "most_bytes": most_bytes,
        }
        answer = self._ask(job, captured + made, more_s=most_bytes / _BYTES_PER_S)
        try:
            return msgspec.convert(answer.get("found"), tuple[int, int, int, int])
        except msgspec.ValidationError as error:
            raise _broken() from error

    def suggest(
        self,
        films: Sequence[tuple[bytes, int]],
        *,
        plates: bool = False,
        people: Path | None = None,
        vehicles: Path | None = None,
    ) -> list[Suggestion]:
        """Returns covers for the faces of a clip (`clients.media.suggest`).

        `films`: its segments in order, and the length of each by its record, in ms. `plates`: for number plates, too.
        `people` and `vehicles`: for the heads of bodies, or for whole vehicles, too, with the network in this file.
        """
        length_ms = sum(each for _media, each in films)
        seconds = _SUGGESTING_S_PER_S * length_ms / 1000
        job = {
            "job": "suggest",
            "films": [[len(media), each] for media, each in films],
            "plates": plates,
            "people": str(people.absolute()) if people is not None else "",
            "vehicles": str(vehicles.absolute()) if vehicles is not None else "",
            "more_s": int(seconds),
        }
        answer = self._ask(job, b"".join(media for media, _length in films), more_s=seconds)
        try:
            return msgspec.convert(answer.get("covers"), list[Suggestion])
        except msgspec.ValidationError as error:
            raise _broken() from error

    def follow(
        self, films: Sequence[tuple[bytes, int]], hand: Sequence[Place], from_ms: int, until_ms: int
    ) -> Followed:
        """Returns where a cover is that follows what is below it from the places `hand` (`clients.media.follow`)."""
        seconds = _FOLLOWING_S_PER_S * sum(each for _media, each in films) / 1000
        job = {
            "job": "follow",
            "films": [[len(media), each] for media, each in films],
            "hand": msgspec.to_builtins(hand),
            "from_ms": from_ms,
            "until_ms": until_ms,
            "more_s": int(seconds),
        }
        answer = self._ask(job, b"".join(media for media, _length in films), more_s=seconds)
        try:
            return msgspec.convert(answer.get("followed"), Followed)
        except msgspec.ValidationError as error:
            raise _broken() from error

    def is_colourless(self, film: bytes) -> bool:
        """Returns True if a film begins without colour, as cameras film by infrared (`clients.media.suggest`)."""
        return self._ask({"job": "is_colourless"}, film).get("found") is True

    def join(self, segments: Sequence[Path], out: Path, sounds: Sequence[Path | None] = ()) -> float:
        """Writes one MP4 of these films with their sounds, and returns its length in seconds."""
        size = sum(path.stat().st_size for path in (*segments, *(path for path in sounds if path is not None)))
        job = {
            "job": "join",
            # Whole paths, because the process runs in another folder.
            "segments": [str(path.absolute()) for path in segments],
            "sounds": [path and str(path.absolute()) for path in sounds],
            "out": str(out.absolute()),
            "most_bytes": 2 * size + (1 << 20),
        }
        return _number(self._ask(job, more_s=size / _BYTES_PER_S).get("seconds"))

    def still(self, film: Path) -> bytes:
        """Returns a JPEG of a film's first picture."""
        data = self._ask({"job": "still", "film": str(film.absolute())}).get("still")
        try:
            return base64.b64decode(str(data), validate=True)
        except ValueError as error:
            raise _broken() from error

    def sign_copy(
        self, source: Path, out: Path, manifest: dict[str, Any], parts: Sequence[dict[str, str]],
        credential: tuple[str, str],
    ) -> None:  # fmt: skip
        """Writes a copy of a file with Content Credentials (`clients.media.credentials_writer`)."""
        paths = [Path(part["path"]).absolute() for part in parts]
        size = sum(path.stat().st_size for path in (source, *paths))
        job = {
            "job": "sign_copy",
            "source": str(source.absolute()),
            "out": str(out.absolute()),
            "manifest": manifest,
            "parts": [{**part, "path": str(path)} for part, path in zip(parts, paths, strict=True)],
            "chain": credential[0],
            "key": credential[1],
            "most_bytes": size + (len(parts) + 1) * _CREDENTIALS_BYTES,
        }
        self._ask(job, more_s=size / _BYTES_PER_S)

    def _ask(self, job: dict[str, Any], data: bytes = b"", more_s: float = 0.0) -> dict[str, Any]:
        with _passed(data) as matter:
            return self._ask_with(job, matter, more_s)

    def _ask_with(self, job: dict[str, Any], matter: int, more_s: float) -> dict[str, Any]:
        with _passed(json.dumps(job).encode()) as question:
            try:
                answer = self._answer(question, matter, self._job_s + more_s)
            except (OSError, EOFError, ValueError) as error:
                self._end()
                raise _broken() from error
        if "storage" in answer:
            raise StorageError(str(answer["storage"]), remedy="Check the folder and its free space.")
        if "library" in answer:
            raise StorageError(
                f"A library does not load: {str(answer['library'])[:_LONGEST_REASON]}",
                remedy="Install the packages of this program again.",
            )
        reason = answer.get("reason")
        if reason is not None:
            raise FormatError(str(reason)[:_LONGEST_REASON])
        return answer

    def _answer(self, question: int, matter: int, seconds: float) -> dict[str, Any]:
        """Returns the worker's answer, which it writes over the question. Raises `TimeoutError` (an `OSError`) if it is
        too slow."""
        link = self._link()
        link.settimeout(seconds)
        socket.send_fds(link, [b"?"], [question, matter])
        if link.recv(1) != b"!":
            raise EOFError
        answer = json.loads(os.pread(question, _MOST_ANSWER_BYTES, 0))
        if not isinstance(answer, dict):
            raise ValueError("An answer is an object.")  # noqa: TRY004 (as `json` says of what is no JSON)
        return answer

    def _link(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair()
            self._socket = ours
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 (a command of our own)
                    [*self._command, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_ENVIRONMENT,
                    cwd="/",
                )
            self._require_start(ours)
        return self._socket

    def _require_start(self, link: socket.socket) -> None:
        """Waits for the worker's report that it runs, before it is given any job."""
        try:
            link.settimeout(_START_S)
            started = link.recv(1)
        except OSError:
            started = b""
        if started != READY:
            self._end()
            raise StorageError(
                "The process that opens footage does not start.",
                remedy="Install Doorward again, and look for free memory. Nothing was lost.",
            )

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._socket = self._process = None


@contextlib.contextmanager
def _passed(data: bytes) -> Iterator[int]:
    """Yields a descriptor of memory that holds `data`, so that opened media never touches the disk for a check."""
    handle = os.memfd_create("doorward")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        yield handle
    finally:
        os.close(handle)


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise _broken()
    return float(value)


def _broken() -> FormatError:
    return FormatError("Opening it failed, or took more time or memory than what a doorbell records.")
