"""The board's own light, for a set-up on a doorbell that has no status LED: a card does not know what was wired.

`doorward-bridge board-light` runs it as root until there is an owner (systemd/doorward-board-light.service). It shows
what the status LED would show (firmware_bridge/PROTOCOL.md), and then the light has its work back, mostly that of the
memory card. Source: Linux, Documentation/leds/leds-class.rst.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from firmware_bridge.errors import BridgeError
from firmware_bridge.frames import SetupLight
from firmware_bridge.panel import shows_setup

__all__ = ["BoardLight", "show_setup"]

_NAMES: Final = ("ACT", "led0")
"""The green light, as newer and older kernels of Raspberry Pi call it."""
_STEP_S: Final = 0.1
"""Half of the shortest flash."""
_MOST_BYTES: Final = 32
_CHOSEN: Final = re.compile(r"\[([\w-]+)\]")


class BoardLight:
    """A context manager: inside, `show` switches the light. Raises `BridgeError` if the board has none."""

    def __init__(self, leds: Path = Path("/sys/class/leds")) -> None:
        found = next((leds / name for name in _NAMES if (leds / name / "brightness").exists()), None)
        if found is None:
            raise BridgeError(f"There is no light in {leds}.", remedy="Wire a status LED, and name it in [panel].")
        self._folder = found
        self._before = "none"
        self._on: bool | None = None

    def __enter__(self) -> BoardLight:
        try:
            chosen = _CHOSEN.search((self._folder / "trigger").read_text())
            self._before = chosen[1] if chosen else "none"
            # While a trigger has the light, the kernel sets its brightness.
            (self._folder / "trigger").write_text("none")
        except OSError as error:
            raise BridgeError(f"{self._folder}: {error.strerror}.", remedy="Only root may switch it.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            (self._folder / "trigger").write_text(self._before)

    def show(self, *, on: bool) -> None:
        if on != self._on:
            with contextlib.suppress(OSError):
                (self._folder / "brightness").write_text("1" if on else "0")
            self._on = on


def show_setup(light: BoardLight, state: Path, owned: Path, ended: threading.Event) -> None:
    """Shows the set-up until `owned` is there, or until `ended`. `state`: the custodian's file."""
    while not owned.exists():
        light.show(on=shows_setup(_read(state), time.monotonic_ns()))
        if ended.wait(_STEP_S):
            return


def _read(path: Path) -> SetupLight:
    """Returns what the custodian wrote. It may have written nothing yet, or be taken over: then it waits for a code."""
    try:
        # Root reads a file of the custodian. If that was taken over, the name may be a link to anything, or a pipe that
        # would block for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return SetupLight.WAITING
    with os.fdopen(handle, "rb") as file, contextlib.suppress(OSError, ValueError):
        return SetupLight(file.read(_MOST_BYTES).decode("ascii").strip())
    return SetupLight.WAITING
