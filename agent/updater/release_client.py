"""The client of an update repository: python-tuf's, with our limits and one error for each party at fault.

Rules: `trusted` holds the metadata that was believed last, so an older one is refused afterwards. A package is named by
its version and architecture, and its `custom` must say the same. Expiry is judged by the system's clock, so the caller
asks `require_clock` first. Source: TUF specification 5.1 to 5.7; docs/decisions/0051.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import Updater, UpdaterConfig

from agent.core.timebase import ClockQuality, ClockReading
from agent.core.updates import MAX_PACKAGE_BYTES, Offer, Package, mends, newest_for, numbers
from agent.errors import DoorwardError, NetworkError, StorageError, UpdateError
from agent.platform import files
from agent.platform.system_clock import PLAUSIBLE_FROM_NS
from agent.updater.fetchers import BoundedFetcher

__all__ = ["ReleaseClient", "require_clock", "update_errors"]

_LIMITS: Final = UpdaterConfig(
    max_root_rotations=256,  # counted from the first trusted root, at each visit
    root_max_length=64 * 1024,
    timestamp_max_length=16 * 1024,
    snapshot_max_length=64 * 1024,
    targets_max_length=2 * 1024 * 1024,
    # Our repositories have none.
    max_delegations=0,
)
_MOST_TARGETS: Final = 10_000


def require_clock(reading: ClockReading, *, by_hand: bool = False) -> None:
    """Raises `UpdateError` if this machine does not know the time of day.

    `by_hand`: a person started this, and an offline doorbell has no synchronised clock. Then a date before
    this program existed is refused, and any other is believed.
    """
    if reading.quality is ClockQuality.UNKNOWN and not (by_hand and reading.utc_ns >= PLAUSIBLE_FROM_NS):
        raise UpdateError(
            "The doorbell does not know the time, so it cannot tell old news of updates from new.",
            remedy="Connect it to a time server, or set the clock:  sudo date -s '2026-12-01 12:00'",
            reason="clock",
        )


class ReleaseClient:
    """One visit to a repository. Call `refresh` first. `root`: the bytes of the first trusted root.json."""

    def __init__(self, fetcher: BoundedFetcher, trusted: Path, root: bytes) -> None:
        self._trusted = trusted
        with update_errors():
            self._updater = Updater(
                str(trusted),
                f"{fetcher.base}/metadata/",
                target_base_url=f"{fetcher.base}/targets/",
                fetcher=fetcher,
                config=_LIMITS,
                # The root of this program, and not the first one that a server shows.
                bootstrap=root,
            )

    def refresh(self) -> None:
        """Brings the metadata up to date. Raises `UpdateError`, `NetworkError` or `StorageError`."""
        try:
            with update_errors():
                self._updater.refresh()
        finally:
            # Also after a failure: a newer timestamp that was believed must not be forgotten by a power cut.
            _sync_tree(self._trusted)

    def newest(self, running: str, architecture: str, debian: str) -> tuple[Package, Offer] | None:
        """Returns the newest package for this doorbell, or None."""
        found = newest_for(self._packages(), running, architecture, debian)
        if found is None:
            return None
        target = self._target(found.name)
        # A release after the one that mends a vulnerability may say nothing of it, and mends it as well.
        others = [each.security_below for each in self._packages() if each.architecture == architecture]
        own = found.security_below is not None and numbers(running) < numbers(found.security_below)
        security = own or any(mends(found.version, running, floor) for floor in others)
        return found, Offer(
            version=found.version,
            sha256=target.hashes["sha256"],
            length=target.length,
            released=found.released,
            security=security,
            rollout_hours=found.rollout_hours,
            notes=found.notes,
        )

    def newest_version(self) -> str | None:
        """Returns the newest version of all packages, for whichever machine, or None without one."""
        return max((each.version for each in self._packages()), key=numbers, default=None)

    def security_floor(self, architecture: str) -> str | None:
        """Returns the lowest version without a vulnerability that the releases name, None if they name none."""
        found = (each.security_below for each in self._packages() if each.architecture == architecture)
        return max((each for each in found if each is not None), key=numbers, default=None)

    def download(self, package: Package, to: Path) -> None:
        """Puts the verified bytes of a package at `to`, durably and as a whole."""
        making = to.with_name(f".{to.name}.part")
        try:
            with update_errors():
                self._updater.download_target(self._target(package.name), str(making))
            with making.open("rb") as file:
                os.fsync(file.fileno())
            # Synced before it gets its name: after a power cut the name leads to whole bytes or to nothing.
            making.replace(to)
            files.sync_folder(to.parent)
        except OSError as error:
            raise StorageError(f"{to}: {error.strerror}.", remedy="Run doorward doctor.") from error
        finally:
            making.unlink(missing_ok=True)

    def has(self, package: Package, file: Path) -> bool:
        """Returns whether `file` holds exactly the bytes of this package."""
        with update_errors():
            return self._updater.find_cached_target(self._target(package.name), str(file)) is not None

    def file_name(self, package: Package) -> str:
        """Returns the name of the package's file in the folder `targets` of a repository."""
        return f"{self._target(package.name).hashes['sha256']}.{package.name}"

    def write_metadata(self, folder: Path) -> None:
        """Copies what this client believes into `folder`, under the names of a repository."""
        files.make_folder(folder)
        roots = sorted((self._trusted / "root_history").glob("*.root.json"))
        names = {path.name: path for path in roots}
        for role in ("snapshot", "targets"):
            path = self._trusted / f"{role}.json"
            version = Metadata.from_file(str(path)).signed.version
            names[f"{version}.{role}.json"] = path
        for name, path in names.items():
            files.write(folder / name, path.read_bytes())
        # Last, because it names the others.
        files.write(folder / "timestamp.json", (self._trusted / "timestamp.json").read_bytes())
        for name in files.names_in(folder):
            if name not in names and name != "timestamp.json":
                (folder / name).unlink()

    def _packages(self) -> Iterator[Package]:
        with update_errors():
            targets = Metadata[Targets].from_file(str(self._trusted / "targets.json")).signed.targets
        if len(targets) > _MOST_TARGETS:
            raise UpdateError("The repository lists too many files.")
        for path, target in targets.items():
            package = _package(target)
            # A signed package under another name could pass for another version or architecture.
            if package is not None and package.name == path:
                yield package

    def _target(self, path: str) -> TargetFile:
        with update_errors():
            target = self._updater.get_targetinfo(path)
        if target is None or set(target.hashes) != {"sha256"} or not 0 < target.length <= MAX_PACKAGE_BYTES:
            raise UpdateError(f"The repository does not state size and hash of {path} as it must.")
        return target


def _package(target: TargetFile) -> Package | None:
    """Returns what the repository says about a package. None for other files, and for a form that is unknown."""
    custom = target.custom
    if not isinstance(custom, dict) or custom.get("kind") != "package":
        return None
    try:
        return msgspec.convert(custom, Package)
    except (msgspec.ValidationError, DoorwardError):
        return None


@contextmanager
def update_errors() -> Iterator[None]:
    """Turns python-tuf's errors into ours, by the party at fault and with a remedy."""
    try:
        yield
    except ExpiredMetadataError as error:
        raise UpdateError(
            f"The news of updates is too old ({error}).",
            remedy="Try again later. If it stays so, an attacker may hold newer news back.",
            reason="expired",
        ) from error
    except (RepositoryError, DownloadLengthMismatchError) as error:
        raise UpdateError(
            f"The update is not what its makers signed ({error}).",
            remedy="Nothing was changed. Try again later, or from another network.",
        ) from error
    except DownloadError as error:
        raise NetworkError(
            f"Updates cannot be fetched ({error}).", remedy="Check the network and updates.source."
        ) from error
    except OSError as error:
        raise StorageError(
            f"The disk refuses an update: {error.strerror or error}.", remedy="Run doorward doctor."
        ) from error


def _sync_tree(folder: Path) -> None:
    """Makes the files in `folder` durable. python-tuf renames without fsync."""
    with files.storage_errors(folder):
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                files.sync_folder(path)
            elif path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
