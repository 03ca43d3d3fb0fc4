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
from agent.platform.supervision import SystemdNotifier
from agent.ports import Camera
from agent.recorder import recorder_process
from agent.recorder.recorder_process import RecorderRole
from agent.wire.identities import public_key_of
from tests.vaults import DEVICE_KEY

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
def role(
    custodian: Custodian, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RecorderRole]:
    monkeypatch.setattr(recorder_process, "_TICK_S", 0.05)
    configuration = Configuration(device=DeviceConfig(name="Door", state_dir=tmp_path))
    clients = [RpcClient(run_folder / "custodian.sock", ME) for _ in range(4)]

    def no_camera() -> Camera:
        raise AssertionError("Without an owner nothing is filmed.")

    made = RecorderRole(
        configuration, clients[0], clients[1], SystemdNotifier({}), clients[2], clients[3], open_camera=no_camera
    )
    made.start()
    yield made
    made.stop()
    made.close()


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
