"""Faults at random: a broker, its digest service, a worker, the store or the database is killed, or a shard's
network is cut. Each comes back after some seconds, as systemd or an operator brings it back.

Cuts need a network namespace of this run (`run`), so that the rules of nftables touch nothing else.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.scale.desk_side import DeskSide, Worker
from tests.scale.promises import Book
from tests.scale.shards import Shard

__all__ = ["Killer"]

_AWAY_S = (0.2, 8.0)
_CUT_S = (5.0, 25.0)
_TABLE = "inet doorward_scale"


class Killer:
    """One fault at a time by `act`. `cuts`: whether networks may be cut here."""

    def __init__(self, seed: int, book: Book, shards: Sequence[Shard], desk: DeskSide, *, cuts: bool) -> None:
        self._random, self._book, self._shards, self._desk = random.Random(seed), book, shards, desk
        self.done: Counter[str] = Counter()
        self.restarted = 0
        """Workers that ended alone, and that a manager started again."""
        self._kinds: list[tuple[str, Callable[[], None]]] = [
            ("broker", self._broker),
            ("digest", self._digest),
            ("worker", self._worker),
            ("store", self._store),
            ("database", self._database),
        ]
        if cuts:
            _nft("add table", "")
            _nft("add chain", "out { type filter hook output priority 0 ; }")
            self._kinds.append(("cut", self._cut))

    def run(self, until_s: float, pause_s: tuple[float, float], stop: threading.Event) -> None:
        """Acts until that time, each kind in turn of a shuffled round."""
        while time.monotonic() < until_s and not stop.is_set():
            for name, act in self._random.sample(self._kinds, len(self._kinds)):
                if stop.wait(self._random.uniform(*pause_s)) or time.monotonic() >= until_s:
                    return
                act()
                self.done[name] += 1

    def tend(self) -> None:
        """Starts workers again that ended, as a manager does."""
        for worker in self._desk.workers:
            if worker.ended():
                self.restarted += 1
                worker.start()

    def _broker(self) -> None:
        shard = self._random.choice(self._shards)
        outage = self._book.outages[shard.number]
        outage.begin(time.monotonic())
        shard.kill()
        self._away(_AWAY_S)
        shard.start()
        outage.end(time.monotonic())

    def _digest(self) -> None:
        shard = self._random.choice(self._shards)
        shard.kill_digest()
        self._away(_AWAY_S)
        shard.start_digest()

    def _worker(self) -> None:
        worker: Worker = self._random.choice(self._desk.workers)
        worker.kill()
        self._away(_AWAY_S)
        worker.start()

    def _store(self) -> None:
        self._desk.store.kill()
        self._away(_AWAY_S)
        self._desk.store.start()

    def _database(self) -> None:
        self._desk.postgres.kill()
        self._away(_AWAY_S)
        self._desk.postgres.start()

    def _cut(self) -> None:
        shard = self._random.choice(self._shards)
        outage = self._book.outages[shard.number]
        outage.begin(time.monotonic())
        for side in ("saddr", "daddr"):
            _nft("add rule", f"out ip {side} {shard.host} drop")
        self._away(_CUT_S)
        _nft("flush chain", "out")
        outage.end(time.monotonic())

    def _away(self, between_s: tuple[float, float]) -> None:
        time.sleep(self._random.uniform(*between_s))


def _nft(verb: str, words: str) -> None:
    subprocess.run(["nft", f"{verb} {_TABLE} {words}".strip()], check=True, capture_output=True)
