"""Folder of one disclosure, during and after its arrival.

origin.json       the device, and part 0 as its init described it: written before all other files
N.part            part N during its arrival; discarded after a restart
N.age             part N, whole: fsynced, read back, its hash compared, then renamed
request.dsse      the request that it answers, once part 0 was read
outcome.json      complete or refused, and the reason; durable before a receipt says so

With another store than the folder (`sealed_parts`), whole parts go there instead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, TypeVar

import msgspec

from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.sealed_parts import FolderParts, SealedParts, require_id
from agent.core.transfer import PartSize, TransferState
from agent.errors import FormatError, StorageError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.envelope import REQUEST_ENVELOPE_LIMIT_BYTES
from agent.wire.fields import KeyId, Sha256
from agent.wire.strictjson import Message

__all__ = ["AnswerFolder", "DisclosureOrigin", "ReceiveOutcome", "delete_folder"]

_NOTE_LIMIT_BYTES: Final = 4096
_READ_BYTES: Final = 1 << 20
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
    """One disclosure's folder below `disclosures/`. All methods raise `StorageError` if the disk fails.

    `parts`: where whole parts are, by default in the folder. Methods about parts also raise the errors of that store.
    """

    def __init__(self, folder: Path, disclosure: str, parts: SealedParts | None = None) -> None:
        self.disclosure = require_id(disclosure)
        self.path = folder / "disclosures" / disclosure
        self._parts = parts if parts is not None else FolderParts(folder / "disclosures")

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

    def sealed(self) -> frozenset[int]:
        """Returns the parts that are here and whole."""
        return self._parts.numbers(self.disclosure)

    def read_part(self, number: int, limit_bytes: int) -> bytes:
        """Returns a whole part. Raises `StorageError` if it is missing or larger."""
        data = bytearray()
        for piece in self.pieces_of(number):
            data += piece
            if len(data) > limit_bytes:
                raise StorageError(f"Part {number} of {self.disclosure} is larger than {limit_bytes} bytes.")
        return bytes(data)

    def pieces_of(self, number: int) -> Iterator[bytes]:
        """Yields the bytes of a whole part."""
        return self._parts.pieces(self.disclosure, number)

    def copy_part(self, number: int, target: Path) -> None:
        """Writes a whole part into a new file at `target`."""
        self._parts.copy(self.disclosure, number, target)

    def parts_bytes(self) -> int:
        """Returns the size of all whole parts."""
        return self._parts.size_bytes(self.disclosure)

    def size_bytes(self) -> int:
        """Returns the size of all that is stored of it: notes and parts."""
        with files.storage_errors(self.path):
            names = [path for path in self.path.iterdir() if files.is_file(path) and path.suffix != ".age"]
            return sum(path.stat().st_size for path in names) + self.parts_bytes()

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
        """Returns True and stores the part under its final name, durably, if the written bytes match. Otherwise
        deletes them."""
        path = self._unsealed(part)
        with files.storage_errors(path):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                same = _size_of(iter(lambda: file.read(_READ_BYTES), b"")) == size
            if not same:
                path.unlink()
        if same:
            self._parts.put(self.disclosure, part, path)
        return same

    def drop_unsealed(self) -> None:
        """Deletes incomplete parts, because the record of their received bytes is lost."""
        with files.storage_errors(self.path):
            for found in self.path.glob("*.part"):
                found.unlink()

    def remove(self) -> None:
        """Forgets a disclosure of which no receipt says that it is here."""
        self._parts.remove(self.disclosure)
        shutil.rmtree(self.path, ignore_errors=True)

    def delete(self) -> int:
        """Deletes all of it, parts first, and returns the number of files. It may be repeated.

        Raises `StorageError` or `NetworkError` if a file is left.
        """
        count = len(self.sealed())
        self._parts.remove(self.disclosure)
        return count + delete_folder(self.path)

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


def delete_folder(path: Path) -> int:
    """Deletes a folder and returns the number of its files. A missing folder has 0. Raises `StorageError`."""
    if not files.is_folder(path):
        return 0
    count = len(files.below(path))
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return count  # another process deletes it, too
    except OSError as error:
        raise StorageError(
            f"{path} could not be deleted ({error.strerror or error}).",
            remedy="Check its permissions, then delete again. No deletion was signed.",
        ) from error
    return count


def _size_of(pieces: Iterable[bytes]) -> PartSize:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return PartSize(size, digest.hexdigest())
