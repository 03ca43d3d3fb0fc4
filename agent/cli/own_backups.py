"""The backups that a doorbell makes of itself, in the folder of `[backup]`: one more, then the oldest away.

A backup appears whole or not at all. Only backups of this doorbell count and go, and only after the new one is on the
disk. Names say the doorbell and the time: `doorward-<id>-20261201T031500Z.backup`.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Final

from agent.config import load
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError, StorageError
from agent.platform import files
from agent.wire.identities import public_key_of

__all__ = ["backups_of", "keep_backup"]

_TIME: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = re.compile(r"doorward-([0-9a-f]{16})-([0-9]{8}T[0-9]{6}Z)\.backup")


def keep_backup(config: Path, sealed: bytes, now: datetime.datetime | None = None) -> Path:
    """Writes the backup, then removes all but the newest of this doorbell, and returns its path.

    Raises `ConfigurationError` without `[backup]`, `StorageError` if the folder is missing or cannot be written.
    """
    configuration = load(config)
    wanted = configuration.backup
    if wanted is None:
        raise ConfigurationError(
            f"{config} does not say where backups go.", remedy="Give a file, or add [backup] with a folder."
        )
    # It is never created: an unmounted stick would be an empty folder on the card that a backup is to survive.
    if not files.is_folder(wanted.folder):
        raise StorageError(
            f"{wanted.folder} is not there, so there is no new backup.",
            remedy="Mount the stick or the share, or change backup.folder.",
        )
    device = public_key_of(StateFolder(configuration.device.state_dir).device_key()).id
    moment = now or datetime.datetime.now(datetime.UTC)
    path = wanted.folder / f"doorward-{device}-{moment:{_TIME}}.backup"
    files.write(path, sealed, secret=True)
    others = [old for _, old in backups_of(device, wanted.folder) if old != path]
    # The new one stays in any case: after a clock that went back it has the oldest name.
    for old in others[: max(0, len(others) - wanted.keep + 1)]:
        with files.storage_errors(old):
            old.unlink(missing_ok=True)
    return path


def backups_of(device: str, folder: Path) -> list[tuple[datetime.datetime, Path]]:
    """Returns the backups of this doorbell with their times, the oldest first."""
    found = []
    for name in files.names_in(folder):
        named = _NAME.fullmatch(name)
        if named is None or named[1] != device:
            continue
        try:
            moment = datetime.datetime.strptime(named[2], _TIME).replace(tzinfo=datetime.UTC)
        except ValueError:
            continue
        found.append((moment, folder / name))
    return sorted(found)
