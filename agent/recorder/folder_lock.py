"""A folder that one process writes at a time: flock(2) on the folder itself, let go of with the process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agent.errors import ConfigurationError

__all__ = ["ProcessLock"]


class ProcessLock:
    """Held from construction to `release`.  Raises `ConfigurationError` when another process holds it."""

    def __init__(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise ConfigurationError(
                f"Another recorder writes {folder} already.", remedy="Stop it first, or choose another state_dir."
            ) from error
        self._handle: int | None = handle

    def release(self) -> None:
        """Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
