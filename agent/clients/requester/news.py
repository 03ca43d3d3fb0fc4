"""What a receiving service may be asked for at most, and what it tells whoever watches it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from agent.clients.requester.checks import MOST_PART_BYTES
from agent.core.transfer import ReceiverLimits

__all__ = ["ReceiverEvent", "ReceiverEventKind", "ReceivingLimits"]


@dataclass(frozen=True, slots=True)
class ReceivingLimits:
    """What strangers and devices may ask of this machine."""

    transfer: ReceiverLimits = field(
        default_factory=lambda: ReceiverLimits(manifest_bytes=32 << 20, part_bytes=MOST_PART_BYTES)
    )
    unread: int = 64
    """Disclosures whose part 0 is on its way, in all …"""
    unread_per_device: int = 4
    """… and of one device; beyond it the device's oldest is dropped."""
    open_per_device: int = 4
    """Disclosures of one device that are on their way at once: half of `at_once`, or one that dawdles would take every
    turn."""
    per_device_and_request: int = 4
    """Answers of one device to one request that are kept; together they stay within `transfer`, as if they were one."""
    per_device: int = 500
    """Disclosures of one device that are kept; of tips, which name none, as many in all."""
    share: float = 0.25
    """Of what is free and what disclosures take, the most that one device has; of tips, all of them together."""
    disclosures: int = 10_000
    """Folders below `disclosures/`.  Move old ones away to make room."""
    at_once: int = 8
    """Disclosures whose footage is on its way at the same time; others wait with their first part here.  Without this,
    two hundred doors that answer together fill what the broker keeps for us, and it drops what they must send again."""
    free_bytes: int = 1 << 30
    """What stays free on the disk: a disclosure that would not fit waits."""


class ReceiverEventKind(enum.Enum):
    """What happened, for whoever watches."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    BEGUN = "begun"
    """Part 0 opened and verified: this is an answer to one of our requests."""
    PROGRESS = "progress"
    COMPLETE = "complete"
    REFUSED = "refused"
    DROPPED = "dropped"
    """It opens with none of our keys."""
    NO_ROOM = "no room"
    PUBLISHED = "published"
    """The broker has what `request` names: `detail` is what it is, "request" or "withdrawal"."""
    NOT_PUBLISHED = "not published"
    """The broker refused one of our requests."""
    DAMAGED = "damaged"
    """The files of one of our requests cannot be read."""
    TIP = "tip"
    """Somebody told us something unasked, and it is here."""
    STOPPED = "stopped"
    """The device sends no more of it."""


@dataclass(frozen=True, slots=True)
class ReceiverEvent:
    """One thing that happened; what does not apply is empty or 0."""

    kind: ReceiverEventKind
    disclosure: str = ""
    request: str = ""
    held_bytes: int = 0
    expected_bytes: int = 0
    detail: str = ""
