"""Tells owners if files of the installed program were changed, and keeps the uplink from its servers meanwhile.

Root compares the program with the hashes of its installation, at each start and each day
(scripts/installation/integrity.py). Source: ETSI EN 303 645, provision 5.7-2; docs/decisions/0080.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import structlog

from agent.core.program_changes import MAX_REPORT_BYTES, ProgramChanges
from agent.errors import DoorwardError
from agent.platform import files
from agent.ports import Notifier
from agent.wire import strictjson

__all__ = ["ProgramWatch", "read_changes"]

_UNREADABLE: Final = ProgramChanges(v=1, since_ms=0, count=1, files=())
"""A report that cannot be read is one: only root writes there, and it writes only to report."""


def read_changes(report: Path) -> ProgramChanges | None:
    """Returns root's report, or None if there is none. One that cannot be read counts as a changed file without a
    name."""
    try:
        data = files.read_if_there(report, MAX_REPORT_BYTES)
        return None if data is None else strictjson.decode(data, ProgramChanges, limit_bytes=MAX_REPORT_BYTES)
    except DoorwardError:
        return _UNREADABLE


class ProgramWatch:
    """`report`: the file that root writes, and removes once the program is as it was installed."""

    def __init__(self, report: Path, notifier: Notifier) -> None:
        self._report = report
        self._notifier = notifier
        self._told: ProgramChanges | None = None
        self._log = structlog.get_logger("custodian")

    @property
    def changes(self) -> ProgramChanges | None:
        """Returns root's report, or None if there is none."""
        return read_changes(self._report)

    def on_time(self) -> None:
        """Alerts the owners once for each report."""
        changes = self.changes
        if changes is not None and changes != self._told:
            self._log.error("program_changed", count=changes.count, files=changes.files)
            self._notifier.notify("program", "Files of the program were changed.", once=f"program {changes.since_ms}")
        self._told = changes

    def status(self) -> dict[str, Any] | None:
        changes = self.changes
        return None if changes is None else {"changed": changes.count, "files": list(changes.files)}
