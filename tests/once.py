"""Lets one worker make what all tests of a run share, and the others read it (tests/parallel.py).

A fixture of the session is otherwise built once in each worker. For example, six workers would migrate six databases.
"""

from __future__ import annotations

import fcntl
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

__all__ = ["made_once", "value_made_once"]

T = TypeVar("T")
OF_THE_RUN: Final = "once"
"""Folder below the temporary folder of the run."""


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Returns a file or folder that the first caller of this run made: `make` writes it at the path it gets.

    No test may change it. If `make` fails, the next caller tries again.
    """
    folder = _folder_of_the_run(factory)
    made = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            work = folder / f"{name}.work"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(mode=0o700)
            make(work / name)
            (work / name).rename(made)
            shutil.rmtree(work)
    return made


def value_made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[], T]) -> T:
    """Returns a copy of a value that the first caller of this run made."""
    path = made_once(factory, name, lambda at: at.write_bytes(pickle.dumps(make())))
    value: Any = pickle.loads(path.read_bytes())
    return value  # type: ignore[no-any-return]


def _folder_of_the_run(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    # A worker's temporary folder is one below the run's, beside this one.
    folder = (base.parent if (base.parent / OF_THE_RUN).is_dir() else base) / OF_THE_RUN
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
