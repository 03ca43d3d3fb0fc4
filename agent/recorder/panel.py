"""Builds the panel for a process with a recorder: the bridge's child process, the link to it, and its handler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.config.settings import PanelConfig
from agent.ports import Notifier
from agent.recorder.bridge_client import BridgeLink
from agent.recorder.bridge_process import BridgeProcess
from agent.recorder.panel_handler import PanelHandler
from agent.recorder.recorder import Recorder
from agent.recorder.setup_reader import SetupReader
from firmware_bridge.frames import SetupLight

__all__ = ["PanelRuntime"]

_WELL = ("recording", "watching", "privacy")


class PanelRuntime:
    """Use `start` and `stop`. The bridge reads `configuration_file`; without one, the bridge must be started
    separately."""

    def __init__(
        self,
        panel: PanelConfig,
        configuration_file: Path | None,
        recorder: Recorder,
        notifier: Notifier,
        set_up: SetupReader | None = None,
        is_live: Callable[[], bool] = lambda: False,
        button_held: Callable[[], bool] = lambda: False,
        is_served: Callable[[], bool] = lambda: True,
        state: Path | None = None,
    ) -> None:
        """`set_up` has the camera before there is an owner, so the lights show its state too. `is_live`: a person
        watches or talks. `button_held`: takes a long press. `is_served`: the custodian answers. Otherwise no record is
        signed and no alert leaves, so the status LED shows a fault. `state`: the bridge's folder, for the number of
        reboots; None is the configuration's."""
        self.handler = PanelHandler(recorder, notifier, button_held)
        vitals = recorder if set_up is None else _BothVitals(recorder, set_up)
        self.link = BridgeLink(
            panel.socket,
            self.handler,
            vitals,
            lambda: recorder.status().state in _WELL and is_served(),
            lambda: _light_of(set_up) or self.handler.light,
            is_live,
        )
        self._process = None
        if panel.start and configuration_file is not None:
            self._process = BridgeProcess(configuration_file, state or configuration_file.parent)

    def start(self) -> None:
        if self._process is not None:
            self._process.start()
        self.link.start()

    def stop(self) -> None:
        self.link.stop()
        if self._process is not None:
            self._process.stop()

    def status(self) -> dict[str, Any]:
        return self.handler.status()


class _BothVitals:
    """The recording LED is lit while a sensor delivers frames, for the set-up too."""

    def __init__(self, recorder: Recorder, set_up: SetupReader) -> None:
        self._recorder = recorder
        self._set_up = set_up

    @property
    def delivering(self) -> bool:
        return self._recorder.delivering or self._set_up.delivering

    @property
    def lux(self) -> float | None:
        return self._recorder.lux


def _light_of(set_up: SetupReader | None) -> SetupLight | None:
    return None if set_up is None else set_up.light
