"""The uplink puts its watchdog off, whatever the custodian says to what it reports."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from agent.core.alerts.alert_messages import AlertMessage, ChannelAddress
from agent.core.home_news import HomeAddress, HomeState
from agent.errors import ConfigurationError, NetworkError, StorageError
from agent.ipc import protocol
from agent.ipc.outbox_files import DiskOutbox
from agent.ipc.protocol import (
    GetHomeAssistant,
    GetRelay,
    GetUplinkConfig,
    HomeAssistantReply,
    RelayReply,
    ReportStatus,
    UplinkConfig,
)
from agent.ipc.rpc import Request
from agent.mqtt import BusSettings, sessionless
from agent.platform.supervision import SystemdNotifier
from agent.uplink import uplink_process
from agent.uplink.relay_connection import RelayStatus
from agent.uplink.uplink import UplinkStatus
from agent.uplink.uplink_process import (
    AlertsClient,
    CustodianClient,
    HomeStateClient,
    LinkClient,
    UplinkRole,
    _bus_settings,
    _relay_files,
)
from agent.wire import strictjson
from tests.wire import samples


class Refusing:
    """A custodian with a disk that refuses writes, behind `RpcClient`'s calls; `gone` once it is closed."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self.refused = 0

    def ask(self, request: Request[Any], *, body: bytes = b"", patience_s: float | None = None) -> Any:
        if isinstance(request, GetUplinkConfig):
            return UplinkConfig()
        if isinstance(request, GetRelay):
            return RelayReply()
        if isinstance(request, GetHomeAssistant):
            return HomeAssistantReply(HomeAddress())
        if isinstance(request, ReportStatus):
            self.refused += 1
            raise StorageError("The journal cannot be written.")
        self.gone.wait(10)
        raise NetworkError("The custodian is away.")

    def close(self) -> None:
        self.gone.set()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(30)
        yield line


def test_a_custodian_that_refuses_a_report_stops_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: socket.socket
) -> None:
    monkeypatch.setattr(uplink_process, "_TICK_S", 0.01)
    custodian = Refusing()
    supervision = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    role = UplinkRole(tmp_path / "outbox", *[custodian] * 5, supervision)  # type: ignore[arg-type, list-item]
    role.start()
    words = ""
    while words.count("WATCHDOG=1") < 3:
        words += line.recv(1000).decode()
    custodian.close()
    role.stop()
    role.close()
    assert custodian.refused >= 3


# -- the custodian, as the uplink asks it ------------------------------------------------------------------------------


class Asked:
    """A connection to the custodian: what was asked, how patiently, and what it answers."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = answers
        self.asked: list[tuple[Any, float | None]] = []
        self.closed = threading.Event()

    def ask(self, request: Request[Any], *, body: bytes = b"", patience_s: float | None = None) -> Any:
        self.asked.append((request, patience_s))
        answer = self.answers[type(request).__name__]
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed.set()


def test_what_comes_over_the_network_is_handed_over_as_it_is_and_a_receipt_comes_back() -> None:
    receipt = samples.receipt()
    asked = Asked(
        DeliverMessage=protocol.TransferReceipt(strictjson.encode(receipt)),
        GetOutgoing=protocol.OutgoingDisclosures(()),
        BeginSending=protocol.SendingAllowed(True),
    )
    custodian = CustodianClient(asked)  # type: ignore[arg-type]
    assert custodian.on_message("topic", b"data") == receipt
    assert custodian.outgoing() == []
    assert custodian.begin_sending("d" * 32) is True
    assert [each for each, _ in asked.asked] == [
        protocol.DeliverMessage("topic", b"data"), protocol.GetOutgoing(), protocol.BeginSending("d" * 32),
    ]  # fmt: skip
    asked.answers["DeliverMessage"] = protocol.TransferReceipt(None)
    asked.answers["BeginSending"] = protocol.SendingAllowed(False)
    assert custodian.on_message("topic", b"data") is None
    assert custodian.begin_sending("d" * 32) is False


def test_alerts_are_waited_for_on_a_connection_of_their_own() -> None:
    address, message = ChannelAddress("Ann", "ntfy://phone/door"), AlertMessage("Ann", "title", "body", (1,))
    asked = Asked(GetAlertChannels=protocol.AlertChannelsReply((address,)), AckAlert=protocol.Ack())
    waiting = Asked(PollAlerts=protocol.AlertMessages((message,)))
    alerts = AlertsClient(asked, waiting)  # type: ignore[arg-type]
    assert alerts.channels() == (address,)
    assert alerts.collect(5.0) == (message,)
    alerts.acknowledge(message, "it failed")
    assert waiting.asked == [(protocol.PollAlerts(), 0.0)]
    assert asked.asked[-1][0] == protocol.AckAlert(message, "it failed")
    state = HomeState(3, b"{}")
    home = Asked(PollHomeState=protocol.HomeStateReply(state))
    assert HomeStateClient(home).collect(2, 1.0) == state  # type: ignore[arg-type]
    assert home.asked == [(protocol.PollHomeState(2), 0.0)]


WHERE = UplinkConfig(
    "ab" * 8,
    "broker.example",
    8884,
    45,
    65_536,
    "a/filter",
    ("/etc/ca.pem", "/etc/cert.pem", "/etc/key.pem"),
    session_hours=2,
)


def test_systemds_copies_of_the_certificates_win_over_the_configured_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    expected = BusSettings(
        host="broker.example", port=8884, name="ab" * 8, authority=Path("/etc/ca.pem"),
        certificate=Path("/etc/cert.pem"), key=Path("/etc/key.pem"), keepalive_s=45, session_s=7200,
    )  # fmt: skip
    assert _bus_settings(WHERE) == expected
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/uplink")
    found = _bus_settings(WHERE)
    assert [str(each) for each in (found.authority, found.certificate, found.key)] == [
        "/run/credentials/uplink/tls_ca.pem",
        "/run/credentials/uplink/tls_device.pem",
        "/run/credentials/uplink/tls_device.key",
    ]


def test_a_broker_with_a_password_has_systemds_copy_of_the_file_and_no_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = msgspec.structs.replace(
        WHERE, files=("/etc/ca.pem", "", ""), user="door", password_file="/etc/doorward/tls/broker.password"
    )
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    found = _bus_settings(where)
    assert (found.certificate, found.key, found.user) == (None, None, "door")
    assert found.password_file == Path("/etc/doorward/tls/broker.password")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/c")
    assert _bus_settings(where).password_file == Path("/run/c/tls_broker.password")
    assert _bus_settings(WHERE).password_file is None


RELAY = RelayReply("relay.example", 8885, 60, "ab" * 8, ("cd" * 16,), ("/x/relay-ca.pem", "/x/a.pem", "/x/a.key"))


def test_the_relay_has_its_own_files_or_those_of_the_broker_and_systemds_copies_win(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brokers = msgspec.structs.replace(RELAY, is_brokers=True)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert [str(each) for each in _relay_files(RELAY, WHERE)] == list(RELAY.files)
    assert [str(each) for each in _relay_files(brokers, WHERE)] == list(WHERE.files)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/c")
    assert [str(each) for each in _relay_files(RELAY, WHERE)] == [
        "/run/c/tls_relay-ca.pem",
        "/run/c/tls_a.pem",
        "/run/c/tls_a.key",
    ]
    assert next(str(each) for each in _relay_files(brokers, WHERE)) == "/run/c/tls_ca.pem"


def test_frames_of_the_link_are_waited_for_on_a_connection_of_their_own() -> None:
    frame = protocol.LinkFrame("01" * 16, b"sealed")
    asked = Asked(DeliverLinkFrames=protocol.Ack(), GetRelay=RELAY)
    waiting = Asked(PollLinkFrames=protocol.LinkFrames((frame,)))
    link = LinkClient(asked, waiting)  # type: ignore[arg-type]
    assert link.collect(1.0) == (frame,)
    link.deliver([frame])
    assert link.addresses() == RELAY.addresses
    assert waiting.asked == [(protocol.PollLinkFrames(), 0.0)]
    assert asked.asked == [(protocol.DeliverLinkFrames((frame,)), 0.0), (protocol.GetRelay(), 0.0)]


def test_the_relay_is_another_connection_whose_state_stands_beside_the_brokers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = mock.Mock()
    made.return_value.status.return_value = RelayStatus("connected")
    monkeypatch.setattr(uplink_process, "RelayConnection", made)
    whole = Linked(monkeypatch, tmp_path, RELAY)
    whole.role.start()
    (settings,), _ = whole.bus_class.call_args_list[0]
    assert (settings.host, settings.inbound_beat_s, settings.keepalive_s) == ("relay.example", 0.0, 60)
    assert settings.name not in ("ab" * 8, ""), "a random client id"
    (_bus, link, account, addresses), _ = made.call_args
    assert (account, addresses()) == ("ab" * 8, RELAY.addresses)
    assert isinstance(link, LinkClient)
    reports: list[Any] = []
    while not reports:
        reports = [each for each, _ in whole.custodian.asked if isinstance(each, ReportStatus)]
        time.sleep(0.001)
    assert reports[0].status["link"] == "connected"
    assert (reports[0].status["relay"], reports[0].status["relay_remedy"]) == ("connected", "")
    whole.stop()
    made.return_value.start.assert_called_once_with()
    made.return_value.stop.assert_called_once_with()


class Linked:
    """A role with a broker; its `Uplink` is a mock, and what the custodian says of news is what `versions` gives."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        folder: Path,
        relay: RelayReply | None = None,
        home: HomeAddress | None = None,
    ) -> None:
        monkeypatch.setattr(uplink_process, "_TICK_S", 0.01)
        self.uplink_class = mock.Mock()
        self.bus_class = mock.Mock()
        monkeypatch.setattr(uplink_process, "Uplink", self.uplink_class)
        monkeypatch.setattr(uplink_process, "MqttBus", self.bus_class)
        self.uplink = self.uplink_class.return_value
        self.uplink.status.return_value = UplinkStatus("connected", "", 0, 0, 0)
        self.uplink.turned_ns = 0
        self.versions: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()
        self.where = WHERE
        self.custodian = Asked(
            GetUplinkConfig=lambda: self.where,
            GetHomeAssistant=HomeAssistantReply(home or HomeAddress()),
            GetRelay=relay or RelayReply(),
            ReportStatus=protocol.Ack(),
            GetAlertChannels=protocol.AlertChannelsReply(()),
        )
        self.news = Asked(PollOutgoing=self._next, GetUplinkConfig=lambda: self.where)
        self.messages = Asked(PollAlerts=lambda: time.sleep(0.01) or protocol.AlertMessages(()))
        self.home, self.frames = Asked(), Asked()
        self.outbox = folder / "outbox"
        self.role = UplinkRole(
            self.outbox,
            self.custodian,
            self.news,
            self.messages,
            self.home,
            self.frames,
            SystemdNotifier({}),  # type: ignore[arg-type]
        )

    def _next(self) -> Any:
        found = self.versions.get(timeout=60)
        return found if isinstance(found, Exception) else protocol.OutgoingVersion(found)

    def seen(self) -> list[int]:
        return [each.seen for each, _ in self.news.asked if isinstance(each, protocol.PollOutgoing)]

    def until(self, asked: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.seen()) < asked:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def stop(self) -> None:
        self.role._stopping.set()
        self.versions.put(NetworkError("It is over."))
        self.role.stop()
        self.role.close()


def words_of(manager: mock.Mock) -> list[str]:
    """The words to the service manager about the beginning and the end."""
    calls = [(name, *given) for name, given, _ in manager.mock_calls if name in ("ready", "stopping")]
    return [" ".join(call) for call in calls]


@pytest.fixture
def linked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Linked:
    return Linked(monkeypatch, tmp_path)


def test_the_link_is_made_of_what_the_custodian_says_and_it_is_waited_for_as_long_as_it_takes(linked: Linked) -> None:
    assert linked.custodian.asked[0] == (GetUplinkConfig(), 10.0**9)
    settings, live = [settings for (settings,), _ in linked.bus_class.call_args_list]
    assert settings == _bus_settings(WHERE)
    assert live == sessionless(settings), "a session has a second connection without one"
    (bus, custody, outbox, _clock), named = linked.uplink_class.call_args
    assert bus is linked.bus_class.return_value
    assert isinstance(custody, CustodianClient)
    assert isinstance(outbox, DiskOutbox)
    wanted = {"device": "ab" * 8, "cell_filter": "a/filter", "chunk_bytes": 65_536, "health": None}
    assert named == {**wanted, "live": linked.bus_class.return_value}


def test_a_doorbell_with_an_installer_asks_the_custodian_for_each_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(globals(), "WHERE", msgspec.structs.replace(WHERE, reports_health=True))
    linked = Linked(monkeypatch, tmp_path)
    linked.custodian.answers["GetHealthReport"] = protocol.HealthReportReply(b"sealed")
    health = linked.uplink_class.call_args.kwargs["health"]
    assert health() == b"sealed"
    assert linked.custodian.asked[-1] == (protocol.GetHealthReport(), None)


@pytest.mark.parametrize("every_s", [0, 3600])
def test_beats_are_sent_only_if_the_custodian_wants_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, every_s: int
) -> None:
    sender = mock.Mock()
    monkeypatch.setattr(uplink_process, "BeatSender", sender)
    monkeypatch.setitem(globals(), "WHERE", msgspec.structs.replace(WHERE, beat_every_s=every_s))
    linked = Linked(monkeypatch, tmp_path)
    if not every_s:
        assert linked.role._beats is None
        sender.assert_not_called()
        return
    (source, clock, period_s), _ = sender.call_args
    assert (clock, period_s) == (linked.role._clock, 3600)
    beat = protocol.OutgoingBeat(7, ())
    linked.custodian.answers |= {"GetBeat": beat, "PutBeatAnswers": protocol.Ack()}
    answers = [protocol.BeatAnswer("w1", 200, b"answer")]
    assert source.beat() is beat
    source.take(7, answers)
    assert linked.custodian.asked[-2:] == [
        (protocol.GetBeat(), 0.0),
        (protocol.PutBeatAnswers(7, tuple(answers)), 0.0),
    ]


def test_without_a_broker_there_is_no_link_and_the_process_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(uplink_process, "_TICK_S", 0.01)
    custodian = Asked(
        GetUplinkConfig=UplinkConfig(),
        GetHomeAssistant=HomeAssistantReply(HomeAddress()),
        GetRelay=RelayReply(),
        ReportStatus=protocol.Ack(),
        GetAlertChannels=protocol.AlertChannelsReply(()),
    )
    messages = Asked(PollAlerts=lambda: time.sleep(0.01) or protocol.AlertMessages(()))
    role = UplinkRole(tmp_path, custodian, Asked(), messages, Asked(), Asked(), SystemdNotifier({}))  # type: ignore[arg-type]
    assert role.uplink is None
    assert role._home is None
    role._supervision = manager = mock.Mock()
    role.start()
    running = threading.Thread(target=role.run)
    running.start()
    reports: list[Any] = []
    while not reports:
        reports = [(each, patience) for each, patience in custodian.asked if isinstance(each, ReportStatus)]
        time.sleep(0.001)
    assert reports[0] == (ReportStatus({"link": "off", "remedy": "no [broker] configured"}), 0.0)
    assert running.is_alive()
    role.stop()
    running.join(60)
    assert not running.is_alive()
    role.close()
    assert custodian.closed.is_set()
    assert words_of(manager) == ["ready no [broker] configured", "stopping"]


def test_the_connection_to_home_assistant_lives_as_long_as_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = mock.Mock()
    monkeypatch.setattr(uplink_process, "HomeAssistantService", service)
    bus = mock.Mock()
    monkeypatch.setattr(uplink_process, "MqttHomeBus", bus)
    address = HomeAddress(host="home")
    linked = Linked(monkeypatch, tmp_path, home=address)
    bus.assert_called_once_with(address)
    assert service.call_args.args[1:] == (bus.return_value, address)
    linked.role.start()
    service.return_value.start.assert_called_once_with()
    service.return_value.stop.assert_not_called()
    linked.stop()
    service.return_value.stop.assert_called_once_with()


def test_news_of_the_custodian_wakes_the_link_once_and_tells_it_where_the_doorbell_is(linked: Linked) -> None:
    linked.role.start()
    linked.until(1)
    linked.where = UplinkConfig("ab" * 8, "broker.example", cell_filter="another")
    for version in (7, 7, 8):
        linked.versions.put(version)
    linked.until(4)
    assert linked.seen() == [-1, 7, 7, 8]
    assert linked.uplink.wake.call_count == 2
    assert linked.uplink.listen_to.call_args_list == [mock.call("another")] * 2
    linked.versions.put(NetworkError("It restarts."))
    linked.until(5)
    assert linked.seen()[-1] == -1, "a custodian that comes back counts from zero"
    linked.news.answers["GetUplinkConfig"] = NetworkError("It is away.")
    linked.versions.put(8)
    linked.until(6)
    assert (linked.uplink.wake.call_count, linked.uplink.listen_to.call_count) == (3, 2)
    assert all(patience == 0.0 for _, patience in linked.news.asked)
    linked.stop()


def test_the_process_runs_as_long_as_its_link_and_ends_everything_with_it(linked: Linked) -> None:
    manager = mock.Mock()
    linked.role._supervision = manager
    linked.role.start()
    linked.role._stopping.set()
    linked.role.run()
    linked.uplink.run.assert_called_once_with()
    linked.stop()
    linked.uplink.stop.assert_called_once_with()
    assert words_of(manager) == ["ready connecting", "stopping"]
    for each in (linked.news, linked.messages, linked.home, linked.frames, linked.custodian):
        assert each.closed.is_set()
    assert not any(thread.is_alive() for thread in linked.role._threads)


def test_a_damaged_certificate_ends_the_link_at_once_and_the_alerts_only_for_a_start_with_new_files(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, stopping = linked.role, mock.Mock()
    monkeypatch.setattr(role, "_stopping", stopping)
    linked.uplink.run.side_effect = ConfigurationError("The certificate is damaged.", remedy="Ask for a new one.")
    stopping.wait.return_value = False
    with pytest.raises(ConfigurationError):
        role.run()
    assert stopping.mock_calls == [mock.call.wait(600.0)]
    stopping.wait.return_value = True  # it was told to stop meanwhile
    role.run()
    assert stopping.mock_calls[1:] == [mock.call.wait(600.0), mock.call.wait()]
    asked = mock.Mock()
    monkeypatch.setattr(role, "_custodian", asked)
    stopping.wait.side_effect = [False, True]
    role._keep_time()
    (report,) = (each.args[0] for each in asked.ask.call_args_list)
    assert (report.status["link"], report.status["remedy"]) == (
        "stopped", "The certificate is damaged. Ask for a new one.",
    )  # fmt: skip


def test_a_link_that_turns_no_more_lets_the_watchdog_bite(linked: Linked) -> None:
    alive = mock.Mock()
    linked.role._supervision = alive
    linked.role.start()
    linked.uplink.turned_ns = 1  # an age ago
    while alive.status.call_count < 5:
        time.sleep(0.001)
    calls = alive.alive.call_count
    more = alive.status.call_count + 5
    while alive.status.call_count < more:
        time.sleep(0.001)
    assert alive.alive.call_count - calls <= 1
    assert alive.status.call_args == mock.call("connected")
    linked.stop()


def test_everything_starts_and_ends_in_order(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for the custodian end because their connections are closed before they are joined."""
    role, parts = linked.role, mock.Mock()
    names = ("_delivery", "_beats", "_home", "_relay", "_supervision", "_at_home", "_frames", "_news", "_messages")
    for name in names:
        monkeypatch.setattr(role, name, getattr(parts, name))
    monkeypatch.setattr(role, "uplink", parts.uplink)
    monkeypatch.setattr(role, "_stopping", parts.stopping)
    with monkeypatch.context() as threads:
        threads.setattr("agent.uplink.uplink_process.threading.Thread", parts.Thread)
        role.start()
    thread = mock.call.Thread()
    assert parts.mock_calls == [
        mock.call.Thread(target=role._keep_time, name="time"),
        mock.call.Thread(target=role._hear_news, args=(parts.uplink,), name="news"),
        thread.start(), thread.start(),
        mock.call._delivery.start(), mock.call._beats.start(), mock.call._home.start(), mock.call._relay.start(),
        mock.call._supervision.ready("connecting"),
    ]  # fmt: skip
    parts.reset_mock()
    role.run()
    assert parts.mock_calls == [mock.call.uplink.run(), mock.call.stopping.wait()]
    parts.reset_mock()
    role.stop()
    assert parts.mock_calls == [
        mock.call._supervision.stopping(), mock.call.stopping.set(), mock.call.uplink.stop(), mock.call._home.stop(),
        mock.call._at_home.close(), mock.call._frames.close(), mock.call._relay.stop(), mock.call._delivery.stop(),
        mock.call._beats.stop(), mock.call._news.close(), mock.call._messages.close(), thread.join(), thread.join(),
    ]  # fmt: skip


def test_each_turn_reports_to_the_custodian_and_gives_a_sign_of_life_while_the_link_turns(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, parts = linked.role, mock.Mock()
    monkeypatch.setattr(role, "_supervision", parts.supervision)
    monkeypatch.setattr(role, "_custodian", parts.custodian)
    monkeypatch.setattr(role, "_stopping", parts.stopping)
    monkeypatch.setattr(role, "_progress", parts.progress)
    monkeypatch.setattr(role, "_clock", parts.clock)
    parts.clock.now.return_value.boot_ns = 77
    status = {"link": "connected", "remedy": "", "transfers": 0, "sent_bytes": 0, "received_messages": 0}
    for turned_ns, marked_ns, is_stuck in ((5, 5, False), (0, 77, False), (5, 5, True)):
        parts.reset_mock()
        linked.uplink.turned_ns = turned_ns
        parts.stopping.wait.side_effect = [False, True]
        parts.progress.stuck.return_value = ("loop",) if is_stuck else ()
        role._keep_time()
        alive = [] if is_stuck else [mock.call.supervision.alive()]
        assert parts.mock_calls == [
            mock.call.stopping.wait(0.01), mock.call.custodian.ask(ReportStatus(status), patience_s=0.0),
            mock.call.clock.now(), mock.call.progress.mark("loop", marked_ns), mock.call.progress.stuck(77), *alive,
            mock.call.supervision.status("connected"), mock.call.stopping.wait(0.01),
        ]  # fmt: skip


def test_a_custodian_that_is_away_is_asked_for_news_again_after_a_pause(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = mock.Mock()
    parts.stopping.is_set.side_effect = [False, False, True]
    parts.news.ask.side_effect = NetworkError("The custodian is away.")
    monkeypatch.setattr(linked.role, "_stopping", parts.stopping)
    monkeypatch.setattr(linked.role, "_news", parts.news)
    linked.role._hear_news(parts.uplink)
    asked = [
        mock.call.stopping.is_set(), mock.call.news.ask(protocol.PollOutgoing(-1), patience_s=0.0),
        mock.call.stopping.wait(0.01),
    ]  # fmt: skip
    assert parts.mock_calls == [*asked, *asked, mock.call.stopping.is_set()]
