"""State and presses of the doorbell for the owner's Home Assistant, as the uplink polls them.

`uplink.home_assistant` publishes them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from agent.core.alerts.alert_messages import AlertPicture
from agent.core.home import state_of
from agent.core.home_news import HomeState
from agent.ports import PictureNotifier

__all__ = ["HomeStateHandler"]

_LOOK_S: Final = 1.0


class HomeStateHandler:
    """A `ports.Notifier` that wraps another one and counts the presses that pass through."""

    def __init__(self, notifier: PictureNotifier, status: Callable[[], dict[str, Any]]) -> None:
        self._notifier = notifier
        self._status = status
        self._presses = 0
        self._pressed = threading.Condition()

    def notify(self, kind: str, text: str, once: str = "", pictures: Sequence[AlertPicture] = ()) -> None:
        self._notifier.notify(kind, text, once, pictures)
        if kind == "button":
            with self._pressed:
                self._presses += 1
                self._pressed.notify_all()

    def collect(self, presses: int, wait_s: float) -> HomeState:
        """Returns the current state.  Waits at most `wait_s` seconds for a press beyond `presses`."""
        with self._pressed:
            self._pressed.wait_for(lambda: self._presses != presses, min(wait_s, _LOOK_S))
            presses = self._presses
        return HomeState(presses, msgspec.json.encode(state_of(self._status())))
