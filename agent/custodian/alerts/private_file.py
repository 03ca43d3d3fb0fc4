"""One small private text in a file: 0600, replaced as a whole, durable when `save` returns."""

from __future__ import annotations

from pathlib import Path

from agent.errors import StorageError
from agent.platform import files

__all__ = ["PrivateText"]


class PrivateText:
    """`custodian.alerts.push_channels.PushStore`. Bytes of a damaged file that are invalid as text are replaced, and
    the reader then detects the damage."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}.", remedy="Check the disk.") from error

    def save(self, text: str) -> None:
        files.write(self._path, text.encode(), secret=True)
