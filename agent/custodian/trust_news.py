"""Packages of trust roots that arrive over the network, in chunks: all of a package each time (`uplink.trust_reading`).

Every doorbell receives the packages of all roots of its broker, whichever its owner chose, and publishes nothing about
them. A chunk of a root that the owner did not choose waits in memory and changes nothing (promises 3 and 7).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import ClassVar

from agent.core.trust_chunks import TrustChunks
from agent.custodian.inbox import DropReason
from agent.custodian.trust_store import TrustManager
from agent.errors import DoorwardError, OpenError, RequestError, StorageError
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Journal
from agent.wire.topics import TopicClass, TrustTopic, sender_of, topic_of
from agent.wire.trust_keys import TrustKey

__all__ = ["TrustNews"]


class TrustNews(ThreadOwned):
    """`on_message` takes chunks from the uplink's thread. `look` may come from any thread."""

    WRITTEN_BY: ClassVar = {"_done": AttributeOwner.LOCK}

    def __init__(self, trust: TrustManager, journal: Journal) -> None:
        self._trust = trust
        self._journal = journal
        self._chunks = TrustChunks()
        self.lock = threading.RLock()
        self._done: dict[str, tuple[str, str | None, TrustKey | None]] = {}
        """By the root's id: the hash of the last package that was judged, the doorbell's cell, and the root as it was
        chosen then. The broker repeats its retained messages."""

    @staticmethod
    def takes(topic: str) -> bool:
        return sender_of(topic).kind is TopicClass.TRUST

    def on_message(self, topic: str, data: bytes) -> None:
        """Takes one chunk, of a topic that it `takes`. Raises `StorageError` if the disk refuses what it leads to."""
        where = topic_of(topic)
        try:
            with self.lock:
                # The uplink reads the indexes of packages, and hands over what is none.
                if isinstance(where, TrustTopic):
                    self._chunks.put(where, data, self._trust.store.roots)
        except DoorwardError:
            where = None
        if not isinstance(where, TrustTopic):
            self._journal.count(DropReason.MALFORMED.value)
            return
        if where.root in self._trust.store.roots:
            self._hear(where.root)
        else:
            self._journal.count(DropReason.UNTRUSTED.value)

    def look(self) -> None:
        """Judges the packages of all roots that the owner chose, if their root was chosen since, or the doorbell was
        moved."""
        for root in list(self._trust.store.roots):
            self._hear(root)

    def _hear(self, root: str) -> None:
        with self.lock:
            package = self._chunks.whole(root)
            if package is None:
                return
            judged = (hashlib.sha256(package).hexdigest(), self._trust.cell, self._trust.store.roots.get(root))
            done = self._done.get(root)
            # The same object, not an equal one: if an owner took the root out and chose it again, its trust is empty
            # again. The next choice may also be another pair with the same id.
            if done is not None and done[:2] == judged[:2] and done[2] is judged[2]:
                return
        refused = self._judge(lambda: self._trust.hear(package))
        # False: the doorbell was moved while the package was judged, or its timestamp came too soon. It is judged
        # again.
        if refused is not False:
            with self.lock:
                self._done = {**self._done, root: judged}
        if isinstance(refused, DropReason):
            self._journal.count(refused.value)

    @staticmethod
    def _judge(hear: Callable[[], bool]) -> DropReason | bool:
        """Returns why a package was refused, True if it was taken, and False if it is to be judged again."""
        try:
            return hear()
        except StorageError:
            raise
        except OpenError:
            return DropReason.UNTRUSTED
        # Seen before, or older than what was seen: the usual case, because brokers repeat retained messages.
        except RequestError:
            return DropReason.REPLAYED
        except DoorwardError:
            return DropReason.MALFORMED
