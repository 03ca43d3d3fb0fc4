"""Index of messages: finds requests and bulletins at a cost independent of the number of messages in the folder.

A row is durable before the message that it names. After a crash a row may name a missing message, which readers skip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.clients.requester.folder_index import IndexConnection, IndexedTable, RequesterIndex, is_id
from agent.core.disclosure import reply_tag
from agent.errors import FormatError, StorageError
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.messages import FootageRequest

__all__ = ["MARK_LIMIT_BYTES", "MESSAGE_TABLE", "RequestRegister"]

MARK_LIMIT_BYTES: Final = 65_536
"""Largest mark of a publication, which names brokers."""
_YEAR_S: Final = 366 * 86_400
"""Seconds after its last day during which an answer to a request is still accepted: a doorbell that was off sends it
later."""
_UNREADABLE_UNTIL_S: Final = 1 << 40
"""End of a request that cannot be read: it stays listed, so that its damage is reported."""

_SCHEMA: Final = """
CREATE TABLE message (
  id TEXT PRIMARY KEY,
  request INTEGER NOT NULL,  -- 0: a bulletin
  in_case TEXT NOT NULL,  -- SHA-256 of the case, so that the index tells less than the folder
  root TEXT NOT NULL,
  reply TEXT NOT NULL,  -- the tag of its reply key, empty if the request cannot be read
  until_s INTEGER NOT NULL,  -- the last second in which an answer is accepted
  unsent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX message_of_case ON message (in_case) WHERE request = 1;
CREATE INDEX message_root ON message (root) WHERE request = 1;
CREATE INDEX message_reply ON message (reply) WHERE request = 1;
CREATE INDEX message_unsent ON message (id) WHERE unsent = 1
"""


class RequestRegister:
    """The messages of a requester. All methods raise `StorageError` if the disk fails."""

    def __init__(self, index: RequesterIndex) -> None:
        self._index = index

    def add_request(self, request: FootageRequest) -> None:
        """Adds a request. Call it before the request is stored."""
        row = _row(request)
        self._index.write(
            lambda to: to.execute(
                "INSERT INTO message VALUES (?, 1, ?, ?, ?, ?, 1) ON CONFLICT (id) DO UPDATE SET unsent = 1", row
            )
        )

    def add_unsent(self, message_id: str) -> None:
        """Marks a message as unsent. Call it before a new message is stored under this id."""
        self._index.write(
            lambda to: to.execute(
                "INSERT INTO message VALUES (?, 0, '', '', '', 0, 1) ON CONFLICT (id) DO UPDATE SET unsent = 1",
                (message_id,),
            )
        )

    def sent(self, message_id: str) -> None:
        """Removes the mark. Call it after the broker has the message."""
        self._index.write(lambda to: to.execute("UPDATE message SET unsent = 0 WHERE id = ?", (message_id,)))

    def is_unsent(self, message_id: str) -> bool:
        return bool(self._ids("SELECT id FROM message WHERE id = ? AND unsent = 1", message_id))

    def unsent(self) -> list[str]:
        """Returns ids of messages that the broker may not have, in any order."""
        return self._ids("SELECT id FROM message WHERE unsent = 1")

    def in_case(self, case: str) -> list[str]:
        """Returns requests of that case, in any order."""
        return self._ids("SELECT id FROM message WHERE request = 1 AND in_case = ?", _hash(case))

    def beginning_with(self, beginning: str) -> list[str]:
        """Returns requests with that beginning of their id, in order."""
        query = "SELECT id FROM message WHERE request = 1 AND id >= ? AND id < ? ORDER BY id"
        return self._ids(query, beginning, beginning + "g")

    def roots(self) -> frozenset[str]:
        # Steps from root to root: DISTINCT would read each row of the index.
        steps = (
            "WITH RECURSIVE step (root) AS (SELECT min(root) FROM message WHERE request = 1 UNION ALL "
            "SELECT (SELECT min(root) FROM message WHERE request = 1 AND root > step.root) FROM step "
            "WHERE step.root IS NOT NULL) SELECT root FROM step WHERE root <> ''"
        )
        return frozenset(self._index.read(lambda of: [row[0] for row in of.execute(steps)]))

    def with_reply_key(self, tag: str, now_s: int) -> list[str]:
        """Returns the request with that reply key if it may still be answered, and requests that cannot be read."""
        # A request that could not be read has an empty reply, so it comes last.
        query = "SELECT id FROM message WHERE request = 1 AND reply IN (?, '') AND until_s >= ? ORDER BY reply DESC"
        return self._ids(query, tag, now_s)

    def _ids(self, query: str, *values: object) -> list[str]:
        return self._index.read(lambda of: [row[0] for row in of.execute(query, values)])


def _row(request: FootageRequest) -> tuple[str, str, str, str, int]:
    tag = reply_tag(request.reply)
    return request.id, _hash(request.case), request.trust_root, tag, request.not_after_s + _YEAR_S


def _hash(case: str) -> str:
    return hashlib.sha256(case.encode("utf-8")).hexdigest()


def _fill(folder: Path, connection: IndexConnection) -> None:
    for path in _message_folders(folder / "requests"):
        newest = next((name for name in ("deletion", "withdrawal") if files.is_file(path / f"{name}.dsse")), "request")
        unsent = _is_lacking(path / f"{newest}.published")
        row = _row_of_file(path / "request.dsse")
        connection.execute("INSERT INTO message VALUES (?, 1, ?, ?, ?, ?, ?)", (path.name, *row, int(unsent)))
    for path in _message_folders(folder / "bulletins"):
        unsent = _is_lacking(path / "bulletin.published")
        connection.execute("INSERT INTO message VALUES (?, 0, '', '', '', 0, ?)", (path.name, int(unsent)))


def _is_lacking(mark: Path) -> bool:
    """Returns True if a broker lacks a message with this mark of its publication."""
    try:
        return files.read_if_there(mark, MARK_LIMIT_BYTES) != b""
    except StorageError:
        return True  # it is published once more at most


def _message_folders(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in files.names_in(folder) if is_id(name))


def _row_of_file(path: Path) -> tuple[str, str, str, int]:
    """Returns case, root, reply key and end of a request. Its signature is verified when it is used."""
    try:
        data = files.read(path, envelope.REQUEST_ENVELOPE_LIMIT_BYTES)
        return _row(strictjson.decode(envelope.read_unverified(data).payload, FootageRequest))[1:]
    except (FormatError, StorageError):
        return "", "", "", _UNREADABLE_UNTIL_S


MESSAGE_TABLE: Final[IndexedTable] = (_SCHEMA, _fill)
