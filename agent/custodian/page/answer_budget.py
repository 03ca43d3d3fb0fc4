"""Bounds the bytes of messages and answers that the page holds at a time, over all of its connections.

A browser that was let in may open many connections, send large messages, and read large answers one byte at a time.
Each call reserves room before it reads a body or computes an answer, and keeps it until the answer has left. One
session gets at most half of the room, so it cannot keep another session waiting. A message that is larger than that
goes alone.

Guests are browsers that were let in and have proven no owner's key. All of them together get half of the room, and one
of them less, so that another one can watch. An owner's large message waits for other owners only: a guest who sends a
message or reads an answer byte by byte cannot keep an approval out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from agent.errors import StorageError

__all__ = ["PIECE_BYTES", "ROOM_BYTES", "AnswerBudget", "Reservation", "answer_bytes"]

ROOM_BYTES: Final = 32 << 20
"""Limit on all messages and answers together: a fifth of the memory that a doorbell's custodian may have. A message
that is larger than what is free goes beside those of guests."""
_ANSWER_BYTES: Final = 2 << 20
"""Reserved for an answer before its size is known: a list of 10 000 segments, or 4 096 entries of the ledger."""
_LARGE_ANSWERS: Final = frozenset({"live", "segment", "sound", "request"})
_LARGE_BYTES: Final = 5 << 20
"""For a large answer: some GOPs, a segment of the best cameras. A session has three at a time. A larger answer counts
with its length when it is known."""
PIECE_BYTES: Final = 64 << 10
"""An answer leaves in pieces of this size, so that its room counts until a slow reader has taken nearly all of it."""
_PATIENCE_S: Final = 30.0


def answer_bytes(operation: str) -> int:
    """Returns what to reserve for the answer to this operation."""
    return _LARGE_BYTES if operation in _LARGE_ANSWERS else _ANSWER_BYTES


class AnswerBudget:
    """For the event loop's thread only."""

    def __init__(self, room_bytes: int = ROOM_BYTES, *, patience_s: float = _PATIENCE_S) -> None:
        self._room_bytes = room_bytes
        self._patience_s = patience_s
        self._changed = asyncio.Condition()
        self._held: Counter[str] = Counter()
        self._guests_bytes = 0
        """The part of it that guests hold."""

    @property
    def held_bytes(self) -> int:
        return self._held.total()

    @asynccontextmanager
    async def reserve(self, session: str, size_bytes: int, *, owner: bool) -> AsyncIterator[Reservation]:
        """Waits for room.  Raises `StorageError` if it takes too long.

        `owner`: the session has proven a present owner's key."""
        async with self._changed:
            try:
                # A caller that waits without end would keep its connection, and connections are bounded, too.
                async with asyncio.timeout(self._patience_s):
                    await self._changed.wait_for(lambda: self._fits(session, size_bytes, owner=owner))
            except TimeoutError:
                raise StorageError(
                    "The doorbell still sends this browser earlier answers.", remedy="Try again in a minute."
                ) from None
            self._held[session] += size_bytes
            self._guests_bytes += 0 if owner else size_bytes
        reservation = Reservation(self, session, size_bytes, owner=owner)
        try:
            yield reservation
        finally:
            # By the size of now: `resize` may have changed it.
            await self._change(session, -reservation.size_bytes, owner=owner)

    def _fits(self, session: str, size_bytes: int, *, owner: bool) -> bool:
        own_bytes, room_bytes = self._held[session], self._room_bytes
        after_bytes, guests_bytes = self.held_bytes + size_bytes, room_bytes // 2
        if not owner:
            is_within = self._guests_bytes + size_bytes <= guests_bytes
            is_within = is_within and (not own_bytes or own_bytes + size_bytes <= guests_bytes * 5 // 8)
            return not self.held_bytes or (is_within and after_bytes <= room_bytes)
        # A guest's answer that has turned out larger takes none of the owners' half.
        after_bytes -= max(0, self._guests_bytes - guests_bytes)
        if not own_bytes:
            # Alone of its session: it may take all the room, or more than that if no other owner holds any.
            return self.held_bytes == self._guests_bytes or after_bytes <= room_bytes
        return own_bytes + size_bytes <= room_bytes // 2 and after_bytes <= room_bytes

    async def _change(self, session: str, by_bytes: int, *, owner: bool) -> None:
        async with self._changed:
            self._held[session] += by_bytes
            self._guests_bytes += 0 if owner else by_bytes
            # Otherwise the counter would keep a row for each session that ever asked.
            if not self._held[session]:
                del self._held[session]
            self._changed.notify_all()


class Reservation:
    """The room of one call."""

    def __init__(self, budget: AnswerBudget, session: str, size_bytes: int, *, owner: bool) -> None:
        self._budget = budget
        self._session = session
        self._owner = owner
        self.size_bytes = size_bytes

    async def resize(self, size_bytes: int) -> None:
        """The answer is computed, so its size is known and counts, whether or not there is room for it."""
        by_bytes, self.size_bytes = size_bytes - self.size_bytes, size_bytes
        await self._budget._change(self._session, by_bytes, owner=self._owner)
