"""Publishes messages through the broker: requests, later messages about them and bulletins retained, receipts once.

- A broker's acknowledgement is kept in a file beside the message (`request.published`). So a message that was signed
  before a crash is published after it, and it is published twice only if the acknowledgement was lost.
- The file names the brokers that lack the message, because they were away or have forgotten it. The message is
  published once more when one of them is connected.
- Only the newest receipt for a disclosure is worth sending: it replaces one that still waits.
- A requester has one connection, because the broker identifies it by its name. The process that holds the folder's
  connection lock publishes. `doorward requester request` leaves the work to a running `receive`, and waits for other
  requests.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from typing import IO, Final

from agent.clients.requester import messages as requester_messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.message_index import MARK_LIMIT_BYTES
from agent.clients.requester.messages import SignedMessage
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    PublishResult,
)
from agent.errors import ConfigurationError, DoorwardError, NetworkError
from agent.platform import files
from agent.ports import Bus

__all__ = [
    "LockHolder",
    "PublishQueue",
    "brokers_lacking",
    "connection_lock",
    "is_published",
    "publish",
    "publish_pending",
]

_MOST_WAITING: Final = 1024
_SHORTEST_EXPIRY_S: Final = 60
_WAIT_S: Final = 0.2
_AGAIN_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Pauses after refusals that may pass. A node of a cluster is back within a minute; then the refusal counts."""


@dataclass(frozen=True, slots=True)
class _QueuedMessage:
    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None
    done: Callable[[PublishAcknowledged | PublishRefused], None]
    refusals: int = 0
    """Refusals so far that may pass."""
    from_s: float = 0.0
    """The next try, on the monotonic clock."""


def _nothing(_: PublishAcknowledged | PublishRefused) -> None:
    """Ignores the answer."""


class PublishQueue:
    """Messages waiting for the broker, one per slot, the newest wins. If the queue is full, the oldest are dropped.

    With several brokers, messages for one that is out of reach wait, and the others go. If a refusal may pass, its
    message goes again, up to six times within a minute.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._clock = bus, clock
        self._waiting: OrderedDict[str, _QueuedMessage] = OrderedDict()
        self._in_flight: dict[int, tuple[str, _QueuedMessage]] = {}
        self._token = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_flight)

    def put(
        self,
        topic: str,
        payload: bytes,
        *,
        slot: str | None = None,
        retain: bool = False,
        expiry_s: int | None = None,
        done: Callable[[PublishAcknowledged | PublishRefused], None] = _nothing,
    ) -> None:
        """Replaces the message that waits in the same `slot` (by default the topic). `done` is called once, with the
        answer."""
        self._waiting[slot or topic] = _QueuedMessage(topic, payload, retain, expiry_s, done)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popitem(last=False)

    def holds(self, slot: str) -> bool:
        return slot in self._waiting or any(slot == each for each, _ in self._in_flight.values())

    def pump(self) -> None:
        """Gives the bus as many messages as it accepts now."""
        lanes: dict[str, list[str]] = {}
        now_s = self._clock()
        for slot, message in self._waiting.items():
            if message.from_s > now_s:
                continue
            lanes.setdefault(self._bus.lane(message.topic), []).append(slot)
        for slots in lanes.values():
            for slot in slots:
                if not self._give(slot):
                    break

    def _give(self, slot: str) -> bool:
        message = self._waiting[slot]
        self._token += 1
        taken = self._bus.publish(
            message.topic, message.payload, token=self._token, retain=message.retain, expiry_s=message.expiry_s
        )
        if taken:
            del self._waiting[slot]
            self._in_flight[self._token] = (slot, message)
        return taken

    def settled(self, event: BusEvent) -> None:
        """Handles the broker's answer and ignores other events."""
        if not isinstance(event, PublishResult) or event.token not in self._in_flight:
            return
        slot, message = self._in_flight.pop(event.token)
        if isinstance(event, PublishRefused) and event.may_pass and message.refusals < len(_AGAIN_S):
            from_s = self._clock() + _AGAIN_S[message.refusals]
            message = replace(message, refusals=message.refusals + 1, from_s=from_s)
        elif not isinstance(event, PublishLost):
            message.done(event)
            return
        if not any(slot == other and token > event.token for token, (other, _) in self._in_flight.items()):
            self._waiting.setdefault(slot, message)  # unless a newer one waits or is in transit


Refusal = Callable[[str, DoorwardError], None]
"""Takes the id of a request that the broker refused or that cannot be read, and the error."""
Publication = Callable[[SignedMessage], None]
"""Takes a message that the broker now has in all its cells."""


def _tell_nobody(_: SignedMessage) -> None:
    """Ignores the publication."""


def publish_pending(
    requester: Requester,
    outgoing: PublishQueue,
    now_s: int,
    refused: Refusal,
    skip: Container[str] = (),
    published: Publication = _tell_nobody,
    connected: Container[str] | None = None,
) -> None:
    """Queues each signed message that a broker lacks, except those in `skip`.

    A message that only brokers outside of `connected` lack waits, and ends with its time. None: all are connected.
    """
    for name in requester.register.unsent():
        lacking, until_s = _mark(requester, name)
        if lacking is not None and (not lacking or until_s <= now_s):
            requester.register.sent(name)
            if _mark(requester, name) != (lacking, until_s):  # a newer message has this name, or a broker lacks it
                requester.register.add_unsent(name)
        elif lacking and connected is not None and not any(each in connected for each in lacking):
            continue
        elif name not in skip and requester_messages.is_stored(requester, name) and not outgoing.holds(_slot(name)):
            try:
                signed = requester_messages.signed(requester, name)
            except NetworkError:
                raise  # the database is away, and the message is sound
            except DoorwardError as error:
                refused(name, error)
                continue
            if signed.topics and signed.not_after_s > now_s:
                _put(signed, outgoing, now_s, refused, published)
            else:
                requester.register.sent(name)  # expired, or newer messages have taken all its slots


def publish(signed: SignedMessage, bus: Bus, *, now_s: int, timeout_s: float = 30.0) -> None:
    """Publishes one message over a started `bus`. The caller must leave all events of the bus to this function.

    Returns once a broker has it in each cell. A later `receive` gives it to those that are away.

    Raises `NetworkError` with the last fault of the link.
    """
    outgoing = PublishQueue(bus)
    refusals: list[DoorwardError] = []
    _put(signed, outgoing, now_s, lambda _, error: refusals.append(error))
    trouble = NetworkError("The broker did not answer in time.", remedy="Check its address, and that it runs.")
    deadline = time.monotonic() + timeout_s
    while outgoing:
        outgoing.pump()
        left = deadline - time.monotonic()
        if left <= 0:
            raise trouble
        event = bus.next_event(min(left, _WAIT_S))
        if isinstance(event, BusDisconnected):
            trouble = event.error
        elif isinstance(event, BusConnected):
            trouble = NetworkError("The broker did not acknowledge the request in time.")
        elif event is not None:
            outgoing.settled(event)
    if refusals:
        raise refusals[0]


def is_published(requester: Requester, message_id: str) -> bool:
    """Returns True if a broker of each cell has the request or bulletin, or the newest message about the request."""
    return requester.notes.is_there(requester_messages.mark_published(requester, message_id))


def brokers_lacking(requester: Requester, message_id: str) -> frozenset[str] | None:
    """Returns the brokers that lack a message that others have, or None if it is not published at all."""
    return _mark(requester, message_id)[0]


def _mark(requester: Requester, message_id: str) -> tuple[frozenset[str] | None, int]:
    """Returns the brokers that lack a message, as `brokers_lacking`, and if there are some, its end in seconds."""
    mark = requester.notes.read(requester_messages.mark_published(requester, message_id), MARK_LIMIT_BYTES)
    if mark is None:
        return None, 0
    lines = mark.decode("ascii", "replace").split("\n")[:-1]
    if not lines or not lines[0].isdecimal():
        return frozenset(), 0
    return frozenset(lines[1:]), int(lines[0])


def _slot(request_id: str, place: int = 0) -> str:
    return f"request {request_id} {place}"


def _put(
    signed: SignedMessage, outgoing: PublishQueue, now_s: int, refused: Refusal, published: Publication = _tell_nobody
) -> None:
    """Queues one message for each cell. The request counts as published with the last cell's acknowledgement."""
    missing, lacking = set(signed.topics), set[str]()
    # A message that ends within seconds still gets a minute, so that a broker can deliver it.
    expiry_s = max(signed.not_after_s - now_s, _SHORTEST_EXPIRY_S)
    for place, topic in enumerate(signed.topics):

        def done(answer: PublishAcknowledged | PublishRefused, topic: str = topic) -> None:
            if isinstance(answer, PublishRefused):
                refused(signed.id, _refusal(answer))
            else:
                missing.discard(topic)
                lacking.update(answer.lacking)
            if not missing:
                signed.mark_published(lacking)
                published(signed)

        outgoing.put(topic, signed.envelope, slot=_slot(signed.id, place), retain=True, expiry_s=expiry_s, done=done)


def _refusal(answer: PublishRefused) -> NetworkError:
    return NetworkError(
        f"The broker refused the request (code 0x{answer.code:02x} {answer.reason}).",
        remedy="Ask the operator of the broker if this requester may publish requests.",
    )


class LockHolder(enum.Enum):
    """Role of a process that is connected as the requester."""

    SERVICE = b"receive"
    """It stays, and publishes for others."""
    ERRAND = b"request"
    """It publishes one message and ends."""


@contextlib.contextmanager
def connection_lock(
    requester: Requester,
    holder: LockHolder = LockHolder.SERVICE,
    *,
    wait_s: float = 0.0,
    stop: threading.Event | None = None,
) -> Iterator[None]:
    """Holds the lock to connect as this requester. Waits at most `wait_s` for errands of other processes, or until
    `stop` is set.

    Connect only inside this block: a broker ends a connection if another one uses the same name. Raises
    `ConfigurationError` if a service holds the lock, or errands do for the whole wait.
    """
    path = requester.folder / "connection.lock"
    with files.storage_errors(path), path.open("a+b", buffering=0) as lock:
        deadline, ends = time.monotonic() + wait_s, stop or threading.Event()
        # The lock alone excludes. The words in the file only tell a waiting process which kind of holder it waits for.
        while not _locked(lock):
            lock.seek(0)
            if lock.read(16) == LockHolder.SERVICE.value or time.monotonic() >= deadline or ends.is_set():
                raise ConfigurationError(
                    f"Another 'doorward requester' is connected as {requester.id}.",
                    remedy="Stop it, or let it publish.",
                )
            ends.wait(_WAIT_S)
        lock.truncate(0)
        lock.write(holder.value)
        try:
            yield
        finally:
            lock.truncate(0)  # the next one that waits must not take the holder's role for that of one that has ended


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
