"""Folder of one disclosure, during and after its arrival.

origin.json       the device, and part 0 as its init described it: written before all other files
N.part            part N during its arrival; discarded after a restart
N.age             part N, whole: fsynced, read back, its hash compared, then renamed
request.dsse      the request that it answers, once part 0 was read
time.json         proof of time from the owner, if a person added it (wire.time_proofs)
time-N.json       further ones, N from 2 on. A reader may trust others later, so none replaces another
outcome.json      complete or refused, and the reason; durable before a receipt says so

Whole parts may go to another store than the folder (`sealed_parts`), and the notes to a database (`notes`). A part that
is arriving is always a file of the receiver that assembles it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, TypeVar

import msgspec

from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.notes import FolderNotes, Notes, delete_folder
from agent.clients.requester.sealed_parts import FolderParts, SealedParts, require_id
from agent.core.transfer import PartSize
from agent.errors import FormatError, StorageError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.disclosures import ReceiptState
from agent.wire.envelope import REQUEST_ENVELOPE_LIMIT_BYTES
from agent.wire.fields import KeyId, Sha256
from agent.wire.strictjson import Message
from agent.wire.time_proofs import TIME_OPENING_LIMIT_BYTES, TimeOpening

__all__ = ["ANSWERS", "AnswerFolder", "DisclosureOrigin", "ReceiveOutcome"]

ANSWERS: Final = "disclosures"
"""Folder of the answers among the notes of a requester."""
_REQUEST: Final = "request.dsse"
_RECEIPT: Final = "receipt.dsse"
_TIMES: Final = ("time.json", *(f"time-{number}.json" for number in range(2, 9)))
"""A bound on what an owner's files may fill. One file holds up to four stamps and several cosignatures."""
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
    """First and last of the parts that arrived but fail to open."""
    ended_ms: _Ms = 0
    grade: Grade | None = None
    """Grade of a complete answer. None for a tip and for a refused one."""
    from_ms: _Ms = 0
    to_ms: _Ms = 0


_Note = TypeVar("_Note", DisclosureOrigin, ReceiveOutcome)


class AnswerFolder:
    """One disclosure's folder below `disclosures/`. All methods raise `StorageError` if the disk fails.

    `parts`, `notes`: where whole parts and notes are, by default in the folder. The methods also raise their errors.
    """

    def __init__(
        self, folder: Path, disclosure: str, parts: SealedParts | None = None, notes: Notes | None = None
    ) -> None:
        self.disclosure = require_id(disclosure)
        self.path = folder / ANSWERS / disclosure
        self._name = f"{ANSWERS}/{disclosure}"
        self._parts = parts if parts is not None else FolderParts(folder / ANSWERS)
        self._notes = notes if notes is not None else FolderNotes(folder)

    def create(self, origin: DisclosureOrigin) -> None:
        self._notes.make_folder(self._name)
        self._notes.write(self._at(DisclosureOrigin.FILE), strictjson.encode(origin))
        self.clear()

    def is_known(self) -> bool:
        """Returns False before `create`, and after this or another process has deleted it."""
        return self._notes.has_folder(self._name)

    def clear(self) -> None:
        """Gets this machine ready to assemble parts. Parts that it assembled before are incomplete: another receiver
        may have gone on since."""
        files.make_folder(self.path)
        self.drop_unsealed()

    def origin(self) -> DisclosureOrigin | None:
        """Returns None if the disclosure is unknown, or before one of its files is durable."""
        return self._note(DisclosureOrigin)

    def outcome(self) -> ReceiveOutcome | None:
        """Returns None during the arrival."""
        return self._note(ReceiveOutcome)

    @property
    def state(self) -> ReceiptState:
        outcome = self.outcome()
        return ReceiptState(outcome.state) if outcome else ReceiptState.PARTIAL

    def end(
        self,
        state: ReceiptState,
        reason: str = "",
        unopened: tuple[tuple[int, int], ...] = (),
        ended_ms: int = 0,
        summary: AnswerSummary | None = None,
    ) -> None:
        """Makes the outcome durable, with the parts that fail to open."""
        word: Literal["complete", "refused"] = "complete" if state is ReceiptState.COMPLETE else "refused"
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
        self._notes.write(self._at(ReceiveOutcome.FILE), strictjson.encode(outcome))

    def adopt(self, request: bytes) -> None:
        """Stores the request that it answers."""
        self._notes.write(self._at(_REQUEST), request)

    def request(self) -> bytes | None:
        """Returns the envelope of the request that it answers. None before part 0 was opened."""
        return self._notes.read(self._at(_REQUEST), REQUEST_ENVELOPE_LIMIT_BYTES)

    def keep_receipt(self, data: bytes) -> None:
        """Stores the closing receipt. If it is signed again, the first one stays."""
        if self.receipt() is None:
            self._notes.write(self._at(_RECEIPT), data)

    def time_openings(self) -> tuple[TimeOpening, ...]:
        """Returns the proofs of time from the owner, in the order in which they came.

        A damaged one is left out, because the answer stands without it.
        """
        found = []
        for name in _TIMES:
            data = self._notes.read(self._at(name), TIME_OPENING_LIMIT_BYTES)
            if data is None:
                break
            with contextlib.suppress(FormatError):
                found.append(strictjson.decode(data, TimeOpening, limit_bytes=TIME_OPENING_LIMIT_BYTES))
        return tuple(found)

    def add_time_opening(self, data: bytes) -> None:
        """Stores a proof of time that the owner gave, beside those that are here. Adding one again changes nothing.

        Raises `FormatError` if it is none, or if there are as many as an answer may have.
        """
        strictjson.decode(data, TimeOpening, limit_bytes=TIME_OPENING_LIMIT_BYTES)
        for name in _TIMES:
            kept = self._notes.read(self._at(name), TIME_OPENING_LIMIT_BYTES)
            if kept == data:
                return
            if kept is None:
                self._notes.write(self._at(name), data)
                return
        raise FormatError(f"This answer has {len(_TIMES)} files of confirmed times already.")

    def receipt(self) -> bytes | None:
        """Returns the envelope of the closing receipt. None if it is missing."""
        return self._notes.read(self._at(_RECEIPT), REQUEST_ENVELOPE_LIMIT_BYTES)

    def note(self, name: str) -> bytes | None:
        """Returns the bytes of the note of that name, for a copy or a hash."""
        return self._notes.read(self._at(name), REQUEST_ENVELOPE_LIMIT_BYTES)

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

    def other_bytes(self) -> int:
        """Returns the size of all that is stored of it besides whole parts. The store of parts is not asked."""
        with files.storage_errors(self.path):
            unsealed = sum((self.path / name).stat().st_size for name in self._unsealed_names())
        return self._notes.size_bytes(self._name) + unsealed

    def write(self, part: int, offset: int, data: bytes) -> None:
        """Writes bytes of a part that is still incomplete."""
        path = self._unsealed(part)
        with files.storage_errors(path):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                view = memoryview(data)
                while view:
                    # It may write less than all, for example on a disk that fills up.
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
                # Before it is read back, so that a disk which cannot keep the bytes says so now.
                os.fsync(file.fileno())
                same = _size_of(iter(lambda: file.read(_READ_BYTES), b"")) == size
            if not same:
                path.unlink()
        if same:
            self._parts.put(self.disclosure, part, path)
            if not self.is_known():
                self._parts.remove(self.disclosure)  # deleted meanwhile: no part may stay after it
                raise StorageError(f"{self.disclosure} was deleted while it arrived.")
        return same

    def drop_unsealed(self) -> None:
        """Deletes incomplete parts, because the record of their received bytes is lost."""
        with files.storage_errors(self.path):
            for name in self._unsealed_names():
                (self.path / name).unlink()

    def leave(self) -> None:
        """Removes what this machine has assembled, because another receiver may go on."""
        self.drop_unsealed()
        with contextlib.suppress(OSError):
            self.path.rmdir()  # unless it holds more

    def remove(self) -> None:
        """Forgets a disclosure of which no receipt says that it is here."""
        self._parts.remove(self.disclosure)
        self._notes.delete_folder(self._name)
        shutil.rmtree(self.path, ignore_errors=True)

    def delete(self) -> int:
        """Deletes all of it, parts first, and returns the number of files. It may be repeated.

        Raises `StorageError` or `NetworkError` if a file is left.
        """
        # Parts go first. After a kill between the two, the notes still show that something is left to delete.
        count = len(self.sealed())
        self._parts.remove(self.disclosure)
        count += self._notes.delete_folder(self._name) + delete_folder(self.path)
        self._parts.remove(self.disclosure)  # another receiver may have put one before the notes were gone (`seal`)
        return count

    def _unsealed_names(self) -> list[str]:
        return [name for name in files.names_in(self.path) if name.endswith(".part")]

    def _unsealed(self, part: int) -> Path:
        return self.path / f"{part}.part"

    def _at(self, name: str) -> str:
        return f"{self._name}/{name}"

    def _note(self, kind: type[_Note]) -> _Note | None:
        data = self._notes.read(self._at(kind.FILE), _NOTE_LIMIT_BYTES)
        if data is None:
            return None
        try:
            return strictjson.decode(data, kind)
        except FormatError as error:
            raise StorageError(
                f"{self._notes.place(self._at(kind.FILE))}: {error.message}",
                remedy="Move this folder away. The device sends it again.",
            ) from error


def _size_of(pieces: Iterable[bytes]) -> PartSize:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return PartSize(size, digest.hexdigest())
