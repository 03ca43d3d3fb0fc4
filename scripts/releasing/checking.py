"""Visits an update repository as a doorbell does, with python-tuf's client, and checks every file of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from installation.words import fail
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from releasing.update_repository import UpdateRepository

__all__ = ["FolderFetcher", "check"]

LIMITS = UpdaterConfig(
    max_root_rotations=256,  # counted from the first trusted root, at each visit
    root_max_length=64 * 1024,
    timestamp_max_length=16 * 1024,
    snapshot_max_length=64 * 1024,
    targets_max_length=2 * 1024 * 1024,
)
"""docs/decisions/0051: a doorbell reads no more."""
_CHUNK_BYTES = 1 << 20


class FolderFetcher(FetcherInterface):
    """Reads a repository from a folder, through addresses that begin with `BASE`."""

    BASE = "folder:/"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._folder / url.removeprefix(self.BASE)
        if not path.is_file():
            raise DownloadHTTPError(f"{path} is not there", 404)
        return self._chunks(path)

    def _chunks(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


def check(repository: Path, root: bytes, *, files: bool = True) -> list[str]:
    """Returns the names of all files that a visitor with this first root gets. Raises `FailedError` at a fault.

    `files`: also read every file and compare its hash.
    """
    base = FolderFetcher.BASE
    with tempfile.TemporaryDirectory(prefix="doorward-check-") as folder:
        try:
            visitor = Updater(
                folder, f"{base}metadata/", folder, f"{base}targets/", FolderFetcher(repository), LIMITS, bootstrap=root
            )
            visitor.refresh()
            targets = UpdateRepository(repository).current_targets()
            names = sorted(targets.signed.targets) if targets else []
            for name in names:
                known = visitor.get_targetinfo(name)
                if known is None:
                    fail(f"{name} is not what the visitor's metadata lists.", "publish again.")
                if files:
                    Path(visitor.download_target(known)).unlink()
        except (RepositoryError, DownloadError, ValueError) as error:
            fail(f"A visitor is turned away: {error}.", "publish again, or renew the timestamp.")
    return names
