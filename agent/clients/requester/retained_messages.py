"""Monitor of our retained messages at the broker, which may lose messages that it has acknowledged.

A killed broker loses messages that were still unwritten, and a restored one goes back to an older state. The broker
returns our own retained messages on request, so they are compared with the expected ones.

A cell may have several brokers, and its doorbells are at one of them. So each broker that is connected must return the
messages of its cells.

    connected for a while ──▶ subscribe, our retained messages come ──▶ quiet for a while ──▶ missing ones count as
    not published ──▶ unsubscribe, and again hours later
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.clients.requester import messages as requester_messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import is_published
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.core.timebase import NS_PER_S
from agent.wire.topics import BulletinTopic, RequestTopic

__all__ = ["PublicationMonitor"]

_FIRST_NS: Final = 5 * NS_PER_S
"""Delay after connecting, so that waiting answers go first."""
_PATIENCE_NS: Final = 15 * NS_PER_S
"""Time after subscribing within which the broker must begin to deliver."""
_QUIET_NS: Final = 5 * NS_PER_S
_AGAIN_NS: Final = 6 * 3600 * NS_PER_S


class PublicationMonitor:
    """Driven by the receiving service.  `now_ns`: boot clock."""

    def __init__(self, requester: Requester, lane: Callable[[str], str] = lambda _topic: "") -> None:
        """`lane`: that of the bus. It names the brokers of a topic, if there are several."""
        self._requester = requester
        self._lane = lane
        self.topic_filter = f"doorward/v1/areas/+/+/{requester.id}/+"
        self._heard: dict[tuple[str, str], bytes] = {}
        """Messages by broker and topic."""
        self._asked: set[str] = set()
        """Brokers that took the question. The others are away, and are asked once they are back."""
        self._due_ns: int | None = None
        self._again_ns: int | None = None

    def connected(self, now_ns: int) -> None:
        self._again_ns = now_ns + _FIRST_NS

    def disconnected(self) -> None:
        self._due_ns = self._again_ns = None

    def on_subscribed(self, source: str) -> None:
        """Notes that the broker `source` delivers its messages now."""
        self._asked.add(source)

    def on_retained(self, topic: RequestTopic | BulletinTopic, data: bytes, now_ns: int, source: str = "") -> None:
        """Handles one of our own messages, retained or just published. `source`: its broker."""
        if topic.requester == self._requester.id:
            self._heard[source, str(topic)] = data
            if self._due_ns is not None:
                self._due_ns = max(self._due_ns, now_ns + _QUIET_NS)

    def unanswered(self, now_ns: int) -> bool:
        """Returns True if it is time to subscribe. The broker then delivers its retained messages."""
        if self._again_ns is None or now_ns < self._again_ns:
            return False
        self._heard.clear()
        self._asked.clear()
        self._due_ns = now_ns + _PATIENCE_NS
        self._again_ns = now_ns + _AGAIN_NS
        return True

    def check(self, now_ns: int, now_s: int) -> list[str] | None:
        """Returns the ids of messages that the broker has lost, once it has delivered its own. They now count as
        unpublished."""
        if self._due_ns is None or now_ns < self._due_ns:
            return None
        self._due_ns = None
        lost = sorted({name for topic, name in self._expected(now_s) if not self._stands(topic, name)})
        for name in lost:
            self._requester.notes.remove(requester_messages.mark_published(self._requester, name))
            self._requester.register.add_unsent(name)
        return lost

    def _expected(self, now_s: int) -> list[tuple[str, str]]:
        found = []
        for kind, cell, slot, name, until_s in TopicSlots(self._requester.notes).all():
            topic = RequestTopic if kind is SlotKind.REQUESTS else BulletinTopic
            if (
                until_s > now_s
                and requester_messages.is_stored(self._requester, name)
                and is_published(self._requester, name)
            ):
                found.append((str(topic(cell, self._requester.id, slot)), name))
        return found

    def _stands(self, topic: str, name: str) -> bool:
        brokers = self._lane(topic).split()
        wanted = requester_messages.signed(self._requester, name).envelope
        return all(self._heard.get((each, topic)) == wanted for each in brokers if each in self._asked) and (
            bool(brokers) or self._heard.get(("", topic)) == wanted
        )
