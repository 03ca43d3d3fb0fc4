"""A ZIP file that is sent while it is made: one megabyte of it is in memory at a time, whatever its size."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Final

from agent.platform import files

__all__ = ["files_below", "zip_pieces"]

_READ_BYTES: Final = 1 << 20
_MODE: Final = 0o644 << 16


class _Sink:
    """The file that the ZIP writer writes to. It cannot seek, so each file is followed by its size and checksum."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """The pieces leave with `take`."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def files_below(folder: Path, top: str) -> list[tuple[str, Path]]:
    """Returns each file below `folder` with its name in the ZIP, which begins with `top`. Links are left out.

    Raises `StorageError` if a folder cannot be read.
    """
    found = [path for path in files.below(folder) if not path.is_symlink()]
    return [(f"{top}/{path.relative_to(folder).as_posix()}", path) for path in found]


def zip_pieces(entries: Iterable[tuple[str, Path]]) -> Generator[bytes, None, None]:
    """Yields the ZIP with those files."""
    sink = _Sink()
    # Stored, because films do not shrink. typeshed wants a file that can seek; the writer of the standard library needs
    # none.
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, path in entries:
            info = zipfile.ZipInfo(name, time.gmtime(path.stat().st_mtime)[:6])
            info.external_attr = _MODE
            # The width of the size fields is chosen before the size is known, and a film may have more than 2 GiB.
            with path.open("rb") as file, archive.open(info, "w", force_zip64=True) as out:
                while data := file.read(_READ_BYTES):
                    out.write(data)
                    yield sink.take()
            yield sink.take()
    yield sink.take()
