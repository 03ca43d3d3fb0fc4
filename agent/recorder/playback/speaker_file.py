"""A WAV file in place of a speaker, for trials and tests. It is continued at each opening, up to `_MOST_BYTES`."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

from agent.errors import DeviceError, InternalError
from agent.recorder.playback.sounds import RATE_HZ

__all__ = ["FileSpeaker"]

_HEAD: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MOST_BYTES: Final = 64 << 20
"""Eleven minutes. Later samples are dropped."""


class FileSpeaker:
    """Implements `ports.Speaker`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def open(self) -> None:
        try:
            self._file = self._path.open("r+b" if self._path.exists() else "w+b")
            self._file.seek(0, 2)
            if self._file.tell() < _HEAD.size:
                self._write_head(0)
        except OSError as error:
            raise DeviceError(f"The file '{self._path}' cannot be written.", remedy="Set speaker.path.") from error

    def play(self, samples: bytes) -> None:
        file = self._file
        if file is None:
            raise InternalError("A speaker was used before it was opened.")
        try:
            file.seek(0, 2)
            if file.tell() + len(samples) <= _MOST_BYTES:
                file.write(samples)
                self._write_head(file.tell() - _HEAD.size)
        except OSError as error:
            raise DeviceError(f"The file '{self._path}' cannot be written.", remedy="Is the disk full?") from error

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write_head(self, size: int) -> None:
        assert self._file is not None  # noqa: S101 — the callers looked
        self._file.seek(0)
        parts = (b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16, b"data", size)
        self._file.write(_HEAD.pack(*parts))
        self._file.flush()
