"""A device's inbound messages between their acknowledgement and their processing.

An acknowledgement is for the broker and independent of the outcome. Processing is fair among senders. Receipts for the
device's uploads, packages of trust roots, and messages to the whole cell are three classes, so that a flood of one
cannot delay another. Within a class senders take turns (`core.fair_queue`); the broker's access list binds the sender
to the topic. Messages of one topic are handed out as they came: a later index of a trust root says which list holds
now, and a withdrawal ends the request that stood in its place. The newest receipt alone counts, so it comes first.
"""

from __future__ import annotations

from typing import Final

from agent.core.bus import MessageReceived
from agent.core.fair_queue import FairQueue
from agent.mqtt.bus_settings import BusSettings
from agent.mqtt.pacing import MessageRateLimiter
from agent.wire.topics import TopicClass, sender_of

__all__ = ["InboundQueue", "held_bytes"]

_OBJECT_BYTES: Final = 512
"""Approximate memory of a message beside its text.  Otherwise empty messages would count as almost free."""
_TRUST_BYTES: Final = 512 << 10
"""Indexes and pieces of packages that wait. Pieces are asked for one by one."""


def held_bytes(message: MessageReceived) -> int:
    """Returns how much memory a waiting message is counted with."""
    text = sum(len(key) + len(value) for key, value in message.properties)
    return len(message.payload) + len(message.topic) + text + _OBJECT_BYTES


class InboundQueue:
    """Not thread-safe: the bus's lock guards it.  `now_s`: of one clock that only goes forward."""

    def __init__(self, settings: BusSettings) -> None:
        half = settings.inbound_bytes // 2
        # Each class has separate memory and a separate rate, so a flood of one takes neither from another.
        sizes = {TopicClass.RECEIPTS: half, TopicClass.TRUST: min(_TRUST_BYTES, half), TopicClass.CELL: half}
        self._classes = {
            kind: (
                FairQueue[MessageReceived](settings.inbound_of_one, size_bytes),
                MessageRateLimiter(settings.inbound_per_s),
            )
            for kind, size_bytes in sizes.items()
        }

    def put(self, message: MessageReceived) -> int:
        """Add one; how many were dropped for it."""
        sender = sender_of(message.topic)
        queue, _ = self._classes[sender.kind]
        # The newest receipt states everything, so it comes first. Messages of another topic keep their order: a
        # withdrawal that overtook its request would name nothing.
        subject = None if sender.kind is TopicClass.RECEIPTS else message.topic
        return queue.put(sender.name, message, held_bytes(message), subject)

    def take(self, now_s: float) -> MessageReceived | None:
        """The next that may be handed out now."""
        # Receipts come first in this order, because an upload waits for each. A class that has used up its rate lets
        # the next one go.
        for queue, pace in self._classes.values():
            if len(queue) and pace.wait_s(now_s) == 0:
                pace.taken()
                return queue.take()
        return None

    def wait_s(self, now_s: float) -> float | None:
        """Returns the seconds until a message may be taken; None if the queue is empty."""
        waits = [pace.wait_s(now_s) for queue, pace in self._classes.values() if len(queue)]
        return min(waits, default=None)
