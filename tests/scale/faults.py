"""Faults at random, several at once: servers are killed, and networks are cut. Each comes back after some seconds, as
systemd or an operator brings it back.

Killed: a broker, its digest service, a worker, the database's primary, each process of the store, and some whole
agents. Workers are also upgraded, one after another: each ends in order, and a new process takes its place. The primary
comes back, or its standby is promoted, and sometimes the old primary then comes back as one by mistake. Cut: a shard
from all, a worker from the store, and a worker from the database. Cuts need a network namespace
of this run (`run`), so that the rules of nftables touch nothing else.
"""

from __future__ import annotations

import math
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.scale.database import database_addresses
from tests.scale.desk_side import DeskSide, Worker
from tests.scale.promises import Book
from tests.scale.shards import Shard
from tests.scale.store import Program, store_address
from tests.scale.whole_agents import WholeAgent

__all__ = ["Fault", "Killer"]

_AWAY_S = (0.2, 8.0)
_CUT_S = (5.0, 25.0)
_STOP_S = 60.0
"""systemd then kills the service (TimeoutStopSec in desk/systemd)."""
_TABLE = "inet doorward_scale"


@dataclass(slots=True, eq=False)
class Fault:
    """One thing that can fail, and never twice at once. `act` breaks it, waits, and brings it back. `place`: which one.

    `tend` starts it again if it ended alone, and returns whether it did. `may_fail` says if it may break now.
    """

    kind: str
    place: str
    act: Callable[[], None]
    tend: Callable[[], bool] = lambda: False
    may_fail: Callable[[], bool] = lambda: True
    busy: threading.Lock = field(default_factory=threading.Lock)


class Killer:
    """`at_once`: how many faults may overlap. `cuts`: whether networks may be cut here."""

    def __init__(
        self, seed: int, book: Book, shards: Sequence[Shard], desk: DeskSide, agents: Sequence[WholeAgent] = (), *,
        at_once: int, cuts: bool,
    ) -> None:  # fmt: skip
        self._random, self._book, self._desk = random.Random(seed), book, desk
        self._lock = threading.Lock()
        self._at_once = at_once
        self._down: Counter[int] = Counter()
        self._rests_from_s: dict[int, float] = {}
        """Shard → end of its last fault, infinite while one is under way."""
        self._round: list[Fault] = []
        self.done: Counter[str] = Counter()
        self.history: list[tuple[str, str, float, float]] = []
        """Kind, place, begin and end of each fault."""
        self.most_at_once = self._now = self.restarted = 0
        """`restarted`: servers that ended alone, and that a manager started again."""
        self.ends_s: list[float] = []
        """Seconds that each upgraded worker took to end in order."""
        self.unwilling: list[str] = []
        """Upgraded workers that did not end in order."""
        self._upgrade_at_a_time = threading.Lock()
        self._faults = [*self._of_shards(shards, cuts=cuts), *self._of_desk(cuts=cuts)]
        self._faults += [Fault("whole agent", each.device, partial(self._agent, each)) for each in agents]
        if cuts:
            _nft("add table", "")
            _nft("add set", "cut { type ipv4_addr ; }")
            _nft("add chain", "out { type filter hook output priority 0 ; }")
            for side in ("saddr", "daddr"):
                _nft("add rule", f"out ip {side} @cut drop")

    def _of_shards(self, shards: Sequence[Shard], *, cuts: bool) -> list[Fault]:
        made = [
            Fault("broker", str(each), partial(self._broker, each), may_fail=partial(self._is_rested, each))
            for each in shards
        ]
        made += [Fault("digest service", str(each), partial(self._digest, each)) for each in shards]
        made += [
            Fault("cut of a shard", str(each), partial(self._cut_shard, each), may_fail=partial(self._is_rested, each))
            for each in shards
            if cuts
        ]
        return made

    def _of_desk(self, *, cuts: bool) -> list[Fault]:
        store, workers = self._desk.store, self._desk.workers
        restarted = Fault("database", "", self._database)
        made = [restarted, Fault("database, standby promoted", "", self._promote, busy=restarted.busy)]
        killed = [Fault("worker", str(each), partial(self._restart, each), partial(_tend, each)) for each in workers]
        made += killed
        made += [
            Fault("worker upgraded", each.place, partial(self._upgrade, worker), busy=each.busy)
            for each, worker in zip(killed, workers, strict=True)
        ]
        for kind, programs in (
            ("volume server", store.volumes), ("gateway of the store", store.gateways), ("filer", [store.filer]),
            ("master of the store", [store.master]), ("HAProxy", [store.proxy]),
        ):  # fmt: skip
            made += [
                Fault(kind, str(number), partial(self._restart, each), partial(_tend, each))
                for number, each in enumerate(programs)
            ]
        for each in workers if cuts else ():
            for of, addresses in (
                ("store", [store_address(each.number)]), ("database", database_addresses(each.number)),
            ):  # fmt: skip
                made.append(Fault(f"cut of a worker from the {of}", str(each), partial(self._cut, *addresses)))
        return made

    def run(self, until_s: float, most: int, pause_s: tuple[float, float], stop: threading.Event) -> None:
        """Acts until that time or until `most` faults are done. Raises what a fault raised."""
        failed: list[BaseException] = []

        def lane() -> None:
            try:
                while not self._over(until_s, most) and not stop.wait(self._uniform(*pause_s)):
                    self._act(until_s, most)
            except BaseException as error:  # noqa: BLE001 (told below)
                failed.append(error)
                stop.set()

        lanes = [threading.Thread(target=lane, name=f"killer {number}") for number in range(self._at_once)]
        for each in lanes:
            each.start()
        for each in lanes:
            each.join()
        if failed:
            raise failed[0]

    def tend(self) -> None:
        """Starts servers again that ended alone, as a manager does."""
        for fault in self._faults:
            if fault.busy.acquire(blocking=False):
                try:
                    self.restarted += fault.tend()
                finally:
                    fault.busy.release()

    def _over(self, until_s: float, most: int) -> bool:
        with self._lock:
            return time.monotonic() >= until_s or self.done.total() + self._now >= most

    def _act(self, until_s: float, most: int) -> None:
        with self._lock:
            if time.monotonic() >= until_s or self.done.total() + self._now >= most:
                return
            fault = self._next()
            if fault is None:
                return
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        began_s = time.monotonic()
        try:
            fault.act()
        finally:
            with self._lock:
                self.history.append((fault.kind, fault.place, began_s, time.monotonic()))
                self._now -= 1
                self.done[fault.kind] += 1
            fault.busy.release()

    def _next(self) -> Fault | None:
        """Returns a fault of a shuffled round, held, or None if all that are left in the round are under way.

        Faults that may not begin yet stay for the next round, so that the others do not wait for a cluster's rest.
        """
        if not any(each.may_fail() for each in self._round):
            added = [each for each in self._faults if each not in self._round]
            self._random.shuffle(added)
            self._round += added
        found = next((each for each in self._round if each.may_fail() and each.busy.acquire(blocking=False)), None)
        if found is not None:
            self._round = [each for each in self._round if each is not found]
        return found

    def _is_rested(self, shard: Shard) -> bool:
        return time.monotonic() - self._rests_from_s.get(shard.number, -math.inf) >= shard.rest_s

    def _broker(self, shard: Shard) -> None:
        self._rests_from_s[shard.number] = math.inf
        if shard.is_out_while_killed:
            self._begin(shard)
            self._book.kills[shard.number].append(time.monotonic())
        shard.kill()
        self._away(_AWAY_S)
        shard.start()
        self._rests_from_s[shard.number] = time.monotonic()
        if shard.is_out_while_killed:
            self._end(shard)

    def _digest(self, shard: Shard) -> None:
        shard.kill_digest()
        self._away(_AWAY_S)
        shard.start_digest()

    def _agent(self, agent: WholeAgent) -> None:
        self._book.links[agent.device].end(time.monotonic())
        agent.kill()
        self._away(_AWAY_S)
        self._book.links[agent.device].end(time.monotonic())  # its owner's client may have told an older look
        agent.start()

    def _restart(self, server: Worker | Program) -> None:
        server.kill()
        self._away(_AWAY_S)
        server.start()

    def _upgrade(self, worker: Worker) -> None:
        """Ends a worker as systemd does, and starts a new process, as docs/desk.md says: never two at once."""
        with self._upgrade_at_a_time:
            began_s = time.monotonic()
            if worker.stop(_STOP_S):
                self.ends_s.append(time.monotonic() - began_s)
            else:
                self.unwilling.append(f"{worker} did not end in order: {worker.ending}")
            worker.start()

    def _database(self) -> None:
        self._desk.postgres.kill()
        self._away(_AWAY_S)
        self._desk.postgres.start()

    def _promote(self) -> None:
        by_mistake = self._uniform(0, 1) < 0.5
        self._desk.postgres.fail_over(partial(self._away, _AWAY_S), by_mistake=by_mistake)

    def _cut_shard(self, shard: Shard) -> None:
        self._rests_from_s[shard.number] = math.inf
        self._begin(shard)
        self._cut(shard.host)
        self._end(shard)
        self._rests_from_s[shard.number] = time.monotonic()

    def _cut(self, *addresses: str) -> None:
        elements = f"cut {{ {', '.join(addresses)} }}"
        _nft("add element", elements)
        self._away(_CUT_S)
        _nft("delete element", elements)

    def _begin(self, shard: Shard) -> None:
        """A broker may be killed while its network is cut: the outage lasts until both are over."""
        with self._lock:
            self._down[shard.number] += 1
            self._book.outages[shard.number].begin(time.monotonic())

    def _end(self, shard: Shard) -> None:
        with self._lock:
            self._down[shard.number] -= 1
            if not self._down[shard.number]:
                self._book.outages[shard.number].end(time.monotonic())

    def _away(self, between_s: tuple[float, float]) -> None:
        time.sleep(self._uniform(*between_s))

    def _uniform(self, low: float, high: float) -> float:
        with self._lock:
            return self._random.uniform(low, high)


def _tend(server: Worker | Program) -> bool:
    ended = server.ended()
    if ended:
        server.start()
    return ended


def _nft(verb: str, words: str) -> None:
    subprocess.run(["nft", f"{verb} {_TABLE} {words}".strip()], check=True, capture_output=True)
