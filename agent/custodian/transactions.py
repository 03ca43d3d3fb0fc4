"""Transactions of the custodian: one lock, one transaction, then the actions that follow.

    with decisions.one():           everything written to the journal inside is durable together, or did not happen
        decisions.after(act)        runs after the commit, outside the lock: harmless to repeat and to lose
        decisions.otherwise(undo)   runs after a failure: restores memory to the state of the disk

Network messages, owners' statements and timers decide on different threads, and all use this lock.  The outermost
`one()` counts.  An inner one is part of it.
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
        self.lock = threading.RLock()
        """Held during a transaction."""
        self._depth = 0
        self._after: list[Callable[[], None]] = []
        self._otherwise: list[Callable[[], None]] = []

    @contextmanager
    def one(self) -> Iterator[None]:
        """Opens one transaction.  If the block raises, nothing happened."""
        with self.lock:
            # Nested blocks share one SQLite transaction, and only the outermost may run what follows.
            self._depth += 1
            try:
                with self._journal.transaction():
                    yield
            # Also for an interrupt: memory would otherwise keep a state that the disk has rolled back.
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    _, undone = self._settled()
                    for undo in undone:
                        undo()
                raise
            self._depth -= 1
            # Taken while the lock is held, so that another thread's transaction does not run or lose them.
            acts, _ = ([], []) if self._depth else self._settled()
        # Outside of the lock: an act may delete many megabytes, and other threads must decide meanwhile.
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
