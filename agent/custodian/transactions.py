"""Lets the custodian decide one thing at a time: one lock, one transaction, then what follows from it.

    with decisions.one():           everything the journal is told inside is durable together, or did not happen
        decisions.after(act)        done once it is durable, outside the lock: harmless to repeat and to lose
        decisions.otherwise(undo)   done when it failed: memory says again what the disk says

Messages from the network, statements of owners and the passing of time come from different threads and all decide here.
The outermost `one()` counts; an inner one is part of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.ports import Journal

__all__ = ["Transactions"]


class Transactions:
    """The custodian's one lock.  Lock order: this, then the journal's, then the vault's."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.RLock()
        self._depth = 0
        self._after: list[Callable[[], None]] = []
        self._otherwise: list[Callable[[], None]] = []

    @contextmanager
    def one(self) -> Iterator[None]:
        """One decision.  If it raises, nothing happened."""
        with self._lock:
            self._depth += 1
            try:
                with self._journal.transaction():
                    yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    _, undone = self._settled()
                    for undo in undone:
                        undo()
                raise
            self._depth -= 1
            acts, _ = ([], []) if self._depth else self._settled()
        for act in acts:
            act()

    def after(self, act: Callable[[], None]) -> None:
        self._after.append(act)

    def otherwise(self, undo: Callable[[], None]) -> None:
        self._otherwise.append(undo)

    def _settled(self) -> tuple[list[Callable[[], None]], list[Callable[[], None]]]:
        settled = self._after, self._otherwise
        self._after, self._otherwise = [], []
        return settled
