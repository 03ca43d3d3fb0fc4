"""The updater's own process: looks for a newer release, and stages it for root. It has the network and no secret.

    updater/trusted/               what this process believed last (python-tuf)
    updater/repository/metadata/   a copy for root, under the names of a repository
    updater/repository/targets/    at most one package
    updater/report.json            written last; root starts when it changes

A thief of this process can stage anything. Root verifies it again from the beginning.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from agent.core.timebase import ClockReading
from agent.core.updates import FetchReport, Package, UpdateSource, UpdateTrouble
from agent.errors import DoorwardError, NetworkError, StorageError, UpdateError
from agent.platform import files
from agent.updater.fetchers import fetcher_for, require_room
from agent.updater.machine import Machine
from agent.updater.release_client import ReleaseClient, require_clock
from agent.wire import strictjson

__all__ = ["Staging", "trouble_of"]


@dataclass(frozen=True, slots=True)
class Staging:
    """The updater's folder."""

    folder: Path

    @property
    def trusted(self) -> Path:
        return self.folder / "trusted"

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def targets(self) -> Path:
        return self.repository / "targets"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    def fetch(self, source: UpdateSource, machine: Machine, reading: ClockReading) -> Package | None:
        """Stages the newest package that fits, and writes the report. Returns the package, or None.

        Raises the error that ended it, after it is in the report.
        """
        files.make_folder(self.folder)
        try:
            package = self._fetch(source, machine, reading)
        except DoorwardError as error:
            self._report(trouble_of(error))
            raise
        self._report(None)
        return package

    def _fetch(self, source: UpdateSource, machine: Machine, reading: ClockReading) -> Package | None:
        require_clock(reading)
        for folder in (self.trusted, self.repository, self.targets):
            files.make_folder(folder)
        client = ReleaseClient(fetcher_for(source.source, self.folder), self.trusted, source.root.encode())
        client.refresh()
        found = client.newest(machine.running, machine.architecture, machine.debian)
        wanted = None if found is None else client.file_name(found[0])
        # Before the download, which needs the room of the old package.
        self._remove_except(wanted)
        if found is not None and wanted is not None and not client.has(found[0], self.targets / wanted):
            # Twice: python-tuf verifies an unnamed file first, and then copies it.
            require_room(self.folder, 2 * found[1].length)
            client.download(found[0], self.targets / wanted)
        client.write_metadata(self.repository / "metadata")
        return None if found is None else found[0]

    def _remove_except(self, wanted: str | None) -> None:
        for path in self.targets.iterdir():
            if path.name != wanted:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _report(self, trouble: UpdateTrouble | None) -> None:
        files.write(self.report, strictjson.encode(FetchReport(v=1, trouble=trouble)))


def trouble_of(error: DoorwardError) -> UpdateTrouble:
    """Returns the reason to tell an owner."""
    if isinstance(error, UpdateError):
        return UpdateTrouble(error.reason)
    if isinstance(error, NetworkError):
        return UpdateTrouble.NETWORK
    return UpdateTrouble.DISK if isinstance(error, StorageError) else UpdateTrouble.REFUSED
