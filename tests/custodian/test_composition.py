"""The composition connects each part of the custodian with what it serves, and starts and stops them in order."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock
from unittest.mock import call

import pytest
from msgspec.structs import replace as replace_fields
from structlog.testing import capture_logs

from agent import __version__
from agent.clients.opening import X25519Identity, open_bytes
from agent.config import Configuration
from agent.config.settings import (
    AlertsConfig,
    BrokerConfig,
    DeviceConfig,
    HomeAssistantConfig,
    InstallerConfig,
    PageConfig,
    PositionConfig,
    RemoteConfig,
    SpeakerConfig,
    VaultConfig,
)
from agent.core.alerts.wellbeing import HealthFacts
from agent.core.home_news import HomeAddress
from agent.core.setup_state import SetupState
from agent.core.timebase import NS_PER_MS, ClockQuality
from agent.custodian.alerts.push_channels import GlanceHolder
from agent.custodian.composition import NO_LINK, CustodianContext, CustodianRuntime
from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.state_folder import StateFolder
from agent.custodian.talk_buffer import TalkBuffer
from agent.errors import ConfigurationError, OpenError, RequestError, StorageError
from agent.vault.segment_files import DiskManifestLog
from agent.wire.area import Point
from agent.wire.control import Frame
from agent.wire.health import open_report
from agent.wire.identities import public_key_of
from agent.wire.statements import QuietHoursSetting, Settings
from agent.wire.topics import cell_filter, cell_of
from tests.custodians import (
    APPROVER,
    DEVICE,
    NOW_S,
    OWNER_IDENTITY,
    RECOVERY_IDENTITY,
    SECRET,
    PaperVault,
    enrolment,
    signed,
    stated,
)
from tests.vaults import SteppedClock
from tests.wire.samples import DEVICE_KEY

PAGE = PageConfig(host="127.0.0.1", port=0, addresses=("127.0.0.1",), mdns=False)
HERE = PositionConfig(latitude=53.5, longitude=10.0)
BROKER = BrokerConfig(host="broker.example", ca=Path("/ca"), certificate=Path("/cert"), key=Path("/key"))
RECORDER = {"state": "watching", "frames": 9, "panel": {"connected": True}}


@dataclass
class Around:
    """The surroundings of custodians: a vault of paper, the reports of the other roles, a state folder for each."""

    root: Path
    clock: SteppedClock = field(default_factory=lambda: SteppedClock(utc_offset_ns=(NOW_S - 100) * 10**9))
    vault: PaperVault = field(default_factory=PaperVault)
    live: LiveBuffer = field(default_factory=LiveBuffer)
    recorder: dict[str, Any] = field(default_factory=lambda: dict(RECORDER))
    link: dict[str, Any] = field(default_factory=lambda: dict(NO_LINK))
    settled: list[Configuration] = field(default_factory=list)
    folders: list[StateFolder] = field(default_factory=list)
    made: list[CustodianRuntime] = field(default_factory=list)
    replaced: list[tuple[CustodianRuntime, str, Any]] = field(default_factory=list)
    prepare: Callable[[StateFolder], None] = lambda _folder: None
    """Changes a state folder before its custodian is made."""

    def __post_init__(self) -> None:
        self.vault.newest = lambda: None  # type: ignore[attr-defined]

    def make(
        self, place: PositionConfig | None = None, *, runtime: Path | None = None, **sections: Any
    ) -> CustodianRuntime:
        """A custodian with these sections of the configuration."""
        folder = StateFolder(self.root / str(len(self.folders)))
        folder.initialise(DEVICE, SECRET.value)
        folder.claim()
        self.folders.append(folder)
        self.prepare(folder)
        device = DeviceConfig(name="Door", state_dir=folder.root, position=place)
        configuration = Configuration(device=device, **sections)
        context = CustodianContext(
            folder, DEVICE, folder.device_secret(), self.clock, self.vault, mock.Mock(spec=DiskManifestLog),  # type: ignore[arg-type]
            lambda _recipients, _epoch: None, self.live, TalkBuffer(DEVICE), lambda: self.recorder, lambda: self.link,
            connected=configuration.broker is not None, runtime=runtime,
        )  # fmt: skip
        self.made.append(CustodianRuntime(configuration, context, self.settled.append))
        return self.made[-1]

    def watched(self, runtime: CustodianRuntime, *names: str) -> mock.Mock:
        """Puts a part that notes its calls in the place of each of these."""
        found = mock.Mock()
        for name in names:
            self.replaced.append((runtime, name, getattr(runtime, name)))
            setattr(runtime, name, getattr(found, name))
        found.page.url = "https://door.example"
        return found

    def close(self) -> None:
        for runtime, name, part in self.replaced:
            setattr(runtime, name, part)
        for each in self.made:
            each.stop()
            each.close()
        for folder in self.folders:
            folder.release()


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Around]:
    found = Around(tmp_path)
    yield found
    found.close()


def ask(runtime: CustodianRuntime, op: str, **arguments: Any) -> Any:
    """An operation of the control socket that answers without a body."""
    answer = runtime.custodian.control.answer(Frame({"op": op, **arguments}))
    assert (answer.head["ok"], answer.body) == (True, b"")
    return answer.head["result"]


def enrol(runtime: CustodianRuntime) -> None:
    """Makes Anna its owner."""
    # Statements here are signed before there is a device to ask for a nonce.
    runtime.custodian.custodian_state.nonces.claim = lambda _nonce, _signer: None  # type: ignore[method-assign]
    _, tests = runtime.custodian.enrolments.propose(signed(enrolment(), APPROVER))
    opened = {
        name: open_bytes(runtime.custodian.enrolments.test(name), [OWNER_IDENTITY, RECOVERY_IDENTITY]) for name in tests
    }
    runtime.custodian.enrolments.confirm(opened)


def submit(runtime: CustodianRuntime, statement: Settings) -> None:
    runtime.custodian.statements.accept(signed(statement, APPROVER), ())


# -- where it is -------------------------------------------------------------------------------------------------------


def test_without_a_place_there_is_no_cell(around: Around) -> None:
    runtime = around.make()
    assert (runtime.position, runtime.cell_filter) == (None, None)


# -- what is offered ---------------------------------------------------------------------------------------------------


def test_an_owners_client_asks_for_the_live_view_the_place_and_the_update(around: Around) -> None:
    runtime = around.make(HERE)
    assert ask(runtime, "live", after=0) == {"numbers": [], "sizes": [], "watching": [], "small": False}
    around.live.put(1, 0, 1, b"a picture", begins=True, small=False)
    assert runtime.custodian.control.answer(Frame({"op": "live", "after": 0})).body == b"a picture"
    assert ask(runtime, "place") == {"position": {"lat": 53.5, "lon": 10.0}}
    assert ask(runtime, "update") == runtime.updates.show()
    for missing in ("talk_end", "link_address", "alerts_test"):
        with pytest.raises(RequestError, match="does not know that operation"):
            ask(runtime, missing)


def test_a_speaker_a_page_and_alerts_each_add_their_operations(around: Around) -> None:
    runtime = around.make(speaker=SpeakerConfig(), page=PAGE, alerts=AlertsConfig())
    operations = runtime.custodian.control._operations
    assert {"talk_begin", "talk_send", "talk_end", "link_address", "alerts_test", "push_key"} <= operations.keys()
    with pytest.raises(RequestError, match="This doorbell has no owner yet"):
        ask(runtime, "link_address")


def test_a_doorbell_with_a_broker_names_itself_there(around: Around) -> None:
    assert ask(around.make(), "device")["broker_name"] is None
    assert ask(around.make(broker=BROKER), "device")["broker_name"] == public_key_of(DEVICE).id


# -- its owners --------------------------------------------------------------------------------------------------------


def test_a_talker_is_called_by_the_name_of_the_owner_or_by_that_of_the_browsers_owner(around: Around) -> None:
    runtime = around.make(speaker=SpeakerConfig(), alerts=AlertsConfig())
    assert runtime._owner_of(str(OWNER_IDENTITY.recipient())) == "", "before there is an owner"
    enrol(runtime)
    assert runtime._owner_of(str(OWNER_IDENTITY.recipient())) == "anna"
    assert runtime._owner_of("age1another") == ""
    assert runtime._browsers is not None
    runtime._browsers.owner_of = lambda recipient: f"the owner of {recipient}"  # type: ignore[method-assign]
    assert runtime._owner_of("age1glance") == "the owner of age1glance"
    assert runtime._owner_of(str(OWNER_IDENTITY.recipient())) == "anna"
    without = around.make(speaker=SpeakerConfig())
    assert without._owner_of("age1another") == ""


def test_only_a_doorbell_with_alerts_has_browsers_with_glance_keys(around: Around) -> None:
    without, runtime = around.make(), around.make(alerts=AlertsConfig())
    assert (without.glances(), without._glance_holder("a key"), without._glance_signers()) == ((), None, {})
    assert runtime._browsers is not None
    assert runtime.glances() == ()
    holder = GlanceHolder("age1", "an owner")
    runtime._browsers.glance_holder = {"a key": holder}.get  # type: ignore[method-assign, assignment]
    assert (runtime._glance_holder("a key"), runtime._glance_holder("another")) == (holder, None)
    signer = public_key_of(DEVICE)
    runtime._browsers.glance_signers = lambda: {signer.id: signer}  # type: ignore[method-assign]
    assert runtime._glance_signers() == {signer.id: signer}


def test_an_owners_settings_may_not_exceed_the_file_and_are_in_force_at_once(around: Around) -> None:
    runtime = around.make(HERE, vault=VaultConfig(max_bytes=10**9), alerts=AlertsConfig())
    assert (runtime.position, runtime.custodian.holds.held_bytes) == ((53.5, 10.0), 5 * 10**8)
    enrol(runtime)
    runtime.apply_configuration()
    assert [each.vault.max_bytes for each in around.settled] == [10**9]
    with pytest.raises(RequestError, match=r"allows at most vault\.max_bytes = 1000000000"):
        submit(runtime, Settings(**stated(), max_bytes=10**9 + 1))
    wanted = {"position": Point(lat=48.1, lon=11.5), "max_bytes": 10**8}
    submit(runtime, Settings(**stated(), **wanted, quiet=QuietHoursSetting(begins_minute=1320, ends_minute=420)))
    assert runtime.alerts is not None
    assert (runtime.position, runtime.custodian.holds.held_bytes) == ((48.1, 11.5), 5 * 10**7)
    assert ask(runtime, "place") == {"position": {"lat": 48.1, "lon": 11.5}}
    assert runtime.cell_filter == cell_filter(cell_of(48.1, 11.5))
    assert runtime.alerts._policy.quiet == (1320, 420)
    assert around.settled[1:] == [runtime.configuration]
    assert runtime.file.vault.max_bytes == 10**9


def test_news_of_requests_sleeps_while_the_owner_does(around: Around) -> None:
    runtime = around.make(alerts=AlertsConfig())
    assert runtime.alerts is not None
    for quiet in (False, True):
        runtime.custodian.notices.is_quiet = lambda quiet=quiet: quiet  # type: ignore[method-assign, misc]
        assert runtime.alerts._sleeps() is quiet


# -- what it says of itself --------------------------------------------------------------------------------------------


def test_the_status_has_the_reports_of_the_other_roles_the_vault_the_clock_and_the_owners(around: Around) -> None:
    runtime = around.make()
    expected = {
        "device": "Door",
        "device_id": public_key_of(DEVICE).id,
        "owners": [],
        "panel": {"connected": True},
        "recorder": {"state": "watching", "frames": 9},
        "vault": {"segments": 0, "stored_bytes": 0},
        "clock": "synced",
        "clock_jump": None,
        "link": NO_LINK,
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
    assert runtime.status() == expected
    assert around.recorder == RECORDER, "the report itself stays whole"
    enrol(runtime)
    name = around.vault.keep(NOW_S)
    around.vault.newest = lambda: around.vault.find(name)  # type: ignore[attr-defined]
    around.link = {"link": "connected"}
    runtime.messages.dropped = 7
    del around.recorder["panel"]
    totals = around.vault.totals()
    assert runtime.status() == {
        **expected,
        "owners": ["anna"],
        "panel": None,
        "vault": {"segments": 1, "stored_bytes": totals.stored_bytes},
        "link": {"link": "connected"},
        "messages_dropped": 7,
        "newest_ms": NOW_S * 1000 + 5000,
    }


def test_with_alerts_the_status_has_their_state(around: Around) -> None:
    runtime = around.make(alerts=AlertsConfig())
    assert runtime.alerts is not None
    assert runtime.status()["alerts"] == runtime.alerts.status()


def test_the_health_that_alerts_judge_comes_from_the_reports_and_the_clock(around: Around) -> None:
    runtime = around.make()
    assert runtime._facts() == HealthFacts(offline=None, clock_unknown=False, not_storing=False, no_recorder=False)
    around.link, around.recorder = {"link": "waiting"}, {"state": "not recording"}
    around.clock.quality = ClockQuality.UNKNOWN
    assert runtime._facts() == HealthFacts(offline=True, clock_unknown=True, not_storing=True, no_recorder=False)


def test_home_assistant_gets_an_address_only_if_it_is_configured(around: Around) -> None:
    assert around.make().home_address == HomeAddress()
    runtime = around.make(home_assistant=HomeAssistantConfig(host="hass.example", user="u", password="p"), page=PAGE)
    assert runtime.page is not None
    assert runtime.home_address == HomeAddress(
        host="hass.example", port=1883, user="u", password="p", ca="", prefix="homeassistant",
        device=public_key_of(DEVICE).id, name="Door", version=__version__, page=runtime.page.url,
    )  # fmt: skip


def test_only_an_installer_that_is_configured_gets_reports_which_only_the_installer_opens(around: Around) -> None:
    assert around.make().health is None
    identity = X25519Identity(b"i" * 32)
    runtime = around.make(installer=InstallerConfig(name="installer", recipient=str(identity.recipient())))
    assert runtime.health is not None
    sealed = runtime.health.report()
    report = open_report(open_bytes(sealed, [identity]), DEVICE_KEY.id)
    assert (report.device, report.name, report.version) == (DEVICE_KEY.text, "Door", __version__)
    with pytest.raises(OpenError):
        open_bytes(sealed, [OWNER_IDENTITY])


# -- the page, and the set-up by the camera ----------------------------------------------------------------------------


def test_the_camera_reads_set_up_codes_if_the_page_wants_it_and_something_here_can_join_a_network(
    around: Around, tmp_path: Path
) -> None:
    by_camera = replace_fields(PAGE, setup_by_camera=True)
    assert around.make(page=by_camera).set_up is None
    assert around.make(page=PAGE, runtime=tmp_path).set_up is None
    assert around.make(runtime=tmp_path).set_up is None
    runtime = around.make(page=by_camera, runtime=tmp_path)
    assert runtime.set_up is not None
    assert runtime.set_up.take("") is SetupState.WAITING
    enrol(runtime)
    assert runtime.set_up.take("") is SetupState.OFF


def test_the_page_gets_the_parts_that_it_shows(around: Around, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    remote = RemoteConfig(host="relay.example", url="wss://relay.example:8443/mqtt", password="p")
    made = mock.Mock()
    monkeypatch.setattr("agent.custodian.page.server.PageServer", made)
    runtime = around.make(HERE, page=PAGE, broker=BROKER, remote=remote)
    settings, folder, name, deps = made.call_args.args
    assert (settings, folder, name) == (PAGE, around.folders[0].page, "Door")
    assert (deps.control, deps.enrolments) == (runtime.custodian.control, runtime.custodian.enrolments)
    assert (deps.clock, deps.live, deps.relay) == (around.clock, around.live.show, "wss://relay.example:8443")
    assert deps.set_up is None
    assert deps.believed_ms() == runtime._clock.believed_ms
    enrol(runtime)
    runtime.apply_configuration()
    submit(runtime, Settings(**stated(), name="Back door"))
    facts = deps.facts()
    assert (facts["name"], facts["file"]["name"], facts["by_owner"]) == ("Back door", "Door", ["device.name"])
    by_camera = replace_fields(PAGE, setup_by_camera=True)
    again = around.make(page=by_camera, runtime=tmp_path)
    assert made.call_args.args[3].set_up is again.set_up is not None
    assert made.call_args.args[3].relay == ""


def test_the_socket_answers_with_the_page_if_there_is_one(around: Around, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page adds operations, for example the code for a browser."""
    made = mock.Mock()
    monkeypatch.setattr("agent.custodian.composition.control_server", made)
    runtime = around.make(page=PAGE)
    assert runtime.page is not None
    assert made.call_args.args == (around.folders[0].control, runtime.page.answer)
    bare = around.make()
    assert made.call_args.args == (around.folders[1].control, bare.custodian.control.answer)


def test_the_link_signs_as_the_doorbell_and_knows_its_callers(around: Around) -> None:
    runtime = around.make(page=PAGE, alerts=AlertsConfig())
    assert runtime.link is not None
    assert runtime.link._identity.device == runtime.device == public_key_of(DEVICE)
    enrol(runtime)
    caller = runtime.link._identity.caller(public_key_of(APPROVER))
    assert caller is not None
    assert caller.owner
    assert ask(runtime, "link_address")["relay"] is None


# -- its start, its turns and its stop ---------------------------------------------------------------------------------

PARTS = ("alerts", "custodian", "messages", "page", "_metrics", "_control", "updates", "set_up", "link", "_journal")


def test_everything_starts_turns_and_stops_in_order(around: Around) -> None:
    runtime = around.make()
    parts = around.watched(runtime, *PARTS)
    runtime.start()
    assert parts.mock_calls == [
        call.alerts.start(),
        call.custodian.start(),
        call.messages.start(),
        call.page.start(),
        call.alerts.link_to("https://door.example"),
        call._metrics.start(),
        call._control.start(),
    ]
    parts.reset_mock()
    runtime.on_time()
    assert parts.mock_calls == [
        call.custodian.on_time(), call.set_up.on_time(), call.updates.on_time(), call.link.on_time(),
    ]  # fmt: skip
    parts.reset_mock()
    runtime.stop()
    assert parts.mock_calls == [
        call._metrics.stop(), call._control.stop(), call.messages.stop(), call.link.close(), call.page.stop(),
        call.alerts.stop(),
    ]  # fmt: skip
    parts.reset_mock()
    runtime.close()
    assert parts.mock_calls == [call.page.close(), call.alerts.close(), call._journal.close()]


def damage(folder: StateFolder) -> None:
    folder.page.mkdir(mode=0o700, exist_ok=True)
    (folder.page / "authority.pem").write_bytes(b"\0" * 900)


def test_a_page_whose_files_are_damaged_keeps_no_doorbell_from_recording(around: Around) -> None:
    around.prepare = damage
    with capture_logs() as lines:
        runtime = around.make(page=PAGE)
    assert (runtime.page, runtime.link) == (None, None)
    assert runtime._answer_without_page(Frame({"op": "device"})).head["ok"] is True
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["page_not_served"]
    parts = around.watched(runtime, "custodian", "_control", "updates")
    runtime.start()
    runtime.on_time()
    assert [parts._control.start.call_count, parts.custodian.on_time.call_count] == [1, 1]
    assert "authority.pem is damaged. Delete it" in runtime.page_fault
    assert runtime._facts().no_page is True
    for op in ("page_code", "page_authority"):
        with pytest.raises(StorageError, match=r"The page cannot be opened: .*authority\.pem is damaged"):
            runtime._answer_without_page(Frame({"op": op}))


def test_without_a_page_nothing_is_missing_and_with_one_its_fault_is_told(around: Around) -> None:
    bare, runtime = around.make(), around.make(page=PAGE)
    assert (bare.page_fault, bare._facts().no_page) == ("", None)
    assert runtime.page is not None
    assert (runtime.status()["page_fault"], runtime._facts().no_page) == ("", False)
    runtime.page.fault = "The page cannot listen."
    assert (runtime.status()["page_fault"], runtime._facts().no_page) == ("The page cannot listen.", True)


def test_figures_whose_address_another_program_has_keep_no_doorbell_from_starting(around: Around) -> None:
    runtime = around.make()
    parts = around.watched(runtime, "custodian", "_control", "updates", "_metrics")
    parts._metrics.start.side_effect = ConfigurationError("Metrics cannot be served.", remedy="Set another address.")
    with capture_logs() as lines:
        runtime.start()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["no_metrics"]
    assert parts._control.start.call_count == 1


def test_a_bare_custodian_starts_turns_and_stops_without_the_parts_that_it_lacks(around: Around) -> None:
    runtime = around.make()
    assert [runtime.alerts, runtime.page, runtime.link, runtime.set_up, runtime._metrics] == [None] * 5
    parts = around.watched(runtime, "custodian", "_control", "updates", "_journal")
    runtime.start()
    runtime.on_time()
    runtime.stop()
    runtime.close()
    assert parts.mock_calls == [
        call.custodian.start(), call._control.start(), call.custodian.on_time(), call.updates.on_time(),
        call._control.stop(), call._journal.close(),
    ]  # fmt: skip


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_disk_that_takes_no_socket_is_tried_again_at_each_turn(around: Around, number: int) -> None:
    runtime = around.make()
    parts = around.watched(runtime, "custodian", "_control", "updates")
    refusal = ConfigurationError("The socket cannot be made.")
    refusal.__cause__ = OSError(number, "no")
    parts._control.start.side_effect = [refusal, refusal, None]
    runtime.start()
    for tries in (2, 3, 3):
        runtime.on_time()
        assert parts._control.start.call_count == tries
    assert parts.custodian.on_time.call_count == 3, "the rest goes on meanwhile"


@pytest.mark.parametrize("cause", [OSError(errno.EACCES, "no"), ValueError("no"), None])
def test_a_socket_that_fails_for_another_reason_ends_the_start(around: Around, cause: Exception | None) -> None:
    runtime = around.make()
    refusal = ConfigurationError("The socket cannot be made.")
    refusal.__cause__ = cause
    around.watched(runtime, "custodian", "_control")._control.start.side_effect = refusal
    with pytest.raises(ConfigurationError, match="The socket cannot be made"):
        runtime.start()


# -- its clock ---------------------------------------------------------------------------------------------------------


def test_updates_are_judged_by_a_trusted_clock_and_browsers_by_the_time_that_is_believed(around: Around) -> None:
    runtime = around.make(alerts=AlertsConfig())
    now_ms = around.clock.now().utc_ns // NS_PER_MS
    assert runtime._browsers is not None
    assert (runtime.updates._trusted_ms(), runtime._browsers._now_ms()) == (now_ms, now_ms)
    around.clock.quality = ClockQuality.UNKNOWN
    assert (runtime.updates._trusted_ms(), runtime._browsers._now_ms()) == (None, now_ms)
