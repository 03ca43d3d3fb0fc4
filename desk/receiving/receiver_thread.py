"""The receiver of one organisation: one thread that takes its answers, and starts again after a fault.

The thread also runs the retention clock of the organisation, so that arrivals and deletions take turns. A second thread
holds the connection to the broker, and publishes (`publishing_thread`): a store that is slow or away delays no request.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from agent.clients.requester.identity import Requester
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind, ReceivingLimits
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.sealed_parts import PartsAwayError, PartsRefusedError
from agent.clients.requester.shared_bus import BusShare
from agent.errors import DoorwardError
from agent.ports import Clock
from desk.cases.deletion import run_due
from desk.cases.object_locks import lock_what_is_held
from desk.people.models import Organisation
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.models import Receiver, receivers, worker_name
from desk.receiving.notices import add_notice
from desk.receiving.publishing_thread import STEP_S, OpenBus, OpenRequester, PublishingThread
from desk.receiving.reconcile import keep_position, reconcile, reconcile_answer
from desk.receiving.worker_figures import WorkerFigures
from desk.repeating_thread import RepeatingThread
from desk.sealed_keys import require_unlocked
from desk.tips.tip_retention import tips_due

__all__ = ["ReceiverThread"]

_LIMITS: Final = ReceivingLimits(disclosures=1_000_000, tips=1_000_000)
"""More answers and tips than a person moves away by hand: here the retention clock makes room."""
_RETENTION_EVERY_S: Final = 60.0
_SIGN_OF_LIFE_EVERY_S: Final = 10.0
_log = structlog.get_logger(__name__)


class ReceiverThread(RepeatingThread):
    """While the store of sealed parts is away, it takes no answers, and the publisher goes on.

    Its state is in its row of `Receiver`."""

    def __init__(
        self,
        organisation: Organisation,
        open_requester: OpenRequester,
        open_bus: OpenBus,
        clock: Clock,
        may_receive: threading.Event | None = None,
        figures: WorkerFigures | None = None,
    ) -> None:
        """`may_receive`: set once answers may be taken. The publisher does not wait for it. `figures`: count events."""
        super().__init__(f"receiver-{organisation.requester_id}")
        self._organisation = organisation
        self._may_receive = may_receive
        self._open_requester = open_requester
        self._clock = clock
        self._publisher = PublishingThread(organisation, open_requester, open_bus, clock, self._not_connected)
        self._figures = figures or WorkerFigures()
        self.state = "starting"
        """As in its row, which stays behind while the database is away."""

    @property
    def silence_s(self) -> float:
        """Returns the seconds since the more silent one of both threads got on."""
        return max(super().silence_s, self._publisher.silence_s)

    def stop(self) -> None:
        """Asks both threads to end. `join` waits for them."""
        super().stop()
        self._publisher.stop()

    def _begin(self) -> None:
        with contextlib.suppress(DatabaseError, InterfaceError):
            self._say("starting", "")
        self._publisher.start()
        while self._may_receive is not None and not self._stop.is_set() and not self._may_receive.wait(STEP_S):
            self._moves()

    def _goes_on(self) -> bool:
        return self._publisher.is_alive  # otherwise the supervisor makes a new one

    def _on_fault(self, error: Exception) -> None:
        self._failed(error)
        # Requests still go out without the store, so the page must not call the organisation disconnected.
        if isinstance(error, PartsAwayError | PartsRefusedError) and self._publisher.is_connected:
            with contextlib.suppress(DatabaseError, InterfaceError):
                self._say("connected", str(error))

    def _end(self) -> None:
        self._publisher.stop()
        self._publisher.join()
        with contextlib.suppress(DatabaseError, InterfaceError):
            self._say("stopped", "")

    def _step(self) -> None:
        """Receives until `stop`. Raises the errors of disk, database and configuration."""
        self._organisation.refresh_from_db()
        requester = self._open_requester(self._organisation)
        try:
            self._retain(requester)  # also if no broker answers, or another program is connected
            require_unlocked(requester.folder)  # each answer needs a signed receipt
            recorder = AnswerRecorder(self._organisation, requester)
            reconcile(self._organisation, requester, recorder)
            share = self._share(requester)
            if share is not None:
                with share:
                    self._receive_over(share, requester, recorder)
        finally:
            requester.claims.close()

    def _share(self, requester: Requester) -> BusShare | None:
        """Waits for a connection, and runs the retention clock meanwhile. None: it ends."""
        retention_s = time.monotonic()
        while not self._stop.is_set() and self._publisher.is_alive:
            self._moves()
            share = self._publisher.share(STEP_S)
            if share is not None:
                return share
            if time.monotonic() - retention_s >= _RETENTION_EVERY_S:
                retention_s = time.monotonic()
                self._retain(requester)
        return None

    def _receive_over(self, share: BusShare, requester: Requester, recorder: AnswerRecorder) -> None:
        receiver = DisclosureReceiver(
            requester, share, self._clock, _LIMITS, tell=lambda event: self._tell(event, requester, recorder),
            publishes=False,
        )  # fmt: skip
        receiver.start()
        retention_s = alive_s = time.monotonic()
        while not self._stop.is_set() and share.is_open and self._publisher.is_alive:
            self._moves()
            receiver.step(STEP_S)
            now_s = time.monotonic()
            if now_s - alive_s >= _SIGN_OF_LIFE_EVERY_S:
                alive_s = now_s
                receivers(self._organisation).update(seen_at=timezone.now())
            if now_s - retention_s >= _RETENTION_EVERY_S:
                retention_s = now_s
                self._retain(requester)
                keep_position(self._organisation, requester)

    def _retain(self, requester: Requester) -> None:
        """Runs the retention clock.

        Raises `PartsAwayError` after the first call that the store of sealed parts did not answer: answers wait.
        """
        self._organisation.refresh_from_db()
        promised = self._organisation.retention_days, self._organisation.language
        if (requester.profile.retention_days, requester.profile.language) != promised:
            requester.change_defaults(*promised)  # receipts of tips state these days
        if not requester.claims.claim_duty("retain"):
            return
        now_s = int(timezone.now().timestamp())
        # Locks come first, so that objects of a case on legal hold are locked before anything is deleted.
        for clock in (_locks, run_due, tips_due):
            try:
                clock(self._organisation, requester, now_s)
            except PartsAwayError:
                raise
            except DoorwardError as error:
                # A file that cannot be deleted must not keep answers from arriving.
                _log.warning("retention failed", organisation=self._organisation.requester_id, error=str(error))
                add_notice(self._organisation, "not deleted", "", str(error))

    def _tell(self, event: ReceiverEvent, requester: Requester, recorder: AnswerRecorder) -> None:
        self._figures.count(event)
        match event.kind:
            case ReceiverEventKind.CONNECTED:
                self._say("connected", "")
            case ReceiverEventKind.DISCONNECTED:
                self._say("disconnected", event.detail)
            case ReceiverEventKind.BROKER_AWAY:
                self._say("connected", event.detail)
            case ReceiverEventKind.TAKEN_OVER:
                reconcile_answer(self._organisation, requester, recorder, event.disclosure)
            case _:
                recorder.record(event)

    def _not_connected(self, error: Exception) -> None:
        """Tells an error of the publisher, in its thread. With a connection, the receiver tells the same fault."""
        if self._publisher.has_connection:
            self._figures.count_fault(error)
            _log.warning("publisher failed", organisation=self._organisation.requester_id, error=str(error))
        else:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._figures.count_fault(error)
        expected = isinstance(error, DoorwardError | DatabaseError | OSError)
        _log.warning(
            "receiver failed", organisation=self._organisation.requester_id, error=str(error), exc_info=not expected
        )
        with contextlib.suppress(DatabaseError, InterfaceError):
            self._say("failed", str(error))
            add_notice(self._organisation, "error", "", str(error))

    def _say(self, state: str, detail: str) -> None:
        """Writes the state. `since` stays if only the detail changes."""
        self.state = state
        now = timezone.now()
        row, _made = Receiver.objects.get_or_create(organisation=self._organisation, worker=worker_name())
        if row.state != state:
            row.state, row.since = state, now
        row.detail, row.seen_at = detail, now
        row.save()


def _locks(organisation: Organisation, _requester: Requester, _now_s: int) -> None:
    lock_what_is_held(organisation)
