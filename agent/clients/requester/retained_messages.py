"""Monitor of our retained messages at the brokers, which may lose messages that they have acknowledged.

A killed broker loses messages that were still unwritten, and a restored one goes back to an older state. The broker
returns our own retained messages on request, so they are compared with the expected ones.

A cell may have several brokers, and its doorbells are at one of them. So each broker that is connected must return the
messages of its cells. Each has its own question, so one that comes and goes delays no other one.

    connected ──▶ subscribe there, our retained messages come ──▶ quiet for a while ──▶ missing ones are noted as
    lacking there ──▶ unsubscribe, and again hours later

A doorbell must hear a request within 60 s of its connection, also if its broker was killed and has lost it. The pauses
here are the largest part of that time that is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final

from agent.clients.requester import messages as requester_messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import brokers_lacking, is_published
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.core.timebase import NS_PER_S
from agent.errors import DoorwardError, NetworkError
from agent.wire.topics import BulletinTopic, RequestTopic

__all__ = ["PublicationMonitor"]

_PATIENCE_NS: Final = 4 * NS_PER_S
"""Time after the broker's grant within which it must begin to deliver. It delivers right beside its grant."""
_QUIET_NS: Final = 2 * NS_PER_S
"""A message that comes later than this after the one before is published once more than needed."""
_AGAIN_NS: Final = 6 * 3600 * NS_PER_S
_MOST_HEARD: Final = 1 << 17
"""Messages that count in the answers of all brokers. A hostile broker may send any number of them as ours. Those over
the limit count as lost, and are published once more than needed."""


class PublicationMonitor:
    """Driven by the receiving service. `source`: a broker, "" if there is only one. `now_ns`: boot clock."""

    def __init__(self, requester: Requester, lane: Callable[[str], str] = lambda _topic: "") -> None:
        """`lane`: that of the bus. It names the brokers of a topic, if there are several."""
        self._requester = requester
        self._lane = lane
        self.topic_filter = f"doorward/v1/areas/+/+/{requester.id}/+"
        self._heard: dict[tuple[str, str], bytes] = {}
        """SHA-256 of messages by broker and topic."""
        self._due_ns: dict[str, int] = {}
        """Broker that is being asked → when its answer is complete. The others are away, or were not asked yet."""
        self._again_ns: dict[str, int] = {}
        """Connected broker → when to ask it."""
        self._answered: set[str] = set()

    def connected(self, now_ns: int, source: str = "") -> None:
        self.disconnected(source)
        self._again_ns[source] = now_ns

    def disconnected(self, source: str = "") -> None:
        self._again_ns.pop(source, None)
        self._forget(source)

    def on_subscribed(self, now_ns: int, source: str = "") -> None:
        """Notes that the broker delivers its messages now."""
        self._due_ns.setdefault(source, now_ns + _PATIENCE_NS)

    def on_retained(self, topic: RequestTopic | BulletinTopic, data: bytes, now_ns: int, source: str = "") -> None:
        """Handles one of our own messages, retained or just published."""
        if topic.requester == self._requester.id:
            if len(self._heard) < _MOST_HEARD or (source, str(topic)) in self._heard:
                self._heard[source, str(topic)] = sha256(data).digest()
            if source in self._due_ns:
                self._due_ns[source] = max(self._due_ns[source], now_ns + _QUIET_NS)

    def to_ask(self, now_ns: int) -> list[str]:
        """Returns the brokers to subscribe at now. Each then delivers its retained messages."""
        # The other brokers must not deliver again: with brokers that come and go every few seconds, no answer would
        # ever end.
        late = [source for source, at_ns in self._again_ns.items() if at_ns <= now_ns]
        for source in late:
            self._forget(source)
            self._again_ns[source] = now_ns + _AGAIN_NS
        return late

    def check(self, now_ns: int, now_s: int) -> list[str] | None:
        """Returns the ids of messages that a broker has lost, once it has delivered its own.

        They are published again. None: no answer is complete.
        """
        answered = {source for source, at_ns in self._due_ns.items() if at_ns <= now_ns}
        if not answered:
            return None
        self._answered |= answered
        lost: dict[str, set[str]] = {}
        for topic, name, asked in self._expected(now_s, answered):
            try:
                wanted = sha256(requester_messages.signed(self._requester, name).envelope).digest()
            except NetworkError:
                raise
            except DoorwardError:
                continue  # a damaged message must not keep the others from going out
            lost.setdefault(name, set()).update(each for each in asked if self._heard.get((each, topic)) != wanted)
        for source in answered:
            self._forget(source)
        for name, lacking in lost.items():
            if lacking:
                self._note(name, lacking)
        return sorted(name for name, lacking in lost.items() if lacking)

    def take_answered(self) -> list[str]:
        """Returns the brokers that have delivered all since the last call: unsubscribe there."""
        answered, self._answered = self._answered, set()
        return sorted(answered)

    def _note(self, name: str, lacking: set[str]) -> None:
        before = brokers_lacking(self._requester, name)
        if before is not None:  # otherwise a newer message has that name by now
            requester_messages.signed(self._requester, name).mark_published(before | lacking)
        self._requester.register.add_unsent(name)

    def _forget(self, source: str) -> None:
        self._due_ns.pop(source, None)
        self._heard = {key: data for key, data in self._heard.items() if key[0] != source}

    def _expected(self, now_s: int, answered: set[str]) -> list[tuple[str, str, set[str]]]:
        """Returns topic, message and brokers of each message that one of these brokers must have. Others are not read:
        each costs a look at the notes, and brokers come back every few seconds while a network is bad."""
        found = []
        for kind, cell, slot, name, until_s in TopicSlots(self._requester.notes).all():
            of_kind = RequestTopic if kind is SlotKind.REQUESTS else BulletinTopic
            topic = str(of_kind(cell, self._requester.id, slot))
            asked = answered.intersection(self._lane(topic).split() or ("",))
            if (
                asked
                and until_s > now_s
                and requester_messages.is_stored(self._requester, name)
                and is_published(self._requester, name)
            ):
                found.append((topic, name, asked))
        return found
