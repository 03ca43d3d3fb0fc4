"""The recorder's process: camera, motion and vault; no network, no journal, no device key.

Who may open footage, the signature under each record, and which segments must stay, it asks of the custodian.  Nobody
can ask anything of it: it opens no socket but the one to the custodian and the one to the panel.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import structlog

from agent.adapters.claim import Claim
from agent.adapters.clock_system import SystemClock
from agent.adapters.disk_real import RealDisk
from agent.adapters.disk_timed import TimedDisk
from agent.adapters.entropy_system import SystemEntropy
from agent.adapters.handover_socket import HandoverClient
from agent.adapters.index_sqlite import SqliteIndex
from agent.adapters.recovery_file import RecoveryFile
from agent.adapters.segments_disk import DiskManifestLog, DiskSegmentStore
from agent.adapters.supervision import Supervision
from agent.adapters.wear import wear
from agent.config import Configuration, overlaid
from agent.core.handover import (
    LivePiece,
    Looking,
    Message,
    Names,
    Noted,
    Report,
    Sealers,
    SettingsAre,
    Sign,
    Signature,
    Tell,
    WhatIsDeleted,
    WhatIsHeld,
    WhichSettings,
    WhoLooks,
    WhoMayOpen,
)
from agent.core.recovery import Step
from agent.core.retention import Limits
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import DoorwardError, NetworkError, StorageError
from agent.ports import Camera, CameraEnd
from agent.roles import translation
from agent.roles.in_force import is_private_now, settings_of
from agent.roles.panel import PanelSide
from agent.roles.recorder_watch import RecorderWatch
from agent.roles.recording import Stand, make_recorder
from agent.roles.scrubbing import scrubbing
from agent.services.live import LiveMaker
from agent.services.scrub import Scrub
from agent.services.vault import Sealing, Vault

__all__ = ["RecorderRole"]

_TICK_S = 2.0
_FOR_EVER_S = 10.0**9


_Answer = TypeVar("_Answer")


class RecorderRole:
    """`start`, `record` (blocks), `stop` from another thread, `close`."""

    def __init__(
        self,
        configuration: Configuration,
        custodian: HandoverClient,
        reports: HandoverClient,
        supervision: Supervision,
        live: HandoverClient,
        *,
        open_camera: Callable[[], Camera] | None = None,
        configuration_file: Path | None = None,
    ) -> None:
        self._configuration = self._file = configuration
        self._set = b""
        self._custodian = custodian
        self._reports = reports
        self._live = live
        self._supervision = supervision
        self._log = structlog.get_logger("recorder")
        self._clock = SystemClock()
        self._enrolled = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_held: frozenset[str] | None = None
        root = configuration.device.state_dir
        self._own = root / "recorder" if (root / "recorder").is_dir() else root
        self._disk = disk = TimedDisk(RealDisk())
        disk.make_directory(root / "vault")
        self._claim = Claim(root / "vault")
        self._index = SqliteIndex(self._own / "recorder.sqlite")
        self._manifest = DiskManifestLog(disk, root / "vault")
        sealers = self._ask(WhoMayOpen(), Sealers, patience_s=_FOR_EVER_S)
        self._epoch = -1
        self.vault = Vault(
            DiskSegmentStore(disk, root / "vault"),
            self._manifest,
            self._index,
            clock=self._clock,
            entropy=SystemEntropy(),
            sealing=Sealing((), 0, sealers.device, self._sign),
            limits=self._limits(),
        )
        self._take(sealers)
        self._live_maker = LiveMaker(self.vault, self._clock, sealers.device)
        self._showing = threading.Thread(target=self._live_maker.run, args=(_Shelf(live),), name="live")
        self._encoder = translation.encoder_choice(configuration)
        self._scrub = Scrub(self.vault, None, self, configuration.vault.scrub_bytes_per_day)
        self._scrubbing = threading.Thread(target=scrubbing, args=(self._scrub, self._stopping.wait), name="scrub")
        self._exits = RecoveryFile(self._own)
        stand = Stand(
            self.vault,
            self._clock,
            self,
            self._held,
            live=self._live_maker,
            exits=self._exits.load(),
            supervised=supervision.supervised,
        )
        self.recorder = make_recorder(configuration, stand, open_camera or self._open_camera)
        panel = configuration.panel
        self._watch = RecorderWatch(self.recorder, supervision, configuration.clips.segment_s)
        self._settle(self._ask(WhichSettings(), SettingsAre).payload)
        self.panel = PanelSide(panel, configuration_file, self.recorder, self) if panel is not None else None

    def _open_camera(self) -> Camera:
        return translation.camera(self._configuration, self._encoder, self.recorder.relief)

    def _settle(self, payload: bytes) -> None:
        """Act by what an owner has set over the file."""
        if payload != self._set:
            before, self._configuration = self._configuration, overlaid(self._file, settings_of(payload))
            self._set = payload
            self._log.info("settings_changed")
            self.vault.keep_within(self._limits())
            if self._configuration.motion != before.motion:
                self.recorder.watch_for(translation.zone_map(self._configuration.motion))
        self.recorder.set_private_hour(is_private_now(self._configuration, self._clock.now()))

    def _limits(self) -> Limits:
        disk_bytes = shutil.disk_usage(self._file.device.state_dir / "vault").total
        return translation.vault_limits(self._configuration, disk_bytes)

    def start(self) -> None:
        """Bring back what a crash left, and say that it is ready.  Raises `StorageError`."""
        found = self.vault.start()
        if found != type(found)():
            self._log.warning("vault_recovered", **{name: repr(v) for name, v in asdict(found).items() if v})
        if self.panel is not None:
            self.panel.start()
        self._thread = threading.Thread(target=self._keep_time, name="time")
        self._thread.start()
        self._scrubbing.start()
        self._showing.start()
        self._supervision.ready("watching" if self._enrolled.is_set() else "waiting for an owner")

    def record(self) -> CameraEnd:
        """Play the camera to its end or until `stop`; first wait for an owner."""
        if not self._enrolled.is_set():
            self._log.info("waiting_for_owner", remedy="doorward owner enrol")
        self._enrolled.wait()
        if self._stopping.is_set():
            return CameraEnd.STOPPED
        end = self.recorder.run()
        recovery = self.recorder.recovery
        if self.recorder.wanted is Step.EXIT:
            self._exits.save(recovery.exits + 1)
        elif self.recorder.wanted is Step.REBOOT:
            self._exits.save(0)
            if self.panel is not None:
                self.panel.link.ask_reboot("the camera does not come back")
        elif recovery.exits == 0 and self._exits.load():
            self._exits.save(0)
        return end

    def wait(self) -> None:
        """Go on without a camera until `stop`, when footage from a file is over."""
        self._stopping.wait()

    def stop(self) -> None:
        self._supervision.stopping()
        self._stopping.set()
        self._enrolled.set()
        self._live_maker.stop()
        self._live.close()
        self.recorder.stop()
        if self.panel is not None:
            self.panel.stop()
        if self._thread is not None:
            self._thread.join()
            self._scrubbing.join()
            self._showing.join()

    def close(self) -> None:
        """After `stop`, and after `record` has returned: what it finished last still had to be signed."""
        self._custodian.close()
        self._reports.close()
        self._manifest.close()
        self._index.close()
        self._claim.release()

    def notify(self, kind: str, text: str, once: str = "") -> None:
        """`ports.Notifier`: through the custodian; a doorbell without one has nobody to tell."""
        try:
            self._ask(Tell(kind, text, once), Noted, patience_s=1.0)
        except DoorwardError as error:
            self._log.warning("owner_not_told", error=error.message)

    def _ask(self, question: Message, wanted: type[_Answer], patience_s: float | None = None) -> _Answer:
        return self._custodian.ask(question, wanted, patience_s=patience_s)

    def _sign(self, encoding: bytes) -> bytes:
        try:
            return self._ask(Sign(encoding), Signature).signature
        except NetworkError as error:
            raise StorageError(f"A record could not be signed: {error.message}", remedy=error.remedy) from error

    def _held(self) -> frozenset[str]:
        try:
            self._last_held = frozenset(self._ask(WhatIsHeld(self.vault.totals().segments), Names).names)
        except NetworkError as error:
            # A custodian that is gone takes no requests either: what it said last holds, and recording goes on.
            if self._last_held is None:
                raise StorageError(f"Nothing is evicted: {error.message}", remedy=error.remedy) from error
        return self._last_held

    def _take(self, sealers: Sealers) -> None:
        if sealers.recipients and sealers.epoch != self._epoch:
            self.vault.seal_to(tuple(parse_recipient(text) for text in sealers.recipients), sealers.epoch)
            self._epoch = sealers.epoch
            self._log.info("sealing_to", epoch=sealers.epoch, recipients=len(sealers.recipients))
            self._enrolled.set()

    def _keep_time(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                # On a connection of its own: a signature that is waited for must not keep the time.
                self._take(self._reports.ask(WhoMayOpen(), Sealers, patience_s=0.0))
                self._settle(self._reports.ask(WhichSettings(), SettingsAre, patience_s=0.0).payload)
                self._reports.ask(Report(self.status()), Noted, patience_s=0.0)
                deleted = self._reports.ask(WhatIsDeleted(), Names, patience_s=0.0).names
                if deleted:
                    gone = self.vault.erase(deleted)
                    self._log.info("segments_deleted", segments=len(gone))
            except DoorwardError as error:
                self._log.warning("custodian_away", error=error.message)
            # That the custodian is away is no reason to restart the recorder: it turns all the same.
            self._watch.turn(time.monotonic_ns())

    def status(self) -> dict[str, object]:
        """What the custodian shows of this role."""
        status = self.recorder.status()
        return {
            **asdict(status),
            "panel": self.panel.status() if self.panel else None,
            "scrub": asdict(self._scrub.status),
            "wear": wear(status.recorded_s),
            "disk": self._disk.shown(),
        }


class _Shelf:
    """`services.live.LiveDesk`, on a connection of its own: pictures that are large must not keep a signature."""

    def __init__(self, custodian: HandoverClient) -> None:
        self._custodian = custodian

    def looked_at(self, patience_s: float) -> bool:
        return self._custodian.ask(WhoLooks(patience_s), Looking, patience_s=0.0).now

    def put(self, number: int, piece: int, pieces: int, data: bytes) -> bool:
        return self._custodian.ask(LivePiece(number, piece, pieces, data), Looking, patience_s=0.0).now
