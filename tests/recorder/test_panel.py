"""The panel beside a recorder: what its lights are told, and when it starts the bridge."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.recorder import panel as panel_module
from agent.recorder.panel import PanelRuntime
from firmware_bridge import frames
from firmware_bridge.settings import PanelConfig
from tests.recorder.test_bridge_client import HELLO, WELCOME, Panel
from tests.recorder.test_panel_handler import Owner, Recorder, until


class WithStatus(Recorder):
    """A recorder with a word for its state."""

    word = "watching"

    def status(self) -> Any:
        return SimpleNamespace(state=self.word)


class Processes:
    """Stands in for the bridge's process."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def __call__(self, file: Path, state: Path) -> Processes:
        self.calls.append((file, state))
        return self

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.fixture
def socket_panel() -> Iterator[Panel]:
    with tempfile.TemporaryDirectory() as folder:
        made = Panel(Path(folder) / "b.sock")
        yield made
        made.close()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    made = Processes()
    monkeypatch.setattr(panel_module, "BridgeProcess", made)
    return made


def first_beat(
    panel: Panel, recorder: WithStatus, set_up: object = None, **options: Callable[[], bool]
) -> frames.FromAgent:
    recorder_: Any = recorder
    given: Any = set_up
    runtime = PanelRuntime(PanelConfig(socket=panel.path, start=False), None, recorder_, Owner(), given, **options)
    runtime.start()
    panel.accept()
    assert panel.hears() == HELLO
    beat = panel.hears()
    panel.says(WELCOME)
    until(lambda: runtime.status().get("connected"))
    assert runtime.status()["board"] == "pi4"
    runtime.stop()
    return beat


@pytest.mark.parametrize(
    ("word", "is_well"),
    [("recording", True), ("watching", True), ("privacy", True), ("no camera", False), ("not recording", False)],
)
def test_the_status_led_shows_whether_the_recorder_could_record(socket_panel: Panel, word: str, is_well: bool) -> None:
    recorder = WithStatus()
    recorder.word = word
    assert first_beat(socket_panel, recorder) == frames.Heartbeat(delivering=True, healthy=is_well, lux=12.0)


@pytest.mark.parametrize("is_live", [True, False])
def test_the_live_led_is_told_whether_a_person_watches_or_talks(socket_panel: Panel, is_live: bool) -> None:
    assert first_beat(socket_panel, WithStatus(), is_live=lambda: is_live) == frames.Heartbeat(
        delivering=True, healthy=True, lux=12.0, live=is_live
    )


def test_the_status_led_shows_a_fault_while_the_custodian_is_away(socket_panel: Panel) -> None:
    beat = first_beat(socket_panel, WithStatus(), is_served=lambda: False)
    assert beat == frames.Heartbeat(delivering=True, healthy=False, lux=12.0)


@pytest.mark.parametrize(("records", "reads"), [(False, True), (True, False), (False, False)])
def test_the_recording_led_is_lit_for_the_set_up_too(socket_panel: Panel, records: bool, reads: bool) -> None:
    recorder = WithStatus()
    recorder.delivering = records
    set_up = SimpleNamespace(delivering=reads, light=frames.SetupLight.WAITING)
    assert first_beat(socket_panel, recorder, set_up) == frames.Heartbeat(
        delivering=records or reads, healthy=True, lux=12.0, setup=frames.SetupLight.WAITING
    )


def test_the_bridge_is_started_with_the_recorder_and_stopped_after_the_link(
    tmp_path: Path, processes: Processes
) -> None:
    recorder: Any = WithStatus()
    file = tmp_path / "doorward.toml"
    runtime = PanelRuntime(PanelConfig(socket=tmp_path / "b.sock"), file, recorder, Owner(), state=tmp_path / "own")
    runtime.start()
    assert processes.calls == [(file, tmp_path / "own"), "start"]
    runtime.stop()
    assert processes.calls == [(file, tmp_path / "own"), "start", "stop"]
    assert not runtime.link._thread.is_alive()


@pytest.mark.parametrize(("start", "file"), [(False, Path("doorward.toml")), (True, None)])
def test_a_bridge_that_systemd_starts_is_left_to_it(
    tmp_path: Path, processes: Processes, start: bool, file: Path | None
) -> None:
    recorder: Any = WithStatus()
    runtime = PanelRuntime(PanelConfig(socket=tmp_path / "b.sock", start=start), file, recorder, Owner())
    runtime.start()
    runtime.stop()
    assert processes.calls == []
