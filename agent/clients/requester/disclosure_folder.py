"""Folder of one disclosure, during and after its arrival.

origin.json       the device, and part 0 as its init described it: written before all other files
N.part            part N during its arrival; discarded after a restart
N.age             part N, whole: fsynced, read back, its hash compared, then renamed
request.dsse      the request that it answers, once part 0 was read
outcome.json      complete or refused, and the reason; durable before a receipt says so
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, TypeVar

import msgspec

from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.folder_index import is_id
from agent.core.transfer import PartSize, TransferState
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.envelope import REQUEST_ENVELOPE_LIMIT_BYTES
from agent.wire.fields import KeyId, Sha256
from agent.wire.strictjson import Message

__all__ = ["AnswerFolder", "DisclosureOrigin", "ReceiveOutcome", "answer_folders"]

_NOTE_LIMIT_BYTES: Final = 4096
_READ_BYTES: Final = 1 << 20
_SEALED: Final = re.compile(r"(0|[1-9][0-9]{0,5})\.age")


_Ms = Annotated[int, msgspec.Meta(ge=0)]


class DisclosureOrigin(Message, frozen=True):
    """Origin of a disclosure, as its first init stated it."""

    FILE: ClassVar[str] = "origin.json"

    v: Literal[1]
    device: KeyId
    parts: Annotated[int, msgspec.Meta(ge=1)]
    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    sha256: Sha256
    begun_ms: _Ms = 0
    """Time at which it came (UTC), 0 if it is unknown."""

    @property
    def manifest(self) -> PartSize:
        return PartSize(self.size_bytes, self.sha256)


class ReceiveOutcome(Message, frozen=True):
    """Outcome of a disclosure. `reason`: why it was refused, for the requester's staff."""

    FILE: ClassVar[str] = "outcome.json"

    v: Literal[1]
    state: Literal["complete", "refused"]
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    unopened: tuple[tuple[int, int], ...] = ()
    """First and last of the parts that arrived but do not open."""
    ended_ms: _Ms = 0
    grade: Grade | None = None
    """Grade of a complete answer. None for a tip and for a refused one."""
    from_ms: _Ms = 0
    to_ms: _Ms = 0


_Note = TypeVar("_Note", DisclosureOrigin, ReceiveOutcome)


class AnswerFolder:
    """One disclosure's folder below `disclosures/`. All methods raise `StorageError` if the disk fails."""

    def __init__(self, folder: Path, disclosure: str) -> None:
        if not is_id(disclosure):
            raise ConfigurationError(f"'{disclosure}' is not the id of a disclosure.", remedy="Give 32 hex digits.")
        self.disclosure = disclosure
        self.path = folder / "disclosures" / disclosure

    def create(self, origin: DisclosureOrigin) -> None:
        files.make_folder(self.path)
        files.write(self.path / DisclosureOrigin.FILE, strictjson.encode(origin))

    def origin(self) -> DisclosureOrigin | None:
        """Returns None if the disclosure is unknown, or before one of its files is durable."""
        return self._note(DisclosureOrigin)

    def outcome(self) -> ReceiveOutcome | None:
        """Returns None during the arrival."""
        return self._note(ReceiveOutcome)

    @property
    def state(self) -> TransferState:
        outcome = self.outcome()
        return TransferState(outcome.state) if outcome else TransferState.PARTIAL

    def end(
        self,
        state: TransferState,
        reason: str = "",
        unopened: tuple[tuple[int, int], ...] = (),
        ended_ms: int = 0,
        summary: AnswerSummary | None = None,
    ) -> None:
        """Makes the outcome durable, with the parts that do not open."""
        word: Literal["complete", "refused"] = "complete" if state is TransferState.COMPLETE else "refused"
        outcome = ReceiveOutcome(
            v=1,
            state=word,
            reason=reason[:500],
            unopened=unopened,
            ended_ms=ended_ms,
            grade=summary.grade if summary else None,
            from_ms=summary.from_ms if summary else 0,
            to_ms=summary.to_ms if summary else 0,
        )
        files.write(self.path / ReceiveOutcome.FILE, strictjson.encode(outcome))

    def adopt(self, request: bytes) -> None:
        """Stores the request that it answers."""
        files.write(self.path / "request.dsse", request)

    def request(self) -> bytes | None:
        """Returns the envelope of the request that it answers. None before part 0 was opened."""
        return files.read_if_there(self.path / "request.dsse", REQUEST_ENVELOPE_LIMIT_BYTES)

    def keep_receipt(self, data: bytes) -> None:
        """Stores the closing receipt. If it is signed again, the first one stays."""
        if self.receipt() is None:
            files.write(self.path / "receipt.dsse", data)

    def receipt(self) -> bytes | None:
        """Returns the envelope of the closing receipt. None if it is missing."""
        return files.read_if_there(self.path / "receipt.dsse", REQUEST_ENVELOPE_LIMIT_BYTES)

    # Parts

    def part(self, number: int) -> Path:
        return self.path / f"{number}.age"

    def sealed(self) -> frozenset[int]:
        """Returns the parts that are here and whole."""
        found = (_SEALED.fullmatch(name) for name in files.names_in(self.path))
        return frozenset(int(each[1]) for each in found if each)

    def write(self, part: int, offset: int, data: bytes) -> None:
        """Writes bytes of a part that is still incomplete."""
        path = self._unsealed(part)
        with files.storage_errors(path):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                view = memoryview(data)
                while view:
                    done = os.pwrite(handle, view, offset)
                    view, offset = view[done:], offset + done
            finally:
                os.close(handle)

    def seal(self, part: int, size: PartSize) -> bool:
        """Returns True and gives the part its final name, durably, if the written bytes match. Otherwise deletes
        them."""
        path = self._unsealed(part)
        with files.storage_errors(path):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                same = _size_of(iter(lambda: file.read(_READ_BYTES), b"")) == size
            if same:
                path.rename(self.part(part))
                files.sync_folder(self.path)
            else:
                path.unlink()
        return same

    def drop_unsealed(self) -> None:
        """Deletes incomplete parts, because the record of their received bytes is lost."""
        with files.storage_errors(self.path):
            for found in self.path.glob("*.part"):
                found.unlink()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _unsealed(self, part: int) -> Path:
        return self.path / f"{part}.part"

    def _note(self, kind: type[_Note]) -> _Note | None:
        path = self.path / kind.FILE
        data = files.read_if_there(path, _NOTE_LIMIT_BYTES)
        if data is None:
            return None
        try:
            return strictjson.decode(data, kind)
        except FormatError as error:
            raise StorageError(
                f"{path}: {error.message}", remedy="Move this folder away. The device sends it again."
            ) from error


def answer_folders(folder: Path) -> Iterator[AnswerFolder]:
    """Yields all disclosures of a requester, by id."""
    for name in files.names_in(folder / "disclosures"):
        if is_id(name):
            yield AnswerFolder(folder, name)


def _size_of(pieces: Iterable[bytes]) -> PartSize:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return PartSize(size, digest.hexdigest())
