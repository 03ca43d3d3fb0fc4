"""Port for the sealed parts of answers, and the default: a folder for each disclosure.

A part is assembled on this machine and put here when its hash fits. A part never changes after that, so a second
receiver that puts the same part does no harm. A receipt may name a part once `put` has returned.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from agent.clients.requester.folder_index import is_id
from agent.errors import ConfigurationError, NetworkError, StorageError
from agent.platform import files

__all__ = [
    "FolderParts",
    "PartsAwayError",
    "PartsRefusedError",
    "SealedParts",
    "part_numbers",
    "require_id",
    "require_same",
    "sha256_of",
]

_PIECE_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"(0|[1-9][0-9]{0,5})\.age")


class PartsAwayError(NetworkError):
    """The store of sealed parts is away. A call may have taken half a minute, so its caller makes no further one and
    passes the error on. A receiver can do without the store all that concerns no answer."""


class PartsRefusedError(NetworkError):
    """The store of sealed parts answers and refuses one act. Others may succeed."""


class SealedParts(Protocol):
    """Parts by disclosure and number. Any thread may use it.

    All methods raise `StorageError`, `PartsAwayError` or `PartsRefusedError`, and `ConfigurationError` for what is no
    id of a disclosure.
    """

    def put(self, disclosure: str, number: int, source: Path) -> None:
        """Takes the file at `source`, durably. Raises `StorageError` if another part of that name is there."""
        ...

    def pieces(self, disclosure: str, number: int) -> Iterator[bytes]:
        """Yields the bytes of the part. Raises `StorageError` if it is missing, or at its end if it is not as it was
        put."""
        ...

    def copy(self, disclosure: str, number: int, target: Path) -> None:
        """Writes the part into a new file at `target`. Raises the errors of `pieces`."""
        ...

    def numbers(self, disclosure: str) -> frozenset[int]:
        """Returns the parts that are here."""
        ...

    def size_bytes(self, disclosure: str) -> int:
        """Returns the size of all parts that are here."""
        ...

    def remove(self, disclosure: str) -> None:
        """Deletes all parts of a disclosure. It may be repeated."""
        ...

    def room(self, held_bytes: int, spare_bytes: int) -> int:
        """Returns the bytes that may still be put. `held_bytes`: all that is here. `spare_bytes`: room on the disk of
        this machine."""
        ...


class FolderParts:
    """Parts below `folder`, as N.age in one folder for each disclosure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, disclosure: str, number: int, source: Path) -> None:
        folder = files.make_folder(self._of(disclosure))
        path = folder / f"{number}.age"
        with files.storage_errors(path):
            with source.open("rb") as data:
                os.fsync(data.fileno())
            if files.is_there(path):
                # Another receiver may have put the same part. Other bytes under its name would change what a receipt
                # has named.
                require_same(sha256_of(path), sha256_of(source), path)
            source.rename(path)
            # The rename is durable only now. A receipt may name the part afterwards.
            files.sync_folder(folder)

    def pieces(self, disclosure: str, number: int) -> Iterator[bytes]:
        path = self._of(disclosure) / f"{number}.age"
        with files.storage_errors(path), path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def copy(self, disclosure: str, number: int, target: Path) -> None:
        """Makes a hard link if the disk can, because a part is never written again."""
        source = self._of(disclosure) / f"{number}.age"
        with files.storage_errors(target):
            try:
                os.link(source, target)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copyfile(source, target)

    def numbers(self, disclosure: str) -> frozenset[int]:
        return part_numbers(files.names_in(self._of(disclosure)))

    def size_bytes(self, disclosure: str) -> int:
        folder = self._of(disclosure)
        with files.storage_errors(folder):
            return sum((folder / f"{number}.age").stat().st_size for number in self.numbers(disclosure))

    def remove(self, disclosure: str) -> None:
        folder = self._of(disclosure)
        with files.storage_errors(folder):
            for number in self.numbers(disclosure):
                (folder / f"{number}.age").unlink(missing_ok=True)

    def room(self, held_bytes: int, spare_bytes: int) -> int:  # noqa: ARG002 (the disk knows what it holds)
        return spare_bytes

    def _of(self, disclosure: str) -> Path:
        return self._folder / require_id(disclosure)


def part_numbers(names: Iterable[str]) -> frozenset[int]:
    """Returns the numbers of the parts among these file names."""
    return frozenset(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def require_id(disclosure: str) -> str:
    """Returns the id. Raises `ConfigurationError` if it is none: it becomes part of a path."""
    if not is_id(disclosure):
        raise ConfigurationError(f"'{disclosure}' is not the id of a disclosure.", remedy="Give 32 hex digits.")
    return disclosure


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_same(one: str, other: str, path: Path) -> None:
    """Raises `StorageError` if the two hashes differ."""
    if one != other:
        raise StorageError(
            f"{path}: the stored part differs from this one.", remedy="Keep both and ask for help: no part may change."
        )
