"""Runs the bridge as a child of `doorward run`, for systems without systemd.

A child that exits is started again after a pause, because button and privacy switch must keep working.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import structlog

__all__ = ["BridgeProcess"]

_PAUSE_S = 2.0
_ENDING_S = 5.0


class BridgeProcess:
    """Use `start` and `stop`. The bridge reads `[panel]` and `[board]` of the file `configuration`. It keeps its number
    of reboots in the folder `state`."""

    def __init__(self, configuration: Path, state: Path) -> None:
        files = ["--config", str(configuration.resolve()), "--state", str(state.resolve())]
        # -P keeps the current folder off the import path: a stray `firmware_bridge/` must not become the program.
        self._command = [sys.executable, "-P", "-m", "firmware_bridge", *files, "run"]
        self._log = structlog.get_logger("bridge")
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="bridge-process")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        self._stopping.set()
        with self._lock:
            if self._child is not None:
                self._child.terminate()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                if self._stopping.is_set():
                    return
                self._child = subprocess.Popen(self._command)  # noqa: S603 - our own interpreter, fixed words
            self._wait(self._child)
            if not self._stopping.is_set():
                self._log.warning("bridge_ended", status=self._child.returncode)
            self._stopping.wait(_PAUSE_S)

    def _wait(self, child: subprocess.Popen[bytes]) -> None:
        while child.poll() is None:
            if self._stopping.wait(0.2):
                try:
                    child.wait(_ENDING_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
