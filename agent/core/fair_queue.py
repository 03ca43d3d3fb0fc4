"""A queue of items from many senders, in which no sender delays another.

- Senders take turns. For each sender the newest item comes first, so a sender who floods replaces only earlier items of
  the same sender. Items about one subject come in the order in which they were added, because a later one says what
  holds now.
- The queue is bounded. If it is full, the oldest item of the sender with the most bytes is dropped.

So a sender with few items is served after one turn of all others, independent of their number of items.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Held(Generic[T]):
    item: T
    size_bytes: int
    subject: str | None


class FairQueue(Generic[T]):
    """`most_of_one`: items of one sender. `size_bytes`: of all items together; a larger item is stored alone."""

    def __init__(self, most_of_one: int, size_bytes: int) -> None:
        self._most_of_one = most_of_one
        self._size_bytes = size_bytes
        self._senders: OrderedDict[str, deque[_Held[T]]] = OrderedDict()
        """Senders in the order of their turns, each with items, oldest first."""
        self._held: dict[str, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return sum(map(len, self._senders.values()))

    def put(self, sender: str, item: T, size_bytes: int, subject: str | None = None) -> int:
        """Adds an item. Returns the number of items that were dropped for it. `subject`: of this sender's items. None
        if the item stands alone."""
        items = self._senders.setdefault(sender, deque())
        items.append(_Held(item, size_bytes, subject))
        self._weigh(sender, size_bytes)
        dropped = 0
        if len(items) > self._most_of_one:
            self._drop_oldest(sender)
            dropped += 1
        while self._total > self._size_bytes and len(self) > 1:
            # By bytes, not by number of items: a flood of one sender makes room from that sender's own share.
            self._drop_oldest(max(self._held, key=self._held.__getitem__))
            dropped += 1
        return dropped

    def take(self) -> T | None:
        """Returns the newest item of the next sender in turn, or the oldest one about the same subject."""
        if not self._senders:
            return None
        sender, items = self._senders.popitem(last=False)
        # A later item about the same subject says what holds now, so it must not overtake the earlier ones.
        held = _first_about(items[-1], items)
        items.remove(held)
        if items:
            self._senders[sender] = items  # behind all others
        self._weigh(sender, -held.size_bytes)
        return held.item

    def _drop_oldest(self, sender: str) -> None:
        items = self._senders[sender]
        held = items.popleft()
        if not items:
            del self._senders[sender]
        self._weigh(sender, -held.size_bytes)

    def _weigh(self, sender: str, size_bytes: int) -> None:
        self._total += size_bytes
        self._held[sender] = self._held.get(sender, 0) + size_bytes
        if not self._held[sender]:
            del self._held[sender]


def _first_about(newest: _Held[T], items: deque[_Held[T]]) -> _Held[T]:
    """Returns the oldest of a sender's items about the newest one's subject."""
    if newest.subject is None:
        return newest
    return next(each for each in items if each.subject == newest.subject)
