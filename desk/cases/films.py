"""Opened films and stills for the viewer, in memory, for as long as people watch.

An answer is verified as a whole before any of it is shown, which takes seconds for a large one. So it stays open for
some minutes after its last use. A few answers are open at a time. The opened media lies in a private folder on the file
system in memory (`/dev/shm`). A killed process cannot wipe its folder, so the next start wipes each folder of an
ended process.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, Final, TypeVar

from agent.clients.requester.clips import DisclosedClip
from agent.clients.requester.identity import Requester
from agent.clients.requester.opened_answer import OpenedAnswer, opened_answer
from agent.errors import FormatError, OpenError
from agent.platform import files

__all__ = ["OpenFilms", "PrivateMemory", "close_films", "forget_film", "open_films"]

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 (a file system in memory; the folders below it are private)
_PREFIX: Final = "doorward-desk-"
_LOCK: Final = "owner.lock"
_MOST_OPEN: Final = 8
_IDLE_S: Final = 600.0
_SWEEP_EVERY_S: Final = 30.0
_Media = TypeVar("_Media", bytes, BinaryIO)


class PrivateMemory:
    """A private folder in memory that belongs to this process, and to no later one."""

    def __init__(self, memory: Path = _MEMORY) -> None:
        _wipe_orphans(memory)
        self.path, self._lock = _locked_folder(memory)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _locked_folder(memory: Path) -> tuple[Path, IO[bytes]]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=memory))  # mode 0700
        lock = (path / _LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if files.is_folder(path):
            return path, lock
        lock.close()  # another start took the folder for an orphan between the two calls


def _wipe_orphans(memory: Path) -> None:
    """Wipes this user's folders of ended processes: the kernel released their locks."""
    for folder in memory.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            # Anyone may make folders of this name in `/dev/shm`.
            if folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("rb") as lock:
                # The kernel has released the lock if the process has ended, also if it was killed.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Open:
    """One open answer. `lock` is held while it is opened or read, so that one person waits for the other."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    answer: OpenedAnswer | None = None
    used_s: float = 0.0


class OpenFilms:
    """The open answers of this process. All methods may be called by several threads."""

    def __init__(self, memory: PrivateMemory, now_s: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._now_s = now_s
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Open] = OrderedDict()
        """By disclosure, the least recently used first."""
        self._stop = threading.Event()
        self._sweeper: threading.Thread | None = None

    def film(self, requester: Requester, disclosure: str, index: int) -> BinaryIO:
        """Returns one MP4 of a clip, open for reading. It stays readable if the answer is wiped meanwhile.

        Raises `FormatError`, `OpenError` if a check fails, and `StorageError`.
        """
        return self._use(requester, disclosure, lambda answer: answer.film(_clip(answer, index)).path.open("rb"))

    def still(self, requester: Requester, disclosure: str, index: int) -> bytes:
        """Returns a JPEG of a clip. Raises the errors of `film`."""
        return self._use(requester, disclosure, lambda answer: answer.still(_clip(answer, index)))

    def forget(self, disclosure: str) -> None:
        """Wipes an answer, for example because it is deleted."""
        with self._lock:
            found = self._open.pop(disclosure, None)
        if found is not None:
            _close(found)

    def close(self) -> None:
        """Wipes everything."""
        self._stop.set()
        if self._sweeper is not None:
            self._sweeper.join()
        self._keep(0, -1.0)
        self._memory.close()

    def sweep(self) -> None:
        """Wipes the answers without a use for some minutes."""
        self._keep(_MOST_OPEN, self._now_s() - _IDLE_S)

    def _use(self, requester: Requester, disclosure: str, read: Callable[[OpenedAnswer], _Media]) -> _Media:
        with self._lock:
            found = self._open.setdefault(disclosure, _Open())
            found.used_s = self._now_s()
            self._open.move_to_end(disclosure)
            self._start_sweeper()
        self._keep(_MOST_OPEN, self._now_s() - _IDLE_S)
        with found.lock:
            if found.answer is None:
                opened = found.stack.enter_context(opened_answer(requester, disclosure, self._memory.path))
                if not opened.verification.ok:
                    found.stack.close()
                    failed = opened.verification.failed
                    raise OpenError(failed.said if failed else "This answer does not verify any more.")
                found.answer = opened
            return read(found.answer)

    def _keep(self, most: int, since_s: float) -> None:
        with self._lock:
            idle = [name for name, each in self._open.items() if most == 0 or each.used_s < since_s]
            over = list(self._open)[: max(0, len(self._open) - most)]
            # Taken out under the lock and closed outside of it: closing waits for a person who is still reading.
            gone = [self._open.pop(name) for name in dict.fromkeys((*idle, *over))]
        for each in gone:
            _close(each)

    def _start_sweeper(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Thread(target=self._sweep_on, name="films", daemon=True)
            self._sweeper.start()

    def _sweep_on(self) -> None:
        while not self._stop.wait(_SWEEP_EVERY_S):
            self.sweep()


@functools.cache
def open_films() -> OpenFilms:
    """Returns the opened films of this process, made at the first use."""
    return OpenFilms(PrivateMemory())


def close_films() -> None:
    """Wipes all that this process has opened. A later use makes a new folder."""
    if open_films.cache_info().currsize:
        films = open_films()
        open_films.cache_clear()
        films.close()


def forget_film(disclosure: str) -> None:
    """Wipes what this process has opened of an answer. Other processes refuse to show a deleted answer, and wipe what
    they opened of it after some minutes."""
    if open_films.cache_info().currsize:
        open_films().forget(disclosure)


def _close(found: _Open) -> None:
    with found.lock:
        found.answer = None
        found.stack.close()


def _clip(answer: OpenedAnswer, index: int) -> DisclosedClip:
    for clip in answer.clips:
        if clip.number == index:
            return clip
    raise FormatError("This answer has no such clip.")
