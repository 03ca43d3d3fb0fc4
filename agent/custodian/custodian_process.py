"""The custodian's process: index, requests, consent, ledger, the device's signing key, and the owner's page.

It serves the recorder, the uplink and the owner on one socket each. Camera, network and the keys that open footage are
out of its reach. It only reads the ciphertext of the vault.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Configuration
from agent.config.derived import relay_files
from agent.core.timebase import NS_PER_S
from agent.custodian.capture_key import CaptureKey
from agent.custodian.composition import NO_LINK, CustodianContext, CustodianRuntime
from agent.custodian.ipc_handlers import RecorderIpcHandler, StatusReports, UplinkIpcHandler
from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.state_folder import StateFolder
from agent.custodian.talk_buffer import TalkBuffer
from agent.custodian.vault_follower import FollowingIndex, ReadOnlyDisk
from agent.errors import DoorwardError
from agent.ipc.peers import uids_of
from agent.ipc.protocol import FromRecorder, FromUplink, Recipients, RelayReply, UplinkConfig
from agent.ipc.rpc_server import RpcServer, role_server
from agent.platform.disk import RealDisk
from agent.platform.supervision import SystemdNotifier
from agent.platform.system_clock import SystemClock
from agent.vault.index_sqlite import SqliteIndex
from agent.vault.reader import VaultReader
from agent.vault.segment_files import DiskManifestLog, DiskSegmentStore
from agent.wire.identities import MldsaPublicKey

__all__ = ["CustodianRole"]

_TICK_S = 2.0


class CustodianRole:
    """`start`, `wait` (blocks), `stop` from another thread, `close`.  `runtime_dir` is the folder of the roles'
    sockets."""

    def __init__(self, configuration: Configuration, runtime_dir: Path, supervision: SystemdNotifier) -> None:
        self._configuration = configuration
        self._supervision = supervision
        self._log = structlog.get_logger("custodian")
        self._clock = SystemClock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._shelf = LiveBuffer()
        self._folder = folder = StateFolder(configuration.device.state_dir)
        key = folder.device_key()
        self._mldsa_key = folder.device_secret().mldsa_key()
        self._talk = TalkBuffer(key)
        # Before index and journal are opened: a second custodian would answer twice and break the chain of the ledger.
        folder.claim()
        self._index = SqliteIndex(folder.index)
        disk = ReadOnlyDisk(RealDisk())
        manifest = DiskManifestLog(disk, folder.vault)
        self._vault = VaultReader(DiskSegmentStore(disk, folder.vault), manifest, FollowingIndex(manifest, self._index))
        self._reports = StatusReports(self._clock)
        self._owned = CustodianRuntime(
            configuration,
            CustodianContext(
                folder,
                key,
                folder.device_secret(),
                self._clock,
                self._vault,
                manifest,
                lambda _recipients, _epoch: None,  # the recorder polls for the list instead
                self._shelf,
                self._talk,
                self._recorder,
                self._link,
                connected=configuration.broker is not None,
                runtime=runtime_dir,
            ),
            self._ignore_configuration,
        )
        self.device, self.custodian, self.alerts = self._owned.device, self._owned.custodian, self._owned.alerts
        self._uplink_handler = self._make_uplink_handler()
        self.custodian.releases.wake_uplink = self._uplink_handler.news
        self._owned.apply_configuration()
        self._sockets: tuple[RpcServer, RpcServer] = (
            role_server(
                runtime_dir / "recorder" / "custodian.sock",
                FromRecorder,
                self._make_recorder_handler(key).handle,
                # Each socket takes its role's user alone, so a taken uplink cannot ask for the recorder's signatures.
                uids_of("doorward-recorder"),
            ),
            role_server(
                runtime_dir / "uplink" / "custodian.sock",
                FromUplink,
                self._uplink_handler.handle,
                uids_of("doorward-uplink"),
            ),
        )

    def _make_recorder_handler(self, key: Ed25519PrivateKey) -> RecorderIpcHandler:
        return RecorderIpcHandler(
            self._sealers,
            key.sign,
            self._mldsa_key.sign,
            self.custodian,
            lambda: self.custodian.settings.payload,  # read at each call
            self._owned.notifier,
            self._reports,
            self._shelf,
            self._talk,
            *((self._owned.set_up.take,) if self._owned.set_up is not None else ()),
            capture=CaptureKey.of_device(self._folder.device_secret(), key),
            button_held=self._owned.button_held,
        )

    def _make_uplink_handler(self) -> UplinkIpcHandler:
        owned = self._owned
        return UplinkIpcHandler(
            owned.messages, self._addressing(), self._reports, self.alerts, owned.home, owned.link, self._relay,
            owned.health.report if owned.health is not None else bytes, owned.time,
            is_sound=lambda: owned.program.changes is None,
        )  # fmt: skip

    def start(self) -> None:
        """Starts every server, then reports readiness.  Raises `StorageError`, `ConfigurationError`."""
        self._owned.start()
        self._uplink_handler.home_address = self._owned.home_address
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
        self._uplink_handler.news()
        # Before the sockets stop: threads of their servers wait in these two.
        self._shelf.close()
        self._talk.close()
        for each in self._sockets:
            each.stop()
        if self._thread is not None:
            self._thread.join()
        self._owned.stop()

    def close(self) -> None:
        self._owned.close()
        self._index.close()
        self._folder.release()

    def status(self) -> dict[str, Any]:
        """Returns what `doorward status` shows: as in `solo`, with the last reports of the other roles."""
        return self._owned.status()

    def _recorder(self) -> Mapping[str, Any]:
        return self._reports.status_of("recorder") or _NO_RECORDER

    def _link(self) -> Mapping[str, Any]:
        if self._configuration.broker is None and self._configuration.remote is None:
            return NO_LINK
        if self._owned.program.changes is not None:
            return _CHANGED
        return self._reports.status_of("uplink") or {"link": "no uplink", "remedy": _SEE.format("uplink")}

    def _ignore_configuration(self, _in_force: Configuration) -> None:
        self._uplink_handler.addressing = self._addressing()
        self._uplink_handler.news()

    def _sealers(self) -> Recipients:
        current, mldsa = self.custodian.enrolments.current, MldsaPublicKey.of(self._mldsa_key).text
        if current is None:
            return Recipients(self.device.id, mldsa, 0, ())
        recipients = (*(owner.recipient for owner in current.recipients), current.recovery)
        return Recipients(self.device.id, mldsa, current.epoch, recipients, self._owned.glances())

    def _addressing(self) -> UplinkConfig:
        broker = self._configuration.broker
        if broker is None:
            return UplinkConfig(beat_every_s=self._owned.time.every_s)
        return UplinkConfig(
            self.device.id,
            broker.host,
            broker.port,
            broker.keepalive_s,
            broker.chunk_bytes,
            self._owned.cell_filter,
            (str(broker.ca), str(broker.certificate or ""), str(broker.key or "")),
            reports_health=self._owned.health is not None,
            beat_every_s=self._owned.time.every_s,
            session_hours=broker.session_hours,
            user=broker.user,
            password_file=str(broker.password_file or ""),
        )

    def _relay(self) -> RelayReply:
        """The addresses are those of the present list of owners."""
        remote, link = self._configuration.remote, self._owned.link
        if remote is None or link is None:
            return RelayReply()
        return RelayReply(
            remote.host,
            remote.port,
            remote.keepalive_s,
            remote.user or self.device.id,
            link.addresses(),
            relay_files(self._configuration),
            is_brokers=remote.ca is None,
        )

    def _keep_time(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                self._owned.on_time()
            except DoorwardError as error:
                self._log.warning("time_not_kept", error=error.message)
            # A restart does not repair a full disk, so it counts as alive and is only logged.  The loop takes the lock
            # that every request and decision takes, so a finished turn is the progress.
            self._supervision.alive()
            self._supervision.status(self._status_report())

    def _status_report(self) -> str:
        try:
            stored = f"{self._vault.totals().segments} segments"
        except DoorwardError as error:
            self._log.warning("vault_not_read", error=error.message)
            stored = "the vault cannot be read"
        return f"{stored}, {self._clock.now().boot_ns // NS_PER_S} s since boot"


_CHANGED = {"link": "off", "remedy": "The program was changed. See: docs/troubleshooting.md."}
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
