"""The states of the set-up by the camera, and the outer form of its code: all that most processes may know of it."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["LONGEST_TEXT", "PREFIX", "SetupState"]

PREFIX: Final = "DW1:"
LONGEST_TEXT: Final = 310
"""A longer text of a QR code is none of ours: all fields at their longest make 300 characters."""


class SetupState(enum.Enum):
    """How far the set-up by the camera is. The status LED shows each state (firmware_bridge/PROTOCOL.md)."""

    OFF = "off"
    """It is not configured, or the doorbell has an owner."""
    WAITING = "waiting"
    """The camera looks for a code."""
    JOINING = "joining"
    """A code was read; the system joins the network."""
    JOINED = "joined"
    """The page can be reached; the owner's phone has to open it."""
    WRONG_PASSWORD = "wrong-password"  # noqa: S105 — a state
    NO_NETWORK = "no-network"
    """There is no Wi-Fi of this name here."""
    NO_ADDRESS = "no-address"
    """The Wi-Fi gives no address."""
    FAILED = "failed"
    """The system could not join for another reason; its journal says which."""

    @property
    def reads(self) -> bool:
        """The camera looks for a code, also after a failure: the owner corrects it and shows the next one."""
        return self not in (SetupState.OFF, SetupState.JOINING, SetupState.JOINED)
