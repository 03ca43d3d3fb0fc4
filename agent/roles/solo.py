"""Everything in one process: for laptops, the demo, tests and very small boards.

Builds the graph and starts its threads; decides nothing.  The parts are those of the separate roles, and speak to each
other through the same few calls.

    bridge ┄ recorder ─ vault ─ custodian ─ uplink
                                   ├ control socket (the owner's client)
                                   └ page (the owner's browser; off unless configured)
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from agent.adapters.clock_system import SystemClock
from agent.adapters.control_socket import ControlSocket
from agent.adapters.courier import EveryCourier
from agent.adapters.disk_real import RealDisk
from agent.adapters.disk_timed import TimedDisk
from agent.adapters.entropy_system import SystemEntropy
from agent.adapters.home_mqtt import MqttHomeBus
from agent.adapters.index_sqlite import SqliteIndex
from agent.adapters.journal_sqlite import SqliteJournal
from agent.adapters.mqtt import BusSettings, MqttBus
from agent.adapters.outbox_disk import DiskOutbox
from agent.adapters.recovery_file import RecoveryFile
from agent.adapters.segments_disk import DiskManifestLog, DiskSegmentStore
from agent.adapters.state_folder import StateFolder
from agent.adapters.wear import wear
from agent.config import Broker, Configuration, Page, exceeded, overlaid
from agent.core.alerts.wellbeing import Facts
from agent.core.events import TriggerKind
from agent.core.opinion.eye import Eye
from agent.core.recovery import Step
from agent.core.retention import Limits
from agent.core.timebase import BootNs, ClockQuality
from agent.errors import DoorwardError
from agent.ports import Bus, Camera, CameraEnd, Clock, Microphone
from agent.roles import translation
from agent.roles.alerting import Telling, facts_of, offer_alerts, quiet_hours
from agent.roles.at_home import home_address, make_metrics
from agent.roles.in_force import is_private_now, place_of
from agent.roles.panel import PanelSide
from agent.roles.recording import Stand, make_recorder
from agent.roles.requests import inbox_settings
from agent.roles.scrubbing import scrubbing
from agent.services.courier import Delivery
from agent.services.custodian import Custodian, CustodianPorts
from agent.services.home import HomeKeeper
from agent.services.live import LiveMaker
from agent.services.live_shelf import LiveShelf
from agent.services.scrub import Scrub
from agent.services.uplink import Uplink
from agent.services.vault import Sealing, Vault
from agent.wire.identities import public_key_of
from agent.wire.topics import cell_of, requests_filter

if TYPE_CHECKING:
    from agent.web.server import PageServer

__all__ = ["Solo"]

_TICK_S = 5.0


class Solo:
    """One device.  `start` brings up everything but the camera; `record` plays the camera; `stop` ends it all.

    `open_camera`, `open_microphone`, `bus`, `clock` and `open_eye` replace what would be built: for tests
    and the demo.
    `configuration_file` is where the configuration was read from, for the bridge to read its part of it.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        open_camera: Callable[[], Camera] | None = None,
        open_microphone: Callable[[], Microphone] | None = None,
        bus: Bus | None = None,
        clock: Clock | None = None,
        open_eye: Callable[[], Eye] | None = None,
        configuration_file: Path | None = None,
    ) -> None:
        self._configuration = self._file = configuration
        self._log = structlog.get_logger("solo")
        self._clock = clock or SystemClock()
        self._entropy = SystemEntropy()
        folder = StateFolder(configuration.device.state_dir)
        key = folder.device_key()
        folder.claim()
        self._folder = folder
        self.device = public_key_of(key)
        self._disk = disk = TimedDisk(RealDisk())
        self._journal = SqliteJournal(folder.journal)
        self._index = SqliteIndex(folder.index)
        self._manifest = DiskManifestLog(disk, folder.vault)
        self._enrolled = threading.Event()
        self._stopping = threading.Event()
        self.vault = Vault(
            DiskSegmentStore(disk, folder.vault),
            self._manifest,
            self._index,
            clock=self._clock,
            entropy=self._entropy,
            sealing=Sealing((), 0, self.device.id, key.sign),
            limits=self._limits(),
        )
        outbox = DiskOutbox(folder.outbox)
        place = configuration.device.position
        position = (place.latitude, place.longitude) if place is not None else None
        self._telling = Telling(
            configuration,
            folder.alerts,
            key,
            self._clock,
            self._journal,
            facts=self._facts,
            status=self.status,
            sleeps=self._sleeps,
        )
        self.alerts = self._telling.alerts
        self._delivery = Delivery(self.alerts, EveryCourier()) if self.alerts is not None else None
        notifier = self._telling.notifier
        self._home: HomeKeeper | None = None
        self._metrics = make_metrics(configuration, self.status)
        self.custodian = Custodian(
            key,
            CustodianPorts(self._journal, outbox, self.vault, self._clock, self._entropy, notifier),
            inbox_settings(configuration.requests, position),
            self._seal_to,
            self.status,
            broker_name=self.device.id if configuration.broker or bus else None,
            held_bytes=translation.held_bytes(configuration.vault),
            exceeded=lambda settings: exceeded(configuration, settings),
        )
        self._live = LiveShelf()
        self._live_maker = LiveMaker(self.vault, self._clock, self.device.id)
        self.custodian.control.offer("live", self._live.answer)
        self._encoder = translation.encoder_choice(configuration)
        self._exits = RecoveryFile(configuration.device.state_dir)
        self.recorder = make_recorder(
            configuration,
            Stand(
                self.vault,
                self._clock,
                notifier,
                held=lambda: self.custodian.held(self.vault.totals().segments),
                live=self._live_maker,
                exits=self._exits.load(),
                supervised="INVOCATION_ID" in os.environ,  # systemd's, systemd.exec(5)
            ),
            open_camera or self._open_camera,
            open_microphone=open_microphone,
            open_eye=open_eye,
        )
        panel = configuration.panel
        self.panel = PanelSide(panel, configuration_file, self.recorder, notifier) if panel is not None else None
        self.uplink = self._make_uplink(bus, outbox, position)
        if self.uplink is not None:
            self.custodian.requests.wake_uplink = self.uplink.wake
        self._settle()
        self.custodian.settings.changed = self._settle
        self.page = self._page(folder) if configuration.page is not None else None
        if self.alerts is not None:
            offer_alerts(self.alerts, folder.push, self.custodian.control.offer)
        self._control = ControlSocket(folder.control, self.page.answer if self.page else self.custodian.control.answer)
        self._scrub = Scrub(self.vault, self.device, notifier, configuration.vault.scrub_bytes_per_day)
        self._threads: list[threading.Thread] = []

    def _open_camera(self) -> Camera:
        return translation.camera(self._configuration, self._encoder, self.recorder.relief)

    def _make_uplink(self, bus: Bus | None, outbox: DiskOutbox, position: tuple[float, float] | None) -> Uplink | None:
        """Over `bus`, or else the broker's that the configuration names; None without either."""
        broker = self._configuration.broker
        if bus is None and broker is not None:
            bus = MqttBus(_bus_settings(broker, self.device.id))
        if bus is None:
            return None
        return Uplink(
            bus,
            self.custodian,
            outbox,
            self._clock,
            device=self.device.id,
            requests_filter=requests_filter(cell_of(*position)) if position is not None else None,
            chunk_bytes=broker.chunk_bytes if broker else 64 << 10,
        )

    def start(self) -> None:
        """Bring back what a crash left, open the control socket, keep the link.  Raises `StorageError`."""
        found = self.vault.start()
        if found != type(found)():
            self._log.warning(
                "vault_recovered", **{name: repr(value) for name, value in asdict(found).items() if value}
            )
        if self.alerts is not None and self._delivery is not None:
            self.alerts.start()
            self._delivery.start()
        self.custodian.start()
        if self.page is not None:
            self.page.start()
            if self.alerts is not None:
                self.alerts.link_to(self.page.url)
        if self._telling.home is not None:
            address = home_address(self._configuration, self.device.id, self.page.url if self.page else "")
            self._home = HomeKeeper(self._telling.home, MqttHomeBus(address), address)
            self._home.start()
        if self._metrics is not None:
            self._metrics.start()
        self._control.start()
        if self.panel is not None:
            self.panel.start()
        self._threads = [
            threading.Thread(target=self._keep_time, name="time"),
            threading.Thread(target=scrubbing, args=(self._scrub, self._stopping.wait), name="scrub"),
            threading.Thread(target=self._live_maker.run, args=(self._live,), name="live"),
        ]
        if self.uplink is not None:
            self._threads.append(threading.Thread(target=self._keep_link, args=(self.uplink,), name="uplink"))
        for thread in self._threads:
            thread.start()

    def record(self, first_ns: BootNs | None = None) -> CameraEnd:
        """Play the camera to its end or until `stop`.  Waits for an owner first: without one nothing is recorded."""
        if not self._enrolled.is_set():
            self._log.info("waiting_for_owner", remedy="doorward owner enrol")
        while not self._enrolled.wait(_TICK_S):
            if self._stopping.is_set():
                return CameraEnd.STOPPED
        if self._stopping.is_set():
            return CameraEnd.STOPPED
        end = self.recorder.run(first_ns)
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
        """Go on without a camera until `stop`."""
        self._stopping.wait()

    def press_button(self) -> None:
        """The doorbell's button."""
        self.recorder.trigger(TriggerKind.BUTTON)

    def stop(self) -> None:
        """End everything, finish what is open, join every thread.  Call it from another thread than `record`'s."""
        self._stopping.set()
        self._enrolled.set()
        self._live_maker.stop()
        self._live.close()
        self.recorder.stop()
        if self.panel is not None:
            self.panel.stop()
        if self.uplink is not None:
            self.uplink.stop()
        if self._home is not None:
            self._home.stop()
        if self._metrics is not None:
            self._metrics.stop()
        self._control.stop()
        if self.page is not None:
            self.page.stop()
        for thread in self._threads:
            thread.join()
        self._threads = []
        if self.alerts is not None and self._delivery is not None:
            self.alerts.stop()
            self._delivery.stop()

    def close(self) -> None:
        """Close the files.  After `stop`, and after `record` has returned."""
        if self.page is not None:
            self.page.close()
        if self.alerts is not None:
            self.alerts.close()
        self._manifest.close()
        self._index.close()
        self._journal.close()
        self._folder.release()

    def status(self) -> dict[str, Any]:
        """What `doorward status` shows."""
        totals = self.vault.totals()
        recorder = self.recorder.status()
        enrolment = self.custodian.enrolments.current
        now = self._clock.now()
        return {
            "device": self._configuration.device.name,
            "device_id": self.device.id,
            "owners": [owner.name for owner in enrolment.recipients] if enrolment else [],
            "recorder": asdict(recorder),
            "scrub": asdict(self._scrub.status),
            "wear": wear(recorder.recorded_s),
            "vault": {"segments": totals.segments, "stored_bytes": totals.stored_bytes},
            "panel": self.panel.status() if self.panel else None,
            "clock": now.quality.value,
            "link": asdict(self.uplink.status())
            if self.uplink
            else {"link": "off", "remedy": "no [broker] configured"},
            "messages": self._journal.counters(),
            "alerts": self.alerts.status() if self.alerts else None,
            **self._telling.requests(),
            "newest_ms": newest.end_ms if (newest := self._index.newest()) else None,
            "disk": self._disk.shown(),
        }

    def _settle(self) -> None:
        """Act by what an owner has set over the file."""
        before, self._configuration = self._configuration, overlaid(self._file, self.custodian.settings.current)
        position = place_of(self._configuration)
        self.custodian.move_to(position)
        self.custodian.hold_at_most(translation.held_bytes(self._configuration.vault))
        self.vault.keep_within(self._limits())
        if self.alerts is not None:
            self.alerts.set_quiet(quiet_hours(self._configuration))
        if self.uplink is not None:
            self.uplink.listen_to(requests_filter(cell_of(*position)) if position is not None else None)
        if self._configuration.motion != before.motion:
            self.recorder.watch_for(translation.zone_map(self._configuration.motion))
        self.recorder.set_private_hour(is_private_now(self._configuration, self._clock.now()))

    def _sleeps(self) -> bool:
        return self.custodian.requests.is_quiet()

    def _facts(self) -> Facts:
        link = self.uplink.status().link if self.uplink else "off"
        unknown = self._clock.now().quality is ClockQuality.UNKNOWN
        return facts_of(asdict(self.recorder.status()), link, clock_unknown=unknown)

    def _seal_to(self, recipients: Any, epoch: int) -> None:
        self.vault.seal_to(recipients, epoch)
        self._enrolled.set()

    def _page(self, folder: StateFolder) -> PageServer:
        from agent.web.server import PageParts, PageServer  # a device without a page pays nothing for it

        wanted = self._configuration
        return PageServer(
            wanted.page or Page(),
            folder.page,
            wanted.device.name,
            PageParts(
                self.custodian.control,
                self.custodian.enrolments,
                self._manifest,
                self._clock,
                self._entropy,
                lambda: translation.page_facts(self._configuration, self._file, self.custodian.settings.current),
            ),
        )

    def _limits(self) -> Limits:
        disk_bytes = shutil.disk_usage(self._configuration.device.state_dir).total
        return translation.vault_limits(self._configuration, disk_bytes)

    def _keep_time(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                self.recorder.set_private_hour(is_private_now(self._configuration, self._clock.now()))
                self.vault.erase(self.custodian.deleted())
                self.custodian.on_time()
            except DoorwardError as error:
                self._log.warning("time_not_kept", error=error.message)

    def _keep_link(self, uplink: Uplink) -> None:
        try:
            uplink.run()
        except DoorwardError as error:
            # Recording must not depend on the network: say it, and go on without.
            self._log.error("link_failed", error=error.message, remedy=error.remedy)


def _bus_settings(broker: Broker, name: str) -> BusSettings:
    return BusSettings(
        host=broker.host,
        port=broker.port,
        name=name,
        authority=broker.ca,
        certificate=broker.certificate,
        key=broker.key,
        keepalive_s=broker.keepalive_s,
    )
