"""Keeps the digests of a broker: reads what requesters retain for each cell, and publishes it in pages.

Devices then need not read all retained messages at a connection (`uplink.cell_reading`). The service sees public
messages only, and can forge none: each has its requester's signature. It can leave messages out, as the broker can.

- New messages come by a subscription. Retained ones are read slot by slot, because a broker's queue for one client
  is limited: all slots after a connection, as many at once as have room there, then one at a time, for ever. So the
  service follows expiry and losses.
- A page has an expiry of an hour, and all are published again before. If the service stops, its pages disappear, and
  devices read the cell as if there were no digest.
- Pages of a cell are published at most every few seconds, however many messages come.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from agent.clients.broker.broker_figures import BrokerFigures
from agent.clients.broker.cell_digests import CellDigests
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
    SubscriptionRefused,
)
from agent.ports import Bus
from agent.wire.topics import BULLETIN_SLOTS, REQUEST_SLOTS, BulletinTopic, DigestTopic, RequestTopic, topic_of

__all__ = ["DigestService"]

_LIVE: Final = ("doorward/v1/areas/+/requests/+/+", "doorward/v1/areas/+/bulletins/+/+")
_SLOTS: Final[tuple[tuple[type[RequestTopic] | type[BulletinTopic], int], ...]] = (
    *((RequestTopic, slot) for slot in range(REQUEST_SLOTS)),
    *((BulletinTopic, slot) for slot in range(BULLETIN_SLOTS)),
)
_QUIET_S: Final = 0.1
"""A reading of a slot is over if nothing has come for this long after the broker's answer."""
_SLOT_EVERY_S: Final = 15.0
_MOST_SLOTS: Final = 16
"""Slots that are read at once after a connection. One by one, 80 of them took half a minute on a busy machine, and a
doorbell that connected meanwhile read a page without the newest messages."""
_REFUSED_S: Final = (1.0, 60.0)
"""Pause after a refused reading or page, and the longest, after others that were refused too. A managed broker may
allow few subscriptions at once, or few messages a second."""
_MOST_MESSAGES: Final = 4_000
"""Messages that a broker may queue for the service at once. 16 KiB each, ours queues 64 MiB for a client."""
_PUBLISH_EVERY_S: Final = 3.0
_EXPIRY_S: Final = 3600
_RENEW_S: Final = 1200.0
_WAIT_S: Final = 0.05


class DigestService:
    """`run` blocks until `stop`. `clock`: seconds of a clock that only goes forward. `certificate`: the broker's, for
    the figures."""

    def __init__(self, bus: Bus, clock: Callable[[], float], certificate: Path | None = None) -> None:
        self._bus, self._clock = bus, clock
        self.figures = BrokerFigures(certificate)
        self._digests = CellDigests()
        self._changed: set[str] = set()
        self._published: dict[str, bytes] = {}
        """Topic → the page that the broker has."""
        self._waiting: dict[str, bytes] = {}
        self._in_flight: dict[int, tuple[str, bytes]] = {}
        self._tokens = 0
        self._readings = 0
        self._slots: range = range(0)
        """Numbers in `_SLOTS` of the slots that are read now."""
        self._granted: set[int] = set()
        self._refused: set[int] = set()
        self._pause_s = _REFUSED_S[0]
        self._has_warned = self._lacks_live = False
        """`_lacks_live`: the broker refused a filter of new messages: they come with the readings only."""
        self._told_fault = ""
        """The last fault of the link that was told. A new attempt every few seconds meets the same one."""
        self._pages_refused: dict[str, tuple[float, float]] = {}
        """Topic of a page that the broker refused → when to send it again, and the pause after one more refusal."""
        self._most_slots = _MOST_SLOTS
        """Fewer than `_MOST_SLOTS` after the broker refused some of them, until the next connection."""
        self._came: Counter[int] = Counter()
        """Slot that is read now → messages that came."""
        self._at_once = 1
        self._next_slot = 0
        self._catching_up = True
        """True until all slots were read on this connection."""
        self._quiet_s: float | None = None
        self._slot_due_s = self._publish_due_s = self._renew_due_s = 0.0
        self._stopping = threading.Event()
        self._log = structlog.get_logger("digest")

    def stop(self) -> None:
        self._stopping.set()

    @property
    def is_current(self) -> bool:
        """True once all slots were read, the broker has every page, and new messages come at once."""
        is_behind = self._changed or self._waiting or self._in_flight or self._lacks_live
        return self._readings > 0 and not is_behind

    def run(self) -> None:
        self._bus.hurry(True)
        self._bus.start()
        for each in _LIVE:
            self._bus.subscribe(each, retained=False)
        for each in BrokerFigures.FILTERS:
            self._bus.subscribe(each)
        try:
            while not self._stopping.is_set():
                event, now_s = self._bus.next_event(_WAIT_S), self._clock()
                self._on_event(event, now_s)
                # The same moment: a reading is not over because the machine paused between two looks at the clock.
                self._read_slots(now_s)
                self._lay_out(now_s)
                self._pump(now_s)
                self._count()
        finally:
            self._bus.stop()

    def _on_event(self, event: object, now_s: float) -> None:
        match event:
            case BusConnected():
                self.figures.is_connected = True
                self._slots, self._next_slot, self._slot_due_s, self._at_once = range(0), 0, now_s, 1
                self._catching_up, self._renew_due_s = True, now_s  # the broker may have lost pages
                self._most_slots, self._pause_s = _MOST_SLOTS, _REFUSED_S[0]
                self._has_warned = self._lacks_live = False
                self._pages_refused.clear()
                self._told_fault = ""
                self._log.info("connected")
            case BusDisconnected(error=error):
                self.figures.is_connected = False
                self._slots, self._slot_due_s = range(0), float("inf")
                if error.message != self._told_fault:
                    self._log.warning("link_down", error=error.message, remedy=error.remedy)
                self._told_fault = error.message
            case Subscribed(topic_filter=topic_filter):
                self._granted |= self._slots_of(topic_filter)
                self._await_messages(now_s)
            case SubscriptionRefused(topic_filter=topic_filter, code=code):
                if not self._has_warned:
                    self._log.warning("subscription_refused", filter=topic_filter, code=code)
                self._has_warned = True
                self._lacks_live |= topic_filter in _LIVE
                self._refused |= self._slots_of(topic_filter)
                self._await_messages(now_s)
            case MessageReceived(topic=topic, payload=payload):
                self._on_message(topic, payload, now_s)
            case PublishAcknowledged(token=token):
                topic, page = self._in_flight.pop(token)
                self._pages_refused.pop(topic, None)
                if page:
                    self._published[topic] = page
                else:
                    self._published.pop(topic, None)
            case PublishLost(token=token):
                topic, page = self._in_flight.pop(token)
                # Unless a newer page of this number waits already.
                self._waiting.setdefault(topic, page)
            case PublishRefused(token=token, reason=reason):
                topic, page = self._in_flight.pop(token)
                self._waiting.setdefault(topic, page)
                if topic not in self._pages_refused:
                    self._log.error("page_refused", topic=topic, reason=reason)
                _, pause_s = self._pages_refused.get(topic, (0.0, _REFUSED_S[0]))
                self._pages_refused[topic] = now_s + pause_s, min(2 * pause_s, _REFUSED_S[1])

    def _slots_of(self, topic_filter: str) -> set[int]:
        return {each for each in self._slots if self._filter_of(each) == topic_filter}

    def _await_messages(self, now_s: float) -> None:
        if self._slots and (self._granted | self._refused).issuperset(self._slots):
            self._quiet_s = now_s + _QUIET_S

    def _on_message(self, topic: str, payload: bytes, now_s: float) -> None:
        if self.figures.take(topic, payload):
            return
        parsed = topic_of(topic)
        if not isinstance(parsed, RequestTopic | BulletinTopic):
            return
        self._came[parsed.slot] += 1
        if self._quiet_s is not None:
            self._quiet_s = max(self._quiet_s, now_s + _QUIET_S)
        if self._digests.put(parsed, payload, self._readings):
            self._changed.add(parsed.cell)

    def _read_slots(self, now_s: float) -> None:
        if not self._slots and now_s >= self._slot_due_s:
            self._slots, self._quiet_s = self._next_slots(), None
            self._granted.clear()
            self._refused.clear()
            self._came.clear()
            for each in self._slots:
                self._bus.read_retained(self._filter_of(each))
        elif self._slots and self._quiet_s is not None and now_s >= self._quiet_s:
            self._end_reading(now_s)

    def _end_reading(self, now_s: float) -> None:
        for each in self._slots:
            self._bus.unsubscribe(self._filter_of(each))
        if self._refused:  # the same slots again, fewer at once
            self._most_slots = max(1, len(self._granted))
            self._slots, self._quiet_s, self._slot_due_s = range(0), None, now_s + self._pause_s
            self._pause_s = _REFUSED_S[0] if self._granted else min(2 * self._pause_s, _REFUSED_S[1])
            return
        self._pause_s = _REFUSED_S[0]
        for each in self._slots:
            self._changed |= self._digests.forget_unread(*_SLOTS[each], self._readings)
        if len(self._slots) == 1 or self._came.total() <= _MOST_MESSAGES:  # else the broker may have dropped some
            self._next_slot = self._slots.stop % len(_SLOTS)
        if self._next_slot == 0:
            self._readings, self._catching_up = self._readings + 1, False
        self._at_once = max(1, min(_MOST_SLOTS, _MOST_MESSAGES // max(self._came.values(), default=1)))
        self._slots, self._quiet_s = range(0), None
        self._slot_due_s = now_s if self._catching_up else now_s + _SLOT_EVERY_S

    def _next_slots(self) -> range:
        """Returns the slots to read next. Those with more messages than expected are read again, fewer at once."""
        first = self._next_slot
        # Requesters take the lowest free slot, so the next slots of a kind have hardly more messages than the last.
        is_first = first in (0, REQUEST_SLOTS)
        ends = first + (1 if is_first or not self._catching_up else min(self._at_once, self._most_slots))
        return range(first, min(ends, REQUEST_SLOTS if first < REQUEST_SLOTS else len(_SLOTS)))

    def _lay_out(self, now_s: float) -> None:
        """Queues the pages that differ from those that the broker has. It waits for the first reading of all slots."""
        if now_s >= self._renew_due_s:
            self._renew_due_s = now_s + _RENEW_S
            self._waiting |= {topic: page for topic, page in self._published.items() if topic not in self._waiting}
        if not self._readings or now_s < self._publish_due_s or not self._changed:
            return
        self._publish_due_s = now_s + _PUBLISH_EVERY_S
        for cell in self._changed:
            pages = self._digests.pages(cell)
            for number, page in enumerate(pages):
                self._queue(str(DigestTopic(cell, number)), page)
            number = len(pages)
            # The digest has become shorter: empty messages clear the pages behind it (MQTT 5 §3.3.1.3).
            while (topic := str(DigestTopic(cell, number))) in self._published or topic in self._waiting:
                self._queue(topic, b"")
                number += 1
        self._changed.clear()

    def _queue(self, topic: str, page: bytes) -> None:
        if self._published.get(topic) != page or topic in self._waiting:
            self._waiting[topic] = page

    def _pump(self, now_s: float) -> None:
        # One message for each page at a time. An older page that is lost must not come again over a newer one.
        kept = {topic for topic, _ in self._in_flight.values()}
        kept |= {topic for topic, (due_s, _) in self._pages_refused.items() if now_s < due_s}
        for topic in [each for each in self._waiting if each not in kept]:
            page = self._waiting[topic]
            self._tokens += 1
            expiry_s = _EXPIRY_S if page else None
            if not self._bus.publish(topic, page, token=self._tokens, retain=True, expiry_s=expiry_s):
                return
            del self._waiting[topic]
            self._in_flight[self._tokens] = (topic, page)

    def _count(self) -> None:
        self.figures.is_current = self.is_current
        self.figures.cells, self.figures.messages = self._digests.count()
        self.figures.pages = len(self._published)

    @staticmethod
    def _filter_of(number: int) -> str:
        kind, slot = _SLOTS[number]
        return f"doorward/v1/areas/+/{'requests' if kind is RequestTopic else 'bulletins'}/+/{slot}"
