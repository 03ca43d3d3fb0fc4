"""The recorder's process: camera, motion and vault. It has no network, journal or device key.

It asks the custodian for the recipients, for the signature under each record, and for the segments that must stay. It
answers no process: it opens only the socket to the custodian and the one to the panel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from agent.config import Configuration
from agent.config.effective import settings_of
from agent.config.overlay import effective
from agent.core.alerts.alert_messages import AlertPicture
from agent.core.retention import ProtectedIds
from agent.core.talk.offers import TalkState
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.manifest import SecondSigner
from agent.errors import DoorwardError, NetworkError, StorageError
from agent.ipc.protocol import (
    GetCaptureCertificate,
    GetErasedSegments,
    GetHeldSegments,
    GetLiveViewers,
    GetRecipients,
    GetSettings,
    GetTalk,
    LiveViewers,
    Notify,
    PutLivePiece,
    PutLongPress,
    PutSetupCode,
    PutTalkOffer,
    Recipients,
    ReportStatus,
    Sign,
    SignGop,
    SignSecond,
    TalkWork,
)
from agent.ipc.rpc import Request
from agent.ipc.rpc_client import RpcClient
from agent.platform.disk import RealDisk
from agent.platform.supervision import SystemdNotifier
from agent.platform.system_clock import SystemClock
from agent.ports import Camera, CameraEnd
from agent.recorder.composition import RecorderDeps, RecorderRuntime
from agent.recorder.folder_lock import ProcessLock
from agent.recorder.recorder_status import RecorderWatch
from agent.recorder.unsent_alerts import UnsentAlerts

__all__ = ["RecorderRole"]

_TICK_S = 2.0
_FOR_EVER_S = 10.0**9
_CAPTURE_PATIENCE_S = 0.5
_AWAY_S = 60.0
"""More than a custodian takes that starts again: systemd pauses 20 s at most."""


_Answer = TypeVar("_Answer")


class RecorderRole:
    """`start`, `record` (blocks), `stop` from another thread, `close`."""

    def __init__(
        self,
        configuration: Configuration,
        custodian: RpcClient,
        reports: RpcClient,
        supervision: SystemdNotifier,
        live: RpcClient,
        talk: RpcClient,
        *,
        open_camera: Callable[[], Camera] | None = None,
        configuration_file: Path | None = None,
    ) -> None:
        self._file = configuration
        self._set = b""
        self._custodian = custodian
        self._reports = reports
        self._live, self._talk = live, talk
        self._supervision = supervision
        self._log = structlog.get_logger("recorder")
        self._clock = SystemClock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_held: frozenset[str] | None = None
        self._alerts = UnsentAlerts(lambda alert: self._ask(alert, patience_s=1.0), lambda: self._clock.now().boot_ns)
        root = configuration.device.state_dir
        own = root / "recorder" if (root / "recorder").is_dir() else root
        RealDisk().make_directory(root / "vault")
        self._claim = ProcessLock(root / "vault")  # two recorders would break the chain of one manifest
        sealers = self._ask(GetRecipients(), patience_s=_FOR_EVER_S)
        self._epoch = -1
        self._served_s = time.monotonic()  # when the custodian last answered
        self._runtime = RecorderRuntime(
            configuration,
            RecorderDeps(
                root / "vault",
                own / "recorder.sqlite",
                own,
                SystemClock(),
                self,
                sealers.device,
                lambda encoding: self._signature(Sign(encoding)),
                SecondSigner(sealers.device_mldsa, lambda encoding: self._signature(SignSecond(encoding))),
                None,
                self._protected,
                _RemoteLiveView(live),
                _RemoteTalk(talk),
                supervision.supervised,
                records_first=True,
                set_up=lambda text: self._ask(PutSetupCode(text), patience_s=1.0).state,
                capture=_RemoteCapture(custodian),
                button_held=lambda: self._ask(PutLongPress(), patience_s=1.0).is_open,
                is_served=self._is_served,
            ),
            open_camera=open_camera,
            configuration_file=configuration_file,
        )
        self.vault, self.recorder = self._runtime.vault, self._runtime.recorder
        self._watch = RecorderWatch(self.recorder, supervision, configuration.clips.segment_s)
        self._apply_recipients(sealers)
        self._apply_owner_settings(self._ask(GetSettings()).payload)

    def start(self) -> None:
        """Bring back what a crash left, and say that it is ready.  Raises `StorageError`."""
        self._runtime.start()
        self._thread = threading.Thread(target=self._keep_time, name="time")
        self._thread.start()
        self._supervision.ready("watching" if self._runtime.enrolled else "waiting for an owner")

    def give_up(self) -> None:
        """Interrupts long steps of a start, because the process must stop."""
        self.vault.give_up()

    def record(self) -> CameraEnd:
        """Waits for an owner, then plays the camera to its end or until `stop`."""
        return self._runtime.record()

    def wait(self) -> None:
        """Waits for `stop` after footage from a file is over."""
        self._stopping.wait()

    def stop(self) -> None:
        self._supervision.stopping()
        self._stopping.set()
        self._live.close()
        self._talk.close()
        self._runtime.stop()
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Closes everything. Call it after `stop` and after `record` has returned, because the last record still needs
        a signature."""
        self._custodian.close()
        self._reports.close()
        self._runtime.close()
        self._claim.release()

    def notify(self, kind: str, text: str, once: str = "", pictures: Sequence[AlertPicture] = ()) -> None:
        """Implements `ports.PictureNotifier` through the custodian. If the custodian is away, the alert waits for two
        minutes at most."""
        try:
            self._alerts.send(Notify(kind, text, once, tuple(pictures)))
        except DoorwardError as error:  # the custodian refused it
            self._log.warning("owner_not_told", error=error.message)

    def _ask(self, request: Request[_Answer], patience_s: float | None = None) -> _Answer:
        return self._custodian.ask(request, patience_s=patience_s)

    def _is_served(self) -> bool:
        return time.monotonic() - self._served_s < _AWAY_S

    def _signature(self, request: Sign | SignSecond) -> bytes:
        try:
            return self._ask(request).signature
        except NetworkError as error:
            # Counts as a fault of the disk: the retry buffer keeps the footage, and writes it again when the custodian
            # answers.
            raise StorageError(f"A record could not be signed: {error.message}", remedy=error.remedy) from error

    def _protected(self) -> ProtectedIds:
        try:
            held = self._ask(GetHeldSegments(self.vault.totals().segments))
        except DoorwardError as error:
            # While the custodian is away or refuses, requests wait too, so its last answer still holds and recording
            # continues. Eviction by age pauses, because only the custodian knows whether the clock is trusted.
            if self._last_held is None:
                raise StorageError(f"Nothing is evicted: {error.message}", remedy=error.remedy) from error
            return ProtectedIds(self._last_held)
        self._last_held = frozenset(held.names)
        return ProtectedIds(self._last_held, held.now_ms)

    def _erase(self, deleted: Sequence[str]) -> None:
        if not deleted:
            return
        try:
            self._log.info("segments_deleted", segments=len(self.vault.erase(deleted)))
        except DoorwardError as error:
            self._log.warning("segments_not_deleted", error=error.message)

    def _apply_owner_settings(self, payload: bytes) -> None:
        """Act by what an owner has set over the file."""
        if payload == self._set:
            self._runtime.try_vault()
            return
        self._log.info("settings_changed")
        self._runtime.apply_configuration(effective(self._file, settings_of(payload)))
        # After it was applied: a setting that fails is applied again at the next tick.
        self._set = payload

    def _apply_recipients(self, sealers: Recipients) -> None:
        self._runtime.show_to(sealers.glances)
        # An empty list never replaces the owners: footage without a recipient could be opened by no key.
        if sealers.recipients and sealers.epoch != self._epoch:
            self._runtime.seal_to(tuple(parse_recipient(text) for text in sealers.recipients), sealers.epoch)
            self._epoch = sealers.epoch
            self._log.info("sealing_to", epoch=sealers.epoch, recipients=len(sealers.recipients))

    def _keep_time(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                # A separate connection, because a pending signature must not delay these calls.
                self._apply_recipients(self._reports.ask(GetRecipients(), patience_s=0.0))
                self._served_s = time.monotonic()
                self._apply_owner_settings(self._reports.ask(GetSettings(), patience_s=0.0).payload)
                self._reports.ask(ReportStatus(self._runtime.status()), patience_s=0.0)
                self._erase(self._reports.ask(GetErasedSegments(), patience_s=0.0).names)
                self._alerts.send_again()
            except DoorwardError as error:
                self._log.warning("custodian_away", error=error.message)
            # Also while the custodian is away: a restart of the recorder would not help.
            self._watch.turn(time.monotonic_ns())


class _RemoteCapture:
    """Implements `recorder.capture_signing.CaptureAuthority`. It asks from the writer's thread, as for each record, but
    with little patience: a GOP must not wait for a custodian that starts again."""

    def __init__(self, custodian: RpcClient) -> None:
        self._custodian = custodian

    def certificate(self) -> bytes:
        return self._custodian.ask(GetCaptureCertificate(), patience_s=_CAPTURE_PATIENCE_S).certificate

    def sign(self, document: bytes) -> bytes:
        return self._custodian.ask(SignGop(document), patience_s=_CAPTURE_PATIENCE_S).signature


class _RemoteLiveView:
    """Implements `recorder.live_view.LiveViewSink` on a separate connection, because large pictures must not delay a
    signature."""

    def __init__(self, custodian: RpcClient) -> None:
        self._custodian = custodian

    def wait_for_viewer(self, patience_s: float) -> LiveViewers:
        return self._custodian.ask(GetLiveViewers(patience_s), patience_s=0.0)

    def put(
        self, number: int, piece: int, pieces: int, data: bytes, *, begins: bool, small: bool = False
    ) -> LiveViewers:
        return self._custodian.ask(PutLivePiece(number, piece, pieces, data, begins, small), patience_s=0.0)


class _RemoteTalk:
    """Implements `recorder.talk.TalkSource` on a separate connection, because its questions wait for an owner."""

    def __init__(self, custodian: RpcClient) -> None:
        self._custodian = custodian

    def work(self, session: str, state: TalkState, patience_s: float) -> TalkWork:
        return self._custodian.ask(GetTalk(session, state, patience_s), patience_s=0.0)

    def put_offer(self, offer: PutTalkOffer) -> None:
        self._custodian.ask(offer, patience_s=0.0)
