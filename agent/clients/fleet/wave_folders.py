"""Copies of a verified update repository, one for each wave, for a web server of the installer.

    FOLDER/copies/<SHA-256 of timestamp.json>/{metadata,targets}      whole, and never changed
    FOLDER/wave-1 → copies/<…>                                        one rename switches a wave

A copy is verified from the first root before it is made, so a damaged or foreign repository reaches no doorbell. Each
doorbell verifies it again: the installer signs nothing and can only hold news back. A timestamp is good for a week, so
a doorbell that is held back for longer tells its owner.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import ConfigurationError, UpdateError
from agent.platform import files
from agent.updater.fetchers import fetcher_for
from agent.updater.release_client import ReleaseClient

__all__ = ["VerifiedRepository", "WaveFolders"]

_COPIES: Final = "copies"
_TIMESTAMP: Final = Path("metadata") / "timestamp.json"
_LIMIT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class VerifiedRepository:
    """A repository in a folder, the newest version in it, and the name of its copies."""

    folder: Path
    version: str
    name: str

    @classmethod
    def check(cls, folder: Path, root: bytes, work: Path) -> VerifiedRepository:
        """Verifies the metadata of the repository. `work`: a folder that remembers what was believed last.

        Raises `UpdateError` if it is unsigned, expired, or older than the last one, `ConfigurationError` without one.
        """
        if not files.is_file(folder / _TIMESTAMP):
            raise ConfigurationError(
                f"{folder} is not an update repository.", remedy="Give the folder with metadata and targets."
            )
        files.make_folder(work / "trusted")
        client = ReleaseClient(fetcher_for(str(folder.resolve()), work), work / "trusted", root)
        client.refresh()
        version = client.newest_version()
        if version is None:
            raise UpdateError("There is no package in this repository.", remedy="Give another one.")
        return cls(folder, version, hashlib.sha256(files.read(folder / _TIMESTAMP, _LIMIT_BYTES)).hexdigest())


class WaveFolders:
    """The folder that a web server shows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def published(self, repository: VerifiedRepository, waves: tuple[int, ...]) -> list[int]:
        """Returns the waves that see this version."""
        return [wave for wave in waves if self._name(wave) == repository.name]

    def publish(self, repository: VerifiedRepository, wave: int) -> None:
        """Makes a copy if there is none, and lets the wave see it. A power cut before that leaves the wave as it was.

        Copies that no wave sees are removed.
        """
        copy = self._folder / _COPIES / repository.name
        with files.storage_errors(copy):
            if not files.is_folder(copy):
                making = copy.with_name(f"{copy.name}.part")
                shutil.rmtree(making, ignore_errors=True)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(repository.folder, making)
                _sync_tree(making)
                making.replace(copy)
                files.sync_folder(copy.parent)
            link = self._link(wave)
            new = link.with_name(f"{link.name}.new")
            new.unlink(missing_ok=True)
            new.symlink_to(Path(_COPIES) / repository.name)
            new.replace(link)
            files.sync_folder(self._folder)
            seen = {each.readlink().name for each in self._folder.glob("wave-*") if each.is_symlink()}
            for name in files.names_in(self._folder / _COPIES):
                if name not in seen:
                    shutil.rmtree(self._folder / _COPIES / name)

    def _link(self, wave: int) -> Path:
        return self._folder / f"wave-{wave}"

    def _name(self, wave: int) -> str:
        link = self._link(wave)
        name = link.readlink().name if link.is_symlink() else ""
        return name if re.fullmatch(r"[0-9a-f]{64}", name) else ""


def _sync_tree(folder: Path) -> None:
    paths = files.below(folder)
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for each in {folder, *(path.parent for path in paths)}:
        files.sync_folder(each)
