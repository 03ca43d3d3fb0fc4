"""A queue of items from many senders, in which no sender delays another.

- Senders take turns. For each sender the newest item comes first, so a sender who floods replaces only earlier items of
  the same sender. If a later item says what holds now, items come in the order in which they were added.
- The queue is bounded. If it is full, the oldest item of the sender with the most bytes is dropped.

So a sender with few items is served after one turn of all others, independent of their number of items.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

T = TypeVar("T")


class FairQueue(Generic[T]):
    """`most_of_one`: items of one sender. `size_bytes`: of all items together; a larger item is stored alone.
    `in_order`: the oldest item of a sender comes first."""

    def __init__(self, most_of_one: int, size_bytes: int, *, in_order: bool = False) -> None:
        self._most_of_one = most_of_one
        self._size_bytes = size_bytes
        self._in_order = in_order
        self._senders: OrderedDict[str, deque[tuple[T, int]]] = OrderedDict()
        """Senders in the order of their turns, each with items and sizes, oldest first."""
        self._held: dict[str, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return sum(map(len, self._senders.values()))

    def put(self, sender: str, item: T, size_bytes: int) -> int:
        """Adds an item. Returns the number of items that were dropped for it."""
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
        """Returns an item of the next sender in turn: the newest, or the oldest if the queue is in order."""
        if not self._senders:
            return None
        sender, items = self._senders.popitem(last=False)
        item, size_bytes = items.popleft() if self._in_order else items.pop()
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
