"""Decides whether camera and microphone may run. Inputs: the privacy switch and the private hours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar

import structlog

from agent.platform.thread_owners import AttributeOwner, ThreadOwned

__all__ = ["PrivacyGate"]


class PrivacyGate(ThreadOwned):
    """Closed while the switch is on, during a private hour, and while the position of the switch is unknown.

    The panel's thread and the settings' threads write under `lock`. They run independently of the camera loop, because
    a camera driver that hangs must not delay the switch.
    """

    WRITTEN_BY: ClassVar = dict.fromkeys(("_switch_on", "_is_lost", "_private_hour"), AttributeOwner.LOCK)

    def __init__(self, *, switch_unread: bool, on_close: Callable[[str], None], on_change: Callable[[], None]) -> None:
        """`switch_unread`: there is a switch, and it counts as on until `set_privacy_switch` reports its position.

        `on_close` gets the reason if the gate closes. `on_change` is called if it opens, and at the first reading.
        """
        self.lock = threading.RLock()
        self._on_close = on_close
        self._on_change = on_change
        self._log = structlog.get_logger("recorder")
        self._has_switch = switch_unread
        # Unknown counts as on: no person may be filmed before the bridge has read the switch.
        self._switch_on: bool | None = None if switch_unread else False
        self._is_lost = False
        """The switch was read before, and can be read no longer."""
        self._private_hour = False

    @property
    def closed(self) -> bool:
        """The camera must be off."""
        return self._switch_on is not False or self._private_hour

    @property
    def switch_read(self) -> bool:
        """The position of the switch is known, or there is no switch."""
        return self._switch_on is not None

    @property
    def only_unread(self) -> bool:
        """The gate is closed only because the position of the switch is unknown."""
        return self._switch_on is None and not self._private_hour

    @property
    def reason(self) -> str:
        """Why the gate is closed, for the owner."""
        if self._switch_on:
            return "The privacy switch is on."
        if self._private_hour:
            return "This is a private hour."
        return "The privacy switch cannot be read." if self._is_lost else "The privacy switch has not been read yet."

    def set_privacy_switch(self, on: bool) -> None:
        """Closes the gate, or opens it if this is no private hour. From any thread."""
        with self.lock:
            was_closed, first = self.closed, not self.switch_read
            self._switch_on, self._is_lost = on, False
            self._report(was_closed, first=first)

    def lose_privacy_switch(self) -> None:
        """Counts the switch as unread again, because what reads it is gone. From any thread."""
        with self.lock:
            # Without a switch in the configuration, a bridge that is away must not close the camera for ever.
            if not self._has_switch:
                return
            was_closed = self.closed
            # Called at each try to reach the bridge. Only the first call still sees a known position.
            self._is_lost = self._is_lost or self.switch_read
            self._switch_on = None
            self._report(was_closed)

    def set_private_hour(self, private: bool) -> None:
        """Begins or ends a private hour. From any thread."""
        with self.lock:
            was_closed = self.closed
            self._private_hour = private
            self._report(was_closed)

    def _report(self, was_closed: bool, *, first: bool = False) -> None:
        if first:
            # At its first reading the switch may be on, so the gate stays closed. The loop waits for the reading, to
            # tell the owner.
            self._on_change()
        if self.closed == was_closed:
            return
        self._log.info("privacy_switched", on=self.closed)
        if self.closed:
            self._on_close(self.reason)
        else:
            self._on_change()
