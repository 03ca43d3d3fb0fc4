"""One small private text in a file: 0600, replaced as a whole, durable when `save` returns."""

from __future__ import annotations

import os
from pathlib import Path

from agent.errors import StorageError

__all__ = ["PrivateText"]


class PrivateText:
    """`services.push.PushStore`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}.", remedy="Check the disk.") from error

    def save(self, text: str) -> None:
        making = self._path.with_name(f".{self._path.name}.new")
        try:
            making.unlink(missing_ok=True)
            with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            making.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StorageError(
                f"{self._path} cannot be written: {error.strerror}.", remedy="Check the disk."
            ) from error
