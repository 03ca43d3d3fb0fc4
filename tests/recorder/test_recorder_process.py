"""The recorder's process beside a custodian that restarts: what it tells the owner is not lost with it."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config import Configuration
from agent.config.settings import DeviceConfig
from agent.core.events import TriggerKind
from agent.core.retention import ProtectedIds
from agent.core.setup_state import SetupState
from agent.core.talk.offers import TalkState
from agent.errors import ConfigurationError, FormatError, RequestError, StorageError
from agent.ipc.protocol import (
    Ack,
    ButtonReply,
    FromRecorder,
    GetErasedSegments,
    GetHeldSegments,
    GetLiveViewers,
    GetRecipients,
    GetSettings,
    GetTalk,
    HeldSegments,
    LiveViewers,
    Notify,
    OwnerSettingsReply,
    PutLivePiece,
    PutLongPress,
    PutSetupCode,
    PutTalkOffer,
    Recipients,
    ReportStatus,
    SegmentNames,
    SetupReply,
    Sign,
    Signature,
    SignSecond,
    TalkWork,
)
from agent.ipc.rpc_client import RpcClient
from agent.ipc.rpc_server import role_server
from agent.platform.disk import RealDisk
from agent.platform.supervision import SystemdNotifier
from agent.ports import Camera, CameraEnd
from agent.recorder import composition, recorder_process
from agent.recorder.folder_lock import ProcessLock
from agent.recorder.recorder_process import RecorderRole
from agent.vault import replay
from agent.wire import strictjson
from agent.wire.identities import public_key_of
from agent.wire.statements import Settings
from tests.vaults import DEVICE_KEY, OWNER, SECOND, make_vault

ME = frozenset({os.getuid()})


class Custodian:
    """Answers what a recorder without an owner asks, while it is there. Refuses alerts while `refusing`."""

    def __init__(self, path: Path) -> None:
        self.told: list[Notify] = []
        self.turns = 0
        """How often the recorder has looked after it to the end."""
        self.refusing = False
        self.recipients = Recipients(public_key_of(DEVICE_KEY).id, SECOND.key, 0, ())
        self.settings = b""
        self.erased: tuple[str, ...] = ()
        self.held = HeldSegments((), None)
        self.held_of: list[int] = []
        self.held_fault: FormatError | None = None
        self.status: dict[str, Any] = {}
        self.pieces: list[PutLivePiece] = []
        self.talk_asked: list[GetTalk] = []
        self.offers: list[PutTalkOffer] = []
        self.codes: list[str] = []
        self._server = role_server(path, FromRecorder, self._answer, ME)
        self.start, self.stop = self._server.start, self._server.stop
        self._pause = threading.Event()

    def _answer(self, request: object) -> object:
        match request:
            case Notify():
                if self.refusing:
                    raise RequestError("This alert cannot be told.")
                self.told.append(request)
                return Ack()
            case GetRecipients():
                return self.recipients
            case GetSettings():
                return OwnerSettingsReply(self.settings)
            case GetErasedSegments():
                self.turns += 1
                return SegmentNames(self.erased)
            case GetHeldSegments(segments):
                self.held_of.append(segments)
                if self.held_fault is not None:
                    raise self.held_fault
                return self.held
            case Sign(encoding=encoding):
                return Signature(DEVICE_KEY.sign(encoding))
            case SignSecond(encoding=encoding):
                return Signature(SECOND.sign(encoding))
            case GetLiveViewers():
                self._pause.wait(0.2)
                return LiveViewers(False)
            case ReportStatus(status):
                self.status = status
                return Ack()
            case PutLivePiece():
                self.pieces.append(request)
                return LiveViewers(False)
            case GetTalk():
                self.talk_asked.append(request)
                return TalkWork()
            case PutTalkOffer():
                self.offers.append(request)
                return Ack()
            case PutLongPress():
                return ButtonReply(is_open=True)
            case PutSetupCode(text):
                self.codes.append(text)
                return SetupReply(SetupState.JOINING)
        raise AssertionError(request)


@pytest.fixture
def run_folder() -> Iterator[Path]:
    """Short, because a socket's address is."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def custodian(run_folder: Path) -> Iterator[Custodian]:
    made = Custodian(run_folder / "custodian.sock")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def made(
    custodian: Custodian, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RecorderRole]:
    """Not started."""
    monkeypatch.setattr(recorder_process, "_TICK_S", 0.05)
    configuration = Configuration(device=DeviceConfig(name="Door", state_dir=tmp_path))
    clients = [RpcClient(run_folder / "custodian.sock", ME) for _ in range(4)]

    def no_camera() -> Camera:
        raise AssertionError("Without an owner nothing is filmed.")

    made = RecorderRole(
        configuration, clients[0], clients[1], SystemdNotifier({}), clients[2], clients[3], open_camera=no_camera
    )
    yield made
    made.stop()
    made.close()


@pytest.fixture
def role(made: RecorderRole) -> RecorderRole:
    made.start()
    return made


def until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):  # looks, not seconds: a pause of this machine is one look
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("It did not happen.")


def texts(custodian: Custodian) -> list[str]:
    return [alert.text.split(".")[0] for alert in custodian.told]


def test_a_press_is_told_at_once_and_once(custodian: Custodian, role: RecorderRole) -> None:
    role.recorder.trigger(TriggerKind.BUTTON)
    assert texts(custodian) == ["A person pressed the button"], "before the press returns"
    turns = custodian.turns
    until(lambda: custodian.turns > turns + 3)
    assert texts(custodian) == ["A person pressed the button"]


def test_a_press_while_the_custodian_restarts_is_told_when_it_is_back_and_once(
    custodian: Custodian, role: RecorderRole
) -> None:
    custodian.stop()
    role.recorder.trigger(TriggerKind.BUTTON)
    role.notify("disk", "The disk is full.")
    assert custodian.told == []
    custodian.start()
    until(lambda: len(custodian.told) == 2)
    turns = custodian.turns
    until(lambda: custodian.turns > turns + 3)
    assert texts(custodian) == ["A person pressed the button", "The disk is full"]


def test_an_alert_that_the_custodian_refuses_ends_no_thread_and_is_not_sent_again(
    custodian: Custodian, role: RecorderRole
) -> None:
    custodian.refusing = True
    role.notify("disk", "The disk is full.")
    custodian.refusing = False
    turns = custodian.turns
    until(lambda: custodian.turns > turns + 3)
    assert custodian.told == []


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Segments of an earlier process, with a lost index. It is made again four lines at a time."""
    monkeypatch.setattr(composition, "_SLICE_S", 0.0)
    monkeypatch.setattr(replay, "_BATCH", 4)
    before = make_vault(RealDisk(), root=tmp_path / "vault")
    ids = [before.record(b"") for _ in range(60)]
    before.close()
    return ids


def test_the_process_is_ready_before_a_lost_index_is_whole_and_makes_it_beside_the_recording(
    stored: list[str], made: RecorderRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    retry = made.vault.retry

    def held_up() -> None:
        if goes_on.is_set():
            retry()

    monkeypatch.setattr(made.vault, "retry", held_up)
    made.start()
    assert made.vault.reading
    assert made.vault.fault.startswith("The index is made again: ")
    assert made.vault.totals().segments < len(stored)
    made.recorder.trigger(TriggerKind.BUTTON)  # what needs no vault works meanwhile
    goes_on.set()
    until(lambda: not made.vault.reading)
    assert [entry.id for entry in made.vault.entries()] == stored
    assert made.vault.fault == ""


def test_a_process_that_is_stopped_meanwhile_leaves_no_thread(stored: list[str], made: RecorderRole) -> None:
    made.start()
    assert made.vault.reading
    made.stop()
    assert not [each.name for each in threading.enumerate() if each.name in ("index", "time")]


# -- with an owner -----------------------------------------------------------------------------------------------------

ME_OWNER = Recipients(public_key_of(DEVICE_KEY).id, SECOND.key, 1, (str(OWNER.recipient()),))


def test_the_recipients_and_their_browsers_are_the_custodians_newest(custodian: Custodian, role: RecorderRole) -> None:
    assert not role._runtime.enrolled
    custodian.recipients = ME_OWNER
    until(lambda: role.vault.epoch == 1)
    assert role._runtime.enrolled
    assert role.vault._sealing.recipients == (OWNER.recipient(),)
    custodian.recipients = Recipients(ME_OWNER.device, SECOND.key, 1, (), ("glance",))
    until(lambda: role._runtime._glances == ("glance",))
    assert role.vault._sealing.recipients == (OWNER.recipient(),), "an empty list seals to nobody new"
    custodian.recipients = Recipients(ME_OWNER.device, SECOND.key, 2, ME_OWNER.recipients)
    until(lambda: role.vault.epoch == 2)


def test_an_owners_settings_are_in_force_over_the_file_and_the_file_without_them(
    custodian: Custodian, role: RecorderRole
) -> None:
    usual = role.vault._limits.most_bytes
    device = str(public_key_of(DEVICE_KEY))
    wanted = Settings(v=1, device=device, owner_time_ms=1, nonce="0" * 32, max_bytes=77_000_000)
    custodian.settings = strictjson.encode(wanted)
    until(lambda: role.vault._limits.most_bytes == 77_000_000)
    custodian.settings = b""
    until(lambda: role.vault._limits.most_bytes == usual)


def test_what_an_owner_deleted_is_deleted_and_the_status_is_reported(custodian: Custodian, made: RecorderRole) -> None:
    made.vault.seal_to((OWNER.recipient(),), 1)
    writer = made.vault.begin("a" * 26, made._clock.now())
    writer.write(b"\0\0\0\x10moofxxxxxxxx")
    segment = writer.finish(made._clock.now()).id
    made.start()
    custodian.erased = (segment, "b" * 26)
    until(lambda: made.vault.find(segment) is None)
    until(lambda: bool(custodian.status))
    assert custodian.status["state"] == "no camera"


def test_the_panel_is_told_while_the_custodian_stays_away(
    custodian: Custodian, role: RecorderRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_served = role._runtime._deps.is_served
    assert is_served()
    custodian.stop()
    turns = custodian.turns
    assert is_served(), "as while it starts again"
    monkeypatch.setattr(recorder_process, "_AWAY_S", 0.5)
    until(lambda: not is_served())
    custodian.start()
    until(lambda: custodian.turns > turns)
    until(is_served)


def test_segments_that_must_stay_are_the_custodians_and_while_it_is_away_its_last_answer(
    custodian: Custodian, role: RecorderRole
) -> None:
    custodian.held = HeldSegments(("a" * 26,), 1234)
    assert role._protected() == ProtectedIds(frozenset({"a" * 26}), 1234)
    assert custodian.held_of[-1] == role.vault.totals().segments
    custodian.held_fault = FormatError("The answer is larger than its reader accepts.")
    assert role._protected() == ProtectedIds(frozenset({"a" * 26}), None), "a refusal breaks off no clip"
    custodian.stop()
    role._custodian.close()
    assert role._protected() == ProtectedIds(frozenset({"a" * 26}), None), "nothing goes by age meanwhile"
    role._last_held = None
    with pytest.raises(StorageError, match="Nothing is evicted") as refused:
        role._protected()
    assert refused.value.remedy
    deps = role._runtime._deps
    for sign in (deps.sign, deps.second.sign):
        with pytest.raises(StorageError, match="could not be signed"):
            sign(b"a record")
    custodian.start()


def test_live_view_talk_and_the_set_up_code_go_over_their_own_connections(
    custodian: Custodian, made: RecorderRole
) -> None:
    deps = made._runtime._deps
    assert deps.live_view.wait_for_viewer(0.0) == LiveViewers(False)
    assert deps.live_view.put(3, 1, 2, b"piece", begins=True) == LiveViewers(False)
    assert custodian.pieces == [PutLivePiece(3, 1, 2, b"piece", True)]
    assert deps.talk.work("s", TalkState.READY, 0.5) == TalkWork()
    assert custodian.talk_asked == [GetTalk("s", TalkState.READY, 0.5)]
    offer = PutTalkOffer("challenge", TalkState.PRIVATE)
    deps.talk.put_offer(offer)
    assert custodian.offers == [offer]
    assert deps.set_up is not None
    assert deps.set_up("DW1:code") is SetupState.JOINING
    assert custodian.codes == ["DW1:code"]
    assert deps.button_held()


def test_a_second_recorder_of_the_same_vault_is_refused_until_the_first_has_closed(
    made: RecorderRole, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="Another recorder"):
        ProcessLock(tmp_path / "vault")
    made.stop()
    made.close()
    ProcessLock(tmp_path / "vault").release()


def test_the_state_of_the_recorder_is_beside_the_vault_or_in_its_own_folder(made: RecorderRole, tmp_path: Path) -> None:
    assert made._runtime._deps.index == tmp_path / "recorder.sqlite"
    assert made._runtime._deps.own_state == tmp_path


def test_a_role_whose_film_is_over_waits_for_its_end(role: RecorderRole) -> None:
    waiting = threading.Thread(target=role.wait)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    role.stop()
    waiting.join()


def test_a_recorder_that_waits_for_an_owner_says_so_to_systemd(
    custodian: Custodian, made: RecorderRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(made._supervision, "ready", said.append)
    made.start()
    assert said == ["waiting for an owner"]


def test_a_start_can_be_given_up(made: RecorderRole) -> None:
    made.give_up()
    assert made.vault._given_up.is_set()


def test_a_recorder_looks_after_itself_while_the_custodian_is_away(
    custodian: Custodian, role: RecorderRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    monkeypatch.setattr(role._watch, "turn", turns.append)
    custodian.stop()
    before = len(turns)
    until(lambda: len(turns) > before + 3)
    custodian.start()


def test_a_private_hour_begins_and_ends_while_the_custodian_is_away(
    custodian: Custodian, made: RecorderRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = threading.Event()
    monkeypatch.setattr(composition, "is_private_now", lambda _configuration, _now: hour.is_set())
    monkeypatch.setattr(composition, "_HOURS_S", 0.01)
    made.start()
    custodian.stop()
    hour.set()
    until(lambda: made.recorder.is_private)
    hour.clear()
    until(lambda: not made.recorder.is_private)
    custodian.start()


def test_settings_that_could_not_be_applied_are_applied_at_the_next_look(
    custodian: Custodian, role: RecorderRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[Configuration] = []

    def apply(configuration: Configuration) -> None:
        applied.append(configuration)
        if len(applied) == 1:
            raise StorageError("The disk does not say how large it is.")

    monkeypatch.setattr(role._runtime, "apply_configuration", apply)
    device = str(public_key_of(DEVICE_KEY))
    wanted = Settings(v=1, device=device, owner_time_ms=1, nonce="0" * 32, max_bytes=77_000_000)
    custodian.settings = strictjson.encode(wanted)
    until(lambda: len(applied) > 1)
    turns = custodian.turns
    until(lambda: custodian.turns > turns + 2)
    assert len(applied) == 2


def test_a_role_that_was_stopped_before_there_is_an_owner_records_nothing(made: RecorderRole) -> None:
    made.start()
    made.stop()
    assert made.record() is CameraEnd.STOPPED
