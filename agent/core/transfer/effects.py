"""What a sender asks its service to do, in the order it says.

Every send carries a token for the bus; what the broker answers comes back to the sender under it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from agent.core.transfer.values import PartSize

__all__ = [
    "ClearInit",
    "Finished",
    "MarkBegun",
    "Send",
    "SendAbort",
    "SendChunk",
    "SendFin",
    "SendInit",
    "SenderEffect",
    "TransferOutcome",
]


class TransferOutcome(enum.Enum):
    DELIVERED = "delivered"
    REFUSED = "refused"
    """By the requester."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class MarkBegun:
    """Make durable that the first byte is about to leave: from here on it cannot be taken back.  Comes before it."""


@dataclass(frozen=True, slots=True)
class SendInit:
    """Publish, retained, what part 0 is and how many parts there are.  It is also the question what has arrived."""

    token: int
    parts: int
    manifest: PartSize
    question: int


@dataclass(frozen=True, slots=True)
class SendChunk:
    """Publish these bytes of a part."""

    token: int
    part: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SendFin:
    """Publish that all of a part was sent."""

    token: int
    part: int
    size: PartSize


@dataclass(frozen=True, slots=True)
class SendAbort:
    """Publish that no more will come."""

    token: int


@dataclass(frozen=True, slots=True)
class ClearInit:
    """Clear the retained init.  Comes before `Finished`."""

    token: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The end.  `begun`: whether any byte left."""

    outcome: TransferOutcome
    begun: bool


Send: TypeAlias = SendInit | SendChunk | SendFin | SendAbort | ClearInit
SenderEffect: TypeAlias = MarkBegun | Finished | Send
