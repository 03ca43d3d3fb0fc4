"""The effects of a sender: instructions for its service, to be carried out in this order.

Every send carries a token for the bus. The broker's answer returns to the sender under that token.
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
    """Refused by the requester."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class MarkBegun:
    """Record durably, before the first byte leaves, that it is about to leave: from then on it cannot be taken back."""


@dataclass(frozen=True, slots=True)
class SendInit:
    """Publish, retained, the size and hash of part 0 and the number of parts. It also asks which bytes have arrived."""

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
    """Publish that the sender has stopped."""

    token: int


@dataclass(frozen=True, slots=True)
class ClearInit:
    """Clear the retained init.  Comes before `Finished`."""

    token: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The transfer is over. `begun`: whether any byte left."""

    outcome: TransferOutcome
    begun: bool


Send: TypeAlias = SendInit | SendChunk | SendFin | SendAbort | ClearInit
SenderEffect: TypeAlias = MarkBegun | Finished | Send
