"""Index of answers: state, size and times of each disclosure, at a cost independent of their number.

A program that shows answers reads it instead of the folder. Each change of an answer gets the next number, so a program
that was away asks for the changes after the last one it knows (`changed_since`). For example, a desk keeps that
`IndexPosition` in its database and follows up at start.

A deleted answer stays listed as such. Folders that a person has moved away or put back are noticed by `reconcile`.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from agent.clients.requester.checks import Grade
from agent.clients.requester.disclosure_folder import ANSWERS, AnswerFolder
from agent.clients.requester.folder_index import IndexConnection, IndexedTable, RequesterIndex, is_id
from agent.clients.requester.notes import FolderNotes, Notes
from agent.clients.requester.sealed_parts import SealedParts
from agent.errors import FormatError, StorageError
from agent.platform.sqlite_faults import MalformedDatabase
from agent.wire import envelope, strictjson
from agent.wire.disclosures import ReceiptState
from agent.wire.messages import FootageRequest
from agent.wire.topics import ANONYMOUS

__all__ = [
    "AnswerIndex",
    "AnswerState",
    "HeldDisclosure",
    "IndexPosition",
    "QuotaUsage",
    "ReceivedAnswer",
    "answer_table",
]

_SCHEMA: Final = """
CREATE TABLE answer (
  disclosure TEXT PRIMARY KEY,
  device TEXT NOT NULL, request TEXT NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL,
  size_bytes INTEGER NOT NULL, parts INTEGER NOT NULL,
  live INTEGER NOT NULL,
  begun_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,
  grade TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
  change INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_of_device ON answer (device, request) WHERE state <> 'deleted';
CREATE INDEX answer_to_request ON answer (request, disclosure);
CREATE INDEX answer_receiving ON answer (disclosure) WHERE state = 'receiving';
CREATE UNIQUE INDEX answer_change ON answer (change);
CREATE TABLE total (one INTEGER PRIMARY KEY CHECK (one = 1), answers INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  change INTEGER NOT NULL, made TEXT NOT NULL) STRICT;
INSERT INTO total VALUES (1, 0, 0, 0, '')
"""
_COLUMNS: Final = (
    "disclosure, device, request, state, reason, size_bytes, parts, live, begun_ms, ended_ms, grade, from_ms, to_ms, "
    "change"
)
_REPLACED: Final = ", ".join(f"{each} = excluded.{each}" for each in _COLUMNS.split(", ")[1:])
_MOST_PAGE: Final = 1000


class AnswerState(enum.Enum):
    """State of an answer. The value is for a database."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    QUARANTINED = "quarantined"
    """A check failed. Its files stay, sealed, and `reason` says which check."""
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ReceivedAnswer:
    """One answer. `request` is empty for a tip and until part 0 was read, `device` is "0000000000000000" for a tip.

    Times are UTC ms, 0 if unknown. `from_ms`, `to_ms`: the span of its footage. `grade`: None unless complete.
    `change`: number of its last change.
    """

    disclosure: str
    device: str
    request: str
    state: AnswerState
    reason: str = ""
    size_bytes: int = 0
    parts: int = 0
    live: bool = False
    begun_ms: int = 0
    ended_ms: int = 0
    grade: Grade | None = None
    from_ms: int = 0
    to_ms: int = 0
    change: int = 0


@dataclass(frozen=True, slots=True)
class HeldDisclosure:
    """The share of one disclosure in the disk. `request`: empty for a tip and until it is known.

    `size_bytes`, `parts`: what is stored, or the full announced amount while it is arriving (`live`).
    """

    device: str
    request: str
    size_bytes: int
    parts: int
    live: bool


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """The sum over several disclosures."""

    disclosures: int = 0
    size_bytes: int = 0
    parts: int = 0


@dataclass(frozen=True, slots=True)
class IndexPosition:
    """A place in the changes of one index. `made`: its name, new each time that it is made again from the folder."""

    made: str = ""
    change: int = 0


class AnswerIndex:
    """The answers of a requester. `folder` returns the place of one, see `AnswerFolder`, and raises its errors.

    All methods raise `StorageError` if the disk fails, and the errors of the index, of the notes and of the parts.
    """

    def __init__(self, index: RequesterIndex, notes: Notes, folder: Callable[[str], AnswerFolder]) -> None:
        self._index = index
        self._notes = notes
        self.folder = folder

    # One answer

    def get(self, disclosure: str) -> ReceivedAnswer | None:
        """Returns the answer, also if it was deleted. None if it is unknown."""
        return next(iter(self._select("WHERE disclosure = ?", disclosure)), None)

    def put(self, disclosure: str, holding: HeldDisclosure, now_ms: int = 0) -> None:
        """Stores the share of an answer that is arriving. `now_ms` counts only the first time."""

        def put(to: IndexConnection) -> None:
            known = _known(to, disclosure)
            begun_ms = now_ms if known is None or known.state is AnswerState.DELETED else known.begun_ms
            _store(to, _receiving(disclosure, holding, begun_ms))

        self._index.write(put)

    def ended(self, disclosure: str) -> None:
        """Stores the end of its arrival, from the files of the answer. From now on the stored size counts."""
        answer = self.folder(disclosure)
        # A store that is cut off answers after half a minute, and no other receiver writes during the transaction.
        parts = _parts_of(answer)
        # The notes are read inside, so that a deletion comes before or after both.
        self._index.write(lambda to: _store(to, _on_disk(answer, parts), disclosure))

    def remove(self, disclosure: str) -> None:
        """Forgets an answer after its time."""
        self._index.write(lambda to: _store(to, None, disclosure))

    def deleted(self, disclosure: str, now_ms: int) -> None:
        """Lists an answer as deleted. Call it after its files are gone."""

        def mark(to: IndexConnection) -> None:
            known = _known(to, disclosure)
            if known is not None:
                gone = ReceivedAnswer(disclosure, known.device, known.request, AnswerState.DELETED, ended_ms=now_ms)
                _store(to, gone)

        self._index.write(mark)

    # Several answers

    def to_request(self, request_id: str) -> list[ReceivedAnswer]:
        """Returns the answers to a request, except deleted ones."""
        return self._select("WHERE request = ? AND state <> 'deleted'", request_id)

    def beginning_with(self, beginning: str, limit: int = _MOST_PAGE) -> list[ReceivedAnswer]:
        """Returns answers with that beginning of their id, except deleted ones and tips, in order, at most `limit`."""
        return self._select(
            "WHERE disclosure >= ? AND disclosure < ? AND state <> 'deleted' AND device <> ? "
            "ORDER BY disclosure LIMIT ?",
            beginning,
            # Ids are hex digits, so "g" sorts behind each continuation.
            beginning + "g",
            ANONYMOUS,
            limit,
        )

    def receiving(self, *, live: bool = False) -> list[str]:
        """Returns the answers without an outcome. `live`: only those whose announced size counts: a receiver takes them
        now, or died while it did."""
        return [each.disclosure for each in self._select("WHERE state = 'receiving'") if each.live or not live]

    def tips(self) -> list[str]:
        """Returns the tips that have arrived completely."""
        return [
            each.disclosure
            for each in self._select("WHERE device = ? AND state <> 'deleted'", ANONYMOUS)
            if each.state is AnswerState.COMPLETE
        ]

    def old_tips(self, refused_before_ms: int, begun_before_ms: int) -> list[str]:
        """Returns the tips that were refused before the first time, and all others that began before the second one
        (UTC ms): also those that never became whole."""
        found = self._select(
            "WHERE device = ? AND ((state = 'quarantined' AND ended_ms < ?) "
            "OR (state IN ('receiving', 'complete') AND begun_ms < ?))",
            ANONYMOUS,
            refused_before_ms,
            begun_before_ms,
        )
        return [each.disclosure for each in found]

    def changed_since(self, change: int, limit: int = _MOST_PAGE) -> list[ReceivedAnswer]:
        """Returns answers that changed after that number, in the order of their changes. Begin with 0.

        An index that was rebuilt counts again from 1 and lists all answers. Deleted ones are then missing.
        """
        return self._select("WHERE change > ? ORDER BY change LIMIT ?", change, limit)

    def position(self) -> IndexPosition:
        """Returns the place after the last change."""
        row = self._index.read(lambda of: of.execute("SELECT made, change FROM total").fetchone())
        return IndexPosition(row[0], row[1])

    # Room

    def live(self, device: str, request: str) -> tuple[str, ...]:
        """Returns the doorbell's answers to this request that are still arriving."""
        found = self._select("WHERE device = ? AND request = ? AND state <> 'deleted' AND live = 1", device, request)
        return tuple(each.disclosure for each in found)

    def of(self, device: str, request: str, but: str = "") -> QuotaUsage:
        """Returns the usage of this doorbell for this request, except the disclosure `but`."""
        return self._sum("device = ? AND request = ?", device, request, but)

    def of_door(self, device: str, but: str = "") -> QuotaUsage:
        return self._sum("device = ?", device, but)

    def total(self, but: str = "") -> QuotaUsage:
        """Returns the usage of all answers, without their parts."""
        row = self._index.read(lambda of: of.execute("SELECT answers, size_bytes FROM total").fetchone())
        known = self.get(but) if but else None
        if known is None or known.state is AnswerState.DELETED:
            return QuotaUsage(row[0], row[1])
        return QuotaUsage(row[0] - 1, row[1] - known.size_bytes)

    def __len__(self) -> int:
        return self.total().disclosures

    def reconcile(self, device: str | None = None) -> frozenset[str]:
        """Compares the list with the folder: people may move answers away or put them back.

        With `device`, only looks if that doorbell's answers are still there. Otherwise reads all names, and the files
        of answers that are new. An arriving answer keeps its announced size. A missing one is listed as deleted.
        Returns the folders that cannot be listed, because their notes are damaged or missing.
        """
        if not self._notes.movable:
            return frozenset()
        if device is not None:
            for each in self._select("WHERE device = ? AND state <> 'deleted'", device):
                if self.folder(each.disclosure).origin() is None:
                    self.deleted(each.disclosure, 0)
            return frozenset()
        listed = self._index.read(
            lambda of: {row[0] for row in of.execute("SELECT disclosure FROM answer WHERE state <> 'deleted'")}
        )
        there = _names(self._notes)
        for gone in listed - there:
            self.deleted(gone, 0)
        for new in there - listed:
            self.ended(new)
        return frozenset(new for new in there - listed if self.get(new) is None)

    def _select(self, clause: str, *values: object) -> list[ReceivedAnswer]:
        query = f"SELECT {_COLUMNS} FROM answer {clause}"  # noqa: S608 (constants)
        return self._index.read(lambda of: [_answer(row) for row in of.execute(query, values)])

    def _sum(self, clause: str, *values: object) -> QuotaUsage:
        query = (
            "SELECT count(*), coalesce(sum(size_bytes), 0), coalesce(sum(parts), 0) FROM answer "  # noqa: S608 (constants)
            f"WHERE {clause} AND disclosure <> ? AND state <> 'deleted'"
        )
        return QuotaUsage(*map(int, self._index.read(lambda of: of.execute(query, values).fetchone())))


def _names(notes: Notes) -> set[str]:
    return {name for name in notes.names(ANSWERS) if is_id(name)}


def _known(connection: IndexConnection, disclosure: str) -> ReceivedAnswer | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM answer WHERE disclosure = ?", (disclosure,)).fetchone()  # noqa: S608
    return None if row is None else _answer(row)


def _store(connection: IndexConnection, answer: ReceivedAnswer | None, disclosure: str = "") -> None:
    """Puts the answer in place of what was known, or removes it if None, and keeps the totals right."""
    name = answer.disclosure if answer is not None else disclosure
    before = _known(connection, name)
    connection.execute(
        "UPDATE total SET answers = answers + ?, size_bytes = size_bytes + ?, change = change + 1",
        (_counted(answer) - _counted(before), _bytes(answer) - _bytes(before)),
    )
    if answer is None:
        connection.execute("DELETE FROM answer WHERE disclosure = ?", (name,))
        return
    (change,) = connection.execute("SELECT change FROM total").fetchone()
    grade = answer.grade.value if answer.grade is not None else ""
    connection.execute(
        f"INSERT INTO answer ({_COLUMNS}) VALUES ({','.join('?' * 14)}) "  # noqa: S608 (constants)
        f"ON CONFLICT (disclosure) DO UPDATE SET {_REPLACED}",
        (
            *(answer.disclosure, answer.device, answer.request, answer.state.value, answer.reason),
            *(answer.size_bytes, answer.parts, int(answer.live), answer.begun_ms, answer.ended_ms),
            *(grade, answer.from_ms, answer.to_ms, change),
        ),
    )


def _counted(answer: ReceivedAnswer | None) -> int:
    return int(answer is not None and answer.state is not AnswerState.DELETED)


def _bytes(answer: ReceivedAnswer | None) -> int:
    """Returns the size of an answer. A deleted one has none."""
    return answer.size_bytes if answer is not None else 0


def _receiving(disclosure: str, holding: HeldDisclosure, begun_ms: int) -> ReceivedAnswer:
    return ReceivedAnswer(
        disclosure,
        holding.device,
        holding.request,
        AnswerState.RECEIVING,
        size_bytes=holding.size_bytes,
        parts=holding.parts,
        live=holding.live,
        begun_ms=begun_ms,
    )


def _answer(row: tuple[Any, ...]) -> ReceivedAnswer:
    disclosure, device, request, state, reason, size_bytes, parts, live, begun_ms, ended_ms, grade, *rest = row
    try:
        return ReceivedAnswer(
            *(disclosure, device, request, AnswerState(state), reason, size_bytes, parts, bool(live)),
            *(begun_ms, ended_ms, Grade(grade) if grade else None, *rest),
        )
    except (ValueError, TypeError) as error:
        raise MalformedDatabase("a row of the wrong types") from error


_STATES: Final = {
    ReceiptState.PARTIAL: AnswerState.RECEIVING,
    ReceiptState.COMPLETE: AnswerState.COMPLETE,
    ReceiptState.REFUSED: AnswerState.QUARANTINED,
}


def _parts_of(answer: AnswerFolder) -> tuple[int, int] | None:
    """Returns the number of the whole parts, and their size. None if they cannot be read."""
    try:
        return len(answer.sealed()), answer.parts_bytes()
    except StorageError:
        return None


def _on_disk(answer: AnswerFolder, whole_parts: tuple[int, int] | None) -> ReceivedAnswer | None:
    """Returns an answer by its files. None without an origin: the next start removes such a folder."""
    if whole_parts is None:
        return None  # the damage is reported to the reader of the disclosure
    parts, parts_bytes = whole_parts
    try:
        origin, outcome, data = answer.origin(), answer.outcome(), answer.request()
        if origin is None:
            return None
        request = "" if data is None else _request_id(data)
        size_bytes = answer.other_bytes() + parts_bytes
    except StorageError:
        return None  # likewise
    known = ReceivedAnswer(
        answer.disclosure,
        origin.device,
        request,
        AnswerState.RECEIVING,
        size_bytes=size_bytes,
        parts=parts,
        begun_ms=origin.begun_ms,
    )
    if outcome is None:
        return known
    return replace(
        known,
        state=_STATES[ReceiptState(outcome.state)],
        reason=outcome.reason,
        ended_ms=outcome.ended_ms,
        grade=outcome.grade,
        from_ms=outcome.from_ms,
        to_ms=outcome.to_ms,
    )


def _request_id(data: bytes) -> str:
    """Returns the id of the request of which `data` is a copy. Its signature is verified when it is used."""
    try:
        return strictjson.decode(envelope.read_unverified(data).payload, FootageRequest).id
    except FormatError:
        return ""


def answer_table(parts: SealedParts) -> IndexedTable:
    """Returns the table of answers with these parts."""

    def fill(folder: Path, connection: IndexConnection) -> None:
        connection.execute("UPDATE total SET made = ?", (secrets.token_hex(8),))
        for name in sorted(_names(FolderNotes(folder))):
            answer = AnswerFolder(folder, name, parts)
            found = _on_disk(answer, _parts_of(answer))
            if found is not None:
                _store(connection, found)

    return _SCHEMA, fill
