"""Composition of the custodian with everything an owner uses: alerts, the page, the control socket and metrics.

The custodian's own process and `solo` both use it.  Each tells it the state of the recorder and of the link.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import __version__
from agent.config import Configuration, violated_limit
from agent.config.derived import held_bytes, page_facts, relay_origin
from agent.config.effective import place_of
from agent.config.overlay import effective
from agent.core.alerts.wellbeing import HealthFacts
from agent.core.device_secret import DeviceSecret
from agent.core.home_news import HomeAddress
from agent.core.timebase import ClockQuality
from agent.custodian.alerts.alert_setup import AlertsFactory, health_facts, offer_alerts, quiet_hours
from agent.custodian.alerts.push_channels import GlanceHolder, PushChannels
from agent.custodian.camera_setup import CameraSetup
from agent.custodian.clock_trust import TrustedClock
from agent.custodian.custodian import Custodian
from agent.custodian.enrolment import OwnersChanged
from agent.custodian.health_reports import HealthReporter
from agent.custodian.home_setup import home_address, make_metrics
from agent.custodian.inbox_settings import inbox_settings
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.message_queue import MessageQueue
from agent.custodian.program_watch import ProgramWatch
from agent.custodian.state import CustodianDeps
from agent.custodian.state_folder import StateFolder
from agent.custodian.talk_buffer import TalkBuffer
from agent.custodian.time_log import TimeLog, WitnessAddress
from agent.custodian.updates import UpdateFiles, Updates
from agent.errors import ConfigurationError, StorageError
from agent.ipc.outbox_files import DiskOutbox
from agent.ipc.rpc_server import RpcServer, control_server
from agent.platform.metrics_server import MetricsServer
from agent.platform.system_clock import SystemEntropy
from agent.ports import Clock, ManifestLog
from agent.vault.reader import VaultReader
from agent.wire.control import Frame
from agent.wire.identities import PublicKey, public_key_of
from agent.wire.topics import cell_filter, cell_of
from agent.wire.witness_keys import parse_witness

if TYPE_CHECKING:
    from agent.custodian.link_sessions import LinkSessions
    from agent.custodian.page.server import PageServer

__all__ = ["NO_LINK", "CustodianContext", "CustodianRuntime"]

NO_LINK: Final = {"link": "off", "remedy": "no [broker] configured"}


@dataclass(frozen=True, slots=True)
class CustodianContext:
    """The surroundings of a custodian.

    `folder`: the claimed state folder, with its `key` and `secret`.  `vault` and `manifest`: for reading. `seal_to` is
    told which recipients footage is sealed to. `live_buffer`: holds the recorder's live view.  `recorder` and `link`:
    their last reports (`RecorderRuntime.status`, `UplinkStatus`). `connected`: True if the device has an uplink.
    """

    folder: StateFolder
    key: Ed25519PrivateKey
    secret: DeviceSecret
    clock: Clock
    vault: VaultReader
    manifest: ManifestLog
    seal_to: OwnersChanged
    live_buffer: LiveBuffer
    talk: TalkBuffer
    recorder: Callable[[], Mapping[str, Any]]
    link: Callable[[], Mapping[str, Any]]
    connected: bool
    runtime: Path | None = None
    """The folder for the set-up by the camera; None if nothing here can join a network."""


class CustodianRuntime:
    """The running custodian.  Call `apply_configuration` once everything that `settled` uses exists, then
    `start`, `stop`, `close`.

    `settled` receives the effective configuration, at once and after each change by an owner.
    """

    def __init__(
        self, configuration: Configuration, context: CustodianContext, settled: Callable[[Configuration], None]
    ) -> None:
        self.configuration = self.file = configuration
        """The effective configuration, and the file's without the owner's changes."""
        self._context = context
        self._controlled = False
        self._log = structlog.get_logger("custodian")
        self._settled = settled
        self.device = public_key_of(context.key)
        self.outbox = DiskOutbox(context.folder.outbox)
        self._journal = SqliteJournal(context.folder.journal)
        self._clock = TrustedClock(context.clock, self._journal, context.vault.newest)
        self._alerts_factory = factory = AlertsFactory(
            configuration,
            context.folder.alerts,
            context.secret,
            self._clock,
            self._journal,
            facts=self._facts,
            status=self.status,
            sleeps=self._sleeps,
        )
        self.alerts, self.home, self.notifier = factory.alerts, factory.home, factory.notifier
        self.custodian = Custodian(
            context.key,
            context.secret,
            CustodianDeps(self._journal, self.outbox, context.vault, self._clock, SystemEntropy(), self.notifier),
            inbox_settings(configuration.requests, self.position),
            context.seal_to,
            self.status,
            broker_name=self.device.id if context.connected else None,
            held_bytes=held_bytes(configuration.vault),
            exceeded=lambda settings: violated_limit(configuration, settings),
        )
        self.messages = MessageQueue(self.custodian)
        """The uplink's way to the custodian."""
        self.updates = self._make_updates()
        self.program = ProgramWatch(context.folder.program, self.notifier)
        self.custodian.control.offer("live", context.live_buffer.answer)
        if configuration.speaker is not None:
            context.talk.offer_to(self.custodian.control, self._owner_of)
        self.glances: Callable[[], tuple[str, ...]] = tuple
        """Gives the glance keys of the browsers that show alerts."""
        self._browsers: PushChannels | None = None
        if self.alerts is not None:
            browsers = offer_alerts(self.alerts, context.folder.push, self.custodian, lambda: self._clock.believed_ms)
            self.glances, self._browsers = browsers.glances, browsers
        self._metrics = make_metrics(configuration, self.status)
        self.health = self._make_health()
        """Makes reports for the installer. None if the configuration names none."""
        self.time = self._make_time()
        self.set_up = self._make_set_up()
        """None if the camera reads no set-up codes."""
        self._page_fault = ""
        """Why there is no page although one is configured."""
        self.page = self._make_page()
        self.link = self._make_link(self.page) if self.page is not None else None
        """The doorbell's end of the link. It offers the page's operations, and is None without a page."""
        self._control = self._make_control()

    @property
    def position(self) -> tuple[float, float] | None:
        """Returns (lat, lon) in degrees, or None before the position is set."""
        return place_of(self.configuration)

    @property
    def cell_filter(self) -> str | None:
        """Returns the topic filter for requests at the doorbell's position, or None before the position is set."""
        return cell_filter(cell_of(*self.position)) if self.position is not None else None

    @property
    def home_address(self) -> HomeAddress:
        """Returns the address for Home Assistant.  Call it after the page has started, because it names the page's
        address."""
        return home_address(self.configuration, self.device.id, self.page.url if self.page is not None else "")

    def apply_configuration(self) -> None:
        """Applies the owner's settings over the file, now and after each change."""
        self.custodian.settings.changed = self.apply_configuration
        self.configuration = effective(self.file, self.custodian.settings.current)
        self.custodian.move_to(self.position)
        self.custodian.hold_at_most(held_bytes(self.configuration.vault))
        if self.alerts is not None:
            self.alerts.set_quiet(quiet_hours(self.configuration))
        self._settled(self.configuration)

    @property
    def page_fault(self) -> str:
        """Returns why no browser can open the page; empty if one can, or if none is configured."""
        return self._page_fault if self.page is None else self.page.fault

    def start(self) -> None:
        """Starts to answer owners.  Raises `StorageError`, `ConfigurationError`."""
        if self.alerts is not None:
            self.alerts.start()
        self.custodian.start()
        self.messages.start()
        if self.page is not None:
            self.page.start()
            if self.alerts is not None:
                self.alerts.link_to(self.page.url)
        if self._metrics is not None:
            self._start_metrics(self._metrics)
        self._start_control()

    def _start_metrics(self, metrics: MetricsServer) -> None:
        """An address that another program has must not end this process: the recorder needs it."""
        try:
            metrics.start()
        except ConfigurationError as error:
            self._log.error("no_metrics", error=error.message, remedy=error.remedy)

    def on_time(self) -> None:
        """Runs every few seconds.  Raises `StorageError` while the disk refuses writes."""
        if not self._controlled:
            self._start_control()
        self.custodian.on_time()
        if self.set_up is not None:
            self.set_up.on_time()
        self.updates.on_time()
        self.program.on_time()
        if self.link is not None:
            self.link.on_time()

    def _start_control(self) -> None:
        """Starts the control socket.  The socket is a file, and the page must work even if the disk refuses the
        file."""
        try:
            self._control.start()
        except ConfigurationError as error:
            # Only a disk that takes no write. Another cause, for example a path that is too long, is a mistake to mend.
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in (errno.EROFS, errno.ENOSPC):
                raise
            self._log.error("no_control_socket", error=error.message)
        else:
            self._controlled = True

    def stop(self) -> None:
        """Stops everything that was started.  Idempotent."""
        if self._metrics is not None:
            self._metrics.stop()
        self._control.stop()
        self.messages.stop()
        if self.link is not None:
            # Before the page: a request that came over the link runs the page's operations, and this waits for it.
            self.link.close()
        if self.page is not None:
            self.page.stop()
        if self.alerts is not None:
            self.alerts.stop()

    def close(self) -> None:
        """Closes the files.  Call it after `stop`, once no thread reports to the custodian."""
        if self.page is not None:
            self.page.close()
        if self.alerts is not None:
            self.alerts.close()
        self._journal.close()

    def status(self) -> dict[str, Any]:
        """Returns what `doorward status` shows."""
        # A copy, because `pop` below takes a part out.
        recorder = dict(self._context.recorder())
        enrolment = self.custodian.enrolments.current
        totals, newest = self._context.vault.totals(), self._context.vault.newest()
        return {
            "device": self.configuration.device.name,
            "device_id": self.device.id,
            "owners": [owner.name for owner in enrolment.recipients] if enrolment else [],
            "panel": recorder.pop("panel", None),
            "recorder": recorder,
            "vault": {"segments": totals.segments, "stored_bytes": totals.stored_bytes},
            "clock": self._clock.now().quality.value,
            "clock_jump": self._clock.status(),
            "link": dict(self._context.link()),
            "messages": self._journal.counters(),
            "messages_dropped": self.messages.dropped,
            "alerts": self.alerts.status() if self.alerts else None,
            **self._alerts_factory.requests(),
            "newest_ms": newest.end_ms if newest else None,
            "update": self.updates.status(),
            "program": self.program.status(),
            "time": self.time.status(),
            "page_fault": self.page_fault,
        }

    def _make_updates(self) -> Updates:
        state, folder = self.custodian.custodian_state, self._context.folder
        updates = Updates(
            UpdateFiles(folder.update / "state.json", folder.wish),
            __version__,
            self.device.id,
            state.decisions,
            self._journal,
            state.ledger,
            self.custodian.settings,
            self.notifier,
            lambda: self._clock.trusted_ms,
            lambda: self.custodian.enrolments.envelopes,
        )
        self.custodian.statements.choose_update = updates.accept
        self.custodian.statements.reverse_update = updates.reverse
        self.custodian.control.offer("update", lambda _asked, _body: (updates.show(), b""))
        return updates

    def _make_health(self) -> HealthReporter | None:
        installer = self.file.installer
        if installer is None:
            return None
        return HealthReporter(
            self._context.key,
            self.file,
            installer.recipient,
            self._context.clock,
            SystemEntropy(),
            self.status,
            self.updates.last_result,
        )

    def _make_time(self) -> TimeLog:
        state, witness = self.custodian.custodian_state, self.file.witness
        addresses = () if witness is None else witness.addresses
        time = TimeLog(
            self._journal,
            state.ledger,
            self._context.clock,
            SystemEntropy(),
            self._context.key,
            self._context.secret.mldsa_key(),
            [WitnessAddress(each.name, each.url, parse_witness(each.key) if each.key else None) for each in addresses],
            0 if witness is None else witness.every_hours * 3600,
        )
        self.custodian.use_time(time)
        return time

    def _owner_of(self, recipient: str) -> str:
        current = self.custodian.enrolments.current
        owners = current.recipients if current is not None else ()
        named = next((owner.name for owner in owners if owner.recipient == recipient), "")
        return named or (self._browsers.owner_of(recipient) if self._browsers is not None else "")

    def _glance_holder(self, key: str) -> GlanceHolder | None:
        return self._browsers.glance_holder(key) if self._browsers is not None else None

    def _glance_signers(self) -> Mapping[str, PublicKey]:
        return self._browsers.glance_signers() if self._browsers is not None else {}

    def _sleeps(self) -> bool:
        return self.custodian.notices.is_quiet()

    def _facts(self) -> HealthFacts:
        unknown = self._clock.now().quality is ClockQuality.UNKNOWN
        has_page = self.file.page is not None
        return health_facts(
            self._context.recorder(),
            str(self._context.link()["link"]),
            clock_unknown=unknown,
            no_page=bool(self.page_fault) if has_page else None,
        )

    def _make_link(self, page: PageServer) -> LinkSessions:
        from agent.custodian.link_setup import link_sessions  # as the page

        context, remote = self._context, self.configuration.remote
        link = link_sessions(context.key, context.secret, self.custodian.enrolments, self._glance_holder, page, remote)
        self.custodian.control.offer("link_address", link.answer_address)
        return link

    def _make_set_up(self) -> CameraSetup | None:
        page, runtime = self.configuration.page, self._context.runtime
        if page is None or not page.setup_by_camera or runtime is None:
            return None
        return CameraSetup(runtime, self._context.clock, lambda: self.custodian.enrolments.current is not None)

    def button_held(self) -> bool:
        """Takes a long press of the button. Returns True if an owner's key or the kit lets a browser in now."""
        return self.page is not None and self.page.button.held()

    def _answer_without_page(self, frame: Frame) -> Frame:
        """The control socket's handler if the page has a fault. The terminal is told why."""
        if frame.head.get("op") in ("page_code", "page_authority"):
            raise StorageError(f"The page cannot be opened: {self._page_fault}")
        return self.custodian.control.answer(frame)

    def _make_control(self) -> RpcServer:
        without_page = self._answer_without_page if self._page_fault else self.custodian.control.answer
        answer = self.page.answer if self.page is not None else without_page
        return control_server(self._context.folder.control, answer)

    def _make_page(self) -> PageServer | None:
        """Returns the page; None if none is configured, or if its files cannot be used.

        The rest goes on without it: the recorder needs this process for the signature under each segment.
        """
        if self.configuration.page is None:
            return None
        try:
            return self._open_page()
        except (ConfigurationError, StorageError) as error:
            self._page_fault = str(error)
            self._log.error("page_not_served", reason=error.message, remedy=error.remedy)
            return None

    def _open_page(self) -> PageServer:
        from agent.custodian.page.operations import GlanceKeys
        from agent.custodian.page.server import PageDeps, PageServer  # saves memory on a device without a page

        configuration = self.configuration
        assert configuration.page is not None  # noqa: S101 — the caller looked
        return PageServer(
            configuration.page,
            self._context.folder.page,
            configuration.device.name,
            PageDeps(
                self.custodian.control,
                self.custodian.enrolments,
                self._context.manifest,
                self._context.clock,
                SystemEntropy(),
                lambda: page_facts(self.configuration, self.file, self.custodian.settings.current),
                self._context.live_buffer.show,
                relay_origin(configuration),
                self.set_up,
                GlanceKeys(self._glance_signers, self._glance_holder),
                lambda: self.notifier.notify("button held", "The button was held, and a code can be fetched."),
                lambda: self._clock.believed_ms,
            ),
        )
