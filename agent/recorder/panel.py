"""Builds the panel for a process with a recorder: the bridge's child process, the link to it, and its handler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.config.settings import PanelConfig
from agent.ports import Notifier
from agent.recorder.bridge_client import BridgeLink
from agent.recorder.bridge_process import BridgeProcess
from agent.recorder.panel_handler import PanelHandler
from agent.recorder.recorder import Recorder

__all__ = ["PanelRuntime"]

_WELL = ("recording", "watching", "privacy")


class PanelRuntime:
    """Use `start` and `stop`. The bridge reads `configuration_file`; without one, the bridge must be started
    separately."""

    def __init__(
        self, panel: PanelConfig, configuration_file: Path | None, recorder: Recorder, notifier: Notifier
    ) -> None:
        self.handler = PanelHandler(recorder, notifier)
        self.link = BridgeLink(panel.socket, self.handler, recorder, lambda: recorder.status().state in _WELL)
        starts = panel.start and configuration_file is not None
        self._process = BridgeProcess(configuration_file) if starts and configuration_file is not None else None

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
