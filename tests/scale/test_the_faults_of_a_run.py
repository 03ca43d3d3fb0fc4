"""Faults of a run at scale overlap, but never twice at one server; and what doorbells tell arrives in the book."""

from __future__ import annotations

import itertools
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.desk.waiting import until
from tests.scale.desk_side import Worker
from tests.scale.door_process import ToldBook, enter
from tests.scale.faults import Fault, Killer
from tests.scale.promises import Book

DOOR, OTHER = "a1" * 8, "b2" * 8


class Server:
    """Notes if it is killed twice at once."""

    def __init__(self) -> None:
        self.up, self.host, self.number, self.kills, self.ends = True, "127.0.1.1", 0, 0, False
        self.willing, self.ending, self.rest_s, self.is_out_while_killed = True, "exit status 1", 0.0, True

    def kill(self) -> None:
        assert self.up, "killed twice"
        self.up, self.kills = False, self.kills + 1

    def start(self) -> None:
        self.up, self.ends = True, False

    def stop(self, _patience_s: float) -> bool:
        self.kill()
        return self.willing

    def ended(self) -> bool:
        return self.ends

    def fail_over(self, away: Callable[[], None], *, by_mistake: bool) -> None:
        assert by_mistake in (False, True)
        self.kill()
        away()
        self.start()

    kill_digest, start_digest = kill, start


@pytest.fixture
def servers() -> list[Server]:
    return [Server() for _ in range(7)]


@pytest.fixture
def killer(servers: list[Server], monkeypatch: pytest.MonkeyPatch) -> Killer:
    monkeypatch.setattr("tests.scale.faults._AWAY_S", (0.0, 0.005))
    database, worker, filer, master, proxy, *volumes = servers
    store: Any = SimpleNamespace(volumes=volumes, gateways=[], filer=filer, master=master, proxy=proxy)
    desk: Any = SimpleNamespace(store=store, workers=[worker], postgres=database)
    return Killer(1, Book({DOOR: 0}), [], desk, at_once=4, cuts=False)


def test_the_killer_does_as_many_faults_as_asked_several_at_once_and_brings_all_back(
    killer: Killer, servers: list[Server]
) -> None:
    killer.run(float("inf"), 45, (0.0, 0.001), threading.Event())
    assert killer.done.total() == 45 == sum(each.kills for each in servers)
    assert 1 < killer.most_at_once <= 4
    assert all(each.up for each in servers)
    assert min(killer.done.values()) >= 5, killer.done


def test_an_upgraded_worker_ends_in_order_is_counted_apart_and_one_that_does_not_is_named(
    killer: Killer, servers: list[Server]
) -> None:
    worker = servers[1]
    killer._faults = [each for each in killer._faults if each.kind == "worker upgraded"]
    killer.run(float("inf"), 3, (0.0, 0.001), threading.Event())
    assert (killer.done, len(killer.ends_s), killer.unwilling) == ({"worker upgraded": 3}, 3, [])
    worker.willing = False
    killer.run(float("inf"), 4, (0.0, 0.001), threading.Event())
    assert len(killer.ends_s) == 3
    assert "did not end in order: exit status 1" in killer.unwilling[0]
    assert worker.up


@pytest.mark.parametrize(
    ("program", "in_order", "ending"),
    [
        ("trap 'exit 0' TERM; touch ready; while :; do sleep 0.01; done", True, "exit status 0"),
        ("trap 'exit 3' TERM; touch ready; while :; do sleep 0.01; done", False, "exit status 3"),
        ("trap '' TERM; touch ready; while :; do sleep 0.01; done", False, "killed after 1 s"),
        ("touch ready; while :; do sleep 0.01; done", True, "exit status -15"),
    ],
)
def test_a_worker_has_a_minute_to_end_in_order(tmp_path: Path, program: str, in_order: bool, ending: str) -> None:
    worker = Worker(tmp_path, 1)
    worker._process = process = subprocess.Popen(["sh", "-c", program], cwd=tmp_path)
    until((tmp_path / "ready").exists, "the program")
    assert (worker.stop(1.0 if "killed" in ending else 60.0), worker.ending) == (in_order, ending)
    assert process.poll() is not None


def test_a_cluster_rests_after_each_of_its_faults_and_the_others_do_not_wait_for_it(killer: Killer) -> None:
    shard: Any = Server()
    shard.rest_s = 0.1
    (broker, _digest) = killer._of_shards([shard], cuts=False)
    killer._faults = [broker, *killer._faults]
    killer.run(float("inf"), 300, (0.0, 0.001), threading.Event())
    of_it = sorted((began_s, ended_s) for kind, _place, began_s, ended_s in killer.history if kind == "broker")
    assert 2 <= len(of_it) < min(killer.done[each] for each in ("filer", "worker", "HAProxy"))
    assert all(following[0] - ended[1] >= 0.1 for ended, following in itertools.pairwise(of_it))


def test_the_killer_tells_what_went_wrong(killer: Killer) -> None:
    def breaks() -> None:
        raise OSError("it does not start again")

    killer._faults = [Fault("broker", "shard 0", breaks)]
    with pytest.raises(OSError, match="does not start again"):
        killer.run(float("inf"), 40, (0.0, 0.001), threading.Event())


def test_a_server_that_ended_alone_is_started_again_but_not_in_the_middle_of_a_fault(
    killer: Killer, servers: list[Server]
) -> None:
    servers[1].ends = True
    (fault,) = [each for each in killer._faults if each.kind == "worker"]
    with fault.busy:
        killer.tend()
    assert killer.restarted == 0
    killer.tend()
    assert (killer.restarted, servers[1].ends) == (1, False)


def test_an_outage_lasts_until_the_last_of_its_faults_is_over(killer: Killer) -> None:
    outage, shard = killer._book.outages[0], Server()
    killer._begin(shard)  # type: ignore[arg-type]
    killer._begin(shard)  # type: ignore[arg-type]
    killer._end(shard)  # type: ignore[arg-type]
    assert outage.is_open
    killer._end(shard)  # type: ignore[arg-type]
    assert not outage.is_open


def test_each_entry_of_a_process_of_doorbells_arrives_in_the_book_once() -> None:
    told, book = ToldBook([DOOR, OTHER]), Book({DOOR: 0, OTHER: 1})
    told.links[DOOR].begin(1.5)
    told.hear("list 2", DOOR, 2.25)
    told.hear("list 2", DOOR, 3.0)
    told.links[DOOR].begin(3.5)
    told.links[DOOR].end(4.0)
    told.links[DOOR].end(5.0)
    told.links[OTHER].begin(6.0)
    lines = [told.told.get_nowait() for _ in range(told.told.qsize())]
    assert len(lines) == 4
    assert [enter(line, book, 2) for line in lines] == [""] * 4
    assert book.heard == {"list 2": {DOOR: 2.25}}
    assert book.links[DOOR].ended == [(1.5, 4.0)]
    assert book.links[OTHER].began_s == 6.0
    assert enter("failed\tKeyError('x')\n", book, 2) == "failed KeyError('x')"
    assert enter("stood still\t12.5\t15.5\n", book, 2) == ""
    assert enter("subscribed\t9.5\n", book, 2) == ""
    assert (book.stalls, book.subscribed_s) == ({2: [(12.5, 15.5)]}, [9.5])
