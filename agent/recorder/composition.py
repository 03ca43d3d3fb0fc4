"""Builds the recorder with its vault, live view, scrub and the doorbell's wires.

The recorder's process and `solo` use the same code. `RecorderDeps` holds the parts that differ between them.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from agent.config import Configuration
from agent.config.effective import is_private_now
from agent.config.settings import CameraKind, ClipsConfig
from agent.core.motion.parameters import MotionSettings
from agent.core.object_detection.detector import ObjectDetector
from agent.core.recovery import RecoveryAction, RecoveryPolicy
from agent.core.retention import ProtectedIds, RetentionLimits
from agent.core.timebase import BootNs
from agent.core.vault.age.recipients import Recipient
from agent.core.vault.manifest import SecondSigner
from agent.errors import StorageError
from agent.platform.disk import RealDisk
from agent.platform.system_clock import SystemEntropy
from agent.ports import Camera, CameraEnd, Clock, Microphone, PictureNotifier
from agent.recorder import motion_kernel, translation
from agent.recorder.alert_pictures import AlertPictures
from agent.recorder.capture_signing import CaptureAuthority, CaptureSigner
from agent.recorder.detection_setup import make_object_detection
from agent.recorder.index_copy import copy_index_daily
from agent.recorder.live_view import LiveEncoder, LiveViewSink
from agent.recorder.panel import PanelRuntime
from agent.recorder.recorder import Recorder, RecorderDevices, RecorderServices
from agent.recorder.recorder_inputs import RecorderSettings
from agent.recorder.recovery_file import RecoveryFile
from agent.recorder.scrub import Scrubber
from agent.recorder.scrub_thread import scrubbing
from agent.recorder.setup_reader import PutCode, SetupReader
from agent.recorder.talk import SpeakerSettings, TalkService, TalkSource
from agent.recorder.timed_disk import TimedDisk, wear
from agent.recorder.vault import SealingContext, Vault
from agent.recorder.vault_recovery import StartReport
from agent.vault.index_sqlite import SqliteIndex
from agent.vault.segment_files import DiskManifestLog, DiskSegmentStore
from agent.wire.identities import PublicKey

__all__ = ["RecorderDeps", "RecorderRuntime"]

_SLICE_S: Final = 0.25
"""Far less than the camera queues hold."""
_BETWEEN_SLICES_S: Final = 0.02
_LOOK_S: Final = 1.0
"""The index may turn out to be damaged at any time."""
_HOURS_S: Final = 2.0
"""Between two looks at the private hours."""
_MOST_NAMED: Final = 10
"""Names in one alert. A start with a lost manifest and a failing card may find thousands, more than a message holds."""
_MOST_KEPT: Final = 100
"""Names in the status: the newest."""


@dataclass(frozen=True, slots=True)
class RecorderDeps:
    """The recorder's dependencies.

    `vault`: the existing folder of segments and manifest. `own_state`: the folder of `RecoveryFile`. `device` and
    `sign`: the id that records name, and the signature of its key. `second`: the second signature. `key`: the public
    key that the scrub checks signatures with; None if only hashes can be compared. `protected`: segments that must
    stay. `live_view`: receives the live view. `talk`: gives the owners' voices. `supervised`: a service manager
    restarts the process. `records_first`: the camera does not wait until a lost index is made again. Only the recorder
    may then ask that index. `set_up`: takes the text of a set-up code; None if nothing here can join a network.
    `capture`: holds the key that signs GOPs; None leaves them unsigned. `button_held`: takes a long press, and tells if
    a browser can come in. `is_served`: the custodian answers.
    """

    vault: Path
    index: Path
    own_state: Path
    clock: Clock
    notifier: PictureNotifier
    device: str
    sign: Callable[[bytes], bytes]
    second: SecondSigner
    key: PublicKey | None
    protected: Callable[[], ProtectedIds]
    live_view: LiveViewSink
    talk: TalkSource
    supervised: bool
    records_first: bool = False
    set_up: PutCode | None = None
    capture: CaptureAuthority | None = None
    button_held: Callable[[], bool] = lambda: False
    is_served: Callable[[], bool] = lambda: True


class RecorderRuntime:
    """Use `start`, `record` (blocks), `stop` from another thread, `close`. Filming begins after `seal_to` has set the
    recipients.

    `open_camera`, `open_microphone` and `open_detector` replace the configured ones, for tests and the demo.
    `configuration_file` is for the bridge, which reads its part of it.
    """

    def __init__(
        self,
        configuration: Configuration,
        deps: RecorderDeps,
        *,
        open_camera: Callable[[], Camera] | None = None,
        open_microphone: Callable[[], Microphone] | None = None,
        open_detector: Callable[[], ObjectDetector] | None = None,
        configuration_file: Path | None = None,
    ) -> None:
        self._configuration = configuration
        self._deps = deps
        self._log = structlog.get_logger("recorder")
        self._enrolled = threading.Event()
        self._stopping = threading.Event()
        self._disk = TimedDisk(RealDisk())
        self._index = SqliteIndex(deps.index)
        self.manifest = DiskManifestLog(self._disk, deps.vault)
        self._unreadable: tuple[str, ...] = ()
        self.vault = Vault(
            DiskSegmentStore(self._disk, deps.vault),
            self.manifest,
            self._index,
            clock=deps.clock,
            entropy=SystemEntropy(),
            sealing=SealingContext((), 0, deps.device, deps.sign, deps.second),
            limits=self._limits(),
            # `solo` reads the manifest to its end first, because its custodian asks the same index.
            slice_s=_SLICE_S if deps.records_first else None,
            on_unreadable=self._tell_unreadable,
        )
        self._exits = RecoveryFile(deps.own_state)
        self._encoder = translation.encoder_choice(configuration)
        self._live = LiveEncoder(self.vault, deps.clock, deps.device)
        self.pictures = AlertPictures(deps.notifier, self._live, deps.clock, SystemEntropy())
        self._scrub = Scrubber(self.vault, deps.key, deps.notifier, configuration.vault.scrub_bytes_per_day)
        self.recorder = self._make_recorder(open_camera or self._open_camera, open_microphone, open_detector)
        self.set_up = self._make_set_up(open_camera or self._open_near_camera)
        """Reads the set-up code while there is no owner. None if it is not configured."""
        self.panel = self._make_panel(configuration_file)
        self._talk = self._make_talk()
        self._owners: tuple[str, ...] = ()
        self._glances: tuple[str, ...] = ()
        self._threads = (
            threading.Thread(target=scrubbing, args=(self._scrub, self._stopping.wait), name="scrub"),
            threading.Thread(target=self._read_on, name="index"),
            threading.Thread(target=self._keep_private_hours, name="hours"),
            threading.Thread(target=self._live.run, args=(deps.live_view,), name="live"),
            threading.Thread(
                target=copy_index_daily, args=(self.vault.keep_index_copy, self._stopping.wait), name="index-copy"
            ),
            *(
                (threading.Thread(target=self._talk.run, args=(deps.talk,), name="talk"),)
                if self._talk is not None
                else ()
            ),
        )

    def start(self) -> None:
        """Recovers the vault after a crash and starts everything but the camera.

        A disk that refuses writes stops nothing else from starting: the owner can look at stored footage and read the
        reason, and the newest footage waits in memory.
        """
        # Before anything can film: a restart within a private hour must not open the camera for a moment.
        self._apply_private_hours()
        try:
            found = self.vault.start()
        except StorageError as error:
            if self.vault.reading:
                self._log.warning("index_is_made_again", detail=self.vault.fault)
            else:
                self._log.error("vault_not_started", error=error.message, remedy=error.remedy)
                self.vault.check_store()
            found = StartReport()
        if found != type(found)():
            self._log.warning(
                "vault_recovered", **{name: repr(value) for name, value in asdict(found).items() if value}
            )
        if self.panel is not None:
            self.panel.start()
        for thread in self._threads:
            thread.start()

    def _tell_unreadable(self, names: Sequence[str]) -> None:
        """Tells each name once: a file with a lost inode cannot be moved, and each start finds it again."""
        new = [name for name in names if name not in self._unreadable]
        if not new:
            return
        self._unreadable = (*self._unreadable, *new)[-_MOST_KEPT:]
        self._log.error("damage_found", files=tuple(new))
        shown = ", ".join(new[:_MOST_NAMED])
        more = f" and {len(new) - _MOST_NAMED} more" if len(new) > _MOST_NAMED else ""
        self._deps.notifier.notify("vault", f"Footage cannot be read: {shown}{more}.  The card may be failing.")

    def _read_on(self) -> None:
        """Brings the index up in slices, between which the writer and the other threads have the vault."""
        while not self._stopping.wait(_BETWEEN_SLICES_S if self.vault.reading else _LOOK_S):
            if self.vault.reading:
                with suppress(StorageError):
                    self.vault.retry()
                    self._log.info("index_is_whole")

    def _keep_private_hours(self) -> None:
        """Begins and ends the private hours by the clock alone: neither a custodian that is away nor a disk that hangs
        may make the camera film in one of them."""
        while not self._stopping.wait(_HOURS_S):
            self._apply_private_hours()

    def _apply_private_hours(self) -> None:
        self.recorder.set_private_hour(is_private_now(self._configuration, self._deps.clock.now()))

    def record(self, first_ns: BootNs | None = None) -> CameraEnd:
        """Plays the camera to its end or until `stop`. Waits for an owner first, because footage needs a recipient."""
        if not self.enrolled:
            self._log.info("waiting_for_owner", remedy="doorward owner enrol")
            if self.set_up is not None:
                self.set_up.run(self._enrolled.is_set, self._enrolled.wait)
        self._enrolled.wait()
        if self._stopping.is_set():
            return CameraEnd.STOPPED
        end = self.recorder.run(first_ns)
        if self.recorder.wanted is RecoveryAction.EXIT:
            # For the next process, which the supervisor starts: after two such exits it asks for a reboot.
            self._exits.save(self.recorder.recovery.exits + 1)
        elif self.recorder.wanted is RecoveryAction.REBOOT:
            # The bridge counts reboots. Behind this one, the table of `core.recovery` begins again.
            self._exits.save(0)
            if self.panel is not None:
                self.panel.link.ask_reboot("the camera does not come back")
        elif self.recorder.recovery.exits == 0 and self._exits.load():
            self._exits.save(0)
        return end

    def stop(self) -> None:
        """Finish what is open, join every thread.  Idempotent."""
        self._stopping.set()
        self._enrolled.set()
        self._live.stop()
        if self._talk is not None:
            self._talk.stop()
        self.recorder.stop()
        if self.panel is not None:
            self.panel.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def close(self) -> None:
        """Close the files: after `stop`, and after `record` has returned."""
        self.manifest.close()
        self._index.close()

    @property
    def enrolled(self) -> bool:
        """There is at least one recipient."""
        return self._enrolled.is_set()

    def seal_to(self, recipients: tuple[Recipient, ...], epoch: int) -> None:
        """Seals new footage to these recipients."""
        self.vault.seal_to(recipients, epoch)
        self._owners = tuple(str(each) for each in recipients)
        self._listen_to_keys()
        # Last: the waiting thread opens the camera now, and each segment needs the recipients from its beginning.
        self._enrolled.set()

    def show_to(self, glances: tuple[str, ...]) -> None:
        """Replaces the glance keys: alerts have pictures for them, and their browsers may look and talk."""
        self.pictures.show_to(glances)
        self._live.show_to(glances)
        self._glances = glances
        self._listen_to_keys()

    def _listen_to_keys(self) -> None:
        if self._talk is not None:
            self._talk.listen_to((*self._owners, *self._glances))

    def apply_configuration(self, configuration: Configuration) -> None:
        """Act by what is in force now."""
        before, self._configuration = self._configuration, configuration
        self.vault.set_limits(self._limits())
        if configuration.motion != before.motion:
            self.recorder.watch_for(translation.zone_map(configuration.motion))
        self._apply_private_hours()

    def try_vault(self) -> None:
        """Starts the vault again if it could not be started. Call it every few seconds."""
        with suppress(StorageError):
            self.vault.retry()

    def status(self) -> dict[str, Any]:
        """For `doorward status`."""
        status = self.recorder.status()
        return {
            **asdict(status),
            "speaker": self._talk.state if self._talk is not None else "off",
            "panel": self.panel.status() if self.panel is not None else None,
            "scrub": asdict(self._scrub.status),
            "unreadable": self._unreadable,
            "wear": wear(status.recorded_s),
            "disk": self._disk.shown(),
        }

    def _limits(self) -> RetentionLimits:
        return translation.vault_limits(self._configuration, shutil.disk_usage(self._deps.vault).total)

    def _open_camera(self) -> Camera:
        return translation.make_camera(self._configuration, self._encoder, self.recorder.throttle_level)

    def _open_near_camera(self) -> Camera:
        """Opens the camera for a set-up code. A lens that stays at its usual distance would never see one sharp."""
        near = translation.looking_for_a_code(self._configuration)
        return translation.make_camera(near, self._encoder, self.recorder.throttle_level)

    def _make_signer(self, clips: ClipsConfig) -> CaptureSigner | None:
        capture = self._deps.capture if clips.media_signing else None
        return CaptureSigner(capture, self._deps.device) if capture is not None else None

    def _make_panel(self, configuration_file: Path | None) -> PanelRuntime | None:
        panel, deps = self._configuration.panel, self._deps
        if panel is None:
            return None
        return PanelRuntime(
            panel,
            configuration_file,
            self.recorder,
            deps.notifier,
            self.set_up,
            self._is_live,
            deps.button_held,
            deps.is_served,
            deps.own_state,
        )

    def _make_set_up(self, open_camera: Callable[[], Camera]) -> SetupReader | None:
        page, put = self._configuration.page, self._deps.set_up
        if page is None or not page.setup_by_camera or put is None:
            return None
        return SetupReader(open_camera, put, lambda: self.recorder.is_private, self._deps.clock)

    def _is_live(self) -> bool:
        """Returns whether a person watches the camera now or talks, for the live LED."""
        is_talking = self._talk is not None and self._talk.is_talking
        return is_talking or (self._live.is_watched and self.recorder.delivering)

    def _make_talk(self) -> TalkService | None:
        speaker = self._configuration.speaker
        if speaker is None:
            return None
        settings = SpeakerSettings(speaker.volume, speaker.replies)
        return TalkService(
            lambda: translation.make_speaker(speaker), settings, lambda: not self.recorder.is_private, SystemEntropy()
        )

    def _make_recorder(
        self,
        open_camera: Callable[[], Camera],
        open_microphone: Callable[[], Microphone] | None,
        open_detector: Callable[[], ObjectDetector] | None,
    ) -> Recorder:
        configuration, deps = self._configuration, self._deps
        clips, panel = configuration.clips, configuration.panel
        settings = RecorderSettings(
            MotionSettings(),
            translation.zone_map(configuration.motion),
            translation.event_settings(clips),
            translation.writer_settings(clips),
            configuration.camera.stall_s,
        )
        devices = RecorderDevices(
            open_camera,
            open_microphone=open_microphone or translation.open_microphone(configuration),
            live=self._live,
            object_detection=make_object_detection(configuration, self.pictures, open_detector),
            make_passes=motion_kernel.load().make_passes,
        )
        recovery = RecoveryPolicy(
            supervised=deps.supervised,
            network=configuration.camera.kind is CameraKind.RTSP,
            exits=self._exits.load(),
        )
        return Recorder(
            settings,
            devices,
            RecorderServices(
                self.vault, deps.clock, SystemEntropy(), self.pictures, deps.protected, self._make_signer(clips)
            ),
            recovery=recovery,
            switch_unread=panel is not None and panel.privacy is not None,
        )
