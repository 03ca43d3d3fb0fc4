"""Everything in one process: for laptops, the demo, tests and very small boards.

Builds the graph and starts its threads; decides nothing.  The parts are those of the separate roles, and speak to each
other through the same few calls.

    bridge ┄ recorder ─ vault ─ custodian ─ uplink
                                   ├ control socket (the owner's client)
                                   └ page (the owner's browser; off unless configured)
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Configuration
from agent.config.derived import relay_files
from agent.config.settings import BrokerConfig
from agent.core.alerts.alert_messages import AlertPicture
from agent.core.events import TriggerKind
from agent.core.object_detection.detector import ObjectDetector
from agent.core.setup_state import SetupState
from agent.core.timebase import BootNs
from agent.core.transfer.values import LARGEST_CHUNK_BYTES
from agent.core.vault.manifest import SecondSigner
from agent.custodian.capture_key import CaptureKey
from agent.custodian.composition import NO_LINK, CustodianContext, CustodianRuntime
from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.state_folder import StateFolder
from agent.custodian.talk_buffer import TalkBuffer
from agent.errors import DoorwardError
from agent.mqtt import BusSettings, MqttBus, sessionless
from agent.platform.disk import RealDisk
from agent.platform.system_clock import SystemClock
from agent.ports import Bus, Camera, CameraEnd, Clock, Microphone
from agent.recorder.composition import RecorderDeps, RecorderRuntime
from agent.uplink.alert_sender import AlertDelivery
from agent.uplink.beat_sender import BeatSender
from agent.uplink.home_assistant import HomeAssistantService
from agent.uplink.home_mqtt import MqttHomeBus
from agent.uplink.message_router import MultiAlertSender
from agent.uplink.relay_connection import RelayConnection, relay_settings
from agent.uplink.uplink import Uplink
from agent.wire.identities import MldsaPublicKey, public_key_of

__all__ = ["Solo"]

_TICK_S = 5.0


class Solo:
    """One device.  `start` brings up everything but the camera; `record` plays the camera; `stop` ends it all.

    `open_camera`, `open_microphone`, `bus`, `clock` and `open_detector` replace what would be built: for tests
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
        open_detector: Callable[[], ObjectDetector] | None = None,
        configuration_file: Path | None = None,
        runtime: Path | None = None,
    ) -> None:
        """`runtime`: the folder above `setup` and `network`, if a command of root watches it (`join-network`)."""
        self._runtime_dir = runtime
        self._log = structlog.get_logger("solo")
        self._clock = clock or SystemClock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._home: HomeAssistantService | None = None
        self._shelf = LiveBuffer()
        self._folder = folder = StateFolder(configuration.device.state_dir)
        key = folder.device_key()
        folder.claim()
        self.device = public_key_of(key)
        self._talk = TalkBuffer(key)
        RealDisk().make_directory(folder.vault)
        self._recording = RecorderRuntime(
            configuration,
            self._recorder_deps(key, configuration.device.state_dir),
            open_camera=open_camera,
            open_microphone=open_microphone,
            open_detector=open_detector,
            configuration_file=configuration_file,
        )
        self.vault, self.recorder, self.panel = self._recording.vault, self._recording.recorder, self._recording.panel
        connected = configuration.broker is not None or bus is not None
        self._owned = CustodianRuntime(
            configuration, self._custodian_context(key, connected=connected), self._apply_configuration
        )
        self.custodian, self.alerts, self.page = self._owned.custodian, self._owned.alerts, self._owned.page
        self.link = self._owned.link
        self._delivery = AlertDelivery(self.alerts, MultiAlertSender()) if self.alerts is not None else None
        self.uplink = self._make_uplink(configuration, bus)
        if self.uplink is not None:
            self.custodian.releases.wake_uplink = self.uplink.wake
        self._relay = self._make_relay(configuration)
        times = self._owned.time
        self._beats = BeatSender(times, self._clock, times.every_s) if times.every_s else None
        self._owned.apply_configuration()
        self._show_alerts()

    def _recorder_deps(self, key: Ed25519PrivateKey, state_dir: Path) -> RecorderDeps:
        secret = self._folder.device_secret()
        mldsa_key = secret.mldsa_key()
        return RecorderDeps(
            self._folder.vault,
            self._folder.index,
            state_dir,
            self._clock,
            self,
            self.device.id,
            key.sign,
            SecondSigner(MldsaPublicKey.of(mldsa_key).text, mldsa_key.sign),
            self.device,
            protected=lambda: self.custodian.protected(self.vault.totals().segments),
            live_view=self._shelf,
            talk=self._talk,
            supervised="INVOCATION_ID" in os.environ,  # systemd's, systemd.exec(5)
            set_up=self._take_setup_code,
            button_held=self._button_held,
            capture=CaptureKey.of_device(secret, key),
        )

    def _custodian_context(self, key: Ed25519PrivateKey, *, connected: bool) -> CustodianContext:
        return CustodianContext(
            self._folder,
            key,
            self._folder.device_secret(),
            self._clock,
            self.vault,
            self._recording.manifest,
            self._recording.seal_to,
            self._shelf,
            self._talk,
            self._recording.status,
            self._link_status,
            connected=connected,
            runtime=self._runtime_dir,
        )

    def _take_setup_code(self, text: str) -> SetupState:
        return self._owned.set_up.take(text) if self._owned.set_up is not None else SetupState.OFF

    def _button_held(self) -> bool:
        return self._owned.button_held()

    def _make_uplink(self, configuration: Configuration, bus: Bus | None) -> Uplink | None:
        """Makes the uplink over `bus`, or otherwise the configured broker's; None if both are missing."""
        broker = configuration.broker
        live = None
        if bus is None and broker is not None:
            settings = _bus_settings(broker, self.device.id)
            bus, second = MqttBus(settings), sessionless(settings)
            live = MqttBus(second) if second is not None else None
        if bus is None:
            return None
        return Uplink(
            bus,
            self._owned.messages,
            self._owned.outbox,
            self._clock,
            device=self.device.id,
            cell_filter=self._owned.cell_filter,
            chunk_bytes=broker.chunk_bytes if broker else LARGEST_CHUNK_BYTES,
            health=self._owned.health.report if self._owned.health is not None else None,
            live=live,
        )

    def _make_relay(self, configuration: Configuration) -> RelayConnection | None:
        remote, link = configuration.remote, self._owned.link
        if remote is None or link is None:
            return None
        authority, certificate, key = map(Path, relay_files(configuration))
        settings = BusSettings(
            remote.host, remote.port, secrets.token_hex(8), authority, certificate, key, keepalive_s=remote.keepalive_s
        )
        account = remote.user or self.device.id
        return RelayConnection(MqttBus(relay_settings(settings)), link, account, link.addresses)

    def _link_status(self) -> dict[str, Any]:
        link = asdict(self.uplink.status()) if self.uplink is not None else dict(NO_LINK)
        return link | (asdict(self._relay.status()) if self._relay is not None else {})

    def start(self) -> None:
        """Bring back what a crash left, answer owners, keep the link.  Raises `StorageError`, `ConfigurationError`."""
        self._recording.start()
        self._owned.start()
        if self._delivery is not None:
            self._delivery.start()
        if self._owned.home is not None:
            address = self._owned.home_address
            self._home = HomeAssistantService(self._owned.home, MqttHomeBus(address), address)
            self._home.start()
        if self._relay is not None:
            self._relay.start()
        if self._beats is not None:
            self._beats.start()
        self._threads = [threading.Thread(target=self._keep_time, name="time")]
        if self.uplink is not None:
            self._threads.append(threading.Thread(target=self._keep_link, args=(self.uplink,), name="uplink"))
        for thread in self._threads:
            thread.start()

    def give_up(self) -> None:
        """The process is to stop while it starts: what takes long in that ends."""
        self.vault.give_up()

    def record(self, first_ns: BootNs | None = None) -> CameraEnd:
        """Plays the camera to its end or until `stop`. Waits for an owner first, because recording needs a
        recipient."""
        return self._recording.record(first_ns)

    def wait(self) -> None:
        """Go on without a camera until `stop`."""
        self._stopping.wait()

    def press_button(self) -> None:
        """The doorbell's button."""
        self.recorder.trigger(TriggerKind.BUTTON)

    def stop(self) -> None:
        """End everything, finish what is open, join every thread.  Call it from another thread than `record`'s."""
        self._stopping.set()
        self._shelf.close()
        self._talk.close()
        self._recording.stop()
        if self.uplink is not None:
            self.uplink.stop()
        if self._home is not None:
            self._home.stop()
        if self._relay is not None:
            self._relay.stop()
        if self._beats is not None:
            self._beats.stop()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._owned.stop()
        if self._delivery is not None:
            self._delivery.stop()

    def close(self) -> None:
        """Close the files.  After `stop`, and after `record` has returned."""
        self._owned.close()
        self._recording.close()
        self._folder.release()

    def status(self) -> dict[str, Any]:
        """Returns the data of `doorward status`."""
        return self._owned.status()

    def notify(self, kind: str, text: str, once: str = "", pictures: Sequence[AlertPicture] = ()) -> None:
        """`ports.PictureNotifier`, for the recorder's side, which is there before the custodian's."""
        self._owned.notifier.notify(kind, text, once, pictures)

    def _apply_configuration(self, configuration: Configuration) -> None:
        self._recording.apply_configuration(configuration)
        if self.uplink is not None:
            self.uplink.listen_to(self._owned.cell_filter)

    def _show_alerts(self) -> None:
        self._recording.show_to(self._owned.glances())

    def _keep_time(self) -> None:
        while not self._stopping.wait(_TICK_S):
            # Each on its own: a card that will not erase must not keep a request from expiring.
            for turn in (self._show_alerts, self._recording.try_vault, self._erase, self._owned.on_time):
                try:
                    turn()
                except DoorwardError as error:
                    self._log.warning("time_not_kept", error=error.message)

    def _erase(self) -> None:
        self.vault.erase(self.custodian.erased())

    def _keep_link(self, uplink: Uplink) -> None:
        try:
            uplink.run()
        except DoorwardError as error:
            # Recording must not depend on the network, so it logs the error and goes on.
            self._log.error("link_failed", error=error.message, remedy=error.remedy)


def _bus_settings(broker: BrokerConfig, name: str) -> BusSettings:
    return BusSettings(
        host=broker.host,
        port=broker.port,
        name=name,
        authority=broker.ca,
        certificate=broker.certificate,
        key=broker.key,
        keepalive_s=broker.keepalive_s,
        session_s=broker.session_hours * 3600,
        user=broker.user,
        password_file=broker.password_file,
    )
