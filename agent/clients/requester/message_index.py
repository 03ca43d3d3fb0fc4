"""Index of messages: finds them at a cost independent of the number of messages in the folder.

    register/cases/<SHA-256 of the case>/<request>    requests of one case
    register/roots/<root>                              roots under which the requester has asked
    register/unsent/<message>                          messages that the broker may not have yet
    register/open/<last second>-<request>              requests that may still be answered

All are empty files, made durably before the message they name and removed after it. After a crash an entry may name a
missing message, which readers skip.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.platform import files
from agent.wire.messages import FootageRequest

__all__ = ["RequestRegister"]

_YEAR_S: Final = 366 * 86_400
"""Seconds after its last day during which an answer to a request is still accepted: a doorbell that was off sends it
later."""
_OPEN: Final = re.compile(r"([0-9]{12})-([0-9a-f]{32})")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")


class RequestRegister:
    """The index of a requester's `folder`. All methods raise `StorageError` if the disk fails."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "register"

    def add_request(self, request: FootageRequest) -> None:
        """Adds a request. Call it before the request is stored."""
        self._put(self._case(request.case) / request.id)
        self._put(self._path / "roots" / request.trust_root)
        self._put(self._path / "open" / f"{request.not_after_s + _YEAR_S:012}-{request.id}")
        self.add_unsent(request.id)

    def add_unsent(self, message_id: str) -> None:
        """Marks a message as unsent. Call it before a new message is stored under this id."""
        self._put(self._path / "unsent" / message_id)

    def sent(self, message_id: str) -> None:
        """Removes the mark. Call it after the broker has the message."""
        with files.storage_errors(self._path):
            (self._path / "unsent" / message_id).unlink(missing_ok=True)

    def unsent(self) -> Iterator[str]:
        """Yields ids of messages that the broker may not have, in any order."""
        return (name for name in self._names("unsent") if _ID.fullmatch(name))

    def in_case(self, case: str) -> Iterator[str]:
        """Yields requests of that case, in any order."""
        return (name for name in self._names(self._case(case)) if _ID.fullmatch(name))

    def roots(self) -> frozenset[str]:
        return frozenset(name for name in self._names("roots") if _KEY_ID.fullmatch(name))

    def open_requests(self, now_s: int) -> list[str]:
        """Returns requests that may still be answered, those with the longest time left first. Removes older ones."""
        found = sorted(
            (each for name in self._names("open") if (each := _OPEN.fullmatch(name))), key=lambda each: each[0]
        )
        for each in found:
            if int(each[1]) < now_s:
                with files.storage_errors(self._path):
                    (self._path / "open" / each[0]).unlink(missing_ok=True)
        return [each[2] for each in reversed(found) if int(each[1]) >= now_s]

    def _case(self, case: str) -> Path:
        return self._path / "cases" / hashlib.sha256(case.encode("utf-8")).hexdigest()

    def _names(self, below: str | Path) -> list[str]:
        folder = self._path / below
        with files.storage_errors(folder):
            return [each.name for each in folder.iterdir()] if folder.is_dir() else []

    def _put(self, path: Path) -> None:
        if not path.exists():
            files.make_folder(path.parent)
            with files.storage_errors(path):
                path.touch(mode=0o600)
                files.sync_folder(path.parent)  # the file is empty, so making its name durable is enough
