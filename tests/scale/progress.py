"""Figures of a run while it runs, for a person who looks, and for a run that is cut: a line in each round.

`Audit` compares answers with the store as they are delivered. The check at the end (`Book.broken`) reads all again.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from agent.errors import StorageError
from tests.scale.promises import Book, Sent

__all__ = ["Audit", "Ending", "line", "say"]

_AT_ONCE = 40
"""Answers that one step of the audit reads."""


class Ending:
    """SIGTERM or Ctrl-C. The first one ends the faults, and the run says what it did so far. The second one ends the
    wait for quiet, too. Before `begin` there is nothing to say, so the first one ends the run."""

    def __init__(self) -> None:
        self._asked = 0
        self._begun = False

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ask())

    def begin(self) -> None:
        self._begun = True

    def ask(self) -> None:
        # No lock here: it runs between any two steps of the main thread.
        self._asked += 1
        if not self._begun:
            raise SystemExit("Ended before the first fault.")

    @property
    def asked(self) -> bool:
        return self._asked > 0

    @property
    def hurried(self) -> bool:
        return self._asked > 1


class Parts(Protocol):
    def pieces(self, disclosure: str, number: int) -> Iterator[bytes]: ...


class Audit:
    """`rows`: returns the numbers of rows and of entries of an answer."""

    def __init__(self, sent: Callable[[], Iterable[tuple[str, Sent]]], rows: Callable[[str], tuple[int, int]]) -> None:
        self._sent, self._rows = sent, rows
        self.whole: set[str] = set()
        self.lost: set[tuple[str, int]] = set()
        self.doubled: set[str] = set()

    @property
    def is_done(self) -> bool:
        """Whether all delivered answers were found whole and once. A worker that was killed between receipt and row
        writes the row when it is back."""
        return all(name in self.whole for name, each in self._sent() if each.state == "complete")

    def step(self, parts: Parts) -> None:
        """Reads some more of the delivered answers. Raises what a store or database raises that is away."""
        waiting = [(name, each) for name, each in self._sent() if each.state == "complete" and name not in self.whole]
        for name, each in waiting[:_AT_ONCE]:
            self._look(name, each, parts)

    def _look(self, name: str, sent: Sent, parts: Parts) -> None:
        for number, sha256 in enumerate(sent.sha256):
            digest = hashlib.sha256()
            try:
                for piece in parts.pieces(name, number):
                    digest.update(piece)
            except StorageError:
                digest.update(b"missing")
            (self.lost.discard if digest.hexdigest() == sha256 else self.lost.add)((name, number))
        rows = self._rows(name)
        (self.doubled.add if max(rows) > 1 else self.doubled.discard)(name)
        if rows == (1, 1) and not any(of == name for of, _ in self.lost):
            self.whole.add(name)


def line(book: Book, audit: Audit, now_s: float) -> str:
    """Returns what was asked, answered and heard so far."""
    published, sent = list(book.published), list(book.sent.values())
    lists = sum(each.startswith("list") for each in published)
    acknowledged = sum(len(each.acknowledged) for each in sent)
    return (
        f"{len(published) - lists} requests, bulletins and notices, {lists} lists, {len(sent)} answers, "
        f"{sum(each.state == 'complete' for each in sent)} delivered, {acknowledged} acknowledged parts. "
        f"{len(audit.whole)} answers read again, {len(audit.lost)} parts lost, {len(audit.doubled)} doubled. "
        f"{len(book.unheard(now_s))} unheard, before stalls that go on are excused."
    )


def say(words: str) -> None:
    """Writes a line to the real stderr: a command in another thread may have taken `sys.stderr` meanwhile."""
    out = sys.__stderr__
    assert out is not None
    print(f"{time.strftime('%H:%M:%S')} {words} Load {os.getloadavg()[0]:.1f}.", file=out, flush=True)
