"""Figures of one worker for Prometheus: its receivers, what they received, its processor time and its memory.

They are of this process alone, and ask neither the database nor the store: they are there while both are away. The desk
is a worker, too. `desk.figures` has what the database says of all workers.
"""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final, Protocol

from django.db import DatabaseError, InterfaceError

from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.sealed_parts import PartsAwayError, PartsRefusedError
from agent.core.metrics import Metric, write
from desk.receiving.models import Receiver

__all__ = ["WatchedReceiver", "WorkerFigures"]

_PREFIX: Final = "doorward_worker_"
_COUNTED: Final = (
    ReceiverEventKind.BEGUN,
    ReceiverEventKind.TAKEN_OVER,
    ReceiverEventKind.COMPLETE,
    ReceiverEventKind.REFUSED,
    ReceiverEventKind.STOPPED,
    ReceiverEventKind.DROPPED,
    ReceiverEventKind.NO_ROOM,
    ReceiverEventKind.TIP,
)
_FAULTS: Final = ("store", "database", "other")
_KIB: Final = 1024
"""The unit of `ru_maxrss` (getrusage(2))."""


class WatchedReceiver(Protocol):
    """Questions to a receiver from another thread."""

    state: str

    @property
    def silence_s(self) -> float:
        """Seconds since its threads last got on."""


class WorkerFigures:
    """A supervisor adds its receivers, and each of them counts its events here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._receivers: dict[int, WatchedReceiver] = {}
        self._events: Counter[ReceiverEventKind] = Counter()
        self._faults: Counter[str] = Counter()
        self._bytes = 0
        self._began_s = time.time()

    def watch(self, organisation: int, receiver: WatchedReceiver) -> None:
        """Adds the receiver of an organisation, in the place of the one before."""
        with self._lock:
            self._receivers[organisation] = receiver

    def count(self, event: ReceiverEvent) -> None:
        """Counts an event of a receiver. Counts outlive the receiver's thread."""
        with self._lock:
            self._events[event.kind] += 1
            if event.kind is ReceiverEventKind.COMPLETE:
                self._bytes += event.held_bytes

    def count_fault(self, error: Exception) -> None:
        """Counts a fault that ended a step of a receiver or of its publisher. Each is tried again."""
        is_store = isinstance(error, PartsAwayError | PartsRefusedError)
        cause = "store" if is_store else "database" if isinstance(error, DatabaseError | InterfaceError) else "other"
        with self._lock:
            self._faults[cause] += 1

    def page(self) -> str:
        """Returns the figures of now in Prometheus' text format."""
        return write(self._figures(), _PREFIX)

    def _figures(self) -> Iterator[Metric]:
        with self._lock:
            receivers, events, held = list(self._receivers.values()), Counter(self._events), self._bytes
            faults = Counter(self._faults)
        states = Counter(each.state for each in receivers)
        samples = tuple((f'{{state="{state}"}}', float(states[state])) for state, _ in Receiver.STATES)
        yield Metric("receivers", "gauge", "Receivers of this worker, one for each organisation.", samples)
        if receivers:
            words = "Seconds since the most silent thread of a receiver got on."
            yield _one("silence_seconds", "gauge", words, max(each.silence_s for each in receivers))
        samples = tuple((f'{{event="{kind.value}"}}', float(events[kind])) for kind in _COUNTED)
        yield Metric("answers_total", "counter", "Answers and tips of doorbells since the start, by event.", samples)
        samples = tuple((f'{{cause="{cause}"}}', float(faults[cause])) for cause in _FAULTS)
        yield Metric("faults_total", "counter", "Faults of receivers since the start. Each is tried again.", samples)
        yield _one("answer_bytes_total", "counter", "Sealed bytes of complete answers since the start.", held)
        yield _one("cpu_seconds_total", "counter", "Processor time of this process.", time.process_time())
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
        yield _one("peak_memory_bytes", "gauge", "The most memory that this process has had.", most)
        yield _one("start_timestamp_seconds", "gauge", "Start of this process, in seconds since 1970.", self._began_s)


def _one(name: str, kind: str, words: str, value: float) -> Metric:
    return Metric(name, kind, words, (("", float(value)),))
