"""Is the system read-only, as on a card with two slots, and does Doorward keep its changes?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.cli.checks.finding import Finding, bad, fine

__all__ = ["check_read_only", "is_read_only"]

_SUBJECT = "system"
_SYSTEM = Path("/usr")
OURS = (Path("/opt/doorward"), Path("/etc/doorward"))
"""Folders of an installation, besides its state: versions and settings."""


def is_read_only(folder: Path) -> bool:
    """Returns whether the file system at `folder` is mounted for reading only."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def check_read_only(state_dir: Path, is_read_only: Callable[[Path], bool] = is_read_only) -> Iterator[Finding]:
    """Yields a finding on a system that is read-only. A folder of ours that is read-only, too, loses each change."""
    if not is_read_only(_SYSTEM):
        return
    folders: Sequence[Path] = (*OURS, state_dir)
    closed = [folder for folder in folders if folder.exists() and is_read_only(folder)]
    if closed:
        yield bad(
            _SUBJECT,
            f"The system is read-only, and {closed[0]} is, too: Doorward keeps no change there.",
            "Look at:  systemctl status doorward-persistent",
        )
    else:
        yield fine(
            _SUBJECT,
            "The system is read-only. Versions, settings and footage of Doorward are on a partition for writing.",
        )
