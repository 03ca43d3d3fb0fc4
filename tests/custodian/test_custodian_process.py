"""The custodian's process: what it serves to which process, what it says about itself, and that it keeps the time."""

from __future__ import annotations

import errno
import http.client
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from unittest import mock
from unittest.mock import call

import msgspec
import pytest
from msgspec.structs import replace as replace_fields
from structlog.testing import capture_logs

from agent import __version__
from agent.clients.opening import HybridIdentity
from agent.clients.owner.device_settings import change_settings
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import Configuration
from agent.config.settings import (
    AlertChannelConfig,
    AlertsConfig,
    BrokerConfig,
    DeviceConfig,
    HomeAssistantConfig,
    MetricsConfig,
    PageConfig,
    PositionConfig,
    RemoteConfig,
    SpeakerConfig,
    VaultConfig,
)
from agent.core.alerts.wellbeing import HealthFacts
from agent.core.home_news import HomeAddress
from agent.core.setup_state import SetupState
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.vault.entries import Totals
from agent.custodian import custodian_process, talk_buffer
from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.custodian_process import CustodianRole
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError, RequestError, StorageError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import (
    BeginTalk,
    EndTalk,
    GetDevice,
    GetLiveGops,
    GetPlace,
    MakePageCode,
    SendTalk,
    SendTestAlert,
)
from agent.ipc.protocol import (
    GetHomeAssistant,
    HomeAssistantReply,
    PutSetupCode,
    Recipients,
    RelayReply,
    SetupReply,
    UplinkConfig,
)
from agent.ipc.rpc_client import RpcClient
from agent.platform.supervision import SystemdNotifier
from agent.wire.area import Point
from agent.wire.identities import MldsaPublicKey, private_key_from_seed, public_key_of
from agent.wire.statements import QuietHoursSetting
from agent.wire.topics import cell_filter, cell_of
from tests.custodian.alerts.test_push_channels import wanted


@pytest.fixture
def line(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(30)
        yield line


@pytest.fixture
def make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: socket.socket
) -> Iterator[Callable[..., CustodianRole]]:
    """Makes a role with these sections of the configuration."""
    monkeypatch.setattr(custodian_process, "_TICK_S", 0.01)
    state = tmp_path / "state"
    StateFolder(state).initialise(private_key_from_seed(secrets.token_bytes(32)))
    for folder in ("recorder", "uplink"):
        (tmp_path / folder).mkdir()
    made: list[CustodianRole] = []

    def make(place: PositionConfig | None = None, notify: str = "", **sections: Any) -> CustodianRole:
        device = DeviceConfig(name="Door", state_dir=state, position=place)
        notifier = SystemdNotifier({"NOTIFY_SOCKET": notify} if notify else {})
        made.append(CustodianRole(Configuration(device=device, **sections), tmp_path, notifier))
        return made[-1]

    yield make
    for each in made:
        each.stop()
        each.close()


@pytest.fixture
def role(make: Callable[..., CustodianRole]) -> CustodianRole:
    return make()


def owner_of(role: CustodianRole, tmp_path: Path) -> OwnerKeys:
    """Its first owner, enrolled over the control socket."""
    keys = OwnerKeys.create(tmp_path / "owner", name="mira")
    with control_of(tmp_path) as link:
        enrol(link, keys)
    return keys


def control_of(tmp_path: Path) -> DeviceLink:
    return DeviceLink(tmp_path / "state" / "control.sock")


def test_a_vault_that_cannot_be_read_for_a_moment_stops_no_time(
    make: Callable[..., CustodianRole], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: socket.socket
) -> None:
    """Its index may just have turned out to be damaged."""

    def unread() -> Totals:
        raise StorageError("The index is damaged.")

    role = make(notify=str(tmp_path / "notify"))
    monkeypatch.setattr(role._vault, "totals", unread)
    role.start()
    words = ""
    while words.count("WATCHDOG=1") < 3:
        words += line.recv(1000).decode()
    assert "the vault cannot be read" in words


def test_two_custodians_cannot_have_one_state_folder(make: Callable[..., CustodianRole]) -> None:
    first = make()
    with pytest.raises(ConfigurationError, match="Another doorward runs on"):
        make()
    first.stop()
    first.close()
    make()


def test_its_stop_ends_each_part_once_nothing_asks_it_any_more_and_its_close_frees_the_files(
    make: Callable[..., CustodianRole], monkeypatch: pytest.MonkeyPatch
) -> None:
    role, parts = make(), mock.Mock()
    sockets = role._sockets
    with monkeypatch.context() as watched:
        for name in ("_supervision", "_stopping", "_uplink_handler", "_shelf", "_talk", "_thread", "_owned"):
            watched.setattr(role, name, getattr(parts, name))
        watched.setattr(role, "_sockets", (parts.recorder, parts.uplink))
        role.stop()
    assert parts.mock_calls == [
        call._supervision.stopping(), call._stopping.set(), call._uplink_handler.news(), call._shelf.close(),
        call._talk.close(), call.recorder.stop(), call.uplink.stop(), call._thread.join(), call._owned.stop(),
    ]  # fmt: skip
    parts.reset_mock()
    with monkeypatch.context() as watched:
        for name in ("_owned", "_index", "_folder"):
            watched.setattr(role, name, getattr(parts, name))
        role.close()
    assert parts.mock_calls == [call._owned.close(), call._index.close(), call._folder.release()]
    assert role._sockets is sockets


def test_each_turn_ends_with_a_sign_of_life_also_on_a_full_disk(
    role: CustodianRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart repairs no full disk. The service manager restarts a role that gives no sign."""
    parts = mock.Mock()
    parts._stopping.wait.side_effect = [False, False, True]
    parts._owned.on_time.side_effect = [None, StorageError("The disk is full.")]
    with monkeypatch.context() as watched, capture_logs() as logs:
        for name in ("_supervision", "_stopping", "_owned"):
            watched.setattr(role, name, getattr(parts, name))
        watched.setattr(role, "_status_report", lambda: "3 segments")
        role._keep_time()
    turn = [call._stopping.wait(0.01), call._owned.on_time(), call._supervision.alive()]
    status = call._supervision.status("3 segments")
    assert parts.mock_calls == [*turn, status, *turn, status, call._stopping.wait(0.01)]
    assert logs == [{"event": "time_not_kept", "log_level": "warning", "error": "The disk is full."}]


def test_the_service_manager_reads_how_many_segments_there_are_and_how_old_the_boot_is(
    role: CustodianRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role._vault, "totals", lambda: Totals(7, 1000))
    monkeypatch.setattr(role._clock, "now", lambda: ClockReading(BootNs(12_999_999_999), UtcNs(0), ClockQuality.SYNCED))
    assert role._status_report() == "7 segments, 12 s since boot"

    def unread() -> Totals:
        raise StorageError("The index is damaged.")

    monkeypatch.setattr(role._vault, "totals", unread)
    assert role._status_report() == "the vault cannot be read, 12 s since boot"


# -- what it says of itself and of the other roles ---------------------------------------------------------------------

BROKER = BrokerConfig(
    host="broker.example",
    port=8884,
    keepalive_s=45,
    session_hours=3,
    chunk_bytes=65_536,
    ca=Path("/ca.pem"),
    certificate=Path("/cert.pem"),
    key=Path("/key.pem"),
)
REPORT = {
    "state": "watching",
    "detail": "",
    "frames": 9,
    "frames_dropped": 0,
    "packets_dropped": 0,
    "events": 1,
    "segments": 2,
    "analysis_ms_per_frame": 1.5,
    "panel": {"connected": True},
}
HERE = PositionConfig(latitude=53.5, longitude=10.0)


def test_a_doorbell_without_owner_recorder_and_broker_says_so(role: CustodianRole) -> None:
    status = role.status()
    quality = status.pop("clock")
    assert quality in [each.value for each in ClockQuality]
    assert status == {
        "device": "Door",
        "device_id": role.device.id,
        "owners": [],
        "panel": None,
        "recorder": {
            "state": "no recorder",
            "detail": "See: systemctl status doorward-recorder",
            "frames": 0,
            "frames_dropped": 0,
            "packets_dropped": 0,
            "events": 0,
            "segments": 0,
            "analysis_ms_per_frame": 0.0,
        },
        "vault": {"segments": 0, "stored_bytes": 0},
        "clock_jump": None,
        "link": {"link": "off", "remedy": "no [broker] configured"},
        "messages": {},
        "messages_dropped": 0,
        "alerts": None,
        "requests_waiting": 0,
        "requests_told": 0,
        "newest_ms": None,
        "update": {"running": __version__, "offer": None, "security": False, "trouble": None},
        "program": None,
        "time": None,
        "page_fault": "",
    }


def test_the_status_has_the_last_reports_of_the_other_roles_and_the_owners(
    make: Callable[..., CustodianRole], tmp_path: Path
) -> None:
    role = make(broker=BROKER)
    role.start()
    owner_of(role, tmp_path)
    assert role.status()["link"] == {"link": "no uplink", "remedy": "See: systemctl status doorward-uplink"}
    role._reports.record("recorder", REPORT)
    role._reports.record("uplink", {"link": "connected", "remedy": ""})
    status = role.status()
    assert status["owners"] == ["mira"]
    assert status["recorder"] == {name: value for name, value in REPORT.items() if name != "panel"}
    assert (status["panel"], status["link"]["link"]) == ({"connected": True}, "connected")
    with control_of(tmp_path) as link:
        assert link.ask(GetDevice()).broker_name == role.device.id


def test_the_health_that_alerts_judge_comes_from_the_reports_and_the_clock(
    make: Callable[..., CustodianRole],
) -> None:
    role = make(broker=BROKER)
    unknown = role._owned._clock.now().quality is ClockQuality.UNKNOWN
    assert role._owned._facts() == HealthFacts(offline=True, clock_unknown=unknown, not_storing=False, no_recorder=True)
    role._reports.record("recorder", {**REPORT, "state": "not recording"})
    role._reports.record("uplink", {"link": "connected", "remedy": ""})
    assert role._owned._facts() == HealthFacts(
        offline=False, clock_unknown=unknown, not_storing=True, no_recorder=False
    )


def test_without_home_assistant_the_uplink_learns_of_none(role: CustodianRole) -> None:
    role.start()
    assert role._uplink_handler.handle(GetHomeAssistant()) == HomeAssistantReply(HomeAddress())


def test_without_a_broker_nobody_is_offline(role: CustodianRole) -> None:
    assert role._owned._facts().offline is None
    assert role._addressing() == UplinkConfig()


def test_the_recorder_is_told_to_whom_to_seal_as_soon_as_there_is_an_owner(role: CustodianRole, tmp_path: Path) -> None:
    mldsa = MldsaPublicKey.of(role._folder.device_secret().mldsa_key()).text
    assert role._sealers() == Recipients(role.device.id, mldsa, 0, ())
    role.start()
    owner_of(role, tmp_path)
    enrolment = role.custodian.enrolments.current
    assert enrolment is not None
    sealed_to = (enrolment.recipients[0].recipient, enrolment.recovery)
    assert role._sealers() == Recipients(role.device.id, mldsa, 1, sealed_to)
    role._owned.glances = lambda: ("a glance key",)
    assert role._sealers().glances == ("a glance key",)


def test_the_uplink_learns_the_broker_and_the_cell_and_never_the_place(make: Callable[..., CustodianRole]) -> None:
    role = make(HERE, broker=BROKER)
    assert role._uplink_handler.addressing == UplinkConfig(
        role.device.id,
        "broker.example",
        8884,
        45,
        65_536,
        cell_filter(cell_of(53.5, 10.0)),
        ("/ca.pem", "/cert.pem", "/key.pem"),
        session_hours=3,
    )


def test_an_owner_may_talk_if_there_is_a_speaker_and_is_called_by_name(
    make: Callable[..., CustodianRole], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk_buffer, "_OFFER_S", 0.05)
    role = make(speaker=SpeakerConfig())
    role.start()
    to = owner_of(role, tmp_path).card.recipient
    assert role._owned._owner_of(to) == "mira"
    assert role._owned._owner_of("age1another") == ""
    with control_of(tmp_path) as link:
        with pytest.raises(RequestError, match="recorder does not answer"):
            link.ask(BeginTalk(to, "a" * 32))
        assert link.document(SendTalk("a" * 32, ())) == {"state": "ended"}
        assert link.document(EndTalk("a" * 32)) == {}


def test_without_a_speaker_there_is_no_talk(role: CustodianRole, tmp_path: Path) -> None:
    role.start()
    assert role._owned._owner_of("age1another") == ""
    with control_of(tmp_path) as link, pytest.raises(RequestError, match="does not know that operation"):
        link.document(EndTalk("a" * 32))


def test_the_camera_reads_a_set_up_code_until_there_is_an_owner_and_root_is_told_to_take_none_after_that(
    make: Callable[..., CustodianRole], tmp_path: Path
) -> None:
    """`setup/owned` is what `doorward join-network` looks for."""
    (tmp_path / "setup").mkdir()
    page = PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False, setup_by_camera=True)
    role = make(page=page)
    role.start()
    with closing(RpcClient(tmp_path / "recorder" / "custodian.sock", None)) as recorder:
        assert recorder.ask(PutSetupCode("")) == SetupReply(SetupState.WAITING)
        assert not (tmp_path / "setup" / "owned").exists()
        owner_of(role, tmp_path)
        assert recorder.ask(PutSetupCode("")) == SetupReply(SetupState.OFF)
        deadline_s = time.monotonic() + 30
        while not (tmp_path / "setup" / "owned").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


RELAY = RemoteConfig(
    host="relay.example", port=8886, keepalive_s=90, url="wss://relay.example/doorward", user="u7", password="p"
)
OWN_FILES = {"ca": Path("/own-ca"), "certificate": Path("/own-cert"), "key": Path("/own-key")}


@pytest.mark.parametrize(
    ("own", "files"), [({}, ("/ca.pem", "/cert.pem", "/key.pem")), (OWN_FILES, ("/own-ca", "/own-cert", "/own-key"))]
)
def test_the_uplink_learns_the_relay_and_whose_files_it_takes(
    make: Callable[..., CustodianRole], own: dict[str, Path], files: tuple[str, str, str]
) -> None:
    page = PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False)
    role = make(page=page, broker=BROKER, remote=replace_fields(RELAY, **own))
    assert role._relay() == RelayReply("relay.example", 8886, 90, "u7", (), files, is_brokers=not own)


def test_without_a_name_of_its_own_the_doorbell_is_itself_at_the_relay(make: Callable[..., CustodianRole]) -> None:
    page = PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False)
    role = make(page=page, broker=BROKER, remote=replace_fields(RELAY, user=""))
    assert role._relay().account == role.device.id


@pytest.mark.parametrize("with_page", [True, False])
def test_without_a_relay_the_uplink_learns_none(make: Callable[..., CustodianRole], with_page: bool) -> None:
    page = PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False)
    role = make(page=page if with_page else None)
    assert (role._owned.link is not None) is with_page
    assert role._relay() == RelayReply()


def test_the_service_manager_hears_of_the_start_and_of_the_stop(
    make: Callable[..., CustodianRole], tmp_path: Path, line: socket.socket
) -> None:
    def heard(word: str) -> str:
        while word not in (said := line.recv(1000).decode()):
            pass
        return said

    role = make(notify=str(tmp_path / "notify"))
    role.start()
    assert "waiting for an owner" in heard("READY=1")
    role.stop()
    heard("STOPPING=1")


def test_without_a_place_no_cell_is_listened_to(make: Callable[..., CustodianRole]) -> None:
    assert make(broker=BROKER)._uplink_handler.addressing.cell_filter is None


# -- what an owner sets ------------------------------------------------------------------------------------------------


def test_what_an_owner_sets_is_in_force_at_once_and_after_a_restart(
    make: Callable[..., CustodianRole], tmp_path: Path
) -> None:
    def in_force(role: CustodianRole) -> tuple[object, ...]:
        with control_of(tmp_path) as link:
            place = link.document(GetPlace())["position"]
        assert role.alerts is not None
        return (
            place,
            role.custodian.holds.held_bytes,
            role.alerts._policy.quiet,
            role._uplink_handler.addressing.cell_filter,
        )

    sections = {"broker": BROKER, "alerts": AlertsConfig(), "vault": VaultConfig(max_bytes=10**9)}
    role = make(HERE, **sections)
    role.start()
    keys = owner_of(role, tmp_path)
    before = ({"lat": 53.5, "lon": 10.0}, 5 * 10**8, None, cell_filter(cell_of(53.5, 10.0)))
    assert in_force(role) == before
    version = role._uplink_handler._version
    changes = {
        "position": Point(lat=48.1, lon=11.5),
        "max_bytes": 10**8,
        "quiet": QuietHoursSetting(begins_minute=1320, ends_minute=420),
    }
    with control_of(tmp_path) as link:
        change_settings(link, keys, changes)
    after = ({"lat": 48.1, "lon": 11.5}, 5 * 10**7, (1320, 420), cell_filter(cell_of(48.1, 11.5)))
    assert in_force(role) == after
    assert role._uplink_handler._version > version, "the uplink is told"
    role.stop()
    role.close()
    again = make(HERE, **sections)
    again.start()
    assert in_force(again) == after


# -- what it serves ----------------------------------------------------------------------------------------------------


def test_alerts_page_and_figures_run_from_its_start_to_its_stop(
    make: Callable[..., CustodianRole], tmp_path: Path
) -> None:
    def figures() -> bytes:
        with socket.socket(socket.AF_UNIX) as reader:
            reader.connect(str(tmp_path / "metrics.sock"))
            reader.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: reader.recv(65_536), b""))

    def page_answers() -> bool:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", page.port, context=ssl.create_default_context(cadata=page.certificates.authority_der)
        )
        with suppress(ConnectionRefusedError):
            connection.request("GET", "/", headers={"host": f"127.0.0.1:{page.port}"})
            status = connection.getresponse().status
            connection.close()
            return status < 500
        return False

    role = make(
        page=PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False),
        alerts=AlertsConfig(channels=(AlertChannelConfig(name="Ann", url="ntfy://phone/door"),)),
        metrics=MetricsConfig(socket=tmp_path / "metrics.sock"),
        home_assistant=HomeAssistantConfig(host="hass.example", port=1884, user="u", password="p", prefix="ha"),
    )
    page, alerts = role._owned.page, role.alerts
    assert page is not None
    assert alerts is not None
    role.start()
    assert b"doorward_" in figures()
    assert page_answers()
    assert alerts._thread.is_alive()
    assert alerts._link == page.url
    assert role.status()["alerts"]["channels"]["Ann"]["waiting"] == 0
    assert role._uplink_handler.home_address == HomeAddress(
        host="hass.example", port=1884, user="u", password="p", ca="", prefix="ha", device=role.device.id, name="Door",
        version=__version__, page=page.url,
    )  # fmt: skip
    with control_of(tmp_path) as link:
        assert "code" in link.document(MakePageCode())
        assert link.document(SendTestAlert()) == {"channels": ["Ann"]}
        assert link.document(GetLiveGops(after=0)) == {"numbers": [], "sizes": [], "watching": [], "small": False}
    for name in ("recorder", "uplink"):
        assert (tmp_path / name / "custodian.sock").is_socket()
    role.stop()
    assert not alerts._thread.is_alive()
    assert not page_answers()
    assert not (tmp_path / "metrics.sock").exists()
    for name in ("state/control.sock", "recorder/custodian.sock", "uplink/custodian.sock"):
        assert not (tmp_path / name).exists()


def test_a_ca_of_the_owners_broker_is_named_by_its_path(make: Callable[..., CustodianRole]) -> None:
    role = make(home_assistant=HomeAssistantConfig(host="hass.example", ca=Path("/ca.pem")))
    address = role._owned.home_address
    assert (address.ca, address.page, address.prefix) == ("/ca.pem", "", "homeassistant")


@pytest.mark.parametrize("alerts", [AlertsConfig(), None], ids=["with alerts", "without"])
def test_over_the_link_a_browser_with_a_glance_key_sees_the_door_and_an_unknown_key_nothing(
    make: Callable[..., CustodianRole], tmp_path: Path, alerts: AlertsConfig | None
) -> None:
    page = PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False)
    role = make(page=page, **({"alerts": alerts} if alerts is not None else {}))
    owned = role._owned
    assert owned.link is not None
    owner_of_door = OwnerKeys.create(tmp_path / "owner", name="mira")
    role.start()
    with control_of(tmp_path) as link:
        enrol(link, owner_of_door)
    caller, looked = owned.link._identity.caller, owned.link.on_time
    owned.link.on_time = mock.Mock(side_effect=looked)  # type: ignore[method-assign]
    owned.on_time()
    owned.link.on_time.assert_called_with()  # its own thread may call it, too
    signer = public_key_of(private_key_from_seed(bytes(32)))
    assert caller(signer) is None
    if owned._browsers is None:
        return
    glance = str(HybridIdentity(bytes([1]) * 32).recipient())
    subscription = msgspec.structs.replace(wanted(1, glance=glance), glance_signer=signer.text)
    with owned.custodian.custodian_state.decisions.one():
        owned._browsers.subscribe(subscription, owner_of_door.approver.id)
    seen = caller(signer)
    assert seen is not None
    assert (seen.owner, seen.glance) == (False, GlanceHolder(glance, owner_of_door.approver.id))


def test_news_of_requests_sleeps_while_the_owner_does(make: Callable[..., CustodianRole]) -> None:
    role = make(alerts=AlertsConfig())
    assert role.alerts is not None
    assert role.alerts._sleeps() is False
    role.custodian.notices.is_quiet = lambda: True  # type: ignore[method-assign]
    assert role.alerts._sleeps() is True


def test_whoever_waits_for_its_end_is_woken_by_its_stop(role: CustodianRole) -> None:
    role.start()
    waiting = threading.Thread(target=role.wait)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    role.stop()
    waiting.join(30)
    assert not waiting.is_alive()


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_disk_that_takes_no_socket_keeps_no_doorbell_from_starting_and_is_tried_again(
    role: CustodianRole, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refusals = iter([True, True])
    control = role._owned._control
    start = control.start

    def refused() -> None:
        if next(refusals, False):
            raise ConfigurationError("The socket cannot be made.") from OSError(number, "no")
        start()

    monkeypatch.setattr(control, "start", refused)
    role._owned.start()
    assert not role._owned._controlled
    for controlled in (False, True, True):
        role._owned.on_time()
        assert role._owned._controlled is controlled


@pytest.mark.parametrize("cause", [OSError(errno.EACCES, "no"), ValueError("no")])
def test_a_socket_that_fails_for_another_reason_ends_the_start(
    role: CustodianRole, monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    def refused() -> None:
        raise ConfigurationError("The socket cannot be made.") from cause

    monkeypatch.setattr(role._owned._control, "start", refused)
    with pytest.raises(ConfigurationError):
        role.start()
