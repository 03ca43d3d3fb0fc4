"""Port for the notes of a requester: its small files by name. The default is its folder.

    requests/<id>/request.dsse      disclosures/<id>/origin.json      slots/requests.287-379      sequence

Several receivers on several machines share the notes of a database (`desk.storage`). A note is there whole or not at
all, and is durable when a method returns. The folder of a note must have been made before. So a process that still
writes about an answer fails after another one has deleted that answer.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from agent.errors import DoorwardError, StorageError
from agent.platform import files

__all__ = ["FolderNotes", "Notes", "delete_folder"]

_PARTS: Final = (".age", ".part")
"""Files of parts, which may lie beside the notes of an answer (`sealed_parts`)."""


class Notes(Protocol):
    """Notes by name. Any thread may use it.

    All methods raise `StorageError`, and `NetworkError` if a server is away.
    """

    movable: bool
    """True if people may move folders away and put them back."""

    def place(self, name: str) -> str:
        """Returns where a note or folder is, for messages."""
        ...

    def read(self, name: str, limit_bytes: int, *, secret: bool = False) -> bytes | None:
        """Returns the note, or None if it is missing.

        Raises `StorageError` if it is larger than `limit_bytes`, and `ConfigurationError` if others can read a secret.
        """
        ...

    def write(self, name: str, data: bytes, *, secret: bool = False) -> None:
        """Puts the note in place of what was there. Raises `StorageError` if its folder is missing."""
        ...

    def change(
        self, name: str, change: Callable[[bytes | None], bytes], *, lock: str, limit_bytes: int, secret: bool = False
    ) -> None:
        """Replaces the note by what `change` makes of it. Changes under the same `lock` take turns.

        `change` may use other notes, and may run twice, the first time without effect.
        """
        ...

    def remove(self, name: str) -> None:
        """Removes the note. It may be repeated."""
        ...

    def is_there(self, name: str) -> bool: ...

    def make_folder(self, folder: str) -> None:
        """Makes a folder. It may be repeated."""
        ...

    def store_folder(self, folder: str, notes: Mapping[str, bytes], secrets: frozenset[str] = frozenset()) -> None:
        """Makes a new folder with these notes: all or none. `secrets`: names of those that are secret."""
        ...

    def has_folder(self, folder: str) -> bool: ...

    def names(self, folder: str) -> list[str]:
        """Returns the names of all notes and folders in `folder`, in order. Empty if it is missing."""
        ...

    def size_bytes(self, folder: str) -> int:
        """Returns the size of all notes directly in `folder`."""
        ...

    def delete_folder(self, folder: str) -> int:
        """Deletes the folder and returns the number of its notes. A missing folder has 0."""
        ...


class FolderNotes:
    """Notes as files below `root`. Secrets have mode 0600."""

    movable = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def place(self, name: str) -> str:
        return str(self._root / name)

    def read(self, name: str, limit_bytes: int, *, secret: bool = False) -> bytes | None:
        path = self._root / name
        if secret and files.is_there(path):
            files.require_private(path)
        return files.read_if_there(path, limit_bytes)

    def write(self, name: str, data: bytes, *, secret: bool = False) -> None:
        files.write(self._root / name, data, secret=secret)

    def change(
        self, name: str, change: Callable[[bytes | None], bytes], *, lock: str, limit_bytes: int, secret: bool = False
    ) -> None:
        path = self._root / lock
        # A separate file, because `write` renames the note: a lock of the note would stay with its former bytes.
        with files.storage_errors(path), path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.write(name, change(self.read(name, limit_bytes)), secret=secret)

    def remove(self, name: str) -> None:
        path = self._root / name
        with files.storage_errors(path):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return
            files.sync_folder(path.parent)

    def is_there(self, name: str) -> bool:
        return files.is_there(self._root / name)

    def make_folder(self, folder: str) -> None:
        path = self._root / folder
        files.make_folder(path.parent)
        files.make_folder(path)

    def store_folder(self, folder: str, notes: Mapping[str, bytes], secrets: frozenset[str] = frozenset()) -> None:
        path = self._root / folder
        unfinished = path.with_name(f"{path.name}.making")
        files.make_folder(path.parent)
        files.make_folder(unfinished)
        try:
            for name, data in notes.items():
                files.write(unfinished / name, data, secret=name in secrets)
            with files.storage_errors(path.parent):
                # One rename shows all notes at once, so that a kill leaves all of them or none.
                unfinished.rename(path)
                files.sync_folder(path.parent)
        except DoorwardError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def has_folder(self, folder: str) -> bool:
        return files.is_folder(self._root / folder)

    def names(self, folder: str) -> list[str]:
        return files.names_in(self._root / folder)

    def size_bytes(self, folder: str) -> int:
        path = self._root / folder
        with files.storage_errors(path):
            notes = (path / name for name in files.names_in(path) if not name.endswith(_PARTS))
            return sum(each.stat().st_size for each in notes if files.is_file(each))

    def delete_folder(self, folder: str) -> int:
        return delete_folder(self._root / folder)


def delete_folder(path: Path) -> int:
    """Deletes a folder and returns the number of its files. A missing folder has 0. Raises `StorageError`."""
    if not files.is_folder(path):
        return 0
    count = len(files.below(path))
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return count  # another process deletes it, too
    except OSError as error:
        raise StorageError(
            f"{path} could not be deleted ({error.strerror or error}).",
            remedy="Check its permissions, then delete again. No deletion was signed.",
        ) from error
    return count
