"""Limits of a receiving service, and the events that it reports to its watcher."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from agent.clients.requester.checks import MOST_FIRST_PART_BYTES, MOST_PART_BYTES, AnswerSummary, Verification
from agent.core.transfer import ReceiverLimits

__all__ = ["ReceiverEvent", "ReceiverEventKind", "ReceivingLimits"]


@dataclass(frozen=True, slots=True)
class ReceivingLimits:
    """Bounds on the resources that strangers and devices may use on this machine."""

    transfer: ReceiverLimits = field(
        default_factory=lambda: ReceiverLimits(manifest_bytes=MOST_FIRST_PART_BYTES, part_bytes=MOST_PART_BYTES)
    )
    unread: int = 64
    """Most disclosures in all with part 0 still arriving."""
    unread_per_device: int = 4
    """Most of them from one device. Beyond this number the device's oldest is dropped."""
    open_per_device: int = 4
    """Most arriving disclosures of one device: half of `at_once`, so that a slow device leaves turns for others."""
    per_device_and_request: int = 4
    """Most stored answers of one device to one request. Together they stay within `transfer`, as if they were one."""
    per_device: int = 500
    """Most stored disclosures of one device."""
    tips: int = 500
    """Most stored tips in all, because they name no device. A desk takes more: tips that came from browsers count, too,
    and a flood of them would keep out those of doorbells for as long as tips are kept."""
    share: float = 0.25
    """Largest share of one device in the free space plus the space of all disclosures. All tips together have one
    share."""
    disclosures: int = 10_000
    """Most folders below `disclosures/`. Move old ones away to make room."""
    at_once: int = 8
    """Most disclosures that send footage at the same time. Others wait after their first part. Otherwise two hundred
    doors that answer together would fill the broker's queue for us, and the broker would drop data that must be sent
    again."""
    relayed_bytes: int = 256 << 20
    """Most bytes of an answer that only a neighbour's key opens: nothing in it tells this machine how long it is."""
    free_bytes: int = 1 << 30
    """Bytes that stay free on the disk. A disclosure that would not fit waits."""


class ReceiverEventKind(enum.Enum):
    """Kinds of events for a watcher."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    BROKER_AWAY = "broker away"
    """One of several brokers is out of reach. The others go on."""
    BEGUN = "begun"
    """Part 0 opened and verified: this is an answer to one of our requests."""
    TAKEN_OVER = "taken over"
    """This receiver goes on with an answer that another one may have begun, and may have ended."""
    PROGRESS = "progress"
    COMPLETE = "complete"
    REFUSED = "refused"
    """It was quarantined: its files stay, unopened, and `detail` has the reason."""
    DROPPED = "dropped"
    """It opens with none of our keys."""
    NO_ROOM = "no room"
    PUBLISHED = "published"
    """The broker has the message `request`. `detail` is its type, "request" or "withdrawal"."""
    NOT_PUBLISHED = "not published"
    """The broker refused one of our requests."""
    DAMAGED = "damaged"
    """The files of one of our requests cannot be read."""
    TIP = "tip"
    """A tip has arrived."""
    STOPPED = "stopped"
    """The device sends no more of it."""
    ROOT_LIST = "root list"
    """The root that vouches for us has published a newer list, which is stored."""
    ROOT_BROKERS = "root brokers"
    """The same, and its list of brokers names others for us: connect again."""
    ROOT_REFUSED = "root refused"
    """A message in the name of our root was refused. `detail` says why."""
    REBUILT = "rebuilt"
    """The index was made again from the folder. `detail` says why."""
    DELETED = "deleted"
    """Its files were deleted here, because its request's answers are stated to be deleted."""


@dataclass(frozen=True, slots=True)
class ReceiverEvent:
    """One event. Fields that do not apply are empty or 0.

    `device`: id of the sender of the disclosure, "anonymous" for a tip. `at_ms`: time of the event (UTC).
    `answer` and `verification`, the checks that were just made: only for COMPLETE.
    """

    kind: ReceiverEventKind
    disclosure: str = ""
    request: str = ""
    held_bytes: int = 0
    expected_bytes: int = 0
    detail: str = ""
    device: str = ""
    at_ms: int = 0
    answer: AnswerSummary | None = None
    verification: Verification | None = None
