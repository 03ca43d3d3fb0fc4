"""The uplink's process: the MQTT connection and the outbox objects handed to it, and nothing else.

It may read neither the configuration (which holds the doorbell's position) nor the vault, the journal, the trust store
or any key but the one for TLS. An import contract in setup.cfg and its sandbox in systemd/ enforce the rule
independently.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import structlog

from agent.core.alerts.alert_messages import AlertMessage, ChannelAddress
from agent.core.home_news import HomeState
from agent.core.recovery import StallDetector
from agent.core.requests import OutboxRecord
from agent.errors import ConfigurationError, DoorwardError
from agent.ipc import protocol
from agent.ipc.outbox_files import DiskOutbox
from agent.ipc.protocol import (
    BeginSending,
    DeliverMessage,
    GetUplinkConfig,
    LinkFrame,
    RelayReply,
    ReportStatus,
    UplinkConfig,
)
from agent.ipc.rpc_client import RpcClient
from agent.mqtt import BusSettings, MqttBus, sessionless
from agent.platform.supervision import SystemdNotifier
from agent.platform.system_clock import SystemClock
from agent.uplink.alert_sender import AlertDelivery
from agent.uplink.beat_sender import BeatSender
from agent.uplink.home_assistant import HomeAssistantService
from agent.uplink.home_mqtt import MqttHomeBus
from agent.uplink.message_router import MultiAlertSender
from agent.uplink.relay_connection import RelayConnection, relay_settings
from agent.uplink.uplink import Uplink
from agent.wire import strictjson
from agent.wire.disclosures import Receipt

__all__ = ["UplinkRole"]

_TICK_S = 2.0
_AGAIN_S = 600.0
_FOR_EVER_S = 10.0**9
_LONGEST_RECEIPT = 64 << 10
_OFF = {"link": "off", "remedy": "no [broker] configured"}
_FILES = ("tls_ca.pem", "tls_device.pem", "tls_device.key")
"""Files of the folder `tls` as systemd names them: LoadCredential=tls:/etc/doorward/tls."""


class CustodianClient:
    """`ports.CustodyPort` over the socket."""

    def __init__(self, custodian: RpcClient) -> None:
        self._custodian = custodian

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        found = self._custodian.ask(DeliverMessage(topic, data)).receipt
        return None if found is None else strictjson.decode(found, Receipt, limit_bytes=_LONGEST_RECEIPT)

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        return list(self._custodian.ask(protocol.GetOutgoing()).disclosures)

    def begin_sending(self, disclosure: str) -> bool:
        return self._custodian.ask(BeginSending(disclosure)).allowed


class AlertsClient:
    """`ports.AlertMailer` over the socket."""

    def __init__(self, custodian: RpcClient, waiting: RpcClient) -> None:
        """`waiting`: a connection on which nothing else is asked."""
        self._custodian = custodian
        self._waiting = waiting

    def channels(self) -> tuple[ChannelAddress, ...]:
        return self._custodian.ask(protocol.GetAlertChannels()).addresses

    def collect(self, wait_s: float) -> tuple[AlertMessage, ...]:  # noqa: ARG002
        """The custodian waits as long as it likes."""
        return self._waiting.ask(protocol.PollAlerts(), patience_s=0.0).messages

    def acknowledge(self, message: AlertMessage, fault: str = "") -> None:
        self._custodian.ask(protocol.AckAlert(message, fault))


class HomeStateClient:
    """`ports.HomeStateSource` over the socket."""

    def __init__(self, waiting: RpcClient) -> None:
        self._waiting = waiting

    def collect(self, presses: int, wait_s: float) -> HomeState:  # noqa: ARG002
        return self._waiting.ask(protocol.PollHomeState(presses), patience_s=0.0).news


class LinkClient:
    """`ports.LinkPort` over the socket."""

    def __init__(self, custodian: RpcClient, waiting: RpcClient) -> None:
        self._custodian = custodian
        self._waiting = waiting

    def deliver(self, frames: Sequence[LinkFrame]) -> None:
        self._custodian.ask(protocol.DeliverLinkFrames(tuple(frames)), patience_s=0.0)

    def collect(self, wait_s: float) -> tuple[LinkFrame, ...]:  # noqa: ARG002
        return self._waiting.ask(protocol.PollLinkFrames(), patience_s=0.0).frames

    def addresses(self) -> tuple[str, ...]:
        return self._custodian.ask(protocol.GetRelay(), patience_s=0.0).addresses


class BeatClient:
    """`beat_sender.BeatPort` over the socket."""

    def __init__(self, custodian: RpcClient) -> None:
        self._custodian = custodian

    def beat(self) -> protocol.OutgoingBeat:
        return self._custodian.ask(protocol.GetBeat(), patience_s=0.0)

    def take(self, number: int, answers: Sequence[protocol.BeatAnswer]) -> None:
        self._custodian.ask(protocol.PutBeatAnswers(number, tuple(answers)), patience_s=0.0)


class UplinkRole:
    """`start`, `run` (blocks), `stop` from another thread, `close`."""

    def __init__(
        self,
        outbox: Path,
        custodian: RpcClient,
        news: RpcClient,
        messages: RpcClient,
        home: RpcClient,
        frames: RpcClient,
        supervision: SystemdNotifier,
    ) -> None:
        """On `news`, `messages`, `home` and `frames` the custodian is waited for.  Waits for one to be there."""
        self._custodian = custodian
        self._news = news
        self._messages = messages
        self._at_home = home
        self._frames = frames
        self._delivery = AlertDelivery(AlertsClient(custodian, messages), MultiAlertSender())
        self._supervision = supervision
        self._log = structlog.get_logger("uplink")
        self._clock = SystemClock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._progress = StallDetector({"loop": 60.0})
        self._fault = ""
        """Why there is no link until the process is started again."""
        where = custodian.ask(GetUplinkConfig(), patience_s=_FOR_EVER_S)
        address = custodian.ask(protocol.GetHomeAssistant()).address
        self._home = (
            HomeAssistantService(HomeStateClient(home), MqttHomeBus(address), address) if address.host else None
        )
        self._relay = _relay_connection(custodian, frames, where)
        every_s = where.beat_every_s
        self._beats = BeatSender(BeatClient(custodian), self._clock, every_s) if every_s else None
        self.uplink: Uplink | None = None
        if where.host:
            # The custodian tells only these values. The configuration file holds the doorbell's position, and this role
            # may not read it.
            settings = _bus_settings(where)
            live = sessionless(settings)
            self.uplink = Uplink(
                MqttBus(settings),
                CustodianClient(custodian),
                DiskOutbox(outbox),
                self._clock,
                device=where.device,
                cell_filter=where.cell_filter,
                chunk_bytes=where.chunk_bytes,
                health=self._health_report if where.reports_health else None,
                live=MqttBus(live) if live is not None else None,
            )

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._keep_time, name="time")]
        if self.uplink is not None:
            self._threads.append(threading.Thread(target=self._hear_news, args=(self.uplink,), name="news"))
        for thread in self._threads:
            thread.start()
        self._delivery.start()
        if self._beats is not None:
            self._beats.start()
        if self._home is not None:
            self._home.start()
        if self._relay is not None:
            self._relay.start()
        self._supervision.ready("connecting" if self.uplink else "no [broker] configured")

    def run(self) -> None:
        """Raises the error that ends the link for good. The service manager restarts the process.

        Without certificate or password there is no link. Alerts, Home Assistant and the relay go on meanwhile, and the
        process ends after `_AGAIN_S`: systemd copies these files at its start.
        """
        if self.uplink is not None:
            try:
                self.uplink.run()
            except ConfigurationError as error:
                self._fault = str(error)
                self._log.error("link_failed", error=error.message, remedy=error.remedy)
                if not self._stopping.wait(_AGAIN_S):
                    raise
        self._stopping.wait()

    def stop(self) -> None:
        self._supervision.stopping()
        self._stopping.set()
        if self.uplink is not None:
            self.uplink.stop()
        if self._home is not None:
            self._home.stop()
        # Closing a socket ends the poll that a thread waits in. The threads are joined afterwards.
        self._at_home.close()
        self._frames.close()
        if self._relay is not None:
            self._relay.stop()
        self._delivery.stop()
        if self._beats is not None:
            self._beats.stop()
        self._news.close()
        self._messages.close()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        self._custodian.close()

    def _health_report(self) -> bytes:
        return self._custodian.ask(protocol.GetHealthReport()).sealed

    def _hear_news(self, uplink: Uplink) -> None:
        seen = -1
        while not self._stopping.is_set():
            try:
                version = self._news.ask(protocol.PollOutgoing(seen), patience_s=0.0).version
            except DoorwardError:
                seen = -1  # a custodian that comes back counts from zero
                self._stopping.wait(_TICK_S)
                continue
            if version != seen:
                seen = version
                uplink.wake()
                self._listen(uplink)

    def _listen(self, uplink: Uplink) -> None:
        """The device's position may have changed."""
        try:
            where = self._news.ask(GetUplinkConfig(), patience_s=0.0)
        except DoorwardError:
            return
        uplink.listen_to(where.cell_filter)

    def _keep_time(self) -> None:
        while not self._stopping.wait(_TICK_S):
            status = asdict(self.uplink.status()) if self.uplink else dict(_OFF)
            status |= {"link": "stopped", "remedy": self._fault} if self._fault else {}
            status |= asdict(self._relay.status()) if self._relay else {}
            try:
                self._custodian.ask(ReportStatus(status), patience_s=0.0)
            except DoorwardError as error:
                self._log.warning("custodian_away", error=error.message)
            now_ns = self._clock.now().boot_ns
            self._progress.mark("loop", (self.uplink.turned_ns if self.uplink else 0) or now_ns)
            # No sign of life while the link's loop stands still, so that systemd's watchdog restarts the process.
            if not self._progress.stuck(now_ns):
                self._supervision.alive()
            self._supervision.status(str(status["link"]))


def _relay_connection(custodian: RpcClient, frames: RpcClient, where: UplinkConfig) -> RelayConnection | None:
    relay = custodian.ask(protocol.GetRelay(), patience_s=_FOR_EVER_S)
    if not relay.host:
        return None
    link = LinkClient(custodian, frames)
    settings = relay_settings(
        BusSettings(
            relay.host,
            relay.port,
            # Clients of a relay choose their ids. A known id would let another one take over this connection.
            f"{random.SystemRandom().getrandbits(64):016x}",
            *_relay_files(relay, where),
            keepalive_s=relay.keepalive_s,
        )
    )
    return RelayConnection(MqttBus(settings), link, relay.account, link.addresses)


def _relay_files(relay: RelayReply, where: UplinkConfig) -> tuple[Path, Path, Path]:
    """Returns authority, certificate and key. systemd names each file of the folder `tls` by the name that it has
    there."""
    if relay.is_brokers:
        return _tls_files(where)
    authority, certificate, key = map(_credential, relay.files)
    return authority, certificate, key


def _credential(name: str) -> Path:
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(credentials, f"tls_{Path(name).name}") if credentials else Path(name)


def _tls_files(where: UplinkConfig) -> tuple[Path, Path, Path]:
    """Returns the files that systemd put where only this role can read them (systemd.exec(5)), or the configured
    ones."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    files = [Path(credentials, name) for name in _FILES] if credentials else [Path(name) for name in where.files]
    return files[0], files[1], files[2]


def _bus_settings(where: UplinkConfig) -> BusSettings:
    authority, certificate, key = _tls_files(where)
    return BusSettings(
        where.host,
        where.port,
        where.device,
        authority,
        certificate if where.files[1] else None,
        key if where.files[2] else None,
        user=where.user,
        password_file=_credential(where.password_file) if where.password_file else None,
        keepalive_s=where.keepalive_s,
        session_s=where.session_hours * 3600,
    )
