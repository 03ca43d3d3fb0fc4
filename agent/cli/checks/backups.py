"""Does this doorbell make backups of itself, and somewhere else than on its own card?"""

from __future__ import annotations

import datetime
from pathlib import Path

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.cli.own_backups import backups_of
from agent.config.settings import BackupConfig
from agent.custodian.state_folder import StateFolder
from agent.wire.identities import public_key_of

__all__ = ["check_backups"]

_OLD_DAYS = 3


def check_backups(backup: BackupConfig, state: StateFolder, now: datetime.datetime) -> Finding:
    """Looks for the newest backup of this doorbell in its folder. `now`: UTC."""
    if not backup.folder.is_dir():
        remedy = "Mount the stick or the share, or change backup.folder."
        return bad("backups", f"{backup.folder} is not there, so no backup is made.", remedy)
    if _on_one_disk(backup.folder, state.root):
        remedy = "Mount a stick or a share there: a dead card takes its backups along."
        return poor("backups", f"{backup.folder} is on the doorbell's own card.", remedy)
    made = backups_of(public_key_of(state.device_key()).id, backup.folder)
    if not made:
        return poor("backups", f"There is none in {backup.folder} yet.", "To make one now:  sudo doorward backup")
    newest = made[-1][0]
    days = (now - newest).days
    if days >= _OLD_DAYS:
        remedy = "To see why:  systemctl status doorward-backup"
        return poor("backups", f"The newest in {backup.folder} is {days} days old.", remedy)
    return fine("backups", f"The newest of {len(made)} in {backup.folder} is of {newest:%Y-%m-%d %H:%M} UTC.")


def _on_one_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev
