"""The receiver of one organisation: one thread with its own connection to the broker, which starts again after a fault.

The thread also runs the retention clock of the organisation, so that arrivals and deletions take turns.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection
from django.utils import timezone

from agent.clients.requester.cell_brokers import CellBrokers
from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind, ReceivingLimits
from agent.clients.requester.publisher import connection_lock
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.sealed_parts import PartsAwayError, PartsRefusedError
from agent.errors import DoorwardError, NetworkError
from agent.mqtt import MqttBus
from agent.ports import Bus, Clock
from desk.cases.deletion import run_due
from desk.cases.object_locks import lock_what_is_held
from desk.custody.log import record
from desk.people.models import Organisation
from desk.receiving.answer_rows import ACTOR, AnswerRecorder
from desk.receiving.models import Receiver, receivers, worker_name
from desk.receiving.notices import add_notice
from desk.receiving.reconcile import keep_position, reconcile, reconcile_answer
from desk.sealed_keys import require_unlocked
from desk.tips.tip_retention import tips_due

__all__ = ["OpenBus", "ReceiverThread", "pause_after"]

OpenBus = Callable[[Requester], Bus]
"""Returns a started connection for a requester. Raises `ConfigurationError`."""
OpenRequester = Callable[[Organisation], Requester]

_LIMITS: Final = ReceivingLimits(disclosures=1_000_000)
"""More answers than a person moves away by hand: here the retention clock makes room."""
_STEP_S: Final = 0.5
_LOCK_WAIT_S: Final = 2.0
_RETENTION_EVERY_S: Final = 60.0
_SIGN_OF_LIFE_EVERY_S: Final = 10.0
_RESTART_S: Final = (1.0, 5.0, 30.0)
"""Pauses before the first, second and each later restart."""
_AWAY_S: Final = 5.0
"""The longest pause while the database or the store of sealed parts is away. All workers wait for it at once, and
doorbells and requests wait for them."""
_WITHOUT_PARTS_S: Final = 5.0
"""The time for which a receiver only publishes after the store of sealed parts failed. Then it tries that again."""
_log = structlog.get_logger(__name__)


class ReceiverThread:
    """Runs until `stop`. While the store of sealed parts is away, it takes no answers, but still publishes.

    Its state is in its row of `Receiver`."""

    def __init__(
        self, organisation: Organisation, open_requester: OpenRequester, open_bus: OpenBus, clock: Clock
    ) -> None:
        self._organisation = organisation
        self._open_requester = open_requester
        self._open_bus = open_bus
        self._clock = clock
        self._stop = threading.Event()
        self._reconnect = False
        """True once the root has listed other brokers."""
        self._parts_away = ""
        """Why the store of sealed parts failed, since it was last in use."""
        self._thread = threading.Thread(target=self._run, name=f"receiver-{organisation.requester_id}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks the thread to end. `join` waits for it."""
        self._stop.set()

    def join(self) -> None:
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        faults = 0
        try:
            while not self._stop.is_set():
                began_s, last = time.monotonic(), None
                try:
                    self._receive()
                except (PartsAwayError, PartsRefusedError) as error:
                    self._failed(error)
                    self._parts_away = str(error)
                    continue
                except Exception as error:  # noqa: BLE001 (a bug must not end the thread silently)
                    self._failed(error)
                    self._parts_away = ""  # nothing could be published, so nothing is held up by the next deletions
                    last = error
                faults = 0 if time.monotonic() - began_s > _RESTART_S[-1] else faults + 1
                self._stop.wait(pause_after(last, faults))
            with contextlib.suppress(DatabaseError):
                self._say("stopped", "")
        finally:
            connection.close()

    def _receive(self) -> None:
        """Receives until `stop`. Raises the errors of disk, database and configuration."""
        close_old_connections()
        self._organisation.refresh_from_db()
        self._say("starting", "")
        requester = self._open_requester(self._organisation)
        try:
            if not self._parts_away:  # requests go out first
                self._retain(requester)  # also if no broker answers, or another program is connected
            require_unlocked(requester.folder)  # each answer needs a signed receipt
            with connection_lock(requester, wait_s=_LOCK_WAIT_S):
                self._receive_as(requester)
        finally:
            requester.claims.close()

    def _receive_as(self, requester: Requester) -> None:
        recorder = AnswerRecorder(self._organisation, requester)
        if self._parts_away:
            self._publish(requester, recorder)
        reconcile(self._organisation, requester, recorder)
        self._parts_away = ""
        self._reconnect = False
        with self._connected(requester) as bus:
            receiver = DisclosureReceiver(
                requester, bus, self._clock, _LIMITS, tell=lambda event: self._tell(event, requester, recorder)
            )
            receiver.start()
            self._loop(receiver, requester)

    def _publish(self, requester: Requester, recorder: AnswerRecorder) -> None:
        """Publishes requests and hears the root for a while, without the store of sealed parts."""
        with self._connected(requester) as bus:
            receiver = DisclosureReceiver(
                requester, bus, self._clock, _LIMITS, tell=lambda event: self._tell(event, requester, recorder),
                receives=False,
            )  # fmt: skip
            receiver.start()
            ends_s = time.monotonic() + _WITHOUT_PARTS_S
            while not self._stop.is_set() and time.monotonic() < ends_s:
                receiver.step(_STEP_S)

    def _loop(self, receiver: DisclosureReceiver, requester: Requester) -> None:
        retention_s = alive_s = time.monotonic()
        while not self._stop.is_set() and not self._reconnect:
            receiver.step(_STEP_S)
            now_s = time.monotonic()
            if now_s - alive_s >= _SIGN_OF_LIFE_EVERY_S:
                alive_s = now_s
                receivers(self._organisation).update(seen_at=timezone.now())
            if now_s - retention_s >= _RETENTION_EVERY_S:
                retention_s = now_s
                self._retain(requester)
                keep_position(self._organisation, requester)

    def _retain(self, requester: Requester) -> None:
        """Runs the retention clock. A file that cannot be deleted must not keep answers from arriving.

        Raises `PartsAwayError` after the first call that the store of sealed parts did not answer: requests wait.
        """
        self._organisation.refresh_from_db()
        promised = self._organisation.retention_days, self._organisation.language
        if (requester.profile.retention_days, requester.profile.language) != promised:
            requester.change_defaults(*promised)  # receipts of tips state these days
        if not requester.claims.lead("retain"):
            return
        now_s = int(timezone.now().timestamp())
        for clock in (_locks, run_due, tips_due):
            try:
                clock(self._organisation, requester, now_s)
            except PartsAwayError:
                raise
            except DoorwardError as error:
                _log.warning("retention failed", organisation=self._organisation.requester_id, error=str(error))
                add_notice(self._organisation, "not deleted", "", str(error))

    @contextlib.contextmanager
    def _connected(self, requester: Requester) -> Iterator[Bus]:
        bus = self._open_bus(requester)
        try:
            yield bus
        finally:
            if isinstance(bus, MqttBus | CellBrokers):
                bus.stop()

    def _tell(self, event: ReceiverEvent, requester: Requester, recorder: AnswerRecorder) -> None:
        match event.kind:
            case ReceiverEventKind.CONNECTED:
                self._say("connected", self._parts_away)
            case ReceiverEventKind.DISCONNECTED:
                self._say("disconnected", event.detail)
            case ReceiverEventKind.BROKER_AWAY:
                self._say("connected", event.detail)
            case ReceiverEventKind.ROOT_LIST | ReceiverEventKind.ROOT_BROKERS:
                record(
                    self._organisation, ACTOR, "organisation.root-news", self._organisation.trust_root,
                    brokers=event.kind is ReceiverEventKind.ROOT_BROKERS,
                )  # fmt: skip
                if event.kind is ReceiverEventKind.ROOT_BROKERS and not settings.DESK.broker.host:
                    self._reconnect = True
            case ReceiverEventKind.ROOT_REFUSED:
                add_notice(self._organisation, event.kind.value, self._organisation.trust_root, event.detail)
            case ReceiverEventKind.TAKEN_OVER:
                reconcile_answer(self._organisation, requester, recorder, event.disclosure)
            case _:
                recorder.record(event)

    def _failed(self, error: Exception) -> None:
        expected = isinstance(error, DoorwardError | DatabaseError | OSError)
        _log.warning(
            "receiver failed", organisation=self._organisation.requester_id, error=str(error), exc_info=not expected
        )
        with contextlib.suppress(DatabaseError):
            self._say("failed", str(error))
            add_notice(self._organisation, "error", "", str(error))

    def _say(self, state: str, detail: str) -> None:
        """Writes the state. `since` stays if only the detail changes."""
        now = timezone.now()
        row, _made = Receiver.objects.get_or_create(organisation=self._organisation, worker=worker_name())
        if row.state != state:
            row.state, row.since = state, now
        row.detail, row.seen_at = detail, now
        row.save()


def pause_after(error: Exception | None, faults: int) -> float:
    """Returns the seconds before the next start, after this many faults in a row. The last one was `error`."""
    pause_s = _RESTART_S[min(faults, len(_RESTART_S)) - 1] if faults else 0.0
    is_away = isinstance(error, NetworkError | OperationalError | InterfaceError)
    return min(pause_s, _AWAY_S) if is_away else pause_s


def _locks(organisation: Organisation, _requester: Requester, _now_s: int) -> None:
    lock_what_is_held(organisation)
