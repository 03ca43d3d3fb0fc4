"""The recorder's process beside a custodian that restarts: what it tells the owner is not lost with it."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config import Configuration
from agent.config.settings import DeviceConfig
from agent.core.events import TriggerKind
from agent.errors import RequestError
from agent.ipc.protocol import (
    Ack,
    FromRecorder,
    GetErasedSegments,
    GetHeldSegments,
    GetLiveViewers,
    GetRecipients,
    GetSettings,
    HeldSegments,
    LiveViewers,
    Notify,
    OwnerSettingsReply,
    Recipients,
    ReportStatus,
    SegmentNames,
    Sign,
    Signature,
)
from agent.ipc.rpc_client import RpcClient
from agent.ipc.rpc_server import role_server
from agent.platform.disk import RealDisk
from agent.platform.supervision import SystemdNotifier
from agent.ports import Camera
from agent.recorder import composition, recorder_process
from agent.recorder.recorder_process import RecorderRole
from agent.vault import replay
from agent.wire.identities import public_key_of
from tests.vaults import DEVICE_KEY, make_vault

ME = frozenset({os.getuid()})


class Custodian:
    """Answers what a recorder without an owner asks, while it is there. Refuses alerts while `refusing`."""

    def __init__(self, path: Path) -> None:
        self.told: list[Notify] = []
        self.turns = 0
        """How often the recorder has looked after it to the end."""
        self.refusing = False
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
                return Recipients(public_key_of(DEVICE_KEY).id, 0, ())
            case GetSettings():
                return OwnerSettingsReply(b"")
            case GetErasedSegments():
                self.turns += 1
                return SegmentNames(())
            case GetHeldSegments():
                return HeldSegments((), None)
            case Sign(encoding=encoding):
                return Signature(DEVICE_KEY.sign(encoding))
            case GetLiveViewers():
                self._pause.wait(0.2)
                return LiveViewers(False)
            case ReportStatus():
                return Ack()
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
