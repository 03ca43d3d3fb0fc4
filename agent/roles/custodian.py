"""The custodian's process: index, requests, consent, ledger, the device's signing key, and the owner's page.

It answers the recorder and the uplink on a socket each and the owner on a third.  It has no camera, no connection to
anywhere, and no key that opens footage; of the vault it only reads the ciphertext.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from agent.adapters.clock_system import SystemClock
from agent.adapters.control_socket import ControlSocket
from agent.adapters.disk_readonly import ReadOnlyDisk
from agent.adapters.disk_real import RealDisk
from agent.adapters.entropy_system import SystemEntropy
from agent.adapters.handover_socket import HandoverServer, uids_of
from agent.adapters.index_sqlite import SqliteIndex
from agent.adapters.journal_sqlite import SqliteJournal
from agent.adapters.outbox_disk import DiskOutbox
from agent.adapters.segments_disk import DiskManifestLog, DiskSegmentStore
from agent.adapters.state_folder import StateFolder
from agent.adapters.supervision import Supervision
from agent.config import Configuration, exceeded, overlaid
from agent.core.alerts.wellbeing import Facts
from agent.core.handover import Addressing, FromRecorder, FromUplink, Sealers
from agent.core.timebase import NS_PER_S, ClockQuality
from agent.errors import DoorwardError
from agent.roles.alerting import Telling, facts_of, offer_alerts, quiet_hours
from agent.roles.at_home import home_address, make_metrics
from agent.roles.in_force import place_of
from agent.roles.limits import held_bytes, page_facts
from agent.roles.requests import inbox_settings
from agent.services.custodian import Custodian, CustodianPorts
from agent.services.handover import RecorderDesk, Reports, UplinkDesk
from agent.services.live_shelf import LiveShelf
from agent.services.vault_follower import FollowingIndex
from agent.services.vault_reader import VaultReader
from agent.wire.identities import public_key_of
from agent.wire.topics import cell_of, requests_filter

if TYPE_CHECKING:
    from agent.web.server import PageServer

__all__ = ["CustodianRole"]

_TICK_S = 2.0


class CustodianRole:
    """`start`, `wait` (blocks), `stop` from another thread, `close`.  `runtime_dir` is where the roles' sockets lie."""

    def __init__(self, configuration: Configuration, runtime_dir: Path, supervision: Supervision) -> None:
        self._configuration = self._file = configuration
        self._supervision = supervision
        self._log = structlog.get_logger("custodian")
        self._clock = SystemClock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._folder = folder = StateFolder(configuration.device.state_dir)
        key = folder.device_key()
        folder.claim()
        self.device = public_key_of(key)
        self._journal = SqliteJournal(folder.journal)
        self._index = SqliteIndex(folder.index)
        disk = ReadOnlyDisk(RealDisk())
        self._manifest = DiskManifestLog(disk, folder.vault)
        self._vault = VaultReader(
            DiskSegmentStore(disk, folder.vault), self._manifest, FollowingIndex(self._manifest, self._index)
        )
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
        self._metrics = make_metrics(configuration, self.status)
        self.custodian = Custodian(
            key,
            CustodianPorts(
                self._journal,
                DiskOutbox(folder.outbox),
                self._vault,
                self._clock,
                SystemEntropy(),
                self._telling.notifier,
            ),
            inbox_settings(configuration.requests, position),
            # The recorder asks for the list; it is not told.
            lambda _recipients, _epoch: None,
            self.status,
            broker_name=self.device.id if configuration.broker else None,
            held_bytes=held_bytes(configuration.vault),
            exceeded=lambda settings: exceeded(configuration, settings),
        )
        self._reports = Reports(self._clock)
        self._live = LiveShelf()
        self.custodian.control.offer("live", self._live.answer)
        set_by_owner = lambda: self.custodian.settings.payload  # noqa: E731 — read anew each time
        recorder_desk = RecorderDesk(
            self._sealers, key.sign, self.custodian, set_by_owner, self._telling.notifier, self._reports, self._live
        )
        self._uplink_desk = UplinkDesk(
            self.custodian, self._addressing(position), self._reports, self.alerts, self._telling.home
        )
        self.custodian.requests.wake_uplink = self._uplink_desk.news
        self._settle()
        self.custodian.settings.changed = self._settle
        self._page = self._make_page() if configuration.page is not None else None
        self._sockets: tuple[HandoverServer[Any], HandoverServer[Any]] = (
            HandoverServer(
                runtime_dir / "recorder" / "custodian.sock",
                FromRecorder,  # type: ignore[arg-type] # a union is no type[T]
                recorder_desk.answer,
                uids_of("doorward-recorder"),
            ),
            HandoverServer(
                runtime_dir / "uplink" / "custodian.sock",
                FromUplink,  # type: ignore[arg-type]
                self._uplink_desk.answer,
                uids_of("doorward-uplink"),
            ),
        )
        if self.alerts is not None:
            offer_alerts(self.alerts, folder.push, self.custodian.control.offer)
        self._control = ControlSocket(
            folder.control, self._page.answer if self._page else self.custodian.control.answer
        )

    def start(self) -> None:
        """Answer everybody, then say that it is ready.  Raises `StorageError`, `ConfigurationError`."""
        if self.alerts is not None:
            self.alerts.start()
        self.custodian.start()
        if self._page is not None:
            self._page.start()
        address = home_address(self._configuration, self.device.id, self._page.url if self._page else "")
        self._uplink_desk.home_address = address
        if self._page is not None and self.alerts is not None:
            self.alerts.link_to(self._page.url)
        if self._metrics is not None:
            self._metrics.start()
        self._control.start()
        for each in self._sockets:
            each.start()
        self._thread = threading.Thread(target=self._keep_time, name="time")
        self._thread.start()
        self._supervision.ready("waiting for an owner" if self.custodian.enrolments.current is None else "at work")

    def wait(self) -> None:
        self._stopping.wait()

    def stop(self) -> None:
        self._supervision.stopping()
        self._stopping.set()
        self._uplink_desk.news()
        self._live.close()
        for each in self._sockets:
            each.stop()
        self._control.stop()
        if self._metrics is not None:
            self._metrics.stop()
        if self._page is not None:
            self._page.stop()
        if self._thread is not None:
            self._thread.join()
        if self.alerts is not None:
            self.alerts.stop()

    def close(self) -> None:
        if self._page is not None:
            self._page.close()
        if self.alerts is not None:
            self.alerts.close()
        self._index.close()
        self._journal.close()
        self._folder.release()

    def status(self) -> dict[str, Any]:
        """What `doorward status` shows: as in `solo`, with what the other roles last said of themselves."""
        totals = self._vault.totals()
        enrolment = self.custodian.enrolments.current
        recorder = dict(self._reports.of("recorder") or _NO_RECORDER)
        link = {"link": "off", "remedy": "no [broker] configured"}
        if self._configuration.broker is not None:
            link = dict(self._reports.of("uplink") or {"link": "no uplink", "remedy": _SEE.format("uplink")})
        return {
            "device": self._configuration.device.name,
            "device_id": self.device.id,
            "owners": [owner.name for owner in enrolment.recipients] if enrolment else [],
            "panel": recorder.pop("panel", None),
            "recorder": recorder,
            "vault": {"segments": totals.segments, "stored_bytes": totals.stored_bytes},
            "clock": self._clock.now().quality.value,
            "link": link,
            "messages": self._journal.counters(),
            "alerts": self.alerts.status() if self.alerts else None,
            **self._telling.requests(),
            "newest_ms": newest.end_ms if (newest := self._vault.newest()) else None,
        }

    def _settle(self) -> None:
        """Act by what an owner has set over the file."""
        self._configuration = overlaid(self._file, self.custodian.settings.current)
        position = place_of(self._configuration)
        self.custodian.move_to(position)
        self.custodian.hold_at_most(held_bytes(self._configuration.vault))
        if self.alerts is not None:
            self.alerts.set_quiet(quiet_hours(self._configuration))
        self._uplink_desk.addressing = self._addressing(position)
        self._uplink_desk.news()

    def _sleeps(self) -> bool:
        return self.custodian.requests.is_quiet()

    def _facts(self) -> Facts:
        link = "off"
        if self._configuration.broker is not None:
            link = str(dict(self._reports.of("uplink") or {}).get("link", "no uplink"))
        unknown = self._clock.now().quality is ClockQuality.UNKNOWN
        return facts_of(self._reports.of("recorder") or {}, link, clock_unknown=unknown)

    def _sealers(self) -> Sealers:
        current = self.custodian.enrolments.current
        if current is None:
            return Sealers(self.device.id, 0, ())
        recipients = (*(owner.recipient for owner in current.recipients), current.recovery)
        return Sealers(self.device.id, current.epoch, recipients)

    def _addressing(self, position: tuple[float, float] | None) -> Addressing:
        broker = self._configuration.broker
        if broker is None:
            return Addressing()
        return Addressing(
            self.device.id,
            broker.host,
            broker.port,
            broker.keepalive_s,
            broker.chunk_bytes,
            requests_filter(cell_of(*position)) if position is not None else None,
            (str(broker.ca), str(broker.certificate), str(broker.key)),
        )

    def _make_page(self) -> PageServer:
        from agent.web.server import PageParts, PageServer  # a device without a page pays nothing for it

        configuration = self._configuration
        assert configuration.page is not None  # noqa: S101 — the caller looked
        return PageServer(
            configuration.page,
            self._folder.page,
            configuration.device.name,
            PageParts(
                self.custodian.control,
                self.custodian.enrolments,
                self._manifest,
                self._clock,
                SystemEntropy(),
                lambda: page_facts(self._configuration, self._file, self.custodian.settings.current),
            ),
        )

    def _keep_time(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                self.custodian.on_time()
            except DoorwardError as error:
                self._log.warning("time_not_kept", error=error.message)
            now_ns = self._clock.now().boot_ns
            # A full disk is told in the log and mended by nobody's restart: the turn, which takes the lock that every
            # request and decision takes, is the progress.
            self._supervision.alive()
            self._supervision.status(f"{self._vault.totals().segments} segments, {now_ns // NS_PER_S} s since boot")


_SEE = "See: systemctl status doorward-{}"
_NO_RECORDER = {
    "state": "no recorder",
    "detail": _SEE.format("recorder"),
    "frames": 0,
    "frames_dropped": 0,
    "packets_dropped": 0,
    "events": 0,
    "segments": 0,
    "analysis_ms_per_frame": 0.0,
}
