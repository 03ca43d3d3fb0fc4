"""A listener on the line of a doorbell cannot tell a "no" from a "nothing here", nor from a "who are you?".

A real bus and a real broker, with a tap between them that notes every record the doorbell sends: when, and how large
(all of it is TLS). A request comes that ends in one of the possible ways, and right behind it a second message, whose
acknowledgement would tell how long the first one took. If there is footage, searching it takes more than three beats.
The tap must see the same as for a request that matches nothing: as many records, of the same sizes, after times that a
test of ranks cannot tell apart, even for a listener who knows the doorbell's clock and so its beats.

A run compares a few pairs. `make prove-consent` compares at least 240, and shows what the test notices: the lack of a
beat, and a doorbell that takes 5 ms longer for one kind of "no".
"""

from __future__ import annotations

import itertools
import math
import random
import select
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.core.bus import BusConnected
from agent.core.consent import RequestState
from agent.custodian.journal_sqlite import SqliteJournal
from agent.mqtt import BusSettings, MqttBus
from agent.mqtt.pacing import AcknowledgementBeat
from agent.uplink.uplink import Uplink
from agent.wire.identities import private_key_from_seed
from agent.wire.limits import HARD
from agent.wire.statements import OptIn, OptOut, Scope
from agent.wire.topics import RequestTopic, cell_filter, cell_of
from tests import custodians
from tests.brokers import BrokerWithClients, broker_with_clients
from tests.custodians import DOOR, POLICE, Door, signed, stated
from tests.properties.amounts import WHOLE, amount
from tests.uplink.test_uplink import RunningClock, has_read
from tests.wire import samples

pytestmark = [pytest.mark.broker, pytest.mark.timeout(0)]

DEVICE = samples.DEVICE_KEY.id
STRANGER = private_key_from_seed(b"x" * 32)
WAYS = ("denied", "ignored", "expired", "opted out", "untrusted", "malformed")
PAIRS_OF_A_WAY = amount(3, 40)
MOST_DRAWS = 8
"""That many times as many pairs on a busy machine."""
BEAT_S = BusSettings.__dataclass_fields__["inbound_beat_s"].default
KEEPALIVE_S = 30
PING_BYTES = 24
"""A record with two bytes of MQTT. paho sends a ping once in `KEEPALIVE_S`, whatever else it sends."""
QUIET_S = 0.03
PATIENCE_S = 60.0
FALSE_ALARM = 1e-3
"""Probability that a whole test finds a difference where there is none.  Its comparisons share it (Bonferroni)."""
LEAST_LIKELY = FALSE_ALARM / ((len(WAYS) + 1) * 3)
"""A difference less likely than this by chance is one: three times are compared for each way and for all of them."""
PLANTED_S = 0.005
"""A delay that a test at length must be able to notice."""


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


class Tap:
    """A relay between the doorbell and its broker.  `sent`: (monotonic seconds, bytes) of each TLS record, upwards, but
    pings, which are counted apart: they come by the clock, in the middle of one request or another."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.sent: list[tuple[float, int]] = []
        self.pings = 0
        self.came: list[float] = []
        """When something went down to the doorbell."""
        self._open = True
        self._rest = b""
        self._thread = threading.Thread(target=self._relay, name="tap")
        self._thread.start()

    def close(self) -> None:
        self._open = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _relay(self) -> None:
        near, _ = self._listener.accept()
        with suppress(ConnectionError), near, socket.create_connection(("127.0.0.1", self._target)) as far:
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._open:
                ready, _, _ = select.select([near, far], [], [], 0.2)
                for source in ready:
                    data = source.recv(64 << 10)
                    if not data:
                        return
                    now = time.monotonic()
                    if source is near:
                        self._note(now, data)
                        far.sendall(data)
                    else:
                        self.came.append(now)
                        near.sendall(data)

    def _note(self, now: float, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 5 and len(self._rest) >= (size := 5 + int.from_bytes(self._rest[3:5], "big")):
            if size == PING_BYTES:
                self.pings += 1
            else:
                self.sent.append((now, size))
            self._rest = self._rest[size:]


@dataclass(frozen=True)
class Seen:
    """The tap's view of one request: the sizes of the records upwards, their time behind a beat, and their time after
    the record before."""

    sizes: tuple[int, ...]
    times_s: tuple[float, ...]


class House:
    """A door on a real line, and a requester.  `delayed`: the way for which the doorbell waits `PLANTED_S` longer."""

    def __init__(self, world: BrokerWithClients, folder: Path, beat_s: float = BEAT_S, delayed: str = "") -> None:
        self._beat_s = beat_s
        self._delayed, self._delay_s = delayed, 0.0
        self.door = Door.enrolled(journal=SqliteJournal(folder / "journal.sqlite"), limits=HARD)
        self.asker = world.bus("harbour-police")
        self.tap = Tap(world.broker.device_port)
        self.heard = 0
        look = self.door.vault.overlapping

        def slowly(from_ms: int, to_ms: int) -> Any:
            """As if there were a day of footage to look through, or nothing."""
            found = look(from_ms, to_ms)
            if found:
                time.sleep(3.5 * BEAT_S)
            return found

        self.door.vault.overlapping = slowly  # type: ignore[method-assign]
        take = self.door.custodian.on_message

        def counted(topic: str, data: bytes) -> Any:
            try:
                return take(topic, data)
            finally:
                self.heard += 1

        self.door.custodian.on_message = counted  # type: ignore[method-assign]
        settings = world.settings(DEVICE, port=self.tap.port, inbound_beat_s=beat_s, keepalive_s=KEEPALIVE_S)
        self.bus = MqttBus(settings)
        self._plant(self.bus._beat)
        cell = cell_filter(cell_of(*DOOR))
        self.uplink = Uplink(
            self.bus,
            self.door.custodian,
            self.door.outbox,
            RunningClock(),
            device=DEVICE,
            cell_filter=cell,
            uniform=lambda _low, _high: 1e9,  # that it subscribes again is a matter of chance, and never of a request
        )
        self._thread = threading.Thread(target=self.uplink.run, name="uplink")
        self._thread.start()
        self.asker.start()
        until(lambda: self.uplink.status().link == "connected", "the doorbell to connect")
        until(lambda: isinstance(self.asker.next_event(1.0), BusConnected), "the requester to connect")
        until(lambda: has_read(self.uplink), "the doorbell to read its cell")
        self._tokens = iter(range(1, 10**9))
        self._settle()
        self._began, self.tap.pings = time.monotonic(), 0

    @property
    def pings_by_the_clock(self) -> bool:
        """Returns whether there were no more pings than the clock asks for."""
        return self.tap.pings <= (time.monotonic() - self._began) // KEEPALIVE_S + 1

    def close(self) -> None:
        self.uplink.stop()
        self._thread.join()
        self.tap.close()
        self.door.close()

    def _plant(self, beat: AcknowledgementBeat) -> None:
        wait_s = beat.wait_s

        def longer(now_s: float) -> float:
            left_s = wait_s(now_s)
            if not left_s and self._delay_s:
                time.sleep(self._delay_s)
            return left_s

        beat.wait_s = longer  # type: ignore[method-assign]

    def _settle(self) -> None:
        """Until nothing has moved for a while."""
        while True:
            before = len(self.tap.sent), len(self.tap.came)
            time.sleep(QUIET_S)
            if (len(self.tap.sent), len(self.tap.came)) == before:
                return

    def _publish(self, topic: str, data: bytes) -> None:
        while self.asker.next_event(0) is not None:
            pass  # what was acknowledged makes room
        until(lambda: self.asker.publish(topic, data, token=next(self._tokens)), "the broker to take it")

    def ask(self, way: str) -> Seen:
        """A request that is met that way, another message behind it, and everything that follows."""
        from_s = samples.request().from_s - (7200 if way == "no match" else 0)
        number = next(custodians._numbers)
        asked = custodians.request(
            from_s=from_s,
            to_s=from_s + 1200,
            not_after_s=self.door.clock.now().utc_ns // 10**9 + 600,
            case=f"HH {number:06}",  # equal lengths
            seq=10**6 + number,
        )
        data = signed(asked, STRANGER if way == "untrusted" else POLICE)
        if way == "malformed":
            data = b"\0" * len(data)
        topic = str(RequestTopic(cell_of(*DOOR), "harbour-police", 0))
        if way == "opted out":
            self.door.obey(OptOut(**stated(), scope=Scope.ALL))
        self._settle()
        time.sleep(random.uniform(0, self._beat_s))
        self.tap.sent.clear()
        self.tap.came.clear()
        heard = self.heard
        self._delay_s = PLANTED_S if way == self._delayed else 0.0
        self._publish(topic, data)
        self._publish(topic, b"?" * 100)
        until(lambda: self.heard == heard + 2, "the doorbell to hear it")
        until(lambda: len(self.tap.sent) >= 2, "the tap to see two acknowledgements")
        if way == "denied":
            self.door.deny(asked)
        if way == "expired":
            self._pass(900)
        self._settle()
        sent, came = list(self.tap.sent), list(self.tap.came)
        if way == "opted out":
            self.door.obey(OptIn(**stated(), scope=Scope.ALL))
        state = {
            "denied": RequestState.DENIED,
            "ignored": RequestState.PENDING,
            "expired": RequestState.EXPIRED,
            "no match": RequestState.NO_MATCH,
        }
        assert self.door.state(asked) is (RequestState.OPTED_OUT if way == "opted out" else state.get(way))
        if way == "ignored":
            self.door.deny(asked)  # much later
        self._pass(1800)
        # Without a beat, what a listener has is the time since the message came.
        late = [at % self._beat_s if self._beat_s else at - came[0] for at, _ in sent]
        gaps = [after - before for (before, _), (after, _) in itertools.pairwise(sent)]
        return Seen(tuple(size for _, size in sent), (*late, *gaps))

    def _pass(self, seconds: int) -> None:
        """Time passes: half an hour from one request to the next is within the rates."""
        self.door.clock.boot_ns += seconds * 10**9
        self.door.custodian.requests.on_time()


def chance(ones: list[float], others: list[float]) -> float:
    """Probability that ranks differ this much by chance (Mann-Whitney, two-sided, normal approximation).

    Equal values share the mean of their ranks. There are many on a busy machine: the tap reads two records at once, and
    no time lies between them.
    """
    counted = sorted(Counter((*ones, *others)).items())
    before = itertools.accumulate((count for _, count in counted), initial=0)
    rank = {value: below + (count + 1) / 2 for (value, count), below in zip(counted, before, strict=False)}
    n, m = len(ones), len(others)
    ties = sum(count**3 - count for _, count in counted) / ((n + m) * (n + m - 1))
    deviation = math.sqrt(n * m / 12 * (n + m + 1 - ties))
    if not deviation:
        return 1.0  # all are equal
    return math.erfc(abs(sum(rank[value] for value in ones) - n * (n + m + 1) / 2) / deviation / math.sqrt(2))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    with broker_with_clients(tmp_path / "broker") as world:
        made: list[House] = []

        def make(**how: Any) -> House:
            """Makes a new house in place of the one before, which had the same doorbell's connection."""
            while made:
                made.pop().close()
            folder = Path(tempfile.mkdtemp(dir=tmp_path))
            made.append(House(world, folder, **how))
            return made[-1]

        yield make
        for each in made:
            each.close()


def pairs(house: House, ways: tuple[str, ...], count: int) -> dict[str, list[tuple[Seen, Seen]]]:
    """Returns pairs for each way, beside a request that matches nothing, in any order."""
    order = [way for way in ways for _ in range(count)]
    random.shuffle(order)
    found: dict[str, list[tuple[Seen, Seen]]] = {way: [] for way in ways}
    for way in order:
        first = random.random() < 0.5
        one = house.ask(way) if first else None
        nothing = house.ask("no match")
        found[way].append((one or house.ask(way), nothing))
    return found


def chances(seen: list[tuple[Seen, Seen]]) -> list[float]:
    """For each time that could be told apart."""
    return [
        chance([one.times_s[at] for one, _ in seen], [other.times_s[at] for _, other in seen])
        for at in range(len(seen[0][0].times_s))
    ]


def would_show(seen: list[tuple[Seen, Seen]]) -> bool:
    """Returns whether this many times, as spread as these, would show a delay of `PLANTED_S` in nine draws of ten.

    It looks only at requests that match nothing. Whether more are drawn must not depend on the difference in question.
    """
    times_s = [nothing.times_s[0] for _, nothing in seen]
    return chance(times_s, [each + PLANTED_S for each in times_s]) < LEAST_LIKELY / 1000


def test_a_listener_cannot_tell_any_no_from_a_nothing_here(house: Callable[..., House]) -> None:
    line = house()
    found = pairs(line, WAYS, PAIRS_OF_A_WAY)
    assert line.pings_by_the_clock
    if WHOLE:
        # On a busy machine answers are late by more than the delay that is looked for. More pairs make up for it.
        for _ in range(MOST_DRAWS - 1):
            weak = tuple(way for way in WAYS if not would_show(found[way]))
            if not weak:
                break
            # A draw takes ten days of the doorbell's clock, and footage of 45 days ago can no longer be asked for.
            for way, more in pairs(house(), weak, PAIRS_OF_A_WAY).items():
                found[way] += more
        assert not [way for way in WAYS if not would_show(found[way])], "this machine is too busy"
    for way, seen in found.items():
        assert {one.sizes for one, _ in seen} == {other.sizes for _, other in seen}, way
        assert len({one.sizes for one, _ in seen}) == 1, way
        by_chance = chances(seen)
        print(f"{way}: {len(seen)} pairs, {seen[0][0].sizes} bytes, {[round(each, 3) for each in by_chance]}")
        assert min(by_chance) > LEAST_LIKELY, way
    there = [pair for way, seen in found.items() for pair in seen if way not in ("untrusted", "malformed")]
    by_chance = chances(there)
    print(f"footage or none: {len(there)} pairs, {[round(each, 3) for each in by_chance]}")
    assert min(by_chance) > LEAST_LIKELY, "how long the doorbell looked through its footage"


@pytest.mark.at_length("make prove-consent")
@pytest.mark.parametrize("way", ["opted out", "untrusted"])
def test_a_doorbell_that_takes_5_ms_longer_for_one_no_is_noticed(house: Callable[..., House], way: str) -> None:
    line = house(delayed=way)
    seen: list[tuple[Seen, Seen]] = []
    for _ in range(MOST_DRAWS):
        seen += pairs(line, (way,), PAIRS_OF_A_WAY)[way]
        if min(chances(seen)) < LEAST_LIKELY:
            break
    print(f"{len(seen)} pairs: {chances(seen)}")
    assert min(chances(seen)) < LEAST_LIKELY


@pytest.mark.at_length("make prove-consent")
def test_without_the_beat_a_listener_could_tell_who_is_trusted(house: Callable[..., House]) -> None:
    found = pairs(house(beat_s=0.0), ("untrusted",), 60)["untrusted"]
    whole = [(one, other) for one, other in found if len(one.sizes) == len(other.sizes) == 2]
    print(f"{len(whole)} pairs: {chances(whole)}")
    assert min(chances(whole)) < LEAST_LIKELY


@pytest.mark.parametrize(("apart", "noticed"), [(0.0, False), (1.5, True)])
def test_the_test_of_ranks_notices_a_difference_and_none_where_there_is_none(apart: float, noticed: bool) -> None:
    drawn = random.Random(3)
    ones = [drawn.expovariate(1.0) for _ in range(40)]
    others = [drawn.expovariate(1.0) + apart for _ in range(40)]
    assert (chance(ones, others) < LEAST_LIKELY) is noticed


@pytest.mark.parametrize("equal", [0.2, 0.4, 0.7, 1.0])
def test_times_that_are_equal_make_no_difference(equal: float) -> None:
    """On a busy machine the tap reads both acknowledgements at once, and the time between them is 0."""
    drawn = random.Random(5)
    between = [0.0 if drawn.random() < equal else drawn.expovariate(1.0) for _ in range(320)]
    assert chance(between[:160], between[160:]) > 0.01
