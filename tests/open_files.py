"""The files of this process that are open in a folder, and the folder itself.

A count of all open files also counts what earlier tests left to the garbage collector, and what other threads open.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["open_below"]


def open_below(folder: Path) -> list[str]:
    found = []
    for each in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # closed meanwhile: the folder's own descriptor, or one of another thread
            found.append(str(each.readlink()))
    return sorted(path for path in found if f"{path}/".startswith(f"{folder.resolve()}/"))
