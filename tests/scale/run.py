"""Doorbells, broker shards, a store, a database and workers, which are killed: `python -m tests.scale.run --help`.

It sets all of it up by the project's own commands, measures what it costs, kills, and checks the promises (`promises`).
Exit status 0 only if each of them was kept. `RESULTS.md` has the last runs.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.core.media import Gop
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.topics import cell_of
from agent.wire.trust import TrustStore
from agent.wire.trust_keys import parse_trust_key
from tests.cameras import gops_of, play
from tests.clients.requester.conftest import DESCRIPTION
from tests.clients.requester.house import Disclosure, House
from tests.scale.bare_peer import BareFigures, measure_bare
from tests.scale.bare_stores import inserts_per_s, puts_per_s
from tests.scale.desk_side import AGENCY, BUCKET, NEIGHBOURHOOD, DeskSide, copied
from tests.scale.door_process import Door, DoorProcess, raise_file_limit
from tests.scale.faults import Killer
from tests.scale.figures import cpu_s, memory_bytes
from tests.scale.light_bus import Switchboard
from tests.scale.light_doorbells import Judge, LightDoorbell
from tests.scale.neighbours import MOST_ASKED as MOST_OF_NEIGHBOURS
from tests.scale.neighbours import Neighbourhood
from tests.scale.people import Tipsters
from tests.scale.progress import Audit, Ending, line, say
from tests.scale.promises import PATIENCE_S, SLOW_S, Book, Late
from tests.scale.shards import Shard
from tests.scale.stories import believed, slowest, stories
from tests.scale.towns import Towns
from tests.scale.trust_root import TrustRoot
from tests.scale.whole_agents import Owners, WholeAgent, make_film
from tests.scale.wire_witness import WitnessProcess, secret_pieces

INSIDE = "DOORWARD_SCALE_NAMESPACE"
REQUEST_BYTES = 4_500
FILES_OF_ONE = 3
"""A light doorbell has a socket and an epoll. One more for what opens and closes."""
MOST_BARE = 10_000
"""Bare clients, with a file each in this process and in their broker."""
MOST_ASKED = 50
"""Requests for a cell. A whole doorbell takes no more from one requester in a day, and a cell has 64 slots."""
MOST_TOLD = 8
"""Bulletins for a cell. A whole doorbell takes no more from one requester in a day, and a cell has 16 slots."""
_READ_EVERY_S = 3.0
"""From one reading of the neighbours' page to the next."""
_AGENTS_FOR_ONE_KILLED = 5
"""One of this many whole agents is killed now and then. Each start costs seconds of processor time."""
_SETTLE_S = 600.0
_CUT_SETTLE_S = 150.0
_LIST_PATIENCE_S = 1800.0
"""A list that is not at all brokers by then fails the run. RabbitMQ's nodes may need minutes each."""
"""The same after a signal: long enough for what was published just before."""
_ROUND_S = 20.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """The size of a run. `answering`: doorbells of each shard with a house that answers. `faults`: how many end the
    run (0: the minutes do alone). `at_once`: faults that may overlap. `agencies`: on the root's list. `round_s`: from
    one request to the next."""

    doorbells: int
    shards: int
    workers: int
    minutes: float
    seed: int
    answering: int
    faults: int
    at_once: int
    agencies: int
    rabbitmq: bool
    of_a_process: int
    round_s: float
    whole_agents: int


class World:
    """Everything of a run, set up and connected."""

    def __init__(self, sizes: Sizes, folder: Path, ends: ExitStack) -> None:
        self.sizes, self.folder = sizes, folder
        say(f"Sets up {sizes.shards} brokers, the root, the desk and its stores.")
        self.shards = [self._make_shard(number) for number in range(sizes.shards)]
        """Two shards share each cell, as in a dense one that was split."""
        self.desk = DeskSide(folder / "desk", ends, sizes.workers)
        self.root = TrustRoot(folder / "trust-root", self.shards)
        self._agencies = self.desk.found(sizes.workers)
        self.root.kinds[NEIGHBOURHOOD] = "neighbour"
        self.towns = Towns(folder / "towns", sizes.agencies - 1, self.root, self.shards)
        self._agencies |= self.towns.keys
        say(f"Signs the root's list of {len(self._agencies)} agencies.")
        began_s = time.monotonic()
        self.root.list(self._agencies)
        self.list_s = time.monotonic() - began_s
        self.desk.join(self.root, self.shards)
        self.towns.join(self.root)
        ends.callback(self.towns.stop)
        for shard in self.shards:
            if shard.takes_witness:
                shard.let_witness_in()
            ends.callback(shard.stop)
            shard.start()
            shard.start_digest()
        ends.callback(self.root.stop)
        self.root.start()
        self.root.wait()
        self.towns.start()
        self.tipsters = Tipsters(self.desk)
        self.neighbourhood = Neighbourhood(self.desk)
        self.board = Switchboard()
        self.published_s: list[float] = []
        self.lists_s: list[float] = []
        """Seconds from a list's stamp until all brokers had it."""
        self.list_at: dict[str, str] = {}
        """The list under way: SHA-256 of its package by shard."""
        self._signed_s = 0.0
        """Seconds from each signature until all brokers of the cell had the request."""
        self.pending: dict[str, tuple[float, frozenset[int]]] = {}
        """Message → when it was signed, and the shards that do not all have it yet."""
        self.troubles: list[str] = []
        """Errors of this program while it disturbed: a run with one of them proves nothing."""
        self.doorbells: list[LightDoorbell] = []
        self.processes: list[DoorProcess] = []
        self.houses = make_houses(sizes.answering * sizes.shards)
        self.agents: list[WholeAgent] = []
        self.owners: Owners | None = None
        say(f"Makes the certificates of {sizes.doorbells} doorbells.")
        self._make_doorbells()
        self._answers = folder / "answers"
        self._answers.mkdir()
        self.judge.on_approval = self._approved
        contents = [each.content for house in self.houses for each in house.stored]
        places = [(shard.host, shard.witness_port) for shard in self.shards if shard.takes_witness]
        self.witness = WitnessProcess(folder / "witness.json", places, self._answers, secret_pieces(contents))
        ends.callback(self.witness.stop)
        ends.callback(self._stop)
        self.board.start()

    def _make_shard(self, number: int) -> Shard:
        """The first shard is a cluster if the run has one."""
        folder, west = self.folder / f"shard-{number}", 4.5 + 0.5 * (number // 2 % 8)
        if not self.sizes.rabbitmq or number:
            return Shard(folder, number, west)
        from tests.scale.rabbit_shard import RabbitShard

        return RabbitShard(folder, number, west)

    def _make_doorbells(self) -> None:
        """Doorbells with a house are in this process, the others in `processes`."""
        keys = [
            private_key_from_seed(number.to_bytes(32, "big"))
            for number in range(len(self.houses), self.sizes.doorbells)
        ]
        devices = [*(each.device_id for each in self.houses), *(public_key_of(key).id for key in keys)]
        shard_of = {device: self.shards[number % len(self.shards)] for number, device in enumerate(devices)}
        self.book = Book({device: shard.number for device, shard in shard_of.items()})
        self.judge = Judge(TrustStore().with_root(parse_trust_key(self.root.key)), self.book)
        self.book.stalls[0] = self.board.late
        self.book.process_of.update((each.device_id, 0) for each in self.houses)
        owned = {each.device_id: each for each in self.houses}
        others = []
        for device, shard in shard_of.items():
            settings, cell = shard.settings(device), cell_of(52.25, shard.west + 0.25)
            if device in owned:
                self.doorbells.append(LightDoorbell(settings, cell, self.board, self.judge, owned[device]))
            else:
                others.append(Door.of(settings, cell))
        self._make_agents()
        for shard in self.shards:
            shard.settle()
        count = -(-len(others) // self.sizes.of_a_process)
        for number in range(count):
            file = self.folder / f"doors-{number}.json"
            self.processes.append(DoorProcess(file, self.root.key, others[number::count], self.book, number + 1))

    def _make_agents(self) -> None:
        film = self.folder / "film.mp4"
        if self.sizes.whole_agents:
            make_film(film)
        for number in range(self.sizes.whole_agents):
            shard = self.shards[number % len(self.shards)]
            self.agents.append(WholeAgent(self.folder / f"agent-{number}", number, shard, film))

    def join_agents(self) -> float:
        """Starts the whole agents and their owners. Returns the seconds until all are connected."""
        for each in self.agents:
            each.enrol(self.root.key, self.root.package)
            self.book.add(each.device, each.shard.number)
        self.owners = Owners(self.folder / "owners.json", self.root.key, self.agents, self._answers, self.book)
        began_s = time.monotonic()
        for each in self.agents:
            each.start()
        until(self.are_up, "the whole agents", 600)
        return time.monotonic() - began_s

    def of_agents(self) -> list[str]:
        """Returns the answers of whole agents to the agency that are delivered."""
        devices = {each.device for each in self.agents}
        found = []
        for name, sent in list(self.book.sent.items()):
            requester, device = (self._answers / name / "to").read_text().split()
            if device in devices and requester == AGENCY and sent.state == "complete":
                found.append(name)
        return found

    def _approved(self, made: Disclosure, requester: str) -> None:
        """Tells the witness what an owner's client has sealed."""
        new = self._answers / f"new-{made.id}"
        new.mkdir()
        (new / "to").write_text(f"{requester} {made.device}")
        for number, part in enumerate(made.parts):
            (new / str(number)).write_bytes(part)
        new.rename(self._answers / made.id)

    def _stop(self) -> None:
        if self.owners is not None:
            self.owners.stop()
        for agent in self.agents:
            agent.kill()
        self.judge.stop()
        done = threading.Event()

        def end() -> None:
            for each in self.doorbells:
                each.stop()
            done.set()

        self.board.do(end)
        done.wait(60)
        self.board.stop()
        for process in self.processes:
            process.stop()

    def failures(self) -> list[str]:
        """Returns bugs of this program: a run with one of them proves nothing."""
        of_processes = [each for one in self.processes for each in one.failures]
        of_processes += self.owners.failures if self.owners is not None else []
        return [*map(repr, self.board.failures), *of_processes, *self.troubles]

    def sync(self) -> None:
        for process in self.processes:
            process.sync()

    @property
    def pids(self) -> list[int]:
        return [os.getpid(), *(process.pid for process in self.processes)]

    def connect(self) -> float:
        """Returns the seconds until all doorbells were connected once."""
        began_s = time.monotonic()
        for each in self.doorbells:
            self.board.do(each.start)
        for process in self.processes:
            process.start()
        until(self.are_up, "all connections", 600)
        took_s = time.monotonic() - began_s
        if not all(shard.keeps_for_wildcards for shard in self.shards):
            time.sleep(5)  # subscriptions
            self.root.start()
            self.root.wait()
        return took_s

    @property
    def lists(self) -> list[str]:
        """The lists that all brokers had."""
        return [each for each in self.book.published if each.startswith("list ")]

    @property
    def acknowledged(self) -> int:
        """How many parts of answers were acknowledged."""
        return sum(len(each.acknowledged) for each in self.book.sent.values())

    def are_up(self) -> bool:
        if (failures := self.failures()) and not self.troubles:
            raise SystemExit(f"A bug of the run: {failures[0]}")
        return all(link.is_open for link in self.book.links.values())

    def in_cell(self, west: float) -> list[str]:
        """Returns the doorbells in the cell at that longitude."""
        shards = {shard.number for shard in self.shards if shard.west == west}
        return [door for door, shard in self.book.shard_of.items() if shard in shards]

    def ask(self, case: str, west: float) -> None:
        """Signs a request. `look` notes the moment when all its brokers have it."""
        self._note(self.desk.ask(west, case), west)

    def tell(self, title: str, west: float) -> None:
        """Signs a bulletin, the same."""
        self._note(self.desk.tell(west, title), west)

    def tell_as_town(self, title: str, west: float) -> None:
        """Signs a bulletin of a town there, the same."""
        if (message := self.towns.tell(west, title)) is not None:
            self._note(message, west)

    def ask_as_neighbour(self, west: float) -> None:
        """Signs a request of a neighbour, the same."""
        self._note(self.neighbourhood.ask(west), west)

    def _note(self, message: str, west: float) -> None:
        shards = frozenset(shard.number for shard in self.shards if shard.west == west)
        self.pending[message] = (time.monotonic(), shards)

    def look(self) -> None:
        """Notes which messages their brokers have by now."""
        for message, (began_s, shards) in list(self.pending.items()):
            at = self.towns if self.towns.has_told(message) else self.desk
            if at.is_published(message):
                del self.pending[message]
                self.published_s.append(time.monotonic() - began_s)
                self.book.published[message] = (time.monotonic(), shards)
        self._look_at_list()

    def mend(self) -> None:
        """Starts the root's connections and the towns' receivers again if they ended, as systemd does."""
        if self.root.has_ended:
            self.root.start()
        self.towns.tend()

    def revoke(self) -> None:
        """Signs a list that revokes one more key, if the last one is everywhere. `look` notes when all brokers have it.

        So a broker that is away for long holds up lists alone, and requests go on.
        """
        if not self.list_at:
            self.root.list(self._agencies, stolen=self.root.version)
            self._signed_s = time.monotonic()  # before `list_at`, which another thread waits for
            self.list_at = self.root.wanted()

    def _look_at_list(self) -> None:
        if not self.list_at:
            return
        now_s = time.monotonic()
        if not (missing := self.root.missing(self.list_at)):
            self.list_at = {}
            self.lists_s.append(now_s - self._signed_s)
            self.book.published[f"list {self.root.version}"] = (now_s, frozenset(range(len(self.shards))))
        elif self.root.refusals or now_s - self._signed_s > _LIST_PATIENCE_S:
            self.list_at = {}
            self.troubles.append(f"a list is not at {', '.join(missing)}. {self.root.refusals}")


def make_houses(count: int) -> list[House]:
    """Houses that filmed a visit in the last hours."""
    camera = ScriptedCamera([Visit(0.5)], duration_s=4, size_px=(320, 180))
    gops: list[Gop] = gops_of(play(camera)[1])
    made = []
    for number in range(count):
        house = House((int(time.time()) - 6000) * 1000, name=f"scale {number}")
        house.record(DESCRIPTION, gops[:2])
        house.record(DESCRIPTION, gops[2:])
        made.append(house)
    return made


def until(holds: Callable[[], bool], what: str, patience_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"Waited {patience_s:.0f} s for {what}.")
        time.sleep(0.05)


def row(what: str, figure: str, limit: str = "") -> None:
    print(f"| {what} | {figure} | {limit} |", flush=True)


def measure(world: World) -> None:
    """Prints the costs without faults, beside bare paho, bare S3 and bare SQL."""
    say("Measures without faults.")
    bare = measure_bare(world.folder / "bare", min(MOST_BARE, world.sizes.doorbells), REQUEST_BYTES)
    measure_connections(world, bare)
    measure_receiving(world)
    measure_fan_out(world, bare)
    measure_revocation(world)
    brokers = [shard for shard in world.shards if shard.takes_witness]  # the death of a node is not one of a broker
    measure_return(world, brokers[:1])
    measure_return(world, brokers, f"{bare.back_s:.2f} s, without a pause before a try")
    if world.sizes.whole_agents:
        measure_agents(world)


def measure_agents(world: World) -> None:
    took_s = world.join_agents()
    time.sleep(5)  # their film, and the first round of reading
    pids = [each.pid for each in world.agents]
    held, used_s = sum(map(memory_bytes, pids)) / len(pids), sum(map(cpu_s, pids)) / len(pids)
    row(f"{len(pids)} whole agents are connected", f"{took_s:.1f} s, {used_s:.1f} s of CPU for one")
    row("memory of a whole agent", f"{held / (1 << 20):.0f} MiB")


def measure_receiving(world: World) -> None:
    """One worker receives the answers to a request in each cell, then two, and so on."""
    sizes = []
    # A list of 70 kB comes within half a minute. A request before it is unknown, and is read again with the next round.
    until(lambda: all(each.custody.trust.bundles for each in world.doorbells), "the list at those that answer")
    for count, worker in enumerate(world.desk.workers, 1):
        worker.start()
        until(lambda count=count: world.desk.again(lambda: world.desk.connected(count)), "the workers")  # type: ignore[misc]
        before, wests = set(world.book.sent), sorted({shard.west for shard in world.shards})
        world.judge.hold()
        for west in wests:
            world.desk.ask(west, f"received by {count}, {west}")
        until(lambda: world.judge.held == len(world.houses), "the answers", 300)
        began_s, used_s = time.monotonic(), sum(cpu_s(each.pid) for each in world.desk.workers[:count])
        world.judge.release()
        sent = {key: each for key, each in world.book.sent.items() if key not in before}
        until(lambda sent=sent: all(each.state == "complete" for each in sent.values()), "the receipts", 600)  # type: ignore[misc]
        took_s = time.monotonic() - began_s
        used_s = sum(cpu_s(each.pid) for each in world.desk.workers[:count]) - used_s
        files = [file for key in sent for file in (world.folder / "answers" / key).iterdir() if file.name != "to"]
        sizes = [file.stat().st_size for file in files]
        client = world.desk.store.client()
        put = puts_per_s(client, BUCKET, sum(sizes) // len(sizes), count)
        client.close()
        inserted = inserts_per_s(world.desk.postgres.address, count)
        limit = f"{put:.0f} bare S3 puts/s, {inserted:.0f} bare SQL inserts/s, {count} at once"
        parts = f"{len(files) / took_s:.0f} parts/s, {used_s / len(files) * 1000:.0f} ms of CPU for one"
        row(f"{len(sent)} answers of {len(files)} parts at once, {count} workers", parts, limit)
    row("mean size of a part", f"{sum(sizes) / max(1, len(sizes)) / 1024:.1f} KiB")


def measure_connections(world: World, bare: BareFigures) -> None:
    count, pids = world.sizes.doorbells, [each.pid for each in world.shards if each.pid]
    memory, cpu, own = sum(map(memory_bytes, pids)), sum(map(cpu_s, pids)), sum(map(memory_bytes, world.pids))
    connected_s = world.connect()
    time.sleep(3)  # the first round of reading
    held, used_s = (sum(map(memory_bytes, pids)) - memory) / count, (sum(map(cpu_s, pids)) - cpu) / count
    row(f"{count} doorbells connect", f"{connected_s:.1f} s", f"{bare.connected_s:.1f} s")
    row("CPU of the brokers for a connection", f"{used_s * 1000:.1f} ms", f"{bare.connection_cpu_ms:.1f} ms")
    row("memory of a connection at the broker", f"{held / 1024:.1f} KiB", f"{bare.connection_bytes / 1024:.1f} KiB")
    row("memory of a light doorbell", f"{(sum(map(memory_bytes, world.pids)) - own) / count / 1024:.0f} KiB")


def measure_fan_out(world: World, bare: BareFigures) -> None:
    """One request for each cell, all at once."""
    began_s = time.monotonic()
    wests = sorted({shard.west for shard in world.shards})
    asked = {world.desk.ask(west, f"fan-out {west}"): len(world.in_cell(west)) for west in wests}
    until(
        lambda: all(len(world.book.heard.get(each, {})) == doors for each, doors in asked.items()), "all doorbells", 600
    )
    heard_s = [sorted(world.book.heard[each].values()) for each in asked]
    took_s = max(each[-1] for each in heard_s) - min(each[0] for each in heard_s)
    row(f"a request for each cell, from the first of {sum(asked.values())} doorbells to the last", f"{took_s:.2f} s",
        f"{bare.heard_s:.2f} s")  # fmt: skip
    row("… from its signature at the desk", f"{max(each[-1] for each in heard_s) - began_s:.2f} s")


def measure_revocation(world: World) -> None:
    """From before the root's people sign a list with a stolen key until the doorbells refuse it. Goal: a minute."""
    began_s = time.monotonic()
    world.revoke()
    heard, doors = world.book.heard.setdefault(f"list {world.root.version}", {}), len(world.book.shard_of)
    until(lambda: len(heard) == doors, "all doorbells to refuse the key", 600)
    row(
        f"a stolen key is out at {doors} doorbells, from its signature",
        curve(sorted(each - began_s for each in list(heard.values()))),
        f"{PATIENCE_S:.0f} s",
    )


def measure_return(world: World, shards: Sequence[Shard], limit: str = "") -> None:
    """Brokers die at one moment, and all their doorbells come back."""
    numbers = {shard.number for shard in shards}
    ours = [world.book.links[door] for door, number in world.book.shard_of.items() if number in numbers]
    for number in numbers:
        world.book.outages[number].begin(time.monotonic())
    for shard in shards:
        world.book.kills[shard.number].append(time.monotonic())
        shard.kill()
    until(lambda: not any(link.is_open for link in ours), "the loss of a broker")
    for shard in shards:
        shard.start()
    began_s = time.monotonic()
    for number in numbers:
        world.book.outages[number].end(began_s)
    until(lambda: all(link.is_open for link in ours), "all doorbells of a killed broker", 400)
    back_s = sorted((link.began_s or began_s) - began_s for link in ours)
    row(f"the {len(ours)} doorbells of {len(shards)} killed brokers are back", curve(back_s), limit)


def curve(sorted_s: Sequence[float], shares: Sequence[float] = (10, 50, 90, 99, 100)) -> str:
    return ", ".join(f"{share} % {sorted_s[max(0, int(len(sorted_s) * share / 100) - 1)]:.1f} s" for share in shares)


class Beside:
    """Does something again and again in a thread beside, whatever the run waits for, or once without `every_s`.

    `failed`: what ended it. `name`: that of its function.
    """

    def __init__(self, act: Callable[[], None], every_s: float = 0.0) -> None:
        self.failed: list[BaseException] = []
        self.name = act.__name__
        self._act, self._every_s, self._over = act, every_s, threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.wait(self._every_s):
                self._act()
                if not self._every_s:
                    return
        except BaseException as error:  # noqa: BLE001 (told by the run)
            self.failed.append(error)


def disturb(world: World, ending: Ending, *, cuts: bool) -> Killer:
    """Asks on and on while the killer acts, then waits until all is quiet.

    A manager starts ended servers again, as in an installation. Errors
    are put into `world.troubles`, so that the verdict has the figures of all that was done before.
    """
    sizes = world.sizes
    killed = world.agents[::_AGENTS_FOR_ONE_KILLED]
    killer = Killer(sizes.seed, world.book, world.shards, world.desk, killed, at_once=sizes.at_once, cuts=cuts)
    audit = Audit(lambda: list(world.book.sent.items()), world.desk.rows_of)
    stop, done, ends_s = threading.Event(), threading.Event(), time.monotonic() + sizes.minutes * 60
    before = [cpu_s(pid) for pid in world.pids]
    ending.begin()

    def audit_some() -> None:
        world.desk.once(lambda: audit.step(world.desk))

    with (
        Beside(killer.tend, 1.0) as manager,
        Beside(world.mend, _ROUND_S) as timer,
        Beside(world.look, 0.5) as looking,
        Beside(audit_some, _ROUND_S) as auditing,
        Beside(world.neighbourhood.read, _READ_EVERY_S) as reading,
    ):

        def kill() -> None:
            try:
                killer.run(ends_s, sizes.faults or sys.maxsize, (0.5, 4.0), stop)
            finally:
                done.set()

        with Beside(kill) as killing:
            try:
                ask_on(world, killer, audit, lambda: ending.asked or done.is_set() or time.monotonic() >= ends_s)
            except (Exception, SystemExit) as error:  # noqa: BLE001 (the verdict says it)
                world.troubles.append(f"asking ended: {error!r}")
            finally:
                stop.set()
        began_s = said_s = time.monotonic()
        while (
            time.monotonic() < began_s + _SETTLE_S and not ending.hurried and not (is_settled(world) and audit.is_done)
        ):
            if ending.asked and time.monotonic() > began_s + _CUT_SETTLE_S:
                break
            if time.monotonic() > said_s + _ROUND_S:
                said_s = time.monotonic()
                say(f"Waits until all is quiet. {progress(world, killer, audit)}")
            time.sleep(0.5)
    for each in (killing, manager, timer, looking, auditing, reading):
        world.troubles += [f"{each.name} ended: {error!r}" for error in each.failed]
    if ending.asked:
        world.troubles.append("cut by a signal: the figures are those until then")
    say(progress(world, killer, audit))
    took_s, used = time.monotonic() - (ends_s - sizes.minutes * 60), [cpu_s(pid) for pid in world.pids]
    loads = ", ".join(f"{100 * (now - then) / took_s:.0f} %" for then, now in zip(before, used, strict=True))
    print(f"\n{took_s:.0f} s with faults and until all was quiet. Processor: this program and the doorbells {loads}.")
    return killer


def ask_on(world: World, killer: Killer, audit: Audit, is_over: Callable[[], bool]) -> None:
    """A request and a tip in each round, and in some a bulletin (of a town, too), a list with a revoked key, a
    notice of a neighbour, or a neighbour's request."""
    wests = sorted({shard.west for shard in world.shards})
    asked, told, of_towns = Counter(dict.fromkeys(wests, 1)), Counter[float](), Counter[float]()
    asked.update(dict.fromkeys(wests, world.sizes.workers))  # by `measure`
    turn = 0
    while not is_over():
        next_s = time.monotonic() + world.sizes.round_s
        west = wests[turn % len(wests)]
        if asked[west] < MOST_ASKED:
            asked[west] += 1
            world.ask(f"case {turn}", west)
        world.tipsters.send(f"A white van waits there, {turn}.")
        west = wests[turn // 3 % len(wests)]
        if turn % 3 == 1:
            world.tipsters.release()
            if told[west] < MOST_TOLD:
                told[west] += 1
                world.tell(f"Bulletin {turn}", west)
        if turn % 6 == 2:
            world.revoke()
        if turn % 6 == 4:
            of_towns[west] += 1
            if of_towns[west] <= MOST_TOLD:
                world.tell_as_town(f"Bulletin {turn} of a town", west)
        if turn % 3 == 0:
            world.neighbourhood.write_notice(turn, west)
        if turn % 4 == 1 and len(world.neighbourhood.asked) < MOST_OF_NEIGHBOURS:
            world.ask_as_neighbour(west)
        turn += 1
        say(progress(world, killer, audit))
        while not is_over() and time.monotonic() < next_s:
            time.sleep(0.2)


def progress(world: World, killer: Killer, audit: Audit) -> str:
    faults = f"{killer.done.total()} of {world.sizes.faults or 'any number of'} faults"
    return f"{faults}, {len(world.tipsters.accepted)} tips. {line(world.book, audit, time.monotonic())}"


def is_settled(world: World) -> bool:
    # Copies: other threads add to these meanwhile.
    waited = (
        not world.pending
        and not world.list_at
        and all(time.monotonic() - since_s > PATIENCE_S for since_s, _ in list(world.book.published.values()))
    )
    return waited and world.are_up() and all(each.state != "on its way" for each in list(world.book.sent.values()))


def check(world: World, killer: Killer) -> int:
    say("Reads all answers again, for the verdict.")
    world.sync()
    world.witness.stop()
    for trouble in world.troubles:
        print(f"TROUBLE: {trouble}", flush=True)  # also if the verdict cannot be read
    of_answers = world.book.judged(lambda: world.desk.again(world.desk.outcomes))
    world.tipsters.release()
    tips = world.tipsters.broken()
    of_neighbours = world.neighbourhood.broken(world.book)
    now_s = time.monotonic()
    late = world.book.late(now_s)
    say_faults(killer)
    say_messages(world)
    lost = [each for each in of_answers if each.startswith("lost: part")]
    doubled = [each for each in of_answers if each.startswith(("not once", "invented"))]
    print(
        f"{len(lost)} acknowledged parts lost, {len(doubled)} answers not there exactly once, {len(late)} unheard, "
        f"{len(tips)} tips lost or doubled, {len(of_neighbours)} promises to neighbours broken."
    )
    say_hearings(world, killer, late, now_s)
    heard = ", ".join(f"{number} {kind}" for kind, number in sorted(world.witness.heard.items()))
    print(f"The witness heard {heard}, and found {len(world.witness.breaches)} breaches.")
    found = [*of_answers, *tips, *of_neighbours]
    found += told_stories(world, killer, late, now_s)
    found += [*killer.unwilling, *world.witness.breaches, *world.failures()]
    # A doorbell with a refused subscription seems connected, and nothing above is due at it.
    if away := [door for door, link in world.book.links.items() if not link.is_open]:
        found.append(f"{len(away)} doorbells are not connected with all subscriptions in the end, one is {away[0]}")
    found += [*of_whole_agents(world), *not_shown(world, killer)]
    for each in found[:20]:
        print(f"BROKEN: {each}")
    counted = f"{world.sizes.doorbells} doorbells, {len(world.shards)} shards, {killer.done.total()} faults"
    print(f"{counted}: {'promises were broken' if found else 'all promises were kept'}", flush=True)
    return 1 if found else 0


def say_faults(killer: Killer) -> None:
    kills = ", ".join(f"{number} × {kind}" for kind, number in sorted(killer.done.items()))
    print(f"\n{killer.done.total()} faults ({kills}), {killer.restarted} servers that ended were started again.")
    print(f"At most {killer.most_at_once} faults at once.")
    print(
        f"{len(killer.ends_s)} of {killer.done['worker upgraded']} upgraded workers ended in order"
        f"{f', within {max(killer.ends_s):.0f} s' if killer.ends_s else ''}."
    )


def say_messages(world: World) -> None:
    lists, hood = len(world.lists), world.neighbourhood
    print(f"{len(world.book.published) - lists} requests and bulletins, {lists} lists with a revoked key.")
    print(f"{len(world.book.sent)} answers, {world.acknowledged} acknowledged parts.")
    print(f"{len(world.tipsters.accepted)} tips accepted, {world.tipsters.refused.total()} to be sent again.")
    print(
        f"The slowest publication took {max(world.published_s, default=0):.0f} s, and the slowest list "
        f"{max(world.lists_s, default=0):.0f} s, with the faults on its way."
    )
    print(
        f"{len(hood.notices)} notices of neighbours, {hood.notices.removals} removed again, "
        f"{hood.notices.readings} readings of their page; "
        f"{len(hood.asked)} requests of neighbours, who opened {hood.opened} answers."
    )


def say_hearings(world: World, killer: Killer, late: Sequence[Late], now_s: float) -> None:
    """Prints how soon doorbells heard, and what kept them or this run."""
    beliefs = world.book.beliefs(now_s)
    print(f"{len(beliefs)} times a doorbell believed for over {PATIENCE_S:.0f} s in the connection of a killed broker.")
    for belief in beliefs[:10]:
        print(f"BELIEVED: {believed(belief, world.book, killer.history)}.")
    counted = {(each.message, each.door) for each in late}
    excused = [each for each in world.book.late(now_s, excuse=False) if (each.message, each.door) not in counted]
    say_own_lateness(world, excused, killer, now_s)
    for kind, of_lists in (("requests and bulletins", False), ("lists", True)):
        if waits := world.book.waits(now_s, lists=of_lists):
            waited_s = [each.waited_s for each in waits]
            print(f"A doorbell that was connected heard {kind} within: {curve(waited_s, (50, 90, 99, 99.9, 100))}.")
            print(f"The slowest: {slowest(waits[-1], world.book, killer.history)}.")


def told_stories(world: World, killer: Killer, late: Sequence[Late], now_s: float) -> list[str]:
    hosts = {shard.host: shard.number for shard in world.shards}
    return stories(late, world.book, world.witness.carried, killer.history, hosts, now_s)


def of_whole_agents(world: World) -> list[str]:
    """Prints the answers of whole agents, and returns what is wrong with them."""
    answers = world.of_agents()
    faults = {name: world.desk.fault_of(name) for name in answers}
    unopened = [f"not opened: {name} of a whole agent: {fault}" for name, fault in faults.items() if fault]
    found = [*unopened, *(f"it ended: {each}" for each in world.agents if each.ended())]
    if world.agents:
        print(f"{len(answers)} answers of {len(world.agents)} whole agents, {len(unopened)} not opened and verified, "
              f"{len(world.book.blocked)} requests that they blocked by their limits.")  # fmt: skip
        if not answers:
            found.append("not shown: no answer of a whole agent")
    return found


def not_shown(world: World, killer: Killer) -> list[str]:
    """Returns what is missing. A run that shows nothing must not pass."""
    hood, lists = world.neighbourhood, len(world.lists)
    found = [f"not shown: no {what}" for what, number in (
        ("acknowledged part", world.acknowledged), ("request", len(world.book.published) - lists),
        ("list with a revoked key", lists), ("tip", len(world.tipsters.accepted)),
        ("notice of a neighbour", len(hood.notices)), ("answer that a neighbour opened", hood.opened),
        ("upload that the witness heard", world.witness.heard.get("upload", 0)), ("fault", killer.done.total()),
    ) if not number]  # fmt: skip
    found += [f"not published: {message}" for message in world.pending]
    if world.list_at:
        found.append(f"not published: list {world.root.version} at {', '.join(world.root.missing(world.list_at))}")
    if killer.done.total() < world.sizes.faults:
        found.append(f"not shown: {killer.done.total()} of {world.sizes.faults} faults within the minutes")
    return found


def say_own_lateness(world: World, excused: Sequence[Late], killer: Killer, now_s: float) -> None:
    """Prints how long this run's own processes stood still, and each hearing that is late only by that."""
    first_s = min((began_s for _, _, began_s, _ in killer.history), default=0.0)
    for number, spans in sorted(world.book.stalls.items()):
        stood_s = [ends_s - at_s for at_s, ends_s in spans if ends_s > first_s]
        print(
            f"Process {number} of doorbells stood still {len(stood_s)} times since the first fault, for "
            f"{sum(stood_s):.0f} s in all and {max(stood_s, default=0):.1f} s at most."
        )
    slow_s = world.book.subscribed_s
    print(
        f"{len(slow_s)} connections took over {SLOW_S:.0f} s to subscribe"
        f"{f', {max(slow_s):.0f} s at most' if slow_s else ''}."
    )
    print(f"{len(excused)} hearings are not counted as unheard, because the doorbell's process stood still meanwhile.")
    for each in told_stories(world, killer, excused, now_s)[:20]:
        print(f"NOT COUNTED: {each}")


def commit() -> str:
    words = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def parsed(arguments: list[str]) -> Sizes:
    parser = argparse.ArgumentParser(prog="tests.scale.run", description=__doc__)
    parser.add_argument("--doorbells", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--answering", type=int, default=2, help="doorbells of each shard that answer")
    parser.add_argument("--faults", type=int, default=0, help="ends the run after this many, or after the minutes")
    parser.add_argument("--at-once", type=int, default=4, help="faults that may overlap")
    parser.add_argument("--rabbitmq", action="store_true", help="the first shard is a RabbitMQ cluster of three")
    parser.add_argument("--of-a-process", type=int, default=5_000, help="doorbells in one process")
    parser.add_argument(
        "--whole-agents", type=int, default=0, help="doorbells that are the real program, with an owner"
    )
    parser.add_argument("--round-s", type=float, default=_ROUND_S, help="seconds from one request to the next")
    parser.add_argument("--agencies", type=int, default=100, help="agencies on the list of the trust root")
    return Sizes(**vars(parser.parse_args(arguments)))


def passed_on(command: Sequence[str], environment: dict[str, str]) -> int:
    """Runs a command, and passes signals on to it alone. It has a session: a signal to all processes of a terminal or
    of `timeout` would otherwise end the servers, too."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.send_signal(signal.SIGTERM))
    return process.wait()


def prepare() -> None:
    """Makes the system of a RabbitMQ node, once."""
    from tests.install.container import base
    from tests.interop.rabbitmq import PACKAGES

    base("trixie", packages=PACKAGES)


def main(arguments: list[str]) -> int:
    sizes = parsed(arguments)
    can_cut = os.geteuid() == 0 and shutil.which("nft") is not None
    if can_cut and INSIDE not in os.environ:
        if sizes.rabbitmq:
            prepare()  # from Debian's archive, which the namespace does not reach
        command = 'ip link set lo up && exec "$@"'
        words = [sys.executable, "-m", "tests.scale.run", *arguments]
        return passed_on(["unshare", "--net", "sh", "-c", command, "sh", *words], os.environ | {INSIDE: "1"})
    ending = Ending()
    ending.listen()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    most = raise_file_limit()
    if most < sizes.of_a_process * FILES_OF_ONE:
        raise SystemExit(f"A process may open {most} files here, enough for {most // FILES_OF_ONE} doorbells.")
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        began_s = time.monotonic()
        world = World(sizes, folder, ends)
        # Django has set up its own logging by now. Tips and readers meet a database that is away.
        logging.getLogger("django.request").setLevel(logging.CRITICAL)
        print(f"{sizes} at {commit()}\n\n| what | here | bare paho and mosquitto |\n|---|---:|---:|")
        row("set up by the commands", f"{time.monotonic() - began_s:.0f} s")
        row("PostgreSQL, a primary and a standby", world.desk.postgres.primary.version)
        row(
            f"a list of {sizes.agencies} agencies, of which {world.towns.publishing + 1} publish",
            f"signed and stamped in {world.list_s:.1f} s, {len(world.root.package) / 1024:.0f} KiB in all",
        )
        try:
            measure(world)
            return check(world, disturb(world, ending, cuts=can_cut))
        finally:
            patterns = (
                "*.log",
                "trust-root/*.log",
                "towns/*.log",
                "agent-*/*.log",
                "shard-*/*.log",
                "desk/store/*.log",
                "desk/w*/worker.log",
            )
            logs = [log for pattern in patterns for log in folder.glob(pattern)]
            copied(logs, Path(os.environ.get("DOORWARD_SCALE_LOGS", folder / "logs")))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
