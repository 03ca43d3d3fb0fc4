"""A device, a requester and a broker between them that loses, repeats and reorders, on a clock that only we move."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.core.bus import LinkFault, PublishAcknowledged, PublishLost, PublishResult
from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.core.transfer import (
    AllReceived,
    ClearInit,
    Finished,
    ManifestReceived,
    MarkBegun,
    PartSize,
    ReceiverLimits,
    SealPart,
    SendAbort,
    SendChunk,
    SendFin,
    SendInit,
    SendReceipt,
    TransferProgress,
    UploadReceiver,
    UploadSender,
    WritePart,
)
from agent.wire.disclosures import ReceiptState

PACKET_BYTES = 147_456
BUS_WINDOW = 8


@dataclass
class Weather:
    """The network's effect on every message."""

    loses: float = 0.0
    repeats: float = 0.0
    slowest_s: float = 0.01
    breaks_every_s: float = 0.0
    restarts_every_s: float = 0.0


FINE = Weather()


@dataclass
class Disk:
    """The state that survives a restart of the requester: sealed parts, and if the whole was completed."""

    sealed: dict[int, bytes] = field(default_factory=dict)
    completed: int = 0


class Simulation:
    """`parts` are the bytes of the parts; `parts[0]` stands for the manifest."""

    def __init__(self, parts: list[bytes], seed: int, weather: Weather) -> None:
        self.random = random.Random(seed)
        self.parts = parts
        self.sizes = tuple(PartSize(len(part), hashlib.sha256(part).hexdigest()) for part in parts)
        self.weather = weather
        self.limits = ReceiverLimits()
        self.now = BootNs(0)
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0
        self.disk = Disk()
        self.begun_durable = False
        self.retained_init: SendInit | None = None
        self.sent: list[SendChunk] = []
        self.finished: list[Finished] = []
        self.requester_up = True
        self.spoil: Callable[[SendChunk, bytes], bytes] = lambda _, data: data
        self.start_device()
        self.start_requester()

    # Time

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds(delay_s), self.count, action))

    def run(self, until_s: float, done: Callable[[], bool] = lambda: False) -> None:
        """Move time to the next event or timer until `done` or `until_s`."""
        while not done():
            answer_ns = self.receiver.deadline_ns if self.receiver is not None else None
            timers = (self.sender.deadline_ns, answer_ns, self.events[0][0] if self.events else None)
            due = [at for at in timers if at is not None]
            if not due or min(due) > seconds(until_s):
                self.now = BootNs(max(self.now, seconds(until_s)))
                return
            self.now = BootNs(max(self.now, min(due)))
            if self.events and self.events[0][0] <= self.now:
                heapq.heappop(self.events)[2]()
            self.pump_device()
            self.pump_requester()

    @property
    def now_s(self) -> float:
        return self.now / NS_PER_S

    # The device

    def start_device(self) -> None:
        self.life = object()
        self.in_flight: set[int] = set()
        self.link = True
        self.sender = UploadSender(self.sizes, begun=self.begun_durable, first_token=1000 * self.count)
        self.sender.connected(PACKET_BYTES)
        self.pump_device()

    def break_link(self, fault: LinkFault = LinkFault.LOST) -> None:
        self.link = False
        for token in sorted(self.in_flight):
            self.sender.settled(PublishLost(token), self.now)
        self.in_flight.clear()
        self.sender.disconnected(fault)
        life = self.life
        self.later(self.random.uniform(0.1, 4), lambda: self.mend_link(life))

    def mend_link(self, life: object) -> None:
        if life is self.life:
            self.link = True
            self.sender.connected(PACKET_BYTES)
            self.pump_device()

    def pump_device(self) -> None:
        while (effect := self.sender.next_effect(self.now)) is not None:
            match effect:
                case MarkBegun():
                    self.begun_durable = True
                case Finished():
                    self.finished.append(effect)
                case _ if not self.link or len(self.in_flight) >= BUS_WINDOW:
                    self.sender.put_back(effect.token)
                    return
                case _:
                    self.in_flight.add(effect.token)
                    self.publish(effect)

    def publish(self, effect: SendInit | SendChunk | SendFin | SendAbort | ClearInit) -> None:
        if isinstance(effect, SendChunk):
            assert self.begun_durable
            self.sent.append(effect)
        if isinstance(effect, SendInit):
            self.retained_init = effect
        if isinstance(effect, ClearInit):
            self.retained_init = None
        heard = self.requester_up
        life = self.life
        self.to_requester(lambda: self.arrive(effect))
        self.later(
            self.random.uniform(0, self.weather.slowest_s),
            lambda: self.settle(life, PublishAcknowledged(effect.token, heard)),
        )

    def settle(self, life: object, event: PublishResult) -> None:
        if life is self.life and event.token in self.in_flight:
            self.in_flight.discard(event.token)
            self.sender.settled(event, self.now)
            self.pump_device()

    def receipt_arrives(self, life: object, held: TransferProgress) -> None:
        if life is self.life and self.link:
            self.sender.receipt(held, self.now)
            self.pump_device()

    # The broker's deliveries

    def to_requester(self, action: Callable[[], None]) -> None:
        if not self.requester_up or self.random.random() < self.weather.loses:
            return
        for _ in range(2 if self.random.random() < self.weather.repeats else 1):
            self.later(self.random.uniform(0, self.weather.slowest_s), action)

    def to_device(self, held: TransferProgress) -> None:
        life = self.life
        if self.random.random() < self.weather.loses:
            return
        for _ in range(2 if self.random.random() < self.weather.repeats else 1):
            self.later(self.random.uniform(0, self.weather.slowest_s), lambda: self.receipt_arrives(life, held))

    # The requester

    def start_requester(self) -> None:
        self.requester_up = True
        self.receiver: UploadReceiver | None = None
        self.unsealed: dict[int, bytearray] = {}
        if self.retained_init is not None:
            init = self.retained_init
            self.to_requester(lambda: self.arrive(init))

    def stop_requester(self) -> None:
        self.requester_up = False
        self.receiver = None
        self.unsealed.clear()

    def arrive(self, effect: object) -> None:
        if not self.requester_up:
            return
        match effect:
            case SendInit(_, parts, manifest, question):
                if self.receiver is None:
                    state = ReceiptState.COMPLETE if self.disk.completed else ReceiptState.PARTIAL
                    sealed = frozenset(self.disk.sealed)
                    self.receiver = UploadReceiver(manifest, parts, self.limits, sealed=sealed, state=state)
                self.receiver.init(manifest, parts, question)
            case SendChunk(_, part, offset, length) if self.receiver is not None:
                data = self.spoil(effect, self.parts[part][offset : offset + length])
                self.receiver.chunk(part, offset, data, hashlib.sha256(data).hexdigest())
            case SendFin(_, part, _) if self.receiver is not None:
                self.receiver.fin(part)
        self.pump_requester()

    def pump_requester(self) -> None:
        while self.receiver is not None and (effect := self.receiver.next_effect(self.now)) is not None:
            match effect:
                case WritePart(part, offset, data):
                    file = self.unsealed.setdefault(part, bytearray())
                    file.extend(bytes(max(0, offset + len(data) - len(file))))
                    file[offset : offset + len(data)] = data
                case SealPart(part, size):
                    content = bytes(self.unsealed.pop(part))
                    matches = PartSize(len(content), hashlib.sha256(content).hexdigest()) == size
                    if matches:
                        assert part not in self.disk.sealed, "a sealed part is never written again"
                        self.disk.sealed[part] = content
                    self.receiver.sealed(part, matches)
                case ManifestReceived():
                    self.receiver.expect(self.sizes[1:])
                case AllReceived():
                    self.disk.completed += 1
                    self.receiver.complete()
                case SendReceipt(held):
                    self.to_device(held)
