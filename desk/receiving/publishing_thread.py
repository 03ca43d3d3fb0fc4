"""The publisher of one organisation: one thread that holds the connection to its brokers, and publishes over it.

It never asks the store of sealed parts. So requests go out, and go back to a broker that has lost them, whatever the
receiver waits for. The receiver takes its uploads from the same connection (`share`), because a broker knows one
connection by each certificate.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from django.conf import settings

from agent.clients.requester.cell_brokers import CellBrokers
from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.clients.requester.publisher import connection_lock
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.shared_bus import BusShare, RequesterBus, SharedBus
from agent.errors import DoorwardError
from agent.mqtt import MqttBus
from agent.platform import files
from agent.ports import Clock
from desk.custody.log import record
from desk.people.models import Organisation
from desk.receiving.answer_rows import ACTOR, AnswerRecorder
from desk.receiving.broker_connection import files_used
from desk.receiving.notices import add_notice
from desk.repeating_thread import RepeatingThread, is_away

__all__ = ["STEP_S", "OpenBus", "OpenRequester", "PublishingThread"]

OpenBus = Callable[[Requester], RequesterBus]
"""Returns a started connection for a requester. Raises `ConfigurationError`."""
OpenRequester = Callable[[Organisation], Requester]

STEP_S: Final = 0.5
_LOCK_WAIT_S: Final = 2.0
_FILE_LIMIT_BYTES: Final = 1024 * 1024
"""A larger file counts as unreadable."""
_LOOK_AT_FILES_S: Final = 5.0
"""From one look for a new password or certificate to the next. A person at the page waits for it."""

_Contents = list[tuple[tuple[Path | None, str], ...]]


class PublishingThread(RepeatingThread):
    """`failed` is told each error, in its thread."""

    def __init__(
        self,
        organisation: Organisation,
        open_requester: OpenRequester,
        open_bus: OpenBus,
        clock: Clock,
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__(f"publisher-{organisation.requester_id}")
        self._organisation = Organisation(pk=organisation.pk, requester_id=organisation.requester_id)
        """A separate copy: the receiver's thread changes its own."""
        self._open_requester = open_requester
        self._open_bus = open_bus
        self._clock = clock
        self._failed = failed
        self._reconnect = False
        """True once the root has listed other brokers, or a person gave a password or a certificate for one."""
        self._files: _Contents = []
        """The files with which the connection signs in at each broker, and the SHA-256 of each."""
        self._changed = threading.Condition()
        self._shared: SharedBus | None = None
        self._ends = contextlib.ExitStack()
        """Closes the connection."""

    @property
    def is_connected(self) -> bool:
        """True if a broker is connected."""
        shared = self._shared
        return shared is not None and shared.is_connected

    @property
    def has_connection(self) -> bool:
        """True if there is a connection, also one that waits for its brokers."""
        return self._shared is not None

    def share(self, timeout_s: float) -> BusShare | None:
        """Returns a share of the connection that takes the uploads. None: there was no connection for that long."""
        with self._changed:
            self._changed.wait_for(lambda: self._shared is not None, timeout_s)
            return None if self._shared is None else self._shared.port(uploads=True)

    def _step(self) -> None:
        self._publish()
        self._disconnect()

    def _on_fault(self, error: Exception) -> None:
        # A database that is away ends no connection. New ones every few seconds would never hear a broker's whole
        # answer.
        if not is_away(error):
            self._disconnect()
        self._failed(error)

    def _end(self) -> None:
        self._disconnect()

    def _publish(self) -> None:
        """Publishes until `stop` or other brokers. Raises the errors of database and configuration."""
        self._organisation.refresh_from_db()
        requester = self._open_requester(self._organisation)
        try:
            if self._shared is None:
                self._connect(requester)
            assert self._shared is not None  # noqa: S101 (just connected)
            with self._shared.port() as bus:
                try:
                    self._publish_over(bus, requester)
                finally:
                    # Before the claim to publish is given up: another worker may then replace an unanswered publication
                    # by a newer one, which the old one must not replace. A connection that failed gets a new one.
                    if bus.in_flight or self._shared.failed is not None:
                        self._disconnect()
        finally:
            requester.claims.close()

    def _publish_over(self, bus: BusShare, requester: Requester) -> None:
        recorder = AnswerRecorder(self._organisation, requester)
        receiver = DisclosureReceiver(
            requester, bus, self._clock, tell=lambda event: self._tell(event, recorder), receives=False
        )
        receiver.start()
        looked_s = time.monotonic()
        while not self._stop.is_set() and not self._reconnect:
            self._moves()
            receiver.step(STEP_S)
            if time.monotonic() - looked_s >= _LOOK_AT_FILES_S:
                looked_s = time.monotonic()
                self._look_at_files(requester)
            if self._shared is not None and self._shared.failed is not None:
                raise self._shared.failed

    def _look_at_files(self, requester: Requester) -> None:
        """Other files need another connection. If the root's list names no broker now, for example because it has
        ended, the connection stays: the next list comes over it."""
        used = _contents(files_used(requester))
        if used and used != self._files:
            self._reconnect = True

    def _connect(self, requester: Requester) -> None:
        self._reconnect, self._files = False, _contents(files_used(requester))
        with contextlib.ExitStack() as ends:
            ends.enter_context(connection_lock(requester, wait_s=_LOCK_WAIT_S))
            bus = ends.enter_context(_stopped(self._open_bus(requester)))
            shared = ends.enter_context(SharedBus(bus))
            # Only here, because the stack closes what is open if one of them fails.
            self._ends = ends.pop_all()
        with self._changed:
            self._shared = shared
            self._changed.notify_all()

    def _disconnect(self) -> None:
        with self._changed:
            # Before it closes, so that the receiver takes no share of a connection that ends.
            self._shared = None
        self._ends.close()

    def _tell(self, event: ReceiverEvent, recorder: AnswerRecorder) -> None:
        """The receiver's thread says how the connection is."""
        match event.kind:
            case ReceiverEventKind.ROOT_LIST | ReceiverEventKind.ROOT_BROKERS:
                record(
                    self._organisation, ACTOR, "organisation.root-news", self._organisation.trust_root,
                    brokers=event.kind is ReceiverEventKind.ROOT_BROKERS,
                )  # fmt: skip
                if event.kind is ReceiverEventKind.ROOT_BROKERS and not settings.DESK.broker.host:
                    self._reconnect = True
            case ReceiverEventKind.ROOT_REFUSED:
                add_notice(self._organisation, event.kind.value, self._organisation.trust_root, event.detail)
            case _:
                recorder.record(event)


def _contents(used: list[tuple[Path | None, ...]]) -> _Contents:
    """Returns the files with the SHA-256 of each: a new password or certificate has the path of the one before."""
    return [tuple((path, _sha256_of(path)) for path in each) for each in used]


def _sha256_of(path: Path | None) -> str:
    """Returns "" for a file that is missing or cannot be read: `open_bus` says so."""
    with contextlib.suppress(DoorwardError):
        if path is not None:
            return hashlib.sha256(files.read(path, _FILE_LIMIT_BYTES)).hexdigest()
    return ""


@contextlib.contextmanager
def _stopped(bus: RequesterBus) -> Iterator[RequesterBus]:
    try:
        yield bus
    finally:
        if isinstance(bus, MqttBus | CellBrokers):
            bus.stop()
