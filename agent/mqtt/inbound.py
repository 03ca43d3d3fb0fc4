"""A device's inbound messages between their acknowledgement and their processing.

An acknowledgement is for the broker and independent of the outcome. Processing is fair among senders. Receipts for the
device's uploads are one class, messages to the whole cell another, so that a flood of one cannot delay the other.
Within a class senders take turns (`core.fair_queue`); the broker's access list binds the sender to the topic.
"""

from __future__ import annotations

from typing import Final

from agent.core.bus import MessageReceived
from agent.core.fair_queue import FairQueue
from agent.mqtt.bus_settings import BusSettings
from agent.mqtt.pacing import MessageRateLimiter
from agent.wire.topics import sender_of

__all__ = ["InboundQueue", "held_bytes"]

_OBJECT_BYTES: Final = 512
"""Approximate memory of a message beside its text.  Otherwise empty messages would count as almost free."""


def held_bytes(message: MessageReceived) -> int:
    """Returns how much memory a waiting message is counted with."""
    text = sum(len(key) + len(value) for key, value in message.properties)
    return len(message.payload) + len(message.topic) + text + _OBJECT_BYTES


class InboundQueue:
    """Not thread-safe: the bus's lock guards it.  `now_s`: of one clock that only goes forward."""

    def __init__(self, settings: BusSettings) -> None:
        self._classes = [
            (
                FairQueue[MessageReceived](settings.inbound_of_one, settings.inbound_bytes // 2),
                MessageRateLimiter(settings.inbound_per_s),
            )
            for _ in ("receipts", "cell")
        ]

    def put(self, message: MessageReceived) -> int:
        """Add one; how many were dropped for it."""
        sender = sender_of(message.topic)
        queue, _ = self._classes[0 if sender.is_receipt else 1]
        return queue.put(sender.name, message, held_bytes(message))

    def take(self, now_s: float) -> MessageReceived | None:
        """The next that may be handed out now."""
        for queue, pace in self._classes:
            if len(queue) and pace.wait_s(now_s) == 0:
                pace.taken()
                return queue.take()
        return None

    def wait_s(self, now_s: float) -> float | None:
        """Returns the seconds until a message may be taken; None if the queue is empty."""
        waits = [pace.wait_s(now_s) for queue, pace in self._classes if len(queue)]
        return min(waits, default=None)
