"""Whether what we said still stands at the broker, which may forget what it has acknowledged.

A broker that is killed loses what it had not written yet, and one that was restored has what it had then.  It gives
our own retained messages when asked, so they are held against what should be there.

    connected for a while ──▶ subscribe, our retained messages come ──▶ quiet for a while ──▶ what is missing counts as
    not published ──▶ unsubscribe, and again hours later
"""

from __future__ import annotations

from typing import Final

from agent.clients.requester import messages as requester_messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import is_published
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.core.timebase import NS_PER_S
from agent.wire.topics import BulletinTopic, RequestTopic

__all__ = ["PublicationMonitor"]

_FIRST_NS: Final = 5 * NS_PER_S
"""After connecting: what waits for an answer goes first."""
_PATIENCE_NS: Final = 15 * NS_PER_S
"""After subscribing, until the broker must have begun to give what it has."""
_QUIET_NS: Final = 5 * NS_PER_S
_AGAIN_NS: Final = 6 * 3600 * NS_PER_S


class PublicationMonitor:
    """Driven by the receiving service.  `now_ns`: boot clock."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self.topic_filter = f"doorward/v1/areas/+/+/{requester.id}/+"
        self._heard: dict[str, bytes] = {}
        self._due_ns: int | None = None
        self._again_ns: int | None = None

    def connected(self, now_ns: int) -> None:
        self._again_ns = now_ns + _FIRST_NS

    def disconnected(self) -> None:
        self._due_ns = self._again_ns = None

    def on_retained(self, topic: RequestTopic | BulletinTopic, data: bytes, now_ns: int) -> None:
        """One of our own, kept by the broker or just published."""
        if topic.requester == self._requester.id:
            self._heard[str(topic)] = data
            if self._due_ns is not None:
                self._due_ns = max(self._due_ns, now_ns + _QUIET_NS)

    def unanswered(self, now_ns: int) -> bool:
        """Whether it is time to subscribe: the broker gives what it has from here on."""
        if self._again_ns is None or now_ns < self._again_ns:
            return False
        self._heard.clear()
        self._due_ns = now_ns + _PATIENCE_NS
        self._again_ns = now_ns + _AGAIN_NS
        return True

    def check(self, now_ns: int, now_s: int) -> list[str] | None:
        """Once the broker has given what it has: ids of what it has lost, which count as unpublished from now on."""
        if self._due_ns is None or now_ns < self._due_ns:
            return None
        self._due_ns = None
        lost = sorted({name for topic, name in self._expected(now_s) if not self._stands(topic, name)})
        for name in lost:
            requester_messages.mark_published(self._requester, name).unlink(missing_ok=True)
            self._requester.register.add_unsent(name)
        return lost

    def _expected(self, now_s: int) -> list[tuple[str, str]]:
        found = []
        for kind, cell, slot, name, until_s in TopicSlots(self._requester.folder).all():
            topic = RequestTopic if kind is SlotKind.REQUESTS else BulletinTopic
            if (
                until_s > now_s
                and requester_messages.is_stored(self._requester, name)
                and is_published(self._requester, name)
            ):
                found.append((str(topic(cell, self._requester.id, slot)), name))
        return found

    def _stands(self, topic: str, name: str) -> bool:
        return self._heard.get(topic) == requester_messages.signed(self._requester, name).envelope
