"""Takes messages from the uplink at once, and works on them in a thread of the custodian.

    uplink ── on_message ──▶ MessageQueue ──▶ thread "messages" ──▶ Custodian.on_message

The uplink asks the broker for the next page of a cell after it has handed over the messages of the page before. If it
waited for the custodian, the broker would see how long the doorbell works on them: a request about its own street, by
a requester that its owner trusts, takes longest. So the answer to a message does not depend on what the message says
(docs/security/promises.md, promises 3 and 6; docs/decisions/0097). A receipt is answered when it has been worked on,
because its requester knows the upload that it is about.

- Messages that wait are bounded in bytes. More are dropped and counted: the broker retains them, and each round of the
  uplink brings them again.
- If the disk refuses a write, the oldest message is tried again every `_AGAIN_S`, and dropped after `_MOST_TRIES`: its
  place on the disk may be damaged for good, and the others can still be stored.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

import structlog

from agent.core.requests import OutboxRecord
from agent.errors import DoorwardError, StorageError
from agent.ports import CustodyPort
from agent.wire.disclosures import Receipt
from agent.wire.topics import TopicClass, sender_of

__all__ = ["MessageQueue"]

_MOST_BYTES: Final = 4 << 20
"""As much as waits at the uplink. At 20 messages a second it holds those of a minute, more than the outlines take that
one requester may have measured in a day (`inbox._TOO_SMALL_PER_DAY`)."""
_OBJECT_BYTES: Final = 512
"""Memory of a message beside its text, about."""
_AGAIN_S: Final = 30.0
_MOST_TRIES: Final = 10


class MessageQueue:
    """`ports.CustodyPort` before `custody`. Call `start` and `stop` from one thread, and the others from any."""

    def __init__(self, custody: CustodyPort, *, again_s: float = _AGAIN_S) -> None:
        self._custody = custody
        self._again_s = again_s
        self._log = structlog.get_logger("custodian")
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """Messages that found the queue full, or that the disk refused `_MOST_TRIES` times."""

    def start(self) -> None:
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="messages")
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after its present message. Those that wait come again from the broker. Idempotent."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        # An upload waits for this receipt, and its requester knows the time of its own message.
        if sender_of(topic).kind is TopicClass.RECEIPTS:
            return self._custody.on_message(topic, data)
        size_bytes = _held_bytes(topic, data)
        with self._changed:
            if self._bytes + size_bytes > _MOST_BYTES:
                self.dropped += 1
            else:
                self._waiting.append((topic, data))
                self._bytes += size_bytes
                self._changed.notify_all()
        return None

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        return self._custody.outgoing()

    def begin_sending(self, disclosure: str) -> bool:
        return self._custody.begin_sending(disclosure)

    def _run(self) -> None:
        tries = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                # Taken out only once it is done, so that its bytes count and it is tried again in its place.
                topic, data = self._waiting[0]
            tries += 1
            is_done = self._is_done(topic, data)
            if is_done or tries >= _MOST_TRIES:
                tries = 0
                with self._changed:
                    self._waiting.popleft()
                    self._bytes -= _held_bytes(topic, data)
                    self.dropped += not is_done
            else:
                with self._changed:
                    # Waits for the stop alone: a new message must not make a failing disk be tried faster.
                    self._changed.wait_for(lambda: self._stopping, self._again_s)

    def _is_done(self, topic: str, data: bytes) -> bool:
        """Returns False if the message must be tried again, because the disk took no write."""
        try:
            self._custody.on_message(topic, data)
        except StorageError as error:
            self._log.warning("message_not_stored", error=error.message)
            return False
        except DoorwardError as error:
            self._log.warning("message_failed", error=error.message)
        except Exception as error:  # noqa: BLE001 (a bug in one message must not end the thread)
            self._log.exception("message_failed", error=type(error).__name__)
        return True


def _held_bytes(topic: str, data: bytes) -> int:
    return len(topic) + len(data) + _OBJECT_BYTES
