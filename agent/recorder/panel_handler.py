"""Handles the panel's messages (button, PIR, switches, board): calls the recorder, and alerts the owner.

Rules: the panel gets the acknowledgement of a press only after the recorder has it, and a repeated message counts once.
The privacy switch has priority over everything else. A PIR pulse begins an event but sends no alert besides that of the
event.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog

from agent.core.events import TriggerKind
from agent.core.timebase import BootNs
from agent.errors import DoorwardError
from agent.ports import Notifier
from firmware_bridge.frames import SetupLight
from firmware_bridge.throttling import ThrottleLevel

__all__ = ["PanelHandler", "RecorderControl"]

_REMEMBERED = 64
_LIT_S = 30.0
_AWAY_S: Final = 60.0
"""A bridge that crashed is back earlier (systemd/doorward-bridge.service). Afterwards no program reads the privacy
switch, and a person who turns it on would be filmed."""


class RecorderControl(Protocol):
    """The recorder's methods that the panel may call."""

    def trigger(self, kind: TriggerKind, at_ns: BootNs | None = None) -> None: ...
    def set_privacy_switch(self, on: bool) -> None: ...
    def lose_privacy_switch(self) -> None: ...
    def black_out(self, length_ns: int) -> None: ...
    def set_throttle_level(self, level: int) -> None: ...


class PanelHandler:
    """Called from the link's thread; `status` from any thread."""

    def __init__(
        self,
        recorder: RecorderControl,
        notifier: Notifier,
        button_held: Callable[[], bool] = lambda: False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`button_held`: takes a long press, and returns True if a browser can come in now. `now_s`: steady seconds."""
        self._button_held = button_held
        self._now_s = now_s
        self._open_until_s = 0.0
        self._recorder = recorder
        self._notifier = notifier
        self._log = structlog.get_logger("doorbell")
        self._told: deque[tuple[str, int]] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {"connected": False}
        self._throttle_level: int = ThrottleLevel.NORMAL
        self._bridge = ""
        self._away_since_s: float | None = None
        self.presses = 0

    def connected(self, bridge: str, board: str) -> None:
        """`bridge` names this run of the bridge: its presses are counted from one again."""
        self._update(connected=True, backend=bridge.partition(" ")[0], board=board)
        self._bridge, self._away_since_s = bridge, None

    def away(self, why: str) -> None:
        """Keeps the last position of the switch for `_AWAY_S`. Then it counts as unread.

        The link calls it at each try.
        """
        self._update(connected=False, detail=why)
        now_s = self._now_s()
        if self._away_since_s is None:
            self._away_since_s = now_s
        elif now_s - self._away_since_s >= _AWAY_S:
            self._recorder.lose_privacy_switch()

    def pressed(self, press: int, at_ns: BootNs, *, held: bool, got: Callable[[], None]) -> None:
        key = (self._bridge, press)
        if held:
            self._hold(press)
        elif key not in self._told:
            self._told.append(key)
            self.presses += 1
            self._log.info("button_pressed", press=press)
            self._recorder.trigger(TriggerKind.BUTTON, at_ns)
        # Last, also for a repeated press: if this process dies before, the bridge tells the press to the next one.
        got()

    def _hold(self, press: int) -> None:
        key = (f"{self._bridge} held", press)
        if key in self._told:
            return
        self._told.append(key)
        self._log.info("button_held", press=press)
        try:
            is_open = self._button_held()
        except DoorwardError as error:  # the custodian is away: no light, so the person presses again
            self._log.warning("button_hold_lost", reason=error.message)
            return
        if is_open:
            self._open_until_s = self._now_s() + _LIT_S

    @property
    def light(self) -> SetupLight | None:
        """Shows on the status LED for a while that a long press was taken."""
        return SetupLight.WAITING if self._now_s() < self._open_until_s else None

    def passed(self, at_ns: BootNs) -> None:
        self._recorder.trigger(TriggerKind.PIR, at_ns)

    def privacy(self, on: bool) -> None:
        self._update(privacy=on)
        self._recorder.set_privacy_switch(on)

    def tampered(self, is_open: bool) -> None:
        self._update(open=is_open)
        self._log.warning("case_moved", open=is_open)
        if is_open:
            self._notifier.notify("tamper", "The doorbell's case was opened.")

    def blackout(self, length_ns: int) -> None:
        self._recorder.black_out(length_ns)

    def board(self, facts: dict[str, Any]) -> None:
        """Handles the board's health. `throttle_level` is the throttling level."""
        self._update(health=facts)
        level = int(facts["throttle_level"])
        if level > max(self._throttle_level, ThrottleLevel.OBJECT_DETECTION):
            self._notifier.notify("board", _words(facts))
        self._throttle_level = level
        self._recorder.set_throttle_level(level)

    def status(self) -> dict[str, Any]:
        with self._lock:
            return dict(self._state)

    def _update(self, **facts: Any) -> None:
        with self._lock:
            self._state.pop("detail", None)
            self._state.update(facts)


_LESS: Final = {
    ThrottleLevel.ANALYSIS: "it looks at fewer pictures",
    ThrottleLevel.RATE: "it takes fewer pictures a second",
    ThrottleLevel.SIZE: "it takes smaller pictures",
}
"""The level that only pauses object detection is missing here, because it needs no alert."""


def _words(facts: dict[str, Any]) -> str:
    now = _LESS[ThrottleLevel(min(ThrottleLevel.SIZE, int(facts["throttle_level"])))]
    if facts.get("under_voltage"):
        return f"The doorbell's power supply is too weak: {now}. Use the supply that belongs to the board."
    if facts.get("temperature_c") is not None:
        return f"The doorbell is {facts['temperature_c']:.0f} °C hot: {now} until it has cooled down."
    return f"The doorbell's board is under strain: {now}."
