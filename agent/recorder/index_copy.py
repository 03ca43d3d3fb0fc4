"""Copies the vault's index once a day at the lowest priority.

The recorder reads the whole manifest if the index is lost, and records nothing meanwhile. With the copy it reads the
lines of at most a day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from agent.errors import StorageError
from agent.recorder.io_priority import work_idly

__all__ = ["copy_index_daily"]

_FIRST_S: Final = 600.0
"""After the start. A doorbell that restarts every minute must not write a copy each time."""
_EVERY_S: Final = 86_400.0
"""A copy of 100 000 segments is about 30 MB of card writes."""


def copy_index_daily(keep: Callable[[], None], wait: Callable[[float], bool]) -> None:
    """Runs until `wait(seconds)` returns true. Lowers the calling thread for good."""
    work_idly()
    log = structlog.get_logger("recorder")
    pause_s = _FIRST_S
    while not wait(pause_s):
        pause_s = _EVERY_S
        try:
            keep()
        except StorageError as error:
            log.info("index_not_copied", error=error.message)
