"""Light doorbells: the real uplink, reading of cells and upload over a `LightBus`, without camera, vault and owner.

A message is verified by the function that a doorbell's custodian calls (`wire.inbound`), once for all doorbells
with the same trust: the function is pure. A doorbell with a `House` answers each request that it hears; an owner's
client and its consent are not simulated.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from agent.clients.requester.identity import SentRequest
from agent.core.bus import BusConnected, BusDisconnected, Subscribed, SubscriptionRefused
from agent.core.requests import OutboxPart, OutboxRecord
from agent.core.trust_chunks import TrustChunks
from agent.errors import DoorwardError
from agent.mqtt import BusSettings, sessionless
from agent.platform.system_clock import SystemClock
from agent.uplink.uplink import Uplink
from agent.wire.disclosures import Receipt, ReceiptState
from agent.wire.inbound import VerifiedMessage, verify_inbound
from agent.wire.messages import Bulletin, FootageRequest
from agent.wire.topics import TRUST_FILTER, Topic, TrustTopic, cell_filter, parse_topic
from agent.wire.trust import TrustStore
from agent.wire.trust_package import PublishedChunk
from tests.clients.requester.house import Disclosure, House
from tests.scale.light_bus import LightBus, Switchboard
from tests.scale.promises import Book, Sent, sha256_of

__all__ = ["Judge", "LightDoorbell"]

_SAME = 4096
_SAME_STORES = 256
"""A shard has one for each list, and doorbells that were away come from one of the last few."""
_K, _V = TypeVar("_K"), TypeVar("_V")


def _make_room(held: dict[_K, _V], most: int) -> None:
    while len(held) >= most:
        del held[next(iter(held))]


class _SharedChunks(TrustChunks):
    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge

    def put(self, topic: TrustTopic, data: bytes, chosen: Container[str]) -> None:
        super().put(topic, data, chosen)
        key = (topic.root, topic.slot)
        self._held[key] = self._judge.chunk(self._held[key])


class Judge:
    """Verifies messages and packages for all doorbells. Answers are made in its thread, as owners have time."""

    def __init__(self, first: TrustStore, book: Book) -> None:
        self.first, self.book = first, book
        self.owners = ThreadPoolExecutor(1, "owner")
        self.on_approval: Callable[[Disclosure, str], None] = lambda _made, _requester: None
        """Called with each answer and its requester, before any byte of it leaves."""
        self._held: list[Callable[[], None]] | None = None
        self._verified: dict[tuple[int, str, bytes], tuple[TrustStore, VerifiedMessage | None]] = {}
        self._stores: dict[tuple[int, str], tuple[TrustStore, TrustStore]] = {}
        """The stores before and after a package. While one is noted here, no other has its address."""
        self._chunks: dict[PublishedChunk, PublishedChunk] = {}

    def verify(self, data: bytes, topic: Topic, trust: TrustStore) -> VerifiedMessage | None:
        key = (id(trust), str(topic), data)
        if key not in self._verified:
            _make_room(self._verified, _SAME)
            try:
                self._verified[key] = trust, verify_inbound(data, topic, trust, int(time.time()))
            except DoorwardError:
                self._verified[key] = trust, None
        return self._verified[key][1]

    def accept(self, trust: TrustStore, package: bytes) -> TrustStore:
        """Returns the store after a package, or the same one if the package is refused."""
        key = (id(trust), sha256_of(package))
        if key not in self._stores:
            _make_room(self._stores, _SAME_STORES)
            try:
                made = trust.accept(package, int(time.time()))[0]
            except DoorwardError:
                made = trust
            known = itertools.chain([self.first], *self._stores.values())
            self._stores[key] = trust, next((each for each in known if each == made), made)
        return self._stores[key][1]

    def chunk(self, chunk: PublishedChunk) -> PublishedChunk:
        """Returns the same object for the same chunk, because thousands of doorbells hold it."""
        _make_room(self._chunks, _SAME)
        return self._chunks.setdefault(chunk, chunk)

    def hold(self) -> None:
        """Keeps answers back, until `release`."""
        self._held = []

    @property
    def held(self) -> int:
        return len(self._held or ())

    def release(self) -> None:
        held, self._held = self._held, None
        for send in held or ():
            send()

    def send(self, act: Callable[[], None]) -> None:
        if self._held is None:
            act()
        else:
            self._held.append(act)

    def stop(self) -> None:
        self.owners.shutdown(cancel_futures=True)


@dataclass(slots=True)
class _Answer:
    record: OutboxRecord
    disclosure: Disclosure
    newest: int = 0


class LightCustody:
    """The custodian's part: `CustodyPort`, and the outbox."""

    def __init__(self, door: str, judge: Judge, house: House | None, wake: Callable[[], None]) -> None:
        self._door, self._judge, self._house, self._wake = door, judge, house, wake
        self.trust = judge.first
        self._chunks = _SharedChunks(judge)
        self._asked: set[str] = set()
        self._answers: dict[str, _Answer] = {}

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        where = parse_topic(topic)
        if isinstance(where, TrustTopic):
            self._chunks.put(where, data, self.trust.roots)
            package = self._chunks.whole(where.root)
            if package is not None:
                self._accept(where.root, package)
            return None
        verified = self._judge.verify(data, where, self.trust)
        match verified and verified.message:
            case FootageRequest() as request:
                self._judge.book.hear(request.id, self._door, time.monotonic())
                if verified is not None:
                    self._judge.book.name(sha256_of(verified.payload), request.id)
                if self._house is not None and request.id not in self._asked:
                    self._asked.add(request.id)
                    self._judge.owners.submit(self._answer, request, data, verified.payload if verified else b"")
            case Bulletin() as bulletin:
                self._judge.book.hear(bulletin.id, self._door, time.monotonic())
            case Receipt() as receipt:
                return self._receipt(receipt)
            case _:
                pass
        return None

    def _accept(self, root: str, package: bytes) -> None:
        before, self.trust = self.trust, self._judge.accept(self.trust, package)
        first = before.bundles[root].version if root in before.bundles else 0
        for version in range(first, self.trust.bundles[root].version if root in self.trust.bundles else 0):
            self._judge.book.hear(f"list {version + 1}", self._door, time.monotonic())

    def _answer(self, request: FootageRequest, data: bytes, payload: bytes) -> None:
        """In the owners' thread."""
        assert self._house is not None
        asked = SentRequest(request, data, payload, None)  # type: ignore[arg-type]
        made = self._house.disclose(asked)
        parts = tuple(
            OutboxPart(number, f"{number}" if number else "", size.size_bytes, size.sha256)
            for number, size in enumerate(made.sizes)
        )
        record = OutboxRecord(made.id, request.id, request.requester, parts)
        self._judge.on_approval(made, request.requester)
        with self._judge.book.lock:
            self._judge.book.sent[made.id] = Sent(request.id, tuple(size.sha256 for size in made.sizes))

        def send() -> None:
            self._answers[made.id] = _Answer(record, made)
            self._wake()

        self._judge.send(send)

    def _receipt(self, receipt: Receipt) -> Receipt | None:
        answer = self._answers.get(receipt.disclosure)
        if answer is None or receipt.seq <= answer.newest:
            return None
        answer.newest = receipt.seq
        sent = self._judge.book.sent[receipt.disclosure]
        sent.acknowledged |= {part for span in receipt.stored for part in range(span.first, span.last + 1)}
        if receipt.state is not ReceiptState.PARTIAL:
            sent.state = receipt.state.value
            if receipt.state is ReceiptState.COMPLETE:
                sent.acknowledged |= set(range(len(sent.sha256)))
            del self._answers[receipt.disclosure]
        return receipt

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        return [(each.record, True) for each in list(self._answers.values())]

    def begin_sending(self, disclosure: str) -> bool:
        return disclosure in self._answers

    def read(self, disclosure: str, number: int, offset: int, size: int) -> bytes:
        return self._answers[disclosure].disclosure.parts[number][offset : offset + size]


class _LightUplink(Uplink):
    """Tells when the line comes and goes. `turn` is one round of `run`."""

    def begin(self) -> None:
        for each in self._buses:
            each.start()
        self._subscribe()

    def turn(self) -> None:
        self._step()

    def due_s(self) -> float:
        """Returns the seconds until the next turn, if nothing comes meanwhile."""
        now = self._now()
        deadlines = [self._look_ns, self._reread_ns, *([] if self._second_look_ns is None else [self._second_look_ns])]
        deadlines += [each.sender.deadline_ns for each in self._transfers.values() if each.sender.deadline_ns]
        deadlines += self._reads_ns(now)
        return max(0.0, (min(deadlines) - now) / 1e9)


class LightDoorbell:
    """One doorbell. All of it runs in the switchboard's thread, apart from the owners'.

    In the book it is connected from the moment at which its broker has taken both its subscriptions, with a session
    over two connections.
    """

    def __init__(
        self, settings: BusSettings, cell: str, board: Switchboard, judge: Judge, house: House | None = None
    ) -> None:
        self.device, self._board, self._book = settings.name, board, judge.book
        self.bus = LightBus(settings, board, self._turn)
        second = sessionless(settings)
        self.live = LightBus(second, board, self._turn) if second is not None else None
        self.custody = LightCustody(self.device, judge, house, lambda: board.do(self._wake))
        own, lists = frozenset({cell_filter(cell)}), frozenset({TRUST_FILTER})
        self._missing = own | lists
        """Subscriptions that the broker has yet to take."""
        self._connected_s: float | None = None
        """When it was connected. None: it is not, or it listens."""
        self._uplink = _LightUplink(
            self.bus, self.custody, self.custody, SystemClock(),  # type: ignore[arg-type]
            device=self.device, cell_filter=cell_filter(cell), uniform=board.uniform,
            live=self.live,
        )  # fmt: skip
        self._turns = 0
        self._tell_note("_on_event", own if self.live is not None else own | lists)
        self._tell_note("_on_live_event", lists)

    def start(self) -> None:
        self._uplink.begin()
        self._turn()

    def stop(self) -> None:
        for each in self._buses:
            each.stop()

    @property
    def _buses(self) -> tuple[LightBus, ...]:
        return (self.bus,) if self.live is None else (self.bus, self.live)

    def _tell_note(self, method: str, filters: frozenset[str]) -> None:
        """Notes each event of a connection before the uplink takes it. `filters`: those of this connection."""
        on_event = getattr(self._uplink, method)

        def told(event: object) -> None:
            self._note(event, filters)
            on_event(event)

        setattr(self._uplink, method, told)

    def _note(self, event: object, filters: frozenset[str]) -> None:
        now_s = time.monotonic()
        match event:
            case BusConnected():
                self._connected_s, self._missing = now_s, self._missing | filters
            case Subscribed(topic_filter=taken) if taken in self._missing & filters:
                self._missing -= {taken}
                if not self._missing:
                    self._ends_waiting(now_s)
                    self._book.links[self.device].begin(now_s)
            case SubscriptionRefused(topic_filter=refused) if refused in filters and not event.may_pass:
                self._board.failures.append(RuntimeError(f"{self.device} may not subscribe to {refused}"))
            case BusDisconnected():
                self._ends_waiting(now_s)
                self._missing |= filters
                self._book.links[self.device].end(now_s)
            case _:
                pass

    def _ends_waiting(self, now_s: float) -> None:
        if self._connected_s is not None:
            self._book.subscribes(now_s - self._connected_s)
        self._connected_s = None

    def _wake(self) -> None:
        self._uplink.wake()
        self._turn()

    def _turn(self) -> None:
        """Turns until nothing waits and a turn has taken no event: what the last one asks for is sent in the next turn,
        which a real uplink begins at once."""
        taken = -1
        while taken != (count := sum(each.taken for each in self._buses)) or self._wait_s() == 0.0:
            taken = count
            self._uplink.turn()
        self._turns += 1
        wait_s = self._wait_s()
        due_s = self._uplink.due_s()
        self._board.after(min(due_s, due_s if wait_s is None else wait_s), functools.partial(self._again, self._turns))

    def _wait_s(self) -> float | None:
        return min((wait_s for each in self._buses if (wait_s := each.wait_s()) is not None), default=None)

    def _again(self, turns: int) -> None:
        if turns == self._turns:  # otherwise a newer turn has set its own time
            self._turn()
