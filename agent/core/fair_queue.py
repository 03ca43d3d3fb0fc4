"""What many senders sent, taken out so that none of them keeps another waiting.

- Senders take turns.  Of one sender the newest comes first: whoever sends without end pushes out what they sent before,
  and nothing of anybody else's.
- The whole is bounded.  When it is full, the oldest goes of whoever has the most in it.

So somebody who sends a little is heard after one turn of all others, however much those send.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

T = TypeVar("T")


class FairQueue(Generic[T]):
    """`most_of_one`: items of one sender.  `size_bytes`: of all items together; one that is larger goes in alone."""

    def __init__(self, most_of_one: int, size_bytes: int) -> None:
        self._most_of_one = most_of_one
        self._size_bytes = size_bytes
        self._senders: OrderedDict[str, deque[tuple[T, int]]] = OrderedDict()
        """In the order of their turns; each with its items and their sizes, oldest first."""
        self._held: dict[str, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return sum(map(len, self._senders.values()))

    def put(self, sender: str, item: T, size_bytes: int) -> int:
        """Add one; how many had to go for it."""
        items = self._senders.setdefault(sender, deque())
        items.append((item, size_bytes))
        self._weigh(sender, size_bytes)
        dropped = 0
        if len(items) > self._most_of_one:
            self._drop_oldest(sender)
            dropped += 1
        while self._total > self._size_bytes and len(self) > 1:
            self._drop_oldest(max(self._held, key=self._held.__getitem__))
            dropped += 1
        return dropped

    def take(self) -> T | None:
        """The newest of whose turn it is."""
        if not self._senders:
            return None
        sender, items = self._senders.popitem(last=False)
        item, size_bytes = items.pop()
        if items:
            self._senders[sender] = items  # behind all others
        self._weigh(sender, -size_bytes)
        return item

    def _drop_oldest(self, sender: str) -> None:
        items = self._senders[sender]
        _, size_bytes = items.popleft()
        if not items:
            del self._senders[sender]
        self._weigh(sender, -size_bytes)

    def _weigh(self, sender: str, size_bytes: int) -> None:
        self._total += size_bytes
        self._held[sender] = self._held.get(sender, 0) + size_bytes
        if not self._held[sender]:
            del self._held[sender]
