"""Damage that is always damage: a byte put in another's place is the same byte once in 256, and root reads any file."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path


def with_another_end(data: bytes) -> bytes:
    """The same bytes but for the last, which is surely another."""
    return data[:-1] + bytes([data[-1] ^ 1])


@contextlib.contextmanager
def unreadable(folder: Path) -> Iterator[None]:
    """Inside it, this thread may not look into the folder, not even as root."""
    of_files = ctypes.CDLL(None).setfsuid
    folder.chmod(0)
    of_files(65534)
    try:
        yield
    finally:
        of_files(os.geteuid())
        folder.chmod(0o700)
